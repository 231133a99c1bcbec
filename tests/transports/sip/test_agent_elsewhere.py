"""Calls that are sent elsewhere, put off, or explained: 3xx, 503 with Retry-After, Reason both ways."""

from typing import Any

import pytest

from vfax.errors import MisuseError
from vfax.transports.sip import values as sip
from vfax.transports.sip.policy import DialogPolicy
from vfax.transports.sip.reason import Reason
from vfax.transports.sip.values import Hop, Transport

FIRST, SECOND, THIRD = (Hop(Transport.UDP, f"192.0.2.{number}", 5060) for number in (71, 72, 73))
A, B, C = "sip:9@192.0.2.71", "sip:9@192.0.2.72", "sip:9@192.0.2.73"


@pytest.fixture
def free(make_desk: Any) -> Any:
    """A desk whose calls may be sent elsewhere."""
    return make_desk(dialogs=DialogPolicy(max_redirects=5))


def words(sent: list[Any]) -> list[str]:
    return [one.word for one in sent]


def redirect(desk: Any, peer: Any, *contacts: str, status: int = 302) -> Any:
    """Answer our last INVITE with a 3xx."""
    fields = [f"Contact: {contact}" for contact in contacts]
    desk.receive(peer.response(desk.last("INVITE").message, status, contact="", fields=fields))
    told = desk.told(sip.Redirected)
    return told[-1] if told else None


def test_a_redirected_call_goes_on_where_it_was_sent(free: Any, peer: Any, sdp: bytes) -> None:
    call = free.dial()
    first = free.last("INVITE").message
    event = redirect(free, peer, f"<{A}>")
    assert event == sip.Redirected(call, 302, (A,))
    assert free.sent[-1].word == "ACK"
    free.order("follow", call, [(A, [FIRST])])
    sent = free.last("INVITE")
    assert (sent.message.uri, sent.to) == (A, FIRST.address)
    assert (sent.message.call_id, sent.message.from_.tag) == (first.call_id, first.from_.tag)
    assert sent.message.to.uri.text == first.to.uri.text
    assert sent.message.cseq.number == first.cseq.number + 1
    assert sent.message.via.branch != first.via.branch
    free.receive(peer.response(sent.message, 200, body=sdp))
    assert free.told(sip.Answered)
    assert not free.told(sip.Refused)


@pytest.mark.parametrize("status", [300, 301, 302])
def test_addresses_are_tried_by_their_q(status: int, free: Any, peer: Any) -> None:
    free.dial()
    contacts = [f"<{A}>;q=0.2", f"<{B}>;q=0.9, <{C}>", "<sip:x@192.0.2.74>;q=nonsense"]
    event = redirect(free, peer, *contacts, status=status)
    assert event.uris == (C, B, A, "sip:x@192.0.2.74")


def test_what_cannot_be_called_is_left_out_of_the_addresses(free: Any, peer: Any) -> None:
    free.dial()
    contacts = ["<tel:+4930>", "<mailto:a@b>", f"<{A}>;expires=0", f"<{B}?Subject=x>", f"<{B}>", "<sip:9@192.0.2.9>"]
    assert redirect(free, peer, *contacts).uris == (B,)  # the last one is where it comes from


def test_the_next_address_is_tried_when_one_fails_and_the_last_failure_counts(free: Any, peer: Any) -> None:
    call = free.dial()
    redirect(free, peer, f"<{A}>", f"<{B}>", f"<{C}>")
    free.order("follow", call, [(A, [FIRST]), (B, [SECOND]), (C, [THIRD])])
    free.receive(peer.response(free.last("INVITE").message, 404))
    assert (free.last("INVITE").message.uri, free.last("INVITE").to) == (B, SECOND.address)
    free.receive(peer.response(free.last("INVITE").message, 486))
    assert free.last("INVITE").message.uri == C
    free.receive(peer.response(free.last("INVITE").message, 480))
    assert free.told(sip.Refused) == [sip.Refused(call, 480, "Whatever")]
    free.drain()
    assert free.agent.is_empty


def test_each_address_has_targets_of_its_own(free: Any, peer: Any) -> None:
    call = free.dial()
    redirect(free, peer, f"<{A}>", f"<{B}>")
    free.order("follow", call, [(A, [FIRST, SECOND]), (B, [THIRD])])
    free.receive(peer.response(free.last("INVITE").message, 503))
    assert (free.last("INVITE").message.uri, free.last("INVITE").to) == (A, SECOND.address)
    free.receive(peer.response(free.last("INVITE").message, 503))
    assert (free.last("INVITE").message.uri, free.last("INVITE").to) == (B, THIRD.address)


def test_nobody_anywhere_wants_the_call(free: Any, peer: Any) -> None:
    call = free.dial()
    redirect(free, peer, f"<{A}>", f"<{B}>")
    free.order("follow", call, [(A, [FIRST]), (B, [SECOND])])
    free.receive(peer.response(free.last("INVITE").message, 603))
    assert free.told(sip.Refused) == [sip.Refused(call, 603, "Whatever")]


