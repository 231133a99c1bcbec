"""Finding the peer: from SIP URIs to hops in the order in which they are to be tried; pure.

Owns      which questions a URI asks of the DNS, transport and order of the targets, what is said when there are none.
Not here  how questions travel (vfax/resolving.py), records and their cache (records.py), targets that failed a while
          ago (blacklist.py), trying one after the other (errands.py).
Source    RFC 3263 (June 2002) 4; RFC 2782 for the order of SRV records; RFC 3261 26.2.2 (sips).

A `Search` looks at what it has been told and at nothing else: each answer has it draw up the whole plan anew, and what
the plan lacks are the next questions. So there is no half-way state, and answers may come in any order.

In: `receive`, `give_up`. Out: `take_questions`, `done`, `found`.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Final

from vfax.transports.sip.headers import Uri
from vfax.transports.sip.hops import transport_of
from vfax.transports.sip.options import Dice
from vfax.transports.sip.records import (
    HOSTS,
    Answers,
    CacheOptions,
    Naptr,
    Question,
    RecordType,
    Reply,
    Settled,
    Srv,
    Status,
    addresses,
    is_name,
    normal,
    settle,
)
from vfax.transports.sip.values import Hop, Transport

Family = int
"""4 or 6."""
Road = tuple[Transport, Family]

HOST_TYPES: Final[dict[Family, RecordType]] = {family: kind for kind, family in HOSTS.items()}
SERVICES: Final = {"sip+d2u": Transport.UDP, "sip+d2t": Transport.TCP, "sips+d2t": Transport.TLS}
"""What NAPTR calls the transports (RFC 3263 4.1)."""
SRV_LABELS: Final = {Transport.UDP: "_sip._udp", Transport.TCP: "_sip._tcp", Transport.TLS: "_sips._tcp"}
SPOKEN: Final = {Transport.UDP: "SIP over UDP", Transport.TCP: "SIP over TCP", Transport.TLS: "SIP over TLS"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LocateOptions:
    """Bounds of a search."""

    naptr: bool = True  # ask for NAPTR records; few networks have any
    srv: bool = True  # ask for SRV records
    max_records: int = 64  # Limit: records read of one answer
    max_services: int = 16  # Limit: SRV records followed of one name
    max_addresses: int = 8  # Limit: addresses of one host
    max_targets: int = 8  # Limit: targets of one gateway
    max_questions: int = 60  # Limit: questions of one search
    max_aliases: int = 8  # Limit: aliases followed from answer to answer
    cache: CacheOptions = field(default_factory=CacheOptions)


@dataclass(frozen=True, slots=True)
class Roads:
    """The sockets there are, in the order in which they are preferred: each transport with its address families."""

    known: tuple[Road, ...]

    def transports(self) -> list[Transport]:
        """Each transport once, the preferred first."""
        return list(dict.fromkeys(transport for transport, _ in self.known))

    def families(self, transport: Transport) -> list[Family]:
        """The families of a transport, the preferred first."""
        return [family for one, family in self.known if one is transport]


@dataclass(frozen=True, slots=True)
class Found:
    """What a search came to: targets, best first; without any, `why` is the sentence that says so.

    `notes` say what did not work on the way, also where there are targets. `goals`: to which of the goals (by number)
    a target belongs, the first where it is to be found by several. `passing`: a question was not answered, so that
    more may be found later.
    """

    targets: tuple[Hop, ...]
    why: str = ""
    notes: tuple[str, ...] = ()
    goals: Mapping[Hop, int] = field(default_factory=dict)
    passing: bool = False


class _Missing(Exception):
    """The plan cannot go on without an answer that has not come."""


class Search:
    """One search for `goals`, in order: the targets of the second follow those of the first (ordered gateways)."""

    def __init__(
        self, goals: Sequence[Uri], roads: Roads, options: LocateOptions, answers: Answers, dice: Dice, now: float
    ) -> None:
        self._goals = goals
        self._roads = roads
        self._options = options
        self._answers = answers
        self._dice = dice
        self._told: dict[Question, Reply] = {}
        self._asked: set[Question] = set()
        self._open: set[Question] = set()
        self._questions: list[Question] = []
        self._drawn: dict[str, tuple[Srv, ...]] = {}  # the dice fall once for each set of SRV records
        self._over = False
        self._found = Found(())
        self._plan(now)

    # --- out ----------------------------------------------------------------------------------------

    def take_questions(self) -> list[Question]:
        """Questions to ask since last asked; they may be asked all at once."""
        taken, self._questions = self._questions, []
        return taken

    @property
    def done(self) -> bool:
        """Whether no question is open."""
        return self._over

    @property
    def found(self) -> Found:
        """What is known so far, or at the end."""
        return self._found

    # --- in -----------------------------------------------------------------------------------------

    def receive(self, reply: Reply, now: float) -> None:
        """Take an answer; one that was not asked for is not looked at."""
        if reply.question not in self._open:
            return
        self._answers.keep(reply, now)
        self._tell(reply)
        self._plan(now)

    def give_up(self, now: float, why: str) -> None:
        """Time is over: what has not been answered counts as failed. Not cached, for nobody said so."""
        while not self._over:
            for question in list(self._open):
                self._tell(Reply(question, Status.FAILED, why=why))
            self._questions.clear()
            self._plan(now)

    def _tell(self, reply: Reply) -> None:
        self._open.discard(reply.question)
        self._told[reply.question] = reply

    # --- the plan -----------------------------------------------------------------------------------

    def _plan(self, now: float) -> None:
        targets: dict[Hop, int] = {}
        notes: dict[str, None] = {}
        passing = False
        for number, goal in enumerate(self._goals):
            plan = _Plan(self, goal, now)
            passing = passing or plan.passing
            for target in plan.targets:
                targets.setdefault(target, number)
            notes.update(dict.fromkeys(plan.notes))
        self._over = not self._open
        why = "" if targets else self._sentence(notes)
        self._found = Found(tuple(targets), why, tuple(notes), targets, passing)

    def _sentence(self, notes: Iterable[str]) -> str:
        names = " or ".join(dict.fromkeys(target_of(goal) or goal.text for goal in self._goals))
        return f"no address is known for {names}: {'; '.join(notes) or 'it was not asked for'}"

    @property
    def roads(self) -> Roads:
        """The sockets there are."""
        return self._roads

    @property
    def options(self) -> LocateOptions:
        """The bounds."""
        return self._options

    def look_up(self, question: Question, now: float) -> tuple[Settled, Reply]:
        """The answer to a question through its aliases. Raises _Missing when something has to be asked first."""
        for _ in range(1 + self._options.max_aliases):  # Limit: aliases
            reply = self._reply(question, now)
            settled = settle(reply, self._options.max_records)
            if settled.values or not settled.onward:
                return settled, reply
            question = Question(settled.onward, question.kind)
        return Settled(), Reply(question, Status.FAILED, why="its aliases (CNAME) lead round in a circle")

    def _reply(self, question: Question, now: float) -> Reply:
        if (told := self._told.get(question)) is not None:
            return told
        if question in self._open:
            raise _Missing
        if not is_name(question.name):
            return Reply(question, Status.NO_SUCH_NAME, why=f"{question.name[:80]!r} is no name of a host")
        if (kept := self._answers.find(question, now)) is not None:
            self._told[question] = kept
            return kept
        if len(self._asked) >= self._options.max_questions:  # Limit: questions of one search
            return Reply(question, Status.FAILED, why=f"more than {self._options.max_questions} questions were needed")
        self._asked.add(question)
        self._open.add(question)
        self._questions.append(question)
        raise _Missing

    def in_order(self, name: str, records: Sequence[Srv]) -> tuple[Srv, ...]:
        """SRV records of `name` as RFC 2782 has them tried; the same each time within one search."""
        if name not in self._drawn:
            self._drawn[name] = tuple(in_order(records, self._dice))[: self._options.max_services]
        return self._drawn[name]


class _Plan:
    """The targets of one goal as far as answers go, and what stands in the way of the others."""

    def __init__(self, search: Search, goal: Uri, now: float) -> None:
        self._search = search
        self._goal = goal
        self._now = now
        self._name = normal(target_of(goal))
        self._targets: dict[Hop, None] = {}
        self._notes: list[str] = []
        self._failures: dict[str, list[str]] = {}  # why, and what had been asked
        self._begin()

    @property
    def targets(self) -> tuple[Hop, ...]:
        """Best first."""
        return tuple(self._targets)[: self._search.options.max_targets]  # Limit: targets of one goal

    @property
    def passing(self) -> bool:
        """Whether a question was not answered."""
        return bool(self._failures)

    @property
    def notes(self) -> list[str]:
        """What stands in the way."""
        failures = [f"{why} (asked for {', '.join(asked[:5])})" for why, asked in self._failures.items()]
        return [*failures, *self._notes]

    def _begin(self) -> None:
        """RFC 3263 4.1: a transport first."""
        goal, roads = self._goal, self._search.roads
        said = transport_of(goal)
        named = goal.parameters.get("transport")
        if goal.scheme not in ("sip", "sips") or not self._name:
            self._note(f"{goal.text[:80]} is no SIP address")
        elif said is None:
            self._note(f"{goal.scheme}: over {(named or 'nothing')[:20]} is not spoken here")
        elif said[1] and not roads.families(said[0]):
            self._note(f"{SPOKEN[said[0]]} is not set up here")
        else:
            transport, fixed = said
            if not fixed and not roads.families(transport):
                transport = next(iter(roads.transports()), transport)
            if numeric_host(self._name):
                self._direct(transport, fixed)
            elif goal.port:
                self._hosts(transport, self._name, goal.port, fixed)
            elif named:
                self._by_service(transport, [transport])
            else:
                self._by_name(transport, [transport] if fixed else roads.transports())

    def _direct(self, transport: Transport, fixed: bool) -> None:
        family = ipaddress.ip_address(self._name).version
        if family in self._search.roads.families(transport):
            self._add(transport, self._name, self._goal.port or transport.port, fixed)
        else:
            missing = f"there is no IPv{family} socket for {SPOKEN[transport]} ([sip] listen_also adds one)"
            self._note(f"{self._name} is IPv{family}, and {missing}")

    def _by_name(self, otherwise: Transport, allowed: Sequence[Transport]) -> None:
        """Neither transport nor port is named: NAPTR, else SRV of each transport, else addresses."""
        if not self._by_naptr(allowed):
            self._by_service(otherwise, allowed)

    def _by_service(self, otherwise: Transport, allowed: Sequence[Transport]) -> None:
        """SRV of each transport, else addresses with the transport's own port."""
        if not self._services(allowed):
            fixed = "transport" in self._goal.parameters
            self._hosts(otherwise, self._name, otherwise.port, fixed)

    def _by_naptr(self, allowed: Sequence[Transport]) -> bool:
        """True when NAPTR records decide, or are still to come."""
        if not self._search.options.naptr:
            return False
        found = self._ask(self._name, RecordType.NAPTR)
        if found is None:
            return True
        offered = [value for value in found[0].values if isinstance(value, Naptr) and is_sip(value)]
        usable = [one for one in offered if SERVICES.get(one.service.lower()) in allowed]
        if offered and not usable:
            services = ", ".join(one.service[:20] for one in offered[:4])
            self._note(f"its NAPTR records offer {services} alone, which is not spoken here")
        for one in sorted(usable, key=lambda each: (each.order, each.preference)):
            self._follow(SERVICES[one.service.lower()], normal(one.replacement))
        return bool(offered)

    def _services(self, transports: Iterable[Transport]) -> bool:
        """SRV of the target for each transport. True when there are any, or when they are still to come.

        Deviation: a sip: address without a transport asks for _sips._tcp, too, after the others (RFC 3263 4.1 has it
        for sips: alone): some providers announce nothing else.
        """
        if not self._search.options.srv:
            return False
        there = [self._follow(transport, f"{SRV_LABELS[transport]}.{self._name}") for transport in transports]
        return any(there)

    def _follow(self, transport: Transport, name: str) -> bool:
        """The targets of one set of SRV records. False when there is none."""
        found = self._ask(name, RecordType.SRV)
        if found is None:
            return True
        records = [value for value in found[0].values if isinstance(value, Srv)]
        if not records:
            return False
        for record in self._search.in_order(name, records):
            if not record.target:
                self._note(f"its SRV record {name} says that {SPOKEN[transport]} is not there")
            elif not record.port:
                self._note(f"its SRV record {name} names port 0")
            else:
                self._hosts(transport, normal(record.target), record.port, fixed=True)
        return True

    def _hosts(self, transport: Transport, name: str, port: int, fixed: bool) -> None:
        """The addresses of a host, families by turns, so that the second try is another road."""
        families = self._search.roads.families(transport)
        if numeric_host(name):  # Quirk: SRV records that name an address where a name belongs
            families = [family for family in families if family == ipaddress.ip_address(name).version]
            columns = [[name]] if families else []
        else:
            columns = [self._addresses(name, family) for family in families]
        for row in zip_longest(*columns):
            for host in row:
                if host is not None:
                    self._add(transport, host, port, fixed)
        if not families:
            self._note(f"{name} is for {SPOKEN[transport]}, and there is no such socket here")

    def _addresses(self, name: str, family: Family) -> list[str]:
        found = self._ask(name, HOST_TYPES[family])
        if found is None:
            return []
        settled, reply = found
        known = list(dict.fromkeys(addresses(settled.values)))[: self._search.options.max_addresses]
        if not known and reply.status is Status.ANSWERED:
            self._note(f"{name} has no IPv{family} address")
        return known

    def _ask(self, name: str, kind: RecordType) -> tuple[Settled, Reply] | None:
        """An answer, or None when it is still to come; says why it failed, where it did."""
        try:
            settled, reply = self._search.look_up(Question(name, kind), self._now)
        except _Missing:
            return None
        if reply.status is Status.FAILED:
            self._failures.setdefault(reply.why, []).append(f"{kind} of {name}")
        elif reply.status is Status.NO_SUCH_NAME and kind in HOSTS:
            self._note(reply.why or f"there is no such name as {name}")
        return settled, reply

    def _add(self, transport: Transport, host: str, port: int, fixed: bool) -> None:
        """RFC 5922 5: the certificate is to be for the name that was asked for, wherever the DNS has led."""
        name = "" if numeric_host(self._name) else self._name
        self._targets[Hop(transport, host, port, name=name, fixed=fixed or transport.reliable)] = None

    def _note(self, note: str) -> None:
        self._notes.append(note)


