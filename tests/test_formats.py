"""Every resolution on every paper in every coding, through whole simulated calls, pixel for pixel."""

import random
from dataclasses import replace

import pytest

from vfax.codecs.dis import Coding, Resolution
from vfax.codecs.scaling import Bitmap, fit_page
from vfax.leg import LegOptions
from vfax.outcome import Cause
from vfax.simulate import SimulatedPage, run_fax
from vfax.t30.options import T30Options

CODINGS = [(Coding.MMR, True), (Coding.MR, True), (Coding.MH, True), (Coding.MR, False), (Coding.MH, False)]
ALL = LegOptions(fax=T30Options(resolutions=frozenset(Resolution)))


def drawn(seed: int, width_px: int, rows: int, resolution: Resolution) -> SimulatedPage:
    """Runs of every length, rows like the row above, blank rows."""
    dice = random.Random(seed)
    stride = width_px // 8
    blank, row, raster = bytes(stride), bytes(stride), b""
    for _ in range(rows):
        kind = dice.random()
        if kind < 0.3:
            at, length = dice.randrange(stride), dice.randrange(1, stride)
            row = (row[:at] + dice.choice((b"\0", b"\xff")) * length)[:stride].ljust(stride, b"\x18")
        elif kind < 0.4:
            row = dice.randbytes(24) + row[24:]
        raster += blank if kind > 0.9 else row
    return SimulatedPage(width_px, rows, resolution, raster)


def options(coding: Coding, *, ecm: bool, **changed: object) -> LegOptions:
    fax = replace(ALL.fax, send_codings=(coding, Coding.MH), ecm=ecm, **changed)  # type: ignore[arg-type]
    return replace(ALL, fax=fax)


@pytest.mark.parametrize(("coding", "ecm"), CODINGS, ids=[f"{c}-{'ECM' if e else 'plain'}" for c, e in CODINGS])
@pytest.mark.parametrize("resolution", Resolution, ids=lambda resolution: resolution.title)
def test_every_paper_arrives_pixel_for_pixel(resolution: Resolution, coding: Coding, ecm: bool) -> None:
    pages = [drawn(paper, width_px, 9, resolution) for paper, width_px in enumerate(resolution.widths_px)]
    fax = run_fax(pages, seed=1, calling=options(coding, ecm=ecm), called=ALL)
    assert fax.sent.cause is Cause.COMPLETE, fax.sent
    arrived = [(page.width_px, page.rows, page.raster, page.bad_rows) for page in fax.pages]
    assert arrived == [(page.width_px, page.rows, page.raster, 0) for page in pages]
    for page in fax.pages:
        agreed = page.agreement
        assert (agreed.resolution, agreed.coding, agreed.ecm) == (resolution, coding, ecm)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Resolution.INCH_200X200, Resolution.FINE),
        (Resolution.FINE, Resolution.INCH_200X200),
        (Resolution.SUPERFINE, Resolution.INCH_200X400),
        (Resolution.INCH_400X400, Resolution.R16),
        (Resolution.INCH_200X100, Resolution.STANDARD),
    ],
)
def test_metric_and_inch_based_machines_exchange_the_same_pixels(ours: Resolution, theirs: Resolution) -> None:
    called = LegOptions(fax=T30Options(resolutions=frozenset({theirs})))
    page = drawn(5, ours.widths_px[0], 20, ours)
    fax = run_fax([page], seed=1, called=called)
    (arrived,) = fax.pages
    assert arrived.agreement.resolution is theirs
    assert arrived.raster == page.raster


@pytest.mark.parametrize("wanted", Resolution, ids=lambda resolution: resolution.title)
@pytest.mark.parametrize("paper", [0, 1, 2], ids=["A4", "B4", "A3"])
def test_the_most_modest_machine_gets_every_page(wanted: Resolution, paper: int) -> None:
    called = LegOptions(fax=T30Options(resolutions=frozenset({Resolution.STANDARD}), max_width_px=1728))
    page = drawn(paper, wanted.widths_px[paper], 36, wanted)
    fax = run_fax([page], seed=2, calling=ALL, called=called)
    assert fax.sent.cause is Cause.COMPLETE
    (arrived,) = fax.pages
    assert arrived.agreement.resolution is Resolution.STANDARD
    fitted = fit_page(Bitmap(page.raster, page.width_px, page.rows, wanted), arrived.agreement)
    assert (arrived.width_px, arrived.rows, arrived.raster) == (1728, fitted.rows, fitted.raster)
