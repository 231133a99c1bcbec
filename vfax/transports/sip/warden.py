"""The called side of digest authentication: callers are challenged without a word being kept about them.

Owns      nonces that prove themselves (time and HMAC), the judgement of Authorization, nonce counts of callers that
          have proved who they are.
Not here  which callers need a password (reception.py), hashes and header fields (digest.py).
Source    RFC 3261 (June 2002) 22.1, 22.2, 22.4; RFC 7616 3.3 to 3.5, 5.5 (nonces); RFC 8760 2.3.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from vfax.errors import DecodeError
from vfax.transports.sip.digest import ALGORITHMS, DEFAULT_ALGORITHM, Algorithm, Proof, Qop, Scheme, parse_schemes
from vfax.transports.sip.message import Request
from vfax.transports.sip.options import Dice
from vfax.transports.sip.syntax import legible, printable, quote, unquote

MAX_USER: Final = 256  # Limit: characters of a user name that is looked up

_NONCE: Final = re.compile(r"([0-9a-f]{16})([0-9a-f]{32})")
_COUNT: Final = re.compile(r"[0-9a-f]{8}")


class Judgement(Enum):
    """What becomes of a request."""

    ADMITTED = auto()
    UNKNOWN = auto()  # no credentials for our realm yet: challenge
    STALE = auto()  # the right password, but the nonce is used up: challenge again, saying so
    WRONG = auto()  # a wrong user or password: challenge again


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judgement, the user it is about (as given, on one line) and why it is not ADMITTED."""

    judgement: Judgement
    user: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WardenOptions:
    """Who may call with a password. Times in seconds."""

    realm: str = "vfax"
    users: Mapping[str, str] = field(default_factory=dict, repr=False)  # passwords by user
    algorithms: tuple[str, ...] = ("SHA-256", "MD5")  # what we offer, best first (RFC 8760 2.3)
    nonce_lifetime: float = 300.0  # an older nonce is stale
    nonce_uses: int = 1000  # Limit: requests with one nonce, then it is stale
    max_nonces: int = 4096  # Limit: nonces whose counts are remembered; older ones are stale then


