"""The job store: the door to everything that must survive a restart.

Owns      opening a store, which brings its database to this version's tables, and closing it.
Not here  what is done with it: the parts below, one module each; what goes through it (values.py).

Every method is one transaction: when it returns, all of it is on disk, and when it raises, or the machine stops, none
of it is. Methods block and may be called from any thread. They raise MisuseError for arguments that make no sense,
StoreError, naming the database and the remedy, when that fails, and LeaseLost where they say so. What other hosts or a
lost connection undid is tried again a few times, unless the connection was lost while all was being written: then
nobody knows, and the StoreError says so.
"""

from collections.abc import Callable
from typing import Final, Self

from vfax.errors import LeaseLost, StoreError
from vfax.host.spool import new_job_id
from vfax.host.store.database import Database
from vfax.host.store.deliveries import Deliveries
from vfax.host.store.events import Events
from vfax.host.store.faxes import Faxes
from vfax.host.store.jobs import Jobs
from vfax.host.store.keeping import Keeping
from vfax.host.store.leases import Leases
from vfax.host.store.limits import StoreLimits
from vfax.host.store.migrating import migrate
from vfax.host.store.people import People

__all__ = ["LeaseLost", "Store", "StoreError", "StoreLimits"]


DEFAULT_LIMITS: Final = StoreLimits()


def new_job_number() -> int:
    """A random job number; the store draws again when it is taken."""
    return int(new_job_id(), 16)


class Store(Jobs, Leases, People, Faxes, Deliveries, Events, Keeping):
    """One database with the jobs, received faxes and events of one or more hosts."""

    @classmethod
    def open(
        cls, url: str, *, limits: StoreLimits = DEFAULT_LIMITS, job_ids: Callable[[], int] = new_job_number
    ) -> Self:
        """Open the store at `url`: "sqlite:///<file>" or "postgresql+psycopg://<user>@<host>/<database>".

        Makes the file and the tables that are missing; hosts that start at once wait for each other. `job_ids` is the
        source of job numbers, for tests that want known ones. Raises StoreError, which says so when the database was
        made by a newer version.
        """
        database = Database(url, limits)
        try:
            database.prepare()
            database.write(lambda db: migrate(db, database.name))
        except BaseException:
            database.close()
            raise
        return cls(database, limits, job_ids)

    def close(self) -> None:
        """Close all connections; every later call raises StoreError."""
        self._database.close()
