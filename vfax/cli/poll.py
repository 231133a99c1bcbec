"""`vfax poll`: fetch the document that another machine holds ready.

Owns      the file it goes into, what is said while it comes, the verdict as an exit code.
Not here  the call (calls.py); the service contract, which knows no polling.
"""

from contextlib import suppress
from pathlib import Path

import trio
from rich.console import Console

from vfax import call
from vfax.cli import exits
from vfax.cli.common import out, print_json
from vfax.cli.hosting import interruptible
from vfax.cli.screen import printable, say, tell
from vfax.cli.send import journal_folder
from vfax.cli.sockets import explain
from vfax.codecs import tiff
from vfax.endpoint import Endpoint
from vfax.errors import DocumentError, LinkError, StoreError, only_one
from vfax.journal import facts_of
from vfax.outcome import Outcome
from vfax.pages import PageFolder, pages_folder, recover
from vfax.settings import Settings, wiring


def poll(
    settings: Settings, destination: str, target: Path, *, listen: str, address: str, password: str, as_json: bool
) -> int:
    """Call, ask for the document, keep it in `target`, say how it went; returns the exit code.

    Raises SettingsError, StoreError or LinkError before anything is dialled: an existing file is never written over.
    """
    endpoint = wiring.network_towards(settings, destination, listen, journal=journal_folder(settings))
    request = call.PollRequest(
        destination=destination,
        local_id=settings.fax.local_id,
        caller_name=settings.fax.name,
        poll_address=address,
        poll_password=password,
    )
    _make(target)
    console = None if as_json else out()
    try:
        outcome, journal, interrupted = trio.run(_poll, endpoint, request, target, console)
    except LinkError as why:
        raise LinkError(explain(why)) from why
    finally:
        waiting = _tidy(target)
    code = exits.INTERRUPTED if interrupted and not outcome.ok else exits.code_of(outcome.cause)
    file = str(target) if target.exists() else ""
    if as_json:
        files = {"file": file, "waiting": waiting, "journal": str(journal or "")}
        print_json({"ok": outcome.ok, "exit": code, **files, **facts_of(outcome)})
    else:
        _conclude(out(), outcome, file, waiting, journal)
    return code


def _tidy(target: Path) -> str:
    """Put pages that still wait beside the file into it, remove a file that stayed empty; tell where pages still wait.

    A confirmed page is nowhere else: whatever cut the call off, it must not be forgotten in a folder of its own.
    """
    folder = PageFolder(target)
    try:
        if folder.pages():
            folder.assemble(tiff.join_pages)
    except (StoreError, DocumentError):
        return str(folder.folder)
    finally:
        with suppress(FileNotFoundError):
            if target.stat().st_size == 0:
                target.unlink()
    return ""


def _make(target: Path) -> None:
    if recover(target):
        raise StoreError(f"pages of an earlier call wait in {pages_folder(target)}; name another file")
    try:
        target.touch(exist_ok=False)
    except FileExistsError:
        raise StoreError(f"{target} exists already; name a new file") from None
    except OSError as why:
        raise StoreError(f"cannot make {target}: {why.strerror or why}") from why


async def _poll(
    endpoint: Endpoint, request: call.PollRequest, target: Path, console: Console | None
) -> tuple[Outcome, Path | None, bool]:
    interrupted = False
    said = ""  # an identity is repeated with every DIS

    def publish(event: call.CallEvent) -> None:
        nonlocal said
        words = _words(event)
        if console is not None and words and words != said:
            said = words
            tell(console, words)

    def abort() -> None:
        nonlocal interrupted
        interrupted = True
        outgoing.abort()

    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(endpoint.run, lambda arrived: arrived.refuse(486))
            outgoing = endpoint.outbound()
            async with interruptible(abort):
                outcome = await outgoing.poll(request, target, publish=publish)
            nursery.cancel_scope.cancel()
    except ExceptionGroup as group:
        raise only_one(group) from None
    return outcome, outgoing.journal_path, interrupted


def _words(event: call.CallEvent) -> str:
    match event:
        case call.Dialing():
            return "Dialling."
        case call.Answered():
            return "Answered."
        case call.Identified(remote_id):
            return f"The other machine is {printable(remote_id)}."
        case call.PageBegun(number):
            return f"Page {number} is coming."
        case call.PageDone(number):
            return f"Page {number} is kept and confirmed."
        case _:
            return ""


def _conclude(console: Console, outcome: Outcome, file: str, waiting: str, journal: Path | None) -> None:
    say(console, printable(outcome.sentence))
    if file:
        say(console, f"The pages are in {file}.")
    if waiting:
        say(console, f"The pages could not be joined; each is a file of its own in {waiting}.")
    if journal is not None and not outcome.ok:
        say(console, f"What happened, event by event: {journal}")
