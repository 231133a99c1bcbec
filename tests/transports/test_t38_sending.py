import math
import random
from dataclasses import replace
from itertools import groupby, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfax.codecs import ifp
from vfax.codecs.ifp import Data, DataType, FieldType, Indication, Indicator
from vfax.errors import MisuseError
from vfax.signals import (
    LineSignal,
    Modem,
    SendEcm,
    SendFrames,
    SendImage,
    SendTone,
    SendTraining,
    StopSending,
    Tone,
    Transmission,
    TransmissionDone,
)
from vfax.transports.parameters import ErrorCorrection, RateManagement, T38Parameters
from vfax.transports.t38 import T38Line, T38Options
from vfax.transports.udptl import Packet, Sender

AGREED = T38Parameters(max_datagram=400)
CSI = b"\xff\xc0\x02" + b"\x0c" * 20
DIS = b"\xff\xc8\x01\x00\x77\x5f"
FCD = tuple(b"\xff\xc0\x60" + bytes((n,)) + bytes(range(256)) for n in range(8))
RCP = (b"\xff\xc0\x61",) * 3
FAST = [modem for modem in Modem if modem is not Modem.V21]

Sent = list[tuple[float, Packet]]


def us(seconds: float) -> float:
    """Rounded to microseconds, so that sums of floats compare."""
    return round(seconds, 6)


class Wire:
    """A line in virtual time and all it has sent."""

    def __init__(
        self, parameters: T38Parameters = AGREED, options: T38Options | None = None, *, keep_opening: bool = False
    ) -> None:
        self.now = 0.0
        self.line = T38Line(parameters, options or T38Options(), now=0.0)
        self.version = parameters.version
        self.sent: Sent = []
        self.heard: list[tuple[float, LineSignal]] = []
        self.collect()
        if not keep_opening:
            self.sent.clear()

    def collect(self) -> None:
        self.sent += [(self.now, Packet.decode(datagram)) for datagram in self.line.take_output()]
        self.heard += [(us(self.now), signal) for signal in self.line.take_signals()]

    def say(self, *orders: Transmission) -> "Wire":
        for order in orders:
            self.line.transmit(order, self.now)
            self.collect()
        return self

    def run(self, until: float = math.inf, late: float = 0.0) -> "Wire":
        """Let time pass to `until`, or to the end of what was ordered; every timer comes `late`."""
        while not (until == math.inf and self.done):
            due = max(self.line.next_timeout() + late, self.now)
            if due > until:
                self.now = until
                break
            self.now = due
            self.line.handle_timeout(self.now)
            self.collect()
        return self

    @property
    def done(self) -> bool:
        return bool(self.heard) and self.heard[-1][1] == TransmissionDone()

    def values(self) -> list[tuple[float, ifp.Ifp]]:
        return [(at, ifp.decode(packet.primary, self.version)) for at, packet in self.sent]

    def outline(self) -> list[tuple[float, str]]:
        """Time and name of each indicator and each kind of field, repeats and runs of the same taken once."""
        named: list[tuple[float, str]] = []
        for at, value in self.values():
            match value:
                case Indication(indicator):
                    named.append((us(at), indicator.title))
                case Data(_, fields):
                    named += [(us(at), field.type.title) for field in fields or ()]
        return [next(group) for _, group in groupby(named, key=lambda pair: pair[1])]

    def data(self, kind: FieldType) -> list[tuple[float, bytes]]:
        fields = [(at, f) for at, v in self.values() if isinstance(v, Data) for f in v.fields or ()]
        return [(at, field.octets) for at, field in fields if field.type is kind]


def hear(line: T38Line, sender: Sender, *packets: bytes, now: float) -> None:
    for packet in packets:
        line.receive(sender.send(packet, 0), now)


def test_line_opens_with_three_no_signals_from_number_zero() -> None:
    wire = Wire(keep_opening=True)
    assert [(packet.sequence, packet.primary) for _, packet in wire.sent] == [(0, b"\0"), (1, b"\0"), (2, b"\0")]


