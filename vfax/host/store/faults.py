"""Errors of a database as sentences that name it and say what to do.

Owns      which error means what, and after which the same transaction may simply be begun again.
Not here  beginning it again (database.py).
Source    SQLite's result codes (sqlite.org/rescode.html); PostgreSQL 15, appendix A (error codes).

Neither statements nor their values are told: they hold what people wrote and passwords of senders.
"""

import sqlite3
from dataclasses import dataclass
from typing import Final

from sqlalchemy import exc

from vfax.errors import FaxError, MisuseError, StoreError

MAX_DETAIL: Final = 300
"""Limit: characters of a database's own words."""


class TransientError(StoreError):
    """Nothing was changed, and the same may succeed when it is tried again."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong and what helps, as the end of a sentence that begins with the database's name."""

    words: str
    transient: bool = False


UNREACHABLE: Final = Fault(
    "cannot be reached: start it, or correct its address in the URL of the store", transient=True
)
FULL: Final = Fault("has no room left: free space on its disk, or let housekeeping keep less")
LOCKED: Final = Fault("is locked by others for too long: stop what else works on it, or raise the busy timeout")
READ_ONLY: Final = Fault("cannot be written: give this user write access to it, or choose another")
NO_FILE: Final = Fault("cannot be opened: make its folder, and let this user read and write there")
DAMAGED: Final = Fault("is damaged: stop the service and restore a backup")
FOREIGN: Final = Fault("holds tables of another program: give vfax a database of its own")

SQLITE: Final[dict[int, Fault]] = {
    sqlite3.SQLITE_PERM: READ_ONLY,
    sqlite3.SQLITE_BUSY: LOCKED,
    sqlite3.SQLITE_LOCKED: LOCKED,
    sqlite3.SQLITE_READONLY: READ_ONLY,
    sqlite3.SQLITE_IOERR: Fault("could not be read or written: look for errors of its disk in the system's log"),
    sqlite3.SQLITE_CORRUPT: DAMAGED,
    sqlite3.SQLITE_FULL: FULL,
    sqlite3.SQLITE_CANTOPEN: NO_FILE,
    sqlite3.SQLITE_NOTADB: Fault("is not an SQLite database: choose another file, or move this one away"),
}
"""By primary result code."""

POSTGRESQL: Final[dict[str, Fault]] = {
    "08": UNREACHABLE,
    "25006": READ_ONLY,
    "28": Fault("refuses this user: correct user and password in the URL of the store, or the server's pg_hba.conf"),
    "3D000": Fault("does not exist: make it with createdb, or correct the URL of the store"),
    "40": Fault("is changed by too many at once: try again", transient=True),
    "42501": Fault("does not let this user do that: grant it the right to create and to write tables there"),
    "42P07": FOREIGN,
    "53100": FULL,
    "53200": Fault("is out of memory: give the server more"),
    "53300": Fault("has no connection left: raise max_connections, or let vfax use fewer", transient=True),
    "55P03": LOCKED,
    "57014": Fault("took too long: look for what slows it down, or raise the statement timeout"),
    "57P": Fault("is stopping or starting: wait until it is up", transient=True),
    "58": Fault("could not be read or written: look for errors of its disk in the server's log"),
    "XX001": DAMAGED,
    "XX002": DAMAGED,
}
"""By SQLSTATE: the whole of it, or how it begins."""

UNSETTLED: Final = "lost the connection while it wrote: whether it did so is not known; look before you repeat it"


def told(name: str, why: exc.SQLAlchemyError, *, committing: bool = False) -> FaxError:
    """The error to raise in place of `why`; `committing`: the connection may have been lost after all was written."""
    if isinstance(why, exc.TimeoutError):
        return StoreError(f"all connections to {name} are in use: let vfax use more, or do less at once")
    if not isinstance(why, exc.DBAPIError):
        return _misuse(why)
    orig = why.orig
    fault = _of_sqlite(orig) if isinstance(orig, sqlite3.Error) else _of_postgresql(orig, why.connection_invalidated)
    if committing and fault is UNREACHABLE:
        return StoreError(f"{name} {UNSETTLED}{_detail(orig)}")
    kind = TransientError if fault.transient else StoreError
    return kind(f"{name} {fault.words}{_detail(orig)}")


def is_duplicate(why: BaseException | None) -> bool:
    """True for a row that is there already: somebody drew the same job number at the same moment."""
    return isinstance(why, exc.IntegrityError)


def _misuse(why: exc.SQLAlchemyError) -> FaxError:
    """A value that no column takes (columns.py says which), or a bug."""
    orig = why.orig if isinstance(why, exc.StatementError) else None
    return (
        orig
        if isinstance(orig, MisuseError)
        else MisuseError(f"the store was asked for what it cannot do: {orig or why}")
    )


def _of_sqlite(orig: sqlite3.Error) -> Fault:
    code = getattr(orig, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_ERROR and "already exists" in str(orig):
        return FOREIGN
    return SQLITE.get(code, Fault("failed"))


def _of_postgresql(orig: BaseException | None, lost: bool) -> Fault:
    state = getattr(orig, "sqlstate", None)
    if not state:  # errors of the client's library have none: it did not get through, or no longer
        return _of_connecting(str(orig)) if lost or type(orig).__name__ == "OperationalError" else Fault("failed")
    found = next((POSTGRESQL[state[:n]] for n in (5, 3, 2) if state[:n] in POSTGRESQL), None)
    return UNREACHABLE if lost else found or Fault("failed")


def _of_connecting(words: str) -> Fault:
    """While it connects, the library passes on the server's words (libpq, 'FATAL: ...') without their SQLSTATE."""
    for part, state in (
        ("authentication failed", "28"),
        ("no pg_hba.conf entry", "28"),
        ("no password supplied", "28"),
        ("does not exist", "3D000"),
        ("too many connections", "53300"),
        ("too many clients", "53300"),
        ("remaining connection slots", "53300"),
        ("the database system is", "57P"),
    ):
        if part in words:
            return POSTGRESQL[state]
    return UNREACHABLE


def _detail(orig: BaseException | None) -> str:
    """The database's own words, one line of them."""
    primary = getattr(getattr(orig, "diag", None), "message_primary", None)
    lines = str(primary or orig or "").strip().splitlines()
    return f" ({lines[0][:MAX_DETAIL]})" if lines else ""
