"""Opening a store, and what is said when its database fails: which one it is, and what to do."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, event, text

from tests.host.store.examples import ANNE, NOON, submit
from tests.postgres import Postgres
from vfax.errors import MisuseError, StoreError
from vfax.host.store import leases
from vfax.host.store.database import Database
from vfax.host.store.limits import StoreLimits
from vfax.host.store.store import Store
from vfax.host.store.values import StoredJob

ROOT = Path(__file__).parents[3]
IMPATIENT = StoreLimits(busy_timeout=0.2, tries=2, retry_pause=0.01, connect_timeout=2)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", 'is none: give "sqlite:///<file>"'),
        ("vfax.db", "is none"),
        ("sqlite://", "names no file, and would keep nothing"),
        ("sqlite:///:memory:", "would keep nothing"),
        ("sqlite:///file:x?mode=memory&uri=true", "would keep nothing"),
        ("mysql://u:secret@h/d", "names the database 'mysql'"),
        ("postgresql+asyncpg://u:secret@h/d", "names the database 'postgresql\\+asyncpg'"),
        ("postgresql://u:secret@h:port/d", "is none"),
        ("nosuch://u:secret@h/d", "is none|names the database"),
    ],
)
def test_url_that_names_no_store_is_refused(url: str, words: str) -> None:
    with pytest.raises(StoreError, match=words) as caught:
        Store.open(url)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_postgresql_needs_no_driver_in_its_url(postgres_url: str) -> None:
    store = Store.open(postgres_url.replace("+psycopg", ""))
    assert store.jobs() == []
    store.close()


def test_closed_store_says_so(store: Store) -> None:
    store.close()
    store.close()
    for call in (lambda: store.jobs(), lambda: store.pause_queue(True), lambda: store.backup(Path("x"))):
        with pytest.raises(StoreError, match=r"is closed: open the store again|pg_dump"):
            call()


def test_store_that_is_closed_meanwhile_writes_nothing_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for the turn to write hears of it, and whoever writes for longer than closing waits may finish."""
    store = Store.open(f"sqlite:///{tmp_path}/vfax.db", limits=IMPATIENT)
    database, began, go_on, said = store._database, threading.Event(), threading.Event(), list[str]()

    def work(db: Connection) -> None:
        began.set()
        go_on.wait(10.0)

    writing = threading.Thread(target=database.write, args=(work,))
    writing.start()
    began.wait(10.0)
    store.close()
    go_on.set()
    writing.join()
    assert database._writer is None, "the connection is left behind"
    in_turn = database._in_turn

    @contextmanager
    def closed_meanwhile() -> Iterator[None]:
        with in_turn():
            database._closed = True
            yield

    database._closed = False
    monkeypatch.setattr(database, "_in_turn", closed_meanwhile)
    with pytest.raises(StoreError, match="is closed"):
        database.write(lambda db: said.append("written"))
    assert said == []


def test_fault_in_the_middle_of_a_transaction_costs_the_next_one_nothing(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/vfax.db", limits=IMPATIENT)
    database = store._database

    def work(db: Connection) -> None:
        db.execute(text("UPDATE state SET value = 1 WHERE name = 'paused'"))
        raise MemoryError

    def undone(*_: object) -> None:
        raise MemoryError

    event.listen(database.engine, "rollback", undone)
    with pytest.raises(MemoryError):
        database.write(work)
    event.remove(database.engine, "rollback", undone)
    store.pause_queue(False)
    assert not store.queue_paused()
    store.close()


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"the job store .*/none/vfax.db cannot be opened: make its folder"):
        Store.open(f"sqlite:///{tmp_path}/none/vfax.db")


def test_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "vfax.db"
    path.write_bytes(b"precious" * 1000)
    with pytest.raises(StoreError, match="is not an SQLite database: choose another file"):
        Store.open(f"sqlite:///{path}")
    assert path.read_bytes() == b"precious" * 1000


def test_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    path = tmp_path / "vfax.db"
    store = Store.open(f"sqlite:///{path}")
    url = f"sqlite:///file:{path}?mode=ro&uri=true"
    reading = Store.open(url, limits=IMPATIENT)
    assert reading.jobs() == []
    with pytest.raises(StoreError, match="cannot be written: give this user write access"):
        submit(reading)
    reading.close()
    store.close()


def test_file_that_this_user_may_not_write_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")  # root may write everything

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StoreError, match=r"vfax\.db cannot be written: give this user .*\(Permission denied\)"):
        Store.open(f"sqlite:///{tmp_path}/vfax.db")


