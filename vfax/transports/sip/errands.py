"""All requests of ours on their way: begun, tried again, given up.

Owns      the table of errands by transaction, pauses before the next try, the patience with a silent target, the size
          from which a request goes over TCP.
Not here  what a failure leads to (retry.py), what a request says (caller.py, dialog.py, agent.py).
Source    RFC 3261 (June 2002) 8.1.3.5 (a further try), 18.1.1 (size); RFC 3263 4.3.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from vfax.transports.sip.account import NO_ACCOUNT, Account
from vfax.transports.sip.compose import cancel_of, renewed
from vfax.transports.sip.dialog import Dialog
from vfax.transports.sip.errand import SILENCE, Again, Errand, Failure, Place
from vfax.transports.sip.keyring import Keyring
from vfax.transports.sip.message import Request, Response
from vfax.transports.sip.retry import decide
from vfax.transports.sip.timers import Timers
from vfax.transports.sip.transaction import Kind, Purpose, S, Transaction
from vfax.transports.sip.values import (
    CallKey,
    Destination,
    Hop,
    RequestKey,
    TargetAnswered,
    TargetFailed,
    Transport,
)

if TYPE_CHECKING:
    from vfax.transports.sip.core import Core

UNAVAILABLE: Final = 503
LARGE: Final = 1300  # octets; RFC 3261 18.1.1: above it datagrams may be cut on their way


class Errands:
    """The errands of one agent."""

    def __init__(self, core: "Core") -> None:
        self._core = core
        self._by_transaction: dict[int, Errand] = {}
        self._waiting: dict[Errand, Again] = {}
        self._timers: Timers[Errand] = Timers()

    def __len__(self) -> int:
        """How many wait for their next try; the others count as transactions."""
        return len(self._waiting)

    def of(self, transaction: Transaction) -> Errand | None:
        """The errand whose present transaction this is."""
        return self._by_transaction.get(transaction.serial)

    # --- sending ------------------------------------------------------------------------------------

    def begin(
        self,
        request: Request,
        targets: Sequence[Destination],
        now: float,
        *,
        call: CallKey | None,
        purpose: Purpose,
        key: RequestKey | None = None,
        account: Account = NO_ACCOUNT,
        dialog: Dialog | None = None,
        keyring: Keyring | None = None,
        uris: Sequence[str] = (),
        former: str = "",
    ) -> Errand:
        """Send `request`, which is written for the first of `targets`; the rest are fields of its Errand.

        A `keyring` that has met challenges before answers them unasked (RFC 3261 22.3).
        """
        to, *others = targets
        ring = Keyring(account.credentials, self._core.dice, md5=account.md5) if keyring is None else keyring
        for name, value in ring.fields(request.method, request.uri, request.body):
            request.headers.add(name, value)
        request, to, fallback = self._by_size(request, to, now)
        errand = Errand(
            call=call,
            purpose=purpose,
            key=key,
            account=account,
            keyring=ring,
            dialog=dialog,
            former=former,
            targets=others,
            uris=list(uris[1:]),
            fallback=fallback,
            transaction=self._core.transactions.start_client(request, to, now, call=call, purpose=purpose),
        )
        self._follow(errand, now)
        return errand

    def _by_size(
        self, request: Request, to: Destination, now: float
    ) -> tuple[Request, Destination, Destination | None]:
        """The same over TCP where it is long and UDP was nobody's wish; then also what to fall back to."""
        if not isinstance(to, Hop) or to.fixed or to.transport is not Transport.UDP:
            return request, to, None
        if not self._core.may_use_tcp(to, now) or len(request.encode()) <= LARGE:
            return request, to, None
        stream = replace(to, transport=Transport.TCP, fixed=True, local=None)
        return self._written_for(stream, request), stream, to

    def _written_for(self, to: Destination, request: Request) -> Request:
        """The same request with the Via and the Contact of another way."""
        return renewed(request, self._core.via(to), contact=self._core.contact_towards(request, to))

    def _follow(self, errand: Errand, now: float) -> None:
        """The errand has a new transaction."""
        self._by_transaction[errand.transaction.serial] = errand
        if errand.targets:
            options = self._core.options
            # A goodbye is short, and one that is said twice does no harm.
            patience = options.t1 if errand.purpose is Purpose.BYE else options.failover_after
            self._timers.start(errand, now + patience)

    # --- answers ------------------------------------------------------------------------------------

    def note_provisional(self, errand: Errand) -> None:
        """Somebody is there."""
        if not errand.heard:
            errand.heard = True
            self._timers.stop(errand)

    def note_answer(self, errand: Errand) -> None:
        """The target has said something: it is there."""
        peer = errand.transaction.peer
        if not errand.answered and errand.dialog is None and isinstance(peer, Hop):
            errand.answered = True
            self._core.outbox.report(TargetAnswered(peer))

    def _report(self, errand: Errand, failure: Failure) -> None:
        """Say that a target is not to be had, for others to pass it over: not for what it refuses."""
        peer = errand.transaction.peer
        if errand.dialog is not None or not isinstance(peer, Hop):
            return
        if failure.response is None:
            if not errand.answered:
                self._core.outbox.report(TargetFailed(peer, failure.reason))
        elif failure.status == UNAVAILABLE and (pause := pause_in(failure.response)) is not None:
            self._core.outbox.report(TargetFailed(peer, f"it asked for a pause of {pause:g} s (503)", pause))

    def close(self, errand: Errand) -> None:
        """A final answer is passed on, or nobody waits for it any more."""
        errand.over = True
        self._waiting.pop(errand, None)
        self._timers.stop(errand)

    def try_again(self, errand: Errand, failure: Failure, now: float) -> bool:
        """Take the failure to retry.py. False when it is final; the errand is closed then."""
        if errand.over:
            return False
        self._report(errand, failure)
        again = decide(errand, failure, self._core, now)
        if not isinstance(again, Again):
            self.close(errand)
            return False
        self._timers.stop(errand)
        if again.after > 0:
            errand.waiting = True
            self._waiting[errand] = again
            if again.after < math.inf:
                self._timers.start(errand, now + again.after)
        else:
            self._repeat(errand, again, now)
        return True

    def follow(self, errand: Errand, places: Sequence[Place], now: float) -> bool:
        """Where a redirected request is to go, best first. False when that is nowhere; the errand is closed then."""
        self._waiting.pop(errand, None)
        errand.waiting, errand.held = False, None
        errand.places = [(uri, hops) for uri, hops in places if hops]
        if not errand.places:
            self.close(errand)
            return False
        uri, hops = errand.places.pop(0)
        errand.go_elsewhere(hops[1:])
        self._repeat(errand, Again(to=hops[0], uri=uri), now)
        return True

    def _repeat(self, errand: Errand, again: Again, now: float) -> None:
        """A new transaction with the next CSeq (RFC 3261 8.1.3.5)."""
        before = errand.transaction
        to = again.to or before.peer
        number = errand.cseq + 1
        if errand.dialog is not None:
            number = errand.dialog.local_cseq = errand.dialog.local_cseq + 1
        # The answer to the last try may have shown how we are seen; only a dialog keeps what it began with.
        moves = to != before.peer or errand.dialog is None
        contact = self._core.contact_towards(before.request, to) if moves else ""
        uri = again.uri or before.request.uri
        # Anew for each try: the number of a nonce is good for one request (RFC 7616 3.4.5).
        fields = (*again.fields, *errand.keyring.fields(before.request.method, uri, before.request.body))
        fresh = renewed(
            before.request,
            self._core.via(to),
            cseq=number,
            contact=contact,
            former=errand.former,
            uri=uri,
            fields=fields,
        )
        if errand.fallback is None and to != before.peer:
            fresh, to, errand.fallback = self._by_size(fresh, to, now)
        self._by_transaction.pop(before.serial, None)
        errand.transaction = self._core.transactions.start_client(
            fresh, to, now, call=errand.call, purpose=errand.purpose
        )
        errand.tries += 1
        errand.heard = errand.waiting = False
        errand.answered = errand.answered and to == before.peer
        self._follow(errand, now)

    # --- time ---------------------------------------------------------------------------------------

    def next_timeout(self) -> float:
        """The earliest pause that ends."""
        return self._timers.next()

    def handle_timeout(self, now: float) -> None:
        """Send what has waited long enough, and leave targets that stay silent."""
        while (errand := self._timers.pop(now)) is not None:
            again = self._waiting.pop(errand, None)
            if again is not None:
                self._repeat(errand, again, now)
            elif not errand.heard and not errand.over:
                silent = errand.transaction
                if self.try_again(errand, SILENCE, now):
                    self._core.transactions.abandon(silent, now)
                    silent.call = None

    def on_late_provisional(self, transaction: Transaction, now: float) -> None:
        """A target that was left for its silence answers after all: it need not ring (RFC 3261 9.1)."""
        late = transaction.kind is Kind.INVITE_CLIENT and transaction.abandoned and transaction.state is S.PROCEEDING
        if late and transaction.purpose is Purpose.INVITE:
            transaction.purpose = Purpose.CANCEL  # once
            self._core.transactions.start_client(
                cancel_of(transaction.request), transaction.peer, now, call=None, purpose=Purpose.CANCEL
            )

    def forget(self, serials: list[int]) -> None:
        """Drop the transactions that are over."""
        for serial in serials:
            self._by_transaction.pop(serial, None)


def pause_in(response: Response) -> float | None:
    """What Retry-After asks for (RFC 3261 20.33: seconds, a comment, parameters); None without one that can be read."""
    value = response.headers.first("retry-after") or ""
    digits = re.match(r"\s*([0-9]{1,10})\s*(?:[(;]|$)", value)
    return None if digits is None else float(digits[1])
