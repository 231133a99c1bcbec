"""A small blocking provider that keeps every rule, with the other side of its lines: what the broken ones break.

Owns      `Toy` (devices whose calls are objects), `Wire` (its stimulus). Its pages go through vfax's own page folder.
Not here  what is wrong with its subclasses (broken.py).
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

from vfax.codecs import tiff
from vfax.fsp.completion import CompletionPort, RingKey, StatusKey
from vfax.fsp.constants import DevIdSource, FaxStatus, Hresult, LineMessageId, Win32
from vfax.fsp.errors import (
    FaxServiceError,
    InvalidHandle,
    InvalidParameter,
    LineUnavailable,
    NotReady,
    OperationAborted,
    OperationFailed,
    PortError,
)
from vfax.fsp.extension import ExtensionCallbacks
from vfax.fsp.provider import Arena, FaxLineCallback, FaxSendCallback, FaxServiceCallback, Notice, Rows
from vfax.fsp.structures import CallFacts, FaxDevStatus, FaxReceive, FaxSend, LineMessage, SendHints, VirtualDevices
from vfax.pages import PageFolder

PAGE = tiff.write_page(b"\x0f" * 216 * 20, 1728, 20, x_dpi=204, y_dpi=98)
PAGE_SECONDS = 0.02
NUMBERS = "{5d0c2bd0-6c4e-4f0e-9d6b-5a3c1f7e2b90}"
"""GUID of the data that hold the toy's own number."""
S = FaxStatus


@dataclass(eq=False)
class Call:
    """A caller with so many pages; `breaks_after`: in the page after this one it is gone."""

    pages: int
    breaks_after: int | None = None
    given_up: bool = False


@dataclass(eq=False)
class Line:
    """One device."""

    device_id: int
    ringing: Call | None = None
    owner: "Job | None" = None
    receive: bool = True
    send: bool = True


@dataclass(eq=False)
class Job:
    """One job: the handle is this object."""

    line: Line
    port: CompletionPort
    key: StatusKey
    status: FaxDevStatus = field(default_factory=lambda: FaxDevStatus(S.FS_INITIALIZING))
    aborted: threading.Event = field(default_factory=threading.Event)
    running: bool = False
    over: bool = False
    ended: bool = False


