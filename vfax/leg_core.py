"""What a call has and how it ends: the part of a leg that every step of it may need; pure.

Owns      the state of a leg, its queues and deadlines; what ends a call, and the outcome of that.
Not here  how a call begins and comes to T.38 (leg.py), the media themselves (leg_media.py), the fax itself (t30/).
"""

import math
from dataclasses import replace
from enum import Enum, auto
from typing import Final

from vfax import verdict
from vfax.course import Course
from vfax.leg_media import LegMedia
from vfax.leg_values import (
    DtlsAgreed,
    DtlsFailed,
    DtlsRefused,
    DtlsUp,
    Finished,
    HangUp,
    LegEvent,
    LegOptions,
    Opening,
    SipOrder,
    SwitchedBy,
)
from vfax.outcome import Cause, Outcome, Phase
from vfax.t30 import values as t30
from vfax.transports.parameters import DtlsTrouble
from vfax.transports.sip import values as sip
from vfax.transports.sip.negotiation import AgreedMedia, MediaSession, T38Media
from vfax.transports.sip.reason import Q850, Reason
from vfax.transports.sip.secure import DtlsMedia
from vfax.transports.sip.values import Address
from vfax.transports.t38 import T38Line


class S(Enum):
    """Where the leg is: named for what it waits for."""

    IDLE = auto()  # an order: Dial, or Accept for an incoming call
    AWAIT_ANSWER = auto()
    AWAIT_ACK = auto()  # audio answered, dialog not confirmed
    AUDIO = auto()  # the switch-over
    AWAIT_SWITCH = auto()  # the answer to our re-INVITE
    REFUSED = auto()  # their offer, after ours was refused
    SECURING = auto()  # the DTLS association of an agreed T.38
    FAX = auto()
    DONE = auto()


GOODBYES: Final[dict[Cause, int]] = {
    Cause.COMPLETE: 16,
    Cause.ABORTED: 16,
    Cause.BUSY: 17,
    Cause.NO_ANSWER: 19,
    Cause.REJECTED: 21,
    Cause.LINE_UNAVAILABLE: 34,
    Cause.NETWORK: 41,
    Cause.STORAGE: 47,
    Cause.T38_REFUSED: 65,
    Cause.NOT_FAX: 88,
    Cause.INCOMPATIBLE: 88,
    Cause.T1_EXPIRED: 102,
    Cause.NO_COMMAND: 102,
    Cause.NO_RESPONSE: 102,
    Cause.NO_CARRIER: 102,
}
"""What we say to the telephone network (Q.850) when a fax ends so; 31 (normal, unspecified) for all the others."""


def farewell(cause: Cause, why: str) -> str:
    """The Reason of our BYE or CANCEL, whose words are data for people."""
    return Reason(Q850, GOODBYES.get(cause, 31), why or cause.value).value


