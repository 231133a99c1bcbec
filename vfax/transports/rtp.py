"""G.711 audio as a fax device needs it before T.38: CED, then silence, in RTP.

Owns      the RTP header, the 20 ms schedule, the two G.711 laws, one tone; telling RTP from UDPTL.
Not here  which payload type was agreed (sip/negotiation.py); when CED is due (leg.py). Received audio is not decoded.
Source    RFC 3550 5.1, RFC 3551 4.5.14; G.711 tables 1 and 2; T.30 (09/2005) clause 4 (CED).
"""

import math
from functools import cache
from struct import Struct
from typing import Final

PCMU: Final = 0
PCMA: Final = 8

SAMPLE_RATE: Final = 8000
PACKET_SAMPLES: Final = 160
PACKET_TIME: Final = PACKET_SAMPLES / SAMPLE_RATE
"""20 ms in seconds."""

CED_HZ: Final = 2100
CED_LEVEL_DBM0: Final = -12.0
FULL_SCALE_DBM0: Final = 3.14
"""Level of a sine that just fills the A-law range (G.711 note to table 1); mu-law differs by 0.03 dB."""

CED_DELAY_PACKETS: Final = 10
"""0.2 s of silence, so that the first packets, which gateways often lose, are not the tone."""

CED_PACKETS: Final = 150
"""3.0 s, inside the 2.6 to 4.0 s of T.30 (09/2005)."""

MAX_CATCH_UP: Final = 5
"""Limit: packets sent at once after a late wake-up (100 ms of audio); what is older is left out."""

HEADER: Final = Struct("!BBHII")
RTP_VERSION: Final = 0x80
MARKER: Final = 0x80
RTCP_TYPES: Final = range(200, 210)


# --- the laws ------------------------------------------------------------------------------------


def encode_mu_law(sample: int) -> int:
    """One 16-bit linear sample to its mu-law octet (G.711 table 2, all bits inverted as transmitted)."""
    sign = 0x80 if sample < 0 else 0
    magnitude = min((~sample if sample < 0 else sample) >> 2, 8158) + 33
    segment = magnitude.bit_length() - 6
    return ~(sign | segment << 4 | (magnitude >> (segment + 1)) & 0x0F) & 0xFF


def encode_a_law(sample: int) -> int:
    """One 16-bit linear sample to its A-law octet (G.711 table 1, even bits inverted as transmitted)."""
    sign = 0 if sample < 0 else 0x80
    magnitude = min((~sample if sample < 0 else sample) >> 4, 2047)
    segment = max(magnitude.bit_length() - 4, 0)
    mantissa = (magnitude >> max(segment - 1, 0)) & 0x0F
    return (sign | segment << 4 | mantissa) ^ 0x55


def encode(payload_type: int, sample: int) -> int:
    """One 16-bit linear sample in the law of `payload_type`: 8 is A-law, everything else mu-law."""
    return encode_a_law(sample) if payload_type == PCMA else encode_mu_law(sample)


@cache
def silence(payload_type: int) -> bytes:
    """The payload of one silent packet."""
    return bytes([encode(payload_type, 0)]) * PACKET_SAMPLES


@cache
def ced(payload_type: int) -> bytes:
    """The payload of one packet of CED. 20 ms are 42 whole periods of 2100 Hz: one packet repeats without a seam."""
    amplitude = 32768 * 10 ** ((CED_LEVEL_DBM0 - FULL_SCALE_DBM0) / 20)
    turn = 2 * math.pi * CED_HZ / SAMPLE_RATE
    return bytes(encode(payload_type, round(amplitude * math.sin(turn * n))) for n in range(PACKET_SAMPLES))


# --- sending -------------------------------------------------------------------------------------


