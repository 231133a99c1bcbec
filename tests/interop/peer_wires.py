"""How the test peer reaches others: one UDP socket, and streams where a hop asks for them.

Owns      `Hop` (where a message goes and how), `Wires` (UDP, TCP and TLS under one address), datagram sockets.
Not here  what is in the messages but for their length (peer.py).
Source    RFC 3261 18: connections are used again, answers go back on the connection of their request.
"""

import re
import socket
import ssl
from collections.abc import Callable
from typing import Final, NamedTuple

import trio

from tests.certs import Credentials
from tests.interop.sip_plain import host_port, uri_parameter

SOCKET_BUFFER: Final = 1 << 20
CHUNK: Final = 65536


class Hop(NamedTuple):
    """Where a message goes, or came from."""

    host: str
    port: int
    transport: str = "udp"

    @classmethod
    def of(cls, uri: str) -> "Hop":
        """The hop that a URI with a numeric host names."""
        return cls(*host_port(uri), uri_parameter(uri, "transport").lower() or "udp")

    @property
    def address(self) -> tuple[str, int]:
        """Without the transport."""
        return self.host, self.port


def open_socket(host: str, port: int = 0) -> socket.socket:
    """A bound UDP socket that never blocks."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER)
    sock.bind((host, port))
    return sock


def drain(sock: socket.socket) -> list[tuple[bytes, tuple[str, int]]]:
    """All datagrams that wait."""
    got = []
    while True:
        try:
            got.append(sock.recvfrom(65535))
        except (BlockingIOError, ConnectionRefusedError):
            return got


def post(sock: socket.socket, octets: bytes, target: tuple[str, int]) -> None:
    """Send one datagram; a full or refused socket loses it, as UDP may."""
    try:
        sock.sendto(octets, target)
    except (BlockingIOError, ConnectionRefusedError):
        return


Receive = Callable[[bytes, Hop], None]


class Wires:
    """UDP at `sock`; TCP at the same port once `listen` has run; TLS with `keys` from us to others."""

    def __init__(self, sock: socket.socket, nursery: trio.Nursery, receive: Receive, keys: Credentials | None) -> None:
        self._sock = sock
        self._nursery = nursery
        self._receive = receive
        self._keys = keys
        self._streams: dict[Hop, trio.MemorySendChannel[bytes]] = {}
        self.connections = 0  # that we opened

    async def run(self) -> None:
        """Read datagrams until cancelled."""
        while True:
            await trio.lowlevel.wait_readable(self._sock)
            for octets, source in drain(self._sock):
                self._receive(octets, Hop(*source))

    async def listen(self) -> None:
        """Take TCP connections at the port of the UDP socket until cancelled."""
        host, port = self._sock.getsockname()
        await trio.serve_tcp(self._serve, port, host=host)

    def send(self, octets: bytes, hop: Hop) -> None:
        """Send one message; a connection is opened where none is open."""
        if hop.transport == "udp":
            post(self._sock, octets, hop.address)
            return
        if hop not in self._streams:
            to_it, outbox = trio.open_memory_channel[bytes](1000)
            self._streams[hop] = to_it
            self._nursery.start_soon(self._open, hop, outbox)
        self._streams[hop].send_nowait(octets)

    async def _open(self, hop: Hop, outbox: trio.MemoryReceiveChannel[bytes]) -> None:
        try:
            stream: trio.abc.Stream = await trio.open_tcp_stream(*hop.address)
            self.connections += 1
            if hop.transport == "tls":
                assert self._keys is not None, "a peer without certificates speaks no TLS"
                context = ssl.create_default_context(cafile=str(self._keys.authority))
                context.load_cert_chain(self._keys.certificate, self._keys.key)
                stream = trio.SSLStream(stream, context, server_hostname=hop.host)
            await self._use(hop, stream, outbox)
        except (OSError, trio.BrokenResourceError, ssl.SSLError):
            self._streams.pop(hop, None)

    async def _serve(self, stream: trio.SocketStream) -> None:
        host, port = stream.socket.getpeername()
        hop = Hop(host, port, "tcp")
        to_it, outbox = trio.open_memory_channel[bytes](1000)
        self._streams[hop] = to_it
        await self._use(hop, stream, outbox)

    async def _use(self, hop: Hop, stream: trio.abc.Stream, outbox: trio.MemoryReceiveChannel[bytes]) -> None:
        """Read and write one connection until it breaks."""
        try:
            async with stream, trio.open_nursery() as nursery:
                nursery.start_soon(self._read, hop, stream, nursery.cancel_scope)
                async for octets in outbox:
                    await stream.send_all(octets)
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            self._streams.pop(hop, None)

    async def _read(self, hop: Hop, stream: trio.abc.Stream, over: trio.CancelScope) -> None:
        waiting = b""
        while chunk := await stream.receive_some(CHUNK):
            waiting += chunk
            while (taken := first_message(waiting)) is not None:
                message, waiting = taken
                self._receive(message, hop)
        over.cancel()


def first_message(octets: bytes) -> tuple[bytes, bytes] | None:
    """The first whole message of a stream, and the rest; None while it is not whole."""
    octets = octets.lstrip(b"\r\n")
    head, blank, _ = octets.partition(b"\r\n\r\n")
    if not blank:
        return None
    found = re.search(rb"(?im)^(?:content-length|l)\s*:\s*(\d+)", head)
    end = len(head) + 4 + (int(found.group(1)) if found else 0)
    return (octets[:end], octets[end:]) if len(octets) >= end else None
