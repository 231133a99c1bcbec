"""Values as plain JSON, and back: how the options of an engine get into a journal and out of it again.

Owns      dataclasses of numbers, words, enums, sets and tuples of them, as mappings and lists.
Not here  which values are written (record.py), the file (journal.py).

An enum is its name. Reading is forgiving about what another version wrote: fields that we do not know are told, fields
that it did not know have our defaults. It is strict about types, for a journal may come from anywhere.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

from vfax.errors import DecodeError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_V = TypeVar("_V", bound="DataclassInstance")

Plain: TypeAlias = "str | int | float | bool | Sequence[Plain] | Mapping[str, Plain] | None"
"""The same as `journal.JsonValue`."""

MAX_ITEMS: Final = 1000
"""Limit: entries of one list."""


def plain_of(value: object) -> Plain:
    """A dataclass, enum, collection or scalar as plain JSON."""
    if isinstance(value, Enum):
        return value.name
    if value is None or isinstance(value, str | int | float):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain_of(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, frozenset):
        return sorted((plain_of(one) for one in value), key=str)
    if isinstance(value, tuple):
        return [plain_of(one) for one in value]
    raise TypeError(f"{type(value).__name__} has no plain form")


def value_of(kind: type[_V], plain: object) -> tuple[_V, tuple[str, ...]]:
    """The value of dataclass `kind`, and the names that this version does not know.

    Raises DecodeError for what is no such value.
    """
    unknown: list[str] = []
    return _dataclass(kind, plain, unknown), tuple(unknown)


def _dataclass(kind: type[_V], plain: object, unknown: list[str]) -> _V:
    if not isinstance(plain, Mapping):
        raise DecodeError(f"{kind.__name__} is not a mapping")
    hints = get_type_hints(kind)
    known = {field.name: field for field in fields(kind) if field.init}
    unknown += [f"{kind.__name__}.{str(name)[:40]}" for name in list(plain)[:MAX_ITEMS] if name not in known]
    given: dict[str, Any] = {name: _value(hints[name], plain[name], unknown) for name in known if name in plain}
    missing = [
        name
        for name, field in known.items()
        if name not in given and field.default is MISSING and field.default_factory is MISSING
    ]
    if missing:
        raise DecodeError(f"{kind.__name__} lacks {', '.join(missing)}")
    return kind(**given)


def _value(hint: object, plain: object, unknown: list[str]) -> object:
    """One value of the type that `hint` names."""
    origin = get_origin(hint)
    if origin in (UnionType, Union):
        return _optional(hint, plain, unknown)
    if origin in (frozenset, tuple):
        return _collection(hint, plain, unknown)
    if isinstance(hint, type) and is_dataclass(hint):
        return _dataclass(hint, plain, unknown)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _member(hint, plain)
    if hint is float and isinstance(plain, int | float) and not isinstance(plain, bool):
        if abs(plain) < 1e12 or plain == math.inf:  # a NaN is neither
            return float(plain)
    elif isinstance(hint, type) and type(plain) is hint:
        return plain
    raise DecodeError(f"{str(plain)[:40]!r} is no {getattr(hint, '__name__', hint)}")


def _optional(hint: object, plain: object, unknown: list[str]) -> object:
    kinds = get_args(hint)
    if plain is None and NoneType in kinds:
        return None
    (kind, *others) = [one for one in kinds if one is not NoneType]
    if others:
        raise DecodeError(f"{hint} has no plain form")
    return _value(kind, plain, unknown)


def _collection(hint: object, plain: object, unknown: list[str]) -> object:
    if not isinstance(plain, list) or len(plain) > MAX_ITEMS:
        raise DecodeError(f"{str(plain)[:40]!r} is no list of at most {MAX_ITEMS}")
    kind, *_ = get_args(hint)
    items = [_value(kind, one, unknown) for one in plain]
    return frozenset(items) if get_origin(hint) is frozenset else tuple(items)


def _member(kind: type[Enum], plain: object) -> Enum:
    """By name, as we write it, or by value, as facts of a journal have it."""
    for one in kind:
        if plain in (one.name, one.value):
            return one
    raise DecodeError(f"{str(plain)[:40]!r} is no {kind.__name__}")
