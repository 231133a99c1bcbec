"""The journal: one JSON line per event of a call, written as it happens.

Owns      the lines' shape, their safe text, the file and its limit, the form of recorded packets, reading it back.
Not here  which events are noted (record.py, calls.py, device/job.py); the sentence of the outcome (verdict.py).

Every line holds `at` (UTC wall time, ISO 8601 with milliseconds), `t` (seconds since the call began) and `kind`;
the facts follow. A fact that is not known is left out.

| kind       | when                                 | facts                                                      |
|------------|--------------------------------------|------------------------------------------------------------|
| call       | first line                           | call (its id), direction (in, out); in: caller,            |
|            |                                      | caller_name, dialled, peer, call_id, user_agent; out:      |
|            |                                      | destination, pages                                         |
| found      | out: it is known where to call       | targets, passed_over (that failed a while ago), notes      |
|            |                                      | (what could not be found)                                  |
| media      | the media socket is open             | host, port                                                 |
| sip        | each SIP message                     | direction (in, out), peer, summary                         |
| answered   | the call is up                       | media (t38, audio)                                         |
| t38        | T.38 agreed, again at each change    | peer and the fields of T38Parameters                       |
| t38-first  | first datagram, when none are        | direction (in, out), octets (how many), hex (the first 64) |
|            | recorded                             |                                                            |
| options    | before the first t38                 | version, role (caller, called), pages, first, leg: all     |
|            |                                      | that shapes the engine (see record.py)                     |
| packets    | about once a second                  | direction (in, out), count, since (seconds), data: T.38    |
|            |                                      | datagrams in a packed form (see `pack_packets`), redacted  |
| order      | the fax is told something by us      | what (coded, uncoded, kept, lost, abort, line-down), heard |
|            |                                      | (datagrams so far), number, octets                         |
| unrecorded | packets are recorded no longer       | why, heard                                                 |
| dis, dcs   | each DIS or DCS                      | as frame                                                   |
| frame      | each other T.30 control frame        | direction (in, out), name (CFR, MCF ...), words (what it   |
|            |                                      | says, decoded), hex                                        |
| identity   | CSI or TSI of the peer               | frame, text                                                |
| agreed     | a DCS was sent or accepted           | modem, rate_bps, coding, ecm, resolution, width_px,        |
|            |                                      | min_scan_ms, internet_aware (then no modem and no rate)    |
| training   | CFR or FTT                           | ok, rate_bps                                               |
| page       | each step of a page                  | number, what (started, received, cut off, kept, lost,      |
|            |                                      | confirmed, repeated, scaled, without header), rows,        |
|            |                                      | bad_rows, frames, why, from and to (of a scaled page)      |
| status     | each status given to the host        | status (FS_* name), page, remote_id                        |
| storage    | the document could not be kept       | why                                                        |
| fault      | a fault of vfax ended the call       | what, trace                                                |
| refused    | our switch-over to T.38 was refused  | status, reason                                             |
| capture    | a capture of the call is kept        | file, datagrams, left_out; why, when it is not whole       |
| counters   | the media socket closes              | what the roads counted (strangers, lost, repaired ...);    |
|            |                                      | silent (seconds), done and total (of the page at hand)     |
| outcome    | the verdict; SIP lines may follow    | the fields of Outcome; lost, why_lost when lines were lost |
| lost       | lines were lost after that           | lost, why                                                  |
| unreadable | never written: read_journal says it  | line (number) that a crash or a full disk tore             |
"""

import base64
import binascii
import json
import math
import os
import struct
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from io import FileIO
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Final, TypeAlias, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_T = TypeVar("_T")

JsonValue: TypeAlias = "str | int | float | bool | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
"""What a fact may be. Enums that are strings are strings."""

MAX_FILE_OCTETS: Final = 8 * 1024 * 1024
"""Limit: size of one call's journal; after it only the outcome is still written. A page costs about 3 KB with ECM."""

MAX_TEXT: Final = 2000
"""Limit: characters of one text; the rest is cut and counted."""

MAX_LINE_OCTETS: Final = 64 * 1024
"""Limit: octets of one line; facts beyond it are replaced by their size."""

MAX_ITEMS: Final = 200
"""Limit: entries of one list or mapping among the facts."""

MAX_DEPTH: Final = 4
"""Limit: lists and mappings inside each other."""

MAX_PACKET: Final = 65535
"""Limit: octets of one recorded datagram."""

MAX_BATCH_OCTETS: Final = 1 << 20
"""Limit: octets that one line of packets may unpack to; ours hold 40 KB at most."""

MAX_READ_LINE: Final = 256 * 1024
"""Limit: octets of one line that is read back; a longer one is unreadable."""

MAX_READ_LINES: Final = 500_000
"""Limit: lines that are read back; what follows is left unread and said to be unreadable."""

MAX_READ_OCTETS: Final = 64 * 1024 * 1024
"""Limit: octets of a journal that are read back, as above."""

