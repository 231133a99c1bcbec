"""Operations: statuses in order, results, aborts in every phase, the end of a job."""

import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from vfax.call import Addressed, Identified, Negotiated, PageBegun, PageDone, PageMoving
from vfax.errors import DocumentError, LinkError
from vfax.fsp.completion import CompletionPort
from vfax.fsp.constants import FaxStatus, LineMessageId
from vfax.fsp.errors import (
    InvalidHandle,
    InvalidParameter,
    LineUnavailable,
    OperationAborted,
    OperationFailed,
)
from vfax.fsp.structures import FaxReceive, FaxSend
from vfax.outcome import Cause, Outcome, Phase, Retry, T30Result

MakeRunningDesk = Callable[..., Awaitable[Any]]
MODE = Negotiated(14400, True, "MMR", "fine")
TWO_PAGES = (
    Identified("+49 30 999"),
    MODE,
    PageBegun(1),
    PageMoving(1, 500, 0),
    PageDone(1),
    PageBegun(2),
    PageMoving(2, 7, 0),
    PageDone(2),
)
TWO = Outcome(cause=Cause.COMPLETE, pages_confirmed=2, rate_bps=14400, ecm=True, sentence="Two pages.")
S = FaxStatus


def codes(statuses: list[Any]) -> list[tuple[FaxStatus, int]]:
    return [(FaxStatus(status.status_id), status.page_count) for status in statuses]


async def test_receiving_says_answered_then_each_page_then_completed(
    make_running_desk: MakeRunningDesk, scripted: Any
) -> None:
    desk = await make_running_desk()
    call = desk.network.comes(scripted(*TWO_PAGES, outcome=TWO))
    job = await desk.job()
    filled = await desk.receive(job)
    posted = desk.posted(job)
    assert codes(posted) == [(S.FS_ANSWERED, 0), (S.FS_RECEIVING, 1), (S.FS_RECEIVING, 2), (S.FS_COMPLETED, 2)]
    assert {status.caller_id for status in posted} == {"+4930123456"}
    assert {status.routing_info for status in posted} == {"+4940654321"}
    assert [status.csi for status in posted] == ["", *["+49 30 999"] * 3]
    assert {status.error_code for status in posted} == {0}
    assert posted[-1] == desk.status(job)
    assert filled == FaxReceive(str(desk.folder / "fax.tif"), "desk", "+49 40 654321")
    assert (call.target, call.local_id) == (desk.folder / "fax.tif", "+49 40 654321")
    await desk.stop()


async def test_the_hosts_names_stand_where_the_device_has_none(
    make_running_desk: MakeRunningDesk, scripted: Any
) -> None:
    desk = await make_running_desk(local_id="", receiver_name="")
    call = desk.network.comes(scripted())
    job = await desk.job()
    (desk.folder / "fax.tif").touch()
    given = FaxReceive(str(desk.folder / "fax.tif"), "station", "+1 555")
    assert await desk.provider.FaxDevReceive(job.handle, None, given) == given
    assert call.local_id == "+1 555"
    await desk.stop()


async def test_sending_says_initializing_dialing_pages_completed(
    make_running_desk: MakeRunningDesk, scripted: Any
) -> None:
    desk = await make_running_desk()
    call = scripted(*TWO_PAGES, outcome=TWO)
    desk.network.going_out.append(call)
    job = await desk.job()
    await desk.send(job, caller_name="Otto")
    assert codes(desk.posted(job)) == [
        (S.FS_INITIALIZING, 0),
        (S.FS_DIALING, 0),
        (S.FS_TRANSMITTING, 1),
        (S.FS_TRANSMITTING, 2),
        (S.FS_COMPLETED, 2),
    ]
    assert desk.status(job).csi == "+49 30 999"
    assert desk.status(job).routing_info == ""
    assert (call.request.destination, call.request.document) == ("sip:fax@192.0.2.1", Path("document.tif"))
    assert (call.request.local_id, call.request.caller_name) == ("+49 40 654321", "Otto")
    await desk.stop()


