"""`vfax offer`: hold a document ready for machines that call and poll it.

Owns      the temporary document, what is said about each caller, the end by Ctrl-C or after one delivery.
Not here  the calls (calls.py); the service contract, which knows no polling.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import trio
from rich.console import Console

from vfax import call
from vfax.calls import IncomingFax
from vfax.cli import exits
from vfax.cli.common import out, scratch
from vfax.cli.documents import prepare
from vfax.cli.hosting import interruptible
from vfax.cli.screen import printable, tell
from vfax.cli.send import journal_folder
from vfax.cli.sockets import explain
from vfax.codecs.dis import Resolution
from vfax.endpoint import Endpoint
from vfax.errors import LinkError, only_one
from vfax.settings import Settings, wiring

BUSY = 486


def offer(
    settings: Settings, files: Sequence[Path], *, resolution: Resolution, address: str, password: str, once: bool
) -> int:
    """Prepare the files as one document and let callers poll it, until Ctrl-C or, with `once`, until one has it.

    Raises SettingsError, DocumentError or LinkError when it cannot begin.
    """
    endpoint = wiring.network(settings, journal=journal_folder(settings))
    with scratch("vfax-offer-") as folder:
        document = folder / "document.tif"
        prepare(settings, files, document, resolution=resolution)
        offered = call.Offered(
            document=document,
            local_id=settings.fax.local_id,
            name=settings.fax.name,
            poll_address=address,
            poll_password=password,
            header=settings.fax.header,
            header_timezone=settings.fax.header_timezone,
        )
        try:
            return trio.run(_Stand(endpoint, offered, settings.host.lines, once=once, console=out()).run)
        except* LinkError as group:
            raise LinkError(explain(only_one(group))) from None


class _Stand:
    """The offer while it stands: at most `lines` callers at once, the next ones hear that it is busy."""

    def __init__(self, endpoint: Endpoint, offered: call.Offered, lines: int, *, once: bool, console: Console) -> None:
        self._endpoint = endpoint
        self._offered = offered
        self._lines = lines
        self._once = once
        self._console = console
        self._callers: set[IncomingFax] = set()
        self._closing = False  # no more callers; those that are there are let go politely
        self._enough = trio.Event()
        self._nursery: trio.Nursery

    async def run(self) -> int:
        """Serve to the end; the exit code."""
        interrupted = trio.Event()
        async with trio.open_nursery() as nursery, trio.open_nursery() as self._nursery:
            await nursery.start(self._endpoint.run, self._ring)
            host, port = self._endpoint.address
            shown = f"[{host}]" if ":" in host else host
            async with interruptible(interrupted.set):
                tell(self._console, f"The document can be polled at sip:fax@{shown}:{port}")
                self._nursery.start_soon(self._stop_when, interrupted)
                await self._enough.wait()
            self._nursery.cancel_scope.cancel()
            nursery.cancel_scope.cancel()
        return exits.INTERRUPTED if self._once and interrupted.is_set() else exits.OK

    async def _stop_when(self, interrupted: trio.Event) -> None:
        await interrupted.wait()
        self._closing = True
        for caller in self._callers:
            caller.abort()
        self._end_if_over()

    def _end_if_over(self) -> None:
        if self._closing and not self._callers:
            self._enough.set()

    def _ring(self, arrived: call.InboundCall) -> None:
        assert isinstance(arrived, IncomingFax)
        if self._closing or len(self._callers) >= self._lines:
            arrived.refuse(BUSY)
            return
        self._callers.add(arrived)
        self._nursery.start_soon(self._take, arrived)

    async def _take(self, caller: IncomingFax) -> None:
        who = printable(caller.caller) or "an unknown caller"
        try:
            outcome = await caller.offer(self._offered, publish=partial(self._tell, who))
        finally:
            self._callers.discard(caller)
        tell(self._console, f"{who}: {printable(outcome.sentence)}")
        self._closing = self._closing or (outcome.ok and self._once)
        self._end_if_over()

    def _tell(self, who: str, event: call.CallEvent) -> None:
        if isinstance(event, call.PageBegun):
            tell(self._console, f"{who}: page {event.number} is going out.")
