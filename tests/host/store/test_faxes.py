"""Received faxes and their deliveries: each is done once, or known not to be."""

from dataclasses import replace
from functools import partial

import pytest

from tests.host.store.examples import (
    ANNE,
    BERT,
    COMPLETED,
    FOLDER,
    HOUR,
    MAIL,
    MINUTE,
    NOON,
    deliver,
    fax,
    received,
    submit,
)
from vfax.errors import LeaseLost, MisuseError, StoreError
from vfax.fsp.constants import JobStatusEnum, JobType
from vfax.host.store.store import Store
from vfax.host.store.transitions import INTERRUPTED
from vfax.host.store.values import DeliveryState, StoredDelivery

FAILED = replace(COMPLETED, status=JobStatusEnum.fjsFAILED, cause="network", sentence="The line broke.")


def claim_one(store: Store, host: str = ANNE, lease: float = 60.0) -> StoredDelivery:
    (delivery,) = store.claim_deliveries(host, NOON, lease=lease, limit=1)
    return delivery


def test_fax_its_end_and_its_deliveries_are_written_as_one(store: Store) -> None:
    store.receive(5, device_id=3, host=ANNE, now=NOON)
    made = store.end_receive(5, COMPLETED, fax(5), [FOLDER, MAIL], NOON + MINUTE)
    assert [(one.rule, one.kind, one.target) for one in made] == [
        ("all", "folder", {"folder": "in"}),
        ("sales", "mail", {"to": "sales@example.com"}),
    ]
    assert all(one.state is DeliveryState.WAITING and one.next_attempt_at == NOON + MINUTE for one in made)
    assert store.deliveries(5) == made
    job = store.job(5)
    assert job is not None
    assert (job.status, job.job_type, job.ended_at) == (
        JobStatusEnum.fjsCOMPLETED,
        JobType.JT_RECEIVE,
        NOON + MINUTE,
    )
    assert (job.document, job.pages, job.lease_owner) == ("inbox/f.tif", 2, "")
    (attempt,) = store.attempts(5)
    assert (attempt.pages_confirmed, attempt.ended_at) == (2, NOON + MINUTE)
    assert store.fax(5) == fax(5)


def test_failed_reception_keeps_what_came(store: Store) -> None:
    store.receive(5, device_id=3, host=ANNE, now=NOON)
    assert store.end_receive(5, FAILED, fax(5, document=None), [], NOON) == []
    job = store.job(5)
    assert job is not None
    assert (job.status, job.job_type, job.sentence) == (
        JobStatusEnum.fjsFAILED,
        JobType.JT_FAIL_RECEIVE,
        "The line broke.",
    )
    assert job.document == ""


def test_reception_that_cannot_be_kept_whole_is_not_ended(store: Store) -> None:
    job = store.receive(5, device_id=3, host=ANNE, now=NOON)
    with pytest.raises(MisuseError, match="JSON"):
        store.end_receive(5, COMPLETED, fax(5), [FOLDER, replace(MAIL, target={"to": {1, 2}})], NOON)
    with pytest.raises(MisuseError, match="of job 00000006, not of job 00000005"):
        store.end_receive(5, COMPLETED, fax(6), [FOLDER], NOON)
    for status in (JobStatusEnum.fjsPENDING, JobStatusEnum.fjsRETRIES_EXCEEDED):
        with pytest.raises(MisuseError, match="cannot end with"):
            store.end_receive(5, replace(COMPLETED, status=status), fax(5), [FOLDER], NOON)
    assert store.job(5) == job
    assert store.fax(5) is None


@pytest.mark.parametrize("job", [77, None])
def test_reception_of_an_unknown_or_sent_job_cannot_end(store: Store, job: int | None) -> None:
    number = job or submit(store).id
    with pytest.raises(LeaseLost, match="not being received"):
        store.end_receive(number, COMPLETED, fax(number), [FOLDER], NOON)


def test_fax_found_after_a_crash_gets_a_job(store: Store) -> None:
    found = replace(fax(5), record={"pages": 3, "outcome": {"sentence": "Three pages.", "cause": "complete"}})
    made = store.add_fax(found, [FOLDER], NOON + HOUR, job_type=JobType.JT_RECEIVE)
    assert [one.rule for one in made] == ["all"]
    job = store.job(5)
    assert job is not None
    assert (job.status, job.job_type, job.created_at) == (JobStatusEnum.fjsCOMPLETED, JobType.JT_RECEIVE, NOON)
    assert (job.ended_at, job.pages, job.sentence, job.cause) == (NOON + HOUR, 3, "Three pages.", "complete")
    assert store.add_fax(found, [FOLDER, MAIL], NOON + HOUR, job_type=JobType.JT_FAIL_RECEIVE) == made
    assert store.job(5) == job


