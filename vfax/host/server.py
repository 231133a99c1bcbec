"""A fax service with all that it keeps: store, queue, received faxes, deliveries, housekeeping, clients.

Owns      what belongs to one server, and the order in which it starts and stops.
Not here  each of them: service.py, queue.py, books.py, store/, delivery.py, housekeeping.py, notify.py, api/.

    start   store ─► clients' door ─► service (repairs the spool, loads providers) ─► what the store missed ─► rest
    stop    no new jobs ─► running faxes aborted, their ends written ─► clients told, last of all ─► store closed
"""

import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import trio

from vfax.errors import StoreError
from vfax.fsp.errors import OutOfResources
from vfax.fsp.provider import Registration
from vfax.fsp.structures import FaxEvent
from vfax.host.api.app import Api
from vfax.host.api.calls import ApiOptions
from vfax.host.api.identity import Token
from vfax.host.api.listening import Listeners, ListenOptions
from vfax.host.books import Books
from vfax.host.check_pages import CheckPages
from vfax.host.delivery import Delivery, DeliveryOptions, DeliveryPlan
from vfax.host.doorway import Door, DoorOptions
from vfax.host.events import HostEvent, IdleLongEnough, Observer, ServiceStopped, StorageFailed
from vfax.host.housekeeping import Housekeeper, KeepOptions
from vfax.host.idleness import Idleness, Scene
from vfax.host.loading import HostedProvider
from vfax.host.notify import Hub, HubOptions
from vfax.host.queue import Queue
from vfax.host.queue_options import QueueOptions
from vfax.host.routing import route
from vfax.host.service import FaxService, HostOptions
from vfax.host.spool import Spool
from vfax.host.store.store import Store

