"""One call's own logic: from the offer to the last BYE, pure.

Owns      what to answer and when to switch to T.38, what each event of the dialog means for the fax.
Not here  the state of a call and its end (leg_core.py); sockets, clocks, files and threads (runner.py); SIP messages
          and their timers (transports/sip); SDP (transports/sip/negotiation.py); the media themselves (leg_media.py);
          the fax itself (t30/).
Source    switch-over as deployed: T.38 (09/2010) Annex D; timing of ours is in `LegOptions`.

In: `signal` (SIP events), `receive` (media datagrams), `command` (orders), `handle_timeout`.
Out: `take_sip`, `take_datagrams`, `take_events`, `next_timeout`.
"""

import math
from contextlib import suppress
from typing import Final

from vfax import verdict
from vfax.errors import DecodeError
from vfax.leg_core import LegCore, S
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
from vfax.transports.parameters import Transport
from vfax.transports.rtp import looks_like_rtp
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
from vfax.transports.udptl import DEFAULT_MAX_DATAGRAM

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
REFUSED_T38: Final = frozenset({400, 403, 406, 415, 488, 500, 501, 580, 606})
"""Failures of an INVITE that offers T.38 alone after which an audio call may do: some say so because of the image line
(T.38 implementers' practice: 488, 606, 415, 403, 501; gateways that cannot parse it: 400, 500)."""

MAX_BRANCHES: Final = 16
"""Limit: branches of one call that may answer before it is taken."""

REQUEST_PENDING: Final = 491
OK: Final = 200
T38_RUNS: Final = frozenset({S.SECURING, S.FAX})
OFFER_AGAIN: Final = 2.0
"""Seconds from an offer of the peer that took the place of ours (RFC 3261 14.1) to our next."""


