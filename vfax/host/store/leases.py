"""The queue: which job is next, who has it in hand, and what becomes of it.

Owns      claims and leases, attempts, putting back, repair after a crash, expiry.
Not here  what each step changes (transitions.py), when to claim and how often to renew (host/queue.py).

A claim gives a host a job until `lease_until`, and a term that no later claim repeats. Whatever the host then does with
the job names owner and term: once another host has had the job, LeaseLost is all that the first one hears. A host that
was merely late may still say how an attempt ended, as long as nobody has taken the job over: that is one fax sent twice
less. It may not begin an attempt then. Limit: hosts that share a database need clocks that agree within a part of the
lease.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Integer, Select, Update, bindparam, func, or_, select, tuple_, update

from vfax.errors import MisuseError
from vfax.fsp.constants import JobStatusEnum, JobType
from vfax.host.store import checks, transitions
from vfax.host.store.base import BEGUN, StoreBase, apply, chunks, held_job
from vfax.host.store.prepared import Prepared
from vfax.host.store.rows import attempt_row, changed, job_of, named_job
from vfax.host.store.schema import CLAIMABLE, WAITING, attempts, deliveries, jobs, state
from vfax.host.store.values import AttemptEnd, DeliveryState, StoredAttempt, StoredJob

R = TypeVar("R", bound=tuple[Any, ...])


def _in_turn(query: Select[R]) -> Select[R]:
    return query.where(CLAIMABLE, jobs.c.wake_at.is_(None)).order_by(jobs.c.priority.desc(), jobs.c.ordinal)


LONG_DUE: Final = datetime.min.replace(tzinfo=UTC)
"""In the past by any clock, also one that was set back since a job came."""

# Made once: making a statement takes longer than the database takes to carry it out.
PAUSED: Final = select(state.c.value).where(state.c.name == "paused")
_ASLEEP: Final = CLAIMABLE & jobs.c.wake_at.is_not(None)
_FIRST_TO_WAKE: Final = select(func.min(jobs.c.wake_at)).where(_ASLEEP).scalar_subquery()
_FIRST_DUE: Final = _in_turn(select(jobs.c.created_at)).limit(1).scalar_subquery()
_OUTLOOK: Final = Prepared(PAUSED.add_columns(_FIRST_TO_WAKE, _FIRST_DUE))
PAUSED_AND_STAYS: Final = Prepared(PAUSED.add_columns(_FIRST_TO_WAKE).with_for_update(read=True, of=state))
"""Nobody pauses the queue before the transaction ends."""
_TO_WAKE: Final = (
    select(jobs.c.ordinal)
    .where(_ASLEEP, jobs.c.wake_at <= bindparam("now"))
    .order_by(jobs.c.wake_at)
    .limit(bindparam("most", type_=Integer))
    .with_for_update(skip_locked=True)
)
_WAKE: Final = Prepared(update(jobs).where(jobs.c.ordinal.in_(_TO_WAKE)).values(wake_at=None))
"""Each job is touched once when its time has come, so that no claim has to pass by those that wait."""
_READY: Final = (
    _in_turn(select(jobs.c.ordinal))
    .where(or_(jobs.c.expires_at.is_(None), jobs.c.expires_at > bindparam("now")))
    .limit(bindparam("most", type_=Integer))
    .with_for_update(skip_locked=True)
)
_HELD: Final = {
    "status": JobStatusEnum.fjsINPROGRESS,
    "lease_owner": bindparam("holder"),
    "lease_until": bindparam("until"),
    "lease_term": jobs.c.lease_term + 1,
    "no_line": False,
    "next_attempt_at": None,
}
_HOLD: Final = update(jobs).where(jobs.c.ordinal.in_(bindparam("turn", expanding=True))).values(**_HELD).returning(jobs)
_TAKE: Final = Prepared(
    update(jobs)
    .where(jobs.c.ordinal == _READY.scalar_subquery())
    .values(**_HELD, attempts=jobs.c.attempts + 1, device_id=bindparam("device"))
    .returning(jobs)
)
_RUNNING: Final = select(attempts.c.number).where(attempts.c.job == bindparam("which"), attempts.c.ended_at.is_(None))
_AS_CLAIMED: Final = (
    (jobs.c.id == bindparam("which"))
    & (jobs.c.status == JobStatusEnum.fjsINPROGRESS)
    & (jobs.c.lease_owner == bindparam("holder"))
    & (jobs.c.lease_term == bindparam("term"))
)
"""Still in the hands of the host that says so: what nearly always holds is asked and changed in one statement."""
_DIALLED: Final = Prepared(
    update(jobs)
    .where(
        _AS_CLAIMED,
        jobs.c.attempts == bindparam("before"),
        or_(jobs.c.lease_until.is_(None), jobs.c.lease_until > bindparam("now")),
        ~_RUNNING.exists(),
    )
    .returning(jobs.c.next_page)
)
_ENDED: Final = Prepared(
    update(jobs)
    .where(_AS_CLAIMED, jobs.c.cancel_asked == bindparam("to_cancel"))
    .returning(jobs.c.attempts, jobs.c.device_id, jobs.c.lease_until, jobs.c.priority)
)
"""Gives what may have changed of a job in hand since its host saw it; the other columns are the host's alone."""
_TOLD: Final = Prepared(
    update(attempts).where(
        attempts.c.job == bindparam("which"), attempts.c.number == bindparam("attempt"), attempts.c.ended_at.is_(None)
    )
)


