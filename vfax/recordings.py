"""Recordings out of journals: what a call heard, was told and said, as the values that replay works with.

Owns      reading the lines of a journal that record.py wrote, whatever else the file may hold; their limits.
Not here  writing them (record.py), captures (captures.py), running them (replay.py).

Everything here may come from a stranger: what cannot be understood raises one DocumentError with a plain sentence, and
nothing takes more than the limits of journal.py.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from vfax.codecs.dis import Resolution
from vfax.errors import DecodeError, DocumentError
from vfax.journal import Entry, read_journal, read_packets
from vfax.leg_values import LegOptions
from vfax.plain import value_of
from vfax.record import FORM
from vfax.replay import Arrived, PageStep, Recording, Seen, Step, Switched, Told
from vfax.t30 import values as t30
from vfax.transports.parameters import T38Parameters

MAX_DATAGRAMS: Final = 500_000
"""Limit: datagrams of one recording."""

MAX_OCTETS: Final = 128 * 1024 * 1024
"""Limit: octets of these datagrams."""

ROUNDING: Final = 0.0005
"""Seconds that a line without a moment of its own may be behind it."""

MAX_PAGES: Final = 10_000
"""Limit: pages of a document to send."""

JUDGEMENTS: Final = frozenset({"MCF", "RTP", "RTN", "PIP", "PIN", "RNR"})
"""What a receiver says of a page; PPR is about frames, which a redacted recording has."""

PAGE_STEPS: Final = frozenset({"started", "received", "cut off", "confirmed", "repeated"})


def read_recording(path: Path, check: Callable[[LegOptions], None] = lambda options: None) -> Recording:
    """The recording in a journal. Raises DocumentError for a file that holds none, naming it.

    `check` raises DecodeError for options that no engine may be given: an engine trusts its own, a file may lie.
    """
    try:
        entries = read_journal(path)
    except OSError as why:
        raise DocumentError(f"{path}: cannot read the journal: {why.strerror or why}") from why
    try:
        recording = recording_of(entries)
        check(recording.options)
    except DecodeError as why:
        raise DocumentError(f"{path}: {why.what}") from why
    return recording


def recording_of(entries: Sequence[Entry]) -> Recording:
    """The recording in the lines of a journal. Raises DecodeError, whose `what` is a sentence about the file."""
    kinds = {entry.kind for entry in entries}
    if "call" not in kinds and "options" not in kinds:
        raise DecodeError("this is no journal of a call")
    if "options" not in kinds:
        if "t38" in kinds:
            raise DecodeError(
                "the packets of this call were not recorded ([journal] packets), so it cannot be replayed"
            )
        raise DecodeError("no T.38 was agreed in this call, so there is nothing to replay")
    return _Reader(entries).read()


@dataclass(slots=True)
class _Found:
    """What the lines hold so far."""

    arrivals: list[Arrived] = field(default_factory=list)
    orders: list[tuple[int, Told | Switched]] = field(default_factory=list)  # with the datagrams heard before
    frames: list[Seen] = field(default_factory=list)
    pages: list[PageStep] = field(default_factory=list)
    outcome: dict[str, object] | None = None
    short: str = ""
    whole: bool = True  # no datagram is missing so far
    redacted: bool = False
    stored: bool = True
    octets: int = 0


class _Reader:
    """Reads the lines of one call once, in their order."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = entries
        self._found = _Found()
        self._options: Entry | None = None

    def read(self) -> Recording:
        """The recording. Raises DecodeError."""
        for entry in self._entries:
            self._take(entry)
        found = self._found
        if self._options is None:
            raise DecodeError("the options line of this journal cannot be read")
        options, document, poll, called, unknown = _terms(self._options)
        if found.outcome is None and not found.short:
            found.short = "the journal has no outcome: the call was cut off, or still runs"
        if found.short:
            _stop_with_the_packets(found)
        if found.redacted and called:
            _stop_at_first_answer(found)
        notes = tuple(f"an option of another version is not known here: {name}" for name in unknown[:5])
        return Recording(
            options=options,
            called=called,
            document=document,
            poll=poll,
            peer_agent=str(self._options.facts.get("peer_agent", "")),
            steps=_in_order(found.arrivals, found.orders),
            frames=tuple(found.frames),
            pages=None if found.redacted and called else tuple(found.pages),
            outcome=_without_storage(found),
            ended=not found.short,
            why_short=found.short,
            redacted=found.redacted,
            notes=notes,
        )

    def _take(self, entry: Entry) -> None:
        found, facts = self._found, entry.facts
        match entry.kind:
            case "options":
                self._options = self._options or entry
            case "packets" if facts.get("direction") == "in" and found.whole:
                self._take_packets(entry)
            case "t38":
                found.orders.append((_heard(entry), _switched(entry)))
            case "order":
                found.orders.append((_heard(entry), _told(entry)))
            case "frame" | "dis" | "dcs":
                found.frames.append(_seen(entry))
            case "page" if str(facts.get("what")) in PAGE_STEPS:
                found.pages.append(_page(entry))
            case "unrecorded":
                found.short = str(facts.get("why", ""))[:200] or "packets were no longer recorded"
            case "storage":
                found.stored = False
            case "outcome":
                found.outcome = dict(facts)
                if facts.get("lost") and not found.short:
                    found.short = f"the journal lost lines: {str(facts.get('why_lost', ''))[:100]}"
            case "unreadable" if found.whole:
                found.short = f"line {facts.get('line')} of the journal cannot be read"
                found.whole = False
            case _:
                pass

    def _take_packets(self, entry: Entry) -> None:
        found = self._found
        packets = read_packets(entry)
        if len(packets) != entry.facts.get("count"):
            found.short = f"the packets up to {entry.t:.1f} s are damaged"
            found.whole = False
            return
        found.redacted |= entry.facts.get("redacted") is True
        found.octets += sum(len(datagram) for _, datagram in packets)
        found.arrivals += [Arrived(at, datagram) for at, datagram in packets]
        if len(found.arrivals) > MAX_DATAGRAMS or found.octets > MAX_OCTETS:
            raise DecodeError(f"too long a call: more than {MAX_DATAGRAMS} datagrams or {MAX_OCTETS} octets")


