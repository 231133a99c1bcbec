"""The virtual device as a fax service provider: FaxDevInitialize to FaxDevShutdown over lines and jobs.

Owns      the exports, which line a call rings on, the network's life.
Not here  one line (line.py), one job (job.py), the wire (vfax/endpoint.py, vfax/call.py), any host.
Source    the pages of the FSP functions; receiving on a virtual device: FaxDevVirtualDeviceCreation.

Exports that may take time are coroutine functions; FaxDevReportStatus, FaxDevAbortOperation, VfaxDevReportFacts and
the line callback are plain functions that any thread may call. FALSE is a FaxServiceError.
"""

from collections import Counter
from collections.abc import Mapping
from enum import Enum, auto
from functools import partial
from typing import Final, TypeVar

import trio

from vfax.call import InboundCall, Network, TalkingNetwork, TrunkNetwork
from vfax.device.job import UNAVAILABLE, Ask, Job, JobHandle, JobState
from vfax.device.line import GAVE_UP, Line, LineState, Ring
from vfax.device.network import build_network
from vfax.device.options import NETWORK_KEY, DeviceOptions
from vfax.errors import LinkError, SettingsError
from vfax.fsp.completion import CompletionPort, RingKey, StatusKey
from vfax.fsp.constants import Hresult, LineMessageId
from vfax.fsp.errors import InitializationFailed, InvalidHandle, InvalidParameter, NotReady, PortError
from vfax.fsp.provider import Arena, FaxLineCallback, FaxSendCallback, FaxServiceCallback, Notice, Rows
from vfax.fsp.structures import (
    CallFacts,
    FaxDevStatus,
    FaxReceive,
    FaxSend,
    LineMessage,
    SendHints,
    VirtualDevices,
    check_dword,
)
from vfax.outcome import Cause, Outcome, Phase
from vfax.verdict import without_call

T = TypeVar("T")

BUSY_HERE: Final = 486
"""SIP status when every line is taken (RFC 3261 21.4.24)."""


class Stage(Enum):
    """The provider's life, once through."""

    NEW = auto()
    STARTING = auto()
    RUNNING = auto()
    STOPPED = auto()


