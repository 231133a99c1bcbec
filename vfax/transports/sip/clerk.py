"""The paper work of registrations and probes: orders become requests, the ends of requests become results.

Owns      what REGISTERs of one registration have in common (Call-ID, tag, rising numbers, nonces), and OPTIONS of one
          peer.
Not here  when anything is asked (registration.py, probing.py), finding the targets, sending (agent.py).
Source    RFC 3261 (June 2002) 10.2, 11.1, 22.3; RFC 3327 5.1 (Supported: path).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vfax.errors import DecodeError
from vfax.transports.sip.account import Account
from vfax.transports.sip.dialog import FIRST_CSEQ
from vfax.transports.sip.headers import NameAddr, Uri
from vfax.transports.sip.keyring import Keyring
from vfax.transports.sip.options import Dice
from vfax.transports.sip.outside import Asking
from vfax.transports.sip.registration import Register, Result
from vfax.transports.sip.values import Hop, RequestDone, RequestKey

STUBBORN: Final = frozenset(range(400, 700)) - {401, 407, 408, 423, 503}
"""Answers that may be about what a REGISTER says: not those about who says it, or for how long, or of nobody."""


@dataclass(slots=True, eq=False)
class _Thread:
    """Requests that belong together."""

    call_id: str
    from_tag: str
    keyring: Keyring
    account: Account
    cseq: int = FIRST_CSEQ
    registered: str = ""  # the Contact that the registrar has, a URI


class Clerk:
    """Keeps one thread of requests for each registration and each probed peer, under the key its engine uses."""

    def __init__(self, dice: Dice) -> None:
        self._dice = dice
        self._threads: dict[tuple[str, str], _Thread] = {}
        self._asked: dict[RequestKey, tuple[str, str]] = {}

    def registering(self, order: Register, targets: Sequence[Hop], account: Account) -> Asking:
        """The REGISTER of an order (RFC 3261 10.2): our Contact for so many seconds, 0 to take it away.

        What is registered still under another address of ours is taken back (10.2.2): a NAT gives it to others.
        """
        thread = self._thread("REGISTER", order.key, account)
        return Asking(
            method="REGISTER",
            uri=order.registrar,
            targets=targets,
            to=order.aor,
            from_user=_user_of(order.aor),
            account=account,
            contact=f";expires={order.expires}",
            former=thread.registered,
            fields=(("Expires", str(order.expires)), ("Supported", "path")),
            call_id=thread.call_id,
            from_tag=thread.from_tag,
            cseq=thread.cseq,
            keyring=thread.keyring,
        )

    def probing(self, key: str, uri: str, targets: Sequence[Hop], account: Account, *, from_user: str = "") -> Asking:
        """The OPTIONS to a peer (RFC 3261 11.1)."""
        thread = self._thread("OPTIONS", key, account)
        return Asking(
            method="OPTIONS",
            uri=uri,
            targets=targets,
            from_user=from_user,
            account=account,
            fields=(("Accept", "application/sdp"),),
            call_id=thread.call_id,
            from_tag=thread.from_tag,
            cseq=thread.cseq,
            keyring=thread.keyring,
        )

    def sent(self, method: str, key: str, request: RequestKey) -> None:
        """The agent has taken the request of a thread under this key."""
        self._asked[request] = (method, key)

    def ended(self, done: RequestDone) -> tuple[str, str] | None:
        """Method and key of the thread whose request has ended; None when it is none of ours. Its numbers go on."""
        found = self._asked.pop(done.request, None)
        if found is not None and found in self._threads:
            thread = self._threads[found]
            thread.cseq = done.cseq + 1
            if found[0] == "REGISTER" and 200 <= done.status < 300:
                thread.registered = contact_of(done)
            elif found[0] == "REGISTER" and done.status in STUBBORN:
                thread.registered = ""  # Quirk: registrars that take one Contact alone refuse two; the old one expires
        return found

    def forget(self, method: str, key: str) -> None:
        """The thread is over; another one under this key begins anew."""
        self._threads.pop((method, key), None)

    def _thread(self, method: str, key: str, account: Account) -> _Thread:
        """The thread so far, or a new one: also when its credentials have changed."""
        known = self._threads.get((method, key))
        if known is None or (known.account.credentials, known.account.md5) != (account.credentials, account.md5):
            keyring = Keyring(account.credentials, self._dice, md5=account.md5)
            known = _Thread(self._token() + self._token(), self._token(), keyring, account)
            self._threads[method, key] = known
        return known

    def _token(self) -> str:
        return f"{self._dice.getrandbits(64):016x}"


def result_of(done: RequestDone) -> Result:
    """What a registration is told of its REGISTER's end."""
    return Result(status=done.status, reason=done.reason, response=done.response, contact=contact_of(done))


def contact_of(done: RequestDone) -> str:
    """The URI of our Contact in a request; "" for none."""
    try:
        return NameAddr.parse(done.contact).uri.text
    except DecodeError:
        return ""


def _user_of(aor: str) -> str:
    """`user@domain` of an address of record, its user unescaped; "" for what is none."""
    try:
        uri = Uri.parse(aor)
    except DecodeError:
        return ""
    _, at, place = aor.partition("@")
    return f"{uri.user_text}@{place.partition(';')[0]}" if at else ""
