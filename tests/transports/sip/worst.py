"""The worst 64 KiB we know, and everything that reads what a peer wrote: for the tests and for bench/parse.py.

Not here  limits of time: the tests compare with a plain loop, the bench prints milliseconds.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Final

from vfax.errors import DecodeError, FaxError
from vfax.transports.parameters import T38Parameters
from vfax.transports.sip import sdp as sdp_room
from vfax.transports.sip.agent import Agent
from vfax.transports.sip.body import sdp_of
from vfax.transports.sip.callee import incoming_call
from vfax.transports.sip.choosing import Wanted, objection_to
from vfax.transports.sip.digest import challenges_in, parse_schemes
from vfax.transports.sip.framer import Framer
from vfax.transports.sip.headers import CSeq, MediaType, NameAddr, Uri, Via
from vfax.transports.sip.keyring import Attempt, Credentials, Keyring
from vfax.transports.sip.message import Headers, Request, Response, check, parse_datagram
from vfax.transports.sip.negotiation import MediaKind, MediaSession
from vfax.transports.sip.options import SipOptions
from vfax.transports.sip.outbox import summarise
from vfax.transports.sip.reason import parse_reason, reasons_of
from vfax.transports.sip.reliable import RAck
from vfax.transports.sip.sieve import Sieve, SieveOptions
from vfax.transports.sip.syntax import split_outside, unescape, unquote
from vfax.transports.sip.values import Flow, Transport

LONGEST: Final = 64 * 1024
OPTIONS: Final = SipOptions()
FLOW: Final = Flow(Transport.UDP, ("192.0.2.9", 5060), ("192.0.2.1", 5060))

HEAD: Final = (
    b"INVITE sip:9@example.org SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n"
    b"To: <sip:9@example.org>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n"
)
REPLY: Final = HEAD.replace(b"INVITE sip:9@example.org SIP/2.0", b"SIP/2.0 401 Unauthorized", 1)
V0: Final = b"v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n"


def filled(one: bytes | str, line: int = 8192) -> bytes:
    """Copies of `one` up to the length of one line."""
    octets = one.encode() if isinstance(one, str) else one
    return octets * (line // len(octets))


def _fields(name: str, value: bytes) -> bytes:
    """As many fields of this value as the head may have."""
    field = name.encode() + b": " + value + b"\r\n"
    return HEAD + field * min(250, 32000 // len(field)) + b"\r\n"


def _with_body(kind: bytes, body: bytes) -> bytes:
    head = HEAD + b"Contact: <sip:a@b>\r\nContent-Type: " + kind + b"\r\n"
    return head + b"\r\n" + body[: LONGEST - len(head) - 300]


FIELDS: Final = (
    ("Via", b"SIP/2.0/UDP a;branch=z9hG4bK1"),
    ("Route", b"<sip:a@b;lr>"),
    ("Record-Route", b"<sip:a@b;lr>"),
    ("Contact", b'"a" <sip:a@b>;q=0.5'),
    ("P-Asserted-Identity", b'"a" <sip:a@b>'),
    ("Diversion", b"<sip:a@b>;reason=unknown"),
    ("History-Info", b"<sip:a@b>;index=1"),
    ("Reason", b"Q.850;cause=16;text=a"),
    ("Supported", b"a"),
    ("Require", b"a"),
    ("Allow", b"INVITE"),
    ("Accept", b"a/b;c=d"),
    ("Proxy-Authorization", b'Digest realm="a", nonce="b"'),
)


def messages() -> Iterator[tuple[str, bytes]]:
    """Whole messages; those that a datagram cannot hold are a little shorter."""
    yield "open quotes", b'INVITE a SIP/2.0\r\nVia: "' + b'\\"' * 32000
    yield "folds", b"INVITE a SIP/2.0\r\nX: y" + b"\r\n " * 20000
    yield "folds in the head", HEAD + b"Subject: a" + b"\r\n " * 2000 + b"\r\n\r\n"
    yield "empty lines", b"\r\n" * 32000
    yield "short lines", b"INVITE a SIP/2.0\r\n" + b"a:\r\n" * 16000
    yield "250 fields", HEAD + b"".join(b"X-%d: 1\r\n" % n for n in range(248)) + b"\r\n"
    yield "blanks", b" " * LONGEST
    yield "high octets", b"\xff" * LONGEST
    yield "NUL", b"\0" * LONGEST
    yield "CR", b"\r" * LONGEST
    yield "LF", b"\n" * LONGEST
    yield "one word", b"A" * LONGEST
    yield "one long line", b"INVITE sip:a SIP/2.0\r\nX:" + b"a" * LONGEST
    yield (
        "quotes in To",
        HEAD.replace(b"<sip:9@example.org>\r\nCall", b'"' + filled("\\a", 8000) + b'" <sip:a@b>\r\nCall'),
    )
    yield "long URI", HEAD.replace(b"sip:9@example.org SIP", b"sip:" + b"%41" * 10000 + b"@b SIP") + b"\r\n"
    yield "URI parameters", HEAD.replace(b"example.org SIP", b"e" + b";a=b" * 8000 + b" SIP") + b"\r\n"
    yield "digits", HEAD.replace(b"CSeq: 1 ", b"CSeq: " + b"9" * 8000 + b" ") + b"\r\n"
    yield "body", HEAD + b"\r\n" + b"m=" * 30000
    for name, value in FIELDS:
        yield f"{name}, many fields", _fields(name, value)
        yield f"{name}, many values", _fields(name, b",".join([value] * min(128, 8000 // (len(value) + 1))))
        yield f"{name}, commas", _fields(name, b"," * 8000)
        yield f"{name}, parameters", _fields(name, value + b";a=b" * 127)
        yield f"{name}, quotes", _fields(name, value + b";a=" + b'"' + filled("\\a", 7900) + b'"')
        yield f"{name}, empty quotes", _fields(name, value + b";" + filled('""', 7900))
    three = (b"Via: SIP/2.0/UDP a", b"Contact: <sip:a@b>", b"Record-Route: <sip:a@b;lr>")
    yield "all lists", HEAD + b"".join(one + b";a=b" * 120 + b"\r\n" for one in three for _ in range(15)) + b"\r\n"
    for size in (20, 60, 250, 1000):
        many = HEAD
        for name, value in FIELDS:
            field = name.encode() + b": " + value + b";a=b" * ((size - len(value)) // 4) + b"\r\n"
            many += field * min(8000 // len(field), 19, 2400 // len(field))
        yield f"{size} octets of each list", many + b"\r\n"
    for name, body in descriptions():
        yield f"SDP: {name}", _with_body(b"application/sdp", body)
    yield "multipart", _with_body(b"multipart/mixed;boundary=a", b"\r\n--a\r\n\r\n" * 8000)
    yield "multipart, half boundaries", _with_body(b"multipart/mixed;boundary=" + b"-" * 4000, b"\r\n" + b"-" * LONGEST)
    for name, text in texts():
        yield (
            f"challenge: {name}",
            REPLY
            + (b"WWW-Authenticate: Digest " + text.encode("utf-8", "surrogateescape")[:8100] + b"\r\n") * 3
            + b"\r\n",
        )
    yield "challenges, many", REPLY + b'WWW-Authenticate: Digest realm="a", nonce="b", qop="auth"\r\n' * 240 + b"\r\n"
    yield "challenges, one line", REPLY + b"WWW-Authenticate: " + b'Digest realm="a", nonce="b", ' * 60 + b"\r\n\r\n"
    yield "qop words", REPLY + b'WWW-Authenticate: Digest realm="a", nonce="b", qop="' + b"a," * 4000 + b'"\r\n\r\n'


def descriptions() -> Iterator[tuple[str, bytes]]:
    """SDP, the first within what is read and the others far beyond."""
    image, audio = b"m=image 4000 udptl t38\r\n", b"m=audio 4000 RTP/AVP "
    yield "300 lines of 8 KiB", V0 + image + b"a=T38MaxBitRate:14400\r\n" * 280
    yield "16 media", (V0 + (audio + b"0 8\r\na=rtpmap:0 PCMU/8000\r\n" * 8) * 16)[:8190]
    yield "formats", V0 + audio + b"1 " * 4000
    yield "attributes of all media", V0 + b"a=x:1\r\n" * 200 + image * 16
    yield "connections", V0 + b"c=IN IP4 224.0.0.1\r\n" * 250 + image * 16
    yield "colons", V0 + image + b"a=" + b":" * 8000
    yield "blank lines", V0 + b" \r\n" * 2500 + image
    yield "line breaks", b"v=0\n" + b"\n" * 8100
    yield "digits", V0 + b"m=image " + b"9" * 8000 + b" udptl t38\r\n"
    yield "addresses", V0 + b"c=IN IP6 " + b":" * 7900 + b"\r\n" + image
    yield "fingerprints", V0 + b"m=image 4 UDP/TLS/UDPTL t38\r\n" + b"a=fingerprint:sha-256 AA:BB\r\n" * 250
    yield "a long fingerprint", V0 + b"m=image 4 UDP/TLS/UDPTL t38\r\na=fingerprint:sha-256 " + b"AA:" * 2600
    yield "64 KiB of attributes", V0 + image + b"a=x\r\n" * 13000
    yield "64 KiB of media", V0 + image * 2700
    yield "64 KiB of line breaks", b"\n" * LONGEST
    yield "64 KiB in one line", V0 + b"a=" + b"x" * LONGEST


# What separates, opens, closes, escapes and ends, alone and as small values.
UNITS: Final = (
    *(
        ",",
        ";",
        '"',
        '""',
        '\\"',
        "\\",
        "<",
        ">",
        "<>",
        "=",
        "@",
        ":",
        "::1",
        "/",
        " ",
        "\t ",
        "[",
        "]",
        "?",
        "%",
        "%41",
    ),
    *("a=b,", "a=b;", ";a=b", 'a="b",', ';a="\\b"', "a", "9", "0", "a,", "a ", "\u00e9", "\udcff", "\x1b", "\u2028"),
    *("sip:", "a/b;", "<sip:a@b>,", '"a" <sip:a@b>,', "Digest a=b,", "Q.850;cause=16,", "SIP/2.0/UDP a,"),
)


def texts() -> Iterator[tuple[str, str]]:
    """For everything that reads one value; 64 KiB, though no field is as long."""
    for unit in UNITS:
        yield f"{unit!r}, again and again", unit * (LONGEST // len(unit))
    dice = random.Random(1)
    yield "punctuation", "".join(dice.choice('",;<>\\=:@/ %[]?a') for _ in range(LONGEST))
    yield "one quoted string", '"' + "\\a" * 32000 + '"'
    yield "an open quoted string", 'a="' + "\\a" * 32000
    yield "a quoted value", 'sip:a;b="' + "a" * 65000 + '"'
    yield "a name", "a" * 65000 + " <sip:a@b>"
    yield "a host", "sip:" + "a." * 32000
    yield "a user", "sip:" + "%41" * 21000 + "@b"
    yield "a Via with blanks", "SIP / 2.0 / UDP" + " " * 60000 + "a"
    yield "nested brackets", "<" * 30000 + ">" * 30000
    yield "token68", "Digest " + "a" * 60000 + "=" * 5000 + "!"


VALUES: Final[dict[str, Callable[[str], object]]] = {
    "Uri": Uri.parse,
    "NameAddr": NameAddr.parse,
    "Via": Via.parse,
    "CSeq": CSeq.parse,
    "MediaType": MediaType.parse,
    "RAck": RAck.parse,
    "Reason": parse_reason,
    "challenge": parse_schemes,
    "list of commas": lambda text: split_outside(text, ","),
    "list of semicolons": lambda text: split_outside(text, ";"),
    "unescape": unescape,
    "unquote": lambda text: unquote(f'"{text}"'),
    "connection": sdp_room.parse_connection,
}


def read_message(data: bytes) -> None:
    """Everything that is ever read of a message."""
    message = parse_datagram(data, OPTIONS)
    check(message)
    summarise(message)
    _ = (message.contacts, message.max_forwards, message.retry_after, message.via.stamped(("::1", 9)))
    _ = (message.options, message.allows("UPDATE"), reasons_of(message))
    for name in ("require", "route", "p-asserted-identity"):
        with suppress(DecodeError):
            message.headers.values(name)
    with suppress(DecodeError):
        _ = message.vias
    with suppress(DecodeError):
        _ = message.accept
    with suppress(DecodeError):
        sdp_of(message)
    if isinstance(message, Request):
        with suppress(DecodeError):
            incoming_call(1, message, FLOW)
    elif isinstance(message, Response):
        challenges_in(message.headers)
        Keyring((Credentials("a", "b"),), random.Random(1)).learn(message, Attempt())


def read_description(data: bytes) -> None:
    """An offer and an answer."""

    def ours() -> MediaSession:
        return MediaSession(host="192.0.2.1", port=4000, parameters=T38Parameters(), session_id=1)

    with suppress(FaxError):
        objection_to(data, Wanted())
        ours().answer(data, want=MediaKind.ANY)
    session = ours()
    session.offer_t38()
    session.read_answer(data)


def read_challenge(text: str) -> None:
    """A 401 with one challenge, however long."""
    headers = Headers()
    headers.keep("WWW-Authenticate", "Digest " + text)
    Keyring((Credentials("a", "b"),), random.Random(1)).learn(Response(401, "", headers), Attempt())


def hear(data: bytes) -> None:
    """All that happens to a datagram: sieve, parser, agent."""
    sieve = Sieve(SieveOptions())
    agent = Agent(OPTIONS, contact=("192.0.2.1", 5060), dice=random.Random(1), sieve=sieve)
    if sieve.admit(data, FLOW.remote, agent.knows, 0.0):
        agent.receive(data, FLOW, 0.0)


def frame(data: bytes, step: int) -> None:
    """A stream that brings `step` octets at a time; its messages are parsed one by one, by others."""
    framer = Framer(OPTIONS)
    for at in range(0, len(data), step):
        framer.receive(data[at : at + step])


def streams() -> Iterator[tuple[str, bytes]]:
    """What a stream may bring."""
    small = HEAD + b"l: 0\r\n\r\n"
    yield "small messages", small * (LONGEST // len(small))
    yield "keep-alives", b"\r\n" * 32768
    yield "half keep-alives", b"\r" * LONGEST
    yield "a long head", HEAD + b"a:b\r\n" * 12000
    yield "a long body", HEAD + b"l: 60000\r\n\r\n" + b"\r\n" * 30000
    yield "many lengths", HEAD + b"l: 1\r\n" * 5000 + b"\r\n"
    yield "folds", HEAD + b"\r\n " * 10000 + b"\r\n\r\n"


def longest_octet_s(data: bytes) -> float:
    """Seconds of the dearest octet of a stream that brings one at a time: nothing waits for more than that."""
    framer, dearest, clock = Framer(OPTIONS), 0.0, time.thread_time
    for at in range(len(data)):
        begin = clock()
        framer.receive(data[at : at + 1])
        dearest = max(dearest, clock() - begin)
    return dearest


Case = tuple[str, str, int, Callable[[], object]]
"""Who reads, what, how many octets, and the reading itself: it raises DecodeError or nothing."""


def cases() -> Iterator[Case]:
    """Everything by everybody whom it concerns."""
    for name, octets in messages():
        data = octets[:LONGEST]
        yield "message", name, len(data), partial(read_message, data)
        yield "agent", name, len(data), partial(hear, data)
    for name, octets in descriptions():
        data = octets[:LONGEST]
        yield "SDP", name, len(data), partial(read_description, data)
    for name, text in texts():
        yield "challenge of a 401", name, len(text), partial(read_challenge, text)
        for reader, parse in VALUES.items():
            yield reader, name, len(text), partial(parse, text)
    for name, octets in streams():
        data = octets[:LONGEST]
        for step in (1460, LONGEST):
            yield f"stream by {step}", name, len(data), partial(frame, data, step)


def best_of(runs: int, work: Callable[[], object]) -> float:
    """Seconds of this thread's own time; what is refused is done, too."""
    times = []
    for _ in range(runs):
        begin = time.thread_time()
        with suppress(DecodeError, FaxError):
            work()
        times.append(time.thread_time() - begin)
    return min(times)
