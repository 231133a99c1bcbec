"""One service for one spool: a lock that dies with its process, however that ends.

Owns      the lock file and the sentence about who holds it. Not here: what is in the spool (spool.py).

Without it a second service on the same folder would take the running faxes of the first for those of a crash.
Everything here blocks on the disk: call it from a worker thread.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from vfax.errors import StoreError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK_NAME: Final = ".lock"
MAX_PID_OCTETS: Final = 20


class FolderLock:
    """The lock of one folder; `take` and `release` may each be called again."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK_NAME
        self._file: int | None = None

    def take(self) -> None:
        """Take the lock. Raises StoreError, naming the process that has it, and OSError when the file cannot be made.

        Limit: a file system that knows no locks (some network ones) is used without.
        """
        if self._file is not None:
            return
        file = os.open(self.path, os.O_CREAT | os.O_RDWR | getattr(os, "O_CLOEXEC", 0), 0o640)
        try:
            _lock(file)
        except (BlockingIOError, PermissionError):  # what POSIX and Windows call a lock that is taken
            holder = os.read(file, MAX_PID_OCTETS).decode("ascii", "replace").strip()
            os.close(file)
            raise StoreError(
                f"the spool folder {self.path.parent} is in use by another vfax"
                f"{f' (process {holder})' if holder.isdigit() else ''}: stop that one or choose another folder"
            ) from None
        except OSError:
            os.close(file)
            return
        self._file = file
        os.ftruncate(file, 0)
        os.write(file, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """Give the lock back; the file stays, for a lock is not where a name is."""
        if self._file is not None:
            with suppress(OSError):
                os.close(self._file)
            self._file = None


def _lock(file: int) -> None:
    if sys.platform == "win32":
        os.lseek(file, 1 << 30, os.SEEK_SET)  # locked octets cannot be read there: lock one that is never written
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        os.lseek(file, 0, os.SEEK_SET)
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
