"""Deliveries into folders on a disk that fails at any one point: the fax stays, the host says why, and tries again.

The table is every point of a delivery by every kind of trouble, over a server with its store.
"""

import errno
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest
import trio

from tests.durability.faulty import Fault, errors_at, settle, words_of
from tests.durability.house import write_letter
from tests.durability.judging import Claim, judge
from tests.durability.judging_store import judge_store
from tests.durability.points import Both, Faults, HastyDisk, Tally, WatchedDisk
from tests.durability.serving import COPIES, Office, open_server, serve_and_stop
from tests.virtual import hold_for_threads, virtual_clock
from vfax.disk import Disk
from vfax.host.deliver_folder import deliver
from vfax.host.events import DeliveriesStalled, DeliveryDone, DeliveryFailed, HostEvent, HostFaulted, StorageFailed
from vfax.host.parcel import Parcel, Result
from vfax.host.routing import FolderTarget
from vfax.host.store.values import DeliveryState, StoredDelivery, StoredFax

MAKING: Final = ("target.mkdir", "target.fsync_dir")
COPYING: Final = ("target.create", "target.write", "target.fsync", "target.close", "target.link", "target.unlink")
POINTS: Final = (*MAKING, *COPYING)
"""Every point of a delivery, in order."""
RESTS: Final = ("target.unlink",)
"""Removing the first name of a file: a folder that does not let us do that has the fax all the same."""
TABLE: Final = [Fault(point, error) for point in POINTS for error in errors_at(point)]
NOON: Final = datetime(2025, 1, 31, 12, tzinfo=UTC)
TARGET: Final = FolderTarget(folder=COPIES.folder)


