"""The torture messages of RFC 4475: what the parser takes, with the right values, and what the agent answers."""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest

from vfax.transports.sip import values as sip
from vfax.transports.sip.body import sdp_of
from vfax.transports.sip.message import MessageError, Request, Response, check, parse_datagram
from vfax.transports.sip.options import SipOptions

DATA: Final = Path(__file__).parents[2] / "data" / "rfc4475"
INDEX: Final = json.loads((DATA / "index.json").read_text())
OPTIONS: Final = SipOptions()
SOURCE: Final = ("203.0.113.5", 5099)


def load(name: str) -> bytes:
    return (DATA / f"{name}.dat").read_bytes()


def read(name: str) -> Any:
    message = parse_datagram(load(name), OPTIONS)
    check(message)
    return message


def names(expect: str) -> list[str]:
    return [row["file"].removesuffix(".dat") for row in INDEX if row["expect"] == expect]


def test_index_has_all_49_messages() -> None:
    assert [len(names(expect)) for expect in ("accept", "reject", "either")] == [26, 12, 11]


@pytest.mark.parametrize("name", names("accept"))
def test_message_to_accept_is_read_whole(name: str) -> None:
    message = read(name)
    assert message.vias
    assert message.contacts is not None
    assert message.content_type is None or message.content_type.name


@pytest.mark.parametrize("name", names("reject"))
def test_message_to_reject_raises_with_a_status(name: str) -> None:
    with pytest.raises(MessageError) as caught:
        read(name)
    assert 400 <= caught.value.status <= 599


@pytest.mark.parametrize("name", names("either"))
def test_message_of_either_kind_raises_nothing_undeclared(name: str) -> None:
    with suppress(MessageError):
        read(name)


def contact_uris(message: Any) -> list[str]:
    return [contact.uri.text for contact in message.contacts]


def extreme(message: Any) -> bool:
    to = message.to
    return bool(
        to.name.startswith("I have a user name of extremeextreme")
        and len(message.vias) == 34
        and message.via.host == "sip33.example.com"
        and message.from_.tag.startswith("1298298298")
        and len(message.call_id) > 100
        and message.vias[-1].branch.startswith("verylong")
    )


