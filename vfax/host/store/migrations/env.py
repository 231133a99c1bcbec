"""Alembic's environment: runs the steps on the connection, and in the transaction, that it is given.

Owns      what Alembic is told. Not here: the lock and the transaction around it (migrating.py).
"""

from alembic import context

from vfax.host.store.migrating import VERSION_TABLE
from vfax.host.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, version_table=VERSION_TABLE
)
with context.begin_transaction():
    context.run_migrations()
