"""`vfax serve`: receive faxes until told to stop.

Owns      what the operator is told at the start and for each fax. Not here: the service (host/service.py).
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import trio
from rich.console import Console

from vfax import __version__
from vfax.cli import exits
from vfax.cli.common import make_journal_folder, out
from vfax.cli.hosting import interruptible, running
from vfax.cli.screen import Screen, choose, tell
from vfax.errors import FaxError
from vfax.fsp.errors import FaxServiceError
from vfax.host.events import HostEvent, IdleLongEnough, ProviderFaulted, ProviderLost, ProviderSaid
from vfax.host.memory import settled
from vfax.host.server import FaxServer
from vfax.host.service import FaxService
from vfax.settings import Settings, is_loopback, parse_host_port, parse_listen, serving, wiring
from vfax.settings.trunk_words import parse_place, parse_public
from vfax.settings.trunks import TrunkSettings
from vfax.trunks.board import sentence_of

NO_NUMBERS: Final = (
    'Faxes go to SIP addresses; for telephone numbers set [queue] dial = "sip:{e164}@trunk.example.com", with the name '
    "of your trunk."
)


def serve(settings: Settings) -> int:
    """Serve until Ctrl-C, SIGTERM or the end of idling; returns the exit code. Raises FaxError when it cannot start."""
    console = out()
    with choose(console, json=False) as screen:
        return trio.run(_serve, settings, console, screen)


async def _serve(settings: Settings, console: Console, screen: Screen) -> int:
    network = wiring.network(settings)
    ended = trio.Event()

    def hear(event: HostEvent) -> None:
        screen.show(event)
        if isinstance(event, ProviderSaid):  # a service alone lives long enough for it to matter
            tell(console, sentence_of(event.sentence))
        if isinstance(event, IdleLongEnough):  # it stops by itself
            ended.set()
        dead = bool(server.providers) and not any(one.usable or one.returning for one in server.providers)
        if isinstance(event, ProviderFaulted | ProviderLost) and dead:
            ended.set()  # nobody is left who could take a call: better to end than to seem to serve

    server = FaxServer(serving.server_options(settings), wiring.registrations(settings, network), observe=hear)
    await trio.to_thread.run_sync(make_journal_folder, wiring.journal_folder(settings))
    async with interruptible(ended.set), running(server):
        service = server.service
        for line in (*refusals(service), *greeting(settings, address_of(service), service)):
            tell(console, line)
        with settled():
            await ended.wait()
        alive = any(provider.usable or provider.returning for provider in service.providers)
        lost = None if alive else next((provider.failure for provider in service.providers), None)
        tell(console, f"vfax is stopping; running faxes: {len(service.running)}.")
    if lost is not None:
        raise FaxError(f"vfax has stopped, for its provider cannot be used any more: {lost}")
    tell(console, "vfax has stopped.")
    return exits.OK


def address_of(service: FaxService) -> tuple[str, int] | None:
    """Where the first provider that tells so can be called."""
    for provider in service.providers:
        report = provider.exports.VfaxDevReportAddress if provider.exports is not None else None
        if report is None or not provider.usable:
            continue
        with suppress(FaxServiceError, ValueError):
            return parse_host_port(str(provider.guard.ask_now(report)))
    return None


def refusals(service: FaxService) -> list[str]:
    """What became of providers that cannot be used, while others can."""
    return [
        f"The provider {provider.record.friendly_name} cannot be used: {provider.failure}"
        for provider in service.providers
        if not provider.usable
    ]


def greeting(settings: Settings, address: tuple[str, int] | None, service: FaxService) -> list[str]:
    """What an operator must know: where to call, where faxes appear, what is taken, from whom.

    `address` is None where the providers have other networks than ours.
    """
    inbox = service.spool.inbox
    if address is None:
        names = (provider.record.friendly_name for provider in service.providers if provider.usable)
        return [
            f"vfax {__version__} serves the lines of {', '.join(names)}.",
            f"Faxes appear in {inbox}",
        ]
    host, port = address
    if settings.sip.public_address:
        host, public_port = parse_public(settings.sip.public_address)
        port = public_port or port
    shown = f"[{host}]" if ":" in host else host
    fax = settings.fax
    local = all(is_loopback(network) for network in settings.sip.allow)
    lines = settings.host.lines
    roads = "UDP" if settings.media.tcp == "off" else "UDP or TCP"
    roads = {"off": roads, "required": "DTLS alone"}.get(settings.media.dtls, f"DTLS, {roads}")
    transport = parse_listen(settings.sip.listen)[0]
    by = "" if transport == "UDP" else f";transport={transport.lower()}"
    others = map(parse_listen, settings.sip.listen_also)
    also = "".join(f", {one} {f'[{there}]' if ':' in there else there}:{at}" for one, there, at in others)
    count = f"{lines} line{'s' if lines > 1 else ''}"
    return [
        f"vfax {__version__} is listening on {transport} {shown}:{port}{also} with {count}.",
        f"Call it at sip:{settings.sip.contact_user}@{shown}:{port}{by}",
        f"Faxes appear in {inbox}",
        f"It takes T.38 over {roads}, or G.711 audio that becomes T.38: up to {fax.max_rate} bit/s, "
        f"{'ECM' if fax.ecm else 'no ECM'}, {', '.join(fax.receive_codings)}, {_resolutions(fax.resolutions)}.",
        *(() if serving.dial_plan(settings).numbers else (NO_NUMBERS,)),
        f"Calls are taken from {', '.join(settings.sip.allow)}"
        + (" (this machine alone; --listen and --allow open it to a network)." if local else ": OPEN TO A NETWORK."),
        *(of_trunk(trunk) for trunk in settings.trunk if trunk.enabled),
    ]


def of_trunk(trunk: TrunkSettings) -> str:
    """A trunk in a sentence: where it is, who may call by it, what is not checked."""
    named = (*(trunk.gateways or (trunk.domain,)), trunk.outbound_proxy, *trunk.route, trunk.registrar)
    hosts = dict.fromkeys(parse_place(text).host for text in named if text)
    places = list(trunk.networks) if trunk.accept == "open" else [*hosts, *trunk.networks]
    if trunk.accept == "digest":
        who = f"with the password of {trunk.inbound_user} from {', '.join(places)}"
    elif trunk.accept == "open":
        who = f"from ANYBODY in {', '.join(places)}"
    else:
        who = f"from {', '.join(places)}"
    registers = f"; it registers as {trunk.user}" if trunk.registers else ""
    unchecked = "; NOBODY CHECKS ITS CERTIFICATE" if trunk.tls_checks == "none" else ""
    return f"Trunk {trunk.name} takes calls {who}{registers}{unchecked}."


def _resolutions(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) < 4 else f"{names[0]} to {names[-1]} ({len(names)} resolutions)"