def target_of(uri: Uri) -> str:
    """TARGET of RFC 3263 4: maddr, else the host."""
    return (uri.parameters.get("maddr") or uri.host).strip("[]")


def numeric_host(host: str) -> bool:
    """Whether a host is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_sip(record: Naptr) -> bool:
    """Whether a NAPTR record leads to SRV records of SIP (RFC 3263 4.1: flag s, no regular expression)."""
    service = record.service.lower()
    return record.flags.lower() == "s" and service.startswith(("sip+", "sips+")) and bool(record.replacement)


def in_order(records: Iterable[Srv], dice: Dice) -> Iterator[Srv]:
    """SRV records as RFC 2782 has them tried: by priority, among equals by the dice in proportion to their weights."""
    by_priority: dict[int, list[Srv]] = {}
    for record in records:
        by_priority.setdefault(record.priority, []).append(record)
    for priority in sorted(by_priority):
        left = sorted(by_priority[priority], key=lambda record: record.weight)  # those of weight 0 first
        while left:
            chosen = _draw(left, dice)
            left.remove(chosen)
            yield chosen


def _draw(records: Sequence[Srv], dice: Dice) -> Srv:
    """RFC 2782: a number from 0 to the sum of the weights; the first record whose running sum reaches it."""
    number = dice.randrange(0, sum(record.weight for record in records) + 1)
    running = 0
    for record in records:
        running += record.weight
        if running >= number:
            return record
    return records[-1]
