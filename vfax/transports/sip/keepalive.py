"""Keep-alives of SIP over UDP: so that a NAT or a firewall keeps a way open that says nothing for a while.

Owns      when two line ends go where.
Not here  which ways matter (nat.py), connections (sip_connection.py), OPTIONS (outside.py), media (t38_voice.py).
Source    RFC 5626 (October 2009) 4.4.1 for the time between them; two line ends over UDP are custom, where that RFC has
          STUN, and every SIP peer passes them over.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from vfax.transports.sip.options import Dice
from vfax.transports.sip.values import Destination, Send

PING: Final = b"\r\n\r\n"
EARLIEST: Final = 0.8
"""RFC 5626 4.4.1: between 80 and 100 % of the interval, so that clients do not fall into step."""
MAX_KEPT: Final = 1000
"""Limit: ways kept open."""


class KeepAliveMode(StrEnum):
    """Towards whom. A way of a trunk goes by what that trunk has."""

    AUTO = "auto"  # in calls, where an answer has shown a NAT on the way; registrations
    CRLF = "crlf"  # everybody we have a call with, and every trunk
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepAliveOptions:
    """Times in seconds."""

    mode: KeepAliveMode = KeepAliveMode.AUTO
    interval: float = 25.0  # NATs forget UDP after 30 s and more


class KeepAlive:
    """The clock of all ways that are to be kept open; the owner names them each time, each with its interval.

    `shortest` is the shortest of the intervals: new ways are seen a fifth of it after they have come at the latest.
    """

    def __init__(self, shortest: float, dice: Dice, now: float) -> None:
        self._look_every = shortest * (1 - EARLIEST)
        self._dice = dice
        self._due: dict[Destination, float] = {}
        self._output: list[Send] = []
        self._look_at = now

    def __len__(self) -> int:
        return len(self._due)

    def take_output(self) -> list[Send]:
        """What to send."""
        taken, self._output = self._output, []
        return taken

    def next_timeout(self) -> float:
        """When `handle_timeout` wants to be called, if only to be told of ways that are new."""
        return min([self._look_at, *self._due.values()])

    def handle_timeout(self, now: float, ways: Mapping[Destination, float]) -> None:
        """Send what is due to `ways`; those that are not among them any more are forgotten."""
        for gone in self._due.keys() - ways.keys():
            del self._due[gone]
        for way, interval in ways.items():
            if way not in self._due:
                if len(self._due) < MAX_KEPT:
                    self._due[way] = now + self._pause(interval)
            elif now >= self._due[way]:
                self._due[way] = now + self._pause(interval)
                self._output.append(Send(PING, way))
        self._look_at = now + self._look_every

    def _pause(self, interval: float) -> float:
        return interval * (EARLIEST + (1 - EARLIEST) * self._dice.getrandbits(16) / 0xFFFF)
