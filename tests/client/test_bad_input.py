"""The client and the service behind it, given what no call wants (see tests/odd.py); `host` holds it has no fault.

Calls and requests are found by looking, not listed: a new one that is in no table here fails.
"""

import inspect
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx
import pytest

import vfax.client
from tests.client.plain import Host
from tests.client.test_api import refusal
from tests.odd import ODD, SEED, public, sweep
from vfax.client import Client, Device, Job
from vfax.fsp.completion import CompletionPort
from vfax.fsp.constants import Win32
from vfax.fsp.errors import FaxServiceError, InvalidHandle, InvalidParameter
from vfax.host.api.routes import TABLE, Row

ENDLESS: Final = frozenset({"/v1/stream", "/v1/registrations/{registration}/events"})
"""Requests that are answered without end, where they are right."""


@pytest.fixture
def document(folder: Path) -> Path:
    path = folder / "letter.tif"
    path.write_bytes(b"II*\0 and so on")
    return path


# --- vfax.client -----------------------------------------------------------------------------------------


def test_the_client_takes_no_nonsense_and_no_service_feels_it(host: Host, folder: Path, document: Path) -> None:
    with vfax.client.connect(host.socket) as fax:
        (job,) = fax.submit(document, ["1"])
        right = (job, job.id, 0xFA, document, ["1"], 1, "low", "pause", CompletionPort(), 0x500, folder / "new", True)
        calls = public(fax, but=frozenset({"close"}))
        assert sweep(calls, right, FaxServiceError, rounds=40) > 200
        assert fax.job(job).id == job.id
        assert fax.devices()


def test_what_else_the_client_has_takes_no_nonsense(host: Host) -> None:
    named = {name: getattr(vfax.client, name) for name in vfax.client.__all__}
    kinds = {name: thing for name, thing in named.items() if inspect.isclass(thing)}
    assert kinds.keys() == {"Client", "Device", "Job", "Registration", "RequestRefused", "ServiceUnavailable"}
    calls = {name: thing for name, thing in named.items() if name not in kinds}
    calls |= {"Device.read": Device.read, "Job.read": Job.read}
    row = {"job": "1", "status": "fjsPENDING", "paused": False, "no_line": False, "owner": "", "recipient": {}}
    assert sweep(calls, (host.socket, row, {**row, "recipient": []}, "", 0.05), FaxServiceError) > 100


def test_a_registration_takes_no_nonsense_either(host: Host) -> None:
    with vfax.client.connect(host.socket) as fax:
        made = fax.initialize_event_queue(port=CompletionPort())
        assert made is not None
        assert public(made).keys() == {"start", "stop", "wait"}  # the first two are the client's own
        for wrong in ("1", b"", -1, -0.5, True, 1 << 64, float("nan"), float("inf"), [], object()):
            with pytest.raises(InvalidParameter):
                made.wait(wrong)  # type: ignore[arg-type]
        assert made.wait(0.001) is False


WRONG: Final[dict[str, Callable[[Client], object]]] = {
    "peers that are nobody": lambda fax: fax.forget_peers(None, None),  # type: ignore[arg-type]
    "peers of false": lambda fax: fax.forget_peers(False, 0),  # type: ignore[arg-type]
    "sending by a word": lambda fax: fax.set_device(1, send="off"),  # type: ignore[arg-type]
    "receiving by a number": lambda fax: fax.set_device(1, receive=0),  # type: ignore[arg-type]
    "a pause by a word": lambda fax: fax.pause_queue("no"),  # type: ignore[arg-type]
    "jobs ended perhaps": lambda fax: fax.jobs(ended="perhaps"),  # type: ignore[arg-type]
    "jobs of no owner": lambda fax: fax.jobs(owner=None),  # type: ignore[arg-type]
    "jobs before false": lambda fax: fax.jobs(before=False),
    "faxes without limit": lambda fax: fax.faxes(limit=None),  # type: ignore[arg-type]
    "a file that is none": lambda fax: fax.fetch(0xFA, 7),  # type: ignore[arg-type]
    "a file that is there": lambda fax: fax.fetch(0xFA, __file__),
    "a file nowhere": lambda fax: fax.fetch(0xFA, "/nowhere/at/all.tif"),
}
"""What Python takes for true or false, or for a path, and the call must not."""


def test_what_is_of_another_type_is_not_taken_for_what_python_makes_of_it(host: Host) -> None:
    with vfax.client.connect(host.socket) as fax:
        for name, call in WRONG.items():
            try:
                call(fax)
            except InvalidParameter:
                continue
            raise AssertionError(f"{name}: it is taken")
        assert (len(fax.peers()), host.door.paused) == (3, False)
        assert all(device.send and device.receive for device in fax.devices())


