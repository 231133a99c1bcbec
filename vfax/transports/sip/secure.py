"""UDPTL over DTLS in SDP: certificates by their fingerprints, who begins the handshake, which association is meant.

Owns      a=fingerprint and a=tls-id, the choice among hash functions, both sides' view of one association.
Not here  a=setup and the m= line (sdp.py), what is offered and accepted (negotiation.py), the handshake (../dtls.py).
Source    RFC 7345, whose section 4 RFC 8842 has replaced; RFC 8122 5 for fingerprints, RFC 4145 4 for a=setup.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from vfax.transports.parameters import Dtls
from vfax.transports.sip.sdp import Description, Line, Media, Setup, attributes, setup_of

HASHES: Final[dict[str, str]] = {
    "sha-512": "sha512",
    "sha-384": "sha384",
    "sha-256": "sha256",
    "sha-224": "sha224",
    "sha-1": "sha1",
}
"""Hash functions by their names in SDP, the one we prefer first; MD5 and MD2 must not be used (RFC 8122 5).

SHA-1 counts where a peer names no other: RFC 7345 itself has it in its examples, and no certificate can be made yet
that has the fingerprint of another one.
"""

USUAL: Final = "sha-256"
MAX_FINGERPRINTS: Final = 32
"""Limit: fingerprints of one peer that are looked at; it needs one for each certificate and hash function."""
MAX_VALUE: Final = 300
"""Limit: characters of one fingerprint that are read; SHA-512 has 200."""
SHOWN: Final = 8
"""Octets of a fingerprint that a sentence shows; the journal has all."""

_TLS_ID: Final = re.compile(r"[A-Za-z0-9+/_-]{20,255}")
_OCTETS: Final = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2})*")


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The hash of a certificate in its DER form; `name` is that of the function as SDP has it, in lower case."""

    name: str
    digest: bytes

    @classmethod
    def of(cls, certificate: bytes, name: str = USUAL) -> Self:
        """Hash a certificate (DER). `name` is one of `HASHES`."""
        return cls(name, hashlib.new(HASHES[name], certificate, usedforsecurity=False).digest())

    def __str__(self) -> str:
        return f"{self.name} {self.digest.hex(':').upper()}"

    @property
    def short(self) -> str:
        """Enough of it for people to tell it from another one."""
        return f"{self.name} {self.digest[:SHOWN].hex(':').upper()}..."


def parse_fingerprint(value: str) -> Fingerprint | None:
    """Read the value of a=fingerprint; None for a function that we do not use and for what is no value of it.

    Quirk: lower-case digits are read too, and any blanks between (the examples of RFC 7345 have one behind the colon).
    """
    name, _, rest = value[:MAX_VALUE].strip().partition(" ")
    name, text = name.lower(), rest.strip()
    if name not in HASHES or not _OCTETS.fullmatch(text):
        return None
    digest = bytes.fromhex(text.replace(":", ""))
    return Fingerprint(name, digest) if len(digest) == hashlib.new(HASHES[name]).digest_size else None


def fingerprints_of(sdp: Description, media: Media) -> tuple[Fingerprint, ...]:
    """The fingerprints of `media` that we can check, each once; those of the session where it has none of its own."""
    for lines in (media.lines, sdp.session):
        values = [value for name, value in attributes(lines) if name == "fingerprint" and value is not None]
        if values:
            read = (parse_fingerprint(value) for value in values[:MAX_FINGERPRINTS])
            return tuple(dict.fromkeys(one for one in read if one is not None))
    return ()


def preferred(fingerprints: Iterable[Fingerprint]) -> tuple[Fingerprint, ...]:
    """Those made with the best hash function among them: these count, and no others (RFC 8122 5.1)."""
    found = tuple(fingerprints)
    best = next((name for name in HASHES if any(one.name == name for one in found)), "")
    return tuple(one for one in found if one.name == best)


def matches(certificate: bytes, fingerprints: Iterable[Fingerprint]) -> bool:
    """Whether a certificate (DER) has one of the fingerprints that count."""
    return any(Fingerprint.of(certificate, one.name) == one for one in preferred(fingerprints))


def tls_id_of(media: Media) -> str:
    """The value of a=tls-id; empty when there is none, or one that is none (RFC 8842 4)."""
    for name, value in attributes(media.lines):
        if name == "tls-id":
            return value if value is not None and _TLS_ID.fullmatch(value) else ""
    return ""


# --- one association -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class DtlsSide:
    """Our side of the one association that a call may have.

    `tls_id` names it: 20 to 255 letters and digits, at least 120 bits of them by chance, another one for each call.
    `waits`: let the peer send the ClientHello where that is ours to say, for we could not reach it (NAT).
    """

    policy: Dtls
    fingerprints: tuple[Fingerprint, ...]
    tls_id: str
    waits: bool = False

    def lines(self, setup: Setup, *, tls_id: bool = True) -> tuple[Line, ...]:
        """The attributes besides those of T.38."""
        named = [f"tls-id:{self.tls_id}"] if tls_id else []
        texts = [f"setup:{setup.value}", *(f"fingerprint:{one}" for one in self.fingerprints), *named]
        return tuple(("a", text) for text in texts)

    def answered_setup(self, offered: Setup | None) -> Setup:
        """Who begins, for an answer. An offer that says nothing is active (RFC 4145 4)."""
        if offered is Setup.ACTPASS:
            return Setup.PASSIVE if self.waits else Setup.ACTIVE
        return Setup.ACTIVE if offered is Setup.PASSIVE else Setup.PASSIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class DtlsMedia:
    """What both ends agreed of an association: whether we send the ClientHello, and who the peer has to prove it is."""

    active: bool
    fingerprints: tuple[Fingerprint, ...]
    tls_id: str = ""


def associated(sdp: Description, media: Media, *, active: bool) -> DtlsMedia:
    """The association that a line of the peer's is for."""
    return DtlsMedia(active=active, fingerprints=fingerprints_of(sdp, media), tls_id=tls_id_of(media))


def unfit(sdp: Description, media: Media) -> str:
    """Why we cannot take up a line with UDPTL over DTLS; empty when we can."""
    if setup_of(sdp, media) is Setup.HOLDCONN:  # not for DTLS (RFC 8842 5.1)
        return "it says that no DTLS association is to be made (a=setup:holdconn)"
    if not fingerprints_of(sdp, media):
        return f"it has no fingerprint of its certificate that can be checked (a=fingerprint, {', '.join(HASHES)})"
    return ""


def is_another(current: DtlsMedia, sdp: Description, media: Media) -> bool:
    """Whether a later line of the peer's is for another association than the one that runs (RFC 8842 3.1, 4)."""
    named, setup = tls_id_of(media), setup_of(sdp, media)
    if named and current.tls_id and named != current.tls_id:
        return True
    if setup in (Setup.ACTIVE, Setup.PASSIVE) and (setup is Setup.ACTIVE) is current.active:
        return True
    return frozenset(fingerprints_of(sdp, media)) != frozenset(current.fingerprints)


def with_setup(lines: Sequence[Line], setup: Setup) -> list[Line]:
    """The lines of a session as they are, with another word on who begins."""
    return [("a", f"setup:{setup.value}") if text.startswith("setup:") else (kind, text) for kind, text in lines]
