"""Session timers at work (RFC 4028): refreshes both ways, the end of a session nobody refreshes, glare, 422."""

from typing import Any

import pytest

from vfax.transports.sip import values as sip
from vfax.transports.sip.account import Account
from vfax.transports.sip.policy import DialogPolicy, RefreshBy, Refreshes, SessionTimers

ASK = DialogPolicy(session_timer=SessionTimers.ASK, session_expires=90)
UPDATES = "Allow: INVITE, ACK, BYE, CANCEL, UPDATE"
PLAIN = "Allow: INVITE, ACK, BYE, CANCEL"
T38 = b"v=0 t38"


def words(sent: list[Any]) -> list[str]:
    return [one.word for one in sent]


def called(desk: Any, peer: Any, sdp: bytes, *fields: str) -> int:
    """A call that comes in and is up; its INVITE has these fields."""
    desk.receive(peer.request("INVITE", body=sdp, fields=fields))
    call: int = desk.told(sip.IncomingCall)[-1].call
    desk.order("answer", call, sdp)
    peer.our_tag = desk.last("200 INVITE").message.to.tag
    peer.target = desk.last("200 INVITE").message.contacts[0].uri.text
    desk.receive(peer.request("ACK"))
    return call


def calling(desk: Any, peer: Any, sdp: bytes, *fields: str) -> int:
    """A call of ours that is up; the 200 has these fields."""
    call: int = desk.dial()
    invite = desk.last("INVITE").message
    peer.call_id, peer.our_tag, peer.target = invite.call_id, invite.from_.tag, invite.contacts[0].uri.text
    desk.receive(peer.response(invite, 200, body=sdp, fields=fields))
    return call


def confirm(desk: Any, peer: Any, word: str, *fields: str, body: bytes = b"") -> None:
    """200 to our last request of this method."""
    desk.receive(peer.response(desk.last(word).message, 200, body=body, fields=fields))


# --- we refresh --------------------------------------------------------------------------------------


@pytest.mark.parametrize("setup", ["calling", "called"])
def test_timer_refresh_runs_out_at_half_the_interval_and_starts_anew_with_each_200(
    setup: str, make_desk: Any, peer: Any, sdp: bytes
) -> None:
    desk = make_desk()
    if setup == "calling":
        calling(desk, peer, sdp, UPDATES, "Session-Expires: 90;refresher=uac")
    else:
        called(desk, peer, sdp, UPDATES, "Session-Expires: 90;refresher=uas", "Supported: timer")
    for due in (45.0, 90.0, 135.0):
        desk.wait_until(due)
        update = desk.last("UPDATE").message
        assert desk.times_of("UPDATE")[-1] == due
        assert (update.body, update.headers.first("session-expires")) == (b"", "90;refresher=uac")
        confirm(desk, peer, "UPDATE", "Session-Expires: 90;refresher=uac")
    assert not desk.told(sip.DialogLost)
    assert not desk.told(sip.RefreshDue)


def test_a_call_is_refreshed_by_re_invite_where_update_is_not_taken(desk: Any, peer: Any, sdp: bytes) -> None:
    call = calling(desk, peer, sdp, PLAIN, "Session-Expires: 90;refresher=uac")
    desk.wait_until(45)
    assert desk.events[-1] == sip.RefreshDue(call)
    desk.order("refresh", call, T38)
    invite = desk.last("INVITE").message
    assert (invite.body, invite.headers.first("session-expires")) == (T38, "90;refresher=uac")
    confirm(desk, peer, "INVITE", "Session-Expires: 90;refresher=uac", body=b"v=0 theirs")
    assert desk.sent[-1].word == "ACK"
    assert desk.events[-1] == sip.RefreshEnded(call, b"v=0 theirs")
    desk.wait_until(89)
    assert len(desk.told(sip.RefreshDue)) == 1
    desk.wait_until(90)
    assert len(desk.told(sip.RefreshDue)) == 2


def test_an_owner_who_does_not_refresh_is_asked_again(desk: Any, peer: Any, sdp: bytes) -> None:
    calling(desk, peer, sdp, "Session-Expires: 90;refresher=uac")
    desk.wait_until(59)
    assert len(desk.told(sip.RefreshDue)) == 3


