"""Which of the two syntaxes of fields the peer really writes.

Owns      the evidence for and against the agreed T38FaxVersion in the packets of a call, and the change of reading.
Not here  the syntaxes (codecs/ifp.py), the agreement (sip/negotiation.py), what we write ourselves: always the agreed.
Source    T.38 (06/1998) against later editions: the type of a field has three bits or, with an extension flag, four.

Most of a call reads alike in both. The ends of frames do not: version 0 writes "frame good" as version 1 writes "frame
good, end of burst". So a packet testifies when it makes sense in one reading and none in the other.
Quirk: peers that agree to one version and write the other are the oldest fault of T.38 there is.
"""

from typing import Final

from vfax.codecs import ifp
from vfax.codecs.ifp import FieldType
from vfax.errors import DecodeError
from vfax.transports.t38_options import LineCounters

ENOUGH: Final = 2
"""Points against a reading at which it is given up. A packet that cannot be read at all counts that much alone."""
SETTLED: Final = 12
"""Packets for a reading, none against it, after which nobody looks any more."""
MAX_CHANGES: Final = 3
"""Limit: changes of reading in one agreement; a peer that writes both is beyond help."""

_BAD, _NEUTRAL, _GOOD = -1, 0, 1
_HDLC_DATA: Final = int(FieldType.HDLC_DATA)
_SIG_END: Final = int(FieldType.HDLC_SIG_END)
_FCS_OK: Final = int(FieldType.HDLC_FCS_OK)
_FCS_OK_SIG_END: Final = int(FieldType.HDLC_FCS_OK_SIG_END)
_T4_DATA: Final = int(FieldType.T4_NON_ECM_DATA)
_T4_SIG_END: Final = int(FieldType.T4_NON_ECM_SIG_END)
_FINAL: Final = 0xC8  # control octet of the last frame of a V.21 burst
_FCD: Final = 0x60  # never the last frame of a burst


class Syntax:
    """The version to read fields by: the agreed one, until the peer's packets say plainly that it writes the other.

    `watching` is False once nothing is left to find out; then `version` alone is worth asking for.
    """

    __slots__ = ("_against", "_agreed", "_changes", "_counters", "_guess", "_in_favour", "version", "watching")

    def __init__(self, version: int, counters: LineCounters, *, guess: bool) -> None:
        self._counters = counters
        self._guess = guess
        self._agreed = version
        self.version = version
        self.watching = guess
        self._against = self._in_favour = self._changes = 0

    def agree(self, version: int) -> None:
        """A (new) agreement: what was found out holds no longer if the version is another."""
        if version == self._agreed:
            return
        self.version = self._agreed = version
        self.watching = self._guess
        self._against = self._in_favour = self._changes = 0

    def weigh(self, packet: bytes, frame: bytearray) -> None:
        """Take one t30-data packet as evidence; `frame` is what has been assembled before it, and nothing is missing.

        `version` may be another one afterwards, for this packet already.
        """
        if packet[1:3] == b"\x01\x80":  # one field of HDLC octets: alike in both
            return
        other = 0 if self.version else 1
        ours, theirs = _judge(packet, self.version, frame), _judge(packet, other, frame)
        if ours == _GOOD and theirs == _BAD:
            self._against = 0
            self._in_favour += 1
            self.watching = self._in_favour < SETTLED
        elif ours == _BAD and theirs == _GOOD:
            self._in_favour = 0
            self._against += 1 if _readable(packet, self.version) else ENOUGH
            if self._against >= ENOUGH:
                self._change(other)

    def _change(self, version: int) -> None:
        self.version = version
        self._against = 0
        self._changes += 1
        self._counters.misread += 1
        self.watching = self._changes < MAX_CHANGES


def _readable(packet: bytes, version: int) -> bool:
    try:
        ifp.read_data(packet, version)
    except DecodeError:
        return False
    return True


def _judge(packet: bytes, version: int, frame: bytearray) -> int:
    """Whether a packet makes sense in a version, given the octets of a frame that came before it."""
    try:
        data, fields = ifp.read_data(packet, version)
    except DecodeError:
        return _BAD
    head = bytes(frame[:3])
    found = _NEUTRAL
    for kind, octets in fields:
        verdict = _judge_field(data, kind, octets, head)
        if verdict == _BAD:
            return _BAD
        found = max(found, verdict)
        head = (head + octets)[:3] if kind == _HDLC_DATA else b""
    return found


def _judge_field(data: int, kind: int, octets: bytes, head: bytes) -> int:
    """One field, after `head`, the first octets of the frame that is open. `data` 0 is V.21."""
    if kind == _HDLC_DATA:
        return _NEUTRAL if octets else _BAD
    if kind == _T4_DATA:
        return _GOOD if octets and data else _BAD
    if kind == _T4_SIG_END:
        return _BAD if head or not data else _GOOD
    if octets or kind > _T4_SIG_END or (kind == _SIG_END and head):
        return _BAD
    if kind == _FCS_OK and head:
        return _NEUTRAL if head[1:2] == bytes((_FINAL,)) else _GOOD
    if kind == _FCS_OK_SIG_END and len(head) == 3:
        goes_on = head[1] != _FINAL if data == 0 else head[2] == _FCD
        return _BAD if goes_on else _GOOD
    return _NEUTRAL
