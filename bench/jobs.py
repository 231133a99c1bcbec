"""The queue under load: jobs on many lines, none lost, none sent twice, and what each step of the store takes.

    python bench/jobs.py [--jobs N] [--lines N] [--seconds S | --real [--own] [--aside]] [--url URL]

Each device takes some seconds for a fax, half as long to one and a half times as long as said, by seeded dice, and does
nothing (tests/host/scripted.py); so what is measured is the host: jobs taken and begun, ends, events. Nine tenths of
the jobs are queued before the first is sent, in broadcasts; the others one by one, while the lines are at work. Wall
milliseconds of the calls into the store from the start on, with all lines at work and in turn with each other, and of
the broadcasts before it. Figures are printed, never asserted; a job that is lost or sent twice ends it with 1.

With --real the devices are vfax's own and call a `vfax serve` of another process over loopback, SIP, T.38 and all; what
counts as sent is what lies in its inbox, told apart by the number that was dialled. It has the same processors and the
same disk; with --aside it gets of them what this side leaves (SCHED_IDLE) and keeps its faxes in memory, as a stand-in
for machines of its own.
"""

import argparse
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import trio
from sqlalchemy import func, select

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.host.scripted import PAGE, HintedProvider, Operation, Script
from tests.interop.documents import standard_page, write_fax
from vfax.cli import SWITCH_SECONDS
from vfax.codecs.dis import Resolution
from vfax.codecs.tiff import prepare_document
from vfax.fsp.constants import JobStatusEnum
from vfax.fsp.provider import RegistrationRecord
from vfax.host.memory import settled
from vfax.host.outgoing import keep_document
from vfax.host.queue_options import QueueOptions
from vfax.host.server import FaxServer, ServerOptions
from vfax.host.service import HostOptions
from vfax.host.store.schema import attempts
from vfax.host.store.store import Store
from vfax.host.store.values import Recipient, Submission
from vfax.settings import Settings, wiring

ROOT = Path(__file__).resolve().parent.parent
TIMED = ("broadcast", "submit", "take", "next_due", "begin_attempt", "end_attempt", "job", "jobs", "add_events")
SEED = 1
LIMIT = 5400.0  # seconds; what has not been sent by then is lost
LOOK = 4.7  # seconds between two looks at how far it is: counting all jobs is work, and not the queue's
AGAIN = 10.0  # seconds until a fax that failed is tried again
MEMORY = "/dev/shm"
BROADCAST = 100
"""Recipients of one submission before the start."""
SINGLE = 10
"""One job of so many is submitted by itself, while the lines are at work."""


class Timed(Store):
    """A store that notes what its calls take, in milliseconds."""

    took: dict[str, list[float]] = defaultdict(list)  # noqa: RUF012

    def __getattribute__(self, name: str) -> object:
        found = super().__getattribute__(name)
        if name not in TIMED or not callable(found):
            return found

        def timed(*about: object, **more: object) -> object:
            many = name == "submit" and isinstance(about[0], Submission) and len(about[0].recipients) > 1
            began = time.perf_counter()
            try:
                return found(*about, **more)
            finally:
                self.took["broadcast" if many else name].append((time.perf_counter() - began) * 1e3)

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


class Scripted:
    """Devices that only take time."""

    def __init__(self, lines: int, seconds: float) -> None:
        self.lines, self.seconds = lines, seconds
        self.script = Script(count=lines)
        self.record = RegistrationRecord(
            guid="{11111111-1111-4111-8111-111111111111}",
            friendly_name="load",
            image_name="bench.jobs:create",
            configuration={"script": self.script, "seconds": seconds},
        )

    def page(self, path: Path) -> None:
        """Write the document."""
        path.write_bytes(PAGE)

    def number(self, at: int) -> str:
        """Whom job `at` goes to."""
        return f"+49{at:09d}"

    def sent(self) -> Counter[str]:
        """How often each was sent to."""
        return Counter(order.receiver_number for order in self.script.sent)


class Real:
    """vfax's own devices, which call another vfax."""

    seconds = 5.0  # about what a page takes with both on two processors

    def __init__(self, lines: int, port: int, inbox: Path, *, own: bool) -> None:
        self.lines = lines
        given = Settings()
        sip = given.sip.model_copy(update={"listen": "127.0.0.1:0"})
        host = given.host.model_copy(update={"lines": lines})
        provider = given.provider.model_copy(update={"process": "own" if own else "host"})
        settings = given.model_copy(update={"host": host, "sip": sip, "provider": provider})
        self.record = wiring.own_registration(settings, None if own else wiring.network(settings))
        self._port, self._inbox = port, inbox

    def page(self, path: Path) -> None:
        """Write the document, as one that is submitted is prepared."""
        source = write_fax(path.with_name("source.tif"), [standard_page()])
        prepare_document([source], path, resolution=Resolution.STANDARD)

    def number(self, at: int) -> str:
        """Whom job `at` goes to."""
        return f"sip:{at}@127.0.0.1:{self._port}"

    def sent(self) -> Counter[str]:
        """How often each was received, of whole faxes."""
        records = [json.loads(path.read_bytes()) for path in self._inbox.glob("*.json")]
        return Counter(
            self.number(int(one["dialled"])) for one in records if one["outcome"]["ok"] and one["pages"] == 1
        )


