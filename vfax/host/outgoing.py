"""Documents on their way out: kept in the spool until their jobs are over.

Owns      the folder `outgoing`, storing a document there so that it survives a crash, the pages left of one; where
          files are converted, and what a crash leaves of that.
Not here  jobs (queue.py), turning files into fax pages (codecs/tiff.py, convert.py).

    outgoing/<id>.tif             the document of a submission: whole and synced before its jobs exist
    outgoing/<id>.from-<n>.tif    its pages from the n-th on, for a provider that cannot begin in the middle
    .converting-<random>/         where one submission is converted: nothing in it outlives that, or is synced

Everything here blocks on the disk: call it from a worker thread.
"""

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from vfax.codecs import tiff
from vfax.codecs.tiff_file import Field, Tag, read_directories, read_strips, write_file
from vfax.disk import Disk, DiskFile, synced, whole_or_gone
from vfax.errors import DocumentError, StoreError

FOLDER: Final = "outgoing"
NEW: Final = ".new-"
WORKROOM: Final = ".converting-"
"""How the name of a folder begins in which a submission is converted: no delivery goes into one with a dot."""
MAX_PAGE_OCTETS: Final = 2**31


def workroom(root: Path) -> "tempfile.TemporaryDirectory[str]":
    """A folder in the spool at `root` to convert one submission in; it goes with its block. Raises StoreError.

    What is written there may be lost at any moment: no job is made before `keep_document` has copied it.
    """
    try:
        return tempfile.TemporaryDirectory(prefix=WORKROOM, dir=root, ignore_cleanup_errors=True)
    except OSError as why:
        raise StoreError(f"cannot make a folder to convert the document in {root}: {why.strerror or why}") from why


def keep_document(root: Path, document: Path, disk: Disk | None = None) -> str:
    """Copy a TIFF Class F document into the spool at `root`; returns its path relative to that. Raises StoreError."""
    folder, disk = root / FOLDER, (disk or Disk()).of("outgoing")
    name = f"{secrets.token_hex(8)}.tif"
    try:
        if not folder.is_dir():
            with suppress(FileExistsError):
                disk.mkdir(folder, 0o750)
        disk.fsync_dir(root)  # another submission may have made it a moment ago
        with disk.open_read(document) as source, _whole(disk, folder / name) as to:
            while piece := source.read(1 << 20):
                to.write(piece)
    except OSError as why:
        raise StoreError(f"cannot keep the document in {folder}: {why.strerror or why}") from why
    return f"{FOLDER}/{name}"


def rest_of(document: Path, first_page: int, disk: Disk | None = None) -> Path:
    """The pages of a document from `first_page` (from 1) on, as a document beside it. Raises DocumentError, StoreError.

    It can be made anew at any time, and is synced all the same: one that is there counts as whole.
    """
    target, disk = document.with_name(f"{document.stem}.from-{first_page}.tif"), (disk or Disk()).of("outgoing")
    if target.exists():
        return target
    try:
        with disk.open_read(document) as file:
            left = read_directories(file)[first_page - 1 :]
            if not left:
                raise DocumentError(f"{document} has no page {first_page}")
            pages = []
            for index, directory in enumerate(left):
                directory[Tag.PAGE_NUMBER] = Field.short(min(index, 0xFFFF), min(len(left), 0xFFFF))
                pages.append((directory, read_strips(file, directory, MAX_PAGE_OCTETS)))
        with _whole(disk, target) as to:
            write_file(to, pages)
    except OSError as why:
        raise StoreError(f"cannot write the rest of {document}: {why.strerror or why}") from why
    return target


@contextmanager
def _whole(disk: Disk, target: Path) -> Iterator[DiskFile]:
    """Write a new file within the block; after it `target` is there, whole and on the medium. Or OSError."""
    new = target.with_name(f"{NEW}{secrets.token_hex(4)}-{target.name}")
    with whole_or_gone(disk, new):
        with synced(disk, disk.create(new)) as file:
            yield file
        disk.rename(new, target)
    disk.fsync_dir(target.parent)


def counted(pages: int) -> str:
    """So many pages, in words."""
    return f"{pages} page{'' if pages == 1 else 's'}"


def count_pages(document: Path) -> int:
    """Pages of a document. Raises DocumentError when it is none."""
    return len(tiff.read_headers(document))


def remove_documents(root: Path, kept: set[str], *, before: float) -> int:
    """Remove documents that no job needs: all but `kept` (as `keep_document` named them) and those written since
    `before` (seconds since 1970), whose jobs may be on their way. Returns how many.

    Workrooms as old go as well: their process was killed.
    """
    removed = 0
    folder = root / FOLDER
    for path in folder.iterdir() if folder.is_dir() else ():
        whole = path.name.split(".", 1)[0]  # nothing for what was not finished
        if f"{FOLDER}/{whole}.tif" not in kept and _written_before(before, path):
            path.unlink(missing_ok=True)
            removed += 1
    for room in root.glob(f"{WORKROOM}*/"):
        if _written_before(before, room):
            shutil.rmtree(room)
            removed += 1
    return removed


def _written_before(before: float, path: Path) -> bool:
    """Whether a file, or a folder with all in it, is as old as that; False for what goes while it is looked at."""
    try:
        return all(one.stat().st_mtime < before for one in (path, *(path.iterdir() if path.is_dir() else ())))
    except FileNotFoundError:
        return False
