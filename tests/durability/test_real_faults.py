"""Faults that the system itself makes: a full or read-only file system, a folder that goes away, limits of a process.

A file system of its own needs root; without, the tests that need one say so and are skipped.
"""

import errno
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest
import trio
from trio.testing import MockClock

from tests.durability import callers, child, crash
from tests.durability.faulty import settle
from tests.durability.faulty_delivery import Served
from tests.durability.house import House, Letter, open_house, start_and_stop, write_letter
from tests.durability.judging import Claim, judge
from tests.durability.judging_store import judge_store
from tests.durability.points import HastyDisk
from tests.durability.power_sending import NUMBERS, Reads, all_over, order_of, rasters_of, sender
from tests.durability.serving import COPIES, serve_and_stop
from tests.virtual import hold_for_threads
from vfax.disk import Disk
from vfax.errors import StoreError
from vfax.host.events import DeliveryDone, FaxEnded, HostEvent, StorageFailed

ROWS: Final = 400
"""Rows of a page that takes some 8 KB as a TIFF file."""
SMALL: Final = "size=64k"


def mount(*arguments: str) -> None:
    """Run mount, which has been seen to be permitted."""
    subprocess.run(["mount", *arguments], capture_output=True, check=True)


def unmount(folder: Path) -> None:
    """Lazily: a look at the file system by any other process at this moment would make it busy."""
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    folder = tmp_path / "volume"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", SMALL, "none", str(folder)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"nothing may be mounted here: {done.stderr.decode('utf-8', 'replace').strip()}")
    try:
        yield folder
    finally:
        unmount(folder)


class Calls:
    """Two calls on one house; something is wrong during the first."""

    def __init__(self, root: Path, letters: list[Letter]) -> None:
        self.root = root
        self.events: list[HostEvent] = []
        self.letters = letters
        self.claims: list[Claim] = []

    async def run(self, hurt: Callable[[], object], heal: Callable[[], object]) -> list[bool]:
        """Hurt, call, heal, call; returns whether the callers were content."""
        content = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hold_for_threads)
            async with open_house(self.root, HastyDisk(), observe=self.events.append, lines=1) as house:
                for letter, change in zip(self.letters, (hurt, heal), strict=True):
                    change()
                    content.append(await self._call(house, letter))
            nursery.cancel_scope.cancel()
        return content

    async def _call(self, house: House, letter: Letter) -> bool:
        phone = house.phone(letter)
        await phone.send()
        await settle(house)
        self.claims.append(Claim(rasters=letter.rasters, confirmed=phone.confirmed))
        return phone.outcome is not None and phone.outcome.ok

    def said(self, code: int) -> bool:
        """Did the host say what was wrong?"""
        sentences = [event.sentence for event in self.events if isinstance(event, StorageFailed)]
        sentences += [event.record.sentence for event in self.events if isinstance(event, FaxEnded)]
        return any(os.strerror(code) in sentence for sentence in sentences)

    async def wrong(self) -> list[str]:
        """What does not hold after the next start."""
        await start_and_stop(self.root, HastyDisk(), [])
        return judge(self.root / "spool", self.claims)


async def test_a_file_system_that_fills_up_costs_no_confirmed_page(
    volume: Path, scratch: Path, fax_clock: MockClock
) -> None:
    calls = Calls(volume, [write_letter(scratch / f"{at}.tif", 9, at, ROWS) for at in (1, 2)])
    first, second = await calls.run(lambda: None, lambda: mount("-o", "remount,size=8m", str(volume)))
    assert not first, "nine pages do not fit"
    assert calls.claims[0].confirmed > 0, "some pages do"
    assert second
    assert calls.said(errno.ENOSPC)
    assert await calls.wrong() == []


async def test_a_folder_that_may_only_be_read_leaves_the_ring_unanswered(
    volume: Path, scratch: Path, fax_clock: MockClock
) -> None:
    incoming = str(volume / "spool" / "incoming")
    calls = Calls(volume, [write_letter(scratch / f"{at}.tif", 1, at) for at in (1, 2)])

    def protect() -> None:
        mount("--bind", incoming, incoming)
        mount("-o", "remount,bind,ro", incoming)

    assert await calls.run(protect, lambda: subprocess.run(["umount", incoming], check=True)) == [False, True]
    assert calls.said(errno.EROFS)
    assert await calls.wrong() == []


async def test_a_folder_that_is_gone_leaves_the_ring_unanswered(scratch: Path, fax_clock: MockClock) -> None:
    incoming = scratch / "spool" / "incoming"
    calls = Calls(scratch, [write_letter(scratch / f"{at}.tif", 1, at) for at in (1, 2)])
    assert await calls.run(lambda: shutil.rmtree(incoming), incoming.mkdir) == [False, True]
    assert calls.said(errno.ENOENT)
    assert await calls.wrong() == []


