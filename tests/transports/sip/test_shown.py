"""What answers tell: how others see us, which targets are there, which are not."""

from typing import Any, Final

import pytest

from vfax.transports.sip.errands import pause_in
from vfax.transports.sip.headers import NameAddr
from vfax.transports.sip.hops import Local, Place
from vfax.transports.sip.message import Headers, Response
from vfax.transports.sip.outside import Asking
from vfax.transports.sip.shown import MAX_HOSTS, Shown, Told, seen_in
from vfax.transports.sip.values import Address, Flow, Hop, Reflected, TargetAnswered, TargetFailed, Transport

HERE: Final[Address] = ("192.0.2.1", 5060)
PEER: Final[Address] = ("192.0.2.9", 5060)
NAT: Final[Address] = ("203.0.113.5", 40_000)
UDP, TCP = Transport.UDP, Transport.TCP
FIRST, SECOND = Hop(UDP, *PEER), Hop(UDP, "192.0.2.10", 5060)


def seen(response: bytes, *, host: str = NAT[0], port: int | str | None = NAT[1]) -> bytes:
    """The response of a server that says where it saw the request come from."""
    shown = f";rport={port}" if port is not None else ""
    return response.replace(b";rport\r\n", f"{shown};received={host}\r\n".encode(), 1)


def contact(sent: Any) -> str:
    uri = NameAddr.parse(sent.message.headers.first("contact")).uri
    return f"{uri.host}:{uri.port}"


def options(desk: Any, *targets: Hop) -> Any:
    desk.order("request", Asking(method="OPTIONS", uri="sip:192.0.2.9", targets=targets or (FIRST,)))
    return desk.last("OPTIONS")


def reports(desk: Any) -> list[Any]:
    return list(desk.agent.take_reports())


# --- our address ---------------------------------------------------------------------------------


def test_what_a_host_sees_of_us_stands_in_the_contact_of_the_next_call(desk: Any, peer: Any) -> None:
    desk.dial()
    first = desk.last("INVITE")
    assert contact(first) == "192.0.2.1:5060"
    desk.receive(seen(peer.response(first.message, 486)))
    assert Reflected(Flow(UDP, PEER, HERE), NAT) in reports(desk)
    desk.dial()
    second = desk.last("INVITE")
    assert contact(second) == "203.0.113.5:40000"
    assert second.message.via.sent_by == HERE  # so that answers go on telling


def test_a_dialog_keeps_the_contact_it_began_with(desk: Any, peer: Any) -> None:
    key = desk.dial()
    first = desk.last("INVITE")
    desk.receive(seen(peer.response(first.message, 200, body=b"v=0\r\n")))
    desk.order("offer", key, b"v=0\r\n")
    assert contact(desk.last("INVITE")) == contact(first)


def test_only_the_host_itself_is_told_what_it_sees(desk: Any, peer: Any) -> None:
    desk.dial()
    desk.receive(seen(peer.response(desk.last("INVITE").message, 486)))
    desk.dial("sip:9@192.0.2.10", ("192.0.2.10", 5060))
    assert contact(desk.last("INVITE")) == "192.0.2.1:5060"


@pytest.mark.parametrize(
    "source", [("192.0.2.66", 5060), Flow(TCP, PEER, HERE, 3)], ids=["another host", "another transport"]
)
def test_an_answer_from_elsewhere_teaches_nothing(desk: Any, peer: Any, source: Any) -> None:
    desk.dial()
    desk.receive(seen(peer.response(desk.last("INVITE").message, 486)), source)
    assert not [one for one in reports(desk) if isinstance(one, Reflected)]


def test_an_answer_to_nothing_of_ours_teaches_nothing(desk: Any, peer: Any) -> None:
    sent = options(desk)
    desk.receive(seen(peer.response(sent.message, 200).replace(b"z9hG4bK", b"z9hG4bKx")))
    assert reports(desk) == []


def test_news_is_told_once_and_again_when_it_changes(desk: Any, peer: Any) -> None:
    told: list[Address] = []
    for port in (40_000, 40_000, 41_000, None):
        answer = peer.response(options(desk).message, 200)
        desk.receive(seen(answer, port=port) if port else seen(answer, host=HERE[0], port=5060))
        told += [one.shown for one in reports(desk) if isinstance(one, Reflected)]
    assert told == [NAT, ("203.0.113.5", 41_000), HERE]  # at last there is no NAT any more
    assert len(desk.agent.shown) == 0


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("0.0.0.0", 5),
        ("224.0.0.1", 5),
        ("x.example", 5),
        ("203.0.113.5", 0),
        ("203.0.113.5", 70_000),
        ("2001:db8::1", 5),
    ],
)
def test_nonsense_teaches_nothing(desk: Any, peer: Any, host: str, port: int) -> None:
    desk.receive(seen(peer.response(options(desk).message, 200), host=host, port=port))
    assert not [one for one in reports(desk) if isinstance(one, Reflected)]


def test_a_server_without_rport_teaches_the_host_alone(desk: Any, peer: Any) -> None:
    desk.receive(seen(peer.response(options(desk).message, 200), port=None))
    desk.dial()
    assert contact(desk.last("INVITE")) == "203.0.113.5:5060"


def test_learning_can_be_switched_off(make_desk: Any, peer: Any) -> None:
    desk = make_desk(learn_address=False)
    desk.receive(seen(peer.response(options(desk).message, 200)))
    desk.dial()
    assert contact(desk.last("INVITE")) == "192.0.2.1:5060"


