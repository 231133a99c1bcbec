"""Two engines on a perfect line in virtual time, with one place where damage may be done to what is carried."""

import heapq
import itertools
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from vfax.codecs.dis import Agreement, Resolution, encode_dcs
from vfax.codecs.encode import encode_page
from vfax.codecs.frames import Fcf, Frame
from vfax.outcome import Outcome
from vfax.signals import (
    DataReceived,
    FrameReceived,
    LineSignal,
    Modem,
    SendEcm,
    SendFrames,
    SendImage,
    SendTone,
    SendTraining,
    SetPace,
    SignalEnded,
    SignalStarted,
    StopSending,
    ToneHeard,
    Transmission,
    TransmissionDone,
)
from vfax.t30.engine import T30Engine
from vfax.t30.options import T30Options
from vfax.t30.tables import SENDING
from vfax.t30.values import (
    Addressing,
    Ended,
    Event,
    FrameSeen,
    LineUp,
    Order,
    PageCoded,
    PageInfo,
    PageKept,
    PageLost,
    PageNeeded,
    PageReceived,
    Poll,
    Role,
    SendDocument,
)

GAP = 0.075  # silence before every burst
TRANSIT = 0.05
PREAMBLE = 1.0
TRAINING = 1.393
SHORT_TRAINING = 0.142
CHUNK = 0.03
UNPACED = 0.001  # of the time that a modem takes

Timed = list[tuple[float, LineSignal]]
Fate = Callable[[str, LineSignal, float], list[LineSignal]]


def carried(transmission: Transmission) -> tuple[Timed, float]:
    """What the other end hears, in seconds from the start of the burst, and how long the burst takes."""
    match transmission:
        case SendTone(tone):
            return [(0.0, ToneHeard(tone))], 0.5
        case SendFrames(frames):
            return _hdlc(Modem.V21, frames, PREAMBLE)
        case SendTraining(modem, octets):
            return _data(modem, bytes(octets), TRAINING)
        case SendImage(modem, short, data):
            return _data(modem, data, SHORT_TRAINING if short else TRAINING)
        case SendEcm(modem, short, frames):
            return _hdlc(modem, frames, (SHORT_TRAINING if short else TRAINING) + 0.2)
        case StopSending() | SetPace():
            raise AssertionError("not a burst")


def _hdlc(modem: Modem, frames: tuple[bytes, ...], at: float) -> tuple[Timed, float]:
    timed: Timed = [(0.0, SignalStarted(modem))]
    for frame in frames:
        at += (len(frame) + 4) * 8 / modem.rate_bps
        timed.append((at, FrameReceived(modem, frame)))
    return [*timed, (at, SignalEnded(modem))], at


def _data(modem: Modem, data: bytes, at: float) -> tuple[Timed, float]:
    timed: Timed = [(0.0, SignalStarted(modem))]
    size = int(modem.rate_bps * CHUNK / 8)
    for begin in range(0, len(data), size):
        at += CHUNK
        timed.append((at, DataReceived(modem, data[begin : begin + size])))
    return [*timed, (at, SignalEnded(modem))], at


class Half:
    """One direction of the line."""

    def __init__(self, name: str, pair: "Pair") -> None:
        self.name = name
        self.pair = pair
        self.free_at = 0.0
        self.generation = 0
        self.on: Modem | None = None
        self.pace = 1.0

    def transmit(self, transmission: Transmission, now: float) -> None:
        if isinstance(transmission, SetPace):
            self.pace = 1.0 if transmission.paced else UNPACED
            return
        if isinstance(transmission, StopSending):
            self.generation += 1
            self.free_at = now
            if self.on is not None:
                self.pair.at(now + TRANSIT, lambda modem=self.on: self.pair.hear(self.name, SignalEnded(modem)))  # type: ignore[misc]
                self.on = None
            return
        pace = self.pace
        begin = max(now, self.free_at) + GAP * pace
        timed, takes = carried(transmission)
        generation = self.generation
        for offset, signal in timed:
            self.pair.at(begin + offset * pace, lambda s=signal: self._leave(s, generation))  # type: ignore[misc]
        self.free_at = begin + (takes + 0.1) * pace
        self.pair.at(self.free_at, lambda end=self.free_at: self._done(end, generation))  # type: ignore[misc]

    def _leave(self, signal: LineSignal, generation: int) -> None:
        if generation != self.generation:
            return
        if isinstance(signal, SignalStarted):
            self.on = signal.modem
        elif isinstance(signal, SignalEnded):
            self.on = None
        self.pair.at(self.pair.now + TRANSIT, lambda: self.pair.hear(self.name, signal))

    def _done(self, end: float, generation: int) -> None:
        if generation == self.generation and end == self.free_at:
            self.pair.tell(self.name, TransmissionDone())


