"""Rules of jobs: handles, statuses, aborts, the end, in whichever direction the fax goes."""

from dataclasses import fields
from functools import partial

from vfax.fsp.completion import RingKey, StatusKey
from vfax.fsp.conformance.desk import NOWHERE, Desk, Job, is_failure, name_of
from vfax.fsp.conformance.rules import Mark, Need, NotChecked, broken, expect, rule
from vfax.fsp.constants import FaxStatus, Win32, is_progress
from vfax.fsp.errors import InvalidField
from vfax.fsp.structures import CallFacts, FaxDevStatus, FaxReceive, FaxSend


@rule("FaxDevStartJob, parameters")
def startjob_gives_a_handle(desk: Desk) -> None:
    """FaxDevStartJob returns a handle that means something: neither None nor 0, and another one for each job."""
    desk.start()
    first, second = desk.start_job(), desk.start_job()
    for job in (first, second):
        usable = job.handle is not None and not (isinstance(job.handle, int) and job.handle == 0)
        expect(usable, f"FaxDevStartJob answered {job.handle!r} for a handle")
    expect(first.handle is not second.handle, "two jobs have one handle")


@rule("FaxDevStartJob, parameters", mark=Mark.OURS)
def unknown_device_is_refused(desk: Desk) -> None:
    """A device id that is none of the provider's is refused with a last error."""
    desk.start()
    for number in (0, desk.ids[-1] + 1):
        desk.refused(partial(desk.start_job, number), f"FaxDevStartJob on device {number}")


@rule("Handling Exceptions", mark=Mark.OURS)
def wrong_arguments_are_refused(desk: Desk) -> None:
    """Arguments of a wrong type or outside DWORD are refused with a last error; no other exception escapes."""
    start = desk.start().exports.FaxDevStartJob
    key, port = StatusKey(), desk.status_port
    wrong: tuple[object, ...] = ("one", None, [], -1, 1 << 32)
    for device in wrong:
        what = f"FaxDevStartJob with the device id {device!r}"
        desk.refused(partial(desk.call, start, None, device, port, key), what)
    desk.refused(lambda: desk.call(start, None, desk.ids[0], "no port", key), "a status port that is text")
    desk.refused(lambda: desk.call(start, None, desk.ids[0], port, RingKey()), "a status key that is for rings")
    job = desk.start_job()
    desk.refused(lambda: desk.call(desk.exports.FaxDevSend, job.handle, "document", None), "FAX_SEND that is text")


@rule("Handling Exceptions", mark=Mark.OURS)
def unknown_handles_are_refused(desk: Desk) -> None:
    """A handle that the provider has not given is refused with a last error, by every export that takes one."""
    desk.start()
    for handle in (None, 0, "job", object()):
        refuse_handle(desk, handle, f"the handle {type(handle).__name__}")


@rule("FaxDevReportStatus")
def status_can_be_asked_from_startjob_on(desk: Desk) -> None:
    """From FaxDevStartJob to FaxDevEndJob FaxDevReportStatus answers; before the operation it reports progress."""
    job = desk.start().start_job()
    status = job.report()
    expect(is_progress(status.status_id), f"a job that has just been started reports {name_of(status.status_id)}")


@rule("FaxDevReportStatus", Need.HANGING)
def status_is_answered_at_once_while_an_operation_runs(desk: Desk) -> None:
    """While Send or Receive runs, FaxDevReportStatus answers other threads without waiting for the operation."""
    job = desk.start().send_and_hang()
    status = desk.quickly(job.report, "FaxDevReportStatus")
    expect(job.running, "the operation ended although its destination keeps the line")
    expect(is_progress(status.status_id), f"a running operation reports {name_of(status.status_id)}")


@rule("FAX_DEV_STATUS, members", Need.HANGING)
def running_operation_has_no_error_code(desk: Desk) -> None:
    """ErrorCode is NO_ERROR while the operation runs."""
    job = desk.start().send_and_hang()
    code = job.report().error_code
    expect(code == Win32.NO_ERROR, f"a running operation reports the error code {code}")


@rule("FAX_DEV_STATUS, members; FaxDevReportStatus, parameters")
def every_member_of_a_status_is_filled_in(desk: Desk) -> None:
    """Every member of a status is set or zero, its strings fit in 4096 octets, a code of its own brings its text."""
    job = desk.start().start_job()
    statuses = [job.report()]
    job.abort()
    job.begin_send(NOWHERE)
    job.wait()
    desk.take_packets()
    for status in (*statuses, job.report(), *job.posted):
        try:
            FaxDevStatus(**{field.name: getattr(status, field.name) for field in fields(FaxDevStatus)})
        except (InvalidField, AttributeError) as why:
            broken(f"{name_of(getattr(status, 'status_id', 0))}: {why}")


