"""One database: how it is opened, and what a transaction is there.

Owns      the engine and its connections, BEGIN and COMMIT, beginning again what others undid, the database's name.
Not here  tables (schema.py), what errors mean (faults.py), what is done in a transaction (the mixins of the store).
Source    SQLite: journal_mode WAL, synchronous FULL, foreign_keys, busy_timeout (sqlite.org/pragma.html);
          PostgreSQL 15: 13.2 (isolation), 20.11 (timeouts).

A transaction is a function of a connection: it may be called again, so it changes nothing but the database.
"""

import errno
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, make_url

from vfax.errors import FaxError, StoreError
from vfax.host.spool import sync_folder
from vfax.host.store.faults import NO_FILE, READ_ONLY, TransientError, is_duplicate, told
from vfax.host.store.limits import StoreLimits
from vfax.host.store.prepared import begin
from vfax.host.store.together import Apart, Together, TurnLost

if TYPE_CHECKING:
    from psycopg import Connection as PostgresConnection  # installed only where it is wanted

T = TypeVar("T")

EXPECTED: Final = 'give "sqlite:///<file>" or "postgresql+psycopg://<user>@<host>/<database>"'
SQLITE: Final = "sqlite"
TOO_BUSY: Final = "is busy for too long: ask less of it at once, or raise the busy timeout"


