"""Recordings of faxes with libspandsp in virtual time: the journals in tests/calls/recordings.

Owns      which faxes are recorded, and recording them.
Not here  replaying them (tests/calls/test_recordings.py); our recorded end (tests/recorded.py).

`python -m tests.interop.recorded_spandsp FOLDER` writes them afresh.
"""

import random
import sys
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from tests.interop import documents
from tests.interop.joined import TICK, Weather
from tests.interop.spandsp import Abilities, Coding, Modem, SpandspTerminal
from tests.interop.udptl_plain import Packer, Protection, Unpacker
from tests.recorded import RecordedEnd
from vfax.codecs.dis import Resolution
from vfax.leg_values import LegOptions
from vfax.outcome import Cause
from vfax.record import RecordOptions
from vfax.simulate import SimulatedPage
from vfax.t30 import values as t30
from vfax.t30.options import T30Options

LIMIT: Final = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One fax. Seconds: `abort_at` is our order, `hang_up_at` the peer's BYE, `vanish_at` its last packet."""

    name: str
    peer_calls: bool
    ends: Cause = Cause.COMPLETE
    ecm: bool = True
    abilities: Abilities = field(default_factory=Abilities)
    pages: int = 1
    weather: Weather = field(default_factory=Weather)
    depth: int = 3
    abort_at: float = LIMIT
    hang_up_at: float = LIMIT
    vanish_at: float = LIMIT
    redacted: bool = False
    refuse_page: int = 0
    keep_after: float = 0.004


PLAIN: Final = Abilities(ecm=False, coding=Coding.MR)
SLOW: Final = Abilities(ecm=True, modem=Modem.V27TER, coding=Coding.MH)
CASES: Final = (
    Case(name="received-ecm", peer_calls=True, pages=2),
    Case(name="received-mh-v27ter", peer_calls=True, abilities=replace(SLOW, ecm=False), ecm=False),
    Case(name="received-plain-two-pages", peer_calls=True, ecm=False, abilities=PLAIN, pages=2),
    Case(name="received-ecm-loss", peer_calls=True, weather=Weather(loss=0.06), depth=0),
    Case(name="received-plain-loss", peer_calls=True, ecm=False, abilities=PLAIN, weather=Weather(loss=0.05), depth=1),
    Case(name="received-aborted", peer_calls=True, abort_at=11.0, ends=Cause.ABORTED),
    Case(name="received-vanished", peer_calls=True, vanish_at=12.2, pages=2, ends=Cause.NO_COMMAND),
    Case(name="received-hung-up", peer_calls=True, hang_up_at=12.0, ends=Cause.PEER_HUNG_UP),
    Case(name="received-disk-full", peer_calls=True, pages=2, refuse_page=2, ends=Cause.STORAGE),
    Case(name="received-slow-store", peer_calls=True, keep_after=4.0),
    Case(name="received-redacted", peer_calls=True, redacted=True, pages=2),
    Case(name="sent-ecm", peer_calls=False, pages=2),
    Case(name="sent-mh-v27ter", peer_calls=False, abilities=SLOW),
    Case(name="sent-plain", peer_calls=False, ecm=False, abilities=PLAIN, pages=2),
    Case(name="sent-ecm-loss", peer_calls=False, weather=Weather(loss=0.2)),
    Case(name="sent-aborted", peer_calls=False, abort_at=12.0, ends=Cause.ABORTED),
    Case(name="sent-vanished", peer_calls=False, vanish_at=9.0, ends=Cause.NO_RESPONSE),
)


def record(case: Case, journal: Path, document: Path) -> RecordedEnd:
    """Make the fax; our end's journal goes to `journal`, libspandsp's TIFF is `document`."""
    fax = T30Options(local_id="+49 89 555 0100", ecm=case.ecm)
    end = RecordedEnd(
        journal,
        called=case.peer_calls,
        pages=() if case.peer_calls else [bars(number) for number in range(case.pages)],
        options=LegOptions(fax=fax),
        record=RecordOptions(redacted=case.redacted),
        refuse_page=case.refuse_page,
        keep_after=case.keep_after,
    )
    if case.peer_calls:
        documents.write_fax(document, documents.draw_pages(case.pages, lines=2))
    terminal = SpandspTerminal(document, caller=case.peer_calls, abilities=case.abilities)
    try:
        _Line(case, end, terminal).run()
    finally:
        terminal.close()
        end.close()
    return end


def bars(seed: int, rows: int = 400) -> SimulatedPage:
    """A page that codes small."""
    dice = random.Random(seed)
    pattern = [((1 << 1728) - (1 << dice.randrange(1000, 1700))).to_bytes(216, "big") for _ in range(20)]
    return SimulatedPage(1728, rows, Resolution.STANDARD, b"".join(pattern[row // 20 % 20] for row in range(rows)))


class _Line:
    """Our end, libspandsp, and the weather between."""

    def __init__(self, case: Case, end: RecordedEnd, terminal: SpandspTerminal) -> None:
        self._case, self._end, self._terminal = case, end, terminal
        self._packer, self._unpacker = Packer(Protection.REDUNDANCY, case.depth), Unpacker()
        self._to_us, self._to_peer = case.weather.line(7), case.weather.line(8)
        self._now = self._next_tick = 0.0

    def run(self) -> None:
        end, orders = self._end, [(self._case.abort_at, Cause.ABORTED), (self._case.hang_up_at, Cause.PEER_HUNG_UP)]
        self._carry()
        while not end.done and self._now < LIMIT:
            due = min(self._next_tick, self._to_us.next_arrival(), self._to_peer.next_arrival(), end.next_timeout())
            self._now = max(self._now, min(due, *(at for at, _ in orders), LIMIT))
            for at, cause in list(orders):
                if self._now >= at:
                    orders.remove((at, cause))
                    order = t30.Abort() if cause is Cause.ABORTED else t30.LineDown()
                    end.order(order, self._now, down=cause)
            for datagram in self._to_us.arrivals(self._now):
                end.receive(datagram, self._now)
                self._carry()
            if self._now >= end.next_timeout():
                end.handle_timeout(self._now)
            self._let_peer_work()
            self._carry()

    def _let_peer_work(self) -> None:
        for datagram in self._to_peer.arrivals(self._now):
            for number, ifp in self._unpacker.unpack(datagram):
                self._terminal.receive_ifp(ifp, number)
        if self._now >= self._next_tick:
            self._next_tick = self._now + TICK
            self._terminal.advance(self._now)
        for ifp, copies in self._terminal.take_output():
            for _ in range(copies if self._now < self._case.vanish_at else 0):
                self._to_us.send(self._packer.pack(ifp), self._now)

    def _carry(self) -> None:
        for datagram in self._end.take_output():
            self._to_peer.send(datagram, self._now)


def main(folder: Path) -> None:
    """Write every recording into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        for case in CASES:
            journal = folder / f"{case.name}.jsonl"
            journal.unlink(missing_ok=True)
            end = record(case, journal, Path(work) / f"{case.name}.tif")
            cause = end.outcome.cause if end.outcome is not None else None
            print(f"{case.name}: {cause}, {len(end.received)} pages, {journal.stat().st_size} octets, {end.now:.1f} s")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
