"""Transactions of one writer that wait for each other: those that wait are carried out as one.

Owns      who carries out, whose turn is next, what each one hears of what came of theirs.
Not here  the transaction itself (database.py).

SQLite has one writer, and the medium takes as long to confirm a transaction as SQLite to carry it out. Who finds nobody
at work carries theirs out at once, by itself; meanwhile others line up. The first of them then carries out all that
wait, in the order they came, and the medium confirms them once.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

W = TypeVar("W")

MOST: Final = 32
"""Limit: transactions that are carried out as one; the others wait for the next turn."""


class Apart(Exception):
    """Nothing was done, for one of those that were to be carried out as one failed: each is to be tried by itself."""


class TurnLost(Exception):
    """The turn did not come in time; nothing was done."""


class _Waiting(Generic[W]):
    """One who waits: for the turn to carry out, or to hear what came of it."""

    __slots__ = ("alone", "called", "error", "result", "settled", "work")

    def __init__(self, work: W, *, alone: bool) -> None:
        self.work = work
        self.alone = alone
        self.called = threading.Event()
        self.settled = False  # what is said below holds; else it is the turn that was called
        self.result: object = None
        self.error: BaseException | None = None

    def settle(self, result: object, error: BaseException | None) -> None:
        """Say what came of it."""
        self.result, self.error, self.settled = result, error, True


class Together(Generic[W]):
    """A line of those who want something done by `carry_out`, which nobody else calls meanwhile.

    `carry_out` is given what is to be done in one transaction and returns a result for each. What it raises everybody
    hears, and Apart says that nothing was done. Every method may be called from any thread.
    """

    def __init__(self, carry_out: Callable[[Sequence[W]], Sequence[object]]) -> None:
        self._carry_out = carry_out
        self._lock = threading.Lock()
        self._line: deque[_Waiting[W]] = deque()
        self._busy = False

    def do(self, work: W, *, patience: float, alone: bool = False) -> object:
        """Have `work` done, with others unless `alone`. Raises TurnLost after `patience` seconds in the line."""
        me = _Waiting(work, alone=alone)
        with self._lock:
            mine, self._busy = not self._busy, True
            if not mine:
                self._line.append(me)
        if not mine:
            self._wait(me, patience)
        if not me.settled:
            self._lead(me)
        if me.error is not None:
            raise me.error
        return me.result

    def _wait(self, me: _Waiting[W], patience: float) -> None:
        if me.called.wait(patience):
            return
        with self._lock:
            if me in self._line:
                self._line.remove(me)
                raise TurnLost
        me.called.wait()  # it is being carried out, or it is our turn

    def _lead(self, me: _Waiting[W]) -> None:
        party = [me]
        with self._lock:
            while self._line and len(party) < MOST and not (me.alone or self._line[0].alone):
                party.append(self._line.popleft())
        try:
            for one, result in zip(party, self._carry_out([one.work for one in party]), strict=True):
                one.settle(result, None)
        except BaseException as why:
            for one in party:
                one.settle(None, why)
        finally:
            self._pass_on(party)

    def _pass_on(self, party: Sequence[_Waiting[W]]) -> None:
        """Let the next one lead, and those go whose work is done."""
        with self._lock:
            following = self._line.popleft() if self._line else None
            self._busy = following is not None
        if following is not None:
            following.called.set()
        for one in party[1:]:
            one.called.set()
