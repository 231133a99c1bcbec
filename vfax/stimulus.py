"""A fax machine for the other side of our own device, so that its conformance can be checked over a real network.

Owns      `Machine`: a second SIP endpoint in a thread of its own, with callers and destinations as checks want them.
Not here  the checks (fsp/conformance/), providers that are not ours.

    vfax provider check vfax.device:create_provider --stimulus vfax.stimulus:Machine

It calls the address of the provider's network, in real time.
"""

import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Final

import trio

from vfax import call
from vfax.device.thread import TrioThread
from vfax.endpoint import Endpoint, EndpointOptions
from vfax.errors import FaxError, LinkError
from vfax.fsp.conformance import NotChecked
from vfax.fsp.conformance.paper import write_document
from vfax.leg import LegOptions
from vfax.transports.parameters import Dtls
from vfax.transports.udp import format_address

NUMBER: Final = "+1 555 0142"
UNDER_WAY: Final = 5.0
"""Seconds after which a call that has neither rung nor ended counts as being on its way all the same."""
BUSY_HERE: Final = 486


def _dtls_of(provider: object) -> Dtls:
    network = getattr(provider, "network", None)
    return network.options.leg.dtls if isinstance(network, Endpoint) else Dtls.OFF


class _Caller:
    """One call to the provider: `under_way` when it rings or is over, `over` when it is over."""

    def __init__(self, pages: int, breaks_after: int | None) -> None:
        self.pages = pages
        self.under_way: Future[None] = Future()
        self.over: Future[None] = Future()
        self.scope = trio.CancelScope()
        self._breaks_after = breaks_after

    def hear(self, event: call.CallEvent) -> None:
        """Take an event of the call."""
        if isinstance(event, call.Ringing | call.Answered):
            self.note_under_way()
        elif event == call.PageBegun((self._breaks_after or 0) + 1) and self._breaks_after is not None:
            self.scope.cancel()

    def note_under_way(self) -> None:
        """It rings, or will not any more."""
        if not self.under_way.done():
            self.under_way.set_result(None)


class Machine:
    """The stimulus for a provider that has its Endpoint in `network`, as those of vfax.device have.

    It encrypts where the provider does, for one that has `dtls = "required"` talks to no other machine.
    """

    def __init__(self, provider: object, configuration: Mapping[str, object]) -> None:
        self._provider = provider
        self._folder = tempfile.TemporaryDirectory(prefix="vfax-machine-")
        self._endpoint = Endpoint(EndpointOptions(listen=("127.0.0.1", 0), leg=LegOptions(dtls=_dtls_of(provider))))
        self._caller: _Caller | None = None
        self._thread = TrioThread("vfax machine")
        self._thread.start()
        self._thread.call(lambda: self._thread.nursery.start(self._run))

    # --- as the checks want it ---------------------------------------------------------------------

    def ring(self, pages: int) -> None:
        """Call the provider, to send it so many white pages. As long as it has no address nobody can call it."""
        self._call(pages, None)

    def ring_and_break_off(self, pages: int) -> None:
        """The same, but hang up when the page after those has begun."""
        self._call(pages + 1, pages)

    def give_up(self) -> None:
        """Cancel the call that rings, and return when that is done."""
        caller = self._caller
        if caller is None:
            raise NotChecked("nobody has called")
        self._inside(caller.scope.cancel)
        caller.over.result(UNDER_WAY)

    def answering(self) -> str:
        """A number of ours."""
        return self._number("answering")

    def busy(self) -> str:
        """Another one: 486."""
        return self._number("busy")

    def hanging(self) -> str:
        """One that rings and rings."""
        return self._number("hanging")

    def close(self) -> None:
        """Hang up and end."""
        self._thread.stop()
        self._folder.cleanup()

    # --- inside ------------------------------------------------------------------------------------

    async def _run(self, *, task_status: trio.TaskStatus[None]) -> None:
        await self._endpoint.run(self._take, task_status=task_status)

    def _number(self, name: str) -> str:
        return f"sip:{name}@{format_address(self._endpoint.address)}"

    def _inside(self, work: Callable[[], object]) -> None:
        async def do() -> None:
            work()

        self._thread.call(do)

    def _call(self, pages: int, breaks_after: int | None) -> None:
        network = getattr(self._provider, "network", None)
        if not isinstance(network, Endpoint):
            raise NotChecked("the provider has no Endpoint for its network, whose address could be called")
        try:
            destination = f"sip:5550100@{format_address(network.address)}"
        except LinkError:
            return
        caller = self._caller = _Caller(pages, breaks_after)
        self._inside(lambda: self._thread.nursery.start_soon(self._send, caller, destination))
        try:
            caller.under_way.result(UNDER_WAY)
        except TimeoutError:
            return

    async def _send(self, caller: _Caller, destination: str) -> None:
        document = Path(self._folder.name) / f"{caller.pages}.tif"
        write_document(document, caller.pages)
        request = call.SendRequest(document=document, destination=destination, local_id=NUMBER, caller_name="Machine")
        try:
            with caller.scope:
                await self._endpoint.outbound().send(request, publish=caller.hear)
        except FaxError:
            pass  # the call could not be made; what the provider makes of that is what is looked at
        finally:
            caller.note_under_way()
            caller.over.set_result(None)

    def _take(self, arrived: call.InboundCall) -> None:
        if "busy" in arrived.dialled:
            arrived.refuse(BUSY_HERE)
            return
        arrived.ring()
        if "answering" in arrived.dialled:
            self._thread.nursery.start_soon(self._receive, arrived)

    async def _receive(self, arrived: call.InboundCall) -> None:
        target = Path(self._folder.name) / f"{id(arrived)}.received.tif"
        target.touch()  # a folder in memory, as a rule
        await arrived.receive(target, local_id=NUMBER, publish=lambda event: None)
