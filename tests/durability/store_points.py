"""Points inside the transactions of a database: `watch_engine`, `watched_store`, and the smallest host that has them.

Owns      `store.begin`, `store.execute` and `store.commit` of any SQLAlchemy engine, for a killer.
Not here  what a job store writes (vfax/host/store/), files (points.py).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import trio
from sqlalchemy import Column, Connection, Engine, Integer, MetaData, Table, create_engine, event, insert, select
from sqlalchemy.engine.default import DefaultDialect

from tests.durability.killing import Killer
from vfax.host.store.store import Store

POINTS: Final = ("store.begin", "store.execute", "store.commit")
DRIVER: Final = {
    "do_execute": "store.execute",
    "do_executemany": "store.execute",
    "do_execute_no_params": "store.execute",
    "do_commit": "store.commit",
}
"""What SQLAlchemy asks of a driver, by the method of its dialect."""
ROWS: Final = 20

NUMBERS: Final = Table("numbers", MetaData(), Column("number", Integer, primary_key=True))


def watched_store(killer: Killer) -> Callable[[str], Store]:
    """What opens a job store of which the killer sees every transaction, those that make its tables, too.

    For a process with one store: its engine is not there before it is opened, so all engines are watched.
    """
    watch_engine(Engine, killer)
    return Store.open


def watch_engine(engine: Engine | type[Engine], killer: Killer) -> None:
    """Let the killer see every BEGIN, statement and COMMIT of the engine, or of all engines of the process.

    "After the commit" is when the driver has returned from it: nobody else has heard of the commit by then.
    """

    def begin(connection: Connection) -> None:
        killer.reach("store.begin")
        killer.leave("store.begin")

    event.listen(engine, "begin", begin)
    dialect = engine.dialect if isinstance(engine, Engine) else DefaultDialect
    # There are no events for COMMIT, nor for statements that are given to the driver ready made.
    for name, point in DRIVER.items():
        setattr(dialect, name, _watched(getattr(dialect, name), killer, point))


def _watched(call: Callable[..., Any], killer: Killer, point: str) -> Callable[..., Any]:
    def watched(*about: Any) -> None:
        killer.reach(point)
        call(*about)
        killer.leave(point)

    return watched


def open_numbers(root: Path) -> Engine:
    """A table of numbers in an SQLite file."""
    engine = create_engine(f"sqlite:///{root / 'numbers.db'}")
    NUMBERS.metadata.create_all(engine)
    return engine


def read_numbers(root: Path) -> list[int]:
    """What is in the table."""
    engine = open_numbers(root)
    with engine.connect() as connection:
        found = list(connection.scalars(select(NUMBERS.c.number).order_by(NUMBERS.c.number)))
    engine.dispose()
    return found


async def counting(root: Path, killer: Killer, tell: Callable[[Any], None], stop: trio.Event) -> None:
    """Write numbers, two a transaction, and tell the second of each once it is committed."""
    engine = open_numbers(root)
    watch_engine(engine, killer)
    for number in range(0, ROWS, 2):
        with engine.begin() as connection:
            connection.execute(insert(NUMBERS).values(number=number))
            connection.execute(insert(NUMBERS).values(number=number + 1))
        tell(number + 1)
        await trio.lowlevel.checkpoint()
    engine.dispose()
