"""What became of each registered provider, as people and programs are shown it.

Owns      rows of provider, state, reason, last error and devices: of a running service, or of what one would load.
Not here  loading (loading.py), tables and JSON on the terminal (cli/devices.py).
Source    FAX_PROVIDER_STATUS_ENUM, with the last error kept beside it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import trio

from vfax.fsp.completion import CompletionPort
from vfax.fsp.constants import PortFlag, ProviderStatus
from vfax.fsp.provider import Registration
from vfax.host.extension_book import ExtensionBook
from vfax.host.extensions import Extensions
from vfax.host.loading import Device, HostedProvider, LoadOptions, load_all


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRow:
    """One device. `job` names the job that uses it; "" where none does, or where nothing runs."""

    device_id: int
    name: str
    receives: bool = True
    sends: bool = True
    priority: int = 1
    job: str = ""

    def to_json(self) -> dict[str, object]:
        """The row as it is printed."""
        return {
            "id": self.device_id,
            "name": self.name,
            "receives": self.receives,
            "sends": self.sends,
            "priority": self.priority,
            "job": self.job,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderRow:
    """One registration. `status` None: it is not enabled, so nothing was tried. `reason` is "" where all is well.

    `initialized` tells whether FaxDevInitialize was called: fpsSUCCESS without it says that all before it went well.
    `returning`: its process is gone and will be started again.
    """

    provider: str
    guid: str
    image_name: str
    own_process: bool
    status: ProviderStatus | None
    reason: str = ""
    last_error: int = 0
    initialized: bool = False
    returning: bool = False
    devices: tuple[DeviceRow, ...] = ()

    @property
    def state(self) -> str:
        """The state in its published name, or `disabled`."""
        return "disabled" if self.status is None else self.status.name

    def to_json(self) -> dict[str, object]:
        """The row as it is printed."""
        return {
            "provider": self.provider,
            "guid": self.guid,
            "image_name": self.image_name,
            "process": "own" if self.own_process else "host",
            "state": self.state,
            "reason": self.reason,
            "last_error": self.last_error,
            "initialized": self.initialized,
            "returning": self.returning,
            "devices": [device.to_json() for device in self.devices],
        }


def rows(
    providers: Sequence[HostedProvider], devices: Mapping[int, Device], registrations: Iterable[Registration] = ()
) -> list[ProviderRow]:
    """How providers and devices of a service stand now; `registrations` adds those that are not enabled."""
    loaded = [_row(provider, devices) for provider in providers]
    return loaded + [_disabled(record) for record in registrations if not record.enabled]


async def look(
    registrations: Sequence[Registration], options: LoadOptions, book: ExtensionBook | None = None
) -> list[ProviderRow]:
    """What a service would load: each provider is loaded, linked, asked for its devices and given its configuration.

    Then it is let go: FaxDevInitialize is not called, so nothing listens, dials or rings. `options.initialize` must be
    False. `book` has the configuration data of providers: they see a copy, and what they store is forgotten.
    """
    port = CompletionPort()
    extensions = Extensions(book.forgetful()) if book is not None else None
    async with trio.open_nursery() as nursery:
        providers, devices = await load_all(
            registrations, nursery, port, options, observe=lambda event: None, extensions=extensions
        )
        found = rows(providers, devices, registrations)
        for provider in providers:
            provider.stop.cancel()
    port.close()
    return found


def _row(provider: HostedProvider, devices: Mapping[int, Device]) -> ProviderRow:
    return ProviderRow(
        provider=provider.record.friendly_name,
        guid=provider.record.canonical_guid,
        image_name=provider.record.image_name,
        own_process=provider.record.own_process,
        status=provider.status,
        reason=str(provider.failure) if provider.failure is not None else "",
        last_error=int(provider.last_error),
        initialized=provider.initialized,
        returning=provider.returning,
        devices=tuple(_device(device) for device in devices.values() if device.provider is provider),
    )


def _device(device: Device) -> DeviceRow:
    return DeviceRow(
        device_id=device.device_id,
        name=device.name,
        receives=PortFlag.FPF_RECEIVE in device.flags,
        sends=PortFlag.FPF_SEND in device.flags,
        priority=device.priority,
        job=device.job or "",
    )


def _disabled(record: Registration) -> ProviderRow:
    return ProviderRow(
        provider=record.friendly_name,
        guid=record.canonical_guid,
        image_name=record.image_name,
        own_process=record.own_process,
        status=None,
    )
