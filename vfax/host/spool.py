"""The spool folder: where job files are made and where received faxes appear, whole and synced.

Owns      the folder's layout, file names, and the order of writes that makes a crash harmless.
Not here  what a record says (records.py), who calls (jobs.py), the pages inside a TIFF (vfax/pages.py).

The layout, all on one file system so that a rename is atomic:

    incoming/<job>.tif          the job file while a call runs, made by the host, filled by the provider
    incoming/<job>.tif.pages/   pages the provider kept one by one before it confirmed them
    inbox/<stamp>-<caller>-<job>.tif and .json    received faxes; the record is there before the document
    failed/<stamp>-<caller>-<job>.json            calls that left no page: the record alone
    unreadable/<job>.tif        what was left in incoming and could not be read as a fax: kept for a person to judge
    .lock                       held by the service that uses the folder (lock.py)

Everything here blocks on the disk: call it from a worker thread.
"""

import json
import os
import re
import secrets
import shutil
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from vfax.errors import StoreError
from vfax.host.lock import FolderLock
from vfax.pages import DONE, UNFINISHED, Disk, pages_folder

MAX_CALLER_NAME: Final = 40
"""Limit: characters of the caller that go into a file name."""

UNKNOWN_CALLER: Final = "unknown"
NEW_PREFIX: Final = ".new-"
PAGES_SUFFIX: Final = ".pages"
JOB_PATTERN: Final = re.compile(r"[0-9a-f]{8}")
JOB_ID_TRIES: Final = 16
"""Limit: attempts at an unused job number; a second one is already a matter of one in four thousand million."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Where a fax ended up: its record, and its document when there are pages."""

    record: Path
    document: Path | None


def file_name(caller: str, job: str, at: datetime) -> str:
    """Name a fax without its suffix: `<UTC stamp>-<caller>-<job>`; the caller's text can never become a path."""
    stamp = at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    return f"{stamp}-{safe_text(caller)}-{job}"


def safe_text(text: str) -> str:
    """Reduce a peer's text to letters, digits, `+` and `_`: at most 40 characters, never empty."""
    plain = unicodedata.normalize("NFKD", text[: 4 * MAX_CALLER_NAME]).encode("ascii", "ignore").decode("ascii")
    safe = re.sub(r"[^A-Za-z0-9+]+", "_", plain).strip("_")[:MAX_CALLER_NAME].strip("_")
    return safe or UNKNOWN_CALLER


def new_job_id() -> str:
    """A job number in eight hexadecimal digits; 0 and 0xFFFFFFFF ("no job" in FAX_EVENT) are left out."""
    return f"{1 + secrets.randbelow(0xFFFFFFFE):08x}"


