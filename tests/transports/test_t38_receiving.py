import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfax.codecs import ifp
from vfax.codecs.ifp import Data, DataType, Field, FieldType, Indication, Indicator
from vfax.signals import (
    DataMissing,
    DataReceived,
    FrameDamaged,
    FrameReceived,
    LineSignal,
    Modem,
    SendEcm,
    SendFrames,
    SignalEnded,
    SignalStarted,
    Tone,
    ToneHeard,
)
from vfax.transports.parameters import T38Parameters
from vfax.transports.t38 import T38Line, T38Options
from vfax.transports.t38_tables import ANNOUNCED, CARRIERS
from vfax.transports.udptl import Fec, Packet, Sender

AGREED = T38Parameters(max_datagram=400)
V21, V17 = Modem.V21, Modem.V17_14400
DIS = b"\xff\xc8\x01\x00\x77\x5f"
CSI = b"\xff\xc0\x02" + b"\x0c" * 20
RCP = b"\xff\xc0\x61"

NO_SIGNAL, PREAMBLE = Indication(Indicator.NO_SIGNAL), Indication(Indicator.V21_PREAMBLE)
TRAINING = Indication(Indicator.V17_14400_LONG_TRAINING)

F = FieldType


def v21(*fields: tuple[FieldType, bytes] | FieldType) -> Data:
    return Data(DataType.V21, tuple(Field(f) if isinstance(f, FieldType) else Field(*f) for f in fields))


def fast(*fields: tuple[FieldType, bytes] | FieldType) -> Data:
    return replace(v21(*fields), type=DataType.V17_14400)


def octets(frame: bytes) -> list[Data]:
    return [v21((F.HDLC_DATA, bytes((octet,)))) for octet in frame]


class Peer:
    """Somebody who says IFPs one by one to a line."""

    def __init__(self, version: int = 0, options: T38Options | None = None) -> None:
        self.version = version
        self.line = T38Line(replace(AGREED, version=version), options or T38Options(), now=0.0)
        self.sender = Sender()
        self.now = 0.0

    def say(self, *packets: Indication | Data | bytes, depth: int = 0) -> list[LineSignal]:
        for packet in packets:
            raw = packet if isinstance(packet, bytes) else ifp.encode(packet, self.version)
            self.line.receive(self.sender.send(raw, depth), self.now)
        return self.line.take_signals()

    def lose(self, *packets: Indication | Data) -> "Peer":
        for packet in packets:
            self.sender.send(ifp.encode(packet, self.version), 0)
        return self

    def wait(self, seconds: float) -> list[LineSignal]:
        end = self.now + seconds
        while self.line.next_timeout() <= end:
            self.line.handle_timeout(self.line.next_timeout())
        self.now = end
        return self.line.take_signals()


def test_number_of_a_data_type_is_the_place_of_its_carrier() -> None:
    assert [carrier.data for carrier in CARRIERS] == list(DataType)[:9]
    assert len(ANNOUNCED) == 13  # nine modems, four of them with a short training too


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_frames_are_assembled_octet_by_octet(version: int) -> None:
    heard = Peer(version).say(
        *[PREAMBLE] * 3,
        *octets(CSI),
        v21(F.HDLC_FCS_OK),
        *octets(DIS),
        *[v21(F.HDLC_FCS_OK_SIG_END)] * 3,
        *[NO_SIGNAL] * 3,
    )
    assert heard == [SignalStarted(V21), FrameReceived(V21, CSI), FrameReceived(V21, DIS), SignalEnded(V21)]


def test_whole_frame_in_one_packet_repeated_under_new_numbers_is_one_frame() -> None:
    whole = v21((F.HDLC_DATA, DIS), F.HDLC_FCS_OK_SIG_END)
    peer = Peer()
    assert peer.say(PREAMBLE, whole, whole, whole, NO_SIGNAL) == [
        SignalStarted(V21),
        FrameReceived(V21, DIS),
        SignalEnded(V21),
    ]
    assert len(peer.say(PREAMBLE, whole, NO_SIGNAL)) == 3  # the same command again, later, is another one


def test_tcf_is_data_between_start_and_end() -> None:
    zeros = fast((F.T4_NON_ECM_DATA, bytes(54)))
    heard = Peer().say(TRAINING, TRAINING, zeros, zeros, fast(F.T4_NON_ECM_SIG_END), NO_SIGNAL)
    assert heard == [SignalStarted(V17), *[DataReceived(V17, bytes(54))] * 2, SignalEnded(V17)]


