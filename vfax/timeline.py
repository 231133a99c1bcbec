"""The timeline of a journalled call: SIP, T.38, T.30 and the pages in one column of time.

Owns      one row for each thing worth seeing, its words and octets; recorded packets in words, page data collapsed.
Not here  the journal's form (journal.py), colours and columns (cli/show.py), the verdict (verdict.py).
Source    names of indicators, data and fields as printed in T.38 (09/2010) Annex A.

Everything comes from a file that may be anybody's: facts of another type are shown as nothing, rows and packets have
their limits, and text is cut. Nothing here raises.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from vfax.codecs import ifp
from vfax.errors import DecodeError
from vfax.journal import Entry, read_packets
from vfax.transports.parameters import Transport
from vfax.transports.tpkt import TpktReader
from vfax.transports.udptl import MODULUS, Packet

MAX_PACKETS: Final = 300_000
"""Limit: recorded packets that are looked at; some three hours of a paced call in both directions."""

MAX_OCTETS: Final = 64 * 1024 * 1024
"""Limit: octets of these packets."""

MAX_ROWS: Final = 200_000
"""Limit: rows of a timeline; the first of them are kept."""

MAX_HEX: Final = 64
"""Limit: octets of one row that are shown."""

MAX_TEXT: Final = 500
"""Limit: characters of one row."""

WINDOW: Final = 2000
"""Sequence numbers further apart than this belong to another stream."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the timeline. `direction` is "in", "out" or empty; `octets` are those that crossed the wire.

    `loud` marks what went wrong.
    """

    t: float
    lane: str  # call, SIP, T.38, T.30, page
    direction: str
    text: str
    octets: bytes = b""
    loud: bool = False


def timeline(entries: Sequence[Entry], *, packets: bool = False, limit: int = MAX_ROWS) -> list[Row]:
    """The rows of a journal, in the order of time; with `packets` every recorded datagram has one of its own.

    Of more than `limit` rows the first are kept.
    """
    rows: list[Row] = []
    streams = {"in": _Stream("in", single=packets), "out": _Stream("out", single=packets)}
    room = _Room()
    version = 0
    for entry in entries:
        if entry.kind == "t38":
            version = _number(entry.facts, "version") if 0 <= _number(entry.facts, "version") <= 3 else 0
            for one in streams.values():
                one.carry_tpkt(_text(entry.facts, "transport") == Transport.TCP)
        if entry.kind == "packets":
            stream = streams.get(_text(entry.facts, "direction"))
            if stream is not None:
                for t, datagram in room.take(entry):
                    stream.hear(t, datagram, version)
            continue
        rows.extend(_rows(entry))
    for stream in streams.values():
        rows.extend(stream.close())
    if room.closed:
        rows.append(Row(room.closed_at, "T.38", "", "further packets are recorded and not shown", loud=True))
    rows.sort(key=lambda row: row.t)
    if len(rows) > limit:
        words = f"{_thousands(len(rows) - limit)} further rows are not shown"
        rows[limit:] = [Row(rows[limit].t, "call", "", words, loud=True)]
    return rows


class _Room:
    """How many more packets are looked at."""

    def __init__(self) -> None:
        self._packets = MAX_PACKETS
        self._octets = MAX_OCTETS
        self.closed = False
        self.closed_at = 0.0

    def take(self, entry: Entry) -> list[tuple[float, bytes]]:
        """The packets of an entry, as long as there is room."""
        if self.closed:
            return []
        found = read_packets(entry, self._packets)
        self._packets -= len(found)
        self._octets -= sum(len(datagram) for _, datagram in found)
        if self._packets <= 0 or self._octets <= 0:
            self.closed, self.closed_at = True, entry.t
        return found


# --- packets -------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Run:
    """Packets of one kind in a row."""

    t: float
    what: str
    until: float
    count: int = 0
    octets: int = 0
    lost: int = 0
    repaired: int = 0
    frames: int = 0
    open_frame: bool = False
    zeros: bool = True


@dataclass(slots=True)
class _Stream:
    """The packets of one direction, turned into rows."""

    direction: str
    single: bool
    rows: list[Row] = field(default_factory=list)
    expected: int = -1
    run: _Run | None = None
    strange: int = 0
    strange_at: float = 0.0
    indicator: str = ""
    reader: TpktReader | None = None  # T.38 over TCP: what comes are pieces of a stream

    def carry_tpkt(self, is_stream: bool) -> None:
        """From here on it is a stream, or datagrams."""
        if is_stream is not (self.reader is not None):
            self.reader = TpktReader() if is_stream else None

    def hear(self, t: float, octets: bytes, version: int) -> None:
        """Take what came at once: a datagram, or a piece of a stream."""
        if self.reader is None:
            self._hear_datagram(t, octets, version)
            return
        try:
            packets = self.reader.feed(octets)
        except DecodeError as why:
            self._note_strange(t, octets, why)
            self.reader = TpktReader()
            return
        for packet in packets:
            try:
                value = ifp.decode(packet, version)
            except DecodeError as why:
                self._note_strange(t, packet, why)
                continue
            if self.single:
                self.rows.append(Row(t, "T.38", self.direction, f"TPKT {_ifp_words(value)}", packet))
            else:
                self._see(t, value, 0, 0)

    def _hear_datagram(self, t: float, datagram: bytes, version: int) -> None:
        try:
            packet = Packet.decode(datagram)
            value = ifp.decode(packet.primary, version) if packet.primary else None
        except DecodeError as why:
            self._note_strange(t, datagram, why)
            return
        lost, repaired, again = self._gap(packet)
        if self.single:
            self.rows.append(Row(t, "T.38", self.direction, _packet_words(packet, value, lost, again=again), datagram))
            return
        if not again:
            self._see(t, value, lost, repaired)

    def _see(self, t: float, value: ifp.Ifp | None, lost: int, repaired: int) -> None:
        match value:
            case ifp.Indication(indicator):
                self._indicate(t, indicator.title)
            case ifp.Data(kind, fields):
                self._add(t, kind.title, fields or (), lost, repaired)
            case _:
                pass

    def close(self) -> list[Row]:
        """All rows, the last run too."""
        self._end_run()
        if self.strange:
            words = f"{_count(self.strange, 'piece' if self.reader else 'datagram')} that cannot be read as T.38"
            self.rows.append(Row(self.strange_at, "T.38", self.direction, words, loud=True))
        return self.rows

    def _note_strange(self, t: float, datagram: bytes, why: DecodeError) -> None:
        if self.single:
            words = f"{len(datagram)} octets that cannot be read as T.38: {why.what}"
            self.rows.append(Row(t, "T.38", self.direction, words, datagram[:MAX_HEX], loud=True))
        elif not self.strange:
            self.strange_at = t
        self.strange += not self.single

    def _gap(self, packet: Packet) -> tuple[int, int, bool]:
        """Packets lost before this one, those it brings along, and whether it came before."""
        if self.expected < 0:
            self.expected = (packet.sequence + 1) % MODULUS
            return 0, 0, False
        ahead = (packet.sequence - self.expected) % MODULUS
        if ahead >= MODULUS - WINDOW:
            return 0, 0, True
        self.expected = (packet.sequence + 1) % MODULUS
        if ahead > WINDOW:
            return 0, 0, False  # a restart
        repaired = min(ahead, len(packet.earlier))
        return ahead - repaired, repaired, False

    def _indicate(self, t: float, title: str) -> None:
        """An indicator ends what was; said several times, it is one row."""
        if self.run is None and title == self.indicator:
            return
        self._end_run()
        self.indicator = title
        self.rows.append(Row(t, "T.38", self.direction, title))

    def _add(self, t: float, title: str, fields: tuple[ifp.Field, ...], lost: int, repaired: int) -> None:
        if self.run is None or self.run.what != title:
            self._end_run()
            self.run = _Run(t, title, t)
        run = self.run
        run.until = t
        run.count += 1
        run.lost += lost
        run.repaired += repaired
        for one in fields:
            run.octets += len(one.octets)
            run.open_frame = run.open_frame or bool(one.octets)
            if one.type in _FRAME_ENDS:  # an end that is repeated ends nothing
                run.frames += run.open_frame
                run.open_frame = False
            run.zeros = run.zeros and not any(one.octets)

    def _end_run(self) -> None:
        run, self.run = self.run, None
        if run is None:
            return
        self.indicator = ""
        self.rows.append(Row(run.t, "T.38", self.direction, _run_words(run), loud=run.lost > 0))


_FRAME_ENDS: Final = frozenset(
    {
        ifp.FieldType.HDLC_FCS_OK,
        ifp.FieldType.HDLC_FCS_BAD,
        ifp.FieldType.HDLC_FCS_OK_SIG_END,
        ifp.FieldType.HDLC_FCS_BAD_SIG_END,
    }
)


def _run_words(run: _Run) -> str:
    if run.what == "v21":
        kind = "control frames"
    elif run.frames:
        kind = "page data with error correction"
    else:
        kind = "training check (zeros)" if run.zeros else "page data"
    words = [f"{_count(run.count, 'packet')} of {kind}", f"{_thousands(run.octets)} octets"]
    if run.frames:
        words.append(_count(run.frames, "frame"))
    if run.repaired:
        words.append(f"{run.repaired} repaired")
    if run.lost:
        words.append(f"{run.lost} lost")
    return f"{run.what}: {', '.join(words)}, {run.until - run.t:.1f} s"


def _packet_words(packet: Packet, value: ifp.Ifp | None, lost: int, *, again: bool) -> str:
    words = [f"#{packet.sequence}", _ifp_words(value)]
    if packet.fec is not None:
        words.append(f"parity {len(packet.fec.rows)} x {packet.fec.span}")
    elif packet.earlier:
        words.append(f"+{len(packet.earlier)}")
    if again:
        words.append("(seen before)")
    if lost:
        words.append(f"({lost} lost before)")
    return " ".join(words)


def _ifp_words(value: ifp.Ifp | None) -> str:
    match value:
        case None:
            return "empty"
        case ifp.Indication(indicator):
            return indicator.title
        case ifp.Data(kind, fields):
            said = ", ".join(f"{one.type.title}{f' {len(one.octets)}' if one.octets else ''}" for one in fields or ())
            return f"{kind.title}: {said or 'no field'}"
        case ifp.Unknown(kind=what, number=number):
            return f"{what} {number}, which nobody has defined"


# --- lines ---------------------------------------------------------------------------------------


def _rows(entry: Entry) -> Iterator[Row]:
    facts, t = entry.facts, entry.t
    direction = _text(facts, "direction")
    direction = direction if direction in ("in", "out") else ""
    match entry.kind:
        case "sip":
            yield Row(t, "SIP", direction, _text(facts, "summary"))
        case "dis" | "dcs" | "frame":
            words = " ".join(one for one in (_text(facts, "name"), _text(facts, "words")) if one)
            yield Row(t, "T.30", direction, words, _octets(_text(facts, "hex")), loud=_text(facts, "name") in ALARMING)
        case "t38-first":
            octets = _number(facts, "octets")
            yield Row(t, "T.38", direction, f"first datagram, {octets} octets", _octets(_text(facts, "hex")))
        case "page":
            words, loud = _page_words(facts)
            yield Row(t, "page", "", words, loud=loud)
        case "training":
            good = facts.get("ok") is True
            verdict = "good" if good else "not good enough"
            yield Row(t, "T.30", "", f"training at {_number(facts, 'rate_bps')} bit/s: {verdict}", loud=not good)
        case "agreed":
            yield Row(t, "T.30", "", _agreed_words(facts))
        case "t38":
            yield Row(t, "call", direction, _t38_words(facts))
        case "dtls":
            words, loud = _dtls_words(facts)
            yield Row(t, "call", direction, words, loud=loud)
        case "unreadable":
            yield Row(t, "call", "", f"line {_number(facts, 'line')} of the journal cannot be read", loud=True)
        case kind if kind in CALL_WORDS:
            yield Row(t, "call", direction, _call_words(kind, facts), loud=kind in LOUD)
        case _:
            pass  # told by another line, or for replay only


ALARMING: Final = frozenset({"DCN", "RTN", "PPR", "FTT", "ERR", "EOR", "CRP", "RNR", "PIN", "?"})
LOUD: Final = frozenset({"refused", "storage", "fault", "lost", "unrecorded"})

CALL_WORDS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "call": ("the call begins", ("caller", "dialled", "destination", "peer", "pages", "user_agent")),
    "found": ("where to call", ("destination", "targets", "passed_over", "notes", "why")),
    "media": ("the media socket is open", ("host", "port")),
    "answered": ("the call is up", ("media",)),
    "refused": ("the switch to T.38 was refused", ("status", "reason")),
    "status": ("the host is told", ("status", "page")),
    "storage": ("the document could not be kept", ("why",)),
    "fault": ("a fault of vfax", ("what",)),
    "unrecorded": ("packets are recorded no longer", ("why",)),
    "capture": ("a capture was kept", ("file", "decrypted")),
    "counters": (
        "the media socket is closed",
        ("sent", "received", "repaired", "lost", "late", "strangers", "refused", "unsent"),
    ),
    "lost": ("lines of the journal were lost", ("lost", "why")),
    "outcome": ("the end", ("cause", "phase", "pages_confirmed", "bad_rows")),
}
"""Lines that are words and a few facts; zeros and empty ones are left out."""


def _call_words(kind: str, facts: Mapping[str, object]) -> str:
    what, names = CALL_WORDS[kind]
    said = [f"{name.replace('_', ' ')} {_plain(facts[name])}" for name in names if facts.get(name)]
    return _cut(f"{what}: {', '.join(said)}" if said else what)


def _t38_words(facts: Mapping[str, object]) -> str:
    tcp = _text(facts, "transport") == Transport.TCP
    udptl = "UDPTL over DTLS" if _text(facts, "transport") == Transport.DTLS else "UDPTL"
    road = "TCP" if tcp else f"{udptl} ({_text(facts, 'error_correction')})"
    words = [f"T.38 runs with {_text(facts, 'peer')} over {road}", f"version {_number(facts, 'version')}"]
    if rate_bps := _number(facts, "max_bit_rate_bps"):
        words.append(f"up to {rate_bps} bit/s")
    if management := _text(facts, "rate_management"):
        words.append(management)
    if not tcp and (octets := _number(facts, "max_datagram")):
        words.append(f"datagrams up to {octets} octets")
    return _cut(", ".join(words))


def _dtls_words(facts: Mapping[str, object]) -> tuple[str, bool]:
    """The lines of encryption, and whether one is alarming."""
    peer = _text(facts, "peer")
    match facts.get("what"):
        case "offered":
            only = ", and not without" if facts.get("required") is True else ""
            return f"T.38 is offered over DTLS{only}", False
        case "refused":
            why = f"{_number(facts, 'status')} {_text(facts, 'reason')}".strip()
            return _cut(f"T.38 over DTLS was refused: {why}; it is offered without"), True
        case "agreed":
            known_by = f"known by {_text(facts, 'fingerprints')}"
            return _cut(f"DTLS is agreed with {peer}, {known_by}; {_text(facts, 'begins')} to begin"), False
        case "encrypted":
            how = f"{_text(facts, 'version')}, {_text(facts, 'cipher')}; proved by {_text(facts, 'fingerprint')}"
            return _cut(f"encrypted from here on, with {peer}: {how}"), False
        case _:
            return _cut(f"no encryption: {_text(facts, 'why')}"), True


def _page_words(facts: Mapping[str, object]) -> tuple[str, bool]:
    what = _text(facts, "what")
    words = f"page {_number(facts, 'number')} {what}"
    if what in ("received", "cut off"):
        bad = _number(facts, "bad_rows")
        words += f": {_count(_number(facts, 'rows'), 'row')}" + (f", {bad} damaged or missing" if bad else "")
        return words, what != "received" or bad > 0
    why = ", ".join(
        one
        for one in (_text(facts, "why"), _count(_number(facts, "frames"), "frame") if facts.get("frames") else "")
        if one
    )
    return (f"{words}: {why}" if why else words), what in ("lost", "repeated")


def _agreed_words(facts: Mapping[str, object]) -> str:
    ecm = "ECM" if facts.get("ecm") is True else "no ECM"
    modem = f"{_text(facts, 'modem')} {_number(facts, 'rate_bps')} bit/s"
    if facts.get("internet_aware") is True:
        modem = "internet-aware (no modem between)"
    page = f"{_text(facts, 'resolution')}, {_number(facts, 'width_px')} px"
    return f"agreed: {modem}, {_text(facts, 'coding').upper()}, {ecm}, {page}"


# --- facts ---------------------------------------------------------------------------------------


def _text(facts: Mapping[str, object], name: str) -> str:
    fact = facts.get(name)
    return _cut(fact) if isinstance(fact, str) else ""


def _number(facts: Mapping[str, object], name: str) -> int:
    fact = facts.get(name)
    return fact if isinstance(fact, int) and not isinstance(fact, bool) and abs(fact) < 1 << 53 else 0


def _plain(fact: object) -> str:
    return _cut(str(fact)) if isinstance(fact, str | int | float) and not _is_huge(fact) else "?"


def _is_huge(fact: object) -> bool:
    return isinstance(fact, int) and abs(fact) >= 1 << 53


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}..."


def _octets(text: str) -> bytes:
    try:
        return bytes.fromhex(text[: 2 * MAX_HEX])
    except ValueError:
        return b""


def _count(number: int, noun: str) -> str:
    return f"{_thousands(number)} {noun}{'' if number == 1 else 's'}"


def _thousands(number: int) -> str:
    return f"{number:,}"
