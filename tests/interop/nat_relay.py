"""A NAT over real sockets without any right of the machine: a relay that rewrites addresses.

Owns      `Relay`, and `use_relay`, by which all UDP of a process goes through it.
Not here  network namespaces (nat_world.py), which are better where they are allowed.

The inner process packs each datagram with its destination before it and sends it to the relay; the relay sends it on
from a socket of its own, one for each inner and remote address (endpoint-dependent mapping, the hard kind), and lets in
only whom that socket has written to. A socket that has not sent for a while is closed.
"""

import ipaddress
import socket
import struct

import trio

from vfax.transports.sip.values import Address
from vfax.transports.udp import UdpSocket

HEAD = struct.Struct(">4sH")
MAX = 65_535


def pack(address: Address, datagram: bytes) -> bytes:
    """An address, and the datagram behind it."""
    return HEAD.pack(ipaddress.IPv4Address(address[0]).packed, address[1]) + datagram


def unpack(octets: bytes) -> tuple[Address, bytes]:
    """The two again."""
    host, port = HEAD.unpack_from(octets)
    return (str(ipaddress.IPv4Address(host)), port), octets[HEAD.size :]


def use_relay(relay: Address) -> None:
    """From here on UDP of this process knows nobody but the relay."""
    send, receive = UdpSocket.send, UdpSocket.receive

    def relayed_send(self: UdpSocket, datagram: bytes, to: Address) -> None:
        send(self, pack(to, datagram), relay)

    async def relayed_receive(self: UdpSocket) -> list[tuple[bytes, Address]]:
        found = [unpack(octets) for octets, source in await receive(self) if source == relay]
        return [(datagram, source) for source, datagram in found]

    UdpSocket.send = relayed_send  # type: ignore[method-assign]
    UdpSocket.receive = relayed_receive  # type: ignore[method-assign]


class Relay:
    """The box: inner side at `address`, outer sockets at the host `outer`."""

    def __init__(self, inner: str, outer: str, timeout: float) -> None:
        self._sock = trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._inner, self._outer, self._timeout = inner, outer, timeout
        self._ways: dict[tuple[Address, Address], tuple[trio.socket.SocketType, float]] = {}
        self.address: Address = ("", 0)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Carry datagrams until cancelled."""
        await self._sock.bind((self._inner, 0))
        self.address = self._sock.getsockname()
        task_status.started()
        try:
            async with trio.open_nursery() as nursery:
                while True:
                    octets, source = await self._sock.recvfrom(MAX)
                    to, datagram = unpack(octets)
                    way = await self._way(source, to, nursery)
                    await way.sendto(datagram, to)
        finally:
            self._sock.close()
            for way, _ in self._ways.values():
                way.close()

    async def _way(self, source: Address, to: Address, nursery: trio.Nursery) -> trio.socket.SocketType:
        way, used = self._ways.get((source, to), (None, 0.0))
        now = trio.current_time()
        if way is not None and now > used + self._timeout:
            way.close()
            way = None
        if way is None:
            way = trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            await way.bind((self._outer, 0))
            nursery.start_soon(self._back, way, source, to)
        self._ways[source, to] = (way, now)
        return way

    async def _back(self, way: trio.socket.SocketType, inner: Address, remote: Address) -> None:
        try:
            while True:
                datagram, source = await way.recvfrom(MAX)
                used = self._ways[inner, remote][1]
                if source == remote and trio.current_time() <= used + self._timeout:
                    await self._sock.sendto(pack(source, datagram), inner)
        except (trio.ClosedResourceError, OSError):
            return  # the way was closed, or nobody was there
