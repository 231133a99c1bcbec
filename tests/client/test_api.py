"""The API over real sockets: who may do what, and that whatever else is sent is refused with a sentence."""

import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.client.plain import CLERK, GUEST, MASTER, Host, hosting
from tests.client.test_client import until
from vfax.fsp.constants import Win32
from vfax.host.api.routes import TABLE, Row
from vfax.host.events import HostFaulted, ServiceStopped

DOCUMENT = {"document": ("a.tif", b"II*\0", "image/tiff")}
TO = {"recipient": "+49 30 1"}


def refusal(answer: httpx.Response) -> tuple[int, int, str]:
    """Status, Win32 code and sentence of an answer that must be an error of ours."""
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert set(error) == {"winerror", "name", "sentence"}
    assert Win32(error["winerror"]).name == error["name"]
    assert error["sentence"].strip()
    assert "Traceback" not in answer.text
    return answer.status_code, error["winerror"], error["sentence"]


def path_of(row: Row) -> str:
    named = {"device": "1", "job": "00000001", "delivery": "7", "connection": "x", "registration": "x"}
    return row.path.format(**named)


@pytest.fixture
def http(host: Host) -> Iterator[httpx.Client]:
    with host.local() as client:
        yield client


# --- who may ---------------------------------------------------------------------------------------


def test_every_row_needs_its_right(host: Host) -> None:
    with host.remote(GUEST) as guest, host.remote(MASTER) as master:
        for row in TABLE:
            for who, allowed in ((guest, not row.needs), (master, True)):
                if row.path.endswith(("/stream", "/events")) and allowed:
                    continue  # they do not end
                answer = who.request(row.method, path_of(row))
                denied = answer.status_code == 403
                assert denied is not allowed, (row.method, row.path, answer.text)
                if denied:
                    assert refusal(answer)[1] == Win32.ERROR_ACCESS_DENIED


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer wrong-token-0123456789abcdef",
        f"Basic {MASTER}",
        f"Bearer {MASTER}x",
        f"Bearer {MASTER[:-1]}",
        "Bearer " + "x" * 5_000,
    ],
)
def test_no_row_is_open_to_who_has_no_token(host: Host, authorization: str) -> None:
    with host.remote("") as stranger:
        for row in TABLE:
            headers = {"authorization": authorization} if authorization else {}
            answer = stranger.request(row.method, path_of(row), headers=headers)
            assert refusal(answer)[:2] == (401, Win32.ERROR_ACCESS_DENIED)
            assert answer.headers["www-authenticate"] == "Bearer"


def test_jobs_of_others_are_seen_with_the_right_alone(host: Host) -> None:
    with host.remote(MASTER) as master, host.remote(CLERK) as clerk:
        assert master.post("/v1/jobs", files=DOCUMENT, data=TO).status_code == 201
        assert clerk.post("/v1/jobs", files=DOCUMENT, data=TO).status_code == 201
        assert [job["owner"] for job in master.get("/v1/jobs").json()["jobs"]] == ["clerk", "master"]
        assert [job["owner"] for job in clerk.get("/v1/jobs").json()["jobs"]] == ["clerk"]
        assert refusal(clerk.get("/v1/jobs", params={"owner": "master"}))[:2] == (403, Win32.ERROR_ACCESS_DENIED)
        for path in ("/v1/jobs/1", "/v1/jobs/1/attempts", "/v1/jobs/1/document"):
            assert refusal(clerk.get(path))[:2] == (403, Win32.ERROR_ACCESS_DENIED)
            assert clerk.get(path.replace("1", "2").replace("v2", "v1")).status_code == 200
        assert refusal(clerk.patch("/v1/jobs/1", json={"command": "pause"}))[0] == 403


