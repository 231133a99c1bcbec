"""What all tests share: documents to send, two endpoints, virtual time, and a PostgreSQL for those that ask."""

import random
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
import trio
from hypothesis import settings
from PIL import Image, ImageDraw, ImageFont
from trio.testing import MockClock

from tests.virtual import hold_for_threads, virtual_clock
from vfax import call
from vfax.calls import IncomingFax
from vfax.endpoint import Counters, Endpoint, EndpointOptions
from vfax.leg import LegOptions
from vfax.outcome import Outcome
from vfax.transports.udp import format_address

if TYPE_CHECKING:
    from tests.postgres import Postgres

settings.register_profile("vfax", deadline=None)  # how long an example takes says more of the machine's load
settings.load_profile("vfax")

TEXT: Final = (
    "the quick brown fox jumps over a lazy dog while every page of this fax tells how it was made and why "
    "invoice order delivery number total thank you kind regards please call back 0123456789"
)
WORDS: Final = TEXT.split()


@pytest.fixture(autouse=True)
def no_fault_is_hidden(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A message or a timer that meets a fault of ours fails its test: an endpoint only counts it, and goes on."""
    met: list[BaseException | None] = []
    counted = Counters.add_fault

    def add_fault(self: Counters) -> bool:
        met.append(sys.exception())
        return counted(self)

    monkeypatch.setattr(Counters, "add_fault", add_fault)
    yield
    if met and request.node.get_closest_marker("faults") is None:
        raise AssertionError(f"{len(met)} faults of ours were met") from met[0]


def draw_page(number: int, *, rows: int, seed: int) -> Image.Image:
    """One text page, 1728 pixels wide, different for each number and seed."""
    dice = random.Random(f"{seed}/{number}")
    page = Image.new("1", (1728, rows), 1)
    pen = ImageDraw.Draw(page)
    font = ImageFont.load_default(30)
    pen.text((120, 40), f"page {number}", font=ImageFont.load_default(60), fill=0)
    for top in range(140, rows - 60, 44):
        pen.text((120, top), " ".join(dice.choices(WORDS, k=12))[:88], font=font, fill=0)
    pen.rectangle((100, 20, 1620, rows - 20), outline=0, width=2)
    return page


@pytest.fixture
def make_document(tmp_path: Path) -> Callable[..., Path]:
    """Writes a TIFF of text pages: `make_document(pages=3, rows=1100, fine=False)` gives its path."""

    def make(name: str = "document.tif", *, pages: int = 1, rows: int = 600, fine: bool = False, seed: int = 1) -> Path:
        drawn = [draw_page(number, rows=rows, seed=seed) for number in range(1, pages + 1)]
        path = tmp_path / name
        dpi = (204, 196 if fine else 98)
        drawn[0].save(path, compression="group4", dpi=dpi, save_all=True, append_images=drawn[1:])
        return path

    return make


@pytest.fixture
def fax_clock() -> MockClock:
    """Virtual time for both ends of a call; what runs the call runs `virtual.hold_for_threads` beside it."""
    return virtual_clock()


ANY_PORT = ("127.0.0.1", 0)


def _journal_of(arrived: call.InboundCall) -> Path:
    assert isinstance(arrived, IncomingFax)
    assert arrived.journal_path is not None
    return arrived.journal_path


class Receiver:
    """An endpoint that takes every call into a file of its own."""

    def __init__(self, folder: Path, endpoint: Endpoint) -> None:
        self.folder = folder
        self.endpoint = endpoint
        self.outcomes: list[Outcome] = []
        self.events: list[call.CallEvent] = []
        self.files: list[Path] = []
        self.calls: list[call.InboundCall] = []
        self.journals: list[Path] = []
        self.done = trio.Event()
        self._nursery: trio.Nursery | None = None

    @property
    def uri(self) -> str:
        return f"sip:5551234@{format_address(self.endpoint.address)}"

    def on_call(self, arrived: call.InboundCall) -> None:
        arrived.ring()
        self.calls.append(arrived)
        self.journals.append(_journal_of(arrived))
        assert self._nursery is not None
        self._nursery.start_soon(self._take, arrived)

    async def _take(self, arrived: call.InboundCall) -> None:
        target = self.folder / f"received-{len(self.calls)}.tif"
        target.touch()
        self.files.append(target)
        self.outcomes.append(await arrived.receive(target, local_id="5551234", publish=self.events.append))
        self.done.set()

    def request(self, document: Path) -> call.SendRequest:
        return call.SendRequest(document=document, destination=self.uri, local_id="+1 555 0001", caller_name="Test")

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Receiver"]:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(hold_for_threads)
            await nursery.start(self.endpoint.run, self.on_call)
            yield self
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def pair(
    folder: Path, receiving: LegOptions | None = None, sending: LegOptions | None = None
) -> AsyncIterator[tuple[Receiver, Endpoint]]:
    journals = folder / "journal"
    journals.mkdir(exist_ok=True)
    called = EndpointOptions(listen=ANY_PORT, leg=receiving or LegOptions(), journal=journals)
    caller = Endpoint(EndpointOptions(listen=ANY_PORT, leg=sending or LegOptions(), journal=journals))
    async with Receiver(folder, Endpoint(called)).running() as receiver, trio.open_nursery() as nursery:
        await nursery.start(caller.run, lambda arrived: arrived.refuse(486))
        yield receiver, caller
        nursery.cancel_scope.cancel()


@pytest.fixture
def fax_pair(tmp_path: Path) -> Callable[..., AbstractAsyncContextManager[tuple[Receiver, Endpoint]]]:
    """Two endpoints on loopback: `async with fax_pair(receiving_options, sending_options) as (receiver, caller)`."""
    return partial(pair, tmp_path)


@pytest.fixture(scope="session")
def postgres() -> Iterator["Postgres"]:
    """A server of the tests' own, started when the first test asks for it; fails where PostgreSQL is missing."""
    from tests.postgres import running_postgres  # it knows POSIX; the other tests do not need that

    with running_postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: "Postgres") -> Iterator[str]:
    """The URL of an empty database of the test's own."""
    with postgres.database() as name:
        yield postgres.url(name)