@rule("FaxDevAbortOperation")
def abort_returns_at_once(desk: Desk) -> None:
    """FaxDevAbortOperation notes the request and returns; it does not wait for the operation."""
    job = desk.start().start_job()
    desk.quickly(job.abort, "FaxDevAbortOperation")


@rule("FaxDevAbortOperation; Terminating a Fax", Need.HANGING)
def abort_ends_a_running_operation(desk: Desk) -> None:
    """The running operation then ends by itself: FALSE, and the status is FS_USER_ABORT."""
    job = desk.start().send_and_hang()
    desk.quickly(job.abort, "FaxDevAbortOperation")
    must_be_aborted(job, desk.patience.call)


@rule("FaxDevAbortOperation", mark=Mark.OURS)
def abort_before_send_is_latched(desk: Desk) -> None:
    """An abort between FaxDevStartJob and FaxDevSend ends the coming Send at once: FALSE, FS_USER_ABORT."""
    job = desk.start().start_job()
    job.abort()
    job.begin_send(NOWHERE)
    must_be_aborted(job, desk.patience.call)
    expect(FaxStatus.FS_DIALING not in job.codes(), "it dialled although the abort had come before")


@rule("FaxDevAbortOperation", Need.RING, mark=Mark.OURS)
def abort_before_receive_is_latched(desk: Desk) -> None:
    """An abort between FaxDevStartJob and FaxDevReceive ends the coming Receive at once: FALSE, FS_USER_ABORT."""
    job = desk.start().ring_and_start()
    job.abort()
    job.begin_receive()
    must_be_aborted(job, desk.patience.call)
    expect(FaxStatus.FS_ANSWERED not in job.codes(), "it answered although the abort had come before")


@rule("Terminating a Fax", Need.ANSWERING, mark=Mark.OURS)
def abort_after_the_end_changes_nothing(desk: Desk) -> None:
    """An abort that arrives after Send or Receive has returned is harmless, and the outcome stands."""
    job = completed(desk)
    desk.quickly(job.abort, "FaxDevAbortOperation")
    desk.stays(lambda: job.words() == "FS_COMPLETED", "a completed operation reports something else after an abort")
    job.end()


@rule("Terminating a Fax", Need.HANGING)
def device_is_free_after_an_aborted_job(desk: Desk) -> None:
    """FaxDevEndJob follows an aborted operation too, and gives the device back for the next job."""
    first = desk.start().send_and_hang()
    first.abort()
    must_be_aborted(first, desk.patience.call)
    first.end()
    second = desk.send_and_hang()
    second.abort()
    must_be_aborted(second, desk.patience.call)
    second.end()


@rule("FaxDevEndJob", mark=Mark.INFERRED)
def handle_is_dead_after_endjob(desk: Desk) -> None:
    """After FaxDevEndJob the handle is refused with a last error, by every export that takes one."""
    job = desk.start().start_job()
    job.end()
    refuse_handle(desk, job.handle, "a job that has ended")


@rule("FaxDevStartJob, remarks", Need.HANGING)
def nothing_is_posted_after_endjob(desk: Desk) -> None:
    """Status packets are posted until FaxDevEndJob and no longer, also for an operation that was aborted."""
    job = desk.start().send_and_hang()
    job.abort()
    job.wait(desk.patience.call)
    job.end()
    before = len(job.codes())
    desk.stays(lambda: len(job.codes()) == before, "a status was posted after FaxDevEndJob had returned")


@rule("FAX_DEV_STATUS; Creating a Completion Packet", Need.ANSWERING)
def statuses_come_under_the_jobs_key(desk: Desk) -> None:
    """Every status is posted on the port and under the key that FaxDevStartJob was given for its job."""
    job = completed(desk)
    desk.take_packets()
    expect(not desk.strays, f"{len(desk.strays)} packets came under a key that is no job's")
    expect(bool(job.posted), "no status was posted for a whole fax")


@rule("FAX_DEV_STATUS", Need.ANSWERING, mark=Mark.INFERRED)
def final_status_is_the_last_one(desk: Desk) -> None:
    """Among the posted statuses only the last one ends the operation, and it is what FaxDevReportStatus says."""
    job = completed(desk)
    codes = job.codes()
    expect(all(is_progress(code) for code in codes[:-1]), f"posted: {', '.join(map(name_of, codes))}")
    final = job.report().status_id
    if codes and not is_progress(codes[-1]):
        expect(codes[-1] == final, f"{name_of(codes[-1])} was posted last, and {name_of(final)} is reported")


