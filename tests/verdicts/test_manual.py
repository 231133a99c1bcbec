"""docs/outcomes.md says what the tables say."""

import re
from pathlib import Path

from vfax.course import Course
from vfax.outcome import Cause, Outcome, Phase, Retry, T30Result
from vfax.transports.sip.reason import Q850_CAUSES
from vfax.transports.sip.reasons import REASONS
from vfax.verdict import CAUSES_OF_Q850, RETRIES, cause_of_sip, explain
from vfax.verdict_table import ALONE, ROWS

MANUAL = (Path(__file__).parents[2] / "docs" / "outcomes.md").read_text(encoding="utf-8")


def table(title: str) -> list[list[str]]:
    """The rows of the table under a heading, as cells."""
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", MANUAL, re.MULTILINE | re.DOTALL)
    assert found
    lines = [line for line in found.group(1).splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_verdict_is_described_in_its_order() -> None:
    ways = {True: "sending", False: "receiving", None: "both"}
    ends = {True: "calling", False: "called"}
    expected = [
        [
            f"`{row.name}`",
            ways[row.sending] if row.calling is None else ends[row.calling],
            ", ".join(f"`{cause}`" for cause in sorted(row.causes)) or "any",
            row.sentence,
            str(int(row.result)),
            f"`{row.advice}`" if isinstance(row.advice, Retry) else "by the facts",
        ]
        for row in ROWS
    ]
    alone = [
        [f"`{name}`", "a journal alone", "none", text, str(int(result)), ""]
        for name, (text, result, _) in ALONE.items()
    ]
    assert table("Verdicts") == expected + alone
    assert f"one of {len(Cause)} stable names" in MANUAL


def told(status: int, q850: int | None = None) -> list[str]:
    """What an audio call is told that ends so."""
    cause = cause_of_sip(status, t38_offered=False, q850=q850)
    outcome = Outcome(cause=cause, phase=Phase.CALL, sip_status=status, q850=q850)
    explained = explain(outcome, Course(calling=True), sending=True)
    return [f"`{explained.cause}`", f"`{explained.verdict}`", f"`{explained.retry}`"]


def test_every_failure_of_sip_and_every_cause_of_the_telephone_network_is_described() -> None:
    failures = {status: phrase for status, phrase in REASONS.items() if status >= 300}
    assert table("SIP failures") == [[str(one), failures[one], *told(one)] for one in failures]
    known = [cause for cause in Q850_CAUSES if cause in CAUSES_OF_Q850]
    expected = [[str(cause), Q850_CAUSES[cause], *told(500, cause)] for cause in known]
    assert table("Causes of the telephone network") == expected


def test_advice_and_results_are_described() -> None:
    assert table("Advice") == [[f"`{retry}`", RETRIES[retry]] for retry in Retry]
    assert [row[:2] for row in table("Results")] == [[str(int(one)), f"`{one.name}`"] for one in T30Result]
