"""Many trials: which seeds, what came of each, and what must never have happened.

Owns      the verdict of one seed, the command that repeats it, the tally of many.
Not here  processes, progress and tables (cli/simulate.py), what must hold (invariants.py).
"""

import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from typing import Final

from vfax.outcome import Cause
from vfax.simulation.invariants import Violation, faultless, repaired_loss_changes_nothing, same_journals, violations
from vfax.simulation.scenario import Kind, kind_of, roll
from vfax.simulation.trial import Evidence, play

TWICE: Final = 10
"""Each seed that divides by this is played twice, with journals."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one seed. Causes are None where a side had no call."""

    seed: int
    kind: Kind
    sender: Cause | None
    receiver: Cause | None
    sentence: str  # the sender's
    pages: int
    virtual_seconds: float
    datagrams: int
    heaviest: int
    violations: tuple[Violation, ...]


def seeds_from(first: int, only: Kind | None = None) -> Iterator[int]:
    """Seeds from `first` on, those of one kind where `only` names it: a seed alone makes its scenario."""
    return (seed for seed in count(first) if only is None or kind_of(seed) is only)


def pick(first: int, calls: int, only: Kind | None = None) -> list[int]:
    """The seeds of a campaign."""
    return list(islice(seeds_from(first, only), calls))


def repeat_command(seed: int) -> str:
    """What to type to see this call again."""
    return f"vfax simulate --seed {seed} --calls 1 --show"


def judge(seed: int, *, twice: bool | None = None) -> Verdict:
    """Play a seed and judge it. `twice`: with journals, and again; unless said, one seed in TWICE is."""
    scenario = roll(seed)
    if twice if twice is not None else seed % TWICE == 0:
        evidence, again = play_with_journals(seed), play_with_journals(seed)
        found = violations(evidence) + [Violation(8, what) for what in same_journals(evidence, again)]
    else:
        evidence = play(scenario)
        found = violations(evidence)
    if scenario.kind is Kind.COVERED and not evidence.fault:
        perfect = play(faultless(scenario))
        found += [Violation(7, what) for what in repaired_loss_changes_nothing(evidence, perfect)]
    return _verdict(evidence, found)


def play_with_journals(seed: int) -> Evidence:
    """Play a seed and have both sides write their journals; they are in the evidence."""
    with tempfile.TemporaryDirectory(prefix="vfax-simulate-") as folder:
        return play(roll(seed), journals=Path(folder))


def _verdict(evidence: Evidence, found: list[Violation]) -> Verdict:
    scenario = evidence.scenario
    sender, receiver = (evidence.outcomes.get(side) for side in (scenario.sender, scenario.receiver))
    return Verdict(
        seed=evidence.scenario.seed,
        kind=evidence.scenario.kind,
        sender=sender.cause if sender else None,
        receiver=receiver.cause if receiver else None,
        sentence=sender.sentence if sender else "",
        pages=len(evidence.scenario.pages),
        virtual_seconds=evidence.ended_at,
        datagrams=evidence.datagrams,
        heaviest=evidence.heaviest,
        violations=tuple(found),
    )


@dataclass(slots=True)
class Tally:
    """The sum of many verdicts."""

    calls: int = 0
    datagrams: int = 0
    virtual_seconds: float = 0.0
    longest: float = 0.0
    heaviest: int = 0
    causes: Counter[tuple[Kind, Cause | None]] = field(default_factory=Counter)
    examples: dict[Cause | None, Verdict] = field(default_factory=dict)
    bad: list[Verdict] = field(default_factory=list)

    def add(self, verdict: Verdict) -> None:
        """Count one more."""
        self.calls += 1
        self.datagrams += verdict.datagrams
        self.virtual_seconds += verdict.virtual_seconds
        self.longest = max(self.longest, verdict.virtual_seconds)
        self.heaviest = max(self.heaviest, verdict.heaviest)
        self.causes[verdict.kind, verdict.sender] += 1
        self.examples.setdefault(verdict.sender, verdict)
        if verdict.violations:
            self.bad.append(verdict)
