"""Captures: UDP datagrams to pcap, and out of pcap and pcapng.

Owns      writing records of raw IP with right checksums; reading the link types that fax captures have; limits.
Not here  which datagrams are captured (capture.py), what is in them (captures.py).
Source    draft-ietf-opsawg-pcap (the classic format), draft-ietf-opsawg-pcapng; link types of www.tcpdump.org;
          RFC 791, RFC 8200, RFC 768, RFC 9293.

Only whole UDP datagrams are read: fragments of IP and all else are counted and left out.
"""

import ipaddress
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from vfax.errors import DecodeError
from vfax.transports.sip.values import Address

MAX_PAYLOAD: Final = 65_000
"""Limit: octets of a datagram that is written; what is longer is cut, and the record says how long it was."""

MAX_RECORD: Final = 1 << 20
"""Limit: octets of one record or block that is read."""

MAX_DATAGRAMS: Final = 1_000_000
"""Limit: datagrams of one capture; what follows is left out."""

MAX_OCTETS: Final = 256 * 1024 * 1024
"""Limit: octets of a capture that are read."""

MAX_INTERFACES: Final = 1000
"""Limit: interfaces of one pcapng section."""

_MAGIC: Final = 0xA1B2C3D4
_MAGIC_NANO: Final = 0xA1B23C4D
_SECTION: Final = 0x0A0D0D0A
_BYTE_ORDER: Final = 0x1A2B3C4D
_INTERFACE, _PACKET, _SIMPLE, _ENHANCED = 1, 2, 3, 6
DECRYPTED: Final = b"vfax: UDPTL from here on was encrypted on the wire (DTLS, RFC 7345) and is shown decrypted"
"""A datagram that was never sent: the format has no place for remarks."""
_TCP: Final = 6
_UDP: Final = 17
_EXTENSIONS: Final = frozenset({0, 43, 60, 135})  # IPv6: hop-by-hop, routing, destination options, mobility
_FRAGMENT: Final = 44

NULL, ETHERNET, RAW_BSD, RAW_OPENBSD, RAW, LOOP, SLL, IPV4, IPV6, SLL2 = 0, 1, 12, 14, 101, 108, 113, 228, 229, 276


@dataclass(frozen=True, slots=True)
class Datagram:
    """One UDP datagram; `at` is seconds since 1970."""

    at: float
    source: Address
    target: Address
    payload: bytes


# --- writing -------------------------------------------------------------------------------------


def file_header() -> bytes:
    """The beginning of a capture of raw IP, times in microseconds."""
    return struct.pack("<IHHiIII", _MAGIC, 2, 4, 0, 0, MAX_RECORD, RAW)


def packet_record(datagram: Datagram) -> bytes:
    """One record: IP and UDP headers with their checksums, and the payload."""
    payload = datagram.payload[:MAX_PAYLOAD]
    source, target = _pair(datagram.source[0], datagram.target[0])
    ports = struct.pack(">HHH", datagram.source[1], datagram.target[1], 8 + len(payload))
    pseudo = source + target + struct.pack(">HH", _UDP, 8 + len(payload)) + ports + b"\0\0" + payload
    udp = ports + struct.pack(">H", _checksum(pseudo) or 0xFFFF) + payload  # RFC 768: 0 means that there is none
    return _record(datagram.at, _ip_packet(_UDP, source, target, udp), len(datagram.payload) - len(payload))


def segment_record(segment: Datagram, number: int, acknowledged: int) -> bytes:
    """One record: IP and TCP headers with their checksums, and the payload, which begins at octet `number` of its way.

    Octets as the call saw them, not as they were cut on the way; no connection is made or closed around them.
    """
    payload = segment.payload[:MAX_PAYLOAD]
    source, target = _pair(segment.source[0], segment.target[0])
    ports = (segment.source[1], segment.target[1])
    order = (number & 0xFFFFFFFF, acknowledged & 0xFFFFFFFF)
    head = struct.pack(">HHIIBBH", *ports, *order, 0x50, 0x18, 0xFFFF)  # 20 octets of header, PSH and ACK
    size = len(head) + 4 + len(payload)
    pseudo = source + target + struct.pack(">HH", _TCP, size) + head + b"\0\0\0\0" + payload
    tcp = head + struct.pack(">HH", _checksum(pseudo), 0) + payload
    return _record(segment.at, _ip_packet(_TCP, source, target, tcp), len(segment.payload) - len(payload))


def _ip_packet(protocol: int, source: bytes, target: bytes, body: bytes) -> bytes:
    if len(source) == 16:
        return struct.pack(">IHBB", 6 << 28, len(body), protocol, 64) + source + target + body
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0x4000, 64, protocol, 0) + source + target
    return head[:10] + struct.pack(">H", _checksum(head)) + head[12:] + body


