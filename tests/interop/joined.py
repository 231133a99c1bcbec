"""vfax's T.38 line and T.30 engine joined to a libspandsp terminal by a bad line: virtual time, no SIP, no sockets.

Owns      `JoinedFax`: one fax between our engine and libspandsp, from the first packet to the end of both.
Not here  which faxes are tried (grid.py); whole calls with SIP (peer.py, matrix.py).

A fax takes milliseconds, so that thousands can be tried. UDPTL is packed and unpacked for libspandsp by
udptl_plain.py; the line between is a seeded `BadLine`.
"""

import math
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.interop.spandsp import Abilities, SpandspTerminal, Verdict
from tests.interop.udptl_plain import BadDatagramError, Packer, Protection, Unpacker, is_image
from vfax.errors import DocumentError
from vfax.outcome import Outcome
from vfax.simulate import SimulatedPage
from vfax.t30 import values as t30
from vfax.t30.coding import code_page
from vfax.t30.engine import T30Engine
from vfax.t30.options import T30Options
from vfax.transports.parameters import T38Parameters
from vfax.transports.simnet import BadLine
from vfax.transports.t38 import T38Line, T38Options

TICK: Final = 0.02  # how often libspandsp is given time
LIMIT: Final = 3600.0  # virtual seconds; a fax that takes longer hangs


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """What the line does to datagrams, both ways; chances 0 to 1, seconds."""

    name: str = "clean"
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay: float = 0.02
    jitter: float = 0.0

    def line(self, seed: int) -> BadLine:
        """One direction."""
        return BadLine(
            random.Random(seed),
            loss=self.loss,
            duplicate=self.duplicate,
            reorder=self.reorder,
            delay=self.delay,
            jitter=self.jitter,
        )


@dataclass(slots=True)
class JoinedResult:
    """What both ends say, and the pages that we received."""

    outcome: Outcome | None
    verdict: Verdict
    pages: list[t30.PageReceived] = field(default_factory=list)
    heard: dict[str, str] = field(default_factory=dict)  # SUB, SID ... at our end
    heard_by_peer: dict[str, str] = field(default_factory=dict)
    agreements: list[str] = field(default_factory=list)
    seconds: float = 0.0
    lost_together: int = 0  # the most datagrams that one direction lost one after the other

    @property
    def ok(self) -> bool:
        """Both ends are content."""
        return self.outcome is not None and self.outcome.ok and self.verdict.ok


