"""The T.30 procedure as data: states, triggers, timers and the steps between them.

Owns      which step follows from which state and trigger, in both directions of the page.
Not here  how an action is done (receiver.py, sender.py, terminal.py); durations (options.py).
Source    T.30 (09/2005) Figures 5-1 and 5-2, Annex A for ECM; what the field adds is said in a comment.

A trigger is a frame (`Fcf`), a happening of the line or the clock, or the verdict of an action (`Line`). General rows
come first, exceptions after. A pair that is not listed is a deliberate no-op.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from vfax.codecs.frames import POST_MESSAGE, Fcf
from vfax.outcome import Cause, Phase


class S(Enum):
    """What a terminal is waiting for."""

    IDLE = auto()  # for the line
    # receiving a page
    AWAIT_DCS = auto()  # phase B: DIS is said again and again until T1
    AWAIT_TCF = auto()  # DCS came: for its training
    IN_TCF = auto()
    AWAIT_PAGE = auto()  # for the fast carrier of a page or of frames asked again
    IN_PAGE = auto()
    AWAIT_POST = auto()  # the carrier fell: for the post-message command
    HOLDING = auto()  # the page is whole: for its last rows and for the store
    BUSY = auto()  # RNR was said: for RR and for the store
    READY = auto()  # kept, but late: for the sender's repetition, which is then answered
    AWAIT_COMMAND = auto()  # nothing on: for DCS, or for T2 to go back to DIS
    AWAIT_DCN = auto()  # the last page is confirmed
    # sending a page
    AWAIT_DIS = auto()  # a caller that polls waits for it too; a polled sender for DTC
    AWAIT_CFR = auto()  # DCS and TCF said
    AWAIT_CODED = auto()  # for our own owner to code the page
    SENDING_PAGE = auto()
    AWAIT_ANSWER = auto()  # a post-message command, EOR or RR said
    PAUSED = auto()  # RNR came: for a moment, before RR
    AWAIT_CTR = auto()
    # both
    CLOSING = auto()  # DCN is leaving, the last rows are decoding
    ENDED = auto()


class Line(Enum):
    """What is not a frame: happenings, and verdicts of actions."""

    # happenings
    LINE_UP = auto()
    LINE_DOWN = auto()
    CARRIER = auto()  # a fast carrier began
    BURST_END = auto()  # the fast carrier ended, or can be taken as ended
    SENT = auto()  # all we said has left
    PAGE_KEPT = auto()
    PAGE_LOST = auto()
    PAGE_CODED = auto()
    PAGE_UNAVAILABLE = auto()
    # clock
    T1_EXPIRED = auto()
    T2_EXPIRED = auto()
    T4_EXPIRED = auto()
    T5_EXPIRED = auto()
    CNG_DUE = auto()
    RNR_DUE = auto()
    RR_DUE = auto()
    CODING_SLOW = auto()
    PAGE_LATE = auto()
    CALL_LATE = auto()
    NO_PROGRESS = auto()
    # verdicts: receiving
    TRAINED = auto()
    UNTRAINED = auto()
    UNFIT = auto()  # DCS chose what we never offered, DIS offers nothing we can use
    AWARE = auto()  # DCS says that no modem is between us: no training comes
    POLLED = auto()  # DTC asks for the document we have
    UNAUTHORISED = auto()  # DTC lacks what the document is kept under, or comes too late
    REPEATED = auto()  # the command was answered before
    EMPTY = auto()  # a page without a single row: never confirmed
    PAGE_WHOLE = auto()
    PAGE_BAD = auto()
    BLOCK_WHOLE = auto()
    BLOCK_TORN = auto()
    BLOCK_GIVEN_UP = auto()
    TOO_LATE = auto()  # kept too late to answer now without crossing the sender's repetition
    GONE_ON = auto()  # the sender sent more before it had its answer
    OVER_LIMIT = auto()
    # verdicts: both
    REFUSED = auto()  # RTN once too often
    NEXT_PAGE = auto()
    NEXT_DOCUMENT = auto()
    LAST_PAGE = auto()
    RETRAIN = auto()
    # verdicts: sending
    AGREED = auto()
    NO_RATE = auto()
    CODED = auto()
    UNCODED = auto()
    NEXT_BLOCK = auto()
    RESEND = auto()
    CHANGE_RATE = auto()
    GIVE_UP_BLOCK = auto()
    CODING_LATE = auto()
    TRY_AGAIN = auto()
    TRIES_OUT = auto()


class Timer(Enum):
    """Everything the clock can bring; durations in `options.Timers`."""

    T1 = auto()
    T2 = auto()
    T4 = auto()
    T5 = auto()
    REPEAT_DIS = auto()
    FRAME = auto()
    TURN = auto()
    SILENCE = auto()
    TRAINING = auto()
    READY = auto()
    ASK_READY = auto()
    CNG = auto()
    CODING = auto()
    LEAVING = auto()  # our own signal: the line says when it has left; this one fires when it never does
    GOODBYE = auto()
    PAGE = auto()
    CALL = auto()
    PROGRESS = auto()  # 2 x T1 without any
    DECODE = auto()  # a backlog waits: due at once
    ESTIMATE = auto()  # a page is on the line: say how far it is


EXPIRY: Final[dict[Timer, Line]] = {
    Timer.T1: Line.T1_EXPIRED,
    Timer.T2: Line.T2_EXPIRED,
    Timer.T4: Line.T4_EXPIRED,
    Timer.T5: Line.T5_EXPIRED,
    Timer.REPEAT_DIS: Line.T4_EXPIRED,
    Timer.TRAINING: Line.BURST_END,
    Timer.READY: Line.RNR_DUE,
    Timer.ASK_READY: Line.RR_DUE,
    Timer.CNG: Line.CNG_DUE,
    Timer.CODING: Line.CODING_SLOW,
    Timer.PAGE: Line.PAGE_LATE,
    Timer.CALL: Line.CALL_LATE,
}
"""Timers whose expiry is a trigger; the others are looked after by terminal.py itself."""

REPLY_TIMERS: Final = (Timer.T2, Timer.T4, Timer.REPEAT_DIS, Timer.TRAINING, Timer.CNG, Timer.CODING, Timer.ASK_READY)
"""One of these runs at a time: a step that names one stops the others."""

LASTING: Final = (Timer.CALL, Timer.PROGRESS, Timer.LEAVING, Timer.FRAME, Timer.TURN)
"""Those of the line and the call, which outlive a change of roles."""

FLAG_TIMERS: Final = (Timer.T2, Timer.T4, Timer.REPEAT_DIS)
"""Stopped by the first flag; they go on when no frame follows."""


class Do(Enum):
    """What a step does besides speaking; each is one method of the receiver or the sender."""

    # receiving
    ANSWER_CALL = auto()
    SAY_DIS = auto()
    ACCEPT_DCS = auto()
    JUDGE_TCF = auto()
    ACCEPT_CTC = auto()
    OPEN_PAGE = auto()
    JUDGE_POST = auto()
    JUDGE_BLOCK = auto()
    JUDGE_REST = auto()
    FINISH_PAGE = auto()
    SAY_PPR = auto()
    SAY_AGAIN = auto()
    RECALL = auto()
    NOTE_REPEAT = auto()
    CHECK_OFFER = auto()
    CHECK_POLL = auto()
    HAND_OVER = auto()
    START_T5 = auto()
    WEIGH_ANSWER = auto()
    CONFIRM = auto()
    # sending
    CALL = auto()
    SAY_CNG = auto()
    CHOOSE = auto()
    TRAIN = auto()
    NOTE_TRAINED = auto()
    LOWER_RATE = auto()
    COUNT_TRY = auto()
    REPEAT = auto()
    START_PAGE = auto()
    CHECK_CODED = auto()
    HOLD_ON = auto()
    SEND_BLOCK = auto()
    SAY_POST = auto()
    NOTE_CONFIRMED = auto()
    NOTE_RETRAIN = auto()
    COUNT_REFUSAL = auto()
    READ_PPR = auto()
    SAY_CTC = auto()
    NOTE_CTR = auto()
    SAY_EOR = auto()
    NOTE_GIVEN_UP = auto()
    SAY_RR = auto()
    RESTART_T1 = auto()


@dataclass(frozen=True, slots=True)
class Step:
    """What a trigger leads to. `to` None stays; `dcn` says DCN before the end that `end` names.

    Order: the state changes, the action runs, `say` is said, `timer` starts (when our signal has left). An action may
    return a verdict: the trigger of the next step.
    """

    to: S | None = None
    do: Do | None = None
    say: Fcf | None = None
    timer: Timer | None = None
    end: Cause | None = None
    dcn: bool = False


Trigger = Fcf | Line
Table = dict[tuple[S, Trigger], Step]


def _fail(cause: Cause) -> Step:
    return Step(S.CLOSING, end=cause, dcn=True)


def _hung(cause: Cause) -> Step:
    return Step(S.CLOSING, end=cause)


RECEIVING: Final = (
    *(S.AWAIT_DCS, S.AWAIT_TCF, S.IN_TCF, S.AWAIT_PAGE, S.IN_PAGE, S.AWAIT_POST),
    *(S.HOLDING, S.BUSY, S.READY, S.AWAIT_COMMAND, S.AWAIT_DCN),
)
SENDING: Final = (*(S.AWAIT_DIS, S.AWAIT_CFR, S.AWAIT_CODED, S.SENDING_PAGE, S.AWAIT_ANSWER, S.PAUSED, S.AWAIT_CTR),)
WITH_STORE: Final = (S.HOLDING, S.BUSY)  # the page is handed over: nothing may move before the store has answered
LISTENING: Final = tuple(state for state in RECEIVING if state not in WITH_STORE)
_ANY_POST: Final = tuple(sorted(POST_MESSAGE, key=lambda fcf: fcf.value))
_REPETITIONS: Final = (*_ANY_POST, Fcf.PPS, Fcf.EOR, Fcf.RR, Fcf.CRP)  # what a sender without an answer may say
_IN_PHASE_C: Final = (S.AWAIT_PAGE, S.IN_PAGE, S.AWAIT_POST)

RECEIVE: Final[Table] = {
    # ways out of everywhere
    **{(s, Fcf.DCN): _hung(Cause.PEER_DISCONNECTED) for s in RECEIVING},
    **{(s, Line.LINE_DOWN): _hung(Cause.PEER_HUNG_UP) for s in RECEIVING},
    **{(s, Line.T1_EXPIRED): _fail(Cause.T1_EXPIRED) for s in RECEIVING},
    **{(s, Line.T2_EXPIRED): _fail(Cause.NO_COMMAND) for s in RECEIVING},
    **{(s, Line.T5_EXPIRED): _fail(Cause.STORAGE) for s in RECEIVING},
    **{(s, Line.NO_PROGRESS): _fail(Cause.NO_COMMAND) for s in RECEIVING},
    **{(s, Line.PAGE_LATE): _fail(Cause.LIMIT) for s in RECEIVING},
    **{(s, Line.CALL_LATE): _fail(Cause.LIMIT) for s in RECEIVING},
    **{(s, Line.OVER_LIMIT): _fail(Cause.LIMIT) for s in RECEIVING},
    **{(s, Line.PAGE_LOST): _fail(Cause.STORAGE) for s in WITH_STORE},
    # commands that are legal wherever a command is
    **{(s, Fcf.DCS): Step(S.AWAIT_TCF, Do.ACCEPT_DCS, timer=Timer.T2) for s in LISTENING},
    **{(s, post): Step(do=Do.JUDGE_POST) for s in LISTENING for post in _ANY_POST},
    **{(s, Fcf.PPS): Step(do=Do.JUDGE_BLOCK) for s in LISTENING},
    **{(s, Fcf.EOR): Step(do=Do.JUDGE_REST) for s in LISTENING},
    **{(s, asks): Step(do=Do.RECALL, timer=Timer.T2) for s in LISTENING for asks in (Fcf.RR, Fcf.CRP)},
    **{(s, Fcf.CTC): Step(S.AWAIT_PAGE, Do.ACCEPT_CTC, timer=Timer.T2) for s in _IN_PHASE_C},
    **{(s, Line.REPEATED): Step(do=Do.SAY_AGAIN, timer=Timer.T2) for s in LISTENING},
    # phase B
    (S.IDLE, Line.LINE_UP): Step(S.AWAIT_DCS, Do.ANSWER_CALL, timer=Timer.REPEAT_DIS),
    (S.AWAIT_DCS, Line.T4_EXPIRED): Step(do=Do.SAY_DIS, timer=Timer.REPEAT_DIS),
    (S.AWAIT_DCS, Fcf.RR): Step(),
    (S.AWAIT_DCS, Fcf.CRP): Step(do=Do.SAY_DIS, timer=Timer.REPEAT_DIS),
    (S.AWAIT_DCS, Line.REPEATED): Step(do=Do.SAY_AGAIN, timer=Timer.REPEAT_DIS),
    (S.AWAIT_TCF, Line.CARRIER): Step(S.IN_TCF, timer=Timer.TRAINING),
    (S.AWAIT_TCF, Line.AWARE): Step(S.AWAIT_PAGE, say=Fcf.CFR, timer=Timer.T2),
    (S.AWAIT_TCF, Line.T2_EXPIRED): Step(S.AWAIT_DCS, Do.SAY_DIS, timer=Timer.REPEAT_DIS),
    (S.IN_TCF, Line.BURST_END): Step(do=Do.JUDGE_TCF),
    (S.IN_TCF, Line.TRAINED): Step(S.AWAIT_PAGE, say=Fcf.CFR, timer=Timer.T2),
    (S.IN_TCF, Line.UNFIT): _fail(Cause.INCOMPATIBLE),
    (S.IN_TCF, Line.UNTRAINED): Step(S.AWAIT_COMMAND, say=Fcf.FTT, timer=Timer.T2),
    (S.AWAIT_COMMAND, Line.T2_EXPIRED): Step(S.AWAIT_DCS, Do.SAY_DIS, timer=Timer.REPEAT_DIS),
    # Quirk: after RTP or RTN some senders go on with the page at once, without DCS.
    (S.AWAIT_COMMAND, Line.CARRIER): Step(S.IN_PAGE, Do.OPEN_PAGE),
    # phase C
    **{(s, Line.CARRIER): Step(S.IN_PAGE, Do.OPEN_PAGE) for s in (S.AWAIT_PAGE, S.AWAIT_POST, S.READY)},
    **{(s, Line.T2_EXPIRED): _fail(Cause.NO_CARRIER) for s in (S.AWAIT_PAGE, S.IN_PAGE)},
    **{(s, Line.NO_PROGRESS): _fail(Cause.NO_CARRIER) for s in (S.AWAIT_PAGE, S.IN_PAGE)},
    (S.IN_PAGE, Line.BURST_END): Step(S.AWAIT_POST, timer=Timer.T2),
    # phase D: verdicts on a page or a block
    **{(s, Line.EMPTY): Step(timer=Timer.T2) for s in LISTENING},
    (S.AWAIT_DCS, Line.EMPTY): Step(timer=Timer.REPEAT_DIS),
    **{(s, Line.PAGE_WHOLE): Step(S.HOLDING, Do.FINISH_PAGE) for s in LISTENING},
    **{(s, Line.BLOCK_WHOLE): Step(S.AWAIT_PAGE, say=Fcf.MCF, timer=Timer.T2) for s in LISTENING},
    **{(s, Line.BLOCK_TORN): Step(S.AWAIT_PAGE, Do.SAY_PPR, timer=Timer.T2) for s in LISTENING},
    **{(s, Line.BLOCK_GIVEN_UP): Step(S.AWAIT_PAGE, say=Fcf.ERR, timer=Timer.T2) for s in LISTENING},
    **{(s, Line.PAGE_BAD): Step(S.AWAIT_COMMAND, say=Fcf.RTN, timer=Timer.T2) for s in WITH_STORE},
    **{(s, Line.EMPTY): Step(S.AWAIT_POST, timer=Timer.T2) for s in WITH_STORE},
    **{(s, Line.REFUSED): _fail(Cause.PAGE_REFUSED) for s in WITH_STORE},
    # phase D: the store
    **{(s, post): Step(do=Do.NOTE_REPEAT) for s in WITH_STORE for post in _REPETITIONS},
    (S.HOLDING, Line.PAGE_KEPT): Step(do=Do.WEIGH_ANSWER),
    (S.HOLDING, Line.RNR_DUE): Step(S.BUSY, Do.START_T5, say=Fcf.RNR, timer=Timer.T2),
    (S.HOLDING, Line.NO_PROGRESS): _fail(Cause.STORAGE),
    (S.HOLDING, Line.TOO_LATE): Step(S.READY, timer=Timer.T2),
    (S.BUSY, Line.RNR_DUE): Step(say=Fcf.RNR, timer=Timer.T2),
    (S.BUSY, Line.PAGE_KEPT): Step(S.READY, timer=Timer.T2),
    **{(S.READY, post): Step(do=Do.CONFIRM) for post in _REPETITIONS},
    **{(s, Line.GONE_ON): Step(S.AWAIT_COMMAND, timer=Timer.T2) for s in (S.HOLDING, S.READY)},
    **{(s, Line.NEXT_PAGE): Step(S.AWAIT_PAGE, timer=Timer.T2) for s in (S.HOLDING, S.BUSY, S.READY)},
    **{(s, Line.NEXT_DOCUMENT): Step(S.AWAIT_COMMAND, timer=Timer.T2) for s in (S.HOLDING, S.BUSY, S.READY)},
    **{(s, Line.RETRAIN): Step(S.AWAIT_COMMAND, timer=Timer.T2) for s in (S.HOLDING, S.BUSY, S.READY)},
    **{(s, Line.LAST_PAGE): Step(S.AWAIT_DCN, timer=Timer.T2) for s in (S.HOLDING, S.BUSY, S.READY)},
    # phase E: the last page is confirmed, with DCN or without (some never say it)
    (S.AWAIT_DCN, Fcf.DCN): _hung(Cause.COMPLETE),
    (S.AWAIT_DCN, Line.LINE_DOWN): _hung(Cause.COMPLETE),
    (S.AWAIT_DCN, Line.T2_EXPIRED): _hung(Cause.COMPLETE),
    (S.AWAIT_DCN, Line.NO_PROGRESS): _hung(Cause.COMPLETE),
    (S.AWAIT_DCN, Line.CALL_LATE): _hung(Cause.COMPLETE),
    (S.AWAIT_DCN, Line.EMPTY): Step(),
    (S.AWAIT_DCN, Fcf.DCS): Step(),
}

_ASKED: Final = (S.AWAIT_CFR, S.AWAIT_ANSWER, S.AWAIT_CTR)

SEND: Final[Table] = {
    # ways out of everywhere
    **{(s, Fcf.DCN): _hung(Cause.PEER_DISCONNECTED) for s in SENDING},
    **{(s, Line.LINE_DOWN): _hung(Cause.PEER_HUNG_UP) for s in SENDING},
    **{(s, Line.T1_EXPIRED): _fail(Cause.T1_EXPIRED) for s in SENDING},
    **{(s, Line.T5_EXPIRED): _fail(Cause.NO_RESPONSE) for s in SENDING},
    **{(s, Line.NO_PROGRESS): _fail(Cause.NO_RESPONSE) for s in SENDING},
    **{(s, Line.PAGE_LATE): _fail(Cause.LIMIT) for s in SENDING},
    **{(s, Line.CALL_LATE): _fail(Cause.LIMIT) for s in SENDING},
    **{(s, Line.CODING_LATE): _fail(Cause.STORAGE) for s in SENDING},
    **{(s, Line.PAGE_UNAVAILABLE): _fail(Cause.DOCUMENT) for s in SENDING},
    # a command without an answer
    **{(s, trigger): Step(do=Do.COUNT_TRY) for s in _ASKED for trigger in (Line.T4_EXPIRED, Fcf.CRP)},
    **{(s, Line.TRY_AGAIN): Step(do=Do.REPEAT, timer=Timer.T4) for s in _ASKED},
    **{(s, Line.TRIES_OUT): _fail(Cause.NO_RESPONSE) for s in _ASKED},
    # phase B
    (S.IDLE, Line.LINE_UP): Step(S.AWAIT_DIS, Do.CALL, timer=Timer.CNG),
    (S.AWAIT_DIS, Line.CNG_DUE): Step(do=Do.SAY_CNG, timer=Timer.CNG),
    (S.AWAIT_DIS, Fcf.DIS): Step(do=Do.CHOOSE),
    (S.AWAIT_DIS, Line.UNFIT): _fail(Cause.INCOMPATIBLE),
    (S.AWAIT_DIS, Line.AGREED): Step(S.AWAIT_CFR, Do.TRAIN, timer=Timer.T4),
    (S.AWAIT_CFR, Fcf.DIS): Step(do=Do.COUNT_TRY),  # our DCS was not heard
    (S.AWAIT_CFR, Fcf.CFR): Step(do=Do.NOTE_TRAINED),
    (S.AWAIT_CFR, Fcf.FTT): Step(do=Do.LOWER_RATE),
    (S.AWAIT_CFR, Line.AGREED): Step(do=Do.TRAIN, timer=Timer.T4),
    (S.AWAIT_CFR, Line.NO_RATE): _fail(Cause.CANNOT_TRAIN),
    # phase C
    **{(s, Line.CODED): Step(S.SENDING_PAGE, Do.SEND_BLOCK) for s in SENDING},
    **{(s, Line.UNCODED): Step(S.AWAIT_CODED, timer=Timer.CODING) for s in SENDING},
    (S.AWAIT_CODED, Line.PAGE_CODED): Step(do=Do.CHECK_CODED),
    # The receiver hangs up when T2 is over: DCS and TCF once more, as if its CFR had been lost, give us another T2.
    (S.AWAIT_CODED, Line.CODING_SLOW): Step(do=Do.HOLD_ON),
    (S.AWAIT_CODED, Line.RETRAIN): Step(S.AWAIT_CFR, Do.TRAIN, timer=Timer.T4),
    (S.SENDING_PAGE, Line.SENT): Step(S.AWAIT_ANSWER, Do.SAY_POST, timer=Timer.T4),
    # phase D
    **{(S.AWAIT_ANSWER, answer): Step(do=Do.NOTE_CONFIRMED) for answer in (Fcf.MCF, Fcf.PIP)},
    # A station that wants an operator and to be rid of us: what it thinks of the page stays open.
    (S.AWAIT_ANSWER, Fcf.PID): _fail(Cause.PEER_DISCONNECTED),
    (S.AWAIT_ANSWER, Fcf.RTP): Step(do=Do.NOTE_RETRAIN),
    **{(S.AWAIT_ANSWER, answer): Step(do=Do.COUNT_REFUSAL) for answer in (Fcf.RTN, Fcf.PIN)},
    (S.AWAIT_ANSWER, Fcf.PPR): Step(do=Do.READ_PPR),
    (S.AWAIT_ANSWER, Fcf.ERR): Step(do=Do.NOTE_GIVEN_UP),
    (S.AWAIT_ANSWER, Fcf.RNR): Step(S.PAUSED, Do.START_T5, timer=Timer.ASK_READY),
    (S.PAUSED, Line.RR_DUE): Step(S.AWAIT_ANSWER, Do.SAY_RR, timer=Timer.T4),
    (S.AWAIT_ANSWER, Line.NEXT_BLOCK): Step(S.SENDING_PAGE, Do.SEND_BLOCK),
    (S.AWAIT_ANSWER, Line.RESEND): Step(S.SENDING_PAGE, Do.SEND_BLOCK),
    (S.AWAIT_ANSWER, Line.CHANGE_RATE): Step(S.AWAIT_CTR, Do.SAY_CTC, timer=Timer.T4),
    (S.AWAIT_ANSWER, Line.GIVE_UP_BLOCK): Step(do=Do.SAY_EOR, timer=Timer.T4),
    (S.AWAIT_CTR, Fcf.CTR): Step(do=Do.NOTE_CTR),
    (S.AWAIT_CTR, Line.RESEND): Step(S.SENDING_PAGE, Do.SEND_BLOCK),
    (S.AWAIT_ANSWER, Line.NEXT_PAGE): Step(do=Do.START_PAGE),
    (S.AWAIT_ANSWER, Line.RETRAIN): Step(S.AWAIT_CFR, Do.TRAIN, timer=Timer.T4),
    (S.AWAIT_ANSWER, Line.NO_RATE): _fail(Cause.CANNOT_TRAIN),
    (S.AWAIT_ANSWER, Line.REFUSED): _fail(Cause.PAGE_REFUSED),
    (S.AWAIT_ANSWER, Line.NEXT_DOCUMENT): Step(S.AWAIT_DIS, Do.RESTART_T1),
    # phase E
    (S.AWAIT_ANSWER, Line.LAST_PAGE): _fail(Cause.COMPLETE),
}

OFFER: Final[Table] = {
    **RECEIVE,
    (S.AWAIT_DCS, Fcf.DTC): Step(do=Do.CHECK_POLL),
    (S.AWAIT_DCS, Line.POLLED): Step(S.ENDED, Do.HAND_OVER),
    (S.AWAIT_DCS, Line.UNAUTHORISED): _fail(Cause.REJECTED),
    (S.AWAIT_TCF, Line.UNFIT): _fail(Cause.INCOMPATIBLE),
}
"""The called side that may have a document: DTC makes it the sender, which goes on at POLLED."""

POLLED: Final[Table] = {
    **SEND,
    (S.AWAIT_DIS, Fcf.DTC): Step(do=Do.CHOOSE),
    (S.AWAIT_CFR, Fcf.DTC): Step(do=Do.COUNT_TRY),  # our DCS was not heard
}
"""The called side as the sender: what a DIS is to a caller, the DTC is to it."""

POLL: Final[Table] = {
    **RECEIVE,
    (S.AWAIT_DIS, Fcf.DCN): _hung(Cause.PEER_DISCONNECTED),
    (S.AWAIT_DIS, Line.LINE_DOWN): _hung(Cause.PEER_HUNG_UP),
    (S.AWAIT_DIS, Line.T1_EXPIRED): _fail(Cause.T1_EXPIRED),
    (S.AWAIT_DIS, Line.NO_PROGRESS): _fail(Cause.NO_RESPONSE),
    (S.AWAIT_DIS, Line.CALL_LATE): _fail(Cause.LIMIT),
    (S.IDLE, Line.LINE_UP): Step(S.AWAIT_DIS, Do.CALL, timer=Timer.CNG),
    (S.AWAIT_DIS, Line.CNG_DUE): Step(do=Do.SAY_CNG, timer=Timer.CNG),
    (S.AWAIT_DIS, Fcf.DIS): Step(do=Do.CHECK_OFFER),
    (S.AWAIT_DIS, Line.UNFIT): _fail(Cause.INCOMPATIBLE),
    (S.AWAIT_DIS, Line.AGREED): Step(S.AWAIT_DCS, Do.SAY_DIS, timer=Timer.T4),
    # DTC is a command: it is said as often as any other
    **{(S.AWAIT_DCS, trigger): Step(do=Do.COUNT_TRY) for trigger in (Line.T4_EXPIRED, Fcf.CRP, Fcf.DIS)},
    (S.AWAIT_DCS, Line.TRY_AGAIN): Step(do=Do.SAY_DIS, timer=Timer.T4),
    (S.AWAIT_DCS, Line.TRIES_OUT): _fail(Cause.NO_RESPONSE),
}
"""The caller that receives: DIS is answered by DTC, and from there it is a receiver whose DIS is called DTC."""

PHASES: Final[dict[S, Phase]] = {
    S.IDLE: Phase.CALL,
    **dict.fromkeys((S.AWAIT_DCS, S.AWAIT_TCF, S.IN_TCF, S.AWAIT_COMMAND, S.AWAIT_DIS, S.AWAIT_CFR), Phase.IDENTIFY),
    **dict.fromkeys((S.AWAIT_PAGE, S.IN_PAGE, S.AWAIT_CODED, S.SENDING_PAGE, S.AWAIT_CTR), Phase.MESSAGE),
    **dict.fromkeys((S.AWAIT_POST, S.HOLDING, S.BUSY, S.READY, S.AWAIT_ANSWER, S.PAUSED), Phase.POST_MESSAGE),
    **dict.fromkeys((S.AWAIT_DCN, S.CLOSING, S.ENDED), Phase.RELEASE),
}

AWAITED: Final[dict[S, str]] = {
    S.IDLE: "waiting for the line",
    S.AWAIT_DCS: "waiting for an answer to DIS",
    S.AWAIT_TCF: "waiting for the training signal after DCS",
    S.IN_TCF: "checking the training signal",
    S.AWAIT_PAGE: "waiting for page data",
    S.IN_PAGE: "receiving a page",
    S.AWAIT_POST: "waiting for the command after a page",
    S.HOLDING: "storing a page",
    S.BUSY: "storing a page, the sender told to wait",
    S.READY: "waiting for the sender to repeat its command",
    S.AWAIT_COMMAND: "waiting for a command",
    S.AWAIT_DCN: "waiting for DCN",
    S.AWAIT_DIS: "waiting for DIS",
    S.AWAIT_CFR: "waiting for an answer to DCS and training",
    S.AWAIT_CODED: "waiting for the coded page",
    S.SENDING_PAGE: "sending a page",
    S.AWAIT_ANSWER: "waiting for the answer to a page",
    S.PAUSED: "waiting for the receiver to be ready",
    S.AWAIT_CTR: "waiting for CTR",
    S.CLOSING: "closing",
    S.ENDED: "at the end",
}
"""What a terminal was doing, for the evidence of an outcome."""

AWAITED_POLLING: Final = {**AWAITED, S.AWAIT_DCS: "waiting for an answer to DTC"}
AWAITED_POLLED: Final = {**AWAITED, S.AWAIT_DIS: "waiting for DTC"}
