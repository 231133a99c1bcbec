"""Calls that come in: what the caller hears and what the owner is told."""

from typing import Any

import pytest

from vfax.errors import MisuseError
from vfax.transports.sip import values as sip
from vfax.transports.sip.message import parse_datagram
from vfax.transports.sip.options import SipOptions
from vfax.transports.sip.policy import DialogPolicy, Reliable, SessionTimers
from vfax.transports.sip.reason import Reason


def words(sent: list[Any]) -> list[str]:
    return [one.word for one in sent]


def kinds(desk: Any) -> list[str]:
    return [type(event).__name__ for event in desk.events]


def test_invite_gets_100_at_once_and_the_owner_hears_of_it(desk: Any, peer: Any, sdp: bytes) -> None:
    fields = ["P-Asserted-Identity: <sip:+4930@trunk>", "User-Agent: Gate\x07way"]
    assert words(desk.receive(peer.request("INVITE", body=sdp, fields=fields))) == ["100 INVITE"]
    assert desk.events == [
        sip.IncomingCall(
            flow=sip.Flow(sip.Transport.UDP, ("192.0.2.9", 5060), ("192.0.2.1", 5060)),
            call=1,
            source=("192.0.2.9", 5060),
            request_uri="sip:fax@192.0.2.1",
            dialled="fax",
            caller="+4930",
            caller_name="",
            call_id="call-1",
            offer=sdp,
            user_agent="Gate way",
            identities=(
                ("from", "<sip:9@example.org>;tag=theirs"),
                ("to", "<sip:fax@example.com>"),
                ("p-asserted-identity", "<sip:+4930@trunk>"),
            ),
        )
    ]


def test_call_is_answered_acknowledged_and_hung_up_by_the_caller(desk: Any, peer: Any, answered: Any) -> None:
    answered()
    assert desk.told(sip.Confirmed) == [sip.Confirmed(1, b"")]
    assert words(desk.receive(peer.request("BYE", cseq=2, fields=["Reason: Q.850;cause=16"]))) == ["200 BYE"]
    cleared = sip.HungUp(1, "Q.850 cause 16, normal call clearing", (Reason("Q.850", 16),))
    assert desk.events[-2:] == [cleared, sip.Released(1)]
    desk.drain()
    assert desk.agent.is_empty


def test_200_makes_a_dialog(desk: Any, incoming: Any, sdp: bytes) -> None:
    call = incoming(fields=["Record-Route: <sip:192.0.2.33;lr>"])
    desk.order("answer", call, sdp)
    ok = desk.last("200 INVITE").message
    assert ok.to.tag
    assert ok.contacts[0].uri.text == "sip:fax@192.0.2.1:5060"
    assert ok.record_routes == ["<sip:192.0.2.33;lr>"]
    assert ok.headers.first("allow")
    assert ok.headers.first("server") == "vfax"
    assert (ok.content_type.name, ok.body) == ("application/sdp", sdp)


def test_200_is_repeated_until_32_seconds_and_then_comes_bye(desk: Any, incoming: Any, sdp: bytes) -> None:
    desk.order("answer", incoming(), sdp)
    desk.wait_until(32)
    assert desk.times_of("200 INVITE") == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert desk.times_of("BYE") == [32]
    assert kinds(desk)[1:] == ["DialogLost"]
    desk.drain()
    assert kinds(desk)[1:] == ["DialogLost", "Released"]
    assert desk.agent.is_empty


def test_200_is_not_repeated_after_its_ack(desk: Any, answered: Any) -> None:
    answered()
    desk.wait_until(100)
    assert desk.times_of("200 INVITE") == [0]


def test_invite_repeated_after_our_200_is_absorbed(desk: Any, peer: Any, incoming: Any, sdp: bytes) -> None:
    desk.order("answer", incoming(), sdp)
    assert desk.receive(peer.request("INVITE", body=sdp)) == []
    assert len(desk.told(sip.IncomingCall)) == 1


def test_invite_repeated_while_ringing_gets_the_last_provisional_answer(
    desk: Any, peer: Any, incoming: Any, sdp: bytes
) -> None:
    desk.order("ring", incoming())
    first = desk.last("180 INVITE")
    (again,) = desk.receive(peer.request("INVITE", body=sdp))
    assert again.message.encode() == first.message.encode()
    assert len(desk.told(sip.IncomingCall)) == 1


