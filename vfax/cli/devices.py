"""`vfax devices`: the registered providers, how far each comes, why no further, and the devices they have.

Owns      the words and the JSON. Not here: the rows (host/roster.py), which providers are registered (settings/).
"""

from collections.abc import Iterator, Sequence

import trio
from rich.console import Console

from vfax.cli import exits
from vfax.cli.common import out, print_json
from vfax.cli.screen import say
from vfax.host.extension_book import ExtensionBook
from vfax.host.roster import DeviceRow, ProviderRow, look
from vfax.settings import Settings, wiring


def devices(settings: Settings, *, as_json: bool) -> int:
    """Look at all registered providers without initializing one; INTERNAL when one that is enabled cannot be used."""
    book = ExtensionBook(settings.host.spool)
    book.load(tidy=False)
    rows = trio.run(look, wiring.registrations(settings), wiring.load_options(settings), book)
    code = exits.OK if all(row.status in (None, 0) for row in rows) else exits.INTERNAL
    if as_json:
        print_json({"ok": code == exits.OK, "exit": code, "providers": [row.to_json() for row in rows]})
    else:
        show(out(), rows)
    return code


def show(console: Console, rows: Sequence[ProviderRow]) -> None:
    """Print the rows for people."""
    for row in rows:
        for line in _lines(row):
            say(console, line)


def _lines(row: ProviderRow) -> Iterator[str]:
    where = "in a process of its own" if row.own_process else "in the service"
    yield f"{row.provider} {row.guid}: {row.image_name}, {where}"
    if row.status is None:
        yield "  disabled: it is not loaded"
        return
    if row.reason:
        yield f"  {_with_state(row)} (last error {row.last_error})"
    elif row.initialized:
        yield f"  {row.state}"
    else:
        yield f"  {row.state}: it can be loaded; nothing was initialized to find that out"
    for device in row.devices:
        yield f"  device {device.device_id} ({device.name}){_use_of(device)}"
    if row.returning:
        yield "  its process is started again"


def _with_state(row: ProviderRow) -> str:
    """The reason, which begins with the state already where loading ended there."""
    return row.reason if row.reason.startswith(row.state) else f"{row.state}: {row.reason}"


def _use_of(device: DeviceRow) -> str:
    words = []
    if not device.receives:
        words.append("receiving is off")
    if not device.sends:
        words.append("sending is off")
    if device.job:
        words.append(f"in use by job {device.job}")
    return f": {', '.join(words)}" if words else ""
