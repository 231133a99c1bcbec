import math
import random
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from vfax.signals import (
    DataMissing,
    DataReceived,
    FrameDamaged,
    FrameReceived,
    LineSignal,
    Modem,
    SendEcm,
    SendFrames,
    SendImage,
    SendTraining,
    SignalEnded,
    SignalStarted,
    Transmission,
    TransmissionDone,
)
from vfax.transports.parameters import ErrorCorrection, T38Parameters
from vfax.transports.simnet import BadLine
from vfax.transports.t38 import T38Line, T38Options
from vfax.transports.udptl import Packet

AGREED = T38Parameters(max_datagram=400)
FEC = ErrorCorrection.FEC
TSI = b"\xff\xc0\x43" + b"\x2c" * 20
DCS = b"\xff\xc8\x41\x00\x62\x1f"
PPS = b"\xff\xc8\xfd\x2f\x00\x00\x07"
MCF = b"\xff\xc8\x31"
DICE = random.Random(17)
PAGE = DICE.randbytes(9000)
FCD = tuple(b"\xff\xc0\x60" + bytes((n,)) + DICE.randbytes(256) for n in range(8))
RCP = (b"\xff\xc0\x61",) * 3

FAX = (
    SendFrames((TSI, DCS)),
    SendTraining(Modem.V17_14400, 2700),
    SendEcm(Modem.V17_14400, True, FCD + RCP),
    SendImage(Modem.V29_9600, False, PAGE),
    SendFrames((PPS,)),
)


class Pair:
    """Two lines with a network between them, in virtual time. `heard` is by end: 0 the first, 1 the second."""

    def __init__(self, *networks: BadLine, options: T38Options | None = None, **agreed: object) -> None:
        self.now = 0.0
        self.networks = networks
        parameters = replace(AGREED, **agreed)  # type: ignore[arg-type]
        self.lines = [T38Line(parameters, options or T38Options(), now=0.0) for _ in range(2)]
        self.heard: list[list[LineSignal]] = [[], []]
        self.lose: list[Callable[[bytes], bool]] = [lambda _: False, lambda _: False]
        self.settle()

    def settle(self) -> None:
        for end, line in enumerate(self.lines):
            for datagram in line.take_output():
                if not self.lose[end](datagram):
                    self.networks[end].send(datagram, self.now)
            self.heard[end] += line.take_signals()

    def say(self, end: int, *orders: Transmission) -> None:
        for order in orders:
            self.lines[end].transmit(order, self.now)
        self.settle()

    def run(self, until: Callable[[], bool], limit: float = 120.0) -> None:
        end = self.now + limit
        while not until():
            due = [line.next_timeout() for line in self.lines] + [net.next_arrival() for net in self.networks]
            assert min(due) < end, "nothing came of it"
            self.now = max(self.now, min(due))
            for end_of_line, net in enumerate(self.networks):
                for datagram in net.arrivals(self.now):
                    self.lines[1 - end_of_line].receive(datagram, self.now)
            for line in self.lines:
                if line.next_timeout() <= self.now:
                    line.handle_timeout(self.now)
            self.settle()

    def run_to_silence(self) -> None:
        """Until the first end has said all, and all of it has arrived."""
        self.run(lambda: self.heard[0][-1:] == [TransmissionDone()] and self.networks[0].next_arrival() == math.inf)


def clean(seed: int = 0) -> BadLine:
    return BadLine(random.Random(seed))


def joined(heard: list[LineSignal]) -> Iterator[LineSignal]:
    """Signals with neighbouring octets of one burst put together."""
    octets = b""
    modem = Modem.V21
    for signal in heard:
        if isinstance(signal, DataReceived):
            octets += signal.octets
            modem = signal.modem
            continue
        if octets:
            yield DataReceived(modem, octets)
            octets = b""
        yield signal


def unpadded(heard: list[LineSignal]) -> list[LineSignal]:
    """As `joined`, the zeros behind the page cut off."""
    return [
        replace(signal, octets=signal.octets.rstrip(b"\0"))
        if isinstance(signal, DataReceived) and signal.octets.rstrip(b"\0")
        else signal
        for signal in joined(heard)
    ]


EXPECTED: list[LineSignal] = [
    SignalStarted(Modem.V21),
    FrameReceived(Modem.V21, TSI),
    FrameReceived(Modem.V21, DCS),
    SignalEnded(Modem.V21),
    SignalStarted(Modem.V17_14400),
    DataReceived(Modem.V17_14400, bytes(2700)),
    SignalEnded(Modem.V17_14400),
    SignalStarted(Modem.V17_14400),
    *[FrameReceived(Modem.V17_14400, frame) for frame in FCD + RCP],
    SignalEnded(Modem.V17_14400),
    SignalStarted(Modem.V29_9600),
    DataReceived(Modem.V29_9600, PAGE.rstrip(b"\0")),
    SignalEnded(Modem.V29_9600),
    SignalStarted(Modem.V21),
    FrameReceived(Modem.V21, PPS),
    SignalEnded(Modem.V21),
]


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_good_line_carries_every_burst_exactly(version: int) -> None:
    pair = Pair(clean(), clean(), version=version)
    pair.say(0, *FAX)
    pair.run_to_silence()
    assert unpadded(pair.heard[1]) == EXPECTED
    assert pair.heard[0] == [TransmissionDone()]
    counters = pair.lines[1].counters
    assert counters.received == pair.lines[0].counters.sent
    assert (counters.lost, counters.undecodable, counters.unknown, counters.refused) == (0, 0, 0, 0)


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_loss_within_the_redundancy_cannot_be_told_from_a_good_line(seed: int, depth: int) -> None:
    pair = Pair(clean(), clean(), options=T38Options(image_redundancy=depth), max_datagram=1400)
    dice = random.Random(seed)
    missing = 0

    def lose(datagram: bytes) -> bool:
        nonlocal missing
        packet = Packet.decode(datagram)
        missing = missing + 1 if missing < depth and packet.sequence and dice.random() < 0.4 else 0
        return missing > 0

    pair.lose[0] = lose
    pair.say(0, *FAX)
    pair.run_to_silence()
    counters = pair.lines[1].counters
    assert unpadded(pair.heard[1]) == EXPECTED
    assert counters.lost == 0
    assert counters.repaired > 100


