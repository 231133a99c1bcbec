"""Brings a database to the tables of this version, or says why not.

Owns      finding the version of a database, the lock around changing it.
Not here  the steps (migrations/versions) and taking them (steps.py), connections and transactions (database.py).
"""

from typing import Final

from sqlalchemy import Connection, inspect, text

VERSION_TABLE: Final = "vfax_schema"
"""A name of our own, so that a database shared with another user of Alembic is not mistaken for one of ours."""

NEWEST: Final = "0001"
"""The last of the steps, as Alembic has it, too."""

LOCK_KEY: Final = int.from_bytes(b"vfax")
"""The advisory lock of PostgreSQL; on SQLite the transaction holds the whole database already."""


def migrate(db: Connection, name: str) -> None:
    """Take the missing steps within the transaction of `db`: all of them, or none.

    Two hosts that start at once wait for each other. Raises StoreError, naming the database by `name`, when it was made
    by a newer version.
    """
    if db.dialect.name == "postgresql":
        db.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
    if current(db) == (NEWEST,):
        return
    # Alembic is a tenth of the time a service needs to start, and there is nothing to do for it at most starts.
    from vfax.host.store.steps import take_missing

    take_missing(db, name, set(current(db)))


def current(db: Connection) -> tuple[str, ...]:
    """The version of the database; empty when it has none of our tables."""
    if not inspect(db).has_table(VERSION_TABLE):
        return ()
    return tuple(db.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalars())
