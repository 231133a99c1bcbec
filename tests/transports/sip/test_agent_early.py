"""Before the answer: reliable provisional responses and PRACK, offers in every legal place, branches of a call."""

from typing import Any

import pytest

from vfax.errors import MisuseError
from vfax.transports.sip import values as sip
from vfax.transports.sip.account import Account
from vfax.transports.sip.message import Request
from vfax.transports.sip.policy import DialogPolicy, Reliable, SessionTimers

RELIABLE = ["Require: 100rel"]
NEEDS = ["Require: 100rel"]
CAN = ["Supported: 100rel"]
OTHER = b"v=0 other"


def words(sent: list[Any]) -> list[str]:
    return [one.word for one in sent]


def invite_of(desk: Any, peer: Any) -> Request:
    """Our INVITE, and the peer set up to talk inside what it leads to."""
    invite: Request = desk.last("INVITE").message
    peer.call_id, peer.our_tag = invite.call_id, invite.from_.tag
    peer.target = invite.contacts[0].uri.text
    return invite


def reliable(peer: Any, invite: Request, rseq: int, *, status: int = 183, **more: Any) -> bytes:
    """A provisional response that wants a PRACK."""
    octets: bytes = peer.response(invite, status, fields=[*RELIABLE, f"RSeq: {rseq}"], **more)
    return octets


# --- the calling side: PRACK -------------------------------------------------------------------------


def test_our_invite_can_and_may_require_reliable_answers(make_desk: Any) -> None:
    for policy, supported, require in (
        (DialogPolicy(reliable=Reliable.OFF), "timer", None),
        (DialogPolicy(), "100rel, timer", None),
        (DialogPolicy(reliable=Reliable.PREFER), "100rel, timer", "100rel"),
        (DialogPolicy(reliable=Reliable.REQUIRE), "100rel, timer", "100rel"),
    ):
        desk = make_desk(dialogs=policy)
        desk.dial()
        headers = desk.last("INVITE").message.headers
        assert (headers.first("supported"), headers.first("require")) == (supported, require)


def test_reliable_ringing_is_acknowledged_inside_its_early_dialog(desk: Any, peer: Any) -> None:
    call = desk.dial()
    invite = invite_of(desk, peer)
    routes = ["Record-Route: <sip:192.0.2.33;lr>"]
    octets = peer.response(
        invite, 180, fields=[*RELIABLE, "RSeq: 5", *routes], contact="<sip:line@192.0.2.44>", tag="branch"
    )
    (prack,) = desk.receive(octets)
    message = prack.message
    assert (prack.word, message.headers.first("rack")) == ("PRACK", f"5 {invite.cseq.number} INVITE")
    assert (message.uri, message.to.tag, prack.to) == ("sip:line@192.0.2.44", "branch", ("192.0.2.33", 5060))
    assert message.cseq.number == invite.cseq.number + 1
    assert desk.events == [sip.Progress(call, 180, "Whatever", b"", "branch")]
    desk.receive(peer.response(message, 200))
    desk.receive(peer.response(invite, 200, tag="branch"))
    desk.order("hang_up", call)
    assert desk.last("BYE").message.cseq.number == invite.cseq.number + 2
    desk.receive(peer.response(desk.last("BYE").message, 200))
    desk.drain()
    assert desk.agent.is_empty


def test_reliable_answers_are_taken_in_order_and_once(desk: Any, peer: Any) -> None:
    desk.dial()
    invite = invite_of(desk, peer)
    assert words(desk.receive(reliable(peer, invite, 5))) == ["PRACK"]
    assert desk.receive(reliable(peer, invite, 5)) == []
    assert desk.receive(reliable(peer, invite, 7)) == []  # 6 is missing
    assert words(desk.receive(reliable(peer, invite, 6))) == ["PRACK"]
    assert words(desk.receive(reliable(peer, invite, 7))) == ["PRACK"]
    assert len(desk.told(sip.Progress)) == 3


