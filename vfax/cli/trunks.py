"""`vfax trunks` and `vfax peers`: the trunks of a running service, and what it has learned of those behind them.

Owns      the tables and what is printed in words. Not here: what is known (vfax/trunks/board.py, vfax/learning.py).

Rows come from the service as JSON; one of another version, or of a provider of somebody else's, is shown as far as it
can be read.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from vfax.cli import exits
from vfax.cli.common import out, print_json
from vfax.cli.queue import Reach
from vfax.cli.screen import printable, say
from vfax.errors import DecodeError
from vfax.plain import value_of
from vfax.trunks.board import GatewayRow, RegistrationRow, ResultRow, TrunkRow, TrunkState

Row = Mapping[str, Any]

NO_TRUNKS: Final = "The service has no trunks: calls go where their address says. docs/trunks.md tells how to make one."
NEVER: Final = "-"


def trunks(reach: Reach) -> int:
    """Show all trunks; TRUNK when one of them is down."""
    with reach.service() as fax:
        rows = fax.trunks()
    code = exits.TRUNK if any(row.get("state") == TrunkState.DOWN for row in rows) else exits.OK
    if reach.as_json:
        print_json({"ok": code == exits.OK, "exit": code, "trunks": rows})
        return code
    show(out(), [_read(row) for row in rows])
    return code


def show(console: Console, rows: Sequence[TrunkRow]) -> None:
    """Print the table, and below it a sentence for each trunk that is not well."""
    if not rows:
        say(console, NO_TRUNKS)
        return
    table = plain_table("trunk", "state", "registered", "OPTIONS", "calls", "last T.38 in", "last T.38 out")
    for row in rows:
        table.add_row(
            *(
                printable(cell)
                for cell in (
                    row.name,
                    row.state,
                    registered(row.registration),
                    options(row.gateways),
                    calls(row),
                    result(row.t38_in),
                    result(row.t38_out),
                )
            )
        )
    print_table(console, table)
    for row in rows:
        for sentence in sentences(row):
            say(console, f"{row.name}: {sentence}")


def sentences(row: TrunkRow) -> list[str]:
    """What people should know of a trunk beyond its line in the table, the worst first."""
    found = [row.reason] if row.reason else []
    found += [gateway.why for gateway in row.gateways if gateway.health == "down" and gateway.why not in found]
    for last in (row.t38_in, row.t38_out):
        if last is not None and not last.ok and last.sentence not in found:
            found.append(last.sentence)
    if row.last_refused is not None:
        times = "once" if row.refused == 1 else f"{row.refused} times"
        found.append(f"{row.last_refused.sentence} So it was {times}, last {ago(row.last_refused.age)}.")
    return found


def registered(row: RegistrationRow | None) -> str:
    """A registration in a word or two."""
    if row is None:
        return NEVER
    if row.standing == "registered" and row.left is not None:
        return f"for {span(row.left)}"
    return row.standing if row.next_try is None else f"{row.standing}, again in {span(row.next_try)}"


def options(gateways: Sequence[GatewayRow]) -> str:
    """What OPTIONS found: how fast the gateways answer, or how many of them do."""
    asked = [gateway for gateway in gateways if gateway.health]
    if not asked:
        return NEVER
    youngest = min(asked, key=lambda gateway: gateway.age or 0.0)
    down = sum(gateway.health == "down" for gateway in asked)
    when = ago(youngest.age or 0.0)
    if down:
        return f"{'no answer' if down == len(asked) else f'{down} of {len(asked)} down'}, {when}"
    quick = [gateway.rtt for gateway in asked if gateway.rtt is not None]
    return f"{min(quick) * 1_000:.0f} ms, {when}" if quick else f"no answer yet, {when}"


def calls(row: TrunkRow) -> str:
    """Calls that run, of how many."""
    limit = f" of {row.max_calls}" if row.max_calls else ""
    return f"{row.calls_in} in, {row.calls_out} out{limit}"


def result(row: ResultRow | None) -> str:
    """How the last fax went, and when."""
    return NEVER if row is None else f"{'good' if row.ok else 'failed'}, {ago(row.age)}"


def ago(seconds: float) -> str:
    """How long ago."""
    return "just now" if seconds < 1 else f"{span(seconds)} ago"


def span(seconds: float) -> str:
    """A length of time in its largest unit."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"


def plain_table(*heads: str) -> Table:
    """A table without lines, for terminals and for files."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    for head in heads:
        table.add_column(head, overflow="fold")
    return table


def print_table(console: Console, table: Table) -> None:
    """Print a table: as wide as it is where nobody looks at a terminal."""
    if console.is_terminal:
        console.print(table, markup=False, highlight=False)
        return
    wide = Console(file=console.file, width=1_000, no_color=True)
    with wide.capture() as captured:
        wide.print(table, markup=False, highlight=False)
    console.print("\n".join(line.rstrip() for line in captured.get().splitlines()), markup=False, highlight=False)


def _read(told: Row) -> TrunkRow:
    try:
        return value_of(TrunkRow, dict(told))[0]
    except DecodeError as why:
        name, state = str(told.get("name", "?")), str(told.get("state", "?"))
        return TrunkRow(name=name, state=state, reason=f"The rest of what is known cannot be read here: {why}.")
