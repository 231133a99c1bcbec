"""`vfax show`: a journalled call as a timeline, and the verdict on it.

Owns      columns, colours and widths. Not here: rows and their words (timeline.py), the sentence (verdict.py).

What a peer wrote is data: everything unprintable is replaced, and nothing is read as markup.
"""

import re
import textwrap
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from vfax.cli import exits
from vfax.cli.common import out, print_json
from vfax.cli.screen import NARROWEST, printable, wrapped
from vfax.errors import DocumentError
from vfax.journal import read_journal
from vfax.timeline import Row, timeline
from vfax.verdict import Verdict, judge
from vfax.verdict_table import V

ARROWS: Final = {"in": "\N{LEFTWARDS ARROW}", "out": "\N{RIGHTWARDS ARROW}", "": " "}
PLAIN_ARROWS: Final = {"in": "<", "out": ">", "": " "}
STYLES: Final = {"call": "", "SIP": "blue", "T.38": "cyan", "T.30": "green", "page": "magenta"}
LOUD: Final = "bold red"
LEAD: Final = 18
"""Columns before the text: time, lane, direction."""

OCTETS_WIDE: Final = 100
"""Columns from which octets stand beside the words; below, on a line of their own."""

OCTETS_SHOWN: Final = 12
"""Octets beside the words; the rest is counted (`--json` has more)."""


def show(path: Path, *, as_json: bool, packets: bool, console: Console | None = None) -> int:
    """Print the timeline and the verdict. Raises DocumentError for a file that cannot be read or is no journal."""
    try:
        entries = read_journal(path)
    except OSError as why:
        raise DocumentError(f"{path}: cannot read the journal: {why.strerror or why}") from why
    verdict = judge(entries)
    if verdict.name in (V.NO_JOURNAL, V.EMPTY_JOURNAL):
        raise DocumentError(f"{path}: {verdict.sentence}")
    rows = timeline(entries, packets=packets)
    if as_json:
        print_json(_facts(path, verdict, rows))
    else:
        console = console or out()
        put = _print_row if console.is_terminal else _write_row
        for row in rows:
            put(console, row)
        _print_verdict(console, verdict)
    return exits.OK


class _Lines(textwrap.TextWrapper):
    """Lines that may also end between words joined by a plus: capabilities are said like that."""

    def _split(self, text: str) -> list[str]:
        return [part for chunk in super()._split(text) for part in re.split(r"(?<=\w\+)(?=\w)", chunk)]


def _print_row(console: Console, row: Row) -> None:
    """One row on a terminal, in its colours and within its width."""
    style = LOUD if row.loud else STYLES.get(row.lane, "")
    wide = console.width >= OCTETS_WIDE
    octets = _hex(row.octets)
    room = console.width - LEAD - (len(octets) + 2 if wide and octets else 0)
    lines = _Lines(max(room, NARROWEST)).wrap(_fit(console, row.text)) or [""]
    line = Text()
    line.append(f"{row.t:9.3f}  ", "dim")
    line.append(f"{row.lane:<4} ", style)
    line.append(f"{_arrow(console, row.direction)} ", "bold" if row.direction else "")
    line.append(lines[0], style)
    if wide and octets:
        line.append(" " * max(2, room - len(lines[0]) + 2) + octets, "dim")
    for more in lines[1:]:
        line.append("\n" + " " * LEAD + more, style)
    if octets and not wide:
        line.append("\n" + " " * LEAD + wrapped(octets, room).replace("\n", "\n" + " " * LEAD), "dim")
    console.print(line, soft_wrap=True, highlight=False)


def _write_row(console: Console, row: Row) -> None:
    """One row into a pipe or a file: one line, whatever its length."""
    octets = _hex(row.octets)
    words = " ".join(_fit(console, row.text).split())
    line = f"{row.t:9.3f}  {row.lane:<4} {_arrow(console, row.direction)} {words}{f'  {octets}' if octets else ''}"
    console.file.write(f"{line.rstrip()}\n")


def _fit(console: Console, text: str) -> str:
    """Text that nothing obeys and that the other end has characters for."""
    return printable(text).encode(console.encoding, "replace").decode(console.encoding, "replace")


def _arrow(console: Console, direction: str) -> str:
    """An arrow, if the other end has one."""
    arrow = ARROWS.get(direction, " ")
    return arrow if _fit(console, arrow) == arrow else PLAIN_ARROWS[direction]


def _hex(octets: bytes) -> str:
    shown = octets[:OCTETS_SHOWN].hex(" ")
    return f"{shown} +{len(octets) - OCTETS_SHOWN}" if len(octets) > OCTETS_SHOWN else shown


def _print_verdict(console: Console, verdict: Verdict) -> None:
    width = console.width if console.is_terminal else 10_000
    style = "bold green" if verdict.outcome.ok else "bold"
    console.print()
    console.print(Text(wrapped(_fit(console, verdict.sentence), width), style), soft_wrap=True, highlight=False)
    facts = [f"verdict {verdict.name}", f"cause {verdict.outcome.cause}", f"result {verdict.outcome.t30_result}"]
    for one in (", ".join(facts), *verdict.evidence):
        lines = wrapped(_fit(console, one), width - 4).splitlines() or [""]
        console.print(Text("\n".join(f"  {line}" for line in lines), "dim"), soft_wrap=True, highlight=False)


def _facts(path: Path, verdict: Verdict, rows: list[Row]) -> dict[str, object]:
    return {
        "path": str(path),
        "ok": verdict.outcome.ok,
        "exit": exits.OK,
        "verdict": verdict.name,
        "sentence": verdict.sentence,
        "evidence": list(verdict.evidence),
        "cause": verdict.outcome.cause.value,
        "retry": verdict.outcome.retry.value,
        "t30_result": verdict.outcome.t30_result,
        "pages_confirmed": verdict.outcome.pages_confirmed,
        "timeline": [
            {
                "t": row.t,
                "lane": row.lane,
                "direction": row.direction,
                "text": row.text,
                "octets": row.octets.hex(),
                "loud": row.loud,
            }
            for row in rows
        ],
    }
