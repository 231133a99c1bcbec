"""Two whole calls against each other over a bad line in virtual time: SIP, T.38 and T.30, all but the sockets.

Owns      the world of one simulated fax: its clock, its two nodes, the roads between them, the record of what happened.
Not here  what a line does to datagrams (transports/simnet.py); whole scenarios from one seed, and what must hold in
          each of them (simulation/).

One seed decides everything: the same seed gives the same fax, event for event.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from heapq import heappop, heappush
from typing import Final

from vfax import leg
from vfax.codecs.dis import Agreement, Resolution
from vfax.codecs.scaling import Bitmap, fit_page
from vfax.errors import DocumentError, MisuseError
from vfax.leg import Finished, Leg, LegOptions
from vfax.outcome import Outcome
from vfax.t30 import values as t30
from vfax.t30.coding import code_page
from vfax.transports.simnet import Dice, Road
from vfax.transports.simnet import LineFaults as LineFaults  # `vfax loopback` knows no transports
from vfax.transports.sip import values as sip
from vfax.transports.sip.agent import Agent
from vfax.transports.sip.negotiation import MediaSession
from vfax.transports.sip.options import SipOptions
from vfax.transports.sip.values import Address, CallKey, Flow, Hop, Send, Transport

CALLER: Final[Address] = ("192.0.2.1", 5060)  # RFC 5737 documentation addresses
CALLED: Final[Address] = ("192.0.2.2", 5060)
MEDIA_PORT: Final = 20000
STEP_LIMIT: Final = 2_000_000  # Limit: steps of one simulated fax


class Side(StrEnum):
    """The two ends of a simulated call."""

    CALLER = "caller"
    CALLED = "called"

    @property
    def other(self) -> "Side":
        """The end across."""
        return Side.CALLED if self is Side.CALLER else Side.CALLER


class Plane(StrEnum):
    """What a road carries."""

    SIGNALLING = "signalling"
    MEDIA = "media"


@dataclass(frozen=True, slots=True)
class Done:
    """How work outside the engines goes: it takes `after` seconds and succeeds, or fails when `why` says so."""

    after: float = 0.0
    why: str = ""


Keep = Callable[[t30.PageReceived], Done]
"""What the store does with a page."""

Fetch = Callable[[int], Done]
"""How reading and coding of the page of this number goes."""


@dataclass(frozen=True, slots=True)
class SimulatedPage:
    """One page to send: packed rows, 1 = black, most significant bit left."""

    width_px: int
    rows: int
    resolution: Resolution
    raster: bytes


RoadMaker = Callable[[Side, Plane, Dice], Road]
"""Makes the road that leaves this side."""


class Watcher:
    """Is told what happens at both ends, as it happens. This one does not care."""

    def event(self, side: Side, event: leg.LegEvent, now: float) -> None:
        """A leg told something."""

    def order(self, side: Side, order: leg.LegOrder, now: float) -> None:
        """A leg is told something by its owner."""

    def signal(self, side: Side, event: sip.SipEvent, now: float) -> None:
        """A leg is told something by SIP."""

    def sent(self, side: Side, datagram: bytes, now: float) -> None:
        """A media datagram leaves a side."""

    def heard(self, side: Side, datagram: bytes, now: float) -> None:
        """The T.38 line of a side takes a datagram."""


@dataclass(slots=True)
class SimulatedFax:
    """What happened. `seconds` are virtual, from the INVITE to the last outcome."""

    sent: Outcome
    received: Outcome | None
    pages: list[t30.PageReceived]
    seconds: float
    datagrams: int


@dataclass(slots=True)
class Node:
    """One side: agent, leg, and its two sockets. `sip_due` and `leg_due`: when they want time, as last asked."""

    side: Side
    address: Address
    agent: Agent
    make_leg: Callable[[sip.IncomingCall | None, float], Leg]
    leg: Leg | None = None
    key: CallKey | None = None
    outcome: Outcome | None = None
    pages: list[t30.PageReceived] = field(default_factory=list)
    sip_due: float = math.inf
    leg_due: float = math.inf
    sip_moved: bool = False  # the agent was given something: it may have events, output, another timeout
    busy_until: float = 0.0  # its store: pages are kept one after the other

    @property
    def media(self) -> Address:
        """Its media socket."""
        return self.address[0], MEDIA_PORT

    def handle_timeout(self, now: float) -> None:
        """Let time pass."""
        if now >= self.sip_due:
            self.sip_moved = True
            self.agent.handle_timeout(now)
        if self.leg is not None and now >= self.leg_due:
            self.leg.handle_timeout(now)


class _Way:
    """A road with its ends. `due` is when the next datagram arrives."""

    __slots__ = ("due", "origin", "road", "target")

    def __init__(self, road: Road, origin: Address, target: Node) -> None:
        self.road = road
        self.origin = origin
        self.target = target
        self.due = math.inf


class Simulation:
    """One fax from caller to called. Use `run_fax`; who wants to meddle plans it with `at` and calls `run`.

    `first` is the page from which a fax goes on; with `polled` the caller asks for the called side's pages, by the
    `addressing` they are kept under unless it is `asking` for others.
    """

    def __init__(
        self,
        pages: Sequence[SimulatedPage],
        *,
        seed: int,
        faults: LineFaults | None = None,
        calling: LegOptions | None = None,
        called: LegOptions | None = None,
        keep: Keep | None = None,
        fetch: Fetch | None = None,
        watch: Watcher | None = None,
        roads: RoadMaker | None = None,
        first: int = 1,
        addressing: t30.Addressing | None = None,
        polled: bool = False,
        asking: t30.Addressing | None = None,
        sip_calling: SipOptions | None = None,
        sip_called: SipOptions | None = None,
    ) -> None:
        self.now = 0.0
        self.datagrams = 0
        self.ended_at = 0.0  # when the last outcome came
        self._pages = tuple(pages)
        self._keep = keep or (lambda page: Done())
        self._fetch = fetch or (lambda number: Done())
        self._watch = watch or Watcher()
        self._dice = random.Random(seed)
        self._sip = {Side.CALLER: sip_calling or SipOptions(), Side.CALLED: sip_called or SipOptions()}
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._planned = 0
        worst = faults or LineFaults()
        infos = tuple(t30.PageInfo(page.width_px, page.rows, page.resolution) for page in pages)
        addresses = addressing or t30.Addressing()
        document = t30.SendDocument(infos, first, addresses)
        poll = t30.Poll(asking or addresses) if polled else None
        self.caller = self._node(Side.CALLER, CALLER, calling or LegOptions(), None if polled else document, poll)
        self.called = self._node(Side.CALLED, CALLED, called or LegOptions(), document if polled else None, None)
        self._nodes = (self.caller, self.called)
        self._ways = self._lay(roads or (lambda side, plane, dice: worst.line(dice)))
        self._all_ways = tuple(self._ways.values())

    def _lay(self, make_road: RoadMaker) -> dict[tuple[Address, Address], _Way]:
        """Both directions of signalling and of media, each with dice of its own."""
        ways: dict[tuple[Address, Address], _Way] = {}
        for source, target in ((self.caller, self.called), (self.called, self.caller)):
            for plane, origin, end in (
                (Plane.SIGNALLING, source.address, target.address),
                (Plane.MEDIA, source.media, target.media),
            ):
                road = make_road(source.side, plane, random.Random(self._dice.random()))
                ways[origin, end] = _Way(road, origin, target)
        return ways

    def _node(
        self,
        side: Side,
        address: Address,
        options: LegOptions,
        document: t30.SendDocument | None,
        poll: t30.Poll | None,
    ) -> Node:
        agent = Agent(self._sip[side], contact=address, dice=random.Random(self._dice.random()), now=0.0)
        session_id = self._dice.randrange(1, 1 << 31)
        seeds = (self._dice.randrange(1 << 32), self._dice.randrange(1 << 16), self._dice.randrange(1 << 32))

        def make(incoming: sip.IncomingCall | None, now: float) -> Leg:
            media = MediaSession(
                host=address[0],
                port=MEDIA_PORT,
                parameters=options.t38,
                session_id=session_id,
                codecs=options.audio_codecs,
            )
            return Leg(options, media, incoming=incoming, document=document, poll=poll, seeds=seeds, now=now)

        return Node(side, address, agent, make)

    def node(self, side: Side) -> Node:
        """One of the two."""
        return self.caller if side is Side.CALLER else self.called

    # --- running ---------------------------------------------------------------------------------

    def run(self) -> SimulatedFax:
        """Dial, and run until both sides have ended and nothing is under way."""
        self.dial()
        for _ in range(STEP_LIMIT):
            if not self.step():
                break
        else:
            raise MisuseError(f"the simulated fax did not end within {STEP_LIMIT} steps")
        return self.result()

    def dial(self) -> None:
        """Begin the call."""
        self.caller.leg = self.caller.make_leg(None, self.now)
        self._command(self.caller, leg.Dial())
        self._settle(self.caller)

    def result(self) -> SimulatedFax:
        """What both sides say, once nothing moves any more."""
        if self.caller.outcome is None:
            raise MisuseError("the calling side fell silent without an outcome")
        return SimulatedFax(self.caller.outcome, self.called.outcome, self.called.pages, self.ended_at, self.datagrams)

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Have something done at a moment of virtual time."""
        self._planned += 1
        heappush(self._agenda, (when, self._planned, action))

    def next_due(self) -> float:
        """When something happens next; math.inf for never."""
        due = self._agenda[0][0] if self._agenda else math.inf
        for node in self._nodes:
            if node.sip_due < due:
                due = node.sip_due
            if node.leg_due < due:
                due = node.leg_due
        for way in self._all_ways:
            if way.due < due:
                due = way.due
        return due

    def step(self) -> bool:
        """Go to the next moment at which something happens; False when nothing ever will."""
        due = self.next_due()
        if due == math.inf:
            return False
        self.now = now = max(self.now, due)
        while self._agenda and self._agenda[0][0] <= now:
            heappop(self._agenda)[2]()
        for way in self._all_ways:
            if way.due <= now:
                for datagram in way.road.arrivals(now):
                    self._deliver(datagram, way.origin, way.target)
                way.due = way.road.next_arrival()
                self._settle(way.target)
        for node in self._nodes:
            if node.leg_due <= now or node.sip_due <= now:
                node.handle_timeout(now)
                self._settle(node)
        return True

    # --- meddling --------------------------------------------------------------------------------

    def command(self, side: Side, order: leg.LegOrder) -> None:
        """Give a leg an order now; nothing before there is one."""
        self._command(self.node(side), order)
        self._settle(self.node(side))

    def hang_up(self, side: Side) -> None:
        """BYE from this side, without a word to its leg: as a switch in between would, or an operator."""
        node = self.node(side)
        if node.key is not None:
            node.sip_moved = True
            node.agent.hang_up(node.key, self.now, "")
            self._settle(node)

    def inject(self, side: Side, plane: Plane, datagram: bytes) -> None:
        """Let a datagram arrive at `side` as if the other side had sent it."""
        target, origin = self.node(side), self.node(side.other)
        self._deliver(datagram, origin.media if plane is Plane.MEDIA else origin.address, target, plane)
        self._settle(target)

    # --- inside ----------------------------------------------------------------------------------

    def _deliver(self, datagram: bytes, source: Address, node: Node, plane: Plane | None = None) -> None:
        if plane is Plane.SIGNALLING or (plane is None and source[1] != MEDIA_PORT):
            node.sip_moved = True
            node.agent.receive(datagram, Flow(Transport.UDP, source, node.address), self.now)
        elif node.leg is not None:
            node.leg.receive(datagram, source, self.now)
            if node.leg.heard_from == source:
                self._watch.heard(node.side, datagram, self.now)

    def _settle(self, node: Node) -> None:
        """Carry what its agent and leg have for each other until nothing moves."""
        while self._pump(node):
            pass
        if node.leg is not None:
            node.leg_due = node.leg.next_timeout()

    def _pump(self, node: Node) -> bool:
        moved = node.sip_moved
        if moved:
            for event in node.agent.take_events():
                self._take_sip(node, event)
        if node.leg is not None:
            moved |= self._pump_leg(node, node.leg)
        if node.sip_moved:
            node.sip_moved = False
            for out in node.agent.take_output():
                if isinstance(out, Send):
                    self._send(node.address, out.to.address, out.octets)
            node.sip_due = node.agent.next_timeout()
        return moved

    def _pump_leg(self, node: Node, its_leg: Leg) -> bool:
        moved = False
        on_line = its_leg.line is not None
        for datagram, to in its_leg.take_datagrams():
            if on_line:
                self._watch.sent(node.side, datagram, self.now)
            self._send(node.media, to, datagram)
        for told in its_leg.take_events():
            moved = True
            self._take(node, told)
        for order in its_leg.take_sip():
            moved = node.sip_moved = True
            self._obey(node, order)
        return moved

    def _send(self, source: Address, to: Address, datagram: bytes) -> None:
        self.datagrams += 1
        way = self._ways.get((source, to))
        if way is not None:  # to nowhere: lost, as on any network
            way.road.send(datagram, self.now)
            way.due = way.road.next_arrival()

    def _take_sip(self, node: Node, event: sip.SipEvent) -> None:
        if isinstance(event, sip.IncomingCall) and node.leg is not None:
            node.agent.refuse(event.call, 486, self.now)  # one line
        elif isinstance(event, sip.IncomingCall):
            node.key = event.call
            node.leg = node.make_leg(event, self.now)
            self._command(node, leg.Accept())
        elif (
            node.leg is not None
            and not isinstance(event, sip.DatagramDropped | sip.MessageSeen | sip.RequestDone | sip.CredentialsRefused)
            and event.call == node.key
        ):
            self._watch.signal(node.side, event, self.now)
            node.leg.signal(event, self.now)

    def _take(self, node: Node, event: leg.LegEvent) -> None:
        self._watch.event(node.side, event, self.now)
        match event:
            case t30.PageNeeded():
                self._work(self._fetch(event.number), self.now, lambda why: self._coded(node, event, why))
            case t30.PageReceived():
                done = self._keep(event)
                begin = max(self.now, node.busy_until)
                node.busy_until = begin + done.after
                self._work(done, begin, lambda why: self._stored(node, event, why))
            case Finished(outcome):
                node.outcome = outcome
                self.ended_at = self.now
            case _:
                pass

    def _work(self, done: Done, begin: float, then: Callable[[str], None]) -> None:
        """Finish some work outside the engines: at once, or later."""
        if begin + done.after <= self.now:
            then(done.why)
        else:
            self.at(begin + done.after, lambda: then(done.why))

    def _stored(self, node: Node, page: t30.PageReceived, why: str) -> None:
        if why:
            order: leg.LegOrder = t30.PageLost(page.number, why)
        else:
            node.pages.append(page)
            order = t30.PageKept(page.number)
        self.command(node.side, order)

    def _coded(self, node: Node, needed: t30.PageNeeded, why: str) -> None:
        order: leg.LegOrder
        try:
            order = t30.PageCoded(needed.number, self._code(needed.number, needed.agreement))
        except DocumentError as error:
            why = str(error)
        if why:
            order = t30.PageUnavailable(needed.number, why)
        self.command(node.side, order)

    def _code(self, number: int, agreed: Agreement) -> bytes:
        page = self._pages[number - 1]
        fitted = fit_page(Bitmap(page.raster, page.width_px, page.rows, page.resolution), agreed)
        return code_page(fitted.raster, fitted.width_px, fitted.rows, fitted.resolution, agreed)

    def _command(self, node: Node, order: leg.LegOrder) -> None:
        if node.leg is not None:
            self._watch.order(node.side, order, self.now)
            node.leg.command(order, self.now)

    def _obey(self, node: Node, order: leg.SipOrder) -> None:
        agent, key, now = node.agent, node.key, self.now
        match order:
            case leg.Invite(sdp):
                node.key = agent.invite(
                    f"sip:fax@{CALLED[0]}:{CALLED[1]}",
                    sdp=sdp,
                    from_user="caller",
                    targets=[Hop(Transport.UDP, *CALLED)],
                    now=now,
                )
            case leg.Answer(sdp) if key is not None:
                agent.answer(key, sdp, now)
            case leg.Refuse(status) if key is not None:
                agent.refuse(key, status, now)
            case leg.Offer(sdp) if key is not None:
                agent.offer(key, sdp, now)
            case leg.AcceptOffer(sdp, fork) if key is not None:
                agent.accept_offer(key, sdp, now, fork)
            case leg.RefuseOffer(status, fork) if key is not None:
                agent.refuse_offer(key, status, now, fork)
            case leg.Refresh(sdp) if key is not None:
                agent.refresh(key, sdp, now)
            case leg.HangUp(reason) if key is not None:
                agent.hang_up(key, now, reason)
            case _:
                pass


def run_fax(
    pages: Sequence[SimulatedPage],
    *,
    seed: int,
    faults: LineFaults | None = None,
    calling: LegOptions | None = None,
    called: LegOptions | None = None,
    keep: Keep | None = None,
    watch: Watcher | None = None,
) -> SimulatedFax:
    """Send `pages` through a simulated call and return what both sides say of it."""
    world = Simulation(pages, seed=seed, faults=faults, calling=calling, called=called, keep=keep, watch=watch)
    return world.run()
