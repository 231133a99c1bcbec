"""Transactions that are carried out as one: who carries out what, and what each one hears."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from vfax.errors import MisuseError, StoreError
from vfax.host.store.database import Database
from vfax.host.store.limits import StoreLimits
from vfax.host.store.together import MOST, Apart, Together, TurnLost, _Waiting

LONG = 60.0
"""Seconds that no test takes."""


class Desk:
    """Carries out what it is given, behind a gate, and notes what came together."""

    def __init__(self) -> None:
        self.parties: list[list[object]] = []
        self.gate = threading.Event()
        self.at_work = threading.Event()
        self.line = Together[object](self._carry_out)
        self.fail: Callable[[Sequence[object]], None] = lambda works: None
        self._one = threading.Lock()

    def _carry_out(self, works: Sequence[object]) -> list[object]:
        assert self._one.acquire(blocking=False), "two at once"
        try:
            self.parties.append(list(works))
            self.at_work.set()
            assert self.gate.wait(LONG)
            self.fail(works)
            return [("done", work) for work in works]
        finally:
            self._one.release()

    def waiting(self, count: int) -> None:
        """Return when so many stand in the line."""
        until(lambda: len(self.line._line) == count)


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + LONG
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.0005)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(64) as pool:
        yield pool


def lined_up(
    desk: Desk, pool: ThreadPoolExecutor, works: Sequence[object], *, alone: object = None
) -> list[Future[object]]:
    """The first is being carried out, the others wait in their order."""
    asked = []
    for place, work in enumerate(works):
        asked.append(pool.submit(desk.line.do, work, patience=LONG, alone=work == alone))
        if place:
            desk.waiting(place)
        else:
            assert desk.at_work.wait(LONG)
    return asked


def test_who_finds_nobody_at_work_does_it_at_once() -> None:
    desk = Desk()
    desk.gate.set()
    assert desk.line.do(1, patience=LONG) == ("done", 1)
    assert desk.line.do(2, patience=LONG) == ("done", 2)
    assert desk.parties == [[1], [2]]


def test_all_that_wait_are_carried_out_as_one_in_their_order(pool: ThreadPoolExecutor) -> None:
    desk = Desk()
    asked = lined_up(desk, pool, "abcd")
    desk.gate.set()
    assert [one.result(LONG) for one in asked] == [("done", work) for work in "abcd"]
    assert desk.parties == [["a"], ["b", "c", "d"]]


def test_no_more_than_most_are_carried_out_as_one(pool: ThreadPoolExecutor) -> None:
    desk = Desk()
    asked = lined_up(desk, pool, range(MOST + 3))
    desk.gate.set()
    assert [one.result(LONG) for one in asked] == [("done", work) for work in range(MOST + 3)]
    assert [len(party) for party in desk.parties] == [1, MOST, 2]


def test_who_wants_to_be_alone_is(pool: ThreadPoolExecutor) -> None:
    desk = Desk()
    asked = lined_up(desk, pool, "abcde", alone="c")
    desk.gate.set()
    for one in asked:
        one.result(LONG)
    assert desk.parties == [["a"], ["b"], ["c"], ["d", "e"]]


def test_all_hear_of_a_failure_and_the_next_ones_do_not(pool: ThreadPoolExecutor) -> None:
    desk = Desk()

    def fail(works: Sequence[object]) -> None:
        if "c" in works:
            raise Apart

    desk.fail = fail
    asked = lined_up(desk, pool, "abcd")
    desk.gate.set()
    assert asked[0].result(LONG) == ("done", "a")
    assert [type(one.exception(LONG)) for one in asked[1:]] == [Apart] * 3
    assert desk.line.do("e", patience=LONG) == ("done", "e")


def test_who_waits_too_long_is_not_carried_out(pool: ThreadPoolExecutor) -> None:
    desk = Desk()
    asked = lined_up(desk, pool, "a")
    with pytest.raises(TurnLost):
        desk.line.do("b", patience=0.01)
    desk.gate.set()
    assert asked[0].result(LONG) == ("done", "a")
    assert desk.line.do("c", patience=LONG) == ("done", "c")
    assert desk.parties == [["a"], ["c"]]


def test_who_is_being_carried_out_when_the_patience_ends_hears_what_came_of_it(pool: ThreadPoolExecutor) -> None:
    desk, me = Desk(), _Waiting[object]("b", alone=False)  # in the line no more
    asked = pool.submit(desk.line._wait, me, 0.0)
    me.settle("done", None)
    me.called.set()
    asked.result(LONG)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_everybody_is_served_once_whatever_comes_when(pool: ThreadPoolExecutor, seed: int) -> None:
    desk, dice = Desk(), random.Random(seed)
    desk.gate.set()
    pauses = [[dice.choice((0.0, 0.0, 0.0002, 0.001)) for _ in range(40)] for _ in range(24)]

    def work(who: int) -> None:
        for turn, pause in enumerate(pauses[who]):
            time.sleep(pause)
            assert desk.line.do((who, turn), patience=LONG, alone=turn % 13 == 0) == ("done", (who, turn))

    for one in [pool.submit(work, who) for who in range(24)]:
        one.result(LONG)
    done = Counter(work for party in desk.parties for work in party)
    assert done == Counter((who, turn) for who in range(24) for turn in range(40))
    assert not desk.line._line
    assert not desk.line._busy


# --- in a database -------------------------------------------------------------------------------------


class Notes:
    """An SQLite database with a table of numbers, and one who writes first for as long as he likes."""

    def __init__(self, path: Path) -> None:
        self.database = Database(f"sqlite:///{path}", StoreLimits())
        self.database.write(lambda db: db.execute(text("CREATE TABLE notes (number INTEGER PRIMARY KEY)")))
        self.begun: list[int] = []
        self._here, self._on = threading.Event(), threading.Event()

    def note(self, number: int, *, patience: bool = False, then: Callable[[Connection], object] | None = None) -> int:
        def work(db: Connection) -> int:
            self.begun.append(number)
            db.execute(text("INSERT INTO notes VALUES (:number)"), {"number": number})
            if patience:
                self._here.set()
                assert self._on.wait(LONG)
            if then is not None:
                then(db)
            return number

        return self.database.write(work)

    def noted(self) -> list[int]:
        return list(self.database.read(lambda db: db.execute(text("SELECT number FROM notes ORDER BY 1")).scalars()))

    def lined_up(
        self,
        pool: ThreadPoolExecutor,
        *then: Callable[[Connection], object] | None,
        before: Callable[[], object] = lambda: None,
    ) -> list[Future[int]]:
        """Number 0 is being written, 1 and so on wait, each with what it does then; after `before` all go on."""
        asked = [pool.submit(self.note, 0, patience=True)]
        assert self._here.wait(LONG)
        for number, what in enumerate(then, 1):
            asked.append(pool.submit(self.note, number, then=what))
            until(lambda number=number: len(self.database._together._line) == number)  # type: ignore[misc]
        before()
        self._on.set()
        return asked


@pytest.fixture
def notes(tmp_path: Path) -> Iterator[Notes]:
    notes = Notes(tmp_path / "notes.db")
    yield notes
    notes.database.close()


def test_writers_that_wait_share_a_transaction(notes: Notes, pool: ThreadPoolExecutor) -> None:
    commits = list[object]()
    writer = notes.database._writer
    assert writer is not None
    real = writer.connection.driver_connection
    assert real is not None
    real.set_trace_callback(lambda said: commits.append(said) if said.startswith("COMMIT") else None)
    assert [one.result(LONG) for one in notes.lined_up(pool, None, None, None)] == [0, 1, 2, 3]
    real.set_trace_callback(None)
    assert notes.noted() == notes.begun == [0, 1, 2, 3]
    assert len(commits) == 2


def test_one_that_fails_costs_the_others_nothing(notes: Notes, pool: ThreadPoolExecutor) -> None:
    def refuse(db: Connection) -> None:
        raise MisuseError("no")

    asked = notes.lined_up(pool, None, refuse, None)
    assert [one.result(LONG) for one in (asked[0], asked[1], asked[3])] == [0, 1, 3]
    why = asked[2].exception(LONG)
    assert isinstance(why, MisuseError)
    assert (str(why), why.__context__) == ("no", None)
    assert notes.noted() == [0, 1, 3]
    assert sorted(notes.begun) == [0, 1, 1, 2, 2, 3]  # all three begun as far as the refusal, then each by itself


def test_one_whose_row_is_there_already_is_told_so_and_the_others_write(notes: Notes, pool: ThreadPoolExecutor) -> None:
    asked = notes.lined_up(pool, None, lambda db: db.execute(text("INSERT INTO notes VALUES (0)")), None)
    assert [one.result(LONG) for one in (asked[0], asked[1], asked[3])] == [0, 1, 3]
    with pytest.raises(StoreError, match=r"notes\.db failed"):
        asked[2].result(LONG)
    assert notes.noted() == [0, 1, 3]


def test_a_commit_that_fails_is_told_to_all_and_none_is_written_twice(notes: Notes, pool: ThreadPoolExecutor) -> None:
    def owe(db: Connection) -> None:  # what is checked at COMMIT alone
        db.execute(text("PRAGMA defer_foreign_keys=ON"))
        db.execute(text("INSERT INTO owed VALUES (77)"))

    notes.database.write(lambda db: db.execute(text("CREATE TABLE owed (number INTEGER REFERENCES notes(number))")))
    asked = notes.lined_up(pool, None, owe, None)
    assert asked[0].result(LONG) == 0
    for one in asked[1:]:
        with pytest.raises(StoreError, match=r"notes\.db failed"):
            one.result(LONG)
    assert notes.noted() == [0]
    assert notes.begun == [0, 1, 2, 3]
    assert notes.note(9) == 9


def test_a_transaction_that_cannot_begin_is_told_to_all_and_not_tried_by_each(
    notes: Notes, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = list[bool]()

    def refuse(writes: bool) -> None:
        tried.append(writes)
        raise StoreError("no disk")

    asked = notes.lined_up(
        pool, None, None, None, before=lambda: monkeypatch.setattr(notes.database, "_connection", refuse)
    )
    assert asked[0].result(LONG) == 0
    for one in asked[1:]:
        with pytest.raises(StoreError, match="no disk"):
            one.result(LONG)
    assert tried == [True]
    assert notes.begun == [0]
    monkeypatch.undo()
    assert notes.noted() == [0]


def test_those_that_wait_when_it_is_closed_are_told_so(notes: Notes, pool: ThreadPoolExecutor) -> None:
    closing = list[Future[None]]()

    def close() -> None:
        closing.append(pool.submit(notes.database.close))
        until(lambda: notes.database._closed)

    asked = notes.lined_up(pool, None, None, before=close)
    assert asked[0].result(LONG) == 0
    for one in asked[1:]:
        with pytest.raises(StoreError, match="is closed"):
            one.result(LONG)
    closing[0].result(LONG)
    again = Database(str(notes.database.url), StoreLimits())
    assert again.read(lambda db: db.execute(text("SELECT number FROM notes")).scalars().all()) == [0]
    again.close()
