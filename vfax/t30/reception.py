"""Pages on their way from the line to the store.

Owns      the page at hand: its data, rows in slices, quality, hand-over, and the confirmation of what is kept.
Not here  which command asks for what (receiver.py), frames to rows (incoming.py), turns and the end (terminal.py).
Source    T.30 (09/2005) 5.2 and Annex A; copy quality as deployed receivers judge it (options.py).

Never     is a page confirmed that the store has not kept, nor one without a row.
"""

from dataclasses import dataclass
from typing import Final

from vfax.codecs.frames import Fcf
from vfax.outcome import Cause, Outcome
from vfax.signals import Modem
from vfax.t30.incoming import Fingerprints, IncomingPage
from vfax.t30.options import BadPage, T30Options
from vfax.t30.tables import Line, S, Table, Timer
from vfax.t30.terminal import Terminal
from vfax.t30.training import TrainingCheck
from vfax.t30.values import (
    Order,
    PageConfirmed,
    PageKept,
    PageLost,
    PageProgress,
    PageReceived,
    PageRepeated,
    PageStarted,
)

_FCD: Final = Fcf.FCD.value

UNTOLD: Final = 1 << 30  # bit/s: faster than any

OUTAGE: Final = 32
"""Lost packets that may have been a page: a blank one of MR takes a second, 35 packets of 30 ms. A lost repetition of
a command has 15."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A command that has had its answer: heard again, it has the same one again."""

    fcf: Fcf
    detail: tuple[Fcf | None, int, int] = (None, 0, 0)


