"""The queue: which job goes when, on which device, and what becomes of it.

Owns      claims and leases of this host, the choice of devices, attempts and their ends, what people do to jobs.
Not here  one operation (jobs.py), the decision after it (retry.py), rows (store/), received faxes (reception.py).
Source    FAX_JOB_ENTRY, FAX_CONFIGURATION (Retries, RetryDelay, DirtyDays); fax operation error control.

    fjsPENDING ──claim──► fjsINPROGRESS ──TRUE──► fjsCOMPLETED
        ▲                     │ FALSE
        │                     ├─ FS_LINE_UNAVAILABLE ──► the next device, else fjsPENDING | fjsNOLINE
        ├──── fjsRETRYING ◄───┤─ may be repeated
        │                     ├─ used up, too old ─────► fjsRETRIES_EXCEEDED
        │                     ├─ may not be repeated ──► fjsFAILED
        └─ service stopped ◄──┴─ cancelled ────────────► fjsCANCELED

An attempt is in the store before anything is dialled, and pages are noted as they are confirmed: a job whose host was
killed goes on behind the last page that is known to have arrived, and is marked uncertain.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, TypeVar

import trio

from vfax.errors import DocumentError, FaxError, MisuseError, StoreError
from vfax.fsp.constants import JobStatusEnum
from vfax.fsp.errors import FaxServiceError
from vfax.fsp.structures import FaxSend, SendHints
from vfax.host.endings import arrived, ended, overtaken, unsent, unwanted
from vfax.host.events import FaxEnded, HostEvent, JobDeleted, JobQueued, StorageFailed
from vfax.host.jobs import Job
from vfax.host.loading import Device
from vfax.host.outgoing import rest_of
from vfax.host.queue_options import QueueOptions
from vfax.host.retry import Decision, Next, RetryPolicy, decide
from vfax.host.service import FaxService, Sent
from vfax.host.store.store import LeaseLost, Store
from vfax.host.store.values import AttemptEnd, Priority, StoredAttempt, StoredJob, Submission
from vfax.outcome import Retry

T = TypeVar("T")

MAX_LOST: Final = 3
"""Limit: attempts of one job that may end with the host being killed."""
SHORTEST_PAUSE: Final = 0.05
AT_ONCE: Final = 4  # jobs that are taken in one transaction: others wait for it


@dataclass(slots=True, eq=False)
class _Running:
    """A job in the hands of this host."""

    job: StoredJob
    operation: Job | None = None
    cancelled: bool = False
    lost: bool = False
    refused: bool = False  # a device said that it has no line
    end: AttemptEnd | None = None  # how its attempt ended, while the store does not know
    over: trio.Event = field(default_factory=trio.Event)


class Queue:
    """Sends the jobs of a store on the devices of a service. `run` works until it is cancelled or the service stops."""

    def __init__(
        self,
        service: FaxService,
        store: Store,
        options: QueueOptions,
        *,
        observe: Callable[[HostEvent], None],
        host: str | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.host = host or service.spool.host_name
        self._service = service
        self._store = store
        self._options = options
        self._observe = observe
        self._clock = clock
        self._running: dict[int, _Running] = {}
        self._bell = trio.Event()
        self._nursery: trio.Nursery | None = None
        self.documents = options.documents or service.spool.root
        self._stopping = False
        self._idle = trio.Event()  # set when the last running job is over
        self._claimed = trio.Event()  # set when nothing is claimed any more
        self._unwanted: set[int] = set()  # jobs that were cancelled since the last ones were taken
        self._plenty = False  # every device found a job the last time: more may be due, and nobody needs to ask
        self._told: dict[str, str] = {}  # the last complaint of the store about each job, and about none

    # --- life --------------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Repair what this host had in hand when it was killed, then send. Raises StoreError when it cannot."""
        await self._in_store(self._store.repair, self.host, self._clock())
        self._service.on_free = self._freed
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._schedule)
            nursery.start_soon(self._keep_leases)
            nursery.start_soon(self._tend)
            task_status.started()

    async def stop(self) -> None:
        """Claim nothing any more and wait until all that runs has ended; the service aborts it."""
        self._stopping = True
        self.kick()
        if self._nursery is None:
            return
        await self._claimed.wait()  # what is being taken meanwhile is in hand then
        if self._running:
            self._idle = trio.Event()
            await self._idle.wait()
        self._nursery.cancel_scope.cancel()

    def _freed(self, job: str) -> None:
        """A device is free again. One that a job of ours had is given to the next when that one's end is written."""
        if not any(running.job.name == job for running in self._running.values()):
            self.kick()

    def kick(self) -> None:
        """Something has changed: look for work."""
        self._bell.set()

    @property
    def running(self) -> tuple[int, ...]:
        """Numbers of the jobs that are being sent."""
        return tuple(self._running)

    # --- what people do ------------------------------------------------------------------------------

    async def submit(self, submission: Submission) -> list[StoredJob]:
        """Queue one document for its recipients: all of them or none. Raises StoreError."""
        if self._stopping:
            raise MisuseError("the service is stopping and takes no jobs any more")
        jobs = await self._in_store(self._store.submit, submission, self._clock())
        for job in jobs:
            self._observe(JobQueued(job.name))
        self.kick()
        return jobs

    async def cancel(self, number: int) -> StoredJob | None:
        """Cancel a job in any state; a running one is aborted and ends as fjsCANCELED. None: there is none."""
        job = await self._in_store(self._store.cancel, number, self._clock())
        running = self._running.get(number)
        if running is not None:
            self._abort(running, cancelled=True)
        elif job is not None and job.status is JobStatusEnum.fjsCANCELED:
            self._observe(JobDeleted(job.name))
        elif job is not None and job.cancel_asked:  # another host's, or being taken at this moment
            self._unwanted.add(number)
        return job

    async def pause(self, number: int) -> StoredJob | None:
        """Hold a waiting job; one that runs goes on as it would."""
        return await self._in_store(self._store.pause, number, self._clock())

    async def resume(self, number: int) -> StoredJob | None:
        """Let a held job go."""
        return await self._changed(self._store.resume, number, self._clock())

    async def set_priority(self, number: int, priority: Priority) -> StoredJob | None:
        """Let a job go earlier or later than others."""
        return await self._changed(self._store.set_priority, number, priority)

    async def reschedule(self, number: int, at: datetime | None) -> StoredJob | None:
        """Send a waiting job not before a time; None: as soon as possible."""
        return await self._changed(self._store.reschedule, number, at)

    async def retry_now(self, number: int) -> StoredJob | None:
        """Try a waiting or failed job now; what was confirmed is not sent again."""
        return await self._changed(self._store.retry_now, number, self._clock())

    async def pause_queue(self, *, paused: bool) -> None:
        """Hold, or let go, all jobs of all hosts; those that run go on."""
        await self._in_store(self._store.pause_queue, paused)
        self.kick()

    async def _changed(self, change: Callable[..., StoredJob | None], *about: object) -> StoredJob | None:
        job = await self._in_store(change, *about)
        self.kick()
        return job

    # --- claiming ------------------------------------------------------------------------------------

    async def _schedule(self) -> None:
        try:
            while not self._stopping:
                self._bell = trio.Event()
                pause = self._options.look
                with self._storing(""):
                    pause = await self._give_out()
                with trio.move_on_after(pause):
                    await self._bell.wait()
        finally:
            self._claimed.set()

    async def _give_out(self) -> float:
        """Give jobs that are due to free devices: seconds until there may be more of either."""
        while not self._stopping and (devices := self._service.senders()[:AT_ONCE]):
            if not self._plenty:
                due = await self._in_store(self._store.next_due)  # reading costs no other transaction its turn
                pause = self._options.look if due is None else (due - self._clock()).total_seconds()
                if pause > 0:
                    return max(SHORTEST_PAUSE, min(self._options.look, pause))
            asked, self._plenty = not self._plenty, False
            taken = await self._take(devices)
            self._plenty = taken == len(devices)
            if asked and not taken:
                await self._expire()  # it is too old to be sent, or another host's by now
                return SHORTEST_PAUSE
        return self._options.look

    async def _take(self, devices: Sequence[Device]) -> int:
        """Begin the next jobs, one for each device: how many there were."""
        take = partial(self._store.take, lease=self._options.lease, devices=[device.device_id for device in devices])
        self._unwanted.clear()
        taken = await self._in_store(take, self.host, self._clock())
        for device, (job, attempt) in zip(devices, taken, strict=False):
            if device.can_send:
                device.job = job.name  # taken before anything waits
            before, running = self._running.get(job.id), _Running(job, cancelled=job.id in self._unwanted)
            self._running[job.id] = running
            assert self._nursery is not None  # it is what runs this
            carry_out = partial(self._carry_out, running, before, device)
            self._nursery.start_soon(self._service.isolated, carry_out, attempt)
        return len(taken)

    async def _put_back(self, running: _Running, *, no_line: bool) -> None:
        again = self._clock() + timedelta(seconds=self._options.no_line_delay) if no_line else None
        put_back = partial(self._store.put_back, no_line=no_line, next_attempt_at=again, now=self._clock())
        running.job = await self._in_store(put_back, running.job)
        self._tell_deleted(running)

    # --- one job -------------------------------------------------------------------------------------

    async def _carry_out(
        self, running: _Running, before: _Running | None, device: Device | None, attempt: StoredAttempt
    ) -> None:
        """Try a job on one device after the other until one of them has had it; `attempt` is begun, on `device`.

        `before`: this host has it in hand already, and forgot to renew the lease; that ends first.
        """
        tried: set[int] = set()
        with self._storing(running.job.name):
            try:
                if before is not None:
                    self._lose(before)
                    await before.over.wait()
                    if before.end is not None and not before.refused:  # else what arrived would be sent again
                        await self._undialled(running, attempt, before.end)
                        return
                while device is not None:
                    tried.add(device.device_id)
                    if await self._attempt(running, device, attempt):
                        return
                    self._release(device, running.job)
                    self.kick()
                    device = None if self._over(running) else self._service.sender(tried)
                    if device is not None:
                        device.job = running.job.name
                        attempt = await self._begin(running.job, device)
                await self._put_back(running, no_line=running.refused and not self._stopping)
            finally:
                self._release(device, running.job)
                if self._running.get(running.job.id) is running:
                    del self._running[running.job.id]
                running.over.set()
                self._told.pop(running.job.name, None)
                if not self._running:
                    self._idle.set()
                self.kick()

    def _release(self, device: Device | None, job: StoredJob) -> None:
        if device is not None and device.job == job.name:
            self._service.give_back(device)

    def _over(self, running: _Running) -> bool:
        return running.cancelled or running.lost or self._stopping

    async def _begin(self, job: StoredJob, device: Device) -> StoredAttempt:
        begin = partial(self._store.begin_attempt, device_id=device.device_id, now=self._clock())
        return await self._in_store(begin, job)

    async def _attempt(self, running: _Running, device: Device, attempt: StoredAttempt) -> bool:
        """Make an attempt that is in the store already. False: this device cannot, another one may."""
        job = running.job
        if running.cancelled:
            return await self._undialled(running, attempt, unwanted(job))
        if device.job != job.name or self._stopping:
            await self._write_end(running, attempt, overtaken(job, stopping=self._stopping))
            return False
        if 0 < job.pages < job.next_page:
            return await self._undialled(running, attempt, arrived(job))
        try:
            order, hints = await self._order(job, device, await self._lost_attempts(job))
        except (DocumentError, StoreError, FaxServiceError) as why:
            again = self._clock() + timedelta(seconds=self._options.no_line_delay)
            return await self._undialled(running, attempt, unsent(job, why, again))
        operation = running.operation = self._service.begin_send(job.name, device)
        if self._over(running):
            operation.abort()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._note_pages, running, attempt, operation)
            sent = await self._service.carry_out_send(operation, order, hints)
            nursery.cancel_scope.cancel()
        running.operation = None
        return await self._end(running, attempt, sent)

    async def _undialled(self, running: _Running, attempt: StoredAttempt, end: AttemptEnd) -> bool:
        await self._write_end(running, attempt, end)
        self._tell_deleted(running)
        return True

    async def _lost_attempts(self, job: StoredJob) -> int:
        """Attempts in which the host was killed: a job that does that must not do it for ever."""
        if not job.uncertain:
            return 0
        return sum(attempt.interrupted for attempt in await self._in_store(self._store.attempts, job.id))

    async def _order(self, job: StoredJob, device: Device, lost: int) -> tuple[FaxSend, SendHints]:
        """What the device is told. A provider without hints is given a document of the pages that are left.

        Raises DocumentError where the service itself did not survive it `lost` times.
        """
        if lost >= MAX_LOST:
            raise DocumentError(f"{lost} attempts to send it ended with the service itself: it is not tried again")
        document = self.documents / job.document
        hints = SendHints(
            first_page=job.next_page,
            max_rate_bps=job.rate_limit_bps,
            ecm=job.ecm,
            subaddress=job.subaddress,
            sender_password=job.sender_password,
        )
        if device.exports.VfaxDevSendHints is None and job.next_page > 1:
            document = await trio.to_thread.run_sync(rest_of, document, job.next_page, self._service.spool.disk)
        options = self._service.options
        order = FaxSend(
            str(document),
            job.recipient.number,
            job.sender_name or options.name,
            job.sender_number or options.local_id,
            job.recipient.name,
        )
        return order, hints

    async def _note_pages(self, running: _Running, attempt: StoredAttempt, operation: Job) -> None:
        """Write down which pages have arrived, while others are under way."""
        noted = running.job.next_page
        while True:
            await trio.sleep(self._options.note_interval)
            facts = operation.facts()
            if facts is None or facts.next_page <= noted:
                continue
            noted = facts.next_page
            with self._storing(running.job.name):
                await self._in_store(
                    self._store.note_pages, running.job, attempt.number, noted - attempt.first_page, noted
                )

    async def _end(self, running: _Running, attempt: StoredAttempt, sent: Sent) -> bool:
        job, ending = running.job, sent.ending
        advice = Retry(sent.record.retry) if sent.record.retry else None
        said = ending.facts.outcome if ending.facts is not None else None
        asked = float(said.retry_after or 0) if said is not None else 0.0
        policy = self._policy(job)
        decision = decide(ending.ok, ending.reported, policy, failures=job.failures, advice=advice, asked=asked)
        running.refused = decision.what is Next.OTHER_LINE
        if ending.stopped_by_host or (running.lost and not ending.ok) or (self._stopping and running.refused):
            decision = Decision(what=Next.RETRY)  # the queue has it again at the next start, no retry used up
        elif running.cancelled and not ending.ok:
            decision = Decision(what=Next.CANCELLED)
        running.end = ended(job, sent, decision, advice, self._clock())
        if not running.lost:
            await self._write_end(running, attempt, running.end)
            running.end = None
        self._observe(FaxEnded(sent.record, None, None))
        self._tell_deleted(running)
        return decision.what is not Next.OTHER_LINE

    async def _write_end(self, running: _Running, attempt: StoredAttempt, end: AttemptEnd) -> None:
        """Write the end down, however long the store is out of reach: an end that is not known means a second try."""
        while True:
            try:
                running.job = await self._in_store(
                    self._store.end_attempt, running.job, attempt.number, end, self._clock()
                )
            except LeaseLost:
                raise
            except StoreError as why:
                self._complain(running.job.name, f"{why}; how the fax ended is written down when it can be")
                if self._stopping:
                    return
                await trio.sleep(self._options.look)
            else:
                return

    def _tell_deleted(self, running: _Running) -> None:
        if running.job.ended_at is not None:
            self._observe(JobDeleted(running.job.name, running.job.device_id))

    def _policy(self, job: StoredJob) -> RetryPolicy:
        return replace(self._options.policy, max_retries=job.max_retries, delay=job.retry_delay)

    # --- beside it -----------------------------------------------------------------------------------

    async def _keep_leases(self) -> None:
        """Renew what is in hand; abort what was taken away, or what was cancelled through another host."""
        while True:
            await trio.sleep(self._options.lease / 3)
            with self._storing(""):
                await self._heed_cancels(await self._renew())

    async def _renew(self) -> set[int]:
        """Hold on to what is in hand; the numbers of what is still ours. What is not is aborted."""
        held = dict(self._running)
        if not held:
            return set()
        leases = {number: running.job.lease_term for number, running in held.items()}
        renew = partial(self._store.renew, lease=self._options.lease)
        ours = await self._in_store(renew, self.host, leases, self._clock())
        for number in leases.keys() - ours:
            if self._running.get(number) is held[number]:  # else it has ended meanwhile, and may have been taken anew
                self._lose(held[number])
        return ours

    async def _heed_cancels(self, numbers: set[int]) -> None:
        for number in numbers:
            job = await self._in_store(self._store.job, number)
            running = self._running.get(number)
            if job is not None and job.cancel_asked and running is not None and not running.cancelled:
                self._abort(running, cancelled=True)

    async def _tend(self) -> None:
        """Give up what has become too old, take over what a host that is gone had in hand."""
        while True:
            with self._storing(""):
                await self._expire()
                await self._renew()  # first: a clock that jumps makes leases old, ours too
                if await self._in_store(self._store.repair, None, self._clock()):
                    self.kick()
            await trio.sleep(self._options.expire_interval)

    async def _expire(self) -> None:
        while expired := await self._in_store(self._store.expire, self._clock()):
            for job in expired:
                self._observe(JobDeleted(job.name))

    def _lose(self, running: _Running) -> None:
        running.lost = True
        self._abort(running, cancelled=False)

    def _abort(self, running: _Running, *, cancelled: bool) -> None:
        running.cancelled = running.cancelled or cancelled
        if running.operation is not None:
            self._service.abort(running.operation.id)

    # --- the store -----------------------------------------------------------------------------------

    async def _in_store(self, call: Callable[..., T], *about: object) -> T:
        """Call the store in a thread; what was begun is finished, whoever is cancelled meanwhile."""
        results: list[T] = []
        with trio.CancelScope(shield=True):
            results.append(await trio.to_thread.run_sync(partial(call, *about)))
        return results[0]

    @contextmanager
    def _storing(self, job: str) -> Iterator[None]:
        """What the store refuses is told once, and the queue goes on: leases and repairs bring the job back."""
        try:
            yield
            self._told.pop(job, None)
        except LeaseLost as why:
            self._complain(job, f"{why}; what this host did about it is not written down")
        except FaxError as why:
            self._complain(job, str(why))

    def _complain(self, job: str, sentence: str) -> None:
        if sentence != self._told.get(job):
            self._told[job] = sentence
            self._observe(StorageFailed(job, sentence))
