"""Rows to coded pages: MH, MR, MMR.

Owns      finding the changes of a packed row, choosing modes, EOL, fill, RTC and EOFB.
Not here  reading them (t4.py, t6.py), code words (t4_tables.py), who asks for which coding (t30/).
Source    T.4 4.1, 4.2 (MH, MR: fill, RTC, parameter K), T.6 2 (MMR, EOFB).

Codes are joined as text of zeros and ones, some hundred rows at a time, and turned into octets: joining and converting
run at the speed of C.
"""

from collections.abc import Iterable, Iterator
from itertools import accumulate, chain, count, islice
from operator import add, sub
from typing import Final

from vfax.codecs.dis import Coding
from vfax.codecs.t4_tables import (
    BLACK,
    BLACK_TERMINATING,
    EOFB,
    EOL,
    HORIZONTAL,
    LONGEST_MAKE_UP,
    PASS,
    RTC_EOLS,
    VERTICAL,
    WHITE,
    WHITE_TERMINATING,
)
from vfax.errors import MisuseError

ROWS_AT_ONCE: Final = 256

_MAKE_UP: Final = tuple({run: code for code, run in codes.items() if run > 63} for codes in (WHITE, BLACK))


def _code_of(run: int, colour: int) -> str:
    """The code words of a run, 0 = white: make-up codes as needed, then one terminating code."""
    terminating = BLACK_TERMINATING if colour else WHITE_TERMINATING
    longest, rest = divmod(run, LONGEST_MAKE_UP)
    make_up = rest & ~63
    code = _MAKE_UP[colour][LONGEST_MAKE_UP] * longest
    if make_up:
        code += _MAKE_UP[colour][make_up]
    return code + terminating[rest & 63]


# Runs up to the longest that needs one make-up code; wider pages are rare and take `_code_of`.
_RUN_CODES: Final = tuple([_code_of(run, colour) for run in range(LONGEST_MAKE_UP + 64)] for colour in (0, 1))


def _run_code(run: int, colour: int) -> str:
    codes = _RUN_CODES[colour]
    return codes[run] if run < len(codes) else _code_of(run, colour)


def encode_page(
    raster: bytes,
    width_px: int,
    rows: int,
    coding: Coding,
    *,
    k: int = 2,
    min_row_octets: int = 0,
    ecm: bool = False,
) -> bytes:
    """Code one page; the first code bit is the most significant bit of the first octet.

    `raster` holds `rows` rows of `(width_px + 7) // 8` octets, 1 = black. MH and MR: EOL first, every row followed by
    an EOL, RTC last; `k` is the parameter K of MR (2 for standard, 4 for fine resolution); a row's data, fill and EOL
    together are at least `min_row_octets` long, except with `ecm`, where there is no fill. MMR: rows, EOFB.
    The last octet is padded with zeros. Raises MisuseError when the raster is not `rows` rows.
    """
    stride = (width_px + 7) // 8
    if width_px < 1 or rows < 1 or len(raster) != stride * rows:
        raise MisuseError(f"raster has {len(raster)} octets, expected {rows} rows of {stride}")
    if k < 1:
        raise MisuseError(f"K is {k}, expected 1 or more")
    lines = _changes(raster, width_px)
    if coding is Coding.MMR:
        return _octets(chain(_codes_2d(lines, width_px), [EOFB]))
    fill = 0 if ecm else min_row_octets * 8
    if coding is Coding.MH:
        return _octets(chain(_separate(_codes_1d(lines), fill), [EOL * (RTC_EOLS - 1)]))
    return _octets(chain(_separate_mr(lines, width_px, k, fill), [(EOL + "1") * (RTC_EOLS - 1)]))


