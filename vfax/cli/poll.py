"""`vfax poll`: fetch the document that another machine holds ready.

Owns      the file it goes into, what is said while it comes, the verdict as an exit code.
Not here  the call (calls.py); the service contract, which knows no polling.
"""

from pathlib import Path

import trio
from rich.console import Console

from vfax import call
from vfax.cli import exits
from vfax.cli.common import out, print_json
from vfax.cli.hosting import interruptible
from vfax.cli.screen import printable, say
from vfax.cli.send import journal_folder
from vfax.endpoint import Endpoint
from vfax.errors import StoreError
from vfax.journal import facts_of
from vfax.outcome import Outcome
from vfax.settings import Settings, wiring


def poll(
    settings: Settings, destination: str, target: Path, *, listen: str, address: str, password: str, as_json: bool
) -> int:
    """Call, ask for the document, keep it in `target`, say how it went; returns the exit code.

    Raises SettingsError or StoreError before anything is dialled: an existing file is never written over.
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
    finally:
        if target.stat().st_size == 0:
            target.unlink()
    code = exits.INTERRUPTED if interrupted and not outcome.ok else exits.code_of(outcome.cause)
    file = str(target) if target.exists() else ""
    if as_json:
        print_json({"ok": outcome.ok, "exit": code, "file": file, "journal": str(journal or ""), **facts_of(outcome)})
    else:
        _conclude(out(), outcome, file, journal)
    return code


def _make(target: Path) -> None:
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
            say(console, words)

    def abort() -> None:
        nonlocal interrupted
        interrupted = True
        outgoing.abort()

    async with trio.open_nursery() as nursery:
        await nursery.start(endpoint.run, lambda arrived: arrived.refuse(486))
        outgoing = endpoint.outbound()
        async with interruptible(abort):
            outcome = await outgoing.poll(request, target, publish=publish)
        nursery.cancel_scope.cancel()
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


def _conclude(console: Console, outcome: Outcome, file: str, journal: Path | None) -> None:
    say(console, printable(outcome.sentence))
    if file:
        say(console, f"The pages are in {file}.")
    if journal is not None and not outcome.ok:
        say(console, f"What happened, event by event: {journal}")
