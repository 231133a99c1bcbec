"""Our page coder and decoder beside libtiff, on the same eight kinds of page, in one run.

Owns      the pages (drawn here, no files) and the table.
Not here  correctness: the tests compare pixels, this only refuses to time a page that differs.

    python bench/codecs.py [--pages text,blank,photo] [--repeat N]

"ours" is octets in 54-octet packets to packed rows out, and packed rows to octets; "libtiff" is Pillow loading the
same code from a TIFF file in memory, and saving the same rows to one. CPU milliseconds, the best of N runs of each,
taken in turns; a ratio of 8 says that libtiff is eight times as fast.
"""

import argparse
import io
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import PIL
from PIL import Image, ImageDraw, ImageFont

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from vfax.codecs.dis import Coding
from vfax.codecs.encode import encode_page
from vfax.codecs.t4 import RowDecoder
from vfax.codecs.tiff_file import Field, Tag, write_file

A4_PX, A3_PX, ROWS = 1728, 2432, 1100  # A4 at standard resolution; A3 is wider, with as many rows here
PACKET_OCTETS = 54  # 30 ms at 14 400 bit/s
TEXT = (
    "the quick brown fox jumps over a lazy dog while fax machines keep whistling pages of text with tables and figures"
)
BLACK_OR_WHITE = [0] * 128 + [255] * 128


