"""Delivery into folders: whole files, nothing overwritten, a disk that refuses is a try that failed."""

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.host.delivery.conftest import HOSTILE, Parcels
from vfax.disk import Disk
from vfax.host.deliver_folder import deliver
from vfax.host.document import Format
from vfax.host.parcel import Parcel, Result
from vfax.host.routing import FolderTarget

NAME = "20250131T120000Z-+49_30_123456-0000abcd"


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "target"
    folder.mkdir()
    return folder


def test_document_and_record_lie_in_the_folder(parcel: Parcels, target: Path, two_pages: bytes) -> None:
    result = deliver(parcel(), FolderTarget(folder=str(target)))
    assert result == Result.done(f"It is in {target / NAME}.tif.")
    assert files(target) == [f"{NAME}.json", f"{NAME}.tif"]
    assert (target / f"{NAME}.tif").read_bytes() == two_pages
    written = json.loads((target / f"{NAME}.json").read_text("utf-8"))
    assert written["document"]["name"] == f"{NAME}.tif"


def test_a_pdf_without_a_record(parcel: Parcels, target: Path) -> None:
    assert deliver(parcel(), FolderTarget(folder=str(target), form=Format.PDF, record=False)).ok
    assert files(target) == [f"{NAME}.pdf"]
    assert (target / f"{NAME}.pdf").read_bytes().startswith(b"%PDF-")


def test_a_relative_folder_is_made_in_the_spool(parcel: Parcels, spool: Path) -> None:
    assert deliver(parcel(), FolderTarget(folder="copies/sales")).ok
    assert len(files(spool / "copies" / "sales")) == 2


def test_an_absolute_folder_that_is_not_there_is_not_made(parcel: Parcels, tmp_path: Path) -> None:
    missing = tmp_path / "share"
    result = deliver(parcel(), FolderTarget(folder=str(missing)))
    assert result == Result.failed(f"The folder {missing} is not there: make it, or mount what belongs there.")
    assert not missing.exists()


def test_delivered_twice_it_is_there_once(parcel: Parcels, target: Path) -> None:
    for _ in range(2):
        assert deliver(parcel(), FolderTarget(folder=str(target))).ok
    assert len(files(target)) == 2


def test_another_file_of_that_name_stays_and_the_fax_gets_the_next(parcel: Parcels, target: Path) -> None:
    (target / f"{NAME}.tif").write_bytes(b"another")
    (target / f"{NAME}-2.tif").symlink_to("nowhere")
    assert deliver(parcel(), FolderTarget(folder=str(target))).sentence.endswith(f"{NAME}-3.tif.")
    assert (target / f"{NAME}.tif").read_bytes() == b"another"
    assert files(target) == [f"{NAME}-2.tif", f"{NAME}-3.json", f"{NAME}-3.tif", f"{NAME}.tif"]


def test_the_search_for_a_name_ends(parcel: Parcels, target: Path) -> None:
    for number in range(1, 101):
        (target / (f"{NAME}.tif" if number == 1 else f"{NAME}-{number}.tif")).write_bytes(b"another")
    result = deliver(parcel(), FolderTarget(folder=str(target)))
    assert result == Result.failed(f"The fax cannot be written to {target}: 100 files named {NAME} are there already.")
    assert len(files(target)) == 100


def test_nothing_a_caller_says_leaves_the_folder(parcel: Parcels, target: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert deliver(parcel(caller=HOSTILE), FolderTarget(folder=str(target))).ok
    new = set(tmp_path.rglob("*")) - set(before)
    assert {path.parent for path in new} == {target}
    assert len(new) == 2


def test_a_hard_link_shares_the_octets_with_the_spool(parcel: Parcels, spool: Path) -> None:
    assert deliver(parcel(), FolderTarget(folder="copies", hard_link=True)).ok
    assert (spool / "copies" / f"{NAME}.tif").samefile(spool / "inbox" / "fax.tif")


def test_a_pdf_is_never_a_hard_link(parcel: Parcels, spool: Path) -> None:
    assert deliver(parcel(), FolderTarget(folder="copies", hard_link=True, form=Format.PDF)).ok
    assert (spool / "copies" / f"{NAME}.pdf").read_bytes().startswith(b"%PDF-")


class NoLinks(Disk):
    """A file system without hard links."""

    def link(self, source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))


@pytest.mark.parametrize("hard_link", [True, False])
def test_a_file_system_without_hard_links_will_do(parcel: Parcels, target: Path, hard_link: bool) -> None:
    (target / f"{NAME}.json").write_bytes(b"another")
    for _ in range(2):
        result = deliver(parcel(), FolderTarget(folder=str(target), hard_link=hard_link), disk=NoLinks())
        assert result.sentence.endswith(f"{NAME}-2.tif.")
    assert files(target) == [f"{NAME}-2.json", f"{NAME}-2.tif", f"{NAME}.json"]


