"""The verdict: why a fax ended as it did, in one plain sentence, with its evidence and what to do next.

Owns      `explain` for a call that has just ended, `judge` for a journal; the parts of a sentence; SIP statuses in
          words, and which cause a status means.
Not here  which verdict applies and its words (verdict_table.py), the facts (course.py), deciding that a fax has ended
          (t30/, leg.py); the FS_* status (device/status.py).
Source    status codes: RFC 3261 21 and the RFCs named in the table of reasons.

Pure: text in, text out. Words of the peer come in as evidence only: cleaned, cut, and never a template.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from vfax.course import MAX_PAGES, Course, JournalLine, course_of, ranges
from vfax.outcome import Cause, Outcome, Phase, Retry
from vfax.transports.sip.reason import Q850, Reason
from vfax.transports.sip.reasons import REASONS
from vfax.verdict_table import ALONE, Row, V, row_of

MAX_EVIDENCE: Final = 200
"""Limit: characters of one piece of evidence; the journal has the rest."""

SILENT: Final = 1.5
"""Seconds without a packet that are worth a word."""

CAUSES: Final = {cause.value: cause for cause in Cause}
PHASES: Final = {phase.value: phase for phase in Phase}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a journal says: a stable name, one sentence, the facts behind it, the outcome (as far as there is one)."""

    name: str
    sentence: str
    evidence: tuple[str, ...]
    outcome: Outcome


# --- doors ---------------------------------------------------------------------------------------


def explain(outcome: Outcome, course: Course, *, sending: bool, evidence: str = "") -> Outcome:
    """The outcome with its verdict, sentence, advice and number filled in.

    `evidence` is what was seen, in a few words ("No space left on device"); without it the outcome's own is taken.
    """
    outcome = replace(outcome, evidence=_clean(evidence or outcome.evidence), sending=sending)
    row = row_of(outcome, course, sending=sending)
    retry = row.advice if isinstance(row.advice, Retry) else row.advice(outcome, course)
    outcome = replace(outcome, retry=retry, verdict=row.name.value, t30_result=int(row.result))
    return replace(outcome, sentence=_sentence(row, outcome, course))


def without_call(cause: Cause, sentence: str, *, sending: bool, phase: Phase = Phase.IDLE) -> Outcome:
    """The outcome of a fax that did not come to a call: what the cause makes of it, and a sentence of its own."""
    outcome = explain(Outcome(cause=cause, phase=phase), Course(calling=sending), sending=sending)
    return replace(outcome, sentence=sentence, evidence="", sending=None)


def aborted(outcome: Outcome, *, sending: bool) -> Outcome:
    """A failure that came after this side had ordered the end: an abort, as far as the pages and the phase it knows."""
    course = Course(calling=sending)
    return explain(replace(outcome, cause=Cause.ABORTED, evidence=""), course, sending=sending)


def judge(lines: Sequence[JournalLine]) -> Verdict:
    """The verdict on a journal, from its lines alone. Never raises, whatever they hold."""
    readable = [line for line in lines if line.kind != "unreadable"]
    torn = len(lines) - len(readable)
    if not lines:
        return _alone(V.EMPTY_JOURNAL, Course(), ())
    if not any(line.kind in ("call", "outcome") for line in readable):
        return _alone(V.NO_JOURNAL, Course(), (f"{_count(len(lines), 'line')}, {torn} of them unreadable",))
    course = course_of(readable)
    sending = any(_sends(line) for line in readable)
    outcome = next((_outcome_of(line.facts) for line in reversed(readable) if line.kind == "outcome"), None)
    damage: tuple[str, ...] = (f"{_count(torn, 'line')} of the journal cannot be read",) if torn else ()
    damage += tuple(_unwritten(line) for line in readable if line.kind == "lost")
    if outcome is None:
        so_far = replace(_so_far(course), sending=sending)
        return _alone(V.UNFINISHED, course, (*_evidence(so_far, course), *damage), sending=sending)
    outcome = explain(outcome, course, sending=sending if outcome.sending is None else outcome.sending)
    return Verdict(outcome.verdict, outcome.sentence, (*_evidence(outcome, course), *damage), outcome)


