"""Every test of the store runs twice: on SQLite and on PostgreSQL."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.postgres import Postgres
from vfax.host.store.store import Store


@pytest.fixture(scope="session")
def made_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store on SQLite, made once: copied it is there sooner."""
    path = tmp_path_factory.mktemp("made") / "vfax.db"
    Store.open(f"sqlite:///{path}").close()
    return path


@pytest.fixture(scope="session")
def made_database(postgres: Postgres) -> Iterator[str]:
    """The same on PostgreSQL."""
    with postgres.database() as name:
        Store.open(postgres.url(name)).close()
        yield name


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty store."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("made_file"), tmp_path / "vfax.db")
        yield f"sqlite:///{tmp_path}/vfax.db"
        return
    server: Postgres = request.getfixturevalue("postgres")
    with server.database(template=request.getfixturevalue("made_database")) as name:
        yield server.url(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def blank_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database that is not there yet, or has no tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/vfax.db"
    url = request.getfixturevalue("postgres_url")
    assert isinstance(url, str)
    return url


@pytest.fixture
def open_store(store_url: str) -> Iterator[Callable[..., Store]]:
    """Opens the one database with other limits or job numbers, any number of times; closed after the test."""
    with ExitStack() as opened:

        def open_one(**options: Any) -> Store:
            store = Store.open(store_url, **options)
            opened.callback(store.close)
            return store

        yield open_one


@pytest.fixture
def store(open_store: Callable[..., Store]) -> Store:
    """An empty store."""
    return open_store()
