"""The door between clients and the host: what the API asks, and in which values it is answered.

Owns      `HostDoor`, the protocol the host implements over its queue, store and devices; the values only it needs.
Not here  who may ask what (clients.py, api.py check that first), HTTP (api.py), events and registrations (notify.py).
Source    the client functions of winfax.h that stand behind each method are named where there is one.

Rules for the implementer: every method is awaited on the host's trio task and must not block it; a job number is a
DWORD. What is refused is raised: InvalidParameter (87) for a job, fax, delivery or device that does not exist or an
order that its state does not allow, DocumentError for a document that is none, StoreError and NotReady for a host that
cannot serve just now. Anything else that escapes is a fault of the host: the client hears 500 and one sentence.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from vfax.fsp.constants import DeviceState, JobStatusEnum, PortFlag
from vfax.host.events import JobMoved
from vfax.host.store.values import (
    DeliveryAttempt,
    DeliveryState,
    Priority,
    StoredAttempt,
    StoredDelivery,
    StoredEvent,
    StoredFax,
    StoredJob,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerInfo:
    """The host at a glance. `counts` are jobs by status; `running` the numbers of those on the line."""

    host: str
    version: str
    queue_paused: bool = False
    counts: Mapping[JobStatusEnum, int] = field(default_factory=dict)
    running: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceInfo:
    """One device (FAX_PORT_INFO). `job` is what uses it now; `priority` 1 is asked first when a fax goes out.

    `flags` are FPF_RECEIVE, FPF_SEND and FPF_VIRTUAL. `reason`: why it is FPS_OFFLINE.
    """

    device_id: int
    name: str
    provider: str
    state: DeviceState
    flags: PortFlag
    job: int | None = None
    priority: int = 1
    tsid: str = ""
    csid: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A document as a client sent it, spooled to `path`; the API removes what is there when `submit` is over.

    Take it by renaming or copying it. `file_name` and `media_type` are what the client says of it: data, not to trust.
    """

    path: Path
    octets: int
    file_name: str = ""
    media_type: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressee:
    """Whom a client wants to fax: `number` as typed, to be normalised by the host."""

    number: str
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a client submits (FaxSendDocument with FAX_JOB_PARAM). None: as the host's settings say."""

    upload: Upload
    addressees: tuple[Addressee, ...]
    owner: str
    sender_name: str = ""
    sender_number: str = ""
    subject: str = ""
    subaddress: str = ""
    sender_password: str = ""
    first_page: int = 1
    priority: Priority = Priority.NORMAL
    schedule_at: datetime | None = None
    expires_at: datetime | None = None
    max_retries: int | None = None
    retry_delay: float | None = None
    resolution: str = ""


class JobCommand(StrEnum):
    """What FaxSetJob can do to a job (JC_PAUSE, JC_RESUME, JC_DELETE, JC_RESTART)."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    RETRY = "retry"


@dataclass(frozen=True, slots=True)
class Rescheduled:
    """A new time to send at; None: as soon as may be."""

    at: datetime | None


JobChange = JobCommand | Priority | Rescheduled
"""One change to one job."""


class HostDoor(Protocol):
    """What the API needs of the host."""

    async def server(self) -> ServerInfo:
        """The host at a glance."""
        ...

    async def devices(self) -> list[DeviceInfo]:
        """All devices, by id, those out of service too (FaxEnumPorts)."""
        ...

    async def trunks(self) -> list[Mapping[str, object]]:
        """How the trunks of all providers fare: rows as they tell them, each with the provider's name."""
        ...

    async def peers(self) -> list[Mapping[str, object]]:
        """What they have learned of peers, likewise."""
        ...

    async def forget_peers(self, peer: str, number: str) -> int:
        """Have them forget a peer and a number, "" for any; how many entries that were."""
        ...

    async def set_device(self, device_id: int, flags: PortFlag) -> DeviceInfo:
        """Switch sending and receiving of a device (FaxSetPort): `flags` holds FPF_SEND, FPF_RECEIVE, both or none."""
        ...

    async def jobs(
        self,
        *,
        status: JobStatusEnum | None = None,
        owner: str | None = None,
        ended: bool | None = None,
        limit: int = 100,
        before: int | None = None,
    ) -> list[StoredJob]:
        """Jobs, newest first (FaxEnumJobs); `before` a job number pages on."""
        ...

    async def job(self, job: int) -> StoredJob | None:
        """One job (FaxGetJob), or None."""
        ...

    async def attempts(self, job: int) -> list[StoredAttempt]:
        """The attempts of a job, oldest first."""
        ...

    async def moving(self) -> Mapping[int, JobMoved]:
        """The last news of each fax that is on the line."""
        ...

    async def submit(self, order: Order) -> list[StoredJob]:
        """Queue a document for each addressee, all or none (FaxSendDocument, FaxSendDocumentForBroadcast).

        Raises DocumentError (the upload is no document), InvalidParameter (a number, a resolution, a time).
        """
        ...

    async def abort(self, job: int) -> None:
        """Abort a job that runs or waits (FaxAbort), returning at once. Raises InvalidParameter for no such job."""
        ...

    async def change(self, job: int, change: JobChange) -> StoredJob:
        """Pause, resume, cancel, retry now, give a priority or a time (FaxSetJob). Raises InvalidParameter."""
        ...

    async def pause_queue(self, paused: bool) -> None:
        """Stop dialling, or go on (FAX_CONFIGURATION.PauseServerQueue)."""
        ...

    async def faxes(
        self, *, delivered: bool | None = None, limit: int = 100, before: int | None = None
    ) -> list[StoredFax]:
        """Received faxes, newest first."""
        ...

    async def fax(self, job: int) -> StoredFax | None:
        """One received fax, or None."""
        ...

    async def document(self, job: int) -> Path | None:
        """The file of a received fax or of a job's document; None when none is kept (any more)."""
        ...

    async def deliveries(
        self, *, job: int | None = None, state: DeliveryState | None = None, limit: int = 100
    ) -> list[StoredDelivery]:
        """Deliveries of one fax or of all."""
        ...

    async def delivery_attempts(self, delivery: int) -> list[DeliveryAttempt]:
        """The tries of one delivery, oldest first."""
        ...

    async def retry_delivery(self, delivery: int) -> StoredDelivery:
        """Try a delivery again now. Raises InvalidParameter for no such delivery."""
        ...

    async def history(self, *, after: int = 0, limit: int = 1000) -> list[StoredEvent]:
        """Events that were stored, in order, from the one behind `after`."""
        ...