class Leases(StoreBase):
    """The store's queue."""

    def claim(self, host: str, now: datetime, *, lease: float, limit: int) -> list[StoredJob]:
        """Give `host` up to `limit` jobs that are due, for `lease` seconds: highest priority first, then oldest.

        None while the queue is paused. Oldest: by arrival, a retry in its old place. A job that was due once stays due,
        should the clock be set back. For hosts that look at a job before they dial; others `take` it.
        """
        checks.name("host", host, self._limits)
        held = {"holder": host, "until": checks.later(now, lease)}
        if not self._rows(limit):
            return []

        def work(db: Connection) -> list[StoredJob]:
            turn = self._ready(db, now, limit)
            found = {
                row._mapping["ordinal"]: job_of(row)
                for part in chunks(turn)
                for row in db.execute(_HOLD, {**held, "turn": part})
            }
            return [found[ordinal] for ordinal in turn]

        return self._database.write(work)

    def take(
        self, host: str, now: datetime, *, lease: float, devices: Sequence[int]
    ) -> list[tuple[StoredJob, StoredAttempt]]:
        """Claim up to a job for each of `devices`, and begin an attempt of the first on the first, and so on.

        `claim` and `begin_attempt` in one transaction, for a host that dials at once: the jobs count as dialled.
        """
        checks.name("host", host, self._limits)
        until = checks.later(now, lease)
        for device in checks.each("devices", devices):
            checks.whole("device id", device)
        if not self._rows(len(devices)):
            return []

        def work(db: Connection) -> list[tuple[StoredJob, StoredAttempt]]:
            taken: list[tuple[StoredJob, StoredAttempt]] = []
            if not self._wake(db, now):
                return taken
            for device in devices:
                held = {"holder": host, "until": until, "now": now, "most": 1, "device": device}
                row = _TAKE.named(db, held)
                if row is None:
                    break
                job = named_job(row)
                taken.append((job, _attempt_begun(job, job.attempts, device, job.next_page, now)))
            BEGUN.each(db, [attempt_row(attempt) for _, attempt in taken])
            return taken

        return self._database.write(work)

    def _wake(self, db: Connection, now: datetime) -> bool:
        """Let go what has slept long enough. False while the queue is paused; nobody pauses it until all is written."""
        ((is_paused, first),) = PAUSED_AND_STAYS.rows(db)
        if not is_paused and first is not None and first <= now:
            _WAKE.run(db, {"now": now, "most": self._limits.max_rows})
        return not is_paused

    def _ready(self, db: Connection, now: datetime, limit: int) -> Sequence[int]:
        """The next jobs, by ordinal."""
        return ready(db, now, limit) if self._wake(db, now) else []

    def next_due(self) -> datetime | None:
        """When `claim` may next find something: LONG_DUE for what is due already, None when nothing waits.

        Paused jobs do not count, and none do while the queue is paused. A job past its expiry does, until `expire`.
        """

        def work(db: Connection) -> datetime | None:
            ((is_paused, asleep, due),) = _OUTLOOK.rows(db)
            first: datetime | None = asleep if due is None else LONG_DUE
            return None if is_paused else first

        return self._database.read(work)

    def renew(self, host: str, leases: Mapping[int, int], now: datetime, *, lease: float) -> set[int]:
        """Hold jobs for `lease` seconds more; `leases` is the term by job. Returns those that are still the host's."""
        checks.name("host", host, self._limits)
        until = checks.later(now, lease)
        pairs = [(checks.job_number(job), checks.whole("term", term)) for job, term in leases.items()]
        hold = (
            update(jobs)
            .where(jobs.c.lease_owner == host, jobs.c.status == JobStatusEnum.fjsINPROGRESS)
            .values(lease_until=until)
            .returning(jobs.c.id)
        )

        def work(db: Connection) -> set[int]:
            ours: set[int] = set()
            for part in chunks(pairs):
                ours.update(db.execute(hold.where(tuple_(jobs.c.id, jobs.c.lease_term).in_(part))).scalars())
            return ours

        return self._database.write(work)

    def begin_attempt(self, job: StoredJob, *, device_id: int, now: datetime) -> StoredAttempt:
        """Note that the job is about to be dialled: from now on it counts as sent by nobody knows how much of it.

        Raises LeaseLost when the job is another host's by now, or nobody's because the lease ran out, and MisuseError
        when an attempt of it is running.
        """
        checks.instance("job", job, StoredJob)
        checks.whole("device id", device_id)
        checks.moment(now)

        def work(db: Connection) -> StoredAttempt:
            dialled = {"attempts": job.attempts + 1, "device_id": device_id}
            claimed = {**_claim_of(job), "before": job.attempts, "now": now}
            number, row = dialled["attempts"], _DIALLED.row(db, {**claimed, **dialled})
            if row is None:
                number, page = self._dial(db, held_job(db, job, now), device_id)
            else:
                (page,) = row
            begun = _attempt_begun(job, number, device_id, page, now)
            BEGUN.run(db, attempt_row(begun))
            return begun

        return self._database.write(work)

    @staticmethod
    def _dial(db: Connection, found: StoredJob, device_id: int) -> tuple[int, int]:
        """Begin an attempt of a job that is not quite as its host remembers it: its number, and its first page."""
        if _attempt_runs(db, found):
            raise MisuseError(f"an attempt of job {found.name} is running: end it before the next one")
        apply(db, found, {"attempts": found.attempts + 1, "device_id": device_id})
        return found.attempts + 1, found.next_page

    def note_pages(self, job: StoredJob, attempt: int, pages_confirmed: int, next_page: int) -> None:
        """Note how far a running attempt has come, so that a crash does not send its pages again.

        Raises LeaseLost, and MisuseError for an attempt that does not run.
        """
        checks.instance("job", job, StoredJob)
        checks.whole("number of confirmed pages", pages_confirmed)
        checks.whole("next page", next_page, low=1)

        def work(db: Connection) -> None:
            found = held_job(db, job)
            _write_attempt(db, found, attempt, {"pages_confirmed": pages_confirmed})
            apply(db, found, {"next_page": next_page})

        self._database.write(work)

    def end_attempt(self, job: StoredJob, attempt: int, end: AttemptEnd, now: datetime) -> StoredJob:
        """Write how an attempt ended and what becomes of its job, and let go of the job.

        A job that was to be cancelled ends as fjsCANCELED where `end` would have it wait; fjsINPROGRESS keeps the job
        for another device. Raises LeaseLost, and MisuseError for an attempt that does not run, or an end that is none.
        """
        checks.instance("job", job, StoredJob)
        checks.attempt_end(end, self._limits, waiting=job.job_type is JobType.JT_SEND)
        checks.moment(now)
        sentence = checks.cut(end.sentence, self._limits)

        def work(db: Connection) -> StoredJob:
            changes = {**transitions.ended(job, end, now), "sentence": sentence}
            row = _ENDED.named(db, {**_claim_of(job), "to_cancel": job.cancel_asked, **changes})
            if row is None:  # somebody asked to cancel it, or it is another host's
                found = held_job(db, job)
                after = apply(db, found, {**transitions.ended(found, end, now), "sentence": sentence})
            else:
                after = changed(job, {**row, **changes})
            _write_attempt(db, after, attempt, attempt_ended(end, sentence, now))
            return after

        return self._database.write(work)

    def put_back(self, job: StoredJob, *, no_line: bool, next_attempt_at: datetime | None, now: datetime) -> StoredJob:
        """Let go of a job that was claimed and not dialled: it waits again, in its old place.

        Raises LeaseLost, and MisuseError while an attempt of it runs.
        """
        checks.instance("job", job, StoredJob)
        checks.moment(now)
        checks.times(next_attempt_at)

        def work(db: Connection) -> StoredJob:
            found = held_job(db, job)
            if found.job_type is not JobType.JT_SEND or _attempt_runs(db, found):
                raise MisuseError(f"job {found.name} is under way: end its attempt, it cannot be put back")
            return apply(db, found, transitions.put_back(found, now, no_line=no_line, next_attempt_at=next_attempt_at))

        return self._database.write(work)

    def repair(self, host: str | None, now: datetime) -> list[StoredJob]:
        """Take jobs out of the hands of a host that is gone, and return them as they are then.

        `host`: at its start, all that it had in hand, deliveries too. None: every job whose lease has run out. Running
        attempts become interrupted. A send job waits again (fjsPENDING) from the first page nobody confirmed, uncertain
        if it had been dialled; one that was to be cancelled is; a receive job becomes fjsFAILED, JT_FAIL_RECEIVE.
        """
        if host is not None:
            checks.name("host", host, self._limits)
        checks.moment(now)
        whose = jobs.c.lease_until <= now if host is None else jobs.c.lease_owner == host
        held = select(jobs).where(jobs.c.status == JobStatusEnum.fjsINPROGRESS, whose).order_by(jobs.c.ordinal)

        def work(db: Connection) -> list[StoredJob]:
            rows = db.execute(held.with_for_update(skip_locked=host is None)).all()
            if host is not None:
                db.execute(_drop_deliveries(host, now))
            return [_repair(db, job_of(row), now) for row in rows]

        return self._database.write(work)

    def expire(self, now: datetime) -> list[StoredJob]:
        """End waiting jobs, paused ones too, whose `expires_at` has come: fjsRETRIES_EXCEEDED, with a sentence.

        At most `batch` of them; the others when it is called again.
        """
        checks.moment(now)
        late = (
            select(jobs)
            .where(WAITING, jobs.c.expires_at <= now)
            .order_by(jobs.c.expires_at, jobs.c.ordinal)
            .limit(self._limits.batch)
        )

        def work(db: Connection) -> list[StoredJob]:
            found = [job_of(row) for row in db.execute(late.with_for_update(skip_locked=True)).all()]
            return [apply(db, job, self._expired(job, now)) for job in found]

        return self._database.write(work)

    def _expired(self, job: StoredJob, now: datetime) -> dict[str, object]:
        changes = dict(transitions.expired(job, now))
        changes["sentence"] = checks.cut(str(changes["sentence"]), self._limits)
        return changes


