"""Durable pages: a page that was kept survives a crash, and a file with a final name is whole.

Owns      `PageFolder`: one file a page beside the target, then the whole document in its place; recovery after a crash.
Not here  what a page looks like as TIFF (codecs/tiff.py), when it may be confirmed (t30/, runner.py).

Every write is write-new, sync, rename, sync the directory. All functions block: run them in a worker thread. An
OSError becomes a StoreError whose sentence names the path and the system's words; nothing may be confirmed then.
"""

import contextlib
import errno
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vfax.errors import MisuseError, StoreError

if sys.platform == "darwin":
    import fcntl

Join = Callable[[Sequence[Path], Path], None]
"""Write one-page TIFF files, in this order, as one TIFF to the given path (overwriting it).

An OSError it raises becomes a StoreError, anything else passes; the target is untouched either way.
"""

UNFINISHED: Final = ".part"
"""Ending of a file that is being written; one left behind by a crash is worth nothing."""
DONE: Final = ".done"
"""Ending of a pages folder whose document is in its place; it only waits to be removed."""
_WRITE_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


class Disk:
    """Every system call that a page depends on, one small method each, so that a test can make any of them fail."""

    def mkdir(self, path: Path) -> None:
        """Create a directory; FileExistsError when it is there."""
        path.mkdir()

    def open_new(self, path: Path) -> int:
        """Open for writing from nothing; readable by the owner alone."""
        return os.open(path, _WRITE_NEW, 0o600)

    def write(self, fd: int, octets: memoryview) -> int:
        """Write some of `octets` and tell how many."""
        return os.write(fd, octets)

    def fsync(self, fd: int) -> None:
        """Return when the file's data are on the medium."""
        if sys.platform == "darwin":  # fsync alone leaves the data in the drive's cache there
            with contextlib.suppress(OSError):  # not every file system knows it
                fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
                return
        os.fsync(fd)

    def close(self, fd: int) -> None:
        """Close; an error here is an error of the write."""
        os.close(fd)

    def rename(self, source: Path, target: Path) -> None:
        """Replace `target` in one step."""
        os.replace(source, target)

    def fsync_dir(self, path: Path) -> None:
        """Return when the directory's names are on the medium, where the platform can say so."""
        if os.name == "nt":  # a directory cannot be opened there; NTFS journals its names by itself
            return
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0))
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def unlink(self, path: Path) -> None:
        """Remove a file."""
        path.unlink()

    def rmdir(self, path: Path) -> None:
        """Remove an empty directory."""
        path.rmdir()


@dataclass(frozen=True, slots=True)
class KeptPage:
    """A page on disk. `complete` is False when its end never came."""

    number: int
    path: Path
    complete: bool


def pages_folder(target: Path) -> Path:
    """Where the pages of `target` wait: `<target>.pages` beside it."""
    return target.with_name(f"{target.name}.pages")


def recover(target: Path) -> list[KeptPage]:
    """List the pages kept for `target`, in order; the complete one where a page is there twice.

    An empty list means that nothing is kept: no page came, or the document is whole already.
    Raises StoreError when the folder cannot be read.
    """
    kept: dict[int, KeptPage] = {}
    folder = pages_folder(target)
    with _naming("cannot list the kept pages in", folder):
        names = sorted(os.listdir(folder)) if folder.is_dir() else []
    for name in names:
        page = _parse_name(folder / name)
        if page is not None and (page.complete or page.number not in kept):
            kept[page.number] = page
    return [kept[number] for number in sorted(kept)]


def _file_name(number: int, *, complete: bool) -> str:
    return f"{number:04d}.tif" if complete else f"{number:04d}.partial.tif"


def _parse_name(path: Path) -> KeptPage | None:
    digits, _, ending = path.name.partition(".")
    if not (digits.isascii() and digits.isdigit()) or ending not in ("tif", "partial.tif"):
        return None
    return KeptPage(int(digits), path, complete=ending == "tif")