def test_branches_count_their_answers_each_for_itself(desk: Any, peer: Any) -> None:
    desk.dial()
    invite = invite_of(desk, peer)
    assert words(desk.receive(reliable(peer, invite, 5, tag="one"))) == ["PRACK"]
    assert words(desk.receive(reliable(peer, invite, 90, tag="two"))) == ["PRACK"]
    assert words(desk.receive(reliable(peer, invite, 6, tag="one"))) == ["PRACK"]
    numbers = [sent.message.cseq.number for sent in desk.sent if sent.word == "PRACK"]
    assert numbers == [2, 2, 3]


def test_prack_is_repeated_by_timer_e_until_it_is_answered(desk: Any, peer: Any) -> None:
    desk.dial()
    desk.receive(reliable(peer, invite_of(desk, peer), 5))
    desk.wait_until(4)
    assert desk.times_of("PRACK") == [0, 0.5, 1.5, 3.5]
    desk.receive(peer.response(desk.last("PRACK").message, 200))
    desk.wait_until(30)
    assert len(desk.times_of("PRACK")) == 4


def test_reliable_answers_are_ordinary_ones_where_that_is_switched_off(make_desk: Any, peer: Any) -> None:
    desk = make_desk(dialogs=DialogPolicy(reliable=Reliable.OFF))
    desk.dial()
    invite = invite_of(desk, peer)
    assert desk.receive(reliable(peer, invite, 5)) == []
    assert len(desk.told(sip.Progress)) == 1


def test_what_is_preferred_and_not_understood_is_left_out(make_desk: Any, peer: Any) -> None:
    desk = make_desk(dialogs=DialogPolicy(reliable=Reliable.PREFER))
    desk.dial()
    sent = desk.receive(peer.response(invite_of(desk, peer), 420, fields=["Unsupported: 100rel"]))
    assert words(sent) == ["ACK", "INVITE"]
    assert "require" not in sent[-1].message.headers
    assert sent[-1].message.headers.first("supported") == "100rel, timer"


def test_what_is_required_and_not_understood_ends_the_call(make_desk: Any, peer: Any) -> None:
    desk = make_desk(dialogs=DialogPolicy(reliable=Reliable.REQUIRE))
    call = desk.dial()
    assert words(desk.receive(peer.response(invite_of(desk, peer), 420, fields=["Unsupported: 100rel"]))) == ["ACK"]
    (refused,) = desk.told(sip.Refused)
    assert (refused.call, refused.status) == (call, 420)
    assert refused.reason == 'reliable ringing (100rel) is not known there, and reliable = "require" asks for it'


# --- the calling side: offers before the answer -------------------------------------------------------


def test_answer_in_a_reliable_response_holds_and_the_200_says_nothing_new(desk: Any, peer: Any, sdp: bytes) -> None:
    call = desk.dial()
    invite = invite_of(desk, peer)
    (prack,) = desk.receive(reliable(peer, invite, 5, body=sdp))
    assert prack.message.body == b""
    assert desk.events[-1] == sip.Progress(call, 183, "Whatever", sdp, "theirs", settled=True)
    desk.receive(peer.response(invite, 180, body=OTHER))
    assert desk.events[-1] == sip.Progress(call, 180, "Whatever", b"", "theirs")
    desk.receive(peer.response(invite, 200, body=OTHER))
    assert desk.events[-1] == sip.Answered(call, b"", "", "theirs")


def test_the_leg_gets_the_answer_of_the_branch_that_takes_the_call(desk: Any, peer: Any, sdp: bytes) -> None:
    call = desk.dial()
    invite = invite_of(desk, peer)
    desk.receive(reliable(peer, invite, 5, body=sdp, tag="one"))
    desk.receive(peer.response(invite, 183, body=OTHER, tag="two"))
    desk.receive(peer.response(invite, 200, tag="two"))  # Quirk: without the SDP that its 183 had
    assert desk.events[-1] == sip.Answered(call, OTHER)