def test_redirects_that_lead_in_a_circle_end(free: Any, peer: Any) -> None:
    call = free.dial()
    redirect(free, peer, f"<{A}>")
    free.order("follow", call, [(A, [FIRST])])
    redirect(free, peer, f"<{B}>")
    free.order("follow", call, [(B, [SECOND])])
    redirect(free, peer, f"<{A}>", "<sip:9@192.0.2.9>")
    assert len(free.told(sip.Redirected)) == 2
    assert free.told(sip.Refused) == [sip.Refused(call, 302, "Whatever")]


def test_a_call_is_sent_on_no_more_often_than_is_allowed(make_desk: Any, peer: Any) -> None:
    desk = make_desk(dialogs=DialogPolicy(max_redirects=3))
    call = desk.dial()
    for number in range(10):
        event = redirect(desk, peer, *(f"<sip:{number}@192.0.2.{100 + number * 10 + i}>" for i in range(2)))
        if desk.told(sip.Refused):
            break
        desk.order("follow", call, [(uri, [FIRST]) for uri in event.uris[:1]])
    assert [len(event.uris) for event in desk.told(sip.Redirected)] == [2, 1]
    assert len(desk.times_of("INVITE")) == 3


def test_a_redirected_call_has_failed_where_that_is_not_allowed(desk: Any, peer: Any) -> None:
    call = desk.dial()
    assert redirect(desk, peer, f"<{A}>") is None
    assert desk.told(sip.Refused) == [sip.Refused(call, 302, "Whatever")]


@pytest.mark.parametrize("places", [[], [(A, [])]])
def test_addresses_that_lead_nowhere_are_the_failure(places: Any, free: Any, peer: Any) -> None:
    call = free.dial()
    redirect(free, peer, f"<{A}>")
    free.order("follow", call, places)
    assert free.told(sip.Refused)[0].status == 302
    free.drain()
    assert free.agent.is_empty


def test_a_hang_up_while_addresses_are_looked_up_ends_the_call(free: Any, peer: Any) -> None:
    call = free.dial()
    redirect(free, peer, f"<{A}>")
    free.order("hang_up", call)
    assert free.told(sip.Refused)[0].status == 487
    free.order("follow", call, [(A, [FIRST])])  # too late, and harmless
    free.drain()
    assert len(free.times_of("INVITE")) == 1
    assert free.agent.is_empty


def test_the_limit_of_ringing_goes_on_while_addresses_are_looked_up(free: Any, peer: Any) -> None:
    free.dial()
    redirect(free, peer, f"<{A}>")
    free.drain()
    assert free.now == 180
    assert free.told(sip.Refused)[0].status == 408
    assert free.agent.is_empty


def test_a_call_that_was_not_redirected_cannot_be_sent_on(free: Any, peer: Any, incoming: Any) -> None:
    with pytest.raises(MisuseError):
        free.order("follow", free.dial(), [(A, [FIRST])])


def test_a_redirected_re_invite_is_a_refused_offer(free: Any, peer: Any, sdp: bytes) -> None:
    call = free.dial()
    free.receive(peer.response(free.last("INVITE").message, 200, body=sdp))
    free.order("offer", call, b"v=0 t38")
    assert redirect(free, peer, f"<{A}>") is None
    assert free.events[-1] == sip.OfferRefused(call, 302, "Whatever")


# --- overload and reasons ----------------------------------------------------------------------------


@pytest.mark.parametrize(("field", "seconds"), [("120", 120), ("5;duration=60", 5), ("7 (busy)", 7), ("soon", None)])
def test_how_long_to_wait_is_told(field: str, seconds: int | None, desk: Any, peer: Any) -> None:
    call = desk.dial()
    desk.receive(peer.response(desk.last("INVITE").message, 503, fields=[f"Retry-After: {field}"]))
    assert desk.told(sip.Refused) == [sip.Refused(call, 503, "Whatever", retry_after=seconds)]


def test_reasons_of_a_failure_are_told(desk: Any, peer: Any) -> None:
    call = desk.dial()
    fields = ["Reason: Q.850;cause=17", 'Reason: SIP;cause=486;text="Busy"']
    desk.receive(peer.response(desk.last("INVITE").message, 480, fields=fields))
    reasons = (Reason("Q.850", 17), Reason("SIP", 486, "Busy"))
    assert desk.told(sip.Refused) == [sip.Refused(call, 480, "Whatever", reasons=reasons)]


def test_why_we_cancel_stands_in_the_cancel(desk: Any, peer: Any) -> None:
    call = desk.dial()
    invite = desk.last("INVITE").message
    desk.order("hang_up", call, reason='Q.850;cause=16;text="aborted"')
    assert desk.times_of("CANCEL") == []
    desk.receive(peer.response(invite, 180))
    assert desk.last("CANCEL").message.headers.first("reason") == 'Q.850;cause=16;text="aborted"'


