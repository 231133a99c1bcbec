"""The fax service: providers, devices, rings, jobs, and an orderly end.

Owns      the life of the service, who uses which device, the two completion ports and who reads them.
Not here  one operation (jobs.py), what becomes of a reception (reception.py), one document on its way through the
          devices (submission.py), loading (loading.py).
Source    the page about receiving on a virtual device: ring packet, then StartJob, Receive, ReportStatus, EndJob.

The service knows a provider through the contract alone: the registration record names it.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from traceback import format_exception
from typing import Final, TypeVar

import trio

from vfax.errors import MisuseError
from vfax.fsp.completion import CompletionKey, CompletionPort, Packet
from vfax.fsp.constants import JobType, LineMessageId, PortFlag
from vfax.fsp.errors import FaxServiceError, PortClosed
from vfax.fsp.provider import Registration
from vfax.fsp.structures import FaxDevStatus, FaxSend, LineMessage, SendHints
from vfax.host import reception
from vfax.host.events import (
    DeviceIdle,
    Direction,
    HostEvent,
    HostFaulted,
    JobDeleted,
    Observer,
    RingDropped,
    ServiceStarted,
    ServiceStopped,
)
from vfax.host.extension_book import ExtensionBook, ExtensionLimits
from vfax.host.extensions import Extensions
from vfax.host.guard import CallTimeouts
from vfax.host.jobs import Ending, Job, JobOptions
from vfax.host.loading import Device, HostedProvider, LoadOptions, enter_service, load_all, unload
from vfax.host.process_link import ProcessOptions
from vfax.host.receptions import Ledger, Receptions
from vfax.host.records import FaxRecord
from vfax.host.spool import Spool
from vfax.host.submission import Submission
from vfax.ports import get_packet

T = TypeVar("T")


RANG: Final = "receive"
"""What has a device from its ring until there is a job for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostOptions:
    """How the service works; times in seconds.

    `local_id` and `name` are told to the provider as number and name of this station. Without `receive` the providers
    are told that receiving is switched off. `call_timeout` is what a provider may take for a call that is not Send or
    Receive and has no limit of its own in `timeouts`; `process` is for providers in processes of their own. A fax that
    the disk does not let into the inbox is tried again every `redeliver_interval`. `extensions` limits what
    providers keep here of their own configuration. `ring_patience`: so long a ring is remembered on a device that is
    about to be given back.
    Limit: `max_devices` over all providers.
    """

    spool: Path
    local_id: str = ""
    name: str = "vfax"
    receive: bool = True
    call_timeout: float = 10.0
    timeouts: CallTimeouts = field(default_factory=CallTimeouts)
    process: ProcessOptions = field(default_factory=ProcessOptions)
    extensions: ExtensionLimits = field(default_factory=ExtensionLimits)
    redeliver_interval: float = 60.0
    ring_patience: float = 30.0
    max_devices: int = 10_000
    jobs: JobOptions = field(default_factory=JobOptions)


@dataclass(slots=True)
class Counters:
    """What the service dropped."""

    rings_dropped: int = 0
    late_statuses: int = 0  # statuses of jobs that had ended
    observer_faults: int = 0


