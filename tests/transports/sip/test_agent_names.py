"""Dialogs whose way is a name: looked up by the owner, waited for by nobody."""

from typing import Any, Final

import pytest

from vfax.transports.sip import values as sip
from vfax.transports.sip.values import Flow, Hop, Transport

NAME: Final = "<sip:9@pbx.example>"
URI: Final = "sip:9@pbx.example"
THERE: Final = ("192.0.2.77", 5060)
PEER: Final = ("192.0.2.9", 5060)


def udp(host: str, port: int = 5060) -> Hop:
    return Hop(Transport.UDP, host, port)


def test_request_goes_where_the_name_leads_and_to_the_peer_until_that_is_known(desk: Any, answered: Any) -> None:
    call = answered(contact=NAME)
    assert desk.told(sip.WayWanted) == [sip.WayWanted(call, URI)]
    desk.order("offer", call, b"v=0")
    assert desk.last("INVITE").to == PEER
    desk.agent.found(call, URI, [udp(*THERE)])
    desk.order("hang_up", call)
    assert (desk.last("BYE").to, desk.last("BYE").message.uri) == (THERE, URI)


def test_call_of_ours_learns_the_name_of_the_first_route(desk: Any, peer: Any, connected: Any) -> None:
    call = desk.dial()
    invite = desk.last("INVITE").message
    peer.call_id, peer.our_tag = invite.call_id, invite.from_.tag
    octets = peer.response(invite, 200, body=b"v=0", fields=["Record-Route: <sip:edge.example;lr>"])
    desk.receive(octets)
    assert desk.told(sip.WayWanted) == [sip.WayWanted(call, "sip:edge.example;lr")]
    assert desk.last("ACK").to == PEER
    desk.agent.found(call, "sip:edge.example;lr", [udp(*THERE)])
    desk.receive(octets)  # the ACK went astray: its repeat goes where the name leads
    assert [sent.to for sent in desk.sent if sent.word == "ACK"] == [PEER, THERE]
    desk.order("hang_up", call)
    assert desk.last("BYE").to == THERE


@pytest.mark.parametrize("hops", [[], [udp("192.0.2.9")], [udp(*THERE), udp("192.0.2.9")]])
def test_host_that_we_talk_to_already_is_kept(hops: list[Hop], desk: Any, answered: Any) -> None:
    call = answered(contact=NAME)
    desk.agent.found(call, URI, hops)
    desk.order("hang_up", call)
    desk.wait_until(10.0)
    assert {sent.to for sent in desk.sent if sent.word == "BYE"} == {PEER}


def test_goodbye_that_the_name_misleads_reaches_the_peer_half_a_second_later(desk: Any, answered: Any) -> None:
    call = answered(contact=NAME)
    desk.agent.found(call, URI, [udp(*THERE)])
    desk.order("hang_up", call)
    desk.wait_until(0.6)
    assert {(sent.at, sent.to) for sent in desk.sent if sent.word == "BYE"} >= {(0.0, THERE), (0.5, PEER)}


@pytest.mark.parametrize("status", [403, 404, 481, 503])
def test_machine_that_knows_nothing_of_the_dialog_is_not_asked_twice(
    status: int, desk: Any, peer: Any, answered: Any
) -> None:
    call = answered(contact=NAME)
    desk.agent.found(call, URI, [udp(*THERE)])
    desk.order("offer", call, b"v=0")
    desk.receive(peer.response(desk.last("INVITE").message, status), THERE)
    assert desk.last("INVITE").to == PEER
    desk.receive(peer.response(desk.last("INVITE").message, 200, body=b"v=0"))
    assert desk.told(sip.OfferAccepted)
    desk.order("hang_up", call)
    assert desk.last("BYE").to == PEER


def test_new_name_is_looked_up_anew_and_an_old_answer_comes_too_late(desk: Any, peer: Any, answered: Any) -> None:
    call = answered(contact=NAME)
    desk.receive(peer.request("UPDATE", cseq=2, contact="<sip:9@other.example>"))
    assert [wanted.uri for wanted in desk.told(sip.WayWanted)] == [URI, "sip:9@other.example"]
    desk.agent.found(call, URI, [udp(*THERE)])
    desk.order("hang_up", call)
    assert desk.last("BYE").to == PEER


def test_dialog_on_a_connection_stays_on_it_where_the_name_asks_for_nothing_else(desk: Any, peer: Any) -> None:
    flow = Flow(Transport.TCP, PEER, ("192.0.2.1", 5060), 4)
    desk.receive(peer.request("INVITE", body=b"v=0", contact=NAME).replace(b"/UDP", b"/TCP"), flow)
    call = desk.told(sip.IncomingCall)[-1].call
    desk.order("answer", call, b"v=0")
    peer.our_tag = desk.last("200 INVITE").message.to.tag
    desk.receive(peer.request("ACK", branch="z9hG4bK-ack").replace(b"/UDP", b"/TCP"), flow)
    desk.agent.found(call, URI, [udp(*THERE), Hop(Transport.TCP, *PEER)])
    desk.order("hang_up", call)
    assert desk.last("BYE").way == flow


def test_numbers_and_symmetric_dialogs_are_not_looked_up(make_desk: Any, peer: Any, sdp: bytes) -> None:
    for contact, options in (("<sip:9@192.0.2.44>", {}), (NAME, {"symmetric": True})):
        desk = make_desk(**options)
        desk.receive(peer.request("INVITE", body=sdp, contact=contact))
        desk.order("answer", desk.told(sip.IncomingCall)[-1].call, sdp)
        assert desk.told(sip.WayWanted) == []


@pytest.mark.parametrize(("order", "word"), [("offer", "INVITE"), ("update", "UPDATE")])
def test_request_that_was_answered_is_not_said_to_the_other_machine_too(
    order: str, word: str, desk: Any, peer: Any, answered: Any
) -> None:
    call = answered(contact=NAME)
    desk.agent.found(call, URI, [udp(*THERE)])
    desk.order(order, call, b"v=0")
    desk.receive(peer.response(desk.last(word).message, 200, body=b"v=0", contact=NAME), THERE)
    desk.wait_until(20.0)
    assert [(sent.at, sent.to) for sent in desk.sent if sent.word == word] == [(0.0, THERE)]