class Provider:
    """N virtual fax devices on one network.

    `counts` tells what became of calls that no job saw: busy, not-ready, disabled, ring-lost, unanswered, gave-up.
    `network` is there for its address; its calls belong to the jobs.
    """

    def __init__(self, options: DeviceOptions, network: Network) -> None:
        self.counts: Counter[str] = Counter()
        self._options = options
        self.network = network
        self._lines = {device_id: Line(device_id) for device_id in options.devices.ids}
        self._jobs: dict[JobHandle, Job] = {}
        self._stage = Stage.NEW
        self._stopped = trio.Event()
        self._ring_port: CompletionPort | None = None
        self._ring_key = RingKey()
        self._arena: Arena | None = None
        self._nursery: trio.Nursery | None = None
        self._token: trio.lowlevel.TrioToken | None = None

    # --- start and stop --------------------------------------------------------------------------

    async def FaxDevInitialize(
        self, LineAppHandle: object | None, HeapHandle: Arena, FaxServiceCallback: FaxServiceCallback | None, /
    ) -> FaxLineCallback:
        """Start the network in the arena's nursery and return the line callback.

        Raises InitializationFailed when the address cannot be bound (the message says which), or when called twice.
        The network ends with FaxDevShutdown or with the nursery; an error it meets later goes to the nursery.
        """
        if self._stage is not Stage.NEW:
            raise InitializationFailed("FaxDevInitialize or FaxDevShutdown has been called before; make a new provider")
        nursery = _check_heap(HeapHandle).nursery
        self._stage = Stage.STARTING
        self._arena = HeapHandle
        self._token = trio.lowlevel.current_trio_token()
        try:
            await nursery.start(self._serve, name="vfax network")
        except LinkError as why:
            raise InitializationFailed(str(why)) from why
        self._stage = Stage.RUNNING
        return self._line_event

    async def FaxDevVirtualDeviceCreation(
        self, CompletionPort: CompletionPort, CompletionKey: RingKey, /
    ) -> VirtualDevices:
        """Take the ring port; may come before or after FaxDevInitialize. Raises InvalidParameter."""
        await trio.lowlevel.checkpoint()
        return self.create_devices(CompletionPort, CompletionKey)

    def create_devices(self, port: CompletionPort, key: RingKey) -> VirtualDevices:
        """FaxDevVirtualDeviceCreation as a plain function, for a thread that has no trio run yet; from any thread."""
        if self._ring_port is not None:
            raise InvalidParameter("CompletionPort: the virtual devices have been created already")
        checked = _check_port(port)
        self._ring_key = _check_ring_key(key)  # before the port: whoever sees the port may ring
        self._ring_port = checked
        return self._options.devices

    async def FaxDevShutdown(self) -> Hresult:
        """Refuse what rings, abort what runs, end the network. E_FAIL when a call had to be cut off.

        Running operations get `shutdown_grace` seconds to end politely; when this returns no task of ours is left.
        """
        if self._nursery is None:
            self._stage = Stage.STOPPED
            return Hresult.S_OK
        self._stage = Stage.STOPPED
        self._refuse_ringing()
        for job in self._jobs.values():  # one that has not begun its operation will not begin it
            job.abort()
        running = [job for job in self._jobs.values() if job.state is JobState.RUNNING]
        with trio.move_on_after(self._options.shutdown_grace) as grace:
            await _all_done(running)
        for job in running:
            job.cut_off()
        await _all_done(running)
        self._nursery.cancel_scope.cancel()
        await self._stopped.wait()
        return Hresult.E_FAIL if grace.cancelled_caught else Hresult.S_OK

    async def _serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the network, and beside it the watch over each ringing call."""
        failure: LinkError | None = None
        try:
            async with trio.open_nursery() as self._nursery:
                try:
                    await self.network.run(self._on_call, task_status=task_status)
                except LinkError as why:  # raised below, outside the nursery, so that it arrives bare
                    failure = why
                self._nursery.cancel_scope.cancel()
        finally:
            self._stage = Stage.STOPPED
            self._nursery = None
            self._stopped.set()
        if failure is not None:
            raise failure

    # --- calls in --------------------------------------------------------------------------------

    def _on_call(self, call: InboundCall) -> None:
        """Ring on a free line, or refuse: 486 when all are taken, 480 when we cannot serve now."""
        if self._stage is not Stage.RUNNING or self._ring_port is None or self._nursery is None:
            self._refuse(call, UNAVAILABLE, "not-ready")
            return
        open_lines = [line for line in self._lines.values() if line.receive_enabled]
        line = next((line for line in open_lines if line.state is LineState.IDLE), None)
        if line is not None:
            self._ring(line, call, self._ring_port, self._nursery)
        elif open_lines:
            self._refuse(call, BUSY_HERE, "busy")
        else:
            self._refuse(call, UNAVAILABLE, "disabled")

    def _ring(self, line: Line, call: InboundCall, port: CompletionPort, nursery: trio.Nursery) -> None:
        try:
            port.post(self._ring_key, LineMessage(line.device_id))
        except PortError:  # the host does not read its port: it would not answer either
            self._refuse(call, UNAVAILABLE, "ring-lost")
            return
        ring = line.ring(call)
        call.ring()
        nursery.start_soon(self._watch, line, ring)

    async def _watch(self, line: Line, ring: Ring) -> None:
        """Free the line when the caller gives up, or when the host does not take the call in time."""
        with ring.watch:
            with trio.move_on_after(self._options.host_answer_timeout):
                await ring.call.ended_early.wait()
                if line.miss(ring, GAVE_UP):
                    self.counts["gave-up"] += 1
                return
            if line.miss(ring, _unanswered(self._options.host_answer_timeout)):
                self._refuse(ring.call, UNAVAILABLE, "unanswered")

    def _refuse(self, call: InboundCall, status: int, why: str) -> None:
        self.counts[why] += 1
        call.refuse(status)

    def _refuse_ringing(self) -> None:
        for line in self._lines.values():
            ring = line.ringing
            if ring is not None and line.miss(ring, _unanswered(0.0)):
                ring.watch.cancel()
                self._refuse(ring.call, UNAVAILABLE, "not-ready")

    def _line_event(
        self,
        FaxHandle: object | None,
        hDevice: int,
        dwMessage: int,
        dwInstance: int,
        dwParam1: int,
        dwParam2: int,
        dwParam3: int,
        /,
    ) -> None:
        """FaxLineCallback: sending and receiving are switched on and off; nothing else concerns virtual devices."""
        line = self._lines.get(hDevice) if isinstance(hDevice, int) else None
        if FaxHandle is None and dwMessage == LineMessageId.LINE_DEVSPECIFIC and line is not None:
            line.receive_enabled = dwParam1 != 0
            line.send_enabled = dwParam2 != 0

    # --- jobs ------------------------------------------------------------------------------------

    async def FaxDevStartJob(
        self,
        LineHandle: object | None,
        DeviceId: int,
        CompletionPortHandle: CompletionPort,
        CompletionKey: StatusKey,
        /,
    ) -> JobHandle:
        """Begin a job and hold the line for it if it is free.

        Raises NotReady, InvalidParameter (no such device, wrong port or key), OutOfResources.
        """
        if self._stage is not Stage.RUNNING or self._token is None or self._arena is None:
            raise NotReady("the provider is not initialized, or has been shut down")
        check_dword("FaxDevStartJob", "DeviceId", DeviceId)
        line = self._lines.get(DeviceId)
        if line is None:
            ours = self._options.devices.ids
            raise InvalidParameter(f"DeviceId: {DeviceId} is none of ours, which are {ours[0]} to {ours[-1]}")
        port, key = _check_port(CompletionPortHandle), _check_status_key(CompletionKey)
        await trio.lowlevel.checkpoint()
        job = Job(line, self._options, self.network, port, key, self._token)
        self._arena.adopt_job(job.handle)
        self._jobs[job.handle] = job
        line.reserve(job)
        return job.handle

    async def FaxDevSend(self, FaxHandle: object, FaxSend: FaxSend, FaxSendCallback: FaxSendCallback | None, /) -> None:
        """Dial and send. Raises OperationFailed with the outcome's sentence; FaxDevReportStatus has the status."""

        check_callback(FaxSendCallback)

        async def ask(handle: JobHandle) -> bool:
            return FaxSendCallback is None or FaxSendCallback(handle, None, 0, 0)

        await self.send(FaxHandle, FaxSend, ask)

    async def send(self, handle: object, document: FaxSend, ask: Ask) -> None:
        """FaxDevSend for a host whose FaxSendCallback may take its time: `ask` awaits its word."""
        await self._job(handle).send(_check_document(document), ask)

    async def FaxDevReceive(
        self, FaxHandle: object, CallHandle: object | None, FaxReceive: FaxReceive, /
    ) -> FaxReceive:
        """Answer the call that rings on the job's line and receive it. Raises OperationFailed, as FaxDevSend.

        `CallHandle` is None for virtual devices. Without a ringing call it fails with FS_LINE_UNAVAILABLE; when the
        caller gave up, or we refused it because nobody came, with FS_DISCONNECTED.
        """
        return await self._job(FaxHandle).receive(_check_slot(FaxReceive))

    def FaxDevReportStatus(self, FaxHandle: object, /) -> FaxDevStatus:
        """Tell what the operation does or how it ended. Any thread. Raises InvalidHandle."""
        return self._job(FaxHandle).status

    def VfaxDevReportFacts(self, FaxHandle: object, /) -> CallFacts:
        """Tell all that is known about the call (our extension). Any thread. Raises InvalidHandle."""
        return self._job(FaxHandle).report()

    def VfaxDevSendHints(self, FaxHandle: object, Hints: SendHints, /) -> None:
        """Say how the coming document is to be sent (our extension). Any thread. Raises InvalidHandle, InvalidField."""
        self._job(FaxHandle).hint(Hints)

    def VfaxDevReportAddress(self) -> str:
        """Tell where calls come in (our extension); "" while the network has no address."""
        try:
            host, port = self.network.address
        except LinkError:
            return ""
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def VfaxDevReportTrunks(self) -> Rows:
        """Tell how every trunk fares (our extension); none where the network has no trunks. Raises NotReady."""
        network = await self._running_network()
        return network.trunk_rows() if isinstance(network, TrunkNetwork) else ()

    async def VfaxDevReportPeers(self) -> Rows:
        """Tell what was learned of peers (our extension). Raises NotReady."""
        network = await self._running_network()
        return network.peer_rows() if isinstance(network, TrunkNetwork) else ()

    async def VfaxDevForgetPeers(self, Peer: str, Number: str, /) -> int:
        """Forget what was learned of a peer and a number, "" for any (our extension). Raises NotReady,
        InvalidParameter.
        """
        for name, value in (("Peer", Peer), ("Number", Number)):
            if not isinstance(value, str):
                raise InvalidParameter(f"{name}: text is expected, not {type(value).__name__}")
        network = await self._running_network()
        return await network.forget_peers(Peer, Number) if isinstance(network, TrunkNetwork) else 0

    def VfaxDevWatchNotices(self, Notice: Notice, /) -> None:
        """Have each sentence for the operator said to `Notice` (our extension). Any thread. Raises InvalidParameter."""
        if not callable(Notice):
            raise InvalidParameter(f"Notice: a function is expected, not {type(Notice).__name__}")
        if isinstance(self.network, TalkingNetwork):
            self.network.watch_notices = Notice

    async def _running_network(self) -> Network:
        await trio.lowlevel.checkpoint()
        if self._stage is not Stage.RUNNING:
            raise NotReady("the provider is not initialized, or has been shut down")
        return self.network

    def FaxDevAbortOperation(self, FaxHandle: object, /) -> None:
        """Latch the abort and return at once. Any thread. Raises InvalidHandle."""
        self._job(FaxHandle).abort()

    async def FaxDevEndJob(self, FaxHandle: object, /) -> None:
        """End the job: nothing is posted any more, the line is free, the handle is dead. Raises InvalidHandle."""
        self.end_job(FaxHandle)
        await trio.lowlevel.checkpoint()

    def end_job(self, handle: object) -> None:
        """FaxDevEndJob as a plain function: in the provider's trio run, or in any thread once that has ended."""
        job = self._job(handle)
        del self._jobs[job.handle]
        job.end()
        if self._arena is not None:
            self._arena.release_job(job.handle)

    def knows(self, handle: object) -> bool:
        """True for a job that has been started and not ended. Any thread."""
        return isinstance(handle, JobHandle) and handle in self._jobs

    def _job(self, handle: object) -> Job:
        job = self._jobs.get(handle) if isinstance(handle, JobHandle) else None
        if job is None:
            raise InvalidHandle("FaxHandle: the job is unknown or has ended")
        return job


