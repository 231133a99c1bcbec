"""Faxes per second of our T.38 and T.30 engines, both ends counted, beside libspandsp doing the same page.

    python bench/engine.py [--faxes N] [--rounds N] [--profile]

One fax is the standard page of this project (1728 x 1100, 19 KB of MMR, ECM, V.17 14400) from TIFF to TIFF in made-up
time over a line that loses nothing: coding, packets, redundancy (ours alone: libspandsp has none of its own), T.30,
decoding and the TIFF file are counted, sockets and waiting are not. CPU seconds of one core, in turns. libspandsp is
driven by a small C program (bench/spandsp_pair.c), so that no Python slows it. Figures are printed, never asserted.

Both send the same file, which is a document as `vfax send` prepares it: libspandsp decodes its MMR and codes it again,
we see by its checksum that it can go out as it is. `--foreign` takes that checksum away: then we do as libspandsp does.
What a packet costs is the loop's part alone: pages are coded and written in a worker thread in real life.
"""

import argparse
import cProfile
import heapq
import math
import pstats
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.interop.documents import standard_page, write_fax
from vfax.codecs import tiff
from vfax.codecs.tiff_page import OURS
from vfax.sheets import code_sheet, page_infos
from vfax.t30 import values as t30
from vfax.t30.engine import T30Engine
from vfax.t30.options import T30Options
from vfax.transports.parameters import T38Parameters
from vfax.transports.t38 import T38Line

DELAY = 0.02
HERE = Path(__file__).resolve().parent


class End:
    """One end: line and engine, and the page that is sent or comes."""

    def __init__(self, role: t30.Role, document: Path) -> None:
        self.line = T38Line(T38Parameters(), now=0.0)
        self.engine = T30Engine(role, sending=role is t30.Role.CALLER, options=T30Options(), now=0.0)
        self.document = document
        self.received = b""
        self.outcome = ""
        self.packet_s: list[float] = []
        self.away_s = 0.0  # what a worker thread would have done
        self.due = self.engine_due = 0.0
        if role is t30.Role.CALLER:
            self.engine.command(t30.SendDocument(page_infos(tiff.read_headers(document), document)), 0.0)
        self.engine.command(t30.LineUp(), 0.0)

    def pump(self, now: float, *, asked: bool = False) -> list[bytes]:
        """Carry what line and engine have for each other; gives the datagrams to send.

        The engine has something new only if the line heard something, or if it was `asked` by its timer.
        """
        line, engine = self.line, self.engine
        signals = line.take_signals()
        while signals or asked:
            for signal in signals:
                engine.receive(signal, now)
            events = engine.take_events()
            for event in events:
                began = time.thread_time()
                done = self.work(event)
                if done is not None:
                    self.away_s += time.thread_time() - began
                    engine.command(done, now)
            orders = engine.take_output()
            for order in orders:
                line.transmit(order, now)
            asked = bool(events or orders)
            signals = line.take_signals()
            self.engine_due = engine.next_timeout()
        self.due = min(line.next_timeout(), self.engine_due)
        return line.take_output()

    def work(self, event: t30.Event) -> t30.Order | None:
        """Do what the rim would have a worker thread do; gives what the engine is to be told of it."""
        match event:
            case t30.PageNeeded(number, agreement):
                return t30.PageCoded(number, code_sheet(self.document, number, agreement).data)
            case t30.PageReceived():
                self.received = event.raster
                octets = tiff.write_page(event.raster, event.width_px, event.rows, x_dpi=204, y_dpi=98, number=0)
                self.document.write_bytes(octets)
                return t30.PageKept(event.number)
            case t30.Ended(outcome):
                self.outcome = outcome.cause.value
            case _:
                pass
        return None

    def handle_timeout(self, now: float) -> list[bytes]:
        """Do what is due."""
        self.line.handle_timeout(now)
        asked = now >= self.engine_due
        if asked:
            self.engine.handle_timeout(now)
        return self.pump(now, asked=asked)


