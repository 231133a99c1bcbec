"""docs/cli.md says what the code does: commands, options, exit codes, records, JSON and the spool."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from vfax.cli import app, exits
from vfax.fsp.conformance import Mark, Verdict
from vfax.fsp.constants import FaxStatus, JobType, ProviderStatus
from vfax.host.records import FaxRecord
from vfax.host.spool import Spool
from vfax.outcome import Cause

MANUAL = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
NOON = datetime(2025, 1, 31, 12, 0, 0, tzinfo=UTC)
RECORD = FaxRecord(
    job="0000abcd",
    job_type=JobType.JT_RECEIVE,
    device_id=1,
    device_name="vfax 1",
    started_at=NOON,
    ended_at=NOON,
    status_id=FaxStatus.FS_COMPLETED,
    cause=Cause.COMPLETE,
    sentence="",
)


def part(title: str) -> str:
    """The text under a heading, up to the next one."""
    found = re.search(rf"^#+ {re.escape(title)}(?![a-z]).*?\n(.*?)(?=^#+ |\Z)", MANUAL, re.MULTILINE | re.DOTALL)
    assert found, title
    return found.group(1)


def rows(title: str) -> dict[str, str]:
    """The first cell of each row of the table under a heading, and the rest of the row."""
    cells = [line.strip("|").split("|", 1) for line in part(title).splitlines() if line.startswith("|")]
    return {first.strip().strip("`"): rest.strip() for first, rest in cells[2:]}


def words(text: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", text))


def commands_of(group: Any, path: str = "") -> dict[str, Any]:
    """Every command under its whole name, those of groups too."""
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        inner = hasattr(command, "commands")
        found |= commands_of(command, f"{path}{name} ") if inner else {f"{path}{name}": command}
    return found


def printed(*arguments: object) -> dict[str, object]:
    answer = json.loads(CliRunner().invoke(app, [*map(str, arguments), "--json"]).stdout)
    assert isinstance(answer, dict)
    return answer


def test_every_command_and_option_is_in_the_manual_and_no_other() -> None:
    commands = commands_of(typer.main.get_command(app))
    assert set(re.findall(r"^### vfax ([a-z-]+(?: [a-z-]+)*)", MANUAL, re.MULTILINE)) == set(commands)
    for name, command in commands.items():
        options = {name for one in command.params for name in one.opts if name.startswith("--")}
        assert set(re.findall(r"`(--[a-z-]+)", part(f"vfax {name}"))) == options, name


def test_the_exit_codes_are_the_programs() -> None:
    expected = {
        str(row.code): f"{row.meaning} | {', '.join(f'`{cause.value}`' for cause in row.causes)}".strip()
        for row in exits.TABLE
    }
    assert rows("Exit codes") == expected


def test_the_fields_of_a_record_are_the_programs() -> None:
    written = RECORD.to_json()
    described = rows("The record of a fax")
    assert set(described) == set(written)
    for name, value in written.items():
        if isinstance(value, dict):
            assert set(value) <= words(described[name]), name


def test_the_folders_of_the_spool_are_the_programs(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.prepare()
    described = {re.split(r"[/`]", name)[0] for name in rows("The spool")}
    assert described == {path.name for path in tmp_path.iterdir()} | {
        "journal",
        "extensions",
    }  # made when they are needed


@pytest.mark.parametrize(
    ("command", "options"), [("loopback --simnet", ["loopback", "--simnet", 1]), ("inspect", ["inspect"])]
)
def test_what_json_prints_is_described(command: str, options: list[object], make_document: Callable[..., Path]) -> None:
    answer = printed(*options, make_document())
    described = words(rows("What --json prints")[f"vfax {command}"])
    inner = answer.get("sent") or answer["pages"][0]  # type: ignore[index]
    assert isinstance(inner, dict)
    assert described == set(answer) | set(inner)


def test_what_devices_prints_in_json_is_described() -> None:
    answer = printed("devices")
    assert isinstance(answer["providers"], list)
    provider = answer["providers"][0]
    described = words(rows("What --json prints")["vfax devices"]) - {"host", "own"}
    assert described == set(answer) | set(provider) | set(provider["devices"][0])


def test_the_states_of_providers_are_the_documented_ones() -> None:
    states = {name.strip("`") for name in rows("vfax devices") if not name.startswith(("--", "State"))}
    assert states >= {status.name for status in ProviderStatus} | {"disabled"}


def test_what_show_prints_in_json_is_described(tmp_path: Path) -> None:
    journal = tmp_path / "call.jsonl"
    journal.write_text('{"at":"","t":0,"kind":"call","direction":"in"}\n', encoding="utf-8")
    answer = printed("show", journal)
    assert isinstance(answer["timeline"], list)
    described = words(rows("What --json prints")["vfax show"])
    assert described == set(answer) | set(answer["timeline"][0])


def test_what_provider_check_prints_in_json_is_described() -> None:
    answer = printed("provider", "check", "--only", "exports-can-be-linked")
    assert isinstance(answer["checks"], list)
    described = words(rows("What --json prints")["vfax provider check"])
    assert described == set(answer) | set(answer["checks"][0]) | {one.value for kind in (Verdict, Mark) for one in kind}


def test_an_error_is_described_as_it_is_printed(tmp_path: Path) -> None:
    answer = printed("inspect", tmp_path / "missing.tif")
    assert '`{"ok": false, "exit": CODE, "error": SENTENCE}`' in MANUAL
    assert set(answer) == {"ok", "exit", "error"}
