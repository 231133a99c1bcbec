"""The called side of digest authentication, with our own caller's keyring against it."""

import random
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfax.transports.sip.keyring import Attempt, Credentials, Keyring
from vfax.transports.sip.message import Headers, Request, Response
from vfax.transports.sip.warden import Judgement, Verdict, Warden, WardenOptions

HOST: Final = "192.0.2.9"
URI: Final = "sip:fax@192.0.2.1"
ASK: Final = Verdict(Judgement.UNKNOWN)


def warden(**options: Any) -> Warden:
    options = {"realm": "fax", "users": {"alice": "s3cret", "bob": ""}} | options
    return Warden(WardenOptions(**options), random.Random(5))


def request(*fields: tuple[str, str], method: str = "INVITE", uri: str = URI) -> Request:
    return Request(method, uri, Headers(fields))


class Caller:
    """Answers challenges as our own caller does."""

    def __init__(self, user: str = "alice", password: str = "s3cret") -> None:
        self.ring = Keyring((Credentials(user, password),), random.Random(6))

    def learn(self, fields: list[tuple[str, str]]) -> str:
        return self.ring.learn(Response(401, "Unauthorized", Headers(fields)), Attempt())

    def ask(self, method: str = "INVITE") -> Request:
        return request(*self.ring.fields(method, URI), method=method)


def test_a_request_without_credentials_is_challenged_by_the_best_algorithm_first() -> None:
    one = warden()
    assert one.judge(request(), HOST, 0.0).judgement is Judgement.UNKNOWN
    names = [value.partition("algorithm=")[2].partition(",")[0] for _, value in one.challenges(ASK, HOST, 0.0)]
    assert names == ["SHA-256", "MD5"]
    assert len(one) == 0


@pytest.mark.parametrize("algorithms", [("SHA-512-256",), ("SHA-256",), ("MD5",), ("SHA-256", "MD5")])
def test_the_right_password_is_admitted(algorithms: tuple[str, ...]) -> None:
    one, caller = warden(algorithms=algorithms), Caller()
    assert caller.learn(one.challenges(ASK, HOST, 10.0)) == ""
    assert one.judge(caller.ask(), HOST, 10.1) == Verdict(Judgement.ADMITTED, "alice")
    assert one.judge(caller.ask("BYE"), HOST, 10.2) == Verdict(Judgement.ADMITTED, "alice")
    assert len(one) == 1


@pytest.mark.parametrize(
    ("user", "password", "why"),
    [
        ("alice", "wrong", "the password is wrong"),
        ("mallory", "s3cret", "there is no such user"),
        ("x" * 300, "s3cret", "there is no such user"),
    ],
)
def test_wrong_ones_are_refused_and_leave_no_state(user: str, password: str, why: str) -> None:
    one, caller = warden(), Caller(user, password)
    caller.learn(one.challenges(ASK, HOST, 0.0))
    for _ in range(3):
        verdict = one.judge(caller.ask(), HOST, 1.0)
        assert (verdict.judgement, verdict.why) == (Judgement.WRONG, why)
    assert len(one) == 0


def test_the_same_answer_does_not_serve_twice() -> None:
    one, caller = warden(), Caller()
    caller.learn(one.challenges(ASK, HOST, 0.0))
    first = caller.ask()
    assert one.judge(first, HOST, 0.0).judgement is Judgement.ADMITTED
    assert one.judge(first, HOST, 0.0).judgement is Judgement.STALE


def test_an_old_nonce_is_stale_and_the_new_one_serves() -> None:
    one, caller = warden(nonce_lifetime=60.0), Caller()
    caller.learn(one.challenges(ASK, HOST, 0.0))
    verdict = one.judge(caller.ask(), HOST, 60.1)
    assert verdict.judgement is Judgement.STALE
    challenges = one.challenges(verdict, HOST, 60.1)
    assert all(value.endswith("stale=true") for _, value in challenges)
    caller.learn(challenges)
    assert one.judge(caller.ask(), HOST, 61.0).judgement is Judgement.ADMITTED


def test_a_nonce_serves_only_so_often() -> None:
    one, caller = warden(nonce_uses=3), Caller()
    caller.learn(one.challenges(ASK, HOST, 0.0))
    judgements = [one.judge(caller.ask(), HOST, 0.0).judgement for _ in range(4)]
    assert judgements == [Judgement.ADMITTED] * 3 + [Judgement.STALE]


