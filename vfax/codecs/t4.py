"""Coded pages to rows: MH, MR and MMR, as their octets arrive.

Owns      one-dimensional rows, EOL, RTC and EOFB, resynchronisation, repair of bad rows, the limits of a page.
Not here  code words (t4_tables.py), two-dimensional rows (t6.py), writing (encode.py), files (tiff.py).
Source    T.4 4.1 (one-dimensional), 4.2 (two-dimensional), T.6 2. Where pages break these rules the table of bad
          input in the tests says what we do.

Bad rows  MH, MR: a row that has no valid code, or is too short or too long, is counted, and the row before it (white
          for the first) takes its place; decoding goes on at the next EOL. After a bad row, two-dimensional rows are
          bad too until the next one-dimensional one. MMR: there is no way back, the page ends before the bad row.
No EOL    Rows are then taken by width, one-dimensionally, until the first EOL is seen.
"""

from dataclasses import dataclass
from typing import Final

from vfax.codecs.bits import (
    AT_CODE,
    BAD,
    DONE,
    IN_FIRST_RUN,
    KEEP,
    MORE,
    TOO_LONG,
    Bits,
    Row,
    masks,
    paint,
)
from vfax.codecs.dis import Coding
from vfax.codecs.t4_tables import BLACK_PAIRS, BLACK_RUNS, MODE_BITS, MODES, RTC_EOLS, WHITE_PAIRS, WHITE_RUNS
from vfax.codecs.t6 import trace_2d
from vfax.errors import MisuseError

# Limit: no fax paper is wider (A3 at 1200 pixels per 25.4 mm has 14592 pixels).
MAX_WIDTH_PX: Final = 20_000
EOL_ZEROS: Final = 11
SEVEN_ZEROS: Final = 7  # no mode begins with them, an EOFB does

# What the decoder waits for.
_ROW_START: Final = 0
_IN_ROW: Final = 1
_ROW_END: Final = 2
_EOL_CODE: Final = 3  # zeros, then a one
_TAG: Final = 4  # the bit after an EOL of MR
_OVER: Final = 5


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """Where a page ends whatever the peer sends. A value of 0 for `max_row_octets` means `width_px + 64`.

    Limit: 20 000 rows are 2.6 m of fine page; a row of the worst pattern needs 6 bits a pixel in MMR.
    """

    max_rows: int = 20_000
    max_row_octets: int = 0
    max_octets: int = 16 * 1024 * 1024


DEFAULT_LIMITS: Final = DecodeLimits()


