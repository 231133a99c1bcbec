"""The service over a provider that plays every part: good, failing, raising, hanging, lying."""

import ast
import errno
import json
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import vfax.host
from tests.durability.points import Faults, WatchedDisk
from tests.host.conftest import Ear, Hosting
from tests.host.scripted import PAGE, Halt, Script, keep
from vfax.codecs import tiff
from vfax.errors import MisuseError, StoreError
from vfax.fsp.completion import CompletionPort
from vfax.fsp.constants import FaxStatus, JobType, PortFlag, ProviderStatus
from vfax.host import reception
from vfax.host.events import (
    DeviceInService,
    DeviceOutOfService,
    FaxEnded,
    FaxRecovered,
    HostFaulted,
    JobMoved,
    ProviderFaulted,
    ProviderRefused,
    RingDropped,
    RingReceived,
    ServiceStarted,
    ServiceStopped,
    StorageFailed,
)
from vfax.host.guard import CallTimeouts
from vfax.host.jobs import JobOptions
from vfax.host.service import FaxService, HostOptions
from vfax.host.spool import Spool
from vfax.outcome import Cause, T30Result
from vfax.pages import PageFolder

OPERATION = ["FaxDevStartJob", "FaxDevReceive", "FaxDevReportStatus", "FaxDevEndJob"]


def said(script: Script) -> list[str]:
    """The calls of one operation, in order."""
    return [call for call in script.calls if call in {*OPERATION, "FaxDevSend", "FaxDevAbortOperation"}]


def inbox(service: FaxService) -> list[str]:
    return sorted(path.suffix for path in service.spool.inbox.iterdir())


def left_in_incoming(service: FaxService) -> list[Path]:
    return list(service.spool.incoming.iterdir())


def no_room(*arguments: object) -> None:
    raise OSError(28, "No space left on device")


# --- receiving -------------------------------------------------------------------------------------


async def test_a_ring_becomes_a_document_and_a_record_in_the_inbox(hosting: Hosting, script: Script, ear: Ear) -> None:
    script.pages = 3
    async with hosting(script) as service:
        script.ring()
        ended = await ear.ended()
    assert ended.document is not None
    assert ended.beside == ended.document.with_suffix(".json")
    assert len(tiff.read_headers(ended.document)) == 3
    assert left_in_incoming(service) == []
    written = json.loads(ended.beside.read_text())
    assert written["pages"] == 3
    assert written["files"]["document"] == ended.document.name
    assert (written["caller"]["id"], written["remote_id"], written["rate"]) == ("+49 89 1234", "SENDER", 14_400)
    assert (written["ecm"], written["coding"], written["incomplete"]) == (True, "MMR", False)
    assert written["outcome"]["status"] == "FS_COMPLETED"


async def test_the_calls_of_a_reception_come_in_the_documented_order(
    hosting: Hosting, script: Script, ear: Ear
) -> None:
    async with hosting(script):
        script.ring()
        await ear.ended()
    assert said(script) == OPERATION


async def test_devices_are_created_before_the_provider_is_initialized(hosting: Hosting, script: Script) -> None:
    async with hosting(script) as service:
        assert [device.name for device in service.devices.values()] == ["script 1", "script 2"]
    assert script.calls[:3] == ["create", "FaxDevVirtualDeviceCreation", "FaxDevInitialize"]
    assert script.calls[-1] == "FaxDevShutdown"


async def test_each_provider_is_given_the_ring_port_and_a_key_of_its_own(hosting: Hosting, script: Script) -> None:
    other = Script(first_id=10)
    async with hosting(script, other):
        given = [vars(one.provider) for one in (script, other)]
        assert all(isinstance(one["_ring_port"], CompletionPort) for one in given)
        assert given[0]["_ring_port"] is given[1]["_ring_port"]
        assert given[0]["_ring_key"] is not given[1]["_ring_key"]


