"""How every trunk fares: what was seen of it last, and what is wrong, in a sentence.

Owns      the state of each trunk, the row that people and programs are shown.
Not here  finding out (registration, probing and calls tell), showing it (cli/trunks.py).

Times in are seconds on one monotonic clock; a row has ages, which mean the same to every reader.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Self

from vfax.errors import DecodeError
from vfax.trunks.options import TrunkOptions

MAX_SENTENCE = 400
"""Limit: characters of one sentence in a row; peers have a part in some."""


class TrunkState(StrEnum):
    """A trunk in one word."""

    READY = "ready"
    UNTESTED = "untested"  # nothing has been seen of it yet
    TROUBLE = "trouble"  # calls may fail: see the reason
    DOWN = "down"  # calls will fail: see the reason
    DISABLED = "disabled"


class Registered(StrEnum):
    """How a registration stands."""

    OFF = "off"  # this trunk does not register
    REGISTERING = "registering"
    REGISTERED = "registered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationSeen:
    """What the registration engine tells. `until` and `next_try` are points in time; `why` is a sentence."""

    state: Registered
    why: str = ""
    until: float | None = None
    next_try: float | None = None
    status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeSeen:
    """What became of an OPTIONS; `rtt` is the time to its answer."""

    ok: bool
    why: str = ""
    status: int | None = None
    rtt: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FaxSeen:
    """How a call of the trunk ended: `ok` the fax, `t38` whether T.38 ran, in a sentence."""

    ok: bool
    t38: bool | None
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrunkRow:
    """One trunk as it is shown. Ages and times to go in seconds, None for never; T.38 results as sentences."""

    name: str
    state: str
    reason: str = ""
    gateways: str = ""
    registration: str = Registered.OFF
    registration_left: float | None = None
    registration_next: float | None = None
    registration_why: str = ""
    probe_age: float | None = None
    probe_ok: bool | None = None
    probe_rtt: float | None = None
    probe_why: str = ""
    calls_in: int = 0
    calls_out: int = 0
    max_calls: int = 0
    t38_in: bool | None = None
    t38_in_age: float | None = None
    t38_in_why: str = ""
    t38_out: bool | None = None
    t38_out_age: float | None = None
    t38_out_why: str = ""
    refused: int = 0
    refused_age: float | None = None
    refused_why: str = ""
    public_address: str = ""

    @classmethod
    def of_json(cls, told: object) -> Self:
        """Read what `to_json` wrote. Raises DecodeError."""
        if not isinstance(told, Mapping):
            raise DecodeError("a trunk's row that is no object")
        known = {one.name for one in fields(cls)}
        try:
            return cls(**{str(key): value for key, value in told.items() if key in known})
        except TypeError:
            raise DecodeError("a trunk's row without name or state") from None

    def to_json(self) -> dict[str, str | int | float | bool | None]:
        """As JSON has it."""
        return {one.name: getattr(self, one.name) for one in fields(self)}


@dataclass(slots=True)
class _Last:
    """A result and when it was seen."""

    ok: bool | None
    why: str
    at: float


@dataclass(slots=True)
class _Known:
    """All that was seen of one trunk."""

    trunk: TrunkOptions
    registration: RegistrationSeen
    probe: ProbeSeen | None = None
    probe_at: float = 0.0
    road: _Last | None = None
    calls: dict[str, int] = field(default_factory=lambda: {"in": 0, "out": 0})
    t38: dict[str, _Last] = field(default_factory=dict)
    refused: int = 0
    refusal: _Last | None = None
    public: str = ""


class TrunkBoard:
    """The state of all trunks. Names that are no trunk's are not listened to; no method raises."""

    def __init__(self, trunks: tuple[TrunkOptions, ...] = ()) -> None:
        self._known = {
            trunk.name: _Known(
                trunk,
                RegistrationSeen(state=Registered.OFF if trunk.register is None else Registered.REGISTERING),
            )
            for trunk in trunks
        }

    # --- what is told ------------------------------------------------------------------------------

    def registration(self, name: str, seen: RegistrationSeen, now: float) -> None:
        """How the registration stands."""
        if (known := self._known.get(name)) is not None:
            known.registration = replace(seen, why=_bounded(seen.why))

    def probe(self, name: str, seen: ProbeSeen, now: float) -> None:
        """What became of an OPTIONS."""
        if (known := self._known.get(name)) is not None:
            known.probe, known.probe_at = replace(seen, why=_bounded(seen.why)), now

    def reachable(self, name: str, ok: bool, why: str, now: float) -> None:
        """Whether any gateway could be found and written to; `why` says what failed."""
        if (known := self._known.get(name)) is not None:
            known.road = _Last(ok, _bounded(why), now)

    def began(self, name: str, direction: str, now: float) -> None:
        """A call began; `direction` is "in" or "out"."""
        if (known := self._known.get(name)) is not None:
            known.calls[direction] += 1

    def ended(self, name: str, direction: str, seen: FaxSeen, now: float) -> None:
        """A call that began is over."""
        if (known := self._known.get(name)) is not None:
            known.calls[direction] = max(0, known.calls[direction] - 1)
            if seen.t38 is not None:
                known.t38[direction] = _Last(seen.t38 and seen.ok, _bounded(seen.sentence), now)

    def refused(self, name: str, why: str, now: float) -> None:
        """We did not take or make a call."""
        if (known := self._known.get(name)) is not None:
            known.refused += 1
            known.refusal = _Last(False, _bounded(why), now)

    def address(self, name: str, public: str) -> None:
        """Where the other side sees us."""
        if (known := self._known.get(name)) is not None:
            known.public = _bounded(public)

    # --- what is shown -----------------------------------------------------------------------------

    def rows(self, now: float) -> tuple[TrunkRow, ...]:
        """All trunks in their order."""
        return tuple(_row(known, now) for known in self._known.values())