def test_v21_burst_has_silence_preamble_frames_and_end() -> None:
    wire = Wire().say(SendFrames((CSI, DIS))).run()
    octets = 0.030 * len(CSI)
    second = 1.075 + octets + (35 + 2) / 300  # ff c0 has ten ones in a row: two stuffed zeros; the rest has none
    assert wire.outline() == [
        (0.0, "no-signal"),
        (0.075, "v21-preamble"),
        (1.075, "hdlc-data"),
        (us(1.075 + octets - 0.030), "hdlc-fcs-OK"),
        (us(second), "hdlc-data"),
        (us(second + 0.030 * len(DIS)), "hdlc-fcs-OK-sig-end"),
        (us(second + 0.030 * len(DIS) + 0.1), "no-signal"),
    ]
    assert [octet for _, octet in wire.data(FieldType.HDLC_DATA)] == [bytes((o,)) for o in CSI + DIS]
    assert wire.heard == [(us(second + 0.030 * len(DIS) + 0.175), TransmissionDone())]


def test_indicators_and_ends_go_three_times_under_new_numbers() -> None:
    wire = Wire().say(SendFrames((DIS,))).run()
    runs = [(primary, len(list(group))) for primary, group in groupby(p.primary for _, p in wire.sent)]
    assert [run for run in runs if len(run[0]) < 6] == [(b"\0", 3), (b"\x06", 3), (b"\xc0\x01\x40", 3), (b"\0", 3)]
    assert all(count == 1 for primary, count in runs if len(primary) >= 6)
    assert [packet.sequence for _, packet in wire.sent] == list(range(3, 3 + len(wire.sent)))


@pytest.mark.parametrize("modem", FAST)
def test_image_keeps_to_its_absolute_schedule(modem: Modem) -> None:
    wire = Wire().say(SendImage(modem, False, bytes(range(1, 251)) * 40)).run()
    data = wire.data(FieldType.T4_NON_ECM_DATA)
    start, chunk = data[0][0], len(data[0][1])
    assert chunk == modem.rate_bps * 30 // 8000
    for number, (at, _) in enumerate(data):
        assert at == pytest.approx(start + number * chunk * 8 / modem.rate_bps, abs=1e-6)
    ends = wire.data(FieldType.T4_NON_ECM_SIG_END)
    total = sum(len(octets) for _, octets in data)
    assert ends[0][0] == pytest.approx(start + total * 8 / modem.rate_bps)


@pytest.mark.parametrize(
    ("modem", "short", "indicator", "wait"),
    [
        (Modem.V27TER_2400, False, Indicator.V27_2400_TRAINING, 0.943),
        (Modem.V27TER_4800, True, Indicator.V27_4800_TRAINING, 0.708),
        (Modem.V29_9600, True, Indicator.V29_9600_TRAINING, 0.234),
        (Modem.V17_14400, True, Indicator.V17_14400_SHORT_TRAINING, 0.142),
        (Modem.V17_14400, False, Indicator.V17_14400_LONG_TRAINING, 1.393),
        (Modem.V17_7200, False, Indicator.V17_7200_LONG_TRAINING, 1.393),
    ],
)
def test_data_waits_for_the_training_of_the_modem(modem: Modem, short: bool, indicator: Indicator, wait: float) -> None:
    wire = Wire().say(SendImage(modem, short, b"\1" * 300)).run()
    assert wire.outline()[1] == (0.075, indicator.title)
    assert wire.data(FieldType.T4_NON_ECM_DATA)[0][0] == pytest.approx(0.075 + wait)


