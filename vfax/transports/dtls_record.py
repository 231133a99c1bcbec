"""The outside of DTLS records: enough to tell them from other datagrams, and one from the next.

Owns      the record header. Not here: handshake and ciphers (dtls.py has them done), who may send what (dtls.py).
Source    RFC 6347 4.1 for the header; RFC 7983 7 for the first octet, which RTP and UDPTL share a port with.
"""

from enum import IntEnum
from typing import Final

HEADER: Final = 13
FIRST: Final = 20
LAST: Final = 63
"""First octets that are left to DTLS where several protocols share a port."""
VERSIONS: Final = frozenset({b"\xfe\xff", b"\xfe\xfd"})
"""DTLS 1.0, which every first message wears, and 1.2."""
CLIENT_HELLO: Final = 1


class Content(IntEnum):
    """What a record holds."""

    CHANGE_CIPHER_SPEC = 20
    ALERT = 21
    HANDSHAKE = 22
    APPLICATION_DATA = 23


def looks_like_dtls(datagram: bytes) -> bool:
    """Whether a datagram begins with a whole record. No RTP does, nor UDPTL: its length octets would not fit."""
    if len(datagram) < HEADER or not FIRST <= datagram[0] <= LAST or datagram[1:3] not in VERSIONS:
        return False
    return _end(datagram, 0) <= len(datagram)


def is_client_hello(datagram: bytes) -> bool:
    """Whether a datagram asks for a new association: in the clear, and so by anybody."""
    if len(datagram) <= HEADER or datagram[0] != Content.HANDSHAKE:
        return False
    return datagram[3:5] == b"\0\0" and datagram[HEADER] == CLIENT_HELLO


def apart(datagram: bytes) -> list[bytes]:
    """The datagram, or its records one by one where it holds application data: each of them is a UDPTL packet.

    What follows the last whole record is dropped, as RFC 6347 4.1.2.7 has it for what is invalid.
    """
    if datagram[:1] != bytes((Content.APPLICATION_DATA,)):
        return [datagram]
    records: list[bytes] = []
    at = 0
    while at + HEADER <= len(datagram) and (end := _end(datagram, at)) <= len(datagram):
        records.append(datagram[at:end])
        at = end
    return records


def _end(datagram: bytes, at: int) -> int:
    return at + HEADER + int.from_bytes(datagram[at + HEADER - 2 : at + HEADER], "big")
