"""A provider for processes of their own: the scripted one, told by its configuration, with ways to die that it lacks.

It rings when a file called `ring` appears in its folder, and does the fault that stands in the file `fault`, as in
"FaxDevReceive kill", once: the file is gone by then.
"""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import trio

from tests.host.scripted import Crash, Script, ScriptedProvider
from vfax.fsp.completion import CompletionPort, RingKey, StatusKey
from vfax.fsp.constants import FaxStatus, Hresult
from vfax.fsp.errors import DataNotFound, OperationAborted
from vfax.fsp.extension import ExtensionCallbacks
from vfax.fsp.provider import Arena, FaxLineCallback, FaxSendCallback, FaxServiceCallback
from vfax.fsp.structures import FaxDevStatus, FaxReceive, FaxSend, LineMessage, SendHints, VirtualDevices
from vfax.host.process_wire import frame

POLL_SECONDS = 0.02


def road_to_the_host() -> int:
    """What a provider should never reach for."""
    fd: int = next(vars(thread)["_fd"] for thread in threading.enumerate() if thread.name == "to the host")
    return fd


def flood(message: Mapping[str, object]) -> None:
    octets = frame(message) * 100
    while True:
        os.write(road_to_the_host(), octets)


class ApartScript(Script):
    """A script that also knows how to die."""

    folder: Path = Path()

    async def note(self, call: str) -> None:
        await super().note(call)
        if self.fault.pop(f"{call} later", "") == "stubborn":
            with trio.CancelScope(shield=True):
                await trio.sleep_forever()

    def note_now(self, call: str) -> None:
        super().note_now(call)
        with (self.folder / "calls").open("a") as file:
            file.write(f"{call}\n")
        match self.take_fault(call):
            case "hang":
                self.fault[call] = "hang"
            case "stubborn":
                self.fault[f"{call} later"] = "stubborn"
            case fault:
                self.fault.pop(call, None)
                do_fault(fault, call)

    def take_fault(self, call: str) -> str:
        path = self.folder / "fault"
        wanted, _, fault = path.read_text().partition(" ") if path.exists() else ("", "", "")
        if wanted != call:
            return ""
        if not fault.startswith("always "):
            path.unlink()
        return fault.removeprefix("always ")


def do_fault(fault: str, call: str) -> None:
    match fault:
        case "":
            return
        case "raise":
            raise Crash(f"{call} is broken")
        case "quit":
            sys.exit("the provider wants to end")
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "segfault":
            ctypes.string_at(0)
        case "exit":
            os._exit(7)
        case "block":
            time.sleep(600)
        case "rubbish":
            os.write(road_to_the_host(), b"Traceback (most recent call last):\n")
        case "huge":
            os.write(road_to_the_host(), b"\xff\xff\xff\xff")
        case "nonsense":
            os.write(road_to_the_host(), frame({"ring": {"h_device": "one"}}))
        case "unasked":
            os.write(road_to_the_host(), frame({"answer": 4711, "value": None}))
        case "flood":
            threading.Thread(target=flood, args=({"called": 4711},), daemon=True).start()
        case "print":
            print("a provider that prints", flush=True)
        case _:
            raise AssertionError(fault)


class ApartProvider(ScriptedProvider):
    """The scripted provider with a task that rings."""

    async def FaxDevInitialize(
        self, line_app: object | None, heap: Arena, callback: FaxServiceCallback | None, /
    ) -> FaxLineCallback:
        await super().FaxDevInitialize(line_app, heap, callback)
        heap.nursery.start_soon(self._watch)
        return self._line_event

    def _line_event(self, *numbers: object) -> None:
        self.script.note_now(f"line {numbers[1]} {numbers[4]} {numbers[5]}")

    async def _watch(self) -> None:
        while True:
            await trio.sleep(POLL_SECONDS)
            ring = self.folder / "ring"
            if ring.exists():
                ring.unlink()
                self.ring(self.script.first_id)
            if (self.folder / "task").exists():
                (self.folder / "task").unlink()
                raise Crash("a task of its own is broken")

    async def FaxDevSend(self, handle: object, document: FaxSend, callback: FaxSendCallback | None, /) -> None:
        if callback is not None:
            self.script.note_now(f"callback {callback(handle, None, 0, 0)}")
        await super().FaxDevSend(handle, document, callback)

    def VfaxDevSendHints(self, handle: object, hints: SendHints, /) -> None:
        self.script.note_now(f"hints {hints.first_page} {hints.max_rate_bps} {hints.ecm}")

    @property
    def folder(self) -> Path:
        assert isinstance(self.script, ApartScript)
        return self.script.folder


def create(
    configuration: Mapping[str, object], *, kind: Callable[[Script], ApartProvider] = ApartProvider
) -> ApartProvider:
    """Entry point of the registration record; the configuration holds the folder and fields of the script."""
    given = dict(configuration)
    folder = Path(str(given.pop("folder")))
    ends = FaxStatus(int(str(given.pop("ends", int(FaxStatus.FS_COMPLETED)))))
    script = ApartScript(ends=ends, **given)  # type: ignore[arg-type]
    script.folder = folder
    do_fault(script.take_fault("create"), "create")
    script.provider = provider = kind(script)
    return provider


