"""pcap: what is written is read again, and whatever a file holds, reading ends."""

import io
import struct
from collections.abc import Callable
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfax.errors import DecodeError
from vfax.pcap import CaptureReader, Datagram, Skipped, file_header, packet_record

V4 = Datagram(1_700_000_000.25, ("192.0.2.1", 5060), ("198.51.100.7", 5062), b"hello")
V6 = Datagram(1_700_000_001.5, ("2001:db8::1", 4000), ("2001:db8::2", 4002), b"\x00" * 33)


def read(octets: bytes) -> tuple[list[Datagram], Skipped]:
    reader = CaptureReader(io.BytesIO(octets))
    return list(reader), reader.skipped


def raw(datagram: Datagram) -> bytes:
    """The IP packet."""
    return packet_record(datagram)[16:]


def pcap(link: int, *packets: bytes, order: str = "<", magic: int = 0xA1B2C3D4) -> bytes:
    head = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, link)
    return head + b"".join(struct.pack(order + "IIII", 7, 500_000, len(p), len(p)) + p for p in packets)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += b"\0" * (-len(body) % 4)
    size = struct.pack(order + "I", 12 + len(body))
    return struct.pack(order + "I", kind) + size + body + size


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link: int, options: bytes = b"", order: str = "<") -> bytes:
    return block(1, struct.pack(order + "HHI", link, 0, 0) + options, order)


def enhanced(packet: bytes, ticks: int, order: str = "<", number: int = 0) -> bytes:
    head = struct.pack(order + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(packet), len(packet))
    return block(6, head + packet + b"\0" * (-len(packet) % 4), order)


@pytest.mark.parametrize("datagram", [V4, V6, Datagram(0.0, ("10.0.0.1", 1), ("10.0.0.2", 2), b"")])
def test_a_datagram_is_read_as_it_was_written(datagram: Datagram) -> None:
    assert read(file_header() + packet_record(datagram)) == ([datagram], Skipped())


def test_addresses_of_two_families_are_written_as_ipv6() -> None:
    mixed = Datagram(1.0, ("192.0.2.1", 1), ("2001:db8::2", 2), b"x")
    (found,), _ = read(file_header() + packet_record(mixed))
    assert ip_address(found.source[0]) == ip_address("::ffff:192.0.2.1")
    assert found.target == ("2001:db8::2", 2)


def test_the_zone_of_a_local_address_is_left_out() -> None:
    local = Datagram(1.0, ("fe80::1%eth0", 1), ("fe80::2", 2), b"x")
    (found,), _ = read(file_header() + packet_record(local))
    assert found.source == ("fe80::1", 1)


def test_a_datagram_beyond_all_limits_is_cut_in_the_capture() -> None:
    (found,), _ = read(file_header() + packet_record(Datagram(1.0, ("192.0.2.1", 1), ("192.0.2.2", 2), b"x" * 70_000)))
    assert len(found.payload) == 65_000


LINKS: list[tuple[int, Callable[[bytes], bytes]]] = [
    (101, lambda ip: ip),
    (12, lambda ip: ip),
    (228, lambda ip: ip),
    (0, lambda ip: b"\x02\0\0\0" + ip),
    (108, lambda ip: b"\0\0\0\x02" + ip),
    (1, lambda ip: b"\1" * 12 + b"\x08\x00" + ip),
    (1, lambda ip: b"\1" * 12 + b"\x81\x00\x00\x05\x08\x00" + ip),
    (1, lambda ip: b"\1" * 12 + b"\x88\xa8\x00\x05\x81\x00\x00\x07\x08\x00" + ip),
    (113, lambda ip: b"\0" * 14 + b"\x08\x00" + ip),
    (276, lambda ip: b"\x08\x00" + b"\0" * 18 + ip),
]


@pytest.mark.parametrize(("link", "wrap"), LINKS)
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_usual_link_type_is_read(link: int, wrap: Callable[[bytes], bytes], order: str) -> None:
    (found,), skipped = read(pcap(link, wrap(raw(V4)), order=order))
    assert (found.payload, found.source, found.at, skipped) == (b"hello", V4.source, 7.5, Skipped())


def test_padding_behind_the_ip_packet_is_no_payload() -> None:
    (found,), _ = read(pcap(1, b"\1" * 12 + b"\x08\x00" + raw(V4) + b"\0" * 13))
    assert found.payload == b"hello"


def test_nanoseconds_are_read() -> None:
    (found,), _ = read(pcap(101, raw(V4), magic=0xA1B23C4D))
    assert found.at == pytest.approx(7.0005)


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_is_read_with_its_clock(order: str) -> None:
    nano = struct.pack(order + "HHB3x", 9, 1, 9)
    octets = section(order) + interface(101, order=order) + interface(1, nano, order)
    octets += enhanced(raw(V4), 5_250_000, order)
    octets += block(5, b"statistics..", order)
    octets += enhanced(b"\1" * 12 + b"\x86\xdd" + raw(V6), 6_500_000_000, order, number=1)
    found, skipped = read(octets)
    assert [(one.at, one.payload) for one in found] == [(5.25, V4.payload), (6.5, V6.payload)]
    assert skipped == Skipped()


def test_a_second_section_begins_anew() -> None:
    octets = section() + interface(101) + enhanced(raw(V4), 1) + section(">") + interface(101, order=">")
    found, _ = read(octets + enhanced(raw(V6), 2, ">"))
    assert [one.payload for one in found] == [V4.payload, V6.payload]


def test_fragments_and_other_protocols_are_counted_and_left_out() -> None:
    fragment = bytearray(raw(V4))
    fragment[6] = 0x20
    tcp = bytearray(raw(V4))
    tcp[9] = 6
    found, skipped = read(pcap(101, bytes(fragment), bytes(tcp), b"\x30", raw(V4)))
    assert len(found) == 1
    assert (skipped.fragments, skipped.others) == (1, 2)


def test_a_capture_that_ends_in_the_middle_gives_what_was_whole() -> None:
    whole = pcap(101, raw(V4), raw(V4))
    found, skipped = read(whole[:-3])
    assert (len(found), skipped.cut) == (1, True)


def test_a_claimed_size_takes_no_memory() -> None:
    octets = pcap(101) + struct.pack("<IIII", 1, 1, 0x7FFFFFFF, 0x7FFFFFFF) + b"x"
    assert read(octets) == ([], Skipped(cut=True))


@given(st.binary(max_size=400), st.sampled_from([b"", pcap(1), pcap(101), section(), section() + interface(1)]))
@settings(max_examples=300)
def test_whatever_a_file_holds_only_a_decode_error_comes_of_it(octets: bytes, head: bytes) -> None:
    try:
        found, _ = read(head + octets)
    except DecodeError:
        return
    assert all(len(one.payload) <= len(octets) for one in found)


@given(st.data())
@settings(max_examples=200)
def test_a_damaged_capture_is_read_to_its_end(data: st.DataObject) -> None:
    octets = bytearray(section() + interface(1) + enhanced(b"\1" * 12 + b"\x08\x00" + raw(V4), 9) * 3)
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    try:
        found, _ = read(bytes(octets))
    except DecodeError:
        return
    assert len(found) <= 3
