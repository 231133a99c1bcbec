"""Our side of digest authentication: what is answered, how often, and why not."""

import random
from typing import Final

import pytest

from vfax.transports.sip.digest import ALGORITHMS, Proof, Qop, parse_schemes
from vfax.transports.sip.keyring import Attempt, Credentials, Keyring
from vfax.transports.sip.message import Headers, Response

CREDENTIALS: Final = Credentials("alice", "s3cret")
URI: Final = "sip:9@192.0.2.9"


def asked(*values: str, status: int = 401, proxy: bool = False) -> Response:
    name = "Proxy-Authenticate" if proxy else "WWW-Authenticate"
    return Response(status, "Unauthorized", Headers([(name, value) for value in values]))


def digest(realm: str = "r", nonce: str = "n1", more: str = ', qop="auth"') -> str:
    return f'Digest realm="{realm}", nonce="{nonce}"{more}'


def ring(*credentials: Credentials, md5: bool = True) -> Keyring:
    return Keyring(credentials or (CREDENTIALS,), random.Random(1), md5=md5)


def sent(keyring: Keyring, method: str = "INVITE", body: bytes = b"") -> list[tuple[str, dict[str, str]]]:
    return [(name, dict(parse_schemes(value)[0].parameters)) for name, value in keyring.fields(method, URI, body)]


def test_nothing_is_sent_before_a_challenge() -> None:
    assert ring().fields("INVITE", URI) == []


def test_a_challenge_is_answered_for_the_request_as_it_is() -> None:
    keyring = ring()
    assert keyring.learn(asked(digest()), Attempt()) == ""
    ((name, given),) = sent(keyring, "BYE")
    proof = Proof(
        algorithm=ALGORITHMS["md5"],
        qop=Qop.AUTH,
        user="alice",
        realm="r",
        nonce="n1",
        method="BYE",
        uri=URI,
        cnonce=given["cnonce"],
    )
    assert name == "Authorization"
    assert (given["nc"], given["response"]) == ("00000001", proof.response("s3cret"))


def test_nonce_count_grows_with_each_request_and_begins_anew_with_each_nonce() -> None:
    keyring = ring()
    keyring.learn(asked(digest()), Attempt())
    assert [sent(keyring)[0][1]["nc"] for _ in range(3)] == ["00000001", "00000002", "00000003"]
    keyring.learn(asked(digest(nonce="n2")), Attempt())
    assert (sent(keyring)[0][1]["nonce"], sent(keyring)[0][1]["nc"]) == ("n2", "00000002")


def test_proxy_and_server_are_both_answered_from_then_on() -> None:
    keyring, attempt = ring(), Attempt()
    assert keyring.learn(asked(digest("p"), status=407, proxy=True), attempt) == ""
    assert keyring.learn(asked(digest("s")), attempt) == ""
    assert [(name, given["realm"]) for name, given in sent(keyring)] == [
        ("Proxy-Authorization", "p"),
        ("Authorization", "s"),
    ]


def test_auth_int_covers_the_body() -> None:
    keyring = ring()
    keyring.learn(asked(digest(more=', qop="auth-int"')), Attempt())
    first, second = sent(keyring, body=b"a")[0][1], sent(keyring, body=b"b")[0][1]
    assert first["qop"] == "auth-int"
    proof = Proof(
        algorithm=ALGORITHMS["md5"],
        qop=Qop.AUTH_INT,
        user="alice",
        realm="r",
        nonce="n1",
        method="INVITE",
        uri=URI,
        cnonce=second["cnonce"],
        count=2,
        body=b"b",
    )
    assert second["response"] == proof.response("s3cret")


def test_second_refusal_of_a_realm_is_a_wrong_password() -> None:
    keyring, attempt = ring(), Attempt()
    assert keyring.learn(asked(digest()), attempt) == ""
    why = keyring.learn(asked(digest(nonce="n2")), attempt)
    assert why == (
        "the password for user 'alice' in realm 'r' is wrong: 401 came again after it was given "
        "(check the user, the password and the realm)"
    )
    assert "s3cret" not in why


def test_stale_nonce_is_replaced_with_the_same_password_once_more() -> None:
    keyring, attempt = ring(), Attempt()
    assert keyring.learn(asked(digest()), attempt) == ""
    assert keyring.learn(asked(digest(nonce="n2", more=", stale=true")), attempt) == ""
    assert sent(keyring)[0][1]["nonce"] == "n2"
    assert "stale in realm 'r'" in keyring.learn(asked(digest(nonce="n3", more=", stale=true")), attempt)


def test_wrong_after_stale_is_a_wrong_password() -> None:
    keyring, attempt = ring(), Attempt()
    keyring.learn(asked(digest()), attempt)
    keyring.learn(asked(digest(nonce="n2", more=", stale=true")), attempt)
    assert "is wrong" in keyring.learn(asked(digest(nonce="n3")), attempt)


def test_a_nonce_sent_unasked_may_have_been_forgotten_without_a_word() -> None:
    keyring = ring()
    keyring.learn(asked(digest()), Attempt())
    later = Attempt()
    assert keyring.learn(asked(digest(nonce="n2")), later) == ""
    assert "is wrong" in keyring.learn(asked(digest(nonce="n3")), later)


def test_credentials_of_a_realm_go_before_those_for_whoever_asks() -> None:
    keyring = ring(Credentials("any", "1"), Credentials("tied", "2", realm='the "r"'))
    keyring.learn(asked(digest(r"the \"r\""), digest("x")), Attempt())
    assert [given["username"] for _, given in sent(keyring)] == ["tied", "any"]


@pytest.mark.parametrize(
    ("response", "sentence"),
    [
        (asked(), "the peer wants credentials (401) and does not say how: it sent no challenge"),
        (asked('Basic realm="r"', "NTLM"), "the peer wants credentials by a method we do not have: Basic, NTLM"),
        (
            asked(digest(more=", algorithm=SHA-1")),
            "the peer wants credentials by a method we do not have: Digest SHA-1",
        ),
        (
            asked(digest("other")),
            "the peer wants credentials for realm 'other' and there are none (set user and password of its trunk)",
        ),
    ],
)
def test_what_cannot_be_answered_is_said(response: Response, sentence: str) -> None:
    assert ring(Credentials("alice", "s3cret", realm="r")).learn(response, Attempt()) == sentence


def test_md5_switched_off_is_said() -> None:
    why = ring(md5=False).learn(asked(digest()), Attempt())
    assert why.endswith("Digest MD5 (md5 is switched off for this trunk)")


def test_without_credentials_nothing_is_answered() -> None:
    keyring = Keyring((), random.Random(1))
    assert "there are none" in keyring.learn(asked(digest()), Attempt())
    assert keyring.fields("INVITE", URI) == []


def test_password_is_in_no_repr() -> None:
    keyring = ring()
    keyring.learn(asked(digest()), Attempt())
    assert "s3cret" not in repr(CREDENTIALS)
    assert "s3cret" not in repr(keyring._sessions)


def test_realms_are_bounded() -> None:
    keyring = ring()
    for number in range(30):
        keyring.learn(asked(digest(f"r{number}")), Attempt())
    assert len(keyring.fields("INVITE", URI)) == 8
