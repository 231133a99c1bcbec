"""A road of seconds: commands are said twice before their answer can be there, and no page may be confirmed by that."""

import random

import pytest

from vfax.codecs.dis import Resolution
from vfax.leg import InternetAware, LegOptions
from vfax.simulate import LineFaults, SimulatedPage, run_fax
from vfax.t30.options import T30Options

DICE = random.Random(5)
ROWS = [DICE.randbytes(216) for _ in range(40)]


def page(number: int) -> SimulatedPage:
    dice = random.Random(number)
    return SimulatedPage(1728, 40, Resolution.STANDARD, b"".join(dice.choice(ROWS) for _ in range(40)))


PAGES = [page(number) for number in range(5)]


@pytest.mark.parametrize("delay", [2.2, 2.5, 3.0])
@pytest.mark.parametrize(("loss", "jitter"), [(0.0, 0.0), (0.0, 1.0), (0.02, 0.3)])
@pytest.mark.parametrize("wish", [InternetAware.ALWAYS, InternetAware.NEVER])
@pytest.mark.parametrize("seed", range(3))
def test_no_page_is_told_delivered_over_a_road_of_seconds_that_was_not(
    delay: float, loss: float, jitter: float, wish: InternetAware, seed: int
) -> None:
    options = LegOptions(internet_aware=wish, fax=T30Options())
    faults = LineFaults(delay=delay, loss=loss, jitter=jitter)
    fax = run_fax(PAGES, seed=seed, faults=faults, calling=options, called=options)
    assert fax.received is not None
    assert fax.sent.pages_confirmed <= fax.received.pages_confirmed
    if fax.sent.ok:
        assert [got.raster for got in fax.pages if got.complete] == [sent.raster for sent in PAGES]
    if not loss and not jitter:
        assert fax.sent.ok, fax.sent.sentence
