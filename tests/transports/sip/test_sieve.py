"""The sieve before the parser: what is dropped unread, rates by source, proof, no answer larger than its question."""

import csv
import ipaddress
import random
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfax.transports.sip import values as sip
from vfax.transports.sip.sieve import Nuisance, Report, Sieve, SieveOptions, group_of, is_open, lies_in
from vfax.transports.sip.values import Flow, Transport

HERE: Final = ("192.0.2.1", 5060)
PEER: Final = ("192.0.2.9", 5060)
OTHER: Final = ("203.0.113.7", 5060)
OPTIONS: Final = b"OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nCall-ID: %b\r\n\r\n"
DATA: Final = Path(__file__).parents[2] / "data"


def nobody(call_id: str) -> bool:
    return False


def is_ours(call_id: str) -> bool:
    return call_id == "ours@x"


def networks(*texts: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    return [ipaddress.ip_network(text) for text in texts]


# What is looked at


@pytest.mark.parametrize(
    "junk", [b"hello", b"\x00\xff" * 300, b"GET / HTTP/1.1\r\n\r\n", b"SIPS\r\n", b"\r\nx\r\nSIP/2.0"]
)
def test_octets_that_cannot_be_sip_are_dropped(junk: bytes) -> None:
    sieve = Sieve(SieveOptions())
    assert not sieve.admit(junk, PEER, nobody, 0.0)
    assert sieve.counts.refused[Nuisance.NOT_SIP] == 1


@pytest.mark.parametrize("folder", ["rfc4475", "rfc5118"])
def test_every_message_of_the_corpora_reaches_the_parser(folder: str) -> None:
    sieve = Sieve(SieveOptions())
    rows = list(csv.DictReader((DATA / folder / "index.tsv").read_text().splitlines(), delimiter="\t"))
    assert len(rows) >= 12
    for row in rows:
        sieve.admit((DATA / folder / row["file"]).read_bytes(), PEER, nobody, 0.0)
    refused = {reason for reason, count in sieve.counts.refused.items() if count}
    assert refused <= {Nuisance.STRAY}  # answers to nothing that was asked


def test_an_answer_to_nothing_of_ours_is_dropped_and_one_to_a_call_of_ours_is_not() -> None:
    sieve = Sieve(SieveOptions())
    answer = b"SIP/2.0 200 OK\r\nCall-ID: %b\r\n\r\n"
    assert not sieve.admit(answer % b"theirs@x", PEER, is_ours, 0.0)
    assert sieve.admit(answer % b"ours@x", PEER, is_ours, 0.0)
    assert sieve.counts.refused[Nuisance.STRAY] == 1


@pytest.mark.parametrize("name", [b"Call-ID:", b"i:", b"CALL-ID :", b"call-id:\t"])
def test_a_call_id_is_found_however_it_is_written(name: bytes) -> None:
    sieve = Sieve(SieveOptions())
    assert sieve.admit(b"SIP/2.0 200 OK\r\nX: 1\r\n%b ours@x\r\n\r\n" % name, PEER, is_ours, 0.0)


@given(st.binary(max_size=300), st.sampled_from([b"", b"SIP/2.0 200 OK\r\n", b"INVITE a SIP/2.0\r\nCall-ID: "]))
def test_no_octets_make_the_sieve_raise(octets: bytes, head: bytes) -> None:
    sieve = Sieve(SieveOptions())
    assert sieve.admit(head + octets, PEER, is_ours, 0.0) in (True, False)
    assert sieve.pause(head + octets, PEER, is_ours, 0.0) >= 0.0
    assert sieve.lets_out(head + octets, PEER[0], Transport.UDP) in (True, False)


@pytest.mark.parametrize("alive", [b"\r\n\r\n", b"\0", b"\r\n"])
def test_keep_alives_pass_and_are_no_nuisance(alive: bytes) -> None:
    sieve = Sieve(SieveOptions())
    assert sieve.admit(alive, PEER, nobody, 0.0)
    assert sieve.take_reports() == []


# Rates


def test_a_host_that_floods_is_cut_to_its_rate_and_another_is_not() -> None:
    sieve = Sieve(SieveOptions(stranger_rate=50, strangers_rate=1000))
    taken = sum(sieve.admit(OPTIONS % b"%d" % n, ("203.0.113.7", n % 9), nobody, n / 1000) for n in range(5000))
    assert taken == pytest.approx(100 + 50 * 5, abs=2)  # two seconds' worth at once, then its rate
    assert sieve.admit(OPTIONS % b"x", PEER, nobody, 5.0)


def test_many_strangers_together_are_cut_to_the_rate_of_all() -> None:
    sieve = Sieve(SieveOptions(strangers_rate=100))
    hosts = [f"203.0.{n // 250}.{n % 250}" for n in range(5000)]
    taken = sum(sieve.admit(OPTIONS % b"x", (host, 5060), nobody, n / 1000) for n, host in enumerate(hosts))
    assert taken == pytest.approx(200 + 100 * 5, abs=2)


def test_a_proven_source_keeps_its_own_rate_while_strangers_and_its_own_host_flood() -> None:
    sieve = Sieve(SieveOptions())
    sieve.prove(PEER, 0.0)
    for n in range(5000):
        sieve.admit(OPTIONS % b"x", (PEER[0], 40000 + n % 50), nobody, n / 5000)
        sieve.admit(OPTIONS % b"x", (f"203.0.113.{n % 250}", 1), nobody, n / 5000)
    assert all(sieve.admit(OPTIONS % b"x", PEER, nobody, 1.0) for _ in range(100))


def test_messages_of_calls_pass_when_the_rate_outside_calls_is_used_up() -> None:
    sieve = Sieve(SieveOptions())
    while sieve.admit(OPTIONS % b"x", PEER, is_ours, 0.0):
        pass
    assert all(sieve.admit(OPTIONS % b"ours@x", PEER, is_ours, 0.0) for _ in range(500))


def test_a_stream_is_not_dropped_but_waits() -> None:
    sieve = Sieve(SieveOptions(stranger_rate=50))
    pauses = [sieve.pause(OPTIONS % b"x", PEER, nobody, 0.0) for _ in range(150)]
    assert pauses[:100] == [0.0] * 100
    assert pauses[149] == pytest.approx(1.0)
    assert sieve.pause(OPTIONS % b"x", PEER, nobody, 10.0) == 0.0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::2:3", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
    ],
)
def test_one_host_of_ipv6_is_a_64(one: str, other: str, same: bool) -> None:
    assert (group_of(one) == group_of(other)) is same


