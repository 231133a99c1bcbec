"""From settings to the options of each room.

Owns      which setting becomes which option. Not here: defaults and bounds (model.py).

A field that has the same name in a section and in an options class is the same thing; the rest is written out.
"""

import ipaddress
from collections.abc import Callable, Collection
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from vfax.capture import CaptureOptions, Pcap
from vfax.codecs.dis import Coding, Resolution
from vfax.endpoint import Endpoint, EndpointOptions
from vfax.errors import DecodeError, SettingsError
from vfax.fsp.errors import ProviderLoadError
from vfax.fsp.provider import Registration, RegistrationRecord, register
from vfax.host.convert import ConvertLimits
from vfax.host.extension_book import ExtensionLimits
from vfax.host.guard import CallTimeouts
from vfax.host.installed import installed
from vfax.host.jobs import JobOptions
from vfax.host.loading import LoadOptions
from vfax.host.process_link import ProcessOptions
from vfax.host.service import HostOptions
from vfax.leg import CallerOffer, InternetAware, LegOptions, SwitchBy
from vfax.record import Packets, RecordOptions
from vfax.settings.model import (
    VFAX_IMAGE,
    FaxSettings,
    LimitSettings,
    MediaSettings,
    OtherProviderSettings,
    Settings,
    T38Settings,
    TimerSettings,
)
from vfax.settings.reaching import dns_options, learning_options, nat_options
from vfax.settings.section import Section, same_names
from vfax.settings.sip import dialog_policy
from vfax.settings.trunk_words import parse_public
from vfax.settings.trunking import trunk_options
from vfax.settings.words import parse_listen
from vfax.sockets import Listen
from vfax.t30.options import AfterRtn, BadPage, Limits, T30Options, Timers
from vfax.transports.certificates import Checks, TlsOptions
from vfax.transports.dtls import DtlsOptions
from vfax.transports.parameters import AudioCodec, Dtls, ErrorCorrection, T38Parameters, TcpMedia
from vfax.transports.sip.headers import Uri
from vfax.transports.sip.hops import transport_of
from vfax.transports.sip.options import SipOptions
from vfax.transports.sip.sieve import SieveOptions
from vfax.transports.sip.values import Transport
from vfax.transports.sip_connection import StreamOptions
from vfax.transports.t38 import ReadVersion, T38Options
from vfax.trunks.book import TrunkBook

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

CORRECTIONS: Final = {
    "redundancy": ErrorCorrection.REDUNDANCY,
    "fec": ErrorCorrection.FEC,
    "none": ErrorCorrection.NONE,
}
LEARNED: Final = "learned.json"
APART: Final = "vfax.settings.apart:create_provider"
"""The entry point of the device in a process of its own (apart.py)."""
RESOLUTIONS: Final = {resolution.title: resolution for resolution in Resolution}


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
        "switch_by": SwitchBy(settings.media.switch_by),
        "audio_codecs": tuple(AudioCodec(word) for word in settings.media.audio_codecs),
        "dtls": Dtls(settings.media.dtls),
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


def sieve_options(settings: Settings) -> SieveOptions:
    """What stands before the SIP parser."""
    unproven = max(1, int(settings.host.lines * settings.abuse.unproven_share))
    return SieveOptions(**same_names(SieveOptions, settings.abuse), max_unproven_calls=unproven)


def endpoint_options(settings: Settings) -> EndpointOptions:
    """The SIP endpoint."""
    public = parse_public(settings.sip.public_address) if settings.sip.public_address else (None, 0)
    return EndpointOptions(
        listen=listen_at(settings.sip.listen),
        listen_also=tuple(listen_at(place) for place in settings.sip.listen_also),
        tls=tls_options(settings),
        streams=StreamOptions(**same_names(StreamOptions, settings.sip)),
        allow=settings.sip.allow,
        public_address=public[0],
        public_port=public[1],
        media_ports=(settings.media.port_min, settings.media.port_max),
        journal=journal_folder(settings),
        record=RecordOptions(
            **same_names(RecordOptions, settings.journal) | {"packets": Packets(settings.journal.packets)}
        ),
        capture=CaptureOptions(**same_names(CaptureOptions, settings.journal) | {"pcap": Pcap(settings.journal.pcap)}),
        sip=SipOptions(**same_names(SipOptions, settings.sip) | {"dialogs": dialog_policy(settings.sip)}),
        leg=leg_options(settings),
        dtls=dtls_options(settings),
        goodbye=settings.sip.goodbye,
        sieve=sieve_options(settings),
        abuse_log=Path(settings.abuse.log) if settings.abuse.log else None,
        learning=learning_options(settings.learning),
        learned=settings.host.spool.absolute() / LEARNED if settings.learning.enabled else None,
        dns=dns_options(settings.dns),
        nat=nat_options(settings.stun, settings.sip),
        trunks=trunk_options(settings, leg_options),
    )


