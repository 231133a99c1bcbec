"""All settings with their defaults, bounds and explanations.

Owns      the sections. The explanation of a field is its comment in config/vfax.example.toml.
Not here  reading them (reading.py), what each becomes (wiring.py), what the values do.
"""

import ipaddress
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from vfax.settings.abuse import AbuseSettings
from vfax.settings.clients import ClientSettings
from vfax.settings.dtls import DtlsSettings
from vfax.settings.learning import LearningSettings
from vfax.settings.locating import DnsSettings, StunSettings
from vfax.settings.routes import SPOOL_FOLDERS, DeliverySettings, MailSettings, RouteSettings
from vfax.settings.section import Section
from vfax.settings.sip import SipSettings
from vfax.settings.trunks import SECTIONS, TrunkSettings, check_trunks
from vfax.settings.words import (
    AudioCodecs,
    Codings,
    Count,
    Identity,
    Line,
    OrElse,
    Pause,
    Port,
    Rate,
    Resolutions,
    Seconds,
    Share,
    TimeZone,
    is_loopback,
    parse_listen,
    toml_value,
)

IN_SECTION: Final = "in_section"
"""Type of an error that several sections make together and one of them can mend; its context names that section."""
VFAX_GUID: Final = "{6f1d9c0e-7a53-4a0b-9b0e-38f5f2a4c1d7}"
VFAX_IMAGE: Final = "vfax.device:create_provider"


class MediaSettings(Section):
    """How a call gets its ports and becomes a T.38 call. Times in seconds."""

    port_min: Port = Field(default=20_000, description="First UDP port for audio and T.38; even.")
    port_max: Port = Field(default=20_998, description="Last UDP port for audio and T.38; even.")
    learn_source: bool = Field(
        default=False, description="Take media from a host the SDP does not name (peers behind NAT), learned once."
    )
    relearn_after: Seconds = Field(
        default=3.0, description="With learn_source: silence after which that one change may come in mid-call."
    )
    caller_offer: Literal["t38", "audio"] = Field(
        default="t38", description='Calling: "t38" offers T.38 at once, "audio" begins with G.711.'
    )
    caller_retries_audio: bool = Field(
        default=True, description="Calling: dial again with audio where the direct offer of T.38 was refused."
    )
    audio_codecs: AudioCodecs = Field(
        default=("PCMU", "PCMA"), description="Audio before T.38, as offered, the best first; others are not taken."
    )
    switch_by: Literal["either", "called", "caller", "peer"] = Field(
        default="either",
        description="Whose re-INVITE makes audio T.38: whose time comes first, the called or the calling side's, or "
        "never ours.",
    )
    called_switch_after: Seconds = Field(default=1.5, description="Called with audio: until we offer T.38 ourselves.")
    caller_switch_after: Seconds = Field(
        default=6.0, description="Calling with audio: how long their offer is awaited."
    )
    refused_grace: Seconds = Field(default=10.0, description="After a refused offer of T.38: how long theirs may come.")
    tcp: Literal["accept", "offer", "off"] = Field(
        default="accept", description="T.38 over TCP: taken where it is offered, offered by us too, or declined."
    )
    tcp_connect: Seconds = Field(default=10.0, description="How long the connection of T.38 over TCP may take.")
    dtls: Literal["off", "accept", "opportunistic", "required"] = Field(
        default="off",
        description="T.38 encrypted (DTLS): never; where they offer it; offered first, then plain; or not without.",
    )
    internet_aware: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="Announce and take up the unpaced transfer (no modem in between); auto: if the peer is vfax too.",
    )
    audio_limit: Seconds = Field(default=45.0, description="Audio without T.38, whatever happens; then the call ends.")
    answer_limit: Seconds = Field(default=60.0, description="T0: how long our INVITE may stay unanswered.")
    abort_limit: Seconds = Field(default=0.9, description="An aborted fax is over by then.")

    @model_validator(mode="after")
    def _ports_in_order(self) -> Self:
        if self.port_min > self.port_max:
            raise ValueError(f"port_min = {self.port_min}: expected at most port_max = {self.port_max}")
        return self


