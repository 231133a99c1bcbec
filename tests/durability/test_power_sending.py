"""The power goes at every moment while a document is taken, kept and sent: no job is without its whole document.

In real time: what is waited for is a converting process and the store, never a pause. The seed of the dice is SEED.
"""

import random
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from tests.durability import power_sending

pytestmark = pytest.mark.realtime

SEED: Final = 20250131


def test_no_power_cut_takes_the_document_of_a_job(scratch: Path) -> None:
    recording = power_sending.record(scratch)
    seen = Counter(point.partition(".")[0] for point in recording.past.points)
    assert seen["outgoing"] >= 2 * 8, "a document and the rest of one were written"
    assert sum(point.startswith("accepted") for point in recording.past.points) == len(power_sending.NUMBERS)
    assert list(power_sending.violations(recording, random.Random(SEED))) == []


@pytest.mark.parametrize("forgotten", ["outgoing.fsync", "outgoing.fsync_dir", "outgoing.write"])
def test_the_model_sees_what_is_left_out(forgotten: str, scratch: Path) -> None:
    recording = power_sending.record(scratch, forgets={forgotten})
    assert next(power_sending.violations(recording, random.Random(SEED)), None) is not None
