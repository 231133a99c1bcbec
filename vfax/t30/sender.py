"""The sending end: from DIS to DCN.

Owns      what a sender does at each step of `tables.SEND`: mode, training, pages, blocks, what an answer means.
Not here  turns, timers and the end (terminal.py); coding of pages (the owner answers `PageNeeded`).
Source    T.30 (09/2005) 5.2 and Annex A; field rules are marked.
"""

from dataclasses import replace
from typing import Final

from vfax.codecs.dis import FALL_BACK, Agreement, Capabilities, agree, encode_ctc, encode_dcs, usable_modems
from vfax.codecs.frames import (
    RCP,
    Fcf,
    Frame,
    PartialPage,
    decode_request,
    encode_identity,
    encode_rest,
)
from vfax.errors import DecodeError
from vfax.outcome import Cause, Outcome, Retry
from vfax.signals import (
    Modem,
    SendEcm,
    SendFrames,
    SendImage,
    SendTone,
    SendTraining,
    Tone,
    Transmission,
)
from vfax.t30.options import T30Options
from vfax.t30.outgoing import OutgoingPage, fits, same_paper
from vfax.t30.tables import SEND, Do, Line, S, Timer
from vfax.t30.terminal import Action, Terminal
from vfax.t30.turns import airtime
from vfax.t30.values import (
    Agreed,
    Order,
    PageCoded,
    PageConfirmed,
    PageInfo,
    PageNeeded,
    PageProgress,
    PageRepeated,
    PageStarted,
    PageUnavailable,
    SendDocument,
    Trained,
)

_TCF_SECONDS: Final = 1.5
_V17_FAILURES: Final = 2  # trainings after which slower V.17 is pointless (field): V.29 is next
_ESTIMATE: Final = 1.0  # seconds between two PageProgress events
_ASKED: Final = (S.AWAIT_CFR, S.AWAIT_ANSWER, S.AWAIT_CTR)

_RETRY: Final[dict[Cause, Retry]] = {
    Cause.T1_EXPIRED: Retry.LATER,
    Cause.NO_RESPONSE: Retry.LATER,
    Cause.NO_CARRIER: Retry.LATER,
    Cause.CANNOT_TRAIN: Retry.LOWER_RATE,
    Cause.PAGE_REFUSED: Retry.LOWER_RATE,
    Cause.ECM_FAILED: Retry.LATER,
    Cause.PEER_DISCONNECTED: Retry.LATER,
    Cause.PEER_HUNG_UP: Retry.LATER,
}
"""What is not listed is not worth another try: a machine that cannot print it, a page that may have been delivered."""


