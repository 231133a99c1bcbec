"""What one trunk may be asked for: calls at once, calls a second.

Owns      the token bucket, the gate that counts. Not here: waiting (calls.py), SIP's answers (transports/sip).

Times are seconds on one monotonic clock.
"""

import math
from dataclasses import dataclass, field

from vfax.trunks.options import LimitOptions


@dataclass(slots=True)
class TokenBucket:
    """`burst` at once, `rate` a second on average; rate 0.0 means no limit."""

    rate: float
    burst: int
    _tokens: float = field(init=False)
    _at: float = field(init=False, default=-math.inf)

    def __post_init__(self) -> None:
        self._tokens = float(self.burst)

    def wait(self, now: float) -> float:
        """Seconds until there is a token; 0.0 where there is one now."""
        if self.rate <= 0:
            return 0.0
        missing = 1.0 - self._level(now)
        return max(0.0, missing / self.rate) if missing > 1e-9 else 0.0

    def take(self, now: float) -> bool:
        """Take a token if there is one."""
        if self.rate <= 0:
            return True
        if self.wait(now) > 0:
            return False
        self._tokens, self._at = max(0.0, self._level(now) - 1.0), now
        return True

    def _level(self, now: float) -> float:
        if self._at == -math.inf:
            return self._tokens
        return min(float(self.burst), self._tokens + max(0.0, now - self._at) * self.rate)


@dataclass(frozen=True, slots=True)
class Turn:
    """What a call hears at the gate: it may go, it may come back in `wait` seconds (inf: no telling), and why."""

    goes: bool
    wait: float = 0.0
    why: str = ""


class Gate:
    """The gate of one trunk. Every call that may go is counted until `leave`."""

    def __init__(self, name: str, options: LimitOptions) -> None:
        self._name = name
        self._options = options
        self._bucket = TokenBucket(options.calls_per_second, options.burst)
        self.running = 0

    def enter(self, now: float) -> Turn:
        """Ask for a turn."""
        limit, rate = self._options.max_calls, self._options.calls_per_second
        if limit and self.running >= limit:
            calls = "1 call" if self.running == 1 else f"{self.running} calls"
            why = f"the trunk {self._name} has {calls}, and max_calls = {limit} is all that it takes"
            return Turn(goes=False, wait=math.inf, why=why)
        if not self._bucket.take(now):
            return Turn(goes=False, wait=self._bucket.wait(now), why=f"{self._too_many} calls_per_second = {rate:g}")
        self.running += 1
        return Turn(goes=True)

    def crowded(self, now: float) -> Turn:
        """What a call hears whose time was up before it got to the gate."""
        return Turn(goes=False, wait=self._bucket.wait(now), why=f"{self._too_many} its limits allow")

    @property
    def _too_many(self) -> str:
        return f"more calls are waiting for the trunk {self._name} than"

    def leave(self) -> None:
        """A call that went is over."""
        self.running = max(0, self.running - 1)
