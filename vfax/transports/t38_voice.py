"""Sending over T.38: what a burst is on the wire, and when each packet of it is due.

Owns      the schedules of all bursts (silence, training, paced data, end), pacing, repetition, keep-alive.
Not here  numbers and redundancy (udptl.py), whose turn it is (t38.py).
Source    T.38 (09/2010) 7 and 8 for the vocabulary; order and waits as deployed (t38_options.py says why).

A schedule is a generator of steps at seconds from the start of the burst, so a page costs one packet of memory at a
time, and rounding or a late timer never adds up.
"""

import math
from collections import deque
from collections.abc import Iterator
from typing import Final

from vfax import signals as line
from vfax.codecs import ifp
from vfax.codecs.ifp import FieldType, Indicator
from vfax.errors import MisuseError
from vfax.signals import Modem, Tone, Transmission
from vfax.transports.parameters import ErrorCorrection, RateManagement, T38Parameters
from vfax.transports.t38_options import T38Options
from vfax.transports.t38_tables import CARRIER_OF
from vfax.transports.udptl import Sender

_V21_FRAME_GAP_BITS: Final = 35  # FCS, the flags between frames, and margin: 16 + 3 + 16
HURRY: Final = 0.05  # of its time a hurried burst takes: a gateway may not manage to send it, a terminal hears it
_HEADER: Final = 5  # octets of an IFP before the data of its only field
_ECM_FRAME_GAP_BITS: Final = 27  # FCS, one flag, and at most 3 zeros stuffed into the FCS


def _stuffed_bits(frame: bytes) -> int:
    """Zero bits that HDLC inserts into a frame: one after every five ones in a row (T.38 order is line order)."""
    return f"{int.from_bytes(frame, 'big'):b}".count("11111")


_SIGNAL: Final = 0  # an indicator or an end: repeated, control redundancy; the schedule moves with it when it is late
_CONTROL: Final = 1  # V.21 octets: once, control redundancy
_IMAGE: Final = 2  # fast octets: once, image redundancy

Step = tuple[float, bytes, int]
"""Seconds from the start of the burst, the IFP due then, and its kind."""

_NO_SIGNAL: Final = ifp.pack_indicator(Indicator.NO_SIGNAL)


class Wire:
    """What the peer agreed to, as far as it shapes packets; changes in place when the call is renegotiated."""

    __slots__ = ("control_depth", "image_depth", "local_tcf", "options", "sender", "version")

    def __init__(self, parameters: T38Parameters, options: T38Options) -> None:
        self.options = options
        self.sender = Sender(parameters.max_datagram)
        self.apply(parameters)

    def apply(self, parameters: T38Parameters) -> None:
        """Take a (new) agreement; sequence numbers go on."""
        self.sender.restrict(parameters.max_datagram)
        self.version = parameters.version
        self.local_tcf = parameters.rate_management is RateManagement.LOCAL_TCF
        # Deviation: where FEC was agreed we send redundancy, which everybody must accept; deployed FEC decoders differ.
        bare = parameters.error_correction is ErrorCorrection.NONE
        self.control_depth = 0 if bare else self.options.control_redundancy
        self.image_depth = 0 if bare else self.options.image_redundancy

    def chunk(self, modem: Modem, overhead: int) -> int:
        """Octets of page data in one packet: `packet_ms` of them, or fewer if the peer takes less at a time.

        `overhead` is what an IFP has besides.
        """
        octets = modem.rate_bps * self.options.packet_ms // 8000
        return max(1, min(octets, self.sender.capacity(self.image_depth) - overhead))


def _carrier(indicator: Indicator, wire: Wire) -> Iterator[Step]:
    """What every burst begins with: silence, then the preamble or training."""
    yield 0.0, _NO_SIGNAL, _SIGNAL
    yield wire.options.silence, ifp.pack_indicator(indicator), _SIGNAL


def _tone(wire: Wire, tone: Tone) -> Iterator[Step]:
    options = wire.options
    if tone is Tone.CNG:
        yield 0.0, ifp.pack_indicator(Indicator.CNG), _SIGNAL
        yield options.cng, _NO_SIGNAL, _SIGNAL
        return
    yield 0.0, _NO_SIGNAL, _SIGNAL
    yield options.ced_delay, ifp.pack_indicator(Indicator.CED), _SIGNAL
    yield options.ced_delay + options.ced, _NO_SIGNAL, _SIGNAL


