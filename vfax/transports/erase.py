"""T.38 datagrams without the page data and passwords in them: what may be shown to others, and still replayed.

Owns      replacing the octets of page data by zeros of the same number, in UDPTL of either kind of recovery, and those
          of passwords (SID, PWD) by as many digits 0; the same of frames, texts and audio.
Not here  where datagrams are recorded (vfax/record.py, vfax/capture.py).
Source    T.38 (09/2010) Annex A; T.4 (07/2003) Annex A for the four octets that begin a frame of page data.

Left as they are: indicators, other V.21 frames (they hold the two identities), the structure and timing of all else,
and of ECM frames address, control, FCF and frame number, so that the procedure can be followed. Where a loss leaves it
open how far a frame has come, nothing of it is kept. A datagram becomes one datagram: redundancy and FEC that repaired
a gap become redundancy, what repaired nothing is left out.
"""

import re
from typing import Final

from vfax.codecs import ifp
from vfax.codecs.frames import Fcf
from vfax.codecs.ifp import Data, DataType, Field, FieldType, Indication
from vfax.errors import DecodeError
from vfax.transports.udptl import RING, Missing, Packet, Recovery, Repaired

HEADER_OCTETS: Final = 4
"""Octets of an ECM frame that say nothing of the page."""

UNREADABLE: Final = b"\xff"
"""Repeated no UDPTL; alone what begins IFPs of extensions, which are left alone: stands for either."""
LOST: Final = b"\x5e"
"""An octet that begins no IFP at all: stands for one that could not be read or never came."""

RTP_HEADER: Final = 12
"""Octets of RTP and RTCP that say nothing of what is heard."""

SECRETS: Final = frozenset({Fcf.PWD, Fcf.SID})
"""Frames whose text is a password."""

_KEYS: Final = re.compile(rb"(?im)^((?:proxy-)?authorization[ \t]*:|a=crypto:)((?:[^\r\n]|\r?\n[ \t])*)")
_TEXT_BEGINS: Final = 3  # behind address, control and FCF
_BLANK, _ZERO = 0x04, 0x0C  # the characters " " and "0", as T.30 (09/2005) 5.3.6.2.4 sends them
_FRAME_ENDS: Final = frozenset(
    {FieldType.HDLC_FCS_OK, FieldType.HDLC_FCS_BAD, FieldType.HDLC_FCS_OK_SIG_END, FieldType.HDLC_FCS_BAD_SIG_END}
)
_SOMEWHERE: Final = HEADER_OCTETS  # inside a frame, nobody knows where


def hide_text(text: str) -> str:
    """A password with its length alone."""
    return "".join(one if one == " " else "0" for one in text)


def hide_frame(octets: bytes) -> bytes:
    """A control frame; of one with a password the length alone."""
    return octets[:_TEXT_BEGINS] + _hide(octets[_TEXT_BEGINS:]) if _is_secret(octets) else octets


def silence(datagram: bytes) -> bytes:
    """RTP or RTCP without what is heard."""
    return datagram[:RTP_HEADER] + bytes(max(0, len(datagram) - RTP_HEADER))


def hide_keys(message: bytes) -> bytes:
    """A SIP message of the same length, without what proves a password (RFC 8760) or decodes audio (RFC 4568)."""
    return _KEYS.sub(lambda found: found[1] + b"x" * len(found[2]), message)


def _is_secret(frame: bytes | bytearray) -> bool:
    return len(frame) >= _TEXT_BEGINS and Fcf.of(frame[_TEXT_BEGINS - 1]) in SECRETS


def _hide(octets: bytes) -> bytes:
    return bytes(one if one == _BLANK else _ZERO for one in octets)


class PageEraser:
    """Erases page data and passwords from the datagrams of one direction, in the order in which they came."""

    def __init__(self, version: int = 0) -> None:
        self.version = version
        self._recovery = Recovery()
        self._at = _SOMEWHERE  # octets of the frame under way that have gone by, up to HEADER_OCTETS
        self._head: bytearray | None = bytearray()  # the first octets of the V.21 frame under way; None: not known

    def erase(self, datagram: bytes) -> bytes:
        """The datagram without page data; one that is no UDPTL keeps its length alone. Never raises."""
        try:
            packet = Packet.decode(datagram)
        except DecodeError:
            return UNREADABLE * len(datagram)
        erased: list[bytes] = []
        for delivery in self._recovery.receive(packet):
            if isinstance(delivery, Missing):
                self._at, self._head = _SOMEWHERE, None
                erased += [LOST if self._recovery.sends_empty else b""] * min(delivery.packets, RING)
            elif isinstance(delivery, Repaired):
                erased.append(self._erase_ifp(delivery.ifp, padded=True))
            else:
                erased.append(self._erase_ifp(delivery))
        if not erased:  # repeated, late, or not believed yet: its place in the stream is not known
            before = self._at, self._head
            self._at, self._head = _SOMEWHERE, None
            erased.append(self._erase_ifp(packet.primary))
            self._at, self._head = before
        *earlier, primary = erased
        return Packet(packet.sequence, primary, tuple(reversed(earlier))).encode()

    def _erase_ifp(self, octets: bytes, *, padded: bool = False) -> bytes:
        if not octets:
            return b""
        try:
            value = ifp.decode(octets, self.version, padded=padded)
        except DecodeError:
            self._at = _SOMEWHERE
            return LOST
        if isinstance(value, Indication):
            self._at, self._head = 0, bytearray()
            return ifp.encode(value, ifp.LATEST_VERSION)
        if not isinstance(value, Data) or value.type > DataType.V17_14400:
            self._at = _SOMEWHERE
            return UNREADABLE
        if value.type is DataType.V21 and value.fields:
            told = Data(value.type, tuple(self._hide_field(field) for field in value.fields))
            return octets if told == value and not padded else ifp.encode(told, self.version)
        if not value.fields:
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

    def _hide_field(self, field: Field) -> Field:
        """A field of V.21, whose frames come octet by octet."""
        told = bytearray()
        for octet in field.octets:
            if self._head is None:
                told.append(_ZERO)
            elif len(self._head) < _TEXT_BEGINS:
                self._head.append(octet)
                told.append(octet)
            else:
                told += _hide(bytes((octet,))) if _is_secret(self._head) else bytes((octet,))
        if field.type in _FRAME_ENDS:
            self._head = bytearray()
        return Field(field.type, bytes(told))
