"""Providers from their registration records to devices: load, link, create devices, initialize.

Owns      the start sequence and the state each record is left in, the devices and who uses them, what becomes of a
          provider whose process comes and goes.
Not here  rings and jobs (service.py, jobs.py), what a record must hold (fsp/provider.py), the process (process.py),
          what people are shown of all this (roster.py).
Source    order and states: FAX_PROVIDER_STATUS_ENUM and the provider pages; FaxExtInitializeConfig comes before all
          other initializers, but for a virtual provider FaxDevVirtualDeviceCreation comes before that.
"""

import os
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import trio

from vfax.errors import FaxError
from vfax.fsp.completion import CompletionPort, RingKey
from vfax.fsp.constants import PortFlag, ProviderStatus, Win32
from vfax.fsp.errors import FaxServiceError, ProviderLoadError
from vfax.fsp.provider import (
    Arena,
    Exports,
    FaxLineCallback,
    RefusedRecord,
    Registration,
    RegistrationRecord,
    load_provider,
    probe_exports,
)
from vfax.fsp.structures import VirtualDevices
from vfax.host.blocking import in_threads
from vfax.host.events import (
    DeviceInService,
    DeviceOutOfService,
    Observer,
    ProviderBack,
    ProviderLost,
    ProviderRefused,
    ProviderSaid,
)
from vfax.host.extension_book import ExtensionBook
from vfax.host.extensions import Extension, Extensions, is_noerror, shown
from vfax.host.guard import LOAD, CallTimeouts, Guard, ProviderFault, contained
from vfax.host.process import ProcessProvider
from vfax.host.process_link import ProcessLost, ProcessOptions

MAX_NOTICE: Final = 1_000
MAX_WAITING: Final = 100


@dataclass(slots=True, eq=False)
class HostedProvider:
    """One registered provider and what became of it: `failure` is the error behind any `status` but fpsSUCCESS.

    `returning` says that its process is gone and will be started again.
    """

    record: Registration
    guard: Guard
    status: ProviderStatus = ProviderStatus.fpsSERVER_ERROR
    failure: FaxError | None = None
    exports: Exports | None = None
    arena: Arena | None = None
    line_callback: FaxLineCallback | None = None
    ring_key: RingKey = field(default_factory=RingKey)
    stop: trio.CancelScope = field(default_factory=trio.CancelScope)
    stopped: trio.Event = field(default_factory=trio.Event)
    process: ProcessProvider | None = None
    extension: Extension | None = None
    initialized: bool = False
    returning: bool = False
    device_ids: tuple[int, ...] = ()
    in_service: bool = False

    @property
    def usable(self) -> bool:
        """True when its devices may be used."""
        return self.status is ProviderStatus.fpsSUCCESS

    @property
    def last_error(self) -> Win32:
        """The last error behind its state."""
        if self.failure is None:
            return Win32.NO_ERROR
        return getattr(self.failure, "winerror", Win32.ERROR_GEN_FAILURE)


@dataclass(slots=True, eq=False)
class Device:
    """One virtual device. `job` names the job that has it; taking it is an assignment without a wait in between.

    `flags` are FPF_SEND and FPF_RECEIVE; devices are tried for outgoing faxes in the order of `priority`, from 1.
    `rang_at`: it rang while a job had it, at that time of the loop's clock.
    """

    device_id: int
    name: str
    provider: HostedProvider
    exports: Exports
    job: str | None = None
    flags: PortFlag = PortFlag.FPF_SEND | PortFlag.FPF_RECEIVE | PortFlag.FPF_VIRTUAL
    priority: int = 1
    rang_at: float | None = None

    @property
    def free(self) -> bool:
        """True when a job may take the device."""
        return self.job is None and self.provider.usable

    @property
    def can_send(self) -> bool:
        """True when a job may take it to send."""
        return self.free and PortFlag.FPF_SEND in self.flags


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """How providers are loaded; times in seconds. `call_timeout` is for calls that `timeouts` gives no limit.

    Without `initialize` a provider is loaded and asked for its devices, and no more.
    Limit: `max_devices` of all providers together.
    """

    call_timeout: float = 10.0
    timeouts: CallTimeouts = field(default_factory=CallTimeouts)
    process: ProcessOptions = field(default_factory=ProcessOptions)
    max_devices: int = 10_000
    initialize: bool = True


