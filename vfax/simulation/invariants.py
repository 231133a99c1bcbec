"""What must hold in every simulated call, each as a function that tells what it found wrong.

Owns      the invariants, in the order of their numbers; the rows that a page should have had.
Not here  playing calls (trial.py), many of them (campaign.py).

|   | holds                                                                  | in                    |
|---|------------------------------------------------------------------------|-----------------------|
| 0 | a clean line delivers every page, unless the machines have no mode in  | clean                 |
|   | common                                                                 |                       |
| 1 | both sides end within their time, with a sentence, and hold nothing    | every scenario        |
| 2 | a confirmed page was kept before, whole                                | every scenario        |
|   | ... and has the pixels that were sent, or counts its bad rows          | honest                |
| 3 | what the sender holds for confirmed was confirmed by the receiver      | honest                |
|   | ... was at least followed by a confirmation on the wire                | every scenario        |
| 4 | page numbers only rise, none comes twice                               | every scenario        |
|   | ... and so do the pages that were sent, by their pixels                | honest                |
| 5 | engines hold no more than a bound                                      | every scenario        |
| 6 | no exception leaves an engine                                          | every scenario        |
| 7 | loss within the redundancy changes neither frames, pages nor outcome   | covered               |
| 8 | the same seed gives the same journals, octet for octet                 | when played twice     |

A hostile scenario (scenario.HOSTILE) puts words into the peer's mouth: an MCF that the receiver never said, page data
that nobody sent. The second lines of 2, 3 and 4 cannot hold there, since nothing in T.30 or T.38 tells such a packet
from a true one.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from vfax.codecs.dis import Agreement, Coding
from vfax.codecs.t4 import RowDecoder
from vfax.outcome import Cause, Outcome
from vfax.simulate import Side
from vfax.simulation.scenario import Kind, Scenario
from vfax.simulation.trial import Evidence, patience
from vfax.t30 import values as t30
from vfax.t30.coding import K
from vfax.transports.simnet import LineFaults

HELD: Final = 256 * 1024
"""Limit: octets that the engines of one side may hold beside the pages at hand."""

PIXEL: Final = 80
"""Limit: octets for a pixel of a row: a decoder holds where the colours of two rows change, 36 octets each."""

_ANSWERS: Final = frozenset({"MCF", "RTP", "PIP"})
"""Frames that confirm a page."""

_NO_MODE: Final = frozenset({Cause.INCOMPATIBLE, Cause.T38_REFUSED})


@dataclass(frozen=True, slots=True)
class Violation:
    """What did not hold: the invariant's number and a sentence."""

    number: int
    what: str


Check = Callable[[Evidence], Iterator[str]]


def violations(evidence: Evidence) -> list[Violation]:
    """All that one trial shows to be wrong, but for what needs a second trial (see `differences`)."""
    if evidence.fault:
        return [Violation(6, evidence.fault.strip().splitlines()[-1])]
    return [Violation(number, what) for number, check in CHECKS for what in check(evidence)]


# --- 0, 1: the end -------------------------------------------------------------------------------


def clean_line_delivers(evidence: Evidence) -> Iterator[str]:
    """0: nothing went wrong, so nothing may fail."""
    scenario = evidence.scenario
    if scenario.kind not in (Kind.CLEAN, Kind.COVERED):
        return
    for side, outcome in evidence.outcomes.items():
        if not outcome.ok and not _NO_MODE.intersection(one.cause for one in evidence.outcomes.values()):
            yield f"on a clean line the {side.value} side says: {outcome.sentence}"


def both_sides_end(evidence: Evidence) -> Iterator[str]:
    """1: an outcome within patience, explained, and nothing left behind."""
    scenario = evidence.scenario
    for side in evidence.began:
        outcome = evidence.outcomes.get(side)
        if outcome is None:
            yield f"the {side.value} side had no outcome after {patience(scenario):.0f} s"
        else:
            yield from _odd_outcome(side, outcome, scenario)
    if not evidence.still:
        yield "timers or datagrams were still pending"
    elif evidence.left_over:
        yield f"the SIP agent of {', '.join(sorted(evidence.left_over))} still holds something"


def _odd_outcome(side: Side, outcome: Outcome, scenario: Scenario) -> Iterator[str]:
    if not outcome.sentence.endswith("."):
        yield f"the {side.value} side ends without a sentence: {outcome.sentence!r}"
    if outcome.cause is Cause.INTERNAL:
        yield f"the {side.value} side ends with an internal fault"
    pages = len(scenario.pages) - scenario.first + 1
    if side is scenario.sender and outcome.pages_confirmed > pages:
        yield f"the sender counts {outcome.pages_confirmed} of {pages} pages"
    if side is scenario.sender and outcome.ok and outcome.pages_confirmed < pages:
        yield f"complete, but {outcome.pages_confirmed} of {pages} pages are confirmed"


