"""What the job store costs: milliseconds of each step of a job, with many others queued.

    python bench/store.py [--jobs N] [--rounds N] [--folder F]

On SQLite, in a file of the folder, and on a PostgreSQL of its own that syncs to the disk as in earnest. In each round
one job is submitted, one taken, ended, and the scheduler asks when the next is due; half of the queued jobs
are due, half wait for tomorrow. One caller; what several cost each other is another question. Figures are
printed, never asserted.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console
from rich.table import Table

from tests.postgres import running_postgres
from vfax.fsp.constants import FaxStatus, JobStatusEnum
from vfax.host.store.store import Store
from vfax.host.store.values import AttemptEnd, Recipient, StoredJob, Submission

PART = 5_000  # recipients of one submission
END = AttemptEnd(
    status=JobStatusEnum.fjsCOMPLETED,
    status_id=FaxStatus.FS_COMPLETED,
    cause="complete",
    sentence="The fax is complete.",
    record={"pages": 1, "remote_id": "+49 30 1"},
)
Times = dict[str, list[float]]


def letter(recipients: int, schedule_at: datetime | None = None) -> Submission:
    """One page for so many."""
    numbers = tuple(Recipient(number=f"+4930{at:06d}") for at in range(recipients))
    return Submission(document="outbox/a.tif", pages=1, recipients=numbers, schedule_at=schedule_at)


def fill(store: Store, jobs: int) -> None:
    """Queue so many jobs, every other part of them for tomorrow."""
    now = datetime.now(UTC)
    size = min(PART, max(1, jobs // 2))
    for part in range(0, jobs, size):
        later = now + timedelta(days=1) if part // size % 2 else None
        store.submit(letter(min(size, jobs - part), later), now)


def measure(store: Store, rounds: int) -> Times:
    """Milliseconds of each step in each round."""
    times: Times = {}

    def timed(step: str, call: Callable[[], object]) -> object:
        start = time.perf_counter()
        result = call()
        times.setdefault(step, []).append(1000 * (time.perf_counter() - start))
        return result

    for _ in range(rounds):
        now = datetime.now(UTC)
        timed("submit", lambda now=now: store.submit(letter(1), now))  # type: ignore[misc]
        timed("next_due", store.next_due)
        taken = timed("take", lambda now=now: store.take("bench", now, lease=600, devices=(1,)))  # type: ignore[misc]
        assert isinstance(taken, list)
        job: StoredJob = taken[0][0]
        timed("end_attempt", lambda job=job, now=now: store.end_attempt(job, 1, END, now))  # type: ignore[misc]
    return times


def run(url: str, jobs: int, rounds: int) -> Times:
    """One database, from empty."""
    store = Store.open(url)
    try:
        fill(store, jobs)
        measure(store, 20)  # statements compiled, pages cached
        return measure(store, rounds)
    finally:
        store.close()


def main() -> None:
    """Measure both and print a table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--jobs", type=int, default=10_000, help="queued jobs")
    options.add_argument("--rounds", type=int, default=500)
    options.add_argument("--folder", type=Path, help="where the SQLite file is made; a temporary folder if not given")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="vfax-bench-", dir=given.folder) as folder:
        results = {"SQLite": run(f"sqlite:///{folder}/bench.db", given.jobs, given.rounds)}
    with running_postgres(fsync="on") as server, server.database() as name:
        results["PostgreSQL"] = run(server.url(name), given.jobs, given.rounds)
    table = Table(title=f"ms per call, {given.jobs} jobs queued, {given.rounds} rounds")
    table.add_column("step")
    for name in results:
        table.add_column(f"{name} p50", justify="right")
        table.add_column(f"{name} p99", justify="right")
    for step in results["SQLite"]:
        cells: list[str] = []
        for times in results.values():
            cuts = statistics.quantiles(times[step], n=100, method="inclusive")
            cells += [f"{cuts[49]:.2f}", f"{cuts[98]:.2f}"]
        table.add_row(step, *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
