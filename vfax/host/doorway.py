"""What clients may ask of a host, over its service, queue and store.

Owns      `Door`, which fulfils door.HostDoor: submissions taken in, orders to jobs and devices, questions answered.
Not here  who may ask (clients and api), the queue itself (queue.py), rows (store/).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path, PurePath
from typing import Final, TypeVar

import trio

from vfax import __version__
from vfax.errors import DocumentError
from vfax.fsp.constants import STATE_OF_STATUS, DeviceState, JobStatusEnum, JobType, PortFlag
from vfax.fsp.errors import InvalidParameter
from vfax.host import reports
from vfax.host.convert import ConvertLimits, convert
from vfax.host.door import DeviceInfo, JobChange, JobCommand, Order, Rescheduled, ServerInfo, Upload
from vfax.host.events import HostEvent, JobDeleted, JobMoved, StatusPosted
from vfax.host.loading import Device
from vfax.host.outgoing import count_pages, counted, keep_document, workroom
from vfax.host.queue import Queue
from vfax.host.recipients import DialPlan, recipients
from vfax.host.retry import RetryPolicy
from vfax.host.service import FaxService
from vfax.host.spool import JOB_PATTERN
from vfax.host.store.store import Store
from vfax.host.store.transitions import FAILED
from vfax.host.store.values import (
    DeliveryAttempt,
    DeliveryState,
    Priority,
    StoredAttempt,
    StoredDelivery,
    StoredEvent,
    StoredFax,
    StoredJob,
    Submission,
)

T = TypeVar("T")

ASKED_AT_ONCE: Final = 16
"""Limit: questions to the store at once; with a store that is slow they must not use up the threads of the process."""
ENDED: Final = {
    JobStatusEnum.fjsCOMPLETED: "it was delivered",
    JobStatusEnum.fjsFAILED: "it failed",
    JobStatusEnum.fjsCANCELED: "it was cancelled",
    JobStatusEnum.fjsRETRIES_EXCEEDED: "it was given up",
}
"""What became of a job that has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorOptions:
    """What a submission takes from the settings where it does not say itself."""

    dial_plan: DialPlan = field(default_factory=DialPlan)
    convert: ConvertLimits = field(default_factory=ConvertLimits)
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    dirty_days: int = 30
    resolution: str = "fine"
    sender_name: str = ""
    sender_number: str = ""


