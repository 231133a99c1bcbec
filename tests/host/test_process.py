"""Providers in processes of their own: what they do, and what becomes of the host when they die of it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.host.conftest import Ear
from vfax.codecs import tiff
from vfax.fsp.completion import CompletionPort, StatusKey
from vfax.fsp.constants import FaxStatus, JobType, PortFlag, ProviderStatus
from vfax.fsp.errors import InvalidHandle, OperationAborted
from vfax.fsp.provider import RegistrationRecord
from vfax.fsp.structures import FaxSend, SendHints
from vfax.host.events import (
    FaxEnded,
    JobMoved,
    ProviderBack,
    ProviderFaulted,
    ProviderLost,
    ProviderSaid,
    ServiceStopped,
)
from vfax.host.guard import CallTimeouts
from vfax.host.jobs import JobOptions
from vfax.host.process_link import ProcessOptions
from vfax.host.service import FaxService, HostOptions
from vfax.outcome import Cause
from vfax.pages import KeptPage, recover

pytestmark = pytest.mark.realtime

GUID = "{44444444-4444-4444-8444-444444444444}"
LONG = 60.0
QUICK = ProcessOptions(ping_interval=0.1, hang_timeout=3.0, restart_delay=0.05, restart_delay_max=0.1, end_grace=5.0)


class Apart:
    """A service over one provider in a process of its own, and the folder by which that one is told what to do."""

    def __init__(self, service: FaxService, folder: Path) -> None:
        self.service = service
        self.folder = folder

    def ring(self) -> None:
        (self.folder / "ring").touch()

    def fault(self, call: str, fault: str) -> None:
        new = self.folder / "new"
        new.write_text(f"{call} {fault}")
        new.rename(self.folder / "fault")

    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def kept(self) -> list[KeptPage]:
        """The pages of the running fax that are on the disk."""
        return [page for job in self.service.running for page in recover(self.service.spool.job_file(job))]

    @property
    def pid(self) -> int:
        process = self.service.providers[0].process
        assert process is not None
        assert process._link is not None
        return process._link.process.pid

    async def until(self, what: Callable[[], bool]) -> None:
        with trio.fail_after(LONG):
            while not what():  # noqa: ASYNC110  # a file tells nobody
                await trio.sleep(0.01)


Opening = Callable[..., AbstractAsyncContextManager[Apart]]


@pytest.fixture
def apart(tmp_path: Path, ear: Ear) -> Opening:
    """`async with apart(pages=2) as a`: keywords are fields of the script, or options as below."""

    @asynccontextmanager
    async def open_apart(
        *,
        image: str = "tests.host.apart:create",
        options: ProcessOptions = QUICK,
        call_timeout: float = 20.0,
        timeouts: CallTimeouts | None = None,
        fault: str = "",
        own_process: bool = True,
        **script: object,
    ) -> AsyncIterator[Apart]:
        folder = tmp_path / "told"
        folder.mkdir()
        if fault:
            (folder / "fault").write_text(fault)
        record = RegistrationRecord(
            guid=GUID,
            friendly_name="apart",
            image_name=image,
            configuration={"folder": str(folder), **script},
            own_process=own_process,
        )
        host = HostOptions(
            spool=tmp_path / "spool",
            call_timeout=call_timeout,
            timeouts=timeouts or CallTimeouts(load_timeout=LONG),
            process=options,
            jobs=JobOptions(abort_grace=2.0),
        )
        service = FaxService(host, [record], observe=ear)
        with trio.fail_after(LONG):
            async with trio.open_nursery() as nursery:
                await nursery.start(lambda task_status: service.run(task_status=task_status))
                yield Apart(service, folder)
                service.stop()

    return open_apart


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


# --- the contract over the road ------------------------------------------------------------------------


async def test_a_fax_is_received_by_another_process(apart: Opening, ear: Ear) -> None:
    async with apart(pages=3) as one:
        assert one.service.providers[0].status is ProviderStatus.fpsSUCCESS
        assert one.pid != os.getpid()
        one.ring()
        ended = await ear.ended()
    assert ended.document is not None
    assert len(tiff.read_headers(ended.document)) == 3
    assert (ended.record.ok, ended.record.caller, ended.record.remote_id) == (True, "+49 89 1234", "SENDER")
    assert (ended.record.rate_bps, ended.record.ecm, ended.record.sentence) == (14_400, True, "All is well.")
    assert one.calls()[-3:] == ["FaxDevReportStatus", "FaxDevEndJob", "FaxDevShutdown"]
    assert not ear.of(ProviderFaulted)


async def test_packets_arrive_in_the_order_in_which_they_were_posted_and_before_the_end(
    apart: Opening, ear: Ear
) -> None:
    async with apart(pages=2) as one:
        one.ring()
        await ear.ended()
    kinds = [event for event in ear.events if isinstance(event, JobMoved | FaxEnded)]
    assert isinstance(kinds[-1], FaxEnded)
    moved = [(event.status, event.page) for event in kinds if isinstance(event, JobMoved)]
    assert list(dict.fromkeys(moved)) == [
        ("FS_ANSWERED", 0),
        ("FS_RECEIVING", 1),
        ("FS_RECEIVING", 2),
        ("FS_COMPLETED", 0),
    ]


async def test_a_document_is_sent_with_its_hints_by_another_process(apart: Opening, tmp_path: Path) -> None:
    async with apart() as one:
        device = one.service.sender()
        assert device is not None
        job = one.service.begin_send("00000001", device)
        order = FaxSend(str(tmp_path / "a.tif"), "sip:fax@192.0.2.1")
        sent = await one.service.carry_out_send(job, order, SendHints(first_page=3, max_rate_bps=9600, ecm=False))
    assert sent.record.ok
    calls = one.calls()
    assert calls.index("hints 3 9600 False") < calls.index("FaxDevSend")


async def test_a_failure_keeps_its_kind_its_status_and_its_pages(apart: Opening, ear: Ear) -> None:
    async with apart(pages=2, succeeds=False, ends=int(FaxStatus.FS_DISCONNECTED)) as one:
        one.ring()
        ended = await ear.ended()
    assert ended.record.job_type is JobType.JT_FAIL_RECEIVE
    assert (ended.record.cause, ended.record.pages) == (Cause.PEER_HUNG_UP, 2)
    assert ended.record.sentence == "It failed as the script has it."


async def test_an_abort_reaches_the_other_process_at_once(apart: Opening, ear: Ear) -> None:
    async with apart(waits=True) as one:
        one.ring()
        await ear.wait_for(JobMoved)
        (job,) = one.service.running
        before = time.monotonic()
        assert one.service.abort(job)
        assert time.monotonic() - before < 0.1
        ended = await ear.ended()
    assert (ended.record.cause, ended.document) == (Cause.ABORTED, None)
    assert "FaxDevAbortOperation" in one.calls()


async def test_a_call_that_the_host_does_not_want_is_aborted(apart: Opening, tmp_path: Path) -> None:
    async with apart(waits=True) as one:
        exports, port, key = one.service.devices[1].exports, CompletionPort(), StatusKey()
        handle = await exports.FaxDevStartJob(None, 1, port, key)
        asked: list[object] = []

        def refuse(about: object, *more: object) -> bool:
            asked.append(about)
            return False

        with pytest.raises(OperationAborted, match="Aborted as asked"):
            await exports.FaxDevSend(handle, FaxSend(str(tmp_path / "a.tif"), "1"), refuse)
        assert asked == [handle]
        assert exports.FaxDevReportStatus(handle).status_id == FaxStatus.FS_USER_ABORT
        await exports.FaxDevEndJob(handle)
        with pytest.raises(InvalidHandle):
            exports.FaxDevAbortOperation(handle)


async def test_switching_a_device_off_is_told_there(apart: Opening) -> None:
    async with apart() as one:
        one.service.switch(one.service.devices[1], flags=PortFlag.FPF_SEND)
        await one.until(lambda: "line 1 0 1" in one.calls())


async def test_an_exception_of_the_provider_is_its_fault_and_costs_one_job(apart: Opening, ear: Ear) -> None:
    async with apart() as one:
        one.fault("FaxDevReceive", "raise")
        one.ring()
        await ear.ended()
        fault = next(fault for fault in ear.of(ProviderFaulted) if fault.call == "FaxDevReceive")
        assert fault.why == "Crash: FaxDevReceive is broken"
        one.ring()
        assert (await ear.wait_for(FaxEnded, 2))[1].record.ok
    assert not ear.of(ProviderLost)


async def test_a_provider_that_prints_does_not_disturb_the_road(apart: Opening, ear: Ear) -> None:
    async with apart() as one:
        one.fault("FaxDevReceive", "print")
        one.ring()
        assert (await ear.ended()).record.ok


async def test_an_export_that_hangs_costs_one_job(apart: Opening, ear: Ear) -> None:
    async with apart(timeouts=CallTimeouts(load_timeout=LONG, start_job_timeout=0.2)) as one:
        one.fault("FaxDevStartJob", "hang")
        one.ring()
        await ear.ended()
        assert ear.of(ProviderFaulted)[0].why == "no answer within 0.2 seconds"
        one.ring()
        assert (await ear.wait_for(FaxEnded, 2))[1].record.ok
    assert not ear.of(ProviderLost)


# --- dying ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "how"),
    [
        ("kill", "was killed by SIGKILL"),
        ("segfault", "was killed by SIGSEGV"),
        ("exit", "ended with exit status 7"),
        ("block", "did not answer within 3 seconds and was killed"),
        ("rubbish", "wrote what is no message: a message of 1416782179 octets, at most 1048576 may be and was killed"),
        ("huge", "wrote what is no message: a message of 4294967295 octets, at most 1048576 may be and was killed"),
        ("nonsense", "wrote what is no message: LineMessage.callback_instance: is missing and was killed"),
        ("unasked", "wrote what is no message: an answer to what nobody asked and was killed"),
    ],
)
async def test_a_process_that_dies_fails_its_fax_keeps_the_pages_and_comes_back(
    apart: Opening, ear: Ear, fault: str, how: str
) -> None:
    async with apart(pages=2, assemble=False, waits=True) as one:
        first = one.pid
        one.ring()
        await one.until(lambda: len(one.kept()) == 2)
        one.fault("FaxDevAbortOperation", fault)
        device = one.service.devices[1]
        one.service._jobs[one.service.running[0]]._send_abort()
        ended = await ear.ended()
        (lost,) = ear.of(ProviderLost)
        assert lost.sentence == f"the provider's process {how}"
        assert not is_running(first)
        assert (ended.record.status_id, ended.record.cause) == (FaxStatus.FS_FATAL_ERROR, Cause.INTERNAL)
        assert ended.record.sentence == lost.sentence
        assert ended.document is not None
        assert (ended.record.incomplete, len(tiff.read_headers(ended.document))) == (True, 2)
        await ear.wait_for(ProviderBack)
        assert device.free
        assert one.pid != first
        one.ring()
        await one.until(lambda: len(one.service.running) == 1)
    assert ear.events[-1] == ServiceStopped()


async def test_devices_are_out_of_service_while_their_process_is_gone(apart: Opening, ear: Ear) -> None:
    slow = ProcessOptions(restart_delay=LONG)
    async with apart(options=slow) as one:
        device = one.service.devices[1]
        os.kill(one.pid, signal.SIGKILL)
        (lost,) = await ear.wait_for(ProviderLost)
        assert (lost.back_in, lost.provider) == (LONG, "apart")
        provider = one.service.providers[0]
        assert (provider.status, provider.returning) == (ProviderStatus.fpsSERVER_ERROR, True)
        assert str(provider.failure) == "the provider's process was killed by SIGKILL"
        assert not device.free
        assert one.service.sender() is None


async def test_a_process_that_does_not_come_up_again_is_left_alone_after_some_starts(apart: Opening, ear: Ear) -> None:
    options = ProcessOptions(restart_delay=0.01, restart_delay_max=0.02, restarts=3, ping_interval=1.0)
    async with apart(options=options) as one:
        one.fault("FaxDevInitialize", "always exit")
        os.kill(one.pid, signal.SIGKILL)
        lost = await ear.wait_for(ProviderLost, 4)
        assert [event.back_in for event in lost] == [0.01, 0.02, 0.02, None]
        assert lost[-1].sentence == "the provider's process ended with exit status 7"
        assert not one.service.providers[0].returning
    assert ear.events[-1] == ServiceStopped()


async def test_what_was_switched_off_is_off_when_the_process_is_back(apart: Opening, ear: Ear) -> None:
    async with apart() as one:
        one.service.switch(one.service.devices[1], flags=PortFlag.FPF_SEND)
        await one.until(lambda: one.calls().count("line 1 0 1") == 1)
        os.kill(one.pid, signal.SIGKILL)
        await ear.wait_for(ProviderBack)
        await one.until(lambda: one.calls().count("line 1 0 1") == 2)


async def test_a_task_of_the_providers_own_that_fails_ends_its_process(apart: Opening, ear: Ear) -> None:
    async with apart() as one:
        (one.folder / "task").touch()
        (lost,) = await ear.wait_for(ProviderLost)
        assert "met an error in a task of the provider's own (Crash: a task of its own is broken)" in lost.sentence
        await ear.wait_for(ProviderBack)


async def test_a_flood_is_read_at_its_pace_and_the_host_lives(apart: Opening, ear: Ear) -> None:
    options = ProcessOptions(
        ping_interval=0.5, hang_timeout=5.0, restart_delay=0.05, max_messages_per_second=200, end_grace=5.0
    )
    async with apart(options=options) as one:
        one.fault("FaxDevReceive", "flood")
        one.ring()
        ended = await ear.ended()
        assert not ended.record.ok
        (lost,) = ear.of(ProviderLost)
        assert "did not answer within 5 seconds" in lost.sentence
        await ear.wait_for(ProviderBack)


async def test_an_operation_that_ignores_abort_and_cancelling_costs_the_process(apart: Opening, ear: Ear) -> None:
    async with apart() as one:
        one.fault("FaxDevReceive", "stubborn")
        one.ring()
        await one.until(lambda: "FaxDevReceive" in one.calls())
        one.service.abort(one.service.running[0])
        await ear.ended()
        (lost,) = await ear.wait_for(ProviderLost)
        assert "did not end what was cancelled 3 seconds before" in lost.sentence
        await ear.wait_for(ProviderBack)


# --- loading -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "status", "words"),
    [
        ({"image": "tests.host.nowhere:create"}, ProviderStatus.fpsCANT_LOAD, "No module named 'tests.host.nowhere'"),
        ({"image": "builtins:dict"}, ProviderStatus.fpsCANT_LINK, "required export FaxDevInitialize is missing"),
        ({"thing": object()}, ProviderStatus.fpsCANT_LOAD, "cannot be said to another process"),
        ({"fault": "create raise"}, ProviderStatus.fpsCANT_LOAD, "create is broken"),
        ({"fault": "create quit"}, ProviderStatus.fpsCANT_LOAD, "SystemExit"),
        ({"fault": "create kill"}, ProviderStatus.fpsCANT_LOAD, "was killed by SIGKILL"),
        ({"fault": "FaxDevInitialize raise"}, ProviderStatus.fpsCANT_INIT, "FaxDevInitialize is broken"),
        ({"fault": "FaxDevInitialize exit"}, ProviderStatus.fpsCANT_INIT, "ended with exit status 7"),
        ({"fault": "FaxDevVirtualDeviceCreation quit"}, ProviderStatus.fpsCANT_INIT, "SystemExit"),
        ({"count": 20_000}, ProviderStatus.fpsCANT_INIT, "10000 are the limit here"),
    ],
)
async def test_a_provider_that_cannot_be_loaded_there_says_how_far_it_came(
    apart: Opening, ear: Ear, given: dict[str, Any], status: ProviderStatus, words: str
) -> None:
    async with apart(**given) as one:
        (provider,) = one.service.providers
        assert provider.status is status
        assert words in str(provider.failure)
        assert provider.last_error
    assert not ear.of(ProviderLost)


async def test_a_provider_that_takes_too_long_to_load_is_given_up(apart: Opening) -> None:
    async with apart(fault="create block", timeouts=CallTimeouts(load_timeout=2.0)) as one:
        (provider,) = one.service.providers
        assert provider.status is ProviderStatus.fpsCANT_LOAD
        assert "no answer within 2 seconds" in str(provider.failure)


# --- blocking providers --------------------------------------------------------------------------------


@pytest.mark.parametrize("own_process", [True, False], ids=["own process", "this process"])
async def test_a_blocking_provider_is_one_like_any_other(
    apart: Opening, ear: Ear, tmp_path: Path, own_process: bool
) -> None:
    document = tmp_path / "a.tif"
    document.write_bytes(b"a document")
    async with apart(image="tests.host.apart:create_blocking", own_process=own_process) as one:
        assert (await one.service.submit(document, "1234")).ok
        assert (one.folder / "sent.tif").read_bytes() == b"a document"
        (one.folder / "ended").unlink()
        one.ring()
        await one.until(lambda: any(moved.status == "FS_ANSWERED" for moved in ear.of(JobMoved)))
        one.service.abort(one.service.running[0])
        assert (await ear.wait_for(FaxEnded, 2))[1].record.cause is Cause.ABORTED
        assert (one.folder / "ended").exists()


# --- the end -------------------------------------------------------------------------------------------

HOST = """
import sys, trio
from pathlib import Path
from vfax.fsp.provider import RegistrationRecord
from vfax.host.service import FaxService, HostOptions
folder = Path(sys.argv[1])
record = RegistrationRecord(guid="{44444444-4444-4444-8444-444444444444}", friendly_name="apart", own_process=True,
                            image_name="tests.host.apart:create", configuration={"folder": str(folder)})
