"""Offers inside a call: re-INVITE both ways, UPDATE, glare, and what is late or lost."""

from typing import Any

import pytest

from vfax.errors import MisuseError
from vfax.transports.sip import values as sip


def words(sent: list[Any]) -> list[str]:
    return [one.word for one in sent]


def offered(desk: Any, call: int) -> Any:
    """Send our re-INVITE; its message."""
    desk.order("offer", call, b"v=0 t38")
    return desk.last("INVITE").message


def test_our_offer_is_accepted_and_acknowledged(desk: Any, peer: Any, answered: Any, sdp: bytes) -> None:
    call = answered()
    invite = offered(desk, call)
    assert invite.body == b"v=0 t38"
    desk.receive(peer.response(invite, 180))
    desk.receive(peer.response(invite, 200, body=sdp))
    assert desk.events[-1] == sip.OfferAccepted(call, sdp)
    assert desk.last("ACK").message.cseq.number == invite.cseq.number
    desk.receive(peer.response(invite, 200, body=sdp))
    assert len(desk.times_of("ACK")) == 2
    assert len(desk.told(sip.OfferAccepted)) == 1


def test_accepted_offer_moves_the_remote_target(desk: Any, peer: Any, answered: Any) -> None:
    call = answered()
    desk.receive(peer.response(offered(desk, call), 200, contact="<sip:9@192.0.2.77>"))
    desk.order("hang_up", call)
    assert desk.last("BYE").to == ("192.0.2.77", 5060)


@pytest.mark.parametrize("status", [488, 606, 415, 403, 500])
def test_refused_offer_leaves_the_call_alive(status: int, desk: Any, peer: Any, answered: Any, sdp: bytes) -> None:
    call = answered()
    desk.receive(peer.response(offered(desk, call), status))
    assert desk.events[-1] == sip.OfferRefused(call, status, "Whatever")
    desk.receive(peer.response(offered(desk, call), 200, body=sdp))
    assert desk.events[-1] == sip.OfferAccepted(call, sdp)


@pytest.mark.parametrize(("status", "bye"), [(481, 0), (408, 1)])
def test_481_and_408_end_the_dialog(status: int, bye: int, desk: Any, peer: Any, answered: Any) -> None:
    call = answered()
    desk.receive(peer.response(offered(desk, call), status))
    assert desk.told(sip.DialogLost)
    assert len(desk.times_of("BYE")) == bye
    desk.drain()
    assert desk.events[-1] == sip.Released(call)
    assert desk.agent.is_empty


def test_offer_nobody_answers_ends_the_dialog_with_bye(desk: Any, answered: Any) -> None:
    call = answered()
    offered(desk, call)
    desk.wait_until(32)
    assert desk.times_of("BYE") == [32]
    desk.drain()
    assert desk.events[-1] == sip.Released(call)
    assert desk.agent.is_empty


def test_offer_that_only_gets_100_is_cancelled(desk: Any, peer: Any, answered: Any) -> None:
    call = answered()
    invite = offered(desk, call)
    desk.receive(peer.response(invite, 100))
    desk.wait_until(40)
    assert max(desk.times_of("CANCEL")) < 73  # those of the first, which nobody answered
    desk.receive(peer.response(invite, 487))
    assert desk.events[-1] == sip.OfferRefused(call, 487, "Whatever")


def test_offer_that_stays_open_after_cancel_ends_the_dialog(desk: Any, peer: Any, answered: Any) -> None:
    call = answered()
    desk.receive(peer.response(offered(desk, call), 100))
    desk.drain()
    assert desk.times_of("BYE")[0] == 72
    assert desk.events[-1] == sip.Released(call)
    assert desk.agent.is_empty


def test_offer_before_the_ack_waits_for_it(desk: Any, peer: Any, incoming: Any, sdp: bytes) -> None:
    call = incoming()
    desk.order("answer", call, sdp)
    desk.order("offer", call, b"v=0 t38")
    assert desk.times_of("INVITE") == []
    peer.our_tag = desk.last("200 INVITE").message.to.tag
    assert words(desk.receive(peer.request("ACK", branch="z9hG4bK-a"))) == ["INVITE"]


