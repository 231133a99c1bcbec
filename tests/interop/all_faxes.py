"""The grid of faxes between vfax's engine and libspandsp, in virtual time: `script/interop faxes`.

    python -m tests.interop.all_faxes [--every N] [--only WORD ...] [--jobs N] [--seed N] [--table FILE] [--list]

Prints the failures in full and a table of what arrived; exit status 1 when a fax failed that had to arrive, or a
confirmed page was wrong. With --table the table is written as Markdown, with date and versions.
"""

import argparse
import datetime
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from tests.interop.grid import GUARDS, WEATHERS, Cell, Mode, Sender, full_grid, play
from vfax import __version__

PEER: Final = "libspandsp2"


@dataclass(frozen=True, slots=True)
class Tried:
    """How one cell went: `wrong` is empty unless a rule was broken; `arrived` is that both ends said so, `owed` that
    nothing less would do on the line as it was."""

    number: int
    arrived: bool
    owed: bool
    wrong: str = ""


def try_cell(seed: int, numbered: tuple[int, Cell]) -> Tried:
    """Play one cell of the list."""
    number, cell = numbered
    with tempfile.TemporaryDirectory(prefix="vfax-grid-") as folder:
        try:
            result = play(cell, Path(folder), seed=seed + number)
        except AssertionError as why:
            return Tried(number, arrived=False, owed=True, wrong=str(why))
    return Tried(number, arrived=result.ok, owed=cell.must_succeed(result.lost_together))


def run(cells: list[Cell], *, seed: int, jobs: int) -> Iterator[Tried]:
    """Play all of them, in any order."""
    work = partial(try_cell, seed)
    if jobs <= 1:
        yield from map(work, enumerate(cells))
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(work, enumerate(cells), chunksize=24)


# --- tables --------------------------------------------------------------------------------------

Name = Callable[[Cell], str]


def share(tried: Iterable[tuple[Cell, Tried]], row: Name, column: Name) -> dict[str, dict[str, list[int]]]:
    """Arrived and tried, by row and column."""
    counts: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for cell, one in tried:
        entry = counts[row(cell)][column(cell)]
        entry[0] += one.arrived
        entry[1] += 1
    return counts


def markdown(title: str, counts: dict[str, dict[str, list[int]]], columns: list[str]) -> str:
    """One table; a cell holds "arrived of tried"."""
    lines = [f"| {title} | {' | '.join(columns)} |", f"|---{'|---:' * len(columns)}|"]
    for row, entries in counts.items():
        said = [f"{entries[c][0]} of {entries[c][1]}" if c in entries else "" for c in columns]
        lines.append(f"| {row} | {' | '.join(said)} |")
    return "\n".join(lines)


def tables(results: list[tuple[Cell, Tried]]) -> str:
    """All that is worth a look."""
    senders = [str(sender) for sender in Sender]
    weathers = [weather.name for weather in WEATHERS]
    harmless = [(cell, one) for cell, one in results if one.owed]
    parts = ["### What the line did, by protection\n"]
    for sender in Sender:
        mine = [(cell, one) for cell, one in results if cell.sender is sender]
        order = {str(guard): number for number, guard in enumerate(GUARDS)}
        mine.sort(key=lambda pair: order[str(pair[0].guard)])
        parts.append(markdown(sender, share(mine, lambda c: str(c.guard), lambda c: c.weather.name), weathers) + "\n")
    parts.append("### Formats and rates, where every fax must arrive\n")
    for title, name in (
        ("coding", lambda c: str(c.mode)),
        ("rate", lambda c: str(c.rate)),
        ("resolution", lambda c: c.resolution.title),
        ("paper", lambda c: str(c.paper)),
        ("pages", lambda c: str(c.pages)),
    ):
        harmless.sort(key=lambda pair, name=name: name(pair[0]))  # type: ignore[misc]
        parts.append(markdown(title, share(harmless, name, lambda c: str(c.sender)), senders) + "\n")
    return "\n".join(parts)


def version_of(package: str) -> str:
    """The Debian version of a peer."""
    said = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True, check=False
    )
    return said.stdout.strip() or "unknown version"


def page(results: list[tuple[Cell, Tried]], seed: int, seconds: float) -> str:
    """The text that goes between the marks of docs/interop.md."""
    wrong = sum(bool(one.wrong) for _, one in results)
    ecm = {str(mode) for mode in Mode if mode.ecm}
    today = datetime.datetime.now(datetime.UTC).date()
    head = (
        f"{today}: vfax {__version__} on Python {platform.python_version()} with {PEER} {version_of(PEER)}, seed "
        f"{seed}: {len(results)} faxes in {seconds:.0f} s, {wrong} against the rules.\n\n"
        "The rules: on a line that loses nothing, or never more datagrams in a row than redundancy 3 brings back, "
        "every fax arrives pixel for pixel in the mode that was asked for; on any line both ends end, and no page that "
        f"was confirmed under ECM ({', '.join(sorted(ecm))}) is wrong."
    )
    return f"{head}\n\n{tables(results)}"


BEGIN, END = "<!-- grid -->", "<!-- end of grid -->"


def write_table(path: Path, text: str) -> None:
    """Replace what is between the marks of the file."""
    whole = path.read_text("utf-8")
    before, _, rest = whole.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise SystemExit(f"{path} has no {BEGIN} ... {END}: put them where the table belongs")
    path.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}", "utf-8")


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="every kind of fax between vfax's engine and libspandsp")
    parser.add_argument("--only", nargs="*", default=[], help="words that a fax must have, e.g. MMR-ECM loss-5%%")
    parser.add_argument("--every", type=int, default=1, help="only every Nth fax")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at once")
    parser.add_argument("--seed", type=int, default=1, help="of the weather")
    parser.add_argument("--table", type=Path, help="write the table into this Markdown file")
    parser.add_argument("--list", action="store_true", help="name the faxes and stop")
    options = parser.parse_args()
    cells = [cell for cell in full_grid() if all(word in str(cell).split() for word in options.only)][:: options.every]
    if not cells:
        parser.error(f"nothing has all of the words {options.only}")
    if options.list:
        print(*cells, sep="\n")
        return 0
    started = time.perf_counter()
    results: list[tuple[Cell, Tried]] = []
    for one in run(cells, seed=options.seed, jobs=options.jobs):
        results.append((cells[one.number], one))
        if one.wrong:
            print(f"FAILED seed {options.seed + one.number}: {one.wrong}", flush=True)
        if len(results) % 500 == 0:
            print(f"{len(results)} of {len(cells)}, {time.perf_counter() - started:.0f} s", flush=True)
    text = page(results, options.seed, time.perf_counter() - started)
    print(text)
    if options.table:
        write_table(options.table, text)
    return int(any(one.wrong for _, one in results))


if __name__ == "__main__":
    sys.exit(main())
