"""What a provider in a process of its own says of its jobs and keeps in its service: what arrives, and when."""

import os
import signal
import threading
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import trio
import trio.testing

from tests.host.apart import DATA
from tests.host.conftest import Ear
from tests.host.test_process import Opening, apart
from vfax.fsp.constants import FaxStatus, ProviderStatus
from vfax.fsp.encoding import decode
from vfax.fsp.errors import InvalidHandle
from vfax.fsp.provider import Exports
from vfax.fsp.structures import FaxDevStatus
from vfax.host.events import ProviderBack, ProviderFaulted, ProviderLost
from vfax.host.guard import CallTimeouts, Guard
from vfax.host.process_child import Child, Writer
from vfax.host.process_child_job import ChildJob
from vfax.host.process_wire import Message, Unframer

pytestmark = pytest.mark.realtime

__all__ = ["apart"]  # the fixture
CONFIGURED = "tests.host.apart:create_configured"


# --- stored configuration --------------------------------------------------------------------------------


async def test_data_are_kept_in_the_service_and_changes_are_told_to_a_child_that_came_back_once(
    apart: Opening, ear: Ear
) -> None:
    async with apart(image=CONFIGURED) as one:
        other = one.service.extensions.extension(Guard("other", ear, timeout=5.0))
        assert other.get_data(0, 0, DATA) == b"+"
        assert one.calls()[:4] == [
            "FaxDevVirtualDeviceCreation",
            "FaxExtInitializeConfig",
            "found b''",
            "FaxDevInitialize",
        ]

        async def store(data: bytes) -> None:
            await trio.to_thread.run_sync(other.set_data, None, 0, 0, DATA, data)

        await store(b"new")
        await one.until(lambda: "told=b'new'" in one.calls())
        os.kill(one.pid, signal.SIGKILL)
        await ear.wait_for(ProviderBack)
        assert "found b'new'" in one.calls()
        await store(b"newer")
        await one.until(lambda: "told=b'newer'" in one.calls())
        await store(b"newest")
        await one.until(lambda: "told=b'newest'" in one.calls())
        assert one.calls().count("told=b'newer'") == 1
        assert not any(call == "told=b'+'" for call in one.calls()), "what it has set itself is not told"
    assert not ear.of(ProviderFaulted)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("raise", "Crash: FaxExtInitializeConfig is broken"),
        ("quit", "SystemExit"),
        ("kill", "was killed by SIGKILL"),
        ("hang", "no answer within 1 seconds"),
    ],
)
async def test_a_configuration_that_fails_there_is_an_error_state_with_its_reason(
    apart: Opening, ear: Ear, fault: str, words: str
) -> None:
    limits = CallTimeouts(load_timeout=60.0, config_timeout=1.0)
    async with apart(image=CONFIGURED, fault=f"FaxExtInitializeConfig {fault}", timeouts=limits) as one:
        (provider,) = one.service.providers
        assert provider.status is ProviderStatus.fpsCANT_INIT
        assert words in str(provider.failure)
        assert "FaxDevInitialize" not in one.calls()
    assert not ear.of(ProviderLost)


async def test_a_child_that_does_not_take_a_change_costs_its_registration_and_no_more(apart: Opening, ear: Ear) -> None:
    limits = CallTimeouts(load_timeout=60.0, config_timeout=3.0)
    async with apart(image=CONFIGURED, timeouts=limits) as one:
        other = one.service.extensions.extension(Guard("other", ear, timeout=5.0))
        one.fault("told=b'new'", "raise")
        await trio.to_thread.run_sync(other.set_data, None, 0, 0, DATA, b"new")
        (fault,) = await ear.wait_for(ProviderFaulted)
        assert (fault.call, fault.why) == ("FaxExtConfigChange", "Crash: told=b'new' is broken")
        one.ring()
        assert (await ear.ended()).record.ok
    assert not ear.of(ProviderLost)


# --- news never overtake packets -------------------------------------------------------------------------


@dataclass
class Telling:
    """A child's writer that does not write yet, over a provider whose status is `status`."""

    writer: Writer
    child: Child
    reading: int
    status: FaxDevStatus = field(default_factory=lambda: FaxDevStatus(FaxStatus.FS_INITIALIZING))

    def say(self, status: FaxStatus, key: object) -> None:
        self.status = FaxDevStatus(status)
        self.writer.port.post(key, self.status)  # type: ignore[arg-type]

    def written(self, count: int) -> list[Message]:
        if not self.writer.is_alive():
            self.writer.start()
        self.writer._bell.set()  # what was posted before it ran woke nobody
        unframer, found = Unframer(), list[Message]()
        while len(found) < count:
            found += unframer.feed(os.read(self.reading, 65_536))
        return found


