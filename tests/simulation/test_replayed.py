"""What a simulated call wrote down is replayed by today's engine without a difference, whatever went wrong in it."""

from pathlib import Path

import pytest

from vfax.journal import read_journal
from vfax.recordings import read_recording
from vfax.replay import compare, replay
from vfax.simulate import Side
from vfax.simulation.scenario import roll
from vfax.simulation.trial import play
from vfax.verdict import judge


@pytest.mark.parametrize("seed", range(20))
def test_both_journals_of_a_simulated_call_replay_as_they_were(seed: int, tmp_path: Path) -> None:
    evidence = play(roll(seed), journals=tmp_path)
    for side in evidence.began:
        recording = read_recording(tmp_path / f"{side.value}.jsonl")
        assert compare(recording, replay(recording)) == ()
    assert Side.CALLER in evidence.began


@pytest.mark.parametrize("seed", [3, 13, 40, 61, 104, 137, 161, 172])
def test_the_journal_of_a_simulated_call_has_the_verdict_of_the_call(seed: int, tmp_path: Path) -> None:
    evidence = play(roll(seed), journals=tmp_path)
    for side, outcome in evidence.outcomes.items():
        said = judge(read_journal(tmp_path / f"{side}.jsonl"))
        assert (said.name, said.sentence) == (outcome.verdict, outcome.sentence), side
