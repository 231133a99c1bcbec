"""What the two ends agreed about a T.38 stream in SDP.

Owns      the negotiated values that the UDPTL and T.38 layers work with.
Not here  their spelling in SDP (sip/sdp.py), offer and answer (sip/negotiation.py).
Source    T.38 (09/2010) Annex D; defaults as deployed, see each field.
"""

from dataclasses import dataclass
from enum import StrEnum


class ErrorCorrection(StrEnum):
    """T38FaxUdpEC; values as written in SDP."""

    NONE = "t38UDPNoEC"
    REDUNDANCY = "t38UDPRedundancy"
    FEC = "t38UDPFEC"


class RateManagement(StrEnum):
    """T38FaxRateManagement; values as written in SDP."""

    TRANSFERRED_TCF = "transferredTCF"
    LOCAL_TCF = "localTCF"


class TcpMedia(StrEnum):
    """What we do about T.38 over TCP."""

    ACCEPT = "accept"
    OFFER = "offer"  # and accept
    OFF = "off"


class AudioCodec(StrEnum):
    """G.711 before the switch to T.38; values as written in SDP."""

    PCMU = "PCMU"
    PCMA = "PCMA"


class Dtls(StrEnum):
    """What we do about UDPTL over DTLS (RFC 7345)."""

    OFF = "off"
    ACCEPT = "accept"  # taken where it is offered, and never offered by us
    OPPORTUNISTIC = "opportunistic"  # offered first, plain UDPTL where that is refused; both are accepted
    REQUIRED = "required"  # T.38 runs over DTLS, or not at all


class DtlsTrouble(StrEnum):
    """Why no DTLS association came to be; names are stable, they stand in journals."""

    SILENT = "silent"  # nothing of DTLS came
    FAILED = "failed"  # the handshake began and was not finished, or the peer ended it
    MISMATCH = "mismatch"  # the peer's certificate is not the one that its SDP names


class Transport(StrEnum):
    """What carries the IFPs; values as written in SDP."""

    UDPTL = "udptl"
    TCP = "tcp"
    DTLS = "UDP/TLS/UDPTL"


@dataclass(frozen=True, slots=True, kw_only=True)
class T38Parameters:
    """One end's T.38 attributes, or the merged ones of a stream. Sizes in octets, rates in bit/s."""

    version: int = 0
    max_bit_rate_bps: int = 14400
    rate_management: RateManagement = RateManagement.TRANSFERRED_TCF
    fill_bit_removal: bool = False
    transcoding_mmr: bool = False
    transcoding_jbig: bool = False
    max_buffer: int | None = None
    max_datagram: int | None = None  # None: absent, not a number, 0 or absurd; senders then use 400
    error_correction: ErrorCorrection = ErrorCorrection.REDUNDANCY
    transport: Transport = Transport.UDPTL
