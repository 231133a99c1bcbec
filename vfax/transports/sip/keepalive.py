"""Keep-alives of SIP: so that a NAT or a firewall on the way keeps a flow open that says nothing for a while.

Owns      when two line ends go where, and which connection has died.
Not here  which flows matter (endpoint.py), OPTIONS (outside.py), keep-alives of media (t38_voice.py).
Source    RFC 5626 (October 2009) 3.5.1, 4.4.1; over UDP two line ends are custom, where that RFC has STUN.

Deviation: RFC 5626 takes a connection for dead when no answer comes within 10 s. Peers that do not know that RFC never
answer; so only a connection on which an answer has once come is taken for dead when one stays out.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from vfax.transports.sip.options import Dice
from vfax.transports.sip.values import Destination, Flow, Send, Transport

PING: Final = b"\r\n\r\n"
PONG: Final = b"\r\n"
EARLIEST: Final = 0.8
"""RFC 5626 4.4.1: between 80 and 100 % of the interval, so that clients do not fall into step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepAliveOptions:
    """Times in seconds."""

    udp_interval: float = 25.0  # NATs forget UDP after 30 s and more; 0: none
    stream_interval: float = 120.0  # RFC 5626 4.4.1; 0: none
    pong_within: float = 10.0  # RFC 5626 4.4.1
    max_kept: int = 1000  # Limit: flows kept alive


@dataclass(slots=True)
class _Kept:
    due: float
    answers: bool = False  # it has once answered
    waiting: bool = False  # for the answer to the last one
    late_at: float = 0.0


class KeepAlive:
    """The clock of all flows that are to be kept open; the owner names them each time."""

    def __init__(self, options: KeepAliveOptions, dice: Dice, now: float) -> None:
        self._options = options
        self._dice = dice
        self._kept: dict[Destination, _Kept] = {}
        self._output: list[Send] = []
        self._lost: list[Flow] = []
        self._look_at = now + self._shortest()

    def __len__(self) -> int:
        return len(self._kept)

    def take_output(self) -> list[Send]:
        """What to send."""
        taken, self._output = self._output, []
        return taken

    def take_lost(self) -> list[Flow]:
        """Connections that answered before and do so no more: close them."""
        taken, self._lost = self._lost, []
        return taken

    def next_timeout(self) -> float:
        """When `handle_timeout` wants to be called: also to be told of flows that are new."""
        dues = [kept.late_at if kept.waiting else kept.due for kept in self._kept.values()]
        return min([self._look_at, *dues])

    def handle_timeout(self, now: float, flows: Iterable[Destination]) -> None:
        """Send what is due to `flows`; those that are not among them any more are forgotten."""
        wanted = dict.fromkeys(flows)
        for gone in self._kept.keys() - wanted.keys():
            del self._kept[gone]
        for flow in wanted:
            self._serve(flow, now)
        self._look_at = now + self._shortest()

    def heard(self, flow: Flow) -> None:
        """A connection brought a single line end, or anything else: it lives."""
        for to, kept in self._kept.items():
            if to == flow or (to.transport, to.address) == (flow.transport, flow.remote):
                kept.answers = kept.answers or kept.waiting
                kept.waiting = False

    def _serve(self, flow: Destination, now: float) -> None:
        interval = self._interval(flow)
        kept = self._kept.get(flow)
        if kept is None:
            if interval > 0 and len(self._kept) < self._options.max_kept:
                self._kept[flow] = _Kept(now + self._jittered(interval))
        elif kept.waiting and now >= kept.late_at:
            kept.waiting = False
            if kept.answers and isinstance(flow, Flow):
                del self._kept[flow]
                self._lost.append(flow)
        elif now >= kept.due:
            kept.due = now + self._jittered(interval)
            kept.waiting = flow.transport.reliable
            kept.late_at = now + self._options.pong_within
            self._output.append(Send(PING, flow))

    def _interval(self, flow: Destination) -> float:
        return self._options.udp_interval if flow.transport is Transport.UDP else self._options.stream_interval

    def _jittered(self, interval: float) -> float:
        return interval * (EARLIEST + (1 - EARLIEST) * self._dice.getrandbits(16) / 0xFFFF)

    def _shortest(self) -> float:
        """New flows are seen early enough for their first keep-alive."""
        intervals = [one for one in (self._options.udp_interval, self._options.stream_interval) if one > 0]
        return min(intervals, default=3600.0) * (1 - EARLIEST)
