"""Bursts that nothing paces: between internet-aware terminals the road alone says how fast."""

import math
import random
from dataclasses import replace
from itertools import pairwise

import pytest

from vfax.codecs import ifp
from vfax.codecs.ifp import Data, FieldType
from vfax.signals import (
    DataReceived,
    FrameReceived,
    LineSignal,
    Modem,
    SendEcm,
    SendFrames,
    SendImage,
    SendTone,
    SendTraining,
    SetPace,
    SignalEnded,
    SignalStarted,
    StopSending,
    Tone,
    Transmission,
    TransmissionDone,
)
from vfax.transports.parameters import RateManagement, T38Parameters, Transport
from vfax.transports.simnet import BadLine
from vfax.transports.t38 import T38Line, T38Options
from vfax.transports.udptl import Packet

AGREED = T38Parameters(max_datagram=400)
CSI = b"\xff\xc0\x02" + b"\x0c" * 20
DIS = b"\xff\xc8\x01\x00\x77\x5f"
MCF = b"\xff\xc8\x31"
DICE = random.Random(5)
FCD = tuple(b"\xff\xc0\x60" + bytes((n,)) + DICE.randbytes(256) for n in range(100))
RCP = (b"\xff\xc0\x61",) * 3
PAGE = DICE.randbytes(9000)
FREE = SetPace(paced=False)
OPTIONS = T38Options()


class Pair:
    """Two lines and the roads between them, in virtual time."""

    def __init__(self, *roads: BadLine, agreed: T38Parameters = AGREED, options: T38Options = OPTIONS) -> None:
        self.now = 0.0
        self.roads = roads or (BadLine(random.Random(1)), BadLine(random.Random(2)))
        self.lines = [T38Line(agreed, options, now=0.0) for _ in range(2)]
        self.heard: list[list[LineSignal]] = [[], []]
        self.sent: list[tuple[float, bytes]] = []  # by the first end
        self.settle()

    def settle(self) -> None:
        for end, line in enumerate(self.lines):
            for datagram in line.take_output():
                self.roads[end].send(datagram, self.now)
                if end == 0:
                    self.sent.append((self.now, datagram))
            self.heard[end] += line.take_signals()

    def say(self, end: int, *orders: Transmission) -> "Pair":
        for order in orders:
            self.lines[end].transmit(order, self.now)
            self.settle()
        return self

    def run(self, seconds: float = 5.0) -> "Pair":
        """Let so much time pass."""
        end = self.now + seconds
        while (due := self.due()) <= end:
            self.now = max(self.now, due)
            for side, road in enumerate(self.roads):
                for datagram in road.arrivals(self.now):
                    self.lines[1 - side].receive(datagram, self.now)
            for line in self.lines:
                if line.next_timeout() <= self.now:
                    line.handle_timeout(self.now)
            self.settle()
        self.now = end
        return self

    def due(self) -> float:
        return min(*(line.next_timeout() for line in self.lines), *(road.next_arrival() for road in self.roads))


def test_control_burst_leaves_at_once_and_is_over_at_once() -> None:
    pair = Pair().say(0, FREE, SendFrames((CSI, DIS)))
    assert pair.heard[0] == [TransmissionDone()]
    assert pair.run(0.1).heard[1] == [
        SignalStarted(Modem.V21),
        FrameReceived(Modem.V21, CSI),
        FrameReceived(Modem.V21, DIS),
        SignalEnded(Modem.V21),
    ]


def test_each_frame_of_an_ecm_burst_is_one_packet_within_the_peers_limit() -> None:
    pair = Pair().say(0, FREE, SendEcm(Modem.V17_14400, True, FCD + RCP)).run(1.0)
    packets = [Packet.decode(datagram).primary for _, datagram in pair.sent]
    values = [value for packet in packets if isinstance(value := ifp.decode(packet, 0), Data)]
    carrying = [v for v in values for f in v.fields or () if f.type is FieldType.HDLC_DATA]
    assert len(carrying) == len(FCD) + len(RCP)
    assert max(len(datagram) for _, datagram in pair.sent) <= 400
    heard = [signal for signal in pair.heard[1] if isinstance(signal, FrameReceived)]
    assert tuple(signal.octets for signal in heard) == FCD + RCP
    assert pair.heard[1][-1] == SignalEnded(Modem.V17_14400)


