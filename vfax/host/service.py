"""The fax service: providers, devices, rings, jobs, and an orderly end.

Owns      the life of the service, who uses which device, the two completion ports and who reads them.
Not here  one operation (jobs.py), what becomes of a reception (reception.py), loading (loading.py).
Source    the page about receiving on a virtual device: ring packet, then StartJob, Receive, ReportStatus, EndJob.

The service knows a provider through the contract alone: the registration record names it.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from traceback import format_exception
from typing import Final, TypeVar

import trio

from vfax.errors import MisuseError, StoreError
from vfax.fsp.completion import CompletionKey, CompletionPort, Packet
from vfax.fsp.constants import FaxStatus, JobType, LineMessageId
from vfax.fsp.errors import FaxServiceError, PortClosed
from vfax.fsp.provider import RegistrationRecord
from vfax.fsp.structures import FaxDevStatus, FaxReceive, FaxSend, LineMessage
from vfax.host import reception
from vfax.host.events import (
    Direction,
    FaxEnded,
    FaxRecovered,
    HostEvent,
    HostFaulted,
    Observer,
    RingDropped,
    RingReceived,
    ServiceStarted,
    ServiceStopped,
    StorageFailed,
)
from vfax.host.jobs import Ending, Job, JobOptions
from vfax.host.loading import Device, HostedProvider, load_all, unload
from vfax.host.records import FaxRecord
from vfax.host.spool import Spool, new_job_id
from vfax.outcome import Cause
from vfax.ports import get_packet
from vfax.verdict import without_call

T = TypeVar("T")

MAX_UNDELIVERED: Final = 1_000
"""Limit: faxes remembered for another attempt; the others wait in the spool for the next start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostOptions:
    """How the service works; times in seconds.

    `local_id` and `name` are told to the provider as number and name of this station. Without `receive` the providers
    are told that receiving is switched off. `call_timeout` is what a provider may take for a call that is not Send or
    Receive. A fax that the disk does not let into the inbox is tried again every `redeliver_interval`.
    Limit: `max_devices` over all providers.
    """

    spool: Path
    local_id: str = ""
    name: str = "vfax"
    receive: bool = True
    call_timeout: float = 10.0
    redeliver_interval: float = 60.0
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
        registrations: Sequence[RegistrationRecord],
        *,
        observe: Observer = lambda event: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        spool: Spool | None = None,
    ) -> None:
        self.options = options
        self.spool = spool if spool is not None else Spool(options.spool)
        self.counters = Counters()
        self.providers: list[HostedProvider] = []
        self.devices: dict[int, Device] = {}
        self._registrations = tuple(registrations)
        self._observer: Observer | None = observe
        self._clock = clock
        self._ring_port = CompletionPort()
        self._status_port = CompletionPort()
        self._jobs: dict[str, Job] = {}
        self._by_key: dict[CompletionKey, Job] = {}
        self._undelivered: dict[str, tuple[FaxRecord, Ending]] = {}
        self._unrecovered: set[str] = set()
        self._delivering = trio.Lock()
        self._stopping = trio.Event()
        self._nursery: trio.Nursery | None = None

    # --- life --------------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until `stop` is called or the surrounding scope is cancelled; either way all is shut down in order.

        A service without a usable provider runs all the same: see `providers` for what each was refused for.
        Raises StoreError when the spool cannot be used.
        """
        await trio.to_thread.run_sync(self.spool.prepare)
        try:
            await self._recover()
            async with trio.open_nursery() as nursery:
                await nursery.start(self._live)
                task_status.started()
                try:
                    await self._stopping.wait()
                finally:
                    self._stopping.set()
        finally:
            self.spool.release()

    def stop(self) -> None:
        """End the service: no new faxes, running ones aborted, providers shut down. `run` returns when that is done."""
        self._stopping.set()

    async def _live(self, *, task_status: trio.TaskStatus[None]) -> None:
        """All tasks of the service. Shielded: a cancelled service ends in order too, and every step has its limit."""
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as nursery:
                self.providers, self.devices = await load_all(
                    self._registrations,
                    nursery,
                    self._ring_port,
                    observe=self._observe,
                    call_timeout=self.options.call_timeout,
                    max_devices=self.options.max_devices,
                )
                self._switch_receiving()
                self._nursery = nursery
                nursery.start_soon(self._take_rings)
                nursery.start_soon(self._take_statuses)
                nursery.start_soon(self._deliver_later)
                self._observe(ServiceStarted(tuple(device.name for device in self.devices.values())))
                task_status.started()
                await self._stopping.wait()
                await self._shut_down()
                nursery.cancel_scope.cancel()
        self._observe(ServiceStopped())

    def _switch_receiving(self) -> None:
        """Tell each device, through the line callback, that only sending is switched on."""
        if self.options.receive:
            return
        for number, device in self.devices.items():
            callback = device.provider.line_callback
            if callback is not None:
                with suppress(FaxServiceError):
                    device.provider.guard.ask_now(callback, None, number, LineMessageId.LINE_DEVSPECIFIC, 0, 0, 1, 0)

    async def _shut_down(self) -> None:
        """Abort what runs, wait for it, then unload the providers and close the ports."""
        for job in list(self._jobs.values()):
            job.abort(stopped_by_host=True)
        for job in list(self._jobs.values()):
            await job.ended.wait()  # each has its limits: abort_grace, then call_timeout for EndJob
        await self._redeliver()
        for provider in self.providers:
            await unload(provider, grace=self.options.jobs.abort_grace)
        self._ring_port.close()
        self._status_port.close()

    async def _recover(self) -> None:
        """Deliver what a crash left in the spool, before the first new fax."""
        for job in await trio.to_thread.run_sync(self.spool.leftovers):
            await self._isolated(self._recover_one, job)

    async def _recover_one(self, job: str) -> None:
        """Deliver what is left of one job; what the disk refuses is tried again later, as other faxes are."""
        tried_before = job in self._unrecovered
        self._unrecovered.add(job)
        try:
            where, words = await trio.to_thread.run_sync(reception.recover, self.spool, job)
        except StoreError as why:
            if not tried_before:
                self._observe(StorageFailed(job, str(why)))
            return
        self._unrecovered.discard(job)
        self._observe(FaxRecovered(job, where, words))

    # --- receiving ---------------------------------------------------------------------------------

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
        elif self._stopping.is_set():
            self._drop_ring(number, "the service is stopping")
        elif not device.free or self._nursery is None:
            self._drop_ring(number, f"the device is in use by job {device.job}")
        else:
            device.job = "receive"  # taken before anything waits: two rings must not both see it free
            self._nursery.start_soon(self._isolated, self._receive, device)

    def _drop_ring(self, number: int, why: str) -> None:
        self.counters.rings_dropped += 1
        self._observe(RingDropped(number, why))

    async def _receive(self, device: Device) -> None:
        started_at = self._clock()
        try:
            job_id, path = await trio.to_thread.run_sync(self.spool.create_job_file)
        except StoreError as why:
            device.job = None
            self._observe(StorageFailed("", f"{why}; the ring on {device.name} is left unanswered"))
            return
        job = self._begin(job_id, device, Direction.RECEIVE, started_at)
        self._observe(RingReceived(job_id, device.device_id))
        try:
            ending = await job.carry_out(lambda handle: self._call_receive(device, handle, path))
            self._drain_statuses()
            await self._conclude(job, ending)
        finally:
            self._end(job)

    async def _call_receive(self, device: Device, handle: object, path: Path) -> None:
        slot = FaxReceive(str(path), self.options.name, self.options.local_id)
        await device.exports.FaxDevReceive(handle, None, slot)

    async def _conclude(self, job: Job, ending: Ending) -> None:
        record = reception.record_of(job.id, job.device, ending, job.started_at, self._clock())
        try:
            record, kept = await trio.to_thread.run_sync(reception.conclude, self.spool, record, ending)
        except StoreError as why:
            if len(self._undelivered) < MAX_UNDELIVERED:
                self._undelivered[job.id] = record, ending
            said = without_call(Cause.STORAGE, f"{record.sentence} {why}", sending=False)
            record = replace(
                record,
                cause=said.cause,
                sentence=said.sentence,
                retry=said.retry.value,
                verdict=said.verdict,
                t30_result=said.t30_result,
                pages=0,
            )
            self._observe(StorageFailed(job.id, f"{why}; what was received waits in {self.spool.incoming}"))
            self._observe(FaxEnded(replace(record, job_type=JobType.JT_FAIL_RECEIVE), None, None))
        else:
            self._observe(FaxEnded(record, kept.document, kept.record))

    async def _deliver_later(self) -> None:
        while True:
            await trio.sleep(self.options.redeliver_interval)
            await self._redeliver()

    async def _redeliver(self) -> None:
        """Try once more what the disk refused; what it refuses again waits on, in silence."""
        async with self._delivering:
            for job in sorted(self._unrecovered):
                await self._isolated(self._recover_one, job)
            for job, (record, ending) in list(self._undelivered.items()):
                try:
                    kept = await trio.to_thread.run_sync(reception.conclude_late, self.spool, record, ending)
                except StoreError:
                    continue
                del self._undelivered[job]
                if kept is not None:
                    where = kept.document or kept.record
                    self._observe(FaxRecovered(job, where, "What the disk had refused is delivered now:"))

    # --- sending -----------------------------------------------------------------------------------

    async def submit(self, document: Path, destination: str, *, receiver_name: str = "") -> FaxRecord:
        """Send a TIFF Class F document to `destination` (what the provider dials) and return how it went.

        Uses the first free device; where that one's line cannot be had, each other free device is tried once.
        Cancelling aborts the fax politely and waits for its end. Raises MisuseError when the service does not run,
        InvalidField when the destination is no text a provider could be given.
        """
        if self._nursery is None or self._stopping.is_set():
            raise MisuseError("the service is not running: await run() first")
        sending = _Sending(self._order(document, destination, receiver_name), self._no_line(destination))
        self._nursery.start_soon(self._isolated, self._send, sending)
        try:
            await sending.done.wait()
        finally:
            sending.cancelled = not sending.done.is_set()
            if sending.job is not None:
                sending.job.abort()
            with trio.CancelScope(shield=True):
                await sending.done.wait()
        return sending.record

    async def _send(self, sending: "_Sending") -> None:
        tried: set[int] = set()
        try:
            while not sending.cancelled and (device := self._free_device(tried)) is not None:
                tried.add(device.device_id)
                await self._send_on(device, sending)
                if sending.record.status_id != FaxStatus.FS_LINE_UNAVAILABLE:
                    break
        finally:
            sending.done.set()
        self._observe(FaxEnded(sending.record, None, None))

    async def _send_on(self, device: Device, sending: "_Sending") -> None:
        job = sending.job = self._begin(new_job_id(), device, Direction.SEND, self._clock())
        try:
            ending = await job.carry_out(lambda handle: device.exports.FaxDevSend(handle, sending.order, None))
            self._drain_statuses()
            record = reception.record_of(job.id, device, ending, job.started_at, self._clock())
            sending.record = replace(record, job_type=JobType.JT_SEND, dialled=sending.order.receiver_number)
        finally:
            self._end(job)

    def _order(self, document: Path, destination: str, receiver_name: str) -> FaxSend:
        options = self.options
        return FaxSend(str(document.absolute()), destination, options.name, options.local_id, receiver_name)

    def _free_device(self, tried: set[int]) -> Device | None:
        """The last free device not yet tried: providers hand out rings from the first one on."""
        numbers = (number for number in sorted(self.devices, reverse=True) if number not in tried)
        return next((self.devices[number] for number in numbers if self.devices[number].free), None)

    def _no_line(self, destination: str) -> FaxRecord:
        now = self._clock()
        said = without_call(Cause.LINE_UNAVAILABLE, "All lines are in use, or none is there.", sending=True)
        return FaxRecord(
            job=new_job_id(),
            job_type=JobType.JT_SEND,
            device_id=0,
            device_name="",
            started_at=now,
            ended_at=now,
            status_id=FaxStatus.FS_LINE_UNAVAILABLE,
            cause=Cause.LINE_UNAVAILABLE,
            sentence=said.sentence,
            dialled=destination,
            retry=said.retry.value,
            verdict=said.verdict,
            t30_result=said.t30_result,
        )

    # --- jobs --------------------------------------------------------------------------------------

    @property
    def running(self) -> tuple[str, ...]:
        """Numbers of the jobs that run, oldest first."""
        return tuple(self._jobs)

    def abort(self, job_id: str) -> bool:
        """Abort a running job; returns at once. False: no such job (any more). Pages of a reception are discarded."""
        job = self._jobs.get(job_id)
        if job is not None:
            job.abort()
        return job is not None

    async def _isolated(self, task: Callable[[T], Awaitable[None]], about: T) -> None:
        """Run the task of one job so that a fault of this host ends that job and no other."""
        try:
            await task(about)
        except Exception as why:
            self._observe(HostFaulted(f"{type(why).__name__}: {why}", "".join(format_exception(why))))

    def _begin(self, job_id: str, device: Device, direction: Direction, started_at: datetime) -> Job:
        device.job = job_id
        job = Job(
            job_id,
            device,
            direction,
            self._status_port,
            observe=self._observe,
            options=self.options.jobs,
            started_at=started_at,
        )
        self._jobs[job_id] = job
        self._by_key[job.key] = job
        if self._stopping.is_set():
            job.abort(stopped_by_host=True)
        return job

    def _end(self, job: Job) -> None:
        del self._jobs[job.id], self._by_key[job.key]
        job.device.job = None
        job.ended.set()

    async def _take_statuses(self) -> None:
        while True:
            try:
                self._status(await get_packet(self._status_port))
            except PortClosed:
                return

    def _drain_statuses(self) -> None:
        """Take what was posted before EndJob, so that the last news of a job comes before its end."""
        while (packet := self._status_port.get_nowait()) is not None:
            self._status(packet)

    def _status(self, packet: Packet) -> None:
        job = self._by_key.get(packet.key)
        if job is None or not isinstance(packet.message, FaxDevStatus):
            self.counters.late_statuses += 1
        else:
            job.take_status(packet.message)

    def _observe(self, event: HostEvent) -> None:
        """Tell the observer; one that raises is told no more, for it must not cost a fax."""
        if self._observer is None:
            return
        try:
            self._observer(event)
        except Exception:
            self.counters.observer_faults += 1
            self._observer = None


@dataclass(slots=True, eq=False)
class _Sending:
    """One submitted document on its way through the devices."""

    order: FaxSend
    record: FaxRecord
    job: Job | None = None
    cancelled: bool = False
    done: trio.Event = field(default_factory=trio.Event)
