"""UDP sockets for trio: SIP and media travel through here.

Owns      opening, reading and writing datagram sockets. Not here: what is in the datagrams.

Sending never waits: a full socket buffer drops the datagram, as any router on the way may; the protocols above repeat.
Reading takes what has arrived in one go, so that a busy socket costs one wake-up for many packets.

Who wants to know hears of datagrams that did not arrive (`hear_errors`): what the system refuses to send, and on Linux
what a router or the other machine sends back (ICMP; ip(7), IP_RECVERR).
"""

import errno
import ipaddress
import os
import socket
import struct
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, Self

import trio

from vfax.errors import AddressTaken, LinkError
from vfax.transports.sip.values import Address

MAX_DATAGRAM: Final = 65535
BATCH: Final = 32  # datagrams read before other tasks get their turn
TURN: Final = 0.002
"""Seconds that a reader may take with datagrams that have come all at once; the last of them may take longer."""
RECEIVE_BUFFER: Final = 1 << 20  # asked for; the system may give less
PASSING: Final = frozenset(
    {
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.ENETDOWN,
        errno.ENOBUFS,
        errno.ENOMEM,
        errno.EMSGSIZE,
        errno.ETIMEDOUT,
    }
)
"""What reading may report about an earlier datagram or a tight moment, besides ConnectionError; the socket goes on."""
TIGHT: Final = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR, errno.ENOBUFS, errno.ENOMEM})
"""What sending may report of a moment: the next datagram may leave."""
SENT_BACK: Final = frozenset({errno.EACCES, errno.EPROTO, errno.ENOPROTOOPT, errno.EOPNOTSUPP})
"""What else reading may report of a datagram that came back."""

RECVERR: Final = {socket.AF_INET: (socket.IPPROTO_IP, 11), socket.AF_INET6: (socket.IPPROTO_IPV6, 25)}
"""IP_RECVERR and IPV6_RECVERR of Linux, of which Python has no names."""
UNREACHABLE: Final = {2: (3, 12), 3: (1, 4)}
"""ICMP (2) and ICMPv6 (3) as origin of an error, and the types that tell of a failure (RFC 3261 18.4)."""
TOO_BIG: Final = (2, 3, 4)  # it is cut into pieces from then on
NOBODY: Final = "nobody listens there"

Undelivered = Callable[[bytes, Address, str], None]
"""A datagram or its beginning, whom it was for, and why it did not arrive."""


