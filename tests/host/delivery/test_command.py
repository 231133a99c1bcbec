"""Delivery to commands: real processes, what they are given, how they fail, and that nothing of them is left."""

import json
import os
import signal
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from tests.host.delivery.conftest import HOSTILE, Parcels
from vfax.host.deliver_command import CommandOptions, arguments, deliver
from vfax.host.document import Format
from vfax.host.parcel import Parcel, Result
from vfax.host.routing import CommandTarget

PATIENCE = 30.0
TELL = "import json, os, sys; print(json.dumps([json.load(sys.stdin), sys.argv[1:], dict(os.environ), os.getcwd()]))"


def python(code: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code, *arguments)


async def run(
    parcel: Parcel, command: tuple[str, ...], options: CommandOptions | None = None, form: Format = Format.TIFF
) -> Result:
    target = CommandTarget(command=command, form=form)
    with trio.fail_after(PATIENCE):
        return await deliver(parcel, target, options or CommandOptions(), trio.CapacityLimiter(4))


def told(result: Result) -> list[object]:
    said: list[object] = json.loads(result.sentence.partition("has taken the fax: ")[2].removesuffix("."))
    return said


async def test_a_command_gets_the_fax_as_json_and_its_path(parcel: Parcels, spool: Path) -> None:
    options = CommandOptions(max_output=100_000)
    made = parcel(kind="command", caller=HOSTILE)
    result = await run(made, python(TELL, "{document}", "for {job}", "plain"), options)
    assert result.ok, result.sentence
    payload, given, environment, folder = told(result)
    path = str(spool / "inbox" / "fax.tif")
    assert payload == json.loads(json.dumps(made.payload(Format.TIFF))) | {"path": path}
    assert given == [path, "for 0000abcd", "plain"]
    assert folder == "/"
    assert isinstance(environment, dict)
    assert (environment["VFAX_JOB"], environment["VFAX_EVENT_ID"]) == ("0000abcd", made.event_id)


