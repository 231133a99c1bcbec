"""Digest in the agent: challenges of every request of ours, in dialogs and outside; callers who are challenged."""

import random
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any, Final

import pytest

from vfax.transports.sip import values as sip
from vfax.transports.sip.account import Account
from vfax.transports.sip.admission import Admission, Rule
from vfax.transports.sip.agent import Agent
from vfax.transports.sip.digest import ALGORITHMS, Proof, Qop, parse_schemes
from vfax.transports.sip.keyring import Attempt, Credentials, Keyring
from vfax.transports.sip.message import Request
from vfax.transports.sip.options import SipOptions
from vfax.transports.sip.outside import Asking
from vfax.transports.sip.values import Hop, Transport
from vfax.transports.sip.warden import WardenOptions

ACCOUNT: Final = Account(name="t", credentials=(Credentials("alice", "s3cret"),))
WRONG: Final = "the password for user 'alice' in realm 'r' is wrong: 401 came again after it was given"
OURS: Final = WardenOptions(realm="fax", users={"alice": "s3cret"}, algorithms=("SHA-256",))


def asks(realm: str = "r", nonce: str = "n1", more: str = "", *, proxy: bool = False) -> str:
    name = "Proxy-Authenticate" if proxy else "WWW-Authenticate"
    return f'{name}: Digest realm="{realm}", nonce="{nonce}", qop="auth"{more}'


def given(request: Request, *, proxy: bool = False) -> dict[str, dict[str, str]]:
    """Credentials of a request by realm, each held against the password."""
    found = {}
    for value in request.headers.all("proxy-authorization" if proxy else "authorization"):
        (scheme,) = parse_schemes(value)
        one = dict(scheme.parameters)
        proof = Proof(
            algorithm=ALGORITHMS[one.get("algorithm", "md5").lower()],
            qop=Qop.AUTH,
            user="alice",
            realm=one["realm"],
            nonce=one["nonce"],
            method="INVITE" if request.method == "ACK" else request.method,
            uri=one["uri"],
            cnonce=one["cnonce"],
            count=int(one["nc"], 16),
        )
        assert one["response"] == proof.response("s3cret")
        assert request.method == "ACK" or one["uri"] == request.uri
        found[one["realm"]] = one
    return found


def learn(desk: Any, peer: Any) -> Any:
    """The last INVITE; the peer learns the dialog from it."""
    invite = desk.last("INVITE").message
    peer.call_id, peer.our_tag, peer.target = invite.call_id, invite.from_.tag, invite.contacts[0].uri.text
    return invite


def counts(desk: Any, word: str) -> list[str]:
    """nc of all requests of a kind, "" for one without credentials."""
    sent = (one.message for one in desk.sent if one.word == word)
    return [given(message).get("r", {}).get("nc", "")[-1:] for message in sent]


# --- our INVITE ---------------------------------------------------------------------------------------


def test_a_challenged_invite_is_acknowledged_and_sent_again_with_the_next_number(
    desk: Any, peer: Any, sdp: bytes
) -> None:
    call = desk.dial(account=ACCOUNT)
    first = learn(desk, peer)
    desk.receive(peer.response(first, 401, fields=[asks()]))
    assert [sent.word for sent in desk.sent] == ["INVITE", "ACK", "INVITE"]
    ack, second = desk.sent[1].message, desk.last("INVITE").message
    assert (ack.via.branch, ack.cseq.number) == (first.via.branch, 1)
    assert second.via.branch != first.via.branch
    assert (second.cseq.number, second.call_id, second.from_.tag, second.to.tag) == (
        2,
        first.call_id,
        first.from_.tag,
        "",
    )
    assert (second.uri, second.body, second.headers.all("contact")) == (
        first.uri,
        sdp,
        first.headers.all("contact"),
    )
    assert given(second)["r"]["nc"] == "00000001"
    assert desk.events == []
    desk.receive(peer.response(second, 200, body=sdp))
    assert desk.events == [sip.Answered(call, sdp)]


