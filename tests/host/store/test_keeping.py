"""Housekeeping: what may go goes, what somebody still waits for stays."""

import os
import sqlite3
from pathlib import Path

import pytest

from tests.host.store.examples import (
    ANNE,
    COMPLETED,
    FOLDER,
    HOUR,
    MAIL,
    MINUTE,
    NOON,
    claim,
    deliver,
    fax,
    letter,
    received,
    submit,
)
from vfax.errors import StoreError
from vfax.host.store.store import Store, StoreLimits


def test_only_delivered_documents_may_go_oldest_first(store: Store) -> None:
    received(store, 1, FOLDER, at=NOON + 2 * MINUTE)
    received(store, 2, at=NOON)
    received(store, 3, FOLDER, at=NOON + MINUTE)
    deliver(store, NOON + 3 * MINUTE)
    received(store, 4, FOLDER, MAIL, at=NOON)
    store.receive(5, device_id=1, host=ANNE, now=NOON)
    store.end_receive(5, COMPLETED, fax(5, document=None), [], NOON)
    assert [found.job for found in store.oldest_delivered()] == [2, 3, 1]
    assert [found.job for found in store.oldest_delivered(limit=1)] == [2]
    assert [found.job for found in store.removable(before=NOON + 2 * MINUTE, limit=9)] == [2, 3]
    assert store.removable(before=NOON, limit=9) == []


def test_removed_document_takes_no_room_and_is_offered_no_more(store: Store) -> None:
    received(store, 1, octets=700)
    received(store, 2, octets=50)
    received(store, 3, octets=2**40)
    assert store.octets_kept() == 750 + 2**40
    store.mark_removed(3, NOON + HOUR)
    store.mark_removed(3, NOON + 2 * HOUR)
    store.mark_removed(99, NOON)
    assert store.octets_kept() == 750
    assert [found.job for found in store.oldest_delivered()] == [1, 2]
    gone = store.fax(3)
    assert gone is not None
    assert gone.removed_at == NOON + HOUR


def test_nothing_kept_is_no_octets(store: Store) -> None:
    assert store.octets_kept() == 0


def test_old_jobs_are_forgotten_with_their_attempts(store: Store) -> None:
    submit(store)
    job = claim(store)
    store.begin_attempt(job, device_id=1, now=NOON)
    store.end_attempt(job, 1, COMPLETED, NOON)
    late = submit(store)
    store.cancel(late.id, NOON + HOUR)
    waiting = submit(store)
    assert store.prune(jobs_before=NOON, keep_events=10) == 0
    assert store.prune(jobs_before=NOON + HOUR, keep_events=10) == 1
    assert store.job(job.id) is None
    assert store.attempts(job.id) == []
    assert {found.id for found in store.jobs()} == {late.id, waiting.id}


def test_fax_is_forgotten_when_nothing_is_left_of_it(store: Store) -> None:
    for job, targets in ((1, [FOLDER]), (2, []), (3, [FOLDER]), (4, [FOLDER])):
        received(store, job, *targets)
    store.mark_removed(2, NOON)
    store.mark_removed(3, NOON)
    store.mark_removed(4, NOON)
    (first, third, _) = store.claim_deliveries(ANNE, NOON, lease=60, limit=9)
    for delivery in (first, third):
        store.end_delivery(delivery, ok=True, sentence="", retry_at=None, started_at=NOON, now=NOON)
    assert store.prune(jobs_before=NOON + HOUR, keep_events=0) == 2
    assert [found.job for found in store.faxes()] == [4, 1]  # one not delivered, one with its document
    assert store.delivery_attempts(third.id) == []
    assert store.deliveries(3) == []
    assert len(store.delivery_attempts(first.id)) == 1


def test_numbers_of_deliveries_are_never_given_twice(store: Store) -> None:
    received(store, 1, FOLDER)
    deliver(store)
    (old,) = store.deliveries(1)
    store.mark_removed(1, NOON)
    assert store.prune(jobs_before=NOON + HOUR, keep_events=0) == 1
    received(store, 2, FOLDER)
    assert store.deliveries(2)[0].id > old.id


def test_pruning_goes_in_steps(store_url: str) -> None:
    store = Store.open(store_url, limits=StoreLimits(batch=3))
    for job in store.submit(letter(*"1234567"), NOON):
        store.cancel(job.id, NOON)
    steps = [store.prune(jobs_before=NOON + HOUR, keep_events=0) for _ in range(4)]
    store.close()
    assert steps == [3, 3, 1, 0]


def test_expiry_and_alarms_go_in_steps(store_url: str) -> None:
    store = Store.open(store_url, limits=StoreLimits(batch=2))
    store.submit(letter(*"12345", expires_at=NOON), NOON)
    received(store, 5, FOLDER, MAIL, FOLDER)
    expired = [len(store.expire(NOON)) for _ in range(4)]
    late = [len(store.overdue(NOON + HOUR, older_than=1)) for _ in range(3)]
    store.close()
    assert (expired, late) == ([2, 2, 1, 0], [2, 1, 0])


def test_backup_is_a_store_of_that_moment(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/vfax.db")
    job = submit(store)
    store.backup(tmp_path / "copy.db")
    submit(store)
    store.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.db", "vfax.db"]
    copy = Store.open(f"sqlite:///{tmp_path}/copy.db")
    assert copy.jobs() == [job]
    copy.close()


def test_backup_never_replaces_a_file(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/vfax.db")
    (tmp_path / "copy.db").write_text("precious")
    with pytest.raises(StoreError, match=r"copy\.db is there already"):
        store.backup(tmp_path / "copy.db")
    with pytest.raises(StoreError, match="cannot be written: No such file"):
        store.backup(tmp_path / "nowhere" / "copy.db")
    store.close()
    assert (tmp_path / "copy.db").read_text() == "precious"


def test_backup_is_absent_when_the_copy_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/vfax.db")
    submit(store)

    def refuse(_source: object, _target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(StoreError, match="No space left"):
        store.backup(tmp_path / "copy.db")
    store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["vfax.db"]


def test_backup_of_a_damaged_store_says_so(tmp_path: Path) -> None:
    path = tmp_path / "vfax.db"
    store = Store.open(f"sqlite:///{path}")
    store.submit(letter(*map(str, range(2000))), NOON)
    store.close()
    with path.open("r+b") as file:
        for page in range(40, path.stat().st_size // 4096):
            file.seek(4096 * page)
            file.write(b"\xff" * 2048)
    damaged = Store.open(f"sqlite:///{path}")
    with pytest.raises(StoreError, match="damaged"):
        damaged.backup(tmp_path / "copy.db")
    damaged.close()
    assert not (tmp_path / "copy.db").exists()


def test_postgresql_is_left_to_its_own_tool(postgres_url: str, tmp_path: Path) -> None:
    store = Store.open(postgres_url)
    with pytest.raises(StoreError, match="pg_dump"):
        store.backup(tmp_path / "copy.db")
    store.close()
    assert list(tmp_path.iterdir()) == []


def test_files_are_for_this_user_and_group(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/vfax.db")
    submit(store)
    store.backup(tmp_path / "copy.db")
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    store.close()
    assert {"vfax.db", "vfax.db-wal", "copy.db"} <= modes.keys()
    assert not any(mode & 0o137 for mode in modes.values())


def test_sqlite_is_set_to_lose_nothing(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/vfax.db")
    told = store._database.read(
        lambda db: [
            db.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        ]
    )
    store.close()
    assert told == ["wal", 2, 1, 10_000]
    assert sqlite3.sqlite_version_info >= (3, 35)
