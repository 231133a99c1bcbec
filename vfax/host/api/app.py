"""The API as an ASGI application: from a request to its row, and from whatever goes wrong to a sentence.

Owns      who the visitor is, the right of the row, errors as JSON, bodies that nobody reads.
Not here  what each request does (routes.py), sockets (listening.py).

Nothing a client sends raises out of here. What is refused on purpose is answered with its status; anything else is a
fault of this host, which is told to the observer with its trace, and to the client in one sentence without it.
"""

import math
from collections.abc import Awaitable, Callable, Sequence
from traceback import format_exception
from typing import Final

import trio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from vfax.errors import FaxError
from vfax.fsp.constants import Win32
from vfax.host.api import routes, wire
from vfax.host.api.calls import Answer, ApiOptions, Call
from vfax.host.api.identity import Token, Visitor, find_token
from vfax.host.api.parsing import Refused, refusal_of
from vfax.host.api.registrations import Desk
from vfax.host.api.uploads import prepare
from vfax.host.door import HostDoor
from vfax.host.events import HostFaulted, Observer
from vfax.host.notify import Hub

VISITOR: Final = "vfax.visitor"
"""Where the listener puts a visitor that the kernel has named."""
DRAINED: Final = 1 << 20
"""Limit: octets of an unread body that are taken and thrown away before the answer, so that it is heard."""
DRAIN_TIME: Final = 2.0


class Api:
    """The application over one host. `run` must run beside whatever serves it."""

    def __init__(
        self, door: HostDoor, hub: Hub, options: ApiOptions, *, tokens: Sequence[Token] = (), observe: Observer
    ) -> None:
        self.desk = Desk(hub, options)
        self.requests = 0  # that have come so far
        self.in_hand = 0  # of these, whose answer has not begun
        self._door = door
        self._options = options
        self._tokens = tuple(tokens)
        self._observe = observe
        self._uploads = trio.CapacityLimiter(options.max_uploads)
        self._starlette = Starlette(
            routes=[Route(row.path, self._endpoint(row), methods=[row.method]) for row in routes.TABLE],
            exception_handlers={HTTPException: _no_such_request},
        )
        self._starlette.router.redirect_slashes = False

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Prepare the folder of uploads, then watch clients until cancelled. Raises StoreError."""
        await trio.to_thread.run_sync(prepare, self._options.uploads)
        await self.desk.run(task_status=task_status)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] == "http":
            body = _Body(receive, send)
            await self._starlette(scope, body.receive, body.send)

    def _endpoint(self, row: routes.Row) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            self.requests += 1
            self.in_hand += 1
            try:
                return await self._answer(row, request)
            except FaxError as why:
                refusal = refusal_of(why)
                if refusal.status == 500:
                    self._fault(why)
                return error_response(refusal)
            except Exception as why:
                self._fault(why)
                return error_response(refusal_of(FaxError()))
            finally:
                self.in_hand -= 1

        return endpoint

    async def _answer(self, row: routes.Row, request: Request) -> Response:
        visitor = self._visitor(request)
        call = Call(request, visitor, self._options)
        call.need(row.needs, f"{row.method} {row.path}")
        connection = call.connection(self.desk.hub)
        if connection is not None:
            self.desk.used(connection.id)
        if row.method == "POST" and row.path == "/v1/jobs":
            return await self._answer_upload(row, call)
        return await row.answer(self._door, self.desk, call)

    async def _answer_upload(self, row: routes.Row, call: Call) -> Response:
        try:
            self._uploads.acquire_nowait()
        except trio.WouldBlock:
            busy = f"{self._options.max_uploads} documents are coming in, which is the limit here; try again"
            raise Refused(503, Win32.ERROR_NOT_ENOUGH_MEMORY, busy) from None
        try:
            return await row.answer(self._door, self.desk, call)
        finally:
            self._uploads.release()

    def _visitor(self, request: Request) -> Visitor:
        named: object = request.scope.get(VISITOR)
        if isinstance(named, Visitor):
            return named
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        token = find_token(self._tokens, given.strip()) if kind.lower() == "bearer" else None
        if token is None:
            raise Refused(401, Win32.ERROR_ACCESS_DENIED, "This needs a token: Authorization: Bearer TOKEN")
        return Visitor(name=token.name, rights=token.rights, local=False)

    def _fault(self, why: BaseException) -> None:
        what = f"a request of a client ended in {type(why).__name__}: {why}"
        self._observe(HostFaulted(what, "".join(format_exception(why))))


def error_response(why: Refused) -> Response:
    """An error as JSON."""
    headers = {"www-authenticate": "Bearer"} if why.status == 401 else None
    return Answer(wire.error(why), status_code=why.status, headers=headers)


async def _no_such_request(request: Request, why: Exception) -> Response:
    """What no row knows: 404, or 405 where another method would do."""
    await trio.lowlevel.checkpoint()
    status = why.status_code if isinstance(why, HTTPException) else 404
    if status == 405:
        return error_response(Refused(405, Win32.ERROR_NOT_SUPPORTED, f"{request.method} is not done to this"))
    return error_response(Refused(404, Win32.ERROR_FILE_NOT_FOUND, "There is nothing of that name: see docs/api.md."))


class _Body:
    """The way in and out of one request: takes what is left of a body before and while the answer goes out.

    A server that answers in the middle of a body and reads no more may stop both sides: hypercorn queues a few pieces
    for the application and then waits for it, even with the news that the answer is complete.
    """

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._whole = False

    async def receive(self) -> Message:
        """The next message, noting the last of the body."""
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self._whole = True
        return message

    async def send(self, message: Message) -> None:
        """Pass a message on; the last one of an answer to a body that was not read takes the rest of it away."""
        if self._whole or message["type"] != "http.response.body" or message.get("more_body", False):
            await self._send(message)
            return
        with trio.move_on_after(DRAIN_TIME):
            await self._drain(DRAINED)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._drain, math.inf)
            await self._send(message)
            nursery.cancel_scope.cancel()

    async def _drain(self, limit: float) -> None:
        taken = 0
        while not self._whole and taken < limit:
            taken += len((await self.receive()).get("body", b""))
