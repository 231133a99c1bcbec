"""Sentences put together from an outcome and its course; calls that reach each verdict are in tests/verdicts."""

from itertools import product

import pytest

from vfax.course import Course, ranges
from vfax.outcome import Cause, Outcome, Phase, Retry, T30Result
from vfax.transports.sip.reasons import REASONS
from vfax.verdict import MAX_EVIDENCE, PROOFS, RETRIES, STEPS, cause_of_end, cause_of_sip, explain, sip_words
from vfax.verdict_table import ROWS, V, row_of

EVERY = list(product(Cause, Phase, (True, False)))
FULL = Course(
    at=60.0,
    media="t38",
    answered_at=1.0,
    t38_at=1.0,
    page=2,
    confirmed=[1],
    repeats=2,
    frames_again=9,
    packets=100,
    lost=3,
    packet_at=20.0,
    trainings=[(14400, False), (9600, True)],
)


@pytest.mark.parametrize(("cause", "phase", "sending"), EVERY)
@pytest.mark.parametrize("course", [Course(), FULL])
def test_every_cause_has_a_complete_sentence_everywhere(
    cause: Cause, phase: Phase, sending: bool, course: Course
) -> None:
    text = explain(Outcome(cause=cause, phase=phase, pages_confirmed=1), course, sending=sending).sentence
    assert text[0].isupper()
    assert text.endswith(".")
    assert len(text.split()) >= 6
    assert not {"{", "}", "None", "  ", "()", "( ", ";."} & {
        text[i : i + n] for n in (1, 2, 4) for i in range(len(text))
    }


@pytest.mark.parametrize(("cause", "phase"), list(product(set(Cause) - {Cause.INTERNAL, Cause.ABORTED}, Phase)))
def test_sender_and_receiver_are_told_differently(cause: Cause, phase: Phase) -> None:
    outcome = Outcome(cause=cause, phase=phase)
    assert explain(outcome, Course(), sending=True).sentence != explain(outcome, Course(), sending=False).sentence


def test_the_tables_miss_nothing() -> None:
    assert set(RETRIES) == set(Retry)
    assert set(STEPS) == {True, False}
    for steps in STEPS.values():
        assert set(steps) == set(Phase)
    for row in ROWS:
        assert set(row.proofs) <= set(PROOFS), row.name


def test_only_the_last_rows_fit_everything_and_none_is_hidden_behind_one_without_a_condition() -> None:
    taken: set[tuple[Cause, bool, bool]] = set()
    for row in ROWS:
        if not row.causes:
            continue
        fits = {
            (cause, sends, calls)
            for cause, sends, calls in product(row.causes, (True, False), (True, False))
            if row.sending in (None, sends) and row.calling in (None, calls)
        }
        assert not fits <= taken, row.name
        if row.when is None:
            taken |= fits


@pytest.mark.parametrize(("cause", "phase", "sending"), EVERY)
def test_success_and_only_success_has_the_number_zero(cause: Cause, phase: Phase, sending: bool) -> None:
    row = row_of(Outcome(cause=cause, phase=phase), Course(), sending=sending)
    assert (row.result is T30Result.OK) == (cause is Cause.COMPLETE)


@pytest.mark.parametrize(
    ("outcome", "course", "sending", "text"),
    [
        (
            Outcome(cause=Cause.COMPLETE, phase=Phase.RELEASE, pages_confirmed=3),
            Course(),
            True,
            "The fax was delivered: the other machine confirmed all 3 pages.",
        ),
        (
            Outcome(cause=Cause.COMPLETE, phase=Phase.RELEASE, pages_confirmed=1, bad_rows=1),
            Course(lost=4, packets=500),
            False,
            "The fax was received, but not without marks: its only page came, with 1 row damaged or missing "
            "(4 of 504 T.38 packets lost).",
        ),
        (
            Outcome(cause=Cause.BUSY, phase=Phase.CALL, sip_status=486),
            Course(),
            True,
            "The other side is busy (SIP 486 Busy Here); nothing was sent. Worth another try later.",
        ),
        (
            Outcome(cause=Cause.NO_CARRIER, phase=Phase.MESSAGE, pages_confirmed=2),
            Course(at=74.2, t38_at=1.0, packet_at=40.0, packets=900, page=3, confirmed=[1, 2]),
            False,
            "The other machine stopped sending in the middle of page 3 (no T.38 packet for 34 s); "
            "pages 1-2 are complete. Worth another try.",
        ),
        (
            Outcome(
                cause=Cause.STORAGE, phase=Phase.POST_MESSAGE, pages_confirmed=1, evidence="No space left on device"
            ),
            Course(page=2, confirmed=[1], lost_page=2),
            False,
            "Page 2 could not be stored on this side, so it was not confirmed (No space left on device); "
            "page 1 is complete. Make room or mend the disk; then the sender may try again.",
        ),
    ],
)
def test_sentences_read_like_this(outcome: Outcome, course: Course, sending: bool, text: str) -> None:
    assert explain(outcome, course, sending=sending).sentence == text