async def test_an_inbox_that_is_gone_makes_the_fax_wait(scratch: Path, fax_clock: MockClock) -> None:
    inbox = scratch / "spool" / "inbox"
    calls = Calls(scratch, [write_letter(scratch / f"{at}.tif", 2, at) for at in (1, 2)])
    assert await calls.run(lambda: shutil.rmtree(inbox), inbox.mkdir) == [True, True]
    assert calls.said(errno.ENOENT)
    assert await calls.wrong() == []


@pytest.mark.realtime
@pytest.mark.parametrize("limit", ["short files", "no files"])
def test_a_process_at_its_limits_confirms_nothing_it_cannot_keep(limit: str, scratch: Path) -> None:
    claim, host = trio.run(call_twice, limit, scratch)
    assert [ended.ok for ended in host.of(child.Ended)] == [False, True]
    words = os.strerror(errno.EFBIG if limit == "short files" else errno.EMFILE)
    said = [message.sentence for message in host.of(child.Complained)]
    said += [message.sentence for message in host.of(child.Ended)]
    assert any(words in sentence for sentence in said), said
    assert host.status == 0, "the host lives to its end"
    trio.run(serve_and_stop, scratch, HastyDisk(), [])
    assert judge(scratch / "spool", claim) == []
    assert judge_store(scratch, [begun.job for begun in host.of(child.Begun)]) == []


async def call_twice(limit: str, scratch: Path) -> tuple[list[Claim], crash.Running]:
    """One call that meets the limit, and one after it."""
    crash.prepare()
    claims = []
    host = crash.Running(limit, scratch, None)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(host.read)
            (address,) = await host.wait_for(child.Listening)
            for number in (1, 2):
                load = callers.Load("vfax", scratch, random.Random(number), alone=True)
                await load.run((address.host, address.port))
                await host.wait_for(child.Ended, number)
                claims += load.claims(begun=1, discarded=False)
            host.stop()
        return claims, host
    finally:
        host.close()


# --- documents to send, and deliveries -------------------------------------------------------------------------------


@pytest.mark.realtime
async def test_a_full_spool_refuses_a_submission_and_takes_the_next_one(volume: Path, scratch: Path) -> None:
    letter, script = write_letter(scratch / "letter.tif", 3, 1, ROWS), Reads(takes_hints=False)
    mount("-o", "remount,size=1m", str(volume))
    async with sender(volume, script, Disk()) as server:
        ballast = volume / "ballast"
        ballast.write_bytes(b"")
        fill(ballast)
        with pytest.raises(StoreError, match="No space left on device"):
            await server.door.submit(order_of(letter))
        ballast.unlink()
        assert server.store.jobs() == []
        await server.door.submit(order_of(letter))
        await all_over(server)
    assert script.read == {number: [letter.rasters] for number in NUMBERS}


@pytest.mark.realtime
async def test_documents_to_send_that_may_only_be_read_or_are_gone(volume: Path, scratch: Path) -> None:
    letter, script = write_letter(scratch / "letter.tif", 3, 1), Reads(takes_hints=False)
    outgoing = volume / "spool" / "outgoing"
    mount("-o", "remount,size=8m", str(volume))
    async with sender(volume, script, Disk()) as server:
        outgoing.mkdir()
        mount("--bind", str(outgoing), str(outgoing))
        mount("-o", "remount,bind,ro", str(outgoing))
        with pytest.raises(StoreError, match="Read-only file system"):
            await server.door.submit(order_of(letter))
        unmount(outgoing)
        assert server.store.jobs() == []
        outgoing.rmdir()
        await server.door.submit(order_of(letter))
        await all_over(server)
    assert script.read == {number: [letter.rasters] for number in NUMBERS}


def fill(ballast: Path) -> None:
    """Leave no room on its file system."""
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(1024)):
            pass


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS], ids=["full", "read-only"])
def test_a_folder_that_takes_no_delivery_gets_it_later(code: int, volume: Path, scratch: Path) -> None:
    served, ballast = Served(scratch), volume / "ballast.json"
    copies = served.root / "spool" / COPIES.folder
    copies.mkdir(parents=True)
    fill(ballast)
    mount("--bind", str(volume), str(copies))
    if code == errno.EROFS:
        ballast.unlink()
        mount("-o", "remount,bind,ro", str(copies))

    def heal() -> None:
        mount("-o", "remount,bind,rw", str(copies))
        ballast.unlink(missing_ok=True)

    try:
        served.run(Disk(), heal)
        assert served.sentences()
        assert all(os.strerror(code) in sentence for sentence in served.sentences())
        assert served.wrong() == []
    finally:
        unmount(copies)


def test_a_folder_that_goes_away_between_two_deliveries_is_made_again(scratch: Path) -> None:
    served = Served(scratch)
    copies, moved = served.root / "spool" / COPIES.folder, scratch / "moved"

    def copied(event: HostEvent) -> bool:
        return isinstance(event, DeliveryDone) and event.rule == COPIES.name

    served.run(Disk(), lambda: copies.parent.rename(moved), until=copied)
    assert served.sentences() == []
    for folder, letter in zip((moved, copies), served.letters, strict=True):
        (document,) = folder.rglob("*.tif")
        assert rasters_of(document) == letter.rasters
