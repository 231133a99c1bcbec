"""A call from its confirmation to its end; what calls we make and calls we get share.

Owns      states of a call, BYE both ways, requests inside the dialog, losing the dialog, being released.
Not here  how a call begins (caller.py, callee.py), offers after the first (exchange.py), session refreshes
          (refreshing.py).
Source    RFC 3261 (June 2002) 12.2, 15; RFC 3326 (Reason).
"""

from collections.abc import Sequence
from enum import Enum, auto

from vfax.errors import DecodeError, MisuseError
from vfax.transports.sip.account import NO_ACCOUNT, Account
from vfax.transports.sip.body import sdp_of
from vfax.transports.sip.core import ALLOW, CallTimer, Core
from vfax.transports.sip.dialog import Dialog
from vfax.transports.sip.errand import Errand, Failure
from vfax.transports.sip.exchange import Exchange, Loss, supported
from vfax.transports.sip.message import Message, Request, Response
from vfax.transports.sip.reason import Reason, reasons_of, words_of
from vfax.transports.sip.refreshing import Keeper
from vfax.transports.sip.syntax import legible, printable, sayable
from vfax.transports.sip.transaction import Purpose, Transaction
from vfax.transports.sip.values import (
    CallKey,
    Confirmed,
    Destination,
    DialogLost,
    Flow,
    Hop,
    HungUp,
    OfferSettled,
    RefreshEnded,
    Released,
)


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
        self.keeper = Keeper(core, key, self.account)
        self.leaving: Errand | None = None  # our BYE
        self.dialog: Dialog | None = None
        self.exchange: Exchange | None = None
        self.farewell: str | None = None  # the owner hung up before a BYE was allowed; this is the reason

    # --- orders -------------------------------------------------------------------------------------

    def offer(self, sdp: bytes, now: float) -> None:
        """Agent.offer."""
        self._talking("offer").offer(sdp, now)

    def update(self, sdp: bytes, now: float, fork: str) -> None:
        """Agent.update."""
        self.talking_in(fork, "offer by UPDATE").offer(sdp, now, method="UPDATE")

    def refresh(self, sdp: bytes, now: float) -> None:
        """Agent.refresh."""
        if not self._talking("refresh").refresh(sdp, now):
            self.core.outbox.tell(RefreshEnded(self.key, None))

    def accept_offer(self, sdp: bytes, now: float, fork: str) -> None:
        """Agent.accept_offer."""
        self.talking_in(fork, "accept an offer").accept(sdp, now)

    def refuse_offer(self, status: int, now: float, fork: str) -> None:
        """Agent.refuse_offer."""
        self.talking_in(fork, "refuse an offer").refuse(status, now)

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

    def talking_in(self, fork: str, order: str) -> Exchange:
        """The exchange of a branch of a call that is not answered yet; else that of the call."""
        return self._talking(order)

    def _talking(self, order: str) -> Exchange:
        if self.state not in (State.UP, State.ANSWERED) or self.exchange is None:
            raise MisuseError(f"call {self.key}: cannot {order}, it is {self.state.name}")
        return self.exchange

    # --- requests inside the dialog -----------------------------------------------------------------

    @property
    def rings_by(self) -> Destination | None:
        """What a call of the peer came by, as long as it has not confirmed it."""
        waits = self.host != "" and self.state in (State.INCOMING, State.ANSWERED)
        return self.dialog.peer if waits and self.dialog is not None else None

    def comes_from(self, host: str) -> bool:
        """Whether `host` may have something to say in this call. One that knows both tags may, before the answer."""
        return self.dialog is None or host == self.host or self.dialog.comes_from(host)

    def ends_by(self, request: Request) -> bool:
        """Whether a request is the BYE that ends this call: it is taken however crowded it is."""
        current = self.dialog is not None and not self.dialog.is_old(request)
        return request.method == "BYE" and self.state not in ENDED and current

    def on_request(self, transaction: Transaction, now: float) -> None:
        """BYE, re-INVITE, UPDATE or PRACK of the peer; the transaction has just begun."""
        self._on_request(self.dialog, self.exchange, transaction, now)

    def _on_request(
        self, dialog: Dialog | None, exchange: Exchange | None, transaction: Transaction, now: float
    ) -> None:
        request = transaction.request
        if dialog is not None and dialog.is_stale(request):
            self.core.reply(transaction, 500, now)
        elif request.method == "BYE":
            self.core.reply(transaction, 200, now)
            self.on_bye(request, now)
        elif self.state in ENDED:
            self.core.reply(transaction, 481, now)
        elif request.method == "PRACK":
            self.on_prack(transaction, now)
        elif dialog is None or exchange is None:
            self._on_early_request(transaction, now)
        elif (objection := self.keeper.timer.objection(request)) is not None:
            self.core.reply(transaction, objection[0], now, fields=objection[1])
        elif request.method == "UPDATE" and not sdp_in(request):
            dialog.refresh(request)
            self.core.seek(self.key, dialog)
            fields = (("Contact", self.contact), ALLOW, *supported(self.keeper.policy))
            self.core.reply(transaction, 200, now, fields=(*fields, *self.keeper.answer(request, now)))
        else:
            self._on_offer(exchange, transaction, now)

    def _on_offer(self, exchange: Exchange, transaction: Transaction, now: float) -> None:
        request, sdp = transaction.request, sdp_in(transaction.request)
        early = self.state in (State.CALLING, State.INCOMING)
        if early and request.method == "INVITE":
            self._on_early_request(transaction, now)
            return
        if request.method == "INVITE":
            self.core.reply(transaction, 100, now)
        if exchange.implies_ack:
            exchange.confirm()
            if self.state is State.UP:
                self.core.outbox.tell(OfferSettled(self.key))
            self.on_confirmed(b"", now)
        if early or self.state is State.UP:
            exchange.on_offer(transaction, sdp, now)
        elif self.state is State.ANSWERED:
            self.core.reply(transaction, 491, now)  # the ACK with the answer to our offer is missing
        else:
            self.core.reply(transaction, 481, now)  # the owner's hang-up was only waiting for this

    def _on_early_request(self, transaction: Transaction, now: float) -> None:
        """Nothing is offered again before the first offer has its answer (RFC 3261 14.2, RFC 3311 5.2)."""
        if transaction.request.method == "UPDATE" and not transaction.request.body:
            self.core.reply(transaction, 200, now, fields=(("Contact", self.contact),))
        elif self.state is State.CALLING:
            self.core.reply(transaction, 491, now)
        else:
            later = (("Retry-After", str(self.core.dice.randrange(0, 11))),)
            self.core.reply(transaction, 500, now, fields=later)

    def on_prack(self, transaction: Transaction, now: float) -> None:
        """A PRACK: of a response that was never sent, unless the called side knows better (RFC 3262 3)."""
        self.core.reply(transaction, 481, now)

    def on_ack(self, request: Request, now: float) -> None:
        """An ACK inside the dialog."""
        if self.exchange is None or (wait := self.exchange.on_ack(request)) is None:
            return
        sdp = sdp_in(request) if wait.late_offer else b""
        if self.state is State.ANSWERED:
            self.on_confirmed(sdp, now)
        elif self.state is State.UP:
            self.core.outbox.tell(Confirmed(self.key, sdp) if wait.late_offer else OfferSettled(self.key))
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
            self.core.outbox.tell(hung_up(self.key, request))
        self.close(now)
        if self.state is not State.LEAVING:  # else our own BYE is still to be answered
            self.release()

    def on_cancel(self, transaction: Transaction, request: Request, now: float) -> None:
        """A CANCEL of an INVITE of this call; it has been answered."""
        if self.exchange is not None:
            self.exchange.on_cancel(transaction, now)

    # --- what transactions tell ---------------------------------------------------------------------

    def on_response(self, transaction: Transaction, response: Response, now: float) -> None:
        """A response to a request of ours."""
        match transaction.purpose:
            case Purpose.BYE if response.status >= 200:
                self.release()
            case Purpose.REINVITE if 200 <= response.status < 300 and self.dialog is not None:
                self.core.acknowledge(transaction, response, self.dialog)
        if self.state is State.UP and self.exchange is not None:
            if transaction.purpose is Purpose.REFRESH:
                self._lose(self.keeper.on_response(response, now), now)
            elif self.exchange.sent(transaction):
                self._lose(self.exchange.on_response(response, sdp_in(response), now), now)

    def on_failure(self, transaction: Transaction, failure: Failure, now: float) -> None:
        """A request of ours came to no answer at all, or nobody acknowledged our failure."""
        if transaction.purpose is Purpose.BYE:
            self.release()
        elif self.state is State.UP and self.exchange is not None:
            if transaction.purpose is Purpose.REFRESH:
                self._lose(self.keeper.on_failure(failure, now), now)
            elif self.exchange.sent(transaction):
                self._lose(self.exchange.on_failure(failure, now), now)

    def awaits(self, errand: Errand) -> bool:
        """Whether an answer to this request of ours still matters, so that it may be sent again."""
        if errand is self.leaving:
            return self.state is State.LEAVING
        if self.state is not State.UP or self.exchange is None:
            return False
        return self.exchange.awaits(errand) or self.keeper.awaits(errand)

    def learn_way(self, uri: str, hops: Sequence[Hop]) -> None:
        """Agent.found."""
        if self.dialog is not None:
            self.dialog.learn(uri, hops)

    def on_flow_lost(self, flow: Flow) -> None:
        """A connection is gone."""
        if self.dialog is not None:
            self.dialog.lose(flow)

    def on_timer(self, timer: CallTimer, now: float) -> None:
        """A deadline of this call has passed."""
        if timer in (CallTimer.REFRESH, CallTimer.SESSION_END):
            self._lose(self.keeper.on_timer(timer, now), now)
        elif self.exchange is not None:
            self._lose(self.exchange.on_timer(timer, now), now)

    # --- the end ------------------------------------------------------------------------------------

    def leave(self, now: float, reason: str) -> None:
        """Say BYE (RFC 3261 15.1.1)."""
        assert self.dialog is not None  # UP and ANSWERED have one
        self.close(now)
        self.state = State.LEAVING
        fields = (("Reason", reason_value(reason)),) if reason else ()
        self.leaving = self.core.request(
            self.dialog, "BYE", now, call=self.key, purpose=Purpose.BYE, account=self.account, fields=fields
        )

    def close(self, now: float) -> None:
        """Nothing is offered or refreshed any more."""
        if self.exchange is not None:
            self.exchange.close(now)
        self.keeper.close()
        self.core.stop(self.key, *CallTimer)

    def _lose(self, loss: Loss | None, now: float) -> None:
        if loss is None or self.state in ENDED:
            return
        if self.farewell is None:
            self.core.outbox.tell(DialogLost(self.key, printable(legible(loss.reason))))
        if loss.bye:
            self.leave(now, self.farewell or loss.say)
            return
        self.close(now)
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
            self.core.leave(self.dialog.id)
        self.core.gone.append(self.key)
        self.core.outbox.tell(Released(self.key))


def sdp_in(message: Message) -> bytes:
    """The SDP of a message, b"" for none and for a body that is not ours to read."""
    try:
        return sdp_of(message) or b""
    except DecodeError:
        return b""


def hung_up(key: CallKey, request: Request) -> HungUp:
    """What a BYE tells."""
    reasons = reasons_of(request)
    return HungUp(key, words_of(reasons), reasons)


def reason_value(reason: str) -> str:
    """A Reason value (RFC 3326) as given, or free text wrapped into one."""
    text = sayable(reason)
    protocol, semicolon, _ = text.partition(";")
    if semicolon and protocol.strip() in ("SIP", "Q.850", "Preemption"):
        return text
    return Reason("SIP", 200, text).value
