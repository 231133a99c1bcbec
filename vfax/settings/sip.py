"""Settings of signalling: the section [sip].

Owns      its fields, and the dialog policy they become. The explanation of a field is its comment in
          config/vfax.example.toml.
Not here  the other sections (model.py), what each becomes (wiring.py), what the values do.
"""

from typing import Final, Literal, Self

from pydantic import Field, model_validator

from vfax.settings.section import Section, same_names
from vfax.settings.trunk_words import Domain, PublicAddress
from vfax.settings.words import (
    Count,
    Line,
    ListenAt,
    Networks,
    Places,
    Seconds,
    parse_listen,
)
from vfax.transports.sip.policy import DialogPolicy, RefreshBy, Refreshes, Reliable, SessionTimers

LOOPBACK_NETWORKS: Final = ("127.0.0.0/8", "::1/128")


class SipSettings(Section):
    """Signalling: where calls come in, from whom, and how long each side may take. Times in seconds."""

    listen: ListenAt = Field(
        default="127.0.0.1:5060",
        description="Numeric address and UDP port to listen on; other than loopback, `allow` must say who may call.",
    )
    listen_also: Places = Field(
        default=(),
        description='Further places, as in "tcp:192.0.2.1:5060", "tls:192.0.2.1:5061", "udp:[2001:db8::1]:5060".',
    )
    tls_certificate: Line = Field(
        default="",
        description="Our certificate with its chain, PEM; needed to listen with TLS. Read anew when it changes.",
    )
    tls_key: Line = Field(default="", description='Its key, PEM, without a password. "": it is in tls_certificate.')
    tls_authorities: Line = Field(
        default="", description='Whose certificates we believe when we call, PEM. "": those of the system.'
    )
    tls_client_authorities: Line = Field(
        default="", description='Callers over TLS must show a certificate of these, PEM. "": they need none.'
    )
    tls_checks: Literal["full", "chain", "none"] = Field(
        default="full",
        description="Of a certificate when we call: issuer, dates and name; all but the name; or nothing at all.",
    )
    allow: Networks = Field(
        default=LOOPBACK_NETWORKS,
        description="Networks whose calls are taken; datagrams from others are dropped and counted.",
    )
    public_address: PublicAddress = Field(
        default="",
        description='Address, or address:port, that peers see. "": that of the socket, or what they say.',
    )
    learn_address: bool = Field(
        default=True, description="Believe a host about where it sees us (received, rport), towards itself alone."
    )
    keep_alive: Literal["auto", "crlf", "off"] = Field(
        default="auto",
        description='Line ends over UDP while a call is up; "auto": where there is a NAT, "crlf": always.',
    )
    keep_alive_interval: Seconds = Field(default=25.0, description="The longest time between two of them.")
    user_agent: Line = Field(default="vfax", description="What we call ourselves in User-Agent and Server.")
    contact_user: Line = Field(default="fax", description="User part of our Contact where the call gives none.")
    domain: Domain = Field(default="", description='Host part of our From. "": the address of the Contact.')
    symmetric: bool = Field(
        default=False, description="Answer where datagrams come from, whatever Via and Contact say (peers behind NAT)."
    )
    answer_timeout: Seconds = Field(default=30.0, description="How long a call may ring here before it hears 480.")
    unanswered_limit: Seconds = Field(default=180.0, description="The same, should nothing here notice the call.")
    ring_limit: Seconds = Field(default=180.0, description="How long our call may ring there before it is cancelled.")
    offer_limit: Seconds = Field(default=40.0, description="How long our re-INVITE may stay without a final answer.")
    reoffer_limit: Seconds = Field(default=25.0, description="How long a re-INVITE of theirs may wait for ours.")
    failover_after: Seconds = Field(
        default=6.0, description="How long an address may stay silent before the next one of several is called."
    )
    session_timer: Literal["off", "accept", "ask"] = Field(
        default="accept",
        description="Calls that end unless they are refreshed (RFC 4028): never, where others want them, or always.",
    )
    session_expires: int = Field(default=1_800, ge=90, le=86_400, description="The interval that we ask for.")
    min_se: int = Field(default=90, ge=90, le=86_400, description="Shorter intervals are answered 422.")
    refresher: Literal["auto", "us", "peer"] = Field(
        default="auto", description="Which side shall refresh, where that is ours to choose."
    )
    refresh_by: Literal["auto", "update", "invite"] = Field(
        default="auto", description='How we refresh. "auto": UPDATE where the other side takes it, else re-INVITE.'
    )
    reliable: Literal["off", "accept", "prefer", "require"] = Field(
        default="accept",
        description="Ringing that is acknowledged (100rel): never, where others want it, wherever they can, always.",
    )
    max_redirects: int = Field(
        default=0, ge=0, le=20, description="Other addresses (3xx) that a call may be sent on to; 0: it has failed."
    )
    goodbye: Seconds = Field(
        default=1.0, description="How long vfax waits for the other sides to hear that it ends their calls, at its end."
    )
    t1: Seconds = Field(default=0.5, description="SIP timer T1: estimate of the round trip.")
    t2: Seconds = Field(default=4.0, description="SIP timer T2: longest pause between repeats.")
    t4: Seconds = Field(default=5.0, description="SIP timer T4: how long a message may stay in the network.")
    max_calls: Count = Field(default=400, description="Calls at once; the next one hears 503.")
    max_calls_per_source: Count = Field(
        default=400, description="Calls at once from one host (a trunk is one); the next hears 503."
    )
    max_transactions: Count = Field(
        default=10_000, description="SIP transactions at once (a call leaves two for 32 s); the next one hears 503."
    )
    retry_after: int = Field(default=10, ge=0, le=3_600, description="What a 503 asks the caller to wait.")
    max_connections: Count = Field(default=200, description="TCP and TLS connections at once, ours and theirs.")
    max_connections_per_source: Count = Field(default=50, description="Such connections that one host may have made.")
    max_handshakes: Count = Field(default=40, description="TLS connections at once that are not agreed yet.")
    connect_limit: Seconds = Field(default=5.0, description="How long a connection of ours may take to be made.")
    handshake_limit: Seconds = Field(default=5.0, description="How long TLS may take on a connection that came in.")
    message_limit: Seconds = Field(
        default=20.0, description="A message that has begun on a connection is whole by then, or the connection ends."
    )
    idle_limit: Seconds = Field(default=900.0, description="A silent connection that no call needs ends after this.")
    ping_interval: Seconds = Field(
        default=110.0, description="Silence after which a connection of ours is asked whether it lives (CRLF)."
    )
    max_unsent: int = Field(
        default=262_144, ge=65_536, le=16_777_216, description="Octets that may wait for a peer who does not read."
    )
    max_message: int = Field(default=65_535, ge=1_500, le=65_535, description="Octets of one SIP message.")
    max_head: int = Field(default=32_768, ge=1_024, le=65_535, description="Octets of start line and header fields.")
    max_header_line: int = Field(
        default=8_192,
        ge=256,
        le=65_535,
        description="Octets of the first line; of one header field, unfolded; of a list (Via, Contact) in all.",
    )
    max_headers: int = Field(default=256, ge=20, le=10_000, description="Header fields of one message.")

    @model_validator(mode="after")
    def _asks_for_what_it_takes(self) -> Self:
        if self.session_expires < self.min_se:
            raise ValueError(
                f"session_expires = {self.session_expires}: expected at least min_se = {self.min_se}, which we take"
            )
        return self

    @model_validator(mode="after")
    def _certificate_for_tls(self) -> Self:
        for place in (self.listen, *self.listen_also):
            if parse_listen(place)[0] == "TLS" and not self.tls_certificate:
                raise ValueError(f'"{place}" is to be listened on with TLS: give tls_certificate, a file in PEM')
        return self


def dialog_policy(section: SipSettings) -> DialogPolicy:
    """Session timers and their kin, where a trunk has none of its own."""
    words = {
        "session_timer": SessionTimers(section.session_timer),
        "refresher": Refreshes(section.refresher),
        "refresh_by": RefreshBy(section.refresh_by),
        "reliable": Reliable(section.reliable),
    }
    return DialogPolicy(**same_names(DialogPolicy, section) | words)