@pytest.mark.parametrize("said", [None, True, -1, 1 << 32, "3"])
def test_fax_found_with_a_record_that_tells_no_pages_has_none(said: object, store: Store) -> None:
    store.add_fax(replace(fax(5), record={"pages": said}), [], NOON, job_type=JobType.JT_FAIL_RECEIVE)
    job = store.job(5)
    assert job is not None
    assert job.pages == 0


def test_fax_of_an_interrupted_job_ends_it_as_what_it_is(store: Store) -> None:
    store.receive(5, device_id=3, host=ANNE, now=NOON)
    store.add_fax(fax(5), [FOLDER], NOON + HOUR, job_type=JobType.JT_RECEIVE)
    job = store.job(5)
    assert job is not None
    assert (job.status, job.lease_owner, job.ended_at) == (JobStatusEnum.fjsCOMPLETED, "", NOON + HOUR)
    (attempt,) = store.attempts(5)
    assert (attempt.interrupted, attempt.sentence) == (True, INTERRUPTED)
    store.receive(6, device_id=3, host=ANNE, now=NOON)
    store.repair(ANNE, NOON + MINUTE)
    store.add_fax(fax(6), [FOLDER], NOON + HOUR, job_type=JobType.JT_FAIL_RECEIVE)
    repaired = store.job(6)
    assert repaired is not None
    assert (repaired.status, repaired.ended_at) == (JobStatusEnum.fjsFAILED, NOON + MINUTE)


def test_fax_under_the_number_of_a_sent_one_is_refused(store: Store) -> None:
    job = submit(store)
    with pytest.raises(StoreError, match="sends a fax"):
        store.add_fax(fax(job.id), [FOLDER], NOON, job_type=JobType.JT_RECEIVE)
    with pytest.raises(MisuseError, match="JT_SEND"):
        store.add_fax(fax(5), [FOLDER], NOON, job_type=JobType.JT_SEND)
    assert store.job(job.id) == job


def test_fax_is_delivered_when_all_its_deliveries_are(store: Store) -> None:
    received(store, 5, FOLDER, MAIL)
    first = claim_one(store)
    store.end_delivery(first, ok=True, sentence="ok", retry_at=None, started_at=NOON, now=NOON + MINUTE)
    assert store.faxes(delivered=True) == []
    second = claim_one(store)
    store.end_delivery(second, ok=True, sentence="ok", retry_at=None, started_at=NOON, now=NOON + HOUR)
    (done,) = store.faxes(delivered=True)
    assert done.delivered_at == NOON + HOUR
    assert store.faxes(delivered=False) == []


def test_there_is_something_to_do_until_every_delivery_is_done_or_given_up(store: Store) -> None:
    received(store, 5, FOLDER, MAIL)
    assert store.anything_to_do()
    first, end = claim_one(store), partial(store.end_delivery, sentence="", started_at=NOON, now=NOON)
    end(first, ok=True, retry_at=None)
    again = end(claim_one(store), ok=False, retry_at=NOON)
    assert store.anything_to_do(), "one is tried again"
    assert again.state is DeliveryState.WAITING
    end(claim_one(store), ok=False, retry_at=None)
    assert not store.anything_to_do()


def test_failed_try_is_kept_and_made_again(store: Store) -> None:
    received(store, 5, FOLDER)
    delivery = claim_one(store)
    assert (delivery.state, delivery.lease_owner, delivery.lease_until) == (
        DeliveryState.RUNNING,
        ANNE,
        NOON + MINUTE,
    )
    waiting = store.end_delivery(
        delivery, ok=False, sentence="Folder full.", retry_at=NOON + HOUR, started_at=NOON, now=NOON + MINUTE
    )
    assert (waiting.state, waiting.next_attempt_at, waiting.lease_until) == (
        DeliveryState.WAITING,
        NOON + HOUR,
        None,
    )
    assert (waiting.attempts, waiting.sentence, waiting.ended_at) == (1, "Folder full.", None)
    assert store.claim_deliveries(ANNE, NOON + MINUTE, lease=60, limit=9) == []
    (again,) = store.claim_deliveries(BERT, NOON + HOUR, lease=60, limit=9)
    store.end_delivery(again, ok=True, sentence="done", retry_at=None, started_at=NOON + HOUR, now=NOON + HOUR)
    tries = store.delivery_attempts(delivery.id)
    assert [(one.number, one.ok, one.sentence) for one in tries] == [(1, False, "Folder full."), (2, True, "done")]
    assert (tries[0].started_at, tries[0].ended_at) == (NOON, NOON + MINUTE)


