"""What the dice make: every kind, the same from the same seed, and roads that lose what they say."""

from collections import Counter
from itertools import pairwise
from random import Random

import pytest

from vfax.codecs.frames import Frame
from vfax.errors import DecodeError
from vfax.simulate import Side
from vfax.simulation import mischief
from vfax.simulation.campaign import Tally, judge, pick, repeat_command
from vfax.simulation.mischief import CoveredRoad, CutRoad, Memory
from vfax.simulation.pictures import Picture, draw
from vfax.simulation.scenario import HOSTILE, Cut, Kind, kind_of, roll
from vfax.simulation.weight import octets_held
from vfax.transports.simnet import LineFaults
from vfax.transports.udptl import Packet


def test_a_seed_alone_makes_its_scenario() -> None:
    assert roll(17) == roll(17)
    assert roll(17) != roll(18)
    assert all(roll(seed).kind is kind_of(seed) for seed in range(30))


def test_every_kind_comes_up() -> None:
    assert Counter(map(kind_of, range(500))).keys() == set(Kind)
    assert len(HOSTILE) == 3


@pytest.mark.parametrize("kind", Kind)
def test_one_kind_alone_is_picked_from_the_same_seeds(kind: Kind) -> None:
    seeds = pick(5, 3, kind)
    assert len(seeds) == 3
    assert min(seeds) >= 5
    assert {roll(seed).kind for seed in seeds} == {kind}


@pytest.mark.parametrize("kind", Kind)
def test_only_its_own_kind_of_trouble_is_in_a_scenario(kind: Kind) -> None:
    scenario = roll(pick(0, 1, kind)[0])
    assert bool(scenario.cuts) is (kind is Kind.SILENCE)
    assert bool(scenario.aborts) is (kind is Kind.ABORT)
    assert bool(scenario.hang_ups) is (kind is Kind.HANG_UP)
    assert bool(scenario.mischief) is (kind in (Kind.FRAMES, Kind.RUBBISH, Kind.STALE))
    assert bool(scenario.depth) is (kind is Kind.COVERED)
    if kind in (Kind.CLEAN, Kind.STORE, Kind.ABORT, Kind.SILENCE, Kind.HANG_UP):
        assert all(line.loss == line.flip == line.jitter == 0 for line in scenario.media.values())


@pytest.mark.parametrize("picture", Picture)
@pytest.mark.parametrize("rows", [1, 3, 50])
def test_pages_are_as_large_as_they_say_and_no_two_are_alike(picture: Picture, rows: int) -> None:
    first, second = (draw(Random(1), picture, width_px=1728, rows=rows, number=number) for number in (1, 2))
    assert len(first) == len(second) == 216 * rows
    assert first != second


def test_a_covered_road_never_loses_more_in_a_row_than_it_may() -> None:
    road = CoveredRoad(LineFaults().line(Random(1)), Random(2), 2)
    for number in range(2000):
        road.send(number.to_bytes(2, "big"), 0.0)
    arrived = [int.from_bytes(datagram, "big") for datagram in road.arrivals(1.0)]
    gaps = Counter(later - earlier - 1 for earlier, later in pairwise(arrived))
    assert set(gaps) == {0, 1, 2}


def test_a_cut_road_carries_nothing_while_it_is_cut() -> None:
    road = CutRoad(LineFaults(delay=0.0).line(Random(1)), (Cut(Side.CALLER, 1.0, 2.0, media_only=True),))
    for at in (0.5, 1.0, 1.9, 2.0):
        road.send(str(at).encode(), at)
    assert road.arrivals(9.0) == [b"0.5", b"2.0"]


def test_forged_frames_follow_what_the_side_has_sent() -> None:
    memory = Memory()
    memory.datagrams.append(Packet(65535, b"\x00").encode())
    packets = [Packet.decode(one) for one in mischief.frames(Random(3), memory, 0)]
    assert [packet.sequence for packet in packets] == list(range(len(packets)))


def test_most_forged_frames_are_frames() -> None:
    dice = Random(4)
    good = 0
    for _ in range(300):
        try:
            Frame.decode(mischief._frame(dice))
            good += 1
        except DecodeError:
            pass
    assert 250 < good < 300


def test_weight_counts_each_thing_once_and_nothing_shared() -> None:
    page = bytes(10_000)
    assert octets_held([page, page]) < 11_000
    assert octets_held([page, bytearray(10_000)]) > 20_000
    assert octets_held(Random) == 0


def test_a_tally_adds_up_and_keeps_the_bad_ones() -> None:
    tally = Tally()
    for seed in range(4):
        tally.add(judge(seed, twice=False))
    assert tally.calls == sum(tally.causes.values()) == 4
    assert tally.bad == []
    assert repeat_command(7) == "vfax simulate --seed 7 --calls 1 --show"