AS_NOBODY = """
    import os, socket, sys
    os.setgid(65534); os.setuid(65534)
    for path in ("server", "devices"):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(sys.argv[1])
            sock.sendall(b"GET /v1/%b HTTP/1.1\\r\\nHost: vfax\\r\\nConnection: close\\r\\n\\r\\n" % path.encode())
            said = b""
            while piece := sock.recv(65536):
                said += piece
        print(said.split(None, 2)[1].decode(), said.partition(b'"you":')[2].decode())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_of_this_machine_has_the_rights_of_peers(folder: Path) -> None:
    folder.chmod(0o755)
    with hosting(folder, listen={"socket_mode": 0o666, "peer_rights": TABLE[4].needs}) as host:
        said = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(AS_NOBODY), str(host.socket)], capture_output=True, check=True
        )
    first, second = said.stdout.decode().splitlines()
    assert first == '200 {"name":"nobody","rights":["submit"],"local":true}}'
    assert second.strip() == "403"


# --- what is refused -------------------------------------------------------------------------------

JSON_BODIES: list[tuple[str, bytes]] = [
    ("no JSON", b"paused"),
    ("half of it", b'{"paused": tr'),
    ("a list", b"[]"),
    ("a number", b"1"),
    ("another key", b'{"pausd": true}'),
    ("another kind", b'{"paused": "true"}'),
    ("a number for a Boolean", b'{"paused": 1}'),
    ("null", b'{"paused": null}'),
    ("nothing", b""),
    ("not a number", b'{"paused": NaN}'),
    ("no UTF-8", b'{"paused": "\xff"}'),
    ("UTF-16", '{"paused": true}'.encode("utf-16")),
    ("too deep", b"[" * 30_000 + b"]" * 30_000),
    ("a number without end", b'{"paused": ' + b"9" * 60_000 + b"}"),
]


@pytest.mark.parametrize("body", [row[1] for row in JSON_BODIES], ids=[row[0] for row in JSON_BODIES])
def test_a_body_that_is_not_what_is_expected_is_refused(http: httpx.Client, host: Host, body: bytes) -> None:
    status, winerror, _ = refusal(http.put("/v1/queue", content=body))
    assert (status, winerror, host.door.paused) == (400, Win32.ERROR_INVALID_PARAMETER, False)


def test_a_body_beyond_its_limit_is_refused_and_the_next_request_works(http: httpx.Client) -> None:
    for content in (b"x" * 65_537, iter([b"x" * 40_000, b"x" * 40_000])):
        assert refusal(http.put("/v1/queue", content=content))[:2] == (413, Win32.ERROR_INVALID_PARAMETER)
    assert http.get("/v1/queue").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1", 404),
        ("GET", "/v1/server/", 404),
        ("GET", "/v2/server", 404),
        ("GET", "/v1/jobs/%2e%2e%2fserver", 404),
        ("DELETE", "/v1/jobs", 405),
        ("BREW", "/v1/jobs", 405),
        ("GET", "/v1/jobs/0", 400),
        ("GET", "/v1/jobs/ffffffff", 400),
        ("GET", "/v1/jobs/100000000", 400),
        ("GET", "/v1/jobs/-1", 400),
        ("GET", "/v1/jobs/0x1", 400),
        ("GET", "/v1/jobs/zz", 400),
        ("GET", "/v1/jobs/%00", 400),
        ("GET", "/v1/jobs/%F0%9F%93%A0", 400),
        ("GET", "/v1/jobs/\u0661".encode().decode("latin1"), 400),
        ("GET", "/v1/jobs/fffffffe", 404),
        ("POST", "/v1/jobs/fffffffe/abort", 404),
        ("GET", "/v1/jobs/fffffffe/attempts", 404),
        ("GET", "/v1/jobs?limit=0", 400),
        ("GET", "/v1/jobs?limit=1001", 400),
        ("GET", "/v1/jobs?limit=1e3", 400),
        ("GET", "/v1/jobs?limit=1&limit=2", 400),
        ("GET", "/v1/jobs?before=x", 400),
        ("GET", "/v1/jobs?status=lost", 400),
        ("GET", "/v1/jobs?ended=yes", 400),
        ("GET", "/v1/jobs?owner=a%0Ab", 400),
        ("GET", "/v1/jobs?colour=red", 400),
        ("GET", "/v1/server?x=1", 400),
        ("PATCH", "/v1/devices/0", 400),
        ("PATCH", "/v1/devices/4294967296", 400),
        ("PATCH", "/v1/devices/99", 404),
        ("PATCH", "/v1/devices/x", 400),
        ("GET", "/v1/faxes/1", 404),
        ("GET", "/v1/faxes/1/document", 404),
        ("GET", "/v1/faxes?delivered=1", 400),
        ("GET", "/v1/deliveries?state=lost", 400),
        ("GET", "/v1/deliveries/0/attempts", 400),
        ("GET", "/v1/deliveries/8/attempts", 400),
        ("POST", "/v1/deliveries/99999999999999999999/retry", 400),
        ("GET", "/v1/history?after=-1", 400),
        ("DELETE", "/v1/connections/none", 404),
        ("DELETE", "/v1/registrations/none", 404),
        ("GET", "/v1/registrations/none/events", 404),
        ("GET", "/v1/stream?after=99", 400),
        ("GET", "/v1/stream?session=another", 410),
        ("POST", "/v1/registrations", 400),
        ("POST", "/v1/jobs", 400),
    ],
)
def test_what_is_not_there_is_refused(http: httpx.Client, method: str, path: str, status: int) -> None:
    assert refusal(http.request(method, path))[0] == status


def test_a_connection_that_is_not_open_is_an_invalid_handle_for_every_request(http: httpx.Client) -> None:
    for row in TABLE:
        answer = http.request(row.method, path_of(row), headers={"vfax-connection": "gone"})
        assert refusal(answer)[:2] == (404, Win32.ERROR_INVALID_HANDLE), row.path


def test_the_connection_of_another_client_is_no_connection_of_mine(host: Host) -> None:
    with host.remote(MASTER) as master, host.remote(CLERK) as clerk:
        theirs = master.post("/v1/connections", json={}).json()["connection"]
        assert refusal(clerk.delete(f"/v1/connections/{theirs}"))[:2] == (404, Win32.ERROR_INVALID_HANDLE)
        assert refusal(clerk.get("/v1/server", headers={"vfax-connection": theirs}))[1] == Win32.ERROR_INVALID_HANDLE
        assert master.delete(f"/v1/connections/{theirs}").status_code == 204


# --- documents -------------------------------------------------------------------------------------


def form(*parts: bytes, end: bytes = b"--b--\r\n") -> dict[str, Any]:
    body = b"".join(b"--b\r\nContent-Disposition: form-data; " + part + b"\r\n" for part in parts)
    return {"content": body + end, "headers": {"content-type": "multipart/form-data; boundary=b"}}


DOC = b'name="document"; filename="a.tif"\r\n\r\nII*\0'
RECIPIENT = b'name="recipient"\r\n\r\n+49 30 1'
FORMS: list[tuple[str, dict[str, Any]]] = [
    ("no body", {}),
    ("JSON", {"json": {"recipient": "1"}}),
    ("no boundary", {"content": b"x", "headers": {"content-type": "multipart/form-data"}}),
    ("no document", form(RECIPIENT)),
    ("no recipient", form(DOC)),
    ("two documents", form(DOC, DOC, RECIPIENT)),
    ("cut off", form(DOC, RECIPIENT, end=b"")),
    ("a field twice", form(DOC, RECIPIENT, b'name="subject"\r\n\r\na', b'name="subject"\r\n\r\nb')),
    ("an unknown field", form(DOC, RECIPIENT, b'name="colour"\r\n\r\nred')),
    ("a long field", form(DOC, RECIPIENT, b'name="subject"\r\n\r\n' + b"x" * 2_000)),
    ("no UTF-8", form(DOC, b'name="recipient"\r\n\r\n\xff\xfe')),
    ("a control character", form(DOC, b'name="recipient"\r\n\r\n+49\x07')),
    ("a name without a number", form(DOC, b'name="recipient"\r\n\r\nBob <>')),
    ("no such time", form(DOC, RECIPIENT, b'name="schedule"\r\n\r\n2025-02-30T00:00:00Z')),
    ("a time without a zone", form(DOC, RECIPIENT, b'name="schedule"\r\n\r\n2025-02-20T00:00:00')),
    ("too many retries", form(DOC, RECIPIENT, b'name="max_retries"\r\n\r\n1001')),
    ("a negative page", form(DOC, RECIPIENT, b'name="first_page"\r\n\r\n-1')),
    ("a part without a name", form(DOC, RECIPIENT, b"\r\n\r\nx")),
    ("too many recipients", form(DOC, *[RECIPIENT] * 6)),
]


@pytest.mark.parametrize("body", [row[1] for row in FORMS], ids=[row[0] for row in FORMS])
def test_a_form_that_is_not_what_is_expected_is_refused_and_leaves_no_file(folder: Path, body: dict[str, Any]) -> None:
    with hosting(folder, api={"max_recipients": 5}, tls=False) as host, host.local() as http:
        assert refusal(http.post("/v1/jobs", **body))[:2] == (400, Win32.ERROR_INVALID_PARAMETER)
        assert (host.door.orders, list((folder / "uploads").iterdir()), host.faults) == ([], [], [])


def test_a_document_that_is_none_is_refused_by_the_host(http: httpx.Client, host: Host) -> None:
    answer = http.post("/v1/jobs", files={"document": ("a.exe", b"MZ")}, data=TO)
    assert refusal(answer)[:2] == (422, Win32.ERROR_INVALID_DATA)
    assert list((host.folder / "uploads").iterdir()) == []


def pieces(count: int, octets: int = 65_536) -> Iterator[bytes]:
    yield b'--b\r\nContent-Disposition: form-data; name="document"; filename="a.tif"\r\n\r\nII*\0'
    for _ in range(count):
        yield b"x" * octets
    yield b"\r\n--b\r\nContent-Disposition: form-data; name=recipient\r\n\r\n1\r\n--b--\r\n"


MULTIPART = {"content-type": "multipart/form-data; boundary=b"}


def test_a_large_document_comes_in_pieces_and_whole(http: httpx.Client, host: Host) -> None:
    assert http.post("/v1/jobs", content=pieces(300), headers=MULTIPART).status_code == 201
    assert [len(content) for content in host.door.contents] == [4 + 300 * 65_536]


@pytest.mark.parametrize("remote", [False, True], ids=["socket", "TLS"])
def test_a_document_beyond_the_limit_is_refused_before_all_of_it_has_come(folder: Path, remote: bool) -> None:
    with hosting(folder, api={"max_upload": 100_000}) as host:
        with host.remote() if remote else host.local() as http:
            answer = http.post("/v1/jobs", content=pieces(1_000), headers=MULTIPART)
            assert refusal(answer)[:2] == (413, Win32.ERROR_INVALID_PARAMETER)
            assert http.get("/v1/server").status_code == 200
        until(lambda: not any(room.borrowed_tokens for room in host.listeners._rooms), "it is given back")
        assert list((folder / "uploads").iterdir()) == []
        assert host.faults == []


def test_a_right_that_is_missing_is_said_before_the_document_has_come(host: Host) -> None:
    with host.remote(GUEST) as guest:
        assert refusal(guest.post("/v1/jobs", content=pieces(1_000), headers=MULTIPART))[0] == 403
        assert guest.get("/v1/server").status_code == 200


def slowly(first: bytes, seconds: float) -> Iterator[bytes]:
    yield first
    time.sleep(seconds)
    yield b"x"


def test_bodies_that_do_not_come_are_not_waited_for(folder: Path) -> None:
    with hosting(folder, api={"body_timeout": 0.2, "upload_pause": 0.2}, tls=False) as host, host.local() as http:
        assert refusal(http.put("/v1/queue", content=slowly(b"{", 1.0)))[:2] == (408, Win32.ERROR_TIMEOUT)
        answer = http.post("/v1/jobs", content=slowly(b"--b\r\n", 1.0), headers=MULTIPART)
        assert refusal(answer)[:2] == (408, Win32.ERROR_TIMEOUT)
        assert host.faults == []


def test_more_documents_at_once_than_the_limit_are_refused(folder: Path) -> None:
    with hosting(folder, api={"max_uploads": 1}, tls=False) as host, host.local() as http:
        host.call(lambda: host.listeners._api._uploads.acquire_on_behalf_of_nowait("another"))
        answer = http.post("/v1/jobs", files=DOCUMENT, data=TO)
        assert refusal(answer)[:2] == (503, Win32.ERROR_NOT_ENOUGH_MEMORY)


# --- faults ----------------------------------------------------------------------------------------


def test_a_fault_of_the_host_is_one_sentence_for_the_client_and_a_trace_for_the_host(folder: Path) -> None:
    with hosting(folder, tls=False) as host, host.local() as http:
        host.door.broken = True
        answer = http.get("/v1/server")
        assert refusal(answer)[:2] == (500, Win32.ERROR_INTERNAL_ERROR)
        assert "secret" not in answer.text
        (fault,) = host.faults
        assert isinstance(fault, HostFaulted)
        assert "a secret of the host" in fault.trace
        host.door.broken = False
        assert http.get("/v1/server").status_code == 200


def test_after_the_end_of_the_service_nobody_connects(host: Host) -> None:
    with host.local() as http:
        host.hear(ServiceStopped())
        assert refusal(http.post("/v1/connections", json={}))[:2] == (503, Win32.ERROR_NOT_READY)


# --- what is answered ------------------------------------------------------------------------------


def test_the_answers_of_the_rest(http: httpx.Client) -> None:
    http.post("/v1/jobs", files=DOCUMENT, data=TO)
    for path, key in (
        ("/v1/jobs/1/attempts", "attempts"),
        ("/v1/faxes", "faxes"),
        ("/v1/faxes/fa/deliveries", "deliveries"),
        ("/v1/deliveries?state=given-up", "deliveries"),
        ("/v1/deliveries/7/attempts", "attempts"),
        ("/v1/history", "events"),
    ):
        answer = http.get(path)
        assert (answer.status_code, len(answer.json()[key])) == (200, 1), path
    assert http.post("/v1/deliveries/7/retry").json()["state"] == "waiting"
    assert http.get("/v1/history").json()["events"][0]["name"] == "FEI_FAXSVC_STARTED"
    assert http.get("/v1/history").json()["events"][0]["at"] == "2025-01-31T12:00:00.000Z"
    document = http.get("/v1/faxes/fa/document")
    assert (document.content, document.headers["content-type"]) == (b"II*\0", "image/tiff")
    assert document.headers["x-content-type-options"] == "nosniff"
    assert http.head("/v1/faxes/fa/document").headers["content-length"] == "4"


def test_passwords_never_leave(http: httpx.Client) -> None:
    http.post("/v1/jobs", files=DOCUMENT, data=TO | {"sender_password": "4711"})
    assert "4711" not in http.get("/v1/jobs").text


def test_answers_are_ascii_whatever_people_write(http: httpx.Client) -> None:
    http.post("/v1/jobs", files=DOCUMENT, data=TO | {"subject": "Gr\u00fc\u00dfe"})
    said = http.get("/v1/jobs").content
    assert said.isascii()
    assert json.loads(said)["jobs"][0]["subject"] == "Gr\u00fc\u00dfe"


def test_a_file_that_is_gone_is_not_there(http: httpx.Client, host: Host) -> None:
    (host.folder / "fax.tif").unlink()
    assert refusal(http.get("/v1/faxes/fa/document"))[0] == 404
