"""One scenario played from the first INVITE to the last timer, and the evidence of what happened.

Owns      the play: roads, stores, aborts, mischief at their moments; what is kept of it for judging.
Not here  scenarios (scenario.py), judging (invariants.py), the two calls themselves (simulate.py).
"""

import traceback
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from vfax import simulate
from vfax.codecs.dis import Agreement
from vfax.journal import Journal, facts_of
from vfax.leg import Finished, LegEvent, LegOrder, Switched
from vfax.outcome import Outcome
from vfax.record import CallRecord, RecordOptions, Terms, counters_of
from vfax.simulate import Done, Plane, Side, Simulation
from vfax.simulation import mischief
from vfax.simulation.mischief import CoveredRoad, CutRoad, Memory
from vfax.simulation.scenario import Kind, Moment, Scenario
from vfax.simulation.weight import octets_held
from vfax.t30 import values as t30
from vfax.transports.simnet import Dice, Road
from vfax.transports.sip import values as sip
from vfax.transports.sip.options import SipOptions

WEIGH_EVERY: Final = 2000  # steps
AGENT: Final = SipOptions().user_agent
"""What both sides call themselves."""

CUT_SHORT: Final = 100_000  # Limit: steps of one trial


@dataclass(frozen=True, slots=True)
class Told:
    """An event of a leg, and when it came."""

    at: float
    side: Side
    event: LegEvent


@dataclass(slots=True)
class Evidence:
    """What one trial has shown. Times are virtual seconds."""

    scenario: Scenario
    told: list[Told] = field(default_factory=list)
    kept: list[tuple[float, t30.PageReceived]] = field(default_factory=list)
    coded: list[tuple[Agreement, t30.PageCoded]] = field(default_factory=list)
    outcomes: dict[Side, Outcome] = field(default_factory=dict)
    began: set[Side] = field(default_factory=set)  # sides that had a leg
    ended_at: float = 0.0  # the last outcome
    still: bool = False  # nothing was under way at the end
    left_over: set[Side] = field(default_factory=set)  # sides whose SIP agent still held something
    heaviest: int = 0  # octets
    datagrams: int = 0
    fault: str = ""  # the trace of an exception
    journals: dict[Side, bytes] = field(default_factory=dict)

    def events(self, side: Side) -> Iterator[tuple[float, LegEvent]]:
        """What a side told, in order."""
        return ((told.at, told.event) for told in self.told if told.side is side)

    def confirmed(self, side: Side) -> list[tuple[float, int]]:
        """When a side held pages for confirmed, and their numbers."""
        return [(at, event.number) for at, event in self.events(side) if isinstance(event, t30.PageConfirmed)]


def patience(scenario: Scenario) -> float:
    """By when both sides must have ended, in virtual seconds: a page may go several times at 2400 bit/s."""
    store = scenario.store
    return 900.0 + sum(300.0 + store.keeping + store.reading + len(page.raster) / 100 for page in scenario.pages)


def play(scenario: Scenario, *, journals: Path | None = None) -> Evidence:
    """Play it. With `journals`, a folder, both sides write theirs there, with a clock that begins at 0."""
    evidence = Evidence(scenario)
    stage = _Stage(scenario, evidence)
    try:
        with ExitStack() as open_journals:
            if journals is not None:
                stage.write_journals(journals, open_journals)
            stage.run()
    except Exception:  # what else could find that nothing leaves an engine
        evidence.fault = traceback.format_exc()
    if journals is not None:
        evidence.journals = {side: (journals / f"{side.value}.jsonl").read_bytes() for side in Side}
    return evidence


