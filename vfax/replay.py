"""A recorded call again: the same datagrams and orders through today's engine, in virtual time, and what differs.

Owns      `Recording` (what a call heard and said), running it, comparing.
Not here  getting a recording out of a journal or capture (recordings.py), showing the result (cli/replay.py).

The replay begins where T.38 was agreed: SIP is not part of it. Arrivals come at their recorded moments whatever today's
engine says, so a difference is shown where it begins; what follows may be its consequence.
"""

import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from vfax.errors import DocumentError
from vfax.leg_media import LegMedia
from vfax.leg_values import LegOptions
from vfax.outcome import Cause, Outcome
from vfax.t30 import values as t30
from vfax.transports.parameters import T38Parameters
from vfax.transports.sip.negotiation import T38Media
from vfax.transports.sip.values import Address

STEP_LIMIT: Final = 2_000_000
"""Limit: timers of one replay; half a day of sending takes 1.5 million."""

WORK_BASE: Final = 5.0
WORK_PER_DATAGRAM: Final = 0.00025
"""Limit: seconds of processor time of one replay, and more for each datagram that came; a quarter is usual."""

TIE: Final = 2e-6
"""Seconds: recorded moments are rounded to microseconds, which must not turn "at the same moment" into "later"."""

STILL_LIMIT: Final = 20_000
"""Limit: timers of one moment."""

MAX_CODED: Final = 16 * 1024 * 1024
"""Limit: octets of a page to send, whatever a recording claims."""

UNKNOWN_CODED: Final = 20_000
"""Octets of a page to send whose size nobody recorded."""

PEER: Final[Address] = ("192.0.2.2", 4000)

COMPARED: Final = (
    "cause",
    "phase",
    "pages_confirmed",
    "pages_partial",
    "bad_rows",
    "rate_bps",
    "ecm",
    "coding",
    "resolution",
    "remote_id",
)
"""Fields of an outcome that the engine decides."""

MOMENT: Final = 0.25
MOMENT_SENDING: Final = 0.1
"""Seconds that a frame may move, and of a sender, whose pages are not recorded, its share of the time so far: how long
zeros take in place of its data is not the same."""

# --- what was recorded ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Arrived:
    """A datagram of the peer. `at`, here and below: seconds since the call began."""

    at: float
    datagram: bytes


@dataclass(frozen=True, slots=True)
class Told:
    """An order of the call's owner: what it is called in a journal, and its facts."""

    at: float
    what: str
    number: int = 0
    octets: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True)
class Switched:
    """T.38 agreed, or agreed anew."""

    at: float
    parameters: T38Parameters
    held: bool = False


Step = Arrived | Told | Switched


@dataclass(frozen=True, slots=True)
class Seen:
    """One control frame; `sent` is from the recording end's view."""

    at: float
    sent: bool
    name: str
    octets: bytes

    def like(self, other: "Seen") -> bool:
        """The same but for the moment."""
        return (self.sent, self.octets) == (other.sent, other.octets)


