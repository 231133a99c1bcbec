"""Providers that break one rule each: what the conformance checks must see.

Owns      BROKEN: from the name of a rule to a `Toy` that breaks it.
Not here  the toy that keeps them all (toy.py), those that break a rule of stored configuration (broken_config.py) or
          of our own exports (broken_own.py).
"""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from tests.fsp.toy import Call, Job, S, Toy
from vfax.fsp.completion import CompletionPort, StatusKey
from vfax.fsp.constants import FaxStatus
from vfax.fsp.errors import OperationFailed, PortError
from vfax.fsp.provider import FaxSendCallback
from vfax.fsp.structures import CallFacts, FaxDevStatus, FaxReceive, FaxSend, LineMessage, VirtualDevices

BROKEN: dict[str, type[Toy]] = {}
TOO_LONG = 0.8


def breaks(rule: str) -> Callable[[type[Toy]], type[Toy]]:
    def note(provider: type[Toy]) -> type[Toy]:
        assert rule not in BROKEN, rule
        BROKEN[rule] = provider
        return provider

    return note


def forge(status: FaxDevStatus, **members: object) -> FaxDevStatus:
    """A status as its structure would never let it be made."""
    forged = replace(status)
    for name, value in members.items():
        object.__setattr__(forged, name, value)
    return forged


# --- the start -------------------------------------------------------------------------------------


@breaks("exports-can-be-linked")
class NoEndJob(Toy):
    FaxDevEndJob = None  # type: ignore[assignment]


@breaks("line-callback-is-supplied")
class NoLineCallback(Toy):
    def FaxDevInitialize(self, *arguments: Any) -> Any:
        super().FaxDevInitialize(*arguments)
        return None


@breaks("devices-may-come-first")
class DevicesNeedInitialize(Toy):
    def FaxDevVirtualDeviceCreation(self, *arguments: Any) -> VirtualDevices:
        if not self.up:
            raise OperationFailed("FaxDevInitialize first")
        return super().FaxDevVirtualDeviceCreation(*arguments)


@breaks("devices-may-come-last")
class InitializeNeedsDevices(Toy):
    def FaxDevInitialize(self, *arguments: Any) -> Any:
        if self.ring_port is None:
            raise OperationFailed("FaxDevVirtualDeviceCreation first")
        return super().FaxDevInitialize(*arguments)


@breaks("devices-are-well-formed")
class NoDevices(Toy):
    def FaxDevVirtualDeviceCreation(self, *arguments: Any) -> VirtualDevices:
        devices = super().FaxDevVirtualDeviceCreation(*arguments)
        object.__setattr__(devices, "device_count", 0)
        return devices


@breaks("nothing-rings-before-initialize")
class RingsEarly(Toy):
    def comes(self, call: Call) -> None:
        up, self.up = self.up, True
        super().comes(call)
        self.up = up


@breaks("incoming-call-rings")
class RingsTwice(Toy):
    def comes(self, call: Call) -> None:
        super().comes(call)
        assert self.ring_port is not None
        self.ring_port.post(self.ring_key, LineMessage(1))


@breaks("switched-off-devices-do-not-ring")
class RingsSwitchedOff(Toy):
    def line_event(self, *arguments: Any) -> None:
        return


@breaks("being-told-again-changes-nothing")
class TogglesWhenTold(Toy):
    def line_event(self, handle: Any, device: int, *arguments: Any) -> None:
        line = self.table[device]
        line.receive = not line.receive


@breaks("line-callback-takes-any-message")
class KnowsOneMessage(Toy):
    def line_event(self, handle: Any, device: int, *arguments: Any) -> None:
        self.table[device].receive = True
        if handle is not None:
            raise KeyError(handle)


@breaks("wrong-ring-port-is-refused")
class TakesAnyPort(Toy):
    def FaxDevVirtualDeviceCreation(self, port: Any, key: Any, /) -> VirtualDevices:
        return VirtualDevices(self.lines, "toy ", 1)


# --- jobs ------------------------------------------------------------------------------------------


@breaks("startjob-gives-a-handle")
class ZeroHandle(Toy):
    def FaxDevStartJob(self, *arguments: Any) -> Any:
        super().FaxDevStartJob(*arguments)
        return 0


