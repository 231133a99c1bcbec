"""Settings of trunks: the tables [[trunk]], each a carrier, a PBX or an SBC that calls go through.

Owns      the keys of a trunk, what of them cannot be meant together, which keys stand for one of another section.
Not here  reading them (reading.py), what each becomes (trunking.py), what the values do (vfax/trunks).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, ValidationError, model_validator

from vfax.settings.section import Section
from vfax.settings.trunk_words import (
    Domain,
    Domains,
    IdentityText,
    NumberFormat,
    PlaceOrEmpty,
    Places,
    Region,
    Secret,
    TrunkAddress,
    TrunkName,
    UserName,
    VariableName,
    parse_place,
)
from vfax.settings.words import Line, Networks, OrElse, Seconds, shown, table_label

TRUNK: Final = "trunk"
DidPlaces = Annotated[
    tuple[Literal["request-uri", "to", "p-called-party-id", "diversion", "history-info"], ...],
    Field(strict=False, min_length=1, max_length=5),
]
CallerPlaces = Annotated[
    tuple[Literal["p-asserted-identity", "p-preferred-identity", "remote-party-id", "from"], ...],
    Field(strict=False, min_length=1, max_length=4),
]
Words = Annotated[tuple[str, ...], Field(strict=False)]

OVERRIDES: Final[dict[str, tuple[str, str]]] = {
    "caller_offer": ("media", "caller_offer"),
    "caller_retries_audio": ("media", "caller_retries_audio"),
    "switch_by": ("media", "switch_by"),
    "called_switch_after": ("media", "called_switch_after"),
    "caller_switch_after": ("media", "caller_switch_after"),
    "refused_grace": ("media", "refused_grace"),
    "audio_codecs": ("media", "audio_codecs"),
    "learn_source": ("media", "learn_source"),
    "tcp": ("media", "tcp"),
    "dtls": ("media", "dtls"),
    "session_timer": ("sip", "session_timer"),
    "session_expires": ("sip", "session_expires"),
    "min_se": ("sip", "min_se"),
    "refresher": ("sip", "refresher"),
    "refresh_by": ("sip", "refresh_by"),
    "reliable": ("sip", "reliable"),
    "max_redirects": ("sip", "max_redirects"),
    "tls_certificate": ("sip", "tls_certificate"),
    "tls_key": ("sip", "tls_key"),
    "tls_authorities": ("sip", "tls_authorities"),
    "tls_checks": ("sip", "tls_checks"),
    "version": ("t38", "version"),
    "max_bit_rate": ("t38", "max_bit_rate"),
    "max_datagram": ("t38", "max_datagram"),
    "error_correction": ("t38", "error_correction"),
    "control_redundancy": ("t38", "control_redundancy"),
    "image_redundancy": ("t38", "image_redundancy"),
    "send_fec": ("t38", "send_fec"),
    "max_datagram_sent": ("t38", "max_datagram_sent"),
    "udptl_keep_alive": ("t38", "keep_alive"),
    "sip_keep_alive": ("sip", "keep_alive"),
    "sip_keep_alive_interval": ("sip", "keep_alive_interval"),
    "stun_server": ("stun", "server"),
    "ecm": ("fax", "ecm"),
    "max_rate": ("fax", "max_rate"),
    "min_rate": ("fax", "min_rate"),
    "send_codings": ("fax", "send_codings"),
    "receive_codings": ("fax", "receive_codings"),
}
"""Keys of a trunk that stand in the place of one of another section; left out, that one holds."""
SECTIONS: Final = ("sip", "media", "t38", "fax", "stun")


def _instead(description: str) -> Any:  # noqa: ANN401  # as pydantic's Field
    return Field(default=None, description=description)


class TrunkSettings(Section):
    """A carrier, PBX or SBC that calls go through: a table for each. Times in seconds."""

    name: TrunkName = Field(
        default="example", description="Name of the trunk, each once: sip:NUMBER@NAME goes through it, in `dial` too."
    )
    enabled: bool = Field(default=True, description="Take and make its calls.")

    gateways: Places = Field(
        default=(),
        description="Where it is, the best first: hosts, host:port or SIP URIs. The next is tried when one fails.",
    )
    transport: Literal["", "udp", "tcp", "tls"] = Field(
        default="", description='How to reach those that name no transport. "": by the DNS, else UDP.'
    )
    outbound_proxy: PlaceOrEmpty = Field(
        default="", description='Send all requests here, whatever the gateways are. "": to the gateways.'
    )
    route: Places = Field(default=(), description="Proxies that requests have to visit (preloaded Route), in order.")
    domain: Domain = Field(
        default="", description='Host part of what we dial and of From. "": the host of the first gateway.'
    )
    public_address: TrunkAddress = Field(
        default="",
        description='Address, or address:port, where this trunk sees us; "own": that of our socket, as within a LAN. '
        '"": [sip] public_address.',
    )
    learn_address: bool = Field(
        default=True, description="Believe the trunk's answers about where it sees us (received, rport)."
    )
    tls_name: Line = Field(default="", description='Name its certificate must have. "": that of the gateway.')

    registers: bool = Field(default=False, description="Register there, so that calls find us.")
    registrar: PlaceOrEmpty = Field(default="", description='Where to register. "": at the domain or first gateway.')
    user: UserName = Field(default="", description="Our account there: user part of the address that is registered.")
    auth_user: UserName = Field(default="", description='User name for passwords. "": that of `user`.')
    password: Secret = Field(default="", repr=False, description="Password; better in a file or variable of its own.")
    password_file: Line = Field(default="", description="File whose first line is the password.")
    password_env: VariableName = Field(default="", description="Environment variable that holds the password.")
    realm: Line = Field(default="", description='Realm to tell the password to. "": whichever asks.')
    md5: bool = Field(default=True, description="Answer challenges that know MD5 alone.")
    contact_user: UserName = Field(default="", description='User part of our Contact. "": that of `user`.')
    register_expires: int = Field(default=3_600, ge=60, le=86_400, description="How long a registration is to last.")
    register_refresh_share: float = Field(
        default=0.8, ge=0.1, le=0.95, description="Register again after so much of the time that was granted."
    )
    register_retry: Seconds = Field(default=30.0, description="After a failure, try again so much later; doubled.")
    register_retry_max: Seconds = Field(default=1_800.0, description="The longest such pause.")
    options_interval: OrElse = Field(default=60.0, description="Ask every gateway whether it lives (OPTIONS). 0: no.")
    options_failures: int = Field(default=2, ge=1, le=100, description="Failures in a row that make a gateway bad.")
    options_successes: int = Field(default=1, ge=1, le=100, description="Answers in a row that make it good again.")

    from_user: IdentityText = Field(
        default="{caller}",
        description='Who calls (From): {caller} is the sender\'s number of the fax, else a fixed one. "": `user`.',
    )
    from_name: Line = Field(default="", description='Display name in From. "": the sender\'s name.')
    from_domain: Domain = Field(default="", description='Host part of From. "": `domain`.')
    p_asserted_identity: IdentityText = Field(
        default="", description='P-Asserted-Identity: "{caller}", a number, user@domain or a URI. "": none.'
    )
    p_preferred_identity: IdentityText = Field(default="", description="P-Preferred-Identity, likewise.")
    remote_party_id: IdentityText = Field(default="", description="Remote-Party-ID, likewise.")
    diversion: IdentityText = Field(default="", description="Diversion, likewise.")
    dial_format: NumberFormat = Field(
        default="", description='How it wants numbers: "{e164}", "{digits}", "00{digits}", "0{national}". "": as given.'
    )
    caller_format: NumberFormat = Field(default="", description="The same of {caller}.")
    did_from: DidPlaces = Field(
        default=("request-uri",),
        description="Where the number that was dialled stands, the first that has one: request-uri, to, "
        "p-called-party-id, diversion, history-info.",
    )
    caller_from: CallerPlaces = Field(
        default=("p-asserted-identity", "from"),
        description="Where the caller's number stands: p-asserted-identity, p-preferred-identity, remote-party-id, "
        "from.",
    )
    did_format: NumberFormat = Field(default="", description='How we write both. "": as they come.')
    region: Region = Field(default="", description='Country of numbers without a country code. "": [queue] region.')

    accept: Literal["network", "digest", "open"] = Field(
        default="network",
        description="Calls are taken from its gateways and `networks`, by password (digest), or from anybody there.",
    )
    networks: Networks = Field(default=(), description="Networks its calls come from besides its gateways.")
    domains: Domains = Field(default=(), description="Domains by which its calls are told from others of one host.")
    inbound_user: UserName = Field(default="", description="accept = digest: the user name that callers give.")
    inbound_password: Secret = Field(default="", repr=False, description="The password of that user.")
    inbound_password_file: Line = Field(default="", description="File whose first line is that password.")
    inbound_password_env: VariableName = Field(default="", description="Environment variable that holds it.")
    inbound_realm: Line = Field(default="vfax", min_length=1, description="Realm of our challenges.")
    nonce_lifetime: Seconds = Field(default=300.0, description="How long an answer to a challenge is good.")
    nonce_uses: int = Field(default=10_000, ge=1, le=1_000_000, description="How often one may be used.")

    max_calls: int = Field(default=0, ge=0, le=1_000_000, description="Calls at once, both directions. 0: no limit.")
    calls_per_second: float = Field(
        default=0.0, ge=0, le=10_000, allow_inf_nan=False, description="New calls a second. 0: no limit."
    )
    burst: int = Field(default=1, ge=1, le=10_000, description="So many of them may come at once.")
    queue_for: OrElse = Field(default=5.0, description="How long a call of ours waits for its turn.")

    check_number: Line = Field(
        default="", description="What vfax check-trunk calls: your own number, where calls come back, or a fax test."
    )
    learn: bool = Field(default=True, description="Learn from its calls, and let the next ones be the better for it.")

    caller_offer: str | None = _instead("Calling: T.38 at once, or audio first.")
    caller_retries_audio: bool | None = _instead("Calling: dial again with audio where T.38 was refused.")
    switch_by: str | None = _instead("Who sends the re-INVITE to T.38.")
    called_switch_after: float | None = _instead("Called with audio: until we offer T.38.")
    caller_switch_after: float | None = _instead("Calling with audio: how long their offer is awaited.")
    refused_grace: float | None = _instead("After a refused offer of T.38: how long theirs may come.")
    audio_codecs: Words | None = _instead("Audio before T.38, the best first.")
    learn_source: bool | None = _instead("Take media from a host the SDP does not name, learned once.")
    tcp: str | None = _instead("T.38 over TCP.")
    dtls: str | None = _instead("T.38 over DTLS: never, where they offer it, where they can, or no fax without.")
    sip_keep_alive: str | None = _instead(
        "Line ends over UDP: while registered, and in calls through NAT (auto), always (crlf), never (off)."
    )
    sip_keep_alive_interval: float | None = _instead("The longest time between two of them.")
    stun_server: str | None = _instead('STUN server that shows how this trunk sees us; "": none.')
    session_timer: str | None = _instead("Session timers.")
    session_expires: int | None = _instead("The interval that we ask for.")
    min_se: int | None = _instead("The shortest interval that we take.")
    refresher: str | None = _instead("Who refreshes where we may choose.")
    refresh_by: str | None = _instead("By which request.")
    reliable: str | None = _instead("Reliable provisional answers (100rel).")
    max_redirects: int | None = _instead("Other addresses (3xx) that one call may try.")
    tls_certificate: Line | None = _instead("Our certificate.")
    tls_key: Line | None = _instead("Its key.")
    tls_authorities: Line | None = _instead("Whose certificates we believe.")
    tls_checks: str | None = _instead("What is checked of its certificate.")
    version: int | None = _instead("T38FaxVersion to offer.")
    max_bit_rate: int | None = _instead("T38MaxBitRate to offer.")
    max_datagram: int | None = _instead("T38FaxMaxDatagram to announce.")
    max_datagram_sent: int | None = _instead("Octets of a datagram that we send.")
    error_correction: str | None = _instead("T38FaxUdpEC to offer.")
    control_redundancy: int | None = _instead("Earlier packets repeated with V.21 signals.")
    image_redundancy: int | None = _instead("Earlier packets repeated with page data.")
    send_fec: bool | None = _instead("Send parity where FEC was agreed.")
    udptl_keep_alive: float | None = _instead("After so much silence of ours, one no-signal packet.")
    ecm: bool | None = _instead("Error correction mode.")
    max_rate: int | None = _instead("Fastest modulation.")
    min_rate: int | None = _instead("Slowest modulation.")
    send_codings: Words | None = _instead("Page codings to send with.")
    receive_codings: Words | None = _instead("Page codings we take.")

    @model_validator(mode="after")
    def _can_be_meant(self) -> Self:
        for wrong, words in PUZZLES:
            if wrong(self):
                raise ValueError(words)
        return self

    def own(self, section: str) -> dict[str, object]:
        """What this trunk has in the place of keys of `section`."""
        chosen = {theirs: getattr(self, ours) for ours, (named, theirs) in OVERRIDES.items() if named == section}
        return {key: value for key, value in chosen.items() if value is not None}


def _given(*values: str) -> int:
    return sum(bool(value) for value in values)


PUZZLES: Final[tuple[tuple[Callable[[TrunkSettings], object], str], ...]] = (
    (
        lambda t: not (t.gateways or t.outbound_proxy or t.route or t.registrar or t.networks),
        'it names no place at all: give gateways = ["pbx.example.com"], or networks its calls come from',
    ),
    (lambda t: t.registers and not t.user, 'registers = true needs to know whom: give user = "your account"'),
    (
        lambda t: t.registers and not (t.registrar or t.gateways or t.outbound_proxy or t.route),
        'registers = true needs to know where: give registrar = "pbx.example.com", or gateways',
    ),
    (lambda t: t.registrar and not t.registers, "registrar is of use with registers = true alone: set that, too"),
    (
        lambda t: _given(t.password, t.password_file, t.password_env) > 1,
        "password, password_file and password_env are three ways to say one thing: give one of them",
    ),
    (
        lambda t: _given(t.password, t.password_file, t.password_env) and not (t.auth_user or t.user),
        "a password without a user: give user, or auth_user",
    ),
    (
        lambda t: _given(t.inbound_password, t.inbound_password_file, t.inbound_password_env) > 1,
        "inbound_password, inbound_password_file and inbound_password_env are three ways to say one thing: give one",
    ),
    (
        lambda t: (
            t.accept == "digest"
            and not (t.inbound_user and _given(t.inbound_password, t.inbound_password_file, t.inbound_password_env))
        ),
        'accept = "digest" needs inbound_user and inbound_password_file (or inbound_password, inbound_password_env)',
    ),
    (
        lambda t: (
            t.accept != "digest"
            and _given(t.inbound_user, t.inbound_password, t.inbound_password_file, t.inbound_password_env)
        ),
        'inbound_user and its password are of use with accept = "digest" alone: set that, or leave them out',
    ),
    (
        lambda t: t.accept != "network" and not t.networks,
        'accept other than "network" needs networks that may try: networks = ["192.0.2.0/24"], or "0.0.0.0/0" and '
        '"::/0" for anybody',
    ),
    (
        lambda t: t.register_retry > t.register_retry_max,
        "register_retry is longer than register_retry_max: it is the first pause, and the other the longest",
    ),
)
"""What cannot be meant together, and what to do about it."""


def label(name: object, at: int) -> str:
    """How messages name a trunk; `at` counts from 0."""
    return table_label(TRUNK, name, at)


def overridden(section: Section, own: Mapping[str, object]) -> Section:
    """The section with what a trunk has of its own. Raises ValidationError for values that the section would refuse."""
    return type(section).model_validate({**dict(section), **own}) if own else section


def check_trunks(trunks: Sequence[TrunkSettings], sections: Mapping[str, Section]) -> None:
    """What one trunk alone cannot tell. Raises ValueError naming the trunk, the key and its value."""
    seen: dict[str, int] = {}
    users: dict[str, int] = {}
    for at, trunk in enumerate(trunks):
        before = seen.setdefault(trunk.name.lower(), at)
        if before != at:
            raise ValueError(f"{label(trunk.name, at)} name: {label('', before)} has it already: give each its own")
        before = users.setdefault(trunk.inbound_user, at) if trunk.inbound_user else at
        if before != at:
            other = label(trunks[before].name, before)
            who = f"{label(trunk.name, at)} inbound_user = {shown(trunk.inbound_user)}"
            raise ValueError(f"{who}: {other} has it already, and calls are told apart by it: give each its own")
        for name, section in sections.items():
            try:
                overridden(section, trunk.own(name))
            except ValidationError as why:
                raise ValueError(f"{label(trunk.name, at)} {_wrong(why, name)}") from None
    _check_tls(trunks)


def _check_tls(trunks: Sequence[TrunkSettings]) -> None:
    """A host has one set of certificates: else what one trunk does not check would hold for another."""
    seen: dict[str, int] = {}
    for at, trunk in enumerate(trunks):
        own = _own_tls(trunk)
        named = (*trunk.gateways, trunk.outbound_proxy, *trunk.route, trunk.registrar)
        for host in {parse_place(text).host.lower() for text in named if text and trunk.enabled and any(own)}:
            before = seen.setdefault(host, at)
            if own != _own_tls(trunks[before]):
                other = label(trunks[before].name, before)
                raise ValueError(
                    f"{label(trunk.name, at)} tls_name, tls_certificate, tls_key, tls_authorities, tls_checks: "
                    f"{other} has others for the host {host}: give both the same"
                )


def _own_tls(trunk: TrunkSettings) -> tuple[str | None, ...]:
    return trunk.tls_name, trunk.tls_certificate, trunk.tls_key, trunk.tls_authorities, trunk.tls_checks


def _wrong(why: ValidationError, section: str) -> str:
    first = why.errors(include_url=False)[0]
    words = first["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
    theirs = str(first["loc"][0]) if first["loc"] else ""
    ours = next((key for key, place in OVERRIDES.items() if place == (section, theirs)), theirs)
    value = first["input"]
    return f"{ours} = {shown(value)}: {words}" if ours else words
