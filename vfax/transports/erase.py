"""T.38 datagrams without the page data in them: what may be shown to others, and still replayed.

Owns      replacing the octets of page data by zeros of the same number, in UDPTL of either kind of recovery.
Not here  where datagrams are recorded (vfax/record.py, vfax/capture.py).
Source    T.38 (09/2010) Annex A; T.4 (07/2003) Annex A for the four octets that begin a frame of page data.

Left as they are: indicators, V.21 frames (they hold the two identities), the structure and timing of all else, and of
ECM frames address, control, FCF and frame number, so that the procedure can be followed. Where a loss leaves it open
how far a frame has come, nothing of it is kept. A datagram becomes one datagram: redundancy and FEC that repaired a gap
become redundancy, what repaired nothing is left out.
"""

from typing import Final

from vfax.codecs import ifp
from vfax.codecs.ifp import Data, DataType, Field, FieldType, Indication
from vfax.errors import DecodeError
from vfax.transports.udptl import RING, Missing, Packet, Recovery, Repaired

HEADER_OCTETS: Final = 4
"""Octets of an ECM frame that say nothing of the page."""

UNREADABLE: Final = b"\xff"
"""An octet that begins no IFP, and repeated no UDPTL either: stands for what could not be read."""

_FRAME_ENDS: Final = frozenset(
    {FieldType.HDLC_FCS_OK, FieldType.HDLC_FCS_BAD, FieldType.HDLC_FCS_OK_SIG_END, FieldType.HDLC_FCS_BAD_SIG_END}
)
_SOMEWHERE: Final = HEADER_OCTETS  # inside a frame, nobody knows where


class PageEraser:
    """Erases page data from the datagrams of one direction, in the order in which they came."""

    def __init__(self, version: int = 0) -> None:
        self.version = version
        self._recovery = Recovery()
        self._at = _SOMEWHERE  # octets of the frame under way that have gone by, up to HEADER_OCTETS

    def erase(self, datagram: bytes) -> bytes:
        """The datagram without page data; one that is no UDPTL keeps its length alone. Never raises."""
        try:
            packet = Packet.decode(datagram)
        except DecodeError:
            return UNREADABLE * len(datagram)
        erased: list[bytes] = []
        for delivery in self._recovery.receive(packet):
            if isinstance(delivery, Missing):
                self._at = _SOMEWHERE
                erased += [UNREADABLE if self._recovery.sends_empty else b""] * min(delivery.packets, RING)
            elif isinstance(delivery, Repaired):
                erased.append(self._erase_ifp(delivery.ifp, padded=True))
            else:
                erased.append(self._erase_ifp(delivery))
        if not erased:  # repeated, late, or not believed yet: its place in the stream is not known
            self._at, before = _SOMEWHERE, self._at
            erased.append(self._erase_ifp(packet.primary))
            self._at = before
        *earlier, primary = erased
        return Packet(packet.sequence, primary, tuple(reversed(earlier))).encode()

    def _erase_ifp(self, octets: bytes, *, padded: bool = False) -> bytes:
        if not octets:
            return b""
        try:
            value = ifp.decode(octets, self.version, padded=padded)
        except DecodeError:
            self._at = _SOMEWHERE
            return UNREADABLE
        if isinstance(value, Indication):
            self._at = 0
            return ifp.encode(value, ifp.LATEST_VERSION)
        if not isinstance(value, Data) or value.type > DataType.V17_14400:
            self._at = _SOMEWHERE
            return UNREADABLE
        if value.type is DataType.V21 or not value.fields:
            return octets if not padded else ifp.encode(value, self.version)
        kept = tuple(self._erase_field(field) for field in value.fields if field.type <= FieldType.T4_NON_ECM_SIG_END)
        return ifp.encode(Data(value.type, kept), self.version)

    def _erase_field(self, field: Field) -> Field:
        kept = b""
        if field.type is FieldType.HDLC_DATA:
            kept = field.octets[: HEADER_OCTETS - self._at]
            self._at = min(self._at + len(field.octets), HEADER_OCTETS)
        elif field.type in _FRAME_ENDS:
            self._at = 0
        return Field(field.type, kept + bytes(len(field.octets) - len(kept)))
