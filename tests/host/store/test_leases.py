"""The queue: what is next, in whose hands it is, and that nobody acts on what is another's."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import pytest

from tests.host.store.examples import (
    ANNE,
    BERT,
    BUSY,
    COMPLETED,
    FOLDER,
    HOUR,
    MINUTE,
    NOON,
    claim,
    fax,
    letter,
    received,
    submit,
)
from vfax.errors import LeaseLost, MisuseError
from vfax.fsp.constants import JobStatusEnum, JobType
from vfax.host.store.store import Store
from vfax.host.store.transitions import INTERRUPTED
from vfax.host.store.values import AttemptEnd, Priority, StoredJob


def numbers(jobs: list[StoredJob]) -> list[str]:
    return [job.recipient.number for job in jobs]


def test_highest_priority_goes_first_then_the_oldest(store: Store) -> None:
    for number, priority in (("n1", 1), ("l1", 0), ("h1", 2), ("n2", 1), ("h2", 2)):
        submit(store, number, priority=Priority(priority))
    assert numbers(store.claim(ANNE, NOON, lease=60, limit=3)) == ["h1", "h2", "n1"]
    assert numbers(store.claim(BERT, NOON, lease=60, limit=9)) == ["n2", "l1"]
    assert store.claim(BERT, NOON, lease=60, limit=9) == []


def test_claimed_job_is_in_progress_under_a_lease(store: Store) -> None:
    submit(store)
    job = claim(store, ANNE, lease=90)
    assert (job.status, job.lease_owner, job.lease_term) == (JobStatusEnum.fjsINPROGRESS, ANNE, 1)
    assert job.lease_until == NOON + 1.5 * MINUTE
    assert store.job(job.id) == job


def test_jobs_are_taken_each_with_an_attempt_on_its_device(store: Store) -> None:
    for number, priority in (("n1", 1), ("h1", 2), ("n2", 1)):
        submit(store, number, priority=Priority(priority))
    taken = store.take(ANNE, NOON, lease=60, devices=(7, 5))
    assert [(job.recipient.number, job.device_id, job.attempts) for job, _ in taken] == [("h1", 7, 1), ("n1", 5, 1)]
    for job, attempt in taken:
        assert (attempt.job, attempt.number, attempt.host, attempt.device_id) == (job.id, 1, ANNE, job.device_id)
        assert store.attempts(job.id) == [attempt]
        assert store.job(job.id) == job
    assert len(store.take(BERT, NOON, lease=60, devices=(1, 2, 3))) == 1
    assert store.take(BERT, NOON, lease=60, devices=(1,)) == []


def test_job_taken_again_goes_on_with_the_next_attempt_and_page(store: Store) -> None:
    submit(store)
    ((job, attempt),) = store.take(ANNE, NOON, lease=60, devices=(1,))
    store.end_attempt(job, attempt.number, replace(BUSY, next_page=3, next_attempt_at=NOON + MINUTE), NOON)
    assert store.take(ANNE, NOON, lease=60, devices=(2,)) == []
    ((job, attempt),) = store.take(ANNE, NOON + MINUTE, lease=60, devices=(2,))
    assert (job.attempts, job.lease_term, attempt.number, attempt.first_page) == (2, 2, 2, 3)


def test_job_taken_by_a_host_that_dies_counts_as_dialled(store: Store) -> None:
    submit(store)
    store.take(ANNE, NOON, lease=60, devices=(1,))
    (job,) = store.repair(ANNE, NOON)
    assert (job.status, job.uncertain) == (JobStatusEnum.fjsPENDING, True)
    assert store.attempts(job.id)[0].interrupted


@pytest.mark.parametrize("devices", ["12", 5, (1, "2"), (-1,), (1.0,), (1,) * 10_001])
def test_nothing_is_taken_for_what_is_no_device(store: Store, devices: object) -> None:
    submit(store)
    with pytest.raises(MisuseError):
        store.take(ANNE, NOON, lease=60, devices=devices)  # type: ignore[arg-type]
    assert store.job(claim(store).id) is not None


def test_nothing_is_taken_from_a_paused_queue(store: Store) -> None:
    submit(store)
    store.pause_queue(True)
    assert store.take(ANNE, NOON, lease=60, devices=(1,)) == []


def test_job_waits_for_its_time(store: Store) -> None:
    submit(store, schedule_at=NOON + HOUR)
    assert store.next_due() == NOON + HOUR
    assert store.claim(ANNE, NOON + HOUR - MINUTE, lease=60, limit=1) == []
    assert claim(store, at=NOON + HOUR).schedule_at == NOON + HOUR
    assert store.next_due() is None


def test_scheduled_job_keeps_its_place_once_it_is_due(store: Store) -> None:
    submit(store, "first", schedule_at=NOON + HOUR)
    submit(store, "second")
    assert numbers(store.claim(ANNE, NOON + 2 * HOUR, lease=60, limit=2)) == ["first", "second"]


def test_what_is_due_now_has_a_time_in_the_past(store: Store) -> None:
    assert store.next_due() is None
    submit(store, schedule_at=NOON + HOUR)
    submit(store)
    due = store.next_due()
    assert due is not None
    assert due <= NOON


def test_claims_find_nothing_while_a_queue_is_paused(store: Store) -> None:
    submit(store)
    store.pause_queue(True)
    assert (store.queue_paused(), store.next_due()) == (True, None)
    assert store.claim(ANNE, NOON, lease=60, limit=1) == []
    store.pause_queue(False)
    assert store.claim(ANNE, NOON, lease=60, limit=0) == []
    assert claim(store).lease_owner == ANNE


def test_job_past_its_expiry_is_not_claimed_but_given_up(store: Store) -> None:
    early = submit(store, expires_at=NOON + MINUTE)
    paused = submit(store, expires_at=NOON + MINUTE)
    late = submit(store, expires_at=NOON + HOUR)
    store.pause(paused.id, NOON)
    assert store.expire(NOON) == []
    assert [job.id for job in store.claim(ANNE, NOON + MINUTE, lease=60, limit=9)] == [late.id]
    ended = store.expire(NOON + MINUTE)
    assert {job.id for job in ended} == {early.id, paused.id}
    assert all(job.status is JobStatusEnum.fjsRETRIES_EXCEEDED and job.ended_at == NOON + MINUTE for job in ended)
    assert ended[0].sentence == "It could not be sent by 2025-01-31 12:01 UTC and was given up after 0 attempts."
    assert store.expire(NOON + 2 * HOUR) == []  # one is in hand


def test_attempt_from_claim_to_completion(store: Store) -> None:
    submit(store)
    job = claim(store)
    attempt = store.begin_attempt(job, device_id=4, now=NOON)
    assert (attempt.number, attempt.device_id, attempt.first_page, attempt.host) == (1, 4, 1, ANNE)
    store.note_pages(job, 1, 1, 2)
    ended = store.end_attempt(job, 1, COMPLETED, NOON + MINUTE)
    assert (ended.status, ended.attempts, ended.failures) == (JobStatusEnum.fjsCOMPLETED, 1, 0)
    assert (ended.lease_owner, ended.lease_until, ended.ended_at) == ("", None, NOON + MINUTE)
    assert (ended.sentence, ended.record, ended.device_id) == ("The fax is complete.", {"pages": 2}, 4)
    assert store.job(job.id) == ended
    (kept,) = store.attempts(job.id)
    assert (kept.pages_confirmed, kept.ended_at, kept.sentence) == (2, NOON + MINUTE, "The fax is complete.")
    assert store.next_due() is None


def test_failed_attempt_comes_again_from_the_next_page_with_advice(store: Store) -> None:
    submit(store)
    job = claim(store)
    store.begin_attempt(job, device_id=1, now=NOON)
    end = replace(BUSY, next_page=2, rate_limit_bps=9600, ecm=False)
    waiting = store.end_attempt(job, 1, end, NOON)
    assert (waiting.status, waiting.failures, waiting.next_page) == (JobStatusEnum.fjsRETRYING, 1, 2)
    assert (waiting.rate_limit_bps, waiting.ecm, waiting.next_attempt_at) == (9600, False, NOON + HOUR)
    assert store.job(job.id) == waiting
    assert store.claim(ANNE, NOON, lease=60, limit=1) == []
    again = claim(store, BERT, at=NOON + HOUR)
    assert (again.lease_term, again.next_attempt_at) == (2, None)
    assert store.begin_attempt(again, device_id=1, now=NOON + HOUR).first_page == 2


def test_attempt_that_does_not_count_is_no_failure(store: Store) -> None:
    submit(store)
    job = claim(store)
    store.begin_attempt(job, device_id=1, now=NOON)
    end = replace(BUSY, status=JobStatusEnum.fjsPENDING, counts=False, no_line=True, next_attempt_at=None)
    waiting = store.end_attempt(job, 1, end, NOON)
    assert (waiting.status, waiting.attempts, waiting.failures, waiting.no_line) == (
        JobStatusEnum.fjsPENDING,
        1,
        0,
        True,
    )
    assert claim(store).no_line is False


def test_job_that_was_put_back_is_next_again(store: Store) -> None:
    submit(store, "first")
    submit(store, "second")
    (job,) = store.claim(ANNE, NOON, lease=60, limit=1)
    back = store.put_back(job, no_line=True, next_attempt_at=None, now=NOON)
    assert (back.status, back.no_line, back.lease_owner) == (JobStatusEnum.fjsPENDING, True, "")
    assert numbers(store.claim(ANNE, NOON, lease=60, limit=1)) == ["first"]


def test_job_that_is_dialled_cannot_be_put_back_nor_begun_twice(store: Store) -> None:
    submit(store)
    job = claim(store)
    store.begin_attempt(job, device_id=1, now=NOON)
    with pytest.raises(MisuseError, match="under way"):
        store.put_back(job, no_line=True, next_attempt_at=None, now=NOON)
    with pytest.raises(MisuseError, match="is running"):
        store.begin_attempt(job, device_id=1, now=NOON)
    assert len(store.attempts(job.id)) == 1
    found = store.job(job.id)
    assert found is not None
    assert found.attempts == 1


def test_attempt_that_does_not_run_cannot_be_ended(store: Store) -> None:
    submit(store)
    job = claim(store)
    for number in (1, 0, 99):
        with pytest.raises(MisuseError, match="does not run"):
            store.end_attempt(job, number, COMPLETED, NOON)
    assert store.job(job.id) == job


@pytest.mark.parametrize(
    "status",
    [
        JobStatusEnum.fjsCANCELING,
        JobStatusEnum.fjsROUTING,
        JobStatusEnum.fjsPAUSED,
        JobStatusEnum.fjsPENDING | JobStatusEnum.fjsNOLINE,
        JobStatusEnum(0),
        1,
    ],
)
def test_attempt_cannot_end_with_every_status(store: Store, status: JobStatusEnum) -> None:
    submit(store)
    job = claim(store)
    store.begin_attempt(job, device_id=1, now=NOON)
    if status == 1:
        store.receive(9, device_id=1, host=ANNE, now=NOON)
        job, status = next(found for found in store.jobs() if found.id == 9), JobStatusEnum.fjsPENDING
    with pytest.raises(MisuseError, match="cannot end with"):
        store.end_attempt(job, 1, replace(COMPLETED, status=status), NOON)


def acts(store: Store, job: StoredJob) -> dict[str, Callable[[], object]]:
    return {
        "begin": lambda: store.begin_attempt(job, device_id=1, now=NOON),
        "pages": lambda: store.note_pages(job, 1, 1, 2),
        "end": lambda: store.end_attempt(job, 1, COMPLETED, NOON),
        "put back": lambda: store.put_back(job, no_line=False, next_attempt_at=None, now=NOON),
    }


@pytest.mark.parametrize("act", ["begin", "pages", "end", "put back"])
def test_host_whose_job_was_taken_over_can_do_nothing_with_it(store: Store, act: str) -> None:
    submit(store)
    job = claim(store, ANNE, lease=60)
    (repaired,) = store.repair(None, NOON + MINUTE)
    assert repaired.status is JobStatusEnum.fjsPENDING
    with pytest.raises(LeaseLost, match="fjsPENDING"):
        acts(store, job)[act]()
    successor = claim(store, BERT, at=NOON + MINUTE)
    store.begin_attempt(successor, device_id=2, now=NOON + MINUTE)
    before = (store.job(job.id), store.attempts(job.id))
    with pytest.raises(LeaseLost, match=r"not host-anne's any more \(term 1\): it is held by host-bert, term 2"):
        acts(store, job)[act]()
    assert (store.job(job.id), store.attempts(job.id)) == before


@pytest.mark.parametrize("act", ["begin", "pages", "end", "put back"])
def test_same_host_is_fenced_from_its_own_earlier_claim(store: Store, act: str) -> None:
    submit(store)
    job = claim(store)
    store.put_back(job, no_line=False, next_attempt_at=None, now=NOON)
    claim(store)
    with pytest.raises(LeaseLost, match="term 2"):
        acts(store, job)[act]()


@pytest.mark.parametrize("act", ["begin", "pages", "end", "put back"])
def test_forgotten_job_is_in_nobodys_hands(store: Store, act: str) -> None:
    submit(store)
    job = claim(store)
    with pytest.raises(LeaseLost, match="no longer in the store"):
        acts(store, replace(job, id=job.id ^ 1 or 2))[act]()


def test_late_host_may_say_how_it_ended_but_not_begin(store: Store) -> None:
    submit(store, "1")
    submit(store, "2")
    dialled, claimed = store.claim(ANNE, NOON, lease=60, limit=2)
    store.begin_attempt(dialled, device_id=1, now=NOON)
    with pytest.raises(LeaseLost, match="ran out"):
        store.begin_attempt(claimed, device_id=1, now=NOON + MINUTE)
    assert store.end_attempt(dialled, 1, COMPLETED, NOON + HOUR).status is JobStatusEnum.fjsCOMPLETED


def test_renewing_holds_what_is_still_ours(store: Store) -> None:
    jobs = store.submit(letter("1", "2", "3"), NOON)
    held = store.claim(ANNE, NOON, lease=60, limit=2)
    store.put_back(held[1], no_line=False, next_attempt_at=None, now=NOON)
    other = store.claim(BERT, NOON, lease=60, limit=2)
    assert len(other) == 2
    asked = {job.id: 1 for job in jobs} | {4242: 1}
    assert store.renew(ANNE, asked, NOON + MINUTE, lease=120) == {held[0].id}
    assert store.renew(ANNE, {held[0].id: 2}, NOON, lease=120) == set()
    assert store.renew(ANNE, {}, NOON, lease=120) == set()
    assert {job.id for job in store.repair(None, NOON + 2 * MINUTE)} == {job.id for job in other}
    found = store.job(held[0].id)
    assert found is not None
    assert found.lease_until == NOON + 3 * MINUTE


def test_repair_at_the_start_takes_all_that_the_host_had(store: Store) -> None:
    submit(store, "dialled")
    submit(store, "claimed")
    dialled, claimed = store.claim(ANNE, NOON, lease=3600, limit=2)
    store.begin_attempt(dialled, device_id=1, now=NOON)
    store.note_pages(dialled, 1, 1, 2)
    store.receive(9, device_id=1, host=ANNE, now=NOON)
    store.receive(10, device_id=1, host=BERT, now=NOON)
    repaired = {job.id: job for job in store.repair(ANNE, NOON + MINUTE)}
    assert repaired.keys() == {dialled.id, claimed.id, 9}
    sent = repaired[dialled.id]
    assert (sent.status, sent.uncertain, sent.next_page) == (JobStatusEnum.fjsPENDING, True, 2)
    assert (sent.attempts, sent.failures, sent.lease_owner, sent.sentence) == (1, 0, "", INTERRUPTED)
    assert (repaired[claimed.id].status, repaired[claimed.id].uncertain) == (JobStatusEnum.fjsPENDING, False)
    got = repaired[9]
    assert (got.status, got.job_type, got.ended_at) == (
        JobStatusEnum.fjsFAILED,
        JobType.JT_FAIL_RECEIVE,
        NOON + MINUTE,
    )
    for job in (dialled.id, 9):
        (attempt,) = store.attempts(job)
        assert (attempt.interrupted, attempt.ended_at, attempt.sentence) == (True, NOON + MINUTE, INTERRUPTED)
    assert store.repair(ANNE, NOON + MINUTE) == []
    assert numbers(store.claim(BERT, NOON + MINUTE, lease=60, limit=9)) == ["dialled", "claimed"]


def test_repair_of_others_waits_for_their_leases(store: Store) -> None:
    submit(store)
    job = claim(store, ANNE, lease=60)
    store.receive(9, device_id=1, host=ANNE, now=NOON)
    store.receive(10, device_id=1, host=ANNE, now=NOON, lease=60)
    assert store.repair(None, NOON + 0.9 * MINUTE) == []
    assert {found.id for found in store.repair(None, NOON + MINUTE)} == {job.id, 10}


def test_once_uncertain_a_job_stays_so(store: Store) -> None:
    submit(store)
    store.begin_attempt(claim(store), device_id=1, now=NOON)
    store.repair(ANNE, NOON)
    again = claim(store)
    assert again.uncertain
    store.begin_attempt(again, device_id=1, now=NOON)
    assert store.end_attempt(again, 2, COMPLETED, NOON).uncertain


@pytest.mark.parametrize("way", ["end", "put back", "repair", "repair after dialling"])
def test_job_to_be_cancelled_never_waits_again(store: Store, way: str) -> None:
    submit(store)
    job = claim(store)
    if way in ("end", "repair after dialling"):
        store.begin_attempt(job, device_id=1, now=NOON)
    asked = store.cancel(job.id, NOON)
    assert asked is not None
    assert (asked.status, asked.cancel_asked) == (JobStatusEnum.fjsINPROGRESS, True)
    if way == "end":
        ended = store.end_attempt(job, 1, BUSY, NOON)
    elif way == "put back":
        ended = store.put_back(job, no_line=True, next_attempt_at=None, now=NOON)
    else:
        (ended,) = store.repair(ANNE, NOON)
    assert (ended.status, ended.ended_at, ended.next_attempt_at) == (JobStatusEnum.fjsCANCELED, NOON, None)
    assert ended.sentence
    assert store.next_due() is None


def test_end_of_a_running_job_that_was_sent_after_all_stays_complete(store: Store) -> None:
    submit(store)
    job = claim(store)
    store.begin_attempt(job, device_id=1, now=NOON)
    store.cancel(job.id, NOON)
    assert store.end_attempt(job, 1, COMPLETED, NOON).status is JobStatusEnum.fjsCOMPLETED


def test_repair_gives_back_the_deliveries_of_the_host(store: Store) -> None:
    received(store, 5, FOLDER, FOLDER)
    (mine,) = store.claim_deliveries(ANNE, NOON, lease=60, limit=1)
    (other,) = store.claim_deliveries(BERT, NOON, lease=60, limit=1)
    store.repair(ANNE, NOON)
    (again,) = store.claim_deliveries(BERT, NOON, lease=60, limit=9)
    assert (again.id, again.lease_term) == (mine.id, 2)
    assert other.id != mine.id


def test_reception_ends_only_once(store: Store) -> None:
    received(store, 5, FOLDER)
    with pytest.raises(LeaseLost, match="not being received"):
        store.end_receive(5, COMPLETED, fax(5), [FOLDER], NOON)
    assert len(store.deliveries(5)) == 1


def test_claim_finds_what_fell_due_while_the_clock_was_wrong(store: Store) -> None:
    submit(store, schedule_at=NOON + HOUR)
    submit(store, "other", schedule_at=NOON + HOUR)
    assert len(store.claim(ANNE, NOON + 2 * HOUR, lease=60, limit=1)) == 1
    assert numbers(store.claim(ANNE, datetime.min.replace(tzinfo=NOON.tzinfo), lease=60, limit=1)) == ["other"]


def test_cancelled_end_counts_no_failure(store: Store) -> None:
    submit(store)
    job = claim(store)
    store.begin_attempt(job, device_id=1, now=NOON)
    end = AttemptEnd(status=JobStatusEnum.fjsCANCELED, status_id=0x20200000, cause="aborted", sentence="Aborted.")
    assert store.end_attempt(job, 1, end, NOON).failures == 0


def test_a_job_stays_in_hand_for_another_device(store: Store) -> None:
    submit(store)
    job = claim(store)
    store.begin_attempt(job, device_id=1, now=NOON)
    assert store.renew(ANNE, {job.id: job.lease_term}, NOON, lease=600) == {job.id}
    assert store.set_priority(job.id, Priority.HIGH) is not None
    job = store.end_attempt(job, 1, replace(COMPLETED, status=JobStatusEnum.fjsINPROGRESS, counts=False), NOON)
    assert store.job(job.id) == job
    assert (job.status, job.lease_owner, job.failures, job.ended_at) == (JobStatusEnum.fjsINPROGRESS, ANNE, 0, None)
    assert store.begin_attempt(job, device_id=2, now=NOON).number == 2