def test_tables_stay_bounded_under_any_number_of_sources() -> None:
    sieve = Sieve(SieveOptions(max_sources=100), trusted=networks("198.18.0.0/15"))
    for n in range(20_000):
        host = f"198.18.{n // 250}.{n % 250}"
        sieve.admit(b"junk" if n % 2 else OPTIONS % b"x", (host, n), nobody, n / 5000)
        sieve.prove((host, n), n / 5000)
        sieve.lets_out(b"SIP/2.0 200 OK", host, Transport.UDP)
        sieve.note(host, Nuisance.NETWORK, n / 5000)
    assert len(sieve) <= 5 * 100


# Reports


def test_reports_of_one_host_come_now_and_then_with_what_they_stand_for() -> None:
    sieve = Sieve(SieveOptions(report_every=10, max_reports=5))
    for n in range(1000):
        sieve.note("203.0.113.7", Nuisance.NETWORK, n / 50)
    reports = sieve.take_reports()
    assert reports[0] == Report("203.0.113.7", Nuisance.NETWORK, 1, known=False)
    assert [report.count for report in reports] == [1, 500]
    assert sieve.take_reports() == []


def test_reports_of_many_hosts_are_bounded_together() -> None:
    sieve = Sieve(SieveOptions(max_reports=5))
    for n in range(4000):
        sieve.note(f"203.0.{n // 250}.{n % 250}", Nuisance.FLOOD, n / 1000)
    assert len(sieve.take_reports()) == pytest.approx(10 + 5 * 4, abs=1)


def test_a_friend_is_told_apart_in_reports() -> None:
    sieve = Sieve(SieveOptions(), trusted=networks("192.0.2.0/24"))
    sieve.note(PEER[0], Nuisance.FLOOD, 0.0)
    sieve.note(OTHER[0], Nuisance.FLOOD, 0.0)
    assert [report.known for report in sieve.take_reports()] == [True, False]


# The credit of strangers, with an agent behind the sieve


@pytest.mark.parametrize(("network", "wide"), [("0.0.0.0/0", True), ("10.0.0.0/8", False), ("::/0", True)])
def test_a_network_of_everybody_makes_no_friends(network: str, wide: bool) -> None:
    assert is_open(ipaddress.ip_network(network)) is wide
    sieve = Sieve(SieveOptions(), trusted=networks(network))
    assert sieve.lets_out(b"SIP/2.0 200 OK", "10.1.2.3", Transport.UDP) is not wide


