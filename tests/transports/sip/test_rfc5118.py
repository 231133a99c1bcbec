"""The IPv6 messages of RFC 5118: all are taken but the one without brackets, with the right values."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from vfax.transports.sip.message import MessageError, check, parse_datagram
from vfax.transports.sip.options import SipOptions

DATA: Final = Path(__file__).parents[2] / "data" / "rfc5118"
ROWS: Final = list(csv.DictReader((DATA / "index.tsv").read_text().splitlines(), delimiter="\t"))
SOURCE: Final = ("2001:db8::9:1", 5060)


def load(name: str) -> bytes:
    """The message as wire octets (see the README of the folder)."""
    text = (DATA / f"{name}.dat").read_bytes().replace(b"\n", b"\r\n")
    head, _, body = text.partition(b"\r\n\r\n")
    lines = [line for line in head.rstrip(b"\r\n").split(b"\r\n") if not line.startswith(b"Content-Length")]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", b""]) + body


def read(name: str) -> Any:
    message = parse_datagram(load(name), SipOptions())
    check(message)
    return message


VALUES: Final[dict[str, Callable[[Any], bool]]] = {
    "ipv6-good": lambda m: (m.target.host, m.target.port, m.via.host) == ("2001:db8::10", None, "2001:db8::9:1"),
    "port-ambiguous": lambda m: (m.target.host, m.target.port) == ("2001:db8::10:5070", None),
    "port-unambiguous": lambda m: (m.target.host, m.target.port) == ("2001:db8::10", 5070),
    "via-received-param-with-delim": lambda m: (m.via.received, m.via.branch) == ("2001:db8::9:255", "z9hG4bKas3-111"),
    "via-received-param-no-delim": lambda m: (m.via.received, m.via.branch) == ("2001:db8::9:255", "z9hG4bKas3"),
    "ipv6-in-sdp": lambda m: b"c=IN IP6 2001:db8::20\r\n" in m.body and m.contacts[0].uri.host == "2001:db8::20",
    "mult-ip-in-header": lambda m: (
        [(via.transport, via.host, via.port) for via in m.vias]
        == [("UDP", "2001:db8::9:1", 6050), ("UDP", "192.0.2.1", None), ("TCP", "2001:db8::9:255", None)]
    ),
    "mult-ip-in-sdp": lambda m: (
        b"c=IN IP4 192.0.2.1" in m.body and m.body.endswith(b"a=rtpmap:107 H263-1998/90000\r\n")
    ),
    "ipv4-mapped-ipv6": lambda m: (
        (m.via.host, m.via.port, m.contacts[0].uri.host) == ("::ffff:192.0.2.10", 19823, "::ffff:192.0.2.2")
    ),
    "ipv6-bug-abnf-3-colons": lambda m: m.target.host == "2001:db8:::192.0.2.1",
    "ipv6-correct-abnf-2-colons": lambda m: m.target.host == "2001:db8::192.0.2.1",
}


@pytest.mark.parametrize("name", [row["file"].removesuffix(".dat") for row in ROWS if row["expect"] == "accept"])
def test_message_is_read_with_the_right_values(name: str) -> None:
    assert VALUES[name](read(name))


@pytest.mark.parametrize("row", [row for row in ROWS if row["expect"] == "reject"], ids=lambda row: row["file"])
def test_address_without_brackets_gets_its_status(row: dict[str, str], desk: Any) -> None:
    name = row["file"].removesuffix(".dat")
    with pytest.raises(MessageError):
        read(name)
    (sent,) = desk.receive(load(name), SOURCE)
    assert sent.message.status == int(row["status"])


def test_index_names_every_message() -> None:
    assert sorted(row["file"] for row in ROWS) == sorted(path.name for path in DATA.glob("*.dat"))


def test_answer_goes_to_the_bracketed_address(desk: Any) -> None:
    (sent,) = desk.receive(load("via-received-param-no-delim"), ("2001:db8::77", 5099))
    assert sent.to == ("2001:db8::77", 5060)
    assert sent.message.via.received == "2001:db8::77"


def test_our_own_address_stands_in_brackets(make_desk: Any) -> None:
    desk = make_desk(contact=("2001:db8::1", 5060))
    desk.dial("sip:9@[2001:db8::2]", destination=("2001:db8::2", 5060))
    invite = desk.last("INVITE").message
    assert (invite.via.host, invite.contacts[0].uri.host) == ("2001:db8::1", "2001:db8::1")
