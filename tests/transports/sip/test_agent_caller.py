"""Calls we make: what goes out, which answers mean what, and how a call is given up."""

from typing import Any

import pytest

from vfax.errors import MisuseError
from vfax.transports.sip import values as sip


def kinds(desk: Any) -> list[str]:
    return [type(event).__name__ for event in desk.events]


def invite_of(desk: Any, peer: Any) -> Any:
    """The INVITE sent; the peer learns the dialog from it."""
    invite = desk.last("INVITE").message
    peer.call_id, peer.our_tag, peer.target = invite.call_id, invite.from_.tag, invite.contacts[0].uri.text
    return invite


def test_invite_carries_what_a_call_needs(desk: Any, sdp: bytes) -> None:
    desk.dial(
        "sip:+4930;x=y@192.0.2.9:5070;transport=udp",
        from_user="a b@example.com",
        from_name='The "Fax"\r\nX: y',
        extra_headers=[("P-Asserted-Identity", "<sip:1@h>"), ("Route", "<sip:192.0.2.9;lr>")],
    )
    sent = desk.last("INVITE")
    invite = sent.message
    assert sent.to == ("192.0.2.9", 5060)
    assert invite.uri == "sip:+4930;x=y@192.0.2.9:5070;transport=udp" == invite.to.uri.text
    assert (invite.from_.name, invite.from_.uri.text) == ('The "Fax" X: y', "sip:a%20b@example.com")
    assert invite.from_.tag
    assert invite.contacts[0].uri.text == "sip:a%20b@192.0.2.1:5060"
    assert "rport" in invite.via.parameters
    assert invite.via.branch.startswith("z9hG4bK")
    assert (invite.max_forwards, invite.body) == (70, sdp)
    assert invite.headers.first("user-agent") == "vfax"
    assert invite.headers.all("route") == ["<sip:192.0.2.9;lr>"]
    assert "x" not in invite.headers


def test_domain_of_from_is_an_option(make_desk: Any) -> None:
    desk = make_desk(domain="trunk.example")
    desk.dial(from_user="100")
    assert desk.last("INVITE").message.from_.uri.text == "sip:100@trunk.example"


@pytest.mark.parametrize(
    "uri", ["", "9", "tel:9", "sip:", "sips:9@h", "sip:\ud800@h", "sip:9@h\r\nX: y", "sip:9@h?Subject=x", "<sip:9@h>"]
)
def test_what_cannot_be_dialled_is_misuse_and_leaves_nothing(uri: str, desk: Any) -> None:
    with pytest.raises(MisuseError):
        desk.dial(uri)
    assert desk.agent.is_empty


@pytest.mark.parametrize(
    "field", [("Via", "x"), ("f", "x"), ("X", "a\r\nb"), ("X Y", "a"), ("l", "5"), ("X", "\udfff")]
)
def test_header_that_is_not_the_callers_to_set_is_misuse(field: tuple[str, str], desk: Any) -> None:
    with pytest.raises(MisuseError):
        desk.dial(extra_headers=[field])
    assert desk.agent.is_empty


def test_call_rings_is_answered_and_acknowledged(desk: Any, peer: Any, sdp: bytes) -> None:
    call = desk.dial()
    invite = invite_of(desk, peer)
    desk.receive(peer.response(invite, 100))
    desk.receive(peer.response(invite, 180))
    desk.receive(peer.response(invite, 183, body=sdp))
    desk.receive(peer.response(invite, 200, body=sdp))
    assert desk.events == [
        sip.Progress(call, 180, "Whatever", b"", "theirs"),
        sip.Progress(call, 183, "Whatever", sdp, "theirs"),
        sip.Answered(call, sdp),
    ]
    ack = desk.last("ACK").message
    assert (ack.cseq.number, ack.cseq.method) == (invite.cseq.number, "ACK")
    assert ack.to.tag == "theirs"
    assert ack.via.branch != invite.via.branch


def test_ack_to_200_goes_to_contact_by_record_route(desk: Any, peer: Any, sdp: bytes) -> None:
    desk.dial()
    routes = ["Record-Route: <sip:192.0.2.51:5090;lr>, <sip:192.0.2.52;lr>"]
    ok = peer.response(invite_of(desk, peer), 200, body=sdp, fields=routes, contact="<sip:line7@192.0.2.60:5065>")
    desk.receive(ok)
    ack = desk.last("ACK")
    assert ack.message.uri == "sip:line7@192.0.2.60:5065"
    assert ack.message.headers.all("route") == ["<sip:192.0.2.52;lr>", "<sip:192.0.2.51:5090;lr>"]
    assert ack.to == ("192.0.2.52", 5060)


