"""A fax line over T.38: line signals on one side, UDPTL datagrams or a TPKT stream on the other.

Owns      the line as an engine: datagrams in and out, signals out, orders in; whose turn it is; limits on packets.
Not here  packets and recovery (udptl.py, codecs/ifp.py), bursts being sent (t38_voice.py) and heard (t38_ear.py),
          what frames and pages mean (t30/).
Source    T.38 (09/2010).

`receive`, `transmit` and `handle_timeout` in; `take_output`, `take_signals` and `next_timeout` out.
"""

import math
from typing import Final

from vfax import signals as line
from vfax.codecs import ifp
from vfax.errors import DecodeError
from vfax.signals import LineSignal, Transmission
from vfax.transports.parameters import T38Parameters, Transport
from vfax.transports.t38_bursts import Wire, refuse_nonsense
from vfax.transports.t38_ear import Ear
from vfax.transports.t38_options import LineCounters, ReadVersion, T38Options
from vfax.transports.t38_syntax import Syntax
from vfax.transports.t38_voice import Voice
from vfax.transports.tpkt import TpktReader
from vfax.transports.udptl import Missing, Packet, Recovery, Repaired

__all__ = ["LineCounters", "ReadVersion", "T38Line", "T38Options"]

_DEFAULTS: Final = T38Options()

USE_G3: Final = ifp.encode(ifp.Data(ifp.DataType.V8, (ifp.Field(ifp.FieldType.JM_MESSAGE, b"N1"),)), ifp.LATEST_VERSION)
"""The joint menu that declines V.34."""
DECLINE_AGAIN: Final = 1.0
"""Seconds after which another CM is a question of its own."""


MOST_A_SECOND: Final = 200
"""Datagrams that a peer may have sent unheard, each second: paced ones are 34; who guesses is to miss."""


