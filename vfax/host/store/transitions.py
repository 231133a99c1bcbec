"""What becomes of a job: each step from the job as it is to the columns that change.

Owns      which step is allowed when, and what it changes. Pure.
Not here  reading and writing the rows, leases (the mixins of the store); when to retry (host/retry.py).

A step that is not allowed changes nothing. A job that somebody asked to cancel never goes back to wait: whatever would
put it there ends it as fjsCANCELED.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from vfax.fsp.constants import FaxStatus, JobStatusEnum, JobType
from vfax.host.store.values import AttemptEnd, StoredJob
from vfax.outcome import Cause

Changes = Mapping[str, object]
"""Columns of `jobs` (schema.py) and what becomes of them."""

WAITING: Final = frozenset({JobStatusEnum.fjsPENDING, JobStatusEnum.fjsRETRYING})
FAILED: Final = frozenset({JobStatusEnum.fjsFAILED, JobStatusEnum.fjsRETRIES_EXCEEDED})
RECEIVED: Final = frozenset({JobStatusEnum.fjsCOMPLETED, JobStatusEnum.fjsFAILED, JobStatusEnum.fjsCANCELED})
"""How a reception ends."""
ENDED: Final = FAILED | {JobStatusEnum.fjsCOMPLETED, JobStatusEnum.fjsCANCELED}

NOTHING: Final[Changes] = {}
FREE: Final[Changes] = {"lease_owner": "", "lease_until": None}

CANCELED_WAITING: Final = "It was cancelled before it was sent."
CANCELED_RUNNING: Final = "It was cancelled while it was under way; some of its pages may have arrived."
INTERRUPTED: Final = "The fax service was interrupted while this fax was under way."


def waits(job: StoredJob) -> bool:
    """True for a job that a host may claim sooner or later."""
    return job.job_type is JobType.JT_SEND and job.status in WAITING


def runs(job: StoredJob) -> bool:
    """True for a job that a host has in hand."""
    return job.status is JobStatusEnum.fjsINPROGRESS


def wake_at(schedule_at: datetime | None, next_attempt_at: datetime | None) -> datetime | None:
    """When a waiting job falls due: when both times have come; None: at once."""
    return max((at for at in (schedule_at, next_attempt_at) if at is not None), default=None)


def ended(job: StoredJob, end: AttemptEnd, now: datetime) -> Changes:
    """The attempt ended as `end` says; a completed or cancelled one never counts as a failure.

    fjsINPROGRESS: the job stays in the host's hands, for another device.
    """
    in_hand = end.status is JobStatusEnum.fjsINPROGRESS
    failed = end.counts and not in_hand and end.status not in (JobStatusEnum.fjsCOMPLETED, JobStatusEnum.fjsCANCELED)
    told = {
        "status_id": end.status_id,
        "cause": end.cause,
        "sentence": end.sentence,
        "record": end.record,
        "next_page": end.next_page,
        "rate_limit_bps": end.rate_limit_bps,
        "ecm": end.ecm,
        "uncertain": job.uncertain or end.uncertain,
        "failures": job.failures + failed,
    }
    if in_hand:
        return told
    if end.status in WAITING:
        return told | {**back(job, end.status, now, no_line=end.no_line, next_attempt_at=end.next_attempt_at)}
    return told | {**over(end.status, now)}


def put_back(job: StoredJob, now: datetime, *, no_line: bool, next_attempt_at: datetime | None) -> Changes:
    """It was claimed and nobody dialled: it waits as it did before."""
    if job.cancel_asked:
        return given_up(now, CANCELED_WAITING)
    status = JobStatusEnum.fjsRETRYING if job.failures else JobStatusEnum.fjsPENDING
    return back(job, status, now, no_line=no_line, next_attempt_at=next_attempt_at)


def repaired(job: StoredJob, now: datetime, *, dialled: bool) -> Changes:
    """The host that had it is gone; `dialled`: an attempt ran of which nobody knows the end."""
    if job.job_type is not JobType.JT_SEND:
        return {
            **over(JobStatusEnum.fjsFAILED, now),
            "job_type": JobType.JT_FAIL_RECEIVE,
            "status_id": FaxStatus.FS_FATAL_ERROR,
            "cause": Cause.INTERNAL,
            "sentence": INTERRUPTED,
        }
    if job.cancel_asked:
        again = given_up(now, CANCELED_RUNNING if dialled else CANCELED_WAITING)
    else:
        again = {**back(job, JobStatusEnum.fjsPENDING, now), **({"sentence": INTERRUPTED} if dialled else {})}
    return {**again, "uncertain": job.uncertain or dialled}


def back(
    job: StoredJob,
    status: JobStatusEnum,
    now: datetime,
    *,
    no_line: bool = False,
    next_attempt_at: datetime | None = None,
) -> Changes:
    """Out of a host's hands and waiting, unless somebody asked to cancel it."""
    if job.cancel_asked:
        return over(JobStatusEnum.fjsCANCELED, now)
    return {
        **FREE,
        "status": status,
        "no_line": no_line,
        "next_attempt_at": next_attempt_at,
        "wake_at": wake_at(job.schedule_at, next_attempt_at),
    }


