"""A call that comes in, until it is answered or refused.

Owns      100, 180 and its repeats, reliable provisional answers, 200, refusal, CANCEL, the limit of waiting for the
          owner.
Not here  who may call (reception.py), what follows the ACK (calls.py).
Source    RFC 3261 (June 2002) 9.2, 13.3, 15; RFC 3262 3, 5.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from vfax.errors import DecodeError, MisuseError
from vfax.transports.sip.account import Account
from vfax.transports.sip.calls import Call, State, sdp_in
from vfax.transports.sip.core import ALLOW, CallTimer, Core
from vfax.transports.sip.dialog import Dialog
from vfax.transports.sip.errand import Errand, Failure
from vfax.transports.sip.exchange import Exchange, Loss, Phase, supported
from vfax.transports.sip.headers import NameAddr
from vfax.transports.sip.message import Request, Response
from vfax.transports.sip.outbox import wire
from vfax.transports.sip.policy import Reliable
from vfax.transports.sip.reason import reasons_of, words_of
from vfax.transports.sip.reliable import FIRST_LIMIT, OPTION, ReliableSender, rack_in
from vfax.transports.sip.syntax import legible, printable, sayable
from vfax.transports.sip.transaction import Transaction
from vfax.transports.sip.values import CallKey, Cancelled, Flow, IncomingCall, OfferAccepted

IDENTITIES: Final = (
    "from",
    "to",
    "p-asserted-identity",
    "p-preferred-identity",
    "remote-party-id",
    "p-called-party-id",
    "diversion",
    "history-info",
)
"""Fields by which an INVITE names who calls and who is called."""
MAX_IDENTITIES: Final = 8  # Limit: values of each of them that the owner is told
EXTENSION_REQUIRED: Final = 421
RING_AGAIN: Final = 60.0  # RFC 3261 13.3.1.1: every minute


class CalledSide(Call):
    """The called side."""

    def __init__(self, core: Core, key: CallKey, transaction: Transaction, flow: Flow, now: float) -> None:
        invite = transaction.request
        contact = core.contact_for(invite.target.user_text, flow, secure=invite.target.scheme == "sips")
        super().__init__(core, key, flow.remote[0], contact, State.INCOMING)
        self._invite = transaction
        self._reliable = ReliableSender(core.dice.randrange(1, FIRST_LIMIT))
        self._settled = False  # the first offer has its answer, by a reliable response and its PRACK
        self._next: tuple[int, bytes] | None = None  # a provisional answer that waits for the PRACK before it
        self._answer: bytes | None = None  # our 200 waits for a PRACK, or for an offer that came with one
        self.dialog = Dialog.of_callee(invite, core.token(), flow, symmetric=core.options.symmetric)
        self.exchange = Exchange(core, key, self.dialog, contact, self.keeper, phase=Phase.INVITED)
        self.keeper.note(invite)
        core.enter(self.dialog.id, key)
        core.start(key, CallTimer.UNANSWERED, now + core.options.unanswered_limit)
        core.reply(transaction, 100, now)

    def assign(self, account: Account) -> None:
        """Agent.assign."""
        self.account = account
        if self.dialog is not None:
            self.dialog.keyring = None
        if self.exchange is not None:
            self.exchange.account = account
        if self.state is State.INCOMING:
            self.keeper.assign(account)

    @property
    def missing(self) -> str:
        """The extension that our policy requires and the caller does not know; "" for none (RFC 3261 21.4.15)."""
        required = self.keeper.policy.reliable is Reliable.REQUIRE
        return OPTION if required and OPTION not in self._invite.request.options else ""

    # --- provisional answers ------------------------------------------------------------------------

    def ring(self, now: float) -> None:
        """Agent.ring."""
        self._expect_incoming("ring")
        self._provide(180, b"", now)
        self.core.start(self.key, CallTimer.RING_AGAIN, now + RING_AGAIN)

    def progress(self, sdp: bytes, now: float) -> None:
        """Agent.progress."""
        self._expect_incoming("answer early")
        self._provide(183, sdp, now)

    def _provide(self, status: int, sdp: bytes, now: float) -> None:
        """A provisional answer, reliable where that is due; the next one waits for the PRACK of the last."""
        dialog = self._expect_incoming("answer early")
        late, reliable = not self._invite.request.body, self._is_reliable(sdp)
        if late and not self._settled and reliable is not bool(sdp):
            # RFC 3261 13.2.1, RFC 3262 5: the first reliable response must bring the offer that is asked of us, and
            # none but a reliable one can. Who has none to say keeps silent after the 100, and offers in the 200.
            return
        if reliable and self._reliable.waiting is not None:
            self._next = (status, sdp)
            return
        fields = list(self._dialog_fields())
        if reliable:
            fields += [("Require", OPTION), ("RSeq", str(self._reliable.number))]
        if sdp:
            fields.append(("Content-Type", "application/sdp"))
        response = self.core.reply(self._invite, status, now, to_tag=dialog.local_tag, fields=fields, body=sdp)
        if reliable:
            self._await_prack(response, now)

    def _is_reliable(self, sdp: bytes) -> bool:
        """RFC 3262 3: where the caller requires it; where it can and we want it, or have more to say than a ring."""
        invite, policy = self._invite.request, self.keeper.policy
        if policy.reliable is Reliable.OFF or OPTION not in invite.options:
            return False
        required = OPTION in (tag.lower() for tag in invite.require)
        return required or bool(sdp) or policy.reliable in (Reliable.PREFER, Reliable.REQUIRE)

    def _await_prack(self, response: Response, now: float) -> None:
        core, invite = self.core, self._invite.request
        waiting = self._reliable.sent(
            response.status, wire(response), invite.cseq.number, has_sdp=bool(response.body), t1=core.options.t1
        )
        if waiting.has_sdp and not invite.body and not self._settled and self.exchange is not None:
            self.exchange.enter(Phase.OFFERED)
        core.start(self.key, CallTimer.PROVISIONAL_REPEAT, now + waiting.next_pause())
        core.start(self.key, CallTimer.PRACK_LIMIT, now + 64 * core.options.t1)

    def on_prack(self, transaction: Transaction, now: float) -> None:
        """RFC 3262 3, 5: it acknowledges our response, may answer the offer in it, or bring another offer."""
        exchange, sdp = self.exchange, sdp_in(transaction.request)
        if self.state is not State.INCOMING:  # our 200 has crossed it; nothing is repeated or waits any more
            known = self._reliable.acknowledge(rack_in(transaction.request)) is not None
            self.core.reply(transaction, 200 if known else 481, now)
            return
        offered = exchange is not None and exchange.phase is Phase.OFFERED
        acknowledged = None if offered and not sdp else self._reliable.acknowledge(rack_in(transaction.request))
        if exchange is None or acknowledged is None:  # one without the answer that is due acknowledges nothing either
            self.core.reply(transaction, 400 if offered and not sdp else 481, now)
            return
        self.core.stop(self.key, CallTimer.PROVISIONAL_REPEAT, CallTimer.PRACK_LIMIT)
        first = acknowledged.has_sdp and not self._settled
        if first:
            self._settled = True
            exchange.enter(Phase.IDLE)
        if first and offered:
            self.core.outbox.tell(OfferAccepted(self.key, sdp))
        if sdp and not offered:
            exchange.on_offer(transaction, sdp, now)
        else:
            self.core.reply(transaction, 200, now)
        self._go_on(now)

    def _go_on(self, now: float) -> None:
        """A PRACK has come, or an offer has been dealt with: what waited for it may follow."""
        if self.state is not State.INCOMING:
            return
        if self._next is not None and self._answer is None:
            (status, sdp), self._next = self._next, None
            self._provide(status, sdp, now)
        elif self._answer is not None:
            sdp, self._answer = self._answer, None
            self.answer(sdp, now)

    # --- the final answer ---------------------------------------------------------------------------

    def answer(self, sdp: bytes, now: float) -> None:
        """Agent.answer."""
        dialog = self._expect_incoming("answer")
        exchange, waiting = self.exchange, self._reliable.waiting
        assert exchange is not None  # it is there from the first
        if (waiting is not None and waiting.has_sdp) or exchange.phase in (Phase.THEIRS, Phase.OURS, Phase.PAUSED):
            self._answer = sdp  # RFC 3262 3: no 200 before the PRACK of a response with SDP; RFC 6337 3.1.1
            return
        self._stop_waiting()
        self.state = State.ANSWERED
        self.keeper.attach(dialog, exchange)
        self.core.seek(self.key, dialog)
        keeping = self.keeper.answer(self._invite.request, now)
        fields = [*self._dialog_fields(), *supported(self.keeper.policy), *keeping]
        body = b"" if self._settled else sdp
        if body:
            fields.append(("Content-Type", "application/sdp"))
        response = self.core.reply(self._invite, 200, now, to_tag=dialog.local_tag, fields=fields, body=body)
        exchange.await_ack(self._invite, response, now)

    def refuse(self, status: int, now: float, reason: str, retry_after: int | None = None) -> None:
        """Agent.refuse."""
        dialog = self._expect_incoming("refuse")
        self._stop_waiting()
        self.close(now)
        self.state = State.REFUSING
        fields = [] if retry_after is None else [("Retry-After", str(retry_after))]
        if status == EXTENSION_REQUIRED and self.missing:
            fields.append(("Require", self.missing))
        self.core.reply(self._invite, status, now, to_tag=dialog.local_tag, reason=sayable(reason), fields=fields)

    def give_up(self, now: float, reason: str) -> None:
        """Hang up on a caller who was not answered."""
        self.refuse(603, now, reason)

    def on_refusal_acknowledged(self) -> None:
        """The ACK to our failure came, or never will."""
        if self.state is State.REFUSING:
            self.release()

    def on_cancel(self, transaction: Transaction, request: Request, now: float) -> None:
        """The caller gave up; without effect once we have answered (RFC 3261 9.2)."""
        if self.state is State.INCOMING and transaction is self._invite:
            self._end_early(request, now)
        else:
            super().on_cancel(transaction, request, now)

    def on_bye(self, request: Request, now: float) -> None:
        """A BYE; before the answer it is as good as a CANCEL (RFC 3261 15.1.2)."""
        if self.state is State.INCOMING:
            self._end_early(request, now)
        elif self.state is not State.REFUSING:
            super().on_bye(request, now)

    def on_failure(self, transaction: Transaction, failure: Failure, now: float) -> None:
        """As of Call; Timer H: nobody acknowledged our failure."""
        if transaction is self._invite:
            self.on_refusal_acknowledged()
        elif self.state is State.INCOMING and self.exchange is not None and self.exchange.sent(transaction):
            self._after_early_offer(self.exchange.on_failure(failure, now), now)
        else:
            super().on_failure(transaction, failure, now)

    def on_response(self, transaction: Transaction, response: Response, now: float) -> None:
        """As of Call; an UPDATE of ours before the answer."""
        if self.state is State.INCOMING and self.exchange is not None and self.exchange.sent(transaction):
            self._after_early_offer(self.exchange.on_response(response, sdp_in(response), now), now)
        else:
            super().on_response(transaction, response, now)

    def _after_early_offer(self, loss: Loss | None, now: float) -> None:
        if loss is not None:
            self.refuse(500, now, "")
            self.core.outbox.tell(Cancelled(self.key, printable(legible(loss.reason))))
        else:
            self._go_on(now)

    def awaits(self, errand: Errand) -> bool:
        """As of Call."""
        early = self.state is State.INCOMING and self.exchange is not None and self.exchange.awaits(errand)
        return early or super().awaits(errand)

    def talking_in(self, fork: str, order: str) -> Exchange:
        """As of Call; before the answer, once the first offer has one."""
        if self.state is State.INCOMING and self._settled and self.exchange is not None:
            return self.exchange
        return super().talking_in(fork, order)

    def accept_offer(self, sdp: bytes, now: float, fork: str) -> None:
        """As of Call."""
        super().accept_offer(sdp, now, fork)
        self._go_on(now)

    def refuse_offer(self, status: int, now: float, fork: str) -> None:
        """As of Call."""
        super().refuse_offer(status, now, fork)
        self._go_on(now)

    def on_timer(self, timer: CallTimer, now: float) -> None:
        """As of Call."""
        match timer:
            case CallTimer.UNANSWERED:
                self.refuse(480, now, "")
                self.core.outbox.tell(Cancelled(self.key, "nobody answered the call on our side"))
            case CallTimer.RING_AGAIN:
                self.ring(now)
            case CallTimer.PROVISIONAL_REPEAT if (waiting := self._reliable.waiting) is not None:
                self.core.transactions.respond_wire(self._invite, waiting.status, waiting.sent, now)
                self.core.start(self.key, timer, now + waiting.next_pause())
            case CallTimer.PRACK_LIMIT:  # RFC 3262 3: a 5xx
                self.refuse(504, now, "")
                self.core.outbox.tell(Cancelled(self.key, "the caller did not acknowledge our ringing (PRACK)"))
            case _:
                super().on_timer(timer, now)
                self._go_on(now)

    def _end_early(self, request: Request, now: float) -> None:
        self.refuse(487, now, "")
        reasons = reasons_of(request)
        self.core.outbox.tell(Cancelled(self.key, words_of(reasons), reasons))

    def _expect_incoming(self, order: str) -> Dialog:
        if self.state is not State.INCOMING or self.dialog is None:
            raise MisuseError(f"call {self.key}: cannot {order}, it is {self.state.name}")
        return self.dialog

    def _stop_waiting(self) -> None:
        self._next = self._answer = None
        self.core.stop(
            self.key,
            CallTimer.UNANSWERED,
            CallTimer.RING_AGAIN,
            CallTimer.PROVISIONAL_REPEAT,
            CallTimer.PRACK_LIMIT,
        )

    def _dialog_fields(self) -> tuple[tuple[str, str], ...]:
        """What makes a response create a dialog: Record-Route as it came, our Contact (RFC 3261 12.1.1)."""
        routes = (("Record-Route", value) for value in self._invite.request.headers.all("record-route"))
        return (*routes, ("Contact", self.contact), ALLOW)


def incoming_call(key: CallKey, request: Request, flow: Flow, user: str = "") -> IncomingCall:
    """What the owner is told of a new call; `user` has proved itself by digest."""
    caller = request.from_
    with suppress(DecodeError):  # an unreadable identity asserts nothing
        for asserted in request.headers.values("p-asserted-identity")[:1]:
            caller = NameAddr.parse(asserted)
    return IncomingCall(
        call=key,
        source=flow.remote,
        flow=flow,
        digest_user=user,
        request_uri=printable(legible(request.uri)),
        dialled=printable(request.target.user_text),
        caller=printable(caller.uri.user_text),
        caller_name=printable(legible(caller.name)),
        call_id=legible(request.call_id),
        offer=sdp_in(request),
        user_agent=printable(legible(request.headers.first("user-agent") or "")),
        identities=tuple(_identities(request)),
    )


def _identities(request: Request) -> Iterator[tuple[str, str]]:
    for name in IDENTITIES:
        with suppress(DecodeError):  # a list that cannot be taken apart names nobody
            for value in request.headers.values(name)[:MAX_IDENTITIES]:
                yield name, legible(value)