class RowDecoder:
    """One page: octets in, painted rows out. Any split of the octets gives the same rows; nothing raises.

    Rows are `(width_px + 7) // 8` octets, 1 = black, most significant bit left. First code bit in the most
    significant bit of the first octet. `ecm` is informative: the rows of a page do not depend on it.
    """

    def __init__(
        self, coding: Coding, width_px: int, limits: DecodeLimits = DEFAULT_LIMITS, *, ecm: bool = False
    ) -> None:
        if not 0 < width_px <= MAX_WIDTH_PX:
            raise MisuseError(f"width_px is {width_px}, expected 1 to {MAX_WIDTH_PX}")
        self.coding = coding
        self.width_px = width_px
        self.limits = limits
        self.ecm = ecm
        self.rows = 0
        self.bad_rows = 0
        self.longest_bad_run = 0
        self.ended = False  # RTC or EOFB was seen: what follows is swallowed
        self.damaged = False  # MMR: the page ends before a row that could not be decoded
        self.limit = ""  # "rows", "row octets" or "octets": the limit that ended the page
        self.octets = 0
        self._bits = Bits()
        self._row = Row(width_px)
        self._row_octets = limits.max_row_octets or width_px + 64
        self._masks = masks(width_px)
        self._stride = (width_px + 7) // 8
        self._white = bytes(self._stride)
        self._above = self._white
        self._painted: list[bytes] = []
        self._state = _ROW_START
        self._two_dimensional = coding is Coding.MMR
        self._zeros = 0
        self._eols = 0  # EOLs since the last row
        self._eol_seen = False
        self._bad_run = 0
        self._lost = False  # the row above is a repaired one
        self._total_bits = -1  # known when the page is finished

    # --- in ---------------------------------------------------------------------------------------

    def feed(self, octets: bytes) -> None:
        """Decode as far as the octets reach; up to six octets wait for the next call or for `finish`."""
        if self._state == _OVER:
            return
        room = self.limits.max_octets - self.octets
        self._bits.feed(octets[:room] if len(octets) > room else octets)
        self.octets += min(len(octets), room)
        self._run()
        if len(octets) > room and self._state != _OVER:
            self._end("octets")

    def finish(self) -> None:
        """No more octets: decode what waits, then end the page."""
        if self._state == _OVER:
            return
        self._total_bits = self.octets * 8
        # No code begins with so many zeros: no row is made up of them, and a row that was cut is found to be bad.
        self._bits.feed(bytes(8))
        self._run()
        self._state = _OVER

    def take_raster(self) -> bytes:
        """The rows painted since the last call, packed one after the other."""
        return b"".join(self.take_rows())

    def take_rows(self) -> list[bytes]:
        """The rows painted since the last call, each packed; a row equal to the one above is the same object."""
        rows, self._painted = self._painted, []
        return rows

    # --- pages ------------------------------------------------------------------------------------

    def _run(self) -> None:
        if self.coding is Coding.MMR:
            self._run_t6()
        else:
            self._run_t4()

    def _run_t6(self) -> None:
        bits, row = self._bits, self._row
        while self._state != _OVER:
            if self._state == _ROW_START:
                if not bits.refill():
                    return
                if bits.peek(SEVEN_ZEROS) == 0:
                    self._seek_eol(0)
                    continue
                if row.last == 0 and self._blank_rows():
                    continue
                self._begin_row()
            elif self._state == _EOL_CODE:
                zeros = self._next_one()
                if zeros < 0:
                    return
                self.ended = zeros >= EOL_ZEROS
                self.damaged = not self.ended
                self._state = _OVER
                return
            status = trace_2d(bits, row)
            if status == MORE:
                return
            if status == DONE and not self._beyond_end():
                self._keep_row()
                continue
            if status == TOO_LONG:
                self._end("row octets")
            else:
                self._give_up_row()

    def _run_t4(self) -> None:
        bits = self._bits
        while self._state != _OVER:
            if self._state == _EOL_CODE:
                zeros = self._next_one()
                if zeros < 0:
                    return
                if zeros >= EOL_ZEROS:
                    self._take_eol()
            elif self._state == _IN_ROW:
                if not self._trace_row():
                    return
            elif not bits.refill():
                return
            elif self._state == _TAG:
                self._two_dimensional = bits.peek(1) == 0
                bits.count -= 1
                self._state = _ROW_START
            elif self._state == _ROW_START:
                self._start_row()
            elif bits.peek(EOL_ZEROS) == 0:  # _ROW_END
                self._keep_row()
            else:
                self._give_up_row()  # too long

    # --- one row ----------------------------------------------------------------------------------

    def _start_row(self) -> None:
        """At a row's place: an EOL without data is no row; after a bad row only a one-dimensional one is readable."""
        if self._bits.peek(EOL_ZEROS) == 0:
            self._seek_eol(0)
            return
        self._eols = 0
        if self._two_dimensional and self._lost:
            self._give_up_row()
        else:
            self._begin_row()

    def _begin_row(self) -> None:
        self._row.begin(self._bits.position(), self._row_octets)
        self._state = _IN_ROW

    def _trace_row(self) -> bool:
        """Go on with an MH or MR row; False when more octets are needed."""
        trace = trace_2d if self._two_dimensional else trace_1d
        status = trace(self._bits, self._row)
        if status == MORE:
            return False
        if status == TOO_LONG:
            self._end("row octets")
        elif status == BAD or self._beyond_end():
            self._give_up_row()
        elif self._eol_seen:
            self._state = _ROW_END
        else:
            self._keep_row()
        return True

    def _beyond_end(self) -> bool:
        """True when the row was completed by bits that never came."""
        return 0 <= self._total_bits < self._bits.position()

    def _keep_row(self) -> None:
        row = self._row
        if not row.accept():
            self._above = paint(row.reference[: row.last], self._masks, self._stride) if row.last else self._white
        self._lost = False
        self._bad_run = 0
        self._state = _ROW_START
        self._put_row()

    def _give_up_row(self) -> None:
        """A row that cannot be read: the row above takes its place and the next EOL is sought; MMR ends here."""
        if self.coding is Coding.MMR:
            self.damaged = True
            self._state = _OVER
            return
        self._seek_eol(self._bits.zeros_behind())
        if not self._eol_seen and not self.rows:
            return  # rubbish before the first EOL is not a row
        self._lost = True
        if self._put_row():
            self.bad_rows += 1
            self._bad_run += 1
            self.longest_bad_run = max(self.longest_bad_run, self._bad_run)

    def _put_row(self) -> bool:
        if self.rows >= self.limits.max_rows:
            self._end("rows")
            return False
        self.rows += 1
        self._painted.append(self._above)
        return True

    def _blank_rows(self) -> bool:
        """Below a blank row every V0 code is one more: take as many as a look shows (MMR)."""
        rows = MODES[self._bits.peek(MODE_BITS)][1]
        for _ in range(rows):
            self._bits.count -= 1
            if not self._put_row():
                break
        return rows > 0

    # --- EOL --------------------------------------------------------------------------------------

    def _seek_eol(self, zeros: int) -> None:
        self._zeros = zeros
        self._state = _EOL_CODE

    def _next_one(self) -> int:
        """Read up to the next one: how many zeros stood before it, or -1 when more octets are needed."""
        bits = self._bits
        while bits.refill():
            self._zeros += bits.skip_zeros()
            if bits.count:
                bits.count -= 1
                zeros, self._zeros = self._zeros, 0
                return zeros
        return -1

    def _take_eol(self) -> None:
        self._eol_seen = True
        self._eols += 1
        if self._eols == RTC_EOLS:
            self.ended = True
            self._state = _OVER
        else:
            self._state = _TAG if self.coding is Coding.MR else _ROW_START

    def _end(self, limit: str) -> None:
        self.limit = limit
        self._state = _OVER


