"""Abort through the provider contract in every phase, against a real caller: quick, polite, and nothing is left."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from PIL import Image
from trio.testing import MockClock

from tests import staged
from tests.staged import FailingDisk, HeldDisk, Stage
from tests.virtual import hold_for_threads
from vfax import call
from vfax.endpoint import Endpoint, EndpointOptions
from vfax.fsp.constants import FaxStatus
from vfax.fsp.errors import FaxServiceError, InvalidHandle
from vfax.fsp.structures import FaxReceive, FaxSend
from vfax.leg import InternetAware, LegOptions
from vfax.outcome import Cause, Outcome
from vfax.transports.udp import format_address

ANY_PORT = ("127.0.0.1", 0)
WITHIN = 1.0  # an aborted fax has ended by then
PACED = LegOptions(internet_aware=InternetAware.NEVER)
"""A fax that takes the time of a modem: there must be a moment to abort it in."""


class Caller:
    """The other side: a plain endpoint that sends one document."""

    def __init__(self, folder: Path) -> None:
        self.endpoint = Endpoint(EndpointOptions(listen=ANY_PORT, journal=folder, leg=PACED))
        self.folder = folder
        self.outcome: Outcome | None = None
        self.ended = trio.Event()

    async def send(self, document: Path, uri: str) -> None:
        wanted = call.SendRequest(document=document, destination=uri, local_id="1", caller_name="")
        self.outcome = await self.endpoint.outbound().send(wanted, publish=lambda event: None)
        self.ended.set()

    def _lines(self, kind: str) -> list[dict[str, str]]:
        (journal,) = self.folder.glob("*.jsonl")
        return [line for line in map(json.loads, journal.read_text("utf-8").splitlines()) if line["kind"] == kind]

    def sip(self) -> list[str]:
        return [f"{line['direction']} {line['summary']}" for line in self._lines("sip")]

    def heard_last(self) -> str:
        """The last T.30 frame that came from the side that aborts."""
        return [line["name"] for line in self._lines("frame") if line["direction"] == "in"][-1]


async def abort_receiving(stage: Stage, phase: str, target: Path) -> None:
    """Receive into `target` and abort in `phase`, from another thread; ringing: before the call is answered."""
    ended = trio.Event()

    async def receive() -> None:
        with pytest.raises(FaxServiceError):
            await stage.provider.FaxDevReceive(stage.handle, None, FaxReceive(str(target)))
        ended.set()

    async with trio.open_nursery() as nursery:
        if phase != "ringing":
            nursery.start_soon(receive)
            await staged.PHASES[phase](stage)
        before = trio.current_time()
        await trio.to_thread.run_sync(stage.provider.FaxDevAbortOperation, stage.handle)
        stage.disk.gate.open()
        if phase == "ringing":
            nursery.start_soon(receive)
        await ended.wait()
        assert trio.current_time() - before < WITHIN
    assert stage.status() == FaxStatus.FS_USER_ABORT


@pytest.mark.parametrize("phase", ["ringing", *staged.PHASES])
async def test_abort_while_receiving(
    phase: str, tmp_path: Path, make_document: Callable[..., Path], fax_clock: MockClock
) -> None:
    document = make_document(pages=2, rows=600)
    journals = tmp_path / "caller"
    journals.mkdir()
    target = tmp_path / "received.tif"
    target.touch()
    sockets, tasks = staged.open_sockets(), trio.lowlevel.current_statistics().tasks_living
    async with trio.open_nursery() as nursery:
        stage = await staged.set_up(nursery, HeldDisk(held=phase == "post-page"))
        caller = Caller(journals)
        await nursery.start(caller.endpoint.run, lambda arrived: arrived.refuse(486))
        nursery.start_soon(caller.send, document, stage.uri)
        await stage.ring()
        await abort_receiving(stage, phase, target)
        await caller.ended.wait()
        await stage.end()
        with pytest.raises(InvalidHandle):
            stage.status()
        nursery.cancel_scope.cancel()
    assert caller.outcome is not None
    assert caller.outcome.cause is not Cause.COMPLETE
    if phase == "ringing":
        assert any("603" in line for line in caller.sip())
    else:
        assert caller.heard_last() == "DCN"  # unpaced, so that it is out before the call is
        assert any("BYE" in line for line in caller.sip())  # the caller's own may cross ours
    assert [packet.status_id for packet in stage.packets][-1] == FaxStatus.FS_USER_ABORT
    assert not [name for name in os.listdir(tmp_path) if name.startswith("received.tif.")]
    assert trio.lowlevel.current_statistics().tasks_living == tasks
    assert staged.open_sockets() <= sockets


@pytest.mark.parametrize("phase", ["dialling", "training", "transmitting"])
async def test_abort_while_sending(
    phase: str, tmp_path: Path, make_document: Callable[..., Path], fax_clock: MockClock
) -> None:
    document = make_document(rows=600)
    ended: list[Outcome] = []
    ended_early = trio.Event()
    async with trio.open_nursery() as nursery:
        stage = await staged.set_up(nursery, HeldDisk())
        other = Endpoint(EndpointOptions(listen=ANY_PORT, leg=PACED))

        async def take(arrived: call.InboundCall) -> None:
            arrived.ring()
            if phase == "dialling":
                await arrived.ended_early.wait()
                ended_early.set()
                return
            target = tmp_path / "taken.tif"
            target.touch()
            ended.append(await arrived.receive(target, local_id="2", publish=lambda event: None))
            ended_early.set()

        await nursery.start(other.run, lambda arrived: nursery.start_soon(take, arrived))
        await stage.start_job()
        finished = trio.Event()
        uri = f"sip:2@{format_address(other.address)}"

        async def send() -> None:
            with pytest.raises(FaxServiceError):
                await stage.provider.FaxDevSend(stage.handle, FaxSend(str(document), uri, caller_number="1"), None)
            finished.set()

        nursery.start_soon(send)
        if phase == "dialling":
            await trio.sleep(2)
        elif phase == "training":
            await stage.until(lambda facts: facts.rate_bps > 0)
        else:
            await stage.until(lambda facts: facts.page == 1 and facts.progress_done > 0)
        before = trio.current_time()
        stage.provider.FaxDevAbortOperation(stage.handle)
        await finished.wait()
        assert trio.current_time() - before < WITHIN
        assert stage.status() == FaxStatus.FS_USER_ABORT
        await ended_early.wait()
        await stage.end()
        nursery.cancel_scope.cancel()
    assert all(not outcome.ok for outcome in ended)


@pytest.mark.parametrize("code", ["ENOSPC", "EIO"])
async def test_page_that_cannot_be_stored_is_never_confirmed(
    code: str, tmp_path: Path, make_document: Callable[..., Path], fax_clock: MockClock
) -> None:
    document = make_document(pages=3, rows=300)
    results: list[Outcome] = []
    target = tmp_path / "received.tif"
    target.touch()
    disk = FailingDisk(getattr(errno, code))
    receiver = Endpoint(EndpointOptions(listen=ANY_PORT, disk=disk))
    sender = Endpoint(EndpointOptions(listen=ANY_PORT))
    heard: list[call.CallEvent] = []
    taken = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold_for_threads)

        async def take(arrived: call.InboundCall) -> None:
            results.append(await arrived.receive(target, local_id="2", publish=lambda event: None))
            taken.set()

        await nursery.start(receiver.run, lambda arrived: nursery.start_soon(take, arrived))
        await nursery.start(sender.run, lambda arrived: arrived.refuse(486))
        wanted = call.SendRequest(
            document=document, destination=f"sip:1@{format_address(receiver.address)}", local_id="1", caller_name=""
        )
        sent = await sender.outbound().send(wanted, publish=heard.append)
        with trio.fail_after(60):
            await taken.wait()
        nursery.cancel_scope.cancel()
    (received,) = results
    assert received.cause is Cause.STORAGE
    assert received.pages_confirmed == 1
    assert "stor" in received.sentence.lower() or "disk" in received.sentence.lower()
    assert sent.pages_confirmed == 1  # page 2 got no MCF
    assert [event.number for event in heard if isinstance(event, call.PageDone)] == [1]
    with Image.open(target) as kept:
        assert getattr(kept, "n_frames", 1) == 1
