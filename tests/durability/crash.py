"""The host is killed at every named point, started again, and asked for what it owes: the crash harness.

    script/crash [N] [--seed S] [--jobs J] [--peer vfax|spandsp|both]
                 [--store sqlite|postgresql] [--only SCENARIO/PEER/POINT:NTH:WHEN]

Owns      the trials: a child process under load, its end, a repair (killed as well, now and then), the judgement.
Not here  the hosts (child.py), the callers (callers.py), what must hold (judging.py).

A scenario is a host of child.py with the calls that load it. A trial is a scenario with a seed and an order to die.
"""

import argparse
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio
from rich.console import Console
from rich.progress import Progress

from tests.durability import callers, child
from tests.durability.databases import SQLITE, STORES, a_database, server_for
from tests.durability.judging import Claim, judge
from tests.durability.judging_store import judge_store
from tests.durability.killing import Order, When
from tests.durability.points import HastyDisk
from tests.durability.serving import serve_and_stop
from tests.durability.store_points import POINTS as STORE_POINTS
from vfax.host.events import DeliveryFailed, HostEvent, HostFaulted, StorageFailed

if TYPE_CHECKING:
    from tests.postgres import Postgres

DEFAULT_TRIALS: Final = 300
HEARD: Final = 0.3
"""Seconds after the kill in which callers read what had already left."""
LIMIT: Final = 180.0
"""Seconds after which a trial has lost its way."""
REPAIR_SHARE: Final = 0.3
"""Share of trials in which the repair is killed as well."""
SPANDSP_EVERY: Final = 6
"""One trial of so many has libspandsp for a caller, where both kinds are wanted: these take a modem's time."""
MEMORY: Final = "/dev/shm"
SCENARIOS: Final = ("receive", "abort")
LOADS: Final = 4
"""Different loads of each scenario in one run."""
ROUNDS: Final = 5
"""Limit: how often trials that ended before their point are made up for."""

REPAIR_POINTS: Final = (
    *("spool.fsync_dir", "record.unlink", "pages.rename", "pages.unlink", "pages.rmdir", "document.open_new"),
    *("document.write", "document.fsync", "document.rename", "document.fsync_dir", "copy.open_new", "copy.write"),
    *("copy.fsync", "copy.rename", "copy.fsync_dir", "record.create", "record.write", "record.fsync", "record.rename"),
    *("record.fsync_dir", "inbox.rename", "inbox.fsync_dir", "incoming.fsync_dir", "job.unlink"),
    *("target.mkdir", "target.create", "target.write", "target.fsync", "target.link", "target.unlink"),
    *("target.fsync_dir", *STORE_POINTS, *STORE_POINTS),
)
STORE_TURNS: Final = 6
"""A store does many things at few points: so many more trials are theirs."""
REPAIR_TRANSACTIONS: Final = 12
"""Calls at the points of the store among which one is chosen where the repair dies."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One kill. `repair` is where the first start after it dies too; no `order`: nothing dies, points are counted."""

    scenario: str
    peer: str
    seed: int
    order: Order | None = None
    repair: Order | None = None

    def __str__(self) -> str:
        return f"{self.scenario}/{self.peer}/{self.order}" + (f"/{self.repair}" if self.repair else "")

    @property
    def command(self) -> str:
        """What repeats it."""
        return f"script/crash --seed {self.seed} --only {self}"

    @classmethod
    def parse(cls, text: str, seed: int) -> "Trial":
        """Read what `str` writes. Raises ValueError."""
        parts = text.split("/")
        if len(parts) not in (3, 4) or parts[0] not in child.HOSTS or parts[1] not in ("vfax", "spandsp"):
            raise ValueError(
                f"{text!r}: expected SCENARIO/PEER/POINT:NTH:WHEN, such as receive/vfax/page.fsync:2:after"
            )
        repair = Order.parse(parts[3]) if len(parts) == 4 else None
        return cls(parts[0], parts[1], seed, Order.parse(parts[2]), repair)


