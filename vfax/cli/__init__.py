"""The vfax command.

Owns      commands and their help. Not here: what each does (the module of its name), those that are clients of a
          service (clients.py), options that several have (options.py), exit codes (exits.py).
"""

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from vfax import __version__
from vfax.cli import clients, exits
from vfax.cli.common import one_line_errors, read_for_images, read_settings
from vfax.cli.options import Config, Files, Json, MaxRate, NoEcm, Resolution
from vfax.cli.provider import app as provider
from vfax.errors import SettingsError

app = typer.Typer(
    name="vfax",
    help="A fax device without hardware: receive and send faxes over SIP and T.38.",
    epilog=exits.help_text(),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

app.add_typer(provider)

SWITCH_SECONDS: Final = 0.001
"""For how long a thread that codes a page may keep the one that paces packets waiting; Python's own 5 ms are heard."""


def main() -> None:
    """Entry point of the console script and of `python -m vfax`."""
    sys.setswitchinterval(SWITCH_SECONDS)
    app(prog_name="vfax")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vfax {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    pass


@app.command(epilog=exits.help_text())
def serve(
    config: Config = None,
    listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Where to listen for calls (SIP over UDP).")
    ] = None,
    spool: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of the faxes; see its inbox.")] = None,
    lines: Annotated[int | None, typer.Option(help="How many faxes at once.")] = None,
    allow: Annotated[
        list[str] | None, typer.Option(metavar="NET", help="Who may call, as in 192.0.2.0/24; may be said again.")
    ] = None,
) -> None:
    """Receive faxes until Ctrl-C. Each appears whole, as TIFF with a JSON record beside it."""
    with one_line_errors():
        overrides = {
            ("sip", "listen"): listen,
            ("sip", "allow"): list(allow) if allow else None,
            ("host", "spool"): str(spool) if spool is not None else None,
            ("host", "lines"): lines,
        }
        settings = read_settings(config, overrides)
        from vfax.cli.serve import serve as run

        raise typer.Exit(run(settings))


@app.command(epilog=exits.help_text())
def send(
    files: Files = None,
    destination: Annotated[
        str, typer.Argument(metavar="SIP-URI", help="Whom to call: sip:fax@192.0.2.1:5060", show_default=False)
    ] = "",
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where to call from; any free port unless given.")
    ] = "",
    resolution: Resolution = "fine",
    no_header: Annotated[bool, typer.Option("--no-header", help="Put no header line on top of the pages.")] = False,
    subaddress: Annotated[str, typer.Option(metavar="DIGITS", help="Whom it is for behind the number (SUB).")] = "",
    sender_password: Annotated[str, typer.Option(metavar="DIGITS", help="Password for the receiver (SID).")] = "",
    first_page: Annotated[int, typer.Option(metavar="N", min=1, help="Begin here; pages before have arrived.")] = 1,
    no_ecm: NoEcm = False,
    max_rate: MaxRate = None,
    json: Json = False,
    config: Config = None,
) -> None:
    """Send files as one fax and say how it went."""
    with one_line_errors(as_json=json):
        if not files:
            given = f"{destination} alone" if destination else "nothing"
            raise SettingsError(f"{given} is too little to send: say vfax send FILE... SIP-URI")
        overrides = _fax_overrides(no_ecm=no_ecm, max_rate=max_rate) | {("fax", "header"): False if no_header else None}
        settings, images = read_for_images(config, overrides, resolution)
        from vfax.cli.send import send as run

        how = {
            "subaddress": _digits("--subaddress", subaddress),
            "sender_password": _digits("--sender-password", sender_password),
            "first_page": first_page,
        }
        raise typer.Exit(run(settings, files, destination, listen=listen, resolution=images, how=how, as_json=json))


@app.command(epilog=exits.help_text())
def poll(
    destination: Annotated[str, typer.Argument(metavar="SIP-URI", help="Whom to call: sip:fax@192.0.2.1:5060")],
    file: Annotated[Path, typer.Argument(metavar="FILE.tif", help="The new file for what comes.")],
    address: Annotated[str, typer.Option(metavar="DIGITS", help="Which of its documents (SEP).")] = "",
    password: Annotated[str, typer.Option(metavar="DIGITS", help="Password for it (PWD).")] = "",
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where to call from; any free port unless given.")
    ] = "",
    no_ecm: NoEcm = False,
    max_rate: MaxRate = None,
    json: Json = False,
    config: Config = None,
) -> None:
    """Call a machine and fetch the document that it holds ready."""
    with one_line_errors(as_json=json):
        asked = {"address": _digits("--address", address), "password": _digits("--password", password)}
        settings = read_settings(config, _fax_overrides(no_ecm=no_ecm, max_rate=max_rate))
        from vfax.cli.poll import poll as run

        raise typer.Exit(run(settings, destination, file, listen=listen, **asked, as_json=json))