def _v21_frames(wire: Wire, frames: tuple[bytes, ...]) -> Iterator[Step]:
    options = wire.options
    yield from _carrier(Indicator.V21_PREAMBLE, wire)
    at = options.silence + options.preamble
    for step in _hdlc(wire, Modem.V21, frames, at, 1, options.v21_octet, _V21_FRAME_GAP_BITS):
        yield step
        at = step[0]
    yield at + options.hdlc_end, _NO_SIGNAL, _SIGNAL


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
    yield at + options.hdlc_end, _NO_SIGNAL, _SIGNAL


def _hdlc(
    wire: Wire, modem: Modem, frames: tuple[bytes, ...], at: float, chunk: int, octet: float, gap_bits: int
) -> Iterator[Step]:
    """Frames from `at` on: `chunk` octets in a packet, `octet` seconds each; the last step is the end of the burst.

    A frame ends in the packet of its last octets. The next one begins when a modem has sent it with its stuffed
    zeros, FCS and flag, so no gateway is overrun. The end of the burst has its own packet, for it is repeated.
    """
    data = CARRIER_OF[modem].data
    kind = _CONTROL if modem is Modem.V21 else _IMAGE
    last = len(frames) - 1
    for index, frame in enumerate(frames):
        closing = len(frame) - chunk if index < last else len(frame)
        for cut in range(0, len(frame), chunk):
            piece = frame[cut : cut + chunk]
            due = at + cut * octet
            if cut >= closing:
                packet = ifp.pack_field_and_end(data, FieldType.HDLC_DATA, piece, FieldType.HDLC_FCS_OK, wire.version)
            else:
                packet = ifp.pack_field(data, FieldType.HDLC_DATA, piece, wire.version)
            yield due, packet, kind
        at += len(frame) * octet
        if index < last or modem is not Modem.V21:
            at += (_stuffed_bits(frame) + gap_bits) / modem.rate_bps
    yield at, ifp.pack_end(data, FieldType.HDLC_FCS_OK_SIG_END, wire.version), _SIGNAL


def _octets(wire: Wire, modem: Modem, at: float, octets: bytes) -> Iterator[Step]:
    """TCF or a page from `at` on, with its end."""
    data = CARRIER_OF[modem].data
    chunk = wire.chunk(modem, _HEADER)
    rate_bps = modem.rate_bps
    for cut in range(0, len(octets), chunk):
        packet = ifp.pack_field(data, FieldType.T4_NON_ECM_DATA, octets[cut : cut + chunk], wire.version)
        yield at + cut * 8 / rate_bps, packet, _IMAGE
    at += len(octets) * 8 / rate_bps
    yield at, ifp.pack_end(data, FieldType.T4_NON_ECM_SIG_END, wire.version), _SIGNAL
    yield at + wire.options.image_end, _NO_SIGNAL, _SIGNAL


def _training(wire: Wire, order: line.SendTraining) -> Iterator[Step]:
    indicator, training = CARRIER_OF[order.modem].start(short=False)
    yield from _carrier(indicator, wire)
    at = wire.options.silence + training
    if wire.local_tcf:
        # The far gateway makes the zeros itself and needs their time; only the training is announced.
        yield at + order.octets * 8 / order.modem.rate_bps, _NO_SIGNAL, _SIGNAL
        return
    yield from _octets(wire, order.modem, at, bytes(order.octets))


def _image(wire: Wire, order: line.SendImage) -> Iterator[Step]:
    indicator, training = CARRIER_OF[order.modem].start(short=order.short)
    yield from _carrier(indicator, wire)
    at = wire.options.silence + training
    pad = math.ceil(wire.options.image_pad * order.modem.rate_bps / 8)
    yield from _octets(wire, order.modem, at, order.data + bytes(pad))


def _hurried(order: Transmission) -> bool:
    return isinstance(order, line.SendFrames) and order.hurried


def _steps(wire: Wire, order: Transmission) -> Iterator[Step]:
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


