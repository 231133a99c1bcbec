"""Fax documents for the checks: white pages to send, and a look at what was received, without any codec of ours.

Owns      the smallest TIFF Class F writer and reader that the checks need.
Not here  everything else about TIFF (vfax/codecs/tiff.py).
Source    TIFF 6.0; T.6: a white line under a white line is one V0 code, "1"; EOFB is 000000000001 twice;
          Fax Image Format: TIFF Class F, MMR, byte order of the processor.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vfax.fsp.conformance.rules import Broken

WIDTH: Final = 1728
ROWS: Final = 200
MMR: Final = 4
MAX_PAGES: Final = 1000
_EOFB: Final = "000000000001" * 2
_SHORT, _LONG, _RATIONAL = 3, 4, 5


@dataclass(frozen=True, slots=True)
class Sheet:
    """One page as the tags have it."""

    width: int
    rows: int
    compression: int


def white_page() -> bytes:
    """An empty page in MMR, most significant bit first."""
    bits = "1" * ROWS + _EOFB
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def write_document(path: Path, pages: int) -> None:
    """Write a document of white pages, 204 x 98 dpi."""
    octets = bytearray(struct.pack("<2sHI", b"II", 42, 0))
    link = 4  # where the offset of the next directory belongs
    for number in range(pages):
        strip, data = len(octets), white_page()
        octets += data + bytes(len(data) % 2)
        resolution = len(octets)
        octets += struct.pack("<4I", 204, 1, 98, 1)
        struct.pack_into("<I", octets, link, len(octets))
        octets += _directory(number, pages, strip, len(data), resolution)
        link = len(octets) - 4
    path.write_bytes(octets)


def _directory(number: int, pages: int, strip: int, length: int, resolution: int) -> bytes:
    entries = [
        (254, _LONG, 1, 2),
        (256, _LONG, 1, WIDTH),
        (257, _LONG, 1, ROWS),
        (258, _SHORT, 1, 1),
        (259, _SHORT, 1, MMR),
        (262, _SHORT, 1, 0),
        (266, _SHORT, 1, 1),
        (273, _LONG, 1, strip),
        (277, _SHORT, 1, 1),
        (278, _LONG, 1, ROWS),
        (279, _LONG, 1, length),
        (282, _RATIONAL, 1, resolution),
        (283, _RATIONAL, 1, resolution + 8),
        (293, _LONG, 1, 0),
        (296, _SHORT, 1, 2),
        (297, _SHORT, 2, number | pages << 16),
    ]
    fields = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return struct.pack("<H", len(entries)) + fields + bytes(4)


def read_document(path: Path) -> list[Sheet]:
    """The pages of a document. Raises Broken, naming what is wrong, when it is no TIFF of this byte order."""
    octets = path.read_bytes()
    if octets[:4] != b"II*\0":
        raise Broken(f"the document begins with {octets[:4]!r}, where a little-endian TIFF has b'II*\\x00'")
    sheets: list[Sheet] = []
    try:
        (at,) = struct.unpack_from("<I", octets, 4)
        while at:
            if len(sheets) >= MAX_PAGES:
                raise Broken(f"the document has more than {MAX_PAGES} pages, or its directories go round in a circle")
            sheet, at = _read_directory(octets, at)
            sheets.append(sheet)
    except struct.error as why:
        raise Broken(f"the document is cut off: {why}") from None
    return sheets


def _read_directory(octets: bytes, at: int) -> tuple[Sheet, int]:
    (count,) = struct.unpack_from("<H", octets, at)
    values: dict[int, int] = {}
    for index in range(count):
        tag, kind, _, value = struct.unpack_from("<HHII", octets, at + 2 + 12 * index)
        values[tag] = value & 0xFFFF if kind == _SHORT else value
    (following,) = struct.unpack_from("<I", octets, at + 2 + 12 * count)
    return Sheet(values.get(256, 0), values.get(257, 0), values.get(259, 1)), following
