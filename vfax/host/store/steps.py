"""The steps of the schema that a database has not taken yet.

Owns      Alembic and its lock, the sentence about a newer database. Not here: whether there are any (migrating.py).
"""

import threading
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from vfax.errors import StoreError

_ALEMBIC: Final = threading.Lock()  # Alembic's environment is a global of the process


def take_missing(db: Connection, name: str, there: set[str]) -> None:
    """Go from the steps that are `there` to the last one. Raises StoreError when one of them is not known."""
    with _ALEMBIC:
        config = _config(db)
        script = ScriptDirectory.from_config(config)
        known = {step.revision for step in script.walk_revisions()}
        if there - known:
            raise StoreError(
                f"{name} was made by a newer vfax (schema {', '.join(sorted(there - known))}; this one knows "
                f"{script.get_current_head()}): run that version, or give this one a database of its own"
            )
        command.upgrade(config, "head")


def _config(db: Connection) -> Config:
    config = Config()
    folder = Path(__file__).with_name("migrations")
    config.set_main_option("script_location", str(folder).replace("%", "%%"))  # the file syntax has % as its escape
    config.attributes["connection"] = db
    return config
