"""The grid of faxes between vfax's engine and libspandsp: formats, rates, protection and weather.

Owns      `Cell`, the whole grid and the pairwise part of it, playing one cell and judging it.
Not here  how the two are joined (joined.py); how a call gets into T.38 (matrix.py).

On a line that loses nothing, or never more datagrams one after the other than three or more copies bring back, every
fax must arrive pixel for pixel. In worse weather both ends must end, and no page confirmed under ECM may be wrong.
"""

import random
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import lru_cache
from itertools import combinations, product
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from tests.interop import documents
from tests.interop.joined import JoinedFax, JoinedResult, Weather
from tests.interop.spandsp import Abilities, Modem
from tests.interop.udptl_plain import Protection
from vfax.codecs import dis
from vfax.outcome import Cause
from vfax.simulate import SimulatedPage
from vfax.t30.options import T30Options
from vfax.transports.parameters import ErrorCorrection, T38Parameters
from vfax.transports.t38 import T38Options


class Sender(StrEnum):
    """Who calls and sends."""

    PEER = "spandsp-sends"
    VFAX = "vfax-sends"


class Mode(StrEnum):
    """Page coding with or without error correction (MMR needs it)."""

    MH = "MH"
    MR = "MR"
    MH_ECM = "MH-ECM"
    MR_ECM = "MR-ECM"
    MMR_ECM = "MMR-ECM"

    @property
    def coding(self) -> dis.Coding:
        """The page coding."""
        return dis.Coding(self.value.partition("-")[0])

    @property
    def ecm(self) -> bool:
        """Error correction."""
        return self.value.endswith("ECM")


@dataclass(frozen=True, slots=True)
class Rate:
    """One rate. libspandsp as the sender is brought to it by its modem and by `spoil` failed trainings."""

    family: str
    rate_bps: int
    modem: Modem
    spoil: int

    def __str__(self) -> str:
        return f"{self.family}-{self.rate_bps}"


RATES: Final = (
    Rate("V.17", 14400, Modem.V17, 0),
    Rate("V.17", 12000, Modem.V17, 1),
    Rate("V.29", 9600, Modem.V29, 0),
    Rate("V.29", 7200, Modem.V29, 1),
    Rate("V.27ter", 4800, Modem.V27TER, 0),
    Rate("V.27ter", 2400, Modem.V27TER, 1),
)
FAMILIES: Final = {
    Modem.V17: ("V.27ter", "V.29", "V.17"),
    Modem.V29: ("V.27ter", "V.29"),
    Modem.V27TER: ("V.27ter",),
}


@dataclass(frozen=True, slots=True)
class Paper:
    """Width in pixels at 204 or 200 dpi."""

    name: str
    width_px: int

    def __str__(self) -> str:
        return self.name


PAPERS: Final = (Paper("A4", 1728), Paper("B4", 2048), Paper("A3", 2432))


@dataclass(frozen=True, slots=True)
class Guard:
    """Protection of both directions against loss."""

    name: str
    protection: Protection
    depth: int

    def __str__(self) -> str:
        return self.name


GUARDS: Final = (
    Guard("bare", Protection.NONE, 0),
    Guard("redundancy-1", Protection.REDUNDANCY, 1),
    Guard("redundancy-3", Protection.REDUNDANCY, 3),
    Guard("FEC", Protection.FEC, 3),
)
WEATHERS: Final = (
    Weather(),
    Weather(name="loss-2%", loss=0.02),
    Weather(name="loss-5%", loss=0.05),
    Weather(name="jitter-100ms", jitter=0.1),
    Weather(name="duplicates", duplicate=0.1),
    Weather(name="reordered", reorder=0.05),
)
INVERTED: Final = bytes(octet ^ 0xFF for octet in range(256))
HARMLESS: Final = frozenset({"clean", "jitter-100ms", "duplicates"})


