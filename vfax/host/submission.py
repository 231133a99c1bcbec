"""One document that a caller waits for, on its way through the devices.

Owns      which devices are tried, and what is said of a fax that found none.
Not here  one attempt on one device (service.py, jobs.py), documents that wait for their turn (queue.py).
"""

from pathlib import Path
from typing import TYPE_CHECKING

import trio

from vfax.fsp.constants import FaxStatus, JobType
from vfax.fsp.structures import FaxSend
from vfax.host.events import FaxEnded, JobDeleted, JobQueued
from vfax.host.jobs import Job
from vfax.host.records import FaxRecord, without_call
from vfax.host.spool import new_job_id
from vfax.outcome import Cause

if TYPE_CHECKING:
    from vfax.host.loading import Device
    from vfax.host.service import FaxService


class Submission:
    """A document for `destination`; its number stays the same on each device. `carry_out` sends, `wait` waits for it.

    Raises InvalidField when the destination is no text a provider could be given.
    """

    def __init__(self, service: "FaxService", document: Path, destination: str, receiver_name: str) -> None:
        self._service = service
        options = service.options
        self._order = FaxSend(str(document.absolute()), destination, options.name, options.local_id, receiver_name)
        self._record = self._no_line(destination)
        self._job_id = self._record.job
        self._job: Job | None = None
        self._cancelled = False
        self._done = trio.Event()
        service.observe(JobQueued(self._job_id))

    async def wait(self) -> FaxRecord:
        """Return how it went. Cancelling aborts the fax politely and waits for its end."""
        try:
            await self._done.wait()
        finally:
            self._cancelled = not self._done.is_set()
            if self._job is not None:
                self._service.drain_statuses()
                self._job.abort()
            with trio.CancelScope(shield=True):
                await self._done.wait()
        return self._record

    async def carry_out(self) -> None:
        """Try one free device after the other, until one of them has a line."""
        service, tried = self._service, set[int]()
        try:
            while not self._cancelled and (device := service.sender(tried)) is not None:
                tried.add(device.device_id)
                await self._send_on(device)
                if self._record.status_id != FaxStatus.FS_LINE_UNAVAILABLE:
                    break
            service.observe(FaxEnded(self._record, None, None))
        finally:
            service.observe(JobDeleted(self._job_id, self._record.device_id))  # also after a fault of this host
            self._done.set()

    async def _send_on(self, device: "Device") -> None:
        job = self._job = self._service.begin_send(self._job_id, device)
        self._record = (await self._service.carry_out_send(job, self._order)).record

    def _no_line(self, destination: str) -> FaxRecord:
        now = self._service.clock()
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
