"""`vfax provider check`: what it shows, how it ends, and vfax's own device over real endpoints."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.fsp.broken import BROKEN
from vfax.cli import app
from vfax.device import create_provider
from vfax.endpoint import EndpointOptions
from vfax.fsp.conformance import RULES
from vfax.leg import LegOptions
from vfax.stimulus import Machine
from vfax.transports.parameters import Dtls

TOY = "tests.fsp.toy:Toy"
WIRE = "tests.fsp.toy:Wire"


def check(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["provider", "check", *map(str, arguments)])


def test_a_provider_that_keeps_every_rule_ends_with_0() -> None:
    result = check(TOY, "--stimulus", WIRE)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert [line.split() for line in lines[:-1]] == [["passed", rule.name] for rule in RULES]
    assert lines[-1] == f"{len(RULES)} passed, 0 failed, 0 not checked."


def test_a_broken_rule_is_shown_with_its_sentence_and_ends_with_1() -> None:
    broken = BROKEN["devices-are-well-formed"].__name__
    result = check(f"tests.fsp.broken:{broken}", "--only", "devices-are-well-formed")
    rule = next(rule for rule in RULES if rule.name == "devices-are-well-formed")
    assert result.exit_code == 1
    shown = " ".join(result.output.split())
    assert "failed devices-are-well-formed: VirtualDevices.device_count: 0 is outside" in shown
    assert f"{rule.sentence} ({rule.source}; {rule.mark.value})" in shown
    assert result.output.splitlines()[-1] == "0 passed, 1 failed, 0 not checked."


def test_without_a_stimulus_some_rules_are_not_checked_and_that_is_said() -> None:
    answer = json.loads(
        check(TOY, "--json", "--only", "incoming-call-rings", "--only", "startjob-gives-a-handle").stdout
    )
    assert (answer["ok"], answer["exit"]) == (True, 0)
    assert [(one["rule"], one["verdict"]) for one in answer["checks"]] == [
        ("incoming-call-rings", "not checked"),
        ("startjob-gives-a-handle", "passed"),
    ]
    assert answer["checks"][0]["why"] == "needs a stimulus: ring"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["nowhere:Toy"], "nowhere:Toy"),
        (["tests.fsp.toy"], "tests.fsp.toy"),
        (["tests.fsp.toy:absent"], "absent"),
        (["tests.fsp.toy:TOY_PAGE.x"], "TOY_PAGE"),
        (["tests.fsp.toy:PAGE"], "expected a function"),
        ([TOY, "--stimulus", "nowhere:Wire"], "--stimulus nowhere:Wire"),
        ([TOY, "--only", "no-such-rule"], "no-such-rule"),
    ],
)
def test_what_is_not_found_is_named_and_ends_with_2(arguments: list[str], named: str) -> None:
    result = check(*arguments)
    assert result.exit_code == 2
    assert named in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_configuration_of_the_settings_reaches_the_provider(tmp_path: Path) -> None:
    config = tmp_path / "vfax.toml"
    config.write_text("[host]\nlines = 1\n", encoding="utf-8")
    result = check(
        "--config", config, "--stimulus", "vfax.stimulus:Machine", "--only", "being-told-again-changes-nothing"
    )
    assert (result.exit_code, "the provider has one device only" in result.output) == (0, True)


@pytest.mark.realtime
@pytest.mark.parametrize("make", ["vfax.device:create_provider", "vfax.device.exports:create_provider"])
def test_the_device_keeps_rules_over_real_endpoints(make: str) -> None:
    chosen = (
        "incoming-call-rings",
        "switched-off-devices-do-not-ring",
        "abort-ends-a-running-operation",
        "failed-fax-is-false-with-its-status",
        "caller-who-gives-up-is-a-failure",
        "pages-are-in-the-file",
        "broken-reception-keeps-its-pages",
        "nothing-rings-after-shutdown",
    )
    only = [word for name in chosen for word in ("--only", name)]
    result = check(make, "--stimulus", "vfax.stimulus:Machine", *only)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == f"{len(chosen)} passed, 0 failed, 0 not checked."


def test_so_it_does_with_many_trunks(tmp_path: Path) -> None:
    config = tmp_path / "vfax.toml"
    trunks = "".join(f'[[trunk]]\nname = "t{n}"\ngateways = ["127.0.0.1:{20_000 + n}"]\n' for n in range(100))
    config.write_text(f'[sip]\nlisten = "127.0.0.1:0"\n[media]\ndtls = "required"\n{trunks}', encoding="utf-8")
    chosen = ("trunks-are-told-in-rows", "peers-are-told-in-rows", "nothing-is-told-after-shutdown")
    only = [word for name in chosen for word in ("--only", name)]
    result = check("--config", config, "--stimulus", "vfax.stimulus:Machine", *only)
    assert result.output.splitlines()[-1] == f"{len(chosen)} passed, 0 failed, 0 not checked.", result.output


@pytest.mark.parametrize("dtls", list(Dtls))
def test_the_machine_of_the_checks_encrypts_as_the_device_does(dtls: Dtls) -> None:
    """One that needs it talks to no other machine: every rule with a fax in it failed of a device that is well."""
    options = EndpointOptions(listen=("127.0.0.1", 0), leg=LegOptions(dtls=dtls))
    machine = Machine(create_provider({"endpoint": options}), {})
    try:
        assert machine._endpoint.options.leg.dtls is dtls
    finally:
        machine.close()
