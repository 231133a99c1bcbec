"""The four transaction machines: whole-table questions, every timer of RFC 3261 and RFC 6026, matching."""

import math
import random
from typing import Any, Final

import pytest

from vfax.transports.sip.compose import respond
from vfax.transports.sip.message import Headers, Request, parse_datagram
from vfax.transports.sip.options import SipOptions
from vfax.transports.sip.outbox import Outbox
from vfax.transports.sip.timers import Timers
from vfax.transports.sip.transaction import (
    BEGIN,
    TABLES,
    Happening,
    Kind,
    Purpose,
    S,
    T,
    Timer,
    Transaction,
    TransactionLayer,
    server_key,
)
from vfax.transports.sip.values import Hop, Send, Transport

PEER: Final = Hop(Transport.UDP, "192.0.2.9", 5060)
STREAM: Final = Hop(Transport.TCP, "192.0.2.9", 5060)
T1, T2, T4 = 0.5, 4.0, 5.0


def make_request(
    method: str, *, branch: str = "z9hG4bKa", to: str = "<sip:b@h>", cseq: int = 1, via: str = ""
) -> Request:
    headers = Headers(
        [
            ("Via", via or f"SIP/2.0/UDP 192.0.2.9:5060;branch={branch}"),
            ("From", "<sip:a@h>;tag=f"),
            ("To", to),
            ("Call-ID", "c"),
            ("CSeq", f"{cseq} {method}"),
        ]
    )
    return Request(method, "sip:b@h", headers)


class Bench:
    """One layer, its clock, and what it sent: (time, first word of the line)."""

    def __init__(self) -> None:
        self.outbox = Outbox()
        self.layer = TransactionLayer(SipOptions(), self.outbox)
        self.sent: list[tuple[float, str]] = []
        self.heard: list[Happening] = []
        self.now = 0.0

    def collect(self) -> None:
        for out in self.outbox.take_output():
            assert isinstance(out, Send)
            word = out.octets.split(b" ", 2)
            self.sent.append((round(self.now, 6), (word[1] if word[0] == b"SIP/2.0" else word[0]).decode()))

    def run(self, until: float) -> None:
        while (due := self.layer.next_timeout()) <= until:
            self.now = due
            self.heard += self.layer.handle_timeout(due)
            self.collect()
        self.now = until

    def client(self, method: str, *, reliable: bool = False) -> Transaction:
        peer = STREAM if reliable else PEER
        transaction = self.layer.start_client(make_request(method), peer, self.now, call=None, purpose=Purpose.BYE)
        self.collect()
        return transaction

    def server(self, method: str, *, reliable: bool = False, **more: Any) -> Transaction:
        peer = STREAM if reliable else PEER
        return self.layer.start_server(make_request(method, **more), peer, self.now, call=None)

    def hear(self, transaction: Transaction, status: int) -> None:
        response = respond(transaction.request, status, to_tag="t")
        found = self.layer.find_client(response)
        if found is not None:
            self.heard += self.layer.receive_response(found, response, self.now)
        self.collect()

    def say(self, transaction: Transaction, status: int) -> None:
        self.layer.respond(transaction, respond(transaction.request, status, to_tag="t"), self.now)
        self.collect()

    def repeat(self, transaction: Transaction, method: str = "") -> None:
        request = make_request(method or transaction.request.method)
        self.heard += self.layer.receive_repeat(transaction, request, self.now)
        self.collect()

    def times(self, word: str) -> list[float]:
        return [at for at, said in self.sent if said == word]

    @property
    def statuses(self) -> list[int | None]:
        return [getattr(happening.message, "status", None) for happening in self.heard]


@pytest.fixture
def bench() -> Bench:
    return Bench()


# --- the tables --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", Kind)
def test_every_state_can_be_reached_and_left(kind: Kind) -> None:
    table = TABLES[kind]
    reached = {BEGIN[kind].to} | {step.to for step in table.values()}
    left = {state for state, _ in table}
    assert reached == left | {S.TERMINATED}


