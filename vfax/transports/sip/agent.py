"""The SIP user agent: datagrams and orders in, datagrams and events out.

Owns      what a request outside any call is answered with, admission of calls, routing of messages to calls, the
          owner's orders.
Not here  sockets and clocks (udp.py), SDP (sdp.py), TCP, TLS, registration and credentials (not in this release).
Source    RFC 3261 (June 2002) 8.2, 9.2, 11, 12.2.2, 13, 18; RFC 3311; RFC 3581.

Times are seconds on one monotonic clock. Nothing a peer sends raises. MisuseError is for our own caller's mistakes.
"""

import zlib
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from vfax.errors import DecodeError, MisuseError
from vfax.transports.sip.body import SDP, sdp_of
from vfax.transports.sip.callee import CalledSide
from vfax.transports.sip.caller import CallingSide, Invitation
from vfax.transports.sip.calls import ENDED, Call, sdp_in
from vfax.transports.sip.compose import Fields, respond, response_address, stamp
from vfax.transports.sip.core import ALLOW, Core
from vfax.transports.sip.headers import NameAddr
from vfax.transports.sip.message import KNOWN_METHODS, Message, MessageError, Request, Response, check, parse_datagram
from vfax.transports.sip.options import Dice, SipOptions
from vfax.transports.sip.outbox import summarise
from vfax.transports.sip.syntax import legible, printable
from vfax.transports.sip.transaction import Kind, S, Transaction
from vfax.transports.sip.values import (
    Address,
    CallKey,
    DatagramDropped,
    IncomingCall,
    MessageSeen,
    SipEvent,
)

