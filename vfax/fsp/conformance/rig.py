"""Driving a provider of either surface in the same way: by plain threads that wait, with limits.

Owns      `Rig` and its two kinds: a thread an operation (blocking), a trio run in one thread (async).
Not here  what is driven (desk.py).

The exports that never wait are called in the thread of the check, which is another one than any operation's in both.
"""

import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any, Protocol, TypeVar

import trio

from vfax.fsp.provider import Arena, BlockingExports, Exports

T = TypeVar("T")


class Rig(Protocol):
    """How to begin an export that may wait; its answer or error is the future's."""

    arena: Arena
    crash: BaseException | None
    """What a task or thread of the rig met that no call could be told of."""

    def begin(self, export: Callable[..., Any], *arguments: object) -> "Future[Any]":
        """Begin a call and return at once."""
        ...

    def close(self, patience: float) -> None:
        """Give up what still runs, at most for so many seconds."""


def make_rig(exports: Exports | BlockingExports) -> Rig:
    """The rig that suits a provider's surface."""
    return AsyncRig() if isinstance(exports, Exports) else BlockingRig()


def _remove(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)


class BlockingRig:
    """A host made of threads: one for each call that may wait, as the documents have it for operations."""

    def __init__(self) -> None:
        self.arena = Arena(None, remove_file=_remove)
        self.crash: BaseException | None = None

    def begin(self, export: Callable[..., T], *arguments: object) -> "Future[T]":
        """As of Rig."""
        answer: Future[T] = Future()
        threading.Thread(target=_answer, args=(partial(export, *arguments), answer), daemon=True).start()
        return answer

    def close(self, patience: float) -> None:
        """Threads that a provider does not let go are left behind: they are daemons."""


def _answer(work: Callable[[], T], answer: "Future[T]") -> None:
    try:
        answer.set_result(work())
    except BaseException as why:
        answer.set_exception(why)


class AsyncRig:
    """A host made of tasks, all in one trio run; its nursery is the arena's."""

    def __init__(self) -> None:
        self.crash: BaseException | None = None
        self.arena: Arena
        self._up = threading.Event()
        self._token: trio.lowlevel.TrioToken
        self._nursery: trio.Nursery
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._up.wait()

    def begin(self, export: Callable[..., Awaitable[T]], *arguments: object) -> "Future[T]":
        """As of Rig."""
        answer: Future[T] = Future()
        try:
            self._token.run_sync_soon(self._start, partial(export, *arguments), answer)
        except trio.RunFinishedError as why:
            answer.set_exception(why)
        return answer

    def close(self, patience: float) -> None:
        """Cancel everything; a provider that shields itself is left behind with its thread."""
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._nursery.cancel_scope.cancel)
        self._thread.join(patience)

    def _run(self) -> None:
        try:
            trio.run(self._live)
        except BaseException as why:
            self.crash = why

    async def _live(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as self._nursery:
            self.arena = Arena(self._nursery, remove_file=_remove)
            self._up.set()
            await trio.sleep_forever()

    def _start(self, work: Callable[[], Awaitable[T]], answer: "Future[T]") -> None:
        try:
            self._nursery.start_soon(self._carry_out, work, answer)
        except RuntimeError as why:  # the nursery is closed: something in it has failed
            answer.set_exception(why)

    async def _carry_out(self, work: Callable[[], Awaitable[T]], answer: "Future[T]") -> None:
        try:
            answer.set_result(await work())
        except Exception as why:
            answer.set_exception(why)
        except BaseException:
            answer.set_exception(RuntimeError("the call was cancelled because a task of the provider failed"))
            raise