@pytest.mark.parametrize("kind", Kind)
def test_every_timer_that_a_state_starts_has_its_row(kind: Kind) -> None:
    for step in [BEGIN[kind], *TABLES[kind].values()]:
        for timer in (*step.start, *step.keep):
            assert (step.to, timer) in TABLES[kind]


@pytest.mark.parametrize("kind", Kind)
def test_every_state_but_those_that_wait_for_people_ends_by_itself(kind: Kind) -> None:
    ends = {state for (state, trigger), step in TABLES[kind].items() if isinstance(trigger, Timer) and step.to != state}
    waits = {S.PROCEEDING, S.TRYING} if kind in (Kind.INVITE_SERVER, Kind.SERVER) else {S.PROCEEDING}
    live = {state for state, _ in TABLES[kind]}
    assert live - ends <= waits


def test_every_timer_and_trigger_is_used() -> None:
    used = {trigger for table in TABLES.values() for _, trigger in table}
    assert used == set(T) | set(Timer)


# --- timers ------------------------------------------------------------------------------------------


def test_timer_a_repeats_invite_and_doubles(bench: Bench) -> None:
    bench.client("INVITE")
    bench.run(31.9)
    assert bench.times("INVITE") == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]


def test_timer_a_stops_at_the_first_provisional_answer(bench: Bench) -> None:
    invite = bench.client("INVITE")
    bench.run(0.6)
    bench.hear(invite, 180)
    bench.run(3600)
    assert bench.times("INVITE") == [0, 0.5]
    assert invite.state is S.PROCEEDING  # ringing may last


def test_timer_a_is_not_set_on_a_stream(bench: Bench) -> None:
    bench.client("INVITE", reliable=True)
    bench.run(100)
    assert bench.times("INVITE") == [0]


def test_timer_b_gives_an_invite_up(bench: Bench) -> None:
    bench.client("INVITE")
    bench.run(64 * T1 - 0.01)
    assert not bench.heard
    bench.run(64 * T1)
    assert [happening.message for happening in bench.heard] == [None]
    assert len(bench.layer) == 0


def test_timer_d_acknowledges_repeated_failures_for_32_seconds(bench: Bench) -> None:
    invite = bench.client("INVITE")
    bench.hear(invite, 486)
    bench.run(10)
    bench.hear(invite, 486)
    bench.run(31.9)
    bench.hear(invite, 486)
    bench.run(40)
    bench.hear(invite, 486)
    assert bench.times("ACK") == [0, 10, 31.9]
    assert bench.statuses == [486]


def test_timer_d_is_zero_on_a_stream(bench: Bench) -> None:
    invite = bench.client("INVITE", reliable=True)
    bench.hear(invite, 486)
    bench.run(0)
    assert len(bench.layer) == 0


def test_timer_e_repeats_a_request_and_doubles_up_to_t2(bench: Bench) -> None:
    bench.client("BYE")
    bench.run(32)
    assert bench.times("BYE") == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]


def test_timer_e_is_t2_once_a_provisional_answer_came(bench: Bench) -> None:
    bye = bench.client("BYE")
    bench.run(0.1)
    bench.hear(bye, 100)
    bench.run(13)
    assert bench.times("BYE") == [0, 4.1, 8.1, 12.1]


@pytest.mark.parametrize("provisional", [False, True])
def test_timer_f_gives_a_request_up(bench: Bench, provisional: bool) -> None:
    bye = bench.client("BYE")
    if provisional:
        bench.hear(bye, 100)
    bench.run(64 * T1)
    assert bench.heard[-1].message is None
    assert len(bench.layer) == 0


def test_timer_g_repeats_a_failure_until_its_ack(bench: Bench) -> None:
    invite = bench.server("INVITE")
    bench.say(invite, 486)
    bench.run(12)
    bench.repeat(invite, "ACK")
    bench.run(40)
    assert bench.times("486") == [0, 0.5, 1.5, 3.5, 7.5, 11.5]


