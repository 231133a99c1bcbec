"""Running the checks: a fresh provider and a fresh other side for each, and what came of them.

Owns      the order of the checks, results, what a fault of the provider means for a check.
Not here  the rules themselves; how results are shown (vfax/cli/conformance.py).
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final

from vfax.fsp.conformance import configuring, jobs, own, receiving, sending, starting, stopping
from vfax.fsp.conformance.desk import Desk, Patience
from vfax.fsp.conformance.rules import Broken, NotChecked, Rule, table
from vfax.fsp.conformance.stimulus import StimulusFactory, has
from vfax.fsp.errors import ProviderLoadError

_ORDER: Final = [module.__name__ for module in (starting, configuring, jobs, own, sending, receiving, stopping)]
RULES: Final = tuple(sorted(table(), key=lambda rule: _ORDER.index(rule.check.__module__)))
"""Every rule there is, in the order of a provider's life."""

ProviderFactory = Callable[[Mapping[str, object]], object]
"""The entry point of a registration record."""


class Verdict(Enum):
    """What came of one check."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True, slots=True)
class Result:
    """One row of the outcome; `why` is empty for what passed."""

    rule: Rule
    verdict: Verdict
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is checked: how to make the provider, how to make the other side (or None), with which configuration."""

    provider: ProviderFactory
    stimulus: StimulusFactory | None = None
    configuration: Mapping[str, object] | None = None
    patience: Patience = field(default_factory=Patience)


def check_all(subject: Subject, rules: Iterable[Rule] = RULES) -> Iterator[Result]:
    """Check one rule after the other, each with a provider of its own. Never raises for what the provider does."""
    for rule in rules:
        yield check_one(subject, rule)


def check_one(subject: Subject, rule: Rule) -> Result:
    """Check one rule."""
    with tempfile.TemporaryDirectory(prefix="vfax-conformance-", ignore_cleanup_errors=True) as folder:
        try:
            desk = _set_up(subject, rule, Path(folder))
        except NotChecked as why:
            return Result(rule, Verdict.NOT_CHECKED, str(why))
        except ProviderLoadError as why:
            return Result(rule, Verdict.FAILED, str(why))
        except Exception as why:
            return Result(rule, Verdict.FAILED, f"the provider cannot be made: {_words(why)}")
        try:
            verdict, why_not = _judge(rule, desk)
        finally:
            desk.clear()
        if desk.rig.crash is not None and verdict is Verdict.PASSED:
            verdict, why_not = Verdict.FAILED, f"a task of the provider's own failed: {_words(desk.rig.crash)}"
        return Result(rule, verdict, why_not)


def _set_up(subject: Subject, rule: Rule, folder: Path) -> Desk:
    configuration = subject.configuration or {}
    provider = subject.provider(configuration)
    stimulus = None
    if rule.needs:
        if subject.stimulus is None:
            raise NotChecked("needs a stimulus: " + ", ".join(need.value for need in rule.needs))
        stimulus = subject.stimulus(provider, configuration)
        missing = [need.value for need in rule.needs if not has(stimulus, need)]
        if missing:
            raise NotChecked(f"the stimulus has no {', '.join(missing)}")
    return Desk(provider, stimulus, folder, subject.patience)


def _judge(rule: Rule, desk: Desk) -> tuple[Verdict, str]:
    try:
        rule.check(desk)
    except Broken as why:
        return Verdict.FAILED, str(why)
    except NotChecked as why:
        return Verdict.NOT_CHECKED, str(why)
    except Exception as why:  # of the provider, or of its stimulus
        return Verdict.FAILED, _words(why)
    return Verdict.PASSED, ""


def _words(why: BaseException) -> str:
    while isinstance(why, BaseExceptionGroup) and len(why.exceptions) == 1:
        why = why.exceptions[0]
    return f"{type(why).__name__}: {why}"