@contextmanager
def receiver(folder: Path, lines: int, *, own: bool, aside: bool) -> Iterator[Real]:
    """A `vfax serve` that answers the calls, in a process of its own."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    at = ["--listen", f"127.0.0.1:{port}", "--spool", str(folder / "spool"), "--lines", str(lines + 10)]
    with (folder / "log").open("wb") as log:
        open_door = {**os.environ, "VFAX_ABUSE__UNPROVEN_SHARE": "1.0"}  # all lines at once, as soon as it listens
        serving = subprocess.Popen(
            [sys.executable, "-m", "vfax", "serve", *at], stdout=log, stderr=log, cwd=ROOT, env=open_door
        )
    if aside:
        os.sched_setscheduler(serving.pid, os.SCHED_IDLE, os.sched_param(0))
    try:
        while b"is listening" not in (folder / "log").read_bytes():
            if serving.poll() is not None:
                raise SystemExit((folder / "log").read_text("utf-8"))
            time.sleep(0.1)
        yield Real(lines, port, folder / "spool" / "inbox", own=own)
    finally:
        serving.terminate()
        serving.wait(30)


async def until_sent(store: Store, jobs: int) -> tuple[float, Mapping[JobStatusEnum, int]]:
    """Wait for all jobs to be sent, or for the limit: the seconds, and how many jobs have which status."""
    began = time.perf_counter()
    while True:
        counts = await trio.to_thread.run_sync(store.counts)
        done = counts.get(JobStatusEnum.fjsCOMPLETED, 0)
        print(f"\r{done} of {jobs} sent", end="", file=sys.stderr, flush=True)
        if done >= jobs or time.perf_counter() - began > LIMIT:
            return time.perf_counter() - began, counts
        await trio.sleep(LOOK)


def letter(devices: Scripted | Real, document: str, jobs: range) -> Submission:
    """A page to the recipients of these jobs."""
    to = tuple(Recipient(number=devices.number(at)) for at in jobs)
    return Submission(document=document, pages=1, recipients=to, retry_delay=AGAIN)


async def submit_singly(server: FaxServer, devices: Scripted | Real, document: str, jobs: range) -> None:
    """Submit one job after the other, one for `SINGLE` that are sent."""
    for at in jobs:
        await trio.sleep(SINGLE * devices.seconds / devices.lines)
        await server.queue.submit(letter(devices, document, range(at, at + 1)))


async def load(spool: Path, url: str, jobs: int, devices: Scripted | Real) -> tuple[float, Counter[str], Counter[str]]:
    """Queue, send, and tell the seconds it took, how the jobs ended, and why attempts failed."""
    page = spool / "page.tif"
    devices.page(page)
    document = keep_document(spool, page)
    options = ServerOptions(host=HostOptions(spool=spool), store_url=url, queue=QueueOptions(look=1.0))
    server = FaxServer(options, [devices.record], open_store=Timed.open)
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda task_status=trio.TASK_STATUS_IGNORED: server.run(task_status=task_status))
        before = jobs - jobs // SINGLE
        await server.queue.pause_queue(paused=True)
        for first in range(0, before, BROADCAST):
            await server.queue.submit(letter(devices, document, range(first, min(first + BROADCAST, before))))
        with settled():  # as `vfax serve`, before there is work
            for what in set(Timed.took) - {"broadcast"}:
                del Timed.took[what]  # the lines were not at work
            await server.queue.pause_queue(paused=False)
            nursery.start_soon(submit_singly, server, devices, document, range(before, jobs))
            took, counts = await until_sent(server.store, jobs)
        causes = await trio.to_thread.run_sync(failures, server.store)
        server.stop()
    print(file=sys.stderr)
    return took, Counter({str(status.name): number for status, number in counts.items()}), causes


def failures(store: Store) -> Counter[str]:
    """Why attempts failed, and how many of them."""
    query = select(attempts.c.cause, func.count()).where(attempts.c.cause != "complete").group_by(attempts.c.cause)
    return Counter(dict(store._database.read(lambda db: db.execute(query).all())))


def main() -> int:
    """Measure, print, and refuse what was lost or doubled."""
    parser = argparse.ArgumentParser(description="the queue under load")
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--lines", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=2.0, help="that a fax takes on its line")
    parser.add_argument("--real", action="store_true", help="send real faxes, to a vfax of another process")
    parser.add_argument("--own", action="store_true", help="with --real: its devices in a process of their own")
    parser.add_argument("--aside", action="store_true", help="with --real: the other side yields (Linux)")
    parser.add_argument("--url", default="", help="of the store; SQLite in a temporary folder unless said")
    given = parser.parse_args()
    sys.setswitchinterval(SWITCH_SECONDS)  # as `vfax serve` does
    with ExitStack() as beside:
        folder = partial(tempfile.TemporaryDirectory, prefix="vfax-bench-")
        spool = Path(beside.enter_context(folder()))
        there = Path(beside.enter_context(folder(dir=MEMORY if given.aside else None)))
        url = given.url or f"sqlite:///{spool / 'vfax.db'}"
        devices: Scripted | Real = Scripted(given.lines, given.seconds)
        if given.real:
            devices = beside.enter_context(receiver(there, given.lines, own=given.own, aside=given.aside))
        took, ended, causes = trio.run(load, spool, url, given.jobs, devices)
        sent = devices.sent()
    print(
        f"{datetime.now(UTC):%Y-%m-%d} {given.jobs} {'faxes' if given.real else 'jobs'} on {given.lines} lines: "
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
    print(f"lost: {lost}, sent twice: {len(twice)}, ended: {dict(ended)}, attempts that failed: {dict(causes)}")
    return 1 if lost or twice or ended["fjsCOMPLETED"] != given.jobs else 0


if __name__ == "__main__":
    sys.exit(main())
