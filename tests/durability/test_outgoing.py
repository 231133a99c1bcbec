"""Documents that wait to be sent, on a disk that fails: kept whole or refused in a sentence, and nothing half left."""

import errno
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from tests.durability.faulty import Fault, errors_at, words_of
from tests.durability.house import write_letter
from tests.durability.points import Faults, Tally, WatchedDisk
from tests.durability.power_sending import LIMIT, NUMBERS, Reads, all_over, order_of, rasters_of, sender
from vfax.codecs import tiff
from vfax.errors import StoreError
from vfax.fsp.constants import FaxStatus, JobStatusEnum
from vfax.host.outgoing import FOLDER, WORKROOM, count_pages, keep_document, remove_documents, rest_of, workroom
from vfax.host.store.values import Recipient, Submission

WRITES = ("create", "write", "fsync", "close", "rename", "fsync_dir")
KEEPING = [f"outgoing.{call}" for call in ("mkdir", "open_read", *WRITES)]
RESTING = [f"outgoing.{call}" for call in ("open_read", *WRITES)]


def faults_of(points: Iterable[str]) -> list[Fault]:
    """What may befall each of the points, but writes of a few octets: those are no fault."""
    return [Fault(point, error) for point in points for error in errors_at(point) if error != "short"]


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    """A document of two pages."""
    return write_letter(tmp_path / "letter.tif", 2, 1).path


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    folder = tmp_path / "spool"
    folder.mkdir()
    return folder


def files(spool: Path) -> list[str]:
    return sorted(path.name for path in (spool / FOLDER).glob("*"))


def test_it_is_on_the_medium_before_it_has_a_name_and_then_the_name_is(letter: Path, spool: Path) -> None:
    tally = Tally()
    document = spool / keep_document(spool, letter, WatchedDisk(tally))
    assert document.read_bytes() == letter.read_bytes()
    assert set(KEEPING) == set(tally.seen)
    assert tally.order[:2] == ["outgoing.mkdir", "outgoing.fsync_dir"]
    assert tally.order[-4:] == [f"outgoing.{call}" for call in ("fsync", "close", "rename", "fsync_dir")]

    tally.order.clear()
    rest = rest_of(document, 2, WatchedDisk(tally))
    assert tally.order[-4:] == [f"outgoing.{call}" for call in ("fsync", "close", "rename", "fsync_dir")]
    assert count_pages(rest) == 1
    (second,) = tiff.read_headers(document)[1:]
    assert tiff.read_headers(rest) == (replace(second, page=0, total=1),)


@pytest.mark.parametrize("fault", faults_of(KEEPING), ids=str)
def test_what_cannot_be_kept_is_refused(fault: Fault, letter: Path, spool: Path) -> None:
    watcher = fault.watcher()
    disk = WatchedDisk(watcher)
    with pytest.raises(StoreError, match=f"cannot keep the document in {spool / FOLDER}: {words_of(fault)}"):
        keep_document(spool, letter, disk)
    assert watcher.hits == 1
    assert not any(name.startswith(".") for name in files(spool))
    watcher.heal()
    assert count_pages(spool / keep_document(spool, letter, disk)) == 2


@pytest.mark.parametrize("fault", faults_of(RESTING), ids=str)
def test_a_rest_that_cannot_be_written_is_refused(fault: Fault, letter: Path, spool: Path) -> None:
    document = spool / keep_document(spool, letter)
    with pytest.raises(StoreError, match=f"cannot write the rest of {document}: {words_of(fault)}"):
        rest_of(document, 2, WatchedDisk(fault.watcher()))
    assert not any(name.startswith(".") for name in files(spool))
    assert count_pages(rest_of(document, 2)) == 1


def test_a_disk_that_takes_a_few_octets_at_a_time_gets_them_all(letter: Path, spool: Path) -> None:
    few = WatchedDisk(Faults(chunk=7))
    kept = spool / keep_document(spool, letter, few)
    assert kept.read_bytes() == letter.read_bytes()
    assert rasters_of(rest_of(kept, 2, few)) == rasters_of(letter)[1:]


