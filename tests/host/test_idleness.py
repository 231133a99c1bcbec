"""A service that ends by itself when it has nothing to do: the decision alone, and the whole server in virtual time."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from tests.host.conftest import GUIDS, Ear
from tests.host.scripted import Script
from tests.virtual import hold_for_threads
from vfax.errors import StoreError
from vfax.fsp.provider import RegistrationRecord
from vfax.host.api.calls import ApiOptions
from vfax.host.api.listening import ListenOptions
from vfax.host.door import JobCommand
from vfax.host.doorway import DoorOptions
from vfax.host.events import FaxEnded, IdleLongEnough, ServiceStopped
from vfax.host.idleness import LOOK, Idleness, Scene
from vfax.host.notify import Client
from vfax.host.recipients import DialPlan
from vfax.host.server import ClientOptions, FaxServer, ServerOptions
from vfax.host.service import HostOptions
from vfax.host.store.store import Store
from vfax.host.store.values import Recipient, Submission

LIMIT = 300.0
QUIET, BUSY = Scene(busy=False, happened=(1,)), Scene(busy=True, happened=(1,))

# --- the decision ---------------------------------------------------------------------------------------


def looks(*scenes: tuple[float, Scene]) -> list[float]:
    """The times of the looks that said: idle for long enough."""
    idle = Idleness(10.0, 0.0)
    return [now for now, scene in scenes if idle.look(scene, now)]


def test_it_is_idle_when_nothing_was_seen_for_as_long_as_the_limit() -> None:
    assert looks((1.0, QUIET), (10.9, QUIET), (11.0, QUIET), (12.0, QUIET)) == [11.0, 12.0]


def test_whatever_keeps_it_busy_starts_the_time_again() -> None:
    assert looks((0.0, QUIET), (9.0, BUSY), (18.9, QUIET), (19.0, QUIET)) == [19.0]
    assert looks((0.0, BUSY), (50.0, BUSY), (60.0, BUSY)) == []


def test_what_came_and_went_between_two_looks_starts_it_again_too() -> None:
    later = Scene(busy=False, happened=(2,))
    assert looks((0.0, QUIET), (9.0, later), (18.9, later), (19.0, later)) == [19.0]


def test_it_looks_often_and_not_after_the_limit() -> None:
    idle = Idleness(10.0, 0.0)
    assert idle.pause(0.0) == LOOK
    assert idle.pause(9.75) == 0.25
    assert idle.pause(11.0) == 0.0
    idle.restart(11.0)
    assert (idle.pause(11.0), idle.due(20.9), idle.due(21.0)) == (LOOK, False, True)


# --- the server -----------------------------------------------------------------------------------------

Idling = Callable[..., AbstractAsyncContextManager[FaxServer]]


@pytest.fixture
def idling(jumping_clock: MockClock, tmp_path: Path, ear: Ear) -> Idling:
    """`async with idling(script) as server`: one that ends after LIMIT; the block is left when it has."""

    @asynccontextmanager
    async def serve(
        script: Script, *, idle_stop: float = LIMIT, store: type[Store] = Store
    ) -> AsyncIterator[FaxServer]:
        spool = tmp_path / "spool"
        clients = ClientOptions(listen=ListenOptions(), api=ApiOptions(uploads=spool / "uploads"))
        options = ServerOptions(
            host=HostOptions(spool=spool),
            store_url=f"sqlite:///{spool / 'vfax.db'}",
            door=DoorOptions(dial_plan=DialPlan(region="DE")),
            clients=clients,
            idle_stop=idle_stop,
        )
        record = RegistrationRecord(
            guid=GUIDS[0],
            friendly_name="provider",
            image_name="tests.host.scripted:create",
            configuration={"script": script},
        )
        start = datetime(2026, 1, 1, tzinfo=UTC)
        server = FaxServer(
            options,
            [record],
            observe=ear,
            open_store=store.open,
            clock=lambda: start + timedelta(seconds=jumping_clock.current_time()),
        )
        async with trio.open_nursery() as beside:
            beside.start_soon(hold_for_threads)
            async with trio.open_nursery() as nursery:
                await nursery.start(lambda task_status=trio.TASK_STATUS_IGNORED: server.run(task_status=task_status))
                yield server
            beside.cancel_scope.cancel()

    return serve


def letter(schedule_at: datetime | None = None) -> Submission:
    """A document for one recipient; the scripted provider does not look into it."""
    to = Recipient(number="sip:ada@192.0.2.1", name="Ada", given="ada")
    return Submission(document="outgoing/letter.tif", pages=1, recipients=(to,), schedule_at=schedule_at)


def ended_after(ear: Ear, since: float) -> float:
    """Virtual seconds from then to the end, which must have come by itself."""
    assert ear.of(IdleLongEnough) == [IdleLongEnough(LIMIT)]
    assert ear.events[-1] == ServiceStopped()
    return trio.current_time() - since


async def test_a_server_without_anything_to_do_ends_by_itself(
    jumping_clock: MockClock, idling: Idling, script: Script, ear: Ear
) -> None:
    async with idling(script):
        since = trio.current_time()
    assert LIMIT <= ended_after(ear, since) <= LIMIT + 3 * LOOK
    assert script.calls[-1] == "FaxDevShutdown"


async def test_by_default_it_never_does(jumping_clock: MockClock, idling: Idling, script: Script, ear: Ear) -> None:
    async with idling(script, idle_stop=0.0) as server:
        await trio.sleep(3000.0)
        assert not ear.of(ServiceStopped)
        server.stop()
    assert not ear.of(IdleLongEnough)


async def test_an_open_connection_keeps_it_alive_and_closing_it_lets_it_end(
    jumping_clock: MockClock, idling: Idling, script: Script, ear: Ear
) -> None:
    async with idling(script) as server:
        connection = server.hub.connect(Client(process="ada"))
        registration = server.hub.initialize_event_queue(connection, sink=lambda *message: None, message_start=0x500)
        assert registration is not None
        await trio.sleep(2000.0)
        assert not ear.of(IdleLongEnough)
        server.hub.close(connection)
        since = trio.current_time()
    assert LIMIT <= ended_after(ear, since) <= LIMIT + 3 * LOOK
    assert registration.delivered > 0, "closing the handle does not end notifications"


async def test_a_connection_that_came_and_went_starts_the_time_again(
    jumping_clock: MockClock, idling: Idling, script: Script, ear: Ear
) -> None:
    async with idling(script) as server:
        await trio.sleep(LIMIT - 0.5)
        server.hub.close(server.hub.connect(Client(process="ada")))
        since = trio.current_time()
    assert LIMIT <= ended_after(ear, since) <= LIMIT + 3 * LOOK


@pytest.mark.parametrize("direction", ["receives", "sends"])
async def test_a_fax_on_the_line_keeps_it_alive(
    jumping_clock: MockClock, idling: Idling, script: Script, ear: Ear, tmp_path: Path, direction: str
) -> None:
    script.waits = True
    async with idling(script) as server:
        if direction == "receives":
            script.ring()
        else:
            await server.queue.submit(letter())
        await script.running.wait()
        await trio.sleep(2000.0)
        assert not ear.of(IdleLongEnough)
        (job,) = server.service.running
        await server.door.abort(int(job, 16))
        await ear.wait_for(FaxEnded)
        since = trio.current_time()
    assert LIMIT <= ended_after(ear, since) <= LIMIT + 3 * LOOK


async def test_a_device_that_is_taken_for_a_job_to_come_keeps_it_alive(
    jumping_clock: MockClock, idling: Idling, script: Script, ear: Ear
) -> None:
    async with idling(script) as server:
        server.service.devices[2].job = "receive"  # as from a ring to its job, which takes a file on a slow disk
        await trio.sleep(2000.0)
        assert not ear.of(IdleLongEnough)
        server.service.devices[2].job = None
        since = trio.current_time()
    assert LIMIT <= ended_after(ear, since) <= LIMIT + 3 * LOOK


async def test_a_job_that_waits_for_its_time_keeps_it_alive(
    jumping_clock: MockClock, idling: Idling, script: Script, ear: Ear, tmp_path: Path
) -> None:
    tomorrow = datetime(2026, 1, 2, tzinfo=UTC)
    async with idling(script) as server:
        (job,) = await server.queue.submit(letter(tomorrow))
        await trio.sleep(1000.0)
        assert not ear.of(IdleLongEnough)
        await server.door.change(job.id, JobCommand.PAUSE)
        await trio.sleep(1000.0)
        assert not ear.of(IdleLongEnough), "a paused job is still queued"
        await server.door.change(job.id, JobCommand.CANCEL)
        since = trio.current_time()
    assert LIMIT <= ended_after(ear, since) <= LIMIT + 3 * LOOK


async def test_a_request_that_is_being_answered_keeps_it_alive(
    jumping_clock: MockClock, idling: Idling, script: Script, ear: Ear
) -> None:
    async with idling(script) as server:
        api = server._parts.api if server._parts is not None else None
        assert api is not None
        api.in_hand += 1
        await trio.sleep(2000.0)
        assert not ear.of(IdleLongEnough)
        api.in_hand -= 1
        since = trio.current_time()
    assert LIMIT <= ended_after(ear, since) <= LIMIT + 3 * LOOK


async def test_what_comes_while_the_store_is_asked_keeps_it_alive(
    jumping_clock: MockClock, idling: Idling, script: Script, ear: Ear
) -> None:
    came: list[float] = []

    class Asked(Store):
        def anything_to_do(self) -> bool:
            if not came:
                came.append(trio.from_thread.run_sync(connect))
            return super().anything_to_do()

    def connect() -> float:
        server.hub.close(server.hub.connect(Client(process="ada")))
        return trio.current_time()

    async with idling(script, store=Asked) as server:
        pass
    assert LIMIT <= ended_after(ear, came[0]) <= LIMIT + 3 * LOOK


async def test_a_store_that_cannot_be_asked_keeps_it_alive(
    jumping_clock: MockClock, idling: Idling, script: Script, ear: Ear
) -> None:
    class Away(Store):
        asked = 0

        def anything_to_do(self) -> bool:
            Away.asked += 1
            if Away.asked < 4:
                raise StoreError("the database is away")
            return super().anything_to_do()

    async with idling(script, store=Away):
        since = trio.current_time()
    assert 4 * LIMIT <= ended_after(ear, since) <= 4 * LIMIT + 12 * LOOK
