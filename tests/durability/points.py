"""A disk whose every call passes a watcher: the write points by name, and what a test may do there.

Owns      `Call`, `Watcher`, `HastyDisk`, `WatchedDisk`; watchers that fail (`Faults`), count (`Tally`), or are two
          (`Both`).
Not here  the model of a power cut (model.py), the end of a process (killing.py).
"""

import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from vfax.disk import Disk

READS: Final = ("listdir", "open_read")
"""Calls that change nothing; all others are write points."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the disk: `purpose` is what it is for, `path` what it is about (by its open file where it has one).

    `target` is the new name of a rename or a link; `octets` are those of a write, from `offset` on.
    """

    purpose: str
    operation: str
    path: Path
    target: Path | None = None
    octets: bytes = b""
    offset: int = 0

    @property
    def point(self) -> str:
        """The name of the point: `page.fsync`."""
        return f"{self.purpose}.{self.operation}"

    @property
    def writes(self) -> bool:
        """False for a call that changes nothing."""
        return self.operation not in READS


class Watcher:
    """What sees every call: `before` may raise OSError instead of it, `room` says how much of a write is taken."""

    def before(self, call: Call) -> None:
        """The call is about to be made."""

    def room(self, call: Call) -> int:
        """Octets that this write may take."""
        return len(call.octets)

    def after(self, call: Call) -> None:
        """The call has been made, with these octets."""


class HastyDisk(Disk):
    """A disk that waits for no medium: a process that is killed loses nothing by it, and a power cut is modelled."""

    def fsync(self, fd: int) -> None:
        os.fstat(fd)

    def fsync_dir(self, path: Path) -> None:
        os.close(os.open(path, os.O_RDONLY | os.O_DIRECTORY))


class WatchedDisk(HastyDisk):
    """A disk with a watcher. `files`, the paths of what is open, is shared by the disk for all purposes."""

    def __init__(self, watcher: Watcher, purpose: str = "", files: dict[int, Path] | None = None) -> None:
        self._watcher = watcher
        self._purpose = purpose
        self._files: dict[int, Path] = {} if files is None else files

    def of(self, purpose: str) -> "WatchedDisk":
        return WatchedDisk(self._watcher, purpose, self._files)

    @contextmanager
    def _pass(self, operation: str, path: Path, target: Path | None = None) -> Iterator[None]:
        call = Call(self._purpose, operation, path, target)
        self._watcher.before(call)
        yield
        self._watcher.after(call)

    def mkdir(self, path: Path, mode: int = 0o777) -> None:
        with self._pass("mkdir", path):
            super().mkdir(path, mode)

    def listdir(self, path: Path) -> list[str]:
        with self._pass("listdir", path):
            return super().listdir(path)

    def open_new(self, path: Path) -> int:
        with self._pass("open_new", path):
            return self._opened(super().open_new(path), path)

    def create(self, path: Path) -> int:
        with self._pass("create", path):
            return self._opened(super().create(path), path)

    def open_again(self, path: Path) -> int:
        with self._pass("open_again", path):
            return self._opened(super().open_again(path), path)

    def open_read(self, path: Path) -> BinaryIO:
        with self._pass("open_read", path):
            return super().open_read(path)

    def _opened(self, fd: int, path: Path) -> int:
        self._files[fd] = path
        return fd

    def write(self, fd: int, octets: memoryview) -> int:
        offset = os.lseek(fd, 0, os.SEEK_CUR)
        call = Call(self._purpose, "write", self._files[fd], octets=bytes(octets), offset=offset)
        self._watcher.before(call)
        taken = super().write(fd, octets[: self._watcher.room(call)])
        self._watcher.after(Call(self._purpose, "write", self._files[fd], octets=bytes(octets[:taken]), offset=offset))
        return taken

    def copy_mode(self, source: Path, target: Path) -> None:
        with self._pass("copy_mode", source, target):
            super().copy_mode(source, target)

    def fsync(self, fd: int) -> None:
        with self._pass("fsync", self._files[fd]):
            super().fsync(fd)

    def close(self, fd: int) -> None:
        call = Call(self._purpose, "close", self._files[fd])
        try:
            self._watcher.before(call)
        finally:
            self._files.pop(fd)  # before another thread gets the same number
            super().close(fd)
        self._watcher.after(call)

    def rename(self, source: Path, target: Path) -> None:
        with self._pass("rename", source, target):
            super().rename(source, target)

    def link(self, source: Path, target: Path) -> None:
        with self._pass("link", source, target):
            super().link(source, target)

    def fsync_dir(self, path: Path) -> None:
        with self._pass("fsync_dir", path):
            super().fsync_dir(path)

    def unlink(self, path: Path) -> None:
        with self._pass("unlink", path):
            super().unlink(path)

    def rmdir(self, path: Path) -> None:
        with self._pass("rmdir", path):
            super().rmdir(path)


@dataclass
class Tally(Watcher):
    """Counts the points that were passed, and notes their order."""

    seen: Counter[str] = field(default_factory=Counter)
    order: list[str] = field(default_factory=list)

    def after(self, call: Call) -> None:
        self.seen[call.point] += 1
        self.order.append(call.point)


@dataclass
class Faults(Watcher):
    """Fails the call at `point` with `error`, from its `nth` time on and `times` times (0: always).

    `chunk` is the most that one write takes. `hits` counts what was refused; `heal` ends it all.
    """

    point: str = ""
    error: int = 0
    nth: int = 1
    times: int = 0
    chunk: int = 1 << 30
    hits: int = 0
    _passed: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def before(self, call: Call) -> None:
        if call.point != self.point or not self.error:
            return
        with self._lock:
            self._passed += 1
            if self._passed < self.nth or (self.times and self.hits >= self.times):
                return
            self.hits += 1
        raise OSError(self.error, os.strerror(self.error))

    def room(self, call: Call) -> int:
        return min(self.chunk, len(call.octets))

    def heal(self) -> None:
        """The disk is well again."""
        self.point = ""


@dataclass
class Both(Watcher):
    """Two watchers of one disk; the first is asked first."""

    first: Watcher
    second: Watcher

    def before(self, call: Call) -> None:
        self.first.before(call)
        self.second.before(call)

    def room(self, call: Call) -> int:
        return min(self.first.room(call), self.second.room(call))

    def after(self, call: Call) -> None:
        self.first.after(call)
        self.second.after(call)
