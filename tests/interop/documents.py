"""Fax documents for tests against peers: drawn, written and compared with Pillow alone.

Owns      pages with text on them, TIFF Class F files of them, pixel comparison.
Not here  vfax's own TIFF code, on purpose.
Source    TIFF 6.0 section 11; RFC 2306 for the geometry of fax pages.
"""

import io
import random
import struct
from pathlib import Path
from typing import Final

from PIL import Image, ImageChops, ImageDraw, ImageFont

WIDTH: Final = 1728
STANDARD_ROWS: Final = 1143
FINE_ROWS: Final = 2286
WORDS: Final = ("the", "quick", "brown", "fox", "jumps", "over", "lazy", "dog", "while", "nine", "grey", "wires", "hum")


def draw_page(number: int, *, fine: bool = False, lines: int = 12) -> Image.Image:
    """One page with `lines` lines of text, a frame and a number, the same each time."""
    rows = FINE_ROWS if fine else STANDARD_ROWS
    dice = random.Random(number * 2 + fine)
    page = Image.new("1", (WIDTH, rows), 255)
    pen = ImageDraw.Draw(page)
    font = ImageFont.load_default(size=44 if fine else 28)
    pen.rectangle((20, 20, WIDTH - 21, rows - 21), outline=0, width=3)
    pen.text((80, 60), f"Page {number}", fill=0, font=font)
    step = (rows - 200) // max(lines, 1)
    for line in range(lines):
        pen.text((80, 140 + line * step), " ".join(dice.choices(WORDS, k=11)), fill=0, font=font)
    return page


def draw_pages(count: int, *, fine: bool = False, lines: int = 12) -> list[Image.Image]:
    """Several different pages."""
    return [draw_page(number, fine=fine, lines=lines) for number in range(1, count + 1)]


def class_f(pages: list[Image.Image], *, dpi: tuple[int, int]) -> bytes:
    """Pages as TIFF Class F at `dpi` (204 x 98 is standard, 204 x 196 fine): Group 4, 0 is white.

    Quirk: Pillow 13 codes mode "1" with 0 as black, and turns it pixel by pixel in Python when asked for 0 as white;
    here the pages are turned before and the tag after.
    """
    turned = [ImageChops.invert(page) for page in pages]
    buffer = io.BytesIO()
    turned[0].save(
        buffer, format="TIFF", compression="group4", save_all=True, append_images=turned[1:], dpi=dpi, tiffinfo={262: 1}
    )
    black, white = struct.pack("<HHII", 262, 3, 1, 1), struct.pack("<HHII", 262, 3, 1, 0)
    octets = buffer.getvalue()
    assert octets.count(black) == len(pages)
    return octets.replace(black, white)


def write_fax(path: Path, pages: list[Image.Image]) -> Path:
    """Write pages as TIFF Class F; the resolution follows from the height."""
    dpi = (204, 196) if pages[0].height > STANDARD_ROWS * 3 // 2 else (204, 98)
    path.write_bytes(class_f(pages, dpi=dpi))
    return path


def read_pages(path: Path) -> list[Image.Image]:
    """All pages of a TIFF as black and white images."""
    with Image.open(path) as file:
        pages = []
        for number in range(getattr(file, "n_frames", 1)):
            file.seek(number)
            pages.append(file.convert("1"))
    return pages


def assert_same_pages(got: Path, sent: list[Image.Image]) -> None:
    """Every pixel of every page is equal."""
    received = read_pages(got)
    assert [page.size for page in received] == [page.size for page in sent], "number or size of pages differs"
    for number, (one, other) in enumerate(zip(received, sent, strict=True), start=1):
        assert one.tobytes() == other.tobytes(), f"page {number} differs from what was sent"


def mmr_octets(page: Image.Image) -> int:
    """Size of the page in MMR (the file less its few tags)."""
    return len(class_f([page], dpi=(204, 98)))


def standard_page(octets: int = 19_000, rows: int = 1100) -> Image.Image:
    """The page that all figures speak of: 1728 x 1100, text, about `octets` octets of MMR."""
    dice = random.Random(19)
    page = Image.new("1", (WIDTH, rows), 255)
    pen = ImageDraw.Draw(page)
    font = ImageFont.load_default(size=20)
    top = 30
    while mmr_octets(page) < octets:
        pen.text((60 + dice.randrange(12), top), " ".join(dice.choices(WORDS, k=24)), fill=0, font=font)
        top = top + 23 if top + 46 < rows else 30 + dice.randrange(23)
    return page
