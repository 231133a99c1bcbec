"""What receiving costs: CPU seconds a page and memory a call of `vfax serve` under N concurrent calls.

    python bench/receive.py [--at-once 1,10,50,100] [--rounds 1] [--warm] [-- COMMAND ...]

For each N a fresh server is started, its idle memory is read, N libspandsp callers (bench/peer.py, a process of its
own) send one standard page each (1728 x 1100, 19 KB of MMR, ECM, V.17 14400, redundancy 3) in real time, and the
server's whole process tree is read from /proc. Figures are printed, never asserted. A COMMAND may stand for the
server; {port}, {spool} and {lines} are filled in, so that another fax server can be measured the same way.
"""

import argparse
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

from tests.interop.documents import mmr_octets, standard_page, write_fax

ROOT = Path(__file__).resolve().parents[1]
TICKS = os.sysconf("SC_CLK_TCK")
SERVER = [
    sys.executable,
    "-m",
    "vfax",
    "serve",
    "--listen",
    "127.0.0.1:{port}",
    "--spool",
    "{spool}",
    "--lines",
    "{lines}",
]
START_S = 20.0
SAMPLE_S = 0.25
MIB = 1024.0
COLUMNS = (("at once", 8), ("pages", 7), ("failed", 8), ("CPU s/page", 12), ("MiB/call", 10), ("idle MiB", 10))
HEAD = "".join(f"{name:>{width}}" for name, width in (*COLUMNS, ("peak MiB", 10), ("wall s", 8)))


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds and resident KiB of a process and its descendants."""

    cpu_s: float
    resident_kib: int


def usage(pid: int) -> Usage:
    """Read /proc for a process tree; a process that has just gone counts nothing."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        status = Path(f"/proc/{pid}/status").read_text()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return Usage(0.0, 0)
    cpu = sum(int(field) for field in fields[11:15]) / TICKS  # utime, stime and those of children waited for
    resident = next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")), 0)
    below = [usage(int(child)) for child in children]
    return Usage(cpu + sum(u.cpu_s for u in below), resident + sum(u.resident_kib for u in below))


class Peak(threading.Thread):
    """Samples resident memory until told to stop."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._stop_now = threading.Event()
        self.resident_kib = 0

    def run(self) -> None:
        """Sample until `stop`."""
        while not self._stop_now.wait(SAMPLE_S):
            self.resident_kib = max(self.resident_kib, usage(self._pid).resident_kib)

    def stop(self) -> int:
        """End the sampling; gives the highest resident KiB seen."""
        self._stop_now.set()
        self.join()
        return self.resident_kib


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    """Does a SIP endpoint answer OPTIONS there?"""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        probe.settimeout(0.2)
        here = probe.getsockname()[1]
        unique = time.monotonic_ns()
        lines = [
            f"OPTIONS sip:127.0.0.1:{port} SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{here};branch=z9hG4bK{unique}",
            f"From: <sip:bench@127.0.0.1:{here}>;tag=b",
            f"To: <sip:127.0.0.1:{port}>",
            f"Call-ID: {unique}@bench",
            "CSeq: 1 OPTIONS",
            "Max-Forwards: 70",
            f"Contact: <sip:bench@127.0.0.1:{here}>",
            "Content-Length: 0",
        ]
        try:
            probe.connect(("127.0.0.1", port))
            probe.send(("\r\n".join(lines) + "\r\n\r\n").encode())
            return probe.recv(65535).startswith(b"SIP/2.0 200")
        except OSError:
            return False


def start_server(command: list[str], port: int, spool: Path, lines: int) -> subprocess.Popen[bytes]:
    """Start the side under test and wait until it answers; says what it printed when it does not."""
    filled = [part.format(port=port, spool=spool, lines=lines) for part in command]
    log = spool.parent / "server.log"
    with log.open("wb") as output:
        child = subprocess.Popen(filled, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT)
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and child.poll() is None:
        if answers(port):
            return child
    child.kill()
    raise SystemExit(f"{shlex.join(filled)} does not answer on port {port}; it said:\n{log.read_text()[-2000:]}")


def send(port: int, page: Path, at_once: int, calls: int) -> dict[str, object]:
    """Let libspandsp callers send; gives what they report."""
    sender = [sys.executable, str(ROOT / "bench" / "peer.py"), f"127.0.0.1:{port}", "--page", str(page)]
    sender += ["--at-once", str(at_once), "--calls", str(calls)]
    done = subprocess.run(sender, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    report: dict[str, object] = json.loads(done.stdout)
    return report


def measure(command: list[str], page: Path, at_once: int, calls: int, *, warm: bool) -> str:
    """One row of the table; `warm`: after a first call that does not count (it pays for late imports)."""
    with tempfile.TemporaryDirectory(prefix="vfax-bench-") as folder:
        spool, port = Path(folder) / "spool", free_port()
        server = start_server(command, port, spool, at_once)
        try:
            idle = usage(server.pid).resident_kib
            if warm:
                send(port, page, 1, 1)
            before, peak = usage(server.pid), Peak(server.pid)
            peak.start()
            report = send(port, page, at_once, calls)
            time.sleep(1.0)  # the last pages are put together
            after, highest = usage(server.pid), peak.stop()
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
        found = len(list(spool.glob("inbox/*.tif"))) - warm
        return row(report, after.cpu_s - before.cpu_s, (idle, before.resident_kib, highest), at_once, found)


def row(report: dict[str, object], cpu_s: float, resident: tuple[int, int, int], at_once: int, found: int) -> str:
    """`resident` in KiB: when idle, before the calls, at the highest."""
    idle, before, highest = resident
    calls, failed = int(str(report["calls"])), int(str(report["failed"]))
    pages = calls - failed
    text = f"{at_once:>8}{pages:>7}{failed:>8}{cpu_s / max(pages, 1):>12.4f}{(highest - before) / MIB / at_once:>10.2f}"
    text += f"{idle / MIB:>10.1f}{highest / MIB:>10.1f}{float(str(report['wall_s'])):>8.1f}"
    text += f"   sender CPU s {report['cpu_s']}"
    if found != pages:
        text += f", {found} files in the inbox"
    return f"{text}, {report['why']}" if failed else text


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU and memory of receiving, fed by libspandsp callers")
    parser.add_argument("--at-once", default="1,10,50,100", help="numbers of concurrent calls")
    parser.add_argument("--rounds", type=int, default=1, help="calls of each caller")
    parser.add_argument("--warm", action="store_true", help="let one call pass before measuring")
    parser.add_argument("command", nargs="*", help="the server to measure, after --")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vfax-bench-") as folder:
        drawn = standard_page()
        page = write_fax(Path(folder) / "page.tif", [drawn])
        print(
            f"standard page: {drawn.width} x {drawn.height}, {mmr_octets(drawn)} octets as MMR; {os.cpu_count()} CPUs"
        )
        print(HEAD, flush=True)
        command = options.command or SERVER
        for number in (int(part) for part in options.at_once.split(",")):
            print(measure(command, page, number, number * options.rounds, warm=options.warm), flush=True)


if __name__ == "__main__":
    main()
