"""What comes in on the sockets: octets of all kinds, peers that are slow, too many, or gone."""

import os
import socket
import ssl
import stat
import threading
from pathlib import Path

import httpx
import pytest
import trio

from tests.client.plain import MASTER, Host, hosting
from tests.client.test_client import until
from vfax.errors import LinkError
from vfax.host.api.listening import _bind_unix, user_name
from vfax.host.events import DeviceIdle, JobQueued
from vfax.host.notify import TOO_SLOW, HubOptions, Profile


def raw(host: Host) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.settimeout(20)
    made.connect(str(host.socket))
    return made


def rest(sock: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    got = b""
    try:
        while piece := sock.recv(65_536):
            got += piece
    except ConnectionResetError:
        pass
    return got


def serves(host: Host) -> None:
    """The host is well, and no connection is held."""
    with host.local() as http:
        assert http.get("/v1/server").status_code == 200
    until(lambda: not any(room.borrowed_tokens for room in host.listeners._rooms), "every connection is given back")
    assert host.faults == []


GARBAGE: list[bytes] = [
    b"\0" * 100,
    b"\xff" * 100,
    b"hello\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /v1/server HTTP/1.1\r\n\r\n",  # no Host
    b"GET /v1/server HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET /v1/server HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
    b"GET /v1/\xff HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http://[ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"PUT /v1/queue HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"PUT /v1/queue HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{",
    b"PUT /v1/queue HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
    b"GET /v1/server HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 5_000,
    b"GET /" + b"x" * 40_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100,
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: ?\r\n\r\n",
    b"GET /v1/server HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 50,
]


@pytest.mark.parametrize("octets", GARBAGE)
def test_garbage_ends_its_own_connection_and_nothing_else(folder: Path, octets: bytes) -> None:
    with hosting(folder, listen={"idle_timeout": 0.3}, api={"body_timeout": 0.3}, tls=False) as host:
        with raw(host) as sock:
            sock.sendall(octets)
            sock.shutdown(socket.SHUT_WR)
            assert b"Traceback" not in rest(sock)
        serves(host)


@pytest.mark.parametrize("octets", [b"", b"GET /v1/server HT", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"])
def test_garbage_on_the_tls_port_ends_its_own_connection(folder: Path, octets: bytes) -> None:
    with hosting(folder, listen={"idle_timeout": 0.3, "handshake_timeout": 0.3}) as host:
        assert host.listeners.address is not None
        with socket.create_connection(host.listeners.address, 20) as sock:
            sock.sendall(octets)
            rest(sock)
        serves(host)


def test_tls_of_today_is_spoken(host: Host) -> None:
    context = ssl.create_default_context(cafile=str(host.certificate))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    assert host.listeners.address is not None
    with (
        socket.create_connection(host.listeners.address, 20) as sock,
        context.wrap_socket(sock, server_hostname="127.0.0.1") as spoken,
    ):
        assert spoken.version() in ("TLSv1.2", "TLSv1.3")
    serves(host)


def test_a_head_that_does_not_come_is_not_waited_for(folder: Path) -> None:
    with hosting(folder, listen={"idle_timeout": 0.3}, tls=False) as host:
        with raw(host) as sock:
            sock.sendall(b"GET /v1/server HTTP/1.1\r\n")
            assert rest(sock) == b""
        serves(host)


def test_more_connections_than_the_limit_are_turned_away_and_the_others_live(folder: Path) -> None:
    with hosting(folder, listen={"max_connections": 2}, tls=False) as host:
        with raw(host) as first, raw(host) as second:
            until(lambda: host.listeners._rooms[0].borrowed_tokens == 2, "both are there")
            with raw(host) as third:
                assert rest(third) == b""
            assert host.listeners.refused == 1
            for sock in (first, second):
                sock.sendall(b"GET /v1/server HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                assert rest(sock).startswith(b"HTTP/1.1 200")
        serves(host)


def test_strangers_on_the_network_keep_nobody_of_this_machine_out(folder: Path) -> None:
    with hosting(folder, listen={"max_connections": 2}) as host:
        assert host.listeners.address is not None
        address = host.listeners.address
        with socket.create_connection(address, 20), socket.create_connection(address, 20):
            until(lambda: host.listeners._rooms[1].borrowed_tokens == 2, "both are there")
            with host.local() as http:
                assert http.get("/v1/server").status_code == 200
        serves(host)


def test_a_user_database_that_is_slow_holds_up_nobody_else(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, on = threading.Event(), threading.Event()

    def slow(uid: int) -> str:
        asked.set()
        on.wait(20.0)
        return user_name(uid)

    with hosting(folder) as host, monkeypatch.context() as patch:
        patch.setattr("vfax.host.api.listening.user_name", slow)
        try:
            with raw(host):
                assert asked.wait(20.0)
                with host.remote(MASTER) as http:
                    http.timeout = 5.0
                    assert http.get("/v1/server").status_code == 200
        finally:
            on.set()
        serves(host)


def test_a_reader_that_takes_nothing_loses_its_connection(folder: Path) -> None:
    with hosting(folder, listen={"send_timeout": 0.3}, hub=HubOptions(max_kept=100_000), tls=False) as host:
        with raw(host) as sock:
            sock.sendall(b"GET /v1/stream HTTP/1.1\r\nHost: a\r\n\r\n")
            assert sock.recv(12) == b"HTTP/1.1 200"
            for _ in range(20):
                host.hear_all([DeviceIdle(1)] * 1_000)
            until(lambda: host.listeners._api.desk._streams == 0, "the stream is over")
        serves(host)


def test_a_peer_that_goes_away_in_the_middle_is_no_fault(host: Host) -> None:
    with raw(host) as sock:
        sock.sendall(b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n")
        sock.sendall(b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n")
    with raw(host) as sock:
        sock.sendall(b"GET /v1/stream HTTP/1.1\r\nHost: a\r\n\r\n")
        assert sock.recv(12) == b"HTTP/1.1 200"
    serves(host)
    until(lambda: list((host.folder / "uploads").iterdir()) == [], "what had come is removed")


# --- streams ---------------------------------------------------------------------------------------


class Lines:
    """Reads a stream of JSON lines."""

    def __init__(self, http: httpx.Client, path: str) -> None:
        self._stream = http.stream("GET", path)
        self.response = self._stream.__enter__()
        self._lines = self.response.iter_lines()

    def next(self) -> dict[str, object]:
        found = httpx.Response(200, content=next(self._lines)).json()
        assert isinstance(found, dict)
        return found

    def close(self) -> None:
        self._stream.__exit__(None, None, None)


def test_a_stream_goes_on_behind_the_last_event_its_reader_had(host: Host) -> None:
    with host.local() as http:
        host.hear(DeviceIdle(1))
        host.hear(DeviceIdle(2))
        first = Lines(http, "/v1/stream?after=0")
        assert first.next() == {"session": "session-1", "after": 0}
        got = [first.next() for _ in range(2)]
        assert [(line["sequence"], line["name"]) for line in got] == [(1, "FEI_FAXSVC_STARTED"), (2, "FEI_IDLE")]
        first.close()
        host.hear(JobQueued("0000000a"))
        again = Lines(http, "/v1/stream?after=2&session=session-1")
        again.next()
        got = [again.next() for _ in range(2)]
        assert [(line["sequence"], line["device"], line["job"]) for line in got] == [(3, 2, 0xFFFFFFFF), (4, 0, 10)]
        again.close()


def test_a_stream_without_a_word_begins_now_and_beats(folder: Path) -> None:
    with hosting(folder, api={"heartbeat": 0.1}, tls=False) as host, host.local() as http:
        lines = Lines(http, "/v1/stream")
        assert lines.next() == {"session": "session-1", "after": 1}
        assert lines.next() == {"heartbeat": 1}
        host.hear(DeviceIdle(7))
        while "heartbeat" in (line := lines.next()):
            pass
        assert (line["sequence"], line["device"]) == (2, 7)
        lines.close()


def test_who_falls_behind_what_is_kept_is_told_so(folder: Path) -> None:
    with hosting(folder, hub=HubOptions(max_kept=10), tls=False) as host, host.local() as http:
        host.hear_all([DeviceIdle(1)] * 30)
        lines = Lines(http, "/v1/stream?after=1")
        lines.next()
        assert lines.next() == {"end": TOO_SLOW, "sequence": 1}
        lines.close()


def connected(http: httpx.Client) -> dict[str, str]:
    return {"vfax-connection": http.post("/v1/connections", json={}).json()["connection"]}


def test_a_registration_that_fell_behind_is_over_with_that_reason(folder: Path) -> None:
    with hosting(folder, hub=HubOptions(max_kept=10), tls=False) as host, host.local() as http:
        asked = {"completion_port": True, "key": 5}
        made = http.post("/v1/registrations", json=asked, headers=connected(http)).json()
        host.hear_all([DeviceIdle(1)] * 30)
        lines = Lines(http, f"/v1/registrations/{made['registration']}/events")
        lines.next()
        assert lines.next()["end"] == TOO_SLOW
        lines.close()
        assert [one.ended for one in host.hub.over] == [TOO_SLOW]


def test_the_newest_reader_of_a_registration_is_the_only_one(host: Host) -> None:
    with host.local() as http:
        made = http.post("/v1/registrations", json={"completion_port": True}, headers=connected(http)).json()
        path = f"/v1/registrations/{made['registration']}/events"
        first, second = Lines(http, path), Lines(http, path)
        first.next()
        assert "Another reader" in str(first.next()["end"])
        host.hear(DeviceIdle(1))
        second.next()
        assert second.next()["name"] == "FEI_IDLE"
        first.close()
        second.close()


def test_what_happens_after_the_end_of_a_registration_is_not_for_it(host: Host) -> None:
    with host.local() as http:
        made = http.post("/v1/registrations", json={"completion_port": True}, headers=connected(http)).json()
        path = f"/v1/registrations/{made['registration']}"
        host.hear(DeviceIdle(1))
        assert http.delete(path).status_code == 204
        host.hear(DeviceIdle(2))
        lines = Lines(http, f"{path}/events")
        lines.next()
        assert (lines.next()["device"], "asked" in str(lines.next()["end"])) == (1, True)
        lines.close()


def test_ended_registrations_are_remembered_within_a_limit(folder: Path) -> None:
    options = HubOptions(profile=Profile.XP, max_registrations=3)
    with hosting(folder, hub=options, tls=False) as host, host.local() as http:
        handle = connected(http)
        for _ in range(10):
            made = http.post("/v1/registrations", json={"completion_port": True}, headers=handle).json()
            assert http.delete(f"/v1/registrations/{made['registration']}").status_code == 204
        assert len(host.listeners._api.desk._held) <= 4


def test_a_registration_of_another_client_cannot_be_read_or_ended(host: Host) -> None:
    with host.local() as http, host.remote(MASTER) as master:
        made = http.post("/v1/registrations", json={"completion_port": True}, headers=connected(http)).json()
        path = f"/v1/registrations/{made['registration']}"
        assert (master.get(f"{path}/events").status_code, master.delete(path).status_code) == (404, 404)
        assert http.delete(path).status_code == 204


def test_a_client_far_away_that_falls_silent_loses_what_it_held(folder: Path) -> None:
    with hosting(folder, api={"reader_grace": 0.1, "connection_idle": 0.1}) as host, host.remote() as http:
        http.post("/v1/registrations", json={"completion_port": True}, headers=connected(http))
        until(lambda: host.hub.registrations == () and host.hub.connections == (), "both are closed")


def test_more_streams_than_the_limit_are_refused(folder: Path) -> None:
    with hosting(folder, api={"max_streams": 1}, tls=False) as host, host.local() as http:
        lines = Lines(http, "/v1/stream")
        assert http.get("/v1/stream").status_code == 503
        lines.close()
        until(lambda: host.listeners._api.desk._streams == 0, "the first one is over")
        assert http.head("/v1/stream").status_code == 200


# --- the socket's file -----------------------------------------------------------------------------


def test_the_socket_has_its_permissions_and_is_removed_at_the_end(folder: Path) -> None:
    with hosting(folder, listen={"socket_mode": 0o600}, tls=False) as host:
        assert stat.S_IMODE(os.stat(host.socket).st_mode) == 0o600
        assert [path.name for path in folder.iterdir() if path.is_socket()] == ["s"]
    assert not host.socket.exists()


def test_a_socket_that_a_crash_left_is_taken_over(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(folder / "s"))
    with hosting(folder, tls=False) as host:
        serves(host)


def test_a_socket_where_another_service_listens_is_refused_by_name(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(folder / "s"))
        other.listen()
        with pytest.raises(LinkError, match=r"\[clients\] socket .*/s: another service listens there"):
            _bind_unix(folder / "s", 0o600)
    assert (folder / "s").exists()


def test_what_is_no_socket_is_not_removed(folder: Path) -> None:
    (folder / "s").write_text("mine")
    with pytest.raises(LinkError, match="something else of that name"):
        _bind_unix(folder / "s", 0o600)
    assert (folder / "s").read_text() == "mine"


@pytest.mark.parametrize("path", ["missing/s", "x" * 120])
def test_a_socket_that_cannot_be_made_is_named(folder: Path, path: str) -> None:
    with pytest.raises(LinkError, match=r"\[clients\] socket .*: cannot be"):
        _bind_unix(folder / path, 0o600)


def test_an_address_that_is_taken_is_named(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(BaseExceptionGroup) as caught:
        trio.run(_listen_on, folder, other.getsockname()[1])
    assert caught.group_contains(LinkError, match=r"cannot listen on 127.0.0.1")


async def _listen_on(folder: Path, port: int) -> None:
    from vfax.host.api.app import Api
    from vfax.host.api.calls import ApiOptions
    from vfax.host.api.listening import Listeners, ListenOptions
    from vfax.host.notify import Hub

    hub = Hub("s", now=lambda: 0, new_id=lambda: "x")
    api = Api(None, hub, ApiOptions(uploads=folder / "u"), observe=lambda event: None)  # type: ignore[arg-type]
    await Listeners(api, ListenOptions(address=("127.0.0.1", port)), observe=lambda event: None).run()
