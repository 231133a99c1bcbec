"""Two whole calls against each other over a bad line in virtual time: SIP, T.38 and T.30, all but the sockets.

Owns      the world of one simulated fax: its clock, its two nodes, the lines between them, the record of what happened.
Not here  what a line does to datagrams (transports/simnet.py); invariants over thousands of calls (tests/simulation/).

One seed decides everything: the same seed gives the same fax, event for event.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from vfax import leg
from vfax.codecs.dis import Agreement, Resolution
from vfax.errors import MisuseError
from vfax.leg import Finished, Leg, LegOptions
from vfax.outcome import Outcome
from vfax.t30 import values as t30
from vfax.t30.coding import code_page
from vfax.transports.simnet import BadLine
from vfax.transports.sip import values as sip
from vfax.transports.sip.agent import Agent
from vfax.transports.sip.negotiation import MediaSession
from vfax.transports.sip.options import SipOptions
from vfax.transports.sip.values import Address, CallKey

CALLER: Address = ("192.0.2.1", 5060)  # RFC 5737 documentation addresses
CALLED: Address = ("192.0.2.2", 5060)
MEDIA_PORT = 20000
STEP_LIMIT = 2_000_000  # Limit: steps of one simulated fax

Keep = Callable[[t30.PageReceived], str]
"""Stores a page; returns why it could not, or nothing."""


@dataclass(frozen=True, slots=True)
class SimulatedPage:
    """One page to send: packed rows, 1 = black, most significant bit left."""

    width_px: int
    rows: int
    resolution: Resolution
    raster: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class LineFaults:
    """What every line of the simulation does to datagrams: probabilities, and seconds."""

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay: float = 0.02
    jitter: float = 0.0


@dataclass(slots=True)
class SimulatedFax:
    """What happened. `seconds` are virtual, from the INVITE to the last outcome."""

    sent: Outcome
    received: Outcome | None
    pages: list[t30.PageReceived]
    seconds: float
    datagrams: int


@dataclass(slots=True)
class _Node:
    """One side: agent, leg, and its two sockets."""

    address: Address
    agent: Agent
    make_leg: Callable[[sip.IncomingCall | None, float], Leg]
    leg: Leg | None = None
    key: CallKey | None = None
    outcome: Outcome | None = None
    pages: list[t30.PageReceived] = field(default_factory=list)

    @property
    def media(self) -> Address:
        return self.address[0], MEDIA_PORT

    def next_timeout(self) -> float:
        due = self.agent.next_timeout()
        return due if self.leg is None else min(due, self.leg.next_timeout())

    def handle_timeout(self, now: float) -> None:
        if now >= self.agent.next_timeout():
            self.agent.handle_timeout(now)
        if self.leg is not None and now >= self.leg.next_timeout():
            self.leg.handle_timeout(now)


class Simulation:
    """One fax from caller to called. Use `run_fax`; tests that want to meddle use `step`."""

    def __init__(
        self,
        pages: Sequence[SimulatedPage],
        *,
        seed: int,
        faults: LineFaults | None = None,
        calling: LegOptions | None = None,
        called: LegOptions | None = None,
        keep: Keep | None = None,
        watch: Callable[[str, leg.LegEvent], None] | None = None,
    ) -> None:
        self.now = 0.0
        self.datagrams = 0
        self._pages = tuple(pages)
        self._keep = keep or (lambda page: "")
        self._watch = watch or (lambda side, event: None)
        self._dice = random.Random(seed)
        faults = faults or LineFaults()
        infos = tuple(t30.PageInfo(page.width_px, page.rows, page.resolution) for page in pages)
        self.caller = self._node(CALLER, calling or LegOptions(), infos)
        self.called = self._node(CALLED, called or LegOptions(), ())
        self._lines: dict[tuple[Address, Address], BadLine] = {}
        for source, target in ((self.caller, self.called), (self.called, self.caller)):
            for origin, end in ((source.address, target.address), (source.media, target.media)):
                self._lines[origin, end] = self._line(faults)

    def _node(self, address: Address, options: LegOptions, pages: tuple[t30.PageInfo, ...]) -> _Node:
        agent = Agent(SipOptions(), contact=address, dice=random.Random(self._dice.random()), now=0.0)
        session_id = self._dice.randrange(1, 1 << 31)
        seeds = (self._dice.randrange(1 << 32), self._dice.randrange(1 << 16), self._dice.randrange(1 << 32))

        def make(incoming: sip.IncomingCall | None, now: float) -> Leg:
            media = MediaSession(host=address[0], port=MEDIA_PORT, parameters=options.t38, session_id=session_id)
            return Leg(options, media, incoming=incoming, pages=pages, seeds=seeds, now=now)

        return _Node(address, agent, make)

    def _line(self, faults: LineFaults) -> BadLine:
        return BadLine(
            random.Random(self._dice.random()),
            loss=faults.loss,
            duplicate=faults.duplicate,
            reorder=faults.reorder,
            delay=faults.delay,
            jitter=faults.jitter,
        )

    # --- running ---------------------------------------------------------------------------------

    def run(self) -> SimulatedFax:
        """Dial, and run until both sides have ended and nothing is under way."""
        self.caller.leg = self.caller.make_leg(None, self.now)
        self.caller.leg.command(leg.Dial(), self.now)
        self._settle()
        for _ in range(STEP_LIMIT):
            if not self.step():
                break
        else:
            raise MisuseError(f"the simulated fax did not end within {STEP_LIMIT} steps")
        if self.caller.outcome is None:
            raise MisuseError("the calling side fell silent without an outcome")
        return SimulatedFax(self.caller.outcome, self.called.outcome, self.called.pages, self.now, self.datagrams)

    def step(self) -> bool:
        """Go to the next moment at which something happens; False when nothing ever will."""
        nodes = (self.caller, self.called)
        due = min(min(node.next_timeout() for node in nodes), min(line.next_arrival() for line in self._lines.values()))
        if due == math.inf:
            return False
        self.now = max(self.now, due)
        for (source, target), line in self._lines.items():
            for datagram in line.arrivals(self.now):
                self._deliver(datagram, source, target)
        for node in nodes:
            node.handle_timeout(self.now)
        self._settle()
        return True

    def _deliver(self, datagram: bytes, source: Address, target: Address) -> None:
        node = self.caller if target[0] == CALLER[0] else self.called
        if target[1] != MEDIA_PORT:
            node.agent.receive(datagram, source, self.now)
        elif node.leg is not None:
            node.leg.receive(datagram, source, self.now)

    def _settle(self) -> None:
        """Carry what agents and legs have for each other until nothing moves."""
        moved = True
        while moved:
            moved = False
            for node in (self.caller, self.called):
                moved |= self._pump(node)

    def _pump(self, node: _Node) -> bool:
        moved = False
        for event in node.agent.take_events():
            moved = True
            self._take_sip(node, event)
        if node.leg is not None:
            for datagram, to in node.leg.take_datagrams():
                self._send(node.media, to, datagram)
            for told in node.leg.take_events():
                moved = True
                self._take(node, told)
            for order in node.leg.take_sip():
                moved = True
                self._obey(node, order)
        for octets, to in node.agent.take_output():
            self._send(node.address, to, octets)
        return moved

    def _send(self, source: Address, to: Address, datagram: bytes) -> None:
        self.datagrams += 1
        line = self._lines.get((source, to))
        if line is not None:  # to nowhere: lost, as on any network
            line.send(datagram, self.now)

    def _take_sip(self, node: _Node, event: sip.SipEvent) -> None:
        if isinstance(event, sip.IncomingCall) and node.leg is not None:
            node.agent.refuse(event.call, 486, self.now)  # one line
        elif isinstance(event, sip.IncomingCall):
            node.key = event.call
            node.leg = node.make_leg(event, self.now)
            node.leg.command(leg.Accept(), self.now)
        elif node.leg is not None and not isinstance(event, sip.DatagramDropped) and event.call == node.key:
            node.leg.signal(event, self.now)

    def _take(self, node: _Node, event: leg.LegEvent) -> None:
        self._watch("caller" if node is self.caller else "called", event)
        if node.leg is None:
            return
        match event:
            case t30.PageNeeded(number, agreement):
                node.leg.command(t30.PageCoded(number, self._code(number, agreement)), self.now)
            case t30.PageReceived():
                why = self._keep(event)
                if why:
                    node.leg.command(t30.PageLost(event.number, why), self.now)
                else:
                    node.pages.append(event)
                    node.leg.command(t30.PageKept(event.number), self.now)
            case Finished(outcome):
                node.outcome = outcome
            case _:
                pass

    def _code(self, number: int, agreed: Agreement) -> bytes:
        page = self._pages[number - 1]
        return code_page(page.raster, page.width_px, page.rows, page.resolution, agreed)

    def _obey(self, node: _Node, order: leg.SipOrder) -> None:
        agent, key, now = node.agent, node.key, self.now
        match order:
            case leg.Invite(sdp):
                node.key = agent.invite(
                    f"sip:fax@{CALLED[0]}:{CALLED[1]}", sdp=sdp, from_user="caller", destination=CALLED, now=now
                )
            case leg.Answer(sdp) if key is not None:
                agent.answer(key, sdp, now)
            case leg.Refuse(status) if key is not None:
                agent.refuse(key, status, now)
            case leg.Offer(sdp) if key is not None:
                agent.offer(key, sdp, now)
            case leg.AcceptOffer(sdp) if key is not None:
                agent.accept_offer(key, sdp, now)
            case leg.RefuseOffer(status) if key is not None:
                agent.refuse_offer(key, status, now)
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
    watch: Callable[[str, leg.LegEvent], None] | None = None,
) -> SimulatedFax:
    """Send `pages` through a simulated call and return what both sides say of it."""
    world = Simulation(pages, seed=seed, faults=faults, calling=calling, called=called, keep=keep, watch=watch)
    return world.run()
