"""Commands that are clients of a running service: watch, clients, submit, jobs, job, queue, faxes, trunks, peers.

Owns      their options and help, and where the service is found. Not here: what each does (watch.py, queue.py).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from vfax.cli.common import one_line_errors, read_settings
from vfax.cli.options import Address, Certificate, Config, Json, Service, TokenFile
from vfax.errors import SettingsError

if TYPE_CHECKING:
    from vfax.cli.queue import Reach


def watch(
    address: Address = "",
    token_file: TokenFile = None,
    certificate: Certificate = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
    config: Config = None,
) -> None:
    """Show what happens at a running service. Event by event, until it ends or Ctrl-C."""
    with one_line_errors(as_json=json):
        from vfax.cli.watch import watch as run

        where = _service_address(address, config)
        raise typer.Exit(run(where, token_file=token_file, certificate=certificate, as_json=json))


def clients(
    address: Address = "",
    token_file: TokenFile = None,
    certificate: Certificate = None,
    json: Json = False,
    config: Config = None,
) -> None:
    """List the clients of a running service. Their connections, registrations and leases."""
    with one_line_errors(as_json=json):
        from vfax.cli.watch import clients as run

        where = _service_address(address, config)
        raise typer.Exit(run(where, token_file=token_file, certificate=certificate, as_json=json))


def submit(
    document: Annotated[Path, typer.Argument(metavar="FILE", help="PDF, TIFF or any image.")],
    recipients: Annotated[list[str], typer.Argument(metavar="RECIPIENT", help="Number or SIP URI; one job for each.")],
    name: Annotated[str | None, typer.Option(help="Sender to name; that of the settings otherwise.")] = None,
    number: Annotated[str | None, typer.Option(help="Our number (TSI); that of the settings otherwise.")] = None,
    subject: Annotated[str | None, typer.Option(help="What it is about, for the records.")] = None,
    subaddress: Annotated[str | None, typer.Option(metavar="DIGITS", help="Whom it is for behind the number.")] = None,
    priority: Annotated[str | None, typer.Option(help="low, normal or high.")] = None,
    schedule: Annotated[str | None, typer.Option(metavar="TIME", help="Not before: 2026-12-24T18:00+01:00.")] = None,
    resolution: Annotated[str | None, typer.Option(help="Of PDF pages and images: standard, fine, 300x300 ...")] = None,
    first_page: Annotated[int | None, typer.Option(min=1, metavar="N", help="Begin at this page.")] = None,
    retries: Annotated[int | None, typer.Option(min=0, help="How often to try again what failed.")] = None,
    service: Service = "",
    token_file: TokenFile = None,
    certificate: Certificate = None,
    json: Json = False,
    config: Config = None,
) -> None:
    """Queue a fax at a running service, for one recipient or many."""
    with one_line_errors(as_json=json):
        from vfax.cli.queue import submit as run

        options = {
            "sender_name": name,
            "sender_number": number,
            "subject": subject,
            "subaddress": subaddress,
            "priority": priority,
            "schedule": schedule,
            "resolution": resolution,
            "first_page": first_page,
            "max_retries": retries,
        }
        given = {key: value for key, value in options.items() if value is not None}
        raise typer.Exit(run(_reach(service, token_file, certificate, json, config), document, recipients, given))


def jobs(
    every: Annotated[bool, typer.Option("--all", help="Also those that have ended.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many.")] = 100,
    service: Service = "",
    token_file: TokenFile = None,
    certificate: Certificate = None,
    json: Json = False,
    config: Config = None,
) -> None:
    """List the jobs of a running service, newest first."""
    with one_line_errors(as_json=json):
        from vfax.cli.queue import jobs as run

        raise typer.Exit(run(_reach(service, token_file, certificate, json, config), every=every, limit=limit))


def job(
    number: Annotated[str, typer.Argument(metavar="JOB", help="Its eight hexadecimal digits.")],
    command: Annotated[
        str, typer.Argument(metavar="COMMAND", help="cancel, pause, resume, retry or abort.", show_default=False)
    ] = "",
    priority: Annotated[str, typer.Option(help="low, normal or high.", show_default=False)] = "",
    schedule: Annotated[str, typer.Option(metavar="TIME", help="Not before; now: at once.", show_default=False)] = "",
    service: Service = "",
    token_file: TokenFile = None,
    certificate: Certificate = None,
    json: Json = False,
    config: Config = None,
) -> None:
    """Show a job of a running service, or change it."""
    with one_line_errors(as_json=json):
        from vfax.cli.queue import change

        reach = _reach(service, token_file, certificate, json, config)
        raise typer.Exit(change(reach, number, command=command, priority=priority, schedule=schedule))


def queue(
    command: Annotated[str, typer.Argument(metavar="COMMAND", help="pause: stop dialling; resume: go on.")],
    service: Service = "",
    token_file: TokenFile = None,
    certificate: Certificate = None,
    json: Json = False,
    config: Config = None,
) -> None:
    """Pause the queue of a running service, or let it go on."""
    with one_line_errors(as_json=json):
        from vfax.cli.queue import pause

        if command not in ("pause", "resume"):
            raise SettingsError(f"command line: {command!r}: expected pause or resume")
        reach = _reach(service, token_file, certificate, json, config)
        raise typer.Exit(pause(reach, paused=command == "pause"))


def faxes(
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many.")] = 20,
    service: Service = "",
    token_file: TokenFile = None,
    certificate: Certificate = None,
    json: Json = False,
    config: Config = None,
) -> None:
    """List the faxes that a running service received. The newest come first."""
    with one_line_errors(as_json=json):
        from vfax.cli.queue import faxes as run

        raise typer.Exit(run(_reach(service, token_file, certificate, json, config), limit=limit))


def trunks(
    service: Service = "",
    token_file: TokenFile = None,
    certificate: Certificate = None,
    json: Json = False,
    config: Config = None,
) -> None:
    """Show how the trunks of a running service fare. Registration, OPTIONS, calls, the last fax either way."""
    with one_line_errors(as_json=json):
        from vfax.cli.trunks import trunks as run

        raise typer.Exit(run(_reach(service, token_file, certificate, json, config)))


def peers(
    forget: Annotated[
        bool, typer.Option("--forget", help="Forget what --peer and --number name; with neither, everything.")
    ] = False,
    peer: Annotated[str, typer.Option(metavar="NAME", help="A trunk, or a host where there is none.")] = "",
    number: Annotated[str, typer.Option(metavar="NUMBER", help="A number as it is shown.")] = "",
    service: Service = "",
    token_file: TokenFile = None,
    certificate: Certificate = None,
    json: Json = False,
    config: Config = None,
) -> None:
    """Show what a running service has learned of its peers. Those are whom it calls and who calls; or forget it."""
    with one_line_errors(as_json=json):
        from vfax.cli.trunks import forget_peers
        from vfax.cli.trunks import peers as show

        reach = _reach(service, token_file, certificate, json, config)
        raise typer.Exit((forget_peers if forget else show)(reach, peer=peer, number=number))


COMMANDS: Final = (watch, clients, submit, jobs, job, queue, faxes, trunks, peers)
"""In the order of the help."""


def _reach(
    service: str, token_file: Path | None, certificate: Path | None, as_json: bool, config: Path | None
) -> "Reach":
    from vfax.cli.queue import Reach

    where = _service_address(service, config)
    return Reach(where, token_file=token_file, certificate=certificate, as_json=as_json)


def _service_address(address: str, config: Path | None) -> str | Path:
    """Where the service is: as said, else the socket of the settings. Raises SettingsError when they have none."""
    if address:
        return address
    from vfax.settings.client_socket import client_socket

    socket = client_socket(read_settings(config, {}))
    if socket is None:
        raise SettingsError("the settings ([clients] socket) have no socket to connect to: say an address")
    return socket
