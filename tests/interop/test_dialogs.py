"""Session refreshes, PRACK, UPDATE, late offers, redirection and overload with sipp, in real time."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import trio
from PIL import Image

from tests.interop.side import OUR_ID, Fax, VfaxSide, open_vfax
from tests.interop.sipp_runner import Sipp, SippReport, run_sipp
from vfax.endpoint import EndpointOptions
from vfax.leg_values import LegOptions
from vfax.outcome import Cause
from vfax.transports.sip.options import SipOptions
from vfax.transports.sip.policy import DialogPolicy

MakeFax = Callable[..., tuple[Path, list[Image.Image]]]
OPTIONS = EndpointOptions(
    listen=("127.0.0.1", 0),
    leg=LegOptions(caller_retries_audio=False),
    sip=replace(SipOptions(), dialogs=DialogPolicy(max_redirects=3)),
)

pytestmark = pytest.mark.realtime


@pytest.fixture
async def vfax() -> AsyncIterator[VfaxSide]:
    async with open_vfax(OPTIONS) as side:
        yield side


@pytest.mark.parametrize("name", ["caller_needs_prack", "caller_refreshes", "caller_offers_late"])
async def test_sipp_calls_and_hangs_up(name: str, sipp: str, vfax: VfaxSide, tmp_path: Path) -> None:
    faxes: list[Fax] = []
    reports: list[SippReport] = []

    async def receive() -> None:
        fax = Fax(tmp_path / "got.tif")
        incoming = await vfax.next_call()
        await trio.sleep(0.3)  # it rings, and the ring is acknowledged where that is wanted
        fax.outcome = await incoming.receive(fax.document, local_id=OUR_ID, publish=fax.events.append)
        faxes.append(fax)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        reports.append(await trio.to_thread.run_sync(partial(run_sipp, sipp, name, tmp_path, vfax.address)))
        assert reports[0].ok, str(reports[0])
    assert faxes[0].ended.cause is Cause.PEER_HUNG_UP


async def test_vfax_is_told_when_to_come_back_and_why(
    sipp: str, vfax: VfaxSide, make_fax: MakeFax, tmp_path: Path
) -> None:
    with Sipp(sipp, "uas_overloaded", tmp_path) as run:
        await trio.to_thread.run_sync(run.wait_until_listening)
        fax = await vfax.send(make_fax()[0], f"sip:fax@127.0.0.1:{run.port}")
        report = await trio.to_thread.run_sync(run.report)
    assert report.ok, str(report)
    ended = fax.ended
    assert (ended.cause, ended.sip_status, ended.q850, ended.retry_after) == (Cause.NETWORK, 503, 42, 120)


async def test_vfax_follows_a_redirection_past_an_address_it_cannot_use(
    sipp: str, vfax: VfaxSide, make_fax: MakeFax, tmp_path: Path
) -> None:
    with Sipp(sipp, "uas_hangs_up", tmp_path) as second:
        await trio.to_thread.run_sync(second.wait_until_listening)
        with Sipp(sipp, "uas_redirects", tmp_path, keys={"other": str(second.port)}) as first:
            await trio.to_thread.run_sync(first.wait_until_listening)
            fax = await vfax.send(make_fax()[0], f"sip:fax@127.0.0.1:{first.port}")
            reports = [await trio.to_thread.run_sync(run.report) for run in (first, second)]
    assert [report.ok for report in reports] == [True, True], "\n".join(map(str, reports))
    assert fax.ended.cause is Cause.PEER_HUNG_UP


async def test_vfax_takes_an_early_answer_and_its_change(
    sipp: str, vfax: VfaxSide, make_fax: MakeFax, tmp_path: Path
) -> None:
    with Sipp(sipp, "uas_early_answer", tmp_path) as run:
        await trio.to_thread.run_sync(run.wait_until_listening)
        fax = await vfax.send(make_fax()[0], f"sip:fax@127.0.0.1:{run.port}")
        report = await trio.to_thread.run_sync(run.report)
    assert report.ok, str(report)
    assert (fax.ended.cause, fax.ended.q850) == (Cause.NETWORK, 38)
    assert "network out of order" in fax.ended.sentence