def test_two_offers_at_once_are_misuse(desk: Any, answered: Any) -> None:
    call = answered()
    offered(desk, call)
    with pytest.raises(MisuseError):
        desk.order("offer", call, b"v=0")


# --- glare -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("setup", "first", "last"), [("answered", 0.0, 2.0), ("connected", 2.1, 4.0)])
def test_491_is_retried_once_after_the_pause_of_our_side(
    setup: str, first: float, last: float, make_desk: Any, peer: Any, sdp: bytes
) -> None:
    pauses = set()
    for seed in range(40):
        desk = make_desk(seed=seed)
        if setup == "connected":
            call = desk.dial()
            invite = desk.last("INVITE").message
            desk.receive(peer.response(invite, 200, body=sdp))
        else:
            desk.receive(peer.request("INVITE", body=sdp, to_tag=""))
            call = 1
            desk.order("answer", call, sdp)
            desk.receive(peer.request("ACK", branch="z9hG4bKa", to_tag=desk.last("200 INVITE").message.to.tag))
        count = len(desk.times_of("INVITE"))
        desk.receive(peer.response(offered(desk, call), 491))
        desk.wait_until(4.0)
        (pause,) = desk.times_of("INVITE")[count + 1 : count + 2]
        pauses.add(pause)
        assert first <= pause <= last
        assert round(pause * 100, 6).is_integer()
        assert desk.last("INVITE").message.body == b"v=0 t38"
        desk.receive(peer.response(desk.last("INVITE").message, 491))
        assert desk.events[-1] == sip.OfferRefused(call, 491, "Whatever")
    assert len(pauses) > 10


def test_peer_offer_during_the_pause_cancels_our_retry(desk: Any, peer: Any, answered: Any, sdp: bytes) -> None:
    call = answered()
    desk.receive(peer.response(offered(desk, call), 491))
    desk.receive(peer.request("INVITE", cseq=2, body=sdp))
    assert desk.events[-1] == sip.Reoffered(call, sdp, acked=True)
    desk.order("accept_offer", call, sdp)
    desk.receive(peer.request("ACK", cseq=2, branch="z9hG4bK-a2"))
    desk.wait_until(100)
    assert len(desk.times_of("INVITE")) == 1
    assert not desk.told(sip.OfferRefused)


def test_offer_that_meets_ours_gets_491(desk: Any, peer: Any, answered: Any, sdp: bytes) -> None:
    offered(desk, answered())
    assert words(desk.receive(peer.request("INVITE", cseq=2, body=sdp))) == ["100 INVITE", "491 INVITE"]
    assert words(desk.receive(peer.request("UPDATE", cseq=3, body=sdp))) == ["491 UPDATE"]
    assert not desk.told(sip.Reoffered)


def test_offer_of_ours_that_meets_theirs_is_refused_at_once(desk: Any, peer: Any, answered: Any, sdp: bytes) -> None:
    call = answered()
    desk.receive(peer.request("INVITE", cseq=2, body=sdp))
    desk.order("offer", call, b"v=0 t38")
    assert desk.events[-1] == sip.OfferRefused(call, 491, "the peer's offer came first")
    desk.order("accept_offer", call, sdp)


# --- theirs ------------------------------------------------------------------------------------------


def test_their_offer_is_accepted(desk: Any, peer: Any, answered: Any, sdp: bytes) -> None:
    call = answered()
    assert words(desk.receive(peer.request("INVITE", cseq=2, body=sdp))) == ["100 INVITE"]
    assert desk.events[-1] == sip.Reoffered(call, sdp, acked=True)
    desk.order("accept_offer", call, b"v=0 ours")
    ok = desk.last("200 INVITE").message
    assert (ok.body, ok.contacts[0].uri.host) == (b"v=0 ours", "192.0.2.1")
    desk.receive(peer.request("ACK", cseq=2, branch="z9hG4bK-a2"))
    before = len(desk.sent)
    desk.wait_until(100)
    assert len(desk.sent) == before
    assert len(desk.told(sip.Confirmed)) == 1
    assert desk.told(sip.OfferSettled) == [sip.OfferSettled(call)]


