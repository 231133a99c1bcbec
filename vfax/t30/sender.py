"""The sending end: from DIS to DCN.

Owns      what a sender does at each step of `tables.SEND`: pages, blocks, what an answer means.
Not here  mode, training, repetition of commands (negotiation.py), turns, timers and the end (terminal.py); coding of
          pages (the owner answers `PageNeeded`).
Source    T.30 (09/2005) 5.2 and Annex A; field rules are marked.
"""

from typing import Final

from vfax.codecs.dis import Agreement, encode_ctc
from vfax.codecs.frames import RCP, Fcf, Frame, PartialPage, decode_request, encode_rest
from vfax.errors import DecodeError
from vfax.outcome import Cause, Outcome
from vfax.signals import SendEcm, SendImage, Transmission
from vfax.t30.negotiation import Negotiation
from vfax.t30.options import AfterRtn, T30Options
from vfax.t30.outgoing import OutgoingPage, fits, same_paper
from vfax.t30.tables import SEND, Do, Line, S, Table, Timer
from vfax.t30.terminal import Action
from vfax.t30.turns import airtime
from vfax.t30.values import (
    Agreed,
    Order,
    PageCoded,
    PageConfirmed,
    PageNeeded,
    PageProgress,
    PageRepeated,
    PageStarted,
    PageUnavailable,
    SendDocument,
)

_ESTIMATE: Final = 1.0  # seconds between two PageProgress events
_UNPACED_REQUESTS: Final = 3  # PPR for one block of the unpaced transfer: then at the modem's rate