async def test_statuses_arrive_in_order_and_before_the_end(hosting: Hosting, script: Script, ear: Ear) -> None:
    script.pages = 2
    async with hosting(script):
        script.ring()
        await ear.ended()
    kinds = [event for event in ear.events if isinstance(event, JobMoved | FaxEnded)]
    assert isinstance(kinds[-1], FaxEnded)
    moved = [(event.status, event.page) for event in kinds if isinstance(event, JobMoved)]
    assert moved == [("FS_ANSWERED", 0), ("FS_RECEIVING", 1), ("FS_RECEIVING", 2), ("FS_COMPLETED", 0)]


async def test_two_devices_receive_at_once(hosting: Hosting, script: Script, ear: Ear) -> None:
    async with hosting(script):
        script.ring(1)
        script.ring(2)
        ended = await ear.wait_for(FaxEnded, 2)
    assert {event.record.device_id for event in ended} == {1, 2}
    assert len({event.document for event in ended}) == 2


@pytest.mark.parametrize(
    "caller", ["../../etc/passwd", "", "\u202e\u0007\x1b[2J", "x" * 400, "Ünïcode ☎", "a/b\\c", "."]
)
async def test_hostile_callers_never_leave_the_inbox(hosting: Hosting, script: Script, ear: Ear, caller: str) -> None:
    script.caller = caller
    async with hosting(script) as service:
        script.ring()
        ended = await ear.ended()
    assert ended.document is not None
    assert ended.document.parent == service.spool.inbox
    assert ended.document.is_file()
    assert json.loads(ended.document.with_suffix(".json").read_text())["caller"]["id"] == caller


# --- failing ---------------------------------------------------------------------------------------


async def test_a_failed_reception_keeps_its_pages_marked_incomplete(hosting: Hosting, script: Script, ear: Ear) -> None:
    script.pages, script.succeeds, script.ends = 2, False, FaxStatus.FS_DISCONNECTED
    async with hosting(script):
        script.ring()
        ended = await ear.ended()
    assert ended.document is not None
    assert ended.record.job_type is JobType.JT_FAIL_RECEIVE
    assert (ended.record.incomplete, ended.record.pages, ended.record.cause) == (True, 2, Cause.PEER_HUNG_UP)
    assert ended.record.sentence == "It failed as the script has it."


async def test_pages_that_the_provider_never_joined_are_joined_by_the_host(
    hosting: Hosting, script: Script, ear: Ear
) -> None:
    script.pages, script.succeeds, script.ends, script.assemble = 2, False, FaxStatus.FS_FATAL_ERROR, False
    async with hosting(script) as service:
        script.ring()
        ended = await ear.ended()
    assert ended.document is not None
    assert len(tiff.read_headers(ended.document)) == 2
    assert left_in_incoming(service) == []


async def test_pages_of_a_complete_fax_that_were_never_joined_are_joined_and_not_thrown_away(
    hosting: Hosting, script: Script, ear: Ear
) -> None:
    script.pages, script.assemble = 2, False
    async with hosting(script) as service:
        script.ring()
        ended = await ear.ended()
        assert ended.document is not None
        assert len(tiff.read_headers(ended.document)) == 2
        assert (ended.record.ok, ended.record.job_type) == (True, JobType.JT_RECEIVE)
        assert left_in_incoming(service) == []


async def test_a_document_that_is_none_is_put_aside_and_not_thrown_away(
    hosting: Hosting, script: Script, ear: Ear
) -> None:
    script.pages, script.waits = 0, True
    async with hosting(script) as service:
        script.ring()
        await script.running.wait()
        (job,) = service.running
        service.spool.job_file(job).write_bytes(b"what a provider calls a fax")
        service.stop()
        ended = await ear.ended()
    aside = service.spool.unreadable / f"{job}.tif"
    assert aside.read_bytes() == b"what a provider calls a fax"
    assert str(aside) in ended.record.sentence