def trace_1d(bits: Bits, row: Row) -> int:
    """Trace a one-dimensional row until it is `DONE`, `BAD`, `TOO_LONG`, or `MORE` octets are needed.

    A look resolves two terminating codes where they fit; make-up codes and the row's end go one by one.
    """
    window, count, words, at = bits.window, bits.count, bits.words, bits.at
    changes, a0, run, phase, width = row.changes, row.a0, row.run, row.phase, row.width
    pairs, runs = (BLACK_PAIRS, BLACK_RUNS) if len(changes) & 1 else (WHITE_PAIRS, WHITE_RUNS)
    keep = KEEP
    limit = row.stop - bits.base
    end = min(len(words), limit)
    status = BAD
    while True:
        if count < 23:  # WINDOW_BITS
            if at >= end:
                status = TOO_LONG if at >= limit else MORE
                break
            window = (window & keep[count]) << 32 | words[at]
            at += 1
            count += 32
        if phase == AT_CODE:
            taken, first, second = pairs[(window >> (count - 13)) & 8191]
            if taken:
                second += a0
                if second < width:
                    count -= taken
                    changes += (a0 + first, second)
                    a0 = second
                    continue
                if second == width:
                    count -= taken
                    changes.append(a0 + first)
                    status = DONE
                    break
            phase = IN_FIRST_RUN
        taken, length, goes_on = runs[(window >> (count - 13)) & 8191]
        run += length
        if not taken or a0 + run > width:
            break
        count -= taken
        if goes_on:
            continue
        if not run and changes:
            row.doubled = True
        a0 += run
        if a0 == width:
            status = DONE
            break
        changes.append(a0)
        run = 0
        phase = AT_CODE
        pairs, runs = (BLACK_PAIRS, BLACK_RUNS) if len(changes) & 1 else (WHITE_PAIRS, WHITE_RUNS)
    bits.window, bits.count, bits.at = window, count, at
    row.a0, row.run, row.phase = a0, run, phase
    return status
