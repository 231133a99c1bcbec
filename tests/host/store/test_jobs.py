"""Jobs: what was submitted comes back, all of it or none."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.host.store.examples import ANNE, BUSY, COMPLETED, HOUR, NOON, claim, letter, received, submit
from vfax.errors import MisuseError, StoreError
from vfax.fsp.constants import JobStatusEnum, JobType
from vfax.host.store.store import Store, StoreLimits
from vfax.host.store.values import Priority, Recipient, Submission

WITH_SURROGATES = st.text(st.characters(exclude_categories=()), max_size=50)


def test_each_recipient_becomes_a_waiting_job_of_one_submission(store: Store) -> None:
    jobs = store.submit(letter("+491", "+492", "+493", owner="anna", priority=Priority.HIGH), NOON)
    assert [job.recipient.number for job in jobs] == ["+491", "+492", "+493"]
    assert {job.submission for job in jobs} == {jobs[0].id}
    assert all(1 <= job.id <= 0xFFFFFFFE for job in jobs)
    assert all(job.status is JobStatusEnum.fjsPENDING and job.job_type is JobType.JT_SEND for job in jobs)
    assert [store.job(job.id) for job in jobs] == jobs


def test_everything_said_comes_back(store: Store) -> None:
    said = Submission(
        document="outbox/x.tif",
        pages=7,
        recipients=(Recipient(number="sip:a@b", name="Änne", given="a at b"),),
        owner="DOMAIN\\anna",
        sender_name="Bert",
        sender_number="+49 30 1",
        subject="Hello",
        subaddress="12#",
        sender_password="secret",
        first_page=3,
        priority=Priority.LOW,
        schedule_at=datetime(2025, 2, 1, 8, 0, tzinfo=timezone(timedelta(hours=1))),
        expires_at=NOON + 24 * HOUR,
        max_retries=5,
        retry_delay=12.5,
    )
    (job,) = store.submit(said, NOON)
    assert job == store.job(job.id)
    for field in ("document", "pages", "owner", "sender_name", "sender_number", "subject", "subaddress"):
        assert getattr(job, field) == getattr(said, field)
    assert (job.sender_password, job.priority, job.max_retries, job.retry_delay) == ("secret", Priority.LOW, 5, 12.5)
    assert (job.recipient, job.next_page) == (said.recipients[0], 3)
    assert (job.created_at, job.schedule_at, job.expires_at) == (NOON, said.schedule_at, said.expires_at)
    assert str(job.schedule_at) == "2025-02-01 07:00:00+00:00"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(text=WITH_SURROGATES)
def test_text_of_any_characters_comes_back_as_it_was(store: Store, text: str) -> None:
    (job,) = store.submit(letter("+491", subject=text, sender_name=text, owner=text[:50]), NOON)
    assert (job.subject, job.sender_name) == (text, text)
    assert job.id in {found.id for found in store.jobs(owner=text[:50], limit=1000)}


@pytest.mark.parametrize(
    "text", ["\0", "a\0b", "\udc80", "\ud83d\ude00", "\\u0000", "\\", "\\\\udc80", "😀", "\x7f\x01"]
)
def test_what_databases_refuse_is_kept_all_the_same(store: Store, text: str) -> None:
    held = claim(store, at=submit(store, text, subject=text).created_at)
    attempt = store.begin_attempt(held, device_id=1, now=NOON)
    record: dict[str, object] = {text: [text, None, 1.5]}
    end = replace(COMPLETED, sentence=text, cause=text, journal=text, record=record)
    job = store.end_attempt(held, attempt.number, end, NOON)
    assert (job.recipient.number, job.subject, job.sentence, job.cause) == (text, text, text, text)
    assert store.attempts(job.id)[0].journal == text
    if text != "\ud83d\ude00":  # JSON makes one character of such a pair
        assert job.record == record


def test_jobs_are_listed_newest_first_by_status_owner_and_end(store: Store) -> None:
    first = submit(store, owner="anna")
    second = submit(store, owner="bert")
    third = submit(store, owner="anna")
    store.cancel(second.id, NOON)
    assert [job.id for job in store.jobs()] == [third.id, second.id, first.id]
    assert [job.id for job in store.jobs(owner="anna")] == [third.id, first.id]
    assert [job.id for job in store.jobs(status=JobStatusEnum.fjsCANCELED)] == [second.id]
    assert [job.id for job in store.jobs(ended=True)] == [second.id]
    assert [job.id for job in store.jobs(ended=False)] == [third.id, first.id]
    assert [job.id for job in store.jobs(limit=1)] == [third.id]
    assert [job.id for job in store.jobs(before=third.id, limit=1)] == [second.id]
    assert store.jobs(before=first.id) == []
    assert store.jobs(before=0xABCDEF if first.id != 0xABCDEF else 1) == []


def test_counts_tell_how_many_of_each_status(store: Store) -> None:
    assert store.counts() == {}
    jobs = store.submit(letter("1", "2", "3"), NOON)
    store.cancel(jobs[0].id, NOON)
    assert store.counts() == {JobStatusEnum.fjsPENDING: 2, JobStatusEnum.fjsCANCELED: 1}


def test_reception_is_a_running_job_with_its_first_attempt(store: Store) -> None:
    job = store.receive(0xFFFFFFFE, device_id=7, host=ANNE, now=NOON)
    assert (job.job_type, job.status, job.attempts) == (JobType.JT_RECEIVE, JobStatusEnum.fjsINPROGRESS, 1)
    assert (job.lease_owner, job.lease_term, job.lease_until, job.device_id) == (ANNE, 1, None, 7)
    (attempt,) = store.attempts(job.id)
    assert (attempt.number, attempt.host, attempt.device_id, attempt.ended_at) == (1, ANNE, 7, None)
    assert store.claim(ANNE, NOON + HOUR, lease=1, limit=9) == []


def test_number_of_a_reception_that_is_taken_is_refused(store: Store) -> None:
    store.receive(5, device_id=1, host=ANNE, now=NOON)
    with pytest.raises(StoreError, match=r"00000005 is taken .*draw another"):
        store.receive(5, device_id=1, host=ANNE, now=NOON)
    assert len(store.jobs()) == 1


def test_drawn_number_that_is_taken_is_drawn_again(open_store: Callable[..., Store]) -> None:
    numbers = iter([1, 1, 2, 1, 2, 3, 3, 4])
    store = open_store(job_ids=lambda: next(numbers))
    assert submit(store).id == 1
    assert [job.id for job in store.submit(letter("a", "b", "c"), NOON)] == [2, 3, 4]


def test_numbers_that_are_all_taken_are_told(open_store: Callable[..., Store]) -> None:
    store = open_store(job_ids=lambda: 1)
    submit(store)
    with pytest.raises(StoreError, match="no unused job number"):
        submit(store)


def test_submission_for_many_is_one_or_nothing(open_store: Callable[..., Store]) -> None:
    draws = itertools.chain(range(1, 1001), [0])
    store = open_store(job_ids=lambda: next(draws))
    jobs = store.submit(letter(*map(str, range(1000))), NOON)
    assert [job.id for job in jobs] == list(range(1, 1001))
    with pytest.raises(MisuseError, match="job number is 0"):
        submit(store)
    assert len(store.jobs(limit=2000)) == 1000


MAKES_NO_SENSE: list[dict[str, object]] = [
    {"recipients": ()},
    {"recipients": [Recipient(number="1")]},
    {"recipients": ("1",)},
    {"document": None},
    {"subject": "x" * 5000},
    {"owner": "x" * 256},
    {"pages": -1},
    {"pages": 2**32},
    {"pages": True},
    {"first_page": 0},
    {"priority": 7},
    {"max_retries": "3"},
    {"retry_delay": float("nan")},
    {"retry_delay": -1},
    {"retry_delay": True},
    {"schedule_at": NOON.replace(tzinfo=None)},
    {"expires_at": "tomorrow"},
    {"expires_at": datetime.max.replace(tzinfo=timezone(timedelta(hours=-5)))},
]


def test_submission_that_makes_no_sense_is_refused(store: Store) -> None:
    for bad in MAKES_NO_SENSE:
        with pytest.raises(MisuseError):
            store.submit(replace(letter(), **bad), NOON)  # type: ignore[arg-type]
    assert store.jobs() == []


NUMBERED: list[Callable[[Store, int], object]] = [
    lambda store, job: store.job(job),
    lambda store, job: store.attempts(job),
    lambda store, job: store.jobs(before=job),
    lambda store, job: store.cancel(job, NOON),
    lambda store, job: store.pause(job, NOON),
    lambda store, job: store.resume(job, NOON),
    lambda store, job: store.set_priority(job, Priority.LOW),
    lambda store, job: store.reschedule(job, None),
    lambda store, job: store.retry_now(job, NOON),
    lambda store, job: store.receive(job, device_id=1, host=ANNE, now=NOON),
    lambda store, job: store.fax(job),
    lambda store, job: store.faxes(before=job),
    lambda store, job: store.known_faxes([job]),
    lambda store, job: store.deliveries(job),
    lambda store, job: store.renew(ANNE, {job: 1}, NOON, lease=1),
    lambda store, job: store.mark_removed(job, NOON),
]


def test_what_is_no_job_number_is_refused_everywhere(store: Store) -> None:
    bad: list[Any] = [0, -1, 0xFFFFFFFF, 2**32, 2**70, "1", None, 1.0, True]
    for call, job in itertools.product(NUMBERED, bad):
        if job is None and call(store, 1) in ([], set()):
            continue  # "before" and "job" may be left out
        with pytest.raises(MisuseError, match="number"):
            call(store, job)


def test_wrong_kinds_of_arguments_are_refused(store: Store) -> None:
    calls: list[Callable[[], object]] = [
        lambda: store.submit("letter", NOON),  # type: ignore[arg-type]
        lambda: store.submit(letter(), NOON.replace(tzinfo=None)),
        lambda: store.submit(letter(), 12),  # type: ignore[arg-type]
        lambda: store.jobs(limit=-1),
        lambda: store.jobs(limit=10**9),
        lambda: store.jobs(status="new"),  # type: ignore[arg-type]
        lambda: store.jobs(owner=5),  # type: ignore[arg-type]
        lambda: store.claim("", NOON, lease=1, limit=1),
        lambda: store.claim("x" * 300, NOON, lease=1, limit=1),
        lambda: store.claim(ANNE, NOON, lease=-1, limit=1),
        lambda: store.claim(ANNE, datetime.max.replace(tzinfo=NOON.tzinfo), lease=1, limit=1),
        lambda: store.begin_attempt("job", device_id=1, now=NOON),  # type: ignore[arg-type]
        lambda: store.set_priority(1, 9),  # type: ignore[arg-type]
        lambda: store.receive(1, device_id=2**32, host=ANNE, now=NOON),
        lambda: store.pause_queue("yes"),  # type: ignore[arg-type]
        lambda: store.deliveries(state="lost"),  # type: ignore[arg-type]
        lambda: store.events(after=-1),
        lambda: store.add_events(["ring"], "s"),  # type: ignore[list-item]
        lambda: store.overdue(NOON, older_than=-5),
        lambda: store.prune(jobs_before=NOON, keep_events=-1),
    ]
    for call in calls:
        with pytest.raises(MisuseError):
            call()


def test_limits_are_those_it_was_opened_with(open_store: Callable[..., Store]) -> None:
    store = open_store(limits=StoreLimits(max_text=12, max_recipients=1, max_rows=10, max_record=50))
    with pytest.raises(MisuseError, match="at most 12 characters"):
        submit(store, subject="x" * 13)
    with pytest.raises(MisuseError, match="1 to 1 recipients"):
        submit(store, "1", "2")
    with pytest.raises(MisuseError, match="0 to 10"):
        store.jobs(limit=11)
    submit(store)
    held = claim(store)
    attempt = store.begin_attempt(held, device_id=1, now=NOON)
    with pytest.raises(MisuseError, match="at most 50 octets"):
        store.end_attempt(held, attempt.number, replace(BUSY, record={"x": "y" * 60}), NOON)
    assert store.end_attempt(held, attempt.number, BUSY, NOON).sentence == "The line wa…"


def test_records_of_two_readers_are_two(store: Store) -> None:
    received(store, 5)
    one, other = store.fax(5), store.fax(5)
    assert one is not None
    assert other is not None
    assert one.record == other.record
    assert one.record is not other.record
