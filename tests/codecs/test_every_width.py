"""A sample of all widths against libtiff; python -m tests.codecs.every_width takes them all."""

import random

import pytest

from tests.codecs.every_width import KINDS, LAST_WIDTH, WIDEST_PX, disagreements

SEED = 20261120
NARROW = range(1, 66)  # every place of an octet and of the first code words
EDGES = (1727, 1728, 1729, 2047, 2048, 2431, 2432, 2433, 2559, 2560, 2561, 2623, 2624, 2625, 5119, 5120, 5121)
DICE = random.Random(SEED)
SOME = sorted(
    {*NARROW, *EDGES, *DICE.sample(range(66, LAST_WIDTH), 50), *DICE.sample(range(LAST_WIDTH, WIDEST_PX), 12)}
)


@pytest.mark.parametrize("kind", KINDS)
def test_we_and_libtiff_see_the_same_page_at_any_width(kind: str) -> None:
    found = [one for width_px in (*SOME, WIDEST_PX) for one in disagreements(kind, width_px, SEED)]
    assert not found
