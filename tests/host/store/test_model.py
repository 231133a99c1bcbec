"""A long random walk: whatever is done in whatever order, the store does what its model does.

Each step is drawn from a seed that the test's name shows. Handles of jobs and deliveries are kept long after they were
lost, so that stale hosts act all the time; time goes on by odd steps, so that leases run out and schedules fall due.
"""

import random
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from tests.host.store.examples import ANNE, BERT, FOLDER, MAIL, NOON
from tests.host.store.model import Model
from vfax.errors import LeaseLost, MisuseError
from vfax.fsp.constants import FaxStatus, JobStatusEnum, JobType
from vfax.host.store.store import Store
from vfax.host.store.values import (
    AttemptEnd,
    Priority,
    Recipient,
    StoredDelivery,
    StoredFax,
    StoredJob,
    Submission,
)

STEPS = 400
ENDS = (
    JobStatusEnum.fjsCOMPLETED,
    JobStatusEnum.fjsFAILED,
    JobStatusEnum.fjsCANCELED,
    JobStatusEnum.fjsRETRIES_EXCEEDED,
    JobStatusEnum.fjsPENDING,
    JobStatusEnum.fjsRETRYING,
    JobStatusEnum.fjsRETRYING,
    JobStatusEnum.fjsINPROGRESS,
)


