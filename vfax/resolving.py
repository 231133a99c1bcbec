"""Asking for names: the rim of finding the peer.

Owns      the interface `Resolver`; questions over DNS (dnspython on trio), the hosts file, the system's own resolver;
          `Finder`, which carries a search out and remembers which targets failed.
Not here  which questions to ask and what follows from the answers (transports/sip/locate.py).
Source    RFC 1035 4.2, RFC 7766 (TCP after truncation), RFC 6761 6.3, 6.4 (localhost, invalid), RFC 6762 3 (.local).

Every wait is bounded by trio: dnspython measures with the wall clock, which is not the clock of a test.
"""

import ipaddress
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import dns.asyncbackend
import dns.asyncquery
import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdatatype
import dns.resolver
import trio
from dns.rdtypes.ANY.CNAME import CNAME
from dns.rdtypes.IN.A import A
from dns.rdtypes.IN.AAAA import AAAA
from dns.rdtypes.IN.NAPTR import NAPTR
from dns.rdtypes.IN.SRV import SRV

from vfax.errors import DecodeError, LinkError, NameServiceSilent
from vfax.transports.sip import records as rr
from vfax.transports.sip.blacklist import Blacklist, BlacklistOptions, PassedOver
from vfax.transports.sip.headers import Uri, bracketed
from vfax.transports.sip.locate import LocateOptions, Roads, Search
from vfax.transports.sip.options import Dice
from vfax.transports.sip.records import HOSTS, Answers, Question, Record, RecordType, Reply, Status
from vfax.transports.sip.values import Address, Hop, Transport
from vfax.transports.udp import format_address

MAX_SERVERS: Final = 8
"""Limit: DNS servers that are asked."""
MAX_HOSTS_FILE: Final = 4 << 20
"""Limit: octets of the hosts file that are read; block lists make it long."""
PAYLOAD: Final = 1232
"""Octets of an answer over UDP that travel unbroken (DNS flag day 2020); longer ones come over TCP."""
_TROUBLES: Final = (OSError, EOFError, ValueError, dns.exception.DNSException, trio.BrokenResourceError)
"""What asking may raise: the road, a connection that ended early, octets that are no answer."""


class Resolver(Protocol):
    """Whoever answers questions about names."""

    async def ask(self, question: Question) -> Reply:
        """One answer. Does not raise: what goes wrong is in the reply. May take as long as it bounds itself."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsOptions:
    """How names are asked for; times in seconds."""

    servers: tuple[Address, ...] = ()  # numeric; empty: those of the system
    timeout: float = 2.0  # for one server's answer
    attempts: int = 2  # times that the list of servers is gone through
    lifetime: float = 8.0  # Limit: for all questions of one search
    hosts_file: bool = True  # names in the system's hosts file are not asked for
    hosts_path: Path | None = None  # another one than the system's
    locate: LocateOptions = field(default_factory=LocateOptions)
    blacklist: BlacklistOptions = field(default_factory=BlacklistOptions)


def make_resolver(options: DnsOptions) -> Resolver:
    """The resolver of this machine: its hosts file, then the DNS, then its own routines for what is not in the DNS."""
    hosts = HostsFile(options.hosts_path or hosts_path()) if options.hosts_file else None
    return LayeredResolver(hosts, DnsResolver(options), SystemResolver())


class LayeredResolver:
    """Who is asked for what: names of this machine and its neighbours are nothing for a DNS server."""

    def __init__(self, hosts: "HostsFile | None", dns_servers: "DnsResolver", system: Resolver) -> None:
        self._hosts = hosts
        self._dns = dns_servers
        self._system = system

    async def ask(self, question: Question) -> Reply:
        """As of `Resolver`."""
        name = question.name
        if name.endswith(".invalid"):
            return Reply(question, Status.NO_SUCH_NAME)
        if self._hosts is not None:
            listed = await trio.to_thread.run_sync(self._hosts.find, name)
            if listed is not None:
                return _from_hosts(question, listed)
        # Limit: a name of one label has neither NAPTR nor SRV here; the search list is the system's business.
        if "." not in name or name.endswith((".localhost", ".local")) or not self._dns.servers():
            return await self._system.ask(question)
        return await self._dns.ask(question)


# --- the DNS -----------------------------------------------------------------------------------------


class DnsResolver:
    """Asks DNS servers, one after the other until one knows."""

    def __init__(self, options: DnsOptions) -> None:
        self._options = options
        self._backend = dns.asyncbackend.get_backend("trio")
        self._system: tuple[Address, ...] = ()
        self._system_stamp: object = None

    def servers(self) -> tuple[Address, ...]:
        """The servers of the settings, else the system's as of now; empty where there are none."""
        if self._options.servers:
            return self._options.servers[:MAX_SERVERS]
        stamp = _stamp(Path("/etc/resolv.conf"))  # a machine that moves to another network rewrites it
        if stamp != self._system_stamp or self._system_stamp is None:
            self._system, self._system_stamp = system_servers(), stamp or True
        return self._system

    async def ask(self, question: Question) -> Reply:
        """As of `Resolver`: at most `attempts` times `timeout` for each server."""
        servers = self.servers()
        try:
            query = dns.message.make_query(question.name, question.kind.value, use_edns=0, payload=PAYLOAD)
        except _TROUBLES as why:
            return Reply(question, Status.FAILED, why=f"{question.name[:80]!r} cannot be asked for: {_words(why)}")
        said: dict[str, None] = {}
        for _ in range(self._options.attempts):
            for server in servers:
                reply = await self._ask_one(server, query, question)
                if reply.status is not Status.FAILED:
                    return reply
                said[reply.why] = None
        return Reply(question, Status.FAILED, why=", ".join(said) or "there is no DNS server to ask")

    async def _ask_one(self, server: Address, query: dns.message.Message, question: Question) -> Reply:
        place = f"the DNS server {format_address(server)}"
        with trio.move_on_after(self._options.timeout):
            try:
                response = await self._exchange(server, query)
            except _TROUBLES as why:
                return Reply(question, Status.FAILED, why=f"{place} cannot be asked: {_words(why)}")
            return _read(response, question, place)
        return Reply(question, Status.FAILED, why=f"{place} did not answer within {self._options.timeout:g} s")

    async def _exchange(self, server: Address, query: dns.message.Message) -> dns.message.Message:
        """Over UDP, over TCP when that was too short. Answers of others, and what is none, are not listened to."""
        host, port = server
        try:
            return await dns.asyncquery.udp(
                query,
                host,
                port=port,
                ignore_unexpected=True,
                raise_on_truncation=True,
                ignore_errors=True,
                backend=self._backend,
            )
        except dns.message.Truncated:
            return await dns.asyncquery.tcp(query, host, port=port, backend=self._backend)