class Failing(Disk):
    """Fails the n-th time a call is made, as a full or broken disk does; a write leaves half of it there."""

    def __init__(self, call: str, times: int, number: int) -> None:
        self.left = times
        self.number = number
        self.call = call

    def _count(self, call: str) -> None:
        if call == self.call:
            self.left -= 1
            if self.left <= 0:
                raise OSError(self.number, os.strerror(self.number))

    def create(self, path: Path) -> int:
        self._count("create")
        return super().create(path)

    def write(self, fd: int, octets: memoryview) -> int:
        if self.call == "write" and self.left == 1:
            super().write(fd, octets[: len(octets) // 2])
        self._count("write")
        return super().write(fd, octets)

    def fsync(self, fd: int) -> None:
        self._count("fsync")
        super().fsync(fd)

    def close(self, fd: int) -> None:
        super().close(fd)
        self._count("close")

    def link(self, source: Path, target: Path) -> None:
        self._count("link")
        super().link(source, target)

    def fsync_dir(self, path: Path) -> None:
        self._count("fsync_dir")
        super().fsync_dir(path)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("call", ["create", "write", "fsync", "close", "link", "fsync_dir"])
def test_a_disk_that_refuses_leaves_no_half_file_and_the_next_try_is_whole(
    call: str, times: int, number: int, parcel: Parcels, target: Path, two_pages: bytes
) -> None:
    if call == "fsync_dir" and times == 2:
        return  # it is called once
    result = deliver(parcel(), FolderTarget(folder=str(target)), disk=Failing(call, times, number))
    assert result == Result.failed(f"The fax cannot be written to {target}: {os.strerror(number)}.")
    assert not [name for name in files(target) if name.startswith(".")]
    assert all((target / name).read_bytes() == two_pages for name in files(target) if name.endswith(".tif"))
    assert deliver(parcel(), FolderTarget(folder=str(target))).ok
    assert files(target) == [f"{NAME}.json", f"{NAME}.tif"]
    assert (target / f"{NAME}.tif").read_bytes() == two_pages


def test_a_disk_that_writes_little_at_a_time_gets_it_all(parcel: Parcels, target: Path, two_pages: bytes) -> None:
    class Slow(Disk):
        def write(self, fd: int, octets: memoryview) -> int:
            return super().write(fd, octets[:1_000])

    assert deliver(parcel(), FolderTarget(folder=str(target)), disk=Slow()).ok
    assert (target / f"{NAME}.tif").read_bytes() == two_pages


def test_what_a_killed_try_left_is_removed(parcel: Parcels, target: Path) -> None:
    (target / f".new-{parcel().event_id}-0-1.tif").write_bytes(b"half")
    (target / ".new-20250131T120000Z-0000abcd-18-0-1.tif").write_bytes(b"of another delivery")
    assert deliver(parcel(), FolderTarget(folder=str(target))).ok
    assert [name for name in files(target) if name.startswith(".")] == [".new-20250131T120000Z-0000abcd-18-0-1.tif"]


@pytest.mark.parametrize("record", [True, False])
def test_a_fax_without_a_document_is_its_record(parcel: Parcels, target: Path, record: bool) -> None:
    bare = without_document(parcel())
    assert deliver(bare, FolderTarget(folder=str(target), record=record)).ok
    assert files(target) == ([f"{NAME}.json"] if record else [])


def test_a_document_that_was_taken_away_is_a_try_that_failed(parcel: Parcels, target: Path, spool: Path) -> None:
    (spool / "inbox" / "fax.tif").unlink()
    result = deliver(parcel(), FolderTarget(folder=str(target)))
    assert not result.ok
    assert "the document cannot be opened: No such file" in result.sentence
    assert files(target) == []


@pytest.mark.parametrize("form", list(Format))
def test_a_damaged_document_leaves_nothing_half(
    form: Format, parcel: Parcels, target: Path, spool: Path, two_pages: bytes
) -> None:
    (spool / "inbox" / "fax.tif").write_bytes(two_pages[: len(two_pages) // 2])
    assert deliver(parcel(), FolderTarget(folder=str(target), form=form)).ok is (form is Format.TIFF)
    assert len(files(target)) == (2 if form is Format.TIFF else 0)


def without_document(parcel: Parcel) -> Parcel:
    return replace(parcel, fax=replace(parcel.fax, document=None))


def test_a_folder_that_may_not_be_written_is_a_try_that_failed(parcel: Parcels, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert not deliver(parcel(), FolderTarget(folder=str(tmp_path / "file"))).ok