def test_ack_to_the_answer_bears_the_credentials_of_its_invite(desk: Any, peer: Any, sdp: bytes) -> None:
    desk.dial(account=ACCOUNT)
    desk.receive(peer.response(learn(desk, peer), 401, fields=[asks()]))
    invite = desk.last("INVITE").message
    desk.receive(peer.response(invite, 200, body=sdp))
    ack = desk.last("ACK").message
    assert ack.headers.all("authorization") == invite.headers.all("authorization") != []


def test_proxy_and_server_are_answered_one_after_the_other(desk: Any, peer: Any) -> None:
    desk.dial(account=ACCOUNT)
    desk.receive(peer.response(learn(desk, peer), 407, fields=[asks("p", proxy=True)]))
    desk.receive(peer.response(desk.last("INVITE").message, 401, fields=[asks("s")]))
    third = desk.last("INVITE").message
    assert third.cseq.number == 3
    assert given(third)["s"]["nc"] == "00000001"
    assert given(third, proxy=True)["p"]["nc"] == "00000002"
    assert (len(third.headers.all("authorization")), len(third.headers.all("proxy-authorization"))) == (1, 1)


def test_several_challenges_in_one_answer_are_all_answered(desk: Any, peer: Any) -> None:
    desk.dial(account=ACCOUNT)
    fields = [asks("p", proxy=True), asks("q", proxy=True), asks("s"), asks("s", more=", algorithm=SHA-256")]
    desk.receive(peer.response(learn(desk, peer), 407, fields=fields))
    invite = desk.last("INVITE").message
    assert set(given(invite, proxy=True)) == {"p", "q"}
    assert given(invite)["s"]["algorithm"] == "SHA-256"


def test_a_stale_nonce_is_replaced(desk: Any, peer: Any) -> None:
    desk.dial(account=ACCOUNT)
    desk.receive(peer.response(learn(desk, peer), 401, fields=[asks()]))
    desk.receive(peer.response(desk.last("INVITE").message, 401, fields=[asks(nonce="n2", more=", stale=true")]))
    third = desk.last("INVITE").message
    assert (given(third)["r"]["nonce"], given(third)["r"]["nc"]) == ("n2", "00000001")


def test_a_wrong_password_is_told_once_and_nothing_follows(desk: Any, peer: Any) -> None:
    call = desk.dial(account=ACCOUNT)
    desk.receive(peer.response(learn(desk, peer), 401, fields=[asks()]))
    desk.receive(peer.response(desk.last("INVITE").message, 401, fields=[asks(nonce="n2")]))
    refused, released = desk.events
    assert (refused.call, refused.status, refused.heard) == (call, 401, True)
    assert refused.reason.startswith(WRONG)
    assert released == sip.Released(call)
    desk.drain()
    assert len(desk.times_of("INVITE")) == 2
    assert desk.agent.is_empty


def test_without_credentials_the_first_challenge_is_the_end(desk: Any, peer: Any) -> None:
    desk.dial()
    desk.receive(peer.response(learn(desk, peer), 407, fields=[asks("sip.example", proxy=True)]))
    (refused,) = desk.told(sip.Refused)
    assert refused.reason == (
        "the peer wants credentials for realm 'sip.example' and there are none (set user and password of its trunk)"
    )
    assert len(desk.times_of("INVITE")) == 1


def test_a_peer_that_challenges_for_ever_is_left(desk: Any, peer: Any) -> None:
    desk.dial(account=ACCOUNT)
    learn(desk, peer)
    for number in range(30):
        desk.receive(peer.response(desk.last("INVITE").message, 401, fields=[asks(f"r{number}")]))
    assert len(desk.times_of("INVITE")) <= 8
    assert desk.told(sip.Refused)


