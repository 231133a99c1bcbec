import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfax.codecs import ifp
from vfax.errors import DecodeError
from vfax.transports.udptl import RING, Delivery, Fec, FecShape, Missing, Packet, Recovery, Repaired, Sender

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parent.parent / "data" / "t38_vectors.json").read_text())


def vectors(kind: str) -> list[Any]:
    chosen = [pytest.param(v, id=v["name"]) for v in VECTORS if v["kind"] == kind]
    assert chosen
    return chosen


def packet_of(decoded: dict[str, Any]) -> Packet:
    primary = bytes.fromhex(decoded["primary_ifp_packet"])
    if "fec_info" in decoded:
        info = decoded["fec_info"]
        fec = Fec(info["fec_npackets"], tuple(map(bytes.fromhex, info["fec_data"])))
        return Packet(decoded["seq_number"], primary, (), fec)
    earlier = tuple(map(bytes.fromhex, decoded.get("secondary_ifp_packets", [])))
    return Packet(decoded["seq_number"], primary, earlier)


def facts(packet: Packet) -> tuple[int, bytes, tuple[bytes, ...], Fec | None]:
    return packet.sequence, packet.primary, packet.earlier, packet.fec


def numbered(first: int, deliveries: list[Delivery]) -> tuple[dict[int, bytes | Repaired], list[int]]:
    """What was delivered by number, and the numbers that were reported missing."""
    here: dict[int, bytes | Repaired] = {}
    missing: list[int] = []
    at = first
    for delivery in deliveries:
        if isinstance(delivery, Missing):
            missing += [(at + k) % 65536 for k in range(delivery.packets)]
            at += delivery.packets
        else:
            assert at % 65536 not in here
            here[at % 65536] = delivery
            at += 1
    return here, missing


def plain(deliveries: list[Delivery]) -> list[bytes]:
    """The IFPs with the padding of FEC repair cut off (no payload here ends in a zero octet)."""
    return [d.ifp.rstrip(b"\0") if isinstance(d, Repaired) else d for d in deliveries if not isinstance(d, Missing)]


def payload(number: int) -> bytes:
    return bytes((number >> 8 & 255, number & 255, 0xAA)) + bytes(number % 7) + b"\x01"


def redundant(count: int, depth: int, first: int = 0) -> list[Packet]:
    return [
        Packet((first + n) % 65536, payload(n), tuple(payload(n - 1 - k) for k in range(min(depth, n))))
        for n in range(count)
    ]


def protected(count: int, span: int, rows: int, first: int = 0) -> list[Packet]:
    """Packets with FEC of `span` and `rows`; what comes before the first packet counts as nothing."""
    packets = []
    for n in range(count):
        parity = []
        for index in range(rows):
            members = [payload(n + index - k * rows) for k in range(1, span + 1) if n + index - k * rows >= 0]
            size = max(map(len, members), default=0)
            total = 0
            for member in members:
                total ^= int.from_bytes(member.ljust(size, b"\0"), "big")
            parity.append(total.to_bytes(size, "big"))
        packets.append(Packet((first + n) % 65536, payload(n), (), Fec(span, tuple(parity))))
    return packets


def feed(recovery: Recovery, packets: list[Packet]) -> list[Delivery]:
    return [delivery for packet in packets for delivery in recovery.receive(packet)]


@pytest.mark.parametrize("vector", vectors("udptl"))
def test_vector_in_both_directions(vector: dict[str, Any]) -> None:
    expected = packet_of(vector["decoded"])
    assert facts(Packet.decode(bytes.fromhex(vector["hex"]))) == facts(expected)
    assert expected.encode().hex() == vector["hex"]


@pytest.mark.parametrize("vector", vectors("udptl-invalid"))
def test_invalid_vector_is_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(DecodeError):
        Packet.decode(bytes.fromhex(vector["hex"]))


@pytest.mark.parametrize("vector", vectors("udptl-tolerance"))
def test_tolerance_vector_keeps_its_primary(vector: dict[str, Any]) -> None:
    packet = Packet.decode(bytes.fromhex(vector["hex"]))
    assert packet.sequence == 1
    assert packet.primary == (b"" if "zero-length" in vector["name"] else b"\x06")
    assert Recovery().receive(packet) == [packet.primary]