@dataclass(frozen=True, slots=True)
class Cell:
    """One fax."""

    sender: Sender
    mode: Mode
    rate: Rate
    resolution: dis.Resolution
    paper: Paper
    pages: int
    guard: Guard
    weather: Weather

    def __str__(self) -> str:
        words = (self.sender, self.mode, self.rate, self.resolution.title.replace(" ", ""), self.paper)
        return " ".join(str(word) for word in (*words, f"{self.pages}p", self.guard, self.weather.name))

    def must_succeed(self, lost_together: int) -> bool:
        """Whether nothing can be noticed behind the protection of what this line did.

        `lost_together`: the most datagrams that it lost one after the other. Dice of 5 % lose four in a row once in
        160 000, which is once in every few long faxes.
        """
        if self.weather.name in HARMLESS:
            return True
        guard = self.guard
        return guard.protection is Protection.REDUNDANCY and guard.depth >= 3 and lost_together <= guard.depth


def known_resolutions() -> tuple[dis.Resolution, ...]:
    """Those that libspandsp 0.0.6 knows too. Its inch modes of 200 dpi are the metric ones by another name."""
    return tuple(resolution for resolution in dis.Resolution if resolution.x_dpi != 200)


def agreed_name(resolution: dis.Resolution) -> str:
    """What the two ends call it. Limit of the peer: libspandsp says 400 x 400 in its metric name, on the same bits."""
    return "R16x15.4" if (resolution.x_dpi, resolution.y_dpi) == (400, 400) else resolution.title


def full_grid() -> list[Cell]:
    """Every combination."""
    axes = product(Sender, Mode, RATES, known_resolutions(), PAPERS, (1, 3), GUARDS, WEATHERS)
    return [Cell(*values) for values in axes]


def pairwise(cells: list[Cell], *, seed: int, times: int = 1) -> list[Cell]:
    """A small part of the grid in which every pair of properties occurs, `times` over; the same for the same seed."""
    dice = random.Random(seed)
    chosen: list[Cell] = []
    for _ in range(times):
        missing = {pair for cell in dice.sample(cells, min(len(cells), 4000)) for pair in _pairs(cell)}
        while missing:
            best = max(dice.sample(cells, min(len(cells), 60)), key=lambda cell: len(_pairs(cell) & missing))
            gained = _pairs(best) & missing
            if gained:
                chosen.append(best)
                missing -= gained
    return chosen


def _pairs(cell: Cell) -> set[tuple[tuple[str, object], tuple[str, object]]]:
    return set(combinations([(f.name, getattr(cell, f.name)) for f in fields(cell)], 2))


