"""A host that sends is killed at each write: no job is lost, none goes twice without being marked uncertain.

Owns      the child (a server over a provider that writes down what it sends), the driver, the judgement.
Not here  how a process is killed (killing.py), the points of disk (points.py) and database (store_points.py).

    script/crash sending [N] [--seed S] [--only ORDER]

The child's provider writes every page it "sends" into a log, synced before the host hears of it: that is what the other
side has seen. After the kill the child is started again, and must finish everything.
"""

import argparse
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from tests.durability.databases import SQLITE, STORES, a_database, server_for, store_url
from tests.durability.killing import Killer, Order, When
from tests.durability.points import WatchedDisk
from tests.durability.store_points import watched_store
from tests.host.scripted import PAGE, HintedProvider, Operation, Script
from vfax.codecs import tiff
from vfax.fsp.constants import FaxStatus, JobStatusEnum
from vfax.fsp.provider import FaxSendCallback, RegistrationRecord
from vfax.fsp.structures import FaxSend
from vfax.host.outgoing import keep_document
from vfax.host.queue_options import QueueOptions
from vfax.host.server import FaxServer, ServerOptions
from vfax.host.service import HostOptions
from vfax.host.spool import Spool
from vfax.host.store.store import Store
from vfax.host.store.values import Recipient, Submission

if TYPE_CHECKING:
    from tests.postgres import Postgres

NUMBERS: Final = ("+491", "+492", "+493")
PAGES: Final = 3
LOG: Final = "sent.log"
LIMIT: Final = 120.0


def note(root: Path, *words: object) -> None:
    """Write down what the world outside has seen, durably."""
    handle = os.open(root / LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(handle, (" ".join(map(str, words)) + "\n").encode())
    os.fsync(handle)
    os.close(handle)


class Writing(HintedProvider):
    """Sends into the log: each page from the one that the hints name."""

    root = Path()

    async def FaxDevSend(self, handle: object, document: FaxSend, callback: FaxSendCallback | None, /) -> None:
        job = self._job(handle)
        first = self.script.hints[-1].first_page if self.script.hints else 1
        note(self.root, "begin", document.receiver_number)
        for page in range(first, PAGES + 1):
            self._say(job, FaxStatus.FS_TRANSMITTING, page)
            note(self.root, "page", document.receiver_number, page)
            job.next_page = page + 1
            await trio.sleep(0.05)
        await self._work(job)

    @staticmethod
    def _job(handle: object) -> Operation:
        assert isinstance(handle, Operation)
        return handle


def create(configuration: Mapping[str, object]) -> Writing:
    """Entry point of the registration record."""
    script, root = configuration["script"], configuration["root"]
    assert isinstance(script, Script)
    assert isinstance(root, Path)
    script.provider = provider = Writing(script)
    provider.root = root
    return provider


async def serve(root: Path, killer: Killer) -> None:
    """The child: submit once, send until nothing is left."""
    spool = root / "spool"
    spool.mkdir(exist_ok=True)
    record = RegistrationRecord(
        guid="{11111111-1111-4111-8111-111111111111}",
        friendly_name="writing",
        image_name="tests.durability.sending:create",
        configuration={"script": Script(count=2), "root": root},
    )
    options = ServerOptions(
        host=HostOptions(spool=spool),
        store_url=store_url(root),
        queue=QueueOptions(look=0.1, note_interval=0.02),
    )
    disk = WatchedDisk(killer)
    server = FaxServer(options, [record], open_store=watched_store(killer), spool=Spool(spool, disk=disk))
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda task_status=trio.TASK_STATUS_IGNORED: server.run(task_status=task_status))
        if not server.store.jobs():
            to = tuple(Recipient(number=number) for number in NUMBERS)
            document = await trio.to_thread.run_sync(keep_document, spool, root / "document.tif", disk)
            for job in await server.queue.submit(Submission(document=document, pages=PAGES, recipients=to)):
                note(root, "submitted", job.name, job.recipient.number)
        while not all(job.ended_at is not None for job in server.store.jobs()):  # noqa: ASYNC110  # rows ring no bell
            await trio.sleep(0.05)
        server.stop()


def child(root: Path, order: Order | None) -> None:
    """Be the child; at an end in order, print what was passed."""
    killer = Killer(order=order)
    trio.run(serve, root, killer)
    print(json.dumps(killer.seen))


def run_child(root: Path, order: Order | None) -> "subprocess.CompletedProcess[str]":
    """Start it and wait for its end."""
    command = [sys.executable, "-m", __spec__.name if __spec__ else __name__, "--child", str(root)]
    return subprocess.run(
        [*command, *([str(order)] if order else [])], capture_output=True, text=True, timeout=LIMIT, check=False
    )


