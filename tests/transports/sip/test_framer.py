"""Streams: where messages begin and end, however they are cut, and what ends a stream."""

import random
import time
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfax.errors import DecodeError
from vfax.transports.sip import values as sip
from vfax.transports.sip.framer import Framer, KeepAlive, content_length
from vfax.transports.sip.message import MessageError
from vfax.transports.sip.options import SipOptions
from vfax.transports.sip.values import Flow, Transport

PING, PONG = KeepAlive.PING, KeepAlive.PONG
HEAD: Final = (
    b"OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bKa\r\nFrom: <sip:a@h>;tag=a\r\nTo: <sip:h>\r\n"
    b"Call-ID: c\r\nCSeq: 1 OPTIONS\r\n"
)
STREAM: Final = Flow(Transport.TCP, ("192.0.2.9", 40000), ("192.0.2.1", 5060), 1)


def message(body: bytes = b"", length: str | None = None, extra: bytes = b"") -> bytes:
    field = b"Content-Length: %d\r\n" % len(body) if length is None else length.encode()
    return HEAD + extra + field + b"\r\n" + body


def frame(*chunks: bytes, **options: Any) -> list[bytes | KeepAlive]:
    framer = Framer(SipOptions(**options))
    found = [item for chunk in chunks for item in framer.receive(chunk)]
    assert framer.fault is None
    return found


def fault_of(*chunks: bytes, **options: Any) -> MessageError:
    framer = Framer(SipOptions(**options))
    for chunk in chunks:
        framer.receive(chunk)
    assert framer.fault is not None
    assert framer.receive(MESSAGES[0]) == []
    return framer.fault


MESSAGES: Final = [
    message(),
    message(b"v=0\r\n\r\n\r\n"),
    message(b"x" * 700),
    message(b"\r\n\r\nOPTIONS sip:x SIP/2.0"),
]


@given(st.lists(st.sampled_from(MESSAGES), max_size=6), st.lists(st.integers(1, 40), max_size=60))
def test_messages_come_whole_however_the_stream_is_cut(messages: list[bytes], cuts: list[int]) -> None:
    octets, framer, found = b"".join(messages), Framer(SipOptions()), []
    for cut in [*cuts, len(octets)]:
        found += framer.receive(octets[:cut])
        octets = octets[cut:]
    assert found == messages
    assert not framer.pending


@pytest.mark.parametrize("text", ["l: 4", "Content-Length : 4", "CONTENT-LENGTH:\r\n 4", "Content-Length: 04", "L:4"])
def test_spellings_of_content_length(text: str) -> None:
    whole = message(b"1234", f"{text}\r\n")
    assert frame(whole + b"\r\n") == [whole, PONG]


@pytest.mark.parametrize(
    "length",
    [
        "",
        "Content-Length: -1\r\n",
        "Content-Length: 4\r\nl: 5\r\n",
        "Content-Length: 4, 4\r\n",
        "Content-Length: 4x\r\n",
        "Content-Length: +4\r\n",
        "Content-Length:\r\n",
        "Content-Length: 0x4\r\n",
        "Content-Length: 99999999999999999999999\r\n",
        "X: y\r\n\tContent-Length: 4\r\n",
    ],
)
def test_length_that_nobody_can_trust_ends_the_stream(length: str) -> None:
    fault = fault_of(message(b"1234", length))
    assert fault.status == 400
    assert fault.request is not None


def test_messages_before_the_fault_are_not_lost() -> None:
    framer = Framer(SipOptions())
    assert framer.receive(MESSAGES[0] + MESSAGES[1] + message(b"", "")) == MESSAGES[:2]
    assert framer.fault is not None


def test_length_said_twice_alike_is_framed() -> None:
    whole = message(b"1234", "Content-Length: 4\r\nl: 4\r\n")
    assert frame(whole) == [whole]


def test_body_may_be_as_long_as_the_limit_and_no_longer() -> None:
    head = len(message(b"", "Content-Length: 9999\r\n"))
    whole = message(b"x" * (10_000 - head))
    assert len(whole) == 10_000
    assert frame(whole, max_message=10_000) == [whole]
    fault = fault_of(message(b"", f"Content-Length: {10_001 - head}\r\n"), max_message=10_000)
    assert fault.status == 513
    assert fault.request is not None


