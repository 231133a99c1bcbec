"""Delivery into a folder: a file is there whole or not at all, and nothing that was there is ever overwritten.

Owns      the writes, their order, and names that are taken already.
Not here  when it is tried (delivery.py), what a file holds (document.py, parcel.py).

Each file is written under a name of its own that begins with a dot, synced, and linked to its final name; then the
folder is synced. The record is there before the document, as in the inbox. A file with the same name and content is the
one that an earlier try has left: it counts as delivered.

Everything here blocks on the disk: call it from a worker thread.
"""

import errno
import filecmp
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from vfax.disk import Disk, synced, whole_or_gone
from vfax.errors import DocumentError
from vfax.host.document import write_document
from vfax.host.parcel import Parcel, Result
from vfax.host.routing import FolderTarget

MAX_NAMES: Final = 100
"""Limit: names tried for one fax where others have taken them."""
NO_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES, errno.EXDEV})
"""What file systems without hard links (FAT, some network ones) answer; EXDEV: another file system."""


def deliver(parcel: Parcel, target: FolderTarget, *, disk: Disk | None = None) -> Result:
    """Put document and record into the target's folder. A relative folder is one in the spool and made where missing.

    An absolute one must be there: an empty mount point is not the share that should be mounted on it.
    """
    folder, disk = parcel.spool / target.folder, (disk or Disk()).of("target")
    try:
        if not Path(target.folder).is_absolute():
            _make(disk, parcel.spool, folder)
        elif not folder.is_dir():
            return Result.failed(f"The folder {folder} is not there: make it, or mount what belongs there.")
        return _Placing(parcel, target, folder, disk).place()
    except DocumentError as why:
        return Result.failed(f"The document cannot be delivered: {why}.")
    except OSError as why:
        return Result.failed(f"The fax cannot be written to {folder}: {why.strerror or why}.")


def _make(disk: Disk, spool: Path, folder: Path) -> None:
    """Make a folder in the spool, its name durable: what is delivered into a folder that is gone is gone as well.

    One that is there may be of a try that was killed before it had synced the name.
    """
    if folder == spool:
        return
    _make(disk, spool, folder.parent)
    if not folder.is_dir():
        with suppress(FileExistsError):  # another delivery was faster
            disk.mkdir(folder, 0o750)
    disk.fsync_dir(folder.parent)


class _Placing:
    """One try to put one fax into one folder."""

    def __init__(self, parcel: Parcel, target: FolderTarget, folder: Path, disk: Disk) -> None:
        self._parcel, self._target, self._folder, self._disk = parcel, target, folder, disk
        self._prefix = f".new-{parcel.event_id}-"
        self._try = f"{self._prefix}{parcel.delivery.lease_term}-{os.getpid()}"

    def place(self) -> Result:
        self._remove_leftovers()
        files: list[tuple[Path, str]] = []
        try:
            if self._target.record:
                files.append((self._write(".json", self._write_record), ".json"))
            if self._parcel.document is not None:
                files.append((self._written_document(), self._target.form.suffix))
            name = self._take_names(files)
        finally:
            for new, _ in files:
                with suppress(OSError):
                    self._disk.unlink(new)
            self._remove_leftovers()
        self._disk.fsync_dir(self._folder)
        if not files:
            return Result.done("The fax has no document, and no record is wanted: there was nothing to deliver.")
        return Result.done(f"It is in {self._folder / name}.")

    def _remove_leftovers(self) -> None:
        """What tries left that were killed; one that still runs in an abandoned thread then fails and harms nothing."""
        for name in os.listdir(self._folder):
            if name.startswith(self._prefix):
                with suppress(OSError):
                    self._disk.unlink(self._folder / name)

    def _written_document(self) -> Path:
        document, suffix = self._parcel.document, self._target.form.suffix
        assert document is not None
        if self._target.hard_link and suffix == document.suffix:
            new = self._folder / f"{self._try}{suffix}"
            try:
                self._disk.link(document, new)
            except OSError as why:
                if why.errno not in NO_LINKS:
                    raise
            else:
                return new
        return self._write(suffix, lambda write: self._write_document(document, write))

    def _write_document(self, document: Path, write: Callable[[bytes], object]) -> None:
        parcel = self._parcel
        write_document(document, self._target.form, write, title=parcel.title, created=parcel.created)

    def _write_record(self, write: Callable[[bytes], object]) -> None:
        record = json.dumps(self._parcel.payload(self._target.form), indent=2, ensure_ascii=False) + "\n"
        write(record.encode("utf-8", "backslashreplace"))

    def _write(self, suffix: str, content: Callable[[Callable[[bytes], object]], None]) -> Path:
        """A new file with this content, on the medium."""
        new = self._folder / f"{self._try}{suffix}"
        fd = self._disk.create(new)
        with whole_or_gone(self._disk, new), synced(self._disk, fd) as file:
            content(file.write)
        return new

    def _take_names(self, files: list[tuple[Path, str]]) -> str:
        """Link the new files to the first name that none of them finds taken; returns that name and a suffix."""
        for number in range(1, MAX_NAMES + 1):
            name = self._parcel.name if number == 1 else f"{self._parcel.name}-{number}"
            pairs = [(new, self._folder / f"{name}{suffix}") for new, suffix in files]
            if all(_free(*pair) for pair in pairs) and all(self._take(*pair) for pair in pairs):
                return f"{name}{files[-1][1] if files else ''}"
        raise FileExistsError(errno.EEXIST, f"{MAX_NAMES} files named {self._parcel.name} are there already")

    def _take(self, new: Path, final: Path) -> bool:
        """True when the file has this name now, or a former try has left the same there."""
        try:
            self._disk.link(new, final)
        except FileExistsError:
            return _same(new, final)
        except OSError as why:
            if why.errno not in NO_LINKS:
                raise
            return self._take_without_links(new, final)
        return True

    def _take_without_links(self, new: Path, final: Path) -> bool:
        """Where a name can only be taken by making the file: it is empty for a moment, and never another's.

        Limit: who is killed in that moment leaves it empty, and the next try takes the next name.
        """
        try:
            fd = self._disk.create(final)
        except FileExistsError:
            return _same(new, final)
        with whole_or_gone(self._disk, final):
            self._disk.close(fd)
            self._disk.rename(new, final)
        return True


def _free(new: Path, final: Path) -> bool:
    """True when nobody has the name, or a former try has left the same there."""
    return not os.path.lexists(final) or _same(new, final)


def _same(new: Path, final: Path) -> bool:
    try:
        return filecmp.cmp(new, final, shallow=False)
    except FileNotFoundError:  # a link that leads nowhere has the name, too
        return False