@rule("FaxDevReportStatus", Need.ANSWERING)
def status_outlives_the_operation(desk: Desk) -> None:
    """FaxDevReportStatus answers after Send or Receive has returned, as often as it is asked, until FaxDevEndJob."""
    job = completed(desk)
    answers = {job.words() for _ in range(3)}
    expect(answers == {"FS_COMPLETED"}, f"after the end it reports {', '.join(sorted(answers))}")


@rule("Fax Operation Error Control", Need.HANGING)
def busy_line_does_not_fail_startjob(desk: Desk) -> None:
    """A line that cannot be had is no failure of FaxDevStartJob: Send returns FALSE with FS_LINE_UNAVAILABLE."""
    desk.start().send_and_hang()
    second = desk.start_job(desk.ids[0])
    second.begin_send(NOWHERE)
    ended = second.wait(desk.patience.call)
    expect(not ended.ok, "Send returned TRUE on a device that another job has")
    expect(second.words() == "FS_LINE_UNAVAILABLE", f"Send on a device in use ends with {second.words()}")


@rule("Operating in a Multithreaded Environment", Need.HANGING)
def devices_work_at_the_same_time(desk: Desk) -> None:
    """Several devices mean several operations at once, each with a status of its own."""
    desk.start()
    if len(desk.ids) < 2:
        raise NotChecked("the provider has one device only")
    jobs = [desk.start_job(number) for number in desk.ids[:2]]
    for job in jobs:
        job.begin_send(desk.stimulus.hanging())
    desk.until(lambda: all(job.codes() or not job.running for job in jobs), "no status was posted")
    expect(all(job.running for job in jobs), f"of two devices one works: {', '.join(job.words() for job in jobs)}")
    jobs[0].abort()
    must_be_aborted(jobs[0], desk.patience.call)
    expect(jobs[1].running, "an abort of one job ended another one's operation")
    expect(is_progress(jobs[1].report().status_id), "an abort of one job changed the status of another")


@rule("FaxDevStartJob, completion port", Need.ANSWERING, mark=Mark.OURS)
def closed_port_costs_no_fax(desk: Desk) -> None:
    """A status port that takes no packet is no failure of the fax: the service can still ask."""
    desk.start()
    job = desk.start_job()
    desk.status_port.close()
    job.begin_send(desk.stimulus.answering())
    ended = job.wait()
    expect(ended.ok, f"with a closed status port Send returns FALSE: {ended.error}")
    expect(job.words() == "FS_COMPLETED", f"with a closed status port it reports {job.words()}")


@rule("VfaxDevReportFacts (an extension)", mark=Mark.OURS)
def facts_are_of_the_jobs_device(desk: Desk) -> None:
    """VfaxDevReportFacts, where it is offered, answers as FaxDevReportStatus does, and names the job's device."""
    desk.start()
    report = desk.exports.VfaxDevReportFacts
    if report is None:
        raise NotChecked("the provider does not offer VfaxDevReportFacts")
    job = desk.start_job()
    facts: object = desk.quickly(partial(report, job.handle), "VfaxDevReportFacts")
    if not isinstance(facts, CallFacts):
        broken(f"VfaxDevReportFacts answered {type(facts).__name__}")
    expect(facts.device_id == job.device_id, f"VfaxDevReportFacts names device {facts.device_id} for {job.device_id}")


def completed(desk: Desk) -> Job:
    """A job that has sent one page with success."""
    job = desk.start().start_job()
    job.begin_send(desk.stimulus.answering())
    ended = job.wait()
    expect(ended.ok, f"Send to a machine that answers returns FALSE with {job.words()}: {ended.error}")
    return job


def must_be_aborted(job: Job, seconds: float) -> None:
    """Wait for the end; it must be FALSE with a last error, and FS_USER_ABORT."""
    ended = job.wait(seconds)
    expect(not ended.ok, "the aborted operation returned TRUE")
    expect(job.words() == "FS_USER_ABORT", f"the aborted operation reports {job.words()}")
    expect(is_failure(job.report().status_id), "the aborted operation reports progress")


def refuse_handle(desk: Desk, handle: object, what: str) -> None:
    """Every export that takes a handle must refuse this one."""
    exports = desk.exports
    slot, order = FaxReceive(str(desk.folder / "none.tif")), FaxSend(str(desk.folder / "none.tif"), NOWHERE)
    desk.refused(lambda: exports.FaxDevReportStatus(handle), f"FaxDevReportStatus for {what}")
    desk.refused(lambda: exports.FaxDevAbortOperation(handle), f"FaxDevAbortOperation for {what}")
    desk.refused(lambda: desk.call(exports.FaxDevSend, handle, order, None), f"FaxDevSend for {what}")
    desk.refused(lambda: desk.call(exports.FaxDevReceive, handle, None, slot), f"FaxDevReceive for {what}")
    desk.refused(lambda: desk.call(exports.FaxDevEndJob, handle), f"FaxDevEndJob for {what}")