async def load_all(
    records: Iterable[Registration],
    nursery: trio.Nursery,
    ring_port: CompletionPort,
    options: LoadOptions,
    *,
    observe: Observer,
    on_back: Callable[[HostedProvider], None] = lambda provider: None,
    extensions: Extensions | None = None,
) -> tuple[list[HostedProvider], dict[int, Device]]:
    """Start every provider that is enabled. One that fails keeps its state and reason and costs the others nothing.

    `on_back` is called for a provider whose process was started again, once its devices can be used. `extensions` keeps
    their configuration data; None: they find none, and what they store is forgotten.
    """
    providers: list[HostedProvider] = []
    devices: dict[int, Device] = {}
    extensions = extensions if extensions is not None else Extensions(ExtensionBook(None))
    for record in records:
        if not record.enabled:
            continue
        guard = Guard(record.friendly_name, observe, timeout=options.call_timeout, timeouts=options.timeouts)
        provider = HostedProvider(record, guard, ring_key=RingKey(record.canonical_guid))
        providers.append(provider)
        provider.extension = extensions.extension(guard)
        start = _Start(provider, nursery, ring_port, options, observe, on_back)
        try:
            _refuse_double(record, providers[:-1])
            found = await start.run(devices)
        except ProviderLoadError as why:
            _refuse(provider, why.status, why, observe)
        except FaxServiceError as why:
            _refuse(provider, ProviderStatus.fpsCANT_INIT, why, observe)
        else:
            provider.status = ProviderStatus.fpsSUCCESS
            provider.device_ids = tuple(found)
            devices.update(found)
    return providers, devices


def enter_service(provider: HostedProvider, observe: Observer) -> None:
    """Say that the devices of a usable provider are there."""
    provider.in_service = provider.usable
    for number in provider.device_ids if provider.in_service else ():
        observe(DeviceInService(number))


def leave_service(provider: HostedProvider, observe: Observer) -> None:
    """Say that they are not there any more; once."""
    gone, provider.in_service = provider.in_service, False
    for number in provider.device_ids if gone else ():
        observe(DeviceOutOfService(number))


def _refuse(provider: HostedProvider, status: ProviderStatus, why: FaxError, observe: Observer) -> None:
    provider.status, provider.failure = status, why
    _leave_extensions(provider)
    provider.stop.cancel()
    observe(ProviderRefused(provider.record.friendly_name, str(why)))


def _refuse_double(record: Registration, earlier: list[HostedProvider]) -> None:
    for other in earlier:
        if other.record.canonical_guid == record.canonical_guid:
            why = f"guid {record.guid} is registered for {other.record.friendly_name} already"
            raise ProviderLoadError(ProviderStatus.fpsBAD_GUID, why)


@dataclass(frozen=True, slots=True)
class _Start:
    """The start sequence of one provider."""

    provider: HostedProvider
    nursery: trio.Nursery
    ring_port: CompletionPort
    options: LoadOptions
    observe: Observer
    on_back: Callable[[HostedProvider], None]

    async def run(self, taken: Mapping[int, Device]) -> dict[int, Device]:
        """Load, link, create, configure, initialize; returns the devices. Raises FaxServiceError."""
        provider, guard = self.provider, self.provider.guard
        if isinstance(provider.record, RefusedRecord):
            raise provider.record.failure
        inner: trio.Nursery = await self.nursery.start(_own_tasks, provider, self.observe)
        exports = provider.exports = await self._load(provider.record, inner)
        if exports.FaxDevVirtualDeviceCreation is None:
            why = "it presents no virtual devices, and there are no others"
            raise ProviderLoadError(ProviderStatus.fpsCANT_LINK, why)
        provider.arena = Arena(inner, remove_file=_remove_file)
        if exports.VfaxDevWatchNotices is not None:
            with suppress(FaxServiceError):  # a fault of it has been reported, and costs no faxes
                guard.ask_now(exports.VfaxDevWatchNotices, Notices(provider.record.friendly_name, self.observe))
        created = await guard.ask(exports.FaxDevVirtualDeviceCreation, self.ring_port, provider.ring_key)
        _check_devices(provider, created, taken, self.options.max_devices)
        await self._configure(exports)
        if self.options.initialize:
            provider.line_callback = await guard.ask(exports.FaxDevInitialize, None, provider.arena, None)
            provider.initialized = True
            if provider.process is not None:
                provider.process.mind()
        return {number: Device(number, created.name(number), provider, exports) for number in created.ids}

    async def _configure(self, exports: Exports) -> None:
        """Give the provider the callbacks to stored configuration. Raises ProviderLoadError unless it is content."""
        configure, extension = exports.FaxExtInitializeConfig, self.provider.extension
        if configure is None or extension is None:
            return
        try:
            answer: object = await self.provider.guard.ask(configure, *extension.callbacks)
        except ProviderFault:
            raise
        except FaxServiceError as why:
            raise _cannot_configure(str(why), getattr(why, "winerror", Win32.ERROR_GEN_FAILURE)) from why
        if not is_noerror(answer):
            raise _cannot_configure(f"it answered {shown(answer)}, where success is NOERROR (0)")

    async def _load(self, record: RegistrationRecord, inner: trio.Nursery) -> Exports:
        if record.own_process:
            watcher = _Watch(self.provider, self.observe, self.on_back)
            self.provider.process = ProcessProvider(record, self.options.process, watcher, self.provider.guard.limit)
            exports: Exports = await self._loading(partial(self.provider.process.load, inner))
            return exports
        # in a thread: code that is imported may take its time, or never come to an end
        load = partial(trio.to_thread.run_sync, load_provider, record, abandon_on_cancel=True)
        found = probe_exports(await self._loading(load))
        return found if isinstance(found, Exports) else in_threads(found, operations=self.options.max_devices)

    async def _loading(self, load: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ANN401  # a provider may be anything
        try:
            return await self.provider.guard.within(LOAD, load)
        except ProviderFault as why:
            raise ProviderLoadError(ProviderStatus.fpsCANT_LOAD, str(why), Win32.ERROR_GEN_FAILURE) from why


def _cannot_configure(why: str, winerror: Win32 = Win32.ERROR_GEN_FAILURE) -> ProviderLoadError:
    return ProviderLoadError(ProviderStatus.fpsCANT_INIT, f"FaxExtInitializeConfig: {why}", winerror)


def _leave_extensions(provider: HostedProvider) -> None:
    if provider.extension is not None:
        provider.extension.leave()


@dataclass(frozen=True, slots=True)
class _Watch:
    """Takes the devices of a provider out of service while its process is gone."""

    provider: HostedProvider
    observe: Observer
    on_back: Callable[[HostedProvider], None]

    def lost(self, why: str, back_in: float | None) -> None:
        """The process is gone, and comes back in so many seconds (None: no more)."""
        self.provider.status, self.provider.failure = ProviderStatus.fpsSERVER_ERROR, ProcessLost(why)
        self.provider.returning = back_in is not None
        leave_service(self.provider, self.observe)
        self.observe(ProviderLost(self.provider.record.friendly_name, why, back_in))

    def back(self, starts: int) -> None:
        """The process runs again and its devices are there."""
        self.provider.status, self.provider.failure = ProviderStatus.fpsSUCCESS, None
        self.provider.returning = False
        self.observe(ProviderBack(self.provider.record.friendly_name, starts))
        enter_service(self.provider, self.observe)
        self.on_back(self.provider)


class Notices:
    """Takes what a provider says to the operator, from any thread, to the host's own task. Called in that task first.

    Limit: MAX_NOTICE characters of a sentence, MAX_WAITING sentences that wait for the host; the rest is dropped.
    """

    def __init__(self, provider: str, observe: Observer) -> None:
        self._provider, self._observe = provider, observe
        self._token = trio.lowlevel.current_trio_token()
        self._waiting: deque[str] = deque()

    def __call__(self, sentence: str, /) -> None:
        """Take one; what is no text is passed over."""
        if not isinstance(sentence, str) or len(self._waiting) >= MAX_WAITING:
            return
        self._waiting.append(sentence[:MAX_NOTICE])
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._tell)

    def _tell(self) -> None:
        self._observe(ProviderSaid(self._provider, self._waiting.popleft()))


