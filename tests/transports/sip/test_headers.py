"""Values of header fields: what they mean, and that nothing but DecodeError comes out of any text."""

from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfax.errors import DecodeError
from vfax.transports.sip.headers import CSeq, MediaType, NameAddr, Uri, Via, parse_hostport
from vfax.transports.sip.syntax import escape_user, quote, split_outside, unescape, unquote

TEXT: Final = st.text(st.sampled_from('ab1:;,<>@"\\?=%&[]()/ .-+*\t\0é\udcff'), max_size=40)


@pytest.mark.parametrize(
    ("text", "user", "host", "port"),
    [
        ("sip:9@example.org", "9", "example.org", None),
        ("SIP:9@example.org:5070", "9", "example.org", 5070),
        ("sips:+4930;npdi=yes@gw.b2;user=phone", "+4930;npdi=yes", "gw.b2", None),
        ("sip:9:secret@pbx1", "9", "pbx1", None),
        ("sip:pbx_1;lr", None, "pbx_1", None),
        ("sip:9@[2001:db8::1]:5061;transport=udp", "9", "2001:db8::1", 5061),
        ("tel:+49-30-1234;phone-context=x", "+49-30-1234", "", None),
        ("urn:service:sos", None, "", None),
    ],
)
def test_uri_is_taken_apart(text: str, user: str | None, host: str, port: int | None) -> None:
    uri = Uri.parse(text)
    assert (uri.user, uri.host, uri.port, uri.text) == (user, host, port, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sip:",
        "9@example.org",
        "sip:@example.org",
        "sip:a@b@c",
        "sip:2001:db8::1",
        "sip:a@b:99999",
        "sip:a@b:",
        "sip:a b@c",
        "sip:a@[::1",
        "sip:a@[gg]",
        "<sip:a@b>",
        "1sip:a@b",
        "sip:a@b\0",
        "sip:a@",
        "sip:a@b:5060x",
    ],
)
def test_what_is_no_uri_is_refused(text: str) -> None:
    with pytest.raises(DecodeError):
        Uri.parse(text)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("sip:9@192.0.2.1", ("192.0.2.1", 5060)),
        ("sip:9@[::1]:5070", ("::1", 5070)),
        ("sip:9@example.org", None),
        ("sip:9@example.org;maddr=192.0.2.7", ("192.0.2.7", 5060)),
        ("tel:9", None),
    ],
)
def test_numeric_hosts_need_no_dns(text: str, address: tuple[str, int] | None) -> None:
    assert Uri.parse(text).numeric_address() == address


@pytest.mark.parametrize(
    ("text", "name", "uri", "tag"),
    [
        ("<sip:a@b>;tag=1", "", "sip:a@b", "1"),
        ("sip:a@b;tag=1", "", "sip:a@b", "1"),
        ("sip:a@b ; TAG = 1", "", "sip:a@b", "1"),
        ('"A, \\"B\\" <x>" <sip:a@b;x=y>;z;tag=1', 'A, "B" <x>', "sip:a@b;x=y", "1"),
        ("Jo Do<sip:a@b>", "Jo Do", "sip:a@b", ""),
        ("Jürgen <sip:a@b>", "Jürgen", "sip:a@b", ""),
        ("<sip:a@b?x=y>", "", "sip:a@b?x=y", ""),
        ('<sip:a@b>;+sip.instance="<urn:uuid:1>";tag="q;1"', "", "sip:a@b", "q;1"),
    ],
)
def test_name_addr_is_taken_apart(text: str, name: str, uri: str, tag: str) -> None:
    value = NameAddr.parse(text)
    assert (value.name, value.uri.text, value.tag) == (name, uri, tag)


@pytest.mark.parametrize(
    "text",
    [
        "",
        '"a" sip:a@b',
        "<sip:a@b",
        "a, b <sip:a@b>",
        "<sip:a@b> x",
        "sip:a@b?x=y",
        "<sip:a@b>;",
        "<sip:a@b>;=1",
        '"a <sip:a@b>',
    ],
)
def test_what_is_no_name_addr_is_refused(text: str) -> None:
    with pytest.raises(DecodeError):
        NameAddr.parse(text)


