"""One call's own logic: from the offer to the last BYE, pure.

Owns      what begins a call, dialled or answered, and what each event of the dialog means for it.
Not here  offers and answers once it is up, the switch-over (leg_switch.py); its state and its end (leg_core.py);
          sockets, clocks, files and threads (runner.py); SIP messages and their timers (transports/sip); SDP
          (transports/sip/negotiation.py); the media themselves (leg_media.py); the fax itself (t30/).

In: `signal` (SIP events), `receive` (media datagrams), `command` (orders), `handle_timeout`.
Out: `take_sip`, `take_datagrams`, `take_events`, `next_timeout`.
"""

import math
from contextlib import suppress
from typing import Final

from vfax import verdict
from vfax.errors import DecodeError
from vfax.leg_core import S
from vfax.leg_switch import OK, REFUSED_T38, LegSwitch
from vfax.leg_values import (
    Accept,
    AcceptOffer,
    Answer,
    CallerOffer,
    CallUp,
    Dial,
    DtlsAgreed,
    DtlsFailed,
    DtlsOffered,
    DtlsRefused,
    DtlsUp,
    Finished,
    HangUp,
    InternetAware,
    Invite,
    LegEvent,
    LegOptions,
    LegOrder,
    Offer,
    Opening,
    Rang,
    Refresh,
    Refuse,
    RefuseOffer,
    SipOrder,
    StreamAgreed,
    StreamLost,
    StreamOffered,
    SwitchBy,
    Switched,
    SwitchedBy,
    SwitchRefused,
)
from vfax.outcome import Cause, Outcome, Phase
from vfax.t30 import values as t30
from vfax.transports.sip import values as sip
from vfax.transports.sip.negotiation import (
    AgreedMedia,
    AudioMedia,
    Declined,
    MediaKind,
    T38Media,
    Unacceptable,
)
from vfax.transports.sip.reason import q850_in
from vfax.transports.sip.values import Address

__all__ = [
    "Accept",
    "AcceptOffer",
    "Answer",
    "CallUp",
    "CallerOffer",
    "Dial",
    "DtlsAgreed",
    "DtlsFailed",
    "DtlsOffered",
    "DtlsRefused",
    "DtlsUp",
    "Finished",
    "HangUp",
    "InternetAware",
    "Invite",
    "Leg",
    "LegEvent",
    "LegOptions",
    "LegOrder",
    "Offer",
    "Opening",
    "Rang",
    "Refresh",
    "Refuse",
    "RefuseOffer",
    "SipOrder",
    "StreamAgreed",
    "StreamLost",
    "StreamOffered",
    "SwitchBy",
    "SwitchRefused",
    "Switched",
    "SwitchedBy",
]


RINGING: Final = frozenset({180, 181, 182, 183})

MAX_BRANCHES: Final = 16
"""Limit: branches of one call that may answer before it is taken."""


