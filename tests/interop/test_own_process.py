"""The device of vfax in a process of its own: `vfax serve` with `[provider] process = "own"`, called in real time."""

import os
import signal
from pathlib import Path

import pytest
import trio

from tests.interop import documents, serving, spandsp
from tests.interop.peer import CallResult, Habits, Way, open_peer
from tests.interop.spandsp import Abilities
from vfax import call
from vfax.codecs import tiff
from vfax.endpoint import Endpoint, EndpointOptions
from vfax.leg import InternetAware, LegOptions
from vfax.transports.t38 import T38Options

PEER_ID = "+44 20 7946 0018"
LIMIT = 180.0

pytestmark = pytest.mark.realtime


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "vfax.toml"
    path.write_text('[provider]\nprocess = "own"\n[process]\nrestart_delay = 0.1\n')
    return str(path)


@pytest.fixture
def document(tmp_path: Path) -> Path:
    return documents.write_fax(tmp_path / "sent.tif", documents.draw_pages(3, lines=2))


def children(pid: int) -> list[int]:
    """Processes that any thread of `pid` has started."""
    return [int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]


def name_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def the_device(served: serving.Served) -> int:
    """The process of the device."""
    return next(pid for pid in children(served.process.pid) if "vfax.host.process_child" in name_of(pid))


def is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def assert_received(document: Path, received: Path, record: dict[str, object]) -> None:
    """Whole, and pixel for pixel what was sent; its journal was written by the other process."""
    assert record["incomplete"] is False, record
    assert record["pages"] == len(tiff.read_headers(document)) == len(tiff.read_headers(received))
    for page in range(len(tiff.read_headers(document))):
        assert tiff.load_page(received, page).raster == tiff.load_page(document, page).raster
    files = record["files"]
    assert isinstance(files, dict)
    assert Path(files["journal"]).is_file()


async def test_it_receives_from_vfax_and_from_libspandsp(tmp_path: Path, config: str, document: Path) -> None:
    spandsp.load()
    short = documents.write_fax(tmp_path / "short.tif", documents.draw_pages(1, lines=1))
    results: list[CallResult] = []
    with trio.fail_after(LIMIT):
        async with serving.serve(tmp_path, "--config", config) as served:
            device = the_device(served)
            sent = await serving.send(document, served.uri)
            assert sent.status == 0, sent.errors
            async with open_peer() as peer:
                habits = Habits(way=Way.DIRECT, abilities=Abilities(ident=PEER_ID))
                results.append(await peer.call(served.uri, short, habits))
            await served.wait_for_records(2)
    assert results[0].ok, results
    assert served.status == 0, served.text
    assert not is_running(device)
    found = {str(record["remote_id"]): (path, record) for path, record in served.records()}
    assert set(found) == {"", PEER_ID}
    assert_received(document, *found[""])
    assert_received(short, *found[PEER_ID])


async def test_killed_in_mid_fax_its_confirmed_pages_are_delivered_and_it_comes_back(
    tmp_path: Path, config: str, document: Path
) -> None:
    confirmed, enough = 0, trio.Event()

    def hear(event: call.CallEvent) -> None:
        nonlocal confirmed
        confirmed += isinstance(event, call.PageDone)
        if isinstance(event, call.PageBegun) and confirmed >= 1:
            enough.set()

    paced = LegOptions(line=T38Options(pace=0.1), internet_aware=InternetAware.NEVER)
    endpoint = Endpoint(EndpointOptions(listen=("127.0.0.1", 0), leg=paced))
    with trio.fail_after(LIMIT):
        async with serving.serve(tmp_path, "--config", config) as served, trio.open_nursery() as nursery:
            await nursery.start(endpoint.run, lambda arrived: arrived.refuse(486))
            request = call.SendRequest(document=document, destination=served.uri, local_id="", caller_name="")

            async def send() -> None:
                await endpoint.outbound().send(request, publish=hear)

            nursery.start_soon(send)
            await enough.wait()
            os.kill(the_device(served), signal.SIGKILL)
            await served.wait_for_records(1)
            ((path, record),) = served.records()
            await served.wait_for("are back")
            nursery.cancel_scope.cancel()
    assert record["incomplete"] is True
    assert "the provider's process was killed by SIGKILL" in str(record["outcome"])
    kept = len(tiff.read_headers(path))
    assert kept == record["pages"]
    assert kept >= confirmed >= 1
    assert "are out of service: the provider's process was killed by SIGKILL" in served.text
    assert served.status == 0, served.text


async def test_the_operator_reads_of_a_registration_that_fails(tmp_path: Path) -> None:
    path = tmp_path / "vfax.toml"
    path.write_text(
        '[provider]\nprocess = "own"\n[[trunk]]\nname = "office"\ngateways = ["127.0.0.1:9"]\n'
        'registers = true\nregistrar = "no-such-host.invalid"\nuser = "fax"\noptions_interval = 0\n'
    )
    with trio.fail_after(LIMIT):
        async with serving.serve(tmp_path, "--config", str(path)) as served:
            said = await served.wait_for(r"(?m)^Trunk office: .*")
    assert "no-such-host.invalid" in said.group(0)