def test_two_quoted_contacts_stay_two() -> None:
    assert split_outside('"A" <sip:a@b>, "B, C" <sip:c,d@e>;x="y,z"', ",") == [
        '"A" <sip:a@b>',
        '"B, C" <sip:c,d@e>;x="y,z"',
    ]


def test_via_with_blanks_everywhere() -> None:
    via = Via.parse("SIP / 2.0 / tcp\t host.example : 5070 ; branch = z9hG4bKx ; rport ; received = 192.0.2.1")
    assert (via.transport, via.host, via.port, via.branch, via.received) == (
        "TCP",
        "host.example",
        5070,
        "z9hG4bKx",
        "192.0.2.1",
    )


@pytest.mark.parametrize(
    "text", ["", "SIP/2.0/UDP", "SIP/2.0 h", "SIP/3.0/UDP h", "HTTP/2.0/UDP h", "SIP/2.0/UDP h;;", "SIP/2.0/UDP h:x"]
)
def test_what_is_no_via_is_refused(text: str) -> None:
    with pytest.raises(DecodeError):
        Via.parse(text)


@pytest.mark.parametrize(
    ("text", "stamped"),
    [
        ("SIP/2.0/UDP 192.0.2.9;branch=z", "SIP/2.0/UDP 192.0.2.9;branch=z"),
        ("SIP/2.0/UDP host;branch=z", "SIP/2.0/UDP host;branch=z;received=192.0.2.9"),
        ("SIP/2.0/UDP 192.0.2.9;rport;branch=z", "SIP/2.0/UDP 192.0.2.9;branch=z;received=192.0.2.9;rport=5099"),
        ("SIP/2.0/UDP 10.0.0.1;received=1.1.1.1;a=%66", "SIP/2.0/UDP 10.0.0.1;a=%66;received=192.0.2.9"),
    ],
)
def test_via_is_stamped_without_being_rendered_anew(text: str, stamped: str) -> None:
    assert Via.parse(text).stamped(("192.0.2.9", 5099)).value == stamped


@pytest.mark.parametrize(
    "text", ["", "1", "INVITE", "-1 INVITE", "4294967296 INVITE", "1 INV ITE", "1.0 INVITE", "١ INVITE"]
)
def test_what_is_no_cseq_is_refused(text: str) -> None:
    with pytest.raises(DecodeError):
        CSeq.parse(text)


def test_cseq_may_have_zeros_and_blanks() -> None:
    assert CSeq.parse("0009 \t INVITE") == CSeq(9, "INVITE")


def test_media_ranges_admit() -> None:
    assert MediaType.parse("Application / SDP;level=1").admits("application/sdp")
    assert MediaType.parse("*/*;q=0.1").admits("application/sdp")
    assert MediaType.parse("application/*").admits("application/sdp")
    assert not MediaType.parse("text/plain").admits("application/sdp")


@pytest.mark.parametrize("text", ["%", "%4", "%zz", "%+1", "%41%", "%%41", "%C3%A9", "%FF", "a%00b"])
def test_unescape_takes_any_percent(text: str) -> None:
    assert unescape(text) == {
        "%41%": "A%",
        "%%41": "%A",
        "%C3%A9": "é",
        "%FF": "\ufffd",
        "a%00b": "a\0b",
    }.get(text, text)


@given(st.text(max_size=30))
def test_escaped_user_comes_back(text: str) -> None:
    clean = text.encode("utf-8", "replace").decode()
    assert unescape(escape_user(clean)) == clean
    assert Uri.parse(f"sip:{escape_user(clean) or 'x'}@h").host == "h"


@given(st.text(max_size=30))
def test_quoted_text_comes_back_on_one_line(text: str) -> None:
    quoted = quote(text)
    assert not {"\r", "\n", "\0"} & set(quoted)
    if text.isprintable():
        assert unquote(quoted) == text


@settings(max_examples=300, deadline=None)
@given(TEXT)
def test_any_text_raises_only_decode_error(text: str) -> None:
    for prefix in ("", "sip:", "SIP/2.0/UDP h;", '"x" <sip:a@b>', "<sip:a@"):
        for parse in (Uri.parse, NameAddr.parse, Via.parse, CSeq.parse, MediaType.parse, parse_hostport):
            try:
                parse(prefix + text)
            except DecodeError:
                continue
