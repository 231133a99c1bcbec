"""Delivery to a command: a program of the operator's, without a shell, with the fax as JSON on its standard input.

Owns      starting it, what it is given, how much of what it says is kept, and its end with all of its group.
Not here  when it is tried (delivery.py), what the JSON says (parcel.py).
Source    sysexits(3): EX_TEMPFAIL is 75; POSIX process groups.

Nothing a peer said is ever an argument: `{document}` and `{job}` are the only words that are replaced.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from vfax.errors import DocumentError
from vfax.host.document import Format, write_document
from vfax.host.parcel import Parcel, Result
from vfax.host.routing import CommandTarget
from vfax.host.templates import one_line

KEPT_ENVIRONMENT: Final = ("PATH", "HOME", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "SYSTEMROOT")
"""All that a command inherits of our environment, where settings and their passwords may be."""
CHUNK_OCTETS: Final = 65_536
LAST_WORDS: Final = 1.0
"""Seconds that a pipe may stay open behind a program that has ended: something it started may hold it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandOptions:
    """`kill_grace`: seconds from SIGTERM to SIGKILL. Limit: `max_output` octets of what a command says are kept."""

    kill_grace: float = 2.0
    max_output: int = 2_000


async def deliver(
    parcel: Parcel, target: CommandTarget, options: CommandOptions, threads: trio.CapacityLimiter
) -> Result:
    """Run the command: code 0 is done, any other is tried again. Cancelled, it ends with all of its group."""
    program = Path(target.command[0]).name
    try:
        async with _document(parcel, target.form, threads) as document:
            return await _run(parcel, target, document, options, program)
    except DocumentError as why:
        return Result.failed(f"The document cannot be delivered: {why}.")
    except OSError as why:
        return Result.failed(f"{program} cannot be run: {why.strerror or why}.")


@asynccontextmanager
async def _document(parcel: Parcel, form: Format, threads: trio.CapacityLimiter) -> AsyncIterator[Path | None]:
    """The document as a file of the wanted form: the one in the spool, or one made for this run alone."""
    path = parcel.document
    if path is None or form is Format.TIFF:
        yield path
        return
    base = await trio.to_thread.run_sync(tempfile.gettempdir, abandon_on_cancel=True, limiter=threads)
    folder = Path(base) / f"vfax-{parcel.event_id}-{secrets.token_hex(8)}"
    try:
        yield await trio.to_thread.run_sync(_made, parcel, path, form, folder, abandon_on_cancel=True, limiter=threads)
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(lambda: shutil.rmtree(folder, ignore_errors=True))


def _made(parcel: Parcel, path: Path, form: Format, folder: Path) -> Path:
    folder.mkdir(mode=0o700)
    made = folder / f"{parcel.name}{form.suffix}"
    with made.open("xb") as file:
        write_document(path, form, file.write, title=parcel.title, created=parcel.created)
    return made


async def _run(
    parcel: Parcel, target: CommandTarget, document: Path | None, options: CommandOptions, program: str
) -> Result:
    payload = parcel.payload(target.form)
    if document is not None:
        payload["path"] = str(document)
    process = await trio.lowlevel.open_process(
        arguments(target.command, parcel.job, document),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=Path(os.sep),
        env=_environment(parcel),
        start_new_session=sys.platform != "win32",  # its group is its own: all of it can be ended, and nothing else
    )
    said = bytearray()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_tell, process, json.dumps(payload).encode("ascii"))
            nursery.start_soon(_hear, process, said, options.max_output)
            await process.wait()
            nursery.cancel_scope.deadline = trio.current_time() + LAST_WORDS
    finally:
        with trio.CancelScope(shield=True):
            await _end(process, options.kill_grace)
    return _judge(program, process.returncode, one_line(said.decode("utf-8", "replace"), options.max_output))


def arguments(command: tuple[str, ...], job: str, document: Path | None) -> list[str]:
    """The argument list; `{document}` is empty where the fax has none."""
    values = {"{job}": job, "{document}": str(document) if document is not None else ""}
    replaced = []
    for argument in command[1:]:
        for name, value in values.items():  # {document} last: nothing in a path is looked at again
            argument = argument.replace(name, value)
        replaced.append(argument)
    return [command[0], *replaced]


def _environment(parcel: Parcel) -> dict[str, str]:
    kept = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
    return kept | {"VFAX_JOB": parcel.job, "VFAX_EVENT_ID": parcel.event_id}


async def _tell(process: trio.Process, octets: bytes) -> None:
    """Write its input; a program that does not read it to its end has its reasons."""
    assert process.stdin is not None
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        async with process.stdin:
            await process.stdin.send_all(octets)


async def _hear(process: trio.Process, said: bytearray, limit: int) -> None:
    """Read what it says to its end, so that it never waits for us, and keep the beginning."""
    assert process.stdout is not None
    async with process.stdout:
        while octets := await process.stdout.receive_some(CHUNK_OCTETS):
            said += octets[: limit - len(said)]


async def _end(process: trio.Process, grace: float) -> None:
    """End what still runs: all of the group, politely, then not."""
    if process.returncode is not None:
        return
    _signal(process, signal.SIGTERM)
    with trio.move_on_after(grace):
        await process.wait()
    if sys.platform != "win32":  # the group may live on although the program heeded the first signal
        _signal(process, signal.SIGKILL)
    else:
        process.kill()
    await process.wait()


def _signal(process: trio.Process, number: int) -> None:
    if sys.platform == "win32":
        process.terminate()
        return
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _judge(program: str, code: int | None, said: str) -> Result:
    words = f": {said}" if said else ""
    if code == 0:
        return Result.done(f"{program} has taken the fax{words}.")
    if code is not None and code < 0:
        return Result.failed(f"{program} was ended by signal {-code}{words}.")
    return Result.failed(f"{program} has ended with code {code}{words}.")
