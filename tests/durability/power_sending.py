"""A power cut while a document is taken and sent: every job that the store knows has its whole document.

Owns      `record` (a server over a provider without hints: one submission through the door, a first attempt that ends
          behind page 1, a second one with the pages that are left), `violations` (each state, started again, judged).
Not here  the model (model.py, power_store.py), processes that are killed (sending.py).

The converted upload is written past the disk, so no state has it: nothing may depend on it.
"""

import random
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trio

from tests.durability.house import Letter, write_letter
from tests.durability.model import Recorder
from tests.durability.points import HastyDisk, WatchedDisk
from tests.durability.power_store import Recording, Snapshots, Then, lay_out_then, moments, named
from tests.durability.serving import OpenStore
from tests.host.scripted import Script, ScriptedProvider
from vfax.codecs import tiff
from vfax.disk import Disk
from vfax.errors import DocumentError
from vfax.fsp.constants import FaxStatus, JobStatusEnum
from vfax.fsp.provider import FaxSendCallback, RegistrationRecord
from vfax.fsp.structures import FaxSend
from vfax.host.door import Addressee, Order, Upload
from vfax.host.outgoing import FOLDER
from vfax.host.queue_options import QueueOptions
from vfax.host.server import FaxServer, ServerOptions
from vfax.host.service import HostOptions
from vfax.host.spool import Spool
from vfax.host.store.store import Store
from vfax.host.store.values import StoredJob

PAGES: Final = 3
NUMBERS: Final = ("+4930123456", "+4930999999")
ACCEPTED: Final = "accepted "
LIMIT: Final = 60.0


@dataclass
class Reads(Script):
    """`read` is what the provider found in each document, by the number it was to be sent to."""

    read: dict[str, list[tuple[bytes, ...]]] = field(default_factory=dict)


class Reading(ScriptedProvider):
    """Reads each document to its end, as a line does."""

    async def FaxDevSend(self, handle: object, document: FaxSend, callback: FaxSendCallback | None, /) -> None:
        assert isinstance(self.script, Reads)
        found = await trio.to_thread.run_sync(rasters_of, Path(document.file_name))
        self.script.read.setdefault(document.receiver_number, []).append(found)
        await super().FaxDevSend(handle, document, callback)


def create(configuration: Mapping[str, object]) -> Reading:
    """Entry point of the registration record."""
    script = configuration["script"]
    assert isinstance(script, Reads)
    script.provider = provider = Reading(script)
    return provider


def rasters_of(document: Path) -> tuple[bytes, ...]:
    """The pages of a document; none of what is none."""
    try:
        return tuple(tiff.load_page(document, at).raster for at in range(len(tiff.read_headers(document))))
    except DocumentError:
        return ()


@asynccontextmanager
async def sender(
    root: Path, script: Reads, disk: Disk | None = None, open_store: OpenStore = Store.open
) -> AsyncIterator[FaxServer]:
    """A server over the provider, running while the block runs."""
    spool = root / "spool"
    record = RegistrationRecord(
        guid="{11111111-1111-4111-8111-111111111111}",
        friendly_name="reading",
        image_name=f"{__name__}:create",
        configuration={"script": script},
    )
    options = ServerOptions(
        host=HostOptions(spool=spool),
        store_url=f"sqlite:///{spool / 'vfax.db'}",
        queue=QueueOptions(look=0.05, no_line_delay=0.05),
    )
    server = FaxServer(options, [record], open_store=open_store, spool=Spool(spool, disk=disk or HastyDisk()))
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda task_status=trio.TASK_STATUS_IGNORED: server.run(task_status=task_status))
        yield server
        server.stop()


def order_of(letter: Letter) -> Order:
    """Send the letter to all numbers, again at once where that fails."""
    upload = Upload(path=letter.path, octets=letter.path.stat().st_size)
    to = tuple(Addressee(number=number) for number in NUMBERS)
    return Order(upload=upload, addressees=to, owner="ada", retry_delay=0.0)


async def all_over(server: FaxServer) -> None:
    """Wait until no job waits or runs."""
    with trio.fail_after(LIMIT):
        while any(job.ended_at is None for job in server.store.jobs()):  # noqa: ASYNC110  # rows ring no bell
            await trio.sleep(0.02)


def record(folder: Path, *, forgets: Iterable[str] = ()) -> Recording:
    """Submit and send in `folder`. `forgets`: calls that the model does not get to see."""
    root = folder / "disk"
    root.mkdir()
    letter = write_letter(folder / "letter.tif", PAGES, seed=1)
    recorder = Recorder(root, frozenset(forgets))
    snapshots = Snapshots(recorder)
    script = Reads(count=1, takes_hints=False, endings=[FaxStatus.FS_DISCONNECTED], reached_page=2)

    async def live() -> None:
        async with sender(root, script, WatchedDisk(recorder), snapshots.open) as server:
            for job in await server.door.submit(order_of(letter)):
                recorder.mark(f"{ACCEPTED}{job.name}")
            await all_over(server)

    trio.run(live)
    return Recording(recorder.past(), snapshots, letter, root)


def violations(recording: Recording, dice: random.Random, most: int = 1 << 30) -> Iterator[str]:
    """What does not hold after a power cut, at any moment."""
    for then in moments(recording.past, recording.snapshots, dice, most):
        lay_out_then(then, recording.root)
        yield from named(then, _start_and_judge(then, recording.root, recording.letter))


def _start_and_judge(then: Then, root: Path, letter: Letter) -> Iterator[str]:
    left: list[StoredJob] = []
    ended: dict[int, StoredJob] = {}
    script = Reads(count=2, takes_hints=False)
    yield from _judge_names(root, letter)

    def look(url: str) -> Store:
        store = Store.open(url)
        left.extend(store.jobs())
        return store

    async def live() -> None:
        async with sender(root, script, open_store=look) as server:
            await all_over(server)
            ended.update((job.id, job) for job in server.store.jobs())

    trio.run(live)
    lost = [name for words in then.promises if (name := words.removeprefix(ACCEPTED)) not in {job.name for job in left}]
    yield from (f"job {name} was accepted and is lost" for name in lost)
    for job in left:
        now = ended[job.id]
        if now.status is not JobStatusEnum.fjsCOMPLETED:
            yield f"job {job.name} is {now.status.name}: {now.sentence}"
        sent, wanted = script.read.get(job.recipient.number, []), letter.rasters[job.next_page - 1 :]
        if sent != ([] if job.ended_at is not None else [wanted]):
            yield f"job {job.name} waited with {len(wanted)} pages, and these were sent: {[len(one) for one in sent]}"


def _judge_names(root: Path, letter: Letter) -> Iterator[str]:
    """A document with a final name is whole."""
    for path in sorted((root / "spool" / FOLDER).glob("[!.]*.tif")):
        first = int(path.stem.partition(".from-")[2] or 1)
        if rasters_of(path) != letter.rasters[first - 1 :]:
            yield f"{path.name} is not whole"