@app.command(epilog=exits.help_text())
def offer(
    files: Files = None,
    address: Annotated[str, typer.Option(metavar="DIGITS", help="What callers must ask for (SEP).")] = "",
    password: Annotated[str, typer.Option(metavar="DIGITS", help="What callers must say to get it (PWD).")] = "",
    once: Annotated[bool, typer.Option("--once", help="End when one caller has it.")] = False,
    listen: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Where calls come in.")] = None,
    allow: Annotated[
        list[str] | None, typer.Option(metavar="NET", help="Who may call, as in 192.0.2.0/24; may be said again.")
    ] = None,
    resolution: Resolution = "fine",
    no_header: Annotated[bool, typer.Option("--no-header", help="Put no header line on top of the pages.")] = False,
    no_ecm: NoEcm = False,
    max_rate: MaxRate = None,
    config: Config = None,
) -> None:
    """Hold files ready for machines that call and poll. They are one fax, until Ctrl-C."""
    with one_line_errors():
        if not files:
            raise SettingsError("nothing is too little to offer: say vfax offer FILE...")
        asked = {"address": _digits("--address", address), "password": _digits("--password", password)}
        overrides = _fax_overrides(no_ecm=no_ecm, max_rate=max_rate) | {
            ("fax", "header"): False if no_header else None,
            ("fax", "takes_password"): True if password else None,
            ("sip", "listen"): listen,
            ("sip", "allow"): list(allow) if allow else None,
        }
        settings, images = read_for_images(config, overrides, resolution)
        from vfax.cli.offer import offer as run

        raise typer.Exit(run(settings, files, resolution=images, once=once, **asked))


@app.command(epilog=exits.help_text())
def loopback(
    files: Files = None,
    resolution: Resolution = "fine",
    no_ecm: NoEcm = False,
    max_rate: MaxRate = None,
    json: Json = False,
    config: Config = None,
    simnet: Annotated[
        int | None,
        typer.Option(metavar="SEED", help="In virtual time, without sockets: a number for its dice."),
    ] = None,
    loss: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of packets that the line loses.")] = 0.0,
    duplicate: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share that comes twice.")] = 0.0,
    reorder: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share that comes out of order.")] = 0.0,
    delay: Annotated[float, typer.Option(min=0.0, max=10.0, help="Seconds that each takes.")] = 0.02,
    jitter: Annotated[float, typer.Option(min=0.0, max=10.0, help="Seconds that chance may add.")] = 0.0,
) -> None:
    """Send a fax from this machine to itself. What arrives is compared with what was sent."""
    with one_line_errors(as_json=json):
        settings, images = read_for_images(config, _fax_overrides(no_ecm=no_ecm, max_rate=max_rate), resolution)
        if not files:
            raise SettingsError("nothing is too little to send: say vfax loopback FILE...")
        from vfax.cli.loopback import Line
        from vfax.cli.loopback import loopback as run

        line = None
        if simnet is not None:
            line = Line(seed=simnet, loss=loss, duplicate=duplicate, reorder=reorder, delay=delay, jitter=jitter)
        elif loss or duplicate or reorder or jitter or delay != 0.02:
            raise typer.BadParameter("a line with faults is a simulated one: say --simnet SEED too")
        raise typer.Exit(run(settings, files, line=line, resolution=images, as_json=json))


@app.command()
def devices(json: Json = False, config: Config = None) -> None:
    """Show the registered providers and their devices. Of one that cannot be loaded it says why."""
    with one_line_errors(as_json=json):
        settings = read_settings(config, {})
        from vfax.cli.devices import devices as run

        raise typer.Exit(run(settings, as_json=json))


for command in clients.COMMANDS:
    app.command()(command)


@app.command("check-trunk", epilog=exits.help_text())
def check_trunk(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The trunk, as the settings name it.")],
    number: Annotated[
        str, typer.Option(metavar="NUMBER", help="What to call; check_number of the trunk unless given.")
    ] = "",
    json: Json = False,
    config: Config = None,
) -> None:
    """Try a trunk step by step. Names, connections, registration, OPTIONS, a call, T.38, a page, NAT."""
    with one_line_errors(as_json=json):
        settings = read_settings(config, {})
        from vfax.cli.check_trunk import check_trunk as run

        raise typer.Exit(run(settings, name, number=number, as_json=json))