PRIVATE: Final = 0o640
"""Rights of a new journal or capture: owner and group, as of the folders that the commands make."""

MAX_READ_VALUES: Final = 5_000_000
"""Limit: values of a journal that are read back, as above: in the memory each takes many times its octets."""

LAST_KINDS: Final = frozenset({"outcome", "lost"})
"""Kinds that are written even when the file is full by our own limit."""


class Journal:
    """The journal of one call. Writes whole lines, unbuffered and appended; to nowhere when `path` is None.

    `clock` gives monotonic seconds and starts the count of `t`; `wall` gives seconds since 1970. Nothing here raises
    for what the disk does: lines that could not be written are counted in `lost`, and the outcome line says so.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        clock: Callable[[], float],
        call: str,
        wall: Callable[[], float] = time.time,
        max_octets: int = MAX_FILE_OCTETS,
    ) -> None:
        self.lost = 0
        self.trouble = ""
        self._call = call
        self._clock = clock
        self._wall = wall
        self._began_at = clock()
        self._room = max_octets
        self._torn = False  # a line was written in part: the next one must begin on a line of its own
        self._unsaid = False
        self._file = self._open(path) if path is not None else None
        self._nowhere = path is None

    def note(self, kind: str, /, **facts: JsonValue) -> None:
        """Write one line now. Facts called like a field of every line get an underscore behind their name."""
        if self._nowhere:
            return
        line: dict[str, JsonValue] = {
            "at": _iso(self._wall()),
            "t": round(self._clock() - self._began_at, 3),
            "kind": kind,
        }
        if kind == "call":
            line["call"] = self._call
        for name, value in facts.items():
            line[f"{name}_" if name in line else name] = value
        if kind == "outcome" and self.lost:
            line.update(lost=self.lost, why_lost=self.trouble)
        self._write(_dump(line), last=kind in LAST_KINDS)

    def note_whole(self, kind: str, facts: Mapping[str, JsonValue], *, when: float | None = None) -> None:
        """Write one line of our own data, of which nothing is cut; text of a peer goes through `note`.

        `when` is a moment of the clock, told to the microsecond; without it the line tells now to the millisecond.
        """
        if self._nowhere:
            return
        t = round(self._clock() - self._began_at, 3) if when is None else self.since_began(when)
        line = {"at": _iso(self._wall()), "t": t, "kind": kind, **facts}
        self._write(json.dumps(line, separators=(",", ":")).encode("ascii") + b"\n", last=False)

    def since_began(self, when: float) -> float:
        """Seconds from the call's beginning to a moment of the clock, rounded down to the microsecond."""
        return math.floor((when - self._began_at) * 1e6) / 1e6

    def close(self) -> None:
        """Say what was lost since the outcome if that is possible, and close the file. May be called twice."""
        if self._unsaid:
            self.note("lost", lost=self.lost, why=self.trouble)
        if self._file is not None:
            try:
                self._file.close()
            except OSError as error:
                self.trouble = _words(error)
            self._file = None
        self._nowhere = True

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, path: Path) -> FileIO | None:
        try:
            self._torn = _is_torn(path)
            return FileIO(path, "ab", opener=open_private)
        except OSError as error:
            self.trouble = _words(error)
            return None

    def _write(self, text: bytes, *, last: bool) -> None:
        if self._file is None:
            self._lose(self.trouble)
            return
        if len(text) > self._room and not last:
            self._room = 0  # from here on: a journal with holes would mislead more than a short one
            self._lose("the journal has reached its size limit")
            return
        octets = b"\n" + text if self._torn else text
        try:
            written = self._file.write(octets) or 0
        except OSError as error:
            self._lose(_words(error))
            return
        self._room -= written
        self._torn = written < len(octets) if written else self._torn
        if written < len(octets):
            self._lose("the disk took only a part of a line")
        elif last:
            self._unsaid = False

    def _lose(self, why: str) -> None:
        self.lost += 1
        self.trouble = why
        self._unsaid = True


def facts_of(value: "DataclassInstance") -> dict[str, JsonValue]:
    """The fields of a value (`Outcome`, `T38Parameters`, a counter) as facts; what is None is left out."""
    pairs = ((field.name, getattr(value, field.name)) for field in fields(value))
    return {name: _safe(one, MAX_DEPTH) for name, one in pairs if one is not None}


# --- reading -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entry:
    """One line read back; `facts` is everything but `at`, `t` and `kind`."""

    at: str
    t: float
    kind: str
    facts: Mapping[str, JsonValue]


def read_journal(path: Path) -> list[Entry]:
    """Every line of a journal, oldest first; a line that cannot be read is an entry of kind `unreadable`.

    Raises OSError when the file cannot be read.
    """
    with path.open("rb") as file:
        return list(_entries(file))


