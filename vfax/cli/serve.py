"""`vfax serve`: receive faxes until told to stop.

Owns      what the operator is told at the start and for each fax. Not here: the service (host/service.py).
"""

from collections.abc import Sequence
from pathlib import Path

import trio
from rich.console import Console

from vfax import __version__
from vfax.cli import exits
from vfax.cli.common import make_journal_folder, out
from vfax.cli.hosting import interruptible, running
from vfax.cli.screen import Screen, choose, say
from vfax.errors import FaxError
from vfax.host.events import HostEvent, ProviderFaulted
from vfax.host.service import FaxService
from vfax.settings import Settings, is_loopback, parse_host_port, wiring


def serve(settings: Settings) -> int:
    """Serve until Ctrl-C or SIGTERM; returns the exit code. Raises FaxError when it cannot start."""
    console = out()
    with choose(console, json=False) as screen:
        return trio.run(_serve, settings, console, screen)


async def _serve(settings: Settings, console: Console, screen: Screen) -> int:
    network = wiring.network(settings)
    ended = trio.Event()

    def hear(event: HostEvent) -> None:
        screen.show(event)
        if isinstance(event, ProviderFaulted) and not any(provider.usable for provider in service.providers):
            ended.set()  # nobody is left who could take a call: better to end than to seem to serve

    service = FaxService(wiring.host_options(settings), [wiring.registration(settings, network)], observe=hear)
    await trio.to_thread.run_sync(make_journal_folder, wiring.journal_folder(settings))
    _, port = parse_host_port(settings.sip.listen)
    async with interruptible(ended.set), running(service, port=port):
        for line in greeting(settings, wiring.address_of(network), service.spool.inbox):
            say(console, line)
        await ended.wait()
        lost = next((provider.failure for provider in service.providers if not provider.usable), None)
        say(console, f"vfax is stopping; running faxes: {len(service.running)}.")
    if lost is not None:
        raise FaxError(f"vfax has stopped, for its provider cannot be used any more: {lost}")
    say(console, "vfax has stopped.")
    return exits.OK


def greeting(settings: Settings, address: tuple[str, int] | None, inbox: Path) -> list[str]:
    """What an operator must know: where to call, where faxes appear, what is taken, from whom.

    `address` is None where a provider of the operator's own has another network than ours.
    """
    if address is None:
        return [
            f"vfax {__version__} serves the lines of {settings.provider.friendly_name}.",
            f"Faxes appear in {inbox}",
        ]
    host, port = address
    shown = f"[{host}]" if ":" in host else host
    if settings.sip.public_address:
        shown = settings.sip.public_address
    fax = settings.fax
    local = all(is_loopback(network) for network in settings.sip.allow)
    lines = settings.host.lines
    roads = "UDP" if settings.media.tcp == "off" else "UDP or TCP"
    return [
        f"vfax {__version__} is listening on UDP {shown}:{port} with {lines} line{'s' if lines > 1 else ''}.",
        f"Call it at sip:{settings.sip.contact_user}@{shown}:{port}",
        f"Faxes appear in {inbox}",
        f"It takes T.38 over {roads}, or G.711 audio that becomes T.38: up to {fax.max_rate} bit/s, "
        f"{'ECM' if fax.ecm else 'no ECM'}, {', '.join(fax.receive_codings)}, {_resolutions(fax.resolutions)}.",
        f"Calls are taken from {', '.join(settings.sip.allow)}"
        + (" (this machine alone; --listen and --allow open it to a network)." if local else ": OPEN TO A NETWORK."),
    ]


def _resolutions(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) < 4 else f"{names[0]} to {names[-1]} ({len(names)} resolutions)"