class T38Settings(Section):
    """T.38 over UDPTL: what we offer and how we send. Times in seconds."""

    version: int = Field(default=0, ge=0, le=3, description="T38FaxVersion to offer.")
    max_bit_rate: Rate = Field(default=14_400, description="T38MaxBitRate to offer, bit/s.")
    max_datagram: int = Field(
        default=400, ge=0, le=1_400, description="T38FaxMaxDatagram to announce, octets; 0: leave it out."
    )
    error_correction: Literal["redundancy", "fec", "none"] = Field(
        default="redundancy", description="T38FaxUdpEC to offer. FEC is understood, and sent with send_fec."
    )
    packet_ms: int = Field(default=30, ge=10, le=60, description="Page data in one packet, milliseconds.")
    control_redundancy: int = Field(default=3, ge=0, le=7, description="Earlier packets repeated with V.21 signals.")
    image_redundancy: int = Field(default=1, ge=0, le=7, description="Earlier packets repeated with page data.")
    repeats: int = Field(default=3, ge=1, le=10, description="Times an indicator or the end of a burst is sent.")
    opening: int = Field(default=3, ge=0, le=20, description="no-signal packets at the start, to open NAT bindings.")
    keep_alive: Seconds = Field(default=15.0, description="After so much silence of ours, one no-signal more.")
    silence: Pause = Field(default=0.075, description="Between two bursts (T.30: 75 ms).")
    preamble: Pause = Field(default=1.0, description="Flags before V.21 frames; less fails with many adapters.")
    ecm_flags: Pause = Field(default=0.2, description="Flags before the first frame of an ECM burst.")
    hdlc_end: Pause = Field(default=0.1, description="From the end of an HDLC burst to no-signal.")
    image_end: Pause = Field(default=0.08, description="From the end of TCF or a page to no-signal.")
    image_pad: Pause = Field(default=0.06, description="Zeros after the last octet of a page, in time.")
    ced_delay: Pause = Field(default=0.2, description="Silence before CED.")
    ced: Seconds = Field(default=3.0, description="Length of CED (2.6 to 4.0 are legal).")
    cng: Seconds = Field(default=0.5, description="Length of CNG.")
    turn_wait: Pause = Field(default=0.5, description="How long the end of the peer's burst is waited for.")
    catch_up: Pause = Field(default=0.2, description="How late page data may become before the schedule moves.")
    v21_octet: Pause = Field(default=0.03, gt=0, description="One octet of a V.21 frame, in a packet of its own.")
    pace: float = Field(
        default=1.0, gt=0, le=1, description="Line time by this factor; below 1 only where no modem is behind the peer."
    )
    unpaced_batch: int = Field(
        default=16, ge=1, le=1_000, description="Packets back to back where nothing is paced (internet-aware peers)."
    )
    unpaced_tick: Pause = Field(
        default=0.004, gt=0, description="From one such batch to the next, longer where the road loses much."
    )
    send_fec: bool = Field(default=False, description="Send parity instead of repeats where FEC was agreed.")
    fec_span: int = Field(default=3, ge=1, le=16, description="Packets that one parity row covers; span x rows: 16.")
    fec_rows: int = Field(default=3, ge=1, le=16, description="Parity rows of a packet: losses in a row it repairs.")
    version_guess: bool = Field(
        default=True, description="Read the syntax a peer really writes, should it be another than was agreed."
    )
    read_version: Literal["auto", "0", "1"] = Field(
        default="auto", description="T38FaxVersion that peers write whatever they agree to; auto: see version_guess."
    )
    mid_burst_silence: Seconds = Field(default=15.0, description="Silence of the peer that ends its burst.")
    final_frame_silence: Seconds = Field(default=0.2, description="The same after a final frame.")
    max_datagram_sent: int = Field(
        default=0,
        ge=0,
        le=1_400,
        description="Octets of a datagram that we send at most. 0: what the peer takes.",
    )
    max_datagram_received: int = Field(
        default=2_048, ge=400, le=65_535, description="Octets of a datagram that is looked at."
    )
    max_ifp: int = Field(default=1_500, ge=64, le=65_535, description="Octets of one IFP.")
    max_fields: int = Field(default=32, ge=1, le=127, description="Fields of one IFP.")
    max_frame: int = Field(default=270, ge=260, le=65_535, description="Octets of one HDLC frame.")


