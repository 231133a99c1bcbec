"""A call from its confirmation to its end; what calls we make and calls we get share.

Owns      states of a call, BYE both ways, requests inside the dialog, losing the dialog, being released.
Not here  how a call begins (caller.py, callee.py), offers after the first (exchange.py).
Source    RFC 3261 (June 2002) 12.2, 15; RFC 3326 (Reason).
"""

from enum import Enum, auto

from vfax.errors import DecodeError, MisuseError
from vfax.transports.sip.account import NO_ACCOUNT, Account
from vfax.transports.sip.body import sdp_of
from vfax.transports.sip.core import CallTimer, Core
from vfax.transports.sip.dialog import Dialog
from vfax.transports.sip.errand import Errand, Failure
from vfax.transports.sip.exchange import Exchange, Loss
from vfax.transports.sip.message import Message, Request, Response
from vfax.transports.sip.syntax import legible, printable, quote, sayable
from vfax.transports.sip.transaction import Purpose, Transaction
from vfax.transports.sip.values import CallKey, Confirmed, DialogLost, Flow, HungUp, Released


class State(Enum):
    """Where a call stands."""

    CALLING = auto()  # our INVITE waits for its final answer
    CANCELLING = auto()  # our INVITE is given up
    INCOMING = auto()  # their INVITE waits for our final answer
    REFUSING = auto()  # our failure waits for its ACK
    ANSWERED = auto()  # our first 2xx waits for its ACK
    UP = auto()
    LEAVING = auto()  # our BYE waits for its answer
    RELEASED = auto()


ENDED = frozenset({State.CANCELLING, State.REFUSING, State.LEAVING, State.RELEASED})
"""The owner's orders come too late here and do nothing: it could not know yet."""


