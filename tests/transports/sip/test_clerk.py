"""Registrations and probes with a real agent: what REGISTERs and OPTIONS say, and how results come back."""

import random
from itertools import pairwise
from typing import Any, Final

import pytest

from vfax.transports.sip import values as sip
from vfax.transports.sip.account import Account
from vfax.transports.sip.clerk import Clerk, result_of
from vfax.transports.sip.keyring import Credentials
from vfax.transports.sip.registration import Register, RegistrationOptions, Registrations, Standing
from vfax.transports.sip.values import Hop, Transport

HOP: Final = Hop(Transport.UDP, "192.0.2.9", 5060)
ACCOUNT: Final = Account(name="t", credentials=(Credentials("alice", "s3cret"),))
ORDER: Final = Register(key="t", registrar="sip:registrar.example", aor="sip:alice%20b@example.org:5070", expires=600)
CHALLENGE: Final = 'WWW-Authenticate: Digest realm="r", nonce="{}", qop="auth"'


@pytest.fixture
def clerk() -> Clerk:
    return Clerk(random.Random(9))


def ask(desk: Any, clerk: Clerk, order: Register = ORDER, account: Account = ACCOUNT) -> Any:
    key = desk.order("request", clerk.registering(order, [HOP], account))
    clerk.sent("REGISTER", order.key, key)
    return desk.last("REGISTER").message


def end(desk: Any, clerk: Clerk) -> sip.RequestDone:
    done = desk.told(sip.RequestDone)[-1]
    assert clerk.ended(done) == ("REGISTER", "t")
    assert isinstance(done, sip.RequestDone)
    return done


def test_a_register_says_who_where_and_for_how_long(desk: Any, clerk: Clerk) -> None:
    sent = ask(desk, clerk)
    assert sent.uri == "sip:registrar.example"
    assert sent.to.uri.text == sent.from_.uri.text == "sip:alice%20b@example.org:5070"
    assert sent.headers.first("contact") == "<sip:alice%20b@192.0.2.1:5060>;expires=600"
    assert (sent.headers.first("expires"), sent.headers.first("supported")) == ("600", "path")


def test_refreshes_belong_together_and_go_on_with_the_nonce(desk: Any, peer: Any, clerk: Clerk) -> None:
    first = ask(desk, clerk)
    desk.receive(peer.response(first, 401, fields=[CHALLENGE.format("n")]))
    second = desk.last("REGISTER").message
    desk.receive(peer.response(second, 200, contact="<sip:alice%20b@192.0.2.1:5060>;expires=600"))
    end(desk, clerk)
    third = ask(desk, clerk)
    assert [one.cseq.number for one in (first, second, third)] == [1, 2, 3]
    assert {(one.call_id, one.from_.tag) for one in (first, second, third)} == {(first.call_id, first.from_.tag)}
    assert [one.headers.first("authorization") is None for one in (first, second, third)] == [True, False, False]
    assert "nc=00000002" in third.headers.first("authorization")


def test_results_find_our_own_contact(desk: Any, peer: Any, clerk: Clerk) -> None:
    offices = Registrations(random.Random(1))
    offices.add("t", RegistrationOptions(registrar=ORDER.registrar, aor=ORDER.aor), 0.0)
    (order,) = offices.take_orders()
    sent = ask(desk, clerk, order)
    contacts = "<sip:other@h>;expires=5, <sip:alice%20b@192.0.2.1:5060>;expires=99"
    desk.receive(peer.response(sent, 200, contact=contacts))
    offices.on_result("t", result_of(end(desk, clerk)), desk.now)
    state = offices.state("t")
    assert (state.standing, state.until) == (Standing.REGISTERED, 99.0)


def test_a_wrong_password_backs_off_in_virtual_time(desk: Any, peer: Any, clerk: Clerk) -> None:
    """Engine, clerk and agent together for two hours: few tries, a sentence, no tight loop."""
    offices = Registrations(random.Random(2))
    offices.add("t", RegistrationOptions(registrar=ORDER.registrar, aor=ORDER.aor), 0.0)
    nonce = 0
    while desk.now < 7200:
        for order in offices.take_orders():
            ask(desk, clerk, order)
            while not desk.told(sip.RequestDone):
                nonce += 1
                desk.receive(peer.response(desk.last("REGISTER").message, 401, fields=[CHALLENGE.format(nonce)]))
            offices.on_result("t", result_of(end(desk, clerk)), desk.now)
            desk.events.clear()
        desk.wait_until(offices.next_timeout())
        offices.handle_timeout(desk.now)
    assert "the password for user 'alice' in realm 'r' is wrong" in offices.state("t").why
    tries = sorted(set(desk.times_of("REGISTER")))
    pauses = [later - sooner for sooner, later in pairwise(tries)]
    assert 8 <= len(tries) <= 16
    assert min(pauses) >= 30
    assert max(pauses) <= 1800
    assert pauses[0] < 61 < 400 < max(pauses)
    numbers = [sent.message.cseq.number for sent in desk.sent if sent.word == "REGISTER"]
    assert numbers == list(range(1, len(numbers) + 1))


def test_an_unreachable_registrar_backs_off_in_virtual_time(desk: Any, clerk: Clerk) -> None:
    offices = Registrations(random.Random(3))
    offices.add("t", RegistrationOptions(registrar=ORDER.registrar, aor=ORDER.aor), 0.0)
    while desk.now < 7200:
        for order in offices.take_orders():
            ask(desk, clerk, order)
            desk.drain()
            offices.on_result("t", result_of(end(desk, clerk)), desk.now)
        desk.wait_until(max(desk.now, offices.next_timeout()))
        offices.handle_timeout(desk.now)
    state = offices.state("t")
    assert state.why.startswith("no answer to the registration of sip:alice%20b@example.org:5070 at sip:registrar")
    numbers = {sent.message.cseq.number for sent in desk.sent if sent.word == "REGISTER"}
    assert len(numbers) <= 16


def test_changed_credentials_begin_a_new_thread(desk: Any, clerk: Clerk) -> None:
    first = ask(desk, clerk)
    other = Account(name="t", credentials=(Credentials("bob", "x"),))
    assert ask(desk, clerk, account=other).call_id != first.call_id
    assert ask(desk, clerk, account=other).call_id != first.call_id


def test_options_of_one_peer_belong_together(desk: Any, peer: Any, clerk: Clerk) -> None:
    sent = []
    for _ in range(2):
        asking = clerk.probing("t", "sip:192.0.2.9", [HOP], ACCOUNT, from_user="alice@example.org")
        clerk.sent("OPTIONS", "t", desk.order("request", asking))
        sent.append(desk.last("OPTIONS").message)
        desk.receive(peer.response(sent[-1], 200))
        assert clerk.ended(desk.told(sip.RequestDone)[-1]) == ("OPTIONS", "t")
    assert [one.cseq.number for one in sent] == [1, 2]
    assert sent[0].call_id == sent[1].call_id
    assert sent[0].from_.uri.text == "sip:alice@example.org"


def test_ends_of_others_requests_are_nobodys(clerk: Clerk) -> None:
    assert clerk.ended(sip.RequestDone(7, 200, "OK", 1, None, None)) is None


def test_forgotten_threads_begin_anew(desk: Any, clerk: Clerk) -> None:
    first = ask(desk, clerk)
    clerk.forget("REGISTER", "t")
    assert ask(desk, clerk).call_id != first.call_id


def test_a_contact_that_cannot_be_read_is_none() -> None:
    assert result_of(sip.RequestDone(7, 200, "OK", 1, None, None, "*")).contact == ""
