"""`vfax send`: one fax to one destination.

Owns      the temporary document and the verdict as an exit code. Not here: preparing documents (codecs/tiff.py).
"""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import trio

from vfax.cli import exits
from vfax.cli.common import out, print_json, watch_signals
from vfax.cli.hosting import hard_stop, running
from vfax.cli.screen import Screen, choose
from vfax.codecs import tiff
from vfax.host.records import FaxRecord
from vfax.host.service import FaxService
from vfax.settings import Settings, parse_host_port, wiring


def send(settings: Settings, files: Sequence[Path], destination: str, *, listen: str, as_json: bool) -> int:
    """Prepare the files as one document, send it, say how it went; returns the exit code.

    Raises SettingsError or DocumentError before anything is dialled.
    """
    wiring.network_towards(settings, destination, listen)  # refuse a wrong destination before reading documents
    with tempfile.TemporaryDirectory(prefix="vfax-send-") as folder:
        document = Path(folder) / "document.tif"
        tiff.prepare_document(files, document)
        with choose(out(), json=as_json) as screen:
            record, interrupted = trio.run(_send, settings, document, destination, listen, screen)
    code = exits.INTERRUPTED if interrupted and not record.ok else exits.code_of(record.cause)
    if as_json:
        print_json({"ok": record.ok, "exit": code, **record.to_json()})
    return code


async def _send(
    settings: Settings, document: Path, destination: str, listen: str, screen: Screen
) -> tuple[FaxRecord, bool]:
    network = wiring.network_towards(settings, destination, listen)
    one_line = settings.model_copy(update={"host": settings.host.model_copy(update={"lines": 1})})
    options = replace(wiring.host_options(settings), spool=document.parent / "spool", receive=False)
    service = FaxService(options, [wiring.registration(one_line, network)], observe=screen.show)
    port = parse_host_port(listen)[1] if listen else 0
    interrupted = trio.Event()
    async with running(service, port=port), trio.open_nursery() as nursery:

        def abort() -> None:
            interrupted.set()
            for job in service.running:
                service.abort(job)

        nursery.start_soon(watch_signals, abort, hard_stop)
        record = await service.submit(document, destination)
        nursery.cancel_scope.cancel()
    return record, interrupted.is_set()
