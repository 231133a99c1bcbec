"""SIP over TCP and TLS for trio: listeners, connectors, the table of connections.

Owns      opening and accepting connections, TLS on them, reuse by hop and by flow, how many there may be.
Not here  one connection's course (sip_connection.py), certificates (certificates.py), what messages mean (sip/).
Source    RFC 3261 (June 2002) 18.1, 18.2, 26.2; RFC 5923 for whose connection may be used again.
"""

import errno
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import trio

from vfax.errors import AddressTaken, LinkError
from vfax.transports.certificates import Certificates, explain
from vfax.transports.listening import open_listener
from vfax.transports.seldom import Seldom
from vfax.transports.sip.options import SipOptions
from vfax.transports.sip.sieve import Nuisance
from vfax.transports.sip.values import Address, Destination, Flow, Hop, Transport
from vfax.transports.sip_connection import GOODBYE, Connection, Owner, Say, StreamOptions
from vfax.transports.udp import format_address

WAITING: Final = 64  # connections that may wait to be accepted
SETTLED: Final = 64.0  # seconds after which nothing is expected of a connection any more: twice SIP's patience (64*T1)
BREATH: Final = 0.1  # seconds to the next accept after one that failed for want of descriptors

HopKey = tuple[Transport, Address, str]
"""What a connection can be used again for: transport, address, and whom its certificate was checked for."""


class StreamListener:
    """A bound TCP socket for SIP over `transport`."""

    def __init__(self, transport: Transport, sock: socket.socket, *, listens: bool) -> None:
        self.transport = transport
        self.listens = listens
        name = sock.getsockname()
        self.address: Address = (str(name[0]), int(name[1]))
        self._sock = sock

    @classmethod
    def bind(cls, transport: Transport, host: str, port: int, *, listens: bool = True) -> "StreamListener":
        """Open `host`:`port` (0: any free port). Raises LinkError naming the address and the reason.

        One that does not listen only holds its port: nobody else can answer there for us, and whoever connects is
        refused at once.
        """
        where = f"{transport} {format_address((host, port))}"
        try:
            sock = open_listener(host, port, WAITING if listens else 0)
        except (OSError, OverflowError) as why:
            what = f"cannot listen on {where}: {getattr(why, 'strerror', why)}"
            if getattr(why, "errno", None) == errno.EADDRINUSE:
                raise AddressTaken(what, port, stream=True) from why
            raise LinkError(what) from why
        return cls(transport, sock, listens=listens)

    async def accept(self) -> tuple[trio.socket.SocketType, Address]:
        """The next connection and whose it is."""
        sock, source = await trio.socket.from_stdlib_socket(self._sock).accept()
        return sock, (str(source[0]), int(source[1]))

    def close(self) -> None:
        """Close; tasks that wait for it are told by trio."""
        trio.lowlevel.notify_closing(self._sock)
        self._sock.close()


@dataclass(slots=True)
class StreamCounters:
    """Connections that were turned away or came to nothing."""

    crowded: int = 0  # above a limit
    not_allowed: int = 0  # from networks that may not call
    failed_handshakes: int = 0  # TLS was not agreed, or not in time


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamHooks:
    """Who is told what. None of them may raise."""

    owner: Owner
    lost: Callable[[Flow, str], None]  # a connection has gone
    unreachable: Callable[[Destination, str, bytes], None]  # what was sent did not leave; a datagram, or its beginning
    may_talk: Callable[[str], bool]  # whether a host may connect
    say: Say
    refused: Callable[[str, Nuisance], None] = lambda host, reason: None  # a connection of this host was not taken


@dataclass(frozen=True, slots=True)
class Towards:
    """What TLS towards one host goes by; `server_name` "" is the name that was called."""

    certificates: Certificates
    server_name: str = ""


