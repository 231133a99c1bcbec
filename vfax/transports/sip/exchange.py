"""Offers of one dialog: re-INVITE and UPDATE both ways, glare, the 2xx that waits for its ACK.

Owns      who may offer now, 491 and its pause, the 2xx that waits for its ACK, limits of waiting.
Not here  what an offer says (negotiation.py), the first offer (caller.py, callee.py), refreshes (refreshing.py).
Source    RFC 3261 (June 2002) 13.3.1.4, 14.1, 14.2; RFC 3311 5.1, 5.2; RFC 5407 3.1 and RFC 6337 3 for the races.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Protocol

from vfax.errors import MisuseError
from vfax.transports.sip.account import NO_ACCOUNT, Account
from vfax.transports.sip.compose import Fields, cancel_of
from vfax.transports.sip.core import ALLOW, CallTimer, Core
from vfax.transports.sip.dialog import Dialog, OkWait
from vfax.transports.sip.errand import SILENCE, Errand, Failure
from vfax.transports.sip.message import Request, Response
from vfax.transports.sip.outbox import wire
from vfax.transports.sip.policy import DialogPolicy
from vfax.transports.sip.transaction import Kind, Purpose, Transaction
from vfax.transports.sip.values import CallKey, OfferAccepted, OfferRefused, RefreshEnded, Reoffered

MAX_RETRY_AFTER: Final = 10
"""Limit: seconds; RFC 3261 14.2 has a 500 ask for 0 to 10. One that asks for more has refused the offer."""


class Phase(Enum):
    """Whose offer is on its way."""

    IDLE = auto()
    INVITING = auto()  # our INVITE's offer has no answer in this early dialog
    INVITED = auto()  # their INVITE waits for our answer, or for our offer
    OFFERED = auto()  # our offer in a reliable provisional response waits for the answer in its PRACK
    OURS = auto()  # our re-INVITE or UPDATE waits for its final answer
    PAUSED = auto()  # 491 came; our offer will be sent once more
    THEIRS = auto()  # their offer waits for our owner
    UNCONFIRMED = auto()  # our 2xx waits for its ACK


class Verdict(Enum):
    """What happens to an offer of the peer."""

    TAKE = auto()
    TAKE_IF_ANSWERED = auto()  # their new offer says that our 2xx came, unless its ACK has the answer
    PENDING = auto()  # 491
    LATER = auto()  # 500 with Retry-After


THEIR_OFFER: Final[dict[Phase, Verdict]] = {
    Phase.IDLE: Verdict.TAKE,
    Phase.INVITING: Verdict.PENDING,  # RFC 3311 5.2
    Phase.INVITED: Verdict.LATER,  # RFC 3311 5.2
    Phase.OFFERED: Verdict.PENDING,  # RFC 3311 5.2
    Phase.OURS: Verdict.PENDING,  # RFC 3261 14.2, RFC 3311 5.2
    Phase.PAUSED: Verdict.TAKE,  # ours is dropped; one of the two had to give way
    Phase.THEIRS: Verdict.LATER,  # RFC 3261 14.2, RFC 3311 5.2
    Phase.UNCONFIRMED: Verdict.TAKE_IF_ANSWERED,
}

OFFERING: Final = (
    CallTimer.OK_REPEAT,
    CallTimer.ACK_LIMIT,
    CallTimer.GLARE_PAUSE,
    CallTimer.OFFER_LIMIT,
    CallTimer.OFFER_CANCEL,
    CallTimer.REOFFER_LIMIT,
)
"""Deadlines of offers; the others of a call go on when a branch of it is closed."""

ENDING: Final[dict[int, bool]] = {408: True, 481: False}
"""Answers that end the dialog (RFC 3261 12.2.1.2) and whether a BYE makes sense then."""


@dataclass(frozen=True, slots=True)
class Loss:
    """The dialog is lost: why, whether to say BYE, and with which Reason."""

    reason: str
    bye: bool
    say: str = ""


class SessionKeeper(Protocol):
    """What an exchange needs of `refreshing.Keeper`: offers and their answers refresh the session, too."""

    @property
    def policy(self) -> DialogPolicy:
        """What the dialog may ask."""
        ...

    def offer_fields(self) -> Fields:
        """Fields of our re-INVITE or UPDATE."""
        ...

    def answer(self, request: Request, now: float) -> Fields:
        """Fields of our 2xx to theirs."""
        ...

    def on_success(self, request: Request, response: Response, now: float) -> None:
        """A 2xx came to ours."""
        ...

    def on_refused(self, failure: Failure, now: float) -> Loss | None:
        """A refresh by re-INVITE came to nothing."""
        ...


class Exchange:
    """The offers of one dialog. `fork` names it while the call is not answered."""

    def __init__(
        self,
        core: Core,
        call: CallKey,
        dialog: Dialog,
        contact: str,
        keeper: SessionKeeper,
        account: Account = NO_ACCOUNT,
        *,
        phase: Phase = Phase.IDLE,
        fork: str = "",
    ) -> None:
        self.account = account
        self.contact = contact
        self.fork = fork
        self._core = core
        self._call = call
        self._dialog = dialog
        self._keeper = keeper
        self._phase = phase
        self._ours: Errand | None = None
        self._our_sdp = b""
        self._method = "INVITE"
        self._refreshing = False  # ours says once more what runs
        self._retried = False
        self._latched: bytes | None = None  # an offer that waits for the ACK, or for the end of a refresh
        self._theirs: Transaction | None = None
        self._withdrawn = False  # their offer went away before our owner spoke
        self._wait: OkWait | None = None
        self._wait_transaction: Transaction | None = None

    @property
    def phase(self) -> Phase:
        """Whose offer is on its way. `enter` changes it where the call is not answered yet."""
        return self._phase

    def enter(self, phase: Phase) -> None:
        """The offer of the INVITE has gone a step further; the call knows how."""
        self._phase = phase

    # --- ours ---------------------------------------------------------------------------------------

    @property
    def is_quiet(self) -> bool:
        """Whether no offer is on its way or waits."""
        return self._phase is Phase.IDLE and self._latched is None

    def offer(self, sdp: bytes, now: float, *, method: str = "INVITE") -> None:
        """Send a re-INVITE or an UPDATE, or keep the offer until our 2xx is acknowledged.

        An offer that meets one of the peer's that our owner has not answered is refused with 491 at once: both
        crossed.
        """
        busy = self._phase in (Phase.OURS, Phase.PAUSED) and not self._refreshing
        if busy or self._latched is not None:
            raise MisuseError(f"call {self._call}: an offer is already on its way")
        if self._phase in (Phase.INVITING, Phase.INVITED, Phase.OFFERED):
            raise MisuseError(f"call {self._call}: the first offer has no answer yet")
        if not sdp:
            raise MisuseError(f"call {self._call}: an offer needs an SDP")
        self._method = method
        if self._phase is Phase.THEIRS:
            self._core.outbox.tell(OfferRefused(self._call, 491, "the peer's offer came first"))
        elif self._phase is Phase.IDLE:
            self._begin(sdp, now)
        else:
            self._latched = sdp

    def refresh(self, sdp: bytes, now: float) -> bool:
        """Send a re-INVITE that says what runs; False when another offer does instead."""
        if not self.is_quiet:
            return False
        self._method = "INVITE"
        self._begin(sdp, now, refreshing=True)
        return True

    def _begin(self, sdp: bytes, now: float, *, refreshing: bool = False) -> None:
        self._our_sdp, self._refreshing, self._retried = sdp, refreshing, False
        self._send(now)

    def _send(self, now: float) -> None:
        core, keeper = self._core, self._keeper
        self._phase = Phase.OURS
        self._ours = core.request(
            self._dialog,
            self._method,
            now,
            call=self._call,
            purpose=Purpose.REINVITE if self._method == "INVITE" else Purpose.UPDATE,
            account=self.account,
            fields=(("Contact", self.contact), ALLOW, *supported(keeper.policy), *keeper.offer_fields()),
            body=self._our_sdp,
        )
        if self._method == "INVITE":  # Timer F ends an UPDATE
            core.start(self._call, CallTimer.OFFER_LIMIT, now + core.options.offer_limit)

    def on_response(self, response: Response, sdp: bytes, now: float) -> Loss | None:
        """A final answer to our offer; a 2xx to a re-INVITE has been acknowledged. Provisional ones decide nothing."""
        ours = self._ours
        if response.status < 200 or ours is None:
            return None
        self._end_ours()
        if response.status >= 300:
            return self._on_refused(Failure(response.status, ours.why or response.reason, response), now)
        self._dialog.refresh(response)
        self._core.seek(self._call, self._dialog)
        self._keeper.on_success(ours.transaction.request, response, now)
        kind = RefreshEnded if self._refreshing else OfferAccepted
        self._core.outbox.tell(kind(self._call, sdp))
        self.resume(now)
        return None

    def on_failure(self, failure: Failure, now: float) -> Loss | None:
        """Nobody answered our offer: as a 408. It could not be sent: as a 503 (RFC 3261 8.1.3.1)."""
        self._end_ours()
        return self._on_refused(failure, now)

    def _on_refused(self, failure: Failure, now: float) -> Loss | None:
        pause = self._pause_after(failure)
        if pause is not None and not self._retried:
            self._phase = Phase.PAUSED
            self._core.start(self._call, CallTimer.GLARE_PAUSE, now + pause)
            return None
        if failure.status in ENDING:
            why = f"{failure.status} {failure.reason}" if failure.response is not None else "no answer"
            request = "session refresh" if self._refreshing else "UPDATE" if self._method == "UPDATE" else "re-INVITE"
            return Loss(f"{why} to our {request}", ENDING[failure.status])
        loss = None
        if self._refreshing:
            self._core.outbox.tell(RefreshEnded(self._call, None))
            loss = self._keeper.on_refused(failure, now)
        else:
            self._core.outbox.tell(OfferRefused(self._call, failure.status, failure.reason))
        self.resume(now)
        return loss

    def _pause_after(self, failure: Failure) -> float | None:
        """How long to wait before the one more try that glare is good for (RFC 3261 14.1, RFC 3311 5.1)."""
        if failure.status == 491:
            return glare_pause(self._core, self._dialog)
        said = failure.response.retry_after if failure.response is not None and failure.status == 500 else None
        return None if said is None or said > MAX_RETRY_AFTER else float(said)

    def awaits(self, errand: Errand) -> bool:
        """Whether this is our offer, and nobody has given it up."""
        return errand is self._ours

    def sent(self, transaction: Transaction) -> bool:
        """Whether our offer went by this transaction."""
        return self._ours is not None and self._ours.transaction is transaction

    def _end_ours(self) -> None:
        self._ours = None
        self._phase = Phase.IDLE
        self._core.stop(self._call, CallTimer.OFFER_LIMIT, CallTimer.OFFER_CANCEL)

    # --- theirs -------------------------------------------------------------------------------------

    @property
    def implies_ack(self) -> bool:
        """Whether a new offer of the peer tells that our unacknowledged 2xx came."""
        return self._wait is not None and not self._wait.late_offer

    def on_offer(self, transaction: Transaction, sdp: bytes, now: float) -> None:
        """A re-INVITE (its SDP may be empty), or an UPDATE or PRACK with an offer."""
        core, verdict = self._core, THEIR_OFFER[self._phase]
        if verdict is Verdict.LATER:
            core.reply(transaction, 500, now, fields=(("Retry-After", str(core.dice.randrange(0, 11))),))
        elif verdict is not Verdict.TAKE:  # an implied ACK has made us IDLE before
            core.reply(transaction, 491, now)
        else:
            core.stop(self._call, CallTimer.GLARE_PAUSE)
            if self._phase is Phase.PAUSED and self._refreshing:
                core.outbox.tell(RefreshEnded(self._call, None))
            self._latched = None
            self._theirs = transaction
            self.hold(now)
            core.outbox.tell(Reoffered(self._call, sdp, self.fork, transaction.kind is Kind.INVITE_SERVER))

    def hold(self, now: float) -> None:
        """Their offer waits for our owner."""
        self._phase, self._withdrawn = Phase.THEIRS, False
        self._core.start(self._call, CallTimer.REOFFER_LIMIT, now + self._core.options.reoffer_limit)

    def settle(self) -> None:
        """Their offer was answered or has gone."""
        self._phase = Phase.IDLE
        self._core.stop(self._call, CallTimer.REOFFER_LIMIT)

    def accept(self, sdp: bytes, now: float) -> None:
        """Answer the peer's offer (or offer, if its request had none)."""
        theirs = self._take_theirs("accept")
        if theirs is None:
            return
        self.settle()
        self._dialog.refresh(theirs.request)
        self._core.seek(self._call, self._dialog)
        keeping = self._keeper.answer(theirs.request, now)
        fields = [("Contact", self.contact), ALLOW, *supported(self._keeper.policy), *keeping]
        if sdp:
            fields.append(("Content-Type", "application/sdp"))
        response = self._core.reply(theirs, 200, now, fields=fields, body=sdp)
        if theirs.kind is Kind.INVITE_SERVER:
            self.await_ack(theirs, response, now)

    def refuse(self, status: int, now: float) -> None:
        """Refuse the peer's offer; the session stays as it was."""
        theirs = self._take_theirs("refuse")
        if theirs is not None:
            self.settle()
            self._core.reply(theirs, status, now)

    def _take_theirs(self, word: str) -> Transaction | None:
        theirs, self._theirs = self._theirs, None
        if theirs is None and not self._withdrawn:
            raise MisuseError(f"call {self._call}: there is no offer to {word}")
        self._withdrawn = False
        return theirs

    def on_cancel(self, transaction: Transaction, now: float) -> bool:
        """The peer cancels its re-INVITE. False when it is not the one that waits."""
        if transaction is not self._theirs:
            return False
        self._withdraw(487, now)
        return True

    def _withdraw(self, status: int, now: float) -> None:
        if self._theirs is not None:
            self.refuse(status, now)
        self._withdrawn = True

    # --- our 2xx ------------------------------------------------------------------------------------

    def await_ack(self, transaction: Transaction, response: Response, now: float) -> None:
        """A 2xx to an INVITE has been sent: repeat it until its ACK comes."""
        self._phase = Phase.UNCONFIRMED
        options = self._core.options
        late = not transaction.request.body and bool(response.body)
        self._wait = OkWait(transaction.request.cseq.number, wire(response), late, options.t1)
        self._wait_transaction = transaction
        self._core.start(self._call, CallTimer.OK_REPEAT, now + self._wait.next_pause(options.t2))
        self._core.start(self._call, CallTimer.ACK_LIMIT, now + 64 * options.t1)

    def on_ack(self, request: Request) -> OkWait | None:
        """The 2xx that this ACK confirms, None for a repeat."""
        return self.confirm() if self._wait is not None and self._wait.cseq == request.cseq.number else None

    def confirm(self) -> OkWait | None:
        """Our 2xx has come; `resume` is to follow once the owner was told."""
        wait, self._wait, self._wait_transaction = self._wait, None, None
        if wait is not None:
            self._phase = Phase.IDLE
            self._core.stop(self._call, CallTimer.OK_REPEAT, CallTimer.ACK_LIMIT)
        return wait

    def resume(self, now: float) -> None:
        """Send the offer that waited for the ACK, or for the end of a refresh."""
        if self._latched is not None and self._phase is Phase.IDLE:
            sdp, self._latched = self._latched, None
            self._begin(sdp, now)

    # --- time and end -------------------------------------------------------------------------------

    def on_timer(self, timer: CallTimer, now: float) -> Loss | None:
        """A deadline of ours has passed."""
        if timer is CallTimer.OK_REPEAT and self._wait is not None and self._wait_transaction is not None:
            self._core.transactions.respond_wire(self._wait_transaction, 200, self._wait.sent, now)
            self._core.start(self._call, timer, now + self._wait.next_pause(self._core.options.t2))
        elif timer is CallTimer.ACK_LIMIT:
            self.confirm()
            return Loss("no ACK to our 200", bye=True)
        elif timer is CallTimer.GLARE_PAUSE and self._phase is Phase.PAUSED:
            self._retried = True
            self._send(now)
        elif timer is CallTimer.REOFFER_LIMIT and self._phase is Phase.THEIRS:
            self._withdraw(500, now)
        elif timer is CallTimer.OFFER_LIMIT and self._ours is not None:
            return self._on_offer_limit(self._ours, now)
        elif timer is CallTimer.OFFER_CANCEL and self._ours is not None:
            self._core.errands.close(self._ours)
            self._core.transactions.drop(self._ours.transaction)
            return self.on_failure(SILENCE, now)
        return None

    def _on_offer_limit(self, ours: Errand, now: float) -> Loss | None:
        """Our re-INVITE only got provisional answers: it is cancelled."""
        core, its = self._core, ours.transaction
        core.errands.close(ours)
        if ours.waiting:
            return self.on_failure(Failure(500, "no time was left for another try"), now)
        core.transactions.start_client(cancel_of(its.request), its.peer, now, call=self._call, purpose=Purpose.CANCEL)
        core.start(self._call, CallTimer.OFFER_CANCEL, now + 64 * core.options.t1)
        return None

    def close(self, now: float) -> None:
        """The dialog ends: their open request gets 487 (RFC 3261 15.1.2), nothing is repeated any more."""
        if self._theirs is not None:
            self.refuse(487, now)
        if self._ours is not None:
            self._core.errands.close(self._ours)
            self._core.transactions.abandon(self._ours.transaction, now)
        self.confirm()
        self._latched = None
        self._withdrawn = True
        self._core.stop(self._call, *OFFERING)


def glare_pause(core: Core, dialog: Dialog) -> float:
    """RFC 3261 14.1: 2.1 to 4 s for the owner of the Call-ID, else 0 to 2 s, in steps of 10 ms."""
    first, last = (210, 400) if dialog.owner else (0, 200)
    return core.dice.randrange(first, last + 1) * 0.01


def supported(policy: DialogPolicy) -> Iterable[tuple[str, str]]:
    """The field Supported with what we understand; an empty one says that it is nothing."""
    return (("Supported", ", ".join(policy.supported)),)