class FaxSettings(Section):
    """The fax terminal: who we are, what we can do, what counts as a good page."""

    local_id: Identity = Field(default="", description="Our number as CSI and TSI, at most 20 characters.")
    name: Line = Field(default="vfax", description="Name of this station: the display name of its calls.")
    ecm: bool = Field(default=True, description="Offer and use error correction mode.")
    max_rate: Rate = Field(default=14_400, description="Fastest modulation, bit/s.")
    min_rate: Rate = Field(default=2_400, description="Slowest modulation to fall back to, bit/s.")
    receive_codings: Codings = Field(default=("MMR", "MR", "MH"), description="Page codings we take (MH always).")
    send_codings: Codings = Field(default=("MMR", "MR", "MH"), description="Page codings to send with, best first.")
    resolutions: Resolutions = Field(
        default=("standard", "fine", "superfine", "R16x15.4", "200x100", "200x200", "200x400", "300x300", "400x400"),
        description='Resolutions to offer and to send with (standard always); there is "600x600", too.',
    )
    max_width: Literal[1728, 2048, 2432] = Field(
        default=2_432, description="Widest paper to offer, in pixels at 204 dpi (A4, B4, A3)."
    )
    header: bool = Field(
        default=True, description="Put a line on top of each page that is sent: when, from, to, which page."
    )
    header_timezone: TimeZone = Field(
        default="", description='Time zone of that line, as in Europe/Berlin. "": this machine\'s.'
    )
    small_frames: bool = Field(default=False, description="ECM frames of 64 octets instead of 256.")
    ced: bool = Field(default=True, description="Called: say CED first.")
    takes_subaddress: bool = Field(default=True, description="Invite callers to say a subaddress (SUB).")
    takes_password: bool = Field(default=False, description="Invite callers to say a password (SID, PWD).")
    tries: int = Field(default=3, ge=1, le=10, description="Times a command is said before we give up.")
    train_limit: int = Field(default=8, ge=1, le=100, description="Failed trainings in a row before we give up.")
    after_rtn: Literal["resend", "go-on", "give-up"] = Field(
        default="resend", description="Sending, a page was refused: send it again, go on with the next, or give up."
    )
    bad_page: Literal["rtn", "dcn"] = Field(
        default="rtn", description="Receiving, a page has too many bad rows: refuse it (rtn) or end the fax (dcn)."
    )
    rtp_from: Share = Field(default=0.05, description="Share of bad rows from which a page is confirmed with RTP.")
    rtn_from: Share = Field(default=0.15, description="Share of bad rows from which a page is refused with RTN.")
    rtn_limit: int = Field(default=3, ge=1, le=20, description="Refusals of one page before the fax ends.")
    ppr_limit: int = Field(default=4, ge=1, le=20, description="PPR for one block before its rate is given up.")
    progress_rows: Count = Field(default=64, description="Rows between two reports of progress.")
    slice_octets: Count = Field(default=512, description="Octets decoded at once from a backlog.")


class TimerSettings(Section):
    """Timers of T.30 and their relatives, in seconds; the defaults include the tolerances and a second of network."""

    t1: Seconds = Field(default=35.0, description="T1: identifying the other side.")
    t2: Seconds = Field(default=7.0, description="T2: a receiver waits for a command.")
    t4: Seconds = Field(default=4.45, description="T4: a sender waits for a response.")
    t5: Seconds = Field(default=60.0, description="T5: a sender waits for a receiver that is not ready (RNR).")
    repeat_dis: Seconds = Field(default=3.0, description="Silence after each DIS.")
    frame: Seconds = Field(default=5.0, description="V.21 flags without a frame.")
    turn: Seconds = Field(default=0.2, description="After a final frame whose burst never ends, we speak.")
    first_data: Seconds = Field(default=35.0, description="A fast carrier may idle that long before data.")
    silence: Seconds = Field(default=15.0, description="A page burst without data that never ended.")
    training: Seconds = Field(default=8.0, description="Training and TCF; then TCF is judged as it is.")
    ready: Seconds = Field(default=1.5, description="An ECM page not kept by then is answered RNR.")
    ask_ready: Seconds = Field(default=1.0, description="Pause between RNR and our RR.")
    cng: Seconds = Field(default=3.5, description="From one CNG to the next.")
    coding: Seconds = Field(default=30.0, description="Coding one page to send.")
    goodbye: Seconds = Field(default=3.0, description="DCN has left by then, whatever the line does.")
    linger: Seconds = Field(default=1.0, description="From the end of DCN to hanging up.")
    abort: Seconds = Field(default=0.7, description="An aborted fax is over by then.")
    page: Seconds = Field(default=2_400.0, description="One page, from its first data to its answer.")
    call: Seconds = Field(default=43_200.0, description="A whole fax.")


