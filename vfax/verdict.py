"""The verdict: why a fax ended as it did, in one plain sentence, and whether another try makes sense.

Owns      the sentence of every cause, direction and phase; SIP statuses in words; which cause a status means;
          the default advice about another try.
Not here  deciding that a fax has ended (t30/, leg.py); the FS_* status (device/status.py).
Source    status codes: RFC 3261 21 and the RFCs named in the table; phases and commands: T.30 (09/2005) clause 5.

Pure: text in, text out. Words of the peer come in as `evidence` only, and never reach a template.
"""

from typing import Final

from vfax.outcome import Cause, Outcome, Phase, Retry
from vfax.transports.sip.reasons import REASONS

MAX_EVIDENCE: Final = 200
"""Limit: characters of evidence in a sentence; the journal has the rest."""


def explain(outcome: Outcome, *, sending: bool, evidence: str = "") -> str:
    """One sentence: which side, at which step, what was awaited and what came, the pages, and whether to try again.

    `evidence` is what was seen, in a few words ("DCN instead of MCF"); it is cut, cleaned and put in parentheses.
    """
    if outcome.cause is Cause.COMPLETE:
        return _success(outcome, sending=sending)
    words = {
        "step": STEPS[sending][outcome.phase],
        "awaited": AWAITED[sending][outcome.phase],
        "page": str(outcome.pages_confirmed + 1),
    }
    words = {name: text.format(page=words["page"]) for name, text in words.items()}
    what = SENTENCES[outcome.cause][0 if sending else 1].format(**words)
    if outcome.cause is Cause.CANNOT_TRAIN and outcome.rate_bps:
        what += f", the last tried being {outcome.rate_bps} bit/s"
    parts = (f"{what}{_proof(outcome.sip_status, evidence)}", _pages(outcome, sending=sending))
    return f"{'; '.join((*parts, _next_try(outcome, sending=sending)))}."


def advice(cause: Cause, sip_status: int | None = None) -> Retry:
    """Whether another try makes sense, unless the call itself knows better."""
    if sip_status in HOPELESS_STATUSES and cause in (Cause.NETWORK, Cause.REJECTED, Cause.BAD_ADDRESS):
        return Retry.NEVER
    return ADVICE[cause]


def cause_of_sip(status: int, *, t38_offered: bool = True) -> Cause:
    """What the final failure of an INVITE means.

    488, 606 and 415 refuse the media: T38_REFUSED when it was T.38, else REJECTED.
    """
    if status in MEDIA_REFUSED and not t38_offered:
        return Cause.REJECTED
    if status in CAUSES_OF_SIP:
        return CAUSES_OF_SIP[status]
    return Cause.NETWORK if 500 <= status < 600 else Cause.REJECTED


def sip_words(status: int) -> str:
    """`SIP 486 Busy Here`; a status that nobody registered keeps its number alone."""
    return f"SIP {status} {REASONS[status]}" if status in REASONS else f"SIP {status}"


# --- parts of the sentence -----------------------------------------------------------------------


def _success(outcome: Outcome, *, sending: bool) -> str:
    count = outcome.pages_confirmed
    which = {1: "its only page", 2: "both pages"}.get(count, f"all {count} pages")
    if sending:
        return f"The fax was delivered: the receiver confirmed {which}."
    damage = f", {_count(outcome.bad_rows, 'damaged row')} repaired" if outcome.bad_rows else ""
    return f"The fax was received: {which} {'is' if count == 1 else 'are'} complete{damage}."


def _proof(status: int | None, evidence: str) -> str:
    said = "; ".join(one for one in (sip_words(status) if status else "", _clean(evidence)) if one)
    return f" ({said})" if said else ""


def _clean(evidence: str) -> str:
    """One line of printable text without an end of sentence, cut to the limit."""
    text = " ".join("".join(one if one.isprintable() else " " for one in evidence[: 4 * MAX_EVIDENCE]).split())
    if len(text) > MAX_EVIDENCE:
        return f"{text[:MAX_EVIDENCE].rstrip()}..."
    return text.rstrip(".;, ")


def _pages(outcome: Outcome, *, sending: bool) -> str:
    count, partial = outcome.pages_confirmed, outcome.pages_partial
    if not count and not partial and outcome.cause in BEFORE_FAX:
        return "nothing was sent" if sending else "nothing was received"
    if sending:
        return f"{_count(count, 'page')} {'was' if count == 1 else 'were'} confirmed"
    kept = f", {_count(partial, 'page')} {'is' if partial == 1 else 'are'} kept incomplete" if partial else ""
    return f"{_count(count, 'page')} {'is' if count == 1 else 'are'} complete{kept}"


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def _next_try(outcome: Outcome, *, sending: bool) -> str:
    if outcome.cause is Cause.ABORTED and outcome.retry is Retry.NEVER:
        return "no other try is due"
    text = RETRIES[outcome.retry]
    text = text if sending else text.replace("try again", "the sender may try again")
    if outcome.cause is Cause.UNCERTAIN and sending and outcome.retry is not Retry.NEVER:
        text += ", which may deliver the last page twice"
    return text