def test_what_a_killed_conversion_has_left_goes_and_one_that_runs_stays(spool: Path) -> None:
    old, new, busy = (f"{WORKROOM}{name}" for name in ("old", "new", "busy"))
    for name, age in ((old, 0.0), (new, 2000.0), (busy, 0.0), ("inbox", 0.0), ("vfax-copies", 0.0)):
        (spool / name).mkdir()
        (spool / name / "document.tif").write_bytes(b"")
        written = 2000.0 if name == busy else age
        os.utime(spool / name / "document.tif", (written, written))
        os.utime(spool / name, (age, age))
    assert remove_documents(spool, set(), before=1000.0) == 1
    assert sorted(path.name for path in spool.iterdir()) == sorted([busy, new, "inbox", "vfax-copies"])


def test_where_nothing_can_be_converted_the_disk_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        StoreError, match=r"cannot make a folder to convert the document in .*: No such file or directory"
    ):
        workroom(tmp_path / "gone")


# --- a server whose disk fails ---------------------------------------------------------------------------------------


@pytest.mark.realtime
async def test_a_submission_that_the_disk_refuses_leaves_no_job_and_the_next_one_is_sent(scratch: Path) -> None:
    letter, script = write_letter(scratch / "letter.tif", 3, 1), Reads(takes_hints=False)
    faults = Faults()
    async with sender(scratch, script, WatchedDisk(faults)) as server:
        for point in KEEPING:
            faults.point, faults.error = point, errno.ENOSPC
            with pytest.raises(StoreError, match="No space left on device"):
                await server.door.submit(order_of(letter))
            assert server.store.jobs() == []
        faults.heal()
        await server.door.submit(order_of(letter))
        await all_over(server)
        ended = [job.status for job in server.store.jobs()]
    assert ended == [JobStatusEnum.fjsCOMPLETED] * len(NUMBERS)
    assert script.read == {number: [letter.rasters] for number in NUMBERS}


@pytest.mark.realtime
@pytest.mark.parametrize("point", RESTING)
async def test_a_rest_that_the_disk_refuses_makes_the_job_wait_and_it_is_sent(point: str, scratch: Path) -> None:
    letter = write_letter(scratch / "letter.tif", 3, 1)
    script = Reads(count=1, takes_hints=False, endings=[FaxStatus.FS_DISCONNECTED], reached_page=2)
    faults = Faults()
    async with sender(scratch, script, WatchedDisk(faults)) as server:
        document = await trio.to_thread.run_sync(keep_document, server.service.spool.root, letter.path)
        faults.point, faults.error = point, errno.EIO
        (job,) = await server.queue.submit(
            Submission(document=document, pages=3, recipients=(Recipient(number=NUMBERS[0]),), retry_delay=0.0)
        )
        await until(lambda: faults.hits >= (1 if point == "outgoing.fsync_dir" else 2))  # else it has the rest by then
        faults.heal()
        await all_over(server)
        ended, attempts = server.store.job(job.id), server.store.attempts(job.id)
    assert ended is not None
    assert (ended.status, ended.failures) == (JobStatusEnum.fjsCOMPLETED, 1), "the disk does not use up the retries"
    assert sum("Input/output error" in attempt.sentence for attempt in attempts) == faults.hits
    assert script.read[NUMBERS[0]] == [letter.rasters, letter.rasters[1:]]


async def until(holds: Callable[[], object]) -> None:
    with trio.fail_after(LIMIT):
        while not holds():  # noqa: ASYNC110  # a disk rings no bell
            await trio.sleep(0.02)


def test_a_workroom_that_goes_while_it_is_looked_at_is_no_trouble(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with workroom(spool) as room:
        gone = Path(room) / "gone.tif"
        iterdir = Path.iterdir
        monkeypatch.setattr(Path, "iterdir", lambda path: iter((*iterdir(path), gone)))
        assert remove_documents(spool, set(), before=0.0) == 0
