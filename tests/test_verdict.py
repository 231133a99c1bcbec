from itertools import product

import pytest

from vfax.outcome import Cause, Outcome, Phase, Retry
from vfax.transports.sip.reasons import REASONS
from vfax.verdict import (
    ADVICE,
    AWAITED,
    BEFORE_FAX,
    MAX_EVIDENCE,
    RETRIES,
    SENTENCES,
    STEPS,
    advice,
    cause_of_sip,
    explain,
    sip_words,
)

FAX_CAUSES = [cause for cause in Cause if cause not in BEFORE_FAX and cause is not Cause.COMPLETE]
EVERY = list(product(Cause, Phase, (True, False)))


def sentence(cause: Cause, phase: Phase, sending: bool) -> str:
    return explain(Outcome(cause=cause, phase=phase, retry=advice(cause), pages_confirmed=1), sending=sending)


@pytest.mark.parametrize(("cause", "phase", "sending"), EVERY)
def test_every_cause_has_a_complete_sentence_everywhere(cause: Cause, phase: Phase, sending: bool) -> None:
    text = sentence(cause, phase, sending)
    assert text[0].isupper()
    assert text.endswith(".")
    assert text.count(".") - text.count("T.38") == 1
    assert len(text.split()) >= 8
    assert not {"{", "}", "None", "  "} & {text[i : i + n] for n in (1, 2, 4) for i in range(len(text))}


@pytest.mark.parametrize(("phase", "sending"), list(product(Phase, (True, False))))
def test_no_two_causes_share_a_sentence(phase: Phase, sending: bool) -> None:
    assert len({sentence(cause, phase, sending) for cause in Cause}) == len(Cause)


@pytest.mark.parametrize(("cause", "phase"), list(product(Cause, Phase)))
def test_sender_and_receiver_are_told_differently(cause: Cause, phase: Phase) -> None:
    assert sentence(cause, phase, True) != sentence(cause, phase, False)


@pytest.mark.parametrize(("cause", "sending"), list(product(FAX_CAUSES, (True, False))))
def test_a_fax_that_had_begun_says_where_it_ended(cause: Cause, sending: bool) -> None:
    assert len({sentence(cause, phase, sending) for phase in Phase}) == len(Phase)


def test_the_tables_miss_nothing() -> None:
    assert set(SENTENCES) == set(ADVICE) == set(Cause)
    assert set(RETRIES) == set(Retry)
    for sending in (True, False):
        assert set(STEPS[sending]) == set(AWAITED[sending]) == set(Phase)


@pytest.mark.parametrize(
    ("outcome", "sending", "evidence", "text"),
    [
        (
            Outcome(cause=Cause.COMPLETE, phase=Phase.RELEASE, pages_confirmed=3),
            True,
            "",
            "The fax was delivered: the receiver confirmed all 3 pages.",
        ),
        (
            Outcome(cause=Cause.COMPLETE, phase=Phase.RELEASE, pages_confirmed=1, bad_rows=1, sip_status=200),
            False,
            "",
            "The fax was received: its only page is complete, 1 damaged row repaired.",
        ),
        (
            Outcome(cause=Cause.T38_REFUSED, phase=Phase.CALL, sip_status=488, retry=Retry.AUDIO),
            True,
            "",
            "The other side refused T.38 (SIP 488 Not Acceptable Here); nothing was sent; "
            "try again with an audio call that switches to T.38 later.",
        ),
        (
            Outcome(cause=Cause.BUSY, phase=Phase.CALL, sip_status=486, retry=Retry.LATER),
            True,
            "",
            "The other side is busy (SIP 486 Busy Here); nothing was sent; try again later.",
        ),
        (
            Outcome(cause=Cause.PEER_DISCONNECTED, phase=Phase.POST_MESSAGE, pages_confirmed=2, retry=Retry.LATER),
            True,
            "DCN after the third EOP.",
            "The receiver ended the fax early after page 3 had been sent: we were waiting for "
            "the confirmation of page 3 (MCF), and a disconnect (DCN) came (DCN after the third EOP); "
            "2 pages were confirmed; try again later.",
        ),
        (
            Outcome(cause=Cause.NO_COMMAND, phase=Phase.IDENTIFY, retry=Retry.LATER),
            False,
            "",
            "The sender stopped commanding during identification and training: we were waiting for "
            "the sender's command and training (DCS and TCF), and T2 ran out; "
            "no pages are complete; the sender may try again later.",
        ),
        (
            Outcome(cause=Cause.STORAGE, phase=Phase.POST_MESSAGE, pages_confirmed=1, pages_partial=1),
            False,
            "No space left on device",
            "Page 2 could not be stored on this side after page 2 had come, so it was not confirmed "
            "(No space left on device); 1 page is complete, 1 page is kept incomplete; "
            "another try would end the same way.",
        ),
        (
            Outcome(cause=Cause.CANNOT_TRAIN, phase=Phase.IDENTIFY, rate_bps=2400, retry=Retry.LOWER_RATE),
            True,
            "",
            "The receiver refused the training at every rate during identification and training, the last tried being "
            "2400 bit/s; no pages were confirmed; try again at a lower rate.",
        ),
        (
            Outcome(cause=Cause.UNCERTAIN, phase=Phase.POST_MESSAGE, pages_confirmed=4, retry=Retry.LATER),
            True,
            "",
            "The receiver may have the whole fax, but its confirmation of page 5 (MCF) never came after page 5 "
            "had been sent; 4 pages were confirmed; try again later, which may deliver the last page twice.",
        ),
        (
            Outcome(cause=Cause.ABORTED, phase=Phase.MESSAGE),
            True,
            "",
            "Sending was aborted on this side while page 1 was being sent; no pages were confirmed; "
            "no other try is due.",
        ),
    ],
)
def test_sentences_read_like_this(outcome: Outcome, sending: bool, evidence: str, text: str) -> None:
    assert explain(outcome, sending=sending, evidence=evidence) == text


def test_evidence_is_one_clean_short_piece_of_text_and_never_a_template() -> None:
    outcome = Outcome(cause=Cause.NETWORK, phase=Phase.CALL, retry=Retry.LATER)
    text = explain(outcome, sending=True, evidence="{page}\r\n\x1b[31m  no\x00route..")
    assert "({page} [31m no route);" in text
    long = explain(outcome, sending=True, evidence="x" * 10_000)
    assert f"({'x' * MAX_EVIDENCE}...)" in long


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


def test_every_failure_status_means_a_failure() -> None:
    assert Cause.COMPLETE not in {cause_of_sip(status) for status in range(300, 700)}


def test_advice_waits_for_what_may_pass_and_gives_up_what_may_not() -> None:
    assert advice(Cause.NETWORK, 503) is Retry.LATER
    assert advice(Cause.NETWORK, 501) is Retry.NEVER
    assert advice(Cause.BUSY, 486) is Retry.LATER
    assert advice(Cause.BAD_ADDRESS, 404) is Retry.NEVER
    assert advice(Cause.CANNOT_TRAIN) is Retry.LOWER_RATE
    assert advice(Cause.T38_REFUSED, 488) is Retry.AUDIO


def test_a_status_is_named_when_it_has_a_name() -> None:
    assert sip_words(488) == "SIP 488 Not Acceptable Here"
    assert sip_words(499) == "SIP 499"
    assert all(100 <= status < 700 for status in REASONS)
