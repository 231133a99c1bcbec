"""Received faxes: how they come into the store.

Owns      ending a reception, faxes found after a crash, listing faxes.
Not here  their deliveries after the first moment (deliveries.py), housekeeping (keeping.py), files (host/spool.py).
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, bindparam, insert, select, tuple_, update

from vfax.errors import LeaseLost, MisuseError, StoreError
from vfax.fsp.constants import NO_JOB, FaxStatus, JobStatusEnum, JobType
from vfax.host.store import checks, transitions
from vfax.host.store.base import StoreBase, apply, chunks, locked_job
from vfax.host.store.leases import attempt_ended
from vfax.host.store.limits import StoreLimits
from vfax.host.store.prepared import Prepared
from vfax.host.store.rows import delivery_of, fax_of, named_delivery, new_delivery, new_fax, new_job
from vfax.host.store.schema import attempts, faxes
from vfax.host.store.schema import deliveries as delivery_rows
from vfax.host.store.schema import jobs as job_rows
from vfax.host.store.values import AttemptEnd, NewDelivery, StoredDelivery, StoredFax, StoredJob

_RUNNING: Final = Prepared(update(attempts).where(attempts.c.job == bindparam("which"), attempts.c.ended_at.is_(None)))
_CAME: Final = Prepared(insert(faxes))
_DUE: Final = Prepared(insert(delivery_rows).returning(delivery_rows))


class Faxes(StoreBase):
    """The store's received faxes."""

    def end_receive(
        self, job: int, attempt_end: AttemptEnd, fax: StoredFax, deliveries: Sequence[NewDelivery], now: datetime
    ) -> list[StoredDelivery]:
        """End a reception, keep its fax and make its deliveries, due at once and in their order: as one.

        A reception that failed makes the job JT_FAIL_RECEIVE. `fax.delivered_at` and `removed_at` are not looked at.
        Raises LeaseLost when the job is not being received (any more): then `add_fax` keeps what there is.
        """
        checks.job_number(job)
        checks.attempt_end(attempt_end, self._limits, waiting=False)
        checks.fax(fax, job, self._limits)
        checks.new_deliveries(deliveries, self._limits)
        checks.moment(now)
        sentence = checks.cut(attempt_end.sentence, self._limits)

        def work(db: Connection) -> list[StoredDelivery]:
            found = locked_job(db, job)
            if found is None or found.job_type is not JobType.JT_RECEIVE or not transitions.runs(found):
                raise LeaseLost(f"job {job:08x} is not being received: keep what there is of it with add_fax")
            _RUNNING.run(db, {"which": job, **attempt_ended(attempt_end, sentence, now)})
            failed = attempt_end.status in transitions.FAILED
            apply(
                db,
                found,
                {
                    **transitions.ended(found, attempt_end, now),
                    "sentence": sentence,
                    "job_type": JobType.JT_FAIL_RECEIVE if failed else JobType.JT_RECEIVE,
                    "document": fax.document or "",
                    "pages": attempt_end.pages_confirmed,
                },
            )
            return _keep(db, fax, deliveries, now)

        return self._database.write(work)

    def add_fax(
        self, fax: StoredFax, deliveries: Sequence[NewDelivery], now: datetime, *, job_type: JobType
    ) -> list[StoredDelivery]:
        """Keep a fax that was found after a crash, with its job should that be missing; the deliveries it has.

        `job_type` is JT_RECEIVE or JT_FAIL_RECEIVE. A fax that is there already stays as it is, its deliveries too.
        Raises StoreError when its job number is that of a fax that is sent.
        """
        checks.fax(fax, None, self._limits)
        checks.new_deliveries(deliveries, self._limits)
        checks.moment(now)
        if job_type not in (JobType.JT_RECEIVE, JobType.JT_FAIL_RECEIVE):
            raise MisuseError(f"a received fax is of a job of type {job_type!r}: give JT_RECEIVE or JT_FAIL_RECEIVE")
        changes = recovered(fax, JobType(job_type), self._limits)

        def work(db: Connection) -> list[StoredDelivery]:
            found = locked_job(db, fax.job)
            if found is not None and db.execute(select(faxes.c.job).where(faxes.c.job == fax.job)).first():
                return _of_job(db, fax.job)
            _recover(db, found, fax, changes, now)
            return _keep(db, fax, deliveries, now)

        return self._database.write(work, redraw=True)

    def faxes(self, *, delivered: bool | None = None, limit: int = 100, before: int | None = None) -> list[StoredFax]:
        """Received faxes, newest first.

        `delivered`: those of which every delivery is done, or that have none; or else the others. `before`: older than
        the fax of that job; nothing when that is not there any more.
        """
        query = select(faxes).order_by(faxes.c.received_at.desc(), faxes.c.job.desc()).limit(self._rows(limit))
        if delivered is not None:
            query = query.where(faxes.c.outstanding == 0 if delivered else faxes.c.outstanding > 0)
        if before is not None:
            last = select(faxes.c.received_at, faxes.c.job).where(faxes.c.job == checks.job_number(before))
            query = query.where(tuple_(faxes.c.received_at, faxes.c.job) < last.scalar_subquery())
        return [fax_of(row) for row in self._database.read(lambda db: db.execute(query).all())]

    def fax(self, job: int) -> StoredFax | None:
        """The fax that the job received, or None."""
        checks.job_number(job)
        row = self._database.read(lambda db: db.execute(select(faxes).where(faxes.c.job == job)).one_or_none())
        return None if row is None else fax_of(row)

    def known_faxes(self, jobs: Collection[int]) -> set[int]:
        """Those of the jobs of which the store has the fax."""
        asked = [checks.job_number(job) for job in checks.each("jobs", jobs)]

        def work(db: Connection) -> set[int]:
            found: set[int] = set()
            for part in chunks(asked):
                found.update(db.execute(select(faxes.c.job).where(faxes.c.job.in_(part))).scalars())
            return found

        return self._database.read(work)


