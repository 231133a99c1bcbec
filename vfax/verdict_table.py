"""Every verdict as data: when it applies, its sentence, its advice, its number.

Owns      the names of verdicts and the table that leads from an outcome and its course to one of them.
Not here  how a sentence is put together (verdict.py), the facts (course.py), causes and results (outcome.py).
Source    results: libspandsp's T.30 result list; phases and commands: T.30 (09/2005) clause 5. Advice is ours.

The first row whose cause, direction and condition fit is the verdict; the last rows fit everything. Names are stable:
they stand in journals and records. A sentence names the other side "the other machine", whoever called.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from vfax.course import Course
from vfax.outcome import Cause, Outcome, Phase, Retry, T30Result
from vfax.transports.parameters import DtlsTrouble


class V(StrEnum):
    """The verdicts."""

    # success
    DELIVERED = "delivered"
    DELIVERED_WITH_REPEATS = "delivered-with-repeats"
    RECEIVED = "received"
    RECEIVED_WITH_REPEATS = "received-with-repeats"
    RECEIVED_WITH_MARKS = "received-with-marks"
    RECEIVED_WITHOUT_GOODBYE = "received-without-goodbye"
    # the call: sending
    BUSY = "busy"
    RANG_IN_VAIN = "rang-in-vain"
    NOT_AVAILABLE = "not-available"
    NO_ANSWER = "no-answer"
    NAME_UNRESOLVED = "name-unresolved"
    NAME_UNANSWERED = "name-unanswered"
    ADDRESS_INCOMPLETE = "address-incomplete"
    ADDRESS_MOVED = "address-moved"
    ADDRESS_UNKNOWN = "address-unknown"
    NO_ROUTE = "no-route"
    LOGIN_REQUIRED = "login-required"
    PAYMENT_REQUIRED = "payment-required"
    CALLER_UNKNOWN = "caller-unknown"
    CALLS_BARRED = "calls-barred"
    BEARER_REFUSED = "bearer-refused"
    EXTENSION_MISSING = "extension-missing"
    MESSAGE_TOO_LARGE = "message-too-large"
    FORBIDDEN = "forbidden"
    DECLINED = "declined"
    AUDIO_REFUSED = "audio-refused"
    CALL_REJECTED = "call-rejected"
    NO_LINE = "no-line"
    T38_REFUSED = "t38-refused"
    T38_DECLINED = "t38-declined"
    SWITCH_REFUSED = "switch-refused"
    NOT_A_FAX = "not-a-fax"
    SIP_SILENT = "sip-silent"
    NO_CIRCUIT = "no-circuit"
    OUT_OF_ORDER = "out-of-order"
    NETWORK_FAILED = "network-failed"
    ROUND_IN_CIRCLES = "round-in-circles"
    SERVER_OVERLOADED = "server-overloaded"
    SERVER_FAILED = "server-failed"
    CALL_LOST_ITS_WAY = "call-lost-its-way"
    ANSWER_UNREADABLE = "answer-unreadable"
    HUNG_UP_BEFORE_FAX = "hung-up-before-fax"
    # the call: receiving
    REFUSED_BUSY = "refused-busy"
    REFUSED_UNANSWERED = "refused-unanswered"
    REFUSED_HERE = "refused-here"
    OFFER_UNUSABLE = "offer-unusable"
    NO_LINE_FOR_CALL = "no-line-for-call"
    CALLER_REFUSED_SWITCH = "caller-refused-switch"
    CALLER_NOT_A_FAX = "caller-not-a-fax"
    CALLER_GAVE_UP = "caller-gave-up"
    CALLER_HUNG_UP_BEFORE_FAX = "caller-hung-up-before-fax"
    # the call: both
    DIALOG_LOST = "dialog-lost"
    DIALOG_LOST_IN_FAX = "dialog-lost-in-fax"
    # encryption
    DTLS_WRONG_CERTIFICATE = "dtls-wrong-certificate"
    DTLS_SILENT = "dtls-silent"
    DTLS_FAILED = "dtls-failed"
    DTLS_REFUSED = "dtls-refused"
    # phase B, sending
    NO_PACKETS = "no-packets"
    NO_SIGNAL = "no-signal"
    NO_CAPABILITIES = "no-capabilities"
    NO_COMMON_MODE = "no-common-mode"
    DCN_FOR_CALL = "dcn-for-call"
    DCN_FOR_TRAINING = "dcn-for-training"
    DCS_UNHEARD = "dcs-unheard"
    TRAINING_UNANSWERED = "training-unanswered"
    TRAINING_REFUSED = "training-refused"
    HUNG_UP_IN_TRAINING = "hung-up-in-training"
    # phase B, receiving
    CALLER_NO_PACKETS = "caller-no-packets"
    CALLER_NO_SIGNAL = "caller-no-signal"
    CALLER_NO_DCS = "caller-no-dcs"
    TRAINING_MISSING = "training-missing"
    TRAINING_UNUSABLE = "training-unusable"
    MODE_NOT_OFFERED = "mode-not-offered"
    CALLER_DCN = "caller-dcn"
    CALLER_DCN_AFTER_FTT = "caller-dcn-after-ftt"
    CALLER_HUNG_UP_IN_TRAINING = "caller-hung-up-in-training"
    # polling
    NOTHING_TO_POLL = "nothing-to-poll"
    POLL_REFUSED = "poll-refused"
    POLL_UNANSWERED = "poll-unanswered"
    POLL_NOT_ALLOWED = "poll-not-allowed"
    # pages, sending
    DCN_IN_PAGE = "dcn-in-page"
    DCN_AFTER_PAGE = "dcn-after-page"
    HUNG_UP_IN_PAGE = "hung-up-in-page"
    HUNG_UP_AFTER_PAGE = "hung-up-after-page"
    PAGE_UNANSWERED = "page-unanswered"
    ANSWERS_MAKE_NO_SENSE = "answers-make-no-sense"
    RECEIVER_NEVER_READY = "receiver-never-ready"
    RATE_CHANGE_UNANSWERED = "rate-change-unanswered"
    CORRECTION_UNANSWERED = "correction-unanswered"
    NEXT_DOCUMENT_UNANSWERED = "next-document-unanswered"
    OPERATOR_WANTED = "operator-wanted"
    PAGE_REFUSED = "page-refused"
    PAGE_PASSED_OVER = "page-passed-over"
    CORRECTION_FAILED = "correction-failed"
    LAST_PAGE_UNANSWERED = "last-page-unanswered"
    LAST_PAGE_HUNG_UP = "last-page-hung-up"
    LAST_PAGE_DCN = "last-page-dcn"
    LAST_PAGE_NEVER_READY = "last-page-never-ready"
    # pages, receiving
    PAGE_NEVER_CAME = "page-never-came"
    STOPPED_IN_PAGE = "stopped-in-page"
    SILENT_AFTER_PAGE = "silent-after-page"
    SILENT_BETWEEN_PAGES = "silent-between-pages"
    SENDER_DCN_BETWEEN_PAGES = "sender-dcn-between-pages"
    SENDER_DCN_IN_PAGE = "sender-dcn-in-page"
    SENDER_HUNG_UP_BETWEEN_PAGES = "sender-hung-up-between-pages"
    SENDER_HUNG_UP_IN_PAGE = "sender-hung-up-in-page"
    SENDER_HUNG_UP_AFTER_PAGE = "sender-hung-up-after-page"
    PAGE_TOO_DAMAGED = "page-too-damaged"
    PAGE_NOT_REPEATED = "page-not-repeated"
    CORRECTION_INCOMPLETE = "correction-incomplete"
    # this side
    ABORTED_BEFORE_FAX = "aborted-before-fax"
    SENDING_ABORTED = "sending-aborted"
    RECEIVING_ABORTED = "receiving-aborted"
    PAGE_NOT_STORED = "page-not-stored"
    STORE_TOO_SLOW = "store-too-slow"
    PAGE_CODED_LATE = "page-coded-late"
    DOCUMENT_NOT_STORED = "document-not-stored"
    DOCUMENT_UNREADABLE = "document-unreadable"
    PAGE_NOT_CODED = "page-not-coded"
    LIMIT_SENDING = "limit-sending"
    LIMIT_RECEIVING = "limit-receiving"
    FAULT = "fault"
    # what fits nothing
    FAILED_SENDING = "failed-sending"
    FAILED_RECEIVING = "failed-receiving"
    # a journal alone
    UNFINISHED = "unfinished"
    EMPTY_JOURNAL = "empty-journal"
    NO_JOURNAL = "no-journal"


When = Callable[[Outcome, Course], bool]
Advice = Callable[[Outcome, Course], Retry]


@dataclass(frozen=True, slots=True)
class Row:
    """One verdict. `sending` None fits both directions, `calling` None both ends of the call, `causes` empty fits all.

    `proofs` name what goes in parentheses, if it is known (verdict.PROOFS). `advice` is a fixed one or depends on the
    facts; `hint` takes the place of its words, where there is something better to do than to wait.
    """

    name: V
    sending: bool | None
    causes: frozenset[Cause]
    sentence: str
    result: T30Result
    advice: Retry | Advice
    when: When | None = None
    proofs: tuple[str, ...] = ("seen",)
    hint: str = ""
    calling: bool | None = None


# --- conditions ----------------------------------------------------------------------------------


def _status(*statuses: int) -> When:
    return lambda outcome, _: outcome.sip_status in statuses


def _q850(*causes: int) -> When:
    return lambda outcome, _: outcome.q850 in causes


def _any(*conditions: When) -> When:
    return lambda outcome, course: any(one(outcome, course) for one in conditions)


def _trouble(trouble: DtlsTrouble) -> When:
    """Why DTLS failed."""
    return lambda _, course: course.dtls_trouble == trouble.value


def _dtls_required(_: Outcome, course: Course) -> bool:
    return course.dtls_required


def _phase(*phases: Phase) -> When:
    return lambda outcome, _: outcome.phase in phases


def _said(name: str) -> When:
    """What we said last."""
    return lambda _, course: course.said is not None and course.said.name == name


def _heard_last(*names: str) -> When:
    return lambda _, course: course.heard_before is not None and course.heard_before.name in names


def _all(*conditions: When) -> When:
    return lambda outcome, course: all(one(outcome, course) for one in conditions)


def _no_status(outcome: Outcome, _: Course) -> bool:
    return outcome.sip_status is None


def _server(outcome: Outcome, _: Course) -> bool:
    return outcome.sip_status is not None and 500 <= outcome.sip_status < 600


def _answered(_: Outcome, course: Course) -> bool:
    return course.answered_at is not None


def _in_fax(outcome: Outcome, _: Course) -> bool:
    return outcome.phase not in (Phase.IDLE, Phase.CALL)


def _before_fax(outcome: Outcome, _: Course) -> bool:
    return outcome.phase in (Phase.IDLE, Phase.CALL)


def _without_packets(_: Outcome, course: Course) -> bool:
    return course.is_fax and not course.packets and course.packet_at is None and not course.frames_in


def _without_frames(_: Outcome, course: Course) -> bool:
    return not course.frames_in


def _repeated(_: Outcome, course: Course) -> bool:
    return course.repeats > 0


def _marked(outcome: Outcome, _: Course) -> bool:
    return outcome.bad_rows > 0


def _peer_ended(_: Outcome, course: Course) -> bool:
    """Neither side said DCN: the call ended under the fax."""
    return not course.count("DCN")


def _never_polled(_: Outcome, course: Course) -> bool:
    """We called and heard what the other machine has; we did not ask for it."""
    return bool(course.calling and course.frames_in.get("DIS") and not course.frames_out.get("DTC"))


def _no_goodbye(_: Outcome, course: Course) -> bool:
    return course.is_fax and not course.frames_in.get("DCN")


def _after_pages(outcome: Outcome, course: Course) -> bool:
    return course.page > 0 or outcome.pages_confirmed > 0


def _in_page(outcome: Outcome, course: Course) -> bool:
    """A page has begun to come and is not confirmed."""
    return outcome.phase in (Phase.MESSAGE, Phase.POST_MESSAGE) and (course.in_page or course.data_came)


def _dcs_came(_: Outcome, course: Course) -> bool:
    return course.frames_in.get("DCS", 0) > 0


def _nothing_of_page(outcome: Outcome, course: Course) -> bool:
    return outcome.phase in (Phase.MESSAGE, Phase.POST_MESSAGE) and not (course.in_page or course.data_came)


def _ftt_said(_: Outcome, course: Course) -> bool:
    """The last training was not good enough."""
    return bool(course.trainings) and not course.trainings[-1][1]


def _dis_again(_: Outcome, course: Course) -> bool:
    heard, said = course.heard_before, course.said
    return (
        said is not None
        and said.name == "DCS"
        and heard is not None
        and heard.name == "DIS"
        and (course.frames_in.get("DIS", 0) > 1)
    )


def _answers_came(_: Outcome, course: Course) -> bool:
    """Since our last command something was heard, though nothing that answers it."""
    heard, said = course.heard_before, course.said
    return heard is not None and said is not None and heard.at > said.at


def _stopped(outcome: Outcome, course: Course) -> bool:
    """In a page, or what looks like its end: a burst that just stops is taken as ended after a long silence."""
    if not (course.in_page or course.data_came):
        return False
    return outcome.phase is Phase.MESSAGE or (outcome.phase is Phase.POST_MESSAGE and course.silence >= CUT_OFF)


# --- advice that depends on the facts -------------------------------------------------------------

CUT_OFF: Final = 14.0
"""Seconds of silence at the end of a call that began within a page: after a page's proper end, T2 would have been over
by then."""

SLOW_BPS: Final = 4800
MANY_REQUESTS: Final = 3
"""PPR or RTN in one fax from which the line is to blame, whatever ended it."""


def _after_sip(outcome: Outcome, _: Course) -> Retry:
    return Retry.NEVER if outcome.sip_status in HOPELESS_STATUSES else Retry.LATER


def _slower(outcome: Outcome, course: Course) -> Retry:
    """A lower rate, unless the lowest was tried."""
    tried = min(course.rates, default=outcome.rate_bps)
    return Retry.LOWER_RATE if tried > SLOW_BPS or not tried else Retry.LATER


def _correcting(outcome: Outcome, course: Course) -> Retry:
    """Error correction failed: at a lower rate it may not; where the rate was low, plain pages may pass."""
    tried = min(course.rates, default=outcome.rate_bps)
    return Retry.LOWER_RATE if tried > 2 * SLOW_BPS else Retry.NO_ECM


def _by_line(usual: Retry) -> Advice:
    """The usual advice, unless pages had to go again so often that the rate is to blame."""

    def advise(outcome: Outcome, course: Course) -> Retry:
        if course.count("PPR") >= MANY_REQUESTS:
            return _correcting(outcome, course)
        return _slower(outcome, course) if course.count("RTN") >= MANY_REQUESTS else usual

    return advise


HOPELESS_STATUSES: Final = frozenset({404, 410, 414, 416, 485, 501, 505, 513, 604})
"""Statuses that no waiting changes."""

# --- the table -----------------------------------------------------------------------------------

_SEND, _TAKE = True, False
_R = T30Result
_C = Cause
_REACHES: Final = "Check that the firewall or router lets its UDP packets in; another try alone will not help."
_ASK_FIRST: Final = "Ask whether it has arrived before sending it again."


def _row(
    name: V,
    sending: bool | None,
    causes: Cause | tuple[Cause, ...],
    sentence: str,
    result: T30Result,
    advice: Retry | Advice,
    when: When | None = None,
    *,
    proofs: tuple[str, ...] = ("seen",),
    hint: str = "",
) -> Row:
    fitting = frozenset(causes if isinstance(causes, tuple) else (causes,))
    return Row(name, sending, fitting, sentence, result, advice, when, proofs, hint)


def _calling(*rows: Row) -> tuple[Row, ...]:
    """Rows for the side that dialled, whether it wanted to send or to poll."""
    return tuple(replace(row, calling=True) for row in rows)


def _called(*rows: Row) -> tuple[Row, ...]:
    """Rows for the side that was dialled."""
    return tuple(replace(row, calling=False) for row in rows)


_SUCCESS: Final = (
    _row(
        V.DELIVERED_WITH_REPEATS,
        _SEND,
        _C.COMPLETE,
        "The fax was delivered: the other machine confirmed {all_pages}, though parts had to be sent again",
        _R.OK,
        Retry.NEVER,
        _repeated,
        proofs=("repeats", "lost"),
    ),
    _row(
        V.DELIVERED,
        _SEND,
        _C.COMPLETE,
        "The fax was delivered: the other machine confirmed {all_pages}",
        _R.OK,
        Retry.NEVER,
        proofs=(),
    ),
    _row(
        V.RECEIVED_WITH_MARKS,
        _TAKE,
        _C.COMPLETE,
        "The fax was received, but not without marks: {all_pages} came, with {bad_rows} damaged or missing",
        _R.OK,
        Retry.NEVER,
        _marked,
        proofs=("lost",),
    ),
    _row(
        V.RECEIVED_WITHOUT_GOODBYE,
        _TAKE,
        _C.COMPLETE,
        "The fax was received: {all_pages} {is} complete; the other machine left without a goodbye (DCN)",
        _R.OK,
        Retry.NEVER,
        _no_goodbye,
        proofs=(),
    ),
    _row(
        V.RECEIVED_WITH_REPEATS,
        _TAKE,
        _C.COMPLETE,
        "The fax was received: {all_pages} {is} complete, though parts had to come again",
        _R.OK,
        Retry.NEVER,
        _repeated,
        proofs=("repeats", "lost"),
    ),
    _row(
        V.RECEIVED,
        _TAKE,
        _C.COMPLETE,
        "The fax was received: {all_pages} {is} complete",
        _R.OK,
        Retry.NEVER,
        proofs=(),
    ),
)

_CALLING: Final = _calling(
    _row(V.BUSY, None, _C.BUSY, "The other side is busy", _R.BUSY, Retry.LATER, proofs=("sip",)),
    _row(
        V.NOT_AVAILABLE,
        None,
        _C.NO_ANSWER,
        "The other side is not there to take the call",
        _R.NO_ANSWER,
        Retry.LATER,
        _status(480),
        proofs=("sip",),
    ),
    _row(
        V.RANG_IN_VAIN,
        None,
        _C.NO_ANSWER,
        "The call rang, and nobody answered",
        _R.NO_ANSWER,
        Retry.LATER,
        lambda _, course: course.rang,
        proofs=("sip", "seen"),
    ),
    _row(
        V.NO_ANSWER,
        None,
        _C.NO_ANSWER,
        "The call was not answered; it was not even heard to ring",
        _R.NO_ANSWER,
        Retry.LATER,
        proofs=("sip", "seen"),
    ),
    _row(
        V.NAME_UNRESOLVED,
        None,
        _C.BAD_ADDRESS,
        "The destination cannot be called",
        _R.BAD_ADDRESS,
        Retry.NEVER,
        _no_status,
        hint="Check the address and the name service of this machine.",
    ),
    _row(
        V.ADDRESS_INCOMPLETE,
        None,
        _C.BAD_ADDRESS,
        "The number is incomplete",
        _R.BAD_ADDRESS,
        Retry.NEVER,
        _any(_status(484), _q850(28)),
        proofs=("sip",),
        hint="Check the number.",
    ),
    _row(
        V.ADDRESS_MOVED,
        None,
        _C.BAD_ADDRESS,
        "The destination has another address now",
        _R.BAD_ADDRESS,
        Retry.NEVER,
        _any(_status(300, 301, 302), _q850(22, 23)),
        proofs=("sip",),
        hint="Ask for the new number, or allow calls to be sent on ([sip] max_redirects).",
    ),
    _row(
        V.NO_ROUTE,
        None,
        _C.BAD_ADDRESS,
        "The telephone network knows no way to the number",
        _R.BAD_ADDRESS,
        Retry.NEVER,
        _q850(2, 3, 5),
        proofs=("sip",),
        hint="Check the number, and the prefix that the provider wants before it.",
    ),
    _row(
        V.ADDRESS_UNKNOWN,
        None,
        _C.BAD_ADDRESS,
        "The destination does not exist",
        _R.BAD_ADDRESS,
        Retry.NEVER,
        proofs=("sip",),
        hint="Check the number.",
    ),
    _row(
        V.LOGIN_REQUIRED,
        None,
        _C.REJECTED,
        "The other side wants a login before it takes calls",
        _R.REJECTED,
        Retry.NEVER,
        _status(401, 407),
        proofs=("sip", "seen"),
        hint="Set user and password of its trunk, or ask the provider how calls from this machine are allowed.",
    ),
    _row(
        V.PAYMENT_REQUIRED,
        None,
        _C.REJECTED,
        "The provider wants to be paid before it takes the call",
        _R.REJECTED,
        Retry.NEVER,
        _status(402),
        proofs=("sip",),
        hint="Look at the account with the provider.",
    ),
    _row(
        V.CALLER_UNKNOWN,
        None,
        _C.REJECTED,
        "The other side takes no calls without a caller's number that it can believe",
        _R.REJECTED,
        Retry.NEVER,
        _status(428, 433, 436, 437, 438),
        proofs=("sip",),
        hint="Set the sender's number and the identity of the trunk as the provider wants them.",
    ),
    _row(
        V.CALLS_BARRED,
        None,
        _C.REJECTED,
        "Calls from here to this number are barred",
        _R.REJECTED,
        Retry.NEVER,
        _q850(29, 50, 52, 53, 54, 55, 57, 62, 63, 69, 87, 90),
        proofs=("sip",),
        hint="Ask the provider to allow them.",
    ),
    _row(
        V.BEARER_REFUSED,
        None,
        (_C.REJECTED, _C.T38_REFUSED),
        "The way to the number cannot carry a fax call of this kind",
        _R.REJECTED,
        Retry.NEVER,
        _q850(58, 65, 66, 70, 79, 88),
        proofs=("sip",),
        hint="Ask the provider for a way that carries T.38, or G.711 audio from which the other side can switch to it.",
    ),
    _row(
        V.EXTENSION_MISSING,
        None,
        _C.REJECTED,
        "The other side asks for more than this side says or can, or for less",
        _R.REJECTED,
        Retry.NEVER,
        _status(420, 421, 422),
        proofs=("sip", "seen"),
        hint="See reliable, session_timer and session_expires in [sip] or in its trunk.",
    ),
    _row(
        V.MESSAGE_TOO_LARGE,
        None,
        (_C.REJECTED, _C.NETWORK),
        "The other side finds the call's first message too large",
        _R.REJECTED,
        Retry.NEVER,
        _status(413, 513),
        proofs=("sip",),
        hint="Reach it over TCP, or have the trunk send fewer header fields.",
    ),
    _row(
        V.FORBIDDEN,
        None,
        _C.REJECTED,
        "The other side does not allow calls from here",
        _R.REJECTED,
        Retry.NEVER,
        _status(403),
        proofs=("sip",),
        hint="Ask the provider how calls from this machine are allowed.",
    ),
    _row(
        V.DECLINED,
        None,
        _C.REJECTED,
        "The other side declined the call",
        _R.REJECTED,
        Retry.NEVER,
        _status(603, 607),
        proofs=("sip",),
    ),
    _row(
        V.AUDIO_REFUSED,
        None,
        _C.REJECTED,
        "The other side takes neither T.38 nor the audio call that was offered instead",
        _R.REJECTED,
        Retry.NEVER,
        _status(415, 488, 606),
        proofs=("sip",),
    ),
    _row(
        V.CALL_REJECTED,
        None,
        _C.REJECTED,
        "The other side rejected the call",
        _R.REJECTED,
        Retry.NEVER,
        proofs=("sip", "seen"),
    ),
    _row(V.NO_LINE, None, _C.LINE_UNAVAILABLE, "No line of this side was free", _R.NO_LINE, Retry.LATER),
    _row(
        V.SWITCH_REFUSED,
        None,
        _C.T38_REFUSED,
        "The other side answered with audio and then refused to switch to fax over IP (T.38)",
        _R.T38_REFUSED,
        Retry.LATER,
        _answered,
        proofs=("sip", "seen"),
    ),
    _row(
        V.T38_REFUSED,
        None,
        _C.T38_REFUSED,
        "The other side refused a call that begins as fax over IP (T.38)",
        _R.T38_REFUSED,
        Retry.AUDIO,
        _status(415, 488, 606),
        proofs=("sip",),
    ),
    _row(
        V.T38_DECLINED,
        None,
        _C.T38_REFUSED,
        "The other side answered the call but declined to do fax over IP (T.38)",
        _R.T38_REFUSED,
        Retry.AUDIO,
    ),
    _row(
        V.NOT_A_FAX,
        None,
        _C.NOT_FAX,
        "The other side answered, but not as a fax: in {answered_for} of audio it never switched to T.38",
        _R.NOT_FAX,
        Retry.LATER,
        proofs=(),
    ),
    _row(
        V.ANSWER_UNREADABLE,
        None,
        _C.NETWORK,
        "The answer to the call makes no sense",
        _R.NETWORK,
        Retry.LATER,
        _status(200),
    ),
    _row(
        V.NO_CIRCUIT,
        None,
        _C.NETWORK,
        "The telephone network has no line free for the call at the moment",
        _R.NETWORK,
        Retry.LATER,
        _q850(34, 42, 44, 46, 47, 49),
        proofs=("sip",),
        hint="Worth another try later; where it happens often, ask the provider for more channels.",
    ),
    _row(
        V.OUT_OF_ORDER,
        None,
        _C.NETWORK,
        "The line of the other side is out of order",
        _R.NETWORK,
        Retry.LATER,
        _q850(27),
        proofs=("sip",),
        hint="Worth another try later; tell the other side, should it last.",
    ),
    _row(
        V.NETWORK_FAILED,
        None,
        _C.NETWORK,
        "The telephone network failed on the way to the other side",
        _R.NETWORK,
        Retry.LATER,
        _all(_q850(25, 38, 41, 102, 111), _before_fax),
        proofs=("sip",),
    ),
    _row(
        V.ROUND_IN_CIRCLES,
        None,
        _C.NETWORK,
        "The call went round in circles",
        _R.NETWORK,
        Retry.NEVER,
        _status(482, 483),
        proofs=("sip",),
        hint="Ask the provider, or whoever runs the proxies on the way, how this number is routed.",
    ),
    _row(
        V.SERVER_OVERLOADED,
        None,
        _C.NETWORK,
        "The other side has no room for the call at the moment",
        _R.NETWORK,
        Retry.LATER,
        _status(503),
        proofs=("sip",),
    ),
    _row(
        V.SERVER_FAILED,
        None,
        _C.NETWORK,
        "A server on the way failed",
        _R.NETWORK,
        _after_sip,
        _server,
        proofs=("sip",),
    ),
    _row(
        V.CALL_LOST_ITS_WAY,
        None,
        _C.NETWORK,
        "The call did not find its way to the other side",
        _R.NETWORK,
        _after_sip,
        lambda outcome, _: outcome.sip_status is not None,
        proofs=("sip",),
    ),
    _row(
        V.NAME_UNANSWERED,
        None,
        _C.NETWORK,
        "Where to call could not be found out",
        _R.NETWORK,
        Retry.LATER,
        lambda _, course: course.unfound,
        hint="Check the name and the name service of this machine.",
    ),
    _row(
        V.SIP_SILENT,
        None,
        _C.NETWORK,
        "Nothing answered at the other address",
        _R.NETWORK,
        Retry.LATER,
        lambda outcome, course: _before_fax(outcome, course) and not _answered(outcome, course),
        hint="Check the address, and that the other side is running.",
    ),
    _row(
        V.HUNG_UP_BEFORE_FAX,
        None,
        _C.PEER_HUNG_UP,
        "The other side hung up before the fax began",
        _R.CALLDROPPED,
        Retry.LATER,
        _before_fax,
    ),
)

_CALLED: Final = _called(
    _row(
        V.REFUSED_BUSY,
        None,
        (_C.BUSY, _C.REJECTED),
        "This side refused the call because it is busy",
        _R.BUSY,
        Retry.LATER,
        _status(486, 600),
        proofs=("sip", "seen"),
    ),
    _row(
        V.REFUSED_UNANSWERED,
        None,
        (_C.NO_ANSWER, _C.REJECTED),
        "This side refused the call because nobody here took it",
        _R.NO_ANSWER,
        Retry.LATER,
        _status(480, 408),
        proofs=("sip", "seen"),
    ),
    _row(
        V.OFFER_UNUSABLE,
        None,
        _C.REJECTED,
        "This side refused the call because nothing that the caller offers can be used",
        _R.REJECTED,
        Retry.NEVER,
        _status(400, 415, 488, 606),
        proofs=("sip", "seen"),
    ),
    _row(
        V.REFUSED_HERE,
        None,
        (_C.REJECTED, _C.BUSY, _C.NO_ANSWER, _C.BAD_ADDRESS),
        "This side refused the call",
        _R.REJECTED,
        Retry.NEVER,
        proofs=("sip", "seen"),
    ),
    _row(
        V.NO_LINE_FOR_CALL,
        None,
        _C.LINE_UNAVAILABLE,
        "The call was refused because no line of this side was free",
        _R.NO_LINE,
        Retry.LATER,
        proofs=("sip", "seen"),
    ),
    _row(
        V.CALLER_REFUSED_SWITCH,
        None,
        _C.T38_REFUSED,
        "The caller's side refused to switch to fax over IP (T.38)",
        _R.T38_REFUSED,
        Retry.LATER,
        proofs=("sip", "seen"),
        hint="Ask the provider to allow T.38 for this number.",
    ),
    _row(
        V.CALLER_NOT_A_FAX,
        None,
        _C.NOT_FAX,
        "The caller is not a fax, or cannot do fax over IP: in {answered_for} of audio nothing switched to T.38",
        _R.NOT_FAX,
        Retry.LATER,
        proofs=(),
    ),
    _row(
        V.CALLER_GAVE_UP,
        None,
        _C.PEER_HUNG_UP,
        "The caller gave up before this side had answered",
        _R.CALLDROPPED,
        Retry.LATER,
        lambda outcome, course: _before_fax(outcome, course) and not _answered(outcome, course),
    ),
    _row(
        V.CALLER_HUNG_UP_BEFORE_FAX,
        None,
        _C.PEER_HUNG_UP,
        "The caller hung up before the fax began",
        _R.CALLDROPPED,
        Retry.LATER,
        _before_fax,
    ),
)

_ENCRYPTION: Final = (
    _row(
        V.DTLS_REFUSED,
        None,
        _C.T38_REFUSED,
        'The other side takes no encrypted fax over IP (T.38 over DTLS), and here dtls = "required" allows no other',
        _R.T38_REFUSED,
        Retry.NEVER,
        _dtls_required,
        proofs=("sip", "seen"),
        hint='Another try would end the same way; dtls = "opportunistic" sends such faxes without encryption.',
    ),
    _row(
        V.DTLS_WRONG_CERTIFICATE,
        None,
        _C.ENCRYPTION,
        "The fax was not begun, for whoever answered the encryption (DTLS) has another certificate than the signalling "
        "names",
        _R.ENCRYPTION,
        Retry.NEVER,
        _trouble(DtlsTrouble.MISMATCH),
        hint="Somebody on the way may be listening; ask whoever runs the other side before you try again.",
    ),
    _row(
        V.DTLS_SILENT,
        None,
        _C.ENCRYPTION,
        "The other side agreed to encrypt the fax (DTLS), and nothing of that came",
        _R.ENCRYPTION,
        Retry.LATER,
        _trouble(DtlsTrouble.SILENT),
        hint='Check that UDP reaches both media ports; if the other side has no DTLS, set dtls = "off" for it.',
    ),
    _row(
        V.DTLS_FAILED,
        None,
        _C.ENCRYPTION,
        "The other side agreed to encrypt the fax (DTLS), and the two could not come to terms",
        _R.ENCRYPTION,
        Retry.LATER,
        hint='Worth another try later; if it goes on, set dtls = "off" for this destination.',
    ),
)

_DIALOG: Final = (
    _row(
        V.DIALOG_LOST,
        None,
        _C.NETWORK,
        "The network lost the call before the fax began",
        _R.NETWORK,
        Retry.LATER,
        _before_fax,
    ),
    _row(
        V.DIALOG_LOST_IN_FAX,
        None,
        _C.NETWORK,
        "The network lost the call {step}",
        _R.NETWORK,
        Retry.NOW,
        proofs=("seen", "silence", "rows", "gone"),
    ),
)

_POLLING: Final = (
    _row(
        V.NOTHING_TO_POLL,
        _TAKE,
        _C.INCOMPATIBLE,
        "The other machine has no document that could be polled",
        _R.TX_INCAPABLE,
        Retry.LATER,
        _never_polled,
        proofs=(),
    ),
    _row(
        V.POLL_REFUSED,
        _TAKE,
        _C.REJECTED,
        "The other machine refused to be polled: it ended the fax (DCN) instead of sending its document",
        _R.NOPOLL,
        Retry.NEVER,
        _all(_phase(Phase.IDENTIFY), _said("DTC")),
        proofs=("said",),
        hint="Check the polling address and the password.",
    ),
    _row(
        V.POLL_UNANSWERED,
        _TAKE,
        (_C.NO_RESPONSE, _C.T1_EXPIRED, _C.NO_COMMAND),
        "The other machine did not answer the wish to poll it (DTC)",
        _R.TX_PHBDEAD,
        Retry.LATER,
        _all(_phase(Phase.IDENTIFY), _said("DTC")),
        proofs=("said", "heard", "silence"),
    ),
    _row(
        V.POLL_NOT_ALLOWED,
        _TAKE,
        _C.REJECTED,
        "The caller wanted to poll a document of this side and did not give what it takes to get it",
        _R.IDENT_UNACCEPTABLE,
        Retry.NEVER,
        lambda _, course: course.frames_in.get("DTC", 0) > 0,
        hint="Tell the caller the polling address and the password.",
    ),
)

_PHASE_B_SENDING: Final = (
    _row(
        V.NEXT_DOCUMENT_UNANSWERED,
        _SEND,
        (_C.NO_RESPONSE, _C.T1_EXPIRED),
        "The other machine did not come back for the page after page {last}",
        _R.TX_NODIS,
        Retry.NOW,
        lambda outcome, course: (
            outcome.phase is Phase.IDENTIFY and _after_pages(outcome, course) and not _said("DCS")(outcome, course)
        ),
        proofs=("silence", "heard"),
    ),
    _row(
        V.NO_PACKETS,
        _SEND,
        _C.T1_EXPIRED,
        "The call was up, but no T.38 packet of the other machine ever came",
        _R.T0_EXPIRED,
        Retry.LATER,
        _without_packets,
        proofs=("waited",),
        hint=_REACHES,
    ),
    _row(
        V.NO_SIGNAL,
        _SEND,
        _C.T1_EXPIRED,
        "The other machine never said what it can do (DIS): packets came, but no fax signal in them",
        _R.TX_NODIS,
        Retry.LATER,
        _without_frames,
        proofs=("packets", "waited"),
        hint="Perhaps a telephone answers there. Check the number.",
    ),
    _row(
        V.NO_CAPABILITIES,
        _SEND,
        _C.T1_EXPIRED,
        "The other machine never said what it can do (DIS)",
        _R.TX_NODIS,
        Retry.LATER,
        proofs=("heard", "waited"),
    ),
    _row(
        V.NO_COMMON_MODE,
        _SEND,
        _C.INCOMPATIBLE,
        "The two machines have no mode in common: what the other machine can do does not suffice for this fax",
        _R.INCOMPATIBLE,
        Retry.NEVER,
    ),
    _row(
        V.DCN_FOR_TRAINING,
        _SEND,
        _C.PEER_DISCONNECTED,
        "The other machine ended the fax (DCN) instead of answering the training at {rate}",
        _R.TX_BADDCS,
        Retry.LOWER_RATE,
        _all(_phase(Phase.IDENTIFY), _said("DCS")),
        proofs=("mode",),
    ),
    _row(
        V.DCN_FOR_CALL,
        _SEND,
        _C.PEER_DISCONNECTED,
        "The other machine ended the fax (DCN) before it had said what it can do",
        _R.TX_GOTDCN,
        Retry.LATER,
        _phase(Phase.IDENTIFY),
        proofs=("heard_before",),
    ),
    _row(
        V.DCS_UNHEARD,
        _SEND,
        _C.NO_RESPONSE,
        "The other machine did not understand how the fax would be sent: it went on saying what it can do (DIS)",
        _R.TX_PHBDEAD,
        Retry.LOWER_RATE,
        _all(_phase(Phase.IDENTIFY), _dis_again),
        proofs=("lost",),
    ),
    _row(
        V.TRAINING_UNANSWERED,
        _SEND,
        _C.NO_RESPONSE,
        "The other machine stopped answering during the training at {rate}",
        _R.TX_PHBDEAD,
        Retry.LATER,
        _all(_phase(Phase.IDENTIFY), _said("DCS")),
        proofs=("said", "silence"),
    ),
    _row(
        V.TRAINING_REFUSED,
        _SEND,
        _C.CANNOT_TRAIN,
        "The other machine refused the training (FTT) at every rate that was tried",
        _R.CANNOT_TRAIN,
        _slower,
        proofs=("rates", "lost"),
    ),
    _row(
        V.HUNG_UP_IN_TRAINING,
        _SEND,
        _C.PEER_HUNG_UP,
        "The other side hung up while the machines were getting ready for page {next}",
        _R.CALLDROPPED,
        Retry.LATER,
        _phase(Phase.IDENTIFY),
        proofs=("seen", "heard"),
    ),
)

_PHASE_B_RECEIVING: Final = (
    _row(
        V.CALLER_NO_PACKETS,
        _TAKE,
        _C.T1_EXPIRED,
        "The call was up, but no T.38 packet of the sending machine ever came",
        _R.T0_EXPIRED,
        Retry.LATER,
        _without_packets,
        proofs=("waited",),
        hint=_REACHES,
    ),
    _row(
        V.TRAINING_MISSING,
        _TAKE,
        (_C.T1_EXPIRED, _C.NO_COMMAND),
        "The other machine announced its training, and none came that could be heard",
        _R.RX_T2EXP,
        Retry.LATER,
        lambda outcome, course: (
            _phase(Phase.IDENTIFY)(outcome, course) and _dcs_came(outcome, course) and not course.trainings
        ),
        proofs=("heard", "silence"),
    ),
    _row(
        V.CALLER_NO_SIGNAL,
        _TAKE,
        _C.T1_EXPIRED,
        "The sending machine never said how it wants to send (DCS): packets came, but no fax signal in them",
        _R.T1_EXPIRED,
        Retry.LATER,
        _without_frames,
        proofs=("packets", "waited"),
        hint="Perhaps a telephone is at the other end.",
    ),
    _row(
        V.CALLER_NO_DCS,
        _TAKE,
        _C.T1_EXPIRED,
        "The sending machine never said how it wants to send (DCS)",
        _R.RX_T2EXP,
        Retry.LATER,
        lambda outcome, course: not _dcs_came(outcome, course),
        proofs=("heard", "waited"),
    ),
    _row(
        V.TRAINING_UNUSABLE,
        _TAKE,
        (_C.CANNOT_TRAIN, _C.NO_COMMAND, _C.T1_EXPIRED),
        "The other machine's training could not be used, and it did not try another one",
        _R.CANNOT_TRAIN,
        _slower,
        lambda outcome, course: (
            outcome.cause is Cause.CANNOT_TRAIN or (outcome.phase is Phase.IDENTIFY and _ftt_said(outcome, course))
        ),
        proofs=("rates", "lost", "silence"),
    ),
    _row(
        V.MODE_NOT_OFFERED,
        _TAKE,
        _C.INCOMPATIBLE,
        "The other machine wants to send in a mode that was never offered to it",
        _R.INCOMPATIBLE,
        Retry.NEVER,
    ),
    _row(
        V.CALLER_DCN_AFTER_FTT,
        _TAKE,
        _C.PEER_DISCONNECTED,
        "The other machine gave up (DCN) because its training could not be used",
        _R.RX_DCNWHY,
        _slower,
        _all(_phase(Phase.IDENTIFY), _ftt_said),
        proofs=("rates", "lost"),
    ),
    _row(
        V.CALLER_DCN,
        _TAKE,
        _C.PEER_DISCONNECTED,
        "The other machine ended the fax (DCN) before it sent a page",
        _R.RX_DCNWHY,
        Retry.LATER,
        lambda outcome, course: outcome.phase is Phase.IDENTIFY and not _after_pages(outcome, course),
        proofs=("heard_before",),
    ),
    _row(
        V.SILENT_BETWEEN_PAGES,
        _TAKE,
        (_C.NO_COMMAND, _C.T1_EXPIRED),
        "The other machine fell silent after page {last}, with more to come",
        _R.RX_T2EXPMPS,
        Retry.NOW,
        lambda outcome, course: outcome.phase is Phase.IDENTIFY and _after_pages(outcome, course),
        proofs=("silence", "heard"),
    ),
    _row(
        V.CALLER_HUNG_UP_IN_TRAINING,
        _TAKE,
        _C.PEER_HUNG_UP,
        "The other side hung up while the machines were getting ready for the first page",
        _R.CALLDROPPED,
        Retry.LATER,
        lambda outcome, course: outcome.phase is Phase.IDENTIFY and not _after_pages(outcome, course),
        proofs=("seen", "heard"),
    ),
)

_PAGES_SENDING: Final = (
    _row(
        V.DCN_IN_PAGE,
        _SEND,
        _C.PEER_DISCONNECTED,
        "The other machine ended the fax (DCN) in the middle of page {page}",
        _R.TX_BADPG,
        _by_line(Retry.NOW),
        _phase(Phase.MESSAGE),
        proofs=("gone", "repeats", "lost"),
    ),
    _row(
        V.OPERATOR_WANTED,
        _SEND,
        _C.PEER_DISCONNECTED,
        "The other machine asked for an operator and wanted no more of the fax (PID) instead of confirming page {page}",
        _R.TX_INVALRSP,
        Retry.LATER,
        _heard_last("PID"),
        proofs=("said",),
        hint="Ask at the other end what is wrong.",
    ),
    _row(
        V.DCN_AFTER_PAGE,
        _SEND,
        _C.PEER_DISCONNECTED,
        "The other machine ended the fax (DCN) instead of confirming page {page}",
        _R.TX_BADPG,
        _by_line(Retry.LATER),
        proofs=("waits", "said", "repeats", "lost"),
    ),
    _row(
        V.HUNG_UP_IN_PAGE,
        _SEND,
        _C.PEER_HUNG_UP,
        "The other side hung up in the middle of page {page}",
        _R.CALLDROPPED,
        _by_line(Retry.NOW),
        _phase(Phase.MESSAGE),
        proofs=("seen", "gone", "silence", "lost"),
    ),
    _row(
        V.HUNG_UP_AFTER_PAGE,
        _SEND,
        _C.PEER_HUNG_UP,
        "The other side hung up instead of confirming page {page}",
        _R.CALLDROPPED,
        _by_line(Retry.NOW),
        proofs=("seen", "waits", "said", "silence", "lost"),
    ),
    _row(
        V.RATE_CHANGE_UNANSWERED,
        _SEND,
        _C.NO_RESPONSE,
        "The other machine stopped answering when page {page} was to go on at a lower rate",
        _R.TX_ECMPHD,
        _correcting,
        _said("CTC"),
        proofs=("said", "repeats", "silence"),
    ),
    _row(
        V.CORRECTION_UNANSWERED,
        _SEND,
        _C.NO_RESPONSE,
        "The other machine stopped answering when parts of page {page} were given up (EOR)",
        _R.TX_ECMPHD,
        _correcting,
        _said("EOR"),
        proofs=("said", "repeats", "silence"),
    ),
    _row(
        V.RECEIVER_NEVER_READY,
        _SEND,
        _C.NO_RESPONSE,
        "The other machine asked to wait after page {page} (RNR) and never became ready",
        _R.TX_T5EXP,
        Retry.LATER,
        _heard_last("RNR"),
        proofs=("waits", "silence"),
    ),
    _row(
        V.ANSWERS_MAKE_NO_SENSE,
        _SEND,
        _C.NO_RESPONSE,
        "The other machine's answers after page {page} make no sense",
        _R.TX_INVALRSP,
        Retry.LATER,
        _answers_came,
        proofs=("heard", "said"),
    ),
    _row(
        V.PAGE_UNANSWERED,
        _SEND,
        _C.NO_RESPONSE,
        "The other machine stopped answering after page {page}",
        _R.TX_PHDDEAD,
        _by_line(Retry.NOW),
        proofs=("said", "silence", "lost"),
    ),
    _row(
        V.PAGE_PASSED_OVER,
        _SEND,
        _C.PAGE_REFUSED,
        "Not all of the fax arrived well: the other machine refused some of it (RTN), and the fax went on without that",
        _R.TX_INVALRSP,
        _slower,
        _phase(Phase.RELEASE),
        proofs=("seen", "rates", "lost"),
    ),
    _row(
        V.PAGE_REFUSED,
        _SEND,
        _C.PAGE_REFUSED,
        "The other machine did not accept page {page} as it arrived (RTN)",
        _R.TX_INVALRSP,
        _slower,
        proofs=("refusals", "rates", "lost"),
    ),
    _row(
        V.CORRECTION_FAILED,
        _SEND,
        _C.ECM_FAILED,
        "Not all of the fax arrived: the other machine asked for parts again and again (PPR) until they were given up",
        _R.TX_ECMPHD,
        _correcting,
        proofs=("repeats", "rates", "lost"),
    ),
    _row(
        V.LAST_PAGE_HUNG_UP,
        _SEND,
        _C.UNCERTAIN,
        "The call ended before page {page}, the last one, was confirmed; the other machine may have the whole fax",
        _R.UNCERTAIN,
        Retry.NEVER,
        _peer_ended,
        proofs=("seen", "waits", "said"),
        hint=_ASK_FIRST,
    ),
    _row(
        V.LAST_PAGE_DCN,
        _SEND,
        _C.UNCERTAIN,
        "The other machine ended the fax (DCN) instead of confirming page {page}, the last one; it may have it all",
        _R.UNCERTAIN,
        Retry.NEVER,
        lambda _, course: course.frames_in.get("DCN", 0) > 0,
        proofs=("waits", "said"),
        hint=_ASK_FIRST,
    ),
    _row(
        V.LAST_PAGE_NEVER_READY,
        _SEND,
        _C.UNCERTAIN,
        "The other machine asked to wait after page {page}, the last one (RNR), and never became ready; "
        "it may have the whole fax",
        _R.TX_T5EXP,
        Retry.NEVER,
        _heard_last("RNR"),
        proofs=("waits", "silence"),
        hint=_ASK_FIRST,
    ),
    _row(
        V.LAST_PAGE_UNANSWERED,
        _SEND,
        _C.UNCERTAIN,
        "The other machine never confirmed page {page}, the last one; it may have the whole fax",
        _R.UNCERTAIN,
        Retry.NEVER,
        proofs=("said", "heard", "silence"),
        hint=_ASK_FIRST,
    ),
)

_PAGES_RECEIVING: Final = (
    _row(
        V.STOPPED_IN_PAGE,
        _TAKE,
        (_C.NO_CARRIER, _C.NO_COMMAND, _C.T1_EXPIRED),
        "The other machine stopped sending in the middle of page {page}",
        _R.RX_NOCARRIER,
        _by_line(Retry.NOW),
        _stopped,
        proofs=("silence", "rows", "lost"),
    ),
    _row(
        V.PAGE_NEVER_CAME,
        _TAKE,
        (_C.NO_CARRIER, _C.NO_COMMAND),
        "The other machine announced page {next} and then sent nothing of it",
        _R.RX_NOFAX,
        _by_line(Retry.NOW),
        _nothing_of_page,
        proofs=("silence", "heard"),
    ),
    _row(
        V.SILENT_AFTER_PAGE,
        _TAKE,
        (_C.NO_COMMAND, _C.NO_CARRIER),
        "The other machine fell silent after page {page} without saying what follows",
        _R.RX_T2EXPD,
        _by_line(Retry.NOW),
        proofs=("silence", "lost"),
    ),
    _row(
        V.SENDER_DCN_IN_PAGE,
        _TAKE,
        _C.PEER_DISCONNECTED,
        "The other machine ended the fax (DCN) before page {page} was complete",
        _R.RX_DCNDATA,
        _by_line(Retry.NOW),
        _in_page,
        proofs=("repeats", "lost"),
    ),
    _row(
        V.SENDER_DCN_BETWEEN_PAGES,
        _TAKE,
        _C.PEER_DISCONNECTED,
        "The other machine ended the fax (DCN) before page {next}, which was still to come",
        _R.RX_DCNPHD,
        _by_line(Retry.NOW),
        proofs=("heard_before", "lost"),
    ),
    _row(
        V.SENDER_HUNG_UP_IN_PAGE,
        _TAKE,
        _C.PEER_HUNG_UP,
        "The other side hung up while page {page} was still coming",
        _R.CALLDROPPED,
        _by_line(Retry.NOW),
        lambda outcome, course: outcome.phase is Phase.MESSAGE and _in_page(outcome, course),
        proofs=("seen", "silence", "rows", "lost"),
    ),
    _row(
        V.SENDER_HUNG_UP_AFTER_PAGE,
        _TAKE,
        _C.PEER_HUNG_UP,
        "The other side hung up after the data of page {page}, before it could be confirmed",
        _R.CALLDROPPED,
        _by_line(Retry.NOW),
        lambda outcome, course: outcome.phase is Phase.POST_MESSAGE and _in_page(outcome, course),
        proofs=("seen", "silence", "lost"),
    ),
    _row(
        V.SENDER_HUNG_UP_BETWEEN_PAGES,
        _TAKE,
        _C.PEER_HUNG_UP,
        "The other side hung up before page {next}, which was still to come",
        _R.CALLDROPPED,
        _by_line(Retry.NOW),
        proofs=("seen", "silence"),
    ),
    _row(
        V.PAGE_NOT_REPEATED,
        _TAKE,
        _C.PAGE_REFUSED,
        "Not all of the fax came well: some was too damaged and was refused (RTN), and the sender went on without it",
        _R.RX_DCNNORTN,
        _slower,
        _phase(Phase.RELEASE),
        proofs=("seen", "lost"),
    ),
    _row(
        V.PAGE_TOO_DAMAGED,
        _TAKE,
        _C.PAGE_REFUSED,
        "Page {page} came too damaged to be accepted",
        _R.RX_DCNNORTN,
        _slower,
        proofs=("seen", "refusals", "lost"),
    ),
    _row(
        V.CORRECTION_INCOMPLETE,
        _TAKE,
        _C.ECM_FAILED,
        "Not all of the fax came: the other machine gave up repeating what was missing",
        _R.RX_ECMPHD,
        _correcting,
        proofs=("repeats", "lost"),
    ),
)

_THIS_SIDE: Final = (
    _row(
        V.ABORTED_BEFORE_FAX,
        None,
        _C.ABORTED,
        "The call was aborted on this side before the fax began",
        _R.ABORTED,
        Retry.NEVER,
        _before_fax,
        hint="No other try is due.",
    ),
    _row(
        V.SENDING_ABORTED,
        _SEND,
        _C.ABORTED,
        "Sending was aborted on this side {step}",
        _R.ABORTED,
        Retry.NEVER,
        proofs=("seen", "gone"),
        hint="No other try is due.",
    ),
    _row(
        V.RECEIVING_ABORTED,
        _TAKE,
        _C.ABORTED,
        "Receiving was aborted on this side {step}",
        _R.ABORTED,
        Retry.NEVER,
        proofs=("seen", "rows"),
        hint="No other try is due.",
    ),
    _row(
        V.PAGE_NOT_STORED,
        _TAKE,
        _C.STORAGE,
        "Page {lost_page} could not be stored on this side, so it was not confirmed",
        _R.STORAGE,
        Retry.LATER,
        lambda _, course: course.lost_page > 0,
        hint="Make room or mend the disk; then the sender may try again.",
    ),
    _row(
        V.STORE_TOO_SLOW,
        _TAKE,
        _C.STORAGE,
        "Page {page} was not stored on this side in time, so it was not confirmed",
        _R.STORAGE,
        Retry.LATER,
        lambda outcome, course: outcome.phase is Phase.POST_MESSAGE,
        hint="See why the disk is slow; then the sender may try again.",
    ),
    _row(
        V.PAGE_CODED_LATE,
        _SEND,
        _C.STORAGE,
        "Page {unsent} of the document was not ready on this side in time",
        _R.STORAGE,
        Retry.LATER,
        _in_fax,
        hint="See what keeps this machine so busy.",
    ),
    _row(
        V.DOCUMENT_NOT_STORED,
        None,
        _C.STORAGE,
        "The storage of this side failed {step}",
        _R.STORAGE,
        Retry.LATER,
        hint="Make room or mend the disk.",
    ),
    _row(
        V.PAGE_NOT_CODED,
        _SEND,
        _C.DOCUMENT,
        "Page {unsent} of the document could not be turned into a fax page",
        _R.NOPAGE,
        Retry.NEVER,
        _in_fax,
        hint="Look at the document.",
    ),
    _row(
        V.DOCUMENT_UNREADABLE,
        None,
        _C.DOCUMENT,
        "The document cannot be used",
        _R.FILEERROR,
        Retry.NEVER,
        hint="Look at the document.",
    ),
    _row(
        V.LIMIT_SENDING,
        _SEND,
        _C.LIMIT,
        "The fax went beyond a limit of this side {step}",
        _R.LIMIT,
        Retry.NEVER,
        proofs=("seen", "gone"),
        hint="Raise the limit in the settings, or send less at once.",
    ),
    _row(
        V.LIMIT_RECEIVING,
        _TAKE,
        _C.LIMIT,
        "The other machine went beyond a limit of this side {step}",
        _R.LIMIT,
        Retry.NEVER,
        hint="Raise the limit in the settings if such faxes are wanted.",
    ),
    _row(
        V.FAULT,
        None,
        _C.INTERNAL,
        "A fault in vfax ended the fax {step}",
        _R.INTERNAL,
        Retry.LATER,
        hint="Please report it with the journal.",
    ),
)

_REST: Final = (
    Row(V.FAILED_SENDING, _SEND, frozenset(), "Sending failed {step} ({cause})", _R.UNEXPECTED, Retry.LATER),
    Row(V.FAILED_RECEIVING, _TAKE, frozenset(), "Receiving failed {step} ({cause})", _R.UNEXPECTED, Retry.LATER),
)

ROWS: Final[tuple[Row, ...]] = (
    *_SUCCESS,
    *_POLLING,
    *_ENCRYPTION,
    *_CALLING,
    *_CALLED,
    *_PHASE_B_SENDING,
    *_PHASE_B_RECEIVING,
    *_PAGES_SENDING,
    *_PAGES_RECEIVING,
    *_DIALOG,
    *_THIS_SIDE,
    *_REST,
)

ALONE: Final[dict[V, tuple[str, T30Result, str]]] = {
    V.UNFINISHED: (
        "The journal ends {step} without an outcome: the program that wrote it was cut off, or is still at it",
        _R.UNKNOWN,
        "Pages that were confirmed are kept.",
    ),
    V.EMPTY_JOURNAL: (
        "The journal is empty: the call was never written down",
        _R.UNKNOWN,
        "See whether the disk was full.",
    ),
    V.NO_JOURNAL: (
        "The file is not the journal of a call: nothing in it can be read as one",
        _R.UNKNOWN,
        "Look for another file.",
    ),
}
"""Verdicts on a journal without an outcome."""


def row_of(outcome: Outcome, course: Course, *, sending: bool) -> Row:
    """The first row that fits."""
    calling = sending if course.calling is None else course.calling
    for row in ROWS:
        if row.sending not in (None, sending) or row.calling not in (None, calling):
            continue
        if row.causes and outcome.cause not in row.causes:
            continue
        if row.when is None or row.when(outcome, course):
            return row
    raise AssertionError("the last rows fit everything")
