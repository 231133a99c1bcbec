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
from vfax.learning import PeerRow
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
    show(out(), [read_row(row) for row in rows])
    return code


def show(console: Console, rows: Sequence[TrunkRow]) -> None:
    """Print the table, and below it a sentence for each trunk that is not well."""
    if not rows:
        say(console, NO_TRUNKS)
        return
    table = plain_table("trunk", "state", "registered", "OPTIONS", "calls", "T.38 in", "T.38 out", "told address")
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
                    row.public_address or NEVER,
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
    return f"for {span(row.left)}" if row.standing == "registered" and row.left is not None else row.standing


def options(gateways: Sequence[GatewayRow]) -> str:
    """What OPTIONS found: how fast the gateways answer, or how many of them do not."""
    asked = [gateway for gateway in gateways if gateway.health]
    if down := sum(gateway.health == "down" for gateway in asked):
        return f"{down} of {len(gateways)} down"
    quick = [gateway.rtt for gateway in asked if gateway.rtt is not None]
    if quick:
        return f"{min(quick) * 1_000:.0f} ms"
    return "no answer" if asked else NEVER


def calls(row: TrunkRow) -> str:
    """Calls that run."""
    return f"{row.calls_in} in, {row.calls_out} out"


def result(row: ResultRow | None) -> str:
    """How the last fax went, and when."""
    return NEVER if row is None else f"{'good' if row.ok else 'failed'} {ago(row.age)}"


def ago(seconds: float) -> str:
    """How long ago."""
    return "just now" if seconds < 1 else f"{span(seconds)} ago"


def span(seconds: float) -> str:
    """A length of time in its largest unit."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
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


# --- peers ---------------------------------------------------------------------------------------------

NO_PEERS: Final = "Nothing has been learned of any peer yet, or of those you named."
KINDS: Final = {
    "direct": "T.38 at once",
    "switch": "T.38 from audio",
    "t38": "T.38",
    "rate": "rate",
    "ecm": "ECM",
    "datagram": "datagrams",
    "dtls": "encryption",
}
"""Kinds of facts as people are shown them."""


def peers(reach: Reach, *, peer: str, number: str) -> int:
    """Show what was learned, of one peer or number or of all."""
    with reach.service() as fax:
        told = fax.peers()
    rows = [row for row in told if _named(row, peer, number)]
    if reach.as_json:
        print_json({"ok": True, "exit": exits.OK, "peers": rows})
    else:
        show_peers(out(), [_read_peer(row) for row in rows])
    return exits.OK


def forget_peers(reach: Reach, *, peer: str, number: str) -> int:
    """Have the service forget, and say how much."""
    with reach.service() as fax:
        forgotten = fax.forget_peers(peer, number)
    if reach.as_json:
        print_json({"ok": True, "exit": exits.OK, "forgotten": forgotten})
    else:
        say(out(), f"Forgotten: {forgotten} {'entry' if forgotten == 1 else 'entries'}.")
    return exits.OK


def show_peers(console: Console, rows: Sequence[PeerRow]) -> None:
    """Print what is known, number by number: each fact with its reason and its end."""
    if not rows:
        say(console, NO_PEERS)
    for row in rows:
        way = f"calls to {row.number}" if row.direction == "out" else f"calls from {row.number or 'nobody known'}"
        say(console, f"{row.peer}, {way} (last {ago(row.age)}):")
        for fact in row.facts:
            times = f", {fact.seen} times" if fact.seen > 1 else ""
            kind = KINDS.get(fact.kind, fact.kind)
            say(console, f"  {kind}: {fact.value}. {fact.why} Seen {ago(fact.age)}{times}; kept {span(fact.left)}.")


def _named(row: Row, peer: str, number: str) -> bool:
    ours = str(row.get("peer", "")).lower(), row.get("number")
    return peer.lower() in ("", ours[0]) and number in ("", ours[1])


def _read_peer(told: Row) -> PeerRow:
    try:
        return value_of(PeerRow, dict(told))[0]
    except DecodeError:
        return PeerRow(peer=str(told.get("peer", "?")), number=str(told.get("number", "?")), direction="out", age=0.0)


# --- rows ----------------------------------------------------------------------------------------------


def read_row(told: Row) -> TrunkRow:
    """A trunk as the service tells it; one that cannot be read says so."""
    try:
        return value_of(TrunkRow, dict(told))[0]
    except DecodeError as why:
        name, state = str(told.get("name", "?")), str(told.get("state", "?"))
        return TrunkRow(name=name, state=state, reason=f"The rest of what is known cannot be read here: {why}.")
