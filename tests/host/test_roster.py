"""What people are shown of providers: every load state with its reason and last error, live and in advance."""

import os
from collections.abc import Mapping
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from tests.host.conftest import Ear, Hosting
from tests.host.scripted import Script, ScriptedProvider
from vfax.fsp.constants import ProviderStatus, Win32
from vfax.fsp.provider import RefusedRecord, Registration, register
from vfax.host.guard import CallTimeouts
from vfax.host.installed import installed
from vfax.host.loading import LoadOptions
from vfax.host.roster import ProviderRow, look, rows

GUID = "{88888888-8888-4888-8888-88888888888%d}"
OPTIONS = LoadOptions(initialize=False, timeouts=CallTimeouts(load_timeout=60.0, create_timeout=0.2))


def registered(at: int = 0, *, image: str = "tests.host.scripted:create", **more: object) -> Registration:
    fields = {"guid": GUID % at, "friendly_name": f"provider {at}", "configuration": {"script": Script()}} | more
    return register(image_name=image, **fields)  # type: ignore[arg-type]


def without_receive(configuration: Mapping[str, object]) -> object:
    class Half(ScriptedProvider):
        FaxDevReceive = None  # type: ignore[assignment]

    return Half(Script())


async def only(record: Registration, *more: Registration) -> ProviderRow:
    return (await look([*more, record], OPTIONS))[-1]


async def test_a_provider_that_can_be_loaded_shows_its_devices_and_was_not_initialized() -> None:
    script = Script(count=2, first_id=7)
    row = await only(registered(configuration={"script": script}))
    assert (row.state, row.reason, row.last_error, row.initialized) == ("fpsSUCCESS", "", 0, False)
    assert [(device.device_id, device.name) for device in row.devices] == [(7, "script 7"), (8, "script 8")]
    assert script.calls == ["create", "FaxDevVirtualDeviceCreation"]


BROKEN = {"script": Script(fault={"create": "raise"})}
HANGING = {"script": Script(fault={"FaxDevVirtualDeviceCreation": "hang"})}
MANY = {"script": Script(count=20_000)}


@pytest.mark.parametrize(
    ("fields", "status", "last_error", "words"),
    [
        ({"guid": "nonsense"}, ProviderStatus.fpsBAD_GUID, 87, "'nonsense' is not a GUID"),
        ({"fspi_version": 2}, ProviderStatus.fpsBAD_VERSION, 87, "2 is not 0x00010000"),
        ({"image": "tests.host.nowhere:create"}, ProviderStatus.fpsCANT_LOAD, 126, "No module named"),
        ({"image": "tests.host.scripted:nothing"}, ProviderStatus.fpsCANT_LOAD, 126, "has no attribute 'nothing'"),
        ({"image": "not an entry point"}, ProviderStatus.fpsCANT_LOAD, 87, "package.module:attribute"),
        ({"configuration": BROKEN}, ProviderStatus.fpsCANT_LOAD, 31, "create is broken"),
        (
            {"image": "tests.host.test_roster:without_receive"},
            ProviderStatus.fpsCANT_LINK,
            127,
            "required export FaxDevReceive is missing",
        ),
        ({"configuration": HANGING}, ProviderStatus.fpsCANT_INIT, 31, "no answer within 0.2 seconds"),
        ({"configuration": MANY}, ProviderStatus.fpsCANT_INIT, 87, "10000 are the limit here"),
        ({"friendly_name": " "}, ProviderStatus.fpsSERVER_ERROR, 87, "friendly_name: must not be empty"),
        ({"capabilities": 1}, ProviderStatus.fpsSERVER_ERROR, 87, "capabilities: 1 is not 0"),
    ],
)
async def test_each_load_state_is_shown_with_its_reason_and_last_error(
    fields: dict[str, object], status: ProviderStatus, last_error: int, words: str
) -> None:
    row = await only(registered(**fields))  # type: ignore[arg-type]
    assert (row.status, row.last_error, row.devices) == (status, last_error, ())
    assert words in row.reason


async def test_a_guid_and_a_device_id_of_another_are_refused() -> None:
    row = await only(registered(0, friendly_name="second"), registered(0))
    assert (row.status, "registered for provider 0 already" in row.reason) == (ProviderStatus.fpsBAD_GUID, True)
    row = await only(registered(1), registered(0))
    assert (row.status, "device id 1 belongs to provider 0" in row.reason) == (ProviderStatus.fpsCANT_INIT, True)


async def test_one_that_is_not_enabled_is_not_even_loaded() -> None:
    script = Script()
    row = await only(registered(configuration={"script": script}, enabled=False))
    assert (row.status, row.state, script.calls) == (None, "disabled", [])


async def test_a_running_service_shows_who_uses_what(hosting: Hosting, script: Script, ear: Ear) -> None:
    script.waits = True
    broken = Script(first_id=10, fault={"FaxDevInitialize": "raise"})
    async with hosting(script, broken) as service:
        script.ring()
        await script.running.wait()
        good, bad = rows(service.providers, service.devices, [registered(enabled=False)])[:2]
        assert (good.status, good.initialized) == (ProviderStatus.fpsSUCCESS, True)
        assert [device.job for device in good.devices] == [service.running[0], ""]
        assert (bad.status, bad.initialized, bad.devices) == (ProviderStatus.fpsCANT_INIT, False, ())
        assert bad.last_error == Win32.ERROR_GEN_FAILURE


def children() -> set[str]:
    """Processes that any thread of this one has started."""
    return {
        child for path in Path(f"/proc/{os.getpid()}/task").glob("*/children") for child in path.read_text().split()
    }


async def test_looking_ends_the_processes_it_started(tmp_path: Path) -> None:
    before = children()
    record = registered(image="tests.host.apart:create", configuration={"folder": str(tmp_path)}, own_process=True)
    row = await only(record)
    assert (row.status, len(row.devices), row.own_process) == (ProviderStatus.fpsSUCCESS, 2, True)
    assert children() == before


# --- installed packages ------------------------------------------------------------------------------


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, "vfax.providers")


def test_an_entry_point_is_a_registration_with_a_guid_that_stays() -> None:
    (first,) = installed(entries=[entry("drop", "filedrop:create_provider")])
    (again,) = installed(entries=[entry("drop", "filedrop:create_provider [extra]")])
    (other,) = installed(entries=[entry("other", "filedrop:create_provider")])
    assert (first.friendly_name, first.image_name) == ("drop", "filedrop:create_provider")
    assert first.guid == again.guid != other.guid
    assert again.image_name == "filedrop:create_provider"


def test_what_is_registered_already_and_what_is_there_twice_is_left_out() -> None:
    entries = [entry("a", "a:create"), entry("b", "b:create"), entry("b", "b:create")]
    assert [record.image_name for record in installed({"a:create"}, entries=entries)] == ["b:create"]


def test_an_entry_point_that_is_none_is_a_registration_that_says_so() -> None:
    (record,) = installed(entries=[entry("bad", "no attribute")])
    assert isinstance(record, RefusedRecord)
    assert record.failure.status is ProviderStatus.fpsCANT_LOAD


def test_the_entry_points_of_this_interpreter_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "drop-1.5.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: drop\nVersion: 1.5\n")
    (package / "entry_points.txt").write_text("[vfax.providers]\nfolder = filedrop:create_provider\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    (record,) = [record for record in installed() if record.image_name == "filedrop:create_provider"]
    assert record.friendly_name == "folder (drop 1.5)"
