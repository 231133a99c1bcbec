"""Jobs as they come and as they are read.

Owns      submitting, receiving, listing, counting; drawing numbers for new jobs.
Not here  claiming and ending them (leases.py), what people do with them (people.py).
"""

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, bindparam, func, insert, select

from vfax.errors import StoreError
from vfax.fsp.constants import JobStatusEnum, JobType
from vfax.host.spool import JOB_ID_TRIES
from vfax.host.store import checks
from vfax.host.store.base import BEGUN, StoreBase, chunks
from vfax.host.store.prepared import Prepared
from vfax.host.store.rows import attempt_of, attempt_row, inserted_job, job_of, named_job, new_job, submitted_job
from vfax.host.store.schema import attempts, jobs
from vfax.host.store.values import StoredAttempt, StoredJob, Submission

FIRST_TERM: Final = 1

_JOB: Final = Prepared(select(jobs).where(jobs.c.id == bindparam("which")))
_INSERTED: Final = Prepared(insert(jobs))
_IS_TAKEN: Final = Prepared(select(jobs.c.id).where(jobs.c.id == bindparam("which")))
_ARE_TAKEN: Final = select(jobs.c.id).where(jobs.c.id.in_(bindparam("drawn", expanding=True)))


class Jobs(StoreBase):
    """The store's jobs."""

    def submit(self, submission: Submission, now: datetime) -> list[StoredJob]:
        """Make a job for each recipient, in their order: all or none, fjsPENDING.

        The number of the submission is that of its first job. Raises MisuseError for what is no submission.
        """
        checks.submission(submission, self._limits)
        checks.moment(now)

        def work(db: Connection) -> list[StoredJob]:
            drawn = self._draw(db, len(submission.recipients))
            rows = [
                submitted_job(submission, recipient, job, drawn[0], now)
                for recipient, job in zip(submission.recipients, drawn, strict=True)
            ]
            _INSERTED.each(db, rows)
            return [inserted_job(row) for row in rows]

        return self._database.write(work, redraw=True)

    def receive(self, job: int, *, device_id: int, host: str, now: datetime, lease: float | None = None) -> StoredJob:
        """Note that `host` receives a fax: JT_RECEIVE, fjsINPROGRESS, attempt 1 running.

        `lease`: for how many seconds; None: for as long as it takes, for the pages are on that host's disk and no other
        could go on. Raises StoreError when the number is taken.
        """
        checks.job_number(job)
        checks.whole("device id", device_id)
        checks.name("host", host, self._limits)
        checks.moment(now)
        row = new_job(job, job_type=JobType.JT_RECEIVE, status=JobStatusEnum.fjsINPROGRESS, created_at=now)
        row |= {"device_id": device_id, "attempts": 1}
        row |= {
            "lease_owner": host,
            "lease_until": None if lease is None else checks.later(now, lease),
            "lease_term": FIRST_TERM,
        }

        def work(db: Connection) -> StoredJob:
            if _taken(db, [job]):
                raise StoreError(f"the number of job {job:08x} is taken in {self._database.name}: draw another one")
            _INSERTED.run(db, row)
            begun = StoredAttempt(job=job, number=1, host=host, device_id=device_id, started_at=now)
            BEGUN.run(db, attempt_row(begun))
            return inserted_job(row)

        return self._database.write(work, redraw=True)

    def job(self, job: int) -> StoredJob | None:
        """The job, or None."""
        checks.job_number(job)
        row = self._database.read(lambda db: _JOB.named(db, {"which": job}))
        return None if row is None else named_job(row)

    def jobs(
        self,
        *,
        status: JobStatusEnum | None = None,
        owner: str | None = None,
        ended: bool | None = None,
        limit: int = 100,
        before: int | None = None,
    ) -> list[StoredJob]:
        """Jobs that all of what is said is true of, newest first.

        `before`: older than that job, to go on where a list ended; nothing when that job is not there any more.
        """
        query = select(jobs).order_by(jobs.c.ordinal.desc()).limit(self._rows(limit))
        if status is not None:
            query = query.where(jobs.c.status == status)
        if owner is not None:
            query = query.where(jobs.c.owner == owner)
        if ended is not None:
            query = query.where(jobs.c.ended_at.is_not(None) if ended else jobs.c.ended_at.is_(None))
        if before is not None:
            checks.job_number(before)
            query = query.where(jobs.c.ordinal < select(jobs.c.ordinal).where(jobs.c.id == before).scalar_subquery())
        return [job_of(row) for row in self._database.read(lambda db: db.execute(query).all())]

    def attempts(self, job: int) -> list[StoredAttempt]:
        """The attempts of a job in their order; none for a job that nobody knows."""
        checks.job_number(job)
        query = select(attempts).where(attempts.c.job == job).order_by(attempts.c.number)
        return [attempt_of(row) for row in self._database.read(lambda db: db.execute(query).all())]

    def counts(self) -> dict[JobStatusEnum, int]:
        """How many jobs there are of each status; a status without jobs is left out."""
        query = select(jobs.c.status, func.count()).group_by(jobs.c.status)
        return {row[0]: row[1] for row in self._database.read(lambda db: db.execute(query).all())}

    def _draw(self, db: Connection, count: int) -> list[int]:
        """Unused job numbers. Another host may draw the same meanwhile: then the insert fails and all is redone."""
        drawn: dict[int, None] = {}
        for _ in range(JOB_ID_TRIES):
            fresh = [checks.job_number(self._job_ids()) for _ in range(count - len(drawn))]
            taken = _taken(db, fresh)
            drawn |= dict.fromkeys(job for job in fresh if job not in taken)
            if len(drawn) == count:
                return list(drawn)
        raise StoreError(f"no unused job number was found in {self._database.name} after {JOB_ID_TRIES} attempts")


def _taken(db: Connection, drawn: list[int]) -> set[int]:
    if len(drawn) == 1:
        return {number for (number,) in _IS_TAKEN.rows(db, {"which": drawn[0]})}
    found: set[int] = set()
    for part in chunks(drawn):
        found.update(db.execute(_ARE_TAKEN, {"drawn": part}).scalars())
    return found