class JoinedFax:
    """One fax. `document` is libspandsp's TIFF, to send (`peer_calls`) or to fill; `pages` is what we send.

    With `polled` the called side sends instead. `addressing` is what we say, or what a poll of ours must bring.
    A page of ours is coded `coding_takes` seconds after it was asked for. The first `spoil` trainings that libspandsp
    sends are made unusable, so that it falls back.
    """

    def __init__(
        self,
        document: Path,
        *,
        peer_calls: bool,
        abilities: Abilities,
        options: T30Options,
        pages: tuple[SimulatedPage, ...] = (),
        polled: bool = False,
        addressing: t30.Addressing | None = None,
        parameters: T38Parameters | None = None,
        line_options: T38Options | None = None,
        protection: Protection = Protection.REDUNDANCY,
        depth: int = 3,
        weather: Weather | None = None,
        seed: int = 0,
        spoil: int = 0,
        coding_takes: float = 0.0,
    ) -> None:
        weather = weather or Weather()
        self._now = 0.0
        self._pages = pages
        peer_sends = peer_calls != polled
        self._terminal = SpandspTerminal(document, caller=peer_calls, sends=peer_sends, abilities=abilities)
        self._packer = Packer(protection, depth)
        self._unpacker = Unpacker()
        self._to_us, self._to_peer = weather.line(seed), weather.line(seed + 1_000_003)
        self._line = T38Line(parameters or T38Parameters(), line_options or T38Options(), now=0.0)
        role = t30.Role.CALLED if peer_calls else t30.Role.CALLER
        self._engine = T30Engine(role, sending=not peer_sends, options=options, now=0.0)
        self._spoil = spoil
        self._in_training = False
        self._coding_takes = coding_takes
        self._coding: list[tuple[float, t30.PageCoded]] = []
        self._next_tick = 0.0
        self._result = JoinedResult(None, self._terminal.verdict())
        says = addressing or t30.Addressing()
        if not peer_sends:
            infos = tuple(t30.PageInfo(page.width_px, page.rows, page.resolution) for page in pages)
            self._engine.command(t30.SendDocument(infos, addressing=says), 0.0)
        elif polled:
            self._engine.command(t30.Poll(says), 0.0)
        self._engine.command(t30.LineUp(), 0.0)

    def run(self) -> JoinedResult:
        """Run until both ends are done, or until nothing more can be expected."""
        try:
            self._pump()
            while self._now < LIMIT and (self._result.outcome is None or self._terminal.completion is None):
                if self._result.outcome is not None and self._now > self._result.seconds + 120.0:
                    break
                self._step()
            self._result.verdict = self._terminal.verdict()
            self._result.heard_by_peer = self._terminal.said()
            self._result.lost_together = max(self._to_us.lost_together, self._to_peer.lost_together)
        finally:
            self._terminal.close()  # it writes the last directory of its TIFF
        return self._result

    def _step(self) -> None:
        due = min(self._next_tick, self._to_us.next_arrival(), self._to_peer.next_arrival())
        self._now = max(self._now, min(due, self._line.next_timeout(), self._engine.next_timeout()))
        for datagram in self._to_us.arrivals(self._now):
            self._line.receive(datagram, self._now)
        for datagram in self._to_peer.arrivals(self._now):
            self._hear(datagram)
        if self._now >= self._line.next_timeout():
            self._line.handle_timeout(self._now)
        if self._now >= self._engine.next_timeout():
            self._engine.handle_timeout(self._now)
        if self._now >= self._next_tick:
            self._next_tick = self._now + TICK
            self._terminal.advance(self._now)
        self._say()
        self._pump()

    # the peer

    def _hear(self, datagram: bytes) -> None:
        try:
            packets = self._unpacker.unpack(datagram)
        except BadDatagramError as why:
            raise AssertionError(f"vfax sent {datagram.hex()}: {why}") from why
        for number, ifp in packets:
            self._terminal.receive_ifp(ifp, number)

    def _say(self) -> None:
        for ifp, copies in self._terminal.take_output():
            for _ in range(copies):
                self._to_us.send(self._packer.pack(self._spoiled(ifp)), self._now)

    def _spoiled(self, ifp: bytes) -> bytes:
        """Make the zeros of a training something else."""
        if self._spoil and is_image(ifp) and len(ifp) > 8 and not any(ifp[-8:]):
            self._in_training = True
            return ifp[:-8] + b"\xaa" * 8
        if self._in_training and not is_image(ifp):
            self._in_training = False
            self._spoil -= 1
        return ifp

    # our side

    def _pump(self) -> None:
        line, engine, now = self._line, self._engine, self._now
        while True:
            for page in [page for page in self._coding if page[0] <= now]:
                self._coding.remove(page)
                engine.command(page[1], now)
            signals = line.take_signals()
            for signal in signals:
                engine.receive(signal, now)
            events = engine.take_events()
            for event in events:
                self._take(event)
            orders = engine.take_output()
            for order in orders:
                line.transmit(order, now)
            if not (signals or events or orders):
                break
        for datagram in line.take_output():
            self._to_peer.send(datagram, now)

    def _take(self, event: t30.Event) -> None:
        match event:
            case t30.PageNeeded(number, agreement):
                page = self._pages[number - 1]
                try:
                    data = code_page(page.raster, page.width_px, page.rows, page.resolution, agreement)
                except DocumentError as why:
                    self._engine.command(t30.PageUnavailable(number, str(why)), self._now)
                else:
                    self._coding.append((self._now + self._coding_takes, t30.PageCoded(number, data)))
            case t30.PageReceived():
                self._result.pages.append(event)
                self._engine.command(t30.PageKept(event.number), self._now)
            case t30.IdentityReceived(frame, text):
                self._result.heard[frame] = text
            case t30.Agreed(agreement):
                self._result.agreements.append(f"{agreement.modem.family} {agreement.modem.rate_bps}")
            case t30.Ended(outcome):
                self._result.outcome = outcome
                self._result.seconds = self._now
                if math.isinf(self._line.next_timeout()):
                    return
            case _:
                pass