def test_another_failure_after_the_challenge_keeps_its_own_words(desk: Any, peer: Any) -> None:
    call = desk.dial(account=ACCOUNT)
    desk.receive(peer.response(learn(desk, peer), 401, fields=[asks()]))
    desk.receive(peer.response(desk.last("INVITE").message, 486))
    assert desk.told(sip.Refused) == [sip.Refused(call, 486, "Whatever")]


def test_a_call_given_up_is_not_sent_again(desk: Any, peer: Any) -> None:
    call = desk.dial(account=ACCOUNT)
    desk.order("hang_up", call)
    desk.receive(peer.response(learn(desk, peer), 401, fields=[asks()]))
    assert len(desk.times_of("INVITE")) == 1
    assert desk.told(sip.Released) == [sip.Released(call)]


def test_a_call_given_up_after_the_challenge_is_cancelled(desk: Any, peer: Any) -> None:
    call = desk.dial(account=ACCOUNT)
    desk.receive(peer.response(learn(desk, peer), 401, fields=[asks()]))
    second = desk.last("INVITE").message
    desk.receive(peer.response(second, 180))
    desk.order("hang_up", call)
    cancel = desk.last("CANCEL").message
    assert (cancel.cseq.number, cancel.via.branch) == (2, second.via.branch)


def test_each_target_gets_a_number_of_its_own(desk: Any, peer: Any) -> None:
    hops = [Hop(Transport.UDP, "192.0.2.9", 5060), Hop(Transport.UDP, "192.0.2.10", 5060)]
    desk.dial(account=ACCOUNT, targets=hops)
    desk.receive(peer.response(learn(desk, peer), 401, fields=[asks()]))
    desk.receive(peer.response(desk.last("INVITE").message, 503))
    assert desk.last("INVITE").to == ("192.0.2.10", 5060)
    assert counts(desk, "INVITE") == ["", "1", "2"]


# --- inside the dialog --------------------------------------------------------------------------------


@pytest.fixture
def up(desk: Any, peer: Any, sdp: bytes) -> Callable[[], int]:
    """A call of ours that was challenged and answered."""

    def call() -> int:
        key = desk.dial(account=ACCOUNT)
        desk.receive(peer.response(learn(desk, peer), 401, fields=[asks()]))
        desk.receive(peer.response(desk.last("INVITE").message, 200, body=sdp))
        assert isinstance(key, int)
        return key

    return call


def test_what_was_learnt_is_said_unasked_and_its_number_grows(desk: Any, peer: Any, up: Any, sdp: bytes) -> None:
    call = up()
    desk.order("offer", call, sdp)
    desk.receive(peer.response(desk.last("INVITE").message, 200, body=sdp))
    desk.order("hang_up", call)
    assert counts(desk, "INVITE") == ["", "1", "2"]
    assert counts(desk, "BYE") == ["3"]


def test_a_challenged_switch_over_is_said_again_in_the_same_dialog(
    desk: Any, peer: Any, answered: Any, sdp: bytes
) -> None:
    call = answered()
    desk.agent.assign(call, ACCOUNT)
    desk.order("offer", call, b"T.38 " + sdp)
    first = desk.last("INVITE").message
    desk.receive(peer.response(first, 407, fields=[asks(proxy=True)]))
    ack, second = desk.last("ACK").message, desk.last("INVITE").message
    assert (ack.via.branch, ack.cseq.number, ack.to.tag) == (first.via.branch, first.cseq.number, "theirs")
    assert (second.cseq.number, second.body) == (first.cseq.number + 1, b"T.38 " + sdp)
    assert (second.call_id, second.from_.tag, second.to.tag) == (first.call_id, first.from_.tag, first.to.tag)
    assert given(second, proxy=True)["r"]["nc"] == "00000001"
    assert not desk.told(sip.OfferRefused)
    desk.receive(peer.response(second, 200, body=sdp))
    assert desk.events[-1] == sip.OfferAccepted(call, sdp)
    assert desk.last("ACK").message.cseq.number == second.cseq.number
    desk.order("hang_up", call)
    assert desk.last("BYE").message.cseq.number == second.cseq.number + 1


