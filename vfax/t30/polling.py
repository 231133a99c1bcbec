"""Polling: the called side has a document, the caller asks for it.

Owns      what the two ends do up to DTC: `Offering` is the called side, with or without a document, `Poller` the
          caller.
Not here  what follows: the called side goes on as a `Sender`, the caller is a receiver from DTC on.
Source    T.30 (09/2005) 5.2 (DTC, CIG, PWD, SEP) and Table 2, bits 9, 10, 47 and 50.
"""

from dataclasses import replace

from vfax.codecs.dis import Capabilities
from vfax.codecs.frames import Fcf, Frame, encode_identity
from vfax.errors import DecodeError
from vfax.outcome import Cause
from vfax.signals import SendFrames, SendTone, Tone
from vfax.t30.options import T30Options
from vfax.t30.receiver import Receiver
from vfax.t30.sender import Sender
from vfax.t30.tables import AWAITED_POLLED, AWAITED_POLLING, OFFER, POLL, POLLED, Do, Line, S, Timer
from vfax.t30.turns import dialable
from vfax.t30.values import Addressing, Order, Poll, SendDocument


class PolledSender(Sender):
    """The called side once DTC came."""

    def __init__(self, options: T30Options, document: SendDocument, asked: "Offering", asks: Frame) -> None:
        super().__init__(options, now=asked._now, table=POLLED)
        self._awaited = AWAITED_POLLED
        self._succeed(asked)
        self.load(document)
        self.state = S.AWAIT_DIS
        self._heed(asks)


class Offering(Receiver):
    """The called side: it receives what a caller brings, or lets its document be taken, whichever the caller wants.

    With `receives` False it has nothing to offer but its document.
    """

    def __init__(self, options: T30Options, *, receives: bool, now: float) -> None:
        super().__init__(options, now=now, table=OFFER)
        self._receives = receives
        self._document: SendDocument | None = None
        self._actions |= {Do.CHECK_POLL: self._check_poll, Do.HAND_OVER: self._pass_on}

    def _on_order(self, order: Order) -> None:
        if isinstance(order, SendDocument):
            if self.state is S.IDLE:
                self._document = order if 1 <= order.first <= len(order.pages) else None
            return
        super()._on_order(order)

    def _offered(self) -> Capabilities:
        can = replace(super()._offered(), receives=self._receives)
        document = self._document
        if document is None:
            return can
        kept_under = document.addressing
        return replace(
            can,
            has_document=True,
            selective_polling=bool(dialable(kept_under.poll_address)),
            password=can.password or bool(dialable(kept_under.poll_password)),
        )

    def _accept_dcs(self) -> Line | None:
        if self._receives:
            return super()._accept_dcs()
        self._evidence = "the caller wants to send, and here is only a document to be polled"
        return Line.UNFIT

    def _check_poll(self) -> Line | None:
        """DTC: whether the document may go to this caller. Without a document it says nothing to us.

        Limit: a call has one direction; who has sent pages gets none, so that these remain what the outcome is about.
        """
        document = self._document
        if document is None:
            return None
        if self._number > 1 or self._aside is not None:
            self._evidence = "the caller polled after it had sent pages"
            return Line.UNAUTHORISED
        asked = (self._addressed.get(Fcf.SEP, ""), self._addressed.get(Fcf.PWD, ""))
        wanted = (document.addressing.poll_address, document.addressing.poll_password)
        for word, said, due in zip(("document (SEP)", "password (PWD)"), asked, wanted, strict=True):
            if dialable(due) and not said and self._torn_burst:
                return None  # it may have been said: DIS, and it comes again
            if dialable(due) and said != dialable(due):
                self._evidence = f"the caller polled with {'another' if said else 'no'} {word}"
                return Line.UNAUTHORISED
        return Line.POLLED

    def _pass_on(self) -> Line | None:
        if self._document is not None:
            self.successor = PolledSender(self._options, self._document, self, self._frame)
        return None


class Poller(Receiver):
    """The caller that receives: it says DTC where a called side says DIS."""

    def __init__(self, options: T30Options, *, now: float) -> None:
        super().__init__(options, now=now, table=POLL)
        self._awaited = AWAITED_POLLING
        self._addressing = Addressing()
        self._peer = Capabilities()
        self._tries = 0
        self._actions |= {
            Do.CALL: self._call,
            Do.SAY_CNG: self._say_cng,
            Do.CHECK_OFFER: self._check_offer,
            Do.COUNT_TRY: self._count_try,
        }

    def _on_order(self, order: Order) -> None:
        if isinstance(order, Poll):
            if self.state is S.IDLE:
                self._addressing = order.addressing
            return
        super()._on_order(order)

    def _call(self) -> Line | None:
        self._start(Timer.T1, self._timers.t1)
        return self._say_cng()

    def _say_cng(self) -> Line | None:
        self._say(SendTone(Tone.CNG))
        return None

    def _check_offer(self) -> Line | None:
        """DIS: is there anything to be polled?"""
        try:
            self._peer = Capabilities.decode(self._frame.info)
        except DecodeError:
            return None
        self._x = True
        if not self._peer.has_document:
            self._evidence = "the other machine has no document to be polled"
            return Line.UNFIT
        self._due.pop(Timer.T1, None)
        self._progress()
        return Line.AGREED

    def _say_dis(self) -> Line | None:
        """[CIG, PWD, SEP] DTC."""
        self._tries = max(1, self._tries)
        self._set_pace(paced=True)
        ask = self._addressing
        frames: list[Frame] = []
        if self._options.local_id:
            frames.append(Frame(Fcf.CIG, encode_identity(self._options.local_id), final=False))
        frames += self._addresses(
            (Fcf.PWD, ask.poll_password, self._peer.password),
            (Fcf.SEP, ask.poll_address, self._peer.selective_polling),
        )
        self._hush()
        self._say(SendFrames(self._note_said((*frames, Frame(Fcf.DTC, self._offered().encode())))))
        return None

    def _accept_dcs(self) -> Line | None:
        self._tries = 0
        return super()._accept_dcs()

    def _refined(self, cause: Cause) -> Cause:
        """DCN in answer to our first DTC: the other machine does not give its document to us."""
        refused = cause is Cause.PEER_DISCONNECTED and self._tries > 0 and self._agreement is None
        return Cause.REJECTED if refused else super()._refined(cause)

    def _count_try(self) -> Line | None:
        self._tries += 1
        if self._tries > self._options.tries:
            self._evidence = f"no answer to DTC, said {self._options.tries} times"
            return Line.TRIES_OUT
        return Line.TRY_AGAIN
