"""Values that no call wants, and calls made with them: `sweep`.

Each public call gets arguments drawn by seeded dice; one that happens to be right is right. What may not happen is an
exception that nobody documented.
"""

import inspect
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

SEED = 20261130
ROUNDS = 60
ODD: tuple[object, ...] = (
    *(None, True, -1, 0, 1, 0xFFFFFFFF, 1 << 32, 1 << 64, 1.5, float("nan"), float("inf"), 1j),
    *("", "1", "x" * 70_000, "\0", "\ud800", "a\r\nb", "٣", "fjsLOST", "../../etc", b"", b"\xff", bytearray(3)),
    *((), (1, 2), [], [None], {}, {"": 1}, {1}, object(), object, print, ValueError(), Path("/nowhere"), Path("a\0b")),
    *(datetime.max, datetime.min, datetime.max.replace(tzinfo=UTC), datetime(2031, 1, 1)),
    *(iter(()), range(1 << 40), slice(1), ..., memoryview(b"ab"), threading.Lock()),
)


def public(thing: object, *, but: frozenset[str] = frozenset()) -> dict[str, Callable[..., object]]:
    """Its public methods by name."""
    named = {name: getattr(thing, name) for name in sorted(dir(type(thing))) if not name.startswith("_")}
    return {name: call for name, call in named.items() if callable(call) and name not in but}


def drawn(
    call: Callable[..., object], dice: random.Random, right: tuple[object, ...]
) -> tuple[list[Any], dict[str, Any]]:
    """Arguments in the places that the call has; now and then one that is right beside one that is not."""
    values, named = [], {}
    for parameter in inspect.signature(call).parameters.values():
        value = dice.choice(right) if dice.random() < 0.3 else dice.choice(ODD)
        if parameter.kind is parameter.KEYWORD_ONLY:
            named[parameter.name] = value
        elif parameter.kind is parameter.VAR_KEYWORD:
            named[dice.choice(("colour", "priority", "first_page", "schedule"))] = value
        elif parameter.kind is not parameter.VAR_POSITIONAL:
            values.append(value)
    return values, named


def unsure(calls: dict[str, Callable[..., object]]) -> set[str]:
    """The calls that take arguments: with so many odd ones, each has something to refuse."""
    return {name for name, call in calls.items() if inspect.signature(call).parameters}


def sweep(
    calls: dict[str, Callable[..., object]],
    right: tuple[object, ...],
    documented: type[Exception],
    rounds: int = ROUNDS,
    *,
    content: frozenset[str] = frozenset(),
) -> int:
    """Make all calls, many times; how often one was refused. Each that takes arguments must be, but those `content`."""
    refused: Counter[str] = Counter()
    for name, values, named in _orders(calls, right, rounds):
        with _refusing(name, values, named, documented, refused):
            calls[name](*values, **named)
    return _counted(calls, refused, content)


async def sweep_async(
    calls: dict[str, Callable[..., object]],
    right: tuple[object, ...],
    documented: type[Exception],
    rounds: int = ROUNDS,
) -> int:
    """The same of calls some of which are coroutine functions."""
    refused: Counter[str] = Counter()
    for name, values, named in _orders(calls, right, rounds):
        with _refusing(name, values, named, documented, refused):
            answer = calls[name](*values, **named)
            if inspect.isawaitable(answer):
                await answer
    return _counted(calls, refused, frozenset())


def _orders(
    calls: dict[str, Callable[..., object]], right: tuple[object, ...], rounds: int
) -> Iterator[tuple[str, list[Any], dict[str, Any]]]:
    """Each call so many times, by seeded dice."""
    dice = random.Random(SEED)
    for name, call in calls.items():
        for _ in range(rounds):
            yield name, *drawn(call, dice, right)


@contextmanager
def _refusing(
    name: str, values: list[Any], named: dict[str, Any], documented: type[Exception], refused: Counter[str]
) -> Iterator[None]:
    try:
        yield
    except documented:
        refused[name] += 1
    except Exception as why:
        raise AssertionError(_said(name, values, named, why)) from why


def _counted(calls: dict[str, Callable[..., object]], refused: Counter[str], content: frozenset[str]) -> int:
    assert unsure(calls) - refused.keys() == content, "calls that refuse nothing, whatever they are given"
    return refused.total()


def _said(name: str, values: list[Any], named: dict[str, Any], why: Exception) -> str:
    return f"seed {SEED}: {name}(*{values!r:.300}, **{named!r:.300}): {why!r}"