@dataclass
class Result:
    """What came of a trial: `reached` tells whether the order was carried out."""

    trial: Trial
    reached: bool = False
    repair_reached: bool = False
    confirmed: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Bench:
    """Where trials are made: a folder, and a PostgreSQL for those whose store is there."""

    scratch: Path
    server: "Postgres | None" = None


class Running:
    """A child process with its pipe."""

    def __init__(self, scenario: str, root: Path, order: Order | None) -> None:
        self.said: list[child.Message] = []
        self.changed = trio.Event()
        self.over = trio.Event()
        self._pipe, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("forkserver")
        arguments = (scenario, str(root), str(order or ""), theirs)
        self._process = context.Process(target=child.main, args=arguments, daemon=True)
        self._process.start()
        theirs.close()

    async def read(self) -> None:
        """Keep what it says until it ends."""
        while True:
            await trio.lowlevel.wait_readable(self._pipe.fileno())
            try:
                self.said.append(self._pipe.recv())
            except (EOFError, ConnectionResetError):
                break
            self._tell()
        await trio.lowlevel.wait_readable(self._process.sentinel)
        self._process.join()  # at once, and in this thread: each start of a process looks at all others, too
        self.over.set()
        self._tell()

    def _tell(self) -> None:
        self.changed.set()
        self.changed = trio.Event()

    @property
    def status(self) -> int | None:
        """Its exit status; -9 when it was killed."""
        return self._process.exitcode

    def of(self, kind: type[child.M]) -> list[child.M]:
        """Messages of one kind."""
        return [message for message in self.said if isinstance(message, kind)]

    async def wait_for(self, kind: type[child.M], count: int = 1) -> list[child.M]:
        """As many messages of a kind, or what there are when it has ended."""
        while len(self.of(kind)) < count and not self.over.is_set():
            await self.changed.wait()
        return self.of(kind)

    def stop(self) -> None:
        """Ask it to end in order."""
        with suppress(BrokenPipeError):  # it was killed a moment ago, while it delivered
            self._pipe.send(None)

    def close(self) -> None:
        """Make an end of it."""
        self._process.kill()
        self._process.join()
        self._pipe.close()


async def run_trial(trial: Trial, bench: Bench) -> Result:
    """Load, kill, start again, judge."""
    result = Result(trial)
    with tempfile.TemporaryDirectory(dir=bench.scratch, ignore_cleanup_errors=True) as name, ExitStack() as beside:
        root = Path(name) / "disk"
        root.mkdir()
        beside.enter_context(a_database(root, bench.server))
        try:
            with trio.fail_after(LIMIT):
                claims, said = await _load(trial, root, Path(name), result)
                await _repair(trial, root, result)
        except trio.TooSlowError:
            result.wrong.append(f"not done after {LIMIT:.0f} seconds")
            return result
        result.wrong += judge(root / "spool", claims)
        result.wrong += judge_said(root / "spool", said)
        result.wrong += judge_store(root, [message.job for message in said if isinstance(message, child.Begun)])
    return result


async def _load(trial: Trial, root: Path, folder: Path, result: Result) -> tuple[list[Claim], list[child.Message]]:
    host = Running(trial.scenario, root, trial.order)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(host.read)
            load = callers.Load(trial.peer, folder, random.Random(trial.seed), alone=trial.scenario == "abort")
            if addresses := await host.wait_for(child.Listening):
                await _call(host, load, (addresses[0].host, addresses[0].port))
                host.stop()
                await host.over.wait()
        result.reached = host.status == -9
        if trial.order is not None and host.status not in (0, -9):
            result.wrong.append(f"the host ended with status {host.status}")
        result.wrong += [f"the host says: {message.sentence}" for message in host.of(child.Complained)]
        result.seen = next((message.seen for message in host.of(child.Passed)), Counter())
        claims = load.claims(begun=len(host.of(child.Begun)), discarded=bool(host.of(child.Discarded)))
        result.confirmed = sum(claim.confirmed for claim in claims)
        return claims, host.said
    finally:
        host.close()