@lru_cache(maxsize=64)
def draw(width_px: int, rows: int, number: int) -> Image.Image:
    """A small page of that geometry with text and lines on it, the same each time; white is 255."""
    page = Image.new("1", (width_px, rows), 255)
    pen = ImageDraw.Draw(page)
    font = ImageFont.load_default(size=rows // 5)
    pen.rectangle((3, 3, width_px - 4, rows - 4), outline=0, width=2)
    for line in range(3):
        words = " ".join(random.Random(number * 10 + line).choices(documents.WORDS, k=5))
        pen.text((20, 8 + line * rows // 4), f"{number} {words}", fill=0, font=font)
    return page


def geometry(cell: Cell) -> tuple[int, int]:
    """Width and rows of the pages of one cell, which are about 4 cm high."""
    resolution = cell.resolution
    across = max(1, round(resolution.x_dpi / 204 * 8)) / 8
    width_px = int(cell.paper.width_px * {1.0: 1.0, 1.5: 1.5, 2.0: 2.0, 3.0: 3.0}[round(across * 2) / 2])
    return width_px, int(resolution.y_dpi * 1.6)


def draw_pages(cell: Cell) -> list[Image.Image]:
    """The pages of one cell."""
    return [draw(*geometry(cell), number) for number in range(1, cell.pages + 1)]


@lru_cache(maxsize=8)
def written(width_px: int, rows: int, pages: int, dpi: tuple[int, int]) -> bytes:
    """The document of such pages: all weathers of a cell send the same."""
    return documents.class_f([draw(width_px, rows, number) for number in range(1, pages + 1)], dpi=dpi)


def play(cell: Cell, folder: Path, *, seed: int = 0) -> JoinedResult:
    """Send the fax of one cell and judge it; raises AssertionError with both ends' words."""
    pages = draw_pages(cell)
    document = folder / "fax.tif"
    if cell.sender is Sender.PEER:
        dpi = (cell.resolution.x_dpi, cell.resolution.y_dpi)
        document.write_bytes(written(*geometry(cell), cell.pages, dpi))
    result = _fax(cell, document, pages, seed).run()
    said = f"{cell}: {result.outcome} {result.verdict} {result.agreements}"
    assert result.outcome is not None, f"{said}: our end never ended"
    owed = cell.must_succeed(result.lost_together)
    if cell.mode.ecm or owed:
        _judge_pages(cell, document, pages, result, said)
    if owed:
        assert result.ok, said
        assert result.outcome.pages_confirmed == cell.pages, said
        assert result.agreements[-1] == f"{cell.rate.family} {cell.rate.rate_bps}", said
        assert (result.outcome.coding, result.outcome.ecm) == (cell.mode.coding.value, cell.mode.ecm), said
        assert result.outcome.resolution == agreed_name(cell.resolution), said
    return result


def _fax(cell: Cell, document: Path, pages: list[Image.Image], seed: int) -> JoinedFax:
    from_peer = cell.sender is Sender.PEER
    codings = list(dis.Coding)[: list(dis.Coding).index(cell.mode.coding) + 1]
    options = T30Options(
        ecm=cell.mode.ecm,
        receive_codings=frozenset(codings),
        send_codings=(cell.mode.coding,),
        resolutions=frozenset(dis.Resolution),
        max_rate_bps=14400 if from_peer else cell.rate.rate_bps,
        modems=frozenset(modem for modem in dis.FALL_BACK if modem.family in FAMILIES[cell.rate.modem]),
    )
    correction = ErrorCorrection(cell.guard.protection.value)
    depth = cell.guard.depth
    return JoinedFax(
        document,
        peer_calls=from_peer,
        abilities=Abilities(modem=cell.rate.modem, everything=True),
        options=options,
        pages=tuple(simulated(page, cell.resolution) for page in pages),
        parameters=T38Parameters(error_correction=correction),
        line_options=T38Options(
            control_redundancy=depth, image_redundancy=depth, send_fec=True, fec_span=3, fec_rows=3
        ),
        protection=cell.guard.protection,
        depth=depth,
        weather=cell.weather,
        seed=seed,
        spoil=cell.rate.spoil if from_peer else 0,
    )


def simulated(page: Image.Image, resolution: dis.Resolution) -> SimulatedPage:
    """A page as our engine takes it: 1 is black."""
    return SimulatedPage(page.width, page.height, resolution, page.tobytes().translate(INVERTED))


def _judge_pages(cell: Cell, document: Path, pages: list[Image.Image], result: JoinedResult, said: str) -> None:
    """What was confirmed is equal to what was sent."""
    assert result.outcome is not None
    confirmed = result.outcome.pages_confirmed if result.outcome.cause is not Cause.ECM_FAILED else 0
    if cell.sender is Sender.PEER:
        for page in result.pages[:confirmed]:
            sent = simulated(pages[page.number - 1], cell.resolution)
            assert (page.width_px, page.rows) == (sent.width_px, sent.rows), said
            assert page.raster == sent.raster, f"{said}: page {page.number} differs"
    elif result.verdict.ok:
        got = documents.read_pages(document)
        assert [page.size for page in got] == [page.size for page in pages], said
        for number, (one, other) in enumerate(zip(got, pages, strict=True), start=1):
            assert one.tobytes() == other.tobytes(), f"{said}: page {number} differs"