class Reception(Terminal):
    """The part of a receiver that has pages in its hands."""

    def __init__(self, table: Table, options: T30Options, *, now: float) -> None:
        super().__init__(table, options, now=now)
        self._number = 1  # of the page that is coming
        self._confirmed = 0
        self._torn = 0  # pages stored with blocks missing
        self._shelved = 0  # pages stored whose confirmation never went out
        self._aside: IncomingPage | None = None  # refused last: the sender says it again, or goes on
        self._given_up: list[int] = []  # pages that were refused, and the sender went on
        self._partial = 0
        self._bad_rows = 0
        self._page: IncomingPage | None = None
        self._last_block: Fingerprints | None = None
        self._started = 0  # number of the last page that PageStarted told of
        self._told_rows = 0
        self._fresh = False  # a carrier was heard since our last answer, or since the command that awaits one
        self._missed = 0  # packets lost since our last answer
        self._ahead = 0  # packets lost of a burst before its first data
        self._heard_at = now
        self._patience = options.timers.first_data  # silence that ends the burst
        # training
        self._check = TrainingCheck(Modem.V27TER_2400)
        self._refused_burst: Modem | None = None  # no training, judged while it was on: its rest is no page
        self._trainings = 0  # good ones since the last page
        self._slowest = UNTOLD  # rate of a CTC since the last page
        # phase D
        self._post: Fcf | None = None  # what follows the page at hand
        self._verdict = Fcf.MCF  # its answer, once it is kept
        self._refusals = 0
        self._handed_over = False
        self._commanded_at = now
        self._answered: Answered | None = None
        self._given = Fcf.MCF  # what it was answered
        self._pending = Answered(Fcf.EOP)  # the command that the page at hand was given with
        self._counts: bool | None = None  # the sender numbers its pages in PPS; None: not known yet

    # --- data as it comes ---------------------------------------------------------------------------

    def _on_started(self, modem: Modem) -> None:
        self._refused_burst = None
        super()._on_started(modem)

    def _begin_carrier(self, modem: Modem) -> None:
        self._check = TrainingCheck(modem)
        self._heard_at = self._now
        # Our last answer is not about a burst that no DCS announced, whether or not we listen to it.
        self._fresh = self._fresh or self.state is not S.AWAIT_TCF
        super()._begin_carrier(modem)

    def _ensure_carrier(self, modem: Modem) -> None:
        """Data of a burst that was not announced, or whose announcement is lost: so may be what came before them."""
        if self._refused_burst is modem:
            return
        begins, lost = self._carrier is None, self._missed
        super()._ensure_carrier(modem)
        if begins and self.state is S.IN_PAGE:
            self._on_missing_ahead(lost)

    def _on_missing_ahead(self, packets: int) -> None:
        self._ahead = packets
        if self._page is not None and not self._page.ecm:
            self._page.holes += packets

    def _open_page(self) -> Line | None:
        self._shelve()
        if self._page is not None and self._page.ecm:
            self._page.block.suspect()
        self._ahead = 0
        self._heard_at = self._now
        self._due.setdefault(Timer.PAGE, self._now + self._timers.page)
        self._patience = self._timers.first_data
        self._start(Timer.SILENCE, self._patience)
        return None

    def _on_silence(self) -> None:
        """The burst may be over without having said so."""
        if self._heard_at + self._patience > self._now:
            self._due[Timer.SILENCE] = self._heard_at + self._patience
        else:
            self._end_of_carrier()

    def _on_data(self, octets: bytes) -> None:
        if self.state is S.IN_TCF:
            self._check.add(octets)
        elif self.state is S.IN_PAGE:
            page = self._page_at_hand(ecm=False)
            self._hear_data()
            if page is not None and not page.ecm:
                page.add_data(octets)
                self._moved(page)

    def _on_fast_frame(self, octets: bytes) -> None:
        if self.state is not S.IN_PAGE or len(octets) < 4 or octets[2] != _FCD:
            return
        page = self._page_at_hand(ecm=True)
        # A frame we have already is life too: some senders repeat the whole block. The PAGE timer bounds that.
        self._hear_data()
        if page is not None and page.ecm and page.add_frame(octets):
            self._moved(page)

    def _on_missing(self, packets: int) -> None:
        """A hole in the data: rows of the page are gone, or a run of zeros in TCF ends. ECM asks for its frames."""
        self._missed += packets
        self._torn_burst = self._torn_burst or self._flags
        page = self._page
        if self.state is not S.IN_PAGE or page is None:
            self._ahead += packets
        elif not page.ecm:
            page.holes += packets
        self._check.miss(packets)

    def _hear_data(self) -> None:
        """The burst lives, and so does the fax."""
        self._heard_at = self._progress_at = self._now
        if self._patience != self._timers.silence:
            self._patience = self._timers.silence
            self._start(Timer.SILENCE, self._patience)

    def _page_at_hand(self, *, ecm: bool) -> IncomingPage | None:
        """The page that data belongs to; what the line carries decides about ECM, not DCS.

        Quirk: some senders agree on ECM and then send plain pages. Zeros that are left over from TCF are none.
        """
        if self._agreement is None:
            return None
        page = self._page
        if page is not None and ecm and not page.ecm and self._agreement.ecm and not page.decoder.rows:
            self._page = None
        if self._page is None:
            limits = self._options.decode_limits()
            self._page = IncomingPage(self._agreement, limits, ecm=ecm, before=self._last_block if ecm else None)
            self._page.holes = 0 if ecm else self._ahead
        return self._page

    def _moved(self, page: IncomingPage) -> None:
        """New octets of a page: decode a slice, come back for the rest."""
        if page.pending:
            self._decode_slice()

    def _drop_page(self) -> None:
        self._page = None
        self._handed_over = False
        self._told_rows = 0
        self._due.pop(Timer.DECODE, None)
        self._due.pop(Timer.PAGE, None)

    # --- rows in slices -----------------------------------------------------------------------------

    def _decode_soon(self, page: IncomingPage) -> None:
        if page.pending:
            self._due[Timer.DECODE] = self._now

    def _decode_slice(self) -> None:
        page = self._page
        if page is None:
            return
        page.decode(self._options.slice_octets)
        self._due.pop(Timer.DECODE, None)
        self._decode_soon(page)
        self._tell_rows(page)
        if page.over_limit and self.state is not S.CLOSING:
            self._evidence = f"page {self._number} has too many {page.over_limit}"
            self._advance(Line.OVER_LIMIT)
        elif self.state in (S.HOLDING, S.BUSY) and not self._handed_over and not page.pending:
            verdict = self._judge_page(page)
            if verdict is not None:
                self._advance(verdict)

    def _tell_rows(self, page: IncomingPage) -> None:
        rows = page.decoder.rows
        if self._started < self._number and (rows or page.ecm):
            self._started = self._number
            self._told_rows = 0
            self._events.append(PageStarted(self._number))
        if rows >= self._told_rows + self._options.progress_rows:
            self._told_rows = rows
            self._events.append(PageProgress(self._number, rows, 0))

    # --- a whole page -------------------------------------------------------------------------------

    def _command_page(self, post: Fcf, command: Answered, verdict: Fcf) -> None:
        self._post = post
        self._pending = command
        self._verdict = verdict
        self._commanded_at = self._now
        self._handed_over = False
        self._fresh = False

    def _finish_page(self) -> Line | None:
        """All octets are there: decode the rest, then judge."""
        page = self._page
        if page is None:
            return None
        page.sealed = True
        if page.ecm:
            self._start(Timer.READY, self._timers.ready)
        page.decode(self._options.slice_octets)
        self._tell_rows(page)
        if page.pending:
            self._due[Timer.DECODE] = self._now
            return None
        if page.over_limit:
            self._evidence = f"page {self._number} has too many {page.over_limit}"
            return Line.OVER_LIMIT
        return self._judge_page(page)

    def _judge_page(self, page: IncomingPage) -> Line | None:
        """The page is decoded: hand it over, or refuse it."""
        rows = page.decoder.rows
        self._follow_refused(page)
        if page.torn and not rows:
            return self._judge_nothing()
        if page.torn or page.ecm:
            if not rows:
                return self._forget_empty()
            return self._hand_over(page)
        share = page.marred_rows / rows if rows else 1.0
        if not rows or share >= self._options.rtn_from:
            return self._refuse(page)
        if share >= self._options.rtp_from:
            self._verdict = Fcf.RTP
        return self._hand_over(page)

    def _judge_nothing(self) -> Line | None:
        """All was given up. ERR promises nothing; the last block of such a page, well received, cannot have MCF."""
        if self._verdict is Fcf.ERR:
            return self._confirm()
        self._evidence = f"no row of page {self._number} can be read"
        return Line.REFUSED

    def _forget_empty(self) -> Line:
        self._fresh = True
        self._answered = None  # the command will come again, and be about that page still
        self._drop_page()
        return Line.EMPTY

    def _refuse(self, page: IncomingPage) -> Line:
        self._refusals += 1
        rows = page.decoder.rows
        why = f"{page.bad_rows} of {rows} rows are bad" if rows else "no row can be read"
        self._events.append(PageRepeated(self._number, 0, why))
        self._note_answer(self._pending, Fcf.RTN)
        self._aside = page if rows else None
        self._drop_page()
        if self._number > self._options.limits.pages:
            self._evidence = f"more than {self._options.limits.pages} pages"
            return Line.OVER_LIMIT
        if self._options.bad_page is BadPage.DCN or self._refusals > self._options.rtn_limit:
            self._evidence = why
            return Line.REFUSED
        return Line.PAGE_BAD

    def _follow_refused(self, page: IncomingPage) -> None:
        """After RTN comes the same page, or another one: then what there is of the refused one is kept, in its place.

        Field: what a sender does after RTN is its own choice, and no frame tells. The rows do.
        """
        refused = self._aside
        if refused is None or not page.decoder.rows:
            return
        self._aside = None
        if not page.may_be(refused):
            self._given_up.append(self._number)
            self._partial += 1
            self._emit(refused, complete=False)
            self._number += 1
            self._refusals = 0
            self._tell_rows(page)

    def _hand_over(self, page: IncomingPage) -> Line | None:
        if self._number > self._options.limits.pages:
            self._evidence = f"more than {self._options.limits.pages} pages"
            return Line.OVER_LIMIT
        self._handed_over = True
        self._emit(page, complete=True)
        return None

    def _emit(self, page: IncomingPage, *, complete: bool) -> None:
        decoder = page.decoder
        self._bad_rows += page.bad_rows
        self._events.append(
            PageReceived(
                number=self._number,
                agreement=page.agreement,
                width_px=decoder.width_px,
                rows=decoder.rows,
                lines=page.take_lines(),
                bad_rows=page.bad_rows,
                longest_bad_run=decoder.longest_bad_run,
                complete=complete,
            )
        )

    # --- answers ------------------------------------------------------------------------------------

    def _note_answer(self, command: Answered, answer: Fcf) -> None:
        """Remember what a command was answered: should it come again, so does its answer."""
        self._answered = command
        self._given = answer
        self._fresh = False

    def _is_repeated(self, command: Answered) -> bool:
        """True for the command we answered last, if nothing came since."""
        return self._answered == command and self._heard_nothing()

    def _heard_nothing(self) -> bool:
        """True when no page can have gone by since our last answer."""
        return not self._fresh and self._missed < OUTAGE

    # --- the store ----------------------------------------------------------------------------------

    def _on_order(self, order: Order) -> None:
        match order:
            case PageKept(number) if self._awaits(number):
                self._progress()
                self._due.pop(Timer.T5, None)
                self._advance(Line.PAGE_KEPT)
            case PageLost(number, why) if self._awaits(number):
                self._evidence = why
                self._drop_page()  # nothing of it is kept
                self._advance(Line.PAGE_LOST)

    def _awaits(self, number: int) -> bool:
        return self._handed_over and number == self._number and self.state in (S.HOLDING, S.BUSY)

    def _note_repeat(self) -> Line | None:
        """The sender asks again while the page is not kept. Without ECM there is no word for "wait": silence is."""
        self._commanded_at = self._now
        ecm = self._page is not None and self._page.ecm
        return Line.RNR_DUE if ecm and not self._talking else None

    def _start_t5(self) -> Line | None:
        self._due.setdefault(Timer.T5, self._now + self._timers.t5)
        return None

    def _weigh_answer(self) -> Line | None:
        """Answer at once, unless the sender is about to repeat its command: then that repetition is answered."""
        late = self._now - self._commanded_at > self._timers.ready
        return Line.TOO_LATE if late or self._flags else self._confirm()

    def _confirm(self) -> Line | None:
        """Say the answer of a kept page, and go on as its command asked."""
        page = self._page
        if page is None:
            return None
        if self._fresh:
            return self._stay_silent()
        verdict, post = self._verdict, self._post
        self._answer(verdict)
        self._note_answer(self._pending, verdict)
        if page.torn:
            self._torn += 1
        else:
            self._confirmed += 1
            self._events.append(PageConfirmed(self._number))
        self._turn_page()
        self._progress()
        if post is Fcf.EOP:
            return Line.LAST_PAGE
        if post is not Fcf.MPS:
            return Line.NEXT_DOCUMENT
        return Line.RETRAIN if verdict is Fcf.RTP else Line.NEXT_PAGE

    def _stay_silent(self) -> Line:
        """The sender went on without its answer: it would take one now as that to what it sent since, and we did not
        listen to that. Field: whoever does so says its command again, or the page after PPR."""
        self._shelve()
        self._drop_page()
        return Line.GONE_ON

    def _turn_page(self) -> None:
        self._number += 1
        self._refusals = 0
        self._trainings = 0
        self._slowest = UNTOLD
        self._drop_page()

    def _shelve(self) -> None:
        """The sender moved on from a page that is kept but was never confirmed: it must not be overwritten."""
        if self._handed_over:
            self._shelved += 1
            self._due.pop(Timer.T5, None)
            self._turn_page()

    # --- the end ------------------------------------------------------------------------------------

    def _has_backlog(self) -> bool:
        page = self._page
        if page is None or self._handed_over:
            return False
        if not page.sealed:
            page.salvage()
            page.sealed = True
        if page.pending and Timer.DECODE not in self._due:
            self._due[Timer.DECODE] = self._now
        return page.pending

    def _last_words(self) -> None:
        """Keep what is there of a page in progress or refused, and count one that was kept but not confirmed."""
        page = self._page
        if page is not None and self._handed_over:
            self._shelved += 1
        elif page is not None:
            page.decode(0)
            refused = self._aside
            # The beginning of a page that was refused: whichever tells more is kept.
            if refused is None or not refused.may_be(page) or page.good_rows > refused.good_rows:
                self._follow_refused(page)
                self._emit_part(page)
        self._emit_part(self._aside)
        self._page = self._aside = None

    def _emit_part(self, page: IncomingPage | None) -> None:
        if page is not None and page.decoder.rows:
            self._partial += 1
            self._emit(page, complete=False)

    def _shortfall(self) -> str:
        lacking = [f"page {number} was refused, and the sender went on" for number in self._given_up]
        return ", ".join([*lacking, *([f"{self._torn} pages came with blocks given up"] if self._torn else [])])

    def _refined(self, cause: Cause) -> Cause:
        if cause is not Cause.COMPLETE:
            return cause
        return Cause.PAGE_REFUSED if self._given_up else Cause.ECM_FAILED if self._torn else cause

    def _outcome(self) -> Outcome:
        return self._facts(
            pages_confirmed=self._confirmed,
            pages_partial=self._partial + self._torn + self._shelved,
            bad_rows=self._bad_rows,
        )