def test_update_in_a_branch_is_an_offer_once_the_first_has_its_answer(desk: Any, peer: Any, sdp: bytes) -> None:
    call = desk.dial()
    invite = invite_of(desk, peer)
    desk.receive(peer.response(invite, 180))
    assert words(desk.receive(peer.request("UPDATE", cseq=1, body=sdp))) == ["491 UPDATE"]
    assert words(desk.receive(peer.request("UPDATE", cseq=2))) == ["200 UPDATE"]
    desk.receive(reliable(peer, invite, 1, body=sdp))
    assert desk.receive(peer.request("UPDATE", cseq=3, body=OTHER)) == []
    assert desk.events[-1] == sip.Reoffered(call, OTHER, "theirs")
    assert words(desk.receive(peer.request("UPDATE", cseq=4, body=OTHER))) == ["500 UPDATE"]
    desk.order("accept_offer", call, b"v=0 ours", fork="theirs")
    assert (desk.sent[-1].word, desk.sent[-1].message.body) == ("200 UPDATE", b"v=0 ours")
    assert words(desk.receive(peer.request("INVITE", cseq=5, body=OTHER))) == ["491 INVITE"]
    assert words(desk.receive(peer.request("UPDATE", cseq=5, body=OTHER, branch="z9hG4bK-5"))) == ["500 UPDATE"]
    desk.receive(peer.response(invite, 200))
    assert desk.events[-1] == sip.Answered(call, b"", "", "theirs")


def test_update_of_a_branch_can_be_refused_and_the_call_rings_on(desk: Any, peer: Any, sdp: bytes) -> None:
    call = desk.dial()
    invite = invite_of(desk, peer)
    desk.receive(reliable(peer, invite, 1, body=sdp))
    desk.receive(peer.request("UPDATE", cseq=3, body=OTHER))
    desk.order("refuse_offer", call, 488, fork="theirs")
    assert desk.sent[-1].word == "488 UPDATE"
    desk.receive(peer.response(invite, 200))
    assert desk.agent.calls == 1


def test_we_offer_by_update_before_the_answer(desk: Any, peer: Any, sdp: bytes) -> None:
    call = desk.dial()
    invite = invite_of(desk, peer)
    desk.receive(peer.response(invite, 180))
    with pytest.raises(MisuseError):
        desk.order("update", call, OTHER, fork="theirs")
    with pytest.raises(MisuseError):
        desk.order("update", call, OTHER, fork="nobody")
    desk.receive(reliable(peer, invite, 1, body=sdp))
    desk.order("update", call, OTHER, fork="theirs")
    update = desk.last("UPDATE").message
    assert (update.body, update.to.tag) == (OTHER, "theirs")
    assert words(desk.receive(peer.request("UPDATE", cseq=1, body=sdp))) == ["491 UPDATE"]
    desk.receive(peer.response(update, 200, body=b"v=0 theirs"))
    assert desk.events[-1] == sip.OfferAccepted(call, b"v=0 theirs")
    desk.receive(peer.response(invite, 200))
    assert desk.told(sip.Answered)


def test_update_that_crosses_the_200_is_still_answered(desk: Any, peer: Any, sdp: bytes) -> None:
    call = desk.dial()
    invite = invite_of(desk, peer)
    desk.receive(reliable(peer, invite, 1, body=sdp))
    desk.order("update", call, OTHER, fork="theirs")
    desk.receive(peer.response(invite, 200))
    desk.receive(peer.response(desk.last("UPDATE").message, 200, body=sdp))
    assert desk.events[-1] == sip.OfferAccepted(call, sdp)


def test_update_into_a_branch_that_is_gone_leaves_the_others(desk: Any, peer: Any, sdp: bytes) -> None:
    call = desk.dial()
    invite = invite_of(desk, peer)
    desk.receive(reliable(peer, invite, 1, body=sdp))
    desk.order("update", call, OTHER, fork="theirs")
    desk.receive(peer.response(desk.last("UPDATE").message, 481))
    assert desk.events[-1].status == 481
    desk.receive(peer.response(invite, 200, body=sdp, tag="two"))
    assert isinstance(desk.events[-1], sip.Answered)


