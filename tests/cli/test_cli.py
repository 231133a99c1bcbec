"""The vfax command as people and scripts meet it: help, errors, exit codes, JSON, and whole faxes in processes."""

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest
import trio
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner, Result

from tests.codecs.test_pdf_reading import LOCKED
from tests.host.scripted import Script
from tests.written_pdf import pages, text
from vfax import __version__
from vfax.cli import app, exits
from vfax.cli.screen import Silence
from vfax.cli.send import keep_newest
from vfax.cli.serve import _serve
from vfax.codecs import tiff
from vfax.codecs.dis import Resolution
from vfax.codecs.header_line import header_rows
from vfax.journal import read_journal
from vfax.outcome import Cause
from vfax.settings import load
from vfax.transports.sip.values import Address
from vfax.transports.udp import UdpSocket

MakeDocument = Callable[..., Path]
QUICK = {"VFAX_T38__PACE": "0.1", "VFAX_T38__CED": "0.3", "VFAX_TIMERS__LINGER": "0.1"}
"""Line time by a factor: nothing here is a modem."""
HASTY = {"VFAX_SIP__T1": "0.005"}
"""SIP gives up on a silent host after 64 T1."""


def run(*arguments: object, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env=env)


def environment(**more: str) -> dict[str, str]:
    root = str(Path(__file__).parents[2])
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VFAX_")}
    return {**kept, "PYTHONPATH": os.pathsep.join([root, kept.get("PYTHONPATH", "")]), **QUICK, **more}


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where commands keep their journals, away from the home of whoever runs the tests."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "vfax"


# --- help and errors -------------------------------------------------------------------------------


def test_the_version_is_the_packages() -> None:
    assert run("--version").stdout == f"vfax {__version__}\n"


@pytest.mark.parametrize("command", [[], ["serve"], ["send"], ["loopback"]])
def test_help_shows_every_exit_code(command: list[str]) -> None:
    shown = run(*command, "--help").stdout
    for row in exits.TABLE:
        assert re.search(rf"^ +{row.code}  {re.escape(row.meaning)}$", shown, re.MULTILINE), row


def test_help_says_what_each_command_does_in_one_line_of_80_columns() -> None:
    shown = run("--help", env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"}).stdout
    assert "..." not in shown.partition("Commands:")[2]
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize("module", ["typer", "vfax.settings"], ids=["at the start", "in a command"])
def test_ctrl_c_while_python_imports_ends_without_a_word(tmp_path: Path, module: str) -> None:
    interrupted = (
        "import runpy, sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}:\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "sys.argv[1:] = ['devices']\n"
        "runpy.run_module('vfax', run_name='__main__')\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", interrupted], env=environment(), capture_output=True, text=True, check=False, timeout=60
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (exits.INTERRUPTED, "", "")


def test_every_cause_has_one_exit_code_and_only_success_is_zero() -> None:
    causes = [cause for row in exits.TABLE for cause in row.causes]
    assert sorted(causes) == sorted(Cause)
    assert [cause for cause in Cause if exits.code_of(cause) == 0] == [Cause.COMPLETE]
    assert len({row.code for row in exits.TABLE}) == len(exits.TABLE)


def test_an_unknown_option_is_wrong_usage() -> None:
    assert run("send", "--frobnicate").exit_code == exits.USAGE


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["serve", "--listen", "0.0.0.0:5060"], "opens vfax to a network"),
        (["serve", "--listen", "nowhere"], "expected a numeric address and a port"),
        (["serve", "--lines", "0"], "[host] lines = 0: expected greater than or equal to 1"),
        (["serve", "--allow", "everybody"], "[sip] allow ="),
        (["serve", "--config", "/nonexistent/vfax.toml"], "/nonexistent/vfax.toml: cannot read the settings"),
        (["send", "x.tif", "sip:fax@127.0.0.1", "--max-rate", "33600"], "expected 2400, 4800, 7200, 9600, 12000"),
        (["send", "x.tif", "+4930123456"], "expected a SIP URI, such as"),
        (["send", "x.tif", "sip:fax@127.0.0.1", "--listen", "here"], "command line: --listen here: expected"),
        (["send", "x.tif", "sip:fax@[::1]", "--listen", "127.0.0.1:0"], "cannot be called from there, IPv4 and IPv6"),
        (["send", "x.tif", "tel:+4930123456"], "tel:+4930123456: expected a SIP URI, such as"),
        (["send", "x.tif"], "x.tif alone is too little to send: say vfax send FILE... SIP-URI"),
        (["send"], "nothing is too little to send: say vfax send FILE... SIP-URI"),
        (["loopback"], "nothing is too little to send: say vfax loopback FILE..."),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(arguments: list[str], expected: str) -> None:
    result = run(*arguments)
    assert result.exit_code == exits.USAGE
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert expected in result.stderr


