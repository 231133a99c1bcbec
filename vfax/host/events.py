"""What the host tells whoever watches it: the command line today, clients and the web page later.

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


HostEvent = (
    ServiceStarted
    | ProviderRefused
    | RingReceived
    | RingDropped
    | JobMoved
    | FaxEnded
    | FaxRecovered
    | ProviderFaulted
    | HostFaulted
    | StorageFailed
    | DeliveryDone
    | DeliveryFailed
    | DeliveryOverdue
    | DeliveriesStalled
    | ServiceStopped
)

Observer = Callable[[HostEvent], None]
