"""What the host tells whoever watches it: the command line, and through event_table.py its clients.

Owns      the events and the way they are handed over. Not here: FAX_EVENT and its numbers (fsp/constants.py).

Observers are called synchronously from the host's task: they must not block, and one that raises is dropped.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from vfax.host.records import FaxRecord


class Direction(StrEnum):
    """Which way a fax goes."""

    RECEIVE = "receive"
    SEND = "send"


@dataclass(frozen=True, slots=True)
class ServiceStarted:
    """Providers are loaded and lines are ready."""

    devices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProviderRefused:
    """A registered provider cannot be used; `sentence` says at which step of the start and why."""

    name: str
    sentence: str


@dataclass(frozen=True, slots=True)
class RingReceived:
    """A device rings and a job begins."""

    job: str
    device_id: int


@dataclass(frozen=True, slots=True)
class RingDropped:
    """A ring that nothing can be done about: unknown or busy device, or the host is closing."""

    device_id: int
    why: str


@dataclass(frozen=True, slots=True)
class DeviceInService:
    """A device can be used from now on: its provider has started."""

    device_id: int


@dataclass(frozen=True, slots=True)
class DeviceOutOfService:
    """A device cannot be used any more: its provider failed, or the service stops."""

    device_id: int


@dataclass(frozen=True, slots=True)
class DeviceIdle:
    """A device that had a job is free again."""

    device_id: int


@dataclass(frozen=True, slots=True)
class JobQueued:
    """A fax was submitted; it waits for a device."""

    job: str


@dataclass(frozen=True, slots=True)
class StatusPosted:
    """A provider said what an operation does, or how it ended: an FS_* value or one of its own, as it was said.

    The final status is told too where the provider reported it without posting it. `page` counts from 1 (0: none).
    """

    job: str
    device_id: int
    status_id: int
    page: int = 0


@dataclass(frozen=True, slots=True)
class AbortAsked:
    """A job is to end: somebody said so, it took too long, or the service stops. `device_id` 0: it was on no device."""

    job: str
    device_id: int = 0


@dataclass(frozen=True, slots=True)
class RoutingBegun:
    """A received document is whole on disk and goes where it belongs."""

    job: str
    device_id: int


@dataclass(frozen=True, slots=True)
class JobDeleted:
    """All is done for a job; its number means nothing any more. `device_id`: where it was last, 0 for nowhere."""

    job: str
    device_id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobMoved:
    """Live news of a running fax: what it does now, in the contract's word, and how far it is.

    `page` counts from 1 (0: none yet); `done` of `total` are its rows (receiving; total 0) or octets (sending).
    """

    job: str
    direction: Direction
    status: str
    page: int = 0
    done: int = 0
    total: int = 0
    rate_bps: int = 0
    remote_id: str = ""
    caller_id: str = ""


@dataclass(frozen=True, slots=True)
class FaxEnded:
    """A fax is over. `document` and `beside` are None when nothing was kept (sent faxes, empty calls)."""

    record: FaxRecord
    document: Path | None
    beside: Path | None


@dataclass(frozen=True, slots=True)
class FaxRecovered:
    """What a crash had left in the spool was delivered (marked incomplete where it is) or put aside."""

    job: str
    document: Path
    sentence: str


@dataclass(frozen=True, slots=True)
class ProviderFaulted:
    """A provider raised, hung or broke the contract; the host carries on. `call` is the export's name."""

    provider: str
    call: str
    why: str


@dataclass(frozen=True, slots=True)
class ProviderLost:
    """The process of a provider is gone, and its devices are out of service. None: it is not started again."""

    provider: str
    sentence: str
    back_in: float | None


@dataclass(frozen=True, slots=True)
class ProviderBack:
    """The process of a provider runs again, and its devices are back. `starts` counts from when it last ran long."""

    provider: str
    starts: int


@dataclass(frozen=True, slots=True)
class ProviderSaid:
    """A provider has a sentence for the operator: a registration failed, a trunk is back."""

    provider: str
    sentence: str


@dataclass(frozen=True, slots=True)
class HostFaulted:
    """A fault of the host itself ended one job; the others go on. `trace` is for the people who mend it."""

    what: str
    trace: str


@dataclass(frozen=True, slots=True)
class StorageFailed:
    """The spool could not be written; the fax stays where it is and is found at the next start."""

    job: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryDone:
    """A target has a received fax. `attempt` counts from 1."""

    job: str
    delivery: int
    rule: str
    kind: str
    attempt: int
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryFailed:
    """A target does not have a received fax yet; `retry_at` None: it is given up until somebody asks for it again."""

    job: str
    delivery: int
    rule: str
    kind: str
    attempt: int
    sentence: str
    retry_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryOverdue:
    """An alarm, given once: a received fax has been on its way to a target for too long."""

    job: str
    delivery: int
    rule: str
    kind: str
    waiting_since: datetime
    sentence: str


@dataclass(frozen=True, slots=True)
class DeliveriesStalled:
    """The job store cannot be asked what to deliver; said once, until it can be asked again."""

    sentence: str


@dataclass(frozen=True, slots=True)
class ServiceStopped:
    """The last event."""


@dataclass(frozen=True, slots=True)
class IdleLongEnough:
    """Nothing has kept the service alive for so many seconds: it stops by itself."""

    seconds: float


HostEvent = (
    ServiceStarted
    | ProviderRefused
    | RingReceived
    | RingDropped
    | DeviceInService
    | DeviceOutOfService
    | DeviceIdle
    | JobQueued
    | StatusPosted
    | AbortAsked
    | RoutingBegun
    | JobDeleted
    | JobMoved
    | FaxEnded
    | FaxRecovered
    | ProviderFaulted
    | ProviderLost
    | ProviderBack
    | ProviderSaid
    | HostFaulted
    | StorageFailed
    | DeliveryDone
    | DeliveryFailed
    | DeliveryOverdue
    | DeliveriesStalled
    | IdleLongEnough
    | ServiceStopped
)

Observer = Callable[[HostEvent], None]
