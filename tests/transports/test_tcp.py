"""The stream beside a media socket: who may connect, how long it may take, how it ends."""

import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from vfax.errors import LinkError, MisuseError
from vfax.transports.tcp import BACKLOG, GOODBYE, MediaSocket

HOST = "127.0.0.1"


@pytest.fixture
def autojump() -> MockClock:
    return MockClock(autojump_threshold=0)


@asynccontextmanager
async def opened() -> AsyncIterator[MediaSocket]:
    one = MediaSocket.bind(HOST, 0)
    try:
        yield one
    finally:
        one.close()


class Heard:
    """What a stream brought, and when there is enough of it."""

    def __init__(self) -> None:
        self.octets = b""
        self.more = trio.Event()

    def take(self, octets: bytes) -> None:
        self.octets += octets
        self.more.set()
        self.more = trio.Event()

    async def until(self, octets: bytes) -> None:
        with trio.fail_after(5.0):
            while self.octets != octets:
                await self.more.wait()


async def joined(waiting: MediaSocket, calling: MediaSocket, nursery: trio.Nursery) -> tuple[Heard, Heard]:
    """Both ends of a stream, running; what each has heard."""
    heard = Heard(), Heard()
    waiting.expect_stream(calling.address, connect=False, within=5.0)
    calling.expect_stream(waiting.address, connect=True, within=5.0)
    nursery.start_soon(waiting.run_stream, heard[0].take)
    nursery.start_soon(calling.run_stream, heard[1].take)
    return heard


async def test_octets_go_both_ways_also_those_from_before_the_connection() -> None:
    async with opened() as one, opened() as other, trio.open_nursery() as nursery:
        heard = await joined(one, other, nursery)
        other.send(b"early", one.address)
        one.send(b"too", other.address)
        await heard[0].until(b"early")
        await heard[1].until(b"too")
        one.end_stream()
        other.end_stream()


async def test_last_words_leave_before_the_connection_closes() -> None:
    async with AsyncExitStack() as guard, opened() as one:
        one.expect_stream((HOST, 9), connect=False, within=5.0)
        peer = await guard.enter_async_context(await trio.open_tcp_stream(HOST, one.address[1]))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.run_stream, lambda octets: None)
            await peer.send_all(b"x")
            await trio.sleep(0.05)
            one.send(bytes(100_000), (HOST, 9))
            one.end_stream()
            heard = 0
            with trio.fail_after(5.0):
                while octets := await peer.receive_some():
                    heard += len(octets)
        assert heard == 100_000


async def test_nobody_connects_within_the_limit(autojump: MockClock) -> None:
    async with opened() as one:
        one.expect_stream((HOST, 9), connect=False, within=10.0)
        with pytest.raises(LinkError, match=r"no connection for T\.38 within 10 s"):
            await one.run_stream(lambda octets: None)


async def test_nobody_listens_within_the_limit(autojump: MockClock) -> None:
    with socket.socket() as closed:
        closed.bind((HOST, 0))
        async with opened() as one:
            one.expect_stream(closed.getsockname(), connect=True, within=3.0)
            with pytest.raises(LinkError, match="within 3 s"):
                await one.run_stream(lambda octets: None)
            assert trio.current_time() == pytest.approx(3.0, abs=0.5)


async def test_connection_is_tried_again_until_the_peer_listens() -> None:
    async with opened() as one, opened() as other, trio.open_nursery() as nursery:
        heard = Heard()
        other.expect_stream(one.address, connect=True, within=5.0)
        nursery.start_soon(other.run_stream, heard.take)
        await trio.sleep(0.05)
        one.expect_stream(other.address, connect=False, within=5.0)
        nursery.start_soon(one.run_stream, lambda octets: None)
        one.send(b"hello", other.address)
        await heard.until(b"hello")
        one.end_stream()
        other.end_stream()


async def test_only_the_host_that_is_awaited_is_let_in() -> None:
    async with AsyncExitStack() as guard, opened() as one, trio.open_nursery() as nursery:
        one.expect_stream(("127.0.0.2", 9), connect=False, within=5.0)
        heard = Heard()
        nursery.start_soon(one.run_stream, heard.take)
        stranger = await guard.enter_async_context(await trio.open_tcp_stream(HOST, one.address[1]))
        with trio.fail_after(5.0):
            assert await stranger.receive_some() == b""
        friend = await guard.enter_async_context(
            await trio.open_tcp_stream(HOST, one.address[1], local_address="127.0.0.2")
        )
        await friend.send_all(b"here")
        await heard.until(b"here")
        one.end_stream()


