"""Bursts over T.38: what each order of the terminal is on the wire, packet by packet.

Owns      the schedules of all bursts (silence, training, paced data, end), and their short forms where nothing is
          paced; what the agreement means for packets (`Wire`).
Not here  when a packet is due, repeats, whose turn it is (t38_voice.py, t38.py); numbers and redundancy (udptl.py).
Source    T.38 (09/2010) 7 and 8 for the vocabulary; order and waits as deployed (t38_options.py says why).

A schedule is a generator of steps at seconds from the start of the burst, so a page costs one packet of memory at a
time, and rounding or a late timer never adds up.
"""

import math
from collections.abc import Iterator
from typing import Final

from vfax import signals as line
from vfax.codecs import ifp
from vfax.codecs.ifp import FieldType, Indicator
from vfax.errors import MisuseError
from vfax.signals import Modem, Tone, Transmission
from vfax.transports.parameters import ErrorCorrection, RateManagement, T38Parameters, Transport
from vfax.transports.t38_options import T38Options
from vfax.transports.t38_tables import CARRIER_OF
from vfax.transports.tpkt import TpktSender
from vfax.transports.udptl import DEFAULT_MAX_DATAGRAM, WHOLE_DATAGRAM, FecShape, Sender

_V21_FRAME_GAP_BITS: Final = 35  # FCS, the flags between frames, and margin: 16 + 3 + 16
_HEADER: Final = 5  # octets of an IFP before the data of its only field
_ECM_FRAME_GAP_BITS: Final = 27  # FCS, one flag, and at most 3 zeros stuffed into the FCS


def _stuffed_bits(frame: bytes) -> int:
    """Zero bits that HDLC inserts into a frame: one after every five ones in a row (T.38 order is line order)."""
    return f"{int.from_bytes(frame, 'big'):b}".count("11111")


SIGNAL: Final = 0  # an indicator or an end: repeated, control redundancy; the schedule moves with it when it is late
CONTROL: Final = 1  # V.21 octets: once, control redundancy
IMAGE: Final = 2  # fast octets: once, image redundancy
FREE: Final = 3  # fast octets that nothing paces: once, image redundancy as far as it fits

Step = tuple[float, bytes, int]
"""Seconds from the start of the burst, the IFP due then, and its kind."""

NO_SIGNAL: Final = ifp.pack_indicator(Indicator.NO_SIGNAL)


MAX_OPENING: Final = 100
"""Limit: packets of no signal with which a stream begins, whatever a recording says."""


class Wire:
    """What the peer agreed to, as far as it shapes packets; changes in place when the call is renegotiated."""

    __slots__ = ("control_depth", "image_depth", "local_tcf", "opening", "options", "repeats", "sender", "version")

    def __init__(self, parameters: T38Parameters, options: T38Options) -> None:
        self.options = options
        stream = parameters.transport is Transport.TCP
        self.sender: Sender | TpktSender = TpktSender() if stream else Sender(self._limit(parameters))
        self.repeats = 1 if stream else options.repeats
        self.opening = 1 if stream else min(options.opening, MAX_OPENING)
        self.apply(parameters)

    def _limit(self, parameters: T38Parameters) -> int | None:
        """What the peer takes, or less where the options have it; below 88 an announcement means another thing."""
        cap, announced = self.options.max_datagram_sent, parameters.max_datagram
        if not cap:
            return announced
        return min(announced or DEFAULT_MAX_DATAGRAM, max(cap, WHOLE_DATAGRAM))

    def apply(self, parameters: T38Parameters) -> None:
        """Take a (new) agreement; sequence numbers go on, and the transport is what it was."""
        self.sender.restrict(self._limit(parameters))
        self.version = parameters.version
        self.local_tcf = parameters.rate_management is RateManagement.LOCAL_TCF
        options = self.options
        bare = parameters.error_correction is ErrorCorrection.NONE or isinstance(self.sender, TpktSender)
        self.control_depth = 0 if bare else options.control_redundancy
        self.image_depth = 0 if bare else options.image_redundancy
        if isinstance(self.sender, Sender):
            # Deviation: where FEC was agreed we send redundancy unless told otherwise: everybody must accept it, and
            # deployed FEC decoders differ.
            fec = parameters.error_correction is ErrorCorrection.FEC and options.send_fec
            self.sender.protect(FecShape(options.fec_span, options.fec_rows) if fec else None)

    def chunk(self, modem: Modem, overhead: int) -> int:
        """Octets of page data in one packet: `packet_ms` of them, or fewer if the peer takes less at a time.

        `overhead` is what an IFP has besides.
        """
        octets = modem.rate_bps * self.options.packet_ms // 8000
        return max(1, min(octets, self.sender.capacity(self.image_depth) - overhead))


