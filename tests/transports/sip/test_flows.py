"""Transports, hops and flows: what goes where, by which connection, and what happens when it is gone."""

from collections.abc import Callable
from typing import Any, Final

import pytest

from vfax.errors import MisuseError
from vfax.transports.sip import values as sip
from vfax.transports.sip.account import Account
from vfax.transports.sip.headers import Uri, bracketed
from vfax.transports.sip.hops import Local, Place, hop_of, transport_of
from vfax.transports.sip.outside import Asking
from vfax.transports.sip.values import Address, Flow, Hop, Transport

UDP, TCP, TLS = Transport.UDP, Transport.TCP, Transport.TLS
HERE: Final[Address] = ("192.0.2.1", 5060)
HERE_TLS: Final[Address] = ("192.0.2.1", 5061)
PEER: Final[Address] = ("192.0.2.9", 5060)
LOCAL: Final = Local((Place(UDP, HERE, HERE), Place(TCP, HERE, HERE), Place(TLS, HERE_TLS, HERE_TLS)))
STREAM: Final = Flow(TCP, ("192.0.2.9", 40000), HERE, 1)
BIG: Final = b"v=0\r\n" + b"a=x\r\n" * 300


@pytest.fixture
def desk(make_desk: Any) -> Any:
    return make_desk(contact=LOCAL)


def hops(*transports: Transport) -> list[Hop]:
    """Hops to 192.0.2.9, .10, ..."""
    return [Hop(transport, f"192.0.2.{9 + n}", transport.port) for n, transport in enumerate(transports)]


def invites(desk: Any) -> list[Any]:
    return [sent for sent in desk.sent if sent.word == "INVITE"]


# --- URIs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "hop"),
    [
        ("sip:9@192.0.2.9", Hop(UDP, "192.0.2.9", 5060, fixed=False)),
        ("sip:9@192.0.2.9:5070;transport=udp", Hop(UDP, "192.0.2.9", 5070)),
        ("sip:9@192.0.2.9;transport=TCP", Hop(TCP, "192.0.2.9", 5060)),
        ("sip:9@192.0.2.9;transport=tls", Hop(TLS, "192.0.2.9", 5061)),
        ("sips:9@192.0.2.9", Hop(TLS, "192.0.2.9", 5061)),
        ("sips:9@192.0.2.9;transport=tcp", Hop(TLS, "192.0.2.9", 5061)),
        ("sips:9@192.0.2.9;transport=udp", None),
        ("sip:9@192.0.2.9;transport=sctp", None),
        ("sip:9@example.org;maddr=192.0.2.7", Hop(UDP, "192.0.2.7", 5060, fixed=False)),
        ("sip:9@[2001:db8::1]", Hop(UDP, "2001:db8::1", 5060, fixed=False)),
        ("sip:9@example.org", None),
    ],
)
def test_hop_of_a_uri(text: str, hop: Hop | None) -> None:
    assert hop_of(Uri.parse(text)) == hop


def test_transport_nobody_named_is_what_the_caller_prefers() -> None:
    assert transport_of(Uri.parse("sip:9@h"), TCP) == (TCP, False)
    assert transport_of(Uri.parse("sip:9@h;transport=udp"), TCP) == (UDP, True)


def test_place_is_that_of_the_socket_then_of_the_family() -> None:
    six, other = ("2001:db8::1", 5060), ("198.51.100.1", 5062)
    local = Local((Place(UDP, HERE, HERE), Place(UDP, six, six), Place(UDP, ("10.0.0.1", 5060), other)))
    assert local.towards(Hop(UDP, "2001:db8::9", 5060)) == six
    assert local.towards(Hop(UDP, "192.0.2.9", 5060)) == HERE
    assert local.towards(Flow(UDP, PEER, ("10.0.0.1", 5060))) == other
    assert local.towards(Hop(TLS, "2001:db8::9", 5061)) == six  # no listener of that kind: at least the family