def test_timer_h_gives_the_ack_up(bench: Bench) -> None:
    invite = bench.server("INVITE")
    bench.say(invite, 486)
    bench.run(64 * T1)
    assert bench.statuses == [None]
    assert len(bench.layer) == 0


def test_timer_i_absorbs_repeated_acks(bench: Bench) -> None:
    invite = bench.server("INVITE")
    bench.say(invite, 486)
    bench.repeat(invite, "ACK")
    bench.repeat(invite, "ACK")
    assert len(bench.heard) == 1
    bench.run(T4 - 0.01)
    assert len(bench.layer) == 1
    bench.run(T4)
    assert len(bench.layer) == 0


def test_timer_j_answers_repeated_requests_for_32_seconds(bench: Bench) -> None:
    bye = bench.server("BYE")
    bench.say(bye, 200)
    bench.run(31.9)
    bench.repeat(bye)
    assert bench.times("200") == [0, 31.9]
    bench.run(64 * T1)
    assert len(bench.layer) == 0


def test_timer_j_is_zero_on_a_stream(bench: Bench) -> None:
    bye = bench.server("BYE", reliable=True)
    bench.say(bye, 200)
    bench.run(0)
    assert len(bench.layer) == 0


def test_timer_k_absorbs_repeated_responses(bench: Bench) -> None:
    bye = bench.client("BYE")
    bench.hear(bye, 200)
    bench.hear(bye, 200)
    assert bench.statuses == [200]
    bench.run(T4)
    assert len(bench.layer) == 0


def test_timer_l_absorbs_invites_repeated_after_our_200(bench: Bench) -> None:
    invite = bench.server("INVITE")
    bench.say(invite, 200)
    bench.run(31.9)
    bench.repeat(invite)
    assert bench.times("200") == [0]
    assert not bench.heard
    bench.run(64 * T1)
    assert len(bench.layer) == 0


def test_timer_m_passes_further_2xx_up_for_32_seconds(bench: Bench) -> None:
    invite = bench.client("INVITE")
    bench.hear(invite, 200)
    bench.run(31.9)
    bench.hear(invite, 200)
    assert bench.statuses == [200, 200]
    assert bench.times("ACK") == []  # the ACK to a 2xx is the dialog's
    bench.run(64 * T1)
    assert len(bench.layer) == 0


# --- the other rows ----------------------------------------------------------------------------------


def test_invite_repeated_while_ringing_gets_the_last_provisional_answer(bench: Bench) -> None:
    invite = bench.server("INVITE")
    bench.repeat(invite)
    assert bench.sent == []
    bench.say(invite, 100)
    bench.say(invite, 180)
    bench.repeat(invite)
    assert [word for _, word in bench.sent] == ["100", "180", "180"]


def test_accepted_transaction_sends_the_2xx_again_when_told(bench: Bench) -> None:
    invite = bench.server("INVITE")
    bench.say(invite, 200)
    bench.say(invite, 200)
    bench.say(invite, 486)
    bench.say(invite, 180)
    assert [word for _, word in bench.sent] == ["200", "200"]


def test_request_repeated_before_any_answer_is_absorbed(bench: Bench) -> None:
    bye = bench.server("BYE")
    bench.repeat(bye)
    assert bench.sent == []


def test_late_provisional_answer_changes_nothing(bench: Bench) -> None:
    invite = bench.client("INVITE")
    bench.hear(invite, 486)
    bench.hear(invite, 180)
    assert invite.state is S.COMPLETED
    assert bench.statuses == [486]


def test_ack_to_a_failure_is_of_the_same_hop(bench: Bench) -> None:
    request = make_request("INVITE")
    request.headers.add("Route", "<sip:proxy;lr>")
    invite = bench.layer.start_client(request, PEER, 0.0, call=None, purpose=None)
    bench.outbox.take_output()
    bench.layer.receive_response(invite, respond(request, 404, to_tag="x"), 0.0)
    (out,) = bench.outbox.take_output()
    assert isinstance(out, Send)
    ack: Any = parse_datagram(out.octets, SipOptions())
    assert (ack.method, ack.uri, out.to) == ("ACK", request.uri, PEER)
    assert ack.via.branch == request.via.branch
    assert ack.to.tag == "x"
    assert (ack.cseq.number, ack.cseq.method) == (1, "ACK")
    assert ack.headers.all("route") == ["<sip:proxy;lr>"]