def _read(response: dns.message.Message, question: Question, place: str) -> Reply:
    """A server's answer as a reply; one that does not know counts as failed, so that the next server is asked."""
    rcode = response.rcode()
    negative = _negative_ttl(response)
    if rcode == dns.rcode.NXDOMAIN:
        return Reply(question, Status.NO_SUCH_NAME, negative_ttl=negative)
    if rcode != dns.rcode.NOERROR:
        return Reply(question, Status.FAILED, why=f"{place} says {dns.rcode.to_text(rcode)}")
    if not response.answer and negative is None and _refers(response):
        return Reply(question, Status.FAILED, why=f"{place} knows nothing of it and names other servers")
    return Reply(question, Status.ANSWERED, tuple(_records(response)), negative_ttl=negative)


def _negative_ttl(response: dns.message.Message) -> float | None:
    """RFC 2308 5: the lesser of the SOA's TTL and its last field."""
    for rrset in response.authority:
        if rrset.rdtype == dns.rdatatype.SOA and len(rrset):
            return float(min(rrset.ttl, rrset[0].minimum))
    return None


def _refers(response: dns.message.Message) -> bool:
    """A lame server: no answer of its own, only a hint where to ask (RFC 2308 2.1)."""
    return any(rrset.rdtype == dns.rdatatype.NS for rrset in response.authority)


def _records(response: dns.message.Message) -> list[Record]:
    found: list[Record] = []
    for rrset in response.answer:
        values = (_value(data) for data in rrset)
        found += [Record(_name(rrset.name), value, float(rrset.ttl)) for value in values if value is not None]
    return found


def _value(data: dns.rdata.Rdata) -> rr.Value | None:
    match data:
        case NAPTR():
            flags, service, regexp = _texts(data.flags, data.service, data.regexp)
            return rr.Naptr(data.order, data.preference, flags, service, regexp, _name(data.replacement))
        case SRV():
            return rr.Srv(data.priority, data.weight, data.port, _name(data.target))
        case A() | AAAA():
            return rr.Host(str(data.address))
        case CNAME():
            return rr.Alias(_name(data.target))
        case _:
            return None


def _name(name: dns.name.Name) -> str:
    """Text without the last dot; the root is ""."""
    return name.to_text(omit_final_dot=True).removesuffix(".")


def _texts(*strings: bytes) -> list[str]:
    return [octets.decode("ascii", "replace") for octets in strings]


def _words(why: BaseException) -> str:
    return getattr(why, "strerror", None) or str(why) or type(why).__name__


def system_servers() -> tuple[Address, ...]:
    """The DNS servers that the system is set up with; empty when it tells of none."""
    try:
        known = dns.resolver.Resolver(configure=True)
    except _TROUBLES:
        return ()
    return tuple((server, known.port) for server in known.nameservers if isinstance(server, str) and _numeric(server))[
        :MAX_SERVERS
    ]


def _numeric(text: str) -> bool:
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True


# --- this machine ------------------------------------------------------------------------------------


