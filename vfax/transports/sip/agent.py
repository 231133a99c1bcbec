"""The SIP user agent: messages and orders in, messages and events out.

Owns      admission of calls, routing of messages to calls, requests outside calls, the owner's orders.
Not here  sockets, connections and clocks (endpoint.py), SDP (sdp.py), what is answered before any call is (screen.py),
          what follows a failed request (retry.py).
Source    RFC 3261 (June 2002) 8.2, 9.2, 11, 12.2.2, 13, 18; RFC 3311; RFC 3581.

Times are seconds on one monotonic clock. Nothing a peer sends raises. MisuseError is for our own caller's mistakes.
"""

from collections import Counter
from collections.abc import Sequence
from functools import partial

from vfax.errors import DecodeError, MisuseError
from vfax.transports.sip.account import NO_ACCOUNT, Account
from vfax.transports.sip.admission import OPEN, Admission
from vfax.transports.sip.callee import CalledSide, incoming_call
from vfax.transports.sip.caller import CallingSide, Invitation
from vfax.transports.sip.calls import ENDED, Call, State
from vfax.transports.sip.compose import Fields, response_hop, response_way, stamp
from vfax.transports.sip.core import Core
from vfax.transports.sip.doorkeeper import Doorkeeper
from vfax.transports.sip.errand import SILENCE, Errand, Failure, Place
from vfax.transports.sip.hops import Local, leads_by
from vfax.transports.sip.message import Message, MessageError, Request, Response, check, parse_datagram
from vfax.transports.sip.options import Dice, SipOptions
from vfax.transports.sip.outbox import summarise
from vfax.transports.sip.outside import Asking, build_request
from vfax.transports.sip.screen import Desk, screen
from vfax.transports.sip.shown import Shown, seen_in
from vfax.transports.sip.sieve import Nuisance, Sieve
from vfax.transports.sip.syntax import legible, printable
from vfax.transports.sip.transaction import Kind, S, Transaction
from vfax.transports.sip.values import (
    Address,
    CallKey,
    DatagramDropped,
    Destination,
    Flow,
    Hop,
    MessageSeen,
    Output,
    Reflected,
    Report,
    RequestDone,
    RequestKey,
    SipEvent,
)


