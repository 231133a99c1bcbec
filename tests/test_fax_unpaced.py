"""Whole calls between two of us that leave pacing aside: when they do, how fast, and what a bad road makes of it."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from vfax.codecs import tiff
from vfax.codecs.dis import Resolution
from vfax.leg import InternetAware, LegOptions
from vfax.outcome import Cause
from vfax.simulate import SimulatedPage, run_fax
from vfax.t30.options import T30Options
from vfax.transports.simnet import LineFaults


@pytest.fixture
def pages(make_document: Callable[..., Path]) -> list[SimulatedPage]:
    document = make_document(pages=4, rows=300)
    loaded = [tiff.load_page(document, index) for index in range(4)]
    return [SimulatedPage(page.width_px, page.rows, Resolution.STANDARD, page.raster) for page in loaded]


def aware(wish: InternetAware, *, ecm: bool = True) -> LegOptions:
    return LegOptions(internet_aware=wish, fax=T30Options(ecm=ecm))


@pytest.mark.parametrize("ecm", [True, False])
@pytest.mark.parametrize("called", InternetAware)
@pytest.mark.parametrize("calling", InternetAware)
def test_pages_go_unpaced_where_both_sides_wish_it(
    pages: list[SimulatedPage], calling: InternetAware, called: InternetAware, ecm: bool
) -> None:
    fax = run_fax(pages, seed=1, calling=aware(calling, ecm=ecm), called=aware(called, ecm=ecm))
    assert fax.sent.cause is Cause.COMPLETE, fax.sent.sentence
    assert [page.raster for page in fax.pages] == [page.raster for page in pages]
    free = ecm and InternetAware.NEVER not in (calling, called)  # without ECM nothing brings back what is lost
    assert fax.seconds < 9.0 if free else fax.seconds > 15.0


def test_delay_of_the_road_costs_two_ways_a_page_and_no_more(pages: list[SimulatedPage]) -> None:
    wish = aware(InternetAware.AUTO)
    near, far = (
        run_fax(pages, seed=1, faults=LineFaults(delay=delay), calling=wish, called=wish).seconds
        for delay in (0.01, 0.11)
    )
    assert far - near < len(pages) * 2 * 0.1 + 2.5


@pytest.mark.parametrize("ecm", [True, False])
@pytest.mark.parametrize("loss", [0.02, 0.1, 0.25])
@pytest.mark.parametrize("seed", range(4))
def test_bad_road_never_confirms_a_wrong_page(pages: list[SimulatedPage], seed: int, loss: float, ecm: bool) -> None:
    faults = LineFaults(loss=loss, duplicate=loss / 3, reorder=loss / 3, jitter=0.05)
    wish = aware(InternetAware.ALWAYS, ecm=ecm)
    fax = run_fax(pages, seed=seed, faults=faults, calling=wish, called=wish)
    confirmed = 0
    if fax.received is not None:
        confirmed = fax.received.pages_confirmed
        good = [page for page in fax.pages if page.complete and not page.bad_rows]
        assert all(page.raster == pages[page.number - 1].raster for page in good)
        if ecm:
            assert len(good) >= confirmed
    assert fax.sent.pages_confirmed <= confirmed
    assert fax.seconds < 1800
    if loss == 0.02 and ecm:
        assert fax.sent.cause is Cause.COMPLETE, fax.sent.sentence


@pytest.mark.parametrize("queue", [16_384, 65_536])
@pytest.mark.parametrize("rate_bps", [500_000.0, 2_000_000.0])
def test_narrow_road_is_found_and_kept_to(rate_bps: float, queue: int) -> None:
    dice = random.Random(7)  # noise: 100 KB a page
    rasters = [b"".join(dice.randbytes(60) + bytes(156) for _ in range(1000)) for _ in range(2)]
    dense = [SimulatedPage(1728, 1000, Resolution.STANDARD, raster) for raster in rasters]
    wish = aware(InternetAware.AUTO)
    fax = run_fax(dense, seed=1, faults=LineFaults(rate_bps=rate_bps, queue=queue), calling=wish, called=wish)
    assert fax.sent.cause is Cause.COMPLETE, fax.sent.sentence
    assert [page.raster for page in fax.pages] == rasters
    assert fax.seconds < 35.0  # paced it is two minutes
