"""`vfax provider check`: hold a fax service provider against the rules of the contract.

Owns      its options and help. Not here: what it does (conformance.py).
"""

from pathlib import Path
from typing import Annotated

import typer

from vfax.cli import exits
from vfax.cli.common import one_line_errors, read_settings

app = typer.Typer(name="provider", help="Check fax service providers.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _common() -> None:
    pass


@app.command(epilog=exits.help_text())
def check(
    provider: Annotated[
        str, typer.Argument(metavar="MODULE:ATTR", help="Its entry point; that of the settings unless given.")
    ] = "",
    stimulus: Annotated[
        str, typer.Option("--stimulus", metavar="MODULE:ATTR", help="What makes the other side of its lines.")
    ] = "",
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="RULE", help="Only this rule; may be said again.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings in TOML; see config/vfax.example.toml.")
    ] = None,
) -> None:
    """Check a provider against each rule of the contract. Ends with 0 when none is broken, 1 when one is."""
    with one_line_errors(as_json=json):
        from vfax.cli.conformance import check as run

        settings = read_settings(config, {("journal", "enabled"): False})
        raise typer.Exit(run(settings, provider=provider, stimulus=stimulus, only=only, as_json=json))