CLOSED: Final[dict[str, Callable[[Client, Path], object]]] = {
    "abort": lambda fax, path: fax.abort(1),
    "clients": lambda fax, path: fax.clients(),
    "close": lambda fax, path: fax.close(),
    "devices": lambda fax, path: fax.devices(),
    "faxes": lambda fax, path: fax.faxes(),
    "fetch": lambda fax, path: fax.fetch(0xFA, path.with_suffix(".new")),
    "forget_peers": lambda fax, path: fax.forget_peers(),
    "initialize_event_queue": lambda fax, path: fax.initialize_event_queue(port=CompletionPort()),
    "job": lambda fax, path: fax.job(1),
    "jobs": lambda fax, path: fax.jobs(),
    "pause_queue": lambda fax, path: fax.pause_queue(True),
    "peers": lambda fax, path: fax.peers(),
    "server": lambda fax, path: fax.server(),
    "set_device": lambda fax, path: fax.set_device(1, send=True),
    "set_job": lambda fax, path: fax.set_job(1, command="pause"),
    "submit": lambda fax, path: fax.submit(path, ["1"]),
    "trunks": lambda fax, path: fax.trunks(),
}
"""Each call as it is right, but for its connection."""


def test_a_closed_connection_is_an_invalid_handle_for_every_call(host: Host, document: Path) -> None:
    fax = vfax.client.connect(host.socket)
    assert CLOSED.keys() == public(fax).keys(), "a call that is not tried here"
    fax.close()
    assert fax.closed
    for name, call in CLOSED.items():
        with pytest.raises(InvalidHandle) as caught:
            call(fax, document)
        assert caught.value.winerror == Win32.ERROR_INVALID_HANDLE, name
    assert not host.door.paused
    assert len(host.door.known) == 3


# --- the API ---------------------------------------------------------------------------------------------


def texts() -> list[str]:
    """Odd values as they can be said in a path or a query."""
    found = [value for value in ODD if isinstance(value, str)] + [repr(value) for value in ODD if not callable(value)]
    return [text.encode("utf-8", "replace").decode()[:2_000] for text in found]


def bodies(dice: random.Random) -> list[bytes]:
    """Bodies that are no JSON, are none of these objects, or hold odd values under the right names."""
    names = ["send", "receive", "paused", "command", "priority", "schedule", "instance", "sink", "key", "message_start"]
    plain: list[Any] = [None, True, -1, 0, 1, 1 << 64, 1.5, "", "1", "\0", "x" * 5_000, [], [None], {}, {"": 1}]
    objects = [{dice.choice(names): dice.choice(plain) for _ in range(dice.randrange(1, 4))} for _ in range(20)]
    return [b"", b"{", b"\xff", b"NaN", *(json.dumps(one).encode() for one in [*plain, *objects])]


@pytest.mark.parametrize("remote", [False, True], ids=["socket", "https"])
def test_every_request_of_the_api_refuses_nonsense_with_a_sentence(host: Host, remote: bool) -> None:
    dice = random.Random(SEED)
    odd, contents = texts(), bodies(dice)
    with host.remote() if remote else host.local() as http:
        for row in TABLE:
            refused = sum(_is_refused(http, row, dice, odd, contents) for _ in range(5))
            assert refused, f"{row.method} {row.path} refused nothing"
        assert http.get("/v1/server").status_code == 200


def _is_refused(http: httpx.Client, row: Row, dice: random.Random, odd: list[str], contents: list[bytes]) -> bool:
    names = {name: quote(dice.choice(odd)[:200], safe="") or "x" for name in _names(row)}
    asked = dice.choice(
        ("", f"?{dice.choice(('limit', 'peer', 'after', 'state', 'colour'))}={quote(dice.choice(odd))}")
    )
    path = row.path.format(**names) + asked
    content = dice.choice(contents) if row.method in ("POST", "PATCH", "PUT") else None
    with http.stream(row.method, path, content=content) as answer:
        if answer.status_code < 400:
            if row.path not in ENDLESS:
                answer.read()
            return False
        answer.read()
        assert answer.status_code < 500, (row.method, path, content, answer.text)
        refusal(answer)
    return True


def _names(row: Row) -> list[str]:
    return [part.strip("{}") for part in row.path.split("/") if part.startswith("{")]


UNKNOWN: Final = {"device": "99", "job": "fffffffe", "delivery": "8", "connection": "none", "registration": "none"}
"""Ids as they should be, of nothing that is there."""
BODY: Final[dict[tuple[str, str], bytes]] = {
    ("PATCH", "/v1/devices/{device}"): b'{"send": true}',
    ("PATCH", "/v1/jobs/{job}"): b'{"command": "pause"}',
}


def test_every_request_about_something_refuses_what_is_not_there(host: Host) -> None:
    with host.local() as http:
        for row in (row for row in TABLE if "{" in row.path):
            path = row.path.format(**{name: UNKNOWN[name] for name in _names(row)})
            answer = http.request(row.method, path, content=BODY.get((row.method, row.path)))
            status, winerror, _ = refusal(answer)
            assert status in (400, 404), (row.method, path)
            assert winerror in (Win32.ERROR_INVALID_PARAMETER, Win32.ERROR_INVALID_HANDLE), (row.method, path)
