"""What agent, calls and exchanges share: queues, transactions, deadlines, tables, fresh names.

Owns      the tables of one agent; Via, Contact and the fields that say who we are; the ACK to a 2xx.
Not here  any decision about a call (calls.py, caller.py, callee.py) or a stray message (agent.py).
Source    RFC 3261 (June 2002) 8.1.1, 13.2.2.4.
"""

from enum import Enum, auto
from typing import Final

from vfax.transports.sip.compose import Fields, respond
from vfax.transports.sip.dialog import AckStore, Dialog, DialogId
from vfax.transports.sip.headers import bracketed
from vfax.transports.sip.message import Message, Response
from vfax.transports.sip.options import Dice, SipOptions
from vfax.transports.sip.outbox import Outbox, wire
from vfax.transports.sip.syntax import escape_user, quote
from vfax.transports.sip.timers import Timers
from vfax.transports.sip.transaction import COOKIE, Purpose, Transaction, TransactionLayer
from vfax.transports.sip.values import Address, CallKey

ALLOW: Final = ("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE")


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


class Core:
    """The shared state of one agent."""

    def __init__(self, options: SipOptions, contact: Address, dice: Dice) -> None:
        self.options = options
        self.contact = contact
        self.dice = dice
        self.outbox = Outbox()
        self.transactions = TransactionLayer(options, self.outbox)
        self.timers: Timers[tuple[CallKey, CallTimer]] = Timers()
        self.acks = AckStore()
        self.dialogs: dict[DialogId, CallKey] = {}
        self.dialling: dict[tuple[str, str], CallKey] = {}  # Call-ID and our tag, while no dialog is confirmed
        self.gone: list[CallKey] = []  # released, to be taken out of the agent's table

    # --- fresh names --------------------------------------------------------------------------------

    def token(self) -> str:
        """64 random bits as text: tags, Call-IDs (RFC 3261 19.3 wants at least 32)."""
        return f"{self.dice.getrandbits(64):016x}"

    @property
    def place(self) -> str:
        """Our host and port as they stand in a URI or a Via."""
        host, port = self.contact
        return f"{bracketed(host)}:{port}"

    def via(self) -> str:
        """A Via value with a fresh branch; rport is asked for always (RFC 3581)."""
        return f"SIP/2.0/UDP {self.place};branch={COOKIE}{self.token()};rport"

    def contact_for(self, user: str) -> str:
        """A Contact value of ours; `user` is not escaped yet."""
        return f"<sip:{escape_user(user or self.options.contact_user)}@{self.place}>"

    def from_value(self, user: str, name: str, tag: str) -> str:
        """A From value of ours; a `user` with an @ brings its own domain."""
        local, at, domain = user.rpartition("@")
        if not at:
            local, domain = user, self.options.domain or bracketed(self.contact[0])
        address = f"sip:{escape_user(local)}@{domain}" if local else f"sip:{domain}"
        return f"{quote(name)} <{address}>;tag={tag}" if name else f"<{address}>;tag={tag}"

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

    def send(self, message: Message, peer: Address, call: CallKey | None) -> None:
        """Send outside any transaction."""
        self.outbox.send(wire(message), peer, call)

    def request(
        self,
        dialog: Dialog,
        method: str,
        now: float,
        *,
        call: CallKey | None,
        purpose: Purpose | None,
        fields: Fields = (),
        body: bytes = b"",
    ) -> Transaction:
        """Send a request inside a dialog and begin its transaction."""
        request = dialog.request(method, self.via(), body=body)
        for name, value in fields:
            request.headers.add(name, value)
        request.headers.add("User-Agent", self.options.user_agent)
        return self.transactions.start_client(request, dialog.next_hop(), now, call=call, purpose=purpose)

    def acknowledge(self, transaction: Transaction, response: Response, dialog: Dialog) -> None:
        """ACK a 2xx by way of the dialog and keep the ACK for its repeats (RFC 3261 13.2.2.4)."""
        ack = wire(dialog.request("ACK", self.via(), cseq=response.cseq.number))
        hop = dialog.next_hop()
        self.outbox.send(ack, hop, transaction.call)
        self.acks.keep(transaction.serial, response.to.tag, ack, hop)

    def acknowledge_again(self, transaction: Transaction, response: Response) -> bool:
        """Answer a repeated 2xx with the ACK it had. False when this 2xx is new."""
        kept = self.acks.find(transaction.serial, response.to.tag)
        if kept is None:
            return False
        self.outbox.send(*kept, transaction.call)
        return True

    def dismiss(self, transaction: Transaction, response: Response, now: float) -> None:
        """ACK a 2xx that nobody wants (another fork, a call given up) and hang up on it (RFC 3261 13.2.2.4)."""
        if self.acks.is_full(transaction.serial):
            return
        dialog = Dialog.of_caller(transaction.request, response, transaction.peer, symmetric=self.options.symmetric)
        self.acknowledge(transaction, response, dialog)
        if transaction.purpose is Purpose.INVITE:
            self.request(dialog, "BYE", now, call=None, purpose=None)

    # --- deadlines ----------------------------------------------------------------------------------

    def start(self, call: CallKey, timer: CallTimer, due: float) -> None:
        """Arm a deadline of a call."""
        self.timers.start((call, timer), due)

    def stop(self, call: CallKey, *timers: CallTimer) -> None:
        """Disarm deadlines of a call."""
        for timer in timers:
            self.timers.stop((call, timer))