async def main():
    service = FaxService(HostOptions(spool=folder / "spool"), [record])
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda task_status: service.run(task_status=task_status))
        print(service.providers[0].process._link.process.pid, flush=True)
trio.run(main)
"""


@pytest.fixture
def host(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(place or "." for place in sys.path)}
    command = [sys.executable, "-c", HOST, str(tmp_path)]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("fault", ["", "block"], ids=["well", "blocked"])
def test_no_process_outlives_a_host_that_is_killed(host: "subprocess.Popen[str]", tmp_path: Path, fault: str) -> None:
    assert host.stdout is not None
    child = int(host.stdout.readline())
    assert is_running(child)
    if fault:
        (tmp_path / "fault").write_text(f"FaxDevStartJob {fault}")
        (tmp_path / "ring").touch()
        deadline = time.monotonic() + LONG
        while (tmp_path / "fault").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
    host.kill()
    deadline = time.monotonic() + 10
    while is_running(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_running(child)


async def test_signals_meant_for_the_host_do_not_end_the_process(apart: Opening, ear: Ear) -> None:
    async with apart() as one:
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(one.pid, number)
        one.ring()
        assert (await ear.ended()).record.ok
    assert not ear.of(ProviderLost)


async def test_the_process_is_gone_when_the_service_has_ended(apart: Opening) -> None:
    async with apart() as one:
        pid = one.pid
    assert not is_running(pid)


# --- what the operator should know ---------------------------------------------------------------


@pytest.mark.parametrize("own_process", [True, False])
async def test_the_operator_hears_what_a_provider_has_to_say(apart: Opening, ear: Ear, own_process: bool) -> None:
    async with apart(image="tests.host.apart:create_talking", own_process=own_process):
        first, second = await ear.wait_for(ProviderSaid, 2)
    assert (first.provider, first.sentence) == ("apart", "trunk office: it does not answer\x1b[2J")
    assert second.sentence == "é" * 1_000  # bounded
    assert not ear.of(ProviderFaulted)


async def test_a_process_that_comes_back_has_its_say_again(apart: Opening, ear: Ear) -> None:
    async with apart(image="tests.host.apart:create_talking") as a:
        await ear.wait_for(ProviderSaid, 2)
        os.kill(a.pid, signal.SIGKILL)
        await ear.wait_for(ProviderBack)
        await ear.wait_for(ProviderSaid, 4)


@pytest.mark.parametrize("own_process", [True, False])
async def test_a_provider_that_will_not_be_watched_is_used_all_the_same(
    apart: Opening, ear: Ear, own_process: bool
) -> None:
    options = {"image": "tests.host.apart:create_talking", "own_process": own_process}
    async with apart(**options, fault="VfaxDevWatchNotices raise") as a:
        assert a.service.providers[0].usable
    assert [fault.call for fault in ear.of(ProviderFaulted)] == ([] if own_process else ["VfaxDevWatchNotices"])


async def test_a_provider_with_property_pages_is_loaded_without_them(apart: Opening) -> None:
    """FaxDevConfigure hands over a structure of its own process."""
    async with apart(image="tests.host.apart:create_talking") as a:
        (provider,) = a.service.providers
        assert provider.usable
        assert provider.exports is not None
        assert provider.exports.FaxDevConfigure is None
    assert "FaxDevShutdown" in a.calls()
