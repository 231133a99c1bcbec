"""What went over the wire: kept with its time, readable, and writable as a pcap file.

Owns      `Transcript` and the pcap form (Ethernet, IPv4 and UDP headers made up around each datagram).
Not here  reading a pcap (dissect.py).
Source    the libpcap savefile format 2.4; RFC 791, RFC 768.
"""

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

PCAP_HEADER: Final = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
ETHERNET: Final = bytes.fromhex("020000000002020000000001") + b"\x08\x00"

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Datagram:
    """One datagram seen at a socket of the peer. `kind` is sip, udptl or rtp; `at` seconds on trio's clock."""

    at: float
    kind: str
    source: Address
    target: Address
    octets: bytes


@dataclass(slots=True)
class Transcript:
    """Everything that one peer sent and received, in order."""

    datagrams: list[Datagram] = field(default_factory=list)
    notes: list[tuple[float, str]] = field(default_factory=list)

    def keep(self, at: float, kind: str, source: Address, target: Address, octets: bytes) -> None:
        """Add one datagram."""
        self.datagrams.append(Datagram(at, kind, source, target, octets))

    def note(self, at: float, text: str) -> None:
        """Add a remark of the peer."""
        self.notes.append((at, text))

    def sip_lines(self) -> list[str]:
        """First lines of all SIP messages, in order: what a ladder diagram shows."""
        return [d.octets.split(b"\r\n", 1)[0].decode("utf-8", "replace") for d in self.datagrams if d.kind == "sip"]

    def ports(self, kind: str) -> list[int]:
        """All ports that datagrams of one kind came from."""
        return sorted({d.source[1] for d in self.datagrams if d.kind == kind})

    def text(self) -> str:
        """SIP first lines, remarks and UDPTL counts, one line each, for a failed test's message."""
        lines = [(at, f"# {text}") for at, text in self.notes]
        lines += [
            (d.at, f"{d.source[1]} > {d.target[1]} {d.octets.splitlines()[0].decode('utf-8', 'replace')}")
            for d in self.datagrams
            if d.kind == "sip" and d.octets.strip()
        ]
        counts = {kind: sum(d.kind == kind for d in self.datagrams) for kind in ("sip", "udptl", "rtp")}
        return "\n".join(
            [f"{at:9.3f} {text}" for at, text in sorted(lines, key=lambda line: line[0])] + [f"datagrams: {counts}"]
        )

    def write_pcap(self, path: Path) -> None:
        """Write all datagrams as a capture of an Ethernet that never was."""
        with path.open("wb") as file:
            file.write(PCAP_HEADER)
            for d in self.datagrams:
                frame = ETHERNET + ip_packet(d)
                micros = round(d.at * 1_000_000)
                file.write(struct.pack("<IIII", *divmod(micros, 1_000_000), len(frame), len(frame)) + frame)


def ip_packet(d: Datagram) -> bytes:
    """The datagram with IPv4 and UDP headers; UDP's check sum is 0 (none)."""
    udp = struct.pack("!HHHH", d.source[1], d.target[1], 8 + len(d.octets), 0) + d.octets
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + _ip(d.source[0]) + _ip(d.target[0])
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    return head[:10] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + head[12:] + udp


def _ip(text: str) -> bytes:
    return bytes(int(part) for part in text.split("."))