async def test_a_call_without_a_page_leaves_a_record_in_failed(hosting: Hosting, script: Script, ear: Ear) -> None:
    script.pages, script.succeeds, script.ends = 0, False, FaxStatus.FS_NOT_FAX_CALL
    async with hosting(script) as service:
        script.ring()
        ended = await ear.ended()
    assert ended.document is None
    assert ended.beside is not None
    assert ended.beside.parent == service.spool.failed
    assert (inbox(service), left_in_incoming(service)) == ([], [])
    assert ended.record.cause is Cause.NOT_FAX


async def test_success_with_an_empty_file_is_a_failure(hosting: Hosting, script: Script, ear: Ear) -> None:
    script.pages = 0
    async with hosting(script):
        script.ring()
        ended = await ear.ended()
    assert (ended.document, ended.record.ok) == (None, False)
    assert ended.record.status_id == FaxStatus.FS_FATAL_ERROR


async def test_an_abort_discards_the_pages_and_keeps_the_record(hosting: Hosting, script: Script, ear: Ear) -> None:
    script.waits = True
    async with hosting(script) as service:
        script.ring()
        await script.running.wait()
        assert service.abort(service.running[0])
        ended = await ear.ended()
        assert service.abort(ended.record.job) is False
    assert ended.document is None
    assert ended.record.cause is Cause.ABORTED
    assert (inbox(service), left_in_incoming(service)) == ([], [])
    assert said(script) == [
        "FaxDevStartJob",
        "FaxDevReceive",
        "FaxDevAbortOperation",
        "FaxDevReportStatus",
        "FaxDevEndJob",
    ]


async def test_an_operation_that_ignores_the_abort_is_cancelled_after_the_grace(
    jumping_clock: MockClock, hosting: Hosting, script: Script, ear: Ear
) -> None:
    script.stubborn = True
    async with hosting(script) as service:
        script.ring()
        await script.running.wait()
        start = trio.current_time()
        service.abort(service.running[0])
        await ear.ended()
        assert 2.0 <= trio.current_time() - start < 4.0
    assert "FaxDevEndJob" in script.calls
    assert any("after the abort" in fault.why for fault in ear.of(ProviderFaulted))


async def test_an_operation_that_takes_too_long_is_aborted(
    jumping_clock: MockClock, hosting: Hosting, script: Script, ear: Ear
) -> None:
    script.waits = True
    async with hosting(script, jobs=JobOptions(operation_timeout=60.0, abort_grace=2.0)):
        script.ring()
        ended = await ear.ended()
    assert ended.record.cause is Cause.LIMIT
    assert ended.record.sentence == "The fax took longer than 60 seconds."
    assert ended.document is not None


@pytest.mark.parametrize("call", ["FaxDevStartJob", "FaxDevReceive", "FaxDevReportStatus", "FaxDevEndJob"])
async def test_a_raising_provider_costs_one_job_and_not_the_host(
    hosting: Hosting, script: Script, ear: Ear, call: str
) -> None:
    script.fault[call] = "raise"
    async with hosting(script):
        script.ring()
        await ear.ended()
        assert [fault.call for fault in ear.of(ProviderFaulted)][:1] == [call]
        script.fault.clear()
        script.ring()
        second = (await ear.wait_for(FaxEnded, 2))[1]
    assert second.record.ok


@pytest.mark.parametrize("call", ["FaxDevStartJob", "FaxDevEndJob"])
async def test_a_hanging_provider_costs_one_job_and_not_the_host(
    jumping_clock: MockClock, hosting: Hosting, script: Script, ear: Ear, call: str
) -> None:
    script.fault[call] = "hang"
    async with hosting(script):
        script.ring()
        await ear.ended()
        assert "no answer within 2 seconds" in ear.of(ProviderFaulted)[0].why
        script.fault.clear()
        script.ring()
        second = (await ear.wait_for(FaxEnded, 2))[1]
    assert second.record.ok