def _record(at: float, packet: bytes, left_out: int) -> bytes:
    seconds = int(at)
    microseconds = int((at - seconds) * 1e6)
    return struct.pack("<IIII", seconds, microseconds, len(packet), len(packet) + left_out) + packet


def _pair(source: str, target: str) -> tuple[bytes, bytes]:
    """Both addresses in octets, of one family; without the zone of a link-local one."""
    one, two = (ipaddress.ip_address(host.partition("%")[0]) for host in (source, target))
    if one.version == two.version:
        return one.packed, two.packed
    return _mapped(one), _mapped(two)


def _mapped(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bytes:
    return address.packed if address.version == 6 else bytes(10) + b"\xff\xff" + address.packed


def _checksum(octets: bytes) -> int:
    """Ones' complement of the ones' complement sum (RFC 1071)."""
    if len(octets) & 1:
        octets += b"\0"
    total: int = sum(struct.unpack(f">{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


# --- reading -------------------------------------------------------------------------------------


@dataclass(slots=True)
class Skipped:
    """What was left out of a capture."""

    others: int = 0  # not UDP over IP, or a link type that is not known here
    fragments: int = 0  # parts of datagrams
    damaged: int = 0  # headers that are none, datagrams that were cut when they were captured
    cut: bool = False  # the file ends in the middle, or a limit of ours was reached


class CaptureReader:
    """Reads the UDP datagrams of a capture one by one: `skipped` counts the rest."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._octets = 0
        self.skipped = Skipped()

    def __iter__(self) -> Iterator[Datagram]:
        """Raises DecodeError, whose `what` is a sentence, for a file that is no capture; then nothing else."""
        head = self._read(4)
        magic = int.from_bytes(head, "little")
        if magic == _SECTION:
            records = self._blocks()
        elif magic in (_MAGIC, _MAGIC_NANO):
            records = self._records("<", 1e6 if magic == _MAGIC else 1e9)
        elif (swapped := int.from_bytes(head, "big")) in (_MAGIC, _MAGIC_NANO):
            records = self._records(">", 1e6 if swapped == _MAGIC else 1e9)
        else:
            raise DecodeError("this is no capture: neither pcap nor pcapng")
        count = 0
        for at, link, packet in records:
            datagram = self._datagram(at, link, packet)
            if datagram is not None:
                if count == MAX_DATAGRAMS:
                    self.skipped.cut = True
                    return
                count += 1
                yield datagram

    def _read(self, size: int) -> bytes:
        """Exactly so many octets, or nothing at the end, which is noted when it comes in the middle."""
        self._octets += size
        if size > MAX_RECORD or self._octets > MAX_OCTETS:
            self.skipped.cut = True
            return b""
        octets = self._file.read(size)
        if len(octets) < size:
            self.skipped.cut |= bool(octets)
            return b""
        return octets

    # the classic format

    def _records(self, order: str, resolution: float) -> Iterator[tuple[float, int, bytes]]:
        head = self._read(20)
        if not head:
            raise DecodeError("this capture ends in its header")
        link = struct.unpack(order + "I", head[16:])[0] & 0x0FFFFFFF
        while record := self._read(16):
            seconds, fraction, size, _ = struct.unpack(order + "IIII", record)
            packet = self._read(size)
            if len(packet) < size:
                self.skipped.cut = True
                return
            yield seconds + fraction / resolution, link, packet

    # pcapng

    def _blocks(self) -> Iterator[tuple[float, int, bytes]]:
        order = self._begin_section()
        interfaces: list[tuple[int, float, int]] = []
        while head := self._read(8):
            kind, size = struct.unpack(order + "II", head)
            if kind == _SECTION:  # its length is in an order that is not known yet
                order = self._begin_section(head[4:])
                interfaces = []
                continue
            body = self._read(size - 8) if 12 <= size <= MAX_RECORD else b""
            if not body:
                self.skipped.cut = True
                return
            if kind == _INTERFACE and len(interfaces) < MAX_INTERFACES:
                interfaces.append(_interface(order, body))
            elif kind in (_ENHANCED, _PACKET, _SIMPLE):
                packet = _packet(order, kind, body, interfaces)
                if packet is None:
                    self.skipped.damaged += 1
                else:
                    yield packet

    def _begin_section(self, length: bytes = b"") -> str:
        """Read what is left of a section header; tell its byte order."""
        length = length or self._read(4)
        magic = self._read(4)
        order = {_BYTE_ORDER: "<", int.from_bytes(struct.pack(">I", _BYTE_ORDER), "little"): ">"}.get(
            int.from_bytes(magic, "little")
        )
        if order is None or len(length) < 4:
            raise DecodeError("this capture has a section header that cannot be read")
        size = struct.unpack(order + "I", length)[0]
        if not 28 <= size <= MAX_RECORD or not self._read(size - 12):
            raise DecodeError("this capture ends in a section header")
        return order

    # packets

    def _datagram(self, at: float, link: int, packet: bytes) -> Datagram | None:
        start = _ip_begins(link, packet)
        if start is None or start >= len(packet):
            self.skipped.others += 1
            return None
        version = packet[start] >> 4
        if version == 4:
            return self._ipv4(at, packet[start:])
        if version == 6:
            return self._ipv6(at, packet[start:])
        self.skipped.others += 1
        return None

    def _ipv4(self, at: float, packet: bytes) -> Datagram | None:
        size = (packet[0] & 15) * 4
        if len(packet) < 20 or size < 20:
            self.skipped.damaged += 1
            return None
        if packet[9] != _UDP:
            self.skipped.others += 1
            return None
        if int.from_bytes(packet[6:8], "big") & 0x3FFF:
            self.skipped.fragments += 1
            return None
        return self._udp(at, packet[12:16], packet[16:20], packet[size:])

    def _ipv6(self, at: float, packet: bytes) -> Datagram | None:
        if len(packet) < 40:
            self.skipped.damaged += 1
            return None
        after, start = packet[6], 40
        while after in _EXTENSIONS and start + 2 <= len(packet):  # each takes eight octets at least
            after, start = packet[start], start + 8 + packet[start + 1] * 8
        if after == _FRAGMENT:
            self.skipped.fragments += 1
            return None
        if after != _UDP:
            self.skipped.others += 1
            return None
        return self._udp(at, packet[8:24], packet[24:40], packet[start:])

    def _udp(self, at: float, source: bytes, target: bytes, packet: bytes) -> Datagram | None:
        if len(packet) < 8:
            self.skipped.damaged += 1
            return None
        from_port, to_port, size = struct.unpack(">HHH", packet[:6])
        if not 8 <= size <= len(packet):
            self.skipped.damaged += 1
            return None
        return Datagram(at, (_host(source), from_port), (_host(target), to_port), packet[8:size])


def _host(octets: bytes) -> str:
    return str(ipaddress.ip_address(octets))


def _ip_begins(link: int, packet: bytes) -> int | None:
    """Where the IP header begins; None when there is none."""
    if link in (RAW, RAW_BSD, RAW_OPENBSD, IPV4, IPV6):
        return 0
    if link in (NULL, LOOP):
        return 4
    if link == ETHERNET:
        at = 12
        while packet[at : at + 2] in (b"\x81\x00", b"\x88\xa8"):  # VLAN tags; each step consumes
            at += 4
    elif link == SLL:
        at = 14
    elif link == SLL2:
        return 20 if packet[:2] in (b"\x08\x00", b"\x86\xdd") else None
    else:
        return None
    return at + 2 if packet[at : at + 2] in (b"\x08\x00", b"\x86\xdd") else None


def _interface(order: str, body: bytes) -> tuple[int, float, int]:
    """Link type, ticks in a second, seconds to add."""
    link = struct.unpack(order + "H", body[:2])[0]
    ticks, offset, at = 1e6, 0, 8
    while at + 4 <= len(body) - 4:
        code, size = struct.unpack(order + "HH", body[at : at + 4])
        value = body[at + 4 : at + 4 + size]
        if code == 9 and size == 1 and value:  # if_tsresol
            ticks = float(2 ** (value[0] & 0x7F) if value[0] & 0x80 else 10 ** min(value[0], 30))
        elif code == 14 and len(value) == 8:  # if_tsoffset
            offset = struct.unpack(order + "q", value)[0]
        at += 4 + (size + 3 & ~3)
    return link, ticks, offset if abs(offset) < 1 << 40 else 0


def _packet(
    order: str, kind: int, body: bytes, interfaces: list[tuple[int, float, int]]
) -> tuple[float, int, bytes] | None:
    """Time, link type and octets of a block that holds a packet; None when it makes no sense."""
    if kind == _SIMPLE:
        return (0.0, interfaces[0][0], body[4:-4]) if interfaces else None
    if len(body) < 24:
        return None
    number = struct.unpack(order + ("I" if kind == _ENHANCED else "H"), body[: 4 if kind == _ENHANCED else 2])[0]
    high, low, size = struct.unpack(order + "III", body[4:16])
    if number >= len(interfaces) or size > len(body) - 24:
        return None
    link, ticks, offset = interfaces[number]
    return offset + (high << 32 | low) / ticks, link, body[20 : 20 + size]
