"""The spool: names that cannot be paths, writes that are whole, nothing lost on the way."""

import errno
import json
import os
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.durability.points import Both, Faults, Tally, WatchedDisk
from vfax.disk import Disk
from vfax.errors import StoreError
from vfax.host.spool import (
    JOB_PATTERN,
    Spool,
    file_name,
    new_job_id,
    safe_text,
    sync_file,
    sync_folder,
    write_whole,
)

NOON = datetime(2025, 1, 31, 12, 0, 0, tzinfo=UTC)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    made = Spool(tmp_path / "spool")
    made.prepare()
    return made


@given(st.text(max_size=300))
def test_no_text_of_a_peer_is_more_than_a_plain_word(text: str) -> None:
    safe = safe_text(text)
    assert 1 <= len(safe) <= 40
    assert set(safe) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+_")


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("+49 30 123456", "+49_30_123456"),
        ("../../x", "x"),
        ("", "unknown"),
        ("...", "unknown"),
        ("Müller", "Muller"),
        ("☎", "unknown"),
        ("a\0b\nc", "a_b_c"),
        ("-rf", "rf"),
    ],
)
def test_callers_become_safe_words(text: str, safe: str) -> None:
    assert safe_text(text) == safe


def test_names_carry_the_time_in_utc() -> None:
    berlin = NOON.astimezone(timezone(timedelta(hours=1)))
    assert file_name("+49", "0000abcd", berlin) == "20250131T120000Z-+49-0000abcd"


def test_job_numbers_are_numbers_a_fax_event_can_hold() -> None:
    numbers = [new_job_id() for _ in range(200)]
    assert all(JOB_PATTERN.fullmatch(number) for number in numbers)
    assert all(0 < int(number, 16) < 0xFFFFFFFF for number in numbers)


def test_the_host_creates_the_job_file_empty(spool: Spool) -> None:
    job, path = spool.create_job_file()
    assert (path.name, path.stat().st_size) == (f"{job}.tif", 0)


def test_a_job_number_in_use_is_not_given_twice(tmp_path: Path) -> None:
    numbers = iter(["0000000a", "0000000a", "0000000b"])
    spool = Spool(tmp_path, job_ids=lambda: next(numbers))
    spool.prepare()
    assert [spool.create_job_file()[0] for _ in range(2)] == ["0000000a", "0000000b"]


def test_the_search_for_a_job_number_ends(tmp_path: Path) -> None:
    spool = Spool(tmp_path, job_ids=lambda: "0000000a")
    spool.prepare()
    spool.create_job_file()
    with pytest.raises(StoreError, match="no unused job number"):
        spool.create_job_file()


def test_delivery_moves_the_document_behind_its_record(spool: Spool) -> None:
    job, path = spool.create_job_file()
    path.write_bytes(b"pages")
    spool.pages_folder(job).mkdir()
    kept = spool.deliver(job, "name", {"job": job})
    assert kept.document is not None
    assert (kept.document.read_bytes(), json.loads(kept.record.read_text())) == (b"pages", {"job": job})
    assert list(spool.incoming.iterdir()) == []


def test_delivery_is_durable_before_each_next_step(tmp_path: Path) -> None:
    tally = Tally()
    spool = Spool(tmp_path, disk=WatchedDisk(tally))
    spool.prepare()
    job, path = spool.create_job_file()
    path.write_bytes(b"pages")
    spool.pages_folder(job).mkdir()
    (spool.pages_folder(job) / "0001.tif").touch()
    tally.order.clear()
    spool.deliver(job, "name", {})
    assert [point for point in tally.order if not point.endswith((".close", ".listdir"))] == [
        *("delivery.open_again", "delivery.fsync", "delivery.fsync_dir"),  # the document is there for good
        *("pages.rename", "pages.fsync_dir"),  # then its single pages need not be
        *("record.create", "record.write", "record.fsync", "record.rename", "record.fsync_dir"),
        *("inbox.rename", "inbox.fsync_dir", "incoming.fsync_dir"),
        *("pages.unlink", "pages.rmdir"),
    ]


def test_a_full_disk_is_a_store_error_and_the_document_stays(tmp_path: Path) -> None:
    full = Faults("record.fsync", errno.ENOSPC)
    spool = Spool(tmp_path, disk=WatchedDisk(full))
    spool.prepare()
    job, path = spool.create_job_file()
    path.write_bytes(b"pages")
    with pytest.raises(StoreError, match="No space left on device"):
        spool.deliver(job, "name", {})
    assert path.read_bytes() == b"pages"
    assert list(spool.inbox.glob("name.*")) == []
    assert spool.leftovers() == [job]


