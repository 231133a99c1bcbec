"""Configuration data of extensions on disk: opaque octets under a device id and a GUID, whole or as they were before.

Owns      the folder `extensions` of a spool: names, format, limits, the order of writes.
Not here  who may ask and who is told of changes (extensions.py), what the data mean (nobody's business here).
Source    faxext.h, FaxExtGetData and FaxExtSetData: the service stores and reads data and does not look into them;
          ERROR_BAD_DB where they are corrupt.

One file for each: `<device id, 8 hexadecimal digits>-<GUID, 32 of them>.data`, which is a line that names the format,
the SHA-256 of the data, the data. All are read at the start and kept in memory, so that reading never waits.
"""

import hashlib
import re
import secrets
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vfax.disk import Disk, synced, whole_or_gone
from vfax.errors import StoreError
from vfax.fsp.errors import DataCorrupt, DataNotFound, FaxServiceError, OutOfResources
from vfax.fsp.extension import DataKey

FOLDER: Final = "extensions"
NAME: Final = re.compile(r"([0-9a-f]{8})-([0-9a-f]{32})\.data")
NEW: Final = ".new-"
HEAD: Final = b"vfax extension data 1\n"
DIGEST_OCTETS: Final = 32
MOST_OCTETS: Final = 1 << 19
"""Limit: octets under one key, whatever the options say; a larger file is none of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtensionLimits:
    """Limits of all extensions of a host: `max_octets` of data under one key, `max_data` keys, `max_registrations` for
    changes."""

    max_octets: int = 65_536
    max_data: int = 1_000
    max_registrations: int = 1_000


class ExtensionBook:
    """All configuration data of a host. Methods may be called from any thread; `load` and `set` wait for the disk.

    `root` is the spool; None: nothing is read or written, and all is forgotten with the book.
    """

    def __init__(self, root: Path | None, limits: ExtensionLimits | None = None, *, disk: Disk | None = None) -> None:
        self._folder = root / FOLDER if root is not None else None
        self.limits = limits or ExtensionLimits()
        self._disk = (disk or Disk()).of("extension")
        self._data: dict[DataKey, bytes | FaxServiceError] = {}  # or why what is on disk cannot be used
        self._doubtful: set[DataKey] = set()  # what is on disk may be either of two
        self._named = False  # the folder's own name is on the medium, as far as this book knows
        self._writing = threading.Lock()

    def load(self, *, tidy: bool = True) -> None:
        """Read what is there, and (`tidy`, for the one who writes) remove what a crash left unfinished.

        Raises StoreError when the folder cannot be read; a file that cannot is an error for those who ask for it.
        """
        folder = self._folder
        if folder is None or not folder.is_dir():
            return
        with _saying(f"cannot read the configuration of providers in {folder}"):
            for name in self._disk.listdir(folder):
                found = NAME.fullmatch(name)
                if found is not None:
                    key = DataKey(int(found[1], 16), f"{{{uuid.UUID(found[2])}}}".upper())
                    self._data[key] = self._read(folder / name)
                elif tidy and name.startswith(NEW):
                    self._disk.unlink(folder / name)

    def forgetful(self) -> "ExtensionBook":
        """A copy whose changes reach no disk."""
        copy = ExtensionBook(None, self.limits)
        copy._data.update(self._data)
        return copy

    def get(self, key: DataKey) -> bytes:
        """The data under a key; never waits. Raises DataNotFound, DataCorrupt."""
        try:
            data = self._data[key]
        except KeyError:
            raise DataNotFound(f"there are no data {key.guid} for device {key.device_id}") from None
        if isinstance(data, FaxServiceError):
            raise type(data)(f"the data {key.guid} for device {key.device_id} {data}")
        return data

    def set(self, key: DataKey, data: bytes) -> bool:
        """Store data; once it returns they are on the medium. False: they were that already.

        Raises OutOfResources beyond a limit, FaxServiceError where the disk refuses; then the old data stand.
        """
        limits = self.limits
        if len(data) > limits.max_octets:
            raise OutOfResources(f"{len(data)} octets of data, and {limits.max_octets} are the limit here")
        with self._writing:
            if key in self._data and self._data[key] == data and key not in self._doubtful:
                return False
            if key not in self._data and len(self._data) >= limits.max_data:
                raise OutOfResources(f"{limits.max_data} data are stored for extensions, which is the limit here")
            if self._folder is not None:
                self._doubtful.add(key)
                with _refusing(key):
                    self._write(self._folder, key, data)
                self._doubtful.discard(key)
            self._data[key] = data
            return True

    def _read(self, path: Path) -> bytes | FaxServiceError:
        try:
            with self._disk.open_read(path) as file:
                octets = file.read(len(HEAD) + DIGEST_OCTETS + MOST_OCTETS + 1)
        except OSError as why:
            return FaxServiceError(f"cannot be read: {why.strerror or why}")
        head, rest = octets[: len(HEAD)], octets[len(HEAD) :]
        digest, data = rest[:DIGEST_OCTETS], rest[DIGEST_OCTETS:]
        whole = head == HEAD and len(data) <= MOST_OCTETS and hashlib.sha256(data).digest() == digest
        return data if whole else DataCorrupt("are not what was stored")

    def _write(self, folder: Path, key: DataKey, data: bytes) -> None:
        if not self._named:
            with suppress(FileExistsError):
                self._disk.mkdir(folder, 0o750)
            self._disk.fsync_dir(folder.parent)
            self._named = True
        target = folder / f"{key.device_id:08x}-{uuid.UUID(key.guid).hex}.data"
        new = folder / f"{NEW}{secrets.token_hex(4)}-{target.name}"
        with whole_or_gone(self._disk, new):
            with synced(self._disk, self._disk.create(new)) as file:
                file.write(HEAD + hashlib.sha256(data).digest() + data)
            self._disk.rename(new, target)
        self._disk.fsync_dir(folder)


@contextmanager
def _saying(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as why:
        raise StoreError(f"{what}: {why.strerror or why}") from why


@contextmanager
def _refusing(key: DataKey) -> Iterator[None]:
    try:
        yield
    except OSError as why:
        words = f"the data {key.guid} for device {key.device_id} cannot be stored: {why.strerror or why}"
        raise FaxServiceError(words) from why
