"""A process that ends at a named point, as if it had been killed there: `Order`, `Killer`.

Owns      when it ends: before the nth call at a point, after it, or (a write) when half of it is done.
Not here  what runs in that process (child.py), who gives the orders (crash.py).
"""

import os
import re
import signal
import threading
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NoReturn, Self

from tests.durability.points import Call, Watcher

PATTERN: Final = re.compile(r"([a-z]+\.[a-z_]+):([1-9][0-9]*):(before|after|torn)")


class When(StrEnum):
    """Where at the call."""

    BEFORE = "before"
    AFTER = "after"
    TORN = "torn"  # half of the write is done


@dataclass(frozen=True, slots=True)
class Order:
    """End at the `nth` call (from 1) of `point`. Written `page.fsync:2:after`."""

    point: str
    nth: int
    when: When

    def __str__(self) -> str:
        return f"{self.point}:{self.nth}:{self.when}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` writes. Raises ValueError."""
        found = PATTERN.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r}: expected POINT:NTH:before|after|torn, such as page.fsync:2:after")
        return cls(found[1], int(found[2]), When(found[3]))


def die() -> NoReturn:
    """End this process as SIGKILL does: it is one."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("a process that killed itself goes on")


@dataclass
class Killer(Watcher):
    """Counts the calls and ends the process as ordered; `seen` is what it has counted."""

    order: Order | None = None
    seen: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _torn: bool = False

    def before(self, call: Call) -> None:
        self.reach(call.point)

    def after(self, call: Call) -> None:
        self.leave(call.point)

    def room(self, call: Call) -> int:
        return max(1, len(call.octets) // 2) if self._torn else len(call.octets)

    def reach(self, point: str) -> None:
        """A call at `point` is about to be made: of the disk, or of anything else that has points."""
        with self._lock:
            self.seen[point] += 1
            if self._is_at(point):
                if self.order is not None and self.order.when is When.BEFORE:
                    die()
                self._torn = self.order is not None and self.order.when is When.TORN

    def leave(self, point: str) -> None:
        """It has been made."""
        if self._is_at(point) and self.order is not None and self.order.when is not When.BEFORE:
            die()

    def _is_at(self, point: str) -> bool:
        return self.order is not None and point == self.order.point and self.seen[point] == self.order.nth
