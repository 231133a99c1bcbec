"""Every test of the store runs twice: on SQLite and on PostgreSQL."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from vfax.host.store.store import Store


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