@pytest.mark.parametrize(
    ("by", "allow", "word"),
    [
        (RefreshBy.AUTO, UPDATES, "UPDATE"),
        (RefreshBy.AUTO, PLAIN, "INVITE"),
        (RefreshBy.INVITE, UPDATES, "INVITE"),
        (RefreshBy.UPDATE, PLAIN, "UPDATE"),
    ],
)
def test_how_we_refresh_is_a_choice(
    by: RefreshBy, allow: str, word: str, make_desk: Any, peer: Any, sdp: bytes
) -> None:
    desk = make_desk(dialogs=DialogPolicy(refresh_by=by))
    calling(desk, peer, sdp, allow, "Session-Expires: 90;refresher=uac")
    desk.wait_until(45)
    assert bool(desk.told(sip.RefreshDue)) == (word == "INVITE")
    assert bool(desk.times_of("UPDATE")) == (word == "UPDATE")


@pytest.mark.parametrize("status", [405, 501, 488])
def test_an_update_that_is_refused_is_followed_by_a_re_invite(status: int, desk: Any, peer: Any, sdp: bytes) -> None:
    call = calling(desk, peer, sdp, UPDATES, "Session-Expires: 90;refresher=uac")
    desk.wait_until(45)
    desk.receive(peer.response(desk.last("UPDATE").message, status))
    desk.wait_until(45)
    assert desk.events[-1] == sip.RefreshDue(call)
    desk.order("refresh", call, T38)
    confirm(desk, peer, "INVITE", "Session-Expires: 90;refresher=uac", body=sdp)
    desk.wait_until(90)
    assert len(desk.times_of("UPDATE")) == 1
    assert len(desk.told(sip.RefreshDue)) == 2


def test_a_re_invite_that_is_refused_is_followed_by_an_update(desk: Any, peer: Any, sdp: bytes) -> None:
    call = calling(desk, peer, sdp, PLAIN, "Session-Expires: 90;refresher=uac")
    desk.wait_until(45)
    desk.order("refresh", call, T38)
    desk.receive(peer.response(desk.last("INVITE").message, 488))
    assert desk.events[-1] == sip.RefreshEnded(call, None)
    desk.wait_until(45)
    assert desk.sent[-1].word == "UPDATE"
    desk.receive(peer.response(desk.last("UPDATE").message, 405))
    desk.wait_until(50)
    assert len(desk.told(sip.RefreshDue)) == 2  # back to the first way, after a pause


@pytest.mark.parametrize(("fields", "again"), [([], 50.0), (["Retry-After: 7"], 52.0), (["Retry-After: 2"], 50.0)])
def test_a_refresh_that_fails_for_now_is_tried_again(
    fields: list[str], again: float, desk: Any, peer: Any, sdp: bytes
) -> None:
    calling(desk, peer, sdp, UPDATES, "Session-Expires: 90;refresher=uac")
    desk.wait_until(45)
    desk.receive(peer.response(desk.last("UPDATE").message, 503, fields=fields))
    desk.wait_until(60)
    assert desk.times_of("UPDATE")[1] == again


@pytest.mark.parametrize(("setup", "first", "last"), [("called", 0.0, 2.0), ("calling", 2.1, 4.0)])
def test_491_to_our_update_has_the_pause_of_our_side(
    setup: str, first: float, last: float, make_desk: Any, peer: Any, sdp: bytes
) -> None:
    for seed in range(20):
        desk = make_desk(seed=seed)
        if setup == "calling":
            calling(desk, peer, sdp, UPDATES, "Session-Expires: 90;refresher=uac")
        else:
            fields = [UPDATES, "Session-Expires: 90;refresher=uas", "Supported: timer"]
            called(desk, peer, sdp, *fields)
        desk.wait_until(45)
        desk.receive(peer.response(desk.last("UPDATE").message, 491))
        desk.wait_until(50)
        assert first <= round(desk.times_of("UPDATE")[1] - 45, 6) <= last
        peer.call_id, peer.our_tag, peer.target = "call-1", "", "sip:fax@192.0.2.1"


@pytest.mark.parametrize(("status", "bye"), [(481, 0), (408, 1)])
def test_481_and_408_to_a_refresh_end_the_dialog(status: int, bye: int, desk: Any, peer: Any, sdp: bytes) -> None:
    call = calling(desk, peer, sdp, UPDATES, "Session-Expires: 90;refresher=uac")
    desk.wait_until(45)
    desk.receive(peer.response(desk.last("UPDATE").message, status))
    assert len(desk.times_of("BYE")) == bye
    desk.drain()
    assert desk.events[-1] == sip.Released(call)
    assert desk.agent.is_empty