async def test_a_job_that_cannot_be_started_is_not_ended(hosting: Hosting, script: Script, ear: Ear) -> None:
    script.empty_handle = True
    async with hosting(script):
        script.ring()
        ended = await ear.ended()
    assert said(script) == ["FaxDevStartJob"]
    assert ended.record.cause is Cause.LINE_UNAVAILABLE


@pytest.mark.parametrize(
    ("succeeds", "ends", "status", "complaint"),
    [
        (True, FaxStatus.FS_RECEIVING, FaxStatus.FS_COMPLETED, "succeeded, but reports FS_RECEIVING"),
        (False, FaxStatus.FS_COMPLETED, FaxStatus.FS_FATAL_ERROR, "failed, but reports FS_COMPLETED"),
        (False, FaxStatus.FS_RECEIVING, FaxStatus.FS_FATAL_ERROR, "failed, but reports FS_RECEIVING"),
    ],
)
async def test_a_status_that_contradicts_the_boolean_is_corrected_and_reported(
    hosting: Hosting, script: Script, ear: Ear, succeeds: bool, ends: FaxStatus, status: FaxStatus, complaint: str
) -> None:
    script.succeeds, script.ends = succeeds, ends
    async with hosting(script):
        script.ring()
        ended = await ear.ended()
    assert ended.record.status_id == status
    assert ended.record.ok is succeeds
    assert complaint in [fault.why for fault in ear.of(ProviderFaulted)]


# --- rings -----------------------------------------------------------------------------------------


async def test_a_ring_of_an_unknown_device_is_dropped_and_counted(hosting: Hosting, script: Script, ear: Ear) -> None:
    async with hosting(script) as service:
        script.ring(99)
        (dropped,) = await ear.wait_for(RingDropped)
        assert service.counters.rings_dropped == 1
    assert (dropped.device_id, dropped.why) == (99, "the provider has no such device")


async def test_a_ring_of_a_busy_device_is_dropped_and_its_job_goes_on(
    hosting: Hosting, script: Script, ear: Ear
) -> None:
    script.waits = True
    async with hosting(script) as service:
        script.ring()
        await script.running.wait()
        script.ring()
        await ear.wait_for(RingDropped)
        assert len(service.running) == 1


async def test_a_call_that_rings_while_the_last_one_is_put_away_is_answered_next(
    hosting: Hosting, script: Script, ear: Ear
) -> None:
    ends = script.halts["FaxDevEndJob"] = Halt()
    async with hosting(script) as service:
        script.ring()
        await ends.reached.wait()
        script.ring()
        await wait_all_tasks_blocked()
        assert len(service.running) == 1
        ends.on.set()
        assert [one.record.ok for one in await ear.wait_for(FaxEnded, 2)] == [True, True]
        assert len(ear.of(RingReceived)) == 2
        assert service.counters.rings_dropped == 0


async def test_a_call_that_rings_on_a_device_taken_for_sending_is_answered_when_it_is_given_back(
    hosting: Hosting, script: Script, ear: Ear, tmp_path: Path
) -> None:
    script.count = 1
    script.endings, script.facts = [FaxStatus.FS_LINE_UNAVAILABLE], False
    start = script.halts["FaxDevStartJob"] = Halt()
    (tmp_path / "page.tif").write_bytes(PAGE)
    async with hosting(script) as service, trio.open_nursery() as nursery:
        nursery.start_soon(service.submit, tmp_path / "page.tif", "123")
        await start.reached.wait()
        script.ring()
        await wait_all_tasks_blocked()
        start.on.set()
        await ear.wait_for(RingReceived)
        ended = {one.record.job_type: one.record.ok for one in await ear.wait_for(FaxEnded, 2)}
        assert ended == {JobType.JT_SEND: False, JobType.JT_RECEIVE: True}
        assert service.counters.rings_dropped == 0