def cause_of_sip(status: int, *, t38_offered: bool = True, q850: int | None = None) -> Cause:
    """What the final failure of an INVITE means; `q850` is the cause in its Reason, often the more precise of the two.

    488, 606 and 415 refuse the media, as do the causes about bearers: T38_REFUSED when it was T.38, else REJECTED.
    """
    if status not in PRECISE and q850 in CAUSES_OF_Q850:
        cause = CAUSES_OF_Q850[q850]
        return Cause.REJECTED if cause is Cause.T38_REFUSED and not t38_offered else cause
    if status in MEDIA_REFUSED and not t38_offered:
        return Cause.REJECTED
    if status in CAUSES_OF_SIP:
        return CAUSES_OF_SIP[status]
    return Cause.NETWORK if 500 <= status < 600 else Cause.REJECTED


def cause_of_end(q850: int | None) -> Cause:
    """What a BYE or CANCEL means whose Reason has this cause: the network's failures are not the peer's wish."""
    return Cause.NETWORK if CAUSES_OF_Q850.get(q850 or 0) is Cause.NETWORK else Cause.PEER_HUNG_UP


def sip_words(status: int) -> str:
    """`SIP 486 Busy Here`; a status that nobody registered keeps its number alone."""
    return f"SIP {status} {REASONS[status]}" if status in REASONS else f"SIP {status}"


# --- the sentence --------------------------------------------------------------------------------


def _sentence(row: Row, outcome: Outcome, course: Course) -> str:
    what = row.sentence.format(**_words(outcome, course))
    proof = ", ".join(text for text in (PROOFS[name](outcome, course) for name in row.proofs) if text)
    open_end = f"{what[:-1]}; " if what.endswith(")") else f"{what} ("  # one pair of parentheses is enough
    said = f"{open_end}{proof})" if proof else what
    if outcome.ok:
        return f"{said}."
    return f"{said}; {_pages(outcome, course)}. {row.hint or RETRIES[outcome.retry]}"


def _words(outcome: Outcome, course: Course) -> dict[str, str]:
    confirmed = outcome.pages_confirmed
    following = max((course.confirmed or [course.first - 1 + confirmed])[-1], confirmed) + 1
    page = course.page if course.in_page else following
    answered = course.at - course.answered_at if course.answered_at is not None else course.at
    return {
        "page": str(page),
        "next": str(following),
        "last": str(course.page or confirmed),
        "unsent": str(following),
        "lost_page": str(course.lost_page or following),
        "all_pages": _all_pages(confirmed, course),
        "is": "is" if confirmed == 1 else "are",
        "bad_rows": _count(outcome.bad_rows, "row"),
        "rate": f"{course.rate_bps or outcome.rate_bps} bit/s",
        "answered_for": f"{answered:.0f} s",
        "step": STEPS[bool(outcome.sending)][outcome.phase].format(page=page),
        "cause": outcome.cause.value,
    }


def _all_pages(confirmed: int, course: Course) -> str:
    if course.first > 1:  # the pages before were confirmed in an earlier call
        return f"page{'s' if confirmed > 1 else ''} {ranges(_known(confirmed, course))}"
    return {1: "its only page", 2: "both pages"}.get(confirmed, f"all {confirmed} pages")


def _known(confirmed: int, course: Course) -> list[int]:
    """The numbers of the confirmed pages."""
    if len(course.confirmed) == confirmed:
        return course.confirmed
    return list(range(course.first, course.first + min(confirmed, MAX_PAGES)))


def _pages(outcome: Outcome, course: Course) -> str:
    sent = bool(outcome.sending)
    count = outcome.pages_confirmed
    partial = outcome.pages_partial
    if not count and not partial and outcome.phase in (Phase.IDLE, Phase.CALL):
        return "nothing was sent" if sent else "nothing was received"
    which = f"page{'s' if count > 1 else ''} {ranges(_known(count, course))}" if count else "no page"
    if sent:
        return f"{which} {'were' if count > 1 else 'was'} confirmed"
    return f"{which} {'are' if count > 1 else 'is'} complete{_unconfirmed(partial, course)}"


