"""Providers in processes of their own, a third surface for the conformance checks, and the other side of their lines.

Owns      `Apart`, async exports over a ProcessProvider that is started by the first of them; `Remote`, its stimulus;
          the entry points that the child makes its provider with.
Not here  the provider there (memory.py, toy.py), the process (vfax/host/process.py).

Parent and child have a connection of their own, beside the road, by which the stimulus says what the other side of the
line does. It asks the child over the road first whether it is there: then it has read what was told before.
"""

import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

import trio

from vfax.fsp.completion import CompletionPort, RingKey, StatusKey
from vfax.fsp.constants import Hresult
from vfax.fsp.errors import FaxServiceError, NotReady
from vfax.fsp.provider import (
    Arena,
    Exports,
    FaxLineCallback,
    FaxSendCallback,
    FaxServiceCallback,
    Notice,
    RegistrationRecord,
    Rows,
)
from vfax.fsp.structures import CallFacts, FaxDevStatus, FaxReceive, FaxSend, SendHints, VirtualDevices
from vfax.host.process import ProcessProvider
from vfax.host.process_link import ProcessOptions

LONG = 60.0
ANSWER_AFTER = 0.3
"""Seconds until a call out is answered in the child: no call is answered sooner than a message travels."""


# --- in the child ----------------------------------------------------------------------------------------
# Each entry point imports what it makes, and no more: a child of the toy does without the device and is there sooner.


def create_device(configuration: Mapping[str, object]) -> object:
    from vfax import device

    return _device(configuration, device.create_provider)


def create_blocking_device(configuration: Mapping[str, object]) -> object:
    from vfax.device import exports

    return _device(configuration, exports.create_provider)


def _device(configuration: Mapping[str, object], make: Callable[..., object]) -> object:
    from tests.fsp.memory import Exchange, MemoryNetwork

    given: dict[str, object] = {"network": MemoryNetwork(answer_after=ANSWER_AFTER), "local_id": "+1 555 0100"}
    provider = make(given)
    _obey(configuration, Exchange(provider, given))
    return provider


def create_toy(configuration: Mapping[str, object]) -> object:
    """The toy, or the one that breaks a rule (`breaks`); `too_long` is what they take for it, in seconds."""
    from tests.fsp import broken, broken_config, broken_own  # noqa: F401  # importing them fills BROKEN
    from tests.fsp.toy import Toy, Wire

    broken.TOO_LONG = float(str(configuration.get("too_long", broken.TOO_LONG)))
    rule = configuration.get("breaks")
    toy = (broken.BROKEN[str(rule)] if rule is not None else Toy)(configuration)
    _obey(configuration, Wire(toy, configuration))
    return toy


def _obey(configuration: Mapping[str, object], stimulus: object) -> None:
    """Do what the parent says, each line a method and its arguments, and say when it is done."""

    def obey() -> None:
        with socket.create_connection(("127.0.0.1", int(str(configuration["port"])))) as road, road.makefile() as lines:
            for line in lines:
                name, *numbers = line.split()
                answer = getattr(stimulus, name)(*map(int, numbers))
                road.sendall(f"{answer or ''}\n".encode())

    threading.Thread(target=obey, daemon=True).start()


# --- in the parent ---------------------------------------------------------------------------------------


class NoWatcher:
    """Nobody is told what becomes of the child."""

    def lost(self, why: str, back_in: float | None) -> None:
        return

    def back(self, starts: int) -> None:
        return


