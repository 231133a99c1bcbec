"""Aborts, full disks and lost callers while libspandsp sends: what its side saw, and what of the fax is left.

The reception runs through the provider contract over a real endpoint; the clock is virtual, so "within a second" is
exact.
"""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import pytest
import trio
from PIL import Image
from trio.testing import MockClock

from tests import staged
from tests.interop import documents
from tests.interop.matrix import Caller, play
from tests.interop.peer import CallResult, Ending, Fault, Habits, SpandspPeer, Way
from tests.interop.side import open_vfax
from tests.interop.spandsp import Abilities
from tests.staged import FailingDisk, HeldDisk, Stage
from vfax.endpoint import EndpointOptions
from vfax.fsp.constants import FaxStatus
from vfax.fsp.errors import InvalidHandle, OperationAborted
from vfax.fsp.structures import FaxReceive
from vfax.outcome import Cause
from vfax.pages import pages_folder

MakeFax = Callable[..., tuple[Path, list[Image.Image]]]
pytestmark = pytest.mark.usefixtures("libspandsp")

WITHIN: Final = 1.0
HELD: Final = 7.0  # longer than T4 of the sender: it repeats its command
OPTIONS: Final = EndpointOptions(listen=("127.0.0.1", 0))
ECM: Final = Habits()
WITHOUT_ECM: Final = Habits(way=Way.AUDIO_THEN_WAIT, abilities=Abilities(ecm=False))


async def on_page_two(stage: Stage) -> None:
    await stage.until(lambda facts: facts.page == 2 and facts.progress_done > 50)


PHASES: Final = staged.PHASES | {"page-two": on_page_two}


@dataclass
class Aborted:
    """One aborted reception: when the abort came, what the peer saw of it."""

    peer: SpandspPeer
    phase: str
    target: Path
    at: float = 0.0
    results: list[CallResult] = field(default_factory=list)

    async def receive(self, stage: Stage) -> None:
        with pytest.raises(OperationAborted):
            await stage.provider.FaxDevReceive(stage.handle, None, FaxReceive(str(self.target)))
        assert trio.current_time() - self.at <= WITHIN
        assert stage.status() == FaxStatus.FS_USER_ABORT

    async def run(self, stage: Stage) -> None:
        """Take the call that rings, and abort it from another thread when the phase has come."""
        await stage.ring()
        async with trio.open_nursery() as nursery:
            if self.phase != "ringing":
                nursery.start_soon(self.receive, stage)
                await PHASES[self.phase](stage)
            self.at = trio.current_time()
            await trio.to_thread.run_sync(stage.provider.FaxDevAbortOperation, stage.handle)
            if self.phase == "ringing":
                nursery.start_soon(self.receive, stage)
            elif self.phase == "post-page":
                await self.hear_bye(stage)  # it does not wait for the disk
            stage.disk.gate.open()

    async def hear_bye(self, stage: Stage) -> None:
        with trio.fail_after(WITHIN):
            while not self.seen(stage, b"BYE "):  # noqa: ASYNC110  # the peer keeps a transcript and tells nobody
                await trio.sleep(0.01)

    def seen(self, stage: Stage, start: bytes) -> list[float]:
        """When the peer got SIP messages of ours that start so."""
        return [
            d.at
            for d in self.peer.transcript.datagrams
            if d.kind == "sip" and d.source == stage.endpoint.address and d.octets.startswith(start)
        ]


@pytest.mark.parametrize("habits", [ECM, WITHOUT_ECM], ids=["ecm", "audio first, no ecm"])
@pytest.mark.parametrize("phase", ["ringing", *PHASES])
async def test_abort_in_every_phase_is_quick_and_polite_and_leaves_nothing(
    phase: str, habits: Habits, peer: SpandspPeer, fax_clock: MockClock, make_fax: MakeFax, tmp_path: Path
) -> None:
    document, pages = make_fax(2)
    target = tmp_path / "received.tif"
    target.touch()
    await trio.testing.wait_all_tasks_blocked()
    sockets, tasks = staged.open_sockets(), trio.lowlevel.current_statistics().tasks_living
    one = Aborted(peer, phase, target)
    async with trio.open_nursery() as nursery:
        stage = await staged.set_up(nursery, HeldDisk(held=phase == "post-page"))

        async def send() -> None:
            one.results.append(await peer.call(stage.uri, document, habits))

        async with trio.open_nursery() as both:
            both.start_soon(send)
            await one.run(stage)
        seen = one.seen(stage, b"SIP/2.0 603 " if phase == "ringing" else b"BYE ")
        await stage.end()
        with pytest.raises(InvalidHandle):
            stage.status()
        nursery.cancel_scope.cancel()
    (result,) = one.results
    assert len(seen) == 1
    assert one.at <= seen[0] <= one.at + WITHIN
    assert result.ending is (Ending.NOBODY if phase == "ringing" else Ending.THEM)
    assert result.status == (603 if phase == "ringing" else 200)
    assert (result.complaints, result.ok) == ([], False)
    assert [packet.status_id for packet in stage.packets][-1] == FaxStatus.FS_USER_ABORT
    assert result.heard().count("MCF") == (phase == "page-two")
    in_audio = phase == "answered" and habits is WITHOUT_ECM
    assert phase == "ringing" or in_audio or result.heard()[-1] == "DCN"
    assert not pages_folder(target).exists()
    if phase == "page-two":  # whether an aborted fax is wanted is the host's to say; what was confirmed is there
        assert documents.read_pages(target)[0].tobytes() == pages[0].tobytes()
    assert trio.lowlevel.current_statistics().tasks_living == tasks
    assert staged.open_sockets() <= sockets