# --- what goes out -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("transport", "via", "contact"),
    [
        (UDP, "SIP/2.0/UDP 192.0.2.1:5060;", "<sip:100@192.0.2.1:5060>"),
        (TCP, "SIP/2.0/TCP 192.0.2.1:5060;", "<sip:100@192.0.2.1:5060;transport=tcp>"),
        (TLS, "SIP/2.0/TLS 192.0.2.1:5061;", "<sip:100@192.0.2.1:5061;transport=tls>"),
    ],
)
def test_via_and_contact_name_the_transport(desk: Any, transport: Transport, via: str, contact: str) -> None:
    (hop,) = hops(transport)
    desk.dial(targets=[hop])
    sent = desk.last("INVITE")
    assert sent.way == hop
    assert sent.message.headers.first("via").startswith(via)
    assert sent.message.headers.first("contact") == contact


def test_sips_has_a_sips_contact_and_needs_tls(desk: Any) -> None:
    desk.dial("sips:9@192.0.2.9", targets=hops(TLS))
    assert desk.last("INVITE").message.headers.first("contact") == "<sips:100@192.0.2.1:5061>"
    with pytest.raises(MisuseError, match="TLS"):
        desk.dial("sips:9@192.0.2.9", targets=hops(TLS, TCP))


def test_nothing_is_repeated_on_a_stream(desk: Any) -> None:
    desk.dial(targets=hops(TCP))
    desk.wait_until(31.9)
    assert desk.times_of("INVITE") == [0]
    desk.wait_until(32)
    assert desk.told(sip.Refused)[0].status == 408


@pytest.mark.parametrize("domain", ["2001:db8::7", "[2001:db8::7]"])
def test_a_domain_that_is_an_ipv6_address_stands_in_brackets(desk: Any, domain: str) -> None:
    account = Account(from_domain=domain)
    desk.dial(account=account)
    assert "@[2001:db8::7]>" in (desk.last("INVITE").message.headers.first("from") or "")
    user = f"7@{bracketed(domain)}"
    desk.order("request", Asking(method="OPTIONS", uri="sip:x", targets=hops(TCP), from_user=user, account=account))
    assert "<sip:7@[2001:db8::7]>" in (desk.last("OPTIONS").message.headers.first("from") or "")


def test_account_stands_in_the_invite(desk: Any) -> None:
    account = Account(
        routes=("<sip:proxy.example;lr>",),
        headers=(("P-Asserted-Identity", "<sip:+4930@trunk.example>"),),
        from_domain="trunk.example",
        contact_user="line1",
    )
    desk.dial(account=account)
    invite = desk.last("INVITE").message
    assert invite.headers.all("route") == ["<sip:proxy.example;lr>"]
    assert invite.headers.first("p-asserted-identity") == "<sip:+4930@trunk.example>"
    assert invite.from_.uri.text == "sip:100@trunk.example"
    assert invite.contacts[0].uri.user == "line1"


@pytest.mark.parametrize(
    "user",
    ["x@a>;evil=1;x=<b", 'x@a>;evil="1"', "x@a b", "x@", "@", "x@h;p=1", "x@[::1", "a@b@c>,<sip:d@e", "x@\r\nX: y"],
)
def test_caller_number_adds_nothing_to_from_but_a_user(desk: Any, user: str) -> None:
    desk.dial(from_user=user, from_name='a" <sip:evil@h>')
    invite = desk.last("INVITE").message
    assert [name for name, _ in invite.from_.parameters.items] == ["tag"]
    assert invite.from_.uri.parameters.items == ()
    assert invite.from_.uri.host == "192.0.2.1" or user.endswith(f"@{invite.from_.uri.host}")
    assert len(invite.headers.all("from")) == 1


@pytest.mark.parametrize("domain", ["a>;b", "a b", "a;b"])
def test_domain_that_is_none_is_misuse(make_desk: Any, domain: str) -> None:
    with pytest.raises(MisuseError, match="domain"):
        make_desk(domain=domain)


