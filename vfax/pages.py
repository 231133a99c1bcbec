"""Durable pages: a page that was kept survives a crash, and a file with a final name is whole.

Owns      `PageFolder`: one file a page beside the target, then the whole document in its place; recovery after a crash.
Not here  the system calls (disk.py), what a page looks like as TIFF (codecs/tiff.py), when it may be confirmed (t30/,
          runner.py).

Every write is write-new, sync, rename, sync the directory. All functions block: run them in a worker thread. An
OSError becomes a StoreError whose sentence names the path and the system's words; nothing may be confirmed then.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vfax.disk import Disk, DiskFile, synced, whole_or_gone
from vfax.errors import DocumentError, MisuseError, StoreError

__all__ = ["DONE", "UNFINISHED", "Disk", "Join", "KeptPage", "PageFolder", "pages_folder", "recover"]

Join = Callable[[Sequence[Path], DiskFile], None]
"""Write one-page TIFF files, in this order, as one TIFF to the given file, which is empty.

An OSError it raises, or that is the cause of its DocumentError, becomes a StoreError; anything else passes. The target
is untouched either way.
"""

UNFINISHED: Final = ".part"
"""Ending of a file that is being written; one left behind by a crash is worth nothing."""
DONE: Final = ".done"
"""Ending of a pages folder whose document is in its place; it only waits to be removed."""


@dataclass(frozen=True, slots=True)
class KeptPage:
    """A page on disk. `complete` is False when its end never came."""

    number: int
    path: Path
    complete: bool


def pages_folder(target: Path) -> Path:
    """Where the pages of `target` wait: `<target>.pages` beside it."""
    return target.with_name(f"{target.name}.pages")


def recover(target: Path, disk: Disk | None = None) -> list[KeptPage]:
    """List the pages kept for `target`, in order; the complete one where a page is there twice.

    An empty list means that nothing is kept: no page came, or the document is whole already.
    Raises StoreError when the folder cannot be read.
    """
    kept: dict[int, KeptPage] = {}
    folder = pages_folder(target)
    with _naming("cannot list the kept pages in", folder):
        names = sorted((disk or Disk()).of("pages").listdir(folder)) if folder.is_dir() else []
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
                self._disk.of("page").unlink(self.folder / _file_name(number, complete=False))
        return final

    def pages(self) -> list[KeptPage]:
        """List the pages kept so far, in order (see `recover`)."""
        return recover(self.target, self._disk)

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
        disk = self._disk.of("pages")
        with _naming("cannot create the folder", self.folder):
            try:
                disk.mkdir(self.folder)
            except FileExistsError:
                self._refuse_strangers()
            disk.fsync_dir(self.folder.parent)
        self._opened = True

    def _refuse_strangers(self) -> None:
        """An earlier call's confirmed pages must not be overwritten by this one's."""
        if self.pages():
            raise StoreError(f"pages of an earlier call are waiting in {self.folder}: recover them first")

    def _write(self, final: Path, octets: bytes) -> None:
        disk = self._disk.of("page")
        unfinished = final.with_name(final.name + UNFINISHED)
        with _naming("cannot keep the page", final):
            with whole_or_gone(disk, unfinished):
                with synced(disk, disk.open_new(unfinished)) as file:
                    file.write(octets)
                disk.rename(unfinished, final)
            disk.fsync_dir(self.folder)

    def _join(self, paths: Sequence[Path], join: Join) -> None:
        disk = self._disk.of("document")
        unfinished = self.target.with_name(self.target.name + UNFINISHED)
        with _naming("cannot write the document", self.target):
            with whole_or_gone(disk, unfinished):
                with synced(disk, disk.open_new(unfinished)) as file:
                    if self.target.exists():  # the rights of the one it will replace, before anything is in it
                        disk.copy_mode(self.target, unfinished)
                    _read_by(join, paths, file)
                disk.rename(unfinished, self.target)
            disk.fsync_dir(self.target.parent)

    def _remove_folder(self) -> None:
        """Take the pages away in one step, then remove them.

        Removed one by one, a crash in between would leave some of the pages, and recovery would make them the document.
        """
        disk = self._disk.of("pages")
        done = self.folder.with_name(self.folder.name + DONE)
        if done.is_dir():  # left by a crash
            _remove_tree(disk, done)
        if self.folder.is_dir():
            disk.rename(self.folder, done)
            disk.fsync_dir(self.folder.parent)
            _remove_tree(disk, done)
        self._opened = False


def _read_by(join: Join, paths: Sequence[Path], file: DiskFile) -> None:
    """Join; a page that the disk does not let us read is not a page that is none."""
    try:
        join(paths, file)
    except DocumentError as why:
        if isinstance(why.__cause__, OSError):
            raise why.__cause__ from why
        raise


def _remove_tree(disk: Disk, folder: Path) -> None:
    for name in sorted(disk.listdir(folder)):
        disk.unlink(folder / name)
    disk.rmdir(folder)