def test_delivery_without_another_try_is_given_up_and_may_be_retried(store: Store) -> None:
    received(store, 5, FOLDER)
    given_up = store.end_delivery(
        claim_one(store), ok=False, sentence="No.", retry_at=None, started_at=NOON, now=NOON + MINUTE
    )
    assert (given_up.state, given_up.ended_at) == (DeliveryState.GIVEN_UP, NOON + MINUTE)
    assert [found.job for found in store.faxes(delivered=False)] == [5]
    assert store.claim_deliveries(ANNE, NOON + HOUR, lease=60, limit=9) == []
    again = store.retry_delivery(given_up.id, NOON + HOUR)
    assert again is not None
    assert (again.state, again.next_attempt_at, again.ended_at) == (DeliveryState.WAITING, NOON + HOUR, None)
    deliver(store, NOON + HOUR)
    (done,) = store.deliveries(state=DeliveryState.DONE)
    assert store.retry_delivery(done.id, NOON + HOUR) == done
    assert store.retry_delivery(4711, NOON) is None
    assert len(store.faxes(delivered=True)) == 1


def test_delivery_is_in_one_hand_and_changes_it_with_the_lease(store: Store) -> None:
    received(store, 5, FOLDER)
    slept = claim_one(store, ANNE, lease=60)
    assert store.claim_deliveries(BERT, NOON + 0.5 * MINUTE, lease=60, limit=9) == []
    (taken,) = store.claim_deliveries(BERT, NOON + MINUTE, lease=60, limit=9)
    assert (taken.id, taken.lease_term) == (slept.id, 2)
    assert store.retry_delivery(taken.id, NOON) == taken
    with pytest.raises(LeaseLost, match=r"not host-anne's any more \(term 1\)"):
        store.end_delivery(slept, ok=True, sentence="", retry_at=None, started_at=NOON, now=NOON + MINUTE)
    store.end_delivery(taken, ok=True, sentence="", retry_at=None, started_at=NOON, now=NOON + MINUTE)
    with pytest.raises(LeaseLost):
        store.end_delivery(taken, ok=True, sentence="", retry_at=None, started_at=NOON, now=NOON + MINUTE)
    assert len(store.delivery_attempts(taken.id)) == 1
    assert len(store.faxes(delivered=True)) == 1


def test_delivery_that_nobody_claimed_cannot_be_ended(store: Store) -> None:
    received(store, 5, FOLDER)
    (waiting,) = store.deliveries(5)
    with pytest.raises(LeaseLost):
        store.end_delivery(waiting, ok=True, sentence="", retry_at=None, started_at=NOON, now=NOON)
    assert store.deliveries(5) == [waiting]


def test_late_deliveries_are_told_once(store: Store) -> None:
    received(store, 5, FOLDER, MAIL)
    received(store, 6, FOLDER, at=NOON + HOUR)
    done = claim_one(store)
    store.end_delivery(done, ok=True, sentence="", retry_at=None, started_at=NOON, now=NOON)
    assert store.overdue(NOON + MINUTE, older_than=3600) == []
    (late,) = store.overdue(NOON + HOUR, older_than=3600)
    assert (late.rule, late.alarmed_at) == ("sales", NOON + HOUR)
    assert store.overdue(NOON + HOUR, older_than=3600) == []
    store.end_delivery(
        store.claim_deliveries(ANNE, NOON + HOUR, lease=9, limit=1)[0],
        ok=False,
        sentence="",
        retry_at=None,
        started_at=NOON,
        now=NOON,
    )
    assert [one.job for one in store.overdue(NOON + 2 * HOUR, older_than=3600)] == [6]


def test_faxes_are_listed_newest_first(store: Store) -> None:
    for at, job in enumerate((7, 5, 6)):
        received(store, job, *([FOLDER] if job == 5 else []), at=NOON + at * MINUTE)
    assert [found.job for found in store.faxes()] == [6, 5, 7]
    assert [found.job for found in store.faxes(limit=1)] == [6]
    assert [found.job for found in store.faxes(before=6)] == [5, 7]
    assert [found.job for found in store.faxes(before=6, limit=1)] == [5]
    assert store.faxes(before=99) == []
    assert [found.job for found in store.faxes(delivered=False)] == [5]
    assert [found.job for found in store.faxes(delivered=True)] == [6, 7]


def test_known_faxes_are_told_from_others(store: Store) -> None:
    received(store, 5)
    store.receive(6, device_id=1, host=ANNE, now=NOON)
    assert store.known_faxes([5, 6, 7, *range(100, 2000)]) == {5}
    assert store.known_faxes([]) == set()


def test_deliveries_of_all_jobs_are_newest_first(store: Store) -> None:
    received(store, 5, FOLDER, MAIL)
    received(store, 6, FOLDER)
    assert [one.job for one in store.deliveries()] == [6, 5, 5]
    assert [one.rule for one in store.deliveries(5)] == ["all", "sales"]
    assert [one.job for one in store.deliveries(limit=1)] == [6]
    assert store.deliveries(5, DeliveryState.DONE) == []
    assert store.deliveries(99) == []
    assert store.delivery_attempts(99) == []
