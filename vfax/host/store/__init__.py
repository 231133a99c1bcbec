"""The job store: what must survive a restart, in SQLite or PostgreSQL.

`Store` is the door; `values` are what goes through it. Everything blocks: call it from worker threads.
"""