FILETIME_1970: Final = 116_444_736_000_000_000
"""FILETIME of 1970-01-01: 100 ns ticks since 1601-01-01 UTC."""
EVENT_BATCH: Final = 500
GATHER: Final = 0.1
"""Seconds for which events gather before they are written: one job that ends and the next that begins make a dozen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """The door for clients; None of its sockets by default."""

    listen: ListenOptions = field(default_factory=ListenOptions)
    api: ApiOptions
    hub: HubOptions = field(default_factory=HubOptions)
    tokens: tuple[Token, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """All that a server is told. `journals` is the folder that housekeeping looks after; `clients` None: no door.

    After `idle_stop` seconds without anything to do and without a client's connection it ends by itself; 0: never.
    """

    host: HostOptions
    store_url: str
    queue: QueueOptions = field(default_factory=QueueOptions)
    door: DoorOptions = field(default_factory=DoorOptions)
    delivery: DeliveryOptions = field(default_factory=DeliveryOptions)
    plan: DeliveryPlan = field(default_factory=DeliveryPlan)
    keep: KeepOptions = field(default_factory=KeepOptions)
    clients: ClientOptions | None = None
    journals: Path | None = None
    idle_stop: float = 0.0


class FaxServer:
    """One server over the given providers. `run` serves until `stop`; then all ends in order."""

    def __init__(
        self,
        options: ServerOptions,
        registrations: Sequence[Registration],
        *,
        observe: Observer = lambda event: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        open_store: Callable[[str], Store] = Store.open,
        spool: Spool | None = None,
    ) -> None:
        self.options = options
        self._observer = observe
        self._clock = clock
        self._open_store = open_store
        self._spool = spool if spool is not None else Spool(options.host.spool)
        self._registrations = tuple(registrations)
        self.hub = Hub(
            secrets.token_hex(8),
            now=self._filetime,
            new_id=partial(secrets.token_urlsafe, 24),
            options=options.clients.hub if options.clients is not None else None,
        )
        self._parts: _Parts | None = None
        self._stop = trio.Event()
        self._stopped: ServiceStopped | None = None  # held back until the ends of its jobs are written

    # --- life --------------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until `stop` is called or the surrounding scope is cancelled; either way all is ended in order.

        Raises StoreError when store or spool cannot be used, LinkError when the door for clients cannot be opened.
        """
        await trio.to_thread.run_sync(self._spool.make_root)
        store = await trio.to_thread.run_sync(self._open_store, self.options.store_url)
        try:
            parts = self._parts = _Parts(self, store)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._stop_when_cancelled)
                await nursery.start(self._live, parts)
                task_status.started()
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(store.close)

    async def _stop_when_cancelled(self) -> None:
        """A task of its own: a start that is cancelled waits for the shielded `_live`, and that waits for the end."""
        try:
            await self._stop.wait()
        finally:
            self._stop.set()

    async def _live(self, parts: "_Parts", *, task_status: trio.TaskStatus[None]) -> None:
        """All tasks of the server. Shielded: a cancelled server ends in order too, and every step has its limit."""
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as nursery:
                await self._start(nursery, parts)
                task_status.started()
                await self._stop.wait()
                await self._end(parts)
                nursery.cancel_scope.cancel()

    def stop(self) -> None:
        """End the server; `run` returns when all has ended."""
        self._stop.set()

    @property
    def providers(self) -> Sequence[HostedProvider]:
        """What became of each registered provider; none before `run` has loaded them."""
        return self._parts.service.providers if self._parts is not None else ()

    @property
    def service(self) -> FaxService:
        """The service inside, once `run` has begun."""
        return self._running.service

    @property
    def queue(self) -> Queue:
        """The queue, once `run` has begun."""
        return self._running.queue

    @property
    def store(self) -> Store:
        """The store, once `run` has begun."""
        return self._running.store

    @property
    def door(self) -> Door:
        """What clients may ask, once `run` has begun."""
        return self._running.door

    @property
    def _running(self) -> "_Parts":
        if self._parts is None:
            raise RuntimeError("the server has not been started: await run() first")
        return self._parts

    async def _start(self, nursery: trio.Nursery, parts: "_Parts") -> None:
        if parts.listeners is not None:
            await nursery.start(parts.listeners.run)
        await nursery.start(parts.serve)
        await parts.books.catch_up()
        await nursery.start(parts.queue.run)
        await nursery.start(parts.delivery.run)
        nursery.start_soon(parts.recorder.run)
        nursery.start_soon(parts.housekeeper.run)
        if self.options.idle_stop:
            nursery.start_soon(self._stop_when_idle, parts)

    async def _stop_when_idle(self, parts: "_Parts") -> None:
        """End the server when it has been idle long enough. A store that cannot be asked counts as work."""
        idle = Idleness(self.options.idle_stop, trio.current_time())
        while True:
            await trio.sleep(idle.pause(trio.current_time()))
            if idle.look(parts.scene(), trio.current_time()) and not await parts.work_waits():
                if idle.look(parts.scene(), trio.current_time()):  # nothing has come while the store was asked
                    self.hear(IdleLongEnough(self.options.idle_stop))
                    self.stop()
                    return
            elif idle.due(trio.current_time()):
                idle.restart(trio.current_time())

    async def _end(self, parts: "_Parts") -> None:
        parts.service.stop()
        await parts.queue.stop()
        await parts.served.wait()
        if self._stopped is not None:
            self._tell(self._stopped)
        await parts.recorder.flush()
        if parts.listeners is not None:
            await parts.listeners.flush()

    # --- what is told ------------------------------------------------------------------------------

    def hear(self, event: HostEvent) -> None:
        """Tell clients, the door and the observer: that the service has stopped only when all else is told."""
        if isinstance(event, ServiceStopped):
            self._stopped = event
        else:
            self._tell(event)

    def _tell(self, event: HostEvent) -> None:
        self.hub.hear(event)
        if self._parts is not None:
            self._parts.door.hear(event)
        with suppress(Exception):  # who only watches must not cost a fax
            self._observer(event)

    def _filetime(self) -> int:
        return FILETIME_1970 + int(self._clock().timestamp() * 10_000_000)