async def test_a_command_inherits_no_password(parcel: Parcels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VFAX_MAIL__PASSWORD", "secret")
    result = await run(parcel(kind="command"), python(TELL), CommandOptions(max_output=100_000))
    assert "secret" not in json.dumps(told(result))


async def test_a_pdf_is_made_for_the_command_and_removed_after_it(parcel: Parcels) -> None:
    code = "import sys; path = sys.argv[1]; print(open(path, 'rb').read(5), path)"
    result = await run(parcel(kind="command"), python(code, "{document}"), form=Format.PDF)
    assert "has taken the fax: b'%PDF-' " in result.sentence
    path = Path(result.sentence.rpartition(" ")[2].removesuffix("."))
    assert path.name == "20250131T120000Z-+49_30_123456-0000abcd.pdf"
    assert not path.parent.exists()


def test_nothing_that_is_replaced_is_looked_at_again() -> None:
    made = arguments(("take", "{job}{document}", "{caller}", "{}"), "0000abcd", Path("/spool/{job}.tif"))
    assert made == ["take", "0000abcd/spool/{job}.tif", "{caller}", "{}"]
    assert arguments(("take", "{document}"), "0000abcd", None) == ["take", ""]


@pytest.mark.parametrize("code", [1, 2, 75, 127, 255])
async def test_any_code_but_zero_is_tried_again_with_what_was_said(code: int, parcel: Parcels) -> None:
    command = python(f"import sys; sys.stderr.write('disk\\x1b full'); sys.exit({code})")
    result = await run(parcel(kind="command"), command)
    assert result == Result.failed(f"{Path(sys.executable).name} has ended with code {code}: disk  full.")


async def test_a_command_that_is_killed_is_tried_again(parcel: Parcels) -> None:
    result = await run(parcel(kind="command"), python("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"))
    assert result == Result.failed(f"{Path(sys.executable).name} was ended by signal {signal.SIGSEGV.value}.")


@pytest.mark.parametrize("program", ["/nonexistent/take", "no-such-program-anywhere", "/etc"])
async def test_a_program_that_cannot_be_run_is_tried_again(program: str, parcel: Parcels) -> None:
    result = await run(parcel(kind="command"), (program,))
    assert f"{Path(program).name} cannot be run: " in result.sentence
    assert (result.ok, result.final) == (False, False)


async def test_a_shell_has_no_part_in_it(parcel: Parcels, tmp_path: Path) -> None:
    result = await run(parcel(kind="command"), python("import sys; print(sys.argv[1])", f"$(touch {tmp_path}/x); *"))
    assert result.ok
    assert not (tmp_path / "x").exists()


async def test_what_is_said_beyond_the_limit_is_read_and_forgotten(parcel: Parcels) -> None:
    options = CommandOptions(max_output=100)
    result = await run(parcel(kind="command"), python("print('x' * 10_000_000)"), options)
    assert result.ok
    assert result.sentence.endswith(f"has taken the fax: {'x' * 100}.")


async def test_a_command_need_not_read_what_it_is_given(parcel: Parcels) -> None:
    assert (await run(parcel(kind="command"), python("import os; os.close(0)"))).ok
    assert (await run(parcel(kind="command"), python("pass"))).ok


async def test_a_command_that_leaves_something_running_does_not_hold_the_delivery(parcel: Parcels) -> None:
    sleeper = "[sys.executable, '-c', 'import time; time.sleep(60)']"
    result = await run(
        parcel(kind="command"), python(f"import subprocess, sys; print(subprocess.Popen({sleeper}).pid)")
    )
    assert result.ok
    os.kill(int(result.sentence.rpartition(" ")[2].removesuffix(".")), signal.SIGKILL)  # it ran all the time


FAMILY = """
import os, signal, subprocess, sys, time
if {stubborn}:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"],
    stdout=subprocess.PIPE)
child.stdout.readline()
open(sys.argv[1] + ".new", "w").write(f"{{os.getpid()}} {{child.pid}}")
os.rename(sys.argv[1] + ".new", sys.argv[1])
time.sleep(60)
"""


@pytest.mark.parametrize("stubborn", [True, False])
async def test_a_command_cut_off_ends_with_all_it_has_started(stubborn: bool, parcel: Parcels, tmp_path: Path) -> None:
    note = tmp_path / "pids"
    command = CommandTarget(command=python(FAMILY.format(stubborn=stubborn), str(note)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            deliver, parcel(kind="command"), command, CommandOptions(kill_grace=0.3), trio.CapacityLimiter(1)
        )
        with trio.fail_after(PATIENCE):
            while not note.exists():  # noqa: ASYNC110 - another process makes it
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    for pid in map(int, note.read_text().split()):
        with trio.fail_after(PATIENCE):
            while alive(pid):  # noqa: ASYNC110 - nobody tells us of its end
                await trio.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for yet does not."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    return False


async def test_a_command_is_never_in_our_own_group(parcel: Parcels) -> None:
    result = await run(parcel(kind="command"), python("import os; print(os.getpgrp() == os.getpid())"))
    assert result.sentence.endswith(": True.")
    assert os.getpgrp() != 0


async def test_a_fax_without_a_document_has_no_path(parcel: Parcels) -> None:
    made = parcel(kind="command")
    bare = replace(made, fax=replace(made.fax, document=None))
    result = await run(bare, python(TELL, "{document}"), CommandOptions(max_output=100_000))
    payload, given, *_ = told(result)
    assert isinstance(payload, dict)
    assert payload["document"] is None
    assert "path" not in payload
    assert given == [""]


async def test_a_document_that_was_taken_away_is_said(parcel: Parcels, spool: Path) -> None:
    (spool / "inbox" / "fax.tif").unlink()
    result = await run(parcel(kind="command"), python("pass"), form=Format.PDF)
    assert "cannot be opened: No such file" in result.sentence
    assert (result.ok, result.final) == (False, False)
