"""A power cut at every moment of a server's work with a job store: documents to send, deliveries into folders.

Owns      `Snapshots` (the store as of each commit), `Then` (files and store of one moment), `moments`, `lay_out_then`.
Not here  what files may be left (model.py), the work and its judgement (power_sending.py, power_delivery.py).

A commit of SQLite is durable when it returns (WAL, synchronous=FULL), so the store that is left is the one of the last
commit; what else is left is for the model to say. Each state is laid out in the folder of the recording: what the host
calls itself in the store has the path of its spool in it.
"""

import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection

from tests.durability.house import Letter
from tests.durability.model import Image, Past, Recorder, key_of, lay_out
from vfax.host.store.store import Store

STORE: Final = "store "
FILE: Final = Path("spool") / "vfax.db"


class Snapshots:
    """The store of a server in `recorder.root` as it was opened, and after each commit, which the recorder notes."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._file = recorder.root / FILE
        self._taken: list[bytes] = []

    def open(self, url: str) -> Store:
        """For a server's `open_store`."""
        store = Store.open(url)
        database = store._database
        connection = database._connection

        @contextmanager
        def watched(writes: bool) -> Iterator[Connection]:
            with connection(writes) as db:
                yield db
                if writes:  # it is committed, and nobody else may write yet
                    self._take()

        database._connection = watched  # type: ignore[method-assign]
        self._take()
        return store

    def at(self, marks: list[str]) -> bytes | None:
        """The database when this had happened; None: there was none."""
        numbers = [int(words.removeprefix(STORE)) for words in marks if words.startswith(STORE)]
        return self._taken[numbers[-1]] if numbers else None

    def _take(self) -> None:
        with closing(sqlite3.connect(self._file)) as source, closing(sqlite3.connect(":memory:")) as copy:
            source.backup(copy)
            octets = copy.serialize()
        if not self._taken or self._taken[-1] != octets:  # a transaction that changed nothing
            self._taken.append(octets)
            self._recorder.mark(f"{STORE}{len(self._taken) - 1}")


@dataclass(frozen=True)
class Recording:
    """What happened once, of which every moment can be gone back to."""

    past: Past
    snapshots: Snapshots
    letter: Letter
    root: Path


@dataclass(frozen=True)
class Then:
    """What a power cut may leave: files and store; `promises` is what had been said to the world outside by then."""

    image: Image
    store: bytes | None
    promises: tuple[str, ...]
    moment: int
    point: str


def moments(past: Past, snapshots: Snapshots, dice: random.Random, most: int = 1 << 30) -> list[Then]:
    """All that a power cut may leave, at any moment, once each; of more than `most`, the dice choose."""
    found: dict[Any, Then] = {}
    for moment in range(len(past.steps) + 1):
        marks = past.marks(moment)
        store, promises = snapshots.at(marks), tuple(words for words in marks if not words.startswith(STORE))
        point = past.points[moment - 1] if moment else "the beginning"
        for image in past.remains(moment, dice):
            then = Then(image, store, promises, moment, point)
            found.setdefault((key_of(image), store, promises), then)
    every = list(found.values())
    return every if len(every) <= most else dice.sample(every, most)


def lay_out_then(then: Then, root: Path) -> None:
    """Make `root` what it was then, whatever it is now."""
    shutil.rmtree(root)
    root.mkdir()
    lay_out(then.image, root)
    if then.store is not None and (root / FILE.parent).is_dir():  # else its folder went, and the store with it
        (root / FILE).write_bytes(then.store)


def named(then: Then, wrong: Iterator[str]) -> Iterator[str]:
    """Each sentence with the moment it is about."""
    for sentence in wrong:
        yield f"power cut at moment {then.moment}, after {then.point}: {sentence}"
