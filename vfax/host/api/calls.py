"""One request: who makes it, what is in it, read within limits.

Owns      `ApiOptions` (every limit of the API), `Call`, bodies and their limits in octets and time.
Not here  what a request means (the modules of its handlers), sockets and heads (listening.py).
"""

import json
import math
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import trio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from vfax.fsp.constants import AccessRight, Win32
from vfax.fsp.errors import InvalidHandle
from vfax.host.api.identity import Visitor
from vfax.host.api.parsing import JsonKind, Refused, denied, invalid, parse_object, shown
from vfax.host.notify import Connection, Hub

CONNECTION_HEADER = "vfax-connection"
"""Names the connection (FaxHandle) that a request belongs to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiOptions:
    """Limits of the API: octets, counts, and seconds.

    `uploads` is where documents are spooled while they come; `max_uploads` come at once. `body_timeout` is for a JSON
    body, `upload_timeout` for a document, `upload_pause` between two pieces of it. A connection of a client whose end
    this machine cannot see is closed after `connection_idle` without a request, its registration ended after
    `reader_grace` without a reader. `heartbeat`: the longest silence of a stream.
    """

    uploads: Path
    max_body: int = 65_536
    max_upload: int = 67_108_864
    max_uploads: int = 4
    max_recipients: int = 1_000
    max_rows: int = 1_000
    max_streams: int = 200
    body_timeout: float = 10.0
    upload_timeout: float = 600.0
    upload_pause: float = 30.0
    heartbeat: float = 15.0
    connection_idle: float = 3_600.0
    reader_grace: float = 60.0


@dataclass(frozen=True, slots=True)
class Call:
    """A request and its visitor."""

    request: Request
    visitor: Visitor
    options: ApiOptions

    def path(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])

    def query(self, *names: str) -> Mapping[str, str]:
        """The query, which may have these names, each once. Raises Refused."""
        pairs = self.request.query_params.multi_items()
        found = dict(pairs)
        if len(found) != len(pairs):
            raise invalid("the query says something twice")
        for name in found:
            if name not in names:
                raise invalid(f"query {shown(name)}: unknown; expected {', '.join(names) or 'none'}")
        return found

    def need(self, right: AccessRight, what: str) -> None:
        """Raise Refused (ERROR_ACCESS_DENIED) without any of the rights."""
        if not self.visitor.may(right):
            raise denied(f"{what} needs {right.name}, which {self.visitor.name} does not have")

    def connection(self, hub: Hub) -> Connection | None:
        """The connection the request names; None when it names none. Raises InvalidHandle."""
        named = self.request.headers.get(CONNECTION_HEADER)
        return None if named is None else own_connection(hub, named, self.visitor)

    async def json(self, kinds: Mapping[str, JsonKind]) -> dict[str, object]:
        """The body as a JSON object. Raises Refused."""
        with trio.move_on_after(self.options.body_timeout):
            octets = bytearray()
            async with aclosing(self.pieces(self.options.max_body)) as pieces:
                async for piece in pieces:
                    octets += piece
            return parse_object(bytes(octets), kinds)
        raise too_slow(self.options.body_timeout)

    async def pieces(self, limit: int, *, pause: float = math.inf) -> AsyncGenerator[bytes, None]:
        """The body as it comes. Raises Refused beyond `limit` octets, or after `pause` seconds without a piece."""
        declared = self.request.headers.get("content-length", "")
        if declared.isdigit() and (len(declared) > 18 or int(declared) > limit):
            raise too_large(limit)
        taken, more = 0, True
        while more:
            with trio.move_on_after(pause) as wait:
                message = await self.request.receive()
            if wait.cancelled_caught:
                raise too_slow(pause)
            if message["type"] == "http.disconnect":
                raise invalid("the connection was closed in the middle of the body")
            piece, more = message.get("body", b""), message.get("more_body", False)
            taken += len(piece)
            if taken > limit:
                raise too_large(limit)
            if piece:
                yield piece


class Answer(JSONResponse):
    """JSON in ASCII: what a peer said of itself need not be text that UTF-8 can hold."""

    def render(self, content: object) -> bytes:
        """The octets of the answer."""
        return json.dumps(content, separators=(",", ":"), allow_nan=False).encode("ascii")


def own_connection(hub: Hub, connection_id: str, visitor: Visitor) -> Connection:
    """The open connection of that id, if it is the visitor's: other people's are as good as closed."""
    connection = hub.find(connection_id)
    client = connection.client
    if client.name != visitor.name or (visitor.process and client.process != visitor.process):
        raise InvalidHandle("this connection is not open: connect first")
    return connection


def too_large(limit: int) -> Refused:
    """413."""
    return invalid(f"the body is larger than {limit} octets", 413)


def too_slow(seconds: float) -> Refused:
    """408."""
    return Refused(408, Win32.ERROR_TIMEOUT, f"the body did not come within {seconds:g} seconds")


def no_content() -> Response:
    """204: done, and nothing to say."""
    return Response(status_code=204)