def test_a_nonce_serves_only_where_it_was_given_and_only_by_who_made_it() -> None:
    one, caller = warden(), Caller()
    caller.learn(one.challenges(ASK, HOST, 0.0))
    assert one.judge(caller.ask(), "192.0.2.10", 0.0).judgement is Judgement.STALE
    other = Warden(WardenOptions(realm="fax", users={"alice": "s3cret"}), random.Random(99))
    assert other.judge(caller.ask(), HOST, 0.0).judgement is Judgement.STALE


def test_without_qop_a_nonce_serves_once() -> None:
    one, caller = warden(algorithms=("MD5",)), Caller()
    caller.learn([(name, value.replace(', qop="auth"', "")) for name, value in one.challenges(ASK, HOST, 0.0)])
    assert one.judge(caller.ask(), HOST, 0.0).judgement is Judgement.ADMITTED
    assert one.judge(caller.ask(), HOST, 0.0).judgement is Judgement.STALE


def test_counts_are_bounded_and_what_fell_out_is_stale() -> None:
    one = warden(max_nonces=10)
    callers = []
    for number in range(15):
        caller = Caller()
        caller.learn(one.challenges(ASK, HOST, float(number)))
        assert one.judge(caller.ask(), HOST, float(number)).judgement is Judgement.ADMITTED
        callers.append(caller)
    assert len(one) == 10
    judgements = [one.judge(caller.ask(), HOST, 15.0).judgement for caller in callers]
    assert judgements == [Judgement.STALE] * 5 + [Judgement.ADMITTED] * 10


def test_md5_where_only_sha_is_offered_is_refused() -> None:
    one, caller = warden(algorithms=("SHA-256",)), Caller()
    caller.learn([(name, value.replace("SHA-256", "MD5")) for name, value in one.challenges(ASK, HOST, 0.0)])
    assert one.judge(caller.ask(), HOST, 0.0).judgement is Judgement.WRONG


def test_a_bound_algorithm_is_not_offered() -> None:
    assert len(warden(algorithms=("MD5-sess", "nonsense", "MD5")).challenges(ASK, HOST, 0.0)) == 1


def test_credentials_for_other_realms_are_passed_over() -> None:
    one, caller = warden(), Caller()
    caller.learn(one.challenges(ASK, HOST, 0.0))
    ((name, value),) = caller.ring.fields("INVITE", URI)
    several = request((name, 'Digest username="x", realm="p", nonce="n"'), (name, "Basic abc"), (name, value))
    assert one.judge(several, HOST, 0.0).judgement is Judgement.ADMITTED


def test_empty_password_is_a_password_too() -> None:
    one, caller = warden(), Caller("bob", "")
    caller.learn(one.challenges(ASK, HOST, 0.0))
    assert one.judge(caller.ask(), HOST, 0.0).judgement is Judgement.ADMITTED


@pytest.mark.parametrize(
    "damage",
    [
        ("qop=auth,", "qop=auth-int,"),
        ("nc=00000001", "nc=1"),
        ("nc=00000001", "nc=0000000\u0661"),
        ("algorithm=SHA-256", "algorithm=SHA-1"),
        ("Digest ", "Digest username=x, "),
        ('username="alice"', 'username="\udce4"'),
        ('response="', 'response="\udce4'),
    ],
)
def test_damaged_credentials_are_refused(damage: tuple[str, str]) -> None:
    one, caller = warden(), Caller()
    caller.learn(one.challenges(ASK, HOST, 0.0))
    ((name, value),) = caller.ring.fields("INVITE", URI)
    headers = Headers()
    headers.keep(name, value.replace(*damage))
    assert damage[0] in value
    assert one.judge(Request("INVITE", URI, headers), HOST, 0.0).judgement is Judgement.WRONG


@given(st.text(alphabet='Digest realm="fx",noce=0123456789abcdef\\rsp', max_size=120))
def test_nothing_in_the_field_raises(text: str) -> None:
    headers = Headers()
    headers.keep("Authorization", f'Digest realm="fax", {text}')
    assert warden().judge(Request("INVITE", URI, headers), HOST, 1.0).judgement is not Judgement.ADMITTED


def test_passwords_are_in_no_repr() -> None:
    assert "s3cret" not in repr(WardenOptions(users={"alice": "s3cret"}))


def test_the_right_password_with_a_nonce_of_somebody_else_is_stale() -> None:
    one, caller = warden(algorithms=("MD5",)), Caller()
    caller.learn([("WWW-Authenticate", 'Digest realm="fax", nonce="theirs", algorithm=MD5, qop="auth"')])
    assert one.judge(caller.ask(), HOST, 0.0).judgement is Judgement.STALE