@pytest.mark.parametrize("vector", vectors("udptl-scenario"))
def test_scenario_delivers_each_number_once_and_in_order(vector: dict[str, Any]) -> None:
    packets = [Packet.decode(bytes.fromhex(datagram)) for datagram in vector["hex"].split()]
    here, missing = numbered(packets[0].sequence, feed(Recovery(), packets))
    wanted = {item["seq_number"]: bytes.fromhex(item["ifp"]) for item in vector["decoded"]["delivered"]}
    assert missing == vector["decoded"]["missing"]
    assert list(here) == list(wanted)
    for number, delivery in here.items():
        if isinstance(delivery, Repaired):
            assert delivery.ifp.hex() == vector["recovered_with_padding"].get(str(number), wanted[number].hex())
            assert ifp.decode(delivery.ifp, 0, padded=True) == ifp.decode(wanted[number], 0)
        else:
            assert delivery == wanted[number]


@given(st.binary(max_size=60))
@settings(max_examples=500)
def test_any_octets_raise_only_decode_error(datagram: bytes) -> None:
    try:
        packet = Packet.decode(datagram)
    except DecodeError:
        return
    assert Packet.decode(packet.encode()).primary == packet.primary


def test_a_claimed_count_costs_nothing() -> None:
    with pytest.raises(DecodeError):
        Packet.decode(bytes.fromhex("0001010600bfff") + bytes(100))


@given(st.lists(st.tuples(st.integers(1, 8), st.integers(0, 3)), max_size=20), st.sampled_from([0, 32768, 65530]))
def test_gaps_up_to_redundancy_depth_lose_nothing(pattern: list[tuple[int, int]], first: int) -> None:
    arrives = [fate for keep, lose in pattern for fate in [True] * keep + [False] * lose] + [True]
    packets = redundant(len(arrives), 3, first)
    recovery = Recovery()
    got = feed(recovery, [p for p, ok in zip(packets, arrives, strict=True) if ok])
    assert got == [payload(n) for n in range(len(arrives))]
    assert recovery.counters.lost == 0


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(0, 3), st.sampled_from([0, 40, 65510]))
def test_what_is_lost_is_missing_in_its_place(arrives: list[bool], depth: int, first: int) -> None:
    packets = redundant(len(arrives) + 1, depth, first)
    recovery = Recovery()
    fates = [True, *arrives]
    kept = [p for p, ok in zip(packets, fates, strict=True) if ok]
    here, missing = numbered(first, feed(recovery, kept))
    assert recovery.counters.lost == len(missing)
    assert all(delivery == payload((number - first) % 65536) for number, delivery in here.items())
    # a jump over more than the ring waits for its successor, so only the tail may still be open
    done = len(here) + len(missing)
    assert sorted([*((n - first) % 65536 for n in here), *((n - first) % 65536 for n in missing)]) == list(range(done))


@given(st.lists(st.integers(0, 79), max_size=25), st.randoms(use_true_random=False))
def test_each_number_comes_once_whatever_is_doubled_or_late(doubled: list[int], dice: random.Random) -> None:
    packets = redundant(80, 1)
    order = [0, *sorted([*range(1, 80), *doubled], key=lambda n: n + dice.random() * 6)]
    recovery = Recovery()
    here, missing = numbered(0, feed(recovery, [packets[n] for n in order]))
    assert all(delivery == payload(number) for number, delivery in here.items())
    assert recovery.counters.restarts == 0
    assert recovery.counters.received == 80 + len(doubled)
    assert len(missing) == recovery.counters.lost


def test_empty_entries_keep_their_place() -> None:
    recovery = Recovery()
    recovery.receive(Packet(5, b"five"))
    got = recovery.receive(Packet(9, b"nine", (b"eight", b"", b"six")))
    assert got == [b"six", Missing(1), b"eight", b"nine"]


def test_empty_entry_of_a_peer_that_sends_empty_ifps_is_one_of_them() -> None:
    recovery = Recovery()
    recovery.receive(Packet(5, b"five"))
    recovery.receive(Packet(6, b""))
    got = recovery.receive(Packet(9, b"nine", (b"", b"seven")))
    assert got == [b"seven", b"", b"nine"]
    assert recovery.receive(Packet(12, b"twelve", (b"",))) == [Missing(1), b"", b"twelve"]  # number 10 is in none
    assert (recovery.counters.repaired, recovery.counters.lost) == (3, 1)