def open_desk(make_desk: Any, **more: Any) -> Any:
    """An agent that everybody may reach."""
    return make_desk(sieve=Sieve(SieveOptions(), trusted=networks("0.0.0.0/0")), **more)


def octets_of(sent: list[Any]) -> int:
    return sum(len(one.message.encode()) for one in sent)


def test_a_forged_invite_brings_its_victim_no_more_octets_than_it_had(make_desk: Any, peer: Any, sdp: bytes) -> None:
    desk = open_desk(make_desk)
    invite = peer.request("INVITE", body=sdp)
    desk.receive(invite)
    desk.order("ring", desk.told(sip.IncomingCall)[-1].call)
    desk.order("answer", desk.told(sip.IncomingCall)[-1].call, sdp)
    desk.drain()  # 200 repeated for 32 s, then BYE
    assert desk.agent.is_empty
    assert octets_of(desk.sent) <= len(invite)
    assert desk.told(sip.DialogLost)


def test_a_call_of_a_stranger_is_set_up_by_the_repeats_of_its_invite(make_desk: Any, peer: Any, sdp: bytes) -> None:
    """Without a provisional response the caller repeats its INVITE, and so pays for our 200."""
    desk = open_desk(make_desk)
    invite = peer.request("INVITE", body=sdp)
    desk.receive(invite)
    key = desk.told(sip.IncomingCall)[-1].call
    desk.order("ring", key)
    desk.wait_until(0.1)
    desk.order("answer", key, sdp * 6)  # larger than the INVITE
    assert desk.sent == []
    for at in (0.5, 1.5, 3.5):
        desk.wait_until(at)
        desk.receive(invite)
    desk.wait_until(7.0)
    answer = desk.last("200 INVITE")
    peer.our_tag = answer.message.to.tag
    desk.receive(peer.request("ACK"))
    assert desk.told(sip.Confirmed)
    desk.order("offer", key, sdp * 6)  # a proven source hears whatever we have to say
    assert desk.last("INVITE").to == PEER


def test_an_early_bye_to_an_unproven_contact_stays_here(make_desk: Any, peer: Any, sdp: bytes) -> None:
    desk = open_desk(make_desk)
    desk.receive(peer.request("INVITE", body=sdp, contact="<sip:victim@203.0.113.7>"))
    desk.order("answer", desk.told(sip.IncomingCall)[-1].call, sdp)
    desk.drain()
    assert {sent.to[0] for sent in desk.sent} <= {PEER[0]}


def test_whom_we_call_hears_us_wherever_its_contact_leads(make_desk: Any, peer: Any, sdp: bytes) -> None:
    desk = open_desk(make_desk)
    key = desk.dial()
    desk.receive(peer.response(desk.last("INVITE").message, 200, body=sdp, contact="<sip:9@203.0.113.7>"))
    desk.order("hang_up", key)
    assert (desk.last("ACK").to, desk.last("BYE").to) == (OTHER, OTHER)


def test_options_of_a_stranger_are_not_answered_with_more_than_they_had(make_desk: Any, peer: Any) -> None:
    desk = open_desk(make_desk)
    assert desk.receive(peer.request("OPTIONS")) == []
    assert desk.receive(peer.request("OPTIONS", branch="z9hG4bK-2", fields=[f"X-Room: {'x' * 400}"])) != []


def test_a_stranger_on_a_stream_needs_no_credit(make_desk: Any, peer: Any) -> None:
    desk = open_desk(make_desk)
    flow = Flow(Transport.TCP, PEER, HERE, connection=1)
    assert desk.receive(peer.request("OPTIONS"), flow) != []


