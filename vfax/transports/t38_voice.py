"""Sending over T.38: burst after burst, packet after packet, each on its time.

Owns      the queue of orders, pacing and its absence (then the rate that the road bears), repetition, keep-alive.
Not here  what a burst is (t38_bursts.py), numbers and redundancy (udptl.py), whose turn it is (t38.py).
Source    waits as deployed (t38_options.py says why); T.30 (09/2005) Table 2 bit 123 for the unpaced transfer.
"""

import math
from collections import deque
from collections.abc import Iterator
from typing import Final

from vfax import signals as line
from vfax.signals import Transmission
from vfax.transports.t38_bursts import CONTROL, FREE, NO_SIGNAL, SIGNAL, Step, Wire, free_steps, hurried, steps

LOSSY: Final = 1 / 8
"""Share of a burst asked for again from which the road is taken to be too narrow: dice lose less."""
FEW: Final = 16
"""Frames asked for again that say nothing of the road yet: of so few any share may be chance."""
SLOWEST: Final = 64
"""Limit: times as long as `unpaced_tick` may a tick become: some 150 kbit/s; T.30 soon paces what is slower still."""
FASTER: Final = 0.8
"""What a tick shrinks by after a burst of which nothing was asked for again."""
_RCPS: Final = 3

HURRY: Final = 0.05  # of its time a hurried burst takes: a gateway may not manage to send it, a terminal hears it