def test_peer_that_takes_little_gets_frames_in_pieces() -> None:
    pair = Pair(agreed=replace(AGREED, max_datagram=120)).say(0, FREE, SendEcm(Modem.V29_9600, False, FCD[:9] + RCP))
    pair.run(1.0)
    assert max(len(datagram) for _, datagram in pair.sent) <= 120
    assert [s.octets for s in pair.heard[1] if isinstance(s, FrameReceived)] == [*FCD[:9], *RCP]


def test_batches_are_bounded_and_a_tick_apart() -> None:
    pair = Pair().say(0, FREE, SendEcm(Modem.V17_14400, True, FCD + RCP)).run(1.0)
    by_time: dict[float, int] = {}
    for at, _ in pair.sent[OPTIONS.opening :]:
        by_time[at] = by_time.get(at, 0) + 1
    # an indicator or an end counts once and is said three times
    assert max(by_time.values()) <= OPTIONS.unpaced_batch + 2 * (OPTIONS.repeats - 1)
    times = sorted(by_time)
    gaps = [later - earlier for earlier, later in pairwise(times[1:-1])]
    assert gaps == [pytest.approx(OPTIONS.unpaced_tick)] * len(gaps)
    assert len(times) >= len(FCD) // OPTIONS.unpaced_batch


def test_page_without_ecm_keeps_one_earlier_packet_with_each() -> None:
    pair = Pair().say(0, FREE, SendImage(Modem.V17_14400, True, PAGE)).run(1.0)
    assert all(len(Packet.decode(datagram).earlier) >= 1 for _, datagram in pair.sent[1:])
    assert max(len(datagram) for _, datagram in pair.sent) <= 400
    assert b"".join(s.octets for s in pair.heard[1] if isinstance(s, DataReceived)) == PAGE


@pytest.mark.parametrize("local", [False, True])
def test_training_costs_no_time(local: bool) -> None:
    management = RateManagement.LOCAL_TCF if local else RateManagement.TRANSFERRED_TCF
    pair = Pair(agreed=replace(AGREED, rate_management=management))
    pair.say(0, FREE, SendTraining(Modem.V17_14400, 2700)).run(0.2)
    octets = b"".join(s.octets for s in pair.heard[1] if isinstance(s, DataReceived))
    assert octets == (b"" if local else bytes(2700))
    assert pair.heard[1][-1] == SignalEnded(Modem.V17_14400)


def test_turns_change_without_silence() -> None:
    pair = Pair()
    for end in (0, 1):
        pair.say(end, FREE)
    for turn in range(20):
        pair.say(turn % 2, SendFrames((MCF,))).run(0.02)
    assert [s for s in pair.heard[1] if isinstance(s, FrameReceived)] == [FrameReceived(Modem.V21, MCF)] * 10
    assert [s for s in pair.heard[0] if isinstance(s, FrameReceived)] == [FrameReceived(Modem.V21, MCF)] * 10
    assert pair.now == pytest.approx(0.4)


def test_change_of_pace_begins_with_the_next_burst_and_brings_no_end_of_its_own() -> None:
    pair = Pair().say(0, SendFrames((DIS,)), FREE, SendFrames((MCF,)), SetPace(paced=True), SendFrames((DIS,)))
    pair.run(10.0)
    assert pair.heard[0] == [TransmissionDone()]
    assert [s.octets for s in pair.heard[1] if isinstance(s, FrameReceived)] == [DIS, MCF, DIS]
    assert pair.sent[-1][0] > 2 * (1.0 + 0.03 * len(DIS))
    assert Pair().say(0, FREE).run(1.0).heard[0] == []


def test_tones_keep_their_length() -> None:
    pair = Pair().say(0, FREE, SendTone(Tone.CED)).run(3.1)
    assert pair.heard[0] == []
    assert pair.run(1.0).heard[0] == [TransmissionDone()]