@pytest.fixture
def telling() -> Telling:
    reading, writing = os.pipe()
    writer = Writer(writing)
    child = writer.child = Child(cast("Any", None), writer)
    one = Telling(writer, child, reading)

    class Said:
        VfaxDevReportFacts = None

        @staticmethod
        def FaxDevReportStatus(handle: object) -> FaxDevStatus:
            return one.status

    child._exports = cast("Exports", Said)
    return one  # the pipe stays open: a writer without a reader ends its process, which is the one of the tests here


def status_in(message: Any) -> int:
    return decode(FaxDevStatus, message).status_id


def test_an_answer_about_a_job_is_as_new_as_the_packets_before_it(telling: Telling) -> None:
    job = ChildJob(1, handle="job")
    telling.child._jobs[1] = job
    telling.writer.numbers[job.key] = 1
    telling.child.take({"do": "report", "id": 7, "job": 1})  # asked before the status changes, written after
    telling.say(FaxStatus.FS_TRANSMITTING, job.key)
    packet, answer = telling.written(2)
    assert status_in(packet["status"]) == status_in(packet["reports"]) == FaxStatus.FS_TRANSMITTING
    assert status_in(cast("Message", answer["value"])["status"]) == FaxStatus.FS_TRANSMITTING


def test_a_packet_brings_what_the_provider_itself_reports(telling: Telling) -> None:
    job = ChildJob(1, handle="job")
    telling.child._jobs[1] = job
    telling.writer.numbers[job.key] = 1
    telling.say(FaxStatus.FS_DIALING, job.key)
    telling.status = FaxDevStatus(FaxStatus.FS_BUSY, error_code=31)  # ahead of what it has posted
    (packet,) = telling.written(1)
    assert (status_in(packet["status"]), status_in(packet["reports"])) == (FaxStatus.FS_DIALING, FaxStatus.FS_BUSY)


def test_a_report_that_raises_anything_does_not_end_the_writer(telling: Telling) -> None:
    def quit_now(handle: object) -> FaxDevStatus:
        raise SystemExit("enough")

    job = ChildJob(1, handle="job")
    telling.child._jobs[1] = job
    telling.writer.numbers[job.key] = 1
    assert telling.child._exports is not None
    telling.child._exports.FaxDevReportStatus = staticmethod(quit_now)  # type: ignore[misc]
    telling.say(FaxStatus.FS_DIALING, job.key)
    telling.child.take({"do": "report", "id": 7, "job": 1})
    packet, answer = telling.written(2)
    assert packet["reports"] is None
    assert "SystemExit: enough" in str(answer["error"])
    assert threading.main_thread().is_alive()


async def test_a_job_is_ended_when_nobody_asks_about_it_any_more_and_nobody_asks_afterwards(telling: Telling) -> None:
    asked, answer, calls = threading.Event(), threading.Event(), list[str]()

    def slow(handle: object) -> FaxDevStatus:
        asked.set()
        assert answer.wait(10.0)
        calls.append("FaxDevReportStatus")
        return telling.status

    async def end(handle: object) -> None:
        calls.append("FaxDevEndJob")

    job = ChildJob(1, handle="job")
    telling.child._jobs[1] = job
    exports = telling.child._exports
    assert exports is not None
    exports.FaxDevReportStatus, exports.FaxDevEndJob = staticmethod(slow), end  # type: ignore[misc]
    telling.child.take({"do": "report", "id": 7, "job": 1})
    telling.writer.start()
    assert await trio.to_thread.run_sync(asked.wait, 10.0)
    order: Message = {"job": 1}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(telling.child._end, order)
        await trio.testing.wait_all_tasks_blocked()
        assert calls == []
        answer.set()
    assert calls == ["FaxDevReportStatus", "FaxDevEndJob"]
    (answered,) = await trio.to_thread.run_sync(telling.written, 1)
    assert answered["answer"] == 7
    with pytest.raises(InvalidHandle, match="the job has ended"):
        job.news(exports)
    assert job.news_if_any(exports) == {"reports": None, "facts": None}
    assert len(calls) == 2
