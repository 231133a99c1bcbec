"""Housekeeping: what may go, what is gone, and a copy of everything.

Owns      which documents may be removed, pruning ended jobs and old events, backup.
Not here  how long anything is kept, and removing the files (host/keeping.py).

A fax that is not delivered is never offered for removal, and its job is never pruned.
"""

import os
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, and_, delete, exists, func, or_, select, update

from vfax.errors import StoreError
from vfax.fsp.constants import JobStatusEnum, JobType
from vfax.host.spool import sync_file, sync_folder
from vfax.host.store import checks
from vfax.host.store.base import StoreBase
from vfax.host.store.rows import fax_of
from vfax.host.store.schema import events, faxes, jobs, state
from vfax.host.store.values import StoredFax

NEW_SUFFIX: Final = ".new"
_KEPT: Final = and_(faxes.c.document.is_not(None), faxes.c.removed_at.is_(None))


class Keeping(StoreBase):
    """The store's housekeeping."""

    def removable(self, *, before: datetime, limit: int = 100) -> list[StoredFax]:
        """Faxes received before that time whose document is there, with nothing left to deliver; oldest first."""
        checks.moment(before)
        return self._faxes(_delivered(self._rows(limit)).where(faxes.c.received_at < before))

    def oldest_delivered(self, limit: int = 100) -> list[StoredFax]:
        """The same of any age."""
        return self._faxes(_delivered(self._rows(limit)))

    def octets_kept(self) -> int:
        """Octets of all documents that are there."""
        query = select(func.coalesce(func.sum(faxes.c.octets), 0)).where(_KEPT)
        return int(self._database.read(lambda db: db.execute(query).scalar_one()))

    def documents(self) -> set[str]:
        """Documents to send that are still needed: of jobs that have not been sent and may yet be."""
        over = (JobStatusEnum.fjsCOMPLETED, JobStatusEnum.fjsCANCELED)
        query = select(jobs.c.document).where(jobs.c.job_type == JobType.JT_SEND, jobs.c.status.not_in(over)).distinct()
        return set(self._database.read(lambda db: db.execute(query).scalars().all()))

    def mark_removed(self, job: int, now: datetime) -> None:
        """Note that the document of the job's fax is gone; nothing changes when that is known."""
        checks.job_number(job)
        checks.moment(now)
        gone = update(faxes).where(faxes.c.job == job, faxes.c.removed_at.is_(None)).values(removed_at=now)
        self._database.write(lambda db: db.execute(gone))

    def prune(self, *, jobs_before: datetime, keep_events: int) -> int:
        """Forget jobs that ended before that time, with their attempts, and all but the newest events; how many.

        A job stays while its fax has a document or a delivery that is not done. At most `batch` jobs and `max_rows`
        events go at once: call it again until it returns 0.
        """
        checks.moment(jobs_before)
        checks.whole("number of events to keep", keep_events, high=(1 << 63) - 1)
        old = select(jobs.c.id).where(jobs.c.ended_at < jobs_before, _forgettable()).order_by(jobs.c.ended_at)
        old = old.limit(self._limits.batch).with_for_update(skip_locked=True)

        def work(db: Connection) -> int:
            gone = db.execute(old).scalars().all()
            pruned = db.execute(delete(jobs).where(jobs.c.id.in_(gone))).rowcount if gone else 0
            return pruned + _prune_events(db, keep_events, self._limits.max_rows)

        return self._database.write(work)

    def backup(self, target: Path) -> None:
        """Copy the database to `target`, a file that is not there yet, while others go on using it.

        The copy is as of one moment, checked, and whole or absent. Raises StoreError: `target` is there or cannot be
        written, or the database is PostgreSQL (then pg_dump is the tool).
        """
        if not self._database.is_sqlite:
            raise StoreError(f"{self._database.name} is not copied by vfax: use pg_dump, and pg_restore to get it back")
        checks.file("target", target)
        new = target.with_name(f"{target.name}{NEW_SUFFIX}")
        try:
            if target.exists():
                raise StoreError(f"the backup {target} is there already: choose another name")
            new.unlink(missing_ok=True)  # a crash may have left it
            os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o640))
            try:
                self._database.copy(new)
                sync_file(new)
                os.rename(new, target)
            finally:
                new.unlink(missing_ok=True)
            sync_folder(target.absolute().parent)
        except OSError as why:
            raise StoreError(f"the backup {target} cannot be written: {why.strerror or why}") from why

    def _faxes(self, query: Select[Any]) -> list[StoredFax]:
        return [fax_of(row) for row in self._database.read(lambda db: db.execute(query).all())]


def _delivered(limit: int) -> Select[Any]:
    """Documents that may go."""
    oldest = select(faxes).where(_KEPT, faxes.c.outstanding == 0).order_by(faxes.c.received_at, faxes.c.job)
    return oldest.limit(limit)


def _forgettable() -> ColumnElement[bool]:
    """No fax, or one that was delivered and has left no document."""
    left = or_(faxes.c.outstanding > 0, _KEPT)
    return ~exists().where(faxes.c.job == jobs.c.id, left)


def _prune_events(db: Connection, keep: int, most: int) -> int:
    """Numbers have no gaps: all but the newest are those up to the last number less as many."""
    last = select(state.c.value).where(state.c.name == "events").scalar_subquery()
    old = select(events.c.sequence).where(events.c.sequence <= last - keep).order_by(events.c.sequence).limit(most)
    return db.execute(delete(events).where(events.c.sequence.in_(old))).rowcount