def test_bye_goes_to_the_contact(desk: Any, peer: Any, connected: Any) -> None:
    call = connected()
    desk.order("hang_up", call)
    assert desk.last("BYE").message.uri == "sip:9@192.0.2.9"
    assert desk.last("BYE").message.cseq.number == 2


def test_200_repeated_gets_the_same_ack_again(desk: Any, peer: Any, connected: Any, sdp: bytes) -> None:
    connected()
    desk.wait_until(3)
    desk.receive(peer.response(desk.last("INVITE").message, 200, body=sdp))
    first, second = [sent.message.encode() for sent in desk.sent if sent.word == "ACK"]
    assert first == second
    assert len(desk.told(sip.Answered)) == 1


def test_invite_is_repeated_until_something_is_heard(desk: Any) -> None:
    desk.dial()
    desk.drain()
    assert desk.times_of("INVITE") == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert desk.events == [sip.Refused(1, 408, "no answer at all", heard=False), sip.Released(1)]
    assert desk.now == 32
    assert desk.agent.is_empty


@pytest.mark.parametrize(
    ("fields", "agent"),
    [
        ((), ""),
        (("Server: vfax/1",), "vfax/1"),
        (("User-Agent: vfax/1",), "vfax/1"),
        (("User-Agent: vfax/1", "Server: a PBX"), "a PBX"),
    ],
)
def test_who_answered_is_told(desk: Any, peer: Any, sdp: bytes, fields: tuple[str, ...], agent: str) -> None:
    call = desk.dial()
    desk.receive(peer.response(invite_of(desk, peer), 200, body=sdp, fields=fields))
    assert desk.events == [sip.Answered(call, sdp, agent)]


def test_ringing_longer_than_32_seconds_waits(desk: Any, peer: Any, sdp: bytes) -> None:
    call = desk.dial()
    invite = invite_of(desk, peer)
    desk.receive(peer.response(invite, 180))
    desk.wait_until(120)
    desk.receive(peer.response(invite, 200, body=sdp))
    assert desk.events[-1] == sip.Answered(call, sdp)


def test_refusal_is_acknowledged_told_and_released(desk: Any, peer: Any) -> None:
    call = desk.dial()
    invite = invite_of(desk, peer)
    desk.receive(peer.response(invite, 486))
    ack = desk.last("ACK").message
    assert (ack.via.branch, ack.uri) == (invite.via.branch, invite.uri)
    assert desk.events == [sip.Refused(call, 486, "Whatever"), sip.Released(call)]
    desk.wait_until(20)
    desk.receive(peer.response(invite, 486))
    assert desk.times_of("ACK") == [0, 20]
    desk.drain()
    assert desk.agent.is_empty


def test_hang_up_while_ringing_cancels(desk: Any, peer: Any) -> None:
    call = desk.dial()
    invite = invite_of(desk, peer)
    desk.receive(peer.response(invite, 180))
    desk.order("hang_up", call)
    cancel = desk.last("CANCEL").message
    assert (cancel.via.branch, cancel.uri, cancel.to.tag) == (invite.via.branch, invite.uri, "")
    desk.receive(peer.response(cancel, 200))
    desk.receive(peer.response(invite, 487))
    assert desk.times_of("ACK") == [0]
    assert desk.events[-2:] == [sip.Refused(call, 487, "Whatever"), sip.Released(call)]
    desk.drain()
    assert desk.agent.is_empty


def test_cancel_waits_for_a_provisional_answer(desk: Any, peer: Any) -> None:
    call = desk.dial()
    desk.order("hang_up", call)
    desk.order("hang_up", call)
    assert desk.times_of("CANCEL") == []
    desk.wait_until(0.5)
    desk.receive(peer.response(invite_of(desk, peer), 100))
    desk.receive(peer.response(invite_of(desk, peer), 180))
    assert desk.times_of("CANCEL") == [0.5]
    assert not desk.told(sip.Progress)


def test_200_that_crosses_our_cancel_is_acknowledged_and_hung_up(desk: Any, peer: Any, sdp: bytes) -> None:
    call = desk.dial()
    invite = invite_of(desk, peer)
    desk.receive(peer.response(invite, 180))
    desk.order("hang_up", call)
    desk.receive(peer.response(invite, 200, body=sdp))
    assert [sent.word for sent in desk.sent[-2:]] == ["ACK", "BYE"]
    desk.receive(peer.response(desk.last("BYE").message, 200))
    assert kinds(desk) == ["Progress", "Released"]
    desk.drain()
    assert desk.agent.is_empty


def test_cancel_without_a_final_answer_ends_after_32_seconds(desk: Any, peer: Any) -> None:
    call = desk.dial()
    desk.receive(peer.response(invite_of(desk, peer), 180))
    desk.wait_until(5)
    desk.order("hang_up", call)
    desk.drain()
    assert kinds(desk) == ["Progress", "Refused", "Released"]
    assert desk.now == 37
    assert desk.agent.is_empty


