"""`vfax simulate`: thousands of simulated calls, what came of them, and each seed that broke an invariant.

Owns      processes, progress, the table of outcomes; the course of one call as two columns of one time.
Not here  scenarios, invariants and their verdicts (vfax/simulation/).
"""

import multiprocessing
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from vfax.cli import exits
from vfax.cli.common import out, print_json
from vfax.cli.screen import printable, say, wrapped
from vfax.errors import SettingsError
from vfax.leg import CallUp, Finished, LegEvent, Switched
from vfax.outcome import Cause
from vfax.simulate import Side
from vfax.simulation.campaign import Tally, Verdict, judge, pick, repeat_command
from vfax.simulation.scenario import Kind, roll
from vfax.simulation.trial import Evidence, play
from vfax.t30 import values as t30

CHUNK: Final = 20  # seeds that a process takes at once
SHOWN: Final = 20  # violations in words; all of them are in --json


def simulate(
    *, calls: int, seed: int, only: Kind | None, jobs: int, show: bool, journals: Path | None, as_json: bool
) -> int:
    """Play the calls and tell; returns the exit code. Raises SettingsError."""
    if (show or journals) and calls != 1:
        raise SettingsError("--show and --journals are for one call: say --calls 1 too")
    seeds = pick(seed, calls, only)
    console = out()
    if show:
        _show(console, seeds[0])
    if journals is not None:
        _write_journals(seeds[0], journals)
    tally = Tally()
    began = time.perf_counter()
    interrupted = False
    with _progress(console, len(seeds), quiet=as_json or show) as advance:
        try:
            for verdict in _judged(seeds, jobs, twice=True if calls == 1 else None):
                tally.add(verdict)
                advance(verdict)
        except KeyboardInterrupt:
            interrupted = True
    seconds = time.perf_counter() - began
    code = exits.INTERNAL if tally.bad else exits.INTERRUPTED if interrupted else exits.OK
    if as_json:
        print_json({**_facts(tally, seconds), "ok": code == exits.OK, "exit": code, "seed": seed})
    else:
        _tell(console, tally, seconds)
    return code


def _judged(seeds: Sequence[int], jobs: int, *, twice: bool | None) -> Iterator[Verdict]:
    """The verdicts, in the order of the seeds."""
    if jobs == 1 or len(seeds) <= CHUNK:
        yield from (judge(seed, twice=twice) for seed in seeds)
        return
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            yield from pool.map(judge, seeds, chunksize=CHUNK)
        except BaseException:  # Ctrl-C too: what waits is not begun
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class _Advance:
    """Moves the bar, when there is one."""

    def __init__(self, bar: Progress | None, calls: int) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=calls, bad="") if bar is not None else None
        self._bad = 0

    def __call__(self, verdict: Verdict) -> None:
        if self._bar is None or self._task is None:
            return
        if verdict.violations:
            self._bad += 1
            self._bar.update(self._task, bad=f"{self._bad} with violations")
        self._bar.advance(self._task)


@contextmanager
def _progress(console: Console, calls: int, *, quiet: bool) -> Iterator[_Advance]:
    if quiet or not console.is_terminal:
        yield _Advance(None, calls)
        return
    bar = Progress(
        TextColumn("simulated calls"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[bad]}"),
        console=console,
        transient=True,
    )
    with bar:
        yield _Advance(bar, calls)


# --- the tally -----------------------------------------------------------------------------------


def _tell(console: Console, tally: Tally, seconds: float) -> None:
    rate = tally.calls / seconds if seconds else 0.0
    hours = tally.virtual_seconds / 3600
    say(
        console,
        f"{tally.calls} call{'' if tally.calls == 1 else 's'} in {seconds:.1f} s ({rate:.1f} a second): "
        f"{tally.datagrams} datagrams, {hours:.1f} hours of virtual time, the longest call {tally.longest:.0f} s, "
        f"at most {tally.heaviest // 1024} KB held by one side.",
    )
    for cause, count in _by_cause(tally).most_common():
        example = tally.examples[cause]
        say(console, "")
        _say_indented(console, 8, f"{_word(cause)}  ({_kinds(tally, cause)})", first=f"{count:6d}  ")
        if example.sentence:
            _say_indented(console, 8, f"seed {example.seed}: {example.sentence}")
    say(console, "")
    if not tally.bad:
        say(console, "Every invariant held in every call.")
        return
    say(console, f"VIOLATIONS in {len(tally.bad)} of {tally.calls} calls:")
    for verdict in tally.bad[:SHOWN]:
        for violation in verdict.violations:
            say(
                console, f"  seed {verdict.seed} ({verdict.kind.value}), invariant {violation.number}: {violation.what}"
            )
        say(console, f"    {repeat_command(verdict.seed)}")
    if len(tally.bad) > SHOWN:
        say(console, f"  and {len(tally.bad) - SHOWN} more: seeds {_listed(tally.bad[SHOWN:])}")


