"""Our side of digest authentication: the credentials of one account and the challenges they have met.

Owns      which credentials a realm gets, nonce counts, when a request is worth repeating, why it is not.
Not here  hashes and header fields (digest.py), sending the repeat (agent.py, registration.py).
Source    RFC 3261 (June 2002) 22.2, 22.3; RFC 7616 3.3 (stale), 3.4, 3.6; RFC 8760 2.4.

One keyring serves one dialog, or the registrations of one account: what the first request learned is sent along with
the next ones, so that each is challenged at most once for each nonce.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from vfax.transports.sip.digest import Challenge, Challenges, Proof, Qop, challenges_in, choose, credentials_value
from vfax.transports.sip.message import Response
from vfax.transports.sip.options import Dice
from vfax.transports.sip.syntax import legible, printable, unquote

MAX_REALMS: Final = 8  # Limit: realms one keyring remembers
MAX_STALE: Final = 2  # Limit: fresh nonces one request is repeated with in one realm
FIELD: Final = {False: "Authorization", True: "Proxy-Authorization"}

Realm = tuple[bool, str]
"""Whether a proxy asks, and the realm."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user and its password. `realm` ties them to one; empty: they are for whoever asks."""

    user: str
    password: str = field(repr=False)
    realm: str = ""


@dataclass(slots=True)
class _Session:
    """A nonce in use."""

    challenge: Challenge
    credentials: Credentials
    cnonce: str
    count: int = 0

    def value(self, method: str, uri: str, body: bytes) -> str:
        """The value for the next request with this nonce."""
        challenge = self.challenge
        algorithm, qop = challenge.method, challenge.protection
        assert algorithm is not None  # only what `choose` took gets a session
        assert qop is not None
        self.count += 1
        proof = Proof(
            algorithm=algorithm,
            qop=qop,
            user=self.credentials.user,
            realm=challenge.realm,
            nonce=challenge.nonce,
            method=method,
            uri=uri,
            cnonce=self.cnonce,
            count=self.count,
            body=body if qop is Qop.AUTH_INT else b"",
        )
        return credentials_value(proof, challenge, self.credentials.password)


@dataclass(slots=True)
class Attempt:
    """One request and its repeats: what has been answered on its behalf."""

    answered: dict[Realm, int] = field(default_factory=dict)  # how many nonces of each realm


class Keyring:
    """Answers challenges with the credentials of one account. `md5`: whether MD5 is answered at all."""

    def __init__(self, credentials: Sequence[Credentials], dice: Dice, *, md5: bool = True) -> None:
        self._credentials = tuple(credentials)
        self._dice = dice
        self._md5 = md5
        self._sessions: dict[Realm, _Session] = {}

    def fields(self, method: str, uri: str, body: bytes = b"") -> list[tuple[str, str]]:
        """Authorization and Proxy-Authorization for a request: one for each realm met so far.

        `uri` is the Request-URI as it will be sent. Each call uses up one number of each nonce: repeats of the same
        octets must not ask again.
        """
        return [(FIELD[realm[0]], one.value(method, uri, body)) for realm, one in self._sessions.items()]

    def learn(self, response: Response, attempt: Attempt) -> str:
        """Take the challenges of a 401 or 407 to the request that `attempt` stands for.

        Returns "" when the request is to be repeated with new `fields`, else the sentence that says why that is of no
        use. Never raises for what the response holds.
        """
        found = challenges_in(response.headers)
        chosen = choose(found.digest, md5=self._md5)
        if not chosen:
            return self._nothing_to_answer(response, found)
        strange: list[str] = []
        fresh = False
        for challenge in chosen:
            credentials = self._for(challenge.realm)
            if credentials is None:
                strange.append(challenge.realm)
            elif refusal := self._refusal(challenge, credentials, response, attempt):
                return refusal
            else:
                fresh = self._open(challenge, credentials, attempt) or fresh
        return "" if fresh else _no_credentials(strange)

    def _for(self, realm: str) -> Credentials | None:
        known = unquote(f'"{realm}"')
        tied = next((one for one in self._credentials if one.realm == known), None)
        return tied or next((one for one in self._credentials if not one.realm), None)

    def _refusal(self, challenge: Challenge, credentials: Credentials, response: Response, attempt: Attempt) -> str:
        """Why a challenge of a realm that this request has answered is not answered again; "" when it is."""
        times = attempt.answered.get((challenge.proxy, challenge.realm), 0)
        if not times:  # also when what we sent unasked was not taken: servers forget nonces without saying stale
            return ""
        where = f"in realm {_shown(challenge.realm)}"
        if not challenge.stale:
            return (
                f"the password for user {_shown(credentials.user)} {where} is wrong: {response.status} came again "
                "after it was given (check the user, the password and the realm)"
            )
        if times >= MAX_STALE:
            return f"the peer calls every nonce of its own stale {where}: its clocks or its cluster disagree"
        return ""

    def _open(self, challenge: Challenge, credentials: Credentials, attempt: Attempt) -> bool:
        """Begin with the new nonce. False when there are too many realms."""
        realm = (challenge.proxy, challenge.realm)
        if realm not in self._sessions and len(self._sessions) >= MAX_REALMS:
            return False
        attempt.answered[realm] = attempt.answered.get(realm, 0) + 1
        self._sessions[realm] = _Session(challenge, credentials, f"{self._dice.getrandbits(64):016x}")
        return True

    def _nothing_to_answer(self, response: Response, found: Challenges) -> str:
        if not found.digest and not found.others:
            return f"the peer wants credentials ({response.status}) and does not say how: it sent no challenge"
        names = ", ".join(_names([one.title for one in found.digest] + list(found.others)))
        weak = any(one.method is not None and one.method.strength == 1 for one in found.digest) and not self._md5
        hint = " (md5 is switched off for this trunk)" if weak else ""
        return f"the peer wants credentials by a method we do not have: {names}{hint}"


def _no_credentials(realms: list[str]) -> str:
    names = ", ".join(_shown(realm) for realm in realms)
    return f"the peer wants credentials for realm {names} and there are none (set user and password of its trunk)"


def _names(names: Iterable[str]) -> list[str]:
    return [printable(legible(name))[:80] for name in dict.fromkeys(names)][:4]


def _shown(text: str) -> str:
    return repr(printable(legible(text))[:80])
