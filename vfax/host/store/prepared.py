"""Statements that every job goes through, compiled once.

Owns      the text of a statement and what turns its values and columns; carrying it out by the driver itself.
Not here  the statements (the mixins of the store), what a column holds (columns.py), transactions (database.py).

SQLAlchemy takes several times as long to carry out a small statement as SQLite does, most of it for what it finds out
about the statement and its rows each time anew. What it finds out about these is kept.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Dialect, Insert, Select, Update, exc
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine

from vfax.errors import MisuseError

Values = Mapping[str, object]
Given = tuple[object, ...] | dict[str, object]
Row = tuple[Any, ...]
Turn = Callable[[Any], Any]

NO_VALUES: Final[Values] = {}


class _Place(NamedTuple):
    """A place in the text: what is said under a name, or always the same."""

    place: str
    name: str | None
    turn: Turn | None
    always: object


class _Plan:
    """A statement as the driver takes it, and how what it gives is turned: that is known when it gave some."""

    __slots__ = ("places", "positional", "text", "turned")

    def __init__(self, text: str, places: Sequence[_Place], *, positional: bool) -> None:
        self.text = text
        self.places = places
        self.positional = positional
        self.turned: Sequence[tuple[int, Turn]] | None = None


class Prepared:
    """A statement with named values, those in its place and those it sets or inserts; expanding ones have no place."""

    def __init__(self, statement: Select[Any] | Insert | Update) -> None:
        self.statement = statement
        self.columns: Final = tuple(str(column.key) for column in statement.exported_columns)
        """What its rows have, in this order."""
        self._plans: dict[tuple[str, ...], _Plan] = {}  # by dialect and names of values

    def rows(self, db: Connection, values: Values = NO_VALUES) -> list[Row]:
        """Carry it out: its rows. Raises SQLAlchemyError, and MisuseError for a value that no column takes."""
        plan = self._plan(db.dialect, values)
        done = _carry_out(db, plan.text, _given(plan, values))
        if plan.turned is None:
            plan.turned = self._turns(db.dialect, done.described)
        return [_turned(row, plan.turned) for row in done.rows] if plan.turned else list(done.rows)

    def row(self, db: Connection, values: Values = NO_VALUES) -> Row | None:
        """Carry out what finds or changes one row at most: that row, or None."""
        found = self.rows(db, values)
        return found[0] if found else None

    def named(self, db: Connection, values: Values = NO_VALUES) -> dict[str, Any] | None:
        """The same, its columns by their names."""
        row = self.row(db, values)
        return None if row is None else dict(zip(self.columns, row, strict=True))

    def run(self, db: Connection, values: Values = NO_VALUES) -> int:
        """Carry out what returns nothing: how many rows it changed."""
        plan = self._plan(db.dialect, values)
        return _carry_out(db, plan.text, _given(plan, values)).changed

    def each(self, db: Connection, many: Sequence[Values]) -> None:
        """Carry out what returns nothing with all of these values, which have the same names in the same order."""
        if len(many) == 1:
            self.run(db, many[0])
        elif many:
            plan = self._plan(db.dialect, many[0])
            _carry_out(db, plan.text, [_given(plan, values) for values in many])

    def _plan(self, dialect: Dialect, values: Values) -> _Plan:
        names = (dialect.name, *values)
        plan = self._plans.get(names)
        if plan is None:
            plan = self._plans[names] = self._planned(dialect, sorted(values))
        return plan

    def _planned(self, dialect: Dialect, names: Sequence[str]) -> _Plan:
        compiled = self.statement.compile(dialect=dialect, column_keys=list(names))
        order = compiled.positiontup if compiled.positional else compiled.bind_names.values()
        places = [_place(compiled, place, names) for place in order or ()]
        return _Plan(compiled.string, places, positional=compiled.positional)

    def _turns(self, dialect: Dialect, described: Sequence[Sequence[Any]]) -> list[tuple[int, Turn]]:
        """What turns columns of these into values; the driver has described them."""
        turns = [
            _type(column.type, dialect).result_processor(dialect, about[1])
            for column, about in zip(self.statement.exported_columns, described, strict=True)
        ]
        return [(at, turn) for at, turn in enumerate(turns) if turn is not None]


class _Done(NamedTuple):
    """What came of a statement: rows, their columns as DB-API describes them, how many were changed."""

    rows: Sequence[Any]
    described: Sequence[Sequence[Any]]
    changed: int


def begin(db: Connection, statement: str) -> None:
    """Say how a transaction of SQLite begins."""
    _carry_out(db, statement, ())


def _carry_out(db: Connection, text: str, values: Given | list[Given]) -> _Done:
    dialect = db.dialect
    cursor = db.connection.cursor()
    try:
        if isinstance(values, list):
            dialect.do_executemany(cursor, text, values)  # type: ignore[arg-type]  # all are of one kind
        else:
            dialect.do_execute(cursor, text, values)
        described = cursor.description or ()
        return _Done(cursor.fetchall() if described else (), described, cursor.rowcount)
    except dialect.loaded_dbapi.Error as why:
        raise _as_told(db, cursor, text, why) from why
    finally:
        cursor.close()


def _as_told(db: Connection, cursor: DBAPICursor, text: str, why: Exception) -> Exception:
    """The driver's error as SQLAlchemy tells it; a lost connection is given up, with those that wait for work."""
    dialect = db.dialect
    lost = dialect.is_disconnect(why, db.connection.dbapi_connection, cursor)  # type: ignore[arg-type]
    if lost:
        db.invalidate(why)
        db.engine.dispose()
    return exc.DBAPIError.instance(
        text, None, why, dialect.loaded_dbapi.Error, hide_parameters=True, connection_invalidated=lost, dialect=dialect
    )


def _place(compiled: SQLCompiler, place: str, given: Sequence[str]) -> _Place:
    value = compiled.binds[place]
    turn = _type(value.type, compiled.dialect).bind_processor(compiled.dialect)
    if value.key in given:
        return _Place(place, value.key, turn, None)
    if value.required:
        raise MisuseError(f"the store was asked for what it cannot do: {value.key!r} was not said")
    always = value.effective_value
    return _Place(place, None, None, always if turn is None else turn(always))


def _given(plan: _Plan, values: Values) -> Given:
    given: list[object] = []
    try:
        for _, name, turn, always in plan.places:
            value = always if name is None else values[name]
            given.append(value if turn is None else turn(value))
    except (TypeError, ValueError) as why:  # of types that are not ours; MisuseError says what ours do not take
        raise MisuseError(f"the store was asked for what it cannot do: {why}") from why
    if plan.positional:
        return tuple(given)
    return {place.place: value for place, value in zip(plan.places, given, strict=True)}


def _turned(row: Row, turned: Sequence[tuple[int, Turn]]) -> Row:
    values = list(row)
    for at, turn in turned:
        values[at] = turn(values[at])
    return tuple(values)


def _type(kind: TypeEngine[Any], dialect: Dialect) -> TypeEngine[Any]:
    return kind.dialect_impl(dialect)
