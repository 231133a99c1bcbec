"""What calls teach about those at the other end, and what the next call makes of it.

Owns      the facts that are remembered of a peer and a number, each with its reason and its end; the advice that
          follows from them; how much of it is kept.
Not here  the file (learned.py), taking the lesson of a call and following the advice (carried.py, calls.py).

Times are seconds since 1970, for what is learned outlasts the program. A peer is a trunk, or a host where there is
none; texts of peers are data and bounded.

Advice only ever makes a call more careful than the settings have it: it begins with audio, waits longer for the
other side's offer, starts slower, leaves ECM out, sends smaller datagrams, does not offer encryption that was refused
where the settings would then send without. When a fact ends, the settings are tried again as they are.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from vfax.leg import CallerOffer, LegOptions, Opening, SwitchedBy
from vfax.outcome import Cause, Outcome
from vfax.transports.parameters import Dtls

MAX_TEXT: Final = 64
"""Limit: characters of a peer's or a number's name."""
MAX_ENTRIES: Final = 1_000
"""Limit: entries, whatever the options say."""
DAY: Final = 86_400.0
HEAD_START: Final = 2.0
"""Seconds that the other side's offer is waited for beyond the time it took before."""
SAFE_DATAGRAM: Final = 400
"""Octets of a datagram that every road carries (what senders use who are told nothing)."""
SLOWEST: Final = 2_400


class Kind(StrEnum):
    """What a fact is about; the words are those of the file."""

    DIRECT = "direct"  # T.38 offered in the INVITE: "yes" or "no"
    SWITCH = "switch"  # audio became T.38: "peer" or "us", and after how many seconds
    T38 = "t38"  # "yes" or "no"
    RATE = "rate"  # fastest that trained, bit/s
    ECM = "ecm"  # "no" where pages failed with it
    DATAGRAM = "datagram"  # octets that got through, at most
    DTLS = "dtls"  # T.38 over DTLS: "yes" or "no"


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningOptions:
    """How long and how much is remembered.

    `trouble_days` is for rates, ECM, datagrams and encryption, which get better again. So many numbers of a peer
    have to `agree` before others are advised by them.
    """

    enabled: bool = True
    days: float = 30.0
    trouble_days: float = 7.0
    entries: int = 1_000
    agree: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Something that was seen: `why` is a sentence, `until` when it is forgotten, `seen` how often it held."""

    kind: Kind
    value: str
    why: str
    at: float
    until: float
    seen: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """All that is remembered of calls with one number of one peer, in one direction. `at` is the last lesson's time."""

    peer: str
    number: str
    outgoing: bool
    at: float
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What one call showed. `rates` are those trained at, with whether that was good enough, in their order.

    `limit` is the largest datagram we might have sent (0: T.38 did not run, or is no datagram), `moved` whether pages
    got through, `in_page` whether the call ended in one.
    """

    peer: str
    number: str
    outgoing: bool
    sending: bool
    at: float
    opening: Opening
    outcome: Outcome
    t38: bool
    rates: tuple[tuple[int, bool], ...] = ()
    ecm: bool | None = None
    limit: int = 0
    in_page: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What a call is to do otherwise; `sentences` say why, for its journal.

    `plain`: offer T.38 without encryption, where the settings leave that open; the sentence that says why.
    """

    audio_first: bool = False
    wait_for_offer: float = 0.0
    max_rate_bps: int = 0
    no_ecm: bool = False
    max_datagram: int = 0
    plain: str = ""
    sentences: tuple[str, ...] = ()


NO_ADVICE: Final = Advice()


@dataclass(frozen=True, slots=True, kw_only=True)
class FactRow:
    """A fact as it is shown: `age` since it was seen last and `left` until it is forgotten, in seconds."""

    kind: str
    value: str
    why: str
    age: float
    left: float
    seen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerRow:
    """What is remembered of a number, as it is shown."""

    peer: str
    number: str
    direction: str
    age: float
    facts: tuple[FactRow, ...] = ()


Key = tuple[str, str, bool]


