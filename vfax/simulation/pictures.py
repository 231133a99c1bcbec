"""Pages drawn by dice: what people fax, and what codes find hard.

Owns      kinds of pictures and how each is drawn.
Not here  how many pages a scenario has, and their size (scenario.py); coding them (codecs/).

Every page begins with a mark of its own, so that no two pages of a fax are the same.
"""

from collections.abc import Callable
from enum import StrEnum
from random import Random
from typing import Final

MARK_ROWS: Final = 4
_MARK_BITS: Final = 24


class Picture(StrEnum):
    """What is on a page."""

    BLANK = "blank"
    TEXT = "text"
    RULED = "ruled"
    SCREEN = "screen"
    NOISE = "noise"


def draw(dice: Random, picture: Picture, *, width_px: int, rows: int, number: int) -> bytes:
    """Packed rows, 1 = black; begins with a mark made of the page's number and of chance."""
    octets = (width_px + 7) // 8
    mark = number << 16 | dice.getrandbits(16)
    head = b"".join(b"\xff" if mark >> bit & 1 else b"\0" for bit in reversed(range(_MARK_BITS)))
    top = [(b"\0" * 4 + head).ljust(octets, b"\0")] * min(rows, MARK_ROWS)
    return b"".join(top + _DRAW[picture](dice, octets, rows - len(top)))


def _blank(dice: Random, octets: int, rows: int) -> list[bytes]:
    return [bytes(octets)] * rows


def _text(dice: Random, octets: int, rows: int) -> list[bytes]:
    """Lines of strokes: what a typed page is to a coder."""
    drawn: list[bytes] = []
    while len(drawn) < rows:
        words = dice.randrange(octets // 4, octets - 12)
        for _ in range(4):  # strokes of a letter's height
            row = bytearray(octets)
            for at in range(8, words, dice.randrange(2, 5)):
                row[at] = dice.choice((0x18, 0x3C, 0x7E, 0x66, 0x0F))
            drawn += [bytes(row)] * 3
        drawn += [bytes(octets)] * 6
    return drawn[:rows]


def _ruled(dice: Random, octets: int, rows: int) -> list[bytes]:
    """A form: columns all the way down, a black rule now and then."""
    columns = bytes(0xC0 if at % dice.randrange(7, 30) == 0 else 0 for at in range(octets))
    return [b"\xff" * octets if at % 24 == 0 else columns for at in range(rows)]


def _screen(dice: Random, octets: int, rows: int) -> list[bytes]:
    """A halftone: short runs everywhere, alike from row to row."""
    first, second = dice.choice(((0x55, 0xAA), (0x33, 0xCC), (0x11, 0x44)))
    return [bytes((first if at % 2 else second,)) * octets for at in range(rows)]


def _noise(dice: Random, octets: int, rows: int) -> list[bytes]:
    """A photograph of a carpet: a strip without any order, white beside it."""
    strip = dice.randrange(4, octets // 3)
    return [dice.randbytes(strip).rjust(octets // 2, b"\0").ljust(octets, b"\0") for _ in range(rows)]


_DRAW: Final[dict[Picture, Callable[[Random, int, int], list[bytes]]]] = {
    Picture.BLANK: _blank,
    Picture.TEXT: _text,
    Picture.RULED: _ruled,
    Picture.SCREEN: _screen,
    Picture.NOISE: _noise,
}