def test_ringing_is_said_again_every_minute(desk: Any, incoming: Any) -> None:
    desk.order("ring", incoming())
    desk.wait_until(179)
    assert desk.times_of("180 INVITE") == [0, 60, 120]


def test_call_nobody_answers_gets_480(desk: Any, incoming: Any) -> None:
    desk.order("ring", incoming())
    desk.wait_until(180)
    assert desk.times_of("480 INVITE") == [180]
    assert isinstance(desk.events[-1], sip.Cancelled)
    desk.drain()
    assert kinds(desk)[1:] == ["Cancelled", "Released"]


def test_same_bye_again_gets_200_again(desk: Any, peer: Any, answered: Any) -> None:
    answered()
    bye = peer.request("BYE", cseq=2)
    desk.receive(bye)
    desk.wait_until(20)
    assert words(desk.receive(bye)) == ["200 BYE"]
    assert len(desk.told(sip.HungUp)) == 1


def test_486_is_repeated_until_its_ack(desk: Any, peer: Any, incoming: Any) -> None:
    call = incoming()
    desk.order("refuse", call, 486)
    desk.wait_until(5)
    assert desk.times_of("486 INVITE") == [0, 0.5, 1.5, 3.5]
    tag = desk.last("486 INVITE").message.to.tag
    desk.receive(peer.request("ACK", branch="z9hG4bK-INVITE-1", to_tag=tag))
    assert desk.events[-1] == sip.Released(call)
    desk.drain()
    assert len(desk.times_of("486 INVITE")) == 4
    assert desk.agent.is_empty


def test_refusal_nobody_acknowledges_is_released_after_timer_h(desk: Any, incoming: Any) -> None:
    desk.order("refuse", incoming(), 486)
    desk.wait_until(31.9)
    assert not desk.told(sip.Released)
    desk.wait_until(32)
    assert desk.told(sip.Released)


def test_cancel_ends_a_ringing_call(desk: Any, peer: Any, incoming: Any) -> None:
    call = incoming()
    desk.order("ring", call)
    cancel = peer.request("CANCEL", branch="z9hG4bK-INVITE-1", fields=["Reason: SIP;cause=200"])
    assert words(desk.receive(cancel)) == ["200 CANCEL", "487 INVITE"]
    assert desk.events[-1] == sip.Cancelled(call, "SIP cause 200", (Reason("SIP", 200),))
    tags = {desk.last(word).message.to.tag for word in ("180 INVITE", "200 CANCEL", "487 INVITE")}
    assert len(tags) == 1
    desk.order("answer", call, b"too late")  # harmless
    desk.receive(peer.request("ACK", branch="z9hG4bK-INVITE-1", to_tag=tags.pop()))
    assert desk.events[-1] == sip.Released(call)


def test_cancel_after_the_answer_changes_nothing(desk: Any, peer: Any, answered: Any) -> None:
    answered()
    assert words(desk.receive(peer.request("CANCEL", branch="z9hG4bK-INVITE-1", to_tag=""))) == ["200 CANCEL"]
    assert not desk.told(sip.Cancelled)


def test_cancel_of_another_invite_leaves_the_ringing_call_alone(
    desk: Any, peer: Any, incoming: Any, sdp: bytes
) -> None:
    desk.order("ring", incoming())
    peer.our_tag = desk.last("180 INVITE").message.to.tag
    assert words(desk.receive(peer.request("INVITE", cseq=2, body=sdp))) == ["500 INVITE"]
    assert words(desk.receive(peer.request("CANCEL", cseq=2, branch="z9hG4bK-INVITE-2"))) == ["200 CANCEL"]
    assert not desk.told(sip.Cancelled)


def test_cancel_of_nothing_is_481(desk: Any, peer: Any) -> None:
    assert words(desk.receive(peer.request("CANCEL"))) == ["481 CANCEL"]


def test_bye_before_the_answer_is_as_good_as_cancel(desk: Any, peer: Any, incoming: Any) -> None:
    call = incoming()
    desk.order("ring", call)
    peer.our_tag = desk.last("180 INVITE").message.to.tag
    assert words(desk.receive(peer.request("BYE", cseq=2))) == ["200 BYE", "487 INVITE"]
    assert kinds(desk)[1:] == ["Cancelled"]