@pytest.mark.parametrize("why", ["receiving is switched off on the device", "the device was in use for too long"])
async def test_a_call_that_rang_too_long_ago_or_where_nobody_receives_any_more_is_dropped(
    hosting: Hosting, script: Script, ear: Ear, jumping_clock: MockClock, why: str
) -> None:
    ends = script.halts["FaxDevEndJob"] = Halt()
    async with hosting(script, timeouts=CallTimeouts(end_job_timeout=100.0)) as service:
        script.ring()
        await ends.reached.wait()
        script.ring()
        await trio.sleep(service.options.ring_patience + 1.0 if "long" in why else 1.0)
        if "off" in why:
            service.switch(service.devices[1], flags=PortFlag.FPF_SEND)
        ends.on.set()
        (dropped,) = await ear.wait_for(RingDropped)
        assert (dropped.device_id, dropped.why) == (1, why)


async def test_a_provider_cannot_ring_for_anothers_device(hosting: Hosting, script: Script, ear: Ear) -> None:
    other = Script(first_id=10)
    async with hosting(script, other):
        other.ring(1)
        await ear.wait_for(RingDropped)
    assert said(script) == []


# --- loading ---------------------------------------------------------------------------------------


async def test_a_provider_that_cannot_start_costs_the_others_nothing(
    hosting: Hosting, script: Script, ear: Ear
) -> None:
    broken = Script(first_id=10, fault={"FaxDevInitialize": "raise"})
    async with hosting(broken, script) as service:
        assert [provider.status for provider in service.providers] == [
            ProviderStatus.fpsCANT_INIT,
            ProviderStatus.fpsSUCCESS,
        ]
        script.ring()
        assert (await ear.ended()).record.ok
    assert ear.of(ProviderRefused)[0].name == "provider 0"
    assert "FaxDevShutdown" not in broken.calls


@pytest.mark.parametrize(
    ("broken", "status"),
    [
        (Script(first_id=10, fault={"create": "raise"}), ProviderStatus.fpsCANT_LOAD),
        (Script(first_id=10, fault={"FaxDevVirtualDeviceCreation": "hang"}), ProviderStatus.fpsCANT_INIT),
        (Script(first_id=2), ProviderStatus.fpsCANT_INIT),
        (Script(first_id=10, count=20_000), ProviderStatus.fpsCANT_INIT),
    ],
    ids=["raises while loading", "hangs", "overlapping ids", "too many devices"],
)
async def test_each_refused_provider_says_how_far_it_came(
    jumping_clock: MockClock, hosting: Hosting, script: Script, broken: Script, status: ProviderStatus
) -> None:
    async with hosting(script, broken) as service:
        assert service.providers[1].status is status
        assert service.providers[1].failure is not None


async def test_a_guid_registered_twice_is_refused_the_second_time(hosting: Hosting, script: Script) -> None:
    guid = "{11111111-1111-4111-8111-111111111111}"
    async with hosting(script, Script(first_id=10), guids=(guid, guid)) as service:
        assert service.providers[1].status is ProviderStatus.fpsBAD_GUID


async def test_the_service_says_when_it_starts_and_stops(hosting: Hosting, script: Script, ear: Ear) -> None:
    async with hosting(script):
        assert ear.events == [ServiceStarted(("script 1", "script 2")), DeviceInService(1), DeviceInService(2)]
    assert ear.events[-3:-1] == [DeviceOutOfService(1), DeviceOutOfService(2)]
    assert ear.events[-1] == ServiceStopped()


# --- the end ---------------------------------------------------------------------------------------


async def test_stopping_aborts_what_runs_and_keeps_its_pages(hosting: Hosting, script: Script, ear: Ear) -> None:
    script.waits, script.pages = True, 2
    async with hosting(script):
        script.ring()
        await script.running.wait()
    ended = await ear.ended()
    assert ended.document is not None
    assert (ended.record.incomplete, ended.record.pages) == (True, 2)
    assert ended.record.sentence == "The fax was ended because the service was stopped."
    assert script.calls[-1] == "FaxDevShutdown"
    assert script.calls.index("FaxDevEndJob") < script.calls.index("FaxDevShutdown")


