"""Which faxes are taken for the page of a check, and which are not: nobody else's ever."""

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.host.delivery.conftest import record
from vfax.fsp.constants import JobType
from vfax.host.check_pages import FOLDER, MARK_AGE, CheckPages, new_mark
from vfax.host.records import FaxRecord
from vfax.host.spool import Kept
from vfax.outcome import Cause

MARK = "881234567890123"


@pytest.fixture
def pages(tmp_path: Path) -> CheckPages:
    made = CheckPages(tmp_path)
    made.prepare()
    return made


def page(**more: object) -> FaxRecord:
    return record(**({"remote_id": MARK, "pages": 1} | more))


def test_a_mark_is_a_number_that_carriers_take_and_nobody_else_has() -> None:
    marks = {new_mark() for _ in range(200)}
    assert len(marks) == 200
    assert all(len(mark) == 15 and mark.isdecimal() and mark.startswith("88") for mark in marks)


def test_only_the_page_that_is_waited_for_is_claimed(pages: CheckPages) -> None:
    assert not pages.claims(page())
    assert pages.expect(MARK)
    assert pages.claims(page())
    assert pages.claims(page(remote_id=f"  {MARK} "))
    for other in (
        {"remote_id": ""},
        {"remote_id": "881234567890124"},
        {"remote_id": MARK[:-1]},
        {"remote_id": f"{MARK}0"},
        {"remote_id": f"../{FOLDER}/{MARK}"},
        {"pages": 2},
        {"pages": 0},
    ):
        assert not pages.claims(page(**other)), other
    pages.forget(MARK)
    assert not pages.claims(page())


def test_a_mark_that_was_left_behind_is_not_believed_for_ever(pages: CheckPages, tmp_path: Path) -> None:
    pages.expect(MARK)
    old = time.time() - MARK_AGE - 1
    os.utime(tmp_path / FOLDER / MARK, (old, old))
    (tmp_path / FOLDER / f"{MARK}.tif").write_bytes(b"a page that nobody has fetched")
    assert not pages.claims(page())
    pages.expect("881111111111111")
    pages.prepare()  # at the next start
    assert {path.name for path in (tmp_path / FOLDER).iterdir()} == {f"{MARK}.tif", "881111111111111"}


def test_without_the_folder_nothing_is_expected_and_nothing_claimed(tmp_path: Path) -> None:
    pages = CheckPages(tmp_path / "elsewhere")
    pages.prepare()
    assert not pages.expect(MARK)
    assert not pages.claims(page())
    pages.forget(MARK)


def test_what_is_put_aside_is_whole_and_a_second_one_is_left(pages: CheckPages, tmp_path: Path) -> None:
    document, beside = tmp_path / "fax.tif", tmp_path / "fax.json"
    document.write_bytes(b"page")
    beside.write_text("{}")
    kept = Kept(beside, document)
    aside = pages.put_aside(page(), kept)
    assert aside.document is not None
    assert (aside.document.read_bytes(), aside.record.read_text()) == (b"page", "{}")
    assert not document.exists()
    document.write_bytes(b"another")
    assert pages.put_aside(page(), kept) == kept
    assert document.read_bytes() == b"another"
    assert pages.put_aside(page(), replace(kept, document=tmp_path / "gone.tif")).document == tmp_path / "gone.tif"


def test_a_page_that_did_not_end_well_is_a_fax_as_any_other(pages: CheckPages) -> None:
    pages.expect(MARK)
    assert not pages.claims(page(cause=Cause.PEER_HUNG_UP, job_type=JobType.JT_FAIL_RECEIVE))
