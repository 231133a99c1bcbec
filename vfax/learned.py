"""What was learned of peers, kept on disk: a small file that is replaced as a whole.

Owns      the file, reading and writing it, when that is done; what becomes of a file that cannot be read.
Not here  what is learned and advised (learning.py), whose calls teach it (carried.py).
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from vfax.disk import Disk, synced, whole_or_gone
from vfax.errors import DecodeError
from vfax.learning import NO_ADVICE, Advice, Entry, LearningOptions, Lesson, Memory, PeerRow
from vfax.plain import plain_of, value_of

VERSION: Final = 1
MAX_OCTETS: Final = 2 << 20
"""Limit: a larger file is none of ours."""
PAUSE: Final = 20.0
"""Seconds from a lesson to writing it down, with those that come meanwhile: the whole file, each time."""
AGAIN: Final = 60.0
"""Seconds until a disk that refused is asked again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """All that is in the file."""

    version: int
    entries: tuple[Entry, ...]


class Learned:
    """The memory of one endpoint, and its file.

    Without `path` it lasts as long as the program. `keeps` False: it is read and never written, for another program may
    have it. `tell` hears a sentence for each trouble.
    """

    def __init__(
        self,
        path: Path | None,
        options: LearningOptions,
        disk: Disk,
        *,
        keeps: bool = True,
        tell: Callable[[str], None] = lambda sentence: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.memory = Memory(options)
        self._path = path if options.enabled else None
        self._disk = disk.of("learned")
        self._keeps = keeps
        self._tell = tell
        self._clock = clock
        self._dirty = trio.Event()  # there is something to write, and a file to write it to
        self._writing = trio.Lock()
        self._refused = False  # the disk, last time

    # --- for calls ---------------------------------------------------------------------------------

    def advise(self, peer: str, number: str, *, outgoing: bool) -> Advice:
        """What a call with this number should do otherwise than the settings say."""
        if not self.memory.options.enabled:
            return NO_ADVICE
        return self.memory.advise(peer, number, outgoing=outgoing, now=self._clock())

    def learn(self, lesson: Lesson) -> None:
        """Take the lesson of a call."""
        if self.memory.options.enabled and self.memory.learn(lesson):
            self._changed()

    @property
    def now(self) -> float:
        """The time that lessons bear."""
        return self._clock()

    # --- for people --------------------------------------------------------------------------------

    def rows(self) -> tuple[PeerRow, ...]:
        """What is known, the newest first."""
        return self.memory.rows(self._clock())

    async def forget(self, peer: str, number: str) -> int:
        """Forget a peer and a number, "" for any, in the file too; how many entries that were."""
        gone = self.memory.forget(peer, number)
        if gone:
            self._changed()
            await self.save()
        await trio.lowlevel.checkpoint()
        return gone

    # --- the file ----------------------------------------------------------------------------------

    async def load(self) -> None:
        """Read the file. One that cannot be read is put aside, and all begins anew."""
        if self._path is None:
            return
        trouble = await trio.to_thread.run_sync(self._load, self._path)
        if trouble:
            self._tell(trouble)

    async def run(self) -> None:
        """Write down what is learned, until cancelled; `save` does the rest."""
        while True:
            await self._dirty.wait()
            await trio.sleep(AGAIN if self._refused else PAUSE)
            await self.save()

    async def save(self) -> None:
        """Write now what is not written yet; who comes meanwhile waits, lest an older state is put last."""
        async with self._writing:
            if self._dirty.is_set() and self._path is not None:
                await self._save(self._path)

    async def _save(self, path: Path) -> None:
        self._dirty = trio.Event()
        try:
            await trio.to_thread.run_sync(self._write, path, self.memory.entries())
            self._refused = False
        except OSError as why:
            self._dirty.set()
            if not self._refused:
                self._tell(f"what peers taught cannot be kept in {path}: {why.strerror or why}")
            self._refused = True

    def _changed(self) -> None:
        if self._path is not None and self._keeps:
            self._dirty.set()

    def _load(self, path: Path) -> str:
        """Read it in a worker thread; a sentence when something is wrong, else nothing."""
        try:
            with self._disk.open_read(path) as file:
                octets = file.read(MAX_OCTETS + 1)
        except FileNotFoundError:
            return ""
        except OSError as why:
            return f"what peers taught cannot be read from {path}: {why.strerror or why}"
        try:
            self.memory.restore(_read(octets).entries, self._clock())
        except DecodeError as why:
            return self._put_aside(path, why.what)
        return ""

    def _put_aside(self, path: Path, why: str) -> str:
        if not self._keeps:
            return f"{path} cannot be read ({why}): this call goes without what it says of peers"
        aside = path.with_name(f"{path.name}.unreadable")
        try:
            self._disk.rename(path, aside)
            self._disk.fsync_dir(path.parent)
        except OSError as trouble:
            return f"{path} cannot be read ({why}), nor put aside ({trouble.strerror or trouble}): remove it"
        return f"{path} cannot be read ({why}): it is put aside as {aside.name}, and peers are learned anew"

    def _write(self, path: Path, entries: tuple[Entry, ...]) -> None:
        octets = json.dumps({"version": VERSION, "entries": [plain_of(entry) for entry in entries]}).encode()
        part = path.with_name(f"{path.name}.part")
        with whole_or_gone(self._disk, part):
            with synced(self._disk, self._disk.open_new(part)) as file:
                file.write(octets)
            self._disk.rename(part, path)
        self._disk.fsync_dir(path.parent)


def _read(octets: bytes) -> _File:
    """Raises DecodeError for what is no such file."""
    if len(octets) > MAX_OCTETS:
        raise DecodeError(f"more than {MAX_OCTETS} octets")
    try:
        told: object = json.loads(octets)
    except (ValueError, RecursionError) as why:
        raise DecodeError("it is no JSON") from why
    file, _ = value_of(_File, told)
    if file.version != VERSION:
        raise DecodeError(f"it is of version {file.version}, and {VERSION} is known")
    return file
