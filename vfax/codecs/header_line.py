"""The line on top of a sent page: when, from whom, to whom, which page.

Owns      its words, which of them are cut when there is no room, and its pixels at every resolution.
Not here  what the time is and who is who (vfax/sheets.py); joining it to the page (vfax/sheets.py).
Source    The law of several countries asks for such a line (USA: 47 CFR 68.318(d)); its form is ours.

The font comes with Pillow and has the letters of ASCII. It is drawn with square pixels and then made as flat as the
resolution is, so that it can still be read at 98 rows per inch. Whatever the names are made of, there is a line: other
letters are written without their accents, or as a question mark; a word of nothing but those is left out.
"""

import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from vfax.codecs.dis import Resolution

TEXT_MM: Final = 3.1  # size of the font, nearly nine points
LINE_MM: Final = 4.2
MARGIN_MM: Final = 8.0  # nothing nearer to the edge of the paper: machines do not print there
GAP: Final = 2  # widths of an "m" between two parts
INK: Final = 112  # of 255, from which a pixel is black: hair lines that were made flat stay
MAX_LETTERS: Final = 120
"""Limit: letters of one name that are looked at."""

# Letters that have no accent to lose.
_BARE: Final = {"Ł": "L", "ł": "l", "Đ": "D", "đ": "d", "Ø": "O", "ø": "o", "ı": "i", "ß": "ss", "Æ": "AE", "æ": "ae"}
_ELLIPSIS: Final = "..."
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderLine:
    """What the line says: `when` as it is to be printed, names of both ends (may be empty), pages of the document."""

    when: str
    sender: str = ""
    recipient: str = ""
    pages: int = 1


def header_rows(resolution: Resolution) -> int:
    """Rows that a header line adds to a page."""
    return round(LINE_MM * resolution.rows_per_100_mm / 100)


def draw_header(line: HeaderLine, number: int, width_px: int, resolution: Resolution) -> bytes:
    """`header_rows` packed rows, 1 = black, for page `number` (from 1).

    Raises ImportError when Pillow was built without FreeType.
    """
    dots_mm = resolution.x_dpi / 25.4
    font = _font(round(TEXT_MM * dots_mm))
    height = round(LINE_MM * dots_mm)
    image = Image.new("L", (width_px, height), 0)
    draw = ImageDraw.Draw(image)
    margin = round(min(MARGIN_MM * dots_mm, width_px / 16))
    page = f"Page {number} of {max(number, line.pages)}"
    right = width_px - margin - _length(font, page)
    words = _fitted(font, line, right - margin)
    draw.text((margin, 0), words, fill=255, font=font)
    draw.text((right, 0), page, fill=255, font=font)
    flat = image.resize((width_px, header_rows(resolution)), Image.Resampling.BOX)
    return flat.point([0] * INK + [255] * (256 - INK), "1").tobytes()


def printable(text: str, font: _Font) -> str:
    """`text` in letters that `font` has, in one line."""
    letters = unicodedata.normalize("NFC", text[:MAX_LETTERS])
    plain = "".join(_plain(font, one) if one.isprintable() else " " for one in letters)
    return " ".join(word for word in plain.split() if word.strip("?"))


def _fitted(font: _Font, line: HeaderLine, room: float) -> str:
    """The left part: the longer of the two names is cut until it fits."""
    names = [printable(line.sender, font), printable(line.recipient, font)]
    when = printable(line.when, font)
    while True:
        words = _joined(when, *names)
        if _length(font, words + "m" * GAP) <= room or not any(names):
            return words
        longer = max((0, 1), key=lambda which: len(names[which]))
        names[longer] = _cut(names[longer])


def _joined(when: str, sender: str, recipient: str) -> str:
    parts = [when, f"From: {sender}" if sender else "", f"To: {recipient}" if recipient else ""]
    return "    ".join(part for part in parts if part)


def _cut(name: str) -> str:
    whole = name.removesuffix(_ELLIPSIS)
    return whole[:-1].rstrip() + _ELLIPSIS if len(whole) > 1 else ""


def _length(font: _Font, text: str) -> float:
    return font.getlength(text)


@lru_cache(maxsize=16)
def _font(size: int) -> _Font:
    return ImageFont.load_default(size)


def _has(font: _Font, letter: str) -> bool:
    """True when the font draws the letter: what it does not have looks like a letter nobody has."""
    return letter == " " or bytes(font.getmask(letter)) != bytes(font.getmask("\U0010fffe"))


@lru_cache(maxsize=1024)
def _plain(font: _Font, letter: str) -> str:
    """The letter itself, else what it is without accents, else a question mark."""
    if _has(font, letter):
        return letter
    bare = _BARE.get(letter) or "".join(one for one in unicodedata.normalize("NFKD", letter) if one.isalnum())
    return bare if bare and all(_has(font, one) for one in bare) else "?"