class Leg(LegCore):
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

    def _t38_offer(self, now: float) -> bytes:
        if self._session.offers_dtls:
            self._note(DtlsOffered(self._session.needs_dtls), now)
        elif self._session.offers_stream:
            self._note(StreamOffered(), now)
        return self._session.offer_t38()

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

    def _await_switch(self, state: S, now: float) -> None:
        """Audio runs until one side offers T.38; ours, where it is our turn, goes out after a while from the ACK on."""
        options, called = self._options, self._incoming is not None
        self._state = state
        self._give_up_at = min(self._give_up_at, now + options.audio_limit)
        after = options.called_switch_after if called else options.caller_switch_after
        ours = options.switch_by in (SwitchBy.EITHER, SwitchBy.CALLED if called else SwitchBy.CALLER)
        self._deadline = now + after if ours and state is not S.AWAIT_ACK else math.inf

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

    def _read_answer(self, sdp: bytes, what: str, now: float) -> AgreedMedia | None:
        """What the answer agrees to; one that cannot be read ends the call."""
        try:
            return self._session.read_answer(sdp)
        except DecodeError as why:
            self._hang_up_with(Cause.NETWORK, f"the {what} cannot be read: {why}", now, status=200)
            return None

    # --- switch-over -----------------------------------------------------------------------------

    def _fax(self, media: T38Media, by: SwitchedBy, now: float) -> None:
        """T.38 runs from here, or goes on elsewhere; over DTLS when its association is made."""
        up = self._securing if isinstance(self._securing, DtlsUp) else None
        if media.dtls is not None and up is None:
            self._awaited_by = by if self._state is not S.SECURING else self._awaited_by
            self._secure(media, media.dtls, now)
            return
        if self.opening.by is SwitchedBy.NOBODY:
            answered_at = self.course.answered_at or 0.0
            self.opening.by, self.opening.after = by, now - self._began - answered_at
            self.opening.datagram_limit = self._datagram_limit(media)
        self._note(Switched(media.remote, media.parameters), now)
        if media.parameters.transport is Transport.TCP and not self._media.is_fax:
            self._note(self._stream_agreed(media), now)
        self._state = S.FAX
        self._deadline = self._give_up_at = math.inf
        self._media.fax(media, now, proved=None if up is None else up.remote)
        self._tell(now)

    def _secured(self, order: DtlsUp, now: float) -> None:
        if self._state is S.SECURING and self._awaited is not None:
            self._securing = order
            self._note(order, now)
            self._fax(self._awaited, self._awaited_by, now)

    def _datagram_limit(self, media: T38Media) -> int:
        if media.parameters.transport is Transport.TCP:
            return 0
        announced = media.parameters.max_datagram or DEFAULT_MAX_DATAGRAM
        return min(announced, self._options.line.max_datagram_sent or announced)

    def _stream_agreed(self, media: T38Media) -> StreamAgreed:
        options = self._options
        return StreamAgreed(media.remote, media.connect, options.tcp_connect, options.learn_source)

    def _reoffered(self, event: sip.Reoffered, now: float) -> None:
        """Their offer, or (without an SDP) their wish for ours. It has taken the place of an offer of ours."""
        sdp = event.sdp
        if self._state in (S.IDLE, S.AWAIT_ANSWER):
            self._reoffered_early(sdp, event.fork)
            return
        self._settle(now)  # who offers anew has had our last answer
        self._refreshing = False
        if self._state is S.AWAIT_SWITCH:
            self._state = S.AUDIO
            self._deadline = now + OFFER_AGAIN
        self._asked = not sdp
        if self._asked:
            self._sip.append(AcceptOffer(self._session.refresh()))
            return
        before = self._session.media
        fax_alone = self._state in T38_RUNS and not self._media.is_closing
        try:
            answer = self._session.answer(sdp, want=MediaKind.T38 if fax_alone else MediaKind.ANY)
        except (Unacceptable, DecodeError) as why:
            self._sip.append(RefuseOffer(why.status if isinstance(why, Unacceptable) else 400))
            return
        self._sip.append(AcceptOffer(answer.sdp))
        if answer.media == before:
            return
        if not event.acked:
            self._follow(answer.media, now)
            return
        self._pending = answer.media
        if isinstance(answer.media, T38Media):
            self._deadline = math.inf  # no offer of ours any more; the agent bounds how long the ACK may take

    def _settle(self, now: float) -> None:
        """Our answer has come: media go where it says. Not before: what was offered might have been forged."""
        if self._pending is not None:
            media, self._pending = self._pending, None
            self._follow(media, now)

    def _shows(self, media: AgreedMedia, datagram: bytes, source: Address) -> bool:
        """Whether a datagram tells that the peer has our answer: T.38 from where it is to come (RFC 3264 8.3.1)."""
        if not isinstance(media, T38Media) or self._media.is_fax or media.dtls is not None:
            return False
        return source == media.remote and not looks_like_rtp(datagram)

    def _reoffered_early(self, sdp: bytes, fork: str) -> None:
        """Their UPDATE in a branch whose answer is settled; the agent tells of no other offer before the call is up."""
        branch = self._early.get(fork)
        if branch is None:
            self._sip.append(RefuseOffer(REQUEST_PENDING, fork))
            return
        try:
            self._sip.append(AcceptOffer(branch.answer(sdp, want=MediaKind.ANY).sdp, fork))
        except (Unacceptable, DecodeError) as why:
            self._sip.append(RefuseOffer(why.status if isinstance(why, Unacceptable) else 400, fork))

    def _refresh(self) -> None:
        """Offer what runs once more, octet for octet; not while something else is being agreed (asked again later)."""
        if self._state in (S.AUDIO, S.FAX, S.REFUSED) and not self._asked and not self._refreshing:
            self._refreshing = True
            self._sip.append(Refresh(self._session.refresh()))

    def _end_refresh(self, sdp: bytes | None, now: float) -> None:
        if self._refreshing:
            self._refreshing = False
            self._take_late_answer(sdp or b"", now)

    def _take_late_answer(self, sdp: bytes, now: float) -> None:
        """The answer to the offer they asked for, or to a refresh. Without a readable one all stays as it was."""
        before = self._session.media
        try:
            media = self._session.read_answer(sdp)
        except DecodeError:
            self._session.revert()
            return
        # Quirk: a refresh answered from a stale cache (see MediaSession.refresh); what stays the same is not touched.
        if not isinstance(media, Declined) and media != before:
            self._follow(media, now)

    def _follow(self, media: AgreedMedia, now: float) -> None:
        """Let the media go where they now belong."""
        match media:
            case T38Media():
                self._fax(media, SwitchedBy.PEER, now)
            case AudioMedia() if not self._media.is_fax:
                self._media.play(media, now)
            case _:  # every stream was switched off; or it is audio again, after the last word of the fax
                self._media.hush()

    def _offer_t38(self, now: float) -> None:
        if (
            self._asked or self._refreshing or self._pending is not None
        ):  # an answer to another offer of ours is under way
            self._deadline = now + OFFER_AGAIN
            return
        self._sip.append(Offer(self._t38_offer(now)))
        self._state = S.AWAIT_SWITCH
        self._deadline = math.inf  # the agent bounds a re-INVITE; `_give_up_at` bounds the rest

    def _offer_accepted(self, sdp: bytes, now: float) -> None:
        if self._state is not S.AWAIT_SWITCH:
            return  # a late second 200, or their own offer was accepted meanwhile
        media = self._read_answer(sdp, "SDP answer", now)
        match media:
            case T38Media():
                self._fax(media, SwitchedBy.US, now)
            case AudioMedia():
                self._offer_refused(sip.OfferRefused(0, 200, "the answer holds audio only"), now)
            case Declined(reason):
                self._offer_refused(sip.OfferRefused(0, 200, reason), now)

    def _offer_refused(self, event: sip.OfferRefused, now: float) -> None:
        if self._state is not S.AWAIT_SWITCH:
            return
        self._session.revert()
        if event.status in (OK, *REFUSED_T38) and self._gives_way(event.status, event.reason, now):
            self._state = S.AUDIO
            self._deadline = now
            return
        self._refusal = event
        self.opening.ours_refused = event.status
        self._note(SwitchRefused(event.status, event.reason), now)
        self._state = S.REFUSED
        self._deadline = now + self._options.refused_grace

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
