"""What a statement of the job store costs: prepared as the store has it, beside SQLAlchemy carrying out the same.

    python bench/statements.py [--rounds N]

Both take turns on one SQLite file in memory, in one transaction that is undone; microseconds of this process's own
time, and the ratio.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sqlalchemy import Connection, bindparam, insert, select, update

from vfax.host.store.prepared import Prepared
from vfax.host.store.schema import events, jobs, state
from vfax.host.store.store import Store
from vfax.host.store.values import Recipient, Submission

MEMORY = "/dev/shm"
NOON = datetime(2025, 1, 31, 12, tzinfo=UTC)
READ = Prepared(select(jobs).where(jobs.c.id == bindparam("which")))
CHANGE = Prepared(update(jobs).where(jobs.c.id == bindparam("which")).returning(jobs.c.attempts, jobs.c.priority))
PAUSED = Prepared(select(state.c.value).where(state.c.name == "paused"))
EVENT = Prepared(insert(events))


def statements(job: int) -> dict[str, tuple[Prepared, Callable[[int], dict[str, object]]]]:
    """By name: the statement, and its values of each round."""
    event = {"session": "s", "time_stamp": 1, "event_id": 1, "device_id": 1, "job_id": job}
    return {
        "a flag": (PAUSED, lambda at: {}),
        "a job, all of it": (READ, lambda at: {"which": job}),
        "a job changed": (CHANGE, lambda at: {"which": job, "sentence": str(at), "ended_at": NOON, "attempts": at}),
        "an event": (EVENT, lambda at: {"sequence": at, **event}),
    }


def by_sqlalchemy(db: Connection, statement: Prepared, values: dict[str, object]) -> None:
    """The same by way of SQLAlchemy, rows fetched."""
    result = db.execute(statement.statement, values)
    if result.returns_rows:
        result.all()


def by_us(db: Connection, statement: Prepared, values: dict[str, object]) -> None:
    """As the store does it."""
    statement.rows(db, values)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="what a statement of the job store costs")
    parser.add_argument("--rounds", type=int, default=5000)
    rounds = parser.parse_args().rounds
    ways = (by_sqlalchemy, by_us)
    with tempfile.TemporaryDirectory(dir=MEMORY if Path(MEMORY).is_dir() else None) as folder:
        store = Store.open(f"sqlite:///{folder}/vfax.db")
        (job,) = store.submit(Submission(document="a.tif", pages=1, recipients=(Recipient(number="+491"),)), NOON)
        print(f"{datetime.now(UTC):%Y-%m-%d} {'µs':<17}{'SQLAlchemy':>12}{'prepared':>10}{'ratio':>8}")
        for name, (statement, values) in statements(job.id).items():
            with store._database.engine.connect() as db:
                db.exec_driver_sql("BEGIN")
                took: tuple[list[float], list[float]] = ([], [])
                for at in range(2 * rounds):
                    given = values(at + 1)
                    began = time.thread_time()
                    ways[at % 2](db, statement, given)
                    took[at % 2].append((time.thread_time() - began) * 1e6)
                db.rollback()
            theirs, ours = (median(times) for times in took)
            print(f"{name:<28}{theirs:>12.1f}{ours:>10.1f}{theirs / ours:>8.1f}")
        store.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