def _entries(file: BinaryIO) -> Iterator[Entry]:
    for count, line in enumerate(_lines(file), 1):
        if line.strip():
            yield _entry(line) or Entry("", 0.0, "unreadable", {"line": count})


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines within our limits; one that is too long, or all that are too many, is one that cannot be read."""
    octets = values = 0
    for _ in range(MAX_READ_LINES):
        line = file.readline(MAX_READ_LINE + 1)
        if not line:
            return
        octets += len(line)
        values += 1 + line.count(b",")
        if len(line) > MAX_READ_LINE:
            octets += _skip_line(file, MAX_READ_OCTETS - octets)
            line = b"?"
        if octets > MAX_READ_OCTETS or values > MAX_READ_VALUES:
            break
        yield line
    yield b"?"


def _skip_line(file: BinaryIO, limit: int) -> int:
    """Read to the end of a line, or a little over `limit` octets of it; tell how many."""
    octets = 0
    while octets <= limit:
        part = file.readline(MAX_READ_LINE)
        octets += len(part)
        if not part or part.endswith(b"\n"):
            break
    return octets


def _entry(line: bytes) -> Entry | None:
    try:
        facts = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(facts, dict):
        return None
    at, t, kind = facts.pop("at", None), facts.pop("t", None), facts.pop("kind", None)
    if not isinstance(at, str) or not isinstance(t, int | float) or not isinstance(kind, str):
        return None
    if not abs(t) < 1e9:  # nor is infinity, or an integer that no float can hold
        return None
    return Entry(at, float(t), kind, facts)


# --- packets -------------------------------------------------------------------------------------

_RECORD: Final = struct.Struct(">IH")


def pack_packet(microseconds: int, datagram: bytes) -> bytes:
    """One record: microseconds since the batch began (four octets), length (two octets), the datagram."""
    return _RECORD.pack(microseconds, len(datagram)) + datagram


def pack_packets(records: bytes) -> str:
    """Records, one behind the other, as the fact `data`: zlib, then base64."""
    return base64.b64encode(zlib.compress(records)).decode("ascii")


def read_packets(entry: Entry, limit: int = 100_000) -> list[tuple[float, bytes]]:
    """The datagrams of an entry of kind `packets`: seconds since the call began, and octets; at most `limit`.

    Never raises, whatever the file holds: what cannot be read is left out, and the fact `count` tells how many there
    should be. Takes no more than MAX_BATCH_OCTETS.
    """
    since, data = entry.facts.get("since"), entry.facts.get("data")
    if not isinstance(since, int | float) or not isinstance(data, str) or not abs(since) < 1e9:
        return []
    records = _unpack(data)
    packets: list[tuple[float, bytes]] = []
    at = 0
    while at + _RECORD.size <= len(records) and len(packets) < limit:
        microseconds, length = _RECORD.unpack_from(records, at)
        at += _RECORD.size + length
        if at > len(records):
            break
        packets.append((since + microseconds / 1e6, records[at - length : at]))
    return packets


def _unpack(data: str) -> bytes:
    """Records of a fact `data`; those before the damage where it is damaged."""
    try:
        return zlib.decompressobj().decompress(base64.b64decode(data, validate=True), MAX_BATCH_OCTETS)
    except (binascii.Error, ValueError, zlib.error):
        return b""


# --- safe text -----------------------------------------------------------------------------------


def _dump(line: Mapping[str, JsonValue]) -> bytes:
    text = json.dumps(_safe(line, MAX_DEPTH), separators=(",", ":")).encode("ascii") + b"\n"
    if len(text) <= MAX_LINE_OCTETS:
        return text
    return _dump({"at": line["at"], "t": line["t"], "kind": line["kind"], "cut_octets": len(text)})


def _safe(value: object, depth: int) -> JsonValue:
    """Plain JSON and nothing else: text cut and without lone surrogates, no NaN, no depth, no strange objects."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes | bytearray):
        return _safe_text(value.hex())
    if depth and isinstance(value, Mapping):
        return {_safe_text(str(name)): _safe(one, depth - 1) for name, one in _first(value.items())}
    if depth and isinstance(value, Sequence) and not isinstance(value, str):
        return [_safe(one, depth - 1) for one in _first(value)]
    return _safe_text(str(value))


def _first(items: Iterable[_T]) -> list[_T]:
    return list(islice(items, MAX_ITEMS))


def _safe_text(text: str) -> str:
    """Octets of the peer that were no UTF-8 (lone surrogates) become visible escapes; JSON itself escapes the rest."""
    if len(text) > MAX_TEXT:
        text = f"{text[:MAX_TEXT]}... ({len(text) - MAX_TEXT} more)"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _iso(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def open_private(path: str, flags: int) -> int:
    """An opener whose new files are not for everybody: they hold numbers and pages of other people."""
    return os.open(path, flags, PRIVATE)


def _is_torn(path: Path) -> bool:
    """True when the file exists and its last line has no end: an earlier run died while writing it."""
    if not path.is_file() or path.stat().st_size == 0:
        return False
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) != b"\n"


def _words(error: OSError) -> str:
    return error.strerror or type(error).__name__
