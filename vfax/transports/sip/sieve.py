"""What is looked at before it is parsed: cheap checks, rates by source, and no answer that is larger than the question.

Owns      which message of whom is parsed at all; who has proven that they read what we send; how many octets leave
          towards those who have not; what of this an operator should hear.
Not here  whose datagrams are read (endpoint.py), which requests of those that are parsed may come in (admission.py),
          caps of calls and transactions (reception.py).
Source    RFC 3261 (June 2002) 26.1.5, 26.3.2.4 (floods, reflection); RFC 9000 8.1 for the idea of a credit in octets.

A UDP source may be forged. It has proven itself when it sends back what only our messages told it: a tag or a branch
of ours, 64 random bits each. Until then it hears no provisional response, which would spend octets and end the repeats
that bring credit, and never more octets than it sent. Networks that the owner named as its own need no such proof. All
tables are bounded: the entry used longest ago goes first.
"""

import ipaddress
import math
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeVar

from vfax.transports.sip.values import Address, Transport

LOOK: Final = 4096
"""Octets of a message that the cheap checks look at. A Call-ID behind them counts as unknown."""
MAX_CREDIT: Final = 65_535
"""Limit: octets that a source may save up."""
SECONDS_SAVED: Final = 2.0
"""How much of its rate a quiet source may use at once."""
OPEN_BELOW: Final = {4: 8, 6: 16}
"""Networks wider than this prefix belong to nobody in particular: who comes from there is a stranger."""
NAMED_FROM: Final = {4: 28, 6: 64}
"""Networks of the owner's own that are this small, or smaller, name their hosts one by one."""

CALL_ID: Final = re.compile(rb"\n(?:call-id|i)[ \t]*:[ \t]*([^\s]+)", re.IGNORECASE)
VERSION: Final = re.compile(rb"(?:^|[ \t])SIP/", re.IGNORECASE)
RSEQ: Final = b"\r\nRSeq:"  # a provisional response that is repeated until it is acknowledged (RFC 3262)
TO_TAG: Final = re.compile(rb"\n(?:to|t)[ \t]*:[^\n]*;[ \t]*tag[ \t]*=", re.IGNORECASE)

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


class Nuisance(StrEnum):
    """Why a message is not taken, as it stands in reports."""

    NETWORK = "network"  # from where nobody may call
    NOT_SIP = "not-sip"  # octets that cannot be a SIP message
    STRAY = "stray-response"  # an answer to nothing that we asked
    FLOOD = "flood"  # more than the source may send
    DIALOG = "no-dialog"  # a request inside a call, from where that call does not come
    REFUSED = "refused"  # a method or a scheme that is not served here
    CONNECTION = "connection"  # one too many, or one whose TLS came to nothing
    PASSWORD = "password"  # credentials that are wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class SieveOptions:
    """Rates are messages a second."""

    source_rate: float = 200.0  # Limit: outside calls, from one proven source
    stranger_rate: float = 50.0  # Limit: outside calls, from one host without proof
    strangers_rate: float = 200.0  # Limit: outside calls, from all of these together
    dialog_rate: float = 1000.0  # Limit: inside calls, from one host
    max_unproven_calls: int = 100  # Limit: calls at once of hosts without proof, until their ACK proves them
    max_sources: int = 4096  # Limit: sources that are remembered, of either kind
    report_every: float = 10.0  # seconds between two reports of one host for one reason
    max_reports: float = 5.0  # Limit: reports a second of all hosts


@dataclass(frozen=True, slots=True)
class Report:
    """`count` messages of `host` were not taken since the last such report. `known`: it is no stranger."""

    host: str
    reason: Nuisance
    count: int
    known: bool


@dataclass(slots=True)
class _Bucket:
    """What may be taken at once, filled by time."""

    tokens: float
    at: float

    def take(self, rate: float, now: float) -> bool:
        """Take one, if there is one."""
        self.tokens = min(self.tokens + (now - self.at) * rate, rate * SECONDS_SAVED)
        self.at = now
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True

    def debt(self, rate: float, now: float) -> float:
        """Take one in any case; how many seconds it takes to pay for it."""
        if self.take(rate, now):
            return 0.0
        self.tokens -= 1.0
        return -self.tokens / rate


