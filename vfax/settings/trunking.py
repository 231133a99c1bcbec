"""From [[trunk]] tables to the options of trunks.

Owns      which key becomes which option; passwords from files and the environment. Not here: the keys (trunks.py).
"""

import ipaddress
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from vfax.errors import SettingsError
from vfax.leg import LegOptions
from vfax.settings.model import Settings
from vfax.settings.reaching import keep_alive_options, stun_server
from vfax.settings.section import same_names
from vfax.settings.sip import SipSettings, dialog_policy
from vfax.settings.trunk_words import OWN, parse_place, parse_public
from vfax.settings.trunks import SECTIONS, TrunkSettings, label, overridden
from vfax.settings.words import shown
from vfax.transports.sip.headers import Uri
from vfax.transports.sip.keyring import Credentials
from vfax.transports.sip.probing import ProbeOptions
from vfax.transports.sip.values import Address
from vfax.trunks.options import (
    OWN_ADDRESS,
    Accept,
    CallerPlace,
    DidPlace,
    IdentityOptions,
    InboundOptions,
    LimitOptions,
    NumberOptions,
    RegisterOptions,
    TrunkOptions,
    TrunkTls,
)

MAX_SECRET: Final = 4_096
"""Limit: octets of a password file that are read."""


def trunk_options(
    settings: Settings,
    leg_options: Callable[[Settings], LegOptions],
    *,
    environ: Mapping[str, str] | None = None,
) -> tuple[TrunkOptions, ...]:
    """All trunks. `leg_options` makes a call's policy of settings. Raises SettingsError for passwords not to be had."""
    variables = os.environ if environ is None else environ
    return tuple(_trunk(settings, trunk, at, leg_options, variables) for at, trunk in enumerate(settings.trunk))


def settings_of(settings: Settings, trunk: TrunkSettings) -> Settings:
    """The settings as they are for calls of a trunk."""
    own = {name: overridden(getattr(settings, name), trunk.own(name)) for name in SECTIONS}
    return settings.model_copy(update=own)


def _trunk(
    settings: Settings,
    trunk: TrunkSettings,
    at: int,
    leg_options: Callable[[Settings], LegOptions],
    environ: Mapping[str, str],
) -> TrunkOptions:
    gateways = tuple(parse_place(text, trunk.transport) for text in trunk.gateways)
    proxy = parse_place(trunk.outbound_proxy, trunk.transport) if trunk.outbound_proxy else None
    route = tuple(parse_place(text, trunk.transport) for text in trunk.route)
    domain = trunk.domain or next((uri.host for uri in (*gateways, *filter(None, [proxy]), *route)), "")
    password = _secret(trunk, at, "password", environ)
    own = settings_of(settings, trunk)
    return TrunkOptions(
        name=trunk.name,
        enabled=trunk.enabled,
        gateways=gateways or ((Uri.parse(f"sip:{trunk.domain}"),) if trunk.domain else ()),
        outbound_proxy=proxy,
        route=route,
        domain=trunk.domain,
        transport=trunk.transport,
        tls=_tls(settings, trunk),
        public_address=_public(trunk.public_address),
        learn_address=trunk.learn_address,
        stun_server=_stun(settings, trunk),
        keep_alive=keep_alive_options(own.sip),
        credentials=Credentials(trunk.auth_user or trunk.user, password, trunk.realm) if password else None,
        md5=trunk.md5,
        register=_register(trunk, domain, (proxy,) if proxy else route[:1], gateways),
        probe=ProbeOptions(
            interval=trunk.options_interval, failures=trunk.options_failures, successes=trunk.options_successes
        ),
        identity=_identity(trunk, domain),
        numbers=_numbers(settings, trunk),
        inbound=_inbound(trunk, at, environ),
        dialogs=dialog_policy(own.sip),
        learn=trunk.learn,
        limits=LimitOptions(**same_names(LimitOptions, trunk)),
        leg=leg_options(own),
    )


def _public(text: str) -> Address | None:
    if text == OWN:
        return OWN_ADDRESS
    return parse_public(text) if text else None