def test_200_to_their_offer_is_repeated_until_its_ack(desk: Any, peer: Any, answered: Any, sdp: bytes) -> None:
    call = answered()
    desk.receive(peer.request("INVITE", cseq=2, body=sdp))
    desk.order("accept_offer", call, sdp)
    desk.receive(peer.request("ACK", cseq=1, branch="z9hG4bK-old"))  # of the first INVITE
    desk.wait_until(32)
    assert len(desk.times_of("200 INVITE")) == 12
    assert desk.times_of("BYE") == [32]
    assert desk.told(sip.DialogLost)


def test_their_offer_is_refused_and_the_call_goes_on(desk: Any, peer: Any, answered: Any, sdp: bytes) -> None:
    call = answered()
    desk.receive(peer.request("INVITE", cseq=2, body=sdp))
    desk.order("refuse_offer", call, 488)
    assert desk.sent[-1].word == "488 INVITE"
    desk.receive(peer.request("ACK", cseq=2, branch="z9hG4bK-INVITE-2"))
    assert desk.agent.calls == 1
    assert words(desk.receive(peer.request("INVITE", cseq=3, body=sdp))) == ["100 INVITE"]


def test_their_offer_without_sdp_asks_for_ours(desk: Any, peer: Any, answered: Any, sdp: bytes) -> None:
    call = answered()
    desk.receive(peer.request("INVITE", cseq=2))
    assert desk.events[-1] == sip.Reoffered(call, b"", acked=True)
    desk.order("accept_offer", call, b"v=0 ours")
    desk.receive(peer.request("ACK", cseq=2, branch="z9hG4bK-a2", body=sdp))
    assert desk.events[-1] == sip.Confirmed(call, sdp)


def test_second_offer_before_the_first_is_answered_gets_500_and_retry_after(
    desk: Any, peer: Any, answered: Any, sdp: bytes
) -> None:
    answered()
    desk.receive(peer.request("INVITE", cseq=2, body=sdp))
    sent = desk.receive(peer.request("INVITE", cseq=3, body=sdp))
    assert words(sent) == ["100 INVITE", "500 INVITE"]
    assert 0 <= sent[-1].message.retry_after <= 10
    assert len(desk.told(sip.Reoffered)) == 1


def test_offer_our_owner_never_answers_gets_500(desk: Any, peer: Any, answered: Any, sdp: bytes) -> None:
    call = answered()
    desk.receive(peer.request("INVITE", cseq=2, body=sdp))
    desk.wait_until(25)
    assert desk.times_of("500 INVITE") == [25]
    desk.order("accept_offer", call, sdp)  # too late, and harmless


def test_old_number_gets_500(desk: Any, peer: Any, answered: Any, sdp: bytes) -> None:
    answered()
    assert words(desk.receive(peer.request("INVITE", cseq=1, branch="z9hG4bKold", body=sdp))) == ["500 INVITE"]
    assert not desk.told(sip.Reoffered)


def test_cancelled_offer_gets_487_and_late_acceptance_is_harmless(
    desk: Any, peer: Any, answered: Any, sdp: bytes
) -> None:
    call = answered()
    desk.receive(peer.request("INVITE", cseq=2, body=sdp))
    sent = desk.receive(peer.request("CANCEL", cseq=2, branch="z9hG4bK-INVITE-2"))
    assert words(sent) == ["200 CANCEL", "487 INVITE"]
    before = len(desk.sent)
    desk.order("accept_offer", call, sdp)
    assert len(desk.sent) == before
    assert desk.agent.calls == 1


def test_offer_right_after_our_200_tells_that_it_came(desk: Any, peer: Any, incoming: Any, sdp: bytes) -> None:
    call = incoming()
    desk.order("answer", call, sdp)
    peer.our_tag = desk.last("200 INVITE").message.to.tag
    desk.receive(peer.request("INVITE", cseq=2, body=sdp))  # the ACK is late
    assert desk.events[-2:] == [sip.Confirmed(call, b""), sip.Reoffered(call, sdp, acked=True)]
    desk.receive(peer.request("ACK", branch="z9hG4bK-late"))
    desk.order("accept_offer", call, sdp)
    desk.receive(peer.request("ACK", cseq=2, branch="z9hG4bK-a2"))
    desk.wait_until(60)
    assert desk.times_of("BYE") == []


