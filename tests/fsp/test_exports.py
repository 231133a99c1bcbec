"""The blocking exports: threads come and go, and nobody waits for what cannot come."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.fsp.memory import Exchange, MemoryNetwork
from vfax.call import InboundCall
from vfax.device import exports
from vfax.device.exports import BlockingProvider
from vfax.errors import LinkError, SettingsError
from vfax.fsp.completion import CompletionPort, RingKey, StatusKey
from vfax.fsp.conformance.paper import write_document
from vfax.fsp.constants import FaxStatus, Hresult, Win32
from vfax.fsp.errors import (
    InitializationFailed,
    InvalidHandle,
    InvalidParameter,
    NotReady,
    OperationAborted,
    OperationFailed,
    WouldDeadlock,
)
from vfax.fsp.provider import OPTIONAL, REQUIRED, Arena, BlockingExports, probe_exports
from vfax.fsp.structures import FaxReceive, FaxSend

ROOT = Path(__file__).parents[2]
PATIENCE = 10.0
HANGING = "sip:hanging@192.0.2.1"
ANSWERING = "sip:answering@192.0.2.1"


class House:
    """A blocking provider over a network in memory, as a host of threads has it."""

    def __init__(self, folder: Path, network: MemoryNetwork | None = None, **options: Any) -> None:
        self.network = network or MemoryNetwork()
        self.provider = BlockingProvider({"network": self.network, **options})
        self.exchange = Exchange(self.provider, {"network": self.network})
        self.arena = Arena(None, remove_file=lambda path: None)
        self.rings = CompletionPort()
        self.statuses = CompletionPort()
        self.document = folder / "document.tif"
        write_document(self.document, 1)
        self.threads: list[threading.Thread] = []
        self.ended: list[BaseException | None] = []

    def start(self) -> "House":
        self.provider.FaxDevVirtualDeviceCreation(self.rings, RingKey())
        self.provider.FaxDevInitialize(None, self.arena, None)
        return self

    def job(self, device: int = 1) -> object:
        return self.provider.FaxDevStartJob(None, device, self.statuses, StatusKey())

    def send(self, handle: object, number: str, callback: Any = None) -> None:
        self.provider.FaxDevSend(handle, FaxSend(str(self.document), number), callback)

    def in_a_thread(self, work: Callable[[], object]) -> threading.Thread:
        """How it ends is noted in `ended`."""

        def run() -> None:
            try:
                work()
            except Exception as why:
                self.ended.append(why)
            else:
                self.ended.append(None)

        thread = threading.Thread(target=run, daemon=True)
        self.threads.append(thread)
        thread.start()
        return thread

    def sending(self, callback: Any = None) -> tuple[object, threading.Thread]:
        """A job whose Send blocks a thread, dialled."""
        handle = self.job()
        thread = self.in_a_thread(lambda: self.send(handle, HANGING, callback))
        self.until(lambda: self.status(handle) == FaxStatus.FS_DIALING or callback is not None)
        return handle, thread

    def status(self, handle: object) -> int:
        return self.provider.FaxDevReportStatus(handle).status_id

    @staticmethod
    def until(holds: Callable[[], bool]) -> None:
        limit = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < limit, "it never came true"
            time.sleep(0.002)

    def close(self) -> None:
        self.provider.FaxDevShutdown()
        for thread in self.threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()


@pytest.fixture
def make_house(tmp_path: Path) -> Iterator[Callable[..., House]]:
    made: list[House] = []

    def make(network: MemoryNetwork | None = None, **options: Any) -> House:
        made.append(House(tmp_path, network, **options))
        return made[-1]

    yield make
    for house in made:
        house.close()


@pytest.fixture
def house(make_house: Callable[..., House]) -> House:
    return make_house().start()


def own_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "vfax provider"]


def test_the_module_has_the_documented_names_and_is_blocking() -> None:
    found = probe_exports(exports)
    assert isinstance(found, BlockingExports)
    assert found.virtual
    unpublished = {"FaxDevConfigure", "FaxExtInitializeConfig"}
    assert {name for name in (*REQUIRED, *OPTIONAL) if hasattr(exports, name)} == {*REQUIRED, *OPTIONAL} - unpublished
    with pytest.raises(NotReady, match="configure"):
        exports.FaxDevStartJob(None, 1, CompletionPort(), StatusKey())


def test_the_functions_of_the_module_receive_a_fax(tmp_path: Path) -> None:
    network, rings, statuses, key = MemoryNetwork(), CompletionPort(), CompletionPort(), StatusKey()
    exports.configure({"network": network, "lines": 1})
    try:
        exports.FaxDevVirtualDeviceCreation(rings, RingKey())
        exports.FaxDevInitialize(None, Arena(None, remove_file=lambda path: None), None)
        Exchange(exports, {"network": network}).ring(2)
        packet = rings.get(PATIENCE)
        assert packet is not None
        handle = exports.FaxDevStartJob(None, packet.message.h_device, statuses, key)  # type: ignore[union-attr]
        (tmp_path / "fax.tif").touch()
        exports.FaxDevReceive(handle, None, FaxReceive(str(tmp_path / "fax.tif")))
        assert exports.FaxDevReportStatus(handle).status_id == FaxStatus.FS_COMPLETED
        assert exports.VfaxDevReportFacts(handle).pages_confirmed == 2
        exports.FaxDevEndJob(handle)
    finally:
        assert exports.FaxDevShutdown() is Hresult.S_OK


def test_an_abort_from_another_thread_ends_a_blocked_send(house: House) -> None:
    handle, thread = house.sending()
    house.provider.FaxDevAbortOperation(handle)
    thread.join(PATIENCE)
    assert [type(why) for why in house.ended] == [OperationAborted]
    assert house.status(handle) == FaxStatus.FS_USER_ABORT
    house.provider.FaxDevEndJob(handle)
    assert house.arena.live_jobs == 0


def test_a_host_that_takes_its_time_in_the_send_callback_holds_up_nobody_and_no_abort(house: House) -> None:
    reached, let_go, names = threading.Event(), threading.Event(), []

    def ponder(*arguments: object) -> bool:
        names.append(threading.current_thread().name)
        reached.set()
        return let_go.wait(PATIENCE)

    handle, thread = house.sending(ponder)
    assert reached.wait(PATIENCE)
    other = house.job(2)
    house.send(other, ANSWERING)  # the provider's own thread is free
    house.provider.FaxDevAbortOperation(handle)
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert "vfax provider" not in names
    assert [type(why) for why in house.ended] == [OperationAborted]
    let_go.set()


def test_nothing_but_configure_works_before_it_and_nothing_new_before_initialize(tmp_path: Path) -> None:
    bare = BlockingProvider()
    with pytest.raises(NotReady, match="configure"):
        bare.FaxDevVirtualDeviceCreation(CompletionPort(), RingKey())
    with pytest.raises(NotReady, match="configure"):
        bare.FaxDevInitialize(None, Arena(None, remove_file=lambda path: None), None)
    with pytest.raises(SettingsError):
        bare.configure({"lines": 1})
    configured = House(tmp_path)
    with pytest.raises(NotReady, match="FaxDevInitialize"):
        configured.job()
    with pytest.raises(InvalidHandle):
        configured.provider.FaxDevReportStatus(object())
    assert bare.FaxDevShutdown() is configured.provider.FaxDevShutdown() is Hresult.S_OK
    assert own_threads() == []


def test_after_shutdown_everything_new_is_not_ready(house: House) -> None:
    assert house.provider.FaxDevShutdown() is Hresult.S_OK
    assert own_threads() == []
    unknown = object()
    calls: list[Callable[[], object]] = [
        house.job,
        lambda: house.send(unknown, ANSWERING),
        lambda: house.provider.FaxDevReceive(unknown, None, FaxReceive("fax.tif")),
        lambda: house.provider.FaxDevReportStatus(unknown),
        lambda: house.provider.VfaxDevReportFacts(unknown),
        lambda: house.provider.FaxDevAbortOperation(unknown),
        lambda: house.provider.FaxDevEndJob(unknown),
        lambda: house.provider.FaxDevVirtualDeviceCreation(CompletionPort(), RingKey()),
        lambda: house.provider.FaxDevInitialize(None, house.arena, None),
    ]
    for call in calls:
        with pytest.raises(NotReady, match="shut down") as caught:
            call()
        assert caught.value.winerror == Win32.ERROR_NOT_READY
    assert house.provider.FaxDevShutdown() is Hresult.S_OK


def test_a_job_that_the_shutdown_ended_can_still_be_reported_and_ended(house: House) -> None:
    handle, thread = house.sending()
    assert house.provider.FaxDevShutdown() is Hresult.S_OK
    thread.join(PATIENCE)
    assert [type(why) for why in house.ended] == [OperationAborted]
    assert house.status(handle) == FaxStatus.FS_USER_ABORT
    house.provider.FaxDevAbortOperation(handle)
    house.provider.FaxDevEndJob(handle)
    assert house.arena.live_jobs == 0
    with pytest.raises(NotReady):
        house.provider.FaxDevEndJob(handle)


def test_shutdown_from_many_threads_is_one_shutdown(house: House) -> None:
    house.sending()
    shutting = [house.in_a_thread(house.provider.FaxDevShutdown) for _ in range(8)]
    for thread in shutting:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert own_threads() == []


def test_waiting_in_the_providers_own_thread_is_an_error_and_no_deadlock(house: House) -> None:
    """A completion port wakes its reader in the poster's thread, which here is the provider's."""
    waiting: list[type[BaseException] | None] = []
    handle = house.job()

    def call_inside() -> None:
        if waiting:
            return
        calls: tuple[Callable[[], object], ...] = (
            house.job,
            lambda: house.send(handle, ANSWERING),
            lambda: house.provider.FaxDevEndJob(handle),
            house.provider.FaxDevShutdown,
            lambda: house.provider.configure({}),
        )
        for call in calls:
            try:
                call()
            except Exception as why:
                waiting.append(type(why))
            else:
                waiting.append(None)
        house.provider.FaxDevReportStatus(handle)  # what never waits may be called there too

    with house.statuses.waking(call_inside):
        house.send(handle, ANSWERING)
    assert waiting == [WouldDeadlock] * 5
    assert house.status(handle) == FaxStatus.FS_COMPLETED


def test_a_provider_can_be_configured_anew_when_it_has_been_shut_down(house: House) -> None:
    with pytest.raises(InvalidParameter, match="running"):
        house.provider.configure({"network": house.network})
    with pytest.raises(InitializationFailed, match="before"):
        house.provider.FaxDevInitialize(None, house.arena, None)
    house.provider.FaxDevShutdown()
    for _ in range(2):
        house.provider.configure({"network": house.network})
        house.start()
        house.send(house.job(), ANSWERING)
        assert house.provider.FaxDevShutdown() is Hresult.S_OK


def test_two_providers_live_in_one_process(make_house: Callable[..., House]) -> None:
    houses = [make_house(device_id_prefix=prefix).start() for prefix in (10, 20)]
    assert len(own_threads()) == 2
    for house, device in zip(houses, (10, 20), strict=True):
        house.exchange.ring(1)
        packet = house.rings.get(PATIENCE)
        assert packet is not None
        assert packet.message.h_device == device  # type: ignore[union-attr]
    houses[0].close()
    houses[1].send(houses[1].job(21), ANSWERING)


class Unbindable(MemoryNetwork):
    async def run(self, on_call: Any, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        raise LinkError("127.0.0.1:5060 is taken")


class Breaking(MemoryNetwork):
    def __init__(self) -> None:
        super().__init__()
        self.broken = trio.Event()

    async def run(
        self,
        on_call: Callable[[InboundCall], None],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: MemoryNetwork.run(self, on_call, task_status=task_status))
            await self.broken.wait()
            nursery.cancel_scope.cancel()
        raise LinkError("the socket is gone")


def test_an_address_that_is_taken_fails_initialize_and_leaves_no_thread(make_house: Callable[..., House]) -> None:
    house = make_house(Unbindable())
    with pytest.raises(InitializationFailed, match="5060 is taken"):
        house.start()
    assert own_threads() == []
    with pytest.raises(NotReady):
        house.job()


def test_a_network_that_breaks_takes_no_jobs_and_lets_running_ones_end(make_house: Callable[..., House]) -> None:
    network = Breaking()
    house = make_house(network).start()
    handle, thread = house.sending()
    assert network.token is not None
    network.token.run_sync_soon(network.broken.set)

    def refused() -> bool:
        try:
            house.provider.FaxDevEndJob(house.job(2))
        except NotReady:
            return True
        return False

    house.until(refused)
    house.provider.FaxDevAbortOperation(handle)
    thread.join(PATIENCE)
    assert [type(why) for why in house.ended] == [OperationAborted]
    house.provider.FaxDevEndJob(handle)
    assert house.provider.FaxDevShutdown() is Hresult.S_OK


@pytest.mark.parametrize("wrong", [None, object(), 7])
def test_an_arena_is_asked_for(tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(InvalidParameter, match="HeapHandle"):
        House(tmp_path).provider.FaxDevInitialize(None, wrong, None)
    assert own_threads() == []


def test_a_callback_that_is_no_function_is_refused(house: House) -> None:
    with pytest.raises(InvalidParameter, match="FaxSendCallback"):
        house.send(house.job(), ANSWERING, "no function")


def test_many_threads_use_one_provider_at_once(make_house: Callable[..., House]) -> None:
    house = make_house(lines=24).start()
    seen: list[int] = []

    def operate(device: int) -> None:
        for _ in range(3):
            handle = house.job(device)
            asking = house.in_a_thread(lambda handle=handle: seen.append(house.status(handle)))  # type: ignore[misc]
            house.send(handle, ANSWERING)
            asking.join(PATIENCE)
            house.provider.FaxDevEndJob(handle)

    threads = [house.in_a_thread(lambda device=device: operate(device)) for device in range(1, 25)]  # type: ignore[misc]
    for thread in threads:
        thread.join(PATIENCE * 3)
    assert [why for why in house.ended if why is not None] == []
    assert len(seen) == 72
    assert house.arena.live_jobs == 0


def test_a_busy_line_is_an_operation_that_fails(house: House) -> None:
    house.sending()
    second = house.job()
    with pytest.raises(OperationFailed, match="in use"):
        house.send(second, ANSWERING)
    assert house.status(second) == FaxStatus.FS_LINE_UNAVAILABLE


LEAVING = """
import sys, threading
sys.path.insert(0, {root!r})
from pathlib import Path
from tests.fsp.memory import MemoryCall, MemoryNetwork
from tests.fsp.test_exports import House

class Call(MemoryCall):
    def abort(self):
        print("hung up", flush=True)
        super().abort()

class Network(MemoryNetwork):
    def outbound(self):
        return Call()

house = House(Path({folder!r}), Network()).start()
house.sending()
print("leaving", flush=True)
"""


def test_a_process_ends_while_its_provider_runs_and_hangs_up_first(tmp_path: Path) -> None:
    program = LEAVING.format(root=str(ROOT), folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split("\n")[:2] == ["leaving", "hung up"]