def test_stop_cuts_an_unpaced_page() -> None:
    pair = Pair().say(0, FREE, SendEcm(Modem.V17_14400, True, FCD + RCP), StopSending())
    assert pair.run(1.0).heard[0] == [TransmissionDone()]
    assert len([s for s in pair.heard[1] if isinstance(s, FrameReceived)]) <= OPTIONS.unpaced_batch
    assert pair.due() > pair.now + 1


@pytest.mark.parametrize("seed", range(8))
def test_lossy_road_loses_frames_but_no_burst(seed: int) -> None:
    bad = BadLine(random.Random(seed), loss=0.05, jitter=0.0)
    pair = Pair(bad, BadLine(random.Random(1)))
    pair.say(0, FREE, SendEcm(Modem.V17_14400, True, FCD + RCP), SendFrames((DIS,))).run(1.0)
    heard = [s.octets for s in pair.heard[1] if isinstance(s, FrameReceived)]
    assert set(heard) <= {*FCD, *RCP, DIS}
    assert len([one for one in heard if one in FCD]) > len(FCD) * 0.75
    assert heard[-1] == DIS
    assert [s for s in pair.heard[1] if isinstance(s, SignalEnded)] == [
        SignalEnded(Modem.V17_14400),
        SignalEnded(Modem.V21),
    ]


def test_unanswered_order_over_a_burst_that_never_ends_waits_like_any() -> None:
    pair = Pair().say(1, SendImage(Modem.V17_14400, False, PAGE)).run(2.0)
    pair.say(0, FREE, SendFrames((MCF,)))
    assert pair.heard[0][-1] != TransmissionDone()
    assert TransmissionDone() in pair.run(OPTIONS.turn_wait).heard[0]


def test_over_a_stream_the_same_orders_go_once_and_unnumbered() -> None:
    agreed = replace(AGREED, transport=Transport.TCP)
    pair = Pair(agreed=agreed).say(0, FREE, SendFrames((CSI, DIS)), SendEcm(Modem.V17_14400, True, FCD + RCP))
    pair.run(1.0)
    assert [s.octets for s in pair.heard[1] if isinstance(s, FrameReceived)] == [CSI, DIS, *FCD, *RCP]
    assert len([d for _, d in pair.sent if d == b"\x03\x00\x00\x05\x06"]) == 1
    assert pair.lines[1].counters.lost == 0
    assert pair.due() < math.inf


def seconds_of(pair: Pair, burst: SendEcm) -> float:
    """How long the first end takes for an unpaced burst."""
    began = pair.now
    pair.say(0, burst).run(10.0)
    return max(at for at, _ in pair.sent) - began


def test_what_the_road_lost_of_a_burst_it_is_not_given_the_next_time() -> None:
    pair = Pair().say(0, FREE)
    whole = SendEcm(Modem.V17_14400, True, FCD + RCP)
    usual = seconds_of(pair, whole)
    half = seconds_of(pair, replace(whole, frames=FCD[::2] + RCP, again=True))
    assert half == pytest.approx(2 * usual, rel=0.2)  # half the frames at a quarter of the rate
    assert seconds_of(pair, whole) == pytest.approx(4 * usual, rel=0.2)
    for _ in range(20):
        seconds_of(pair, whole)
    assert seconds_of(pair, whole) == pytest.approx(usual, rel=0.01)


def test_few_frames_asked_again_cost_no_speed_and_all_of_them_for_ever_a_bounded_one() -> None:
    pair = Pair().say(0, FREE)
    whole = SendEcm(Modem.V17_14400, True, FCD + RCP)
    usual = seconds_of(pair, whole)
    seconds_of(pair, replace(whole, frames=FCD[:12] + RCP, again=True))
    assert seconds_of(pair, whole) == pytest.approx(usual)
    for _ in range(12):
        slowest = seconds_of(pair, replace(whole, again=True))
    assert slowest == pytest.approx(64 * usual)
