"""Rules of receiving."""

import threading

from vfax.fsp.conformance.desk import Desk, Job, is_failure, name_of
from vfax.fsp.conformance.jobs import must_be_aborted
from vfax.fsp.conformance.paper import MMR, read_document
from vfax.fsp.conformance.rules import Broken, Mark, Need, broken, expect, rule
from vfax.fsp.constants import FaxStatus, Win32
from vfax.fsp.structures import FaxReceive

MANY_PAGES = 9


@rule("FaxDevReceive, return value", Need.RING)
def received_fax_is_true_and_completed(desk: Desk) -> None:
    """After success FaxDevReceive returns TRUE and the status is FS_COMPLETED, with NO_ERROR."""
    job = received(desk, 1)
    status = job.report()
    expect(status.status_id == FaxStatus.FS_COMPLETED, f"Receive returned TRUE, and {job.words()} is reported")
    expect(status.error_code == Win32.NO_ERROR, f"a completed fax reports the error code {status.error_code}")


@rule("FaxDevReceive, CallHandle; receiving on a virtual device", Need.RING, mark=Mark.INFERRED)
def no_call_handle_is_no_error(desk: Desk) -> None:
    """A virtual device has no telephony call: after a ring, FaxDevReceive answers although CallHandle is NULL."""
    job = desk.start().ring_and_start()
    job.begin_receive()
    ended = job.wait()
    expect(ended.ok, f"with CallHandle NULL Receive returns FALSE with {job.words()}: {ended.error}")


@rule("FAX_RECEIVE, FileName; Fax Image Format", Need.RING)
def pages_are_in_the_file(desk: Desk) -> None:
    """The pages are stored in the file that the service made, as TIFF with MMR in the processor's byte order."""
    job = received(desk, 2)
    sheets = read_document(job.file)
    expect(len(sheets) == 2, f"two pages were sent, and the file holds {len(sheets)}")
    for sheet in sheets:
        expect(sheet.compression == MMR, f"a page has the compression {sheet.compression}, where MMR is {MMR}")
        expect(sheet.width > 0 and sheet.rows > 0, f"a page is {sheet.width} by {sheet.rows} pixels")


@rule("FAX_RECEIVE, FileName", Need.RING)
def missing_file_is_not_created(desk: Desk) -> None:
    """The file is opened as an existing one: where it is missing, Receive returns FALSE and creates none."""
    job = desk.start().ring_and_start()
    missing = desk.folder / "vanished.tif"
    job.begin_receive(missing)
    ended = job.wait()
    expect(not missing.exists(), "Receive created the file that it was to find")
    expect(not ended.ok, "Receive returned TRUE although its file does not exist")


@rule("FaxDevStartJob, remarks; FaxDevReceive", Need.RING)
def pages_received_are_posted(desk: Desk) -> None:
    """FS_ANSWERED is posted, then FS_RECEIVING for each page with its number, from 1."""
    job = received(desk, 2)
    codes = job.codes()
    expect(FaxStatus.FS_ANSWERED in codes, f"posted: {', '.join(map(name_of, codes))}")
    pages = [status.page_count for status in job.posted if status.status_id == FaxStatus.FS_RECEIVING]
    expect([page for page in pages if page] == [1, 2], f"two pages came in, and the numbers posted are {pages}")
    first = codes.index(FaxStatus.FS_RECEIVING)
    expect(codes.index(FaxStatus.FS_ANSWERED) < first, "FS_ANSWERED was posted after FS_RECEIVING")


@rule("FAX_RECEIVE, ReceiverName and ReceiverNumber", Need.RING)
def receiving_device_is_named(desk: Desk) -> None:
    """FaxDevReceive fills in name and number of the receiving device, and leaves the file name as it was."""
    job = received(desk, 1)
    slot = job.wait().value
    if not isinstance(slot, FaxReceive):
        broken(f"FaxDevReceive answered {type(slot).__name__}")
    expect(slot.file_name == str(job.file), f"FaxDevReceive answered with the file {slot.file_name}")
    expect(bool(slot.receiver_number), "FaxDevReceive answered without a number of the receiving device")


@rule("FaxDevReceive", Need.RING, Need.GIVE_UP)
def caller_who_gives_up_is_a_failure(desk: Desk) -> None:
    """A caller who has hung up before Receive is no success: FALSE, a failure status, and it returns by itself."""
    job = desk.start().ring_and_start()
    desk.stimulus.give_up()
    job.begin_receive()
    ended = job.wait()
    expect(not ended.ok, "Receive returned TRUE although the caller had hung up")
    code = job.report().status_id
    expect(is_failure(code) and code != FaxStatus.FS_USER_ABORT, f"for a caller who gave up it reports {job.words()}")