async def test_the_header_line_is_asked_for_as_the_device_was_told(
    make_running_desk: MakeRunningDesk, scripted: Any
) -> None:
    desk = await make_running_desk(header=True, header_timezone="Europe/Berlin")
    call = scripted(*TWO_PAGES, outcome=TWO)
    desk.network.going_out.append(call)
    await desk.send(await desk.job())
    assert (call.request.header, call.request.header_timezone) == (True, "Europe/Berlin")
    await desk.stop()


async def test_each_status_stands_in_the_calls_journal(make_running_desk: MakeRunningDesk, scripted: Any) -> None:
    desk = await make_running_desk()
    call = desk.network.comes(scripted(*TWO_PAGES, outcome=TWO))
    job = await desk.job()
    await desk.receive(job)
    assert call.notes == [(status.name, page) for status, page in codes(desk.posted(job))]
    assert len(call.notes) == 4
    await desk.stop()


async def test_the_subaddress_stands_behind_the_number_in_routing_info(
    make_running_desk: MakeRunningDesk, scripted: Any
) -> None:
    desk = await make_running_desk()
    desk.network.comes(scripted(Addressed("4711|x"), PageBegun(1), outcome=TWO))
    job = await desk.job()
    await desk.receive(job)
    assert desk.posted(job)[-1].routing_info == "+4940654321|4711?x"
    await desk.stop()


async def test_a_repeated_page_is_said_once(make_running_desk: MakeRunningDesk, scripted: Any) -> None:
    desk = await make_running_desk()
    desk.network.comes(scripted(PageBegun(1), PageBegun(1), PageBegun(1)))
    job = await desk.job()
    await desk.receive(job)
    assert codes(desk.posted(job)) == [(S.FS_ANSWERED, 0), (S.FS_RECEIVING, 1), (S.FS_COMPLETED, 1)]
    await desk.stop()


async def test_facts_tell_more_while_it_runs_and_after(
    make_running_desk: MakeRunningDesk, scripted: Any, autojump_clock: MockClock
) -> None:
    desk = await make_running_desk()
    call = scripted(*TWO_PAGES[:7], 10.0, *TWO_PAGES[7:], outcome=TWO)
    call.journal_path = Path("calls/call-1.jsonl")
    desk.network.comes(call)
    job = await desk.job()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.receive, job)
        await trio.sleep(5)
        facts = desk.provider.VfaxDevReportFacts(job.handle)
        assert (facts.page, facts.progress_done, facts.pages_confirmed) == (2, 7, 1)
        assert (facts.rate_bps, facts.ecm, facts.coding, facts.resolution) == (14400, True, "MMR", "fine")
        assert (facts.call_id, facts.device_id, facts.dialled) == ("call-1", 1, "+4940654321")
        assert (facts.caller_id, facts.caller_name, facts.remote_id) == ("+4930123456", "Anna", "+49 30 999")
        assert Path(facts.journal_path) == call.journal_path
        assert facts.outcome is None
    facts = desk.provider.VfaxDevReportFacts(job.handle)
    assert (facts.outcome, facts.sentence, facts.pages_confirmed) == (TWO, "Two pages.", 2)
    await desk.stop()


@pytest.mark.parametrize(
    ("cause", "status"),
    [
        (Cause.PEER_HUNG_UP, S.FS_DISCONNECTED),
        (Cause.NOT_FAX, S.FS_NOT_FAX_CALL),
        (Cause.STORAGE, S.FS_FATAL_ERROR),
        (Cause.CANNOT_TRAIN, S.FS_FATAL_ERROR),
    ],
)
async def test_a_failed_fax_is_false_with_its_status(
    make_running_desk: MakeRunningDesk, scripted: Any, cause: Cause, status: FaxStatus
) -> None:
    desk = await make_running_desk()
    failed = Outcome(cause=cause, pages_confirmed=1, retry=Retry.LATER, sentence="It failed.")
    desk.network.comes(scripted(PageBegun(1), outcome=failed))
    job = await desk.job()
    with pytest.raises(OperationFailed, match=r"It failed\."):
        await desk.receive(job)
    assert codes(desk.posted(job))[-1] == (status, 1)
    assert desk.status(job).error_code != 0
    assert desk.provider.VfaxDevReportFacts(job.handle).outcome == failed
    await desk.end(job)
    await desk.stop()


