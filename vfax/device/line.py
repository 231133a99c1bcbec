"""One line: one device id, one call at a time.

Owns      who holds a line, the call that rings on it, and why a ring came to nothing.
Not here  posting the ring (provider.py), the operation (job.py).

    IDLE ──call──► RINGING ──Receive──► IN_CALL ──EndJob──► IDLE
      │               └─caller gave up, host silent──► IDLE
      └──StartJob──► RESERVED ──Send──► IN_CALL

StartJob on a ringing line holds nothing: it cannot know whether Send or Receive will follow, and a Send that meets
a ringing call must not take the call away from the job that will answer it.
"""

from enum import Enum, auto
from typing import Final

import trio

from vfax.call import InboundCall
from vfax.outcome import Cause, Outcome, Phase
from vfax.verdict import without_call


class LineState(Enum):
    """Who has the line."""

    IDLE = auto()
    RINGING = auto()
    RESERVED = auto()
    IN_CALL = auto()


GAVE_UP: Final = without_call(
    Cause.PEER_HUNG_UP, "The caller gave up before the call was answered.", sending=False, phase=Phase.CALL
)
IN_USE: Final = without_call(Cause.LINE_UNAVAILABLE, "The line is in use.", sending=True)
SENDING_OFF: Final = without_call(Cause.LINE_UNAVAILABLE, "Sending is switched off on this line.", sending=True)


class Ring:
    """A call that waits for Receive. `watch` surrounds the task that waits for its early end."""

    __slots__ = ("call", "watch")

    def __init__(self, call: InboundCall) -> None:
        self.call = call
        self.watch = trio.CancelScope()


class Line:
    """The state of one device. All methods run in the provider's trio run; any thread may set the two switches."""

    __slots__ = ("_owner", "device_id", "missed", "receive_enabled", "ringing", "send_enabled", "state")

    def __init__(self, device_id: int) -> None:
        self.device_id = device_id
        self.state = LineState.IDLE
        self.receive_enabled = True
        self.send_enabled = True
        self.ringing: Ring | None = None
        self.missed: Outcome | None = None  # why the last ring is over, until another call comes
        self._owner: object | None = None

    def ring(self, call: InboundCall) -> Ring:
        """Begin to ring; the line must be idle."""
        self.state = LineState.RINGING
        self.ringing = Ring(call)
        self.missed = None
        return self.ringing

    def miss(self, ring: Ring, why: Outcome) -> bool:
        """The ring came to nothing. False when it is no longer the one that rings: it has been taken."""
        if self.ringing is not ring:
            return False
        self.ringing = None
        self.missed = why
        self.state = LineState.IDLE
        return True

    def reserve(self, job: object) -> None:
        """Hold an idle line for a job; otherwise do nothing."""
        if self.state is LineState.IDLE:
            self.state = LineState.RESERVED
            self._owner = job

    def seize(self, job: object) -> Outcome | None:
        """Take the line for a call out. An outcome says why not."""
        if not self.send_enabled:
            return SENDING_OFF
        self.reserve(job)  # the ring that was here when the job started may be over
        if self._owner is not job:
            return IN_USE
        self.state = LineState.IN_CALL
        return None

    def take(self, job: object) -> InboundCall | None:
        """Take the ringing call, or None."""
        if self.ringing is None:
            return None
        ring, self.ringing = self.ringing, None
        ring.watch.cancel()
        self.state = LineState.IN_CALL
        self._owner = job
        return ring.call

    def held_by_another(self, job: object) -> bool:
        """True when some other job has the line."""
        return self._owner is not None and self._owner is not job

    def release(self, job: object) -> None:
        """Give the line back; harmless when the job does not hold it."""
        if self._owner is job:
            self._owner = None
            self.state = LineState.IDLE
            self.missed = None
