"""One call's own logic: from the offer to the last BYE, pure.

Owns      what to answer and when to switch to T.38, the audio before it, the source lock of the media, the joint
          between T.30 engine and T.38 line, and the outcome of the call.
Not here  sockets, clocks, files and threads (call.py); SIP messages and their timers (transports/sip); SDP
          (transports/sip/negotiation.py); the fax itself (t30/).
Source    switch-over as deployed: T.38 (09/2010) Annex D; timing of ours is in `LegOptions`.

In: `signal` (SIP events), `receive` (media datagrams), `command` (orders), `handle_timeout`.
Out: `take_sip`, `take_datagrams`, `take_events`, `next_timeout`.
"""

import math
from dataclasses import replace
from enum import Enum, auto
from typing import Final

from vfax import verdict
from vfax.errors import DecodeError
from vfax.leg_values import (
    Accept,
    AcceptOffer,
    Answer,
    CallerOffer,
    CallUp,
    Decline,
    Dial,
    Finished,
    HangUp,
    Invite,
    LegEvent,
    LegOptions,
    LegOrder,
    Offer,
    Rang,
    Refuse,
    RefuseOffer,
    Ring,
    SipOrder,
    Switched,
)
from vfax.outcome import Cause, Outcome, Phase, Retry
from vfax.t30 import values as t30
from vfax.t30.engine import T30Engine
from vfax.transports.parameters import RateManagement
from vfax.transports.rtp import AudioSender, looks_like_rtp
from vfax.transports.sip import values as sip
from vfax.transports.sip.negotiation import (
    AgreedMedia,
    AudioMedia,
    Declined,
    MediaKind,
    MediaSession,
    T38Media,
    Unacceptable,
)
from vfax.transports.sip.values import Address
from vfax.transports.t38 import T38Line

__all__ = [
    "Accept",
    "AcceptOffer",
    "Answer",
    "CallUp",
    "CallerOffer",
    "Decline",
    "Dial",
    "Finished",
    "HangUp",
    "Invite",
    "Leg",
    "LegEvent",
    "LegOptions",
    "LegOrder",
    "Offer",
    "Rang",
    "Refuse",
    "RefuseOffer",
    "Ring",
    "SipOrder",
    "Switched",
]


class S(Enum):
    """Where the leg is: named for what it waits for."""

    IDLE = auto()  # an order: Dial, or Accept for an incoming call
    AWAIT_ANSWER = auto()
    AWAIT_ACK = auto()  # audio answered, dialog not confirmed
    AUDIO = auto()  # the switch-over
    AWAIT_SWITCH = auto()  # the answer to our re-INVITE
    REFUSED = auto()  # their offer, after ours was refused
    FAX = auto()
    DONE = auto()


REFUSED_T38: Final = frozenset({415, 488, 606})
WAITING_MEDIA: Final = frozenset({S.AWAIT_ACK, S.AUDIO, S.AWAIT_SWITCH, S.REFUSED})