class Door:
    """`door.HostDoor` over a service, its queue and its store."""

    def __init__(
        self,
        service: FaxService,
        queue: Queue,
        store: Store,
        options: DoorOptions,
        *,
        on_delivery: Callable[[], None] = lambda: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._service = service
        self._queue = queue
        self._store = store
        self._options = options
        self._on_delivery = on_delivery
        self._clock = clock
        self._moving: dict[int, JobMoved] = {}
        self._said: dict[int, int] = {}  # the last status of each device that has a job
        self._threads = trio.CapacityLimiter(ASKED_AT_ONCE)

    def hear(self, event: HostEvent) -> None:
        """Remember what clients may ask for."""
        if isinstance(event, JobMoved):
            self._moving[int(event.job, 16)] = event
        elif isinstance(event, JobDeleted):
            self._moving.pop(int(event.job, 16), None)
        elif isinstance(event, StatusPosted):
            self._said[event.device_id] = event.status_id

    # --- the service ---------------------------------------------------------------------------------

    async def server(self) -> ServerInfo:
        """The host at a glance."""
        return ServerInfo(
            host=self._queue.host,
            version=__version__,
            queue_paused=await self._ask(self._store.queue_paused),
            counts=await self._ask(self._store.counts),
            running=tuple(int(job, 16) for job in self._service.running),
        )

    async def devices(self) -> list[DeviceInfo]:
        """All devices, by id."""
        await trio.lowlevel.checkpoint()
        return [self._device(device) for _, device in sorted(self._service.devices.items())]

    async def trunks(self) -> list[Mapping[str, object]]:
        """How the trunks of all providers fare."""
        return await reports.trunks(self._service.providers)

    async def peers(self) -> list[Mapping[str, object]]:
        """What the providers have learned of peers."""
        return await reports.peers(self._service.providers)

    async def forget_peers(self, peer: str, number: str) -> int:
        """Have the providers forget."""
        return await reports.forget_peers(self._service.providers, peer, number)

    async def set_device(self, device_id: int, flags: PortFlag) -> DeviceInfo:
        """Switch sending and receiving of a device. Raises InvalidParameter."""
        device = self._service.devices.get(device_id)
        if device is None:
            raise InvalidParameter(f"there is no device {device_id}")
        self._service.switch(device, flags=flags & (PortFlag.FPF_SEND | PortFlag.FPF_RECEIVE))
        self._queue.kick()
        await trio.lowlevel.checkpoint()
        return self._device(device)

    def _device(self, device: Device) -> DeviceInfo:
        provider = device.provider
        return DeviceInfo(
            device_id=device.device_id,
            name=device.name,
            provider=provider.record.friendly_name,
            state=self._state(device),
            flags=device.flags,
            job=_number(device.job),
            priority=device.priority,
            tsid=self._options.sender_number,
            csid=self._service.options.local_id,
            reason="" if provider.usable else str(provider.failure or ""),
        )

    def _state(self, device: Device) -> DeviceState:
        if not device.provider.usable:
            return DeviceState.FPS_OFFLINE
        if device.job is None:
            return DeviceState.FPS_AVAILABLE
        said = self._said.get(device.device_id)
        return next(
            (state for status, state in STATE_OF_STATUS.items() if status == said), DeviceState.FPS_INITIALIZING
        )

    # --- jobs ----------------------------------------------------------------------------------------

    async def jobs(
        self,
        *,
        status: JobStatusEnum | None = None,
        owner: str | None = None,
        ended: bool | None = None,
        limit: int = 100,
        before: int | None = None,
    ) -> list[StoredJob]:
        """Jobs, newest first."""
        find = partial(self._store.jobs, status=status, owner=owner, ended=ended, limit=limit, before=before)
        return await self._ask(find)

    async def job(self, job: int) -> StoredJob | None:
        """One job, or None."""
        return await self._ask(self._store.job, job)

    async def attempts(self, job: int) -> list[StoredAttempt]:
        """The attempts of a job, oldest first."""
        return await self._ask(self._store.attempts, job)

    async def moving(self) -> Mapping[int, JobMoved]:
        """The last news of each fax that is on the line."""
        running = {int(job, 16) for job in self._service.running}
        self._moving = {job: moved for job, moved in self._moving.items() if job in running}
        await trio.lowlevel.checkpoint()
        return dict(self._moving)

    async def submit(self, order: Order) -> list[StoredJob]:
        """Queue a document for each addressee, all or none. Raises DocumentError, InvalidParameter, StoreError."""
        options, now = self._options, self._clock()
        named = [(one.number, one.name) for one in order.addressees]
        to = await trio.to_thread.run_sync(partial(recipients, named, plan=options.dial_plan))
        document, pages = await self._take_upload(order.upload, order.resolution or options.resolution)
        if not 1 <= order.first_page <= pages:
            raise InvalidParameter(f"first_page {order.first_page}: the document has {counted(pages)}")
        policy = options.policy
        submission = Submission(
            document=document,
            pages=pages,
            recipients=to,
            owner=order.owner,
            sender_name=order.sender_name or options.sender_name,
            sender_number=order.sender_number or options.sender_number,
            subject=order.subject,
            subaddress=order.subaddress,
            sender_password=order.sender_password,
            first_page=order.first_page,
            priority=order.priority,
            schedule_at=order.schedule_at,
            expires_at=order.expires_at or now + timedelta(days=options.dirty_days),
            max_retries=policy.max_retries if order.max_retries is None else order.max_retries,
            retry_delay=policy.delay if order.retry_delay is None else order.retry_delay,
        )
        return await self._queue.submit(submission)

    async def _take_upload(self, upload: Upload, resolution: str) -> tuple[str, int]:
        """As `take_document`, with the name that the client knows where a sentence would name our own file."""
        try:
            return await self.take_document([upload.path], resolution)
        except DocumentError as why:
            name = PurePath(upload.file_name.replace("\\", "/")).name or "the document"
            raise DocumentError(str(why).replace(str(upload.path), name)) from why

    async def take_document(self, files: Sequence[Path], resolution: str) -> tuple[str, int]:
        """Convert files into one document among those of the queue: its path there, and its pages.

        Raises DocumentError, StoreError.
        """
        root = self._queue.documents
        with workroom(root) as folder:
            target = Path(folder) / "document.tif"
            pages = await convert(files, target, resolution=resolution, limits=self._options.convert)
            document = await trio.to_thread.run_sync(keep_document, root, target, self._service.spool.disk)
        if await trio.to_thread.run_sync(count_pages, root / document) != pages:
            raise DocumentError("the document changed while it was being stored")
        return document, pages

    async def abort(self, job: int) -> None:
        """Abort a job that runs or waits. Raises InvalidParameter."""
        if self._service.abort(f"{job:08x}") and job not in self._queue.running:
            return  # a reception
        if await self._queue.cancel(job) is None:
            raise InvalidParameter(f"there is no job {job:08x}")

    async def change(self, job: int, change: JobChange) -> StoredJob:
        """Pause, resume, cancel, retry now, give a priority or a time. Raises InvalidParameter."""
        before = await self._ask(self._store.job, job)
        if before is None:
            raise InvalidParameter(f"there is no job {job:08x}")
        if why := _refusal(before, change):
            raise InvalidParameter(f"job {job:08x} {why}")
        changed = await self._changed(job, change)
        if changed is None:
            raise InvalidParameter(f"job {job:08x} cannot be changed so: it is {before.status.name}")
        return changed

    async def _changed(self, job: int, change: JobChange) -> StoredJob | None:
        queue = self._queue
        match change:
            case JobCommand.PAUSE:
                return await queue.pause(job)
            case JobCommand.RESUME:
                return await queue.resume(job)
            case JobCommand.CANCEL:
                return await queue.cancel(job)
            case JobCommand.RETRY:
                return await queue.retry_now(job)
            case Priority():
                return await queue.set_priority(job, change)
            case Rescheduled(at):
                return await queue.reschedule(job, at)

    async def pause_queue(self, paused: bool) -> None:
        """Stop dialling, or go on."""
        await self._queue.pause_queue(paused=paused)

    # --- faxes ---------------------------------------------------------------------------------------

    async def faxes(
        self, *, delivered: bool | None = None, limit: int = 100, before: int | None = None
    ) -> list[StoredFax]:
        """Received faxes, newest first."""
        return await self._ask(partial(self._store.faxes, delivered=delivered, limit=limit, before=before))

    async def fax(self, job: int) -> StoredFax | None:
        """One received fax, or None."""
        return await self._ask(self._store.fax, job)

    async def document(self, job: int) -> Path | None:
        """The file of a received fax or of a job's document; None when none is kept (any more)."""
        fax = await self._ask(self._store.fax, job)
        if fax is not None:
            name = None if fax.removed_at is not None else fax.document
        else:
            stored = await self._ask(self._store.job, job)
            name = stored.document if stored is not None else None
        root = self._service.spool.root if fax is not None else self._queue.documents
        path = root / name if name else None
        return path if path is not None and await trio.to_thread.run_sync(path.is_file) else None

    async def deliveries(
        self, *, job: int | None = None, state: DeliveryState | None = None, limit: int = 100
    ) -> list[StoredDelivery]:
        """Deliveries of one fax or of all."""
        return await self._ask(partial(self._store.deliveries, job, state=state, limit=limit))

    async def delivery_attempts(self, delivery: int) -> list[DeliveryAttempt]:
        """The tries of one delivery, oldest first."""
        return await self._ask(self._store.delivery_attempts, delivery)

    async def retry_delivery(self, delivery: int) -> StoredDelivery:
        """Try a delivery again now. Raises InvalidParameter for no such delivery."""
        again = await self._ask(self._store.retry_delivery, delivery, self._clock())
        if again is None:
            raise InvalidParameter(f"there is no delivery {delivery} that could be tried again")
        self._on_delivery()
        return again

    async def history(self, *, after: int = 0, limit: int = 1000) -> list[StoredEvent]:
        """Events that were stored, in order, from the one behind `after`."""
        return await self._ask(partial(self._store.events, after=after, limit=limit))

    async def _ask(self, call: Callable[..., T], *about: object) -> T:
        return await trio.to_thread.run_sync(partial(call, *about), limiter=self._threads)


def _refusal(job: StoredJob, change: JobChange) -> str:
    """Why nothing would come of a change; empty where something would."""
    if job.status in ENDED:
        again = job.job_type is JobType.JT_SEND and job.status in FAILED
        if again and change is JobCommand.RETRY:
            return ""
        return f"has ended, {ENDED[job.status]}{': it can only be retried' if again else ''}"
    waiting_alone = change in (JobCommand.PAUSE, JobCommand.RETRY) or isinstance(change, Rescheduled)
    return "is on the line: it can be cancelled" if waiting_alone and job.status is JobStatusEnum.fjsINPROGRESS else ""


def _number(job: str | None) -> int | None:
    """The number of a device's job; None while it has none yet."""
    return int(job, 16) if job is not None and JOB_PATTERN.fullmatch(job) else None