def test_a_refresh_nobody_answers_ends_the_dialog_after_timer_f(desk: Any, peer: Any, sdp: bytes) -> None:
    calling(desk, peer, sdp, UPDATES, "Session-Expires: 1800;refresher=uac")
    desk.wait_until(940)
    assert desk.times_of("UPDATE")[0] == 900
    assert desk.times_of("BYE")[0] == 932
    assert "no answer" in desk.told(sip.DialogLost)[0].reason


# --- the peer refreshes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("interval", "end"), [(90, 60.0), (1800, 1768.0)])
@pytest.mark.parametrize("setup", ["calling", "called"])
def test_timer_session_end_says_bye_shortly_before_an_interval_is_over_that_the_peer_let_pass(
    setup: str, interval: int, end: float, make_desk: Any, peer: Any, sdp: bytes
) -> None:
    desk = make_desk()
    if setup == "calling":
        call = calling(desk, peer, sdp, f"Session-Expires: {interval};refresher=uas")
    else:
        call = called(desk, peer, sdp, f"Session-Expires: {interval};refresher=uac", "Supported: timer")
    desk.wait_until(end)
    assert desk.times_of("BYE") == [end]
    assert desk.last("BYE").message.headers.first("reason").startswith("Q.850;cause=102;")
    assert "refreshed" in desk.told(sip.DialogLost)[0].reason
    desk.receive(peer.response(desk.last("BYE").message, 200))
    assert desk.events[-1] == sip.Released(call)
    desk.drain()
    assert desk.agent.is_empty


def test_each_refresh_of_the_peer_starts_the_interval_anew(desk: Any, peer: Any, sdp: bytes) -> None:
    call = called(desk, peer, sdp, "Session-Expires: 90;refresher=uac", "Supported: timer")
    fields = ["Session-Expires: 90;refresher=uac", "Supported: timer"]
    for number, body in enumerate([b"", sdp, b"", sdp], start=2):
        desk.wait_until((number - 1) * 45.0)
        method = "UPDATE" if number % 2 else "INVITE"
        desk.receive(peer.request(method, cseq=number, body=body, fields=fields))
        if body or method == "INVITE":
            desk.order("accept_offer", call, T38)
            desk.receive(peer.request("ACK", cseq=number, branch=f"z9hG4bK-a{number}", body=b"" if body else sdp))
        answer = desk.last(f"200 {method}").message
        assert answer.headers.first("session-expires") == "90;refresher=uac"
        assert answer.headers.first("require") == "timer"
    desk.wait_until(239)
    assert desk.times_of("BYE") == []
    desk.wait_until(240)
    assert desk.times_of("BYE") == [240]


def test_a_refresh_that_we_refuse_does_not_refresh(desk: Any, peer: Any, sdp: bytes) -> None:
    call = called(desk, peer, sdp, "Session-Expires: 90;refresher=uac", "Supported: timer")
    desk.wait_until(45)
    desk.receive(peer.request("INVITE", cseq=2, body=sdp, fields=["Session-Expires: 90;refresher=uac"]))
    desk.order("refuse_offer", call, 488)
    desk.wait_until(60)
    assert desk.times_of("BYE") == [60]


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_refresh_with_too_short_an_interval_gets_422_and_changes_nothing(
    method: str, make_desk: Any, peer: Any, sdp: bytes
) -> None:
    desk = make_desk(dialogs=DialogPolicy(min_se=120))
    called(desk, peer, sdp, "Session-Expires: 120;refresher=uac", "Supported: timer")
    short = ["Session-Expires: 100;refresher=uac", "Supported: timer"]
    (sent,) = desk.receive(peer.request(method, cseq=2, body=sdp, fields=short))
    assert (sent.message.status, sent.message.headers.first("min-se")) == (422, "120")
    assert not desk.told(sip.Reoffered)
    desk.wait_until(88)
    assert desk.times_of("BYE") == [88]


# --- asking ------------------------------------------------------------------------------------------


