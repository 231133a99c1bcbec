"""Every journal in this folder and below is replayed: today's engine must say the same frames, pages and outcome.

To make a call from the field a test, drop its journal here, unchanged (`vfax replay --redact` takes the pages out).
"""

from pathlib import Path
from typing import Final

import pytest

from vfax.recordings import read_recording
from vfax.replay import compare, replay

HERE: Final = Path(__file__).parent
JOURNALS: Final = sorted(HERE.rglob("*.jsonl"))


@pytest.mark.parametrize("path", JOURNALS, ids=lambda path: path.stem)
def test_a_recorded_call_goes_as_it_went(path: Path) -> None:
    recording = read_recording(path)
    assert compare(recording, replay(recording)) == ()


def test_a_dozen_recordings_are_there() -> None:
    assert len(JOURNALS) >= 12
