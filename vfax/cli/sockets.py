"""Who holds a port: the second half of "the port is taken".

Owns      reading /proc on Linux. Not here: opening sockets (transports/udp.py, transports/sip_streams.py).

Everything here may fail for want of rights or of /proc; then the answer is "" and the first half must do.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from vfax.errors import AddressTaken

PROC: Final = Path("/proc")


LISTENING: Final = "0A"  # state of a TCP socket, in hexadecimal


def explain(why: BaseException) -> str:
    """The error's words, and who holds the port when that is what it is about."""
    cause: BaseException | None = why
    while cause is not None and not isinstance(cause, AddressTaken):
        cause = cause.__cause__
    holder = "" if cause is None else holder_of(cause.port, stream=cause.stream)
    return f"{why} {holder}".rstrip()


def holder_of(port: int, *, stream: bool = False, proc: Path = PROC) -> str:
    """Say which process holds the UDP or TCP port, as in "by process 4711 (asterisk)"; "" where nobody can know."""
    inodes = set(_inodes(port, proc, stream=stream))
    if not inodes:
        return ""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for process in _processes(proc):
        if wanted & set(_open_files(process)):
            return f"by process {process.name} ({_name(process)})"
    return "by another user's process"


def _inodes(port: int, proc: Path, *, stream: bool) -> Iterator[str]:
    """Inodes of sockets bound to the port, from the table's columns local_address (1), state (3) and inode (9)."""
    for table in ("tcp", "tcp6") if stream else ("udp", "udp6"):
        for line in _read(proc / "net" / table).splitlines()[1:]:
            columns = line.split()
            here = len(columns) > 9 and columns[1].rpartition(":")[2].upper() == f"{port:04X}"
            if here and (not stream or columns[3] == LISTENING):
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