def test_last_octets_in_the_end_field_are_kept_and_its_repeats_are_not() -> None:
    end = fast((F.T4_NON_ECM_SIG_END, b"tail"))
    heard = Peer().say(TRAINING, fast((F.T4_NON_ECM_DATA, b"page")), end, end, end, NO_SIGNAL)
    assert heard == [SignalStarted(V17), DataReceived(V17, b"page"), DataReceived(V17, b"tail"), SignalEnded(V17)]


@pytest.mark.parametrize(
    "end",
    [
        fast(F.T4_NON_ECM_SIG_END),
        fast(F.HDLC_SIG_END),
        NO_SIGNAL,
        PREAMBLE,
        Indication(Indicator.CNG),
        v21((F.HDLC_DATA, b"\xff")),
    ],
    ids=str,
)
def test_whatever_ends_a_page_ends_it_once(end: Indication | Data) -> None:
    heard = Peer().say(TRAINING, fast((F.T4_NON_ECM_DATA, b"page")), end, end, NO_SIGNAL)
    assert heard.count(SignalEnded(V17)) == 1
    assert heard.index(SignalEnded(V17)) == 2


def test_ecm_burst_of_identical_rcp_frames_keeps_all_three() -> None:
    rcp = fast((F.HDLC_DATA, RCP), F.HDLC_FCS_OK)
    heard = Peer().say(TRAINING, rcp, rcp, rcp, fast(F.HDLC_SIG_END), NO_SIGNAL)
    assert heard == [SignalStarted(V17), *[FrameReceived(V17, RCP)] * 3, SignalEnded(V17)]


def test_data_without_an_indicator_opens_a_burst() -> None:
    heard = Peer().say(v21((F.HDLC_DATA, DIS), F.HDLC_FCS_OK_SIG_END))
    assert heard == [SignalStarted(V21), FrameReceived(V21, DIS), SignalEnded(V21)]


def test_end_without_a_burst_is_nothing() -> None:
    assert Peer().say(v21(F.HDLC_FCS_OK_SIG_END), v21(F.HDLC_SIG_END), fast(F.T4_NON_ECM_SIG_END), NO_SIGNAL) == []


def test_frame_that_does_not_begin_with_its_address_is_damaged() -> None:
    heard = Peer().say(PREAMBLE, *octets(b"\x7e" + DIS), v21(F.HDLC_FCS_OK), *octets(DIS), v21(F.HDLC_FCS_OK_SIG_END))
    assert heard == [SignalStarted(V21), FrameDamaged(V21), FrameReceived(V21, DIS), SignalEnded(V21)]


def test_frame_with_bad_fcs_is_damaged_once() -> None:
    bad = v21(F.HDLC_FCS_BAD)
    heard = Peer().say(PREAMBLE, *octets(DIS), bad, bad, bad, *octets(DIS), v21(F.HDLC_FCS_BAD_SIG_END), NO_SIGNAL)
    assert heard == [SignalStarted(V21), FrameDamaged(V21), FrameDamaged(V21), SignalEnded(V21)]


def test_octets_inside_the_fcs_field_belong_to_the_frame() -> None:
    last = v21((F.HDLC_FCS_OK_SIG_END, DIS[4:]))
    heard = Peer().say(PREAMBLE, v21((F.HDLC_DATA, DIS[:4])), last, last, last, NO_SIGNAL)
    assert heard == [SignalStarted(V21), FrameReceived(V21, DIS), SignalEnded(V21)]


def test_fcs_with_nothing_before_it_is_no_frame() -> None:
    ok = v21(F.HDLC_FCS_OK)
    heard = Peer().say(PREAMBLE, ok, *octets(DIS), ok, ok, v21(F.HDLC_SIG_END))
    assert heard == [SignalStarted(V21), FrameReceived(V21, DIS), SignalEnded(V21)]


@pytest.mark.parametrize(("size", "fate"), [(270, FrameReceived), (271, FrameDamaged), (5000, FrameDamaged)])
def test_endless_frame_is_damaged_and_takes_no_memory(size: int, fate: type[LineSignal]) -> None:
    frame = b"\xff\xc0" + bytes(size - 2)
    chunks = [fast((F.HDLC_DATA, frame[at : at + 100])) for at in range(0, size, 100)]
    heard = Peer().say(TRAINING, *chunks, fast(F.HDLC_FCS_OK), fast((F.HDLC_DATA, RCP), F.HDLC_FCS_OK))
    assert isinstance(heard[1], fate)
    assert heard[2] == FrameReceived(V17, RCP)


