"""NAT at the rim: asking how others see our sockets, keeping the ways open.

Owns      the STUN server and when it is asked; keep-alives of the SIP socket; what becomes of the answers.
Not here  STUN itself (transports/stun*.py), what peers tell of us (transports/sip/shown.py), symmetric media
          (leg_lock.py).
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

import trio

from vfax.errors import LinkError
from vfax.resolving import Finder
from vfax.sockets import Sockets
from vfax.transports.sip.agent import Agent
from vfax.transports.sip.hops import Local
from vfax.transports.sip.keepalive import KeepAlive, KeepAliveMode, KeepAliveOptions
from vfax.transports.sip.options import Dice
from vfax.transports.sip.values import Address, Destination, Flow, Hop, Send, Transport
from vfax.transports.stun_client import StunClient, StunEvent, StunOptions, Unanswered
from vfax.transports.udp import UdpSocket, format_address

STUN_PORT: Final = 3478
LOOK_AGAIN: Final = 60.0
"""Seconds until the name of a STUN server that is not known is looked up again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NatOptions:
    """What is done about a NAT between us and the others; times in seconds."""

    keep_alive: KeepAliveOptions = field(default_factory=KeepAliveOptions)
    stun_server: Address | None = None  # its name or address, and port; None: STUN is not used
    stun: StunOptions = field(default_factory=StunOptions)
    stun_media_limit: float = 2.0  # how long a call waits to hear how others see its media socket


class Nat:
    """What stands between one SIP socket and the others. `tell` hears a sentence for each thing that changes."""

    def __init__(
        self,
        options: NatOptions,
        agent: Agent,
        sockets: Sockets,
        finder: Finder,
        dice: Dice,
        tell: Callable[[str], None],
    ) -> None:
        self.mapped: Address | None = None
        """How the STUN server sees the SIP socket."""
        self._options = options
        self._agent = agent
        self._sockets = sockets
        self._bound = next((one.bound for one in agent.local.places if one.transport is Transport.UDP), None)
        self._finder = finder
        self._dice = dice
        self._tell = tell
        self._client: StunClient | None = None
        self._answered = trio.Event()
        self._own = agent.local  # what is told without STUN

    def hear(self, datagram: bytes, flow: Flow) -> bool:
        """Take a datagram of the SIP socket if it is the STUN server's answer. False when it is not."""
        client = self._client
        if client is None or flow.local != self._bound:
            return False
        if not client.receive(datagram, flow.remote, trio.current_time()):
            return False
        self._answered.set()
        return True

    async def run(self, kept: Callable[[], set[Destination]]) -> None:
        """Do all that until cancelled; `kept` are ways to keep open besides those of the calls."""
        async with trio.open_nursery() as nursery:
            if self._options.keep_alive.mode is not KeepAliveMode.OFF:
                nursery.start_soon(self._keep_open, kept)
            if self._options.stun_server is not None and self._bound is not None:
                nursery.start_soon(self._ask_stun, self._options.stun_server, self._bound)

    # --- keep-alives --------------------------------------------------------------------------------

    async def _keep_open(self, kept: Callable[[], set[Destination]]) -> None:
        keeper = KeepAlive(self._options.keep_alive, self._dice, trio.current_time())
        while True:
            await trio.sleep_until(keeper.next_timeout())
            keeper.handle_timeout(trio.current_time(), self._ways(kept()))
            for out in keeper.take_output():
                self._sockets.put(out)

    def _ways(self, kept: set[Destination]) -> set[Destination]:
        everybody = self._options.keep_alive.mode is KeepAliveMode.CRLF
        behind = self.mapped is not None and self._bound is not None and self.mapped[0] != self._bound[0]
        ways = {way for way in self._agent.peers if everybody or behind or self._agent.shown.find(way) is not None}
        return {way for way in ways | kept if way.transport is Transport.UDP}

    # --- STUN ---------------------------------------------------------------------------------------

    async def _ask_stun(self, server: Address, bound: Address) -> None:
        """Ask for the first UDP socket of SIP, again and again as the options have it."""
        name = format_address(server)
        while self._client is None:
            try:
                where = await self._finder.host(*server, bound)
            except LinkError as why:
                self._tell(f"the STUN server {name} is not asked: {why}")
                await trio.sleep(LOOK_AGAIN)
            else:
                self._client = StunClient(where, self._options.stun, self._dice)
        client = self._client
        client.begin(trio.current_time())
        while True:
            for datagram in client.take_output():
                self._sockets.put(Send(datagram, Hop(Transport.UDP, *client.server, local=bound)))
            for event in client.take_events():
                self._take(event, name, bound)
            self._answered = trio.Event()
            with trio.move_on_at(client.next_timeout()):
                await self._answered.wait()
            client.handle_timeout(trio.current_time())

    def _take(self, event: StunEvent, name: str, bound: Address) -> None:
        if isinstance(event, Unanswered):
            self.mapped, self._agent.local = None, self._own
            self._tell(f"the STUN server {name} does not say how others see us: {event.why}")
            return
        self.mapped = event.address
        places = [
            replace(place, shown=event.address) if (place.transport, place.bound) == (Transport.UDP, bound) else place
            for place in self._own.places
        ]
        self._agent.local = Local(tuple(places))
        seen = format_address(event.address)
        self._tell(f"the STUN server {name} sees our SIP socket {format_address(bound)} as {seen}")

    async def media_address(self, socket: UdpSocket) -> Address | None:
        """How others see a media socket, by its own question to the STUN server; None when it is not said in time.

        Nothing else has been sent from the socket yet; what comes that is no answer is dropped, as before a call.
        """
        if self._client is None:
            return None
        options = replace(self._options.stun, interval=0)
        client = StunClient(self._client.server, options, self._dice)
        client.begin(trio.current_time())
        with trio.move_on_after(self._options.stun_media_limit):
            while client.asking:
                for datagram in client.take_output():
                    socket.send(datagram, client.server)
                with trio.move_on_at(client.next_timeout()):
                    for datagram, source in await socket.receive():
                        client.receive(datagram, source, trio.current_time())
                if client.asking:
                    client.handle_timeout(trio.current_time())
        return client.mapped
