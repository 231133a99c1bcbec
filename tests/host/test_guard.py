"""No provider takes the host down: each export raises, wants the process to end, hangs; the next fax goes well."""

import threading
from collections.abc import Mapping
from itertools import product
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from tests.host.conftest import Ear, Hosting
from tests.host.scripted import Script
from vfax.fsp.constants import ProviderStatus
from vfax.fsp.errors import OperationFailed
from vfax.fsp.provider import Arena, FaxLineCallback, FaxServiceCallback
from vfax.host.events import DeviceOutOfService, FaxEnded, ProviderFaulted, ServiceStopped
from vfax.host.guard import CallTimeouts, Guard, ProviderFault
from vfax.host.jobs import JobOptions
from vfax.outcome import Cause

RECEIVING = ["FaxDevStartJob", "FaxDevReceive", "FaxDevReportStatus", "FaxDevEndJob"]
STARTING = {
    "create": ProviderStatus.fpsCANT_LOAD,
    "FaxDevVirtualDeviceCreation": ProviderStatus.fpsCANT_INIT,
    "FaxDevInitialize": ProviderStatus.fpsCANT_INIT,
}
OWN_LIMITS = {
    "FaxDevVirtualDeviceCreation": "create_timeout",
    "FaxDevInitialize": "initialize_timeout",
    "FaxDevStartJob": "start_job_timeout",
    "FaxDevEndJob": "end_job_timeout",
    "FaxDevShutdown": "shutdown_timeout",
}


# --- each export, each way to fail -------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["raise", "quit"])
@pytest.mark.parametrize("call", RECEIVING)
async def test_an_export_that_raises_costs_one_reception(
    hosting: Hosting, script: Script, ear: Ear, call: str, fault: str
) -> None:
    script.fault[call] = fault
    async with hosting(script):
        script.ring()
        await ear.ended()
        assert ear.of(ProviderFaulted)[0].call == call
        assert ("SystemExit" in ear.of(ProviderFaulted)[0].why) is (fault == "quit")
        script.fault.clear()
        script.ring()
        assert (await ear.wait_for(FaxEnded, 2))[1].record.ok


@pytest.mark.parametrize("fault", ["raise", "quit"])
async def test_a_send_that_raises_costs_one_fax(
    hosting: Hosting, script: Script, ear: Ear, tmp_path: Path, fault: str
) -> None:
    script.fault["FaxDevSend"] = fault
    async with hosting(script) as service:
        assert not (await service.submit(tmp_path / "a.tif", "1")).ok
        script.fault.clear()
        assert (await service.submit(tmp_path / "a.tif", "1")).ok


@pytest.mark.parametrize("fault", ["raise", "quit"])
async def test_an_abort_that_raises_ends_the_fax_all_the_same(
    jumping_clock: MockClock, hosting: Hosting, script: Script, ear: Ear, fault: str
) -> None:
    script.waits, script.fault["FaxDevAbortOperation"] = True, fault
    async with hosting(script) as service:
        script.ring()
        await script.running.wait()
        service.abort(service.running[0])
        await ear.ended()
    assert ear.of(ProviderFaulted)[0].call == "FaxDevAbortOperation"


@pytest.mark.parametrize("call", ["FaxDevReceive", "FaxDevSend"])
async def test_an_operation_that_hangs_ends_at_its_limit(
    jumping_clock: MockClock, hosting: Hosting, script: Script, ear: Ear, tmp_path: Path, call: str
) -> None:
    script.fault[call] = "hang"
    async with hosting(script, jobs=JobOptions(operation_timeout=60.0, abort_grace=2.0)) as service:
        if call == "FaxDevSend":
            record = await service.submit(tmp_path / "a.tif", "1")
        else:
            script.ring()
            record = (await ear.ended()).record
        assert record.cause is Cause.LIMIT
        assert 61.9 < trio.current_time() < 70.0
        script.fault.clear()
        assert (await service.submit(tmp_path / "a.tif", "1")).ok


@pytest.mark.parametrize(  # one that hangs while it is made: test_a_provider_whose_making_hangs_is_given_up
    ("call", "fault"), [pair for pair in product(STARTING, ["raise", "quit", "hang"]) if pair != ("create", "hang")]
)
async def test_a_provider_that_fails_while_it_starts_costs_the_others_nothing(
    jumping_clock: MockClock, hosting: Hosting, script: Script, ear: Ear, call: str, fault: str
) -> None:
    broken = Script(first_id=10, fault={call: fault})
    async with hosting(broken, script) as service:
        assert service.providers[0].status is STARTING[call]
        assert service.providers[0].failure is not None
        script.ring()
        assert (await ear.ended()).record.ok


