"""The queue: jobs of a real store, SQLite and PostgreSQL, on the devices of a scripted provider, in virtual time."""

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.host.conftest import Ear, Hosting
from tests.host.scripted import PAGE, Halt, Script
from vfax.codecs import tiff
from vfax.errors import MisuseError, StoreError
from vfax.fsp.constants import FaxStatus, JobStatusEnum, PortFlag
from vfax.host.events import FaxEnded, HostFaulted, JobDeleted, JobQueued, StorageFailed
from vfax.host.outgoing import keep_document
from vfax.host.queue import Queue, QueueOptions
from vfax.host.retry import RetryPolicy
from vfax.host.service import FaxService
from vfax.host.store.store import Store
from vfax.host.store.values import Priority, Recipient, StoredAttempt, StoredJob, Submission
from vfax.outcome import Retry

_J = JobStatusEnum
BEGIN = datetime(2026, 11, 30, 12, tzinfo=UTC)
OPTIONS = QueueOptions(
    look=5.0, lease=60.0, no_line_delay=30.0, policy=RetryPolicy(max_retries=2, delay=600.0, soon=5.0)
)
ADA = Recipient(number="+4930123456", name="Ada", given="030 123456")
BOB = Recipient(number="+4930999999", name="Bob", given="030 999999")


class Desk:
    """A queue at work, and what tests ask of it."""

    def __init__(self, service: FaxService, queue: Queue, store: Store, ear: Ear, document: str) -> None:
        self.service, self.queue, self.store, self.ear, self.document = service, queue, store, ear, document
        self.began = trio.current_time()
        self.jump: Callable[[float], None] = lambda seconds: None  # set the clock of the queue ahead

    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=trio.current_time() - self.began)

    def order(self, *to: Recipient, **given: Any) -> Submission:
        fields = {
            "document": self.document,
            "pages": 3,
            "recipients": to or (ADA,),
            "max_retries": 2,
            "retry_delay": 600.0,
        }
        return Submission(**{**fields, **given})

    async def submit(self, *to: Recipient, **given: Any) -> StoredJob:
        return (await self.queue.submit(self.order(*to, **given)))[0]

    def job(self, number: int) -> StoredJob:
        found = self.store.job(number)
        assert found is not None
        return found

    async def until(self, holds: Callable[[], bool], *, within: float = 3000.0) -> float:
        """Wait in virtual time until something holds; the seconds it took."""
        began = trio.current_time()
        while not holds():
            assert trio.current_time() - began < within, [self.store.jobs(), self.ear.events[-5:]]
            await trio.sleep(0.5 if trio.current_time() - began < 30.0 else 2.0)
        return trio.current_time() - began

    async def ended(self, job: StoredJob) -> StoredJob:
        await self.until(lambda: self.job(job.id).ended_at is not None)
        return self.job(job.id)


Opening = Callable[..., AbstractAsyncContextManager[Desk]]


@pytest.fixture
def opening(hosting: Hosting, ear: Ear, tmp_path: Path, store_url: str) -> Opening:
    """`async with opening(script) as desk`: a service, a store in the spool, and the queue between them."""

    @asynccontextmanager
    async def open_(
        *scripts: Script, store: Store | None = None, options: QueueOptions = OPTIONS, host: str = "here"
    ) -> AsyncIterator[Desk]:
        spool = tmp_path / "spool"
        spool.mkdir(exist_ok=True)
        made = tmp_path / "made.tif"
        pages = [tmp_path / f"{number}.tif" for number in range(3)]
        for page in pages:
            page.write_bytes(PAGE)
        tiff.join_pages(pages, made)
        document = keep_document(spool, made)
        opened = store or Store.open(store_url)
        began = trio.current_time()
        jumps = [0.0]
        clock = lambda: BEGIN + timedelta(seconds=trio.current_time() - began + sum(jumps))  # noqa: E731
        try:
            async with hosting(*scripts) as service, trio.open_nursery() as nursery:
                queue = Queue(service, opened, options, observe=ear, host=host, clock=clock)
                await nursery.start(queue.run)
                desk = Desk(service, queue, opened, ear, document)
                desk.jump = jumps.append
                yield desk
                service.stop()
                await queue.stop()
                nursery.cancel_scope.cancel()
        finally:
            if store is None:
                opened.close()

    return open_


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


# --- ends, crashes, other hosts --------------------------------------------------------------------------


async def test_a_job_that_runs_when_the_service_stops_waits_for_the_next_start(
    jumping_clock: MockClock, opening: Opening, script: Script
) -> None:
    script.waits, script.reached_page = True, 2
    async with opening(script) as desk:
        job = await desk.submit()
        await script.running.wait()
    script.waits, script.running = False, trio.Event()
    async with opening(script) as desk:
        done = await desk.ended(job)
    assert (done.status, done.failures, done.uncertain) == (_J.fjsCOMPLETED, 0, False)
    assert [hint.first_page for hint in script.hints] == [1, 2]


