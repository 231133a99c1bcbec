"""What a host has when it drives one provider: ports, devices, jobs, and the patience to wait for them.

Owns      the calls in their documented order, their answers, everything that was posted; cleaning up after a check.
Not here  how a call is made on either surface (rig.py), what must hold (the rules).
"""

import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TookTooLong
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar, cast

from vfax.fsp.completion import CompletionPort, Packet, RingKey, StatusKey
from vfax.fsp.conformance.paper import write_document
from vfax.fsp.conformance.registry import Registry
from vfax.fsp.conformance.rig import make_rig
from vfax.fsp.conformance.rules import Broken, NotChecked, broken, expect
from vfax.fsp.conformance.stimulus import Stimulus
from vfax.fsp.constants import FaxStatus, is_progress
from vfax.fsp.errors import FaxServiceError
from vfax.fsp.provider import FaxLineCallback, FaxSendCallback, probe_exports
from vfax.fsp.structures import FaxDevStatus, FaxReceive, FaxSend, LineMessage, VirtualDevices

T = TypeVar("T")
TICK: Final = 0.005
NOWHERE: Final = "sip:nobody@192.0.2.1"
"""Dialled where no call is to be made: an address for documentation (RFC 5737)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Seconds: `fax` for a whole operation, `call` for any other that may wait, `quick` for one that must not.

    `quiet` is how long something that must not come is waited for.
    """

    fax: float = 120.0
    call: float = 10.0
    quick: float = 0.5
    quiet: float = 0.25


@dataclass(frozen=True, slots=True)
class Ended:
    """How Send or Receive returned: `error` is None for TRUE, otherwise what it raised."""

    error: BaseException | None
    value: object = None

    @property
    def ok(self) -> bool:
        """TRUE."""
        return self.error is None


@dataclass(eq=False)
class Job:
    """A started job, its operation once there is one, and the statuses posted under its key."""

    desk: "Desk"
    handle: object
    key: StatusKey
    device_id: int
    posted: list[FaxDevStatus] = field(default_factory=list)
    operation: "Future[object] | None" = None
    ended: bool = False

    def begin_send(self, number: str, *, pages: int = 1, callback: FaxSendCallback | None = None) -> None:
        """Begin to send a document of white pages."""
        document = self.desk.folder / f"sent-{self.desk.jobs.index(self)}.tif"
        write_document(document, pages)
        self.begin_send_of(document, number, callback=callback)

    def begin_send_of(self, document: Path, number: str, *, callback: FaxSendCallback | None = None) -> None:
        """Begin to send this document."""
        order = FaxSend(str(document), number, "Conformance", "+1 555 0100")
        self.operation = self.desk.rig.begin(self.desk.exports.FaxDevSend, self.handle, order, callback)

    def begin_receive(self, file: Path | None = None) -> None:
        """Begin to receive; without `file` into one that is made here, as a service does."""
        if file is None:
            file = self.file
            file.touch()
        slot = FaxReceive(str(file), "Conformance", "+1 555 0100")
        self.operation = self.desk.rig.begin(self.desk.exports.FaxDevReceive, self.handle, None, slot)

    @property
    def file(self) -> Path:
        """What it receives into unless told otherwise; nothing else is in that folder before."""
        folder = self.desk.folder / f"received-{self.desk.jobs.index(self)}"
        folder.mkdir(exist_ok=True)
        return folder / "fax.tif"

    def wait(self, seconds: float | None = None) -> Ended:
        """Wait for the end of Send or Receive. Raises Broken when it takes longer than `seconds` (a fax)."""
        assert self.operation is not None, "no operation has begun"
        limit = self.desk.patience.fax if seconds is None else seconds
        try:
            return Ended(None, self.operation.result(limit))
        except TookTooLong:
            broken(f"the operation did not return within {limit:g} seconds; it reports {self.words()}")
        except Exception as why:
            return Ended(why)

    @property
    def running(self) -> bool:
        """True while Send or Receive has not returned."""
        return self.operation is not None and not self.operation.done()

    def report(self) -> FaxDevStatus:
        """FaxDevReportStatus, in this thread."""
        status: object = self.desk.exports.FaxDevReportStatus(self.handle)
        if not isinstance(status, FaxDevStatus):
            broken(f"FaxDevReportStatus answered {type(status).__name__}")
        return status

    def words(self) -> str:
        """What it reports, for a sentence."""
        try:
            return name_of(self.report().status_id)
        except Exception as why:
            return f"an error ({type(why).__name__}: {why})"

    def abort(self) -> None:
        """FaxDevAbortOperation, in this thread."""
        self.desk.exports.FaxDevAbortOperation(self.handle)

    def end(self) -> None:
        """FaxDevEndJob."""
        self.ended = True
        self.desk.call(self.desk.exports.FaxDevEndJob, self.handle)

    def codes(self) -> list[int]:
        """Status codes posted so far, in order."""
        self.desk.take_packets()
        return [status.status_id for status in self.posted]

    def until(self, status_id: int) -> None:
        """Wait until this status has been posted. Raises Broken when the operation ends first or it takes too long."""
        self.desk.until(lambda: status_id in self.codes() or not self.running, f"{name_of(status_id)} was never posted")
        if status_id not in self.codes():
            broken(f"the operation ended with {self.words()} and never posted {name_of(status_id)}")