def _stun(settings: Settings, trunk: TrunkSettings) -> Address | None:
    """Whom to ask how the trunk sees us. A public address of everybody's goes before a STUN server of everybody's."""
    if trunk.public_address or (settings.sip.public_address and trunk.stun_server is None):
        return None
    return stun_server(settings_of(settings, trunk).stun)


def _register(
    trunk: TrunkSettings, domain: str, proxy: tuple[Uri, ...], gateways: tuple[Uri, ...]
) -> RegisterOptions | None:
    """The registrar is who was named, else the domain; it is asked by way of the proxy, or where it or the trunk is."""
    if not trunk.registers:
        return None
    named = trunk.registrar or trunk.domain
    registrar = parse_place(named, trunk.transport) if named else parse_place(domain)
    return RegisterOptions(
        registrar=registrar,
        goals=proxy or ((registrar,) if trunk.registrar else gateways or (registrar,)),
        user=trunk.user,
        domain=trunk.domain or registrar.host,
        contact_user=trunk.contact_user or trunk.user,
        expires=trunk.register_expires,
        refresh_share=trunk.register_refresh_share,
        retry=trunk.register_retry,
        retry_max=trunk.register_retry_max,
    )


def _identity(trunk: TrunkSettings, domain: str) -> IdentityOptions:
    given = same_names(IdentityOptions, trunk)
    return IdentityOptions(**given | {"from_domain": trunk.from_domain or domain})


def _numbers(settings: Settings, trunk: TrunkSettings) -> NumberOptions:
    given = same_names(NumberOptions, trunk) | {
        "did_from": tuple(DidPlace(place) for place in trunk.did_from),
        "caller_from": tuple(CallerPlace(place) for place in trunk.caller_from),
        "region": trunk.region or settings.queue.region,
    }
    return NumberOptions(**given)


def _inbound(trunk: TrunkSettings, at: int, environ: Mapping[str, str]) -> InboundOptions:
    password = _secret(trunk, at, "inbound_password", environ)
    return InboundOptions(
        accept=Accept(trunk.accept),
        networks=tuple(ipaddress.ip_network(text) for text in trunk.networks),
        domains=trunk.domains,
        users={trunk.inbound_user: password} if trunk.inbound_user and password else {},
        realm=trunk.inbound_realm,
        nonce_lifetime=trunk.nonce_lifetime,
        nonce_uses=trunk.nonce_uses,
    )


def _tls(settings: Settings, trunk: TrunkSettings) -> TrunkTls | None:
    """TLS of its own; None where it is as towards everybody."""
    own, usual = _tls_of(settings_of(settings, trunk).sip), _tls_of(settings.sip)
    return replace(own, server_name=trunk.tls_name) if own != usual or trunk.tls_name else None


def _tls_of(sip: SipSettings) -> TrunkTls:
    return TrunkTls(
        certificate=sip.tls_certificate, key=sip.tls_key, authorities=sip.tls_authorities, checks=sip.tls_checks
    )


# --- passwords ----------------------------------------------------------------------------------------


def _secret(trunk: TrunkSettings, at: int, key: str, environ: Mapping[str, str]) -> str:
    """A password from where the trunk has it; "" for none."""
    said, file, variable = (str(getattr(trunk, name)) for name in (key, f"{key}_file", f"{key}_env"))
    named = label(trunk.name, at)
    if file:
        return _from_file(Path(file), f"{named} {key}_file = {shown(file)}")
    if variable:
        if not environ.get(variable):
            raise SettingsError(
                f"{named} {key}_env = {shown(variable)}: the environment has no such variable, or it is empty; "
                f"set it where vfax is started, or name a file with {key}_file"
            )
        return environ[variable]
    return said


def _from_file(path: Path, what: str) -> str:
    try:
        with path.open("rb") as file:
            octets = file.read(MAX_SECRET)
        first = octets.decode("utf-8").partition("\n")[0].strip()
    except OSError as why:
        raise SettingsError(
            f"{what}: it cannot be read ({why.strerror or why}); put the password on its first line, readable for the "
            "user vfax runs as"
        ) from why
    except UnicodeDecodeError:
        first = ""
    if not first or not first.isprintable():
        raise SettingsError(f"{what}: its first line is empty or no text; put the password there, in UTF-8")
    return first