class LegCore:
    """State, queues and end of one call; `Leg` adds its course."""

    def __init__(
        self,
        options: LegOptions,
        session: MediaSession,
        *,
        incoming: sip.IncomingCall | None = None,
        pages: tuple[t30.PageInfo, ...] = (),
        document: t30.SendDocument | None = None,
        poll: t30.Poll | None = None,
        seeds: tuple[int, int, int] = (0, 0, 0),
        now: float,
    ) -> None:
        self._options = options
        self._session = session
        self._incoming = incoming
        called, agent = incoming is not None, "" if incoming is None else incoming.user_agent
        self._media = LegMedia(
            options, called=called, pages=pages, document=document, poll=poll, seeds=seeds, peer_agent=agent
        )
        self._state = S.IDLE
        self._began = now
        self._deadline = math.inf  # of the state
        self._give_up_at = math.inf  # of the phase before T.38
        self._cut_at = math.inf  # of an abort
        self._why_cut = ""
        self._refusal: sip.OfferRefused | None = None
        self._q850: int | None = None  # with which the dialog ended
        self.course = Course(calling=incoming is None, first=1 if document is None else max(1, document.first))
        self._offered_t38 = False
        self.opening = Opening()
        self._securing: DtlsUp | bool = False  # whether DTLS was begun for, and what came of it
        self._awaited: T38Media | None = None  # that runs when the association is made
        self._awaited_by = SwitchedBy.NOBODY
        self._asked = False  # they asked for our offer; the answer to it comes with the ACK
        self._pending: AgreedMedia | None = None  # answered, and moved to once the ACK has come
        self._refreshing = False  # what runs has been offered once more; the answer is under way
        self._early: dict[str, MediaSession] = {}  # of branches that have answered our offer before the call is taken
        self._sip: list[SipOrder] = []
        self._events: list[LegEvent] = []

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
        return self._media.take_datagrams()

    def next_timeout(self) -> float:
        """When `handle_timeout` wants to be called; `math.inf` for never."""
        if self._state is S.DONE:
            return math.inf
        return min(self._deadline, self._give_up_at, self._cut_at, self._media.next_timeout())

    @property
    def line(self) -> T38Line | None:
        """The T.38 line once it runs; its counters belong into the journal."""
        return self._media.line

    @property
    def heard_from(self) -> Address | None:
        """The one source whose T.38 is heard, once there is one."""
        return self._media.locked

    @property
    def strangers(self) -> int:
        """Datagrams from elsewhere."""
        return self._media.strangers

    @property
    def early(self) -> int:
        """Datagrams that came while no T.38 ran, and audio still in flight."""
        return self._media.early

    # --- encryption ------------------------------------------------------------------------------

    def _gives_way(self, status: int, reason: str, now: float) -> bool:
        """Whether what was refused is DTLS, as far as we can tell: then T.38 is to be offered without it."""
        given = self._session.give_way()
        if given:
            self.opening.dtls_refused = status
            self._note(DtlsRefused(status, reason), now)
        return given

    def _secure(self, media: T38Media, dtls: DtlsMedia, now: float) -> None:
        """Wait for the DTLS association; on hold there is nowhere to make it, so it is begun when that ends."""
        self._state = S.SECURING
        self._awaited = media
        self._deadline = math.inf  # the handshake has its own limit
        remote = self._media.secure(media)
        if not self._securing and media.held:
            self._give_up_at = min(self._give_up_at, now + self._options.audio_limit)
        elif not self._securing:
            self._securing = True
            self._give_up_at = math.inf
            self._note(DtlsAgreed(remote, dtls, self._options.learn_source), now)

    def _not_secured(self, order: DtlsFailed, now: float) -> None:
        if self._state is S.SECURING:
            self._note(order, now)
            self._hang_up_with(Cause.ENCRYPTION, order.why, now)

    # --- ending ----------------------------------------------------------------------------------

    def _give_up(self, now: float) -> None:
        if self._state is S.SECURING:
            self._not_secured(DtlsFailed(DtlsTrouble.FAILED, "T.38 was put on hold at once, and stayed so"), now)
        elif self._refusal is None:
            self._hang_up_with(Cause.NOT_FAX, "no T.38 was agreed while the audio call was up", now)
        else:
            self._sip.append(HangUp(farewell(Cause.T38_REFUSED, "T.38 refused")))
            self._finish_refused(self._refusal, now)

    def _finish_refused(self, refusal: sip.OfferRefused, now: float) -> None:
        """Our switch-over was refused; the usual advice, an audio call that switches later, is what this call was."""
        outcome = Outcome(cause=Cause.T38_REFUSED, phase=Phase.CALL, sip_status=refusal.status)
        self._finish(outcome, now, refusal.reason)

    def _hang_up_with(self, cause: Cause, why: str, now: float, *, status: int | None = None) -> None:
        self._sip.append(HangUp(farewell(cause, why)))
        self._finish(Outcome(cause=cause, phase=Phase.CALL, sip_status=status), now, why)

    def _abort(self, why: str, now: float) -> None:
        self._cut_at = min(self._cut_at, now + self._options.abort_limit)
        self._why_cut = why
        if self._media.is_fax:
            self._media.order(t30.Abort(why), now)
            self._tell(now)
        else:
            self._cut(why, now)

    def _cut(self, why: str, now: float) -> None:
        """This side ends the call at once, whatever T.30 still wanted to say."""
        self._cut_at = min(self._cut_at, now)
        self._media.order(t30.LineDown(), now)
        self._tell(now)
        if self._state is not S.DONE:
            self._hang_up_with(Cause.ABORTED, why, now)

    def _lose_stream(self, why: str, now: float) -> None:
        """The road of the fax has ended before its dialog: so does the call."""
        if self._media.is_fax:
            self._line_down(Cause.NETWORK, why, now)

    def _line_down(self, cause: Cause, reason: str, now: float, q850: int | None = None) -> None:
        """The dialog has ended. `q850`: the telephone network's cause."""
        self._q850 = q850
        if self._media.is_fax:
            self._media.order(t30.LineDown(), now)
            self._tell(now, cause, reason)
        elif self._refusal is not None:
            self._finish_refused(self._refusal, now)
        else:
            self._finish(Outcome(cause=cause, phase=Phase.CALL), now, reason)

    def _tell(self, now: float, down: Cause = Cause.PEER_HUNG_UP, reason: str | None = None) -> None:
        """Pass on what T.30 has told; its end is the end of the call. `down` and `reason`: how the dialog ended."""
        for event in self._media.take_events():
            if self._state is S.DONE:
                return
            if isinstance(event, t30.Ended):
                outcome = event.outcome
                if outcome.cause is Cause.PEER_HUNG_UP:  # all that T.30 can know of it
                    outcome = replace(outcome, cause=down, sentence="")
                elif outcome.cause is Cause.UNCERTAIN and reason is not None:
                    outcome = replace(outcome, sentence="")
                self._sip.append(HangUp(farewell(outcome.cause, "")))
                self._finish(outcome, now, outcome.sentence or reason or "")
            else:
                self._note(event, now)

    def _note(self, event: LegEvent, now: float) -> None:
        """Tell, and keep what explains the end."""
        self.course.take(event, now - self._began)
        self._events.append(event)

    def _finish(self, outcome: Outcome, now: float, evidence: str = "") -> None:
        if self._state is S.DONE:
            return
        if self._cut_at < math.inf and not outcome.ok:  # an abort that came too late does not undo a complete fax
            outcome = replace(outcome, cause=Cause.ABORTED)
        encrypted = isinstance(self._securing, DtlsUp)
        outcome = replace(outcome, duration=now - self._began, q850=outcome.q850 or self._q850, encrypted=encrypted)
        self._close_course(now)
        outcome = verdict.explain(
            outcome, self.course, sending=self._media.sending, evidence=evidence or outcome.sentence
        )
        self._state = S.DONE
        self._events.append(Finished(outcome))

    def _close_course(self, now: float) -> None:
        line = self._media.line
        if line is None:
            self.course.at = now - self._began
            return
        counters = line.counters.as_facts()
        packet_at = line.quiet_since - self._began if counters["received"] else None
        self.course.close(now - self._began, packet_at=packet_at, counters=counters)
