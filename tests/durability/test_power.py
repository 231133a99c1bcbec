"""The power goes at every moment of a reception of three pages: no confirmed page is lost, nothing is told twice.

Every legal state of the folder (model.py) is laid out and given to the real start of the service. Where there are too
many, dice choose; their seed is SEED.
"""

import errno
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.durability import power
from tests.durability.house import start_again
from tests.durability.model import Recorder, lay_out
from tests.durability.points import Faults, WatchedDisk
from vfax.host.spool import Spool
from vfax.pages import PageFolder, recover

SEED: Final = 20250131
COURSES: Final = (power.delivered, power.failed, power.aborted, power.stopped)
TWICE: Final = 8
"""States of each course in the repair of which the power goes again; and states of each of these that are tried."""


def violations(recording: power.Recording, scratch: Path) -> Iterator[str]:
    for state in power.states(recording.past, recording.claim, random.Random(SEED)):
        for violation in power.try_state(state, scratch):
            yield str(violation)


@pytest.mark.parametrize("ecm", [True, False], ids=["ecm", "no ecm"])
@pytest.mark.parametrize("course", COURSES, ids=lambda course: course.__name__)
def test_no_power_cut_costs_a_confirmed_page(course: power.Course, ecm: bool, scratch: Path) -> None:
    recording = power.record(scratch, course, ecm=ecm)
    assert list(violations(recording, scratch)) == []


@pytest.mark.parametrize("course", COURSES, ids=lambda course: course.__name__)
def test_a_second_power_cut_in_the_repair_costs_nothing_either(course: power.Course, scratch: Path) -> None:
    recording = power.record(scratch, course, ecm=True)
    dice = random.Random(SEED)
    first = power.states(recording.past, recording.claim, dice)
    found = []
    for state in dice.sample(first, TWICE):
        second = power.cut_again(state, scratch, dice)
        for again in dice.sample(second, min(TWICE, len(second))):
            found += [f"{state.point}, then {violation}" for violation in power.try_state(again, scratch)]
    assert found == []


FAULTY: Final = {
    power.delivered: ("page.fsync_dir", "document.fsync_dir", "pages.rename", "inbox.rename", "inbox.fsync_dir"),
    power.failed: ("document.write", "delivery.fsync", "record.write"),
    power.aborted: ("record.write", "record.fsync_dir", "job.unlink", "incoming.fsync_dir"),
}


@pytest.mark.parametrize(("course", "point"), [(course, point) for course in FAULTY for point in FAULTY[course]])
def test_a_disk_that_fails_first_and_a_power_cut_then_cost_nothing(
    course: power.Course, point: str, scratch: Path
) -> None:
    faults = Faults(point=point, error=errno.EIO, times=1)
    recording = power.record(scratch, course, ecm=True, beside=faults)
    assert faults.hits == 1
    assert list(violations(recording, scratch)) == []


def test_a_page_that_comes_again_is_there_in_one_of_its_forms(scratch: Path) -> None:
    root, target = scratch / "disk", scratch / "disk" / "fax.tif"
    root.mkdir()
    target.touch()
    recorder = Recorder(root)
    folder = PageFolder(target, disk=WatchedDisk(recorder))
    folder.keep(1, b"part", complete=False)
    for octets in (b"whole", b"whole, once more"):
        folder.keep(1, octets, complete=True)
        recorder.mark("confirmed")
    past = recorder.past()
    for moment in range(len(past.steps) + 1):
        for number, image in enumerate(past.remains(moment, random.Random(SEED))):
            again = scratch / f"{moment}-{number}"
            again.mkdir()
            lay_out(image, again)
            found = [page.path.read_bytes() for page in recover(again / "fax.tif")]
            assert set(found) <= {b"part", b"whole", b"whole, once more"}
            assert len(found) <= 1
            if past.marks(moment):
                assert found[0].startswith(b"whole")


def test_what_cannot_be_read_is_put_aside_and_never_lost(scratch: Path) -> None:
    root = scratch / "disk"
    root.mkdir()
    spool = Spool(root / "spool")
    spool.prepare()
    job, path = spool.create_job_file()
    path.write_bytes(b"II*\0 rubbish")
    PageFolder(path).keep(1, b"no page either", complete=True)
    spool.release()
    recorder = Recorder(root)
    start_again(root, WatchedDisk(recorder))
    past = recorder.past()
    for moment in range(len(past.steps) + 1):
        for number, image in enumerate(past.remains(moment, random.Random(SEED))):
            again = scratch / f"{moment}-{number}"
            again.mkdir()
            lay_out(image, again)
            start_again(again)
            aside = again / "spool" / "unreadable" / f"{job}.tif"
            assert aside.read_bytes() == b"II*\0 rubbish", past.points[:moment]
            assert (aside.with_name(f"{job}.tif.pages") / "0001.tif").read_bytes() == b"no page either"


SYNCS: Final = (
    "spool.fsync_dir",
    "job.fsync_dir",
    "pages.fsync_dir",
    "page.fsync",
    "page.fsync_dir",
    "document.fsync",
    "record.fsync",
)


@pytest.mark.parametrize("forgotten", SYNCS)
def test_the_model_sees_every_sync_that_is_left_out(forgotten: str, scratch: Path) -> None:
    recording = power.record(scratch, power.delivered, ecm=True, forgets={forgotten, *also(forgotten)})
    assert next(violations(recording, scratch), None) is not None


def also(forgotten: str) -> set[str]:
    """Syncs that would make up for the one that is left out."""
    return {"document.fsync": {"delivery.fsync"}}.get(forgotten, set())
