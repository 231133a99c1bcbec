"""Trunks and peers as a host hears of them: from the device here and in a process of its own, and from rubbish."""

import math
from pathlib import Path

import pytest
import trio

from vfax.cli.hosting import running
from vfax.host import reports
from vfax.host.service import FaxService
from vfax.settings import Settings, wiring


def settings(folder: Path, *, own: bool) -> Settings:
    return Settings.model_validate(
        {
            "sip": {"listen": "127.0.0.1:0"},
            "host": {"spool": str(folder / "spool"), "lines": 1},
            "provider": {"process": "own" if own else "host"},
            "trunk": [
                {"name": "office", "gateways": ["127.0.0.1:9"], "options_interval": 0.0, "password": "p", "user": "u"}
            ],
        }
    )


@pytest.mark.parametrize("own", [False, True], ids=["this process", "own process"])
async def test_trunks_of_the_device_are_told_wherever_it_runs(tmp_path: Path, own: bool) -> None:
    given = settings(tmp_path, own=own)
    service = FaxService(wiring.host_options(given), [wiring.own_registration(given)])
    with trio.fail_after(60):
        async with running(service):
            (row,) = await reports.trunks(service.providers)
            assert (row["name"], row["state"], row["provider"]) == ("office", "untested", "vfax SIP/T.38")
            assert await reports.peers(service.providers) == []
            assert await reports.forget_peers(service.providers, "office", "") == 0
            assert "'p'" not in repr(row)


async def test_without_a_provider_that_can_be_asked_there_is_nothing_to_tell(tmp_path: Path) -> None:
    given = settings(tmp_path, own=False)
    service = FaxService(wiring.host_options(given), [wiring.own_registration(given)])
    assert await reports.trunks(service.providers) == []


@pytest.mark.parametrize(
    "told",
    [
        None,
        "rows",
        3,
        [1],
        [{"name": {1}}],
        [{"rtt": math.nan}],
        [{"name": "x" * (reports.MAX_OCTETS + 1)}],
        [{}] * (reports.MAX_ROWS + 1),
    ],
    ids=["none", "text", "number", "no object", "no json", "nan", "long", "many"],
)
def test_what_is_no_list_of_rows_is_refused(told: object) -> None:
    assert reports.checked(told) is None


def test_rows_are_what_json_makes_of_them() -> None:
    assert reports.checked(({"name": "office", "gateways": ("a",)},)) == [{"name": "office", "gateways": ["a"]}]
