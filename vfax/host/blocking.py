"""Blocking providers: exports that wait in their thread, made awaitable by giving each call a thread.

Owns      telling the two kinds apart, the threads.
Not here  the contract (fsp/provider.py), time limits (guard.py).
Source    the FSP documentation: each operation has a thread of its own, on which StartJob, Send or Receive,
          ReportStatus and EndJob are called.

Deviation: the calls of one operation come one after the other, but not all on the same thread.
Limit: a thread whose call never returns is abandoned, and stays until the process ends.
"""

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial, wraps
from typing import Any, Final

import trio

from vfax.fsp.provider import Exports

MAX_THREADS: Final = 10_000
"""Limit: calls at once, one for each device that the host lets a provider have."""

WAITING: Final = (
    "FaxDevVirtualDeviceCreation",
    "FaxDevInitialize",
    "FaxDevStartJob",
    "FaxDevSend",
    "FaxDevReceive",
    "FaxDevEndJob",
    "FaxDevShutdown",
)
"""The exports that may take time: coroutine functions, or plain functions that block."""


def as_async(exports: Exports) -> Exports:
    """The same exports, those that block replaced by coroutine functions of their names."""
    threads = trio.CapacityLimiter(MAX_THREADS)
    found = {name: getattr(exports, name) for name in WAITING}
    blocking = {name: export for name, export in found.items() if export is not None and not _is_async(export)}
    awaitable: dict[str, Any] = {name: _in_thread(export, threads) for name, export in blocking.items()}
    return replace(exports, **awaitable)


def _is_async(export: Callable[..., object]) -> bool:
    while isinstance(export, partial):
        export = export.func
    return inspect.iscoroutinefunction(export) or inspect.iscoroutinefunction(type(export).__call__)


def _in_thread(export: Callable[..., object], threads: trio.CapacityLimiter) -> Callable[..., Awaitable[object]]:
    @wraps(export)
    async def call(*arguments: object) -> object:
        result = await trio.to_thread.run_sync(export, *arguments, abandon_on_cancel=True, limiter=threads)
        # a plain function may also hand out what is to be awaited here
        return await result if inspect.isawaitable(result) else result

    return call
