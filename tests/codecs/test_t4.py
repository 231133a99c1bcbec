"""Pages of MH and MR: what libtiff codes, what the line damages, what nobody should send."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfax.codecs.dis import Coding
from vfax.codecs.encode import encode_page
from vfax.codecs.t4 import DEFAULT_LIMITS, DecodeLimits, RowDecoder
from vfax.codecs.t4_tables import EOFB, EOL
from vfax.codecs.tiff_page import PageImage
from vfax.errors import MisuseError

WIDTH = 32
# Rows of 32 pixels in MH: code and packed pixels.
W32, W30, W4, W2 = "00011011", "00000011", "1011", "0111"
B2, B28, B32 = "11", "000011001100", "000001101010"
BLANK = (W32, bytes(4))
RIGHT = (W30 + B2, bytes([0, 0, 0, 3]))  # 30 white, 2 black
MIDDLE = (W2 + B2 + "001000" + B2 + "110100", bytes([0x30, 0x00, 0xC0, 0x00]))
LEFT = ("00110101" + B2 + W30, bytes([0xC0, 0, 0, 0]))  # white 0, 2 black, 30 white
BLACK = ("00110101" + B32, b"\xff" * 4)
RTC = EOL * 6

Pack = Callable[[str], bytes]
RandomPage = Callable[[random.Random, int, int], PageImage]
Encode = Callable[[PageImage, Coding], bytes]


def decode(
    data: bytes, coding: Coding, width_px: int = WIDTH, *, limits: DecodeLimits = DEFAULT_LIMITS, step: int = 0
) -> tuple[RowDecoder, bytes]:
    decoder = RowDecoder(coding, width_px, limits)
    for at in range(0, len(data), step or len(data) or 1):
        decoder.feed(data[at : at + (step or len(data))])
    decoder.finish()
    return decoder, decoder.take_raster()


def rows_of(raster: bytes) -> list[bytes]:
    return [raster[at : at + 4] for at in range(0, len(raster), 4)]


def mh(octets: Pack, text: str) -> tuple[RowDecoder, list[bytes]]:
    decoder, raster = decode(octets(text), Coding.MH)
    return decoder, rows_of(raster)


# --- good pages ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("coding", list(Coding))
@pytest.mark.parametrize("seed", range(6))
def test_pages_coded_by_libtiff_decode_pixel_for_pixel(
    coding: Coding, seed: int, random_page: RandomPage, libtiff_encode: Encode
) -> None:
    dice = random.Random(seed)
    page = random_page(dice, dice.choice((1, 7, 64, 1000, 1728, 2432, 4864)), 60)
    decoder, raster = decode(libtiff_encode(page, coding), coding, page.width_px)
    assert raster == page.raster
    assert (decoder.rows, decoder.bad_rows, decoder.damaged, decoder.limit) == (60, 0, False, "")


@pytest.mark.parametrize("coding", list(Coding))
def test_small_print_coded_by_libtiff_decodes_pixel_for_pixel(
    coding: Coding, text_page: PageImage, libtiff_encode: Encode
) -> None:
    decoder, raster = decode(libtiff_encode(text_page, coding), coding, 1728, step=54)
    assert (raster, decoder.bad_rows) == (text_page.raster, 0)


@pytest.mark.parametrize("coding", list(Coding))
@pytest.mark.parametrize("width_px", [1728, 2560, 2561, 2624, 4864, 7777])
def test_runs_of_every_length_survive(coding: Coding, width_px: int) -> None:
    dice = random.Random(width_px)
    lengths = [0, 1, 63, 64, 65, 1727, 1728, 1792, 2559, 2560, 2561, 2623, 2624, 4863, 5120, width_px]
    rows = [((1 << length) - 1) << dice.randrange(width_px - length + 1) for length in lengths if length <= width_px]
    pad, stride = -width_px % 8, (width_px + 7) // 8
    page = b"".join((row << pad).to_bytes(stride, "big") for row in rows)
    decoder, raster = decode(encode_page(page, width_px, len(rows), coding), coding, width_px)
    assert raster == page
    assert decoder.ended


# --- any split, any octets ----------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    coding=st.sampled_from(Coding),
    width_px=st.integers(1, 300),
    flips=st.lists(st.floats(0, 1, exclude_max=True), max_size=4),
    cuts=st.lists(st.floats(0, 1), max_size=12),
)
def test_any_split_of_a_page_good_or_damaged_gives_the_same_rows(
    seed: int, coding: Coding, width_px: int, flips: list[float], cuts: list[float], random_page: RandomPage
) -> None:
    page = random_page(random.Random(seed), width_px, 20)
    coded = bytearray(encode_page(page.raster, width_px, 20, coding, k=4))
    for flip in flips:
        bit = int(flip * len(coded) * 8)
        coded[bit // 8] ^= 0x80 >> bit % 8
    whole, raster = decode(bytes(coded), coding, width_px)
    pieces = RowDecoder(coding, width_px)
    at, taken = 0, b""
    for cut in sorted(int(cut * len(coded)) for cut in cuts):
        pieces.feed(bytes(coded[at:cut]))
        taken += pieces.take_raster()
        at = cut
    pieces.feed(bytes(coded[at:]))
    pieces.finish()
    taken += pieces.take_raster()
    assert taken == raster
    for fact in ("rows", "bad_rows", "longest_bad_run", "ended", "damaged", "limit"):
        assert getattr(pieces, fact) == getattr(whole, fact)
    if not flips:
        assert (raster, whole.bad_rows) == (page.raster, 0)


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=400), coding=st.sampled_from(Coding), width_px=st.integers(1, 3000))
def test_any_octets_give_whole_rows_within_limits_and_never_raise(data: bytes, coding: Coding, width_px: int) -> None:
    limits = DecodeLimits(max_rows=50, max_row_octets=100, max_octets=300)
    decoder, raster = decode(data, coding, width_px, limits=limits)
    bytewise, same = decode(data, coding, width_px, limits=limits, step=1)
    assert len(raster) == decoder.rows * ((width_px + 7) // 8)
    assert decoder.rows <= 50
    assert decoder.octets <= 300
    assert (raster, decoder.limit, decoder.damaged) == (same, bytewise.limit, bytewise.damaged)
    assert decoder.longest_bad_run <= decoder.bad_rows <= decoder.rows


def test_a_width_nobody_can_have_is_misuse() -> None:
    for width_px in (0, -1, 20_001):
        with pytest.raises(MisuseError):
            RowDecoder(Coding.MH, width_px)


# --- the table of bad input ---------------------------------------------------------------------------


def test_an_invalid_code_makes_a_copy_of_the_row_before(octets: Pack) -> None:
    broken = W2 + "00000000 1" + W4
    decoder, rows = mh(octets, EOL + RIGHT[0] + EOL + broken + EOL + LEFT[0] + RTC)
    assert rows == [RIGHT[1], RIGHT[1], LEFT[1]]
    assert (decoder.bad_rows, decoder.longest_bad_run, decoder.ended) == (1, 1, True)


def test_a_short_row_makes_a_copy_of_the_row_before_and_costs_no_other_row(octets: Pack) -> None:
    decoder, rows = mh(octets, EOL + RIGHT[0] + EOL + W30 + EOL + LEFT[0] + EOL + MIDDLE[0] + RTC)
    assert rows == [RIGHT[1], RIGHT[1], LEFT[1], MIDDLE[1]]
    assert decoder.bad_rows == 1


def test_a_long_row_makes_a_copy_of_the_row_before(octets: Pack) -> None:
    decoder, rows = mh(octets, EOL + RIGHT[0] + EOL + MIDDLE[0] + W2 + B2 + EOL + LEFT[0] + RTC)
    assert rows == [RIGHT[1], RIGHT[1], LEFT[1]]
    assert decoder.bad_rows == 1


def test_a_run_beyond_the_end_of_the_row_is_a_bad_row(octets: Pack) -> None:
    decoder, rows = mh(octets, EOL + W2 + B32 + EOL + LEFT[0] + EOL + "11011" + RTC)
    assert rows == [BLANK[1], LEFT[1], LEFT[1]]
    assert (decoder.bad_rows, decoder.longest_bad_run) == (2, 1)


def test_a_bad_first_row_is_white(octets: Pack) -> None:
    decoder, rows = mh(octets, EOL + W2 + EOL + LEFT[0] + RTC)
    assert rows == [BLANK[1], LEFT[1]]
    assert decoder.bad_rows == 1


def test_bad_rows_in_a_row_are_counted_as_the_longest_run(octets: Pack) -> None:
    bad = EOL + W2
    decoder, rows = mh(octets, bad + bad + EOL + LEFT[0] + bad * 3 + EOL + LEFT[0] + bad + RTC)
    assert len(rows) == 8
    assert (decoder.bad_rows, decoder.longest_bad_run) == (6, 3)


def test_an_eol_half_eaten_by_a_damaged_code_is_still_found(octets: Pack) -> None:
    # Three white pixels and a cut black code: "0000 0010" is one bit short of a code that eats the EOL's first zeros.
    decoder, rows = mh(octets, EOL + LEFT[0] + EOL + "1000" + "000011" + EOL + RIGHT[0] + RTC)
    assert rows == [LEFT[1], LEFT[1], RIGHT[1]]
    assert decoder.bad_rows == 1


def test_two_dimensional_rows_after_a_bad_row_are_bad_until_a_one_dimensional_one(octets: Pack) -> None:
    flat, steep = EOL + "1", EOL + "0"
    data = flat + LEFT[0] + steep + "1" * 3 + flat + W2 + steep + "1" * 3 + steep + "1" * 3 + flat + RIGHT[0] + flat * 6
    decoder, raster = decode(octets(data), Coding.MR)
    assert rows_of(raster) == [LEFT[1]] * 5 + [RIGHT[1]]
    assert (decoder.bad_rows, decoder.longest_bad_run, decoder.ended) == (3, 3, True)


def test_a_bad_two_dimensional_row_is_repaired_from_the_row_above(octets: Pack) -> None:
    flat, steep = EOL + "1", EOL + "0"
    data = flat + LEFT[0] + steep + "0000001 111" + flat + RIGHT[0] + flat * 6
    decoder, raster = decode(octets(data), Coding.MR)
    assert rows_of(raster) == [LEFT[1], LEFT[1], RIGHT[1]]
    assert decoder.bad_rows == 1


def test_without_any_eol_rows_are_taken_by_width(octets: Pack) -> None:
    decoder, rows = mh(octets, RIGHT[0] + BLACK[0] + LEFT[0] + BLANK[0] + MIDDLE[0])
    assert rows == [RIGHT[1], BLACK[1], LEFT[1], BLANK[1], MIDDLE[1]]
    assert (decoder.bad_rows, decoder.ended) == (0, False)


def test_a_page_may_begin_with_its_first_row(octets: Pack) -> None:
    decoder, rows = mh(octets, RIGHT[0] + EOL + LEFT[0] + RTC)
    assert rows == [RIGHT[1], LEFT[1]]
    assert decoder.bad_rows == 0


def test_rubbish_before_the_first_eol_is_not_a_row(octets: Pack) -> None:
    decoder, rows = mh(octets, W2 + "000000001 1 0101" + EOL + LEFT[0] + RTC)
    assert rows == [LEFT[1]]
    assert decoder.bad_rows == 0


def test_zeros_at_the_start_of_the_stream_are_not_taken_for_more_than_they_are(octets: Pack) -> None:
    # Eight zeros and a one are no EOL, whatever may have stood before the stream.
    decoder, rows = mh(octets, "00000000 1" + LEFT[0] + EOL + RIGHT[0] + RTC)
    assert rows == [RIGHT[1]]
    assert decoder.bad_rows == 0


def test_eols_may_be_doubled(octets: Pack) -> None:
    decoder, rows = mh(octets, EOL * 2 + LEFT[0] + EOL * 2 + RIGHT[0] + EOL * 3 + LEFT[0] + RTC)
    assert rows == [LEFT[1], RIGHT[1], LEFT[1]]
    assert (decoder.bad_rows, decoder.ended) == (0, True)


@pytest.mark.parametrize("eols", range(6))
def test_an_rtc_may_be_cut_or_missing(octets: Pack, eols: int) -> None:
    decoder, rows = mh(octets, EOL + LEFT[0] + EOL + RIGHT[0] + EOL * eols)
    assert rows == [LEFT[1], RIGHT[1]]
    assert (decoder.bad_rows, decoder.ended) == (0, False)


def test_fill_before_an_eol_is_nothing(octets: Pack) -> None:
    decoder, rows = mh(octets, EOL + LEFT[0] + "0" * 500 + EOL + RIGHT[0] + "0" * 3 + EOL + BLACK[0] + "0000" + RTC)
    assert rows == [LEFT[1], RIGHT[1], BLACK[1]]
    assert (decoder.bad_rows, decoder.ended) == (0, True)


def test_endless_zeros_are_fill_until_the_octets_run_out(octets: Pack) -> None:
    decoder = RowDecoder(Coding.MH, WIDTH, DecodeLimits(max_octets=100_000))
    decoder.feed(octets(EOL + LEFT[0] + EOL))
    for _ in range(200):
        decoder.feed(bytes(1000))
    assert (decoder.rows, decoder.bad_rows, decoder.limit) == (1, 0, "octets")


@pytest.mark.parametrize(
    ("coding", "data"), [(Coding.MH, RTC), (Coding.MR, (EOL + "1") * 6), (Coding.MMR, EOFB), (Coding.MMR, "")]
)
def test_a_page_of_no_rows_has_no_rows(octets: Pack, coding: Coding, data: str) -> None:
    decoder, raster = decode(octets(data), coding)
    assert (decoder.rows, raster, decoder.damaged) == (0, b"", False)
    assert decoder.ended is bool(data)


def test_what_follows_the_rtc_is_swallowed(octets: Pack) -> None:
    decoder, rows = mh(octets, EOL + LEFT[0] + RTC + LEFT[0] + EOL + W2 + EOL)
    assert rows == [LEFT[1]]
    assert (decoder.bad_rows, decoder.ended) == (0, True)
    decoder.feed(b"\xff" * 100)
    assert decoder.take_raster() == b""


def test_a_row_cut_by_the_end_of_the_page_is_a_bad_row(octets: Pack) -> None:
    decoder, rows = mh(octets, EOL + LEFT[0] + EOL + W2 + "1")
    assert rows == [LEFT[1], LEFT[1]]
    assert decoder.bad_rows == 1


def test_finishing_twice_is_finishing_once(octets: Pack) -> None:
    decoder = RowDecoder(Coding.MH, WIDTH)
    decoder.feed(octets(EOL + LEFT[0] + EOL + W2 + "1"))
    decoder.finish()
    decoder.finish()
    assert (decoder.rows, decoder.bad_rows) == (2, 1)


def test_bad_rows_beyond_the_limit_end_the_page_uncounted(octets: Pack) -> None:
    decoder, raster = decode(octets((EOL + W2) * 5 + RTC), Coding.MH, limits=DecodeLimits(max_rows=3))
    assert (decoder.rows, decoder.bad_rows, decoder.limit, len(raster)) == (3, 3, "rows", 12)


def test_rows_are_there_as_soon_as_the_octets_are(octets: Pack) -> None:
    decoder = RowDecoder(Coding.MH, WIDTH)
    decoder.feed(octets(EOL + LEFT[0] + EOL + RIGHT[0]) + bytes(5))  # 5: what the decoder may hold back
    assert decoder.take_raster() == LEFT[1] + RIGHT[1]
    assert decoder.take_raster() == b""


def test_rows_equal_to_the_one_above_are_the_same_object() -> None:
    decoder = RowDecoder(Coding.MMR, 1728, ecm=True)
    decoder.feed(b"\xff" * 10)
    decoder.finish()
    rows = decoder.take_rows()
    assert len(rows) > 70
    assert len({id(row) for row in rows}) == 1
    assert decoder.take_rows() == []


# --- limits -------------------------------------------------------------------------------------------


def test_rows_beyond_the_limit_end_the_page(octets: Pack) -> None:
    data = octets((EOL + LEFT[0]) * 5 + RTC)
    decoder, raster = decode(data, Coding.MH, limits=DecodeLimits(max_rows=3))
    assert (decoder.rows, decoder.limit) == (3, "rows")
    assert rows_of(raster) == [LEFT[1]] * 3
    assert decode(data, Coding.MH, limits=DecodeLimits(max_rows=5))[0].limit == ""


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_a_row_whose_code_never_ends_ends_the_page(octets: Pack, step: int) -> None:
    runs_of_nothing = ("00110101" + "0000110111") * 400  # white 0, black 0, ...
    decoder, raster = decode(octets(EOL + LEFT[0] + EOL + runs_of_nothing), Coding.MH, step=step)
    assert (decoder.limit, raster) == ("row octets", LEFT[1])


def test_the_worst_rows_of_every_coding_stay_within_the_limits() -> None:
    page = b"\x55\xaa" * 108 + b"\xaa\x55" * 108
    for coding in Coding:
        decoder, raster = decode(encode_page(page, 1728, 2, coding), coding, 1728)
        assert (decoder.limit, raster) == ("", page)