def test_credentials_of_a_call_that_came_in_are_those_it_was_assigned(
    desk: Any, peer: Any, incoming: Any, sdp: bytes
) -> None:
    call = incoming()
    desk.agent.assign(call, ACCOUNT)
    desk.order("answer", call, sdp)
    peer.our_tag = desk.last("200 INVITE").message.to.tag
    peer.target = desk.last("200 INVITE").message.contacts[0].uri.text
    desk.receive(peer.request("ACK", branch="z9hG4bK-ack-1"))
    desk.order("offer", call, sdp)
    desk.receive(peer.response(desk.last("INVITE").message, 401, fields=[asks()]))
    assert given(desk.last("INVITE").message)["r"]["nc"] == "00000001"
    desk.receive(peer.response(desk.last("INVITE").message, 200, body=sdp))
    desk.order("hang_up", call)
    assert given(desk.last("BYE").message)["r"]["nc"] == "00000002"


def test_a_switch_over_with_a_wrong_password_leaves_the_call_as_it_is(
    desk: Any, peer: Any, up: Any, sdp: bytes
) -> None:
    call = up()
    desk.order("offer", call, sdp)
    desk.receive(peer.response(desk.last("INVITE").message, 401, fields=[asks(nonce="n2")]))
    desk.receive(peer.response(desk.last("INVITE").message, 401, fields=[asks(nonce="n3")]))
    refused = desk.events[-1]
    assert (refused.call, refused.status) == (call, 401)
    assert refused.reason.startswith(WRONG)
    desk.order("offer", call, sdp)
    desk.receive(peer.response(desk.last("INVITE").message, 200, body=sdp))
    assert desk.events[-1] == sip.OfferAccepted(call, sdp)


def test_their_offer_between_challenge_and_answer_hears_491(desk: Any, peer: Any, up: Any, sdp: bytes) -> None:
    call = up()
    desk.order("offer", call, sdp)
    desk.receive(peer.response(desk.last("INVITE").message, 401, fields=[asks(nonce="n2", more=", stale=true")]))
    desk.receive(peer.request("INVITE", cseq=7, body=sdp))
    assert desk.sent[-1].word == "491 INVITE"
    desk.receive(peer.response(desk.last("INVITE").message, 200, body=sdp))
    assert desk.events[-1] == sip.OfferAccepted(call, sdp)


def test_a_challenged_bye_is_said_again(desk: Any, peer: Any, up: Any) -> None:
    call = up()
    desk.order("hang_up", call)
    first = desk.last("BYE").message
    desk.receive(peer.response(first, 401, fields=[asks(nonce="n2", more=", stale=true")]))
    second = desk.last("BYE").message
    assert second.cseq.number == first.cseq.number + 1
    assert given(second)["r"]["nonce"] == "n2"
    assert not desk.told(sip.Released)
    desk.receive(peer.response(second, 200))
    assert desk.told(sip.Released) == [sip.Released(call)]


def test_a_bye_that_is_never_taken_ends_the_call_all_the_same(desk: Any, peer: Any, up: Any) -> None:
    call = up()
    desk.order("hang_up", call)
    for number in range(2, 5):
        desk.receive(peer.response(desk.last("BYE").message, 401, fields=[asks(nonce=f"n{number}")]))
    assert desk.told(sip.Released) == [sip.Released(call)]
    assert len(desk.times_of("BYE")) == 2


def test_another_fork_is_hung_up_on_with_credentials(desk: Any, peer: Any, up: Any, sdp: bytes) -> None:
    up()
    desk.receive(peer.response(desk.last("INVITE").message, 200, tag="other", body=sdp))
    bye = desk.last("BYE").message
    assert bye.to.tag == "other"
    assert given(bye)["r"]["nc"] == "00000002"