class _Parts:
    """What a server is made of, once its store is open."""

    def __init__(self, server: FaxServer, store: Store) -> None:
        options, observe, clock = server.options, server.hear, server._clock
        spool = server._spool
        host = spool.host_name
        self.store = store
        self._hub = server.hub
        self.served = trio.Event()
        self.books = self._make_books(server, store)
        self.service = FaxService(
            options.host, server._registrations, observe=observe, clock=clock, spool=spool, ledger=self.books
        )
        self.queue = Queue(self.service, store, options.queue, observe=observe, host=host, clock=clock)
        self.delivery = Delivery(
            store, spool.root, options.plan, options.delivery, host=host, observe=observe, clock=clock, disk=spool.disk
        )
        self.door = Door(self.service, self.queue, store, options.door, on_delivery=self._kick_delivery, clock=clock)
        self.housekeeper = Housekeeper(
            spool.root,
            store,
            options.keep,
            documents=options.queue.documents,
            journals=options.journals,
            observe=observe,
            clock=clock,
        )
        self.recorder = Recorder(server.hub, store, observe=observe)
        self.listeners: Listeners | None = None
        self.api: Api | None = None
        if options.clients is not None:
            self.api = Api(self.door, server.hub, options.clients.api, tokens=options.clients.tokens, observe=observe)
            self.listeners = Listeners(self.api, options.clients.listen, observe=observe)

    def _make_books(self, server: FaxServer, store: Store) -> Books:
        checks = CheckPages(server._spool.root)
        checks.prepare()
        return Books(
            store,
            server._spool,
            host=server._spool.host_name,
            route=partial(route, server.options.plan.rules),
            checks=checks,
            observe=server.hear,
            on_delivery=self._kick_delivery,
            clock=server._clock,
        )

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the service, and say when it has ended."""
        try:
            await self.service.run(task_status=task_status)
        finally:
            self.served.set()

    def scene(self) -> Scene:
        """What this host has in hand, and how often anything has happened; the store has the rest (`work_waits`)."""
        api, hub = self.api, self._hub
        asked, answering = (api.requests, api.in_hand) if api is not None else (0, 0)
        faxes = len(self.service.running) + len(self.queue.running)
        taken = sum(device.job is not None for device in self.service.devices.values())
        now = (faxes, taken, len(hub.connections), answering)
        return Scene(busy=any(now), happened=(*now, hub.published, hub.connected, asked))

    async def work_waits(self) -> bool:
        """Whether the store has a job to send or a delivery, or cannot be asked."""
        try:
            return await trio.to_thread.run_sync(self.store.anything_to_do)
        except StoreError:
            return True

    def _kick_delivery(self) -> None:
        self.delivery.kick()


class Recorder:
    """Writes the events of a session into the store, in batches; events the store refuses are told and left out."""

    def __init__(self, hub: Hub, store: Store, *, observe: Observer) -> None:
        self._hub = hub
        self._store = store
        self._observe = observe
        self._written = 0
        self._bell = trio.Event()
        self._complained = False
        self._writing = trio.Lock()  # two at once would write the same events
        hub.wake(self._ring)

    def _ring(self) -> None:
        self._bell.set()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            self._bell = trio.Event()
            await self.flush()
            await self._bell.wait()
            await trio.sleep(GATHER)

    async def flush(self) -> None:
        """Write what is there."""
        async with self._writing:
            while found := self._next():
                await self._write([event for _, event in found])
                self._written = found[-1][0]

    async def _write(self, events: Sequence[FaxEvent]) -> None:
        try:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._store.add_events, events, self._hub.session)
        except StoreError as why:
            if not self._complained:
                self._observe(StorageFailed("", f"{why}; events are told to clients and not written down"))
            self._complained = True
        else:
            self._complained = False

    def _next(self) -> list[tuple[int, FaxEvent]]:
        try:
            return self._hub.after(self._written, EVENT_BATCH)
        except OutOfResources as why:  # the store was too slow for too long
            self._observe(StorageFailed("", f"{why}; they are missing in the store"))
            self._written = self._hub.published
            return []
