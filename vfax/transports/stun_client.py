"""Asking a STUN server how others see a socket: an engine; pure.

Owns      one Binding request at a time, its repetition and its end; asking again after a while; what is believed.
Not here  octets (stun.py), sockets, what the answer is used for.
Source    RFC 8489 (February 2020) 6.2.1 (repetition), 6.3.3, 6.3.4 (answers).

In: `begin`, `receive`, `handle_timeout`. Out: `take_output`, `take_events`, `next_timeout`.
"""

import ipaddress
import math
from dataclasses import dataclass
from typing import Final

from vfax.errors import DecodeError
from vfax.transports.sip.options import Dice
from vfax.transports.sip.values import Address
from vfax.transports.stun import Attribute, MessageClass, StunMessage, is_stun

TRY_ALTERNATE: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class StunOptions:
    """Times in seconds."""

    rto: float = 0.5  # until the first repeat; doubles
    requests: int = 7  # Rc: how often a request is sent at all
    last_wait: int = 16  # Rm: times RTO that the answer to the last one is awaited
    interval: float = 300.0  # from an answer, or from having none, to asking again; 0: once alone
    software: str = "vfax"


@dataclass(frozen=True, slots=True)
class Mapped:
    """Others see our socket at `address`. Told when it is known first, and when it has changed."""

    address: Address


@dataclass(frozen=True, slots=True)
class Unanswered:
    """The server did not say it; `why` is a clause for people. What was known before is not known any more."""

    why: str


StunEvent = Mapped | Unanswered


class StunClient:
    """Asks one server from one socket. `server` is numeric."""

    def __init__(self, server: Address, options: StunOptions, dice: Dice) -> None:
        self.server = server
        self.mapped: Address | None = None
        self._options = options
        self._dice = dice
        self._transaction = b""
        self._request = b""
        self._sent = 0
        self._due = math.inf
        self._output: list[bytes] = []
        self._events: list[StunEvent] = []

    # --- out ----------------------------------------------------------------------------------------

    def take_output(self) -> list[bytes]:
        """Datagrams for the server."""
        taken, self._output = self._output, []
        return taken

    def take_events(self) -> list[StunEvent]:
        """What has become known."""
        taken, self._events = self._events, []
        return taken

    def next_timeout(self) -> float:
        """When `handle_timeout` wants to be called; math.inf for never."""
        return self._due

    @property
    def asking(self) -> bool:
        """Whether a request waits for its answer."""
        return bool(self._transaction)

    # --- in -----------------------------------------------------------------------------------------

    def begin(self, now: float) -> None:
        """Ask now, under a fresh transaction."""
        self._transaction = self._dice.getrandbits(96).to_bytes(12)
        software = (int(Attribute.SOFTWARE), self._options.software.encode()[:763])  # RFC 8489 14.14: 763 octets
        self._request = StunMessage(MessageClass.REQUEST, self._transaction, (software,)).encode()
        self._sent = 0
        self._send(now)

    def receive(self, octets: bytes, source: Address, now: float) -> bool:
        """Take a datagram of the socket. False when it is none of ours: others may want it."""
        if not self._transaction or source != self.server or not is_stun(octets):
            return False
        try:
            message = StunMessage.decode(octets)
        except DecodeError:
            return False
        answer = message.message_class in (MessageClass.SUCCESS, MessageClass.ERROR)
        if not answer or message.transaction != self._transaction or message.method != 1:
            return False
        self._transaction = b""
        self._due = now + self._options.interval if self._options.interval else math.inf
        if message.message_class is MessageClass.ERROR:
            self._fail(_complaint(message))
        elif strange := message.strange:
            self._fail(f"its answer has an attribute that has to be understood and is not: 0x{strange[0]:04x}")
        else:
            self._believe(message.mapped)
        return True

    def handle_timeout(self, now: float) -> None:
        """Repeat, give up, or ask again."""
        if now < self._due:
            return
        if not self._transaction:
            self.begin(now)
        elif self._sent < self._options.requests:
            self._send(now)
        else:
            self._transaction = b""
            self._due = now + self._options.interval if self._options.interval else math.inf
            self._fail(f"it did not answer {self._sent} requests")

    # --- inside -------------------------------------------------------------------------------------

    def _send(self, now: float) -> None:
        self._output.append(self._request)
        self._sent += 1
        last = self._sent == self._options.requests
        self._due = now + self._options.rto * (self._options.last_wait if last else 2 ** (self._sent - 1))

    def _believe(self, address: Address | None) -> None:
        """An address that others can reach: a public one may come from a private network, but not from nowhere."""
        if address is None or not usable(address, like=self.server):
            self._fail("its answer names no address of ours that can be used")
        elif address != self.mapped:
            self.mapped = address
            self._events.append(Mapped(address))

    def _fail(self, why: str) -> None:
        self.mapped = None
        self._events.append(Unanswered(why))


def usable(address: Address, *, like: Address) -> bool:
    """Whether an address can be that of a socket of ours that talks to `like`: its family, unicast, with a port."""
    host = ipaddress.ip_address(address[0])
    family = host.version == ipaddress.ip_address(like[0].partition("%")[0]).version
    return family and address[1] > 0 and not (host.is_unspecified or host.is_multicast or host.is_reserved)


def _complaint(message: StunMessage) -> str:
    code, phrase = message.error
    words = "".join(one for one in phrase if one.isprintable())[:80]
    if code == TRY_ALTERNATE:  # Limit: not followed; nobody is sent elsewhere by an answer that proves nothing
        return "it sends us to another server (300): name that one in the settings"
    return f"it refused: {code} {words}".rstrip()
