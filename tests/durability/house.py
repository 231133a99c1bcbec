"""A receiving service over its own disk, and a phone that calls it: what all these tests kill, starve and cut off.

Owns      `open_house` (FaxService, our device, UDP on the loopback interface), `Phone` (a caller that knows which pages
          were confirmed), pages that are each unlike any other, `start_again` (what the next start makes of a spool).
Not here  what must hold afterwards (judging.py).
"""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import trio

from tests.durability.databases import store_url
from tests.durability.points import HastyDisk
from vfax import call
from vfax.cli.hosting import running
from vfax.codecs import tiff
from vfax.disk import Disk
from vfax.endpoint import Endpoint, EndpointOptions
from vfax.errors import only_one
from vfax.host.events import HostEvent, Observer
from vfax.host.service import FaxService
from vfax.host.spool import Spool
from vfax.leg import LegOptions
from vfax.outcome import Outcome
from vfax.settings import Settings, wiring
from vfax.transports.udp import format_address

ROWS: Final = 24
WIDTH_PX: Final = 1728
STRIDE: Final = WIDTH_PX // 8


def page_raster(seed: int, rows: int = ROWS) -> bytes:
    """Black and white runs that no other seed has."""
    dice = random.Random(seed)
    return b"".join(_row(dice) for _ in range(rows))


def _row(dice: random.Random) -> bytes:
    row = bytearray(STRIDE)
    for _ in range(dice.randint(3, 9)):
        at, length = dice.randrange(STRIDE - 8), dice.randint(1, 8)
        row[at : at + length] = b"\xff" * length
    return bytes(row)


@dataclass(frozen=True)
class Letter:
    """A document to send and the rasters of its pages."""

    path: Path
    rasters: tuple[bytes, ...]


def write_letter(path: Path, pages: int, seed: int, rows: int = ROWS) -> Letter:
    """A document of `pages` pages that are unlike those of any other seed."""
    rasters = tuple(page_raster(seed * 1000 + number, rows) for number in range(1, pages + 1))
    parts = []
    for number, raster in enumerate(rasters):
        part = path.with_name(f"{path.name}.{number}")
        part.write_bytes(tiff.write_page(raster, WIDTH_PX, rows, x_dpi=204, y_dpi=98))
        parts.append(part)
    tiff.join_pages(parts, path)
    for part in parts:
        part.unlink()
    return Letter(path, rasters)


@dataclass
class Phone:
    """One fax of one caller; `confirmed` are the pages whose confirmation it heard."""

    endpoint: Endpoint
    uri: str
    letter: Letter
    on_confirmed: Callable[[int], None] = lambda number: None
    confirmed: int = 0
    on_line: int = 0
    outcome: Outcome | None = None
    _outgoing: call.OutboundCall | None = None
    _heard: trio.Event = field(default_factory=trio.Event)

    async def send(self) -> None:
        """Call and send, to whatever end."""
        request = call.SendRequest(
            document=self.letter.path, destination=self.uri, local_id="+49 30 1", caller_name="Phone"
        )
        self._outgoing = self.endpoint.outbound()
        self.outcome = await self._outgoing.send(request, publish=self._hear)

    def hang_up(self) -> None:
        """Give up in the middle."""
        if self._outgoing is not None:
            self._outgoing.abort()

    async def reached(self, confirmed: int, page: int) -> None:
        """Return when so many pages are confirmed and `page` is on the line."""
        while self.confirmed < confirmed or self.on_line < page:
            await self._heard.wait()

    def _hear(self, event: call.CallEvent) -> None:
        match event:
            case call.PageDone(number):
                self.confirmed += 1
                self.on_confirmed(number)
            case call.PageBegun(number):
                self.on_line = number
        self._heard.set()
        self._heard = trio.Event()


@dataclass
class House:
    """A service that runs, and an endpoint to call it from."""

    service: FaxService
    network: Endpoint
    callers: Endpoint

    def phone(self, letter: Letter, on_confirmed: Callable[[int], None] = lambda number: None) -> Phone:
        """A caller that has not dialled yet."""
        return Phone(self.callers, f"sip:5551234@{format_address(self.network.address)}", letter, on_confirmed)


def settings_for(root: Path, lines: int = 2) -> Settings:
    """Those of a service in `root`/spool, on a free port, without journals."""
    given = Settings()
    return given.model_copy(
        update={
            "host": given.host.model_copy(update={"spool": root / "spool", "lines": lines}),
            "sip": given.sip.model_copy(update={"listen": "127.0.0.1:0"}),
            "journal": given.journal.model_copy(update={"enabled": False}),
            "store": given.store.model_copy(update={"url": store_url(root)}),
        }
    )


def make_service(
    root: Path, disk: Disk, *, observe: Observer, leg: LegOptions | None = None, lines: int = 2
) -> tuple[FaxService, Endpoint]:
    """A service with our device on a free port; its spool is `root`/spool and everything goes through `disk`."""
    settings = settings_for(root, lines)
    options = replace(wiring.endpoint_options(settings), disk=disk)
    network = Endpoint(options if leg is None else replace(options, leg=leg))
    spool = Spool(root / "spool", disk=disk)
    registration = wiring.registration(settings, network)
    return FaxService(wiring.host_options(settings), [registration], observe=observe, spool=spool), network


@asynccontextmanager
async def open_house(
    root: Path, disk: Disk, *, observe: Observer, leg: LegOptions | None = None, lines: int = 2
) -> AsyncIterator[House]:
    """The service of `make_service`, running while the block runs, and callers."""
    service, network = make_service(root, disk, observe=observe, leg=leg, lines=lines)
    callers = Endpoint(EndpointOptions(listen=("127.0.0.1", 0)))
    async with trio.open_nursery() as nursery:
        await nursery.start(callers.run, lambda arrived: arrived.refuse(486))
        async with running(service):
            yield House(service, network, callers)
        nursery.cancel_scope.cancel()


async def start_and_stop(root: Path, disk: Disk, heard: list[HostEvent]) -> None:
    """Start a service without any device on the spool, which repairs it, and stop it again."""
    service = FaxService(
        wiring.host_options(settings_for(root)), [], observe=heard.append, spool=Spool(root / "spool", disk=disk)
    )
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(lambda task_status=trio.TASK_STATUS_IGNORED: service.run(task_status=task_status))
            service.stop()
    except ExceptionGroup as group:
        raise only_one(group) from None


def start_again(root: Path, disk: Disk | None = None) -> list[HostEvent]:
    """What the next start says of the spool in `root`."""
    heard: list[HostEvent] = []
    trio.run(start_and_stop, root, disk or HastyDisk(), heard)
    return heard