class AudioSender:
    """One outgoing G.711 stream: a packet every 20 ms on an absolute schedule that begins at `now`.

    `ssrc`, `sequence` and `timestamp` are where the stream starts (RFC 3550 wants them random); all wrap around.
    The stream is silence until play_ced() and never ends by itself: its owner drops it when T.38 takes over.
    """

    def __init__(self, payload_type: int, *, ssrc: int, sequence: int, timestamp: int, now: float) -> None:
        self._payload_type = payload_type & 0x7F
        self._ssrc = ssrc & 0xFFFFFFFF
        self._sequence = sequence
        self._timestamp = timestamp
        self._began_at = now
        self._slot = 0  # the next 20 ms slot to fill, counted from the beginning
        self._resumes = True  # the next packet begins a talk spurt: marker bit
        self._tone_from = 0
        self._tone_until = 0
        self._output: list[bytes] = []

    def use(self, payload_type: int) -> None:
        """Go on in the law of `payload_type`."""
        self._payload_type = payload_type & 0x7F

    def play_ced(self, now: float) -> None:
        """From `now` on: 0.2 s of silence, 3.0 s of CED, silence again."""
        slot = max(self._slot, math.ceil((now - self._began_at) / PACKET_TIME))
        self._tone_from = slot + CED_DELAY_PACKETS
        self._tone_until = self._tone_from + CED_PACKETS

    def handle_timeout(self, now: float) -> None:
        """Emit every packet that is due; after a gap only the newest few, the clock of the stream going on."""
        newest = int((now - self._began_at) / PACKET_TIME)
        if newest - self._slot >= MAX_CATCH_UP:
            self._slot = newest - MAX_CATCH_UP + 1
            self._resumes = True
        while self.next_timeout() <= now:
            self._emit()

    def take_output(self) -> list[bytes]:
        """The packets made since the last time, oldest first."""
        output, self._output = self._output, []
        return output

    def next_timeout(self) -> float:
        """When the next packet is due."""
        return self._began_at + self._slot * PACKET_TIME

    def _emit(self) -> None:
        sounding = self._tone_from <= self._slot < self._tone_until
        header = HEADER.pack(
            RTP_VERSION,
            self._payload_type | (MARKER if self._resumes else 0),
            self._sequence & 0xFFFF,
            (self._timestamp + self._slot * PACKET_SAMPLES) & 0xFFFFFFFF,
            self._ssrc,
        )
        self._output.append(header + (ced if sounding else silence)(self._payload_type))
        self._sequence += 1
        self._slot += 1
        self._resumes = False


# --- receiving -----------------------------------------------------------------------------------


def looks_like_rtp(datagram: bytes) -> bool:
    """True for RTP or RTCP that strayed to the T.38 port (audio in flight after the switch-over).

    UDPTL numbers from 0x8000 up begin with the same bits (Quirk: Cisco CUBE starts there), so what is whole UDPTL
    from end to end is not taken for RTP. Never raises.
    """
    if len(datagram) < HEADER.size or datagram[0] & 0xC0 != RTP_VERSION:
        return False
    if datagram[1] in RTCP_TYPES:
        return not _is_whole_udptl(datagram)
    sources = datagram[0] & 0x0F
    return len(datagram) >= HEADER.size + 4 * sources and not _is_whole_udptl(datagram)


def _is_whole_udptl(datagram: bytes) -> bool:
    """A number, a primary, then redundancy that ends where the datagram ends, or FEC that does."""
    at = _after_open_type(datagram, 2)
    if at < 0 or at >= len(datagram):
        return False
    if datagram[at] == 0x80:
        return _is_fec(datagram, at + 1)
    if datagram[at] != 0 or at + 1 >= len(datagram):
        return False
    return _after_open_types(datagram, at + 2, datagram[at + 1]) == len(datagram)


def _is_fec(datagram: bytes, at: int) -> bool:
    """Span as a constrained-length integer, then the entries up to the end."""
    if at + 2 >= len(datagram) or datagram[at] != 1:
        return False
    return _after_open_types(datagram, at + 3, datagram[at + 2]) == len(datagram)


def _after_open_types(datagram: bytes, at: int, count: int) -> int:
    """Where `count` open types end, -1 when they do not fit; every step moves on or stops."""
    for _ in range(count):
        at = _after_open_type(datagram, at)
        if at < 0:
            break
    return at


def _after_open_type(datagram: bytes, at: int) -> int:
    """Where the length-prefixed octets at `at` end, -1 when they do not fit (fragments of 16K do not exist in UDP)."""
    if at >= len(datagram):
        return -1
    length, at = datagram[at], at + 1
    if length & 0x80:
        if length & 0x40 or at >= len(datagram):
            return -1
        length, at = (length & 0x3F) << 8 | datagram[at], at + 1
    return at + length if at + length <= len(datagram) else -1
