"""T.38 over TCP: IFPs in TPKT, both ways.

Owns      cutting a stream into IFPs (`TpktReader`), what a stream carries at a time (`TpktSender`).
Not here  the octets of one TPKT (codecs/ifp.py), connections (tcp.py), when an IFP is due (t38_voice.py).
Source    T.38 (09/2010) for TPKT as deployed, RFC 1006 6 for its octets.

A stream loses nothing, so nothing is numbered and nothing is said twice.
"""

from typing import Final

from vfax.codecs.ifp import unwrap_tpkt, wrap_tpkt

LARGEST_IFP: Final = 306
"""Octets of an IFP that we send: 300 of field data, which libspandsp takes over TCP, and what is around them."""


class TpktReader:
    """Cuts what a connection brings, in whatever pieces, into IFPs.

    Limit: `max_ifp` octets of one IFP. What has not become whole is kept, at most that much and the header.
    """

    __slots__ = ("_max_ifp", "_rest")

    def __init__(self, max_ifp: int = 1500) -> None:
        self._max_ifp = max_ifp
        self._rest = b""

    def feed(self, octets: bytes) -> list[bytes]:
        """The IFPs that have become whole, in order.

        Raises DecodeError when this is no TPKT, or one beyond the limit: the rest of the stream cannot be cut any
        more, so the connection has to be closed. IFPs before that place are lost with it, which no peer of good
        will notices.
        """
        stream = self._rest + octets if self._rest else octets
        packets: list[bytes] = []
        at = 0
        while at < len(stream):
            taken = unwrap_tpkt(stream[at : at + 4 + self._max_ifp], limit=self._max_ifp)
            if taken is None:
                break
            packets.append(taken[0])
            at += taken[1]
        self._rest = stream[at:]
        return packets


class TpktSender:
    """The sending side, with the methods of `udptl.Sender`: every IFP once, none behind it."""

    __slots__ = ()

    def restrict(self, max_datagram: int | None) -> None:
        """Nothing: T38FaxMaxDatagram speaks of datagrams."""

    def capacity(self, depth: int) -> int:
        """Octets of the largest IFP; `depth` means nothing here."""
        return LARGEST_IFP

    def send(self, ifp: bytes, depth: int, *, fitting: bool = False) -> bytes:
        """The octets for the stream."""
        return wrap_tpkt(ifp)
