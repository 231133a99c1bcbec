"""From settings to the options of each room.

Owns      which setting becomes which option. Not here: defaults and bounds (model.py).

A field that has the same name in a section and in an options class is the same thing; the rest is written out.
"""

import ipaddress
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from vfax.capture import CaptureOptions, Pcap
from vfax.codecs.dis import Coding, Resolution
from vfax.endpoint import Endpoint, EndpointOptions
from vfax.errors import DecodeError, LinkError, SettingsError
from vfax.fsp.errors import ProviderLoadError
from vfax.fsp.provider import RegistrationRecord
from vfax.host.deliver_command import CommandOptions
from vfax.host.deliver_mail import MailServer, Security
from vfax.host.deliver_webhook import WebhookOptions
from vfax.host.delivery import DeliveryOptions, DeliveryPlan
from vfax.host.document import Format
from vfax.host.jobs import JobOptions
from vfax.host.routing import Body, CommandTarget, FolderTarget, MailTarget, Rule, Target, WebhookTarget
from vfax.host.service import HostOptions
from vfax.leg import CallerOffer, InternetAware, LegOptions
from vfax.record import Packets, RecordOptions
from vfax.settings.model import (
    FaxSettings,
    LimitSettings,
    MediaSettings,
    Settings,
    T38Settings,
    TimerSettings,
)
from vfax.settings.routes import RouteSettings
from vfax.settings.section import Section
from vfax.settings.words import parse_host_port
from vfax.t30.options import AfterRtn, BadPage, Limits, T30Options, Timers
from vfax.transports.parameters import ErrorCorrection, T38Parameters, TcpMedia
from vfax.transports.sip.headers import Uri
from vfax.transports.sip.options import SipOptions
from vfax.transports.t38 import ReadVersion, T38Options

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

CORRECTIONS: Final = {
    "redundancy": ErrorCorrection.REDUNDANCY,
    "fec": ErrorCorrection.FEC,
    "none": ErrorCorrection.NONE,
}
RESOLUTIONS: Final = {resolution.title: resolution for resolution in Resolution}


def same_names(options: "type[DataclassInstance]", section: Section) -> dict[str, Any]:
    """The section's values for the fields that both have."""
    return {field.name: getattr(section, field.name) for field in fields(options) if hasattr(section, field.name)}


def t30_options(settings: Settings) -> T30Options:
    """What the T.30 engine works with."""
    fax = settings.fax
    given = same_names(T30Options, fax) | {
        "max_rate_bps": fax.max_rate,
        "min_rate_bps": min(fax.min_rate, fax.max_rate),
        "max_width_px": fax.max_width,
        "receive_codings": frozenset(Coding(word) for word in fax.receive_codings),
        "send_codings": tuple(Coding(word) for word in fax.send_codings),
        "resolutions": frozenset(RESOLUTIONS[word] for word in fax.resolutions),
        "after_rtn": AfterRtn(fax.after_rtn),
        "bad_page": BadPage(fax.bad_page),
        "timers": Timers(**same_names(Timers, settings.timers)),
        "limits": Limits(**same_names(Limits, settings.limits)),
    }
    return T30Options(**given)


def t38_parameters(settings: Settings) -> T38Parameters:
    """What SDP says of us."""
    t38 = settings.t38
    return T38Parameters(
        version=t38.version,
        max_bit_rate_bps=t38.max_bit_rate,
        max_datagram=t38.max_datagram or None,
        error_correction=CORRECTIONS[t38.error_correction],
    )


def t38_options(settings: Settings) -> T38Options:
    """The T.38 line."""
    given = same_names(T38Options, settings.t38) | {"read_version": ReadVersion(settings.t38.read_version)}
    return T38Options(**given)


