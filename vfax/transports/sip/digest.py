"""Digest authentication: what both sides of it share.

Owns      the algorithms, reading challenges and credentials out of header fields, which challenge is answered, the
          response and the value of Authorization.
Not here  what our side remembers between requests (keyring.py), how callers are challenged (warden.py).
Source    RFC 3261 (June 2002) 22; RFC 8760 (SHA-256 and SHA-512-256 in SIP); RFC 7616 3.4; RFC 2617 3.2.2; RFC 2069.

Text from the peer stays as it came: realm, nonce and opaque go back, and into the hash, with their escapes unresolved.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, Self

from vfax.errors import DecodeError
from vfax.transports.sip.message import Headers, canonical
from vfax.transports.sip.syntax import LWS, end_of_quoted, is_token, quote, split_outside

MAX_CHALLENGES: Final = 16  # Limit: challenges of one response that are looked at
SOURCE: Final = "RFC 3261 25.1 challenge"

_TOKEN: Final = re.compile(r"[A-Za-z0-9.!%*_+`'~-]+")
_NOT_BARE: Final = re.compile(r'["\\ \t]')
_TOKEN68: Final = re.compile(r"[A-Za-z0-9._~+/-]++=*")


# --- algorithms -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One hash of the registry of RFC 7616 6.1. `strength` orders them: the higher, the sooner it is taken."""

    name: str
    hash: str  # as hashlib knows it
    strength: int
    session: bool = False  # A1 is bound to the first nonce and cnonce (RFC 7616 3.4.2)

    def digest(self, text: str | bytes) -> str:
        """H(text) in lower case hexadecimal."""
        octets = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
        return hashlib.new(self.hash, octets, usedforsecurity=False).hexdigest()


def _is_known(name: str) -> bool:
    try:
        hashlib.new(name, usedforsecurity=False)
    except ValueError:  # SHA-512-256 comes with OpenSSL only
        return False
    return True


_HASHES: Final = (("SHA-512-256", "sha512_256", 3), ("SHA-256", "sha256", 2), ("MD5", "md5", 1))
ALGORITHMS: Final[dict[str, Algorithm]] = {
    (name + suffix).lower(): Algorithm(name + suffix, known, strength, bool(suffix))
    for name, known, strength in _HASHES
    for suffix in ("", "-sess")
    if _is_known(known)
}
"""By name in lower case; those that this Python can compute."""

DEFAULT_ALGORITHM: Final = "MD5"  # RFC 7616 3.3, when none is named


class Qop(Enum):
    """Quality of protection: what the response covers (RFC 7616 3.4.3)."""

    AUTH = "auth"
    AUTH_INT = "auth-int"
    NONE = ""  # RFC 2069: neither nonce count nor cnonce


# --- reading header fields --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Scheme:
    """One challenge or one set of credentials: the scheme, and its parameters without their quotes, escapes as sent."""

    name: str
    parameters: Mapping[str, str]

    @property
    def is_digest(self) -> bool:
        """Whether it is Digest."""
        return self.name.lower() == "digest"


def parse_schemes(value: str) -> list[Scheme]:
    """All challenges (or credentials) of one header field value, in order.

    A part between commas that starts with a word and no `=` begins the next one (RFC 7235 4.1); SIP wants one for each
    header field (RFC 3261 7.3.1), which not everybody keeps to. Raises DecodeError.
    """
    found: list[tuple[str, dict[str, str]]] = []
    for part in split_outside(value, ","):
        if not part:
            continue
        word = _TOKEN.match(part)
        if word is None:
            raise DecodeError("a challenge that is no scheme and no parameter", source=SOURCE)
        rest = part[word.end() :].lstrip(LWS)
        if rest.startswith("="):
            if not found:
                raise DecodeError("a parameter before any scheme", source=SOURCE)
            _add_parameter(found[-1][1], part)
            continue
        if rest and part[word.end()] not in LWS:
            raise DecodeError("a scheme that is no token", source=SOURCE)
        found.append((word.group(), {}))
        if rest and _TOKEN68.fullmatch(rest) is None:
            _add_parameter(found[-1][1], rest)
    return [Scheme(name, parameters) for name, parameters in found]


