"""What runs while a call is up: audio until T.38, offers and answers of both sides, the move of the media; pure.

Owns      when T.38 is offered, what offers and answers in the dialog mean for the media, when these move.
Not here  how the call begins (leg.py) and ends (leg_core.py); SDP (transports/sip/negotiation.py).
Source    switch-over as deployed: T.38 (09/2010) Annex D; offers and answers RFC 3264; timing is in `LegOptions`.
"""

import math
from typing import Final

from vfax.errors import DecodeError
from vfax.leg_core import LegCore, S
from vfax.leg_values import (
    AcceptOffer,
    DtlsOffered,
    DtlsUp,
    Offer,
    Refresh,
    RefuseOffer,
    StreamAgreed,
    StreamOffered,
    SwitchBy,
    Switched,
    SwitchedBy,
    SwitchRefused,
)
from vfax.outcome import Cause
from vfax.transports.parameters import Transport
from vfax.transports.rtp import looks_like_rtp
from vfax.transports.sip import values as sip
from vfax.transports.sip.negotiation import AgreedMedia, AudioMedia, Declined, MediaKind, T38Media, Unacceptable
from vfax.transports.sip.values import Address
from vfax.transports.udptl import DEFAULT_MAX_DATAGRAM

REFUSED_T38: Final = frozenset({400, 403, 406, 415, 488, 500, 501, 580, 606})
"""Failures of an INVITE that offers T.38 alone after which an audio call may do: some say so because of the image line
(T.38 implementers' practice: 488, 606, 415, 403, 501; gateways that cannot parse it: 400, 500)."""

REQUEST_PENDING: Final = 491
OK: Final = 200
T38_RUNS: Final = frozenset({S.SECURING, S.FAX})
OFFER_AGAIN: Final = 2.0
"""Seconds from an offer of the peer that took the place of ours (RFC 3261 14.1) to our next."""


class LegSwitch(LegCore):
    """The part of a leg from its first answer to T.38, and through whatever is offered anew; `Leg` begins it."""

    # --- waiting for T.38 --------------------------------------------------------------------------

    def _await_switch(self, state: S, now: float) -> None:
        """Audio runs until one side offers T.38; ours, where it is our turn, goes out after a while from the ACK on."""
        options, called = self._options, self._incoming is not None
        self._state = state
        self._give_up_at = min(self._give_up_at, now + options.audio_limit)
        after = options.called_switch_after if called else options.caller_switch_after
        ours = options.switch_by in (SwitchBy.EITHER, SwitchBy.CALLED if called else SwitchBy.CALLER)
        self._deadline = now + after if ours and state is not S.AWAIT_ACK else math.inf

    def _t38_offer(self, now: float) -> bytes:
        if self._session.offers_dtls:
            self._note(DtlsOffered(self._session.needs_dtls), now)
        elif self._session.offers_stream:
            self._note(StreamOffered(), now)
        return self._session.offer_t38()

    def _read_answer(self, sdp: bytes, what: str, now: float) -> AgreedMedia | None:
        """What the answer agrees to; one that cannot be read ends the call."""
        try:
            return self._session.read_answer(sdp)
        except DecodeError as why:
            self._hang_up_with(Cause.NETWORK, f"the {what} cannot be read: {why}", now, status=200)
            return None

    # --- T.38 --------------------------------------------------------------------------------------

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