def test_hang_up_before_the_answer_is_603(desk: Any, incoming: Any) -> None:
    desk.order("hang_up", incoming())
    assert desk.sent[-1].word == "603 INVITE"


def test_hang_up_before_the_ack_waits_for_it(desk: Any, peer: Any, incoming: Any, sdp: bytes) -> None:
    call = incoming()
    desk.order("answer", call, sdp)
    desk.order("hang_up", call, reason="enough")
    assert desk.times_of("BYE") == []
    peer.our_tag = desk.last("200 INVITE").message.to.tag
    desk.now = 1.0
    (bye,) = desk.receive(peer.request("ACK", branch="z9hG4bK-a"))
    assert bye.message.headers.first("reason") == 'SIP;cause=200;text="enough"'
    assert not desk.told(sip.Confirmed)


def test_hang_up_before_an_ack_that_never_comes_ends_with_bye(desk: Any, incoming: Any, sdp: bytes) -> None:
    call = incoming()
    desk.order("answer", call, sdp)
    desk.order("hang_up", call)
    desk.drain()
    assert desk.times_of("BYE")[0] == 32
    assert kinds(desk)[1:] == ["Released"]


def test_our_bye_goes_to_the_contact_and_its_answer_releases(desk: Any, peer: Any, answered: Any) -> None:
    call = answered(contact="<sip:9@192.0.2.44:5077>")
    desk.order("hang_up", call)
    bye = desk.last("BYE")
    assert (bye.message.uri, bye.to) == ("sip:9@192.0.2.44:5077", ("192.0.2.44", 5077))
    desk.receive(peer.response(bye.message, 200))
    assert desk.events[-1] == sip.Released(call)


def test_bye_without_answer_is_given_up_after_timer_f(desk: Any, answered: Any) -> None:
    desk.order("hang_up", answered())
    desk.drain()
    assert desk.times_of("BYE") == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert desk.told(sip.Released)
    assert desk.agent.is_empty


def test_both_sides_hang_up_at_once(desk: Any, peer: Any, answered: Any) -> None:
    call = answered()
    desk.order("hang_up", call)
    assert words(desk.receive(peer.request("BYE", cseq=2))) == ["200 BYE"]
    assert not desk.told(sip.HungUp) + desk.told(sip.Released)
    desk.receive(peer.response(desk.last("BYE").message, 481))
    assert desk.told(sip.Released) == [sip.Released(call)]


def test_late_offer_brings_its_answer_in_the_ack(desk: Any, peer: Any, incoming: Any, sdp: bytes) -> None:
    call = incoming(body=b"")
    assert desk.told(sip.IncomingCall)[0].offer == b""
    desk.order("answer", call, b"v=0 ours")
    peer.our_tag = desk.last("200 INVITE").message.to.tag
    desk.receive(peer.request("ACK", branch="z9hG4bK-a", body=sdp))
    assert desk.told(sip.Confirmed) == [sip.Confirmed(call, sdp)]


def test_ack_with_the_branch_of_the_invite_is_taken(desk: Any, peer: Any, incoming: Any, sdp: bytes) -> None:
    desk.order("answer", incoming(), sdp)
    peer.our_tag = desk.last("200 INVITE").message.to.tag
    desk.receive(peer.request("ACK", branch="z9hG4bK-INVITE-1"))
    assert desk.told(sip.Confirmed)


# --- what is refused without the owner ---------------------------------------------------------------


def test_merged_invite_is_482(desk: Any, peer: Any, incoming: Any, sdp: bytes) -> None:
    incoming()
    assert words(desk.receive(peer.request("INVITE", branch="z9hG4bK-other", body=sdp))) == ["482 INVITE"]


@pytest.mark.parametrize(
    ("fields", "status", "header", "value"),
    [
        (["Require: gruu"], 420, "unsupported", "gruu"),
        (["Require: a, 100rel, b", "Require: c, Timer"], 420, "unsupported", "a, b, c"),
        (["Session-Expires: 89", "Supported: timer"], 422, "min-se", "90"),
        (["Accept: text/plain"], 406, "warning", '399 vfax "only application/sdp can be answered"'),
        (["Content-Encoding: gzip"], 415, "accept", "application/sdp"),
        (['Accept: "'], 400, "server", "vfax"),
        (['Require: "'], 400, "server", "vfax"),
    ],
)
def test_invite_we_cannot_serve(
    fields: list[str], status: int, header: str, value: str, desk: Any, peer: Any, sdp: bytes
) -> None:
    invite = peer.request("INVITE", body=sdp, fields=fields)
    (first,) = desk.receive(invite)
    assert (first.message.status, first.message.headers.first(header)) == (status, value)
    (again,) = desk.receive(invite)
    assert again.message.encode() == first.message.encode()  # tag included
    assert desk.agent.is_empty