@breaks("unknown-device-is-refused")
class AnyDevice(Toy):
    def FaxDevStartJob(self, line: Any, device_id: int, port: CompletionPort, key: StatusKey, /) -> object:
        return super().FaxDevStartJob(line, 1, port, key)


@breaks("wrong-arguments-are-refused")
class Traceback(Toy):
    def FaxDevStartJob(self, line: Any, device_id: Any, port: CompletionPort, key: StatusKey, /) -> object:
        return super().FaxDevStartJob(line, device_id + 0, port, key)  # TypeError for text


@breaks("unknown-handles-are-refused")
class HandleTraceback(Toy):
    def job(self, handle: object) -> Job:
        return self.jobs[self.jobs.index(handle)]  # type: ignore[arg-type]  # ValueError


@breaks("status-can-be-asked-from-startjob-on")
class FinalFromTheStart(Toy):
    def FaxDevStartJob(self, *arguments: Any) -> object:
        job = super().FaxDevStartJob(*arguments)
        assert isinstance(job, Job)
        job.status = FaxDevStatus(S.FS_COMPLETED)
        return job


@breaks("status-is-answered-at-once-while-an-operation-runs")
class SlowReport(Toy):
    def FaxDevReportStatus(self, handle: object, /) -> FaxDevStatus:
        job = self.job(handle)
        if job.running:
            job.aborted.wait(TOO_LONG)
        return job.status


@breaks("running-operation-has-no-error-code")
class EarlyErrorCode(Toy):
    def code(self, status: FaxStatus) -> int:
        return 31 if status is not S.FS_COMPLETED else 0


@breaks("every-member-of-a-status-is-filled-in")
class OwnStatusWithoutText(Toy):
    def FaxDevReportStatus(self, handle: object, /) -> FaxDevStatus:
        return forge(super().FaxDevReportStatus(handle), status_id=0x1234)


@breaks("abort-returns-at-once")
class AbortWaits(Toy):
    def FaxDevAbortOperation(self, handle: object, /) -> None:
        super().FaxDevAbortOperation(handle)
        time.sleep(TOO_LONG)


@breaks("abort-ends-a-running-operation")
class DeafToAborts(Toy):
    def hang(self, job: Job) -> None:
        time.sleep(TOO_LONG)
        super().hang(job)


@breaks("abort-before-send-is-latched")
class ForgetsAbortOfSend(Toy):
    def transmit(self, job: Job, *arguments: Any) -> None:
        job.aborted.clear()
        super().transmit(job, *arguments)


@breaks("abort-before-receive-is-latched")
class ForgetsAbortOfReceive(Toy):
    def take_in(self, job: Job, slot: FaxReceive) -> FaxReceive:
        job.aborted.clear()
        return super().take_in(job, slot)


@breaks("abort-after-the-end-changes-nothing")
class LateAbort(Toy):
    def FaxDevAbortOperation(self, handle: object, /) -> None:
        super().FaxDevAbortOperation(handle)
        self.job(handle).status = FaxDevStatus(S.FS_USER_ABORT)


@breaks("device-is-free-after-an-aborted-job")
class KeepsTheLine(Toy):
    def release(self, job: Job) -> None:
        if not job.aborted.is_set():
            super().release(job)


@breaks("handle-is-dead-after-endjob")
class ImmortalHandle(Toy):
    def job(self, handle: object) -> Job:
        return handle if isinstance(handle, Job) and handle.ended else super().job(handle)


@breaks("nothing-is-posted-after-endjob")
class PostsLate(Toy):
    def FaxDevEndJob(self, handle: object, /) -> None:
        job = self.job(handle)
        super().FaxDevEndJob(handle)
        threading.Timer(0.05, self.say, (job, S.FS_USER_ABORT)).start()


@breaks("statuses-come-under-the-jobs-key")
class AnotherKey(Toy):
    def post(self, job: Job, status: FaxDevStatus) -> None:
        job.port.post(StatusKey("mine"), status)


@breaks("final-status-is-the-last-one")
class AnythingAfterTheEnd(Toy):
    def transmit(self, *arguments: Any) -> None:
        super().transmit(*arguments)
        arguments[0].port.post(arguments[0].key, FaxDevStatus(S.FS_TRANSMITTING, page_count=1))