def test_an_invite_that_gets_422_is_sent_again_with_a_longer_interval(make_desk: Any, peer: Any, sdp: bytes) -> None:
    desk = make_desk(dialogs=ASK)
    desk.dial()
    first = desk.last("INVITE").message
    assert first.headers.first("session-expires") == "90"
    assert words(desk.receive(peer.response(first, 422, fields=["Min-SE: 600"]))) == ["ACK", "INVITE"]
    again = desk.last("INVITE").message
    assert (again.headers.first("session-expires"), again.headers.first("min-se")) == ("600", "600")
    assert (again.call_id, again.from_.tag) == (first.call_id, first.from_.tag)
    assert again.cseq.number == first.cseq.number + 1
    desk.receive(peer.response(again, 200, body=sdp, fields=["Session-Expires: 600;refresher=uac"]))
    desk.wait_until(300)
    assert desk.told(sip.RefreshDue)


def test_an_invite_that_gets_422_for_nothing_has_failed(make_desk: Any, peer: Any) -> None:
    desk = make_desk(dialogs=ASK)
    call = desk.dial()
    desk.receive(peer.response(desk.last("INVITE").message, 422))
    assert desk.told(sip.Refused) == [sip.Refused(call, 422, "Whatever")]


def test_422_over_and_over_ends(make_desk: Any, peer: Any) -> None:
    desk = make_desk(dialogs=ASK)
    call = desk.dial()
    for number in range(20):
        desk.receive(peer.response(desk.last("INVITE").message, 422, fields=[f"Min-SE: {100 * (number + 2)}"]))
    assert len(desk.times_of("INVITE")) == 8
    assert desk.told(sip.Refused)[0].call == call


def test_our_re_invite_that_gets_422_is_sent_again(make_desk: Any, peer: Any, sdp: bytes) -> None:
    desk = make_desk(dialogs=ASK)
    call = calling(desk, peer, sdp, "Session-Expires: 90;refresher=uac")
    desk.order("offer", call, T38)
    desk.receive(peer.response(desk.last("INVITE").message, 422, fields=["Min-SE: 300"]))
    again = desk.last("INVITE").message
    assert (again.body, again.headers.first("session-expires")) == (T38, "300;refresher=uac")
    desk.receive(peer.response(again, 200, body=sdp, fields=["Session-Expires: 300;refresher=uac"]))
    assert desk.events[-1] == sip.OfferAccepted(call, sdp)


@pytest.mark.parametrize(
    ("wish", "answered", "ours"), [(Refreshes.US, "uas", True), (Refreshes.PEER, "uac", False), ("auto", "uac", False)]
)
def test_a_caller_who_wants_nothing_is_asked_for_a_timer(
    wish: Refreshes, answered: str, ours: bool, make_desk: Any, peer: Any, sdp: bytes
) -> None:
    policy = DialogPolicy(session_timer=SessionTimers.ASK, session_expires=90, refresher=Refreshes(wish))
    desk = make_desk(dialogs=policy)
    called(desk, peer, sdp, UPDATES, "Supported: timer")
    assert desk.last("200 INVITE").message.headers.first("session-expires") == f"90;refresher={answered}"
    desk.wait_until(50)
    assert bool(desk.times_of("UPDATE")) is ours


def test_the_policy_of_an_account_holds_for_a_call_that_comes_in(
    desk: Any, peer: Any, incoming: Any, sdp: bytes
) -> None:
    call = incoming(fields=["Supported: timer"])
    desk.agent.assign(call, sip_account(ASK))
    desk.order("answer", call, sdp)
    assert desk.last("200 INVITE").message.headers.first("session-expires") == "90;refresher=uac"


def test_the_policy_of_an_account_holds_for_a_call_of_ours(desk: Any) -> None:
    desk.dial(account=sip_account(ASK))
    assert desk.last("INVITE").message.headers.first("session-expires") == "90"


def sip_account(policy: DialogPolicy) -> Account:
    return Account(name="trunk", dialogs=policy)


# --- refreshes and offers ----------------------------------------------------------------------------------


def test_our_offer_is_a_refresh_and_puts_the_next_one_off(desk: Any, peer: Any, sdp: bytes) -> None:
    call = calling(desk, peer, sdp, UPDATES, "Session-Expires: 90;refresher=uac")
    desk.wait_until(40)
    desk.order("offer", call, T38)
    assert desk.last("INVITE").message.headers.first("session-expires") == "90;refresher=uac"
    confirm(desk, peer, "INVITE", "Session-Expires: 90;refresher=uac", body=sdp)
    desk.wait_until(84)
    assert desk.times_of("UPDATE") == []
    desk.wait_until(85)
    assert desk.times_of("UPDATE") == [85]


