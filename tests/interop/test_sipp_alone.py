"""The sipp scenarios against the libspandsp peer: both ends foreign, so a failure is the scenario's."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import trio
from PIL import Image

from tests.interop.peer import CallResult, Habits, SpandspPeer, Way
from tests.interop.sipp_runner import Sipp, SippReport, run_sipp

MakeFax = Callable[..., tuple[Path, list[Image.Image]]]
pytestmark = pytest.mark.realtime


@pytest.mark.parametrize(
    ("scenario", "habits"),
    [
        ("direct_t38", Habits()),
        ("cancel", Habits(ring_for=3.0)),
        ("options", None),
        ("audio_then_t38", Habits(way=Way.AUDIO_THEN_WAIT)),
        ("glare", Habits(way=Way.AUDIO_THEN_ASK)),
        ("reinvited", Habits(way=Way.AUDIO_THEN_ASK)),
    ],
)
async def test_scenario_runs_through(
    scenario: str, habits: Habits | None, sipp: str, peer: SpandspPeer, tmp_path: Path
) -> None:
    results: list[CallResult] = []

    async def answer() -> None:
        results.append(await peer.listen(tmp_path / "got.tif", habits))

    async with trio.open_nursery() as nursery:
        if habits:
            nursery.start_soon(answer)
        report: SippReport = await trio.to_thread.run_sync(partial(run_sipp, sipp, scenario, tmp_path, peer.address))
        assert report.ok, f"{report}\n{peer.transcript.text()}"
    assert [result.complaints for result in results] == ([[]] if habits else [])


async def test_a_scenario_that_does_not_happen_is_reported(sipp: str, peer: SpandspPeer, tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer.listen, tmp_path / "got.tif", Habits(refuse_with=486))
        report = await trio.to_thread.run_sync(partial(run_sipp, sipp, "direct_t38", tmp_path, peer.address))
    assert not report.ok
    assert "486" in str(report)


@pytest.mark.parametrize(("scenario", "status"), [("uas_busy", 486), ("uas_no_t38", 488), ("uas_hangs_up", 200)])
async def test_called_scenario_answers_the_peer(
    scenario: str, status: int, sipp: str, peer: SpandspPeer, make_fax: MakeFax, tmp_path: Path
) -> None:
    with Sipp(sipp, scenario, tmp_path) as run:
        run.wait_until_listening()
        result = await peer.call(f"sip:fax@127.0.0.1:{run.port}", make_fax()[0])
        report = await trio.to_thread.run_sync(run.report)
    assert (result.status, report.ok) == (status, True), str(report)
