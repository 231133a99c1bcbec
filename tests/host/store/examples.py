"""What the tests put into a store."""

from datetime import UTC, datetime, timedelta

from vfax.fsp.constants import FaxStatus, JobStatusEnum
from vfax.host.store.store import Store
from vfax.host.store.values import AttemptEnd, NewDelivery, Recipient, StoredFax, StoredJob, Submission

NOON = datetime(2025, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
ANNE, BERT = "host-anne", "host-bert"

COMPLETED = AttemptEnd(
    status=JobStatusEnum.fjsCOMPLETED,
    status_id=FaxStatus.FS_COMPLETED,
    cause="complete",
    sentence="The fax is complete.",
    pages_confirmed=2,
    next_page=3,
    record={"pages": 2},
)
BUSY = AttemptEnd(
    status=JobStatusEnum.fjsRETRYING,
    status_id=FaxStatus.FS_BUSY,
    cause="busy",
    sentence="The line was busy.",
    next_attempt_at=NOON + HOUR,
)
FOLDER = NewDelivery(rule="all", kind="folder", target={"folder": "in"})
MAIL = NewDelivery(rule="sales", kind="mail", target={"to": "sales@example.com"})


def letter(*numbers: str, **fields: object) -> Submission:
    """A submission of two pages."""
    recipients = tuple(Recipient(number=number) for number in numbers or ("+4930123",))
    return Submission(document="outbox/a.tif", pages=2, recipients=recipients, **fields)  # type: ignore[arg-type]


def submit(store: Store, *numbers: str, **fields: object) -> StoredJob:
    """The (first) job of a submission at noon."""
    return store.submit(letter(*numbers, **fields), NOON)[0]


def claim(store: Store, host: str = ANNE, at: datetime = NOON, lease: float = 60.0) -> StoredJob:
    """The one job that is due."""
    (job,) = store.claim(host, at, lease=lease, limit=10)
    return job


def fax(job: int, *, document: str | None = "inbox/f.tif", at: datetime = NOON, octets: int = 1000) -> StoredFax:
    """A received fax."""
    return StoredFax(job=job, received_at=at, record={"pages": 1}, document=document, digest="d1", octets=octets)


def received(store: Store, job: int, *targets: NewDelivery, at: datetime = NOON, octets: int = 1000) -> StoredFax:
    """A fax that came in, whole."""
    store.receive(job, device_id=1, host=ANNE, now=at)
    store.end_receive(job, COMPLETED, fax(job, at=at, octets=octets), targets, at)
    found = store.fax(job)
    assert found is not None
    return found


def deliver(store: Store, at: datetime = NOON) -> None:
    """Everything that is due gets where it is to go."""
    for delivery in store.claim_deliveries(ANNE, at, lease=60.0, limit=100):
        store.end_delivery(delivery, ok=True, sentence="done", retry_at=None, started_at=at, now=at)
