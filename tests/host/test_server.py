"""The whole server over a scripted provider, on SQLite and PostgreSQL: what is kept, what is told, in which order."""

import json
import shutil
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.host.conftest import GUIDS, Ear
from tests.host.scripted import Script
from tests.interop.documents import draw_page
from vfax.errors import DocumentError, StoreError
from vfax.fsp.constants import DeviceState, EventId, FaxStatus, JobStatusEnum, JobType, PortFlag
from vfax.fsp.errors import InvalidParameter
from vfax.fsp.provider import RegistrationRecord
from vfax.host.check_pages import CheckPages, new_mark
from vfax.host.delivery import DeliveryPlan
from vfax.host.door import Addressee, JobCommand, Order, Rescheduled, Upload
from vfax.host.doorway import DoorOptions
from vfax.host.events import FaxEnded, HostEvent, JobDeleted, JobMoved, ServiceStarted, ServiceStopped, StorageFailed
from vfax.host.housekeeping import KeepOptions
from vfax.host.outgoing import WORKROOM
from vfax.host.queue_options import QueueOptions
from vfax.host.recipients import DialPlan
from vfax.host.retry import RetryPolicy
from vfax.host.routing import FolderTarget, Rule
from vfax.host.server import FaxServer, ServerOptions
from vfax.host.service import FaxService, HostOptions
from vfax.host.store.store import Store
from vfax.host.store.values import DeliveryState, Priority, StoredFax

Serving = Callable[..., AbstractAsyncContextManager[FaxServer]]


@pytest.fixture
def options(tmp_path: Path, store_url: str) -> ServerOptions:
    spool = tmp_path / "spool"
    rule = Rule(name="copies", target=FolderTarget(folder=str(tmp_path / "copies")))
    (tmp_path / "copies").mkdir()
    return ServerOptions(
        host=HostOptions(spool=spool, local_id="+49 30 1", call_timeout=2.0),
        store_url=store_url,
        queue=QueueOptions(look=0.2),
        door=DoorOptions(dial_plan=DialPlan(region="DE")),
        plan=DeliveryPlan(rules=(rule,)),
    )


def record_of(script: Script) -> RegistrationRecord:
    return RegistrationRecord(
        guid=GUIDS[0],
        friendly_name="provider",
        image_name="tests.host.scripted:create",
        configuration={"script": script},
    )


@pytest.fixture
def serving(ear: Ear, options: ServerOptions) -> Serving:
    @asynccontextmanager
    async def serve(script: Script, given: ServerOptions = options, **more: Any) -> AsyncIterator[FaxServer]:
        server = FaxServer(given, [record_of(script)], **{"observe": ear, **more})
        async with trio.open_nursery() as nursery:
            await nursery.start(lambda task_status=trio.TASK_STATUS_IGNORED: server.run(task_status=task_status))
            yield server
            server.stop()

    return serve


async def until(holds: Callable[[], object]) -> None:
    with trio.fail_after(20):
        while not holds():  # noqa: ASYNC110  # rows of a database ring no bell
            await trio.sleep(0.02)


def order(tmp_path: Path, *numbers: str, **more: Any) -> Order:
    path = tmp_path / "upload.png"
    draw_page(1).save(path)
    to = tuple(Addressee(number=number) for number in numbers or ("030 123456",))
    return Order(upload=Upload(path=path, octets=path.stat().st_size), addressees=to, owner="ada", **more)


@pytest.mark.parametrize("whole", [True, False], ids=["server", "service alone"])
async def test_what_is_cancelled_while_it_starts_ends_in_order(
    options: ServerOptions, script: Script, ear: Ear, whole: bool
) -> None:
    def hear(event: HostEvent) -> None:
        ear(event)
        if isinstance(event, ServiceStarted):  # all runs, and nothing of it is reported yet
            scope.cancel()

    async def rescue() -> None:
        await trio.sleep(10)
        host.stop()
        raise AssertionError("it would have run for ever")

    provider = [record_of(script)]
    host: FaxServer | FaxService = FaxService(options.host, provider, observe=hear)
    if whole:
        host = FaxServer(options, provider, observe=hear)
    async with trio.open_nursery() as beside:
        beside.start_soon(rescue)
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(lambda task_status=trio.TASK_STATUS_IGNORED: host.run(task_status=task_status))
        beside.cancel_scope.cancel()
    assert script.calls[-1] == "FaxDevShutdown"
    assert ear.events[-1] == ServiceStopped()