def letter(width_px: int) -> Image.Image:
    """A typed letter."""
    dice = random.Random(1)
    page = Image.new("L", (width_px, 2 * ROWS), 255)  # drawn with square pixels, then flattened
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size=27)
    for line in range(27):
        words = " ".join(dice.choices(TEXT.split(), k=14 * width_px // A4_PX)).capitalize()
        draw.text((110, 120 + 72 * line), words[: width_px // 18], font=font, fill=0)
    return page.resize((width_px, ROWS), Image.Resampling.LANCZOS).point(BLACK_OR_WHITE)


def text_page() -> Image.Image:
    """A typed letter: about 19 KB of MMR."""
    return letter(A4_PX)


def wide_page() -> Image.Image:
    """A typed letter on A3."""
    return letter(A3_PX)


def blank_page() -> Image.Image:
    """Nothing."""
    return Image.new("L", (A4_PX, ROWS), 255)


def black_page() -> Image.Image:
    """Nothing but black."""
    return Image.new("L", (A4_PX, ROWS), 0)


def small_print_page() -> Image.Image:
    """Small print from edge to edge."""
    dice = random.Random(2)
    page = Image.new("L", (A4_PX, ROWS), 255)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size=15)
    for y in range(0, ROWS, 16):
        draw.text((4, y), " ".join(dice.choices(TEXT.split(), k=60)), font=font, fill=0)
    return page.point(BLACK_OR_WHITE)


def form_page() -> Image.Image:
    """Boxes, some of them filled in."""
    dice = random.Random(3)
    page = Image.new("L", (A4_PX, ROWS), 255)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size=18)
    for y in range(40, ROWS - 40, 45):
        for x in range(60, A4_PX - 200, 205):
            draw.rectangle((x, y, x + 205, y + 45), outline=0, width=2)
            if dice.random() < 0.4:
                draw.text((x + 12, y + 10), dice.choice(TEXT.split()), font=font, fill=0)
    return page.point(BLACK_OR_WHITE)


def drawing_page() -> Image.Image:
    """Fine lines in every direction."""
    dice = random.Random(4)
    page = Image.new("L", (A4_PX, ROWS), 255)
    draw = ImageDraw.Draw(page)
    for _ in range(150):
        ends = [(dice.randrange(A4_PX), dice.randrange(ROWS)) for _ in range(2)]
        draw.line(ends, fill=0, width=dice.choice((1, 1, 2)))
    for radius in range(20, 500, 20):
        draw.ellipse((864 - radius, 550 - radius, 864 + radius, 550 + radius), outline=0)
    return page


def photo_page() -> Image.Image:
    """A dithered gradient: what no fax coding was made for."""
    return Image.linear_gradient("L").resize((A4_PX, ROWS))


PAGES: dict[str, Callable[[], Image.Image]] = {
    "text": text_page,
    "form": form_page,
    "photo": photo_page,
    "blank": blank_page,
    "black": black_page,
    "small": small_print_page,
    "drawing": drawing_page,
    "A3 text": wide_page,
}


def decode(coded: bytes, width_px: int, coding: Coding) -> bytes:
    """What our receiver does."""
    decoder = RowDecoder(coding, width_px)
    for at in range(0, len(coded), PACKET_OCTETS):
        decoder.feed(coded[at : at + PACKET_OCTETS])
    decoder.finish()
    return decoder.take_raster()


def tiff_of(coded: bytes, width_px: int, coding: Coding) -> bytes:
    """A TIFF file around our code."""
    fields: dict[int, Field] = {
        Tag.IMAGE_WIDTH: Field.long(width_px),
        Tag.IMAGE_LENGTH: Field.long(ROWS),
        Tag.COMPRESSION: Field.short(4 if coding is Coding.MMR else 3),
        Tag.PHOTOMETRIC: Field.short(0),
        Tag.ROWS_PER_STRIP: Field.long(ROWS),
        Tag.T4_OPTIONS: Field.long(int(coding is Coding.MR)),
    }
    file = io.BytesIO()
    write_file(file, [(fields, [coded])])
    return file.getvalue()


def save(raster: bytes, width_px: int, coding: Coding) -> None:
    """Have libtiff code the rows: ones are black runs to it, whatever the file says of them."""
    tags = {int(Tag.ROWS_PER_STRIP): ROWS}
    if coding is not Coding.MMR:
        tags[int(Tag.T4_OPTIONS)] = int(coding is Coding.MR)
    image = Image.frombytes("1", (width_px, ROWS), raster)
    image.save(io.BytesIO(), "TIFF", compression="group4" if coding is Coding.MMR else "group3", tiffinfo=tags)


def load(octets: bytes) -> Image.Image:
    """Have libtiff decode a file."""
    image = Image.open(io.BytesIO(octets), formats=["TIFF"])
    image.load()
    return image


def seconds(work: Callable[[], object]) -> float:
    """Processor time of one run."""
    start = time.process_time()
    work()
    return time.process_time() - start


def measure(name: str, coding: Coding, width_px: int, raster: bytes, repeat: int) -> str:
    """One line of the table."""
    coded = encode_page(raster, width_px, ROWS, coding, k=4)
    file = tiff_of(coded, width_px, coding)
    if decode(coded, width_px, coding) != raster or load(file).tobytes() != bytes(octet ^ 0xFF for octet in raster):
        raise SystemExit(f"{name} {coding}: the pixels differ")
    works: tuple[Callable[[], object], ...] = (
        lambda: decode(coded, width_px, coding),
        lambda: load(file),
        lambda: encode_page(raster, width_px, ROWS, coding, k=4),
        lambda: save(raster, width_px, coding),
    )
    best = [min(times) * 1e3 for times in zip(*([seconds(work) for work in works] for _ in range(repeat)), strict=True)]
    reads, libtiff_reads, writes, libtiff_writes = best
    return (
        f"{name:8} {coding:4} {len(coded):8} {reads:10.1f} {libtiff_reads:8.1f} {reads / libtiff_reads:6.1f} "
        f"{writes:12.1f} {libtiff_writes:8.1f} {writes / libtiff_writes:6.1f}"
    )


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pages", default=",".join(PAGES), help=f"which pages, of {', '.join(PAGES)}")
    parser.add_argument("--repeat", type=int, default=10, help="runs of each, of which the best counts")
    options = parser.parse_args()
    names = options.pages.split(",")
    if unknown := [name for name in names if name not in PAGES]:
        parser.error(f"no such page: {', '.join(unknown)}; there are {', '.join(PAGES)}")
    print(f"{ROWS} rows of {A4_PX} pixels (A3: {A3_PX}); Python {sys.version.split()[0]}, Pillow {PIL.__version__}")
    print("                         decoding ms                  encoding ms")
    print("page     code   octets       ours  libtiff  ratio         ours  libtiff  ratio")
    for name in names:
        image = PAGES[name]()
        raster = bytes(octet ^ 0xFF for octet in image.convert("1").tobytes())
        for coding in Coding:
            print(measure(name, coding, image.width, raster, options.repeat), flush=True)


if __name__ == "__main__":
    main()
