"""Asking STUN servers at the rim: how they see the SIP socket, again and again, and each call's media socket, once.

Owns      one server: its name, its engine on the SIP socket, what it said last.
Not here  STUN itself (transports/stun*.py), who is asked and what becomes of the answers (nat.py).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import trio

from vfax.errors import LinkError
from vfax.resolving import Finder
from vfax.sockets import Sockets
from vfax.transports.sip.options import Dice
from vfax.transports.sip.values import Address, Flow, Hop, Send, Transport
from vfax.transports.stun_client import StunClient, StunEvent, StunOptions, Unanswered
from vfax.transports.udp import UdpSocket, format_address

LOOK_AGAIN: Final = 60.0
"""Seconds until the name of a STUN server that is not known is looked up again."""


@dataclass(frozen=True, slots=True)
class StunRim:
    """What asking needs: `tell` hears a sentence for each thing that changes, `changed` is called after it."""

    options: StunOptions
    bound: Address  # our first UDP socket of SIP
    sockets: Sockets
    finder: Finder
    dice: Dice
    tell: Callable[[str], None]
    changed: Callable[[], None]


class StunDesk:
    """One STUN server, by its name or address, and port."""

    def __init__(self, server: Address, rim: StunRim) -> None:
        self.mapped: Address | None = None
        """How the server sees the SIP socket."""
        self._server = server
        self._rim = rim
        self._client: StunClient | None = None
        self._answered = trio.Event()

    def hear(self, datagram: bytes, flow: Flow) -> bool:
        """Take a datagram of the SIP socket if it is the server's answer. False when it is not."""
        client = self._client
        if client is None or flow.local != self._rim.bound:
            return False
        if not client.receive(datagram, flow.remote, trio.current_time()):
            return False
        self._answered.set()
        return True

    async def run(self) -> None:
        """Ask until cancelled, as often as the options have it."""
        rim, name = self._rim, format_address(self._server)
        while self._client is None:
            try:
                where = await rim.finder.host(*self._server, rim.bound)
            except LinkError as why:
                rim.tell(f"the STUN server {name} is not asked: {why}")
                await trio.sleep(LOOK_AGAIN)
            else:
                self._client = StunClient(where, rim.options, rim.dice)
        client = self._client
        client.begin(trio.current_time())
        while True:
            for datagram in client.take_output():
                rim.sockets.put(Send(datagram, Hop(Transport.UDP, *client.server, local=rim.bound)))
            for event in client.take_events():
                self._take(event, name)
            self._answered = trio.Event()
            with trio.move_on_at(client.next_timeout()):
                await self._answered.wait()
            client.handle_timeout(trio.current_time())

    def _take(self, event: StunEvent, name: str) -> None:
        if isinstance(event, Unanswered):
            self.mapped = None
            self._rim.tell(f"the STUN server {name} does not say how others see us: {event.why}")
        else:
            self.mapped = event.address
            here, seen = format_address(self._rim.bound), format_address(event.address)
            self._rim.tell(f"the STUN server {name} sees our SIP socket {here} as {seen}")
        self._rim.changed()

    async def media_address(self, socket: UdpSocket, limit: float) -> Address | None:
        """How the server sees a media socket, by a question of its own; None when it is not said within `limit`.

        Nothing else has been sent from the socket yet; what comes that is no answer is dropped, as before a call.
        """
        if self._client is None:
            return None
        client = StunClient(self._client.server, replace(self._rim.options, interval=0), self._rim.dice)
        client.begin(trio.current_time())
        with trio.move_on_after(limit):
            while client.asking:
                for datagram in client.take_output():
                    socket.send(datagram, client.server)
                with trio.move_on_at(client.next_timeout()):
                    for datagram, source in await socket.receive():
                        client.receive(datagram, source, trio.current_time())
                if client.asking:
                    client.handle_timeout(trio.current_time())
        return client.mapped