# --- what comes in -----------------------------------------------------------------------------------


def stream_invite(peer: Any, **more: Any) -> bytes:
    via = "Via: SIP/2.0/TCP 192.0.2.9:5062;branch=z9hG4bK-s"
    return bytes(peer.request("INVITE", via=via, **more))


def test_answers_go_back_on_the_connection(desk: Any, peer: Any) -> None:
    desk.receive(stream_invite(peer, body=BIG), STREAM)
    call = desk.told(sip.IncomingCall)[0]
    assert (call.source, call.flow) == (STREAM.remote, STREAM)
    desk.order("refuse", call.call, 486)
    assert [sent.way for sent in desk.sent] == [STREAM, STREAM]
    desk.wait_until(20)
    assert desk.times_of("486 INVITE") == [0]


def test_answers_go_by_a_new_connection_once_the_old_one_is_gone(desk: Any, peer: Any) -> None:
    desk.receive(stream_invite(peer, body=BIG), STREAM)
    desk.order("flow_lost", STREAM, "reset")
    desk.order("answer", desk.told(sip.IncomingCall)[0].call, BIG)
    assert desk.last("200 INVITE").way == Hop(TCP, "192.0.2.9", 5062)


def test_contact_of_a_call_on_a_stream_names_it(desk: Any, peer: Any) -> None:
    desk.receive(stream_invite(peer, body=BIG), STREAM)
    desk.order("answer", desk.told(sip.IncomingCall)[0].call, BIG)
    assert desk.last("200 INVITE").message.headers.first("contact") == "<sip:fax@192.0.2.1:5060;transport=tcp>"


@pytest.mark.parametrize("contact", ["<sip:9@192.0.2.9>", "<sip:9@192.0.2.9:5099;transport=tcp>", "<sip:9@gw.example>"])
def test_requests_of_a_dialog_use_the_connection_it_came_by(desk: Any, peer: Any, contact: str) -> None:
    key = talk(desk, peer, contact=contact)
    desk.order("offer", key, BIG)
    assert desk.last("INVITE").way == STREAM
    assert desk.last("INVITE").message.headers.first("via").startswith("SIP/2.0/TCP 192.0.2.1:5060;")
    desk.wait_until(10)
    assert len(desk.times_of("INVITE")) == 1


@pytest.mark.parametrize(
    ("contact", "hop"),
    [
        ("<sip:9@192.0.2.9:5099;transport=tcp>", Hop(TCP, "192.0.2.9", 5099)),
        ("<sip:9@192.0.2.77;transport=udp>", Hop(UDP, "192.0.2.77", 5060)),
        ("<sips:9@192.0.2.77>", Hop(TLS, "192.0.2.77", 5061)),
        ("<sip:9@gw.example>", Hop(TCP, "192.0.2.9", 5060)),
    ],
)
def test_requests_of_a_dialog_whose_connection_is_gone_go_to_the_contact(
    desk: Any, peer: Any, contact: str, hop: Hop
) -> None:
    key = talk(desk, peer, contact=contact)
    desk.order("flow_lost", STREAM, "reset")
    desk.order("hang_up", key)
    assert desk.last("BYE").way == hop


def talk(desk: Any, peer: Any, **more: Any) -> int:
    """A call on the stream, answered and acknowledged."""
    desk.receive(stream_invite(peer, body=BIG, **more), STREAM)
    key = desk.told(sip.IncomingCall)[-1].call
    desk.order("answer", key, BIG)
    peer.our_tag = desk.last("200 INVITE").message.to.tag
    peer.target = desk.last("200 INVITE").message.contacts[0].uri.text
    desk.receive(peer.request("ACK", branch="z9hG4bK-ack-1", **more), STREAM)
    return int(key)


