"""The network of a virtual device: one SIP endpoint on trio.

Owns      the SIP sockets, the agent's clock, who may talk to it, journal files; `Network` of call.py.
Not here  SIP itself (transports/sip), the calls (call_table.py, calls.py), media ports (media_desk.py), devices and
          lines (device/).
"""

import ipaddress
import math
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import trio

from vfax import call
from vfax.abuse import Gate
from vfax.call_table import CallTable
from vfax.calls import OutgoingFax
from vfax.capture import CaptureOptions
from vfax.carried import Carried
from vfax.disk import Disk
from vfax.endpoint_options import Counters, EndpointOptions, nat_options, sip_options
from vfax.errors import LinkError, fault_place, only_one
from vfax.inquiries import Inquiries
from vfax.learned import Learned
from vfax.leg import LegOptions
from vfax.lookups import Lookups, goal, said
from vfax.media_desk import MediaDesk, MediaWay
from vfax.nat import Nat
from vfax.plain import plain_of
from vfax.record import RecordOptions
from vfax.resolving import Finder, Resolver, Way, make_resolver
from vfax.securing import Securing
from vfax.sockets import Listen, Sockets
from vfax.switchboard import Switchboard, certificates_of
from vfax.tending import Tending
from vfax.transports.sip import values as sip
from vfax.transports.sip.account import NO_ACCOUNT, Account
from vfax.transports.sip.agent import Agent
from vfax.transports.sip.locate import Roads
from vfax.transports.sip.message import MessageError
from vfax.transports.sip.negotiation import MediaSession
from vfax.transports.sip.outside import Asking
from vfax.transports.sip.sieve import Nuisance
from vfax.transports.sip.values import Address, CallKey, Destination, Flow, Hop
from vfax.transports.sip_streams import StreamHooks
from vfax.transports.tcp import MediaSocket
from vfax.transports.udp import format_address

__all__ = ["Counters", "Endpoint", "EndpointOptions"]

MAX_NOTICES = 100
"""Limit: sentences that are kept for the operator."""