@pytest.mark.parametrize(
    ("error", "cause"),
    [(DocumentError("document.tif is no TIFF"), Cause.DOCUMENT), (LinkError("no port is free"), Cause.NETWORK)],
)
async def test_what_the_network_raises_is_an_outcome(
    make_running_desk: MakeRunningDesk, scripted: Any, error: Exception, cause: Cause
) -> None:
    desk = await make_running_desk()
    desk.network.going_out.append(scripted(outcome=error))
    job = await desk.job()
    with pytest.raises(OperationFailed, match=str(error)):
        await desk.send(job)
    assert desk.provider.VfaxDevReportFacts(job.handle).outcome.cause is cause
    await desk.stop()


async def test_a_bug_in_the_network_leaves_a_final_status(make_running_desk: MakeRunningDesk, scripted: Any) -> None:
    desk = await make_running_desk()
    desk.network.comes(scripted(outcome=ZeroDivisionError("a bug")))
    job = await desk.job()
    with pytest.raises(ZeroDivisionError):
        await desk.receive(job)
    assert codes(desk.posted(job)) == [(S.FS_ANSWERED, 0), (S.FS_FATAL_ERROR, 0)]
    await desk.end(job)
    assert desk.network.comes(scripted()).rang == 1
    await desk.stop()


async def test_a_busy_line_fails_the_operation_and_not_startjob(
    make_running_desk: MakeRunningDesk, scripted: Any
) -> None:
    desk = await make_running_desk()
    first, second, third = [await desk.job() for _ in range(3)]
    with pytest.raises(LineUnavailable):
        await desk.send(second)
    assert desk.status(second).status_id == S.FS_LINE_UNAVAILABLE
    with pytest.raises(LineUnavailable):
        await desk.receive(third)
    desk.network.going_out.append(scripted())
    for job in (second, third):
        await desk.end(job)
    await desk.send(first)
    assert desk.status(first).status_id == S.FS_COMPLETED
    await desk.stop()


async def test_sending_switched_off_is_a_line_unavailable(make_running_desk: MakeRunningDesk) -> None:
    desk = await make_running_desk()
    desk.callback(None, 1, LineMessageId.LINE_DEVSPECIFIC, 0, 1, 0, 0)
    job = await desk.job()
    with pytest.raises(LineUnavailable, match="switched off"):
        await desk.send(job)
    await desk.stop()


async def test_receiving_without_a_ring_is_refused(make_running_desk: MakeRunningDesk) -> None:
    desk = await make_running_desk()
    job = await desk.job()
    with pytest.raises(LineUnavailable, match="without a ring"):
        await desk.receive(job)
    await desk.stop()


async def test_a_vanished_job_file_is_an_error_and_the_caller_hears_480(
    make_running_desk: MakeRunningDesk, scripted: Any, tmp_path: Path
) -> None:
    desk = await make_running_desk()
    call = desk.network.comes(scripted())
    job = await desk.job()
    with pytest.raises(OperationFailed, match="does not exist"):
        await desk.provider.FaxDevReceive(job.handle, None, FaxReceive(str(tmp_path / "gone.tif")))
    assert call.refused == [480]
    assert not (tmp_path / "gone.tif").exists()
    assert desk.status(job).status_id == S.FS_FATAL_ERROR
    await desk.stop()


async def test_a_job_has_one_operation(make_running_desk: MakeRunningDesk, scripted: Any) -> None:
    desk = await make_running_desk()
    desk.network.comes(scripted())
    job = await desk.job()
    await desk.receive(job)
    with pytest.raises(InvalidParameter, match="FaxHandle"):
        await desk.receive(job)
    assert desk.status(job).status_id == S.FS_COMPLETED
    await desk.stop()


