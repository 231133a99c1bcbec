"""Fixtures for clients: a host with real sockets in a folder with a short name, as sockets need one."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client.plain import Host, hosting


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="vfax-") as made:
        yield Path(made)


@pytest.fixture
def host(folder: Path) -> Iterator[Host]:
    with hosting(folder) as running:
        yield running
        assert running.faults == [], "a fault of the host, whatever a client did"
