"""A PostgreSQL of the tests' own: a server in a temporary folder that answers on a Unix socket there and nowhere else.

Owns      finding the programs, making and starting the cluster, a new database for each test, its end.
Not here  what is tested with it. The fixtures `postgres` and `postgres_url` are in tests/conftest.py.

The server refuses to run as root: then it runs as the user "postgres" that Debian's package brings, or as "nobody".
It ends with the process that started it, however that ends. Where its programs are missing, tests fail: none skips.
"""

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql

REMEDY: Final = "as root: apt-get install postgresql (script/test does it)"
USER: Final = "vfax"
PORT: Final = 5432  # a part of the socket's name
PATIENCE: Final = 60.0
SETTINGS: Final = {
    "listen_addresses": "",
    "max_connections": "200",
    "fsync": "off",  # the tests kill hosts, not machines; bench/store.py has it on
    "log_min_messages": "warning",
    "deadlock_timeout": "100ms",
}
PR_SET_PDEATHSIG: Final = 1


def find_programs() -> Path:
    """The folder with initdb and postgres, those of the newest version. Raises RuntimeError when there is none."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if found:
        return max(found, key=lambda folder: [int(part) for part in folder.parent.name.split(".") if part.isdigit()])
    beside = shutil.which("initdb")
    if beside is None:
        raise RuntimeError(f"PostgreSQL's initdb is missing; {REMEDY}")
    return Path(beside).resolve().parent


def server_user() -> dict[str, Any]:
    """What makes a child of ours run as a user that the server accepts."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}
    raise RuntimeError("PostgreSQL does not run as root, and there is no user postgres or nobody: make one")


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)


class Postgres:
    """One running server. `start` and `stop` may be called again; databases stay."""

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self.folder = folder
        self._programs = find_programs()
        self._user = server_user()
        self._settings = SETTINGS | settings
        self._server: subprocess.Popen[bytes] | None = None
        self._numbers = count(1)

    def make(self) -> None:
        """Make the cluster; whoever can reach the folder may do anything with it."""
        if self._user:
            os.chown(self.folder, self._user["user"], self._user["group"])
        self._run("initdb", "--no-sync", "--auth=trust", f"--username={USER}", "--encoding=UTF8", "--locale=C")

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = [f"--{name}={value}" for name, value in self._settings.items()]
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [self._programs / "postgres", "-D", self.folder / "data", "-k", self.folder, "-p", str(PORT), *options],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                preexec_fn=_end_with_parent,
                **self._user,
            )
        until = time.monotonic() + PATIENCE
        while not self._answers():
            if self._server.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"PostgreSQL does not start:\n{(self.folder / 'log').read_text('utf-8', 'replace')}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop the server at once; its clients lose their connections."""
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)
            self._server.wait(PATIENCE)
            self._server = None

    def url(self, database: str) -> str:
        """The URL of one of its databases, as the settings of vfax have it."""
        return f"postgresql+psycopg://{USER}@/{database}?host={self.folder}&port={PORT}"

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """A connection beside those of the program that is tested; each statement counts at once."""
        return psycopg.connect(host=str(self.folder), port=PORT, user=USER, dbname=database, autocommit=True)

    @contextmanager
    def database(self, *, encoding: str = "UTF8", template: str = "template0") -> Iterator[str]:
        """A database of one's own, empty or like another that nobody is connected to: its name."""
        name = sql.Identifier(made := f"test_{next(self._numbers)}")
        options = sql.SQL(f"TEMPLATE {template} ENCODING '{encoding}' STRATEGY file_copy")
        with self.connect() as db:
            db.execute(sql.SQL("CREATE DATABASE {} {}").format(name, options))
        try:
            yield made
        finally:
            with self.connect() as db:
                db.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, program: str, *arguments: str) -> None:
        told = subprocess.run(
            [self._programs / program, "-D", self.folder / "data", *arguments],
            capture_output=True,
            text=True,
            cwd=self.folder,
            check=False,
            **self._user,
        )
        if told.returncode:
            raise RuntimeError(f"PostgreSQL's {program} failed:\n{told.stdout}{told.stderr}")


@contextmanager
def running_postgres(**settings: str) -> Iterator[Postgres]:
    """A server, for as long as the block lasts. Its folder is short-named: a socket's path has 107 octets at most."""
    folder = Path(tempfile.mkdtemp(prefix="vfax-pg-"))
    server = None
    try:
        server = Postgres(folder, settings)
        server.make()
        server.start()
        yield server
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