def test_evidence_is_one_clean_short_piece_of_text_and_never_a_template() -> None:
    outcome = Outcome(cause=Cause.REJECTED, phase=Phase.CALL)
    text = explain(outcome, Course(), sending=True, evidence="{page}\r\n\x1b[31m  no\x00route..").sentence
    assert "({page} [31m no route);" in text
    long = explain(outcome, Course(), sending=True, evidence="x" * 10_000).sentence
    assert f"({'x' * MAX_EVIDENCE}...)" in long


def test_the_verdict_fills_in_name_number_and_advice() -> None:
    outcome = explain(Outcome(cause=Cause.BUSY, sip_status=486), Course(), sending=True)
    assert (outcome.verdict, outcome.t30_result, outcome.retry) == (V.BUSY, T30Result.BUSY, Retry.LATER)
    assert (outcome.sending, outcome.evidence) == (True, "")


@pytest.mark.parametrize(
    ("numbers", "text"), [([], ""), ([3], "3"), ([1, 2, 3], "1-3"), ([1, 2, 5, 7, 8], "1-2, 5, 7-8")]
)
def test_page_numbers_are_said_in_ranges(numbers: list[int], text: str) -> None:
    assert ranges(numbers) == text


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        *((status, Cause.BUSY) for status in (486, 600)),
        *((status, Cause.NO_ANSWER) for status in (408, 480, 487)),
        *((status, Cause.BAD_ADDRESS) for status in (404, 410, 414, 416, 484, 485, 604, 301)),
        *((status, Cause.T38_REFUSED) for status in (415, 488, 606)),
        *((status, Cause.REJECTED) for status in (401, 403, 407, 420, 603, 607, 699, 380)),
        *((status, Cause.NETWORK) for status in (481, 482, 483, 500, 502, 503, 504, 599)),
    ],
)
def test_a_final_status_means_a_cause(status: int, cause: Cause) -> None:
    assert cause_of_sip(status) is cause


@pytest.mark.parametrize("status", [415, 488, 606])
def test_refused_media_is_no_refused_t38_when_audio_was_offered(status: int) -> None:
    assert cause_of_sip(status, t38_offered=False) is Cause.REJECTED


@pytest.mark.parametrize(
    ("status", "q850", "cause"),
    [
        (480, 17, Cause.BUSY),
        (503, 17, Cause.BUSY),
        (480, 19, Cause.NO_ANSWER),
        (500, 1, Cause.BAD_ADDRESS),
        (404, 34, Cause.NETWORK),
        (503, 34, Cause.NETWORK),
        (503, 65, Cause.T38_REFUSED),
        (603, 21, Cause.REJECTED),
        (486, 34, Cause.BUSY),  # precise by itself
        (488, 16, Cause.T38_REFUSED),
        (480, 16, Cause.NO_ANSWER),  # says nothing
        (500, 127, Cause.NETWORK),
    ],
)
def test_a_cause_of_the_telephone_network_is_more_precise_than_a_status(status: int, q850: int, cause: Cause) -> None:
    assert cause_of_sip(status, q850=q850) is cause


@pytest.mark.parametrize(("q850", "cause"), [(None, Cause.PEER_HUNG_UP), (16, Cause.PEER_HUNG_UP), (38, Cause.NETWORK)])
def test_a_bye_of_a_failing_network_is_not_the_peers_wish(q850: int | None, cause: Cause) -> None:
    assert cause_of_end(q850) is cause


def test_the_networks_own_words_and_what_it_asks_for_are_evidence() -> None:
    outcome = Outcome(cause=Cause.NETWORK, phase=Phase.CALL, sip_status=503, q850=34, retry_after=120)
    assert explain(outcome, Course(calling=True), sending=True).sentence == (
        "The telephone network has no line free for the call at the moment (SIP 503 Service Unavailable, "
        "Q.850 cause 34, no circuit or channel available, 120 s asked for); nothing was sent. "
        "Worth another try later; where it happens often, ask the provider for more channels."
    )


def test_every_failure_status_means_a_failure() -> None:
    assert Cause.COMPLETE not in {cause_of_sip(status) for status in range(300, 700)}


@pytest.mark.parametrize(
    ("cause", "status", "retry"),
    [
        (Cause.NETWORK, 503, Retry.LATER),
        (Cause.NETWORK, 501, Retry.NEVER),
        (Cause.BUSY, 486, Retry.LATER),
        (Cause.BAD_ADDRESS, 404, Retry.NEVER),
        (Cause.T38_REFUSED, 488, Retry.AUDIO),
        (Cause.REJECTED, 603, Retry.NEVER),
    ],
)
def test_advice_waits_for_what_may_pass_and_gives_up_what_may_not(cause: Cause, status: int, retry: Retry) -> None:
    outcome = Outcome(cause=cause, phase=Phase.CALL, sip_status=status)
    assert explain(outcome, Course(), sending=True).retry is retry


def test_a_status_is_named_when_it_has_a_name() -> None:
    assert sip_words(488) == "SIP 488 Not Acceptable Here"
    assert sip_words(499) == "SIP 499"
    assert all(100 <= status < 700 for status in REASONS)
