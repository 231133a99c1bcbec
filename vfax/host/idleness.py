"""When a service that has nothing to do may end by itself.

Owns      the decision, as a value of looks at the service and time. Not here: what keeps one busy, and its end
          (server.py).
Source    FaxClose: closing the handle lets a fax service that is idle shut itself down, and an open one keeps it alive.
          How long that takes is not published, so it is the operator's.
"""

from dataclasses import dataclass
from typing import Final

LOOK: Final = 1.0
"""Longest time between two looks, in seconds: what comes and goes in between is seen by what has happened."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One look: `busy` where anything keeps the service alive; `happened` differs once anything has."""

    busy: bool
    happened: tuple[int, ...] = ()


class Idleness:
    """Tells when a service has been idle for `limit` seconds; times are seconds on one clock."""

    def __init__(self, limit: float, now: float) -> None:
        self._limit = limit
        self._since = now
        self._happened: tuple[int, ...] | None = None

    def look(self, scene: Scene, now: float) -> bool:
        """Take a look; True when it has been idle for long enough."""
        if scene.busy or scene.happened != self._happened:
            self._since = now
        self._happened = scene.happened
        return not scene.busy and self.due(now)

    def due(self, now: float) -> bool:
        """Whether so much time has passed since anything was seen."""
        return now - self._since >= self._limit

    def restart(self, now: float) -> None:
        """There is work that no look can see: count from here."""
        self._since = now

    def pause(self, now: float) -> float:
        """Seconds until the next look."""
        return max(0.0, min(LOOK, self._since + self._limit - now))
