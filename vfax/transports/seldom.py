"""Sentences for the operator that others can bring about: of one address now and then, and not of all the world.

Owns      who was spoken of, and when. Not here: the sentences, who hears them.
"""

from typing import Final

TOLD_EVERY: Final = 60.0
"""Seconds until the operator hears of the same one again."""
MAX_TOLD: Final = 20
"""Limit: those of whom the operator hears in that time. Our answers to forged senders come back from any number."""


class Seldom:
    """Keeps a log from being filled by strangers."""

    def __init__(self) -> None:
        self._told: dict[object, float] = {}  # when it was; the oldest first

    def may_tell_of(self, one: object, now: float) -> bool:
        """Whether the operator is to hear of it now; then it counts as told."""
        while self._told and now - next(iter(self._told.values())) >= TOLD_EVERY:
            del self._told[next(iter(self._told))]
        if one in self._told or len(self._told) >= MAX_TOLD:
            return False
        self._told[one] = now
        return True