def _carrier(indicator: Indicator, wire: Wire) -> Iterator[Step]:
    """What every burst begins with: silence, then the preamble or training."""
    yield 0.0, NO_SIGNAL, SIGNAL
    yield wire.options.silence, ifp.pack_indicator(indicator), SIGNAL


def _tone(wire: Wire, tone: Tone) -> Iterator[Step]:
    options = wire.options
    if tone is Tone.CNG:
        yield 0.0, ifp.pack_indicator(Indicator.CNG), SIGNAL
        yield options.cng, NO_SIGNAL, SIGNAL
        return
    yield 0.0, NO_SIGNAL, SIGNAL
    yield options.ced_delay, ifp.pack_indicator(Indicator.CED), SIGNAL
    yield options.ced_delay + options.ced, NO_SIGNAL, SIGNAL


def _v21_frames(wire: Wire, frames: tuple[bytes, ...]) -> Iterator[Step]:
    options = wire.options
    yield from _carrier(Indicator.V21_PREAMBLE, wire)
    at = options.silence + options.preamble
    for step in _hdlc(wire, Modem.V21, frames, at, 1, options.v21_octet, _V21_FRAME_GAP_BITS):
        yield step
        at = step[0]
    yield at + options.hdlc_end, NO_SIGNAL, SIGNAL


def _ecm(wire: Wire, order: line.SendEcm) -> Iterator[Step]:
    options = wire.options
    modem = order.modem
    indicator, training = CARRIER_OF[modem].start(short=order.short)
    yield from _carrier(indicator, wire)
    at = options.silence + training + options.ecm_flags
    for step in _hdlc(
        wire, modem, order.frames, at, wire.chunk(modem, _HEADER + 1), 8 / modem.rate_bps, _ECM_FRAME_GAP_BITS
    ):
        yield step
        at = step[0]
    yield at + options.hdlc_end, NO_SIGNAL, SIGNAL


def _hdlc(
    wire: Wire, modem: Modem, frames: tuple[bytes, ...], at: float, chunk: int, octet: float, gap_bits: int
) -> Iterator[Step]:
    """Frames from `at` on: `chunk` octets in a packet, `octet` seconds each; the last step is the end of the burst.

    A frame ends in the packet of its last octets. The next one begins when a modem has sent it with its stuffed
    zeros, FCS and flag, so no gateway is overrun. The end of the burst has its own packet, for it is repeated.
    """
    data = CARRIER_OF[modem].data
    kind = CONTROL if modem is Modem.V21 else IMAGE
    last = len(frames) - 1
    for index, frame in enumerate(frames):
        for cut, packet in _pieces(data, frame, chunk, wire.version, closed=index < last):
            yield at + cut * octet, packet, kind
        at += len(frame) * octet
        if index < last or modem is not Modem.V21:
            at += (_stuffed_bits(frame) + gap_bits) / modem.rate_bps
    yield at, ifp.pack_end(data, FieldType.HDLC_FCS_OK_SIG_END, wire.version), SIGNAL


def _pieces(data: int, frame: bytes, chunk: int, version: int, *, closed: bool) -> Iterator[tuple[int, bytes]]:
    """The packets of one frame, each with the number of octets before it; the last one closes it or leaves it open."""
    closing = len(frame) - chunk if closed else len(frame)
    for cut in range(0, len(frame), chunk):
        piece = frame[cut : cut + chunk]
        if cut >= closing:
            yield cut, ifp.pack_field_and_end(data, FieldType.HDLC_DATA, piece, FieldType.HDLC_FCS_OK, version)
        else:
            yield cut, ifp.pack_field(data, FieldType.HDLC_DATA, piece, version)


def _octets(wire: Wire, modem: Modem, at: float, octets: bytes) -> Iterator[Step]:
    """TCF or a page from `at` on, with its end."""
    data = CARRIER_OF[modem].data
    chunk = wire.chunk(modem, _HEADER)
    rate_bps = modem.rate_bps
    for cut in range(0, len(octets), chunk):
        packet = ifp.pack_field(data, FieldType.T4_NON_ECM_DATA, octets[cut : cut + chunk], wire.version)
        yield at + cut * 8 / rate_bps, packet, IMAGE
    at += len(octets) * 8 / rate_bps
    yield at, ifp.pack_end(data, FieldType.T4_NON_ECM_SIG_END, wire.version), SIGNAL
    yield at + wire.options.image_end, NO_SIGNAL, SIGNAL