@pytest.mark.parametrize("habits", [ECM, WITHOUT_ECM], ids=["ecm", "audio first, no ecm"])
async def test_no_page_is_confirmed_while_the_disk_takes_its_time(
    habits: Habits, peer: SpandspPeer, fax_clock: MockClock, make_fax: MakeFax, tmp_path: Path
) -> None:
    document, pages = make_fax(2)
    target = tmp_path / "got.tif"
    disk = HeldDisk(held=True)
    results: list[CallResult] = []
    async with open_vfax(replace(OPTIONS, disk=disk)) as side, trio.open_nursery() as nursery:

        async def send() -> None:
            results.append(await peer.call(side.uri, document, habits))

        async def open_late() -> None:
            await disk.gate.reached.wait()
            await trio.sleep(HELD)
            names = [(frame.incoming, frame.name) for frame in peer.frames()]
            disk.gate.open()
            assert (False, "PPS-MPS" if habits is ECM else "MPS") in names
            assert (True, "MCF") not in names

        nursery.start_soon(send)
        nursery.start_soon(open_late)
        fax = await side.receive(target)
    (result,) = results
    assert (result.ok, fax.ended.cause) == (True, Cause.COMPLETE), (result.verdict, fax.ended)
    assert result.heard().count("MCF") == 2
    documents.assert_same_pages(target, pages)


@pytest.mark.parametrize("habits", [ECM, WITHOUT_ECM], ids=["ecm", "audio first, no ecm"])
@pytest.mark.parametrize("step", ["write", "fsync", "close", "rename", "fsync_dir"])
async def test_page_that_the_disk_refuses_hears_no_mcf(
    step: str, habits: Habits, fax_clock: MockClock, make_fax: MakeFax, tmp_path: Path
) -> None:
    document, pages = make_fax(3)
    target = tmp_path / "got.tif"
    options = replace(OPTIONS, disk=FailingDisk(errno.ENOSPC, step))
    played = await play(options, habits, document, target, Caller.PEER)
    fax, result = played.fax.ended, played.result
    assert result.heard().count("MCF") == 1, result.heard()
    assert result.heard()[-1] == "DCN"
    assert (result.ok, result.complaints) == (False, [])
    assert result.verdict is not None
    assert (fax.cause, fax.pages_confirmed, result.verdict.pages_sent) == (Cause.STORAGE, 1, 1)
    assert os.strerror(errno.ENOSPC) in fax.sentence
    got = documents.read_pages(target)
    assert got[0].tobytes() == pages[0].tobytes()
    assert len(got) == (2 if step == "fsync_dir" else 1)  # after the rename the page is there, though not for sure


@pytest.mark.parametrize("habits", [ECM, WITHOUT_ECM], ids=["ecm", "audio first, no ecm"])
@pytest.mark.parametrize("page", [1, 2])
async def test_page_whose_sender_vanishes_is_kept_as_far_as_it_came(
    page: int, habits: Habits, fax_clock: MockClock, make_fax: MakeFax, tmp_path: Path
) -> None:
    document, pages = make_fax(3)
    target = tmp_path / "got.tif"
    lost = replace(habits, fault=Fault.VANISH, fault_page=page, fault_after_packets=60)
    played = await play(OPTIONS, lost, document, target, Caller.PEER)
    fax = played.fax.ended
    assert (fax.pages_confirmed, fax.pages_partial) == (page - 1, 1), fax
    assert fax.cause in (Cause.NO_CARRIER, Cause.NO_COMMAND)
    got = documents.read_pages(target)
    assert len(got) == page
    assert [one.tobytes() for one in got[:-1]] == [one.tobytes() for one in pages[: page - 1]]
    rows = got[-1].height
    assert 0 < rows < pages[page - 1].height
    whole = rows if habits is ECM else rows - 1
    box = (0, 0, got[-1].width, whole)
    assert got[-1].crop(box).tobytes() == pages[page - 1].crop(box).tobytes()
