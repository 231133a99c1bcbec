"""The reader of SIP over UDP: what messages that come all at once cost the calls on the loop."""

import pytest
import trio
from trio.testing import MockClock

from vfax.sockets import Sockets
from vfax.transports.sip.values import Flow
from vfax.transports.udp import BATCH, TURN, UdpSocket

COST = 0.0007
"""Seconds that a message takes."""
HOST = "127.0.0.1"


@pytest.fixture
def still_clock() -> MockClock:
    """Time passes where a test says so, and nowhere else."""
    return MockClock()


async def test_messages_that_come_at_once_are_all_heard_and_leave_calls_their_turn(still_clock: MockClock) -> None:
    socket, peer = UdpSocket.bind(HOST, 0), UdpSocket.bind(HOST, 0)
    heard = list[bytes]()

    def hear(datagram: bytes, flow: Flow) -> None:
        assert (flow.address, flow.local) == (peer.address, socket.address)
        heard.append(datagram)
        still_clock.jump(COST)

    sent = [bytes((n,)) for n in range(BATCH)]
    longest = 0.0
    try:
        for datagram in sent:
            peer.send(datagram, socket.address)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Sockets._read, socket, hear)
            with trio.fail_after(60.0):
                while len(heard) < BATCH:
                    before = trio.current_time()
                    await trio.lowlevel.checkpoint()
                    longest = max(longest, trio.current_time() - before)
            nursery.cancel_scope.cancel()
        assert heard == sent
        # Tasks of one round run in any order, so two turns of the reader may meet.
        assert COST < longest <= 2 * (TURN + COST)
    finally:
        socket.close()
        peer.close()