class Endpoint:
    """One SIP endpoint: implements `call.Network`."""

    def __init__(self, options: EndpointOptions, *, seed: int | None = None, resolver: Resolver | None = None) -> None:
        self.options = options
        self.counters = Counters()
        self.watch_ways: Callable[[sip.Report], None] = lambda report: None
        """Is told what the agent reports of targets and of our own address, after the endpoint has acted on it."""
        self.watch_notices: Callable[[str], None] = lambda sentence: None
        """Hears each sentence for the operator as it comes."""
        self._dice = random.SystemRandom() if seed is None else random.Random(seed)
        self._securing = Securing(options.dtls, self._dice)
        self._media = MediaDesk(options, self._securing, self._dice)
        self.finder = Finder(options.dns, resolver or make_resolver(options.dns), self._dice)
        self._kept: dict[str, frozenset[sip.Destination]] = {}
        self._nat: Nat | None = None
        self.switchboard = Switchboard(options.trunks, options.leg)
        self.notices: deque[str] = deque(maxlen=MAX_NOTICES)  # sentences for the operator, newest last
        self.learned = Learned(
            options.learned,
            options.learning,
            options.disk,
            keeps=options.resident,
            tell=self.notice,
        )
        self._allow = tuple(ipaddress.ip_network(text) for text in options.allow)
        self.gate = Gate(options.sieve, self._allow, options.abuse_log, self.switchboard.desk.book)
        self._calls = CallTable(self)
        self._wake = trio.Event()
        self._armed = math.inf
        self._sockets: Sockets | None = None
        self._agent: Agent | None = None
        self._tending: Tending | None = None
        self._deaf = False  # the sockets broke
        self._quieter = trio.Event()  # something was heard or sent
        self._inquiries = Inquiries()

    @property
    def address(self) -> Address:
        """The bound host and port of the first place."""
        if self._sockets is None:
            raise LinkError("the endpoint is not running: await run() first")
        return self._sockets.address

    @property
    def addresses(self) -> list[Listen]:
        """All places, as they are bound."""
        return list(self.sockets.addresses)

    async def run(
        self,
        on_call: Callable[[call.InboundCall], None],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until cancelled (see `call.Network.run`). Calls that are up then are hung up."""
        self._securing.begin((self.options.leg, *(trunk.leg for trunk in self.options.trunks)))
        self._sockets = sockets = self._open()
        self._deaf = False
        self._calls.open(on_call)
        try:
            self.gate.open()
            await self._serve(sockets, self._begin(sockets), task_status)
        except ExceptionGroup as group:
            raise only_one(group) from None
        finally:
            self._calls.closing = False
            self._calls.cut_off()
            self._inquiries.give_up()
            sockets.close()
            self.gate.close()
            self._sockets = self._agent = self._nat = self._tending = None

    def _begin(self, sockets: Sockets) -> Tending:
        """Make the agent and what stands around it."""
        self._lookups = Lookups(self.finder, lambda: self._roads(NO_ACCOUNT), self._found_way)
        self._agent = Agent(
            sip_options(self.options),
            contact=sockets.local,
            dice=self._dice,
            now=trio.current_time(),
            admission=self.switchboard.admission(self._allow, self._dice),
            sieve=self.gate.sieve,
        )
        self._tending = tending = self.switchboard.tending(self, self._dice, everybody=self.options.resident)
        self._nat = Nat(
            nat_options(self.options),
            self._agent,
            sockets,
            self.finder,
            self._dice,
            self.notice,
            book=self.switchboard.desk.book,
            moved=tending.look_again,
        )
        return tending

    async def _serve(self, sockets: Sockets, tending: Tending, task_status: trio.TaskStatus[None]) -> None:
        """Until cancelled; then take leave of everybody."""
        await sockets.streams.check()
        await self.learned.load()
        hearing = trio.CancelScope()
        async with trio.open_nursery() as house:
            house.start_soon(self._carry, sockets)
            try:
                await sockets.streams.started.wait()
                hearing = await house.start(self._hear, sockets)
                house.start_soon(self.learned.run)
                house.start_soon(self._lookups.run)
                task_status.started()
                await tending.run()
            finally:
                self._calls.closing = True
                self._calls.cut_off()
                await self._take_leave()
                hearing.cancel()
                sockets.streams.finish()

    def _open(self) -> Sockets:
        options = self.options
        return Sockets(
            (Listen(*options.listen), *options.listen_also),
            public_address=options.public_address,
            public_port=options.public_port,
            tls=options.tls,
            streams=options.streams,
            sip_options=options.sip,
            hooks=StreamHooks(
                owner=self,
                lost=self._flow_lost,
                unreachable=self._unreachable,
                may_talk=self._may_talk,
                say=self.notice,
                refused=self.gate.refuse,
            ),
            towards=certificates_of(options.trunks),
        )

    @staticmethod
    async def _carry(sockets: Sockets) -> None:
        """Run the connections; they outlast being cancelled until the last words of the calls have left."""
        with trio.CancelScope(shield=True):
            await sockets.streams.run()

    async def _hear(self, sockets: Sockets, *, task_status: trio.TaskStatus[trio.CancelScope]) -> None:
        """Hear and keep time, until the scope is cancelled: longer than anything else, for goodbyes want answers."""
        with trio.CancelScope(shield=True) as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep_time)
                if self._nat is not None:
                    nursery.start_soon(self._nat.run, self._kept_ways)
                nursery.start_soon(self._read, sockets)
                task_status.started(scope)

    async def _read(self, sockets: Sockets) -> None:
        try:
            await sockets.read(self._hear_datagram)
        except LinkError:
            self._deaf = True
            raise

    async def _take_leave(self) -> None:
        """Write down what was learned, take back what is registered, have our goodbyes heard, while we can hear."""
        with trio.CancelScope(shield=True):
            await self.learned.save()
            if self._tending is not None and not self._deaf:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._tending.leave)
                    nursery.start_soon(self._wait_for_goodbyes)

    async def _wait_for_goodbyes(self) -> None:
        """Until each BYE and CANCEL has had its answer; a CANCEL may not even leave before a 1xx has come."""
        with trio.move_on_after(self.options.goodbye):
            while self.agent.parting:
                self._quieter = trio.Event()
                await self._quieter.wait()

    async def ask(self, asking: Asking) -> sip.RequestDone:
        """Send an OPTIONS or REGISTER and wait for its end. Raises LinkError once the endpoint is shut down."""
        key = self.agent.request(asking, trio.current_time())
        return await self._inquiries.wait(key, self.pump)

    def place_shown(self, hop: Hop) -> str:
        """Our host and port as `hop` is told (`switchboard.Rim`)."""
        return self.agent.place_shown(hop)

    def request(self, asking: Asking) -> sip.RequestKey:
        """Send an OPTIONS or REGISTER (`switchboard.Rim`)."""
        return self.agent.request(asking, trio.current_time())

    def outbound(self) -> OutgoingFax:
        """A fresh outgoing call."""
        return OutgoingFax(self)

    def notice(self, sentence: str) -> None:
        """Have the operator told; does not raise."""
        self.notices.append(sentence)
        self.watch_notices(sentence)

    # --- for those who want to know ----------------------------------------------------------------

    def trunk_rows(self) -> call.Rows:
        """As of `call.TrunkNetwork`."""
        told = self._nat.in_use if self._nat is not None else None
        return [cast("Mapping[str, object]", plain_of(row)) for row in self.switchboard.rows(told)]

    def peer_rows(self) -> call.Rows:
        """As of `call.TrunkNetwork`."""
        return [cast("Mapping[str, object]", plain_of(row)) for row in self.learned.rows()]

    async def forget_peers(self, peer: str, number: str) -> int:
        """As of `call.TrunkNetwork`."""
        return await self.learned.forget(peer, number)

    # --- the agent's rim -------------------------------------------------------------------------

    def _hear_datagram(self, datagram: bytes, flow: Flow) -> None:
        if self._nat is not None and self._nat.hear(datagram, flow):
            return
        agent, now = self.agent, trio.current_time()
        if not self._may_talk(flow.remote[0]):
            self.counters.not_allowed += 1
            self.gate.sieve.note(flow.remote[0], Nuisance.NETWORK, now)
        elif self.gate.admits(datagram, flow, agent.knows, now):
            with self._apart(f"A message of {flow.remote[0]}"):
                agent.receive(datagram, flow, now)
            self.pump()
        self.gate.tell()

    @contextmanager
    def _apart(self, what: str) -> Iterator[None]:
        """A fault of ours costs what met it, not the faxes of others. Told once: there may be many."""
        try:
            yield
        except Exception as why:
            if self.counters.add_fault():
                self.notice(f"{what} met a fault of vfax and was dropped ({fault_place(why)}): please report it.")

    def hear(self, message: bytes, flow: Flow) -> float:
        """A message of a stream (`sip_connection.Owner`)."""
        if self._agent is None:
            return 0.0
        pause = self.gate.pause(message, flow, self._agent.knows)
        self._hear_datagram(message, flow)
        return pause

    def hear_fault(self, fault: MessageError, flow: Flow) -> None:
        """A stream that cannot be read any further (`sip_connection.Owner`)."""
        if self._agent is not None:
            with self._apart(f"A message of {flow.remote[0]}"):
                self._agent.reject(fault, flow)
            self.pump()

    def is_needed(self, flow: Flow) -> bool:
        """Whether a call goes by this connection (`sip_connection.Owner`)."""
        return self._agent is not None and self._agent.uses(flow)

    def _flow_lost(self, flow: Flow, why: str) -> None:
        if self._agent is not None:
            self._agent.flow_lost(flow, why, trio.current_time())
            if self._tending is not None:
                self._tending.lost(flow)
            self.pump()

    def _unreachable(self, to: Destination, why: str, octets: bytes) -> None:
        """As of Agent; what it leads to is carried out by whoever pumps."""
        if self._agent is not None:
            self._agent.unreachable(to, why, trio.current_time(), octets)
            self._wake.set()

    async def _keep_time(self) -> None:
        agent = self.agent
        while True:
            due = self._armed = agent.next_timeout()
            self._wake = trio.Event()
            with trio.move_on_at(due):
                await self._wake.wait()
            now = trio.current_time()
            if now >= due:
                with self._apart("A timer of SIP"):  # it is taken off before it is heeded, so the next one follows
                    agent.handle_timeout(now)
            self.pump()

    def pump(self) -> None:
        """Send what the agent has to send, tell the calls what it has to tell."""
        agent, sockets = self._agent, self._sockets
        if agent is None or sockets is None:
            return
        while True:
            output, events = agent.take_output(), agent.take_events()
            for out in output:
                sockets.put(out)
            for event in events:
                with self._apart("What a message led to"):
                    self._dispatch(event)
            for report in agent.take_reports():
                self._heed(report)
            if not output and not events:
                break
        self._quieter.set()
        if agent.next_timeout() < self._armed:
            self._wake.set()

    def _dispatch(self, event: sip.SipEvent) -> None:
        if isinstance(event, sip.DatagramDropped):
            self.counters.not_sip += 1
        elif isinstance(event, sip.RequestDone):
            if not self._inquiries.take(event) and self._tending is not None:
                self._tending.on_done(event)
        elif isinstance(event, sip.CredentialsRefused):
            self.counters.not_proved += 1
        elif isinstance(event, sip.WayWanted):
            self._lookups.ask(event)
        else:
            self._calls.take(event)

    def _heed(self, report: sip.Report) -> None:
        """Remember which targets fail, and say how others see us."""
        now = trio.current_time()
        match report:
            case sip.TargetFailed(hop, why, retry_after):
                self.finder.blacklist.put(hop, why, now, retry_after=retry_after)
            case sip.TargetAnswered(hop):
                self.finder.blacklist.clear(hop)
            case sip.Reflected(by, shown):
                seen, here = format_address(shown), format_address(by.local)
                self.notice(f"{format_address(by.remote)} sees our address {here} as {seen}")
                if self._tending is not None:
                    self._tending.look_again()
        self.watch_ways(report)

    def _may_talk(self, host: str) -> bool:
        return self.gate.allows(host) or self._calls.hears(host) or self.switchboard.desk.book.may_talk(host)

    def _kept_ways(self) -> set[sip.Destination]:
        return {way for ways in self._kept.values() for way in ways}

    # --- for the calls ---------------------------------------------------------------------------

    @property
    def agent(self) -> Agent:
        """The running agent."""
        if self._agent is None:
            raise LinkError("the endpoint has been shut down")
        return self._agent

    @property
    def sockets(self) -> Sockets:
        """The open sockets."""
        if self._sockets is None:
            raise LinkError("the endpoint has been shut down")
        return self._sockets

    def adopt(self, key: CallKey, carried: Carried) -> None:
        """Events of `key` go to `carried` from now on."""
        self._calls.adopt(key, carried)

    def allow_host(self, host: str) -> None:
        """Hear `host` while we call it."""
        self._calls.allow_host(host)

    def forget_host(self, host: str) -> None:
        """One call to `host` less. At the end all are heard until the last goodbye."""
        self._calls.forget_host(host)

    async def find(self, goals: Sequence[str], account: Account) -> Way:
        """Where to send what is for `goals`, in their order, but for what just failed. Raises LinkError for none."""
        if not goals:
            raise LinkError(f"the trunk {account.name} has no gateways: calls can come in by it, but not go out")
        way = await self.finder.find([goal(text) for text in goals], self._roads(account))
        self._know_hosts(account, way)
        return way

    def _found_way(self, wanted: sip.WayWanted, hops: Sequence[Hop]) -> None:
        """A name in a dialog leads there, or nowhere."""
        if self._agent is not None:
            self._agent.found(wanted.call, wanted.uri, hops)
            if (carried := self._calls.find(wanted.call)) is not None:
                carried.note("found", destination=wanted.uri, **said(hops))

    def _know_hosts(self, account: Account, way: Way) -> None:
        """Remember the hosts of a trunk's gateways."""
        trunk = self.switchboard.desk.trunk_of(account)
        if trunk is None:
            return
        passed_over = (Hop(one.transport, *one.address) for one in way.passed_over)
        self.switchboard.know_ways(trunk, [*way.targets, *passed_over])

    def _roads(self, account: Account) -> Roads:
        """Our sockets, or those of the one transport that the account is reached by."""
        places = self.agent.local.places
        known = [(place.transport, ipaddress.ip_address(place.bound[0]).version) for place in places]
        return Roads(tuple(road for road in known if account.transport in (None, road[0])))

    def keep_open(self, name: str, ways: Iterable[sip.Destination]) -> None:
        """Keep ways open for as long as `name` wants them: those of a registration. None: no longer."""
        self._kept[name] = frozenset(ways)
        if not self._kept[name]:
            del self._kept[name]

    async def open_media(
        self, peer: Address, account: Account, options: LegOptions
    ) -> tuple[MediaSocket, MediaSession]:
        """A media socket and our side of the offer/answer that names it. With STUN it may wait for the answer."""
        trunk = self.switchboard.desk.trunk_of(account)
        way = MediaWay(peer, self.sockets.host_towards(peer[0]), self._nat, trunk)
        return await self._media.open(way, options)

    def seeds(self) -> tuple[int, int, int]:
        """Random starts of an RTP stream: ssrc, sequence number, time stamp."""
        return self._dice.randrange(1 << 32), self._dice.randrange(1 << 16), self._dice.randrange(1 << 32)

    def new_id(self) -> str:
        """A call's name: UTC time to the second, and eight random hex digits."""
        return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{self._dice.randrange(1 << 32):08x}"

    def journal_path(self, call_id: str) -> Path | None:
        """Where the call's journal goes, when the options name a folder."""
        folder = self.options.journal
        return None if folder is None else folder / f"{call_id}.jsonl"

    @property
    def disk(self) -> Disk:
        """What received pages are written through."""
        return self.options.disk

    @property
    def record_options(self) -> RecordOptions:
        """What a call writes down of itself."""
        return self.options.record

    @property
    def capture_options(self) -> CaptureOptions:
        """Which calls leave a capture."""
        return self.options.capture

    def count_bug(self) -> None:
        """A fault of ours ended a call."""
        self.counters.bugs += 1
