"""One real leg against a peer that may be told to misbehave, and the journal it leaves; all in virtual time.

The peer is another T.30 engine on a T.38 line, behind a place where every burst of it can be changed, dropped or
answered with silence, and where SIP can end at any moment.
"""

import heapq
import itertools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from vfax import leg as legs
from vfax.codecs.dis import Agreement, Resolution
from vfax.codecs.frames import Fcf, Frame
from vfax.journal import Journal, facts_of
from vfax.leg import Leg, LegOptions
from vfax.outcome import Outcome
from vfax.record import CallRecord, RecordOptions, Terms, counters_of
from vfax.signals import LineSignal, SendEcm, SendFrames, SendImage, StopSending, Transmission, TransmissionDone
from vfax.t30 import values as t30
from vfax.t30.coding import code_page
from vfax.t30.engine import T30Engine
from vfax.t30.options import T30Options
from vfax.transports.parameters import Dtls, T38Parameters
from vfax.transports.sip import values as sip
from vfax.transports.sip.negotiation import MediaKind, MediaSession
from vfax.transports.sip.secure import DtlsSide, Fingerprint
from vfax.transports.sip.values import Address
from vfax.transports.t38 import T38Line

OURS: Final[Address] = ("192.0.2.1", 20000)  # RFC 5737 documentation addresses
THEIRS: Final[Address] = ("192.0.2.9", 30000)
KEY: Final = 1
DELAY: Final = 0.02
WIDTH: Final = 1728
STEPS: Final = 300_000

Twist = Callable[["Play", Transmission], Sequence[Transmission]]
"""What becomes of a burst that the peer is about to send."""


def side_of(options: LegOptions, certificate: bytes) -> DtlsSide | None:
    """One end's side of DTLS, where the options want any."""
    if options.dtls is Dtls.OFF:
        return None
    return DtlsSide(policy=options.dtls, fingerprints=(Fingerprint.of(certificate),), tls_id="abc3de65cddef001be82")