def test_full_disk_is_told_and_nothing_of_it_stays(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/vfax.db")
    event.listen(store._database.engine, "connect", lambda db, _: db.execute("PRAGMA max_page_count=60"))
    store._database._drop_writer()
    store._database.engine.dispose()
    kept: list[StoredJob] = []
    with pytest.raises(StoreError, match="has no room left: free space on its disk"):
        fill(store, kept)
    assert store.jobs(limit=1000) == kept[::-1]
    store._database.write(lambda db: db.exec_driver_sql("PRAGMA max_page_count=1000"))
    submit(store, subject="x" * 4000)
    store.close()


def fill(store: Store, kept: list[StoredJob]) -> None:
    while len(kept) < 1000:
        kept.append(submit(store, subject="x" * 4000))


@contextmanager
def holding(url: str) -> Iterator[None]:
    """Somebody else who writes and does not finish."""
    other = Database(url, StoreLimits())
    held, done = threading.Event(), threading.Event()

    def work(db: Connection) -> None:
        if not other.is_sqlite:
            db.execute(text("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE"))
        held.set()
        assert done.wait(60)

    thread = threading.Thread(target=other.write, args=(work,))
    thread.start()
    assert held.wait(60)
    try:
        yield
    finally:
        done.set()
        thread.join()
        other.close()


def test_database_that_others_hold_is_told(open_store: Callable[..., Store], store_url: str) -> None:
    store = open_store(limits=IMPATIENT)
    with holding(store_url), pytest.raises(StoreError, match="is locked by others for too long"):
        submit(store)
    submit(store)
    assert len(store.jobs()) == 1


def test_store_that_its_own_threads_keep_busy_is_told(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/vfax.db", limits=IMPATIENT)
    with store._database._turn, pytest.raises(StoreError, match="is busy for too long"):
        submit(store)
    store.close()


def test_connections_in_use_are_told(open_store: Callable[..., Store]) -> None:
    store = open_store(limits=StoreLimits(connections=1, busy_timeout=0.2))
    with store._database.engine.connect(), pytest.raises(StoreError, match="all connections to the job store"):
        store.jobs()


def test_server_that_does_not_answer_is_told_without_the_password(tmp_path: Path) -> None:
    url = f"postgresql+psycopg://vfax:secret@/fax?host={tmp_path}&port=5433"
    with pytest.raises(StoreError, match=r"\(PostgreSQL database fax at /.*\) cannot be reached: start it") as caught:
        Store.open(url, limits=IMPATIENT)
    assert "secret" not in str(caught.value)


def test_database_that_does_not_exist_is_told(postgres: Postgres) -> None:
    with pytest.raises(StoreError, match=r"database nosuch .*does not exist: make it with createdb"):
        Store.open(postgres.url("nosuch"), limits=IMPATIENT)


def test_database_of_another_encoding_is_told(postgres: Postgres) -> None:
    with (
        postgres.database(encoding="SQL_ASCII") as name,
        pytest.raises(StoreError, match="keeps text as SQL_ASCII: make it with ENCODING 'UTF8'"),
    ):
        Store.open(postgres.url(name), limits=IMPATIENT)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("53100", "has no room left"),
        ("53200", "is out of memory"),
        ("53300", "has no connection left"),
        ("25006", "cannot be written"),
        ("42501", "does not let this user"),
        ("57014", "took too long"),
        ("57P03", "is stopping or starting"),
        ("58030", "could not be read or written"),
        ("XX001", "is damaged"),
        ("28P01", "refuses this user"),
        ("22012", "failed \\(boom\\)"),
    ],
)
def test_errors_of_postgresql_become_sentences(postgres_url: str, code: str, words: str) -> None:
    database = Database(postgres_url, IMPATIENT)
    boom = text(f"DO $$ BEGIN RAISE EXCEPTION 'boom' USING ERRCODE = '{code}'; END $$")
    with pytest.raises(StoreError, match=rf"^the job store \(PostgreSQL database .*\) {words}") as caught:
        database.write(lambda db: db.execute(boom))
    database.close()
    assert "RAISE" not in str(caught.value)


@pytest.mark.parametrize("code", ["40001", "40P01"])
@pytest.mark.parametrize("failures", [3, 4])
def test_transaction_that_others_undid_is_begun_again_but_not_for_ever(
    postgres_url: str, code: str, failures: int
) -> None:
    database = Database(postgres_url, StoreLimits(tries=4, retry_pause=0.001))
    tries: list[int] = []

    def work(db: Connection) -> str:
        tries.append(1)
        if len(tries) <= failures:
            db.execute(text(f"DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '{code}'; END $$"))
        return "done"

    if failures < 4:
        assert database.write(work) == "done"
    else:
        with pytest.raises(StoreError, match="changed by too many at once"):
            database.write(work)
    database.close()
    assert len(tries) == 4


