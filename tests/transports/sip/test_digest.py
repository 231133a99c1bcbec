"""Digest authentication: published vectors, challenges as peers write them, which one is answered."""

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfax.errors import DecodeError
from vfax.transports.sip.digest import (
    ALGORITHMS,
    Challenge,
    Proof,
    Qop,
    Scheme,
    challenges_in,
    choose,
    credentials_value,
    parse_schemes,
)
from vfax.transports.sip.message import Headers

# draft-smith-sipping-auth-examples-01, June 2005: bob's password is zanzibar. Its section 2 has the body.
SMITH: Final[dict[str, Any]] = {
    "user": "bob",
    "realm": "biloxi.com",
    "nonce": "dcd98b7102dd2f0e8b11d0f600bfb0c093",
    "cnonce": "0a4f113b",
    "method": "INVITE",
    "uri": "sip:bob@biloxi.com",
}
BODY: Final = "\r\n".join(
    (
        "v=0",
        "o=bob 2890844526 2890844526 IN IP4 media.biloxi.com",
        "s=-",
        "c=IN IP4 media.biloxi.com",
        "t=0 0",
        "m=audio 49170 RTP/AVP 0",
        "a=rtpmap:0 PCMU/8000",
        "m=video 51372 RTP/AVP 31",
        "a=rtpmap:31 H261/90000",
        "m=video 53000 RTP/AVP 32",
        "a=rtpmap:32 MPV/90000",
        "",
    )
).encode()
MUFASA: Final[dict[str, Any]] = {
    "user": "Mufasa",
    "realm": "http-auth@example.org",
    "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
    "cnonce": "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    "method": "GET",
    "uri": "/dir/index.html",
}
JASON: Final[dict[str, Any]] = {
    "user": "J\u00e4s\u00f8n Doe",
    "realm": "api@example.org",
    "nonce": "5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
    "cnonce": "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
    "method": "GET",
    "uri": "/doe.json",
}
RFC2617: Final[dict[str, Any]] = {
    "user": "Mufasa",
    "realm": "testrealm@host.com",
    "nonce": "dcd98b7102dd2f0e8b11d0f600bfb0c093",
    "cnonce": "0a4f113b",
    "method": "GET",
    "uri": "/dir/index.html",
}


@pytest.mark.parametrize(
    ("given", "algorithm", "qop", "password", "response"),
    [
        pytest.param(RFC2617, "md5", "auth", "Circle Of Life", "6629fae49393a05397450978507c4ef1", id="RFC 2617 3.5"),
        pytest.param(
            MUFASA, "md5", "auth", "Circle of Life", "8ca523f5e9506fed4657c9700eebdbec", id="RFC 7616 3.9.1 MD5"
        ),
        pytest.param(
            MUFASA,
            "sha-256",
            "auth",
            "Circle of Life",
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            id="RFC 7616 3.9.1 SHA-256",
        ),
        pytest.param(
            JASON,
            "sha-512-256",
            "auth",
            "Secret, or not?",
            "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5",
            id="RFC 7616 3.9.2 as corrected by erratum 4897",
        ),
        pytest.param(SMITH, "md5", "", "zanzibar", "bf57e4e0d0bffc0fbaedce64d59add5e", id="smith 3.1 RFC 2069"),
        pytest.param(SMITH, "md5", "auth", "zanzibar", "89eb0059246c02b2f6ee02c7961d5ea3", id="smith 3.3"),
        pytest.param(SMITH, "md5-sess", "auth", "zanzibar", "e4e4ea61d186d07a92c9e1f6919902e9", id="smith 3.4"),
        pytest.param(SMITH, "md5", "auth-int", "zanzibar", "bdbeebb2da6adb6bca02599c2239e192", id="smith 3.5"),
        pytest.param(SMITH, "md5-sess", "auth-int", "zanzibar", "91984da2d8663716e91554859c22ca70", id="smith 3.6"),
    ],
)
def test_response_is_the_published_one(
    given: dict[str, Any], algorithm: str, qop: str, password: str, response: str
) -> None:
    proof = Proof(algorithm=ALGORITHMS[algorithm], qop=Qop(qop), count=1, body=BODY, **given)
    assert proof.response(password) == response