class SystemResolver:
    """The system's own routines, for addresses alone; it bounds itself, or whoever waits does."""

    async def ask(self, question: Question) -> Reply:
        """As of `Resolver`."""
        if question.kind not in (RecordType.A, RecordType.AAAA):
            return Reply(question)
        family = trio.socket.AF_INET6 if question.kind is RecordType.AAAA else trio.socket.AF_INET
        try:
            found = await trio.socket.getaddrinfo(question.name, None, family=family, type=trio.socket.SOCK_DGRAM)
        except trio.socket.gaierror as why:
            if why.errno in (trio.socket.EAI_NONAME, getattr(trio.socket, "EAI_NODATA", trio.socket.EAI_NONAME)):
                return Reply(question, Status.NO_SUCH_NAME)
            return Reply(question, Status.FAILED, why=f"this machine cannot look it up: {_words(why)}")
        except (OSError, UnicodeError) as why:
            return Reply(question, Status.FAILED, why=f"this machine cannot look it up: {_words(why)}")
        return _from_hosts(question, tuple(str(one[4][0]) for one in found))


class HostsFile:
    """The system's hosts file, read again when it has changed. Blocking: for a thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: object = None
        self._names: dict[str, tuple[str, ...]] = {}

    def find(self, name: str) -> tuple[str, ...] | None:
        """The addresses of a name, None when it is not there. A file that cannot be read has no names."""
        stamp = _stamp(self._path)
        if stamp != self._seen:
            self._names, self._seen = self._read(), stamp
        return self._names.get(name)

    def _read(self) -> dict[str, tuple[str, ...]]:
        try:
            with self._path.open("rb") as file:
                text = file.read(MAX_HOSTS_FILE).decode("utf-8", "replace")
        except OSError:
            return {}
        found: dict[str, tuple[str, ...]] = {}
        for line in text.splitlines():
            address, *names = line.partition("#")[0].split() or [""]
            if _numeric(address):
                for name in names:
                    key = rr.normal(name)
                    found[key] = (*found.get(key, ()), address)
        return found


def hosts_path() -> Path:
    """Where the system keeps its hosts file."""
    if sys.platform == "win32":
        return Path(os.environ.get("SYSTEMROOT", "C:/Windows"), "System32/drivers/etc/hosts")
    return Path("/etc/hosts")


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        known = path.stat()
    except OSError:
        return None
    return known.st_mtime_ns, known.st_size


def _from_hosts(question: Question, listed: tuple[str, ...]) -> Reply:
    """What this machine knows by itself holds for now: it is looked up again next time. It has no SRV and no NAPTR."""
    wanted = [one for one in dict.fromkeys(listed) if HOSTS.get(question.kind) == ipaddress.ip_address(one).version]
    return Reply(question, Status.ANSWERED, tuple(Record(question.name, rr.Host(one), 0.0) for one in wanted))


# --- a search carried out ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Way:
    """Where to try, in order, at least one; what was passed over and why; what did not work on the way.

    `goals` has for each target the number of the goal that leads there.
    """

    targets: tuple[Hop, ...]
    passed_over: tuple[PassedOver, ...] = ()
    notes: tuple[str, ...] = ()
    goals: tuple[int, ...] = ()


class Finder:
    """Finds peers: one for all calls of an endpoint, so that answers and failures are remembered."""

    def __init__(self, options: DnsOptions, resolver: Resolver, dice: Dice) -> None:
        self._options = options
        self._resolver = resolver
        self._dice = dice
        self.answers = Answers(options.locate.cache)
        self.blacklist = Blacklist(options.blacklist)

    async def find(self, goals: Sequence[Uri], roads: Roads) -> Way:
        """The targets of `goals` in their order (ordered gateways).

        Raises LinkError with one sentence for none, NameServiceSilent where that may change by itself.
        """
        now = trio.current_time()
        search = Search(goals, roads, self._options.locate, self.answers, self._dice, now)
        with trio.move_on_after(self._options.lifetime):
            async with trio.open_nursery() as nursery:
                self._ask(search, nursery)
        now = trio.current_time()
        if not search.done:
            search.give_up(now, f"no answer came within {self._options.lifetime:g} s")
        if not search.found.targets:
            raise (NameServiceSilent if search.found.passing else LinkError)(search.found.why)
        targets, passed_over = self.blacklist.sift(search.found.targets, now)
        return Way(targets, passed_over, search.found.notes, tuple(search.found.goals[hop] for hop in targets))

    async def host(self, name: str, port: int, ours: Address) -> Address:
        """A numeric address of a host that is no SIP server, in the family of `ours`. Raises LinkError for none."""
        family = 6 if ":" in ours[0] else 4
        try:
            goal = Uri.parse(f"sip:{bracketed(name)}:{port}")
        except DecodeError as why:
            raise LinkError(f"{name!r} is no name of a host") from why
        return (await self.find([goal], Roads(((Transport.UDP, family),)))).targets[0].address

    def _ask(self, search: Search, nursery: trio.Nursery) -> None:
        for question in search.take_questions():
            nursery.start_soon(self._carry, search, question, nursery)

    async def _carry(self, search: Search, question: Question, nursery: trio.Nursery) -> None:
        search.receive(await self._resolver.ask(question), trio.current_time())
        self._ask(search, nursery)
