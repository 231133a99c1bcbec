"""Conformance checks for fax service providers: each rule of the contract as a check that can fail.

    from vfax.fsp.conformance import Subject, check_all

    for result in check_all(Subject(provider=create_provider, stimulus=MyOtherSide, configuration={"lines": 2})):
        print(result.rule.name, result.verdict.value, result.why)

or `vfax provider check module:attribute`. Providers of either surface are driven in the same way, each check with a
provider of its own. What needs another side of the line needs a stimulus (stimulus.py); without one it is reported as
not checked, never as passed. The package runs plain threads and, for async providers, a trio run in one of them.
"""

from vfax.fsp.conformance.desk import Patience
from vfax.fsp.conformance.rules import Mark, Need, NotChecked, Rule
from vfax.fsp.conformance.stimulus import Stimulus, StimulusFactory
from vfax.fsp.conformance.suite import RULES, Result, Subject, Verdict, check_all, check_one

__all__ = [
    "RULES",
    "Mark",
    "Need",
    "NotChecked",
    "Patience",
    "Result",
    "Rule",
    "Stimulus",
    "StimulusFactory",
    "Subject",
    "Verdict",
    "check_all",
    "check_one",
]