def test_their_offer_in_a_reliable_response_is_answered_in_its_prack(desk: Any, peer: Any, sdp: bytes) -> None:
    call = desk.dial(sdp=b"")
    invite = invite_of(desk, peer)
    assert desk.receive(reliable(peer, invite, 1, body=sdp)) == []
    assert sip.Reoffered(call, sdp, "theirs") in desk.events
    desk.order("accept_offer", call, OTHER, fork="theirs")
    assert (desk.sent[-1].word, desk.sent[-1].message.body) == ("PRACK", OTHER)
    desk.receive(peer.response(desk.sent[-1].message, 200))
    desk.receive(peer.response(invite, 200))
    assert desk.events[-1] == sip.Answered(call, b"", "", "theirs")
    assert desk.last("ACK").message.body == b""


def test_their_offer_in_a_reliable_response_that_is_refused_ends_the_call(desk: Any, peer: Any, sdp: bytes) -> None:
    call = desk.dial(sdp=b"")
    invite = invite_of(desk, peer)
    desk.receive(reliable(peer, invite, 1, body=sdp))
    desk.order("refuse_offer", call, 488, fork="theirs")
    assert desk.sent[-1].word == "CANCEL"
    assert desk.sent[-1].message.headers.first("reason") == "SIP;cause=488"


def test_their_offer_in_the_200_is_answered_in_the_ack(desk: Any, peer: Any, sdp: bytes) -> None:
    call = desk.dial(sdp=b"")
    invite = invite_of(desk, peer)
    ok = peer.response(invite, 200, body=sdp)
    assert desk.receive(ok) == []
    assert desk.events[-1] == sip.Answered(call, sdp, offers=True)
    assert desk.receive(ok) == []  # nothing to say yet, and no second branch
    assert words(desk.receive(peer.request("UPDATE", cseq=1, body=sdp))) == ["500 UPDATE"]
    desk.order("accept_offer", call, OTHER)
    assert (desk.sent[-1].word, desk.sent[-1].message.body) == ("ACK", OTHER)
    assert [one.message.body for one in desk.receive(ok)] == [OTHER]
    desk.order("offer", call, b"v=0 t38")
    assert desk.sent[-1].word == "INVITE"


@pytest.mark.parametrize("end", ["refuse", "hang up", "nothing"])
def test_their_offer_in_the_200_that_is_not_taken_is_acknowledged_and_hung_up_on(
    end: str, desk: Any, peer: Any, sdp: bytes
) -> None:
    call = desk.dial(sdp=b"")
    desk.receive(peer.response(invite_of(desk, peer), 200, body=sdp))
    if end == "refuse":
        desk.order("refuse_offer", call, 488)
    elif end == "hang up":
        desk.order("hang_up", call)
    else:
        desk.wait_until(25)
    assert words(desk.sent[-2:]) == ["ACK", "BYE"]
    desk.drain()
    assert desk.agent.is_empty


# --- the calling side: ends ------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["cancelled", "refused", "ring limit", "other branch"])
def test_open_update_of_a_branch_is_answered_when_the_branch_ends(end: str, desk: Any, peer: Any, sdp: bytes) -> None:
    call = desk.dial()
    invite = invite_of(desk, peer)
    desk.receive(reliable(peer, invite, 1, body=sdp))
    desk.receive(peer.request("UPDATE", cseq=3, body=OTHER))
    match end:
        case "cancelled":
            desk.order("hang_up", call)
        case "refused":
            desk.receive(peer.response(invite, 486))
        case "ring limit":
            desk.wait_until(181)
        case _:
            desk.receive(peer.response(invite, 200, body=sdp, tag="two"))
    assert desk.last("487 UPDATE" if end != "ring limit" else "500 UPDATE")
    desk.receive(peer.response(invite, 487))
    if end == "other branch":
        desk.order("hang_up", call)
    desk.drain()
    assert desk.agent.is_empty


def test_branches_without_end_only_ring(desk: Any, peer: Any, sdp: bytes) -> None:
    desk.dial()
    invite = invite_of(desk, peer)
    for number in range(40):
        desk.receive(reliable(peer, invite, 1, body=sdp, tag=f"branch-{number}"))
    assert len(desk.times_of("PRACK")) == 16
    assert len(desk.told(sip.Progress)) == 40