# --- 2: confirmed pages --------------------------------------------------------------------------


def confirmed_pages_are_kept(evidence: Evidence) -> Iterator[str]:
    """2: whatever the peer does, MCF promises that the page is in the store."""
    for at, number in evidence.confirmed(evidence.scenario.receiver):
        kept = [page for when, page in evidence.kept if when <= at and page.number == number and page.complete]
        if not kept:
            yield f"page {number} was confirmed at {at:.3f} s and not kept before"


def kept_pages_are_right(evidence: Evidence) -> Iterator[str]:
    """2: whole pages have the pixels that were sent, or say how many rows are bad."""
    if not evidence.scenario.honest:
        return
    confirmed = {number for _, number in evidence.confirmed(evidence.scenario.receiver)}
    for _, page in evidence.kept:
        if page.complete and page.number in confirmed:
            yield from _wrong(evidence, page)


def _wrong(evidence: Evidence, page: t30.PageReceived) -> Iterator[str]:
    rows = _rows(page.raster, page.width_px)
    found = [_common(rows, expected) for expected in _expectations(evidence, page.agreement)]
    if not found:
        yield f"page {page.number} was confirmed, but no page was ever coded for it"
        return
    best, wanted = max(found)
    if page.bad_rows == 0 and not best == wanted == page.rows:
        yield f"page {page.number} is said to be perfect: {best} of its {page.rows} rows are among the {wanted} sent"
    elif page.bad_rows and page.agreement.ecm and best == wanted == page.rows:
        yield f"page {page.number} is perfect, but {page.bad_rows} rows of it count as bad"
    elif page.rows - page.bad_rows * _damage(page.agreement) > best:
        yield f"page {page.number} counts {page.bad_rows} bad rows of {page.rows}, only {best} are as sent"


def _damage(agreement: Agreement) -> int:
    """Rows that one row counted as bad may have spoilt unseen.

    The halves of two rows around a lost packet may fit together; rows of MR are told as differences from the row above,
    up to the next one that is coded on its own.
    """
    return K[agreement.resolution] if agreement.coding is Coding.MR else 2


# --- 3: what the sender believes -----------------------------------------------------------------


def sender_reports_what_was_confirmed(evidence: Evidence) -> Iterator[str]:
    """3: in honest scenarios the receiver has confirmed the page; always, a confirmation came after it."""
    if evidence.scenario.honest:
        yield from _believed_too_early(evidence)
    told = len(evidence.confirmed(evidence.scenario.sender))
    answers = sum(
        isinstance(event, t30.FrameSeen) and not event.sent and event.name in _ANSWERS
        for _, event in evidence.events(evidence.scenario.sender)
    )
    if told > answers:
        yield f"the sender holds {told} pages for confirmed after {answers} answers"
    outcome = evidence.outcomes.get(evidence.scenario.sender)
    if outcome is not None and outcome.pages_confirmed != told:
        yield f"the sender's outcome counts {outcome.pages_confirmed} pages, its events {told}"


def _believed_too_early(evidence: Evidence) -> Iterator[str]:
    """Pages are told by their pixels: after RTN a sender may go on, and then the two sides count differently."""
    confirmed: dict[int, float] = {}
    for at, number in evidence.confirmed(evidence.scenario.receiver):
        page = next((page for _, page in evidence.kept if page.number == number and page.complete), None)
        if page is not None:
            confirmed[_origin(evidence, page)] = at
    for at, number in evidence.confirmed(evidence.scenario.sender):
        if confirmed.get(number, at + 1) > at:
            yield f"the sender holds page {number} for confirmed at {at:.3f} s, the receiver does not"


# --- 4: order ------------------------------------------------------------------------------------


def pages_keep_their_order(evidence: Evidence) -> Iterator[str]:
    """4: numbers rise; in honest scenarios so do the pages themselves."""
    numbers = [page.number for _, page in evidence.kept]
    if numbers != sorted(set(numbers)):
        yield f"pages were kept in the order {numbers}"
    if not evidence.scenario.honest:
        return
    origins = [_origin(evidence, page) for _, page in evidence.kept if page.complete and not page.bad_rows]
    known = [origin for origin in origins if origin]
    if known != sorted(set(known)):
        yield f"the pages that were kept are those sent as {known}"


def _origin(evidence: Evidence, page: t30.PageReceived) -> int:
    """Number of the page that was sent with most of these rows; 0 when none has a row of it."""
    rows = _rows(page.raster, page.width_px)
    shares = [
        (_common(rows, _rows(_decoded(evidence, agreement, coded), page.width_px)), coded.number)
        for agreement, coded in evidence.coded
        if _alike(agreement, page.agreement)
    ]
    (best, _), number = max(shares, default=((0, 0), 0))
    return number if best else 0


# --- 5, 6 ----------------------------------------------------------------------------------------