def _check_devices(provider: HostedProvider, created: object, taken: Mapping[int, Device], max_devices: int) -> None:
    if not isinstance(created, VirtualDevices):
        raise provider.guard.fault("FaxDevVirtualDeviceCreation", f"answered {type(created).__name__}")
    if len(taken) + created.device_count > max_devices:
        why = f"{created.device_count} devices, and {max_devices} are the limit here"
        raise ProviderLoadError(ProviderStatus.fpsCANT_INIT, why)
    for number in created.ids:
        if number in taken:
            why = f"device id {number} belongs to {taken[number].provider.record.friendly_name} already"
            raise ProviderLoadError(ProviderStatus.fpsCANT_INIT, why)


async def _own_tasks(provider: HostedProvider, observe: Observer, task_status: trio.TaskStatus[trio.Nursery]) -> None:
    """Keep the nursery of the provider's own tasks; one that fails takes its provider out of service, nothing else."""

    def out_of_service(why: str) -> ProviderFault:
        provider.status = ProviderStatus.fpsSERVER_ERROR
        provider.failure = fault = provider.guard.fault("a task of its own", why)
        leave_service(provider, observe)
        _leave_extensions(provider)
        return fault

    try:
        with provider.stop, suppress(ProviderFault), contained(out_of_service):
            async with trio.open_nursery() as inner:
                inner.start_soon(trio.sleep_forever)
                task_status.started(inner)
    finally:
        provider.stopped.set()


async def unload(provider: HostedProvider, *, observe: Observer, grace: float) -> None:
    """Shut a provider down and release what it left; it cannot veto."""
    leave_service(provider, observe)
    shutdown = provider.exports.FaxDevShutdown if provider.exports is not None else None
    if shutdown is not None and provider.usable:
        with suppress(FaxServiceError):
            result = await provider.guard.ask(shutdown)
            if result != 0:
                provider.guard.fault(shutdown, f"answered 0x{int(result):08X}")
    provider.status, provider.returning = ProviderStatus.fpsSERVER_ERROR, False
    _leave_extensions(provider)
    provider.stop.cancel()
    if provider.arena is not None:
        with trio.move_on_after(grace):
            await provider.stopped.wait()
        left = provider.arena.close()
        if left.jobs or left.files:
            provider.guard.fault("FaxDevShutdown", f"{len(left.jobs)} jobs and {len(left.files)} files were left")


def _remove_file(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)