SERVED: Final = frozenset({"INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "UPDATE"})
SCHEMES: Final = frozenset({"sip", "sips", "tel"})

Refusal = tuple[int, Fields]


class Agent:
    """One SIP endpoint on UDP. `contact` is our address as others see it; `dice` gives tags, branches and pauses.

    Orders about a call that has ended by itself meanwhile (released, refused, hanging up) do nothing: the owner could
    not know yet. A call that never was, or an order its state does not allow, is a MisuseError.
    """

    def __init__(self, options: SipOptions, *, contact: Address, dice: Dice, now: float = 0.0) -> None:
        self._core = Core(options, contact, dice)
        self._calls: dict[CallKey, Call] = {}
        self._per_host: Counter[str] = Counter()
        self._last_key: CallKey = 0
        self._salt = dice.getrandbits(32)
        self._now = now
        self._datagram = b""  # that is being dealt with

    # --- three ways out -----------------------------------------------------------------------------

    def take_output(self) -> list[tuple[bytes, Address]]:
        """The datagrams to send, in order."""
        return self._core.outbox.take_output()

    def take_events(self) -> list[SipEvent]:
        """What happened, in order."""
        return self._core.outbox.take_events()

    def next_timeout(self) -> float:
        """When handle_timeout wants to be called; math.inf for never."""
        return min(self._core.transactions.next_timeout(), self._core.timers.next())

    @property
    def calls(self) -> int:
        """How many calls are not released."""
        return len(self._calls)

    @property
    def transactions(self) -> int:
        """How many transactions live, those that only absorb repeats included."""
        return len(self._core.transactions)

    @property
    def is_empty(self) -> bool:
        """Whether nothing of any call or transaction is left in any table."""
        core = self._core
        tables = (self._calls, core.dialogs, core.dialling, core.acks, core.timers, core.transactions)
        return not any(len(table) for table in tables) and not self._per_host

    # --- time ---------------------------------------------------------------------------------------

    def handle_timeout(self, now: float) -> None:
        """Run everything that is due."""
        core = self._core
        for happening in core.transactions.handle_timeout(now):
            call = self._call_of(happening.transaction)
            if call is not None and happening.message is None:
                call.on_silence(happening.transaction, now)
        while (due := core.timers.pop(now)) is not None:
            self._calls[due[0]].on_timer(due[1], now)
            self._sweep()
        self._sweep()

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
        core.acks.forget(core.transactions.take_ended())

    # --- orders -------------------------------------------------------------------------------------

    def invite(
        self,
        target_uri: str,
        *,
        sdp: bytes,
        from_user: str,
        from_name: str = "",
        destination: Address,
        now: float,
        extra_headers: Sequence[tuple[str, str]] = (),
    ) -> CallKey:
        """Dial `target_uri` by way of `destination`. `sdp` is our offer; empty asks for theirs (late offer).

        `from_user` may bring its domain (`user@domain`). `extra_headers` may hold anything but what makes the dialog,
        Route included. Raises MisuseError for what cannot be sent.
        """
        key = self._last_key + 1
        invitation = Invitation(
            target_uri=target_uri,
            sdp=sdp,
            from_user=from_user,
            from_name=from_name,
            destination=destination,
            extra_headers=extra_headers,
        )
        self._calls[key] = CallingSide(self._core, key, invitation, now)
        self._last_key = key
        return key

    def ring(self, call: CallKey, now: float) -> None:
        """Tell the caller that it rings (180). May be said again."""
        if (incoming := self._incoming(call)) is not None:
            incoming.ring(now)

    def answer(self, call: CallKey, sdp: bytes, now: float) -> None:
        """Answer with 200 and `sdp`: our answer, or our offer when the INVITE had none (Confirmed brings theirs)."""
        if (incoming := self._incoming(call)) is not None:
            incoming.answer(sdp, now)

    def refuse(self, call: CallKey, status: int, now: float, reason: str = "") -> None:
        """Refuse with a status from 300 to 699; `reason` replaces the usual phrase."""
        if not 300 <= status <= 699:
            raise MisuseError(f"{status} refuses nothing")
        if (incoming := self._incoming(call)) is not None:
            incoming.refuse(status, now, reason)
            self._sweep()

    def offer(self, call: CallKey, sdp: bytes, now: float) -> None:
        """Send a re-INVITE; it waits for the ACK to our 200 where that is still to come.

        Ends in OfferAccepted, OfferRefused, or, when the peer's offer won the glare, in Reoffered alone.
        """
        if (live := self._live(call)) is not None:
            live.offer(sdp, now)

    def accept_offer(self, call: CallKey, sdp: bytes, now: float) -> None:
        """Answer the peer's Reoffered with 200 and `sdp`."""
        if (live := self._live(call)) is not None:
            live.accept_offer(sdp, now)

    def refuse_offer(self, call: CallKey, status: int, now: float) -> None:
        """Refuse the peer's Reoffered (488 ...); the session stays as it was."""
        if not 300 <= status <= 699:
            raise MisuseError(f"{status} refuses nothing")
        if (live := self._live(call)) is not None:
            live.refuse_offer(status, now)

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

    # --- datagrams ----------------------------------------------------------------------------------

    def receive(self, data: bytes, source: Address, now: float) -> None:
        """Take one datagram."""
        if not data.strip(b"\r\n\0"):
            return  # keep-alive (RFC 5626 3.5.1 and its kin)
        self._datagram = data
        try:
            message = parse_datagram(data, self._core.options)
            check(message)
        except MessageError as why:
            self._reject(why, source)
            return
        if isinstance(message, Response):
            self._on_response(message, source, now)
        else:
            stamp(message, source)
            self._on_request(message, source, now)
        self._sweep()

    def _reject(self, why: MessageError, source: Address) -> None:
        """A 400 and its like, where there is a request to answer."""
        self._drop(source, str(why))
        request = why.request
        if request is None or request.method == "ACK" or "via" not in request.headers:
            return
        with suppress(DecodeError):  # an unreadable Via: the answer goes where the request came from
            stamp(request, source)
            source = response_address(request, source, symmetric=self._core.options.symmetric)
        self._reply_to(request, source, why.status)

    def _drop(self, source: Address, why: str) -> None:
        self._core.outbox.tell(DatagramDropped(source, printable(legible(why))[:300]))

    def _seen(self, call: CallKey | None, source: Address, message: Message) -> None:
        self._core.outbox.tell(MessageSeen(call, False, source, summarise(message), self._datagram))

    def _call_of(self, transaction: Transaction) -> Call | None:
        return self._calls.get(transaction.call) if transaction.call is not None else None

    # --- responses ----------------------------------------------------------------------------------

    def _on_response(self, response: Response, source: Address, now: float) -> None:
        core = self._core
        if len(response.headers.all("via")) > 1 or "," in response.headers.all("via")[0]:
            self._drop(source, "a response with several Via values is not for us")  # RFC 3261 8.1.3.3
            return
        found = core.transactions.find_client(response)
        if found is None:
            self._drop(source, f"{response.status} to no request of ours")
            return
        self._seen(found.call, source, response)
        for happening in core.transactions.receive_response(found, response, now):
            self._on_answer(happening.transaction, response, now)

    def _on_answer(self, transaction: Transaction, response: Response, now: float) -> None:
        success = transaction.kind is Kind.INVITE_CLIENT and 200 <= response.status < 300
        if success and self._core.acknowledge_again(transaction, response):
            return
        call = self._call_of(transaction)
        if call is not None:
            call.on_response(transaction, response, now)
        elif success:
            self._core.dismiss(transaction, response, now)

    # --- requests -----------------------------------------------------------------------------------

    def _on_request(self, request: Request, source: Address, now: float) -> None:
        core = self._core
        transaction = core.transactions.find_server(request)
        if request.method == "ACK":
            self._on_ack(request, transaction, source, now)
        elif transaction is not None:
            self._seen(transaction.call, source, request)
            core.transactions.receive_repeat(transaction, request, now)
        elif request.method == "CANCEL":
            self._on_cancel(request, source, now)
        else:
            self._on_new(request, source, now)

    def _on_ack(self, request: Request, transaction: Transaction | None, source: Address, now: float) -> None:
        """An ACK to a failure belongs to its transaction, one to a 2xx to its dialog.

        Quirk: some peers give the ACK to a 2xx the branch of the INVITE; it then matches the transaction, too.
        """
        failed = transaction is not None and transaction.state is not S.ACCEPTED
        call = self._call_of(transaction) if transaction is not None and failed else self._dialog_of(request)
        if call is None and transaction is None:
            self._drop(source, "ACK to nothing of ours")
            return
        self._seen(call.key if call is not None else None, source, request)
        if transaction is None or not failed:
            if call is not None:
                call.on_ack(request, now)
        elif self._core.transactions.receive_repeat(transaction, request, now) and isinstance(call, CalledSide):
            call.on_refusal_acknowledged()

    def _on_cancel(self, request: Request, source: Address, now: float) -> None:
        """RFC 3261 9.2."""
        invite = self._core.transactions.find_server(request, "INVITE")
        if invite is None:
            self._seen(None, source, request)
            self._reply(request, source, 481, None)
            return
        self._seen(invite.call, source, request)
        call = self._call_of(invite)
        transaction = self._begin(request, source, now, call=invite.call)
        self._core.reply(transaction, 200, now, to_tag=self._tag_of(call, request))
        if call is not None:
            call.on_cancel(invite, request, now)

    def _tag_of(self, call: Call | None, request: Request) -> str:
        """RFC 3261 9.2: the To tag of the answer to CANCEL and to its INVITE should be the same."""
        return call.dialog.local_tag if call is not None and call.dialog is not None else self._stable_tag(request)

    def _on_new(self, request: Request, source: Address, now: float) -> None:
        call = self._dialog_of(request)
        if request.method != "INVITE" or request.to.tag:  # a new call is seen once it has its key
            self._seen(call.key if call is not None else None, source, request)
        try:
            refusal = self._screen(request)
        except DecodeError as why:
            self._drop(source, str(why))
            refusal = 400, ()
        if refusal is not None:
            self._reply(request, source, refusal[0], call, fields=refusal[1])
        elif request.method == "INVITE" and not request.to.tag:
            self._on_invite(request, source, now)
        elif request.to.tag and call is None:
            self._reply(request, source, 481, None)
        elif request.method == "OPTIONS":
            self._on_options(request, source, call)
        elif call is None:
            self._reply(request, source, 481, None)  # BYE or UPDATE outside any dialog
        elif self._core.transactions.full and request.method != "BYE":
            self._reply(request, source, 503, call, fields=self._come_back_later())
        else:
            call.on_request(self._begin(request, source, now, call=call.key), now)

    def _come_back_later(self) -> Fields:
        return (("Retry-After", str(self._core.options.retry_after)),)

    def _screen(self, request: Request) -> Refusal | None:
        """The checks of RFC 3261 8.2 in its order. Raises DecodeError for a value that cannot be read."""
        if request.method not in SERVED:
            return (405 if request.method in KNOWN_METHODS else 501), (ALLOW,)
        if request.target.scheme not in SCHEMES:
            return 416, ()
        if self._core.transactions.is_merged(request):
            return 482, ()
        if request.require:
            return 420, (("Unsupported", ", ".join(request.require)),)
        takes_sdp = _takes_sdp(request)
        if request.method not in ("INVITE", "UPDATE"):
            return None
        if sdp_of(request) is None:
            return 415, (("Accept", SDP), ("Accept-Encoding", "identity"))
        if not takes_sdp:
            return 406, (("Warning", f'399 {self._core.options.user_agent} "only application/sdp can be answered"'),)
        return None

    def _on_options(self, request: Request, source: Address, call: Call | None) -> None:
        """RFC 3261 11.2."""
        options = self._core.options
        body = options.options_sdp if _takes_sdp(request) else b""
        fields = [ALLOW, ("Accept", SDP), ("Accept-Encoding", "identity"), ("Accept-Language", "en"), ("Supported", "")]
        fields.append(("Contact", self._core.contact_for(request.target.user_text)))
        if body:
            fields.append(("Content-Type", SDP))
        self._reply(request, source, 200, call, fields=fields, body=body)

    def _on_invite(self, request: Request, source: Address, now: float) -> None:
        """A new call, if there is room (RFC 3261 21.5.4)."""
        core, options = self._core, self._core.options
        crowded = len(self._calls) >= options.max_calls or core.transactions.full
        if crowded or self._per_host[source[0]] >= options.max_calls_per_source:  # Limit: calls and transactions
            self._seen(None, source, request)
            self._reply(request, source, 503, None, fields=self._come_back_later())
            return
        self._last_key += 1
        key = self._last_key
        self._seen(key, source, request)
        transaction = self._begin(request, source, now, call=key)
        self._calls[key] = CalledSide(core, key, transaction, source, now)
        self._per_host[source[0]] += 1
        core.outbox.tell(_incoming_call(key, request, source))

    def _begin(self, request: Request, source: Address, now: float, *, call: CallKey | None) -> Transaction:
        address = response_address(request, source, symmetric=self._core.options.symmetric)
        return self._core.transactions.start_server(request, address, now, call=call)

    def _dialog_of(self, request: Request) -> Call | None:
        """The call a request with a To tag belongs to (RFC 3261 12.2.2)."""
        core, to_tag = self._core, request.to.tag
        if not to_tag:
            return None
        key = core.dialogs.get((request.call_id, to_tag, request.from_.tag))
        if key is None:
            key = core.dialling.get((request.call_id, to_tag))
        return self._calls.get(key) if key is not None else None

    # --- answers without a transaction --------------------------------------------------------------

    def _reply(
        self,
        request: Request,
        source: Address,
        status: int,
        call: Call | None,
        *,
        fields: Fields = (),
        body: bytes = b"",
    ) -> None:
        address = response_address(request, source, symmetric=self._core.options.symmetric)
        self._reply_to(request, address, status, call, fields=fields, body=body)

    def _reply_to(
        self,
        request: Request,
        address: Address,
        status: int,
        call: Call | None = None,
        *,
        fields: Fields = (),
        body: bytes = b"",
    ) -> None:
        """Answer as a stateless UAS (RFC 3261 8.2.7): a repeat of the request gets the very same answer."""
        fields = (*fields, ("Server", self._core.options.user_agent))
        response = respond(request, status, to_tag=self._stable_tag(request), fields=fields, body=body)
        self._core.send(response, address, call.key if call is not None else None)

    def _stable_tag(self, request: Request) -> str:
        seed = "".join(value for name in ("via", "call-id", "from") for value in request.headers.all(name)[:1])
        return f"{zlib.crc32(seed.encode('utf-8', 'surrogateescape'), self._salt):08x}"


def _takes_sdp(request: Request) -> bool:
    accept = request.accept
    return accept is None or any(media.admits(SDP) for media in accept)


def _incoming_call(key: CallKey, request: Request, source: Address) -> IncomingCall:
    caller = request.from_
    with suppress(DecodeError):  # an unreadable identity asserts nothing
        for asserted in request.headers.values("p-asserted-identity")[:1]:
            caller = NameAddr.parse(asserted)
    return IncomingCall(
        call=key,
        source=source,
        request_uri=printable(legible(request.uri)),
        dialled=printable(request.target.user_text),
        caller_uri=printable(legible(caller.uri.text)),
        caller=printable(caller.uri.user_text),
        caller_name=printable(legible(caller.name)),
        call_id=legible(request.call_id),
        offer=sdp_in(request),
        user_agent=printable(legible(request.headers.first("user-agent") or "")),
    )