class Sender(Negotiation):
    """Sends the pages of one fax."""

    def __init__(self, options: T30Options, *, now: float, table: Table = SEND) -> None:
        super().__init__(table, options, now=now)
        self._first = 0  # index of the first page of this call
        self._coded: dict[int, tuple[Agreement, bytes]] = {}
        self._needed: dict[int, Agreement] = {}
        self._needed_at = now
        self._failed: dict[int, str] = {}
        self._confirmed = 0
        self._torn: list[int] = []  # pages that went with blocks given up
        self._refused: list[int] = []  # pages that were refused, and the fax went on
        self._was = S.IDLE  # the state before this one
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
            Do.HOLD_ON: self._hold_on,
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

    def load(self, document: SendDocument) -> None:
        """Take the document, before phase B. Pages before its `first` are not sent; none at all ends the fax."""
        self._pages = document.pages if document.first >= 1 else ()
        self._index = self._first = max(0, document.first - 1)
        self._addressing = document.addressing

    # --- orders -----------------------------------------------------------------------------------

    def _on_order(self, order: Order) -> None:
        match order:
            case SendDocument() if self.state is S.IDLE:
                self.load(order)
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
            self._evidence = why
            self._advance(Line.PAGE_UNAVAILABLE)

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
            self._needed_at = self._now
            self._events.append(PageNeeded(index + 1, agreement))

    def _check_coded(self) -> Line | None:
        if self._index in self._failed:
            self._evidence = self._failed[self._index]
            return Line.PAGE_UNAVAILABLE
        if self._index in self._coded:
            return Line.CODED
        if self.state is S.AWAIT_CODED:
            return None
        self._need(self._index)
        return Line.UNCODED

    def _hold_on(self) -> Line:
        """The page is not coded yet: keep the receiver waiting, within reason."""
        if self._now - self._needed_at < self._timers.coding:
            return Line.RETRAIN
        self._evidence = f"page {self._index + 1} was not coded within {self._timers.coding:g} s"
        return Line.CODING_LATE

    def _send_block(self) -> Line | None:
        """Put the page, the next block of it, or the frames asked for again, on the line."""
        agreement = self._agreement
        if agreement is None:
            return None
        page = self._page or self._begin_page(agreement)
        short = self._short_ok and agreement.modem.family == "V.17"
        if page.ecm:
            frames = [page.frames[number] for number in page.burst]
            burst: Transmission = SendEcm(agreement.modem, short, (*frames, RCP, RCP, RCP), again=page.requests > 0)
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
            pps = PartialPage(
                post=self._block_post(page),
                page=(self._index - self._first) & 0xFF,  # T.30 Annex A counts the pages of the call
                block=page.block & 0xFF,
                frames=len(page.burst),
            )
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
        # Said twice to an end far away, this command has another answer under way: unpaced it would come too late.
        crosses = self._tries > 1 and self._extra > 0 and self._leave_fast_path()
        if page.more_blocks:
            page.next_block()
            return Line.RETRAIN if crosses else Line.NEXT_BLOCK
        if page.torn:
            self._torn.append(self._index + 1)
        else:
            self._confirmed += 1
            self._events.append(PageConfirmed(self._index + 1))
        following = self._turn_page()
        return Line.RETRAIN if crosses and following is Line.NEXT_PAGE else following

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
        self._leave_fast_path()
        following = self._note_confirmed()
        return Line.RETRAIN if following in (Line.NEXT_PAGE, Line.NEXT_BLOCK) else following

    def _count_refusal(self) -> Line | None:
        """RTN: what it means is the sender's choice; whatever is next is trained for, lower where possible."""
        if self._agreement is None or self._page is None:
            return None
        if self._asked is Fcf.EOR:
            return self._note_given_up()
        self._refusals += 1
        number, after = self._index + 1, self._options.after_rtn
        if after is AfterRtn.GIVE_UP or self._refusals > self._options.rtn_limit:
            times = "once" if self._refusals == 1 else f"{self._refusals} times"
            self._evidence = f"page {number} was refused {times}: {self._frame.fcf.title} came"
            return Line.REFUSED
        self._progress()
        if not self._leave_fast_path():
            self._step_down()
        if after is AfterRtn.GO_ON:
            self._refused.append(number)
            following = self._turn_page()
            return Line.RETRAIN if following is Line.NEXT_PAGE else following
        self._events.append(PageRepeated(number, 0, f"{self._frame.fcf.title} came"))
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
        if page.requests >= _UNPACED_REQUESTS and self._leave_fast_path():
            page.restart_block()
            return Line.RETRAIN
        if page.requests < self._options.ppr_limit:
            return Line.RESEND
        worth_it = page.improves() or self._slower(agreement.modem) is not None
        return Line.CHANGE_RATE if worth_it else Line.GIVE_UP_BLOCK

    def _say_ctc(self) -> Line | None:
        self._step_down()  # at the slowest rate it goes on as it was
        if self._agreement is not None:
            self._ask((Frame(Fcf.CTC, encode_ctc(self._agreement.modem), x=self._x),))
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

    def _shortfall(self) -> str:
        lacking = [f"page {number} was refused" for number in self._refused]
        lacking += [f"page {number} went with blocks given up" for number in self._torn]
        return ", ".join(lacking)

    def _refined(self, cause: Cause) -> Cause:
        """What the peer leaves open after our last command is uncertain, not failed: it may have printed all."""
        if cause is Cause.COMPLETE:
            return Cause.PAGE_REFUSED if self._refused else Cause.ECM_FAILED if self._torn else cause
        left_open = cause in (Cause.NO_RESPONSE, Cause.PEER_DISCONNECTED, Cause.PEER_HUNG_UP)
        page = self._page
        asking = self._was in (S.AWAIT_ANSWER, S.PAUSED) and self._asked is not Fcf.EOR
        last = self._index + 1 == len(self._pages) and page is not None and not page.more_blocks and not page.torn
        return Cause.UNCERTAIN if left_open and asking and last else cause

    def _outcome(self) -> Outcome:
        partial = len(self._torn) + len(self._refused)
        return self._facts(pages_confirmed=self._confirmed, pages_partial=partial, bad_rows=0)
