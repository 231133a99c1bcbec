"""What a provider must and may export, and how a host gets hold of one.

Owns      the Protocols of the exports under their documented names, probing, registration records, loading.
Not here  running a provider (host/), being one (device/), the arena (arena.py), stored configuration (extension.py).
Source    the published list of FSP functions and their pages; registration: IFaxServer::RegisterDeviceProvider;
          load states: FAX_PROVIDER_STATUS_ENUM.

How a C function becomes a Python one:
  * TRUE is returning, with the out parameters as the result; FALSE is raising FaxServiceError (`winerror` is the last
    error). Any other exception counts as FALSE too, and is a bug of the provider.
  * A provider has one of two surfaces. Async: the exports that may take time (TAKES_TIME) are coroutine functions of
    the trio run that initialized it. Blocking: they are plain functions that block the calling thread, whichever it is.
    `probe_exports` looks at each with inspect.iscoroutinefunction; a mixture cannot be linked.
  * `FaxDevReportStatus`, `FaxDevAbortOperation`, `VfaxDevReportFacts`, `VfaxDevWatchNotices` and the line callback
    never wait, so they are plain functions in both, and may be called from any task and any thread, while Send or
    Receive runs too.
  * Presence is meaning: an optional export is offered by having it. Do not inherit stubs.
"""

import importlib
import inspect
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, cast

from vfax.errors import FaxError
from vfax.fsp.arena import Arena as Arena  # named here too: it is part of what providers are given
from vfax.fsp.arena import Leftovers as Leftovers
from vfax.fsp.arena import Nursery as Nursery
from vfax.fsp.completion import CompletionPort, RingKey, StatusKey
from vfax.fsp.constants import FSPI_VERSION, Hresult, ProviderStatus, Win32
from vfax.fsp.errors import ProviderLoadError
from vfax.fsp.extension import (
    FaxExtFreeBuffer,
    FaxExtGetData,
    FaxExtRegisterForEvents,
    FaxExtSetData,
    FaxExtUnregisterForEvents,
)
from vfax.fsp.structures import CallFacts, FaxDevStatus, FaxReceive, FaxSend, SendHints, VirtualDevices

Rows = Sequence[Mapping[str, object]]
"""What a provider tells of itself: objects as JSON has them."""