def test_head_without_end_is_not_waited_for() -> None:
    framer = Framer(SipOptions(max_head=1024))
    framer.receive(HEAD)
    for _ in range(100):
        framer.receive(b"X: 12345678\r\n")
        assert len(framer._held) < 1100
    assert framer.fault is not None
    assert framer.fault.status == 513


@pytest.mark.parametrize("octets", [b"\x16\x03\x01\x02\x00\x01", b"\x00\x00\x00\x00", b" INVITE", b"\xff", b"\n\n"])
def test_what_cannot_begin_a_message_ends_the_stream_at_once(octets: bytes) -> None:
    assert fault_of(octets).request is None


@pytest.mark.parametrize(
    ("chunks", "found"),
    [
        ([b"\r\n\r\n"], [PING]),
        ([b"\r\n"], [PONG]),
        ([b"\r\n", b"\r\n"], [PONG, PING]),
        ([b"\r", b"\n\r", b"\n"], [PONG, PING]),
        ([b"\r\n" * 1000], [PING]),
        ([b"\r\n", MESSAGES[0], b"\r\n"], [PONG, MESSAGES[0], PONG]),
        ([b"\r\n\r\n" + MESSAGES[0] + b"\r\n\r\n"], [PING, MESSAGES[0], PING]),
    ],
)
def test_line_breaks_between_messages_are_keep_alives(chunks: list[bytes], found: list[bytes | KeepAlive]) -> None:
    assert frame(*chunks) == found


def test_begun_message_is_pending() -> None:
    framer = Framer(SipOptions())
    seen = [framer.pending]
    for octets in (MESSAGES[2][:-1], MESSAGES[2][-1:]):
        framer.receive(octets)
        seen.append(framer.pending)
    assert seen == [False, True, False]


@pytest.mark.parametrize("seed", range(20))
def test_mutated_streams_bring_messages_or_end(seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(100):
        octets = bytearray(b"".join(dice.choice(MESSAGES) for _ in range(3)))
        for _ in range(dice.randrange(1, 6)):
            octets[dice.randrange(len(octets))] = dice.randrange(256)
        framer = Framer(SipOptions(max_head=2000, max_message=4000))
        while octets:
            cut = dice.randrange(1, 500)
            for item in framer.receive(bytes(octets[:cut])):
                assert isinstance(item, KeepAlive) or len(item) <= 4000
            del octets[:cut]
            assert len(framer._held) <= 4000 + 500


@pytest.mark.parametrize(
    "octets",
    [b"\r\n" * 32768, b"A" * 65536, b"a:b\r\n" * 13000, (HEAD + b"l:1\r\n" * 12000)[:65000], b"\r\n \r\n " * 10000],
    ids=["breaks", "letters", "fields", "lengths", "folds"],
)
def test_64_kib_of_anything_cost_no_more_than_reading_it(octets: bytes) -> None:
    """Thirty-two times as much is to cost no more than 250 times the processor: quadratic would cost a thousand."""
    few, many = _seconds(octets[:2048]), _seconds(octets)
    assert many < 250 * max(few, 2e-5), (few, many)


def _seconds(octets: bytes) -> float:
    best = 1.0
    for _ in range(5):
        framer, begin = Framer(SipOptions(max_head=65536)), time.thread_time()
        for at in range(0, len(octets), 1024):
            framer.receive(octets[at : at + 1024])
        best = min(best, time.thread_time() - begin)
    return best


def test_content_length_of_a_head_alone() -> None:
    assert content_length(message(b"12"), 100) == 2
    with pytest.raises(DecodeError):
        content_length(b"OPTIONS sip:h SIP/2.0\r\n\r\n", 100)


def test_stream_that_cannot_be_framed_is_answered_and_closed(desk: Any) -> None:
    desk.agent.reject(fault_of(message(b"", "")), STREAM)
    desk.collect()
    (answer,) = desk.sent
    assert (answer.word, answer.way, desk.closed) == ("400 OPTIONS", STREAM, [STREAM])
    assert desk.told(sip.DatagramDropped)
