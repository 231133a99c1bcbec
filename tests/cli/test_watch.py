"""`vfax watch` and `vfax clients` beside a running host: what they print, how they end."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import vfax.client
from tests.client.plain import GUEST, MASTER, Host, hosting
from tests.client.test_client import until
from vfax.cli import app, exits
from vfax.cli.watch import sentence
from vfax.fsp.constants import EventId
from vfax.fsp.structures import FaxEvent
from vfax.host.events import AbortAsked, DeviceIdle, RingReceived, ServiceStopped

ROOT = Path(__file__).parents[2]


@pytest.fixture
def host() -> Iterator[Host]:
    with tempfile.TemporaryDirectory(prefix="vfax-") as folder, hosting(Path(folder)) as running:
        yield running


@contextmanager
def started(*arguments: object) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "vfax", *map(str, arguments)]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        # as from a terminal: a shell's background job, as these tests may be, passes Ctrl-C on as ignored
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    ) as made:
        try:
            yield made
        finally:
            made.kill()  # harmless when it has ended


def tell(host: Host) -> None:
    until(lambda: len(host.hub.registrations) == 1, "vfax watch has registered")
    until(lambda: host.hub.connections == (), "it keeps no connection: an idle service may end")
    for event in (RingReceived("0000beef", 2), AbortAsked("0000beef", 2), DeviceIdle(2), ServiceStopped()):
        host.hear(event)


def test_events_are_shown_as_sentences_until_the_service_ends(host: Host) -> None:
    with started("watch", host.socket) as watching:
        tell(host)
        said, complaints = watching.communicate(timeout=30)
    assert (watching.returncode, complaints) == (exits.OK, "")
    lines = [re.sub(r"^\d\d:\d\d:\d\d ", "TIME ", line) for line in said.splitlines()]
    assert lines == [
        f"Watching the fax service at {host.socket}; Ctrl-C ends it.",
        "TIME Device 2 rings: job 0000beef.",
        "TIME Job 0000beef is being aborted.",
        "TIME Device 2 is idle.",
        "TIME The fax service has ended.",
        "The fax service has ended (FEI_FAXSVC_ENDED): register again when it runs again.",
    ]


def test_events_are_shown_as_json_over_tls_with_a_token(host: Host) -> None:
    token = host.folder / "token"
    token.write_text(f"{MASTER}\n")
    with started("watch", host.url, "--token-file", token, "--certificate", host.certificate, "--json") as watching:
        tell(host)
        said, _ = watching.communicate(timeout=30)
    assert watching.returncode == exits.OK
    lines = [json.loads(line) for line in said.splitlines()]
    assert [(line["name"], line["device"], line["job"]) for line in lines] == [
        ("FEI_RINGING", 2, "0000beef"),
        ("FEI_ABORTING", 2, "0000beef"),
        ("FEI_IDLE", 2, None),
        ("FEI_FAXSVC_ENDED", None, None),
    ]
    assert set(lines[0]) == {"event", "name", "device", "job", "at"}


def test_ctrl_c_ends_it_in_peace(host: Host) -> None:
    with started("watch", host.socket) as watching:
        until(lambda: len(host.hub.registrations) == 1, "it has registered")
        assert watching.stdout is not None
        watching.stdout.readline()
        watching.send_signal(2)
        assert watching.wait(30) == exits.OK
    until(lambda: host.hub.registrations == (), "its process has gone, and so has what it held")


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [*map(str, arguments)])


def test_a_service_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    for command in ("watch", "clients"):
        result = run(command, tmp_path / "s")
        assert result.exit_code == exits.SERVICE
        assert f"the fax service at {tmp_path / 's'} cannot be reached" in " ".join(result.output.split())


def test_the_socket_is_that_of_the_settings(tmp_path: Path) -> None:
    config = tmp_path / "vfax.toml"
    config.write_text(f'[host]\nspool = "{tmp_path}"\n')
    assert f"{tmp_path}/clients.sock" in run("clients", "--config", config, "--json").output
    config.write_text('[clients]\nsocket = ""\n')
    result = run("clients", "--config", config)
    assert result.exit_code == exits.USAGE


def test_a_service_that_refuses_is_said_so(host: Host) -> None:
    token = host.folder / "token"
    token.write_text(GUEST)
    result = run("clients", host.url, "--token-file", token, "--certificate", host.certificate)
    assert result.exit_code == exits.SERVICE
    assert "needs FAX_CONFIG" in " ".join(result.output.split())


@pytest.mark.parametrize("content", [b"", b"two words", b"\xff\xfe", b"x" * 5_000])
def test_a_file_without_a_token_is_wrong_usage(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    assert run("clients", "https://127.0.0.1:1", "--token-file", tmp_path / "token").exit_code == exits.USAGE


def test_clients_are_listed_with_their_leases(host: Host) -> None:
    with vfax.client.connect(host.socket) as fax:
        fax.initialize_event_queue(sink=print, message_start=0x9000)
        result = run("clients", host.socket)
        me = f"({os.getpid()}:"
        lines = result.output.splitlines()
        assert lines[0] == "Session session-1 is running; events so far: 1."
        assert sum(line.startswith("connected ") and me in line for line in lines) == 2, "this test and the command"
        assert sum(line.startswith("registered ") and "messages from 36864" in line for line in lines) == 1
        assert sum(line.startswith("lease ") and me in line for line in lines) == 1
        answer = json.loads(run("clients", host.socket, "--json").output)
        assert set(answer) == {"ok", "exit", "session", "connections", "registrations", "leases", "ended", "streams"}
        manual = (ROOT / "docs" / "cli.md").read_text("utf-8")
        (row,) = [line for line in manual.splitlines() if line.startswith("| `vfax clients`")]
        described = set(re.findall(r"`(\w+)`", row))
        for name in ("registrations", "leases", "connections"):
            assert set(answer[name][0]) <= described, name


@pytest.mark.parametrize("event_id", list(EventId))
def test_each_event_is_one_sentence(event_id: EventId) -> None:
    for event in (FaxEvent(0, 3, event_id, 0xBEEF), FaxEvent((1 << 64) - 1, 0, event_id)):
        said = sentence(event)
        assert said[0].isupper()
        assert said.endswith(".")
        assert "{" not in said
