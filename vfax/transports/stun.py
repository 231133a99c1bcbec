"""STUN messages: octets to values and back; pure.

Owns      header and attributes of Binding requests, responses and indications; XOR-MAPPED-ADDRESS, MESSAGE-INTEGRITY
          and FINGERPRINT; telling STUN from what else comes to a socket.
Not here  asking, repeating, waiting (stun_client.py).
Source    RFC 8489 (February 2020) 5, 14, with RFC 5389 where that has other words; RFC 5769 has the test vectors.
"""

import hashlib
import hmac
import ipaddress
import stringprep
import struct
import unicodedata
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Self

from vfax.errors import DecodeError
from vfax.transports.sip.values import Address

COOKIE: Final = 0x2112A442
HEADER: Final = struct.Struct(">HHI12s")
HEAD: Final = 20
MAX_MESSAGE: Final = 1500
"""Limit: octets; a longer one does not come in one datagram of a path that STUN is for."""
MAX_ATTRIBUTES: Final = 64
"""Limit: attributes of one message."""
BINDING: Final = 0x001
FINGERPRINT_XOR: Final = 0x5354554E
_INTEGRITY: Final = 20  # octets of HMAC-SHA1
_ATTRIBUTE: Final = struct.Struct(">HH")


class MessageClass(IntEnum):
    """The class bits of a message type (RFC 8489 5)."""

    REQUEST = 0
    INDICATION = 1
    SUCCESS = 2
    ERROR = 3


class Attribute(IntEnum):
    """Attributes that are read or written here (RFC 8489 14, 18.3)."""

    MAPPED_ADDRESS = 0x0001
    USERNAME = 0x0006
    MESSAGE_INTEGRITY = 0x0008
    ERROR_CODE = 0x0009
    UNKNOWN_ATTRIBUTES = 0x000A
    REALM = 0x0014
    NONCE = 0x0015
    MESSAGE_INTEGRITY_SHA256 = 0x001C
    PASSWORD_ALGORITHM = 0x001D
    USERHASH = 0x001E
    XOR_MAPPED_ADDRESS = 0x0020
    SOFTWARE = 0x8022
    ALTERNATE_SERVER = 0x8023
    FINGERPRINT = 0x8028


OPTIONAL: Final = 0x8000
"""From here on an attribute that is not understood may be passed over (RFC 8489 14)."""


