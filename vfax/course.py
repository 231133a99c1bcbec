"""The course of a call: the facts that explain how it ended, kept while it runs or read back from its journal.

Owns      `Course`: the last words of both sides, page and step, silence, losses, rates tried, repeats, the switch-over;
          how live events and how journal lines add to it.
Not here  what the facts mean (verdict.py), the journal's file (journal.py).

One call told live and the same call read from its journal give the same course; times are seconds since the call began.
Memory is bounded: counts by frame name, the last words, one number a page, the last `MAX_TRAININGS` trainings.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from vfax.leg_values import CallUp, DtlsFailed, DtlsOffered, DtlsUp, LegEvent, Rang, Switched, SwitchRefused
from vfax.t30 import values as t30

MAX_TRAININGS: Final = 32
"""Limit: trainings remembered."""

MAX_NAMES: Final = 100
"""Limit: different frame names counted; T.30 has some sixty, a hostile journal any number."""

MAX_PAGES: Final = 10_000
"""Limit: pages remembered by number."""

MAX_WORDS: Final = 300
"""Limit: characters kept of what a frame says."""

DATA_AFTER: Final = 3.0
"""Seconds after our last word in which the peer may have done no more than train."""

PREFACES: Final = frozenset({"NSF", "CSI", "NSC", "CIG", "PWD", "SEP", "NSS", "TSI", "SUB", "SID", "PSA", "CIA", "ISP"})
"""Frames that go before the one that counts."""


ANSWERS: Final = frozenset({"CFR", "FTT", "CTR", "MCF", "RTP", "RTN", "PIP", "PIN", "PPR", "ERR", "RNR"})
"""Frames that answer a sender's command: saying it again afterwards is no repetition."""


class JournalLine(Protocol):
    """One line of a journal (`journal.Entry`)."""

    @property
    def t(self) -> float:
        """Seconds since the call began."""
        ...

    @property
    def kind(self) -> str:
        """What it tells."""
        ...

    @property
    def facts(self) -> Mapping[str, object]:
        """The rest."""
        ...


@dataclass(frozen=True, slots=True)
class Said:
    """One T.30 frame: name, what it says, when."""

    name: str
    words: str
    at: float


