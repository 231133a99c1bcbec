"""The tables of the job store, the same on SQLite and PostgreSQL.

Owns      tables, columns, indexes, and the two conditions that indexes and queries have to spell alike.
Not here  how a database comes to have them (migrations/), what is done with them (the other modules).

A column that bears the name of a field in values.py holds that field. The others:
`jobs.ordinal` is the order of arrival, for job numbers are random; `jobs.wake_at` is when a waiting job falls due, and
empties when it has: claiming then finds the next job by one step into an index, however many others wait;
`deliveries.due_at` is when somebody may take the delivery: its next attempt while it waits, the end of its lease while
it runs, empty when it has ended; `faxes.outstanding` counts deliveries that are not done.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    and_,
    literal_column,
)

from vfax.fsp.constants import JobStatusEnum, JobType
from vfax.host.store.columns import AnyText, FileTime, Instant, Json, Numbered, Seconds, Whole, Worded
from vfax.host.store.values import DeliveryState, Priority

metadata: Final = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_name)s_key",
    }
)

_serial: Final = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself in a column of exactly this type only."""

state: Final = Table(
    "state",
    metadata,
    Column("name", AnyText, primary_key=True),
    Column("value", BigInteger, nullable=False),
)
"""Numbers of which there is one: `events` (the last sequence), `paused` (1: the queue is)."""