class FaxLineCallback(Protocol):
    """PFAX_LINECALLBACK: how the service tells the provider about line events; plain, from any thread.

    The one documented use for virtual devices: FaxHandle None, hDevice the device id, dwMessage LINE_DEVSPECIFIC,
    dwParam1 and dwParam2 non-zero where receiving and sending are enabled.
    """

    def __call__(
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
        """Take one message; arguments go by position."""


FaxSendCallback = Callable[[object, object | None, int, int], bool]
"""PFAX_SEND_CALLBACK(FaxHandle, CallHandle, Reserved1, Reserved2): False means that the provider must end the call."""

FaxServiceCallback = Callable[[object, int, int, int, int], bool]
"""PFAX_SERVICE_CALLBACK: reserved, never used by current services; pass None."""


class FaxProvider(Protocol):
    """The exports every provider has. Arguments go by position."""

    async def FaxDevInitialize(
        self, LineAppHandle: object | None, HeapHandle: Arena, FaxServiceCallback: FaxServiceCallback | None, /
    ) -> FaxLineCallback:
        """Do all global initialization. Failing means that none of the provider's devices is used."""
        ...

    async def FaxDevStartJob(
        self,
        LineHandle: object | None,
        DeviceId: int,
        CompletionPortHandle: CompletionPort,
        CompletionKey: StatusKey,
        /,
    ) -> object:
        """Begin a job on a device and return its FaxHandle: any object but None, known by its identity.

        A line that is in use is no failure here: Send and Receive then fail with FS_LINE_UNAVAILABLE.
        """
        ...

    async def FaxDevSend(self, FaxHandle: object, FaxSend: FaxSend, FaxSendCallback: FaxSendCallback | None, /) -> None:
        """Dial, transmit the whole document, hang up."""

    async def FaxDevReceive(
        self, FaxHandle: object, CallHandle: object | None, FaxReceive: FaxReceive, /
    ) -> FaxReceive:
        """Answer, receive the whole document into the existing file, hang up.

        Returns the structure with the name and number of the receiving device filled in.
        """
        ...

    def FaxDevReportStatus(self, FaxHandle: object, /) -> FaxDevStatus:
        """Tell what the operation does or how it ended; at any time from StartJob to EndJob, from any thread."""
        ...

    def FaxDevAbortOperation(self, FaxHandle: object, /) -> None:
        """Ask for the end of the operation and return at once; latched when none runs yet; from any thread."""

    async def FaxDevEndJob(self, FaxHandle: object, /) -> None:
        """End the job: no status is posted any more and the handle is dead."""


class VirtualDeviceProvider(FaxProvider, Protocol):
    """A provider that presents virtual devices."""

    async def FaxDevVirtualDeviceCreation(
        self, CompletionPort: CompletionPort, CompletionKey: RingKey, /
    ) -> VirtualDevices:
        """Take the ring port and tell how many devices there are. May come before or after FaxDevInitialize."""
        ...


class StoppableProvider(FaxProvider, Protocol):
    """A provider with something to release when it is unloaded."""

    async def FaxDevShutdown(self) -> Hresult:
        """Release what FaxDevInitialize acquired. Cannot veto: the provider is unloaded whatever the result."""
        ...


class ConfiguredProvider(FaxProvider, Protocol):
    """A provider that keeps configuration data with its service."""

    async def FaxExtInitializeConfig(
        self,
        FaxExtGetData: FaxExtGetData,
        FaxExtSetData: FaxExtSetData,
        FaxExtRegisterForEvents: FaxExtRegisterForEvents,
        FaxExtUnregisterForEvents: FaxExtUnregisterForEvents,
        FaxExtFreeBuffer: FaxExtFreeBuffer,
        /,
    ) -> Hresult:
        """Keep the callbacks, for as long as the provider is loaded, and read what is needed (extension.py).

        Comes after FaxDevVirtualDeviceCreation and before FaxDevInitialize. Anything but NOERROR (S_OK) puts the whole
        provider into an error state.
        """
        ...


class FactsProvider(FaxProvider, Protocol):
    """A provider with our own extension."""

    def VfaxDevReportFacts(self, FaxHandle: object, /) -> CallFacts:
        """As FaxDevReportStatus, with all that is known about the call."""
        ...


class HintedProvider(FaxProvider, Protocol):
    """A provider with our own extension for sending."""

    def VfaxDevSendHints(self, FaxHandle: object, Hints: SendHints, /) -> None:
        """Say how the document is to be sent; between StartJob and Send, from any thread."""


class ReachableProvider(FaxProvider, Protocol):
    """A provider with our own extension for people who want to know where it can be called."""

    def VfaxDevReportAddress(self) -> str:
        """Where calls come in, as `HOST:PORT`; "" while there is no such place. After FaxDevInitialize."""
        ...


class TrunkedProvider(FaxProvider, Protocol):
    """A provider with our own extension for people who want to know how its trunks fare, and what it has learned.

    Rows are objects as JSON has them; a host shows what it knows of them and passes the rest on.
    """

    async def VfaxDevReportTrunks(self) -> Rows:
        """How every trunk fares. After FaxDevInitialize."""
        ...

    async def VfaxDevReportPeers(self) -> Rows:
        """What was learned of peers. After FaxDevInitialize."""
        ...

    async def VfaxDevForgetPeers(self, Peer: str, Number: str, /) -> int:
        """Forget what was learned of a peer and a number, "" for any; the number of entries. After FaxDevInitialize."""
        ...


Notice = Callable[[str], None]
"""Takes a sentence for the operator; from any thread, returns at once."""


class TalkingProvider(FaxProvider, Protocol):
    """A provider with our own extension for what the operator should know while no call runs: registrations that fail,
    trunks that go and come back.
    """

    def VfaxDevWatchNotices(self, Notice: Notice, /) -> None:
        """From now on say each sentence to `Notice`, and to no other. May come before FaxDevInitialize."""


REQUIRED: Final = (
    "FaxDevInitialize",
    "FaxDevStartJob",
    "FaxDevSend",
    "FaxDevReceive",
    "FaxDevReportStatus",
    "FaxDevAbortOperation",
    "FaxDevEndJob",
)
OPTIONAL: Final = (
    "FaxDevVirtualDeviceCreation",
    "FaxDevShutdown",
    "FaxDevConfigure",
    "FaxExtInitializeConfig",
    "VfaxDevReportFacts",
    "VfaxDevSendHints",
    "VfaxDevReportAddress",
    "VfaxDevReportTrunks",
    "VfaxDevReportPeers",
    "VfaxDevForgetPeers",
    "VfaxDevWatchNotices",
)


TAKES_TIME: Final = (
    "FaxDevInitialize",
    "FaxDevVirtualDeviceCreation",
    "FaxDevStartJob",
    "FaxDevSend",
    "FaxDevReceive",
    "FaxDevEndJob",
    "FaxDevShutdown",
    "FaxExtInitializeConfig",
    "VfaxDevReportTrunks",
    "VfaxDevReportPeers",
    "VfaxDevForgetPeers",
)
"""Exports that may wait: coroutine functions of an async provider, plain functions of a blocking one."""
NEVER_WAITS: Final = ("FaxDevReportStatus", "FaxDevAbortOperation", "VfaxDevReportFacts", "VfaxDevWatchNotices")
"""Exports that are plain functions of every provider."""


InitializeConfig = Callable[
    [FaxExtGetData, FaxExtSetData, FaxExtRegisterForEvents, FaxExtUnregisterForEvents, FaxExtFreeBuffer],
    Awaitable[Hresult],
]
BlockingInitializeConfig = Callable[
    [FaxExtGetData, FaxExtSetData, FaxExtRegisterForEvents, FaxExtUnregisterForEvents, FaxExtFreeBuffer], Hresult
]


@dataclass(frozen=True, slots=True)
class Exports:
    """The resolved exports of one async provider; an optional one it does not offer is None."""

    FaxDevInitialize: Callable[[object | None, Arena, FaxServiceCallback | None], Awaitable[FaxLineCallback]]
    FaxDevStartJob: Callable[[object | None, int, CompletionPort, StatusKey], Awaitable[object]]
    FaxDevSend: Callable[[object, FaxSend, FaxSendCallback | None], Awaitable[None]]
    FaxDevReceive: Callable[[object, object | None, FaxReceive], Awaitable[FaxReceive]]
    FaxDevReportStatus: Callable[[object], FaxDevStatus]
    FaxDevAbortOperation: Callable[[object], None]
    FaxDevEndJob: Callable[[object], Awaitable[None]]
    FaxDevVirtualDeviceCreation: Callable[[CompletionPort, RingKey], Awaitable[VirtualDevices]] | None = None
    FaxDevShutdown: Callable[[], Awaitable[Hresult]] | None = None
    FaxDevConfigure: Callable[..., object] | None = None
    FaxExtInitializeConfig: InitializeConfig | None = None
    VfaxDevReportFacts: Callable[[object], CallFacts] | None = None
    VfaxDevSendHints: Callable[[object, SendHints], None] | None = None
    VfaxDevReportAddress: Callable[[], str] | None = None
    VfaxDevReportTrunks: Callable[[], Awaitable[Rows]] | None = None
    VfaxDevReportPeers: Callable[[], Awaitable[Rows]] | None = None
    VfaxDevForgetPeers: Callable[[str, str], Awaitable[int]] | None = None
    VfaxDevWatchNotices: Callable[[Notice], None] | None = None

    @property
    def virtual(self) -> bool:
        """True when the provider presents virtual devices."""
        return self.FaxDevVirtualDeviceCreation is not None


@dataclass(frozen=True, slots=True)
class BlockingExports:
    """The resolved exports of one blocking provider, for any thread; an optional one it does not offer is None."""

    FaxDevInitialize: Callable[[object | None, Arena, FaxServiceCallback | None], FaxLineCallback]
    FaxDevStartJob: Callable[[object | None, int, CompletionPort, StatusKey], object]
    FaxDevSend: Callable[[object, FaxSend, FaxSendCallback | None], None]
    FaxDevReceive: Callable[[object, object | None, FaxReceive], FaxReceive]
    FaxDevReportStatus: Callable[[object], FaxDevStatus]
    FaxDevAbortOperation: Callable[[object], None]
    FaxDevEndJob: Callable[[object], None]
    FaxDevVirtualDeviceCreation: Callable[[CompletionPort, RingKey], VirtualDevices] | None = None
    FaxDevShutdown: Callable[[], Hresult] | None = None
    FaxDevConfigure: Callable[..., object] | None = None
    FaxExtInitializeConfig: BlockingInitializeConfig | None = None
    VfaxDevReportFacts: Callable[[object], CallFacts] | None = None
    VfaxDevSendHints: Callable[[object, SendHints], None] | None = None
    VfaxDevReportAddress: Callable[[], str] | None = None
    VfaxDevReportTrunks: Callable[[], Rows] | None = None
    VfaxDevReportPeers: Callable[[], Rows] | None = None
    VfaxDevForgetPeers: Callable[[str, str], int] | None = None
    VfaxDevWatchNotices: Callable[[Notice], None] | None = None

    @property
    def virtual(self) -> bool:
        """True when the provider presents virtual devices."""
        return self.FaxDevVirtualDeviceCreation is not None


def probe_exports(provider: object) -> Exports | BlockingExports:
    """Resolve the exports of a provider (an instance or a module) by name; their type tells its surface.

    Raises ProviderLoadError with fpsCANT_LINK, naming the export, when a required one is missing, when one that is
    there cannot be called, or when some that may wait are coroutine functions and others are not.
    """
    found: dict[str, object] = {}
    for name in (*REQUIRED, *OPTIONAL):
        export = getattr(provider, name, None)
        if export is not None and not callable(export):
            raise _cannot_link(f"{name} is not a function")
        if export is None and name in REQUIRED:
            raise _cannot_link(f"required export {name} is missing")
        found[name] = export
    return cast("Callable[..., Exports | BlockingExports]", _surface(found))(**found)


def _surface(found: Mapping[str, object]) -> type[Exports] | type[BlockingExports]:
    for name in NEVER_WAITS:
        if _is_coroutine_function(found[name]):
            raise _cannot_link(f"{name} is a coroutine function, but it must answer in any thread without waiting")
    here = [name for name in TAKES_TIME if found[name] is not None]
    waiting = [name for name in here if _is_coroutine_function(found[name])]
    plain = [name for name in here if name not in waiting]
    if waiting and plain:
        raise _cannot_link(
            f"{waiting[0]} is a coroutine function and {plain[0]} is not: be one or the other throughout"
        )
    return Exports if waiting else BlockingExports


def _is_coroutine_function(export: object) -> bool:
    """Also for an object that is called as one."""
    called = getattr(type(export), "__call__", None)  # noqa: B004  # its kind is asked for, not whether it is there
    return inspect.iscoroutinefunction(export) or inspect.iscoroutinefunction(called)


def _cannot_link(why: str) -> ProviderLoadError:
    return ProviderLoadError(ProviderStatus.fpsCANT_LINK, why, Win32.ERROR_PROC_NOT_FOUND)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationRecord:
    """How a provider is registered. `image_name` is its entry point, `package.module:attribute`.

    The entry point is called with `configuration` and returns the provider; with `own_process` that is done in another
    process, and the configuration must be what JSON can say. One that is not `enabled` is not loaded. A wrong field
    raises ProviderLoadError, which names it: fpsBAD_GUID, fpsBAD_VERSION, fpsCANT_LOAD (image_name) or fpsSERVER_ERROR.
    """

    guid: str
    friendly_name: str
    image_name: str
    tsp_name: str = ""
    fspi_version: int = FSPI_VERSION
    capabilities: int = 0
    configuration: Mapping[str, object] = field(default_factory=dict)
    own_process: bool = False
    enabled: bool = True

    def __post_init__(self) -> None:
        status = ProviderStatus
        _require(_is_guid(self.guid), status.fpsBAD_GUID, f"guid: {self.guid!r} is not a GUID")
        version = f"fspi_version: {self.fspi_version!r} is not {FSPI_VERSION:#010x}"
        _require(self.fspi_version == FSPI_VERSION, status.fpsBAD_VERSION, version)
        named = isinstance(self.friendly_name, str) and bool(self.friendly_name.strip())
        _require(named, status.fpsSERVER_ERROR, "friendly_name: must not be empty")
        image = f"image_name: {self.image_name!r} is not of the form package.module:attribute"
        _require(_is_entry_point(self.image_name), status.fpsCANT_LOAD, image)
        tsp = f'tsp_name: {self.tsp_name!r}, where a virtual provider has ""'
        _require(isinstance(self.tsp_name, str), status.fpsSERVER_ERROR, tsp)
        capabilities = f"capabilities: {self.capabilities!r} is not 0"
        _require(self.capabilities == 0, status.fpsSERVER_ERROR, capabilities)
        _require(isinstance(self.configuration, Mapping), status.fpsSERVER_ERROR, "configuration: not a mapping")

    @property
    def canonical_guid(self) -> str:
        """The GUID in its one spelling: braces, capitals."""
        return f"{{{uuid.UUID(self.guid)}}}".upper()


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedRecord:
    """What somebody registered and is no registration record: its names as they were given, and why."""

    guid: str
    friendly_name: str
    image_name: str
    failure: ProviderLoadError
    own_process: bool = False
    enabled: bool = True

    @property
    def canonical_guid(self) -> str:
        """The GUID as it was given, for it may be none."""
        return self.guid


Registration = RegistrationRecord | RefusedRecord


def register(*, guid: str, friendly_name: str, image_name: str, **more: Any) -> Registration:  # noqa: ANN401
    """Make a registration record, or what stands for one whose fields are wrong, so that people can be told of it."""
    try:
        return RegistrationRecord(guid=guid, friendly_name=friendly_name, image_name=image_name, **more)
    except ProviderLoadError as why:
        kept = {name: bool(more[name]) for name in ("own_process", "enabled") if name in more}
        return RefusedRecord(guid=guid, friendly_name=friendly_name, image_name=image_name, failure=why, **kept)


def _require(holds: bool, status: ProviderStatus, why: str) -> None:
    if not holds:
        raise ProviderLoadError(status, why)


def _is_guid(text: object) -> bool:
    try:
        return isinstance(text, str) and uuid.UUID(text).int != 0
    except ValueError:
        return False


def _is_entry_point(text: object) -> bool:
    if not isinstance(text, str):
        return False
    module, _, attribute = text.partition(":")
    return all(part.isidentifier() for name in (module, attribute) for part in name.split("."))


def check_registrations(records: Iterable[RegistrationRecord]) -> None:
    """Raise ProviderLoadError (fpsBAD_GUID) when two records have one GUID."""
    seen: dict[str, str] = {}
    for record in records:
        other = seen.get(record.canonical_guid)
        if other is not None:
            why = f"guid: {record.canonical_guid} of {record.friendly_name!r} is registered for {other!r} already"
            raise ProviderLoadError(ProviderStatus.fpsBAD_GUID, why)
        seen[record.canonical_guid] = record.friendly_name


_LOAD_FAILURES: Final = (
    ImportError,
    SyntaxError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    OSError,
    FaxError,
)


def load_provider(record: RegistrationRecord) -> object:
    """Import the entry point of `record`, call it with the configuration, and return the provider it makes.

    Raises ProviderLoadError: fpsCANT_LOAD when it cannot be imported or made (the reason is the `__cause__`),
    fpsCANT_LINK when a required export is missing.
    """
    module_name, _, attribute = record.image_name.partition(":")
    try:
        factory: object = importlib.import_module(module_name)
        for name in attribute.split("."):
            factory = getattr(factory, name)
    except _LOAD_FAILURES as why:
        raise _cannot_load(record, why, Win32.ERROR_MOD_NOT_FOUND) from why
    if not callable(factory):
        raise _cannot_load(record, "it is not a function", Win32.ERROR_PROC_NOT_FOUND)
    try:
        provider: object = factory(record.configuration)
    except _LOAD_FAILURES as why:
        raise _cannot_load(record, why, Win32.ERROR_GEN_FAILURE) from why
    probe_exports(provider)
    return provider


def _cannot_load(record: RegistrationRecord, why: object, winerror: Win32) -> ProviderLoadError:
    return ProviderLoadError(ProviderStatus.fpsCANT_LOAD, f"{record.image_name}: {why}", winerror)
