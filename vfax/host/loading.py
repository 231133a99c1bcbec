"""Providers from their registration records to devices: load, link, create devices, initialize.

Owns      the start sequence and the state each record is left in, the devices and who uses them.
Not here  rings and jobs (service.py, jobs.py), what a record must hold (fsp/provider.py).
Source    order and states: FAX_PROVIDER_STATUS_ENUM and the provider pages; for a virtual provider
          FaxDevVirtualDeviceCreation comes before FaxDevInitialize.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

import trio

from vfax.errors import FaxError
from vfax.fsp.completion import CompletionPort, RingKey
from vfax.fsp.constants import PortFlag, ProviderStatus
from vfax.fsp.errors import FaxServiceError, ProviderLoadError
from vfax.fsp.provider import Arena, Exports, FaxLineCallback, RegistrationRecord, load_provider, probe_exports
from vfax.fsp.structures import VirtualDevices
from vfax.host.blocking import in_threads
from vfax.host.events import DeviceInService, DeviceOutOfService, Observer, ProviderRefused
from vfax.host.guard import Guard, ProviderFault


@dataclass(slots=True, eq=False)
class HostedProvider:
    """One registered provider and what became of it: `failure` is the error behind any `status` but fpsSUCCESS."""

    record: RegistrationRecord
    guard: Guard
    status: ProviderStatus = ProviderStatus.fpsSERVER_ERROR
    failure: FaxError | None = None
    exports: Exports | None = None
    arena: Arena | None = None
    line_callback: FaxLineCallback | None = None
    ring_key: RingKey = field(default_factory=RingKey)
    stop: trio.CancelScope = field(default_factory=trio.CancelScope)
    stopped: trio.Event = field(default_factory=trio.Event)
    device_ids: tuple[int, ...] = ()
    in_service: bool = False

    @property
    def usable(self) -> bool:
        """True when its devices may be used."""
        return self.status is ProviderStatus.fpsSUCCESS


@dataclass(slots=True, eq=False)
class Device:
    """One virtual device. `job` names the job that has it; taking it is an assignment without a wait in between.

    `flags` are FPF_SEND and FPF_RECEIVE; devices are tried for outgoing faxes in the order of `priority`, from 1.
    """

    device_id: int
    name: str
    provider: HostedProvider
    exports: Exports
    job: str | None = None
    flags: PortFlag = PortFlag.FPF_SEND | PortFlag.FPF_RECEIVE | PortFlag.FPF_VIRTUAL
    priority: int = 1

    @property
    def free(self) -> bool:
        """True when a job may take the device."""
        return self.job is None and self.provider.usable


async def load_all(
    records: Iterable[RegistrationRecord],
    nursery: trio.Nursery,
    ring_port: CompletionPort,
    *,
    observe: Observer,
    call_timeout: float,
    max_devices: int,
) -> tuple[list[HostedProvider], dict[int, Device]]:
    """Start every provider. One that fails keeps its state and reason and costs the others nothing."""
    providers: list[HostedProvider] = []
    devices: dict[int, Device] = {}
    for record in records:
        guard = Guard(record.friendly_name, observe, timeout=call_timeout)
        provider = HostedProvider(record, guard, ring_key=RingKey(record.canonical_guid))
        providers.append(provider)
        try:
            _refuse_double(record, providers[:-1])
            found = await _start(provider, nursery, ring_port, devices, max_devices, observe)
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
    provider.stop.cancel()
    observe(ProviderRefused(provider.record.friendly_name, str(why)))


def _refuse_double(record: RegistrationRecord, earlier: list[HostedProvider]) -> None:
    for other in earlier:
        if other.record.canonical_guid == record.canonical_guid:
            why = f"guid {record.guid} is registered for {other.record.friendly_name} already"
            raise ProviderLoadError(ProviderStatus.fpsBAD_GUID, why)


async def _start(
    provider: HostedProvider,
    nursery: trio.Nursery,
    ring_port: CompletionPort,
    taken: dict[int, Device],
    max_devices: int,
    observe: Observer,
) -> dict[int, Device]:
    found = probe_exports(_load(provider))
    exports = provider.exports = found if isinstance(found, Exports) else in_threads(found, operations=max_devices)
    if exports.FaxDevVirtualDeviceCreation is None:
        raise ProviderLoadError(ProviderStatus.fpsCANT_LINK, "it presents no virtual devices, and there are no others")
    guard = provider.guard
    inner: trio.Nursery = await nursery.start(_own_tasks, provider, observe)
    provider.arena = Arena(inner, remove_file=_remove_file)
    created = await guard.ask(exports.FaxDevVirtualDeviceCreation, ring_port, provider.ring_key)
    _check_devices(provider, created, taken, max_devices)
    provider.line_callback = await guard.ask(exports.FaxDevInitialize, None, provider.arena, None)
    return {number: Device(number, created.name(number), provider, exports) for number in created.ids}


def _load(provider: HostedProvider) -> object:
    try:
        return provider.guard.ask_now(load_provider, provider.record)
    except ProviderFault as why:
        raise ProviderLoadError(ProviderStatus.fpsCANT_LOAD, str(why)) from why


def _check_devices(provider: HostedProvider, created: object, taken: dict[int, Device], max_devices: int) -> None:
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
    try:
        with provider.stop:
            async with trio.open_nursery() as inner:
                inner.start_soon(trio.sleep_forever)
                task_status.started(inner)
    except Exception as why:
        provider.status = ProviderStatus.fpsSERVER_ERROR
        provider.failure = provider.guard.fault("a task of its own", _innermost(why))
        leave_service(provider, observe)
    finally:
        provider.stopped.set()


def _innermost(why: BaseException) -> str:
    while isinstance(why, BaseExceptionGroup) and why.exceptions:
        why = why.exceptions[0]
    return f"{type(why).__name__}: {why}"


async def unload(provider: HostedProvider, *, observe: Observer, grace: float) -> None:
    """Shut a provider down and release what it left; it cannot veto."""
    leave_service(provider, observe)
    shutdown = provider.exports.FaxDevShutdown if provider.exports is not None else None
    if shutdown is not None and provider.usable:
        with suppress(FaxServiceError):
            result = await provider.guard.ask(shutdown)
            if result != 0:
                provider.guard.fault(shutdown, f"answered 0x{int(result):08X}")
    provider.status = ProviderStatus.fpsSERVER_ERROR
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
