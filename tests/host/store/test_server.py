"""The tests' own PostgreSQL: where it is missing, that is an error and no skipped test."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests import postgres


def test_missing_programs_are_an_error_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(_: Path, pattern: str) -> Iterator[Path]:
        assert "initdb" in pattern
        return iter(())

    monkeypatch.setattr(Path, "glob", nothing)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(RuntimeError, match="initdb is missing; as root: apt-get install postgresql"):
        postgres.find_programs()


def test_each_test_has_a_database_of_its_own(postgres_url: str) -> None:
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as db:
        found = db.execute("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace").fetchone()
    assert found == (0,)
