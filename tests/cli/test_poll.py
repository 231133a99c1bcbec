"""`vfax poll` as people type it, in a process of its own, against a machine that holds a document ready, or none."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from typer.testing import CliRunner, Result

from vfax import call
from vfax.calls import IncomingFax
from vfax.cli import app, exits
from vfax.cli.poll import _tidy
from vfax.codecs import tiff
from vfax.endpoint import Endpoint, EndpointOptions
from vfax.errors import StoreError
from vfax.journal import read_journal
from vfax.leg import LegOptions
from vfax.outcome import Cause
from vfax.pages import PageFolder, pages_folder
from vfax.transports.t38 import T38Options

MakeDocument = Callable[..., Path]
QUICK = {"VFAX_T38__PACE": "0.1", "VFAX_T38__CED": "0.3", "VFAX_TIMERS__LINGER": "0.1"}
NOBODY = "sip:fax@127.0.0.1:9"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command keeps its journals, away from the home of whoever runs the tests."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "vfax"


def refused(*arguments: object) -> Result:
    result = CliRunner().invoke(app, ["poll", *map(str, arguments)])
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1, result.stderr
    return result


def typed(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "vfax", "poll", *map(str, arguments)]


def environment(**more: str) -> dict[str, str]:
    root = str(Path(__file__).parents[2])
    return {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]), **QUICK, **more}


async def polls(*arguments: object) -> tuple[int, dict[str, Any]]:
    done = await trio.run_process(typed(*arguments, "--json"), env=environment(), capture_stdout=True, check=False)
    answer = json.loads(done.stdout)
    assert isinstance(answer, dict)
    return done.returncode, answer


@asynccontextmanager
async def a_machine(tmp_path: Path, *, held: Path | None = None, pace: float = 0.1) -> AsyncIterator[str]:
    """A fax machine that answers every call, with `held` ready if that is given; gives its address."""
    options = LegOptions(line=T38Options(pace=pace, ced=0.3))
    endpoint = Endpoint(EndpointOptions(listen=("127.0.0.1", 0), leg=options), seed=1)

    async def answer(arrived: call.InboundCall) -> None:
        assert isinstance(arrived, IncomingFax)
        if held is not None:
            offered = call.Offered(document=held, local_id="+1 555 0002", name="")
            await arrived.offer(offered, publish=lambda event: None)
            return
        await arrived.receive(tmp_path / "theirs.tif", local_id="+1 555 0002", publish=lambda event: None)

    async with trio.open_nursery() as nursery:
        await nursery.start(endpoint.run, lambda arrived: nursery.start_soon(answer, arrived))
        host, port = endpoint.address
        yield f"sip:fax@{host}:{port}"
        nursery.cancel_scope.cancel()


@pytest.fixture
def held_ready(make_document: MakeDocument) -> Path:
    """A document to hold ready."""
    return make_document("held.tif", pages=2, rows=300)


# --- before anything is dialled --------------------------------------------------------------------


def test_a_file_that_exists_is_refused_and_left_alone(tmp_path: Path) -> None:
    there = tmp_path / "there.tif"
    there.write_bytes(b"precious")
    result = refused(NOBODY, there)
    assert (result.exit_code, result.stderr) == (exits.STORAGE, f"vfax: {there} exists already; name a new file\n")
    assert there.read_bytes() == b"precious"


def test_a_file_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    result = refused(NOBODY, tmp_path / "missing" / "got.tif")
    assert result.exit_code == exits.STORAGE
    assert f"cannot make {tmp_path / 'missing' / 'got.tif'}: No such file" in result.stderr


def test_pages_of_an_earlier_call_are_not_mixed_with_new_ones(tmp_path: Path) -> None:
    target = tmp_path / "got.tif"
    PageFolder(target).keep(1, b"a page", complete=True)
    result = refused(NOBODY, target)
    assert result.exit_code == exits.STORAGE
    assert f"pages of an earlier call wait in {target}.pages; name another file" in result.stderr
    assert not target.exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["fax", "got.tif"], "fax: expected a SIP URI, such as"),
        ([NOBODY, "got.tif", "--address", "abc"], "command line: --address abc: expected at most 20 of 0-9"),
        ([NOBODY, "got.tif", "--password", "1" * 21], f"command line: --password {'1' * 21}: expected at most 20"),
        ([NOBODY, "got.tif", "--listen", "here"], "command line: --listen here: expected"),
    ],
)
def test_wrong_usage_is_one_line_and_makes_no_file(
    arguments: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = refused(*arguments)
    assert result.exit_code == exits.USAGE
    assert expected in result.stderr
    assert not (tmp_path / "got.tif").exists()


def test_a_taken_port_is_one_sentence_and_leaves_no_file(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        result = refused(NOBODY, tmp_path / "got.tif", "--listen", address)
    assert result.exit_code == exits.CANNOT_LISTEN
    assert f"cannot listen on {address}: Address already in use" in result.stderr
    assert not (tmp_path / "got.tif").exists()


# --- calls -------------------------------------------------------------------------------------------


@pytest.mark.realtime
async def test_the_document_that_is_held_ready_arrives_pixel_for_pixel(held_ready: Path, tmp_path: Path) -> None:
    got = tmp_path / "got.tif"
    async with a_machine(tmp_path, held=held_ready) as machine:
        code, answer = await polls(machine, got)
    assert (code, answer["ok"], answer["exit"]) == (exits.OK, True, 0), answer
    assert (answer["file"], answer["waiting"], answer["cause"]) == (str(got), "", "complete")
    assert (answer["pages_confirmed"], answer["sending"]) == (2, False)
    assert read_journal(Path(answer["journal"]))[0].facts["polls"] is True
    for at in (0, 1):
        assert tiff.load_page(got, at).raster == tiff.load_page(held_ready, at).raster
    assert not pages_folder(got).exists()


@pytest.mark.realtime
async def test_a_machine_with_nothing_ready_is_said_to_have_nothing_and_leaves_no_file(tmp_path: Path) -> None:
    got = tmp_path / "got.tif"
    async with a_machine(tmp_path) as machine:
        done = await trio.run_process(typed(machine, got), env=environment(), capture_stdout=True, check=False)
    said = done.stdout.decode().splitlines()
    assert done.returncode == exits.code_of(Cause.INCOMPATIBLE)
    assert said[:2] == ["Dialling.", "Answered."]
    assert "poll" in said[-2], said
    assert "What happened, event by event: " in said[-1]
    assert not got.exists()


@pytest.mark.realtime
async def test_ctrl_c_aborts_politely_and_keeps_no_empty_file(held_ready: Path, tmp_path: Path) -> None:
    got = tmp_path / "got.tif"
    slow = environment(VFAX_T38__PACE="1.0")
    async with a_machine(tmp_path, held=held_ready, pace=1.0) as machine:
        process = await trio.lowlevel.open_process(typed(machine, got), env=slow, stdout=subprocess.PIPE)
        assert process.stdout is not None
        said = b""
        with trio.fail_after(60):
            async for part in process.stdout:
                if b"Answered." in said + part and b"Answered." not in said:
                    process.send_signal(signal.SIGINT)
                said += part
            assert await process.wait() == exits.INTERRUPTED, said
    assert b"Traceback" not in said
    assert "aborted" in said.decode().splitlines()[-2]
    assert not got.exists()


# --- what is left when a call ends badly -----------------------------------------------------------------


def test_confirmed_pages_of_a_call_that_was_cut_off_end_up_in_the_file(
    tmp_path: Path, make_document: MakeDocument
) -> None:
    target = tmp_path / "got.tif"
    target.touch()
    PageFolder(target).keep(1, make_document().read_bytes(), complete=True)
    assert _tidy(target) == ""
    assert len(tiff.read_headers(target)) == 1


def test_confirmed_pages_that_cannot_be_joined_are_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "got.tif"
    target.touch()
    PageFolder(target).keep(1, b"a page", complete=True)

    def no_room(paths: object, path: object) -> None:
        raise StoreError("no room")

    monkeypatch.setattr(tiff, "join_pages", no_room)
    assert _tidy(target) == f"{target}.pages"
    assert not target.exists()
    assert PageFolder(target).pages()