def test_first_datagram_brings_what_was_sent_before_it() -> None:
    assert Recovery().receive(redundant(4, 3)[2]) == [payload(0), payload(1), payload(2)]
    assert Recovery().receive(Packet(32768, b"first", (b"ghost",))) == [b"first"]


@pytest.mark.parametrize("jump", [17, 100, 1999, 2001, 30000, 65536 - 17, 65536 - 1500, 65536 - 2100])
def test_one_forged_number_costs_nothing(jump: int) -> None:
    recovery = Recovery()
    packets = redundant(60, 1)
    packets.insert(30, Packet((30 + jump) % 65536, b"forged"))
    assert feed(recovery, packets) == [payload(n) for n in range(60)]
    assert (recovery.counters.refused, recovery.counters.lost) == (1, 0)


@pytest.mark.parametrize("reached", [40, 1000, 5000])
def test_peer_that_begins_anew_is_heard_from_its_first_packet(reached: int) -> None:
    recovery = Recovery()
    feed(recovery, redundant(reached, 1))
    said = [payload(n) if n < 3 else b"new" + payload(n) for n in range(20)]  # both begin with the same no-signals
    anew = [Packet(n, said[n], tuple(said[max(0, n - 3) : n][::-1])) for n in range(20)]
    assert feed(recovery, anew) == [Missing(1), *said]
    assert recovery.counters.restarts == 1


@pytest.mark.parametrize("late", [range(20, 60), range(120)])
def test_a_burst_that_comes_very_late_is_not_a_peer_that_begins_anew(late: range) -> None:
    packets = redundant(200, 0)
    recovery = Recovery()
    got = feed(recovery, [p for n, p in enumerate(packets[:150]) if n not in range(40, 50)])
    assert feed(recovery, [packets[n] for n in late]) == []
    assert got + feed(recovery, packets[150:]) == [
        *(payload(n) for n in range(40)),
        Missing(10),
        *(payload(n) for n in range(50, 200)),
    ]
    assert recovery.counters.restarts == 0


def test_wrap_to_one_costs_nothing() -> None:
    recovery = Recovery()
    recovery.receive(Packet(65534, b"a"))
    recovery.receive(Packet(65535, b"b"))
    assert recovery.receive(Packet(1, b"c", (b"b", b"a"))) == [b"b", b"c"]
    assert recovery.receive(Packet(2, b"d", (b"c", b"b", b"a"))) == [b"d"]
    assert recovery.counters.lost == 0


def test_long_outage_is_one_gap() -> None:
    packets = redundant(500, 3)
    recovery = Recovery()
    got = feed(recovery, packets[:50] + packets[450:])
    assert got == [payload(n) for n in range(50)] + [Missing(397)] + [payload(n) for n in range(447, 500)]
    assert (recovery.counters.lost, recovery.counters.restarts, recovery.counters.refused) == (397, 0, 0)


@pytest.mark.parametrize(("span", "rows"), [(1, 1), (2, 2), (3, 1), (3, 3), (4, 2), (2, 5)])
@pytest.mark.parametrize("first", [0, 65530])
def test_fec_repairs_a_burst_as_long_as_its_rows(span: int, rows: int, first: int) -> None:
    packets = protected(60, span, rows, first)
    recovery = Recovery()
    lost = {n for start in range(7, 59 - rows, 20) for n in range(start, start + rows)}
    got = feed(recovery, [p for n, p in enumerate(packets) if n not in lost])
    assert plain(got) == [payload(n) for n in range(60)]
    assert (recovery.counters.lost, recovery.counters.repaired) == (0, len(lost))


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(1, 4), st.integers(1, 4))
def test_fec_never_invents_octets(arrives: list[bool], span: int, rows: int) -> None:
    packets = protected(len(arrives) + 1, span, rows)
    recovery = Recovery()
    here, _ = numbered(0, feed(recovery, [p for p, ok in zip(packets, [True, *arrives], strict=True) if ok]))
    for number, delivery in here.items():
        octets = delivery.ifp.rstrip(b"\0") if isinstance(delivery, Repaired) else delivery
        assert octets == payload(number)


