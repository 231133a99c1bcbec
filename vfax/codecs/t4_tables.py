"""Run-length and mode codes of T.4 and T.6, and the look-up tables made of them.

Owns      the code words as printed, and tables that resolve several of them in one look.
Not here  reading a bit stream (t4.py, t6.py), writing one (encode.py).
Source    T.4 Tables 2/T.4, 3a/T.4, 3b/T.4, 4/T.4; T.6 Table 1/T.6. Checked code by code against libtiff in the tests.
"""

from typing import Final


def _words(text: str) -> list[str]:
    return text.split()


# --- code words as printed: index is the run (terminating) or the run over 64 (make-up) ----------------

WHITE_TERMINATING: Final = _words("""
    00110101 000111 0111 1000 1011 1100 1110 1111
    10011 10100 00111 01000 001000 000011 110100 110101
    101010 101011 0100111 0001100 0001000 0010111 0000011 0000100
    0101000 0101011 0010011 0100100 0011000 00000010 00000011 00011010
    00011011 00010010 00010011 00010100 00010101 00010110 00010111 00101000
    00101001 00101010 00101011 00101100 00101101 00000100 00000101 00001010
    00001011 01010010 01010011 01010100 01010101 00100100 00100101 01011000
    01011001 01011010 01011011 01001010 01001011 00110010 00110011 00110100
""")

BLACK_TERMINATING: Final = _words("""
    0000110111 010 11 10 011 0011 0010 00011
    000101 000100 0000100 0000101 0000111 00000100 00000111 000011000
    0000010111 0000011000 0000001000 00001100111 00001101000 00001101100 00000110111 00000101000
    00000010111 00000011000 000011001010 000011001011 000011001100 000011001101 000001101000 000001101001
    000001101010 000001101011 000011010010 000011010011 000011010100 000011010101 000011010110 000011010111
    000001101100 000001101101 000011011010 000011011011 000001010100 000001010101 000001010110 000001010111
    000001100100 000001100101 000001010010 000001010011 000000100100 000000110111 000000111000 000000100111
    000000101000 000001011000 000001011001 000000101011 000000101100 000001011010 000001100110 000001100111
""")

WHITE_MAKE_UP: Final = _words("""
    11011 10010 010111 0110111 00110110 00110111 01100100 01100101
    01101000 01100111 011001100 011001101 011010010 011010011 011010100 011010101
    011010110 011010111 011011000 011011001 011011010 011011011 010011000 010011001
    010011010 011000 010011011
""")

BLACK_MAKE_UP: Final = _words("""
    0000001111 000011001000 000011001001 000001011011 000000110011 000000110100 000000110101 0000001101100
    0000001101101 0000001001010 0000001001011 0000001001100 0000001001101 0000001110010 0000001110011 0000001110100
    0000001110101 0000001110110 0000001110111 0000001010010 0000001010011 0000001010100 0000001010101 0000001011010
    0000001011011 0000001100100 0000001100101
""")

# 1792 to 2560, both colours.
EXTENDED_MAKE_UP: Final = _words("""
    00000001000 00000001100 00000001101 000000010010 000000010011 000000010100 000000010101 000000010110
    000000010111 000000011100 000000011101 000000011110 000000011111
""")

LONGEST_MAKE_UP: Final = 2560
EOL: Final = "000000000001"
EOFB: Final = EOL * 2
RTC_EOLS: Final = 6

PASS: Final = "0001"
HORIZONTAL: Final = "001"
# Vertical modes by a1 - b1.
VERTICAL: Final = {0: "1", 1: "011", 2: "000011", 3: "0000011", -1: "010", -2: "000010", -3: "0000010"}


def _runs(terminating: list[str], make_up: list[str]) -> dict[str, int]:
    codes = {code: run for run, code in enumerate(terminating)}
    codes.update({code: 64 * (index + 1) for index, code in enumerate(make_up + EXTENDED_MAKE_UP)})
    return codes


WHITE: Final = _runs(WHITE_TERMINATING, WHITE_MAKE_UP)
BLACK: Final = _runs(BLACK_TERMINATING, BLACK_MAKE_UP)

# --- look-up tables -----------------------------------------------------------------------------------

RUN_BITS: Final = 13  # the longest run code
MODE_BITS: Final = 10

NO_CODE: Final = (0, 0, False)
NO_PAIR: Final = (0, 0, 0)

# What a `MODES` entry ends in, besides a vertical delta of -3..3 (0: nothing but V0 was whole in the window).
MODE_PASS: Final = 4
MODE_HORIZONTAL: Final = 5
MODE_NONE: Final = 6  # an extension, an EOL or no code at all


def _single(codes: dict[str, int]) -> list[tuple[int, int, bool]]:
    """For every window of `RUN_BITS` bits: (bits, run, whether the run goes on) of the code it begins with.

    A make-up code and the terminating code behind it are one entry where both fit. `NO_CODE` where no code is.
    """
    table = [NO_CODE] * (1 << RUN_BITS)
    ending = {code: run for code, run in codes.items() if run < 64}
    whole = {(make_up + code): codes[make_up] + ending[code] for make_up in codes.keys() - ending for code in ending}
    for code, run in (*codes.items(), *whole.items()):
        spare = RUN_BITS - len(code)
        if spare >= 0:
            first = int(code, 2) << spare
            entry = (len(code), run, code in codes and code not in ending)
            table[first : first + (1 << spare)] = [entry] * (1 << spare)
    return table


def _pairs(first: dict[str, int], second: dict[str, int]) -> list[tuple[int, int, int]]:
    """For every window: (bits, run, both runs together) where two terminating codes fit, else `NO_PAIR`.

    Runs without length are rare and need care: they go one by one.
    """
    table = [NO_PAIR] * (1 << RUN_BITS)
    for code, run in first.items():
        if not 0 < run < 64:
            continue
        for code2, run2 in second.items():
            spare = RUN_BITS - len(code) - len(code2)
            if not 0 < run2 < 64 or spare < 0:
                continue
            at = int(code + code2, 2) << spare
            table[at : at + (1 << spare)] = [(RUN_BITS - spare, run, run + run2)] * (1 << spare)
    return table


def _modes() -> list[tuple[int, int, int]]:
    """For every window of `MODE_BITS` bits: (bits, leading V0 codes, what follows them)."""
    codes = {code: delta for delta, code in VERTICAL.items() if delta}
    codes.update({PASS: MODE_PASS, HORIZONTAL: MODE_HORIZONTAL})
    table = [(MODE_BITS, MODE_BITS, 0)] * (1 << MODE_BITS)
    for zeros in range(MODE_BITS):
        lead = "1" * zeros
        room = MODE_BITS - zeros - 1
        first = int(lead + "0" + "0" * room, 2)
        # A code cut by the window's end waits for the next look; seven zeros begin no mode.
        table[first : first + (1 << room)] = [(zeros, zeros, 0 if zeros else MODE_NONE)] * (1 << room)
        for code, what in codes.items():
            spare = room + 1 - len(code)
            if spare >= 0:
                at = int(lead + code, 2) << spare
                table[at : at + (1 << spare)] = [(zeros + len(code), zeros, what)] * (1 << spare)
    return table


WHITE_RUNS: Final = _single(WHITE)
BLACK_RUNS: Final = _single(BLACK)
WHITE_PAIRS: Final = _pairs(WHITE, BLACK)
BLACK_PAIRS: Final = _pairs(BLACK, WHITE)
MODES: Final = _modes()
