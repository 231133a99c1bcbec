"""The provider for hosts made of threads: the exports under their documented names, plain functions for any thread.

Owns      `BlockingProvider`, and the module's functions over `exports`, the one instance that every process has.
Not here  what an export does (provider.py); the thread inside (thread.py).
Source    the published list of FSP functions; Operating in a Multithreaded Environment.

    from vfax.device import exports

    exports.configure({"lines": 2, "endpoint": EndpointOptions(listen=("127.0.0.1", 5060))})
    exports.FaxDevVirtualDeviceCreation(ring_port, ring_key)     # before or after FaxDevInitialize
    exports.FaxDevInitialize(None, Arena(None, remove_file=os.unlink), None)

`configure` stands for loading the image: it takes what `vfax.device.create_provider` takes, and may be said again once
FaxDevShutdown has returned. A registration record names `vfax.device.exports:create_provider`, which makes instances.

Send and Receive block until the fax is over; FaxDevAbortOperation from another thread ends them. FaxSendCallback is
called in a thread that has nothing else to do. In the provider's own thread, which completion ports wake people from,
everything that would wait raises WouldDeadlock.
"""

import atexit
import math
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

import trio

from vfax.call import Network
from vfax.device import provider as tasks
from vfax.device.job import JobHandle
from vfax.device.thread import TrioThread
from vfax.errors import FaxError
from vfax.fsp.completion import CompletionPort, RingKey, StatusKey
from vfax.fsp.constants import Hresult
from vfax.fsp.errors import InitializationFailed, InvalidParameter, NotReady
from vfax.fsp.provider import Arena, FaxLineCallback, FaxSendCallback, FaxServiceCallback, Notice, Rows
from vfax.fsp.structures import CallFacts, FaxDevStatus, FaxReceive, FaxSend, SendHints, VirtualDevices

T = TypeVar("T")

NOT_CONFIGURED: Final = "the provider has no configuration: call configure() first"
NOT_INITIALIZED: Final = "the provider is not initialized: call FaxDevInitialize first"
SHUT_DOWN: Final = "the provider has been shut down, or could not start: call configure() to begin anew"
AT_EXIT: Final = 3.0
"""Seconds that a process waits for calls to be hung up when it ends without FaxDevShutdown; likewise for the thread."""


