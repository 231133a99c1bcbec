"""Whole calls over a seeded bad line, in virtual time: both sides end, nothing confirmed is wrong, seeds repeat."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from vfax.codecs import tiff
from vfax.codecs.dis import Resolution
from vfax.leg import CallerOffer, LegOptions
from vfax.outcome import Cause
from vfax.simulate import Done, SimulatedPage, run_fax
from vfax.t30.options import T30Options
from vfax.transports.simnet import LineFaults


@pytest.fixture
def pages(make_document: Callable[..., Path]) -> list[SimulatedPage]:
    document = make_document(pages=2, rows=200)
    loaded = [tiff.load_page(document, index) for index in range(2)]
    return [SimulatedPage(page.width_px, page.rows, Resolution.STANDARD, page.raster) for page in loaded]


def test_perfect_line_delivers_every_pixel(pages: list[SimulatedPage]) -> None:
    fax = run_fax(pages, seed=1)
    assert fax.received is not None
    assert (fax.sent.cause, fax.received.cause) == (Cause.COMPLETE, Cause.COMPLETE)
    assert [page.raster for page in fax.pages] == [page.raster for page in pages]


def test_same_seed_gives_the_same_fax(pages: list[SimulatedPage]) -> None:
    faults = LineFaults(loss=0.1, duplicate=0.05, reorder=0.05, jitter=0.05)
    first, second = (run_fax(pages, seed=7, faults=faults) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("offer", CallerOffer)
@pytest.mark.parametrize("loss", [0.02, 0.1, 0.25, 0.4])
@pytest.mark.parametrize("seed", range(4))
def test_bad_line_ends_both_sides_and_never_confirms_a_wrong_page(
    pages: list[SimulatedPage], seed: int, loss: float, offer: CallerOffer
) -> None:
    faults = LineFaults(loss=loss, duplicate=loss / 3, reorder=loss / 3, jitter=0.1)
    fax = run_fax(pages, seed=seed, faults=faults, calling=LegOptions(caller_offer=offer))
    confirmed = 0
    if fax.received is not None:
        confirmed = fax.received.pages_confirmed
        good = [page for page in fax.pages if page.complete and not page.bad_rows]
        assert len(good) >= confirmed
        assert all(page.raster == pages[page.number - 1].raster for page in good)
        assert [page.number for page in fax.pages] == sorted({page.number for page in fax.pages})
    assert fax.sent.pages_confirmed <= confirmed
    assert fax.sent.sentence.endswith(".")
    assert fax.seconds < 1800


def test_page_that_the_store_loses_is_not_confirmed(pages: list[SimulatedPage]) -> None:
    fax = run_fax(pages, seed=1, keep=lambda page: Done(why="disk full" if page.number == 2 else ""))
    assert fax.received is not None
    assert fax.received.cause is Cause.STORAGE
    assert fax.received.pages_confirmed == fax.sent.pages_confirmed == 1


def test_fine_page_is_folded_for_a_receiver_that_takes_standard_only(pages: list[SimulatedPage]) -> None:
    fine = replace(pages[0], resolution=Resolution.FINE)
    coarse = LegOptions(fax=T30Options(resolutions=frozenset({Resolution.STANDARD})))
    fax = run_fax([fine], seed=1, called=coarse)
    (page,) = fax.pages
    assert fax.sent.cause is Cause.COMPLETE
    assert (page.agreement.resolution, page.rows) == (Resolution.STANDARD, 100)
    octets = 216
    for row in range(100):
        first, second = (fine.raster[at * octets : (at + 1) * octets] for at in (2 * row, 2 * row + 1))
        either = bytes(one | other for one, other in zip(first, second, strict=True))
        assert page.raster[row * octets : (row + 1) * octets] == either
