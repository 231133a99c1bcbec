"""A bad line in virtual time: what a network does to datagrams, decided by seeded dice.

Owns      loss (single and in bursts), delay, jitter, doubling, reordering, cutting, bit errors and a bottleneck, one
          direction.
Not here  what the datagrams are; clocks and sockets.
Source    none: loss in bursts is the two-state model of Gilbert (1960).
"""

import math
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Final, Protocol

HEADERS: Final = 28
"""Octets of IPv4 and UDP around a datagram: they take time in a bottleneck, too."""


class Dice(Protocol):
    """Where chance comes from; `random.Random(seed)` is one."""

    def random(self) -> float:
        """A number from 0 up to, not including, 1."""
        ...

    def randrange(self, stop: int, /) -> int:
        """An integer from 0 up to, not including, `stop`."""
        ...


class Road(Protocol):
    """One direction between two sockets; `BadLine` is one."""

    def send(self, datagram: bytes, now: float) -> None:
        """Give a datagram to the road."""
        ...

    def arrivals(self, now: float) -> list[bytes]:
        """Take what has arrived."""
        ...

    def next_arrival(self) -> float:
        """When the next datagram arrives; math.inf for never."""
        ...


class BadLine:
    """One direction of a line. Chances are 0 to 1, times are seconds.

    `loss` is the chance that a datagram is lost, `burst_loss` the chance that one is lost whose predecessor was;
    `duplicate` that it comes twice; `reorder` that it is overtaken by what follows within 50 ms; `truncate` that it
    is cut anywhere; `flip` that one of its bits is inverted. Each arrives after `delay` and up to `jitter` more, never
    before a datagram sent earlier unless it was chosen to be overtaken.

    A narrow line carries `rate_bps`, and what finds more than `queue` octets waiting there is lost.
    """

    OVERTAKEN = 0.05

    def __init__(
        self,
        dice: Dice,
        *,
        loss: float = 0.0,
        burst_loss: float = 0.0,
        duplicate: float = 0.0,
        reorder: float = 0.0,
        delay: float = 0.02,
        jitter: float = 0.0,
        truncate: float = 0.0,
        flip: float = 0.0,
        rate_bps: float = math.inf,
        queue: float = 65536,
    ) -> None:
        self._dice = dice
        self._loss = loss
        self._burst_loss = burst_loss
        self._duplicate = duplicate
        self._reorder = reorder
        self._delay = delay
        self._jitter = jitter
        self._truncate = truncate
        self._flip = flip
        self._rate_bps = rate_bps
        self._queue = queue
        self._queued_until = -math.inf
        self._lost_last = False
        self._latest = -math.inf
        self._count = 0
        self._under_way: list[tuple[float, int, bytes]] = []
        self.lost = 0
        self.lost_together = 0  # the most that were lost one after the other
        self._run = 0

    def send(self, datagram: bytes, now: float) -> None:
        """Give a datagram to the line at `now`."""
        leaves = self._squeeze(len(datagram) + HEADERS, now)
        if leaves == math.inf or self._loses():
            self.lost += 1
            self._run += 1
            self.lost_together = max(self.lost_together, self._run)
            return
        self._run = 0
        for _ in range(2 if self._happens(self._duplicate) else 1):
            self._carry(self._damage(datagram), leaves)

    def arrivals(self, now: float) -> list[bytes]:
        """Take what has arrived up to `now`, in order of arrival."""
        here: list[bytes] = []
        while self._under_way and self._under_way[0][0] <= now:
            here.append(heappop(self._under_way)[2])
        return here

    def next_arrival(self) -> float:
        """When the next datagram arrives; math.inf when none is under way."""
        return self._under_way[0][0] if self._under_way else math.inf

    def _squeeze(self, octets: int, now: float) -> float:
        """When so many octets have gone through the bottleneck; math.inf when there is no room for them."""
        if self._rate_bps == math.inf:
            return now
        begins = max(now, self._queued_until)
        if (begins - now) * self._rate_bps / 8 + octets > self._queue:
            return math.inf
        self._queued_until = begins + octets * 8 / self._rate_bps
        return self._queued_until

    def _happens(self, chance: float) -> bool:
        return chance > 0 and self._dice.random() < chance

    def _loses(self) -> bool:
        self._lost_last = self._happens(max(self._loss, self._burst_loss) if self._lost_last else self._loss)
        return self._lost_last

    def _carry(self, datagram: bytes, now: float) -> None:
        due = now + self._delay + self._jitter * self._dice.random()
        if self._happens(self._reorder):
            due += self.OVERTAKEN * self._dice.random()
        else:
            due = self._latest = max(due, self._latest)
        self._count += 1
        heappush(self._under_way, (due, self._count, datagram))

    def _damage(self, datagram: bytes) -> bytes:
        if datagram and self._happens(self._truncate):
            datagram = datagram[: self._dice.randrange(len(datagram))]
        if datagram and self._happens(self._flip):
            at = self._dice.randrange(len(datagram))
            datagram = b"".join(
                (datagram[:at], bytes((datagram[at] ^ 1 << self._dice.randrange(8),)), datagram[at + 1 :])
            )
        return datagram


@dataclass(frozen=True, slots=True, kw_only=True)
class LineFaults:
    """What a line of the simulation does to datagrams: probabilities, and seconds. See `BadLine`."""

    loss: float = 0.0
    burst_loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay: float = 0.02
    jitter: float = 0.0
    truncate: float = 0.0
    flip: float = 0.0
    rate_bps: float = math.inf
    queue: int = 65536

    def line(self, dice: Dice) -> BadLine:
        """One direction of such a line."""
        return BadLine(
            dice,
            loss=self.loss,
            burst_loss=self.burst_loss,
            duplicate=self.duplicate,
            reorder=self.reorder,
            delay=self.delay,
            jitter=self.jitter,
            truncate=self.truncate,
            flip=self.flip,
            rate_bps=self.rate_bps,
            queue=self.queue,
        )