@rule("FaxDevReceive, CallHandle")
def receive_without_a_ring_comes_to_an_end(desk: Desk) -> None:
    """Without a ring Receive returns an error, or picks up the line; an abort then ends it as always."""
    job = desk.start().start_job()
    job.begin_receive()
    try:
        desk.until(lambda: not job.running, "", seconds=desk.patience.quiet)
    except Broken:
        job.abort()
        must_be_aborted(job, desk.patience.call)
        return
    expect(not job.wait().ok, "Receive returned TRUE although nobody had called")
    expect(is_failure(job.report().status_id), f"Receive failed, and {job.words()} is reported")


@rule("FaxDevReceive, remarks", Need.BREAK_OFF)
def broken_reception_is_a_failure_of_its_own(desk: Desk) -> None:
    """A caller lost in mid fax is FALSE with a failure status, which is not FS_USER_ABORT: nobody asked for that."""
    job = broken_off(desk)
    code = job.report().status_id
    expect(is_failure(code) and code != FaxStatus.FS_USER_ABORT, f"for a lost caller it reports {job.words()}")


@rule("FaxDevReceive, remarks", Need.BREAK_OFF)
def broken_reception_keeps_its_pages(desk: Desk) -> None:
    """Pages received before a failure are left for the service to restore: in the file, or beside it."""
    job = broken_off(desk)
    beside = [path for path in job.file.parent.rglob("*") if path.is_file() and path != job.file]
    if job.file.stat().st_size:
        expect(len(read_document(job.file)) >= 1, "the file has no page in it")
    else:
        expect(bool(beside), "a page was confirmed to the caller, and nothing of it is left")


@rule("FaxDevReceive, remarks; Terminating a Fax", Need.RING)
def abort_in_mid_reception_ends_it(desk: Desk) -> None:
    """An abort while pages come in ends the reception: FALSE, FS_USER_ABORT."""
    must_be_aborted(aborted_in_mid_page(desk), desk.patience.call)


@rule("FaxDevReceive, remarks", Need.RING, mark=Mark.INFERRED)
def aborted_reception_leaves_nothing_behind(desk: Desk) -> None:
    """After FS_USER_ABORT partial data are discarded: nothing is left beside the file that the service made."""
    job = aborted_in_mid_page(desk)
    job.wait(desk.patience.call)
    job.end()
    beside = [path.name for path in job.file.parent.iterdir() if path != job.file]
    expect(not beside, f"left beside the file: {', '.join(beside)}")


@rule("Operating in a Multithreaded Environment", Need.RING)
def status_can_be_asked_while_pages_come_in(desk: Desk) -> None:
    """While pages come in, FaxDevReportStatus answers any number of threads at once."""
    job = desk.start().ring_and_start(2)
    job.begin_receive()
    job.until(FaxStatus.FS_ANSWERED)
    answers: list[str] = []
    threads = [threading.Thread(target=lambda: answers.append(job.words()), daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(desk.patience.call)
    expect(len(answers) == 8, f"of 8 threads that asked, {len(answers)} have an answer")
    wrong = [answer for answer in answers if "error" in answer]
    expect(not wrong, f"a thread that asked got {wrong[:1]}")
    expect(job.wait().ok, f"the fax failed with {job.words()} while its status was asked for")


def received(desk: Desk, pages: int) -> Job:
    """A job that has received so many pages with success."""
    job = desk.start().ring_and_start(pages)
    job.begin_receive()
    ended = job.wait()
    expect(ended.ok, f"Receive returns FALSE with {job.words()}: {ended.error}")
    return job


def broken_off(desk: Desk) -> Job:
    """A job whose caller was lost after a page had been confirmed."""
    desk.start().stimulus.ring_and_break_off(1)
    job = desk.start_job(desk.next_ring())
    job.begin_receive()
    ended = job.wait()
    expect(not ended.ok, "Receive returned TRUE although the caller was lost in mid page")
    return job


def aborted_in_mid_page(desk: Desk) -> Job:
    """A job that was aborted when a page was on the line; it need not have ended yet."""
    job = desk.start().ring_and_start(MANY_PAGES)
    job.begin_receive()
    job.until(FaxStatus.FS_RECEIVING)
    job.abort()
    return job