class Sender(Terminal):
    """Sends the pages of one fax."""

    def __init__(self, options: T30Options, *, now: float) -> None:
        super().__init__(SEND, options, now=now)
        self._pages: tuple[PageInfo, ...] = ()
        self._index = 0  # of the page at hand
        self._coded: dict[int, tuple[Agreement, bytes]] = {}
        self._needed: dict[int, Agreement] = {}
        self._failed: dict[int, str] = {}
        self._capabilities = Capabilities()
        self._confirmed = 0
        self._torn = 0
        self._was = S.IDLE  # the state before this one
        # training
        self._modem: Modem | None = None  # where the next training begins, once one has failed
        self._v17_failures = 0
        self._short_ok = False  # the peer has heard a long training at this rate
        # the command that awaits its answer
        self._command: tuple[Transmission, ...] = ()
        self._command_frames: tuple[Frame, ...] = ()
        self._tries = 0
        self._asked_at = now
        self._asked = Fcf.DCS
        # the page at hand
        self._page: OutgoingPage | None = None  # once its first burst was sent
        self._refusals = 0
        self._burst_began = now
        self._burst_takes = 1.0
        self._actions: dict[Do, Action] = {
            Do.CALL: self._call,
            Do.SAY_CNG: self._say_cng,
            Do.CHOOSE: self._choose,
            Do.TRAIN: self._train,
            Do.NOTE_TRAINED: self._note_trained,
            Do.LOWER_RATE: self._lower_rate,
            Do.COUNT_TRY: self._count_try,
            Do.REPEAT: self._repeat,
            Do.START_PAGE: self._check_coded,
            Do.CHECK_CODED: self._check_coded,
            Do.SEND_BLOCK: self._send_block,
            Do.SAY_POST: self._say_post,
            Do.NOTE_CONFIRMED: self._note_confirmed,
            Do.NOTE_RETRAIN: self._note_retrain,
            Do.COUNT_REFUSAL: self._count_refusal,
            Do.READ_PPR: self._read_ppr,
            Do.SAY_CTC: self._say_ctc,
            Do.NOTE_CTR: self._note_ctr,
            Do.SAY_EOR: self._say_eor,
            Do.NOTE_GIVEN_UP: self._note_given_up,
            Do.START_T5: self._start_t5,
            Do.SAY_RR: self._say_rr,
            Do.RESTART_T1: self._restart_t1,
        }

    def _action(self, do: Do) -> Action:
        return self._actions[do]

    # --- orders -----------------------------------------------------------------------------------

    def _on_order(self, order: Order) -> None:
        match order:
            case SendDocument(pages) if self.state is S.IDLE:
                self._pages = pages
            case PageCoded(number, data) if number - 1 in self._needed:
                if not data:
                    self._unavailable(number, "it was coded to nothing")
                    return
                self._coded[number - 1] = (self._needed.pop(number - 1), data)
                self._advance(Line.PAGE_CODED)
            case PageUnavailable(number, why):
                self._unavailable(number, why)

    def _unavailable(self, number: int, why: str) -> None:
        """A page that was asked for ahead of time fails when its turn has come: the one before may still arrive."""
        self._failed[number - 1] = why
        self._needed.pop(number - 1, None)
        if number - 1 <= self._index:
            self._evidence = f"page {number} cannot be sent: {why}"
            self._advance(Line.PAGE_UNAVAILABLE)

    # --- phase B ----------------------------------------------------------------------------------

    def _heed(self, frame: Frame) -> None:
        """An answer counts only if its burst began after the question: an older one answers something else."""
        stale = self.state in _ASKED and self._burst_at < self._asked_at and frame.fcf is not Fcf.DCN
        if stale:
            self.ignored += 1
            return
        if frame.fcf is not Fcf.RNR and self.state is S.AWAIT_ANSWER:
            self._due.pop(Timer.T5, None)
        super()._heed(frame)

    def _call(self) -> Line | None:
        self._start(Timer.T1, self._timers.t1)
        if not self._pages:
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
        """A DIS: choose the mode of the next page."""
        try:
            self._capabilities = Capabilities.decode(self._frame.info)
        except DecodeError:
            return None
        self._x = True
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
        if agreement is None or self._modem is None:
            return agreement
        slower = self._modems_from(self._modem)
        return replace(agreement, modem=slower[0]) if slower else agreement

    def _modems_from(self, modem: Modem) -> tuple[Modem, ...]:
        """Modems both ends have, this one and those it falls back to."""
        usable = usable_modems(self._capabilities, self._options.preferences())
        return tuple(each for each in usable if FALL_BACK.index(each) >= FALL_BACK.index(modem))

    def _train(self) -> Line | None:
        """Say [TSI] DCS and TCF under the agreement at hand; the page is needed coded by the time CFR comes."""
        agreement = self._agreement
        if agreement is None:
            return None
        self._hush()
        self._events.append(Agreed(agreement))
        frames = [Frame(Fcf.DCS, encode_dcs(agreement), x=self._x)]
        if self._options.local_id:
            frames.insert(0, Frame(Fcf.TSI, encode_identity(self._options.local_id), final=False, x=self._x))
        # With localTCF the line announces the training only; it still takes that long.
        zeros = int(agreement.modem.rate_bps * _TCF_SECONDS / 8)
        self._short_ok = False
        self._ask(tuple(frames), SendTraining(agreement.modem, zeros))
        self._need(self._index)
        return None

    def _note_trained(self) -> Line | None:
        if self._agreement is not None:
            self._events.append(Trained(ok=True, rate_bps=self._agreement.modem.rate_bps))
        self._short_ok = True
        self._progress()
        return self._check_coded()

    def _lower_rate(self) -> Line | None:
        """FTT: one step down. Quirk: where V.17 failed twice its slower rates fail too, so V.29 is next."""
        agreement = self._agreement
        if agreement is None:
            return None
        self._events.append(Trained(ok=False, rate_bps=agreement.modem.rate_bps))
        self._v17_failures += agreement.modem.family == "V.17"
        slower = self._slower(agreement.modem)
        if slower is None:
            return Line.NO_RATE
        self._modem = slower
        self._agreement = replace(agreement, modem=slower)
        return Line.AGREED

    def _slower(self, modem: Modem) -> Modem | None:
        candidates = [each for each in self._modems_from(modem) if each is not modem]
        if self._v17_failures >= _V17_FAILURES:
            candidates = [each for each in candidates if each.family != "V.17"]
        return candidates[0] if candidates else None

    # --- commands and their repetition ------------------------------------------------------------

    def _ask(self, frames: tuple[Frame, ...], *then: Transmission) -> None:
        """Say a command for the first time."""
        self._hush()
        self._tries = 1
        self._asked_at = self._now
        self._asked = frames[-1].fcf
        self._command_frames = frames
        self._command = (SendFrames(self._note_said(frames)), *then)
        self._say(*self._command)

    def _count_try(self) -> Line | None:
        self._tries += 1
        if self._tries > self._options.tries:
            self._evidence = f"no answer to {self._asked.title}, said {self._options.tries} times"
            return Line.TRIES_OUT
        return Line.TRY_AGAIN

    def _repeat(self) -> Line | None:
        self._hush()
        self._note_said(self._command_frames)
        self._say(*self._command)
        return None

    # --- phase C ----------------------------------------------------------------------------------

    def _need(self, index: int) -> None:
        """Ask the owner for a page, unless it is coded, or being coded, in a form that fits."""
        agreement = self._agreement
        if agreement is None or index >= len(self._pages):
            return
        have = self._needed.get(index) or (self._coded[index][0] if index in self._coded else None)
        if have is None or not fits(have, agreement):
            self._coded.pop(index, None)
            self._needed[index] = agreement
            self._events.append(PageNeeded(index + 1, agreement))

    def _check_coded(self) -> Line | None:
        if self._index in self._failed:
            self._evidence = f"page {self._index + 1} cannot be sent: {self._failed[self._index]}"
            return Line.PAGE_UNAVAILABLE
        if self._index in self._coded:
            return Line.CODED
        if self.state is S.AWAIT_CODED:
            return None
        self._need(self._index)
        return Line.UNCODED

    def _send_block(self) -> Line | None:
        """Put the page, the next block of it, or the frames asked for again, on the line."""
        agreement = self._agreement
        if agreement is None:
            return None
        page = self._page or self._begin_page(agreement)
        short = self._short_ok and agreement.modem.family == "V.17"
        if page.ecm:
            frames = [page.frames[number] for number in page.burst]
            burst: Transmission = SendEcm(agreement.modem, short, (*frames, RCP, RCP, RCP))
        else:
            burst = SendImage(agreement.modem, short, page.data)
        self._short_ok = True
        self._hush()
        self._say(burst)
        self._burst_began = self._now
        self._burst_takes = airtime(burst)
        self._start(Timer.ESTIMATE, _ESTIMATE)
        return None

    def _begin_page(self, agreement: Agreement) -> OutgoingPage:
        self._page = OutgoingPage(self._coded[self._index][1], agreement)
        self._start(Timer.PAGE, self._timers.page)
        self._events.append(PageStarted(self._index + 1))
        if self._post() is Fcf.MPS:
            self._need(self._index + 1)
        return self._page

    def _on_estimate(self) -> None:
        """How far the page is, reckoned by the clock: the line tells only when all has left."""
        page = self._page
        if self.state is not S.SENDING_PAGE or page is None:
            return
        if page.first_burst:
            share = min(1.0, (self._now - self._burst_began) / self._burst_takes)
            self._events.append(PageProgress(self._index + 1, page.sent(share), len(page.data)))
        self._start(Timer.ESTIMATE, _ESTIMATE)

    # --- phase D ----------------------------------------------------------------------------------

    def _post(self) -> Fcf:
        """The command that ends the page at hand."""
        following = self._index + 1
        if following >= len(self._pages):
            return Fcf.EOP
        agreed = self._agreement
        other = self._agreement_for(self._pages[following])
        same = agreed is not None and other is not None and same_paper(agreed, other)
        return Fcf.MPS if same else Fcf.EOM

    def _say_post(self) -> Line | None:
        self._progress()
        self._due.pop(Timer.ESTIMATE, None)
        page = self._page
        if page is not None and page.ecm:
            pps = PartialPage(self._block_post(page), self._index & 0xFF, page.block & 0xFF, len(page.burst))
            self._ask((Frame(Fcf.PPS, pps.encode(), x=self._x),))
        else:
            self._ask((Frame(self._post(), x=self._x),))
        return None

    def _block_post(self, page: OutgoingPage) -> Fcf | None:
        """FCF2 of the block at hand: NULL while the page goes on."""
        return None if page.more_blocks else self._post()

    def _note_confirmed(self) -> Line | None:
        """MCF: on to the next block, page, document, or to the end."""
        page = self._page
        if page is None:
            return None
        if self._asked is Fcf.EOR:
            return self._note_given_up()
        self._progress()
        if page.more_blocks:
            page.next_block()
            return Line.NEXT_BLOCK
        if page.torn:
            self._torn += 1
        else:
            self._confirmed += 1
            self._events.append(PageConfirmed(self._index + 1))
        return self._turn_page()

    def _turn_page(self) -> Line:
        post = self._post()
        self._coded.pop(self._index, None)
        self._due.pop(Timer.PAGE, None)
        self._refusals = 0
        self._page = None
        if post is Fcf.EOP:
            return Line.LAST_PAGE
        self._index += 1
        return Line.NEXT_PAGE if post is Fcf.MPS else Line.NEXT_DOCUMENT

    def _note_retrain(self) -> Line | None:
        """RTP: good, but train again before what follows."""
        following = self._note_confirmed()
        return Line.RETRAIN if following in (Line.NEXT_PAGE, Line.NEXT_BLOCK) else following

    def _count_refusal(self) -> Line | None:
        """RTN: train again, lower where possible, and send the page again."""
        agreement = self._agreement
        if agreement is None:
            return None
        if self._asked is Fcf.EOR:
            return self._note_given_up()
        self._refusals += 1
        self._events.append(PageRepeated(self._index + 1, 0, f"{self._frame.fcf.title} came"))
        if self._refusals > self._options.rtn_limit:
            self._evidence = f"page {self._index + 1} was refused {self._refusals} times"
            return Line.REFUSED
        slower = self._slower(agreement.modem)
        if slower is not None:
            self._modem = slower
            self._agreement = replace(agreement, modem=slower)
        self._page = None  # from its start, as it is coded
        return Line.RETRAIN

    # --- ECM --------------------------------------------------------------------------------------

    def _read_ppr(self) -> Line | None:
        agreement, page = self._agreement, self._page
        if agreement is None or page is None or not page.ecm or self._asked is Fcf.EOR:
            return None
        try:
            missing = decode_request(self._frame.info, len(page.frames))
        except DecodeError:
            return None
        self._events.append(PageRepeated(self._index + 1, len(missing), "PPR came"))
        page.ask_again(missing)
        if page.requests < self._options.ppr_limit:
            return Line.RESEND
        worth_it = page.improves() or self._slower(agreement.modem) is not None
        return Line.CHANGE_RATE if worth_it else Line.GIVE_UP_BLOCK

    def _say_ctc(self) -> Line | None:
        agreement = self._agreement
        if agreement is not None:
            modem = self._slower(agreement.modem) or agreement.modem
            self._modem = modem
            self._agreement = replace(agreement, modem=modem)
            self._ask((Frame(Fcf.CTC, encode_ctc(modem), x=self._x),))
        return None

    def _note_ctr(self) -> Line | None:
        if self._agreement is not None:
            self._events.append(Agreed(self._agreement))
        if self._page is not None:
            self._page.requests = 0
        self._short_ok = False
        return Line.RESEND

    def _say_eor(self) -> Line | None:
        if self._page is not None:
            self._ask((Frame(Fcf.EOR, encode_rest(self._block_post(self._page)), x=self._x),))
        return None

    def _note_given_up(self) -> Line | None:
        """ERR: the receiver keeps what it has of the block; the page counts as not delivered."""
        if self._asked is not Fcf.EOR or self._page is None:
            return None
        self._page.torn = True
        self._asked = Fcf.PPS
        return self._note_confirmed()

    def _start_t5(self) -> Line | None:
        self._due.setdefault(Timer.T5, self._now + self._timers.t5)
        return None

    def _say_rr(self) -> Line | None:
        asked = self._asked
        self._ask((Frame(Fcf.RR, x=self._x),))
        if asked is Fcf.EOR:
            self._asked = asked  # its answer is still due
        return None

    # --- the end ----------------------------------------------------------------------------------

    def _enter(self, state: S) -> None:
        self._was = self.state
        super()._enter(state)

    def _refined(self, cause: Cause) -> Cause:
        """What the peer leaves open after our last command is uncertain, not failed: it may have printed all."""
        if cause is Cause.COMPLETE:
            return Cause.ECM_FAILED if self._torn else cause
        left_open = cause in (Cause.NO_RESPONSE, Cause.PEER_DISCONNECTED, Cause.PEER_HUNG_UP)
        page = self._page
        asking = self._was in (S.AWAIT_ANSWER, S.PAUSED) and self._asked is not Fcf.EOR
        last = self._index + 1 == len(self._pages) and page is not None and not page.more_blocks and not page.torn
        return Cause.UNCERTAIN if left_open and asking and last else cause

    def _outcome(self) -> Outcome:
        retry = _RETRY.get(self._cause, Retry.NEVER)
        if self._cause is Cause.PEER_DISCONNECTED and self._was is S.AWAIT_CFR:
            # Field: DCN instead of CFR means that the mode was disliked.
            retry = Retry.LOWER_RATE
        return self._facts(pages_confirmed=self._confirmed, pages_partial=self._torn, bad_rows=0, retry=retry)
