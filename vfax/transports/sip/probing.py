"""OPTIONS probes: whether what we call by is there.

Owns      when a peer is asked, what its answer says, up and down with their hysteresis, the sentence about it.
Not here  sending (agent.py), what is done about a peer that is down.
Source    RFC 3261 (June 2002) 11.

One engine for all peers of a machine, shaped as registration.py.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from vfax.errors import MisuseError
from vfax.transports.sip.options import Dice
from vfax.transports.sip.syntax import legible, printable
from vfax.transports.sip.timers import Timers

MIN_INTERVAL: Final = 1.0  # Limit: s between two probes
MAX_TEXT: Final = 200

SICK: Final[dict[int, str]] = {
    408: "nobody behind it answers",
    500: "it has an inner error",
    502: "what is behind it answers wrongly",
    503: "it is overloaded or going down",
    504: "what is behind it does not answer",
}
"""Answers that say that a call would fail. Every other one, refusals included, shows that somebody is there."""


class Health(StrEnum):
    """What is known of a peer."""

    UNKNOWN = "unknown"
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeOptions:
    """How a peer is probed."""

    interval: float = 60.0  # s, a tenth less by chance
    failures: int = 2  # in a row: it is down
    successes: int = 1  # in a row: it is up


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """Event: one probe has ended. `health` is what follows from it and those before; `why` a whole sentence.

    `rtt` is the time from the question to its answer, s, None when none came; `since` when `health` began.
    """

    key: str
    health: Health
    ok: bool
    why: str
    status: int | None
    rtt: float | None
    since: float
    changed: bool


@dataclass(slots=True, eq=False)
class _Peer:
    options: ProbeOptions
    name: str
    health: Health = Health.UNKNOWN
    since: float = 0.0
    good: int = 0
    bad: int = 0
    asked_at: float | None = None  # a probe is out


class Probes:
    """All peers that are probed."""

    def __init__(self, dice: Dice) -> None:
        self._dice = dice
        self._peers: dict[str, _Peer] = {}
        self._timers: Timers[str] = Timers()
        self._orders: list[str] = []
        self._events: list[Probed] = []

    def take_orders(self) -> list[str]:
        """Keys of the peers that are to be asked now; each is to be followed by `sent`, if it is, and `on_result`."""
        taken, self._orders = self._orders, []
        return taken

    def take_events(self) -> list[Probed]:
        """What the probes found."""
        taken, self._events = self._events, []
        return taken

    def next_timeout(self) -> float:
        """When handle_timeout wants to be called; math.inf for never."""
        return self._timers.next()

    def health(self, key: str) -> Health:
        """What is known of a peer; UNKNOWN for one that is not probed."""
        return self._peers[key].health if key in self._peers else Health.UNKNOWN

    def add(self, key: str, name: str, options: ProbeOptions, now: float) -> None:
        """Probe a peer from now on; `name` is what sentences call it. Its first probe is due at once."""
        if key in self._peers:
            raise MisuseError(f"{key!r} is probed already")
        self._peers[key] = _Peer(options, name, since=now)
        self._timers.start(key, now)

    def remove(self, key: str) -> None:
        """Probe a peer no more; the result of a probe that is out is not waited for."""
        self._peers.pop(key, None)
        self._timers.stop(key)

    def handle_timeout(self, now: float) -> None:
        """Ask those who are due."""
        while (key := self._timers.pop(now)) is not None:
            self._peers[key].asked_at = now
            self._orders.append(key)

    def sent(self, key: str, now: float) -> None:
        """The question has left, once its way was found; what counts as `rtt` begins here."""
        peer = self._peers.get(key)
        if peer is not None and peer.asked_at is not None:
            peer.asked_at = now

    def on_result(self, key: str, status: int, reason: str, now: float, *, heard: bool) -> None:
        """A probe has ended with `status`; `heard`: somebody said so, else it is our own word (408, 503)."""
        peer = self._peers.get(key)
        if peer is None or peer.asked_at is None:
            return
        rtt, peer.asked_at = now - peer.asked_at, None
        ok = heard and status not in SICK
        before = peer.health
        self._weigh(peer, ok, now)
        interval = max(MIN_INTERVAL, peer.options.interval * (1 - self._dice.randrange(0, 1001) / 10_000))
        self._timers.start(key, now + interval)
        self._events.append(
            Probed(
                key=key,
                health=peer.health,
                ok=ok,
                why=_sentence(peer, ok, status, printable(legible(reason))[:MAX_TEXT], heard),
                status=status if heard else None,
                rtt=rtt if heard else None,
                since=peer.since,
                changed=peer.health is not before,
            )
        )

    def _weigh(self, peer: _Peer, ok: bool, now: float) -> None:
        peer.good, peer.bad = (peer.good + 1, 0) if ok else (0, peer.bad + 1)
        health = peer.health
        if peer.good >= peer.options.successes:
            health = Health.UP
        elif peer.bad >= peer.options.failures:
            health = Health.DOWN
        if health is not peer.health:
            peer.health, peer.since = health, now


def _sentence(peer: _Peer, ok: bool, status: int, reason: str, heard: bool) -> str:
    if ok:
        return f"{peer.name} answers ({status} {reason} to OPTIONS)"
    if heard:
        return f"{peer.name} answers OPTIONS with {status} {reason}: {SICK[status]}"
    if status != 408:
        return f"{peer.name} cannot be asked: {reason}"
    times = "" if peer.bad == 1 else f", {peer.bad} times in a row"
    return f"{peer.name} does not answer OPTIONS{times}: {reason} (check its address, the network and the firewall)"
