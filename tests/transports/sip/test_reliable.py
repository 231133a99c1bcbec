"""Reliable provisional answers (RFC 3262): numbers, acknowledgements, repeats."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfax.errors import DecodeError
from vfax.transports.sip.message import Headers, Request, Response
from vfax.transports.sip.outbox import Wire
from vfax.transports.sip.reliable import (
    Arrival,
    RAck,
    ReliableReceiver,
    ReliableSender,
    rack_in,
    rseq_in,
)

SENT = Wire(b"SIP/2.0 183 Session Progress\r\n\r\n", "183")


@pytest.mark.parametrize(
    ("value", "rack"),
    [
        ("776656 1 INVITE", RAck(776656, 1, "INVITE")),  # RFC 3262 7.2
        ("  1\t314159   INVITE ", RAck(1, 314159, "INVITE")),
        ("4294967295 4294967295 INVITE", RAck(4294967295, 4294967295, "INVITE")),
    ],
)
def test_rack_is_read_and_said_alike(value: str, rack: RAck) -> None:
    assert RAck.parse(value) == rack
    assert RAck.parse(rack.value) == rack


@pytest.mark.parametrize(
    "value", ["", "1", "1 2", "1 2 INVITE now", "a 2 INVITE", "1 -2 INVITE", "4294967296 1 INVITE"]
)
def test_what_is_no_rack_is_refused(value: str) -> None:
    with pytest.raises(DecodeError):
        RAck.parse(value)
    assert rack_in(Request("PRACK", "sip:a@b", Headers([("RAck", value)]))) is None


def test_a_prack_without_rack_acknowledges_nothing() -> None:
    assert rack_in(Request("PRACK", "sip:a@b", Headers())) is None


@pytest.mark.parametrize(
    ("status", "fields", "rseq"),
    [
        (183, (("Require", "100rel"), ("RSeq", "988789")), 988789),
        (180, (("Require", "100REL"), ("RSeq", "1")), 1),
        (183, (("RSeq", "5"),), None),
        (183, (("Require", "100rel"),), None),
        (183, (("Require", "100rel"), ("RSeq", "0")), None),
        (183, (("Require", "100rel"), ("RSeq", "x")), None),
        (100, (("Require", "100rel"), ("RSeq", "1")), None),
        (200, (("Require", "100rel"), ("RSeq", "1")), None),
    ],
)
def test_only_a_numbered_provisional_response_that_asks_for_it_is_reliable(
    status: int, fields: tuple[tuple[str, str], ...], rseq: int | None
) -> None:
    assert rseq_in(Response(status, "", Headers(fields))) == rseq


def test_timer_t1_of_a_reliable_response_doubles_without_a_limit() -> None:
    waiting = ReliableSender(7).sent(183, SENT, 1, has_sdp=True, t1=0.5)
    assert [waiting.next_pause() for _ in range(7)] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0]


def test_a_prack_acknowledges_its_response_and_no_other() -> None:
    sender = ReliableSender(7)
    waiting = sender.sent(183, SENT, 3, has_sdp=False, t1=0.5)
    for wrong in (RAck(8, 3, "INVITE"), RAck(7, 4, "INVITE"), RAck(7, 3, "UPDATE"), None):
        assert sender.acknowledge(wrong) is None
    assert sender.waiting is waiting
    assert sender.acknowledge(RAck(7, 3, "INVITE")) is waiting
    assert sender.acknowledge(RAck(7, 3, "INVITE")) is None
    assert sender.number == 8


def test_responses_are_taken_in_their_order() -> None:
    receiver = ReliableReceiver()
    assert [receiver.take(number) for number in (5, 5, 7, 6, 7, 4)] == [
        Arrival.NEW,
        Arrival.REPEAT,
        Arrival.EARLY,
        Arrival.NEW,
        Arrival.NEW,
        Arrival.REPEAT,
    ]


@given(st.integers(1, 2**31 - 1), st.lists(st.integers(-2, 6), max_size=40))
def test_each_number_is_new_once_and_none_is_skipped(first: int, steps: list[int]) -> None:
    receiver = ReliableReceiver()
    taken = [first]
    assert receiver.take(first) is Arrival.NEW
    for step in steps:
        number = max(1, taken[-1] + step)
        if receiver.take(number) is Arrival.NEW:
            taken.append(number)
    assert taken == list(range(first, first + len(taken)))
