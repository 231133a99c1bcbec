"""Start in either order, stop with nothing left."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from vfax.errors import LinkError
from vfax.fsp.completion import CompletionPort, RingKey, StatusKey
from vfax.fsp.constants import FaxStatus, Hresult
from vfax.fsp.errors import InitializationFailed, InvalidHandle, InvalidParameter, NotReady, OperationAborted
from vfax.fsp.provider import Arena
from vfax.fsp.structures import VirtualDevices

MakeDesk = Callable[..., Any]
MakeRunningDesk = Callable[..., Awaitable[Any]]


@pytest.mark.parametrize("devices_first", [True, False])
async def test_either_start_order_receives(make_desk: MakeDesk, scripted: Any, devices_first: bool) -> None:
    desk = make_desk()
    await desk.start(devices_first=devices_first)
    call = desk.network.comes(scripted())
    assert desk.rings() == [1]
    job = await desk.job()
    await desk.receive(job)
    await desk.end(job)
    assert call.answered
    await desk.stop()


async def test_devices_are_announced_as_configured(make_desk: MakeDesk) -> None:
    desk = make_desk(lines=3, device_name_prefix="net ", device_id_prefix=100)
    devices = await desk.provider.FaxDevVirtualDeviceCreation(desk.ring_port, desk.ring_key)
    assert devices == VirtualDevices(3, "net ", 100)


async def test_nothing_rings_before_initialization_has_succeeded(make_desk: MakeDesk, scripted: Any) -> None:
    desk = make_desk()
    desk.network.early_call = scripted()
    await desk.create_devices()
    await desk.initialize()
    assert desk.network.early_call.refused == [480]
    assert desk.rings() == []
    await desk.stop()


async def test_a_call_before_the_ring_port_is_known_hears_480(make_desk: MakeDesk, scripted: Any) -> None:
    desk = make_desk()
    await desk.initialize()
    assert desk.network.comes(scripted()).refused == [480]
    await desk.create_devices()
    assert desk.network.comes(scripted()).rang == 1
    await desk.stop()


async def test_an_address_that_cannot_be_bound_fails_the_initialization(make_desk: MakeDesk) -> None:
    desk = make_desk()
    desk.network.bind_error = LinkError("127.0.0.1:5060 is taken")
    with pytest.raises(InitializationFailed, match="5060 is taken"):
        await desk.initialize()
    with pytest.raises(NotReady):
        await desk.job()
    assert await desk.provider.FaxDevShutdown() is Hresult.S_OK


async def test_a_network_that_breaks_later_reaches_the_arenas_nursery(network: Any, make_desk: MakeDesk) -> None:
    desk = make_desk()

    async def live() -> None:
        async with trio.open_nursery() as nursery:
            desk.arena = Arena(nursery, remove_file=lambda path: None)
            await desk.start()
            network.fail.set()

    with pytest.raises(ExceptionGroup) as caught:
        await live()
    assert [type(why) for why in caught.value.exceptions] == [LinkError]
    with pytest.raises(NotReady):
        await desk.job()


async def test_initializing_twice_fails(make_running_desk: MakeRunningDesk) -> None:
    desk = await make_running_desk()
    with pytest.raises(InitializationFailed):
        await desk.initialize()
    with pytest.raises(InvalidParameter):
        await desk.create_devices()
    await desk.stop()


async def test_wrong_arguments_are_named(make_running_desk: MakeRunningDesk, make_desk: MakeDesk) -> None:
    fresh = make_desk().provider
    with pytest.raises(InvalidParameter, match="CompletionKey"):
        await fresh.FaxDevVirtualDeviceCreation(CompletionPort(), StatusKey())
    with pytest.raises(InvalidParameter, match="CompletionPort"):
        await fresh.FaxDevVirtualDeviceCreation(None, RingKey())
    desk = await make_running_desk()
    with pytest.raises(InvalidParameter, match="DeviceId"):
        await desk.job(77)
    with pytest.raises(InvalidParameter, match="CompletionKey"):
        await desk.provider.FaxDevStartJob(None, 1, desk.status_port, RingKey())
    with pytest.raises(InvalidParameter, match="CompletionPort"):
        await desk.provider.FaxDevStartJob(None, 1, None, StatusKey())
    with pytest.raises(InvalidHandle):
        desk.provider.FaxDevReportStatus([])
    await desk.stop()


async def test_shutdown_refuses_what_rings_and_ends_the_network(
    make_running_desk: MakeRunningDesk, scripted: Any
) -> None:
    desk = await make_running_desk()
    ringing = desk.network.comes(scripted())
    assert await desk.provider.FaxDevShutdown() is Hresult.S_OK
    assert ringing.refused == [480]
    assert not desk.network.running
    with pytest.raises(NotReady):
        await desk.job()
    assert await desk.provider.FaxDevShutdown() is Hresult.S_OK


@pytest.mark.parametrize(("abort_takes", "result"), [(0.5, Hresult.S_OK), (3600.0, Hresult.E_FAIL)])
async def test_shutdown_ends_running_jobs(
    make_running_desk: MakeRunningDesk,
    scripted: Any,
    autojump_clock: MockClock,
    abort_takes: float,
    result: Hresult,
) -> None:
    desk = await make_running_desk()
    call = desk.network.comes(scripted(1000.0, abort_takes=abort_takes))
    job = await desk.job()

    async def operate() -> None:
        with pytest.raises(OperationAborted):
            await desk.receive(job)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(operate)
        await wait_all_tasks_blocked()
        started = trio.current_time()
        assert await desk.provider.FaxDevShutdown() is result
        assert trio.current_time() - started <= 2.0
    assert call.hung_up
    assert desk.status(job).status_id == FaxStatus.FS_USER_ABORT
    await desk.end(job)
    assert desk.arena.close().jobs == ()


async def test_an_operation_that_begins_after_shutdown_is_aborted(make_running_desk: MakeRunningDesk) -> None:
    desk = await make_running_desk()
    job = await desk.job()
    await desk.stop()
    with pytest.raises(OperationAborted):
        await desk.send(job)
    await desk.end(job)


async def test_no_task_is_left_after_shutdown(make_desk: MakeDesk, scripted: Any) -> None:
    before = trio.lowlevel.current_statistics().tasks_living
    async with trio.open_nursery() as nursery:
        desk = make_desk()
        desk.arena = Arena(nursery, remove_file=lambda path: None)
        await desk.start()
        for _ in range(3):
            desk.network.comes(scripted())
        await desk.stop()
        await wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().tasks_living == before