@dataclass
class Pair:
    """Sender and receiver with their owners: pages in, pages out, everything noted."""

    pages: list[tuple[PageInfo, bytes]]
    send: T30Options = field(default_factory=T30Options)
    take: T30Options = field(default_factory=T30Options)
    fate: Fate = lambda _name, signal, _now: [signal]
    keep_after: float = 0.05
    code_after: float = 0.05
    lose_page: int = 0
    first: int = 1
    addressing: Addressing = field(default_factory=Addressing)
    polls: Addressing | None = None  # what the receiver says who calls for the document; None: the sender calls
    also_receives: bool = False  # polled, the sender would receive as well
    now: float = 0.0

    def __post_init__(self) -> None:
        polled = self.polls is not None
        caller, called = (Role.CALLED, Role.CALLER) if polled else (Role.CALLER, Role.CALLED)
        self.sender = T30Engine(caller, sending=not self.also_receives, options=self.send, now=0.0)
        self.receiver = T30Engine(called, sending=False, options=self.take, now=0.0)
        self.engines = {"sender": self.sender, "receiver": self.receiver}
        self.halves = {name: Half(name, self) for name in self.engines}
        self.events: dict[str, list[Event]] = {"sender": [], "receiver": []}
        self.kept: dict[int, bytes] = {}
        self.received: list[PageReceived] = []
        self.coded: list[Agreement] = []
        self.counter = itertools.count()
        self.queue: list[tuple[float, int, Callable[[], object]]] = []
        self.costs = 0

    def at(self, when: float, do: Callable[[], object]) -> None:
        heapq.heappush(self.queue, (when, next(self.counter), do))

    def hear(self, talker: str, signal: LineSignal) -> None:
        listener = "receiver" if talker == "sender" else "sender"
        for each in self.fate(talker, signal, self.now):
            self.tell(listener, each)

    def tell(self, name: str, signal: LineSignal) -> None:
        self.engines[name].receive(signal, self.now)
        self.pump(name)

    def pump(self, name: str) -> None:
        engine = self.engines[name]
        for transmission in engine.take_output():
            self.halves[name].transmit(transmission, self.now)
        for event in engine.take_events():
            self.events[name].append(event)
            self.own(name, event)

    def own(self, name: str, event: Event) -> None:
        engine = self.engines[name]
        if isinstance(event, PageNeeded):
            self.coded.append(event.agreement)
            data = self.code(event)
            self.order_later(self.code_after, name, lambda: engine.command(PageCoded(event.number, data), self.now))
        elif isinstance(event, PageReceived):
            self.received.append(event)
            if event.complete:
                self.order_later(self.keep_after, name, lambda: self.store(event))

    def store(self, event: PageReceived) -> None:
        if event.number == self.lose_page:
            self.receiver.command(PageLost(event.number, "disk full"), self.now)
            return
        self.kept[event.number] = event.raster
        self.receiver.command(PageKept(event.number), self.now)

    def order_later(self, after: float, name: str, do: Callable[[], object]) -> None:
        def run() -> None:
            do()
            self.pump(name)

        self.at(self.now + after, run)

    def code(self, needed: PageNeeded) -> bytes:
        info, raster = self.pages[needed.number - 1]
        agreed = needed.agreement
        fill = math.ceil(agreed.modem.rate_bps * agreed.min_scan_ms / 8000)
        return encode_page(raster, info.width_px, info.rows, agreed.coding, k=4, min_row_octets=fill, ecm=agreed.ecm)

    def run(self, *, until: float = 8000.0) -> "Pair":
        self.sender.command(SendDocument(tuple(info for info, _ in self.pages), self.first, self.addressing), 0.0)
        if self.polls is not None:
            self.receiver.command(Poll(self.polls), 0.0)
        for name, engine in self.engines.items():
            engine.command(LineUp(), 0.0)
            self.pump(name)
        while self.step(until):
            pass
        return self

    def step(self, until: float) -> bool:
        """One happening; False when both have ended or nothing can happen any more."""
        due = {name: engine.next_timeout() for name, engine in self.engines.items()}
        first = min(due, key=due.__getitem__)
        signal_at = self.queue[0][0] if self.queue else math.inf
        if min(due[first], signal_at) > until or (due[first] == math.inf and self.over):
            return False
        if signal_at <= due[first]:
            self.now, _, do = heapq.heappop(self.queue)
            do()
        else:
            self.now = max(self.now, due[first])
            self.engines[first].handle_timeout(self.now)
            self.pump(first)
        return True

    @property
    def over(self) -> bool:
        return all(any(isinstance(e, Ended) for e in events) for events in self.events.values())

    def outcome(self, name: str) -> Outcome:
        (ended,) = [event.outcome for event in self.events[name] if isinstance(event, Ended)]
        return ended

    def said(self, name: str) -> list[str]:
        """Names of the control frames one end said, in order."""
        seen = [event for event in self.events[name] if isinstance(event, FrameSeen) and event.sent]
        return [event.name for event in seen if event.octets]

    def left_out(self, name: str) -> dict[str, str]:
        """What one end would have said, and why it did not."""
        seen = [event for event in self.events[name] if isinstance(event, FrameSeen) and not event.octets]
        return {event.name: event.words for event in seen}

    def of(self, name: str, kind: type[Event]) -> list[Event]:
        return [event for event in self.events[name] if isinstance(event, kind)]


