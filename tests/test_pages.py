"""Durable pages: what survives, whatever the disk refuses."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfax.disk import Disk, DiskFile
from vfax.errors import DocumentError, MisuseError, StoreError
from vfax.pages import DONE, UNFINISHED, PageFolder, pages_folder, recover

PAGE = b"II*\0" + b"a page of a fax " * 700
POINTS = ("mkdir", "open_new", "write", "fsync", "close", "rename", "fsync_dir")


class FailingDisk(Disk):
    """Fails the call `point` from its `nth` use on; writes at most `chunk` octets at once; notes what was asked."""

    def __init__(self, point: str = "", nth: int = 1, *, error: int = errno.ENOSPC, chunk: int = 1 << 20) -> None:
        self.calls: list[str] = []
        self.point = point
        self._nth = nth
        self._error = error
        self._chunk = chunk

    def _note(self, point: str) -> None:
        self.calls.append(point)
        if point == self.point and self.calls.count(point) >= self._nth:
            raise OSError(self._error, os.strerror(self._error))

    def mkdir(self, path: Path, mode: int = 0o777) -> None:
        self._note("mkdir")
        super().mkdir(path, mode)

    def open_new(self, path: Path) -> int:
        self._note("open_new")
        return super().open_new(path)

    def write(self, fd: int, octets: memoryview) -> int:
        self._note("write")
        return super().write(fd, octets[: self._chunk])

    def fsync(self, fd: int) -> None:
        self._note("fsync")
        super().fsync(fd)

    def close(self, fd: int) -> None:
        super().close(fd)
        self._note("close")

    def rename(self, source: Path, target: Path) -> None:
        self._note("rename")
        super().rename(source, target)

    def fsync_dir(self, path: Path) -> None:
        self._note("fsync_dir")
        super().fsync_dir(path)

    def unlink(self, path: Path) -> None:
        self._note("unlink")
        super().unlink(path)

    def rmdir(self, path: Path) -> None:
        self._note("rmdir")
        super().rmdir(path)


def concatenate(paths: Sequence[Path], target: DiskFile) -> None:
    target.write(b"".join(path.read_bytes() for path in paths))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "fax.tif"
    path.touch()
    return path


def names(target: Path) -> list[str]:
    folder = pages_folder(target)
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_kept_page_is_whole_under_its_final_name(target: Path) -> None:
    path = PageFolder(target).keep(1, PAGE, complete=True)
    assert path == target.with_name("fax.tif.pages") / "0001.tif"
    assert path.read_bytes() == PAGE
    assert names(target) == ["0001.tif"]


def test_a_page_is_synced_before_its_rename_and_its_directory_after(target: Path) -> None:
    disk = FailingDisk()
    PageFolder(target, disk=disk).keep(1, PAGE, complete=True)
    one_page = ["open_new", "write", "fsync", "close", "rename", "fsync_dir", "unlink"]
    assert disk.calls == ["mkdir", "fsync_dir", *one_page]


def test_short_writes_are_continued(target: Path) -> None:
    disk = FailingDisk(chunk=1000)
    path = PageFolder(target, disk=disk).keep(1, PAGE, complete=True)
    assert path.read_bytes() == PAGE
    assert disk.calls.count("write") == -(-len(PAGE) // 1000)


def test_a_disk_that_writes_nothing_is_an_error_and_no_loop(target: Path) -> None:
    with pytest.raises(StoreError, match=r"0001\.tif"):
        PageFolder(target, disk=FailingDisk(chunk=0)).keep(1, PAGE, complete=True)
    assert names(target) == []


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("point", POINTS)
def test_a_failure_at_any_point_confirms_nothing_and_leaves_no_torn_page(target: Path, point: str, error: int) -> None:
    with pytest.raises(StoreError) as caught:
        PageFolder(target, disk=FailingDisk(point, error=error)).keep(1, PAGE, complete=True)
    assert str(target) in str(caught.value)
    assert os.strerror(error) in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)
    final = pages_folder(target) / "0001.tif"
    assert not final.exists() or final.read_bytes() == PAGE
    assert not list(target.parent.rglob(f"*{UNFINISHED}"))


@given(st.sampled_from(POINTS), st.integers(1, 12), st.integers(1, 5000))
def test_a_disk_that_fails_sometime_keeps_exactly_the_pages_it_said(
    tmp_path_factory: pytest.TempPathFactory, point: str, nth: int, chunk: int
) -> None:
    target = tmp_path_factory.mktemp("pages") / "fax.tif"
    folder = PageFolder(target, disk=FailingDisk(point, nth, chunk=chunk))
    kept = 0
    for number in (1, 2, 3):
        try:
            folder.keep(number, PAGE * number, complete=True)
        except StoreError:
            break
        kept = number
    found = recover(target)
    assert [page.number for page in found][:kept] == list(range(1, kept + 1))
    assert len(found) <= kept + 1
    assert all(page.path.read_bytes() == PAGE * page.number for page in found)


def test_a_failure_on_page_two_leaves_page_one_deliverable(target: Path) -> None:
    disk = FailingDisk("fsync", 2)
    folder = PageFolder(target, disk=disk)
    folder.keep(1, PAGE, complete=True)
    with pytest.raises(StoreError):
        folder.keep(2, PAGE, complete=True)
    disk.point = ""
    assert folder.assemble(concatenate) == 1
    assert target.read_bytes() == PAGE


def test_a_page_kept_again_replaces_the_first(target: Path) -> None:
    folder = PageFolder(target)
    folder.keep(1, b"old", complete=True)
    assert folder.keep(1, PAGE, complete=True).read_bytes() == PAGE


def test_a_whole_page_supersedes_its_part(target: Path) -> None:
    folder = PageFolder(target)
    folder.keep(1, b"half", complete=False)
    assert names(target) == ["0001.partial.tif"]
    folder.keep(1, PAGE, complete=True)
    assert names(target) == ["0001.tif"]


def test_recovery_lists_pages_in_order_and_prefers_whole_ones(target: Path) -> None:
    folder = pages_folder(target)
    folder.mkdir()
    for name in (
        "0002.partial.tif",
        "0001.tif",
        "0001.partial.tif",
        "10000.tif",
        "0003.tif.part",
        "notes.txt",
        "x.tif",
    ):
        (folder / name).write_bytes(b"x")
    found = [(page.number, page.complete, page.path.name) for page in recover(target)]
    assert found == [(1, True, "0001.tif"), (2, False, "0002.partial.tif"), (10000, True, "10000.tif")]


def test_nothing_is_recovered_where_nothing_was_kept(target: Path) -> None:
    assert recover(target) == []


def test_assembling_replaces_the_target_and_removes_the_pages(target: Path) -> None:
    target.chmod(0o640)
    folder = PageFolder(target)
    folder.keep(2, b"two", complete=False)
    folder.keep(1, b"one", complete=True)
    assert folder.assemble(concatenate) == 2
    assert target.read_bytes() == b"onetwo"
    assert sorted(path.name for path in target.parent.iterdir()) == ["fax.tif"]
    if os.name == "posix":
        assert target.stat().st_mode & 0o777 == 0o640


def test_without_pages_the_target_stays_as_it_is(target: Path) -> None:
    target.write_bytes(b"before")
    assert PageFolder(target).assemble(concatenate) == 0
    assert target.read_bytes() == b"before"


@pytest.mark.parametrize("point", ["open_new", "close", "fsync", "rename", "fsync_dir"])
def test_a_document_that_cannot_be_written_costs_no_page(target: Path, point: str) -> None:
    PageFolder(target).keep(1, PAGE, complete=True)
    with pytest.raises(StoreError, match=r"cannot write the document .*fax\.tif: No space"):
        PageFolder(target, disk=FailingDisk(point)).assemble(concatenate)
    assert [page.number for page in recover(target)] == [1]
    assert target.read_bytes() in (b"", PAGE)
    assert PageFolder(target).assemble(concatenate) == 1
    assert target.read_bytes() == PAGE


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), DocumentError("page 1 is no TIFF")])
def test_a_join_that_fails_leaves_pages_and_target_alone(target: Path, error: Exception) -> None:
    def join(paths: Sequence[Path], to: DiskFile) -> None:
        to.write(b"half a docu")
        raise error

    folder = PageFolder(target)
    folder.keep(1, PAGE, complete=True)
    with pytest.raises((StoreError, DocumentError), match=r"Input/output|no TIFF"):
        folder.assemble(join)
    assert target.read_bytes() == b""
    assert names(target) == ["0001.tif"]
    assert not list(target.parent.glob(f"*{UNFINISHED}"))


@pytest.mark.parametrize(("point", "nth"), [("unlink", 2), ("unlink", 3), ("rmdir", 1)])
def test_a_crash_while_removing_pages_never_recovers_some_of_them(target: Path, point: str, nth: int) -> None:
    folder = PageFolder(target)
    for number in (1, 2, 3):
        folder.keep(number, PAGE, complete=True)
    assert PageFolder(target, disk=FailingDisk(point, nth)).assemble(concatenate) == 3
    assert recover(target) == []
    assert target.read_bytes() == PAGE * 3
    PageFolder(target).discard()  # what a start-up does with what is left
    assert not target.with_name(f"{target.name}.pages{DONE}").exists()


def test_a_crash_after_the_rename_makes_the_same_document_again(target: Path) -> None:
    folder = PageFolder(target)
    folder.keep(1, PAGE, complete=True)
    target.write_bytes(PAGE)  # the pages are still there
    assert PageFolder(target).assemble(concatenate) == 1
    assert target.read_bytes() == PAGE


def test_discarding_removes_every_page_and_keeps_the_target(target: Path) -> None:
    folder = PageFolder(target)
    folder.keep(1, PAGE, complete=True)
    folder.keep(2, PAGE, complete=False)
    folder.discard()
    folder.discard()
    assert recover(target) == []
    assert sorted(path.name for path in target.parent.iterdir()) == ["fax.tif"]


def test_a_discard_that_fails_says_so(target: Path) -> None:
    PageFolder(target).keep(1, PAGE, complete=True)
    with pytest.raises(StoreError, match="cannot remove the pages"):
        PageFolder(target, disk=FailingDisk("rename")).discard()


def test_pages_of_an_earlier_call_are_not_overwritten(target: Path) -> None:
    PageFolder(target).keep(1, PAGE, complete=True)
    with pytest.raises(StoreError, match="recover them first"):
        PageFolder(target).keep(1, b"new", complete=True)
    assert recover(target)[0].path.read_bytes() == PAGE


def test_a_folder_that_a_crash_left_empty_is_used(target: Path) -> None:
    pages_folder(target).mkdir()
    (pages_folder(target) / f"0001.tif{UNFINISHED}").write_bytes(b"torn")
    PageFolder(target).keep(1, PAGE, complete=True)
    assert names(target) == ["0001.tif"]


def test_pages_count_from_one(target: Path) -> None:
    with pytest.raises(MisuseError):
        PageFolder(target).keep(0, PAGE, complete=True)


def test_a_folder_that_cannot_be_read_is_a_store_error(tmp_path: Path) -> None:
    target = tmp_path / ("x" * 300)  # longer than any file system's names
    with pytest.raises(StoreError, match="cannot create the folder"):
        PageFolder(target).keep(1, PAGE, complete=True)
