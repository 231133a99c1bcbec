"""Documents on their way out: kept in the spool until their jobs are over.

Owns      the folder `outgoing`, storing a document there so that it survives a crash, the pages left of one.
Not here  jobs (queue.py), turning files into fax pages (codecs/tiff.py).

    outgoing/<id>.tif             the document of a submission: whole and synced before its jobs exist
    outgoing/<id>.from-<n>.tif    its pages from the n-th on, for a provider that cannot begin in the middle

Everything here blocks on the disk: call it from a worker thread.
"""

import os
import secrets
from pathlib import Path
from typing import Final

from vfax.codecs import tiff
from vfax.codecs.tiff_file import Field, Tag, read_directories, read_strips, write_file
from vfax.errors import DocumentError, StoreError
from vfax.host.spool import sync_file, sync_folder

FOLDER: Final = "outgoing"
NEW: Final = ".new-"
MAX_PAGE_OCTETS: Final = 2**31


def keep_document(root: Path, document: Path) -> str:
    """Copy a TIFF Class F document into the spool at `root`; returns its path relative to that. Raises StoreError."""
    folder = root / FOLDER
    name = f"{secrets.token_hex(8)}.tif"
    new = folder / f"{NEW}{name}"
    try:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        with (
            document.open("rb") as source,
            os.fdopen(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640), "wb") as to,
        ):
            while piece := source.read(1 << 20):
                to.write(piece)
        sync_file(new)
        os.rename(new, folder / name)
        sync_folder(folder)
    except OSError as why:
        new.unlink(missing_ok=True)
        raise StoreError(f"cannot keep the document in {folder}: {why.strerror or why}") from why
    return f"{FOLDER}/{name}"


def rest_of(document: Path, first_page: int) -> Path:
    """The pages of a document from `first_page` (from 1) on, as a document beside it. Raises DocumentError, StoreError.

    It can be made anew at any time, so it is not synced.
    """
    target = document.with_name(f"{document.stem}.from-{first_page}.tif")
    if target.exists():
        return target
    new = target.with_name(f"{NEW}{target.name}")
    try:
        with document.open("rb") as file, new.open("w+b") as to:
            left = read_directories(file)[first_page - 1 :]
            if not left:
                raise DocumentError(f"{document} has no page {first_page}")
            pages = []
            for index, directory in enumerate(left):
                directory[Tag.PAGE_NUMBER] = Field.short(min(index, 0xFFFF), min(len(left), 0xFFFF))
                pages.append((directory, read_strips(file, directory, MAX_PAGE_OCTETS)))
            write_file(to, pages)
        os.rename(new, target)
    except OSError as why:
        raise StoreError(f"cannot write the rest of {document}: {why.strerror or why}") from why
    finally:
        new.unlink(missing_ok=True)
    return target


def count_pages(document: Path) -> int:
    """Pages of a document. Raises DocumentError when it is none."""
    return len(tiff.read_headers(document))


def remove_documents(root: Path, kept: set[str], *, before: float) -> int:
    """Remove documents that no job needs: all but `kept` (as `keep_document` named them) and those written since
    `before` (seconds since 1970), whose jobs may be on their way. Returns how many."""
    removed = 0
    folder = root / FOLDER
    for path in folder.iterdir() if folder.is_dir() else ():
        whole = path.name.split(".", 1)[0].removeprefix(NEW)
        if f"{FOLDER}/{whole}.tif" not in kept and path.stat().st_mtime < before:
            path.unlink(missing_ok=True)
            removed += 1
    return removed
