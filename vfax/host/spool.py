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
import socket
import threading
import unicodedata
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from vfax.disk import Disk, synced, whole_or_gone
from vfax.errors import StoreError
from vfax.host.lock import FolderLock
from vfax.pages import DONE, UNFINISHED, pages_folder

MAX_CALLER_NAME: Final = 40
"""Limit: characters of the caller that go into a file name."""

UNKNOWN_CALLER: Final = "unknown"
NEW_PREFIX: Final = ".new-"
PAGES_SUFFIX: Final = ".pages"
JOB_DIGITS: Final = 8
JOB_PATTERN: Final = re.compile(r"[0-9a-f]{8}")
COPY_OCTETS: Final = 1 << 20
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
    """One spool folder. `job_ids` is the source of job numbers, `disk` what is written through."""

    def __init__(self, root: Path, *, job_ids: Callable[[], str] = new_job_id, disk: Disk | None = None) -> None:
        self.root = root.absolute()  # a provider is given full paths
        self.incoming = self.root / "incoming"
        self.inbox = self.root / "inbox"
        self.failed = self.root / "failed"
        self.unreadable = self.root / "unreadable"
        self.disk = disk or Disk()
        self._job_ids = job_ids
        self._lock = FolderLock(self.root)
        self._used = array("I")  # numbers on record and given since the start, in order: 4 octets each
        self._numbering = threading.Lock()
        self._doubtful: set[str] = set()  # jobs whose document may not be what its file shows

    def prepare(self) -> None:
        """Make the folders and take them for this service until `release`; remove what a crash left half removed.

        Raises StoreError naming the folder that cannot be made or written, or the process that uses them.
        """
        self.make_root()
        with self._storing(self._lock.path, "lock the spool folder with"):
            self._lock.take()
        try:
            for folder in (self.incoming, self.inbox, self.failed, self.unreadable):
                self._make(folder)
            with self._storing(self.root, "make durable the folders in"):
                self._sync_names()
            with self._storing(self.root, "tidy up the spool folder"):
                self._remove_half_written()
        except StoreError:
            self.release()
            raise

    def release(self) -> None:
        """Leave the folders to the next service."""
        self._lock.release()

    @property
    def host_name(self) -> str:
        """What the service of this spool calls itself in the store: the same after a restart, and another than those
        that share the store, for a spool has one service at a time."""
        return f"{socket.gethostname()}:{self.root}"

    def make_root(self) -> None:
        """Make the spool folder alone, for what else lies in it. Raises StoreError."""
        self._make(self.root)

    def _make(self, folder: Path) -> None:
        with self._storing(folder, "make the spool folder"):
            self._make_folders(folder)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise StoreError(
                f"cannot write in the spool folder {folder}: give this user write access or choose another"
            )

    def _make_folders(self, folder: Path) -> None:
        """Make what is missing of a path, each name durable: a synced page in a folder that is gone is gone as well."""
        disk = self.disk.of("spool")
        if folder.is_dir():
            return
        self._make_folders(folder.parent)
        with suppress(FileExistsError):
            disk.mkdir(folder, 0o750)
        disk.fsync_dir(folder.parent)

    def _sync_names(self) -> None:
        """A crash may have come between the making of these folders and the sync of their names."""
        self.disk.of("spool").fsync_dir(self.root)
        for parent in self.root.parents:
            with suppress(OSError):  # not made by us, or not to be read by us
                self.disk.of("spool").fsync_dir(parent)

    def create_job_file(self) -> tuple[str, Path]:
        """Create the empty file a provider will fill (the service creates it, not the provider), numbered."""
        for _ in range(JOB_ID_TRIES):
            job = self._job_ids()
            path = self.job_file(job)
            if path.exists() or self.pages_folder(job).exists() or not self._take_number(int(job, 16)):
                continue
            with self._storing(path, "create the job file"):
                self._create_empty(path)
            return job, path
        raise StoreError(f"no unused job number found in {self.incoming} after {JOB_ID_TRIES} attempts")

    def borrow(self) -> Path:
        """A new job file for one who is not the service: the next start of that delivers what is in it.

        Raises StoreError.
        """
        self.make_root()
        self._make(self.incoming)
        return self.create_job_file()[1]

    def _take_number(self, number: int) -> bool:
        """False for a number on record: after a crash it would say that the new fax had ended long ago."""
        with self._numbering:
            at = bisect_left(self._used, number)
            if at < len(self._used) and self._used[at] == number:
                return False
            self._used.insert(at, number)
            return True

    def _create_empty(self, path: Path) -> None:
        disk = self.disk.of("job")
        fd = disk.create(path)
        try:
            disk.close(fd)
            disk.fsync_dir(self.incoming)
        except OSError:  # no call will ever use it: the next start would take it for a fax that a crash interrupted
            with suppress(OSError):
                disk.unlink(path)
            raise

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
            return not names.isdisjoint(self.disk.of("incoming").listdir(self.incoming))

    def has_content(self, job: str) -> bool:
        """True when the job's file is not empty, whatever it holds."""
        with self._storing(self.job_file(job), "look at"):
            try:
                return self.job_file(job).stat().st_size > 0
            except FileNotFoundError:
                return False

    def deliver(self, job: str, name: str, record: Mapping[str, object]) -> Kept:
        """Move the job's document to the inbox: record first, then the document, each durable before the next step."""
        document, beside = self.inbox / f"{name}.tif", self.inbox / f"{name}.json"
        with self._storing(document, "deliver the fax"):
            self._make_durable(job)
            self._retire_pages(job)
            write_whole(self.disk, beside, record)
        return self._move_in(job, document)

    def finish_delivery(self, job: str, name: str) -> Kept:
        """Do the last step of a delivery that was interrupted after its record was written."""
        document = self.inbox / f"{name}.tif"
        with self._storing(document, "finish a delivery"):
            self._make_durable(job)
            self._retire_pages(job)
        return self._move_in(job, document)

    def _move_in(self, job: str, document: Path) -> Kept:
        disk = self.disk.of("inbox")
        with self._storing(document, "deliver the fax"):
            disk.rename(self.job_file(job), document)
            self._sync_moved()
        with suppress(OSError):  # the fax is where it belongs; what stays behind goes with the next start
            self._remove_rests(job)
        return Kept(document.with_suffix(".json"), document)

    def confirm_moved(self, job: str) -> Kept | None:
        """Sync once more the folders between which the job's document was moved; None when it is in neither."""
        with self._storing(self.inbox, "make durable"):
            self._sync_moved()
        return self.settled(job)

    def _sync_moved(self) -> None:
        self.disk.of("inbox").fsync_dir(self.inbox)
        self.disk.of("incoming").fsync_dir(self.incoming)

    def record_failure(self, job: str, name: str, record: Mapping[str, object]) -> Kept:
        """Keep the record of a call that left no page, and remove its empty job file."""
        beside = self.failed / f"{name}.json"
        with self._storing(beside, "keep the record of a failed call"):
            write_whole(self.disk, beside, record)
        self.discard(job)
        return Kept(beside, None)

    def discard(self, job: str) -> None:
        """Remove everything the job left in `incoming`."""
        with self._storing(self.job_file(job), "remove the job file"):
            with suppress(FileNotFoundError):
                self.disk.of("job").unlink(self.job_file(job))
            self._retire_pages(job)
            self._remove_rests(job)
            self.disk.of("incoming").fsync_dir(self.incoming)

    def put_aside(self, job: str) -> Path:
        """Move what cannot be read as a fax out of the way, deleting nothing; returns where it is now."""
        target = self.unreadable / f"{job}.tif"
        disk = self.disk.of("unreadable")
        with self._storing(target, "put an unreadable fax aside"):
            for source, to in (
                (self.job_file(job), target),
                (self.pages_folder(job), self.unreadable / f"{job}.tif{PAGES_SUFFIX}"),
            ):
                if source.exists():
                    disk.rename(source, to)
            disk.fsync_dir(self.unreadable)
            self.disk.of("incoming").fsync_dir(self.incoming)
        return target

    def leftovers(self) -> list[str]:
        """Job numbers that a crash left in `incoming`, oldest first; who knows whether their documents were synced."""
        found: dict[str, float] = {}
        with self._storing(self.incoming, "look for faxes left by a crash"):
            for path in self.incoming.iterdir():
                job = path.name.split(".", 1)[0]
                if JOB_PATTERN.fullmatch(job) and path in (self.job_file(job), self.pages_folder(job)):
                    found[job] = min(path.stat().st_mtime, found.get(job, float("inf")))
        self._doubtful.update(found)
        return sorted(found, key=lambda job: (found[job], job))

    def interrupted_delivery(self, job: str) -> str | None:
        """The name under which the job was being delivered when the power went: record written, document not moved."""
        with self._storing(self.inbox, "look into"):
            for path in self.inbox.glob(f"*-{job}.json"):
                if not path.with_suffix(".tif").exists():
                    return path.stem
        return None

    def settled(self, job: str) -> Kept | None:
        """Where the job has ended up already: what is left of it in `incoming` was only not removed any more."""
        with self._storing(self.root, "look into"):
            for path in self.inbox.glob(f"*-{job}.json"):
                if path.with_suffix(".tif").exists():
                    return Kept(path, path.with_suffix(".tif"))
            for path in self.failed.glob(f"*-{job}.json"):
                return Kept(path, None)
        return None

    def changed_at(self, job: str) -> datetime:
        """When the job's file was last written: the best date left for a fax found after a crash."""
        with self._storing(self.incoming, "date a fax left by a crash"):
            times = [path.stat().st_mtime for path in (self.job_file(job), self.pages_folder(job)) if path.exists()]
        return datetime.fromtimestamp(max(times, default=0.0), UTC)

    def _make_durable(self, job: str) -> None:
        """Sync the document and its name. Where that has failed once, and where nobody knows, it is written anew.

        A failed fsync may have dropped what it could not write, and a second one would call that safe. The name counts
        too: the single pages go next, and may not be gone before the document is there for good.
        """
        source, disk = self.job_file(job), self.disk.of("delivery")
        if job not in self._doubtful:
            self._doubtful.add(job)
            with synced(disk, disk.open_again(source)):
                pass
            disk.fsync_dir(self.incoming)
        else:
            self._write_anew(source)
        self._doubtful.discard(job)

    def _write_anew(self, source: Path) -> None:
        disk, copy = self.disk.of("copy"), source.with_name(source.name + UNFINISHED)
        with whole_or_gone(disk, copy):
            with disk.open_read(source) as old, synced(disk, disk.open_new(copy)) as new:
                disk.copy_mode(source, copy)
                while octets := old.read(COPY_OCTETS):
                    new.write(octets)
            disk.rename(copy, source)
        disk.fsync_dir(source.parent)

    def _retire_pages(self, job: str) -> None:
        """Take the single pages away in one step: the document holds them by now, or nobody wants them."""
        disk, pages = self.disk.of("pages"), self.pages_folder(job)
        if pages.is_dir():
            self._remove_folder(self._done(job))
            disk.rename(pages, self._done(job))
            disk.fsync_dir(self.incoming)

    def _remove_rests(self, job: str) -> None:
        self._remove_folder(self._done(job))
        with suppress(FileNotFoundError):
            self.disk.of("document").unlink(self.incoming / f"{job}.tif{UNFINISHED}")

    def _done(self, job: str) -> Path:
        return self.incoming / f"{job}.tif{PAGES_SUFFIX}{DONE}"

    def _remove_folder(self, folder: Path) -> None:
        if folder.is_dir():
            disk = self.disk.of("pages")
            for name in sorted(disk.listdir(folder)):
                disk.unlink(folder / name)
            disk.rmdir(folder)

    def _remove_half_written(self) -> None:
        numbers = []
        for folder in (self.inbox, self.failed):
            for name in self.disk.of("records").listdir(folder):
                if name.startswith(NEW_PREFIX):
                    self.disk.of("record").unlink(folder / name)
                elif (ending := name.removesuffix(".json")[-JOB_DIGITS:]) and JOB_PATTERN.fullmatch(ending):
                    numbers.append(int(ending, 16))
        self._used = array("I", sorted(numbers))
        for path in self.incoming.glob(f"*.tif{UNFINISHED}"):
            self.disk.of("document").unlink(path)
        for path in self.incoming.glob(f"*{PAGES_SUFFIX}{DONE}"):
            self._remove_folder(path)

    @contextmanager
    def _storing(self, path: Path, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as why:
            raise StoreError(f"cannot {what} {path}: {why.strerror or why}") from why


def write_whole(disk: Disk, path: Path, record: Mapping[str, object]) -> None:
    """Write JSON so that `path` is either absent or whole: new file, fsync, rename, fsync of the folder."""
    disk = disk.of("record")
    text = json.dumps(record, ensure_ascii=False, indent=2) + "\n"
    new = path.with_name(f"{NEW_PREFIX}{path.name}")
    with suppress(FileNotFoundError):  # a crash may have left it
        disk.unlink(new)
    with whole_or_gone(disk, new):
        with synced(disk, disk.create(new)) as file:
            file.write(text.encode("utf-8", "backslashreplace"))  # octets of a peer that were no UTF-8: \\udc80
        disk.rename(new, path)
    disk.fsync_dir(path.parent)


def sync_file(path: Path) -> None:
    """Flush the content of a file that others wrote to the medium; for what does not go through the spool's disk."""
    disk = Disk().of("file")
    with synced(disk, disk.open_again(path)):
        pass


def sync_folder(path: Path) -> None:
    """Flush a folder's entries to the medium, so that a rename in it survives a power cut."""
    Disk().of("folder").fsync_dir(path)
