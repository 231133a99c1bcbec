"""The queue under load: jobs on many lines, none lost, none sent twice, and what each step of the store takes.

    python bench/jobs.py [--jobs N] [--lines N] [--seconds S] [--url URL]

Each device takes some seconds for a fax, half as long to one and a half times as long as said, by seeded dice, and does
nothing (tests/host/scripted.py); so what is measured is the host: claims, attempts, ends, events. All jobs are queued
before the first is sent. Wall milliseconds of the calls into the store, with all lines at work and in turn with each
other. Figures are printed, never asserted; a job that is lost or sent twice ends it with 1.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import trio

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.host.scripted import PAGE, HintedProvider, Operation, Script
from vfax.fsp.constants import JobStatusEnum
from vfax.fsp.provider import RegistrationRecord
from vfax.host.outgoing import keep_document
from vfax.host.queue import QueueOptions
from vfax.host.server import FaxServer, ServerOptions
from vfax.host.service import HostOptions
from vfax.host.store.store import Store
from vfax.host.store.values import Recipient, Submission

TIMED = ("submit", "claim", "next_due", "begin_attempt", "end_attempt", "job", "jobs", "add_events")
SEED = 1
BROADCAST = 100
"""Recipients of one submission."""


class Timed(Store):
    """A store that notes what its calls take, in milliseconds."""

    took: dict[str, list[float]] = defaultdict(list)  # noqa: RUF012

    def __getattribute__(self, name: str) -> object:
        found = super().__getattribute__(name)
        if name not in TIMED or not callable(found):
            return found

        def timed(*about: object, **more: object) -> object:
            began = time.perf_counter()
            try:
                return found(*about, **more)
            finally:
                self.took[name].append((time.perf_counter() - began) * 1e3)

        return timed


class Patient(HintedProvider):
    """Devices that take their time, never quite the same."""

    seconds = 0.0
    dice = random.Random(SEED)

    async def _work(self, job: Operation) -> None:
        await trio.sleep(self.seconds * self.dice.uniform(0.5, 1.5))
        await super()._work(job)


def create(configuration: Mapping[str, object]) -> Patient:
    """Entry point of the registration record."""
    script, seconds = configuration["script"], configuration["seconds"]
    assert isinstance(script, Script)
    assert isinstance(seconds, float)
    script.provider = provider = Patient(script)
    provider.seconds = seconds
    return provider


async def load(
    spool: Path, url: str, jobs: int, lines: int, seconds: float
) -> tuple[float, Counter[str], Counter[str]]:
    """Queue, send, and tell the seconds it took, what was sent to whom, and how the jobs ended."""
    script = Script(count=lines)
    record = RegistrationRecord(
        guid="{11111111-1111-4111-8111-111111111111}",
        friendly_name="load",
        image_name="bench.jobs:create",
        configuration={"script": script, "seconds": seconds},
    )
    page = spool / "page.tif"
    page.write_bytes(PAGE)
    document = keep_document(spool, page)
    options = ServerOptions(host=HostOptions(spool=spool), store_url=url, queue=QueueOptions(look=1.0))
    server = FaxServer(options, [record], open_store=Timed.open)
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda task_status=trio.TASK_STATUS_IGNORED: server.run(task_status=task_status))
        await server.queue.pause_queue(paused=True)
        for first in range(0, jobs, BROADCAST):
            to = tuple(Recipient(number=f"+49{number:09d}") for number in range(first, min(first + BROADCAST, jobs)))
            await server.queue.submit(Submission(document=document, pages=1, recipients=to))
        await server.queue.pause_queue(paused=False)
        began = time.perf_counter()
        while True:
            counts = await trio.to_thread.run_sync(server.store.counts)
            done = sum(number for status, number in counts.items() if status is JobStatusEnum.fjsCOMPLETED)
            print(f"\r{done} of {jobs} sent", end="", file=sys.stderr, flush=True)
            if done >= jobs or time.perf_counter() - began > 3600:
                break
            await trio.sleep(1.0)
        took = time.perf_counter() - began
        server.stop()
    print(file=sys.stderr)
    ended = Counter({str(status.name): number for status, number in counts.items()})
    return took, Counter(sent.receiver_number for sent in script.sent), ended


def main() -> int:
    """Measure, print, and refuse what was lost or doubled."""
    parser = argparse.ArgumentParser(description="the queue under load")
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--lines", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=2.0, help="that a fax takes on its line")
    parser.add_argument("--url", default="", help="of the store; SQLite in a temporary folder unless said")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vfax-bench-") as name:
        spool = Path(name)
        url = given.url or f"sqlite:///{spool / 'vfax.db'}"
        took, sent, ended = trio.run(load, spool, url, given.jobs, given.lines, given.seconds)
    print(
        f"{datetime.now(UTC):%Y-%m-%d} {given.jobs} jobs on {given.lines} lines: "
        f"{took:.1f} s, {given.jobs / took:.0f} a second"
    )
    print(f"{'':<16}{'calls':>8}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}")
    for what in TIMED:
        times = sorted(Timed.took.get(what, ()))
        if times:
            p50, p99 = times[len(times) // 2], times[min(len(times) - 1, len(times) * 99 // 100)]
            print(f"{what:<16}{len(times):>8}{p50:>9.2f}{p99:>9.2f}{times[-1]:>9.2f}")
    twice = [number for number, times_sent in sent.items() if times_sent > 1]
    lost = given.jobs - len(sent)
    print(f"lost: {lost}, sent twice: {len(twice)}, ended: {dict(ended)}")
    return 1 if lost or twice or ended["fjsCOMPLETED"] != given.jobs else 0


if __name__ == "__main__":
    sys.exit(main())
