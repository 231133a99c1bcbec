"""Two-dimensional rows: the modes of T.6, which MR uses too.

Owns      tracing one row against the row above it.
Not here  code words (t4_tables.py), pages, EOL, EOFB, repair (t4.py).
Source    T.6 2.2 and T.4 4.2.1.3 (pass, vertical and horizontal mode).
"""

from vfax.codecs.bits import (
    AT_CODE,
    BAD,
    DONE,
    IN_FIRST_RUN,
    IN_SECOND_RUN,
    KEEP,
    MORE,
    TOO_LONG,
    Bits,
    Row,
)
from vfax.codecs.t4_tables import (
    BLACK_PAIRS,
    BLACK_RUNS,
    MODE_HORIZONTAL,
    MODE_PASS,
    MODES,
    WHITE_PAIRS,
    WHITE_RUNS,
)


def trace_2d(bits: Bits, row: Row) -> int:
    """Trace `row` against its reference until it is `DONE`, `BAD`, `TOO_LONG`, or `MORE` octets are needed.

    One loop on purpose: this is where a page's time goes. A look resolves a run of V0 codes and the code after
    them; V0 codes copy a slice of the reference.
    """
    window, count, words, at = bits.window, bits.count, bits.words, bits.at
    reference, last, width = row.reference, row.last, row.width
    changes, a0, b1, run, phase = row.changes, row.a0, row.b1, row.run, row.phase
    modes, white_pairs, black_pairs = MODES, WHITE_PAIRS, BLACK_PAIRS
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
            taken, zeros, what = modes[(window >> (count - 10)) & 1023]
            if zeros:
                following = b1 + zeros
                if following > last:  # the last of these V0 codes is the row's end; what follows is another row's
                    if b1 > last:
                        count -= 1
                    else:
                        count -= last - b1 + 1
                        changes += reference[b1:last]
                    status = DONE
                    break
                changes += reference[b1:following]
                b1 = following
                a0 = reference[b1 - 1]
            count -= taken
            if what < MODE_PASS:
                if what > 0:
                    a0 = reference[b1] + what
                    if a0 >= width:
                        status = DONE if a0 == width else BAD
                        break
                    changes.append(a0)
                    b1 += 1
                    while reference[b1] <= a0:
                        b1 += 2
                elif what:
                    position = reference[b1] + what
                    b1 += 1
                    if position <= a0:
                        if position < a0:
                            break
                        row.doubled = True
                    # A change left behind lies ahead again; among the sentinels this keeps b1 in its place. V0 has
                    # just passed the one before, so nothing was.
                    if not zeros and b1 > 1 and reference[b1 - 2] > position:
                        b1 -= 2
                    changes.append(position)
                    a0 = position
            elif what == MODE_HORIZONTAL:
                pairs = black_pairs if len(changes) & 1 else white_pairs
                taken, first, second = pairs[(window >> (count - 13)) & 8191]
                if taken:
                    count -= taken
                    second += a0
                    if second >= width:
                        if second > width:
                            break
                        changes.append(a0 + first)
                        status = DONE
                        break
                    changes += (a0 + first, second)
                    a0 = second
                    while reference[b1] <= a0:
                        b1 += 2
                else:
                    phase = IN_FIRST_RUN
            elif what == MODE_PASS:
                a0 = reference[b1 + 1]
                if a0 >= width:
                    status = DONE
                    break
                b1 += 2
            else:
                break
        else:
            runs = BLACK_RUNS if len(changes) & 1 else WHITE_RUNS
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
            run = 0
            if phase == IN_FIRST_RUN:
                changes.append(a0)
                phase = IN_SECOND_RUN
                continue
            phase = AT_CODE
            if a0 == width:
                if changes[-1] == width:
                    changes.pop()
                status = DONE
                break
            changes.append(a0)
            while reference[b1] <= a0:
                b1 += 2
    bits.window, bits.count, bits.at = window, count, at
    row.a0, row.b1, row.run, row.phase = a0, b1, run, phase
    return status
