"""What people do with jobs: in time it changes them, too late it changes nothing."""

from collections.abc import Callable

import pytest

from tests.host.store.examples import ANNE, BUSY, COMPLETED, HOUR, MINUTE, NOON, claim, submit
from vfax.fsp.constants import JobStatusEnum
from vfax.host.store.store import Store
from vfax.host.store.transitions import CANCELED_WAITING
from vfax.host.store.values import AttemptEnd, Priority, StoredJob

Act = Callable[[Store, int], StoredJob | None]
ACTS: dict[str, Act] = {
    "cancel": lambda store, job: store.cancel(job, NOON + HOUR),
    "pause": lambda store, job: store.pause(job, NOON + HOUR),
    "resume": lambda store, job: store.resume(job, NOON + HOUR),
    "set_priority": lambda store, job: store.set_priority(job, Priority.HIGH),
    "reschedule": lambda store, job: store.reschedule(job, NOON + 9 * HOUR),
    "retry_now": lambda store, job: store.retry_now(job, NOON + HOUR),
}


@pytest.mark.parametrize("act", ACTS)
def test_unknown_job_is_none(store: Store, act: str) -> None:
    assert ACTS[act](store, 0x12345) is None


@pytest.mark.parametrize("act", ACTS)
def test_completed_job_is_left_as_it_is(store: Store, act: str) -> None:
    submit(store)
    job = claim(store)
    store.begin_attempt(job, device_id=1, now=NOON)
    ended = store.end_attempt(job, 1, COMPLETED, NOON)
    assert ACTS[act](store, job.id) == ended
    assert store.job(job.id) == ended


@pytest.mark.parametrize("act", [name for name in ACTS if name != "cancel"])
def test_cancelled_job_is_left_as_it_is(store: Store, act: str) -> None:
    job = submit(store)
    ended = store.cancel(job.id, NOON)
    assert ended is not None
    assert (ended.status, ended.ended_at, ended.sentence) == (JobStatusEnum.fjsCANCELED, NOON, CANCELED_WAITING)
    assert ACTS[act](store, job.id) == ended
    assert store.cancel(job.id, NOON + HOUR) == ended


@pytest.mark.parametrize("act", ["pause", "resume", "reschedule", "retry_now"])
def test_running_job_can_be_neither_paused_nor_moved(store: Store, act: str) -> None:
    submit(store)
    job = claim(store)
    assert ACTS[act](store, job.id) == job
    assert store.renew(ANNE, {job.id: job.lease_term}, NOON, lease=60) == {job.id}


def test_there_is_something_to_do_until_every_job_to_send_has_ended(store: Store) -> None:
    assert not store.anything_to_do()
    submit(store)
    assert store.anything_to_do()
    job = claim(store)
    store.begin_attempt(job, device_id=1, now=NOON)
    assert store.anything_to_do()
    store.end_attempt(job, 1, COMPLETED, NOON)
    assert not store.anything_to_do()
    later = submit(store)
    store.pause(later.id, NOON)
    assert store.anything_to_do()
    store.cancel(later.id, NOON)
    assert not store.anything_to_do()


def test_paused_job_is_passed_by_until_it_is_resumed(store: Store) -> None:
    first, second = submit(store, "1"), submit(store, "2")
    paused = store.pause(first.id, NOON)
    assert paused is not None
    assert (paused.paused, paused.status) == (True, JobStatusEnum.fjsPENDING)
    assert claim(store).id == second.id
    assert store.next_due() is None
    resumed = store.resume(first.id, NOON)
    assert resumed is not None
    assert not resumed.paused
    assert claim(store).id == first.id


def test_priority_moves_a_waiting_job(store: Store) -> None:
    submit(store, "1")
    second = submit(store, "2")
    store.set_priority(second.id, Priority.HIGH)
    (job,) = store.claim(ANNE, NOON, lease=60, limit=1)
    assert job.id == second.id


def test_rescheduled_job_waits_for_both_of_its_times(store: Store) -> None:
    submit(store)
    job = claim(store)
    store.begin_attempt(job, device_id=1, now=NOON)
    store.end_attempt(job, 1, BUSY, NOON)  # next attempt in an hour
    moved = store.reschedule(job.id, NOON + MINUTE)
    assert moved is not None
    assert (moved.schedule_at, store.next_due()) == (NOON + MINUTE, NOON + HOUR)
    store.reschedule(job.id, NOON + 2 * HOUR)
    assert store.next_due() == NOON + 2 * HOUR
    store.reschedule(job.id, None)
    assert store.next_due() == NOON + HOUR


def test_waiting_job_is_due_at_once_when_somebody_says_so(store: Store) -> None:
    submit(store)
    job = claim(store)
    store.begin_attempt(job, device_id=1, now=NOON)
    store.end_attempt(job, 1, BUSY, NOON)
    store.reschedule(job.id, NOON + 2 * HOUR)
    again = store.retry_now(job.id, NOON)
    assert again is not None
    assert (again.status, again.failures) == (JobStatusEnum.fjsRETRYING, 1)
    assert (again.schedule_at, again.next_attempt_at) == (None, None)
    assert claim(store).id == job.id


@pytest.mark.parametrize("status", [JobStatusEnum.fjsFAILED, JobStatusEnum.fjsRETRIES_EXCEEDED])
def test_failed_job_can_be_sent_again(store: Store, status: JobStatusEnum) -> None:
    submit(store, expires_at=NOON + MINUTE)
    job = claim(store)
    store.begin_attempt(job, device_id=1, now=NOON)
    end = AttemptEnd(status=status, status_id=0x20000800, cause="x", sentence="It failed.", next_page=2)
    assert store.end_attempt(job, 1, end, NOON).ended_at == NOON
    again = store.retry_now(job.id, NOON + HOUR)
    assert again is not None
    assert (again.status, again.ended_at, again.failures, again.attempts) == (JobStatusEnum.fjsPENDING, None, 0, 1)
    assert (again.next_page, again.expires_at) == (2, None)
    assert claim(store, at=NOON + HOUR).id == job.id


def test_failed_reception_is_not_sent_again(store: Store) -> None:
    store.receive(9, device_id=1, host=ANNE, now=NOON)
    (ended,) = store.repair(ANNE, NOON)
    assert store.retry_now(9, NOON) == ended


def test_running_reception_is_asked_to_end(store: Store) -> None:
    store.receive(9, device_id=1, host=ANNE, now=NOON)
    asked = store.cancel(9, NOON)
    assert asked is not None
    assert (asked.cancel_asked, asked.status) == (True, JobStatusEnum.fjsINPROGRESS)


def test_pausing_the_queue_is_for_all_hosts_and_stays(open_store: Callable[..., Store]) -> None:
    open_store().pause_queue(True)
    other = open_store()
    assert other.queue_paused()
    other.pause_queue(True)
    assert other.queue_paused()
    other.pause_queue(False)
    assert not other.queue_paused()
