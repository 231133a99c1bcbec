"""What every part of the store stands on: one database, its limits, and reading a job to change it.

Owns      the parts' common base; reading one job under lock and writing its changes.
Not here  opening and closing (store.py), the parts themselves.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Final, TypeVar

from sqlalchemy import Connection, bindparam, insert, select, update

from vfax.errors import LeaseLost
from vfax.host.store import checks
from vfax.host.store.database import Database
from vfax.host.store.limits import StoreLimits
from vfax.host.store.prepared import Prepared
from vfax.host.store.rows import named_job
from vfax.host.store.schema import attempts, jobs
from vfax.host.store.transitions import Changes, runs
from vfax.host.store.values import StoredJob

T = TypeVar("T")
CHUNK = 500
"""Values in one IN list: well under what both databases take."""

# Statements of every step of a job are made once: making one takes longer than the database takes to carry it out.
_LOCKED: Final = Prepared(select(jobs).where(jobs.c.id == bindparam("which")).with_for_update())
_CHANGED: Final = Prepared(update(jobs).where(jobs.c.id == bindparam("which")).returning(jobs))
BEGUN: Final = Prepared(insert(attempts))
"""An attempt begins."""


class StoreBase:
    """One database behind the parts of a store; `job_ids` draws numbers for new jobs."""

    def __init__(self, database: Database, limits: StoreLimits, job_ids: Callable[[], int]) -> None:
        self._database = database
        self._limits = limits
        self._job_ids = job_ids

    def _change(self, job: int, step: Callable[[StoredJob], Changes]) -> StoredJob | None:
        """Take one step with one job; None when nobody knows the job."""
        checks.job_number(job)

        def work(db: Connection) -> StoredJob | None:
            found = locked_job(db, job)
            return found and apply(db, found, step(found))

        return self._database.write(work)

    def _rows(self, limit: int) -> int:
        return checks.whole("limit", limit, high=self._limits.max_rows)


def locked_job(db: Connection, job: int) -> StoredJob | None:
    """The job, unchanged by others until the transaction ends."""
    row = _LOCKED.named(db, {"which": job})
    return None if row is None else named_job(row)


def held_job(db: Connection, held: StoredJob, now: datetime | None = None) -> StoredJob:
    """The job as it is now, provided that the claim by which `held` was read still stands.

    With `now`, the lease must not have run out either. Raises LeaseLost.
    """
    found = locked_job(db, held.id)
    if found is None:
        raise LeaseLost(f"job {held.name} is no longer in the store")
    if not runs(found) or (found.lease_owner, found.lease_term) != (held.lease_owner, held.lease_term):
        holder = f"held by {found.lease_owner}, term {found.lease_term}" if runs(found) else str(found.status.name)
        raise LeaseLost(
            f"job {held.name} is not {held.lease_owner}'s any more (term {held.lease_term}): it is {holder}"
        )
    if now is not None and found.lease_until is not None and found.lease_until <= now:
        raise LeaseLost(f"the lease of job {held.name} ran out at {found.lease_until.isoformat()}: let go of it")
    return found


def apply(db: Connection, job: StoredJob, changes: Changes) -> StoredJob:
    """Write what changes and return the job as it is then."""
    if not changes:
        return job
    row = _CHANGED.named(db, {"which": job.id, **changes})
    assert row is not None, "it was read in this transaction"
    return named_job(row)


def chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """`values` in parts that fit into one statement."""
    for at in range(0, len(values), CHUNK):
        yield values[at : at + CHUNK]
