"""Where clients come in: a Unix socket whose peers the kernel names, and TLS for those with a token.

Owns      sockets, connections at once, how long each step of one may take, the identity of a Unix peer.
Not here  HTTP (hypercorn), what is asked (app.py).
Source    unix(7): SO_PEERCRED gives process, user and group as they were when the peer connected.

hypercorn speaks HTTP over a stream that was accepted here: each connection has its own application, which carries the
visitor. Limit: a connection that fails, however it does, ends alone.
"""

import os
import secrets
import socket
import ssl
import stat
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from traceback import format_exception
from typing import Any, Final, cast

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.protocol import ProtocolWrapper
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.h11 import H2CProtocolRequiredError, H2ProtocolAssumedError, H11Protocol
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState, LifespanState
from starlette.types import ASGIApp, Receive, Scope, Send

from vfax.errors import LinkError
from vfax.fsp.constants import AccessRight
from vfax.host.api.app import VISITOR, Api
from vfax.host.api.identity import ALL_RIGHTS, Visitor
from vfax.host.api.processes import identity_of
from vfax.host.api.unix import LONGEST_PATH, can_name_peers, is_reachable
from vfax.host.events import HostFaulted, Observer

NO_RIGHTS: Final = AccessRight(0)
CREDENTIALS: Final = struct.Struct("3i")
BACKLOG: Final = 64
GONE: Final = (
    trio.BrokenResourceError,
    trio.ClosedResourceError,
    OSError,
    H2CProtocolRequiredError,  # it asked for HTTP/2 in the open
    H2ProtocolAssumedError,
)
"""What ends a connection and is no fault of ours."""
FLUSH_TIME: Final = 5.0
"""How long streams may take for their last lines when the service has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenOptions:
    """Where to listen, and limits of connections in counts, octets and seconds.

    `socket` None: no Unix socket; `socket_mode` are its permissions, `peer_rights` what its peers may do, besides root
    and the host's own user, who may do all. `address` None: no network; `certificate` and `key` are needed unless it is
    of this machine. `idle_timeout`: without a request, or for the head of one; `send_timeout`: for the peer to take
    what is sent. Limit: `max_connections` on the socket, and as many on the address.
    """

    socket: Path | None = None
    socket_mode: int = 0o660
    peer_rights: AccessRight = NO_RIGHTS
    address: tuple[str, int] | None = None
    certificate: Path | None = None
    key: Path | None = None
    max_connections: int = 200
    max_head: int = 16_384
    idle_timeout: float = 15.0
    handshake_timeout: float = 10.0
    send_timeout: float = 30.0


class Stream(trio.abc.HalfCloseableStream):
    """A connection whose peer must take what is sent within a time, or lose it."""

    def __init__(self, inner: trio.SocketStream, limit: float) -> None:
        self._inner = inner
        self._limit = limit
        self.socket = inner.socket

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send it all within the limit, or close and raise BrokenResourceError."""
        with trio.move_on_after(self._limit) as scope:
            await self._inner.send_all(data)
        if scope.cancelled_caught:
            await trio.aclose_forcefully(self._inner)
            raise trio.BrokenResourceError("the peer does not take what is sent")

    async def wait_send_all_might_not_block(self) -> None:
        """As the stream inside."""
        await self._inner.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """As the stream inside."""
        await self._inner.send_eof()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """As the stream inside."""
        return await self._inner.receive_some(max_bytes)

    async def aclose(self) -> None:
        """As the stream inside."""
        await self._inner.aclose()


class _Http11(TCPServer):
    """hypercorn's server of one connection, held to HTTP/1.1.

    Quirk: hypercorn 0.18 turns to HTTP/2 when a client asks for it in the open (Upgrade: h2c, or the preface of prior
    knowledge), and then waits without any limit for what does not come (test_sockets.py, the h2c octets).
    """

    @property  # type: ignore[override]
    def protocol(self) -> H11Protocol | H2Protocol:
        """What speaks on this connection."""
        return self._spoken

    @protocol.setter
    def protocol(self, wrapper: ProtocolWrapper) -> None:
        self._spoken = wrapper.protocol  # without what would change it


