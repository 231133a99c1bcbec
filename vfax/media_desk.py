"""Media sockets for the calls of an endpoint, and the address that SDP names for each.

Owns      which port comes next, our side of a call's offer/answer.
Not here  what is in the SDP (transports/sip/negotiation.py), DTLS (securing.py), which address a peer is told (nat.py).
"""

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
from vfax.transports.sip.values import Address
from vfax.transports.tcp import MediaSocket
from vfax.trunks.options import TrunkOptions


@dataclass(frozen=True, slots=True)
class MediaWay:
    """The way to one peer: where our socket is bound, what knows how others see us, the peer's trunk."""

    peer: Address
    bound: str
    nat: Nat | None
    trunk: TrunkOptions | None


class MediaDesk:
    """Opens media sockets, one call after the other."""

    def __init__(self, options: EndpointOptions, securing: Securing, dice: random.Random) -> None:
        self._options = options
        self._securing = securing
        self._dice = dice
        self._turn = 0

    async def open(self, way: MediaWay, options: LegOptions) -> tuple[MediaSocket, MediaSession]:
        """A socket and our side of the offer/answer that names it. Raises FaxError when there is none."""
        nat = way.nat
        host = nat.media_host(way.trunk, way.peer, way.bound) if nat is not None else shown_as(way.bound, None)
        secure = self._securing.side(options)
        socket = self._securing.open(way.bound, self._ports(), secure)
        try:
            mapped = await nat.media_address(way.trunk, socket) if nat is not None else None
            host, port = mapped or (host, socket.address[1])
            return socket, self._session(host, port, options, secure)
        except BaseException:
            socket.close()
            raise

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