@dataclass(slots=True)
class _Source:
    """One host, or one proven address."""

    outside: _Bucket
    inside: _Bucket
    credit: int = 0


@dataclass(slots=True)
class _Told:
    """What was told of one host and one reason."""

    count: int = 0
    due: float = -math.inf


@dataclass(slots=True)
class SieveCounts:
    """What was not taken and not sent, since the start."""

    refused: dict[Nuisance, int] = field(default_factory=lambda: dict.fromkeys(Nuisance, 0))
    withheld: int = 0  # messages of ours that were larger than the credit


K = TypeVar("K")
V = TypeVar("V")
Known = Callable[[str], bool]
"""Whether a Call-ID belongs to a call, or to a transaction, of ours."""


class Sieve:
    """Stands before the parser of one agent. Pure: time is an argument.

    `trusted` are networks of the owner's own: their sources need no proof before they are answered; those that are open
    to everybody do not count. Hosts in the small ones among them, and those of a trunk, are believed where calls are
    counted. `akin` tells of two hosts whether they are one peer, so that one speaks for the other.
    """

    def __init__(
        self,
        options: SieveOptions,
        *,
        trusted: Iterable[IpNetwork] = (),
        akin: Callable[[str, str], bool] = lambda host, other: False,
        now: float = 0.0,
    ) -> None:
        self.counts = SieveCounts()
        self._options = options
        self._trusted = tuple(network for network in trusted if not is_open(network))
        self._named = tuple(one for one in self._trusted if one.prefixlen >= NAMED_FROM[one.version])
        self.are_akin = akin
        self._hosts: OrderedDict[str, _Source] = OrderedDict()
        self._proven: OrderedDict[Address, _Source] = OrderedDict()
        self._friends: OrderedDict[str, bool] = OrderedDict()  # hosts that have proven themselves, or that we asked
        self._trust: OrderedDict[str, bool] = OrderedDict()  # is a host in a trusted network?
        self._strangers = _Bucket(options.strangers_rate * SECONDS_SAVED, now)
        self._told: OrderedDict[tuple[str, Nuisance], _Told] = OrderedDict()
        self._reports: list[Report] = []
        self._reporting = _Bucket(options.max_reports * SECONDS_SAVED, now)

    def __len__(self) -> int:
        """How many entries all tables have together."""
        return len(self._hosts) + len(self._proven) + len(self._friends) + len(self._trust) + len(self._told)

    # --- in -----------------------------------------------------------------------------------------

    def admit(self, data: bytes, source: Address, known: Known, now: float) -> bool:
        """Whether a datagram is to be parsed. Keep-alives are; they cost nothing."""
        reason = self._objection(data, source, known, now)
        if reason is None:
            return True
        self.note(source[0], reason, now)
        return False

    def pause(self, data: bytes, source: Address, known: Known, now: float) -> float:
        """How long a connection is not to be read after this message of it: nothing on a stream may be dropped."""
        entry, rate = self._entry_of(source, now)
        if self._is_inside(data, known):
            return entry.inside.debt(self._options.dialog_rate, now)
        return entry.outside.debt(rate, now)

    def note(self, host: str, reason: Nuisance, now: float) -> None:
        """A message of `host` was not taken. Found here, or by others."""
        self.counts.refused[reason] += 1
        told = _touch(self._told, (host, reason), self._options.max_sources, _Told)
        told.count += 1
        if now >= told.due and self._reporting.take(self._options.max_reports, now):
            self._reports.append(Report(host, reason, told.count, self._is_friend(host)))
            told.count, told.due = 0, now + self._options.report_every

    def take_reports(self) -> list[Report]:
        """What an operator should hear, in order."""
        taken, self._reports = self._reports, []
        return taken

    def prove(self, source: Address, now: float) -> None:
        """`source` has sent what only a message of ours told it."""
        size = self._options.max_sources
        _touch(self._proven, source, size, lambda: self._fresh(self._options.source_rate, now))
        _touch(self._friends, source[0], size, lambda: True)

    def has_proven(self, source: Address) -> bool:
        """Whether this very address has proven itself."""
        return source in self._proven

    def is_named(self, host: str) -> bool:
        """Whether the owner has named this host, as a trunk's or by itself."""
        return self.are_akin(host, host) or lies_in(host, self._named)

    @property
    def max_unproven_calls(self) -> int:
        """How many calls of others may ring or wait for their ACK at once."""
        return self._options.max_unproven_calls

    def _objection(self, data: bytes, source: Address, known: Known, now: float) -> Nuisance | None:
        head = data[:LOOK].lstrip(b"\r\n")
        line, _, _ = head.partition(b"\n")
        if VERSION.search(line) is None:
            return Nuisance.NOT_SIP if data.strip(b"\r\n\0") else None
        inside = self._is_inside(head, known)
        if not inside and line[:4].upper() == b"SIP/":
            return Nuisance.STRAY
        entry, rate = self._entry_of(source, now)
        if inside:
            enough = entry.inside.take(self._options.dialog_rate, now)
        else:
            enough = entry.outside.take(rate, now)
            if enough and source not in self._proven:
                enough = self._strangers.take(self._options.strangers_rate, now)
        if not enough:
            return Nuisance.FLOOD
        entry.credit = min(entry.credit + len(data), MAX_CREDIT)
        return None

    def _is_inside(self, data: bytes, known: Known) -> bool:
        """Whether the Call-ID, as far as it can be seen, is one of ours."""
        found = CALL_ID.search(data, 0, LOOK)
        return found is not None and known(found.group(1).decode("utf-8", "surrogateescape"))

    def _entry_of(self, source: Address, now: float) -> tuple[_Source, float]:
        """The entry whose buckets the source uses, and its rate outside calls."""
        options = self._options
        proven = self._proven.get(source)
        if proven is not None:
            self._proven.move_to_end(source)
            return proven, options.source_rate
        rate = options.source_rate if self._is_trusted(source[0]) else options.stranger_rate
        return _touch(self._hosts, group_of(source[0]), options.max_sources, lambda: self._fresh(rate, now)), rate

    def _fresh(self, rate: float, now: float) -> _Source:
        inside = self._options.dialog_rate * SECONDS_SAVED
        return _Source(_Bucket(rate * SECONDS_SAVED, now), _Bucket(inside, now))

    # --- out ----------------------------------------------------------------------------------------

    def lets_out(self, octets: bytes, host: str, transport: Transport) -> bool:
        """Whether a message of ours may leave for `host`."""
        if transport.reliable or self._is_friend(host):
            return True
        if not octets.startswith(b"SIP/") and _begins_with_us(octets):
            _touch(self._friends, host, self._options.max_sources, lambda: True)
            return True
        entry = self._hosts.get(group_of(host))
        spends = octets.startswith(b"SIP/2.0 1") and RSEQ not in octets
        if spends or entry is None or entry.credit < len(octets):
            self.counts.withheld += 1
            return False
        entry.credit -= len(octets)
        return True

    def _is_friend(self, host: str) -> bool:
        if host in self._friends:
            self._friends.move_to_end(host)
            return True
        return self._is_trusted(host)

    def _is_trusted(self, host: str) -> bool:
        size = self._options.max_sources
        return _touch(self._trust, host, size, lambda: lies_in(host, self._trusted))