def test_leftovers_are_job_files_and_pages_and_nothing_else(spool: Spool) -> None:
    (spool.incoming / "0000000b.tif.pages").mkdir()
    (spool.incoming / "0000000a.tif").touch()
    for name in ("notes.txt", "0000000a.txt", "ABCDEF01.tif", "..tif", "0000000g.tif"):
        (spool.incoming / name).touch()
    assert sorted(spool.leftovers()) == ["0000000a", "0000000b"]


def test_half_written_records_are_swept_at_the_start(spool: Spool) -> None:
    (spool.inbox / ".new-name.json").write_text("{")
    spool.prepare()
    assert list(spool.inbox.iterdir()) == []


def test_a_write_is_whole_or_absent(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Input/output"):
        write_whole(WatchedDisk(Faults("record.fsync", errno.EIO)), tmp_path / "x.json", {"a": 1})
    assert list(tmp_path.iterdir()) == []


def test_octets_of_a_peer_that_are_no_text_do_not_keep_a_record_from_being_written(tmp_path: Path) -> None:
    write_whole(Disk(), tmp_path / "x.json", {"caller": "M\u00fcller \udcff \x9b"})
    assert json.loads((tmp_path / "x.json").read_bytes()) == {"caller": "M\u00fcller \udcff \x9b"}


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot make the spool folder"):
        Spool(tmp_path / "file" / "spool").prepare()


def test_a_spool_in_use_is_refused_naming_the_process_until_it_is_released(spool: Spool) -> None:
    (spool.inbox / ".new-name.json").write_text("{")
    second = Spool(spool.root)
    with pytest.raises(StoreError, match=rf"{spool.root} is in use by another vfax \(process {os.getpid()}\)"):
        second.prepare()
    assert (spool.inbox / ".new-name.json").exists()  # the other one may be writing it
    spool.release()
    second.prepare()
    with pytest.raises(StoreError, match="in use"):
        spool.prepare()


def test_a_spool_that_cannot_be_tidied_is_named_and_left_unlocked(spool: Spool) -> None:
    spool.release()
    (spool.inbox / ".new-name.json").write_text("{")
    with pytest.raises(StoreError, match="tidy up the spool folder"):
        Spool(spool.root, disk=WatchedDisk(Faults("record.unlink", errno.EACCES))).prepare()
    Spool(spool.root).prepare()


def test_a_number_on_record_is_not_given_again(tmp_path: Path) -> None:
    earlier = Spool(tmp_path)
    earlier.prepare()
    for folder, job in ((earlier.inbox, "0000000a"), (earlier.failed, "0000000b")):
        (folder / f"20250101T000000Z-unknown-{job}.json").write_text("{}")
    earlier.release()
    numbers = iter(["0000000a", "0000000b", "0000000c", "0000000c", "00000009"])
    spool = Spool(tmp_path, job_ids=lambda: next(numbers))
    spool.prepare()
    job, _ = spool.create_job_file()
    assert job == "0000000c"
    spool.record_failure(job, f"name-{job}", {})
    assert spool.create_job_file()[0] == "00000009"


def test_a_document_whose_sync_failed_is_written_anew_and_never_synced_again(tmp_path: Path) -> None:
    once, tally = Faults("delivery.fsync", errno.EIO, times=1), Tally()
    spool = Spool(tmp_path, disk=WatchedDisk(Both(once, tally)))
    spool.prepare()
    job, path = spool.create_job_file()
    path.write_bytes(b"pages")
    with pytest.raises(StoreError, match="Input/output error"):
        spool.deliver(job, "name", {})
    tally.seen.clear()
    kept = spool.deliver(job, "name", {})
    assert kept.document is not None
    assert kept.document.read_bytes() == b"pages"
    assert tally.seen["delivery.fsync"] == 0
    assert tally.seen["copy.fsync"] == 1


def test_a_job_file_that_is_not_durable_is_no_job(tmp_path: Path) -> None:
    spool = Spool(tmp_path, disk=WatchedDisk(Faults("job.fsync_dir", errno.EIO)))
    spool.prepare()
    with pytest.raises(StoreError, match="create the job file"):
        spool.create_job_file()
    assert spool.leftovers() == []


def test_files_of_others_can_be_synced(tmp_path: Path) -> None:
    (tmp_path / "backup.db").write_bytes(b"rows")
    sync_file(tmp_path / "backup.db")
    sync_folder(tmp_path)
    assert (tmp_path / "backup.db").read_bytes() == b"rows"
    with pytest.raises(FileNotFoundError):
        sync_file(tmp_path / "gone.db")
    with pytest.raises(FileNotFoundError):
        sync_folder(tmp_path / "gone")
