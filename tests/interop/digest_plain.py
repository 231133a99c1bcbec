"""Digest credentials for the test peer, written apart from vfax so that a mistake there is not mirrored here.

Owns      what answers a challenge (`Login`), and who challenges and checks (`Guard`).
Not here  which requests are challenged over again (peer_call.py), who sends (peer.py).
Source    RFC 7616; RFC 8760 for SIP; RFC 3261 22. Of qop only auth.
"""

import hashlib
import itertools
import re
from dataclasses import dataclass, field
from typing import Final

from tests.interop.sip_plain import Message, parameter

HASHES: Final = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}
STRONGEST_FIRST: Final = ("SHA-512-256", "SHA-512-256-sess", "SHA-256", "SHA-256-sess", "MD5", "MD5-sess")


def _hash(algorithm: str, text: str) -> str:
    return hashlib.new(HASHES[algorithm.removesuffix("-sess")], text.encode()).hexdigest()


def fields_of(value: str) -> dict[str, str]:
    """The parameters of `Digest a="b", c=d`, names in lower case, quotes taken off."""
    found = re.findall(r'([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))', value.partition(" ")[2])
    return {name.lower(): re.sub(r"\\(.)", r"\1", quoted) or plain for name, quoted, plain in found}


def answer_of(given: dict[str, str], method: str, user: str, password: str) -> str:
    """The `response` that belongs to the parameters of credentials."""
    algorithm, realm, nonce = given.get("algorithm", "MD5"), given.get("realm", ""), given.get("nonce", "")
    ha1 = _hash(algorithm, f"{user}:{realm}:{password}")
    if algorithm.endswith("-sess"):
        ha1 = _hash(algorithm, f"{ha1}:{nonce}:{given.get('cnonce', '')}")
    ha2 = _hash(algorithm, f"{method}:{given.get('uri', '')}")
    if "qop" in given:
        middle = f"{nonce}:{given.get('nc', '')}:{given.get('cnonce', '')}:{given['qop']}"
        return _hash(algorithm, f"{ha1}:{middle}:{ha2}")
    return _hash(algorithm, f"{ha1}:{nonce}:{ha2}")


@dataclass(frozen=True, slots=True)
class Login:
    """A user and a password; answers the strongest challenge of a 401 or 407."""

    user: str
    password: str

    def credentials(self, refusal: Message, method: str, uri: str) -> list[tuple[str, str]]:
        """The header fields that answer `refusal`; empty when nothing in it can be answered."""
        asked, said = ("www-authenticate", "Authorization")
        if refusal.status == 407:
            asked, said = ("proxy-authenticate", "Proxy-Authorization")
        challenges = [fields_of(value) for value in refusal.all(asked)]
        usable = [one for one in challenges if one.get("algorithm", "MD5") in STRONGEST_FIRST]
        if not usable:
            return []
        best = min(usable, key=lambda one: STRONGEST_FIRST.index(one.get("algorithm", "MD5")))
        return [(said, self._answer(best, method, uri))]

    def _answer(self, challenge: dict[str, str], method: str, uri: str) -> str:
        given: dict[str, str] = {
            name: challenge[name] for name in ("realm", "nonce", "algorithm", "opaque") if name in challenge
        }
        given |= {"username": self.user, "uri": uri, "cnonce": "0a4f113b", "nc": "00000001"}
        if "auth" in [word.strip() for word in challenge.get("qop", "").split(",")]:
            given["qop"] = "auth"
        given["response"] = answer_of(given, method, self.user, self.password)
        bare = ("algorithm", "nc", "qop")
        return "Digest " + ", ".join(f"{k}={v}" if k in bare else f'{k}="{v}"' for k, v in given.items())


@dataclass(slots=True)
class Guard:
    """Challenges requests and checks what comes back.

    `methods` names what is challenged; "re-INVITE" is an INVITE with a To tag and is not meant by "INVITE". A nonce is
    good for `uses` requests; afterwards the challenge says stale. `refused` counts wrong answers.
    """

    login: Login
    methods: frozenset[str] = frozenset({"INVITE"})
    realm: str = "spandsp.test"
    algorithms: tuple[str, ...] = ("MD5",)
    qop: bool = True
    proxy: bool = False  # 407 instead of 401
    uses: int = 1
    asked: int = 0
    passed: int = 0
    refused: int = 0
    _nonces: dict[str, int] = field(default_factory=dict)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    @property
    def status(self) -> int:
        """What those without credentials hear."""
        return 407 if self.proxy else 401

    def check(self, request: Message) -> list[tuple[str, str]] | None:
        """The challenges for `request`, None when it may pass."""
        inside = bool(parameter(request.get("to"), "tag"))
        name = "re-INVITE" if inside and request.method == "INVITE" else request.method
        if name not in self.methods:
            return None
        values = request.all("proxy-authorization" if self.proxy else "authorization")
        given = next((found for found in map(fields_of, values) if found.get("realm") == self.realm), None)
        stale = given is not None and not self._nonces.get(given.get("nonce", ""))
        if given is not None and not stale:
            self._nonces[given["nonce"]] -= 1
            if self._is_right(given, request):
                self.passed += 1
                return None
            self.refused += 1
        self.asked += 1
        return self._challenges(stale=stale)

    def _is_right(self, given: dict[str, str], request: Message) -> bool:
        right = given.get("algorithm", "MD5") in self.algorithms and given.get("username") == self.login.user
        right = right and given.get("uri") == request.first.split(" ")[1] and ("qop" in given) == self.qop
        wanted = answer_of(given, request.method, self.login.user, self.login.password) if right else ""
        return right and given.get("response") == wanted

    def _challenges(self, *, stale: bool) -> list[tuple[str, str]]:
        asked = "Proxy-Authenticate" if self.proxy else "WWW-Authenticate"
        fields = []
        for algorithm in self.algorithms:
            nonce = f"nonce-{next(self._numbers)}"
            self._nonces[nonce] = self.uses
            more = (', qop="auth"' if self.qop else "") + (", stale=true" if stale else "")
            fields.append((asked, f'Digest realm="{self.realm}", nonce="{nonce}", algorithm={algorithm}{more}'))
        return fields