async def test_a_job_that_was_cut_off_behind_its_last_page_has_arrived_and_nobody_is_called_again(
    jumping_clock: MockClock, opening: Opening, script: Script
) -> None:
    script.waits, script.reached_page = True, 4
    async with opening(script) as desk:
        job = await desk.submit()
        await script.running.wait()
    script.waits = False
    async with opening(script) as desk:
        done = await desk.ended(job)
        await desk.until(lambda: bool(desk.service.senders_free == 2))
    assert (done.status, done.cause, len(script.sent)) == (_J.fjsCOMPLETED, "complete", 1)
    assert done.sentence.startswith("Every page was confirmed in an earlier call")
    assert [event.job for event in desk.ear.of(JobDeleted)] == [job.name]


async def test_a_job_whose_host_was_killed_goes_on_and_is_marked_uncertain(
    jumping_clock: MockClock, opening: Opening, script: Script, store_url: str
) -> None:
    store = Store.open(store_url)
    async with opening(script, store=store) as desk:
        await desk.queue.pause_queue(paused=True)
        dead = await desk.submit()
    store.pause_queue(False)
    (held,) = store.claim("here", BEGIN, lease=60.0, limit=1)
    attempt = store.begin_attempt(held, device_id=1, now=BEGIN)
    store.note_pages(held, attempt.number, 1, 2)
    async with opening(script, store=store) as desk:
        done = await desk.ended(dead)
        first, second = store.attempts(dead.id)
    store.close()
    assert (done.status, done.uncertain) == (_J.fjsCOMPLETED, True)
    assert (first.interrupted, second.first_page) == (True, 2)


async def test_a_job_of_a_host_that_is_gone_is_taken_over_when_its_lease_has_run_out(
    jumping_clock: MockClock, opening: Opening, script: Script, store_url: str
) -> None:
    store = Store.open(store_url)
    async with opening(script, store=store) as desk:
        await trio.sleep(1.0)  # the queue has looked and found nothing
        job = (await trio.to_thread.run_sync(store.submit, desk.order(), desk.now()))[0]
        now = desk.now()
        await trio.to_thread.run_sync(lambda: store.claim("elsewhere", now, lease=60.0, limit=1))
        waited = await desk.until(lambda: desk.job(job.id).ended_at is not None)
    store.close()
    assert 55 < waited < 130


async def test_a_job_that_another_host_took_is_aborted_and_not_written(
    jumping_clock: MockClock, opening: Opening, store_url: str
) -> None:
    store = Store.open(store_url)
    script = Script(count=1, waits=True)  # no second device on which this host could take it once more
    async with opening(script, store=store) as desk:
        job = await desk.submit()
        await script.running.wait()
        far = desk.now() + timedelta(hours=1)
        await trio.to_thread.run_sync(
            lambda: (store.repair(None, far), store.claim("elsewhere", far, lease=6000.0, limit=1))
        )
        await desk.until(lambda: "FaxDevAbortOperation" in script.calls)
        await desk.until(lambda: not desk.queue.running)
        assert (desk.job(job.id).status, desk.job(job.id).lease_owner) == (_J.fjsINPROGRESS, "elsewhere")
    store.close()


async def test_a_job_whose_lease_ran_out_here_is_aborted_before_it_is_taken_again(
    jumping_clock: MockClock, opening: Opening, script: Script, store_url: str
) -> None:
    store = Store.open(store_url)
    script.waits = True
    async with opening(script, store=store) as desk:
        job = await desk.submit()
        await script.running.wait()
        script.waits = False
        await trio.to_thread.run_sync(store.repair, None, desk.now() + timedelta(hours=1))
        done = await desk.ended(job)
        assert (done.status, done.uncertain, done.attempts) == (_J.fjsCOMPLETED, True, 3)  # the 2nd dials nothing
        assert [call for call in script.calls if call in ("FaxDevSend", "FaxDevAbortOperation")] == [
            "FaxDevSend",
            "FaxDevAbortOperation",
            "FaxDevSend",
        ]
    store.close()


