"""Receptions: from the ring that a device took to the document in the inbox, and to the ledger behind it.

Owns      one reception's course, what waits because the disk refused it, what a crash left behind.
Not here  which ring is taken (service.py), the operation (jobs.py), what a reception's end means (reception.py).
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import trio

from vfax.errors import StoreError
from vfax.fsp.constants import JobType
from vfax.fsp.structures import FaxReceive
from vfax.host import reception
from vfax.host.events import (
    Direction,
    FaxEnded,
    FaxRecovered,
    HostEvent,
    RingReceived,
    RoutingBegun,
    StatusPosted,
    StorageFailed,
)
from vfax.host.jobs import Ending, Job
from vfax.host.loading import Device
from vfax.host.records import FaxRecord, without_call
from vfax.host.spool import Kept, Spool
from vfax.outcome import Cause

if TYPE_CHECKING:
    from vfax.host.service import HostOptions

MAX_UNDELIVERED: Final = 1_000
"""Limit: faxes remembered for another attempt; the others wait in the spool for the next start."""


class Ledger(Protocol):
    """Who keeps book of receptions beside the spool; no method raises for what its book cannot take."""

    @property
    def behind(self) -> bool:
        """Its book has refused something: `catch_up` is wanted now and then."""

    async def begin(self, job: str, device_id: int) -> None:
        """A call rings on the device and has a job."""

    async def end(self, record: FaxRecord, kept: Kept | None) -> Kept | None:
        """It is over; `kept` is where it is in the spool, None while the disk refuses it (it is told again then).

        Returns where it is now.
        """

    async def catch_up(self) -> object:
        """The spool holds faxes that were not told, or not written down."""


class NoLedger:
    """Nobody keeps book."""

    behind = False

    async def begin(self, job: str, device_id: int) -> None:
        """As of Ledger."""

    async def end(self, record: FaxRecord, kept: Kept | None) -> Kept | None:
        """As of Ledger."""
        return kept

    async def catch_up(self) -> object:
        """As of Ledger."""
        return None


class Desk(Protocol):
    """What a reception needs of the service."""

    options: "HostOptions"
    spool: Spool
    clock: Callable[[], datetime]

    def observe(self, event: HostEvent, /) -> None:
        """Tell whoever watches."""

    def begin(self, job_id: str, device: Device, direction: Direction, started_at: datetime, /) -> Job:
        """Take the device for a job."""
        ...

    def end(self, job: Job, /) -> None:
        """Give the device back."""

    def give_back(self, device: Device, /) -> None:
        """Give back a device on which no job was begun."""

    def drain_statuses(self) -> None:
        """Take what was posted so far."""

    async def isolated(self, task: Callable[[str], Awaitable[None]], about: str, /) -> None:
        """Run a task so that a fault of this host ends it and nothing else."""


class Receptions:
    """The receptions of one service."""

    def __init__(self, desk: Desk, ledger: Ledger | None = None) -> None:
        self._desk = desk
        self._ledger = ledger if ledger is not None else NoLedger()
        self._undelivered: dict[str, tuple[FaxRecord, Ending]] = {}
        self._unrecovered: set[str] = set()
        self._delivering = trio.Lock()

    async def recover(self) -> None:
        """Deliver what a crash left in the spool, before the first new fax."""
        for job in await trio.to_thread.run_sync(self._desk.spool.leftovers):
            await self._desk.isolated(self._recover_one, job)

    async def _recover_one(self, job: str) -> None:
        """Deliver what is left of one job; what the disk refuses is tried again later, as other faxes are."""
        tried_before = job in self._unrecovered
        self._unrecovered.add(job)
        try:
            where, words = await trio.to_thread.run_sync(reception.recover, self._desk.spool, job)
        except StoreError as why:
            if not tried_before:
                self._desk.observe(StorageFailed(job, str(why)))
            return
        self._unrecovered.discard(job)
        self._desk.observe(FaxRecovered(job, where, words))

    async def receive(self, device: Device) -> None:
        """Receive what rings on a device that has been taken."""
        started_at = self._desk.clock()
        try:
            job_id, path = await trio.to_thread.run_sync(self._desk.spool.create_job_file)
        except StoreError as why:
            self._desk.give_back(device)
            self._desk.observe(StorageFailed("", f"{why}; the ring on {device.name} is left unanswered"))
            return
        job = self._desk.begin(job_id, device, Direction.RECEIVE, started_at)
        self._desk.observe(RingReceived(job_id, device.device_id))
        try:
            async with trio.open_nursery() as nursery:  # who calls does not wait for the book
                nursery.start_soon(self._desk.isolated, lambda job: self._ledger.begin(job, device.device_id), job_id)
                ending = await job.carry_out(lambda handle: self._call_receive(device, handle, path))
                self._desk.drain_statuses()
                job.tell_end(ending)
            await self._conclude(job, ending)
        finally:
            self._desk.end(job)

    async def _call_receive(self, device: Device, handle: object, path: Path) -> None:
        slot = FaxReceive(str(path), self._desk.options.name, self._desk.options.local_id)
        await device.exports.FaxDevReceive(handle, None, slot)

    async def _conclude(self, job: Job, ending: Ending) -> None:
        record = reception.record_of(job.id, job.device, ending, job.started_at, self._desk.clock())
        try:
            record, kept = await trio.to_thread.run_sync(reception.conclude, self._desk.spool, record, ending)
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
            self._desk.observe(StorageFailed(job.id, f"{why}; what was received waits in {self._desk.spool.incoming}"))
            self._desk.observe(FaxEnded(replace(record, job_type=JobType.JT_FAIL_RECEIVE), None, None))
        else:
            if record.status_id != ending.status.status_id:  # it was called complete, and the document says otherwise
                self._desk.observe(StatusPosted(job.id, job.device.device_id, record.status_id))
            if kept.document is not None:
                self._desk.observe(RoutingBegun(job.id, job.device.device_id))
            kept = await self._ledger.end(record, kept) or kept
            self._desk.observe(FaxEnded(record, kept.document, kept.record))

    async def deliver_later(self) -> None:
        """Try now and then what the disk refused."""
        while True:
            await trio.sleep(self._desk.options.redeliver_interval)
            await self.redeliver()

    async def redeliver(self) -> None:
        """Try once more what the disk refused; what it refuses again waits on, in silence."""
        async with self._delivering:
            waiting = sorted(self._unrecovered)
            for job in waiting:
                await self._desk.isolated(self._recover_one, job)
            if len(self._unrecovered) < len(waiting) or self._ledger.behind:
                await self._ledger.catch_up()
            for job, (record, ending) in list(self._undelivered.items()):
                try:
                    late = await trio.to_thread.run_sync(reception.conclude_late, self._desk.spool, record, ending)
                except StoreError:
                    continue
                del self._undelivered[job]
                if late is not None:
                    record, kept = late
                    await self._ledger.end(record, kept)
                    where = kept.document or kept.record
                    self._desk.observe(FaxRecovered(job, where, "What the disk had refused is delivered now:"))