class Listeners:
    """The sockets of an Api. `run` serves until cancelled; `address` is known then."""

    def __init__(self, api: Api, options: ListenOptions, *, observe: Observer) -> None:
        self._api = api
        self._options = options
        self._observe = observe
        self._rooms: list[trio.CapacityLimiter] = []  # one a socket: strangers far away keep nobody here out
        self._names = trio.CapacityLimiter(1)  # who a user is may be asked far away
        self._config = _config(options)
        self.address: tuple[str, int] | None = None
        self.refused = 0  # connections beyond the limit

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen and serve. Raises LinkError naming the socket or address that cannot be had."""
        options = self._options
        tls = _tls(options)
        async with trio.open_nursery() as nursery:
            await nursery.start(self._api_task)
            if options.socket is not None:
                await nursery.start(self._serve_unix, options.socket)
            if options.address is not None:
                await nursery.start(self._serve_network, options.address, tls)
            task_status.started()

    async def flush(self) -> None:
        """Let open streams say their last lines when the service has ended; then cancel `run`."""
        with trio.move_on_after(FLUSH_TIME):
            await self._api.desk.flushed()

    async def _api_task(self, *, task_status: trio.TaskStatus[None]) -> None:
        await self._api.run(task_status=task_status)

    # --- the Unix socket ---------------------------------------------------------------------------

    async def _serve_unix(self, path: Path, *, task_status: trio.TaskStatus[None]) -> None:
        listener = _bind_unix(path, self._options.socket_mode)
        inode = os.stat(path).st_ino
        try:
            listening = trio.SocketListener(trio.socket.from_stdlib_socket(listener))
            async with listening:
                task_status.started()
                await self._accept(listening, self._take_unix)
        finally:
            _unlink(path, inode)

    async def _take_unix(self, inner: trio.SocketStream) -> None:
        rights = self._options.peer_rights
        visitor = await trio.to_thread.run_sync(peer_of, inner.socket, rights, limiter=self._names)
        await self._speak(Stream(inner, self._options.send_timeout), visitor)

    # --- the network -------------------------------------------------------------------------------

    async def _serve_network(
        self, address: tuple[str, int], tls: ssl.SSLContext | None, *, task_status: trio.TaskStatus[None]
    ) -> None:
        try:
            (listening,) = await trio.open_tcp_listeners(address[1], host=address[0], backlog=BACKLOG)
        except OSError as why:
            raise LinkError(f"[clients] cannot listen on {address[0]}:{address[1]}: {why.strerror or why}") from why
        async with listening:
            self.address = listening.socket.getsockname()[:2]
            task_status.started()
            await self._accept(listening, partial(self._take_network, tls))

    async def _take_network(self, tls: ssl.SSLContext | None, inner: trio.SocketStream) -> None:
        stream = Stream(inner, self._options.send_timeout)
        if tls is None:
            await self._speak(stream, None)
        else:
            await self._speak(trio.SSLStream(stream, tls, server_side=True, https_compatible=True), None)

    # --- connections -------------------------------------------------------------------------------

    async def _accept(
        self, listening: trio.SocketListener, take: Callable[[trio.SocketStream], Awaitable[None]]
    ) -> None:
        room = trio.CapacityLimiter(self._options.max_connections)
        self._rooms.append(room)
        async with trio.open_nursery() as nursery:
            while True:
                try:
                    inner = await listening.accept()
                except OSError:  # no file handles left: those that are open go on, and one of them ends
                    await trio.sleep(0.1)
                    continue
                try:
                    room.acquire_on_behalf_of_nowait(inner)
                except trio.WouldBlock:
                    self.refused += 1
                    await trio.aclose_forcefully(inner)
                    continue
                nursery.start_soon(self._alone, take, inner, room)

    async def _alone(
        self,
        take: Callable[[trio.SocketStream], Awaitable[None]],
        inner: trio.SocketStream,
        room: trio.CapacityLimiter,
    ) -> None:
        """One connection, whose end is nobody else's business."""
        try:
            await take(inner)
        except Exception as why:
            if not _is_gone(why):
                what = f"a connection of a client ended in {type(why).__name__}: {why}"
                self._observe(HostFaulted(what, "".join(format_exception(why))))
        finally:
            room.release_on_behalf_of(inner)
            await trio.aclose_forcefully(inner)

    async def _speak(self, stream: Stream | trio.SSLStream[Stream], visitor: Visitor | None) -> None:
        app = cast("Any", ASGIWrapper(cast("Any", _with_visitor(self._api, visitor))))
        state = ConnectionState(LifespanState())
        await _Http11(app, self._config, WorkerContext(None), state, cast("Any", stream))


