"""`vfax check-trunk`: a trunk tried step by step, each step a sentence.

Owns      where the check listens, the service that may run beside it, what is printed. Not here: the steps
          (trunk_check.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import trio
from rich.console import Console

from vfax import client, trunk_check
from vfax.cli import exits
from vfax.cli.common import out, print_json, scratch
from vfax.cli.hosting import interruptible
from vfax.cli.screen import say
from vfax.cli.trunks import read_row
from vfax.codecs import tiff
from vfax.endpoint import Endpoint, EndpointOptions
from vfax.errors import SettingsError, only_one
from vfax.fsp.errors import FaxServiceError
from vfax.host.check_pages import CheckPages, new_mark
from vfax.host.spool import Spool
from vfax.settings import Settings, wiring
from vfax.settings.client_socket import client_socket
from vfax.trunk_check import Beside, Check, Finding, Tell, Verdict
from vfax.trunks.options import TrunkOptions

WIDTH_PX: Final = 1_728
ROWS: Final = 1_100
LOOKS: Final = 10
"""Times that the service is asked for the page that came back, a second apart."""
LATER: Final = "the service delivers it when it is started next"
KNOWN: Final = "it has taken it out of its inbox again, and delivered it nowhere"
UNKNOWN: Final = "it is in its inbox, and went where its routes send faxes, for this user may not write to its spool"
NEWEST: Final = 20
"""Received faxes that are looked at."""


def check_trunk(settings: Settings, name: str, *, number: str, as_json: bool) -> int:
    """Check one trunk; TRUNK when a step failed, INTERRUPTED by Ctrl-C and SIGTERM.

    Raises SettingsError for a trunk that there is none of.
    """
    options = wiring.endpoint_options(settings)
    trunk = _named(options.trunks, name)
    number = number or next(one.check_number for one in settings.trunk if one.name == trunk.name)
    found = trio.run(_until_interrupted, settings, options, trunk, number, None if as_json else out())
    if found is None:
        return exits.INTERRUPTED
    code = exits.OK if trunk_check.passed(found) else exits.TRUNK
    if as_json:
        steps = [{"step": one.step, "verdict": one.verdict.value, "sentence": one.sentence} for one in found]
        print_json({"ok": code == exits.OK, "exit": code, "trunk": trunk.name, "steps": steps})
    else:
        say(out(), _verdict(trunk.name, found))
    return code


def _named(trunks: Sequence[TrunkOptions], name: str) -> TrunkOptions:
    trunk = next((one for one in trunks if one.name.lower() == name.lower()), None)
    if trunk is not None:
        return trunk
    known = ", ".join(one.name for one in trunks)
    there = f"the settings have {known}" if known else "the settings have no [[trunk]] at all"
    raise SettingsError(f"command line: there is no trunk {name!r}; {there}")


def _verdict(name: str, found: Sequence[Finding]) -> str:
    failed = [one.step for one in found if one.verdict is Verdict.FAIL]
    warned = sum(one.verdict is Verdict.WARN for one in found)
    if failed:
        return f"The trunk {name} does not work: {', '.join(dict.fromkeys(failed))} failed."
    warnings = f", with {warned} warning{'s' if warned > 1 else ''}" if warned else ""
    return f"The trunk {name} works as far as it was tried{warnings}."


async def _until_interrupted(
    settings: Settings, options: EndpointOptions, trunk: TrunkOptions, number: str, console: Console | None
) -> list[Finding] | None:
    """All findings; None when somebody ended the check: what was registered is taken back all the same."""
    found = None
    with trio.CancelScope() as scope:
        async with interruptible(scope.cancel):
            found = await _checked(settings, options, trunk, number, console)
    return found


async def _checked(
    settings: Settings, options: EndpointOptions, trunk: TrunkOptions, number: str, console: Console | None
) -> list[Finding]:
    """All findings; `console` None: nothing is printed meanwhile."""

    def tell(finding: Finding) -> None:
        if console is not None:
            say(console, f"{finding.verdict.value:<8}{finding.step:<10}  {finding.sentence}")

    beside = await trio.to_thread.run_sync(_service_beside, settings, trunk.name)
    ours = trunk_check.options_for(options, trunk, alone=beside is None)
    with scratch("vfax-check-") as folder:
        check = Check(
            trunk=ours.trunks[0] if beside is None else replace(ours.trunks[0], register=trunk.register),
            endpoint=Endpoint(replace(ours, journal=None)),
            number=number,
            document=folder / "test.tif",
            place=Spool(settings.host.spool).borrow,
            sender=new_mark(),
            beside=beside,
        )
        await trio.to_thread.run_sync(_write_test_page, check.document)
        found = await (_run(check, ours, tell) if beside is None else _run_beside(settings, check, ours, tell))
    for path in check.kept:
        found.append(
            Finding("call", Verdict.WARN, f"A fax of somebody else came in meanwhile, and is in {path}: {LATER}.")
        )
        tell(found[-1])
    return found


async def _run_beside(settings: Settings, check: Check, options: EndpointOptions, tell: Tell) -> list[Finding]:
    """The check beside a service, which is to know the page that comes back as ours."""

    async def find_page(sender: str) -> str:
        return await _in_service(settings, sender)

    check.find_page = find_page
    pages = CheckPages(settings.host.spool.absolute())
    expected = await trio.to_thread.run_sync(pages.expect, check.sender)
    try:
        return await _run(check, options, tell)
    finally:
        with trio.CancelScope(shield=True):
            if expected:
                await trio.to_thread.run_sync(pages.forget, check.sender)


async def _run(check: Check, options: EndpointOptions, tell: Tell) -> list[Finding]:
    """The check with its endpoint: where the settings have it, on free ports where that place is taken."""
    try:
        return await _run_here(check, tell)
    except Exception as why:
        if not trunk_check.is_taken(only_one(why) if isinstance(why, ExceptionGroup) else why):
            raise
    check.endpoint = Endpoint(trunk_check.elsewhere(options))
    return await _run_here(check, tell)


async def _run_here(check: Check, tell: Tell) -> list[Finding]:
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(check.endpoint.run, lambda arrived: trunk_check.take_call(check, arrived, nursery))
            found = await trunk_check.check_trunk(check, tell)
            nursery.cancel_scope.cancel()
    except ExceptionGroup as group:
        raise only_one(group) from None
    return found


def _write_test_page(path: Path) -> None:
    """A page with bars of several widths: what is lost of it is easy to see."""
    bars = b"".join(bytes([0xF0 if at % 16 < 8 else 0x00]) for at in range(WIDTH_PX // 8))
    lines = [bars if (row // 100) % 2 else bytes(WIDTH_PX // 8) for row in range(ROWS)]
    path.write_bytes(tiff.write_page(b"".join(lines), WIDTH_PX, ROWS, x_dpi=204, y_dpi=98))


# --- the service beside --------------------------------------------------------------------------------


def _service_beside(settings: Settings, name: str) -> Beside | None:
    """What a running service on this machine says of the trunk; None where none runs, or lets us ask."""
    socket = client_socket(settings)
    if socket is None:
        return None
    try:
        with client.connect(socket) as fax:
            rows = [read_row(row) for row in fax.trunks()]
    except FaxServiceError:
        return None
    row = next((row for row in rows if row.name == name), None)
    return None if row is None else Beside(registration=row.registration)


async def _in_service(settings: Settings, sender: str) -> str:
    """Where the service has a fax that it has received from `sender`, in words; "" where it has none."""
    where, before = "", ""
    for _ in range(LOOKS):
        where, before = await trio.to_thread.run_sync(_received, settings, sender), where
        if where and (where == KNOWN or before):  # else it may be about to take it out
            break
        await trio.sleep(1.0)
    return where


def _received(settings: Settings, sender: str) -> str:
    socket = client_socket(settings)
    if socket is None:
        return ""
    try:
        with client.connect(socket) as fax:
            page = next((one for one in fax.faxes(limit=NEWEST) if _sender_of(one) == sender), None)
    except FaxServiceError:
        return ""
    if page is None:
        return ""
    return UNKNOWN if page.get("document") else KNOWN


def _sender_of(fax: Mapping[str, object]) -> str:
    record = fax.get("record")
    return str(record.get("remote_id", "")).strip() if isinstance(record, Mapping) else ""