def end_connections(postgres: Postgres, url: str) -> None:
    name = url.split("@/")[1].split("?")[0]
    with postgres.connect() as db:
        db.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
            (name,),
        )


def test_connection_lost_between_calls_is_made_anew(postgres: Postgres, postgres_url: str) -> None:
    store = Store.open(postgres_url)
    submit(store)
    end_connections(postgres, postgres_url)
    submit(store)
    assert len(store.jobs()) == 2
    store.close()


def open_connections(store: Store, count: int) -> None:
    """Let the store have so many connections in its pool: one transaction within the other."""

    def work(db: Connection) -> None:
        leases.PAUSED_AND_STAYS.rows(db)
        if count > 1:
            open_connections(store, count - 1)

    store._database.read(work)


def test_connection_lost_within_a_transaction_begins_it_again(
    postgres: Postgres, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(postgres_url)
    open_connections(store, 6)
    dialect = store._database.engine.dialect
    execute = dialect.do_execute
    asked: list[str] = []
    failed: list[Exception] = []

    def lose(cursor: Any, statement: str, *about: Any) -> None:
        asked.append(statement)
        try:
            execute(cursor, statement, *about)
        except Exception as why:
            failed.append(why)
            raise
        if len(asked) == 1:
            end_connections(postgres, postgres_url)

    monkeypatch.setattr(dialect, "do_execute", lose)
    submit(store)
    open_connections(store, 6)
    assert len(failed) == 1, "the others were lost too, and nobody had to find out"
    assert len(store.jobs()) == 1
    store.close()


def test_connection_lost_while_committing_is_not_tried_again(postgres: Postgres, postgres_url: str) -> None:
    store = Store.open(postgres_url)
    event.listen(store._database.engine, "commit", lambda _: end_connections(postgres, postgres_url))
    with pytest.raises(StoreError, match="whether it did so is not known; look before you repeat it"):
        submit(store)
    other = Store.open(postgres_url)
    assert other.jobs() == []
    store.close()
    other.close()


def test_server_that_was_restarted_is_used_again(tmp_path: Path) -> None:
    from tests.postgres import running_postgres

    with running_postgres() as server, server.database() as name:
        store = Store.open(server.url(name), limits=IMPATIENT)
        job = submit(store)
        server.stop()
        with pytest.raises(StoreError, match="cannot be reached"):
            store.jobs()
        server.start()
        assert store.jobs() == [job]
        store.close()


def test_exception_within_a_transaction_undoes_it(store: Store) -> None:
    def work(db: Connection) -> None:
        db.execute(text("UPDATE state SET value = 1 WHERE name = 'paused'"))
        raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        store._database.write(work)
    assert not store.queue_paused()


def test_errors_tell_no_values_and_no_statements(postgres_url: str) -> None:
    store = Store.open(postgres_url)
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as other:
        other.execute("ALTER TABLE jobs ADD CONSTRAINT strict CHECK (length(sender_password) < 3)")
    with pytest.raises(StoreError) as caught:
        submit(store, sender_password="geheim")
    chain: BaseException | None = caught.value
    told = str(caught.value)
    store.close()
    assert chain is not None
    assert "geheim" not in told
    assert "INSERT" not in told


def test_host_that_is_killed_within_a_transaction_leaves_nothing_of_it(store: Store, store_url: str) -> None:
    code = (
        "import os, signal, sys; from sqlalchemy import text; from vfax.host.store.store import Store;"
        " store = Store.open(sys.argv[1]); store._database.write(lambda db: (db.execute(text("
        "\"UPDATE state SET value = 1 WHERE name = 'paused'\")), os.kill(os.getpid(), signal.SIGKILL)))"
    )
    killed = subprocess.run([sys.executable, "-c", code, store_url], cwd=ROOT, check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not store.queue_paused()
    submit(store)  # nothing is locked either
    assert len(store.jobs()) == 1


def test_readers_do_not_wait_for_writers(open_store: Callable[..., Store], tmp_path: Path) -> None:
    store = open_store()
    job = submit(store)

    def work(db: Connection) -> Any:
        db.execute(text("UPDATE jobs SET subject = 'new'"))
        return store.job(job.id)

    assert store._database.write(work) == job


def test_wrong_values_that_reach_a_column_are_misuse(store: Store) -> None:
    with pytest.raises(MisuseError, match="is no JobStatusEnum"):
        store.jobs(status=object())  # type: ignore[arg-type]
    assert store.claim(ANNE, NOON, lease=1, limit=1) == []


def test_sqlite_file_of_a_stranger_is_opened_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "100 % ü.db"
    store = Store.open(f"sqlite:///{path}")
    submit(store)
    store.close()
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT count(*) FROM jobs").fetchone() == (1,)
    db.close()
