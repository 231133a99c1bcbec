"""A scripted network, and a desk: what a host has when it drives one provider."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from vfax.call import Answered, CallEvent, Dialing, InboundCall, OutboundCall, Publish, Ringing, SendRequest
from vfax.device import DeviceOptions, Provider
from vfax.errors import LinkError
from vfax.fsp.completion import CompletionPort, RingKey, StatusKey
from vfax.fsp.provider import Arena, FaxLineCallback
from vfax.fsp.structures import FaxDevStatus, FaxReceive, FaxSend, LineMessage
from vfax.outcome import Cause, Outcome, Phase

COMPLETE = Outcome(cause=Cause.COMPLETE, phase=Phase.RELEASE, pages_confirmed=1, sentence="The fax is complete.")
Step = CallEvent | float
"""An event that the call says, or seconds that it takes."""


class ScriptedCall:
    """A call in either direction: plays `script`, then gives `outcome`; an abort ends it in `abort_takes` seconds."""

    def __init__(
        self, *script: Step, outcome: Outcome | Exception = COMPLETE, name: str = "call-1", abort_takes: float = 0.5
    ) -> None:
        self.id = name
        self.caller = "+4930123456"
        self.caller_name = "Anna"
        self.dialled = "+4940654321"
        self.ended_early = trio.Event()
        self.journal_path: Path | None = None
        self.notes: list[tuple[str, str | int]] = []
        self.rang = 0
        self.refused: list[int] = []
        self.answered = False
        self.aborted = trio.Event()
        self.hung_up = False
        self.target: Path | None = None
        self.local_id = ""
        self.request: SendRequest | None = None
        self._script = script
        self._outcome = outcome
        self._abort_takes = abort_takes

    def ring(self) -> None:
        self.rang += 1

    def refuse(self, status: int) -> None:
        assert not self.answered
        self.refused.append(status)

    def abort(self) -> None:
        self.aborted.set()

    def note(self, kind: str, **facts: str | int) -> None:
        assert kind == "status"
        self.notes.append((str(facts["status"]), facts["page"]))

    async def receive(self, target: Path, *, local_id: str, publish: Publish) -> Outcome:
        assert not self.refused
        self.answered, self.target, self.local_id = True, target, local_id
        if self.ended_early.is_set():
            return Outcome(cause=Cause.PEER_HUNG_UP, sentence="The caller gave up.")
        return await self._play((Answered(), *self._script), publish)

    async def send(self, request: SendRequest, *, publish: Publish) -> Outcome:
        self.request = request
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return await self._play((Dialing(), Ringing(), Answered(), *self._script), publish)

    async def _play(self, script: tuple[Step, ...], publish: Publish) -> Outcome:
        finished = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._obey_abort, nursery.cancel_scope)
            try:
                if not self.aborted.is_set():
                    await self._say(script, publish)
                    finished.set()
                else:
                    await trio.sleep_forever()
            finally:
                self.hung_up = True
            nursery.cancel_scope.cancel()
        if not finished.is_set():
            return Outcome(cause=Cause.ABORTED, sentence="Aborted on this side.")
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome

    async def _say(self, script: tuple[Step, ...], publish: Publish) -> None:
        for step in script:
            if isinstance(step, (int, float)):
                await trio.sleep(step)
            else:
                publish(step)

    async def _obey_abort(self, scope: trio.CancelScope) -> None:
        await self.aborted.wait()
        await trio.sleep(self._abort_takes)
        scope.cancel()


class ScriptedNetwork:
    """A network whose calls come when the test says so."""

    def __init__(self) -> None:
        self.on_call: Callable[[InboundCall], None] | None = None
        self.going_out: list[ScriptedCall] = []
        self.bind_error: LinkError | None = None
        self.early_call: ScriptedCall | None = None
        self.fail = trio.Event()
        self.running = False

    async def run(
        self,
        on_call: Callable[[InboundCall], None],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        if self.bind_error is not None:
            raise self.bind_error
        self.on_call = on_call
        if self.early_call is not None:
            on_call(self.early_call)
        self.running = True
        task_status.started()
        try:
            await self.fail.wait()
            raise LinkError("the socket is gone")
        finally:
            self.running = False

    def outbound(self) -> OutboundCall:
        return self.going_out.pop(0)

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", 5060)

    def comes(self, call: ScriptedCall) -> ScriptedCall:
        assert self.on_call is not None
        self.on_call(call)
        return call


@dataclass
class Job:
    """A started job with its status key, and what was posted under it."""

    handle: object
    key: StatusKey
    device_id: int


@dataclass
class Desk:
    """One provider as a host sees it."""

    provider: Provider
    network: ScriptedNetwork
    arena: Arena
    folder: Path
    ring_key: RingKey = field(default_factory=RingKey)
    ring_port: CompletionPort = field(default_factory=CompletionPort)
    status_port: CompletionPort = field(default_factory=CompletionPort)
    removed: list[str] = field(default_factory=list)
    callback: FaxLineCallback | None = None

    async def start(self, *, devices_first: bool = True) -> None:
        steps = [self.create_devices, self.initialize]
        for step in steps if devices_first else reversed(steps):
            await step()

    async def create_devices(self) -> None:
        devices = await self.provider.FaxDevVirtualDeviceCreation(self.ring_port, self.ring_key)
        assert devices.device_count > 0

    async def initialize(self) -> None:
        self.callback = await self.provider.FaxDevInitialize(None, self.arena, None)

    async def stop(self) -> None:
        await self.provider.FaxDevShutdown()

    def rings(self) -> list[int]:
        numbers = []
        while (packet := self.ring_port.get_nowait()) is not None:
            assert packet.key is self.ring_key
            assert isinstance(packet.message, LineMessage)
            numbers.append(packet.message.h_device)
        return numbers

    async def job(self, device_id: int = 1) -> Job:
        key = StatusKey()
        return Job(await self.provider.FaxDevStartJob(None, device_id, self.status_port, key), key, device_id)

    def slot(self, name: str = "fax.tif") -> FaxReceive:
        path = self.folder / name
        path.touch()
        return FaxReceive(str(path))

    async def receive(self, job: Job) -> FaxReceive:
        return await self.provider.FaxDevReceive(job.handle, None, self.slot())

    async def send(self, job: Job, **changes: Any) -> None:
        order = replace(FaxSend("document.tif", "sip:fax@192.0.2.1"), **changes)
        await self.provider.FaxDevSend(job.handle, order, None)

    async def end(self, job: Job) -> None:
        await self.provider.FaxDevEndJob(job.handle)

    def posted(self, job: Job) -> list[FaxDevStatus]:
        statuses = []
        while (packet := self.status_port.get_nowait()) is not None:
            assert isinstance(packet.message, FaxDevStatus)
            assert packet.key is job.key
            statuses.append(packet.message)
        return statuses

    def status(self, job: Job) -> FaxDevStatus:
        return self.provider.FaxDevReportStatus(job.handle)


@pytest.fixture
def scripted() -> type[ScriptedCall]:
    return ScriptedCall


@pytest.fixture
def network() -> ScriptedNetwork:
    return ScriptedNetwork()


@pytest.fixture
def make_lone_desk(tmp_path: Path) -> Callable[..., Desk]:
    """`make_lone_desk(nursery, lines=1)`: a provider with a network of its own, not started."""

    def make(nursery: trio.Nursery, network: ScriptedNetwork | None = None, **options: Any) -> Desk:
        chosen: dict[str, Any] = {"lines": 2, "local_id": "+49 40 654321", "receiver_name": "desk"} | options
        removed: list[str] = []
        arena = Arena(nursery, remove_file=removed.append)
        network = network or ScriptedNetwork()
        return Desk(Provider(DeviceOptions(**chosen), network), network, arena, tmp_path, removed=removed)

    return make


@pytest.fixture
def make_desk(
    make_lone_desk: Callable[..., Desk], network: ScriptedNetwork, nursery: trio.Nursery
) -> Callable[..., Desk]:
    """`make_desk(lines=1)`: a provider on `network` and in `nursery` that has not been started."""
    return partial(make_lone_desk, nursery, network)


@pytest.fixture
def make_running_desk(make_desk: Callable[..., Desk]) -> Callable[..., Awaitable[Desk]]:
    """`await make_running_desk(lines=1)`: as make_desk, devices created and initialized."""

    async def make(*, devices_first: bool = True, **options: Any) -> Desk:
        desk = make_desk(**options)
        await desk.start(devices_first=devices_first)
        return desk

    return make
