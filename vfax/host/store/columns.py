"""What a column holds: values of ours to values that both databases keep alike, and back exactly.

Owns      numbers with bounds, times in UTC, text of any characters, JSON.
Not here  which table has which column (schema.py).

Text of a peer may hold anything that a Python string can: PostgreSQL refuses U+0000, and neither database takes half
of a surrogate pair. Both are kept as `\\u0000` and `\\udc80`, a backslash as two, and come back as they were; so a text
reads differently in the database only where it has one of these.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import IntEnum, IntFlag, StrEnum
from typing import Final, Generic, TypeVar

from sqlalchemy import BigInteger, DateTime, Dialect, Double, Text
from sqlalchemy.types import TypeDecorator

from vfax.errors import MisuseError
from vfax.fsp.constants import DWORD_MAX

QWORD_SPAN: Final = 1 << 64
_ODD: Final = re.compile("[\\\\\0\ud800-\udfff]")
_ESCAPED: Final = re.compile(r"\\(\\|u[0-9a-f]{4})")

N = TypeVar("N", bound=IntEnum | IntFlag)
S = TypeVar("S", bound=StrEnum)


def escape(text: str) -> str:
    """Write `text` with characters that every database takes; `unescape` gives it back."""
    return _ODD.sub(lambda found: "\\\\" if found[0] == "\\" else f"\\u{ord(found[0]):04x}", text)


def unescape(text: str) -> str:
    """What `escape` was given."""
    if "\\" not in text:  # nearly every text
        return text
    return _ESCAPED.sub(lambda found: "\\" if found[1] == "\\" else chr(int(found[1][1:], 16)), text)


class Whole(TypeDecorator[int]):
    """A whole number from `low` to `high`, both included; a DWORD when nothing is said."""

    impl = BigInteger
    cache_ok = True

    def __init__(self, low: int = 0, high: int = DWORD_MAX) -> None:
        super().__init__()
        self.low = low
        self.high = high

    def process_bind_param(self, value: int | None, dialect: Dialect) -> int | None:
        """Raises MisuseError for anything but such a number."""
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not self.low <= value <= self.high:
            raise MisuseError(f"{value!r} is no whole number from {self.low} to {self.high}")
        return int(value)


class FileTime(TypeDecorator[int]):
    """A QWORD in a column with a sign: the upper half of its range is kept as negative numbers."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> int | None:
        """Raises MisuseError for anything but a QWORD."""
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < QWORD_SPAN:
            raise MisuseError(f"{value!r} is no QWORD")
        return value if value < QWORD_SPAN // 2 else value - QWORD_SPAN

    def process_result_value(self, value: int | None, dialect: Dialect) -> int | None:
        """The QWORD again."""
        return None if value is None else value % QWORD_SPAN


class Seconds(TypeDecorator[float]):
    """A time span. Quirk: SQLite's RETURNING hands out 600.0 as the whole number it keeps in its place."""

    impl = Double
    cache_ok = True

    def process_result_value(self, value: float | None, dialect: Dialect) -> float | None:
        """Always a float."""
        return None if value is None else float(value)


class Numbered(TypeDecorator[N], Generic[N]):
    """A member of an enumeration of numbers."""

    impl = BigInteger
    cache_ok = True

    def __init__(self, kind: type[N]) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: N | None, dialect: Dialect) -> int | None:
        """Raises MisuseError for anything but a value of the enumeration."""
        if value is None:
            return None
        try:
            return int(self.kind(value))
        except (ValueError, TypeError):
            raise MisuseError(f"{value!r} is no {self.kind.__name__}") from None

    def process_result_value(self, value: int | None, dialect: Dialect) -> N | None:
        """The member again."""
        return None if value is None else self.kind(value)


class Worded(TypeDecorator[S], Generic[S]):
    """A member of an enumeration of words."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: type[S]) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: S | None, dialect: Dialect) -> str | None:
        """Raises MisuseError for anything but a word of the enumeration."""
        if value is None:
            return None
        try:
            return str(self.kind(value))
        except ValueError:
            raise MisuseError(f"{value!r} is no {self.kind.__name__}") from None

    def process_result_value(self, value: str | None, dialect: Dialect) -> S | None:
        """The member again."""
        return None if value is None else self.kind(value)


class AnyText(TypeDecorator[str]):
    """Text with any characters, U+0000 and lone surrogates too; equal texts are equal in the database."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Raises MisuseError for what is no string."""
        if value is None:
            return None
        if not isinstance(value, str):
            raise MisuseError(f"{value!r} is no text")
        return escape(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """The text as it was given."""
        return None if value is None else unescape(value)


class Json(TypeDecorator[Mapping[str, object]]):
    """A JSON object as ASCII, so that no character of it can be refused.

    Quirk: two lone surrogates side by side that make a pair come back as the one character they stand for.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Mapping[str, object] | None, dialect: Dialect) -> str | None:
        """Raises MisuseError for what JSON cannot say."""
        return None if value is None else json_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Mapping[str, object] | None:
        """A dict of its own for each reader."""
        if value is None:
            return None
        read = json.loads(value)
        return read if isinstance(read, dict) else {}


def json_text(value: Mapping[str, object]) -> str:
    """One line of ASCII. Raises MisuseError for what JSON cannot say."""
    try:
        return json.dumps(dict(value), separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as why:
        raise MisuseError(f"a record cannot be written as JSON: {why}") from None


class Instant(TypeDecorator[datetime]):
    """A point in time: given with any time zone, kept and read back as UTC, to the microsecond."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Raises MisuseError for a time without a zone."""
        if value is None:
            return None
        at = in_utc(value)
        return at.replace(tzinfo=None) if dialect.name == "sqlite" else at

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The time in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def in_utc(value: datetime) -> datetime:
    """The same instant in UTC. Raises MisuseError for a time without a zone, or one that UTC has no year for."""
    if not isinstance(value, datetime):
        raise MisuseError(f"{value!r} is no time: give an aware datetime")
    if value.tzinfo is None or value.utcoffset() is None:
        raise MisuseError(f"the time {value.isoformat()} has no time zone: give an aware datetime")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise MisuseError(f"the time {value.isoformat()} is out of range in UTC") from None