def test_a_wrong_environment_is_named() -> None:
    result = run("serve", env={"VFAX_HOST__LINES": "many"})
    assert result.exit_code == exits.USAGE
    assert 'VFAX_HOST__LINES = "many"' in result.stderr


@pytest.mark.parametrize("command", ["send", "loopback"])
@pytest.mark.parametrize("content", [b"root:x:0:0:", b"", b"%PDF-1.7\n", None], ids=["text", "empty", "PDF", "missing"])
def test_what_is_no_image_is_refused_by_name_before_dialling(
    tmp_path: Path, command: str, content: bytes | None
) -> None:
    document = tmp_path / "fax.tif"
    if content is not None:
        document.write_bytes(content)
    destination = ["sip:fax@127.0.0.1:9"] if command == "send" else []
    result = run(command, document, *destination)
    assert result.exit_code == exits.DOCUMENT
    assert result.stderr.startswith(f"vfax: {document}: ")
    assert result.stdout == ""


def test_a_pdf_with_a_password_is_refused_with_what_to_do(tmp_path: Path) -> None:
    document = tmp_path / "secret.pdf"
    document.write_bytes(pages([b""], trailer=LOCKED))
    result = run("send", document, "sip:fax@127.0.0.1:9")
    assert result.exit_code == exits.DOCUMENT
    assert result.stderr == (
        f"vfax: {document}: the PDF is protected by a password; print it to a new PDF without one and send that\n"
    )


def test_a_pdf_goes_from_one_instance_to_another(tmp_path: Path) -> None:
    document = tmp_path / "letter.pdf"
    document.write_bytes(pages([text(60, 700, 12, "Hello"), text(60, 700, 12, "World")]))
    result = run("loopback", document, "--simnet", "1", "--json")
    answer = json.loads(result.stdout)
    assert (answer["ok"], answer["identical"], answer["sent"]["pages"]) == (True, True, 2)


def test_a_file_that_cannot_be_submitted_is_refused_before_a_service_is_asked(tmp_path: Path) -> None:
    for name, why in (("missing.pdf", "there is no such file or folder; check its name"), (".", "this is a folder;")):
        result = run("submit", tmp_path / name, "sip:fax@127.0.0.1:9", "--service", tmp_path / "no.sock")
        assert result.exit_code == exits.DOCUMENT
        assert f"{tmp_path / name}: {why}" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["ffffffffffffffffffff"], "eight hexadecimal digits"), (["0000000f", "frobnicate"], "expected one of cancel,")],
)
def test_a_wrong_job_or_command_is_refused_before_a_service_is_asked(
    tmp_path: Path, arguments: list[str], words: str
) -> None:
    result = run("job", *arguments, "--service", tmp_path / "no.sock")
    assert result.exit_code == exits.USAGE
    assert words in result.stderr


def test_of_several_files_the_one_that_is_no_image_is_named(tmp_path: Path, make_document: MakeDocument) -> None:
    (tmp_path / "folder.tif").mkdir()
    result = run("send", make_document(), tmp_path / "folder.tif", "sip:fax@127.0.0.1:9")
    assert result.exit_code == exits.DOCUMENT
    assert result.stderr == f"vfax: {tmp_path / 'folder.tif'}: this is a folder; name a file in it\n"


def test_errors_with_json_are_one_object_on_standard_output(tmp_path: Path) -> None:
    result = run("send", tmp_path / "missing.tif", "sip:fax@127.0.0.1:9", "--json")
    assert result.exit_code == exits.DOCUMENT
    answer = json.loads(result.stdout)
    assert (answer["ok"], answer["exit"]) == (False, exits.DOCUMENT)
    assert "there is no such file or folder; check its name" in answer["error"]


