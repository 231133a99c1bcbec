"""Reason header fields: what they say, and that nothing a peer writes in them does harm."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfax.errors import DecodeError, MisuseError
from vfax.transports.sip.message import Headers, Request
from vfax.transports.sip.reason import (
    MAX_REASONS,
    MAX_TEXT,
    Q850_CAUSES,
    Reason,
    parse_reason,
    q850_in,
    reasons_of,
    words_of,
)

TEXT = st.text(st.sampled_from('aQ.850SIP;=,"\\ cause1\t\0é\udcff'), max_size=60)


def bye(*values: str) -> Request:
    return Request("BYE", "sip:a@b", Headers([("Reason", value) for value in values]))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ('SIP ;cause=200 ;text="Call completed elsewhere"', Reason("SIP", 200, "Call completed elsewhere")),  # 3326 3.1
        ('Q.850 ;cause=16 ;text="Terminated"', Reason("Q.850", 16, "Terminated")),  # RFC 3326 2
        ("Q.850;cause=17", Reason("Q.850", 17)),
        ("q.850;cause=34;location=LN", Reason("Q.850", 34)),
        ("Q850;cause=1", Reason("Q.850", 1)),
        ("sip;text=bye", Reason("SIP", 0, "bye")),
        ("Preemption;cause=1", Reason("Preemption", 1)),
        ("Q.850;cause=a lot", Reason("Q.850", 0)),
        ("Q.850;cause=1000", Reason("Q.850", 0)),
        ("X;;cause=5", Reason("X", 5)),
    ],
)
def test_a_reason_is_read(value: str, reason: Reason) -> None:
    assert parse_reason(value) == reason


@pytest.mark.parametrize("value", ["", ";cause=16", "Q 850;cause=1", 'SIP;text="open', "SIP;=3"])
def test_what_is_no_reason_is_refused(value: str) -> None:
    with pytest.raises(DecodeError):
        parse_reason(value)


def test_all_values_are_found_and_the_unreadable_ones_passed_over() -> None:
    message = bye('SIP;cause=600;text="busy, everywhere", ;oops, Q.850;cause=17', "Q.850;cause=19")
    reasons = reasons_of(message)
    assert [(one.protocol, one.cause) for one in reasons] == [("SIP", 600), ("Q.850", 17), ("Q.850", 19)]
    assert q850_in(reasons) == 17
    assert words_of(reasons) == "SIP cause 600, busy, everywhere; Q.850 cause 17, user busy; " + (
        "Q.850 cause 19, no answer from the user"
    )


def test_a_message_without_reasons_has_none() -> None:
    assert reasons_of(bye()) == ()
    assert q850_in(()) is None
    assert words_of(()) == ""


def test_what_is_kept_is_bounded() -> None:
    long = parse_reason(f'SIP;text="{"x" * 5000}"')
    assert len(long.text) == MAX_TEXT
    assert len(reasons_of(bye(", ".join(["SIP;cause=200"] * 100)))) == MAX_REASONS
    assert reasons_of(bye(",".join(["SIP"] * 1000))) == ()


@given(TEXT)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        reason = parse_reason(text)
    except DecodeError:
        return
    assert reason.text.isprintable() or " " in reason.text or "\ufffd" in reason.text
    assert reason.words


@given(st.sampled_from(["SIP", "Q.850"]), st.integers(1, 127), st.text(max_size=MAX_TEXT))
def test_what_we_say_is_read_back(protocol: str, cause: int, text: str) -> None:
    said = Reason(protocol, cause, text)
    assert not {"\r", "\n"} & set(said.value)
    read = parse_reason(said.value)
    assert (read.protocol, read.cause) == (protocol, cause)


@pytest.mark.parametrize("reason", [Reason("Q 850", 1), Reason("", 1), Reason("SIP\r\n", 2), Reason("SIP", -1)])
def test_what_cannot_be_sent_is_a_mistake_of_ours(reason: Reason) -> None:
    with pytest.raises(MisuseError):
        _ = reason.value


def test_causes_are_those_of_one_octet() -> None:
    assert all(0 < cause < 128 and text.isprintable() for cause, text in Q850_CAUSES.items())
