"""Digest authentication, both sides, with header fields that mean no good.

Oracle    a keyring and a warden raise nothing; a request is repeated at most a few times on behalf of one attempt;
          what is answered can be sent and read again; nobody is admitted without the password, and nothing is kept
          of whoever was not.
"""

import random
from typing import Final

from vfax.errors import MisuseError
from vfax.transports.sip.digest import parse_schemes
from vfax.transports.sip.keyring import Attempt, Credentials, Keyring
from vfax.transports.sip.message import Headers, Request, Response
from vfax.transports.sip.warden import Judgement, Warden, WardenOptions

RECORDS: Final = False
TOKENS: Final = (
    b'Digest realm="r", nonce="n"',
    b', qop="auth"',
    b", algorithm=SHA-256",
    b", algorithm=MD5-sess",
    b", stale=true",
    b", opaque=",
    b'nc=00000001, cnonce="c"',
    b'username="alice", response="',
    b'uri="sip:',
    b"\n",
    b'"\\',
    b"<>",
    b"NTLM ",
    b"=",
    b"\xff",
)
URI: Final = "sip:fax@192.0.2.1"
MAX_REPEATS: Final = 24  # eight realms and their stale nonces


def seeds() -> list[bytes]:
    """Challenges as peers write them, one a line, and credentials."""
    return [
        b'Digest realm="asterisk", nonce="4bd2a8", algorithm=MD5',
        b'Digest realm="a", nonce="1", qop="auth,auth-int", opaque="", stale=FALSE\nDigest realm="a", nonce="1", '
        b"algorithm=SHA-256, qop=auth",
        b'Basic realm="x", Digest realm="y", nonce="\\"z\\"", algorithm=SHA-512-256-sess, qop="auth"',
        b'Digest username="alice", realm="r", nonce="00000000000f4240", uri="sip:a@b", response="0", nc=00000001, '
        b'cnonce="c", qop=auth, algorithm=SHA-256',
    ]


def run(data: bytes) -> None:
    """Each line is one challenge field of a response, and one Authorization of a request."""
    lines = data.decode("utf-8", "surrogateescape").replace("\r", "\n").split("\n")[:40]
    _ask(lines)
    _judge(lines)


def _headers(name: str, lines: list[str]) -> Headers:
    headers = Headers()
    for line in lines:
        headers.keep(name, line)
    return headers


def _ask(lines: list[str]) -> None:
    ring, attempt = Keyring((Credentials("alice", "s3cret"),), random.Random(1)), Attempt()
    response = Response(401, "Unauthorized", _headers("WWW-Authenticate", lines))
    repeats = 0
    while not (why := ring.learn(response, attempt)):
        repeats += 1
        assert repeats <= MAX_REPEATS, "asked for ever"
        for name, value in ring.fields("INVITE", URI, b"body"):
            _is_sound(name, value)
    assert "s3cret" not in why


def _is_sound(name: str, value: str) -> None:
    try:
        Headers([(name, value)])
    except MisuseError:  # only octets that never come in a header field
        assert any(ord(letter) < 32 or 0xD800 <= ord(letter) < 0xE000 for letter in value)
        return
    (scheme,) = parse_schemes(value)
    assert "s3cret" not in value
    assert scheme.is_digest


def _judge(lines: list[str]) -> None:
    warden = Warden(WardenOptions(realm="r", users={"alice": "s3cret"}), random.Random(2))
    verdict = warden.judge(Request("INVITE", URI, _headers("Authorization", lines)), "192.0.2.9", 1.0)
    assert verdict.judgement is not Judgement.ADMITTED
    assert len(warden) == 0
    for name, value in warden.challenges(verdict, "192.0.2.9", 1.0):
        _is_sound(name, value)
