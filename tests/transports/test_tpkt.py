"""T.38 in TPKT: cutting a stream in any pieces, and refusing what is none."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfax.codecs.ifp import wrap_tpkt
from vfax.errors import DecodeError
from vfax.signals import FrameReceived, Modem, SendFrames, SignalStarted
from vfax.transports.parameters import RateManagement, T38Parameters, Transport
from vfax.transports.t38 import T38Line
from vfax.transports.tpkt import LARGEST_IFP, TpktReader, TpktSender

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "t38_vectors.json").read_text("utf-8"))
STREAM = T38Parameters(transport=Transport.TCP, rate_management=RateManagement.LOCAL_TCF)
DIS = b"\xff\xc8\x01\x00\x77\x5f"


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=20), st.lists(st.integers(1, 200), max_size=60))
def test_packets_come_back_whole_however_the_stream_is_cut(packets: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(TpktSender().send(packet, 3) for packet in packets)
    reader = TpktReader()
    got: list[bytes] = []
    for size in cuts:
        got += reader.feed(stream[:size])
        stream = stream[size:]
    assert got + reader.feed(stream) == packets


@pytest.mark.parametrize("vector", [v for v in VECTORS if v["kind"] == "tpkt"], ids=lambda v: v["name"])
def test_vectors_are_cut_and_written(vector: dict[str, str]) -> None:
    octets = bytes.fromhex(vector["hex"])
    (packet,) = TpktReader().feed(octets)
    assert TpktSender().send(packet, 0) == octets


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_any_octets_raise_only_decode_error_and_take_no_memory(chunks: list[bytes]) -> None:
    reader = TpktReader(max_ifp=100)
    try:
        for chunk in chunks:
            assert all(len(packet) <= 100 for packet in reader.feed(chunk))
            assert len(reader._rest) <= 104
    except DecodeError:
        pass


@pytest.mark.parametrize(
    "octets", [b"\xc0\x01\x80", b"\x04", b"\x03\x01", b"\x03\x00\x00\x04", b"\x03\x00\x00\x00", b"\x03\x00\xff\xff"]
)
def test_what_is_no_tpkt_is_refused_at_its_first_octets(octets: bytes) -> None:
    with pytest.raises(DecodeError):
        TpktReader().feed(octets)


def test_claimed_length_beyond_the_limit_is_refused_before_its_octets_come() -> None:
    with pytest.raises(DecodeError):
        TpktReader(max_ifp=1500).feed(b"\x03\x00" + (1505).to_bytes(2, "big"))
    assert TpktReader(max_ifp=1500).feed(wrap_tpkt(bytes(1500))) == [bytes(1500)]


def test_line_over_a_stream_says_everything_once_and_keeps_its_time() -> None:
    line = T38Line(STREAM, now=0.0)
    peer = T38Line(STREAM, now=0.0)
    line.take_output()
    line.transmit(SendFrames((DIS,)), 0.0)
    now, ends = 0.0, 0
    heard = []
    while not line.take_signals():
        now = line.next_timeout()
        line.handle_timeout(now)
        for octets in line.take_output():
            ends += octets[4:] == b"\xc0\x01\x40"
            peer.receive(octets, now)
        heard += peer.take_signals()
    assert ends == 1
    assert heard[:2] == [SignalStarted(Modem.V21), FrameReceived(Modem.V21, DIS)]
    assert now > 1.0 + 0.03 * len(DIS)
    assert peer.counters.received == line.counters.sent - 1  # its opening was taken away


def test_stream_that_is_no_t38_breaks_the_line_and_stays_broken() -> None:
    line = T38Line(STREAM, now=0.0)
    line.receive(b"GET / HTTP/1.1\r\n", 1.0)
    assert "no T.38" in line.broken
    line.receive(wrap_tpkt(b"\x06"), 2.0)
    assert line.take_signals() == []
    assert line.counters.refused == 1


def test_no_packet_of_ours_carries_more_than_300_octets_of_field_data() -> None:
    assert TpktSender().capacity(0) == LARGEST_IFP == 300 + 6
