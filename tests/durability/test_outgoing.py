"""Documents that wait to be sent, on a disk that fails: kept whole or refused in a sentence, and nothing half left."""

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from tests.durability.house import write_letter
from tests.durability.points import Faults, Tally, WatchedDisk
from vfax.codecs import tiff
from vfax.errors import StoreError
from vfax.host.outgoing import FOLDER, count_pages, keep_document, rest_of

WRITES = ("create", "write", "fsync", "close", "rename", "fsync_dir")
KEEPING = [f"outgoing.{call}" for call in ("mkdir", "open_read", *WRITES)]
RESTING = [f"outgoing.{call}" for call in ("open_read", *WRITES)]


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    """A document of two pages."""
    return write_letter(tmp_path / "letter.tif", 2, 1).path


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    folder = tmp_path / "spool"
    folder.mkdir()
    return folder


def files(spool: Path) -> list[str]:
    return sorted(path.name for path in (spool / FOLDER).glob("*"))


def test_it_is_on_the_medium_before_it_has_a_name_and_then_the_name_is(letter: Path, spool: Path) -> None:
    tally = Tally()
    document = spool / keep_document(spool, letter, WatchedDisk(tally))
    assert document.read_bytes() == letter.read_bytes()
    assert set(KEEPING) == set(tally.seen)
    assert tally.order[:2] == ["outgoing.mkdir", "outgoing.fsync_dir"]
    assert tally.order[-4:] == [f"outgoing.{call}" for call in ("fsync", "close", "rename", "fsync_dir")]

    tally.order.clear()
    rest = rest_of(document, 2, WatchedDisk(tally))
    assert tally.order[-4:] == [f"outgoing.{call}" for call in ("fsync", "close", "rename", "fsync_dir")]
    assert count_pages(rest) == 1
    (second,) = tiff.read_headers(document)[1:]
    assert tiff.read_headers(rest) == (replace(second, page=0, total=1),)


@pytest.mark.parametrize("point", KEEPING)
def test_what_cannot_be_kept_is_refused(point: str, letter: Path, spool: Path) -> None:
    fault = Faults(point, errno.EIO)
    disk = WatchedDisk(fault)
    with pytest.raises(StoreError, match=f"cannot keep the document in {spool / FOLDER}: Input/output error"):
        keep_document(spool, letter, disk)
    assert fault.hits == 1
    assert not any(name.startswith(".") for name in files(spool))
    fault.heal()
    assert count_pages(spool / keep_document(spool, letter, disk)) == 2


@pytest.mark.parametrize("point", RESTING)
def test_a_rest_that_cannot_be_written_is_refused(point: str, letter: Path, spool: Path) -> None:
    document = spool / keep_document(spool, letter)
    with pytest.raises(StoreError, match=f"cannot write the rest of {document}: Input/output error"):
        rest_of(document, 2, WatchedDisk(Faults(point, errno.EIO)))
    assert not any(name.startswith(".") for name in files(spool))
    assert count_pages(rest_of(document, 2)) == 1


def test_a_disk_that_takes_a_few_octets_at_a_time_gets_them_all(letter: Path, spool: Path) -> None:
    kept = spool / keep_document(spool, letter, WatchedDisk(Faults(chunk=7)))
    assert kept.read_bytes() == letter.read_bytes()
