"""The part of a sender that settles how pages go: mode, training, and commands with their repetition.

Owns      CNG and T1, the choice from a DIS or DTC, addressing before DCS, rates and their fall-back, the way out of the
          unpaced transfer, how often a command is said.
Not here  pages and what an answer to one means (sender.py), turns, timers and the end (terminal.py).
Source    T.30 (09/2005) 5.2; Table 2 for bit 123; field rules are marked.
"""

import math
from dataclasses import replace
from typing import Final

from vfax.codecs.common_mode import agree, usable_modems
from vfax.codecs.dis import FALL_BACK, Agreement, Capabilities, encode_dcs
from vfax.codecs.frames import Fcf, Frame, encode_identity
from vfax.errors import DecodeError
from vfax.signals import Modem, SendFrames, SendTone, SendTraining, Tone, Transmission
from vfax.t30.options import T30Options
from vfax.t30.tables import Line, S, Table, Timer
from vfax.t30.terminal import Terminal
from vfax.t30.values import Addressing, Agreed, PageInfo, Trained

_TCF_SECONDS: Final = 1.5
_V17_FAILURES: Final = 2  # trainings after which slower V.17 is pointless (field): V.29 is next
_UNPACED_TRIES: Final = 2  # DCS without training that no CFR followed: then with it
_FAR: Final = 1.0  # more of T4 where the road may be long: within the receiver's T2 still, should it be short and lossy
_ASKED: Final = (S.AWAIT_CFR, S.AWAIT_ANSWER, S.AWAIT_CTR)
_UNASKED: Final = (Fcf.DIS, Fcf.DTC, Fcf.DCN, Fcf.CRP)  # frames that are no answer, whenever they come
_FARTHEST: Final = 8.5  # seconds to an end and back: on a longer road T2 runs out before anything has an answer
_JITTER: Final = 2.0  # seconds by which one answer may be longer under way than another
_EARLY: Final = 0.25
"""Seconds before all of a command has left that its answer may begin: the frame is whole, its end and our silence are
still to come (175 ms by default)."""


