"""NAT at the rim: what each side is told of our address, and the ways that are kept open.

Owns      the STUN servers and what becomes of their answers; what trunks are told; keep-alives of the SIP socket.
Not here  asking a STUN server (stun_desk.py), what peers tell of us (transports/sip/shown.py), symmetric media
          (leg_lock.py), which trunk a host is of (trunks/book.py).
"""

import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Final

import trio

from vfax.errors import LinkError
from vfax.resolving import Finder
from vfax.sockets import Sockets, shown_as
from vfax.stun_desk import StunDesk, StunRim
from vfax.transports.sip.agent import Agent
from vfax.transports.sip.hops import Local
from vfax.transports.sip.keepalive import KeepAlive, KeepAliveMode, KeepAliveOptions
from vfax.transports.sip.options import Dice
from vfax.transports.sip.shown import Told
from vfax.transports.sip.values import Address, Destination, Flow, Hop, Transport
from vfax.transports.stun_client import StunOptions
from vfax.transports.udp import UdpSocket, address_towards
from vfax.trunks.book import TrunkBook
from vfax.trunks.options import OWN_ADDRESS, TrunkOptions

STUN_PORT: Final = 3478


@dataclass(frozen=True, slots=True, kw_only=True)
class NatOptions:
    """What is done about a NAT between us and those who belong to no trunk; times in seconds."""

    keep_alive: KeepAliveOptions = field(default_factory=KeepAliveOptions)
    stun_server: Address | None = None  # its name or address, and port; None: STUN is not used
    stun: StunOptions = field(default_factory=StunOptions)
    stun_media_limit: float = 2.0  # how long a call waits to hear how others see its media socket