@pytest.mark.parametrize("fault", ["raise", "quit", "hang"])
async def test_a_shutdown_that_fails_is_the_end_all_the_same(
    jumping_clock: MockClock, hosting: Hosting, script: Script, ear: Ear, fault: str
) -> None:
    script.fault["FaxDevShutdown"] = fault
    async with hosting(script):
        pass
    assert ear.of(ProviderFaulted)[0].call == "FaxDevShutdown"
    assert ear.events[-1] == ServiceStopped()


# --- limits ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", OWN_LIMITS)
async def test_each_export_has_a_limit_of_its_own(
    jumping_clock: MockClock, hosting: Hosting, script: Script, ear: Ear, call: str
) -> None:
    script.fault[call] = "hang"
    async with hosting(script, timeouts=CallTimeouts(**{OWN_LIMITS[call]: 7.0})) as service:
        if call in RECEIVING:
            script.ring()
            await ear.ended()
        service.stop()
    fault = next(fault for fault in ear.of(ProviderFaulted) if fault.call == call)
    assert fault.why == "no answer within 7 seconds"
    assert 7.0 <= trio.current_time() < 12.0


_hanging = threading.Event()


def create_hanging(configuration: Mapping[str, object]) -> object:
    _hanging.wait(60)
    return object()


async def test_a_provider_whose_making_hangs_is_given_up(hosting: Hosting, script: Script) -> None:
    try:
        async with hosting(
            script, image="tests.host.test_guard:create_hanging", timeouts=CallTimeouts(load_timeout=0.1)
        ) as service:
            (provider,) = service.providers
            assert provider.status is ProviderStatus.fpsCANT_LOAD
            assert "no answer within 0.1 seconds" in str(provider.failure)
    finally:
        _hanging.set()


# --- tasks of its own --------------------------------------------------------------------------------


def create_with_task(configuration: Mapping[str, object]) -> object:
    from tests.host.scripted import ScriptedProvider

    class WithTask(ScriptedProvider):
        async def FaxDevInitialize(
            self, line: object | None, heap: Arena, callback: FaxServiceCallback | None, /
        ) -> FaxLineCallback:
            heap.nursery.start_soon(self._quit)
            return await super().FaxDevInitialize(line, heap, callback)

        async def _quit(self) -> None:
            await self.script.running.wait()
            raise SystemExit("enough")

    script = configuration["script"]
    assert isinstance(script, Script)
    script.provider = WithTask(script)
    return script.provider


async def test_a_task_that_wants_the_process_to_end_takes_its_provider_out_of_service(
    hosting: Hosting, script: Script, ear: Ear
) -> None:
    script.waits = True
    async with hosting(script, image="tests.host.test_guard:create_with_task") as service:
        script.ring()
        await ear.wait_for(DeviceOutOfService, 2)
        assert service.providers[0].status is ProviderStatus.fpsSERVER_ERROR
        assert "SystemExit: enough" in str(service.providers[0].failure)
    assert ear.events[-1] == ServiceStopped()


# --- the guard alone ---------------------------------------------------------------------------------


def guard(heard: list[object]) -> Guard:
    return Guard("it", heard.append, timeout=1.0)


async def test_the_errors_of_the_contract_pass_and_are_no_fault() -> None:
    heard: list[object] = []

    async def fails() -> None:
        raise OperationFailed("as it should be")

    with pytest.raises(OperationFailed, match="as it should be"):
        await guard(heard).ask(fails)
    assert heard == []


@pytest.mark.parametrize("error", [SystemExit(1), GeneratorExit(), BaseException("x"), StopIteration(), ValueError()])
async def test_everything_else_is_a_fault(error: BaseException) -> None:
    heard: list[object] = []

    def fails() -> None:
        raise error

    with pytest.raises(ProviderFault):
        guard(heard).ask_now(fails)
    assert len(heard) == 1


async def test_being_cancelled_passes_also_when_the_provider_fails_over_it() -> None:
    heard: list[object] = []

    async def fails() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            try:
                await trio.sleep_forever()
            finally:
                raise ValueError("not in this way")

    with trio.move_on_after(0) as scope:
        await guard(heard).operate("FaxDevSend", fails)
    assert scope.cancelled_caught
    assert [fault.why for fault in heard if isinstance(fault, ProviderFaulted)] == ["ValueError: not in this way"]


async def test_ctrl_c_passes() -> None:
    async def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await guard([]).ask(interrupted)
