"""Two providers with real endpoints on loopback: the contract from the INVITE to EndJob on both sides."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.virtual import hold_for_threads
from vfax.device import Provider, create_provider
from vfax.endpoint import EndpointOptions
from vfax.fsp.completion import CompletionPort, RingKey, StatusKey
from vfax.fsp.constants import FaxStatus, Hresult
from vfax.fsp.errors import InitializationFailed, OperationAborted, OperationFailed
from vfax.fsp.provider import Arena
from vfax.fsp.structures import FaxDevStatus, FaxReceive, FaxSend
from vfax.journal import read_journal
from vfax.pages import pages_folder
from vfax.ports import get_packet

S = FaxStatus


class Station:
    """One provider over one endpoint, and the ports of its host."""

    def __init__(self, folder: Path, name: str, *, lines: int = 1) -> None:
        self.folder = folder / name
        self.folder.mkdir()
        options = EndpointOptions(listen=("127.0.0.1", 0), journal=self.folder)
        self.provider: Provider = create_provider({"endpoint": options, "lines": lines, "local_id": name})
        self.rings, self.statuses = CompletionPort(), CompletionPort()
        self.ring_key = RingKey(name)

    async def start(self, nursery: trio.Nursery) -> None:
        nursery.start_soon(hold_for_threads)
        await self.provider.FaxDevVirtualDeviceCreation(self.rings, self.ring_key)
        await self.provider.FaxDevInitialize(None, Arena(nursery, remove_file=lambda path: None), None)

    @property
    def uri(self) -> str:
        host, port = self.provider.network.address
        return f"sip:5551234@{host}:{port}"

    async def job(self) -> object:
        return await self.provider.FaxDevStartJob(None, 1, self.statuses, StatusKey())

    async def receive(self, handle: object) -> Path:
        target = self.folder / "fax.tif"
        target.touch()
        await self.provider.FaxDevReceive(handle, None, FaxReceive(str(target)))
        return target

    async def send(self, handle: object, document: Path, to: "Station") -> None:
        await self.provider.FaxDevSend(handle, FaxSend(str(document), to.uri), None)

    def codes(self) -> list[tuple[FaxStatus, int]]:
        taken = []
        while (packet := self.statuses.get_nowait()) is not None:
            assert isinstance(packet.message, FaxDevStatus)
            taken.append((FaxStatus(packet.message.status_id), packet.message.page_count))
        return taken

    def journalled(self, handle: object) -> list[str]:
        journal = Path(self.provider.VfaxDevReportFacts(handle).journal_path)
        return [str(entry.facts["status"]) for entry in read_journal(journal) if entry.kind == "status"]


@pytest.fixture
def stations(tmp_path: Path) -> tuple[Station, Station]:
    return Station(tmp_path, "alpha"), Station(tmp_path, "beta")


async def test_two_pages_travel_and_both_sides_say_so(
    stations: tuple[Station, Station], make_document: Callable[..., Path], fax_clock: MockClock, nursery: trio.Nursery
) -> None:
    alpha, beta = stations
    for station in stations:
        await station.start(nursery)
    handles: dict[str, Any] = {}

    async def answer() -> None:
        await get_packet(beta.rings)
        handles["in"] = await beta.job()
        assert (await beta.receive(handles["in"])).stat().st_size > 0

    async with trio.open_nursery() as both:
        both.start_soon(answer)
        handles["out"] = await alpha.job()
        await alpha.send(handles["out"], make_document(pages=2, rows=200), beta)
    assert alpha.codes() == [
        (S.FS_INITIALIZING, 0),
        (S.FS_DIALING, 0),
        (S.FS_TRANSMITTING, 1),
        (S.FS_TRANSMITTING, 2),
        (S.FS_COMPLETED, 2),
    ]
    codes = beta.codes()
    assert codes == [(S.FS_ANSWERED, 0), (S.FS_RECEIVING, 1), (S.FS_RECEIVING, 2), (S.FS_COMPLETED, 2)]
    assert beta.provider.FaxDevReportStatus(handles["in"]).csi == "alpha"
    assert alpha.provider.FaxDevReportStatus(handles["out"]).csi == "beta"
    facts = beta.provider.VfaxDevReportFacts(handles["in"])
    assert (facts.pages_confirmed, facts.dialled, facts.ecm) == (2, "5551234", True)
    assert beta.journalled(handles["in"])[:3] == [code.name for code, _ in codes[:3]]
    for station, handle in ((alpha, handles["out"]), (beta, handles["in"])):
        await station.provider.FaxDevEndJob(handle)
        assert await station.provider.FaxDevShutdown() is Hresult.S_OK


async def test_an_abort_of_the_receiver_in_a_page_ends_both_sides(
    stations: tuple[Station, Station], make_document: Callable[..., Path], fax_clock: MockClock, nursery: trio.Nursery
) -> None:
    alpha, beta = stations
    for station in stations:
        await station.start(nursery)

    async def answer() -> None:
        await get_packet(beta.rings)
        handle = await beta.job()
        async with trio.open_nursery() as receiving:
            receiving.start_soon(abort_in_page, handle)
            with pytest.raises(OperationAborted):
                await beta.receive(handle)
        assert beta.codes() == [(S.FS_USER_ABORT, 1)]
        assert not pages_folder(beta.folder / "fax.tif").exists()
        await beta.provider.FaxDevEndJob(handle)

    async def abort_in_page(handle: object) -> None:
        for _ in range(2):  # FS_ANSWERED, FS_RECEIVING
            await get_packet(beta.statuses)
        assert beta.provider.FaxDevReportStatus(handle).status_id == S.FS_RECEIVING
        beta.provider.FaxDevAbortOperation(handle)

    async with trio.open_nursery() as both:
        both.start_soon(answer)
        handle = await alpha.job()
        with pytest.raises(OperationFailed):
            await alpha.send(handle, make_document(pages=2, rows=1100), beta)
    assert alpha.provider.FaxDevReportStatus(handle).status_id == S.FS_DISCONNECTED
    for station in stations:
        assert await station.provider.FaxDevShutdown() is Hresult.S_OK


async def test_a_second_caller_finds_the_only_line_busy(
    stations: tuple[Station, Station], make_document: Callable[..., Path], fax_clock: MockClock, nursery: trio.Nursery
) -> None:
    alpha, beta = stations
    for station in stations:
        await station.start(nursery)
    reserved = await beta.job()
    handle = await alpha.job()
    with pytest.raises(OperationFailed):
        await alpha.send(handle, make_document(), beta)
    assert alpha.provider.FaxDevReportStatus(handle).status_id == S.FS_BUSY
    await beta.provider.FaxDevEndJob(reserved)
    for station in stations:
        await station.provider.FaxDevShutdown()


async def test_a_taken_port_fails_the_initialization_and_says_which(tmp_path: Path, nursery: trio.Nursery) -> None:
    first = Station(tmp_path, "first")
    await first.start(nursery)
    options = EndpointOptions(listen=first.provider.network.address)
    second: Provider = create_provider({"endpoint": options})
    with pytest.raises(InitializationFailed, match=str(first.provider.network.address[1])):
        await second.FaxDevInitialize(None, Arena(nursery, remove_file=lambda path: None), None)
    await first.provider.FaxDevShutdown()