class Streams:
    """All connections of one endpoint. `others` are hosts, in lower case, with certificates of their own."""

    def __init__(
        self,
        options: StreamOptions,
        sip: SipOptions,
        listeners: Iterable[StreamListener],
        certificates: Certificates,
        hooks: StreamHooks,
        others: Mapping[str, "Towards"] = MappingProxyType({}),
    ) -> None:
        self.counters = StreamCounters()
        self._options = options
        self._sip = sip
        self._listeners = list(listeners)
        self._certificates = certificates
        self._others = others
        self._hooks = hooks
        self._seldom = Seldom()
        self._connections: dict[int, Connection] = {}
        self._by_hop: dict[HopKey, Connection] = {}
        self._per_source: Counter[str] = Counter()
        self._handshakes = 0
        self._serial = 0
        self._said = ""  # about certificates
        self._nursery: trio.Nursery | None = None
        self.started = trio.Event()
        self._finishing = trio.Event()
        self._emptied = trio.Event()  # nothing is open any more, once we are to finish

    def __len__(self) -> int:
        return len(self._connections)

    async def check(self) -> None:
        """Raises LinkError where we listen with TLS and have no certificate that can be used."""
        if any(one.transport is Transport.TLS and one.listens for one in self._listeners):
            await trio.to_thread.run_sync(self._certificates.server)

    async def run(self) -> None:
        """Serve until `finish`; `started` tells that connections can be made."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                for listener in self._listeners:
                    if listener.listens:
                        nursery.start_soon(self._accept, listener)
                self.started.set()
                await self._finishing.wait()
                nursery.cancel_scope.deadline = trio.current_time() + GOODBYE
                for connection in list(self._connections.values()):
                    connection.end("the SIP endpoint was shut down")
                if self._connections:
                    await self._emptied.wait()
                nursery.cancel_scope.cancel()
        finally:
            self._nursery = None

    def finish(self) -> None:
        """Let what is written leave, then end `run`, within a second."""
        self._finishing.set()

    # --- sending --------------------------------------------------------------------------------

    def send(self, octets: bytes, to: Destination) -> None:
        """Write to the connection there is; to a hop without one, make it."""
        connection = self._find(to)
        if connection is None and isinstance(to, Hop):
            if len(self._connections) >= self._options.max_connections:
                self._make_room()
            connection = self._begin(to)
        if connection is None:
            crowd = len(self._connections) >= self._options.max_connections
            are = f"{len(self._connections)} connections are" if len(self._connections) > 1 else "1 connection is"
            why = f"{are} open, no more are allowed" if crowd else "it has gone"
            self._hooks.unreachable(to, f"no connection with {format_address(to.address)}: {why}", b"")
        elif not connection.send(octets):
            self._hooks.unreachable(to, connection.why or f"the connection with {connection.who} has ended", b"")
        elif isinstance(to, Hop) and to not in connection.hops:
            connection.hops.append(to)

    def _make_room(self) -> None:
        """End the connection of ours that was used longest ago: peers who answer keep-alives keep theirs for ever."""
        before = trio.current_time() - SETTLED
        idle = (one for one in self._connections.values() if one.ours and one.used_at < before)
        free = (one for one in idle if not self._hooks.owner.is_needed(one.flow))
        oldest = min(free, key=lambda one: one.used_at, default=None)
        if oldest is not None:
            oldest.end_now("another connection needed its place, and nothing had been said for long")
            self._remove(oldest)

    def close(self, flow: Flow) -> None:
        """Let what is written leave, then close."""
        if (connection := self._connections.get(flow.connection)) is not None:
            connection.end("the connection was closed on this side")

    def _find(self, to: Destination) -> Connection | None:
        found = self._connections.get(to.connection) if isinstance(to, Flow) else self._by_hop.get(_key(to))
        return None if found is None or found.why else found

    def _begin(self, hop: Hop) -> Connection | None:
        if self._nursery is None or self._finishing.is_set() or len(self._connections) >= self._options.max_connections:
            return None
        connection = self._add(hop.transport, hop.address, self._local(hop), ours=True)
        self._by_hop[_key(hop)] = connection
        self._nursery.start_soon(self._connect, connection, hop)
        return connection

    def _add(self, transport: Transport, remote: Address, local: Address, *, ours: bool) -> Connection:
        self._serial += 1
        flow = Flow(transport, remote, local, self._serial)
        connection = Connection(flow, self._options, self._sip, self._hooks.owner, ours=ours)
        self._connections[self._serial] = connection
        return connection

    def _local(self, hop: Hop) -> Address:
        """The bound address of our listener that others know us by on this way."""
        same = [one for one in self._listeners if one.transport is hop.transport]
        family = [one for one in same if (":" in one.address[0]) is (":" in hop.host)]
        return next((one.address for one in (*family, *same)), ("", 0))

    # --- connections of ours ----------------------------------------------------------------------

    async def _connect(self, connection: Connection, hop: Hop) -> None:
        """Make the connection, then carry it."""
        why = ""
        with trio.move_on_after(self._options.connect_limit) as making:
            try:
                stream = await self._open(connection, hop)
            except (
                OSError,
                ValueError,
                LinkError,
                trio.BrokenResourceError,
            ) as fault:  # a name that is none: ValueError
                why = str(fault) if isinstance(fault, LinkError) else explain(fault, connection.who)
        if making.cancelled_caught:
            why = f"no connection with {connection.who} within {self._options.connect_limit:.0f} s"
        if why:
            connection.end_now(why)
            self._remove(connection)
            for to in connection.hops:
                self._hooks.unreachable(to, why, b"")
            return
        await self._carry(connection, stream)

    async def _open(self, connection: Connection, hop: Hop) -> trio.abc.Stream:
        family = trio.socket.AF_INET6 if ":" in hop.host else trio.socket.AF_INET
        sock = trio.socket.socket(family, trio.socket.SOCK_STREAM)
        try:
            ours = connection.flow.local[0]
            if ours not in ("", "0.0.0.0", "::") and (":" in ours) is (":" in hop.host):
                await sock.bind((ours, 0))
            await sock.connect(hop.address)
            stream = trio.SocketStream(sock)
            if hop.transport is not Transport.TLS:
                return stream
            name = hop.name or hop.host
            towards = self._others.get(name.lower(), Towards(self._certificates))
            context = await trio.to_thread.run_sync(towards.certificates.client)
            self._tell_of_certificates()
            server = towards.server_name or name
            secure = trio.SSLStream(stream, context, server_hostname=server, https_compatible=True)
            await _agree(secure, stream)
        except BaseException:
            sock.close()
            raise
        return secure

    # --- connections of others --------------------------------------------------------------------

    async def _accept(self, listener: StreamListener) -> None:
        while True:
            try:
                sock, source = await listener.accept()
            except OSError as why:  # of one connection that went away, or for want of descriptors
                if why.errno in (errno.EBADF, errno.ENOTSOCK):
                    raise LinkError(f"cannot listen on {format_address(listener.address)}: {why.strerror}") from why
                await trio.sleep(BREATH)
                continue
            if self._admit(listener, source):
                connection = self._add(listener.transport, source, listener.address, ours=False)
                self._per_source[source[0]] += 1
                assert self._nursery is not None
                self._nursery.start_soon(self._serve, connection, sock)
            else:
                sock.close()

    def _admit(self, listener: StreamListener, source: Address) -> bool:
        """Whether one more connection from there is taken. Who is turned away hears nothing: the door is shut."""
        options = self._options
        if not self._hooks.may_talk(source[0]):
            self.counters.not_allowed += 1
            self._hooks.refused(source[0], Nuisance.NETWORK)
            return False
        crowded = (
            len(self._connections) >= options.max_connections
            or self._per_source[source[0]] >= options.max_connections_per_source
            or (listener.transport is Transport.TLS and self._handshakes >= options.max_handshakes)
        )
        self.counters.crowded += crowded
        if crowded:
            self._hooks.refused(source[0], Nuisance.CONNECTION)
        return not crowded

    async def _serve(self, connection: Connection, sock: trio.socket.SocketType) -> None:
        try:
            stream: trio.abc.Stream | None
            try:
                stream = trio.SocketStream(sock)
            except OSError as why:  # it is gone already
                sock.close()
                connection.end_now(explain(why, connection.who))
                return
            if connection.flow.transport is Transport.TLS:
                stream = await self._shake_hands(connection, stream)
            if stream is not None:
                await self._carry(connection, stream)
        finally:
            sock.close()
            self._remove(connection)
            host = connection.flow.remote[0]
            self._per_source[host] -= 1
            if not self._per_source[host]:
                del self._per_source[host]

    async def _shake_hands(self, connection: Connection, stream: trio.SocketStream) -> trio.abc.Stream | None:
        """TLS as the server; None when it came to nothing."""
        why = f"{connection.who} did not finish TLS within {self._options.handshake_limit:.0f} s"
        self._handshakes += 1
        try:
            with trio.move_on_after(self._options.handshake_limit):
                context = await trio.to_thread.run_sync(self._certificates.server)
                self._tell_of_certificates()
                secure = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
                await _agree(secure, stream)
                return secure
        except (trio.BrokenResourceError, OSError) as fault:
            why = explain(fault, connection.who)
        finally:
            self._handshakes -= 1
        self.counters.failed_handshakes += 1
        self._hooks.refused(connection.flow.remote[0], Nuisance.CONNECTION)
        if self._seldom.may_tell_of(connection.flow.remote[0], trio.current_time()):
            self._hooks.say(why)
        connection.end_now(why)
        await trio.aclose_forcefully(stream)
        return None

    def _tell_of_certificates(self) -> None:
        """Say once what is wrong with files that have changed."""
        trouble = self._certificates.trouble
        if trouble and trouble != self._said:
            self._hooks.say(trouble)
        self._said = trouble

    # --- both ---------------------------------------------------------------------------------------

    async def _carry(self, connection: Connection, stream: trio.abc.Stream) -> None:
        try:
            await connection.run(stream)
        finally:
            self._remove(connection)
            self._hooks.lost(connection.flow, connection.why)

    def _remove(self, connection: Connection) -> None:
        self._connections.pop(connection.flow.connection, None)
        for key in [key for key, one in self._by_hop.items() if one is connection]:
            del self._by_hop[key]
        if self._finishing.is_set() and not self._connections:
            self._emptied.set()


async def _agree(secure: "trio.SSLStream[trio.SocketStream]", stream: trio.SocketStream) -> None:
    """The handshake of TLS. Raises BrokenResourceError, its cause an ssl.SSLError.

    Quirk: trio keeps the alert that tells the other side why we do not go on; it is sent here.
    """
    try:
        await secure.do_handshake()
    except trio.BrokenResourceError:
        if alert := secure._outgoing.read():
            with suppress(trio.BrokenResourceError):
                await stream.send_all(alert)
        raise


def _key(hop: Hop) -> HopKey:
    return hop.transport, hop.address, (hop.name or hop.host) if hop.transport is Transport.TLS else ""
