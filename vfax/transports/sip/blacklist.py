"""Targets that failed a while ago are passed over, each with its reason and for a time.

Owns      the list, its bounds, what is left of an order of targets.
Not here  what counts as a failure (errands.py tells it), the order itself (locate.py).
Source    RFC 3263 4.3; RFC 3261 21.5.4 (503 with Retry-After).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vfax.transports.sip.values import Address, Hop, Transport

_Key = tuple[Transport, str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlacklistOptions:
    """Bounds; times in seconds."""

    passed_over_for: float = 60.0  # a target that was silent or could not be reached; 0: never
    max_passed_over: float = 600.0  # Limit: of what a Retry-After may ask
    max_listed: int = 1000  # Limit: targets on the list


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A target on the list; `why` is a clause such as "it did not answer"."""

    transport: Transport
    address: Address
    why: str
    until: float

    def sentence(self, now: float) -> str:
        """For people."""
        host = f"[{self.address[0]}]" if ":" in self.address[0] else self.address[0]
        seconds = max(1, math.ceil(self.until - now))
        return f"{host}:{self.address[1]} over {self.transport} is passed over for {seconds} s more: {self.why}"


class Blacklist:
    """The list. The entry that would go first makes room for a new one."""

    def __init__(self, options: BlacklistOptions) -> None:
        self._options = options
        self._listed: dict[_Key, PassedOver] = {}

    def __len__(self) -> int:
        return len(self._listed)

    def put(self, hop: Hop, why: str, now: float, *, retry_after: float | None = None) -> None:
        """List a target: for `retry_after`, else as long as the options say."""
        options = self._options
        wanted = options.passed_over_for if retry_after is None else retry_after
        seconds = min(wanted, options.max_passed_over)
        if seconds <= 0:
            return
        self._listed.pop(_key(hop), None)
        if len(self._listed) >= options.max_listed:
            self._make_room(now)
        self._listed[_key(hop)] = PassedOver(hop.transport, hop.address, why, now + seconds)

    def clear(self, hop: Hop) -> None:
        """A target has answered: it is tried again as any other."""
        self._listed.pop(_key(hop), None)

    def find(self, hop: Hop, now: float) -> PassedOver | None:
        """The entry of a target that still counts."""
        listed = self._listed.get(_key(hop))
        return listed if listed is not None and now < listed.until else None

    def sift(self, targets: Sequence[Hop], now: float) -> tuple[tuple[Hop, ...], tuple[PassedOver, ...]]:
        """The targets to try, in their order, and what was passed over. When all are listed, all are to be tried."""
        found = [(hop, self.find(hop, now)) for hop in targets]
        good = tuple(hop for hop, listed in found if listed is None)
        bad = tuple(listed for _, listed in found if listed is not None)
        return (good, bad) if good else (tuple(targets), ())

    def listed(self, now: float) -> tuple[PassedOver, ...]:
        """All that count, the first to go first."""
        return tuple(sorted((one for one in self._listed.values() if now < one.until), key=lambda one: one.until))

    def _make_room(self, now: float) -> None:
        stale = [key for key, one in self._listed.items() if one.until <= now]
        for key in stale or [min(self._listed, key=lambda listed: self._listed[listed].until)]:
            del self._listed[key]


def _key(hop: Hop) -> _Key:
    return hop.transport, hop.host, hop.port
