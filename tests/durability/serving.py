"""A receiving server, as `vfax serve` runs one: the service with its job store and its deliveries.

Owns      `make_server` (our device, UDP on the loopback interface, two rules that deliver into folders), `open_server`
          (with an endpoint to call it from), `Errands` (what it still has to deliver), `serve_and_stop` (what its next
          start makes of a spool and its store).
Not here  the service alone (house.py), what must hold in spool (judging.py) and store (judging_store.py).
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import trio

from tests.durability.house import House, settings_for
from vfax.cli.hosting import running
from vfax.disk import Disk
from vfax.endpoint import Endpoint, EndpointOptions
from vfax.errors import only_one
from vfax.host.events import DeliveryDone, FaxEnded, FaxRecovered, HostEvent, Observer
from vfax.host.server import FaxServer
from vfax.host.spool import Spool
from vfax.host.store.store import Store
from vfax.host.store.values import DeliveryState
from vfax.leg import LegOptions
from vfax.settings import Settings, serving, wiring
from vfax.settings.routes import RouteSettings

COPIES: Final = RouteSettings(name="copies", folder="copies/all")
"""Into a folder of the spool, which is made: a copy and its record."""
LINKS: Final = RouteSettings(name="links", folder="links", hard_link=True, record=False)
"""The same octets under another name."""
ROUTES: Final = (COPIES, LINKS)
AGAIN: Final = 1.0
"""Seconds after which the host tries again what disk or store refused; a folder is tried again sooner."""
FOLDER_AGAIN: Final = 0.1

OpenStore = Callable[[str], Store]


def make_server(
    root: Path,
    disk: Disk,
    *,
    observe: Observer,
    leg: LegOptions | None = None,
    lines: int = 2,
    open_store: OpenStore = Store.open,
) -> tuple[FaxServer, Endpoint]:
    """A server with our device on a free port; all is in `root`/spool, and its files go through `disk`."""
    settings = _settings(root, lines)
    options = replace(wiring.endpoint_options(settings), disk=disk)
    network = Endpoint(options if leg is None else replace(options, leg=leg))
    registrations = wiring.registrations(settings, network)
    spool = Spool(root / "spool", disk=disk)
    options_of_server = serving.server_options(settings)
    return FaxServer(options_of_server, registrations, observe=observe, open_store=open_store, spool=spool), network


class Errands:
    """Deliveries that a server owes, by what it says of its faxes."""

    def __init__(self) -> None:
        self._owed = 0
        self._heard = trio.Event()

    def hear(self, event: HostEvent) -> None:
        """Count."""
        match event:
            case FaxEnded(document=Path()):
                self._owed += len(ROUTES)
            case FaxRecovered(document=document) if document.suffix == ".tif":
                self._owed += len(ROUTES)
            case DeliveryDone():
                self._owed -= 1
        self._heard.set()
        self._heard = trio.Event()

    async def done(self) -> None:
        """Return when nothing is owed."""
        while self._owed > 0:
            await self._heard.wait()


@dataclass
class Office(House):
    """A server that runs, its service, and an endpoint to call it from."""

    server: FaxServer
    errands: Errands


@asynccontextmanager
async def open_server(
    root: Path, disk: Disk, *, observe: Observer, lines: int = 1, open_store: OpenStore = Store.open
) -> AsyncIterator[Office]:
    """The server of `make_server`, running while the block runs, and callers."""
    errands = Errands()

    def hear(event: HostEvent) -> None:
        errands.hear(event)
        observe(event)

    server, network = make_server(root, disk, observe=hear, lines=lines, open_store=open_store)
    callers = Endpoint(EndpointOptions(listen=("127.0.0.1", 0)))
    async with trio.open_nursery() as nursery:
        await nursery.start(callers.run, lambda arrived: arrived.refuse(486))
        async with running(server):
            yield Office(server.service, network, callers, server, errands)
        nursery.cancel_scope.cancel()


def _settings(root: Path, lines: int = 2) -> Settings:
    given = settings_for(root, lines)
    return given.model_copy(
        update={
            "host": given.host.model_copy(update={"redeliver_interval": AGAIN, "installed_providers": False}),
            "delivery": given.delivery.model_copy(update={"retry_first": FOLDER_AGAIN, "retry_longest": FOLDER_AGAIN}),
            "route": ROUTES,
        }
    )


async def serve_and_stop(root: Path, disk: Disk, heard: list[HostEvent], *, open_store: OpenStore = Store.open) -> None:
    """Start a server without any device on the spool, let it deliver what waits, and stop it again."""
    spool, options = Spool(root / "spool", disk=disk), serving.server_options(_settings(root))
    server = FaxServer(options, [], observe=heard.append, open_store=open_store, spool=spool)
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(lambda task_status=trio.TASK_STATUS_IGNORED: server.run(task_status=task_status))
            try:
                while await trio.to_thread.run_sync(_delivers, server.store):  # noqa: ASYNC110  # rows ring no bell
                    await trio.sleep(0.02)
            finally:
                server.stop()
    except ExceptionGroup as group:
        raise only_one(group) from None


def _delivers(store: Store) -> bool:
    return any(store.deliveries(state=state, limit=1) for state in (DeliveryState.WAITING, DeliveryState.RUNNING))