def leg_options(settings: Settings) -> LegOptions:
    """Policy of one call, with the line and the terminal under it."""
    given = same_names(LegOptions, settings.media) | {
        "caller_offer": CallerOffer(settings.media.caller_offer),
        "internet_aware": InternetAware(settings.media.internet_aware),
        "tcp": TcpMedia(settings.media.tcp),
        "t38": t38_parameters(settings),
        "line": t38_options(settings),
        "fax": t30_options(settings),
    }
    return LegOptions(**given)


def check_options(options: LegOptions) -> None:
    """Refuse numbers of a leg that no settings allow, for they come from a file. Raises DecodeError naming one."""
    rooms: tuple[tuple[DataclassInstance, type[Section]], ...] = (
        (options, MediaSettings),
        (options.line, T38Settings),
        (options.fax, FaxSettings),
        (options.fax.timers, TimerSettings),
        (options.fax.limits, LimitSettings),
    )
    for room, section in rooms:
        values = {field.name: getattr(room, field.name) for field in fields(room)}
        numbers = {name: value for name, value in values.items() if type(value) in (int, float, bool)}
        try:
            section.model_validate({name: value for name, value in numbers.items() if name in section.model_fields})
        except ValidationError as why:
            wrong = why.errors()[0]
            raise DecodeError(f"option {wrong['loc'][0]} = {str(wrong['input'])[:40]}: {wrong['msg']}") from None


def endpoint_options(settings: Settings) -> EndpointOptions:
    """The SIP endpoint."""
    return EndpointOptions(
        listen=parse_host_port(settings.sip.listen),
        allow=settings.sip.allow,
        public_address=settings.sip.public_address or None,
        media_ports=(settings.media.port_min, settings.media.port_max),
        journal=journal_folder(settings),
        record=RecordOptions(
            **same_names(RecordOptions, settings.journal) | {"packets": Packets(settings.journal.packets)}
        ),
        capture=CaptureOptions(**same_names(CaptureOptions, settings.journal) | {"pcap": Pcap(settings.journal.pcap)}),
        sip=SipOptions(**same_names(SipOptions, settings.sip)),
        leg=leg_options(settings),
    )


def journal_folder(settings: Settings) -> Path | None:
    """Where journals go; None when none are written."""
    if not settings.journal.enabled:
        return None
    return Path(settings.journal.folder) if settings.journal.folder else settings.host.spool.absolute() / "journal"


def host_options(settings: Settings) -> HostOptions:
    """The fax service."""
    host = settings.host
    return HostOptions(
        spool=host.spool,
        local_id=settings.fax.local_id,
        name=settings.fax.name,
        call_timeout=host.call_timeout,
        redeliver_interval=host.redeliver_interval,
        max_devices=host.max_devices,
        jobs=JobOptions(**same_names(JobOptions, host)),
    )


def delivery_options(settings: Settings) -> DeliveryOptions:
    """How deliveries are tried."""
    section = settings.delivery
    return DeliveryOptions(
        **same_names(DeliveryOptions, section)
        | {
            "webhook": WebhookOptions(**same_names(WebhookOptions, section)),
            "command": CommandOptions(**same_names(CommandOptions, section)),
        }
    )


def delivery_plan(settings: Settings) -> DeliveryPlan:
    """Where received faxes go, and the mail server; with secrets, so never to be stored or shown."""
    server = same_names(MailServer, settings.mail) | {"security": Security(settings.mail.security)}
    return DeliveryPlan(rules=tuple(rule_of(route) for route in settings.route), mail=MailServer(**server))


def rule_of(route: RouteSettings) -> Rule:
    """One rule."""
    return Rule(**same_names(Rule, route) | {"target": _target(route)})


def _target(route: RouteSettings) -> Target:
    form = {"form": Format(route.format)} if route.format else {}
    match route.kind:
        case "folder":
            return FolderTarget(**same_names(FolderTarget, route) | form)
        case "mail":
            return MailTarget(**same_names(MailTarget, route) | {"body": route.text} | form)
        case "webhook":
            return WebhookTarget(**same_names(WebhookTarget, route) | {"body": Body(route.body)} | form)
        case "command":
            return CommandTarget(command=route.command, **form)


