"""What a provider owns in the memory of its host: the arena that stands for the private heap of C.

Owns      `Arena`, which carries the nursery of a provider's tasks and lists its live jobs and temporary files.
Not here  who makes one and closes it (the hosts), what a provider exports (provider.py).
Source    FaxDevInitialize, HeapHandle; Allocating Memory.
"""

import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from vfax.fsp.errors import InvalidHandle, NotSupported, OutOfResources


class Nursery(Protocol):
    """What a provider needs of a trio nursery."""

    def start_soon(self, async_fn: Callable[..., Awaitable[object]], /, *args: object, name: object = None) -> None:
        """Start a task that the nursery owns."""

    async def start(self, async_fn: Callable[..., Awaitable[object]], /, *args: object, name: object = None) -> object:
        """Start a task and wait until it says that it is ready."""


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What a provider had not released when its arena was closed."""

    jobs: tuple[object, ...] = ()
    files: tuple[str, ...] = ()


class Arena:
    """What the private heap (HeapHandle) is in C: everything a provider owns, released by the host when it unloads it.

    The host makes one per provider, gives it in `FaxDevInitialize` and closes it after `FaxDevShutdown`. It carries the
    nursery for the provider's tasks (None where the host is made of threads: a blocking provider brings a run of its
    own) and the list of its live jobs and temporary files. `remove_file` is the host's way to delete a file that was
    left behind. All methods may be called from any thread.

    Limit: `max_jobs` live jobs.
    """

    def __init__(self, nursery: Nursery | None, *, remove_file: Callable[[str], None], max_jobs: int = 10_000) -> None:
        self._nursery = nursery
        self._books = _Books(remove_file, max_jobs)

    @property
    def nursery(self) -> Nursery:
        """The nursery for the provider's tasks. Raises NotSupported when the host has none to give."""
        if self._nursery is None:
            raise NotSupported("HeapHandle: this host has no trio nursery; use the provider's blocking exports")
        return self._nursery

    def within(self, nursery: Nursery) -> "Arena":
        """The same arena, with one list of jobs and files, for a provider whose tasks live in `nursery`."""
        inner = Arena.__new__(Arena)
        inner._nursery = nursery
        inner._books = self._books
        return inner

    def adopt_job(self, job: object) -> None:
        """List a live job. Raises OutOfResources beyond the quota, InvalidHandle when the arena is closed."""
        with self._books.open() as books:
            if len(books.jobs) >= books.max_jobs:
                raise OutOfResources(f"{books.max_jobs} jobs are running, which is the limit of this provider")
            books.jobs[id(job)] = job

    def release_job(self, job: object) -> None:
        """Strike a job off; harmless when it is not listed."""
        with self._books.lock:
            self._books.jobs.pop(id(job), None)

    def adopt_file(self, path: str) -> None:
        """List a temporary file. Raises InvalidHandle when the arena is closed."""
        with self._books.open() as books:
            books.files[path] = None

    def release_file(self, path: str) -> None:
        """Strike a file off: it is gone, or somebody else's now."""
        with self._books.lock:
            self._books.files.pop(path, None)

    @property
    def live_jobs(self) -> int:
        """Jobs that have been started and not ended."""
        return len(self._books.jobs)

    def close(self) -> Leftovers:
        """Remove the files that are still listed and tell what was left. May be said again."""
        books = self._books
        with books.lock:
            books.closed = True
            left = Leftovers(tuple(books.jobs.values()), tuple(books.files))
            books.jobs.clear()
            books.files.clear()
        for path in left.files:
            books.remove_file(path)
        return left


class _Books:
    """What an arena lists, shared by all that stand for it."""

    def __init__(self, remove_file: Callable[[str], None], max_jobs: int) -> None:
        self.remove_file = remove_file
        self.max_jobs = max_jobs
        self.lock = threading.Lock()
        self.jobs: dict[int, object] = {}  # by identity: a handle is opaque, it need not be hashable
        self.files: dict[str, None] = {}
        self.closed = False

    @contextmanager
    def open(self) -> Iterator["_Books"]:
        with self.lock:
            if self.closed:
                raise InvalidHandle("the arena of this provider is closed")
            yield self
