"""What an endpoint is told at its start, and what it counts.

Owns      `EndpointOptions`, `Counters`.
Not here  the endpoint (endpoint.py), where the values come from (settings/wiring.py).
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from vfax.capture import CaptureOptions
from vfax.disk import Disk
from vfax.learning import LearningOptions
from vfax.leg import LegOptions
from vfax.nat import NatOptions
from vfax.record import RecordOptions
from vfax.resolving import DnsOptions
from vfax.sockets import Listen
from vfax.transports.certificates import TlsOptions
from vfax.transports.dtls import DtlsOptions
from vfax.transports.sip.options import SipOptions
from vfax.transports.sip.sieve import SieveOptions
from vfax.transports.sip.values import Address
from vfax.transports.sip_connection import StreamOptions
from vfax.trunks.options import TrunkOptions

DEFAULT_PLACE: Final = Listen("127.0.0.1", 5060)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointOptions:
    """Where the endpoint listens, who may call, and the policy of its calls.

    `listen` is the first place, UDP where it names no transport; `listen_also` are the others. `allow` are the networks
    whose messages are read at all; hosts that we call are added while the call lasts.
    `media_ports` is an inclusive range, or None for any free even port. `public_address` stands in Contact and SDP when
    the machine's own address is not what peers see; `public_port` in Contact alone, 0 for the socket's.
    `abuse_log` is the file for nuisances, None for standard error.
    `learned` is the file of what peers taught. One that is not `resident` is there for one call: it registers nothing,
    probes nothing, and does not write that file.
    """

    listen: Address | Listen = DEFAULT_PLACE
    listen_also: tuple[Listen, ...] = ()
    tls: TlsOptions = field(default_factory=TlsOptions)
    streams: StreamOptions = field(default_factory=StreamOptions)
    allow: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    public_address: str | None = None
    public_port: int = 0
    media_ports: tuple[int, int] | None = None
    journal: Path | None = None
    record: RecordOptions = field(default_factory=RecordOptions)
    capture: CaptureOptions = field(default_factory=CaptureOptions)
    sip: SipOptions = field(default_factory=SipOptions)
    leg: LegOptions = field(default_factory=LegOptions)
    trunks: tuple[TrunkOptions, ...] = ()
    learning: LearningOptions = field(default_factory=LearningOptions)
    learned: Path | None = None
    resident: bool = True
    dns: DnsOptions = field(default_factory=DnsOptions)
    nat: NatOptions = field(default_factory=NatOptions)
    dtls: DtlsOptions = field(default_factory=DtlsOptions)
    sieve: SieveOptions = field(default_factory=SieveOptions)
    abuse_log: Path | None = None
    goodbye: float = 1.0  # Limit: seconds that the other sides have to hear that their calls end, when this one ends
    disk: Disk = field(default_factory=Disk)


def sip_options(options: EndpointOptions) -> SipOptions:
    """Those of the agent: what the settings name wins over what others see."""
    return options.sip if options.public_address is None else replace(options.sip, learn_address=False)


def nat_options(options: EndpointOptions) -> NatOptions:
    """Likewise, over what a STUN server sees."""
    return options.nat if options.public_address is None else replace(options.nat, stun_server=None)


@dataclass(slots=True)
class Counters:
    """What the endpoint dropped, and why."""

    not_allowed: int = 0  # messages from networks that may not call
    not_proved: int = 0  # calls with a wrong user or password
    not_sip: int = 0  # messages the agent could not use
    bugs: int = 0  # messages and timers that a fault of ours lost, calls that one ended
    faults: int = 0  # the first two alone

    def add_fault(self) -> bool:
        """Count a message or timer that a fault of ours lost. Whether it is the first."""
        self.bugs += 1
        self.faults += 1
        return self.faults == 1
