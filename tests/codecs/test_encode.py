"""Coding pages: libtiff reads what we write, we read it too, and what stands around the rows is T.4 and T.6."""

import random
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfax.codecs.dis import Coding
from vfax.codecs.encode import encode_page
from vfax.codecs.t4 import RowDecoder
from vfax.codecs.t4_tables import BLACK, EOFB, EOL, WHITE
from vfax.codecs.tiff_page import PageImage
from vfax.errors import MisuseError

RandomPage = Callable[[random.Random, int, int], PageImage]
Encode = Callable[[PageImage, Coding], bytes]
Decode = Callable[[bytes, Coding, int, int], bytes]


def bits_of(octets: bytes) -> str:
    return f"{int.from_bytes(octets, 'big'):0{len(octets) * 8}b}"


@pytest.mark.parametrize("coding", list(Coding))
@pytest.mark.parametrize("seed", range(6))
def test_libtiff_reads_what_we_code(coding: Coding, seed: int, random_page: RandomPage, libtiff_decode: Decode) -> None:
    dice = random.Random(seed)
    page = random_page(dice, dice.choice((8, 61, 1728, 2048, 2432, 4864)), 50)
    coded = encode_page(page.raster, page.width_px, 50, coding, k=dice.choice((1, 2, 4)))
    assert libtiff_decode(coded, coding, page.width_px, 50) == page.raster


@pytest.mark.parametrize("colour", [0, 1])
def test_every_code_word_is_the_one_libtiff_knows(colour: int, libtiff_decode: Decode) -> None:
    width_px = 2700
    runs = sorted({*(WHITE if colour == 0 else BLACK).values(), 2561, 2623, 2624})
    rows = []
    for run in runs:
        left = run if colour == 0 else 1
        right = width_px if colour == 0 else 1 + run
        rows.append((((1 << width_px - left) - 1) ^ ((1 << width_px - right) - 1)) << 4)
    raster = b"".join(row.to_bytes(338, "big") for row in rows)
    coded = encode_page(raster, width_px, len(rows), Coding.MH)
    assert libtiff_decode(coded, Coding.MH, width_px, len(rows)) == raster


@pytest.mark.parametrize("seed", range(3))
def test_mmr_is_the_same_code_libtiff_writes(seed: int, random_page: RandomPage, libtiff_encode: Encode) -> None:
    page = random_page(random.Random(seed), 1728, 60)
    ours = bits_of(encode_page(page.raster, 1728, 60, Coding.MMR)).rstrip("0")
    assert ours == bits_of(libtiff_encode(page, Coding.MMR)).rstrip("0")


@settings(max_examples=60, deadline=None)
@given(data=st.data(), width_px=st.integers(1, 200), coding=st.sampled_from(Coding), k=st.integers(1, 5))
def test_any_raster_comes_back(data: st.DataObject, width_px: int, coding: Coding, k: int) -> None:
    rows = data.draw(st.lists(st.integers(0, (1 << width_px) - 1), min_size=1, max_size=12))
    raster = b"".join((row << -width_px % 8).to_bytes((width_px + 7) // 8, "big") for row in rows)
    decoder = RowDecoder(coding, width_px)
    decoder.feed(encode_page(raster, width_px, len(rows), coding, k=k, min_row_octets=data.draw(st.integers(0, 20))))
    decoder.finish()
    assert decoder.take_raster() == raster
    assert (decoder.bad_rows, decoder.ended) == (0, True)


def test_pixels_beyond_the_width_are_ignored() -> None:
    clean, dirty = b"\xf0\x00", b"\xf0\x3f"
    assert encode_page(clean, 10, 1, Coding.MMR) == encode_page(dirty, 10, 1, Coding.MMR)


def test_mh_begins_with_an_eol_and_ends_with_six() -> None:
    bits = bits_of(encode_page(bytes(216 * 2), 1728, 2, Coding.MH))
    blank = "010011011" + "00110101"
    assert bits.startswith(EOL + blank + EOL + blank + EOL * 6)
    assert not bits[(len(EOL + blank) * 2 + 6 * 12) :].strip("0")


def test_mr_sends_one_dimensional_rows_every_k_rows_and_tags_the_rtc() -> None:
    bits = bits_of(encode_page(bytes(216 * 5), 1728, 5, Coding.MR, k=2))
    flat, steep = EOL + "1" + "010011011" + "00110101", EOL + "0" + "1"
    assert bits.startswith(flat + steep + flat + steep + flat + (EOL + "1") * 6)


def test_mmr_ends_with_an_eofb_and_less_than_an_octet_of_zeros() -> None:
    bits = bits_of(encode_page(bytes(216 * 5), 1728, 5, Coding.MMR))
    assert bits == "11111" + EOFB + "000"


@pytest.mark.parametrize("coding", [Coding.MH, Coding.MR])
@pytest.mark.parametrize("octets", [1, 9, 72])
def test_rows_are_filled_up_to_the_minimum_before_their_eol(coding: Coding, octets: int) -> None:
    row = b"\xaa" * 4
    bits = bits_of(encode_page(row * 6, 32, 6, coding, min_row_octets=octets))
    tag = 1 if coding is Coding.MR else 0
    ends = [at + 12 + tag for at in range(len(bits) - 11) if bits[at : at + 12] == EOL]
    lengths = [right - left for left, right in pairwise(ends)]
    assert len(lengths) == 11
    assert min(lengths[:6]) >= octets * 8
    assert lengths[6:] == [12 + tag] * 5  # no fill inside the RTC
    if octets == 72:
        assert set(lengths[:6]) == {octets * 8}


def test_with_ecm_there_is_no_fill() -> None:
    page = bytes(216 * 3)
    for coding in Coding:
        filled = encode_page(page, 1728, 3, coding, min_row_octets=72, ecm=True)
        assert filled == encode_page(page, 1728, 3, coding)


def test_mmr_has_no_fill() -> None:
    page = bytes(216 * 3)
    assert encode_page(page, 1728, 3, Coding.MMR, min_row_octets=72) == encode_page(page, 1728, 3, Coding.MMR)


@pytest.mark.parametrize(("octets", "width_px", "rows"), [(216, 1728, 2), (217, 1728, 1), (0, 1728, 0), (0, 0, 1)])
def test_a_raster_of_another_size_is_misuse(octets: int, width_px: int, rows: int) -> None:
    with pytest.raises(MisuseError):
        encode_page(bytes(octets), width_px, rows, Coding.MMR)


def test_a_parameter_k_below_one_is_misuse() -> None:
    with pytest.raises(MisuseError):
        encode_page(bytes(216), 1728, 1, Coding.MR, k=0)