@dataclass(frozen=True, slots=True)
class PageStep:
    """One step of a page: started, received, cut off, confirmed, repeated. -1: not known."""

    at: float
    number: int
    what: str
    rows: int = -1
    bad_rows: int = -1
    frames: int = -1

    def like(self, other: "PageStep") -> bool:
        """The same but for the moment, as far as both are known."""
        if (self.number, self.what) != (other.number, other.what):
            return False
        pairs = ((self.rows, other.rows), (self.bad_rows, other.bad_rows), (self.frames, other.frames))
        return all(one == two or -1 in (one, two) for one, two in pairs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One end's view of a call, from the moment T.38 was agreed.

    `ended` is False when the recording stops before the call does (`why_short`): only what came before is compared.
    `outcome` is None when nobody wrote it down, `pages` likewise; with `only_said` the frames are those that were sent.
    """

    options: LegOptions
    called: bool
    steps: tuple[Step, ...]
    document: t30.SendDocument | None = None
    poll: t30.Poll | None = None
    peer_agent: str = ""
    frames: tuple[Seen, ...] = ()
    pages: tuple[PageStep, ...] | None = ()
    outcome: Mapping[str, object] | None = None
    ended: bool = True
    why_short: str = ""
    redacted: bool = False
    only_said: bool = False
    notes: tuple[str, ...] = ()

    @property
    def datagrams(self) -> int:
        """How many arrived."""
        return sum(isinstance(step, Arrived) for step in self.steps)


# --- running -------------------------------------------------------------------------------------


@dataclass(slots=True)
class Replayed:
    """What today's engine made of it. `received` holds the pages themselves, where they are to be kept."""

    frames: list[Seen] = field(default_factory=list)
    pages: list[PageStep] = field(default_factory=list)
    outcome: Outcome | None = None
    seconds: float = 0.0
    received: list[t30.PageReceived] = field(default_factory=list)


def replay(recording: Recording, *, keep_pages: bool = False) -> Replayed:
    """Run a recording through the engine of today.

    Raises DocumentError when that does not end, or takes far more work than any call that was.
    """
    return _Player(recording, keep_pages=keep_pages).run()


class _Player:
    """One run. An order is given at its recorded moment, or later, when the engine comes to ask for it."""

    def __init__(self, recording: Recording, *, keep_pages: bool) -> None:
        self._recording = recording
        self._keep_pages = keep_pages
        self._steps_left, self._still = STEP_LIMIT, 0
        self._work_limit = time.process_time() + WORK_BASE + WORK_PER_DATAGRAM * recording.datagrams
        self._now = 0.0
        self._cut_at = math.inf
        self._down: Cause | None = None
        self._aborted = False
        self._media = self._make_media()
        self._asked: set[tuple[str, int]] = set()  # questions of the engine that wait for their recorded answer
        self._early: dict[tuple[str, int], deque[Told]] = {}  # answers that came before their question
        self._coming: dict[tuple[str, int], int] = {}  # answers that are still to come
        self._sizes: dict[int, int] = {}
        self.result = Replayed()
        for step in recording.steps:
            if isinstance(step, Told) and (about := _about(step)) is not None:
                self._coming[about] = self._coming.get(about, 0) + 1

    def _make_media(self) -> LegMedia:
        recording = self._recording
        return LegMedia(
            recording.options,
            called=recording.called,
            document=recording.document,
            poll=recording.poll,
            seeds=(0, 0, 0),
            peer_agent=recording.peer_agent,
        )

    def run(self) -> Replayed:
        """All steps, then the time that is left to the engine."""
        for step in self._recording.steps:
            self._let_time_pass(step.at)
            if self.result.outcome is not None:
                break
            self._now = max(self._now, step.at)
            self._look_at_work()
            self._take_step(step)
            self._take()
        if self._recording.ended:
            self._let_time_pass(math.inf)
        self.result.seconds = self._now
        return self.result

    def _let_time_pass(self, until: float) -> None:
        """Every timer before `until`: what arrives at the same moment as a timer comes first, as it does in a call."""
        while self.result.outcome is None:
            due = min(self._media.next_timeout(), self._cut_at)
            if due >= until - TIE or due == math.inf:
                return
            self._count_step(due)
            self._now = max(self._now, due)
            if due == self._cut_at:
                self._cut_at = math.inf
                self._media.order(t30.LineDown(), self._now)
            else:
                self._media.handle_timeout(self._now)
            self._take()

    def _count_step(self, due: float) -> None:
        self._look_at_work()
        self._steps_left -= 1
        self._still = 0 if due > self._now else self._still + 1
        if self._steps_left < 0 or self._still > STILL_LIMIT:
            raise DocumentError(f"the replay does not end: it was stopped at {self._now:.3f} s")

    def _look_at_work(self) -> None:
        """A hostile file must not keep anybody waiting, whatever costs the time."""
        if time.process_time() > self._work_limit:
            raise DocumentError(f"the replay takes too long: it was stopped at {self._now:.3f} s of the call")

    def _take_step(self, step: Step) -> None:
        match step:
            case Arrived(_, datagram):
                self._arrive(datagram)
            case Switched(_, parameters, held):
                self._media.fax(T38Media(PEER, parameters, held), self._now)
            case Told():
                self._tell(step)

    def _arrive(self, datagram: bytes) -> None:
        line = self._media.line
        if line is None or not line.is_stream:
            self._media.receive(datagram, PEER, self._now)
            return
        self._media.read_stream(datagram, self._now)
        if line.broken:
            self._down = Cause.NETWORK
            self._media.order(t30.LineDown(), self._now)

    def _tell(self, told: Told) -> None:
        about = _about(told)
        if about is not None:
            self._coming[about] -= 1
            if about in self._asked:
                self._answer(about, told)
            else:
                self._early.setdefault(about, deque()).append(told)
        elif told.what == "abort":
            self._aborted = True
            self._cut_at = min(self._cut_at, self._now + self._recording.options.abort_limit)
            self._media.order(t30.Abort(told.why), self._now)
        elif told.what == "line-down":
            self._down = Cause(told.why) if told.why in (Cause.NETWORK, Cause.ABORTED) else Cause.PEER_HUNG_UP
            self._aborted |= self._down is Cause.ABORTED
            self._media.order(t30.LineDown(), self._now)

    def _ask(self, about: tuple[str, int]) -> None:
        """The engine asks. The recorded answer, at once if its moment has passed; else what would be usual."""
        early = self._early.get(about)
        if early:
            self._answer(about, early.popleft())
        elif self._coming.get(about, 0) > 0:
            self._asked.add(about)
        else:
            topic, number = about
            self._answer(about, Told(self._now, "coded" if topic == "code" else "kept", number))

    def _answer(self, about: tuple[str, int], told: Told) -> None:
        self._asked.discard(about)
        number = about[1]
        order: t30.Order
        match told.what:
            case "kept":
                order = t30.PageKept(number)
            case "lost":
                order = t30.PageLost(number, told.why)
            case "uncoded":
                order = t30.PageUnavailable(number, told.why)
            case _:
                octets = told.octets or self._sizes.get(number, UNKNOWN_CODED)
                self._sizes[number] = octets
                order = t30.PageCoded(number, bytes(min(octets, MAX_CODED)))
        self._media.order(order, self._now)

    def _take(self) -> None:
        """What the engine tells, until it is silent: an answer may make it tell more."""
        while events := self._media.take_events():
            for event in events:
                self._hear(event)
        self._media.take_datagrams()  # nobody is there

    def _hear(self, event: t30.Event) -> None:
        pages, now = self.result.pages, self._now
        match event:
            case t30.FrameSeen(sent, name, octets, _):
                self.result.frames.append(Seen(now, sent, name, octets))
            case t30.PageStarted(number):
                pages.append(PageStep(now, number, "started"))
            case t30.PageConfirmed(number):
                pages.append(PageStep(now, number, "confirmed"))
            case t30.PageRepeated(number, frames, _):
                pages.append(PageStep(now, number, "repeated", frames=frames))
            case t30.PageReceived():
                what = "received" if event.complete else "cut off"
                pages.append(PageStep(now, event.number, what, event.rows, event.bad_rows))
                if self._keep_pages:
                    self.result.received.append(event)
                self._ask(("keep", event.number))
            case t30.PageNeeded(number):
                self._ask(("code", number))
            case t30.Ended(outcome):
                self.result.outcome = self._as_the_leg_says(outcome)
            case _:
                pass

    def _as_the_leg_says(self, outcome: Outcome) -> Outcome:
        """What leg.py makes of T.30's word for the end."""
        if outcome.cause is Cause.PEER_HUNG_UP and self._down is not None:
            outcome = replace(outcome, cause=self._down)
        if self._aborted and not outcome.ok:
            outcome = replace(outcome, cause=Cause.ABORTED)
        return outcome


def _about(told: Told) -> tuple[str, int] | None:
    """Which question of the engine an order answers."""
    if told.what in ("coded", "uncoded"):
        return "code", told.number
    if told.what in ("kept", "lost"):
        return "keep", told.number
    return None


# --- comparing -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Difference:
    """Where recording and replay part, both in words.

    `what`: frames, moments (the same frames, at other times), pages, or a field of the outcome.
    """

    what: str
    recorded: str
    replayed: str


def compare(recording: Recording, replayed: Replayed) -> tuple[Difference, ...]:
    """What differs; nothing when today's engine does the same."""
    found = [_first_frame(recording, replayed) or _first_moment(recording, replayed)]
    if recording.pages is not None:
        found.append(_first_page(recording, recording.pages, replayed))
    differences = [one for one in found if one is not None]
    if recording.ended and recording.outcome is not None:
        differences += _outcome(recording, recording.outcome, replayed.outcome)
    return tuple(differences)


def _first_frame(recording: Recording, replayed: Replayed) -> Difference | None:
    was: Sequence[Seen] = recording.frames
    now: Sequence[Seen] = replayed.frames
    if recording.only_said:
        now = [seen for seen in now if seen.sent and seen.octets]
    at = next((at for at, (one, two) in enumerate(zip(was, now, strict=False)) if not one.like(two)), -1)
    if at < 0:
        at = _where_one_ends(len(was), len(now), ended=recording.ended)
    if at < 0:
        return None
    return Difference("frames", *(_frame_words(seen[at]) if at < len(seen) else "nothing more" for seen in (was, now)))


def _first_moment(recording: Recording, replayed: Replayed) -> Difference | None:
    """A timer that is another one. A capture tells moments on the line, not in the engine: nothing to compare."""
    if recording.only_said or not recording.frames:
        return None
    began = recording.frames[0].at
    for was, now in zip(recording.frames, replayed.frames, strict=False):
        share = 0.0 if recording.document is None else MOMENT_SENDING * (was.at - began)
        if abs(was.at - now.at) > MOMENT + share:
            return Difference("moments", _frame_words(was), _frame_words(now))
    return None


def _first_page(recording: Recording, was: tuple[PageStep, ...], replayed: Replayed) -> Difference | None:
    now = replayed.pages
    if recording.redacted:
        was = tuple(replace(step, rows=-1, bad_rows=-1) for step in was)
    at = next((at for at, (one, two) in enumerate(zip(was, now, strict=False)) if not one.like(two)), -1)
    if at < 0:
        at = _where_one_ends(len(was), len(now), ended=recording.ended)
    if at < 0:
        return None
    return Difference("pages", *(_page_words(seen[at]) if at < len(seen) else "nothing more" for seen in (was, now)))


def _where_one_ends(was: int, now: int, *, ended: bool) -> int:
    """Where the shorter of two that are alike so far ends, when that is a difference; else -1.

    Of a recording that stops early, the replay may know more or, its last moments unknown, a little less.
    """
    return min(was, now) if was != now and ended else -1


def _outcome(recording: Recording, was: Mapping[str, object], now: Outcome | None) -> list[Difference]:
    if now is None:
        return [Difference("outcome", str(was.get("cause")), "the call does not end")]
    names = [name for name in COMPARED if not (recording.redacted and name == "bad_rows")]
    pairs = [(name, was[name], getattr(now, name)) for name in names if name in was]
    return [Difference(name, str(one), str(two)) for name, one, two in pairs if one != two]


def _frame_words(seen: Seen) -> str:
    return f"{seen.at:.2f} s {'sent' if seen.sent else 'heard'} {seen.name} {seen.octets.hex()}"


def _page_words(step: PageStep) -> str:
    facts = {"rows": step.rows, "bad rows": step.bad_rows, "frames": step.frames}
    words = "".join(f", {count} {name}" for name, count in facts.items() if count >= 0)
    return f"{step.at:.2f} s page {step.number} {step.what}{words}"