async def test_anyone_is_let_in_on_request() -> None:
    async with AsyncExitStack() as guard, opened() as one, trio.open_nursery() as nursery:
        one.expect_stream(("192.0.2.1", 9), connect=False, within=5.0, anyone=True)
        heard = Heard()
        nursery.start_soon(one.run_stream, heard.take)
        peer = await guard.enter_async_context(await trio.open_tcp_stream(HOST, one.address[1]))
        await peer.send_all(b"here")
        await heard.until(b"here")
        one.end_stream()


async def test_peer_that_closes_ends_the_stream_with_a_word() -> None:
    async with AsyncExitStack() as guard, opened() as one:
        one.expect_stream((HOST, 9), connect=False, within=5.0)
        peer = await guard.enter_async_context(await trio.open_tcp_stream(HOST, one.address[1]))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.aclose)
            with pytest.raises(LinkError, match="closed the connection"):
                await one.run_stream(lambda octets: None)


async def test_peer_that_does_not_read_ends_the_stream_at_a_bounded_backlog(autojump: MockClock) -> None:
    async with AsyncExitStack() as guard, opened() as one:
        one.expect_stream((HOST, 9), connect=False, within=5.0)
        await guard.enter_async_context(await trio.open_tcp_stream(HOST, one.address[1]))

        async def say_much() -> None:
            await trio.sleep(0.1)
            while not one.dropped:
                one.send(bytes(10_000), (HOST, 9))
                await trio.sleep(0.01)

        with pytest.RaisesGroup(pytest.RaisesExc(LinkError, match=r"does not read .* octets wait")):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(say_much)
                await one.run_stream(lambda octets: None)
        assert one._stream is not None
        assert len(one._stream._backlog) <= BACKLOG


async def test_peer_that_does_not_read_the_last_words_costs_a_bounded_time(autojump: MockClock) -> None:
    async with AsyncExitStack() as guard, opened() as one:
        one.expect_stream((HOST, 9), connect=False, within=5.0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.run_stream, lambda octets: None)
            peer = await trio.open_tcp_stream(HOST, one.address[1])
            await guard.enter_async_context(peer)
            assert one._stream is not None
            backlog = one._stream._backlog
            while len(backlog) < BACKLOG // 2:  # until the system takes no more
                one.send(bytes(10_000), (HOST, 9))
                await trio.sleep(0.01)
            ended_at = trio.current_time()
            one.end_stream()
        assert ended_at + GOODBYE <= trio.current_time() <= ended_at + GOODBYE + 0.01


async def test_nobody_may_come_after_the_one_who_was_awaited() -> None:
    async with AsyncExitStack() as guard, opened() as one, trio.open_nursery() as nursery:
        one.expect_stream((HOST, 9), connect=False, within=5.0)
        heard = Heard()
        nursery.start_soon(one.run_stream, heard.take)
        friend = await guard.enter_async_context(await trio.open_tcp_stream(HOST, one.address[1]))
        await friend.send_all(b"here")
        await heard.until(b"here")
        with pytest.raises(OSError, match="connect"):
            await trio.open_tcp_stream(HOST, one.address[1])
        one.end_stream()


async def test_call_that_ends_before_the_connection_waits_for_nothing() -> None:
    with trio.fail_after(5.0):
        async with opened() as one, trio.open_nursery() as nursery:
            one.expect_stream((HOST, 9), connect=False, within=600.0)
            nursery.start_soon(one.run_stream, lambda octets: None)
            await trio.lowlevel.checkpoint()
            one.end_stream()


async def test_port_that_is_taken_says_so() -> None:
    async with opened() as one:
        with socket.socket() as blocker:
            blocker.bind(one.address)
            blocker.listen()
            with pytest.raises(LinkError, match=r"cannot listen for T\.38 over TCP on 127\.0\.0\.1"):
                one.listen()


async def test_stream_is_run_only_when_expected() -> None:
    async with opened() as one:
        with pytest.raises(MisuseError):
            await one.run_stream(lambda octets: None)
        one.end_stream()


async def test_without_a_stream_datagrams_go_over_udp() -> None:
    async with opened() as one, opened() as other:
        one.send(b"datagram", other.address)
        with trio.fail_after(5.0):
            assert await other.receive() == [(b"datagram", one.address)]


async def test_nothing_of_a_stream_is_left_open() -> None:
    async with opened() as one:
        one.listen()
        port = one.address[1]
    with pytest.raises(OSError, match="connect"):
        await trio.open_tcp_stream(HOST, port)
