"""What a provider can be told, and how it is made from a record."""

from pathlib import Path
from typing import Any

import pytest

from vfax.device import DeviceOptions, Provider, create_provider
from vfax.errors import SettingsError
from vfax.fsp.provider import RegistrationRecord, load_provider, probe_exports

GUID = "{5d6c1d3c-20a1-4d0e-9c55-3f4b1d9e7a01}"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("lines", 0),
        ("lines", 10_001),
        ("lines", True),
        ("lines", "4"),
        ("device_id_prefix", 0),
        ("device_name_prefix", ""),
        ("device_name_prefix", "x" * 200),
        ("host_answer_timeout", 0),
        ("host_answer_timeout", float("nan")),
        ("shutdown_grace", float("inf")),
        ("local_id", None),
        ("journal_folder", 7),
        ("header", "yes"),
        ("header", 1),
        ("header_timezone", None),
    ],
)
def test_a_wrong_option_is_named(key: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=key):
        DeviceOptions.of({key: value})


def test_keys_of_the_network_are_left_to_it() -> None:
    options = DeviceOptions.of({"lines": 7, "listen": "127.0.0.1:5060", "journal_folder": "calls"})
    assert (options.lines, options.journal_folder) == (7, Path("calls"))


def test_a_record_loads_this_provider_with_a_ready_network(network: object) -> None:
    record = RegistrationRecord(
        guid=GUID,
        friendly_name="vfax",
        image_name="vfax.device:create_provider",
        configuration={"network": network, "lines": 3},
    )
    provider = load_provider(record)
    assert isinstance(provider, Provider)
    exports = probe_exports(provider)
    assert exports.virtual
    assert exports.FaxDevShutdown is not None
    assert exports.VfaxDevReportFacts is not None


def test_something_else_than_a_network_is_refused() -> None:
    with pytest.raises(SettingsError, match="network"):
        create_provider({"network": "127.0.0.1"})


def test_without_a_network_or_the_options_of_one_both_keys_are_named() -> None:
    with pytest.raises(SettingsError, match=r'"network".*"endpoint"'):
        create_provider({"lines": 1})
