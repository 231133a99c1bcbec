"""`vfax submit`, `vfax jobs`, `vfax job`, `vfax faxes`: the queue of a running service, seen and changed.

Owns      what the commands print. Not here: the service (host/), its client (client/), the queue's rules.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from vfax import client
from vfax.cli import exits
from vfax.cli.common import out, print_json
from vfax.cli.screen import say
from vfax.cli.watch import refusals, token_of
from vfax.client.values import Job
from vfax.errors import DocumentError, SettingsError

WORDS: Final = {
    "fjsPENDING": "waiting",
    "fjsINPROGRESS": "on the line",
    "fjsRETRYING": "failed, to be tried again",
    "fjsFAILED": "failed",
    "fjsRETRIES_EXCEEDED": "given up",
    "fjsCOMPLETED": "delivered",
    "fjsCANCELED": "cancelled",
}
"""A status in a word or two."""
COMMANDS: Final = ("cancel", "pause", "resume", "retry", "abort")
JOB: Final = re.compile("[0-9A-Fa-f]{1,8}")


class Reach:
    """Where a service is and how to be let in."""

    def __init__(
        self, address: str | Path, *, token_file: Path | None, certificate: Path | None, as_json: bool
    ) -> None:
        self._address = address
        self._token_file = token_file
        self._certificate = certificate
        self.as_json = as_json

    @contextmanager
    def service(self) -> Iterator[client.Client]:
        """Be connected for the block; what the service refuses is one line and its exit code."""
        with refusals(self.as_json):
            token = token_of(self._token_file)
            with client.connect(self._address, token=token, certificate=self._certificate) as fax:
                yield fax


def submit(reach: Reach, document: Path, recipients: Sequence[str], options: Mapping[str, str | int]) -> int:
    """Queue a document and say under which numbers. Raises DocumentError for a file that cannot be opened."""
    try:
        document.open("rb").close()
    except OSError as why:
        raise DocumentError.of_system(document, why) from why
    with reach.service() as fax:
        jobs = fax.submit(document, list(recipients), **options)
    if reach.as_json:
        print_json({"ok": True, "exit": exits.OK, "jobs": [dict(job.data) for job in jobs]})
        return exits.OK
    for job in jobs:
        say(out(), f"{job.name}: queued for {job.number}.")
    return exits.OK


def jobs(reach: Reach, *, every: bool, limit: int) -> int:
    """List jobs, newest first: those that have not ended, or every one."""
    with reach.service() as fax:
        found = fax.jobs(ended=None if every else False, limit=limit)
    if reach.as_json:
        print_json({"ok": True, "exit": exits.OK, "jobs": [dict(job.data) for job in found]})
        return exits.OK
    for job in found:
        say(out(), line_of(job))
    if not found:
        say(out(), "There are no jobs." if every else "No job is waiting or on the line; --all lists those that ended.")
    return exits.OK


def line_of(job: Job) -> str:
    """A job in one line."""
    words = [WORDS.get(job.status.name or "", str(job.status.name))]
    if job.paused:
        words.append("paused")
    if job.no_line:
        words.append("no line was free")
    tries = f", {job.attempts} attempt{'' if job.attempts == 1 else 's'}" if job.attempts else ""
    said = f": {job.sentence}" if job.sentence else ""
    return f"{job.name}  {job.number}  {', '.join(words)}{tries}{said}"


def change(reach: Reach, job: str, *, command: str, priority: str, schedule: str) -> int:
    """Show one job, or change it first: cancel, pause, resume, retry, abort; priority; time. Raises SettingsError."""
    if command and command not in COMMANDS:
        raise SettingsError(f"command line: {command!r} is done to no job: expected one of {', '.join(COMMANDS)}")
    number = job_number(job)
    with reach.service() as fax:
        if command == "abort":
            fax.abort(number)
        elif command or priority:
            fax.set_job(number, command=command, priority=priority)
        if schedule:
            fax.set_job(number, schedule=None if schedule == "now" else schedule)
        found = fax.job(number)
    if reach.as_json:
        print_json({"ok": True, "exit": exits.OK, **found.data})
    else:
        say(out(), line_of(found))
    return exits.OK


def pause(reach: Reach, *, paused: bool) -> int:
    """Stop dialling, or go on."""
    with reach.service() as fax:
        fax.pause_queue(paused)
    if reach.as_json:
        print_json({"ok": True, "exit": exits.OK, "paused": paused})
    else:
        say(out(), "The queue is paused; what is on the line goes on." if paused else "The queue goes on.")
    return exits.OK


def job_number(text: str) -> int:
    """A job's number as it is shown, in hexadecimal digits. Raises SettingsError."""
    if not JOB.fullmatch(text):
        raise SettingsError(
            f"command line: {text!r} is no job: expected its eight hexadecimal digits, as vfax jobs --all shows them"
        )
    return int(text, 16)


def faxes(reach: Reach, *, limit: int) -> int:
    """List received faxes, newest first."""
    with reach.service() as fax:
        found = fax.faxes(limit=limit)
    if reach.as_json:
        print_json({"ok": True, "exit": exits.OK, "faxes": [dict(one) for one in found]})
        return exits.OK
    for one in found:
        say(out(), fax_line(one))
    if not found:
        say(out(), "No fax has been received yet.")
    return exits.OK


def fax_line(fax: Mapping[str, Any]) -> str:
    """A received fax in one line."""
    record = fax.get("record", {})
    caller = record.get("caller", {}).get("id") or "unknown"
    pages = record.get("pages", 0)
    kept = "" if fax.get("document") else ", no document is kept"
    return f"{fax.get('job')}  {fax.get('received')}  from {caller}: {pages} page{'' if pages == 1 else 's'}{kept}"