async def test_a_line_that_rings_while_the_store_is_asked_is_left_to_the_caller(
    jumping_clock: MockClock, opening: Opening, script: Script, store_url: str
) -> None:
    store = Slow.open(store_url)
    async with opening(script, store=store) as desk:
        device = desk.service.sender()
        assert device is not None
        store.meanwhile = lambda: setattr(device, "job", "somebody who rang")
        job = await desk.submit()
        done = await desk.ended(job)
        assert device.job == "somebody who rang"
        device.job = None
    first, second = store.attempts(done.id)
    assert (first.device_id, first.status_id) == (device.device_id, FaxStatus.FS_LINE_UNAVAILABLE)
    assert first.sentence == "The line was taken, or went away, before it was dialled."
    assert (done.status, done.failures, second.device_id != device.device_id) == (_J.fjsCOMPLETED, 0, True)
    store.close()


async def test_a_clock_that_jumps_ahead_takes_no_running_job_away(
    jumping_clock: MockClock, opening: Opening, script: Script, store_url: str
) -> None:
    store = Store.open(store_url)
    script.waits = True
    options = replace(OPTIONS, expire_interval=7.0)  # it comes before the next renewal
    async with opening(script, store=store, options=options) as desk:
        job = await desk.submit()
        await script.running.wait()
        desk.jump(3600.0)
        await trio.sleep(15.0)
        assert desk.queue.running == (job.id,)
        assert "FaxDevAbortOperation" not in script.calls
        assert [one.interrupted for one in store.attempts(job.id)] == [False]
    store.close()


async def test_a_clock_that_is_set_back_holds_up_no_job_that_was_due(
    jumping_clock: MockClock, opening: Opening, script: Script
) -> None:
    async with opening(script) as desk:
        await desk.queue.pause_queue(paused=True)
        job = await desk.submit()
        desk.jump(-3600.0)
        await desk.queue.pause_queue(paused=False)
        assert await desk.until(lambda: desk.job(job.id).ended_at is not None) < 10.0


async def test_a_fax_that_arrived_while_its_lease_was_lost_is_not_sent_again(
    jumping_clock: MockClock, opening: Opening, script: Script, store_url: str
) -> None:
    store = Slow.open(store_url)
    script.halts["dialling"] = Halt()
    async with opening(script, store=store) as desk:
        job = await desk.submit()
        await script.halts["dialling"].reached.wait()
        script.deaf = True  # all pages are there: the abort comes too late
        await trio.to_thread.run_sync(store.repair, None, desk.now() + timedelta(hours=1))
        desk.queue.kick()
        await desk.until(lambda: desk.job(job.id).attempts == 2)
        script.halts["dialling"].on.set()
        done = await desk.ended(job)
    assert (done.status, len(script.sent)) == (_J.fjsCOMPLETED, 1)
    store.close()


async def test_a_renewal_that_is_late_costs_nobody_else_the_job(
    jumping_clock: MockClock, opening: Opening, script: Script, store_url: str
) -> None:
    """While the leases are renewed, the attempt ends, and the job is taken anew."""
    store = Late.open(store_url)
    script.waits, script.endings = False, [FaxStatus.FS_BUSY]
    script.halts["dialling"] = Halt()
    async with opening(script, store=store) as desk:
        job = await desk.submit(retry_delay=0.0)
        await script.halts["dialling"].reached.wait()
        store.hold.clear()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(desk.queue._renew)
            await trio.to_thread.run_sync(store.asked.wait)
            first, script.halts["dialling"] = script.halts["dialling"], Halt()
            first.on.set()
            await script.halts["dialling"].reached.wait()  # the second attempt
            store.hold.set()
        script.halts["dialling"].on.set()
        done = await desk.ended(job)
    assert (done.status, done.uncertain, len(script.sent)) == (_J.fjsCOMPLETED, False, 2)
    assert "FaxDevAbortOperation" not in script.calls
    store.close()


async def test_a_job_that_is_being_taken_when_the_service_stops_waits_undialled(
    jumping_clock: MockClock, opening: Opening, script: Script, store_url: str
) -> None:
    store = Slow.open(store_url)
    async with opening(script, store=store) as desk, trio.open_nursery() as nursery:

        def stop() -> None:
            desk.service.stop()
            nursery.start_soon(desk.queue.stop)

        store.meanwhile = lambda: trio.from_thread.run_sync(stop)
        job = await desk.submit()
        await trio.sleep(1.0)
    (attempt,) = store.attempts(job.id)
    waits = desk.job(job.id)
    assert (waits.status, waits.uncertain, waits.next_attempt_at) == (_J.fjsPENDING, False, None)
    assert (attempt.interrupted, attempt.sentence) == (False, "The service was stopped before it was dialled.")
    assert not script.sent
    store.close()