async def _call(host: Running, load: callers.Load, address: tuple[str, int]) -> None:
    """Let the callers call until all is over or the host is."""
    async with trio.open_nursery() as nursery:

        async def all_calls() -> None:
            await load.run(address)
            await host.wait_for(child.Ended, len(host.of(child.Begun)))
            nursery.cancel_scope.cancel()

        nursery.start_soon(all_calls)
        await host.over.wait()
        await trio.sleep(HEARD)
        load.freeze()
        nursery.cancel_scope.cancel()


async def _repair(trial: Trial, root: Path, result: Result) -> None:
    if trial.repair is not None:
        again = Running("repair", root, trial.repair)
        try:
            await again.read()
            result.repair_reached = again.status == -9
        finally:
            again.close()
    heard: list[HostEvent] = []
    await serve_and_stop(root, HastyDisk(), heard)
    faults = [event for event in heard if isinstance(event, HostFaulted | StorageFailed | DeliveryFailed)]
    result.wrong += [f"the start after it says: {event}" for event in faults]


def judge_said(spool: Path, said: Sequence[child.Message]) -> list[str]:
    """What the host itself had said, against what is there now."""
    wrong = []
    names = {folder: [path.name for path in (spool / folder).glob("*.json")] for folder in ("inbox", "failed")}
    for message in said:
        if isinstance(message, child.Ended) and message.kept:
            places = [folder for folder, found in names.items() if any(message.job in name for name in found)]
            if not places or (message.ok and places != ["inbox"]):
                wrong.append(f"job {message.job} had ended{' well' if message.ok else ''} and is in {places}")
    return wrong


# --- which trials -----------------------------------------------------------------------------------------------------


Points = dict[tuple[str, int], Counter[str]]
"""How often each point is passed when nobody is killed, by scenario and seed of the load."""


async def survey(bench: Bench, seed: int, loads: int = LOADS) -> Points:
    """Try the loads that the trials will have without a kill."""
    found: Points = {}

    async def one(scenario: str, load: int) -> None:
        result = await run_trial(Trial(scenario, "vfax", load), bench)
        if result.wrong:
            raise AssertionError(f"{scenario} with the load {load} and without a kill: {result.wrong}")
        found[scenario, load] = result.seen

    async with trio.open_nursery() as nursery:
        for scenario in SCENARIOS:
            for number in range(loads):
                nursery.start_soon(one, scenario, seed * LOADS + number)
    return dict(sorted(found.items()))


def plan(points: Points, count: int, seed: int, peer: str) -> list[Trial]:
    """`count` trials: every point before and after (writes: torn too) in turn, the rest from the dice of the seed."""
    dice = random.Random(seed)
    every = [
        (scenario, point, when)
        for scenario in SCENARIOS
        for point in sorted({point for (name, _), seen in points.items() if name == scenario for point in seen})
        for when in (When.BEFORE, When.AFTER, *((When.TORN,) if point.endswith(".write") else ()))
        for _ in range(STORE_TURNS if point in STORE_POINTS else 1)
    ]
    dice.shuffle(every)
    trials = []
    for number in range(count):
        scenario, point, when = every[number % len(every)]
        load = dice.choice([load for (name, load), seen in points.items() if name == scenario and seen[point]])
        kind = _peer(peer, number, scenario)
        most = points[scenario, load][point] if kind == "vfax" else 1  # these have another load of the same seed
        place = dice.choice(REPAIR_POINTS)
        nth = dice.randint(1, REPAIR_TRANSACTIONS) if place in STORE_POINTS else 1
        repair = Order(place, nth, dice.choice((When.BEFORE, When.AFTER)))
        killed_again = dice.random() < REPAIR_SHARE
        order = Order(point, dice.randint(1, most), when)
        trials.append(Trial(scenario, kind, load, order, repair if killed_again else None))
    return trials


def _peer(wanted: str, number: int, scenario: str) -> str:
    if wanted != "both":
        return wanted
    return "spandsp" if number % SPANDSP_EVERY == SPANDSP_EVERY - 1 else "vfax"