class LimitSettings(Section):
    """What a peer may make us keep; reaching one ends the fax, keeping the pages that are whole."""

    pages: Count = Field(default=1_000, description="Pages of one fax.")
    rows: Count = Field(default=20_000, description="Rows of one page.")
    page_octets: int = Field(default=16_777_216, ge=65_536, le=1 << 30, description="Coded octets of one page.")


class HostSettings(Section):
    """The fax service: where faxes go, how many lines, how long a provider may take. Times in seconds."""

    spool: Annotated[Path, Field(strict=False)] = Field(
        default=Path("spool"), description="Folder of the faxes: received ones appear in its inbox."
    )
    lines: int = Field(default=4, ge=1, le=10_000, description="Lines (devices): faxes at once, both directions.")
    device_name_prefix: Line = Field(default="vfax ", min_length=1, description="Name of a device before its number.")
    device_id_prefix: int = Field(default=1, ge=1, le=0xFFFF_0000, description="Number of the first device.")
    max_devices: Count = Field(default=10_000, description="Devices of all providers together.")
    installed_providers: bool = Field(
        default=True, description="Load providers of installed packages too (entry points of the group vfax.providers)."
    )
    call_timeout: Seconds = Field(default=10.0, description="What a provider may take for all but Send and Receive.")
    load_timeout: Seconds = Field(default=30.0, description="The same for importing it, or starting its process.")
    create_timeout: OrElse = Field(
        default=0.0, description="The same for FaxDevVirtualDeviceCreation. 0 here and below: call_timeout."
    )
    config_timeout: OrElse = Field(
        default=0.0, description="The same for FaxExtInitializeConfig, and for each change of data it is told."
    )
    initialize_timeout: OrElse = Field(default=0.0, description="The same for FaxDevInitialize.")
    start_job_timeout: OrElse = Field(default=0.0, description="The same for FaxDevStartJob.")
    end_job_timeout: OrElse = Field(default=0.0, description="The same for FaxDevEndJob.")
    shutdown_timeout: OrElse = Field(default=0.0, description="The same for FaxDevShutdown.")
    operation_timeout: Seconds = Field(default=45_000.0, description="One Send or Receive; then it is aborted.")
    abort_grace: Seconds = Field(default=5.0, description="An aborted fax has that long before it is cancelled.")
    shutdown_grace: Seconds = Field(default=2.0, description="The same for faxes that run when the provider stops.")
    poll_interval: Seconds = Field(default=0.5, description="How often a running fax is asked how far it is.")
    redeliver_interval: Seconds = Field(default=60.0, description="How often a fax the disk refused is tried again.")
    ring_patience: Seconds = Field(
        default=30.0, description="A call that rings while its line is being given back is remembered so long."
    )
    idle_stop: OrElse = Field(
        default=0.0,
        description="End by itself after so long without a fax, waiting work or a client's connection. 0: never.",
    )
    extension_octets: int = Field(
        default=65_536, ge=1, le=524_288, description="Octets that a provider may store under one GUID of a device."
    )
    extension_data: Count = Field(default=1_000, description="How many such data all providers together may store.")
    extension_registrations: Count = Field(default=1_000, description="How many of them may be watched for changes.")


class ProviderSettings(Section):
    """The registration record of the device; as [[provider]], said again for each, those of other providers too."""

    guid: str = Field(default=VFAX_GUID, description="Unique name of the provider.")
    friendly_name: Line = Field(default="vfax SIP/T.38", description="Name to show.")
    image_name: str = Field(default=VFAX_IMAGE, description="Entry point, package.module:attribute.")
    tsp_name: Literal[""] = Field(default="", description="Telephony provider; empty for virtual devices.")
    fspi_version: int = Field(default=0x00010000, description="Interface version; 65536 is the only one there is.")
    capabilities: int = Field(default=0, description="Always 0.")
    enabled: bool = Field(default=True, description="Load it when the service starts.")
    process: Literal["host", "own"] = Field(
        default="host",
        description='Where it runs: "host" in the service, "own" in a process of its own, started again when it dies.',
    )
    configuration: dict[str, Any] = Field(
        default={}, description="What the entry point is given besides all of the above; for providers of your own."
    )


class OtherProviderSettings(ProviderSettings):
    """The registration record of another provider: it has the names that it is given."""

    guid: str = Field(description="Unique name of the provider.")
    friendly_name: Line = Field(description="Name to show.")
    image_name: str = Field(description="Entry point, package.module:attribute.")