@dataclass(slots=True)
class Memory:
    """All entries, the one that learned last at the end."""

    options: LearningOptions = field(default_factory=LearningOptions)
    _entries: dict[Key, Entry] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._entries)

    # --- learning ----------------------------------------------------------------------------------

    def learn(self, lesson: Lesson) -> bool:
        """Take the lesson of a call. False when it taught nothing."""
        key = _key(lesson.peer, lesson.number, lesson.outgoing)
        before = self._live(key, lesson.at)
        facts = {fact.kind: fact for fact in before.facts} if before is not None else {}
        learned = tuple(_facts_of(lesson))
        forgotten = _disproved(lesson)
        if not learned and not forgotten & facts.keys():
            return False
        for kind in forgotten:
            facts.pop(kind, None)
        for kind, value, why in learned:
            known = facts.get(kind)
            seen = known.seen + 1 if known is not None and _same(kind, known.value, value) else 1
            until = lesson.at + DAY * (self.options.trouble_days if kind in TROUBLES else self.options.days)
            facts[kind] = Fact(kind=kind, value=value, why=why, at=lesson.at, until=until, seen=seen)
        self._entries.pop(key, None)
        if facts:
            peer, number, outgoing = key
            self._entries[key] = Entry(
                peer=peer, number=number, outgoing=outgoing, at=lesson.at, facts=tuple(facts.values())
            )
        self._bound()
        return True

    def forget(self, peer: str = "", number: str = "") -> int:
        """Forget what is known of a peer and a number, "" for any; how many entries that were."""
        gone = [
            key
            for key, entry in self._entries.items()
            if peer.lower() in ("", entry.peer.lower()) and number in ("", entry.number)
        ]
        for key in gone:
            del self._entries[key]
        return len(gone)

    def _bound(self) -> None:
        while len(self._entries) > min(self.options.entries, MAX_ENTRIES):
            del self._entries[next(iter(self._entries))]

    def _live(self, key: Key, now: float) -> Entry | None:
        """An entry with what of it is not over."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        return replace(entry, facts=tuple(fact for fact in entry.facts if fact.until > now))

    # --- advising ----------------------------------------------------------------------------------

    def advise(self, peer: str, number: str, *, outgoing: bool, now: float) -> Advice:
        """What a call with this number should do otherwise than the settings say."""
        own = self._live(_key(peer, number, outgoing), now)
        facts = {fact.kind: fact for fact in own.facts} if own is not None else {}
        general = self._agreed(peer, outgoing, now)
        merged = {**{kind: fact for kind, fact in general.items() if kind not in facts}, **facts}
        advice = NO_ADVICE
        for kind, fact in merged.items():
            others = "another number" if self.options.agree == 1 else f"{self.options.agree} other numbers"
            whose = "" if kind in facts else f", as {others} of {peer} do{'es' if self.options.agree == 1 else ''}"
            advice = _heed(advice, fact, outgoing, whose)
        return advice

    def _agreed(self, peer: str, outgoing: bool, now: float) -> dict[Kind, Fact]:
        """Facts about how calls become T.38 that enough numbers of a peer share, and none denies.

        Every call asks, and all its numbers are gone through: they are read where they lie.
        """
        name = _text(peer)
        entries = list(self._entries.values())
        known = [entry.facts for entry in entries if entry.peer == name and entry.outgoing is outgoing]
        found = {
            kind: [fact for facts in known for fact in facts if fact.kind is kind and fact.until > now]
            for kind in SHARED
        }
        return {
            kind: agreed
            for kind, facts in found.items()
            if len(facts) >= self.options.agree and (agreed := _most_patient(kind, facts)) is not None
        }

    # --- keeping, showing --------------------------------------------------------------------------

    def entries(self) -> tuple[Entry, ...]:
        """All that is to be kept."""
        return tuple(self._entries.values())

    def restore(self, entries: Iterable[Entry], now: float) -> None:
        """Take what was kept; what is over by now, or from the future, is left out."""
        for entry in entries:
            key = _key(entry.peer, entry.number, entry.outgoing)
            facts = tuple(fact for fact in entry.facts[: len(Kind)] if now < fact.until < now + 10_000 * DAY)
            if facts:
                self._entries[key] = replace(entry, peer=key[0], number=key[1], facts=facts)
        self._bound()

    def rows(self, now: float) -> tuple[PeerRow, ...]:
        """What is known, the newest first."""
        shown = (self._live(key, now) for key in reversed(self._entries))
        return tuple(
            PeerRow(
                peer=entry.peer,
                number=entry.number,
                direction="out" if entry.outgoing else "in",
                age=max(0.0, now - entry.at),
                facts=tuple(
                    FactRow(
                        kind=fact.kind.value,
                        value=fact.value,
                        why=fact.why,
                        age=max(0.0, now - fact.at),
                        left=fact.until - now,
                        seen=fact.seen,
                    )
                    for fact in entry.facts
                ),
            )
            for entry in shown
            if entry is not None and entry.facts
        )


TROUBLES: Final = frozenset({Kind.RATE, Kind.ECM, Kind.DATAGRAM, Kind.DTLS})
"""What is remembered for a shorter time."""
SHARED: Final = (Kind.DIRECT, Kind.SWITCH, Kind.DTLS)
"""What is of a trunk rather than of the machines behind it, so that numbers can agree about it."""


def _key(peer: str, number: str, outgoing: bool) -> Key:
    return _text(peer), _text(number), outgoing


def _text(text: str) -> str:
    return "".join(char for char in text if char.isprintable())[:MAX_TEXT]


# --- from a call to facts ------------------------------------------------------------------------------


def _facts_of(lesson: Lesson) -> Iterable[tuple[Kind, str, str]]:
    """What a call showed: kind, value, sentence."""
    yield from _of_opening(lesson)
    yield from _of_rates(lesson)
    outcome = lesson.outcome
    if outcome.encrypted:
        yield Kind.DTLS, "yes", "T.38 ran over DTLS."
    elif refused := lesson.opening.dtls_refused:
        yield Kind.DTLS, "no", f"T.38 over DTLS was refused with {refused}."
    if outcome.cause is Cause.ECM_FAILED:
        yield Kind.ECM, "no", "A page failed with error correction mode."
    if lesson.limit > SAFE_DATAGRAM and lesson.sending and lesson.in_page and outcome.cause in STUCK:
        yield (
            Kind.DATAGRAM,
            str(SAFE_DATAGRAM),
            f"Training got through, but a page in datagrams of up to {lesson.limit} octets did not.",
        )


STUCK: Final = frozenset({Cause.NO_RESPONSE, Cause.ECM_FAILED, Cause.PAGE_REFUSED})
"""Endings of a sender whose page data do not arrive."""


def _of_opening(lesson: Lesson) -> Iterable[tuple[Kind, str, str]]:
    opening = lesson.opening
    if lesson.outgoing and opening.direct_refused:
        yield Kind.DIRECT, "no", f"T.38 in the INVITE was refused with {opening.direct_refused}."
    elif lesson.outgoing and opening.by is SwitchedBy.CALL:
        yield Kind.DIRECT, "yes", "T.38 in the INVITE was taken."
    if opening.by is SwitchedBy.PEER:
        after, refused = opening.after, opening.ours_refused
        ours = f", after ours had been refused with {refused}" if refused else ""
        flag = " refused" if refused else ""
        yield Kind.SWITCH, f"peer {after:.1f}{flag}", f"Its re-INVITE to T.38 came after {after:.1f} s{ours}."
    elif opening.by is SwitchedBy.US:
        yield Kind.SWITCH, f"us {opening.after:.1f}", f"It took our re-INVITE to T.38 after {opening.after:.1f} s."
    if lesson.t38:
        yield Kind.T38, "yes", "T.38 ran."
    elif lesson.outcome.cause in (Cause.T38_REFUSED, Cause.NOT_FAX):
        status = opening.ours_refused or opening.direct_refused
        said = f" (it said {status})" if status else ""
        yield Kind.T38, "no", f"No T.38 was agreed{said}."


def _of_rates(lesson: Lesson) -> Iterable[tuple[Kind, str, str]]:
    failed = [rate for rate, good in lesson.rates if not good]
    trained = [rate for rate, good in lesson.rates if good]
    if lesson.outcome.cause is Cause.CANNOT_TRAIN and failed:
        slowest = min(failed)
        yield Kind.RATE, str(max(SLOWEST, slowest)), f"Training failed down to {slowest} bit/s."
    elif lesson.outcome.ok and trained and (above := {rate for rate in failed if rate > trained[-1]}):
        rates = ", ".join(str(rate) for rate in sorted(above, reverse=True))
        yield Kind.RATE, str(trained[-1]), f"Training failed at {rates} bit/s and held at {trained[-1]}."


def _disproved(lesson: Lesson) -> set[Kind]:
    """What a call shows not to hold any more: it went well without being held back, or plain T.38 was refused, too."""
    if not lesson.outcome.ok:
        return {Kind.DTLS} if lesson.outcome.cause in (Cause.T38_REFUSED, Cause.NOT_FAX) else set()
    gone = set()
    if lesson.ecm:
        gone.add(Kind.ECM)
    if lesson.rates and lesson.rates[0] == (14_400, True):
        gone.add(Kind.RATE)
    if lesson.sending and lesson.limit > SAFE_DATAGRAM:
        gone.add(Kind.DATAGRAM)
    return gone


def _same(kind: Kind, one: str, other: str) -> bool:
    """Whether two values say the same thing; of a switch-over only who made it counts."""
    if kind is Kind.SWITCH:
        return one.partition(" ")[0] == other.partition(" ")[0]
    return one == other


def _most_patient(kind: Kind, facts: Sequence[Fact]) -> Fact | None:
    """The one that asks for most patience, where all say the same thing."""
    by_value = {fact.value: fact for fact in facts}
    if all(_same(kind, facts[0].value, value) for value in by_value):
        return by_value[max(by_value, key=_seconds)]
    return None


# --- from facts to advice ------------------------------------------------------------------------------


def _heed(advice: Advice, fact: Fact, outgoing: bool, whose: str) -> Advice:
    """The advice with what one fact adds to it. A value that cannot be read adds nothing."""
    why = fact.why.removesuffix(".") + whose + "."
    said = advice.sentences
    match fact.kind:
        case Kind.DIRECT if fact.value == "no" and outgoing:
            return replace(advice, audio_first=True, sentences=(*said, f"It begins with audio. {why}"))
        case Kind.SWITCH if fact.value.startswith("peer") and (outgoing or fact.value.endswith("refused")):
            wait = _seconds(fact.value) + HEAD_START
            return replace(advice, wait_for_offer=wait, sentences=(*said, f"It waits {wait:.1f} s for T.38. {why}"))
        case Kind.RATE if (rate := _number(fact.value)) >= SLOWEST:
            return replace(advice, max_rate_bps=rate, sentences=(*said, f"It starts at {rate} bit/s. {why}"))
        case Kind.ECM if fact.value == "no":
            return replace(advice, no_ecm=True, sentences=(*said, f"It goes without ECM. {why}"))
        case Kind.DATAGRAM if (octets := _number(fact.value)) >= SAFE_DATAGRAM:
            sentence = f"It sends datagrams of at most {octets} octets. {why}"
            return replace(advice, max_datagram=octets, sentences=(*said, sentence))
        case Kind.DTLS if fact.value == "no":
            return replace(advice, plain=f"It offers T.38 without encryption. {why}")
        case _:
            return advice


def _seconds(value: str) -> float:
    """The seconds in the value of a switch-over; 0.0 where there are none."""
    words = value.split(" ")
    try:
        seconds = float(words[1]) if len(words) > 1 else 0.0
    except ValueError:
        return 0.0
    return seconds if 0.0 <= seconds <= 3_600.0 else 0.0


def _number(value: str) -> int:
    return int(value) if value.isascii() and value.isdigit() and len(value) < 7 else 0


def advised(options: LegOptions, advice: Advice) -> tuple[LegOptions, tuple[str, ...]]:
    """A call's options with the advice, and the sentences of what of it changed anything."""
    if advice == NO_ADVICE:
        return options, ()
    fax, line = options.fax, options.line
    wait = advice.wait_for_offer
    cap = min(octets for octets in (line.max_datagram_sent or MAX_CAP, advice.max_datagram or MAX_CAP))
    plain = advice.plain if options.dtls is Dtls.OPPORTUNISTIC else ""  # REQUIRED never gives way
    sentences = (*advice.sentences, plain) if plain else advice.sentences
    changed = replace(
        options,
        dtls=Dtls.ACCEPT if plain else options.dtls,
        caller_offer=CallerOffer.AUDIO if advice.audio_first else options.caller_offer,
        caller_switch_after=max(options.caller_switch_after, wait),
        called_switch_after=max(options.called_switch_after, wait),
        fax=replace(
            fax,
            max_rate_bps=max(fax.min_rate_bps, min(fax.max_rate_bps, advice.max_rate_bps or fax.max_rate_bps)),
            ecm=fax.ecm and not advice.no_ecm,
        ),
        line=replace(line, max_datagram_sent=0 if cap == MAX_CAP else cap),
    )
    return (changed, sentences) if changed != options else (options, ())


MAX_CAP: Final = 65_535