def test_a_faulty_line_without_dice_is_wrong_usage(make_document: MakeDocument) -> None:
    assert run("loopback", make_document(), "--loss", "0.1").exit_code == exits.USAGE


def test_a_spool_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = run("serve", "--listen", "127.0.0.1:0", "--spool", tmp_path / "file" / "spool")
    assert result.exit_code == exits.STORAGE
    assert "cannot make the journal folder" in result.stderr


def test_without_journals_the_spool_itself_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    off = {"VFAX_JOURNAL__ENABLED": "false"}
    result = run("serve", "--listen", "127.0.0.1:0", "--spool", tmp_path / "file" / "spool", env=off)
    assert result.exit_code == exits.STORAGE
    assert "cannot make the spool folder" in result.stderr


def test_a_taken_port_is_named_with_its_holder(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        result = run("serve", "--listen", f"127.0.0.1:{port}", "--spool", tmp_path / "spool")
    assert result.exit_code == exits.CANNOT_LISTEN
    assert f"127.0.0.1:{port}" in result.stderr
    if sys.platform == "linux":
        assert f"by process {os.getpid()} (" in result.stderr


def test_a_taken_tcp_port_of_a_further_place_is_named_with_its_holder(tmp_path: Path) -> None:
    settings = tmp_path / "vfax.toml"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings.write_text(f'[sip]\nlisten = "127.0.0.1:0"\nlisten_also = ["tcp:127.0.0.1:{port}"]\n')
        result = run("serve", "--config", settings, "--spool", tmp_path / "spool")
    assert result.exit_code == exits.CANNOT_LISTEN
    assert f"cannot listen on TCP 127.0.0.1:{port}: " in result.stderr
    if sys.platform == "linux":
        assert f"by process {os.getpid()} (" in result.stderr


def test_serve_ends_when_nobody_is_left_who_could_take_a_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settled: list[bool] = []

    @contextmanager
    def noted() -> Iterator[None]:
        settled.append(True)
        yield

    async def broken(socket: UdpSocket) -> list[tuple[bytes, Address]]:
        while not settled:  # noqa: ASYNC110  # it serves
            await trio.sleep(0.01)
        raise OSError(100, "Network is down")

    monkeypatch.setattr(UdpSocket, "receive", broken)
    monkeypatch.setattr("vfax.cli.serve.settled", noted)
    result = run("serve", "--listen", "127.0.0.1:0", "--spool", tmp_path / "spool")
    assert result.exit_code == exits.INTERNAL
    assert "its provider cannot be used any more" in result.stderr
    assert "Network is down" in result.stderr


def test_serve_runs_a_provider_with_a_network_of_its_own(tmp_path: Path) -> None:
    script = Script()
    settings = load(environ={}, overrides={("host", "spool"): str(tmp_path / "spool")})
    provider = {"image_name": "tests.host.scripted:create", "configuration": {"script": script}}
    settings = settings.model_copy(update={"provider": settings.provider.model_copy(update=provider)})
    greeting = f"Faxes appear in {tmp_path / 'spool' / 'inbox'}"

    class Log(io.StringIO):
        def write(self, text: str) -> int:
            if greeting in text:
                scope.cancel()
            return super().write(text)

    log, scope = Log(), trio.CancelScope()

    async def served() -> None:
        with trio.fail_after(20.0), scope:
            await _serve(settings, Console(file=log, width=200), Silence())

    trio.run(served)
    assert greeting in log.getvalue()
    assert script.calls[-1] == "FaxDevShutdown"


# --- inspect ---------------------------------------------------------------------------------------


def test_inspect_shows_each_page(make_document: MakeDocument) -> None:
    result = run("inspect", make_document(pages=2))
    assert result.exit_code == 0
    assert "2 pages" in result.stdout
    assert re.search(r"1\s+1728\s+600\s+204 x 98\s+MMR\s+0", result.stdout)


def test_inspect_as_json(make_document: MakeDocument) -> None:
    answer = json.loads(run("inspect", make_document(pages=2), "--json").stdout)
    assert [page["rows"] for page in answer["pages"]] == [600, 600]


@pytest.mark.parametrize(
    ("record", "encrypted"),
    [
        ('{"encrypted": true}', True),
        ('{"encrypted": false}', False),
        ("{}", None),
        ("[", None),
        ('{"encrypted": 1}', None),
    ],
)
def test_inspect_says_what_the_record_beside_a_fax_says_of_encryption(
    make_document: MakeDocument, record: str, encrypted: bool | None
) -> None:
    document = make_document()
    assert json.loads(run("inspect", document, "--json").stdout)["encrypted"] is None
    document.with_suffix(".json").write_text(record)
    assert json.loads(run("inspect", document, "--json").stdout)["encrypted"] is encrypted
    assert ("It was received encrypted (DTLS)" in run("inspect", document).stdout) is (encrypted is True)


def test_inspect_of_no_tiff_is_a_document_error(tmp_path: Path) -> None:
    (tmp_path / "x.tif").write_text("no")
    assert run("inspect", tmp_path / "x.tif").exit_code == exits.DOCUMENT


# --- journals of sent faxes ------------------------------------------------------------------------


def test_a_fax_that_cannot_be_sent_tells_where_its_journal_is(state: Path, make_document: MakeDocument) -> None:
    result = run("send", make_document(), "sip:fax@127.0.0.1:9", env=HASTY)
    assert result.exit_code not in (0, exits.USAGE, exits.INTERNAL)
    (journal,) = (state / "journal").glob("*.jsonl")
    assert result.stdout.endswith(f"What happened, event by event: {journal}\n")
    assert read_journal(journal)[-1].kind == "outcome"


@pytest.mark.parametrize("setting", ["VFAX_JOURNAL__ENABLED", "VFAX_JOURNAL__FOLDER"])
def test_a_journal_goes_nowhere_or_where_the_settings_say(
    state: Path, tmp_path: Path, make_document: MakeDocument, setting: str
) -> None:
    value = "false" if setting.endswith("ENABLED") else str(tmp_path / "elsewhere")
    run("send", make_document(), "sip:fax@127.0.0.1:9", env={**HASTY, setting: value})
    assert not state.exists()
    assert len(list((tmp_path / "elsewhere").glob("*.jsonl"))) == (value != "false")


def test_a_place_for_journals_that_cannot_be_had_stops_no_fax(state: Path, make_document: MakeDocument) -> None:
    state.parent.write_text("in the way")
    result = run("send", make_document(), "sip:fax@127.0.0.1:9", "--json", env=HASTY)
    answer = json.loads(result.stdout)
    assert (answer["outcome"]["status"], answer["files"]["journal"]) == ("FS_DISCONNECTED", "")


def test_only_the_newest_journals_stay(tmp_path: Path) -> None:
    names = [f"2025010{day}T000000Z-00000000.jsonl" for day in range(1, 6)]
    captures = [f"2025010{day}T000000Z-00000000.pcap" for day in (1, 4)]
    for name in [*names, *captures, "20250102T000000Z-00000000.pcap.part", "notes.txt"]:
        (tmp_path / name).touch()
    keep_newest(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*names[-2:], captures[1], "notes.txt"])


