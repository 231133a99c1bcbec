"""Deadlines by key.

Owns      one heap of deadlines in which a key is armed at most once.
Not here  what a deadline means (transaction.py, calls.py).
"""

import heapq
import math
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Timers(Generic[K]):
    """Absolute deadlines in seconds. Starting a running key moves it; stopping leaves a stale entry, swept later."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, K]] = []
        self._armed: dict[K, int] = {}
        self._serial = 0

    def __len__(self) -> int:
        return len(self._armed)

    def start(self, key: K, due: float) -> None:
        """Arm `key` for the time `due`."""
        self._serial += 1
        self._armed[key] = self._serial
        heapq.heappush(self._heap, (due, self._serial, key))
        if len(self._heap) > 64 + 4 * len(self._armed):
            self._heap = [entry for entry in self._heap if self._armed.get(entry[2]) == entry[1]]
            heapq.heapify(self._heap)

    def stop(self, key: K) -> None:
        """Disarm `key` if it is armed."""
        self._armed.pop(key, None)

    def next(self) -> float:
        """The earliest deadline, math.inf when nothing is armed."""
        heap = self._heap
        while heap and self._armed.get(heap[0][2]) != heap[0][1]:
            heapq.heappop(heap)
        return heap[0][0] if heap else math.inf

    def pop(self, now: float) -> K | None:
        """Disarm and return the earliest key that is due at `now`, None when there is none."""
        if self.next() > now:
            return None
        key = heapq.heappop(self._heap)[2]
        del self._armed[key]
        return key