def _octets(codes: Iterable[str]) -> bytes:
    """Codes as octets, some hundred rows at a time: one conversion of all would hold up every other thread."""
    packed = []
    left = ""
    rows = iter(codes)
    while batch := list(islice(rows, ROWS_AT_ONCE)):
        text = left + "".join(batch)
        whole = len(text) & ~7
        left = text[whole:]
        packed.append(int("0" + text[:whole], 2).to_bytes(whole // 8, "big"))
    if left:
        packed.append(int(left.ljust(8, "0"), 2).to_bytes(1, "big"))
    return b"".join(packed)


def _changes(raster: bytes, width_px: int) -> Iterator[list[int]]:
    """The changing elements of each row, ended by three times the width; the same list for a row like the one above."""
    stride = (width_px + 7) // 8
    pad = stride * 8 - width_px
    above = b""
    line = end = [width_px] * 3
    for at in range(0, len(raster), stride):
        octets = raster[at : at + stride]
        if octets != above:
            above = octets
            row = int.from_bytes(octets, "big") >> pad
            # Ones where a pixel differs from its left neighbour: the text between two ones is a run but for one pixel.
            edges = f"{row ^ row >> 1:0{width_px}b}".split("1")
            edges.pop()
            line = [*map(add, accumulate(map(len, edges)), count()), *end] if row else end
        yield line


def _codes_1d(lines: Iterator[list[int]]) -> Iterator[str]:
    above: list[int] = []
    code = ""
    for line in lines:
        if line is not above:
            above = line
            code = _code_1d(line)
        yield code


def _code_1d(line: list[int]) -> str:
    """The codes of all runs, whites and blacks by turns."""
    changes = line[:-2]
    runs = [*map(sub, changes, [0, *changes])]
    codes = [""] * len(runs)
    try:
        codes[::2] = map(_RUN_CODES[0].__getitem__, runs[::2])
        codes[1::2] = map(_RUN_CODES[1].__getitem__, runs[1::2])
    except IndexError:  # longer than any single make-up code
        return _code_1d_of_long_runs(line)
    return "".join(codes)


def _code_1d_of_long_runs(line: list[int]) -> str:
    codes = []
    start = colour = 0
    for position in line[:-2]:
        codes.append(_run_code(position - start, colour))
        start = position
        colour ^= 1
    return "".join(codes)


def _codes_2d(lines: Iterator[list[int]], width_px: int) -> Iterator[str]:
    above = [width_px] * 3
    for line in lines:
        yield _code_2d(line, above, width_px)
        above = line


def _code_2d(line: list[int], above: list[int], width_px: int) -> str:
    """One row against the row above it (T.6 2.2.4)."""
    if line is above or line == above:
        return "1" * (len(line) - 2)
    codes: list[str] = []
    vertical = VERTICAL
    a0 = at = b = 0
    while True:
        a1 = line[at]
        moved = a1 - above[b]
        if above[b + 1] < a1:
            codes.append(PASS)
            a0 = above[b + 1]
        elif -3 <= moved <= 3:
            codes.append(vertical[moved])
            if a1 == width_px:
                break
            a0 = a1
            at += 1
            b += 1
            if b > 1 and above[b - 2] > a0:
                b -= 2
        else:
            colour = at & 1
            a2 = line[at + 1]
            codes += (HORIZONTAL, _run_code(a1 - a0, colour), _run_code(a2 - a1, colour ^ 1))
            if a2 == width_px:
                break
            a0 = a2
            at += 2
        while above[b] <= a0:
            b += 2
    return "".join(codes)


def _separate(rows: Iterator[str], fill: int) -> Iterator[str]:
    """EOL, then every row with fill and EOL (MH); the last EOL begins the RTC."""
    yield EOL
    for row in rows:
        yield row + "0" * (fill - len(row) - len(EOL)) + EOL


def _separate_mr(lines: Iterator[list[int]], width_px: int, k: int, fill: int) -> Iterator[str]:
    """The same for MR: the bit after each EOL tells how the next row is coded, and is 1 in the RTC."""
    above: list[int] = []
    row = ""
    for number, line in enumerate(lines):
        flat = number % k == 0
        if number:
            yield row + "0" * (fill - len(row) - len(EOL) - 1)
        yield EOL + ("1" if flat else "0")
        row = _code_1d(line) if flat else _code_2d(line, above, width_px)
        above = line
    yield row + "0" * (fill - len(row) - len(EOL) - 1) + EOL + "1"