@app.command()
def backup(
    target: Annotated[Path, typer.Argument(metavar="FILE.tar", help="A file that is not there yet.")],
    json: Json = False,
    config: Config = None,
) -> None:
    """Copy a spool with its store into one file. A service may be running meanwhile."""
    with one_line_errors(as_json=json):
        from vfax.cli.backup import backup as run

        raise typer.Exit(run(read_settings(config, {}), target, as_json=json))


@app.command()
def restore(
    source: Annotated[Path, typer.Argument(metavar="FILE.tar", help="What vfax backup made.")],
    json: Json = False,
    config: Config = None,
) -> None:
    """Fill an empty spool from a backup; its queue is paused then."""
    with one_line_errors(as_json=json):
        from vfax.cli.backup import bring_back as run

        raise typer.Exit(run(read_settings(config, {}), source, as_json=json))


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(metavar="FILE.tif", help="A TIFF document.")],
    json: Json = False,
) -> None:
    """Show the pages of a fax document. Says what about it is not TIFF Class F."""
    with one_line_errors(as_json=json):
        from vfax.cli.inspect import inspect as run

        run(file, as_json=json)


@app.command()
def simulate(
    calls: Annotated[int, typer.Option(min=1, help="How many calls.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="The first seed; each call takes the next one.")] = 0,
    only: Annotated[str | None, typer.Option(metavar="KIND", help="Only scenarios of this kind.")] = None,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Processes at once.")] = 1,
    show: Annotated[bool, typer.Option("--show", help="Print the course of the call; with --calls 1.")] = False,
    journals: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write both sides' journals there; with --calls 1.")
    ] = None,
    json: Json = False,
) -> None:
    """Simulate calls in which everything may go wrong. Dice say what; what must never happen is looked for."""
    with one_line_errors(as_json=json):
        from vfax.cli.simulate import simulate as run
        from vfax.simulation.scenario import Kind

        kinds = {kind.value: kind for kind in Kind}
        if only is not None and only not in kinds:
            raise SettingsError(f"there is no kind {only}: say one of {', '.join(kinds)}")
        kind = kinds[only] if only is not None else None
        raise typer.Exit(run(calls=calls, seed=seed, only=kind, jobs=jobs, show=show, journals=journals, as_json=json))


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A journal, or a capture (pcap, pcapng) with T.38.")],
    end: Annotated[
        str, typer.Option("--as", metavar="END", help="Of a capture: replay caller or called; both unless given.")
    ] = "",
    redact: Annotated[
        Path | None, typer.Option(metavar="OUT", help="Write a copy without pages and passwords; replay nothing.")
    ] = None,
    json: Json = False,
    config: Config = None,
) -> None:
    """Run a recorded call through the engine of today. Ends with 0 when it does the same, 1 when something differs."""
    with one_line_errors(as_json=json):
        if end not in ("", "caller", "called"):
            raise SettingsError(f"--as {end}: expected caller or called")
        from vfax.cli.replay import redact as write_copy
        from vfax.cli.replay import run
        from vfax.settings import wiring

        if redact is not None:
            write_copy(file, redact)
            raise typer.Exit
        options = wiring.leg_options(read_settings(config, {}))
        raise typer.Exit(run(file, end=end, options=options, as_json=json))


@app.command()
def show(
    journal: Annotated[Path, typer.Argument(metavar="JOURNAL", help="The journal of a call.")],
    packets: Annotated[bool, typer.Option("--packets", help="Every recorded datagram in a line of its own.")] = False,
    json: Json = False,
) -> None:
    """Show a recorded call as a timeline. Says in one sentence how it went and why."""
    with one_line_errors(as_json=json):
        from vfax.cli.show import show as run

        raise typer.Exit(run(journal, as_json=json, packets=packets))


def _digits(option: str, value: str) -> str:
    """What T.30 lets SUB, SID, SEP and PWD say."""
    if len(value) > 20 or not set(value) <= set("0123456789+#* "):
        raise SettingsError(f"command line: {option} {value}: expected at most 20 of 0-9, +, #, * and space")
    return value


def _fax_overrides(*, no_ecm: bool, max_rate: int | None) -> dict[tuple[str, str], object | None]:
    return {("fax", "ecm"): False if no_ecm else None, ("fax", "max_rate"): max_rate}
