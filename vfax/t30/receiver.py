"""The receiving end: from DIS to the last confirmation.

Owns      identification, modes, training, and what each command is answered.
Not here  pages and the store (reception.py), turns, timers and the end (terminal.py).
Source    T.30 (09/2005) 5.2 and Annex A; field rules are marked.
"""

from dataclasses import replace

from vfax.codecs.dis import Agreement, Capabilities, decode_ctc, decode_dcs, foreign_modes
from vfax.codecs.frames import (
    MAX_BLOCK,
    WITHOUT_OPERATOR,
    Fcf,
    Frame,
    PartialPage,
    decode_rest,
    encode_identity,
    encode_request,
)
from vfax.errors import DecodeError
from vfax.signals import SendFrames, SendTone, Tone
from vfax.t30.options import T30Options
from vfax.t30.reception import Answered, Reception
from vfax.t30.tables import RECEIVE, Do, Line, Table, Timer
from vfax.t30.terminal import Action
from vfax.t30.values import Agreed, PageRepeated, Trained


class Receiver(Reception):
    """Receives the pages of one fax."""

    def __init__(self, options: T30Options, *, now: float, table: Table = RECEIVE) -> None:
        super().__init__(table, options, now=now)
        self._unfit = ""  # what the DCS chose although it was never offered
        self._answer_said: tuple[bytes, ...] = ()
        self._actions: dict[Do, Action] = {
            Do.ANSWER_CALL: self._answer_call,
            Do.SAY_DIS: self._say_dis,
            Do.ACCEPT_DCS: self._accept_dcs,
            Do.JUDGE_TCF: self._judge_tcf,
            Do.ACCEPT_CTC: self._accept_ctc,
            Do.OPEN_PAGE: self._open_page,
            Do.JUDGE_POST: self._judge_post,
            Do.JUDGE_BLOCK: self._judge_block,
            Do.JUDGE_REST: self._judge_rest,
            Do.FINISH_PAGE: self._finish_page,
            Do.SAY_PPR: self._say_ppr,
            Do.SAY_AGAIN: self._say_again,
            Do.RECALL: self._recall,
            Do.NOTE_REPEAT: self._note_repeat,
            Do.START_T5: self._start_t5,
            Do.WEIGH_ANSWER: self._weigh_answer,
            Do.CONFIRM: self._confirm,
        }

    def _action(self, do: Do) -> Action:
        return self._actions[do]

    # --- phase B ------------------------------------------------------------------------------------

    def _answer_call(self) -> Line | None:
        if self._options.ced:
            self._say(SendTone(Tone.CED))
        return self._say_dis()

    def _say_dis(self) -> Line | None:
        self._due.setdefault(Timer.T1, self._now + self._timers.t1)
        self._set_pace(paced=True)
        frames = [Frame(Fcf.DIS, self._offered().encode())]
        if self._options.local_id:
            frames.insert(0, Frame(Fcf.CSI, encode_identity(self._options.local_id), final=False))
        self._say(SendFrames(self._note_said(tuple(frames))))
        return None

    def _offered(self) -> Capabilities:
        """What our DIS says."""
        return self._options.capabilities()

    def _accept_dcs(self) -> Line | None:
        """Take the mode of the pages that follow. One that cannot be read fails its training instead."""
        self._hush()
        self._due.pop(Timer.T1, None)
        self._due.pop(Timer.T5, None)
        self._shelve()
        info = self._frame.info
        self._unfit = ", ".join(foreign_modes(info))
        self._doubt_answer()
        before = self._agreement
        try:
            agreement = decode_dcs(info)
        except DecodeError:
            self._agreement = None
        else:
            # Quirk: bit 123 from a peer whose DIS did not have it from us; its training tells what it means.
            aware = agreement.internet_aware and self._options.internet_aware
            self._agreement = replace(agreement, internet_aware=aware)
            self._events.append(Agreed(self._agreement))
        page = self._page
        if page is not None and page.ecm and page.blocks and _same_format(before, self._agreement):
            page.block.doubt()
        else:
            self._drop_page()  # nothing of it was confirmed: the sender says it from its start
        aware = self._agreement is not None and self._agreement.internet_aware
        self._set_pace(paced=not aware)
        return self._go_on_untrained() if aware else None

    def _doubt_answer(self) -> None:
        """After a DCS a command is another one, but for the PPS of a block whose MCF the sender may not have heard: it
        may train again and say that block once more. After EOM it goes on with another document."""
        answered = self._answered
        if answered is None or answered.fcf is not Fcf.PPS or answered.detail[0] is Fcf.EOM:
            self._answered = None

    def _go_on_untrained(self) -> Line | None:
        """No modem is between two internet-aware terminals: CFR comes at once (T.30 (09/2005) Table 2, bit 123)."""
        self._note_training()
        return Line.AWARE

    def _judge_tcf(self) -> Line | None:
        if self._unfit:
            self._evidence = f"DCS chose what was never offered: {self._unfit}"
            return Line.UNFIT
        ok = self._agreement is not None and (self._check.good or self._options.local_tcf)
        rate_bps = self._agreement.modem.rate_bps if self._agreement else self._check.modem.rate_bps
        self._events.append(Trained(ok, rate_bps))
        if ok:
            self._note_training()
        self._refused_burst = None if ok else self._carrier
        self._carrier = None  # judged is over, also where nothing said so: the page's may begin with the same indicator
        return Line.TRAINED if ok else Line.UNTRAINED

    def _note_training(self) -> None:
        """A good training is progress, unless page after page fails to follow: that must end some time."""
        self._fresh = False
        self._trainings += 1
        if self._trainings <= self._options.train_limit:
            self._progress()

    def _accept_ctc(self) -> Line | None:
        try:
            modem = decode_ctc(self._frame.info)
        except DecodeError:
            return None
        if self._agreement is not None:
            if modem.rate_bps < self._slowest:  # the same again and again is none
                self._slowest = modem.rate_bps
                self._progress()
            self._agreement = replace(self._agreement, modem=modem)
            self._events.append(Agreed(self._agreement))
        self._answer(Fcf.CTR)
        return None

    # --- phase D: what the command asks -------------------------------------------------------------

    def _judge_post(self) -> Line | None:
        """MPS, EOM, EOP: the page that came without ECM is whole."""
        post = WITHOUT_OPERATOR.get(self._frame.fcf, self._frame.fcf)
        command = Answered(post)
        if self._is_repeated(command):
            return Line.REPEATED
        page = self._page
        if page is None or page.ecm or not page.octets:
            return Line.EMPTY
        self._command_page(post, command, Fcf.MCF)
        return Line.PAGE_WHOLE

    def _judge_block(self) -> Line | None:
        """PPS: confirm the block, ask for what is missing, or take the page as whole."""
        try:
            pps = PartialPage.decode(self._frame.info)
        except DecodeError:
            return None
        post = _plain(pps.post)
        command = Answered(Fcf.PPS, (post, pps.page, pps.block))
        if self._answered == command and self._is_same_block():
            self._forget_repetition()
            return Line.REPEATED
        page = self._page_at_hand(ecm=True)
        if page is None or not page.ecm:
            return None
        if pps.block == 0 and page.blocks and page.block.doubted and page.starts_over():
            page = self._page = page.restarted(self._options.decode_limits())
        if self._answered == command:
            page.block.suspect()
            page.block.expect_before()
        else:
            self._heed_counter(pps)
            page.block.name()
        page.block.expect(pps)
        if page.block.missing():
            return Line.BLOCK_TORN
        self._last_block = page.close_block()
        self._decode_soon(page)
        if post is None:
            self._note_answer(command, Fcf.MCF)
            return Line.BLOCK_WHOLE
        self._command_page(post, command, Fcf.MCF)
        return Line.PAGE_WHOLE

    def _judge_rest(self) -> Line | None:
        """EOR: the sender gives the block up."""
        try:
            post = _plain(decode_rest(self._frame.info))
        except DecodeError:
            return None
        command = Answered(Fcf.EOR, (post, 0, 0))
        if self._is_repeated(command):
            return Line.REPEATED
        page = self._page_at_hand(ecm=True)
        if page is None or not page.ecm:
            return None
        self._last_block = page.give_up_block()
        self._decode_soon(page)
        if post is None:
            self._note_answer(command, Fcf.ERR)
            return Line.BLOCK_GIVEN_UP
        self._command_page(post, command, Fcf.ERR)
        return Line.PAGE_WHOLE

    def _heed_counter(self, pps: PartialPage) -> None:
        """Learn from the first PPS about a page whether the sender counts its pages."""
        answered, page = self._answered, self._page
        if answered is None or answered.fcf is not Fcf.PPS or page is None or page.blocks:
            return
        step = (pps.page - answered.detail[1]) & 0xFF
        if self._counts is not False and answered.detail[0] is not None:
            self._counts = step == 1

    def _is_same_block(self) -> bool:
        """True when the sender means the block confirmed last: nothing came since, or that block once more, whole.
        Of a sender that counts its pages a part of that block is enough.

        Quirk: senders that do not count pages say the PPS of a page before about another page that may begin alike.
        """
        page = self._page
        if self._counts and (page is None or (page.ecm and not page.block.differs)):
            return True
        if page is None or not page.ecm:
            return self._heard_nothing()
        if not page.block.frames:
            return self._heard_nothing() and not page.block.asked_for
        return page.block.repeats_before()

    def _forget_repetition(self) -> None:
        """The confirmed block came once more: nothing of it was decoded, drop it."""
        page = self._page
        if page is not None and page.ecm:
            if page.blocks == 0:
                self._drop_page()
            else:
                page.forget_block(self._last_block)

    # --- answers ------------------------------------------------------------------------------------

    def _answer(self, fcf: Fcf, info: bytes = b"", *, hurried: bool = False) -> None:
        super()._answer(fcf, info, hurried=hurried)
        self._missed = 0
        last = self._output[-1]
        if isinstance(last, SendFrames) and fcf is not Fcf.DCN:
            self._answer_said = last.frames

    def _say_ppr(self) -> Line | None:
        page = self._page
        if page is not None and not self._talking:
            missing = page.block.missing() if page.block.frames else list(range(MAX_BLOCK))
            self._events.append(PageRepeated(self._number, min(len(missing), page.block.expected), "frames missing"))
            self._answer(Fcf.PPR, encode_request(missing, page.block.expected))
            page.block.asked_for = True
            self._fresh = False
            if self._answered is not None and self._answered.fcf is not Fcf.PPS:
                self._answered = None  # PPS counts pages; the same EOR about this one would be another command
        return None

    def _say_again(self) -> Line | None:
        """The answer to this command was lost: say it once more, unless it is on its way."""
        self._fresh = False
        if not self._talking:
            self._answer(self._given)
        return None

    def _recall(self) -> Line | None:
        """RR, CRP: say our last answer once more. What has come since has none yet: saying it would confirm that."""
        if self._answer_said and not self._talking and self._heard_nothing():
            for octets in self._answer_said:
                self._note_said((Frame.decode(octets),))
            self._say(SendFrames(self._answer_said))
        return None


def _plain(post: Fcf | None) -> Fcf | None:
    """A post-message command without its operator."""
    return WITHOUT_OPERATOR.get(post, post) if post is not None else None


def _same_format(one: Agreement | None, other: Agreement | None) -> bool:
    """True when frames received under one may be completed under the other."""
    if one is None or other is None:
        return False
    return replace(one, modem=other.modem, internet_aware=other.internet_aware) == other
