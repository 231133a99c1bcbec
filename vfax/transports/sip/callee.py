"""A call that comes in, until it is answered or refused.

Owns      100, 180 and its repeats, 200, refusal, CANCEL, the limit of waiting for the owner.
Not here  who may call (agent.py), what follows the ACK (calls.py).
Source    RFC 3261 (June 2002) 9.2, 13.3, 15.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from vfax.errors import DecodeError, MisuseError
from vfax.transports.sip.account import Account
from vfax.transports.sip.calls import Call, State, reason_in, sdp_in
from vfax.transports.sip.core import ALLOW, CallTimer, Core
from vfax.transports.sip.dialog import Dialog
from vfax.transports.sip.errand import Failure
from vfax.transports.sip.exchange import Exchange
from vfax.transports.sip.headers import NameAddr
from vfax.transports.sip.message import Request
from vfax.transports.sip.syntax import legible, printable, sayable
from vfax.transports.sip.transaction import Transaction
from vfax.transports.sip.values import CallKey, Cancelled, Flow, IncomingCall

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
RING_AGAIN: Final = 60.0  # RFC 3261 13.3.1.1: every minute


class CalledSide(Call):
    """The called side."""

    def __init__(self, core: Core, key: CallKey, transaction: Transaction, flow: Flow, now: float) -> None:
        invite = transaction.request
        contact = core.contact_for(invite.target.user_text, flow, secure=invite.target.scheme == "sips")
        super().__init__(core, key, flow.remote[0], contact, State.INCOMING)
        self._invite = transaction
        self.dialog = Dialog.of_callee(invite, core.token(), flow, symmetric=core.options.symmetric)
        core.dialogs[self.dialog.id] = key
        core.start(key, CallTimer.UNANSWERED, now + core.options.unanswered_limit)
        core.reply(transaction, 100, now)

    def assign(self, account: Account) -> None:
        """Agent.assign."""
        self.account = account
        if self.dialog is not None:
            self.dialog.keyring = None
        if self.exchange is not None:
            self.exchange.account = account

    def ring(self, now: float) -> None:
        """Agent.ring."""
        self._expect_incoming("ring")
        self._say(180, now)
        self.core.start(self.key, CallTimer.RING_AGAIN, now + RING_AGAIN)

    def answer(self, sdp: bytes, now: float) -> None:
        """Agent.answer."""
        dialog = self._expect_incoming("answer")
        self._stop_waiting()
        self.state = State.ANSWERED
        self.exchange = Exchange(self.core, self.key, dialog, self.contact, self.account)
        fields = [*self._dialog_fields(), ("Supported", "")]
        if sdp:
            fields.append(("Content-Type", "application/sdp"))
        response = self.core.reply(self._invite, 200, now, to_tag=dialog.local_tag, fields=fields, body=sdp)
        self.exchange.await_ack(self._invite, response, now)

    def refuse(self, status: int, now: float, reason: str, retry_after: int | None = None) -> None:
        """Agent.refuse."""
        dialog = self._expect_incoming("refuse")
        self._stop_waiting()
        self.state = State.REFUSING
        fields = () if retry_after is None else (("Retry-After", str(retry_after)),)
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
            self._end_early(reason_in(request), now)
        else:
            super().on_cancel(transaction, request, now)

    def on_bye(self, request: Request, now: float) -> None:
        """A BYE; before the answer it is as good as a CANCEL (RFC 3261 15.1.2)."""
        if self.state is State.INCOMING:
            self._end_early(reason_in(request), now)
        elif self.state is not State.REFUSING:
            super().on_bye(request, now)

    def on_failure(self, transaction: Transaction, failure: Failure, now: float) -> None:
        """As of Call; Timer H: nobody acknowledged our failure."""
        if transaction is self._invite:
            self.on_refusal_acknowledged()
        else:
            super().on_failure(transaction, failure, now)

    def on_timer(self, timer: CallTimer, now: float) -> None:
        """As of Call."""
        if timer is CallTimer.UNANSWERED:
            self.refuse(480, now, "")
            self.core.outbox.tell(Cancelled(self.key, "nobody answered the call on our side"))
        elif timer is CallTimer.RING_AGAIN:
            self.ring(now)
        else:
            super().on_timer(timer, now)

    def _end_early(self, reason: str, now: float) -> None:
        self.refuse(487, now, "")
        self.core.outbox.tell(Cancelled(self.key, reason))

    def _expect_incoming(self, order: str) -> Dialog:
        if self.state is not State.INCOMING or self.dialog is None:
            raise MisuseError(f"call {self.key}: cannot {order}, it is {self.state.name}")
        return self.dialog

    def _stop_waiting(self) -> None:
        self.core.stop(self.key, CallTimer.UNANSWERED, CallTimer.RING_AGAIN)

    def _say(self, status: int, now: float) -> None:
        dialog = self._expect_incoming("ring")
        self.core.reply(self._invite, status, now, to_tag=dialog.local_tag, fields=self._dialog_fields())

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
        caller_uri=printable(legible(caller.uri.text)),
        caller=printable(caller.uri.user_text),
        caller_name=printable(legible(caller.name)),
        call_id=legible(request.call_id),
        offer=sdp_in(request),
        user_agent=printable(legible(request.headers.first("user-agent") or "")),
        identities=tuple(_identities(request)),
    )


def _identities(request: Request) -> Iterator[tuple[str, str]]:
    for name in IDENTITIES:
        for value in request.headers.values(name)[:MAX_IDENTITIES]:
            yield name, legible(value)