def test_page_is_sent_whole_and_padded_by_forty_milliseconds() -> None:
    page = bytes(range(256)) * 9
    wire = Wire().say(SendImage(Modem.V17_14400, True, page)).run()
    sent = b"".join(octets for _, octets in wire.data(FieldType.T4_NON_ECM_DATA))
    assert sent.startswith(page)
    assert sent[len(page) :] == bytes(len(sent) - len(page))
    assert 14400 * 0.04 / 8 <= len(sent) - len(page) <= 14400 * 0.1 / 8
    assert [name for _, name in wire.outline()][-2:] == ["t4-non-ecm-sig-end", "no-signal"]


def test_tcf_is_zeros_at_the_rate_behind_long_training() -> None:
    wire = Wire().say(SendTraining(Modem.V17_14400, 2700)).run()
    data = wire.data(FieldType.T4_NON_ECM_DATA)
    assert b"".join(octets for _, octets in data) == bytes(2700)
    assert wire.outline()[1][1] == "v17-14400-long-training"
    assert wire.data(FieldType.T4_NON_ECM_SIG_END)[0][0] - data[0][0] == pytest.approx(1.5)


def test_local_tcf_sends_training_and_its_time_but_no_zeros() -> None:
    local = replace(AGREED, rate_management=RateManagement.LOCAL_TCF)
    wire = Wire(local).say(SendTraining(Modem.V17_14400, 2700)).run()
    assert wire.outline() == [
        (0.0, "no-signal"),
        (0.075, "v17-14400-long-training"),
        (us(0.075 + 1.393 + 1.5), "no-signal"),
    ]


def test_ecm_burst_has_flags_then_frames_each_closed_then_rcp_and_end() -> None:
    wire = Wire().say(SendEcm(Modem.V17_14400, True, FCD + RCP)).run()
    data = wire.data(FieldType.HDLC_DATA)
    assert data[0][0] == pytest.approx(0.075 + 0.142 + 0.2)
    assert b"".join(octets for _, octets in data) == b"".join(FCD + RCP)
    assert len(wire.data(FieldType.HDLC_FCS_OK)) == len(FCD) + 2
    assert len(wire.data(FieldType.HDLC_FCS_OK_SIG_END)) == 3
    assert not wire.data(FieldType.HDLC_SIG_END)


@pytest.mark.parametrize("filler", [0x00, 0x55, 0xFF, 0xF8])
@pytest.mark.parametrize("modem", [Modem.V27TER_2400, Modem.V29_9600, Modem.V17_14400])
def test_frames_never_outrun_the_modem_behind_the_peer(modem: Modem, filler: int) -> None:
    frames = tuple(b"\xff\xc0\x60" + bytes((n,)) + bytes((filler,)) * 256 for n in range(6))
    wire = Wire().say(SendEcm(modem, False, frames)).run()
    data = wire.data(FieldType.HDLC_DATA)
    starts = [at for at, octets in data if octets[:3] == b"\xff\xc0\x60"]
    bits = [f"{int.from_bytes(frame, 'big'):b}" for frame in frames]
    line_time = [(8 * 260 + text.count("11111") + 16 + 8) / modem.rate_bps for text in bits]
    for needs, (one, two) in zip(line_time, pairwise(starts), strict=False):
        assert needs <= two - one <= needs + 4 / modem.rate_bps


def test_stuffing_makes_black_frames_slower() -> None:
    ends = []
    for filler in (b"\x00", b"\xff"):
        frames = tuple(b"\xff\xc0\x60" + bytes((n,)) + filler * 256 for n in range(6))
        wire = Wire().say(SendEcm(Modem.V17_14400, False, frames)).run()
        ends.append(wire.data(FieldType.HDLC_FCS_OK_SIG_END)[0][0])
    assert ends[1] - ends[0] > 5 * 256 * 8 / 5 / 14400


