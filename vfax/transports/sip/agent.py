"""The SIP user agent: messages and orders in, messages and events out.

Owns      the owner's orders, requests outside calls, responses, time, connections that are lost.
Not here  requests that come in (reception.py), the calls by their keys (callbook.py), sockets and clocks (endpoint.py),
          SDP (sdp.py), what follows a failed request (retry.py).
Source    RFC 3261 (June 2002) 8.1, 11, 13, 17, 18; RFC 3311; RFC 3581.

Times are seconds on one monotonic clock. Nothing a peer sends raises. MisuseError is for our own caller's mistakes.
"""

from collections.abc import Sequence
from functools import partial

from vfax.errors import MisuseError
from vfax.transports.sip.account import NO_ACCOUNT, Account
from vfax.transports.sip.admission import Admission
from vfax.transports.sip.callbook import CallBook
from vfax.transports.sip.caller import CallingSide, Invitation
from vfax.transports.sip.calls import State
from vfax.transports.sip.compose import response_hop, stamp
from vfax.transports.sip.core import Core
from vfax.transports.sip.doorkeeper import Doorkeeper
from vfax.transports.sip.errand import SILENCE, Errand, Failure, Place
from vfax.transports.sip.hops import Local, leads_by
from vfax.transports.sip.message import MessageError, Response, check, parse_datagram
from vfax.transports.sip.options import Dice, SipOptions
from vfax.transports.sip.outside import Asking, build_request
from vfax.transports.sip.reception import Reception
from vfax.transports.sip.screen import Desk
from vfax.transports.sip.shown import Shown, seen_in
from vfax.transports.sip.sieve import Sieve
from vfax.transports.sip.syntax import legible, printable
from vfax.transports.sip.transaction import Kind, S, Transaction
from vfax.transports.sip.values import (
    Address,
    CallKey,
    Destination,
    Flow,
    Hop,
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
        admission = Admission((), dice) if admission is None else admission
        self._core = Core(options, contact if isinstance(contact, Local) else Local.of(contact), dice, sieve)
        self._calls = CallBook(self._core)
        self._door = Doorkeeper(self._core)
        self._desk = Desk(self._core, dice.getrandbits(32))
        self._reception = Reception(self._core, self._calls, admission, self._door, self._desk)

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
        return sum(call.state in waiting or call.farewell is not None for call in self._calls)

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
        tables = (core.dialogs, core.dialling, core.acks, core.timers, core.transactions, core.errands)
        return not any(len(table) for table in tables) and self._calls.is_empty

    # --- time ---------------------------------------------------------------------------------------

    def handle_timeout(self, now: float) -> None:
        """Run everything that is due."""
        core = self._core
        for happening in core.transactions.handle_timeout(now):
            if happening.message is None:
                self._on_failure(happening.transaction, SILENCE, now)
        core.errands.handle_timeout(now)
        while (due := core.timers.pop(now)) is not None:
            if (call := self._calls.get(due[0])) is not None:
                call.on_timer(due[1], now)
            self._calls.sweep()
        self._calls.sweep()

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
        return {call.dialog.next_hop() for call in self._calls if call.state is State.UP and call.dialog}

    # --- connections --------------------------------------------------------------------------------

    def uses(self, flow: Flow) -> bool:
        """Whether a call goes by this connection."""
        return any(call.dialog is not None and call.dialog.peer == flow for call in self._calls)

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
        for call in self._calls:
            call.on_flow_lost(flow)
        self._calls.sweep()

    def unreachable(self, hop: Destination, why: str, now: float, octets: bytes = b"") -> None:
        """What was sent to `hop` did not arrive: no connection was made, or its flow had gone. Its requests fail.

        Of a datagram `octets` are given, as much of it as came back (RFC 3261 18.4): its own request fails.
        """
        if octets:
            self._undelivered(octets, hop, why, now)
        else:
            for transaction in self._core.transactions.running(lambda peer: peer == hop):
                if transaction.is_ours and transaction.state in (S.CALLING, S.TRYING, S.PROCEEDING):
                    self._fail(transaction, why, now)
        self._calls.sweep()

    def _undelivered(self, octets: bytes, hop: Destination, why: str, now: float) -> None:
        """Only who saw a datagram can send it back, for its branch is in it.

        A request inside a dialog that has no other way goes on being repeated: a peer that is not there now may be
        there when it is said again.
        """
        found = self._core.transactions.find_sent(octets)
        if found is None or found.peer.address != hop.address or found.state not in (S.CALLING, S.TRYING):
            return
        errand = self._core.errands.of(found)
        if errand is not None and (errand.dialog is None or errand.targets):
            self._fail(found, why, now)

    def _fail(self, transaction: Transaction, why: str, now: float) -> None:
        """RFC 3261 17.1.4, 8.1.3.1: a transport error is as good as a 503."""
        self._core.transactions.drop(transaction)
        self._on_failure(transaction, Failure(503, printable(legible(why))[:300]), now)

    def _on_failure(self, transaction: Transaction, failure: Failure, now: float) -> None:
        """No answer will come; a transaction of theirs: no ACK to our failure."""
        errand = self._core.errands.of(transaction)
        if self._try_again(errand, failure, now):
            return
        if (call := self._calls.of(transaction)) is not None:
            call.on_failure(transaction, failure, now)
        elif errand is not None:
            self._on_done(errand, failure.status, failure.reason, None, None)

    def _try_again(self, errand: Errand | None, failure: Failure, now: float) -> bool:
        """Whether the request is on its way once more."""
        if errand is None:
            return False
        call = self._calls.get(errand.call)
        if errand.call is not None and (call is None or not call.awaits(errand)):
            self._core.errands.close(errand)
        return self._core.errands.try_again(errand, failure, now)

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
        uris: Sequence[str] = (),
        account: Account = NO_ACCOUNT,
        extra_headers: Sequence[tuple[str, str]] = (),
    ) -> CallKey:
        """Dial `target_uri` by the first of `targets` that can be reached. `sdp` is our offer; empty asks for theirs.

        `uris` has the Request-URI for each target, where they differ: `target_uri` is that of the first then.
        `from_user` may bring its domain (`user@domain`). `extra_headers` may hold anything but what makes the dialog,
        Route included. Raises MisuseError for what cannot be sent.
        """
        invitation = Invitation(
            target_uri=target_uri,
            sdp=sdp,
            from_user=from_user,
            from_name=from_name,
            targets=targets,
            uris=uris,
            account=account,
            extra_headers=extra_headers,
        )
        call = CallingSide(self._core, self._calls.next_key, invitation, now)
        self._calls.enter(call)
        return call.key

    def request(self, asking: Asking, now: float) -> RequestKey:
        """Send an OPTIONS or a REGISTER. RequestDone brings its end. Raises MisuseError for what cannot be sent."""
        request = build_request(self._core, asking)
        key = self._calls.take_key()
        self._core.errands.begin(
            request,
            list(asking.targets),
            now,
            call=None,
            purpose=asking.purpose,
            key=key,
            account=asking.account,
            keyring=asking.keyring,
            former=asking.former,
        )
        return key

    def _on_done(self, errand: Errand, status: int, reason: str, response: Response | None, flow: Flow | None) -> None:
        if errand.key is not None:
            text = printable(legible(errand.why or reason))
            contact = errand.transaction.request.headers.first("contact") or ""
            self._core.outbox.tell(RequestDone(errand.key, status, text, errand.cseq, response, flow, contact))

    def ring(self, call: CallKey, now: float) -> None:
        """Tell the caller that it rings (180). May be said again."""
        if (incoming := self._calls.incoming(call)) is not None:
            incoming.ring(now)

    def assign(self, call: CallKey, account: Account) -> None:
        """By which account a call came in: its policy and its credentials hold for what we ask inside the call."""
        if (incoming := self._calls.incoming(call)) is not None:
            incoming.assign(account)

    def missing(self, call: CallKey) -> str:
        """The extension (option tag) that the policy of a call's account requires and its caller does not know.

        "" for none. Such a call is to be refused with 421, which names it.
        """
        incoming = self._calls.incoming(call)
        return incoming.missing if incoming is not None else ""

    def progress(self, call: CallKey, sdp: bytes, now: float) -> None:
        """Answer (or offer, where the INVITE did not) before the call is taken, in a 183 with `sdp`.

        It is reliable where the caller can have it so; OfferAccepted brings the answer to an offer. A caller who cannot
        gets no early offer.
        """
        if (incoming := self._calls.incoming(call)) is not None:
            incoming.progress(sdp, now)

    def answer(self, call: CallKey, sdp: bytes, now: float) -> None:
        """Answer with 200 and `sdp`: our answer, or our offer when the INVITE had none (Confirmed brings theirs)."""
        if (incoming := self._calls.incoming(call)) is not None:
            incoming.answer(sdp, now)

    def refuse(
        self, call: CallKey, status: int, now: float, reason: str = "", *, retry_after: int | None = None
    ) -> None:
        """Refuse with a status from 300 to 699; `reason` replaces the usual phrase, `retry_after` is in seconds."""
        if not 300 <= status <= 699:
            raise MisuseError(f"{status} refuses nothing")
        if (incoming := self._calls.incoming(call)) is not None:
            incoming.refuse(status, now, reason, retry_after)
            self._calls.sweep()

    def offer(self, call: CallKey, sdp: bytes, now: float) -> None:
        """Send a re-INVITE; it waits for the ACK to our 200 where that is still to come.

        Ends in OfferAccepted, OfferRefused, or, when the peer's offer won the glare, in Reoffered alone.
        """
        if (live := self._calls.live(call)) is not None:
            live.offer(sdp, now)

    def update(self, call: CallKey, sdp: bytes, now: float, fork: str = "") -> None:
        """Offer by UPDATE: inside a call, or in the branch `fork` of one that nobody has answered yet.

        There the first offer has had its answer: Progress.settled, or our `progress` and PRACK. Ends as `offer` does.
        """
        if (live := self._calls.live(call)) is not None:
            live.update(sdp, now, fork)

    def refresh(self, call: CallKey, sdp: bytes, now: float) -> None:
        """Refresh the session with `sdp`, which is what runs (RefreshDue). Ends in RefreshEnded."""
        if (live := self._calls.live(call)) is not None:
            live.refresh(sdp, now)

    def accept_offer(self, call: CallKey, sdp: bytes, now: float, fork: str = "") -> None:
        """Answer the peer's Reoffered with `sdp`; also the offer that Answered brought."""
        if (live := self._calls.live(call)) is not None:
            live.accept_offer(sdp, now, fork)

    def refuse_offer(self, call: CallKey, status: int, now: float, fork: str = "") -> None:
        """Refuse the peer's Reoffered (488 ...); the session stays as it was.

        An offer that its message cannot have refused (in a 2xx or a reliable response) ends the call.
        """
        if not 300 <= status <= 699:
            raise MisuseError(f"{status} refuses nothing")
        if (live := self._calls.live(call)) is not None:
            live.refuse_offer(status, now, fork)
            self._calls.sweep()

    def follow(self, call: CallKey, places: Sequence[Place], now: float) -> None:
        """Go on with a call that was Redirected: what its URIs lead to, in their order. Empty: it has failed."""
        live = self._calls.live(call)
        if live is None:
            return
        if not isinstance(live, CallingSide):
            raise MisuseError(f"call {call} is not one we made")
        live.follow(places, now)
        self._calls.sweep()

    def found(self, call: CallKey, uri: str, hops: Sequence[Hop]) -> None:
        """Where the requests of a call may go whose WayWanted named `uri`, best first."""
        if (live := self._calls.live(call)) is not None:
            live.learn_way(uri, hops)

    def hang_up(self, call: CallKey, now: float, reason: str = "") -> None:
        """End the call as its state wants it: CANCEL, 603, BYE, or BYE after the ACK. Released will follow.

        `reason` is a Reason value (`Q.850;cause=16`) or plain text.
        """
        if (live := self._calls.live(call)) is not None:
            live.hang_up(now, reason)
            self._calls.sweep()

    # --- messages -----------------------------------------------------------------------------------

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        """Take one datagram, or one message of a stream."""
        if not data.strip(b"\r\n\0"):
            return  # keep-alive (RFC 5626 3.5.1 and its kin)
        try:
            message = parse_datagram(data, self._core.options)
            check(message)
        except MessageError as why:
            self.reject(why, flow, close=why.request is None)  # without a request it speaks something else
            return
        if isinstance(message, Response):
            self._on_response(message, data, flow, now)
        else:
            stamp(message, flow.remote)
            self._reception.receive(message, data, flow, now)
        self._calls.sweep()

    def reject(self, why: MessageError, flow: Flow, *, close: bool = True) -> None:
        """Answer what could be read of a request that is none; a stream that cannot be framed ends here."""
        self._core.outbox.drop(flow, str(why))
        self._desk.refuse(why, flow)
        if close and flow.transport.reliable:
            self._core.outbox.close(flow)

    # --- responses ----------------------------------------------------------------------------------

    def _on_response(self, response: Response, octets: bytes, flow: Flow, now: float) -> None:
        core = self._core
        if len(response.headers.all("via")) > 1 or "," in response.headers.all("via")[0]:
            self._core.outbox.drop(flow, "a response with several Via values is not for us")  # RFC 3261 8.1.3.3
            return
        found = core.transactions.find_client(response)
        if found is None:
            self._core.outbox.drop(flow, f"{response.status} to no request of ours")
            return
        self._door.prove(flow, now)
        core.outbox.saw(response, octets, flow, found.call)
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
        elif errand is not None:
            core.errands.close(errand)
        call = self._calls.of(transaction)
        if call is not None:
            call.on_response(transaction, response, now)
        elif success:
            core.dismiss(transaction, response, now, NO_ACCOUNT if errand is None else errand.account)
        elif errand is not None and status >= 200:
            self._on_done(errand, status, response.reason, response, flow)
        elif errand is None and status < 200:
            core.errands.on_late_provisional(transaction, now)
