"""Messages: nothing is lost, nothing is injected, nothing is read beyond its limit, nothing undeclared is raised."""

import random
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfax.errors import DecodeError, MisuseError
from vfax.transports.sip.body import sdp_of
from vfax.transports.sip.message import Headers, MessageError, Request, Response, check, parse_datagram
from vfax.transports.sip.options import SipOptions
from vfax.transports.sip.outbox import summarise

DATA: Final = Path(__file__).parents[2] / "data"
CORPUS: Final = [path.read_bytes() for path in sorted((DATA / "rfc4475").glob("*.dat"))]
HEAD: Final = (
    "INVITE sip:9@example.org SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\n"
    "To: <sip:9@example.org>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n"
)


def read(text: str | bytes, **options: Any) -> Any:
    data = text.encode() if isinstance(text, str) else text
    message = parse_datagram(data, SipOptions(**options))
    check(message)
    return message


def refused(text: str | bytes, **options: Any) -> MessageError:
    with pytest.raises(MessageError) as caught:
        read(text, **options)
    return caught.value


def test_folded_lines_become_one() -> None:
    assert read(HEAD + "Subject: one\r\n  two\r\n\tthree\r\n\r\n").headers.first("subject") == "one  two three"


def test_compact_names_are_the_long_ones() -> None:
    message = read(HEAD + "k: 100rel\r\nSupported: timer\r\ne: identity\r\n\r\n")
    assert message.headers.values("supported") == ["100rel", "timer"]
    assert message.headers.first("content-encoding") == "identity"


def test_octets_after_content_length_are_noise() -> None:
    assert read(HEAD + "Content-Length: 3\r\n\r\nabcdef").body == b"abc"


def test_body_without_content_length_is_all_that_is_left() -> None:
    assert read(HEAD + "\r\nabcdef").body == b"abcdef"


@pytest.mark.parametrize("length", ["7", "-1", "+3", "0x3", "3 3", "", "9" * 5000, "٣"])
def test_content_length_that_cannot_be_is_400(length: str) -> None:
    error = refused(HEAD + f"Content-Length: {length}\r\n\r\nabcdef")
    assert error.status == 400
    assert error.request is not None
    assert error.request.call_id == "1"


def test_two_content_lengths_are_400_even_when_equal() -> None:
    assert refused(HEAD + "Content-Length: 3\r\nl: 3\r\n\r\nabc").status == 400


def test_empty_lines_before_the_start_line_are_skipped() -> None:
    assert read("\r\n\r\n" + HEAD + "\r\n").method == "INVITE"


@pytest.mark.parametrize(
    "text", ["GET / HTTP/1.1\r\n\r\n", "hello", "\0\0\0\0", "SIP/2.0 99 x\r\n\r\n", "SIP/2.0 1000 x\r\n\r\n"]
)
def test_what_is_no_request_cannot_be_answered(text: str) -> None:
    assert refused(text).request is None


def test_unknown_version_is_505() -> None:
    assert refused(HEAD.replace("SIP/2.0\r\n", "SIP/3.0\r\n", 1) + "\r\n").status == 505


def test_response_without_reason_and_without_its_blank_is_read() -> None:
    assert parse_datagram(b"SIP/2.0 200\r\nVia: x\r\n\r\n", SipOptions()).reason == ""  # type: ignore[union-attr]


@pytest.mark.parametrize("line", ["no colon", ": no name", "two words: x", "a\rb: x", "a: x\ny", "a: x\ry", "\0: x"])
def test_line_that_is_no_header_field_is_400(line: str) -> None:
    assert refused(HEAD + line + "\r\n\r\n").status == 400


@pytest.mark.parametrize("name", ["Via", "From", "To", "Call-ID", "CSeq"])
def test_missing_header_field_is_400(name: str) -> None:
    kept = [line for line in HEAD.split("\r\n") if not line.startswith(name + ":")]
    assert refused("\r\n".join(kept) + "\r\n").status == 400


@pytest.mark.parametrize(
    ("extra", "options"),
    [
        ("X: " + "y" * 9000 + "\r\n", {}),
        ("X: y\r\n" * 300, {}),
        ("X: y\r\n" * 6, {"max_headers": 10}),
        (("X: " + "y" * 8000 + "\r\n") * 6, {}),
        ("X: y\r\n", {"max_head": 100}),
    ],
)
def test_limit_of_the_head_is_400(extra: str, options: dict[str, int]) -> None:
    assert refused(HEAD + extra + "\r\n", **options).status == 400


def test_message_above_the_limit_is_513_and_can_be_answered() -> None:
    error = refused(HEAD + "\r\n" + "x" * 500, max_message=500)
    assert error.status == 513
    assert error.request is not None


def test_contact_star_belongs_to_register() -> None:
    assert refused(HEAD + "Contact: *\r\n\r\n").status == 400
    assert read((HEAD + "Contact: *\r\n\r\n").replace("INVITE", "REGISTER")).contact_is_star


def test_unreadable_contact_is_400() -> None:
    assert refused(HEAD + 'Contact: "x <sip:a@b>\r\n\r\n').status == 400


@pytest.mark.parametrize(
    ("text", "seconds"), [("120", 120), ("120;duration=3600", 120), ("5 (busy)", 5), ("soon", None), ("9" * 40, None)]
)
def test_retry_after_is_a_number_or_nothing(text: str, seconds: int | None) -> None:
    assert read(HEAD + f"Retry-After: {text}\r\n\r\n").retry_after == seconds


def test_absent_accept_is_not_empty_accept() -> None:
    assert read(HEAD + "\r\n").accept is None
    assert read(HEAD + "Accept:\r\n\r\n").accept == []