@given(st.integers(0, 127), st.lists(st.binary(max_size=8), max_size=40), st.integers(0, 16))
def test_odd_parity_never_breaks_the_stream(span: int, rows: list[bytes], gap: int) -> None:
    recovery = Recovery()
    feed(recovery, redundant(20, 0))
    got = recovery.receive(Packet(20 + gap, b"last", (), Fec(span, tuple(rows))))
    assert got[-1] == b"last"
    assert numbered(20, got)[0].keys() | set(numbered(20, got)[1]) == set(range(20, 21 + gap))


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_sender_repeats_only_what_exists(depth: int) -> None:
    sender = Sender(1400)
    for wanted in redundant(10, depth):
        assert facts(Packet.decode(sender.send(wanted.primary, depth))) == facts(wanted)


def test_sender_writes_the_vectors() -> None:
    for depth in range(4):
        sender = Sender(1400)
        by_number = {
            v["decoded"]["seq_number"]: v
            for v in VECTORS
            if v["kind"] == "udptl" and v["name"].startswith(f"udptl-red{depth}-seq")
        }
        scenario = next(v for v in VECTORS if v["name"] == "scenario-red3-no-loss")
        for item in scenario["decoded"]["delivered"]:
            datagram = sender.send(bytes.fromhex(item["ifp"]), depth)
            if item["seq_number"] in by_number:
                assert datagram.hex() == by_number[item["seq_number"]]["hex"]


def test_sender_wraps_and_goes_on() -> None:
    sender = Sender()
    recovery = Recovery()
    got = [d for n in range(65540) for d in recovery.receive(Packet.decode(sender.send(payload(n), 1)))]
    assert got == [payload(n) for n in range(65540)]
    assert sender.sequence == 4


@pytest.mark.parametrize(
    ("announced", "ifp_size", "kept"),
    [(None, 59, 3), (0, 59, 3), (5000, 59, 3), (400, 59, 3), (200, 59, 2), (124, 59, 1), (100, 59, 1), (72, 59, 3)],
)
def test_oldest_secondaries_go_when_the_peer_takes_little(announced: int | None, ifp_size: int, kept: int) -> None:
    sender = Sender(announced)
    for _ in range(5):
        datagram = sender.send(bytes(ifp_size), 3)
    assert len(Packet.decode(datagram).earlier) == kept


def test_new_announcement_keeps_the_numbers() -> None:
    sender = Sender(400)
    sender.send(b"a", 1)
    sender.restrict(72)
    assert facts(Packet.decode(sender.send(b"b", 1))) == (1, b"b", (b"a",), None)


def test_first_datagram_brings_only_what_is_whole_up_to_itself() -> None:
    assert Recovery().receive(Packet(3, b"three", (b"two", b"", b"none"))) == [b"two", b"three"]


@pytest.mark.parametrize(("span", "rows"), [(1, 1), (3, 1), (3, 3), (2, 2), (4, 2)])
def test_sender_writes_the_vectors_of_parity(span: int, rows: int) -> None:
    by_number = {
        v["decoded"]["seq_number"]: v["hex"]
        for v in VECTORS
        if v["kind"] == "udptl" and v["name"].startswith(f"udptl-fec-span{span}-entries{rows}-")
    }
    assert by_number
    sender = Sender(1400)
    sender.protect(FecShape(span, rows))
    scenario = next(v for v in VECTORS if v["name"] == "scenario-red3-no-loss")
    for item in scenario["decoded"]["delivered"]:
        datagram = sender.send(bytes.fromhex(item["ifp"]), 1)
        if item["seq_number"] in by_number:
            assert datagram.hex() == by_number[item["seq_number"]]


