"""A fax service for the time of a command: started, watched for a provider that cannot start, stopped in order.

Owns      the nursery of a command, what signals do to it, and the sentence about an address that is taken.
Not here  the service (host/service.py).
"""

import os
import shutil
import signal
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, Protocol, TypeVar

import trio
from rich.console import Console

from vfax.cli import exits
from vfax.cli.common import SCRATCH
from vfax.cli.sockets import explain
from vfax.errors import FaxError, LinkError, SettingsError, only_one
from vfax.host.loading import HostedProvider
from vfax.host.service import FaxService

ABORT_INTERVAL: Final = 0.1


class Host(Protocol):
    """A service, or a server with one inside."""

    @property
    def providers(self) -> Sequence[HostedProvider]:
        """What became of each registered provider."""
        ...

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Serve until stopped."""

    def stop(self) -> None:
        """End it."""


H = TypeVar("H", bound=Host)


@asynccontextmanager
async def running(service: H) -> AsyncIterator[H]:
    """Run `service` for the block and stop it politely afterwards, also when the block fails or is cancelled.

    Raises LinkError when its provider cannot listen (naming who holds the port), FaxError when it cannot start else.
    """
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(_run, service)
            try:
                _refuse_unusable(service)
                yield service
            finally:
                service.stop()
    except ExceptionGroup as group:
        raise only_one(group) from None


@asynccontextmanager
async def interruptible(polite: Callable[[], None]) -> AsyncIterator[None]:
    """Watch for Ctrl-C and SIGTERM to the end of the block: the first calls `polite`, the second ends the process.

    It belongs around `running`, so that an end that takes its time can be cut short.
    """
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(watch_signals, polite, hard_stop)
            yield
            nursery.cancel_scope.cancel()
    except ExceptionGroup as group:
        raise only_one(group) from None


async def watch_signals(
    polite: Callable[[], None],
    impatient: Callable[[], None],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Call `polite` at the first Ctrl-C or SIGTERM, `impatient` at the next ones."""
    if threading.current_thread() is not threading.main_thread():
        task_status.started()
        await trio.sleep_forever()
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        act = polite
        async for _ in signals:
            act()
            act = impatient


async def abort_when(asked: trio.Event, service: FaxService) -> None:
    """Abort every fax of `service` from the moment it is asked for, also one that begins only then."""
    await asked.wait()
    while True:
        for job in service.running:
            service.abort(job)
        await trio.sleep(ABORT_INTERVAL)


async def _run(service: "Host", *, task_status: trio.TaskStatus[None]) -> None:
    await service.run(task_status=task_status)


def _refuse_unusable(service: "Host") -> None:
    """One provider that can be used is enough; what became of the others was told when they were loaded."""
    if not service.providers:
        raise SettingsError("no provider is enabled: [provider] enabled = true enables the device")
    failure = next((provider.failure for provider in service.providers if not provider.usable), None)
    if failure is None or any(provider.usable for provider in service.providers):
        return
    if not isinstance(failure.__cause__, LinkError):
        raise FaxError(f"the provider cannot be used: {failure}")
    raise LinkError(explain(failure))


def hard_stop() -> None:
    """End the process at once: somebody pressed Ctrl-C a second time."""
    Console().show_cursor(True)
    for folder in SCRATCH:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(exits.INTERRUPTED)