class BlockingProvider:
    """N virtual fax devices for plain threads. Each instance has a trio run of its own, from Initialize to Shutdown."""

    def __init__(self, configuration: Mapping[str, object] | None = None) -> None:
        self._life = threading.Lock()  # held by whoever starts, stops or configures
        self._provider: tasks.Provider | None = None
        self._thread: TrioThread | None = None
        self._stopped = False
        if configuration is not None:
            self.configure(configuration)

    def configure(self, configuration: Mapping[str, object]) -> None:
        """Make the provider that `configuration` describes; its keys are those of `vfax.device.create_provider`.

        Raises SettingsError, MisuseError; InvalidParameter while the provider runs.
        """
        self._refuse_from_inside("configure")
        with self._life:
            if self._thread is not None and not self._stopped:
                raise InvalidParameter("configuration: the provider is running; call FaxDevShutdown first")
            self._provider = tasks.create_provider(configuration)
            self._thread = None
            self._stopped = False

    @property
    def network(self) -> Network:
        """Where the calls come from, for its address. Raises NotReady without a configuration."""
        if self._provider is None:
            raise NotReady(NOT_CONFIGURED)
        return self._provider.network

    # --- start and stop --------------------------------------------------------------------------

    def FaxDevInitialize(
        self, LineAppHandle: object | None, HeapHandle: Arena, FaxServiceCallback: FaxServiceCallback | None, /
    ) -> FaxLineCallback:
        """Start the thread, and in it the network. Jobs and files are listed in the arena; its nursery is not used.

        Raises InitializationFailed (called twice, or an address that cannot be bound), InvalidParameter, NotReady.
        """
        self._refuse_from_inside("FaxDevInitialize")
        if not isinstance(HeapHandle, Arena):
            raise InvalidParameter(f"HeapHandle: an Arena is expected, not {type(HeapHandle).__name__}")
        with self._life:
            provider = self._current()
            if self._thread is not None:
                raise InitializationFailed("FaxDevInitialize has been called before; call configure() to begin anew")
            thread = self._thread = TrioThread("vfax provider")
            thread.start()
            initialize = partial(provider.FaxDevInitialize, LineAppHandle)
            try:
                inside = HeapHandle.within(thread.nursery)
                callback = thread.call(lambda: initialize(inside, FaxServiceCallback))
            except BaseException:
                self._stopped = True
                thread.stop()
                raise
            atexit.register(self._hang_up_at_exit)
            return callback

    def FaxDevVirtualDeviceCreation(self, CompletionPort: CompletionPort, CompletionKey: RingKey, /) -> VirtualDevices:
        """Take the ring port; may come before or after FaxDevInitialize. Raises InvalidParameter, NotReady."""
        self._refuse_from_inside("FaxDevVirtualDeviceCreation")
        with self._life:
            return self._current().create_devices(CompletionPort, CompletionKey)

    def FaxDevShutdown(self) -> Hresult:
        """End what runs (Send and Receive return FALSE), the network and the thread. May be said again.

        E_FAIL when a call had to be cut off, or the thread had broken down; the provider is stopped all the same.
        """
        self._refuse_from_inside("FaxDevShutdown")
        with self._life:
            thread, provider = self._thread, self._provider
            if self._stopped or thread is None or provider is None:
                self._stopped = True
                return Hresult.S_OK
            try:
                result = thread.call(provider.FaxDevShutdown)
            except NotReady:
                result = Hresult.E_FAIL
            self._stopped = True
            thread.stop()
            atexit.unregister(self._hang_up_at_exit)
            return result

    def _hang_up_at_exit(self) -> None:
        """Say goodbye on lines that are up, within limits: a process that ends must end."""
        thread, provider = self._thread, self._provider
        if thread is None or provider is None or self._stopped:
            return
        with suppress(FaxError, TimeoutError):
            thread.call(provider.FaxDevShutdown, patience=AT_EXIT)
        thread.stop(patience=AT_EXIT)

    # --- jobs ------------------------------------------------------------------------------------

    def FaxDevStartJob(
        self,
        LineHandle: object | None,
        DeviceId: int,
        CompletionPortHandle: CompletionPort,
        CompletionKey: StatusKey,
        /,
    ) -> JobHandle:
        """Begin a job. Raises NotReady, InvalidParameter, OutOfResources."""
        start = partial(self._current().FaxDevStartJob, LineHandle, DeviceId)
        return self._wait_for("FaxDevStartJob", lambda: start(CompletionPortHandle, CompletionKey))

    def FaxDevSend(self, FaxHandle: object, FaxSend: FaxSend, FaxSendCallback: FaxSendCallback | None, /) -> None:
        """Dial, send, hang up. Raises OperationFailed with the outcome's sentence, InvalidHandle, NotReady."""
        provider = self._current()
        if FaxSendCallback is None:
            self._wait_for("FaxDevSend", lambda: provider.FaxDevSend(FaxHandle, FaxSend, None))
            return
        tasks.check_callback(FaxSendCallback)
        ask = partial(_ask_in_a_thread, FaxSendCallback)
        self._wait_for("FaxDevSend", lambda: provider.send(FaxHandle, FaxSend, ask))

    def FaxDevReceive(self, FaxHandle: object, CallHandle: object | None, FaxReceive: FaxReceive, /) -> FaxReceive:
        """Answer the call that rings and receive it. Raises as FaxDevSend."""
        provider = self._current()
        return self._wait_for("FaxDevReceive", lambda: provider.FaxDevReceive(FaxHandle, CallHandle, FaxReceive))

    def FaxDevReportStatus(self, FaxHandle: object, /) -> FaxDevStatus:
        """Tell what the operation does or how it ended, without waiting. Raises InvalidHandle, NotReady."""
        return self._of(FaxHandle).FaxDevReportStatus(FaxHandle)

    def VfaxDevReportFacts(self, FaxHandle: object, /) -> CallFacts:
        """Tell all that is known about the call, without waiting. Raises InvalidHandle, NotReady."""
        return self._of(FaxHandle).VfaxDevReportFacts(FaxHandle)

    def VfaxDevSendHints(self, FaxHandle: object, Hints: SendHints, /) -> None:
        """Say how the coming document is to be sent (our extension). Raises InvalidHandle, InvalidParameter."""
        self._of(FaxHandle).VfaxDevSendHints(FaxHandle, Hints)

    def VfaxDevReportAddress(self) -> str:
        """Tell where calls come in (our extension); "" while there is no such place."""
        return self._provider.VfaxDevReportAddress() if self._provider is not None else ""

    def VfaxDevReportTrunks(self) -> Rows:
        """Tell how every trunk fares (our extension). Raises NotReady."""
        provider = self._current()
        return self._wait_for("VfaxDevReportTrunks", provider.VfaxDevReportTrunks)

    def VfaxDevReportPeers(self) -> Rows:
        """Tell what was learned of peers (our extension). Raises NotReady."""
        provider = self._current()
        return self._wait_for("VfaxDevReportPeers", provider.VfaxDevReportPeers)

    def VfaxDevForgetPeers(self, Peer: str, Number: str, /) -> int:
        """Forget what was learned (our extension). Raises NotReady, InvalidParameter."""
        provider = self._current()
        return self._wait_for("VfaxDevForgetPeers", lambda: provider.VfaxDevForgetPeers(Peer, Number))

    def VfaxDevWatchNotices(self, Notice: Notice, /) -> None:
        """Have each sentence for the operator said to `Notice` (our extension). Raises NotReady, InvalidParameter."""
        self._current().VfaxDevWatchNotices(Notice)

    def FaxDevAbortOperation(self, FaxHandle: object, /) -> None:
        """Latch the abort and return at once. Raises InvalidHandle, NotReady."""
        self._of(FaxHandle).FaxDevAbortOperation(FaxHandle)

    def FaxDevEndJob(self, FaxHandle: object, /) -> None:
        """End the job. Raises InvalidHandle, NotReady.

        A job that FaxDevShutdown has ended under its thread can still be reported and ended, and no other.
        """
        provider = self._of(FaxHandle)
        try:
            self._wait_for("FaxDevEndJob", lambda: provider.FaxDevEndJob(FaxHandle))
        except NotReady:  # nothing runs any more that it could meet
            provider.end_job(FaxHandle)

    # --- inside ----------------------------------------------------------------------------------

    def _current(self) -> tasks.Provider:
        if self._stopped:
            raise NotReady(SHUT_DOWN)
        if self._provider is None:
            raise NotReady(NOT_CONFIGURED)
        return self._provider

    def _of(self, handle: object) -> tasks.Provider:
        """The provider that knows a job, also after the shutdown; for one that nobody knows, as everybody."""
        if self._provider is not None and self._provider.knows(handle):
            return self._provider
        return self._current()

    def _wait_for(self, export: str, work: Callable[[], Awaitable[T]]) -> T:
        self._refuse_from_inside(export)
        thread = self._thread
        if thread is None or self._stopped:
            raise NotReady(SHUT_DOWN if self._stopped else NOT_INITIALIZED)
        return thread.call(work)

    def _refuse_from_inside(self, export: str) -> None:
        if self._thread is not None:
            self._thread.refuse_from_inside(export)