def test_loss_inside_a_frame_damages_that_frame_only() -> None:
    peer = Peer()
    heard = peer.say(PREAMBLE, *octets(CSI[:5]))
    heard += peer.lose(*octets(CSI[5:7])).say(*octets(CSI[7:]), v21(F.HDLC_FCS_OK), *octets(DIS), v21(F.HDLC_FCS_OK))
    assert heard == [SignalStarted(V21), DataMissing(2), FrameDamaged(V21), FrameReceived(V21, DIS)]


def test_middle_of_a_frame_whose_beginning_is_lost_is_not_a_frame() -> None:
    peer = Peer()
    peer.say(PREAMBLE)
    heard = peer.lose(*octets(b"\xff\xc0\x60\x00")).say(*octets(b"\xff\xff\x00"), v21(F.HDLC_FCS_OK))
    assert heard == [DataMissing(4), FrameDamaged(V21)]


def test_loss_before_an_announced_burst_does_not_touch_it() -> None:
    peer = Peer()
    peer.say(NO_SIGNAL)
    heard = peer.lose(NO_SIGNAL).say(PREAMBLE, v21(F.HDLC_FCS_OK), *octets(DIS), v21(F.HDLC_FCS_OK_SIG_END))
    assert heard == [DataMissing(1), SignalStarted(V21), FrameReceived(V21, DIS), SignalEnded(V21)]


def test_lost_end_of_one_frame_never_joins_two() -> None:
    peer = Peer()
    peer.say(TRAINING, fast((F.HDLC_DATA, b"\xff\xc0\x60\x00" + bytes(50))))
    heard = peer.lose(fast(F.HDLC_FCS_OK)).say(
        fast((F.HDLC_DATA, RCP), F.HDLC_FCS_OK), fast((F.HDLC_DATA, RCP), F.HDLC_FCS_OK)
    )
    assert heard == [DataMissing(1), FrameDamaged(V17), FrameReceived(V17, RCP)]


def test_frame_left_open_at_the_end_is_damaged() -> None:
    assert Peer().say(PREAMBLE, *octets(DIS), NO_SIGNAL)[1:] == [FrameDamaged(V21), SignalEnded(V21)]


def test_loss_on_a_silent_line_is_said_when_the_line_is_heard_again() -> None:
    """A whole burst may have been in it."""
    peer = Peer()
    peer.say(NO_SIGNAL)
    assert peer.lose(NO_SIGNAL).say(NO_SIGNAL) == [DataMissing(1)]
    assert peer.say(NO_SIGNAL) == []


def test_what_is_lost_before_an_indicator_is_no_part_of_its_burst() -> None:
    peer = Peer()
    peer.say(NO_SIGNAL)
    assert peer.lose(NO_SIGNAL).say(TRAINING) == [DataMissing(1), SignalStarted(V17)]


def test_what_is_lost_before_unannounced_data_is_missing_from_its_burst() -> None:
    peer = Peer()
    peer.say(NO_SIGNAL)
    heard = peer.lose(TRAINING, fast((F.T4_NON_ECM_DATA, b"pa"))).say(fast((F.T4_NON_ECM_DATA, b"ge")))
    assert heard == [SignalStarted(V17), DataMissing(2), DataReceived(V17, b"ge")]


def test_tones_are_heard_once() -> None:
    ced, cng, ansam = (Indication(i) for i in (Indicator.CED, Indicator.CNG, Indicator.V8_ANSAM))
    assert Peer().say(ced, ced, ced, NO_SIGNAL) == [ToneHeard(Tone.CED)]
    assert Peer().say(cng, cng, NO_SIGNAL, cng) == [ToneHeard(Tone.CNG)] * 2
    assert Peer(3).say(ansam, ansam) == [ToneHeard(Tone.CED)]


@pytest.mark.parametrize(
    "packet", ["2040", "2100", "2180", "21c0", "e00001c000000031", "e14001800000ff", "e18001800000ff"]
)
def test_what_needs_v34_or_is_not_defined_is_ignored(packet: str) -> None:
    peer = Peer(3)
    peer.say(TRAINING)
    assert peer.say(bytes.fromhex(packet), fast((F.T4_NON_ECM_DATA, b"page"))) == [DataReceived(V17, b"page")]
    assert peer.line.counters.unknown == 1


def test_octet_aligned_dialect_is_understood() -> None:
    packets = bytes.fromhex("c003800005ffc80100775f1008")
    assert Peer(1).say(PREAMBLE, packets) == [SignalStarted(V21), FrameReceived(V21, DIS), SignalEnded(V21)]


