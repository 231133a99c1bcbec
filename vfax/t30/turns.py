"""Whose turn it is: bursts heard, bursts said, and the timers between them.

Owns      V.21 bursts of the peer and when they are over, what we are saying, reply timers and how flags stop them.
Not here  which step follows (tables.py), watchdogs and the end (terminal.py), pages (receiver.py, sender.py).
Source    T.30 (09/2005) 5.4; field rules in `options.Timers`.
"""

from typing import Final

from vfax.codecs.frames import (
    IDENT_LENGTH,
    IDENTITIES,
    PREFACES,
    Fcf,
    Frame,
    decode_identity,
    describe,
    encode_identity,
)
from vfax.errors import DecodeError
from vfax.signals import (
    Modem,
    SendEcm,
    SendFrames,
    SendImage,
    SendTone,
    SendTraining,
    SetPace,
    StopSending,
    Transmission,
)
from vfax.t30.options import T30Options
from vfax.t30.tables import FLAG_TIMERS, REPLY_TIMERS, Line, S, Timer, Trigger
from vfax.t30.values import Event, FrameSeen, IdentityReceived

GRACE: Final = 0.5  # after a burst that brought no command: at least this long until the stopped timer goes on
LOCAL_TRAINING: Final = 3.4  # localTCF: no zeros come, perhaps no end; after 2.9 s, before the sender's T4 is over
CODING_PAUSE: Final = 3.0  # after CFR or MCF without a page of ours: half of the receiver's T2
LATE: Final = 5.0  # and twice its airtime: by then our burst has left, whatever the line says


_DIALABLE: Final = frozenset("0123456789+#* ")


def dialable(text: str) -> str:
    """What SUB, SID, SEP and PWD can say of a text: digits, + # * and space, 20 at most (T.30 (09/2005) 5.3.6)."""
    return "".join(char for char in text if char in _DIALABLE)[:IDENT_LENGTH].strip()


def airtime(transmission: Transmission) -> float:
    """Seconds that a burst takes on a paced line, preamble or training included: an estimate."""
    match transmission:
        case SendTone():
            return 3.5
        case SendFrames(frames, _):
            return 1.3 + sum(len(frame) + 4 for frame in frames) * 8 / 300
        case SendTraining(modem, octets):
            return 1.7 + octets * 8 / modem.rate_bps
        case SendImage(modem, _, data):
            return 1.7 + len(data) * 8 / modem.rate_bps
        case SendEcm(modem, _, frames):
            return 2.0 + sum(len(frame) + 4 for frame in frames) * 8.2 / modem.rate_bps
        case StopSending() | SetPace():
            return 0.0