@breaks("status-outlives-the-operation")
class ForgetsItsStatus(Toy):
    def FaxDevReportStatus(self, handle: object, /) -> FaxDevStatus:
        job = self.job(handle)
        status = job.status
        if job.over:
            job.status = FaxDevStatus(S.FS_INITIALIZING)
        return status


@breaks("busy-line-does-not-fail-startjob")
class BusyLineFailsStartJob(Toy):
    def FaxDevStartJob(self, line: Any, device_id: int, *arguments: Any) -> object:
        if device_id in self.table and self.table[device_id].owner is not None:
            raise OperationFailed("The line is in use.")
        return super().FaxDevStartJob(line, device_id, *arguments)


@breaks("devices-work-at-the-same-time")
class OneAtATime(Toy):
    def seize(self, job: Job) -> bool:
        others = any(line.owner for line in self.table.values() if line is not job.line)
        return not others and super().seize(job)


@breaks("closed-port-costs-no-fax")
class NeedsItsPort(Toy):
    def post(self, job: Job, status: FaxDevStatus) -> None:
        try:
            job.port.post(job.key, status)
        except PortError as why:
            raise OperationFailed("Nobody listens.") from why


@breaks("facts-are-of-the-jobs-device")
class FactsOfAnotherDevice(Toy):
    def VfaxDevReportFacts(self, handle: object, /) -> CallFacts:
        return CallFacts(device_id=self.job(handle).line.device_id + 1)


# --- sending ---------------------------------------------------------------------------------------


@breaks("sent-fax-is-true-and-completed")
class TrueWithoutCompleted(Toy):
    def FaxDevSend(self, handle: object, *arguments: Any) -> None:
        super().FaxDevSend(handle, *arguments)
        self.say(self.job(handle), S.FS_TRANSMITTING, 1)


@breaks("pages-sent-are-posted")
class SilentPages(Toy):
    def post(self, job: Job, status: FaxDevStatus) -> None:
        if status.page_count < 2:
            super().post(job, status)


@breaks("failed-fax-is-false-with-its-status")
class BusyIsTrue(Toy):
    def FaxDevSend(self, handle: object, document: FaxSend, callback: FaxSendCallback | None, /) -> None:
        try:
            super().FaxDevSend(handle, document, callback)
        except OperationFailed:
            if document.receiver_number != "busy":
                raise


@breaks("failed-fax-sets-a-last-error")
class PlainException(Toy):
    def fail(self, job: Job, status: FaxStatus, error: Exception | None = None) -> NoReturn:
        super().fail(job, status, RuntimeError("it failed"))


@breaks("send-callback-says-no")
class IgnoresTheHost(Toy):
    def transmit(self, job: Job, document: FaxSend, callback: FaxSendCallback | None) -> None:
        if callback is not None:
            callback(job, None, 0, 0)
        super().transmit(job, document, None)


@breaks("send-callback-says-yes")
class TakesYesForNo(Toy):
    def transmit(self, job: Job, document: FaxSend, callback: FaxSendCallback | None) -> None:
        super().transmit(job, document, None if callback is None else lambda *arguments: not callback(*arguments))


@breaks("switched-off-devices-do-not-send")
class SendsSwitchedOff(Toy):
    def transmit(self, job: Job, *arguments: Any) -> None:
        job.line.send = True
        super().transmit(job, *arguments)


@breaks("missing-document-is-false")
class DocumentTraceback(Toy):
    def transmit(self, job: Job, document: FaxSend, *arguments: Any) -> None:
        Path(document.file_name).read_bytes()  # FileNotFoundError
        super().transmit(job, document, *arguments)


# --- receiving -------------------------------------------------------------------------------------


@breaks("received-fax-is-true-and-completed")
class ReceivingAfterTheEnd(Toy):
    def FaxDevReceive(self, handle: object, *arguments: Any) -> FaxReceive:
        filled = super().FaxDevReceive(handle, *arguments)
        self.job(handle).status = FaxDevStatus(S.FS_RECEIVING, page_count=1)
        return filled


@breaks("no-call-handle-is-no-error")
class NeedsACallHandle(Toy):
    def FaxDevReceive(self, handle: object, call: object | None, slot: FaxReceive, /) -> FaxReceive:
        if call is None:
            raise OperationFailed("CallHandle: there must be one")
        return super().FaxDevReceive(handle, call, slot)


