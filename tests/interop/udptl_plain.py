"""UDPTL for the test peer, written apart from vfax so that a mistake there is not mirrored here.

Owns      datagram packing and unpacking with redundancy or FEC, and what an IFP packet roughly is.
Not here  IFP contents beyond the first octet: libspandsp reads those.
Source    T.38 UDPTL as every deployed stack writes it.
"""

from enum import StrEnum
from typing import Final

HISTORY: Final = 16
WINDOW: Final = 2000


class Protection(StrEnum):
    """T38FaxUdpEC; values as written in SDP."""

    NONE = "t38UDPNoEC"
    REDUNDANCY = "t38UDPRedundancy"
    FEC = "t38UDPFEC"


class BadDatagramError(Exception):
    """The datagram is not UDPTL; the message says where it breaks."""


def open_type(octets: bytes) -> bytes:
    """A length and the octets; lengths up to 16383 are enough here."""
    length = len(octets)
    return (bytes([length]) if length < 128 else bytes([0x80 | length >> 8, length & 0xFF])) + octets


def parity(rows: list[bytes]) -> bytes:
    """Exclusive or of octet strings, the shorter ones padded with zeros."""
    total, length = 0, max(map(len, rows), default=0)
    for row in rows:
        total ^= int.from_bytes(row.ljust(length, b"\0"), "big")
    return total.to_bytes(length, "big")


def is_image(ifp: bytes) -> bool:
    """Does this packet carry data of a page modem (anything but V.21)? TCF does too."""
    return len(ifp) > 1 and ifp[0] & 0xC0 == 0xC0 and (ifp[0] & 0x20 != 0 or (ifp[0] >> 1) & 0x0F != 0)


class Packer:
    """Outgoing stream: numbers from 0, `depth` older packets (or parity over them) behind each."""

    def __init__(self, protection: Protection = Protection.REDUNDANCY, depth: int = 3) -> None:
        self._protection = protection
        self._depth = depth
        self._sent: list[bytes] = []
        self._first = 0

    def pack(self, ifp: bytes) -> bytes:
        """The next datagram."""
        sequence = self._first + len(self._sent)
        datagram = sequence.to_bytes(4, "big")[2:] + open_type(ifp) + self._tail()
        self._sent.append(ifp)
        if len(self._sent) > HISTORY:
            del self._sent[0]
            self._first += 1
        return datagram

    def _tail(self) -> bytes:
        if self._protection is Protection.FEC:
            return self._parity()
        depth = self._depth if self._protection is Protection.REDUNDANCY else 0
        older = self._sent[-depth:][::-1] if depth else []
        return bytes([0, len(older)]) + b"".join(open_type(ifp) for ifp in older)

    def _parity(self) -> bytes:
        """Row i of m is the exclusive or of packets s + i - k*m, k = 1..span; none until there are enough."""
        rows = self._depth
        span = min(3, len(self._sent) // rows)
        if span == 0:
            return b"\x80\x01\x00\x00"
        end = len(self._sent)  # the index that packet s will have
        parities = [parity([self._sent[end + i - k * rows] for k in range(1, span + 1)]) for i in range(rows)]
        return bytes([0x80, 1, span, rows]) + b"".join(open_type(row) for row in parities)


class Unpacker:
    """Incoming stream: every packet once and in order, gaps filled from what came with it, copies or parity."""

    def __init__(self) -> None:
        self._expected: int | None = None
        self._heard: dict[int, bytes] = {}
        self.recovered = 0
        self.lost = 0

    def unpack(self, datagram: bytes) -> list[tuple[int, bytes]]:
        """Sequence numbers and IFP packets that are new; raises BadDatagramError."""
        sequence, primary, older, rows = split(datagram)
        if self._expected is None:
            self._expected = sequence
        ahead = (sequence - self._expected) & 0xFFFF
        if ahead > WINDOW:
            return []
        fresh = [((sequence - k) & 0xFFFF, older[k - 1]) for k in range(min(ahead, len(older)), 0, -1)]
        if rows and ahead:
            fresh = self._solve(sequence, rows, [(sequence - k) & 0xFFFF for k in range(ahead, 0, -1)])
        self.recovered += len(fresh)
        self.lost += ahead - len(fresh)
        self._expected = (sequence + 1) & 0xFFFF
        self._heard.update([*fresh, (sequence, primary)])
        for old in list(self._heard)[:-HISTORY]:
            del self._heard[old]
        return [(number, ifp) for number, ifp in [*fresh, (sequence, primary)] if ifp]

    def _solve(self, sequence: int, rows: "Rows", gap: list[int]) -> list[tuple[int, bytes]]:
        """A parity row that lacks one packet gives it back, with zeros behind it where it was shorter than the row."""
        found: dict[int, bytes] = {}
        for octets, members in rows:
            missing = [number for number in members if number not in self._heard]
            if len(missing) == 1 and missing[0] in gap:
                found[missing[0]] = parity([octets, *(self._heard[n] for n in members if n != missing[0])])
        return [(number, found[number]) for number in gap if number in found]


Rows = list[tuple[bytes, list[int]]]


def split(datagram: bytes) -> tuple[int, bytes, list[bytes], Rows]:
    """Sequence number, primary, older packets newest first, parity rows with their members; raises BadDatagramError."""
    if len(datagram) < 5:
        raise BadDatagramError(f"only {len(datagram)} octets")
    primary, at = _take(datagram, 2)
    if at >= len(datagram):
        raise BadDatagramError("no error recovery part")
    kind = datagram[at]
    sequence = int.from_bytes(datagram[:2], "big")
    if kind == 0x80:
        return sequence, primary, [], _rows(datagram, at + 1, sequence)
    if kind != 0:
        raise BadDatagramError(f"error recovery octet {kind:02x}")
    count, at = _length(datagram, at + 1)
    older = []
    for _ in range(count):
        ifp, at = _take(datagram, at)
        older.append(ifp)
    if at != len(datagram):
        raise BadDatagramError(f"{len(datagram) - at} octets too many")
    return sequence, primary, older, []


def _rows(datagram: bytes, at: int, sequence: int) -> Rows:
    if datagram[at : at + 1] != b"\1" or at + 2 >= len(datagram):
        raise BadDatagramError(f"FEC part at {at}")
    span = datagram[at + 1]
    count, at = _length(datagram, at + 2)
    rows = []
    for index in range(count):
        octets, at = _take(datagram, at)
        rows.append((octets, [(sequence + index - k * count) & 0xFFFF for k in range(1, span + 1)]))
    if at != len(datagram):
        raise BadDatagramError(f"{len(datagram) - at} octets too many")
    return rows


def _length(datagram: bytes, at: int) -> tuple[int, int]:
    if at >= len(datagram):
        raise BadDatagramError(f"ends in a length at {at}")
    if datagram[at] < 0x80:
        return datagram[at], at + 1
    if datagram[at] >= 0xC0 or at + 1 >= len(datagram):
        raise BadDatagramError(f"length at {at}")
    return (datagram[at] & 0x3F) << 8 | datagram[at + 1], at + 2


def _take(datagram: bytes, at: int) -> tuple[bytes, int]:
    length, at = _length(datagram, at)
    if at + length > len(datagram):
        raise BadDatagramError(f"packet of {length} octets at {at} runs over the end")
    return datagram[at : at + length], at + length