VALUES: Final[dict[str, list[Callable[[Any], bool]]]] = {
    "wsinv": [
        lambda m: m.to.tag == "1918181833n",
        lambda m: m.from_.name == 'J Rosenberg \\"',
        lambda m: m.from_.tag == "98asjd8",
        lambda m: [via.transport for via in m.vias] == ["UDP", "TCP", "UDP"],
        lambda m: [via.host for via in m.vias] == ["192.0.2.2", "spindle.example.com", "192.168.255.111"],
        lambda m: [via.branch for via in m.vias] == ["390skdjuw", "z9hG4bK9ikj8", "z9hG4bK30239"],
        lambda m: (m.cseq.number, m.cseq.method) == (9, "INVITE"),
        lambda m: m.max_forwards == 68,
        lambda m: m.headers.first("subject") == "",
        lambda m: m.headers.first("unknownheaderwithunusualvalue") == ";;,,;;,;",
        lambda m: m.contacts[0].name == 'Quoted string ""',
        lambda m: m.contacts[0].parameters.get("q") == "0.33",
        lambda m: "secondparam" in m.contacts[0].parameters,
        lambda m: len(m.body) == 150,
    ],
    "intmeth": [
        lambda m: m.method == "!interesting-Method0123456789_*+`.%indeed'~" == m.cseq.method,
        lambda m: "NUL:\0" in m.to.name and "DEL:\x7f" in m.to.name,
        lambda m: m.via.transport == "TCP" and m.via.branch == "z9hG4bK-.!%66*_+`'~",
        lambda m: m.from_.parameters.get("fromparam''~+*_!.-%") == "работающий",
        lambda m: m.from_.tag == "_token~1'+`*%!-.",
        lambda m: m.headers.first("extensionheader-!.%*+_`'~") == "\ufeff大停電",
        lambda m: m.target.host == "example.com",
    ],
    "esc01": [
        lambda m: m.target.user_text == "sips:user@example.com",
        lambda m: m.to.uri.user_text == "user",
        lambda m: m.contacts[0].uri.loose,
        lambda m: m.contacts[0].uri.parameters.items[1] == ("n%61me", "v%61lue%25%34%31"),
        lambda m: m.from_.uri.user_text == "I have spaces",
    ],
    "escnull": [
        lambda m: m.to.uri.user_text == "null-\0-null",
        lambda m: [contact.uri.user_text for contact in m.contacts] == ["\0", "\0\0"],
    ],
    "esc02": [
        lambda m: m.method == "RE%47IST%45R",
        lambda m: m.to.name == "%Z%45",
        lambda m: contact_uris(m) == ["sip:alias1@host1.example.com", "sip:alias3@host3.example.com"],
        lambda m: m.via.branch == "z9hG4bK209%fzsnel234",
    ],
    "lwsdisp": [lambda m: (m.from_.name, m.from_.tag) == ("caller", "323")],
    "longreq": [extreme],
    "dblreq": [lambda m: (m.method, m.body) == ("REGISTER", b"")],
    "semiuri": [lambda m: m.target.user_text == "user;par=u@example.net", lambda m: len(m.accept) == 6],
    "transports": [lambda m: [via.transport for via in m.vias] == ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]],
    "mpart01": [lambda m: len(m.body) == 553 and b"\0" in m.body, lambda m: m.content_type.name == "multipart/mixed"],
    "unreason": [lambda m: m.reason.startswith("= 2**3 * 5**2 но сто"), lambda m: m.status == 200],
    "noreason": [lambda m: (m.status, m.reason) == (100, "")],
    "unkscm": [lambda m: m.target.scheme == "nobodyknowsthisscheme"],
    "novelsc": [lambda m: m.target.scheme == "soap.beep"],
    "unksm2": [lambda m: [m.to.uri.scheme, m.from_.uri.scheme, m.contacts[0].uri.scheme] == ["isbn", "http", "name"]],
    "bext01": [lambda m: m.require == ["nothingSupportsThis", "nothingSupportsThisEither"]],
    "invut": [lambda m: sdp_of(m) is None],
    "regaut01": [lambda m: m.headers.first("authorization") == "NoOneKnowsThisScheme opaque-data=here"],
    "bcast": [lambda m: len(m.vias) == 2],
    "zeromf": [lambda m: m.max_forwards == 0],
    "cparam01": [
        lambda m: "unknownparam" in m.contacts[0].parameters,
        lambda m: "unknownparam" not in m.contacts[0].uri.parameters,
    ],
    "cparam02": [
        lambda m: "unknownparam" not in m.contacts[0].parameters,
        lambda m: "unknownparam" in m.contacts[0].uri.parameters,
    ],
    "regescrt": [lambda m: m.contacts[0].uri.headers == "Route=%3Csip:sip.example.com%3E"],
    "sdp01": [lambda m: [media.name for media in m.accept] == ["text/nobodyknowsthis"]],
    "inv2543": [
        lambda m: (m.via.branch, m.from_.tag, m.max_forwards) == ("", "", None),
        lambda m: m.body.endswith(b"m=audio 49217 RTP/AVP 0\r\n"),
        lambda m: m.to.uri.text == "sip:+16505552222@ss1.example.net" and m.to.parameters.get("user") == "phone",
    ],
}


@pytest.mark.parametrize("name", VALUES)
def test_values_are_those_the_rfc_names(name: str) -> None:
    message = read(name)
    assert [number for number, holds in enumerate(VALUES[name]) if not holds(message)] == []


def test_every_message_to_accept_has_its_values_checked() -> None:
    assert set(names("accept")) == set(VALUES)


ANSWERS: Final[dict[str, int | None]] = {
    "wsinv": 481,  # its To tag belongs to no dialog of ours
    "intmeth": 501,
    "esc01": 100,
    "escnull": 405,
    "esc02": 501,
    "lwsdisp": 200,
    "longreq": 100,
    "dblreq": 405,
    "semiuri": 200,
    "transports": 200,
    "mpart01": 405,
    "unreason": None,
    "noreason": None,
    "badinv01": 400,
    "clerr": 400,
    "ncl": 400,
    "scalar02": 400,
    "scalarlg": None,
    "quotbal": 400,
    "ltgtruri": 400,
    "lwsruri": 400,
    "lwsstart": 400,
    "trws": 400,
    "escruri": 100,
    "baddate": 100,
    "regbadct": 400,
    "badaspec": 400,
    "baddn": 400,
    "baddn-terminated": 400,
    "badvers": 505,
    "mismatch01": 400,
    "mismatch02": 501,
    "bigcode": None,
    "badbranch": 200,
    "insuf": 400,
    "unkscm": 416,
    "novelsc": 416,
    "unksm2": 405,
    "bext01": 420,
    "invut": 415,
    "regaut01": 405,
    "multi01": 400,
    "mcl01": 400,
    "bcast": None,
    "zeromf": 200,
    "cparam01": 405,
    "cparam02": 405,
    "regescrt": 405,
    "sdp01": 406,
    "inv2543": 100,
    "unreferenced-test": None,
}