def _begins_with_us(octets: bytes) -> bool:
    """Whether a request of ours goes to somebody whom we chose: outside a dialog, or inside one that we began."""
    method = octets.partition(b" ")[0]
    return method in (b"ACK", b"PRACK", b"CANCEL") or TO_TAG.search(octets, 0, LOOK) is None


def _touch(table: "OrderedDict[K, V]", key: K, size: int, make: Callable[[], V]) -> V:
    """The entry of `key`, made where there is none, and now the one used last; the table keeps `size` entries."""
    found = table.get(key)
    if found is None:
        found = table[key] = make()
        if len(table) > size:
            table.popitem(last=False)
    else:
        table.move_to_end(key)
    return found


def group_of(host: str) -> str:
    """What counts as one host: an IPv4 address, or an IPv6 /64, which one customer has to itself."""
    if ":" not in host:
        return host
    try:
        return ipaddress.IPv6Address(host.partition("%")[0]).packed[:8].hex()
    except ValueError:
        return host


def is_open(network: IpNetwork) -> bool:
    """Whether a network is so wide that it says nothing of who is in it."""
    return network.prefixlen < OPEN_BELOW[network.version]


def lies_in(host: str, networks: Sequence[IpNetwork]) -> bool:
    """Whether a numeric host is in one of the networks."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return any(address in network for network in networks)