def test_a_resolution_that_is_none_is_refused_with_those_there_are(make_document: MakeDocument) -> None:
    result = run("send", make_document(), "sip:fax@127.0.0.1:9", "--resolution", "72x72")
    assert result.exit_code == exits.USAGE
    assert "expected one of standard, fine, superfine, R16x15.4, 200x100" in result.stderr


# --- loopback --------------------------------------------------------------------------------------


def test_loopback_in_virtual_time_compares_pixels(make_document: MakeDocument) -> None:
    result = run("loopback", make_document(pages=2), "--simnet", 7, "--loss", 0.02, "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert (answer["ok"], answer["identical"], answer["sent"]["pages"]) == (True, True, 2)


def test_the_same_seed_gives_the_same_fax(make_document: MakeDocument) -> None:
    arguments = ("loopback", make_document(), "--simnet", 3, "--loss", 0.1, "--jitter", 0.05, "--json")
    assert run(*arguments).stdout == run(*arguments).stdout


def test_a_dead_line_fails_with_the_code_of_its_cause(make_document: MakeDocument) -> None:
    result = run("loopback", make_document(), "--simnet", 1, "--loss", 1.0, "--json")
    answer = json.loads(result.stdout)
    assert result.exit_code == answer["exit"] == exits.code_of(Cause(answer["sent"]["cause"])) != 0


@pytest.mark.realtime
@pytest.mark.parametrize("options", [[], ["--no-ecm", "--max-rate", "9600"]], ids=["ECM", "no ECM"])
def test_loopback_over_udp_compares_pixels(make_document: MakeDocument, options: list[str]) -> None:
    result = run("loopback", make_document(pages=2), "--json", *options, env=QUICK)
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["identical"] is True
    assert answer["received"]["pages"] == 2
    assert answer["received"]["ecm"] is (not options)
    assert answer["received"]["rate"] == (9600 if options else 14_400)


# --- serve and send in processes of their own --------------------------------------------------------


@dataclass
class Serving:
    """A `vfax serve` process: where to call it, its spool, what it printed."""

    process: "subprocess.Popen[str]"
    uri: str
    spool: Path
    greeting: str

    @property
    def printed(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    spool = tmp_path / "spool"
    command = [sys.executable, "-m", "vfax", "serve", "--listen", "127.0.0.1:0", "--spool", str(spool)]
    with subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        greeting = "".join(process.stdout.readline() for _ in range(6))
        found = re.search(r"sip:\S+", greeting)
        assert found, greeting
        try:
            yield Serving(process, found.group(), spool, greeting)
        finally:
            process.kill()


def call(uri: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "vfax", "send", *map(str, arguments), uri]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.realtime
def test_a_fax_travels_from_send_to_serve_and_ctrl_c_ends_in_peace(
    serving: Serving, make_document: MakeDocument
) -> None:
    assert "this machine alone" in serving.greeting
    assert '[queue] dial = "sip:{e164}@trunk.example.com"' in serving.greeting
    assert str(serving.spool / "inbox") in serving.greeting
    document = make_document(pages=2)
    sent = call(serving.uri, document, "--json")
    assert sent.returncode == 0, sent.stdout + sent.stderr
    answer: dict[str, Any] = json.loads(sent.stdout)
    assert (answer["ok"], answer["pages"], answer["outcome"]["cause"]) == (True, 2, "complete")
    assert read_journal(Path(answer["files"]["journal"]))[0].facts["direction"] == "out"
    serving.process.send_signal(signal.SIGINT)
    rest = serving.printed.read()
    assert serving.process.wait(timeout=30) == exits.OK
    (received,) = serving.spool.glob("inbox/*.tif")
    (record,) = serving.spool.glob("inbox/*.json")
    assert received.stem == record.stem
    assert "2 pages, 14400 bit/s, ECM, MMR, standard" in rest
    assert str(received) in rest
    for at in (0, 1):
        ours, theirs = tiff.load_page(document, at), tiff.load_page(received, at)
        header = theirs.raster.removesuffix(ours.raster)
        assert any(header)
        assert len(header) == header_rows(Resolution.STANDARD) * 216


@pytest.mark.realtime
def test_a_picture_is_sent_as_fine_as_was_asked_for_and_without_a_header_if_wished(
    serving: Serving, tmp_path: Path
) -> None:
    picture = tmp_path / "a.png"
    Image.new("L", (864, 100), 128).save(picture)
    sent = call(serving.uri, picture, "--json", "--resolution", "300x300", "--no-header")
    assert sent.returncode == 0, sent.stdout + sent.stderr
    assert json.loads(sent.stdout)["resolution"] == "300x300"
    serving.process.send_signal(signal.SIGINT)
    serving.process.wait(timeout=30)
    (received,) = serving.spool.glob("inbox/*.tif")
    (header,) = tiff.read_headers(received)
    assert (header.x_dpi, header.y_dpi, header.width_px, header.rows) == (300, 300, 2592, 300)


@pytest.mark.realtime
def test_stopping_during_a_fax_ends_both_sides_politely(serving: Serving, make_document: MakeDocument) -> None:
    command = [sys.executable, "-m", "vfax", "send", str(make_document()), serving.uri, "--json"]
    slow = environment(VFAX_T38__PACE="1.0")
    with subprocess.Popen(command, env=slow, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as sender:
        assert "answered" in serving.printed.readline()
        serving.process.send_signal(signal.SIGTERM)
        printed, _ = sender.communicate(timeout=60)
    assert serving.process.wait(timeout=30) == exits.OK
    assert json.loads(printed)["ok"] is False
    assert sender.returncode == json.loads(printed)["exit"] != 0
    assert "The fax was ended because the service was stopped." in serving.printed.read()


@pytest.mark.realtime
def test_interrupting_send_aborts_the_fax_and_exits_130(serving: Serving, make_document: MakeDocument) -> None:
    command = [sys.executable, "-m", "vfax", "send", str(make_document()), serving.uri, "--json"]
    slow = environment(VFAX_T38__PACE="1.0")
    with subprocess.Popen(command, env=slow, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as sender:
        assert "answered" in serving.printed.readline()
        sender.send_signal(signal.SIGINT)
        printed, _ = sender.communicate(timeout=60)
    assert sender.returncode == exits.INTERRUPTED
    assert json.loads(printed)["outcome"]["cause"] == "aborted"


@pytest.mark.realtime
def test_a_second_signal_ends_serve_and_send_at_once_though_a_fax_is_being_ended(
    serving: Serving, make_document: MakeDocument, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "vfax", "send", str(make_document()), serving.uri, "--json"]
    slow = environment(VFAX_T38__PACE="1.0", TMPDIR=str(tmp_path))
    with subprocess.Popen(command, env=slow, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as sender:
        assert "answered" in serving.printed.readline()
        for process in (serving.process, sender):
            process.send_signal(signal.SIGINT)
            process.send_signal(signal.SIGTERM)
        ended = serving.process.wait(timeout=30)
        assert sender.wait(timeout=30) == exits.INTERRUPTED
    assert list(tmp_path.glob("vfax-*")) == []
    assert ended == exits.INTERRUPTED
    assert "Traceback" not in serving.printed.read()


@pytest.mark.realtime
def test_serve_ends_by_itself_with_a_sentence_when_it_has_been_idle(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vfax", "serve", "--listen", "127.0.0.1:0", "--spool", str(tmp_path / "spool")]
    idle = environment(VFAX_HOST__IDLE_STOP="0.5")
    ended = subprocess.run(command, env=idle, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (exits.OK, "")
    assert "Nothing has been to do for 0.5 s and no client is connected ([host] idle_stop)." in ended.stdout
    assert ended.stdout.splitlines()[-1] == "vfax has stopped."


# --- devices -----------------------------------------------------------------------------------------


def test_devices_shows_what_can_be_loaded_and_listens_nowhere(tmp_path: Path) -> None:
    config = tmp_path / "vfax.toml"
    config.write_text(
        """
        [[provider]]
        process = "own"
        [[provider]]
        guid = "{99999999-9999-4999-8999-999999999999}"
        friendly_name = "nowhere"
        image_name = "nowhere.at.all:create"
        [[provider]]
        guid = "nonsense"
        friendly_name = "off"
        image_name = "off:create"
        enabled = false
        [host]
        lines = 2
        """
    )
    result = run("devices", "--config", config, "--json")
    assert result.exit_code == exits.INTERNAL
    answer = json.loads(result.stdout)
    ours, nowhere, off = answer["providers"][:3]
    assert (ours["state"], ours["process"], ours["initialized"]) == ("fpsSUCCESS", "own", False)
    assert [device["name"] for device in ours["devices"]] == ["vfax 1", "vfax 2"]
    assert (nowhere["state"], nowhere["last_error"]) == ("fpsCANT_LOAD", 126)
    assert "No module named 'nowhere'" in nowhere["reason"]
    assert off["state"] == "disabled"
    printed = run("devices", "--config", config).stdout
    assert "fpsCANT_LOAD: nowhere.at.all:create: No module named 'nowhere' (last error 126)" in printed
    assert "device 2 (vfax 2)" in printed
    assert "disabled: it is not loaded" in printed


def test_devices_ends_well_where_all_is_well() -> None:
    assert run("devices").exit_code == exits.OK
