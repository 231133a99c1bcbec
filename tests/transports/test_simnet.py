import math
import random
from itertools import pairwise

import pytest

from vfax.transports.simnet import BadLine

SENT = [n.to_bytes(4, "big") * 5 for n in range(400)]


def arrive(line: BadLine) -> list[bytes]:
    for n, datagram in enumerate(SENT):
        line.send(datagram, n * 0.03)
    return line.arrivals(math.inf)


def test_good_line_delivers_all_in_order_after_its_delay() -> None:
    line = BadLine(random.Random(0), delay=0.5)
    line.send(b"a", 10.0)
    assert (line.next_arrival(), line.arrivals(10.4)) == (10.5, [])
    assert (line.arrivals(10.5), line.next_arrival()) == ([b"a"], math.inf)
    assert arrive(BadLine(random.Random(0), jitter=0.2)) == SENT


@pytest.mark.parametrize("seed", range(3))
def test_same_seed_makes_the_same_line(seed: int) -> None:
    fates = {
        "loss": 0.1,
        "burst_loss": 0.5,
        "duplicate": 0.1,
        "reorder": 0.1,
        "jitter": 0.02,
        "truncate": 0.05,
        "flip": 0.05,
    }
    assert arrive(BadLine(random.Random(seed), **fates)) == arrive(BadLine(random.Random(seed), **fates))


def test_loss_takes_its_share() -> None:
    line = BadLine(random.Random(1), loss=0.2)
    assert 0.7 * len(SENT) < len(arrive(line)) < 0.9 * len(SENT)
    assert not arrive(BadLine(random.Random(1), loss=1.0))


def test_losses_come_in_bursts_when_asked() -> None:
    here = set(arrive(BadLine(random.Random(2), loss=0.02, burst_loss=0.8)))
    gone = [datagram not in here for datagram in SENT]
    pairs = sum(a and b for a, b in pairwise(gone))
    assert pairs > sum(gone) / 2


def test_doubled_datagrams_come_twice() -> None:
    assert arrive(BadLine(random.Random(3), duplicate=1.0)) == [d for d in SENT for _ in range(2)]


def test_reordered_datagrams_are_overtaken_but_come() -> None:
    got = arrive(BadLine(random.Random(4), reorder=0.3))
    assert got != SENT
    assert sorted(got) == SENT


def test_cut_datagrams_are_beginnings_of_what_was_sent() -> None:
    got = arrive(BadLine(random.Random(5), truncate=1.0))
    assert all(sent.startswith(cut) and len(cut) < len(sent) for sent, cut in zip(SENT, got, strict=True))


def test_one_bit_is_flipped() -> None:
    got = arrive(BadLine(random.Random(6), flip=1.0))
    changed = [int.from_bytes(a, "big") ^ int.from_bytes(b, "big") for a, b in zip(SENT, got, strict=True)]
    assert all(bits.bit_count() == 1 for bits in changed)


def test_bottleneck_spreads_what_comes_at_once_and_loses_what_finds_no_room() -> None:
    line = BadLine(random.Random(0), delay=0.1, rate_bps=80_000, queue=1000)
    for number in range(20):
        line.send(bytes((number,)) * 72, 0.0)  # 100 octets with their headers: 10 ms
    assert line.lost == 10
    assert line.next_arrival() == pytest.approx(0.11)
    assert line.arrivals(0.1501) == [bytes((number,)) * 72 for number in range(5)]
    assert len(line.arrivals(0.2001)) == 5
    line.send(b"again", 0.2)
    assert line.lost == 10
