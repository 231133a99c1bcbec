"""What the job store holds, as values.

Owns      jobs, attempts, deliveries and events as rows read back, and what is said to make new ones.
Not here  tables and SQL (schema.py, store.py), when anything is done (host/queue.py, host/delivery.py).

Times are aware datetimes in UTC. Job numbers are DWORDs, shown as eight hexadecimal digits like those of the spool.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum

from vfax.fsp.constants import JobStatusEnum, JobType


class Priority(IntEnum):
    """Which job goes first (FAX_PRIORITY_TYPE_ENUM: fptLOW, fptNORMAL, fptHIGH)."""

    LOW = 0
    NORMAL = 1
    HIGH = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """Whom a fax is for: `number` is what a provider dials (E.164 or a SIP URI), `given` what was asked for."""

    number: str
    name: str = ""
    given: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One document for one or many recipients; each becomes a job, all become jobs or none.

    `document` is a TIFF Class F file inside the spool folder, relative to it. `expires_at`: a job not sent by then is
    given up (DirtyDays). `max_retries` and `retry_delay` (seconds) are those of this submission.
    """

    document: str
    pages: int
    recipients: tuple[Recipient, ...]
    owner: str = ""
    sender_name: str = ""
    sender_number: str = ""
    subject: str = ""
    subaddress: str = ""
    sender_password: str = ""
    first_page: int = 1
    priority: Priority = Priority.NORMAL
    schedule_at: datetime | None = None
    expires_at: datetime | None = None
    max_retries: int = 3
    retry_delay: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredJob:
    """A job as the store holds it.

    `status` is without modifiers; `paused` and `no_line` are those. `next_page` is the first page that no receiver has
    confirmed yet. `rate_limit_bps` (0: none) and `ecm` (None: as agreed) are what earlier attempts advise. `attempts`
    counts those that were dialled; `failures` those that count against `max_retries`. `uncertain` says that a page may
    have been sent before by an attempt of which nobody knows the end. `lease_owner` is the host that has it in hand;
    `lease_term` grows with each claim, so that a host that slept too long is told apart from its successor.
    `record` is the record of how it ended last, as in the JSON file beside a document.
    """

    id: int
    job_type: JobType
    status: JobStatusEnum
    submission: int
    document: str
    pages: int
    recipient: Recipient
    owner: str
    sender_name: str
    sender_number: str
    subject: str
    subaddress: str
    sender_password: str
    priority: Priority
    created_at: datetime
    schedule_at: datetime | None
    next_attempt_at: datetime | None
    expires_at: datetime | None
    ended_at: datetime | None
    max_retries: int
    retry_delay: float
    paused: bool = False
    no_line: bool = False
    cancel_asked: bool = False
    next_page: int = 1
    rate_limit_bps: int = 0
    ecm: bool | None = None
    attempts: int = 0
    failures: int = 0
    uncertain: bool = False
    device_id: int = 0
    lease_owner: str = ""
    lease_until: datetime | None = None
    lease_term: int = 0
    status_id: int = 0
    cause: str = ""
    sentence: str = ""
    record: Mapping[str, object] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Eight hexadecimal digits."""
        return f"{self.id:08x}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAttempt:
    """One try to send a job, or the one reception of it. `ended_at` None: it runs, or its host was killed."""

    job: int
    number: int
    host: str
    device_id: int
    started_at: datetime
    first_page: int = 1
    pages_confirmed: int = 0
    ended_at: datetime | None = None
    status_id: int = 0
    cause: str = ""
    sentence: str = ""
    interrupted: bool = False
    journal: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEnd:
    """How an attempt ended and what becomes of its job; written as one.

    `status` is the job's new one, fjsINPROGRESS where its host goes on with another device; `next_attempt_at` goes with
    fjsPENDING, fjsRETRYING. `counts`: against `max_retries`.
    """

    status: JobStatusEnum
    status_id: int
    cause: str
    sentence: str
    pages_confirmed: int = 0
    next_page: int = 1
    next_attempt_at: datetime | None = None
    no_line: bool = False
    counts: bool = True
    rate_limit_bps: int = 0
    ecm: bool | None = None
    uncertain: bool = False
    journal: str = ""
    record: Mapping[str, object] = field(default_factory=dict)


class DeliveryState(StrEnum):
    """How far a received fax has come towards one of its targets."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    GIVEN_UP = "given-up"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDelivery:
    """A target that a received fax is for. `target` is what the kind needs (host/routing.py), without secrets."""

    rule: str
    kind: str
    target: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDelivery:
    """A delivery as the store holds it. `alarmed_at`: when people were told that it takes too long."""

    id: int
    job: int
    rule: str
    kind: str
    target: Mapping[str, object]
    state: DeliveryState
    created_at: datetime
    next_attempt_at: datetime | None = None
    ended_at: datetime | None = None
    alarmed_at: datetime | None = None
    attempts: int = 0
    sentence: str = ""
    lease_owner: str = ""
    lease_until: datetime | None = None
    lease_term: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryAttempt:
    """One try of a delivery and its result."""

    delivery: int
    number: int
    started_at: datetime
    ended_at: datetime | None
    ok: bool
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """A FAX_EVENT with its place in the order of all (`sequence`). `time_stamp` is a FILETIME."""

    sequence: int
    session: str
    time_stamp: int
    event_id: int
    device_id: int
    job_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFax:
    """A received fax: its record, and where its document is, relative to the spool (None: no page was kept).

    `delivered_at`: when the last of its deliveries was done. `removed_at`: when housekeeping took the document.
    """

    job: int
    received_at: datetime
    record: Mapping[str, object]
    document: str | None
    digest: str = ""
    octets: int = 0
    delivered_at: datetime | None = None
    removed_at: datetime | None = None
