"""Offers inside an established dialog: re-INVITE both ways, UPDATE from the peer, glare.

Owns      who may offer now, 491 and its pause, the 2xx that waits for its ACK, limits of waiting.
Not here  what an offer says (negotiation.py), the first offer (caller.py, callee.py).
Source    RFC 3261 (June 2002) 13.3.1.4, 14.1, 14.2; RFC 3311 5.2; RFC 5407 3.1 for the races.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from vfax.errors import MisuseError
from vfax.transports.sip.account import NO_ACCOUNT, Account
from vfax.transports.sip.compose import cancel_of
from vfax.transports.sip.core import ALLOW, CallTimer, Core
from vfax.transports.sip.dialog import Dialog, OkWait
from vfax.transports.sip.errand import SILENCE, Errand, Failure
from vfax.transports.sip.message import Request, Response
from vfax.transports.sip.outbox import wire
from vfax.transports.sip.transaction import Kind, Purpose, Transaction
from vfax.transports.sip.values import CallKey, OfferAccepted, OfferRefused, Reoffered


class Phase(Enum):
    """Whose offer is on its way."""

    IDLE = auto()
    OURS = auto()  # our re-INVITE waits for its final answer
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
    Phase.OURS: Verdict.PENDING,  # RFC 3261 14.2
    Phase.PAUSED: Verdict.TAKE,  # ours is dropped; one of the two had to give way
    Phase.THEIRS: Verdict.LATER,  # RFC 3261 14.2
    Phase.UNCONFIRMED: Verdict.TAKE_IF_ANSWERED,
}

ENDING: Final[dict[int, bool]] = {408: True, 481: False}
"""Answers that end the dialog (RFC 3261 12.2.1.2) and whether a BYE makes sense then."""


@dataclass(frozen=True, slots=True)
class Loss:
    """The dialog is lost: why, and whether to say BYE."""

    reason: str
    bye: bool


class Exchange:
    """The offers of one dialog after the first."""

    def __init__(self, core: Core, call: CallKey, dialog: Dialog, contact: str, account: Account = NO_ACCOUNT) -> None:
        self._core = core
        self.account = account
        self._call = call
        self._dialog = dialog
        self._contact = contact
        self._phase = Phase.IDLE
        self._ours: Errand | None = None
        self._our_sdp = b""
        self._retried = False
        self._latched: bytes | None = None  # an offer that waits for the ACK
        self._theirs: Transaction | None = None
        self._withdrawn = False  # their offer went away before our owner spoke
        self._wait: OkWait | None = None
        self._wait_transaction: Transaction | None = None

    # --- ours ---------------------------------------------------------------------------------------

    def offer(self, sdp: bytes, now: float) -> None:
        """Send a re-INVITE, or keep the offer until our 2xx is acknowledged.

        An offer that meets one of the peer's that our owner has not answered is refused with 491 at once: both
        crossed.
        """
        if self._phase in (Phase.OURS, Phase.PAUSED) or self._latched is not None:
            raise MisuseError(f"call {self._call}: an offer is already on its way")
        self._retried = False
        if self._phase is Phase.THEIRS:
            self._core.outbox.tell(OfferRefused(self._call, 491, "the peer's offer came first"))
        elif self._phase is Phase.UNCONFIRMED:
            self._latched = sdp
        else:
            self._send(sdp, now)

    def _send(self, sdp: bytes, now: float) -> None:
        self._our_sdp = sdp
        self._phase = Phase.OURS
        self._ours = self._core.request(
            self._dialog,
            "INVITE",
            now,
            call=self._call,
            purpose=Purpose.REINVITE,
            account=self.account,
            fields=(("Contact", self._contact), ALLOW),
            body=sdp,
        )
        self._core.start(self._call, CallTimer.OFFER_LIMIT, now + self._core.options.offer_limit)

    def on_response(self, response: Response, sdp: bytes, now: float) -> Loss | None:
        """A final answer to our re-INVITE; a 2xx has been acknowledged. Provisional ones decide nothing."""
        if response.status < 200 or self._ours is None:
            return None
        why = self._ours.why or response.reason
        self._end_ours()
        if response.status < 300:
            self._dialog.refresh(response)
            self._core.outbox.tell(OfferAccepted(self._call, sdp))
        elif response.status == 491 and not self._retried:
            self._phase = Phase.PAUSED
            self._core.start(self._call, CallTimer.GLARE_PAUSE, now + self._glare_pause())
        elif response.status in ENDING:
            return Loss(f"{response.status} {response.reason} to our re-INVITE", ENDING[response.status])
        else:
            self._core.outbox.tell(OfferRefused(self._call, response.status, why))
        return None

    def on_failure(self, failure: Failure) -> Loss | None:
        """Nobody answered our re-INVITE: as a 408. It could not be sent: as a 503 (RFC 3261 8.1.3.1)."""
        self._end_ours()
        if failure.status in ENDING:
            return Loss("no answer to our re-INVITE", bye=True)
        self._core.outbox.tell(OfferRefused(self._call, failure.status, failure.reason))
        return None

    def awaits(self, errand: Errand) -> bool:
        """Whether this is our re-INVITE, and nobody has given it up."""
        return errand is self._ours

    def _end_ours(self) -> None:
        self._ours = None
        self._phase = Phase.IDLE
        self._core.stop(self._call, CallTimer.OFFER_LIMIT, CallTimer.OFFER_CANCEL)

    def _glare_pause(self) -> float:
        """RFC 3261 14.1: 2.1 to 4 s for the owner of the Call-ID, else 0 to 2 s, in steps of 10 ms."""
        first, last = (210, 400) if self._dialog.owner else (0, 200)
        return self._core.dice.randrange(first, last + 1) * 0.01

    # --- theirs -------------------------------------------------------------------------------------

    @property
    def implies_ack(self) -> bool:
        """Whether a new offer of the peer tells that our unacknowledged 2xx came."""
        return self._wait is not None and not self._wait.late_offer

    def on_offer(self, transaction: Transaction, sdp: bytes, now: float) -> None:
        """A re-INVITE (its SDP may be empty), or an UPDATE with an offer."""
        verdict = THEIR_OFFER[self._phase]
        if verdict is Verdict.LATER:
            later = (("Retry-After", str(self._core.dice.randrange(0, 11))),)
            self._core.reply(transaction, 500, now, fields=later)
        elif verdict is not Verdict.TAKE:  # an implied ACK has made us IDLE before
            self._core.reply(transaction, 491, now)
        else:
            self._core.stop(self._call, CallTimer.GLARE_PAUSE)
            self._latched = None
            self._theirs, self._phase, self._withdrawn = transaction, Phase.THEIRS, False
            self._core.start(self._call, CallTimer.REOFFER_LIMIT, now + self._core.options.reoffer_limit)
            self._core.outbox.tell(Reoffered(self._call, sdp))

    def accept(self, sdp: bytes, now: float) -> None:
        """Answer the peer's offer (or offer, if its request had none)."""
        theirs = self._take_theirs("accept")
        if theirs is None:
            return
        self._phase = Phase.IDLE
        self._dialog.refresh(theirs.request)
        fields = [("Contact", self._contact), ALLOW]
        if sdp:
            fields.append(("Content-Type", "application/sdp"))
        response = self._core.reply(theirs, 200, now, fields=fields, body=sdp)
        if theirs.kind is Kind.INVITE_SERVER:
            self.await_ack(theirs, response, now)

    def refuse(self, status: int, now: float) -> None:
        """Refuse the peer's offer; the session stays as it was."""
        theirs = self._take_theirs("refuse")
        if theirs is not None:
            self._phase = Phase.IDLE
            self._core.reply(theirs, status, now)

    def _take_theirs(self, word: str) -> Transaction | None:
        theirs, self._theirs = self._theirs, None
        if theirs is None and not self._withdrawn:
            raise MisuseError(f"call {self._call}: there is no offer to {word}")
        self._withdrawn = False
        self._core.stop(self._call, CallTimer.REOFFER_LIMIT)
        return theirs

    def on_cancel(self, transaction: Transaction, now: float) -> bool:
        """The peer cancels its re-INVITE. False when it is not the one that waits."""
        if transaction is not self._theirs:
            return False
        self.refuse(487, now)
        self._withdrawn = True
        return True

    # --- our 2xx ------------------------------------------------------------------------------------

    def await_ack(self, transaction: Transaction, response: Response, now: float) -> None:
        """A 2xx to an INVITE has been sent: repeat it until its ACK comes."""
        self._phase = Phase.UNCONFIRMED
        options = self._core.options
        late = not transaction.request.body
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
        """Send the offer that waited for the ACK."""
        if self._latched is not None and self._phase is Phase.IDLE:
            sdp, self._latched = self._latched, None
            self._send(sdp, now)

    # --- time and end -------------------------------------------------------------------------------

    def on_timer(self, timer: CallTimer, now: float) -> Loss | None:
        """A deadline of ours has passed."""
        if timer is CallTimer.OK_REPEAT and self._wait is not None and self._wait_transaction is not None:
            self._core.transactions.respond_wire(self._wait_transaction, 200, self._wait.sent, now)
            self._core.start(self._call, timer, now + self._wait.next_pause(self._core.options.t2))
        elif timer is CallTimer.ACK_LIMIT:
            self.confirm()
            return Loss("no ACK to our 200", bye=True)
        elif timer is CallTimer.GLARE_PAUSE:
            self._retried = True
            self._send(self._our_sdp, now)
        elif timer is CallTimer.REOFFER_LIMIT:
            self.refuse(500, now)
            self._withdrawn = True
        elif timer is CallTimer.OFFER_LIMIT and self._ours is not None and self._ours.waiting:
            self._core.errands.close(self._ours)
            return self.on_failure(Failure(500, "no time was left for another try"))
        elif timer is CallTimer.OFFER_LIMIT and self._ours is not None:
            self._cancel(self._ours, now)
        elif timer is CallTimer.OFFER_CANCEL and self._ours is not None:
            self._core.errands.close(self._ours)
            self._core.transactions.drop(self._ours.transaction)
            return self.on_failure(SILENCE)
        return None

    def _cancel(self, ours: Errand, now: float) -> None:
        """Our re-INVITE only got provisional answers."""
        core, its = self._core, ours.transaction
        core.errands.close(ours)
        core.transactions.start_client(cancel_of(its.request), its.peer, now, call=self._call, purpose=Purpose.CANCEL)
        core.start(self._call, CallTimer.OFFER_CANCEL, now + 64 * core.options.t1)

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
        self._core.stop(self._call, *CallTimer)
