"""A network inside the process for vfax's own device: calls are objects, pages are real files, time is real and short.

Owns      `MemoryNetwork` (call.Network), its calls, and `Exchange`, the stimulus over it.
Not here  the device, and what must hold of it.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import trio

from tests.fsp.toy import PAGE
from vfax.call import (
    Answered,
    Dialing,
    Identified,
    InboundCall,
    OutboundCall,
    PageBegun,
    PageDone,
    Publish,
    SendRequest,
)
from vfax.codecs import tiff
from vfax.errors import DocumentError
from vfax.outcome import Cause, Outcome, Phase
from vfax.pages import PageFolder
from vfax.verdict import without_call

PAGE_SECONDS = 0.02
ABORTED = without_call(Cause.ABORTED, "The fax was aborted on this side.", sending=False)
LOST = Outcome(cause=Cause.PEER_HUNG_UP, phase=Phase.CALL, sentence="The other side hung up.")


class MemoryCall:
    """A call in either direction; `pages` come in, or go out to `fate`."""

    def __init__(self, *, pages: int = 0, breaks_after: int | None = None, answer_after: float = 0.0) -> None:
        self.id = "call-1"
        self.caller = "+4930123456"
        self.caller_name = "Anna"
        self.dialled = "+4940654321"
        self.ended_early = trio.Event()
        self.journal_path: Path | None = None
        self._pages = pages
        self._breaks_after = breaks_after
        self._answer_after = answer_after
        self._aborted = trio.Event()

    def note(self, kind: str, **facts: str | int) -> None:
        pass

    def ring(self) -> None:
        pass

    def refuse(self, status: int) -> None:
        self.ended_early.set()

    def abort(self) -> None:
        self._aborted.set()

    async def receive(self, target: Path, *, local_id: str, publish: Publish) -> Outcome:
        if self.ended_early.is_set():
            return LOST
        publish(Answered())
        folder = PageFolder(target)
        try:
            return await self._unless_aborted(partial(self._take_pages, folder, publish), folder)
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(folder.assemble, tiff.join_pages)

    async def _take_pages(self, folder: PageFolder, publish: Publish) -> Outcome:
        publish(Identified("MEMORY"))
        for number in range(1, self._pages + 1):
            publish(PageBegun(number))
            await trio.sleep(PAGE_SECONDS)
            if self._breaks_after == number - 1:
                return LOST
            await trio.to_thread.run_sync(partial(folder.keep, number, PAGE, complete=True))
            publish(PageDone(number))
        return Outcome(cause=Cause.COMPLETE, pages_confirmed=self._pages, sentence="The fax is complete.")

    async def send(self, request: SendRequest, *, publish: Publish) -> Outcome:
        if not await trio.Path(request.document).is_file():
            raise DocumentError(f"{request.document} is not there")
        return await self._unless_aborted(partial(self._dial, request, publish), None)

    async def _dial(self, request: SendRequest, publish: Publish) -> Outcome:
        publish(Dialing())
        if "busy" in request.destination:
            return Outcome(cause=Cause.BUSY, sentence="The line is busy.")
        if "hanging" in request.destination:
            await trio.sleep_forever()
        await trio.sleep(self._answer_after)
        publish(Answered())
        pages = len(tiff.read_headers(request.document))
        for number in range(1, pages + 1):
            publish(PageBegun(number))
            publish(PageDone(number))
        return Outcome(cause=Cause.COMPLETE, pages_confirmed=pages, sentence="The fax is complete.")

    async def _unless_aborted(self, work: Callable[[], Any], folder: PageFolder | None) -> Outcome:
        outcome = ABORTED
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._heed_abort, nursery.cancel_scope)
            outcome = await work()
            nursery.cancel_scope.cancel()
        if outcome is ABORTED and folder is not None:
            await trio.to_thread.run_sync(folder.discard)
        return outcome

    async def _heed_abort(self, scope: trio.CancelScope) -> None:
        await self._aborted.wait()
        scope.cancel()


class MemoryNetwork:
    """Calls come when the exchange says so; every call out finds the fate that its destination names.

    `answer_after`: seconds until one that is answered is.
    """

    def __init__(self, *, answer_after: float = 0.0) -> None:
        self._answer_after = answer_after
        self._on_call: Callable[[InboundCall], None] | None = None
        self.token: trio.lowlevel.TrioToken | None = None

    async def run(
        self,
        on_call: Callable[[InboundCall], None],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        self._on_call = on_call
        self.token = trio.lowlevel.current_trio_token()
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            self._on_call = None

    def outbound(self) -> OutboundCall:
        return MemoryCall(answer_after=self._answer_after)

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", 5060)

    def comes(self, call: MemoryCall) -> None:
        """In the network's own run; without one nobody hears of it."""
        if self._on_call is not None:
            self._on_call(call)


class Exchange:
    """The other side, for any provider over a MemoryNetwork in its configuration."""

    def __init__(self, provider: object, configuration: Mapping[str, object]) -> None:
        network = configuration["network"]
        assert isinstance(network, MemoryNetwork)
        self._network = network
        self._last: MemoryCall | None = None

    def _inside(self, work: Callable[[], None]) -> None:
        if self._network.token is not None:
            try:
                trio.from_thread.run_sync(work, trio_token=self._network.token)
            except (trio.RunFinishedError, trio.Cancelled):
                return

    def _comes(self, **fate: Any) -> None:
        def come() -> None:
            self._last = MemoryCall(**fate)
            self._network.comes(self._last)

        self._inside(come)

    def ring(self, pages: int) -> None:
        self._comes(pages=pages)

    def give_up(self) -> None:
        assert self._last is not None
        self._inside(self._last.ended_early.set)

    def ring_and_break_off(self, pages: int) -> None:
        self._comes(pages=pages + 1, breaks_after=pages)

    def answering(self) -> str:
        return "sip:answering@192.0.2.1"

    def busy(self) -> str:
        return "sip:busy@192.0.2.1"

    def hanging(self) -> str:
        return "sip:hanging@192.0.2.1"
