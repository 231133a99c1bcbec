"""The files of a command as one document that can be sent: vfax send, offer, loopback.

Owns      how far the conversion is, on a terminal; Ctrl-C meanwhile.
Not here  the conversion, which a limited process does (host/convert.py).
"""

from collections.abc import Sequence
from pathlib import Path

import trio
import typer
from rich.console import Console
from rich.status import Status

from vfax.cli import exits
from vfax.cli.common import out
from vfax.cli.hosting import interruptible
from vfax.codecs.dis import Resolution
from vfax.host.convert import convert
from vfax.settings import Settings, wiring


def prepare(
    settings: Settings, files: Sequence[Path], target: Path, *, resolution: Resolution, as_json: bool = False
) -> int:
    """Write the files as one document to `target`; returns its pages. An interruption ends the command.

    Raises DocumentError or StoreError saying why there is none.
    """
    console = Console(quiet=True) if as_json else out()
    with console.status("The document is being read.") as status:
        pages = trio.run(_prepare, settings, files, target, resolution, status)
    if pages is None:
        raise typer.Exit(exits.INTERRUPTED)
    return pages


async def _prepare(
    settings: Settings, files: Sequence[Path], target: Path, resolution: Resolution, status: Status
) -> int | None:
    def observe(number: int, total: int) -> None:
        status.update(f"Page {number} of {total} is being prepared.")

    limits = wiring.convert_limits(settings)
    with trio.CancelScope() as scope:
        async with interruptible(scope.cancel):
            return await convert(files, target, resolution=resolution.title, limits=limits, observe=observe)
    return None
