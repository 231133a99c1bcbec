"""What a resolver is asked and what it answers: DNS as values, and the answers that are kept for a while.

Owns      questions, records, replies; following aliases through one reply; a cache with bounds.
Not here  which questions a search asks (locate.py), how they travel (vfax/resolving.py).
Source    RFC 1034 3.6.2 (CNAME), RFC 2782 (SRV), RFC 3403 (NAPTR), RFC 2308 (negative answers), RFC 1035 2.3.4 (sizes).

A reply is the outside's word: it may hold what was not asked, loop, or be huge. Nothing here raises for it.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import Final

LONGEST_NAME: Final = 253  # RFC 1035 2.3.4: 255 octets on the wire
LONGEST_LABEL: Final = 63


class RecordType(StrEnum):
    """The kinds of records that lead to a SIP server."""

    NAPTR = "NAPTR"
    SRV = "SRV"
    A = "A"
    AAAA = "AAAA"


HOSTS: Final = {RecordType.A: 4, RecordType.AAAA: 6}
"""The records of addresses, with the version of the addresses."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question; `name` is as `normal` writes it."""

    name: str
    kind: RecordType

    def __str__(self) -> str:
        return f"{self.kind} of {self.name}"


@dataclass(frozen=True, slots=True)
class Naptr:
    """NAPTR without the regular expression's meaning: RFC 3263 uses the replacement alone."""

    order: int
    preference: int
    flags: str
    service: str
    regexp: str
    replacement: str


@dataclass(frozen=True, slots=True)
class Srv:
    """SRV; a `target` of "" (the root) says that the service is decidedly not there (RFC 2782)."""

    priority: int
    weight: int
    port: int
    target: str


@dataclass(frozen=True, slots=True)
class Host:
    """A or AAAA: a numeric address."""

    address: str


@dataclass(frozen=True, slots=True)
class Alias:
    """CNAME."""

    target: str


Value = Naptr | Srv | Host | Alias


@dataclass(frozen=True, slots=True)
class Record:
    """One record of an answer section; `ttl` in seconds."""

    owner: str
    value: Value
    ttl: float


class Status(Enum):
    """How a question was answered."""

    ANSWERED = auto()  # with records, or with the word that there are none of this kind
    NO_SUCH_NAME = auto()
    FAILED = auto()  # nobody knows: no server, silence, refusal, garbage


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one question. `why` is a clause for people ("... : no server answered") where it failed, or could
    not be asked.

    `negative_ttl` is what the zone says about how long there is nothing, None where it does not say.
    """

    question: Question
    status: Status = Status.ANSWERED
    records: tuple[Record, ...] = ()
    why: str = ""
    negative_ttl: float | None = None


def normal(name: str) -> str:
    """A name as it is compared: lower case, without the dot at its end."""
    return name.lower().removesuffix(".")


def is_name(name: str) -> bool:
    """Whether a name can be asked for: labels of 1 to 63 octets, 253 in all."""
    labels = name.split(".")
    return len(name) <= LONGEST_NAME and name.isascii() and all(0 < len(label) <= LONGEST_LABEL for label in labels)


@dataclass(frozen=True, slots=True)
class Settled:
    """What one reply says of one name after its aliases: values, or the name to ask next (`onward`), or nothing."""

    values: tuple[Naptr | Srv | Host, ...] = ()
    onward: str = ""


_TYPES: Final[dict[RecordType, type]] = {
    RecordType.NAPTR: Naptr,
    RecordType.SRV: Srv,
    RecordType.A: Host,
    RecordType.AAAA: Host,
}


def settle(reply: Reply, max_records: int) -> Settled:
    """Read a reply's records; those of other names and kinds are passed over. A loop of aliases has no values."""
    wanted = _TYPES[reply.question.kind]
    name, seen = reply.question.name, set[str]()
    records = reply.records[:max_records]  # Limit: records of one answer
    while name not in seen:
        seen.add(name)
        own = [record.value for record in records if normal(record.owner) == name]
        values = tuple(v for v in own if not isinstance(v, Alias) and isinstance(v, wanted) and _fits(v, reply))
        if values:
            return Settled(values)
        aliases = [value.target for value in own if isinstance(value, Alias)]
        if not aliases:
            return Settled(onward=name if name != reply.question.name else "")
        name = normal(aliases[0])
    return Settled()


def _fits(value: Naptr | Srv | Host, reply: Reply) -> bool:
    return not isinstance(value, Host) or (":" in value.address) == (reply.question.kind is RecordType.AAAA)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheOptions:
    """Bounds of the cache; times in seconds."""

    min_ttl: float = 5.0  # a lower one is raised to this: a call is not to cost a question a second
    max_ttl: float = 3600.0  # Limit: a higher one is believed this long
    negative_ttl: float = 30.0  # Limit: how long there is nothing, at the most
    failure_ttl: float = 5.0  # how long a failed question is not asked again
    max_cached: int = 1000  # Limit: answers kept


class Answers:
    """The cache. The answer that would go first makes room for a new one."""

    def __init__(self, options: CacheOptions) -> None:
        self._options = options
        self._kept: dict[Question, tuple[float, Reply]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, question: Question, now: float) -> Reply | None:
        """The answer that is still good."""
        until, reply = self._kept.get(question, (-math.inf, None))
        return reply if now < until else None

    def keep(self, reply: Reply, now: float) -> None:
        """Keep an answer as long as it says, within the bounds."""
        self._kept.pop(reply.question, None)
        if len(self._kept) >= self._options.max_cached:
            self._make_room(now)
        self._kept[reply.question] = (now + self._lifetime(reply), reply)

    def forget(self) -> None:
        """Ask everything anew."""
        self._kept.clear()

    def _make_room(self, now: float) -> None:
        stale = [question for question, (until, _) in self._kept.items() if until <= now]
        for question in stale or [min(self._kept, key=lambda kept: self._kept[kept][0])]:
            del self._kept[question]

    def _lifetime(self, reply: Reply) -> float:
        options = self._options
        if reply.status is Status.FAILED:
            return options.failure_ttl
        if reply.status is Status.NO_SUCH_NAME or not reply.records:
            said = options.negative_ttl if reply.negative_ttl is None else reply.negative_ttl
            return min(max(said, options.min_ttl), max(options.negative_ttl, options.min_ttl))
        return min(max(min(record.ttl for record in reply.records), options.min_ttl), options.max_ttl)


def addresses(values: tuple[Naptr | Srv | Host, ...]) -> Iterator[str]:
    """The numeric addresses among settled values."""
    return (value.address for value in values if isinstance(value, Host))
