"""T.4 and T.6 held against libtiff (through Pillow): five kinds of page at any width, all three codings, both ways.

Owns      the pages, the two directions, the whole run over every width.
Not here  the sample that every test run takes (test_every_width.py).

    python -m tests.codecs.every_width [FIRST LAST] [--seed N]      every width from 1 to 2600, and some up to 7296
"""

import argparse
import io
import random
import time
from collections.abc import Callable
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from vfax.codecs.dis import Coding
from vfax.codecs.encode import encode_page
from vfax.codecs.t4 import RowDecoder
from vfax.codecs.tiff_file import Field, Tag, read_directories, read_strips, write_file

WIDEST_PX: Final = 7296
LAST_WIDTH: Final = 2600
ROWS: Final = 10

Draw = Callable[[random.Random, int], bytes]
"""Packed rows of a width, 1 = black."""


# --- pages ---------------------------------------------------------------------------------------


def _packed(rows: list[int], width_px: int) -> bytes:
    return b"".join((row << -width_px % 8).to_bytes((width_px + 7) // 8, "big") for row in rows)


def noise(dice: random.Random, width_px: int) -> bytes:
    """Every pixel by itself, denser in some rows than in others."""
    return _packed([_grains(dice, width_px, dice.randrange(1, 8)) for _ in range(ROWS)], width_px)


def _grains(dice: random.Random, width_px: int, density: int) -> int:
    row = dice.getrandbits(width_px)
    for _ in range(density // 2):
        row = row & dice.getrandbits(width_px) if density & 1 else row | dice.getrandbits(width_px)
    return row


def shifted(dice: random.Random, width_px: int) -> bytes:
    """Rows like the one above: a few changes moved by a few pixels, some gone, some new."""
    changes = sorted(dice.sample(range(width_px + 1), min(width_px + 1, dice.randrange(60))))
    rows = []
    for _ in range(ROWS):
        changes = sorted(max(0, min(width_px, at + dice.randrange(-5, 6))) for at in changes)
        if changes and dice.random() < 0.3:
            del changes[dice.randrange(len(changes))]
        if dice.random() < 0.3:
            changes = sorted([*changes, dice.randrange(width_px + 1)])
        row = 0
        for at in changes:
            row ^= (1 << (width_px - at)) - 1
        rows.append(row)
    return _packed(rows, width_px)


def runs(dice: random.Random, width_px: int) -> bytes:
    """Runs around the places where code words change: 63, 64, 65, multiples of 64, 2559 to 2561, the whole width."""
    rows = []
    for _ in range(ROWS):
        row, at = 0, width_px
        while at > 0:
            run = dice.choice((0, 1, 2, 63, 64, 65, 1728, 1791, 1792, 2559, 2560, 2561, 64 * dice.randrange(1, 41)))
            at -= run
            row ^= (1 << max(at, 0)) - 1
        rows.append(row if dice.random() < 0.5 else row ^ (1 << width_px) - 1)
    return _packed(rows, width_px)


def text(dice: random.Random, width_px: int) -> bytes:
    """Small print."""
    image = Image.new("L", (width_px, ROWS), 0)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size=dice.choice((9, 12, 16)))
    words = " ".join(dice.choices(("fax", "of", "machines", "whistle", "Wqgj", "(1234)"), k=width_px // 20 + 1))
    draw.text((dice.randrange(4), -dice.randrange(4)), words, font=font, fill=255)
    return image.point([0] * 128 + [255] * 128).convert("1").tobytes()


def dithered(dice: random.Random, width_px: int) -> bytes:
    """A grey ramp in dots."""
    first, last = dice.randrange(256), dice.randrange(256)
    ramp = bytes(first + (last - first) * x // width_px for x in range(width_px))
    return Image.frombytes("L", (width_px, ROWS), ramp * ROWS).convert("1").tobytes()


KINDS: Final[dict[str, Draw]] = {draw.__name__: draw for draw in (noise, shifted, runs, text, dithered)}


# --- libtiff -------------------------------------------------------------------------------------


def libtiff_encode(raster: bytes, width_px: int, coding: Coding) -> bytes:
    """The strip libtiff makes of packed rows, 1 = black."""
    image = Image.frombytes("1", (width_px, ROWS), raster)
    tags = {int(Tag.ROWS_PER_STRIP): ROWS}
    if coding is not Coding.MMR:
        tags[int(Tag.T4_OPTIONS)] = int(coding is Coding.MR)
    file = io.BytesIO()
    image.save(file, "TIFF", compression="group4" if coding is Coding.MMR else "group3", tiffinfo=tags)
    (directory,) = read_directories(file)
    return b"".join(read_strips(file, directory, 1 << 24))


def libtiff_decode(coded: bytes, width_px: int, coding: Coding) -> bytes:
    """Packed rows of a strip, 1 = black."""
    fields: dict[int, Field] = {
        Tag.IMAGE_WIDTH: Field.long(width_px),
        Tag.IMAGE_LENGTH: Field.long(ROWS),
        Tag.COMPRESSION: Field.short(4 if coding is Coding.MMR else 3),
        Tag.PHOTOMETRIC: Field.short(0),
        Tag.ROWS_PER_STRIP: Field.long(ROWS),
    }
    if coding is not Coding.MMR:
        fields[Tag.T4_OPTIONS] = Field.long(int(coding is Coding.MR))
    file = io.BytesIO()
    write_file(file, [(fields, [coded])])
    octets = Image.open(file, formats=["TIFF"]).tobytes()
    stride, pad = (width_px + 7) // 8, -width_px % 8
    black = bytearray(octet ^ 0xFF for octet in octets)
    for last in range(stride - 1, len(black), stride):
        black[last] = black[last] >> pad << pad
    return bytes(black)


# --- both ways -----------------------------------------------------------------------------------


def decode(coded: bytes, width_px: int, coding: Coding) -> bytes:
    """Packed rows as our decoder sees them."""
    decoder = RowDecoder(coding, width_px)
    decoder.feed(coded)
    decoder.finish()
    return decoder.take_raster()


def disagreements(kind: str, width_px: int, seed: int) -> list[str]:
    """Where we and libtiff see another page; the seed and the width alone make the page."""
    dice = random.Random(f"{seed} {kind} {width_px}")
    raster = KINDS[kind](dice, width_px)
    found = []
    for coding in Coding:
        ours = encode_page(raster, width_px, ROWS, coding, k=dice.choice((2, 4)))
        where = f"{kind} {width_px} px {coding} seed {seed}"
        if libtiff_decode(ours, width_px, coding) != raster:
            found.append(f"{where}: libtiff reads another page than we coded")
        if decode(libtiff_encode(raster, width_px, coding), width_px, coding) != raster:
            found.append(f"{where}: we read another page than libtiff coded")
    return found


def main() -> None:
    """Every width."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("widths", nargs="*", type=int, default=[1, LAST_WIDTH], help="first and last width")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    first, last = options.widths
    dice = random.Random(options.seed)
    widths = [*range(first, last + 1), *sorted(dice.sample(range(LAST_WIDTH + 1, WIDEST_PX), 400)), WIDEST_PX]
    began, found = time.monotonic(), list[str]()
    for width_px in widths:
        for kind in KINDS:
            found += disagreements(kind, width_px, options.seed)
    print(*found, sep="\n", end="\n" if found else "")
    pages = len(widths) * len(KINDS) * len(Coding) * 2
    print(f"{pages} pages of {len(widths)} widths in {time.monotonic() - began:.0f} s: {len(found)} disagreements")
    raise SystemExit(bool(found))


if __name__ == "__main__":
    main()