def test_offer_before_the_ack_that_owes_an_answer_gets_491(desk: Any, peer: Any, incoming: Any, sdp: bytes) -> None:
    desk.order("answer", incoming(body=b""), sdp)
    peer.our_tag = desk.last("200 INVITE").message.to.tag
    assert words(desk.receive(peer.request("INVITE", cseq=2, body=sdp)))[-1] == "491 INVITE"


def test_offer_before_we_answered_gets_500(desk: Any, peer: Any, incoming: Any, sdp: bytes) -> None:
    desk.order("ring", incoming())
    peer.our_tag = desk.last("180 INVITE").message.to.tag
    assert words(desk.receive(peer.request("INVITE", cseq=2, body=sdp))) == ["500 INVITE"]
    assert words(desk.receive(peer.request("UPDATE", cseq=3, body=sdp))) == ["500 UPDATE"]
    assert words(desk.receive(peer.request("UPDATE", cseq=4))) == ["200 UPDATE"]


def test_update_with_an_offer_needs_no_ack(desk: Any, peer: Any, answered: Any, sdp: bytes) -> None:
    call = answered()
    desk.receive(peer.request("UPDATE", cseq=2, body=sdp))
    assert desk.events[-1] == sip.Reoffered(call, sdp)
    desk.order("accept_offer", call, b"v=0 ours")
    assert desk.last("200 UPDATE").message.body == b"v=0 ours"
    desk.order("offer", call, b"v=0 t38")
    assert desk.sent[-1].word == "INVITE"


def test_update_without_an_offer_refreshes_the_target(desk: Any, peer: Any, answered: Any) -> None:
    call = answered()
    assert words(desk.receive(peer.request("UPDATE", cseq=2, contact="<sip:9@192.0.2.78>"))) == ["200 UPDATE"]
    desk.order("hang_up", call)
    assert desk.last("BYE").to == ("192.0.2.78", 5060)


def test_options_inside_the_dialog_are_answered(desk: Any, peer: Any, answered: Any) -> None:
    answered()
    assert words(desk.receive(peer.request("OPTIONS", cseq=2))) == ["200 OPTIONS"]


# --- ends in the middle ------------------------------------------------------------------------------


def test_bye_in_the_middle_of_their_offer_gets_487(desk: Any, peer: Any, answered: Any, sdp: bytes) -> None:
    call = answered()
    desk.receive(peer.request("INVITE", cseq=2, body=sdp))
    assert words(desk.receive(peer.request("BYE", cseq=3))) == ["200 BYE", "487 INVITE"]
    assert desk.events[-1] == sip.Released(call)
    desk.order("accept_offer", call, sdp)
    desk.drain()
    assert desk.agent.is_empty


def test_hang_up_in_the_middle_of_our_offer_still_acknowledges_it(
    desk: Any, peer: Any, answered: Any, sdp: bytes
) -> None:
    call = answered()
    invite = offered(desk, call)
    desk.order("hang_up", call)
    assert desk.sent[-1].word == "BYE"
    desk.receive(peer.response(invite, 200, body=sdp))
    assert desk.sent[-1].word == "ACK"
    desk.receive(peer.response(desk.last("BYE").message, 200))
    desk.receive(peer.response(invite, 200, body=sdp))
    assert desk.sent[-1].word == "ACK"
    assert not desk.told(sip.OfferAccepted)
    desk.drain()
    assert desk.agent.is_empty


def test_answer_to_our_offer_after_the_call_is_gone_is_acknowledged_only(
    desk: Any, peer: Any, answered: Any, sdp: bytes
) -> None:
    invite = offered(desk, answered())
    desk.receive(peer.request("BYE", cseq=2))
    before = len(desk.sent)
    desk.receive(peer.response(invite, 200, body=sdp))
    assert words(desk.sent[before:]) == ["ACK"]
    desk.drain()
    assert desk.agent.is_empty


def test_request_after_our_bye_is_481(desk: Any, peer: Any, answered: Any, sdp: bytes) -> None:
    desk.order("hang_up", answered())
    assert words(desk.receive(peer.request("INVITE", cseq=2, body=sdp))) == ["481 INVITE"]


