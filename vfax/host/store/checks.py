"""What callers may ask of the store, looked at before the database is.

Owns      types, ranges and lengths of arguments; MisuseError with a sentence for each.
Not here  what a column takes (columns.py), which step a job may take (transitions.py).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from vfax.errors import MisuseError
from vfax.fsp.constants import NO_JOB, JobStatusEnum
from vfax.host.store.columns import in_utc, json_text
from vfax.host.store.limits import StoreLimits
from vfax.host.store.transitions import ENDED, RECEIVED, WAITING
from vfax.host.store.values import AttemptEnd, NewDelivery, Recipient, StoredFax, Submission

T = TypeVar("T")


def job_number(job: int) -> int:
    """A number that a job can have: a DWORD, neither 0 nor 0xFFFFFFFF."""
    return whole("job number", job, low=1, high=NO_JOB - 1)


def whole(what: str, value: int, *, low: int = 0, high: int = NO_JOB) -> int:
    """A whole number within bounds, a DWORD when nothing is said."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise MisuseError(f"the {what} is {value!r}: give a whole number from {low} to {high}")
    return value


def seconds(what: str, value: float) -> float:
    """A time span of at least 0 s that a clock can add."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1e9:
        raise MisuseError(f"the {what} is {value!r}: give seconds, from 0 to 1000000000")
    return float(value)


def later(now: datetime, lease: float) -> datetime:
    """When a lease of so many seconds runs out."""
    try:
        return in_utc(now) + timedelta(seconds=seconds("lease", lease))
    except OverflowError:
        raise MisuseError(f"a lease of {lease} s from {now.isoformat()} ends after all calendars") from None


def earlier(now: datetime, age: float) -> datetime:
    """When what is of that age by now was made; the beginning of all calendars for what is older than them."""
    try:
        return in_utc(now) - timedelta(seconds=seconds("age", age))
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


def instance(what: str, value: object, kind: type) -> None:
    """A value of the kind that is expected."""
    if not isinstance(value, kind):
        raise MisuseError(f"the {what} is {value!r}: give a {kind.__name__}")


def each(what: str, values: Collection[T]) -> Collection[T]:
    """Several, in a list or whatever else can be counted and gone through again."""
    if not isinstance(values, Collection) or isinstance(values, str | bytes | bytearray | memoryview):
        raise MisuseError(f"the {what} are {values!r:.80}: give a list")
    return values


def file(what: str, value: Path) -> None:
    """A path that a file can have."""
    instance(what, value, Path)
    if "\0" in str(value):
        raise MisuseError(f"the {what} is {str(value)!r:.80}: no file can be called so")


def name(what: str, value: str, limits: StoreLimits, *, empty: bool = False) -> str:
    """An owner or a host: it is compared, so it is never cut."""
    if not isinstance(value, str) or len(value) > limits.max_name or not (value or empty):
        raise MisuseError(
            f"the {what} is {value!r:.80}: give a text of {0 if empty else 1} to {limits.max_name} characters"
        )
    return value


def text(what: str, value: str, limits: StoreLimits) -> str:
    """A text that somebody needs whole."""
    if not isinstance(value, str) or len(value) > limits.max_text:
        raise MisuseError(f"the {what} is {value!r:.80}: give a text of at most {limits.max_text} characters")
    return value


def cut(value: str, limits: StoreLimits) -> str:
    """A text for people, cut where it is too long."""
    instance("sentence", value, str)
    return value if len(value) <= limits.max_text else f"{value[: limits.max_text - 1]}…"


def record(what: str, value: Mapping[str, object], limits: StoreLimits) -> None:
    """A record or a target: JSON, and not without end."""
    if not isinstance(value, Mapping) or len(json_text(value)) > limits.max_record:
        raise MisuseError(f"the {what} is no JSON object of at most {limits.max_record} octets")


def submission(given: Submission, limits: StoreLimits) -> None:
    """Everything that is said to make new jobs."""
    instance("submission", given, Submission)
    name("owner", given.owner, limits, empty=True)
    for what in ("document", "sender_name", "sender_number", "subject", "subaddress", "sender_password"):
        text(f"submission's {what}", getattr(given, what), limits)
    whole("number of pages", given.pages)
    whole("first page", given.first_page, low=1)
    whole("number of retries", given.max_retries)
    seconds("retry delay", given.retry_delay)
    times(given.schedule_at, given.expires_at)
    if not isinstance(given.recipients, tuple) or not 1 <= len(given.recipients) <= limits.max_recipients:
        raise MisuseError(f"a submission is for 1 to {limits.max_recipients} recipients, given as a tuple")
    for recipient in given.recipients:
        instance("recipient", recipient, Recipient)
        for what in ("number", "name", "given"):
            text(f"recipient's {what}", getattr(recipient, what), limits)


def moment(at: datetime) -> None:
    """A time with a zone."""
    instance("time", at, datetime)
    in_utc(at)


def times(*given: datetime | None) -> None:
    """Times with a zone, or none at all."""
    for at in given:
        if at is not None:
            in_utc(at)


def attempt_end(end: AttemptEnd, limits: StoreLimits, *, waiting: bool) -> None:
    """How an attempt ended; `waiting`: the job is one that may wait for another, not a reception."""
    instance("end of the attempt", end, AttemptEnd)
    allowed: Iterable[JobStatusEnum] = WAITING | ENDED | {JobStatusEnum.fjsINPROGRESS} if waiting else RECEIVED
    if end.status not in allowed:
        said = ", ".join(sorted(str(status.name) for status in allowed))
        raise MisuseError(f"an attempt cannot end with {end.status!r}: give one of {said}")
    whole("final status", end.status_id)
    whole("number of confirmed pages", end.pages_confirmed)
    whole("next page", end.next_page, low=1)
    whole("rate limit", end.rate_limit_bps)
    text("journal", end.journal, limits)
    times(end.next_attempt_at)
    record("record", end.record, limits)


def fax(given: StoredFax, job: int | None, limits: StoreLimits) -> None:
    """A received fax; `job`: the one it has to be of."""
    instance("fax", given, StoredFax)
    job_number(given.job)
    if job is not None and given.job != job:
        raise MisuseError(f"the fax is of job {given.job:08x}, not of job {job:08x}")
    times(given.received_at)
    whole("size of the document", given.octets, high=1 << 53)
    record("record of the fax", given.record, limits)
    for what, value in (("document", given.document or ""), ("digest", given.digest)):
        text(what, value, limits)


def new_deliveries(given: Sequence[NewDelivery], limits: StoreLimits) -> None:
    """Targets of a received fax."""
    for delivery in each("deliveries", given):
        instance("delivery", delivery, NewDelivery)
        text("rule", delivery.rule, limits)
        text("kind", delivery.kind, limits)
        record("target", delivery.target, limits)
