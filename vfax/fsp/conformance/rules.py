"""The table of what is checked: a name, the sentence that must hold, where it is printed, what is needed to see it.

Owns      `Rule`, `Need`, `Mark`, the decorator that makes a rule of a function, how a check says that it failed.
Not here  the rules (starting.py, configuring.py, jobs.py, own.py, sending.py, receiving.py, stopping.py), who runs
          them (suite.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from inspect import cleandoc
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from vfax.fsp.conformance.desk import Desk

Check = Callable[["Desk"], None]


class Broken(Exception):
    """The rule does not hold; the message says what was seen instead."""


class NotChecked(Exception):
    """The rule could not be looked at; the message says why."""


class Mark(Enum):
    """How firm the ground is."""

    DOCUMENTED = "documented"
    INFERRED = "inferred"  # what follows from published text
    OURS = "ours"  # what this project decided where nothing is published


class Need(Enum):
    """What the other side of the line must do; the value is the method of the stimulus that does it."""

    RING = "ring"
    GIVE_UP = "give_up"
    BREAK_OFF = "ring_and_break_off"
    ANSWERING = "answering"
    BUSY = "busy"
    HANGING = "hanging"


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: `sentence` must hold, as `source` (a published page) has it."""

    name: str
    sentence: str
    source: str
    mark: Mark
    needs: tuple[Need, ...]
    check: Check


_TABLE: Final[dict[str, Rule]] = {}


def rule(source: str, *needs: Need, mark: Mark = Mark.DOCUMENTED) -> Callable[[Check], Check]:
    """Make a rule of a check: the function's name is the rule's, its docstring is the sentence."""

    def add(check: Check) -> Check:
        name = check.__name__.replace("_", "-")
        assert name not in _TABLE, name
        _TABLE[name] = Rule(name, " ".join(cleandoc(check.__doc__ or "").split()), source, mark, needs, check)
        return check

    return add


def table() -> tuple[Rule, ...]:
    """All rules of the modules that have been imported; those of one module in the order in which they stand."""
    return tuple(_TABLE.values())


def expect(holds: bool, otherwise: str) -> None:
    """Raise Broken with `otherwise` unless it holds."""
    if not holds:
        raise Broken(otherwise)


def broken(what: str) -> NoReturn:
    """Raise Broken."""
    raise Broken(what)
