"""docs/notifications.md, docs/api.md and docs/conformance-notifications.md say what the code does."""

import re
from pathlib import Path

from vfax.cli.watch import SENTENCES
from vfax.fsp.constants import EventId
from vfax.host.api.identity import RIGHT_WORDS
from vfax.host.api.jobs import FIELDS
from vfax.host.api.parsing import STATUS_OF_WINERROR
from vfax.host.api.routes import TABLE

ROOT = Path(__file__).parents[2]
NOTIFICATIONS, API, CONFORMANCE = (
    (ROOT / "docs" / f"{name}.md").read_text("utf-8") for name in ("notifications", "api", "conformance-notifications")
)
TESTS = {
    "W": ROOT / "tests" / "host" / "test_notify.py",
    "B": ROOT / "tests" / "host" / "test_notify_walks.py",
    "L": ROOT / "tests" / "client" / "test_client.py",
}


def rows(text: str, title: str) -> list[list[str]]:
    """The cells of the table under a heading."""
    part = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert part, title
    lines = [line for line in part.group(1).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_all_27_events_are_described_and_no_other() -> None:
    described = {row[0].strip("`"): int(row[1]) for row in rows(NOTIFICATIONS, "The events")}
    assert described == {event.name: int(event) for event in EventId}


def test_every_event_has_its_sentence() -> None:
    assert set(SENTENCES) == set(EventId)


def test_every_request_is_described_and_no_other() -> None:
    described = {row[0].strip("`") for row in rows(API, "Requests")}
    assert described == {f"{row.method} {row.path}" for row in TABLE}


def test_the_rights_of_each_request_are_described() -> None:
    for request, said, _ in rows(API, "Requests"):
        (row,) = [row for row in TABLE if f"{row.method} {row.path}" == request.strip("`")]
        words = {word.strip() for word in re.split("[,;]", said) if word.strip()}
        needed = {word for word, right in RIGHT_WORDS.items() if right in row.needs}
        assert words - {"own"} <= set(RIGHT_WORDS)
        assert words - {"own"} <= needed, request
        assert "own" in words or words == needed, request


def test_the_fields_of_a_submission_are_described() -> None:
    assert set(re.findall(r"`(\w+)`", API[API.index("The form of") : API.index("## Streams")])) >= {*FIELDS, "document"}


def test_the_statuses_of_errors_are_described() -> None:
    described = {int(row[0]) for row in rows(API, "Errors")}
    assert described >= {status for status in STATUS_OF_WINERROR.values() if status != 501}


def test_each_row_of_the_conformance_table_names_tests_that_are_there() -> None:
    cells = [line.strip("|").split("|") for line in CONFORMANCE.splitlines() if re.match(r"\| \d", line)]
    assert [int(row[0]) for row in cells] == list(range(1, 28))
    known = {name: path.read_text("utf-8") for name, path in TESTS.items()}
    for number, _, shown in cells:
        for where, test in re.findall(r"([WLB]) `(test_\w+)`", shown):
            assert f"def {test}(" in known[where], (number, test)
        for path, test in re.findall(r"`(tests/[\w/.]+)` `(test_\w+)`", shown):
            assert f"def {test}(" in (ROOT / path).read_text("utf-8"), (number, test)
        assert shown.strip()
