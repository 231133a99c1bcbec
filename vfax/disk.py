"""The disk as what must survive sees it: every system call behind a small method, each told what it is for.

Owns      `Disk`, the calls; `DiskFile`, a file written through one; `synced` and `whole_or_gone`, the ends of a write.
Not here  which calls a page needs and in what order (pages.py), nor a fax (host/spool.py).

A write point has a name: the purpose and the call, such as `page.fsync` or `inbox.rename`; docs/durability.md lists
them. `Disk.of(purpose)` says the purpose. The real disk does not care; one in a test can make any point fail, write
less than it was given, note it, or be the last thing that its process does.
"""

import contextlib
import errno
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

if sys.platform == "darwin":
    import fcntl

_BINARY: Final = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_WRITE_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _BINARY
_CREATE: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | _BINARY


class Disk:
    """Every system call that a kept fax depends on; paths are full ones. Any of them may raise OSError."""

    def of(self, purpose: str) -> "Disk":
        """This disk, told what the calls to come are for."""
        return self

    def mkdir(self, path: Path, mode: int = 0o777) -> None:
        """Create a directory; FileExistsError when it is there."""
        path.mkdir(mode)

    def listdir(self, path: Path) -> list[str]:
        """Names in a directory, in no order."""
        return os.listdir(path)

    def open_new(self, path: Path) -> int:
        """Open for writing from nothing; readable by the owner alone."""
        return os.open(path, _WRITE_NEW, 0o600)

    def create(self, path: Path) -> int:
        """Open for writing what must not be there yet (FileExistsError); readable by the group."""
        return os.open(path, _CREATE, 0o640)

    def open_again(self, path: Path) -> int:
        """Open what is there, to sync it."""
        return os.open(path, os.O_RDWR | _BINARY)

    def open_read(self, path: Path) -> BinaryIO:
        """Open what is there, to read it."""
        return path.open("rb")

    def write(self, fd: int, octets: memoryview) -> int:
        """Write some of `octets` and tell how many."""
        return os.write(fd, octets)

    def copy_mode(self, source: Path, target: Path) -> None:
        """Give `target` the rights of `source`."""
        shutil.copymode(source, target)

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

    def link(self, source: Path, target: Path) -> None:
        """Give a file a second name; FileExistsError where that is taken."""
        os.link(source, target)

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


class DiskFile:
    """An open file written through a disk: every `write` is whole or an OSError. It does not own `fd`."""

    def __init__(self, disk: Disk, fd: int) -> None:
        self._disk = disk
        self._fd = fd

    def write(self, octets: bytes, /) -> int:
        """Write all of `octets` and tell how many they are."""
        rest = memoryview(octets)
        while rest:
            written = self._disk.write(self._fd, rest)
            if written <= 0:
                raise OSError(errno.EIO, "the system wrote nothing")
            rest = rest[written:]
        return len(octets)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to `offset`; returns where that is from the start."""
        return os.lseek(self._fd, offset, whence)


@contextlib.contextmanager
def synced(disk: Disk, fd: int) -> Iterator[DiskFile]:
    """Write into `fd` within the block; after it the content is on the medium and `fd` is closed. Or OSError.

    The descriptor that wrote is the one that syncs: an error of writing back is told to it, not to a later one.
    """
    try:
        yield DiskFile(disk, fd)
        disk.fsync(fd)
    except BaseException:
        with contextlib.suppress(OSError):  # the first error is the one that counts
            disk.close(fd)
        raise
    disk.close(fd)


@contextlib.contextmanager
def whole_or_gone(disk: Disk, unfinished: Path) -> Iterator[None]:
    """Write the file `unfinished` and give it its name within the block; it is removed when the block does not end."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # it is worth nothing, and the first error is the one that counts
            disk.unlink(unfinished)
        raise
