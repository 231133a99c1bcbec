"""A trio run in a thread of its own: what lets plain threads use a provider that is made of tasks.

Owns      the thread, how a call gets in and its answer out, what ends both.
Not here  which calls (exports.py).
"""

import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Final, TypeVar

import trio

from vfax.errors import LinkError
from vfax.fsp.errors import NotReady, WouldDeadlock

T = TypeVar("T")

ENDED: Final = "the provider's own thread has ended"


class TrioThread:
    """One trio run. `nursery` is for the tasks of whoever lives in it; one that ends with a LinkError ends the others.

    A daemon: a process may end while it runs.
    """

    def __init__(self, name: str) -> None:
        self._up: Future[None] = Future()
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._token: trio.lowlevel.TrioToken | None = None
        self._stop = trio.Event()
        self._calls: trio.Nursery
        self.nursery: trio.Nursery

    def start(self) -> None:
        """Start the thread and return when calls can be made."""
        self._thread.start()
        self._up.result()

    def refuse_from_inside(self, what: str) -> None:
        """Raise WouldDeadlock when the caller is the thread that would have to do it."""
        if threading.current_thread() is self._thread:
            raise WouldDeadlock(
                f"{what} was called in the provider's own thread, which it would wait for; call it from another one "
                f"(a wake-up hook of a completion port must only wake somebody)"
            )

    def call(self, work: Callable[[], Awaitable[T]], *, patience: float | None = None) -> T:
        """Await `work` in the run, while this thread waits; returns or raises what it does.

        Raises NotReady when the run has ended, TimeoutError after `patience` seconds (the work goes on).
        """
        answer: Future[T] = Future()
        try:
            assert self._token is not None, "start() comes first"
            self._token.run_sync_soon(self._begin, work, answer)
        except trio.RunFinishedError:
            raise NotReady(ENDED) from None
        return answer.result(patience)

    def stop(self, *, patience: float | None = None) -> None:
        """End the tasks in `nursery`, let the calls that are inside come to their end, and join the thread.

        After `patience` seconds it is left to itself.
        """
        if self._token is not None:
            with suppress(trio.RunFinishedError):  # it has ended by itself
                self._token.run_sync_soon(self._stop.set)
        self._thread.join(patience)

    def _main(self) -> None:
        try:
            trio.run(self._live)
        finally:
            if not self._up.done():  # whoever started it waits for this
                self._up.set_exception(NotReady(ENDED))

    async def _live(self) -> None:
        """Calls are no tasks of the provider: when one of those fails, operations still come to an end of their own."""
        self._token = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as self._calls:
            await self._calls.start(self._own_tasks)
            self._up.set_result(None)
            await self._stop.wait()
            self.nursery.cancel_scope.cancel()

    async def _own_tasks(self, *, task_status: trio.TaskStatus[None]) -> None:
        try:
            async with trio.open_nursery() as self.nursery:
                self.nursery.start_soon(trio.sleep_forever)
                task_status.started()
        except* LinkError:  # the provider has noted it and takes no more jobs; what runs can still be ended
            pass

    def _begin(self, work: Callable[[], Awaitable[T]], answer: "Future[T]") -> None:
        try:
            self._calls.start_soon(self._answer, work, answer)
        except RuntimeError:  # the nursery is closed
            answer.set_exception(NotReady(ENDED))

    async def _answer(self, work: Callable[[], Awaitable[T]], answer: "Future[T]") -> None:
        try:
            result = await work()
        except Exception as why:
            answer.set_exception(why)
        except BaseException:  # the run breaks down; nobody must wait for it
            answer.set_exception(NotReady(ENDED))
            raise
        else:
            answer.set_result(result)
