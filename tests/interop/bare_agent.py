"""vfax's SIP agent alone on one UDP socket of 127.0.0.1: signalling with real peers and without any media.

Owns      the socket, the agent's clock, waiting for events.
Not here  an endpoint with calls, media and journals (side.py).
"""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import trio

from vfax.transports.sip.admission import Admission
from vfax.transports.sip.agent import Agent
from vfax.transports.sip.options import SipOptions
from vfax.transports.sip.values import Flow, Hop, MessageSeen, Send, SipEvent, Transport
from vfax.transports.udp import UdpSocket

HOST: Final = "127.0.0.1"
SDP: Final = (
    b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=image 9 udptl t38\r\n"
    b"a=T38FaxVersion:0\r\na=T38FaxUdpEC:t38UDPRedundancy\r\n"
)
PATIENCE: Final = 10.0


class BareAgent:
    """One agent at work. `seen` has every message that went by, `events` what the agent told besides."""

    def __init__(self, admission: Admission | None) -> None:
        self.socket = UdpSocket.bind(HOST, 0)
        self.address = self.socket.address
        self.agent = Agent(
            SipOptions(),
            contact=self.address,
            dice=random.SystemRandom(),
            now=trio.current_time(),
            admission=admission,
        )
        self.events: list[SipEvent] = []
        self.seen: list[MessageSeen] = []
        self._told = trio.Event()
        self._armed = trio.Event()

    def order(self, name: str, *args: Any, **more: Any) -> Any:
        """An order to the agent."""
        result = getattr(self.agent, name)(*args, now=trio.current_time(), **more)
        self.pump()
        return result

    def sent(self) -> list[str]:
        """Summaries of what was sent."""
        return [seen.summary for seen in self.seen if seen.sent]

    def heard(self) -> list[str]:
        """Summaries of what came."""
        return [seen.summary for seen in self.seen if not seen.sent]

    async def wait_for(self, kind: type[Any]) -> Any:
        """The next event of a kind, which is taken off the list."""
        with trio.fail_after(PATIENCE):
            while True:
                found = next((event for event in self.events if isinstance(event, kind)), None)
                if found is not None:
                    self.events.remove(found)
                    return found
                self._told = trio.Event()
                await self._told.wait()

    async def read(self) -> None:
        """Take what comes."""
        while True:
            for datagram, source in await self.socket.receive():
                flow = Flow(Transport.UDP, source, self.address)
                self.agent.receive(datagram, flow, trio.current_time())
            self.pump()

    async def keep_time(self) -> None:
        """Run what is due."""
        while True:
            self._armed = trio.Event()
            with trio.move_on_at(self.agent.next_timeout()):
                await self._armed.wait()
            self.agent.handle_timeout(trio.current_time())
            self.pump()

    def pump(self) -> None:
        """Send and tell what the agent has to."""
        for out in self.agent.take_output():
            assert isinstance(out, Send)
            self.socket.send(out.octets, out.to.address)
        for event in self.agent.take_events():
            (self.seen if isinstance(event, MessageSeen) else self.events).append(event)  # type: ignore[arg-type]
        self._told.set()
        self._armed.set()


def hop_to(port: int) -> Hop:
    """A peer on this machine."""
    return Hop(Transport.UDP, HOST, port)


@asynccontextmanager
async def open_agent(admission: Admission | None = None) -> AsyncIterator[BareAgent]:
    """An agent that runs while the block runs."""
    one = BareAgent(admission)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.read)
        nursery.start_soon(one.keep_time)
        try:
            yield one
        finally:
            nursery.cancel_scope.cancel()
            one.socket.close()