def a_page(rows: int, number: int) -> bytes:
    """Rows with enough on them that a page takes a few seconds, and other rows on each page."""
    dice = random.Random(2 + number)
    kinds = [dice.randbytes(WIDTH // 8) for _ in range(12)]
    return b"".join(kinds[row // 4 % 12] for row in range(rows))


def names(order: Transmission) -> tuple[str, ...]:
    """The T.30 names in a burst."""
    return tuple(Frame.decode(octets).fcf.title for octets in order.frames) if isinstance(order, SendFrames) else ()


def frame(fcf: Fcf, info: bytes = b"") -> SendFrames:
    """A burst with one frame."""
    return SendFrames((Frame(fcf, info).encode(),))


@dataclass
class Play:
    """One call. `sending` tells what the leg under test does; `options` are its own, `theirs` the peer's."""

    sending: bool
    pages: int = 1
    rows: int = 60
    formats: tuple[Resolution, ...] = ()  # of the pages in turn; fine, unless given
    options: LegOptions = field(default_factory=LegOptions)
    theirs: T30Options = field(default_factory=T30Options)
    twist: Twist = lambda _, order: (order,)
    store: Callable[[int], tuple[float, str]] = lambda number: (0.05, "")  # when a page is kept, or why it is not
    document: Callable[[int], str] = lambda number: ""  # why a page cannot be coded
    coding: float = 0.0  # how long it takes to code one
    lose: Callable[[str, int], bool] = lambda direction, number: False  # which datagrams are lost
    deaf: Callable[[LineSignal], bool] = lambda signal: False  # what the peer does not hear
    answers: Callable[["Play", legs.SipOrder], bool] = lambda play, order: False  # true when it answered the order
    secured: legs.DtlsUp | legs.DtlsFailed | None = None  # what comes of DTLS, where that is agreed
    offer: bytes | None = None  # what the caller offers, when it is not T.38
    limit: float = 4000.0
    journal: Path | None = None

    def __post_init__(self) -> None:
        self.now = 0.0
        self.gone = False  # the peer sends nothing any more
        self.bye_at = math.inf
        self.outcome: Outcome | None = None
        self.outcomes: list[Outcome] = []
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._ticket = itertools.count()
        self._sent = {"in": 0, "out": 0}
        formats = self.formats or (Resolution.FINE,) * self.pages
        self._info = tuple(t30.PageInfo(WIDTH, self.rows, resolution) for resolution in formats)
        self.line: T38Line | None = None
        self.engine: T30Engine | None = None
        self._log = Journal(self.journal, clock=lambda: self.now, call="test", wall=lambda: 1.7e9 + self.now)
        self._log.note("call", direction="out" if self.sending else "in")
        terms = Terms(options=self.options, called=not self.sending)
        self._record = CallRecord(self._log, terms, RecordOptions())
        sides = [side_of(self.options, name) for name in (b"them", b"us")]
        plain = T38Parameters()
        self._session = MediaSession(host=THEIRS[0], port=THEIRS[1], parameters=plain, session_id=2, dtls=sides[0])
        ours = MediaSession(host=OURS[0], port=OURS[1], parameters=self.options.t38, session_id=1, dtls=sides[1])
        incoming = None if self.sending else self._ring()
        self.leg = Leg(self.options, ours, incoming=incoming, pages=self._info if self.sending else (), now=0.0)

    def _ring(self) -> sip.IncomingCall:
        return sip.IncomingCall(
            call=KEY,
            source=THEIRS,
            request_uri="sip:1@192.0.2.1",
            dialled="1",
            caller="2",
            caller_name="",
            call_id="x",
            offer=self._session.offer_t38() if self.offer is None else self.offer,
            user_agent="",
        )

    # --- acts of the peer -------------------------------------------------------------------------

    def at(self, after: float, act: Callable[[], None]) -> None:
        """Do something in a while."""
        heapq.heappush(self._queue, (self.now + after, next(self._ticket), act))

    def vanish(self) -> None:
        """The peer is gone."""
        self.gone = True

    def hang_up(self) -> None:
        """BYE."""
        self.gone = True
        self.signal(sip.HungUp(KEY, ""))

    def say(self, *orders: Transmission) -> None:
        """Put bursts on the line, whatever the peer's engine wants."""
        assert self.line is not None
        for order in orders:
            self.line.transmit(order, self.now)

    def cut_with(self, order: Transmission) -> None:
        """Stop what is being said, say this, and nothing more."""
        self.say(StopSending(), order)
        self.engine = None

    def signal(self, *events: sip.SipEvent) -> None:
        """Give the leg events of SIP."""
        for event in events:
            if isinstance(event, sip.Progress):
                self._log.note("sip", direction="in", summary=f"{event.status} {event.reason} to INVITE")
            self._record.signal(event, self.now)
            self.leg.signal(event, self.now)
            self.take()

    def order(self, order: legs.LegOrder) -> None:
        """Give the leg an order."""
        self._record.order(order, self.now)
        self.leg.command(order, self.now)
        self.take()

    # --- the course -------------------------------------------------------------------------------

    def begin(self) -> "Play":
        """The call comes up with T.38 at once."""
        self.order(legs.Dial() if self.sending else legs.Accept())
        return self

    def run(self) -> Outcome:
        """Begin, and go on to the outcome."""
        self.begin()
        return self.finish()

    def finish(self) -> Outcome:
        """Let time pass until the leg has its outcome."""
        for _ in range(STEPS):
            if self.outcome is not None or not self.step():
                break
        self._log.close()
        assert self.outcome is not None, "the call never ended"
        return self.outcome

    def step(self) -> bool:
        """The next moment; False when there is none before the limit."""
        due = self.leg.next_timeout()
        if self._queue:
            due = min(due, self._queue[0][0])
        if not self.gone and self.line is not None:
            due = min(due, self.line.next_timeout(), self.engine.next_timeout() if self.engine else math.inf)
        if due > self.limit:
            return False
        self.now = max(self.now, due)
        while self._queue and self._queue[0][0] <= self.now:
            heapq.heappop(self._queue)[2]()
        if self.now >= self.leg.next_timeout():
            self.leg.handle_timeout(self.now)
        if self.line is not None and not self.gone:
            if self.now >= self.line.next_timeout():
                self.line.handle_timeout(self.now)
            if self.engine is not None and self.now >= self.engine.next_timeout():
                self.engine.handle_timeout(self.now)
        self.take()
        self._pump_peer()
        return True

    def take(self) -> None:
        """Carry what the leg has told, ordered and sent."""
        for event in self.leg.take_events():
            self._record.event(event, self.now)
            self._own(event)
        for datagram, _ in self.leg.take_datagrams():
            if self.leg.line is not None:
                self._record.sent(datagram, self.now)
            self._send("out", datagram)
        for order in self.leg.take_sip():
            self._answer(order)

    def _send(self, direction: str, datagram: bytes) -> None:
        number = self._sent[direction]
        self._sent[direction] += 1
        if not self.lose(direction, number):
            self.at(DELAY, lambda: self._arrive(direction, datagram))

    def _arrive(self, direction: str, datagram: bytes) -> None:
        if direction == "in":
            self._record.heard(datagram, self.now)
            self.leg.receive(datagram, THEIRS, self.now)
            self.take()
        elif self.line is not None:
            self.line.receive(datagram, self.now)

    def _own(self, event: legs.LegEvent) -> None:
        match event:
            case t30.PageNeeded(number, agreement):
                why = self.document(number)
                if why:
                    self.order(t30.PageUnavailable(number, why))
                else:
                    coded = t30.PageCoded(number, self._code(number, agreement))
                    self.at(self.coding, lambda: self.order(coded))
            case t30.PageReceived(number=number, complete=True):
                after, why = self.store(number)
                answer = t30.PageLost(number, why) if why else t30.PageKept(number)
                self.at(after, lambda: self.order(answer))
            case legs.DtlsAgreed() if self.secured is not None:
                secured = self.secured
                self.at(0.1, lambda: self.order(secured))
            case legs.Finished(outcome):
                self.outcome = outcome
                self.outcomes.append(outcome)
                self._note_end(outcome)
            case _:
                pass

    def _note_end(self, outcome: Outcome) -> None:
        """The last lines of a journal, as the runner and the call write them."""
        self._log.note("counters", **counters_of(self.leg, self.now))
        self._log.note("outcome", **facts_of(outcome))

    def _code(self, number: int, agreement: Agreement) -> bytes:
        return code_page(a_page(self.rows, number), WIDTH, self.rows, agreement.resolution, agreement)

    def _answer(self, order: legs.SipOrder) -> None:
        if self.answers(self, order):
            return
        match order:
            case legs.Invite(sdp) if b"m=image" in sdp:
                self._come_up(sip.Answered(KEY, self._session.answer(sdp, want=MediaKind.ANY).sdp))
            case legs.Answer(sdp) if b"m=image" in sdp:
                self._session.read_answer(sdp)
                self._come_up(sip.Confirmed(KEY, b""))
            case _:
                pass

    def _come_up(self, event: sip.SipEvent) -> None:
        role = t30.Role.CALLED if self.sending else t30.Role.CALLER
        self.line = T38Line(T38Parameters(), now=self.now)
        self.engine = T30Engine(role, sending=not self.sending, options=self.theirs, now=self.now)
        if not self.sending:
            self.engine.command(t30.SendDocument(self._info), self.now)
        self.engine.command(t30.LineUp(), self.now)
        self.signal(event)
        self._pump_peer()

    def _pump_peer(self) -> None:
        line = self.line
        if line is None:
            return
        if self.gone:
            line.take_output()
            return
        moved = True
        while moved:
            signals = line.take_signals()
            moved = bool(signals)
            if self.engine is None:
                break
            for heard in (signal for signal in signals if not self.deaf(signal)):
                self.engine.receive(heard, self.now)
            for event in self.engine.take_events():
                self._own_peer(event)
            for order in self.engine.take_output():
                moved = True
                self._put(line, order)
                if self._is_cut():
                    break
        for datagram in line.take_output():
            self._send("in", datagram)

    def _is_cut(self) -> bool:
        return self.engine is None or self.gone

    def _put(self, line: T38Line, order: Transmission) -> None:
        twisted = self.twist(self, order)
        for one in twisted:
            line.transmit(one, self.now)
        if not twisted and self.engine is not None:
            self.engine.receive(TransmissionDone(), self.now)

    def _own_peer(self, event: t30.Event) -> None:
        engine = self.engine
        if engine is None:
            return
        if isinstance(event, t30.PageNeeded):
            engine.command(t30.PageCoded(event.number, self._code(event.number, event.agreement)), self.now)
        elif isinstance(event, t30.PageReceived) and event.complete:
            engine.command(t30.PageKept(event.number), self.now)


# --- twists --------------------------------------------------------------------------------------


def at_frame(name: str, act: Callable[[Play], Sequence[Transmission] | None], *, after: int = 0) -> Twist:
    """`act` takes the place of each frame `name`, but for the first `after`; what it returns is said instead."""
    seen = 0

    def twist(play: Play, order: Transmission) -> Sequence[Transmission]:
        nonlocal seen
        if name not in names(order):
            return (order,)
        seen += 1
        return (order,) if seen <= after else act(play) or ()

    return twist


def instead(name: str, *bursts: Transmission, after: int = 0) -> Twist:
    """The peer says `bursts`, or nothing, in the place of each frame `name`."""
    return at_frame(name, lambda _: bursts, after=after)


def mute(*muted: str) -> Twist:
    """The peer never says these."""
    return lambda _, order: () if set(names(order)) & set(muted) else (order,)


def vanish_at(name: str, *, after: int = 0) -> Twist:
    """The peer is gone when it should say `name`."""
    return at_frame(name, lambda play: play.vanish(), after=after)


def hang_up_at(name: str, *, after: int = 0) -> Twist:
    """The peer hangs up when it should say `name`."""
    return at_frame(name, lambda play: play.at(0.0, play.hang_up), after=after)


def in_page(act: Callable[[Play], None], *, number: int = 1, after: float = 3.0) -> Twist:
    """`act` some seconds after burst `number` of page data began, whoever sends it."""
    seen = 0

    def twist(play: Play, order: Transmission) -> Sequence[Transmission]:
        nonlocal seen
        if isinstance(order, SendImage | SendEcm):
            seen += 1
            if seen == number:
                play.at(after, lambda: act(play))
        return (order,)

    return twist


def before_second_page(act: Callable[[Play], Sequence[Transmission] | None]) -> Twist:
    """`act` takes the place of the second burst of page data."""
    seen = 0

    def twist(play: Play, order: Transmission) -> Sequence[Transmission]:
        nonlocal seen
        seen += isinstance(order, SendImage | SendEcm)
        return (order,) if seen < 2 else act(play) or ()

    return twist


@dataclass(frozen=True)
class Stage:
    """What tests of verdicts work with."""

    play: Callable[..., Play] = Play
    frame: Callable[..., SendFrames] = frame
    names: Callable[[Transmission], tuple[str, ...]] = names
    at_frame: Callable[..., Twist] = at_frame
    instead: Callable[..., Twist] = instead
    mute: Callable[..., Twist] = mute
    vanish_at: Callable[..., Twist] = vanish_at
    hang_up_at: Callable[..., Twist] = hang_up_at
    in_page: Callable[..., Twist] = in_page
    second_page: Callable[..., Twist] = before_second_page


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Calls leave their journal in `call.jsonl`."""
    return Stage(play=partial(Play, journal=tmp_path / "call.jsonl"))
