"""The reader of a call: what datagrams that come all at once cost the others on the loop."""

from pathlib import Path
from typing import cast

import pytest
import trio
from trio.testing import MockClock

from vfax.capture import Capture, CaptureOptions
from vfax.codecs.dis import Agreement
from vfax.journal import Journal, read_journal
from vfax.leg import Dial, Leg, LegOptions, LegOrder
from vfax.record import CallRecord, RecordOptions, Terms
from vfax.runner import TURN, Runner
from vfax.t30.values import LineDown, PageKept, PageReceived
from vfax.transports.parameters import T38Parameters
from vfax.transports.sip.negotiation import MediaSession
from vfax.transports.sip.values import Address
from vfax.transports.tcp import MediaSocket
from vfax.transports.udp import BATCH

COST = 0.0007
"""Seconds that a datagram takes."""
HOST = "127.0.0.1"


@pytest.fixture
def still_clock() -> MockClock:
    """Time passes where a test says so, and nowhere else."""
    return MockClock()


class DearLeg(Leg):
    """A leg to which every datagram is as dear as one full of page data."""

    def __init__(self, clock: MockClock, port: int) -> None:
        session = MediaSession(host=HOST, port=port, parameters=T38Parameters(), session_id=1)
        super().__init__(LegOptions(), session, now=trio.current_time())
        self.clock = clock
        self.taken: list[bytes] = []

    def receive(self, datagram: bytes, source: Address, now: float) -> None:
        super().receive(datagram, source, now)
        self.taken.append(datagram)
        self.clock.jump(COST)


class BadLeg(Leg):
    """A leg with a fault: no datagram can be taken, and it cannot even be ended."""

    def __init__(self, port: int, heard_from: Address) -> None:
        session = MediaSession(host=HOST, port=port, parameters=T38Parameters(), session_id=1)
        super().__init__(LegOptions(), session, now=trio.current_time())
        self._from = heard_from

    @property
    def heard_from(self) -> Address | None:
        return self._from

    def receive(self, datagram: bytes, source: Address, now: float) -> None:
        raise ValueError(datagram.hex())

    def command(self, order: LegOrder, now: float) -> None:
        if order == LineDown():
            raise ValueError("again")
        super().command(order, now)


def running(leg: Leg, socket: MediaSocket, journal: Journal | None = None) -> Runner:
    journal = journal or Journal(None, clock=trio.current_time, call="call")
    record = CallRecord(journal, Terms(options=LegOptions(), called=False), RecordOptions())
    capture = Capture(None, CaptureOptions(), clock=trio.current_time, wall=trio.current_time)
    return Runner(
        leg, socket, journal, record=record, capture=capture, obey=lambda order: None, publish=lambda event: None
    )


async def test_the_datagram_that_a_leg_fails_at_is_in_the_record(tmp_path: Path) -> None:
    socket, peer = MediaSocket.bind(HOST, 0), MediaSocket.bind(HOST, 0)
    path = tmp_path / "call.jsonl"
    try:
        peer.send(b"bad", socket.address)
        leg = BadLeg(socket.address[1], peer.address)
        journal = Journal(path, clock=trio.current_time, call="call")
        with journal, trio.fail_after(5.0), pytest.raises(ValueError, match="again"):
            await running(leg, socket, journal).run(Dial())
    finally:
        socket.close()
        peer.close()
    kinds = {entry.kind: entry.facts for entry in read_journal(path)}
    assert kinds["packets"]["count"] == 1
    assert "counters" in kinds


async def test_datagrams_that_come_at_once_are_all_taken_and_leave_others_their_turn(still_clock: MockClock) -> None:
    socket, peer = MediaSocket.bind(HOST, 0), MediaSocket.bind(HOST, 0)
    try:
        sent = [bytes((n,)) for n in range(BATCH)]
        for datagram in sent:
            peer.send(datagram, socket.address)
        leg = DearLeg(still_clock, socket.address[1])
        longest = 0.0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(running(leg, socket).run, Dial())
            with trio.fail_after(60.0):
                while len(leg.taken) < BATCH:
                    before = trio.current_time()
                    await trio.lowlevel.checkpoint()
                    longest = max(longest, trio.current_time() - before)
            nursery.cancel_scope.cancel()
        assert leg.taken == sent
        # Tasks of one round run in any order, so two turns of the reader may meet.
        assert COST < longest <= 2 * (TURN + COST)
    finally:
        socket.close()
        peer.close()


async def test_a_page_is_kept_though_others_use_up_the_threads_of_the_process(
    still_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    socket = MediaSocket.bind(HOST, 0)
    runner, said = running(DearLeg(still_clock, socket.address[1]), socket), list[object]()
    page = PageReceived(1, cast(Agreement, None), 1728, 0, (), 0, 0, complete=True)  # nobody looks at it
    monkeypatch.setattr(runner, "_store", lambda page: None)
    monkeypatch.setattr(runner, "_command", said.append)
    threads = trio.to_thread.current_default_thread_limiter()
    try:
        others = [object() for _ in range(int(threads.total_tokens))]
        for other in others:
            threads.acquire_on_behalf_of_nowait(other)
        still_clock.rate = 1.0
        with trio.move_on_after(5.0):
            await runner._keep_page(page)
        assert said == [PageKept(1)]
    finally:
        socket.close()