class Agent:
    """One SIP endpoint. `contact`: our addresses as others see them (an Address: UDP alone); `dice`: tags, pauses.

    `admission` says whom a password is asked of; without one it is nobody.

    Orders about a call that has ended by itself meanwhile (released, refused, hanging up) do nothing: the owner could
    not know yet. A call that never was, or an order its state does not allow, is a MisuseError.
    """

    def __init__(
        self,
        options: SipOptions,
        *,
        contact: Address | Local,
        dice: Dice,
        now: float = 0.0,
        admission: Admission | None = None,
        sieve: Sieve | None = None,
    ) -> None:
        self._admission = Admission((), dice) if admission is None else admission
        self._core = Core(options, contact if isinstance(contact, Local) else Local.of(contact), dice, sieve)
        self._calls: dict[CallKey, Call] = {}
        self._per_host: Counter[str] = Counter()
        self._last_key: CallKey = 0
        self._door = Doorkeeper(self._core)
        self._desk = Desk(self._core, dice.getrandbits(32))
        self._now = now
        self._octets = b""  # that are being dealt with

    # --- three ways out -----------------------------------------------------------------------------

    def take_output(self) -> list[Output]:
        """The messages to send and the connections to close, in order."""
        return self._core.outbox.take_output()

    def take_events(self) -> list[SipEvent]:
        """What happened, in order."""
        return self._core.outbox.take_events()

    def next_timeout(self) -> float:
        """When handle_timeout wants to be called; math.inf for never."""
        core = self._core
        return min(core.transactions.next_timeout(), core.timers.next(), core.errands.next_timeout())

    def take_reports(self) -> list[Report]:
        """What has become known of targets and of our own address, in order."""
        return self._core.outbox.take_reports()

    @property
    def calls(self) -> int:
        """How many calls are not released."""
        return len(self._calls)

    @property
    def parting(self) -> int:
        """How many calls wait for the answer to our BYE or CANCEL, or to be allowed to say it."""
        waiting = (State.LEAVING, State.CANCELLING)
        return sum(call.state in waiting or call.farewell is not None for call in self._calls.values())

    @property
    def transactions(self) -> int:
        """How many transactions live, those that only absorb repeats included."""
        return len(self._core.transactions)

    def knows(self, call_id: str) -> bool:
        """Whether a Call-ID belongs to a call or a transaction."""
        return self._core.knows(call_id)

    @property
    def is_empty(self) -> bool:
        """Whether nothing of any call or transaction is left in any table."""
        core = self._core
        tables = (self._calls, core.dialogs, core.dialling, core.acks, core.timers, core.transactions, core.errands)
        return not any(len(table) for table in tables) and not self._per_host

    # --- time ---------------------------------------------------------------------------------------

    def handle_timeout(self, now: float) -> None:
        """Run everything that is due."""
        core = self._core
        for happening in core.transactions.handle_timeout(now):
            if happening.message is None:
                self._on_failure(happening.transaction, SILENCE, now)
        core.errands.handle_timeout(now)
        while (due := core.timers.pop(now)) is not None:
            self._calls[due[0]].on_timer(due[1], now)
            self._sweep()
        self._sweep()

    @property
    def local(self) -> Local:
        """Our addresses as others see them; a new value stands in the messages from then on."""
        return self._core.local

    @local.setter
    def local(self, value: Local) -> None:
        self._core.local = value

    @property
    def shown(self) -> Shown:
        """What some hosts are told instead of `local`."""
        return self._core.shown

    def place_shown(self, to: Destination) -> str:
        """Our host and port as they stand in a Contact for `to`."""
        return self._core.shown_place(to)

    @property
    def peers(self) -> set[Destination]:
        """Where the messages of dialogs that are up go."""
        return {call.dialog.next_hop() for call in self._calls.values() if call.state is State.UP and call.dialog}

    # --- connections --------------------------------------------------------------------------------

    def uses(self, flow: Flow) -> bool:
        """Whether a call goes by this connection."""
        return any(call.dialog is not None and call.dialog.peer == flow for call in self._calls.values())

    def flow_lost(self, flow: Flow, why: str, now: float) -> None:
        """A connection has gone. Requests that nobody answered yet fail; answers that are due go by a new one.

        A request that has had a provisional answer waits on: the other side connects for the final one (RFC 3261
        18.2.2), and its own limits end it.
        """
        core = self._core
        core.shown.forget(flow)
        for transaction in core.transactions.running(partial(leads_by, flow=flow)):
            if not transaction.is_ours:
                transaction.peer = response_hop(transaction.request, flow)
            elif transaction.state in (S.CALLING, S.TRYING):
                self._fail(transaction, why, now)
        for call in self._calls.values():
            call.on_flow_lost(flow)
        self._sweep()

    def unreachable(self, hop: Destination, why: str, now: float) -> None:
        """What was sent to `hop` did not arrive: no connection was made, or its flow had gone. Its requests fail."""
        for transaction in self._core.transactions.running(lambda peer: peer == hop):
            if transaction.is_ours and transaction.state in (S.CALLING, S.TRYING, S.PROCEEDING):
                self._fail(transaction, why, now)
        self._sweep()

    def _fail(self, transaction: Transaction, why: str, now: float) -> None:
        """RFC 3261 17.1.4, 8.1.3.1: a transport error is as good as a 503."""
        self._core.transactions.drop(transaction)
        self._on_failure(transaction, Failure(503, printable(legible(why))[:300]), now)

    def _on_failure(self, transaction: Transaction, failure: Failure, now: float) -> None:
        """No answer will come; a transaction of theirs: no ACK to our failure."""
        errand = self._core.errands.of(transaction)
        if self._try_again(errand, failure, now):
            return
        call = self._call_of(transaction)
        if call is not None:
            call.on_failure(transaction, failure, now)
        elif errand is not None:
            self._on_done(errand, failure.status, failure.reason, None, None)

    def _try_again(self, errand: Errand | None, failure: Failure, now: float) -> bool:
        """Whether the request is on its way once more."""
        if errand is None:
            return False
        call = self._calls.get(errand.call) if errand.call is not None else None
        if errand.call is not None and (call is None or not call.awaits(errand)):
            self._core.errands.close(errand)
        return self._core.errands.try_again(errand, failure, now)

    def _sweep(self) -> None:
        """Take released calls out of the table, and ACKs whose transaction is over."""
        core = self._core
        for key in core.gone:
            call = self._calls.pop(key)
            if call.host:
                self._per_host[call.host] -= 1
                if not self._per_host[call.host]:
                    del self._per_host[call.host]
        core.gone.clear()
        ended = core.transactions.take_ended()
        core.acks.forget(ended)
        core.errands.forget(ended)

    # --- orders -------------------------------------------------------------------------------------

    def invite(
        self,
        target_uri: str,
        *,
        sdp: bytes,
        from_user: str,
        from_name: str = "",
        targets: Sequence[Hop],
        now: float,
        account: Account = NO_ACCOUNT,
        extra_headers: Sequence[tuple[str, str]] = (),
    ) -> CallKey:
        """Dial `target_uri` by the first of `targets` that can be reached. `sdp` is our offer; empty asks for theirs.

        `from_user` may bring its domain (`user@domain`). `extra_headers` may hold anything but what makes the dialog,
        Route included. Raises MisuseError for what cannot be sent.
        """
        key = self._last_key + 1
        invitation = Invitation(
            target_uri=target_uri,
            sdp=sdp,
            from_user=from_user,
            from_name=from_name,
            targets=targets,
            account=account,
            extra_headers=extra_headers,
        )
        self._calls[key] = CallingSide(self._core, key, invitation, now)
        self._last_key = key
        return key

    def request(self, asking: Asking, now: float) -> RequestKey:
        """Send an OPTIONS or a REGISTER. RequestDone brings its end. Raises MisuseError for what cannot be sent."""
        request = build_request(self._core, asking)
        self._last_key += 1
        self._core.errands.begin(
            request,
            list(asking.targets),
            now,
            call=None,
            purpose=asking.purpose,
            key=self._last_key,
            account=asking.account,
            keyring=asking.keyring,
            former=asking.former,
        )
        return self._last_key

    def _on_done(self, errand: Errand, status: int, reason: str, response: Response | None, flow: Flow | None) -> None:
        if errand.key is not None:
            text = printable(legible(errand.why or reason))
            contact = errand.transaction.request.headers.first("contact") or ""
            self._core.outbox.tell(RequestDone(errand.key, status, text, errand.cseq, response, flow, contact))

    def ring(self, call: CallKey, now: float) -> None:
        """Tell the caller that it rings (180). May be said again."""
        if (incoming := self._incoming(call)) is not None:
            incoming.ring(now)

    def assign(self, call: CallKey, account: Account) -> None:
        """By which account a call came in: its policy and its credentials hold for what we ask inside the call."""
        if (incoming := self._incoming(call)) is not None:
            incoming.assign(account)

    def progress(self, call: CallKey, sdp: bytes, now: float) -> None:
        """Answer (or offer, where the INVITE did not) before the call is taken, in a 183 with `sdp`.

        It is reliable where the caller can have it so; OfferAccepted brings the answer to an offer. A caller who cannot
        gets no early offer.
        """
        if (incoming := self._incoming(call)) is not None:
            incoming.progress(sdp, now)

    def answer(self, call: CallKey, sdp: bytes, now: float) -> None:
        """Answer with 200 and `sdp`: our answer, or our offer when the INVITE had none (Confirmed brings theirs)."""
        if (incoming := self._incoming(call)) is not None:
            incoming.answer(sdp, now)

    def refuse(
        self, call: CallKey, status: int, now: float, reason: str = "", *, retry_after: int | None = None
    ) -> None:
        """Refuse with a status from 300 to 699; `reason` replaces the usual phrase, `retry_after` is in seconds."""
        if not 300 <= status <= 699:
            raise MisuseError(f"{status} refuses nothing")
        if (incoming := self._incoming(call)) is not None:
            incoming.refuse(status, now, reason, retry_after)
            self._sweep()

    def offer(self, call: CallKey, sdp: bytes, now: float) -> None:
        """Send a re-INVITE; it waits for the ACK to our 200 where that is still to come.

        Ends in OfferAccepted, OfferRefused, or, when the peer's offer won the glare, in Reoffered alone.
        """
        if (live := self._live(call)) is not None:
            live.offer(sdp, now)

    def update(self, call: CallKey, sdp: bytes, now: float, fork: str = "") -> None:
        """Offer by UPDATE: inside a call, or in the branch `fork` of one that nobody has answered yet.

        There the first offer has had its answer: Progress.settled, or our `progress` and PRACK. Ends as `offer` does.
        """
        if (live := self._live(call)) is not None:
            live.update(sdp, now, fork)

    def refresh(self, call: CallKey, sdp: bytes, now: float) -> None:
        """Refresh the session with `sdp`, which is what runs (RefreshDue). Ends in RefreshEnded."""
        if (live := self._live(call)) is not None:
            live.refresh(sdp, now)

    def accept_offer(self, call: CallKey, sdp: bytes, now: float, fork: str = "") -> None:
        """Answer the peer's Reoffered with `sdp`; also the offer that Answered brought."""
        if (live := self._live(call)) is not None:
            live.accept_offer(sdp, now, fork)

    def refuse_offer(self, call: CallKey, status: int, now: float, fork: str = "") -> None:
        """Refuse the peer's Reoffered (488 ...); the session stays as it was.

        An offer that its message cannot have refused (in a 2xx or a reliable response) ends the call.
        """
        if not 300 <= status <= 699:
            raise MisuseError(f"{status} refuses nothing")
        if (live := self._live(call)) is not None:
            live.refuse_offer(status, now, fork)
            self._sweep()

    def follow(self, call: CallKey, places: Sequence[Place], now: float) -> None:
        """Go on with a call that was Redirected: what its URIs lead to, in their order. Empty: it has failed."""
        live = self._live(call)
        if live is None:
            return
        if not isinstance(live, CallingSide):
            raise MisuseError(f"call {call} is not one we made")
        live.follow(places, now)
        self._sweep()

    def hang_up(self, call: CallKey, now: float, reason: str = "") -> None:
        """End the call as its state wants it: CANCEL, 603, BYE, or BYE after the ACK. Released will follow.

        `reason` is a Reason value (`Q.850;cause=16`) or plain text.
        """
        if (live := self._live(call)) is not None:
            live.hang_up(now, reason)
            self._sweep()

    def _live(self, key: CallKey) -> Call | None:
        """The call, None when it has ended by itself."""
        if not 0 < key <= self._last_key:
            raise MisuseError(f"there never was a call {key}")
        call = self._calls.get(key)
        return None if call is None or call.state in ENDED else call

    def _incoming(self, key: CallKey) -> CalledSide | None:
        call = self._live(key)
        if call is not None and not isinstance(call, CalledSide):
            raise MisuseError(f"call {key} is one we made")
        return call

    # --- messages -----------------------------------------------------------------------------------

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        """Take one datagram, or one message of a stream."""
        if not data.strip(b"\r\n\0"):
            return  # keep-alive (RFC 5626 3.5.1 and its kin)
        self._octets = data
        try:
            message = parse_datagram(data, self._core.options)
            check(message)
        except MessageError as why:
            self.reject(why, flow, close=why.request is None)  # without a request it speaks something else
            return
        if isinstance(message, Response):
            self._on_response(message, flow, now)
        else:
            stamp(message, flow.remote)
            self._on_request(message, flow, now)
        self._sweep()

    def reject(self, why: MessageError, flow: Flow, *, close: bool = True) -> None:
        """Answer what could be read of a request that is none; a stream that cannot be framed ends here."""
        self._drop(flow, str(why))
        self._desk.refuse(why, flow)
        if close and flow.transport.reliable:
            self._core.outbox.close(flow)

    def _drop(self, flow: Flow, why: str) -> None:
        self._core.outbox.tell(DatagramDropped(flow.remote, printable(legible(why))[:300]))

    def _seen(self, call: CallKey | None, flow: Flow, message: Message) -> None:
        seen = MessageSeen(call, False, flow.remote, summarise(message), self._octets, flow.transport)
        self._core.outbox.tell(seen)

    def _call_of(self, transaction: Transaction) -> Call | None:
        return self._calls.get(transaction.call) if transaction.call is not None else None

    # --- responses ----------------------------------------------------------------------------------

    def _on_response(self, response: Response, flow: Flow, now: float) -> None:
        core = self._core
        if len(response.headers.all("via")) > 1 or "," in response.headers.all("via")[0]:
            self._drop(flow, "a response with several Via values is not for us")  # RFC 3261 8.1.3.3
            return
        found = core.transactions.find_client(response)
        if found is None:
            self._drop(flow, f"{response.status} to no request of ours")
            return
        self._door.prove(flow, now)
        self._seen(found.call, flow, response)
        self._look_at(found, response, flow)
        for happening in core.transactions.receive_response(found, response, now):
            self._on_answer(happening.transaction, response, flow, now)

    def _look_at(self, transaction: Transaction, response: Response, flow: Flow) -> None:
        """What an answer tells of the way it came: the target is there, and this is how it sees us."""
        core, peer = self._core, transaction.peer
        if (errand := core.errands.of(transaction)) is not None:
            core.errands.note_answer(errand)
        if not core.options.learn_address or (peer.transport, peer.address[0]) != (flow.transport, flow.remote[0]):
            return
        seen, ours = seen_in(response), core.local.towards(flow)
        if seen is None or (":" in seen[0]) is not (":" in ours[0]):
            return
        if flow.transport.reliable and seen[0] == ours[0]:
            seen = ours  # a connection has a port of its own; it is the listener that is to be reached
        if core.shown.learn(flow, seen, ours):
            core.outbox.report(Reflected(flow, seen))

    def _on_answer(self, transaction: Transaction, response: Response, flow: Flow, now: float) -> None:
        core, status = self._core, response.status
        success = transaction.kind is Kind.INVITE_CLIENT and 200 <= status < 300
        if success and core.acknowledge_again(transaction, response):
            return
        errand = core.errands.of(transaction)
        if errand is not None and status < 200:
            core.errands.note_provisional(errand)
        elif status >= 300 and self._try_again(errand, Failure(status, response.reason, response), now):
            return
        call = self._call_of(transaction)
        if call is not None:
            call.on_response(transaction, response, now)
        elif success:
            core.dismiss(transaction, response, now, NO_ACCOUNT if errand is None else errand.account)
        elif errand is not None and status >= 200:
            core.errands.close(errand)
            self._on_done(errand, status, response.reason, response, flow)
        elif errand is None and status < 200:
            core.errands.on_late_provisional(transaction, now)

    # --- requests -----------------------------------------------------------------------------------

    def _on_request(self, request: Request, flow: Flow, now: float) -> None:
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
        call = self._call_of(transaction) if transaction is not None and failed else self._dialog_of(request)
        if call is None and transaction is None:
            if request.to.tag != self._desk.tag(request):  # else of a failure that left no state
                self._drop(flow, "ACK to nothing of ours")
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
        call = self._call_of(invite)
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
        call = self._dialog_of(request)
        if call is not None and not self._door.hears_in(call, flow, now):
            call = None
        key = call.key if call is not None else None
        if request.method != "INVITE" or request.to.tag:  # a new call is seen once it has its key
            self._seen(key, flow, request)
        try:
            refusal = screen(request, self._core)
        except DecodeError as why:
            self._drop(flow, str(why))
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
            self._desk.options(request, flow, key)
        elif call is None:
            self._desk.answer(request, flow, 481, None)  # BYE, UPDATE or PRACK outside any dialog
        elif self._core.transactions.full and request.method != "BYE":
            self._desk.answer(request, flow, 503, key, fields=self._come_back_later())
        else:
            call.on_request(self._begin(request, flow, now, call=call.key), now)

    def _come_back_later(self) -> Fields:
        return (("Retry-After", str(self._core.options.retry_after)),)

    def _on_invite(self, request: Request, flow: Flow, user: str, now: float) -> None:
        """A new call, if there is room (RFC 3261 21.5.4)."""
        core, options = self._core, self._core.options
        crowded = len(self._calls) >= options.max_calls or core.transactions.full
        crowded = crowded or not self._door.has_room(self._calls.values(), flow)
        if crowded or self._per_host[flow.remote[0]] >= options.max_calls_per_source:  # Limit: calls and transactions
            self._seen(None, flow, request)
            self._desk.answer(request, flow, 503, None, fields=self._come_back_later())
            return
        self._last_key += 1
        key = self._last_key
        self._seen(key, flow, request)
        transaction = self._begin(request, flow, now, call=key)
        self._calls[key] = CalledSide(core, key, transaction, flow, now)
        self._per_host[flow.remote[0]] += 1
        core.outbox.tell(incoming_call(key, request, flow, user))

    def _begin(self, request: Request, flow: Flow, now: float, *, call: CallKey | None) -> Transaction:
        way = response_way(request, flow, symmetric=self._core.options.symmetric)
        return self._core.transactions.start_server(request, way, now, call=call)

    def _dialog_of(self, request: Request) -> Call | None:
        """The call a request with a To tag belongs to (RFC 3261 12.2.2)."""
        core, to_tag = self._core, request.to.tag
        if not to_tag:
            return None
        key = core.dialogs.get((request.call_id, to_tag, request.from_.tag))
        if key is None:
            key = core.dialling.get((request.call_id, to_tag))
        return self._calls.get(key) if key is not None else None
