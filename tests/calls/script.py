"""Call scripts: TOML to values. Everything unknown is refused, so that a slip of the pen cannot pass for a test.

Owns      the layout of a script file, options of our side by their names.
Not here  what steps do (player.py), frames in words (words.py). The format is taught in tests/calls/README.md.
"""

import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final, TypeVar

from tests.calls.speech import Manner
from tests.calls.stage import Document, Store
from tests.calls.words import CODINGS, MODEMS, RESOLUTIONS, ScriptError
from vfax.codecs.dis import Coding, Resolution
from vfax.leg import LegOptions
from vfax.signals import Modem
from vfax.t30.values import Addressing
from vfax.transports.parameters import T38Parameters

_T = TypeVar("_T")
_WORDS: Final[dict[type, Mapping[str, object]]] = {Modem: MODEMS, Coding: CODINGS, Resolution: RESOLUTIONS}


@dataclass(frozen=True)
class Step:
    """One thing that happens: its verb, the verb's value, and what else is said about it."""

    number: int
    verb: str
    value: Any
    more: dict[str, Any]

    def of(self, value: object) -> "Step":
        """The same step with another value: for tests that do one by hand."""
        return Step(self.number, self.verb, value, {})

    def __str__(self) -> str:
        return f"step {self.number}: {self.verb} = {self.value!r}" + "".join(
            f", {k} = {v!r}" for k, v in self.more.items()
        )


@dataclass(frozen=True)
class Expect:
    """What must be true at the end."""

    cause: str  # of the outcome; "going-on" when the call has not ended
    pages: int | None = None  # confirmed
    partial: int | None = None
    kept: tuple[int, ...] | None = None  # pages in the store, in order, pixel-equal to the pictures (0: not compared)
    delivered: tuple[int, ...] | None = None  # pages the peer has heard whole
    retry: str | None = None
    phase: str | None = None
    rate: int | None = None
    bad_rows: int | None = None
    within: float = 120.0  # seconds from the last step to the end
    sentence: str = ""  # part of the outcome's
    counters: Mapping[str, int] | None = None  # of the line
    datagram_max: int = 1400  # octets of our largest datagram, at most
    ifp_max: int = 1400
    first_number: int = 0  # of our datagrams
    tiff: bool = False  # kept pages are written as TIFF and read back
    strangers: int | None = None
    early: int | None = None


SIDES: Final = {
    "called": (False, False),
    "caller": (True, True),
    "polling": (True, False),
    "polled": (False, True),
    "both": (False, False),
}
"""Whether we call, and whether we have the pages. `both`: called, and we receive or let a document be taken."""


@dataclass(frozen=True)
class Script:
    """One call as data."""

    title: str
    source: str
    steps: tuple[Step, ...]
    expect: Expect
    side: str = "called"  # who we are, one of SIDES
    entry: int = 0  # of the list of peer faults
    start: str = "t38"  # "t38": a direct T.38 call is up; "none": the script makes the call; "line": no call around
    sdp: tuple[str, ...] = ()  # a= lines of the peer's image line, instead of the usual ones
    sdps: Mapping[str, list[str]] | None = None
    peer: Manner = field(default_factory=Manner)
    ours: LegOptions = field(default_factory=LegOptions)
    document: Document = field(default_factory=Document)
    store: Store = field(default_factory=Store)
    addressing: Addressing = field(default_factory=Addressing)  # with start = "line": ours

    def __post_init__(self) -> None:
        if self.side not in SIDES or self.start not in ("t38", "none", "line"):
            raise ScriptError(f"side is {self.side!r}, start is {self.start!r}")
        if (self.side not in ("called", "caller") or self.addressing != Addressing()) and self.start != "line":
            raise ScriptError(f'side {self.side!r} and addressing need start = "line"')


MANNERS: Final = frozenset(each.name for each in fields(Manner)) - {"first_number", "wrap_to"}
_SPEAKS: Final = MANNERS | {"after", "drop", "late", "twice"}
_HEARS: Final = frozenset({"within", "between"})