class Nat:
    """What stands between our SIP sockets and the others.

    `tell` hears a sentence for each thing that changes; `moved` is called when others may be told another address.
    """

    def __init__(
        self,
        options: NatOptions,
        agent: Agent,
        sockets: Sockets,
        finder: Finder,
        dice: Dice,
        tell: Callable[[str], None],
        *,
        book: TrunkBook | None = None,
        moved: Callable[[], None] = lambda: None,
    ) -> None:
        self._options = options
        self._agent = agent
        self._sockets = sockets
        self._dice = dice
        self._moved = moved
        self._book = book or TrunkBook()
        self._own = agent.local  # what is told without STUN
        bound = next((one.bound for one in agent.local.places if one.transport is Transport.UDP), None)
        servers = dict.fromkeys((options.stun_server, *(one.stun_server for one in self._book.trunks if one.enabled)))
        self._desks: dict[Address, StunDesk] = {}
        if bound is not None:
            rim = StunRim(options.stun, bound, sockets, finder, dice, tell, self._heard_of_stun)
            self._desks = {server: StunDesk(server, rim) for server in servers if server is not None}
        agent.shown.guide = self.told

    def hear(self, datagram: bytes, flow: Flow) -> bool:
        """Take a datagram of the SIP socket if it is a STUN server's answer. False when it is not."""
        return any(desk.hear(datagram, flow) for desk in self._desks.values())

    async def run(self, kept: Callable[[], Iterable[Destination]]) -> None:
        """Do all that until cancelled; `kept` are ways to keep open besides those of the calls."""
        async with trio.open_nursery() as nursery:
            if self._keepers():
                nursery.start_soon(self._keep_open, kept)
            for desk in self._desks.values():
                nursery.start_soon(desk.run)

    # --- our address --------------------------------------------------------------------------------

    def told(self, to: Destination) -> Told | None:
        """What `to` is told of our address for the sake of its trunk (`shown.Guide`)."""
        trunk = self._trunk_of(to)
        if trunk is None:
            return None
        if (public := trunk.public_address) is not None:
            if public == OWN_ADDRESS:
                return Told((self._own_host(to), 0), firm=True)
            if _same_family(public[0], to.address[0]):
                return Told(public, firm=True)
        supposed = self._supposed(trunk, to)
        if not trunk.learn_address:
            return Told(supposed or self._agent.local.towards(to), firm=True)
        return None if supposed is None else Told(supposed, firm=False)

    def in_use(self, to: Destination) -> Address | None:
        """What `to` is told of our address where it is not simply that of our socket, or nobody can be told another."""
        found = self._agent.shown.find(to)
        host, port = found or self._agent.local.towards(to)
        if found is None and host == self._own_host(to):
            return None
        return host, port or self._agent.local.towards(to)[1]

    def media_host(self, trunk: TrunkOptions | None, peer: Address, bound: str) -> str:
        """The address of ours that stands in SDP for a peer, where STUN is not asked about the socket itself.

        Raises LinkError when there is no way to the peer.
        """
        public = trunk.public_address if trunk is not None else None
        # Whatever SIP goes by: the host of the box is the same for media.
        shown = (self._agent.shown.find(Hop(transport, *peer)) for transport in Transport)
        told = self._agent.local.towards(Hop(Transport.UDP, *peer))
        found = public or next((one for one in shown if one is not None), told)
        if public != OWN_ADDRESS and found[0] != shown_as(bound, None) and _same_family(found[0], bound):
            return found[0]
        return address_towards(peer) if _is_anywhere(bound) else bound

    async def media_address(self, trunk: TrunkOptions | None, socket: UdpSocket) -> Address | None:
        """How others see a media socket, by its own question to a STUN server; None when it is not said in time."""
        if trunk is not None and trunk.public_address is not None:
            return None
        server = trunk.stun_server if trunk is not None else self._options.stun_server
        desk = self._desks.get(server) if server is not None else None
        return None if desk is None else await desk.media_address(socket, self._options.stun_media_limit)

    def _heard_of_stun(self) -> None:
        """What the STUN server of everybody says stands in all messages; that of a trunk in those to the trunk."""
        mapped = self._mapped(self._options.stun_server)
        places = self._own.places
        if mapped is not None:
            first = next(place for place in places if place.transport is Transport.UDP)
            places = tuple(replace(place, shown=mapped) if place is first else place for place in places)
        self._agent.local = Local(places)
        self._moved()

    def _mapped(self, server: Address | None) -> Address | None:
        desk = self._desks.get(server) if server is not None else None
        return None if desk is None else desk.mapped

    def _supposed(self, trunk: TrunkOptions, to: Destination) -> Address | None:
        """What a trunk is told until it says otherwise, where its STUN server is not that of everybody."""
        if trunk.stun_server == self._options.stun_server:
            return None
        mapped = self._mapped(trunk.stun_server) if to.transport is Transport.UDP else None
        return mapped if mapped is not None and _same_family(mapped[0], to.address[0]) else self._own.towards(to)

    def _own_host(self, to: Destination) -> str:
        """The host of our SIP socket towards `to`."""
        host = self._sockets.host_towards(to.address[0])
        if not _is_anywhere(host):
            return host
        try:
            return address_towards(to.address)
        except LinkError:
            return self._own.towards(to)[0]

    def _trunk_of(self, to: Destination) -> TrunkOptions | None:
        # Limit: of trunks on one host and port the first is meant.
        return self._book.of_incoming(to.address[0], port=to.address[1]) if len(self._book) else None

    # --- keep-alives --------------------------------------------------------------------------------

    def _keepers(self) -> list[KeepAliveOptions]:
        """All the ways in which ways are kept open."""
        found = [self._options.keep_alive, *(one.keep_alive for one in self._book.trunks if one.enabled)]
        return [one for one in found if one.mode is not KeepAliveMode.OFF]

    async def _keep_open(self, kept: Callable[[], Iterable[Destination]]) -> None:
        shortest = min(one.interval for one in self._keepers())
        keeper = KeepAlive(shortest, self._dice, trio.current_time())
        while True:
            await trio.sleep_until(keeper.next_timeout())
            keeper.handle_timeout(trio.current_time(), self._ways(kept()))
            for out in keeper.take_output():
                self._sockets.put(out)

    def _ways(self, kept: Iterable[Destination]) -> dict[Destination, float]:
        """What is to be kept open, and the interval of each."""
        ways: dict[Destination, float] = {}
        wanted = [(way, True) for way in kept] + [(way, False) for way in self._agent.peers]
        for way, anyhow in wanted:
            trunk = self._trunk_of(way)
            options = self._options.keep_alive if trunk is None else trunk.keep_alive
            if way.transport is not Transport.UDP or options.mode is KeepAliveMode.OFF or way in ways:
                continue
            if anyhow or options.mode is KeepAliveMode.CRLF or self._is_behind(way):
                ways[way] = options.interval
        return ways

    def _is_behind(self, way: Destination) -> bool:
        """Whether an answer, STUN or a trunk's own public address has shown a NAT on the way."""
        own = self._own.towards(way)
        shown = self._agent.shown.find(way) or self._mapped(self._options.stun_server) or own
        return shown[0] not in (own[0], self._own_host(way)) or shown[1] not in (0, own[1])


def _is_anywhere(host: str) -> bool:
    return ipaddress.ip_address(host.partition("%")[0]).is_unspecified


def _same_family(host: str, other: str) -> bool:
    return (":" in host) is (":" in other)