def _unconfirmed(partial: int, course: Course) -> str:
    """What came besides: pages that were cut off, and pages whose confirmation never went out."""
    cuts = course.cuts[-partial:] if partial else []
    words = ""
    if cuts:
        which = f"page {cuts[0]} is" if len(cuts) == 1 else f"pages {ranges(cuts)} are"
        words += f", {which} kept incomplete"
    if rest := partial - len(cuts):
        words += f", {_count(rest, 'page')} came without being confirmed"
    return words


def _unwritten(line: JournalLine) -> str:
    count = _number(line.facts.get("lost"))
    return f"{_count(count, 'line')} of the journal {'was' if count == 1 else 'were'} lost"


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def _clean(evidence: str) -> str:
    """One line of printable text without an end of sentence, cut to the limit."""
    text = " ".join("".join(one if one.isprintable() else " " for one in evidence[: 4 * MAX_EVIDENCE]).split())
    if len(text) > MAX_EVIDENCE:
        return f"{text[:MAX_EVIDENCE].rstrip()}..."
    return text.rstrip(".;, ")


# --- evidence ------------------------------------------------------------------------------------


def _sip(outcome: Outcome, _: Course) -> str:
    said = [sip_words(outcome.sip_status)] if outcome.sip_status else []
    if outcome.q850:
        said.append(Reason(Q850, outcome.q850).words)
    if outcome.retry_after:
        said.append(f"{outcome.retry_after} s asked for")
    return ", ".join(said)


def _seen(outcome: Outcome, _: Course) -> str:
    words = outcome.evidence
    return "" if outcome.sip_status and words == REASONS.get(outcome.sip_status) else words


def _silence(outcome: Outcome, course: Course) -> str:
    silence = course.silence
    if outcome.sending and course.asked_at is not None:
        if outcome.phase is Phase.MESSAGE and course.said is not None and course.said.name != "CTC":
            return ""  # while we send a page the other machine has nothing to say
        silence = min(silence, course.at - course.asked_at)  # nor before it was asked
    return f"no T.38 packet for {silence:.0f} s" if silence >= SILENT else ""


def _waited(_: Outcome, course: Course) -> str:
    waited = course.at - course.t38_at if course.t38_at is not None else 0.0
    return f"{waited:.0f} s waited" if waited >= SILENT else ""


def _packets(_: Outcome, course: Course) -> str:
    if not course.is_fax or (course.packet_at is not None and not course.packets):
        return ""  # a journal that was cut off before it counted them
    return _count(course.packets, "T.38 packet")


def _lost(_: Outcome, course: Course) -> str:
    if not course.lost:
        return ""
    return f"{course.lost} of {course.lost + course.packets + course.repaired} T.38 packets lost"


def _repaired(_: Outcome, course: Course) -> str:
    return f"{_count(course.repaired, 'lost packet')} repaired" if course.repaired else ""


def _heard(_: Outcome, course: Course) -> str:
    heard = course.heard
    if heard is None:
        return ""
    before = course.at - heard.at
    return f"last heard: {_name(heard.name)}, {f'{before:.0f} s' if before >= SILENT else 'just'} before the end"


def _heard_before(_: Outcome, course: Course) -> str:
    heard = course.heard_before if course.heard is not None and course.heard.name == "DCN" else None
    return f"last heard before that: {_name(heard.name)}" if heard else ""


def _said(outcome: Outcome, course: Course) -> str:
    said = course.said
    if said is None or not (outcome.sending or said.name == "DTC"):
        return ""
    return f"{_name(said.name)} was said {_times(course.said_times)}"


def _rates(_: Outcome, course: Course) -> str:
    rates = ", ".join(str(rate) for rate in course.rates)
    return f"tried at {rates} bit/s" if rates else ""


def _repeats(_: Outcome, course: Course) -> str:
    if not course.repeats:
        return ""
    if not course.frames_again:
        return f"a page was asked for again {_times(course.repeats)}"
    return f"parts were asked for again {_times(course.repeats)}, {_count(course.frames_again, 'frame')} in all"