VERBS: Final[dict[str, frozenset[str]]] = {
    # what the peer does
    "say": _SPEAKS | {"bad", "x"},
    "train": _SPEAKS | {"modem", "noise"},
    "image": _SPEAKS | {"modem", "k", "rtc", "spoil", "share", "zeros"},
    "ecm": _SPEAKS | {"modem", "bad", "block", "cut", "frames", "size"},
    "tone": _SPEAKS,
    "ifp": _SPEAKS | {"every"},
    "datagrams": frozenset(),
    "again": frozenset(),
    "skip": frozenset(),
    "restart": frozenset(),
    "wait": frozenset(),
    "move": frozenset(),
    "rtp": frozenset(),
    "dial": frozenset(),
    "ring": frozenset(),
    "sip": frozenset({"sdp", "status", "reason"}),
    # what vfax does
    "hear": _HEARS | {"times", "x", "preamble"},
    "hear-tcf": _HEARS | {"seconds"},
    "hear-page": _HEARS | {"modem", "short", "frames", "part", "flags", "row_octets"},
    "hear-cut": _HEARS,
    "hear-tone": frozenset(),
    "nothing": frozenset(),
    "told": frozenset({"number", "frame", "text", "ok", "rate_bps", "bad_rows", "frames", "why", "media"}),
    "does": _HEARS | {"status", "has", "lacks", "media"},
    "switched": frozenset(each.name for each in fields(T38Parameters)),
    "sends-to": frozenset(),
    "said-first": frozenset(),
    "order": frozenset(),
}
"""Each verb and what may be said with it."""


def read(path: Path) -> Script:
    """Read a script. Raises ScriptError for anything it does not know."""
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except tomllib.TOMLDecodeError as why:
        raise ScriptError(f"{path.name}: {why}") from why
    return from_table(table)


def from_table(table: dict[str, Any]) -> Script:
    """A script from its parsed TOML."""
    version = table.get("peer", {}).get("version", 0)
    ours = dict(table.pop("ours", {}))
    ours["t38"] = {"version": version, "max_datagram": 400} | ours.get("t38", {})
    steps = tuple(_step(number, dict(raw)) for number, raw in enumerate(table.pop("steps", []), 1))
    return build(Script, {**table, "ours": ours}, steps=steps)


def _step(number: int, raw: dict[str, Any]) -> Step:
    verbs = [verb for verb in raw if verb in VERBS]
    if not verbs:
        raise ScriptError(f"step {number} has no verb: {sorted(raw)}")
    verb = verbs[0]
    value = raw.pop(verb)
    unknown = set(raw) - VERBS[verb]
    if unknown:
        raise ScriptError(f"step {number}, {verb}: {sorted(unknown)} unknown")
    return Step(number, verb, value, raw)


def build(cls: type[_T], table: Mapping[str, Any], **given: object) -> _T:
    """A dataclass from a table: names are its fields, values are converted as the fields' types ask."""
    hints = typing.get_type_hints(cls)
    known = {each.name for each in fields(cls)}  # type: ignore[arg-type]
    unknown = set(table) - (known - set(given))
    if unknown:
        raise ScriptError(f"{cls.__name__}: {sorted(unknown)} unknown")
    try:
        return cls(**{name: convert(hints[name], value) for name, value in table.items()}, **given)
    except (TypeError, ValueError, KeyError) as why:
        raise ScriptError(f"{cls.__name__}: {why}") from why


def convert(hint: Any, value: Any) -> Any:
    """A TOML value as the type `hint` asks."""
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return convert(next(each for each in inside if each is not type(None)), value)
    if origin in (tuple, frozenset):
        return origin(convert(inside[0], each) for each in value)
    if origin is not None:
        return value
    if is_dataclass(hint) and isinstance(hint, type):
        return build(hint, value)
    if hint in _WORDS:
        return _WORDS[hint][value]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ScriptError(f"{value!r} is no {hint.__name__}")
    return value
