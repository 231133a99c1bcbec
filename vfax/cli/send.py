"""`vfax send`: one fax to one destination.

Owns      the temporary document, where its journal goes, the verdict as an exit code.
Not here  preparing documents (documents.py).
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import trio

from vfax.cli import exits
from vfax.cli.common import make_journal_folder, out, print_json, scratch
from vfax.cli.documents import prepare
from vfax.cli.hosting import abort_when, interruptible, running
from vfax.cli.screen import Screen, choose, say
from vfax.codecs.dis import Resolution
from vfax.errors import SettingsError, StoreError
from vfax.host.outgoing import counted
from vfax.host.records import FaxRecord
from vfax.host.service import FaxService
from vfax.settings import Settings, wiring

KEPT_JOURNALS: Final = 100
"""Limit: journals of sent faxes that stay where the settings name no folder for them."""


def send(
    settings: Settings,
    files: Sequence[Path],
    destination: str,
    *,
    listen: str,
    resolution: Resolution,
    how: Mapping[str, object],
    as_json: bool,
) -> int:
    """Prepare the files as one document (images at `resolution`), send it, say how it went; returns the exit code.

    `how` goes to the device: `subaddress`, `sender_password`, `first_page`.

    Raises SettingsError, DocumentError or StoreError before anything is dialled.
    """
    wiring.network_towards(settings, destination, listen)  # refuse a wrong destination before reading documents
    journal = journal_folder(settings)
    with scratch("vfax-send-") as folder:
        document = folder / "document.tif"
        pages = prepare(settings, files, document, resolution=resolution, as_json=as_json)
        if int(str(how.get("first_page", 1))) > pages:
            raise SettingsError(f"command line: --first-page {how['first_page']}: the document has {counted(pages)}")
        with choose(out(), json=as_json) as screen:
            record, interrupted = trio.run(_send, settings, document, destination, listen, journal, how, screen)
    code = exits.INTERRUPTED if interrupted and not record.ok else exits.code_of(record.cause)
    if as_json:
        print_json({"ok": record.ok, "exit": code, **record.to_json()})
    elif record.journal and not record.ok:
        say(out(), f"What happened, event by event: {record.journal}")
    return code


def journal_folder(settings: Settings) -> Path | None:
    """The folder of the journals, made and tidied; None where none are wanted, or our own place cannot be had.

    Raises StoreError when the folder that the settings name cannot be made.
    """
    if settings.journal.folder:
        make_journal_folder(wiring.journal_folder(settings))
        return wiring.journal_folder(settings)
    if not settings.journal.enabled:
        return None
    folder = state_folder(os.environ) / "journal"
    with suppress(OSError, StoreError):
        make_journal_folder(folder)
        keep_newest(folder, KEPT_JOURNALS)
        return folder
    return None


def state_folder(environ: Mapping[str, str]) -> Path:
    """Where a command keeps what is neither settings nor faxes (XDG base directories: state)."""
    named = environ.get("XDG_STATE_HOME") or environ.get("LOCALAPPDATA", "")
    root = Path(named) if Path(named).is_absolute() else Path.home() / ".local" / "state"
    return root / "vfax"


def keep_newest(folder: Path, count: int) -> None:
    """Remove all journals but the newest `count`, each with its capture; their names begin with the time."""
    for path in sorted(folder.glob("*.jsonl"))[:-count]:
        for one in (*folder.glob(f"{path.stem}.pcap*"), path):
            one.unlink(missing_ok=True)


async def _send(
    settings: Settings,
    document: Path,
    destination: str,
    listen: str,
    journal: Path | None,
    how: Mapping[str, object],
    screen: Screen,
) -> tuple[FaxRecord, bool]:
    network = wiring.network_towards(settings, destination, listen, journal=journal)
    one_line = settings.model_copy(update={"host": settings.host.model_copy(update={"lines": 1})})
    options = replace(wiring.host_options(settings), spool=document.parent / "spool", receive=False)
    service = FaxService(options, [wiring.registration(one_line, network, **how)], observe=screen.show)
    interrupted = trio.Event()
    async with interruptible(interrupted.set), running(service), trio.open_nursery() as nursery:
        nursery.start_soon(abort_when, interrupted, service)
        record = await service.submit(document, destination)
        nursery.cancel_scope.cancel()
    return record, interrupted.is_set()