def _refusals(_: Outcome, course: Course) -> str:
    refusals = course.count("RTN", "PIN")
    return f"refused {_times(refusals)}" if refusals else ""


def _rows(outcome: Outcome, course: Course) -> str:
    rows = course.cut_rows if course.cuts and course.cuts[-1] == course.page else 0
    return f"{_count(rows, 'row')} of it had come" if rows and not outcome.sending else ""


def _gone(outcome: Outcome, course: Course) -> str:
    """How far a page of ours was, reckoned once a second."""
    if not outcome.sending or outcome.phase is not Phase.MESSAGE or not 0 < course.done <= course.total:
        return ""
    return f"about {course.done} of its {course.total} octets had gone"


def _waits(_: Outcome, course: Course) -> str:
    waits = course.frames_in.get("RNR", 0)
    return f"RNR came {_times(waits)}" if waits else ""


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _mode(_: Outcome, course: Course) -> str:
    ecm = {True: "ECM", False: "no ECM", None: ""}[course.ecm]
    return ", ".join(one for one in (course.modem, course.coding.upper(), ecm) if one)


def _encryption(_: Outcome, course: Course) -> str:
    return f"encrypted, {_clean(course.encryption)}" if course.encryption else ""


def _switch(_: Outcome, course: Course) -> str:
    if course.refusal:
        return f"the switch to T.38 was refused: {_clean(course.refusal)}"
    if course.t38_at is None:
        return f"answered with {course.media}, T.38 never ran" if course.media else ""
    return f"T.38 from {course.t38_at:.1f} s to {course.at:.1f} s"


def _name(name: str) -> str:
    return "a frame that cannot be read" if name == "?" else _clean(name)


PROOFS: Final[Mapping[str, Callable[[Outcome, Course], str]]] = {
    "sip": _sip,
    "seen": _seen,
    "switch": _switch,
    "packets": _packets,
    "lost": _lost,
    "repaired": _repaired,
    "silence": _silence,
    "waited": _waited,
    "heard": _heard,
    "heard_before": _heard_before,
    "said": _said,
    "waits": _waits,
    "mode": _mode,
    "encryption": _encryption,
    "rates": _rates,
    "repeats": _repeats,
    "refusals": _refusals,
    "rows": _rows,
    "gone": _gone,
}
"""Pieces of evidence by name; each is empty where there is nothing to say."""


TWICE: Final = frozenset({"waited", "heard_before"})
"""Pieces that others say as well."""


def _evidence(outcome: Outcome, course: Course) -> tuple[str, ...]:
    """All of them, in the order above."""
    said = (proof(outcome, course) for name, proof in PROOFS.items() if name not in TWICE)
    return tuple(text for text in said if text)


# --- journals ------------------------------------------------------------------------------------


def _sends(line: JournalLine) -> bool:
    """A call goes out, and not in order to poll."""
    return line.kind == "call" and line.facts.get("direction") == "out" and not line.facts.get("polls")


def _alone(name: V, course: Course, evidence: tuple[str, ...], *, sending: bool = False) -> Verdict:
    """The verdict on a journal that has no outcome."""
    outcome = replace(_so_far(course), sending=sending)
    text, result, hint = ALONE[name]
    page = course.page or course.first
    what = text.format(step=STEPS[sending][outcome.phase].format(page=page))
    pages = f"; {_pages(outcome, course)}" if name is V.UNFINISHED else ""
    sentence = f"{what}{pages}. {hint}"
    return Verdict(
        name.value, sentence, evidence, replace(outcome, verdict=name.value, sentence=sentence, t30_result=int(result))
    )


def _so_far(course: Course) -> Outcome:
    phase = Phase.CALL
    if course.is_fax:
        phase = Phase.MESSAGE if course.in_page else Phase.POST_MESSAGE if course.confirmed else Phase.IDENTIFY
    return Outcome(cause=Cause.INTERNAL, phase=phase, pages_confirmed=len(course.confirmed), rate_bps=course.rate_bps)


