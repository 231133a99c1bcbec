"""Each invariant fails on evidence that breaks it, and on nothing else: doctored calls, one for each sentence."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from vfax.leg import LegOptions
from vfax.outcome import Cause
from vfax.simulate import Side, SimulatedPage
from vfax.simulation.invariants import repaired_loss_changes_nothing, same_journals, violations
from vfax.simulation.pictures import Picture
from vfax.simulation.scenario import Kind, Scenario, roll
from vfax.simulation.trial import Evidence, Told, play
from vfax.t30 import values as t30
from vfax.transports.simnet import LineFaults


def two_pages(kind: Kind = Kind.CLEAN) -> Scenario:
    pages = tuple(
        SimulatedPage(1728, 6, roll(1).pages[0].resolution.STANDARD, bytes([number]) * 216 * 6) for number in (1, 2)
    )
    quiet = dict.fromkeys(Side, LineFaults())
    machine = LegOptions()
    return Scenario(
        seed=1,
        kind=kind,
        pages=pages,
        pictures=(Picture.TEXT, Picture.TEXT),
        calling=machine,
        called=machine,
        media=quiet,
        signalling=quiet,
    )


@pytest.fixture
def evidence() -> Evidence:
    return play(two_pages())


def numbers(evidence: Evidence) -> set[int]:
    return {violation.number for violation in violations(evidence)}


def without(evidence: Evidence, side: Side, kind: type[object]) -> None:
    evidence.told = [told for told in evidence.told if told.side is not side or not isinstance(told.event, kind)]


def test_a_good_call_breaks_nothing(evidence: Evidence) -> None:
    assert violations(evidence) == []
    assert [page.raster for _, page in evidence.kept] == [page.raster for page in evidence.scenario.pages]


def fail(evidence: Evidence) -> None:
    evidence.outcomes[Side.CALLED] = replace(evidence.outcomes[Side.CALLED], cause=Cause.NO_CARRIER)


def drop_outcome(evidence: Evidence) -> None:
    del evidence.outcomes[Side.CALLED]


def say_nothing(evidence: Evidence) -> None:
    evidence.outcomes[Side.CALLER] = replace(evidence.outcomes[Side.CALLER], sentence="")


def count_too_few(evidence: Evidence) -> None:
    evidence.outcomes[Side.CALLER] = replace(evidence.outcomes[Side.CALLER], pages_confirmed=1)


def leave_transaction(evidence: Evidence) -> None:
    evidence.left_over.add(Side.CALLER)


def leave_timer(evidence: Evidence) -> None:
    evidence.still = False


def lose_page(evidence: Evidence) -> None:
    del evidence.kept[0]


def keep_late(evidence: Evidence) -> None:
    at, page = evidence.kept[0]
    evidence.kept[0] = (at + 1, page)


def turn_pixel(evidence: Evidence) -> None:
    at, page = evidence.kept[1]
    evidence.kept[1] = (at, replace(page, lines=(b"\x80" + page.raster[1:],)))


def count_good_rows_as_bad(evidence: Evidence) -> None:
    at, page = evidence.kept[1]
    evidence.kept[1] = (at, replace(page, bad_rows=2))


def count_too_few_bad_rows(evidence: Evidence) -> None:
    at, page = evidence.kept[1]
    evidence.kept[1] = (at, replace(page, bad_rows=1, lines=(bytes([9]) * 216 * 5 + page.raster[216 * 5 :],)))


def confirm_for_sender_only(evidence: Evidence) -> None:
    without(evidence, Side.CALLED, t30.PageConfirmed)


def confirm_without_answer(evidence: Evidence) -> None:
    evidence.told.append(Told(evidence.ended_at, Side.CALLER, t30.PageConfirmed(3)))


def keep_twice(evidence: Evidence) -> None:
    evidence.kept.append(evidence.kept[-1])


def swap_pages(evidence: Evidence) -> None:
    (at, first), (then, second) = evidence.kept
    evidence.kept = [
        (at, replace(first, lines=second.lines)),
        (then, replace(second, lines=first.lines)),
    ]


def grow(evidence: Evidence) -> None:
    evidence.heaviest = 1 << 24


def fall_over(evidence: Evidence) -> None:
    evidence.fault = "Traceback\nKeyError: 1"


@pytest.mark.parametrize(
    ("doctor", "broken"),
    [
        (fail, 0),
        (drop_outcome, 1),
        (say_nothing, 1),
        (count_too_few, 1),
        (leave_transaction, 1),
        (leave_timer, 1),
        (lose_page, 2),
        (keep_late, 2),
        (turn_pixel, 2),
        (count_good_rows_as_bad, 2),
        (count_too_few_bad_rows, 2),
        (confirm_for_sender_only, 3),
        (confirm_without_answer, 3),
        (keep_twice, 4),
        (swap_pages, 4),
        (grow, 5),
        (fall_over, 6),
    ],
)
def test_a_broken_invariant_is_told(doctor: Callable[[Evidence], None], broken: int, evidence: Evidence) -> None:
    doctor(evidence)
    assert broken in numbers(evidence)


@pytest.mark.parametrize("doctor", [turn_pixel, confirm_for_sender_only, swap_pages])
def test_what_a_hostile_peer_can_do_is_not_held_against_us(
    doctor: Callable[[Evidence], None], evidence: Evidence
) -> None:
    evidence.scenario = replace(evidence.scenario, kind=Kind.FRAMES)
    doctor(evidence)
    assert numbers(evidence) == set()


@pytest.mark.parametrize("doctor", [lose_page, keep_late, keep_twice, confirm_without_answer, drop_outcome, grow])
def test_what_must_hold_whatever_comes_is_told_of_hostile_calls_too(
    doctor: Callable[[Evidence], None], evidence: Evidence
) -> None:
    evidence.scenario = replace(evidence.scenario, kind=Kind.FRAMES)
    doctor(evidence)
    assert numbers(evidence)


def test_loss_that_changed_a_frame_is_told(evidence: Evidence) -> None:
    again = play(evidence.scenario)
    assert list(repaired_loss_changes_nothing(again, evidence)) == []
    seen = next(told for told in again.told if isinstance(told.event, t30.FrameSeen))
    again.told.remove(seen)
    (sentence,) = repaired_loss_changes_nothing(again, evidence)
    assert "on a perfect line" in sentence


def test_another_journal_is_told(evidence: Evidence) -> None:
    evidence.journals = {Side.CALLER: b"a", Side.CALLED: b"b"}
    other = replace_journal(evidence)
    assert list(same_journals(evidence, evidence)) == []
    assert list(same_journals(evidence, other)) == ["the called side's journal differs the second time"]


def replace_journal(evidence: Evidence) -> Evidence:
    other = Evidence(evidence.scenario)
    other.journals = {**evidence.journals, Side.CALLED: b"c"}
    return other