def test_what_a_host_is_firmly_told_wins_and_port_0_is_the_socket_s(desk: Any, peer: Any) -> None:
    desk.agent.shown.guide = lambda to: Told(("198.51.100.7", 0), firm=True) if to.address == PEER else None
    desk.receive(seen(peer.response(options(desk).message, 200)))
    desk.dial()
    assert contact(desk.last("INVITE")) == "198.51.100.7:5060"
    desk.agent.shown.guide = lambda to: None
    desk.dial()
    assert contact(desk.last("INVITE")) == "203.0.113.5:40000"


def test_what_is_told_until_a_host_says_otherwise(desk: Any, peer: Any) -> None:
    desk.agent.shown.guide = lambda to: Told(("198.51.100.7", 0), firm=False)
    sent = options(desk)
    assert contact(sent) == "198.51.100.7:5060"
    desk.receive(seen(peer.response(sent.message, 200), host="198.51.100.7", port=5060))
    assert not [one for one in reports(desk) if isinstance(one, Reflected)]  # as it was told
    desk.receive(seen(peer.response(options(desk).message, 200)))
    assert Reflected(Flow(UDP, PEER, HERE), NAT) in reports(desk)
    assert contact(options(desk)) == "203.0.113.5:40000"


@pytest.mark.parametrize(("host", "learned"), [("192.0.2.1", None), ("203.0.113.5", ("203.0.113.5", 33_000))])
def test_a_connection_teaches_its_port_only_behind_a_nat(
    make_desk: Any, peer: Any, host: str, learned: Address | None
) -> None:
    desk = make_desk(contact=Local((Place(TCP, HERE, HERE),)))
    by = Flow(TCP, PEER, HERE, 3)
    hop = Hop(TCP, *PEER)
    desk.receive(seen(peer.response(options(desk, hop).message, 200), host=host, port=33_000), by)
    assert desk.agent.shown.find(hop) == learned
    desk.agent.flow_lost(by, "reset", desk.now)
    assert desk.agent.shown.find(hop) is None


def test_the_table_of_hosts_is_bounded() -> None:
    table = Shown()
    for n in range(MAX_HOSTS + 50):
        assert table.learn(Flow(UDP, (f"198.51.{n // 250}.{n % 250}", 5060), HERE), NAT, HERE)
    assert len(table) == MAX_HOSTS


def test_a_via_that_says_nothing_is_none() -> None:
    headers = Headers()
    headers.add("Via", "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx;rport")
    assert seen_in(Response(200, "", headers, b"")) is None


# --- targets -------------------------------------------------------------------------------------


def test_a_target_that_answers_is_told_once(desk: Any, peer: Any) -> None:
    desk.dial()
    invite = desk.last("INVITE").message
    for status in (100, 180, 183, 486):
        desk.receive(peer.response(invite, status))
    assert reports(desk) == [TargetAnswered(FIRST)]


def test_a_silent_target_is_told_though_another_follows(desk: Any, peer: Any) -> None:
    desk.dial(targets=[FIRST, SECOND])
    desk.wait_until(6.0)
    assert reports(desk) == [TargetFailed(FIRST, "no answer at all")]
    assert desk.last("INVITE").to == SECOND.address
    desk.receive(peer.response(desk.last("INVITE").message, 486), SECOND.address)
    assert reports(desk) == [TargetAnswered(SECOND)]


def test_the_last_silent_target_is_told_too(desk: Any) -> None:
    desk.dial()
    desk.drain()
    assert reports(desk) == [TargetFailed(FIRST, "no answer at all")]


def test_a_target_that_cannot_be_reached_is_told_with_the_reason(desk: Any) -> None:
    desk.dial(targets=[Hop(TCP, *PEER)])
    desk.order("unreachable", Hop(TCP, *PEER), "connection refused")
    assert reports(desk) == [TargetFailed(Hop(TCP, *PEER), "connection refused")]


@pytest.mark.parametrize(
    ("field", "pause"),
    [
        ("Retry-After: 120", 120.0),
        ("Retry-After: 18000;duration=3600", 18_000.0),
        ("Retry-After: 5 (maintenance)", 5.0),
    ],
)
def test_a_pause_that_is_asked_for_is_told(desk: Any, peer: Any, field: str, pause: float) -> None:
    desk.dial()
    desk.receive(peer.response(desk.last("INVITE").message, 503, fields=[field]))
    assert reports(desk)[1:] == [TargetFailed(FIRST, f"it asked for a pause of {pause:g} s (503)", pause)]


@pytest.mark.parametrize("fields", [[], ["Retry-After: soon"], ["Retry-After: -5"], ["Retry-After: " + "9" * 40]])
def test_503_without_a_readable_pause_lists_nobody(desk: Any, peer: Any, fields: list[str]) -> None:
    desk.dial()
    desk.receive(peer.response(desk.last("INVITE").message, 503, fields=fields))
    assert reports(desk) == [TargetAnswered(FIRST)]


def test_a_call_that_is_given_up_says_nothing_of_its_target(desk: Any) -> None:
    key = desk.dial()
    desk.order("hang_up", key)
    desk.drain()
    assert reports(desk) == []


def test_requests_inside_a_dialog_say_nothing_of_targets(desk: Any, peer: Any) -> None:
    key = desk.dial()
    desk.receive(peer.response(desk.last("INVITE").message, 200))
    reports(desk)
    desk.order("hang_up", key)
    desk.drain()
    assert reports(desk) == []


def test_an_owner_who_does_not_ask_does_not_fill_the_memory(desk: Any, peer: Any) -> None:
    for _ in range(1100):
        desk.receive(peer.response(options(desk).message, 200))
        desk.sent.clear()
    assert len(reports(desk)) == 1000


def test_retry_after_is_read_with_its_comment() -> None:
    headers = Headers()
    headers.add("Retry-After", "  120 (I'm in a meeting)")
    assert pause_in(Response(503, "", headers, b"")) == 120.0
