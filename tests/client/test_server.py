"""The whole server, its store and queue, a scripted provider, and a client of vfax.client beside them.

The walks of tests/host/test_notify_walks.py go through the service alone; these go from a client's submit through the
queue and back to its events, a retry after a busy line included.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import trio

import vfax.client
from tests.conftest import draw_page
from tests.host.conftest import GUIDS
from tests.host.scripted import Script
from vfax.client import Client, Registration
from vfax.fsp.completion import CompletionPort
from vfax.fsp.constants import EventId, FaxStatus, JobStatusEnum
from vfax.fsp.errors import InvalidParameter
from vfax.fsp.provider import RegistrationRecord
from vfax.fsp.structures import FaxEvent
from vfax.host.api.calls import ApiOptions
from vfax.host.api.listening import ListenOptions
from vfax.host.doorway import DoorOptions
from vfax.host.queue_options import QueueOptions
from vfax.host.recipients import DialPlan
from vfax.host.server import ClientOptions, FaxServer, ServerOptions
from vfax.host.service import HostOptions

Serving = Callable[[Script], AbstractAsyncContextManager[FaxServer]]


@pytest.fixture
def serving(folder: Path) -> Serving:
    @asynccontextmanager
    async def serve(script: Script) -> AsyncIterator[FaxServer]:
        record = RegistrationRecord(
            guid=GUIDS[0],
            friendly_name="provider",
            image_name="tests.host.scripted:create",
            configuration={"script": script},
        )
        options = ServerOptions(
            host=HostOptions(spool=folder, local_id="+49 30 1", call_timeout=5.0),
            store_url=f"sqlite:///{folder / 'vfax.db'}",
            queue=QueueOptions(look=0.1),
            door=DoorOptions(dial_plan=DialPlan(region="DE")),
            clients=ClientOptions(
                listen=ListenOptions(socket=folder / "s"), api=ApiOptions(uploads=folder / "uploads")
            ),
        )
        server = FaxServer(options, [record])
        async with trio.open_nursery() as nursery:
            await nursery.start(lambda task_status=trio.TASK_STATUS_IGNORED: server.run(task_status=task_status))
            yield server
            server.stop()

    return serve


class Program:
    """A client's program: it has registered, and hears."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = CompletionPort(1_000)
        self.fax: Client = vfax.client.connect(folder / "s")
        registration = self.fax.initialize_event_queue(port=self.port)
        assert registration is not None
        self.registration: Registration = registration

    def submit(self, **options: str | int) -> int:
        path = self.folder / "letter.png"
        draw_page(1, rows=200, seed=1).save(path)
        (job,) = self.fax.submit(path, ["030 123456"], **options)
        return job.id

    def hear(self, last: EventId) -> list[str]:
        """Events up to `last`, as NAME@device."""
        heard: list[str] = []
        while True:
            packet = self.port.get(20)
            assert packet is not None, heard
            event = packet.message
            assert isinstance(event, FaxEvent)
            heard.append(f"{event.event_id.name.removeprefix('FEI_')}@{event.device_id}")
            if event.event_id is last:
                return heard


@asynccontextmanager
async def program(folder: Path) -> AsyncIterator[Program]:
    made = await trio.to_thread.run_sync(Program, folder)
    try:
        yield made
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(made.fax.close)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    with trio.fail_after(20):
        while not await holds():  # noqa: ASYNC110  # rows of a database ring no bell
            await trio.sleep(0.02)


async def test_a_fax_from_submit_to_its_last_event(serving: Serving, folder: Path) -> None:
    script = Script()
    async with serving(script), program(folder) as client:
        job = await trio.to_thread.run_sync(client.submit)
        heard = await trio.to_thread.run_sync(client.hear, EventId.FEI_DELETED)
        found = await trio.to_thread.run_sync(client.fax.job, job)
    assert heard == ["JOB_QUEUED@0", "DIALING@2", "SENDING@2", "COMPLETED@2", "IDLE@2", "DELETED@2"]
    assert (found.status, found.number, found.ended) == (JobStatusEnum.fjsCOMPLETED, "+4930123456", True)
    assert found.data["sentence"] == "All is well."


