"""A road of seconds: commands are said twice before their answer can be there, and no page may be confirmed by that."""

import random

import pytest

from vfax import leg
from vfax.codecs.dis import Resolution
from vfax.leg import InternetAware, LegOptions
from vfax.simulate import Side, SimulatedPage, Watcher, run_fax
from vfax.t30.options import T30Options
from vfax.t30.values import PageConfirmed
from vfax.transports.simnet import LineFaults

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


class Confirmations(Watcher):
    """Page numbers that each side holds for confirmed."""

    def __init__(self) -> None:
        self.of: dict[Side, list[int]] = {side: [] for side in Side}

    def event(self, side: Side, event: leg.LegEvent, now: float) -> None:
        if isinstance(event, PageConfirmed):
            self.of[side].append(event.number)


@pytest.mark.parametrize("seed", [2, 47, 51, 60, 66])
def test_a_tenth_of_the_packets_lost_on_a_road_of_seconds_mixes_no_pages(seed: int) -> None:
    """Parts of a confirmed page are asked for and come again when the next page is under way."""
    options = LegOptions(internet_aware=InternetAware.NEVER)
    watch = Confirmations()
    faults = LineFaults(delay=2.5, loss=0.1, jitter=0.3)
    fax = run_fax(PAGES, seed=seed, faults=faults, calling=options, called=options, watch=watch)
    confirmed = [got.raster for got in fax.pages if got.complete and got.number in watch.of[Side.CALLED]]
    assert confirmed == [page.raster for page in PAGES[: len(confirmed)]]
    assert len(watch.of[Side.CALLER]) <= len(confirmed)
