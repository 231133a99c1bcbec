"""Part of the grid of faxes with libspandsp; `script/interop faxes` has all of it."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.interop.grid import GUARDS, RATES, WEATHERS, Cell, Mode, Paper, Sender, full_grid, pairwise, play
from tests.interop.joined import Weather
from vfax.codecs.dis import Resolution

pytestmark = pytest.mark.usefixtures("libspandsp")

SEED = 11
PLAIN = Cell(Sender.PEER, Mode.MMR_ECM, RATES[0], Resolution.STANDARD, Paper("A4", 1728), 1, GUARDS[1], WEATHERS[0])


@pytest.mark.parametrize("cell", dict.fromkeys(pairwise(full_grid(), seed=SEED, times=2)), ids=str)
def test_fax_with_libspandsp_arrives_as_far_as_the_line_lets_it(cell: Cell, tmp_path: Path) -> None:
    play(cell, tmp_path, seed=SEED)


@pytest.mark.parametrize("sender", Sender)
def test_the_judge_does_not_call_a_fax_good_that_the_line_ate(sender: Sender, tmp_path: Path) -> None:
    hopeless = replace(PLAIN, sender=sender, weather=Weather(name="clean", loss=0.9))
    with pytest.raises(AssertionError, match="clean"):
        play(hopeless, tmp_path, seed=SEED)
