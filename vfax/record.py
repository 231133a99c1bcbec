"""What a call writes down of itself: events, orders and datagrams as lines of its journal.

Owns      which event of a leg is which line; the packets, all that replay needs besides, and their budget.
Not here  the lines' form (journal.py), captures (capture.py), reading a record again (replay.py).

A datagram costs one append; packing them happens once a second, on no more than 32 KB at a time (about a millisecond).
A record is replayed by giving today's engine the same datagrams and orders in the same order: `heard`, the number of
datagrams heard before, puts orders in their place whatever the clock's resolution.
"""

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import groupby
from typing import Final

from vfax.codecs.dis import Agreement
from vfax.journal import MAX_PACKET, Journal, JsonValue, facts_of, pack_packet, pack_packets
from vfax.leg import (
    CallUp,
    DtlsAgreed,
    DtlsFailed,
    DtlsOffered,
    DtlsRefused,
    DtlsUp,
    Finished,
    Leg,
    LegEvent,
    LegOptions,
    LegOrder,
    StreamLost,
    Switched,
    SwitchRefused,
)
from vfax.plain import plain_of
from vfax.t30 import values as t30
from vfax.transports.erase import SECRETS, PageEraser, hide_frame, hide_text
from vfax.transports.sip import values as sip
from vfax.transports.sip.reason import q850_in
from vfax.transports.udp import format_address
from vfax.verdict import cause_of_end

FORM: Final = 1
"""Version of what `options`, `order` and `packets` lines mean."""

BATCH_OCTETS: Final = 32 * 1024
BATCH_SECONDS: Final = 1.0
PASSWORDS: Final = ("sender_password", "poll_password")
_SECRET_NAMES: Final = frozenset(fcf.title for fcf in SECRETS)
MAX_AGENT: Final = 200
"""Limit: characters of a User-Agent; only its beginning decides anything."""


