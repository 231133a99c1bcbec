"""Abort through the provider contract in every phase, against a real caller: quick, polite, and nothing is left."""

import json
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from vfax import call
from vfax.device import create_provider
from vfax.device.provider import Provider
from vfax.endpoint import Endpoint, EndpointOptions
from vfax.fsp.completion import CompletionPort, RingKey, StatusKey
from vfax.fsp.constants import FaxStatus
from vfax.fsp.errors import FaxServiceError, InvalidHandle
from vfax.fsp.provider import Arena
from vfax.fsp.structures import CallFacts, FaxDevStatus, FaxReceive, FaxSend, LineMessage
from vfax.outcome import Cause, Outcome
from vfax.pages import Disk
from vfax.ports import get_packet
from vfax.transports.udp import format_address

ANY_PORT = ("127.0.0.1", 0)
WITHIN = 1.0  # an aborted fax has ended by then


@pytest.fixture
def brisk_clock() -> MockClock:
    """Five times as fast as the wall's clock: a second of the call still leaves room for worker threads."""
    return MockClock(rate=5.0)


class HeldDisk(Disk):
    """A disk that takes its time over a page until it is let go."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.let_go = threading.Event()

    def fsync(self, fd: int) -> None:
        self.reached.set()
        self.let_go.wait(10)
        super().fsync(fd)


@dataclass
class Stage:
    """A provider with one line, driven by hand as a host would."""

    provider: Provider
    endpoint: Endpoint
    port: CompletionPort
    key: StatusKey
    disk: HeldDisk
    handle: object = None
    packets: list[FaxDevStatus] = field(default_factory=list)

    def facts(self) -> CallFacts:
        return self.provider.VfaxDevReportFacts(self.handle)

    async def until(self, reached: Callable[[CallFacts], bool]) -> None:
        with trio.fail_after(120):
            while not reached(self.facts()):  # noqa: ASYNC110  # as a host polls: FaxDevReportStatus has no event
                await trio.sleep(0.05)

    async def drain(self) -> None:
        while True:
            packet = await get_packet(self.port)
            assert isinstance(packet.message, FaxDevStatus)
            self.packets.append(packet.message)


def open_sockets() -> set[str]:
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            link = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if link.startswith("socket:"):
            found.add(link)
    return found


async def answered(stage: Stage) -> None:
    await stage.until(lambda facts: stage.provider.FaxDevReportStatus(stage.handle).status_id == FaxStatus.FS_ANSWERED)


async def training(stage: Stage) -> None:
    await stage.until(lambda facts: facts.rate_bps > 0)


async def mid_page(stage: Stage) -> None:
    await stage.until(lambda facts: facts.page == 1 and facts.progress_done > 50)


async def post_page(stage: Stage) -> None:
    await trio.to_thread.run_sync(stage.disk.reached.wait)


PHASES = {"answered": answered, "training": training, "mid-page": mid_page, "post-page": post_page}


class Caller:
    """The other side: a plain endpoint that sends one document."""

    def __init__(self, folder: Path) -> None:
        self.endpoint = Endpoint(EndpointOptions(listen=ANY_PORT, journal=folder))
        self.folder = folder
        self.outcome: Outcome | None = None
        self.ended = trio.Event()

    async def send(self, document: Path, uri: str) -> None:
        wanted = call.SendRequest(document=document, destination=uri, local_id="1", caller_name="")
        self.outcome = await self.endpoint.outbound().send(wanted, publish=lambda event: None)
        self.ended.set()

    def sip(self) -> list[str]:
        (journal,) = self.folder.glob("*.jsonl")
        lines = map(json.loads, journal.read_text("utf-8").splitlines())
        return [f"{line['direction']} {line['summary']}" for line in lines if line["kind"] == "sip"]


async def start(nursery: trio.Nursery, disk: HeldDisk) -> tuple[Stage, RingKey, CompletionPort]:
    endpoint = Endpoint(EndpointOptions(listen=ANY_PORT, disk=disk))
    provider = create_provider({"network": endpoint, "lines": 1, "local_id": "5551234"})
    ring_port, ring_key = CompletionPort(), RingKey()
    await provider.FaxDevVirtualDeviceCreation(ring_port, ring_key)
    await provider.FaxDevInitialize(None, Arena(nursery, remove_file=os.unlink), None)
    return Stage(provider, endpoint, CompletionPort(), StatusKey(), disk), ring_key, ring_port


@pytest.mark.parametrize("phase", ["ringing", *PHASES])
async def test_abort_while_receiving(
    phase: str, tmp_path: Path, make_document: Callable[..., Path], brisk_clock: MockClock
) -> None:
    document = make_document(pages=2, rows=600)
    journals = tmp_path / "caller"
    journals.mkdir()
    sockets, tasks = open_sockets(), trio.lowlevel.current_statistics().tasks_living
    disk = HeldDisk()
    if phase != "post-page":
        disk.let_go.set()
    async with trio.open_nursery() as nursery:
        stage, _, ring_port = await start(nursery, disk)
        caller = Caller(journals)
        await nursery.start(caller.endpoint.run, lambda arrived: arrived.refuse(486))
        nursery.start_soon(caller.send, document, f"sip:1@{format_address(stage.endpoint.address)}")
        ring = await get_packet(ring_port)
        assert isinstance(ring.message, LineMessage)
        stage.handle = await stage.provider.FaxDevStartJob(None, ring.message.h_device, stage.port, stage.key)
        drainer = trio.CancelScope()
        nursery.start_soon(within, drainer, stage)
        target = tmp_path / "received.tif"
        target.touch()
        ended_at = trio.Event()

        async def receive() -> None:
            with pytest.raises(FaxServiceError):
                await stage.provider.FaxDevReceive(stage.handle, None, FaxReceive(str(target)))
            ended_at.set()

        if phase == "ringing":
            stage.provider.FaxDevAbortOperation(stage.handle)
        nursery.start_soon(receive)
        if phase != "ringing":
            await PHASES[phase](stage)
            before = trio.current_time()
            await trio.to_thread.run_sync(stage.provider.FaxDevAbortOperation, stage.handle)  # from another thread
            disk.let_go.set()
        else:
            before = trio.current_time()
        await ended_at.wait()
        assert trio.current_time() - before < WITHIN
        assert stage.provider.FaxDevReportStatus(stage.handle).status_id == FaxStatus.FS_USER_ABORT
        await caller.ended.wait()
        await stage.provider.FaxDevEndJob(stage.handle)
        with pytest.raises(InvalidHandle):
            stage.provider.FaxDevReportStatus(stage.handle)
        await stage.provider.FaxDevShutdown()
        drainer.cancel()
        nursery.cancel_scope.cancel()
    assert caller.outcome is not None
    assert caller.outcome.cause is not Cause.COMPLETE
    if phase == "ringing":
        assert any("603" in line for line in caller.sip())
    else:
        assert any(line.startswith("in BYE") for line in caller.sip())
    assert [packet.status_id for packet in stage.packets][-1] == FaxStatus.FS_USER_ABORT
    assert not [name for name in os.listdir(tmp_path) if name.startswith("received.tif.")]
    assert trio.lowlevel.current_statistics().tasks_living == tasks
    assert open_sockets() <= sockets


async def within(scope: trio.CancelScope, stage: Stage) -> None:
    with scope:
        await stage.drain()


@pytest.mark.parametrize("phase", ["dialling", "training", "transmitting"])
async def test_abort_while_sending(
    phase: str, tmp_path: Path, make_document: Callable[..., Path], brisk_clock: MockClock
) -> None:
    document = make_document(rows=600)
    disk = HeldDisk()
    disk.let_go.set()
    ended: list[Outcome] = []
    ended_early = trio.Event()
    async with trio.open_nursery() as nursery:
        stage, _, _ = await start(nursery, disk)
        other = Endpoint(EndpointOptions(listen=ANY_PORT))

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
        stage.handle = await stage.provider.FaxDevStartJob(None, 1, stage.port, stage.key)
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
        assert stage.provider.FaxDevReportStatus(stage.handle).status_id == FaxStatus.FS_USER_ABORT
        await ended_early.wait()
        await stage.provider.FaxDevEndJob(stage.handle)
        await stage.provider.FaxDevShutdown()
        nursery.cancel_scope.cancel()
    assert all(not outcome.ok for outcome in ended)


class FailingDisk(Disk):
    """Disk full, or a broken one, from the second page on."""

    def __init__(self, code: int) -> None:
        self.code = code

    def write(self, fd: int, octets: memoryview) -> int:
        if "0002" in os.readlink(f"/proc/self/fd/{fd}"):
            raise OSError(self.code, os.strerror(self.code))
        return super().write(fd, octets)


@pytest.mark.parametrize("code", ["ENOSPC", "EIO"])
async def test_page_that_cannot_be_stored_is_never_confirmed(
    code: str, tmp_path: Path, make_document: Callable[..., Path], fast_clock: MockClock
) -> None:
    import errno

    from PIL import Image

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
