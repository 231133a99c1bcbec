"""Events as a stream: one JSON object a line, from any number on, until the reader or the session has had enough.

Owns      `Reading` (what comes next, and when it is over), the response that sends it, its silence and its end.
Not here  who may read what (registrations.py), the events (notify.py).

Every line but the heartbeat has `sequence`, the number of its event in this session: a reader that lost its connection
goes on behind the last one it had. The last line says why the stream is over. Nothing is held for a reader: one that
falls further behind than the hub keeps events is told so and ends.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import trio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from vfax.fsp.errors import OutOfResources
from vfax.host.api import wire
from vfax.host.notify import ENDED_WITH_SERVICE, TOO_SLOW, Hub, Mode, Registration, State

BATCH: Final = 200
"""Limit: lines that are sent at once."""
TAKEN_OVER: Final = "Another reader has taken this registration over."


class Bell:
    """Wakes whoever waits, again and again."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def ring(self) -> None:
        """Wake all that wait now."""
        self._event.set()
        self._event = trio.Event()

    def next(self) -> trio.Event:
        """What the next ring sets; take it before looking."""
        return self._event


@dataclass(slots=True)
class Reading:
    """Where a reader is: behind event `position`, of a registration or (None) of all events."""

    hub: Hub
    bell: Bell
    position: int
    registration: Registration | None
    mine: Callable[[], bool] = lambda: True

    def take(self) -> tuple[list[wire.Json], str]:
        """The lines that are next, and why no more will come ("": more may)."""
        if not self.mine():
            return [], TAKEN_OVER
        registration, lines = self.registration, []
        last = self.hub.published if registration is None or registration.until is None else registration.until
        try:
            found = self.hub.after(self.position, BATCH)
        except OutOfResources:
            if registration is not None:
                self.hub.end(registration, TOO_SLOW)
            return [], TOO_SLOW
        for number, event in found:
            if number > last:
                break
            self.position = number
            if registration is None or registration.mode is Mode.PACKETS:
                lines.append({"sequence": number} | wire.event(event))
            elif registration.crosses:
                lines.append({"sequence": number} | wire.message(event, registration.message_start))
        over = self.position >= last
        if registration is not None:
            return lines, registration.ended if over else ""
        return lines, ENDED_WITH_SERVICE if over and self.hub.state is State.ENDED else ""


class EventStream(Response):
    """Sends a Reading. `on_close` is called when it is over, whatever the reason."""

    media_type = "application/x-ndjson"

    def __init__(self, reading: Reading, *, heartbeat: float, on_close: Callable[[], None]) -> None:
        super().__init__(None, headers={"cache-control": "no-store", "x-content-type-options": "nosniff"})
        del self.headers["content-length"]
        self._reading = reading
        self._heartbeat = heartbeat
        self._on_close = on_close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until it is over or the reader is gone (ASGI)."""
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            if scope["method"] != "HEAD":
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_until_gone, receive, nursery.cancel_scope)
                    await self._write(send)
                    nursery.cancel_scope.cancel()
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._on_close()

    async def _write(self, send: Send) -> None:
        reading = self._reading
        await _send_lines(send, [{"session": reading.hub.session, "after": reading.position}])
        while True:
            bell = reading.bell.next()
            lines, why = reading.take()
            if why:
                lines.append({"end": why, "sequence": reading.position})
            if lines:
                await _send_lines(send, lines)
            if why:
                return
            if reading.position < reading.hub.published and lines:
                continue  # there is more than one batch
            with trio.move_on_after(self._heartbeat) as silence:
                await bell.wait()
            if silence.cancelled_caught:
                await _send_lines(send, [{"heartbeat": reading.position}])


async def _send_lines(send: Send, lines: list[wire.Json]) -> None:
    body = "".join(f"{json.dumps(line)}\n" for line in lines)
    await send({"type": "http.response.body", "body": body.encode("ascii"), "more_body": True})


async def _until_gone(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
