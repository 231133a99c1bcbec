"""What both directions of a fax share: the walk through the table, watchdogs, and the end.

Owns      signals and orders sorted, triggers turned into steps, abort, DCN and closing, the outcome.
Not here  which step follows (tables.py), bursts and reply timers (turns.py), pages (receiver.py, sender.py).
Source    T.30 (09/2005) 5.4.
"""

import math
from collections.abc import Callable
from typing import Final

from vfax.codecs.dis import Agreement
from vfax.codecs.frames import Fcf
from vfax.outcome import Cause, Outcome, Phase
from vfax.signals import (
    DataMissing,
    DataReceived,
    FrameDamaged,
    FrameReceived,
    LineSignal,
    Modem,
    SignalEnded,
    SignalStarted,
    ToneHeard,
    Transmission,
    TransmissionDone,
)
from vfax.t30.options import T30Options
from vfax.t30.tables import AWAITED, EXPIRY, LASTING, PHASES, Do, Line, S, Step, Table, Timer, Trigger
from vfax.t30.turns import GRACE, Turns
from vfax.t30.values import Abort, Ended, Event, LineDown, LineUp, Order

CHAIN: Final = 8  # verdicts that may follow one trigger; more would be a loop in the table

Action = Callable[[], Line | None]


class Terminal(Turns):
    """One end of a fax; `Receiver` and `Sender` add their actions. Times are seconds on one monotonic clock."""

    def __init__(self, table: Table, options: T30Options, *, now: float) -> None:
        super().__init__(options, now=now)
        self.ignored = 0  # triggers that had no row
        self._table = table
        self._awaited = AWAITED
        self._agreement: Agreement | None = None
        self._phase = Phase.IDLE
        self._cause = Cause.INTERNAL
        self._evidence = ""
        self._progress_at = now
        self._leaving = False  # CLOSING: DCN or its linger is not over
        self.successor: Terminal | None = None  # who goes on, once this one has handed over

    # --- in ---------------------------------------------------------------------------------------

    def receive(self, signal: LineSignal, now: float) -> None:
        """Take one line signal. Never raises for what the peer did."""
        self._now = now
        if self.state in (S.ENDED, S.CLOSING):
            if self.state is S.CLOSING and isinstance(signal, TransmissionDone):
                self._left()
            return
        match signal:
            case FrameReceived(Modem.V21, octets):
                self._on_v21_frame(octets)
            case FrameReceived(modem, octets):
                self._ensure_carrier(modem)
                self._on_fast_frame(octets)
            case DataReceived(modem, octets):
                self._ensure_carrier(modem)
                self._on_data(octets)
            case DataMissing(packets):
                self._on_missing(packets)
            case FrameDamaged(modem):
                self._on_damage(modem)
            case SignalStarted(modem):
                self._on_started(modem)
            case SignalEnded(modem):
                self._on_ended(modem)
            case TransmissionDone():
                self._left()
            case ToneHeard():
                pass

    def command(self, order: Order, now: float) -> None:
        """Take one order of the owner."""
        self._now = now
        if self.state is S.ENDED:
            return
        match order:
            case LineUp():
                if self.state is S.IDLE:
                    self._phase = Phase.IDENTIFY
                    self._progress_at = now
                    self._start(Timer.CALL, self._timers.call)
                    self._start(Timer.PROGRESS, 2 * self._timers.t1)
                    self._advance(Line.LINE_UP)
            case LineDown():
                self._line_down()
            case Abort(why):
                self._abort(why)
            case _:
                if self.state is not S.CLOSING:
                    self._on_order(order)

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        self._now = now
        for timer in sorted(self._due, key=self._due.__getitem__):
            if self._due.get(timer, math.inf) <= now:
                del self._due[timer]
                self._expire(timer)

    # --- out --------------------------------------------------------------------------------------

    def take_output(self) -> list[Transmission]:
        """What the line shall transmit, in order."""
        taken, self._output = self._output, []
        return taken

    def take_events(self) -> list[Event]:
        """What happened, in order."""
        taken, self._events = self._events, []
        return taken

    def next_timeout(self) -> float:
        """When `handle_timeout` wants to be called; math.inf when nothing is pending."""
        due = self._due
        return min(due.values()) if due else math.inf

    # --- what receiver and sender add -------------------------------------------------------------

    def _action(self, do: Do) -> Action:
        raise NotImplementedError

    def _on_order(self, order: Order) -> None:
        raise NotImplementedError

    def _on_fast_frame(self, octets: bytes) -> None:
        """A good frame of a fast modem."""

    def _on_data(self, octets: bytes) -> None:
        """Non-ECM octets."""

    def _on_missing(self, packets: int) -> None:
        """A hole in non-ECM octets."""

    def _on_silence(self) -> None:
        """The SILENCE timer: a burst without an end."""

    def _on_estimate(self) -> None:
        """The ESTIMATE timer: how far our page is."""

    def _decode_slice(self) -> None:
        """The DECODE timer: a slice of the backlog."""

    def _has_backlog(self) -> bool:
        return False

    def _last_words(self) -> None:
        """Before `Ended`: hand over what is there."""

    def _refined(self, cause: Cause) -> Cause:
        """The cause with what only this direction knows."""
        return cause

    def _shortfall(self) -> str:
        """What a fax lacks that came to its proper end; empty for nothing."""
        return ""

    def _outcome(self) -> Outcome:
        raise NotImplementedError

    def _succeed(self, other: "Terminal") -> None:
        """Take over the line, the conversation and the watchdogs of a terminal that handed over."""
        self._now = other._now
        self._due = {timer: due for timer, due in other._due.items() if timer in LASTING}
        self._output, self._events = other._output, other._events
        self._remote_id, self._x, self._paced = other._remote_id, other._x, other._paced
        self._talking, self._flags, self._burst_at = other._talking, other._flags, other._burst_at
        self._carrier = other._carrier
        self._progress_at = other._progress_at
        self.ignored = other.ignored

    # --- the walk ---------------------------------------------------------------------------------

    def _advance(self, trigger: Trigger) -> bool:
        """Take the step of this trigger and those of its verdicts; False when there is none."""
        step = self._table.get((self.state, trigger))
        if step is None:
            self.ignored += 1
            return False
        for _ in range(CHAIN):
            verdict = self._take(step, trigger)
            following = None if verdict is None else self._table.get((self.state, verdict))
            if verdict is None or following is None:
                break
            step, trigger = following, verdict
        return True

    def _take(self, step: Step, trigger: Trigger) -> Line | None:
        before = self.state
        if step.to is not None and step.to is not before:
            self._enter(step.to)
        verdict = self._action(step.do)() if step.do is not None else None
        if step.say is not None:
            self._answer(step.say)
        if step.timer is not None and self.state is not S.ENDED:
            self._start_reply(step.timer)
        if step.end is not None:
            if not self._evidence:
                self._evidence = f"{self._awaited[before]}: {_words(trigger)}"
            self._end(step.end, dcn=step.dcn)
        return verdict

    def _enter(self, state: S) -> None:
        self.state = state
        self._stop_replies()
        self._due.pop(Timer.READY, None)
        if state is not S.CLOSING:
            self._phase = PHASES[state]

    # --- the clock ----------------------------------------------------------------------------------

    def _expire(self, timer: Timer) -> None:
        match timer:
            case Timer.FRAME | Timer.TURN:
                self._end_of_v21()
            case Timer.SILENCE:
                self._on_silence()
            case Timer.LEAVING:
                self._left()
            case Timer.GOODBYE:
                self._leaving = False
                self._last_words_and_end()
            case Timer.PROGRESS:
                self._check_progress()
            case Timer.DECODE:
                self._decode_slice()
                self._settle()
            case Timer.ESTIMATE:
                self._on_estimate()
            case Timer.REPEAT_DIS if self._carrier is not None:
                self._start(timer, GRACE)  # a training whose DCS was lost: let it end, T1 bounds that
            case Timer.T1 if self._flags:
                self._start(timer, self._timers.frame)  # an answer in progress wins
            case _:
                self._advance(EXPIRY[timer])

    def _progress(self) -> None:
        self._progress_at = self._now

    def _check_progress(self) -> None:
        """Whatever the peer does, without progress for twice T1 the fax ends. A page of ours takes its time."""
        if self._talking and self.state is S.SENDING_PAGE:
            self._progress_at = self._now
        over = self._progress_at + 2 * self._timers.t1
        if over > self._now:
            self._due[Timer.PROGRESS] = over
        else:
            self._advance(Line.NO_PROGRESS)

    def _left(self) -> None:
        """All we said has left the line."""
        if not self._talking:
            return
        self._talking = False
        self._left_at = self._now
        self._due.pop(Timer.LEAVING, None)
        if self.state is S.CLOSING:
            if self._leaving and self._cause is not Cause.ABORTED:
                self._due[Timer.GOODBYE] = min(self._due.get(Timer.GOODBYE, math.inf), self._now + self._timers.linger)
            else:
                self._leaving = False
                self._settle()
            return
        if self._armed is not None:
            timer, self._armed = self._armed, None
            self._start_reply(timer)
        self._advance(Line.SENT)

    # --- the end ----------------------------------------------------------------------------------

    def _abort(self, why: str) -> None:
        if self.state is S.CLOSING:
            self._due[Timer.GOODBYE] = min(self._due.get(Timer.GOODBYE, math.inf), self._now + self._timers.abort)
            return
        idle = self.state is S.IDLE
        self._evidence = why
        self._enter(S.CLOSING)
        self._end(Cause.ABORTED, dcn=not idle)

    def _line_down(self) -> None:
        self._talking = False
        self._output.clear()
        if self.state is S.CLOSING:
            self._leaving = False
            self._settle()
        elif not self._advance(Line.LINE_DOWN):
            self._enter(S.CLOSING)
            self._end(Cause.PEER_HUNG_UP, dcn=False)

    def _end(self, cause: Cause, *, dcn: bool) -> None:
        """Fix the cause, say DCN if it makes sense, and end as soon as that and the last rows are done."""
        self._cause = self._refined(cause)
        if cause is Cause.COMPLETE:
            self._phase = Phase.RELEASE
            self._evidence = self._shortfall()
        self._due.clear()
        self._armed = None
        if dcn:
            self._answer(Fcf.DCN, hurried=cause is Cause.ABORTED)
            self._due.pop(Timer.LEAVING, None)
            self._leaving = True
        else:
            self._hush()
        self._start(Timer.GOODBYE, self._timers.abort if cause is Cause.ABORTED or not dcn else self._timers.goodbye)
        self._settle()

    def _settle(self) -> None:
        """In CLOSING: end when DCN has left and no row waits to be decoded."""
        if self.state is S.CLOSING and not self._has_backlog() and not self._leaving:
            self._last_words_and_end()

    def _last_words_and_end(self) -> None:
        if self.state is S.ENDED:
            return
        self._last_words()
        self.state = S.ENDED
        self._due.clear()
        self._events.append(Ended(self._outcome()))

    def _facts(self, *, pages_confirmed: int, pages_partial: int, bad_rows: int) -> Outcome:
        agreed = self._agreement
        return Outcome(
            cause=self._cause,
            phase=self._phase,
            pages_confirmed=pages_confirmed,
            pages_partial=pages_partial,
            bad_rows=bad_rows,
            sentence=self._evidence,
            rate_bps=agreed.modem.rate_bps if agreed else 0,
            ecm=agreed.ecm if agreed else None,
            coding=agreed.coding.value if agreed else "",
            resolution=agreed.resolution.title if agreed else "",
            remote_id=self._remote_id,
        )


_LATE: Final[dict[Trigger, str]] = {
    Line.PAGE_LATE: "the page took too long",
    Line.CALL_LATE: "the call took too long",
    Line.CODING_LATE: "the page was not coded in time",
}


def _words(trigger: Trigger) -> str:
    if isinstance(trigger, Fcf):
        return f"{trigger.title} came"
    if trigger in _LATE:
        return _LATE[trigger]
    words = trigger.name.lower().replace("_", " ")
    return words.capitalize() if words.endswith("expired") else words