def memory_is_bounded(evidence: Evidence) -> Iterator[str]:
    """5: what engines hold grows with the page at hand and with nothing else."""
    largest = max(len(page.raster) for page in evidence.scenario.pages)
    coded = max((len(coded.data) for _, coded in evidence.coded), default=0)
    widest = max(page.width_px for page in evidence.scenario.pages)
    bound = HELD + PIXEL * widest + 3 * (largest + coded)  # the page at hand and the next one, or its frames and rows
    if evidence.heaviest > bound:
        yield f"the engines of one side held {evidence.heaviest} octets, more than {bound}"


# --- 7, 8: two trials ----------------------------------------------------------------------------


def faultless(scenario: Scenario) -> Scenario:
    """The same fax over a line that loses nothing."""
    clean = {side: replace(scenario.media[side], loss=0.0, burst_loss=0.0) for side in Side}
    return replace(scenario, media=clean, signalling=dict.fromkeys(Side, LineFaults()), depth=0)


def repaired_loss_changes_nothing(evidence: Evidence, perfect: Evidence) -> Iterator[str]:
    """7: the trial and its faultless twin tell the same frames, pages and outcomes."""
    for side in Side:
        here, there = _course(evidence, side), _course(perfect, side)
        if here != there:
            at = next((at for at, pair in enumerate(zip(here, there, strict=False)) if pair[0] != pair[1]), len(there))
            yield f"{side.value}: step {at} is {here[at : at + 1]}, on a perfect line {there[at : at + 1]}"
    for (_, page), (_, twin) in zip(evidence.kept, perfect.kept, strict=False):
        if page != twin:
            yield f"page {page.number} is not what a perfect line delivers"


def _course(evidence: Evidence, side: Side) -> list[tuple[object, ...]]:
    """Frames and outcome of a side, without their times."""
    course: list[tuple[object, ...]] = [
        (event.sent, event.name, event.octets) for _, event in evidence.events(side) if isinstance(event, t30.FrameSeen)
    ]
    outcome = evidence.outcomes.get(side)
    return [*course, (None if outcome is None else replace(outcome, duration=0.0),)]


def same_journals(evidence: Evidence, again: Evidence) -> Iterator[str]:
    """8: nothing but the seed decides."""
    for side in Side:
        if evidence.journals.get(side) != again.journals.get(side):
            yield f"the {side.value} side's journal differs the second time"


# --- pixels --------------------------------------------------------------------------------------


def _expectations(evidence: Evidence, agreement: Agreement) -> Iterator[list[bytes]]:
    """The rows of every page that was coded for such an agreement."""
    for other, coded in evidence.coded:
        if _alike(other, agreement):
            yield _rows(_decoded(evidence, other, coded), agreement.width_px)


def _alike(one: Agreement, other: Agreement) -> bool:
    """Whether a page has the same pixels under both."""
    return (one.resolution, one.width_px) == (other.resolution, other.width_px)


def _decoded(evidence: Evidence, agreement: Agreement, coded: t30.PageCoded) -> bytes:
    """What a perfect channel delivers. A page in its own size is what it was, whatever coder and decoder think."""
    page = evidence.scenario.pages[coded.number - 1]
    if (page.width_px, page.resolution) == (agreement.width_px, agreement.resolution):
        return page.raster
    return _decode(agreement.coding, agreement.width_px, coded.data)


@lru_cache(maxsize=8)
def _decode(coding: Coding, width_px: int, data: bytes) -> bytes:
    decoder = RowDecoder(coding, width_px)
    decoder.feed(data)
    decoder.finish()
    return decoder.take_raster()


def _rows(raster: bytes, width_px: int) -> list[bytes]:
    stride = (width_px + 7) // 8
    return [raster[at : at + stride] for at in range(0, len(raster), stride)]


def _common(rows: list[bytes], expected: list[bytes]) -> tuple[int, int]:
    """Length of the longest common subsequence of rows, and how many were expected.

    Bit-parallel (Hyyrö 2004): a bit per expected row, one addition per row.
    """
    if rows == expected:
        return len(rows), len(rows)
    places: dict[bytes, int] = {}
    for at, row in enumerate(expected):
        places[row] = places.get(row, 0) | 1 << at
    full = (1 << len(expected)) - 1
    vector = full
    for row in rows:
        match = vector & places.get(row, 0)
        vector = ((vector + match) | (vector - match)) & full
    return len(expected) - vector.bit_count(), len(expected)


CHECKS: Final[tuple[tuple[int, Check], ...]] = (
    (0, clean_line_delivers),
    (1, both_sides_end),
    (2, confirmed_pages_are_kept),
    (2, kept_pages_are_right),
    (3, sender_reports_what_was_confirmed),
    (4, pages_keep_their_order),
    (5, memory_is_bounded),
)
"""What one trial is enough to judge; 6 is judged by `violations` itself, 7 and 8 take two trials."""