def test_second_request_of_a_session_keeps_the_first_key() -> None:
    first = Proof(algorithm=ALGORITHMS["sha-256-sess"], qop=Qop.AUTH, **SMITH)
    later = SMITH | {"nonce": "other", "cnonce": "new"}
    bound = Proof(
        algorithm=ALGORITHMS["sha-256-sess"], qop=Qop.AUTH, session=(first.nonce, first.cnonce), count=2, **later
    )
    free = Proof(algorithm=ALGORITHMS["sha-256-sess"], qop=Qop.AUTH, count=2, **later)
    assert bound.response("x") != free.response("x")


# --- header fields ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "schemes"),
    [
        ('Digest realm="a", nonce="b"', [("Digest", {"realm": "a", "nonce": "b"})]),
        (
            'Digest realm="a, Digest b" , nonce = "c" ,, qop=auth',
            [("Digest", {"realm": "a, Digest b", "nonce": "c", "qop": "auth"})],
        ),
        (
            'Digest realm="a", nonce="b", Digest realm="c", nonce="d", algorithm=SHA-256',
            [
                ("Digest", {"realm": "a", "nonce": "b"}),
                ("Digest", {"realm": "c", "nonce": "d", "algorithm": "SHA-256"}),
            ],
        ),
        (
            'Negotiate, NTLM abc+/==, Basic realm="x",Digest realm=y,nonce="z"',
            [("Negotiate", {}), ("NTLM", {}), ("Basic", {"realm": "x"}), ("Digest", {"realm": "y", "nonce": "z"})],
        ),
        (r'Digest realm="say \"a\"", NONCE="\\"', [("Digest", {"realm": r"say \"a\"", "nonce": r"\\"})]),
        ("", []),
        (" , ", []),
    ],
)
def test_schemes_are_told_apart_by_commas_outside_quotes(value: str, schemes: list[tuple[str, dict[str, str]]]) -> None:
    assert [(one.name, dict(one.parameters)) for one in parse_schemes(value)] == schemes


@pytest.mark.parametrize(
    "value",
    [
        'realm="a"',
        'Digest realm="a',
        'Digest realm="a"b',
        'Digest realm="a", realm="b"',
        "Digest @",
        "@",
        'Digest="x"',
        "Digest, " * 200,
        "Digest x y",
        'Digest realm=a"b, nonce="c"',
        'Digest realm="a", nonce=b\\',
        "Digest realm=a b",
    ],
)
def test_what_is_no_list_of_schemes_is_refused(value: str) -> None:
    with pytest.raises(DecodeError):
        parse_schemes(value)


@given(st.text(alphabet='Digestrealmnonce=", \t\\<>;a', max_size=80))
def test_any_text_raises_nothing_but_decode_error(text: str) -> None:
    try:
        schemes = parse_schemes(text)
    except DecodeError:
        return
    assert all(isinstance(one, Scheme) and one.name for one in schemes)


def test_challenges_of_proxies_and_servers_are_read_from_all_fields() -> None:
    headers = Headers(
        [
            ("WWW-Authenticate", 'Digest realm="s", nonce="1", stale=TRUE, opaque="o", qop="auth-int, auth"'),
            ("proxy-authenticate", 'Digest realm="p", nonce="2", algorithm=SHA-256, qop=auth'),
            ("WWW-Authenticate", 'Basic realm="s"'),
            ("WWW-Authenticate", 'Digest realm="no nonce"'),
            ("Authorization", 'Digest realm="s", nonce="1"'),
        ]
    )
    found = challenges_in(headers)
    server, proxy = found.digest
    assert (server.proxy, server.realm, server.stale, server.opaque) == (False, "s", True, "o")
    assert (server.protection, server.algorithm) == (Qop.AUTH, None)
    assert (proxy.proxy, proxy.realm, proxy.title) == (True, "p", "Digest SHA-256")
    assert found.others == ("Basic", "a challenge that cannot be read (a Digest challenge without nonce)")


def test_no_more_than_sixteen_challenges_are_kept() -> None:
    many = ", ".join(f'Digest realm="{i}", nonce="n"' for i in range(60))
    assert len(challenges_in(Headers([("WWW-Authenticate", many)] * 20)).digest) == 16


