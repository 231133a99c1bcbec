"""What agent, calls and exchanges share: queues, transactions, deadlines, tables, fresh names.

Owns      the tables of one agent; Via, Contact and the fields that say who we are; the ACK to a 2xx.
Not here  any decision about a call (calls.py, caller.py, callee.py) or a stray message (reception.py).
Source    RFC 3261 (June 2002) 8.1.1, 13.2.2.4, 18.1.1.
"""

from collections import Counter
from enum import Enum, auto
from typing import Final

from vfax.errors import DecodeError, MisuseError
from vfax.transports.sip.account import NO_ACCOUNT, Account
from vfax.transports.sip.compose import Fields, respond
from vfax.transports.sip.dialog import AckStore, Dialog, DialogId
from vfax.transports.sip.errand import Errand
from vfax.transports.sip.errands import Errands
from vfax.transports.sip.headers import bracketed, parse_hostport
from vfax.transports.sip.hops import Local
from vfax.transports.sip.keyring import FIELD
from vfax.transports.sip.message import Message, Request, Response
from vfax.transports.sip.options import Dice, SipOptions
from vfax.transports.sip.outbox import Outbox, wire
from vfax.transports.sip.policy import DialogPolicy
from vfax.transports.sip.shown import Shown
from vfax.transports.sip.sieve import Sieve
from vfax.transports.sip.syntax import escape_user, quote
from vfax.transports.sip.timers import Timers
from vfax.transports.sip.transaction import COOKIE, Purpose, Transaction, TransactionLayer
from vfax.transports.sip.values import Address, CallKey, Destination, Transport, WayWanted

ALLOW: Final = ("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, PRACK")
TCP_SHUNNED: Final = 600.0  # seconds that an address which refused TCP gets its long requests over UDP at once
MAX_SHUNNED: Final = 256  # Limit: addresses remembered for that


class CallTimer(Enum):
    """Deadlines of a call. In brackets: what starts it / what stops it."""

    UNANSWERED = auto()  # (INVITE came / our final answer)
    RING_AGAIN = auto()  # (180 sent / our final answer): proxies forget after three minutes, RFC 3261 13.3.1.1
    RING_LIMIT = auto()  # (INVITE sent / final answer)
    CANCEL_LIMIT = auto()  # (CANCEL sent / final answer), 64*T1
    OK_REPEAT = auto()  # (2xx sent / its ACK), T1 doubling up to T2
    ACK_LIMIT = auto()  # (2xx sent / its ACK), 64*T1
    GLARE_PAUSE = auto()  # (491 came / peer's offer), RFC 3261 14.1
    OFFER_LIMIT = auto()  # (re-INVITE sent / final answer)
    OFFER_CANCEL = auto()  # (re-INVITE cancelled / final answer), 64*T1
    REOFFER_LIMIT = auto()  # (peer's offer came / owner's word)
    PROVISIONAL_REPEAT = auto()  # (reliable 1xx sent / its PRACK, our final answer), T1 doubling, RFC 3262 3
    PRACK_LIMIT = auto()  # (reliable 1xx sent / its PRACK, our final answer), 64*T1, RFC 3262 3
    REFRESH = auto()  # (2xx that made us the refresher / the next one), half the interval, RFC 4028 7.2
    SESSION_END = auto()  # (2xx with a session interval / the next one), RFC 4028 10


