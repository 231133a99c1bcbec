"""How a database comes to have the tables of this version: Alembic's environment, run by `migrating.migrate`.

A change of schema.py needs a new file in versions/; a test compares what the files make with what schema.py says.
"""
