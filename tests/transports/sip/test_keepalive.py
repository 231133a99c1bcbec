"""Keep-alives of SIP, in virtual time."""

import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from tests.transports.sip.conftest import Desk
from vfax.transports.sip.keepalive import PING, PONG, KeepAlive, KeepAliveOptions
from vfax.transports.sip.values import Destination, Flow, Hop, Send, Transport

UDP = Hop(Transport.UDP, "192.0.2.9", 5060)
TCP = Flow(Transport.TCP, ("192.0.2.9", 5060), ("192.0.2.1", 40_000), 7)


def run(one: KeepAlive, flows: Sequence[Destination], until: float, *, pong: bool = False) -> list[tuple[float, Send]]:
    """What is sent, and when; `pong`: connections answer."""
    sent: list[tuple[float, Send]] = []
    while (now := one.next_timeout()) <= until:
        one.handle_timeout(now, flows)
        for out in one.take_output():
            sent.append((now, out))
            if pong and isinstance(out.to, Flow):
                one.heard(out.to)
    return sent


def keeper(**options: Any) -> KeepAlive:
    return KeepAlive(KeepAliveOptions(**options), random.Random(4), 0.0)


def test_udp_hears_two_line_ends_within_every_interval() -> None:
    sent = run(keeper(), [UDP], 1000.0)
    times = [at for at, _ in sent]
    pauses = [later - sooner for sooner, later in pairwise(times)]
    assert {out for _, out in sent} == {Send(PING, UDP)}
    assert times[0] < 30.0
    assert all(20.0 <= pause <= 25.0 for pause in pauses)
    assert len(set(pauses)) > 5  # not in step


def test_flows_that_are_not_named_any_more_are_left_alone() -> None:
    one = keeper()
    assert run(one, [UDP], 60.0)
    assert run(one, [], 500.0) == []
    assert len(one) == 0


@pytest.mark.parametrize("options", [{"udp_interval": 0.0, "stream_interval": 0.0}, {"max_kept": 0}])
def test_keep_alives_can_be_switched_off_and_are_bounded(options: dict[str, float]) -> None:
    assert run(keeper(**options), [UDP, TCP], 8000.0) == []


def test_a_connection_that_never_answers_is_none_that_fell_silent() -> None:
    one = keeper()
    assert len(run(one, [TCP], 1000.0)) >= 8
    assert one.take_lost() == []


def test_rfc5626_4_4_1_a_connection_that_answered_before_and_does_not_is_lost_after_ten_seconds() -> None:
    one = keeper()
    run(one, [TCP], 300.0, pong=True)
    assert one.take_lost() == []
    (at, _), *_ = run(one, [TCP], at_most := 500.0)
    assert one.take_lost() == [TCP]
    assert at + 10.0 < at_most


def test_the_agent_answers_the_ping_of_a_connection_and_nothing_else() -> None:
    desk = Desk()
    desk.agent.receive(PING, TCP, 0.0)
    assert desk.agent.take_output() == [Send(PONG, TCP)]
    desk.agent.receive(PONG, TCP, 0.0)
    desk.agent.receive(PING, Flow(Transport.UDP, ("192.0.2.9", 5060), ("192.0.2.1", 5060)), 0.0)
    assert desk.agent.take_output() == []
