"""Rows to values and values to rows.

Owns      which columns make which value, and what a new job's row is.
Not here  what the columns hold (columns.py), which rows are read (the mixins of the store).
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row

from vfax.fsp.constants import JobStatusEnum, JobType
from vfax.host.store.columns import in_utc
from vfax.host.store.values import (
    DeliveryAttempt,
    DeliveryState,
    NewDelivery,
    Priority,
    Recipient,
    StoredAttempt,
    StoredDelivery,
    StoredEvent,
    StoredFax,
    StoredJob,
    Submission,
)

JOB_FIELDS: Final = tuple(field.name for field in fields(StoredJob) if field.name != "recipient")
ATTEMPT_FIELDS: Final = tuple(field.name for field in fields(StoredAttempt))
FAX_FIELDS: Final = tuple(field.name for field in fields(StoredFax))
EVENT_FIELDS: Final = tuple(field.name for field in fields(StoredEvent))
TRY_FIELDS: Final = tuple(field.name for field in fields(DeliveryAttempt))
DELIVERY_FIELDS: Final = tuple(
    field.name for field in fields(StoredDelivery) if field.name not in ("next_attempt_at", "lease_until")
)


def job_of(row: Row[Any]) -> StoredJob:
    """The job of a row with all columns of `jobs`."""
    return named_job(row._asdict())


def named_job(told: Mapping[str, Any]) -> StoredJob:
    """The job of columns of `jobs` by their names, all of them."""
    recipient = Recipient(number=told["recipient_number"], name=told["recipient_name"], given=told["recipient_given"])
    return StoredJob(recipient=recipient, **{name: told[name] for name in JOB_FIELDS})


def inserted_job(row: Mapping[str, Any]) -> StoredJob:
    """The job of a row that was inserted, as the database would give it back."""
    in_time = {name: in_utc(value) for name, value in row.items() if isinstance(value, datetime)}
    typed = {"priority": Priority(row["priority"]), "retry_delay": float(row["retry_delay"])}
    return named_job({**row, **in_time, **typed})


def changed(job: StoredJob, columns: Mapping[str, object]) -> StoredJob:
    """The job once these columns of it have been written."""
    known: dict[str, Any] = {name: columns[name] for name in JOB_FIELDS if name in columns}
    return replace(job, **known)


def attempt_of(row: Row[Any]) -> StoredAttempt:
    """The attempt of a row with all columns of `attempts`."""
    return StoredAttempt(**{name: row._mapping[name] for name in ATTEMPT_FIELDS})


def attempt_row(attempt: StoredAttempt) -> dict[str, object]:
    """The row of an attempt."""
    return {name: getattr(attempt, name) for name in ATTEMPT_FIELDS}


def fax_of(row: Row[Any]) -> StoredFax:
    """The fax of a row with all columns of `faxes`."""
    return StoredFax(**{name: row._mapping[name] for name in FAX_FIELDS})


def event_of(row: Row[Any]) -> StoredEvent:
    """The event of a row with all columns of `events`."""
    return StoredEvent(**{name: row._mapping[name] for name in EVENT_FIELDS})


def try_of(row: Row[Any]) -> DeliveryAttempt:
    """The try of a row with all columns of `delivery_attempts`."""
    return DeliveryAttempt(**{name: row._mapping[name] for name in TRY_FIELDS})


def delivery_of(row: Row[Any]) -> StoredDelivery:
    """The delivery of a row with all columns of `deliveries`; `due_at` means what its state says."""
    return named_delivery(row._asdict())


def named_delivery(told: Mapping[str, Any]) -> StoredDelivery:
    """The delivery of columns of `deliveries` by their names, all of them."""
    waits, runs = (told["state"] is state for state in (DeliveryState.WAITING, DeliveryState.RUNNING))
    return StoredDelivery(
        next_attempt_at=told["due_at"] if waits else None,
        lease_until=told["due_at"] if runs else None,
        **{name: told[name] for name in DELIVERY_FIELDS},
    )


def new_job(job: int, *, job_type: JobType, status: JobStatusEnum, created_at: datetime) -> dict[str, object]:
    """The row of a job of which nothing more is known."""
    row: dict[str, object] = dict.fromkeys(
        ("document", "recipient_number", "recipient_name", "recipient_given", "owner", "sender_name", "sender_number"),
        "",
    )
    row |= dict.fromkeys(("subject", "subaddress", "sender_password", "lease_owner", "cause", "sentence"), "")
    row |= dict.fromkeys(("submission", "pages", "max_retries", "rate_limit_bps", "attempts", "failures"), 0)
    row |= dict.fromkeys(("device_id", "lease_term", "status_id"), 0)
    row |= dict.fromkeys(("paused", "no_line", "cancel_asked", "uncertain"), False)
    row |= dict.fromkeys(("schedule_at", "next_attempt_at", "wake_at", "expires_at", "ended_at", "lease_until", "ecm"))
    return row | {
        "id": job,
        "job_type": job_type,
        "status": status,
        "priority": Priority.NORMAL,
        "created_at": created_at,
        "retry_delay": 0.0,
        "next_page": 1,
        "record": {},
    }


def submitted_job(
    submission: Submission, recipient: Recipient, job: int, first: int, now: datetime
) -> dict[str, object]:
    """The row of one recipient's job; `first` is the job that gives the submission its number."""
    return new_job(job, job_type=JobType.JT_SEND, status=JobStatusEnum.fjsPENDING, created_at=now) | {
        "submission": first,
        "document": submission.document,
        "pages": submission.pages,
        "recipient_number": recipient.number,
        "recipient_name": recipient.name,
        "recipient_given": recipient.given,
        "owner": submission.owner,
        "sender_name": submission.sender_name,
        "sender_number": submission.sender_number,
        "subject": submission.subject,
        "subaddress": submission.subaddress,
        "sender_password": submission.sender_password,
        "next_page": submission.first_page,
        "priority": submission.priority,
        "schedule_at": submission.schedule_at,
        "wake_at": submission.schedule_at,
        "expires_at": submission.expires_at,
        "max_retries": submission.max_retries,
        "retry_delay": submission.retry_delay,
    }


def new_delivery(job: int, delivery: NewDelivery, now: datetime) -> dict[str, object]:
    """The row of a delivery that is due at once."""
    return {
        "job": job,
        "rule": delivery.rule,
        "kind": delivery.kind,
        "target": delivery.target,
        "state": DeliveryState.WAITING,
        "created_at": now,
        "due_at": now,
        "attempts": 0,
        "sentence": "",
        "lease_owner": "",
        "lease_term": 0,
    }


def new_fax(fax: StoredFax, outstanding: int) -> dict[str, object]:
    """The row of a fax that has just come, `outstanding` deliveries ahead of it."""
    row: dict[str, object] = {name: getattr(fax, name) for name in FAX_FIELDS}
    return row | {"outstanding": outstanding, "delivered_at": None, "removed_at": None}