def test_another_try_of_the_invite_has_branches_of_its_own(make_desk: Any, peer: Any) -> None:
    desk = make_desk(dialogs=DialogPolicy(session_timer=SessionTimers.ASK))
    desk.dial()
    invite = invite_of(desk, peer)
    desk.receive(reliable(peer, invite, 9))
    desk.receive(peer.response(invite, 422, fields=["Min-SE: 3600"]))
    again = desk.last("INVITE").message
    assert again.headers.first("session-expires") == "3600"
    assert words(desk.receive(reliable(peer, again, 1))) == ["PRACK"]
    assert desk.last("PRACK").message.headers.first("rack") == "1 2 INVITE"


# --- the called side --------------------------------------------------------------------------------


def ring(desk: Any, peer: Any, call: int) -> Any:
    """Ring, and the peer set up to talk inside the early dialog; the response."""
    desk.order("ring", call)
    response = desk.last("180 INVITE").message
    peer.our_tag = response.to.tag
    return response


def prack(peer: Any, response: Any, cseq: int, **more: Any) -> bytes:
    """The PRACK of a response."""
    octets: bytes = peer.request(
        "PRACK", cseq=cseq, fields=[f"RAck: {response.headers.first('rseq')} 1 INVITE"], **more
    )
    return octets


@pytest.mark.parametrize(
    ("fields", "mode", "is_reliable"),
    [
        ([], Reliable.ACCEPT, False),
        (CAN, Reliable.ACCEPT, False),
        (NEEDS, Reliable.ACCEPT, True),
        (CAN, Reliable.PREFER, True),
        ([], Reliable.PREFER, False),
        (CAN, Reliable.REQUIRE, True),
        (CAN, Reliable.OFF, False),
    ],
)
def test_ringing_is_reliable_where_that_is_wanted(
    fields: list[str], mode: Reliable, is_reliable: bool, make_desk: Any, peer: Any, sdp: bytes
) -> None:
    desk = make_desk(dialogs=DialogPolicy(reliable=mode))
    desk.receive(peer.request("INVITE", body=sdp, fields=fields))
    headers = ring(desk, peer, 1).headers
    assert (headers.first("require") == "100rel") is is_reliable
    assert ("rseq" in headers) is is_reliable


@pytest.mark.parametrize(
    ("fields", "mode", "missing"),
    [
        ([], Reliable.REQUIRE, "100rel"),
        (["Supported: timer"], Reliable.REQUIRE, "100rel"),
        (CAN, Reliable.REQUIRE, ""),
        (NEEDS, Reliable.REQUIRE, ""),
        ([], Reliable.PREFER, ""),
        ([], Reliable.ACCEPT, ""),
    ],
)
def test_caller_without_an_extension_that_its_trunk_requires_hears_421(
    fields: list[str], mode: Reliable, missing: str, desk: Any, peer: Any, sdp: bytes
) -> None:
    """The policy is that of the account: which one it is, only the owner knows."""
    desk.receive(peer.request("INVITE", body=sdp, fields=fields))
    call = desk.told(sip.IncomingCall)[-1].call
    desk.agent.assign(call, Account(dialogs=DialogPolicy(reliable=mode)))
    assert desk.agent.missing(call) == missing
    desk.order("refuse", call, 421)
    assert desk.last("421 INVITE").message.headers.first("require") == (missing or None)


def test_reliable_ringing_is_repeated_until_its_prack(desk: Any, peer: Any, incoming: Any) -> None:
    response = ring(desk, peer, incoming(fields=NEEDS))
    desk.wait_until(4)
    assert desk.times_of("180 INVITE") == [0, 0.5, 1.5, 3.5]
    assert words(desk.receive(prack(peer, response, 2))) == ["200 PRACK"]
    desk.wait_until(30)
    assert len(desk.times_of("180 INVITE")) == 4


def test_reliable_ringing_nobody_acknowledges_ends_after_64_t1(desk: Any, peer: Any, incoming: Any) -> None:
    call = incoming(fields=NEEDS)
    ring(desk, peer, call)
    desk.wait_until(32)
    assert desk.times_of("180 INVITE") == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert desk.times_of("504 INVITE") == [32]
    assert desk.told(sip.Cancelled)[0].call == call
    desk.drain()
    assert desk.agent.is_empty


