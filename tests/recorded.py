"""Calls in virtual time that leave a journal behind, as calls on sockets do: from the moment T.38 was agreed.

Owns      `RecordedEnd` (one end with its record) and `RecordedPair` (two of them and a bad line between).
Not here  SIP; libspandsp as the other end (interop/recorded_spandsp.py).
"""

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from vfax.journal import Journal, facts_of
from vfax.leg_media import LegMedia
from vfax.leg_values import LegOptions, Switched
from vfax.outcome import Cause, Outcome
from vfax.record import CallRecord, RecordOptions, Terms
from vfax.simulate import SimulatedPage
from vfax.t30 import values as t30
from vfax.t30.coding import code_page
from vfax.transports.parameters import T38Parameters
from vfax.transports.simnet import BadLine
from vfax.transports.sip import values as sip
from vfax.transports.sip.negotiation import T38Media
from vfax.transports.sip.values import Address

CALLER: Final[Address] = ("192.0.2.1", 4000)
CALLED: Final[Address] = ("192.0.2.2", 4002)
BEGAN: Final = 1_700_000_000.0
LIMIT: Final = 3600.0


Order = t30.PageCoded | t30.PageKept | t30.PageLost | t30.Abort | t30.LineDown


class RecordedEnd:
    """One end of a fax. `keep_after` is how long its store takes; `refuse_page` a page that it cannot keep."""

    def __init__(
        self,
        journal: Path,
        *,
        called: bool,
        pages: Sequence[SimulatedPage] = (),
        options: LegOptions | None = None,
        parameters: T38Parameters | None = None,
        record: RecordOptions | None = None,
        keep_after: float = 0.004,
        refuse_page: int = 0,
    ) -> None:
        options = options or LegOptions()
        self.now = 0.0
        self.outcome: Outcome | None = None
        self.received: list[t30.PageReceived] = []
        self.pages = tuple(pages)
        self._keep_after, self._refuse_page = keep_after, refuse_page
        self._journal = Journal(
            journal, clock=lambda: self.now, call="recorded", wall=lambda: BEGAN + self.now, max_octets=1 << 24
        )
        infos = tuple(t30.PageInfo(page.width_px, page.rows, page.resolution) for page in pages)
        document = None if called else t30.SendDocument(infos)
        terms = Terms(options=options, called=called, document=document)
        self._record = CallRecord(self._journal, terms, record or RecordOptions())
        self._media = LegMedia(options, called=called, pages=infos, seeds=(0, 0, 0))
        self._remote = CALLER if called else CALLED
        self._orders: list[tuple[float, Order]] = []
        self._cut_at = math.inf
        self._abort_limit = options.abort_limit
        self._down: Cause | None = None
        self._journal.note("call", direction="in" if called else "out")
        media = T38Media(self._remote, parameters or T38Parameters())
        self._record.event(Switched(media.remote, media.parameters), 0.0)
        self._media.fax(media, 0.0)

    @property
    def done(self) -> bool:
        return self.outcome is not None

    def next_timeout(self) -> float:
        if self.done:
            return math.inf
        return min(self._media.next_timeout(), self._cut_at, *(at for at, _ in self._orders), math.inf)

    def receive(self, datagram: bytes, now: float) -> None:
        if self.done:
            return
        self.now = now
        self._media.receive(datagram, self._remote, now)
        if self._media.locked == self._remote:
            self._record.heard(datagram, now)

    def order(self, order: Order, now: float, *, down: Cause = Cause.ABORTED) -> None:
        """Abort, or take the line away: `down` is how the dialog ended."""
        if self.done:
            return
        self.now = now
        if isinstance(order, t30.Abort):
            self._cut_at = now + self._abort_limit
        if isinstance(order, t30.LineDown):
            self._down = down
        if down is Cause.PEER_HUNG_UP:
            self._record.signal(sip.HungUp(1, ""), now)
        elif down is Cause.NETWORK:
            self._record.signal(sip.DialogLost(1, ""), now)
        else:
            self._record.order(order, now)
        self._media.order(order, now)

    def handle_timeout(self, now: float) -> None:
        self.now = now
        due = [order for at, order in self._orders if at <= now]
        self._orders = [(at, order) for at, order in self._orders if at > now]
        for order in due:
            self.order(order, now)
        if now >= self._cut_at:
            self._cut_at = math.inf
            self._media.order(t30.LineDown(), now)
        if now >= self._media.next_timeout():
            self._media.handle_timeout(now)
        if now >= self._record.due:
            self._record.flush()

    def take_output(self) -> list[bytes]:
        """Deal with all events; what is to be sent."""
        while events := self._media.take_events():
            for event in events:
                if not self.done:
                    self._take(event)
        datagrams = [datagram for datagram, _ in self._media.take_datagrams()]
        for datagram in datagrams:
            self._record.sent(datagram, self.now)
        return datagrams

    def close(self) -> None:
        self._record.flush()
        if self.outcome is not None:
            self._journal.note("outcome", **facts_of(self.outcome))
        self._journal.close()

    def _take(self, event: t30.Event) -> None:
        now = self.now
        match event:
            case t30.Ended(outcome):
                self.outcome = self._final(outcome)
                return
            case t30.PageNeeded(number, agreement):
                page = self.pages[number - 1]
                data = code_page(page.raster, page.width_px, page.rows, page.resolution, agreement)
                self._orders.append((now + self._keep_after, t30.PageCoded(number, data)))
            case t30.PageReceived(number):
                self.received.append(event)
                kept: Order = t30.PageKept(number)
                if number == self._refuse_page:
                    kept = t30.PageLost(number, "disk full")
                self._orders.append((now + self._keep_after, kept))
            case _:
                pass
        self._record.event(event, now)

    def _final(self, outcome: Outcome) -> Outcome:
        """As the leg says it."""
        if outcome.cause is Cause.PEER_HUNG_UP and self._down is not None:
            outcome = replace(outcome, cause=self._down)
        if (self._cut_at < math.inf or self._down is Cause.ABORTED) and not outcome.ok:
            outcome = replace(outcome, cause=Cause.ABORTED)
        return outcome


class RecordedPair:
    """A caller and a called end, joined by lines that lose and double."""

    def __init__(
        self, caller: RecordedEnd, called: RecordedEnd, *, seed: int, loss: float = 0.0, jitter: float = 0.0
    ) -> None:
        self.caller, self.called = caller, called
        self.now = 0.0
        self._lines = [
            BadLine(random.Random(seed + way), loss=loss, duplicate=loss, reorder=0.0, delay=0.02, jitter=jitter)
            for way in (0, 1)
        ]

    def run(self, *, until: float = LIMIT) -> None:
        """To the end of both, or to a moment."""
        self._carry()
        while not (self.caller.done and self.called.done):
            due = min(
                self.caller.next_timeout(), self.called.next_timeout(), *(line.next_arrival() for line in self._lines)
            )
            if due > until:
                self.now = until
                return
            self.now = max(self.now, due)
            for line, end in zip(self._lines, (self.called, self.caller), strict=True):
                for datagram in line.arrivals(self.now):
                    end.receive(datagram, self.now)
                    self._carry()
            for end in (self.caller, self.called):
                if self.now >= end.next_timeout():
                    end.handle_timeout(self.now)
            self._carry()

    def close(self) -> None:
        self.caller.close()
        self.called.close()

    def _carry(self) -> None:
        for line, end in zip(self._lines, (self.caller, self.called), strict=True):
            for datagram in end.take_output():
                line.send(datagram, self.now)
