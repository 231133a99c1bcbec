"""Small pages of every character for the harnesses of T.4, T.6 and TIFF.

Owns      drawing packed rows from dice.
Not here  coding them (vfax.codecs.encode).
"""

import random


def rows_like_a_scan(dice: random.Random, width_px: int, rows: int) -> bytes:
    """Packed rows, 1 = black: each shifted, cut, blackened, whitened or repeated from the one above, or new noise."""
    stride, pad = (width_px + 7) // 8, -width_px % 8
    row, packed = 0, []
    for _ in range(rows):
        left, right = sorted((dice.randrange(width_px + 1), dice.randrange(width_px + 1)))
        part = ((1 << right) - 1) >> left << left
        match dice.randrange(7):
            case 0:
                row = 0
            case 1:
                row = dice.getrandbits(width_px)
            case 2:
                row = (row << dice.randrange(5)) & ((1 << width_px) - 1)
            case 3:
                row >>= dice.randrange(5)
            case 4:
                row |= part
            case 5:
                row &= ~part
        packed.append((row << pad).to_bytes(stride, "big"))
    return b"".join(packed)