def test_a_call_that_rang_too_long_is_cancelled_as_unanswered(desk: Any, peer: Any) -> None:
    desk.dial()
    desk.receive(peer.response(desk.last("INVITE").message, 180))
    desk.wait_until(180)
    assert desk.last("CANCEL").message.headers.first("reason").startswith("Q.850;cause=19;")


def test_why_we_gave_up_stands_in_the_bye_to_a_200_that_crossed_our_cancel(desk: Any, peer: Any, sdp: bytes) -> None:
    call = desk.dial()
    invite = desk.last("INVITE").message
    desk.receive(peer.response(invite, 180))
    desk.order("hang_up", call, reason="Q.850;cause=16")
    desk.receive(peer.response(invite, 200, body=sdp))
    assert words(desk.sent[-2:]) == ["ACK", "BYE"]
    assert desk.last("BYE").message.headers.first("reason") == "Q.850;cause=16"


def test_reasons_of_a_bye_that_overtook_its_200_are_told(desk: Any, peer: Any, sdp: bytes) -> None:
    call = desk.dial()
    invite = desk.last("INVITE").message
    peer.call_id, peer.our_tag, peer.target = invite.call_id, invite.from_.tag, invite.contacts[0].uri.text
    desk.receive(peer.request("BYE", fields=["Reason: Q.850;cause=31"]))
    desk.receive(peer.response(invite, 200, body=sdp))
    ended = desk.told(sip.HungUp)
    assert ended == [sip.HungUp(call, "Q.850 cause 31, normal, unspecified", (Reason("Q.850", 31),))]


# --- several gateways ---------------------------------------------------------------------------------


def test_each_gateway_is_asked_for_a_uri_of_its_own(free: Any, peer: Any) -> None:
    free.dial(A, targets=[FIRST, SECOND, THIRD], uris=[A, B, C])
    free.receive(peer.response(free.last("INVITE").message, 503), FIRST.address)
    free.wait_until(10.0)  # the second is silent
    tried = {(sent.message.uri, sent.to) for sent in free.sent if sent.word == "INVITE"}
    assert tried == {(A, FIRST.address), (B, SECOND.address), (C, THIRD.address)}
    call = redirect(free, peer, "<sip:7@192.0.2.74>").call
    free.order("follow", call, [("sip:7@192.0.2.74", [Hop(Transport.UDP, "192.0.2.74", 5060)])])
    assert free.last("INVITE").message.uri == "sip:7@192.0.2.74"


@pytest.mark.parametrize(
    "uris", [[A], [B, A], [A, "tel:1"], [A, "sips:9@192.0.2.72"]], ids=["too few", "order", "no SIP", "not over TLS"]
)
def test_uris_that_do_not_fit_their_targets_are_a_misuse(uris: list[str], free: Any) -> None:
    with pytest.raises(MisuseError):
        free.dial(A, targets=[FIRST, SECOND], uris=uris)
    assert free.agent.is_empty


# --- datagrams that do not arrive ---------------------------------------------------------------------


def octets_of(desk: Any) -> bytes:
    octets: bytes = next(seen.octets for seen in reversed(desk.seen) if seen.sent)
    return octets


def test_target_that_nobody_listens_at_is_left_at_once(free: Any) -> None:
    free.dial(A, targets=[FIRST, SECOND])
    free.agent.unreachable(FIRST, "nobody listens there", free.now, octets_of(free)[:300])
    free.collect()
    assert [sent.to for sent in free.sent] == [FIRST.address, SECOND.address]
    free.agent.unreachable(SECOND, "nobody listens there", free.now, octets_of(free))
    free.collect()
    (refused,) = free.told(sip.Refused)
    assert (refused.status, refused.heard, refused.reason) == (503, False, "nobody listens there")
    assert [report.why for report in free.agent.take_reports()] == ["nobody listens there"] * 2


def test_nobody_can_end_a_call_by_a_forged_error(free: Any) -> None:
    free.dial(A, targets=[FIRST])
    octets = octets_of(free)
    branch = free.last("INVITE").message.via.branch.encode()
    for forged in (
        b"x",
        octets[:60],
        octets.replace(branch, b"z9hG4bK" + b"0" * 16),
        octets.replace(b"INVITE", b"BYE"),
    ):
        free.agent.unreachable(FIRST, "forged", free.now, forged)
    free.agent.unreachable(SECOND, "forged", free.now, octets)
    free.collect()
    assert not free.told(sip.Refused)


def test_goodbye_is_repeated_though_nobody_is_there(desk: Any, answered: Any) -> None:
    desk.order("hang_up", answered())
    sent = desk.last("BYE")
    desk.agent.unreachable(sent.way, "nobody listens there", desk.now, octets_of(desk))
    desk.wait_until(4.0)
    assert desk.times_of("BYE") == [0.0, 0.5, 1.5, 3.5]