@pytest.mark.parametrize("version", [0, 1, 2, 3])
@pytest.mark.parametrize(
    "order",
    [SendFrames((CSI, DIS)), SendTraining(Modem.V29_9600, 1800), SendEcm(Modem.V17_14400, True, FCD + RCP)],
)
def test_field_without_data_is_only_ever_the_last_of_its_packet(version: int, order: Transmission) -> None:
    wire = Wire(replace(AGREED, version=version)).say(order).run()
    for _, value in wire.values():
        assert not isinstance(value, ifp.Unknown)
        if isinstance(value, Data):
            assert all(field.octets for field in (value.fields or ())[:-1])


def test_control_repeats_three_and_image_one_earlier_packet() -> None:
    wire = Wire().say(SendFrames((DIS,)), SendImage(Modem.V17_14400, True, bytes(900))).run()
    depths: dict[bool, list[int]] = {True: [], False: []}
    for (_, packet), (_, value) in zip(wire.sent, wire.values(), strict=True):
        fields = value.fields or () if isinstance(value, Data) else ()
        page = any(field.type is FieldType.T4_NON_ECM_DATA for field in fields)
        depths[page].append(len(packet.earlier))
    assert set(depths[False]) == {3}
    assert depths[True][:2] == [3, 2]  # the training indicator is still in reach
    assert set(depths[True][2:]) == {1}


def test_nothing_is_repeated_where_no_error_correction_was_agreed() -> None:
    wire = Wire(replace(AGREED, error_correction=ErrorCorrection.NONE)).say(SendFrames((DIS,))).run()
    assert all(not packet.earlier for _, packet in wire.sent)


@pytest.mark.parametrize(
    ("announced", "octets"), [(400, 54), (124, 54), (100, 42), (88, 36), (72, 54), (40, 35), (None, 54)]
)
def test_packets_shrink_to_what_the_peer_takes(announced: int | None, octets: int) -> None:
    page = bytes(range(1, 200)) * 20
    wire = Wire(replace(AGREED, max_datagram=announced)).say(SendImage(Modem.V17_14400, True, page)).run()
    data = wire.data(FieldType.T4_NON_ECM_DATA)
    assert len(data[0][1]) == octets
    assert b"".join(part for _, part in data).startswith(page)
    largest = max(len(packet.encode()) for _, packet in wire.sent[8:])
    assert largest <= (announced if announced is not None and announced >= 88 else 400)
    assert data[10][0] - data[0][0] == pytest.approx(10 * octets * 8 / 14400)


def test_orders_that_follow_each_other_share_one_silence() -> None:
    wire = Wire().say(SendFrames((DIS,)), SendTraining(Modem.V17_14400, 2700)).run()
    outline = wire.outline()
    quiet = next(at for at, name in outline[1:] if name == "no-signal")
    assert (us(quiet + 0.075), "v17-14400-long-training") in outline
    assert sum(name == "no-signal" for _, name in outline) == 3
    assert sum(signal == TransmissionDone() for _, signal in wire.heard) == 1


def test_order_within_our_own_trailing_silence_follows_at_once() -> None:
    wire = Wire().say(SendFrames((DIS,))).run(1.4)
    assert wire.outline()[-1] == (1.355, "no-signal")
    wire.say(SendTraining(Modem.V29_9600, 1800)).run()
    assert [name for _, name in wire.outline()].count("no-signal") == 3
    assert sum(signal == TransmissionDone() for _, signal in wire.heard) == 1


def test_tones_are_indicators_of_their_length() -> None:
    assert Wire().say(SendTone(Tone.CED)).run().outline() == [(0.0, "no-signal"), (0.2, "ced"), (3.2, "no-signal")]
    assert Wire().say(SendTone(Tone.CNG)).run().outline() == [(0.0, "cng"), (0.5, "no-signal")]


def test_late_timers_neither_drift_nor_send_more_than_two_packets_back_to_back() -> None:
    wire = Wire().say(SendImage(Modem.V17_14400, False, b"\1" * 5400))
    wire.run(2.0)
    wire.now = 2.19  # the process slept
    wire.line.handle_timeout(wire.now)
    wire.collect()
    wire.run()
    data = wire.data(FieldType.T4_NON_ECM_DATA)
    assert all(len(list(group)) <= 2 for _, group in groupby(data, key=lambda pair: pair[0]))
    assert data[-2][0] == pytest.approx(data[0][0] + (len(data) - 2) * 0.03)


