"""A second provider, without any network: each device rings when told to and does what its script says.

It is loaded as any other is, by a registration record that names `tests.host.scripted:create`; the configuration
carries the `Script`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import trio

from vfax.codecs import tiff
from vfax.fsp.completion import CompletionPort, RingKey, StatusKey
from vfax.fsp.constants import FaxStatus, Hresult
from vfax.fsp.errors import OperationAborted, OperationFailed
from vfax.fsp.provider import Arena, FaxLineCallback, FaxSendCallback, FaxServiceCallback
from vfax.fsp.structures import CallFacts, FaxDevStatus, FaxReceive, FaxSend, LineMessage, SendHints, VirtualDevices
from vfax.outcome import Cause, Outcome, Retry
from vfax.pages import PageFolder

PAGE = tiff.write_page(b"\x0f" * 216 * 20, 1728, 20, x_dpi=204, y_dpi=98)


def keep(folder: PageFolder, number: int) -> None:
    folder.keep(number, PAGE, complete=True)


class Crash(RuntimeError):
    """What a provider with a bug raises."""


@dataclass(slots=True)
class Halt:
    """A place where the provider stops until it is let on."""

    reached: trio.Event = field(default_factory=trio.Event)
    on: trio.Event = field(default_factory=trio.Event)


@dataclass(slots=True)
class Script:
    """What the provider does. `fault` maps an export to "raise", "quit" or "hang"; `calls` lists all calls in order.

    `halts` are the exports, and "dialling" within FaxDevSend, where it stops until the test lets it on. `posts` False:
    it posts no final status and lets itself be asked for it.

    `ends` is the status it reports at the end, `succeeds` the Boolean; `pages` are received whole, `waits` says that
    the operation runs until it is aborted (or, with `stubborn`, for ever); `deaf`: every abort comes too late.
    """

    count: int = 2
    first_id: int = 1
    prefix: str = "script "
    pages: int = 1
    ends: FaxStatus = FaxStatus.FS_COMPLETED
    succeeds: bool = True
    caller: str = "+49 89 1234"
    remote_id: str = "SENDER"
    facts: bool = True
    waits: bool = False
    stubborn: bool = False
    deaf: bool = False
    assemble: bool = True
    empty_handle: bool = False
    posts: bool = True
    takes_hints: bool = True
    endings: list[FaxStatus] = field(default_factory=list)  # of the sends to come, failures before `ends`
    advice: Retry = Retry.LATER  # of those
    retry_after: int | None = None  # seconds that the other side asks for, in those
    reached_page: int = 0  # the first page that was not confirmed by then
    hints: list[SendHints] = field(default_factory=list)
    halts: dict[str, Halt] = field(default_factory=dict)
    fault: dict[str, str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    sent: list[FaxSend] = field(default_factory=list)
    running: trio.Event = field(default_factory=trio.Event)
    provider: "ScriptedProvider | None" = None

    def ring(self, device_id: int = 0) -> None:
        """Let a device ring (the first one, unless told otherwise)."""
        assert self.provider is not None
        self.provider.ring(device_id or self.first_id)

    async def note(self, call: str) -> None:
        """Write down a call, then do the fault that the script asks for."""
        self.note_now(call)
        if self.fault.get(call) == "hang":
            await trio.sleep_forever()
        await trio.lowlevel.checkpoint()
        await self.halt(call)

    async def halt(self, place: str) -> None:
        """Stop there, should the script say so."""
        if place in self.halts:
            self.halts[place].reached.set()
            await self.halts[place].on.wait()

    def note_now(self, call: str) -> None:
        self.calls.append(call)
        if self.fault.get(call) == "raise":
            raise Crash(f"{call} is broken")
        if self.fault.get(call) == "quit":
            raise SystemExit(f"{call} wants to end")


@dataclass(slots=True, eq=False)
class Operation:
    """One job: the handle is this object."""

    device_id: int
    port: CompletionPort
    key: StatusKey
    status: FaxDevStatus = field(default_factory=lambda: FaxDevStatus(FaxStatus.FS_INITIALIZING))
    outcome: Outcome | None = None
    next_page: int = 0
    aborted: trio.Event = field(default_factory=trio.Event)


class ScriptedProvider:
    """The exports of the contract over a `Script`."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self._ring_port: CompletionPort | None = None
        self._ring_key = RingKey()
        self._arena: Arena | None = None

    def ring(self, device_id: int) -> None:
        assert self._ring_port is not None
        self._ring_port.post(self._ring_key, LineMessage(device_id))

    async def FaxDevVirtualDeviceCreation(self, port: CompletionPort, key: RingKey, /) -> VirtualDevices:
        await self.script.note("FaxDevVirtualDeviceCreation")
        self._ring_port, self._ring_key = port, key
        return VirtualDevices(self.script.count, self.script.prefix, self.script.first_id)

    async def FaxDevInitialize(
        self, line_app: object | None, heap: Arena, callback: FaxServiceCallback | None, /
    ) -> FaxLineCallback:
        await self.script.note("FaxDevInitialize")
        self._arena = heap
        return lambda *arguments: None

    async def FaxDevStartJob(
        self, line: object | None, device_id: int, port: CompletionPort, key: StatusKey, /
    ) -> object:
        await self.script.note("FaxDevStartJob")
        if self.script.empty_handle:
            return 0
        return Operation(device_id, port, key)

    async def FaxDevReceive(self, handle: object, call: object | None, slot: FaxReceive, /) -> FaxReceive:
        job = self._job(handle)
        await self.script.note("FaxDevReceive")
        self._say(job, FaxStatus.FS_ANSWERED)
        folder = PageFolder(Path(slot.file_name))
        for number in range(1, self.script.pages + 1):
            self._say(job, FaxStatus.FS_RECEIVING, number)
            await trio.to_thread.run_sync(keep, folder, number)
        try:
            await self._work(job)
        finally:
            if self.script.assemble:
                folder.assemble(tiff.join_pages)
        return slot

    async def FaxDevSend(self, handle: object, document: FaxSend, callback: FaxSendCallback | None, /) -> None:
        job = self._job(handle)
        self.script.sent.append(document)
        await self.script.note("FaxDevSend")
        self._say(job, FaxStatus.FS_DIALING)
        await self.script.halt("dialling")
        self._say(job, FaxStatus.FS_TRANSMITTING, 1)
        job.next_page = self.script.reached_page
        if self.script.endings:
            self._fail(job, self.script.endings.pop(0))
        await self._work(job)

    def _fail(self, job: "Operation", status: FaxStatus) -> NoReturn:
        self._say(job, status)
        advice, wait = self.script.advice, self.script.retry_after
        job.outcome = Outcome(
            cause=Cause.NO_RESPONSE, retry=advice, retry_after=wait, sentence="It failed.", rate_bps=9600
        )
        raise OperationFailed("It failed as the script has it.")

    def FaxDevReportStatus(self, handle: object, /) -> FaxDevStatus:
        self.script.note_now("FaxDevReportStatus")
        return self._job(handle).status

    def VfaxDevReportFacts(self, handle: object, /) -> CallFacts:
        job = self._job(handle)
        if not self.script.facts:
            return CallFacts(device_id=job.device_id, caller_id=self.script.caller)
        return CallFacts(
            device_id=job.device_id,
            caller_id=self.script.caller,
            remote_id=self.script.remote_id,
            rate_bps=14_400,
            ecm=True,
            coding="MMR",
            resolution="fine",
            next_page=job.next_page,
            outcome=job.outcome,
        )

    def FaxDevAbortOperation(self, handle: object, /) -> None:
        self.script.note_now("FaxDevAbortOperation")
        self._job(handle).aborted.set()

    async def FaxDevEndJob(self, handle: object, /) -> None:
        await self.script.note("FaxDevEndJob")

    async def FaxDevShutdown(self) -> Hresult:
        await self.script.note("FaxDevShutdown")
        return Hresult.S_OK

    async def _work(self, job: Operation) -> None:
        """Run until the end that the script has, or until an abort."""
        self.script.running.set()
        if self.script.stubborn:
            await trio.sleep_forever()
        if self.script.waits:
            await job.aborted.wait()
        if job.aborted.is_set() and not self.script.deaf:
            self._say(job, FaxStatus.FS_USER_ABORT)
            job.outcome = Outcome(cause=Cause.ABORTED, sentence="Aborted as asked.")
            raise OperationAborted("Aborted as asked.")
        if self.script.posts:
            self._say(job, self.script.ends)
        job.status = FaxDevStatus(self.script.ends, csi=self.script.remote_id, caller_id=self.script.caller)
        if not self.script.succeeds:
            raise OperationFailed("It failed as the script has it.")
        job.outcome = Outcome(cause=Cause.COMPLETE, sentence="All is well.")

    def _say(self, job: Operation, status: FaxStatus, page: int = 0) -> None:
        job.status = FaxDevStatus(status, page_count=page, csi=self.script.remote_id, caller_id=self.script.caller)
        job.port.post(job.key, job.status)

    @staticmethod
    def _job(handle: object) -> Operation:
        assert isinstance(handle, Operation)
        return handle


class HintedProvider(ScriptedProvider):
    """One that takes hints: having the export says so."""

    def VfaxDevSendHints(self, handle: object, hints: SendHints, /) -> None:
        self.script.note_now("VfaxDevSendHints")
        self.script.hints.append(hints)


def create(configuration: Mapping[str, object]) -> ScriptedProvider:
    """Entry point of the registration record."""
    script = configuration["script"]
    assert isinstance(script, Script)
    script.note_now("create")
    script.provider = HintedProvider(script) if script.takes_hints else ScriptedProvider(script)
    return script.provider