async def test_a_host_that_says_no_in_the_send_callback_ends_it_before_dialling(
    make_running_desk: MakeRunningDesk, scripted: Any
) -> None:
    desk = await make_running_desk()
    call = scripted()
    desk.network.going_out.append(call)
    job = await desk.job()
    asked: list[tuple[object, ...]] = []

    def refuse(*arguments: object) -> bool:
        asked.append(arguments)
        return False

    with pytest.raises(OperationAborted):
        await desk.provider.FaxDevSend(job.handle, FaxSend("document.tif", "sip:a@b"), refuse)
    assert asked == [(job.handle, None, 0, 0)]
    assert call.request is None
    assert codes(desk.posted(job)) == [(S.FS_INITIALIZING, 0), (S.FS_USER_ABORT, 0)]
    await desk.stop()


async def test_a_send_callback_that_agrees_lets_it_dial(make_running_desk: MakeRunningDesk, scripted: Any) -> None:
    desk = await make_running_desk()
    desk.network.going_out.append(scripted())
    job = await desk.job()
    await desk.provider.FaxDevSend(job.handle, FaxSend("document.tif", "sip:a@b"), lambda *arguments: True)
    assert desk.status(job).status_id == S.FS_COMPLETED
    await desk.stop()


# --- aborts -----------------------------------------------------------------------------------------


async def test_an_abort_before_receive_is_latched(
    make_running_desk: MakeRunningDesk, scripted: Any, autojump_clock: MockClock
) -> None:
    desk = await make_running_desk()
    call = desk.network.comes(scripted(1000.0))
    job = await desk.job()
    desk.provider.FaxDevAbortOperation(job.handle)
    started = trio.current_time()
    with pytest.raises(OperationAborted) as caught:
        await desk.receive(job)
    assert caught.value.winerror == 995
    assert trio.current_time() - started < 0.1
    assert (call.answered, call.refused) == (False, [603])
    assert codes(desk.posted(job)) == [(S.FS_USER_ABORT, 0)]
    await desk.end(job)
    assert desk.network.comes(scripted()).rang == 1
    await desk.stop()


async def test_an_abort_before_send_never_dials(make_running_desk: MakeRunningDesk) -> None:
    desk = await make_running_desk()
    job = await desk.job()
    desk.provider.FaxDevAbortOperation(job.handle)
    with pytest.raises(OperationAborted):
        await desk.send(job)  # the scripted network has no call to give: it would say so
    assert desk.status(job).status_id == S.FS_USER_ABORT
    await desk.stop()


async def test_an_abort_from_the_send_callback_never_dials(make_running_desk: MakeRunningDesk, scripted: Any) -> None:
    desk = await make_running_desk()
    desk.network.going_out.append(scripted(abort_takes=0))
    job = await desk.job()

    def abort(*arguments: object) -> bool:
        desk.provider.FaxDevAbortOperation(job.handle)
        return True

    with pytest.raises(OperationAborted):
        await desk.provider.FaxDevSend(job.handle, FaxSend("document.tif", "sip:a@b"), abort)
    assert codes(desk.posted(job)) == [(S.FS_INITIALIZING, 0), (S.FS_USER_ABORT, 0)]
    await desk.stop()


@pytest.mark.parametrize("direction", ["receive", "send"])
@pytest.mark.parametrize("script", [(1000.0,), (PageBegun(1), 1000.0), (PageBegun(1), PageDone(1), 1000.0)])
async def test_an_abort_ends_a_running_operation_within_a_second(
    make_running_desk: MakeRunningDesk, scripted: Any, autojump_clock: MockClock, direction: str, script: Any
) -> None:
    desk = await make_running_desk()
    call = scripted(*script)
    if direction == "receive":
        desk.network.comes(call)
    desk.network.going_out.append(call)
    job = await desk.job()

    async def operate() -> None:
        with pytest.raises(OperationAborted):
            await (desk.receive(job) if direction == "receive" else desk.send(job))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(operate)
        await trio.sleep(100)
        started = trio.current_time()
        desk.provider.FaxDevAbortOperation(job.handle)
        assert trio.current_time() == started  # it only asks
    assert trio.current_time() - started <= 1.0
    assert call.hung_up
    assert codes(desk.posted(job))[-1][0] is S.FS_USER_ABORT
    assert desk.status(job).status_id == S.FS_USER_ABORT
    await desk.end(job)
    await desk.stop()


