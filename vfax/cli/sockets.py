"""Who holds a UDP port: the second half of "the port is taken".

Owns      reading /proc on Linux. Not here: opening sockets (transports/udp.py).

Everything here may fail for want of rights or of /proc; then the answer is "" and the first half must do.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")


def holder_of(port: int, *, proc: Path = PROC) -> str:
    """Say which process holds the UDP port, as in "by process 4711 (asterisk)"; "" where that cannot be known."""
    inodes = set(_inodes(port, proc))
    if not inodes:
        return ""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for process in _processes(proc):
        if wanted & set(_open_files(process)):
            return f"by process {process.name} ({_name(process)})"
    return "by another user's process"


def _inodes(port: int, proc: Path) -> Iterator[str]:
    """Inodes of sockets bound to the port, from the table's columns local_address (1) and inode (9)."""
    for table in ("udp", "udp6"):
        for line in _read(proc / "net" / table).splitlines()[1:]:
            columns = line.split()
            if len(columns) > 9 and columns[1].rpartition(":")[2].upper() == f"{port:04X}":
                yield columns[9]


def _processes(proc: Path) -> list[Path]:
    try:
        return sorted((path for path in proc.iterdir() if path.name.isdigit()), key=lambda path: int(path.name))
    except OSError:
        return []


def _open_files(process: Path) -> Iterator[str]:
    try:
        entries = list((process / "fd").iterdir())
    except OSError:
        return
    for entry in entries:
        try:
            yield str(entry.readlink())
        except OSError:
            continue


def _name(process: Path) -> str:
    return _read(process / "comm").strip() or "unnamed"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