def test_body_without_content_type_is_400(desk: Any, peer: Any) -> None:
    data = peer.request("INVITE", body=b"v=0").replace(b"Content-Type: application/sdp\r\n", b"")
    assert words(desk.receive(data)) == ["400 INVITE"]


@pytest.mark.parametrize(
    ("method", "status"),
    [
        ("REGISTER", 405),
        ("INFO", 405),
        ("REFER", 405),
        ("SUBSCRIBE", 405),
        ("NOTIFY", 405),
        ("MESSAGE", 405),
        ("PUBLISH", 405),
        ("DANCE", 501),
    ],
)
@pytest.mark.parametrize("inside", [False, True])
def test_methods_we_do_not_serve(method: str, status: int, inside: bool, desk: Any, peer: Any, answered: Any) -> None:
    if inside and method != "INFO":
        answered()
    (sent,) = desk.receive(peer.request(method, cseq=5))
    assert sent.message.status == status
    assert sent.message.headers.first("allow") == "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, PRACK"


@pytest.mark.parametrize("option", ["session_timer", "reliable"])
def test_extension_that_is_switched_off_is_refused(option: str, make_desk: Any, peer: Any, sdp: bytes) -> None:
    desk = make_desk(dialogs=DialogPolicy(session_timer=SessionTimers.OFF, reliable=Reliable.OFF))
    tag = {"session_timer": "timer", "reliable": "100rel"}[option]
    (sent,) = desk.receive(peer.request("INVITE", body=sdp, fields=[f"Require: {tag}"]))
    assert (sent.word, sent.message.headers.first("unsupported")) == ("420 INVITE", tag)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/dtmf-relay", 200),
        ("application/dtmf; x=y", 200),
        ("", 200),
        ("application/media_control+xml", 415),
        ("text/plain", 415),
    ],
)
def test_keys_in_info_are_heard_and_do_nothing(kind: str, status: int, desk: Any, peer: Any, answered: Any) -> None:
    answered()
    info = peer.request("INFO", cseq=2, body=b"Signal=5" if kind else b"")
    (sent,) = desk.receive(info.replace(b"application/sdp", kind.encode()))
    assert sent.word == f"{status} INFO"
    assert (sent.message.headers.first("accept") is not None) == (status == 415)
    assert desk.agent.calls == 1
    assert desk.told(sip.HungUp) == []


def test_request_of_ours_that_comes_back_as_it_was_is_482(desk: Any, peer: Any, sdp: bytes) -> None:
    desk.dial("sip:9@192.0.2.1")
    ours = desk.last("INVITE").message
    way = f"Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK-proxy\r\nVia: {ours.headers.first('via')}"
    came = peer.request("INVITE", body=sdp, via=way, uri="sip:9@192.0.2.1")
    assert words(desk.receive(came)) == ["482 INVITE"]
    elsewhere = peer.request("INVITE", body=sdp, via=way.replace("proxy", "2"), uri="sip:fax@192.0.2.1", cseq=2)
    assert words(desk.receive(elsewhere)) == ["100 INVITE"]  # a call to ourselves


@pytest.mark.parametrize("method", ["BYE", "UPDATE", "INVITE", "OPTIONS", "INFO", "PRACK"])
def test_request_inside_a_dialog_we_do_not_have_is_481(method: str, desk: Any, peer: Any) -> None:
    assert words(desk.receive(peer.request(method, to_tag="gone"))) == [f"481 {method}"]


@pytest.mark.parametrize("method", ["BYE", "UPDATE", "PRACK"])
def test_request_that_needs_a_dialog_is_481_without_one(method: str, desk: Any, peer: Any) -> None:
    assert words(desk.receive(peer.request(method))) == [f"481 {method}"]


def test_stray_ack_and_response_are_dropped(desk: Any, peer: Any) -> None:
    invite = parse_datagram(peer.request("INVITE"), SipOptions())
    assert desk.receive(peer.request("ACK")) == []
    assert desk.receive(peer.response(invite, 200)) == []
    assert len(desk.told(sip.DatagramDropped)) == 2


