"""Policy, timers and limits of one T.30 engine.

Owns      every number of the procedure that is not a code: timers with their tolerances, tries, thresholds, limits.
Not here  what is done when a timer expires (tables.py); settings files (vfax/settings.py maps onto this).
Source    T.30 (09/2005) 5.4.3 and Table 1 for T1 to T5; fields marked "field" are what deployed machines need.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from vfax.codecs.common_mode import Preferences
from vfax.codecs.dis import FALL_BACK, Capabilities, Coding, Resolution
from vfax.codecs.t4 import DecodeLimits
from vfax.signals import Modem


class AfterRtn(StrEnum):
    """What a sender makes of RTN. Field: receivers mean different things by it, T.30 leaves the sender free."""

    RESEND = "resend"  # train again, lower where possible, and send the page again
    GO_ON = "go-on"  # train again and send the next page; this one counts as not delivered
    GIVE_UP = "give-up"  # end the fax


class BadPage(StrEnum):
    """What a receiver says of a page without ECM that has too many bad rows."""

    RTN = "rtn"  # the sender decides
    DCN = "dcn"  # end the fax. Field: some senders take RTN for a confirmation


@dataclass(frozen=True, slots=True, kw_only=True)
class Timers:
    """Durations in seconds. Timers that await the peer's answer start when our own signal has left the line."""

    t1: float = 35.0  # T1, 35 +-5 s: starts on entering phase B, stops at DCS (receiver) or DIS (sender)
    t2: float = 7.0  # T2, 6 +-1 s: starts when a command is awaited, stops at the first flag; 1 s more for the network
    t4: float = 4.45  # T4, 3 s +-15 % and 1 s of transit (field): from the end of a command to its repetition
    t5: float = 60.0  # T5, 60 +-5 s: starts at the first RNR, stops at any other answer
    repeat_dis: float = 3.0  # T4, 3 s +-15 %: silence after each DIS
    frame: float = 5.0  # no name: V.21 flags without a frame; 1.15 s of preamble, 3.45 s of frame, transit
    turn: float = 0.2  # no name: after a final frame whose burst never ends, we speak
    first_data: float = 35.0  # no name (field): a fast carrier may idle that long while paper is fed
    silence: float = 15.0  # no name (field): a page burst without data that never ended
    training: float = 8.0  # no name: training 1.4 s and TCF 1.5 s +-10 %, twice; then TCF is judged as it is
    ready: float = 1.5  # no name: an ECM page not kept by then is answered RNR; without ECM, on the repeat
    ask_ready: float = 1.0  # no name: pause between RNR and our RR, so that a round takes about T4
    cng: float = 3.5  # CNG: 0.5 s on, 3 s off
    coding: float = 30.0  # no name: our own owner answers PageNeeded by then
    goodbye: float = 3.0  # no name: DCN has left by then, whatever the line does
    linger: float = 1.0  # no name (field): from the end of DCN to hanging up, so that its repeats arrive
    abort: float = 0.7  # no name: an aborted fax is over by then
    page: float = 2400.0  # Limit: one page, from its first data to its answer (2400 bit/s: 700 KB)
    call: float = 43200.0  # Limit: the whole fax, from LineUp; a thousand fine pages take some ten hours


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a peer may make us keep. Limit: each of these ends the fax with Cause.LIMIT."""

    pages: int = 1000
    rows: int = 20_000
    page_octets: int = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class T30Options:
    """How one fax is made. Rates in bit/s, quality as a share of bad rows (copy-quality thresholds as libspandsp's)."""

    local_id: str = ""
    ecm: bool = True
    max_rate_bps: int = 14400
    min_rate_bps: int = 2400
    modems: frozenset[Modem] = frozenset(FALL_BACK)
    receive_codings: frozenset[Coding] = frozenset(Coding)
    send_codings: tuple[Coding, ...] = (Coding.MMR, Coding.MR, Coding.MH)  # best first
    resolutions: frozenset[Resolution] = frozenset(Resolution) - {Resolution.INCH_600X600}  # it makes DIS 14 octets
    max_width_px: int = 2432  # paper at 204 dpi: 1728 (A4), 2048 (B4) or 2432 (A3)
    small_frames: bool = False  # ECM frames of 64 octets, both ways, instead of 256
    ced: bool = True  # the called side says CED first
    takes_subaddress: bool = True  # our DIS invites SUB (bit 49)
    takes_password: bool = False  # our DIS invites SID and PWD (bit 50)
    internet_aware: bool = False  # announce and take bit 123: nothing but packets is between us and the peer
    local_tcf: bool = False  # T38FaxRateManagement localTCF: training is judged by gateways, CFR needs no zeros
    tries: int = 3  # times a command is said before we give up
    train_limit: int = 8  # failed trainings in a row before we give up: there are as many rates
    after_rtn: AfterRtn = AfterRtn.RESEND
    bad_page: BadPage = BadPage.RTN
    rtp_from: float = 0.05  # share of bad rows from which a page is confirmed with "retrain"
    rtn_from: float = 0.15  # share of bad rows from which a page is refused
    rtn_limit: int = 3  # refusals of one page, in either direction, before the fax ends
    ppr_limit: int = 4  # T.30 Annex A: the fourth PPR for one block brings CTC or EOR
    progress_rows: int = 64  # rows between two PageProgress events
    slice_octets: int = 512  # of a backlog, decoded in one call: about a millisecond
    timers: Timers = field(default_factory=Timers)
    limits: Limits = field(default_factory=Limits)

    def capabilities(self) -> Capabilities:
        """What our DIS says. A station that only stores pages needs no time for a scan line."""
        return Capabilities(
            modems=frozenset(modem for modem in self.modems if self._family_fits(modem)) or frozenset(FALL_BACK[-1:]),
            resolutions=self.resolutions | {Resolution.STANDARD},
            codings=self.receive_codings | {Coding.MH},
            ecm=self.ecm,
            small_frames=self.small_frames,
            max_width_px=self.max_width_px,
            max_length_mm=0,
            min_scan_ms=(0, 0),
            subaddress=self.takes_subaddress,
            password=self.takes_password,
            internet_aware=self.internet_aware,
        )

    def _family_fits(self, modem: Modem) -> bool:
        """A DIS names families, not rates: one whose best rate is above ours cannot be offered."""
        best = max(other.rate_bps for other in FALL_BACK if other.family == modem.family)
        return best <= self.max_rate_bps or modem.rate_bps <= 2400

    def preferences(self) -> Preferences:
        """What we choose from when a DIS has come."""
        return Preferences(
            modems=self.modems,
            max_rate_bps=self.max_rate_bps,
            min_rate_bps=self.min_rate_bps,
            ecm=self.ecm,
            codings=self.send_codings,
            resolutions=self.resolutions | {Resolution.STANDARD},
            small_frames=self.small_frames,
        )

    def decode_limits(self) -> DecodeLimits:
        """Limits of one page as the row decoder wants them."""
        return DecodeLimits(max_rows=self.limits.rows, max_octets=self.limits.page_octets)
