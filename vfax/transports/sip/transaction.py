"""The four transaction machines: what is repeated, absorbed and passed up.

Owns      INVITE and non-INVITE transactions, client and server, their tables and timers A to M; matching of messages
          to transactions; the ACK to a final failure; recognising merged requests.
Not here  ACK to a 2xx and the repeats of a 2xx (dialog.py), which response a request gets (agent.py).
Source    RFC 3261 (June 2002) 17; RFC 6026 (Accepted state, timers L and M); RFC 3261 8.2.2.2 (merged requests).
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from vfax.errors import DecodeError
from vfax.transports.sip.compose import ack_to_failure
from vfax.transports.sip.message import Message, Request, Response
from vfax.transports.sip.options import SipOptions
from vfax.transports.sip.outbox import Outbox, Wire, wire
from vfax.transports.sip.timers import Timers
from vfax.transports.sip.values import CallKey, Destination

COOKIE: Final = "z9hG4bK"  # RFC 3261 8.1.1.7
_BEGINNING: Final = re.compile(rb"([A-Z]+) [^\r\n]+\r\nVia: [^\r\n]*?;branch=(z9hG4bK[0-9a-f]+)")

MAX_OF_CALL: Final = 100  # Limit: transactions of one Call-ID at once: no peer of one call takes the room of all

ClientKey = tuple[str, str]
"""Branch of our Via and method of CSeq (RFC 3261 17.1.3)."""

ServerKey = tuple[str, ...]
"""Branch, sent-by and method; or the fields of RFC 2543 matching (RFC 3261 17.2.3)."""


class Kind(Enum):
    """Which of the four machines."""

    INVITE_CLIENT = auto()
    CLIENT = auto()
    INVITE_SERVER = auto()
    SERVER = auto()


class S(Enum):
    """States of RFC 3261 Figures 5 to 8 as amended by RFC 6026."""

    CALLING = auto()
    TRYING = auto()
    PROCEEDING = auto()
    COMPLETED = auto()
    CONFIRMED = auto()
    ACCEPTED = auto()
    TERMINATED = auto()


class Timer(Enum):
    """RFC 3261 Table 4 and RFC 6026 8.11. In brackets: what starts it."""

    A = auto()  # INVITE repeated (sent), T1 doubling
    B = auto()  # INVITE given up (sent), 64*T1
    D = auto()  # repeats of a failure awaited (failure came), 64*T1
    E = auto()  # request repeated (sent), T1 doubling up to T2
    F = auto()  # request given up (sent), 64*T1
    G = auto()  # failure repeated (sent), T1 doubling up to T2
    H = auto()  # ACK given up (failure sent), 64*T1
    I = auto()  # repeats of the ACK awaited (ACK came), T4  # noqa: E741
    J = auto()  # repeats of the request awaited (final response sent), 64*T1
    K = auto()  # repeats of the response awaited (final response came), T4
    L = auto()  # repeats of the INVITE awaited (2xx sent), 64*T1
    M = auto()  # further 2xx awaited (2xx came), 64*T1


class T(Enum):
    """Triggers besides the timers: what came, what our side sends."""

    R1XX = auto()
    R2XX = auto()
    R_FAILURE = auto()
    REQUEST = auto()
    ACK = auto()
    SEND_1XX = auto()
    SEND_2XX = auto()
    SEND_FAILURE = auto()


class Do(Enum):
    """What a step does besides changing the state."""

    NOTHING = auto()
    TELL = auto()  # pass the message up
    TELL_AND_ACK = auto()  # pass the failure up and acknowledge it
    ACK = auto()  # acknowledge a repeated failure
    SEND = auto()  # send the response given
    REPEAT = auto()  # send what was sent last once more
    FAIL = auto()  # tell the user that nobody answers


@dataclass(frozen=True, slots=True)
class Step:
    """One row: the next state, the act, timers to start. On a change of state all timers not in `keep` stop."""

    to: S
    do: Do = Do.NOTHING
    start: tuple[Timer, ...] = ()
    keep: tuple[Timer, ...] = ()


Table = dict[tuple[S, T | Timer], Step]

_END: Final = Step(S.TERMINATED)
_GIVE_UP: Final = Step(S.TERMINATED, Do.FAIL)
_PASS: Final = Step(S.PROCEEDING, Do.TELL)

INVITE_CLIENT: Final[Table] = {  # RFC 3261 Figure 5, RFC 6026 8.4
    (S.CALLING, Timer.A): Step(S.CALLING, Do.REPEAT, (Timer.A,)),
    (S.CALLING, Timer.B): _GIVE_UP,
    (S.CALLING, T.R1XX): _PASS,
    (S.CALLING, T.R2XX): Step(S.ACCEPTED, Do.TELL, (Timer.M,)),
    (S.CALLING, T.R_FAILURE): Step(S.COMPLETED, Do.TELL_AND_ACK, (Timer.D,)),
    (S.PROCEEDING, T.R1XX): _PASS,
    (S.PROCEEDING, T.R2XX): Step(S.ACCEPTED, Do.TELL, (Timer.M,)),
    (S.PROCEEDING, T.R_FAILURE): Step(S.COMPLETED, Do.TELL_AND_ACK, (Timer.D,)),
    (S.PROCEEDING, Timer.B): _GIVE_UP,  # only when abandoned: ringing has no end of its own
    (S.COMPLETED, T.R_FAILURE): Step(S.COMPLETED, Do.ACK),
    (S.COMPLETED, Timer.D): _END,
    (S.ACCEPTED, T.R2XX): Step(S.ACCEPTED, Do.TELL),
    (S.ACCEPTED, Timer.M): _END,
}

CLIENT: Final[Table] = {  # RFC 3261 Figure 6
    (S.TRYING, Timer.E): Step(S.TRYING, Do.REPEAT, (Timer.E,)),
    (S.TRYING, Timer.F): _GIVE_UP,
    (S.TRYING, T.R1XX): Step(S.PROCEEDING, Do.TELL, (Timer.E,), keep=(Timer.F,)),
    (S.TRYING, T.R2XX): Step(S.COMPLETED, Do.TELL, (Timer.K,)),
    (S.TRYING, T.R_FAILURE): Step(S.COMPLETED, Do.TELL, (Timer.K,)),
    (S.PROCEEDING, Timer.E): Step(S.PROCEEDING, Do.REPEAT, (Timer.E,)),
    (S.PROCEEDING, Timer.F): _GIVE_UP,
    (S.PROCEEDING, T.R1XX): _PASS,
    (S.PROCEEDING, T.R2XX): Step(S.COMPLETED, Do.TELL, (Timer.K,)),
    (S.PROCEEDING, T.R_FAILURE): Step(S.COMPLETED, Do.TELL, (Timer.K,)),
    (S.COMPLETED, Timer.K): _END,
}

INVITE_SERVER: Final[Table] = {  # RFC 3261 Figure 7, RFC 6026 8.5
    (S.PROCEEDING, T.REQUEST): Step(S.PROCEEDING, Do.REPEAT),
    (S.PROCEEDING, T.SEND_1XX): Step(S.PROCEEDING, Do.SEND),
    (S.PROCEEDING, T.SEND_2XX): Step(S.ACCEPTED, Do.SEND, (Timer.L,)),
    (S.PROCEEDING, T.SEND_FAILURE): Step(S.COMPLETED, Do.SEND, (Timer.G, Timer.H)),
    (S.COMPLETED, T.REQUEST): Step(S.COMPLETED, Do.REPEAT),
    (S.COMPLETED, Timer.G): Step(S.COMPLETED, Do.REPEAT, (Timer.G,)),
    (S.COMPLETED, Timer.H): _GIVE_UP,
    (S.COMPLETED, T.ACK): Step(S.CONFIRMED, Do.TELL, (Timer.I,)),
    (S.CONFIRMED, Timer.I): _END,
    (S.ACCEPTED, T.REQUEST): Step(S.ACCEPTED),
    (S.ACCEPTED, T.SEND_2XX): Step(S.ACCEPTED, Do.SEND),
    (S.ACCEPTED, T.ACK): Step(S.ACCEPTED, Do.TELL),
    (S.ACCEPTED, Timer.L): _END,
}

SERVER: Final[Table] = {  # RFC 3261 Figure 8
    (S.TRYING, T.SEND_1XX): Step(S.PROCEEDING, Do.SEND),
    (S.TRYING, T.SEND_2XX): Step(S.COMPLETED, Do.SEND, (Timer.J,)),
    (S.TRYING, T.SEND_FAILURE): Step(S.COMPLETED, Do.SEND, (Timer.J,)),
    (S.PROCEEDING, T.REQUEST): Step(S.PROCEEDING, Do.REPEAT),
    (S.PROCEEDING, T.SEND_1XX): Step(S.PROCEEDING, Do.SEND),
    (S.PROCEEDING, T.SEND_2XX): Step(S.COMPLETED, Do.SEND, (Timer.J,)),
    (S.PROCEEDING, T.SEND_FAILURE): Step(S.COMPLETED, Do.SEND, (Timer.J,)),
    (S.COMPLETED, T.REQUEST): Step(S.COMPLETED, Do.REPEAT),
    (S.COMPLETED, Timer.J): _END,
}

TABLES: Final[dict[Kind, Table]] = {
    Kind.INVITE_CLIENT: INVITE_CLIENT,
    Kind.CLIENT: CLIENT,
    Kind.INVITE_SERVER: INVITE_SERVER,
    Kind.SERVER: SERVER,
}

BEGIN: Final[dict[Kind, Step]] = {
    Kind.INVITE_CLIENT: Step(S.CALLING, Do.REPEAT, (Timer.A, Timer.B)),
    Kind.CLIENT: Step(S.TRYING, Do.REPEAT, (Timer.E, Timer.F)),
    Kind.INVITE_SERVER: Step(S.PROCEEDING),
    Kind.SERVER: Step(S.TRYING),
}

_REPEATING: Final = (Timer.A, Timer.E, Timer.G)
_ONLY_UNRELIABLE: Final = (Timer.A, Timer.E, Timer.G)  # never started on a stream (RFC 3261 17.1.1.2, 17.1.2.2, 17.2.1)
_ZERO_IF_RELIABLE: Final = (Timer.D, Timer.I, Timer.J, Timer.K)


class Purpose(Enum):
    """Why our side runs a client transaction; the call looks at it when the answer comes."""

    INVITE = auto()
    REINVITE = auto()
    UPDATE = auto()  # with an offer
    REFRESH = auto()  # UPDATE without one
    PRACK = auto()
    BYE = auto()
    CANCEL = auto()
    REGISTER = auto()
    OPTIONS = auto()


@dataclass(slots=True, eq=False)
class Transaction:
    """One transaction. `request` is ours (client) or theirs, stamped (server); `peer` is where its messages go."""

    kind: Kind
    serial: int
    key: ClientKey | ServerKey
    request: Request
    peer: Destination
    call: CallKey | None
    purpose: Purpose | None = None
    state: S = S.TERMINATED
    last: Wire | None = None  # what a repeat repeats
    status: int = 0  # of the last response sent or received
    interval: float = 0.0
    abandoned: bool = False  # nobody waits for the answer any more
    running: set[Timer] = field(default_factory=set)
    merge_key: tuple[str, str, int, str] | None = None

    @property
    def over(self) -> bool:
        """Whether it has left the table."""
        return self.state is S.TERMINATED

    @property
    def reliable(self) -> bool:
        """Whether nothing needs to be repeated (TCP, TLS)."""
        return self.peer.transport.reliable

    @property
    def is_ours(self) -> bool:
        """Whether the request is ours."""
        return self.kind in (Kind.INVITE_CLIENT, Kind.CLIENT)


@dataclass(frozen=True, slots=True)
class Happening:
    """What a transaction tells its user: a message, or None when the other side stayed silent."""

    transaction: Transaction
    message: Message | None


class TransactionLayer:
    """All transactions of one agent. Sends through the outbox; everything else is a return value."""

    def __init__(self, options: SipOptions, outbox: Outbox) -> None:
        self._options = options
        self._outbox = outbox
        self._clients: dict[ClientKey, Transaction] = {}
        self._servers: dict[ServerKey, Transaction] = {}
        self._merging: dict[tuple[str, str, int, str], Transaction] = {}
        self._timers: Timers[tuple[int, Timer]] = Timers()
        self._running: dict[int, Transaction] = {}
        self._ended: list[int] = []
        self._settled: list[Transaction] = []
        self._serial = 0
        self.call_ids: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._running)

    @property
    def full(self) -> bool:
        """Whether the table has reached its limit."""
        return len(self._running) >= self._options.max_transactions

    def has_no_room_for(self, call_id: str) -> bool:
        """Whether another one of this Call-ID would be too many."""
        return self.full or self.call_ids[call_id] >= MAX_OF_CALL

    # --- client side --------------------------------------------------------------------------------

    def start_client(
        self, request: Request, peer: Destination, now: float, *, call: CallKey | None, purpose: Purpose | None
    ) -> Transaction:
        """Send `request`, whose top Via carries a fresh branch, and begin its machine."""
        kind = Kind.INVITE_CLIENT if request.method == "INVITE" else Kind.CLIENT
        key = (request.via.branch, request.method)
        transaction = self._create(kind, key, request, peer, call)
        transaction.purpose = purpose
        transaction.last = wire(request)
        self._clients[key] = transaction
        self._take(transaction, BEGIN[kind], None, now)
        return transaction

    def find_client(self, response: Response) -> Transaction | None:
        """The client transaction a response belongs to."""
        return self._clients.get((response.via.branch, response.cseq.method))

    def find_sent(self, octets: bytes) -> Transaction | None:
        """The client transaction of a request of ours that begins so: its branch is 64 random bits, which it has."""
        found = _BEGINNING.match(octets)
        return self._clients.get((found[2].decode(), found[1].decode())) if found is not None else None

    def receive_response(self, transaction: Transaction, response: Response, now: float) -> list[Happening]:
        """A response that `find_client` has matched."""
        transaction.status = response.status
        return self._advance(transaction, _class_of(response.status, received=True), response, now)

    # --- server side --------------------------------------------------------------------------------

    def find_server(self, request: Request, method: str | None = None) -> Transaction | None:
        """The server transaction that `request` repeats, acknowledges or (with `method`) cancels."""
        return self._servers.get(server_key(request, method or request.method))

    def is_merged(self, request: Request) -> bool:
        """Whether the same request came before by another way (RFC 3261 8.2.2.2)."""
        return not request.to.tag and _merge_key(request) in self._merging

    def is_looped(self, request: Request) -> bool:
        """Whether a request of ours has come back as it was sent: no way leads to whom it is for.

        One that comes back to another Request-URI is a call to ourselves, which is as good as any (RFC 3261 16.3).
        """
        if request.to.tag or not self._clients:
            return False
        try:
            vias = request.vias[1:]
        except DecodeError:  # of others: not ours, hence none of our business
            return False
        ours = (self._clients.get((via.branch, request.method)) for via in vias)
        return any(one is not None and one.request.uri == request.uri for one in ours)

    def start_server(self, request: Request, peer: Destination, now: float, *, call: CallKey | None) -> Transaction:
        """Begin the machine for a new request; its responses will go to `peer`."""
        kind = Kind.INVITE_SERVER if request.method == "INVITE" else Kind.SERVER
        key = server_key(request, request.method)
        transaction = self._create(kind, key, request, peer, call)
        self._servers[key] = transaction
        if not request.to.tag and request.method != "CANCEL":
            transaction.merge_key = _merge_key(request)
            self._merging[transaction.merge_key] = transaction
        self._take(transaction, BEGIN[kind], None, now)
        return transaction

    def receive_repeat(self, transaction: Transaction, request: Request, now: float) -> list[Happening]:
        """A repeat of the request, or the ACK that belongs to it."""
        trigger = T.ACK if request.method == "ACK" else T.REQUEST
        return self._advance(transaction, trigger, request, now)

    def respond(self, transaction: Transaction, response: Response, now: float) -> None:
        """Send a response; one that the state no longer allows is not sent."""
        self.respond_wire(transaction, response.status, wire(response), now)

    def respond_wire(self, transaction: Transaction, status: int, sent: Wire, now: float) -> None:
        """As `respond`, for a response that was encoded before (the repeats of a 2xx)."""
        step = TABLES[transaction.kind].get((transaction.state, _class_of(status, received=False)))
        if step is not None:
            transaction.last, transaction.status = sent, status
            self._take(transaction, step, None, now)

    # --- time ---------------------------------------------------------------------------------------

    def next_timeout(self) -> float:
        """The earliest deadline."""
        return self._timers.next()

    def handle_timeout(self, now: float) -> list[Happening]:
        """Run every timer that is due."""
        happenings: list[Happening] = []
        while (due := self._timers.pop(now)) is not None:
            serial, timer = due
            transaction = self._running[serial]
            transaction.running.discard(timer)
            happenings += self._advance(transaction, timer, None, now)
        return happenings

    def abandon(self, transaction: Transaction, now: float) -> None:
        """Nobody waits for the answer to our INVITE any more: it still gets its ACK if it comes within 64*T1."""
        transaction.abandoned = True
        if transaction.state is S.PROCEEDING:
            self._start(transaction, Timer.B, now)

    def drop(self, transaction: Transaction) -> None:
        """Forget a transaction at once (RFC 3261 9.1: a cancelled INVITE without a final response)."""
        if not transaction.over:
            self._terminate(transaction)

    def running(self, peer: Callable[[Destination], bool]) -> list[Transaction]:
        """The transactions whose messages go where `peer` says."""
        return [transaction for transaction in self._running.values() if peer(transaction.peer)]

    def take_ended(self) -> list[int]:
        """Serials of the transactions that are over since the last time of asking."""
        for transaction in self._settled:  # most of them wait for repeats alone, thousands at a time
            transaction.request.fold()
        self._settled.clear()
        ended, self._ended = self._ended, []
        return ended

    # --- the machine --------------------------------------------------------------------------------

    def _create(
        self, kind: Kind, key: ClientKey | ServerKey, request: Request, peer: Destination, call: CallKey | None
    ) -> Transaction:
        self._serial += 1
        transaction = Transaction(kind, self._serial, key, request, peer, call)
        transaction.interval = self._options.t1
        self._running[self._serial] = transaction
        self.call_ids[request.call_id] += 1
        return transaction

    def _advance(
        self, transaction: Transaction, trigger: T | Timer, message: Message | None, now: float
    ) -> list[Happening]:
        step = TABLES[transaction.kind].get((transaction.state, trigger))
        return self._take(transaction, step, message, now) if step is not None else []

    def _take(self, transaction: Transaction, step: Step, message: Message | None, now: float) -> list[Happening]:
        if step.to is not transaction.state:
            keep = (*step.keep, Timer.B) if transaction.abandoned and step.to is S.PROCEEDING else step.keep
            self._stop(transaction, [timer for timer in transaction.running if timer not in keep])
            transaction.state = step.to
            if step.to in (S.COMPLETED, S.ACCEPTED):
                self._settled.append(transaction)
        if step.to is S.TERMINATED:
            self._terminate(transaction)
        for timer in step.start:
            self._start(transaction, timer, now)
        if step.do in (Do.ACK, Do.TELL_AND_ACK) and isinstance(message, Response):
            ack = wire(ack_to_failure(transaction.request, message))
            self._outbox.send(ack, transaction.peer, transaction.call)
        elif step.do in (Do.SEND, Do.REPEAT) and transaction.last is not None:
            self._outbox.send(transaction.last, transaction.peer, transaction.call)
        if step.do in (Do.TELL, Do.TELL_AND_ACK):
            return [Happening(transaction, message)]
        return [Happening(transaction, None)] if step.do is Do.FAIL else []

    def _start(self, transaction: Transaction, timer: Timer, now: float) -> None:
        if transaction.reliable and timer in _ONLY_UNRELIABLE:
            return
        transaction.running.add(timer)
        self._timers.start((transaction.serial, timer), now + self._delay(transaction, timer))

    def _delay(self, transaction: Transaction, timer: Timer) -> float:
        options = self._options
        if timer in _REPEATING:
            if timer is Timer.E and transaction.state is S.PROCEEDING:
                return options.t2
            delay = transaction.interval
            transaction.interval = delay * 2 if timer is Timer.A else min(delay * 2, options.t2)
            return delay
        if transaction.reliable and timer in _ZERO_IF_RELIABLE:
            return 0.0
        return options.t4 if timer in (Timer.I, Timer.K) else 64 * options.t1

    def _stop(self, transaction: Transaction, timers: Iterable[Timer]) -> None:
        for timer in timers:
            transaction.running.discard(timer)
            self._timers.stop((transaction.serial, timer))

    def _terminate(self, transaction: Transaction) -> None:
        self._stop(transaction, list(transaction.running))
        transaction.state = S.TERMINATED
        del self._running[transaction.serial]
        call_id = transaction.request.call_id
        self.call_ids[call_id] -= 1
        if not self.call_ids[call_id]:
            del self.call_ids[call_id]
        self._ended.append(transaction.serial)
        if transaction.is_ours:
            del self._clients[(transaction.key[0], transaction.key[1])]
        else:
            del self._servers[transaction.key]
        if transaction.merge_key is not None and self._merging.get(transaction.merge_key) is transaction:
            del self._merging[transaction.merge_key]


def _class_of(status: int, *, received: bool) -> T:
    if status < 200:
        return T.R1XX if received else T.SEND_1XX
    if status < 300:
        return T.R2XX if received else T.SEND_2XX
    return T.R_FAILURE if received else T.SEND_FAILURE


def server_key(request: Request, method: str) -> ServerKey:
    """RFC 3261 17.2.3. A branch without more than the cookie falls back to the fields of RFC 2543 (RFC 4475 3.2.1).

    The To tag is left out of the fall-back: the ACK carries ours where the INVITE had none.
    """
    method = "INVITE" if method == "ACK" else method
    via = request.via
    if via.branch.startswith(COOKIE) and len(via.branch) > len(COOKIE):
        host, port = via.sent_by
        return via.branch, host, str(port), method
    return request.call_id, request.from_.tag, str(request.cseq.number), request.uri, via.value, method


def _merge_key(request: Request) -> tuple[str, str, int, str]:
    return request.from_.tag, request.call_id, request.cseq.number, request.method