class Voice:
    """Says queued orders packet by packet, each on its time."""

    _BACK_TO_BACK: Final = 2

    __slots__ = (
        "_base",
        "_done_at",
        "_held_until",
        "_pace",
        "_queue",
        "_ready_at",
        "_sent_at",
        "_step",
        "_steps",
        "_unprotected",
        "_wire",
        "output",
    )

    def __init__(self, wire: Wire, now: float) -> None:
        self._wire = wire
        self._queue: deque[Transmission] = deque()
        self._steps: Iterator[Step] | None = None
        self._step: Step | None = None  # the next one due; None while nothing is being said
        self._base = now  # start of the burst
        self._pace = wire.options.pace  # of the burst
        self._held_until = -math.inf  # no page data before: two packets back to back were enough
        self._ready_at = now  # since when the first order waits
        self._done_at = math.inf  # our own trailing silence ends
        self._sent_at = now
        self._unprotected = 0  # packets of page data since the last indicator or end
        self.output: list[bytes] = []
        self._send(_NO_SIGNAL, wire.options.opening, wire.control_depth, now)

    @property
    def waiting(self) -> bool:
        """Whether an order waits for its turn."""
        return self._step is None and bool(self._queue)

    def say(self, order: Transmission, now: float) -> None:
        """Queue one burst."""
        if not self._queue:
            self._ready_at = now
        self._queue.append(order)

    def stop(self, now: float) -> None:
        """Fall silent at once; what was queued is gone."""
        busy = self._step is not None
        self._queue.clear()
        self._steps = self._step = None
        if busy:
            self._send(_NO_SIGNAL, self._wire.options.repeats, self._wire.control_depth, now)
            self._base = now
            self._done_at = now + self._wire.options.silence * self._pace

    def pump(self, now: float, free_at: float) -> bool:
        """Send what is due. The line is the peer's until `free_at`. True when all that was ordered has left."""
        burst = 0
        while self._step is not None or self._begin(now, free_at):
            step = self._step
            assert step is not None
            due = self._base + step[0] * self._pace
            if due > now:
                return False
            if step[2] != _SIGNAL:
                if now < self._held_until:
                    return False
                burst += 1
                if burst > self._BACK_TO_BACK:
                    self._held_until = now + self._wire.options.packet_ms / 1000 * self._pace
                    return False
            self._perform(step, now, now - due)
        if now >= self._done_at:
            self._done_at = math.inf
            return True
        if now >= self._sent_at + self._wire.options.keep_alive and not self._queue:
            self._send(_NO_SIGNAL, 1, self._wire.control_depth, now)
        return False

    def next_timeout(self, free_at: float) -> float:
        """When `pump` has something to do, if the line stays the peer's until `free_at`."""
        step = self._step
        if step is not None:
            due = self._base + step[0] * self._pace
            return due if step[2] == _SIGNAL else max(due, self._held_until)
        if self._queue:
            return self._start_at(free_at)
        return min(self._done_at, self._sent_at + self._wire.options.keep_alive)

    def _start_at(self, free_at: float) -> float:
        """When the first order of the queue may start: at once behind our own burst, else when the line is ours."""
        if self._done_at < math.inf:
            return self._base
        if _hurried(self._queue[0]):
            return self._ready_at
        return max(self._ready_at, min(free_at, self._ready_at + self._wire.options.turn_wait))

    def _begin(self, now: float, free_at: float) -> bool:
        if not self._queue or self._start_at(free_at) > now:
            return False
        follows = self._done_at < math.inf
        if not follows:
            self._base = now
        self._done_at = math.inf
        order = self._queue.popleft()
        self._pace = self._wire.options.pace * (HURRY if _hurried(order) else 1.0)
        self._steps = _steps(self._wire, order)
        self._step = next(self._steps)
        if follows and self._step[1] == _NO_SIGNAL:  # said already, as the end of our burst before
            self._step = next(self._steps)
        return True

    def _perform(self, step: Step, now: float, late: float) -> None:
        wire = self._wire
        if step[2] == _SIGNAL:
            self._base += late  # a preamble or training keeps its full length, however late it began
            self._send(step[1], wire.options.repeats, wire.control_depth, now)
            self._unprotected = 0
        else:
            self._base += max(0.0, late - wire.options.catch_up)
            self._send(step[1], 1, self._depth(step[2]), now)
        assert self._steps is not None
        self._step = next(self._steps, None)
        if self._step is None:
            self._steps = None
            self._base = self._ready_at = now
            self._done_at = now + wire.options.silence * self._pace

    def _depth(self, kind: int) -> int:
        """Earlier packets behind this one. The first of a page still bring what control packets would have brought."""
        if kind == _CONTROL:
            return self._wire.control_depth
        self._unprotected += 1
        return max(self._wire.image_depth, self._wire.control_depth + 1 - self._unprotected)

    def _send(self, packet: bytes, copies: int, depth: int, now: float) -> None:
        self._sent_at = now
        for _ in range(copies):
            self.output.append(self._wire.sender.send(packet, depth))
