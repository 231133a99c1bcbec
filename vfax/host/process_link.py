"""One child process and the road to it: orders out, answers and packets in, and how it ended.

Owns      starting and ending the process, its two pipes, what waits for an answer, the watch over a child that hangs.
Not here  what is ordered (process.py), the child's side (process_child.py), frames (process_wire.py).

A link is lost once: because the child ended, because it wrote what is no message, or because it does not answer. It is
then killed and waited for before anything that waited for it learns of it, so that it writes no page any more.
"""

import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Final

import trio

from vfax.errors import DecodeError
from vfax.fsp.errors import FaxServiceError, InvalidField
from vfax.host.process_wire import Message, Unframer, decode_error, frame

READ_OCTETS: Final = 65_536
SECOND: Final = 1.0


class ProcessLost(FaxServiceError):
    """The provider's process is gone, or has not been started again yet; the message says how it ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessOptions:
    """Providers in processes of their own; times in seconds.

    The child is asked every `ping_interval` whether it lives; one that says nothing for `hang_timeout`, or goes on with
    what was cancelled that long ago, is killed. One that ended is started again after `restart_delay`, after twice
    that, and so on up to `restart_delay_max`, at most `restarts` times in a row; having run for `steady_after` it
    counts from the first again. At the end it has `end_grace` before it is killed.
    Limit: `max_messages_per_second` of a child are read; then it has to wait, and its progress packets are coalesced.
    Limit: `max_orders` wait for a child that does not read.
    """

    ping_interval: float = 5.0
    hang_timeout: float = 30.0
    restart_delay: float = 1.0
    restart_delay_max: float = 60.0
    restarts: int = 10
    steady_after: float = 60.0
    end_grace: float = 3.0
    max_messages_per_second: int = 5_000
    max_orders: int = 10_000


@dataclass(slots=True, eq=False)
class _Waiting:
    """An order that waits for its answer, or whose answer is told to `hear` (None: it never came)."""

    hear: Callable[[object], None] | None = None
    answered: trio.Event = field(default_factory=trio.Event)
    value: object = None
    error: Exception | None = None
    extra: Message = field(default_factory=dict)


class Link:
    """The road to one child. `run` serves it until it is lost; `lost` is set when the process is gone, `why` says how.

    `take` gets each message that is no answer. It may raise DecodeError or InvalidField: then the child is done for.
    `gone` hears why the process is gone, unless that was asked for, before those do who wait for its answers.
    """

    def __init__(
        self,
        process: trio.Process,
        options: ProcessOptions,
        take: Callable[[Message], None],
        gone: Callable[[str], None],
    ) -> None:
        self.process = process
        self.lost = trio.Event()
        self.why = ""
        self._options = options
        self._take = take
        self._gone = gone
        self._ending = trio.Event()
        self._numbers = count(1)
        self._waiting: dict[int, _Waiting] = {}
        self._cancelled: dict[int, float] = {}  # orders that nobody waits for, and by when the child must have ended
        self._orders: deque[bytes] = deque()
        self._more = trio.Event()
        self._token = trio.lowlevel.current_trio_token()

    # --- orders ------------------------------------------------------------------------------------

    async def ask(self, word: str, **members: object) -> object:
        """Give an order and wait for what the child answers. Raises what the provider raised there, or ProcessLost."""
        return await self.ask_all(word, lambda extra: None, **members)

    async def ask_all(self, word: str, news: Callable[[Message], None], **members: object) -> object:
        """As `ask`; `news` hears, before this raises, what else came with the answer."""
        if self._ending.is_set():
            await self.lost.wait()
            raise ProcessLost(self.why)
        number, waiting = next(self._numbers), _Waiting()
        self.tell(word, id=number, **members)
        self._waiting[number] = waiting
        try:
            await waiting.answered.wait()
        except trio.Cancelled:
            if not waiting.answered.is_set():
                self._cancelled[number] = trio.current_time() + self._options.hang_timeout
                self.tell("cancel", of=number)
            raise
        finally:
            self._waiting.pop(number, None)
        news(waiting.extra)
        if waiting.error is not None:
            raise waiting.error
        return waiting.value

    def ask_soon(self, word: str, hear: Callable[[object], None], **members: object) -> None:
        """Give an order and return; `hear` gets the answer, None where there is none. From any thread."""
        number = next(self._numbers)
        self._waiting[number] = _Waiting(hear)
        self.tell(word, id=number, **members)
        if self.lost.is_set():
            self._answer(number, None, None, {})

    def tell(self, word: str, **members: object) -> None:
        """Give an order that is not answered; never waits, from any thread. Raises ValueError, TypeError (no JSON)."""
        octets = frame({"do": word, **members})
        if len(self._orders) >= self._options.max_orders:
            self._token.run_sync_soon(self.lose, f"does not read what it is told ({len(self._orders)} orders wait)")
            return
        self._orders.append(octets)
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._wake)

    def _wake(self) -> None:
        self._more.set()

    def lose(self, why: str = "") -> None:
        """Give the child up: it is killed. The first reason stands; "" leaves it to how the process ended."""
        if not self._ending.is_set():
            self.why = why
            self._ending.set()

    # --- serving -----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve until the link is lost or this is cancelled; the process is gone when it returns."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write)
                nursery.start_soon(self._read)
                await self._ending.wait()
                nursery.cancel_scope.cancel()
        finally:
            asked_for = not self._ending.is_set()
            self._ending.set()
            with trio.CancelScope(shield=True):
                await self._reap()
            self._explain(asked_for)
            self.lost.set()
            if not asked_for:
                self._gone(self.why)
            for number in list(self._waiting):
                self._answer(number, None, ProcessLost(self.why), {})

    async def watch(self) -> None:
        """Ask the child now and then whether it lives, until the link is lost."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ping)
            await self.lost.wait()
            nursery.cancel_scope.cancel()

    async def _ping(self) -> None:
        limit = self._options.hang_timeout
        while True:
            await trio.sleep(self._options.ping_interval)
            with trio.move_on_after(limit) as patience, suppress(FaxServiceError):
                await self.ask("ping")
            if patience.cancelled_caught:
                self.lose(f"did not answer within {limit:g} seconds")
            elif any(due < trio.current_time() for due in self._cancelled.values()):
                self.lose(f"did not end what was cancelled {limit:g} seconds before")

    async def _write(self) -> None:
        assert self.process.stdin is not None
        try:
            while True:
                self._more = trio.Event()
                while self._orders:
                    await self.process.stdin.send_all(self._orders.popleft())
                await self._more.wait()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.lose()

    async def _read(self) -> None:
        assert self.process.stdout is not None
        unframer, pace = Unframer(), _Pace(self._options.max_messages_per_second)
        try:
            while octets := await self.process.stdout.receive_some(READ_OCTETS):
                for message in unframer.feed(bytes(octets)):
                    self._sort(message)
                    await pace.step()
            self.lose()
        except (DecodeError, InvalidField) as why:
            self.lose(f"wrote what is no message: {why.what if isinstance(why, DecodeError) else why}")
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.lose()

    def _sort(self, message: Message) -> None:
        number = message.pop("answer", None)
        if number is None:
            self._take(message)
            return
        if type(number) is not int or not ("value" in message) ^ ("error" in message):
            raise DecodeError("an answer that is none")
        error = decode_error(message.pop("error")) if "error" in message else None
        value = message.pop("value", None)
        if number in self._waiting:
            self._answer(number, value, error, message)
        elif self._cancelled.pop(number, None) is None:
            raise DecodeError("an answer to what nobody asked")

    def _answer(self, number: int, value: object, error: Exception | None, extra: Message) -> None:
        waiting = self._waiting.pop(number, None)
        if waiting is None:
            return
        waiting.value, waiting.error, waiting.extra = value, error, extra
        waiting.answered.set()
        if waiting.hear is not None:
            waiting.hear(value)

    # --- the end -----------------------------------------------------------------------------------

    async def _reap(self) -> None:
        """Close the road, which ends a child that is well; kill any other; wait until it is gone."""
        process = self.process
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                await trio.aclose_forcefully(pipe)
        with trio.move_on_after(0.0 if self.why else self._options.end_grace) as patience:
            await process.wait()
        if patience.cancelled_caught:
            self.why = self.why or "did not end with its road"
            with suppress(OSError):
                process.kill()
        with trio.move_on_after(self._options.hang_timeout):  # a process the kernel holds fast must not hold us
            await process.wait()

    def _explain(self, asked_for: bool) -> None:
        status = self.process.returncode
        if asked_for:
            self.why = "the provider's process was ended by the service"
        elif self.why:  # our own reason to kill it says more than the signal
            self.why = f"the provider's process {self.why} and was killed"
        elif status is None:
            self.why = "the provider's process hung up and cannot be killed"
        elif status < 0:
            self.why = f"the provider's process was killed by {_signal_name(-status)}"
        else:
            self.why = f"the provider's process ended with exit status {status}"


class _Pace:
    """Lets so many steps through in a second; the next one waits for the second to be over."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._steps = 0
        self._until = trio.current_time() + SECOND

    async def step(self) -> None:
        self._steps += 1
        now = trio.current_time()
        if now >= self._until:
            self._steps, self._until = 1, now + SECOND
        elif self._steps > self._limit:
            await trio.sleep_until(self._until)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


async def start_process() -> trio.Process:
    """Start a child of this interpreter that finds the same modules. Raises OSError."""
    places = [place or os.curdir for place in sys.path]
    return await trio.lowlevel.open_process(
        [sys.executable, "-P", "-m", "vfax.host.process_child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(places))},
    )
