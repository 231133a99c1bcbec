"""One end of a fax under fuzz: a T.38 line and a T.30 engine, and the two rows of datagrams of a sound fax.

Owns      `End` with the oracle that holds for every fax, the orders its owner gives, seeds from two ends joined.
Not here  what a record means (targets/receiver.py, sender.py).

Oracle    nothing raises; nothing loops without time passing; raster is whole rows; a page is confirmed only after it
          was kept, once, in order; the fax ends once, and within bounded time when the peer falls silent.
"""

import math
import random
from collections.abc import Iterable
from functools import cache
from typing import Final

from fuzz.mutate import record, split
from fuzz.pages import rows_like_a_scan
from vfax.codecs.dis import Agreement, Coding, Resolution
from vfax.codecs.encode import encode_page
from vfax.t30 import values as t30
from vfax.t30.engine import T30Engine
from vfax.t30.options import T30Options
from vfax.transports.parameters import ErrorCorrection, T38Parameters
from vfax.transports.t38 import T38Line

ROWS: Final = 24
PAGES: Final = (t30.PageInfo(1728, ROWS, Resolution.FINE), t30.PageInfo(1728, ROWS, Resolution.STANDARD))
SPINS: Final = 200
"""Limit: turns of line and engine at one moment."""
TURNS: Final = 30_000
"""Limit: turns from the last datagram to the end; repeats every few seconds of some minutes need far fewer."""
TIMES: Final = tuple(0.0 if n == 0 else 0.002 * n if n < 200 else 0.5 * (n - 199) for n in range(256))
"""Seconds that the octet of a record stands for: steps of 2 ms, then of half a second."""


def code(number: int, agreed: Agreement) -> bytes:
    """Page `number`, coded as agreed."""
    raster = rows_like_a_scan(random.Random(number), agreed.width_px, ROWS)
    return encode_page(raster, agreed.width_px, ROWS, agreed.coding, ecm=agreed.ecm)


