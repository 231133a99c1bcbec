"""Rules of sending."""

from vfax.fsp.conformance.desk import NOWHERE, Desk, is_failure, name_of
from vfax.fsp.conformance.jobs import completed
from vfax.fsp.conformance.rules import Mark, Need, NotChecked, expect, rule
from vfax.fsp.conformance.starting import switch
from vfax.fsp.constants import FaxStatus, Win32
from vfax.fsp.errors import FaxServiceError


@rule("FaxDevSend, return value", Need.ANSWERING)
def sent_fax_is_true_and_completed(desk: Desk) -> None:
    """After success FaxDevSend returns TRUE and the status is FS_COMPLETED, with NO_ERROR."""
    job = completed(desk)
    status = job.report()
    expect(status.status_id == FaxStatus.FS_COMPLETED, f"Send returned TRUE, and {job.words()} is reported")
    expect(status.error_code == Win32.NO_ERROR, f"a completed fax reports the error code {status.error_code}")


@rule("FaxDevStartJob, remarks; FaxDevSend", Need.ANSWERING)
def pages_sent_are_posted(desk: Desk) -> None:
    """A status is posted when it changes, for example for each page: FS_TRANSMITTING with its number, from 1."""
    job = desk.start().start_job()
    job.begin_send(desk.stimulus.answering(), pages=2)
    ended = job.wait()
    expect(ended.ok, f"Send to a machine that answers returns FALSE with {job.words()}: {ended.error}")
    desk.take_packets()
    pages = [status.page_count for status in job.posted if status.status_id == FaxStatus.FS_TRANSMITTING]
    expect([page for page in pages if page] == [1, 2], f"two pages went out, and the numbers posted are {pages}")


@rule("FaxDevSend, return value", Need.BUSY)
def failed_fax_is_false_with_its_status(desk: Desk) -> None:
    """After a failure FaxDevSend returns FALSE and reports why: FS_BUSY where the line was busy."""
    job = desk.start().start_job()
    job.begin_send(desk.stimulus.busy())
    ended = job.wait()
    expect(not ended.ok, "Send to a busy line returned TRUE")
    expect(job.words() == "FS_BUSY", f"Send to a busy line ends with {job.words()}")


@rule("Setting the Last Error Code", Need.BUSY)
def failed_fax_sets_a_last_error(desk: Desk) -> None:
    """FALSE comes with a last error, and the final status carries an error code."""
    job = desk.start().start_job()
    job.begin_send(desk.stimulus.busy())
    error = job.wait().error
    expect(isinstance(error, FaxServiceError), f"Send failed with {type(error).__name__}, not with a FaxServiceError")
    expect(int(getattr(error, "winerror", 0)) != 0, "Send failed with last error 0")
    status = job.report()
    expect(status.error_code != Win32.NO_ERROR, f"{name_of(status.status_id)} is reported with NO_ERROR")


@rule("PFAX_SEND_CALLBACK", Need.ANSWERING)
def send_callback_says_no(desk: Desk) -> None:
    """Where FaxSendCallback is called (for this job, reserved parameters 0) and answers FALSE, the operation ends."""
    job = desk.start().start_job()
    asked: list[tuple[object, ...]] = []

    def refuse(*arguments: object) -> bool:
        asked.append(arguments)
        return False

    job.begin_send(desk.stimulus.answering(), callback=refuse)
    ended = job.wait()
    if not asked:
        raise NotChecked("the provider does not call FaxSendCallback; only telephony providers must")
    handle, *rest = asked[0]
    expect(handle is job.handle, "FaxSendCallback was called with another handle than the job's")
    expect(rest[1:] == [0, 0], f"FaxSendCallback was called with {rest[1:]} for its reserved parameters")
    expect(not ended.ok, "FaxSendCallback answered FALSE, and the fax was sent all the same")
    expect(is_failure(job.report().status_id), f"FaxSendCallback answered FALSE, and {job.words()} is reported")


@rule("PFAX_SEND_CALLBACK", Need.ANSWERING)
def send_callback_says_yes(desk: Desk) -> None:
    """Where FaxSendCallback answers TRUE, or is not called, the operation goes on."""
    job = desk.start().start_job()
    job.begin_send(desk.stimulus.answering(), callback=lambda *arguments: True)
    ended = job.wait()
    expect(ended.ok, f"FaxSendCallback answered TRUE, and Send returns FALSE: {ended.error}")


@rule("Enabling and disabling devices (Windows 2000 edition)", mark=Mark.INFERRED)
def switched_off_devices_do_not_send(desk: Desk) -> None:
    """With sending disabled on a device the line cannot be had: FALSE, FS_LINE_UNAVAILABLE."""
    desk.start()
    switch(desk, send=False)
    job = desk.start_job()
    job.begin_send(NOWHERE)
    ended = job.wait(desk.patience.call)
    expect(not ended.ok, "Send returned TRUE on a device whose sending is switched off")
    expect(job.words() == "FS_LINE_UNAVAILABLE", f"with sending switched off Send ends with {job.words()}")


@rule("FAX_SEND, members; Fax Image Format", mark=Mark.OURS)
def missing_document_is_false(desk: Desk) -> None:
    """A document that cannot be read fails the operation, not the provider: FALSE, and a status that says so."""
    job = desk.start().start_job()
    job.begin_send_of(desk.folder / "missing.tif", NOWHERE)
    ended = job.wait(desk.patience.call)
    expect(isinstance(ended.error, FaxServiceError), f"a document that is not there: {ended.error!r}")
    expect(is_failure(job.report().status_id), f"a document that is not there ends with {job.words()}")
