"""Pages to code, and libtiff (through Pillow) as the second opinion on how they are coded."""

import io
import random
from collections.abc import Callable

import pytest
from PIL import Image, ImageDraw, ImageFont

from vfax.codecs.dis import Coding
from vfax.codecs.tiff_file import Field, Tag, read_directories, read_strips, write_file
from vfax.codecs.tiff_page import PageImage

TEXT = "the quick brown fox jumps over a lazy dog while fax machines whistle pages of text tables figures"


@pytest.fixture(scope="session")
def octets() -> Callable[[str], bytes]:
    """Zeros and ones (spaces allowed) as octets, padded with zeros."""

    def pack(text: str) -> bytes:
        text = text.replace(" ", "")
        text += "0" * (-len(text) % 8)
        return int("1" + text, 2).to_bytes(len(text) // 8 + 1, "big")[1:]

    return pack


@pytest.fixture(scope="session")
def random_page() -> Callable[[random.Random, int, int], PageImage]:
    """A page whose rows are like each other the way rows of a scan are: shifted, cut, repeated, blank, noisy."""

    def draw(dice: random.Random, width_px: int, rows: int) -> PageImage:
        stride, pad = (width_px + 7) // 8, -width_px % 8
        row, packed = 0, []
        for _ in range(rows):
            kind = dice.randrange(8)
            if kind == 0:
                row = 0
            elif kind == 1:
                row = dice.getrandbits(width_px)
            elif kind == 2:
                row = (row << dice.randrange(5)) & ((1 << width_px) - 1)
            elif kind == 3:
                row >>= dice.randrange(5)
            elif kind == 4:
                left, right = sorted((dice.randrange(width_px + 1), dice.randrange(width_px + 1)))
                row |= ((1 << right) - 1) >> left << left
            elif kind == 5:
                left, right = sorted((dice.randrange(width_px + 1), dice.randrange(width_px + 1)))
                row &= ~(((1 << right) - 1) >> left << left)
            elif kind == 6:
                row ^= 1 << dice.randrange(width_px)
            packed.append((row << pad).to_bytes(stride, "big"))
        return PageImage(b"".join(packed), width_px, rows, 204, 98)

    return draw


@pytest.fixture(scope="session")
def text_page() -> PageImage:
    """A page of small print, A4 width, 260 rows."""
    dice = random.Random(4)
    image = Image.new("L", (1728, 260), 255)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size=22)
    for line in range(8):
        draw.text((100, 20 + 30 * line), " ".join(dice.choices(TEXT.split(), k=20)), font=font, fill=0)
    bilevel = image.point([255] * 128 + [0] * 128).convert("1")
    return PageImage(bilevel.tobytes(), *bilevel.size, 204, 98)


@pytest.fixture(scope="session")
def libtiff_encode() -> Callable[[PageImage, Coding], bytes]:
    """The strip libtiff makes of a page (MH and MR without RTC, as in any TIFF file)."""

    def encode(page: PageImage, coding: Coding) -> bytes:
        image = Image.frombytes("1", (page.width_px, page.rows), page.raster)
        tags: dict[int, int] = {int(Tag.ROWS_PER_STRIP): page.rows}
        if coding is not Coding.MMR:
            tags[int(Tag.T4_OPTIONS)] = 1 if coding is Coding.MR else 0
        file = io.BytesIO()
        image.save(file, "TIFF", compression="group4" if coding is Coding.MMR else "group3", tiffinfo=tags)
        (directory,) = read_directories(file)
        (strip,) = read_strips(file, directory, 2**31)
        return strip

    return encode


@pytest.fixture(scope="session")
def libtiff_decode() -> Callable[[bytes, Coding, int, int], bytes]:
    """What libtiff reads in a strip, 1 = black."""

    def decode(strip: bytes, coding: Coding, width_px: int, rows: int) -> bytes:
        fields: dict[int, Field] = {
            Tag.IMAGE_WIDTH: Field.long(width_px),
            Tag.IMAGE_LENGTH: Field.long(rows),
            Tag.BITS_PER_SAMPLE: Field.short(1),
            Tag.COMPRESSION: Field.short(4 if coding is Coding.MMR else 3),
            Tag.PHOTOMETRIC: Field.short(0),
            Tag.FILL_ORDER: Field.short(1),
            Tag.ROWS_PER_STRIP: Field.long(rows),
        }
        if coding is not Coding.MMR:
            fields[Tag.T4_OPTIONS] = Field.long(1 if coding is Coding.MR else 0)
        file = io.BytesIO()
        write_file(file, [(fields, [strip])])
        image = Image.open(file)
        white_is_one = image.tobytes()
        pad = -width_px % 8
        stride = (width_px + 7) // 8
        black = bytearray(octet ^ 0xFF for octet in white_is_one)
        for last in range(stride - 1, len(black), stride):
            black[last] = black[last] >> pad << pad
        return bytes(black)

    return decode
