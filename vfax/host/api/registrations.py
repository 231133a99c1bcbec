"""Connections, registrations and their streams over the API: FaxConnectFaxServer, FaxInitializeEventQueue, FaxClose.

Owns      `Desk`: what clients of other processes hold of the hub, who reads it, and what is closed when they are gone.
Not here  the rules (notify.py), the lines of a stream (streams.py).

A client that another process runs has no port and no window here. A `Wire` stands for either; what it would be told is
read from the hub's events, from where the registration began to where it ended, so that nothing is held for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import trio
from starlette.responses import Response

from vfax.fsp.completion import EventKey
from vfax.fsp.constants import Win32
from vfax.fsp.errors import InvalidHandle, OutOfResources
from vfax.fsp.structures import QWORD_MAX, FaxEvent
from vfax.host.api import wire
from vfax.host.api.calls import Answer, ApiOptions, Call, no_content, own_connection
from vfax.host.api.identity import Visitor
from vfax.host.api.parsing import JsonKind, Refused, invalid, parse_number, parse_text, shown
from vfax.host.api.processes import wait_for_end
from vfax.host.api.streams import Bell, EventStream, Reading
from vfax.host.notify import Client, Hub, Registration, State

NOBODY_READS: Final = "Nobody has read the events of this registration for too long."
LONGEST_NAME: Final = 128
LOOK: Final = 1.0
"""Seconds between two looks for clients that have fallen silent."""


@dataclass(frozen=True, slots=True)
class Wire:
    """Stands for a client's port, or for its window of that name: equal names of one client are one window."""

    name: str = ""

    def post(self, key: EventKey, message: FaxEvent, /) -> None:
        """The stream reads it from the hub."""

    def __call__(self, message: int, device_id: int, job_id: int) -> None:
        """The stream reads it from the hub."""

    def __str__(self) -> str:
        return self.name


@dataclass(slots=True, eq=False)
class _Held:
    """A registration of another process. `reader` changes with each new reader; `since` is when there was none."""

    registration: Registration
    since: float
    reader: object | None = None


