"""How a database comes to have the tables of this version: Alembic's environment, run by `migrating.migrate`.

Limit: on SQLite a step must not make a table anew that others point to (Alembic's batch mode): its transaction has
foreign keys on, and dropping the old table would delete what points to it. Add columns and tables instead.

A change of schema.py needs a new file in versions/; a test compares what the files make with what schema.py says.
"""
