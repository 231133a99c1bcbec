"""How every trunk fares: what was seen of it last, and what is wrong, in a sentence.

Owns      the state of each trunk, the row that people and programs are shown.
Not here  finding out (registration, probing and calls tell), showing it (cli/trunks.py).

Times in are seconds on one monotonic clock; a row has ages, which mean the same to every reader.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from vfax.transports.sip.headers import Uri
from vfax.transports.sip.probing import Health, Probed
from vfax.transports.sip.registration import Registration, Standing
from vfax.trunks.options import TrunkOptions

MAX_SENTENCE: Final = 400
"""Limit: characters of one sentence in a row; peers have a part in some."""


class TrunkState(StrEnum):
    """A trunk in one word."""

    READY = "ready"
    UNTESTED = "untested"  # nothing has been seen of it yet
    TROUBLE = "trouble"  # calls may fail: see the reason
    DOWN = "down"  # calls will fail: see the reason
    DISABLED = "disabled"


class Direction(StrEnum):
    """Which way a call goes."""

    IN = "in"
    OUT = "out"


@dataclass(frozen=True, slots=True, kw_only=True)
class FaxSeen:
    """How a call ended, in a sentence.

    `ok`: the fax; `t38`: whether T.38 ran, None where it never came to that; `reached`: whether the other side was
    there, None where nobody can say.
    """

    ok: bool
    t38: bool | None
    reached: bool | None
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayRow:
    """One gateway: what OPTIONS say of it (`health` is empty where it is not asked), how long ago, how fast."""

    name: str
    health: str = ""
    age: float | None = None
    rtt: float | None = None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationRow:
    """A registration, the seconds that are left of it and until it is asked for again."""

    standing: str
    left: float | None = None
    next_try: float | None = None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRow:
    """Something that ended so many seconds ago, in a sentence."""

    ok: bool
    age: float
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrunkRow:
    """One trunk as it is shown; `reason` says in a sentence what is wrong, empty where nothing is.

    `t38_in` and `t38_out` are the last calls that came to T.38 or should have. `max_calls` 0 means any number.
    `public_address` is what the trunk is told of our address, where that is not simply our socket's.
    """

    name: str
    state: str
    reason: str = ""
    gateways: tuple[GatewayRow, ...] = ()
    registration: RegistrationRow | None = None
    calls_in: int = 0
    calls_out: int = 0
    max_calls: int = 0
    t38_in: ResultRow | None = None
    t38_out: ResultRow | None = None
    refused: int = 0
    last_refused: ResultRow | None = None
    public_address: str = ""


@dataclass(slots=True)
class _Last:
    """A result and when it was seen."""

    ok: bool
    why: str
    at: float

    def row(self, now: float) -> ResultRow:
        return ResultRow(ok=self.ok, age=max(0.0, now - self.at), sentence=self.why)


@dataclass(slots=True)
class _Known:
    """All that was seen of one trunk."""

    trunk: TrunkOptions
    registration: Registration | None
    probes: dict[str, tuple[Probed, float]] = field(default_factory=dict)
    road: _Last | None = None
    calls: dict[Direction, int] = field(default_factory=lambda: dict.fromkeys(Direction, 0))
    t38: dict[Direction, _Last] = field(default_factory=dict)
    refused: int = 0
    refusal: _Last | None = None


class TrunkBoard:
    """The state of all trunks. Names that are no trunk's are not listened to; no method raises."""

    def __init__(self, trunks: tuple[TrunkOptions, ...] = ()) -> None:
        self._known = {trunk.name: _Known(trunk, _first(trunk)) for trunk in trunks}

    # --- what is told ------------------------------------------------------------------------------

    def registration(self, name: str, seen: Registration) -> None:
        """How the registration stands."""
        if (known := self._known.get(name)) is not None:
            known.registration = seen

    def probe(self, name: str, gateway: Uri, seen: Probed, now: float) -> None:
        """What an OPTIONS to a gateway found."""
        if (known := self._known.get(name)) is not None and gateway in known.trunk.goals:
            known.probes[gateway.text] = seen, now

    def reachable(self, name: str, ok: bool, why: str, now: float) -> None:
        """Whether any gateway could be found and written to; `why` says what failed."""
        if (known := self._known.get(name)) is not None:
            known.road = _Last(ok, sentence_of(why), now)

    def began(self, name: str, direction: Direction) -> None:
        """A call began."""
        if (known := self._known.get(name)) is not None:
            known.calls[direction] += 1

    def ended(self, name: str, direction: Direction, seen: FaxSeen | None, now: float) -> None:
        """A call that began is over; None where nothing is to be said of it."""
        if (known := self._known.get(name)) is not None:
            known.calls[direction] = max(0, known.calls[direction] - 1)
            if seen is not None and seen.t38 is not None:
                known.t38[direction] = _Last(seen.t38 and seen.ok, sentence_of(seen.sentence), now)
            if seen is not None and seen.reached is not None:
                self.reachable(name, seen.reached, seen.sentence, now)

    def refused(self, name: str, why: str, now: float) -> None:
        """We did not take or make a call."""
        if (known := self._known.get(name)) is not None:
            known.refused += 1
            known.refusal = _Last(False, sentence_of(why), now)

    # --- what is shown -----------------------------------------------------------------------------

    def rows(self, now: float) -> tuple[TrunkRow, ...]:
        """All trunks in their order."""
        return tuple(_row(known, now) for known in self._known.values())


