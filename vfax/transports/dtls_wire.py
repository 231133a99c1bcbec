"""What trio's DTLSEndpoint takes for its socket: the media socket, as far as DTLS is concerned.

Owns      datagrams in, one record of application data at a time; datagrams out, those of a handshake with their copies.
Not here  which datagrams those are and whose (dtls.py).
"""

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import trio

from vfax.transports.dtls_record import CLIENT_HELLO, HEADER, Content, apart, is_client_hello
from vfax.transports.sip.values import Address
from vfax.transports.udp import UdpSocket

if TYPE_CHECKING:
    import socket

AGAIN: Final = 0.05
"""Seconds to the copy of each datagram of a handshake: its timers double with each loss, so that a road which loses a
fifth would keep one call in twenty waiting for more than 15 s. Receivers drop copies (RFC 6347 4.1.2.6)."""
COPIES: Final = 64  # Limit: copies that wait


DROPPED: Final = bytes((Content.APPLICATION_DATA,)) + b"\xfe\xfd" + b"\xff\xff" + bytes(8)
"""A record without content, of an epoch that no association comes to: every receiver passes it over."""


class Wire(trio.socket.SocketType):
    """The socket that trio's endpoint believes to have. Limit: `backlog` datagrams wait to be read.

    `alerted` is called by the task that has sent an alert.
    """

    def __init__(self, media: UdpSocket, backlog: int, alerted: Callable[[], None] = lambda: None) -> None:
        self._alerted = alerted
        self._address = media.address
        self._send: Callable[[bytes, Address], None] = lambda datagram, to: UdpSocket.send(media, datagram, to)
        self._put, self._get = trio.open_memory_channel[tuple[bytes, Address]](backlog)
        self._copy, self._copies = trio.open_memory_channel[tuple[float, bytes, Address]](COPIES)

    def feed(self, datagram: bytes, source: Address) -> bool:
        """Let the endpoint have a datagram; False when too many wait."""
        try:
            for one in apart(datagram):
                self._put.send_nowait((_not_mistaken(one), source))
        except (trio.WouldBlock, trio.ClosedResourceError, trio.BrokenResourceError):
            return False
        return True

    @property
    def type(self) -> "socket.SocketKind":
        """Datagrams."""
        return trio.socket.SOCK_DGRAM

    @property
    def family(self) -> "socket.AddressFamily":
        """That of the media socket: how large datagrams may be follows from it."""
        return trio.socket.AF_INET6 if ":" in self._address[0] else trio.socket.AF_INET

    def getsockname(self) -> Address:
        """Where the media socket is bound."""
        return self._address

    async def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, Address]:
        """The next datagram. Raises ClosedResourceError, and nothing else."""
        try:
            return await self._get.receive()
        except trio.EndOfChannel:  # trio's task must not see anything else of us: it takes the whole program with it
            raise trio.ClosedResourceError from None

    async def sendto(self, data: bytes, to: Address, /) -> int:  # type: ignore[override]
        """Send now, and what belongs to a handshake once more later. What cannot leave is dropped, as by UDP."""
        datagram = bytes(data)
        self._send(datagram, to)
        if datagram[:1] == bytes((Content.ALERT,)):
            self._alerted()
        if datagram[:1] != bytes((Content.APPLICATION_DATA,)):
            with suppress(trio.WouldBlock, trio.ClosedResourceError, trio.BrokenResourceError):
                self._copy.send_nowait((trio.current_time() + AGAIN, datagram, to))
        await trio.lowlevel.checkpoint()
        return len(datagram)

    async def send_copies(self) -> None:
        """Send what belongs to a handshake once more, until cancelled."""
        async for due, datagram, to in self._copies:
            await trio.sleep_until(due)
            self._send(datagram, to)

    def close(self) -> None:
        """Give nothing more; the media socket stays as it is."""
        for end in (self._put, self._get, self._copy, self._copies):
            end.close()


def _not_mistaken(datagram: bytes) -> bytes:
    """What trio's endpoint takes for what it is.

    Quirk: trio (0.35) knows a ClientHello by two octets, and one of 256 encrypted records that end a handshake has them
    too, if it comes alone. It would be dropped, and so would all its repetitions be, which are the same.
    """
    looks = datagram[:1] == bytes((Content.HANDSHAKE,)) and datagram[HEADER : HEADER + 1] == bytes((CLIENT_HELLO,))
    return DROPPED + datagram if looks and not is_client_hello(datagram) else datagram
