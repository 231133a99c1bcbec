"""The network of a virtual device: one SIP endpoint on trio.

Owns      the SIP socket, the agent's clock, who may call, media ports, journal files; `Network` of call.py.
Not here  SIP itself (transports/sip), the calls (calls.py), devices and lines (device/).
"""

import ipaddress
import math
import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import repeat
from pathlib import Path

import trio

from vfax import call
from vfax.calls import IncomingFax, OutgoingFax
from vfax.capture import CaptureOptions
from vfax.carried import Carried
from vfax.disk import Disk
from vfax.errors import DecodeError, LinkError, MisuseError
from vfax.finding import find_hops
from vfax.leg import LegOptions
from vfax.record import RecordOptions
from vfax.sockets import Listen, Sockets, shown_as
from vfax.transports.certificates import TlsOptions
from vfax.transports.parameters import TcpMedia
from vfax.transports.sip import values as sip
from vfax.transports.sip.account import NO_ACCOUNT, Account
from vfax.transports.sip.agent import Agent
from vfax.transports.sip.message import MessageError
from vfax.transports.sip.negotiation import MediaKind, MediaSession, offers
from vfax.transports.sip.options import SipOptions
from vfax.transports.sip.values import Address, CallKey, Destination, Flow, Hop
from vfax.transports.sip_connection import StreamOptions
from vfax.transports.sip_streams import StreamHooks
from vfax.transports.tcp import MediaSocket
from vfax.transports.udp import address_towards
from vfax.trunks.options import TrunkOptions

MAX_UNCLAIMED = 8
"""Limit: messages that are kept until their call is known."""

DEFAULT_PLACE = Listen("127.0.0.1", 5060)
MAX_NOTICES = 100
"""Limit: sentences that are kept for the operator."""

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointOptions:
    """Where the endpoint listens, who may call, and the policy of its calls.

    `listen` is the first place, UDP where it names no transport; `listen_also` are the others. `allow` are the networks
    whose messages are read at all; hosts that we call are added while the call lasts.
    `media_ports` is an inclusive range, or None for any free even port. `public_address` stands in Contact and SDP when
    the machine's own address is not what peers see.
    """

    listen: Address | Listen = DEFAULT_PLACE
    listen_also: tuple[Listen, ...] = ()
    tls: TlsOptions = field(default_factory=TlsOptions)
    streams: StreamOptions = field(default_factory=StreamOptions)
    allow: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    public_address: str | None = None
    media_ports: tuple[int, int] | None = None
    journal: Path | None = None
    record: RecordOptions = field(default_factory=RecordOptions)
    capture: CaptureOptions = field(default_factory=CaptureOptions)
    sip: SipOptions = field(default_factory=SipOptions)
    leg: LegOptions = field(default_factory=LegOptions)
    trunks: tuple[TrunkOptions, ...] = ()
    disk: Disk = field(default_factory=Disk)


@dataclass(slots=True)
class Counters:
    """What the endpoint dropped, and why."""

    not_allowed: int = 0  # messages from networks that may not call
    not_proved: int = 0  # calls with a wrong user or password
    not_sip: int = 0  # messages the agent could not use
    bugs: int = 0  # calls that a fault of ours ended