# --- receiving -------------------------------------------------------------------------------------------


async def test_a_received_fax_is_in_the_store_and_delivered(
    serving: Serving, script: Script, ear: Ear, tmp_path: Path
) -> None:
    async with serving(script) as server:
        script.ring()
        await ear.ended()
        await until(lambda: server.store.deliveries(state=DeliveryState.DONE))
        (fax,) = server.store.faxes()
        job = server.store.job(fax.job)
        document = await server.door.document(fax.job)
    assert job is not None
    assert (job.job_type, job.status, fax.record["pages"]) == (JobType.JT_RECEIVE, JobStatusEnum.fjsCOMPLETED, 1)
    assert document is not None
    (copy,) = (tmp_path / "copies").glob("*.tif")
    assert copy.read_bytes() == document.read_bytes()
    assert len(fax.digest) == 64


async def test_who_watches_and_fails_costs_no_fax(serving: Serving, script: Script, tmp_path: Path) -> None:
    def hear(event: HostEvent) -> None:
        raise OSError(28, "No space left on device")

    async with serving(script, observe=hear) as server:
        (job,) = await server.door.submit(order(tmp_path))
        await until(lambda: (found := server.store.job(job.id)) is not None and found.ended_at is not None)
        script.ring()
        await until(server.store.faxes)
        published = server.hub.published
    assert published > 5, "clients are told all the same"


async def test_the_page_of_a_check_that_comes_back_is_delivered_nowhere_and_leaves_the_inbox(
    serving: Serving, script: Script, ear: Ear, tmp_path: Path, options: ServerOptions
) -> None:
    """And a fax of somebody else, who has nearly that number, is delivered while the check waits for its page."""
    pages, mark = CheckPages(options.host.spool), new_mark()
    async with serving(script) as server:
        assert pages.expect(mark)
        script.remote_id = f" {mark}"
        script.ring()
        ended = await ear.ended()
        (fax,) = server.store.faxes()
        assert fax.removed_at is not None
        assert await server.door.document(fax.job) is None
        script.remote_id = f"{mark[:-1]}{(int(mark[-1]) + 1) % 10}"
        script.ring()
        await ear.ended()
        await until(lambda: server.store.deliveries(state=DeliveryState.DONE))
        assert {one.job for one in server.store.deliveries()} == {server.store.faxes()[0].job}
    assert ended.document is not None
    assert ended.document.parent.name == "checks"
    assert ended.document.exists()  # it was taken out, not thrown away
    assert (
        len(list((options.host.spool / "inbox").glob("*.tif"))) == len(list((tmp_path / "copies").glob("*.tif"))) == 1
    )
    pages.forget(mark)
    assert not list((options.host.spool / "checks").iterdir())


async def test_a_fax_is_received_while_the_store_is_away_and_taken_in_later(
    serving: Serving, script: Script, ear: Ear, options: ServerOptions
) -> None:
    class Away(Store):
        def receive(self, *about: Any, **more: Any) -> Any:
            raise StoreError("the database is away")

        def job(self, job: int) -> Any:
            raise StoreError("the database is away")

    async with serving(script, open_store=Away.open):
        script.ring()
        assert (await ear.ended()).document is not None
    assert "the database is away" in ear.of(StorageFailed)[0].sentence
    async with serving(script) as server:
        (fax,) = server.store.faxes()
        await until(lambda: server.store.deliveries(state=DeliveryState.DONE))
    assert fax.document is not None


class Still(Store):
    """A store that answers when it is let on: it is locked, or the network swallows what it is asked."""

    def __init__(self, *about: Any) -> None:
        super().__init__(*about)
        self.on = threading.Event()

    def receive(self, *about: Any, **more: Any) -> Any:
        self.on.wait(20.0)
        return super().receive(*about, **more)

    def queue_paused(self) -> bool:
        self.on.wait(20.0)
        return super().queue_paused()