def test_prack_of_nothing_is_481(desk: Any, peer: Any, incoming: Any, sdp: bytes) -> None:
    response = ring(desk, peer, incoming(fields=NEEDS))
    wrong = peer.request("PRACK", cseq=2, fields=["RAck: 1 1 INVITE"])
    assert words(desk.receive(wrong)) == ["481 PRACK"]
    assert words(desk.receive(peer.request("PRACK", cseq=3))) == ["481 PRACK"]
    right = prack(peer, response, 4)
    assert words(desk.receive(right)) == ["200 PRACK"]
    assert words(desk.receive(right)) == ["200 PRACK"]  # its own repeat
    assert words(desk.receive(prack(peer, response, 5))) == ["481 PRACK"]
    desk.order("answer", 1, sdp)
    assert desk.sent[-1].word == "200 INVITE"


def test_answer_may_follow_a_ring_that_waits_for_its_prack(desk: Any, peer: Any, incoming: Any, sdp: bytes) -> None:
    call = incoming(fields=NEEDS)
    response = ring(desk, peer, call)
    desk.order("answer", call, sdp)
    assert desk.sent[-1].word == "200 INVITE"
    desk.wait_until(20)
    assert desk.times_of("180 INVITE") == [0]
    assert words(desk.receive(prack(peer, response, 2))) == ["200 PRACK"]  # it has crossed our 200
    assert words(desk.receive(prack(peer, response, 3))) == ["481 PRACK"]


def test_answer_waits_for_the_prack_of_an_early_one(desk: Any, peer: Any, incoming: Any, sdp: bytes) -> None:
    call = incoming(fields=CAN)
    desk.order("progress", call, OTHER)
    early = desk.last("183 INVITE").message
    assert early.body == OTHER
    desk.order("answer", call, OTHER)
    assert desk.times_of("200 INVITE") == []
    peer.our_tag = early.to.tag
    assert words(desk.receive(prack(peer, early, 2))) == ["200 PRACK", "200 INVITE"]
    assert desk.last("200 INVITE").message.body == b""
    desk.receive(peer.request("ACK"))
    assert desk.told(sip.Confirmed) == [sip.Confirmed(call, b"")]


def test_second_reliable_response_waits_for_the_prack_of_the_first(desk: Any, peer: Any, incoming: Any) -> None:
    call = incoming(fields=NEEDS)
    first = ring(desk, peer, call)
    desk.order("progress", call, OTHER)
    assert desk.times_of("183 INVITE") == []
    assert words(desk.receive(prack(peer, first, 2))) == ["200 PRACK", "183 INVITE"]
    second = desk.last("183 INVITE").message
    assert int(second.headers.first("rseq")) == int(first.headers.first("rseq")) + 1


def test_our_offer_in_a_reliable_response_gets_its_answer_by_prack(
    desk: Any, peer: Any, incoming: Any, sdp: bytes
) -> None:
    call = incoming(body=b"", fields=NEEDS)
    desk.order("ring", call)
    assert desk.times_of("180 INVITE") == []  # the first reliable response must bring the offer
    desk.order("progress", call, OTHER)
    early = desk.last("183 INVITE").message
    peer.our_tag = early.to.tag
    assert words(desk.receive(peer.request("UPDATE", cseq=2, body=sdp))) == ["491 UPDATE"]
    assert words(desk.receive(prack(peer, early, 3))) == ["400 PRACK"]  # the answer is missing
    assert words(desk.receive(prack(peer, early, 4, body=sdp))) == ["200 PRACK"]
    assert desk.events[-1] == sip.OfferAccepted(call, sdp)
    desk.order("answer", call, OTHER)
    assert desk.last("200 INVITE").message.body == b""
    desk.receive(peer.request("ACK"))
    assert desk.told(sip.Confirmed) == [sip.Confirmed(call, b"")]


def test_early_offer_is_not_made_to_whom_it_cannot_reach_for_sure(desk: Any, incoming: Any, sdp: bytes) -> None:
    call = incoming(body=b"")
    desk.order("progress", call, OTHER)
    assert desk.times_of("183 INVITE") == []
    desk.order("ring", call)
    assert desk.times_of("180 INVITE") == [0]
    desk.order("answer", call, OTHER)
    assert desk.last("200 INVITE").message.body == OTHER


