"""A spool and its store in one file, and back.

Owns      what belongs to a backup, its order, and what a restored service must not do by itself.
Not here  the copy of the database (store/keeping.py), the command (cli/backup.py).

The database is copied first and the files after it: a fax that comes in between is found at the next start.
What was waiting to be sent at the time of the backup may have been sent since, so a restored queue is paused.

Everything here blocks on the disk.
"""

import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from vfax.errors import StoreError
from vfax.host.extension_book import FOLDER as EXTENSIONS
from vfax.host.outgoing import FOLDER as OUTGOING
from vfax.host.spool import sync_file, sync_folder
from vfax.host.store.store import Store

DATABASE: Final = "vfax.db"
FOLDERS: Final = ("inbox", "failed", "unreadable", "incoming", OUTGOING, EXTENSIONS, "journal")
"""What of a spool is kept: pages of calls that run, too; the next start repairs those."""
MAX_MEMBERS: Final = 10_000_000
"""Limit: files of one backup."""


@dataclass(frozen=True, slots=True)
class Contents:
    """How much a backup holds."""

    files: int
    octets: int


def back_up(spool: Path, url: str, target: Path) -> Contents:
    """Write database and files of a spool into the new file `target` (tar), while a service may use them.

    `target` is whole or absent. Raises StoreError: it is there already, or cannot be written; PostgreSQL has tools of
    its own, so there the files alone are kept.
    """
    if target.exists():
        raise StoreError(f"{target} is there already: choose another name")
    new = target.with_name(f".new-{target.name}")
    with (
        _saying(f"cannot write the backup {target}"),
        tempfile.TemporaryDirectory(dir=target.absolute().parent) as room,
    ):
        try:
            with tarfile.open(new, "w", format=tarfile.PAX_FORMAT) as tar:
                contents = _add_all(tar, spool, url, Path(room) / DATABASE)
            sync_file(new)
            os.rename(new, target)
            sync_folder(target.absolute().parent)
        finally:
            new.unlink(missing_ok=True)
    return contents


def _add_all(tar: tarfile.TarFile, spool: Path, url: str, copy: Path) -> Contents:
    files = octets = 0
    if url.startswith("sqlite"):
        store = Store.open(url)
        try:
            store.backup(copy)
        finally:
            store.close()
        tar.add(copy, DATABASE)
        files, octets = 1, copy.stat().st_size
    for path in _files(spool):
        try:
            tar.add(path, path.relative_to(spool).as_posix(), recursive=False)
        except FileNotFoundError:  # delivered, or removed, since it was listed
            continue
        files += 1
        octets += path.stat().st_size if path.exists() else 0
    return Contents(files, octets)


def _files(spool: Path) -> Iterator[Path]:
    for name in FOLDERS:
        folder = spool / name
        if folder.is_dir():
            yield from (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())


def restore(source: Path, spool: Path, url: str) -> Contents:
    """Fill the empty or missing folder `spool` from a backup, and pause its queue. Raises StoreError.

    A backup that is damaged, or holds anything else than a spool, leaves nothing behind.
    """
    with _saying(f"cannot restore {source} into {spool}"):
        if spool.exists() and any(spool.iterdir()):
            raise StoreError(f"{spool} is not empty: restore into a new folder, so that nothing is overwritten")
        spool.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=spool.parent) as room:
            unpacked = Path(room) / "spool"
            unpacked.mkdir(mode=0o750)
            contents = _unpack(source, unpacked)
            for folder, _, _ in os.walk(unpacked):
                sync_folder(Path(folder))
            if spool.exists():
                spool.rmdir()
            os.rename(unpacked, spool)
            sync_folder(spool.parent)
    if url.startswith("sqlite"):
        store = Store.open(url)
        try:
            store.pause_queue(True)
        finally:
            store.close()
    return contents


def _unpack(source: Path, to: Path) -> Contents:
    files = octets = 0
    try:
        with tarfile.open(source, "r:") as tar:
            for member in tar:
                _check(member, source)
                _extract(tar, member, to / member.name)
                files += 1
                octets += member.size
                if files > MAX_MEMBERS:
                    raise StoreError(f"{source} holds more than {MAX_MEMBERS} files")
    except (tarfile.TarError, EOFError) as why:
        raise StoreError(f"{source} is no backup of vfax, or is damaged: {why}") from why
    if not files:
        raise StoreError(f"{source} is no backup of vfax: it is empty")
    return Contents(files, octets)


def _check(member: tarfile.TarInfo, source: Path) -> None:
    parts = PurePosixPath(member.name).parts
    known = member.name == DATABASE or (len(parts) > 1 and parts[0] in FOLDERS and ".." not in parts)
    if not (member.isreg() and known):
        raise StoreError(f"{source} holds {member.name!r}, which is no part of a spool")


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, to: Path) -> None:
    """Quirk: tarfile has filters since Python 3.11.4; Debian 12 has 3.11.2."""
    to.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    packed = tar.extractfile(member)
    assert packed is not None  # _check has seen that it is a file
    with packed, to.open("xb") as file:
        shutil.copyfileobj(packed, file)
    to.chmod(member.mode & 0o755 | 0o600)
    os.utime(to, (member.mtime, member.mtime))
    sync_file(to)


@contextmanager
def _saying(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as why:
        raise StoreError(f"{what}: {why.strerror or why}") from why
