"""Fixtures for tests against peers that nobody here wrote. A missing peer is a failure, never a skip."""

import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from PIL import Image

# The helpers beside this file are imported as tests.interop.*; an installed vfax still comes first.
ROOT = str(Path(__file__).parents[2])
if ROOT not in sys.path:
    sys.path.append(ROOT)

from tests.interop import dissect, documents, spandsp  # noqa: E402
from tests.interop.peer import SpandspPeer, open_peer  # noqa: E402


@pytest.fixture
def libspandsp() -> None:
    """Fail when libspandsp is not installed."""
    try:
        spandsp.load()
    except spandsp.MissingLibraryError as why:
        pytest.fail(str(why), pytrace=False)


def _program(name: str, package: str) -> str:
    try:
        return dissect.find_program(name, package)
    except dissect.MissingProgramError as why:
        pytest.fail(str(why), pytrace=False)


@pytest.fixture
def tshark() -> str:
    """Path of tshark."""
    return _program("tshark", "tshark")


@pytest.fixture
def sipp() -> str:
    """Path of sipp."""
    return _program("sipp", "sip-tester")


@pytest.fixture
async def peer(libspandsp: None) -> AsyncIterator[SpandspPeer]:
    """A libspandsp peer on a free port of 127.0.0.1."""
    async with open_peer() as one:
        yield one


@pytest.fixture
async def other_peer(libspandsp: None) -> AsyncIterator[SpandspPeer]:
    """A second one."""
    async with open_peer() as one:
        yield one


Fax = tuple[Path, list[Image.Image]]


@pytest.fixture
def make_fax(tmp_path: Path) -> Callable[..., Fax]:
    """make_fax(pages, fine=..., lines=...): a TIFF Class F file and its pages."""

    def make(count: int = 1, *, fine: bool = False, lines: int = 12) -> Fax:
        pages = documents.draw_pages(count, fine=fine, lines=lines)
        return documents.write_fax(tmp_path / "sent.tif", pages), pages

    return make
