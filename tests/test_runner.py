"""The reader of a call: what datagrams that come all at once cost the others on the loop."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from vfax.capture import Capture, CaptureOptions
from vfax.codecs.dis import Agreement, Coding, Resolution
from vfax.journal import Journal, read_journal
from vfax.leg import Dial, Leg, LegOptions, LegOrder
from vfax.pages import PageFolder
from vfax.record import CallRecord, RecordOptions, Terms
from vfax.runner import Runner, page_threads, tiff_of
from vfax.signals import Modem
from vfax.t30.values import LineDown, PageKept, PageReceived
from vfax.transports.parameters import T38Parameters
from vfax.transports.sip.negotiation import MediaSession
from vfax.transports.sip.values import Address
from vfax.transports.tcp import MediaSocket
from vfax.transports.udp import BATCH, TURN

MODE = Agreement(
    modem=Modem.V17_14400,
    coding=Coding.MMR,
    ecm=True,
    frame_octets=256,
    resolution=Resolution.FINE,
    width_px=1728,
    min_scan_ms=0,
)
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


def running(leg: Leg, socket: MediaSocket, journal: Journal | None = None, folder: PageFolder | None = None) -> Runner:
    journal = journal or Journal(None, clock=trio.current_time, call="call")
    record = CallRecord(journal, Terms(options=LegOptions(), called=False), RecordOptions())
    capture = Capture(None, CaptureOptions(), clock=trio.current_time, wall=trio.current_time)
    return Runner(
        leg,
        socket,
        journal,
        record=record,
        capture=capture,
        obey=lambda order: None,
        publish=lambda event: None,
        folder=folder,
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


def page_of(number: int) -> PageReceived:
    """A page of two rows."""
    return PageReceived(number, MODE, 1728, 2, (bytes(216), bytes(215) + b"\1"), 0, 0, complete=True)


async def test_a_page_is_kept_though_others_use_up_the_threads_of_the_process(
    still_clock: MockClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    socket, folder = MediaSocket.bind(HOST, 0), PageFolder(tmp_path / "fax.tif")
    runner, said = running(DearLeg(still_clock, socket.address[1]), socket, folder=folder), list[object]()
    monkeypatch.setattr(runner, "_command", said.append)
    threads = trio.to_thread.current_default_thread_limiter()
    try:
        others = [object() for _ in range(int(threads.total_tokens))]
        for other in others:
            threads.acquire_on_behalf_of_nowait(other)
        still_clock.rate = 1.0
        with trio.move_on_after(5.0):
            await runner._keep_page(page_of(1))
        assert said == [PageKept(1)]
        assert [page.number for page in folder.pages()] == [1]
    finally:
        socket.close()


async def test_pages_of_several_calls_are_coded_one_after_the_other_in_the_order_they_came(
    still_clock: MockClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    socket, said, coded = MediaSocket.bind(HOST, 0), list[object](), list[int]()
    turn, before = page_threads().receive, object()

    def noted(page: PageReceived) -> bytes:
        coded.append(page.number)
        return tiff_of(page)

    monkeypatch.setattr("vfax.runner.tiff_of", noted)
    await turn.acquire_on_behalf_of(before)
    still_clock.rate = 1.0
    try:
        with trio.fail_after(60.0):
            async with trio.open_nursery() as nursery:
                for number in (1, 2, 3):
                    folder = PageFolder(tmp_path / f"{number}.tif")
                    runner = running(DearLeg(still_clock, socket.address[1]), socket, folder=folder)
                    monkeypatch.setattr(runner, "_command", said.append)
                    nursery.start_soon(runner._keep_page, page_of(number))
                    while turn.statistics().tasks_waiting < number:
                        await trio.lowlevel.checkpoint()
                turn.release_on_behalf_of(before)
        assert coded == [1, 2, 3]
        assert sorted(said, key=repr) == [PageKept(1), PageKept(2), PageKept(3)]
    finally:
        socket.close()


async def test_a_page_that_is_being_coded_when_its_call_is_cancelled_is_kept(
    still_clock: MockClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    socket, folder = MediaSocket.bind(HOST, 0), PageFolder(tmp_path / "fax.tif")
    runner, said = running(DearLeg(still_clock, socket.address[1]), socket, folder=folder), list[object]()
    monkeypatch.setattr(runner, "_command", said.append)

    def cancelling(page: PageReceived) -> bytes:
        trio.from_thread.run_sync(scope.cancel)
        return tiff_of(page)

    monkeypatch.setattr("vfax.runner.tiff_of", cancelling)
    still_clock.rate = 1.0
    try:
        with trio.CancelScope() as scope:
            await runner._keep_page(page_of(1))
        assert scope.cancel_called
        assert said == [PageKept(1)]
        assert [page.number for page in folder.pages()] == [1]
    finally:
        socket.close()
