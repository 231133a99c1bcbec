"""Requests that come in: to which call each belongs, which of them begin one, what the others hear.

Owns      matching requests to transactions, dialogs and calls; admission of calls.
Not here  responses and orders (agent.py), what is answered before any call is (screen.py), what a call does with its
          requests (calls.py), who is heard (doorkeeper.py, admission.py).
Source    RFC 3261 (June 2002) 8.2, 9.2, 12.2.2, 17.2.3, 21.5.4.
"""

from functools import partial

from vfax.errors import DecodeError
from vfax.transports.sip.admission import OPEN, Admission
from vfax.transports.sip.callbook import CallBook
from vfax.transports.sip.callee import CalledSide, incoming_call
from vfax.transports.sip.calls import Call
from vfax.transports.sip.compose import Fields, response_way
from vfax.transports.sip.core import Core
from vfax.transports.sip.doorkeeper import Doorkeeper
from vfax.transports.sip.message import Request
from vfax.transports.sip.policy import DialogPolicy
from vfax.transports.sip.screen import Desk, screen
from vfax.transports.sip.sieve import Nuisance
from vfax.transports.sip.transaction import S, Transaction
from vfax.transports.sip.values import CallKey, Flow


class Reception:
    """Takes the requests of one agent. Their Via has been stamped, and they have passed message.check()."""

    def __init__(self, core: Core, book: CallBook, admission: Admission, door: Doorkeeper, desk: Desk) -> None:
        self._core = core
        self._book = book
        self._admission = admission
        self._door = door
        self._desk = desk
        self._octets = b""  # of the request that is dealt with

    def receive(self, request: Request, octets: bytes, flow: Flow, now: float) -> None:
        """Take a request that came as `octets` by `flow`."""
        self._octets = octets
        core = self._core
        transaction = core.transactions.find_server(request)
        if request.method == "ACK":
            self._on_ack(request, transaction, flow, now)
        elif transaction is not None:
            self._seen(transaction.call, flow, request)
            core.transactions.receive_repeat(transaction, request, now)
        elif request.method == "CANCEL":
            self._on_cancel(request, flow, now)
        else:
            self._on_new(request, flow, now)

    def _on_ack(self, request: Request, transaction: Transaction | None, flow: Flow, now: float) -> None:
        """An ACK to a failure belongs to its transaction, one to a 2xx to its dialog.

        Quirk: some peers give the ACK to a 2xx the branch of the INVITE; it then matches the transaction, too.
        """
        failed = transaction is not None and transaction.state is not S.ACCEPTED
        call = self._book.of(transaction) if transaction is not None and failed else self._book.of_dialog(request)
        if call is None and transaction is None:
            if request.to.tag != self._desk.tag(request):  # else of a failure that left no state
                self._core.outbox.drop(flow, "ACK to nothing of ours")
            return
        self._seen(call.key if call is not None else None, flow, request)
        if transaction is None or not failed:
            if call is not None:
                self._door.prove(flow, now)
                call.on_ack(request, now)
        elif self._core.transactions.receive_repeat(transaction, request, now) and isinstance(call, CalledSide):
            call.on_refusal_acknowledged()

    def _on_cancel(self, request: Request, flow: Flow, now: float) -> None:
        """RFC 3261 9.2. It goes from hop to hop, and comes from where the INVITE came."""
        invite = self._core.transactions.find_server(request, "INVITE")
        if invite is None or not self._door.hears_cancel_of(invite, flow, now):
            self._seen(None, flow, request)
            self._desk.answer(request, flow, 481, None)
            return
        self._seen(invite.call, flow, request)
        call = self._book.of(invite)
        transaction = self._begin(request, flow, now, call=invite.call)
        self._core.reply(transaction, 200, now, to_tag=self._tag_of(call, request))
        if call is not None:
            call.on_cancel(invite, request, now)

    def _tag_of(self, call: Call | None, request: Request) -> str:
        """RFC 3261 9.2: the To tag of the answer to CANCEL and to its INVITE should be the same."""
        return call.dialog.local_tag if call is not None and call.dialog is not None else self._desk.tag(request)

    def _on_new(self, request: Request, flow: Flow, now: float) -> None:
        entry = OPEN if request.to.tag else self._admission.judge(request, flow.remote[0], now)
        if not entry.admitted:
            self._seen(None, flow, request)
            self._desk.challenge(request, flow, entry)
            if entry.refused:
                self._door.note(flow, Nuisance.PASSWORD, now)
            return
        if entry.user:
            self._door.prove(flow, now)  # by a nonce that only our challenge told
        call = self._book.of_dialog(request)
        if call is not None and not self._door.hears_in(call, flow, now):
            call = None
        key = call.key if call is not None else None
        policy = partial(self._policy, request, flow, entry.user, call)
        if request.method != "INVITE" or request.to.tag:  # a new call is seen once it has its key
            self._seen(key, flow, request)
        try:
            refusal = screen(request, self._core, policy)
        except DecodeError as why:
            self._core.outbox.drop(flow, str(why))
            refusal = 400, ()
        if refusal is not None:
            if refusal[0] in (405, 501):
                self._door.note(flow, Nuisance.REFUSED, now)
            self._desk.answer(request, flow, refusal[0], key, fields=refusal[1])
        elif request.method == "INVITE" and not request.to.tag:
            self._on_invite(request, flow, entry.user, now)
        elif request.to.tag and call is None:
            self._desk.answer(request, flow, 481, None)
        elif request.method == "INFO":
            self._desk.info(request, flow, key)
        elif request.method == "OPTIONS":
            self._desk.options(request, flow, key, policy())
        elif call is None:
            self._desk.answer(request, flow, 481, None)  # BYE, UPDATE or PRACK outside any dialog
        elif self._core.transactions.has_no_room_for(request.call_id) and not call.ends_by(request):
            self._desk.answer(request, flow, 503, key, fields=self._come_back_later())
        else:
            call.on_request(self._begin(request, flow, now, call=call.key), now)

    def _policy(self, request: Request, flow: Flow, user: str, call: Call | None) -> DialogPolicy:
        """That of the call, or of the trunk by which the request would begin one."""
        if call is not None:
            return call.keeper.policy
        return self._admission.policy_of(incoming_call(0, request, flow, user)) or self._core.options.dialogs

    def _come_back_later(self) -> Fields:
        return (("Retry-After", str(self._core.options.retry_after)),)

    def _on_invite(self, request: Request, flow: Flow, user: str, now: float) -> None:
        """A new call, if there is room (RFC 3261 21.5.4)."""
        core, options, book = self._core, self._core.options, self._book
        crowded = len(book) >= options.max_calls or core.transactions.full
        crowded = crowded or not self._door.has_room(book, flow)
        if crowded or book.of_host(flow.remote[0]) >= options.max_calls_per_source:  # Limit: calls and transactions
            self._seen(None, flow, request)
            self._desk.answer(request, flow, 503, None, fields=self._come_back_later())
            return
        key = book.next_key
        self._seen(key, flow, request)
        transaction = self._begin(request, flow, now, call=key)
        book.enter(CalledSide(core, key, transaction, flow, now))
        core.outbox.tell(incoming_call(key, request, flow, user))

    def _begin(self, request: Request, flow: Flow, now: float, *, call: CallKey | None) -> Transaction:
        way = response_way(request, flow, symmetric=self._core.options.symmetric)
        return self._core.transactions.start_server(request, way, now, call=call)

    def _seen(self, call: CallKey | None, flow: Flow, request: Request) -> None:
        self._core.outbox.saw(request, self._octets, flow, call)
