"""A power cut at every moment of one reception: the recording, the states it leaves, what the next start makes of them.

Owns      `record` (one reception on a recorded disk), `states` (what may be left of it, alike ones together),
          `try_state`, `cut_again` (a second power cut, during the repair).
Not here  the model (model.py), what must hold (judging.py), which receptions are tried (test_power.py).
"""

import random
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import trio

from tests.durability.house import House, Letter, Phone, open_house, start_again, write_letter
from tests.durability.judging import Claim, judge
from tests.durability.model import Image, Past, Recorder, key_of, lay_out
from tests.durability.points import Both, WatchedDisk, Watcher
from tests.virtual import hold_for_threads, virtual_clock
from vfax.host.events import FaxEnded, HostEvent, RingReceived
from vfax.leg import LegOptions
from vfax.outcome import Cause
from vfax.t30.options import T30Options

PAGES = 3

Course = Callable[[House, Phone, Callable[[str], None]], Awaitable[None]]
"""What happens in the call; it marks what it asks the service for."""


async def delivered(house: House, phone: Phone, mark: Callable[[str], None]) -> None:
    """All pages come, and the end."""
    await phone.send()


async def failed(house: House, phone: Phone, mark: Callable[[str], None]) -> None:
    """The caller gives up while the second page is on the line."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(phone.send)
        await phone.reached(1, page=2)
        phone.hang_up()


async def aborted(house: House, phone: Phone, mark: Callable[[str], None]) -> None:
    """The user aborts while the second page is on the line: the pages are not wanted."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(phone.send)
        await phone.reached(1, page=2)
        (job,) = house.service.running
        mark("discarded")
        assert house.service.abort(job)


async def stopped(house: House, phone: Phone, mark: Callable[[str], None]) -> None:
    """The service is stopped while the second page is on the line: the pages are kept."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(phone.send)
        await phone.reached(1, page=2)
        house.service.stop()


@dataclass(frozen=True)
class Recording:
    """One reception: all that the disk was asked, and what was sent."""

    past: Past
    letter: Letter

    def claim(self, moment: int) -> Claim:
        """What those outside know at that moment."""
        marks = self.past.marks(moment)
        return Claim(
            rasters=self.letter.rasters,
            confirmed=sum(words.startswith("confirmed") for words in marks),
            begun="begun" in marks,
            ended="ended" in marks,
            complete="complete" in marks,
            discarded="discarded" in marks,
        )


def record(
    folder: Path, course: Course, *, ecm: bool, forgets: Iterable[str] = (), beside: Watcher | None = None
) -> Recording:
    """One reception of three pages in `folder`. `forgets`: calls that the model does not get to see."""
    root = folder / "disk"
    root.mkdir()
    letter = write_letter(folder / "letter.tif", PAGES, seed=1)
    recorder = Recorder(root, frozenset(forgets))
    watcher = recorder if beside is None else Both(beside, recorder)
    over = trio.Event()

    def observe(event: HostEvent) -> None:
        match event:
            case RingReceived():
                recorder.mark("begun")
            case FaxEnded(record=said):
                if said.ok:
                    recorder.mark("complete")
                if said.cause is not Cause.STORAGE:  # else it waits for another attempt
                    recorder.mark("ended")
                over.set()

    async def receive() -> None:
        leg = LegOptions(fax=T30Options(ecm=ecm))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hold_for_threads)
            async with open_house(root, WatchedDisk(watcher), observe=observe, leg=leg) as house:
                phone = house.phone(letter, lambda number: recorder.mark(f"confirmed {number}"))
                await course(house, phone, recorder.mark)
                await over.wait()
            nursery.cancel_scope.cancel()

    trio.run(receive, clock=virtual_clock())
    return Recording(recorder.past(), letter)


@dataclass(frozen=True)
class State:
    """A state of the folder: the first moment that can leave it, and all that could be known then."""

    image: Image
    moment: int
    point: str
    claims: set[Claim] = field(default_factory=set)


def states(past: Past, claim_at: Callable[[int], Claim], dice: random.Random) -> list[State]:
    """All that the power cut may leave, at any moment; states that look alike are one."""
    found: dict[object, State] = {}
    for moment in range(len(past.steps) + 1):
        for image in past.remains(moment, dice):
            point = past.points[moment - 1] if moment else "the beginning"
            found.setdefault(key_of(image), State(image, moment, point)).claims.add(claim_at(moment))
    return list(found.values())


@dataclass(frozen=True, slots=True)
class Violation:
    """What did not hold after a power cut behind the call at `point`."""

    moment: int
    point: str
    sentence: str

    def __str__(self) -> str:
        return f"power cut at moment {self.moment}, after {self.point}: {self.sentence}"


def try_state(state: State, scratch: Path) -> Iterator[Violation]:
    """Lay one state out, start on it, judge, and start once more, which must change nothing."""
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        root = Path(name)
        lay_out(state.image, root)
        said = start_again(root)
        wrong = {sentence for claim in state.claims for sentence in judge(root / "spool", [claim])}
        before = _listing(root)
        start_again(root)
        if _listing(root) != before:
            wrong.add(f"the start after the next changed what lies there; the first had said {said}")
    for sentence in sorted(wrong):
        yield Violation(state.moment, state.point, sentence)


def _listing(root: Path) -> list[tuple[str, int]]:
    return sorted((str(path.relative_to(root)), path.stat().st_ino) for path in root.rglob("*"))


def cut_again(state: State, scratch: Path, dice: random.Random) -> list[State]:
    """The states that a second power cut, in the middle of the repair of this one, may leave."""
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        root = Path(name)
        lay_out(state.image, root)
        recorder = Recorder(root)
        start_again(root, WatchedDisk(recorder))
    again = states(recorder.past(), lambda moment: Claim(rasters=()), dice)
    for other in again:
        other.claims.clear()
        other.claims.update(state.claims)
    return again