async def test_a_busy_line_is_tried_again_and_the_job_is_deleted_once(serving: Serving, folder: Path) -> None:
    script = Script(ends=FaxStatus.FS_BUSY, succeeds=False)
    async with serving(script), program(folder) as client:
        job = await trio.to_thread.run_sync(lambda: client.submit(retry_delay=3_600))
        heard = await trio.to_thread.run_sync(client.hear, EventId.FEI_IDLE)
        assert heard == ["JOB_QUEUED@0", "DIALING@2", "SENDING@2", "BUSY@2", "IDLE@2"]

        async def waits() -> bool:
            found = await trio.to_thread.run_sync(client.fax.job, job)
            return found.status is JobStatusEnum.fjsRETRYING

        await until(waits)
        script.ends, script.succeeds = FaxStatus.FS_COMPLETED, True
        await trio.to_thread.run_sync(lambda: client.fax.set_job(job, command="retry"))
        heard = await trio.to_thread.run_sync(client.hear, EventId.FEI_DELETED)
        found = await trio.to_thread.run_sync(client.fax.job, job)
    assert heard == ["DIALING@2", "SENDING@2", "COMPLETED@2", "IDLE@2", "DELETED@2"]
    assert (found.status, found.attempts) == (JobStatusEnum.fjsCOMPLETED, 2)


async def test_an_abort_is_told_once_and_ends_the_job(serving: Serving, folder: Path) -> None:
    script = Script(waits=True)
    async with serving(script), program(folder) as client:
        job = await trio.to_thread.run_sync(client.submit)
        await script.running.wait()
        await trio.to_thread.run_sync(client.fax.abort, job)
        heard = await trio.to_thread.run_sync(client.hear, EventId.FEI_DELETED)
        found = await trio.to_thread.run_sync(client.fax.job, job)
        with pytest.raises(InvalidParameter):
            await trio.to_thread.run_sync(lambda: client.fax.set_job(job, command="pause"))
    assert heard == ["JOB_QUEUED@0", "DIALING@2", "SENDING@2", "ABORTING@2", "IDLE@2", "DELETED@2"]
    assert found.status is JobStatusEnum.fjsCANCELED


async def test_a_job_that_waits_is_cancelled_without_a_device(serving: Serving, folder: Path) -> None:
    async with serving(Script()), program(folder) as client:
        await trio.to_thread.run_sync(client.fax.pause_queue, True)
        job = await trio.to_thread.run_sync(client.submit)
        await trio.to_thread.run_sync(client.fax.abort, job)
        assert await trio.to_thread.run_sync(client.hear, EventId.FEI_DELETED) == ["JOB_QUEUED@0", "DELETED@0"]


async def test_a_received_fax_is_told_listed_and_fetched(serving: Serving, folder: Path) -> None:
    script = Script()
    async with serving(script), program(folder) as client:
        script.ring()
        heard = await trio.to_thread.run_sync(client.hear, EventId.FEI_IDLE)
        (row,) = await trio.to_thread.run_sync(client.fax.faxes)
        job = int(row["job"], 16)
        octets = await trio.to_thread.run_sync(client.fax.fetch, job, folder / "got.tif")
    assert heard == ["RINGING@1", "ANSWERED@1", "RECEIVING@1", "COMPLETED@1", "ROUTING@1", "DELETED@1", "IDLE@1"]
    assert octets == (folder / "got.tif").stat().st_size > 0


async def test_the_service_says_that_it_ends_last_of_all(serving: Serving, folder: Path) -> None:
    async with serving(Script()), program(folder) as client:
        pass
    heard = await trio.to_thread.run_sync(client.hear, EventId.FEI_FAXSVC_ENDED)
    assert heard == ["MODEM_POWERED_OFF@1", "MODEM_POWERED_OFF@2", "FAXSVC_ENDED@0"]
    assert await trio.to_thread.run_sync(client.registration.wait, 20)
    assert client.registration.lost is None
    assert not (folder / "s").exists()


async def test_events_are_kept_for_those_who_ask_later(serving: Serving, folder: Path) -> None:
    async with serving(Script()) as server, program(folder) as client:
        await trio.to_thread.run_sync(client.submit)
        await trio.to_thread.run_sync(client.hear, EventId.FEI_DELETED)

        async def kept() -> bool:
            return EventId.FEI_DELETED in [one.event_id for one in await server.door.history()]

        await until(kept)
        assert (await server.door.history())[0].event_id == EventId.FEI_FAXSVC_STARTED
