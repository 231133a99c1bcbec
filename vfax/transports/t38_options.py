"""What can be set about a T.38 line, and what it counts.

Owns      `T38Options` with its safe defaults, `LineCounters`.
Not here  what was agreed with the peer (parameters.py), the line itself (t38.py).
Source    waits and repetitions as deployed: each says why; limits are ours.
"""

from dataclasses import dataclass
from enum import StrEnum

from vfax.transports.udptl import Counters


class ReadVersion(StrEnum):
    """By which T38FaxVersion the peer's packets are read; editions from 1 on read alike as far as faxes go."""

    AUTO = "auto"  # the agreed one, or what the peer writes instead (see `T38Options.version_guess`)
    V0 = "0"
    V1 = "1"

    def of(self, agreed: int) -> int:
        """The version to read by where `agreed` was agreed."""
        if self is ReadVersion.V0:
            return 0
        return max(agreed, 1) if self is ReadVersion.V1 else agreed


@dataclass(frozen=True, slots=True, kw_only=True)
class T38Options:
    """How we behave on the line. Seconds, unless the name says otherwise."""

    packet_ms: int = 30
    """Page data in one packet, milliseconds: what everybody uses."""
    control_redundancy: int = 3
    """Earlier IFPs repeated behind indicators, V.21 frames and ends of bursts."""
    image_redundancy: int = 1
    """Earlier IFPs repeated behind page data."""
    repeats: int = 3
    """How often an indicator or the end of a burst is sent, each time under a new number."""
    opening: int = 3
    """no-signal packets at the very start: they open NAT bindings, and some callers wait for the first packet."""
    silence: float = 0.075
    """Between two bursts, ours or the peer's (T.30: 75 ms)."""
    keep_alive: float = 15.0
    """One no-signal after so much silence of ours: NAT bindings and session border controllers forget."""
    preamble: float = 1.0
    """Flags before V.21 frames. 0.85 would be legal and fails with many adapters."""
    ecm_flags: float = 0.2
    """Flags before the first frame of an ECM burst."""
    hdlc_end: float = 0.1
    """From the end of an HDLC burst to no-signal: the FCS and a closing flag are still on the line."""
    image_end: float = 0.08
    """From the end of TCF or a page to no-signal."""
    image_pad: float = 0.06
    """Zero octets after the page's last octet, in time: gateways clip the tail, which must not be the RTC."""
    ced_delay: float = 0.2
    """Silence before CED."""
    ced: float = 3.0
    """Length of CED (2.6 to 4.0 are legal)."""
    cng: float = 0.5
    """Length of CNG."""
    turn_wait: float = 0.5
    """How long an order waits for the end of the peer's burst before it is sent all the same."""
    catch_up: float = 0.2
    """How late page data may become before the schedule moves with it: what a gateway's buffer forgives."""
    v21_octet: float = 0.03
    """One octet of a V.21 frame, in a packet of its own: the field's habit, a little slower than 300 bit/s."""
    pace: float = 1.0
    """Line time by this factor; below 1 only when nothing behind the peer is a modem."""
    unpaced_batch: int = 16
    """Datagrams sent back to back where nothing is paced: what a socket buffer holds many times over."""
    unpaced_tick: float = 0.004
    """Seconds from one such batch to the next, longer where the road loses much (t38_voice.py): with whole ECM frames
    some 8 Mbit/s, far above what pages need."""
    send_fec: bool = False
    """Send parity instead of repeats where FEC was agreed; deployed decoders differ, so only on purpose."""
    fec_span: int = 3
    """IFPs that one parity row covers."""
    fec_rows: int = 3
    """Parity rows of a datagram: a burst of so many losses can be repaired."""
    version_guess: bool = True
    """Read fields by the other syntax when the peer's packets say plainly that it writes that one."""
    read_version: ReadVersion = ReadVersion.AUTO
    """For a known peer that agrees to one version and writes another: read this one, and guess nothing."""
    mid_burst_silence: float = 15.0
    """Silence of the peer inside a burst that ends the burst."""
    final_frame_silence: float = 0.2
    """Silence after a final frame (control C8) that ends the burst."""
    max_datagram_sent: int = 0  # whatever the peer takes; 0: as it says
    max_datagram_received: int = 2048
    """Limit: octets of a datagram that is looked at. Ours are far smaller, whatever we announced."""
    max_ifp: int = 1500
    """Limit: octets of one IFP."""
    max_fields: int = 32
    """Limit: fields of one IFP (1 to 127); real ones have two or three."""
    max_frame: int = 270
    """Limit: octets of a frame; the longest legal one has 260."""


class LineCounters(Counters):
    """What the line saw and did, for the journal."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = 0  # datagrams
        self.undecodable = 0  # IFPs that are not what the syntax says, or beyond a limit
        self.misread = 0  # times we changed over to the other syntax of fields, as the peer writes another version
        self.unknown = 0  # indicators, data and fields that nobody has defined or that need V.34

    def as_facts(self) -> dict[str, int]:
        """All counters by name."""
        return {
            "sent": self.sent,
            "received": self.received,
            "repeated": self.repeated,
            "late": self.late,
            "repaired": self.repaired,
            "lost": self.lost,
            "restarts": self.restarts,
            "refused": self.refused,
            "undecodable": self.undecodable,
            "unknown": self.unknown,
            "misread": self.misread,
        }