def test_silence_inside_a_burst_ends_it_after_fifteen_seconds() -> None:
    peer = Peer()
    peer.say(TRAINING, fast((F.T4_NON_ECM_DATA, b"page")))
    assert peer.wait(14.9) == []
    assert peer.wait(0.2) == [SignalEnded(V17)]
    assert peer.wait(60.0) == []


def test_final_frame_and_silence_end_a_burst_whose_end_never_comes() -> None:
    peer = Peer()
    peer.say(PREAMBLE, *octets(DIS), v21(F.HDLC_FCS_OK))
    assert peer.wait(0.19) == []
    assert peer.wait(0.02) == [SignalEnded(V21)]
    assert peer.say(v21(F.HDLC_SIG_END), NO_SIGNAL) == []


def test_frame_with_more_to_follow_does_not_end_a_burst() -> None:
    peer = Peer()
    peer.say(PREAMBLE, *octets(CSI), v21(F.HDLC_FCS_OK))
    assert peer.wait(5.0) == []


def test_fec_repaired_packets_are_read_with_their_padding() -> None:
    peer = Peer()
    packets = [ifp.encode(p, 0) for p in (TRAINING, fast((F.HDLC_DATA, RCP)), fast(F.HDLC_FCS_OK), NO_SIGNAL)]
    parity = b""
    for number, packet in enumerate(packets):
        row = Fec(2, (parity,)) if number else Fec(0, ())
        if number != 2:
            peer.line.receive(Packet(number, packet, (), row).encode(), 0.0)
        size = max(len(packet), len(packets[number - 1]))
        both = (p.ljust(size, b"\0") for p in (packet, packets[number - 1]))
        parity = bytes(a ^ b for a, b in zip(*both, strict=True))
    assert peer.line.take_signals() == [SignalStarted(V17), FrameReceived(V17, RCP), SignalEnded(V17)]
    assert peer.line.counters.repaired == 1


@pytest.mark.parametrize(
    "packet", [b"\xc0\x01", bytes.fromhex("c0ff"), b"\xc0\x80\x80" + bytes(600), b"\x80", b"\x07" * 20]
)
def test_undecodable_packet_counts_as_a_loss_in_its_place(packet: bytes) -> None:
    peer = Peer()
    peer.say(PREAMBLE, *octets(DIS[:3]))
    heard = peer.say(packet, *octets(DIS[3:]), v21(F.HDLC_FCS_OK), *octets(DIS), v21(F.HDLC_FCS_OK_SIG_END))
    assert heard == [DataMissing(1), FrameDamaged(V21), FrameReceived(V21, DIS), SignalEnded(V21)]
    assert peer.line.counters.undecodable == 1


def test_packets_beyond_the_limits_are_refused() -> None:
    peer = Peer()
    peer.say(TRAINING)
    assert peer.say(fast((F.T4_NON_ECM_DATA, bytes(1490))))[0] == DataReceived(V17, bytes(1490))
    assert peer.say(fast((F.T4_NON_ECM_DATA, bytes(1501)))) == [DataMissing(1)]
    peer.line.receive(Packet(3, bytes(2100)).encode(), 0.0)
    assert (peer.line.counters.undecodable, peer.line.counters.refused) == (1, 1)


def test_rtp_and_other_rubbish_is_refused_and_not_taken_for_life() -> None:
    line = T38Line(AGREED, now=0.0)
    rtp = b"\x80\x00\x12\x34" + bytes(8) + b"\xd5" * 160
    for datagram in (b"", b"\0", rtp, bytes(20), b"\xff" * 20):
        line.receive(datagram, 5.0)
        assert not line.understands(datagram)
    assert (line.counters.refused, line.quiet_since) == (5, 0.0)
    line.receive(Packet(0, b"\0").encode(), 6.0)
    assert (line.understands(Packet(0, b"\0").encode()), line.quiet_since) == (True, 6.0)


def test_empty_primary_keeps_the_stream_alive_and_says_nothing() -> None:
    peer = Peer()
    peer.say(PREAMBLE, *octets(DIS[:3]))
    assert peer.say(b"", *octets(DIS[3:]), b"", v21(F.HDLC_FCS_OK)) == [FrameReceived(V21, DIS)]
    assert peer.line.counters.lost == 0