class Leg:
    """One call. `incoming` is the INVITE's event for a called leg, None for a calling one.

    `pages` is what a calling leg sends. `seeds` are (ssrc, sequence, timestamp) of the audio before the switch.
    """

    def __init__(
        self,
        options: LegOptions,
        media: MediaSession,
        *,
        incoming: sip.IncomingCall | None = None,
        pages: tuple[t30.PageInfo, ...] = (),
        seeds: tuple[int, int, int] = (0, 0, 0),
        now: float,
    ) -> None:
        self._options = options
        self._media = media
        self._incoming = incoming
        self._pages = pages
        self._seeds = seeds
        self._state = S.IDLE
        self._began = now
        self._deadline = math.inf  # of the state
        self._give_up_at = math.inf  # of the phase before T.38
        self._cut_at = math.inf  # of an abort
        self._why_cut = ""
        self._refusal: sip.OfferRefused | None = None
        self._audio: AudioSender | None = None
        self._line: T38Line | None = None
        self._engine: T30Engine | None = None
        self._remote: Address | None = None
        self._locked: Address | None = None
        self._offered_t38 = False
        self._sip: list[SipOrder] = []
        self._events: list[LegEvent] = []
        self._datagrams: list[tuple[bytes, Address]] = []
        self.strangers = 0  # datagrams from elsewhere
        self.early = 0  # datagrams that came while no T.38 ran, and audio still in flight

    # --- out -------------------------------------------------------------------------------------

    def take_sip(self) -> list[SipOrder]:
        """Orders for the SIP agent since last asked."""
        taken, self._sip = self._sip, []
        return taken

    def take_events(self) -> list[LegEvent]:
        """Events since last asked; `Finished` is the last ever."""
        taken, self._events = self._events, []
        return taken

    def take_datagrams(self) -> list[tuple[bytes, Address]]:
        """Media to send since last asked."""
        taken, self._datagrams = self._datagrams, []
        return taken

    def next_timeout(self) -> float:
        """When `handle_timeout` wants to be called; `math.inf` for never."""
        if self._state is S.DONE:
            return math.inf
        due = min(self._deadline, self._give_up_at, self._cut_at)
        if self._audio is not None:
            due = min(due, self._audio.next_timeout())
        if self._line is not None and self._engine is not None:
            due = min(due, self._line.next_timeout(), self._engine.next_timeout())
        return due

    @property
    def line(self) -> T38Line | None:
        """The T.38 line once it runs; its counters belong into the journal."""
        return self._line

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
            case Decline(status):
                self._sip.append(Refuse(status))
                self._finish(Outcome(cause=Cause.ABORTED, phase=Phase.CALL, sip_status=status), now)
            case t30.Abort(why):
                self._abort(why, now)
            case t30.LineDown():
                self._line_down(Cause.PEER_HUNG_UP, "", now)
            case _:
                if self._engine is not None:
                    self._engine.command(order, now)
                    self._pump(now)

    def receive(self, datagram: bytes, source: Address, now: float) -> None:
        """Take one datagram from the media socket."""
        line = self._line
        if line is None:
            self.early += 1
            return
        if source != self._locked and not self._lock(datagram, source, now):
            return
        line.receive(datagram, now)
        self._pump(now)

    def signal(self, event: sip.SipEvent, now: float) -> None:
        """Take one event of the SIP agent that belongs to this call."""
        if self._state is S.DONE:
            return
        match event:
            case sip.Progress(status=status):
                if status in (180, 181, 182, 183):
                    self._events.append(Rang())
            case sip.Answered(sdp=sdp):
                self._answered(sdp, now)
            case sip.Confirmed(sdp=sdp):
                self._confirmed(sdp, now)
            case sip.Refused():
                self._refused(event, now)
            case sip.Reoffered(sdp=sdp):
                self._reoffered(sdp, now)
            case sip.OfferAccepted(sdp=sdp):
                self._offer_accepted(sdp, now)
            case sip.OfferRefused():
                self._offer_refused(event, now)
            case sip.HungUp(reason=reason) | sip.DialogLost(reason=reason) | sip.Cancelled(reason=reason):
                cause = Cause.NETWORK if isinstance(event, sip.DialogLost) else Cause.PEER_HUNG_UP
                self._line_down(cause, reason, now)
            case _:
                pass

    def handle_timeout(self, now: float) -> None:
        """Let time pass: send what is due, end what has waited too long."""
        if self._state is S.DONE:
            return
        if self._audio is not None and now >= self._audio.next_timeout():
            self._audio.handle_timeout(now)
            self._send_audio()
        if self._line is not None and self._engine is not None:
            if now >= self._line.next_timeout():
                self._line.handle_timeout(now)
            if now >= self._engine.next_timeout():
                self._engine.handle_timeout(now)
            self._pump(now)
        if now >= self._cut_at:
            self._finish_cut(now)
        elif now >= self._give_up_at:
            self._give_up(now)
        elif now >= self._deadline:
            self._state_timeout(now)

    # --- beginning -------------------------------------------------------------------------------

    def _dial(self, now: float) -> None:
        self._offered_t38 = self._options.caller_offer is CallerOffer.T38
        self._invite(now)

    def _invite(self, now: float) -> None:
        self._sip.append(Invite(self._media.offer_t38() if self._offered_t38 else self._media.offer_audio()))
        self._state = S.AWAIT_ANSWER
        self._deadline = now + self._options.answer_limit

    def _accept(self, now: float) -> None:
        if self._incoming is None or self._state is not S.IDLE:
            return
        if not self._incoming.offer:  # late offer: audio first, T.38 by re-INVITE
            self._sip.append(Answer(self._media.offer_audio()))
            self._begin_audio(None, S.AWAIT_ACK, now)
            return
        try:
            answer = self._media.answer(self._incoming.offer, want=MediaKind.ANY)
        except (Unacceptable, DecodeError) as why:
            status = why.status if isinstance(why, Unacceptable) else 400
            self._sip.append(Refuse(status))
            self._finish(
                Outcome(cause=Cause.INCOMPATIBLE, phase=Phase.CALL, sip_status=status),
                now,
                f"The caller's offer cannot be answered: {why}",
            )
            return
        self._sip.append(Answer(answer.sdp))
        self._take_media(answer.media, S.AWAIT_ACK, now)

    def _answered(self, sdp: bytes, now: float) -> None:
        if self._state is not S.AWAIT_ANSWER:
            return
        try:
            media = self._media.read_answer(sdp)
        except DecodeError as why:
            self._hang_up_with(Cause.NETWORK, f"the SDP answer cannot be read: {why}", now)
            return
        self._take_media(media, S.AUDIO, now)

    def _confirmed(self, sdp: bytes, now: float) -> None:
        if self._state is not S.AWAIT_ACK:
            return
        if sdp:
            try:
                media = self._media.read_answer(sdp)
            except DecodeError as why:
                self._hang_up_with(Cause.NETWORK, f"the SDP in the ACK cannot be read: {why}", now)
                return
            if isinstance(media, AudioMedia):
                self._begin_audio(media, S.AUDIO, now)
        self._state = S.AUDIO
        self._deadline = now + self._options.called_switch_after

    def _refused(self, event: sip.Refused, now: float) -> None:
        if self._offered_t38 and event.heard and event.status in REFUSED_T38 and self._options.caller_retries_audio:
            self._offered_t38 = False
            self._media.revert()
            self._invite(now)
            return
        cause = verdict.cause_of_sip(event.status, t38_offered=self._offered_t38) if event.heard else Cause.NETWORK
        outcome = Outcome(cause=cause, phase=Phase.CALL, sip_status=event.status if event.heard else None)
        self._finish(outcome, now, event.reason)

    # --- media -----------------------------------------------------------------------------------

    def _take_media(self, media: AgreedMedia, audio_state: S, now: float) -> None:
        match media:
            case T38Media():
                self._events.append(CallUp("t38"))
                self._begin_fax(media, now)
            case AudioMedia():
                self._events.append(CallUp("audio"))
                self._begin_audio(media, audio_state, now)
            case Declined(why):
                self._hang_up_with(Cause.T38_REFUSED, why, now)

    def _begin_audio(self, media: AudioMedia | None, state: S, now: float) -> None:
        if media is not None:
            ssrc, sequence, timestamp = self._seeds
            self._remote = None if media.held else media.remote
            self._audio = AudioSender(media.payload_type, ssrc=ssrc, sequence=sequence, timestamp=timestamp, now=now)
            if self._incoming is not None:
                self._audio.play_ced(now)
        self._state = state
        self._give_up_at = min(self._give_up_at, now + self._options.audio_limit)
        after = self._options.called_switch_after if self._incoming is not None else self._options.caller_switch_after
        self._deadline = math.inf if state is S.AWAIT_ACK else now + after

    def _begin_fax(self, media: T38Media, now: float) -> None:
        """T.38 runs from here; T.30 begins its phase B (it is not restarted by a later offer)."""
        self._audio = None
        self._remote = None if media.held else media.remote
        self._locked = None
        self._events.append(Switched(media.remote, media.parameters))
        if self._line is not None:
            self._line.renegotiate(media.parameters, now)
            return
        self._state = S.FAX
        self._deadline = self._give_up_at = math.inf
        local_tcf = media.parameters.rate_management is RateManagement.LOCAL_TCF
        rate_bps = min(self._options.fax.max_rate_bps, media.parameters.max_bit_rate_bps)
        fax = replace(self._options.fax, local_tcf=local_tcf, max_rate_bps=rate_bps)
        self._line = T38Line(media.parameters, self._options.line, now=now)
        called = self._incoming is not None
        role = t30.Role.CALLED if called else t30.Role.CALLER
        self._engine = T30Engine(role, sending=not called, options=fax, now=now)
        if not called:
            self._engine.command(t30.SendDocument(self._pages), now)
        self._engine.command(t30.LineUp(), now)
        self._pump(now)

    def _lock(self, datagram: bytes, source: Address, now: float) -> bool:
        """Decide about the first datagram of a source; afterwards one comparison does."""
        line, remote = self._line, self._remote
        if line is None or remote is None or looks_like_rtp(datagram):
            self.early += 1
            return False
        if source != remote:
            known_host = source[0] == remote[0] or self._options.learn_source
            # Quirk: some gateways send T.38 from another port than their SDP names; believe the first that makes sense.
            if self._locked is not None or not known_host or not line.understands(datagram):
                self.strangers += 1
                return False
        self._locked = source
        self._remote = source
        return True

    def _send_audio(self) -> None:
        if self._audio is not None and self._remote is not None:
            remote = self._remote
            self._datagrams.extend((packet, remote) for packet in self._audio.take_output())

    # --- switch-over -----------------------------------------------------------------------------

    def _reoffered(self, sdp: bytes, now: float) -> None:
        if not sdp:
            self._sip.append(AcceptOffer(self._media.refresh()))
            return
        want = MediaKind.T38 if self._state is S.FAX else MediaKind.ANY
        try:
            answer = self._media.answer(sdp, want=want)
        except Unacceptable as why:
            self._sip.append(RefuseOffer(why.status))
            return
        except DecodeError:
            self._sip.append(RefuseOffer(400))
            return
        self._sip.append(AcceptOffer(answer.sdp))
        match answer.media:
            case T38Media():
                self._begin_fax(answer.media, now)
            case AudioMedia():
                self._remote = None if answer.media.held else answer.media.remote
            case Declined():
                pass

    def _offer_t38(self, now: float) -> None:
        self._sip.append(Offer(self._media.offer_t38()))
        self._state = S.AWAIT_SWITCH
        self._deadline = math.inf  # the agent bounds a re-INVITE; `_give_up_at` bounds the rest

    def _offer_accepted(self, sdp: bytes, now: float) -> None:
        if self._state is not S.AWAIT_SWITCH:
            return  # a late second 200, or their own offer was accepted meanwhile
        try:
            media = self._media.read_answer(sdp)
        except DecodeError as why:
            self._hang_up_with(Cause.NETWORK, f"the SDP answer cannot be read: {why}", now)
            return
        match media:
            case T38Media():
                self._begin_fax(media, now)
            case AudioMedia():
                self._offer_refused(sip.OfferRefused(0, 200, "the answer holds audio only"), now)
            case Declined(reason):
                self._offer_refused(sip.OfferRefused(0, 200, reason), now)

    def _offer_refused(self, event: sip.OfferRefused, now: float) -> None:
        if self._state is not S.AWAIT_SWITCH:
            return
        self._media.revert()
        self._refusal = event
        self._state = S.REFUSED
        self._deadline = now + self._options.refused_grace

    # --- ending ----------------------------------------------------------------------------------

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

    def _give_up(self, now: float) -> None:
        if self._refusal is None:
            self._hang_up_with(Cause.NOT_FAX, "no T.38 was agreed while the audio call was up", now)
            return
        refusal = self._refusal
        self._sip.append(HangUp("T.38 refused"))
        outcome = Outcome(cause=Cause.T38_REFUSED, phase=Phase.CALL, sip_status=refusal.status)
        self._finish(outcome, now, refusal.reason)

    def _hang_up_with(self, cause: Cause, why: str, now: float) -> None:
        self._sip.append(HangUp(why))
        self._finish(Outcome(cause=cause, phase=Phase.CALL), now, why)

    def _abort(self, why: str, now: float) -> None:
        self._cut_at = min(self._cut_at, now + self._options.abort_limit)
        self._why_cut = why
        if self._engine is not None:
            self._engine.command(t30.Abort(why), now)
            self._pump(now)
        else:
            self._finish_cut(now)

    def _finish_cut(self, now: float) -> None:
        """The abort is due: the dialog goes now, whatever T.30 still wanted to say."""
        if self._engine is not None:
            self._engine.command(t30.LineDown(), now)
            self._take_engine_events(now)
        if self._state is not S.DONE:
            self._sip.append(HangUp(self._why_cut))
            self._finish(Outcome(cause=Cause.ABORTED, phase=Phase.CALL), now, self._why_cut)

    def _line_down(self, cause: Cause, reason: str, now: float) -> None:
        if self._engine is None:
            if self._refusal is not None:
                outcome = Outcome(cause=Cause.T38_REFUSED, phase=Phase.CALL, sip_status=self._refusal.status)
                self._finish(outcome, now, self._refusal.reason)
            else:
                self._finish(Outcome(cause=cause, phase=Phase.CALL), now, reason)
            return
        self._engine.command(t30.LineDown(), now)
        self._take_engine_events(now)

    def _pump(self, now: float) -> None:
        """Carry what engine and line have for each other until both are silent."""
        line, engine = self._line, self._engine
        if line is None or engine is None:
            return
        while True:
            signals = line.take_signals()
            for heard in signals:
                engine.receive(heard, now)
            orders = engine.take_output()
            for order in orders:
                line.transmit(order, now)
            if not orders and not signals:
                break
        remote = self._remote
        if remote is not None:
            for datagram in line.take_output():
                self._datagrams.append((datagram, remote))
        self._take_engine_events(now)

    def _take_engine_events(self, now: float) -> None:
        if self._engine is None:
            return
        for event in self._engine.take_events():
            if isinstance(event, t30.Ended):
                self._sip.append(HangUp(""))
                self._finish(event.outcome, now)
                return
            self._events.append(event)

    def _finish(self, outcome: Outcome, now: float, evidence: str = "") -> None:
        if self._state is S.DONE:
            return
        if self._why_cut:
            outcome = replace(outcome, cause=_cut_cause(outcome))
        retry = outcome.retry
        if outcome.phase is Phase.CALL and retry is Retry.NEVER:
            retry = verdict.advice(outcome.cause, outcome.sip_status)
        outcome = replace(outcome, duration=now - self._began, retry=retry)
        sentence = verdict.explain(outcome, sending=self._incoming is None, evidence=evidence or outcome.sentence)
        self._state = S.DONE
        self._audio = None
        self._events.append(Finished(replace(outcome, sentence=sentence)))


def _cut_cause(outcome: Outcome) -> Cause:
    """An abort that came too late does not undo a fax that was complete."""
    return Cause.COMPLETE if outcome.ok else Cause.ABORTED
