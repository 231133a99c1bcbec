"""Brings a database to the tables of this version, or says why not.

Owns      finding the version of a database, the lock around changing it, the sentence about a newer one.
Not here  the steps (migrations/versions), connections and transactions (database.py).
"""

import threading
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from vfax.errors import StoreError

VERSION_TABLE: Final = "vfax_schema"
"""A name of our own, so that a database shared with another user of Alembic is not mistaken for one of ours."""

LOCK_KEY: Final = int.from_bytes(b"vfax")
"""The advisory lock of PostgreSQL; on SQLite the transaction holds the whole database already."""

_ALEMBIC: Final = threading.Lock()  # Alembic's environment is a global of the process


def migrate(db: Connection, name: str) -> None:
    """Take the missing steps within the transaction of `db`: all of them, or none.

    Two hosts that start at once wait for each other. Raises StoreError, naming the database by `name`, when it was made
    by a newer version.
    """
    if db.dialect.name == "postgresql":
        db.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
    with _ALEMBIC:
        config = _config(db)
        script = ScriptDirectory.from_config(config)
        known = {step.revision for step in script.walk_revisions()}
        there = set(current(db))
        if there - known:
            raise StoreError(
                f"{name} was made by a newer vfax (schema {', '.join(sorted(there - known))}; this one knows "
                f"{script.get_current_head()}): run that version, or give this one a database of its own"
            )
        if there != {script.get_current_head()}:
            command.upgrade(config, "head")


def current(db: Connection) -> tuple[str, ...]:
    """The version of the database; empty when it has none of our tables."""
    return MigrationContext.configure(db, opts={"version_table": VERSION_TABLE}).get_current_heads()


def _config(db: Connection) -> Config:
    config = Config()
    folder = Path(__file__).with_name("migrations")
    config.set_main_option("script_location", str(folder).replace("%", "%%"))  # the file syntax has % as its escape
    config.attributes["connection"] = db
    return config
