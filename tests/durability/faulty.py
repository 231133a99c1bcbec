"""A reception over a disk that fails at one point, and what the caller, the host and the spool say of it.

Owns      `Fault` (what fails, how), `errors_at` (what may befall a point), `suffer` (one call on the faulty disk, one
          on a healed one, a restart).
Not here  which faults are tried (test_faults.py), what must hold in the spool (judging.py).
"""

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from tests.durability.house import House, Phone, open_house, start_again, write_letter
from tests.durability.judging import Claim, judge
from tests.durability.points import Faults, Tally, WatchedDisk
from tests.virtual import hold_for_threads, virtual_clock
from vfax.host.events import FaxEnded, FaxRecovered, HostEvent, HostFaulted, StorageFailed

PAGES = 3
LATER = 130.0
"""Virtual seconds after which the host has tried again what the disk refused."""
ERRORS: Final = {
    "create": ("EMFILE", "EROFS", "ENOENT"),
    "mkdir": ("ENOSPC", "EROFS"),
    "open_new": ("EMFILE", "ENOENT"),
    "open_again": ("EMFILE",),
    "open_read": ("EMFILE", "EIO"),
    "write": ("ENOSPC", "EIO", "EDQUOT", "short"),
    "fsync": ("ENOSPC", "EIO"),
    "rename": ("ENOSPC", "EROFS", "ENOENT"),
    "link": ("ENOSPC", "EROFS", "ENOENT"),
}
"""What usually befalls an operation; EIO befalls all others."""


def errors_at(point: str) -> tuple[str, ...]:
    """The names of the errors that are tried at a point; "short" for writes of a few octets."""
    return ERRORS.get(point.rpartition(".")[2], ("EIO",))


@dataclass(frozen=True, slots=True)
class Fault:
    """`error` (an errno's name; "short" for writes of a few octets) at `point`, from the `nth` time on.

    `times` 0: until the disk is healed, which it is after the first call.
    """

    point: str
    error: str
    nth: int = 1
    times: int = 0

    def __str__(self) -> str:
        often = f"{self.times} times" if self.times else "always"
        return f"{self.point} {self.error} from {self.nth} {often}"

    def watcher(self) -> Faults:
        """The watcher that makes it so."""
        if self.error == "short":
            return Faults(self.point, 0, chunk=7)
        return Faults(self.point, getattr(errno, self.error), nth=self.nth, times=self.times)


@dataclass
class Suffered:
    """What came of it. `wrong` are the invariants that do not hold."""

    first: Phone
    second: Phone
    hits: int
    events: list[HostEvent]
    wrong: list[str]

    @property
    def sentences(self) -> list[str]:
        """All that the host said about storage or the end of the first fax."""
        said = [event.sentence for event in self.events if isinstance(event, StorageFailed | FaxRecovered)]
        return said + [event.record.sentence for event in self.events if isinstance(event, FaxEnded)]


def suffer(fault: Fault, folder: Path) -> Suffered:
    """Call on the faulty disk, heal it, call again, wait for late deliveries, stop, start again, judge."""
    root = folder / "disk"
    root.mkdir()
    faults, events = fault.watcher(), list[HostEvent]()
    letters = [write_letter(folder / f"{number}.tif", PAGES, number) for number in (1, 2)]
    phones: list[Phone] = []

    async def live() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hold_for_threads)
            async with open_house(root, WatchedDisk(faults), observe=events.append, lines=1) as house:
                phones.extend(house.phone(letter) for letter in letters)
                await phones[0].send()
                await settle(house)
                faults.heal()
                await phones[1].send()
                await trio.sleep(LATER)
            nursery.cancel_scope.cancel()

    trio.run(live, clock=virtual_clock())
    first, second = phones
    wrong = host_faults(events)
    claims = claims_of(phones, events)
    before = judge(root / "spool", claims, started_again=False)
    start_again(root)
    wrong += [f"before the restart: {sentence}" for sentence in before] + judge(root / "spool", claims)
    return Suffered(first, second, faults.hits, events, wrong)


async def settle(house: House) -> None:
    """Wait until the host has no job any more."""
    while house.service.running:  # noqa: ASYNC110  # as a person would look
        await trio.sleep(0.1)


def claims_of(phones: list[Phone], events: list[HostEvent]) -> list[Claim]:
    """What the callers know; `complete` is theirs to claim when the host said so of as many faxes."""
    ended = [event.record for event in events if isinstance(event, FaxEnded)]
    complete = sum(record.ok for record in ended)
    sure = complete == len(phones)
    return [
        Claim(rasters=phone.letter.rasters, confirmed=phone.confirmed, ended=sure, complete=sure) for phone in phones
    ]


def host_faults(events: list[HostEvent]) -> list[str]:
    """Faults of the host itself."""
    return [f"the host had a fault: {event.what}" for event in events if isinstance(event, HostFaulted)]


def points_of_a_reception(folder: Path) -> list[str]:
    """All points that a reception passes, in order, those of the service's start and end left out."""
    root = folder / "disk"
    root.mkdir()
    letter = write_letter(folder / "letter.tif", PAGES, 1)
    tally = Tally()
    order: list[str] = []

    async def live() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hold_for_threads)
            async with open_house(root, WatchedDisk(tally), observe=lambda event: None, lines=1) as house:
                tally.order.clear()
                await house.phone(letter).send()
                await settle(house)
                order.extend(dict.fromkeys(tally.order))
            nursery.cancel_scope.cancel()

    trio.run(live, clock=virtual_clock())
    return order


def words_of(fault: Fault) -> str:
    """What the system calls the error."""
    return os.strerror(getattr(errno, fault.error))