def _first(trunk: TrunkOptions) -> Registration | None:
    if trunk.register is None:
        return None
    return Registration(standing=Standing.REGISTERING, why=f"the trunk {trunk.name} is not registered yet")


def _row(known: _Known, now: float) -> TrunkRow:
    state, reason = _judged(known, now)
    into, out = known.t38.get(Direction.IN), known.t38.get(Direction.OUT)
    return TrunkRow(
        name=known.trunk.name,
        state=state.value,
        reason=reason,
        gateways=tuple(_gateway(known, uri, now) for uri in known.trunk.goals),
        registration=_registration(known.registration, now),
        calls_in=known.calls[Direction.IN],
        calls_out=known.calls[Direction.OUT],
        max_calls=known.trunk.limits.max_calls,
        t38_in=into.row(now) if into is not None else None,
        t38_out=out.row(now) if out is not None else None,
        refused=known.refused,
        last_refused=known.refusal.row(now) if known.refusal is not None else None,
    )


def _gateway(known: _Known, uri: Uri, now: float) -> GatewayRow:
    name = uri.text.partition(":")[2]
    if uri.text not in known.probes:
        return GatewayRow(name=name)
    seen, at = known.probes[uri.text]
    return GatewayRow(
        name=name, health=seen.health.value, age=max(0.0, now - at), rtt=seen.rtt, why=sentence_of(seen.why)
    )


def _registration(seen: Registration | None, now: float) -> RegistrationRow | None:
    if seen is None:
        return None
    return RegistrationRow(
        standing=seen.standing.value,
        left=_left(seen.until, now),
        next_try=_left(seen.next_try, now),
        why=sentence_of(seen.why),
    )


def _judged(known: _Known, now: float) -> tuple[TrunkState, str]:
    """The trunk in one word and, where it is not well, why: the worst comes first."""
    registration, probes = known.registration, [probe for probe, _ in known.probes.values()]
    down = [probe for probe in probes if probe.health is Health.DOWN]
    if not known.trunk.enabled:
        return TrunkState.DISABLED, f"The trunk {known.trunk.name} has enabled = false in the settings."
    if known.road is not None and not known.road.ok:
        return TrunkState.DOWN, known.road.why
    if registration is not None and registration.standing is Standing.FAILED:
        return TrunkState.DOWN, _next_try(registration, now)
    if down:
        everything = len(down) == len(known.trunk.goals)
        return (TrunkState.DOWN if everything else TrunkState.TROUBLE), sentence_of(down[0].why)
    if registration is not None and registration.standing is not Standing.REGISTERED:
        return TrunkState.TROUBLE, sentence_of(registration.why)
    failed = max((last for last in known.t38.values() if not last.ok), key=lambda last: last.at, default=None)
    if failed is not None:
        return TrunkState.TROUBLE, failed.why
    seen = registration is not None or known.road or known.t38 or any(probe.ok for probe in probes)
    return (TrunkState.READY if seen else TrunkState.UNTESTED), ""


def _next_try(seen: Registration, now: float) -> str:
    left = _left(seen.next_try, now)
    why = sentence_of(seen.why)
    return why if left is None else f"{why} The next try is in {left:.0f} s."


def _left(at: float | None, now: float) -> float | None:
    return None if at is None else max(0.0, at - now)


def sentence_of(text: str) -> str:
    """A text as a sentence of its own, of bounded length."""
    bounded = text if len(text) <= MAX_SENTENCE else f"{text[: MAX_SENTENCE - 3]}..."
    if not bounded:
        return bounded
    whole = bounded[0].upper() + bounded[1:] if bounded.split(" ", 1)[0].isalpha() else bounded
    return whole if whole[-1] in ".!?" else f"{whole}."
