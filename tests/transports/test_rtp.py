import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfax.transports import rtp
from vfax.transports.rtp import PCMA, PCMU, AudioSender, encode_a_law, encode_mu_law, looks_like_rtp

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "t38_vectors.json").read_text())
UDPTL = [(v["name"], bytes.fromhex(v["hex"])) for v in VECTORS if v["kind"] == "udptl" and len(v["hex"]) // 2 < 1500]


def expand_mu_law(octet: int) -> int:
    """G.711 table 2 read backwards, to 16 bits: the middle of each step."""
    code = ~octet & 0xFF
    magnitude = (((code & 0x0F) << 1) + 33 << (code >> 4 & 7)) - 33
    return -magnitude * 4 if code & 0x80 else magnitude * 4


def expand_a_law(octet: int) -> int:
    code = octet ^ 0x55
    segment, mantissa = code >> 4 & 7, code & 0x0F
    magnitude = (mantissa << 4) + 8 if segment == 0 else (mantissa << 4) + 0x108 << segment - 1
    return magnitude if code & 0x80 else -magnitude


EXPAND: dict[int, Callable[[int], int]] = {PCMU: expand_mu_law, PCMA: expand_a_law}


def sender(payload_type: int = PCMU, *, now: float = 100.0) -> AudioSender:
    return AudioSender(payload_type, ssrc=0x01020304, sequence=65534, timestamp=0xFFFFFF00, now=now)


def run(one: AudioSender, until: float) -> list[bytes]:
    """Wake the sender exactly when it asks, up to `until`."""
    packets: list[bytes] = []
    while one.next_timeout() <= until:
        one.handle_timeout(one.next_timeout())
        packets += one.take_output()
    return packets


def samples(packets: list[bytes], payload_type: int) -> list[int]:
    return [EXPAND[payload_type](octet) for packet in packets for octet in packet[12:]]


# --- the laws ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sample", "mu_law", "a_law"),
    [(0, 0xFF, 0xD5), (-1, 0x7F, 0x55), (32767, 0x80, 0xAA), (-32768, 0x00, 0x2A)],
)
def test_silence_and_both_extremes_have_their_known_octets(sample: int, mu_law: int, a_law: int) -> None:
    assert (encode_mu_law(sample), encode_a_law(sample)) == (mu_law, a_law)


def test_one_kilohertz_at_0_dbm0_gives_the_sequences_of_g711() -> None:
    peak = 32768 * 10 ** (-3.14 / 20)
    tone = [round(peak * math.sin(math.pi / 8 + n * math.pi / 4)) for n in range(8)]
    assert bytes(map(encode_mu_law, tone)) == bytes.fromhex("9e8b8b9e1e0b0b1e")  # G.711 table 6
    assert bytes(map(encode_a_law, tone)) == bytes.fromhex("b4a1a1b434212134")  # G.711 table 5


@pytest.mark.parametrize("octet", range(256))
def test_every_octet_stands_for_the_sample_that_gives_it(octet: int) -> None:
    assert encode_a_law(expand_a_law(octet)) == octet
    assert encode_mu_law(expand_mu_law(octet)) in (octet, 0xFF if octet == 0x7F else octet)  # two zeros


@given(st.integers(-32768, 32767))
def test_a_sample_comes_back_within_half_a_step(sample: int) -> None:
    for payload_type in (PCMU, PCMA):
        error = abs(EXPAND[payload_type](rtp.encode(payload_type, sample)) - sample)
        assert error <= (abs(sample) + 132) / 32 + 4  # half a step of the segment, counted with the bias of mu-law


@given(st.integers(-32768, 32766))
def test_a_louder_sample_is_never_coded_softer(sample: int) -> None:
    for payload_type in (PCMU, PCMA):
        expand = EXPAND[payload_type]
        assert expand(rtp.encode(payload_type, sample)) <= expand(rtp.encode(payload_type, sample + 1))


# --- the stream ----------------------------------------------------------------------------------


def test_packets_have_a_whole_header_and_only_the_first_is_marked() -> None:
    first, second, third = run(sender(PCMA), 100.05)
    assert first == bytes.fromhex("8088fffeffffff0001020304") + b"\xd5" * 160
    assert second == bytes.fromhex("8008ffffffffffa001020304") + b"\xd5" * 160
    assert third == bytes.fromhex("800800000000004001020304") + b"\xd5" * 160  # both numbers wrapped


