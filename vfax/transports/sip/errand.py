"""One request of ours on its way to a final answer, over as many transactions as that takes.

Owns      the values `Errand`, `Failure`, `Again`, `Failed`.
Not here  what a failure leads to (retry.py), carrying it out (errands.py).
Source    RFC 3261 (June 2002) 8.1.3; RFC 3263 4.3.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from vfax.transports.sip.account import NO_ACCOUNT, Account
from vfax.transports.sip.dialog import Dialog
from vfax.transports.sip.keyring import Attempt, Keyring
from vfax.transports.sip.message import Response
from vfax.transports.sip.transaction import Purpose, Transaction
from vfax.transports.sip.values import CallKey, Destination, Hop, RequestKey

Place = tuple[str, Sequence[Hop]]
"""A Request-URI, and where requests to it go, best first."""


@dataclass(slots=True, eq=False, kw_only=True)
class Errand:
    """One request. `transaction` is its present one; a handler of retry.py may change what is left to try."""

    call: CallKey | None
    purpose: Purpose
    key: RequestKey | None = None  # of a request outside any call
    account: Account = NO_ACCOUNT
    keyring: Keyring  # answers the challenges it meets
    attempt: Attempt = field(default_factory=Attempt)  # what has been answered on its behalf
    dialog: Dialog | None = None  # inside which it is sent
    former: str = ""  # a URI of ours that a REGISTER takes back, where its Contact is another one by now
    targets: list[Destination] = field(default_factory=list)  # still to be tried, best first
    uris: list[str] = field(default_factory=list)  # the Request-URI for each of them; none: the same for all
    fallback: Destination | None = None  # over UDP, where only the size of the request chose TCP
    tries: int = 1
    heard: bool = False  # the present transaction has had a provisional answer
    answered: bool = False  # the present target has said anything at all
    waiting: bool = False  # the pause before the next try runs, or its owner looks where it is to go
    why: str = ""  # in words of ours, where the last failure says more than its reason phrase
    places: list[Place] = field(default_factory=list)  # where a 3xx has sent it, still to be tried
    visited: set[str] = field(default_factory=set)  # Request-URIs it had, and those it was sent to
    held: Response | None = None  # the 3xx that waits for its owner to look up where it leads
    over: bool = False  # a final answer has been passed on, or nobody waits any more
    transaction: Transaction

    def next_target(self) -> tuple[Destination, str]:
        """The next one to try, which is there, and its Request-URI; "" for the same."""
        return self.targets.pop(0), self.uris.pop(0) if self.uris else ""

    def go_elsewhere(self, targets: Sequence[Destination]) -> None:
        """These are to be tried instead of those before, all with the same Request-URI."""
        self.targets, self.uris = list(targets), []

    @property
    def cseq(self) -> int:
        """The number of the present request."""
        return self.transaction.request.cseq.number


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request failed: a response from 300 on, or none. Without one, `status` is our word for it (8.1.3.1).

    408: nobody answered. 503: it could not be sent, or its connection was lost.
    """

    status: int
    reason: str
    response: Response | None = None


SILENCE: Final = Failure(408, "no answer at all")


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Send it once more: a new transaction with the next CSeq, same Call-ID and tags.

    `to` None: where it went before. `fields` replace all fields of their name; an empty value only takes them out.
    `uri` "": the same. `after`: seconds to wait; math.inf: until its owner has said where (Errands.follow).
    """

    to: Destination | None = None
    fields: tuple[tuple[str, str], ...] = ()
    uri: str = ""
    after: float = 0.0


@dataclass(frozen=True, slots=True)
class Failed:
    """The failure is final: whoever asked is told."""
