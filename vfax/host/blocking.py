"""Blocking providers in an async host: each call in a worker thread, so that the host sees one kind of exports.

Owns      the adapter and its threads. Not here: which kind a provider is (fsp/provider.py), its time limits (guard.py).
Source    Operating in a Multithreaded Environment: each operation has a thread of its own; ReportStatus and
          AbortOperation arrive on others.

An operation may take hours, so it never waits for a thread that another one has, nor takes one from the rest of the
program: operations and short calls have limiters of their own. A thread whose caller gives up waiting (a provider that
hangs) is left behind; it counts until it ends.
"""

import math
from collections.abc import Awaitable, Callable
from functools import partial, wraps
from typing import ParamSpec, TypeVar

import trio

from vfax.fsp.provider import BlockingExports, Exports

P = ParamSpec("P")
T = TypeVar("T")


def in_threads(exports: BlockingExports, *, operations: float = math.inf, short_calls: float = 40) -> Exports:
    """The same exports as coroutine functions of whichever trio run awaits them.

    Limit: `operations` threads for Send and Receive, `short_calls` for the others that may wait. What never waits is
    called as it is.
    """
    long = partial(_in_a_thread, trio.CapacityLimiter(operations))
    short = partial(_in_a_thread, trio.CapacityLimiter(short_calls))
    create, shut_down = exports.FaxDevVirtualDeviceCreation, exports.FaxDevShutdown
    configure = exports.FaxExtInitializeConfig
    trunks, peers, forget = exports.VfaxDevReportTrunks, exports.VfaxDevReportPeers, exports.VfaxDevForgetPeers
    return Exports(
        FaxDevInitialize=short(exports.FaxDevInitialize),
        FaxDevStartJob=short(exports.FaxDevStartJob),
        FaxDevSend=long(exports.FaxDevSend),
        FaxDevReceive=long(exports.FaxDevReceive),
        FaxDevReportStatus=exports.FaxDevReportStatus,
        FaxDevAbortOperation=exports.FaxDevAbortOperation,
        FaxDevEndJob=short(exports.FaxDevEndJob),
        FaxDevVirtualDeviceCreation=None if create is None else short(create),
        FaxDevShutdown=None if shut_down is None else short(shut_down),
        FaxDevConfigure=exports.FaxDevConfigure,
        FaxExtInitializeConfig=None if configure is None else short(configure),
        VfaxDevReportFacts=exports.VfaxDevReportFacts,
        VfaxDevSendHints=exports.VfaxDevSendHints,
        VfaxDevReportAddress=exports.VfaxDevReportAddress,
        VfaxDevReportTrunks=None if trunks is None else short(trunks),
        VfaxDevReportPeers=None if peers is None else short(peers),
        VfaxDevForgetPeers=None if forget is None else short(forget),
        VfaxDevWatchNotices=exports.VfaxDevWatchNotices,
    )


def _in_a_thread(limiter: trio.CapacityLimiter, export: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    @wraps(export)
    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        work = partial(export, *args, **kwargs)
        return await trio.to_thread.run_sync(work, limiter=limiter, abandon_on_cancel=True)

    return call