def listen_at(text: str) -> Listen:
    """A place to listen at, which has been checked."""
    transport, host, port = parse_listen(text)
    return Listen(host, port, Transport(transport))


def tls_options(settings: Settings) -> TlsOptions:
    """Certificates, and what is checked of others'."""

    def file(name: str) -> Path | None:
        return Path(name).absolute() if name else None

    sip = settings.sip
    return TlsOptions(
        certificate=file(sip.tls_certificate),
        key=file(sip.tls_key),
        authorities=file(sip.tls_authorities),
        client_authorities=file(sip.tls_client_authorities),
        checks=Checks(sip.tls_checks),
    )


def dtls_options(settings: Settings) -> DtlsOptions:
    """How encrypted T.38 is set up."""
    files = {name: Path(value) if (value := getattr(settings.dtls, name)) else None for name in ("certificate", "key")}
    return DtlsOptions(**same_names(DtlsOptions, settings.dtls) | files)


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
        timeouts=CallTimeouts(**same_names(CallTimeouts, host)),
        process=ProcessOptions(**same_names(ProcessOptions, settings.process)),
        extensions=ExtensionLimits(
            max_octets=host.extension_octets,
            max_data=host.extension_data,
            max_registrations=host.extension_registrations,
        ),
        redeliver_interval=host.redeliver_interval,
        ring_patience=host.ring_patience,
        max_devices=host.max_devices,
        jobs=JobOptions(**same_names(JobOptions, host)),
    )


def load_options(settings: Settings) -> LoadOptions:
    """How providers are looked at by a command that starts no service."""
    host = host_options(settings)
    return LoadOptions(
        call_timeout=host.call_timeout,
        timeouts=host.timeouts,
        process=host.process,
        max_devices=host.max_devices,
        initialize=False,
    )


def convert_limits(settings: Settings) -> ConvertLimits:
    """What the conversion of one document to send may take."""
    queue = settings.queue
    return ConvertLimits(
        seconds=queue.convert_seconds,
        memory=queue.convert_memory,
        octets=queue.convert_octets,
        pages=queue.convert_pages,
        pixels=queue.convert_pixels,
        length_mm=queue.convert_length_mm,
    )


def network(settings: Settings, *, journal: Path | None = None) -> Endpoint:
    """The SIP endpoint that waits for calls; its `address` is known once it runs. `journal`: instead of the spool's."""
    options = endpoint_options(settings)
    return Endpoint(options if journal is None else replace(options, journal=journal))


def network_towards(
    settings: Settings, destination: str, listen: str = "", *, allow: tuple[str, ...] = (), journal: Path | None = None
) -> Endpoint:
    """An endpoint for one fax: on `listen`, else on any free port of an address that reaches `destination`.

    Besides the host that is called, only `allow` is heard; `journal` is the folder of the journals.
    Raises SettingsError when `destination` is no SIP URI or `listen` no address from which it can be reached.
    """
    options = endpoint_options(settings)
    goal = _goal_of(options, destination)
    towards = _towards(settings, goal)
    try:
        place = listen_at(listen) if listen else Listen(towards, 0)
    except ValueError as why:
        raise SettingsError(f"command line: --listen {listen}: {why}") from None
    if Uri.parse(goal).numeric_address() and (":" in place.host) != (":" in towards):
        raise SettingsError(
            f"command line: --listen {listen}: {destination} cannot be called from there, IPv4 and IPv6"
        )
    also = _also_towards(options, goal, place)
    return Endpoint(replace(options, listen=place, listen_also=also, resident=False, allow=allow, journal=journal))


def _goal_of(options: EndpointOptions, destination: str) -> str:
    """Where a call to `destination` is sent: the first gateway of its trunk, if it has one."""
    passage = TrunkBook(options.trunks).of_destination(destination)
    return passage.trunk.goals[0].text if passage is not None and passage.trunk.goals else destination