class Endpoint:
    """One SIP endpoint: implements `call.Network`."""

    def __init__(self, options: EndpointOptions, *, seed: int | None = None) -> None:
        self.options = options
        self.counters = Counters()
        self._dice = random.SystemRandom() if seed is None else random.Random(seed)
        self._allow = tuple(ipaddress.ip_network(text) for text in options.allow)
        self._called: dict[str, int] = {}  # hosts of our outgoing calls, and how many calls each
        self._calls: dict[CallKey, Carried] = {}
        self._on_call: Callable[[call.InboundCall], None] | None = None
        self._turn = 0
        self._wake = trio.Event()
        self._armed = math.inf
        self._unclaimed: list[sip.MessageSeen] = []  # of a call that the agent has not told of yet
        self._sockets: Sockets | None = None
        self.notices: deque[str] = deque(maxlen=MAX_NOTICES)  # sentences for the operator, newest last
        self._agent: Agent | None = None

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
        self._sockets = sockets = self._open()
        self._on_call = on_call
        try:
            self._agent = Agent(self.options.sip, contact=sockets.local, dice=self._dice, now=trio.current_time())
            await sockets.streams.check()
            async with trio.open_nursery() as house:
                house.start_soon(self._carry, sockets)
                try:
                    await sockets.streams.started.wait()
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(self._keep_time)
                        nursery.start_soon(sockets.read, self._hear_datagram)
                        task_status.started()
                finally:
                    self._cut_off_calls()
                    sockets.streams.finish()
        except ExceptionGroup as group:
            raise _only(group) from None
        finally:
            self._cut_off_calls()
            sockets.close()
            self._sockets = self._agent = None

    def _open(self) -> Sockets:
        options = self.options
        return Sockets(
            (Listen(*options.listen), *options.listen_also),
            public_address=options.public_address,
            tls=options.tls,
            streams=options.streams,
            sip_options=options.sip,
            hooks=StreamHooks(
                owner=self,
                lost=self._flow_lost,
                unreachable=self._unreachable,
                may_talk=self._may_talk,
                say=self.notices.append,
            ),
        )

    @staticmethod
    async def _carry(sockets: Sockets) -> None:
        """Run the connections; they outlast being cancelled until the last words of the calls have left."""
        with trio.CancelScope(shield=True):
            await sockets.streams.run()

    def outbound(self) -> OutgoingFax:
        """A fresh outgoing call."""
        return OutgoingFax(self)

    # --- the agent's rim -------------------------------------------------------------------------

    def _hear_datagram(self, datagram: bytes, flow: Flow) -> None:
        if self._may_talk(flow.remote[0]):
            self.agent.receive(datagram, flow, trio.current_time())
            self.pump()
        else:
            self.counters.not_allowed += 1

    def hear(self, message: bytes, flow: Flow) -> None:
        """A message of a stream (`sip_connection.Owner`)."""
        if self._agent is not None:
            self._hear_datagram(message, flow)

    def hear_fault(self, fault: MessageError, flow: Flow) -> None:
        """A stream that cannot be read any further (`sip_connection.Owner`)."""
        if self._agent is not None:
            self._agent.reject(fault, flow)
            self.pump()

    def is_needed(self, flow: Flow) -> bool:
        """Whether a call goes by this connection (`sip_connection.Owner`)."""
        return self._agent is not None and self._agent.uses(flow)

    def _flow_lost(self, flow: Flow, why: str) -> None:
        if self._agent is not None:
            self._agent.flow_lost(flow, why, trio.current_time())
            self.pump()

    def _unreachable(self, to: Destination, why: str) -> None:
        """As of Agent; what it leads to is carried out by whoever pumps."""
        if self._agent is not None:
            self._agent.unreachable(to, why, trio.current_time())
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
                self._dispatch(event)
            if not output and not events:
                break
        if agent.next_timeout() < self._armed:
            self._wake.set()

    def _dispatch(self, event: sip.SipEvent) -> None:
        if isinstance(event, sip.DatagramDropped):
            self.counters.not_sip += 1
        elif isinstance(event, sip.IncomingCall):
            self._offer_call(event)
        elif isinstance(event, sip.MessageSeen) and event.call not in self._calls:
            self._unclaimed = [*(one for one in self._unclaimed[-MAX_UNCLAIMED:] if one.call == event.call), event]
        elif isinstance(event, sip.RequestDone):
            pass  # of whoever asks; nobody does yet
        elif isinstance(event, sip.CredentialsRefused):
            self.counters.not_proved += 1
        elif event.call is not None and (carried := self._calls.get(event.call)) is not None:
            if isinstance(event, sip.Released):
                del self._calls[event.call]
            carried.on_sip(event)

    def _offer_call(self, event: sip.IncomingCall) -> None:
        carried = IncomingFax(self, event)
        self._calls[event.call] = carried
        for seen in self._unclaimed:  # the INVITE itself, and our 100
            if seen.call == event.call:
                carried.on_sip(seen)
        self._unclaimed = []
        status, why = _objection(event.offer, self.leg_options(self.account_of(event)).tcp)
        if status:
            carried.refuse(status, why)
        elif self._on_call is not None:
            carried.offer_to(self._on_call)

    def _cut_off_calls(self) -> None:
        for carried in list(self._calls.values()):
            carried.cut_off()
        self._calls.clear()
        self._called.clear()

    def _may_talk(self, host: str) -> bool:
        if host in self._called:
            return True
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return False
        return any(address in network for network in self._allow)

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
        self._calls[key] = carried

    def allow_host(self, host: str) -> None:
        """Hear `host` while we call it."""
        self._called[host] = self._called.get(host, 0) + 1

    def forget_host(self, host: str) -> None:
        """One call to `host` less."""
        calls = self._called.pop(host, 0) - 1
        if calls > 0:
            self._called[host] = calls

    def account_of(self, event: sip.IncomingCall) -> Account:
        """By which account a call comes in: this release has none."""
        return NO_ACCOUNT

    def account_towards(self, destination: str) -> Account:
        """By which account a SIP URI is called: this release has none."""
        return NO_ACCOUNT

    async def find(self, destination: str, account: Account) -> Sequence[Hop]:
        """Where to send the INVITE. Raises LinkError for what cannot be called."""
        return await find_hops(destination, account, self.sockets.families)

    def open_media(self, peer: Address, account: Account = NO_ACCOUNT) -> tuple[MediaSocket, MediaSession]:
        """A media socket and our side of the offer/answer that names it."""
        options = self.leg_options(account)
        bound_host = self.sockets.host_towards(peer[0])
        host = shown_as(bound_host, self.options.public_address)
        if host != self.options.public_address and ipaddress.ip_address(bound_host).is_unspecified:
            host = address_towards(peer)
        socket = MediaSocket.bind_even(bound_host, self._media_ports())
        session_id = self._dice.randrange(1, 1 << 31)
        try:
            media = MediaSession(
                host=host,
                port=socket.address[1],
                parameters=options.t38,
                session_id=session_id,
                tcp=options.tcp,
                codecs=options.audio_codecs,
            )
        except MisuseError:
            socket.close()
            raise
        return socket, media

    def _media_ports(self) -> Iterable[int]:
        """The ports to try, from behind the one tried first last time: late media of a call must not meet the next."""
        if self.options.media_ports is None:
            return repeat(0, 64)
        low, high = self.options.media_ports
        ports = range(low + low % 2, high + 1, 2)
        self._turn = (self._turn + 1) % max(1, len(ports))
        return (*ports[self._turn :], *ports[: self._turn])

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

    def leg_options(self, account: Account) -> LegOptions:
        """Policy of a call by this account."""
        return self.options.leg

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


def _only(found: Exception) -> Exception:
    """The one exception that nurseries have wrapped up, or the group when there are several."""
    while isinstance(found, ExceptionGroup) and len(found.exceptions) == 1:
        found = found.exceptions[0]
    return found


def _objection(offer: bytes, tcp: TcpMedia = TcpMedia.OFF) -> tuple[int, str]:
    """A status and why, when an INVITE with this SDP is refused before it rings; 0 when nothing is wrong with it."""
    try:
        if not offer or offers(offer, tcp=tcp) is not MediaKind.NONE:
            return 0, ""
    except DecodeError as why:
        return 400, f"the offer cannot be read, {why}"
    return 488, "the offer has neither T.38 nor G.711"
