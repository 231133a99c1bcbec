"""Migrations: what they make is what the tables say, whoever runs them, and however often."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from tests.host.store.examples import submit
from vfax.errors import StoreError
from vfax.host.store import migrations
from vfax.host.store.database import Database
from vfax.host.store.limits import StoreLimits
from vfax.host.store.migrating import NEWEST, VERSION_TABLE, current
from vfax.host.store.schema import metadata
from vfax.host.store.store import Store

ROOT = Path(__file__).parents[3]


def indexes(db: Connection) -> dict[str, str]:
    """What the database itself says of each index, conditions included, and of each table on SQLite."""
    if db.dialect.name == "sqlite":
        query = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'vfax_%'"
    else:
        query = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND indexname NOT LIKE 'vfax_%'"
    return {name: " ".join(sql.split()) for name, sql in db.execute(text(query))}


def look(store: Store, what: Callable[[Connection], object]) -> object:
    return store._database.read(what)


def test_migrations_make_the_tables_of_the_schema(store: Store) -> None:
    def differences(db: Connection) -> object:
        options = {"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True}
        return compare_metadata(MigrationContext.configure(db, opts=options), metadata)

    assert look(store, differences) == []


def test_the_newest_step_is_the_one_that_is_looked_for_before_alembic_is_loaded(store: Store) -> None:
    folder = Path(migrations.__file__).parent
    assert ScriptDirectory(str(folder)).get_current_head() == NEWEST
    assert look(store, current) == (NEWEST,)
    assert look(store, alembics_own) == (NEWEST,)


def alembics_own(db: Connection) -> object:
    return MigrationContext.configure(db, opts={"version_table": VERSION_TABLE}).get_current_heads()


def test_indexes_and_their_conditions_are_those_of_the_schema(store: Store) -> None:
    made = look(store, indexes)

    def again(db: Connection) -> dict[str, str]:
        metadata.drop_all(db)
        metadata.create_all(db)
        return indexes(db)

    assert isinstance(made, dict)
    assert "jobs_ready" in made
    assert store._database.write(again) == made


def test_opening_twice_changes_nothing(open_store: Callable[..., Store]) -> None:
    first = open_store()
    job = submit(first)
    second = open_store()
    assert second.jobs() == [job]
    assert look(second, current) == ("0001",)


def test_store_of_a_newer_version_is_refused(store: Store, store_url: str) -> None:
    job = submit(store)
    store._database.write(lambda db: db.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9001'")))
    with pytest.raises(StoreError, match=r"made by a newer vfax \(schema 9001; this one knows 0001\): run that"):
        Store.open(store_url)
    assert store.job(job.id) == job


def test_tables_of_another_program_are_left_alone(blank_url: str) -> None:
    database = Database(blank_url, StoreLimits())
    database.write(lambda db: db.execute(text("CREATE TABLE jobs (mine INTEGER)")))
    with pytest.raises(StoreError, match="tables of another program: give vfax a database of its own"):
        Store.open(blank_url)
    tables = database.read(lambda db: inspect(db).get_table_names())
    database.close()
    assert tables == ["jobs"]


def test_migration_that_fails_half_way_leaves_nothing(blank_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = command.upgrade

    def break_off(*arguments: Any) -> None:
        real(*arguments)
        raise OSError("the power went")

    database = Database(blank_url, StoreLimits())
    monkeypatch.setattr(command, "upgrade", break_off)
    with pytest.raises(OSError, match="the power went"):
        Store.open(blank_url)
    assert database.read(lambda db: inspect(db).get_table_names()) == []
    monkeypatch.undo()
    Store.open(blank_url).close()
    assert "jobs" in database.read(lambda db: inspect(db).get_table_names())
    database.close()


def test_threads_that_open_at_once_wait_for_each_other(blank_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(lambda _: Store.open(blank_url), range(4)))
    job = submit(stores[0])
    assert all(store.jobs() == [job] for store in stores)
    for store in stores:
        store.close()


def test_processes_that_open_at_once_wait_for_each_other(blank_url: str) -> None:
    code = (
        "import sys; from vfax.host.store.store import Store; print('ready', flush=True); sys.stdin.readline();"
        " store = Store.open(sys.argv[1]); print(store.queue_paused()); store.close()"
    )
    command = [sys.executable, "-c", code, blank_url]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    hosts = [subprocess.Popen(command, cwd=ROOT, **pipes) for _ in range(3)]  # type: ignore[call-overload]
    for host in hosts:
        assert host.stdout.readline() == "ready\n"
    for host in hosts:
        host.stdin.write("go\n")
        host.stdin.flush()
    for host in hosts:
        out, err = host.communicate(timeout=120)
        assert (out, err) == ("False\n", "")