@given(st.integers(0, 2**32))
def test_no_mixture_of_strangers_messages_brings_more_octets_than_it_had(seed: int) -> None:
    from tests.transports.sip.conftest import Desk, Peer

    dice = random.Random(seed)
    desk = Desk(sieve=Sieve(SieveOptions(strangers_rate=1e6)), seed=seed)
    heard: dict[str, int] = {}
    for step in range(30):
        peer = Peer((f"203.0.113.{dice.randrange(3)}", 5060))
        peer.call_id = f"call-{dice.randrange(4)}"
        method = dice.choice(["INVITE", "OPTIONS", "BYE", "REGISTER", "CANCEL", "ACK", "DANCE"])
        branch = dice.choice(["", f"z9hG4bK{step}"])
        data = peer.request(
            method, cseq=dice.randrange(1, 3), branch=branch, fields=["X: " + "x" * dice.randrange(700)]
        )
        heard[peer.address[0]] = heard.get(peer.address[0], 0) + len(data)
        desk.receive(data, peer.address)
        for event in desk.told(sip.IncomingCall):
            desk.order("answer", event.call, b"v=0\r\n") if dice.random() < 0.5 else desk.order("hang_up", event.call)
        desk.events.clear()
        desk.wait_until(desk.now + dice.random() * 4)
    desk.drain()
    sent: dict[str, int] = {}
    for one in desk.sent:
        sent[one.to[0]] = sent.get(one.to[0], 0) + len(one.message.encode())
    assert all(octets <= heard.get(host, 0) for host, octets in sent.items()), (seed, sent, heard)


def test_forged_invites_do_not_take_all_lines(make_desk: Any, peer: Any, sdp: bytes) -> None:
    own = networks("192.0.2.0/24", "203.0.113.0/24")
    desk = make_desk(sieve=Sieve(SieveOptions(max_unproven_calls=3), trusted=own))
    desk.receive(peer.request("INVITE", body=sdp))
    desk.order("answer", desk.told(sip.IncomingCall)[-1].call, sdp)
    peer.our_tag = desk.last("200 INVITE").message.to.tag
    desk.receive(peer.request("ACK"))
    words = []
    for n in range(9):
        peer.call_id, peer.our_tag = f"forged-{n}", ""
        words.append(desk.receive(peer.request("INVITE", body=sdp, branch=f"z9hG4bK{n}"), ("203.0.113.7", n))[-1].word)
    assert words == ["100 INVITE"] * 3 + ["503 INVITE"] * 6
    for n in range(9):  # who has proven itself calls as often as ever
        peer.call_id = f"honest-{n}"
        assert desk.receive(peer.request("INVITE", body=sdp, branch=f"z9hG4bKh{n}"))[-1].word == "100 INVITE"


def test_a_trunk_may_send_many_calls_in_its_first_second(make_desk: Any, peer: Any, sdp: bytes) -> None:
    def of_trunk(host: str, other: str) -> bool:
        return {host, other} == {PEER[0]}

    own = networks("192.0.2.0/24", "203.0.113.0/24")
    desk = make_desk(sieve=Sieve(SieveOptions(max_unproven_calls=3), trusted=own, akin=of_trunk))
    for n in range(9):
        peer.call_id = f"first-{n}"
        assert desk.receive(peer.request("INVITE", body=sdp, branch=f"z9hG4bK{n}"))[-1].word == "100 INVITE"
    peer.call_id = "another's"  # those do not count against others
    assert desk.receive(peer.request("INVITE", body=sdp), ("203.0.113.7", 5060))[-1].word == "100 INVITE"


@pytest.mark.parametrize(
    ("allow", "host", "believed"),
    [
        ("203.0.113.7/32", "203.0.113.7", True),
        ("203.0.113.0/28", "203.0.113.7", True),
        ("203.0.113.0/27", "203.0.113.7", False),  # a network, not hosts that somebody has named
        ("0.0.0.0/0", "203.0.113.7", False),
        ("2001:db8::/64", "2001:db8::7", True),
        ("2001:db8::/48", "2001:db8::7", False),
    ],
)
def test_hosts_that_the_owner_named_one_by_one_may_take_all_lines(
    allow: str, host: str, believed: bool, make_desk: Any, peer: Any, sdp: bytes
) -> None:
    desk = make_desk(sieve=Sieve(SieveOptions(max_unproven_calls=3), trusted=networks(allow)))
    for n in range(9):
        peer.call_id = f"first-{n}"
        desk.receive(peer.request("INVITE", body=sdp, branch=f"z9hG4bK{n}"), (host, 5060))
    assert len(desk.told(sip.IncomingCall)) == (9 if believed else 3)


# Whose word counts inside a call


