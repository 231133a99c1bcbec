"""docs/outcomes.md says what the tables say."""

import re
from pathlib import Path

from vfax.outcome import Cause, Retry, T30Result
from vfax.verdict import RETRIES
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


def test_advice_and_results_are_described() -> None:
    assert table("Advice") == [[f"`{retry}`", RETRIES[retry]] for retry in Retry]
    assert [row[:2] for row in table("Results")] == [[str(int(one)), f"`{one.name}`"] for one in T30Result]