class UdpSocket:
    """One bound, non-blocking datagram socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.dropped = 0  # datagrams that could not leave
        self.troubles = 0  # errors while reading that concern a datagram, not the socket
        self._undelivered: Undelivered | None = None
        name = sock.getsockname()
        self.address: Address = (str(name[0]), int(name[1]))

    @classmethod
    def bind(cls, host: str, port: int) -> Self:
        """Open `host`:`port` (0: any free port). Raises LinkError naming the address and the reason."""
        try:
            family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
        except ValueError as why:
            raise LinkError(f"cannot listen on {host!r}: not an IPv4 or IPv6 address") from why
        where = format_address((host, port))
        try:
            sock = socket.socket(family, socket.SOCK_DGRAM)
        except OSError as why:
            raise LinkError(f"cannot listen on {where}: {why.strerror}") from why
        try:
            sock.setblocking(False)
            if family == socket.AF_INET6:  # "::" alike on all systems: IPv4 has a socket of its own
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            sock.bind((host, port))
        except (OSError, OverflowError) as why:
            sock.close()
            what = f"cannot listen on {where}: {getattr(why, 'strerror', why)}"
            if getattr(why, "errno", None) == errno.EADDRINUSE:
                raise AddressTaken(what, port, stream=False) from why
            raise LinkError(what) from why
        return cls(sock)

    @classmethod
    def bind_even(cls, host: str, ports: Iterable[int]) -> Self:
        """Open the first free port of `ports` (0: any free even one).

        Quirk: some gateways take even UDPTL ports only.
        """
        for port in ports:
            try:
                bound = cls.bind(host, port)
            except LinkError as why:
                if isinstance(why.__cause__, OSError) and why.__cause__.errno == errno.EADDRINUSE:
                    continue
                raise
            if bound.address[1] % 2 == 0:
                return bound
            bound.close()
        raise LinkError(f"no free media port on {host}: widen [media] ports in the settings")

    def hear_errors(self, undelivered: Undelivered) -> None:
        """Have `undelivered` called for what does not arrive, as far as that is known. It must not raise, nor send."""
        self._undelivered = undelivered
        if sys.platform == "linux":
            level, option = RECVERR[self._sock.family]
            with suppress(OSError):  # then only what is not sent at all is told
                self._sock.setsockopt(level, option, 1)

    def send(self, datagram: bytes, to: Address) -> None:
        """Send one datagram now, or drop and count it."""
        why = self._send(datagram, to)
        if why is not None and self._read_errors():  # it was about an earlier one
            why = self._send(datagram, to)
        if why is not None:
            self.dropped += 1
            if self._undelivered is not None and isinstance(why, OSError) and why.errno not in TIGHT:
                self._undelivered(datagram, to, why.strerror or str(why))

    def _send(self, datagram: bytes, to: Address) -> Exception | None:
        try:
            self._sock.sendto(datagram, to)
        except (OSError, UnicodeError, OverflowError) as why:
            return why
        return None

    def _read_errors(self) -> bool:
        """Take what came back of datagrams that did not arrive. Whether there was anything."""
        if self._undelivered is None or sys.platform != "linux":
            return False
        for count in range(BATCH):
            try:
                octets, about, _, to = self._sock.recvmsg(MAX_DATAGRAM, 512, socket.MSG_ERRQUEUE)
            except OSError:
                return count > 0
            self.troubles += 1
            why = _failure(about)
            if why and to:
                self._undelivered(octets, (to[0], to[1]), why)
        return True

    async def receive(self) -> list[tuple[bytes, Address]]:
        """Wait for datagrams and take up to `BATCH` of them. Raises LinkError when the socket itself is broken."""
        await trio.lowlevel.wait_readable(self._sock)
        taken: list[tuple[bytes, Address]] = []
        for _ in range(BATCH):
            try:
                octets, source = self._sock.recvfrom(MAX_DATAGRAM)
            except BlockingIOError:
                break
            except OSError as why:  # Quirk: Windows reports ICMP errors about earlier datagrams of ours here
                if not isinstance(why, ConnectionError) and why.errno not in PASSING | SENT_BACK:
                    raise LinkError(f"cannot read from {format_address(self.address)}: {why.strerror}") from why
                self.troubles += 1
                continue
            taken.append((octets, (source[0], source[1])))
        if len(taken) < BATCH:
            self._read_errors()
        return taken

    def close(self) -> None:
        """Close; tasks that wait for it are told by trio."""
        trio.lowlevel.notify_closing(self._sock)
        self._sock.close()


def _failure(about: list[tuple[int, int, bytes]]) -> str:
    """Why a datagram failed; "" where it did not, or may yet arrive. The octets are a sock_extended_err of Linux."""
    for level, kind, octets in about:
        if (level, kind) in RECVERR.values() and len(octets) >= 7:
            code, origin, icmp, detail = struct.unpack_from("=IBBB", octets)
            if icmp in UNREACHABLE.get(origin, ()) and (origin, icmp, detail) != TOO_BIG:
                return NOBODY if code == errno.ECONNREFUSED else os.strerror(code)
    return ""


def format_address(address: Address) -> str:
    """`host:port`, with brackets round an IPv6 address."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def address_towards(peer: Address) -> str:
    """The address of this machine that `peer` would see, asked of the routing table; nothing is sent."""
    family = socket.AF_INET6 if ":" in peer[0] else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(peer)
            return str(probe.getsockname()[0])
    except OSError as why:
        raise LinkError(f"no route to {format_address(peer)}: {why.strerror or why}") from why