class ProcessSettings(Section):
    """Providers in processes of their own: how they are watched and started again. Times in seconds."""

    ping_interval: Seconds = Field(default=5.0, description="How often the process is asked whether it lives.")
    hang_timeout: Seconds = Field(default=30.0, description="One that does not answer for so long is killed.")
    restart_delay: Seconds = Field(default=1.0, description="Until one that died is started again; doubled each time.")
    restart_delay_max: Seconds = Field(default=60.0, description="The longest such delay.")
    restarts: int = Field(default=10, ge=0, le=1_000_000, description="Starts in a row; then it is left alone.")
    steady_after: Seconds = Field(default=60.0, description="Having run for so long, it counts from the first again.")
    end_grace: Seconds = Field(default=3.0, description="At the end it has so long before it is killed.")
    max_messages_per_second: Count = Field(default=5_000, description="Messages of one process that are read.")
    max_orders: Count = Field(default=10_000, description="Orders that may wait for one process to read them.")


class StoreSettings(Section):
    """The job store: jobs, attempts, deliveries and events that survive a restart."""

    url: str = Field(
        default="",
        repr=False,  # there may be a password in it
        description='"": SQLite in the spool; or postgresql+psycopg://user@host/name, which several hosts may share.',
    )
    documents: str = Field(
        default="",
        description='Folder of documents to send, one for all hosts that share the store. "": the spool of this host.',
    )
    lease: Seconds = Field(default=60.0, description="So long a job belongs to the host that has it, unless renewed.")
    look: Seconds = Field(default=5.0, description="How often jobs of other hosts and programs are looked for.")


class QueueSettings(Section):
    """Faxes that are sent: how numbers are read, and when a failed one is tried again. Times in seconds."""

    retries: int = Field(default=3, ge=0, le=1_000, description="Attempts after the first one that failed.")
    retry_delay: Seconds = Field(default=600.0, description="Between two attempts.")
    retry_soon: Seconds = Field(default=10.0, description="The same where the failure advises another try at once.")
    retry_after_max: Seconds = Field(
        default=3_600.0, description="How much longer a busy other side may have us wait (Retry-After)."
    )
    dirty_days: int = Field(default=30, ge=1, le=3_650, description="Days after which an unsent job is given up.")
    retry_call_delayed: bool = Field(default=False, description="Try again after FS_CALL_DELAYED.")
    retry_provider_defined: bool = Field(
        default=False, description="Try again after a status that a provider defined itself, or LINEERR_*."
    )
    no_line_delay: Seconds = Field(default=30.0, description="Until what a device had no line for is tried again.")
    region: str = Field(default="", description='Country of numbers without a country code (ISO 3166, "DE"). "": none.')
    dial: Line = Field(
        default="{e164}",
        description="What is dialled: {e164}, {digits} or {national} in a text; with the device of vfax "
        'a SIP address, such as "sip:{e164}@trunk.example.com".',
    )
    private_digits: int = Field(
        default=0, ge=0, le=12, description="Numbers of so few digits are extensions, dialled as they are."
    )
    convert_seconds: int = Field(default=120, ge=1, le=86_400, description="CPU time to convert a document to send.")
    convert_memory: int = Field(default=2 << 30, ge=64 << 20, le=1 << 40, description="Octets of memory for that.")
    convert_octets: int = Field(default=256 << 20, ge=1 << 16, le=1 << 40, description="Octets of the document.")
    convert_pages: int = Field(default=1_000, ge=1, le=65_535, description="Pages of the document.")
    convert_pixels: int = Field(default=100_000_000, ge=1 << 20, le=1 << 31, description="Pixels of one page.")
    convert_length_mm: int = Field(default=1_200, ge=100, le=100_000, description="Length of one page on paper.")


class KeepSettings(Section):
    """Housekeeping: what is kept how long. Faxes that are not delivered are never removed."""

    days: int = Field(default=365, ge=1, le=36_500, description="Days that delivered faxes and their records are kept.")
    octets: int = Field(
        default=0, ge=0, description="Octets that delivered faxes may take; the oldest go first. 0: no limit."
    )
    job_days: int = Field(default=90, ge=1, le=36_500, description="Days that ended jobs and their attempts are kept.")
    events: int = Field(default=100_000, ge=1_000, le=1 << 31, description="Events that are kept.")
    journal_days: int = Field(default=30, ge=1, le=36_500, description="Days that journals and captures are kept.")
    interval: Seconds = Field(default=3_600.0, description="How often that is looked after.")