async def _ask_in_a_thread(callback: FaxSendCallback, handle: JobHandle) -> bool:
    """What the host says. It may take its time, for an abort does not wait for it, and no other call does."""
    alone = trio.CapacityLimiter(math.inf)
    return await trio.to_thread.run_sync(callback, handle, None, 0, 0, limiter=alone, abandon_on_cancel=True)


def create_provider(configuration: Mapping[str, object]) -> BlockingProvider:
    """Entry point of a registration record, as `vfax.device.create_provider`, for a provider that blocks."""
    return BlockingProvider(configuration)


exports: Final = BlockingProvider()
"""The provider behind the functions of this module."""

configure = exports.configure
FaxDevInitialize = exports.FaxDevInitialize
FaxDevVirtualDeviceCreation = exports.FaxDevVirtualDeviceCreation
FaxDevStartJob = exports.FaxDevStartJob
FaxDevSend = exports.FaxDevSend
FaxDevReceive = exports.FaxDevReceive
FaxDevReportStatus = exports.FaxDevReportStatus
FaxDevAbortOperation = exports.FaxDevAbortOperation
FaxDevEndJob = exports.FaxDevEndJob
FaxDevShutdown = exports.FaxDevShutdown
VfaxDevReportFacts = exports.VfaxDevReportFacts
VfaxDevSendHints = exports.VfaxDevSendHints
VfaxDevReportAddress = exports.VfaxDevReportAddress
VfaxDevReportTrunks = exports.VfaxDevReportTrunks
VfaxDevReportPeers = exports.VfaxDevReportPeers
VfaxDevForgetPeers = exports.VfaxDevForgetPeers
VfaxDevWatchNotices = exports.VfaxDevWatchNotices
