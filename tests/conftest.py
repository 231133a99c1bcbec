"""What all tests share: documents to send, and a clock that runs fast."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from PIL import Image, ImageDraw, ImageFont
from trio.testing import MockClock

TEXT: Final = (
    "the quick brown fox jumps over a lazy dog while every page of this fax tells how it was made and why "
    "invoice order delivery number total thank you kind regards please call back 0123456789"
)
WORDS: Final = TEXT.split()


def draw_page(number: int, *, rows: int, seed: int) -> Image.Image:
    """One text page, 1728 pixels wide, different for each number and seed."""
    dice = random.Random(f"{seed}/{number}")
    page = Image.new("1", (1728, rows), 1)
    pen = ImageDraw.Draw(page)
    font = ImageFont.load_default(30)
    pen.text((120, 40), f"page {number}", font=ImageFont.load_default(60), fill=0)
    for top in range(140, rows - 60, 44):
        pen.text((120, top), " ".join(dice.choices(WORDS, k=12))[:88], font=font, fill=0)
    pen.rectangle((100, 20, 1620, rows - 20), outline=0, width=2)
    return page


@pytest.fixture
def make_document(tmp_path: Path) -> Callable[..., Path]:
    """Writes a TIFF of text pages: `make_document(pages=3, rows=1100, fine=False)` gives its path."""

    def make(name: str = "document.tif", *, pages: int = 1, rows: int = 600, fine: bool = False, seed: int = 1) -> Path:
        drawn = [draw_page(number, rows=rows, seed=seed) for number in range(1, pages + 1)]
        path = tmp_path / name
        dpi = (204, 196 if fine else 98)
        drawn[0].save(path, compression="group4", dpi=dpi, save_all=True, append_images=drawn[1:])
        return path

    return make


@pytest.fixture
def fast_clock() -> MockClock:
    """A clock that runs twenty times as fast as the wall's: real sockets, real threads, less waiting."""
    return MockClock(rate=20.0)