def test_version_can_change_in_mid_call() -> None:
    peer = Peer(0)
    peer.say(PREAMBLE, *octets(CSI), v21(F.HDLC_FCS_OK))
    peer.line.renegotiate(replace(AGREED, version=1), 0.0)
    peer.version = 1
    assert peer.say(*octets(DIS), v21(F.HDLC_FCS_OK_SIG_END)) == [FrameReceived(V21, DIS), SignalEnded(V21)]


indications = st.sampled_from(Indicator).map(Indication)
any_field = st.builds(Field, st.sampled_from(list(FieldType)[:8]), st.binary(max_size=4) | st.just(DIS))
any_data = st.builds(Data, st.sampled_from(list(DataType)[:9]), st.lists(any_field, max_size=3).map(tuple))


@given(st.lists(indications | any_data | st.just(None), max_size=40))
def test_bursts_start_once_and_end_once_whatever_is_said(packets: list[Indication | Data | None]) -> None:
    peer = Peer(3)
    heard: list[LineSignal] = []
    for packet in packets:
        heard += peer.lose(NO_SIGNAL).say() if packet is None else peer.say(packet)
    heard += peer.wait(20.0)
    under_way: Modem | None = None
    for signal in heard:
        match signal:
            case SignalStarted(modem):
                assert under_way is None
                under_way = modem
            case SignalEnded(modem):
                assert under_way is modem
                under_way = None
            case FrameReceived(modem, _) | FrameDamaged(modem) | DataReceived(modem, _):
                assert under_way is modem
            case DataMissing():
                pass
            case _:
                assert under_way is None
    assert under_way is None
    told = sum(signal.packets for signal in heard if isinstance(signal, DataMissing))
    assert told <= peer.line.counters.lost + peer.line.counters.undecodable


def recorded(orders: list[SendFrames | SendEcm]) -> list[tuple[float, bytes]]:
    line = T38Line(AGREED, now=0.0)
    for order in orders:
        line.transmit(order, 0.0)
    stream = [(0.0, datagram) for datagram in line.take_output()]
    while not line.take_signals():
        now = line.next_timeout()
        line.handle_timeout(now)
        stream += [(now, datagram) for datagram in line.take_output()]
    return stream


def spoiled(datagram: bytes, dice: random.Random) -> bytes:
    """A random datagram, or a real one with some of its octets changed, cut or repeated."""
    fate = dice.randrange(5)
    if fate == 0:
        return dice.randbytes(dice.randrange(80))
    if fate == 1:
        return datagram[: dice.randrange(len(datagram))]
    if fate == 2:
        return datagram + dice.randbytes(dice.randrange(1, 9))
    changed = bytearray(datagram)
    for _ in range(dice.randrange(1, 4)):
        changed[dice.randrange(len(changed))] = dice.randrange(256)
    return bytes(changed)


@pytest.mark.parametrize("seed", range(4))
def test_stream_survives_thousands_of_random_and_mutated_datagrams(seed: int) -> None:
    dice = random.Random(seed)
    frames = tuple(b"\xff\xc0\x60" + bytes((n,)) + dice.randbytes(256) for n in range(30))
    garbled = recorded([SendFrames((CSI, DIS)), SendEcm(V17, True, frames)])
    last = SendFrames((CSI, DIS))
    clean = recorded([SendFrames((CSI, DIS)), SendEcm(V17, True, frames), SendFrames((DIS,)), last])
    line = T38Line(AGREED, now=0.0)
    junk = 0
    for now, datagram in garbled:
        for _ in range(10_000 // len(garbled) + 1):
            line.receive(spoiled(datagram, dice), now)
            junk += 1
        line.receive(datagram, now)
        line.handle_timeout(now)
    assert junk >= 10_000
    line.take_signals()
    for now, datagram in clean[len(garbled) :]:
        line.receive(datagram, now)
    heard = line.take_signals()
    assert heard[-4:] == [SignalStarted(V21), FrameReceived(V21, CSI), FrameReceived(V21, DIS), SignalEnded(V21)]


def test_unknown_field_is_skipped_and_the_rest_kept() -> None:
    peer = Peer(3)
    odd = v21((F.CM_MESSAGE, b"1"), (F.HDLC_DATA, DIS), F.HDLC_FCS_OK_SIG_END)
    assert peer.say(PREAMBLE, odd) == [SignalStarted(V21), FrameReceived(V21, DIS), SignalEnded(V21)]
    assert peer.line.counters.unknown == 1


def test_counters_tell_all_they_count() -> None:
    counters = Peer().line.counters
    assert counters.as_facts() == vars(counters)