def test_offer_in_a_prack_is_answered_in_its_200(desk: Any, peer: Any, incoming: Any, sdp: bytes) -> None:
    call = incoming(fields=CAN)
    desk.order("progress", call, OTHER)
    early = desk.last("183 INVITE").message
    peer.our_tag = early.to.tag
    assert desk.receive(prack(peer, early, 2, body=sdp)) == []
    assert desk.events[-1] == sip.Reoffered(call, sdp)
    desk.order("answer", call, OTHER)
    assert desk.times_of("200 INVITE") == []
    desk.order("accept_offer", call, b"v=0 mine")
    assert words(desk.sent[-2:]) == ["200 PRACK", "200 INVITE"]
    assert desk.sent[-2].message.body == b"v=0 mine"


def test_update_of_the_caller_is_taken_once_our_early_answer_is_acknowledged(
    desk: Any, peer: Any, incoming: Any, sdp: bytes
) -> None:
    call = incoming(fields=CAN)
    desk.order("progress", call, OTHER)
    early = desk.last("183 INVITE").message
    peer.our_tag = early.to.tag
    assert words(desk.receive(peer.request("UPDATE", cseq=2, body=sdp))) == ["500 UPDATE"]
    desk.receive(prack(peer, early, 3))
    assert desk.receive(peer.request("UPDATE", cseq=4, body=sdp)) == []
    assert desk.events[-1] == sip.Reoffered(call, sdp)
    desk.order("refuse_offer", call, 488)
    assert desk.sent[-1].word == "488 UPDATE"


def test_we_offer_by_update_before_we_answer(desk: Any, peer: Any, incoming: Any, sdp: bytes) -> None:
    call = incoming(fields=CAN)
    with pytest.raises(MisuseError):
        desk.order("update", call, OTHER)
    desk.order("progress", call, OTHER)
    early = desk.last("183 INVITE").message
    peer.our_tag = early.to.tag
    desk.receive(prack(peer, early, 2))
    desk.order("update", call, b"v=0 again")
    update = desk.last("UPDATE").message
    desk.order("answer", call, OTHER)
    assert desk.times_of("200 INVITE") == []
    desk.receive(peer.response(update, 200, body=sdp))
    assert desk.told(sip.OfferAccepted) == [sip.OfferAccepted(call, sdp)]
    assert desk.sent[-1].word == "200 INVITE"


@pytest.mark.parametrize("status", [481, 408])
def test_update_of_ours_that_finds_no_caller_ends_the_call(
    status: int, desk: Any, peer: Any, incoming: Any, sdp: bytes
) -> None:
    call = incoming(fields=CAN)
    desk.order("progress", call, OTHER)
    early = desk.last("183 INVITE").message
    peer.our_tag = early.to.tag
    desk.receive(prack(peer, early, 2))
    desk.order("update", call, b"v=0 again")
    desk.receive(peer.response(desk.last("UPDATE").message, status))
    assert desk.sent[-1].word == "500 INVITE"
    assert desk.told(sip.Cancelled)
    desk.drain()
    assert desk.agent.is_empty


@pytest.mark.parametrize("end", ["cancel", "refuse", "bye"])
def test_what_is_open_before_the_answer_is_closed_with_the_call(
    end: str, desk: Any, peer: Any, incoming: Any, sdp: bytes
) -> None:
    call = incoming(fields=CAN)
    desk.order("progress", call, OTHER)
    early = desk.last("183 INVITE").message
    peer.our_tag = early.to.tag
    desk.receive(prack(peer, early, 2))
    desk.receive(peer.request("UPDATE", cseq=3, body=sdp))
    match end:
        case "cancel":
            desk.receive(peer.request("CANCEL", branch="z9hG4bK-INVITE-1", to_tag=""))
        case "refuse":
            desk.order("refuse", call, 486)
        case _:
            desk.receive(peer.request("BYE", cseq=4))
    assert desk.last("487 UPDATE")
    desk.drain()
    assert desk.agent.is_empty