class Turns:
    """The half-duplex conversation of one terminal. Times are seconds on one monotonic clock."""

    def __init__(self, options: T30Options, *, now: float) -> None:
        self.state = S.IDLE
        self._options = options
        self._timers = options.timers
        self._now = now
        self._due: dict[Timer, float] = {}
        self._output: list[Transmission] = []
        self._events: list[Event] = []
        self._remote_id = ""
        self._x = False  # X of our frames: set once a valid DIS was heard
        self._talking = False
        self._left_at = now  # when all we said had left
        self._armed: Timer | None = None  # starts when our signal has left
        self._paused: tuple[Timer, float] | None = None  # stopped by flags
        self._flags = False  # a V.21 burst of the peer is on
        self._burst_at = now
        self._torn_burst = False  # something of that burst was lost
        self._final: Frame | None = None  # the mandatory frame of that burst
        self._frame = Frame(Fcf.DCN)  # what the step in progress answers to
        self._carrier: Modem | None = None  # a fast burst of the peer is on
        self._paced = True  # our bursts go at the modem's rate
        self._addressed: dict[Fcf, str] = {}  # what the burst says before its mandatory frame
        self._left_out: set[Fcf] = set()  # addresses that were not said, and the journal knows

    def _advance(self, trigger: Trigger) -> bool:
        raise NotImplementedError

    # --- timers -----------------------------------------------------------------------------------

    def _start(self, timer: Timer, seconds: float) -> None:
        self._due[timer] = self._now + seconds

    def _start_reply(self, timer: Timer) -> None:
        """Start the one reply timer: now, or when our signal has left, or when the peer's flags lead nowhere."""
        self._stop_replies()
        if self._talking:
            self._armed = timer
        elif self._flags and timer in FLAG_TIMERS:
            self._paused = (timer, self._now + self._duration(timer))
        else:
            self._start(timer, self._duration(timer))

    def _stop_replies(self) -> None:
        self._armed = None
        self._paused = None
        for timer in REPLY_TIMERS:
            self._due.pop(timer, None)

    def _duration(self, timer: Timer) -> float:
        """Seconds of a reply timer."""
        timers = self._timers
        match timer:
            case Timer.T2:
                return timers.t2
            case Timer.T4:
                return timers.t4
            case Timer.REPEAT_DIS:
                return timers.repeat_dis
            case Timer.TRAINING:
                return LOCAL_TRAINING if self._options.local_tcf else timers.training
            case Timer.ASK_READY:
                return timers.ask_ready
            case Timer.CNG:
                return timers.cng
        return min(CODING_PAUSE, timers.coding)

    # --- hearing ----------------------------------------------------------------------------------

    def _on_started(self, modem: Modem) -> None:
        if modem is not Modem.V21:
            self._end_of_v21()
            self._end_of_carrier()
            self._begin_carrier(modem)
            return
        self._end_of_carrier()
        if self._flags and self._final is not None:
            self._end_of_v21()
        if not self._flags and self.state is not S.ENDED:
            self._begin_v21()

    def _begin_v21(self) -> None:
        self._flags = True
        self._burst_at = self._now
        self._torn_burst = False
        self._addressed = {}
        for timer in FLAG_TIMERS:
            due = self._due.pop(timer, None)
            if due is not None:
                self._paused = (timer, due)
        self._start(Timer.FRAME, self._timers.frame)

    def _on_v21_frame(self, octets: bytes) -> None:
        if not self._flags:
            self._on_started(Modem.V21)
        if not self._flags:
            return  # the end of a carrier before it ended the fax
        self._start(Timer.FRAME, self._timers.frame)
        try:
            frame = Frame.decode(octets)
        except DecodeError as why:
            self._events.append(FrameSeen(sent=False, name="?", octets=bytes(octets[:64]), words=str(why)))
            return
        self._events.append(FrameSeen(sent=False, name=frame.fcf.title, octets=octets, words=describe(frame)))
        if frame.fcf in PREFACES:
            self._on_preface(frame)
            return
        if self._final is not None:
            self._heed(self._final)
        self._final = frame
        self._start(Timer.TURN, self._timers.turn)

    def _on_preface(self, frame: Frame) -> None:
        if frame.fcf not in IDENTITIES:
            return
        text = decode_identity(frame.info)
        if frame.fcf in (Fcf.CSI, Fcf.TSI, Fcf.CIG):
            self._remote_id = text
        self._addressed[frame.fcf] = text
        self._events.append(IdentityReceived(frame.fcf.title, text))

    def _on_damage(self, modem: Modem) -> None:
        if modem is Modem.V21:
            if self._flags:
                self._torn_burst = True
                self._start(Timer.FRAME, self._timers.frame)
        else:
            self._ensure_carrier(modem)

    def _on_ended(self, modem: Modem) -> None:
        if modem is Modem.V21:
            self._end_of_v21()
        else:
            self._end_of_carrier()

    def _end_of_v21(self) -> None:
        """The peer's turn is over: act on what it said, or let the stopped timer go on."""
        if not self._flags:
            return
        self._flags = False
        self._due.pop(Timer.FRAME, None)
        self._due.pop(Timer.TURN, None)
        frame, self._final = self._final, None
        if frame is not None:
            self._heed(frame)
        if self._paused is not None:
            timer, due = self._paused
            self._paused = None
            # A sender that was heard without being understood says it again after its T4: T2 waits for that anew.
            due = self._now + self._timers.t2 if timer is Timer.T2 else max(due, self._now + GRACE)
            self._due[timer] = due

    def _heed(self, frame: Frame) -> None:
        self._frame = frame
        if self.state is not S.CLOSING and self.state is not S.ENDED:
            self._advance(frame.fcf)

    def _begin_carrier(self, modem: Modem) -> None:
        if self.state is not S.CLOSING and self.state is not S.ENDED:
            self._carrier = modem
            self._advance(Line.CARRIER)

    def _ensure_carrier(self, modem: Modem) -> None:
        if self._carrier is None and modem is not Modem.V21:
            self._end_of_v21()
            self._begin_carrier(modem)

    def _end_of_carrier(self) -> None:
        if self._carrier is not None:
            self._carrier = None
            self._due.pop(Timer.SILENCE, None)
            self._advance(Line.BURST_END)

    # --- saying -----------------------------------------------------------------------------------

    def _say(self, *transmissions: Transmission) -> None:
        begin = max(self._now, self._due.get(Timer.LEAVING, self._now)) if self._talking else self._now
        self._output.extend(transmissions)
        self._talking = True
        # The line says when it is done; should it never, we go on after twice the time that takes.
        self._due[Timer.LEAVING] = begin + LATE + 2 * sum((airtime(each) for each in transmissions), 0.0)

    def _hush(self) -> None:
        """Cut what we are saying, if anything."""
        if self._talking:
            self._output.append(StopSending())
            self._talking = False
            self._due.pop(Timer.LEAVING, None)

    def _set_pace(self, *, paced: bool) -> None:
        """What we say from here on goes at the modem's rate, or as fast as the road goes."""
        if paced is not self._paced:
            self._paced = paced
            self._output.append(SetPace(paced))

    def _addresses(self, *wanted: tuple[Fcf, str, bool]) -> list[Frame]:
        """Frames for (code, text, whether the peer takes it); one that it does not take is left out, and noted once."""
        frames: list[Frame] = []
        for fcf, text, taken in wanted:
            number = dialable(text)
            if number and taken:
                frames.append(Frame(fcf, encode_identity(number), final=False, x=self._x))
            elif text and fcf not in self._left_out:
                self._left_out.add(fcf)
                why = "it has no digit" if not number else "the other machine does not take it"
                self._events.append(FrameSeen(sent=True, name=fcf.title, octets=b"", words=f"not said: {why}"))
        return frames

    def _note_said(self, frames: tuple[Frame, ...]) -> tuple[bytes, ...]:
        """Encode frames about to be said, and tell the journal."""
        encoded = tuple(frame.encode() for frame in frames)
        for frame, octets in zip(frames, encoded, strict=True):
            self._events.append(FrameSeen(sent=True, name=frame.fcf.title, octets=octets, words=describe(frame)))
        return encoded

    def _answer(self, fcf: Fcf, info: bytes = b"", *, hurried: bool = False) -> None:
        """Say one mandatory frame; what we were saying is cut."""
        self._hush()
        self._say(SendFrames(self._note_said((Frame(fcf, info, x=self._x),)), hurried))