@dataclass(slots=True, kw_only=True)
class Course:
    """What happened so far. `at` is the moment of the last thing known, at the end that of the end."""

    at: float = 0.0
    # the call
    calling: bool | None = None  # this side dialled; None: nobody said
    first: int = 1  # page from which a document was to be sent
    unfound: bool = False  # where to call was not to be found out
    rang: bool = False
    media: str = ""  # t38 or audio: what the call was answered with; empty while it was not
    answered_at: float | None = None
    t38_at: float | None = None
    refusal: str = ""  # of our switch-over: the status and its words
    dtls_required: bool = False  # T.38 was offered over DTLS, and not without
    dtls_trouble: str = ""  # why there was no association (DtlsTrouble)
    encryption: str = ""  # version and ciphers of the association; empty when T.38 ran without, or not at all
    # T.30
    remote_id: str = ""
    said: Said | None = None  # our last frame; DCN and identities do not count
    said_times: int = 0  # how often in a row, without an answer
    asked_at: float | None = None  # when it was said first of these times
    heard: Said | None = None  # theirs; identities do not count
    heard_before: Said | None = None  # the last but DCN
    frames_out: dict[str, int] = field(default_factory=dict)
    frames_in: dict[str, int] = field(default_factory=dict)
    modem: str = ""
    rate_bps: int = 0
    ecm: bool | None = None
    coding: str = ""
    trainings: list[tuple[int, bool]] = field(default_factory=list)  # rate, and whether it was good enough
    # pages
    page: int = 0  # the last that began
    confirmed: list[int] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)  # pages that are kept although they were not whole
    cut_rows: int = 0  # of the last of them
    lost_page: int = 0  # the page that could not be stored
    repeats: int = 0  # times that a page or parts of it had to go again
    frames_again: int = 0  # ECM frames of those
    done: int = 0  # of the page at hand: rows (receiving) or octets (sending)
    total: int = 0
    # T.38
    packet_at: float | None = None  # the last datagram of the peer
    packets: int = 0
    lost: int = 0
    repaired: int = 0

    # --- what follows from the facts --------------------------------------------------------------

    @property
    def is_fax(self) -> bool:
        """T.38 ran."""
        return self.t38_at is not None

    @property
    def silence(self) -> float:
        """Seconds without a T.38 datagram at the end; 0 when T.38 never ran."""
        if self.t38_at is None:
            return 0.0
        return max(0.0, self.at - (self.packet_at if self.packet_at is not None else self.t38_at))

    @property
    def in_page(self) -> bool:
        """A page had begun and is not confirmed."""
        return self.page > 0 and self.page not in self.confirmed[-1:]

    @property
    def data_came(self) -> bool:
        """The peer went on sending after our last word: page data, although no row of it may have come out."""
        if self.said is None or self.packet_at is None:
            return False
        return self.packet_at > self.said.at + DATA_AFTER

    @property
    def rates(self) -> list[int]:
        """Rates of the trainings, each once, in the order they were tried."""
        return list(dict.fromkeys(rate for rate, _ in self.trainings))

    def count(self, *names: str) -> int:
        """How often these frames went by, in either direction."""
        return sum(self.frames_in.get(name, 0) + self.frames_out.get(name, 0) for name in names)

    # --- live -------------------------------------------------------------------------------------

    def take(self, event: LegEvent, at: float) -> None:
        """Add an event of the leg, told `at` seconds after the call began."""
        self.at = max(self.at, at)
        match event:
            case t30.FrameSeen(sent, name, _, words):
                self.frame(name, words, at, sent=sent)
            case t30.PageProgress(_, done, total):
                self.done, self.total = done, total
            case t30.Trained(ok, rate_bps):
                self._training(rate_bps, ok)
            case t30.IdentityReceived(frame, text):
                self._identity(frame, text)
            case t30.Agreed(agreement):
                self.modem, self.rate_bps = agreement.modem.family, agreement.modem.rate_bps
                self.ecm, self.coding = agreement.ecm, agreement.coding.value
            case t30.PageStarted(number):
                self._page(number, "started")
            case t30.PageConfirmed(number):
                self._page(number, "confirmed")
            case t30.PageRepeated(number, frames, _):
                self._page(number, "repeated", frames=frames)
            case t30.PageReceived(number=number, rows=rows, complete=False):
                self._page(number, "cut off", rows=rows)
            case Rang():
                self.rang = True
            case CallUp(media):
                self.media, self.answered_at = media, at
            case Switched():
                self._switched(at)
            case SwitchRefused(status, reason):
                self._refused(status, reason)
            case DtlsOffered(required):
                self.dtls_required = required
            case DtlsFailed(trouble):
                self.dtls_trouble = trouble.value
            case DtlsUp(_, version, cipher):
                self._encrypted(version, cipher)
            case _:
                pass

    def lose(self, number: int) -> None:
        """Page `number` could not be stored."""
        self.lost_page = number

    def frame(self, name: str, words: str, at: float, *, sent: bool) -> None:
        """Add one T.30 frame."""
        counts = self.frames_out if sent else self.frames_in
        if name in counts or len(counts) < MAX_NAMES:
            counts[name] = counts.get(name, 0) + 1
        if name in PREFACES:
            return
        one = Said(name, words[:MAX_WORDS], at)
        if not sent:
            self.heard = one
            self.heard_before = self.heard_before if name == "DCN" else one
        elif name != "DCN":
            again = self.said is not None and self.said.name == name and not self._answered()
            self.said_times = self.said_times + 1 if again else 1
            self.asked_at = self.asked_at if again else at
            self.said = one

    def close(self, at: float, *, packet_at: float | None, counters: Mapping[str, int]) -> None:
        """The end: when, when the last datagram came, and what the T.38 line counted."""
        self.at = max(self.at, at)
        self.packet_at = packet_at
        self._count(counters)

    def _answered(self) -> bool:
        heard, said = self.heard, self.said
        return heard is not None and said is not None and heard.name in ANSWERS and heard.at > said.at

    # --- both -------------------------------------------------------------------------------------

    def _page(self, number: int, what: str, *, rows: int = 0, frames: int = 0) -> None:
        match what:
            case "started":
                self.page = number
                self.done = self.total = 0
            case "confirmed":
                if len(self.confirmed) < MAX_PAGES:
                    self.confirmed.append(number)
            case "repeated":
                self.repeats += 1
                self.frames_again += frames
            case "cut off":
                if len(self.cuts) < MAX_PAGES:
                    self.cuts.append(number)
                self.cut_rows = rows
            case "lost":
                self.lose(number)

    def _training(self, rate_bps: int, ok: bool) -> None:
        if len(self.trainings) < MAX_TRAININGS:
            self.trainings.append((rate_bps, ok))

    def _identity(self, frame: str, text: str) -> None:
        if frame in ("CSI", "TSI", "CIG"):
            self.remote_id = text[:MAX_WORDS]

    def _switched(self, at: float) -> None:
        self.t38_at = at if self.t38_at is None else self.t38_at

    def _refused(self, status: int, reason: str) -> None:
        self.refusal = f"{status} {reason}".strip()[:MAX_WORDS]

    def _encrypted(self, version: str, cipher: str) -> None:
        self.encryption = f"{version} {cipher}".strip()[:MAX_WORDS]

    def _dtls(self, facts: Mapping[str, object]) -> None:
        match facts.get("what"):
            case "offered":
                self.dtls_required = facts.get("required") is True
            case "failed":
                self.dtls_trouble = _text(facts.get("trouble"))
            case "encrypted":
                self._encrypted(_text(facts.get("version")), _text(facts.get("cipher")))

    def _count(self, counters: Mapping[str, object]) -> None:
        self.packets = _number(counters.get("received"))
        self.lost = _number(counters.get("lost"))
        self.repaired = _number(counters.get("repaired"))

    # --- from a journal ---------------------------------------------------------------------------

    def read(self, line: JournalLine) -> None:
        """Add one line of a journal. Facts that are missing or of another type are left out."""
        facts, kind = line.facts, line.kind
        if kind not in ("unreadable", "lost"):
            self.at = max(self.at, line.t)
        match kind:
            case "call":
                self.calling = {"out": True, "in": False}.get(_text(facts.get("direction")))
            case "found":
                self.unfound = "why" in facts and "destination" not in facts
            case "options":
                self.first = max(1, _number(facts.get("first")))
            case "frame" | "dis" | "dcs":
                sent = facts.get("direction") == "out"
                self.frame(_text(facts.get("name")), _text(facts.get("words")), line.t, sent=sent)
            case "training":
                self._training(_number(facts.get("rate_bps")), facts.get("ok") is True)
            case "identity":
                self._identity(_text(facts.get("frame")), _text(facts.get("text")))
            case "agreed":
                self._agreed(facts)
            case "page":
                rows, frames = _number(facts.get("rows")), _number(facts.get("frames"))
                self._page(_number(facts.get("number")), _text(facts.get("what")), rows=rows, frames=frames)
            case "answered":
                self.media, self.answered_at = _text(facts.get("media")), line.t
            case "t38":
                self._switched(line.t)
            case "refused":
                self._refused(_number(facts.get("status")), _text(facts.get("reason")))
            case "dtls":
                self._dtls(facts)
            case "sip":
                self.rang = self.rang or (facts.get("direction") == "in" and _text(facts.get("summary"))[:2] == "18")
            case "t38-first" if facts.get("direction") == "in":
                self.packet_at = line.t
            case "packets" if facts.get("direction") == "in":
                self._recorded(line)
            case "counters":
                self._counted(line)

    def _agreed(self, facts: Mapping[str, object]) -> None:
        ecm = facts.get("ecm")
        self.modem, self.rate_bps = _text(facts.get("modem")), _number(facts.get("rate_bps"))
        self.ecm, self.coding = ecm if isinstance(ecm, bool) else None, _text(facts.get("coding"))

    def _recorded(self, line: JournalLine) -> None:
        """A batch of recorded datagrams: it was written when the last of them had come, or soon after."""
        self.packets += _number(line.facts.get("count"))
        if self.packet_at is None or line.t > self.packet_at:
            self.packet_at = line.t

    def _counted(self, line: JournalLine) -> None:
        facts = line.facts
        self._count(facts)
        self.done, self.total = _number(facts.get("done")), _number(facts.get("total"))
        silent = facts.get("silent")
        if isinstance(silent, int | float) and not isinstance(silent, bool):
            self.packet_at = max(0.0, line.t - silent) if self.packets else None


def course_of(lines: Iterable[JournalLine]) -> Course:
    """The course of a journalled call, up to its outcome."""
    course = Course()
    for line in lines:
        if line.kind == "outcome":
            if course.t38_at is None:  # else the counters have told the end; keeping the document came after it
                course.at = max(course.at, line.t)
            break
        course.read(line)
    return course


def ranges(numbers: Sequence[int]) -> str:
    """`1-3, 5` of ascending numbers."""
    words: list[str] = []
    first = last = None
    for number in (*numbers, None):
        if number is not None and last is not None and number == last + 1:
            last = number
            continue
        if last is not None:
            words.append(str(first) if first == last else f"{first}-{last}")
        first = last = number
    return ", ".join(words)


def _text(fact: object) -> str:
    return fact if isinstance(fact, str) else ""


def _number(fact: object) -> int:
    return fact if isinstance(fact, int) and not isinstance(fact, bool) and abs(fact) < 1 << 53 else 0