@pytest.mark.parametrize("method", ["BYE", "INVITE", "UPDATE"])
def test_a_request_inside_a_call_from_another_host_is_refused(
    method: str, desk: Any, peer: Any, answered: Any, sdp: bytes
) -> None:
    key = answered()
    body = b"" if method == "BYE" else sdp
    sent = desk.receive(peer.request(method, cseq=2, body=body), OTHER)
    assert [one.word for one in sent] == [f"481 {method}"]
    assert (desk.told(sip.HungUp), desk.told(sip.Reoffered)) == ([], [])
    assert desk.receive(peer.request("BYE", cseq=3, branch="z9hG4bK-right"))[0].word == "200 BYE"
    assert desk.told(sip.HungUp)[0].call == key


def test_a_cancel_from_another_host_is_refused(desk: Any, peer: Any, incoming: Any) -> None:
    incoming(branch="z9hG4bK-one")
    sent = desk.receive(peer.request("CANCEL", branch="z9hG4bK-one"), OTHER)
    assert [one.word for one in sent] == ["481 CANCEL"]
    assert desk.told(sip.Cancelled) == []
    desk.receive(peer.request("CANCEL", branch="z9hG4bK-one"))
    assert desk.told(sip.Cancelled)


def test_a_bye_may_come_from_where_the_contact_or_the_route_leads(desk: Any, peer: Any, sdp: bytes) -> None:
    desk.receive(peer.request("INVITE", body=sdp, contact="<sip:9@203.0.113.7>"))
    desk.order("answer", desk.told(sip.IncomingCall)[-1].call, sdp)
    peer.our_tag = desk.last("200 INVITE").message.to.tag
    desk.receive(peer.request("ACK"), OTHER)
    assert desk.receive(peer.request("BYE", cseq=2), OTHER)[0].word == "200 BYE"


def test_a_bye_may_come_from_anywhere_when_the_way_leads_to_a_name(desk: Any, peer: Any, sdp: bytes) -> None:
    desk.receive(peer.request("INVITE", body=sdp, fields=["Record-Route: <sip:edge.carrier.example;lr>"]))
    desk.order("answer", desk.told(sip.IncomingCall)[-1].call, sdp)
    peer.our_tag = desk.last("200 INVITE").message.to.tag
    desk.receive(peer.request("ACK"))
    assert desk.receive(peer.request("BYE", cseq=2), OTHER)[0].word == "200 BYE"


def test_another_host_of_the_same_peer_may_end_a_call(make_desk: Any, peer: Any, sdp: bytes) -> None:
    own = networks("192.0.2.0/28", "203.0.113.0/28")
    desk = make_desk(
        sieve=Sieve(SieveOptions(), trusted=own, akin=lambda *hosts: all(lies_in(host, own) for host in hosts))
    )
    desk.receive(peer.request("INVITE", body=sdp))
    desk.order("answer", desk.told(sip.IncomingCall)[-1].call, sdp)
    peer.our_tag = desk.last("200 INVITE").message.to.tag
    desk.receive(peer.request("ACK"))
    assert desk.receive(peer.request("BYE", cseq=2), ("198.51.100.7", 5060)) == []  # its 481 is larger than it is
    assert desk.told(sip.HungUp) == []
    assert desk.receive(peer.request("BYE", cseq=3, branch="z9hG4bK-3"), OTHER)[0].word == "200 BYE"


def test_what_was_refused_inside_a_call_is_reported(make_desk: Any, peer: Any, sdp: bytes) -> None:
    sieve = Sieve(SieveOptions(), trusted=networks("192.0.2.0/24"))
    desk = make_desk(sieve=sieve)
    desk.receive(peer.request("INVITE", body=sdp, branch="z9hG4bK-one"))
    desk.receive(peer.request("CANCEL", branch="z9hG4bK-one"), OTHER)
    assert sieve.take_reports() == [Report(OTHER[0], Nuisance.DIALOG, 1, known=False)]


def test_call_ids_are_known_as_long_as_anything_of_a_call_lives(make_desk: Any, peer: Any, sdp: bytes) -> None:
    desk = make_desk()
    known = desk.agent._core.knows
    assert not known("call-1")
    desk.receive(peer.request("INVITE", body=sdp))
    desk.order("answer", desk.told(sip.IncomingCall)[-1].call, sdp)
    peer.our_tag = desk.last("200 INVITE").message.to.tag
    desk.receive(peer.request("ACK"))
    desk.wait_until(600.0)
    assert known("call-1")
    desk.receive(peer.request("BYE", cseq=2))
    assert known("call-1")  # its transaction absorbs repeats
    desk.drain()
    assert not known("call-1")
    assert not desk.agent._core.transactions.call_ids