@pytest.mark.parametrize("seed", range(12))
def test_bad_line_still_tells_every_burst_and_owns_up_to_what_is_gone(seed: int) -> None:
    bad = BadLine(random.Random(seed), loss=0.05, burst_loss=0.5, duplicate=0.05, reorder=0.02, jitter=0.01)
    pair = Pair(bad, clean())
    pair.say(0, *FAX)
    pair.run_to_silence()
    heard = pair.heard[1]
    counters = pair.lines[1].counters
    assert sum(signal.packets for signal in heard if isinstance(signal, DataMissing)) <= counters.lost
    frames = [signal.octets for signal in heard if isinstance(signal, FrameReceived)]
    assert set(frames) <= {TSI, DCS, PPS, *FCD, *RCP}
    if counters.lost == 0:
        assert not any(isinstance(signal, FrameDamaged) for signal in heard)
    assert sum(isinstance(signal, SignalEnded) for signal in heard) == 5
    assert counters.restarts == 0


@pytest.mark.parametrize("seed", range(4))
def test_reordered_and_doubled_datagrams_are_heard_once(seed: int) -> None:
    bad = BadLine(random.Random(seed), duplicate=0.2, reorder=0.05, jitter=0.005)
    pair = Pair(bad, clean())
    pair.say(0, *FAX)
    pair.run_to_silence()
    assert unpadded(pair.heard[1]) == EXPECTED
    assert pair.lines[1].counters.repeated > 0


def test_both_ends_take_turns() -> None:
    pair = Pair(clean(1), clean(2))
    for _ in range(3):
        pair.say(0, SendFrames((PPS,)))
        pair.run(lambda: SignalEnded(Modem.V21) in pair.heard[1])
        ended_at = pair.now
        pair.say(1, SendFrames((MCF,)))
        pair.run(lambda: SignalStarted(Modem.V21) in pair.heard[0])
        assert pair.now - ended_at >= 0.075 + 0.075
        pair.run(lambda: SignalEnded(Modem.V21) in pair.heard[0])
        assert FrameReceived(Modem.V21, PPS) in pair.heard[1]
        assert FrameReceived(Modem.V21, MCF) in pair.heard[0]
        pair.heard = [[], []]


def test_answer_given_at_the_final_frame_waits_for_the_end_of_the_burst() -> None:
    pair = Pair(clean(1), clean(2))
    pair.say(0, SendFrames((PPS,)))
    pair.run(lambda: FrameReceived(Modem.V21, PPS) in pair.heard[1])
    pair.say(1, SendFrames((MCF,)))
    pair.run(lambda: SignalEnded(Modem.V21) in pair.heard[0])
    assert pair.heard[0].index(TransmissionDone()) < pair.heard[0].index(SignalStarted(Modem.V21))


def test_renegotiation_in_mid_page_loses_nothing() -> None:
    pair = Pair(clean(), clean())
    pair.say(0, SendImage(Modem.V17_14400, False, PAGE))
    pair.run(lambda: pair.now > 3.0)
    for line in pair.lines:
        line.renegotiate(replace(AGREED, max_datagram=200), pair.now)
    pair.run_to_silence()
    octets = b"".join(signal.octets for signal in pair.heard[1] if isinstance(signal, DataReceived))
    assert octets.rstrip(b"\0") == PAGE.rstrip(b"\0")
    assert pair.lines[1].counters.lost == 0


def test_line_time_can_be_shortened_between_two_of_us() -> None:
    pair = Pair(clean(), clean(), options=T38Options(pace=0.02))
    pair.say(0, *FAX)
    pair.run_to_silence()
    assert unpadded(pair.heard[1]) == EXPECTED
    assert pair.now < 1.0


@pytest.mark.parametrize("seed", range(4))
def test_parity_repairs_a_whole_fax_with_bursts_of_loss(seed: int) -> None:
    pair = Pair(clean(), clean(), options=T38Options(send_fec=True), max_datagram=1400, error_correction=FEC)
    dice = random.Random(seed)
    lost_at = -20

    def lose(datagram: bytes) -> bool:
        nonlocal lost_at
        sequence = Packet.decode(datagram).sequence
        if sequence > 10 and sequence >= lost_at + 15 and dice.random() < 0.1:
            lost_at = sequence
        return lost_at <= sequence < lost_at + 3

    pair.lose[0] = lose
    pair.say(0, *FAX)
    pair.run_to_silence()
    counters = pair.lines[1].counters
    assert unpadded(pair.heard[1]) == EXPECTED
    assert counters.repaired >= 30
    assert counters.lost == 0
