"""Provisional answers that are acknowledged: RSeq, RAck, their order and their repeats.

Owns      which reliable provisional response may be sent now, how it is repeated, which PRACK acknowledges it; which
          one of the peer's is new, a repeat, or came too early.
Not here  sending them (callee.py), sending PRACK (forks.py), the offers in them (exchange.py).
Source    RFC 3262 (June 2002) 3 (UAS), 4 (UAC), 7.1 (RSeq), 7.2 (RAck).
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Self

from vfax.errors import DecodeError
from vfax.transports.sip.headers import MAX_CSEQ
from vfax.transports.sip.message import Request, Response
from vfax.transports.sip.outbox import Wire
from vfax.transports.sip.syntax import is_token, parse_number

OPTION: Final = "100rel"
LARGEST: Final = 2**32 - 1
FIRST_LIMIT: Final = 2**31 - 1  # RFC 3262 3: the first number is chosen below
SOURCE: Final = "RFC 3262 7"


@dataclass(frozen=True, slots=True)
class RAck:
    """What a PRACK acknowledges: the number of the response, and the CSeq of the request it answered."""

    rseq: int
    cseq: int
    method: str

    @classmethod
    def parse(cls, value: str) -> Self:
        """Read `1 314159 INVITE`. Raises DecodeError for anything else."""
        parts = value.split()
        if len(parts) != 3 or not is_token(parts[2]):
            raise DecodeError("RAck is not two numbers and a method", source=SOURCE)
        return cls(
            parse_number(parts[0], LARGEST, "RAck", SOURCE),
            parse_number(parts[1], MAX_CSEQ, "RAck", SOURCE),
            parts[2],
        )

    @property
    def value(self) -> str:
        """As it stands in a message."""
        return f"{self.rseq} {self.cseq} {self.method}"


def rack_in(request: Request) -> RAck | None:
    """RAck of a PRACK, None where it is absent or cannot be read."""
    value = request.headers.first("rack")
    if value is None:
        return None
    try:
        return RAck.parse(value)
    except DecodeError:
        return None


def rseq_in(response: Response) -> int | None:
    """The number of a provisional response that wants a PRACK; None for every other response."""
    value = response.headers.first("rseq")
    if not 100 < response.status < 200 or value is None or OPTION not in response.options:
        return None
    try:
        number = parse_number(value, LARGEST, "RSeq", SOURCE)
    except DecodeError:
        return None
    return number or None


# --- the called side ------------------------------------------------------------------------------


@dataclass(slots=True)
class Unacknowledged:
    """A response of ours that waits for its PRACK: repeated after T1, doubling without a limit, for 64*T1."""

    rack: RAck
    status: int
    sent: Wire
    has_sdp: bool
    pause: float

    def next_pause(self) -> float:
        """The pause before the next repeat (RFC 3262 3)."""
        pause = self.pause
        self.pause = 2 * pause
        return pause


class ReliableSender:
    """Numbers of the responses to one INVITE. One at a time: the next goes out when its PRACK has come."""

    def __init__(self, first: int) -> None:
        self._next = first
        self.waiting: Unacknowledged | None = None

    @property
    def number(self) -> int:
        """RSeq of the next response."""
        return self._next

    def sent(self, status: int, sent: Wire, invite_cseq: int, *, has_sdp: bool, t1: float) -> Unacknowledged:
        """The response with `number` has been sent."""
        self.waiting = Unacknowledged(RAck(self._next, invite_cseq, "INVITE"), status, sent, has_sdp, t1)
        self._next += 1
        return self.waiting

    def acknowledge(self, rack: RAck | None) -> Unacknowledged | None:
        """The response that a PRACK acknowledges; None for one that acknowledges nothing (RFC 3262 3: 481)."""
        waiting = self.waiting
        if waiting is None or rack != waiting.rack:
            return None
        self.waiting = None
        return waiting


# --- the calling side -----------------------------------------------------------------------------


class Arrival(Enum):
    """What a reliable provisional response is, by its number."""

    NEW = auto()
    REPEAT = auto()  # its PRACK is on its way or has been answered
    EARLY = auto()  # one before it is missing: not to be acknowledged (RFC 3262 4)


class ReliableReceiver:
    """Numbers of the responses in one early dialog."""

    def __init__(self) -> None:
        self._last: int | None = None

    def take(self, rseq: int) -> Arrival:
        """What this number is; a new one becomes the last."""
        if self._last is not None and rseq <= self._last:
            return Arrival.REPEAT
        if self._last is not None and rseq > self._last + 1:
            return Arrival.EARLY
        self._last = rseq
        return Arrival.NEW