# --- outside of calls ---------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["REGISTER", "OPTIONS"])
def test_a_challenged_request_outside_calls_is_said_again(method: str, desk: Any, peer: Any) -> None:
    hop = Hop(Transport.UDP, "192.0.2.9", 5060)
    ring = Keyring(ACCOUNT.credentials, random.Random(3))
    asking = Asking(
        method=method, uri="sip:example.org", targets=[hop], account=ACCOUNT, keyring=ring, contact=";expires=60"
    )
    desk.order("request", asking)
    desk.receive(peer.response(desk.last(method).message, 401, fields=[asks()]))
    desk.receive(peer.response(desk.last(method).message, 200))
    (done,) = desk.told(sip.RequestDone)
    assert (done.status, done.cseq) == (200, 2)
    assert done.contact == desk.last(method).message.headers.first("contact")
    desk.order("request", asking)
    assert counts(desk, method) == ["", "1", "2"]


def test_a_wrong_password_of_a_registration_is_a_sentence(desk: Any, peer: Any) -> None:
    hop = Hop(Transport.UDP, "192.0.2.9", 5060)
    desk.order("request", Asking(method="REGISTER", uri="sip:example.org", targets=[hop], account=ACCOUNT))
    for number in range(2):
        desk.receive(peer.response(desk.last("REGISTER").message, 401, fields=[asks(nonce=f"n{number}")]))
    (done,) = desk.told(sip.RequestDone)
    assert done.status == 401
    assert done.reason.startswith(WRONG)
    desk.drain()
    assert desk.agent.is_empty


# --- callers who are challenged ---------------------------------------------------------------------


@pytest.fixture
def guarded(make_desk: Any) -> Any:
    """A desk that asks everybody for a password."""
    desk = make_desk()
    rule = Rule(networks=(ip_network("0.0.0.0/0"),), digest=OURS)
    desk.agent = Agent(
        desk.options, contact=("192.0.2.1", 5060), dice=random.Random(4), admission=Admission((rule,), random.Random(5))
    )
    return desk


class Caller:
    """Answers challenges of the desk."""

    def __init__(self, password: str = "s3cret") -> None:
        self.ring = Keyring((Credentials("alice", password),), random.Random(7))

    def fields(self, desk: Any, uri: str, method: str = "INVITE") -> list[str]:
        assert self.ring.learn(desk.sent[-1].message, Attempt()) == ""
        return [f"{name}: {value}" for name, value in self.ring.fields(method, uri)]


def test_a_caller_is_challenged_without_any_state(guarded: Any, peer: Any, sdp: bytes) -> None:
    for number in range(5):
        (sent,) = guarded.receive(peer.request("INVITE", body=sdp, branch=f"z9hG4bK-{number}"))
        assert sent.word == "401 INVITE"
        assert sent.message.to.tag
        guarded.receive(peer.request("ACK", branch=f"z9hG4bK-{number}", to_tag=sent.message.to.tag))
    assert guarded.events == []  # the ACKs, too
    assert guarded.agent.is_empty


def test_an_ack_with_another_tag_is_dropped_as_before(guarded: Any, peer: Any) -> None:
    guarded.receive(peer.request("ACK", to_tag="x"))
    assert guarded.told(sip.DatagramDropped)


def test_the_right_password_makes_a_call(guarded: Any, peer: Any, sdp: bytes) -> None:
    caller = Caller()
    guarded.receive(peer.request("INVITE", body=sdp))
    again = peer.request("INVITE", cseq=2, body=sdp, fields=caller.fields(guarded, peer.target))
    (sent,) = guarded.receive(again)
    assert sent.word == "100 INVITE"
    (call,) = guarded.told(sip.IncomingCall)
    assert call.digest_user == "alice"
    assert [one.word for one in guarded.receive(again)] == ["100 INVITE"]  # its repeat is not judged once more
    guarded.order("answer", call.call, sdp)
    peer.our_tag = guarded.last("200 INVITE").message.to.tag
    peer.target = guarded.last("200 INVITE").message.contacts[0].uri.text
    guarded.receive(peer.request("ACK", cseq=2, branch="z9hG4bK-ack"))
    assert guarded.told(sip.Confirmed)
    (ok,) = guarded.receive(peer.request("BYE", cseq=3))  # inside the dialog nobody is asked
    assert ok.word == "200 BYE"
    guarded.drain()
    assert guarded.agent.is_empty


