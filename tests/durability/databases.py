"""Where the store of a trial is: an SQLite file in its spool, or a PostgreSQL database of the trial's own.

Owns      `store_url`, by which the child, the repair and the judge find the same store; `a_database` for each trial.
Not here  the PostgreSQL server (tests/postgres.py).
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from tests.postgres import Postgres

SQLITE: Final = "sqlite"
POSTGRESQL: Final = "postgresql"
STORES: Final = (SQLITE, POSTGRESQL)
FILE: Final = "store-url"


def store_url(root: Path) -> str:
    """The store of the host in `root`."""
    file = root / FILE
    return file.read_text("utf-8") if file.exists() else f"sqlite:///{root / 'spool' / 'vfax.db'}"


@contextmanager
def a_database(root: Path, server: "Postgres | None") -> Iterator[None]:
    """While the block lasts, the store of `root` is a new database of `server`, where there is one."""
    if server is None:
        yield
        return
    with server.database() as name:
        (root / FILE).write_text(server.url(name), "utf-8")
        yield


def server_for(store: str) -> "AbstractContextManager[Postgres | None]":
    """A server for the trials of a run, none where they have files."""
    if store == SQLITE:
        return nullcontext()
    from tests.postgres import running_postgres

    return running_postgres()