def test_every_timer_late_by_a_little_does_not_add_up() -> None:
    wire = Wire().say(SendImage(Modem.V17_14400, False, b"\1" * 54000)).run(late=0.004)
    data = wire.data(FieldType.T4_NON_ECM_DATA)
    assert data[-2][0] - data[0][0] == pytest.approx((len(data) - 2) * 0.03, abs=0.005)


def test_after_a_long_stall_the_schedule_moves_with_it() -> None:
    wire = Wire().say(SendImage(Modem.V17_14400, False, b"\1" * 5400)).run(2.0)
    wire.now = 7.0
    wire.run()
    late = [at for at, _ in wire.data(FieldType.T4_NON_ECM_DATA) if at >= 7.0]
    assert late[1] - late[0] < 0.03
    # what a gateway can hold is caught up, not five seconds
    assert len([at for at in late if at < 8.0]) <= 1.0 / 0.03 + 0.2 / 0.03 + 2


def test_preamble_keeps_its_length_when_timers_are_late() -> None:
    wire = Wire().say(SendFrames((DIS,)))
    wire.run(0.05)
    wire.now = 0.5
    outline = wire.run().outline()
    preamble = next(at for at, name in outline if name == "v21-preamble")
    assert (preamble, us(outline[2][0] - preamble)) == (0.5, 1.0)


def test_stop_cuts_at_once_and_drops_what_was_queued() -> None:
    wire = Wire().say(SendImage(Modem.V17_14400, False, b"\1" * 9000), SendFrames((DIS,))).run(2.0)
    before = len(wire.sent)
    wire.say(StopSending())
    assert [packet.primary for _, packet in wire.sent[before:]] == [b"\0"] * 3
    wire.run()
    assert len(wire.sent) == before + 3
    assert wire.heard == [(us(2.075), TransmissionDone())]


def test_stop_of_a_silent_line_says_nothing() -> None:
    wire = Wire().say(StopSending()).run(10.0)
    assert (wire.sent, wire.heard) == ([], [])


def test_order_after_stop_is_sent() -> None:
    wire = Wire().say(SendImage(Modem.V17_14400, False, b"\1" * 9000)).run(2.0).say(StopSending(), SendFrames((DIS,)))
    assert wire.run().data(FieldType.HDLC_FCS_OK_SIG_END)


def test_silent_line_keeps_the_stream_alive_every_fifteen_seconds() -> None:
    wire = Wire().run(61.0)
    assert [(at, packet.primary, packet.sequence) for at, packet in wire.sent] == [
        (15.0, b"\0", 3),
        (30.0, b"\0", 4),
        (45.0, b"\0", 5),
        (60.0, b"\0", 6),
    ]


def test_own_burst_waits_for_the_end_of_the_peers_and_then_75_ms() -> None:
    wire, peer = Wire(), Sender()
    hear(wire.line, peer, b"\x06", now=0.0)
    wire.collect()
    wire.say(SendFrames((DIS,))).run(0.2)
    assert wire.sent == []
    wire.now = 0.25
    hear(wire.line, peer, b"\0", now=0.25)
    wire.run()
    assert wire.outline()[:2] == [(0.325, "no-signal"), (us(0.4), "v21-preamble")]


def test_own_burst_does_not_wait_for_ever() -> None:
    wire, peer = Wire(), Sender()
    hear(wire.line, peer, b"\x1e", now=0.0)
    wire.say(SendFrames((DIS,))).run()
    assert wire.outline()[0] == (0.5, "no-signal")


