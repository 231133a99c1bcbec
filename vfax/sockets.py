"""The sockets of an endpoint: SIP over UDP, TCP and TLS, IPv4 and IPv6, side by side.

Owns      opening what the options say, which socket a message leaves by, what we call ourselves on each.
Not here  the sockets themselves (transports/udp.py, transports/sip_streams.py), messages, who may talk.
Source    RFC 3261 (June 2002) 18.
"""

import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

import trio

from vfax.errors import LinkError, MisuseError
from vfax.transports.certificates import Certificates, TlsOptions
from vfax.transports.seldom import Seldom
from vfax.transports.sip import values as sip
from vfax.transports.sip.hops import Local, Place
from vfax.transports.sip.options import SipOptions
from vfax.transports.sip.values import Address, Flow, Hop, Transport
from vfax.transports.sip_connection import StreamOptions
from vfax.transports.sip_streams import StreamHooks, StreamListener, Streams, Towards
from vfax.transports.udp import TURN, UdpSocket, address_towards, format_address


class Listen(NamedTuple):
    """One place where SIP messages come in; port 0 for any free one."""

    host: str
    port: int
    transport: Transport = Transport.UDP


class Sockets:
    """All sockets of one endpoint. `addresses` tells where they are bound, in the order of the options."""

    def __init__(
        self,
        listen: Sequence[Listen],
        *,
        public_address: str | None,
        public_port: int = 0,
        tls: TlsOptions,
        streams: StreamOptions,
        sip_options: SipOptions,
        hooks: StreamHooks,
        towards: Mapping[str, Towards] = MappingProxyType({}),
    ) -> None:
        """Bind everything. Raises LinkError for the first place that cannot be had."""
        if not listen:
            raise MisuseError("an endpoint needs at least one place to listen at")
        if tls.certificate is None and any(place.transport is Transport.TLS for place in listen):
            raise LinkError("TLS cannot be served without a certificate: give [sip] tls_certificate")
        self._udp: list[UdpSocket] = []
        self._listeners: list[StreamListener] = []
        self.addresses: list[Listen] = []
        try:
            self._bind(listen)
            held = [Listen(*one.address, one.transport) for one in self._listeners if not one.listens]
            self.local = Local(
                (
                    *(self._place(one, public_address, public_port) for one in self.addresses),
                    *(replace(self._place(one, public_address, public_port), listens=False) for one in held),
                )
            )
        except BaseException:
            self.close()
            raise
        self._hooks = hooks
        self._seldom = Seldom()
        for one in self._udp:
            one.hear_errors(self._undelivered)
        self.streams = Streams(streams, sip_options, self._listeners, Certificates(tls), hooks, towards)

    def _bind(self, listen: Sequence[Listen]) -> None:
        for host, port, transport in listen:
            if transport is Transport.UDP:
                self._udp.append(UdpSocket.bind(host, port))
                self.addresses.append(Listen(*self._udp[-1].address))
            else:
                self._listeners.append(StreamListener.bind(transport, host, port))
                self.addresses.append(Listen(*self._listeners[-1].address, transport))
        for host, transport in _unserved(self.addresses):
            self._listeners.append(StreamListener.bind(transport, host, 0, listens=False))

    def _place(self, one: Listen, public_address: str | None, public_port: int) -> Place:
        """`public_port` stands for the port of the first place, over whatever transport."""
        shown = shown_as(one.host, public_address)
        moved = public_port and shown == public_address and one.port == self.addresses[0].port
        return Place(one.transport, (one.host, one.port), (shown, public_port if moved else one.port))

    @property
    def address(self) -> Address:
        """The first place."""
        return self.addresses[0].host, self.addresses[0].port

    def host_towards(self, peer: str) -> str:
        """The bound host of `peer`'s family; the first one where there is none."""
        same = (place.host for place in self.addresses if (":" in place.host) is (":" in peer))
        return next(same, self.addresses[0].host)

    @property
    def families(self) -> frozenset[int]:
        """IP versions that we listen on."""
        return frozenset(6 if ":" in place.host else 4 for place in self.addresses)

    # --- running --------------------------------------------------------------------------------

    async def read(self, hear: Callable[[bytes, Flow], None]) -> None:
        """Read datagrams until a socket breaks (LinkError). `hear` takes each with its source."""
        async with trio.open_nursery() as nursery:
            for one in self._udp:
                nursery.start_soon(self._read, one, hear)
            if not self._udp:
                await trio.sleep_forever()

    @staticmethod
    async def _read(one: UdpSocket, hear: Callable[[bytes, Flow], None]) -> None:
        """Each datagram is dealt with to its end before the next one is looked at."""
        while True:
            datagrams = await one.receive()
            over = trio.current_time() + TURN
            for datagram, source in datagrams:
                if trio.current_time() > over:  # calls have their turn: an INVITE costs a millisecond or two
                    await trio.lowlevel.checkpoint()
                    over = trio.current_time() + TURN
                hear(datagram, Flow(Transport.UDP, source, one.address))

    def put(self, out: sip.Output) -> None:
        """Do what the agent wants done."""
        if isinstance(out, sip.Close):
            self.streams.close(out.flow)
        elif out.to.transport.reliable:
            self.streams.send(out.octets, out.to)
        elif (one := self._socket(out.to)) is not None:
            one.send(out.octets, out.to.address)
        else:
            why = f"SIP over UDP is not served for addresses such as {out.to.address[0]}"
            self._hooks.unreachable(out.to, why, b"")

    def _undelivered(self, octets: bytes, to: Address, why: str) -> None:
        """A datagram did not arrive: its request fails, and the operator hears of it now and then."""
        sentence = f"{format_address(to)} cannot be reached over UDP: {why}"
        if self._seldom.may_tell_of(to, trio.current_time()):
            self._hooks.say(sentence)
        self._hooks.unreachable(Hop(Transport.UDP, *to), sentence, octets)

    def _socket(self, to: Flow | Hop) -> UdpSocket | None:
        """The socket that is named, else one of the family."""
        family = [one for one in self._udp if (":" in one.address[0]) is (":" in to.address[0])]
        return next((one for one in family if one.address == to.local), family[0] if family else None)

    def close(self) -> None:
        """Close everything that is bound."""
        for one in self._udp:
            one.close()
        for listener in self._listeners:
            listener.close()


def _unserved(places: Iterable[Listen]) -> list[tuple[str, Transport]]:
    """Hosts and streams that are not listened on: calls by them are made, and answered on their own connection.

    Their port is held all the same, for Via and Contact name it.
    """
    served = {(":" in place.host, place.transport) for place in places}
    hosts = {":" in place.host: place.host for place in reversed(list(places))}
    streams = (Transport.TCP, Transport.TLS)
    return [(host, one) for six, host in hosts.items() for one in streams if (six, one) not in served]


def shown_as(host: str, public_address: str | None) -> str:
    """What others are told of a bound host."""
    if public_address is not None and (":" in public_address) is (":" in host):
        return public_address
    if not ipaddress.ip_address(host.partition("%")[0]).is_unspecified:
        return host
    try:
        return address_towards(("2001:db8::1" if ":" in host else "192.0.2.1", 9))  # RFC 5737, RFC 3849
    except LinkError:  # no way out of this machine: nobody but itself can call
        return "::1" if ":" in host else "127.0.0.1"