class Toy:
    """The exports of the contract, plain."""

    lines = 2

    def __init__(self, configuration: Mapping[str, object] | None = None) -> None:
        self.up = False
        self.ring_port: CompletionPort | None = None
        self.ring_key = RingKey()
        self.arena: Arena | None = None
        self.jobs: list[Job] = []
        self.table = {number: Line(number) for number in range(1, self.lines + 1)}
        self.lock = threading.RLock()
        self.idle = threading.Condition(self.lock)
        self.number = "+1 555 0199"
        self.config: ExtensionCallbacks | None = None
        self.peers = [("office", "+493012345"), ("office", "")]
        self.notice: Notice = lambda sentence: None

    # --- the start ---------------------------------------------------------------------------------

    def FaxDevVirtualDeviceCreation(self, port: CompletionPort, key: RingKey, /) -> VirtualDevices:
        if not isinstance(port, CompletionPort) or not isinstance(key, RingKey):
            raise InvalidParameter("CompletionPort, CompletionKey: a port and a key for rings are expected")
        self.ring_port, self.ring_key = port, key
        return VirtualDevices(self.lines, "toy ", 1)

    def FaxExtInitializeConfig(self, *callbacks: object) -> Hresult:
        self.config = ExtensionCallbacks(*callbacks)  # type: ignore[arg-type]
        try:
            self.read_number(0, NUMBERS, self.config.get_data(0, DevIdSource.DEV_ID_SRC_FAX, NUMBERS))
        except FaxServiceError:
            self.config.set_data(None, 0, DevIdSource.DEV_ID_SRC_FAX, NUMBERS, self.number.encode())
        self.config.register(None, 0, DevIdSource.DEV_ID_SRC_FAX, NUMBERS, self.read_number)
        return Hresult.S_OK

    def read_number(self, device: int, guid: str, data: bytes, /) -> int:
        self.number = data.decode("ascii", "replace")
        return Hresult.S_OK

    def FaxDevInitialize(
        self, line_app: object | None, heap: Arena, callback: FaxServiceCallback | None, /
    ) -> FaxLineCallback:
        self.arena = heap
        self.up = True
        self.notice("the toy is up")
        return self.line_event

    def line_event(
        self, handle: object | None, device: int, message: int, instance: int, receive: int, send: int, zero: int, /
    ) -> None:
        line = self.table.get(device)
        if handle is None and message == LineMessageId.LINE_DEVSPECIFIC and line is not None:
            line.receive, line.send = receive != 0, send != 0

    def comes(self, call: Call) -> None:
        """A call comes in; without a free line nobody hears of it."""
        with self.lock:
            free = [line for line in self.table.values() if line.receive and not line.owner and not line.ringing]
            if self.up and self.ring_port is not None and free:
                free[0].ringing = call
                self.ring_port.post(self.ring_key, LineMessage(free[0].device_id))

    # --- jobs --------------------------------------------------------------------------------------

    def FaxDevStartJob(self, line: object | None, device_id: int, port: CompletionPort, key: StatusKey, /) -> object:
        if not self.up or self.arena is None:
            raise NotReady("the toy is not up")
        if not isinstance(port, CompletionPort) or not isinstance(key, StatusKey):
            raise InvalidParameter("CompletionPortHandle, CompletionKey: a port and a key for statuses are expected")
        if not isinstance(device_id, int) or device_id not in self.table:
            raise InvalidParameter(f"DeviceId: {device_id!r}")
        job = Job(self.table[device_id], port, key)
        self.jobs.append(job)
        self.arena.adopt_job(job)
        return job

    def FaxDevSend(self, handle: object, document: FaxSend, callback: FaxSendCallback | None, /) -> None:
        job = self.begin(handle)
        try:
            self.transmit(job, document, callback)
        finally:
            self.finish(job)

    def transmit(self, job: Job, document: FaxSend, callback: FaxSendCallback | None) -> None:
        if not isinstance(document, FaxSend):
            self.fail(job, S.FS_FATAL_ERROR, InvalidParameter("FaxSend: a FaxSend is expected"))
        self.stop_if_aborted(job)
        if not job.line.send or not self.seize(job):
            self.fail(job, S.FS_LINE_UNAVAILABLE)
        if not Path(document.file_name).is_file():
            self.fail(job, S.FS_FATAL_ERROR)
        self.say(job, S.FS_INITIALIZING)
        if callback is not None and not callback(job, None, 0, 0):
            self.fail(job, S.FS_USER_ABORT)
        self.say(job, S.FS_DIALING)
        if document.receiver_number == "busy":
            self.fail(job, S.FS_BUSY)
        if document.receiver_number == "hanging":
            self.hang(job)
        for number in range(1, len(tiff.read_headers(Path(document.file_name))) + 1):
            self.say(job, S.FS_TRANSMITTING, number)
        self.say(job, S.FS_COMPLETED)

    def hang(self, job: Job) -> None:
        job.aborted.wait()
        self.stop_if_aborted(job)

    def FaxDevReceive(self, handle: object, call: object | None, slot: FaxReceive, /) -> FaxReceive:
        job = self.begin(handle)
        try:
            return self.take_in(job, slot)
        finally:
            self.finish(job)

    def take_in(self, job: Job, slot: FaxReceive) -> FaxReceive:
        with self.lock:
            call, job.line.ringing = job.line.ringing, None
        self.stop_if_aborted(job)
        if call is None or not self.seize(job):
            self.fail(job, S.FS_LINE_UNAVAILABLE)
        file = Path(slot.file_name)
        if not file.is_file():
            self.fail(job, S.FS_FATAL_ERROR)
        if call.given_up:
            self.fail(job, S.FS_DISCONNECTED)
        self.say(job, S.FS_ANSWERED)
        self.take_pages(job, call, file)
        self.say(job, S.FS_COMPLETED)
        return replace(slot, receiver_number=self.number, receiver_name="toy")

    def take_pages(self, job: Job, call: Call, file: Path) -> None:
        folder = PageFolder(file)
        for number in range(1, call.pages + 1):
            self.say(job, S.FS_RECEIVING, number)
            if job.aborted.wait(PAGE_SECONDS):
                self.discard(folder)
                self.stop_if_aborted(job)
            if call.breaks_after == number - 1:
                folder.assemble(tiff.join_pages)
                self.fail(job, S.FS_DISCONNECTED)
            folder.keep(number, PAGE, complete=True)
        folder.assemble(tiff.join_pages)

    def discard(self, folder: PageFolder) -> None:
        folder.discard()

    def FaxDevReportStatus(self, handle: object, /) -> FaxDevStatus:
        return self.job(handle).status

    def VfaxDevReportFacts(self, handle: object, /) -> CallFacts:
        return CallFacts(device_id=self.job(handle).line.device_id)

    def VfaxDevSendHints(self, handle: object, hints: SendHints, /) -> None:
        self.job(handle)
        if not isinstance(hints, SendHints):
            raise InvalidParameter("Hints: SendHints are expected")

    def VfaxDevReportAddress(self) -> str:
        return "192.0.2.1:5060"

    def VfaxDevReportTrunks(self) -> Rows:
        self.must_be_up()
        return [{"name": "office", "state": "ready"}]

    def VfaxDevReportPeers(self) -> Rows:
        self.must_be_up()
        return [{"peer": peer, "number": number} for peer, number in self.peers]

    def VfaxDevForgetPeers(self, peer: str, number: str, /) -> int:
        self.must_be_up()
        if not isinstance(peer, str) or not isinstance(number, str):
            raise InvalidParameter("Peer, Number: texts are expected")
        kept = [known for known in self.peers if peer not in ("", known[0]) or number not in ("", known[1])]
        forgotten = len(self.peers) - len(kept)
        self.peers = kept
        return forgotten

    def VfaxDevWatchNotices(self, notice: Notice, /) -> None:
        if not callable(notice):
            raise InvalidParameter("Notice: a function is expected")
        self.notice = notice

    def must_be_up(self) -> None:
        if not self.up:
            raise NotReady("the toy is not up")

    def FaxDevAbortOperation(self, handle: object, /) -> None:
        self.job(handle).aborted.set()

    def FaxDevEndJob(self, handle: object, /) -> None:
        job = self.job(handle)
        job.ended = True
        self.jobs.remove(job)
        self.release(job)
        assert self.arena is not None
        self.arena.release_job(job)

    def FaxDevShutdown(self) -> Hresult:
        with self.idle:
            self.up = False
            for job in self.jobs:
                job.aborted.set()
            self.idle.wait_for(lambda: not any(job.running for job in self.jobs), 5)
        return Hresult.S_OK

    # --- inside ------------------------------------------------------------------------------------

    def job(self, handle: object) -> Job:
        if not isinstance(handle, Job) or handle not in self.jobs:
            raise InvalidHandle("FaxHandle: the job is unknown or has ended")
        return handle

    def begin(self, handle: object) -> Job:
        job = self.job(handle)
        job.running = True
        return job

    def finish(self, job: Job) -> None:
        with self.idle:
            job.running = False
            job.over = True
            self.idle.notify_all()

    def seize(self, job: Job) -> bool:
        with self.lock:
            if job.line.owner is None and job.line.ringing is None:
                job.line.owner = job
            return job.line.owner is job

    def release(self, job: Job) -> None:
        if job.line.owner is job:
            job.line.owner = None

    def stop_if_aborted(self, job: Job) -> None:
        if job.aborted.is_set():
            self.fail(job, S.FS_USER_ABORT)

    def fail(self, job: Job, status: FaxStatus, error: Exception | None = None) -> NoReturn:
        self.say(job, status)
        if error is None:
            error = OperationFailed("It failed.")
            if status is S.FS_USER_ABORT:
                error = OperationAborted("It was aborted.")
            elif status is S.FS_LINE_UNAVAILABLE:
                error = LineUnavailable("The line is in use.")
        raise error

    def code(self, status: FaxStatus) -> int:
        final = {S.FS_BUSY, S.FS_DISCONNECTED, S.FS_FATAL_ERROR, S.FS_LINE_UNAVAILABLE, S.FS_USER_ABORT}
        return Win32.ERROR_GEN_FAILURE if status in final else Win32.NO_ERROR

    def say(self, job: Job, status: FaxStatus, page: int = 0) -> None:
        job.status = FaxDevStatus(status, page_count=page, error_code=self.code(status))
        self.post(job, job.status)

    def post(self, job: Job, status: FaxDevStatus) -> None:
        try:
            job.port.post(job.key, status)
        except PortError:
            return


class Wire:
    """The other side of a toy's lines."""

    def __init__(self, provider: object, configuration: Mapping[str, object]) -> None:
        assert isinstance(provider, Toy)
        self.toy = provider
        self.last: Call | None = None

    def _comes(self, call: Call) -> None:
        self.last = call
        self.toy.comes(call)

    def ring(self, pages: int) -> None:
        self._comes(Call(pages))

    def give_up(self) -> None:
        assert self.last is not None
        self.last.given_up = True

    def ring_and_break_off(self, pages: int) -> None:
        self._comes(Call(pages + 1, breaks_after=pages))

    def answering(self) -> str:
        return "answering"

    def busy(self) -> str:
        return "busy"

    def hanging(self) -> str:
        return "hanging"