def test_every_message_has_an_answer_named() -> None:
    assert set(ANSWERS) == {path.stem for path in DATA.glob("*.dat")}


ORDINARY: Final = {100, 200, 405, 481}
"""What an endpoint that is no registrar says to a request without fault: taken, or no method or dialog of its own."""


def answers_named(row: dict[str, str]) -> set[int | None]:
    """The answers that the index allows an endpoint."""
    action = re.sub(r"\((?:with Warning|only a proxy)[^)]*\)|(?<!non-)registrar \d{3}", "", row["endpoint_action"])
    if action.startswith("discard") or row["kind"] == "response":
        return {None}
    named = {int(status) for status in re.findall(r"\b[2-5]\d\d\b", action)}
    return {*named, *ORDINARY} if not named or re.search("process|usual|matching", action) else {*named}


@pytest.mark.parametrize("row", INDEX, ids=lambda row: row["file"])
def test_the_answer_is_one_that_the_index_names(row: dict[str, str]) -> None:
    assert ANSWERS[row["file"].removesuffix(".dat")] in answers_named(row)


@pytest.mark.parametrize("name", ANSWERS)
def test_agent_answers_as_an_endpoint_should(name: str, make_desk: Any) -> None:
    desk = make_desk()
    answers = [sent.message for sent in desk.receive(load(name), SOURCE)]
    assert [answer.status for answer in answers] == ([ANSWERS[name]] if ANSWERS[name] else [])
    assert len(desk.told(sip.IncomingCall)) == (ANSWERS[name] == 100)
    if not answers:
        assert desk.told(sip.DatagramDropped)


@pytest.mark.parametrize(
    ("name", "header", "value"),
    [
        ("intmeth", "allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, PRACK"),
        ("mpart01", "allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, PRACK"),
        ("bext01", "unsupported", "nothingSupportsThis, nothingSupportsThisEither"),
        ("invut", "accept", "application/sdp"),
        ("zeromf", "supported", "100rel, timer"),
    ],
)
def test_answer_says_what_would_be_right(name: str, header: str, value: str, desk: Any) -> None:
    (sent,) = desk.receive(load(name), SOURCE)
    assert sent.message.headers.first(header) == value


def test_answer_copies_octets_as_they_came(desk: Any) -> None:
    (sent,) = desk.receive(load("intmeth"), SOURCE)
    request = read("intmeth")
    for name in ("from", "call-id", "cseq"):
        assert sent.message.headers.first(name) == request.headers.first(name)
    assert sent.message.headers.first("to").startswith(request.headers.first("to") + ";tag=")


def test_escaped_headers_of_the_request_uri_never_become_headers(desk: Any) -> None:
    desk.receive(load("escruri"), SOURCE)
    key = desk.told(sip.IncomingCall)[0].call
    desk.order("answer", key, b"v=0\r\n")
    assert desk.last("200 INVITE").message.headers.first("route") is None


def test_dialled_number_survives_escapes(desk: Any) -> None:
    desk.receive(load("esc01"), SOURCE)
    call = desk.told(sip.IncomingCall)[0]
    assert (call.dialled, call.caller) == ("sips:user@example.com", "I have spaces")


def test_rfc2543_call_is_answered_and_acknowledged(desk: Any) -> None:
    desk.receive(load("inv2543"), SOURCE)
    key = desk.told(sip.IncomingCall)[0].call
    desk.receive(load("inv2543"), SOURCE)
    assert len(desk.told(sip.IncomingCall)) == 1
    desk.order("answer", key, b"v=0\r\n")
    to = desk.last("200 INVITE").message.headers.first("to")
    ack = load("inv2543").replace(b"INVITE sip:", b"ACK sip:").replace(b"56 INVITE", b"56 ACK")
    ack = ack.replace(b"To: sip:+16505552222@ss1.example.net;user=phone", f"To: {to}".encode())
    desk.receive(ack, SOURCE)
    assert desk.told(sip.Confirmed)


@pytest.mark.parametrize("row", INDEX, ids=lambda row: row["file"])
def test_kind_of_message_is_told_apart(row: dict[str, Any]) -> None:
    try:
        message: Any = parse_datagram((DATA / row["file"]).read_bytes(), OPTIONS)
    except MessageError as why:
        message = why.request
        assert row["kind"] == ("request" if message is not None else "response")
    else:
        assert isinstance(message, Request if row["kind"] == "request" else Response)
