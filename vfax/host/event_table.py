"""Which client event (FEI_*) each happening of the host becomes.

Owns      the table, and the little memory it needs: an abort is told once, whoever told of it first.
Not here  who is told and how (notify.py), when a happening happens (service.py, jobs.py, loading.py).
Source    FAX_EVENT: the meaning of each event. Which happening stands behind it is ours, see docs/notifications.md;
          statuses of a provider follow fsp.constants.EVENT_OF_STATUS, provider-defined ones have no event.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from vfax.fsp.constants import EVENT_OF_STATUS, NO_JOB, EventId, FaxStatus
from vfax.host.events import (
    AbortAsked,
    DeviceIdle,
    DeviceInService,
    DeviceOutOfService,
    HostEvent,
    JobDeleted,
    JobQueued,
    RingReceived,
    RoutingBegun,
    ServiceStarted,
    ServiceStopped,
    StatusPosted,
)

NO_DEVICE: Final = 0
"""`FAX_EVENT.DeviceId` of an event that no device has: 0 is no device."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One client event without its time."""

    event_id: EventId
    device_id: int = NO_DEVICE
    job_id: int = NO_JOB


def job_number(job: str) -> int:
    """The DWORD behind eight hexadecimal digits; NO_JOB for what is none."""
    try:
        number = int(job, 16)
    except ValueError:
        return NO_JOB
    return number if 0 < number < NO_JOB else NO_JOB


def _status(event: StatusPosted) -> Notice | None:
    try:
        found = EVENT_OF_STATUS[FaxStatus(event.status_id)]
    except ValueError:
        return None
    return Notice(found, event.device_id, job_number(event.job))


_E = EventId

TABLE: Final[dict[type, Callable[..., Notice | None]]] = {
    ServiceStarted: lambda event: Notice(_E.FEI_FAXSVC_STARTED),
    DeviceInService: lambda event: Notice(_E.FEI_MODEM_POWERED_ON, event.device_id),
    JobQueued: lambda event: Notice(_E.FEI_JOB_QUEUED, NO_DEVICE, job_number(event.job)),
    RingReceived: lambda event: Notice(_E.FEI_RINGING, event.device_id, job_number(event.job)),
    StatusPosted: _status,
    AbortAsked: lambda event: Notice(_E.FEI_ABORTING, event.device_id, job_number(event.job)),
    RoutingBegun: lambda event: Notice(_E.FEI_ROUTING, event.device_id, job_number(event.job)),
    JobDeleted: lambda event: Notice(_E.FEI_DELETED, event.device_id, job_number(event.job)),
    DeviceIdle: lambda event: Notice(_E.FEI_IDLE, event.device_id),
    DeviceOutOfService: lambda event: Notice(_E.FEI_MODEM_POWERED_OFF, event.device_id),
    ServiceStopped: lambda event: Notice(_E.FEI_FAXSVC_ENDED),
}
"""All other happenings are for the host's own people: they have no client event."""


class Narrator:
    """Turns happenings into client events. Limit: it remembers the jobs that are being aborted, no others."""

    def __init__(self) -> None:
        self._aborting: set[int] = set()

    def tell(self, event: HostEvent) -> Notice | None:
        """The client event of `event`; None when clients are not told of it, or have been."""
        row = TABLE.get(type(event))
        notice = row(event) if row is not None else None
        if notice is None:
            return None
        if notice.event_id is EventId.FEI_ABORTING:
            if notice.job_id in self._aborting:
                return None
            self._aborting.add(notice.job_id)
        elif notice.event_id is EventId.FEI_DELETED:
            self._aborting.discard(notice.job_id)
        return notice