def _add_parameter(parameters: dict[str, str], text: str) -> None:
    name, equals, value = text.partition("=")
    name, value = name.rstrip(LWS).lower(), value.strip(LWS)
    if not equals or not is_token(name):
        raise DecodeError("an authentication parameter without a name", source=SOURCE)
    if name in parameters:
        raise DecodeError(f"several parameters {name}", source=SOURCE)
    if value.startswith('"'):
        if end_of_quoted(value, 0) != len(value):
            raise DecodeError(f"text after the quoted value of {name}", source=SOURCE)
        value = value[1:-1]
    elif _NOT_BARE.search(value):  # it goes back between quotes of ours
        raise DecodeError(f"a value of {name} that needs quotes", source=SOURCE)
    parameters[name] = value


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """One Digest challenge. Texts without their quotes, escapes as they came."""

    proxy: bool  # Proxy-Authenticate, else WWW-Authenticate
    realm: str
    nonce: str
    algorithm: str | None = None  # None: not named, hence MD5
    qop: tuple[str, ...] | None = None  # None: not named, hence RFC 2069
    opaque: str | None = None
    stale: bool = False

    @classmethod
    def of(cls, scheme: Scheme, *, proxy: bool) -> Self:
        """Read the parameters. Raises DecodeError without realm or nonce."""
        known = scheme.parameters
        for name in ("realm", "nonce"):
            if name not in known:
                raise DecodeError(f"a Digest challenge without {name}", source=SOURCE)
        qop = known.get("qop")
        return cls(
            proxy=proxy,
            realm=known["realm"],
            nonce=known["nonce"],
            algorithm=known.get("algorithm"),
            qop=None if qop is None else tuple(word.strip(LWS).lower() for word in qop.split(",")),
            opaque=known.get("opaque"),
            stale=known.get("stale", "").lower() == "true",
        )

    @property
    def method(self) -> Algorithm | None:
        """The algorithm, None when we cannot compute it."""
        return ALGORITHMS.get((self.algorithm or DEFAULT_ALGORITHM).lower())

    @property
    def protection(self) -> Qop | None:
        """What we answer with: auth before auth-int; None when only unknown ones are offered."""
        if self.qop is None:
            return Qop.NONE
        return next((qop for qop in (Qop.AUTH, Qop.AUTH_INT) if qop.value in self.qop), None)

    @property
    def title(self) -> str:
        """What a sentence calls it: `Digest SHA-256`."""
        return f"Digest {self.algorithm or DEFAULT_ALGORITHM}"


@dataclass(frozen=True, slots=True)
class Challenges:
    """What a 401 or 407 asks for: Digest challenges as they stood, and names of what is not for us."""

    digest: tuple[Challenge, ...]
    others: tuple[str, ...]


def challenges_in(headers: Headers) -> Challenges:
    """All challenges of a response, proxies' and servers'. What cannot be read counts among the others."""
    found: list[Challenge] = []
    others: list[str] = []
    for name, value in headers:
        key = canonical(name)
        if key not in ("www-authenticate", "proxy-authenticate") or len(found) + len(others) >= MAX_CHALLENGES:
            continue
        try:
            for scheme in parse_schemes(value):
                if scheme.is_digest:
                    found.append(Challenge.of(scheme, proxy=key == "proxy-authenticate"))
                else:
                    others.append(scheme.name)
        except DecodeError as why:
            others.append(f"a challenge that cannot be read ({why.what})")
    return Challenges(tuple(found[:MAX_CHALLENGES]), tuple(others[:MAX_CHALLENGES]))


def choose(challenges: Iterable[Challenge], *, md5: bool) -> list[Challenge]:
    """The one to answer for each realm of proxies and of servers: the strongest we can compute, of equals the topmost.

    RFC 8760 2.4 wants the topmost unless our policy differs; ours is never to take MD5 where the realm has better.
    `md5`: whether MD5 is answered at all.
    """
    best: dict[tuple[bool, str], Challenge] = {}
    for challenge in challenges:
        method, key = challenge.method, (challenge.proxy, challenge.realm)
        if method is None or challenge.protection is None or (method.strength == 1 and not md5):
            continue
        known = best.get(key)
        if known is None or known.method is None or method.strength > known.method.strength:
            best[key] = challenge
    return list(best.values())


# --- the response -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What goes into a response besides the password. `count` and `cnonce` are not used with Qop.NONE.

    `session` is the pair of nonce and cnonce that a -sess algorithm is bound to (those of the first request).
    """

    algorithm: Algorithm
    qop: Qop
    user: str
    realm: str
    nonce: str
    method: str
    uri: str
    cnonce: str = ""
    count: int = 1
    body: bytes = b""
    session: tuple[str, str] | None = None

    def response(self, password: str) -> str:
        """The request-digest (RFC 7616 3.4.1 to 3.4.3)."""
        digest = self.algorithm.digest
        secret = digest(f"{self.user}:{self.realm}:{password}")
        if self.algorithm.session:
            nonce, cnonce = self.session or (self.nonce, self.cnonce)
            secret = digest(f"{secret}:{nonce}:{cnonce}")
        asked = f"{self.method}:{self.uri}"
        if self.qop is Qop.AUTH_INT:
            asked = f"{asked}:{digest(self.body)}"
        if self.qop is Qop.NONE:
            return digest(f"{secret}:{self.nonce}:{digest(asked)}")
        return digest(f"{secret}:{self.nonce}:{self.count:08x}:{self.cnonce}:{self.qop.value}:{digest(asked)}")


def credentials_value(proof: Proof, challenge: Challenge, password: str) -> str:
    """The value of Authorization or Proxy-Authorization that answers `challenge`."""
    parts = [
        f"username={quote(proof.user)}",
        f'realm="{challenge.realm}"',
        f'nonce="{challenge.nonce}"',
        f'uri="{proof.uri}"',
        f'response="{proof.response(password)}"',
    ]
    if challenge.algorithm is not None:
        parts.append(f"algorithm={challenge.algorithm}")
    if challenge.opaque is not None:
        parts.append(f'opaque="{challenge.opaque}"')
    if proof.qop is not Qop.NONE:
        parts += [f"qop={proof.qop.value}", f'cnonce="{proof.cnonce}"', f"nc={proof.count:08x}"]
    elif proof.algorithm.session:
        parts.append(f'cnonce="{proof.cnonce}"')
    return "Digest " + ", ".join(parts)