class Call:
    """One call. The subclass knows how it begins."""

    account: Account = NO_ACCOUNT

    def __init__(self, core: Core, key: CallKey, host: str, contact: str, state: State) -> None:
        self.core = core
        self.key = key
        self.host = host  # counted against the calls of this source; empty for calls we make
        self.contact = contact
        self.state = state
        self.leaving: Errand | None = None  # our BYE
        self.dialog: Dialog | None = None
        self.exchange: Exchange | None = None
        self.farewell: str | None = None  # the owner hung up before a BYE was allowed; this is the reason

    # --- orders -------------------------------------------------------------------------------------

    def offer(self, sdp: bytes, now: float) -> None:
        """Agent.offer."""
        self._talking("offer").offer(sdp, now)

    def accept_offer(self, sdp: bytes, now: float) -> None:
        """Agent.accept_offer."""
        self._talking("accept an offer").accept(sdp, now)

    def refuse_offer(self, status: int, now: float) -> None:
        """Agent.refuse_offer."""
        self._talking("refuse an offer").refuse(status, now)

    def hang_up(self, now: float, reason: str) -> None:
        """Agent.hang_up."""
        if self.state is State.ANSWERED:
            self.farewell = reason  # RFC 3261 15: no BYE before the ACK
        elif self.state is State.UP:
            self.leave(now, reason)
        else:
            self.give_up(now, reason)

    def give_up(self, now: float, reason: str) -> None:
        """Hang up before the call was answered."""
        raise NotImplementedError

    def _talking(self, order: str) -> Exchange:
        if self.state not in (State.UP, State.ANSWERED) or self.exchange is None:
            raise MisuseError(f"call {self.key}: cannot {order}, it is {self.state.name}")
        return self.exchange

    # --- requests inside the dialog -----------------------------------------------------------------

    def on_request(self, transaction: Transaction, now: float) -> None:
        """BYE, re-INVITE or UPDATE of the peer; the transaction has just begun."""
        request = transaction.request
        if self.dialog is not None and self.dialog.is_stale(request):
            self.core.reply(transaction, 500, now)
        elif request.method == "BYE":
            self.core.reply(transaction, 200, now)
            self.on_bye(request, now)
        elif self.state in ENDED:
            self.core.reply(transaction, 481, now)
        elif self.exchange is None:
            self.on_early_request(transaction, now)
        else:
            self._on_offer(self.exchange, transaction, now)

    def _on_offer(self, exchange: Exchange, transaction: Transaction, now: float) -> None:
        request = transaction.request
        sdp = sdp_in(request)
        if request.method == "UPDATE" and not sdp:
            if self.dialog is not None:
                self.dialog.refresh(request)
            self.core.reply(transaction, 200, now, fields=(("Contact", self.contact),))
            return
        if request.method == "INVITE":
            self.core.reply(transaction, 100, now)
        if exchange.implies_ack:
            exchange.confirm()
            self.on_confirmed(b"", now)
        if self.state is State.UP:
            exchange.on_offer(transaction, sdp, now)
        elif self.state is State.ANSWERED:
            self.core.reply(transaction, 491, now)  # the ACK with the answer to our offer is missing
        else:
            self.core.reply(transaction, 481, now)  # the owner's hang-up was only waiting for this

    def on_early_request(self, transaction: Transaction, now: float) -> None:
        """A request in an early dialog: no second offer before the first is answered (RFC 3261 14.2, RFC 3311 5.2)."""
        if transaction.request.method == "UPDATE" and not transaction.request.body:
            self.core.reply(transaction, 200, now, fields=(("Contact", self.contact),))
        elif self.state is State.CALLING:
            self.core.reply(transaction, 491, now)
        else:
            later = (("Retry-After", str(self.core.dice.randrange(0, 11))),)
            self.core.reply(transaction, 500, now, fields=later)

    def on_ack(self, request: Request, now: float) -> None:
        """An ACK inside the dialog."""
        if self.exchange is None or (wait := self.exchange.on_ack(request)) is None:
            return
        sdp = sdp_in(request) if wait.late_offer else b""
        if self.state is State.ANSWERED:
            self.on_confirmed(sdp, now)
        elif wait.late_offer:
            self.core.outbox.tell(Confirmed(self.key, sdp))
        if self.state is State.UP:
            self.exchange.resume(now)

    def on_confirmed(self, sdp: bytes, now: float) -> None:
        """The ACK to our first 2xx came, or something that implies it."""
        if self.state is not State.ANSWERED:
            return
        self.state = State.UP
        if self.farewell is not None:
            self.leave(now, self.farewell)
            return
        self.core.outbox.tell(Confirmed(self.key, sdp))

    def on_bye(self, request: Request, now: float) -> None:
        """The peer's BYE, which has been answered."""
        if self.state is not State.LEAVING and self.farewell is None:
            self.core.outbox.tell(HungUp(self.key, reason_in(request)))
        if self.exchange is not None:
            self.exchange.close(now)
        if self.state is not State.LEAVING:  # else our own BYE is still to be answered
            self.release()

    def on_cancel(self, transaction: Transaction, request: Request, now: float) -> None:
        """A CANCEL of an INVITE of this call; it has been answered."""
        if self.exchange is not None:
            self.exchange.on_cancel(transaction, now)

    # --- what transactions tell ---------------------------------------------------------------------

    def on_response(self, transaction: Transaction, response: Response, now: float) -> None:
        """A response to a request of ours."""
        if transaction.purpose is Purpose.BYE:
            if response.status >= 200:
                self.release()
        elif transaction.purpose is Purpose.REINVITE and self.exchange is not None and self.dialog is not None:
            if 200 <= response.status < 300:
                self.core.acknowledge(transaction, response, self.dialog)
            if self.state is State.UP:
                self._lose(self.exchange.on_response(response, sdp_in(response), now), now)

    def on_failure(self, transaction: Transaction, failure: Failure, now: float) -> None:
        """A request of ours came to no answer at all, or nobody acknowledged our failure."""
        if transaction.purpose is Purpose.BYE:
            self.release()
        elif transaction.purpose is Purpose.REINVITE and self.exchange is not None and self.state is State.UP:
            self._lose(self.exchange.on_failure(failure), now)

    def awaits(self, errand: Errand) -> bool:
        """Whether an answer to this request of ours still matters, so that it may be sent again."""
        if errand is self.leaving:
            return self.state is State.LEAVING
        return self.state is State.UP and self.exchange is not None and self.exchange.awaits(errand)

    def on_flow_lost(self, flow: Flow) -> None:
        """A connection is gone."""
        if self.dialog is not None:
            self.dialog.lose(flow)

    def on_timer(self, timer: CallTimer, now: float) -> None:
        """A deadline of this call has passed."""
        if self.exchange is not None:
            self._lose(self.exchange.on_timer(timer, now), now)

    # --- the end ------------------------------------------------------------------------------------

    def leave(self, now: float, reason: str) -> None:
        """Say BYE (RFC 3261 15.1.1)."""
        assert self.dialog is not None  # UP and ANSWERED have one
        if self.exchange is not None:
            self.exchange.close(now)
        self.state = State.LEAVING
        fields = (("Reason", reason_value(reason)),) if reason else ()
        self.leaving = self.core.request(
            self.dialog, "BYE", now, call=self.key, purpose=Purpose.BYE, account=self.account, fields=fields
        )

    def _lose(self, loss: Loss | None, now: float) -> None:
        if loss is None or self.state in ENDED:
            return
        if self.farewell is None:
            self.core.outbox.tell(DialogLost(self.key, printable(legible(loss.reason))))
        if loss.bye:
            self.leave(now, self.farewell or "")
            return
        if self.exchange is not None:
            self.exchange.close(now)
        self.release()

    def release(self) -> None:
        """Leave the agent. Transactions that only absorb repeats stay until their timers."""
        if self.state is State.RELEASED:
            return
        self.state = State.RELEASED
        if self.leaving is not None:
            self.core.errands.close(self.leaving)
        self.core.stop(self.key, *CallTimer)
        if self.dialog is not None:
            self.core.dialogs.pop(self.dialog.id, None)
        self.core.gone.append(self.key)
        self.core.outbox.tell(Released(self.key))


def sdp_in(message: Message) -> bytes:
    """The SDP of a message, b"" for none and for a body that is not ours to read."""
    try:
        return sdp_of(message) or b""
    except DecodeError:
        return b""


def reason_in(request: Request) -> str:
    """The Reason header field on one line, or ""."""
    return printable(legible(", ".join(request.headers.all("reason"))))[:300]


def reason_value(reason: str) -> str:
    """A Reason value (RFC 3326) as given, or free text wrapped into one."""
    text = sayable(reason)
    protocol, semicolon, _ = text.partition(";")
    if semicolon and protocol.strip() in ("SIP", "Q.850", "Preemption"):
        return text
    return f"SIP;cause=200;text={quote(text)}"