# --- matching ----------------------------------------------------------------------------------------


def test_response_matches_by_branch_and_method(bench: Bench) -> None:
    invite = bench.client("INVITE")
    assert bench.layer.find_client(respond(make_request("INVITE"), 200)) is invite
    assert bench.layer.find_client(respond(make_request("CANCEL"), 200)) is None
    assert bench.layer.find_client(respond(make_request("INVITE", branch="z9hG4bKb"), 200)) is None


def test_request_matches_by_branch_sent_by_and_method(bench: Bench) -> None:
    invite = bench.server("INVITE")
    assert bench.layer.find_server(make_request("INVITE", cseq=7)) is invite
    assert bench.layer.find_server(make_request("ACK")) is invite
    assert bench.layer.find_server(make_request("CANCEL")) is None
    assert bench.layer.find_server(make_request("CANCEL"), "INVITE") is invite
    other = make_request("INVITE", via="SIP/2.0/UDP 192.0.2.8:5060;branch=z9hG4bKa")
    assert bench.layer.find_server(other) is None


@pytest.mark.parametrize("via", ["SIP/2.0/UDP h", "SIP/2.0/UDP h;branch=1", "SIP/2.0/UDP h;branch=z9hG4bK"])
def test_rfc2543_request_matches_by_its_fields(bench: Bench, via: str) -> None:
    invite = bench.server("INVITE", via=via)
    assert bench.layer.find_server(make_request("INVITE", via=via)) is invite
    assert bench.layer.find_server(make_request("ACK", via=via, to="<sip:b@h>;tag=t")) is invite
    assert bench.layer.find_server(make_request("INVITE", via=via, cseq=2)) is None


def test_sent_by_compares_without_case_and_with_the_default_port() -> None:
    one = make_request("INVITE", via="SIP/2.0/UDP Host;branch=z9hG4bKa")
    two = make_request("INVITE", via="SIP/2.0/UDP host:5060;branch=z9hG4bKa")
    assert server_key(one, "INVITE") == server_key(two, "INVITE")


def test_merged_request_is_known_while_the_first_lives(bench: Bench) -> None:
    invite = bench.server("INVITE")
    assert bench.layer.is_merged(make_request("INVITE", branch="z9hG4bKb"))
    assert not bench.layer.is_merged(make_request("INVITE", branch="z9hG4bKb", to="<sip:b@h>;tag=t"))
    bench.say(invite, 486)
    bench.run(100)
    assert not bench.layer.is_merged(make_request("INVITE", branch="z9hG4bKb"))


def test_dropped_transaction_leaves_nothing(bench: Bench) -> None:
    invite = bench.client("INVITE")
    bench.layer.drop(invite)
    bench.layer.drop(invite)
    assert (len(bench.layer), bench.layer.next_timeout()) == (0, math.inf)


# --- the heap ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_timers_behave_like_a_plain_table(seed: int) -> None:
    dice, timers = random.Random(seed), Timers[int]()
    table: dict[int, float] = {}
    for _ in range(2000):
        key = dice.randrange(20)
        if dice.random() < 0.6:
            table[key] = dice.random()
            timers.start(key, table[key])
        else:
            table.pop(key, None)
            timers.stop(key)
        assert timers.next() == min(table.values(), default=math.inf)
        if dice.random() < 0.1 and (popped := timers.pop(0.5)) is not None:
            assert table.pop(popped) <= 0.5
        assert len(timers) == len(table)


def test_restarted_timer_does_not_fill_the_heap() -> None:
    timers = Timers[int]()
    for number in range(10000):
        timers.start(1, float(number))
    assert len(timers._heap) < 100