class Spool:
    """One spool folder. `job_ids` is the source of job numbers, replaceable where a test wants known ones."""

    def __init__(self, root: Path, *, job_ids: Callable[[], str] = new_job_id) -> None:
        self.root = root.absolute()  # a provider is given full paths
        self.incoming = self.root / "incoming"
        self.inbox = self.root / "inbox"
        self.failed = self.root / "failed"
        self.unreadable = self.root / "unreadable"
        self._job_ids = job_ids
        self._lock = FolderLock(self.root)

    def prepare(self) -> None:
        """Make the folders and take them for this service until `release`.

        Raises StoreError naming the folder that cannot be made or written, or the process that uses them.
        """
        self._make(self.root)
        with self._storing(self._lock.path, "lock the spool folder with"):
            self._lock.take()
        try:
            for folder in (self.incoming, self.inbox, self.failed, self.unreadable):
                self._make(folder)
            with self._storing(self.root, "tidy up the spool folder"):
                self._remove_half_written()
        except StoreError:
            self.release()
            raise

    def release(self) -> None:
        """Leave the folders to the next service."""
        self._lock.release()

    def _make(self, folder: Path) -> None:
        with self._storing(folder, "make the spool folder"):
            folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise StoreError(
                f"cannot write in the spool folder {folder}: give this user write access or choose another"
            )

    def create_job_file(self) -> tuple[str, Path]:
        """Create the empty file a provider will fill (the service creates it, not the provider), numbered."""
        for _ in range(JOB_ID_TRIES):
            job = self._job_ids()
            path = self.job_file(job)
            if path.exists() or self.pages_folder(job).exists():
                continue
            with self._storing(path, "create the job file"):
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o640))
                sync_folder(self.incoming)
            return job, path
        raise StoreError(f"no unused job number found in {self.incoming} after {JOB_ID_TRIES} attempts")

    def job_file(self, job: str) -> Path:
        """The path of the job's file while its call runs."""
        return self.incoming / f"{job}.tif"

    def pages_folder(self, job: str) -> Path:
        """Where the provider keeps single pages until the whole document has replaced the job file."""
        return pages_folder(self.job_file(job))

    def holds(self, job: str) -> bool:
        """True while anything of the job is in `incoming`. Raises StoreError when that folder is out of reach."""
        with self._storing(self.incoming, "look into"):
            names = {self.job_file(job).name, self.pages_folder(job).name}
            return not names.isdisjoint(os.listdir(self.incoming))

    def deliver(self, job: str, name: str, record: Mapping[str, object]) -> Kept:
        """Move the job's document to the inbox: record first, then the document, each durable before the next step."""
        source = self.job_file(job)
        document, beside = self.inbox / f"{name}.tif", self.inbox / f"{name}.json"
        with self._storing(document, "deliver the fax"):
            sync_file(source)
            write_whole(beside, record)
            os.rename(source, document)
            sync_folder(self.inbox)
            sync_folder(self.incoming)
            self._remove_pages(job)
        return Kept(beside, document)

    def record_failure(self, job: str, name: str, record: Mapping[str, object]) -> Kept:
        """Keep the record of a call that left no page, and remove its empty job file."""
        beside = self.failed / f"{name}.json"
        with self._storing(beside, "keep the record of a failed call"):
            write_whole(beside, record)
        self.discard(job)
        return Kept(beside, None)

    def discard(self, job: str) -> None:
        """Remove everything the job left in `incoming`."""
        with self._storing(self.job_file(job), "remove the job file"):
            self.job_file(job).unlink(missing_ok=True)
            self._remove_pages(job)
            sync_folder(self.incoming)

    def put_aside(self, job: str) -> Path:
        """Move what cannot be read as a fax out of the way, deleting nothing; returns where it is now."""
        target = self.unreadable / f"{job}.tif"
        with self._storing(target, "put an unreadable fax aside"):
            for source, to in (
                (self.job_file(job), target),
                (self.pages_folder(job), self.unreadable / f"{job}.tif{PAGES_SUFFIX}"),
            ):
                if source.exists():
                    os.rename(source, to)
            sync_folder(self.unreadable)
            sync_folder(self.incoming)
        return target

    def leftovers(self) -> list[str]:
        """Job numbers that a crash left in `incoming`, oldest first."""
        found: dict[str, float] = {}
        with self._storing(self.incoming, "look for faxes left by a crash"):
            for entry in self.incoming.iterdir():
                job = entry.name.split(".", 1)[0]
                if JOB_PATTERN.fullmatch(job) and entry.name.startswith(f"{job}.tif"):
                    found[job] = min(entry.stat().st_mtime, found.get(job, float("inf")))
        return sorted(found, key=lambda job: (found[job], job))

    def interrupted_delivery(self, job: str) -> str | None:
        """The name under which the job was being delivered when the power went: record written, document not moved."""
        for path in self.inbox.glob(f"*-{job}.json"):
            if not path.with_suffix(".tif").exists():
                return path.stem
        return None

    def finish_delivery(self, job: str, name: str) -> Kept:
        """Do the last step of a delivery that was interrupted after its record was written."""
        document = self.inbox / f"{name}.tif"
        with self._storing(document, "finish a delivery"):
            sync_file(self.job_file(job))
            os.rename(self.job_file(job), document)
            sync_folder(self.inbox)
            sync_folder(self.incoming)
            self._remove_pages(job)
        return Kept(document.with_suffix(".json"), document)

    def changed_at(self, job: str) -> datetime:
        """When the job's file was last written: the best date left for a fax found after a crash."""
        with self._storing(self.incoming, "date a fax left by a crash"):
            times = [path.stat().st_mtime for path in (self.job_file(job), self.pages_folder(job)) if path.exists()]
        return datetime.fromtimestamp(max(times, default=0.0), UTC)

    def _remove_pages(self, job: str) -> None:
        """Remove what pages.py keeps beside a document; the document holds it by now, or nobody wants it."""
        for ending in (PAGES_SUFFIX, f"{PAGES_SUFFIX}{DONE}"):
            folder = self.incoming / f"{job}.tif{ending}"
            if folder.exists():
                shutil.rmtree(folder)
        (self.incoming / f"{job}.tif{UNFINISHED}").unlink(missing_ok=True)

    def _remove_half_written(self) -> None:
        for folder in (self.inbox, self.failed):
            for path in folder.glob(f"{NEW_PREFIX}*"):
                path.unlink(missing_ok=True)

    @contextmanager
    def _storing(self, path: Path, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as why:
            raise StoreError(f"cannot {what} {path}: {why.strerror or why}") from why


def write_whole(path: Path, record: Mapping[str, object]) -> None:
    """Write JSON so that `path` is either absent or whole: new file, fsync, rename, fsync of the folder."""
    text = json.dumps(record, ensure_ascii=False, indent=2) + "\n"
    new = path.with_name(f"{NEW_PREFIX}{path.name}")
    new.unlink(missing_ok=True)  # a crash may have left it
    with os.fdopen(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640), "wb") as file:
        file.write(
            text.encode("utf-8", "backslashreplace")
        )  # octets of a peer that were no UTF-8: \\udc80, as JSON has it
        file.flush()
        os.fsync(file.fileno())
    os.rename(new, path)
    sync_folder(path.parent)


def sync_file(path: Path) -> None:
    """Flush a file's content to the disk."""
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(path: Path) -> None:
    """Flush a folder's entries to the disk, so that a rename in it survives a power cut."""
    Disk().fsync_dir(path)