def test_a_refresh_waits_for_the_end_of_an_offer(desk: Any, peer: Any, sdp: bytes) -> None:
    call = calling(desk, peer, sdp, UPDATES, "Session-Expires: 90;refresher=uac")
    desk.wait_until(44)
    desk.order("offer", call, T38)
    desk.receive(peer.response(desk.last("INVITE").message, 100))
    desk.wait_until(50)
    assert desk.times_of("UPDATE") == []
    desk.receive(peer.response(desk.last("INVITE").message, 488))
    desk.wait_until(51)
    assert desk.times_of("UPDATE") == [51]


def test_an_offer_waits_for_the_end_of_a_refresh_by_re_invite(desk: Any, peer: Any, sdp: bytes) -> None:
    call = calling(desk, peer, sdp, "Session-Expires: 90;refresher=uac")
    desk.wait_until(45)
    desk.order("refresh", call, sdp)
    desk.order("offer", call, T38)
    assert desk.times_of("INVITE") == [0, 45]
    confirm(desk, peer, "INVITE", "Session-Expires: 90;refresher=uac", body=sdp)
    assert (desk.sent[-1].word, desk.sent[-1].message.body) == ("INVITE", T38)
    assert desk.told(sip.RefreshEnded) == [sip.RefreshEnded(call, sdp)]


def test_glare_of_a_refresh_with_a_t38_offer_lets_theirs_win(desk: Any, peer: Any, sdp: bytes) -> None:
    call = calling(desk, peer, sdp, "Session-Expires: 90;refresher=uac")
    desk.wait_until(45)
    desk.order("refresh", call, b"v=0 audio")
    assert words(desk.receive(peer.request("INVITE", cseq=1, body=sdp)))[-1] == "491 INVITE"
    desk.receive(peer.response(desk.last("INVITE").message, 491))
    desk.wait_until(46)
    desk.receive(peer.request("INVITE", cseq=2, body=sdp, fields=["Supported: timer"]))  # after their pause
    assert desk.events[-2:] == [sip.RefreshEnded(call, None), sip.Reoffered(call, sdp, acked=True)]
    desk.order("accept_offer", call, T38)
    assert desk.last("200 INVITE").message.headers.first("session-expires") == "90;refresher=uas"
    desk.receive(peer.request("ACK", cseq=2, branch="z9hG4bK-a2"))
    desk.wait_until(90)
    assert desk.times_of("BYE") == []
    assert len(desk.times_of("INVITE")) == 2  # the first, and the refresh that gave way
    desk.wait_until(91)
    assert len(desk.told(sip.RefreshDue)) == 2


def test_refresh_that_meets_an_offer_of_theirs_is_none(desk: Any, peer: Any, sdp: bytes) -> None:
    call = calling(desk, peer, sdp, "Session-Expires: 90;refresher=uac")
    desk.wait_until(45)
    desk.receive(peer.request("INVITE", cseq=1, body=sdp))
    desk.order("refresh", call, sdp)
    assert desk.events[-1] == sip.RefreshEnded(call, None)
    assert desk.times_of("INVITE") == [0]


def test_a_hang_up_in_the_middle_of_a_refresh_ends_it(desk: Any, peer: Any, sdp: bytes) -> None:
    call = calling(desk, peer, sdp, UPDATES, "Session-Expires: 90;refresher=uac")
    desk.wait_until(45)
    desk.order("hang_up", call)
    desk.receive(peer.response(desk.last("UPDATE").message, 200, fields=["Session-Expires: 90;refresher=uac"]))
    desk.receive(peer.response(desk.last("BYE").message, 200))
    desk.drain()
    assert desk.agent.is_empty
    assert len(desk.times_of("UPDATE")) == 1


def test_a_stale_answer_of_a_refresh_changes_no_other_offer(desk: Any, peer: Any, sdp: bytes) -> None:
    call = calling(desk, peer, sdp, UPDATES, "Session-Expires: 90;refresher=uac")
    desk.wait_until(45)
    update = desk.last("UPDATE").message
    confirm(desk, peer, "UPDATE", "Session-Expires: 90;refresher=uac")
    desk.order("offer", call, T38)
    desk.receive(peer.response(update, 481))  # absorbed by its transaction
    assert not desk.told(sip.DialogLost)
