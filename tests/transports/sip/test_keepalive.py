"""Keep-alives of SIP over UDP, in virtual time."""

import random
from collections.abc import Sequence
from itertools import pairwise

from vfax.transports.sip.keepalive import MAX_KEPT, PING, KeepAlive, KeepAliveOptions
from vfax.transports.sip.values import Destination, Hop, Send, Transport

WAY, OTHER = Hop(Transport.UDP, "192.0.2.9", 5060), Hop(Transport.UDP, "192.0.2.10", 5060)
INTERVAL = KeepAliveOptions().interval


def run(
    one: KeepAlive, ways: Sequence[Destination] | dict[Destination, float], until: float
) -> list[tuple[float, Send]]:
    """What is sent, and when."""
    sent: list[tuple[float, Send]] = []
    while (now := one.next_timeout()) <= until:
        one.handle_timeout(now, dict.fromkeys(ways, INTERVAL) if not isinstance(ways, dict) else ways)
        sent += [(now, out) for out in one.take_output()]
    return sent


def keeper() -> KeepAlive:
    return KeepAlive(INTERVAL, random.Random(4), 0.0)


def test_a_way_hears_two_line_ends_within_every_interval() -> None:
    sent = run(keeper(), [WAY], 1000.0)
    times = [at for at, _ in sent]
    assert {out for _, out in sent} == {Send(PING, WAY)}
    assert times[0] <= 25.0
    assert all(20.0 <= later - sooner <= 25.0 for sooner, later in pairwise(times))
    assert len({later - sooner for sooner, later in pairwise(times)}) > 5  # not in step


def test_each_way_has_its_own_interval() -> None:
    sent = run(KeepAlive(10.0, random.Random(4), 0.0), {WAY: 10.0, OTHER: 50.0}, 1000.0)
    for way, interval in ((WAY, 10.0), (OTHER, 50.0)):
        times = [at for at, out in sent if out.to == way]
        assert all(0.8 * interval <= later - sooner <= interval + 2.0 for sooner, later in pairwise(times))


def test_a_new_way_is_served_before_a_nat_forgets() -> None:
    one = keeper()
    run(one, [], 101.0)
    assert run(one, [WAY], 200.0)[0][0] - 101.0 <= 30.0


def test_ways_that_are_not_named_any_more_are_left_alone() -> None:
    one = keeper()
    assert run(one, [WAY], 60.0)
    assert run(one, [], 500.0) == []
    assert len(one) == 0


def test_the_number_of_ways_is_bounded() -> None:
    one = keeper()
    run(one, [Hop(Transport.UDP, "192.0.2.9", port) for port in range(1, MAX_KEPT + 50)], 10.0)
    assert len(one) == MAX_KEPT