def _training(wire: Wire, order: line.SendTraining) -> Iterator[Step]:
    indicator, training = CARRIER_OF[order.modem].start(short=False)
    yield from _carrier(indicator, wire)
    at = wire.options.silence + training
    if wire.local_tcf:
        # The far gateway makes the zeros itself and needs their time; only the training is announced.
        yield at + order.octets * 8 / order.modem.rate_bps, NO_SIGNAL, SIGNAL
        return
    yield from _octets(wire, order.modem, at, bytes(order.octets))


def _image(wire: Wire, order: line.SendImage) -> Iterator[Step]:
    indicator, training = CARRIER_OF[order.modem].start(short=order.short)
    yield from _carrier(indicator, wire)
    at = wire.options.silence + training
    pad = math.ceil(wire.options.image_pad * order.modem.rate_bps / 8)
    yield from _octets(wire, order.modem, at, order.data + bytes(pad))


# --- where nothing is paced ------------------------------------------------------------------------------


def _free_frames(wire: Wire, order: line.SendFrames | line.SendEcm) -> Iterator[Step]:
    """Whole frames, each in one packet if the peer takes such; the end in one of its own, for it is repeated."""
    modem = Modem.V21 if isinstance(order, line.SendFrames) else order.modem
    kind = CONTROL if modem is Modem.V21 else FREE
    data = CARRIER_OF[modem].data
    yield 0.0, ifp.pack_indicator(CARRIER_OF[modem].start(short=True)[0]), SIGNAL
    chunk = max(1, wire.sender.capacity(wire.control_depth if modem is Modem.V21 else 0) - _HEADER - 1)
    last = len(order.frames) - 1
    for index, frame in enumerate(order.frames):
        for _, packet in _pieces(data, frame, chunk, wire.version, closed=index < last):
            yield 0.0, packet, kind
    yield 0.0, ifp.pack_end(data, FieldType.HDLC_FCS_OK_SIG_END, wire.version), SIGNAL
    yield 0.0, NO_SIGNAL, CONTROL


def _free_octets(wire: Wire, modem: Modem, octets: bytes) -> Iterator[Step]:
    """A page without ECM, in the largest packets that carry an earlier one with them: a loss costs rows here."""
    data = CARRIER_OF[modem].data
    chunk = max(1, wire.sender.capacity(wire.image_depth) - _HEADER)
    yield 0.0, ifp.pack_indicator(CARRIER_OF[modem].start(short=True)[0]), SIGNAL
    for cut in range(0, len(octets), chunk):
        yield 0.0, ifp.pack_field(data, FieldType.T4_NON_ECM_DATA, octets[cut : cut + chunk], wire.version), IMAGE
    yield 0.0, ifp.pack_end(data, FieldType.T4_NON_ECM_SIG_END, wire.version), SIGNAL
    yield 0.0, NO_SIGNAL, CONTROL


def free_steps(wire: Wire, order: Transmission) -> Iterator[Step]:
    """The burst of an order between internet-aware terminals: no silence, no preamble, no training, all due at once.

    Tones keep their time: nobody waits for them.
    """
    if isinstance(order, line.SendFrames | line.SendEcm):
        return _free_frames(wire, order)
    if isinstance(order, line.SendImage):
        return _free_octets(wire, order.modem, order.data)
    if isinstance(order, line.SendTraining):
        return _free_octets(wire, order.modem, b"" if wire.local_tcf else bytes(order.octets))
    return steps(wire, order)


def hurried(order: Transmission) -> bool:
    """Whether the order is the last word of a call."""
    return isinstance(order, line.SendFrames) and order.hurried


def steps(wire: Wire, order: Transmission) -> Iterator[Step]:
    """The whole burst of an order, made packet by packet as they come due."""
    if isinstance(order, line.SendFrames):
        return _v21_frames(wire, order.frames)
    if isinstance(order, line.SendEcm):
        return _ecm(wire, order)
    if isinstance(order, line.SendImage):
        return _image(wire, order)
    if isinstance(order, line.SendTraining):
        return _training(wire, order)
    if isinstance(order, line.SendTone):
        return _tone(wire, order.tone)
    raise MisuseError(f"not a burst: {order}")


def refuse_nonsense(order: Transmission) -> None:
    """An order that cannot be a burst is a bug on our side: say so where it was given."""
    if isinstance(order, line.SendFrames | line.SendEcm) and not (order.frames and all(order.frames)):
        raise MisuseError("a burst of frames needs frames, and octets in each")
    if isinstance(order, line.SendEcm | line.SendImage | line.SendTraining) and order.modem is Modem.V21:
        raise MisuseError("V.21 carries control frames only")
