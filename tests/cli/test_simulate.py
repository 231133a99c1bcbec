"""`vfax simulate`: what it prints, what it returns, and that a seed alone brings a violation back."""

import json
from importlib import import_module
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from vfax.cli import app, exits
from vfax.journal import read_journal
from vfax.simulation.campaign import Verdict, judge
from vfax.simulation.invariants import Violation
from vfax.simulation.scenario import Kind


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["simulate", *map(str, arguments)])


def test_calls_are_counted_and_their_outcomes_explained() -> None:
    result = run("--calls", 8, "--seed", 1)
    assert result.exit_code == exits.OK
    assert result.stdout.startswith("8 calls in ")
    assert "complete" in result.stdout
    assert "The fax was delivered" in result.stdout
    assert result.stdout.endswith("Every invariant held in every call.\n")


def test_json_is_one_object_with_every_call_accounted_for() -> None:
    result = run("--calls", 8, "--seed", 1, "--json")
    facts = json.loads(result.stdout)
    assert (facts["ok"], facts["exit"], facts["calls"], facts["violations"]) == (True, 0, 8, [])
    assert sum(facts["causes"].values()) == 8


def test_several_processes_say_the_same() -> None:
    one, two = (json.loads(run("--calls", 24, "--jobs", jobs, "--json").stdout) for jobs in (1, 2))
    for facts in (one, two):
        del facts["seconds"], facts["calls_per_second"], facts["heaviest"]  # tables are shared within a process
    assert one == two


def test_the_course_of_one_call_is_shown() -> None:
    result = run("--calls", 1, "--seed", 1, "--show")
    assert result.exit_code == exits.OK
    assert result.stdout.startswith("seed 1, ")
    assert "called  says DIS: receives" in result.stdout
    assert "caller  ends, " in result.stdout


def test_journals_of_one_call_can_be_read(tmp_path: Path) -> None:
    result = run("--calls", 1, "--seed", 1, "--journals", tmp_path / "new")
    assert result.exit_code == exits.OK
    for side in ("caller", "called"):
        entries = read_journal(tmp_path / "new" / f"{side}.jsonl")
        assert entries[0].kind == "call"
        assert "packets" in {entry.kind for entry in entries}


def broken(seed: int, *, twice: bool | None = None) -> Verdict:
    verdict = judge(seed, twice=False)
    return Verdict(
        **{name: getattr(verdict, name) for name in Verdict.__slots__ if name != "violations"},
        violations=(Violation(4, "a page came twice"),),
    )


def test_a_violation_is_told_with_the_command_that_brings_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("vfax.cli.simulate"), "judge", broken)
    result = run("--calls", 2, "--seed", 5)
    assert result.exit_code == exits.INTERNAL
    assert "VIOLATIONS in 2 of 2 calls:" in result.stdout
    assert "seed 5" in result.stdout
    assert "invariant 4: a page came twice" in result.stdout
    assert "vfax simulate --seed 6 --calls 1 --show" in result.stdout
    facts = json.loads(run("--calls", 2, "--seed", 5, "--json").stdout)
    assert facts["ok"] is False
    assert [one["seed"] for one in facts["violations"]] == [5, 6]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--only", "weather"), "there is no kind weather: say one of clean, loss"),
        (("--show",), "say --calls 1 too"),
        (("--journals", "x"), "say --calls 1 too"),
    ],
)
def test_wrong_usage_is_one_line(arguments: tuple[str, ...], words: str) -> None:
    result = run(*arguments)
    assert result.exit_code == exits.USAGE
    assert words in result.stderr


def test_a_journal_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run("--calls", 1, "--journals", tmp_path / "file")
    assert result.exit_code == exits.USAGE
    assert "cannot write journals to" in result.stderr


def test_the_manual_names_every_kind() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    (row,) = [line for line in manual.splitlines() if line.startswith("| `--only KIND`")]
    assert all(f"`{kind.value}`" in row for kind in Kind)