@given(
    st.lists(st.integers(1, 180), min_size=4, max_size=40),
    st.integers(1, 16),
    st.integers(1, 16),
    st.sampled_from([88, 200, 400, 1400]),
)
def test_parity_of_ours_is_that_of_the_definition_and_fits(
    sizes: list[int], span: int, rows: int, announced: int
) -> None:
    sender = Sender(announced)
    sender.protect(FecShape(span, rows))
    sent: list[bytes] = []
    for n, size in enumerate(sizes):
        packet = bytes((n + k) % 251 for k in range(min(size, sender.capacity(1))))
        datagram = sender.send(packet, 1)
        assert len(datagram) <= announced
        fec = Packet.decode(datagram).fec
        assert fec is not None
        count = len(fec.rows)
        assert count * fec.span <= min(n, RING)
        for index, row in enumerate(fec.rows):
            members = [sent[n + index - k * count] for k in range(1, fec.span + 1)]
            total = 0
            for member in members:
                total ^= int.from_bytes(member.ljust(len(row), b"\0"), "big")
            assert (len(row), row) == (max(map(len, members)), total.to_bytes(len(row), "big"))
        sent.append(packet)


@given(st.lists(st.booleans(), min_size=8, max_size=80), st.sampled_from([(3, 3), (2, 2), (1, 1), (4, 3), (1, 5)]))
def test_parity_of_ours_gives_back_what_it_can_and_never_another(arrives: list[bool], shape: tuple[int, int]) -> None:
    sender = Sender(1400)
    sender.protect(FecShape(*shape))
    datagrams = [sender.send(payload(n), 1) for n in range(len(arrives) + 1)]
    recovery = Recovery()
    kept = [d for d, ok in zip(datagrams, [True, *arrives], strict=True) if ok]
    here, missing = numbered(0, feed(recovery, [Packet.decode(d) for d in kept]))
    for number, delivery in here.items():
        octets = delivery.ifp.rstrip(b"\0") if isinstance(delivery, Repaired) else delivery
        assert octets == payload(number)
    assert recovery.counters.lost == len(missing)


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_burst_as_long_as_the_rows_costs_nothing(lost: int) -> None:
    sender = Sender(1400)
    sender.protect(FecShape(3, 3))
    datagrams = [sender.send(payload(n), 1) for n in range(60)]
    gone = {n for start in range(12, 56, 12) for n in range(start, start + lost)}
    recovery = Recovery()
    got = feed(recovery, [Packet.decode(d) for n, d in enumerate(datagrams) if n not in gone])
    assert plain(got) == [payload(n) for n in range(60)]
    assert recovery.counters.repaired == len(gone)


def test_parity_can_be_put_on_and_off_in_mid_stream() -> None:
    sender, recovery = Sender(400), Recovery()
    got: list[Delivery] = []
    for n in range(30):
        sender.protect(FecShape(2, 2) if 10 <= n < 20 else None)
        packet = Packet.decode(sender.send(payload(n), 2))
        assert (packet.fec is not None) is (10 <= n < 20)
        got += recovery.receive(packet)
    assert got == [payload(n) for n in range(30)]


@pytest.mark.parametrize(
    ("announced", "rate_bps", "ms", "depth", "fits", "whole"),
    [
        # one packet of `ms` at `rate_bps` with `depth` earlier ones: does it fit, and how large is the datagram
        (None, 14400, 30, 3, True, 244),
        (0, 14400, 30, 3, True, 244),
        (1401, 14400, 30, 3, True, 244),
        (1400, 14400, 40, 3, True, 316),
        (400, 14400, 40, 3, True, 316),
        (316, 14400, 40, 3, True, 316),
        (315, 14400, 40, 3, True, 238),
        (238, 14400, 40, 2, True, 238),
        (172, 14400, 20, 3, True, 172),
        (160, 14400, 40, 2, True, 160),
        (124, 14400, 30, 3, True, 124),
        (123, 14400, 30, 3, False, 124),  # 20 ms packets are needed
        (122, 14400, 20, 3, True, 88),
        (88, 14400, 20, 1, True, 88),
        (87, 14400, 20, 1, True, 88),  # means the IFP alone
        (72, 14400, 40, 3, False, 316),  # an IFP of 77 is too large, redundancy stands on top
        (72, 14400, 30, 3, True, 244),
    ],
)
def test_datagram_sizes_are_those_of_both_readings(
    announced: int | None, rate_bps: int, ms: int, depth: int, fits: bool, whole: int
) -> None:
    sender = Sender(announced)
    packet = bytes(5 + rate_bps * ms // 8000)
    for _ in range(6):
        datagram = sender.send(packet, depth)
    assert len(datagram) == whole
    assert (len(packet) <= sender.capacity(1)) is fits