def network(settings: Settings, *, journal: Path | None = None) -> Endpoint:
    """The SIP endpoint that waits for calls; its `address` is known once it runs. `journal`: instead of the spool's."""
    options = endpoint_options(settings)
    return Endpoint(options if journal is None else replace(options, journal=journal))


def address_of(network: Endpoint) -> tuple[str, int] | None:
    """Where our endpoint listens; None when the provider that was loaded does not use it."""
    try:
        return network.address
    except LinkError:
        return None


def network_towards(
    settings: Settings, destination: str, listen: str = "", *, allow: tuple[str, ...] = (), journal: Path | None = None
) -> Endpoint:
    """An endpoint for one fax: on `listen`, else on any free port of an address that reaches `destination`.

    Besides the host that is called, only `allow` is heard; `journal` is the folder of the journals.
    Raises SettingsError when `destination` is no SIP URI or `listen` no address from which it can be reached.
    """
    towards = _towards(settings, destination)
    try:
        address = parse_host_port(listen) if listen else (towards, 0)
    except ValueError as why:
        raise SettingsError(f"command line: --listen {listen}: {why}") from None
    if Uri.parse(destination).numeric_address() and (":" in address[0]) != (":" in towards):
        raise SettingsError(
            f"command line: --listen {listen}: {destination} cannot be called from there, IPv4 and IPv6"
        )
    return Endpoint(replace(endpoint_options(settings), listen=address, allow=allow, journal=journal))


def _towards(settings: Settings, destination: str) -> str:
    expected = f"{destination}: expected a SIP URI, such as sip:fax@192.0.2.1:5060 or sip:+4930123456@gateway.example"
    try:
        uri = Uri.parse(destination)
    except DecodeError as why:
        raise SettingsError(f"{expected} ({why.what})") from why
    if uri.scheme != "sip" or not uri.host:
        raise SettingsError(expected)
    try:
        uri.host.encode("idna")
    except UnicodeError as why:
        raise SettingsError(f"{expected} (no name of a host: {why})") from why
    host, _ = parse_host_port(settings.sip.listen)
    numeric = uri.numeric_address()
    if uri.host.lower() == "localhost":
        return "127.0.0.1"
    if numeric is None:
        return "0.0.0.0" if ipaddress.ip_address(host).is_loopback else host
    there = ipaddress.ip_address(numeric[0])
    if there.is_loopback:
        return "::1" if there.version == 6 else "127.0.0.1"
    if not ipaddress.ip_address(host).is_loopback and ipaddress.ip_address(host).version == there.version:
        return host
    return "::" if there.version == 6 else "0.0.0.0"


def registration(settings: Settings, network: Endpoint | None = None, **more: object) -> RegistrationRecord:
    """The provider's registration record, with the devices and their network as its configuration.

    `more` are options of the devices for this run alone.

    Raises SettingsError where the record is not one (a GUID, a version that is none).
    """
    host, provider = settings.host, settings.provider
    configuration = {
        "lines": host.lines,
        "device_name_prefix": host.device_name_prefix,
        "device_id_prefix": host.device_id_prefix,
        "local_id": settings.fax.local_id,
        "receiver_name": settings.fax.name,
        "header": settings.fax.header,
        "header_timezone": settings.fax.header_timezone,
        "host_answer_timeout": settings.sip.answer_timeout,
        "shutdown_grace": host.shutdown_grace,
        "journal_folder": journal_folder(settings),
        "network" if network is not None else "endpoint": network or endpoint_options(settings),
    }
    try:
        return RegistrationRecord(
            guid=provider.guid,
            friendly_name=provider.friendly_name,
            image_name=provider.image_name,
            tsp_name=provider.tsp_name,
            fspi_version=provider.fspi_version,
            capabilities=provider.capabilities,
            configuration=configuration | provider.configuration | more,
        )
    except ProviderLoadError as why:
        raise SettingsError(f"[provider] {why}") from why