def prepare(root: Path) -> None:
    """The document to send."""
    root.mkdir(parents=True, exist_ok=True)
    single = root / "page.tif"
    single.write_bytes(PAGE)
    tiff.join_pages([single] * PAGES, root / "document.tif")


def survey(root: Path, server: "Postgres | None" = None) -> Counter[str]:
    """How often each point is passed when nobody is killed."""
    prepare(root)
    with a_database(root, server):
        done = run_child(root, None)
    if done.returncode:
        raise RuntimeError(f"the host ends with {done.returncode} without being killed: {done.stderr[-2000:]}")
    return Counter(json.loads(done.stdout))


def orders(seen: Counter[str], count: int, seed: int) -> list[Order]:
    """Moments to be killed at: each point in its turn, so that those of the store do not crowd out the others."""
    dice = random.Random(seed)
    turns = [_moments(point, seen[point], dice) for point in sorted(seen)]
    return [order for turn in itertools.zip_longest(*turns) for order in turn if order is not None][:count]


def _moments(point: str, passed: int, dice: random.Random) -> list[Order]:
    whens = (When.BEFORE, When.AFTER, *((When.TORN,) if point.endswith(".write") else ()))
    every = [Order(point, nth, when) for nth in range(1, passed + 1) for when in whens]
    dice.shuffle(every)
    return every


def trial(root: Path, order: Order, server: "Postgres | None" = None) -> list[str]:
    """Kill, start again, and tell what is wrong."""
    prepare(root)
    with a_database(root, server):
        return _kill(root, order)


def _kill(root: Path, order: Order) -> list[str]:
    killed = run_child(root, order)
    if killed.returncode == 0:
        return judge(root)  # the moment did not come this time
    if killed.returncode != -signal.SIGKILL:
        return [f"the host ended with {killed.returncode} instead of being killed: {killed.stderr[-500:]}"]
    again = run_child(root, None)
    if again.returncode:
        return [f"the host does not finish after the kill, it ends with {again.returncode}: {again.stderr[-500:]}"]
    return judge(root)


def judge(root: Path) -> list[str]:
    """Hold the log of the world outside against the store."""
    lines = [line.split() for line in (root / LOG).read_text().splitlines()]
    store = Store.open(store_url(root))
    jobs = {job.recipient.number: job for job in store.jobs()}
    known = {job.name for job in jobs.values()}
    store.close()
    wrong = [
        f"job {words[1]} was accepted and is lost"
        for words in lines
        if words[0] == "submitted" and words[1] not in known
    ]
    if set(jobs) != set(NUMBERS):
        wrong.append(f"there are jobs for {sorted(jobs)}")
    pages = Counter((words[1], words[2]) for words in lines if words[0] == "page")
    for number, job in jobs.items():
        if job.status is not JobStatusEnum.fjsCOMPLETED:
            wrong.append(f"job {job.name} is {job.status.name}: {job.sentence}")
        sent = [pages[number, str(page)] for page in range(1, PAGES + 1)]
        if not all(sent):
            wrong.append(f"job {job.name} is complete, but its pages went {sent} times")
        if max(sent) > 1 and not job.uncertain:
            wrong.append(f"job {job.name} went twice ({sent}) and is not marked uncertain")
    return wrong


def main(arguments: Sequence[str] | None = None) -> int:
    """Run trials; 1 when something is wrong."""
    parser = argparse.ArgumentParser(prog="script/crash sending", description=__doc__.split("\n", 1)[0])
    parser.add_argument("count", nargs="?", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--store", choices=STORES, default=SQLITE, help="where the jobs are")
    parser.add_argument("--only", metavar="ORDER", help="one moment, such as store.commit:7:before")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.child:
        child(Path(given.child[0]), Order.parse(given.child[1]) if len(given.child) > 1 else None)
        return 0
    with tempfile.TemporaryDirectory(prefix="vfax-sending-") as name, server_for(given.store) as server:
        root = Path(name)
        moments = [Order.parse(given.only)] if given.only else []
        moments = moments or orders(survey(root / "survey", server), given.count, given.seed)
        print(f"seed {given.seed}: {len(moments)} kills of a host that sends")
        bad = 0
        with ThreadPoolExecutor(given.jobs) as pool:
            found = pool.map(lambda at: trial(root / str(at[0]), at[1], server), enumerate(moments))
            for number, (order, wrong) in enumerate(zip(moments, found, strict=True), 1):
                print(f"\r{number} of {len(moments)}", end="", file=sys.stderr, flush=True)
                for what in wrong:
                    bad += 1
                    print(f"\n{order}: {what}\n    script/crash sending --store {given.store} --only {order}")
    print(f"\n{len(moments)} kills, {bad} violations")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
