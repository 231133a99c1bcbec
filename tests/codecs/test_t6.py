"""Pages of MMR: two-dimensional rows bit by bit, and how a page ends."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfax.codecs.dis import Coding
from vfax.codecs.t4 import DecodeLimits, RowDecoder
from vfax.codecs.t4_tables import BLACK, EOFB, EOL, WHITE

Pack = Callable[[str], bytes]

V0, VR1, VR2, VR3 = "1", "011", "000011", "0000011"
VL1, VL2, VL3 = "010", "000010", "0000010"
P = "0001"


def h(first: int, second: int, *, dark: bool = False) -> str:
    """Horizontal mode of two short runs, the first white unless `dark`."""
    white = {run: code for code, run in WHITE.items()}
    black = {run: code for code, run in BLACK.items()}
    return "001" + ((black[first] + white[second]) if dark else (white[first] + black[second]))


def decode(octets: Pack, data: str, **limits: int) -> tuple[RowDecoder, list[str]]:
    """Rows of 16 pixels as text: `.` white, `#` black."""
    decoder = RowDecoder(Coding.MMR, 16, DecodeLimits(**limits))
    decoder.feed(octets(data))
    decoder.finish()
    raster = decoder.take_raster()
    rows = [f"{int.from_bytes(raster[at : at + 2], 'big'):016b}" for at in range(0, len(raster), 2)]
    return decoder, [row.replace("0", ".").replace("1", "#") for row in rows]


@pytest.mark.parametrize(
    ("second", "row"),
    [
        (V0 + V0 + V0, "....####........"),
        (VR1 + VL1 + V0, ".....##........."),
        (VR2 + VR3 + V0, "......#####....."),
        (VL3 + VL2 + V0, ".#####.........."),
        (P + V0, "................"),
        (h(1, 1) + V0 + V0 + V0, ".#..####........"),
        (h(6, 4) + V0, "......####......"),
        (h(0, 16), "################"),
        (h(0, 3) + V0 + V0 + V0, "###.####........"),
        (V0 + h(4, 8, dark=True), "....####........"),
        (V0 + h(1, 2, dark=True) + V0 + V0, "....#..#........"),
        (V0 + VL3 + h(3, 5) + V0, "....#...#####..."),
        (VR3 + V0 + V0, ".......#........"),
        (VL3 + VL3 + V0, ".####..........."),
        (h(4, 0) + V0, "................"),
        (h(4, 0) + h(2, 0) + h(1, 3) + V0, ".......###......"),
    ],
)
def test_modes_move_the_changes_of_the_row_above(octets: Pack, second: str, row: str) -> None:
    first = h(4, 4) + V0
    decoder, rows = decode(octets, first + second + EOFB)
    assert rows == ["....####........", row]
    assert (decoder.ended, decoder.damaged) == (True, False)


def test_passed_changes_are_skipped(octets: Pack) -> None:
    above = h(4, 1) + h(4, 1) + V0
    decoder, rows = decode(octets, above + P + VL2 + V0 + V0 + EOFB)
    assert rows == ["....#....#......", ".......###......"]
    assert decoder.ended


def test_b1_steps_back_to_a_change_that_is_right_of_a0_again(octets: Pack) -> None:
    # a0 is 5 and white, so b1 is 9; three left of it is 6, and from there the change at 8 lies ahead once more.
    above = h(4, 4) + h(1, 3) + V0
    decoder, rows = decode(octets, above + h(1, 4) + VL3 + V0 + V0 + V0 + V0 + EOFB)
    assert rows == ["....####.###....", ".####.##.###...."]
    assert decoder.ended


def test_a_run_of_no_length_is_no_change_for_the_row_below(octets: Pack) -> None:
    decoder, rows = decode(octets, h(4, 0) + h(2, 2) + V0 + V0 + V0 + V0 + EOFB)
    assert rows == ["......##........"] * 2
    assert decoder.ended


@pytest.mark.parametrize("turns", [2, 3, 4, 5, 6, 40])
def test_turning_on_the_spot_at_the_end_of_the_row_reads_nothing_past_the_row_above(octets: Pack, turns: int) -> None:
    # b1 is the end; VL1 goes one before it, and every further VL1 changes the colour in the same place.
    decoder, rows = decode(octets, h(4, 4) + V0 + V0 * 2 + VL1 * turns + V0 + EOFB)
    assert rows == ["....####........", "....####.......#" if turns % 2 else "....####........"]
    assert decoder.ended


DELTAS = {V0: 0, VR1: 1, VR2: 2, VR3: 3, VL1: -1, VL2: -2, VL3: -3}


class Slow:
    """T.6 2.2 pixel by pixel, as it is printed: rows of 16 pixels, 1 = black."""

    def __init__(self) -> None:
        self.rows: list[list[int]] = []
        self.above = [0] * 16
        self.damaged = False
        self.begin()

    def begin(self) -> None:
        self.row, self.a0, self.colour = [0] * 16, -1, 0

    def change(self, after: int, colour: int) -> int:
        """The first pixel of `colour` right of `after` whose left neighbour is not."""
        return next((x for x in range(after + 1, 16) if self.above[x] == colour != [0, *self.above][x]), 16)

    def fill(self, end: int, colour: int) -> None:
        if end > 16 or end < max(self.a0, 0):
            self.damaged = True
        else:
            self.row[max(self.a0, 0) : end] = [colour] * (end - max(self.a0, 0))
            self.a0 = end

    def take(self, mode: str | tuple[int, int]) -> None:
        if self.damaged:
            return
        b1 = self.change(self.a0, 1 - self.colour)
        if mode == P:
            self.fill(self.change(b1, self.colour), self.colour)
        elif isinstance(mode, str):
            self.fill(b1 + DELTAS[mode], self.colour)
            self.colour ^= 1
        else:
            self.fill(max(self.a0, 0) + mode[0], self.colour)
            self.fill(self.a0 + mode[1], 1 - self.colour)
        if self.a0 == 16 and not self.damaged:
            self.rows.append(self.row)
            self.above = self.row
            self.begin()


@settings(max_examples=300, deadline=None)
@given(
    modes=st.lists(
        st.sampled_from([*DELTAS, V0, V0, P]) | st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=80
    )
)
def test_any_sequence_of_modes_paints_what_the_definition_paints(
    modes: list[str | tuple[int, int]], octets: Pack
) -> None:
    slow, code = Slow(), ""
    for mode in modes:
        dark = bool(slow.colour)
        code += mode if isinstance(mode, str) else h(*mode, dark=dark)
        slow.take(mode)
    decoder, rows = decode(octets, code + EOFB)
    assert rows == ["".join(".#"[pixel] for pixel in row) for row in slow.rows]
    assert decoder.damaged is (slow.damaged or slow.a0 != -1)


def test_equal_rows_and_blank_rows_are_one_bit_per_change(octets: Pack) -> None:
    decoder, rows = decode(octets, V0 * 40 + h(4, 4) + V0 + V0 * 30 + EOFB)
    assert rows == ["................"] * 40 + ["....####........"] * 11
    assert decoder.ended


@pytest.mark.parametrize(
    "error",
    [
        "0000001111",  # uncompressed mode
        VL3 + VL3 + VL3 + VL3 + VL3 + VL3,  # left of a0
        h(10, 7),  # past the end
        "001" + "000000001",  # no run
        VR1 + V0 * 5 + VR1 + V0,  # the last one right of the end
        V0 + EOL,  # EOL inside a row
    ],
)
def test_an_error_ends_the_page_before_the_row(octets: Pack, error: str) -> None:
    decoder, rows = decode(octets, h(4, 4) + V0 + error + V0 * 20 + EOFB)
    assert rows[:1] == ["....####........"]
    assert (decoder.damaged, decoder.ended, decoder.bad_rows) == (True, False, 0)
    assert len(rows) < 12


def test_a_page_without_eofb_is_a_page(octets: Pack) -> None:
    decoder, rows = decode(octets, h(4, 4) + V0 + V0 * 3)
    assert rows == ["....####........"] * 2
    assert (decoder.damaged, decoder.ended) == (False, False)


def test_zeros_after_the_last_row_are_padding(octets: Pack) -> None:
    decoder, rows = decode(octets, h(4, 4) + V0 + "0" * 900)
    assert len(rows) == 1
    assert (decoder.damaged, decoder.ended) == (False, False)


def test_an_eofb_may_follow_padding_and_may_be_one_eol(octets: Pack) -> None:
    for end in (EOL, "0000" + EOFB, EOFB + "0" * 64):
        decoder, rows = decode(octets, h(4, 4) + V0 + end)
        assert len(rows) == 1
        assert (decoder.damaged, decoder.ended) == (False, True)


def test_a_page_cut_inside_a_row_is_damaged_and_loses_that_row(octets: Pack) -> None:
    decoder, rows = decode(octets, h(4, 4) + V0 + VR1 + "001" + "1011")
    assert len(rows) == 1
    assert (decoder.damaged, decoder.ended) == (True, False)


def test_blank_rows_beyond_the_limit_end_the_page(octets: Pack) -> None:
    decoder, rows = decode(octets, V0 * 100 + EOFB, max_rows=30)
    assert (len(rows), decoder.limit) == (30, "rows")


def test_a_row_of_runs_without_length_ends_the_page(octets: Pack) -> None:
    decoder, _ = decode(octets, h(0, 0) * 200, max_row_octets=50)
    assert decoder.limit == "row octets"
