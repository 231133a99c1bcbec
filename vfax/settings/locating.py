"""Settings of finding the peer and of what stands between: the sections [dns] and [stun].

Owns      their fields. The explanation of a field is its comment in config/vfax.example.toml.
Not here  what they become (reaching.py), what the values do (resolving.py, nat.py), [sip] and its public address
          (sip.py).
"""

from typing import Annotated

from pydantic import AfterValidator, Field

from vfax.settings.section import Section
from vfax.settings.trunk_words import ServerOrEmpty, parse_public
from vfax.settings.words import Count, Seconds


def _place(text: str) -> str:
    parse_public(text)
    return text


Few = Annotated[int, Field(ge=1, le=1_000)]
Servers = Annotated[tuple[Annotated[str, AfterValidator(_place)], ...], Field(strict=False, max_length=8)]
SecondsOrNone = Annotated[float, Field(ge=0, le=86400, allow_inf_nan=False)]


class DnsSettings(Section):
    """Finding the peer by its name (RFC 3263). Times in seconds."""

    servers: Servers = Field(
        default=(), description='DNS servers, as in ["192.0.2.53", "192.0.2.54:5353"]; []: those of this machine.'
    )
    hosts_file: bool = Field(default=True, description="Names in the hosts file of this machine are not asked for.")
    naptr: bool = Field(default=True, description="Ask for NAPTR records: which transport the other side prefers.")
    srv: bool = Field(default=True, description="Ask for SRV records: hosts and ports, with others to fall back on.")
    timeout: Seconds = Field(default=2.0, description="How long one server may take for one answer.")
    attempts: Few = Field(default=2, description="How often the list of servers is gone through.")
    lifetime: Seconds = Field(default=8.0, description="How long finding one peer may take altogether.")
    min_ttl: SecondsOrNone = Field(default=5.0, description="How long an answer is kept at the least.")
    max_ttl: SecondsOrNone = Field(default=3600.0, description="How long an answer is kept at the most.")
    negative_ttl: SecondsOrNone = Field(default=30.0, description="How long it is kept, at the most, that nothing is.")
    failure_ttl: SecondsOrNone = Field(default=5.0, description="How long a question that failed is not asked again.")
    max_cached: Count = Field(default=1_000, description="Answers kept.")
    max_records: Few = Field(default=64, description="Records of one answer that are read.")
    max_services: Few = Field(default=16, description="SRV records of one name that are followed.")
    max_addresses: Few = Field(default=8, description="Addresses of one host that are used.")
    max_targets: Few = Field(default=8, description="Addresses and ports of one gateway that are tried.")
    max_questions: Few = Field(default=60, description="Questions asked to find one peer.")
    max_aliases: Few = Field(default=8, description="Aliases (CNAME) followed from one answer to the next.")
    passed_over_for: SecondsOrNone = Field(
        default=60.0, description="How long an address that was silent or cannot be reached is passed over; 0: never."
    )
    max_passed_over: SecondsOrNone = Field(default=600.0, description="The most that a Retry-After of 503 is obeyed.")
    max_listed: Count = Field(default=1_000, description="Addresses that are remembered for that.")


class StunSettings(Section):
    """Asking a STUN server (RFC 8489) how others see us, where no public_address says it. Times in seconds."""

    server: ServerOrEmpty = Field(
        default="", description='STUN server, as in "stun.example.com:3478". "": STUN is not used.'
    )
    interval: SecondsOrNone = Field(default=300.0, description="How often it is asked about the SIP socket; 0: once.")
    rto: Seconds = Field(default=0.5, description="Until a request is repeated the first time; doubles.")
    requests: Few = Field(default=7, description="How often a request is sent before it is given up.")
    last_wait: Few = Field(default=16, description="How many times rto the answer to the last one is awaited.")
    media_limit: Seconds = Field(default=2.0, description="How long a call waits for the answer about its media port.")
