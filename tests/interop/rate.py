"""Many short calls a second: `script/interop rate`.

    python -m tests.interop.rate [--rate 100] [--seconds 60] [--refuse] [--transport udp|tcp]

sipp calls, offers T.38, is answered, and hangs up after 0.3 s: media sockets, legs and outcomes included, but no fax.
With --refuse every call hears 486 instead. Over TCP all calls share one connection. Prints what it cost, and how fast
the calls came, from the first to the last as the called side saw them; exit status 1 when a call fails, or when they
come slower than asked for by more than one in a hundred.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from tests.interop.dissect import find_program
from tests.interop.proc import Usage
from tests.interop.sipp_runner import Sipp, SippReport

MODES = {"udp": "u1", "tcp": "t1"}  # sipp's -t


class Watch(threading.Thread):
    """Looks at a process's memory twice a second."""

    def __init__(self, usage: Usage) -> None:
        super().__init__(daemon=True)
        self.usage = usage
        self.rss_mib = [usage.rss_mib()]
        self.over = threading.Event()

    def run(self) -> None:
        """Until told to stop."""
        while not self.over.wait(0.5):
            self.rss_mib.append(self.usage.rss_mib())


def call_at(
    rate: int, seconds: int, folder: Path, *, refuse: bool, transport: str
) -> tuple[SippReport, Watch, dict[str, int], float]:
    """Run it: sipp's report, memory, what the endpoint counted, processor seconds."""
    command = [sys.executable, "-m", "tests.interop.answering", str(folder), "--transport", transport]
    command += ["--refuse"] if refuse else []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as served:
        assert served.stdin is not None
        assert served.stdout is not None
        port = int(served.stdout.readline())
        watch = Watch(Usage(served.pid))
        watch.start()
        scenario = "refused" if refuse else "direct_t38"
        calls = rate * seconds
        sipp = Sipp(
            find_program("sipp", "sip-tester"),
            scenario,
            folder,
            ("127.0.0.1", port),
            calls=calls,
            at_once=rate * 30,
            rate=rate,
            mode=MODES[transport],
            seconds=seconds + 60,
            trace=False,
        )
        with sipp as run:
            report = run.report()
        cpu = watch.usage.cpu_seconds()
        watch.over.set()
        watch.join()
        served.stdin.close()
        counted = json.loads(served.stdout.read())
    return report, watch, counted, cpu


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="many short calls a second")
    parser.add_argument("--rate", type=int, default=100, help="calls a second")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--refuse", action="store_true", help="refuse every call")
    parser.add_argument("--transport", choices=list(MODES), default="udp")
    options = parser.parse_args()
    calls = options.rate * options.seconds
    with tempfile.TemporaryDirectory(prefix="vfax-rate-") as folder:
        report, watch, counted, cpu = call_at(
            options.rate, options.seconds, Path(folder), refuse=options.refuse, transport=options.transport
        )
    took = counted.pop("within_ms") / 1000
    pause, computing = counted.pop("longest_pause_ms"), counted.pop("of_it_computing_ms")
    came, slowest = (counted["taken"] - 1) / max(took, 0.001), counted.pop("fewest_in_a_second")
    rows = {
        "calls": f"{report.good} of {calls} well, over {options.transport.upper()}",
        "came": f"{came:.1f} a second for {took:.1f} s, {slowest} in the slowest second",
        "each": "refused with 486" if options.refuse else "answered with T.38, hung up by sipp after 0.3 s",
        "longest pause": f"{pause} ms, {computing} ms of it our own computing (else the machine's)",
        "processor": f"{cpu:.1f} s, {cpu / calls * 1000:.1f} ms a call, {cpu / took * 100:.0f} % of one",
        "memory": f"{watch.rss_mib[0]:.1f} MiB before, {max(watch.rss_mib):.1f} MiB at most",
        "endpoint": ", ".join(f"{name} {number}" for name, number in counted.items()),
    }
    print("\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]))
    well = report.good == calls and not counted["bugs"] and came >= 0.99 * options.rate
    print("well" if well else f"NOT WELL: {report.errors[-2000:]}")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
