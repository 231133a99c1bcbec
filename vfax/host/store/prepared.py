"""Statements that every job goes through, compiled once.

Owns      the text of a statement and what turns its values and columns; carrying it out by the driver itself.
Not here  the statements (the mixins of the store), what a column holds (columns.py), transactions (database.py).

SQLAlchemy takes several times as long to carry out a small statement as SQLite does, most of it for what it finds out
about the statement and its rows each time anew. What it finds out about these is kept. On PostgreSQL it carries them
out itself: it knows from the error which connections were lost with this one, and the way there is longer anyway.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Dialect, Insert, Select, Update, exc
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine

from vfax.errors import MisuseError

Values = Mapping[str, object]
Turn = Callable[[Any], Any]

SQLITE: Final = "sqlite"
NO_VALUES: Final[Values] = {}


class _Bound(NamedTuple):
    """A value of a statement: the one of that name, or always the same."""

    name: str | None
    turn: Turn | None
    always: object


class _Plan(NamedTuple):
    """A statement as the driver takes it."""

    text: str
    bound: Sequence[_Bound]
    turned: Sequence[tuple[int, Turn]]


class Prepared:
    """A statement with named values, those in its place and those it sets or inserts; expanding ones have no place."""

    def __init__(self, statement: Select[Any] | Insert | Update) -> None:
        self.statement = statement
        self.columns: Final = tuple(str(column.key) for column in statement.exported_columns)
        """What its rows have, in this order."""
        self._plans: dict[tuple[str, ...], _Plan] = {}

    def rows(self, db: Connection, values: Values = NO_VALUES) -> list[tuple[Any, ...]]:
        """Carry it out: its rows. Raises SQLAlchemyError, and MisuseError for a value that no column takes."""
        if db.dialect.name != SQLITE:
            return self.each(db, [values])
        plan = self._plan(db.dialect, values)
        found, _ = _carry_out(db, plan.text, _given(plan.bound, values))
        return [_turned(row, plan.turned) for row in found] if plan.turned else found

    def row(self, db: Connection, values: Values = NO_VALUES) -> tuple[Any, ...] | None:
        """Carry out what finds or changes one row at most: that row, or None."""
        found = self.rows(db, values)
        return found[0] if found else None

    def named(self, db: Connection, values: Values = NO_VALUES) -> dict[str, Any] | None:
        """The same, its columns by their names."""
        row = self.row(db, values)
        return None if row is None else dict(zip(self.columns, row, strict=True))

    def run(self, db: Connection, values: Values = NO_VALUES) -> int:
        """Carry out what returns nothing: how many rows it changed."""
        if db.dialect.name != SQLITE:
            return db.execute(self.statement, dict(values)).rowcount
        plan = self._plan(db.dialect, values)
        return _carry_out(db, plan.text, _given(plan.bound, values))[1]

    def each(self, db: Connection, many: Sequence[Values]) -> list[tuple[Any, ...]]:
        """Carry it out with all of these values, one after the other: the rows of all of them, in this order."""
        if db.dialect.name == SQLITE:
            return [row for values in many for row in self.rows(db, values)]
        result = db.execute(self.statement, [dict(values) for values in many]) if many else None
        return [tuple(row) for row in result] if result is not None and result.returns_rows else []

    def _plan(self, dialect: Dialect, values: Values) -> _Plan:
        names = tuple(values)
        plan = self._plans.get(names)
        if plan is None:
            plan = self._plans[names] = self._planned(dialect, names)
        return plan

    def _planned(self, dialect: Dialect, names: Sequence[str]) -> _Plan:
        compiled = self.statement.compile(dialect=dialect, column_keys=sorted(names))
        turned = [
            (at, turn)
            for at, column in enumerate(self.statement.exported_columns)
            if (turn := _out_of(column.type, dialect)) is not None
        ]
        return _Plan(compiled.string, [_bound(compiled, name, names) for name in compiled.positiontup or ()], turned)


def begin(db: Connection, statement: str) -> None:
    """Say how a transaction of SQLite begins."""
    _carry_out(db, statement, ())


def _carry_out(db: Connection, text: str, values: tuple[object, ...]) -> tuple[list[tuple[Any, ...]], int]:
    dialect = db.dialect
    cursor = db.connection.cursor()
    try:
        dialect.do_execute(cursor, text, values)
        return (list(cursor.fetchall()) if cursor.description else []), cursor.rowcount
    except dialect.loaded_dbapi.Error as why:
        base = dialect.loaded_dbapi.Error
        raise exc.DBAPIError.instance(text, None, why, base, hide_parameters=True, dialect=dialect) from why
    finally:
        cursor.close()


def _bound(compiled: SQLCompiler, name: str, given: Sequence[str]) -> _Bound:
    place = compiled.binds[name]
    turn = _into(place.type, compiled.dialect)
    if place.key in given:
        return _Bound(place.key, turn, None)
    if place.required:
        raise MisuseError(f"the store was asked for what it cannot do: {name!r} was not said")
    always = place.effective_value
    return _Bound(None, None, always if turn is None else turn(always))


def _given(bound: Sequence[_Bound], values: Values) -> tuple[object, ...]:
    given: list[object] = []
    try:
        for name, turn, always in bound:
            value = always if name is None else values[name]
            given.append(value if turn is None else turn(value))
    except (TypeError, ValueError) as why:  # of types that are not ours; MisuseError says what ours do not take
        raise MisuseError(f"the store was asked for what it cannot do: {why}") from why
    return tuple(given)


def _turned(row: tuple[Any, ...], turned: Sequence[tuple[int, Turn]]) -> tuple[Any, ...]:
    values = list(row)
    for at, turn in turned:
        values[at] = turn(values[at])
    return tuple(values)


def _into(kind: TypeEngine[Any], dialect: Dialect) -> Turn | None:
    return kind.dialect_impl(dialect).bind_processor(dialect)


def _out_of(kind: TypeEngine[Any], dialect: Dialect) -> Turn | None:
    return kind.dialect_impl(dialect).result_processor(dialect, None)
