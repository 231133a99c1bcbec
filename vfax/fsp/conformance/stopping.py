"""Rules of the end: FaxDevShutdown, and what is left behind."""

from vfax.fsp.conformance.desk import Desk
from vfax.fsp.conformance.rules import Mark, Need, NotChecked, expect, rule
from vfax.fsp.constants import Hresult


@rule("FaxDevShutdown, return value")
def shutdown_answers_with_an_hresult(desk: Desk) -> None:
    """FaxDevShutdown returns S_OK or E_FAIL."""
    answer = shut_down(desk.start())
    known = isinstance(answer, int) and answer in (Hresult.S_OK, Hresult.E_FAIL)
    expect(known, f"FaxDevShutdown answered {answer!r}")


@rule("FaxDevShutdown; Terminating a Fax", Need.HANGING, mark=Mark.OURS)
def shutdown_ends_what_runs(desk: Desk) -> None:
    """An operation that still runs when FaxDevShutdown comes ends with FALSE; its job can be reported and ended."""
    job = desk.start().send_and_hang()
    shut_down(desk)
    ended = job.wait(desk.patience.call)
    expect(not ended.ok, "Send returned TRUE although the provider was shut down")
    expect(job.words() == "FS_USER_ABORT", f"after the shutdown the operation reports {job.words()}")
    job.end()


@rule("FaxDevShutdown", mark=Mark.INFERRED)
def nothing_begins_after_shutdown(desk: Desk) -> None:
    """What FaxDevInitialize acquired is released: a job can no longer be started, and is refused with a last error."""
    shut_down(desk.start())
    desk.refused(desk.start_job, "FaxDevStartJob after FaxDevShutdown")


@rule("FaxDevShutdown", Need.RING, mark=Mark.INFERRED)
def nothing_rings_after_shutdown(desk: Desk) -> None:
    """After FaxDevShutdown no ring is posted any more."""
    shut_down(desk.start())
    desk.stimulus.ring(1)
    desk.stays(lambda: not desk.rings(), "a ring was posted after FaxDevShutdown had returned")


@rule("Allocating Memory; FaxDevEndJob")
def nothing_is_left_in_the_arena(desk: Desk) -> None:
    """What a provider lists in the arena it strikes off again: jobs by FaxDevEndJob, files by FaxDevShutdown."""
    desk.start().start_job().end()
    jobs = desk.rig.arena.live_jobs
    expect(jobs == 0, f"FaxDevEndJob left {jobs} jobs in the arena")
    desk.shutdown()
    left = desk.rig.arena.close()
    expect(not left.files, f"FaxDevShutdown left {len(left.files)} files in the arena")


def shut_down(desk: Desk) -> object:
    """FaxDevShutdown. Raises NotChecked when the provider has none."""
    if desk.exports.FaxDevShutdown is None:
        raise NotChecked("the provider does not offer FaxDevShutdown")
    return desk.shutdown()
