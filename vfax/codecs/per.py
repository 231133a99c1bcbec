"""The little of aligned PER that T.38 needs: lengths, octet strings, a bit reader and a bit writer.

Owns      the three forms of a length determinant, open types, bit fields with alignment.
Not here  what the bits mean (ifp.py, transports/udptl.py).
Source    X.691 (07/2002), aligned variant: 10.9 (length determinants), 10.6 (normally small numbers).
"""

from typing import Final

from vfax.errors import DecodeError, MisuseError

_SOURCE: Final = "X.691 (07/2002) 10.9"
_FRAGMENT: Final = 16384


def read_length(octets: bytes, at: int) -> tuple[int, int]:
    """One length of 0..16383 at offset `at`: the length and the offset behind it.

    Limit: the fragmented form (16384 and more) is refused here; nothing real counts that far.
    Raises DecodeError.
    """
    if at >= len(octets):
        raise DecodeError("length is missing", offset=at, source=_SOURCE)
    first = octets[at]
    if first < 0x80:
        return first, at + 1
    if first >= 0xC0:
        raise DecodeError("fragmented length", offset=at, source=_SOURCE)
    if at + 1 >= len(octets):
        raise DecodeError("length is cut", offset=at + 1, source=_SOURCE)
    return (first & 0x3F) << 8 | octets[at + 1], at + 2


def read_octets(octets: bytes, at: int) -> tuple[bytes, int]:
    """One octet string (or open type) of any size, fragments joined: its octets and the offset behind it.

    Raises DecodeError; allocates no more than the input holds.
    """
    if at < len(octets) and octets[at] >= 0xC0:
        return _read_fragments(octets, at)
    size, at = read_length(octets, at)
    end = at + size
    if end > len(octets):
        raise DecodeError("octet string is cut", offset=len(octets), source=_SOURCE)
    return octets[at:end], end


def _read_fragments(octets: bytes, at: int) -> tuple[bytes, int]:
    parts: list[bytes] = []
    while at < len(octets) and octets[at] >= 0xC0:
        blocks = octets[at] & 0x3F
        if not 1 <= blocks <= 4:
            raise DecodeError("fragment of an illegal size", offset=at, source=_SOURCE)
        end = at + 1 + blocks * _FRAGMENT
        if end > len(octets):
            raise DecodeError("fragment is cut", offset=len(octets), source=_SOURCE)
        parts.append(octets[at + 1 : end])
        at = end
    size, at = read_length(octets, at)  # the short form that must close the row of fragments, 0 included
    if at + size > len(octets):
        raise DecodeError("octet string is cut", offset=len(octets), source=_SOURCE)
    parts.append(octets[at : at + size])
    return b"".join(parts), at + size


def write_length(size: int) -> bytes:
    """A length of 0..16383 in its shortest form. Raises MisuseError beyond."""
    if 0 <= size < 128:
        return bytes((size,))
    if 0 <= size < _FRAGMENT:
        return (0x8000 | size).to_bytes(2, "big")
    raise MisuseError(f"a length of {size} needs fragments")


def write_octets(octets: bytes) -> bytes:
    """One octet string (or open type) with its length, in fragments from 16384 octets on."""
    if len(octets) < 128:
        return bytes((len(octets),)) + octets
    parts: list[bytes] = []
    at = 0
    while len(octets) - at >= _FRAGMENT:
        blocks = min((len(octets) - at) // _FRAGMENT, 4)
        parts += bytes((0xC0 | blocks,)), octets[at : at + blocks * _FRAGMENT]
        at += blocks * _FRAGMENT
    return b"".join((*parts, write_length(len(octets) - at), octets[at:]))


class BitReader:
    """Bits of `octets`, most significant first, from octet `at` on; `bit` is the position in bits."""

    __slots__ = ("bit", "octets")

    def __init__(self, octets: bytes, at: int) -> None:
        self.octets = octets
        self.bit = at * 8

    def take(self, count: int) -> int:
        """The next `count` bits (up to 9) as a number. Raises DecodeError at the end of the octets."""
        octets = self.octets
        at = self.bit >> 3
        end = self.bit + count
        if end > len(octets) * 8:
            raise DecodeError("bit field is cut", offset=len(octets), source="X.691 (07/2002)")
        self.bit = end
        used = end - at * 8  # bits from the start of the first octet: 16 at most
        if used <= 8:
            return octets[at] >> 8 - used & (1 << count) - 1 if count else 0
        return (octets[at] << 8 | octets[at + 1]) >> 16 - used & (1 << count) - 1

    def align(self) -> int:
        """Skip to the next octet boundary; the padding bits that were skipped, as a number (0 when all were zero)."""
        padding = -self.bit & 7
        return self.take(padding) if padding else 0

    @property
    def at(self) -> int:
        """The offset in octets of an aligned reader."""
        return self.bit >> 3


class BitWriter:
    """Collects bit fields, most significant first, and whole octets after alignment."""

    __slots__ = ("_free", "_octets")

    def __init__(self) -> None:
        self._octets = bytearray()
        self._free = 0  # unused low bits of the last octet

    def put(self, value: int, count: int) -> None:
        """Append `count` bits of `value`."""
        for shift in range(count - 1, -1, -1):
            if not self._free:
                self._octets.append(0)
                self._free = 8
            self._free -= 1
            self._octets[-1] |= (value >> shift & 1) << self._free

    def put_octets(self, octets: bytes) -> None:
        """Pad with zero bits to the next octet, then append `octets`."""
        self._free = 0
        self._octets += octets

    def octets(self) -> bytes:
        """All that was written, the last octet padded with zero bits."""
        return bytes(self._octets)
