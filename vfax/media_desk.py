"""Media sockets for the calls of an endpoint, and the address that SDP names for each.

Owns      which port comes next, what of our addresses a peer is told, our side of a call's offer/answer.
Not here  what is in the SDP (transports/sip/negotiation.py), DTLS (securing.py), asking STUN (nat.py).
"""

import ipaddress
import random
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import repeat

from vfax.endpoint_options import EndpointOptions
from vfax.leg import LegOptions
from vfax.nat import Nat
from vfax.securing import Securing
from vfax.sockets import shown_as
from vfax.transports.sip.negotiation import MediaSession
from vfax.transports.sip.secure import DtlsSide
from vfax.transports.sip.shown import Shown
from vfax.transports.sip.values import Address, Hop, Transport
from vfax.transports.tcp import MediaSocket
from vfax.transports.udp import address_towards


@dataclass(frozen=True, slots=True)
class MediaWay:
    """The way to one peer: where our socket is bound, what is known of how others see us.

    `public` is what the peer's trunk has us say, None where it says nothing.
    """

    peer: Address
    bound: str
    shown: Shown
    nat: Nat | None
    public: str | None


class MediaDesk:
    """Opens media sockets, one call after the other."""

    def __init__(self, options: EndpointOptions, securing: Securing, dice: random.Random) -> None:
        self._options = options
        self._securing = securing
        self._dice = dice
        self._turn = 0

    async def open(self, way: MediaWay, options: LegOptions) -> tuple[MediaSocket, MediaSession]:
        """A socket and our side of the offer/answer that names it. Raises FaxError when there is none."""
        host = self._shown_to(way) if way.public is None else shown_as(way.bound, way.public)
        secure = self._securing.side(options)
        socket = self._securing.open(way.bound, self._ports(), secure)
        try:
            asks = way.nat is not None and way.public is None
            mapped = await way.nat.media_address(socket) if way.nat is not None and asks else None
            host, port = mapped or (host, socket.address[1])
            return socket, self._session(host, port, options, secure)
        except BaseException:
            socket.close()
            raise

    def _shown_to(self, way: MediaWay) -> str:
        """The address of ours that stands in SDP for the peer."""
        public, bound = self._options.public_address, way.bound
        if public is not None and shown_as(bound, public) != bound:
            return public
        if (shown := way.shown.find(Hop(Transport.UDP, *way.peer))) is not None:
            return shown[0]
        mapped = way.nat.mapped if way.nat is not None else None
        if mapped is not None and (":" in mapped[0]) is (":" in bound):
            return mapped[0]
        return address_towards(way.peer) if ipaddress.ip_address(bound).is_unspecified else bound

    def _session(self, host: str, port: int, options: LegOptions, secure: DtlsSide | None) -> MediaSession:
        return MediaSession(
            host=host,
            port=port,
            parameters=options.t38,
            session_id=self._dice.randrange(1, 1 << 31),
            tcp=options.tcp,
            codecs=options.audio_codecs,
            dtls=secure,
        )

    def _ports(self) -> Iterable[int]:
        """The ports to try, from behind the one tried first last time: late media of a call must not meet the next."""
        if self._options.media_ports is None:
            return repeat(0, 64)
        low, high = self._options.media_ports
        ports = range(low + low % 2, high + 1, 2)
        self._turn = (self._turn + 1) % max(1, len(ports))
        return (*ports[self._turn :], *ports[: self._turn])