class _Stage(simulate.Watcher):
    """The simulation, set up as a scenario asks, with its watcher."""

    def __init__(self, scenario: Scenario, evidence: Evidence) -> None:
        self._scenario = scenario
        self._evidence = evidence
        self._memories = {side: Memory() for side in Side}
        self._needed: dict[int, Agreement] = {}
        self._version = 0  # of T.38
        self._remembers = bool(scenario.mischief)
        self._records: dict[Side, CallRecord] = {}
        self._journals: dict[Side, Journal] = {}
        self._dice = Random(f"{scenario.seed}/mischief")
        self._world = Simulation(
            scenario.pages,
            seed=scenario.seed,
            calling=scenario.calling,
            called=scenario.called,
            keep=self._keep,
            fetch=self._fetch,
            watch=self,
            roads=self._road,
            first=scenario.first,
            addressing=scenario.addressing,
            polled=scenario.polled,
        )
        self._plan()

    def run(self) -> None:
        """From the first INVITE until nothing moves, or patience is out."""
        world, evidence = self._world, self._evidence
        limit = patience(self._scenario)
        try:
            world.dial()
            steps = 0
            while world.next_due() <= limit and steps < CUT_SHORT and world.step():
                steps += 1
                if steps % WEIGH_EVERY == 0:
                    self._weigh(*Side)
            evidence.still = world.next_due() > 1e9
        finally:
            self._note_end()

    def _note_end(self) -> None:
        world, evidence = self._world, self._evidence
        evidence.ended_at = world.ended_at
        evidence.datagrams = world.datagrams
        for side in Side:
            node = world.node(side)
            if node.leg is not None:
                evidence.began.add(side)
            if node.outcome is not None:
                evidence.outcomes[side] = node.outcome
            if not node.agent.is_empty:
                evidence.left_over.add(side)

    def _weigh(self, *sides: Side) -> None:
        for side in sides:
            node = self._world.node(side)
            self._evidence.heaviest = max(self._evidence.heaviest, octets_held(node.leg, node.agent))

    # --- the scenario ----------------------------------------------------------------------------

    def _road(self, side: Side, plane: Plane, dice: Dice) -> Road:
        scenario = self._scenario
        faults = scenario.media[side] if plane is Plane.MEDIA else scenario.signalling[side]
        road: Road = faults.line(dice)
        if scenario.depth and plane is Plane.MEDIA:
            road = CoveredRoad(road, dice, scenario.depth)
        cuts = tuple(cut for cut in scenario.cuts if cut.side is side and (plane is Plane.MEDIA or not cut.media_only))
        return CutRoad(road, cuts) if cuts else road

    def _plan(self) -> None:
        world, scenario = self._world, self._scenario
        for moment in scenario.aborts:
            world.at(moment.at, lambda side=moment.side: world.command(side, t30.Abort("told to stop")))  # type: ignore[misc]
        for moment in scenario.hang_ups:
            world.at(moment.at, lambda side=moment.side: world.hang_up(side))  # type: ignore[misc]
        for moment in scenario.mischief:
            world.at(moment.at, lambda moment=moment: self._lie(moment))  # type: ignore[misc]

    def _lie(self, moment: Moment) -> None:
        """Let something arrive at a side that the other has not sent now."""
        memory = self._memories[moment.side.other]
        version = self._version
        match self._scenario.kind:
            case Kind.STALE:
                datagrams = mischief.stale(self._dice, memory)
            case Kind.FRAMES:
                datagrams = mischief.frames(self._dice, memory, version)
            case _:
                datagrams = mischief.rubbish(self._dice, memory, version)
                self._world.inject(moment.side, Plane.SIGNALLING, mischief.sip_rubbish(self._dice))
        for datagram in datagrams:
            self._world.inject(moment.side, Plane.MEDIA, datagram)

    def _keep(self, page: t30.PageReceived) -> Done:
        store = self._scenario.store
        return Done(store.keeping, "the disk is full" if page.number == store.lost else "")

    def _fetch(self, number: int) -> Done:
        store = self._scenario.store
        return Done(store.reading, "the file is gone" if number == store.unreadable else "")

    # --- watching --------------------------------------------------------------------------------

    def write_journals(self, folder: Path, open_journals: ExitStack) -> None:
        """Have both sides write theirs."""
        scenario = self._scenario
        infos = tuple(t30.PageInfo(page.width_px, page.rows, page.resolution) for page in scenario.pages)
        document = t30.SendDocument(infos, scenario.first, scenario.addressing)
        poll = t30.Poll(scenario.addressing) if scenario.polled else None
        for side, options in zip(Side, (scenario.calling, scenario.called), strict=True):
            journal = Journal(
                folder / f"{side.value}.jsonl",
                clock=lambda: self._world.now,
                wall=lambda: self._world.now,
                call=f"{scenario.seed}-{side.value}",
            )
            open_journals.enter_context(journal)
            journal.note("call", direction="out" if side is Side.CALLER else "in", pages=len(infos))
            terms = Terms(
                options=options,
                called=side is Side.CALLED,
                document=document if side is scenario.sender else None,
                poll=poll if side is Side.CALLER else None,
                peer_agent=AGENT,
            )
            self._journals[side] = journal
            self._records[side] = CallRecord(journal, terms, RecordOptions())

    def event(self, side: Side, event: LegEvent, now: float) -> None:
        """A leg told something."""
        if not isinstance(event, t30.PageProgress):
            self._evidence.told.append(Told(now, side, event))
        if isinstance(event, t30.PageNeeded):
            self._needed[event.number] = event.agreement
        elif isinstance(event, t30.PageReceived | t30.PageStarted) and event.number == self._scenario.first:
            self._weigh(side)  # a page has just been decoded and not let go yet, or cut into frames
        elif isinstance(event, Switched):
            self._version = event.parameters.version
        if side in self._records:
            self._records[side].event(event, now)
            leg = self._world.node(side).leg
            if isinstance(event, Finished) and leg is not None:
                self._journals[side].note("counters", **counters_of(leg, now))
                self._journals[side].note("outcome", **facts_of(event.outcome))

    def order(self, side: Side, order: LegOrder, now: float) -> None:
        """A leg is told something by its owner."""
        match order:
            case t30.PageKept(number):
                page = next(page for page in reversed(self._world.node(side).pages) if page.number == number)
                self._evidence.kept.append((now, page))
            case t30.PageCoded(number):
                self._evidence.coded.append((self._needed[number], order))
            case _:
                pass
        if side in self._records:
            self._records[side].order(order, now)

    def signal(self, side: Side, event: sip.SipEvent, now: float) -> None:
        """A leg is told something by SIP."""
        if side in self._records:
            self._records[side].signal(event, now)

    def sent(self, side: Side, datagram: bytes, now: float) -> None:
        """A media datagram leaves a side."""
        if self._remembers:
            self._memories[side].datagrams.append(datagram)
        if side in self._records:
            self._records[side].sent(datagram, now)

    def heard(self, side: Side, datagram: bytes, now: float) -> None:
        """The T.38 line of a side takes a datagram."""
        if side in self._records:
            self._records[side].heard(datagram, now)
