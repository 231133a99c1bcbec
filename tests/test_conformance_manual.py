"""docs/conformance*.md: rules and tests that are named exist, in the files named with them; no rule is left out."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from vfax.fsp.conformance import RULES

ROOT = Path(__file__).parents[1]
MANUALS = sorted((ROOT / "docs").glob("conformance*.md"))
NAMES = {rule.name for rule in RULES}
LETTER: Final = re.compile(r"\b([A-Z]) is `(tests/[\w/]+\.py)`")
TOKEN: Final = re.compile(r"\b([A-Z]) (?=`test_)|`(tests/[\w/]+\.py)`|`(test_\w+)`")
REFERS: Final = re.compile(r"the same\b|rows \d+ to \d+")
NOTHING: Final = re.compile(r"nothing to show$")


def words(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", text)


def rows(text: str) -> list[tuple[str, str]]:
    """The number (or first cell) and last cell of every row of a table whose last column is `Shown by`."""
    found: list[tuple[str, str]] = []
    shown = False
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            shown = False
        elif cells[-1] == "Shown by":
            shown = True
        elif shown and not set(cells[0]) <= set("-: "):
            found.append((cells[0], cells[-1]))
    return found


def named_in(cell: str, letters: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Each test that a cell names, with the file that is named last before it."""
    file = ""
    for letter, path, test in TOKEN.findall(cell):
        if test:
            yield file, test
        else:
            file = path or letters[letter]


@pytest.mark.parametrize("manual", MANUALS, ids=lambda path: path.name)
def test_every_test_that_is_named_is_in_the_file_that_is_named_with_it(manual: Path) -> None:
    text = manual.read_text(encoding="utf-8")
    named = [pair for _, cell in rows(text) for pair in named_in(cell, dict(LETTER.findall(text)))]
    assert named, "a manual that names no test shows nothing"
    files = {file for file, _ in named} | {word for word in words(text) if re.fullmatch(r"tests/[\w/]+\.py", word)}
    sources = {file: (ROOT / file).read_text(encoding="utf-8") for file in files if (ROOT / file).is_file()}
    assert files == sources.keys()
    assert [(file, test) for file, test in named if f"def {test}(" not in sources[file]] == []


@pytest.mark.parametrize("manual", MANUALS, ids=lambda path: path.name)
def test_every_row_is_shown_by_a_test_or_a_rule(manual: Path) -> None:
    found = rows(manual.read_text(encoding="utf-8"))
    assert len(found) > 20
    for number, cell in found:
        tests = [test for _, _, test in TOKEN.findall(cell) if test]
        rules = [word for word in words(cell) if word in NAMES]
        assert tests or rules or REFERS.search(cell) or NOTHING.search(cell), f"row {number}: {cell}"


def test_every_rule_that_is_named_exists_and_none_is_left_out() -> None:
    text = (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8")
    named = [word for part in re.findall(r"rules? (`[^|;]*)", text) for word in words(part)]
    rules = {word for word in named if re.fullmatch(r"[a-z]+(-[a-z]+)+", word)}
    assert rules == NAMES
