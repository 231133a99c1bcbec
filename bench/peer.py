"""Keep N libspandsp callers busy against one SIP address, in real time: the load for bench/receive.py.

    python bench/peer.py 127.0.0.1:5060 --at-once 10 --calls 20 --page page.tif

Each caller sends one page and hangs up; a new call follows until `--calls` are done. Prints one JSON object: calls,
failed, why (texts with counts), wall_s, cpu_s of this process, max_at_once. Uses nothing of vfax: libspandsp behind the
peer of the interop tests, one process, one SIP socket for all.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import trio

sys.path.append(str(Path(__file__).resolve().parents[1]))

from tests.interop.documents import standard_page, write_fax
from tests.interop.peer import CallResult, Habits, SpandspPeer, open_peer

PATIENCE_S = 180.0
HABITS = Habits(watch_frames=False, patience=PATIENCE_S)


class Load:
    """What is left to do and how it went."""

    def __init__(self, calls: int) -> None:
        self.left = calls
        self.done = 0
        self.running = 0
        self.max_at_once = 0
        self.why: Counter[str] = Counter()

    def count(self, result: CallResult) -> None:
        """Add one call; it failed when libspandsp says so or something was wrong on the wire."""
        self.done += 1
        if not result.ok:
            said = result.verdict.text if result.verdict else "no fax"
            self.why[f"SIP {result.status}, {said}"] += 1
        elif result.complaints:
            self.why[result.complaints[0]] += 1


async def keep_calling(peer: SpandspPeer, uri: str, page: Path, load: Load, delay: float) -> None:
    await trio.sleep(delay)
    while load.left > 0:
        load.left -= 1
        load.running += 1
        load.max_at_once = max(load.max_at_once, load.running)
        load.count(await peer.call(uri, page, HABITS))
        load.running -= 1


async def run(uri: str, page: Path, at_once: int, calls: int, spread: float) -> Load:
    load = Load(calls)
    async with open_peer(keep=False) as peer, trio.open_nursery() as nursery:
        for number in range(at_once):
            nursery.start_soon(keep_calling, peer, uri, page, load, spread * number / at_once)
    return load


def main() -> None:
    parser = argparse.ArgumentParser(description="libspandsp callers against a SIP address")
    parser.add_argument("address", help="HOST:PORT of the side under test")
    parser.add_argument("--at-once", type=int, default=1)
    parser.add_argument("--calls", type=int, default=1)
    parser.add_argument("--spread", type=float, default=2.0, help="seconds over which the first calls start")
    parser.add_argument("--page", type=Path, help="TIFF to send; a standard page is drawn when it is missing")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vfax-bench-") as folder:
        page = options.page or write_fax(Path(folder) / "page.tif", [standard_page()])
        started = time.monotonic()
        load = trio.run(run, f"sip:fax@{options.address}", page, options.at_once, options.calls, options.spread)
    used = resource.getrusage(resource.RUSAGE_SELF)
    report = {
        "calls": load.done,
        "failed": sum(load.why.values()),
        "why": dict(load.why),
        "wall_s": round(time.monotonic() - started, 2),
        "cpu_s": round(used.ru_utime + used.ru_stime, 2),
        "max_at_once": load.max_at_once,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
