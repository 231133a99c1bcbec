"""Ends of the queue's work that nobody planned: stops, crashes, other hosts, clocks that jump, faults of the store."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import trio
from trio.testing import MockClock

from tests.host.queue_desk import BEGIN, BOB, OPTIONS, Opening
from tests.host.scripted import Halt, Script
from vfax.errors import MisuseError, StoreError
from vfax.fsp.constants import FaxStatus, JobStatusEnum
from vfax.host.events import HostFaulted, JobDeleted, StorageFailed
from vfax.host.store.store import Store
from vfax.host.store.values import StoredAttempt, StoredJob

_J = JobStatusEnum


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
        await desk.until(lambda: len(desk.service.senders()) == 2)
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


async def test_a_job_that_a_line_refused_while_it_was_taken_again_is_not_left_in_hand(
    jumping_clock: MockClock, opening: Opening, script: Script, store_url: str
) -> None:
    store = Slow.open(store_url)
    first = script.halts["dialling"] = Halt()
    script.endings = [FaxStatus.FS_LINE_UNAVAILABLE]

    def meanwhile() -> None:
        store.meanwhile = lambda: None
        script.halts.clear()
        trio.from_thread.run_sync(first.on.set)
        assert store.told.wait(10.0)  # that line's end, which comes too late

    async with opening(script, store=store) as desk:
        job = await desk.submit()
        await first.reached.wait()
        store.meanwhile = meanwhile
        await trio.to_thread.run_sync(store.repair, None, desk.now() + timedelta(hours=1))
        desk.queue.kick()
        assert await desk.until(lambda: desk.job(job.id).ended_at is not None) < 10.0
        assert (desk.job(job.id).status, len(script.sent)) == (_J.fjsCOMPLETED, 2)
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


async def test_a_job_that_is_cancelled_while_it_is_taken_is_not_dialled(
    jumping_clock: MockClock, opening: Opening, script: Script, store_url: str
) -> None:
    store = Slow.open(store_url)
    async with opening(script, store=store) as desk:
        store.meanwhile = lambda: trio.from_thread.run(cancel)

        async def cancel() -> None:
            await desk.queue.cancel(job.id)

        await desk.queue.pause_queue(paused=True)
        job = await desk.submit()
        await desk.queue.pause_queue(paused=False)
        assert await desk.until(lambda: desk.job(job.id).ended_at is not None) < 2.0
        done = desk.job(job.id)
        await desk.ear.wait_for(JobDeleted)
    assert (done.status, done.sentence, script.sent) == (
        _J.fjsCANCELED,
        "It was cancelled before it was sent.",
        [],
    )
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

    def __init__(self, *about: Any) -> None:
        super().__init__(*about)
        self.told = threading.Event()  # an end was told, whatever became of it

    def end_attempt(self, *about: Any) -> StoredJob:
        try:
            return super().end_attempt(*about)
        finally:
            self.told.set()

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
