"""How the databases find what is asked most often: by an index, with many jobs of every kind around.

What a method asks is caught on its way to the database, which then explains how it goes about it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, insert, text

from tests.host.store.examples import ANNE, FOLDER, HOUR, NOON, received
from vfax.fsp.constants import JobStatusEnum, JobType
from vfax.host.store.rows import new_job
from vfax.host.store.schema import jobs
from vfax.host.store.store import Store

MANY = 9000
ASKED: dict[str, tuple[Callable[[Store], object], list[str]]] = {
    "claim": (lambda store: store.claim(ANNE, NOON, lease=60, limit=5), ["jobs_asleep", "jobs_ready"]),
    "take": (lambda store: store.take(ANNE, NOON, lease=60, devices=(1, 2)), ["jobs_asleep", "jobs_ready"]),
    "next due": (lambda store: store.next_due(), ["jobs_ready"]),
    "expire": (lambda store: store.expire(NOON + HOUR), ["jobs_expiry"]),
    "repair": (lambda store: store.repair(ANNE, NOON), ["jobs_status"]),
    "of an owner": (lambda store: store.jobs(owner="anna", limit=10), ["jobs_owner"]),
    "prune": (lambda store: store.prune(jobs_before=NOON - HOUR, keep_events=0), ["jobs_ended"]),
    "deliveries": (lambda store: store.claim_deliveries(ANNE, NOON, lease=60, limit=5), ["deliveries_due"]),
}


def fill(db: Connection) -> None:
    """Jobs that are due, that wait for tomorrow, and that ended, a third each."""
    rows = []
    for at in range(1, MANY + 1):
        row = new_job(100 + at, job_type=JobType.JT_SEND, status=JobStatusEnum.fjsPENDING, created_at=NOON)
        tomorrow = NOON + 24 * HOUR + timedelta(seconds=at)
        kinds: list[dict[str, object]] = [
            {},
            {"wake_at": tomorrow, "expires_at": tomorrow},
            {"status": JobStatusEnum.fjsCOMPLETED, "ended_at": NOON, "owner": f"owner {at}"},
        ]
        rows.append(row | kinds[at % 3])
    db.execute(insert(jobs), rows)


@contextmanager
def caught(store: Store) -> Iterator[list[tuple[str, Any]]]:
    """Every statement and its values, as the driver gets them."""
    asked: list[tuple[str, Any]] = []
    dialect = store._database.engine.dialect
    execute = dialect.do_execute

    def catch(cursor: Any, statement: str, values: Any, *context: Any) -> None:
        asked.append((statement, values))
        execute(cursor, statement, values, *context)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dialect, "do_execute", catch)
        yield asked


def explained(store: Store, asked: list[tuple[str, Any]]) -> str:
    prefix = "EXPLAIN QUERY PLAN" if store._database.is_sqlite else "EXPLAIN"

    def work(db: Connection) -> str:
        if not store._database.is_sqlite:
            db.execute(text("SET LOCAL enable_seqscan = off"))  # tables of a few rows are read whole otherwise
        plans = [db.exec_driver_sql(f"{prefix} {statement}", values).all() for statement, values in asked]
        return "\n".join(str(row) for rows in plans for row in rows)

    return store._database.read(work)


def test_queue_is_read_by_its_indexes(store: Store) -> None:
    store._database.write(fill)
    for job in range(1, 60):
        received(store, job, FOLDER, at=NOON + HOUR)
    store._database.write(lambda db: db.execute(text("ANALYZE")) if not store._database.is_sqlite else None)
    for name, (ask, indexes) in ASKED.items():
        with caught(store) as asked:
            ask(store)
        statements = [one for one in asked if one[0].startswith(("SELECT", "UPDATE", "DELETE"))]
        plan = explained(store, statements)
        assert all(index in plan for index in indexes), f"{name}:\n{plan}"
