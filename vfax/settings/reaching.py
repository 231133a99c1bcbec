"""From settings to what finds the other side: DNS, what stands between, what calls have taught.

Owns      which setting becomes which option. Not here: the settings (locating.py, learning.py): a command that only
          reads them must not load what carries calls.
"""

from typing import Final

from vfax.learning import LearningOptions
from vfax.nat import STUN_PORT, NatOptions
from vfax.resolving import DnsOptions
from vfax.settings.learning import LearningSettings
from vfax.settings.locating import DnsSettings, StunSettings
from vfax.settings.section import same_names
from vfax.settings.sip import SipSettings
from vfax.settings.trunk_words import parse_public, parse_server
from vfax.transports.sip.blacklist import BlacklistOptions
from vfax.transports.sip.keepalive import KeepAliveMode, KeepAliveOptions
from vfax.transports.sip.locate import LocateOptions
from vfax.transports.sip.records import CacheOptions
from vfax.transports.sip.values import Address
from vfax.transports.stun_client import StunOptions

DNS_PORT: Final = 53


def dns_options(dns: DnsSettings) -> DnsOptions:
    """How names are asked for."""
    servers = [parse_public(text) for text in dns.servers]
    given = same_names(DnsOptions, dns) | {
        "servers": tuple((host, port or DNS_PORT) for host, port in servers),
        "locate": LocateOptions(**same_names(LocateOptions, dns), cache=CacheOptions(**same_names(CacheOptions, dns))),
        "blacklist": BlacklistOptions(**same_names(BlacklistOptions, dns)),
    }
    return DnsOptions(**given)


def stun_server(stun: StunSettings) -> Address | None:
    """The STUN server's name or address, and port; None for none."""
    return parse_server(stun.server, STUN_PORT) if stun.server else None


def keep_alive_options(sip: SipSettings) -> KeepAliveOptions:
    """How ways of SIP are kept open."""
    return KeepAliveOptions(mode=KeepAliveMode(sip.keep_alive), interval=sip.keep_alive_interval)


def nat_options(stun: StunSettings, sip: SipSettings) -> NatOptions:
    """What is done about a NAT."""
    return NatOptions(
        keep_alive=keep_alive_options(sip),
        stun_server=stun_server(stun),
        stun=StunOptions(**same_names(StunOptions, stun), software=sip.user_agent),
        stun_media_limit=stun.media_limit,
    )


def learning_options(settings: LearningSettings) -> LearningOptions:
    """What is remembered, and for how long."""
    return LearningOptions(**settings.model_dump())
