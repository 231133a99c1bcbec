"""What is written down when an attempt is over.

Owns      from how an operation ended, or why it was none, to the end of an attempt and its job's next status.
Not here  whether and when it is tried again (retry.py), the rows (store/), who asks for it (queue.py).
"""

from datetime import datetime, timedelta
from typing import Final

from vfax.errors import FaxError, StoreError
from vfax.fsp.constants import FaxStatus, JobStatusEnum
from vfax.host.retry import Decision, Next, restrained
from vfax.host.service import Sent
from vfax.host.store.transitions import CANCELED_WAITING
from vfax.host.store.values import AttemptEnd, StoredJob
from vfax.outcome import Cause, Retry

_J = JobStatusEnum

_STATUS_AFTER: Final = {
    Next.DONE: _J.fjsCOMPLETED,
    Next.RETRY: _J.fjsRETRYING,
    Next.OTHER_LINE: _J.fjsINPROGRESS,  # the attempt is over, the job stays in hand
    Next.GIVE_UP: _J.fjsFAILED,
    Next.RETRIES_EXCEEDED: _J.fjsRETRIES_EXCEEDED,
    Next.CANCELLED: _J.fjsCANCELED,
}
_STATUS_UNCOUNTED: Final = {**_STATUS_AFTER, Next.RETRY: _J.fjsPENDING}  # as if it had not been tried


def ended(job: StoredJob, sent: Sent, decision: Decision, advice: Retry | None, now: datetime) -> AttemptEnd:
    """The device had it, however far it came."""
    record, facts = sent.record, sent.ending.facts
    next_page = max(job.next_page, facts.next_page if facts is not None else 0)
    rate_bps, ecm = restrained(job.rate_limit_bps, job.ecm, rate_bps=record.rate_bps, advice=advice)
    again = now + timedelta(seconds=decision.delay) if decision.what is Next.RETRY else None
    why = f"{record.sentence} It is not tried again: {decision.why}." if decision.why else record.sentence
    return AttemptEnd(
        status=_STATUS_AFTER[decision.what] if decision.counts else _STATUS_UNCOUNTED[decision.what],
        status_id=record.status_id,
        cause=record.cause.value,
        sentence=why,
        pages_confirmed=record.pages,
        next_page=next_page,
        next_attempt_at=again,
        counts=decision.counts,
        rate_limit_bps=rate_bps,
        ecm=ecm,
        uncertain=job.uncertain or record.cause is Cause.UNCERTAIN,
        journal=record.journal,
        record=record.to_json(),
    )


def unsent(job: StoredJob, why: FaxError, again: datetime) -> AttemptEnd:
    """The document is none, which stays so, or the disk does not give it now: then it is tried `again`."""
    if isinstance(why, StoreError):
        return _undialled(job, _J.fjsPENDING, FaxStatus.FS_FATAL_ERROR, Cause.STORAGE, str(why), again)
    return _undialled(job, _J.fjsFAILED, FaxStatus.FS_FATAL_ERROR, Cause.DOCUMENT, str(why))


def arrived(job: StoredJob) -> AttemptEnd:
    """An earlier attempt has had every page confirmed, and was cut off before its end was known."""
    sentence = "Every page was confirmed in an earlier call, whose end is not known: nothing was left to send."
    return _undialled(job, _J.fjsCOMPLETED, FaxStatus.FS_COMPLETED, Cause.COMPLETE, sentence)


def overtaken(job: StoredJob, *, stopping: bool) -> AttemptEnd:
    """While the store was asked, somebody rang on the device, or its provider ended: another device may have it."""
    sentence = "The line was taken, or went away, before it was dialled."
    if stopping:
        sentence = "The service was stopped before it was dialled."
    return _undialled(job, _J.fjsINPROGRESS, FaxStatus.FS_LINE_UNAVAILABLE, Cause.LINE_UNAVAILABLE, sentence)


def unwanted(job: StoredJob) -> AttemptEnd:
    """Somebody cancelled it while it was taken: no device hears of it."""
    return _undialled(job, _J.fjsCANCELED, FaxStatus.FS_USER_ABORT, Cause.ABORTED, CANCELED_WAITING)


def _undialled(
    job: StoredJob,
    status: JobStatusEnum,
    status_id: FaxStatus,
    cause: Cause,
    sentence: str,
    again: datetime | None = None,
) -> AttemptEnd:
    """Nothing was learned of the far end: what earlier attempts taught about the job stays."""
    return AttemptEnd(
        status=status,
        status_id=status_id,
        cause=cause.value,
        sentence=sentence,
        next_page=job.next_page,
        next_attempt_at=again,
        counts=False,
        rate_limit_bps=job.rate_limit_bps,
        ecm=job.ecm,
        record=job.record,
    )
