"""Who hears what when a call comes in."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from vfax.fsp.completion import CompletionPort
from vfax.fsp.constants import FaxStatus, LineMessageId
from vfax.fsp.errors import LineUnavailable, OperationFailed

MakeDesk = Callable[..., Any]
MakeRunningDesk = Callable[..., Awaitable[Any]]


async def test_a_call_rings_on_the_first_free_line(make_running_desk: MakeRunningDesk, scripted: Any) -> None:
    desk = await make_running_desk(lines=3, device_id_prefix=10)
    calls = [desk.network.comes(scripted()) for _ in range(3)]
    assert desk.rings() == [10, 11, 12]
    assert [call.rang for call in calls] == [1, 1, 1]
    await desk.stop()


async def test_when_all_lines_are_taken_the_next_caller_hears_486(
    make_running_desk: MakeRunningDesk, scripted: Any
) -> None:
    desk = await make_running_desk(lines=2)
    desk.network.comes(scripted())
    job = await desk.job(2)  # reserved for whatever the host is up to
    desk.rings()
    late = desk.network.comes(scripted())
    assert (late.refused, late.rang, desk.rings()) == ([486], 0, [])
    await desk.end(job)
    assert desk.network.comes(scripted()).refused == []
    assert desk.provider.counts["busy"] == 1
    await desk.stop()


async def test_a_line_is_taken_until_endjob(make_running_desk: MakeRunningDesk, scripted: Any) -> None:
    desk = await make_running_desk(lines=1)
    desk.network.comes(scripted())
    job = await desk.job()
    await desk.receive(job)
    assert desk.network.comes(scripted()).refused == [486]
    await desk.end(job)
    assert desk.network.comes(scripted()).refused == []
    await desk.stop()


async def test_a_ring_nobody_takes_hears_480_and_frees_the_line(
    make_running_desk: MakeRunningDesk, scripted: Any, autojump_clock: MockClock
) -> None:
    desk = await make_running_desk(lines=1, host_answer_timeout=20)
    call = desk.network.comes(scripted())
    await trio.sleep(19.9)
    assert call.refused == []
    await trio.sleep(0.2)
    assert call.refused == [480]
    assert desk.network.comes(scripted()).rang == 1
    await desk.stop()


async def test_a_receive_after_that_ends_at_once_and_says_why(
    make_running_desk: MakeRunningDesk, scripted: Any, autojump_clock: MockClock
) -> None:
    desk = await make_running_desk(host_answer_timeout=20)
    desk.network.comes(scripted())
    await trio.sleep(21)
    job = await desk.job()
    with pytest.raises(OperationFailed, match="Nobody took the call within 20 seconds"):
        await desk.receive(job)
    assert desk.status(job).status_id == FaxStatus.FS_DISCONNECTED
    await desk.stop()


async def test_a_caller_who_gives_up_frees_the_line(make_running_desk: MakeRunningDesk, scripted: Any) -> None:
    desk = await make_running_desk(lines=1)
    call = desk.network.comes(scripted())
    call.ended_early.set()
    await wait_all_tasks_blocked()
    job = await desk.job()
    with pytest.raises(OperationFailed, match="gave up"):
        await desk.receive(job)
    assert [status.status_id for status in desk.posted(job)] == [FaxStatus.FS_DISCONNECTED]
    assert (call.answered, call.refused) == (False, [])
    await desk.end(job)
    assert desk.network.comes(scripted()).rang == 1
    await desk.stop()


async def test_giving_up_in_the_moment_of_the_answer_ends_the_same(
    make_running_desk: MakeRunningDesk, scripted: Any
) -> None:
    desk = await make_running_desk(lines=1)
    call = desk.network.comes(scripted())
    job = await desk.job()
    call.ended_early.set()
    with pytest.raises(OperationFailed, match="gave up"):
        await desk.receive(job)
    assert desk.status(job).status_id == FaxStatus.FS_DISCONNECTED
    await wait_all_tasks_blocked()
    assert desk.network.comes(scripted()).refused == [486]  # the job still has the line
    await desk.end(job)
    assert desk.network.comes(scripted()).rang == 1
    await desk.stop()


async def test_nothing_watches_a_call_that_has_been_taken(make_running_desk: MakeRunningDesk, scripted: Any) -> None:
    desk = await make_running_desk()
    before = trio.lowlevel.current_statistics().tasks_living
    desk.network.comes(scripted())
    job = await desk.job()
    await desk.receive(job)
    await wait_all_tasks_blocked()
    assert trio.lowlevel.current_statistics().tasks_living == before
    await desk.stop()


async def test_an_old_ring_does_not_explain_a_line_in_use(make_running_desk: MakeRunningDesk, scripted: Any) -> None:
    desk = await make_running_desk(lines=1)
    desk.network.comes(scripted()).ended_early.set()
    await wait_all_tasks_blocked()
    desk.network.comes(scripted())
    first, second = await desk.job(), await desk.job()
    await desk.receive(first)
    with pytest.raises(LineUnavailable, match="in use"):
        await desk.receive(second)
    await desk.end(second)
    assert desk.network.comes(scripted()).refused == [486]  # it is still the first job's
    await desk.stop()


async def test_a_taken_ring_is_not_refused_later(
    make_running_desk: MakeRunningDesk, scripted: Any, autojump_clock: MockClock
) -> None:
    desk = await make_running_desk(host_answer_timeout=5)
    call = desk.network.comes(scripted(60.0))
    job = await desk.job()
    await desk.receive(job)
    assert call.refused == []
    await desk.stop()


async def test_disabled_lines_refuse_with_480_and_busy_ones_with_486(
    make_running_desk: MakeRunningDesk, scripted: Any
) -> None:
    desk = await make_running_desk(lines=2)
    desk.callback(None, 1, LineMessageId.LINE_DEVSPECIFIC, 0, 0, 1, 0)
    desk.network.comes(scripted())
    assert desk.rings() == [2]
    assert desk.network.comes(scripted()).refused == [486]
    desk.callback(None, 2, LineMessageId.LINE_DEVSPECIFIC, 0, 0, 1, 0)
    assert desk.network.comes(scripted()).refused == [480]
    desk.callback(None, 1, LineMessageId.LINE_DEVSPECIFIC, 0, 1, 1, 0)
    assert desk.network.comes(scripted()).refused == []
    await desk.stop()


async def test_other_line_messages_change_nothing(make_running_desk: MakeRunningDesk, scripted: Any) -> None:
    desk = await make_running_desk(lines=1)
    desk.callback(None, 1, LineMessageId.LINE_CLOSE, 0, 0, 0, 0)
    desk.callback(None, 99, LineMessageId.LINE_DEVSPECIFIC, 0, 0, 0, 0)
    desk.callback(object(), 1, LineMessageId.LINE_DEVSPECIFIC, 0, 0, 0, 0)
    assert desk.network.comes(scripted()).rang == 1
    await desk.stop()


@pytest.mark.parametrize("closed", [True, False])
async def test_a_ring_the_port_does_not_take_is_refused(make_desk: MakeDesk, scripted: Any, closed: bool) -> None:
    desk = make_desk(lines=3)
    desk.ring_port = CompletionPort(1, reserve=0)
    await desk.start()
    if closed:
        desk.ring_port.close()
    else:
        desk.network.comes(scripted())
    lost = desk.network.comes(scripted())
    assert (lost.refused, lost.rang) == ([480], 0)
    assert desk.provider.counts["ring-lost"] == 1
    await desk.stop()


async def test_a_send_does_not_take_a_ringing_call_away(make_running_desk: MakeRunningDesk, scripted: Any) -> None:
    desk = await make_running_desk(lines=1)
    call = desk.network.comes(scripted())
    sending = await desk.job()
    with pytest.raises(LineUnavailable):
        await desk.send(sending)
    await desk.end(sending)
    receiving = await desk.job()
    await desk.receive(receiving)
    assert call.answered
    await desk.stop()