class Desk:
    """One provider on a rig. `stimulus` is the other side of the line, or None."""

    def __init__(self, provider: object, stimulus: object | None, folder: Path, patience: Patience) -> None:
        self.exports = probe_exports(provider)
        self.stimulus = cast("Stimulus", stimulus)  # a rule is checked only where it has what the rule needs
        self.folder = folder
        self.patience = patience
        self.rig = make_rig(self.exports)
        self.ring_port = CompletionPort()
        self.ring_key = RingKey("conformance")
        self.status_port = CompletionPort()
        self.devices: VirtualDevices | None = None
        self.callback: FaxLineCallback | None = None
        self.registry = Registry()
        self.jobs: list[Job] = []
        self.strays: list[Packet] = []
        self._rings: list[int] = []
        self.shut_down = False

    # --- calls -----------------------------------------------------------------------------------

    def call(self, export: Callable[..., object], *arguments: object) -> object:
        """Make a call that may wait; raises what it raises, Broken when it takes longer than `patience.call`."""
        name = getattr(export, "__name__", str(export))
        try:
            answer: object = self.rig.begin(export, *arguments).result(self.patience.call)
        except TookTooLong:
            broken(f"{name} did not return within {self.patience.call:g} seconds")
        return answer

    def quickly(self, call: Callable[[], T], name: str) -> T:
        """Make a call that must not wait, in this thread. Raises Broken when it did."""
        begun = time.monotonic()
        answer = call()
        took = time.monotonic() - begun
        expect(took <= self.patience.quick, f"{name} took {took:.3f} seconds, where it must return at once")
        return answer

    def refused(self, call: Callable[[], object], what: str) -> None:
        """Make a call that must be FALSE with a last error. Raises Broken for anything else."""
        try:
            call()
        except FaxServiceError as why:
            expect(int(why.winerror) != 0, f"{what} is refused with last error 0, which means no error")
            return
        except Broken:
            raise
        except Exception as why:
            broken(f"{what} raises {type(why).__name__} ({why}), where FALSE is a FaxServiceError with a last error")
        broken(f"{what} is taken")

    def until(self, holds: Callable[[], bool], otherwise: str, *, seconds: float | None = None) -> None:
        """Look at something until it holds. Raises Broken with `otherwise` after `seconds` (a fax)."""
        limit = time.monotonic() + (self.patience.fax if seconds is None else seconds)
        while not holds():
            expect(time.monotonic() < limit, otherwise)
            time.sleep(TICK)

    def stays(self, holds: Callable[[], bool], otherwise: str) -> None:
        """Look for `patience.quiet` seconds whether something goes on holding. Raises Broken with `otherwise`."""
        limit = time.monotonic() + self.patience.quiet
        while time.monotonic() < limit:
            expect(holds(), otherwise)
            time.sleep(TICK)

    # --- the provider's life -----------------------------------------------------------------------

    def create_devices(self) -> VirtualDevices:
        """FaxDevVirtualDeviceCreation. Raises NotChecked when the provider has no virtual devices."""
        devices = self.create_devices_with(self.ring_port, self.ring_key)
        if not isinstance(devices, VirtualDevices):
            broken(f"FaxDevVirtualDeviceCreation answered {type(devices).__name__}")
        self.devices = devices
        return devices

    def create_devices_with(self, port: object, key: object) -> object:
        """FaxDevVirtualDeviceCreation with these arguments, right or wrong. Raises as create_devices."""
        create = self.exports.FaxDevVirtualDeviceCreation
        if create is None:
            raise NotChecked("the provider presents no virtual devices, and no others can be driven from here")
        return self.call(create, port, key)

    def initialize(self) -> FaxLineCallback:
        """FaxDevInitialize."""
        self.callback = cast("FaxLineCallback", self.call(self.exports.FaxDevInitialize, None, self.rig.arena, None))
        return self.callback

    def line_callback(self) -> FaxLineCallback:
        """The FaxLineCallback that FaxDevInitialize handed over."""
        callback = self.callback
        expect(callable(callback), "FaxDevInitialize handed over no FaxLineCallback")
        assert callback is not None
        return callback

    def configure(self) -> object:
        """FaxExtInitializeConfig. Raises NotChecked when the provider has none."""
        configure = self.exports.FaxExtInitializeConfig
        if configure is None:
            raise NotChecked("the provider does not offer FaxExtInitializeConfig")
        return self.call(configure, *self.registry.callbacks)

    def start(self) -> "Desk":
        """Devices first, then FaxExtInitializeConfig where there is one, then FaxDevInitialize, as services do."""
        self.create_devices()
        if self.exports.FaxExtInitializeConfig is not None:
            self.configure()
        self.initialize()
        return self

    def shutdown(self) -> object:
        """FaxDevShutdown, or None without one."""
        self.shut_down = True
        return None if self.exports.FaxDevShutdown is None else self.call(self.exports.FaxDevShutdown)

    # --- rings and jobs ----------------------------------------------------------------------------

    @property
    def ids(self) -> range:
        """The device ids."""
        assert self.devices is not None, "start() comes first"
        return self.devices.ids

    def rings(self) -> list[int]:
        """The devices whose rings wait to be taken. Raises Broken for a packet under another key."""
        while (packet := self.ring_port.get_nowait()) is not None:
            expect(packet.key is self.ring_key, "a packet on the ring port has another key than the one handed over")
            assert isinstance(packet.message, LineMessage)  # the port takes nothing else under this key
            self._rings.append(packet.message.h_device)
        return self._rings

    def next_ring(self) -> int:
        """Wait for a ring, take it, and return the id of the device."""
        limit = self.patience.call
        self.until(lambda: bool(self.rings()), "a call came in, and no ring was posted", seconds=limit)
        return self._rings.pop(0)

    def start_job(self, device_id: int | None = None) -> Job:
        """FaxDevStartJob, on the first device unless told otherwise."""
        chosen = self.ids[0] if device_id is None else device_id
        key = StatusKey(f"job {len(self.jobs)}")
        handle = self.call(self.exports.FaxDevStartJob, None, chosen, self.status_port, key)
        job = Job(self, handle, key, chosen)
        self.jobs.append(job)
        return job

    def ring_and_start(self, pages: int = 1) -> Job:
        """Let a call come in, and start the job that may take it."""
        self.stimulus.ring(pages)
        return self.start_job(self.next_ring())

    def send_and_hang(self) -> Job:
        """A job that is in the middle of sending, to somebody who never answers; it has been dialled."""
        job = self.start_job()
        job.begin_send(self.stimulus.hanging())
        self.until(lambda: bool(job.codes()) or not job.running, "FaxDevSend posted no status at all")
        expect(job.running, f"FaxDevSend returned ({job.words()}), where the destination keeps the line")
        return job

    def take_packets(self) -> None:
        """Give every posted status to its job."""
        by_key = {job.key: job for job in self.jobs}
        while (packet := self.status_port.get_nowait()) is not None:
            job = by_key.get(packet.key) if isinstance(packet.key, StatusKey) else None
            if job is not None and isinstance(packet.message, FaxDevStatus):
                job.posted.append(packet.message)
            else:
                self.strays.append(packet)

    # --- the end -----------------------------------------------------------------------------------

    def clear(self) -> None:
        """Abort, end and shut down whatever the check left; errors are of no interest any more."""
        with suppress(Exception):
            for job in self.jobs:
                self._clear_job(job)
        with suppress(Exception):
            if not self.shut_down:
                self.shutdown()
        self.rig.close(self.patience.call)
        close = getattr(self.stimulus, "close", None)
        if callable(close):
            close()  # it is the stimulus of whoever asks: its faults are theirs to see

    def _clear_job(self, job: Job) -> None:
        if job.ended:
            return
        with suppress(Exception):
            if job.running:
                job.abort()
                job.wait(self.patience.call)
        with suppress(Exception):
            job.end()


def name_of(status_id: int) -> str:
    """The FS_* name of a status, or its number."""
    known = {int(status): status.name for status in FaxStatus}
    return known.get(status_id, f"{status_id:#010x}")


def is_failure(status_id: int) -> bool:
    """True for a status that ends an operation without success."""
    return not is_progress(status_id) and status_id != FaxStatus.FS_COMPLETED