def _row(known: _Known, now: float) -> TrunkRow:
    state, reason = _judged(known, now)
    seen, probe, limits = known.registration, known.probe, known.trunk.limits
    into, out = known.t38.get("in"), known.t38.get("out")
    return TrunkRow(
        name=known.trunk.name,
        state=state,
        reason=reason,
        gateways=", ".join(_place(uri.text) for uri in known.trunk.goals),
        registration=seen.state,
        registration_left=_left(seen.until, now),
        registration_next=_left(seen.next_try, now),
        registration_why=seen.why,
        probe_age=now - known.probe_at if probe is not None else None,
        probe_ok=probe.ok if probe is not None else None,
        probe_rtt=probe.rtt if probe is not None else None,
        probe_why=probe.why if probe is not None else "",
        calls_in=known.calls["in"],
        calls_out=known.calls["out"],
        max_calls=limits.max_calls,
        t38_in=into.ok if into is not None else None,
        t38_in_age=now - into.at if into is not None else None,
        t38_in_why=into.why if into is not None else "",
        t38_out=out.ok if out is not None else None,
        t38_out_age=now - out.at if out is not None else None,
        t38_out_why=out.why if out is not None else "",
        refused=known.refused,
        refused_age=now - known.refusal.at if known.refusal is not None else None,
        refused_why=known.refusal.why if known.refusal is not None else "",
        public_address=known.public,
    )


def _judged(known: _Known, now: float) -> tuple[TrunkState, str]:
    """The trunk in one word and, where it is not well, why: the worst comes first."""
    if not known.trunk.enabled:
        return TrunkState.DISABLED, f"The trunk {known.trunk.name} has enabled = false in the settings."
    if known.road is not None and not known.road.ok:
        return TrunkState.DOWN, known.road.why
    if known.registration.state is Registered.FAILED:
        return TrunkState.DOWN, _next_try(known.registration, now)
    if known.probe is not None and not known.probe.ok:
        return TrunkState.DOWN, known.probe.why
    if known.registration.state is Registered.REGISTERING:
        return TrunkState.TROUBLE, known.registration.why or f"The trunk {known.trunk.name} is not registered yet."
    failed = next((last for last in known.t38.values() if last.ok is False), None)
    if failed is not None:
        return TrunkState.TROUBLE, failed.why
    tried = (known.probe, known.road, *known.t38.values())
    seen = known.registration.state is Registered.REGISTERED or any(one is not None for one in tried)
    return (TrunkState.READY if seen else TrunkState.UNTESTED), ""


def _next_try(seen: RegistrationSeen, now: float) -> str:
    left = _left(seen.next_try, now)
    return seen.why if left is None else f"{seen.why} The next try is in {left:.0f} s."


def _left(at: float | None, now: float) -> float | None:
    return None if at is None else max(0.0, at - now)


def _place(uri: str) -> str:
    return uri.partition(":")[2]


def _bounded(text: str) -> str:
    return text if len(text) <= MAX_SENTENCE else f"{text[: MAX_SENTENCE - 3]}..."
