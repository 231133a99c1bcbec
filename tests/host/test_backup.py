"""Backup and restore: all of a spool comes back, nothing is overwritten, and nothing is sent by itself."""

import io
import os
import sqlite3
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from vfax.errors import StoreError
from vfax.host.backup import back_up, restore
from vfax.host.store.store import Store
from vfax.host.store.values import Recipient, Submission

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


def url(spool: Path) -> str:
    return f"sqlite:///{spool / 'vfax.db'}"


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    root = tmp_path / "spool"
    for name in ("inbox", "failed", "incoming/abc.tif.pages", "outgoing"):
        (root / name).mkdir(parents=True)
    (root / "inbox" / "a fax.tif").write_bytes(b"fax" * 1000)
    (root / "incoming" / "abc.tif.pages" / "0001.tif").write_bytes(b"page")
    (root / "outgoing" / "d.tif").write_bytes(b"document")
    (root / ".lock").write_text("1234")
    store = Store.open(url(root))
    to = (Recipient(number="+4930123456"),)
    store.submit(Submission(document="outgoing/d.tif", pages=1, recipients=to), NOON)
    store.close()
    return root


def test_all_of_a_spool_comes_back_and_its_queue_is_paused(spool: Path, tmp_path: Path) -> None:
    kept = back_up(spool, url(spool), tmp_path / "backup.tar")
    there = tmp_path / "there"
    assert restore(tmp_path / "backup.tar", there, url(there)) == kept
    for name in ("inbox/a fax.tif", "incoming/abc.tif.pages/0001.tif", "outgoing/d.tif"):
        assert (there / name).read_bytes() == (spool / name).read_bytes()
    assert not (there / ".lock").exists()
    store = Store.open(url(there))
    assert store.queue_paused()
    assert [job.recipient.number for job in store.jobs()] == ["+4930123456"]
    store.close()
    assert sqlite3.connect(there / "vfax.db").execute("pragma integrity_check").fetchone() == ("ok",)


def test_files_come_back_with_their_time_and_no_more_rights_than_a_file_needs(spool: Path, tmp_path: Path) -> None:
    fax = spool / "inbox" / "a fax.tif"
    fax.chmod(0o4777)
    os.utime(fax, (1_000_000_000, 1_000_000_000))
    back_up(spool, url(spool), tmp_path / "backup.tar")
    restore(tmp_path / "backup.tar", tmp_path / "there", url(tmp_path / "there"))
    found = (tmp_path / "there" / "inbox" / "a fax.tif").stat()
    assert (found.st_mode & 0o7777, found.st_mtime) == (0o755, 1_000_000_000)


def test_a_backup_is_made_while_the_store_is_in_use(spool: Path, tmp_path: Path) -> None:
    store = Store.open(url(spool))
    store.pause_queue(False)
    back_up(spool, url(spool), tmp_path / "backup.tar")
    assert len(store.jobs()) == 1
    store.close()


def test_nothing_is_overwritten(spool: Path, tmp_path: Path) -> None:
    target = tmp_path / "backup.tar"
    back_up(spool, url(spool), target)
    with pytest.raises(StoreError, match="there already"):
        back_up(spool, url(spool), target)
    with pytest.raises(StoreError, match="not empty"):
        restore(target, spool, url(spool))


def test_a_backup_that_cannot_be_written_leaves_nothing(spool: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot write the backup"):
        back_up(spool, url(spool), tmp_path / "nowhere" / "backup.tar")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "inbox/../../outside", "vfax.conf", "inbox"])
def test_what_is_no_part_of_a_spool_is_refused(tmp_path: Path, name: str) -> None:
    with tarfile.open(tmp_path / "odd.tar", "w") as tar:
        member = tarfile.TarInfo(name)
        member.size = 4
        tar.addfile(member, io.BytesIO(b"data"))
    with pytest.raises(StoreError, match="no part of a spool"):
        restore(tmp_path / "odd.tar", tmp_path / "there", url(tmp_path / "there"))
    assert not (tmp_path / "there").exists()
    assert not (tmp_path / "outside").exists()


def test_links_are_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "odd.tar", "w") as tar:
        member = tarfile.TarInfo("inbox/link.tif")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(member)
    with pytest.raises(StoreError, match="no part of a spool"):
        restore(tmp_path / "odd.tar", tmp_path / "there", url(tmp_path / "there"))


@pytest.mark.parametrize("cut", [0, 100, 700, 3000])
def test_a_damaged_backup_leaves_nothing(spool: Path, tmp_path: Path, cut: int) -> None:
    back_up(spool, url(spool), tmp_path / "backup.tar")
    whole = (tmp_path / "backup.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[:cut])
    with pytest.raises(StoreError, match="no backup"):
        restore(tmp_path / "cut.tar", tmp_path / "there", url(tmp_path / "there"))
    assert not (tmp_path / "there").exists()