def challenge(algorithm: str | None = None, *, realm: str = "r", proxy: bool = False, **more: Any) -> Challenge:
    return Challenge(realm=realm, proxy=proxy, nonce=f"n-{algorithm}", algorithm=algorithm, **more)


def chosen(*challenges: Challenge, md5: bool = True) -> list[str | None]:
    return [one.algorithm for one in choose(challenges, md5=md5)]


def test_md5_is_never_taken_where_the_realm_offers_sha() -> None:
    assert chosen(challenge("MD5"), challenge("SHA-256")) == ["SHA-256"]
    assert chosen(challenge("SHA-256"), challenge(None)) == ["SHA-256"]
    assert chosen(challenge("md5-sess"), challenge("sha-256-SESS")) == ["sha-256-SESS"]


def test_the_strongest_is_taken_and_of_equals_the_topmost() -> None:
    assert chosen(challenge("SHA-256"), challenge("SHA-512-256"), challenge("MD5")) == ["SHA-512-256"]
    assert chosen(challenge("SHA-256-sess"), challenge("SHA-256")) == ["SHA-256-sess"]


def test_challenges_we_do_not_understand_are_passed_over() -> None:
    assert chosen(challenge("SHA-1"), challenge("AKAv1-MD5"), challenge("MD5")) == ["MD5"]
    assert chosen(challenge("SHA-256", qop=("auth-conf",)), challenge("MD5")) == ["MD5"]
    assert chosen(challenge("SHA-1")) == []


def test_md5_can_be_switched_off() -> None:
    assert chosen(challenge("MD5"), challenge(None), md5=False) == []
    assert chosen(challenge("MD5"), challenge("SHA-256"), md5=False) == ["SHA-256"]


def test_each_realm_of_proxies_and_of_servers_is_answered() -> None:
    found = choose(
        [challenge("MD5"), challenge("MD5", realm="other"), challenge("SHA-256"), challenge("MD5", proxy=True)],
        md5=True,
    )
    assert [(one.proxy, one.realm, one.algorithm) for one in found] == [
        (False, "r", "SHA-256"),
        (False, "other", "MD5"),
        (True, "r", "MD5"),
    ]


def test_what_is_sent_repeats_the_challenge_as_it_came() -> None:
    asked = challenge("md5", realm=r"a \"b\"", qop=("auth",), opaque="")
    proof = Proof(
        algorithm=ALGORITHMS["md5"],
        qop=Qop.AUTH,
        user='x"y',
        realm=asked.realm,
        nonce=asked.nonce,
        method="BYE",
        uri="sip:a@b",
        cnonce="c",
        count=26,
    )
    value = credentials_value(proof, asked, "secret")
    (scheme,) = parse_schemes(value)
    assert dict(scheme.parameters) == {
        "username": r"x\"y",
        "realm": r"a \"b\"",
        "nonce": "n-md5",
        "uri": "sip:a@b",
        "response": proof.response("secret"),
        "algorithm": "md5",
        "opaque": "",
        "qop": "auth",
        "cnonce": "c",
        "nc": "0000001a",
    }
    assert "secret" not in value


def test_without_qop_neither_count_nor_cnonce_is_sent() -> None:
    asked = challenge(None)
    proof = Proof(
        algorithm=ALGORITHMS["md5"],
        qop=Qop.NONE,
        user="u",
        realm="r",
        nonce=asked.nonce,
        method="BYE",
        uri="sip:a@b",
        cnonce="c",
    )
    (scheme,) = parse_schemes(credentials_value(proof, asked, "secret"))
    assert set(scheme.parameters) == {"username", "realm", "nonce", "uri", "response"}


def test_a_session_algorithm_without_qop_sends_its_cnonce() -> None:
    asked = challenge("MD5-sess")
    proof = Proof(algorithm=ALGORITHMS["md5-sess"], qop=Qop.NONE, **SMITH)
    (scheme,) = parse_schemes(credentials_value(proof, asked, "zanzibar"))
    assert scheme.parameters["cnonce"] == SMITH["cnonce"]
    assert "nc" not in scheme.parameters