def _outcome_of(facts: Mapping[str, object]) -> Outcome | None:
    """An outcome as a journal has it; None when it does not even name a cause that we know."""
    cause, phase = facts.get("cause"), facts.get("phase")
    known = CAUSES.get(_text(cause))
    if known is None:
        return None
    status, ecm, sending = facts.get("sip_status"), facts.get("ecm"), facts.get("sending")
    duration = facts.get("duration")
    return Outcome(
        cause=known,
        phase=PHASES.get(_text(phase), Phase.IDLE),
        pages_confirmed=_number(facts.get("pages_confirmed")),
        pages_partial=_number(facts.get("pages_partial")),
        bad_rows=_number(facts.get("bad_rows")),
        sip_status=_number(status) if status is not None else None,
        q850=_number(facts.get("q850")) or None,
        retry_after=_number(facts.get("retry_after")) or None,
        rate_bps=_number(facts.get("rate_bps")),
        ecm=ecm if isinstance(ecm, bool) else None,
        coding=_text(facts.get("coding")),
        resolution=_text(facts.get("resolution")),
        remote_id=_text(facts.get("remote_id")),
        duration=float(duration) if isinstance(duration, int | float) else 0.0,
        sending=sending if isinstance(sending, bool) else None,
        evidence=_text(facts.get("evidence")),
        encrypted=facts.get("encrypted") is True,
    )


def _number(fact: object) -> int:
    whole = isinstance(fact, int) and not isinstance(fact, bool)
    return min(max(fact, 0), 1 << 31) if whole and isinstance(fact, int) else 0


def _text(fact: object) -> str:
    return _clean(fact) if isinstance(fact, str) else ""


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
        Phase.MESSAGE: "in the middle of page {page}",
        Phase.POST_MESSAGE: "after page {page} had come",
        Phase.RELEASE: "at the end of the fax",
    },
}
"""Where the fax was, by direction (True: we sent) and phase."""

RETRIES: Final[dict[Retry, str]] = {
    Retry.NEVER: "Another try would end the same way.",
    Retry.NOW: "Worth another try.",
    Retry.LATER: "Worth another try later.",
    Retry.LOWER_RATE: "Worth another try at a lower rate.",
    Retry.NO_ECM: "Worth another try without error correction (ECM).",
    Retry.AUDIO: "Worth another try with an audio call that switches to T.38 later.",
}

MEDIA_REFUSED: Final = frozenset({415, 488, 606})

PRECISE: Final = frozenset({401, 407, 415, 420, 421, 422, 484, 486, 488, 600, 604, 606})
"""Statuses that say what they mean; a cause of Q.850 beside them is their translation."""

BEARER_REFUSED: Final = frozenset({58, 65, 66, 70, 79, 88})
"""Causes of Q.850 that refuse what was to be carried."""

CAUSES_OF_Q850: Final[dict[int | None, Cause]] = {
    **dict.fromkeys((1, 2, 3, 5, 22, 23, 28), Cause.BAD_ADDRESS),
    17: Cause.BUSY,
    **dict.fromkeys((18, 19, 20), Cause.NO_ANSWER),
    **dict.fromkeys((21, 24, 29, 50, 52, 53, 54, 55, 57, 62, 63, 69, 87, 90), Cause.REJECTED),
    **dict.fromkeys(BEARER_REFUSED, Cause.T38_REFUSED),
    **dict.fromkeys((25, 27, 34, 38, 41, 42, 44, 46, 47, 49, 102, 111), Cause.NETWORK),
}
"""Causes of the telephone network with a meaning of their own; 16, 31, 127 and the rest leave it to the SIP status."""

CAUSES_OF_SIP: Final[dict[int, Cause]] = {
    **dict.fromkeys((486, 600), Cause.BUSY),
    **dict.fromkeys((408, 480, 487), Cause.NO_ANSWER),
    **dict.fromkeys((300, 301, 302, 404, 410, 414, 416, 484, 485, 604), Cause.BAD_ADDRESS),
    **dict.fromkeys(MEDIA_REFUSED, Cause.T38_REFUSED),
    **dict.fromkeys((481, 482, 483, 491), Cause.NETWORK),
}
"""Final failures with a meaning of their own; other 5xx are NETWORK, the rest is REJECTED."""
