"""The service over blocking providers: it cannot tell, and they cannot starve it. In real time, as threads are."""

import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.fsp.memory import Exchange, MemoryNetwork
from tests.fsp.toy import Job, S, Toy
from tests.host.conftest import GUIDS, Ear
from vfax.fsp.conformance.paper import write_document
from vfax.fsp.constants import FaxStatus, ProviderStatus
from vfax.fsp.provider import BlockingExports, RegistrationRecord, probe_exports
from vfax.host.blocking import in_threads
from vfax.host.events import FaxEnded, ProviderFaulted
from vfax.host.jobs import JobOptions
from vfax.host.service import FaxService, HostOptions

OURS = "vfax.device.exports:create_provider"
PATIENCE = 20.0


@asynccontextmanager
async def hosted(
    folder: Path, ear: Ear, image: str, configuration: Mapping[str, object], *, abort_grace: float = 5.0
) -> AsyncIterator[FaxService]:
    record = RegistrationRecord(guid=GUIDS[0], friendly_name="threads", image_name=image, configuration=configuration)
    options = HostOptions(spool=folder / "spool", call_timeout=5.0, jobs=JobOptions(abort_grace=abort_grace))
    service = FaxService(options, [record], observe=ear)
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            await nursery.start(lambda task_status=trio.TASK_STATUS_IGNORED: service.run(task_status=task_status))
            yield service
            service.stop()


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "document.tif"
    write_document(path, 1)
    return path


async def test_a_blocking_provider_receives_and_sends_as_an_async_one(tmp_path: Path, ear: Ear, document: Path) -> None:
    network = MemoryNetwork()
    async with hosted(tmp_path, ear, OURS, {"network": network, "lines": 2}) as service:
        assert [provider.status for provider in service.providers] == [ProviderStatus.fpsSUCCESS]
        exchange = Exchange(None, {"network": network})
        await trio.to_thread.run_sync(exchange.ring, 2)
        received = await ear.ended()
        assert (received.record.ok, received.record.pages) == (True, 2)
        assert received.document is not None
        sent = await service.submit(document, exchange.answering())
        assert sent.ok
        assert (await service.submit(document, exchange.busy())).status_id == FaxStatus.FS_BUSY
    assert ear.of(ProviderFaulted) == []


async def test_operations_without_end_take_no_thread_from_anybody_else(
    tmp_path: Path, ear: Ear, document: Path
) -> None:
    network = MemoryNetwork()
    async with hosted(tmp_path, ear, OURS, {"network": network, "lines": 61}) as service:
        async with trio.open_nursery() as nursery:
            for _ in range(60):  # more than trio has threads by default
                nursery.start_soon(service.submit, document, "sip:hanging@192.0.2.1")
            while len(service.running) < 60:  # noqa: ASYNC110  # the service tells of a fax when it moves
                await trio.sleep(0.01)
            assert trio.to_thread.current_default_thread_limiter().borrowed_tokens == 0
            assert (await service.submit(document, "sip:answering@192.0.2.1")).ok
            for job in service.running:
                service.abort(job)
        assert {ended.record.status_id for ended in ear.of(FaxEnded)} == {S.FS_USER_ABORT, S.FS_COMPLETED}


class Stubborn(Toy):
    """Does not heed an abort in Send."""

    let_go = threading.Event()

    def hang(self, job: Job) -> None:
        self.let_go.wait(PATIENCE)
        super().hang(job)


async def test_a_thread_that_a_provider_keeps_is_left_behind(tmp_path: Path, ear: Ear, document: Path) -> None:
    image = f"{__name__}:Stubborn"
    async with hosted(tmp_path, ear, image, {}, abort_grace=0.2) as service, trio.open_nursery() as nursery:
        nursery.start_soon(service.submit, document, "hanging")
        while not service.running:  # noqa: ASYNC110
            await trio.sleep(0.01)
        await trio.sleep(0.05)
        service.abort(service.running[0])
        assert not (await ear.ended()).record.ok
        assert "still running" in ear.of(ProviderFaulted)[0].why
        Stubborn.let_go.set()


async def test_what_never_waits_is_called_as_it_is() -> None:
    found = probe_exports(Toy())
    assert isinstance(found, BlockingExports)
    threaded = in_threads(found)
    assert threaded.FaxDevReportStatus == found.FaxDevReportStatus
    assert threaded.FaxDevAbortOperation == found.FaxDevAbortOperation
    assert threaded.VfaxDevReportFacts == found.VfaxDevReportFacts
    assert isinstance(probe_exports(threaded), type(threaded))
