"""Virtual time for calls over real sockets: as fast as the machine allows, and never faster than its work.

Owns      `virtual_clock` (time jumps when every task waits), `hold_for_threads` (but not while a thread works) and
          `Gate` (where a thread waits for the test, and time goes on).
Not here  real-time tests; they take no clock.
Source    trio's MockClock: with autojump it does not know of worker threads, hence the second half.

A fixed rate (MockClock(rate=20)) would let a loaded machine run into T.30's timers; a jumping clock cannot, because
datagrams over Linux's loopback interface are readable before the sender's call returns, and work in threads holds it.
"""

import math
import threading
from typing import Final

import trio
from trio.testing import MockClock

from vfax.runner import page_threads

LONGEST_WORK: Final = 30.0
LONGEST_WAIT: Final = 60.0
LONGEST_TEST: Final = 3600.0

_at_gates: Final = trio.lowlevel.RunVar("worker threads that wait at a gate", default=0)


def virtual_clock() -> MockClock:
    """A clock that jumps to the next deadline as soon as nothing is left to do."""
    return MockClock(autojump_threshold=0)


async def hold_for_threads() -> None:
    """Let virtual time stand still while worker threads (fsync, TIFF) are busy; run beside a call until cancelled.

    Returns at once on a real clock. Limit: a thread that blocks for more than LONGEST_WORK real seconds no longer holds
    the clock; a test that takes more than LONGEST_TEST virtual seconds has lost its way and fails. A thread that waits
    for virtual time to pass must wait at a Gate.
    """
    clock = trio.lowlevel.current_clock()
    if not isinstance(clock, MockClock) or math.isinf(clock.autojump_threshold):
        return
    hold = _Hold(clock)
    trio.lowlevel.add_instrument(hold)
    try:
        await trio.sleep(LONGEST_TEST)
    finally:
        trio.lowlevel.remove_instrument(hold)
        clock.autojump_threshold = 0
    raise AssertionError(f"after {LONGEST_TEST:.0f} virtual seconds the test still waits for something")


class _Hold(trio.abc.Instrument):
    """Sets the clock's threshold in the same step in which the number of busy threads changes.

    A worker thread's token is taken and given back within steps of trio's tasks, so no jump can come in between.
    """

    def __init__(self, clock: MockClock) -> None:
        self._clock = clock
        pages = page_threads()
        self._threads = trio.to_thread.current_default_thread_limiter(), pages.send, pages.receive, pages.keep

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        busy = sum(limiter.borrowed_tokens for limiter in self._threads)
        wanted = LONGEST_WORK if busy > _at_gates.get() else 0.0
        if self._clock.autojump_threshold != wanted:
            self._clock.autojump_threshold = wanted


class Gate:
    """Where worker threads wait until the test lets them on. Limit: LONGEST_WAIT real seconds, then `open` fails."""

    def __init__(self) -> None:
        self.reached = trio.Event()
        self._open = threading.Event()
        self._late = False
        self._waiting = 0
        self._token = trio.lowlevel.current_trio_token()

    def open(self) -> None:
        """Let all on, now and later; the clock stands still for their work again."""
        assert not self._late, f"the gate was not opened within {LONGEST_WAIT:.0f} seconds"
        self._open.set()
        _at_gates.set(_at_gates.get() - self._waiting)
        self._waiting = 0

    def pass_through(self) -> None:
        """Call it in a worker thread."""
        self._token.run_sync_soon(self._arrive)
        self._late |= not self._open.wait(LONGEST_WAIT)

    def _arrive(self) -> None:
        self.reached.set()
        if not self._open.is_set():
            self._waiting += 1
            _at_gates.set(_at_gates.get() + 1)
