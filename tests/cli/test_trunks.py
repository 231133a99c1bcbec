"""`vfax trunks`, `vfax peers` and `vfax check-trunk` as people run them."""

import importlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from rich.console import Console
from typer.testing import CliRunner

from tests.client.plain import MASTER, Host, hosting
from tests.host.delivery.conftest import record
from vfax.cli import app, exits
from vfax.cli.serve import greeting, of_trunk
from vfax.cli.trunks import read_row, sentences, show, show_peers, span
from vfax.endpoint import Endpoint, EndpointOptions
from vfax.errors import LinkError
from vfax.host.check_pages import FOLDER, CheckPages, new_mark
from vfax.host.spool import Spool
from vfax.learning import FactRow, PeerRow
from vfax.settings import Settings
from vfax.settings.trunks import TrunkSettings
from vfax.trunk_check import Check, Finding
from vfax.trunks.board import GatewayRow, RegistrationRow, ResultRow, TrunkRow
from vfax.trunks.options import TrunkOptions

GOOD = TrunkRow(
    name="office",
    state="ready",
    gateways=(
        GatewayRow(name="a", health="up", age=3.0, rtt=0.012),
        GatewayRow(name="b", health="up", age=4.0, rtt=0.2),
    ),
    registration=RegistrationRow(standing="registered", left=3_000.0),
    calls_in=1,
    t38_in=ResultRow(ok=True, age=7_300.0, sentence="Received."),
    public_address="203.0.113.5:5060",
)
BAD = TrunkRow(
    name="cloud",
    state="down",
    reason="The password is wrong. The next try is in 20 s.",
    gateways=(GatewayRow(name="c", health="down", age=9.0, why="C does not answer."), GatewayRow(name="d")),
    registration=RegistrationRow(standing="failed", next_try=20.0),
    t38_out=ResultRow(ok=False, age=0.2, sentence="T.38 was refused."),
    refused=3,
    last_refused=ResultRow(ok=False, age=60.0, sentence="The trunk cloud has 5 calls."),
)


def printed(*rows: TrunkRow) -> list[str]:
    file = io.StringIO()
    show(Console(file=file, soft_wrap=True), rows)
    return file.getvalue().splitlines()


def test_trunks_are_a_table_and_what_is_wrong_a_sentence_each() -> None:
    heads, good, bad, *said = printed(GOOD, BAD)
    assert heads.split() == [
        "trunk",
        "state",
        "registered",
        "OPTIONS",
        "calls",
        "T.38",
        "in",
        "T.38",
        "out",
        "told",
        "address",
    ]
    assert good.split("  ")[0] == "office"
    assert [word.strip() for word in good.split("  ") if word.strip()] == [
        "office", "ready", "for 50 min", "12 ms", "1 in, 0 out", "good 2 h ago", "-", "203.0.113.5:5060",
    ]  # fmt: skip
    assert [word.strip() for word in bad.split("  ") if word.strip()] == [
        "cloud", "down", "failed", "1 of 2 down", "0 in, 0 out", "-", "failed just now", "-",
    ]  # fmt: skip
    assert said == [
        "cloud: The password is wrong. The next try is in 20 s.",
        "cloud: C does not answer.",
        "cloud: T.38 was refused.",
        "cloud: The trunk cloud has 5 calls. So it was 3 times, last 60 s ago.",
    ]


def test_a_reason_is_not_said_twice() -> None:
    row = TrunkRow(name="x", state="trouble", reason="T.38 was refused.", t38_out=BAD.t38_out)
    assert sentences(row) == ["T.38 was refused."]


def test_without_trunks_it_says_how_to_get_one() -> None:
    (said,) = printed()
    assert said.startswith("The service has no trunks: calls go where their address says.")


def test_what_a_peer_named_cannot_move_the_cursor() -> None:
    shown = printed(TrunkRow(name="x\x1b[2J", state="ready", reason="a\x07b"))
    assert not any("\x1b" in line or "\x07" in line for line in shown)