class Warden:
    """Challenges callers and judges their answers."""

    def __init__(self, options: WardenOptions, dice: Dice) -> None:
        self._options = options
        known = (ALGORITHMS.get(name.lower()) for name in options.algorithms)
        # Limit: no -sess, whose A1 depends on the first request of a nonce: that would be a state to keep.
        self._algorithms = [one for one in known if one is not None and not one.session]
        self._secret = dice.getrandbits(256).to_bytes(32, "big")
        self._nobody = f"{dice.getrandbits(128):032x}"  # the password of users that are not there
        self._counts: dict[str, int] = {}  # the highest count of each nonce that was used well, in order of first use
        self._issued_last = -1  # time of the last nonce
        self._floor = -1  # nonces issued until then and not in the table are stale

    def __len__(self) -> int:
        return len(self._counts)

    def challenges(self, verdict: Verdict, host: str, now: float) -> list[tuple[str, str]]:
        """The WWW-Authenticate fields of a 401 to a request from `host`, the best algorithm first."""
        self._issued_last = max(self._issued_last + 1, int(now * 1e6))  # no nonce is given twice
        nonce = self._nonce(self._issued_last, host)
        stale = ", stale=true" if verdict.judgement is Judgement.STALE else ""
        realm = quote(self._options.realm)
        return [
            ("WWW-Authenticate", f'Digest realm={realm}, nonce="{nonce}", algorithm={one.name}, qop="auth"{stale}')
            for one in self._algorithms
        ]

    def judge(self, request: Request, host: str, now: float) -> Verdict:
        """Judge the credentials of a request from `host`. Never raises for what it holds."""
        try:
            given = self._ours(request)
            if given is None:
                return Verdict(Judgement.UNKNOWN, why="no credentials were given")
            return self._judge(given, request, host, now)
        except DecodeError as why:
            return Verdict(Judgement.WRONG, why=f"the credentials cannot be read ({why.what})")

    def _ours(self, request: Request) -> Scheme | None:
        """The Digest credentials for our realm (a request may carry others, for proxies on its way)."""
        schemes = [one for value in request.headers.all("authorization")[:8] for one in parse_schemes(value)]
        digests = (one for one in schemes if one.is_digest)
        return next((one for one in digests if _plain(one, "realm") == self._options.realm), None)

    def _judge(self, given: Scheme, request: Request, host: str, now: float) -> Verdict:
        user = _plain(given, "username")
        shown = printable(legible(user))[:MAX_USER]
        nonce = given.parameters.get("nonce", "")
        proof, count = self._proof(given, request, user)
        known = len(user) <= MAX_USER and user in self._options.users
        # The work is the same for a user that is not there: the time it takes tells nothing.
        expected = proof.response(self._options.users[user] if known else self._nobody)
        response = given.parameters.get("response", "").lower().encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(expected.encode(), response) or not known:
            why = "the password is wrong" if known else "there is no such user"
            return Verdict(Judgement.WRONG, shown, why)
        # RFC 7616 3.3: stale is only said to who knows the password.
        issued = self._issued(nonce, host)
        if issued is None or now * 1e6 - issued > self._options.nonce_lifetime * 1e6:
            return Verdict(Judgement.STALE, shown, "the nonce is none of ours or too old")
        if not self._count(nonce, issued, count):
            return Verdict(Judgement.STALE, shown, "the nonce count was used before")
        return Verdict(Judgement.ADMITTED, shown)

    def _proof(self, given: Scheme, request: Request, user: str) -> tuple[Proof, int]:
        """What the caller says it has computed, and its nonce count (0 without qop)."""
        known = given.parameters
        algorithm = ALGORITHMS.get(known.get("algorithm", DEFAULT_ALGORITHM).lower())
        if algorithm is None or algorithm not in self._algorithms:
            raise DecodeError("an algorithm that was not offered")
        qop, cnonce, count = known.get("qop"), known.get("cnonce", ""), known.get("nc", "").lower()
        if qop is not None and (qop.lower() != Qop.AUTH.value or not cnonce or _COUNT.fullmatch(count) is None):
            raise DecodeError("qop, cnonce and nc do not fit together")
        number = int(count, 16) if qop is not None else 0
        return _proof_of(given, request, user, algorithm, Qop.NONE if qop is None else Qop.AUTH, number), number

    # --- nonces -------------------------------------------------------------------------------------

    def _nonce(self, issued: int, host: str) -> str:
        """The time of issue in microseconds, and what only we can compute of it."""
        stamp = f"{issued & (1 << 64) - 1:016x}"
        bound = f"{stamp}|{host}|{self._options.realm}".encode("utf-8", "surrogateescape")
        return stamp + hmac.new(self._secret, bound, hashlib.sha256).hexdigest()[:32]

    def _issued(self, nonce: str, host: str) -> int | None:
        """When we gave this nonce to `host`; None when we did not."""
        found = _NONCE.fullmatch(nonce)
        if found is None:
            return None
        issued = int(found.group(1), 16)
        return issued if hmac.compare_digest(self._nonce(issued, host).encode(), nonce.encode()) else None

    def _count(self, nonce: str, issued: int, count: int) -> bool:
        """Take the count of a good answer: it must grow. Without qop a nonce serves once."""
        last = self._counts.get(nonce)
        if last is None and issued <= self._floor:
            return False
        if (last is not None and count <= last) or count > self._options.nonce_uses:
            return False
        self._counts[nonce] = count
        while len(self._counts) > self._options.max_nonces:  # Limit: the oldest goes, and all that are older with it
            oldest = next(iter(self._counts))
            del self._counts[oldest]
            self._floor = max(self._floor, int(oldest[:16], 16))
        return True


def _plain(given: Scheme, name: str) -> str:
    return unquote(f'"{given.parameters.get(name, "")}"')


def _proof_of(given: Scheme, request: Request, user: str, algorithm: Algorithm, qop: Qop, number: int) -> Proof:
    """The proof over the digest-uri as it was given.

    Deviation: it is not held against the Request-URI (RFC 7616 3.4.6): proxies on the way rewrite that one.
    """
    known = given.parameters
    return Proof(
        algorithm=algorithm,
        qop=qop,
        user=user,
        realm=known.get("realm", ""),
        nonce=known.get("nonce", ""),
        method=request.method,
        uri=known.get("uri", ""),
        cnonce=known.get("cnonce", ""),
        count=number,
    )