def test_a_wrong_password_is_challenged_again_and_told(guarded: Any, peer: Any, sdp: bytes) -> None:
    caller = Caller("guess")
    guarded.receive(peer.request("INVITE", body=sdp))
    (sent,) = guarded.receive(peer.request("INVITE", cseq=2, body=sdp, fields=caller.fields(guarded, peer.target)))
    assert sent.word == "401 INVITE"
    assert "stale" not in sent.message.headers.first("www-authenticate")
    assert guarded.events == [sip.CredentialsRefused(("192.0.2.9", 5060), "user 'alice': the password is wrong")]
    assert guarded.agent.is_empty


def test_cancel_is_never_challenged(guarded: Any, peer: Any, sdp: bytes) -> None:
    guarded.receive(peer.request("INVITE", body=sdp))
    (unknown,) = guarded.receive(peer.request("CANCEL"))
    assert unknown.word == "481 CANCEL"
    guarded.receive(peer.request("INVITE", body=sdp, branch="z9hG4bK-0"))
    fields = Caller().fields(guarded, peer.target)
    guarded.receive(peer.request("INVITE", cseq=2, branch="z9hG4bK-2", body=sdp, fields=fields))
    sent = guarded.receive(peer.request("CANCEL", cseq=2, branch="z9hG4bK-2"))
    assert [one.word for one in sent] == ["200 CANCEL", "487 INVITE"]


def test_options_of_a_stranger_is_challenged_and_other_methods_are_refused_as_ever(guarded: Any, peer: Any) -> None:
    assert guarded.receive(peer.request("OPTIONS"))[0].word == "401 OPTIONS"
    assert guarded.receive(peer.request("MESSAGE"))[0].word == "405 MESSAGE"
    assert guarded.receive(peer.request("BYE", to_tag="x"))[0].word == "481 BYE"


# --- both, over a bad line ----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_challenged_calls_come_about_over_a_bad_line(seed: int, make_network: Any, sdp: bytes) -> None:
    """Two agents, up to 40 % lost, a tenth doubled: set up by digest, switched, hung up, nothing left."""
    network = make_network(seed, loss=seed % 5 * 0.1, twice=0.1, delay=0.4)
    rule = Rule(networks=(ip_network("198.51.100.1/32"),), digest=OURS)
    network.agents[1] = Agent(
        SipOptions(),
        contact=network.addresses[1],
        dice=random.Random(seed),
        admission=Admission((rule,), random.Random(seed + 1000)),
    )

    def react(side: int, event: sip.SipEvent) -> None:
        match side, event:
            case 1, sip.IncomingCall(digest_user="alice"):
                network.order(1, "answer", sdp)
            case 0, sip.Answered():
                network.at(network.now + 1, lambda: network.order(0, "offer", sdp))
            case 1, sip.Reoffered():
                network.order(1, "accept_offer", sdp)
            case 0, sip.OfferAccepted():
                network.at(network.now + 5, lambda: network.order(0, "hang_up"))

    network.react = react
    network.keys[0] = network.agents[0].invite(
        "sip:fax@198.51.100.2",
        sdp=sdp,
        from_user="100",
        targets=[Hop(Transport.UDP, *network.addresses[1])],
        now=0.0,
        account=ACCOUNT,
    )
    network.run()
    assert all(agent.is_empty for agent in network.agents), seed
    assert not network.told(1, sip.CredentialsRefused), seed
    if seed % 5 < 3:
        assert network.told(0, sip.OfferAccepted), seed