def _with_visitor(app: ASGIApp, visitor: Visitor | None) -> ASGIApp:
    async def visited(scope: Scope, receive: Receive, send: Send) -> None:
        if visitor is not None:
            scope = {**scope, VISITOR: visitor}
        await app(scope, receive, send)

    return visited


def _config(options: ListenOptions) -> Config:
    """What hypercorn is told: nothing is logged by it, and every limit is ours."""
    config = Config()
    config.errorlog = None
    config.accesslog = None
    config.include_server_header = False
    config.h11_max_incomplete_size = options.max_head
    config.keep_alive_timeout = options.idle_timeout
    config.ssl_handshake_timeout = options.handshake_timeout
    return config


def _tls(options: ListenOptions) -> ssl.SSLContext | None:
    if options.certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(options.certificate, options.key)
    except (OSError, ssl.SSLError) as why:
        raise LinkError(f"[clients] certificate {options.certificate}: cannot be used: {why}") from why
    return context


def _is_gone(why: BaseException) -> bool:
    """True for what a peer that goes away does to its connection."""
    if isinstance(why, BaseExceptionGroup):
        return all(_is_gone(one) for one in why.exceptions)
    return isinstance(why, GONE)


# --- the Unix socket -------------------------------------------------------------------------------


def peer_of(sock: trio.socket.SocketType, rights: AccessRight) -> Visitor:
    """Who is at the other end of a Unix socket, as the kernel says."""
    octets = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    pid, uid, _ = CREDENTIALS.unpack(octets)
    process = identity_of(pid)
    return Visitor(
        name=user_name(uid),
        rights=ALL_RIGHTS if uid in (0, os.geteuid()) else rights,
        local=True,
        process=process or f"uid:{uid}",
        pid=pid,
        watchable=bool(process),
        desktop=desktop_of(uid),
    )


def desktop_of(uid: int) -> str:
    """What stands for the desktop of a user."""
    return f"uid:{uid}"


def own_desktop() -> str:
    """The desktop of this process; empty where users have no numbers."""
    return desktop_of(os.geteuid()) if hasattr(os, "geteuid") else ""


def user_name(uid: int) -> str:
    """The name of a user; `uid:N` for one that has none."""
    import pwd  # not on Windows, where this is never called

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid:{uid}"


def _bind_unix(path: Path, mode: int) -> socket.socket:
    if not can_name_peers():
        raise LinkError(f'[clients] socket {path}: peers can be named on Linux alone; say socket = "" elsewhere')
    if not is_reachable(path):
        raise LinkError(f"[clients] socket {path}: cannot be reached: a path has at most {LONGEST_PATH} octets")
    _clear_stale(path)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    new = path.with_name(f".{secrets.token_hex(4)}")  # nobody can connect before the permissions are right
    try:
        made.bind(os.fspath(new))
        os.chmod(new, mode)
        made.listen(BACKLOG)
        made.setblocking(False)
        os.rename(new, path)
    except OSError as why:
        made.close()
        new.unlink(missing_ok=True)
        raise LinkError(f"[clients] socket {path}: cannot be made: {why.strerror or why}") from why
    return made


def _clear_stale(path: Path) -> None:
    """Remove a socket that nobody listens on any more; refuse what is in use, or is no socket."""
    try:
        kind = os.lstat(path).st_mode
    except OSError:
        return
    if not stat.S_ISSOCK(kind):
        raise LinkError(f"[clients] socket {path}: there is something else of that name; choose another")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            os.unlink(path)
        except OSError as why:
            raise LinkError(f"[clients] socket {path}: cannot be looked at: {why.strerror or why}") from why
        else:
            raise LinkError(f"[clients] socket {path}: another service listens there; stop it or choose another")


def _unlink(path: Path, inode: int) -> None:
    try:
        if os.stat(path).st_ino == inode:
            os.unlink(path)
    except OSError:
        return
