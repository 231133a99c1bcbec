"""Coded pages: as many rows of two dimensions as K allows, and no row faster than the printer."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfax.codecs.dis import FALL_BACK, Agreement, Coding, Resolution
from vfax.codecs.t4 import RowDecoder
from vfax.errors import DocumentError
from vfax.signals import Modem
from vfax.t30.coding import K, code_page, fold_rows, least_row_octets

EOL = "000000000001"
MODE = Agreement(
    modem=Modem.V17_14400,
    coding=Coding.MH,
    ecm=False,
    frame_octets=0,
    resolution=Resolution.FINE,
    width_px=1728,
    min_scan_ms=0,
)


def raster(seed: int, rows: int, width_px: int = 1728) -> bytes:
    """Blank rows, full rows and rows of many runs."""
    dice = random.Random(seed)
    stride = width_px // 8
    kinds = (
        bytes(stride),
        b"\xff" * stride,
        b"\xa5" * stride,
        bytes(stride - 1) + b"\x01",
        b"\x0f\xff\0" * (stride // 3),
    )
    return b"".join(dice.choice(kinds).ljust(stride, b"\0") for _ in range(rows))


def row_lengths(coded: bytes, tag: bool) -> list[int]:
    """Bits of each row with its fill, its EOL and, in MR, the tag bit; the code begins with an EOL, RTC ends it."""
    bits = "".join(f"{octet:08b}" for octet in coded)
    lengths, at = [], bits.index(EOL) + len(EOL) + tag
    rtc = (EOL + "1" * tag) * 5
    while not bits.startswith(rtc, at):
        end = bits.index(EOL, at)
        end = bits.index("1", end + len(EOL) - 1) + 1 + tag
        lengths.append(end - at)
        at = end
    return lengths


@pytest.mark.parametrize(
    ("rate_bps", "octets"),
    [(14400, (9, 18, 36, 72)), (9600, (6, 12, 24, 48)), (4800, (3, 6, 12, 24)), (2400, (2, 3, 6, 12))],
)
def test_the_least_octets_of_a_row_are_those_of_the_table(rate_bps: int, octets: tuple[int, ...]) -> None:
    modem = next(modem for modem in FALL_BACK if modem.rate_bps == rate_bps)
    modes = [replace(MODE, modem=modem, min_scan_ms=time) for time in (5, 10, 20, 40)]
    assert tuple(least_row_octets(mode) for mode in modes) == octets
    assert least_row_octets(replace(modes[0], ecm=True)) == 0


@settings(max_examples=60, deadline=None)
@given(
    modem=st.sampled_from(FALL_BACK),
    min_scan_ms=st.sampled_from([0, 5, 10, 20, 40]),
    coding=st.sampled_from([Coding.MH, Coding.MR]),
    resolution=st.sampled_from(list(Resolution)),
    seed=st.integers(0, 999),
)
def test_no_row_is_sent_in_less_than_the_minimum_time(
    modem: Modem, min_scan_ms: int, coding: Coding, resolution: Resolution, seed: int
) -> None:
    width_px = resolution.widths_px[0]
    mode = replace(MODE, modem=modem, min_scan_ms=min_scan_ms, coding=coding, resolution=resolution, width_px=width_px)
    page = raster(seed, 12, width_px)
    coded = code_page(page, width_px, 12, resolution, mode)
    unfilled = code_page(page, width_px, 12, resolution, replace(mode, min_scan_ms=0))
    least = min_scan_ms * modem.rate_bps / 1000
    lengths = row_lengths(coded, coding is Coding.MR)
    for filled, bare in zip(lengths, row_lengths(unfilled, coding is Coding.MR), strict=True):
        assert filled >= least
        assert filled == max(bare, least_row_octets(mode) * 8)  # not a bit more than needed
    decoder = RowDecoder(coding, width_px)
    decoder.feed(coded)
    decoder.finish()
    assert (decoder.take_raster(), decoder.bad_rows) == (page, 0)


@pytest.mark.parametrize("coding", Coding)
def test_with_ecm_nothing_is_filled(coding: Coding) -> None:
    blank = code_page(
        bytes(216 * 100), 1728, 100, Resolution.FINE, replace(MODE, coding=coding, ecm=True, min_scan_ms=40)
    )
    assert len(blank) < 100 * 4


@pytest.mark.parametrize("resolution", Resolution)
def test_every_kth_row_is_coded_on_its_own(resolution: Resolution) -> None:
    """Never more than four: K above that takes bit 122, and our DCS does not say it."""
    k = K[resolution]
    assert k == (2 if resolution.grid[1] == 1 else 4)
    width_px = resolution.widths_px[0]
    mode = replace(MODE, coding=Coding.MR, resolution=resolution, width_px=width_px)
    bits = "".join(f"{octet:08b}" for octet in code_page(bytes(width_px // 8 * 30), width_px, 30, resolution, mode))
    tags = [part[0] for part in bits.split(EOL)[1:-6]]
    assert tags == ["1" if row % k == 0 else "0" for row in range(30)]


def test_a_page_of_another_grid_must_be_scaled_before() -> None:
    for resolution, width_px in ((Resolution.INCH_300X300, 2592), (Resolution.FINE, 2048), (Resolution.STANDARD, 1728)):
        page = bytes(width_px // 8 * 4)
        with pytest.raises(DocumentError, match="scale it first"):
            code_page(page, width_px, 4, resolution, replace(MODE, resolution=Resolution.SUPERFINE))


def test_rows_fold_with_their_ink() -> None:
    assert fold_rows(b"\x80\x01\x00\x10\xff", 1, 2) == b"\x81\x10\xff"