class JournalSettings(Section):
    """The journal: one JSON line for each event of a call, in a file for each call."""

    enabled: bool = Field(default=True, description="Write a journal for every call.")
    folder: str = Field(
        default="",
        description='Folder of the journals. "": journal in the spool (of vfax send: ~/.local/state/vfax/journal).',
    )
    packets: Literal["all", "in", "off"] = Field(
        default="all",
        description="T.38 packets in the journal, for vfax replay and show: both ways, received ones, none.",
    )
    packets_limit: int = Field(
        default=4_194_304, ge=65_536, le=1 << 30, description="Octets of packets in one journal; then recording stops."
    )
    pcap: Literal["off", "failures", "all"] = Field(
        default="off", description="Which calls leave a capture (SIP and media) beside their journal."
    )
    pcap_limit: int = Field(default=16_777_216, ge=65_536, le=1 << 40, description="Octets of one capture.")
    redacted: bool = Field(
        default=False, description="Write no page data, passwords or audio into journals and captures; zeros instead."
    )


class Settings(Section):
    """All settings; immutable. `Settings()` is the defaults.

    `provider` is the device of vfax (or what a file puts in its place), `providers` the others that [[provider]] lists.
    """

    sip: SipSettings = SipSettings()
    learning: LearningSettings = LearningSettings()
    dns: DnsSettings = DnsSettings()
    stun: StunSettings = StunSettings()
    abuse: AbuseSettings = AbuseSettings()
    media: MediaSettings = MediaSettings()
    dtls: DtlsSettings = DtlsSettings()
    t38: T38Settings = T38Settings()
    fax: FaxSettings = FaxSettings()
    timers: TimerSettings = TimerSettings()
    limits: LimitSettings = LimitSettings()
    host: HostSettings = HostSettings()
    provider: ProviderSettings = ProviderSettings()
    providers: Annotated[tuple[OtherProviderSettings, ...], Field(strict=False, exclude=True)] = ()
    process: ProcessSettings = ProcessSettings()
    store: StoreSettings = StoreSettings()
    queue: QueueSettings = QueueSettings()
    keep: KeepSettings = KeepSettings()
    clients: ClientSettings = ClientSettings()
    journal: JournalSettings = JournalSettings()
    mail: MailSettings = MailSettings()
    delivery: DeliverySettings = DeliverySettings()
    route: Annotated[tuple[RouteSettings, ...], Field(strict=False, max_length=1_000)] = ()
    trunk: Annotated[tuple[TrunkSettings, ...], Field(strict=False, max_length=1_000)] = ()

    @model_validator(mode="after")
    def _trunks_can_work(self) -> Self:
        check_trunks(self.trunk, {name: getattr(self, name) for name in SECTIONS})
        return self

    @model_validator(mode="after")
    def _open_only_on_purpose(self) -> Self:
        if self.trunk or not all(is_loopback(network) for network in self.sip.allow):
            return self
        for key, place in (("listen", self.sip.listen), *(("listen_also", place) for place in self.sip.listen_also)):
            _, host, _ = parse_listen(place)
            if not ipaddress.ip_address(host).is_loopback:
                raise PydanticCustomError(
                    IN_SECTION,
                    "{key} = {listen} opens vfax to a network, but allow names loopback only: "
                    'expected who may call, as in allow = ["192.0.2.0/24"] (--allow 192.0.2.0/24), or a [[trunk]]',
                    {"section": "sip", "key": key, "listen": toml_value(place)},
                )
        return self

    @model_validator(mode="after")
    def _rules_can_work(self) -> Self:
        names = [rule.name for rule in self.route]
        for rule in self.route:
            if names.count(rule.name) > 1:
                raise ValueError(f"two rules [[route]] are named {rule.name}: give each a name of its own")
            if rule.kind == "mail" and not (self.mail.server and self.mail.sender):
                raise ValueError(f"the rule {rule.name} sends mail: give a server and a sender in [mail]")
            if rule.kind == "folder" and Path(rule.folder).is_absolute():
                self._outside_own_folders(rule)
        return self

    def _outside_own_folders(self, rule: RouteSettings) -> None:
        spool, folder = self.host.spool.absolute(), Path(rule.folder)
        if folder == spool or any(folder.is_relative_to(spool / name) for name in SPOOL_FOLDERS):
            raise ValueError(f"the rule {rule.name} has folder = {rule.folder!r}, where vfax keeps its own files")