class Apart:
    """The exports of a provider in a process of its own; `image` is its entry point there, `more` its configuration."""

    def __init__(self, image: str, **more: object) -> None:
        self._image = image
        self._more = more
        self._exports: Exports | None = None
        self._provider: ProcessProvider | None = None
        self._failure: FaxServiceError | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._road: socket.socket | None = None
        self._up: trio.Event | None = None

    async def _started(self) -> Exports:
        if self._up is None:
            self._up = trio.Event()
            self._token = trio.lowlevel.current_trio_token()
            trio.lowlevel.spawn_system_task(self._live)  # of the rig's run: with that it ends
        await self._up.wait()
        if self._failure is not None:
            raise self._failure
        assert self._exports is not None
        return self._exports

    async def _live(self) -> None:
        assert self._up is not None
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(LONG)
            record = RegistrationRecord(
                guid="{55555555-5555-4555-8555-555555555555}",
                friendly_name="apart",
                image_name=f"tests.fsp.apart:{self._image}",
                configuration={"port": listener.getsockname()[1], **self._more},
                own_process=True,
            )
            try:
                async with trio.open_nursery() as nursery:
                    self._provider = ProcessProvider(record, ProcessOptions(), NoWatcher(), lambda name: LONG)
                    try:
                        self._exports = await self._provider.load(nursery)
                        self._road, _ = await trio.to_thread.run_sync(listener.accept)
                    except FaxServiceError as why:
                        self._failure = why
                    self._up.set()
                    await trio.sleep_forever()
            finally:
                if self._road is not None:
                    self._road.close()

    def _ready(self) -> Exports:
        if self._exports is None:
            raise NotReady("the process has not been started")
        return self._exports

    def say(self, line: str) -> str:
        """Have the other side of the line do something, behind all that was told to the child."""
        assert self._token is not None
        assert self._provider is not None
        assert self._road is not None
        assert self._provider._link is not None
        with suppress(FaxServiceError, trio.RunFinishedError):
            trio.from_thread.run(partial(self._provider._link.ask, "ping"), trio_token=self._token)
        self._road.sendall(f"{line}\n".encode())
        with self._road.makefile() as answers:
            return answers.readline().strip()

    async def FaxDevVirtualDeviceCreation(self, port: CompletionPort, key: RingKey, /) -> VirtualDevices:
        create = (await self._started()).FaxDevVirtualDeviceCreation
        assert create is not None
        return await create(port, key)

    async def FaxDevInitialize(
        self, line_app: object | None, heap: Arena, callback: FaxServiceCallback | None, /
    ) -> FaxLineCallback:
        return await (await self._started()).FaxDevInitialize(line_app, heap, callback)

    async def FaxDevStartJob(
        self, line: object | None, device_id: int, port: CompletionPort, key: StatusKey, /
    ) -> object:
        return await (await self._started()).FaxDevStartJob(line, device_id, port, key)

    async def FaxDevSend(self, handle: object, document: FaxSend, callback: FaxSendCallback | None, /) -> None:
        await (await self._started()).FaxDevSend(handle, document, callback)

    async def FaxDevReceive(self, handle: object, call: object | None, slot: FaxReceive, /) -> FaxReceive:
        return await (await self._started()).FaxDevReceive(handle, call, slot)

    async def FaxDevEndJob(self, handle: object, /) -> None:
        await (await self._started()).FaxDevEndJob(handle)

    async def FaxDevShutdown(self) -> Hresult:
        shutdown = (await self._started()).FaxDevShutdown
        assert shutdown is not None
        return await shutdown()

    def FaxDevReportStatus(self, handle: object, /) -> FaxDevStatus:
        return self._ready().FaxDevReportStatus(handle)

    def FaxDevAbortOperation(self, handle: object, /) -> None:
        self._ready().FaxDevAbortOperation(handle)

    def VfaxDevReportFacts(self, handle: object, /) -> CallFacts:
        report = self._ready().VfaxDevReportFacts
        assert report is not None
        return report(handle)

    async def VfaxDevReportTrunks(self) -> Rows:
        report = (await self._started()).VfaxDevReportTrunks
        assert report is not None
        return await report()

    async def VfaxDevReportPeers(self) -> Rows:
        report = (await self._started()).VfaxDevReportPeers
        assert report is not None
        return await report()

    async def VfaxDevForgetPeers(self, peer: str, number: str, /) -> int:
        forget = (await self._started()).VfaxDevForgetPeers
        assert forget is not None
        return await forget(peer, number)

    def VfaxDevReportAddress(self) -> str:
        report = self._ready().VfaxDevReportAddress
        assert report is not None
        return report()

    def VfaxDevWatchNotices(self, notice: Notice, /) -> None:
        watch = self._ready().VfaxDevWatchNotices
        assert watch is not None
        watch(notice)

    def VfaxDevSendHints(self, handle: object, hints: SendHints, /) -> None:
        take = self._ready().VfaxDevSendHints
        assert take is not None
        take(handle, hints)


class ConfiguredApart(Apart):
    """The same of a provider that offers FaxExtInitializeConfig."""

    async def FaxExtInitializeConfig(self, *callbacks: object) -> Hresult:
        configure = (await self._started()).FaxExtInitializeConfig
        assert configure is not None
        return await configure(*callbacks)  # type: ignore[arg-type]


class Remote:
    """The stimulus of an Apart."""

    def __init__(self, provider: object, configuration: Mapping[str, object]) -> None:
        assert isinstance(provider, Apart)
        self._say = provider.say

    def ring(self, pages: int) -> None:
        self._say(f"ring {pages}")

    def give_up(self) -> None:
        self._say("give_up")

    def ring_and_break_off(self, pages: int) -> None:
        self._say(f"ring_and_break_off {pages}")

    def answering(self) -> str:
        return self._say("answering")

    def busy(self) -> str:
        return self._say("busy")

    def hanging(self) -> str:
        return self._say("hanging")