class Leg(LegSwitch):
    """One call. `incoming` is the INVITE's event for a called leg, None for a calling one.

    A calling leg sends `document` (`pages` is one without addresses, from its first page), or asks for one with
    `poll`; a called leg with a document lets it be polled. `seeds` are (ssrc, sequence, timestamp) of the audio before
    the switch.
    """

    # --- in --------------------------------------------------------------------------------------

    def command(self, order: LegOrder, now: float) -> None:
        """Take one order. Orders that come after the end are harmless."""
        if self._state is S.DONE:
            return
        match order:
            case Dial():
                self._dial(now)
            case Accept():
                self._accept(now)
            case t30.Abort(why):
                self._abort(why, now)
            case t30.LineDown():
                self._cut("the call was cut off on this side", now)
            case StreamLost(why):
                self._lose_stream(why, now)
            case DtlsUp():
                self._secured(order, now)
            case DtlsFailed():
                self._not_secured(order, now)
            case _:
                if isinstance(order, t30.PageLost):
                    self.course.lose(order.number)
                self._media.order(order, now)
                self._tell(now)

    def receive(self, datagram: bytes, source: Address, now: float) -> None:
        """Take one datagram from the media socket."""
        if self._state is not S.DONE:
            if self._pending is not None and self._shows(self._pending, datagram, source):
                self._settle(now)
            self._media.receive(datagram, source, now)
            self._tell(now)

    def read_stream(self, octets: bytes, now: float) -> None:
        """Take what the connection of T.38 over TCP brought."""
        if self._state is not S.DONE:
            self._media.read_stream(octets, now)
            self._tell(now)
            if self.line is not None and self.line.broken:
                self._lose_stream(self.line.broken, now)

    def signal(self, event: sip.SipEvent, now: float) -> None:
        """Take one event of the SIP agent that belongs to this call."""
        if self._state is S.DONE:
            return
        match event:
            case sip.Progress():
                self._progress(event, now)
            case sip.Answered(user_agent=agent):
                self._media.peer_agent = agent
                self._answered(event, now)
            case sip.Confirmed(sdp=sdp):
                self._confirmed(sdp, now)
            case sip.Refused():
                self._refused(event, now)
            case sip.Reoffered():
                self._reoffered(event, now)
            case sip.OfferSettled():
                self._settle(now)
            case sip.OfferAccepted(sdp=sdp):
                self._offer_accepted(sdp, now)
            case sip.OfferRefused():
                self._offer_refused(event, now)
            case sip.RefreshDue():
                self._refresh()
            case sip.RefreshEnded(sdp=answer):
                self._end_refresh(answer, now)
            case sip.HungUp(reason=reason, reasons=reasons) | sip.Cancelled(reason=reason, reasons=reasons):
                q850 = q850_in(reasons)
                self._line_down(verdict.cause_of_end(q850), reason, now, q850)
            case sip.DialogLost(reason=reason):
                self._line_down(Cause.NETWORK, reason, now)
            case sip.Released():
                self._line_down(Cause.NETWORK, "the dialog is gone", now)
            case _:
                pass

    def handle_timeout(self, now: float) -> None:
        """Let time pass: send what is due, end what has waited too long."""
        if self._state is S.DONE:
            return
        self._media.handle_timeout(now)
        self._tell(now)
        if now >= self._cut_at:
            self._cut(self._why_cut, now)
        elif now >= self._give_up_at:
            self._give_up(now)
        elif now >= self._deadline:
            self._state_timeout(now)

    # --- beginning -------------------------------------------------------------------------------

    def _dial(self, now: float) -> None:
        self._offered_t38 = self._options.caller_offer is CallerOffer.T38
        self._invite(now)

    def _invite(self, now: float) -> None:
        self._sip.append(Invite(self._t38_offer(now) if self._offered_t38 else self._session.offer_audio()))
        self._state = S.AWAIT_ANSWER
        self._deadline = now + self._options.answer_limit

    def _accept(self, now: float) -> None:
        if self._incoming is None or self._state is not S.IDLE:
            return
        if not self._incoming.offer:  # late offer: audio first, T.38 by re-INVITE
            self._sip.append(Answer(self._session.offer_audio()))
            self._note(CallUp("audio"), now)
            self._await_switch(S.AWAIT_ACK, now)
            return
        try:
            answer = self._session.answer(self._incoming.offer, want=MediaKind.ANY)
        except (Unacceptable, DecodeError) as why:
            status = why.status if isinstance(why, Unacceptable) else 400
            self._sip.append(Refuse(status))
            outcome = Outcome(cause=Cause.REJECTED, phase=Phase.CALL, sip_status=status)
            self._finish(outcome, now, f"its offer cannot be answered: {why}")
            return
        self._sip.append(Answer(answer.sdp))
        # At once: who answers may send (RFC 3264 6), and no media ran before that this could lose.
        self._begin(answer.media, S.AWAIT_ACK, now)

    def _progress(self, event: sip.Progress, now: float) -> None:
        """It rings; a branch whose answer is settled keeps a session of its own until one of them takes the call."""
        if event.status in RINGING:
            self._note(Rang(), now)
        if event.settled and self._state is S.AWAIT_ANSWER and len(self._early) < MAX_BRANCHES:
            branch = self._session.branch()
            with suppress(DecodeError):  # then its 200 has nothing to say either, and the call ends there
                branch.read_answer(event.sdp)
            self._early[event.fork] = branch

    def _answered(self, event: sip.Answered, now: float) -> None:
        if self._state is not S.AWAIT_ANSWER:
            return
        branch = self._early.get(event.fork)
        self._early = {}
        if branch is not None:
            self._session = branch
            media: AgreedMedia | None = branch.media
        else:
            media = self._read_answer(event.sdp, "SDP answer", now)
        if media is not None:
            self._begin(media, S.AUDIO, now)

    def _refused(self, event: sip.Refused, now: float) -> None:
        if self._state is not S.AWAIT_ANSWER:
            return
        q850 = q850_in(event.reasons)
        self._early = {}
        refused = event.heard and (event.status in REFUSED_T38 or q850 in verdict.BEARER_REFUSED)
        if self._offered_t38 and refused and self._gives_way(event.status, event.reason, now):
            self._session.revert()
            self._invite(now)
            return
        if self._offered_t38 and refused and self._options.caller_retries_audio:
            self._offered_t38 = False
            self.opening.direct_refused = event.status
            self._session.revert()
            self._invite(now)
            return
        cause = Cause.NETWORK
        if event.heard:
            cause = verdict.cause_of_sip(event.status, t38_offered=self._offered_t38, q850=q850)
        outcome = Outcome(
            cause=cause,
            phase=Phase.CALL,
            sip_status=event.status if event.heard else None,
            q850=q850,
            retry_after=event.retry_after,
        )
        self._finish(outcome, now, event.reason)

    def _begin(self, media: AgreedMedia, audio_state: S, now: float) -> None:
        match media:
            case T38Media():
                self._note(CallUp("t38"), now)
                self._fax(media, SwitchedBy.CALL, now)
            case AudioMedia():
                self._note(CallUp("audio"), now)
                self._media.play(media, now)
                self._await_switch(audio_state, now)
            case Declined(why):
                if self._offered_t38 and self._gives_way(OK, why, now):
                    self._note(CallUp("nothing"), now)
                    self._await_switch(S.AUDIO, now)
                    self._deadline = now
                else:
                    self._hang_up_with(Cause.T38_REFUSED if self._offered_t38 else Cause.REJECTED, why, now)

    def _confirmed(self, sdp: bytes, now: float) -> None:
        """The ACK to a 200 of ours; with `sdp` it answers the offer in that 200."""
        if self._state is S.AWAIT_ACK:
            if sdp:
                media = self._read_answer(sdp, "SDP in the ACK", now)
                if media is None:
                    return
                if isinstance(media, AudioMedia):
                    self._media.play(media, now)
            self._await_switch(S.AUDIO, now)
        elif self._asked:
            self._asked = False
            self._take_late_answer(sdp, now)

    def _state_timeout(self, now: float) -> None:
        match self._state:
            case S.AUDIO:
                self._offer_t38(now)
            case S.REFUSED:
                self._give_up(now)
            case S.AWAIT_ANSWER:
                self._hang_up_with(Cause.NO_ANSWER, f"no answer within {self._options.answer_limit:.0f} s", now)
            case _:
                self._deadline = math.inf
