"""The network of a virtual device: one SIP endpoint on trio, and the calls it carries.

Owns      the SIP socket, the agent's clock, who may call, media ports, one journal a call; `Network` of call.py.
Not here  SIP itself (transports/sip), a call's course (leg.py, runner.py), devices and lines (device/).
"""

import ipaddress
import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import repeat
from pathlib import Path

import trio

from vfax import call, leg, verdict
from vfax.codecs import tiff
from vfax.codecs.dis import Resolution
from vfax.errors import DocumentError, FaxError, LinkError, StoreError
from vfax.journal import Journal
from vfax.leg import Leg, LegOptions, SipOrder
from vfax.outcome import Cause, Outcome, Phase, Retry
from vfax.pages import PageFolder
from vfax.runner import Runner
from vfax.t30 import values as t30
from vfax.transports.sip import values as sip
from vfax.transports.sip.agent import Agent
from vfax.transports.sip.headers import parse_uri
from vfax.transports.sip.negotiation import MediaSession
from vfax.transports.sip.options import SipOptions
from vfax.transports.sip.values import Address, CallKey
from vfax.transports.udp import UdpSocket, address_towards, format_address

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
ENDED_EARLY = (sip.Cancelled, sip.HungUp, sip.DialogLost, sip.Released)


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
    sip: SipOptions = field(default_factory=SipOptions)
    leg: LegOptions = field(default_factory=LegOptions)


@dataclass(slots=True)
class Counters:
    """What the endpoint dropped, and why."""

    not_allowed: int = 0  # datagrams from networks that may not call
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
        self._calls: dict[CallKey, _Incoming | _Outgoing] = {}
        self._on_call: Callable[[call.InboundCall], None] | None = None
        self._wake = trio.Event()
        self._armed = math.inf
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
        """Serve until cancelled (see `call.Network.run`)."""
        self._socket = UdpSocket.bind(*self.options.listen)
        self._on_call = on_call
        try:
            host, port = self._socket.address
            contact = (self._advertised(host), port)
            self._agent = Agent(self.options.sip, contact=contact, dice=self._dice, now=trio.current_time())
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read)
                nursery.start_soon(self._keep_time)
                task_status.started()
        finally:
            self._socket.close()
            self._socket = self._agent = None

    def outbound(self) -> call.OutboundCall:
        """A fresh outgoing call."""
        return _Outgoing(self)

    # --- the agent's rim -------------------------------------------------------------------------

    async def _read(self) -> None:
        socket, agent = self.socket, self.agent
        while True:
            for datagram, source in await socket.receive():
                if self._may_talk(source[0]):
                    agent.receive(datagram, source, trio.current_time())
                else:
                    self.counters.not_allowed += 1
            self.pump()

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
            for octets, to in output:
                socket.send(octets, to)
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
        elif event.call is not None and (carried := self._calls.get(event.call)) is not None:
            if isinstance(event, sip.Released):
                del self._calls[event.call]
            carried.on_sip(event)

    def _offer_call(self, event: sip.IncomingCall) -> None:
        carried = _Incoming(self, event)
        self._calls[event.call] = carried
        if self._on_call is None or not leg.wants_fax(event.offer):
            carried.refuse(488)
        else:
            self._on_call(carried)

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

    def adopt(self, key: CallKey, carried: "_Outgoing") -> None:
        """Events of `key` go to `carried` from now on."""
        self._calls[key] = carried

    def allow_host(self, host: str) -> None:
        """Hear `host` while we call it."""
        self._called[host] = self._called.get(host, 0) + 1

    def forget_host(self, host: str) -> None:
        """One call to `host` less."""
        self._called[host] -= 1
        if not self._called[host]:
            del self._called[host]

    def open_media(self, peer: Address) -> tuple[UdpSocket, MediaSession]:
        """A media socket and our side of the offer/answer that names it."""
        bound_host = self.socket.address[0]
        ports: Iterable[int] = repeat(0, 64)
        if self.options.media_ports is not None:
            low, high = self.options.media_ports
            ports = range(low + low % 2, high + 1, 2)
        socket = UdpSocket.bind_even(bound_host, ports)
        host = bound_host
        if self.options.public_address:
            host = self.options.public_address
        elif ipaddress.ip_address(bound_host).is_unspecified:
            host = address_towards(peer)
        parameters = self.options.leg.t38
        session_id = self._dice.randrange(1, 1 << 31)
        media = MediaSession(host=host, port=socket.address[1], parameters=parameters, session_id=session_id)
        return socket, media

    def seeds(self) -> tuple[int, int, int]:
        """Random starts of an RTP stream: ssrc, sequence number, time stamp."""
        return self._dice.randrange(1 << 32), self._dice.randrange(1 << 16), self._dice.randrange(1 << 32)

    def new_id(self) -> str:
        """A call's name: UTC time to the second, and eight random hex digits."""
        return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{self._dice.randrange(1 << 32):08x}"

    def open_journal(self, call_id: str) -> Journal:
        """The call's journal, in a file when the options name a folder."""
        folder = self.options.journal
        path = None if folder is None else folder / f"{call_id}.jsonl"
        return Journal(path, clock=trio.current_time, call=call_id)