class T38Line:
    """One T.38 stream as a fax line. `parameters` is what was agreed; its `max_datagram` is the peer's.

    The opening no-signal packets are in the output at once. All times are seconds on one monotonic clock.
    """

    __slots__ = (
        "_declined_at",
        "_ear",
        "_options",
        "_recovery",
        "_stream",
        "_syntax",
        "_voice",
        "_wire",
        "broken",
        "counters",
        "quiet_since",
    )

    def __init__(self, parameters: T38Parameters, options: T38Options = _DEFAULTS, *, now: float) -> None:
        self._options = options
        self.counters = LineCounters()
        self._wire = Wire(parameters, options)
        self._recovery = Recovery(self.counters)
        self._stream = TpktReader(options.max_ifp) if parameters.transport is Transport.TCP else None
        guess = options.version_guess and options.read_version is ReadVersion.AUTO
        self._syntax = Syntax(options.read_version.of(parameters.version), self.counters, guess=guess)
        self._ear = Ear(options, self.counters, self._syntax)
        self._voice = Voice(self._wire, now)
        self._declined_at = -math.inf
        self.quiet_since = now
        """When the last valid datagram was heard, or the line began."""
        self.broken = ""
        """Why nothing more can be heard, ever: what the peer's stream turned out to be. Never of datagrams."""

    # in

    def receive(self, datagram: bytes, now: float) -> None:
        """Take one datagram of the peer, or what its stream brought. Whatever it holds, this returns; rubbish is
        counted.
        """
        if self._stream is not None:
            self._read_stream(self._stream, datagram, now)
            return
        if len(datagram) > self._options.max_datagram_received:
            self.counters.refused += 1
            return
        try:
            packet = Packet.decode(datagram)
        except DecodeError:
            self.counters.refused += 1
            return
        self.quiet_since = now
        for delivery in self._recovery.receive(packet):
            if isinstance(delivery, bytes):
                if delivery:
                    self._hear(delivery, now, padded=False)
            elif isinstance(delivery, Missing):
                self._ear.miss(delivery.packets)
            elif isinstance(delivery, Repaired) and delivery.ifp:
                self._hear(delivery.ifp, now, padded=True)
        if self._ear.asked_v34:
            self._decline_v34(now)
        if self._voice.waiting:
            self._pump(now)

    def _read_stream(self, stream: TpktReader, octets: bytes, now: float) -> None:
        """The same for a stream. What is no TPKT ends it: nothing behind can be told apart."""
        if self.broken:
            return
        try:
            packets = stream.feed(octets)
        except DecodeError as why:
            self.counters.refused += 1
            self.broken = f"the peer's stream is no T.38: {why}"
            return
        for packet in packets:
            self.quiet_since = now
            self.counters.received += 1
            self._hear(packet, now, padded=False)
        if self._ear.asked_v34:
            self._decline_v34(now)
        if self._voice.waiting:
            self._pump(now)

    def _decline_v34(self, now: float) -> None:
        """Answer a CM with "use G3", once for all its repeats; only version 3 has words for it."""
        self._ear.asked_v34 = False
        if self._wire.version == ifp.LATEST_VERSION and now >= self._declined_at + DECLINE_AGAIN:
            self._declined_at = now
            self._voice.interject(USE_G3, now)

    def transmit(self, order: Transmission, now: float) -> None:
        """Queue one burst, or stop at once. Raises MisuseError for an order that cannot be a burst."""
        if isinstance(order, line.StopSending):
            self._voice.stop(now)
            return
        if isinstance(order, line.SetPace):
            self._voice.pace(order.paced)
            return
        refuse_nonsense(order)
        self._voice.say(order, now)
        self._pump(now)

    def handle_timeout(self, now: float) -> None:
        """Send what is due by `now`, and notice what did not come."""
        self._ear.handle_timeout(now)
        self._pump(now)

    def renegotiate(self, parameters: T38Parameters, now: float) -> None:
        """Take a new agreement in the middle of the call: numbers, orders and the burst under way go on."""
        self._wire.apply(parameters)
        self._recovery.expect_restart()
        self._syntax.agree(self._options.read_version.of(parameters.version))
        self._pump(now)

    # out

    def take_output(self) -> list[bytes]:
        """The datagrams to send now, in order."""
        output, self._voice.output = self._voice.output, []
        self.counters.sent += len(output)
        return output

    def take_signals(self) -> list[LineSignal]:
        """What was heard since the last time, in order."""
        signals, self._ear.signals = self._ear.signals, []
        return signals

    def next_timeout(self) -> float:
        """When handle_timeout is due."""
        ear = self._ear
        due = self._voice.next_timeout(math.inf if ear.modem is not None else ear.ended_at)
        return due if due < ear.deadline else ear.deadline

    @property
    def is_stream(self) -> bool:
        """Whether this is T.38 over TCP."""
        return self._stream is not None

    def understands(self, datagram: bytes, *, after: float | None = None) -> bool:
        """Whether the octets are UDPTL with an IFP in it; changes nothing.

        With `after` also whether they could be the stream's own that many seconds after the last that was heard.
        """
        if len(datagram) > self._options.max_datagram_received:
            return False
        try:
            packet = Packet.decode(datagram)
            if packet.primary:
                ifp.decode(packet.primary, self._syntax.version)
        except DecodeError:
            return False
        return after is None or self._recovery.goes_on_with(packet.sequence, int(after * MOST_A_SECOND))

    def _hear(self, packet: bytes, now: float, *, padded: bool) -> None:
        try:
            self._ear.hear(packet, now, padded=padded)
        except DecodeError:
            self.counters.undecodable += 1
            self._ear.miss(1)  # something was there, and it is lost

    def _free_at(self) -> float:
        ear = self._ear
        return math.inf if ear.modem is not None else ear.ended_at

    def _pump(self, now: float) -> None:
        if self._voice.pump(now, self._free_at()):
            self._ear.signals.append(line.TransmissionDone())