@breaks("pages-are-in-the-file")
class LosesAPage(Toy):
    def take_pages(self, job: Job, call: Call, file: Path) -> None:
        super().take_pages(job, replace(call, pages=1), file)


@breaks("missing-file-is-not-created")
class CreatesTheFile(Toy):
    def take_in(self, job: Job, slot: FaxReceive) -> FaxReceive:
        Path(slot.file_name).touch()
        return super().take_in(job, slot)


@breaks("pages-received-are-posted")
class SaysNothingOfPages(Toy):
    def say(self, job: Job, status: FaxStatus, page: int = 0) -> None:
        super().say(job, status, min(page, 1))


@breaks("receiving-device-is-named")
class Nameless(Toy):
    def FaxDevReceive(self, *arguments: Any) -> FaxReceive:
        return replace(super().FaxDevReceive(*arguments), receiver_number="")


@breaks("caller-who-gives-up-is-a-failure")
class GivenUpIsFine(Toy):
    def take_in(self, job: Job, slot: FaxReceive) -> FaxReceive:
        if job.line.ringing is not None:
            job.line.ringing.given_up = False
        return super().take_in(job, slot)


@breaks("receive-without-a-ring-comes-to-an-end")
class WaitsForARing(Toy):
    def take_in(self, job: Job, slot: FaxReceive) -> FaxReceive:
        limit = time.monotonic() + TOO_LONG
        while job.line.ringing is None and time.monotonic() < limit:
            time.sleep(0.01)
        return super().take_in(job, slot)


@breaks("broken-reception-is-a-failure-of-its-own")
class BlamesTheUser(Toy):
    def fail(self, job: Job, status: FaxStatus, error: Exception | None = None) -> NoReturn:
        super().fail(job, S.FS_USER_ABORT if status is S.FS_DISCONNECTED else status, error)


@breaks("broken-reception-keeps-its-pages")
class ThrowsPagesAway(Toy):
    def take_pages(self, job: Job, call: Call, file: Path) -> None:
        try:
            super().take_pages(job, call, file)
        except OperationFailed:
            file.write_bytes(b"")
            raise


@breaks("abort-in-mid-reception-ends-it")
class ReceivesOn(Toy):
    def FaxDevAbortOperation(self, handle: object, /) -> None:
        if self.job(handle).status.status_id != S.FS_RECEIVING:
            super().FaxDevAbortOperation(handle)


@breaks("aborted-reception-leaves-nothing-behind")
class KeepsAborted(Toy):
    def take_pages(self, job: Job, call: Call, file: Path) -> None:
        (file.parent / "spare.tif").write_bytes(b"part of a page")
        super().take_pages(job, call, file)


@breaks("status-can-be-asked-while-pages-come-in")
class OneQuestionAtATime(Toy):
    def FaxDevReportStatus(self, handle: object, /) -> FaxDevStatus:
        if not self.job(handle).running:
            return super().FaxDevReportStatus(handle)
        if not self.lock.acquire(blocking=False):
            raise RuntimeError("somebody else is asking")
        try:
            time.sleep(0.05)
            return super().FaxDevReportStatus(handle)
        finally:
            self.lock.release()


# --- the end ---------------------------------------------------------------------------------------


@breaks("shutdown-answers-with-an-hresult")
class ShutdownSaysNothing(Toy):
    def FaxDevShutdown(self) -> Any:
        super().FaxDevShutdown()
        return None


@breaks("shutdown-ends-what-runs")
class LeavesRunning(Toy):
    def FaxDevShutdown(self) -> Any:
        self.up = False
        return 0


@breaks("nothing-begins-after-shutdown")
class StartsAfterShutdown(Toy):
    def FaxDevShutdown(self) -> Any:
        result = super().FaxDevShutdown()
        self.up = True
        return result


@breaks("nothing-rings-after-shutdown")
class RingsAfterShutdown(Toy):
    over = False

    def FaxDevShutdown(self) -> Any:
        self.over = True
        return super().FaxDevShutdown()

    def comes(self, call: Call) -> None:
        self.up = self.up or self.over
        super().comes(call)


@breaks("nothing-is-left-in-the-arena")
class Hoards(Toy):
    def FaxDevEndJob(self, handle: object, /) -> None:
        super().FaxDevEndJob(handle)
        assert self.arena is not None
        self.arena.adopt_job(handle)