@pytest.mark.parametrize("fault", ["raise", "hang"])
async def test_a_provider_cannot_veto_the_end(
    jumping_clock: MockClock, hosting: Hosting, script: Script, ear: Ear, fault: str
) -> None:
    script.fault["FaxDevShutdown"] = fault
    async with hosting(script):
        pass
    assert ear.events[-1] == ServiceStopped()


async def test_a_cancelled_service_still_ends_in_order(hosting: Hosting, script: Script, ear: Ear) -> None:
    script.waits = True
    with trio.CancelScope() as scope:
        async with hosting(script):
            script.ring()
            await script.running.wait()
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert said(script)[-1] == "FaxDevEndJob"
    assert ear.of(FaxEnded)[0].document is not None
    assert ear.events[-1] == ServiceStopped()


async def test_an_observer_that_raises_is_heard_no_more_and_costs_no_fax(hosting: Hosting, script: Script) -> None:
    def faulty(event: object) -> None:
        raise ValueError(event)

    script.waits = True
    async with hosting(script, observe=faulty) as service:
        script.ring()
        await script.running.wait()
    assert inbox(service) == [".json", ".tif"]
    assert service.counters.observer_faults == 1


# --- sending ---------------------------------------------------------------------------------------


async def test_a_document_is_sent_on_a_free_device(hosting: Hosting, script: Script, tmp_path: Path) -> None:
    async with hosting(script) as service:
        record = await service.submit(tmp_path / "fax.tif", "sip:fax@192.0.2.1")
    assert (record.ok, record.job_type, record.dialled) == (True, JobType.JT_SEND, "sip:fax@192.0.2.1")
    assert (script.sent[0].receiver_number, script.sent[0].caller_number) == ("sip:fax@192.0.2.1", "+49 30 1")
    assert said(script) == ["FaxDevStartJob", "FaxDevSend", "FaxDevReportStatus", "FaxDevEndJob"]


async def test_each_free_device_is_tried_once_while_lines_are_unavailable(
    hosting: Hosting, script: Script, tmp_path: Path
) -> None:
    script.count, script.succeeds, script.ends = 3, False, FaxStatus.FS_LINE_UNAVAILABLE
    async with hosting(script) as service:
        record = await service.submit(tmp_path / "fax.tif", "sip:fax@192.0.2.1")
    assert record.cause is Cause.LINE_UNAVAILABLE
    assert script.calls.count("FaxDevSend") == 3


async def test_sending_with_every_line_in_use_fails_at_once(hosting: Hosting, script: Script, tmp_path: Path) -> None:
    script.count, script.waits = 1, True
    async with hosting(script) as service:
        script.ring()
        await script.running.wait()
        record = await service.submit(tmp_path / "fax.tif", "sip:fax@192.0.2.1")
    assert record.cause is Cause.LINE_UNAVAILABLE
    assert (record.retry, record.verdict, record.t30_result) == ("later", "no-line", T30Result.NO_LINE)


async def test_a_cancelled_sending_is_aborted_and_waited_for(
    jumping_clock: MockClock, hosting: Hosting, script: Script, tmp_path: Path
) -> None:
    script.waits = True
    async with hosting(script) as service:
        with trio.move_on_after(5):
            await service.submit(tmp_path / "fax.tif", "sip:fax@192.0.2.1")
        assert said(script)[-3:] == ["FaxDevAbortOperation", "FaxDevReportStatus", "FaxDevEndJob"]


async def test_nothing_can_be_sent_after_the_end(hosting: Hosting, script: Script, tmp_path: Path) -> None:
    async with hosting(script) as service:
        pass
    with pytest.raises(MisuseError):
        await service.submit(tmp_path / "fax.tif", "sip:fax@192.0.2.1")


# --- crashes and disks -----------------------------------------------------------------------------


def leave_pages(root: Path, count: int) -> str:
    """What a crash in the middle of a call leaves; the job's number."""
    spool = Spool(root)
    spool.prepare()
    job, path = spool.create_job_file()
    folder = PageFolder(path)
    for number in range(1, count + 1):
        keep(folder, number)
    spool.release()
    return job


