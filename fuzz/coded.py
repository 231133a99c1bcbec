"""What the harnesses of T.4 and T.6 share: a coded page, tried whole, in pieces, and coded again.

Owns      the head of their inputs (two octets width, one octet for the pieces), the oracle.
Not here  which coding (targets/mh.py, mr.py, mmr.py).
"""

import random
from typing import Final

from fuzz.pages import rows_like_a_scan
from vfax.codecs.dis import Coding
from vfax.codecs.encode import encode_page
from vfax.codecs.t4 import DecodeLimits, RowDecoder

WIDTHS: Final = (1, 7, 8, 9, 33, 64, 100, 511, 1728, 2432, 2561, 7296)
LIMITS: Final = DecodeLimits(max_rows=300)
EOL: Final = b"\x00\x10\x01\x00\x80\x08"


def seeds(coding: Coding) -> list[bytes]:
    """A page of every width."""
    dice = random.Random(coding.value)
    pages = []
    for width in WIDTHS:
        coded = encode_page(rows_like_a_scan(dice, width, 12), width, 12, coding, k=4)
        pages.append(width.to_bytes(2, "big") + bytes([dice.randrange(256)]) + coded)
    return pages


def run(coding: Coding, data: bytes) -> None:
    """Rows within their limits, the same for any split; sound rows come back when they are coded again."""
    if len(data) < 3:
        return
    width, step, coded = int.from_bytes(data[:2], "big") % 8000 + 1, data[2] or 1, data[3:]
    whole = RowDecoder(coding, width, LIMITS)
    whole.feed(coded)
    whole.finish()
    raster = whole.take_raster()
    stride = (width + 7) // 8
    assert len(raster) == whole.rows * stride, "rows that are not whole"
    assert whole.rows <= LIMITS.max_rows
    assert 0 <= whole.longest_bad_run <= whole.bad_rows <= whole.rows
    assert _in_pieces(coding, width, step, coded) == (raster, whole.bad_rows, whole.ended, whole.limit)
    if not whole.rows:
        return
    again = RowDecoder(coding, width)
    again.feed(encode_page(raster, width, whole.rows, coding, k=step))
    again.finish()
    assert again.take_raster() == raster, "rows that cannot be coded again"
    assert again.ended
    assert not again.bad_rows


def _in_pieces(coding: Coding, width: int, step: int, coded: bytes) -> tuple[bytes, int, bool, str]:
    decoder = RowDecoder(coding, width, LIMITS)
    rows = []
    for at in range(0, len(coded), step):
        decoder.feed(coded[at : at + step])
        rows += decoder.take_rows()
    decoder.finish()
    return b"".join(rows + decoder.take_rows()), decoder.bad_rows, decoder.ended, decoder.limit
