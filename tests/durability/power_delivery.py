"""A power cut while a server receives and delivers: the store lists what the spool has, and done is done.

Owns      `record` (one reception of a server with its store, delivered into two folders), `violations` (each state,
          started again, judged).
Not here  the model (model.py, power_store.py), receptions without a store (power.py).
"""

import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import trio

from tests.durability.house import write_letter
from tests.durability.judging import Claim, judge
from tests.durability.judging_store import judge_store
from tests.durability.model import Recorder
from tests.durability.points import HastyDisk, WatchedDisk
from tests.durability.power_store import Recording, Snapshots, Then, lay_out_then, moments, named
from tests.durability.serving import open_server, serve_and_stop
from tests.virtual import hold_for_threads, virtual_clock
from vfax.host.events import DeliveryDone, FaxEnded, HostEvent, RingReceived

PAGES: Final = 2
BEGUN: Final = "begun "


def record(folder: Path, *, forgets: Iterable[str] = (), gives_up: bool = False) -> Recording:
    """Receive in `folder`; with `gives_up` the caller hangs up while the second page is on the line.

    `forgets`: calls that the model does not get to see.
    """
    root = folder / "disk"
    root.mkdir()
    letter = write_letter(folder / "letter.tif", PAGES, seed=1)
    recorder = Recorder(root, frozenset(forgets))
    snapshots = Snapshots(recorder)
    over = trio.Event()

    def observe(event: HostEvent) -> None:
        match event:
            case RingReceived(job):
                recorder.mark(f"{BEGUN}{job}")
            case FaxEnded(record=said):
                recorder.mark("complete" if said.ok else "ended")
                over.set()
            case DeliveryDone(rule=rule):
                recorder.mark(f"delivered {rule}")

    async def receive() -> None:
        disk = WatchedDisk(recorder)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hold_for_threads)
            async with open_server(root, disk, observe=observe, open_store=snapshots.open) as office:
                phone = office.phone(letter, lambda number: recorder.mark(f"confirmed {number}"))
                nursery.start_soon(phone.send)
                if gives_up:
                    await phone.reached(1, page=2)
                    phone.hang_up()
                await over.wait()
                await office.errands.done()
            nursery.cancel_scope.cancel()

    trio.run(receive, clock=virtual_clock())
    return Recording(recorder.past(), snapshots, letter, root)


def violations(recording: Recording, dice: random.Random, most: int) -> Iterator[str]:
    """What does not hold after a power cut, at moments that the dice choose among all of them."""
    for then in moments(recording.past, recording.snapshots, dice, most):
        lay_out_then(then, recording.root)
        yield from named(then, _start_and_judge(then, recording))


def _start_and_judge(then: Then, recording: Recording) -> Iterator[str]:
    root, promises = recording.root, then.promises
    trio.run(serve_and_stop, root, HastyDisk(), [])
    begun = [words.removeprefix(BEGUN) for words in promises if words.startswith(BEGUN)]
    claim = Claim(
        rasters=recording.letter.rasters,
        confirmed=sum(words.startswith("confirmed") for words in promises),
        begun=bool(begun),
        ended="complete" in promises or "ended" in promises,
        complete="complete" in promises,
    )
    yield from judge(root / "spool", [claim])
    yield from judge_store(root, begun)
