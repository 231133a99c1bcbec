"""What the owner chooses for one trunk.

Owns      `TrunkOptions` and its parts: values, no behaviour beyond what follows from them alone.
Not here  where they are read from (settings/trunks.py), what is done with them (book, identity, limits, board).

Times in seconds. Secrets are left out of every repr.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from vfax.leg_values import LegOptions
from vfax.transports.sip.headers import Uri
from vfax.transports.sip.keepalive import KeepAliveOptions
from vfax.transports.sip.keyring import Credentials
from vfax.transports.sip.policy import DialogPolicy
from vfax.transports.sip.probing import ProbeOptions
from vfax.transports.sip.values import Address
from vfax.trunks.naming import CALLER

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


OWN_ADDRESS: Final[Address] = ("", 0)
"""As `public_address`: the trunk is told the address of our socket, whatever everybody else is told."""


class Accept(StrEnum):
    """By what the calls of a trunk are known to be its own."""

    NETWORK = "network"  # they come from its networks or gateways
    DIGEST = "digest"  # they answer our challenge
    OPEN = "open"  # anybody in its networks, unasked


class DidPlace(StrEnum):
    """Where the number that was dialled stands in an INVITE."""

    REQUEST_URI = "request-uri"
    TO = "to"
    P_CALLED_PARTY_ID = "p-called-party-id"  # RFC 7315 4.2
    DIVERSION = "diversion"  # RFC 5806: the first of them all, the last in the list
    HISTORY_INFO = "history-info"  # RFC 7044: the first of them all


class CallerPlace(StrEnum):
    """Where the caller's number stands in an INVITE."""

    P_ASSERTED_IDENTITY = "p-asserted-identity"  # RFC 3325
    P_PREFERRED_IDENTITY = "p-preferred-identity"
    REMOTE_PARTY_ID = "remote-party-id"
    FROM = "from"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterOptions:
    """Where and as whom we register; `refresh_share` of the granted time later again, after failures with a pause.

    `registrar` is who is asked, `goals` is where that is sent.
    """

    registrar: Uri
    goals: tuple[Uri, ...] = ()
    user: str
    domain: str
    contact_user: str
    expires: int = 3_600
    refresh_share: float = 0.8
    retry: float = 30.0
    retry_max: float = 1_800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityOptions:
    """Who we say we are: each text is fixed, or has CALLER in it; "" leaves a header field out.

    `from_name` "" is the name of the job's sender, `from_domain` "" the trunk's domain.
    """

    from_user: str = CALLER
    from_name: str = ""
    from_domain: str = ""
    p_asserted_identity: str = ""
    p_preferred_identity: str = ""
    remote_party_id: str = ""
    diversion: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberOptions:
    """How numbers are written to the trunk, and read from it. Formats: "" as it is, else {e164} {digits} {national}.

    `region` (ISO 3166) is the country of numbers without a country code. The first of the places that holds a number
    counts.
    """

    dial_format: str = ""
    caller_format: str = ""
    did_format: str = ""
    did_from: tuple[DidPlace, ...] = (DidPlace.REQUEST_URI,)
    caller_from: tuple[CallerPlace, ...] = (CallerPlace.P_ASSERTED_IDENTITY, CallerPlace.FROM)
    region: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundOptions:
    """Which calls are this trunk's: from `networks` and its gateways, by digest, or to its `domains`.

    `users` are those who may call by digest, with their passwords.
    """

    accept: Accept = Accept.NETWORK
    networks: tuple[IpNetwork, ...] = ()
    domains: tuple[str, ...] = ()
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    realm: str = "vfax"
    nonce_lifetime: float = 300.0
    nonce_uses: int = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TrunkTls:
    """TLS towards the trunk where it is another than towards everybody: paths of PEM files, "" for none.

    `checks` is one of `transports.certificates.Checks`; `server_name` "" is the name that was called.
    """

    certificate: str = ""
    key: str = ""
    authorities: str = ""
    checks: str = "full"
    server_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitOptions:
    """What the trunk takes: calls at once (0: any number), calls a second with so many at once (0.0: any number).

    An outgoing call waits up to `queue_for` for its turn.
    """

    max_calls: int = 0
    calls_per_second: float = 0.0
    burst: int = 1
    queue_for: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrunkOptions:
    """One trunk. `leg` is the whole policy of its calls: the global one with what this trunk has of its own."""

    name: str
    enabled: bool = True
    gateways: tuple[Uri, ...] = ()
    outbound_proxy: Uri | None = None
    route: tuple[Uri, ...] = ()
    domain: str = ""
    transport: str = ""
    tls: TrunkTls | None = None  # as towards everybody
    public_address: Address | None = None  # port 0: that of the socket; OWN_ADDRESS
    learn_address: bool = True
    stun_server: Address | None = None  # its name or address, and port; None: what STUN says is nothing to this trunk
    keep_alive: KeepAliveOptions = field(default_factory=KeepAliveOptions)
    credentials: Credentials | None = None  # what answers challenges
    md5: bool = True  # those that know MD5 alone, too
    register: RegisterOptions | None = None
    probe: ProbeOptions = field(default_factory=ProbeOptions)  # interval 0: none
    identity: IdentityOptions = field(default_factory=IdentityOptions)
    numbers: NumberOptions = field(default_factory=NumberOptions)
    inbound: InboundOptions = field(default_factory=InboundOptions)
    dialogs: DialogPolicy = field(default_factory=DialogPolicy)
    limits: LimitOptions = field(default_factory=LimitOptions)
    learn: bool = True  # from its calls, and heed what was learned
    leg: LegOptions = field(default_factory=LegOptions)

    @property
    def goals(self) -> tuple[Uri, ...]:
        """Where requests are sent, in order of preference."""
        if self.outbound_proxy is not None:
            return (self.outbound_proxy,)
        return self.route[:1] or self.gateways