def draw(
    rows: int, *, seed: int, width_px: int = 1728, resolution: Resolution = Resolution.FINE
) -> tuple[PageInfo, bytes]:
    """A page of repeated runs: every few rows something else, as text has it."""
    dice = random.Random(seed)
    stride = (width_px + 7) // 8
    raster = bytearray()
    line = bytes(stride)
    for _ in range(rows):
        if dice.random() < 0.3:
            row = 0
            for _ in range(dice.randrange(1, 12)):
                row |= ((1 << dice.randrange(1, 200)) - 1) << dice.randrange(0, width_px - 200)
            line = row.to_bytes(stride, "big")
        raster += line
    return PageInfo(width_px, rows, resolution), bytes(raster)


def lose(*fcfs: Fcf, times: int = 1, by: str = "") -> Fate:
    """Lose the first `times` of each of these frames."""
    left = dict.fromkeys(fcfs, times)

    def fate(name: str, signal: LineSignal, _now: float) -> list[LineSignal]:
        if isinstance(signal, FrameReceived) and signal.modem is Modem.V21 and by in ("", name):
            fcf = Fcf.of(signal.octets[2])
            if fcf is not None and left.get(fcf, 0) > 0:
                left[fcf] -= 1
                return []
        return [signal]

    return fate


class Script:
    """One engine alone; the test plays the peer and the owner, in plain numbers of seconds."""

    def __init__(self, *, sending: bool, pages: int = 1, **options: object) -> None:
        role = Role.CALLER if sending else Role.CALLED
        self.engine = T30Engine(role, sending=sending, options=replace(T30Options(), **options), now=0.0)  # type: ignore[arg-type]
        self.now = 0.0
        self.events: list[Event] = []
        self.output: list[Transmission] = []
        self.said: list[str] = []
        if sending:
            self.engine.command(SendDocument(tuple(PageInfo(1728, 20, Resolution.FINE) for _ in range(pages))), 0.0)
        self.order(LineUp())

    def collect(self) -> None:
        self.output += self.engine.take_output()
        for event in self.engine.take_events():
            self.events.append(event)
            if isinstance(event, FrameSeen) and event.sent:
                self.said.append(event.name)

    def order(self, order: Order) -> "Script":
        self.engine.command(order, self.now)
        self.collect()
        return self

    def hear(self, *signals: LineSignal) -> "Script":
        for signal in signals:
            self.engine.receive(signal, self.now)
        self.collect()
        return self

    def left(self) -> "Script":
        """What the engine said has left, two seconds later."""
        return self.wait(2.0).hear(TransmissionDone())

    def wait(self, seconds: float) -> "Script":
        """Time passes; what comes due is done on time."""
        until = self.now + seconds
        while self.engine.next_timeout() <= until:
            self.now = max(self.now, self.engine.next_timeout())
            self.engine.handle_timeout(self.now)
            self.collect()
        self.now = until
        return self

    def says(self, fcf: Fcf, info: bytes = b"", *, ends: bool = True) -> "Script":
        """The peer says one V.21 frame: a second of flags, the frame, the end."""
        self.hear(SignalStarted(Modem.V21)).wait(1.0)
        self.hear(FrameReceived(Modem.V21, Frame(fcf, info, x=self.engine.state not in SENDER_STATES).encode()))
        return self.hear(SignalEnded(Modem.V21)) if ends else self

    def burst(self, modem: Modem, *data: LineSignal) -> "Script":
        self.hear(SignalStarted(modem)).wait(0.5)
        return self.hear(*data).hear(SignalEnded(modem))

    def trains(self, agreement: Agreement) -> "Script":
        """The peer says DCS and TCF, and hears CFR out."""
        self.says(Fcf.DCS, encode_dcs(agreement))
        modem = agreement.modem
        return self.burst(modem, DataReceived(modem, bytes(modem.rate_bps * 3 // 16))).left()

    def fast(self, agreement: Agreement, *frames: bytes) -> "Script":
        """The peer sends an ECM burst."""
        return self.burst(agreement.modem, *(FrameReceived(agreement.modem, frame) for frame in frames))

    def keeps(self, number: int = 1) -> "Script":
        return self.wait(0.0).order(PageKept(number))

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def outcome(self) -> Outcome:
        (ended,) = self.of(Ended)
        return ended.outcome  # type: ignore[no-any-return]

    @property
    def last_frame(self) -> Frame:
        """The last frame the engine said."""
        said = [each for each in self.output if isinstance(each, SendFrames)][-1]
        return Frame.decode(said.frames[-1])


SENDER_STATES = frozenset(SENDING)


@dataclass(frozen=True)
class Bench:
    """What tests of this room work with."""

    pair: type[Pair] = Pair
    script: type[Script] = Script
    draw: Callable[..., tuple[PageInfo, bytes]] = draw
    lose: Callable[..., Fate] = lose


@pytest.fixture
def bench() -> Bench:
    return Bench()