def ready(db: Connection, now: datetime, limit: int) -> Sequence[int]:
    """The next jobs, by ordinal; on PostgreSQL nobody waits for those that another host is taking."""
    return db.execute(_READY, {"now": now, "most": limit}).scalars().all()


def _attempt_begun(job: StoredJob, number: int, device_id: int, first_page: int, now: datetime) -> StoredAttempt:
    return StoredAttempt(
        job=job.id,
        number=number,
        host=job.lease_owner,
        device_id=device_id,
        started_at=now.astimezone(UTC),
        first_page=first_page,
    )


def attempt_ended(end: AttemptEnd, sentence: str, now: datetime) -> dict[str, object]:
    """What becomes of the row of an attempt."""
    return {
        "ended_at": now,
        "status_id": end.status_id,
        "cause": end.cause,
        "sentence": sentence,
        "pages_confirmed": end.pages_confirmed,
        "journal": end.journal,
    }


def _claim_of(job: StoredJob) -> dict[str, object]:
    return {"which": job.id, "holder": job.lease_owner, "term": job.lease_term}


def _attempt_runs(db: Connection, job: StoredJob) -> bool:
    return db.execute(_RUNNING, {"which": job.id}).first() is not None


def _write_attempt(db: Connection, job: StoredJob, attempt: int, values: Mapping[str, object]) -> None:
    checks.whole("number of the attempt", attempt)
    if not _TOLD.run(db, {"which": job.id, "attempt": attempt, **values}):
        raise MisuseError(f"attempt {attempt} of job {job.name} does not run: it was never begun, or has ended")


def _repair(db: Connection, job: StoredJob, now: datetime) -> StoredJob:
    told = {"ended_at": now, "interrupted": True, "sentence": transitions.INTERRUPTED}
    running = (attempts.c.job == job.id, attempts.c.ended_at.is_(None))
    dialled = bool(db.execute(update(attempts).where(*running).values(**told)).rowcount)
    return apply(db, job, transitions.repaired(job, now, dialled=dialled))


def _drop_deliveries(host: str, now: datetime) -> Update:
    mine = (deliveries.c.state == DeliveryState.RUNNING, deliveries.c.lease_owner == host)
    return update(deliveries).where(*mine).values(state=DeliveryState.WAITING, due_at=now, lease_owner="")
