"""Several hosts on one database: no job is ever in two hands, and each is done."""

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection

from tests.host.store.examples import ANNE, BERT, COMPLETED, FOLDER, NOON, claim, letter, received, submit
from tests.host.store.racing import work
from vfax.errors import LeaseLost
from vfax.fsp.constants import JobStatusEnum
from vfax.host.store import leases
from vfax.host.store.store import Store
from vfax.host.store.values import DeliveryState

ROOT = Path(__file__).parents[3]
JOBS = 120


def check_all_done_once(store: Store, done: list[list[int]]) -> None:
    jobs = store.jobs(limit=1000)
    assert all(job.status is JobStatusEnum.fjsCOMPLETED and job.attempts == 1 for job in jobs)
    assert sorted(job for one in done for job in one) == sorted(job.id for job in jobs)
    for job in jobs:
        (attempt,) = store.attempts(job.id)
        assert not attempt.interrupted


def test_threads_of_two_hosts_share_the_queue(open_store: Callable[..., Store]) -> None:
    stores = [open_store(), open_store()]
    stores[0].submit(letter(*map(str, range(JOBS))), NOON)
    together = threading.Barrier(6)

    def run(number: int) -> list[int]:
        together.wait()
        return work(stores[number % 2], f"host-{number}", 600)

    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(run, range(6)))
    check_all_done_once(stores[0], done)


def test_processes_share_the_queue(open_store: Callable[..., Store], store_url: str, tmp_path: Path) -> None:
    store = open_store()
    store.submit(letter(*map(str, range(JOBS))), NOON)
    files = [tmp_path / f"host-{number}" for number in range(3)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    hosts = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.host.store.racing", store_url, file.name, "600", file], cwd=ROOT, **pipes
        )  # type: ignore[call-overload]
        for file in files
    ]
    for host in hosts:
        assert host.stdout.readline() == "ready\n"
    for host in hosts:
        host.stdin.write("go\n")
        host.stdin.flush()
    for host in hosts:
        assert host.communicate(timeout=180) == ("", "")
    check_all_done_once(store, [[int(line) for line in file.read_text("utf-8").split()] for file in files])


def test_hosts_that_sleep_too_long_lose_what_others_finish(open_store: Callable[..., Store]) -> None:
    """Hosts claim, some sleep over their lease, others repair and go on: every job is ended by one claim alone."""
    store = open_store()
    store.submit(letter(*map(str, range(JOBS))), NOON)
    ended: list[tuple[int, int]] = []
    lost: list[int] = []
    all_there = threading.Barrier(4)

    def run(number: int) -> None:
        mine = open_store()
        all_there.wait(60)  # or one alone has done all the work before the next has a connection
        for turn in range(JOBS // 5):  # two that never sleep cannot do it all: some is left for those that do
            now = NOON + timedelta(seconds=turn)
            for job in mine.claim(f"host-{number}", now, lease=2 if number % 2 else 600, limit=2):
                try:
                    mine.begin_attempt(job, device_id=1, now=now)
                    if number % 2:
                        mine.repair(None, now + timedelta(seconds=5))  # as if time had passed
                    mine.end_attempt(job, mine.attempts(job.id)[-1].number, COMPLETED, now)
                    ended.append((job.id, job.lease_term))
                except LeaseLost:
                    lost.append(job.id)

    with ThreadPoolExecutor(4) as pool:
        for one in [pool.submit(run, number) for number in range(4)]:
            one.result()
    numbers = [job for job, _ in ended]
    assert len(set(numbers)) == len(numbers)
    assert lost
    for job in store.jobs(status=JobStatusEnum.fjsCOMPLETED, limit=1000):
        assert (job.id, job.lease_term) in ended
        assert len([one for one in store.attempts(job.id) if not one.interrupted]) == 1


def test_host_whose_lease_ran_out_cannot_end_its_attempt_once_it_was_taken_over(
    open_store: Callable[..., Store],
) -> None:
    anne, bert = open_store(), open_store()
    submit(anne)
    slept = claim(anne, ANNE, lease=60)
    attempt = anne.begin_attempt(slept, device_id=1, now=NOON)
    later = NOON + timedelta(seconds=61)
    bert.repair(None, later)
    successor = claim(bert, BERT, at=later)
    with pytest.raises(LeaseLost, match="held by host-bert, term 2"):
        anne.end_attempt(slept, attempt.number, COMPLETED, later)
    assert anne.renew(ANNE, {slept.id: slept.lease_term}, later, lease=60) == set()
    bert.begin_attempt(successor, device_id=1, now=later)
    assert bert.end_attempt(successor, 2, COMPLETED, later).uncertain


def test_last_two_deliveries_that_end_at_once_make_the_fax_delivered(open_store: Callable[..., Store]) -> None:
    stores = [open_store(), open_store()]
    for job in range(1, 21):
        received(stores[0], job, FOLDER, FOLDER)
        both = [store.claim_deliveries(f"host-{at}", NOON, lease=60, limit=1)[0] for at, store in enumerate(stores)]
        together = threading.Barrier(2)

        def end(at: int, both: object = both, together: threading.Barrier = together) -> None:
            assert isinstance(both, list)
            together.wait()
            stores[at].end_delivery(both[at], ok=True, sentence="", retry_at=None, started_at=NOON, now=NOON)

        with ThreadPoolExecutor(2) as pool:
            for one in [pool.submit(end, at) for at in (0, 1)]:
                one.result()
    assert len(stores[0].faxes(delivered=True)) == 20
    assert all(found.delivered_at == NOON for found in stores[0].faxes())
    assert stores[0].deliveries(state=DeliveryState.RUNNING) == []


def test_claim_on_postgresql_passes_by_what_another_is_taking(postgres_url: str) -> None:
    anne, bert = Store.open(postgres_url), Store.open(postgres_url)
    jobs = anne.submit(letter("1", "2", "3"), NOON)

    def half_way(db: Connection) -> list[int]:
        assert len(leases.ready(db, NOON, 2)) == 2
        return [job.id for job in bert.claim(BERT, NOON, lease=60, limit=9)]  # does not wait

    assert anne._database.write(half_way) == [jobs[2].id]
    anne.close()
    bert.close()


def test_no_claim_comes_after_the_queue_was_paused(postgres_url: str) -> None:
    store = Store.open(postgres_url)
    paused = threading.Event()

    def pause() -> None:
        store.pause_queue(True)
        paused.set()

    thread = threading.Thread(target=pause)

    def claiming(db: Connection) -> bool:
        assert leases.PAUSED_AND_STAYS.rows(db)[0][0] == 0
        thread.start()
        return paused.wait(0.3)

    assert store._database.write(claiming) is False  # it waits for the claim that has begun
    thread.join()
    assert store.claim(ANNE, NOON, lease=60, limit=1) == []
    store.close()
