"""`vfax serve`: receive faxes until told to stop.

Owns      what the operator is told at the start and for each fax. Not here: the service (host/service.py).
"""

from pathlib import Path

import trio
from rich.console import Console

from vfax import __version__
from vfax.cli import exits
from vfax.cli.common import out, watch_signals
from vfax.cli.hosting import hard_stop, running
from vfax.cli.screen import Screen, choose, say
from vfax.errors import StoreError
from vfax.host.service import FaxService
from vfax.settings import Settings, is_loopback, parse_host_port, wiring


def serve(settings: Settings) -> int:
    """Serve until Ctrl-C or SIGTERM; returns the exit code. Raises FaxError when it cannot start."""
    console = out()
    with choose(console, json=False) as screen:
        return trio.run(_serve, settings, console, screen)


async def _serve(settings: Settings, console: Console, screen: Screen) -> int:
    network = wiring.network(settings)
    service = FaxService(wiring.host_options(settings), [wiring.registration(settings, network)], observe=screen.show)
    await trio.to_thread.run_sync(make_journal_folder, settings)
    ended = trio.Event()
    _, port = parse_host_port(settings.sip.listen)
    async with running(service, port=port), trio.open_nursery() as nursery:
        for line in greeting(settings, network.address, service.spool.inbox):
            say(console, line)
        nursery.start_soon(watch_signals, ended.set, hard_stop)
        await ended.wait()
        nursery.cancel_scope.cancel()
        say(console, f"vfax is stopping; running faxes: {len(service.running)}.")
    say(console, "vfax has stopped.")
    return exits.OK


def make_journal_folder(settings: Settings) -> None:
    """Make the folder of the journals, when there is to be one. Raises StoreError naming it."""
    folder = wiring.journal_folder(settings)
    if folder is None:
        return
    try:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as why:
        raise StoreError(f"cannot make the journal folder {folder}: {why.strerror or why}") from why


def greeting(settings: Settings, address: tuple[str, int], inbox: Path) -> list[str]:
    """What an operator must know: where to call, where faxes appear, what is taken, from whom."""
    host, port = address
    shown = f"[{host}]" if ":" in host else host
    if settings.sip.public_address:
        shown = settings.sip.public_address
    fax = settings.fax
    local = all(is_loopback(network) for network in settings.sip.allow)
    lines = settings.host.lines
    return [
        f"vfax {__version__} is listening on UDP {shown}:{port} with {lines} line{'s' if lines > 1 else ''}.",
        f"Call it at sip:{settings.sip.contact_user}@{shown}:{port}",
        f"Faxes appear in {inbox}",
        f"It takes T.38 over UDP, or G.711 audio that becomes T.38: up to {fax.max_rate} bit/s, "
        f"{'ECM, ' if fax.ecm else 'no ECM, '}{', '.join(fax.receive_codings)}, {', '.join(fax.resolutions)}.",
        f"Calls are taken from {', '.join(settings.sip.allow)}"
        + (" (this machine alone; --listen and --allow open it to a network)." if local else ": OPEN TO A NETWORK."),
    ]
