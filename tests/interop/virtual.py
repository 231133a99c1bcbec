"""Virtual time for calls over real sockets: as fast as the machine allows, and never faster than its work.

Owns      `virtual_clock` (time jumps when every task waits) and `hold_for_threads` (but not while a thread works).
Not here  real-time tests; they take no clock.
Source    trio's MockClock: with autojump it does not know of worker threads, hence the second half.

A fixed rate (MockClock(rate=20)) would let a loaded machine run into T.30's timers; a jumping clock cannot, because
datagrams over the loopback interface are readable before the sender's call returns.
"""

import time
from typing import Final

import trio
from trio.testing import MockClock

LOOK_EVERY: Final = 0.02
LONGEST_HOLD: Final = 2.0
LONGEST_TEST: Final = 3600.0


def virtual_clock() -> MockClock:
    """A clock that jumps to the next deadline as soon as nothing is left to do."""
    return MockClock(autojump_threshold=0)


async def hold_for_threads() -> None:
    """Keep virtual time from running while worker threads (fsync, TIFF) are busy; run beside a call until cancelled.

    Returns at once on a real clock. Limit: a thread that blocks for more than LONGEST_HOLD real seconds no longer holds
    the clock; a test that takes more than LONGEST_TEST virtual seconds has lost its way and fails.
    """
    if not isinstance(trio.lowlevel.current_clock(), MockClock):
        return
    threads = trio.to_thread.current_default_thread_limiter()
    end = trio.current_time() + LONGEST_TEST
    while trio.current_time() < end:
        await trio.sleep(LOOK_EVERY)
        patience = time.perf_counter() + LONGEST_HOLD
        while threads.borrowed_tokens and time.perf_counter() < patience:
            time.sleep(0.0001)  # noqa: ASYNC251 - a sleeping task would let the clock jump
            await trio.lowlevel.checkpoint()
    raise AssertionError(f"after {LONGEST_TEST:.0f} virtual seconds the test still waits for something")