# --- tables --------------------------------------------------------------------------------------

STEPS: Final[dict[bool, dict[Phase, str]]] = {
    True: {
        Phase.IDLE: "before the call was made",
        Phase.CALL: "while the call was being set up",
        Phase.IDENTIFY: "during identification and training",
        Phase.MESSAGE: "while page {page} was being sent",
        Phase.POST_MESSAGE: "after page {page} had been sent",
        Phase.RELEASE: "at the end of the fax",
    },
    False: {
        Phase.IDLE: "before the call was answered",
        Phase.CALL: "while the call was being set up",
        Phase.IDENTIFY: "during identification and training",
        Phase.MESSAGE: "while page {page} was being received",
        Phase.POST_MESSAGE: "after page {page} had come",
        Phase.RELEASE: "at the end of the fax",
    },
}
"""Where the fax was, by direction (True: we sent) and phase."""

AWAITED: Final[dict[bool, dict[Phase, str]]] = {
    True: {
        Phase.IDLE: "a line",
        Phase.CALL: "the call to come up as a fax call",
        Phase.IDENTIFY: "the receiver's capabilities (DIS) or its answer to training (CFR or FTT)",
        Phase.MESSAGE: "the end of page {page}",
        Phase.POST_MESSAGE: "the confirmation of page {page} (MCF)",
        Phase.RELEASE: "the call to be cleared",
    },
    False: {
        Phase.IDLE: "the call",
        Phase.CALL: "the first fax signal",
        Phase.IDENTIFY: "the sender's command and training (DCS and TCF)",
        Phase.MESSAGE: "the data of page {page}",
        Phase.POST_MESSAGE: "the command after page {page} (MPS, EOM or EOP)",
        Phase.RELEASE: "the sender's disconnect (DCN)",
    },
}
"""What we were waiting for there."""

SENTENCES: Final[dict[Cause, tuple[str, str]]] = {
    Cause.COMPLETE: ("The fax was delivered", "The fax was received"),  # explain() says more
    Cause.BUSY: ("The other side is busy", "The caller was told that this side is busy"),
    Cause.NO_ANSWER: ("Nobody answered the call", "The call ended before this side had answered it"),
    Cause.BAD_ADDRESS: (
        "The destination does not exist or cannot be called",
        "The call was for a destination that does not exist here",
    ),
    Cause.REJECTED: ("The other side rejected the call", "This side rejected the call"),
    Cause.LINE_UNAVAILABLE: (
        "No line of this side was free for the call",
        "The call was refused because no line of this side was free",
    ),
    Cause.T38_REFUSED: ("The other side refused T.38", "The caller's side refused T.38"),
    Cause.NOT_FAX: (
        "The other side answered, but not as a fax: we were waiting for {awaited}, and no fax signal came",
        "The caller is not a fax: we were waiting for {awaited}, and none came",
    ),
    Cause.NETWORK: (
        "The network did not carry the call to the other side {step}",
        "The network lost the caller's call {step}",
    ),
    Cause.T1_EXPIRED: (
        "The receiver never said what it can do {step}: we were waiting for {awaited}, and T1 ran out",
        "The sender never reacted to what we can do {step}: we were waiting for {awaited}, and T1 ran out",
    ),
    Cause.NO_COMMAND: (
        "The receiver fell silent {step}: we were waiting for {awaited}, and T2 ran out",
        "The sender stopped commanding {step}: we were waiting for {awaited}, and T2 ran out",
    ),
    Cause.NO_RESPONSE: (
        "The receiver stopped answering {step}: we were waiting for {awaited}, and three tries brought nothing",
        "The sender stopped answering {step}: we were waiting for {awaited}, and three tries brought nothing",
    ),
    Cause.NO_CARRIER: (
        "The signal to the receiver broke off {step}: we were waiting for {awaited}",
        "The announced page data did not come or broke off {step}: we were waiting for {awaited}",
    ),
    Cause.CANNOT_TRAIN: (
        "The receiver refused the training at every rate {step}",
        "The sender's training could not be used at any rate {step}",
    ),
    Cause.INCOMPATIBLE: (
        "The two machines have no mode in common {step}: the receiver's capabilities (DIS) do not allow this fax",
        "The two machines have no mode in common {step}: the sender's command (DCS) asks for what we did not offer",
    ),
    Cause.PAGE_REFUSED: (
        "The receiver refused page {page} too often (RTN) {step}",
        "Page {page} came damaged too often and was refused (RTN) {step}",
    ),
    Cause.ECM_FAILED: (
        "Error correction failed {step}: the receiver kept asking for parts of page {page} (PPR)",
        "Error correction failed {step}: parts of page {page} stayed missing after every repeat",
    ),
    Cause.PEER_DISCONNECTED: (
        "The receiver ended the fax early {step}: we were waiting for {awaited}, and a disconnect (DCN) came",
        "The sender ended the fax early {step}: we were waiting for {awaited}, and a disconnect (DCN) came",
    ),
    Cause.PEER_HUNG_UP: (
        "The receiver hung up {step}: we were waiting for {awaited}, and the call was ended",
        "The sender hung up {step}: we were waiting for {awaited}, and the call was ended",
    ),
    Cause.UNCERTAIN: (
        "The receiver may have the whole fax, but its confirmation of page {page} (MCF) never came {step}",
        "The sender may not know that we have the fax: it was gone before our confirmation was sure {step}",
    ),
    Cause.ABORTED: ("Sending was aborted on this side {step}", "Receiving was aborted on this side {step}"),
    Cause.STORAGE: (
        "The storage of this side failed {step}",
        "Page {page} could not be stored on this side {step}, so it was not confirmed",
    ),
    Cause.DOCUMENT: (
        "The document could not be turned into pages on this side {step}",
        "The received pages could not be turned into a document on this side {step}",
    ),
    Cause.LIMIT: (
        "The fax went beyond a limit set on this side {step}",
        "The sender went beyond a limit set on this side {step}",
    ),
    Cause.INTERNAL: (
        "A fault in vfax ended the sending {step}; please report it with the journal",
        "A fault in vfax ended the receiving {step}; please report it with the journal",
    ),
}
"""What happened: (when we sent, when we received)."""

