"""A bad road between two UDP peers on loopback: loses datagrams both ways by seeded dice.

Owns      `Relay`: each peer in front has a socket of its own behind, so that what is behind can tell them apart.
Not here  what is carried. What is behind must answer where datagrams come from (`[sip] symmetric`).

The dice are thrown for each datagram in the order in which they come: the same seed loses the same share, not the same
messages, for real processes are never quite alike.
"""

import random
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from tests.interop.peer_wires import drain, open_socket, post

Address = tuple[str, int]


@dataclass(slots=True)
class Relay:
    """Carries between those who send to `address` and `target`. `loss` is a chance from 0 to 1, each way."""

    target: Address
    loss: float
    seed: int
    nursery: trio.Nursery
    counts: Counter[str] = field(default_factory=Counter)
    _front: socket.socket = field(default_factory=lambda: open_socket("127.0.0.1"))
    _behind: dict[Address, socket.socket] = field(default_factory=dict)
    _dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)

    @property
    def address(self) -> Address:
        """Where to send to."""
        host, port = self._front.getsockname()
        return str(host), int(port)

    async def run(self) -> None:
        """Carry until cancelled."""
        while True:
            await trio.lowlevel.wait_readable(self._front)
            for octets, source in drain(self._front):
                behind = self._behind.get(source)
                if behind is None:
                    behind = self._behind[source] = open_socket("127.0.0.1")
                    self.nursery.start_soon(self._return, behind, source)
                self._carry(behind, octets, self.target, "there")

    async def _return(self, behind: socket.socket, source: Address) -> None:
        while True:
            await trio.lowlevel.wait_readable(behind)
            for octets, _ in drain(behind):
                self._carry(self._front, octets, source, "back")

    def _carry(self, by: socket.socket, octets: bytes, to: Address, way: str) -> None:
        lost = self._dice.random() < self.loss
        self.counts[f"{way} {'lost' if lost else 'carried'}"] += 1
        if not lost:
            post(by, octets, to)

    def close(self) -> None:
        """Close all sockets."""
        for one in (self._front, *self._behind.values()):
            one.close()


@asynccontextmanager
async def bad_road(target: Address, *, loss: float, seed: int) -> AsyncIterator[Relay]:
    """A relay to `target` that runs while the block runs."""
    async with trio.open_nursery() as nursery:
        relay = Relay(target, loss, seed, nursery)
        try:
            nursery.start_soon(relay.run)
            yield relay
            nursery.cancel_scope.cancel()
        finally:
            relay.close()