def test_a_mu_law_stream_begins_with_mu_law_silence() -> None:
    assert run(sender(PCMU), 100.0)[0][12:] == b"\xff" * 160


def test_the_schedule_is_absolute() -> None:
    one = sender()
    for late in (0.003, 0.019, 0.0):
        due = one.next_timeout()
        one.handle_timeout(due + late)
        assert len(one.take_output()) == 1
    assert one.next_timeout() == pytest.approx(100.06)
    assert len(run(one, 100.0 + 3600 * 0.5)) == 1800 * 50 - 2


def test_nothing_leaves_before_its_time_and_taking_empties() -> None:
    one = sender()
    one.handle_timeout(99.99)
    assert one.take_output() == []
    one.handle_timeout(100.0)
    assert (len(one.take_output()), one.take_output()) == (1, [])


def test_a_short_delay_is_caught_up_and_a_long_one_is_left_out() -> None:
    one = sender()
    one.handle_timeout(100.07)
    assert len(one.take_output()) == 4
    one.handle_timeout(110.0)
    burst = one.take_output()
    assert len(burst) == rtp.MAX_CATCH_UP
    assert one.next_timeout() == pytest.approx(110.02)
    assert [packet[1] >> 7 for packet in burst] == [1, 0, 0, 0, 0]
    assert int.from_bytes(burst[0][2:4], "big") == 2  # sequence without a gap: nothing was lost on the way
    assert int.from_bytes(burst[-1][4:8], "big") == (0xFFFFFF00 + 500 * 160) % 2**32


@pytest.mark.parametrize("payload_type", [PCMU, PCMA])
def test_ced_is_three_seconds_of_2100_hz_after_a_short_silence(payload_type: int) -> None:
    one = sender(payload_type)
    one.play_ced(100.0)
    sound = samples(run(one, 100.0 + 4.999), payload_type)
    assert len(sound) == 5 * 8000
    before, tone, after = sound[:1600], sound[1600:25600], sound[25600:]
    assert max(map(abs, before + after)) <= 8
    crossings = sum(1 for a, b in itertools.pairwise(tone) if a < 0 <= b)
    assert crossings / 3.0 == pytest.approx(2100, abs=1)
    power = sum(value * value for value in tone) / len(tone)
    full_scale = 32768**2 / 2
    assert 10 * math.log10(power / full_scale) + 3.14 == pytest.approx(-12.0, abs=0.1)


def test_ced_asked_for_later_begins_on_the_next_packet() -> None:
    one = sender()
    run(one, 101.0)
    one.play_ced(101.01)
    packets = run(one, 105.0)
    sounding = [packet[12:] != b"\xff" * 160 for packet in packets]
    assert sounding.index(True) == rtp.CED_DELAY_PACKETS
    assert sum(sounding) == rtp.CED_PACKETS


# --- telling RTP from UDPTL ----------------------------------------------------------------------


@pytest.mark.parametrize("payload_type", [PCMU, PCMA])
def test_our_own_audio_looks_like_rtp(payload_type: int) -> None:
    one = AudioSender(payload_type, ssrc=0xDEADBEEF, sequence=0, timestamp=0, now=0.0)
    one.play_ced(0.0)
    assert all(map(looks_like_rtp, run(one, 3.5)))


@pytest.mark.parametrize("octets", [b"", b"\x80", bytes(172), bytes.fromhex("80c8000100000000000000"), b"\xff" * 172])
def test_what_is_too_short_or_has_another_version_is_no_rtp(octets: bytes) -> None:
    assert not looks_like_rtp(octets)


def test_a_receiver_report_looks_like_rtp() -> None:
    assert looks_like_rtp(bytes.fromhex("80c90001deadbeef81ca000adeadbeef"))


@pytest.mark.parametrize(("name", "octets"), UDPTL, ids=[name for name, _ in UDPTL])
def test_udptl_is_never_taken_for_rtp_whatever_its_number(name: str, octets: bytes) -> None:
    for number in (0x0000, 0x8000, 0x8001, 0x80C8, 0x9234, 0xBFFF, 0xFFFF):
        assert not looks_like_rtp(number.to_bytes(2, "big") + octets[2:])


@given(st.binary(max_size=60).map(lambda tail: b"\x80" + tail) | st.binary(max_size=60))
def test_any_octets_get_a_plain_answer(octets: bytes) -> None:
    assert looks_like_rtp(octets) in (True, False)
