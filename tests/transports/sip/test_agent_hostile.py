"""A peer that is in the dialog and means no good: nothing raises, every call ends, nothing is left."""

import gc
import random
import time
from typing import Any

import pytest

from vfax.errors import MisuseError
from vfax.transports.sip import values as sip
from vfax.transports.sip.policy import DialogPolicy, RefreshBy, Reliable, SessionTimers
from vfax.transports.sip.transaction import MAX_OF_CALL
from vfax.transports.sip.values import Hop, Transport

METHODS = ("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "UPDATE", "INFO", "PRACK", "DANCE")
STATUSES = (100, 180, 183, 183, 200, 299, 302, 401, 408, 420, 422, 481, 486, 487, 491, 500, 503, 699)
CONTACTS = ("<sip:9@192.0.2.9>", "<sip:9@192.0.2.9>", "<sip:9@pbx.example>", "<tel:1>", "")
SAYINGS = (
    "Require: 100rel\r\nRSeq: {}",
    "Supported: 100rel, timer",
    "Session-Expires: {}0;refresher=uac",
    "Session-Expires: 90;refresher=uas",
    "Min-SE: {}00",
    "Allow: INVITE, UPDATE, PRACK",
    'WWW-Authenticate: Digest realm="{}", nonce="{}", qop="auth"',
    "Retry-After: {}",
    "Record-Route: <sip:edge{}.example;lr>",
    "RAck: {} 1 INVITE",
)
HOPS = [Hop(Transport.UDP, "192.0.2.9", 5060), Hop(Transport.UDP, "192.0.2.10", 5060)]


def sayings(dice: random.Random) -> list[str]:
    return [one.format(dice.randrange(1, 5), dice.randrange(9)) for one in SAYINGS if dice.random() < 0.2]


def policy(dice: random.Random) -> DialogPolicy:
    return DialogPolicy(
        session_timer=dice.choice(list(SessionTimers)),
        session_expires=90,
        reliable=dice.choice(list(Reliable)),
        refresh_by=dice.choice(list(RefreshBy)),
        max_redirects=dice.choice([0, 2]),
    )


def spoil(data: bytes, dice: random.Random) -> bytes:
    if dice.random() < 0.7:
        return data
    at = dice.randrange(len(data))
    junk = dice.choice([b"", b'"', b"<", b">", b";", b",", b"%", b"\r\n", b"\r\n ", b"\xff", b"\0", b"9" * 30])
    return data[:at] + junk + data[at + dice.randrange(4) :]


def act_at_random(desk: Any, dice: random.Random, sdp: bytes) -> None:
    """Any order about any call: MisuseError is all that may come."""
    with_sdp = ("answer", "offer", "accept_offer", "progress", "update", "refresh")
    order = dice.choice(["ring", "refuse", "refuse_offer", "hang_up", "follow", "found", *with_sdp])
    args: list[Any] = [sdp] if order in with_sdp else [488] if order.startswith("refuse") else []
    if order == "follow":
        args = [dice.choice([[], [("sip:9@192.0.2.10", HOPS[1:])]])]
    call = dice.randint(1, 4)
    try:
        if order == "found":
            for wanted in desk.told(sip.WayWanted)[-2:]:
                desk.agent.found(wanted.call, wanted.uri, dice.choice([[], HOPS[1:]]))
        else:
            desk.order(order, call, *args)
    except MisuseError:
        desk.collect()


def speak_at_random(desk: Any, peer: Any, dice: random.Random, sdp: bytes) -> None:
    """Any request inside or outside the dialog, or any response to anything we sent."""
    body = dice.choice([b"", sdp])
    requests = [sent.message for sent in desk.sent[-30:] if " " not in sent.word]
    if requests and dice.random() < 0.5:
        response = peer.response(
            dice.choice(requests),
            dice.choice(STATUSES),
            tag=dice.choice(["x", "y"]),
            body=body,
            fields=sayings(dice),
            contact=dice.choice(CONTACTS),
        )
        desk.receive(spoil(response, dice), (dice.choice(HOPS)).address)
        return
    if answers := [sent.message for sent in desk.sent[-30:] if " " in sent.word and sent.sound]:
        answer = dice.choice(answers)
        peer.our_tag = dice.choice(["", answer.to.tag])
        peer.call_id = answer.call_id
        if dice.random() < 0.2:
            peer.our_tag, peer.tag = answer.from_.tag, answer.to.tag
    cseq = dice.randint(1, 12)
    branch = dice.choice(["", "z9hG4bK-INVITE-1", f"z9hG4bK{dice.randrange(5)}", "z9hG4bK", "2543"])
    request = peer.request(dice.choice(METHODS), cseq=cseq, branch=branch, body=body, fields=sayings(dice))
    desk.receive(spoil(request, dice))


@pytest.mark.parametrize("seed", range(40))
def test_no_mixture_of_messages_and_orders_breaks_the_agent(seed: int, make_desk: Any, peer: Any, sdp: bytes) -> None:
    dice = random.Random(seed)
    t1 = dice.choice([0.1, 0.5])
    desk = make_desk(seed=seed, unanswered_limit=30.0, ring_limit=30.0, dialogs=policy(dice), t1=t1)
    for step in range(250):
        if step % 40 == 0:
            peer.call_id, peer.tag, peer.our_tag = f"call-{step}", "theirs", ""
            body, said = dice.choice([sdp, sdp, b""]), sayings(dice)
            desk.receive(peer.request("INVITE", body=body, branch=f"z9hG4bK-new-{step}", fields=said))
        if step % 90 == 10:
            desk.dial(sdp=dice.choice([sdp, b""]), targets=HOPS[: dice.choice([1, 2])])
        if dice.random() < 0.4:
            act_at_random(desk, dice, sdp)
        else:
            speak_at_random(desk, peer, dice, sdp)
        desk.wait_until(desk.now + dice.choice([0.0, 0.0, 0.1, 0.7, 5.0]))
    for call in range(1, 100):
        try:
            desk.order("hang_up", call)
        except MisuseError:
            break
    desk.drain()
    assert desk.agent.is_empty
    begun = {event.call for event in desk.events if isinstance(event, sip.IncomingCall)}
    released = [event.call for event in desk.told(sip.Released)]
    assert begun <= set(released)
    assert len(released) == len(set(released))


@pytest.mark.parametrize("seed", range(10))
def test_released_is_the_last_word_of_every_call(seed: int, make_desk: Any, peer: Any, sdp: bytes) -> None:
    dice = random.Random(seed)
    desk = make_desk(seed=seed)
    for number in range(3):
        peer.call_id, peer.our_tag = f"call-{number}", ""
        desk.receive(peer.request("INVITE", body=sdp, branch=f"z9hG4bK-{number}"))
    for _ in range(60):
        act_at_random(desk, dice, sdp)
        speak_at_random(desk, peer, dice, sdp)
        desk.wait_until(desk.now + 1.0)
    desk.drain()
    over: set[int] = set()
    for event in desk.events:
        if isinstance(event, sip.DatagramDropped):
            continue
        assert event.call not in over, event
        if isinstance(event, sip.Released):
            over.add(event.call)


def test_flood_of_strange_requests_takes_no_memory(desk: Any, peer: Any) -> None:
    for number in range(2000):
        method = ("OPTIONS", "REGISTER", "INFO", "DANCE", "BYE", "CANCEL")[number % 6]
        desk.receive(peer.request(method, branch=f"z9hG4bK{number}"))
    assert desk.agent.is_empty


def test_flood_of_invites_is_bounded_by_the_limits(make_desk: Any, peer: Any, sdp: bytes) -> None:
    desk = make_desk(max_calls=50, max_calls_per_source=50)
    for number in range(500):
        peer.call_id = f"call-{number}"
        desk.receive(peer.request("INVITE", branch=f"z9hG4bK{number}", body=sdp))
    assert (desk.agent.calls, desk.agent.transactions) == (50, 50)
    desk.drain()
    assert desk.agent.is_empty


def test_invite_of_a_stranger_costs_less_than_a_millisecond(make_desk: Any, peer: Any, sdp: bytes) -> None:
    best = 1.0
    for _ in range(5):
        desk = make_desk()
        invites = []
        for number in range(50):
            peer.call_id = f"call-{number}"
            invites.append(peer.request("INVITE", branch=f"z9hG4bK{number}", body=sdp))
        begin = time.thread_time()
        for invite in invites:
            desk.receive(invite)
        best = min(best, (time.thread_time() - begin) / 50)
    assert best < 0.001


FIELDS = (
    "Accept",
    "Allow",
    "Authorization",
    "Content-Disposition",
    "Content-Encoding",
    "Diversion",
    "History-Info",
    "Max-Forwards",
    "Min-SE",
    "P-Asserted-Identity",
    "P-Called-Party-ID",
    "P-Preferred-Identity",
    "Proxy-Require",
    "RAck",
    "Reason",
    "Remote-Party-ID",
    "Require",
    "Route",
    "Session-Expires",
    "Supported",
    "Timestamp",
    "User-Agent",
)
SPOILT = ('"open', "<sip:open", ",".join("a" * 200), ";".join("a" * 200), ";", ",", "\udcff", "9" * 40, "")


@pytest.mark.parametrize("value", SPOILT)
def test_no_field_that_cannot_be_read_raises(value: str, make_desk: Any, peer: Any, sdp: bytes) -> None:
    for name in FIELDS:
        for method in ("INVITE", "OPTIONS"):
            desk = make_desk()
            desk.receive(peer.request(method, body=sdp, fields=[f"{name}: {value}"]))
            assert desk.sent, name


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS", "BYE", "CANCEL", "DANCE"])
def test_via_with_as_many_parameters_as_are_read_is_answered(method: str, desk: Any, peer: Any, sdp: bytes) -> None:
    many = "".join(f";p{number}" for number in range(126))
    via = f"Via: SIP/2.0/UDP host.example;branch=z9hG4bKx{many}"
    desk.receive(peer.request(method, via=via, body=sdp))
    assert desk.sent[0].message.headers.first("via").endswith(";received=192.0.2.9")


@pytest.mark.parametrize("value", SPOILT)
@pytest.mark.parametrize("name", [*FIELDS, "Retry-After", "RSeq", "WWW-Authenticate", "Min-Expires", "Server"])
def test_no_field_of_an_answer_that_cannot_be_read_raises(
    name: str, value: str, make_desk: Any, peer: Any, sdp: bytes
) -> None:
    desk = make_desk()
    for status in (183, 200, 401, 422, 423, 503):
        desk.dial()
        invite = desk.last("INVITE").message
        require = ["Require: 100rel"] if status == 183 else []
        desk.receive(peer.response(invite, status, body=sdp, fields=[f"{name}: {value}", *require]))
    for method in ("INVITE", "UPDATE", "PRACK", "INFO", "BYE"):
        peer.call_id, peer.our_tag = invite.call_id, invite.from_.tag
        desk.receive(peer.request(method, cseq=7, body=sdp, fields=[f"{name}: {value}"]))
    for call in range(1, 7):
        desk.order("hang_up", call)
    desk.drain()
    assert desk.agent.is_empty


def test_peer_of_one_call_does_not_take_the_room_of_the_others(desk: Any, peer: Any, sdp: bytes, answered: Any) -> None:
    call = answered()
    for number in range(2 * MAX_OF_CALL):
        desk.receive(peer.request("UPDATE", cseq=2 + number, branch=f"z9hG4bKu{number}"))
    assert desk.agent.transactions == MAX_OF_CALL
    assert desk.last("503 UPDATE").message.headers.first("retry-after")
    for number in range(10):
        desk.receive(peer.request("BYE", cseq=1, branch=f"z9hG4bKold{number}"))
    assert desk.agent.transactions == MAX_OF_CALL
    desk.receive(peer.request("BYE", cseq=9999))
    assert [event.call for event in desk.told(sip.Released)] == [call]


def test_byes_to_a_call_that_we_leave_are_bounded(desk: Any, peer: Any, answered: Any) -> None:
    desk.order("hang_up", answered())
    for number in range(2 * MAX_OF_CALL):
        desk.receive(peer.request("BYE", cseq=2 + number, branch=f"z9hG4bKb{number}"))
    assert desk.agent.transactions == MAX_OF_CALL
    desk.drain()
    assert desk.agent.is_empty


def test_reliable_responses_without_end_are_acknowledged_as_far_as_there_is_room(desk: Any, peer: Any) -> None:
    call = desk.dial()
    invite = desk.last("INVITE").message
    for number in range(1, 2 * MAX_OF_CALL):
        desk.receive(peer.response(invite, 183, fields=["Require: 100rel", f"RSeq: {number}"]))
    assert desk.agent.transactions == MAX_OF_CALL
    for prack in [sent.message for sent in desk.sent if sent.word == "PRACK"]:
        desk.receive(peer.response(prack, 200))
    desk.wait_until(6.0)
    desk.receive(peer.response(invite, 183, fields=["Require: 100rel", f"RSeq: {MAX_OF_CALL}"]))
    assert desk.last("PRACK").message.headers.first("rack") == f"{MAX_OF_CALL} 1 INVITE"
    desk.order("hang_up", call)
    desk.drain()
    assert desk.agent.is_empty


def test_branch_that_rings_anew_does_not_ring_for_ever(make_desk: Any, peer: Any) -> None:
    desk = make_desk(ring_limit=60.0)
    desk.dial(targets=[Hop(Transport.UDP, "192.0.2.9", 5060), Hop(Transport.UDP, "192.0.2.10", 5060)])
    for status in (183, 503):
        desk.receive(peer.response(desk.last("INVITE").message, status, tag="x"))
    desk.receive(peer.response(desk.last("INVITE").message, 183, tag="x"))
    desk.wait_until(60.0)
    assert [event.status for event in desk.told(sip.Refused)] == [408]
    assert desk.times_of("CANCEL") == [60.0]


def test_offer_that_is_answered_late_leaves_nothing(make_desk: Any, peer: Any, sdp: bytes) -> None:
    desk = make_desk(t1=0.1)
    call = desk.dial(sdp=b"")
    desk.receive(peer.response(desk.last("INVITE").message, 200, body=sdp))
    desk.wait_until(10.0)  # the INVITE's transaction is over
    desk.order("accept_offer", call, sdp)
    desk.order("hang_up", call)
    desk.receive(peer.response(desk.last("BYE").message, 200))
    desk.drain()
    assert desk.agent.is_empty


def test_what_only_waits_for_repeats_is_few_objects(desk: Any, peer: Any, sdp: bytes) -> None:
    """Python's collector looks at each of them, and holds all calls up meanwhile."""
    calls = 100
    gc.collect()
    before = len(gc.get_objects())
    for number in range(calls):
        peer.call_id, peer.our_tag = f"call-{number}", ""
        desk.receive(peer.request("INVITE", body=sdp, branch=f"z9hG4bKi{number}"))
        desk.order("answer", desk.told(sip.IncomingCall)[-1].call, sdp)
        peer.our_tag = desk.last("200 INVITE").message.to.tag
        desk.receive(peer.request("ACK", branch=f"z9hG4bKa{number}"))
        desk.receive(peer.request("BYE", cseq=2, branch=f"z9hG4bKb{number}"))
        for told in (desk.sent, desk.events, desk.seen):
            told.clear()
    gc.collect()
    assert desk.agent.transactions == 2 * calls
    assert (len(gc.get_objects()) - before) / desk.agent.transactions < 20


def test_branch_of_a_former_try_is_not_taken_for_the_one_that_answers(desk: Any, peer: Any, sdp: bytes) -> None:
    call = desk.dial(targets=HOPS)
    invite = desk.last("INVITE").message
    desk.receive(peer.response(invite, 183, tag="x", body=b"v=0", fields=["Require: 100rel", "RSeq: 1"]))
    desk.receive(peer.response(desk.last("PRACK").message, 200))
    desk.receive(peer.response(invite, 503, tag="x"))
    desk.receive(peer.response(desk.last("INVITE").message, 200, tag="x", body=sdp))
    assert [(event.sdp, event.fork) for event in desk.told(sip.Answered)] == [(sdp, "")]
    desk.order("hang_up", call)
    assert desk.last("BYE").message.cseq.number > desk.last("INVITE").message.cseq.number