class FaxService:
    """One service over the given providers. `run` serves; `stop` ends it politely; `submit` sends one document."""

    def __init__(
        self,
        options: HostOptions,
        registrations: Sequence[Registration],
        *,
        observe: Observer = lambda event: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        spool: Spool | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        self.options = options
        self.spool = spool if spool is not None else Spool(options.spool)
        self.counters = Counters()
        self.providers: Sequence[HostedProvider] = []
        self.devices: dict[int, Device] = {}
        self._registrations = tuple(registrations)
        self.observer: Observer | None = observe
        self.clock = clock
        self._ring_port = CompletionPort()
        self._status_port = CompletionPort()
        self._jobs: dict[str, Job] = {}
        self._by_key: dict[CompletionKey, Job] = {}
        self._stopping = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._receptions = Receptions(self, ledger)
        self.extensions = Extensions(ExtensionBook(self.spool.root, options.extensions, disk=self.spool.disk))
        self.on_free: Callable[[str], None] = lambda job: None  # a device is free again, which that job had ("": none)

    # --- life --------------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until `stop` is called or the surrounding scope is cancelled; either way all is shut down in order.

        A service without a usable provider runs all the same: see `providers` for what each was refused for.
        Raises StoreError when the spool cannot be used.
        """
        await trio.to_thread.run_sync(self.spool.prepare)
        try:
            await trio.to_thread.run_sync(self.extensions.book.load)
            await self._receptions.recover()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._stop_when_cancelled)
                await nursery.start(self._live)
                task_status.started()
        finally:
            self.spool.release()

    def stop(self) -> None:
        """End the service: no new faxes, running ones aborted, providers shut down. `run` returns when that is done."""
        self._stopping.set()

    async def _stop_when_cancelled(self) -> None:
        """A task of its own: a start that is cancelled waits for the shielded `_live`, and that waits for the end."""
        try:
            await self._stopping.wait()
        finally:
            self._stopping.set()

    async def _live(self, *, task_status: trio.TaskStatus[None]) -> None:
        """All tasks of the service. Shielded: a cancelled service ends in order too, and every step has its limit."""
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as nursery:
                await nursery.start(self._run_extensions)
                self.providers, self.devices = await load_all(
                    self._registrations,
                    nursery,
                    self._ring_port,
                    self._load_options(),
                    observe=self.observe,
                    on_back=self._provider_is_back,
                    extensions=self.extensions,
                )
                self._switch_receiving()
                self._nursery = nursery
                nursery.start_soon(self._take_rings)
                nursery.start_soon(self._take_statuses)
                nursery.start_soon(self._receptions.deliver_later)
                self.observe(ServiceStarted(tuple(device.name for device in self.devices.values())))
                for provider in self.providers:
                    enter_service(provider, self.observe)
                task_status.started()
                await self._stopping.wait()
                await self._shut_down()
                nursery.cancel_scope.cancel()
        self.observe(ServiceStopped())

    async def _run_extensions(self, *, task_status: trio.TaskStatus[None]) -> None:
        await self.extensions.run(task_status=task_status)

    def _load_options(self) -> LoadOptions:
        options = self.options
        return LoadOptions(
            call_timeout=options.call_timeout,
            timeouts=options.timeouts,
            process=options.process,
            max_devices=options.max_devices,
        )

    def _provider_is_back(self, provider: HostedProvider) -> None:
        """Its process was started again: it knows nothing of what had been switched on and off."""
        self._tell_flags(provider)
        self.on_free("")

    def switch(self, device: Device, *, flags: PortFlag | None = None, priority: int | None = None) -> None:
        """Change a device. When sending or receiving is switched on or off, the provider is told once for each of its
        virtual devices, even if one has changed (the 2000 edition of the FaxLineCallback page)."""
        if priority is not None:
            device.priority = priority
        if flags is None or flags | PortFlag.FPF_VIRTUAL == device.flags:
            return
        device.flags = flags | PortFlag.FPF_VIRTUAL
        self._tell_flags(device.provider)

    def _switch_receiving(self) -> None:
        """Where this service does not receive, say so before the first call."""
        if self.options.receive:
            return
        for device in self.devices.values():
            device.flags = PortFlag.FPF_SEND | PortFlag.FPF_VIRTUAL
        for provider in self.providers:
            self._tell_flags(provider)

    def _tell_flags(self, provider: HostedProvider) -> None:
        callback = provider.line_callback
        if callback is None or not provider.usable:
            return
        for number, device in self.devices.items():
            if device.provider is provider:
                receives, sends = (int(flag in device.flags) for flag in (PortFlag.FPF_RECEIVE, PortFlag.FPF_SEND))
                with suppress(FaxServiceError):
                    provider.guard.ask_now(
                        callback, None, number, LineMessageId.LINE_DEVSPECIFIC, 0, receives, sends, 0
                    )

    async def _shut_down(self) -> None:
        """Abort what runs, wait for it, then unload the providers and close the ports."""
        self.drain_statuses()
        for job in list(self._jobs.values()):
            job.abort(stopped_by_host=True)
        for job in list(self._jobs.values()):
            await job.ended.wait()  # each has its limits: abort_grace, then call_timeout for EndJob
        await self._receptions.redeliver()
        for provider in self.providers:
            await unload(provider, observe=self.observe, grace=self.options.jobs.abort_grace)
        self._ring_port.close()
        self._status_port.close()

    async def _take_rings(self) -> None:
        while True:
            try:
                packet = await get_packet(self._ring_port)
            except PortClosed:
                return
            self._ring(packet)

    def _ring(self, packet: Packet) -> None:
        if not isinstance(packet.message, LineMessage):
            return
        number = packet.message.h_device
        device = self.devices.get(number)
        if device is None or device.provider.ring_key is not packet.key:
            self._drop_ring(number, "the provider has no such device")
        elif why := self._refusal(device):
            self._drop_ring(number, why)
        elif self._nursery is None or self._receives(device):
            self._drop_ring(number, f"the device is in use by job {device.job}")
        elif device.free:
            self._answer(device, self._nursery)
        else:
            device.rang_at = trio.current_time()

    def _answer(self, device: Device, nursery: trio.Nursery) -> None:
        device.rang_at = None
        device.job = RANG  # taken before anything waits: two rings must not both see it free
        nursery.start_soon(self.isolated, self._receptions.receive, device)

    def _receives(self, device: Device) -> bool:
        """True from the ring until Receive has returned: whatever rings until then is what that Receive takes."""
        job = self._jobs.get(device.job or "")
        return device.job == RANG if job is None else job.direction is Direction.RECEIVE and not job.over

    def give_back(self, device: Device) -> None:
        """The device is free again: for a call that rang meanwhile, then for faxes to send.

        The provider has its line back when EndJob returns, or while a job for it is being prepared here: it may ring
        before this host is done, and rings once.
        """
        job, device.job = device.job or "", None
        rang_at, device.rang_at = device.rang_at, None
        self.on_free(job)
        if rang_at is None or self._nursery is None:
            return
        late = trio.current_time() - rang_at > self.options.ring_patience
        if why := self._refusal(device) or ("the device was in use for too long" if late else ""):
            self._drop_ring(device.device_id, why)
        else:
            self._answer(device, self._nursery)

    def _refusal(self, device: Device) -> str:
        """Why nobody would take a call on a device now; empty where somebody would."""
        if self._stopping.is_set():
            return "the service is stopping"
        if PortFlag.FPF_RECEIVE not in device.flags:
            return "receiving is switched off on the device"
        return "" if device.provider.usable else "its provider is out of service"

    def _drop_ring(self, number: int, why: str) -> None:
        self.counters.rings_dropped += 1
        self.observe(RingDropped(number, why))

    # --- sending -----------------------------------------------------------------------------------

    async def submit(self, document: Path, destination: str, *, receiver_name: str = "") -> FaxRecord:
        """Send a TIFF Class F document to `destination` (what the provider dials) and return how it went.

        Uses the first free device; where that one's line cannot be had, each other free device is tried once.
        Cancelling aborts the fax politely and waits for its end. Raises MisuseError when the service does not run,
        InvalidField when the destination is no text a provider could be given.
        """
        if self._nursery is None or self._stopping.is_set():
            raise MisuseError("the service is not running: await run() first")
        submission = Submission(self, document, destination, receiver_name)
        self._nursery.start_soon(self.isolated, Submission.carry_out, submission)
        return await submission.wait()

    def begin_send(self, job_id: str, device: Device) -> Job:
        """Take a free device for a job that sends; `carry_out_send` must follow, which gives it back."""
        return self.begin(job_id, device, Direction.SEND, self.clock())

    async def carry_out_send(self, job: Job, order: FaxSend, hints: SendHints | None = None) -> "Sent":
        """Send `order` on the device of a job that `begin_send` gave; never raises for what the provider does."""
        device = job.device

        async def send(handle: object) -> None:
            if hints is not None and device.exports.VfaxDevSendHints is not None:
                device.provider.guard.ask_now(device.exports.VfaxDevSendHints, handle, hints)
            await device.exports.FaxDevSend(handle, order, lambda *call: not job.aborted)

        try:
            ending = await job.carry_out(send)
            self.drain_statuses()
            job.tell_end(ending)
            record = reception.record_of(job.id, device, ending, job.started_at, self.clock())
            return Sent(replace(record, job_type=JobType.JT_SEND, dialled=order.receiver_number), ending)
        finally:
            self.end(job)

    def senders(self, tried: Collection[int] = ()) -> list[Device]:
        """The free devices to send on: best priority first, then the last one, for rings come on the first ones."""
        able = (device for number, device in self.devices.items() if number not in tried and device.can_send)
        return sorted(able, key=lambda device: (device.priority, -device.device_id))

    def sender(self, tried: Collection[int] = ()) -> Device | None:
        """The first of them; None: there is none."""
        return next(iter(self.senders(tried)), None)

    # --- jobs --------------------------------------------------------------------------------------

    @property
    def running(self) -> tuple[str, ...]:
        """Numbers of the jobs that run, oldest first."""
        return tuple(self._jobs)

    def abort(self, job_id: str) -> bool:
        """Abort a running job; returns at once. False: no such job (any more). Pages of a reception are discarded."""
        job = self._jobs.get(job_id)
        if job is not None:
            self.drain_statuses()
            job.abort()
        return job is not None

    async def isolated(self, task: Callable[[T], Awaitable[None]], about: T) -> None:
        """Run the task of one job so that a fault of this host ends that job and no other."""
        try:
            await task(about)
        except Exception as why:
            self.observe(HostFaulted(f"{type(why).__name__}: {why}", "".join(format_exception(why))))

    def begin(self, job_id: str, device: Device, direction: Direction, started_at: datetime) -> Job:
        """Take a free device for a job."""
        device.job = job_id
        job = Job(
            job_id,
            device,
            direction,
            self._status_port,
            observe=self.observe,
            options=self.options.jobs,
            started_at=started_at,
        )
        self._jobs[job_id] = job
        self._by_key[job.key] = job
        if self._stopping.is_set():
            job.abort(stopped_by_host=True)
        return job

    def end(self, job: Job) -> None:
        """Give the device of a job back."""
        del self._jobs[job.id], self._by_key[job.key]
        self.give_back(job.device)
        if job.direction is Direction.RECEIVE:  # a sent one may go on, on another device
            self.observe(JobDeleted(job.id, job.device.device_id))
        self.observe(DeviceIdle(job.device.device_id))
        job.ended.set()

    async def _take_statuses(self) -> None:
        while True:
            try:
                self._status(await get_packet(self._status_port))
            except PortClosed:
                return

    def drain_statuses(self) -> None:
        """Take what was posted before EndJob or an abort, so that news of a job comes before the end of it."""
        while (packet := self._status_port.get_nowait()) is not None:
            self._status(packet)

    def _status(self, packet: Packet) -> None:
        job = self._by_key.get(packet.key)
        if job is None or not isinstance(packet.message, FaxDevStatus):
            self.counters.late_statuses += 1
        else:
            job.take_status(packet.message)

    def observe(self, event: HostEvent) -> None:
        """Tell the observer; one that raises is told no more, for it must not cost a fax."""
        if self.observer is None:
            return
        try:
            self.observer(event)
        except Exception:
            self.counters.observer_faults += 1
            self.observer = None


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one attempt to send: its record, and the end of the operation behind it."""

    record: FaxRecord
    ending: Ending