class Desk:
    """Everything clients of other processes hold. `run` must run beside it."""

    def __init__(self, hub: Hub, options: ApiOptions) -> None:
        self.hub = hub
        self._options = options
        self._held: dict[str, _Held] = {}
        self._used: dict[str, float] = {}  # connections whose client cannot be watched
        self._watched: set[str] = set()
        self._streams = 0
        self._nursery: trio.Nursery | None = None
        self._bell = Bell()
        hub.wake(self._bell.ring)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Watch clients until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            while True:
                await trio.sleep(LOOK)
                self._look()

    async def flushed(self) -> None:
        """Return when no stream is open any more, if the session is over: each says what is left and ends."""
        while self._streams and self.hub.state is State.ENDED:
            await self._bell.next().wait()

    def _look(self) -> None:
        now = trio.current_time()
        for held in list(self._held.values()):
            if held.reader is None and now - held.since > self._options.reader_grace:
                self.hub.end(held.registration, NOBODY_READS)
                del self._held[held.registration.id]
        open_ones = {connection.id: connection for connection in self.hub.connections}
        for connection_id, used in list(self._used.items()):
            if connection_id not in open_ones:
                del self._used[connection_id]
            elif now - used > self._options.connection_idle:
                self.hub.close(open_ones[connection_id])

    # --- connections -------------------------------------------------------------------------------

    async def connect(self, call: Call) -> Response:
        """POST /v1/connections"""
        call.query()
        found = await call.json({"instance": str})
        instance = parse_text(str(found.get("instance", "")), "instance", longest=LONGEST_NAME)
        visitor = call.visitor
        process = visitor.process if visitor.watchable else f"{visitor.process or visitor.name}/{instance}"
        client = Client(process=process, name=visitor.name, local=visitor.local, desktop=visitor.desktop)
        connection = self.hub.connect(client)
        if visitor.watchable:
            self._watch(visitor)
        else:
            self._used[connection.id] = trio.current_time()
        answer = (
            {"connection": connection.id}
            | wire.connection(connection)
            | {"session": self.hub.session, "state": self.hub.state.value}
        )
        return Answer(answer, status_code=201)

    async def close(self, call: Call) -> Response:
        """DELETE /v1/connections/{connection}"""
        call.query()
        self.hub.close(own_connection(self.hub, call.path("connection"), call.visitor))
        await trio.lowlevel.checkpoint()
        return no_content()

    def used(self, connection_id: str) -> None:
        """A request belongs to that connection."""
        if connection_id in self._used:
            self._used[connection_id] = trio.current_time()

    def _watch(self, visitor: Visitor) -> None:
        if visitor.process not in self._watched and self._nursery is not None:
            self._watched.add(visitor.process)
            self._nursery.start_soon(self._until_gone, visitor)

    async def _until_gone(self, visitor: Visitor) -> None:
        await wait_for_end(visitor.pid, visitor.process)
        self._watched.discard(visitor.process)
        self.hub.client_gone(visitor.process)

    # --- registrations -----------------------------------------------------------------------------

    async def register(self, call: Call) -> Response:
        """POST /v1/registrations"""
        call.query()
        kinds: Mapping[str, JsonKind] = {"completion_port": bool, "key": int, "sink": str, "message_start": int}
        found = await call.json(kinds)
        port = Wire() if found.get("completion_port") else None
        sink = Wire(parse_text(str(found["sink"]), "sink", longest=LONGEST_NAME)) if "sink" in found else None
        made = self.hub.initialize_event_queue(
            call.connection(self.hub),
            port=port,
            key=found.get("key"),  # type: ignore[arg-type]
            sink=sink,
            message_start=found.get("message_start", 0),  # type: ignore[arg-type]
        )
        if made is None:
            return Answer({"registration": None, "logged_off": True})
        self._forget_ended()
        self._held[made.id] = _Held(made, trio.current_time())
        answer = {
            "registration": made.id,
            "logged_off": False,
            "mode": made.mode.value,
            "session": self.hub.session,
            "after": made.since,
            "warnings": list(made.warnings),
        }
        return Answer(answer, status_code=201)

    def _forget_ended(self) -> None:
        """Limit: ended registrations can be asked for their reason until others need the room."""
        ended = [held for held in self._held.values() if held.registration.ended and held.reader is None]
        for held in ended[: max(0, len(self._held) - self.hub.options.max_registrations)]:
            del self._held[held.registration.id]

    async def end(self, call: Call) -> Response:
        """DELETE /v1/registrations/{registration}"""
        call.query()
        self.hub.end(self._find(call).registration)
        await trio.lowlevel.checkpoint()
        return no_content()

    async def read(self, call: Call) -> Response:
        """GET /v1/registrations/{registration}/events"""
        asked = call.query("after", "session")
        held = self._find(call)
        self._check_session(asked)
        after = self._after(asked, held.registration.since)
        await trio.lowlevel.checkpoint()
        return self._stream(max(after, held.registration.since), held)

    async def watch(self, call: Call) -> Response:
        """GET /v1/stream"""
        asked = call.query("after", "session")
        self._check_session(asked)
        after = self._after(asked, self.hub.published)
        await trio.lowlevel.checkpoint()
        return self._stream(after, None)

    def _stream(self, after: int, held: _Held | None) -> EventStream:
        """A stream, counted until it is over; of a registration the newest reader is the only one."""
        if self._streams >= self._options.max_streams:
            raise OutOfResources(f"{self._options.max_streams} streams are open, which is the limit here")
        reading, reader = Reading(self.hub, self._bell, after, None), object()
        if held is not None:
            held.reader, reading.registration = reader, held.registration
            reading.mine = lambda: held.reader is reader
        self._streams += 1
        self._bell.ring()

        def close() -> None:
            self._streams -= 1
            if held is not None and held.reader is reader:
                held.reader, held.since = None, trio.current_time()
            self._bell.ring()

        return EventStream(reading, heartbeat=self._options.heartbeat, on_close=close)

    async def clients(self, call: Call) -> Response:
        """GET /v1/clients"""
        call.query()
        await trio.lowlevel.checkpoint()
        hub = self.hub
        answer = {
            "session": {"id": hub.session, "state": hub.state.value, "events": hub.published},
            "connections": [wire.connection(one) for one in hub.connections],
            "registrations": [wire.registration(one) for one in hub.registrations],
            "leases": [wire.lease(one) for one in hub.leases],
            "ended": [wire.registration(one) for one in hub.over],
            "streams": self._streams,
        }
        return Answer(answer)

    def _find(self, call: Call) -> _Held:
        held = self._held.get(call.path("registration"))
        client = held.registration.client if held is not None else None
        visitor = call.visitor
        if held is None or client is None or client.name != visitor.name:
            raise InvalidHandle("there is no such registration (any more)")
        if visitor.watchable and client.process != visitor.process:
            raise InvalidHandle("there is no such registration (any more)")
        return held

    def _check_session(self, asked: Mapping[str, str]) -> None:
        if asked.get("session", self.hub.session) != self.hub.session:
            ended = f"session {shown(asked['session'])} of the fax service has ended: register again"
            raise Refused(410, Win32.ERROR_INVALID_HANDLE, ended)

    def _after(self, asked: Mapping[str, str], otherwise: int) -> int:
        if "after" not in asked:
            return otherwise
        after = parse_number(asked["after"], "after", high=QWORD_MAX)
        if after > self.hub.published:
            raise invalid(f"after {after}: this session has had {self.hub.published} events")
        return after
