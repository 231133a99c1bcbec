"""The network of a virtual device: one SIP endpoint on trio.

Owns      the SIP socket, the agent's clock, who may call, media ports, journal files; `Network` of call.py.
Not here  SIP itself (transports/sip), the calls (calls.py), devices and lines (device/).
"""

import ipaddress
import math
import random
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
from vfax.transports.parameters import TcpMedia
from vfax.transports.sip import values as sip
from vfax.transports.sip.account import NO_ACCOUNT, Account
from vfax.transports.sip.agent import Agent
from vfax.transports.sip.negotiation import MediaKind, MediaSession, offers
from vfax.transports.sip.options import SipOptions
from vfax.transports.sip.values import Address, CallKey, Flow, Hop, Transport
from vfax.transports.tcp import MediaSocket
from vfax.transports.udp import UdpSocket, address_towards

MAX_UNCLAIMED = 8
"""Limit: messages that are kept until their call is known."""

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointOptions:
    """Where the endpoint listens, who may call, and the policy of its calls.

    `allow` are the networks whose datagrams are read at all; hosts that we call are added while the call lasts.
    `media_ports` is an inclusive range, or None for any free even port. `public_address` stands in Contact and SDP when
    the machine's own address is not what peers see.
    """

    listen: Address = ("127.0.0.1", 5060)
    allow: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    public_address: str | None = None
    media_ports: tuple[int, int] | None = None
    journal: Path | None = None
    record: RecordOptions = field(default_factory=RecordOptions)
    capture: CaptureOptions = field(default_factory=CaptureOptions)
    sip: SipOptions = field(default_factory=SipOptions)
    leg: LegOptions = field(default_factory=LegOptions)
    disk: Disk = field(default_factory=Disk)


@dataclass(slots=True)
class Counters:
    """What the endpoint dropped, and why."""

    not_allowed: int = 0  # datagrams from networks that may not call
    not_proved: int = 0  # calls with a wrong user or password
    not_sip: int = 0  # datagrams the agent could not use
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
        self._socket: UdpSocket | None = None
        self._agent: Agent | None = None

    @property
    def address(self) -> Address:
        """The bound host and port."""
        if self._socket is None:
            raise LinkError("the endpoint is not running: await run() first")
        return self._socket.address

    async def run(
        self,
        on_call: Callable[[call.InboundCall], None],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until cancelled (see `call.Network.run`). Calls that are up then are hung up."""
        self._socket = UdpSocket.bind(*self.options.listen)
        self._on_call = on_call
        try:
            host, port = self._socket.address
            contact = (self._advertised(host), port)
            self._agent = Agent(self.options.sip, contact=contact, dice=self._dice, now=trio.current_time())
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep_time)
                task_status.started()
                broken = await self._read()
                nursery.cancel_scope.cancel()
            raise broken
        finally:
            self._cut_off_calls()
            self._socket.close()
            self._socket = self._agent = None

    def outbound(self) -> OutgoingFax:
        """A fresh outgoing call."""
        return OutgoingFax(self)

    # --- the agent's rim -------------------------------------------------------------------------

    async def _read(self) -> LinkError:
        """Read until the socket breaks. Each datagram is dealt with to its end before the next one is looked at."""
        socket, agent = self.socket, self.agent
        while True:
            try:
                batch = await socket.receive()
            except LinkError as why:
                return why
            for datagram, source in batch:
                if self._may_talk(source[0]):
                    agent.receive(datagram, Flow(Transport.UDP, source, socket.address), trio.current_time())
                    self.pump()
                else:
                    self.counters.not_allowed += 1

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
        agent, socket = self._agent, self._socket
        if agent is None or socket is None:
            return
        while True:
            output, events = agent.take_output(), agent.take_events()
            for out in output:
                self._put(socket, agent, out)
            for event in events:
                self._dispatch(event)
            if not output and not events:
                break
        if agent.next_timeout() < self._armed:
            self._wake.set()

    def _put(self, socket: UdpSocket, agent: Agent, out: sip.Output) -> None:
        if not isinstance(out, sip.Send):
            return  # no connections, none to close
        if out.to.transport is Transport.UDP:
            socket.send(out.octets, out.to.address)
        else:
            agent.unreachable(out.to, f"SIP over {out.to.transport} is not served", trio.current_time())

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

    def _advertised(self, host: str) -> str:
        if self.options.public_address:
            return self.options.public_address
        if ipaddress.ip_address(host).is_unspecified:
            return address_towards(("2001:db8::1" if ":" in host else "192.0.2.1", 9))  # RFC 5737, RFC 3849
        return host

    # --- for the calls ---------------------------------------------------------------------------

    @property
    def agent(self) -> Agent:
        """The running agent."""
        if self._agent is None:
            raise LinkError("the endpoint has been shut down")
        return self._agent

    @property
    def socket(self) -> UdpSocket:
        """The running SIP socket."""
        if self._socket is None:
            raise LinkError("the endpoint has been shut down")
        return self._socket

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
        return await find_hops(destination, account, self.address)

    def open_media(self, peer: Address, account: Account = NO_ACCOUNT) -> tuple[MediaSocket, MediaSession]:
        """A media socket and our side of the offer/answer that names it."""
        options = self.leg_options(account)
        bound_host = self.socket.address[0]
        host = bound_host
        if self.options.public_address:
            host = self.options.public_address
        elif ipaddress.ip_address(bound_host).is_unspecified:
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


def _objection(offer: bytes, tcp: TcpMedia = TcpMedia.OFF) -> tuple[int, str]:
    """A status and why, when an INVITE with this SDP is refused before it rings; 0 when nothing is wrong with it."""
    try:
        if not offer or offers(offer, tcp=tcp) is not MediaKind.NONE:
            return 0, ""
    except DecodeError as why:
        return 400, f"the offer cannot be read, {why}"
    return 488, "the offer has neither T.38 nor G.711"