async def test_pages_left_by_a_crash_are_delivered_marked_incomplete(
    hosting: Hosting, script: Script, ear: Ear, tmp_path: Path
) -> None:
    spool = Spool(tmp_path / "spool")
    spool.prepare()
    spool.release()  # as the end of a process does
    job, _ = spool.create_job_file()
    spool.pages_folder(job).mkdir()
    for number in (1, 2):
        (spool.pages_folder(job) / f"{number:04d}.tif").write_bytes(PAGE)
    async with hosting(script) as service:
        (recovered,) = ear.of(FaxRecovered)
    assert recovered.sentence == "Recovered 2 pages of an interrupted fax:"
    assert len(tiff.read_headers(recovered.document)) == 2
    written = json.loads(recovered.document.with_suffix(".json").read_text())
    assert (written["incomplete"], written["type"], written["job"]) == (True, "JT_FAIL_RECEIVE", job)
    assert left_in_incoming(service) == []


async def test_a_call_that_had_no_page_at_the_crash_is_on_record(
    hosting: Hosting, script: Script, ear: Ear, tmp_path: Path
) -> None:
    spool = Spool(tmp_path / "spool")
    spool.prepare()
    spool.release()  # as the end of a process does
    spool.create_job_file()
    async with hosting(script) as service:
        (recovered,) = ear.of(FaxRecovered)
    assert recovered.document.parent == service.spool.failed
    assert left_in_incoming(service) == []


async def test_what_cannot_be_read_after_a_crash_is_put_aside(
    hosting: Hosting, script: Script, ear: Ear, tmp_path: Path
) -> None:
    spool = Spool(tmp_path / "spool")
    spool.prepare()
    spool.release()  # as the end of a process does
    _, path = spool.create_job_file()
    path.write_bytes(b"II*\0 and then rubbish")
    async with hosting(script) as service:
        (recovered,) = ear.of(FaxRecovered)
    assert recovered.document.parent == service.spool.unreadable
    assert recovered.document.read_bytes().startswith(b"II*\0")


async def test_a_delivery_interrupted_between_record_and_document_is_finished(
    hosting: Hosting, script: Script, ear: Ear, tmp_path: Path
) -> None:
    spool = Spool(tmp_path / "spool")
    spool.prepare()
    spool.release()  # as the end of a process does
    job, path = spool.create_job_file()
    path.write_bytes(PAGE)
    beside = spool.inbox / f"20250101T000000Z-caller-{job}.json"
    beside.write_text('{"was": "here"}')
    async with hosting(script) as service:
        (recovered,) = ear.of(FaxRecovered)
    assert recovered.document == beside.with_suffix(".tif")
    assert recovered.document.read_bytes() == PAGE
    assert beside.read_text() == '{"was": "here"}'
    assert left_in_incoming(service) == []


