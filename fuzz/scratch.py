"""A file for octets that are only read from files: in memory where the system has a place for that.

Owns      the path.
Not here  what is written there.
"""

import atexit
import os
from functools import cache
from pathlib import Path
from tempfile import gettempdir


@cache
def path(suffix: str = "") -> Path:
    """One path for this process, removed at its end."""
    shared = Path("/dev/shm")
    folder = shared if shared.is_dir() and os.access(shared, os.W_OK) else Path(gettempdir())
    file = folder / f"vfax-fuzz-{os.getpid()}{suffix}"
    atexit.register(file.unlink, missing_ok=True)
    return file


def holding(data: bytes, suffix: str = "") -> Path:
    """The path, after `data` was written there."""
    file = path(suffix)
    file.write_bytes(data)
    return file
