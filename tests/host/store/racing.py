"""A host as a process of its own: takes jobs from the queue until none is left, and writes down which.

    python -m tests.host.store.racing <url> <host> <lease> <file>

Starts when a line comes in, so that several begin together. Each job it completes is a line in the file.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path

from tests.host.store.examples import COMPLETED
from vfax.errors import LeaseLost
from vfax.host.store.store import Store


def work(store: Store, host: str, lease: float) -> list[int]:
    """Complete jobs, three at a time, until there are no more: their numbers."""
    done = []
    while taken := store.take(host, datetime.now(UTC), lease=lease, devices=(1, 2, 3)):
        for job, attempt in taken:
            try:
                store.end_attempt(job, attempt.number, COMPLETED, datetime.now(UTC))
            except LeaseLost:
                continue
            done.append(job.id)
    return done


def main() -> None:
    """Run one host."""
    url, host, lease, file = sys.argv[1:]
    store = Store.open(url)
    print("ready", flush=True)
    sys.stdin.readline()
    done = work(store, host, float(lease))
    Path(file).write_text("".join(f"{job}\n" for job in done), "utf-8")
    store.close()


if __name__ == "__main__":
    main()
