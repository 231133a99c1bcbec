"""The code words against each other; against libtiff in test_encode.py."""

from itertools import pairwise

import pytest

from vfax.codecs import t4_tables as tables

COLOURS = (tables.WHITE, tables.BLACK)


@pytest.mark.parametrize("codes", COLOURS)
def test_no_code_begins_another(codes: dict[str, int]) -> None:
    ordered = sorted(codes)
    assert not any(longer.startswith(code) for code, longer in pairwise(ordered))


@pytest.mark.parametrize("codes", COLOURS)
def test_codes_fill_all_but_the_eight_zeros_of_an_eol(codes: dict[str, int]) -> None:
    assert sum(2.0 ** -len(code) for code in codes) == 1 - 2.0**-8


@pytest.mark.parametrize("codes", COLOURS)
def test_every_run_to_2560_has_its_codes(codes: dict[str, int]) -> None:
    assert sorted(codes.values()) == [*range(64), *range(64, 2561, 64)]


def test_a_window_of_modes_resolves_leading_v0_codes_and_one_more() -> None:
    assert tables.MODES[0b1110110000] == (6, 3, 1)  # V0 V0 V0 VR1
    assert tables.MODES[0b1111111111] == (10, 10, 0)
    assert tables.MODES[0b1111111100] == (8, 8, 0)  # a code cut by the window's end waits
    assert tables.MODES[0b0010000000] == (3, 0, tables.MODE_HORIZONTAL)
    assert tables.MODES[0b1000100000] == (5, 1, tables.MODE_PASS)
    assert tables.MODES[0b0000001111] == (0, 0, tables.MODE_NONE)  # uncompressed mode is not fax
    assert tables.MODES[0b0000000000] == (0, 0, tables.MODE_NONE)


def test_a_window_of_pairs_resolves_two_codes_only_when_both_fit() -> None:
    assert tables.WHITE_PAIRS[0b0111_11_0000000] == (6, 2, 4)  # the second run is told with the first
    assert tables.WHITE_PAIRS[0b00110101_11_000] == tables.NO_PAIR  # runs without length go one by one
    assert tables.WHITE_PAIRS[0b11011_11_000000] == tables.NO_PAIR  # make-up codes go one by one
    assert tables.BLACK_PAIRS[0b0000110111_011] == tables.NO_PAIR  # the white code is cut


def test_a_window_of_runs_resolves_a_make_up_code_with_its_terminating_code_where_both_fit() -> None:
    assert tables.WHITE_RUNS[0b11011_0111_0000] == (9, 66, False)
    assert tables.WHITE_RUNS[0b11011_00000000] == (5, 64, True)
    assert tables.BLACK_RUNS[0b0000001111_11_0] == (12, 66, False)
    assert tables.WHITE_RUNS[0b0111_000000000] == (4, 2, False)
    assert tables.WHITE_RUNS[0] == tables.NO_CODE
