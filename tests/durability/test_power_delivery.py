"""The power goes at every moment while a server receives a fax and delivers it into two folders: nothing is forgotten.

Recorded in virtual time; the servers that are started on what is left wait for their store in real time. The seed of
the dice is SEED.
"""

import random
from pathlib import Path
from typing import Final

import pytest

from tests.durability import power_delivery

pytestmark = pytest.mark.realtime

SEED: Final = 20250131
MOST: Final = 60
"""States of a reception that are tried; there are about twice as many."""


@pytest.mark.parametrize("gives_up", [False, True], ids=["complete", "interrupted"])
def test_no_power_cut_costs_a_fax_its_place_in_store_and_folders(gives_up: bool, scratch: Path) -> None:
    recording = power_delivery.record(scratch, gives_up=gives_up)
    assert {"delivered copies", "delivered links"} <= set(recording.past.points)
    assert list(power_delivery.violations(recording, random.Random(SEED), MOST)) == []


@pytest.mark.parametrize("forgotten", ["target.fsync", "target.fsync_dir"])
def test_the_model_sees_a_delivery_that_is_called_done_too_early(forgotten: str, scratch: Path) -> None:
    recording = power_delivery.record(scratch, forgets={forgotten})
    found = power_delivery.violations(recording, random.Random(SEED), MOST)
    assert any("misses a fax" in sentence or "no fax of the inbox" in sentence for sentence in found)
