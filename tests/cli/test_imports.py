"""What a command does not load: the start of Python is most of the time that a short command takes."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from vfax.host.store.store import Store

ROOT: Final = Path(__file__).parents[2]
COMMAND: Final = """
import sys
from vfax.cli import main
try:
    main()
except SystemExit as end:
    print(end.code, *sorted(sys.modules), file=sys.stderr)
"""
OPEN: Final = """
import sys
from vfax.host.store.store import Store
Store.open(sys.argv[1]).close()
print(0, *sorted(sys.modules), file=sys.stderr)
"""
DATABASE: Final = {"sqlalchemy", "alembic", "sqlite3", "vfax.host.store.schema"}
SERVER: Final = {"starlette", "hypercorn", "h2", "vfax.host.server", "vfax.host.api.listening"}
CALLS: Final = {"trio", "dns", "PIL", "vfax.leg", "vfax.endpoint", "vfax.t30.engine", "vfax.transports.sip.agent"}
CHECKS: Final = {"vfax.fsp.conformance"}
ALL: Final = DATABASE | SERVER | CALLS | CHECKS | {"phonenumbers"}


def loaded(program: str, *words: object) -> tuple[str, set[str]]:
    """The exit code and all modules of a process of its own."""
    command = [sys.executable, "-c", program, *map(str, words)]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stderr
    code, *modules = told.split()
    return code, set(modules)


@pytest.mark.parametrize(
    ("words", "code", "without"),
    [
        (["--help"], "0", ALL | {"pydantic", "rich.console", "httpx", "vfax.settings"}),
        (["send", "--help"], "0", ALL | {"rich.console", "httpx", "vfax.settings"}),
        (["jobs", "--json"], "6", ALL),
        (["send", "none.tif", "sip:1@127.0.0.1:9", "--json"], "3", DATABASE | SERVER | CHECKS | {"phonenumbers"}),
    ],
    ids=["help", "help of a command", "client", "send"],
)
def test_a_command_does_not_load(
    words: list[str], code: str, without: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VFAX_HOST__SPOOL", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    ended, modules = loaded(COMMAND, *words)
    assert (ended, without & modules) == (code, set())
    assert "vfax.cli.exits" in modules


def test_a_store_that_has_all_steps_is_opened_without_alembic(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'vfax.db'}"
    Store.open(url).close()
    _, modules = loaded(OPEN, url)
    assert {"alembic", "mako", "sqlalchemy"} & modules == {"sqlalchemy"}
