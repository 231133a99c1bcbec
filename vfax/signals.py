"""What a fax line carries, seen from T.30: tones, bursts of frames, training, page data.

Owns      the values between the T.30 engine above and the road below (T.38, loopback, one day audio modems).
Not here  how a road packs them (transports/t38.py), what the frames mean (t30/).
Source    modulations and rates: T.30 (09/2005) Table 2 (bits 11-14) and T.38 (09/2010) 7.3.
"""

from dataclasses import dataclass
from enum import Enum, auto


class Tone(Enum):
    """The two tones of phase A (T.30 (09/2005) clause 4)."""

    CNG = auto()
    CED = auto()


class Modem(Enum):
    """One modulation at one rate; the value is (family, rate in bit/s).

    Properties, not an `__init__`: mypyc cannot compile an Enum that has one of its own.
    """

    V21 = ("V.21", 300)
    V27TER_2400 = ("V.27ter", 2400)
    V27TER_4800 = ("V.27ter", 4800)
    V29_7200 = ("V.29", 7200)
    V29_9600 = ("V.29", 9600)
    V17_7200 = ("V.17", 7200)
    V17_9600 = ("V.17", 9600)
    V17_12000 = ("V.17", 12000)
    V17_14400 = ("V.17", 14400)

    @property
    def family(self) -> str:
        """V.21, V.27ter, V.29 or V.17."""
        return self.value[0]

    @property
    def rate_bps(self) -> int:
        """Bits per second."""
        return self.value[1]


# --- down: what the T.30 engine asks the line to transmit, one whole burst each -----------------


@dataclass(frozen=True, slots=True)
class SendTone:
    """CNG or CED; on T.38 an indicator."""

    tone: Tone


@dataclass(frozen=True, slots=True)
class SendFrames:
    """A V.21 burst: preamble, the frames (address octet to FIF, no FCS, T.38 bit order), end of signal.

    `hurried` is for the last word of a call that is being cut off: it leaves at once and unpaced.
    """

    frames: tuple[bytes, ...]
    hurried: bool = False


@dataclass(frozen=True, slots=True)
class SendTraining:
    """Long training, then `octets` zero octets of TCF."""

    modem: Modem
    octets: int


@dataclass(frozen=True, slots=True)
class SendImage:
    """A non-ECM page: training (short only where the modem has it and `short` is set), then coded octets."""

    modem: Modem
    short: bool
    data: bytes


@dataclass(frozen=True, slots=True)
class SendEcm:
    """An ECM burst: training, at least 200 ms of flags, the FCD frames, and RCP three times (given in `frames`).

    `again` when the peer asked for these frames of the burst before: the road has lost them.
    """

    modem: Modem
    short: bool
    frames: tuple[bytes, ...]
    again: bool = False


@dataclass(frozen=True, slots=True)
class StopSending:
    """Cut whatever is being transmitted and drop what is queued; the line goes to no-signal."""


@dataclass(frozen=True, slots=True)
class SetPace:
    """How fast what follows is sent: at the modem's rate, or as fast as the road goes.

    Unpaced only between two internet-aware terminals (T.30 (09/2005) Table 2, bit 123): no modem is behind the peer.
    A change takes effect with the next burst; it is no burst itself and brings no `TransmissionDone`.
    """

    paced: bool


Transmission = SendTone | SendFrames | SendTraining | SendImage | SendEcm | StopSending | SetPace


# --- up: what the line heard ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ToneHeard:
    """The peer's CNG or CED. Informational: progress never depends on it."""

    tone: Tone


@dataclass(frozen=True, slots=True)
class SignalStarted:
    """A burst begins: flags of V.21, or the training of a fast modem. Said once a burst."""

    modem: Modem


@dataclass(frozen=True, slots=True)
class FrameReceived:
    """One HDLC frame with a good FCS: address octet to the end of the FIF, T.38 bit order."""

    modem: Modem
    octets: bytes


@dataclass(frozen=True, slots=True)
class FrameDamaged:
    """A frame ended with a bad FCS, was too long, or lost packets in the middle."""

    modem: Modem


@dataclass(frozen=True, slots=True)
class DataReceived:
    """Non-ECM octets (TCF zeros or a page)."""

    modem: Modem
    octets: bytes


@dataclass(frozen=True, slots=True)
class DataMissing:
    """`packets` IFPs could not be recovered here: said in its place in the stream, between two bursts too.

    What is lost before data that no indicator announced is said behind its `SignalStarted`: the burst lacks it.
    """

    packets: int


@dataclass(frozen=True, slots=True)
class SignalEnded:
    """The burst ended. Said once a burst, whatever closed it."""

    modem: Modem


@dataclass(frozen=True, slots=True)
class TransmissionDone:
    """All that was asked so far has left, the trailing silence included; the line is ours no more."""


LineSignal = (
    ToneHeard
    | SignalStarted
    | FrameReceived
    | FrameDamaged
    | DataReceived
    | DataMissing
    | SignalEnded
    | TransmissionDone
)