def test_tls_keeps_the_name_it_was_dialled_under(desk: Any, peer: Any) -> None:
    hop = Hop(TLS, "192.0.2.9", 5061, name="sip.example.org")
    key = desk.dial("sips:9@sip.example.org", targets=[hop])
    desk.receive(
        peer.response(desk.last("INVITE").message, 200, contact="<sips:9@192.0.2.9>"), Flow(TLS, PEER, HERE, 2)
    )
    assert desk.last("ACK").way == hop
    desk.order("hang_up", key)
    assert desk.last("BYE").way == hop


def test_stream_that_speaks_something_else_is_closed(desk: Any) -> None:
    desk.receive(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", STREAM)
    desk.receive(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", PEER)
    assert desk.closed == [STREAM]


# --- connections that fail ---------------------------------------------------------------------------


def test_invite_that_cannot_be_sent_fails_at_once(desk: Any) -> None:
    (hop,) = hops(TCP)
    desk.dial(targets=[hop])
    desk.order("unreachable", hop, "connection refused")
    (refused,) = desk.told(sip.Refused)
    assert (refused.status, refused.reason, refused.heard) == (503, "connection refused", False)
    assert desk.told(sip.Released)
    assert desk.agent.is_empty


def test_unanswered_invite_fails_with_its_connection(desk: Any) -> None:
    (hop,) = hops(TCP)
    desk.dial(targets=[hop])
    desk.order("flow_lost", Flow(TCP, hop.address, HERE, 3), "reset")
    assert desk.told(sip.Refused)[0].status == 503


def test_ringing_outlives_its_connection(desk: Any, peer: Any) -> None:
    (hop,) = hops(TCP)
    desk.dial(targets=[hop])
    flow = Flow(TCP, hop.address, HERE, 3)
    desk.receive(peer.response(desk.last("INVITE").message, 180), flow)
    desk.order("flow_lost", flow, "reset")
    assert not desk.told(sip.Refused)
    desk.receive(peer.response(desk.last("INVITE").message, 200), STREAM)
    assert desk.told(sip.Answered)


def test_offer_that_cannot_be_sent_leaves_the_session(desk: Any, peer: Any) -> None:
    key = talk(desk, peer)
    desk.order("offer", key, BIG)
    desk.order("flow_lost", STREAM, "reset")
    assert desk.told(sip.OfferRefused) == [sip.OfferRefused(key, 503, "reset")]
    assert not desk.told(sip.DialogLost)


def test_bye_that_cannot_be_sent_releases_the_call(desk: Any, peer: Any) -> None:
    key = talk(desk, peer)
    desk.order("hang_up", key)
    desk.order("unreachable", STREAM, "gone")
    assert desk.told(sip.Released)
    desk.drain()
    assert desk.agent.is_empty


# --- the next target ---------------------------------------------------------------------------------


def fail_transport(desk: Any, peer: Any) -> None:
    desk.order("unreachable", invites(desk)[-1].way, "refused")


def fail_503(desk: Any, peer: Any) -> None:
    desk.receive(peer.response(desk.last("INVITE").message, 100))
    desk.receive(peer.response(desk.last("INVITE").message, 503))


def fail_silence(desk: Any, peer: Any) -> None:
    desk.wait_until(desk.now + 6.0)


FAILURES: Final[list[Callable[[Any, Any], None]]] = [fail_transport, fail_503, fail_silence]


@pytest.mark.parametrize("fail", FAILURES)
def test_next_target_gets_a_new_transaction_of_the_same_call(desk: Any, peer: Any, fail: Any) -> None:
    key = desk.dial(targets=hops(UDP, TCP))
    first = desk.last("INVITE").message
    fail(desk, peer)
    sent = desk.last("INVITE")
    second = sent.message
    assert sent.way == hops(UDP, TCP)[1]
    assert second.via.branch != first.via.branch
    assert second.headers.first("via").startswith("SIP/2.0/TCP")
    assert second.contacts[0].uri.text == "sip:100@192.0.2.1:5060;transport=tcp"
    assert (second.call_id, second.from_.tag, second.cseq.number) == (first.call_id, first.from_.tag, 2)
    assert second.body == first.body
    assert not desk.events
    desk.receive(peer.response(second, 200, contact="<sip:9@192.0.2.10>"))
    assert desk.told(sip.Answered)
    desk.order("hang_up", key)
    assert desk.last("BYE").message.cseq.number == 3
    assert desk.last("BYE").way.address == ("192.0.2.10", 5060)


@pytest.mark.parametrize("fail", FAILURES)
def test_last_target_s_failure_is_the_call_s(desk: Any, peer: Any, fail: Any) -> None:
    desk.dial(targets=hops(UDP, UDP))
    fail(desk, peer)
    assert not desk.told(sip.Refused)
    fail(desk, peer)
    desk.drain()
    assert len(desk.told(sip.Refused)) == len(desk.told(sip.Released)) == 1
    assert desk.agent.is_empty


def test_busy_is_not_tried_elsewhere(desk: Any, peer: Any) -> None:
    desk.dial(targets=hops(UDP, UDP))
    desk.receive(peer.response(desk.last("INVITE").message, 486))
    assert desk.told(sip.Refused)[0].status == 486
    assert len(invites(desk)) == 1


def test_target_that_rings_is_not_left_for_its_silence(desk: Any, peer: Any) -> None:
    desk.dial(targets=hops(UDP, UDP))
    desk.receive(peer.response(desk.last("INVITE").message, 180))
    desk.wait_until(60)
    assert len({sent.way for sent in invites(desk)}) == 1


def test_target_left_for_its_silence_is_cancelled_when_it_rings_after_all(desk: Any, peer: Any) -> None:
    desk.dial(targets=hops(UDP, UDP))
    slow = desk.last("INVITE").message
    desk.wait_until(6)
    desk.receive(peer.response(slow, 180))
    desk.receive(peer.response(slow, 180))
    assert len(desk.times_of("CANCEL")) == 1
    assert desk.last("CANCEL").way == hops(UDP)[0]
    assert desk.last("CANCEL").message.via.branch == slow.via.branch
    desk.receive(peer.response(slow, 487))
    assert not desk.told(sip.Refused)


def test_target_left_for_its_silence_that_answers_hears_bye(desk: Any, peer: Any) -> None:
    desk.dial(targets=hops(UDP, UDP))
    slow = desk.last("INVITE").message
    desk.wait_until(6)
    desk.receive(peer.response(slow, 200, tag="slow"))
    assert not desk.told(sip.Answered)
    assert (desk.last("ACK").message.to.tag, desk.last("BYE").message.to.tag) == ("slow", "slow")
    desk.receive(peer.response(desk.last("INVITE").message, 200, tag="next"))
    assert len(desk.told(sip.Answered)) == 1


@pytest.mark.parametrize("fail", FAILURES)
def test_call_given_up_is_not_tried_elsewhere(desk: Any, peer: Any, fail: Any) -> None:
    key = desk.dial(targets=hops(UDP, UDP))
    desk.order("hang_up", key)
    fail(desk, peer)
    desk.drain()
    assert {sent.way for sent in invites(desk)} == {hops(UDP)[0]}
    assert desk.told(sip.Released)
    assert desk.agent.is_empty


def test_cancel_of_a_second_try_leaves_after_its_own_provisional_answer(desk: Any, peer: Any) -> None:
    key = desk.dial(targets=hops(UDP, UDP))
    fail_503(desk, peer)
    desk.order("hang_up", key)
    assert desk.times_of("CANCEL") == []
    desk.receive(peer.response(desk.last("INVITE").message, 100))
    assert desk.last("CANCEL").way == hops(UDP, UDP)[1]


# --- RFC 3261 18.1.1 ---------------------------------------------------------------------------------


def test_long_request_goes_over_tcp(desk: Any) -> None:
    desk.dial(sdp=BIG, targets=[Hop(UDP, *PEER, fixed=False)])
    sent = desk.last("INVITE")
    assert sent.way == Hop(TCP, *PEER)
    assert sent.message.headers.first("via").startswith("SIP/2.0/TCP")
    assert sent.message.contacts[0].uri.parameters.get("transport") == "tcp"


@pytest.mark.parametrize(
    ("body", "fixed", "tcp"), [(b"v=0\r\n", False, True), (BIG, True, True), (BIG, False, False)], ids=str
)
def test_what_stays_on_udp(make_desk: Any, body: bytes, fixed: bool, tcp: bool) -> None:
    desk = make_desk(contact=LOCAL if tcp else HERE)
    desk.dial(sdp=body, targets=[Hop(UDP, *PEER, fixed=fixed)])
    assert desk.last("INVITE").way.transport is UDP


def test_long_request_falls_back_to_udp_where_tcp_is_refused_and_that_is_remembered(desk: Any, peer: Any) -> None:
    hop = Hop(UDP, *PEER, fixed=False)
    desk.dial(sdp=BIG, targets=[hop])
    desk.order("unreachable", Hop(TCP, *PEER), "connection refused")
    assert desk.last("INVITE").way == hop
    assert desk.last("INVITE").message.headers.first("via").startswith("SIP/2.0/UDP")
    assert "transport" not in desk.last("INVITE").message.contacts[0].uri.parameters
    desk.receive(peer.response(desk.last("INVITE").message, 486))
    desk.dial(sdp=BIG, targets=[hop])
    assert desk.last("INVITE").way == hop


# --- requests outside calls --------------------------------------------------------------------------


def test_options_is_answered_to_its_asker(desk: Any, peer: Any) -> None:
    key = desk.order("request", Asking(method="OPTIONS", uri="sip:192.0.2.9", targets=hops(UDP), contact=None))
    sent = desk.last("OPTIONS").message
    assert sent.headers.first("contact") is None
    desk.receive(peer.response(sent, 200))
    (done,) = desk.told(sip.RequestDone)
    assert (done.request, done.status, done.cseq) == (key, 200, 1)
    assert done.response.cseq.method == "OPTIONS"
    assert done.by.remote == PEER
    desk.drain()
    assert desk.agent.is_empty


def test_register_goes_on_where_it_left_off(desk: Any) -> None:
    asking = Asking(
        method="REGISTER",
        uri="sip:example.org",
        targets=hops(TCP),
        to="sip:100@example.org",
        from_user="100@example.org",
        contact=";expires=600",
        call_id="reg",
        from_tag="t",
        cseq=7,
    )
    desk.order("request", asking)
    sent = desk.last("REGISTER").message
    assert sent.headers.first("contact") == "<sip:100@192.0.2.1:5060;transport=tcp>;expires=600"
    assert (sent.call_id, sent.from_.tag, sent.cseq.number) == ("reg", "t", 7)
    assert (sent.to.uri.text, sent.from_.uri.text) == ("sip:100@example.org", "sip:100@example.org")


def test_register_tries_the_next_target_and_tells_the_last_failure(desk: Any) -> None:
    key = desk.order("request", Asking(method="REGISTER", uri="sip:example.org", targets=hops(TCP, UDP)))
    desk.order("unreachable", hops(TCP)[0], "refused")
    assert desk.last("REGISTER").way == hops(TCP, UDP)[1]
    desk.drain()
    (done,) = desk.told(sip.RequestDone)
    assert (done.request, done.status, done.cseq, done.response) == (key, 408, 2, None)
    assert desk.agent.is_empty


def test_other_methods_are_not_sent_outside_calls(desk: Any) -> None:
    for asking in (
        Asking(method="INVITE", uri="sip:h", targets=hops(UDP)),
        Asking(method="OPTIONS", uri="sip:h", targets=()),
        Asking(method="OPTIONS", uri="tel:1", targets=hops(UDP)),
    ):
        with pytest.raises(MisuseError):
            desk.order("request", asking)
    assert desk.agent.is_empty
