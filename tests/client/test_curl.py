"""curl, which nobody here wrote, at both doors."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.client.plain import MASTER, Host
from tests.client.test_client import until
from vfax.host.events import DeviceIdle, ServiceStopped

CURL = shutil.which("curl") or pytest.fail("curl is missing: script/test installs it")


def command(host: Host, door: str, path: str, *arguments: str) -> list[str]:
    where = ["--unix-socket", str(host.socket), f"http://vfax{path}"]
    if door == "TLS":
        where = ["--cacert", str(host.certificate), "-H", f"Authorization: Bearer {MASTER}", f"{host.url}{path}"]
    return [str(CURL), "-sS", "--max-time", "20", "-w", "\n%{http_code}", *arguments, *where]


def curl(host: Host, door: str, path: str, *arguments: str) -> tuple[int, Any]:
    """Status, and the answer as JSON (None for an empty one)."""
    done = subprocess.run(command(host, door, path, *arguments), capture_output=True, check=True, text=True)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body) if body else None


DOORS = pytest.mark.parametrize("door", ["socket", "TLS"])


@DOORS
def test_a_document_is_sent_seen_and_aborted(host: Host, door: str, folder: Path) -> None:
    letter = folder / "letter.tif"
    letter.write_bytes(b"II*\0" + b"x" * 300_000)
    form = ("-F", f"document=@{letter}", "-F", "recipient=+49 30 1", "-F", "recipient=Bob <sip:bob@example.net>")
    status, answer = curl(host, door, "/v1/jobs", *form)
    assert (status, [job["recipient"]["name"] for job in answer["jobs"]]) == (201, ["", "Bob"])
    assert host.door.contents == [letter.read_bytes()]
    assert curl(host, door, "/v1/jobs/00000001")[1]["status"] == "fjsPENDING"
    change = ("-X", "PATCH", "-d", '{"priority": "high"}', "-H", "Content-Type: application/json")
    assert curl(host, door, "/v1/jobs/1", *change)[1]["priority"] == "high"
    assert curl(host, door, "/v1/jobs/1/abort", "-X", "POST") == (204, None)
    assert host.door.aborted == [1]


@DOORS
def test_a_document_that_is_too_large_is_refused_and_curl_hears_why(host: Host, door: str, folder: Path) -> None:
    letter = folder / "letter.tif"
    with letter.open("wb") as file:
        file.truncate(80 << 20)
    status, answer = curl(host, door, "/v1/jobs", "-F", f"document=@{letter}", "-F", "recipient=1")
    assert (status, answer["error"]["winerror"]) == (413, 87)
    assert host.door.orders == []


@DOORS
def test_events_stream_line_by_line_to_the_end_of_the_service(host: Host, door: str) -> None:
    with subprocess.Popen(
        command(host, door, "/v1/stream?after=0", "-N"), stdout=subprocess.PIPE, text=True
    ) as watching:
        until(lambda: host.listeners._api.desk._streams == 1, "curl reads")
        host.hear(DeviceIdle(4))
        host.hear(ServiceStopped())
        said, _ = watching.communicate(timeout=30)
    assert watching.returncode == 0
    *lines, status = [line for line in said.splitlines() if line]
    found = [json.loads(line) for line in lines]
    assert status == "200"
    assert found[0] == {"session": "session-1", "after": 0}
    assert [line["name"] for line in found[1:-1]] == ["FEI_FAXSVC_STARTED", "FEI_IDLE", "FEI_FAXSVC_ENDED"]
    assert "FEI_FAXSVC_ENDED" in found[-1]["end"]


def test_a_fax_is_fetched(host: Host, folder: Path) -> None:
    got = folder / "got.tif"
    subprocess.run(command(host, "TLS", "/v1/faxes/000000fa/document", "-o", str(got)), check=True, capture_output=True)
    assert got.read_bytes() == b"II*\0"


def test_whoever_has_no_token_hears_so(host: Host) -> None:
    done = subprocess.run(
        [str(CURL), "-sS", "--cacert", str(host.certificate), f"{host.url}/v1/server"], capture_output=True, check=True
    )
    assert json.loads(done.stdout)["error"]["name"] == "ERROR_ACCESS_DENIED"