@pytest.mark.parametrize("heard", [True, False])
def test_ring_limit_cancels_and_says_408(heard: bool, make_desk: Any, peer: Any) -> None:
    desk = make_desk(ring_limit=20.0)
    call = desk.dial()
    if heard:
        desk.receive(peer.response(invite_of(desk, peer), 180))
    desk.wait_until(20)
    assert desk.told(sip.Refused) == [sip.Refused(call, 408, "nobody answered the call", heard=heard)]
    assert desk.times_of("CANCEL") == ([20] if heard else [])
    desk.drain()
    assert kinds(desk)[-2:] == ["Refused", "Released"]
    assert desk.agent.is_empty


def test_second_fork_is_acknowledged_and_hung_up(desk: Any, peer: Any, connected: Any, sdp: bytes) -> None:
    call = connected()
    invite = desk.last("INVITE").message
    fork = peer.response(invite, 200, tag="fork", body=sdp, contact="<sip:fork@192.0.2.70>")
    desk.receive(fork)
    desk.receive(fork)
    extra = [(sent.word, sent.to[0], sent.message.to.tag) for sent in desk.sent[2:]]
    assert extra == [("ACK", "192.0.2.70", "fork"), ("BYE", "192.0.2.70", "fork"), ("ACK", "192.0.2.70", "fork")]
    assert len(desk.told(sip.Answered)) == 1
    desk.order("hang_up", call)
    assert desk.last("BYE").message.to.tag == "theirs"


def test_fork_that_answers_after_the_call_ended_is_hung_up_too(desk: Any, peer: Any, connected: Any) -> None:
    connected()
    invite = desk.last("INVITE").message
    desk.receive(peer.request("BYE", cseq=1))
    assert desk.told(sip.Released)
    desk.receive(peer.response(invite, 200, tag="fork"))
    assert [sent.word for sent in desk.sent[-2:]] == ["ACK", "BYE"]
    desk.drain()
    assert desk.agent.is_empty


def test_forks_without_end_are_not_all_answered(desk: Any, peer: Any, connected: Any) -> None:
    connected()
    invite = desk.last("INVITE").message
    for number in range(100):
        desk.receive(peer.response(invite, 200, tag=f"fork{number}"))
    assert len(desk.times_of("ACK")) == 16


def test_early_forks_may_ring_with_tags_of_their_own(desk: Any, peer: Any, sdp: bytes) -> None:
    call = desk.dial()
    invite = invite_of(desk, peer)
    for tag in ("one", "two"):
        desk.receive(peer.response(invite, 180, tag=tag))
    desk.receive(peer.response(invite, 200, tag="two", body=sdp))
    desk.order("hang_up", call)
    assert desk.last("BYE").message.to.tag == "two"


def test_bye_that_overtakes_its_200_ends_the_call(desk: Any, peer: Any, sdp: bytes) -> None:
    call = desk.dial()
    invite = invite_of(desk, peer)
    assert [sent.word for sent in desk.receive(peer.request("BYE", cseq=1))] == ["200 BYE"]
    desk.receive(peer.response(invite, 200, body=sdp))
    assert desk.events == [sip.Answered(call, sdp), sip.HungUp(call, ""), sip.Released(call)]
    desk.drain()
    assert desk.agent.is_empty


def test_late_offer_of_ours_asks_for_theirs(desk: Any, peer: Any) -> None:
    desk.dial(sdp=b"")
    assert desk.last("INVITE").message.content_type is None


def test_owner_cannot_answer_a_call_we_made(desk: Any) -> None:
    call = desk.dial()
    with pytest.raises(MisuseError):
        desk.order("answer", call, b"")


@pytest.mark.parametrize("status", [301, 422, 500, 503, 600])
def test_every_final_failure_is_told_as_heard(status: int, desk: Any, peer: Any) -> None:
    call = desk.dial()
    desk.receive(peer.response(invite_of(desk, peer), status))
    assert desk.told(sip.Refused) == [sip.Refused(call, status, "Whatever", heard=True)]


def test_response_with_two_vias_is_dropped(desk: Any, peer: Any) -> None:
    desk.dial()
    response = peer.response(invite_of(desk, peer), 200, fields=["Via: SIP/2.0/UDP other;branch=z9hG4bKx"])
    assert desk.receive(response) == []
    assert desk.told(sip.DatagramDropped)


def test_bye_with_a_foreign_tag_does_not_end_the_call(desk: Any, peer: Any, connected: Any) -> None:
    connected()
    peer.tag = "stranger"
    assert [sent.word for sent in desk.receive(peer.request("BYE", cseq=9))] == ["481 BYE"]
    assert desk.agent.calls == 1
