"""Deliveries into folders on a disk that fails at any one point: the fax stays, the host says why, and tries again.

The table is every point of a delivery by every kind of trouble, over a server with its store.
"""

import errno
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from tests.durability.faulty import Fault, errors_at, words_of
from tests.durability.faulty_delivery import Served, done, failed
from tests.durability.house import write_letter
from tests.durability.points import Both, Faults, Tally, WatchedDisk
from tests.durability.serving import COPIES
from vfax.host.deliver_folder import deliver
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


def test_the_table_has_every_point_of_a_delivery(scratch: Path) -> None:
    tally, served = Tally(), Served(scratch)
    served.run(WatchedDisk(tally), lambda: None, until=done)
    assert served.wrong() == []
    assert {point for point in tally.order if point.startswith("target.")} == set(POINTS)


@pytest.mark.parametrize("fault", TABLE, ids=str)
def test_a_fault_costs_time_and_no_delivery(fault: Fault, scratch: Path) -> None:
    faults, served = fault.watcher(), Served(scratch)
    passes = fault.error == "short" or fault.point in RESTS
    served.run(WatchedDisk(faults), faults.heal, until=done if passes else failed)
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
