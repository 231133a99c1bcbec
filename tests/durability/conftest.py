"""Fixtures of the durability tests: a folder in memory where there is one, for none of them needs a medium."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

MEMORY: Final = "/dev/shm"


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """An empty folder."""
    if not os.access(MEMORY, os.W_OK | os.X_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=MEMORY, prefix="vfax-durability-") as name:
        yield Path(name)