class Walk:
    """The store and its model, side by side."""

    def __init__(self, open_store: Callable[..., Store], seed: int) -> None:
        self.dice = random.Random(seed)
        self.now = NOON
        self.store = open_store(job_ids=drawing(seed))
        self.model = Model(drawing(seed))
        self.handles: list[StoredJob] = []
        self.delivering: list[StoredDelivery] = []
        self.received = 50_000

    def step(self) -> None:
        if self.dice.random() < 0.7:
            self.now += timedelta(seconds=self.dice.choice((0.001, 1, 2, 5, 45)))
        names = [name for name in dir(self) if name.startswith("do_")]
        getattr(self, self.dice.choice(names))()

    def same(self, ask: Callable[[], object], expect: Callable[[], object]) -> object:
        """Both give the same, or raise the same kind of error."""
        told, expected = outcome(ask), outcome(expect)
        assert told == expected
        return told

    def later(self) -> datetime | None:
        return self.dice.choice((None, self.now, self.now + timedelta(seconds=self.dice.choice((5, 60, 600)))))

    def any_job(self) -> int:
        if not self.model.jobs:
            self.do_submit()
        return self.dice.choice(list(self.model.jobs))

    def letter(self, count: int) -> Submission:
        return Submission(
            document=f"{self.dice.randrange(10**6)}.tif",
            pages=3,
            recipients=tuple(Recipient(number=f"+49{number}") for number in range(count)),
            priority=self.dice.choice(list(Priority)),
            schedule_at=self.later(),
            expires_at=self.dice.choice((None, None, self.now + timedelta(seconds=300))),
        )

    def do_submit(self) -> None:
        letter = self.letter(self.dice.choice((1, 1, 3)))
        self.same(lambda: self.store.submit(letter, self.now), lambda: self.model.submit(letter, self.now))

    def do_receive(self) -> None:
        self.received += 1
        host = self.dice.choice((ANNE, BERT))
        job = self.received
        made = self.same(
            lambda: self.store.receive(job, device_id=1, host=host, now=self.now),
            lambda: self.model.receive(job, host, self.now),
        )
        assert isinstance(made, StoredJob)
        self.handles.append(made)

    def do_claim(self) -> None:
        host, limit, lease = self.dice.choice((ANNE, BERT)), self.dice.choice((1, 2, 5)), self.dice.choice((30.0, 90.0))
        held = self.same(
            lambda: self.store.claim(host, self.now, lease=lease, limit=limit),
            lambda: self.model.claim(host, self.now, lease, limit),
        )
        assert isinstance(held, list)
        self.handles += held

    do_claim_again = do_claim

    def do_take(self) -> None:
        host, devices = self.dice.choice((ANNE, BERT)), self.dice.choice(((2,), (2, 2), (2, 2, 2, 2)))
        taken = self.same(
            lambda: self.store.take(host, self.now, lease=60.0, devices=devices),
            lambda: self.model.take(host, self.now, 60.0, len(devices)),
        )
        assert isinstance(taken, list)
        self.handles += [job for job, _ in taken]

    def handle(self) -> StoredJob | None:
        if not self.handles:
            return None
        sent = [job for job in self.handles if job.job_type is JobType.JT_SEND and self.holds(job)]
        return self.dice.choice(sent if sent and self.dice.random() < 0.8 else self.handles[-12:])

    def holds(self, job: StoredJob) -> bool:
        return outcome(lambda: self.model.held(job)) is not LeaseLost

    def do_renew(self) -> None:
        host = self.dice.choice((ANNE, BERT))
        leases = {job.id: job.lease_term for job in self.handles[-6:]}
        self.same(
            lambda: self.store.renew(host, leases, self.now, lease=60.0),
            lambda: self.model.renew(host, leases, self.now, 60.0),
        )

    def do_begin(self) -> None:
        if job := self.handle():
            self.same(
                lambda: self.store.begin_attempt(job, device_id=2, now=self.now),
                lambda: self.model.begin_attempt(job, self.now),
            )

    do_begin_again = do_begin
    do_begin_more = do_begin

    def number(self, job: StoredJob) -> int:
        running = self.model.running(job.id)
        return running.number if running and self.dice.random() < 0.9 else self.dice.choice((0, 1, 2))

    def do_pages(self) -> None:
        if job := self.handle():
            attempt, page = self.number(job), self.dice.choice((1, 2, 3))
            self.same(
                lambda: self.store.note_pages(job, attempt, page - 1, page),
                lambda: self.model.note_pages(job, attempt, page - 1, page),
            )

    def end(self, status: JobStatusEnum) -> AttemptEnd:
        return AttemptEnd(
            status=status,
            status_id=self.dice.choice((FaxStatus.FS_BUSY, FaxStatus.FS_COMPLETED, 0xFFFFFFFF)),
            cause=self.dice.choice(("busy", "complete")),
            sentence=self.dice.choice(("Once.", "a\0\udc80\\u0041")),
            pages_confirmed=self.dice.choice((0, 2)),
            next_page=self.dice.choice((1, 3)),
            next_attempt_at=self.later(),
            no_line=self.dice.random() < 0.3,
            counts=self.dice.random() < 0.7,
            rate_limit_bps=self.dice.choice((0, 9600)),
            ecm=self.dice.choice((None, True, False)),
            uncertain=self.dice.random() < 0.2,
            record={"x": self.dice.random()},
        )

    def do_end(self) -> None:
        job = self.handle()
        if job and job.job_type is JobType.JT_SEND:
            attempt, end = self.number(job), self.end(self.dice.choice(ENDS))
            self.same(
                lambda: self.store.end_attempt(job, attempt, end, self.now),
                lambda: self.model.end_attempt(job, attempt, end, self.now),
            )

    do_end_again = do_end
    do_end_more = do_end

    def do_put_back(self) -> None:
        if job := self.handle():
            no_line, at = self.dice.random() < 0.5, self.later()
            self.same(
                lambda: self.store.put_back(job, no_line=no_line, next_attempt_at=at, now=self.now),
                lambda: self.model.put_back(job, no_line, at, self.now),
            )

    def do_repair(self) -> None:
        host = self.dice.choice((None, None, None, ANNE, BERT))
        self.same(lambda: self.store.repair(host, self.now), lambda: self.model.repair(host, self.now))

    def do_expire(self) -> None:
        told = self.store.expire(self.now)
        assert {job.id for job in told} == self.model.expire(self.now)
        for job in told:  # the sentence has a test of its own
            assert job == self.model.change(job.id, sentence=job.sentence)

    def do_people(self) -> None:
        job, dice = self.any_job(), self.dice
        at, priority = self.later(), dice.choice(list(Priority))
        asks: list[tuple[Callable[[], object], Callable[[], object]]] = [
            (lambda: self.store.cancel(job, self.now), lambda: self.model.cancel(job, self.now)),
            (lambda: self.store.pause(job, self.now), lambda: self.model.pause(job, True)),
            (lambda: self.store.resume(job, self.now), lambda: self.model.pause(job, False)),
            (lambda: self.store.set_priority(job, priority), lambda: self.model.set_priority(job, priority)),
            (lambda: self.store.reschedule(job, at), lambda: self.model.reschedule(job, at)),
            (lambda: self.store.retry_now(job, self.now), lambda: self.model.retry_now(job, self.now)),
        ]
        self.same(*dice.choice(asks))

    do_people_again = do_people

    def do_queue(self) -> None:
        self.model.paused = self.dice.random() < 0.2
        self.store.pause_queue(self.model.paused)

    def do_end_receive(self) -> None:
        going = [job.id for job in self.handles if job.job_type is JobType.JT_RECEIVE]
        if not going:
            return
        job = self.dice.choice(going[-4:])
        fax = StoredFax(
            job=job,
            received_at=self.now,
            record={"of": job},
            document=self.dice.choice((None, "a.tif")),
            octets=self.dice.randrange(1 << 33),
        )
        targets = [FOLDER, MAIL, FOLDER][: self.dice.randrange(3)]
        end = self.end(self.dice.choice(ENDS[:3]))
        self.same(
            lambda: self.store.end_receive(job, end, fax, targets, self.now),
            lambda: self.model.end_receive(job, end, fax, targets, self.now),
        )

    def do_add_fax(self) -> None:
        going = [job.id for job in self.handles if job.job_type is JobType.JT_RECEIVE]
        self.received += 1
        job = self.dice.choice([*going[-8:], self.received])
        kind = self.dice.choice((JobType.JT_RECEIVE, JobType.JT_FAIL_RECEIVE))
        fax = StoredFax(job=job, received_at=self.now, record={}, document="found.tif", octets=5)
        self.same(
            lambda: self.store.add_fax(fax, [MAIL], self.now, job_type=kind),
            lambda: self.model.add_fax(fax, [MAIL], self.now, kind),
        )

    def do_claim_deliveries(self) -> None:
        host, limit = self.dice.choice((ANNE, BERT)), self.dice.choice((1, 3))
        held = self.same(
            lambda: self.store.claim_deliveries(host, self.now, lease=30.0, limit=limit),
            lambda: self.model.claim_deliveries(host, self.now, 30.0, limit),
        )
        assert isinstance(held, list)
        self.delivering += held

    def do_end_delivery(self) -> None:
        if not self.delivering:
            return
        held, ok, at = self.dice.choice(self.delivering[-6:]), self.dice.random() < 0.6, self.later()
        self.same(
            lambda: self.store.end_delivery(held, ok=ok, sentence="so", retry_at=at, started_at=self.now, now=self.now),
            lambda: self.model.end_delivery(held, ok, "so", at, self.now),
        )

    do_end_delivery_again = do_end_delivery

    def do_deliveries(self) -> None:
        self.same(lambda: self.store.overdue(self.now, older_than=50), lambda: self.model.overdue(self.now, 50))
        if self.model.deliveries:
            one = self.dice.choice(list(self.model.deliveries))
            self.same(
                lambda: self.store.retry_delivery(one, self.now), lambda: self.model.retry_delivery(one, self.now)
            )

    def do_keeping(self) -> None:
        before = self.now - timedelta(seconds=200)
        found = self.same(lambda: self.store.removable(before=before, limit=1000), lambda: self.model.removable(before))
        assert isinstance(found, list)
        for fax in found[:2]:
            self.store.mark_removed(fax.job, self.now)
            self.model.mark_removed(fax.job, self.now)
        if self.dice.random() < 0.3:
            self.same(lambda: self.store.prune(jobs_before=before, keep_events=0), lambda: self.model.prune(before))

    def compare(self) -> None:
        """Everything the store holds is what the model holds."""
        store, model = self.store, self.model
        assert store.jobs(limit=10_000) == list(model.jobs.values())[::-1]
        for job in model.jobs:
            assert store.attempts(job) == model.attempts.get(job, [])
        newest = sorted(model.faxes.values(), key=lambda fax: (fax.received_at, fax.job), reverse=True)
        assert store.faxes(limit=10_000) == newest
        undelivered = [fax for fax in newest if model.undelivered(fax.job)]
        assert store.faxes(delivered=False, limit=10_000) == undelivered
        assert store.deliveries(limit=10_000) == list(model.deliveries.values())[::-1]
        for delivery in model.deliveries:
            assert store.delivery_attempts(delivery) == model.tries.get(delivery, [])
        statuses = [job.status for job in model.jobs.values()]
        needed = [
            job.document
            for job in model.jobs.values()
            if job.job_type is JobType.JT_SEND
            and job.status not in (JobStatusEnum.fjsCOMPLETED, JobStatusEnum.fjsCANCELED)
        ]
        assert store.documents() == set(needed)
        assert store.counts() == {status: statuses.count(status) for status in set(statuses)}
        kept = [fax.octets for fax in newest if fax.document and not fax.removed_at]
        assert store.octets_kept() == sum(kept)
        self.compare_due()

    def compare_due(self) -> None:
        due = self.store.next_due()
        if self.model.paused:
            assert due is None
        elif self.model.due(self.now):
            assert due is not None
            assert due <= self.now
        else:
            assert due == self.model.next_later()


def drawing(seed: int) -> Callable[[], int]:
    """Job numbers from so few that some are drawn twice; those of received faxes are others."""
    dice = random.Random(f"numbers {seed}")
    return lambda: dice.randrange(1, 3000)


def outcome(ask: Callable[[], object]) -> object:
    try:
        return ask()
    except (LeaseLost, MisuseError) as why:
        return type(why)


@pytest.mark.parametrize("seed", range(4))
def test_store_does_what_its_model_does(open_store: Callable[..., Store], seed: int) -> None:
    walk = Walk(open_store, seed)
    for at in range(STEPS):
        walk.step()
        if at % 20 == 0:
            walk.compare()
    walk.compare()
    assert len(walk.handles) > 20