class _Carried:
    """What incoming and outgoing calls share: a runner, a journal, an abort that is never lost."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._runner: Runner | None = None
        self._aborted = False
        self.id = endpoint.new_id()
        self._journal = endpoint.open_journal(self.id)
        self.journal = self._journal.path

    def abort(self) -> None:
        """Latched and immediate (see `call.InboundCall.abort`)."""
        self._aborted = True
        if self._runner is not None:
            self._runner.command(t30.Abort())

    def on_sip(self, event: sip.SipEvent) -> None:
        """Take an event of the agent."""
        if isinstance(event, sip.MessageSeen):
            direction = "sent" if event.sent else "heard"
            peer = format_address(event.peer)
            self._journal.note("sip", direction=direction, peer=peer, summary=event.summary)
        elif self._runner is not None:
            self._runner.signal(event)

    async def _drive(self, runner: Runner, first: leg.LegOrder) -> Outcome:
        """Run the leg behind the project's only guard: a fault of ours ends one call, with its trace in the journal."""
        self._runner = runner
        try:
            if self._aborted:
                first = t30.Abort()
            return await runner.run(first)
        except Exception as fault:
            return self._fault(fault)
        finally:
            self._endpoint.pump()

    def _fault(self, fault: Exception) -> Outcome:
        self._endpoint.counters.bugs += 1
        while isinstance(fault, ExceptionGroup) and len(fault.exceptions) == 1:
            fault = fault.exceptions[0]
        what = f"{type(fault).__name__}: {fault}"
        self._journal.note("fault", what=what, trace=_trace(fault))
        return Outcome(
            cause=Cause.INTERNAL, phase=Phase.IDLE, sentence=f"vfax itself failed ({what}).", retry=Retry.LATER
        )

    def _close(self, outcome: Outcome) -> Outcome:
        self._journal.note(
            "outcome",
            cause=outcome.cause.value,
            phase=outcome.phase.value,
            pages_confirmed=outcome.pages_confirmed,
            pages_partial=outcome.pages_partial,
            bad_rows=outcome.bad_rows,
            retry=outcome.retry.value,
            sip_status=outcome.sip_status,
            sentence=outcome.sentence,
        )
        self._journal.close()
        return outcome


class _Incoming(_Carried):
    """An incoming call: implements `call.InboundCall`."""

    def __init__(self, endpoint: Endpoint, event: sip.IncomingCall) -> None:
        super().__init__(endpoint)
        self._event = event
        self._ended: sip.SipEvent | None = None
        self.caller = event.caller
        self.caller_name = event.caller_name
        self.dialled = event.dialled
        self.ended_early = trio.Event()
        self._journal.note(
            "call",
            direction="in",
            caller=event.caller,
            caller_name=event.caller_name,
            dialled=event.dialled,
            source=format_address(event.source),
            call_id=event.call_id,
            user_agent=event.user_agent,
        )

    def ring(self) -> None:
        """180."""
        if self._ended is None:
            self._endpoint.agent.ring(self._event.call, trio.current_time())
            self._endpoint.pump()

    def refuse(self, status: int) -> None:
        """Final refusal with `status`."""
        if self._ended is None:
            self._endpoint.agent.refuse(self._event.call, status, trio.current_time())
            self._endpoint.pump()
        outcome = Outcome(cause=Cause.REJECTED, phase=Phase.CALL, sip_status=status)
        self._close(replace(outcome, sentence=f"This side refused the call with SIP {status}."))

    def on_sip(self, event: sip.SipEvent) -> None:
        """Take an event of the agent; before the answer it can only be the end."""
        super().on_sip(event)
        if self._runner is None and isinstance(event, ENDED_EARLY):
            self._ended = self._ended or event
            self.ended_early.set()

    async def receive(self, target: Path, *, local_id: str, publish: call.Publish) -> Outcome:
        """Answer and receive (see `call.InboundCall.receive`)."""
        if self._ended is not None:
            outcome = Outcome(cause=Cause.PEER_HUNG_UP, phase=Phase.CALL)
            sentence = verdict.explain(outcome, sending=False, evidence="the caller gave up before the answer")
            return self._close(replace(outcome, sentence=sentence))
        folder = PageFolder(target)
        socket, media = self._endpoint.open_media(self._event.source)
        try:
            base = self._endpoint.options.leg
            options = replace(base, fax=replace(base.fax, local_id=local_id))
            one = Leg(options, media, incoming=self._event, seeds=self._endpoint.seeds(), now=trio.current_time())
            runner = Runner(one, socket, self._journal, obey=self._obey, publish=publish, folder=folder)
            outcome = await self._drive(runner, leg.Accept())
        finally:
            socket.close()
        return self._close(await self._put_together(folder, outcome))

    async def _put_together(self, folder: PageFolder, outcome: Outcome) -> Outcome:
        """All pages into the one file; what cannot be joined stays page by page and is found at the next start."""
        try:
            if outcome.cause is Cause.ABORTED:
                await trio.to_thread.run_sync(folder.discard)
            else:
                await trio.to_thread.run_sync(folder.assemble, tiff.join_pages)
        except (StoreError, DocumentError) as why:
            self._journal.note("storage", why=str(why))
            return replace(outcome, cause=Cause.STORAGE, sentence=f"{outcome.sentence} {why}")
        return outcome

    def _obey(self, order: SipOrder) -> None:
        agent, key, now = self._endpoint.agent, self._event.call, trio.current_time()
        match order:
            case leg.Ring():
                agent.ring(key, now)
            case leg.Answer(sdp):
                agent.answer(key, sdp, now)
            case leg.Refuse(status):
                agent.refuse(key, status, now)
            case _:
                _obey_in_dialog(agent, key, order, now)
        self._endpoint.pump()


