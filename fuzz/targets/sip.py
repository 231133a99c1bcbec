"""SIP messages.

Oracle    MessageError from the parser and from `check`, DecodeError from the SDP in it, and nothing else; a message
          that parses encodes to octets that parse to the same; after `check` its views can be read.
"""

from typing import Final

from fuzz import vectors
from vfax.errors import DecodeError, MisuseError
from vfax.transports.sip.body import sdp_of
from vfax.transports.sip.message import Message, MessageError, Request, check, parse_datagram
from vfax.transports.sip.options import SipOptions

RECORDS: Final = False
TOKENS: Final = (
    b"\r\n",
    b"\r\n ",
    b"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx;rport\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Type: multipart/mixed;boundary=x\r\n",
    b"l: 0\r\n",
    b'"\\',
    b"<sip:",
    b"sip:%00@[::1]:99999;lr?a=b",
    b"SIP/2.0 ",
    b"\xff",
    b"99999999999999999999",
    b'Diversion: "',
    b"History-Info: <",
    b"P-Asserted-Identity: <sip:1@a>, ",
    b"Supported: 100rel, timer\r\n",
    b"Require: 100rel\r\nRSeq: 1\r\n",
    b"RAck: 1 1 INVITE\r\n",
    b"Session-Expires: 90;refresher=uac\r\n",
    b"Reason: Q.850;cause=16;text=",
    b";a;b;c;d;e;f;g;h;i;j;k;l;m;n;o;p",
    b",a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p",
)
OPTIONS: Final = SipOptions()


def seeds() -> list[bytes]:
    """The torture messages."""
    return list(vectors.sip_messages())


def run(data: bytes) -> None:
    """One datagram."""
    try:
        message = parse_datagram(data, OPTIONS)
    except MessageError:
        return
    assert len(message.headers) <= OPTIONS.max_headers
    try:
        again = parse_datagram(message.encode(), OPTIONS)
    except MisuseError:
        assert isinstance(message, Request), "a response that cannot be sent"  # a URI with control characters
        return
    assert again.body == message.body
    assert _plain(again) == _plain(message), "another message after encoding"
    try:
        check(message)
    except MessageError:
        return
    _read_views(message)


def _plain(message: Message) -> list[tuple[str, str]]:
    return [(name, value) for name, value in message.headers if name.lower() not in ("content-length", "l")]


def _read_views(message: Message) -> None:
    """What `check` promises that nothing in here raises."""
    for address in (message.to, message.from_, *message.contacts):
        assert isinstance(address.tag, str)
    assert isinstance(message.via.sent_by, tuple)
    assert message.via.stamped(("192.0.2.7", 5060)).received == "192.0.2.7" or message.via.host == "192.0.2.7"
    assert (message.max_forwards, message.retry_after, message.call_id, message.record_routes) is not None
    if isinstance(message, Request):
        message.target.numeric_address()
    try:
        sdp_of(message)
    except DecodeError:
        assert message.body
