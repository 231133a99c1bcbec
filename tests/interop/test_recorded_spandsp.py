"""Faxes with libspandsp, recorded afresh, replay as they went."""

from pathlib import Path

import pytest

from tests.interop.recorded_spandsp import CASES, Case, record
from vfax.recordings import read_recording
from vfax.replay import compare, replay

pytestmark = pytest.mark.usefixtures("libspandsp")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_fax_with_libspandsp_replays_as_it_went(case: Case, tmp_path: Path) -> None:
    end = record(case, tmp_path / "call.jsonl", tmp_path / "document.tif")
    assert end.outcome is not None
    assert end.outcome.cause is case.ends
    recording = read_recording(tmp_path / "call.jsonl")
    assert recording.redacted is case.redacted
    assert compare(recording, replay(recording)) == ()
