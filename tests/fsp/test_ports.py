"""Waiting for packets from trio."""

import threading

import pytest
import trio
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

from vfax.fsp.completion import CompletionPort, Packet, StatusKey
from vfax.fsp.constants import FaxStatus
from vfax.fsp.errors import PortClosed
from vfax.fsp.structures import FaxDevStatus
from vfax.ports import get_packet

KEY = StatusKey()


def page(number: int) -> FaxDevStatus:
    return FaxDevStatus(FaxStatus.FS_RECEIVING, page_count=number)


async def test_packets_that_wait_are_given_at_once() -> None:
    port = CompletionPort()
    port.post(KEY, page(1))
    port.post(KEY, page(2))
    with assert_checkpoints():  # a busy port must not starve the other tasks
        first = await get_packet(port)
    assert [first.message, (await get_packet(port)).message] == [page(1), page(2)]


async def test_a_post_from_the_loop_wakes_the_task() -> None:
    port = CompletionPort()
    got: list[Packet] = []

    async def read() -> None:
        got.append(await get_packet(port))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        port.post(KEY, page(1))
    assert got == [Packet(KEY, page(1))]


async def test_posts_from_threads_arrive_in_order_under_load() -> None:
    port = CompletionPort(100_000)
    keys = [StatusKey(str(index)) for index in range(3)]

    def post(key: StatusKey) -> None:
        for number in range(400):
            port.post(key, page(number))

    taken: list[Packet] = []
    async with trio.open_nursery() as nursery:
        for key in keys:
            nursery.start_soon(trio.to_thread.run_sync, post, key)
        while len(taken) < 400 * len(keys):
            taken.append(await get_packet(port))
    for key in keys:
        assert [packet.message for packet in taken if packet.key is key] == [page(number) for number in range(400)]


async def test_cancelled_readers_lose_no_packet() -> None:
    port = CompletionPort()
    taken: list[Packet] = []

    async def read(scope: trio.CancelScope) -> None:
        with scope:
            taken.append(await get_packet(port))

    for number in range(50):
        scope = trio.CancelScope()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read, scope)
            await wait_all_tasks_blocked()
            if number % 2:  # the cancellation and the packet come in the same step, in either order
                scope.cancel()
                port.post(KEY, page(number))
            else:
                port.post(KEY, page(number))
                scope.cancel()
    while (packet := port.get_nowait()) is not None:
        taken.append(packet)
    assert [packet.message for packet in taken] == [page(number) for number in range(50)]


async def test_a_reader_without_packets_can_be_cancelled(autojump_clock: MockClock) -> None:
    with trio.move_on_after(3) as scope:
        await get_packet(CompletionPort())
    assert scope.cancelled_caught


async def test_several_readers_share_without_loss() -> None:
    port = CompletionPort()
    taken: list[Packet] = []

    async def read() -> None:
        for _ in range(20):
            taken.append(await get_packet(port))

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(read)
        for number in range(100):
            port.post(KEY, page(number))
            if number % 7 == 0:
                await trio.lowlevel.checkpoint()
    assert sorted(packet.message.page_count for packet in taken if isinstance(packet.message, FaxDevStatus)) == list(
        range(100)
    )


async def test_closing_ends_the_wait() -> None:
    port = CompletionPort()
    async with trio.open_nursery() as nursery:

        async def read() -> None:
            with pytest.raises(PortClosed):
                await get_packet(port)

        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        port.close()


def test_a_late_post_after_the_run_harms_nobody() -> None:
    port = CompletionPort()
    late = threading.Event()
    finished: list[bool] = []

    async def wait_a_little() -> None:
        with trio.move_on_after(0):
            await get_packet(port)

    def post_late() -> None:
        late.wait(10)
        port.post(KEY, page(1))
        finished.append(True)

    poster = threading.Thread(target=post_late)
    poster.start()
    trio.run(wait_a_little)
    late.set()
    poster.join(10)
    assert finished == [True]