class Database:
    """One database and its connections; every method may be called from any thread.

    Raises StoreError for a URL that names no database we can use.
    """

    def __init__(self, url: str, limits: StoreLimits) -> None:
        self.limits = limits
        self.url = _parse(url)
        self.name = _name(self.url)
        self.is_sqlite = self.url.get_backend_name() == SQLITE
        self.engine = self._engine()
        # SQLite has one writer: ours wait for each other here, rather than by polling its lock.
        self._together = Together[Callable[[Connection], object]](self._carry_out)
        self._turn = threading.Lock()  # who has it may use the writer's connection
        self._writer: Connection | None = None  # kept open: its pages and statements are at hand
        self._closed = False

    @property
    def file(self) -> Path | None:
        """The file of an SQLite database."""
        return Path(self.url.database or "") if self.is_sqlite else None

    def close(self) -> None:
        """Close the connections; whatever is asked afterwards raises StoreError."""
        self._closed = True
        with suppress(StoreError), self._in_turn():  # who writes for longer than that closes it then
            self._drop_writer()
        self.engine.dispose()

    def prepare(self) -> None:
        """Make an SQLite file that is not there yet, for this user and group alone: it holds what others faxed."""
        if self.file is None or self.url.query.get("uri"):
            return
        try:
            os.close(os.open(self.file, os.O_CREAT | os.O_RDWR | getattr(os, "O_CLOEXEC", 0), 0o640))
            sync_folder(self.file.absolute().parent)
        except OSError as why:
            fault = READ_ONLY if isinstance(why, PermissionError) or why.errno == errno.EROFS else NO_FILE
            raise StoreError(f"{self.name} {fault.words} ({why.strerror or why})") from why

    def read(self, work: Callable[[Connection], T]) -> T:
        """What `work` finds in one transaction, all of it as of one moment on SQLite."""
        return self._again(work, writes=False, redraw=False)

    def write(self, work: Callable[[Connection], T], *, redraw: bool = False) -> T:
        """What `work` returns, once all it wrote is on disk; nothing is written when it raises.

        `redraw`: `work` draws numbers, and is called again when one turns out to be taken.
        """
        return self._again(work, writes=True, redraw=redraw)

    def copy(self, target: Path) -> None:
        """Copy an SQLite database into an empty file, as of one moment, while others use it; the copy is checked."""
        self._check()
        try:
            with closing(self.engine.raw_connection()) as pooled, closing(sqlite3.connect(target)) as copy:
                source = pooled.driver_connection
                assert isinstance(source, sqlite3.Connection)
                source.backup(copy)
                copy.execute("PRAGMA journal_mode=DELETE")  # one file, nothing beside it
                (found,) = copy.execute("PRAGMA quick_check(1)").fetchone()
        except (sqlite3.Error, exc.SQLAlchemyError) as why:
            raise StoreError(
                f"{self.name} could not be copied to {target}: make room there and try again ({why})"
            ) from why
        if found != "ok":
            raise StoreError(f"{self.name} is damaged, its copy as well: restore an older backup ({found})")

    def _again(self, work: Callable[[Connection], T], *, writes: bool, redraw: bool) -> T:
        """Limit: `tries` times, with pauses that double: 0.75 s in all."""
        pause = self.limits.retry_pause
        for left in reversed(range(self.limits.tries)):
            try:
                return self._once(work, writes=writes)
            except StoreError as why:
                if not left or not (isinstance(why, TransientError) or (redraw and is_duplicate(why.__cause__))):
                    raise
            time.sleep(pause)
            pause *= 2
        raise StoreError(f"{self.name} was not asked: the number of tries has to be at least 1")

    def _once(self, work: Callable[[Connection], T], *, writes: bool) -> T:
        self._check()
        if not (writes and self.is_sqlite):
            return self._transaction(work, writes=writes)
        try:
            return self._with_others(work)
        except TurnLost:
            raise StoreError(f"{self.name} {TOO_BUSY}") from None

    def _with_others(self, work: Callable[[Connection], T]) -> T:
        """One transaction for all that wait; where one of them fails, each by itself."""
        patience = self.limits.busy_timeout
        with suppress(Apart):
            return cast("T", self._together.do(work, patience=patience))
        return cast("T", self._together.do(work, patience=patience, alone=True))

    def _carry_out(self, works: Sequence[Callable[[Connection], object]]) -> list[object]:
        at_work = False

        def all_of_them(db: Connection) -> list[object]:
            nonlocal at_work
            at_work = True
            results = [work(db) for work in works]
            at_work = False
            return results

        try:
            return self._transaction(all_of_them, writes=True)
        except BaseException as why:
            if len(works) == 1 or not at_work:  # BEGIN and COMMIT fail for all of them
                raise
            raise Apart from why

    def _transaction(self, work: Callable[[Connection], T], *, writes: bool) -> T:
        done = False
        try:
            with self._connection(writes) as db, db.begin():
                if self.is_sqlite:  # the write lock at once: a reader that becomes a writer could find others faster
                    begin(db, "BEGIN IMMEDIATE" if writes else "BEGIN")
                result = work(db)
                done = True
        except exc.SQLAlchemyError as why:
            raise told(self.name, why, committing=writes and done) from why
        return result

    @contextmanager
    def _connection(self, writes: bool) -> Iterator[Connection]:
        if not (writes and self.is_sqlite):
            with self.engine.connect() as db:
                yield db
            return
        with self._in_turn():
            try:
                self._check()  # again: it may have waited long
                if self._writer is None:
                    self._writer = self.engine.connect()
                yield self._writer
            except BaseException as why:
                if self._closed or not isinstance(why, FaxError):  # it may be in the middle of something
                    self._drop_writer()
                raise
            if self._closed:
                self._drop_writer()

    def _check(self) -> None:
        if self._closed:
            raise StoreError(f"{self.name} is closed: open the store again")

    def _drop_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        if not self._turn.acquire(timeout=self.limits.busy_timeout):
            raise StoreError(f"{self.name} {TOO_BUSY}")
        try:
            yield
        finally:
            self._turn.release()

    def _engine(self) -> Engine:
        limits = self.limits
        size = limits.connections + self.is_sqlite  # the writer's
        options: dict[str, Any] = {"pool_size": size, "max_overflow": 0, "hide_parameters": True}
        options["pool_timeout"] = limits.busy_timeout
        options["pool_use_lifo"] = True  # the one used last has its pages and statements at hand
        if self.is_sqlite:
            options["connect_args"] = {"timeout": limits.busy_timeout, "check_same_thread": False}
        else:
            options["isolation_level"] = "READ COMMITTED"
            options["connect_args"] = {
                "connect_timeout": max(1, round(limits.connect_timeout)),
                "client_encoding": "utf8",
            }
        try:
            engine = create_engine(self.url, **options)
        except ImportError as why:
            raise StoreError(
                f"{self.name} needs a driver that is not installed: pip install 'vfax[postgresql]'"
            ) from why
        event.listen(engine, "connect", self._connected_sqlite if self.is_sqlite else self._connected_postgresql)
        return engine

    def _connected_sqlite(self, connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # BEGIN is said by _once alone
        if self._log_ahead(connection) != "wal":
            raise StoreError(f"{self.name} cannot keep a write-ahead log: put it on a local disk")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    def _log_ahead(self, connection: sqlite3.Connection) -> object:
        """Quirk: while another process does the same to a new file, SQLite fails at once and does not wait."""
        until = time.monotonic() + self.limits.busy_timeout
        while True:
            try:
                return connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
            except sqlite3.OperationalError as why:
                if why.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                    raise
            time.sleep(self.limits.retry_pause)

    def _connected_postgresql(self, connection: "PostgresConnection[Any]", _record: object) -> None:
        connection.autocommit = True
        with connection.cursor() as cursor:
            found = cursor.execute("SELECT current_setting('server_encoding')").fetchone()
            if found != ("UTF8",):
                raise StoreError(f"{self.name} keeps text as {found and found[0]}: make it with ENCODING 'UTF8'")
            cursor.execute(
                "SELECT set_config('TimeZone', 'UTC', false), set_config('lock_timeout', %s, false),"
                " set_config('statement_timeout', %s, false), set_config('synchronous_commit',"
                " CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'"
                " ELSE current_setting('synchronous_commit') END, false)",
                (f"{self.limits.busy_timeout * 1000:.0f}ms", f"{self.limits.statement_timeout * 1000:.0f}ms"),
            )
        connection.autocommit = False


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
        backend, driver = parsed.get_backend_name(), parsed.get_driver_name()
    except (exc.ArgumentError, ValueError, AttributeError, ImportError):  # never chained: it may quote a password
        raise StoreError(f"the URL of the job store is none: {EXPECTED}") from None
    if backend == SQLITE and driver == "pysqlite":
        if not parsed.database or ":memory:" in parsed.database or parsed.query.get("mode") == "memory":
            raise StoreError(f"the URL of the job store names no file, and would keep nothing: {EXPECTED}")
        return parsed
    if parsed.drivername in ("postgresql", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    raise StoreError(f"the URL of the job store names the database {parsed.drivername!r}: {EXPECTED}")


def _name(url: URL) -> str:
    """How sentences call the database: without user, password and options."""
    if url.get_backend_name() == SQLITE:
        return f"the job store {url.database}"
    host = url.host or url.query.get("host") or "this machine"
    place = host if isinstance(host, str) else ", ".join(host)
    port = f":{url.port}" if url.port else ""
    return f"the job store (PostgreSQL database {url.database or 'of this user'} at {place}{port})"
