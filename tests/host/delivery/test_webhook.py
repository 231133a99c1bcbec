"""Delivery to webhooks: real servers (hypercorn with Starlette, http.server), and servers that do everything wrong."""

import email
import email.policy
import json
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tests.host.delivery.conftest import HOSTILE, Parcels
from tests.host.delivery.peers import Authority, drip, listening
from vfax.host.deliver_webhook import WebhookOptions, deliver, retry_after, signature
from vfax.host.document import Format
from vfax.host.parcel import Parcel, Result
from vfax.host.routing import Body, WebhookTarget

DOCS = Path(__file__).parents[3] / "docs" / "delivery.md"
NOW = datetime.now(UTC)
PATIENCE = 30.0
SECRET = "a secret of ours, ☎"


def documented_check() -> Callable[..., bool]:
    """The example of docs/delivery.md, run as it stands there."""
    (example,) = re.findall(r"```python\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(example, str(DOCS), "exec"), names)
    checked: Callable[..., bool] = names["is_genuine"]
    return checked


async def post(parcel: Parcel, url: str, options: WebhookOptions | None = None, **target: object) -> Result:
    chosen = replace(WebhookTarget(url=url, secret=SECRET), **target)  # type: ignore[arg-type]
    with trio.fail_after(PATIENCE):
        return await deliver(parcel, chosen, options or WebhookOptions(), datetime.now(UTC), trio.CapacityLimiter(4))


def tried_again(result: Result) -> bool:
    return (result.ok, result.final) == (False, False)


@dataclass
class Receiver:
    """A receiver on hypercorn and Starlette; `answer` makes what it says."""

    answer: Callable[[], Response] = lambda: PlainTextResponse("taken")
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    parts: list[dict[str, tuple[str, str, bytes]]] = field(default_factory=list)

    async def take(self, request: Request) -> Response:
        body = await request.body()
        self.requests.append((dict(request.headers), body))
        if request.headers["content-type"].startswith("multipart/"):
            self.parts.append(parts_of(request.headers["content-type"], body))
        return self.answer()

    @asynccontextmanager
    async def running(self, certificate: tuple[Path, Path] | None = None) -> AsyncIterator[str]:
        app = Starlette(routes=[Route("/faxes", self.take, methods=["POST", "GET"])])
        config = Config()
        config.bind = ["127.0.0.1:0"]
        config.accesslog = config.errorlog = None
        config.graceful_timeout = 0.5
        if certificate is not None:
            config.certfile, config.keyfile = map(str, certificate)
        async with trio.open_nursery() as nursery:
            ending = trio.Event()
            (bound,) = await nursery.start(
                lambda task_status: serve(app, config, shutdown_trigger=ending.wait, task_status=task_status)  # type: ignore[arg-type]
            )
            yield f"{bound}/faxes"
            ending.set()


def parts_of(content_type: str, body: bytes) -> dict[str, tuple[str, str, bytes]]:
    """Multipart as the standard library's mail parser reads it: name -> (file name, type, octets)."""
    message = email.message_from_bytes(
        b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body, policy=email.policy.HTTP
    )
    assert isinstance(message, EmailMessage)
    found = {}
    for part in message.iter_parts():
        octets = part.get_payload(decode=True)
        assert isinstance(octets, bytes)
        name = str(part.get_param("name", header="content-disposition"))
        found[name] = (str(part.get_filename()), part.get_content_type(), octets)
    return found


async def test_a_fax_arrives_with_its_record_and_its_document(parcel: Parcels, two_pages: bytes) -> None:
    receiver = Receiver()
    async with receiver.running() as url:
        result = await post(parcel(kind="webhook"), url, form=Format.TIFF)
    assert result == Result.done(f"{url.removesuffix('/faxes')} has answered 200.")
    (parts,) = receiver.parts
    name = "20250131T120000Z-+49_30_123456-0000abcd.tif"
    assert set(parts) == {"event", "document"}
    assert parts["document"] == (name, "image/tiff", two_pages)
    assert parts["event"][:2] == ("event.json", "application/json")
    event = json.loads(parts["event"][2])
    assert (event["id"], event["document"]["name"]) == ("20250131T120000Z-0000abcd-17", name)


async def test_the_example_of_the_documentation_accepts_what_we_send_and_nothing_else(parcel: Parcels) -> None:
    receiver = Receiver()
    async with receiver.running() as url:
        for body in Body:
            assert (await post(parcel(kind="webhook", caller=HOSTILE), url, body=body)).ok
    check, secret = documented_check(), SECRET.encode()
    for headers, octets in receiver.requests:
        assert check(secret, headers, octets)
        assert not check(b"another", headers, octets)
        assert not check(secret, headers, octets + b" ")
        assert not check(secret, headers | {"x-vfax-timestamp": str(int(time.time()) + 1)}, octets)
        assert not check(secret, headers | {"x-vfax-signature": ""}, octets)
        assert not check(secret, headers, octets, tolerance=-1.0)


async def test_json_alone_is_the_record(parcel: Parcels) -> None:
    receiver = Receiver()
    made = parcel(kind="webhook")
    async with receiver.running() as url:
        assert (await post(made, url, body=Body.JSON)).ok
    ((headers, body),) = receiver.requests
    assert headers["content-type"] == "application/json"
    assert json.loads(body) == json.loads(json.dumps(made.payload(Format.PDF)))


async def test_the_headers_tell_doubles_and_order(parcel: Parcels) -> None:
    receiver = Receiver()
    async with receiver.running() as url:
        for attempts in range(2):
            made = parcel(kind="webhook")
            again = replace(made, delivery=replace(made.delivery, attempts=attempts, lease_term=attempts))
            assert (await post(again, url, body=Body.JSON)).ok
    (first, one), (second, two) = receiver.requests
    assert one == two
    for headers in (first, second):
        assert headers["x-vfax-event-id"] == "20250131T120000Z-0000abcd-17"
        assert headers["x-vfax-sequence"] == "17"
        assert abs(int(headers["x-vfax-timestamp"]) - time.time()) < 60


async def test_without_a_secret_nothing_is_signed(parcel: Parcels) -> None:
    receiver = Receiver()
    async with receiver.running() as url:
        assert (await post(parcel(kind="webhook"), url, secret="")).ok
    assert "x-vfax-signature" not in receiver.requests[0][0]


async def test_a_secret_may_be_in_a_file(parcel: Parcels, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from a file\n")
    receiver = Receiver()
    async with receiver.running() as url:
        assert (await post(parcel(kind="webhook"), url, secret="", secret_file=str(tmp_path / "secret"))).ok
    assert documented_check()(b"from a file", *receiver.requests[0])


@pytest.mark.parametrize("content", [None, b"", b"  \n", b"x" * 5_000])
async def test_a_secret_that_cannot_be_read_is_no_reason_to_go_unsigned(
    content: bytes | None, parcel: Parcels, tmp_path: Path
) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    receiver = Receiver()
    async with receiver.running() as url:
        result = await post(parcel(kind="webhook"), url, secret="", secret_file=str(path))
    assert tried_again(result)
    assert not receiver.requests
    assert "cannot be prepared" in result.sentence


async def test_nothing_a_caller_says_becomes_a_header(parcel: Parcels) -> None:
    receiver = Receiver()
    async with receiver.running() as url:
        assert (await post(parcel(kind="webhook", caller=HOSTILE + '"; filename="x'), url)).ok
    ((headers, body),), (parts,) = receiver.requests, receiver.parts
    assert set(headers) == {
        *("host", "accept", "user-agent", "content-type", "content-length"),
        *("x-vfax-event-id", "x-vfax-sequence", "x-vfax-timestamp", "x-vfax-signature"),
    }
    word = "+49_Bcc_all_example_org_2J_document_file"
    assert [name for name, _, _ in parts.values()] == ["event.json", f"20250131T120000Z-{word}-0000abcd.pdf"]
    assert b"\r\nBcc" not in body


# --- answers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [200, 201, 202, 204, 299])
async def test_two_hundred_and_something_is_delivered(code: int, parcel: Parcels) -> None:
    receiver = Receiver(lambda: Response(status_code=code))
    async with receiver.running() as url:
        assert (await post(parcel(kind="webhook"), url)).ok


@pytest.mark.parametrize("code", [400, 401, 404, 413, 422, 500, 502, 504])
async def test_other_answers_are_failures_with_their_words(code: int, parcel: Parcels) -> None:
    receiver = Receiver(lambda: PlainTextResponse("no\x1b[2J <b>", status_code=code))
    async with receiver.running() as url:
        result = await post(parcel(kind="webhook"), url)
    assert tried_again(result)
    assert result.sentence.endswith(f"has answered {code} (no [2J <b>).")
    assert result.retry_after == 0


async def test_gone_is_given_up_at_once(parcel: Parcels) -> None:
    async with Receiver(lambda: Response(status_code=410)).running() as url:
        result = await post(parcel(kind="webhook"), url)
    assert (result.ok, result.final) == (False, True)


@pytest.mark.parametrize("code", [301, 302, 307, 308])
async def test_redirects_are_not_followed(code: int, parcel: Parcels) -> None:
    receiver = Receiver(lambda: Response(status_code=code, headers={"Location": "/faxes"}))
    async with receiver.running() as url:
        result = await post(parcel(kind="webhook"), url)
    assert tried_again(result)
    assert "redirects are not followed" in result.sentence
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    ("code", "value", "wait"),
    [(429, "120", 120), (503, "7", 7), (503, "999999", 86_400), (500, "120", 0), (503, "soon", 0), (429, "", 0)],
)
async def test_a_receiver_may_ask_for_patience(code: int, value: str, wait: float, parcel: Parcels) -> None:
    receiver = Receiver(lambda: Response(status_code=code, headers={"Retry-After": value}))
    async with receiver.running() as url:
        result = await post(parcel(kind="webhook"), url)
    assert tried_again(result)
    assert result.retry_after == wait


def test_patience_may_be_asked_for_by_a_date() -> None:
    now = datetime(2025, 1, 31, 12, 0, 0, tzinfo=UTC)
    assert retry_after("Fri, 31 Jan 2025 12:01:30 GMT", now) == 90
    assert retry_after("Fri, 31 Jan 2025 11:01:30 GMT", now) == 0


@given(st.text(max_size=60))
def test_whatever_stands_in_retry_after_is_a_number_of_seconds(value: str) -> None:
    assert retry_after(value, NOW) >= 0


def test_the_signature_is_what_others_compute() -> None:
    # printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac secret
    expected = "v1=49f24e537407743fa4a0242bb63b94b9a47ee99cbbe071ccd8a22550ae411686"
    assert signature(b"secret", "1700000000", b'{"a":1}') == expected


# --- another server --------------------------------------------------------------------------------


@contextmanager
def standard_server(code: int = 200) -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """http.server of the standard library."""
    taken: list[tuple[dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            taken.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(code)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/x?token=1", taken
        finally:
            server.shutdown()
            thread.join()


async def test_the_standard_librarys_server_takes_a_fax(parcel: Parcels, two_pages: bytes) -> None:
    with standard_server() as (url, taken):
        result = await post(parcel(kind="webhook"), url, form=Format.TIFF)
    assert result.ok
    assert "token" not in result.sentence
    ((headers, body),) = taken
    assert documented_check()(SECRET.encode(), headers, body)
    assert two_pages in body


# --- TLS -------------------------------------------------------------------------------------------


async def test_tls_with_a_certificate_we_trust(
    parcel: Parcels, authority: Authority, certificate: tuple[Path, Path]
) -> None:
    receiver = Receiver()
    async with receiver.running(certificate) as url:
        assert url.startswith("https://")
        result = await post(parcel(kind="webhook"), url, ca_file=str(authority.ca))
    assert result.ok, result.sentence


@pytest.mark.parametrize("wrong", ["authority", "name"])
async def test_a_receiver_that_cannot_show_who_it_is_gets_nothing(
    wrong: str,
    parcel: Parcels,
    authority: Authority,
    certificate: tuple[Path, Path],
    wrong_name: tuple[Path, Path],
) -> None:
    receiver = Receiver()
    async with receiver.running(wrong_name if wrong == "name" else certificate) as url:
        result = await post(parcel(kind="webhook"), url, ca_file=str(authority.ca) if wrong == "name" else "")
    assert tried_again(result)
    assert "its certificate is not to be trusted" in result.sentence
    assert not receiver.requests


async def test_a_missing_file_of_authorities_is_said(parcel: Parcels) -> None:
    result = await post(parcel(kind="webhook"), "https://127.0.0.1:1", ca_file="/nonexistent/ca.pem")
    assert tried_again(result)
    assert "No such file" in result.sentence


# --- faults ----------------------------------------------------------------------------------------


async def answering(octets: bytes, parcel: Parcel, options: WebhookOptions | None = None) -> Result:
    """What becomes of a delivery to a server that says this and closes."""

    async def handler(stream: trio.SocketStream) -> None:
        await stream.receive_some(65_536)
        await stream.send_all(octets)

    async with listening(handler) as port:
        return await post(parcel, f"http://127.0.0.1:{port}/", options)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"HTTP/1.1 2",
        b"SSH-2.0-x\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"x" * 1_000_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_what_is_no_whole_answer_is_tried_again(octets: bytes, parcel: Parcels) -> None:
    result = await answering(octets, parcel(kind="webhook"))
    assert tried_again(result)
    assert len(result.sentence) < 500


async def test_an_endless_answer_is_read_to_its_limit_only(parcel: Parcels) -> None:
    async def endless(stream: trio.SocketStream) -> None:
        await stream.receive_some(65_536)
        await stream.send_all(b"HTTP/1.1 500 Oops\r\n\r\n")
        while True:
            await stream.send_all(b"x" * 65_536)

    async with listening(endless) as port:
        result = await post(parcel(kind="webhook"), f"http://127.0.0.1:{port}/", WebhookOptions(max_answer=1_000))
    assert result.sentence == f"http://127.0.0.1:{port} has answered 500 ({'x' * 200})."


async def test_an_answer_that_unpacks_to_more_is_not_unpacked(parcel: Parcels) -> None:
    octets = b"HTTP/1.1 500 Oops\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"
    assert (await answering(octets, parcel(kind="webhook"))).sentence.endswith("(abc).")


async def test_a_receiver_that_drips_ends_with_the_time_it_has(parcel: Parcels) -> None:
    async def dripping(stream: trio.SocketStream) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\n")
        await drip(stream, b"X")

    async with listening(dripping) as port:
        with trio.move_on_after(0.3) as scope:
            await post(parcel(kind="webhook"), f"http://127.0.0.1:{port}/")
    assert scope.cancelled_caught


async def test_a_receiver_that_is_not_there_is_called_again(parcel: Parcels) -> None:
    async def nobody(stream: trio.SocketStream) -> None:
        pass

    async with listening(nobody) as port:
        pass
    result = await post(parcel(kind="webhook"), f"http://127.0.0.1:{port}/")
    assert tried_again(result)
    assert f"http://127.0.0.1:{port} could not be called: " in result.sentence


async def test_a_name_that_nobody_has_is_called_again(parcel: Parcels) -> None:
    assert tried_again(await post(parcel(kind="webhook"), "https://nowhere.invalid/"))


@pytest.mark.parametrize("url", ["https://xn--/", "https://a\nb/"])
async def test_an_address_that_is_none_is_said(url: str, parcel: Parcels) -> None:
    result = await post(parcel(kind="webhook"), url)
    assert tried_again(result)
    assert "its url is none" in result.sentence


async def test_a_receiver_that_answers_before_it_has_read_all_is_heard(parcel: Parcels, spool: Path) -> None:
    (spool / "inbox" / "fax.tif").write_bytes(b"x" * 8_000_000)

    async def hasty(stream: trio.SocketStream) -> None:
        await stream.receive_some(10)
        await stream.send_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    async with listening(hasty) as port:
        result = await post(parcel(kind="webhook"), f"http://127.0.0.1:{port}/", form=Format.TIFF)
    assert tried_again(result)


async def test_a_document_that_is_too_large_is_given_up(parcel: Parcels) -> None:
    result = await post(parcel(kind="webhook"), "http://127.0.0.1:1/", WebhookOptions(max_document=100))
    assert result.final
    assert "more than 100 octets" in result.sentence


def test_dates_in_the_past_ask_for_nothing() -> None:
    assert retry_after((NOW - timedelta(days=1)).strftime("%a, %d %b %Y %H:%M:%S GMT"), NOW) == 0


async def test_a_proxy_of_the_environment_is_not_used(parcel: Parcels, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with Receiver().running() as url:
        assert (await post(parcel(kind="webhook"), url)).ok
