"""A disk that fails at any one point: nothing unsafe is confirmed; the host says what was wrong, and lives.

In virtual time, over real sockets. The table is every point that a reception passes, by every kind of trouble.
"""

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.durability.faulty import Fault, errors_at, points_of_a_reception, suffer, words_of
from tests.durability.house import start_again, write_letter
from tests.durability.judging import Claim, judge
from tests.durability.points import Faults, Tally, WatchedDisk
from vfax.codecs import tiff
from vfax.errors import StoreError
from vfax.host.events import FaxRecovered, StorageFailed
from vfax.host.spool import Spool
from vfax.outcome import Cause
from vfax.pages import PageFolder

START: Final = ("job.create", "job.close", "job.fsync_dir")
"""Points before there is a job: the ring is left unanswered."""
FIRST: Final = ("pages.mkdir", "pages.fsync_dir")
PAGE: Final = ("page.open_new", "page.write", "page.fsync", "page.close", "page.rename", "page.fsync_dir")
DOCUMENT: Final = (
    *("pages.listdir", "document.open_new", "document.copy_mode", "page.open_read", "document.write"),
    *("document.fsync", "document.close", "document.rename", "document.fsync_dir"),
)
RESTS: Final = ("pages.rename", "pages.unlink", "pages.rmdir")
"""Removing what is not needed any more: a failure costs nothing but room."""
DELIVERY: Final = (
    *("document.open_read", "delivery.open_again", "delivery.fsync", "delivery.close", "delivery.fsync_dir"),
    *("record.create", "record.write", "record.fsync", "record.close", "record.rename", "record.fsync_dir"),
    *("inbox.rename", "inbox.fsync_dir", "incoming.fsync_dir"),
)
POINTS: Final = (*START, *FIRST, *PAGE, *DOCUMENT, *RESTS, *DELIVERY)
"""Every point of a reception, in order."""


def faults_at(point: str) -> list[Fault]:
    """The kinds of trouble at one point: for good and just once, and at a page also with the second one."""
    errors = errors_at(point)
    faults = [Fault(point, error) for error in errors]
    faults.append(Fault(point, errors[0], times=1))
    if point in PAGE:
        faults += [Fault(point, error, nth=2) for error in errors if error != "short"]
    return faults


TABLE: Final = [fault for point in POINTS for fault in faults_at(point)]


def test_the_table_has_every_point_of_a_reception(scratch: Path) -> None:
    assert tuple(points_of_a_reception(scratch)) == POINTS


@pytest.mark.parametrize("fault", TABLE, ids=str)
def test_a_fault_costs_no_confirmed_page_and_not_the_host(fault: Fault, scratch: Path) -> None:
    suffered = suffer(fault, scratch)
    first, second = suffered.first, suffered.second
    assert suffered.wrong == []
    assert second.outcome is not None
    assert second.outcome.ok, "the next call is taken"
    assert first.outcome is not None
    if fault.error == "short":
        assert first.outcome.ok
        return
    assert suffered.hits > 0
    if fault.point in START:
        assert first.confirmed == 0
    elif fault.point in (*FIRST, *PAGE):
        assert first.confirmed == fault.nth - 1, "a page that is not safe has no MCF"
        assert not first.outcome.ok
    else:
        assert first.outcome.ok, "all pages were safe by then"
    if fault.point not in (*RESTS, "pages.listdir") and not (fault.point == "document.open_read" and fault.times):
        assert any(words_of(fault) in sentence for sentence in suffered.sentences), suffered.sentences


# --- the repair ------------------------------------------------------------------------------------------------------

Left = Callable[[Spool, str], None]


def pages_alone(spool: Spool, job: str) -> None:
    """The crash came in the middle of the call."""
    keep_pages(spool, job)


def document_and_pages(spool: Spool, job: str) -> None:
    """The crash came between the document and the removal of its pages."""
    keep_pages(spool, job)
    tiff.join_pages([page.path for page in PageFolder(spool.job_file(job)).pages()], spool.job_file(job))


def document_alone(spool: Spool, job: str) -> None:
    """The crash came before the delivery."""
    document_and_pages(spool, job)
    shutil.rmtree(spool.pages_folder(job))


def record_alone(spool: Spool, job: str) -> None:
    """The crash came in the middle of the delivery."""
    document_alone(spool, job)
    text = json.dumps({"job": job, "pages": 3, "incomplete": False})
    (spool.inbox / f"20250101T000000Z-unknown-{job}.json").write_text(text)


def keep_pages(spool: Spool, job: str) -> None:
    folder = PageFolder(spool.job_file(job))
    letter = write_letter(spool.root / "letter.tif", 3, 1)
    for number, raster in enumerate(letter.rasters, 1):
        octets = tiff.write_page(raster, 1728, len(raster) // 216, x_dpi=204, y_dpi=98)
        folder.keep(number, octets, complete=True)
    letter.path.unlink()


LEFT: Final = (pages_alone, document_and_pages, document_alone, record_alone)


def leave(root: Path, left: Left) -> Claim:
    spool = Spool(root / "spool")
    spool.prepare()
    job, _ = spool.create_job_file()
    rasters = write_letter(root / "letter.tif", 3, 1).rasters
    left(spool, job)
    spool.release()
    return Claim(rasters=rasters, confirmed=3, begun=True)


def said_by_a_start(root: Path, point: str) -> list[str]:
    """What a start says of storage while every call at `point` fails; that it says nothing at all is a failure."""
    try:
        heard = start_again(root, WatchedDisk(Faults(point, errno.EIO)))
    except StoreError as why:
        return [str(why)]
    assert any(isinstance(event, StorageFailed | FaxRecovered) for event in heard), point
    return [event.sentence for event in heard if isinstance(event, StorageFailed)]


@pytest.mark.parametrize("left", LEFT, ids=lambda left: left.__name__)
def test_a_repair_that_the_disk_refuses_is_said_and_done_at_the_next_start(left: Left, scratch: Path) -> None:
    tally = Tally()
    (scratch / "well").mkdir()
    leave(scratch / "well", left)
    start_again(scratch / "well", WatchedDisk(tally))
    for number, point in enumerate(dict.fromkeys(tally.order)):
        root = scratch / str(number)
        root.mkdir()
        claim = leave(root, left)
        for sentence in said_by_a_start(root, point):
            assert "Input/output error" in sentence, point
        start_again(root)
        assert judge(root / "spool", [claim]) == [], point


def test_every_kind_of_rest_is_repaired_without_a_fault(scratch: Path) -> None:
    for left in LEFT:
        root = scratch / left.__name__
        root.mkdir()
        claim = leave(root, left)
        start_again(root)
        assert judge(root / "spool", [claim]) == []


def test_the_judge_sees_a_lost_page(scratch: Path) -> None:
    claim = leave(scratch, pages_alone)
    for path in (scratch / "spool" / "incoming").rglob("0002.tif"):
        path.unlink()
    start_again(scratch)
    assert judge(scratch / "spool", [claim]) != []


def test_what_a_storage_fault_does_to_a_call_is_called_storage(scratch: Path) -> None:
    suffered = suffer(Fault("page.fsync", "EIO", nth=2), scratch)
    records = [event.record for event in suffered.events if hasattr(event, "record")]
    assert records[0].cause is Cause.STORAGE
    assert records[0].pages == 1


def test_the_document_about_durability_names_every_point() -> None:
    text = (Path(__file__).parents[2] / "docs" / "durability.md").read_text("utf-8")
    assert [point for point in POINTS if f"`{point}`" not in text] == []