def _also_towards(options: EndpointOptions, destination: str, place: Listen) -> tuple[Listen, ...]:
    """A second place where `destination` is called by a stream: the other side may want to connect for its answers.

    With TLS only where we have a certificate to show; else all goes by the connection that we make.
    """
    found = transport_of(Uri.parse(destination))
    transport = Transport.UDP if found is None else found[0]
    if transport in (Transport.UDP, place.transport) or (transport is Transport.TLS and not options.tls.certificate):
        return ()
    return (Listen(place.host, 0, transport),)


def _towards(settings: Settings, destination: str) -> str:
    expected = f"{destination}: expected a SIP URI, such as sip:fax@192.0.2.1:5060 or sip:+4930123456@gateway.example"
    try:
        uri = Uri.parse(destination)
    except DecodeError as why:
        raise SettingsError(f"{expected} ({why.what})") from why
    if uri.scheme not in ("sip", "sips") or not uri.host:
        raise SettingsError(expected)
    try:
        uri.host.encode("idna")
    except UnicodeError as why:
        raise SettingsError(f"{expected} (no name of a host: {why})") from why
    _, host, _ = parse_listen(settings.sip.listen)
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
    """The registration record of the device in this process, with its lines and their network as its configuration.

    `more` are options of the devices for this run alone.

    Raises SettingsError where the record is not one (a GUID, a version that is none).
    """
    over = "network" if network is not None else "endpoint"
    road: dict[str, object] = {over: network or endpoint_options(settings)}
    return _record(settings, _devices(settings) | road | settings.provider.configuration | more)


def registrations(
    settings: Settings,
    network: Endpoint | None = None,
    *,
    find: Callable[[Collection[str]], list[Registration]] = installed,
) -> list[Registration]:
    """The registration records of a service: the device of vfax, what [[provider]] lists, what packages bring (`find`).

    `network` is for the device, unless it runs in a process of its own. A record of another provider that is none stays
    in the list, so that people are told. Raises SettingsError where that of the device is none.
    """
    records: list[Registration] = [own_registration(settings, network)]
    records += [_other(other) for other in settings.providers]
    if settings.host.installed_providers:
        records += find({VFAX_IMAGE, *(record.image_name for record in records)})
    return records


def dials_sip_alone(settings: Settings, *, find: Callable[[Collection[str]], list[Registration]] = installed) -> bool:
    """True when the device of vfax, which dials SIP URIs and nothing else, is the only one that is to be loaded."""
    others = [settings.provider.image_name != VFAX_IMAGE, *(other.enabled for other in settings.providers)]
    if any(others):
        return False
    return not (settings.host.installed_providers and find({VFAX_IMAGE}))


def own_registration(settings: Settings, network: Endpoint | None = None) -> RegistrationRecord:
    """The registration record of the device, in this process or in its own, as the settings have it."""
    provider = settings.provider
    if provider.process == "host":
        return registration(settings, network)
    if provider.image_name != VFAX_IMAGE:  # in the place of our own, but elsewhere: it gets what can be said there
        plain = _devices(settings) | {"journal_folder": str(journal_folder(settings) or "") or None}
        return _record(settings, plain | provider.configuration, own_process=True)
    told: dict[str, object] = {"settings": settings.model_dump(mode="json"), "devices": provider.configuration}
    return _record(settings, told, own_process=True, image_name=APART)


def _devices(settings: Settings) -> dict[str, object]:
    host = settings.host
    return {
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
    }


def _record(
    settings: Settings, configuration: dict[str, object], *, own_process: bool = False, image_name: str = ""
) -> RegistrationRecord:
    provider = settings.provider
    try:
        return RegistrationRecord(
            guid=provider.guid,
            friendly_name=provider.friendly_name,
            image_name=image_name or provider.image_name,
            tsp_name=provider.tsp_name,
            fspi_version=provider.fspi_version,
            capabilities=provider.capabilities,
            configuration=configuration,
            own_process=own_process,
            enabled=provider.enabled,
        )
    except ProviderLoadError as why:
        raise SettingsError(f"[provider] {why}") from why


def _other(other: OtherProviderSettings) -> Registration:
    return register(
        guid=other.guid,
        friendly_name=other.friendly_name,
        image_name=other.image_name,
        tsp_name=other.tsp_name,
        fspi_version=other.fspi_version,
        capabilities=other.capabilities,
        configuration=other.configuration,
        own_process=other.process == "own",
        enabled=other.enabled,
    )