# --- writing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["a\r\nX: b", "a\nb", "a\rb", "\n"])
def test_line_breaks_are_not_written(value: str) -> None:
    with pytest.raises(MisuseError):
        Headers([("Subject", value)])
    with pytest.raises(MisuseError):
        Headers([(value, "x")])
    with pytest.raises(MisuseError):
        Response(200, value, Headers()).encode()
    with pytest.raises(MisuseError):
        Request("INVITE", f"sip:{value}", Headers()).encode()


def test_content_length_written_is_that_of_the_body() -> None:
    octets = Response(200, "OK", Headers([("Content-Length", "999")]), b"abc").encode()
    assert octets == b"SIP/2.0 200 OK\r\nContent-Length: 3\r\n\r\nabc"


@pytest.mark.parametrize("data", CORPUS)
def test_message_written_again_has_the_same_values(data: bytes) -> None:
    try:
        message = parse_datagram(data, SipOptions())
    except MessageError:
        return
    again = parse_datagram(message.encode(), SipOptions())
    without_length = [item for item in message.headers if item[0].lower() not in ("content-length", "l")]
    assert list(again.headers)[:-1] == without_length
    assert again.body == message.body


names: Final = st.text("abcXYZ019-.!%*_+`'~", min_size=1, max_size=12).filter(
    lambda name: name.lower() not in ("l", "content-length")
)
lines: Final = st.binary(max_size=40).map(
    lambda octets: octets.replace(b"\r", b"").replace(b"\n", b"").strip(b" \t").decode("utf-8", "surrogateescape")
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(names, lines), max_size=8), st.binary(max_size=60))
def test_any_header_octets_survive_the_round_trip(items: list[tuple[str, str]], body: bytes) -> None:
    message = Request("INVITE", "sip:a@b", Headers(items), body)
    again = parse_datagram(message.encode(), SipOptions())
    assert list(again.headers)[:-1] == items
    assert again.body == body


def test_summary_is_one_short_line() -> None:
    offer = b"v=0\r\nm=audio 0 RTP/AVP 0\r\nm=image 4000 udptl t38\r\n"
    assert summarise(Request("INVITE", "sip:9@h", Headers(), offer)) == "INVITE sip:9@h (offer: image)"
    assert summarise(Request("INVITE", "sip:9@h", Headers())) == "INVITE sip:9@h (no offer)"
    assert summarise(Response(200, "OK", Headers([("CSeq", "1 BYE")]))) == "200 OK to BYE"
    assert len(summarise(Request("INVITE", "sip:" + "9" * 5000, Headers()))) <= 300
    assert "\n" not in summarise(Request("BYE\x0b\x1b", "sip:\x85\0", Headers()))


# --- bodies ------------------------------------------------------------------------------------------


def test_sdp_beside_isup_is_found() -> None:
    isup = "--x\r\nContent-Type: application/isup\r\n\r\nabc\r\n"
    body = isup + "--x\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n\r\n--x--"
    message = read(HEAD + 'Content-Type: multipart/mixed;boundary="x"\r\n\r\n' + body)
    assert sdp_of(message) == b"v=0\r\n"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("Content-Type: application/SDP\r\n", b"v=0\r\n"),
        ("c: application/sdp;charset=utf-8\r\n", b"v=0\r\n"),
        ("Content-Type: text/plain\r\n", None),
        ("Content-Type: text/plain\r\nContent-Disposition: session; handling=optional\r\n", b""),
        ("Content-Type: application/sdp\r\nContent-Encoding: gzip\r\n", None),
    ],
)
def test_body_is_ours_to_read_or_not(fields: str, expected: bytes | None) -> None:
    assert sdp_of(read(HEAD + fields + "\r\nv=0\r\n")) == expected


# --- hostile octets ----------------------------------------------------------------------------------


def everything(data: bytes) -> None:
    """Read all that can be read of a message."""
    message = parse_datagram(data, SipOptions())
    check(message)
    summarise(message)
    _ = (message.vias, message.contacts, message.max_forwards, message.retry_after, message.via.stamped(("::1", 9)))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300))
def test_any_octets_raise_only_the_declared_error(data: bytes) -> None:
    for prefix in (b"", b"INVITE sip:a SIP/2.0\r\n", HEAD.encode(), HEAD.encode() + b"Via: "):
        try:
            everything(prefix + data)
        except DecodeError:  # a MessageError, or from a lower Via, which no endpoint reads
            continue


def mutate(data: bytes, dice: random.Random) -> bytes:
    octets = bytearray(data)
    for _ in range(dice.randint(1, 6)):
        at = dice.randrange(len(octets) or 1)
        match dice.randrange(4):
            case 0:
                octets[at : at + 1] = bytes((dice.randrange(256),))
            case 1:
                del octets[at : at + dice.randint(1, 20)]
            case 2:
                octets[at:at] = dice.choice(
                    [b'"', b"<", b">", b";", b",", b"\\", b"%", b"\r\n", b"\r\n ", b":", b"[", b"\0"]
                )
            case _:
                octets[at:at] = octets[: dice.randint(1, 60)]
    return bytes(octets)


@pytest.mark.parametrize("seed", range(8))
def test_mutated_torture_messages_never_raise_out_of_the_agent(seed: int, make_desk: Any) -> None:
    dice = random.Random(seed)
    desk = make_desk(seed=seed)
    for _ in range(250):
        data = mutate(dice.choice(CORPUS), dice)
        desk.receive(data, ("203.0.113.5", 5099))
        desk.now += 0.1
        desk.wait_until(desk.now)
    desk.drain()
    assert desk.agent.is_empty
