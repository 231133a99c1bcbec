"""Statements that are compiled once: they give and refuse what SQLAlchemy would, on both databases."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import Connection, bindparam, delete, exc, insert, select, update

from tests.host.store.examples import ANNE, NOON, letter
from vfax.errors import MisuseError
from vfax.fsp.constants import JobStatusEnum
from vfax.host.store.prepared import Prepared
from vfax.host.store.schema import events, jobs, state
from vfax.host.store.store import Store
from vfax.host.store.values import Priority, Recipient, Submission

EAST = timezone(timedelta(hours=5, minutes=30))
ODD = "a\\b\0c\ud800 %(d)s ? :e é"
JOB = Prepared(select(jobs).where(jobs.c.id == bindparam("which")))
CHANGE = Prepared(update(jobs).where(jobs.c.id == bindparam("which")))
EVENT = Prepared(insert(events))


def odd_submission() -> Submission:
    """Everything a caller may give in more than one shape."""
    return Submission(
        document=ODD,
        pages=2,
        recipients=(Recipient(number="1", name=ODD), Recipient(number="2", given=ODD)),
        subject=ODD,
        priority=int(Priority.HIGH),  # type: ignore[arg-type]
        retry_delay=600,
        schedule_at=NOON.astimezone(EAST),
        expires_at=datetime(2031, 2, 3, 4, 5, 6, 7, EAST),
    )


def event_row(sequence: int) -> dict[str, object]:
    return {"sequence": sequence, "session": ODD, "time_stamp": 1 << 63, "event_id": 1, "device_id": 0, "job_id": 7}


def test_submitted_jobs_are_told_as_they_are_read(store: Store) -> None:
    for job in store.submit(odd_submission(), NOON.astimezone(EAST)):
        assert repr(store.job(job.id)) == repr(job)
    assert repr(store.receive(77, device_id=1, host=ANNE, now=NOON.astimezone(EAST), lease=60)) == repr(store.job(77))


def test_rows_are_those_of_sqlalchemy(store: Store) -> None:
    (job, _) = store.submit(odd_submission(), NOON)

    def work(db: Connection) -> None:
        expected = db.execute(JOB.statement, {"which": job.id}).one()
        assert repr(JOB.row(db, {"which": job.id})) == repr(tuple(expected))
        assert JOB.named(db, {"which": job.id}) == expected._asdict()
        assert JOB.rows(db, {"which": 1}) == []
        assert JOB.row(db, {"which": 1}) is None
        assert JOB.named(db, {"which": 1}) is None

    store._database.read(work)


def test_what_is_set_depends_on_the_values(store: Store) -> None:
    (job,) = store.submit(letter(), NOON)

    def work(db: Connection) -> list[int]:
        one = CHANGE.run(db, {"which": job.id, "subject": ODD})
        two = CHANGE.run(db, {"ended_at": NOON.astimezone(EAST), "which": job.id, "status": JobStatusEnum.fjsFAILED})
        return [one, two, CHANGE.run(db, {"which": 1, "subject": ""})]

    assert store._database.write(work) == [1, 1, 0]
    changed = store.job(job.id)
    assert changed is not None
    assert (changed.subject, changed.status) == (ODD, JobStatusEnum.fjsFAILED)
    assert (changed.ended_at, changed.ended_at and changed.ended_at.tzinfo) == (NOON, UTC)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_each_is_carried_out_with_all_values(store: Store, count: int) -> None:
    store._database.write(lambda db: EVENT.each(db, [event_row(at) for at in range(1, count + 1)]))
    assert [(event.sequence, event.session) for event in store.events()] == [(at, ODD) for at in range(1, count + 1)]
    assert all(event.time_stamp == 1 << 63 for event in store.events())


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"which": "x", "subject": ""}, "'x' is no whole number from 0 to 4294967295"),
        ({"which": 1, "subject": 5}, "5 is no text"),
        ({"which": 1, "ended_at": datetime(2025, 1, 1)}, "has no time zone"),
        ({"which": 1, "priority": 99}, "99 is no Priority"),
        ({"which": 1, "paused": "maybe"}, "'maybe'"),
        ({"subject": ""}, "'which' was not said"),
    ],
)
def test_values_that_no_column_takes_are_refused(store: Store, values: dict[str, object], words: str) -> None:
    with pytest.raises(MisuseError, match=words):
        store._database.write(lambda db: CHANGE.run(db, values))


@pytest.mark.parametrize("count", [1, 2])
def test_errors_of_the_driver_are_told_as_those_of_sqlalchemy(store: Store, count: int) -> None:
    def work(db: Connection) -> None:
        with pytest.raises(exc.IntegrityError) as refused, db.begin_nested():
            EVENT.each(db, [event_row(5)] * count)
        assert not refused.value.connection_invalidated
        assert ODD not in str(refused.value), "values are not told"

    store._database.write(lambda db: EVENT.run(db, event_row(5)))
    store._database.write(work)
    assert [event.sequence for event in store.events()] == [5]


def test_table_that_is_missing_is_an_error_of_the_database(store: Store) -> None:
    store._database.write(lambda db: db.execute(delete(state)))
    gone = Prepared(select(state.c.value).where(state.c.name == "events"))
    assert store._database.read(lambda db: gone.rows(db)) == []
    store._database.write(lambda db: db.exec_driver_sql("DROP TABLE state"))
    with pytest.raises(exc.DBAPIError), store._database.engine.connect() as db:
        gone.rows(db)