@contextlib.contextmanager
def _naming(what: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as why:
        raise StoreError(f"{what} {path}: {why.strerror or why}") from why


class PageFolder:
    """The pages of one fax on their way to `target`: kept one by one, then assembled or discarded.

    `target` is the file the host made; it is replaced as a whole by `assemble`. One object belongs to one call and is
    used by one thread at a time. After a crash, a new one assembles (or discards) what `recover` lists.
    """

    def __init__(self, target: Path, *, disk: Disk | None = None) -> None:
        self.target = target
        self.folder = pages_folder(target)
        self._disk = disk or Disk()
        self._opened = False

    def keep(self, number: int, octets: bytes, *, complete: bool) -> Path:
        """Make page `number` (from 1), a TIFF of one page, durable and return its path.

        Only after it has returned may the page be confirmed. Raises StoreError; no file has the page's final name
        then, or that file is whole. Keeping a number again replaces it (the peer sent the page once more).
        """
        if number < 1:
            raise MisuseError(f"page {number}: pages count from 1")
        self._open()
        final = self.folder / _file_name(number, complete=complete)
        self._write(final, octets)
        if complete:  # a part kept earlier is superseded; recovery would prefer the whole page anyway
            with contextlib.suppress(OSError):
                self._disk.unlink(self.folder / _file_name(number, complete=False))
        return final

    def pages(self) -> list[KeptPage]:
        """List the pages kept so far, in order (see `recover`)."""
        return recover(self.target)

    def assemble(self, join: Join) -> int:
        """Put all kept pages, partial ones included, into `target` as one file and return how many there are.

        With no page nothing is written. Raises StoreError; `target` is as it was, or whole, and no page is lost.
        """
        pages = self.pages()
        if pages:
            self._join([page.path for page in pages], join)
        with contextlib.suppress(OSError):  # the fax is safe; pages that stay behind are found by recover()
            self._remove_folder()
        return len(pages)

    def discard(self) -> None:
        """Remove the kept pages: the user aborted. Raises StoreError when something stays behind."""
        with _naming("cannot remove the pages in", self.folder):
            self._remove_folder()

    def _open(self) -> None:
        if self._opened:
            return
        with _naming("cannot create the folder", self.folder):
            try:
                self._disk.mkdir(self.folder)
            except FileExistsError:
                self._refuse_strangers()
            self._disk.fsync_dir(self.folder.parent)
        self._opened = True

    def _refuse_strangers(self) -> None:
        """An earlier call's confirmed pages must not be overwritten by this one's."""
        if self.pages():
            raise StoreError(f"pages of an earlier call are waiting in {self.folder}: recover them first")

    def _write(self, final: Path, octets: bytes) -> None:
        unfinished = final.with_name(final.name + UNFINISHED)
        with _naming("cannot keep the page", final):
            with self._whole_or_gone(unfinished):
                self._write_synced(unfinished, octets)
                self._disk.rename(unfinished, final)
            self._disk.fsync_dir(self.folder)

    def _write_synced(self, path: Path, octets: bytes) -> None:
        fd = self._disk.open_new(path)
        try:
            self._write_all(fd, octets)
            self._disk.fsync(fd)
        except OSError:
            with contextlib.suppress(OSError):  # the first error is the one that counts
                self._disk.close(fd)
            raise
        self._disk.close(fd)

    def _write_all(self, fd: int, octets: bytes) -> None:
        rest = memoryview(octets)
        while rest:
            written = self._disk.write(fd, rest)
            if written <= 0:
                raise OSError(errno.EIO, "the system wrote nothing")
            rest = rest[written:]

    def _join(self, paths: Sequence[Path], join: Join) -> None:
        unfinished = self.target.with_name(self.target.name + UNFINISHED)
        with _naming("cannot write the document", self.target):
            with self._whole_or_gone(unfinished):
                self._make_private(unfinished)
                join(paths, unfinished)
                self._sync(unfinished)
                self._disk.rename(unfinished, self.target)
            self._disk.fsync_dir(self.target.parent)

    def _make_private(self, unfinished: Path) -> None:
        """Create the file with the rights of the one it will replace, before anything is in it."""
        self._disk.close(self._disk.open_new(unfinished))
        if self.target.exists():
            shutil.copymode(self.target, unfinished)

    def _sync(self, path: Path) -> None:
        fd = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0))
        try:
            self._disk.fsync(fd)
        finally:
            self._disk.close(fd)

    @contextlib.contextmanager
    def _whole_or_gone(self, unfinished: Path) -> Iterator[None]:
        """Remove the unfinished file unless the block gets to its end."""
        renamed = False
        try:
            yield
            renamed = True
        finally:
            if not renamed:
                with contextlib.suppress(OSError):  # it is worth nothing, and the first error is the one that counts
                    self._disk.unlink(unfinished)

    def _remove_folder(self) -> None:
        """Take the pages away in one step, then remove them.

        Removed one by one, a crash in between would leave some of the pages, and recovery would make them the document.
        """
        done = self.folder.with_name(self.folder.name + DONE)
        if done.is_dir():  # left by a crash
            self._remove_tree(done)
        if self.folder.is_dir():
            self._disk.rename(self.folder, done)
            self._disk.fsync_dir(self.folder.parent)
            self._remove_tree(done)
        self._opened = False

    def _remove_tree(self, folder: Path) -> None:
        for path in sorted(folder.iterdir()):
            self._disk.unlink(path)
        self._disk.rmdir(folder)