async def test_a_job_that_lost_its_only_line_to_a_caller_goes_when_the_caller_is_done(
    jumping_clock: MockClock, opening: Opening, store_url: str
) -> None:
    store, script = Slow.open(store_url), Script(count=1)
    async with opening(script, store=store) as desk:
        device = desk.service.sender()
        assert device is not None
        store.meanwhile = lambda: setattr(device, "job", "somebody who rang")
        job = await desk.submit()
        await trio.sleep(1.0)
        store.meanwhile = lambda: None
        desk.service.give_back(device)
        assert await desk.until(lambda: desk.job(job.id).ended_at is not None) < 3.0
    store.close()


async def test_a_job_that_is_cancelled_while_it_loses_its_line_is_told_to_be_over(
    jumping_clock: MockClock, opening: Opening, store_url: str
) -> None:
    store, script = Slow.open(store_url), Script(count=1)
    async with opening(script, store=store) as desk:
        device = desk.service.sender()
        assert device is not None

        def meanwhile() -> None:
            device.job = "somebody who rang"
            store.cancel(store.jobs()[0].id, BEGIN)

        store.meanwhile = meanwhile
        job = await desk.ended(await desk.submit())
        await desk.ear.wait_for(JobDeleted)
        assert (job.status, desk.ear.of(JobDeleted)[0].job) == (_J.fjsCANCELED, job.name)
        device.job = None
    store.close()


async def test_a_fault_of_this_host_ends_one_job_and_no_other(
    jumping_clock: MockClock, opening: Opening, script: Script, store_url: str
) -> None:
    store = Broken.open(store_url)
    async with opening(script, store=store) as desk:
        store.fault = RuntimeError("a bug")
        await desk.submit()
        await desk.ear.wait_for(HostFaulted)
        store.fault = MisuseError("the store was asked for what it cannot do")
        await desk.submit(BOB)
        await desk.until(lambda: bool(desk.ear.of(StorageFailed)))
        store.fault = None
        assert (await desk.ended(await desk.submit(BOB))).status is _J.fjsCOMPLETED
    store.close()


class Broken(Store):
    """A store with a fault where ends are written."""

    fault: Exception | None = None

    def end_attempt(self, *about: Any) -> StoredJob:
        if self.fault is not None:
            raise self.fault
        return super().end_attempt(*about)


class Late(Store):
    """A store that takes its time to renew leases."""

    def __init__(self, *about: Any) -> None:
        super().__init__(*about)
        self.hold, self.asked = threading.Event(), threading.Event()
        self.hold.set()

    def renew(self, *about: Any, **more: Any) -> set[int]:
        if not self.hold.is_set():
            self.asked.set()
            self.hold.wait(10.0)
        return super().renew(*about, **more)


class Slow(Store):
    """A store during whose work other things happen."""

    meanwhile: Callable[[], None] = staticmethod(lambda: None)

    def take(self, *about: Any, **more: Any) -> list[tuple[StoredJob, StoredAttempt]]:
        taken = super().take(*about, **more)
        if taken:
            self.meanwhile()
        return taken


class Flaky(Store):
    """A store that is out of reach now and then."""

    broken: set[str] = set()  # noqa: RUF012

    def end_attempt(self, *about: Any) -> StoredJob:
        if "end" in self.broken:
            raise StoreError("the database is away")
        return super().end_attempt(*about)

    def take(self, *about: Any, **more: Any) -> list[tuple[StoredJob, StoredAttempt]]:
        if "take" in self.broken:
            raise StoreError("the database is away")
        return super().take(*about, **more)


async def test_an_end_is_written_down_when_the_store_is_back_and_the_fax_not_sent_twice(
    jumping_clock: MockClock, opening: Opening, script: Script, store_url: str
) -> None:
    store = Flaky.open(store_url)
    store.broken = {"end"}
    async with opening(script, store=store) as desk:
        job = await desk.submit()
        await desk.until(lambda: bool(script.sent))
        await trio.sleep(300)
        assert desk.job(job.id).status is _J.fjsINPROGRESS
        store.broken = {"take"}
        done = await desk.ended(job)
    store.close()
    assert (done.status, len(script.sent)) == (_J.fjsCOMPLETED, 1)
    told = [event.sentence for event in desk.ear.of(StorageFailed)]
    assert told[0] == "the database is away; how the fax ended is written down when it can be"
    assert len(told) <= 3, "the same complaint is told once"


async def test_a_document_that_is_gone_ends_its_job_and_no_other(
    jumping_clock: MockClock, opening: Opening, script: Script
) -> None:
    script.takes_hints = False
    async with opening(script) as desk:
        lost = await desk.submit(document="outgoing/nowhere.tif", first_page=2)
        other = await desk.submit(BOB)
        assert (await desk.ended(other)).status is _J.fjsCOMPLETED
        await desk.queue.cancel(lost.id)
        done = await desk.ended(lost)
    assert "nowhere" in done.sentence or done.status is _J.fjsCANCELED