class Packets(StrEnum):
    """Which datagrams a journal holds."""

    ALL = "all"
    IN = "in"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordOptions:
    """What a call's record holds; `packets_limit` in octets of the file."""

    packets: Packets = Packets.ALL
    packets_limit: int = 4 * 1024 * 1024  # Limit: then recording stops and says so; about half an hour of page data
    redacted: bool = False  # page data and passwords are replaced by zeros


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the engine of a call was made with, apart from what SIP agreed."""

    options: LegOptions
    called: bool
    document: t30.SendDocument | None = None
    poll: t30.Poll | None = None
    peer_agent: str = ""


class _Batch:
    """Datagrams of one direction that are not in the file yet."""

    def __init__(self, direction: str) -> None:
        self.direction = direction
        self.records = bytearray()
        self.count = 0
        self.began = 0.0  # since the call began
        self.eraser: PageEraser | None = None

    def append(self, since: float, datagram: bytes) -> None:
        if not self.count:
            self.began = since
        self.records += pack_packet(max(0, round((since - self.began) * 1e6)), datagram)
        self.count += 1

    def facts(self) -> dict[str, JsonValue]:
        """The facts of a line, and an empty batch."""
        data = pack_packets(bytes(self.records))
        facts: dict[str, JsonValue] = {
            "direction": self.direction,
            "count": self.count,
            "since": self.began,
            "data": data,
        }
        if self.eraser is not None:
            facts["redacted"] = True
        self.records.clear()
        self.count = 0
        return facts


class CallRecord:
    """Writes one call down. Times are of the journal's clock."""

    def __init__(self, journal: Journal, terms: Terms, options: RecordOptions) -> None:
        self._journal = journal
        self._terms = terms
        self._options = options
        self._in, self._out = _Batch("in"), _Batch("out")
        self._room = options.packets_limit
        self._heard = 0
        self._written = 0  # of those heard
        self._switched = False
        self._off = options.packets is Packets.OFF
        self._first_heard = not self._off  # nothing to say of it: all are there
        self._first_sent = options.packets is Packets.ALL
        self.due = math.inf
        """When `flush` wants to be called."""
        if options.redacted:
            self._in.eraser, self._out.eraser = PageEraser(), PageEraser()

    # --- datagrams -------------------------------------------------------------------------------

    def heard(self, datagram: bytes, now: float) -> None:
        """One datagram that the T.38 line took."""
        self._heard += 1
        if not self._off:
            self._append(self._in, datagram, now)
        elif not self._first_heard:
            self._first_heard = True
            self._note_first("in", datagram)

    def sent(self, datagram: bytes, now: float) -> None:
        """One datagram of the T.38 line."""
        if self._options.packets is Packets.ALL and not self._off:
            self._append(self._out, datagram, now)
        elif not self._first_sent:
            self._first_sent = True
            self._note_first("out", datagram)

    def flush(self) -> None:
        """Write what waits."""
        self.due = math.inf
        for batch in (self._in, self._out):
            if batch.count:
                self._write(batch)

    def _append(self, batch: _Batch, datagram: bytes, now: float) -> None:
        if len(datagram) > MAX_PACKET:
            self._stop("a datagram is too large")
            return
        if batch.eraser is not None:
            datagram = batch.eraser.erase(datagram)
        if now >= self.due:
            self.flush()
            if self._off:
                return
        batch.append(self._journal.since_began(now), datagram)
        if self.due == math.inf:
            self.due = now + BATCH_SECONDS
        if len(batch.records) >= BATCH_OCTETS:
            self._write(batch)

    def _write(self, batch: _Batch) -> None:
        count, facts = batch.count, batch.facts()
        size = len(str(facts["data"]))
        if size > self._room:
            self._stop("the limit of recorded packets was reached")
            return
        self._room -= size
        self._written += count if batch is self._in else 0
        self._journal.note_whole("packets", facts)

    def _stop(self, why: str) -> None:
        """Record no more packets; those written so far are a beginning without a hole."""
        if self._off:
            return
        self._off = True
        self._first_heard = self._first_sent = True
        self._journal.note("unrecorded", why=why, heard=self._written)
        for batch in (self._in, self._out):
            batch.records.clear()
            batch.count = 0

    def _note_first(self, direction: str, datagram: bytes) -> None:
        shown = {} if self._options.redacted else {"hex": datagram[:64].hex()}
        self._journal.note("t38-first", direction=direction, octets=len(datagram), **shown)

    # --- orders and events -----------------------------------------------------------------------

    def order(self, order: LegOrder, now: float) -> None:
        """One order that the leg is given now."""
        match order:
            case t30.PageCoded(number, data):
                self._order(now, what="coded", number=number, octets=len(data))
            case t30.PageUnavailable(number, why):
                self._order(now, what="uncoded", number=number, why=why)
            case t30.PageKept(number):
                self._journal.note("page", number=number, what="kept")
                self._order(now, what="kept", number=number)
            case t30.PageLost(number, why):
                self._journal.note("page", number=number, what="lost", why=why)
                self._order(now, what="lost", number=number, why=why)
            case t30.Abort(why):
                self._order(now, what="abort", why=why)
            case t30.LineDown():
                self._order(now, what="line-down", why="aborted")
            case StreamLost():
                self._order(now, what="line-down", why="network")
            case _:
                pass

    def signal(self, event: sip.SipEvent, now: float) -> None:
        """One event of SIP that the leg is told now; only its end and who answered concern the fax."""
        match event:
            case sip.HungUp(reasons=reasons) | sip.Cancelled(reasons=reasons):
                self._order(now, what="line-down", why=cause_of_end(q850_in(reasons)).value)
            case sip.DialogLost() | sip.Released():
                self._order(now, what="line-down", why="network")
            case sip.Answered(user_agent=agent):
                self._terms = replace(self._terms, peer_agent=agent)
            case _:
                pass

    def _order(self, now: float, **facts: str | int) -> None:
        if self._switched and self._options.packets is not Packets.OFF:
            facts["why"] = str(facts.get("why", ""))[:200]
            self._journal.note_whole("order", {"heard": self._heard, **facts}, when=now)

    def event(self, event: LegEvent, now: float) -> None:
        """One event of the leg."""
        note = self._journal.note
        match event:
            case t30.FrameSeen(sent, name, octets, words):
                kind = name.lower() if name in ("DIS", "DCS") else "frame"
                facts = {"direction": "out" if sent else "in", "name": name, "words": words, "hex": octets.hex()}
                note(kind, **(without_secrets(kind, facts) if self._options.redacted else facts))
            case t30.IdentityReceived(frame, text):
                facts = {"frame": frame, "text": text}
                note("identity", **(without_secrets("identity", facts) if self._options.redacted else facts))
            case t30.Agreed(agreement):
                note("agreed", **_words(agreement))
            case t30.Trained(ok, rate_bps):
                note("training", ok=ok, rate_bps=rate_bps)
            case t30.PageStarted(number):
                note("page", number=number, what="started")
            case t30.PageReceived():
                what = "received" if event.complete else "cut off"
                note("page", number=event.number, what=what, rows=event.rows, bad_rows=event.bad_rows)
            case t30.PageConfirmed(number):
                note("page", number=number, what="confirmed")
            case t30.PageRepeated(number, frames, why):
                note("page", number=number, what="repeated", frames=frames, why=why)
            case CallUp(media):
                note("answered", media=media)
            case Switched():
                self._switch(event, now)
            case SwitchRefused(status, reason):
                note("refused", status=status, reason=reason)
            case DtlsOffered() | DtlsRefused() | DtlsAgreed() | DtlsUp() | DtlsFailed():
                note("dtls", **_dtls_facts(event))
            case Finished():
                self.flush()
            case _:
                pass

    def _switch(self, event: Switched, now: float) -> None:
        if not self._switched:
            self._switched = True
            if self._options.packets is not Packets.OFF:
                terms = facts_of_terms(self._terms)
                terms = without_secrets("options", terms) if self._options.redacted else terms
                self._journal.note_whole("options", terms, when=now)
        for batch in (self._in, self._out):
            if batch.eraser is not None:
                batch.eraser.version = event.parameters.version
        facts = {"peer": format_address(event.remote), **facts_of(event.parameters), "heard": self._heard}
        self._journal.note_whole("t38", facts, when=now)


