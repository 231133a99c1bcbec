"""The side under test: one vfax endpoint, its calls and what it told about them.

Owns      `VfaxSide`: take the next call or make one, with outcome and events kept.
Not here  the peer (peer.py uses nothing of vfax); devices and hosts (tests/device, tests/host).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio

from tests.interop.transcript import Address
from tests.virtual import hold_for_threads
from vfax import call
from vfax.endpoint import Endpoint, EndpointOptions
from vfax.outcome import Outcome

OUR_ID = "+1 555 010 8329"


@dataclass(slots=True)
class Fax:
    """One fax of vfax: how it ended and what was told while it ran."""

    document: Path
    events: list[call.CallEvent] = field(default_factory=list)
    outcome: Outcome | None = None

    @property
    def ended(self) -> Outcome:
        """The outcome of a fax that is over."""
        assert self.outcome is not None, "the fax has not ended"
        return self.outcome

    @property
    def remote_id(self) -> str:
        """The last identity the peer gave."""
        return next((e.remote_id for e in reversed(self.events) if isinstance(e, call.Identified)), "")

    @property
    def mode(self) -> call.Negotiated | None:
        """The last mode agreed."""
        return next((e for e in reversed(self.events) if isinstance(e, call.Negotiated)), None)


class VfaxSide:
    """A running endpoint with a queue of incoming calls."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.ringing, self._inbox = trio.open_memory_channel[call.InboundCall](64)

    @property
    def address(self) -> Address:
        """Where vfax listens."""
        return self.endpoint.address

    @property
    def uri(self) -> str:
        """The SIP URI to call."""
        return f"sip:fax@{self.address[0]}:{self.address[1]}"

    async def next_call(self) -> call.InboundCall:
        """The next incoming call, ringing."""
        incoming = await self._inbox.receive()
        incoming.ring()
        return incoming

    async def receive(self, target: Path) -> Fax:
        """Answer the next call and receive into `target`."""
        fax = Fax(target)
        target.touch()  # noqa: ASYNC240 - a thread would let virtual time run on
        incoming = await self.next_call()
        fax.outcome = await incoming.receive(target, local_id=OUR_ID, publish=fax.events.append)
        return fax

    async def poll(self, target: Path, uri: str) -> Fax:
        """Call `uri` and fetch its document into `target`."""
        fax = Fax(target)
        target.touch()  # noqa: ASYNC240 - a thread would let virtual time run on
        request = call.PollRequest(destination=uri, local_id=OUR_ID, caller_name="vfax")
        fax.outcome = await self.endpoint.outbound().poll(request, target, publish=fax.events.append)
        return fax

    async def send(self, document: Path, uri: str) -> Fax:
        """Call `uri` and send `document`."""
        fax = Fax(document)
        request = call.SendRequest(document=document, destination=uri, local_id=OUR_ID, caller_name="vfax")
        fax.outcome = await self.endpoint.outbound().send(request, publish=fax.events.append)
        return fax


@asynccontextmanager
async def open_vfax(options: EndpointOptions) -> AsyncIterator[VfaxSide]:
    """A vfax endpoint with the given options, running while the block runs; holds a virtual clock for its threads."""
    side = VfaxSide(Endpoint(options, seed=1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold_for_threads)
        await nursery.start(side.endpoint.run, side.ringing.send_nowait)
        yield side
        nursery.cancel_scope.cancel()