def _say_indented(console: Console, by: int, text: str, *, first: str | None = None) -> None:
    """One line with a margin, kept on a terminal when it is broken; `first` stands in the margin."""
    text = printable(text)
    margin = " " * by
    if console.is_terminal:
        text = wrapped(text, console.width - by).replace("\n", f"\n{margin}")
    console.print((margin if first is None else first) + text, markup=False, highlight=False, soft_wrap=True)


def _by_cause(tally: Tally) -> Counter[Cause | None]:
    causes: Counter[Cause | None] = Counter()
    for (_, cause), count in tally.causes.items():
        causes[cause] += count
    return causes


def _kinds(tally: Tally, cause: Cause | None) -> str:
    counts = Counter({kind: count for (kind, other), count in tally.causes.items() if other is cause})
    return ", ".join(f"{kind.value} {count}" for kind, count in counts.most_common())


def _word(cause: Cause | None) -> str:
    return cause.value if cause is not None else "no outcome"


def _listed(verdicts: Sequence[Verdict]) -> str:
    seeds = [str(verdict.seed) for verdict in verdicts]
    return " ".join(seeds[:200]) + (" ..." if len(seeds) > 200 else "")


def _facts(tally: Tally, seconds: float) -> dict[str, object]:
    return {
        "calls": tally.calls,
        "seconds": round(seconds, 3),
        "calls_per_second": round(tally.calls / seconds, 2) if seconds else 0.0,
        "datagrams": tally.datagrams,
        "virtual_seconds": round(tally.virtual_seconds, 3),
        "longest": round(tally.longest, 3),
        "heaviest": tally.heaviest,
        "causes": {_word(cause): count for cause, count in sorted(_by_cause(tally).items(), key=str)},
        "violations": [
            {"seed": one.seed, "kind": one.kind.value, "invariant": each.number, "what": each.what}
            for one in tally.bad
            for each in one.violations
        ],
    }


# --- one call ------------------------------------------------------------------------------------


def _write_journals(seed: int, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for side in Side:
            (folder / f"{side.value}.jsonl").unlink(missing_ok=True)
    except OSError as why:
        raise SettingsError(f"cannot write journals to {folder}: {why.strerror or why}") from why
    play(roll(seed), journals=folder)


def _show(console: Console, seed: int) -> None:
    """The course of one call: what each side says, hears and decides, on one axis of time."""
    scenario = roll(seed)
    evidence = play(scenario)
    say(console, scenario.describe())
    for line in _course(evidence):
        console.print(printable(line), markup=False, highlight=False, soft_wrap=True)
    if evidence.fault:
        for line in evidence.fault.splitlines():
            say(console, line)


def _course(evidence: Evidence) -> Iterator[str]:
    for told in evidence.told:
        words = _event_words(told.event)
        if words:
            yield f"{told.at:9.3f}  {told.side.value:6}  {words}"


def _event_words(event: LegEvent) -> str:
    match event:
        case t30.FrameSeen(sent, name, _, words):
            return f"{'says' if sent else 'hears'} {name}{': ' if words else ''}{words}"
        case t30.PageReceived():
            end = "whole" if event.complete else "cut off"
            return f"page {event.number} is {end}: {event.rows} rows, {event.bad_rows} bad"
        case t30.PageStarted(number):
            return f"page {number} begins"
        case t30.PageConfirmed(number):
            return f"page {number} is confirmed"
        case t30.PageRepeated(number, frames, why):
            return f"page {number} goes again, {frames} frames of it: {why}"
        case t30.Trained(ok, rate_bps):
            return f"training {'succeeded' if ok else 'failed'} at {rate_bps} bit/s"
        case CallUp(media):
            return f"the call is up with {media}"
        case Switched(_, parameters):
            return f"T.38 version {parameters.version}, {parameters.error_correction.value}"
        case Finished(outcome):
            return f"ends, {outcome.cause.value}: {outcome.sentence}"
        case _:
            return ""
