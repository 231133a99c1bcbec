"""The file-drop provider: the host takes it by its registration alone, and nothing of SIP comes along."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.host.conftest import Ear
from vfax.fsp.constants import PortFlag, ProviderStatus
from vfax.fsp.provider import RegistrationRecord
from vfax.host.events import FaxEnded, JobMoved, ProviderFaulted
from vfax.host.service import FaxService, HostOptions
from vfax.outcome import Cause

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "filedrop_provider.py"
LIMIT = 60.0

pytestmark = pytest.mark.realtime


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    return tmp_path / "drop"


def registration(drop: Path, *, own_process: bool = False) -> RegistrationRecord:
    return RegistrationRecord(
        guid="{5b5f6f0b-55d4-4f0c-8c5c-3f1d1f2f7a10}",
        friendly_name="File drop",
        image_name="examples.filedrop_provider:create_provider",
        configuration={"folder": str(drop)},
        own_process=own_process,
    )


@asynccontextmanager
async def serving(folder: Path, record: RegistrationRecord, ear: Ear) -> AsyncIterator[FaxService]:
    service = FaxService(HostOptions(spool=folder / "spool"), [record], observe=ear)
    with trio.fail_after(LIMIT):
        async with trio.open_nursery() as nursery:
            await nursery.start(lambda task_status: service.run(task_status=task_status))
            yield service
            service.stop()


def put(document: Path, drop: Path, name: str = "fax.tif") -> Path:
    """Let a file ring: it appears whole."""
    return document.rename(drop / "in" / name)


@pytest.mark.parametrize("own_process", [False, True], ids=["in the host", "in its own process"])
async def test_a_file_in_the_folder_is_received(
    tmp_path: Path, drop: Path, ear: Ear, make_document: Callable[..., Path], own_process: bool
) -> None:
    document = make_document(pages=2)
    octets = document.read_bytes()
    async with serving(tmp_path, registration(drop, own_process=own_process), ear) as service:
        assert service.providers[0].status is ProviderStatus.fpsSUCCESS
        assert [device.name for device in service.devices.values()] == ["drop 9001", "drop 9002"]
        dropped = put(document, drop)
        ended = await ear.ended()
    assert ended.document is not None
    assert ended.document.read_bytes() == octets
    assert (ended.record.ok, ended.record.pages, ended.record.caller) == (True, 2, "file drop")
    assert next((moved.status, moved.page) for moved in ear.of(JobMoved)) == ("FS_RECEIVING", 1)
    assert not dropped.exists()
    assert not ear.of(ProviderFaulted)


async def test_more_files_than_devices_come_one_after_the_other(
    tmp_path: Path, drop: Path, ear: Ear, make_document: Callable[..., Path]
) -> None:
    async with serving(tmp_path, registration(drop), ear) as service:
        for number in range(5):
            put(make_document(f"{number}.tif", seed=number), drop, f"{number}.tif")
        ended = await ear.wait_for(FaxEnded, 5)
        assert all(one.record.ok for one in ended)
        assert len(list(service.spool.inbox.glob("*.tif"))) == 5
    assert list((drop / "in").iterdir()) == []


async def test_a_document_is_sent_into_the_other_folder(
    tmp_path: Path, drop: Path, ear: Ear, make_document: Callable[..., Path]
) -> None:
    document = make_document()
    async with serving(tmp_path, registration(drop), ear) as service:
        record = await service.submit(document, "+49 30/../1")
    (sent,) = (drop / "out").iterdir()
    assert record.ok
    assert (sent.name, sent.read_bytes()) == ("_49_30____1-document.tif", document.read_bytes())


async def test_a_file_that_is_no_fax_fails_and_is_kept_aside(tmp_path: Path, drop: Path, ear: Ear) -> None:
    rubbish = tmp_path / "rubbish.tif"
    rubbish.write_bytes(b"not a TIFF")
    async with serving(tmp_path, registration(drop), ear):
        put(rubbish, drop)
        ended = await ear.ended()
    assert not ended.record.ok


async def test_a_document_that_cannot_be_read_is_a_failed_send(tmp_path: Path, drop: Path, ear: Ear) -> None:
    async with serving(tmp_path, registration(drop), ear) as service:
        record = await service.submit(tmp_path / "missing.tif", "1")
    assert (record.ok, record.cause) == (False, Cause.INTERNAL)
    assert record.sentence == "missing.tif cannot be copied: No such file or directory"


async def test_a_device_that_may_not_receive_leaves_the_file_where_it_is(
    tmp_path: Path, drop: Path, ear: Ear, make_document: Callable[..., Path]
) -> None:
    async with serving(tmp_path, registration(drop), ear) as service:
        for device in service.devices.values():
            service.switch(device, flags=PortFlag.FPF_SEND)
        dropped = put(make_document(), drop)
        await trio.sleep(1.2)  # two looks: nothing can be waited for where nothing is to happen
        assert dropped.exists()
        service.switch(service.devices[9002], flags=PortFlag.FPF_SEND | PortFlag.FPF_RECEIVE)
        assert (await ear.ended()).record.device_id == 9002


def test_the_example_is_short_and_knows_nothing_of_sip() -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    assert len(lines) < 150
    assert not [line for line in lines if "import" in line and ("transports" in line or "device" in line)]


HOST = """
import sys, trio
from pathlib import Path
from vfax.fsp.provider import RegistrationRecord
from vfax.host.events import FaxEnded
from vfax.host.service import FaxService, HostOptions
folder, document = Path(sys.argv[1]), Path(sys.argv[2])
record = RegistrationRecord(guid="{5b5f6f0b-55d4-4f0c-8c5c-3f1d1f2f7a10}", friendly_name="File drop",
    image_name="examples.filedrop_provider:create_provider", configuration={"folder": str(folder / "drop")})
async def main():
    ended = trio.Event()
    def hear(event):
        if isinstance(event, FaxEnded) and event.record.received:
            assert event.record.ok, event
            ended.set()
    service = FaxService(HostOptions(spool=folder / "spool"), [record], observe=hear)
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda task_status: service.run(task_status=task_status))
        assert (await service.submit(document, "1234")).ok
        document.rename(folder / "drop" / "in" / "fax.tif")
        await ended.wait()
        service.stop()
trio.run(main)
print(*sorted(name for name in sys.modules if name.startswith("vfax.")))
"""


def test_a_host_that_receives_and_sends_with_it_never_imports_sip(
    tmp_path: Path, make_document: Callable[..., Path]
) -> None:
    environment: dict[str, Any] = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    command = [sys.executable, "-c", HOST, str(tmp_path), str(make_document())]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=LIMIT)
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.split()
    assert "vfax.host.service" in loaded
    assert not [name for name in loaded if name.startswith(("vfax.transports", "vfax.device", "vfax.endpoint"))]
