"""UDPTL datagrams.

Oracle    DecodeError or a packet; a packet encodes to octets that decode to it; its octets were all in the datagram;
          recovery delivers each number once, without more entries than came, from any row of datagrams.
"""

from typing import Final

from fuzz import vectors
from fuzz.mutate import record, split
from vfax.errors import DecodeError
from vfax.transports.udptl import RING, Missing, Packet, Recovery, Sender

RECORDS: Final = True
TOKENS: Final = (b"\x80\x01\x03", b"\x00\x01", b"\xff\xff", b"\x81\x00", b"\xc0")


def seeds() -> list[bytes]:
    """Every vector alone, and a stream with redundancy of which some is lost."""
    sender = Sender(400)
    stream = [sender.send(bytes([number]) * (number % 40 + 1), number % 4) for number in range(40)]
    kept = [record(0, 0, datagram) for number, datagram in enumerate(stream) if number % 7]
    return [record(0, 0, octets) for _, octets in vectors.t38("udptl")] + [b"".join(kept)]


def run(data: bytes) -> None:
    """Each record is a datagram of one stream."""
    recovery = Recovery()
    for _, _, datagram in split(data):
        try:
            packet = Packet.decode(datagram)
        except DecodeError:
            continue
        parts = [packet.primary, *packet.earlier, *(packet.fec.rows if packet.fec else ())]
        assert sum(map(len, parts)) <= len(datagram), "more octets than came"
        again = Packet.decode(packet.encode())
        assert (again.sequence, again.primary, again.earlier) == (packet.sequence, packet.primary, packet.earlier)
        deliveries = recovery.receive(packet)
        assert len(deliveries) <= 2 * RING + 8, "more deliveries than a gap can have"
        assert all(one.packets > 0 for one in deliveries if isinstance(one, Missing)), "nothing is missing"