@pytest.mark.parametrize("data", [b"", b"\r\n\r\n", b"\0\0", b"\r\n"])
def test_keep_alives_are_nothing(data: bytes, desk: Any) -> None:
    assert desk.receive(data) == []
    assert desk.events == []


def test_malformed_ack_is_never_answered(desk: Any, peer: Any) -> None:
    assert desk.receive(peer.request("ACK").replace(b"CSeq: 1", b"CSeq: x")) == []


def test_options_says_what_we_can(make_desk: Any, peer: Any) -> None:
    desk = make_desk(options_sdp=b"v=0\r\n")
    (sent,) = desk.receive(peer.request("OPTIONS"))
    headers = sent.message.headers
    assert sent.message.status == 200
    assert headers.first("accept") == "application/sdp"
    assert headers.first("supported") == "100rel, timer"
    assert headers.first("allow")
    assert sent.message.body == b"v=0\r\n"
    (without,) = desk.receive(peer.request("OPTIONS", fields=["Accept: text/plain"]))
    assert without.message.body == b""
    assert desk.agent.is_empty


def test_calls_above_the_limit_get_503_with_retry_after(make_desk: Any, peer: Any, sdp: bytes) -> None:
    desk = make_desk(max_calls=2, retry_after=7)
    for number in range(3):
        peer.call_id = f"call-{number}"
        sent = desk.receive(peer.request("INVITE", branch=f"z9hG4bK{number}", body=sdp))
    assert words(sent) == ["503 INVITE"]
    assert sent[0].message.retry_after == 7
    assert len(desk.told(sip.IncomingCall)) == 2


def test_calls_of_one_host_are_limited_and_counted_down(make_desk: Any, peer: Any, sdp: bytes) -> None:
    desk = make_desk(max_calls_per_source=1)

    def call(number: int, host: str) -> list[str]:
        peer.call_id = f"call-{number}"
        return words(desk.receive(peer.request("INVITE", branch=f"z9hG4bK{number}", body=sdp), (host, 5060)))

    assert call(1, "192.0.2.9") == ["100 INVITE"]
    assert call(2, "192.0.2.9") == ["503 INVITE"]
    assert call(3, "192.0.2.10") == ["100 INVITE"]
    desk.order("refuse", 1, 486)
    desk.wait_until(40)
    assert call(4, "192.0.2.9") == ["100 INVITE"]


def test_full_transaction_table_refuses_but_still_hangs_up(make_desk: Any, peer: Any, sdp: bytes) -> None:
    desk = make_desk(max_transactions=1)
    desk.receive(peer.request("INVITE", body=sdp))
    desk.order("answer", 1, sdp)
    peer.our_tag = desk.last("200 INVITE").message.to.tag
    assert words(desk.receive(peer.request("UPDATE", cseq=2))) == ["503 UPDATE"]
    assert words(desk.receive(peer.request("BYE", cseq=3))) == ["200 BYE"]
    peer.our_tag, peer.call_id = "", "call-2"
    assert words(desk.receive(peer.request("INVITE", branch="z9hG4bK2", body=sdp))) == ["503 INVITE"]


# --- where answers go --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("via", "to"),
    [
        ("SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa", ("203.0.113.5", 5060)),
        ("SIP/2.0/UDP 10.0.0.1:5080;branch=z9hG4bKa", ("203.0.113.5", 5080)),
        ("SIP/2.0/UDP 10.0.0.1:5080;rport;branch=z9hG4bKa", ("203.0.113.5", 40000)),
        ("SIP/2.0/UDP 10.0.0.1;maddr=198.51.100.7;received=198.51.100.8;branch=z9hG4bKa", ("203.0.113.5", 5060)),
        ("SIP/2.0/UDP 10.0.0.1;rport=7;branch=z9hG4bKa", ("203.0.113.5", 40000)),
    ],
)
def test_answers_go_back_to_the_sender_only(via: str, to: tuple[str, int], desk: Any, peer: Any) -> None:
    (sent,) = desk.receive(peer.request("OPTIONS", via=f"Via: {via}"), ("203.0.113.5", 40000))
    assert sent.to == to
    assert sent.message.via.received == "203.0.113.5"