jobs: Final = Table(
    "jobs",
    metadata,
    Column("ordinal", _serial, primary_key=True, autoincrement=True),
    Column("id", Whole(), nullable=False, unique=True),
    Column("job_type", Numbered(JobType), nullable=False),
    Column("status", Numbered(JobStatusEnum), nullable=False),
    Column("submission", Whole(), nullable=False),
    Column("document", AnyText, nullable=False),
    Column("pages", Whole(), nullable=False),
    Column("recipient_number", AnyText, nullable=False),
    Column("recipient_name", AnyText, nullable=False),
    Column("recipient_given", AnyText, nullable=False),
    Column("owner", AnyText, nullable=False),
    Column("sender_name", AnyText, nullable=False),
    Column("sender_number", AnyText, nullable=False),
    Column("subject", AnyText, nullable=False),
    Column("subaddress", AnyText, nullable=False),
    Column("sender_password", AnyText, nullable=False),
    Column("priority", Numbered(Priority), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("schedule_at", Instant),
    Column("next_attempt_at", Instant),
    Column("wake_at", Instant),
    Column("expires_at", Instant),
    Column("ended_at", Instant),
    Column("max_retries", Whole(), nullable=False),
    Column("retry_delay", Seconds, nullable=False),
    Column("paused", Boolean, nullable=False),
    Column("no_line", Boolean, nullable=False),
    Column("cancel_asked", Boolean, nullable=False),
    Column("next_page", Whole(), nullable=False),
    Column("rate_limit_bps", Whole(), nullable=False),
    Column("ecm", Boolean),
    Column("attempts", Whole(), nullable=False),
    Column("failures", Whole(), nullable=False),
    Column("uncertain", Boolean, nullable=False),
    Column("device_id", Whole(), nullable=False),
    Column("lease_owner", AnyText, nullable=False),
    Column("lease_until", Instant),
    Column("lease_term", Whole(), nullable=False),
    Column("status_id", Whole(), nullable=False),
    Column("cause", AnyText, nullable=False),
    Column("sentence", AnyText, nullable=False),
    Column("record", Json, nullable=False),
)

attempts: Final = Table(
    "attempts",
    metadata,
    Column("job", Whole(), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Whole(), primary_key=True),
    Column("host", AnyText, nullable=False),
    Column("device_id", Whole(), nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("first_page", Whole(), nullable=False),
    Column("pages_confirmed", Whole(), nullable=False),
    Column("ended_at", Instant),
    Column("status_id", Whole(), nullable=False),
    Column("cause", AnyText, nullable=False),
    Column("sentence", AnyText, nullable=False),
    Column("interrupted", Boolean, nullable=False),
    Column("journal", AnyText, nullable=False),
)

faxes: Final = Table(
    "faxes",
    metadata,
    Column("job", Whole(), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("received_at", Instant, nullable=False),
    Column("record", Json, nullable=False),
    Column("document", AnyText),
    Column("digest", AnyText, nullable=False),
    Column("octets", BigInteger, nullable=False),
    Column("outstanding", Integer, nullable=False),
    Column("delivered_at", Instant),
    Column("removed_at", Instant),
)

deliveries: Final = Table(
    "deliveries",
    metadata,
    Column("id", _serial, primary_key=True, autoincrement=True),
    Column("job", Whole(), ForeignKey("faxes.job", ondelete="CASCADE"), nullable=False),
    Column("rule", AnyText, nullable=False),
    Column("kind", AnyText, nullable=False),
    Column("target", Json, nullable=False),
    Column("state", Worded(DeliveryState), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("due_at", Instant),
    Column("ended_at", Instant),
    Column("alarmed_at", Instant),
    Column("attempts", Whole(), nullable=False),
    Column("sentence", AnyText, nullable=False),
    Column("lease_owner", AnyText, nullable=False),
    Column("lease_term", Whole(), nullable=False),
    sqlite_autoincrement=True,  # receivers know a delivery again by its number: never give one twice
)

delivery_attempts: Final = Table(
    "delivery_attempts",
    metadata,
    Column("delivery", _serial, ForeignKey("deliveries.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("number", Whole(), primary_key=True),
    Column("started_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("ok", Boolean, nullable=False),
    Column("sentence", AnyText, nullable=False),
)

events: Final = Table(
    "events",
    metadata,
    Column("sequence", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("session", AnyText, nullable=False),
    Column("time_stamp", FileTime, nullable=False),
    Column("event_id", Whole(), nullable=False),
    Column("device_id", Whole(), nullable=False),
    Column("job_id", Whole(), nullable=False),
)

# Written out, not bound: a database uses a partial index only for a query that repeats its condition.
WAITING: Final = and_(
    jobs.c.job_type == literal_column(str(int(JobType.JT_SEND))),
    jobs.c.status.in_([literal_column(str(int(s))) for s in (JobStatusEnum.fjsPENDING, JobStatusEnum.fjsRETRYING)]),
)
"""Waits to be sent."""

CLAIMABLE: Final = and_(WAITING, jobs.c.paused.is_(False))
"""Waits, and nobody holds it back; when it is due and when it expires are other questions."""

UNALARMED: Final = and_(
    deliveries.c.state != literal_column(f"'{DeliveryState.DONE.value}'"), deliveries.c.alarmed_at.is_(None)
)
"""Not done, and nobody was told that it takes long."""


def _partial(name: str, *columns: object, where: object) -> None:
    Index(name, *columns, sqlite_where=where, postgresql_where=where)  # type: ignore[arg-type]


# The job type comes first because SQLite prefers an index of which a column is given to one that gives the order.
_partial(
    "jobs_ready",
    jobs.c.job_type,
    jobs.c.priority.desc(),
    jobs.c.ordinal,
    where=and_(CLAIMABLE, jobs.c.wake_at.is_(None)),
)
_partial("jobs_asleep", jobs.c.job_type, jobs.c.wake_at, where=and_(CLAIMABLE, jobs.c.wake_at.is_not(None)))
_partial("jobs_expiry", jobs.c.job_type, jobs.c.expires_at, where=and_(WAITING, jobs.c.expires_at.is_not(None)))
_partial("jobs_live", jobs.c.ordinal, where=jobs.c.ended_at.is_(None))
_partial("jobs_ended", jobs.c.ended_at, where=jobs.c.ended_at.is_not(None))
Index("jobs_status", jobs.c.status, jobs.c.ordinal)
Index("jobs_owner", jobs.c.owner, jobs.c.ordinal)
Index("faxes_received", faxes.c.received_at, faxes.c.job)
_partial(
    "faxes_kept",
    faxes.c.received_at,
    faxes.c.job,
    faxes.c.octets,
    where=and_(faxes.c.document.is_not(None), faxes.c.removed_at.is_(None)),
)
Index("deliveries_job", deliveries.c.job)
Index("deliveries_state", deliveries.c.state, deliveries.c.id)
_partial("deliveries_due", deliveries.c.due_at, deliveries.c.id, where=deliveries.c.due_at.is_not(None))
_partial("deliveries_late", deliveries.c.created_at, where=UNALARMED)