class _Outgoing(_Carried):
    """An outgoing call: implements `call.OutboundCall`."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self._key: CallKey | None = None
        self._request: call.SendRequest | None = None
        self._towards: Address = ("", 0)

    async def send(self, request: call.SendRequest, *, publish: call.Publish) -> Outcome:
        """Dial and send (see `call.OutboundCall.send`)."""
        self._request = request
        headers = await trio.to_thread.run_sync(tiff.read_headers, request.document)
        pages = tuple(_page_info(header, request.document) for header in headers)
        self._journal.note("call", direction="out", destination=request.destination, pages=len(pages))
        publish(call.Dialing())
        try:
            self._towards = await _resolve(request.destination)
            socket, media = self._endpoint.open_media(self._towards)
        except FaxError as why:
            outcome = Outcome(cause=Cause.BAD_ADDRESS, phase=Phase.CALL)
            sentence = verdict.explain(outcome, sending=True, evidence=str(why))
            return self._close(replace(outcome, sentence=sentence))
        self._endpoint.allow_host(self._towards[0])
        try:
            base = self._endpoint.options.leg
            options = replace(base, fax=replace(base.fax, local_id=request.local_id))
            one = Leg(options, media, pages=pages, seeds=self._endpoint.seeds(), now=trio.current_time())
            runner = Runner(one, socket, self._journal, obey=self._obey, publish=publish, document=request.document)
            outcome = await self._drive(runner, leg.Dial())
        finally:
            socket.close()
            self._endpoint.forget_host(self._towards[0])
        return self._close(outcome)

    def _obey(self, order: SipOrder) -> None:
        agent, now = self._endpoint.agent, trio.current_time()
        if isinstance(order, leg.Invite) and self._request is not None:
            self._key = agent.invite(
                self._request.destination,
                sdp=order.sdp,
                from_user=self._request.local_id.replace(" ", "") or "vfax",
                from_name=self._request.caller_name,
                destination=self._towards,
                now=now,
            )
            self._endpoint.adopt(self._key, self)
        elif self._key is not None:
            _obey_in_dialog(agent, self._key, order, now)
        self._endpoint.pump()


def _obey_in_dialog(agent: Agent, key: CallKey, order: SipOrder, now: float) -> None:
    match order:
        case leg.Offer(sdp):
            agent.offer(key, sdp, now)
        case leg.AcceptOffer(sdp):
            agent.accept_offer(key, sdp, now)
        case leg.RefuseOffer(status):
            agent.refuse_offer(key, status, now)
        case leg.HangUp(reason):
            agent.hang_up(key, now, reason)
        case _:
            pass


def _page_info(header: tiff.PageHeader, document: Path) -> t30.PageInfo:
    for resolution in Resolution:
        if (header.x_dpi, header.y_dpi) == (resolution.x_dpi, resolution.y_dpi):
            return t30.PageInfo(header.width_px, header.rows, resolution.name)
    raise DocumentError(
        f"{document}: a page of {header.x_dpi} x {header.y_dpi} dpi is not a fax page; prepare the document first"
    )


async def _resolve(uri: str) -> Address:
    """Host and port behind a SIP URI: a numeric address, or the first that the system's resolver names."""
    parsed = parse_uri(uri)
    host, port = parsed.host, parsed.port or 5060
    try:
        found = await trio.socket.getaddrinfo(host, port, type=trio.socket.SOCK_DGRAM)
    except OSError as why:
        raise LinkError(f"{host} cannot be resolved: {why.strerror}") from why
    address = found[0][4]
    return str(address[0]), int(address[1])


def _trace(fault: BaseException) -> list[str]:
    import traceback  # only when something went wrong

    return traceback.format_exception(fault)
