"""The queue: jobs of a real store, SQLite and PostgreSQL, on the devices of a scripted provider, in virtual time."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import trio
from trio.testing import MockClock

from tests.host.queue_desk import ADA, BEGIN, BOB, OPTIONS, Opening
from tests.host.scripted import Halt, Script
from vfax.codecs import tiff
from vfax.fsp.constants import FaxStatus, JobStatusEnum, PortFlag
from vfax.host.events import FaxEnded, JobDeleted, JobQueued
from vfax.host.queue import Queue
from vfax.host.store.store import Store
from vfax.host.store.values import Priority
from vfax.outcome import Retry

_J = JobStatusEnum


async def test_a_queue_that_was_cancelled_has_stopped(
    jumping_clock: MockClock, opening: Opening, script: Script, store_url: str
) -> None:
    async with opening(script) as desk:
        queue = Queue(desk.service, desk.store, OPTIONS, observe=desk.ear, host="elsewhere", clock=desk.now)
        async with trio.open_nursery() as nursery:
            await nursery.start(queue.run)
            nursery.cancel_scope.cancel()
        with trio.fail_after(60):
            await queue.stop()


# --- one job ---------------------------------------------------------------------------------------------


async def test_a_job_is_sent_and_all_of_it_is_written_down(
    jumping_clock: MockClock, opening: Opening, script: Script
) -> None:
    async with opening(script) as desk:
        job = await desk.ended(await desk.submit(sender_number="+49 30 1", sender_name="Office", subaddress="77"))
        (attempt,) = desk.store.attempts(job.id)
    (sent,) = script.sent
    assert (job.status, job.cause, job.attempts, job.failures) == (_J.fjsCOMPLETED, "complete", 1, 0)
    assert (sent.receiver_number, sent.receiver_name, sent.caller_number, sent.caller_name) == (
        "+4930123456",
        "Ada",
        "+49 30 1",
        "Office",
    )
    assert (script.hints[0].first_page, script.hints[0].subaddress) == (1, "77")
    assert (attempt.device_id, attempt.status_id, attempt.interrupted) == (2, FaxStatus.FS_COMPLETED, False)
    assert attempt.ended_at is not None
    assert job.record["dialled"] == "+4930123456"
    kinds = [type(event) for event in desk.ear.events]
    assert kinds.index(JobQueued) < kinds.index(FaxEnded) < kinds.index(JobDeleted)


async def test_a_broadcast_is_one_job_for_each_recipient(
    jumping_clock: MockClock, opening: Opening, script: Script
) -> None:
    async with opening(script) as desk:
        jobs = await desk.queue.submit(desk.order(ADA, BOB))
        ended = [await desk.ended(job) for job in jobs]
    assert {job.recipient.number for job in ended} == {sent.receiver_number for sent in script.sent}
    assert [job.status for job in ended] == [_J.fjsCOMPLETED] * 2
    assert len({job.submission for job in ended}) == 1


async def test_with_more_jobs_than_devices_nobody_asks_what_is_due(
    jumping_clock: MockClock, opening: Opening, script: Script, store_url: str
) -> None:
    store = Asked.open(store_url)
    async with opening(script, store=store) as desk:
        jobs = await desk.queue.submit(desk.order(*[replace(ADA, number=f"+4930{at:06d}") for at in range(20)]))
        before = store.asked
        for job in jobs:
            await desk.ended(job)
    store.close()
    assert len(script.sent) == 20
    assert store.asked - before <= 5  # at the start and at the end, when some device finds nothing


# --- retries ---------------------------------------------------------------------------------------------


async def test_a_busy_number_is_tried_again_after_the_delay(
    jumping_clock: MockClock, opening: Opening, script: Script
) -> None:
    script.endings = [FaxStatus.FS_BUSY]
    async with opening(script) as desk:
        job = await desk.submit()
        await desk.until(lambda: desk.job(job.id).status is _J.fjsRETRYING)
        waited = await desk.until(lambda: desk.job(job.id).status is _J.fjsCOMPLETED)
        done = desk.job(job.id)
    assert 598 < waited < 606
    assert (done.attempts, done.failures) == (2, 1)


async def test_retries_are_used_up(jumping_clock: MockClock, opening: Opening, script: Script) -> None:
    script.endings = [FaxStatus.FS_NO_ANSWER] * 9
    async with opening(script) as desk:
        job = await desk.ended(await desk.submit())
    assert (job.status, job.attempts) == (_J.fjsRETRIES_EXCEEDED, 3)
    assert job.sentence.endswith("It is not tried again: it was tried 3 times.")


async def test_a_bad_address_is_not_tried_again(jumping_clock: MockClock, opening: Opening, script: Script) -> None:
    script.endings = [FaxStatus.FS_BAD_ADDRESS]
    async with opening(script) as desk:
        job = await desk.ended(await desk.submit())
    assert (job.status, job.attempts) == (_J.fjsFAILED, 1)
    assert "the number is no good" in job.sentence


async def test_advice_to_go_slower_and_without_ecm_is_heeded(
    jumping_clock: MockClock, opening: Opening, script: Script
) -> None:
    script.endings = [FaxStatus.FS_FATAL_ERROR] * 2
    script.advice = Retry.LOWER_RATE
    async with opening(script) as desk:
        job = await desk.submit()
        await desk.until(lambda: desk.job(job.id).failures == 1)
        script.advice = Retry.NO_ECM
        await desk.ended(job)
    assert [(hint.max_rate_bps, hint.ecm) for hint in script.hints] == [(0, None), (12000, None), (12000, False)]


async def test_advice_to_try_at_once_does_not_wait_for_the_delay(
    jumping_clock: MockClock, opening: Opening, script: Script
) -> None:
    script.endings, script.advice = [FaxStatus.FS_FATAL_ERROR], Retry.NOW
    async with opening(script) as desk:
        job = await desk.submit()
        assert await desk.until(lambda: desk.job(job.id).status is _J.fjsCOMPLETED) < 12


async def test_who_asks_to_be_left_alone_for_longer_than_the_delay_is(
    jumping_clock: MockClock, opening: Opening, script: Script
) -> None:
    """503 with Retry-After, for one (RFC 3261 21.5.4)."""
    script.endings, script.retry_after = [FaxStatus.FS_FATAL_ERROR], 900
    async with opening(script) as desk:
        job = await desk.submit()
        await desk.until(lambda: desk.job(job.id).status is _J.fjsRETRYING)
        assert 898 < await desk.until(lambda: desk.job(job.id).status is _J.fjsCOMPLETED) < 906


async def test_what_was_confirmed_is_not_sent_again(jumping_clock: MockClock, opening: Opening, script: Script) -> None:
    script.endings, script.reached_page = [FaxStatus.FS_DISCONNECTED], 3
    async with opening(script) as desk:
        await desk.ended(await desk.submit())
    assert [hint.first_page for hint in script.hints] == [1, 3]


async def test_a_provider_without_hints_is_given_the_pages_that_are_left(
    jumping_clock: MockClock, opening: Opening, script: Script
) -> None:
    script.takes_hints, script.endings, script.reached_page = False, [FaxStatus.FS_DISCONNECTED], 3
    async with opening(script) as desk:
        await desk.ended(await desk.submit())
    assert [len(tiff.read_headers(Path(sent.file_name))) for sent in script.sent] == [3, 1]


# --- devices ---------------------------------------------------------------------------------------------


async def test_a_line_that_is_not_there_sends_the_job_to_the_next_device(
    jumping_clock: MockClock, opening: Opening, script: Script
) -> None:
    script.endings = [FaxStatus.FS_LINE_UNAVAILABLE]
    async with opening(script) as desk:
        job = await desk.ended(await desk.submit())
        attempts = desk.store.attempts(job.id)
    assert (job.status, job.failures) == (_J.fjsCOMPLETED, 0)
    assert [(one.device_id, one.status_id) for one in attempts] == [
        (2, FaxStatus.FS_LINE_UNAVAILABLE),
        (1, FaxStatus.FS_COMPLETED),
    ]


async def test_where_no_device_can_the_job_waits_without_using_up_a_retry(
    jumping_clock: MockClock, opening: Opening, script: Script
) -> None:
    script.endings = [FaxStatus.FS_LINE_UNAVAILABLE] * 2
    async with opening(script) as desk:
        job = await desk.submit()
        await desk.until(lambda: desk.job(job.id).no_line)
        assert (desk.job(job.id).status, desk.job(job.id).failures) == (_J.fjsPENDING, 0)
        done = await desk.ended(job)
    assert (done.status, done.failures, done.no_line) == (_J.fjsCOMPLETED, 0, False)


async def test_a_start_that_fails_counts_as_a_line_that_is_not_there(
    jumping_clock: MockClock, opening: Opening, script: Script
) -> None:
    script.fault["FaxDevStartJob"] = "raise"
    async with opening(script) as desk:
        job = await desk.submit()
        await desk.until(lambda: desk.job(job.id).no_line)
        script.fault.clear()
        assert (await desk.ended(job)).status is _J.fjsCOMPLETED


async def test_devices_go_by_priority_and_those_that_may_not_send_do_not(
    jumping_clock: MockClock, opening: Opening
) -> None:
    script = Script(count=3)
    async with opening(script) as desk:
        devices = desk.service.devices
        desk.service.switch(devices[3], flags=PortFlag.FPF_RECEIVE)
        desk.service.switch(devices[2], priority=5)
        job = await desk.ended(await desk.submit())
        assert desk.store.attempts(job.id)[-1].device_id == 1  # the queue may have looked before the switch


async def test_the_highest_priority_goes_first_then_the_oldest(jumping_clock: MockClock, opening: Opening) -> None:
    script = Script(count=1, waits=True)
    async with opening(script) as desk:
        first = await desk.submit()
        await script.running.wait()
        low = await desk.submit(BOB, priority=Priority.LOW)
        normal = await desk.submit(replace(BOB, number="+493000002"))
        high = await desk.submit(replace(BOB, number="+493000003"), priority=Priority.HIGH)
        await desk.queue.set_priority(low.id, Priority.HIGH)
        script.waits = False
        await desk.queue.cancel(first.id)
        for job in (low, normal, high):
            await desk.ended(job)
    assert [sent.receiver_number for sent in script.sent[1:]] == [BOB.number, "+493000003", "+493000002"]


# --- what people do --------------------------------------------------------------------------------------


async def test_a_waiting_job_is_cancelled_at_once(jumping_clock: MockClock, opening: Opening, script: Script) -> None:
    async with opening(script) as desk:
        job = await desk.submit(schedule_at=BEGIN + timedelta(hours=1))
        cancelled = await desk.queue.cancel(job.id)
        assert cancelled is not None
        assert cancelled.status is _J.fjsCANCELED
    assert not script.sent
    assert [event.job for event in desk.ear.of(JobDeleted)] == [job.name]


async def test_a_running_job_is_aborted(jumping_clock: MockClock, opening: Opening, script: Script) -> None:
    script.waits = True
    async with opening(script) as desk:
        job = await desk.submit()
        await script.running.wait()
        await desk.queue.cancel(job.id)
        done = await desk.ended(job)
    assert (done.status, done.cause) == (_J.fjsCANCELED, "aborted")
    assert "FaxDevAbortOperation" in script.calls
    assert len(desk.ear.of(JobDeleted)) == 1


async def test_a_job_that_was_cancelled_while_it_started_is_not_sent(
    jumping_clock: MockClock, opening: Opening, script: Script
) -> None:
    script.halts["FaxDevStartJob"] = Halt()
    script.waits = True
    async with opening(script) as desk:
        job = await desk.submit()
        await script.halts["FaxDevStartJob"].reached.wait()
        await desk.queue.cancel(job.id)
        script.halts["FaxDevStartJob"].on.set()
        assert (await desk.ended(job)).status is _J.fjsCANCELED


async def test_cancelling_what_has_ended_changes_nothing(
    jumping_clock: MockClock, opening: Opening, script: Script
) -> None:
    async with opening(script) as desk:
        job = await desk.ended(await desk.submit())
        assert await desk.queue.cancel(job.id) == job
        assert await desk.queue.cancel(4711) is None


async def test_a_paused_job_waits_and_a_paused_queue_holds_all(
    jumping_clock: MockClock, opening: Opening, script: Script
) -> None:
    async with opening(script) as desk:
        await desk.queue.pause_queue(paused=True)
        one, two = await desk.submit(), await desk.submit(BOB)
        await desk.queue.pause(one.id)
        await trio.sleep(60)
        assert not script.sent
        await desk.queue.pause_queue(paused=False)
        await desk.ended(two)
        await trio.sleep(60)
        assert len(script.sent) == 1
        await desk.queue.resume(one.id)
        assert (await desk.ended(one)).status is _J.fjsCOMPLETED


async def test_a_scheduled_job_waits_for_its_time_or_another(
    jumping_clock: MockClock, opening: Opening, script: Script
) -> None:
    async with opening(script) as desk:
        job = await desk.submit(schedule_at=desk.now() + timedelta(seconds=900))
        later = await desk.submit(BOB, schedule_at=desk.now() + timedelta(hours=5))
        waited = await desk.until(lambda: desk.job(job.id).ended_at is not None)
        assert 898 < waited < 906
        await desk.queue.reschedule(later.id, None)
        assert await desk.until(lambda: desk.job(later.id).ended_at is not None) < 3


async def test_a_failed_job_is_tried_again_when_somebody_says_so(
    jumping_clock: MockClock, opening: Opening, script: Script
) -> None:
    script.endings = [FaxStatus.FS_BAD_ADDRESS]
    async with opening(script) as desk:
        job = await desk.ended(await desk.submit())
        await desk.queue.retry_now(job.id)
        assert (await desk.ended(job)).status is _J.fjsCOMPLETED


async def test_a_job_that_is_too_old_is_given_up(jumping_clock: MockClock, opening: Opening, script: Script) -> None:
    async with opening(script) as desk:
        await desk.queue.pause_queue(paused=True)
        job = await desk.submit(expires_at=desk.now() + timedelta(seconds=300))
        done = await desk.ended(job)
    assert done.status is _J.fjsRETRIES_EXCEEDED
    assert not script.sent
    assert [event.job for event in desk.ear.of(JobDeleted)] == [job.name]


class Asked(Store):
    """A store that counts how often it is asked what is due."""

    asked = 0

    def next_due(self) -> datetime | None:
        self.asked += 1
        return super().next_due()
