"""What the row decoders share: the bit window on the coded octets, and the row being traced.

Owns      the window (a few dozen bits in one int), the change positions of a row and their painting.
Not here  what the bits mean (t4.py one-dimensional rows and pages, t6.py two-dimensional rows).
Source    T.4 4.1, 4.2 (changing elements); the first bit of the code is the most significant one, as T.38 carries it.

The tracing loops copy window and row into locals, run, and write them back: that is why all fields are open.
"""

from functools import lru_cache
from struct import unpack
from typing import Final

# How a trace ended.
MORE: Final = 0  # the octets ran out inside the row; it goes on where it stopped
DONE: Final = 1  # the row reached its width
BAD: Final = 2  # no such code, or a run past the row's end
TOO_LONG: Final = 3  # the row's code exceeds the limit

# A look takes 10 bits for modes and 13 for runs: with 23 in the window neither look needs a check of its own.
# 22 bits left + 32 new: 54 bits, two digits of a CPython int and one machine word when compiled.
WINDOW_BITS: Final = 23
WORD_OCTETS: Final = 4
WORD_BITS: Final = 32
KEEP: Final = [(1 << count) - 1 for count in range(WINDOW_BITS + WORD_BITS + 1)]
# Words that stay when they were read, for finding an EOL whose zeros were taken for code.
HISTORY_WORDS: Final = 3
HISTORY_BITS: Final = 11

# Four copies of the width end every list of changes: b1 and b2 exist wherever a trace looks for them.
SENTINELS: Final = 4

# Where a trace stands inside its row.
AT_CODE: Final = 0
IN_FIRST_RUN: Final = 1
IN_SECOND_RUN: Final = 2


class Bits:
    """The coded octets: `count` unread bits at the low end of `window`, then `words[at:]`, then `rest`.

    `base` is the number of words that were dropped before `words[0]`; `rest` is too short for a word.
    """

    __slots__ = ("at", "base", "count", "rest", "window", "words")

    def __init__(self) -> None:
        self.window = 0
        self.count = 0
        # A one before the stream: its start is not the end of an EOL's zeros.
        self.words: tuple[int, ...] = (0, 0, 1)
        self.at = HISTORY_WORDS
        self.base = -HISTORY_WORDS
        self.rest = b""

    def feed(self, octets: bytes) -> None:
        """Append octets; what was read is dropped."""
        dropped = self.at - HISTORY_WORDS
        octets = self.rest + octets
        words = len(octets) // WORD_OCTETS
        self.words = self.words[dropped:] + unpack(f">{words}I", octets[: words * WORD_OCTETS])
        self.rest = octets[words * WORD_OCTETS :]
        self.base += dropped
        self.at = HISTORY_WORDS

    def position(self) -> int:
        """Bits read since the start of the stream."""
        return (self.base + self.at) * WORD_BITS - self.count

    def refill(self) -> bool:
        """Bring the window to at least `WINDOW_BITS` bits; False when there are not enough octets."""
        if self.count < WINDOW_BITS:
            if self.at >= len(self.words):
                return False
            self.window = (self.window & KEEP[self.count]) << WORD_BITS | self.words[self.at]
            self.at += 1
            self.count += WORD_BITS
        return True

    def peek(self, bits: int) -> int:
        """The next bits of a refilled window, at most `WINDOW_BITS`."""
        return (self.window >> (self.count - bits)) & ((1 << bits) - 1)

    def skip_zeros(self) -> int:
        """Drop the zeros at the front of the window, return how many; the window may be empty afterwards."""
        rest = self.window & ((1 << self.count) - 1)
        zeros = self.count - rest.bit_length()
        self.count -= zeros
        return zeros

    def zeros_behind(self) -> int:
        """How many of the bits just read were zeros, as far as the history goes."""
        at, words = self.at, self.words
        behind = ((words[at - 3] << WORD_BITS | words[at - 2]) << WORD_BITS | words[at - 1]) >> self.count
        behind &= (1 << HISTORY_BITS) - 1
        return (behind & -behind).bit_length() - 1 if behind else HISTORY_BITS


class Row:
    """The row being traced, as changing elements: even entries turn black, odd ones white.

    `reference` is the row above with its sentinels, `last` the index of its first sentinel, `b1` the index of b1.
    `doubled` says that a zero-length run may have put one position into `changes` twice.
    """

    __slots__ = (
        "a0",
        "b1",
        "changes",
        "doubled",
        "last",
        "phase",
        "reference",
        "run",
        "start",
        "stop",
        "tail",
        "width",
    )

    def __init__(self, width_px: int) -> None:
        self.width = width_px
        self.tail = [width_px] * SENTINELS
        self.reference = list(self.tail)
        self.last = 0
        self.start = 0
        self.stop = 0
        self.begin(0, 0)

    def begin(self, position: int, octets: int) -> None:
        """Start a row at bit `position` of the stream, whose code may be `octets` long."""
        self.changes: list[int] = []
        self.a0 = 0
        self.b1 = 0
        self.run = 0
        self.phase = AT_CODE
        self.doubled = False
        self.start = position
        self.stop = (position // 8 + octets + WORD_OCTETS - 1) // WORD_OCTETS

    def accept(self) -> bool:
        """Make the traced row the reference; True when it equals the row above."""
        if self.doubled:
            self.changes = without_empty_runs(self.changes)
        self.changes += self.tail
        if self.changes == self.reference:
            return True
        self.reference = self.changes
        self.last = len(self.changes) - SENTINELS
        return False


def without_empty_runs(changes: list[int]) -> list[int]:
    """Drop pairs of equal positions: a run of length zero is no changing element (T.4 4.2.1.3.1)."""
    kept: list[int] = []
    for position in changes:
        if kept and kept[-1] == position:
            kept.pop()
        else:
            kept.append(position)
    return kept


@lru_cache(maxsize=16)
def masks(width_px: int) -> list[int]:
    """For every position: all pixels from there to the end of the row, as an int of a whole number of octets."""
    pad = -width_px % 8
    return [((1 << (width_px - position)) - 1) << pad for position in range(width_px + 1)]


def paint(changes: list[int], mask: list[int], octets: int) -> bytes:
    """Packed pixels of a row, 1 = black: from every change on all pixels turn over."""
    # From the right: the accumulator is as short as the mask, so half the words are touched.
    row = 0
    for position in reversed(changes):
        row ^= mask[position]
    return row.to_bytes(octets, "big")