@dataclass(frozen=True, slots=True)
class StunMessage:
    """One message. `attributes` are (type, value) in their order, integrity and fingerprint included when read."""

    message_class: MessageClass
    transaction: bytes  # 12 octets
    attributes: tuple[tuple[int, bytes], ...] = ()
    method: int = BINDING

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Read one message. A FINGERPRINT that is there has to be right. Raises DecodeError, and nothing else."""
        if not is_stun(octets):
            raise DecodeError("not a STUN message", source="RFC 8489 5")
        kind, _, _, transaction = HEADER.unpack_from(octets)
        method = (kind & 0x3E00) >> 2 | (kind & 0x00E0) >> 1 | (kind & 0x000F)
        message_class = MessageClass((kind & 0x0100) >> 7 | (kind & 0x0010) >> 4)
        return cls(message_class, transaction, tuple(_read_attributes(octets)), method)

    def encode(self, *, key: bytes | None = None, fingerprint: bool = True) -> bytes:
        """Write it, with MESSAGE-INTEGRITY under `key` (short_term_key, long_term_key) and FINGERPRINT behind."""
        body = b"".join(_attribute(kind, value) for kind, value in self.attributes)
        if key is not None:
            head = self._head(len(body) + _ATTRIBUTE.size + _INTEGRITY)
            body += _attribute(Attribute.MESSAGE_INTEGRITY, hmac.digest(key, head + body, "sha1"))
        if fingerprint:
            head = self._head(len(body) + _ATTRIBUTE.size + 4)
            body += _attribute(Attribute.FINGERPRINT, _fingerprint(head + body))
        return self._head(len(body)) + body

    def _head(self, length: int) -> bytes:
        kind = (self.method & 0x0F80) << 2 | (self.method & 0x0070) << 1 | (self.method & 0x000F)
        kind |= (self.message_class & 2) << 7 | (self.message_class & 1) << 4
        return HEADER.pack(kind, length, COOKIE, self.transaction)

    def find(self, kind: int) -> bytes | None:
        """The value of the first attribute of a kind."""
        return next((value for one, value in self.attributes if one == kind), None)

    @property
    def strange(self) -> list[int]:
        """Attributes that have to be understood and are not known here (RFC 8489 6.3)."""
        return [kind for kind, _ in self.attributes if kind < OPTIONAL and kind not in set(Attribute)]

    @property
    def mapped(self) -> Address | None:
        """Where the request came from: XOR-MAPPED-ADDRESS, or MAPPED-ADDRESS of old servers. None for rubbish."""
        xored, plain = self.find(Attribute.XOR_MAPPED_ADDRESS), self.find(Attribute.MAPPED_ADDRESS)
        if xored is not None:
            return _read_address(xored, COOKIE.to_bytes(4) + self.transaction)
        return None if plain is None else _read_address(plain, bytes(16))

    @property
    def error(self) -> tuple[int, str]:
        """ERROR-CODE: number and reason phrase; (0, "") when there is none that can be read."""
        value = self.find(Attribute.ERROR_CODE)
        if value is None or len(value) < 4:
            return 0, ""
        return (value[2] & 7) * 100 + value[3], value[4:].decode("utf-8", "replace")


def is_stun(octets: bytes) -> bool:
    """Whether a datagram is a STUN message by its shape: top bits, length and cookie (RFC 8489 5, RFC 7983).

    SIP begins with a letter or a line end, RTP with the bits 10; UDPTL may begin with the same octets, but not with
    the cookie and its own length behind.
    """
    if not HEAD <= len(octets) <= MAX_MESSAGE or octets[0] > 3:
        return False
    length, cookie = int.from_bytes(octets[2:4]), int.from_bytes(octets[4:8])
    return cookie == COOKIE and length % 4 == 0 and length == len(octets) - HEAD


def verifies(octets: bytes, key: bytes) -> bool:
    """Whether a message, as it came, carries a right MESSAGE-INTEGRITY under `key` (RFC 8489 14.5)."""
    at = HEAD
    while at + _ATTRIBUTE.size <= len(octets):
        kind, length = _ATTRIBUTE.unpack_from(octets, at)
        if kind == Attribute.MESSAGE_INTEGRITY:
            head = octets[:2] + struct.pack(">H", at + _ATTRIBUTE.size + _INTEGRITY - HEAD) + octets[4:HEAD]
            wanted = hmac.digest(key, head + octets[HEAD:at], "sha1")
            return hmac.compare_digest(wanted, octets[at + _ATTRIBUTE.size : at + _ATTRIBUTE.size + length])
        at += _ATTRIBUTE.size + length + -length % 4
    return False


def short_term_key(password: str) -> bytes:
    """RFC 8489 9.1.1."""
    return prepared(password).encode()


def long_term_key(username: str, realm: str, password: str) -> bytes:
    """RFC 8489 9.2.2 with MD5, the only algorithm of RFC 5389."""
    text = f"{username}:{prepared(realm)}:{prepared(password)}"
    return hashlib.md5(text.encode(), usedforsecurity=False).digest()


def prepared(text: str) -> str:
    """SASLprep (RFC 4013 2) without its prohibitions: blanks alike, nothing that is invisible, compatible forms."""
    mapped = (" " if stringprep.in_table_c12(one) else one for one in text if not stringprep.in_table_b1(one))
    return unicodedata.normalize("NFKC", "".join(mapped))


def xor_address(address: Address, transaction: bytes) -> bytes:
    """The value of XOR-MAPPED-ADDRESS (RFC 8489 14.2)."""
    host = ipaddress.ip_address(address[0])
    mask = COOKIE.to_bytes(4) + transaction
    octets = bytes(one ^ other for one, other in zip(host.packed, mask, strict=False))
    return struct.pack(">BBH", 0, 1 if host.version == 4 else 2, address[1] ^ COOKIE >> 16) + octets


def _read_address(value: bytes, mask: bytes) -> Address | None:
    if len(value) not in (8, 20) or value[1] != (1 if len(value) == 8 else 2):
        return None
    port = int.from_bytes(value[2:4]) ^ int.from_bytes(mask[:2])
    host = ipaddress.ip_address(bytes(one ^ other for one, other in zip(value[4:], mask, strict=False)))
    return str(host), port


def _read_attributes(octets: bytes) -> Iterable[tuple[int, bytes]]:
    at, count, sealed = HEAD, 0, False
    while at < len(octets):
        if at + _ATTRIBUTE.size > len(octets):
            raise DecodeError("cut attribute", offset=at, source="RFC 8489 14")
        kind, length = _ATTRIBUTE.unpack_from(octets, at)
        end = at + _ATTRIBUTE.size + length
        count += 1
        if end > len(octets) or count > MAX_ATTRIBUTES:
            raise DecodeError("attributes longer than the message", offset=at, source="RFC 8489 14")
        value = octets[at + _ATTRIBUTE.size : end]
        if kind == Attribute.FINGERPRINT and (value != _fingerprint(octets[:at]) or end != len(octets)):
            raise DecodeError("wrong fingerprint", offset=at, source="RFC 8489 14.7")
        if not sealed or kind == Attribute.FINGERPRINT:  # what follows the integrity is not covered by it (14.5)
            yield kind, value
        sealed = sealed or kind == Attribute.MESSAGE_INTEGRITY
        at = end + -length % 4


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(kind, len(value)) + value + bytes(-len(value) % 4)


def _fingerprint(before: bytes) -> bytes:
    return (zlib.crc32(before) ^ FINGERPRINT_XOR).to_bytes(4)