def counters_of(leg: Leg, now: float) -> dict[str, int | float]:
    """Facts of a `counters` line: what the line counted, how long it was silent, how far the page had come."""
    line, course = leg.line, leg.course
    if line is None:
        return {}
    silent = round(now - line.quiet_since, 3)
    return {**line.counters.as_facts(), "silent": silent, "done": course.done, "total": course.total}


def facts_of_terms(terms: Terms) -> dict[str, JsonValue]:
    """The facts of an `options` line. Equal pages in a row are one entry: count, width, rows, resolution."""
    facts: dict[str, JsonValue] = {"version": FORM, "role": "called" if terms.called else "caller"}
    if terms.document is not None:
        runs = [(len(list(equal)), page) for page, equal in groupby(terms.document.pages)]
        facts["pages"] = [[count, page.width_px, page.rows, page.resolution.name] for count, page in runs]
        facts["first"] = terms.document.first
        facts["alone"] = terms.document.alone
        facts["addressing"] = plain_of(terms.document.addressing)
    if terms.poll is not None:
        facts["poll"] = plain_of(terms.poll.addressing)
    facts["peer_agent"] = terms.peer_agent[:MAX_AGENT]
    facts["leg"] = plain_of(terms.options)
    return facts


def without_secrets(kind: str, facts: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """The facts of a line, with passwords replaced by digits 0 as in the packets: it replays as before."""
    told = dict(facts)
    if kind == "options":
        for name in ("addressing", "poll"):
            if isinstance(said := told.get(name), Mapping):
                hidden = {key: hide_text(str(value)) for key, value in said.items() if key in PASSWORDS}
                told[name] = {**said, **hidden}
    elif kind == "frame" and told.get("name") in _SECRET_NAMES:
        told["words"] = ""
        with suppress(ValueError):
            told["hex"] = hide_frame(bytes.fromhex(str(told.get("hex", "")))).hex()
    elif kind == "identity" and told.get("frame") in _SECRET_NAMES:
        told["text"] = hide_text(str(told.get("text", "")))
    return told


def _dtls_facts(event: DtlsOffered | DtlsRefused | DtlsAgreed | DtlsUp | DtlsFailed) -> Mapping[str, str | int | bool]:
    match event:
        case DtlsOffered(required):
            return {"what": "offered", "required": required}
        case DtlsRefused(status, reason):
            return {"what": "refused", "status": status, "reason": reason}
        case DtlsAgreed(remote, dtls):
            begins, named = "us" if dtls.active else "the peer", ", ".join(str(one) for one in dtls.fingerprints)
            facts = {"what": "agreed", "peer": format_address(remote), "begins": begins, "fingerprints": named}
            return facts | {"tls_id": dtls.tls_id}
        case DtlsUp(remote, version, cipher, fingerprint):
            facts = {"what": "encrypted", "peer": format_address(remote), "version": version, "cipher": cipher}
            return facts | {"fingerprint": fingerprint}
        case DtlsFailed(trouble, why):
            return {"what": "failed", "trouble": trouble.value, "why": why}


def _words(agreement: Agreement) -> dict[str, str | int | bool]:
    return {
        "modem": agreement.modem.family,
        "rate_bps": agreement.modem.rate_bps,
        "coding": agreement.coding.value,
        "ecm": agreement.ecm,
        "resolution": agreement.resolution.title,
        "width_px": agreement.width_px,
        "min_scan_ms": agreement.min_scan_ms,
        "internet_aware": agreement.internet_aware,
    }