async def test_abort_and_status_come_from_another_thread(make_running_desk: MakeRunningDesk, scripted: Any) -> None:
    desk = await make_running_desk()
    call = desk.network.comes(scripted(PageBegun(1), 1000.0, abort_takes=0))
    job = await desk.job()
    seen: list[int] = []

    def from_a_thread() -> None:
        seen.append(desk.status(job).status_id)
        desk.provider.FaxDevAbortOperation(job.handle)

    async def operate() -> None:
        with pytest.raises(OperationAborted):
            await desk.receive(job)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(operate)
        await wait_all_tasks_blocked(0.05)
        thread = threading.Thread(target=from_a_thread)
        thread.start()
    thread.join(10)
    assert seen == [S.FS_RECEIVING]
    assert call.aborted.is_set()
    await desk.stop()


async def test_an_abort_after_the_end_changes_nothing(make_running_desk: MakeRunningDesk, scripted: Any) -> None:
    desk = await make_running_desk()
    call = desk.network.comes(scripted())
    job = await desk.job()
    await desk.receive(job)
    desk.provider.FaxDevAbortOperation(job.handle)
    await wait_all_tasks_blocked()
    assert not call.aborted.is_set()
    assert desk.status(job).status_id == S.FS_COMPLETED
    await desk.stop()


async def test_a_fax_that_completes_in_spite_of_the_abort_is_complete(
    make_running_desk: MakeRunningDesk, scripted: Any, autojump_clock: MockClock
) -> None:
    desk = await make_running_desk()
    desk.network.comes(scripted(PageBegun(1), 10.0, PageDone(1), abort_takes=60.0))
    job = await desk.job()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.receive, job)
        await trio.sleep(9)
        desk.provider.FaxDevAbortOperation(job.handle)
    assert desk.status(job).status_id == S.FS_COMPLETED
    await desk.stop()


async def test_a_peer_that_hangs_up_first_does_not_hide_the_abort(
    make_running_desk: MakeRunningDesk, scripted: Any, autojump_clock: MockClock
) -> None:
    desk = await make_running_desk()
    gone = Outcome(
        cause=Cause.PEER_HUNG_UP,
        phase=Phase.MESSAGE,
        pages_confirmed=1,
        retry=Retry.LATER,
        sentence="They hung up.",
        verdict="sender-hung-up-in-page",
        t30_result=T30Result.CALLDROPPED,
    )
    desk.network.comes(scripted(10.0, outcome=gone, abort_takes=60.0))
    job = await desk.job()
    async with trio.open_nursery() as nursery:

        async def operate() -> None:
            with pytest.raises(OperationAborted):
                await desk.receive(job)

        nursery.start_soon(operate)
        await trio.sleep(9)
        desk.provider.FaxDevAbortOperation(job.handle)
    assert desk.status(job).status_id == S.FS_USER_ABORT
    told = desk.provider.VfaxDevReportFacts(job.handle).outcome
    assert (told.cause, told.retry, told.t30_result) == (Cause.ABORTED, Retry.NEVER, T30Result.ABORTED)
    assert told.verdict == "receiving-aborted"
    assert "page 1 is complete" in told.sentence
    assert "They hung up" not in told.sentence
    await desk.stop()


async def test_a_cancelled_operation_hangs_up_and_is_an_abort(
    make_running_desk: MakeRunningDesk, scripted: Any, autojump_clock: MockClock
) -> None:
    desk = await make_running_desk()
    call = desk.network.comes(scripted(PageBegun(1), 1000.0))
    job = await desk.job()
    with trio.move_on_after(10) as scope:
        await desk.receive(job)
    assert scope.cancelled_caught
    assert call.hung_up
    assert codes(desk.posted(job))[-1][0] is S.FS_USER_ABORT
    await desk.end(job)
    assert desk.network.comes(scripted()).rang == 1
    await desk.stop()