def test_every_offer_has_its_own_retry(desk: Any, peer: Any, answered: Any) -> None:
    call = answered()
    for _ in range(2):
        invite = offered(desk, call)
        desk.receive(peer.response(invite, 491))
        desk.wait_until(desk.now + 4)
        assert desk.last("INVITE").message.cseq.number == invite.cseq.number + 1
        desk.receive(peer.response(desk.last("INVITE").message, 491))
    assert len(desk.told(sip.OfferRefused)) == 2


def test_accepting_their_offer_moves_the_remote_target(desk: Any, peer: Any, answered: Any, sdp: bytes) -> None:
    call = answered()
    desk.receive(peer.request("INVITE", cseq=2, body=sdp, contact="<sip:9@192.0.2.79>"))
    desk.order("accept_offer", call, sdp)
    desk.receive(peer.request("ACK", cseq=2, branch="z9hG4bK-a2"))
    desk.order("hang_up", call)
    assert desk.last("BYE").to == ("192.0.2.79", 5060)


def test_offer_waits_for_the_ack_to_their_offer(desk: Any, peer: Any, answered: Any, sdp: bytes) -> None:
    call = answered()
    desk.receive(peer.request("INVITE", cseq=2, body=sdp))
    desk.order("accept_offer", call, sdp)
    desk.order("offer", call, b"v=0 t38")
    assert desk.times_of("INVITE") == []
    desk.receive(peer.request("ACK", cseq=2, branch="z9hG4bK-a2"))
    assert desk.sent[-1].word == "INVITE"


def test_offer_that_waited_for_the_ack_gives_way_to_theirs(desk: Any, peer: Any, incoming: Any, sdp: bytes) -> None:
    call = incoming()
    desk.order("answer", call, sdp)
    desk.order("offer", call, b"v=0 t38")
    peer.our_tag = desk.last("200 INVITE").message.to.tag
    desk.receive(peer.request("UPDATE", cseq=2, body=sdp))  # the ACK was lost
    assert desk.events[-2:] == [sip.Confirmed(call, b""), sip.Reoffered(call, sdp)]
    desk.order("accept_offer", call, sdp)
    desk.wait_until(60)
    assert desk.times_of("INVITE") == []


def test_hang_up_in_the_pause_after_glare_sends_no_offer_any_more(desk: Any, peer: Any, answered: Any) -> None:
    call = answered()
    desk.receive(peer.response(offered(desk, call), 491))
    desk.order("hang_up", call)
    desk.drain()
    assert desk.times_of("INVITE") == [0]
    assert desk.agent.is_empty


def test_limit_of_one_offer_does_not_fall_on_the_next(desk: Any, peer: Any, answered: Any, sdp: bytes) -> None:
    call = answered()
    first = offered(desk, call)
    desk.receive(peer.response(first, 100))
    desk.wait_until(41)
    desk.receive(peer.response(first, 487))
    desk.wait_until(50)
    second = offered(desk, call)
    desk.receive(peer.response(second, 100))
    desk.wait_until(89)
    desk.receive(peer.response(second, 200, body=sdp))
    assert desk.events[-1] == sip.OfferAccepted(call, sdp)
    assert max(desk.times_of("CANCEL")) < 73  # those of the first, which nobody answered


@pytest.mark.parametrize("early", [True, False])
def test_offer_that_a_bye_leaves_open_is_forgotten(early: bool, desk: Any, peer: Any, answered: Any) -> None:
    invite = offered(desk, answered())
    if early:
        desk.receive(peer.response(invite, 100))
    desk.receive(peer.request("BYE", cseq=2))
    if not early:
        desk.receive(peer.response(invite, 100))
    desk.drain()
    assert desk.agent.is_empty
    assert desk.now == 32


def test_acceptance_without_sdp_has_no_content_type(desk: Any, peer: Any, answered: Any, sdp: bytes) -> None:
    call = answered()
    desk.receive(peer.request("INVITE", cseq=2, body=sdp))
    desk.order("accept_offer", call, b"")
    assert desk.last("200 INVITE").message.content_type is None