def fax(sent: Path, received: Path, *, each_packet: bool = False) -> tuple[End, End]:
    """One fax in made-up time."""
    ends = End(t30.Role.CALLER, sent), End(t30.Role.CALLED, received)
    under_way: list[tuple[float, int, int, bytes]] = []
    count = 0
    now = 0.0
    while not (ends[0].outcome and ends[1].outcome):
        for index, end in enumerate(ends):
            if now >= end.due:
                for datagram in end.handle_timeout(now):
                    count += 1
                    heapq.heappush(under_way, (now + DELAY, count, 1 - index, datagram))
        while under_way and under_way[0][0] <= now:
            _, _, index, datagram = heapq.heappop(under_way)
            end = ends[index]
            began = time.thread_time() - end.away_s if each_packet else 0.0
            end.line.receive(datagram, now)
            for answer in end.pump(now):
                count += 1
                heapq.heappush(under_way, (now + DELAY, count, 1 - index, answer))
            if each_packet:
                end.packet_s.append(time.thread_time() - end.away_s - began)
        now = min(ends[0].due, ends[1].due, under_way[0][0] if under_way else math.inf)
    return ends


def measure_ours(sent: Path, received: Path, faxes: int) -> float:
    """CPU seconds of one fax."""
    began = time.process_time()
    for _ in range(faxes):
        fax(sent, received)
    return (time.process_time() - began) / faxes


def build(folder: Path) -> Path:
    """The C program around libspandsp."""
    program = folder / "spandsp_pair"
    subprocess.run(["cc", "-O2", "-o", program, HERE / "spandsp_pair.c", "-ldl"], check=True)
    return program


def measure_theirs(program: Path, sent: Path, received: Path, faxes: int) -> float:
    """CPU seconds of one fax, in libspandsp's own words."""
    said = subprocess.run([program, sent, received, str(faxes)], check=True, capture_output=True, text=True)
    return float(said.stdout.split()[0]) / faxes


def check(sent: Path, received: Path) -> None:
    """Refuse to time a fax that does not arrive."""
    caller, called = fax(sent, received)
    if called.received != tiff.load_page(sent, 0).raster or (caller.outcome, called.outcome) != (
        "complete",
        "complete",
    ):
        raise SystemExit(f"the fax did not arrive: {caller.outcome}, {called.outcome}")


def packet_figures(sent: Path, received: Path) -> str:
    """What a packet costs the loop, from datagram to answers; other processes and threads are not counted."""
    spent = sorted(second for _ in range(5) for end in fax(sent, received, each_packet=True) for second in end.packet_s)
    median, p99 = spent[len(spent) // 2], spent[len(spent) * 99 // 100]
    return f"a packet: median {median * 1e6:.0f} us, p99 {p99 * 1e6:.0f} us, worst {spent[-1] * 1e3:.2f} ms"


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description="faxes per second beside libspandsp")
    parser.add_argument("--faxes", type=int, default=20, help="faxes in one round")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, in turns; the best counts")
    parser.add_argument("--foreign", action="store_true", help="send a document that we did not store")
    parser.add_argument("--profile", action="store_true", help="show where our time goes instead")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vfax-bench-") as name:
        folder = Path(name)
        sent, received = folder / "sent.tif", folder / "received.tif"
        tiff.prepare_document([write_fax(folder / "drawn.tif", [standard_page()])], sent)
        if options.foreign:
            sent.write_bytes(sent.read_bytes().replace(OURS.encode(), OURS.upper().encode()))
        check(sent, received)
        if options.profile:
            with cProfile.Profile() as profile:
                measure_ours(sent, received, options.faxes)
            pstats.Stats(profile).sort_stats("tottime").print_stats(25)
            return 0
        program = build(folder)
        ours: list[float] = []
        theirs: list[float] = []
        for _ in range(options.rounds):
            ours.append(measure_ours(sent, received, options.faxes))
            theirs.append(measure_theirs(program, sent, folder / "theirs.tif", 5 * options.faxes))
        print(f"{'':<12}{'ms/fax':>10}{'faxes/s':>10}")
        for who, best in (("vfax", min(ours)), ("libspandsp", min(theirs))):
            print(f"{who:<12}{best * 1e3:>10.2f}{1 / best:>10.1f}")
        print(f"vfax has {min(theirs) / min(ours):.3f} of libspandsp's rate")
        print(packet_figures(sent, received))
    return 0


if __name__ == "__main__":
    sys.exit(main())
