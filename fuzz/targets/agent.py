"""The SIP agent with a peer that means no good: any datagrams, any orders of our owner.

Oracle    nothing raises but MisuseError for orders; what is sent parses; answers are bounded; when the peer falls
          silent and the owner hangs up, every call is released, once, and nothing is left.
"""

import random
from contextlib import suppress
from typing import Final

from fuzz import vectors
from fuzz.mutate import record, split
from fuzz.targets.sip import OPTIONS
from fuzz.targets.sip import TOKENS as TOKENS
from vfax.errors import MisuseError
from vfax.transports.parameters import T38Parameters
from vfax.transports.sip.agent import Agent
from vfax.transports.sip.message import Request, check, parse_datagram
from vfax.transports.sip.negotiation import MediaSession
from vfax.transports.sip.values import Address, Flow, Hop, IncomingCall, Released, Send, Transport

RECORDS: Final = True
OURS: Final[Address] = ("192.0.2.2", 5060)
PEER: Final[Address] = ("192.0.2.1", 5060)
SDP: Final = MediaSession(host="192.0.2.2", port=20000, parameters=T38Parameters(), session_id=7).offer_t38()
LIMIT_TURNS: Final = 5_000
SETTLED: Final = 1_000.0
ORDERS: Final = 8


class Desk:
    """An agent and all that it says."""

    def __init__(self, contact: Address = OURS, seed: int = 1) -> None:
        self.now = 0.0
        self._peer = PEER if contact is OURS else OURS
        self.agent = Agent(OPTIONS, contact=contact, dice=random.Random(seed))
        self.calls: list[int] = []
        self.released: list[int] = []
        self.said: list[bytes] = []

    def receive(self, datagram: bytes, source: Address = PEER) -> None:
        """One datagram."""
        self.agent.receive(datagram, Flow(Transport.UDP, source, OURS), self.now)
        self.collect()

    def order(self, what: int) -> None:
        """One order of the owner, which may not fit."""
        call = self.calls[what // ORDERS % len(self.calls)] if self.calls else 1
        agent, now = self.agent, self.now
        with suppress(MisuseError):
            match what % ORDERS:
                case 0:
                    agent.ring(call, now)
                case 1:
                    agent.answer(call, SDP, now)
                case 2:
                    agent.refuse(call, 486, now)
                case 3:
                    agent.offer(call, SDP, now)
                case 4:
                    agent.accept_offer(call, SDP, now)
                case 5:
                    agent.refuse_offer(call, 488, now)
                case 6:
                    agent.hang_up(call, now, "enough")
                case _:
                    uri = f"sip:fax@{self._peer[0]}"
                    targets = [Hop(Transport.UDP, *self._peer)]
                    self.calls.append(agent.invite(uri, sdp=SDP, from_user="us", targets=targets, now=now))
        self.collect()

    def wait_until(self, then: float) -> None:
        """Let time pass."""
        turns = 0
        while self.agent.next_timeout() <= then:
            turns += 1
            assert turns < LIMIT_TURNS, "time does not pass"
            self.now = max(self.now, self.agent.next_timeout())
            self.agent.handle_timeout(self.now)
            self.collect()
        self.now = max(self.now, then)

    def collect(self) -> None:
        """Take what the agent says, and check it."""
        for event in self.agent.take_events():
            if isinstance(event, IncomingCall):
                self.calls.append(event.call)
            elif isinstance(event, Released):
                assert event.call not in self.released, "released twice"
                self.released.append(event.call)
        output = self.agent.take_output()
        assert len(output) <= 4 * (len(self.calls) + 4), "an answer of many datagrams"
        for out in output:
            assert isinstance(out, Send)
            octets = out.octets
            message = parse_datagram(octets, OPTIONS)
            if isinstance(message, Request):
                check(message)  # answers repeat what they answer, sound or not
            self.said.append(octets)

    def end(self) -> None:
        """Everybody has gone."""
        for call in self.calls:
            with suppress(MisuseError):
                self.agent.hang_up(call, self.now)
            self.collect()
        self.wait_until(self.now + SETTLED)
        assert self.agent.is_empty, "something is left of a call"
        assert sorted(self.released) == sorted(self.calls)


def seeds() -> list[bytes]:
    """The torture messages each alone, and two agents' calls from the called and from the calling side."""
    alone = [record(0, 0, message) + record(1, 1) for message in vectors.sip_messages()]
    return [*alone, _whole_call(calling=False), _whole_call(calling=True)]


def _whole_call(*, calling: bool) -> bytes:
    """INVITE, 180, 200, re-INVITE, BYE between two agents: what ours heard and was told."""
    ours, theirs = Desk(), Desk(PEER, 2)
    caller, called = (ours, theirs) if calling else (theirs, ours)
    records: list[bytes] = []
    for desk, what in ((caller, 7), (called, 0), (called, 1), (caller, 3), (called, 4), (caller, 6)):
        desk.order(what)
        if desk is ours:
            records.append(record(1, 0, bytes([what])))
        for _ in range(4):
            for source, target, address in ((ours, theirs, OURS), (theirs, ours, PEER)):
                said, source.said = source.said, []
                for octets in said:
                    target.receive(octets, address)
                    if target is ours:
                        records.append(record(0, 1, octets))
    return b"".join(records)


def run(data: bytes) -> None:
    """Records: kind 0 is a datagram, 1 an order, 2 a datagram of a stranger; time in steps of 100 ms squared."""
    desk = Desk()
    for kind, time, octets in split(data)[:400]:
        desk.wait_until(desk.now + 0.1 * time * time / 16)
        if kind == 1:
            desk.order(octets[0] if octets else 0)
        else:
            desk.receive(octets, ("198.51.100.9", 5060) if kind == 2 else PEER)
    desk.end()
