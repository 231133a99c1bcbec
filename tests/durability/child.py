"""What runs in the process that is killed: one scenario's host, and what it tells before it dies.

Owns      `HOSTS`, the hosts by name; the messages to the parent. A new scenario adds its host here.
Not here  the load and the judgement (crash.py).

Everything that a host says goes through `tell` at once, so that the parent knows what was said before the end.
"""

import resource
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, TypeVar

import trio

from tests.durability.killing import Killer, Order
from tests.durability.points import WatchedDisk
from tests.durability.serving import Errands, make_server, serve_and_stop
from tests.durability.store_points import counting, watched_store
from vfax.cli.hosting import running
from vfax.host.events import (
    DeliveriesStalled,
    DeliveryFailed,
    FaxEnded,
    HostEvent,
    HostFaulted,
    JobMoved,
    RingReceived,
    StorageFailed,
)
from vfax.leg import LegOptions
from vfax.t30.options import T30Options, Timers

LINES: Final = 4
SHORT_OCTETS: Final = 100
QUICK: Final = LegOptions(fax=T30Options(ced=False, timers=Timers(linger=0.1)))
"""Without the tone of three seconds that a called machine says first: nobody listens to it here."""


@dataclass(frozen=True, slots=True)
class Listening:
    """The host may be called there."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Begun:
    """A job began."""

    job: str


@dataclass(frozen=True, slots=True)
class Discarded:
    """The user aborts: from here on the pages are not wanted."""

    job: str


@dataclass(frozen=True, slots=True)
class Ended:
    """A job ended; `kept` tells that the service has put it where it belongs."""

    job: str
    ok: bool
    kept: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class Complained:
    """The host had a fault, or its disk had."""

    sentence: str


@dataclass(frozen=True, slots=True)
class Passed:
    """All points that were passed, when the host ended in order."""

    seen: Counter[str]


Message = Listening | Begun | Discarded | Ended | Complained | Passed
M = TypeVar("M", Listening, Begun, Discarded, Ended, Complained, Passed)
Starving = Callable[[], AbstractContextManager[None]]
Tell = Callable[[Message], None]
Host = Callable[[Path, Killer, Tell, trio.Event], Awaitable[None]]
"""Runs on a folder until the event, telling; every point passes the killer."""


async def receiving(
    root: Path,
    killer: Killer,
    tell: Tell,
    stop: trio.Event,
    *,
    abort_at: int = 0,
    starve: Starving | None = None,
    disk: type[WatchedDisk] = WatchedDisk,
) -> None:
    """The server, receiving and delivering. With `abort_at`, the user aborts each fax when that page begins.

    `starve` takes something from the process when the second page of the first fax begins, until that fax has ended.
    """
    told, hunger, errands = set[str](), ExitStack(), Errands()

    def moved(job: str, page: int) -> None:
        if abort_at and page >= abort_at and job not in told:
            tell(Discarded(job))
            server.service.abort(job)
        if starve is not None and page >= 2 and not told:
            hunger.enter_context(starve())
        if page >= max(abort_at, 2):
            told.add(job)

    def observe(event: HostEvent) -> None:
        errands.hear(event)
        if isinstance(event, JobMoved):
            moved(event.job, event.page)
        elif isinstance(event, FaxEnded):
            hunger.close()
        pass_on(event, tell)

    opened = watched_store(killer)
    server, network = make_server(root, disk(killer), observe=observe, leg=QUICK, lines=LINES, open_store=opened)
    async with running(server):
        tell(Listening(*network.address))
        await stop.wait()
        await errands.done()


def pass_on(event: HostEvent, tell: Tell) -> None:
    """Tell what the host says of its faxes and of what went wrong."""
    match event:
        case RingReceived(job):
            tell(Begun(job))
        case FaxEnded(record, document, beside):
            kept = beside is not None or document is not None
            tell(Ended(record.job, record.ok, kept, record.sentence))
        case HostFaulted(what):
            tell(Complained(what))
        case StorageFailed(_, sentence) | DeliveryFailed(sentence=sentence) | DeliveriesStalled(sentence):
            tell(Complained(sentence))


async def repairing(root: Path, killer: Killer, tell: Tell, stop: trio.Event) -> None:
    """A start on what a crash left, and the end."""
    heard: list[HostEvent] = []
    await serve_and_stop(root, WatchedDisk(killer), heard, open_store=watched_store(killer))
    for event in heard:
        if isinstance(event, HostFaulted | StorageFailed):
            tell(Complained(str(event)))


@contextmanager
def short_files() -> Iterator[None]:
    """No file may grow beyond a few octets: the system's own EFBIG."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SHORT_OCTETS, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def no_files() -> Iterator[None]:
    """No file may be opened: the system's own EMFILE."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


class ForgetfulDisk(WatchedDisk):
    """Never gives a page its name, and says that it had: what the harness must notice."""

    def of(self, purpose: str) -> WatchedDisk:
        return ForgetfulDisk(self._watcher, purpose, self._files)

    def rename(self, source: Path, target: Path) -> None:
        if self._purpose == "page":
            self.unlink(source)
        else:
            super().rename(source, target)


class IdleDisk(WatchedDisk):
    """Never puts a fax into the folder that it is delivered to, and says that it had."""

    def of(self, purpose: str) -> WatchedDisk:
        return IdleDisk(self._watcher, purpose, self._files)

    def link(self, source: Path, target: Path) -> None:
        if self._purpose != "target":
            super().link(source, target)


HOSTS: Final[dict[str, Host]] = {
    "receive": receiving,
    "abort": partial(receiving, abort_at=2),
    "short files": partial(receiving, starve=short_files),
    "no files": partial(receiving, starve=no_files),
    "forgetful": partial(receiving, disk=ForgetfulDisk),
    "idle": partial(receiving, disk=IdleDisk),
    "repair": repairing,
    "counting": counting,
}


def main(scenario: str, root: str, order: str, pipe: Connection) -> None:
    """Run in the child: until the parent closes its end of the pipe, or the order ends the process."""
    killer = Killer(Order.parse(order) if order else None)

    async def live() -> None:
        stop = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_await_end, pipe, stop)
            await HOSTS[scenario](Path(root), killer, pipe.send, stop)
            nursery.cancel_scope.cancel()

    trio.run(live)
    pipe.send(Passed(killer.seen))
    pipe.close()


async def _await_end(pipe: Connection, stop: trio.Event) -> None:
    await trio.lowlevel.wait_readable(pipe.fileno())  # anything at all: the parent wants the end
    stop.set()
