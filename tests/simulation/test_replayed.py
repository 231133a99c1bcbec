"""What a simulated call wrote down is replayed by today's engine without a difference, whatever went wrong in it."""

from pathlib import Path

import pytest

from vfax.recordings import read_recording
from vfax.replay import compare, replay
from vfax.simulate import Side
from vfax.simulation.scenario import roll
from vfax.simulation.trial import play


@pytest.mark.parametrize("seed", range(20))
def test_both_journals_of_a_simulated_call_replay_as_they_were(seed: int, tmp_path: Path) -> None:
    evidence = play(roll(seed), journals=tmp_path)
    for side in evidence.began:
        recording = read_recording(tmp_path / f"{side.value}.jsonl")
        assert compare(recording, replay(recording)) == ()
    assert Side.CALLER in evidence.began
