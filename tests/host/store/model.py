"""The store in a few dicts: what each method should do, said once more without a database.

Owns      the same rules, written from the agreed interface and not from the SQL. Not here: errors about arguments.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from vfax.errors import LeaseLost, MisuseError
from vfax.fsp.constants import FaxStatus, JobStatusEnum, JobType
from vfax.host.store.transitions import CANCELED_RUNNING, CANCELED_WAITING, INTERRUPTED
from vfax.host.store.values import (
    AttemptEnd,
    DeliveryAttempt,
    DeliveryState,
    NewDelivery,
    Priority,
    Recipient,
    StoredAttempt,
    StoredDelivery,
    StoredFax,
    StoredJob,
    Submission,
)

PENDING, RETRYING = JobStatusEnum.fjsPENDING, JobStatusEnum.fjsRETRYING
RUNNING, CANCELED = JobStatusEnum.fjsINPROGRESS, JobStatusEnum.fjsCANCELED
FAILED, EXCEEDED = JobStatusEnum.fjsFAILED, JobStatusEnum.fjsRETRIES_EXCEEDED


class Model:
    """Jobs in the order of their arrival; time never goes back here."""

    def __init__(self, job_ids: Callable[[], int]) -> None:
        self.job_ids = job_ids
        self.jobs: dict[int, StoredJob] = {}
        self.attempts: dict[int, list[StoredAttempt]] = {}
        self.faxes: dict[int, StoredFax] = {}
        self.deliveries: dict[int, StoredDelivery] = {}
        self.tries: dict[int, list[DeliveryAttempt]] = {}
        self.paused = False
        self.made = 0  # deliveries

    # --- jobs

    def submit(self, submission: Submission, now: datetime) -> list[StoredJob]:
        drawn: list[int] = []
        while len(drawn) < len(submission.recipients):
            job = self.job_ids()
            if job not in self.jobs and job not in drawn:
                drawn.append(job)
        for job, recipient in zip(drawn, submission.recipients, strict=True):
            self.jobs[job] = blank(
                job,
                JobType.JT_SEND,
                PENDING,
                now,
                submission=drawn[0],
                recipient=recipient,
                document=submission.document,
                pages=submission.pages,
                priority=submission.priority,
                schedule_at=submission.schedule_at,
                expires_at=submission.expires_at,
                max_retries=submission.max_retries,
                retry_delay=submission.retry_delay,
            )
        return [self.jobs[job] for job in drawn]

    def receive(self, job: int, host: str, now: datetime) -> StoredJob:
        held = {"device_id": 1, "attempts": 1, "lease_owner": host, "lease_term": 1}
        self.jobs[job] = blank(job, JobType.JT_RECEIVE, RUNNING, now, **held)
        self.attempts[job] = [StoredAttempt(job=job, number=1, host=host, device_id=1, started_at=now)]
        return self.jobs[job]

    def change(self, job: int, **changes: object) -> StoredJob:
        self.jobs[job] = replace(self.jobs[job], **changes)  # type: ignore[arg-type]
        return self.jobs[job]

    # --- the queue

    def claim(self, host: str, now: datetime, lease: float, limit: int) -> list[StoredJob]:
        if self.paused:
            return []
        due = [
            job
            for job in self.jobs.values()
            if waits(job)
            and not job.paused
            and all(at is None or at <= now for at in (job.schedule_at, job.next_attempt_at))
            and (job.expires_at is None or job.expires_at > now)
        ]
        due.sort(key=lambda job: -job.priority)  # stable: the oldest first
        held = {"status": RUNNING, "lease_owner": host, "lease_until": now + timedelta(seconds=lease)}
        held |= {"no_line": False, "next_attempt_at": None}
        return [self.change(job.id, **held, lease_term=job.lease_term + 1) for job in due[:limit]]

    def take(self, host: str, now: datetime, lease: float, limit: int) -> list[tuple[StoredJob, StoredAttempt]]:
        begun = [self.begin_attempt(job, now) for job in self.claim(host, now, lease, limit)]
        return [(self.jobs[attempt.job], attempt) for attempt in begun]

    def due(self, now: datetime) -> bool:
        """Whether a claim would find something, but for expiry."""
        return any(
            waits(job)
            and not job.paused
            and all(at is None or at <= now for at in (job.schedule_at, job.next_attempt_at))
            for job in self.jobs.values()
        )

    def next_later(self) -> datetime | None:
        times = [
            max(at for at in (job.schedule_at, job.next_attempt_at) if at is not None)
            for job in self.jobs.values()
            if waits(job) and not job.paused and (job.schedule_at or job.next_attempt_at)
        ]
        return min(times, default=None)

    def renew(self, host: str, leases: Mapping[int, int], now: datetime, lease: float) -> set[int]:
        ours = {
            job
            for job, term in leases.items()
            if (found := self.jobs.get(job))
            and (found.status, found.lease_owner, found.lease_term) == (RUNNING, host, term)
        }
        for job in ours:
            self.change(job, lease_until=now + timedelta(seconds=lease))
        return ours

    def held(self, job: StoredJob) -> StoredJob:
        found = self.jobs.get(job.id)
        if found is None or (found.status, found.lease_owner, found.lease_term) != (
            RUNNING,
            job.lease_owner,
            job.lease_term,
        ):
            raise LeaseLost
        return found

    def running(self, job: int) -> StoredAttempt | None:
        return next((one for one in self.attempts.get(job, []) if one.ended_at is None), None)

    def begin_attempt(self, job: StoredJob, now: datetime) -> StoredAttempt:
        found = self.held(job)
        if found.lease_until is not None and found.lease_until <= now:
            raise LeaseLost
        if self.running(job.id):
            raise MisuseError
        self.change(job.id, attempts=found.attempts + 1, device_id=2)
        made = StoredAttempt(
            job=job.id,
            number=found.attempts + 1,
            host=found.lease_owner,
            device_id=2,
            started_at=now,
            first_page=found.next_page,
        )
        self.attempts.setdefault(job.id, []).append(made)
        return made

    def write_attempt(self, job: int, number: int, **changes: object) -> None:
        running = self.running(job)
        if running is None or running.number != number:
            raise MisuseError
        self.attempts[job][number - 1] = replace(running, **changes)  # type: ignore[arg-type]

    def note_pages(self, job: StoredJob, attempt: int, confirmed: int, next_page: int) -> None:
        self.held(job)
        self.write_attempt(job.id, attempt, pages_confirmed=confirmed)
        self.change(job.id, next_page=next_page)

    def end_attempt(self, job: StoredJob, attempt: int, end: AttemptEnd, now: datetime) -> StoredJob:
        found = self.held(job)
        self.write_attempt(
            job.id,
            attempt,
            ended_at=now,
            status_id=end.status_id,
            cause=end.cause,
            sentence=end.sentence,
            pages_confirmed=end.pages_confirmed,
        )
        failed = end.counts and end.status not in (JobStatusEnum.fjsCOMPLETED, CANCELED, RUNNING)
        self.change(
            job.id,
            status_id=end.status_id,
            cause=end.cause,
            sentence=end.sentence,
            record=end.record,
            next_page=end.next_page,
            rate_limit_bps=end.rate_limit_bps,
            ecm=end.ecm,
            uncertain=found.uncertain or end.uncertain,
            failures=found.failures + failed,
        )
        if end.status is RUNNING:
            return self.jobs[job.id]
        if end.status in (PENDING, RETRYING) and not found.cancel_asked:
            return self.back(job.id, end.status, end.no_line, end.next_attempt_at)
        return self.over(job.id, CANCELED if end.status in (PENDING, RETRYING) else end.status, now)

    def back(self, job: int, status: JobStatusEnum, no_line: bool, at: datetime | None) -> StoredJob:
        return self.change(job, status=status, no_line=no_line, next_attempt_at=at, lease_owner="", lease_until=None)

    def over(self, job: int, status: JobStatusEnum, now: datetime) -> StoredJob:
        gone = {"lease_owner": "", "lease_until": None, "next_attempt_at": None, "no_line": False, "paused": False}
        return self.change(job, status=status, ended_at=now, **gone)

    def give_up(self, job: int, sentence: str, now: datetime) -> StoredJob:
        self.over(job, CANCELED, now)
        return self.change(job, status_id=FaxStatus.FS_USER_ABORT, cause="aborted", sentence=sentence)

    def put_back(self, job: StoredJob, no_line: bool, at: datetime | None, now: datetime) -> StoredJob:
        found = self.held(job)
        if self.running(job.id) or found.job_type is not JobType.JT_SEND:
            raise MisuseError
        if found.cancel_asked:
            return self.give_up(job.id, CANCELED_WAITING, now)
        return self.back(job.id, RETRYING if found.failures else PENDING, no_line, at)

    def repair(self, host: str | None, now: datetime) -> list[StoredJob]:
        repaired = []
        for job in list(self.jobs.values()):
            late = job.lease_until is not None and job.lease_until <= now
            if job.status is RUNNING and (late if host is None else job.lease_owner == host):
                repaired.append(self.repair_one(job, now))
        for delivery in self.deliveries.values():
            if host is not None and delivery.lease_owner == host:
                waiting = replace(delivery, state=DeliveryState.WAITING, next_attempt_at=now, lease_owner="")
                self.deliveries[delivery.id] = replace(waiting, lease_until=None)
        return repaired

    def repair_one(self, job: StoredJob, now: datetime) -> StoredJob:
        running = self.running(job.id)
        if running:
            self.write_attempt(job.id, running.number, ended_at=now, interrupted=True, sentence=INTERRUPTED)
        if job.job_type is not JobType.JT_SEND:
            self.over(job.id, FAILED, now)
            told = {"status_id": FaxStatus.FS_FATAL_ERROR, "cause": "internal", "sentence": INTERRUPTED}
            return self.change(job.id, job_type=JobType.JT_FAIL_RECEIVE, **told)
        self.change(job.id, uncertain=job.uncertain or bool(running))
        if job.cancel_asked:
            return self.give_up(job.id, CANCELED_RUNNING if running else CANCELED_WAITING, now)
        if running:
            self.change(job.id, sentence=INTERRUPTED)
        return self.back(job.id, PENDING, False, None)

    def expire(self, now: datetime) -> set[int]:
        late = {job.id for job in self.jobs.values() if waits(job) and job.expires_at and job.expires_at <= now}
        for job in late:
            self.over(job, EXCEEDED, now)
        return late

    # --- people

    def cancel(self, job: int, now: datetime) -> StoredJob:
        found = self.jobs[job]
        if waits(found):
            return self.give_up(job, CANCELED_WAITING, now)
        return self.change(job, cancel_asked=True) if found.status is RUNNING else found

    def pause(self, job: int, paused: bool) -> StoredJob:
        return self.change(job, paused=paused) if waits(self.jobs[job]) else self.jobs[job]

    def set_priority(self, job: int, priority: Priority) -> StoredJob:
        return self.jobs[job] if self.jobs[job].ended_at else self.change(job, priority=priority)

    def reschedule(self, job: int, at: datetime | None) -> StoredJob:
        return self.change(job, schedule_at=at) if waits(self.jobs[job]) else self.jobs[job]

    def retry_now(self, job: int, now: datetime) -> StoredJob:
        found = self.jobs[job]
        if waits(found):
            return self.change(job, schedule_at=None, next_attempt_at=None)
        if found.job_type is JobType.JT_SEND and found.status in (FAILED, EXCEEDED):
            expires_at = None if found.expires_at and found.expires_at <= now else found.expires_at
            anew = {"schedule_at": None, "failures": 0, "cancel_asked": False, "ended_at": None}
            return self.change(job, status=PENDING, expires_at=expires_at, **anew)
        return found

    # --- received faxes

    def end_receive(
        self, job: int, end: AttemptEnd, fax: StoredFax, targets: Sequence[NewDelivery], now: datetime
    ) -> list[StoredDelivery]:
        found = self.jobs.get(job)
        if found is None or (found.job_type, found.status) != (JobType.JT_RECEIVE, RUNNING):
            raise LeaseLost
        self.end_attempt(found, 1, end, now)
        kind = JobType.JT_FAIL_RECEIVE if end.status is FAILED else JobType.JT_RECEIVE
        self.change(job, job_type=kind, document=fax.document or "", pages=end.pages_confirmed)
        return self.keep(fax, targets, now)

    def add_fax(
        self, fax: StoredFax, targets: Sequence[NewDelivery], now: datetime, kind: JobType
    ) -> list[StoredDelivery]:
        if fax.job in self.faxes:
            return [one for one in self.deliveries.values() if one.job == fax.job]
        whole = kind is JobType.JT_RECEIVE
        status = JobStatusEnum.fjsCOMPLETED if whole else FAILED
        ended_at = now
        if fax.job not in self.jobs:
            self.jobs[fax.job] = blank(fax.job, kind, status, fax.received_at)
        else:
            ended_at = self.jobs[fax.job].ended_at or now
            running = self.running(fax.job)
            if running:
                self.write_attempt(fax.job, running.number, ended_at=now, interrupted=True, sentence=INTERRUPTED)
        self.over(fax.job, status, ended_at)
        said: dict[str, object] = {
            "job_type": kind,
            "document": fax.document,
            "pages": fax.record.get("pages", 0),
            "record": {},
            "sentence": "",
            "cause": "",
        }
        said["status_id"] = FaxStatus.FS_COMPLETED if whole else FaxStatus.FS_FATAL_ERROR
        self.change(fax.job, **said)
        return self.keep(fax, targets, now)

    def keep(self, fax: StoredFax, targets: Sequence[NewDelivery], now: datetime) -> list[StoredDelivery]:
        self.faxes[fax.job] = fax
        made = []
        for target in targets:
            self.made += 1
            made.append(
                StoredDelivery(
                    id=self.made,
                    job=fax.job,
                    rule=target.rule,
                    kind=target.kind,
                    target=target.target,
                    state=DeliveryState.WAITING,
                    created_at=now,
                    next_attempt_at=now,
                )
            )
        self.deliveries |= {delivery.id: delivery for delivery in made}
        return made

    def claim_deliveries(self, host: str, now: datetime, lease: float, limit: int) -> list[StoredDelivery]:
        due = [one for one in self.deliveries.values() if (at := due_at(one)) and at <= now]
        due.sort(key=lambda one: (due_at(one) or now, one.id))
        for one in due[:limit]:
            self.deliveries[one.id] = replace(
                one,
                state=DeliveryState.RUNNING,
                next_attempt_at=None,
                lease_owner=host,
                lease_until=now + timedelta(seconds=lease),
                lease_term=one.lease_term + 1,
            )
        return [self.deliveries[one.id] for one in due[:limit]]

    def end_delivery(
        self, delivery: StoredDelivery, ok: bool, sentence: str, retry_at: datetime | None, now: datetime
    ) -> StoredDelivery:
        found = self.deliveries.get(delivery.id)
        if found is None or (found.state, found.lease_owner, found.lease_term) != (
            DeliveryState.RUNNING,
            delivery.lease_owner,
            delivery.lease_term,
        ):
            raise LeaseLost
        again = None if ok else retry_at
        ended = DeliveryState.DONE if ok else DeliveryState.GIVEN_UP
        result = replace(
            found,
            state=DeliveryState.WAITING if again else ended,
            next_attempt_at=again,
            ended_at=None if again else now,
            lease_owner="",
            lease_until=None,
            attempts=found.attempts + 1,
            sentence=sentence,
        )
        self.deliveries[found.id] = result
        tried = DeliveryAttempt(
            delivery=found.id, number=result.attempts, started_at=now, ended_at=now, ok=ok, sentence=sentence
        )
        self.tries.setdefault(found.id, []).append(tried)
        if not self.undelivered(found.job):
            self.faxes[found.job] = replace(self.faxes[found.job], delivered_at=now)
        return result

    def undelivered(self, job: int) -> bool:
        return any(one.job == job and one.state is not DeliveryState.DONE for one in self.deliveries.values())

    def retry_delivery(self, delivery: int, now: datetime) -> StoredDelivery:
        found = self.deliveries[delivery]
        if found.state in (DeliveryState.WAITING, DeliveryState.GIVEN_UP):
            found = replace(found, state=DeliveryState.WAITING, next_attempt_at=now, ended_at=None)
            self.deliveries[delivery] = found
        return found

    def overdue(self, now: datetime, older_than: float) -> list[StoredDelivery]:
        by = now - timedelta(seconds=older_than)
        late = [
            replace(one, alarmed_at=now)
            for one in self.deliveries.values()
            if one.state is not DeliveryState.DONE and one.created_at <= by and one.alarmed_at is None
        ]
        self.deliveries |= {one.id: one for one in late}
        return late

    def removable(self, before: datetime) -> list[StoredFax]:
        found = [
            fax
            for fax in self.faxes.values()
            if fax.document and fax.removed_at is None and fax.received_at < before and not self.undelivered(fax.job)
        ]
        return sorted(found, key=lambda fax: (fax.received_at, fax.job))

    def mark_removed(self, job: int, now: datetime) -> None:
        if self.faxes[job].removed_at is None:
            self.faxes[job] = replace(self.faxes[job], removed_at=now)

    def prune(self, before: datetime) -> int:
        gone = [
            job.id
            for job in self.jobs.values()
            if job.ended_at
            and job.ended_at < before
            and not self.undelivered(job.id)
            and ((fax := self.faxes.get(job.id)) is None or not fax.document or fax.removed_at)
        ]
        for job_id in gone:
            del self.jobs[job_id]
            self.attempts.pop(job_id, None)
            self.faxes.pop(job_id, None)
            for delivery in [one.id for one in self.deliveries.values() if one.job == job_id]:
                del self.deliveries[delivery]
                self.tries.pop(delivery, None)
        return len(gone)


def waits(job: StoredJob) -> bool:
    return job.job_type is JobType.JT_SEND and job.status in (PENDING, RETRYING)


def due_at(delivery: StoredDelivery) -> datetime | None:
    return delivery.lease_until if delivery.state is DeliveryState.RUNNING else delivery.next_attempt_at


def blank(job: int, kind: JobType, status: JobStatusEnum, now: datetime, **fields: object) -> StoredJob:
    empty: dict[str, object] = dict.fromkeys(
        ("document", "owner", "sender_name", "sender_number", "subject", "subaddress", "sender_password"), ""
    )
    empty |= dict.fromkeys(("schedule_at", "next_attempt_at", "expires_at", "ended_at"))
    empty |= {"submission": 0, "pages": 0, "recipient": Recipient(number=""), "priority": Priority.NORMAL}
    empty |= {"max_retries": 0, "retry_delay": 0.0, "id": job, "job_type": kind, "status": status, "created_at": now}
    return StoredJob(**(empty | fields))  # type: ignore[arg-type]