class Negotiation(Terminal):
    """Settles the mode of each page; `Sender` adds the pages."""

    def __init__(self, table: Table, options: T30Options, *, now: float) -> None:
        super().__init__(table, options, now=now)
        self._pages: tuple[PageInfo, ...] = ()
        self._index = 0  # of the page at hand
        self._addressing = Addressing()
        self._capabilities = Capabilities()
        # training
        self._modem: Modem | None = None  # where the next training begins, once one has failed
        self._failures = 0  # trainings that failed in a row
        self._v17_failures = 0
        self._short_ok = False  # the peer has heard a long training at this rate
        self._may_rush = options.internet_aware  # until something is odd
        # the command that awaits its answer
        self._command: tuple[Transmission, ...] = ()
        self._command_frames: tuple[Frame, ...] = ()
        self._tries = 0
        self._asked_at = now
        self._asked = Fcf.DCS
        # how far away the other end is
        self._road = math.inf  # from the end of a command to the beginning of its answer, the shortest yet
        self._reach = math.inf  # the same of commands said again, were it the first saying that was answered
        self._extra = 0.0  # added to T4 where an answer may take longer: said twice, a command has two answers
        self._lefts: list[float] = []  # when the earlier sayings of the command at hand had left
        self._strays: list[tuple[float, float]] = []  # when second answers to earlier commands may begin

    # --- what Sender adds ---------------------------------------------------------------------------

    def _need(self, index: int) -> None:
        """Ask the owner for a page, unless it is coded in a form that fits."""
        raise NotImplementedError

    def _check_coded(self) -> Line | None:
        """Whether the page at hand can be sent now."""
        raise NotImplementedError

    # --- phase B ------------------------------------------------------------------------------------

    def _heed(self, frame: Frame) -> None:
        """An answer counts only if its burst began after the question: an older one answers something else."""
        begun = self._burst_at
        stale = self.state in _ASKED and (begun < self._heard_from() or self._is_stray(begun))
        if stale and frame.fcf is not Fcf.DCN:
            self.ignored += 1
            return
        if frame.fcf is not Fcf.RNR and self.state is S.AWAIT_ANSWER:
            self._due.pop(Timer.T5, None)
        if self.state in _ASKED and frame.fcf not in _UNASKED and (self.state, frame.fcf) in self._table:
            self._gauge_road()
        super()._heed(frame)

    def _gauge_road(self) -> None:
        """An answer came: learn how long it takes, or suspect that it takes longer than T4.

        MCF does not say which page it confirms. On such a road a command must not be said twice: the second answer
        would be taken for that to the next.
        """
        if self._tries == 1:
            self._road = min(self._road, max(0.0, self._burst_at - self._left_at))
        elif self._road >= self._timers.t4 / 2:
            self._expect_strays()
        if self._road < self._timers.t4 / 2:
            self._extra = 0.0
        elif self._road < math.inf:
            self._extra = self._timers.t4
        elif self._tries > 1:
            self._extra = _FAR

    def _expect_strays(self) -> None:
        """A command that was said again has its answer. Were it the first saying that was answered, when will the
        answers to the others come?"""
        lefts = [*self._lefts, self._now if self._talking else self._left_at]
        lefts = [left for left in lefts if self._burst_at - left <= _FARTHEST]
        if not lefts:
            return
        road = max(0.0, self._burst_at - lefts[0])
        self._reach = min(self._reach, road)
        self._strays = [(begin, end) for begin, end in self._strays if end > self._now]
        if len(lefts) > 1:
            self._strays.append((lefts[1] + self._reach - _JITTER, lefts[-1] + road + _JITTER))

    def _is_stray(self, begun: float) -> bool:
        """Whether an answer may be a second one to an earlier command."""
        return self._road >= self._timers.t4 / 2 and any(begin <= begun < end for begin, end in self._strays)

    def _duration(self, timer: Timer) -> float:
        return super()._duration(timer) + (self._extra if timer is Timer.T4 else 0.0)

    def _heard_from(self) -> float:
        """From when on a burst can be the answer to our command.

        A command behind a page that was said once is answered when it has left, not while it is being said: what begins
        then is the late second answer to a command before it that was said twice.

        No answer says what it is to. Where the road may be longer than T4, a command said twice may have two answers,
        and while the second one is due none is taken (`_is_stray`): T4 has the command said, and answered, again.
        """
        if self.state is not S.AWAIT_ANSWER or self._tries > 1:
            return self._asked_at
        return max(self._asked_at, (self._now if self._talking else self._left_at) - _EARLY)

    def _call(self) -> Line | None:
        self._start(Timer.T1, self._timers.t1)
        if self._index >= len(self._pages):
            self._evidence = "there are no pages to send"
            return Line.PAGE_UNAVAILABLE
        return self._say_cng()

    def _say_cng(self) -> Line | None:
        self._say(SendTone(Tone.CNG))
        return None

    def _restart_t1(self) -> Line | None:
        self._start(Timer.T1, self._timers.t1)
        self._progress()
        return None

    def _choose(self) -> Line | None:
        """A DIS, or the DTC of a caller that polls: choose the mode of the next page."""
        polled = self._frame.fcf is Fcf.DTC
        try:
            capabilities = Capabilities.decode(self._frame.info)
        except DecodeError:
            return None
        # Quirk: a caller that polls wants to receive, whether or not its DTC says that it can.
        self._capabilities = replace(capabilities, receives=True) if polled else capabilities
        self._x = self._x or not polled
        agreement = self._agreement_for(self._pages[self._index])
        if agreement is None:
            self._evidence = f"the peer {self._capabilities.describe()}"
            return Line.UNFIT
        self._agreement = agreement
        self._due.pop(Timer.T1, None)
        self._progress()
        return Line.AGREED

    def _agreement_for(self, page: PageInfo) -> Agreement | None:
        preferences = self._options.preferences()
        agreement = agree(self._capabilities, preferences, width_px=page.width_px, resolution=page.resolution)
        if agreement is None:
            return None
        rushes = self._may_rush and self._capabilities.internet_aware and agreement.ecm
        agreement = replace(agreement, internet_aware=rushes)
        slower = () if self._modem is None else self._modems_from(self._modem)
        return replace(agreement, modem=slower[0]) if slower else agreement

    def _modems_from(self, modem: Modem) -> tuple[Modem, ...]:
        """Modems both ends have, this one and those it falls back to."""
        usable = usable_modems(self._capabilities, self._options.preferences())
        return tuple(each for each in usable if FALL_BACK.index(each) >= FALL_BACK.index(modem))

    # --- training -----------------------------------------------------------------------------------

    def _train(self) -> Line | None:
        """Say [TSI, SUB, SID] DCS and TCF under the agreement at hand; the page is needed coded by the time CFR comes.

        Between two internet-aware terminals there is no TCF: nothing could be trained.
        """
        agreement = self._agreement
        if agreement is None:
            return None
        self._hush()
        self._events.append(Agreed(agreement))
        self._short_ok = False
        frames = self._identified(agreement)
        self._set_pace(paced=not agreement.internet_aware)
        if agreement.internet_aware:
            self._ask(frames)
        else:
            # With localTCF the line announces the training only; it still takes that long.
            zeros = int(agreement.modem.rate_bps * _TCF_SECONDS / 8)
            self._ask(frames, SendTraining(agreement.modem, zeros))
        self._need(self._index)
        return None

    def _identified(self, agreement: Agreement) -> tuple[Frame, ...]:
        """DCS behind our identity and the addresses that the receiver takes."""
        to = self._addressing
        frames: list[Frame] = []
        if self._options.local_id:
            frames.append(Frame(Fcf.TSI, encode_identity(self._options.local_id), final=False, x=self._x))
        frames += self._addresses(
            (Fcf.SUB, to.subaddress, self._capabilities.subaddress),
            (Fcf.SID, to.sender_password, self._capabilities.password),
        )
        said = {frame.fcf for frame in frames}
        info = encode_dcs(agreement, subaddress=Fcf.SUB in said, password=Fcf.SID in said)
        return (*frames, Frame(Fcf.DCS, info, x=self._x))

    def _note_trained(self) -> Line | None:
        if self._agreement is not None and not self._agreement.internet_aware:
            self._events.append(Trained(ok=True, rate_bps=self._agreement.modem.rate_bps))
        self._short_ok = True
        self._failures = 0
        self._progress()
        return self._check_coded()

    def _lower_rate(self) -> Line | None:
        """FTT: one step down. Quirk: where V.17 failed twice its slower rates fail too, so V.29 is next."""
        agreement = self._agreement
        if agreement is None:
            return None
        self._progress()
        if self._leave_fast_path():
            return Line.AGREED
        self._events.append(Trained(ok=False, rate_bps=agreement.modem.rate_bps))
        self._failures += 1
        self._v17_failures += agreement.modem.family == "V.17"
        if self._failures >= self._options.train_limit:
            self._evidence = f"{self._failures} trainings failed, the last at {agreement.modem.rate_bps} bit/s"
            return Line.NO_RATE
        return Line.AGREED if self._step_down() else Line.NO_RATE

    def _step_down(self) -> bool:
        """Agree on the next slower modem; False when there is none."""
        agreement = self._agreement
        slower = None if agreement is None else self._slower(agreement.modem)
        if agreement is None or slower is None:
            return False
        self._modem = slower
        self._agreement = replace(agreement, modem=slower)
        return True

    def _slower(self, modem: Modem) -> Modem | None:
        candidates = [each for each in self._modems_from(modem) if each is not modem]
        if self._v17_failures >= _V17_FAILURES:
            candidates = [each for each in candidates if each.family != "V.17"]
        return candidates[0] if candidates else None

    def _leave_fast_path(self) -> bool:
        """Something was odd: from here on all goes at the modem's rate. False when it does already."""
        agreement = self._agreement
        self._may_rush = False
        if agreement is None or not agreement.internet_aware:
            return False
        self._agreement = replace(agreement, internet_aware=False)
        return True

    # --- commands and their repetition --------------------------------------------------------------

    def _ask(self, frames: tuple[Frame, ...], *then: Transmission) -> None:
        """Say a command for the first time."""
        self._hush()
        self._tries = 1
        self._lefts.clear()
        self._asked_at = self._now
        self._asked = frames[-1].fcf
        self._command_frames = frames
        self._command = (SendFrames(self._note_said(frames)), *then)
        self._say(*self._command)

    def _count_try(self) -> Line | None:
        self._tries += 1
        if self.state is S.AWAIT_CFR and self._tries > _UNPACED_TRIES and self._leave_fast_path():
            return Line.AGREED
        if self._tries > self._options.tries:
            self._evidence = f"no answer to {self._asked.title}, said {self._options.tries} times"
            return Line.TRIES_OUT
        return Line.TRY_AGAIN

    def _repeat(self) -> Line | None:
        self._lefts.append(self._now if self._talking else self._left_at)
        self._hush()
        self._note_said(self._command_frames)
        self._say(*self._command)
        return None
