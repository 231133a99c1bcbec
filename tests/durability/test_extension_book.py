"""Configuration data of providers on a disk that fails: the old or the new ones, whole, and never others."""

import errno
from pathlib import Path

import pytest

from tests.durability.points import Faults, Tally, WatchedDisk
from vfax.fsp.constants import Win32
from vfax.fsp.errors import DataCorrupt, DataNotFound, FaxServiceError, OutOfResources
from vfax.fsp.extension import DataKey
from vfax.host.extension_book import FOLDER, HEAD, ExtensionBook, ExtensionLimits

KEY = DataKey(7, "{B8959FC9-4E77-4EE9-8411-009ACB1BBF3E}")
OTHER = DataKey(0, KEY.guid)
NAME = "00000007-b8959fc94e774ee98411009acb1bbf3e.data"
FIRST = [f"extension.{call}" for call in ("mkdir", "fsync_dir")]
EACH = [f"extension.{call}" for call in ("create", "write", "fsync", "close", "rename", "fsync_dir")]


def loaded(spool: Path) -> ExtensionBook:
    book = ExtensionBook(spool)
    book.load()
    return book


def test_data_are_on_the_medium_before_they_have_their_name(tmp_path: Path) -> None:
    tally = Tally()
    book = ExtensionBook(tmp_path, disk=WatchedDisk(tally))
    book.set(KEY, b"one")
    assert tally.order == [*FIRST, *EACH]
    tally.order.clear()
    book.set(OTHER, b"two")
    assert tally.order == EACH
    again = loaded(tmp_path)
    assert (again.get(KEY), again.get(OTHER)) == (b"one", b"two")


@pytest.mark.parametrize("point", dict.fromkeys(EACH + FIRST))
def test_what_the_disk_refuses_leaves_old_or_new_data_and_can_be_tried_again(point: str, tmp_path: Path) -> None:
    loaded(tmp_path).set(KEY, b"old")
    fault = Faults(point, errno.EIO)
    book = ExtensionBook(tmp_path, disk=WatchedDisk(fault))
    book.load()
    if point == "extension.mkdir":
        fault.error = errno.EACCES
    with pytest.raises(FaxServiceError, match="cannot be stored") as refused:
        book.set(KEY, b"new")
    assert (fault.hits, refused.value.winerror) == (1, Win32.ERROR_GEN_FAILURE)
    assert book.get(KEY) == b"old"
    assert loaded(tmp_path).get(KEY) in (b"old", b"new")
    assert not [path for path in (tmp_path / FOLDER).iterdir() if path.name != NAME]
    fault.heal()
    assert book.set(KEY, b"old"), "what is on disk may be the new data: the old ones must be written again"
    assert loaded(tmp_path).get(KEY) == b"old"


def test_the_same_data_again_are_no_change_and_no_write(tmp_path: Path) -> None:
    tally = Tally()
    book = ExtensionBook(tmp_path, disk=WatchedDisk(tally))
    assert book.set(KEY, b"one")
    tally.order.clear()
    assert not book.set(KEY, b"one")
    assert tally.order == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda octets: octets[:-1],
        lambda octets: octets + b"x",
        lambda octets: octets.replace(b"one", b"two"),
        lambda octets: octets.replace(HEAD, b"v" * len(HEAD)),
        lambda octets: b"",
    ],
    ids=["cut", "longer", "changed", "another format", "empty"],
)
def test_data_that_are_not_what_was_stored_are_said_to_be_corrupt(spoil: object, tmp_path: Path) -> None:
    assert callable(spoil)
    loaded(tmp_path).set(KEY, b"one")
    path = tmp_path / FOLDER / NAME
    path.write_bytes(spoil(path.read_bytes()))
    book = loaded(tmp_path)
    with pytest.raises(DataCorrupt, match="are not what was stored") as why:
        book.get(KEY)
    assert why.value.winerror == 1009
    book.set(KEY, b"three")
    assert loaded(tmp_path).get(KEY) == b"three"


def test_a_file_that_cannot_be_read_is_an_error_of_its_own_data_alone(tmp_path: Path) -> None:
    first = loaded(tmp_path)
    first.set(KEY, b"one")
    first.set(OTHER, b"two")
    book = ExtensionBook(tmp_path, disk=WatchedDisk(Faults("extension.open_read", errno.EIO, times=1)))
    book.load()
    errors = []
    for key in (KEY, OTHER):
        try:
            book.get(key)
        except FaxServiceError as why:
            errors.append(str(why))
    (error,) = errors
    assert "cannot be read: Input/output error" in error


def test_what_a_crash_left_unfinished_is_removed_by_the_service_alone(tmp_path: Path) -> None:
    loaded(tmp_path).set(KEY, b"one")
    (tmp_path / FOLDER / ".new-1234-x.data").write_bytes(b"half")
    (tmp_path / FOLDER / "notes.txt").write_bytes(b"of a person")
    looking = ExtensionBook(tmp_path)
    looking.load(tidy=False)
    assert (tmp_path / FOLDER / ".new-1234-x.data").exists()
    loaded(tmp_path)
    assert sorted(path.name for path in (tmp_path / FOLDER).iterdir()) == [NAME, "notes.txt"]


def test_limits_are_said_and_nothing_is_stored_beyond_them(tmp_path: Path) -> None:
    book = ExtensionBook(tmp_path, ExtensionLimits(max_octets=3, max_data=1))
    book.set(KEY, b"one")
    with pytest.raises(OutOfResources, match="4 octets of data, and 3 are the limit here"):
        book.set(KEY, b"four")
    with pytest.raises(OutOfResources, match="1 data are stored"):
        book.set(OTHER, b"two")
    book.set(KEY, b"two")
    with pytest.raises(DataNotFound):
        loaded(tmp_path).get(OTHER)


def test_a_copy_to_look_at_reaches_no_disk(tmp_path: Path) -> None:
    book = loaded(tmp_path)
    book.set(KEY, b"one")
    copy = book.forgetful()
    copy.set(KEY, b"two")
    assert (copy.get(KEY), book.get(KEY), loaded(tmp_path).get(KEY)) == (b"two", b"one", b"one")


def test_the_document_about_durability_names_every_point() -> None:
    text = (Path(__file__).parents[2] / "docs" / "durability.md").read_text("utf-8")
    assert [point for point in (*FIRST, *EACH) if f"`{point}`" not in text] == []
