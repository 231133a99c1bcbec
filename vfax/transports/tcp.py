"""The media socket of a call for trio: UDP, and one TCP connection on the same port number where T.38 runs over TCP.

Owns      listening and connecting with their limits, writing without waiting, reading, the end of the connection.
Not here  what is in the octets (tpkt.py), who connects (sip/negotiation.py), UDP itself (udp.py).
Source    RFC 4145 for the two roles.

Sending never waits here either: what the connection cannot take at once is kept, up to `BACKLOG`. Beyond that the
stream ends: it has no numbers, so a packet that is left out would be a hole that the peer cannot see.
"""

import socket
from collections.abc import Callable
from typing import Final

import trio

from vfax.errors import LinkError, MisuseError
from vfax.transports.listening import open_listener
from vfax.transports.sip.values import Address
from vfax.transports.udp import UdpSocket, format_address

BACKLOG: Final = 256 * 1024
"""Limit: octets that wait for a peer who does not read: a minute of page data at least."""
READ: Final = 1536  # octets at once, five ECM frames or 300 of the smallest packets; then other tasks get their turn
CHUNK: Final = 4 * 1024  # octets written at once
RETRY: Final = 0.2  # seconds to the next attempt where nobody listens yet
GOODBYE: Final = 1.0  # seconds for the last octets of a call to leave
WAITING: Final = 4  # connections that may wait to be looked at


class MediaSocket(UdpSocket):
    """A UDP socket that may also carry one stream."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self._listener: socket.socket | None = None
        self._stream: _Stream | None = None

    def listen(self) -> None:
        """Take connections on this port from now on. Raises LinkError when the port is taken."""
        if self._listener is not None:
            return
        try:
            self._listener = open_listener(*self.address, WAITING)
        except OSError as why:
            where = format_address(self.address)
            raise LinkError(f"cannot listen for T.38 over TCP on {where}: {why.strerror}") from why

    def expect_stream(self, remote: Address, *, connect: bool, within: float, anyone: bool = False) -> None:
        """From here on `send` writes to the stream, which `run_stream` is to make `within` seconds.

        Where we wait, only `remote`'s host is let in, or `anyone`.
        """
        if not connect:
            self.listen()
        self._stream = _Stream(remote, connect=connect, within=within, anyone=anyone)

    def send(self, datagram: bytes, to: Address) -> None:
        """Send one datagram, or write one packet to the stream, now or never."""
        if self._stream is None:
            super().send(datagram, to)
        elif not self._stream.write(datagram):
            self.dropped += 1

    async def run_stream(self, take: Callable[[bytes], None]) -> None:
        """Make the connection and `take` what it brings, until `end_stream`.

        Raises LinkError saying why, when it is not made or ends by itself.
        """
        stream = self._stream
        if stream is None:
            raise MisuseError("no stream is expected")
        with stream.scope:
            with trio.move_on_after(stream.within) as making:
                made = await (self._connect(stream.remote) if stream.connect else self._accept(stream))
            if making.cancelled_caught:
                raise LinkError(f"no connection for T.38 within {stream.within:.0f} s")
            with made:
                await stream.run(made, take)
        if stream.why:
            raise LinkError(stream.why)

    def end_stream(self) -> None:
        """The call is over: let what is written leave, then close."""
        if self._stream is not None:
            self._stream.end()

    def close(self) -> None:
        """Close all; tasks that wait are told by trio."""
        self._stop_listening()
        super().close()

    def _stop_listening(self) -> None:
        if self._listener is not None:
            trio.lowlevel.notify_closing(self._listener)
            self._listener.close()
            self._listener = None

    async def _connect(self, remote: Address) -> trio.socket.SocketType:
        """Connect, again and again: the other side may not listen yet when its SDP arrives."""
        family = trio.socket.AF_INET6 if ":" in remote[0] else trio.socket.AF_INET
        while True:
            sock = trio.socket.socket(family, trio.socket.SOCK_STREAM)
            try:
                _hasten(sock)
                await sock.bind((self.address[0], 0))
                await sock.connect(remote)
            except ConnectionError:
                sock.close()
                await trio.sleep(RETRY)
            except OSError as why:
                sock.close()
                raise LinkError(f"cannot connect to {format_address(remote)}: {why.strerror or why}") from why
            except BaseException:
                sock.close()
                raise
            else:
                return sock

    async def _accept(self, stream: "_Stream") -> trio.socket.SocketType:
        """The first connection of whom we wait for; others are closed, and nobody may come after it."""
        assert self._listener is not None
        listener = trio.socket.from_stdlib_socket(self._listener)
        while True:
            try:
                sock, source = await listener.accept()
            except OSError:  # of one connection that went away, or for want of descriptors
                self.troubles += 1
                await trio.sleep(RETRY)
                continue
            if (stream.anyone or source[0] == stream.remote[0]) and _hasten(sock):
                self._stop_listening()
                return sock
            sock.close()


def _hasten(sock: trio.socket.SocketType) -> bool:
    """Let packets leave at once; False for a connection that is gone already."""
    try:
        sock.setsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NODELAY, 1)
    except OSError:
        return False
    return True


class _Stream:
    """One connection: what waits to be written, and how it ended."""

    def __init__(self, remote: Address, *, connect: bool, within: float, anyone: bool) -> None:
        self.remote = remote
        self.connect = connect
        self.within = within
        self.anyone = anyone
        self.scope = trio.CancelScope()
        self.why = ""
        self._made = self._ending = False
        self._backlog = bytearray()
        self._more = trio.Event()

    def write(self, octets: bytes) -> bool:
        """Keep octets for the writer; False when too many wait, which ends the stream."""
        if len(self._backlog) + len(octets) > BACKLOG:
            self._end_because(f"the peer does not read its connection of T.38: {len(self._backlog)} octets wait")
            self.scope.cancel()
        if self.why or self.scope.cancel_called:
            return False
        self._backlog += octets
        self._more.set()
        return True

    def end(self) -> None:
        self._ending = True
        self._more.set()
        if self._made:
            self.scope.deadline = min(self.scope.deadline, trio.current_time() + GOODBYE)
        else:
            self.scope.cancel()

    async def run(self, sock: trio.socket.SocketType, take: Callable[[bytes], None]) -> None:
        """Read and write until one of both ends."""
        self._made = True
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write, sock, nursery.cancel_scope)
            try:
                while octets := await sock.recv(READ):
                    take(octets)
                self._end_because("the peer closed the connection of T.38")
            except OSError as why:
                self._end_because(f"the connection of T.38 broke: {why.strerror or why}")
            nursery.cancel_scope.cancel()

    async def _write(self, sock: trio.socket.SocketType, scope: trio.CancelScope) -> None:
        backlog = self._backlog
        try:
            while True:
                while backlog:
                    sent = await sock.send(bytes(memoryview(backlog)[:CHUNK]))
                    del backlog[:sent]
                if self._ending:
                    break
                self._more = trio.Event()
                await self._more.wait()
        except OSError as why:
            self._end_because(f"the connection of T.38 broke: {why.strerror or why}")
        scope.cancel()

    def _end_because(self, why: str) -> None:
        if not self._ending:
            self.why = self.why or why