def test_symmetric_option_answers_to_the_source_port(make_desk: Any, peer: Any) -> None:
    desk = make_desk(symmetric=True)
    assert desk.receive(peer.request("OPTIONS"), ("203.0.113.5", 40000))[0].to == ("203.0.113.5", 40000)


def test_all_vias_come_back_in_order(desk: Any, peer: Any) -> None:
    via = "Via: SIP/2.0/UDP a;branch=z9hG4bK1, SIP/2.0/TCP b;branch=%66\r\nv: SIP/2.0/TLS c;branch=3"
    (sent,) = desk.receive(peer.request("OPTIONS", via=via))
    assert [(one.host, one.branch) for one in sent.message.vias] == [("a", "z9hG4bK1"), ("b", "%66"), ("c", "3")]


# --- the owner's mistakes ----------------------------------------------------------------------------


def assert_misuse(desk: Any, *orders: tuple[Any, ...]) -> None:
    for name, *args in orders:
        with pytest.raises(MisuseError):
            desk.order(name, *args)


def test_orders_that_make_no_sense_are_misuse(desk: Any, incoming: Any, sdp: bytes) -> None:
    assert_misuse(desk, ("answer", 1, sdp), ("hang_up", 1), ("offer", 0, sdp))
    call = incoming()
    assert_misuse(desk, ("offer", call, sdp), ("accept_offer", call, sdp), ("refuse", call, 200))
    desk.order("answer", call, sdp)
    assert_misuse(desk, ("answer", call, sdp), ("ring", call), ("refuse", call, 486), ("accept_offer", call, sdp))


def test_orders_about_a_released_call_do_nothing(desk: Any, peer: Any, answered: Any, sdp: bytes) -> None:
    call = answered()
    desk.receive(peer.request("BYE", cseq=2))
    before = len(desk.sent)
    for name, args in [("hang_up", ()), ("offer", (sdp,)), ("accept_offer", (sdp,)), ("answer", (sdp,)), ("ring", ())]:
        desk.order(name, call, *args)
    assert len(desk.sent) == before


def test_reason_given_by_the_owner_cannot_break_the_line(desk: Any, incoming: Any) -> None:
    desk.order("refuse", incoming(), 486, reason="busy\r\nX-Evil: 1\ud800")
    assert desk.last("486 INVITE").message.reason == "busy X-Evil: 1?"
    assert "x-evil" not in desk.last("486 INVITE").message.headers


def test_every_message_is_seen_with_its_call(desk: Any, peer: Any, answered: Any) -> None:
    answered()
    desk.receive(peer.request("BYE", cseq=2))
    assert [(seen.call, seen.sent, seen.summary) for seen in desk.seen] == [
        (1, False, "INVITE sip:fax@192.0.2.1 (offer: image)"),
        (1, True, "100 Trying to INVITE"),
        (1, True, "200 OK to INVITE (sdp: image)"),
        (1, False, "ACK sip:fax@192.0.2.1:5060"),
        (1, False, "BYE sip:fax@192.0.2.1:5060"),
        (1, True, "200 OK to BYE"),
    ]


def test_what_a_caller_calls_itself_stays_on_one_line(desk: Any, peer: Any, sdp: bytes) -> None:
    data = peer.request("INVITE", uri="sip:9%0d%0aX%00@192.0.2.1", body=sdp)
    desk.receive(data.replace(b"From: <sip:9@", 'From: "a\x85b" <sip:1%0a2@'.encode()))
    (call,) = desk.told(sip.IncomingCall)
    assert (call.dialled, call.caller, call.caller_name) == ("9 X ", "1 2", "a b")


@pytest.mark.parametrize("contact", ["<sip:a\u00a0\u2028\x85b@192.0.2.9>", "<sip:\udcff@192.0.2.9>", "<sip:%00@[::]>"])
def test_odd_contact_cannot_stop_our_bye(contact: str, desk: Any, peer: Any, answered: Any) -> None:
    data = peer.request("INVITE", body=b"v=0", contact="@@")
    desk.receive(data.replace(b"@@", contact.encode("utf-8", "surrogateescape")))
    desk.order("answer", 1, b"v=0")
    peer.our_tag = desk.last("200 INVITE").message.to.tag
    desk.receive(peer.request("ACK", branch="z9hG4bKa"))
    desk.order("hang_up", 1)
    assert desk.last("BYE").message.uri == contact[1:-1]
