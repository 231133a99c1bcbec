"""What people do with jobs and with the queue.

Owns      cancelling, pausing, priorities, schedules, retrying at once, pausing the whole queue; whether there is work.
Not here  who may do it (the service for clients), aborting a running call (host/queue.py).

Each returns the job as it is then, unchanged where it has come too far for that, or None for one that nobody knows.
"""

from datetime import datetime

from sqlalchemy import exists, or_, select, update

from vfax.errors import MisuseError
from vfax.fsp.constants import JobType
from vfax.host.store import checks, transitions
from vfax.host.store.base import StoreBase
from vfax.host.store.leases import PAUSED
from vfax.host.store.schema import deliveries, jobs, state
from vfax.host.store.values import Priority, StoredJob


class People(StoreBase):
    """The store's jobs and queue in the hands of people."""

    def cancel(self, job: int, now: datetime) -> StoredJob | None:
        """End a waiting job as fjsCANCELED; ask for the end of a running one (`cancel_asked`)."""
        checks.moment(now)
        return self._change(job, lambda found: transitions.canceled(found, now))

    def pause(self, job: int, now: datetime) -> StoredJob | None:
        """Hold a waiting job back."""
        checks.moment(now)
        return self._change(job, lambda found: transitions.paused(found, paused=True))

    def resume(self, job: int, now: datetime) -> StoredJob | None:
        """Let go of a paused job."""
        checks.moment(now)
        return self._change(job, lambda found: transitions.paused(found, paused=False))

    def set_priority(self, job: int, priority: Priority) -> StoredJob | None:
        """Give a job that has not ended another priority."""
        try:
            wanted = Priority(priority)
        except (ValueError, TypeError):
            raise MisuseError(f"the priority is {priority!r}: give LOW, NORMAL or HIGH") from None
        return self._change(job, lambda found: {} if found.ended_at else {"priority": wanted})

    def reschedule(self, job: int, schedule_at: datetime | None) -> StoredJob | None:
        """Send a waiting job not before `schedule_at`; None: as soon as possible."""
        checks.times(schedule_at)
        return self._change(job, lambda found: transitions.rescheduled(found, schedule_at))

    def retry_now(self, job: int, now: datetime) -> StoredJob | None:
        """Make a waiting job due at once (a paused one stays paused); let a send job that failed wait again.

        The latter gets all its retries anew, and loses an expiry that is past.
        """
        checks.moment(now)
        return self._change(job, lambda found: transitions.retried(found, now))

    def pause_queue(self, paused: bool) -> None:
        """Let no host claim anything, or let them again; once this returns, no claim that began before comes after."""
        checks.instance("state of the queue", paused, bool)
        flag = update(state).where(state.c.name == "paused").values(value=int(paused))
        self._database.write(lambda db: db.execute(flag))

    def anything_to_do(self) -> bool:
        """Whether a job to send, or a delivery of a received fax, has not come to its end."""
        job = exists().where(jobs.c.job_type == JobType.JT_SEND, jobs.c.ended_at.is_(None))
        delivery = exists().where(deliveries.c.due_at.is_not(None))
        return bool(self._database.read(lambda db: db.execute(select(or_(job, delivery))).scalar_one()))

    def queue_paused(self) -> bool:
        """Whether the queue is paused, for all hosts."""
        return bool(self._database.read(lambda db: db.execute(PAUSED).scalar_one()))