class Served:
    """One fax that is received and delivered while something is wrong, another one when all is well again."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "disk"
        self.root.mkdir()
        self.letters = [write_letter(folder / f"{number}.tif", 2, number) for number in (1, 2)]
        self.events: list[HostEvent] = []
        self.claims: list[Claim] = []

    def run(self, disk: Disk, heal: Callable[[], object], *, until: type[HostEvent] = DeliveryFailed) -> None:
        """Receive, wait for the first event of the kind, heal, receive again, wait for all deliveries."""
        heard = trio.Event()

        def observe(event: HostEvent) -> None:
            self.events.append(event)
            if isinstance(event, until):
                heard.set()

        async def live() -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(hold_for_threads)
                async with open_server(self.root, disk, observe=observe) as office:
                    await self._call(office, 0)
                    await heard.wait()
                    heal()
                    await self._call(office, 1)
                    await office.errands.done()
                nursery.cancel_scope.cancel()

        trio.run(live, clock=virtual_clock())

    async def _call(self, office: Office, number: int) -> None:
        letter = self.letters[number]
        phone = office.phone(letter)
        await phone.send()
        await settle(office)
        ok = phone.outcome is not None and phone.outcome.ok
        self.claims.append(
            Claim(rasters=letter.rasters, confirmed=phone.confirmed, begun=True, ended=True, complete=ok)
        )

    def sentences(self) -> list[str]:
        """What the host said of deliveries that failed."""
        return [event.sentence for event in self.events if isinstance(event, DeliveryFailed)]

    def wrong(self) -> list[str]:
        """What does not hold, now and after the next start."""
        faults = [e for e in self.events if isinstance(e, HostFaulted | StorageFailed | DeliveriesStalled)]
        found = [f"the host says: {event}" for event in faults]
        found += [f"call {at} did not end well" for at, claim in enumerate(self.claims) if not claim.complete]
        found += judge(self.root / "spool", self.claims) + judge_store(self.root)
        trio.run(serve_and_stop, self.root, HastyDisk(), [])
        return found + judge_store(self.root)


def test_the_table_has_every_point_of_a_delivery(scratch: Path) -> None:
    tally, served = Tally(), Served(scratch)
    served.run(WatchedDisk(tally), lambda: None, until=DeliveryDone)
    assert served.wrong() == []
    assert {point for point in tally.order if point.startswith("target.")} == set(POINTS)


@pytest.mark.parametrize("fault", TABLE, ids=str)
def test_a_fault_costs_time_and_no_delivery(fault: Fault, scratch: Path) -> None:
    faults, served = fault.watcher(), Served(scratch)
    passes = fault.error == "short" or fault.point in RESTS
    served.run(WatchedDisk(faults), faults.heal, until=DeliveryDone if passes else DeliveryFailed)
    left = [sentence for sentence in served.wrong() if fault.point not in RESTS or " holds .new-" not in sentence]
    assert left == []
    if passes:
        assert served.sentences() == []
        return
    assert faults.hits > 0
    assert served.sentences()
    assert all(words_of(fault) in sentence for sentence in served.sentences()), served.sentences()


def test_the_document_about_durability_names_every_point() -> None:
    text = (Path(__file__).parents[2] / "docs" / "durability.md").read_text("utf-8")
    assert [point for point in (*POINTS, "target.rename") if f"`{point}`" not in text] == []


# --- one delivery ----------------------------------------------------------------------------------------------------


@pytest.fixture
def parcel(scratch: Path) -> Parcel:
    """A fax of two pages in a spool, to be delivered."""
    spool = scratch / "spool"
    (spool / "inbox").mkdir(parents=True)
    write_letter(spool / "inbox" / "fax.tif", 2, 1)
    fax = StoredFax(job=0xABCD, received_at=NOON, record={"pages": 2}, document="inbox/fax.tif")
    delivery = StoredDelivery(
        id=1, job=fax.job, rule="copies", kind="folder", target={}, state=DeliveryState.RUNNING, created_at=NOON
    )
    return Parcel(delivery=delivery, fax=fax, spool=spool)


def names(parcel: Parcel) -> list[str]:
    return sorted(path.name for path in (parcel.spool / COPIES.folder).iterdir())


def test_each_folder_that_is_made_is_durable_before_anything_is_written_into_it(parcel: Parcel) -> None:
    tally = Tally()
    assert deliver(parcel, TARGET, disk=WatchedDisk(tally)).ok
    assert COPIES.folder.count("/") == 1
    assert tally.order[:4] == [*MAKING, *MAKING]
    assert tally.order[-1] == "target.fsync_dir"
    assert tally.seen["target.fsync_dir"] == 3

    tally.order.clear()
    assert deliver(parcel, TARGET, disk=WatchedDisk(tally)).ok
    assert tally.order[:2] == ["target.fsync_dir"] * 2, "whoever made them may have been killed before this"


def test_a_name_that_is_not_removed_at_once_is_removed_a_moment_later(parcel: Parcel) -> None:
    faults = Faults("target.unlink", errno.EIO, times=1)
    assert deliver(parcel, TARGET, disk=WatchedDisk(faults)).ok
    assert faults.hits == 1
    assert not [name for name in names(parcel) if name.startswith(".")]


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("point", ["target.create", "target.close", "target.rename"])
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_without_links_nothing_empty_or_half_is_left(point: str, nth: int, error: int, parcel: Parcel) -> None:
    linkless = Faults("target.link", errno.EPERM)
    faults = Faults(point, error, nth=nth, times=1)
    result = deliver(parcel, TARGET, disk=WatchedDisk(Both(faults, linkless)))
    if faults.hits:
        assert result == Result.failed(
            f"The fax cannot be written to {parcel.spool / COPIES.folder}: {os.strerror(error)}."
        )
    assert all((parcel.spool / COPIES.folder / name).stat().st_size for name in names(parcel))
    assert not [name for name in names(parcel) if name.startswith(".")]
    assert deliver(parcel, TARGET, disk=WatchedDisk(linkless)).ok
    assert names(parcel) == [f"{parcel.name}.json", f"{parcel.name}.tif"]