def recovered(fax: StoredFax, job_type: JobType, limits: StoreLimits) -> dict[str, object]:
    """What a job has of a fax that was found: its record says how it ended (host/records.py), if it does."""
    whole = job_type is JobType.JT_RECEIVE
    outcome = fax.record.get("outcome")
    said: Mapping[str, object] = outcome if isinstance(outcome, Mapping) else {}
    sentence, cause = said.get("sentence"), said.get("cause")
    return {
        "job_type": job_type,
        "status": JobStatusEnum.fjsCOMPLETED if whole else JobStatusEnum.fjsFAILED,
        "document": fax.document or "",
        "pages": _pages(fax.record),
        "record": fax.record,
        "sentence": checks.cut(sentence if isinstance(sentence, str) else "", limits),
        "cause": checks.cut(cause if isinstance(cause, str) else "", limits),
        "status_id": FaxStatus.FS_COMPLETED if whole else FaxStatus.FS_FATAL_ERROR,
    }


def _pages(record: Mapping[str, object]) -> int:
    """How many it says there are; 0 when it says none that a job can have."""
    pages = record.get("pages")
    return pages if isinstance(pages, int) and not isinstance(pages, bool) and 0 <= pages <= NO_JOB else 0


def _recover(
    db: Connection, found: StoredJob | None, fax: StoredFax, changes: Mapping[str, object], now: datetime
) -> None:
    """Give the fax an ended job: a new one, or the one whose end the crash took away."""
    if found is None:
        kind, status = JobType.JT_RECEIVE, JobStatusEnum.fjsCOMPLETED
        row = new_job(fax.job, job_type=kind, status=status, created_at=fax.received_at) | {**changes, "ended_at": now}
        db.execute(insert(job_rows), row)
        return
    if found.job_type not in (JobType.JT_RECEIVE, JobType.JT_FAIL_RECEIVE):
        raise StoreError(
            f"job {found.name} sends a fax, it received none: move the document found under its number away"
        )
    told = {"ended_at": now, "interrupted": True, "sentence": transitions.INTERRUPTED}
    _RUNNING.run(db, {"which": found.id, **told})
    apply(db, found, {**transitions.over(found.status, found.ended_at or now), **changes})


def _keep(db: Connection, fax: StoredFax, targets: Sequence[NewDelivery], now: datetime) -> list[StoredDelivery]:
    _CAME.run(db, new_fax(fax, len(targets)))
    made = [_DUE.named(db, new_delivery(fax.job, target, now)) for target in targets]
    return [named_delivery(row) for row in made if row is not None]


def _of_job(db: Connection, job: int) -> list[StoredDelivery]:
    query = select(delivery_rows).where(delivery_rows.c.job == job).order_by(delivery_rows.c.id)
    return [delivery_of(row) for row in db.execute(query)]