class Core:
    """The shared state of one agent."""

    def __init__(self, options: SipOptions, local: Local, dice: Dice, sieve: Sieve | None = None) -> None:
        if options.domain and not _is_hostport(options.domain):
            raise MisuseError(f"domain = {options.domain!r} is no name of a host")
        self.options = options
        self.local = local
        self.shown = Shown()
        self.dice = dice
        self.sieve = sieve
        self.outbox = Outbox(sieve)
        self.transactions = TransactionLayer(options, self.outbox)
        self.timers: Timers[tuple[CallKey, CallTimer]] = Timers()
        self.errands = Errands(self)
        self.acks = AckStore()
        self.dialogs: dict[DialogId, CallKey] = {}
        self._call_ids: Counter[str] = Counter()  # of the dialogs
        self.dialling: dict[tuple[str, str], CallKey] = {}  # Call-ID and our tag, while no dialog is confirmed
        self.gone: list[CallKey] = []  # released, to be taken out of the agent's table
        self._no_tcp: dict[Address, float] = {}  # until when

    def policy(self, account: Account) -> DialogPolicy:
        """How the dialogs of this account are kept."""
        return account.dialogs or self.options.dialogs

    # --- whose call it is ---------------------------------------------------------------------------

    def enter(self, dialog: DialogId, key: CallKey) -> None:
        """Requests for `dialog` belong to this call from now on."""
        if dialog not in self.dialogs:
            self._call_ids[dialog[0]] += 1
        self.dialogs[dialog] = key

    def leave(self, dialog: DialogId) -> None:
        """The dialog is over."""
        if self.dialogs.pop(dialog, None) is not None:
            self._call_ids[dialog[0]] -= 1
            if not self._call_ids[dialog[0]]:
                del self._call_ids[dialog[0]]

    def seek(self, key: CallKey, dialog: Dialog) -> None:
        """The way of a dialog may be a new one: have the name looked up that it goes to."""
        if uri := dialog.seek():
            self.outbox.tell(WayWanted(key, uri))

    def knows(self, call_id: str) -> bool:
        """Whether a Call-ID is that of a dialog or of a transaction."""
        return call_id in self._call_ids or call_id in self.transactions.call_ids

    # --- fresh names --------------------------------------------------------------------------------

    def token(self) -> str:
        """64 random bits as text: tags, Call-IDs (RFC 3261 19.3 wants at least 32)."""
        return f"{self.dice.getrandbits(64):016x}"

    def place(self, to: Destination) -> str:
        """Our host and port as they stand in a URI or a Via of a message to `to`."""
        host, port = self.local.towards(to)
        return f"{bracketed(host)}:{port}"

    def shown_place(self, to: Destination) -> str:
        """The same as `to` is to reach us, if it has said or was to be told so: for Contact. A Via says what we know,
        so that answers go on telling what others see.
        """
        host, port = self.shown.find(to) or self.local.towards(to)
        return f"{bracketed(host)}:{port or self.local.towards(to)[1]}"

    def via(self, to: Destination) -> str:
        """A Via value with a fresh branch; rport is asked for always (RFC 3581)."""
        return f"SIP/2.0/{to.transport} {self.place(to)};branch={COOKIE}{self.token()};rport"

    def contact_for(self, user: str, to: Destination, *, secure: bool = False) -> str:
        """A Contact value of ours; `user` is not escaped yet. `secure`: the peer's URI is sips (RFC 3261 8.1.1.8)."""
        scheme = "sips" if secure else "sip"
        by = "" if secure or to.transport is Transport.UDP else f";transport={to.transport.lower()}"
        return f"<{scheme}:{escape_user(user or self.options.contact_user)}@{self.shown_place(to)}{by}>"

    def contact_towards(self, request: Request, to: Destination) -> str:
        """The Contact of a request of ours as it is to read on its way to `to`; "" when it has none."""
        value = request.headers.first("contact")
        if value is None or not request.contacts:
            return ""
        uri = request.contacts[0].uri
        return self.contact_for(uri.user_text, to, secure=uri.scheme == "sips") + value.rpartition(">")[2]

    def from_value(self, user: str, name: str, tag: str, to: Destination, domain: str = "") -> str:
        """A From value of ours; a `user` with an @ brings its own domain if that is the name of a host.

        `user` may come from outside (a sender's number): what is no host is part of the user, and escaped.
        """
        local, at, own = user.rpartition("@")
        if not at or not _is_hostport(own):
            local, own = user, ""
        domain = own or bracketed(domain or self.options.domain or self.local.towards(to)[0])
        address = f"sip:{escape_user(local)}@{domain}" if local else f"sip:{domain}"
        return f"{quote(name)} <{address}>;tag={tag}" if name else f"<{address}>;tag={tag}"

    # --- TCP for long requests ----------------------------------------------------------------------

    def may_use_tcp(self, to: Destination, now: float) -> bool:
        """Whether a request that is too long for a datagram may be tried over TCP."""
        return self.local.speaks(Transport.TCP) and self._no_tcp.get(to.address, now) <= now

    def shun_tcp(self, to: Destination, now: float) -> None:
        """It refused TCP."""
        if len(self._no_tcp) >= MAX_SHUNNED:
            self._no_tcp.clear()
        self._no_tcp[to.address] = now + TCP_SHUNNED

    # --- sending ------------------------------------------------------------------------------------

    def reply(
        self,
        transaction: Transaction,
        status: int,
        now: float,
        *,
        to_tag: str = "",
        reason: str = "",
        fields: Fields = (),
        body: bytes = b"",
    ) -> Response:
        """Answer a request through its transaction, with Server set."""
        response = respond(
            transaction.request,
            status,
            to_tag=to_tag,
            reason=reason,
            fields=(*fields, ("Server", self.options.user_agent)),
            body=body,
        )
        self.transactions.respond(transaction, response, now)
        return response

    def send(self, message: Message, peer: Destination, call: CallKey | None) -> None:
        """Send outside any transaction."""
        self.outbox.send(wire(message), peer, call)

    def request(
        self,
        dialog: Dialog,
        method: str,
        now: float,
        *,
        call: CallKey | None,
        purpose: Purpose,
        account: Account = NO_ACCOUNT,
        fields: Fields = (),
        body: bytes = b"",
    ) -> Errand:
        """Send a request inside a dialog."""
        ways = dialog.next_ways()
        request = dialog.request(method, self.via(ways[0]), body=body)
        for name, value in fields:
            request.headers.add(name, value)
        request.headers.add("User-Agent", self.options.user_agent)
        errand = self.errands.begin(
            request,
            ways,
            now,
            call=call,
            purpose=purpose,
            account=account,
            dialog=dialog,
            keyring=dialog.keyring,
        )
        dialog.keyring = errand.keyring
        return errand

    def acknowledge(self, transaction: Transaction, response: Response, dialog: Dialog, body: bytes = b"") -> None:
        """ACK a 2xx by way of the dialog and keep the ACK for its repeats (RFC 3261 13.2.2.4). `body`: our answer.

        It bears the credentials of its INVITE: nobody can challenge an ACK (RFC 3261 22.1).
        """
        hop = dialog.next_hop()
        request = dialog.request("ACK", self.via(hop), cseq=response.cseq.number, body=body)
        for name in FIELD.values():
            for value in transaction.request.headers.all(name.lower()):
                request.headers.keep(name, value)
        ack = wire(request)
        self.outbox.send(ack, hop, transaction.call)
        if not transaction.over:  # else nothing repeats its 2xx to us any more
            self.acks.keep(transaction.serial, response.to.tag, ack, hop)

    def acknowledge_again(self, transaction: Transaction, response: Response) -> bool:
        """Answer a repeated 2xx with the ACK it had. False when this 2xx is new."""
        kept = self.acks.find(transaction.serial, response.to.tag)
        if kept is None:
            return False
        self.outbox.send(*kept, transaction.call)
        return True

    def dismiss(self, transaction: Transaction, response: Response, now: float, account: Account = NO_ACCOUNT) -> None:
        """ACK a 2xx that nobody wants (another fork, a call given up) and hang up on it (RFC 3261 13.2.2.4)."""
        if self.acks.is_full(transaction.serial):
            return
        dialog = Dialog.of_caller(transaction.request, response, transaction.peer, symmetric=self.options.symmetric)
        errand = self.errands.of(transaction)
        dialog.keyring = None if errand is None else errand.keyring
        self.acknowledge(transaction, response, dialog)
        if transaction.purpose in (Purpose.INVITE, Purpose.CANCEL):
            self.request(dialog, "BYE", now, call=None, purpose=Purpose.BYE, account=account)

    # --- deadlines ----------------------------------------------------------------------------------

    def start(self, call: CallKey, timer: CallTimer, due: float) -> None:
        """Arm a deadline of a call."""
        self.timers.start((call, timer), due)

    def stop(self, call: CallKey, *timers: CallTimer) -> None:
        """Disarm deadlines of a call."""
        for timer in timers:
            self.timers.stop((call, timer))


def _is_hostport(text: str) -> bool:
    try:
        parse_hostport(text)
    except DecodeError:
        return False
    return text.strip() == text