async def test_a_store_that_does_not_answer_keeps_no_caller_waiting(serving: Serving, script: Script, ear: Ear) -> None:
    async with serving(script, open_store=Still.open) as server, trio.open_nursery() as nursery:
        for _ in range(50):  # clients, who wait as well: more than the process has threads
            nursery.start_soon(server.door.server)
        script.ring()
        with trio.fail_after(10.0):
            await script.running.wait()
        assert isinstance(server.store, Still)
        server.store.on.set()
        assert (await ear.ended()).document is not None
        await until(lambda: server.store.deliveries(state=DeliveryState.DONE))


async def test_of_faxes_that_are_over_nothing_is_remembered(serving: Serving, script: Script, ear: Ear) -> None:
    async with serving(script) as server:
        script.ring()
        await ear.ended()
        await until(lambda: not server.service.running)
        assert ear.of(JobMoved)
        assert not server.door._moving


@pytest.mark.parametrize("refused", ["receive", "end_receive"])
async def test_a_fax_is_taken_in_and_delivered_as_soon_as_the_store_is_back(
    refused: str, serving: Serving, script: Script, ear: Ear, options: ServerOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def refusing(name: str) -> Callable[..., Any]:
        def refuse(*about: Any, **more: Any) -> Any:
            asked.append(name)
            raise StoreError("the database is away")

        return refuse

    soon = replace(options, host=replace(options.host, redeliver_interval=0.2))
    async with serving(script, soon) as server:
        with monkeypatch.context() as patch:
            for name in (refused, "job", "known_faxes"):
                patch.setattr(server.store, name, refusing(name))
            script.ring()
            await ear.ended()
            await until(lambda: asked.count("known_faxes") > 2)  # vain attempts, which say nothing new
            assert server.store.faxes() == []
        await until(lambda: server.store.deliveries(state=DeliveryState.DONE))
        (fax,) = server.store.faxes()
        (job,) = server.store.jobs()
    assert (job.id, job.job_type, job.status) == (fax.job, JobType.JT_RECEIVE, JobStatusEnum.fjsCOMPLETED)
    assert {event.job for event in ear.of(StorageFailed)} == {f"{job.id:08x}"}


async def test_a_fax_in_the_inbox_that_no_store_knows_is_taken_in_at_the_start(
    serving: Serving, script: Script, ear: Ear, options: ServerOptions, tmp_path: Path
) -> None:
    async with serving(script):
        script.ring()
        await ear.ended()
    async with serving(script, replace(options, store_url=f"sqlite:///{tmp_path / 'another.db'}")) as server:
        (fax,) = server.store.faxes()
        stored = server.store.job(fax.job)
    assert stored is not None
    assert (stored.job_type, fax.record["caller"]) == (JobType.JT_RECEIVE, {"id": "+49 89 1234", "name": ""})


async def test_a_fax_that_the_store_cannot_take_in_keeps_no_other_back(
    serving: Serving, script: Script, ear: Ear, options: ServerOptions, tmp_path: Path
) -> None:
    async with serving(script):
        script.ring()
        await ear.ended()
    (whole,) = (options.host.spool / "inbox").glob("*.json")
    said = json.loads(whole.read_text())
    for job, wrong in (("00000001", {"ended": "2025-01-31T12:00:00"}), ("00000002", {"remarks": "\u00e9" * 400_000})):
        (whole.parent / f"19990101-strange-{job}.json").write_text(
            json.dumps({**said, "job": job, **wrong}, ensure_ascii=False), "utf-8"
        )
    unreadable = whole.parent / "19990102-strange-00000003"
    unreadable.with_suffix(".tif").mkdir()
    unreadable.with_suffix(".json").write_text(json.dumps({**said, "job": "00000003"}))
    async with serving(script, replace(options, store_url=f"sqlite:///{tmp_path / 'another.db'}")) as server:
        (fax,) = server.store.faxes()
    assert f"{fax.job:08x}" == said["job"]
    assert [event.sentence.partition(":")[0] for event in ear.of(StorageFailed)] == [
        str(whole.parent / "19990101-strange-00000001.json")
    ]


async def test_a_failed_call_is_in_the_store_without_a_document(serving: Serving, ear: Ear) -> None:
    script = Script(pages=0, succeeds=False, ends=script_status("FS_DISCONNECTED"))
    async with serving(script) as server:
        script.ring()
        await ear.ended()
        await until(lambda: server.store.faxes())
        (fax,) = server.store.faxes()
        assert not server.store.deliveries()
    assert fax.document is None


def script_status(name: str) -> Any:
    from vfax.fsp.constants import FaxStatus

    return FaxStatus[name]


# --- sending ---------------------------------------------------------------------------------------------


async def test_what_a_client_submits_is_sent(serving: Serving, script: Script, tmp_path: Path) -> None:
    async with serving(script) as server:
        jobs = await server.door.submit(order(tmp_path, "030 123456", "0049 30 999999", subject="Hello"))
        await until(lambda: all(job.ended_at is not None for job in server.store.jobs()))
        info = await server.door.server()
    assert [job.recipient.number for job in jobs] == ["+4930123456", "+4930999999"]
    assert sorted(sent.receiver_number for sent in script.sent) == ["+4930123456", "+4930999999"]
    assert info.counts[JobStatusEnum.fjsCOMPLETED] == 2
    assert Path(script.sent[0].file_name).name == Path(jobs[0].document).name


@pytest.mark.parametrize(
    ("given", "error", "why"),
    [
        ({"numbers": ["nobody"]}, InvalidParameter, "telephone number"),
        ({"first_page": 2}, InvalidParameter, "the document has 1 page$"),
        ({"resolution": "best"}, DocumentError, "none of standard"),
    ],
)
async def test_a_submission_that_is_wrong_leaves_nothing(
    serving: Serving, script: Script, tmp_path: Path, given: dict[str, Any], error: type[Exception], why: str
) -> None:
    numbers, given = given.get("numbers", []), {name: value for name, value in given.items() if name != "numbers"}
    async with serving(script) as server:
        with pytest.raises(error, match=why):
            await server.door.submit(order(tmp_path, *numbers, **given))
        assert not server.store.jobs()
        assert not list(server.service.spool.root.glob(f"{WORKROOM}*"))


async def test_what_is_wrong_with_a_document_is_said_under_the_name_that_the_client_gave(
    serving: Serving, script: Script, tmp_path: Path
) -> None:
    given = order(tmp_path)
    given.upload.path.write_bytes(b"%PDF-1.7\n")
    for name, shown in (("C:\\Letters\\bill.pdf", "bill.pdf"), ("", "the document")):
        renamed = replace(given, upload=replace(given.upload, file_name=name))
        async with serving(script) as server:
            with pytest.raises(DocumentError) as caught:
                await server.door.submit(renamed)
        assert str(caught.value).startswith(f"{shown}: the PDF is damaged")


async def test_jobs_are_changed_through_the_door(serving: Serving, script: Script, tmp_path: Path) -> None:
    async with serving(script) as server:
        door = server.door
        await door.pause_queue(True)
        (job,) = await door.submit(order(tmp_path))
        assert (await door.change(job.id, JobCommand.PAUSE)).paused
        assert not (await door.change(job.id, JobCommand.RESUME)).paused
        assert (await door.change(job.id, Priority.HIGH)).priority is Priority.HIGH
        assert (await door.change(job.id, JobCommand.CANCEL)).status is JobStatusEnum.fjsCANCELED
        with pytest.raises(InvalidParameter, match="has ended"):
            await door.change(job.id, JobCommand.PAUSE)
        for call in (door.change(4711, JobCommand.PAUSE), door.abort(4711), door.retry_delivery(1)):
            with pytest.raises(InvalidParameter, match="there is no"):
                await call


async def test_what_would_change_nothing_is_refused_with_the_reason(
    serving: Serving, script: Script, tmp_path: Path
) -> None:
    script.waits = True
    async with serving(script) as server:
        (job,) = await server.door.submit(order(tmp_path))
        await script.running.wait()
        for change in (JobCommand.PAUSE, JobCommand.RETRY, Rescheduled(None)):
            with pytest.raises(InvalidParameter, match=f"job {job.name} is on the line: it can be cancelled"):
                await server.door.change(job.id, change)
        script.waits = False
        await server.door.change(job.id, JobCommand.CANCEL)
        await until(lambda: (found := server.store.job(job.id)) is not None and found.ended_at is not None)
        with pytest.raises(InvalidParameter, match=r"has ended, it was cancelled$"):
            await server.door.change(job.id, JobCommand.RETRY)


async def test_a_reception_is_aborted_through_the_door(serving: Serving, script: Script, ear: Ear) -> None:
    script.waits = True
    async with serving(script) as server:
        script.ring()
        await script.running.wait()
        (running,) = (await server.door.server()).running
        (device,) = [one for one in await server.door.devices() if one.job is not None]
        assert (device.job, device.state) == (running, DeviceState.FPS_RECEIVING)
        await server.door.abort(running)
        assert (await ear.ended()).record.cause == "aborted"


async def test_devices_are_switched_through_the_door(serving: Serving, script: Script) -> None:
    async with serving(script) as server:
        changed = await server.door.set_device(1, PortFlag.FPF_SEND)
        assert changed.flags == PortFlag.FPF_SEND | PortFlag.FPF_VIRTUAL
        assert changed.state is DeviceState.FPS_AVAILABLE
        with pytest.raises(InvalidParameter, match="no device 9"):
            await server.door.set_device(9, PortFlag.FPF_SEND)


# --- start and end ---------------------------------------------------------------------------------------


async def test_events_of_a_session_are_written_down_from_started_to_ended(
    serving: Serving, script: Script, ear: Ear, options: ServerOptions
) -> None:
    async with serving(script):
        script.ring()
        await ear.ended()
    store = Store.open(options.store_url)
    events = [EventId(event.event_id) for event in store.events()]
    store.close()
    assert (events[0], events[-1]) == (EventId.FEI_FAXSVC_STARTED, EventId.FEI_FAXSVC_ENDED)
    walk = [
        EventId.FEI_RINGING,
        EventId.FEI_ANSWERED,
        EventId.FEI_RECEIVING,
        EventId.FEI_COMPLETED,
        EventId.FEI_ROUTING,
    ]
    assert [event for event in events if event in walk] == walk


async def test_events_of_a_job_that_is_tried_again_and_of_one_that_is_cancelled(
    serving: Serving, script: Script, options: ServerOptions, tmp_path: Path
) -> None:
    script.endings = [FaxStatus.FS_BUSY]
    quick = replace(options, queue=replace(options.queue, policy=RetryPolicy(max_retries=1, delay=0.1)))
    async with serving(script, replace(quick, door=replace(quick.door, policy=quick.queue.policy))) as server:
        (again,) = await server.door.submit(order(tmp_path))
        await until(lambda: server.store.job(again.id).ended_at is not None)  # type: ignore[union-attr]
        script.waits, script.running = True, trio.Event()
        (dropped,) = await server.door.submit(order(tmp_path))
        await script.running.wait()
        await server.queue.cancel(dropped.id)
        await until(lambda: server.store.job(dropped.id).ended_at is not None)  # type: ignore[union-attr]
    store = Store.open(options.store_url)
    told = store.events()
    store.close()
    walks = {job.id: [EventId(one.event_id).name for one in told if one.job_id == job.id] for job in (again, dropped)}
    tried = "FEI_DIALING FEI_SENDING"
    assert walks[again.id] == f"FEI_JOB_QUEUED {tried} FEI_BUSY {tried} FEI_COMPLETED FEI_DELETED".split()
    assert walks[dropped.id] == f"FEI_JOB_QUEUED {tried} FEI_ABORTING FEI_DELETED".split()


async def test_an_event_that_is_being_written_when_the_server_stops_is_written_once(
    serving: Serving, script: Script, ear: Ear, options: ServerOptions
) -> None:
    began, go_on = threading.Event(), threading.Event()

    class Slow(Store):
        def add_events(self, *about: Any, **more: Any) -> Any:
            began.set()
            assert go_on.wait(20)
            return super().add_events(*about, **more)

    async with serving(script, open_store=Slow.open) as server, trio.open_nursery() as nursery:
        await until(began.is_set)
        script.ring()
        await ear.ended()
        server.stop()
        await until(lambda: ear.of(ServiceStopped))  # it is about to write what is left
        nursery.start_soon(trio.to_thread.run_sync, go_on.set)
    store = Store.open(options.store_url)
    events = [EventId(event.event_id) for event in store.events()]
    store.close()
    for once in (EventId.FEI_FAXSVC_STARTED, EventId.FEI_RINGING, EventId.FEI_ROUTING, EventId.FEI_FAXSVC_ENDED):
        assert events.count(once) == 1


async def test_a_fax_that_is_being_sent_when_the_server_stops_waits_for_the_next_start(
    serving: Serving, script: Script, ear: Ear, tmp_path: Path
) -> None:
    script.waits = True
    async with serving(script) as server:
        (job,) = await server.door.submit(order(tmp_path))
        await script.running.wait()
    assert not ear.of(JobDeleted)
    script.waits, script.running = False, trio.Event()
    async with serving(script) as server:
        await until(lambda: server.store.job(job.id).ended_at is not None)  # type: ignore[union-attr]
    assert [event.record.cause for event in ear.of(FaxEnded)][-1] == "complete"


async def test_a_store_that_cannot_be_opened_stops_the_start(
    serving: Serving, script: Script, options: ServerOptions, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"this is no database, and it is long enough to be seen as none")
    with pytest.raises(ExceptionGroup) as failed:
        async with serving(script, replace(options, store_url=f"sqlite:///{broken}")):
            pass
    (why,) = failed.value.exceptions
    assert isinstance(why, StoreError)
    assert "broken.db" in str(why)


async def test_old_faxes_are_removed_and_undelivered_ones_are_not(
    serving: Serving, script: Script, ear: Ear, options: ServerOptions, tmp_path: Path
) -> None:
    keep = replace(options, keep=KeepOptions(octets=1, interval=0.1))
    async with serving(script, keep) as server:
        script.ring()
        await ear.ended()
        (fax,) = server.store.faxes()
        await until(lambda: removed(server, fax).removed_at is not None)
        assert fax.document is not None
        assert not (options.host.spool / fax.document).exists()
        assert await server.door.document(fax.job) is None
        shutil.rmtree(tmp_path / "copies")
        (tmp_path / "copies").write_text("in the way")
        ear.events.clear()
        script.ring()
        await ear.ended()
        await trio.sleep(0.5)
        (late,) = [one for one in server.store.faxes() if one.removed_at is None]
        assert late.document is not None
        assert (options.host.spool / late.document).exists()


def removed(server: FaxServer, fax: StoredFax) -> StoredFax:
    found = server.store.fax(fax.job)
    assert found is not None
    return found


async def test_two_hosts_on_one_database_send_every_job_once(postgres_url: str, tmp_path: Path) -> None:
    """Each has a spool of its own; the folder of documents is that of both."""
    scripts = [Script(), Script()]
    documents = tmp_path / "documents"
    documents.mkdir()
    servers = []
    for at, script in enumerate(scripts):
        record = RegistrationRecord(
            guid=GUIDS[at],
            friendly_name=f"provider {at}",
            image_name="tests.host.scripted:create",
            configuration={"script": script},
        )
        given = ServerOptions(
            host=HostOptions(spool=tmp_path / str(at)),
            store_url=postgres_url,
            queue=QueueOptions(look=0.1, documents=documents),
            door=DoorOptions(dial_plan=DialPlan(region="DE")),
        )
        servers.append(FaxServer(given, [record]))
    numbers = [f"+4930{number:06d}" for number in range(100_000, 100_030)]
    async with trio.open_nursery() as nursery:
        for server in servers:
            await nursery.start(lambda task_status, one=server: one.run(task_status=task_status))
        await servers[0].door.submit(order(tmp_path, *numbers))
        await until(lambda: all(job.ended_at is not None for job in servers[1].store.jobs()))
        statuses = {job.status for job in servers[1].store.jobs()}
        for server in servers:
            server.stop()
    assert statuses == {JobStatusEnum.fjsCOMPLETED}
    assert sorted(sent.receiver_number for script in scripts for sent in script.sent) == numbers
    assert all(script.sent for script in scripts), "one host had nothing to do"