def test_a_row_of_another_version_is_shown_as_far_as_it_goes() -> None:
    row = read_row({"name": "office", "state": "ready", "calls_in": "many"})
    assert (row.name, row.state) == ("office", "ready")
    assert row.reason.startswith("The rest of what is known cannot be read here:")


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (119, "119 s"), (120, "2 min"), (7_200, "2 h"), (2e6, "23 d")]
)
def test_times_are_shown_in_their_largest_unit(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_peers_are_shown_fact_by_fact() -> None:
    facts = (
        FactRow(kind="direct", value="no", why="T.38 was refused with 488.", age=60.0, left=86_400.0 * 9, seen=2),
        FactRow(kind="strange", value="x", why="W.", age=0.0, left=10.0, seen=1),
    )
    file = io.StringIO()
    rows = [PeerRow(peer="office", number="+49", direction="out", age=60.0, facts=facts)]
    show_peers(Console(file=file, soft_wrap=True), rows)
    assert file.getvalue().splitlines() == [
        "office, calls to +49 (last 60 s ago):",
        "  T.38 at once: no. T.38 was refused with 488. Seen 60 s ago, 2 times; kept 9 d.",
        "  strange: x. W. Seen just now; kept 10 s.",
    ]


# --- through a service ---------------------------------------------------------------------------


@pytest.fixture
def host() -> Iterator[Host]:
    with tempfile.TemporaryDirectory(prefix="vfax-") as folder, hosting(Path(folder)) as running:
        yield running


def run(host: Host, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, [*arguments, "--service", str(host.socket)])
    return result.exit_code, result.stdout


def test_trunks_and_peers_come_from_a_running_service(host: Host) -> None:
    code, said = run(host, "trunks")
    assert code == exits.OK
    assert said.splitlines()[1].split()[:2] == ["office", "ready"]
    code, said = run(host, "trunks", "--json")
    assert json.loads(said)["trunks"] == [{"name": "office", "state": "ready", "provider": "plain"}]
    code, said = run(host, "peers", "--peer", "OFFICE", "--json")
    assert [row["number"] for row in json.loads(said)["peers"]] == ["+4930", "+4989"]


def test_peers_are_forgotten_by_name_and_number(host: Host) -> None:
    assert run(host, "peers", "--forget", "--peer", "office", "--number", "+4930") == (
        exits.OK,
        "Forgotten: 1 entry.\n",
    )
    assert run(host, "peers", "--forget") == (exits.OK, "Forgotten: 2 entries.\n")
    assert run(host, "peers") == (exits.OK, "Nothing has been learned of any peer yet, or of those you named.\n")


def test_a_client_reads_them_too(host: Host) -> None:
    from vfax import client

    with client.connect(host.url, token=MASTER, certificate=host.certificate) as fax:
        assert fax.trunks()[0]["name"] == "office"
        assert fax.forget_peers("cloud") == 1


def test_without_a_service_it_is_one_line_and_its_exit_code(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["trunks", "--service", str(tmp_path / "none.sock")])
    assert result.exit_code == exits.SERVICE
    assert len(result.stderr.splitlines()) == 1


def test_a_trunk_that_there_is_none_of_cannot_be_checked(tmp_path: Path) -> None:
    config = tmp_path / "vfax.toml"
    config.write_text('[[trunk]]\nname = "office"\ngateways = "127.0.0.1"\n')
    result = CliRunner().invoke(app, ["check-trunk", "offcie", "--config", str(config)])
    assert result.exit_code == exits.USAGE
    assert "there is no trunk 'offcie'; the settings have office" in result.stderr


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Where somebody is who never says a word."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        yield silent.getsockname()[1]


@pytest.mark.realtime
def test_a_check_that_is_interrupted_ends_with_130_and_leaves_nothing(tmp_path: Path, silent_port: int) -> None:
    config = tmp_path / "vfax.toml"
    spool = tmp_path / "spool"
    config.write_text(
        f'[sip]\nlisten = "127.0.0.1:0"\n[host]\nspool = "{spool}"\n'
        f'[[trunk]]\nname = "office"\ngateways = ["127.0.0.1:{silent_port}"]\n'
    )
    command = [sys.executable, "-m", "vfax", "check-trunk", "office", "--config", str(config)]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("VFAX_")}
    with subprocess.Popen(
        command,
        env=plain | {"PYTHONPATH": str(Path(__file__).parents[2]), "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as check:
        assert check.stdout is not None
        assert check.stdout.readline().startswith("ok      settings")
        check.send_signal(signal.SIGINT)
        _, said = check.communicate(timeout=30)
    assert (check.returncode, said) == (exits.INTERRUPTED, "")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["vfax.toml"]


@pytest.fixture
def busy_port() -> Iterator[int]:
    """Where somebody answers OPTIONS, and is busy to every call."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as busy:
        busy.bind(("127.0.0.1", 0))
        threading.Thread(target=be_busy, args=(busy,), daemon=True).start()
        yield busy.getsockname()[1]
        with suppress(OSError):  # wakes the thread
            busy.shutdown(socket.SHUT_RDWR)


def be_busy(sock: socket.socket) -> None:
    with suppress(OSError):
        while True:
            octets, source = sock.recvfrom(65_535)
            lines = octets.decode("utf-8", "replace").split("\r\n")
            status = {"OPTIONS": "200 OK", "INVITE": "486 Busy Here"}.get(lines[0].split(" ")[0])
            if status is not None:
                kept = [line for line in lines if line.split(":")[0] in ("Via", "From", "To", "Call-ID", "CSeq")]
                sock.sendto("\r\n".join([f"SIP/2.0 {status}", *kept, "Content-Length: 0", "", ""]).encode(), source)


@pytest.mark.realtime
@pytest.mark.parametrize(
    ("key", "words", "code", "called"),
    [
        ("", [], exits.OK, ""),
        ('check_number = "+49301"', [], exits.TRUNK, "sip:+49301@office"),
        ('check_number = "+49301"', ["--number", "+49302"], exits.TRUNK, "sip:+49302@office"),
    ],
)
def test_a_check_ends_with_its_exit_code_and_in_json(
    key: str, words: list[str], code: int, called: str, tmp_path: Path, busy_port: int
) -> None:
    config = tmp_path / "vfax.toml"
    config.write_text(
        f'[sip]\nlisten = "127.0.0.1:0"\n[host]\nspool = "{tmp_path / "spool"}"\n'
        f'[[trunk]]\nname = "office"\ngateways = ["127.0.0.1:{busy_port}"]\n{key}\n'
    )
    result = CliRunner().invoke(app, ["check-trunk", "office", "--config", str(config), "--json", *words])
    assert result.exit_code == code, result.output
    said = json.loads(result.stdout)
    assert (said["ok"], said["exit"], said["trunk"]) == (code == exits.OK, code, "office")
    steps = {step["step"]: (step["verdict"], step["sentence"]) for step in said["steps"]}
    assert steps["OPTIONS"][0] == "ok"
    assert steps["call"][0] == ("fail" if called else "skipped")
    assert called in steps["call"][1]
    assert all(sentence.endswith((".", ")")) for _, sentence in steps.values())


async def test_a_check_beside_a_service_lets_it_know_the_page_while_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And takes away what is its own, also when it fails."""
    check_command = importlib.import_module("vfax.cli.check_trunk")  # vfax.cli has a command of that name
    settings = Settings.model_validate({"host": {"spool": tmp_path}})
    mark, folder = new_mark(), tmp_path / FOLDER
    pages = CheckPages(tmp_path)
    pages.prepare()
    back = record(remote_id=mark, pages=1)

    async def run(check: Check, options: EndpointOptions, tell: object) -> list[Finding]:
        await trio.lowlevel.checkpoint()
        assert check.find_page is not None
        assert pages.claims(back)
        (folder / f"{mark}.tif").write_bytes(b"came back")
        raise LinkError("the check fails")

    monkeypatch.setattr(check_command, "_run", run)
    options = EndpointOptions()
    check = Check(
        trunk=TrunkOptions(name="x"),
        endpoint=Endpoint(options),
        number="1",
        document=tmp_path / "test.tif",
        place=Spool(tmp_path).borrow,
        sender=mark,
    )
    with pytest.raises(LinkError):
        await check_command._run_beside(settings, check, options, lambda finding: None)
    assert list(folder.iterdir()) == []
    assert not pages.claims(back)


# --- what vfax serve says of trunks --------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"gateways": ["pbx:5070"]}, "Trunk t takes calls from pbx."),
        (
            {"gateways": ["pbx"], "outbound_proxy": "sbc:5070", "route": ["sip:edge"]},
            "Trunk t takes calls from pbx, sbc, edge.",
        ),
        ({"gateways": ["pbx"], "registers": True, "user": "7"}, "Trunk t takes calls from pbx; it registers as 7."),
        (
            {"networks": ["0.0.0.0/0"], "accept": "digest", "inbound_user": "u", "inbound_password": "p"},
            "Trunk t takes calls with the password of u from 0.0.0.0/0.",
        ),
        ({"networks": ["10.0.0.0/8"], "accept": "open"}, "Trunk t takes calls from ANYBODY in 10.0.0.0/8."),
        (
            {"gateways": ["pbx"], "tls_checks": "none"},
            "Trunk t takes calls from pbx; NOBODY CHECKS ITS CERTIFICATE.",
        ),
    ],
)
def test_serve_says_who_may_call_by_a_trunk(keys: dict[str, object], said: str) -> None:
    assert of_trunk(TrunkSettings.model_validate({"name": "t", **keys})) == said


@pytest.mark.parametrize(
    ("listen", "allow", "said"),
    [
        (
            "127.0.0.1",
            ["127.0.0.0/8", "::1"],
            "Calls are taken from 127.0.0.0/8, ::1 (this machine alone; --listen and --allow open it to a network).",
        ),
        ("0.0.0.0", ["192.0.2.0/24"], "Calls are taken from 192.0.2.0/24: OPEN TO A NETWORK."),
        ("0.0.0.0", ["127.0.0.0/8", "0.0.0.0/0"], "Calls are taken from 127.0.0.0/8, 0.0.0.0/0: OPEN TO A NETWORK."),
    ],
)
def test_serve_says_aloud_whom_it_listens_to(listen: str, allow: list[str], said: str, tmp_path: Path) -> None:
    settings = Settings.model_validate({"sip": {"listen": f"{listen}:5060", "allow": allow}})
    service: Any = SimpleNamespace(spool=SimpleNamespace(inbox=tmp_path))
    assert greeting(settings, ("192.0.2.1", 5060), service)[-1] == said