def create_configured(configuration: Mapping[str, object]) -> ApartProvider:
    """Entry point of the one with stored configuration."""
    return create(configuration, kind=ConfiguredProvider)


def create_talking(configuration: Mapping[str, object]) -> ApartProvider:
    """Entry point of the one that has things to say."""
    return create(configuration, kind=TalkingProvider)


class TalkingProvider(ApartProvider):
    """The same with sentences for the operator: at its start, from another thread, and what is none."""

    def __init__(self, script: Script) -> None:
        super().__init__(script)
        self.notice: Callable[[str], None] = lambda sentence: None

    def VfaxDevWatchNotices(self, notice: Callable[[str], None], /) -> None:
        self.script.note_now("VfaxDevWatchNotices")
        self.notice = notice

    def FaxDevConfigure(self, *page: object) -> bool:
        raise Crash("nobody calls it")

    async def FaxDevInitialize(
        self, line_app: object | None, heap: Arena, callback: FaxServiceCallback | None, /
    ) -> FaxLineCallback:
        self.notice("trunk office: it does not answer\x1b[2J")
        await trio.to_thread.run_sync(self.notice, "é" * 5_000)
        self.notice(7)  # type: ignore[arg-type]
        return await super().FaxDevInitialize(line_app, heap, callback)


DATA = "{b8959fc9-4e77-4ee9-8411-009acb1bbf3e}"


class ConfiguredProvider(ApartProvider):
    """The same with stored configuration: it counts its starts there, and notes what it is told."""

    async def FaxExtInitializeConfig(self, *given: object) -> object:
        callbacks = ExtensionCallbacks(*given)  # type: ignore[arg-type]
        await self.script.note("FaxExtInitializeConfig")
        try:
            found = callbacks.get_data(0, 0, DATA)
        except DataNotFound:
            found = b""
        self.script.note_now(f"found {found!r}")
        await trio.to_thread.run_sync(callbacks.set_data, None, 0, 0, DATA, found + b"+")
        callbacks.register(None, 0, 0, DATA, self._changed)
        return Hresult.S_OK

    def _changed(self, device: int, guid: str, data: bytes) -> int:
        self.script.note_now(f"told={data!r}")
        return Hresult.S_OK


class BlockingProvider:
    """The same contract with plain functions that block, for hosts that give each operation a thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.aborted = threading.Event()
        self.status = FaxDevStatus(FaxStatus.FS_INITIALIZING)
        self.threads: set[int] = set()
        self._ring: tuple[CompletionPort, RingKey] | None = None

    def FaxDevVirtualDeviceCreation(self, port: CompletionPort, key: RingKey, /) -> VirtualDevices:
        self._ring = port, key
        return VirtualDevices(1, "blocking ", 1)

    def FaxDevInitialize(self, line: object | None, heap: Arena, callback: object | None, /) -> FaxLineCallback:
        threading.Thread(target=self._watch, daemon=True).start()
        return lambda *numbers: None

    def _watch(self) -> None:
        while not (self.folder / "ring").exists():
            time.sleep(POLL_SECONDS)
        (self.folder / "ring").unlink()
        assert self._ring is not None
        self._ring[0].post(self._ring[1], LineMessage(1))

    def FaxDevStartJob(self, line: object | None, device: int, port: CompletionPort, key: StatusKey, /) -> object:
        self.port, self.key = port, key
        return self

    def FaxDevSend(self, handle: object, document: FaxSend, callback: FaxSendCallback | None, /) -> None:
        self._say(FaxStatus.FS_DIALING)
        (self.folder / "sent.tif").write_bytes(Path(document.file_name).read_bytes())
        self._say(FaxStatus.FS_COMPLETED)

    def FaxDevReceive(self, handle: object, call: object | None, slot: FaxReceive, /) -> FaxReceive:
        self._say(FaxStatus.FS_ANSWERED)
        if not self.aborted.wait(60):
            raise AssertionError("nobody aborted")
        self._say(FaxStatus.FS_USER_ABORT)
        raise OperationAborted("Aborted as asked.")

    def FaxDevReportStatus(self, handle: object, /) -> FaxDevStatus:
        return self.status

    def FaxDevAbortOperation(self, handle: object, /) -> None:
        self.aborted.set()

    def FaxDevEndJob(self, handle: object, /) -> None:
        (self.folder / "ended").touch()

    def FaxDevShutdown(self) -> Hresult:
        return Hresult.S_OK

    def _say(self, status: FaxStatus) -> None:
        self.status = FaxDevStatus(status)
        self.port.post(self.key, self.status)


def create_blocking(configuration: Mapping[str, object]) -> BlockingProvider:
    """Entry point of the blocking one."""
    return BlockingProvider(Path(str(configuration["folder"])))
