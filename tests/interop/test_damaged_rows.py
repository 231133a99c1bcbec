"""Damaged pages at our decoder and at libspandsp's: what came before the damage is the same at both."""

import random
from pathlib import Path
from typing import Final

import pytest

from fuzz.pages import rows_like_a_scan
from tests.interop.spandsp import Coding
from tests.interop.spandsp_rows import decode_rows
from vfax.codecs import dis
from vfax.codecs.encode import encode_page
from vfax.codecs.t4 import RowDecoder

ROWS: Final = 60
PAGES: Final = 40
SEED: Final = 20261120


def our_rows(coded: bytes, coding: dis.Coding, width_px: int, *, finish: bool = True) -> list[bytes]:
    decoder = RowDecoder(coding, width_px)
    decoder.feed(coded)
    if finish:
        decoder.finish()
    return decoder.take_rows()


def damaged(coded: bytes, at: int, dice: random.Random) -> bytes:
    """The same octets up to `at`; there one bit is turned, or octets are other ones, lost or too many."""
    match dice.randrange(4):
        case 0:
            return coded[:at] + bytes((coded[at] ^ 1 << dice.randrange(8),)) + coded[at + 1 :]
        case 1:
            return coded[:at] + dice.randbytes(dice.randrange(1, 20)) + coded[at + 10 :]
        case 2:
            return coded[:at] + coded[at + dice.randrange(1, 80) :]
        case _:
            return coded[:at] + dice.randbytes(dice.randrange(1, 40)) + coded[at:]


def page_of(dice: random.Random, coding: dis.Coding) -> tuple[int, list[bytes], bytes]:
    """A width, rows, and their code."""
    width_px = dice.choice((1728, 2048, 2432))
    raster = rows_like_a_scan(dice, width_px, ROWS)
    stride = width_px // 8
    rows = [raster[at : at + stride] for at in range(0, len(raster), stride)]
    return width_px, rows, encode_page(raster, width_px, ROWS, coding, k=4)


@pytest.mark.parametrize("coding", dis.Coding)
def test_sound_pages_are_the_same_at_both(coding: dis.Coding, tmp_path: Path) -> None:
    width_px, rows, coded = page_of(random.Random(f"{SEED} {coding}"), coding)
    assert our_rows(coded, coding, width_px) == rows
    assert decode_rows(coded, Coding(coding.value), width_px, tmp_path / "page.tif") == rows


@pytest.mark.parametrize("coding", dis.Coding)
def test_rows_before_the_damage_are_the_same_at_both(coding: dis.Coding, tmp_path: Path) -> None:
    whole = 0
    for seed in range(SEED, SEED + PAGES):
        dice = random.Random(f"{seed} {coding}")
        width_px, rows, coded = page_of(dice, coding)
        at = dice.randrange(8, len(coded))
        before = len(our_rows(coded[:at], coding, width_px, finish=False))
        spoilt = damaged(coded, at, dice)
        ours = our_rows(spoilt, coding, width_px)
        theirs = decode_rows(spoilt, Coding(coding.value), width_px, tmp_path / "page.tif")
        assert ours[:before] == rows[:before], f"seed {seed}: ours differ before the damage"
        assert theirs[:before] == rows[:before], f"seed {seed}: libspandsp's differ before the damage"
        whole += before
    assert whole > PAGES * ROWS // 4  # the damage was late enough for the comparison to mean something