def over(status: JobStatusEnum, now: datetime) -> Changes:
    """It ended."""
    return {
        **FREE,
        "status": status,
        "ended_at": now,
        "no_line": False,
        "paused": False,
        "next_attempt_at": None,
        "wake_at": None,
    }


def given_up(now: datetime, sentence: str) -> Changes:
    """Somebody wanted it no longer."""
    return {
        **over(JobStatusEnum.fjsCANCELED, now),
        "status_id": FaxStatus.FS_USER_ABORT,
        "cause": Cause.ABORTED,
        "sentence": sentence,
    }


def expired(job: StoredJob, now: datetime) -> Changes:
    """Its time ran out while it waited."""
    if not waits(job) or job.expires_at is None or job.expires_at > now:
        return NOTHING
    tries = f"{job.attempts} attempt{'' if job.attempts == 1 else 's'}"
    before = f"; the last one: {job.sentence}" if job.sentence else "."
    by = job.expires_at.strftime("%Y-%m-%d %H:%M UTC")
    sentence = f"It could not be sent by {by} and was given up after {tries}{before}"
    return {**over(JobStatusEnum.fjsRETRIES_EXCEEDED, now), "sentence": sentence}


def canceled(job: StoredJob, now: datetime) -> Changes:
    """Somebody wants it no longer: a waiting job ends, a running one is to be aborted by its host."""
    if waits(job):
        return given_up(now, CANCELED_WAITING)
    return {"cancel_asked": True} if runs(job) else NOTHING


def paused(job: StoredJob, *, paused: bool) -> Changes:
    """Held back or let go; only while it waits."""
    return {"paused": paused} if waits(job) else NOTHING


def rescheduled(job: StoredJob, schedule_at: datetime | None) -> Changes:
    """Not before `schedule_at`; only while it waits."""
    if not waits(job):
        return NOTHING
    return {"schedule_at": schedule_at, "wake_at": wake_at(schedule_at, job.next_attempt_at)}


def retried(job: StoredJob, now: datetime) -> Changes:
    """Due at once; a send job that failed waits again with all its retries, and with no expiry if that is past."""
    soon: Changes = {"schedule_at": None, "next_attempt_at": None, "wake_at": None}
    if waits(job):
        return soon
    if job.job_type is not JobType.JT_SEND or job.status not in FAILED:
        return NOTHING
    past = job.expires_at is not None and job.expires_at <= now
    return {
        **soon,
        "status": JobStatusEnum.fjsPENDING,
        "ended_at": None,
        "failures": 0,
        "cancel_asked": False,
        **({"expires_at": None} if past else {}),
    }
