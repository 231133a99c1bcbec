"""Megapixels per second of our page decoders beside libtiff, on the same pages, in one run.

Owns      the pages (drawn here, no files) and the table.
Not here  correctness: the tests compare pixels, this only refuses to time a page that differs.

    python bench/codecs.py [--pages text,blank,dense,photo] [--repeat N]

"ours" is octets in 54-octet packets to packed rows out; "libtiff" is Pillow opening and loading the same code
as a TIFF file in memory. CPU time, the best of N runs of each, taken in turns.
"""

import argparse
import io
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from vfax.codecs.dis import Coding
from vfax.codecs.encode import encode_page
from vfax.codecs.t4 import RowDecoder
from vfax.codecs.tiff_file import Field, Tag, write_file

WIDTH_PX, ROWS = 1728, 1100  # an A4 page at standard resolution
PACKET_OCTETS = 54  # 30 ms at 14 400 bit/s
TEXT = (
    "the quick brown fox jumps over a lazy dog while fax machines keep whistling pages of text with tables and figures"
)


def text_page() -> Image.Image:
    """A typed letter: about 19 KB of MMR."""
    dice = random.Random(1)
    page = Image.new("L", (WIDTH_PX, 2 * ROWS), 255)  # drawn with square pixels, then flattened
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size=27)
    for line in range(27):
        words = " ".join(dice.choices(TEXT.split(), k=14)).capitalize()
        draw.text((110, 120 + 72 * line), words[:95], font=font, fill=0)
    return page.resize((WIDTH_PX, ROWS), Image.Resampling.LANCZOS).point([0] * 128 + [255] * 128)


def blank_page() -> Image.Image:
    """Nothing."""
    return Image.new("L", (WIDTH_PX, ROWS), 255)


def dense_page() -> Image.Image:
    """Small print from edge to edge."""
    dice = random.Random(2)
    page = Image.new("L", (WIDTH_PX, ROWS), 255)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size=15)
    for y in range(0, ROWS, 16):
        draw.text((4, y), " ".join(dice.choices(TEXT.split(), k=60)), font=font, fill=0)
    return page.point([0] * 128 + [255] * 128)


def photo_page() -> Image.Image:
    """A dithered gradient: what no fax coding was made for."""
    return Image.linear_gradient("L").resize((WIDTH_PX, ROWS))


PAGES: dict[str, Callable[[], Image.Image]] = {
    "text": text_page,
    "blank": blank_page,
    "dense": dense_page,
    "photo": photo_page,
}


def decode(coded: bytes, coding: Coding) -> bytes:
    decoder = RowDecoder(coding, WIDTH_PX)
    for at in range(0, len(coded), PACKET_OCTETS):
        decoder.feed(coded[at : at + PACKET_OCTETS])
    decoder.finish()
    return decoder.take_raster()


def tiff_of(coded: bytes, coding: Coding) -> bytes:
    fields: dict[int, Field] = {
        Tag.IMAGE_WIDTH: Field.long(WIDTH_PX),
        Tag.IMAGE_LENGTH: Field.long(ROWS),
        Tag.COMPRESSION: Field.short(4 if coding is Coding.MMR else 3),
        Tag.PHOTOMETRIC: Field.short(0),
        Tag.ROWS_PER_STRIP: Field.long(ROWS),
        Tag.T4_OPTIONS: Field.long(int(coding is Coding.MR)),
    }
    file = io.BytesIO()
    write_file(file, [(fields, [coded])])
    return file.getvalue()


def load(octets: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(octets))
    image.load()
    return image


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def measure(name: str, coding: Coding, raster: bytes, repeat: int) -> str:
    coded = encode_page(raster, WIDTH_PX, ROWS, coding)
    file = tiff_of(coded, coding)
    if decode(coded, coding) != raster or load(file).tobytes() != bytes(octet ^ 0xFF for octet in raster):
        raise SystemExit(f"{name} {coding}: the pixels differ")
    ours = theirs = coder = 1e9
    for _ in range(repeat):
        ours = min(ours, seconds(lambda: decode(coded, coding)))
        theirs = min(theirs, seconds(lambda: load(file)))
        coder = min(coder, seconds(lambda: encode_page(raster, WIDTH_PX, ROWS, coding)))
    million = WIDTH_PX * ROWS / 1e6
    return (
        f"{name:6} {coding:4} {len(coded):8} {ours * 1e3:9.1f} {million / ours:9.0f} {theirs * 1e3:9.1f} "
        f"{million / theirs:9.0f} {ours / theirs:7.1f} {coder * 1e3:9.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pages", default=",".join(PAGES), help=f"which pages, of {', '.join(PAGES)}")
    parser.add_argument("--repeat", type=int, default=15, help="runs of each, of which the best counts")
    options = parser.parse_args()
    names = options.pages.split(",")
    if unknown := [name for name in names if name not in PAGES]:
        parser.error(f"no such page: {', '.join(unknown)}; there are {', '.join(PAGES)}")
    print(f"{WIDTH_PX} x {ROWS} pixels; Python {sys.version.split()[0]}")
    print("page   code   octets   ours ms    Mpix/s  libtiff ms  Mpix/s   ratio encode ms")
    for name in names:
        raster = bytes(octet ^ 0xFF for octet in PAGES[name]().convert("1").tobytes())
        for coding in Coding:
            print(measure(name, coding, raster, options.repeat), flush=True)


if __name__ == "__main__":
    main()