# --- the end of a job ---------------------------------------------------------------------------------


async def test_after_endjob_the_handle_is_dead(make_running_desk: MakeRunningDesk, scripted: Any) -> None:
    desk = await make_running_desk()
    desk.network.comes(scripted())
    job = await desk.job()
    assert desk.arena.live_jobs == 1
    await desk.receive(job)
    await desk.end(job)
    assert desk.arena.live_jobs == 0
    provider = desk.provider
    for dead in (provider.FaxDevReportStatus, provider.FaxDevAbortOperation, provider.VfaxDevReportFacts):
        with pytest.raises(InvalidHandle):
            dead(job.handle)
    for coroutine in (desk.end(job), desk.receive(job), desk.send(job)):
        with pytest.raises(InvalidHandle):
            await coroutine
    await desk.stop()


async def test_endjob_during_an_operation_cuts_it_off_and_posts_nothing_more(
    make_running_desk: MakeRunningDesk, scripted: Any, autojump_clock: MockClock
) -> None:
    desk = await make_running_desk(lines=1)
    call = desk.network.comes(scripted(PageBegun(1), 1000.0, abort_takes=3600.0))
    job = await desk.job()

    async def operate() -> None:
        with pytest.raises(OperationAborted):
            await desk.receive(job)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(operate)
        await trio.sleep(10)
        desk.posted(job)
        await desk.end(job)
    assert call.hung_up
    assert desk.posted(job) == []
    assert desk.network.comes(scripted()).rang == 1
    await desk.stop()


async def test_endjob_without_an_operation_frees_the_line(make_running_desk: MakeRunningDesk, scripted: Any) -> None:
    desk = await make_running_desk(lines=1)
    job = await desk.job()
    await desk.end(job)
    assert desk.network.comes(scripted()).rang == 1
    await desk.stop()


@pytest.mark.parametrize("closed", [True, False])
async def test_a_status_port_that_takes_nothing_does_not_cost_the_fax(
    make_running_desk: MakeRunningDesk, scripted: Any, closed: bool
) -> None:
    desk = await make_running_desk()
    desk.status_port = CompletionPort(1, reserve=0)
    other = await desk.job(2)
    desk.network.comes(scripted(*TWO_PAGES, outcome=TWO))
    if closed:
        desk.status_port.close()
    else:
        with pytest.raises(LineUnavailable):
            await desk.receive(other)  # its ending fills the port
    job = await desk.job()
    await desk.receive(job)
    assert desk.status(job).status_id == S.FS_COMPLETED
    await desk.stop()


async def test_a_host_that_does_not_read_still_gets_the_newest(
    make_running_desk: MakeRunningDesk, scripted: Any
) -> None:
    desk = await make_running_desk()
    desk.status_port = CompletionPort(3)
    desk.network.comes(scripted(*(PageBegun(number) for number in range(1, 100))))
    job = await desk.job()
    await desk.receive(job)
    assert codes(desk.posted(job))[-2:] == [(S.FS_RECEIVING, 99), (S.FS_COMPLETED, 99)]
    await desk.stop()


async def test_many_lines_work_at_once(
    make_running_desk: MakeRunningDesk, scripted: Any, autojump_clock: MockClock
) -> None:
    desk = await make_running_desk(lines=50)
    calls = [desk.network.comes(scripted(*TWO_PAGES, 30.0, outcome=TWO)) for _ in range(50)]
    assert desk.network.comes(scripted()).refused == [486]
    started = trio.current_time()

    async def serve(device_id: int) -> None:
        job = await desk.job(device_id)
        await desk.provider.FaxDevReceive(job.handle, None, desk.slot(f"{device_id}.tif"))
        await desk.end(job)

    async with trio.open_nursery() as nursery:
        for device_id in desk.rings():
            nursery.start_soon(serve, device_id)
    assert trio.current_time() - started == pytest.approx(30, abs=1)
    assert len({call.target for call in calls}) == 50
    await desk.stop()