def test_order_right_behind_the_peers_burst_keeps_the_silence() -> None:
    wire, peer = Wire(), Sender()
    hear(wire.line, peer, b"\x06", b"\0", now=0.0)
    wire.now = 0.01
    wire.say(SendFrames((DIS,))).run()
    assert wire.outline()[0] == (0.075, "no-signal")


def test_renegotiation_keeps_numbers_and_the_burst() -> None:
    wire = Wire().say(SendFrames((CSI, DIS))).run(1.5)
    wire.line.renegotiate(replace(AGREED, version=1, max_datagram=72), wire.now)
    wire.run()
    assert [packet.sequence for _, packet in wire.sent] == list(range(3, 3 + len(wire.sent)))
    assert wire.sent[-4][1].primary == b"\xc0\x01\x20"  # hdlc-fcs-OK-sig-end of version 1


def test_faster_pace_shortens_all_but_the_content() -> None:
    wire = Wire(options=T38Options(pace=0.01)).say(SendImage(Modem.V17_14400, False, b"\1" * 5400)).run()
    sent = b"".join(octets for _, octets in wire.data(FieldType.T4_NON_ECM_DATA))
    assert sent.rstrip(b"\0") == b"\1" * 5400
    assert wire.now < 0.1


@pytest.mark.parametrize(
    "order",
    [
        SendFrames(()),
        SendFrames((b"",)),
        SendEcm(Modem.V17_14400, True, ()),
        SendImage(Modem.V21, False, b"x"),
        SendTraining(Modem.V21, 10),
    ],
)
def test_order_that_cannot_be_a_burst_is_our_own_bug(order: Transmission) -> None:
    with pytest.raises(MisuseError):
        Wire().say(order)


@given(
    st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=4),
    st.sampled_from(Modem),
    st.integers(0, 3),
    st.sampled_from([None, 40, 72, 90, 200]),
)
@settings(max_examples=60)
def test_every_burst_carries_its_octets_and_ends_once(
    frames: list[bytes], modem: Modem, version: int, announced: int | None
) -> None:
    agreed = replace(AGREED, version=version, max_datagram=announced)
    order = SendFrames(tuple(frames)) if modem is Modem.V21 else SendEcm(modem, True, tuple(frames))
    wire = Wire(agreed).say(order).run()
    assert b"".join(octets for _, octets in wire.data(FieldType.HDLC_DATA)) == b"".join(frames)
    assert len(wire.data(FieldType.HDLC_FCS_OK)) == len(frames) - 1
    types = {value.type for _, value in wire.values() if isinstance(value, Data)}
    assert types == {DataType[modem.name.replace("TER", "")]}


def test_ten_minutes_of_page_data_do_not_drift_and_no_packet_is_late() -> None:
    wire = Wire().say(SendImage(Modem.V17_14400, False, bytes(range(1, 251)) * 4320)).run()
    packets = wire.data(FieldType.T4_NON_ECM_DATA)
    first = packets[0][0]
    late, octets = [], 0
    for at, data in packets:
        late.append(at - (first + octets * 8 / 14400))
        octets += len(data)
    assert octets * 8 / 14400 > 600
    assert max(map(abs, late)) < 1e-6


@pytest.mark.parametrize("rate", [Modem.V27TER_2400, Modem.V29_9600, Modem.V17_14400])
def test_timers_late_at_random_are_never_late_in_sum(rate: Modem) -> None:
    dice = random.Random(11)
    wire = Wire().say(SendImage(rate, False, bytes(range(1, 251)) * 100))
    while not wire.done:
        wire.now = max(wire.now, wire.line.next_timeout() + dice.choice((0.0, 0.0, 0.004, 0.02)))
        wire.line.handle_timeout(wire.now)
        wire.collect()
    packets = wire.data(FieldType.T4_NON_ECM_DATA)
    first, octets = packets[0][0], 0
    for at, data in packets:
        assert -0.021 < at - (first + octets * 8 / rate.rate_bps) < 0.021 + 0.03
        octets += len(data)