async def run_all(trials: Sequence[Trial], bench: Bench, jobs: int, done: "trio.MemorySendChannel[Result]") -> None:
    """Run trials, so many at once; those that take a modem's time begin first."""
    waiting = sorted(trials, key=lambda trial: trial.peer == "vfax")
    slots = trio.CapacityLimiter(jobs)
    modems = trio.CapacityLimiter(jobs * 4)  # they wait most of the time

    async def one(trial: Trial) -> None:
        async with slots if trial.peer == "vfax" else modems:
            await done.send(await run_trial(trial, bench))

    async with done, trio.open_nursery() as nursery:
        for trial in waiting:
            nursery.start_soon(one, trial)


def collect(trials: Sequence[Trial], bench: Bench, jobs: int, progress: Progress | None = None) -> list[Result]:
    """Run all trials and return what came of them."""
    results: list[Result] = []
    task = progress.add_task("kills", total=len(trials)) if progress is not None else None

    async def run() -> None:
        sending, receiving = trio.open_memory_channel[Result](0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_all, trials, bench, jobs, sending)
            async for result in receiving:
                results.append(result)
                if progress is not None and task is not None:
                    progress.advance(task)

    prepare()
    trio.run(run)
    return results


def prepare() -> None:
    """Children are forked from a process that has imported everything and done nothing else."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(["tests.durability.child"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit code: 0 all is well, 1 violations, 2 wrong usage."""
    parser = argparse.ArgumentParser(prog="script/crash", description=__doc__.split("\n", 1)[0])
    parser.add_argument("trials", nargs="?", type=int, default=DEFAULT_TRIALS, metavar="N", help="how many kills")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--jobs", type=int, default=6 * (os.cpu_count() or 1), help="trials at once")
    parser.add_argument("--peer", choices=("vfax", "spandsp", "both"), default="both", help="who calls")
    parser.add_argument("--store", choices=STORES, default=SQLITE, help="where the jobs are")
    parser.add_argument("--only", metavar="TRIAL", help="one trial, as a violation names it")
    options = parser.parse_args(arguments)
    try:
        only = [Trial.parse(options.only, options.seed)] if options.only else []
    except ValueError as why:
        parser.error(str(why))
    out = Console()
    started = time.monotonic()
    memory = MEMORY if os.access(MEMORY, os.W_OK | os.X_OK) else None
    prepare()
    with (
        tempfile.TemporaryDirectory(dir=memory, prefix="vfax-crash-", ignore_cleanup_errors=True) as name,
        server_for(options.store) as server,
    ):
        bench = Bench(Path(name), server)
        trials = only
        if not only:
            out.print(f"seed {options.seed}")
            points = trio.run(survey, bench, options.seed)
            trials = plan(points, options.trials, options.seed, options.peer)
        with Progress(console=out, transient=True) as progress:
            results = collect(trials, bench, options.jobs, progress)
            for again in range(0 if only else ROUNDS):
                missing = options.trials - sum(result.reached for result in results)
                if missing > 0:  # the order of things is not the same each time
                    more = plan(points, missing, options.seed + again + 1, options.peer)
                    results += collect(more, bench, options.jobs, progress)
    return report(results, time.monotonic() - started, out, options.store)


def report(results: Sequence[Result], seconds: float, out: Console, store: str) -> int:
    """Say how it went."""
    wrong = [(result.trial, sentence) for result in results for sentence in result.wrong]
    for trial, sentence in wrong:
        out.print(f"{trial.command} --store {store}: {sentence}", markup=False, highlight=False, soft_wrap=True)
    killed = [result for result in results if result.reached]
    kinds = Counter(result.trial.peer for result in killed)
    points = {(result.trial.scenario, str(result.trial.order).split(":")[0]) for result in killed}
    out.print(
        f"{len(results)} trials in {seconds:.0f} s: {len(killed)} killed at {len(points)} points "
        f"({', '.join(f'{count} called by {peer}' for peer, count in sorted(kinds.items()))}), "
        f"{sum(result.repair_reached for result in results)} in the repair too, "
        f"{len(results) - len(killed)} ended before their point; "
        f"{sum(result.confirmed for result in results)} pages confirmed, {len(wrong)} violations",
        highlight=False,
        soft_wrap=True,
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