async def test_a_fax_in_the_spool_that_breaks_the_repair_does_not_keep_the_service_from_starting(
    hosting: Hosting, script: Script, ear: Ear, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, well = leave_pages(tmp_path / "spool", 1), leave_pages(tmp_path / "spool", 2)
    recover = reception.recover

    def breaks(spool: Spool, job: str) -> tuple[Path, str]:
        if job == broken:
            raise RuntimeError("a bug")
        return recover(spool, job)

    monkeypatch.setattr(reception, "recover", breaks)
    async with hosting(script):
        assert [event.job for event in ear.of(FaxRecovered)] == [well]
        assert [event.what for event in ear.of(HostFaulted)] == ["RuntimeError: a bug"]


async def test_a_repair_that_the_disk_refused_is_tried_again_without_a_restart(
    jumping_clock: MockClock,
    hosting: Hosting,
    script: Script,
    ear: Ear,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leave_pages(tmp_path / "spool", 2)
    with monkeypatch.context() as patched:
        patched.setattr("vfax.host.spool.write_whole", no_room)
        async with hosting(script) as service:
            assert len(ear.of(StorageFailed)) == 1
            patched.undo()
            (late,) = await ear.wait_for(FaxRecovered)
            assert late.sentence == "Recovered 2 pages of an interrupted fax:"
            assert left_in_incoming(service) == []


async def test_a_fax_that_cannot_be_delivered_waits_and_is_found_at_the_next_start(
    hosting: Hosting, script: Script, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise StoreError("cannot deliver the fax: No space left on device")

    async with hosting(script) as service:
        with monkeypatch.context() as patched:
            patched.setattr(service.spool, "deliver", full)
            script.ring()
            ended = await ear.ended()
        assert ended.record.cause is Cause.STORAGE
        assert "No space left" in ear.of(StorageFailed)[0].sentence
        assert left_in_incoming(service) != []
    async with hosting(Script()) as again:
        assert len(ear.of(FaxRecovered)) == 1
        assert left_in_incoming(again) == []


async def test_a_disk_without_room_for_the_job_file_costs_the_ring_alone(
    hosting: Hosting, script: Script, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> tuple[str, Path]:
        raise StoreError("cannot create the job file: No space left on device")

    async with hosting(script) as service:
        with monkeypatch.context() as patched:
            patched.setattr(service.spool, "create_job_file", full)
            script.ring()
            await ear.wait_for(StorageFailed)
        script.ring()
        assert (await ear.ended()).record.ok


async def test_a_second_service_on_the_spool_leaves_the_running_fax_alone(
    hosting: Hosting, script: Script, ear: Ear, tmp_path: Path
) -> None:
    script.waits, script.pages = True, 2
    async with hosting(script) as service:
        script.ring()
        await script.running.wait()
        before = left_in_incoming(service)
        with pytest.raises(StoreError, match="in use by another vfax"):
            await FaxService(HostOptions(spool=tmp_path / "spool"), []).run()
        assert left_in_incoming(service) == before
    assert (await ear.ended()).record.pages == 2


async def test_a_fax_that_the_disk_refused_is_delivered_whole_when_there_is_room_again(
    jumping_clock: MockClock, hosting: Hosting, script: Script, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hosting(script) as service:
        with monkeypatch.context() as patched:
            patched.setattr("vfax.host.spool.write_whole", no_room)
            script.ring()
            ended = await ear.ended()
            assert ended.record.cause is Cause.STORAGE
        (late,) = await ear.wait_for(FaxRecovered)
        assert late.document.parent == service.spool.inbox
        written = json.loads(late.document.with_suffix(".json").read_text())
        assert (written["incomplete"], written["outcome"]["ok"], written["caller"]["id"]) == (
            False,
            True,
            script.caller,
        )
        assert left_in_incoming(service) == []


async def test_the_end_of_the_service_is_the_last_attempt_to_deliver(
    hosting: Hosting, script: Script, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hosting(script) as service:
        with monkeypatch.context() as patched:
            patched.setattr("vfax.host.spool.write_whole", no_room)
            script.ring()
            await ear.ended()
    assert ear.of(FaxRecovered)[0].document.parent == service.spool.inbox


async def test_a_fax_whose_last_sync_failed_is_not_called_lost(
    hosting: Hosting, script: Script, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hosting(script) as service:
        faults = Faults("incoming.fsync_dir", errno.EIO)
        with monkeypatch.context() as patched:
            patched.setattr(service.spool, "disk", WatchedDisk(faults))
            script.ring()
            assert (await ear.ended()).record.cause is Cause.STORAGE
    assert inbox(service) == [".json", ".tif"]
    assert list(service.spool.failed.iterdir()) == []
    assert [late.document.parent for late in ear.of(FaxRecovered)] == [service.spool.inbox]


def test_the_host_knows_no_device() -> None:
    folder = Path(vfax.host.__file__).parent
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.startswith(("vfax.device", "vfax.endpoint", "vfax.call")) for name in names), path