BEFORE_FAX: Final = frozenset(
    {
        Cause.BUSY,
        Cause.NO_ANSWER,
        Cause.BAD_ADDRESS,
        Cause.REJECTED,
        Cause.LINE_UNAVAILABLE,
        Cause.T38_REFUSED,
        Cause.NOT_FAX,
    }
)
"""Causes that leave no page behind."""

RETRIES: Final[dict[Retry, str]] = {
    Retry.NEVER: "another try would end the same way",
    Retry.NOW: "try again at once",
    Retry.LATER: "try again later",
    Retry.LOWER_RATE: "try again at a lower rate",
    Retry.NO_ECM: "try again without error correction (ECM)",
    Retry.AUDIO: "try again with an audio call that switches to T.38 later",
}

ADVICE: Final[dict[Cause, Retry]] = {
    Cause.COMPLETE: Retry.NEVER,
    Cause.BUSY: Retry.LATER,
    Cause.NO_ANSWER: Retry.LATER,
    Cause.BAD_ADDRESS: Retry.NEVER,
    Cause.REJECTED: Retry.NEVER,
    Cause.LINE_UNAVAILABLE: Retry.LATER,
    Cause.T38_REFUSED: Retry.AUDIO,
    Cause.NOT_FAX: Retry.LATER,
    Cause.NETWORK: Retry.LATER,
    Cause.T1_EXPIRED: Retry.LATER,
    Cause.NO_COMMAND: Retry.LATER,
    Cause.NO_RESPONSE: Retry.LATER,
    Cause.NO_CARRIER: Retry.LATER,
    Cause.CANNOT_TRAIN: Retry.LOWER_RATE,
    Cause.INCOMPATIBLE: Retry.NEVER,
    Cause.PAGE_REFUSED: Retry.LOWER_RATE,
    Cause.ECM_FAILED: Retry.NO_ECM,
    Cause.PEER_DISCONNECTED: Retry.LATER,
    Cause.PEER_HUNG_UP: Retry.LATER,
    Cause.UNCERTAIN: Retry.LATER,
    Cause.ABORTED: Retry.NEVER,
    Cause.STORAGE: Retry.LATER,
    Cause.DOCUMENT: Retry.NEVER,
    Cause.LIMIT: Retry.NEVER,
    Cause.INTERNAL: Retry.LATER,
}

MEDIA_REFUSED: Final = frozenset({415, 488, 606})

HOPELESS_STATUSES: Final = frozenset({404, 410, 414, 416, 485, 501, 505, 513, 604})
"""Statuses that no waiting changes."""

CAUSES_OF_SIP: Final[dict[int, Cause]] = {
    **dict.fromkeys((486, 600), Cause.BUSY),
    **dict.fromkeys((408, 480, 487), Cause.NO_ANSWER),
    **dict.fromkeys((300, 301, 302, 404, 410, 414, 416, 484, 485, 604), Cause.BAD_ADDRESS),
    **dict.fromkeys(MEDIA_REFUSED, Cause.T38_REFUSED),
    **dict.fromkeys((481, 482, 483, 491), Cause.NETWORK),
}
"""Final failures with a meaning of their own; other 5xx are NETWORK, the rest is REJECTED."""