class Voice:
    """Says queued orders packet by packet, each on its time."""

    _BACK_TO_BACK: Final = 2

    __slots__ = (
        "_asked",
        "_base",
        "_done_at",
        "_free",
        "_free_next",
        "_held_until",
        "_pace",
        "_queue",
        "_ready_at",
        "_said",
        "_sent_at",
        "_step",
        "_steps",
        "_tick",
        "_unprotected",
        "_wire",
        "output",
    )

    def __init__(self, wire: Wire, now: float) -> None:
        self._wire = wire
        self._queue: deque[tuple[Transmission, bool]] = deque()  # each with whether nothing paces it
        self._free_next = False  # of orders to come
        self._free = False  # of the burst under way, or of the last one
        self._steps: Iterator[Step] | None = None
        self._step: Step | None = None  # the next one due; None while nothing is being said
        self._base = now  # start of the burst
        self._pace = wire.options.pace  # of the burst
        self._held_until = -math.inf  # no page data before: enough went back to back
        self._ready_at = now  # since when the first order waits
        self._done_at = math.inf  # our own trailing silence ends
        self._sent_at = now
        self._unprotected = 0  # packets of page data since the last indicator or end
        self._tick = wire.options.unpaced_tick  # of unpaced bursts: what the road was found to bear
        self._said = 0  # frames of the last unpaced ECM burst
        self._asked = False  # it was one that had been asked for again
        self.output: list[bytes] = []
        self._send(NO_SIGNAL, wire.opening, wire.control_depth, now)

    @property
    def waiting(self) -> bool:
        """Whether an order waits for its turn."""
        return self._step is None and bool(self._queue)

    def say(self, order: Transmission, now: float) -> None:
        """Queue one burst."""
        if not self._queue:
            self._ready_at = now
        self._queue.append((order, self._free_next))

    def pace(self, paced: bool) -> None:
        """How the orders from here on are sent."""
        self._free_next = not paced

    def stop(self, now: float) -> None:
        """Fall silent at once; what was queued is gone."""
        busy = self._step is not None
        self._queue.clear()
        self._steps = self._step = None
        if busy:
            self._send(NO_SIGNAL, self._wire.repeats, self._wire.control_depth, now)
            self._base = now
            self._done_at = now + self._silence()

    def interject(self, packet: bytes, now: float) -> None:
        """Send one packet at once, whatever else is being sent: it belongs to no burst."""
        self._send(packet, self._wire.repeats, self._wire.control_depth, now)

    def pump(self, now: float, free_at: float) -> bool:
        """Send what is due. The line is the peer's until `free_at`. True when all that was ordered has left."""
        burst = 0
        options = self._wire.options
        while self._step is not None or self._begin(now, free_at):
            step = self._step
            assert step is not None
            due = self._base + step[0] * self._pace
            if due > now:
                return False
            if step[2] != SIGNAL or self._free:
                if now < self._held_until:
                    return False
                burst += 1
                if burst > (options.unpaced_batch if self._free else self._BACK_TO_BACK):
                    self._held_until = now + (self._tick if self._free else options.packet_ms / 1000 * self._pace)
                    return False
            self._perform(step, now, now - due)
        if now >= self._done_at:
            self._done_at = math.inf
            return True
        if now >= self._sent_at + options.keep_alive and not self._queue:
            self._send(NO_SIGNAL, 1, self._wire.control_depth, now)
        return False

    def next_timeout(self, free_at: float) -> float:
        """When `pump` has something to do, if the line stays the peer's until `free_at`."""
        step = self._step
        if step is not None:
            due = self._base + step[0] * self._pace
            held = self._held_until
            return due if due >= held or (step[2] == SIGNAL and not self._free) else held
        if self._queue:
            return self._start_at(free_at)
        return min(self._done_at, self._sent_at + self._wire.options.keep_alive)

    def _start_at(self, free_at: float) -> float:
        """When the first order of the queue may start: at once behind our own burst, else when the line is ours."""
        if self._done_at < math.inf:
            return self._base
        order, free = self._queue[0]
        if hurried(order):
            return self._ready_at
        free_at += 0.0 if free else self._wire.options.silence * self._wire.options.pace
        return max(self._ready_at, min(free_at, self._ready_at + self._wire.options.turn_wait))

    def _begin(self, now: float, free_at: float) -> bool:
        if not self._queue or self._start_at(free_at) > now:
            return False
        follows = self._done_at < math.inf
        if not follows:
            self._base = now
        self._done_at = math.inf
        order, free = self._queue.popleft()
        self._free = free and not isinstance(order, line.SendTone)
        if self._free and isinstance(order, line.SendEcm):
            self._adapt(order)
        self._pace = self._wire.options.pace * (HURRY if hurried(order) else 1.0)
        self._steps = (free_steps if self._free else steps)(self._wire, order)
        self._step = next(self._steps)
        if follows and self._step[1] == NO_SIGNAL:  # said already, as the end of our burst before
            self._step = next(self._steps)
        return True

    def _adapt(self, order: line.SendEcm) -> None:
        """Find the rate that the road bears: what it lost of the burst before, it is not given the next time.

        Queues on the way have swallowed a part, so the road is narrower than the loss says: hence its square.
        """
        frames = max(1, len(order.frames) - _RCPS)
        base = self._wire.options.unpaced_tick
        if not order.again:
            self._tick = self._tick if self._asked else max(self._tick * FASTER, base)
        elif frames > max(FEW, self._said * LOSSY):
            kept = max(0.25, 1 - frames / self._said) if self._said else 1.0
            self._tick = min(self._tick / kept**2, base * SLOWEST)
        self._said, self._asked = frames, order.again

    def _perform(self, step: Step, now: float, late: float) -> None:
        wire = self._wire
        if step[2] == SIGNAL:
            self._base += late  # a preamble or training keeps its full length, however late it began
            self._send(step[1], wire.repeats, wire.control_depth, now)
            self._unprotected = 0
        elif step[2] == FREE:
            self._sent_at = now
            self.output.append(wire.sender.send(step[1], wire.image_depth, fitting=True))
        else:
            if late > wire.options.catch_up:
                self._base += late - wire.options.catch_up
            self._send(step[1], 1, self._depth(step[2]), now)
        assert self._steps is not None
        self._step = next(self._steps, None)
        if self._step is None:
            self._steps = None
            self._base = self._ready_at = now
            self._done_at = now + self._silence()

    def _silence(self) -> float:
        """What we keep behind a burst of ours."""
        return 0.0 if self._free else self._wire.options.silence * self._pace

    def _depth(self, kind: int) -> int:
        """Earlier packets behind this one. The first of a page still bring what control packets would have brought."""
        if kind == CONTROL:
            return self._wire.control_depth
        self._unprotected += 1
        return max(self._wire.image_depth, self._wire.control_depth + 1 - self._unprotected)

    def _send(self, packet: bytes, copies: int, depth: int, now: float) -> None:
        self._sent_at = now
        for _ in range(copies):
            self.output.append(self._wire.sender.send(packet, depth))
