"""docs/conformance*.md: every rule and every test that it names exists, and every rule is named somewhere or listed."""

import re
from pathlib import Path

import pytest

from vfax.fsp.conformance import RULES

ROOT = Path(__file__).parents[1]
MANUALS = sorted((ROOT / "docs").glob("conformance*.md"))
NAMES = {rule.name for rule in RULES}


def words(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", text)


@pytest.mark.parametrize("manual", MANUALS, ids=lambda path: path.name)
def test_every_test_that_is_named_exists(manual: Path) -> None:
    text = manual.read_text(encoding="utf-8")
    files = {word for word in words(text) if re.fullmatch(r"tests/[\w/]+\.py", word)}
    assert files, "a manual that names no test shows nothing"
    assert not [name for name in files if not (ROOT / name).is_file()]
    sources = "".join((ROOT / name).read_text(encoding="utf-8") for name in files)
    tests = {word for word in words(text) if re.fullmatch(r"test_\w+", word)}
    assert not [name for name in tests if f"def {name}(" not in sources]


def test_every_rule_that_is_named_exists() -> None:
    text = (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8")
    named = [word for part in re.findall(r"rules? (`[^|;]*)", text) for word in words(part)]
    rules = {word for word in named if re.fullmatch(r"[a-z]+(-[a-z]+)+", word)}
    assert len(rules) > 20
    assert rules <= NAMES