def create_provider(configuration: Mapping[str, object]) -> Provider:
    """Entry point of the registration record: make the provider that `configuration` describes.

    The keys are the fields of DeviceOptions, and `network` for a ready Network; without that the network is built
    from the whole configuration. Raises SettingsError, MisuseError.
    """
    if not isinstance(configuration, Mapping):
        raise SettingsError(f"the provider's configuration: a mapping is expected, not {type(configuration).__name__}")
    network = configuration.get(NETWORK_KEY)
    if network is None:
        network = build_network(configuration)
    if not (callable(getattr(network, "run", None)) and callable(getattr(network, "outbound", None))):
        raise SettingsError(f"{NETWORK_KEY} = {network!r}: an object with run and outbound is expected")
    return Provider(DeviceOptions.of(configuration), network)  # type: ignore[arg-type]  # probed above


def check_callback(callback: object) -> None:
    """Raise InvalidParameter unless it is a FaxSendCallback or None."""
    if callback is not None and not callable(callback):
        raise InvalidParameter(f"FaxSendCallback: a function or None is expected, not {type(callback).__name__}")


def _check(name: str, kind: type[T], value: object) -> T:
    if not isinstance(value, kind):
        raise InvalidParameter(f"{name}: a {kind.__name__} is expected, not {type(value).__name__}")
    return value


_check_port: Final = partial(_check, "CompletionPort", CompletionPort)
_check_heap: Final = partial(_check, "HeapHandle", Arena)
_check_document: Final = partial(_check, "FaxSend", FaxSend)
_check_slot: Final = partial(_check, "FaxReceive", FaxReceive)
_check_ring_key: Final = partial(_check, "CompletionKey", RingKey)
_check_status_key: Final = partial(_check, "CompletionKey", StatusKey)


async def _all_done(jobs: list[Job]) -> None:
    for job in jobs:
        await job.done.wait()


def _unanswered(seconds: float) -> Outcome:
    waited = f"within {seconds:g} seconds" if seconds else "before the service stopped"
    why = f"Nobody took the call {waited}; the caller was refused."
    return without_call(Cause.PEER_HUNG_UP, why, sending=False, phase=Phase.CALL)