class Owner:
    """The fax's owner: codes pages, keeps every page unless told otherwise, holds what it hears against the rules."""

    def __init__(self, *, sending: bool) -> None:
        self.keeps = True
        self.ended: t30.Ended | None = None
        self._sending = sending
        self._asked: set[int] = set()
        self._kept: set[int] = set()
        self._received = 0
        self._confirmed = 0
        self._orders: list[t30.PageCoded | t30.PageKept | t30.PageLost] = []

    def take_orders(self) -> list[t30.PageCoded | t30.PageKept | t30.PageLost]:
        """The orders given since last asked."""
        taken, self._orders = self._orders, []
        return taken

    def take(self, event: object) -> t30.Order | None:
        """Check one event; the order that answers it."""
        order = self._answer(event)
        if order is not None:
            self._orders.append(order)
        return order

    def _answer(self, event: object) -> t30.PageCoded | t30.PageKept | t30.PageLost | None:
        assert self.ended is None, f"{event} after the end"
        match event:
            case t30.PageNeeded(number, agreement):
                self._asked.add(number)
                return t30.PageCoded(number, code(number, agreement))
            case t30.PageReceived():
                return self._take_page(event)
            case t30.PageConfirmed(number):
                assert number > self._confirmed, "a page is confirmed twice, or out of order"
                assert number in (self._asked if self._sending else self._kept), "confirmed, not kept"
                self._confirmed = number
            case t30.Ended(outcome):
                self.ended = event
                assert outcome.pages_confirmed <= (len(PAGES) if self._sending else len(self._kept))
        return None

    def _take_page(self, page: t30.PageReceived) -> t30.PageKept | t30.PageLost | None:
        assert len(page.raster) == page.rows * ((page.width_px + 7) // 8), "a page of rows that are not whole"
        assert 0 <= page.longest_bad_run <= page.bad_rows
        if not page.complete:
            return None
        if not self.keeps:
            return t30.PageLost(page.number, "the disk is full")
        assert page.number > self._received, "a page comes twice, or out of order"
        self._received = page.number
        self._kept.add(page.number)
        return t30.PageKept(page.number)


class End:
    """A line, an engine and their owner."""

    def __init__(self, *, sending: bool, options: T30Options, parameters: T38Parameters) -> None:
        role = t30.Role.CALLER if sending else t30.Role.CALLED
        self.now = 0.0
        self.owner = Owner(sending=sending)
        self.line = T38Line(parameters, now=0.0)
        self.engine = T30Engine(role, sending=sending, options=options, now=0.0)
        if sending:
            self.engine.command(t30.SendDocument(PAGES), 0.0)
        self.engine.command(t30.LineUp(), 0.0)
        self.settle()

    @property
    def outcome(self) -> t30.Ended | None:
        """How it ended."""
        return self.owner.ended

    def next_timeout(self) -> float:
        """When line or engine want to be called."""
        return min(self.line.next_timeout(), self.engine.next_timeout())

    def receive(self, datagram: bytes) -> None:
        """One datagram now."""
        self.line.receive(datagram, self.now)
        self.settle()

    def wait_until(self, then: float) -> None:
        """Let time pass, waking up whenever something is due."""
        turns = 0
        while self.next_timeout() <= then and self.outcome is None:
            turns += 1
            assert turns < TURNS, "time does not pass"
            self.now = max(self.now, self.next_timeout())
            self.line.handle_timeout(self.now)
            self.engine.handle_timeout(self.now)
            self.settle()
        self.now = max(self.now, then)

    def end(self) -> None:
        """The peer is silent from here: the fax must end by itself."""
        self.wait_until(self.now + 50_000)
        assert self.outcome is not None, "the fax never ends"
        self.settle()
        assert self.engine.next_timeout() == math.inf, "something is due after the end"

    def settle(self) -> None:
        """Carry signals, transmissions and orders until nothing moves."""
        for _ in range(SPINS):
            moved = False
            for signal in self.line.take_signals():
                self.engine.receive(signal, self.now)
                moved = True
            for burst in self.engine.take_output():
                self.line.transmit(burst, self.now)
                moved = True
            for event in self.engine.take_events():
                order = self.owner.take(event)
                if order is not None:
                    self.engine.command(order, self.now)
                moved = True
            if not moved:
                return
        raise AssertionError("line and engine never come to rest")

    def command(self, order: t30.Order) -> None:
        """An order of the owner."""
        self.engine.command(order, self.now)
        self.settle()


def options(head: int) -> tuple[T30Options, T38Parameters]:
    """What the kind of the first record chooses: ECM (bit 0), coding (1-2), correction (3), version (4-5), IAF (6)."""
    codings = ((Coding.MMR, Coding.MR, Coding.MH), (Coding.MR, Coding.MH), (Coding.MH,))[(head >> 1) % 4 % 3]
    fax = T30Options(local_id="vfax", ecm=bool(head & 1), send_codings=codings, internet_aware=bool(head & 64))
    correction = ErrorCorrection.FEC if head & 8 else ErrorCorrection.REDUNDANCY
    return fax, T38Parameters(version=head >> 4 & 3, error_correction=correction)


@cache
def dialogue(head: int) -> tuple[bytes, bytes]:
    """A whole fax of two ends: as records, what the receiver heard and what the sender heard."""
    fax, road = options(head)
    ends = [End(sending=sending, options=fax, parameters=road) for sending in (False, True)]
    heard: tuple[list[bytes], list[bytes]] = ([], [])
    last = [0.0, 0.0]
    while not all(end.outcome for end in ends):
        now = min(end.next_timeout() for end in ends if end.outcome is None)
        for end in ends:
            end.wait_until(now)
        for at, other in ((0, ends[1]), (1, ends[0])):
            for datagram in other.line.take_output():
                pause = min(range(256), key=lambda octet: abs(TIMES[octet] - (now - last[at])))
                last[at] += TIMES[pause]
                heard[at].append(record(0, pause, datagram))
                ends[at].receive(datagram)
    return record(head, 0) + b"".join(heard[0]), record(head, 0) + b"".join(heard[1])


def play(end: End, records: Iterable[tuple[int, int, bytes]]) -> None:
    """Records as a peer: kind 255 aborts, 254 cuts the line, 253 breaks the disk; all others are datagrams."""
    for kind, time, octets in records:
        end.wait_until(end.now + TIMES[time])
        if kind == 255:
            end.command(t30.Abort())
        elif kind == 254:
            end.command(t30.LineDown())
        elif kind == 253:
            end.owner.keeps = not end.owner.keeps
        else:
            end.receive(octets)
        end.line.take_output()
        if end.outcome is not None:
            return


def run(data: bytes, *, sending: bool) -> None:
    """One fax whose peer is `data`."""
    head, *records = split(data) or [(0, 0, b"")]
    fax, road = options(head[0])
    end = End(sending=sending, options=fax, parameters=road)
    play(end, records)
    if end.outcome is None:
        end.end()