def _stop_with_the_packets(found: _Found) -> None:
    """Lines go on for up to a second after the last packets that were written, or for as long as the call did."""
    end = found.arrivals[-1].at + ROUNDING if found.arrivals else 0.0
    found.frames = [seen for seen in found.frames if seen.at <= end]
    found.pages = [step for step in found.pages if step.at <= end]
    found.orders = [(heard, order) for heard, order in found.orders if isinstance(order, Switched) or order.at <= end]


def _stop_at_first_answer(found: _Found) -> None:
    """Without its data no page can be judged: what our end said of the first one, and all after that, is cut off."""
    end = next((seen.at for seen in found.frames if seen.sent and seen.name in JUDGEMENTS), None)
    if end is None:
        return
    found.short = found.short or f"its pages were erased, so the answer to the first one, at {end:.1f} s, is unknown"
    found.frames = [seen for seen in found.frames if seen.at < end]
    found.orders = [(heard, order) for heard, order in found.orders if order.at < end and not _keeps(order)]
    found.arrivals = [one for one in found.arrivals if one.at < end]


def _keeps(order: Told | Switched) -> bool:
    return isinstance(order, Told) and order.what in ("kept", "lost")


def _in_order(arrivals: list[Arrived], orders: list[tuple[int, Told | Switched]]) -> tuple[Step, ...]:
    """Every order behind the datagrams that had been heard before it."""
    steps: list[Step] = []
    at = 0
    for heard, order in orders:
        steps += arrivals[at : max(at, heard)]
        at = max(at, min(heard, len(arrivals)))
        steps.append(order)
    return (*steps, *arrivals[at:])


def _without_storage(found: _Found) -> dict[str, object] | None:
    """The outcome as far as the engine made it: pages that could not be joined afterwards are not its doing."""
    if found.outcome is not None and not found.stored:
        return {name: value for name, value in found.outcome.items() if name != "cause"}
    return found.outcome


# --- lines ---------------------------------------------------------------------------------------


def _count(entry: Entry, name: str, default: int = 0) -> int:
    value = entry.facts.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not -1 <= value < 1 << 31:
        raise DecodeError(f"a line of kind {entry.kind} at {entry.t:.3f} s has no proper {name}")
    return value


def _heard(entry: Entry) -> int:
    return _count(entry, "heard")


def _told(entry: Entry) -> Told:
    what, why = str(entry.facts.get("what"))[:20], str(entry.facts.get("why", ""))[:200]
    return Told(entry.t, what, _count(entry, "number"), _count(entry, "octets"), why)


def _switched(entry: Entry) -> Switched:
    parameters, _ = value_of(T38Parameters, dict(entry.facts))
    return Switched(entry.t, parameters, held=str(entry.facts.get("peer", "")).endswith(":0"))


def _seen(entry: Entry) -> Seen:
    facts = entry.facts
    try:
        octets = bytes.fromhex(str(facts.get("hex", "")))
    except ValueError:
        raise DecodeError(f"a frame at {entry.t:.3f} s is not hexadecimal") from None
    return Seen(entry.t, facts.get("direction") == "out", str(facts.get("name", ""))[:20], octets)


def _page(entry: Entry) -> PageStep:
    what = str(entry.facts["what"])
    number, rows, bad = _count(entry, "number"), _count(entry, "rows", -1), _count(entry, "bad_rows", -1)
    return PageStep(entry.t, number, what, rows, bad, _count(entry, "frames", -1))


def _terms(entry: Entry) -> tuple[LegOptions, t30.SendDocument | None, t30.Poll | None, bool, tuple[str, ...]]:
    facts = entry.facts
    if facts.get("version") != FORM:
        raise DecodeError(f"recorded in form {str(facts.get('version'))[:20]}; this version replays form {FORM}")
    options, unknown = value_of(LegOptions, facts.get("leg"))
    document = poll = None
    if "pages" in facts:
        addressing, more = value_of(t30.Addressing, facts.get("addressing", {}))
        unknown += more
        first, alone = _count(entry, "first", 1), facts.get("alone") is True
        document = t30.SendDocument(_pages(facts["pages"]), first, addressing, alone)
    if "poll" in facts:
        asked, more = value_of(t30.Addressing, facts["poll"])
        poll, unknown = t30.Poll(asked), unknown + more
    return options, document, poll, facts.get("role") == "called", unknown


def _pages(plain: object) -> tuple[t30.PageInfo, ...]:
    pages: list[t30.PageInfo] = []
    for run in plain if isinstance(plain, list) else [None]:
        match run:
            case [int(count), int(width), int(rows), str(name)] if name in Resolution.__members__:
                page = t30.PageInfo(width, rows, Resolution[name])
            case _:
                raise DecodeError("the pages of the options line cannot be read")
        if not (0 < width < 10_000 and 0 <= rows < 1 << 20 and 0 < count <= MAX_PAGES - len(pages)):
            raise DecodeError("the pages of the options line are beyond all limits")
        pages += [page] * count
    return tuple(pages)
