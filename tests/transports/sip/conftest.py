"""What the SIP tests share: one agent at a desk with a scripted peer, a lossy network of agents; time is virtual."""

import heapq
import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pytest

from vfax.transports.sip import values as sip
from vfax.transports.sip.agent import Agent
from vfax.transports.sip.hops import Local
from vfax.transports.sip.message import Message, MessageError, Request, Response, check, parse_datagram
from vfax.transports.sip.options import SipOptions
from vfax.transports.sip.sieve import Sieve
from vfax.transports.sip.values import Address, CallKey, Close, Destination, Flow, Hop, Send, SipEvent, Transport

HERE: Address = ("192.0.2.1", 5060)
PEER: Address = ("192.0.2.9", 5060)
SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=image 4000 udptl t38\r\n"


@dataclass
class Sent:
    at: float
    message: Request | Response
    way: Destination

    @property
    def to(self) -> Address:
        return self.way.address

    @property
    def word(self) -> str:
        """`BYE`, `200 INVITE`."""
        if isinstance(self.message, Request):
            return self.message.method
        return f"{self.message.status} {(self.message.headers.first('cseq') or '?').split()[-1]}"

    @property
    def sound(self) -> bool:
        """Whether a peer can read it: the answer to a malformed request carries its faults back."""
        try:
            check(self.message)
        except MessageError:
            return False
        return True


class Desk:
    """One agent, its clock, all it sent and told."""

    def __init__(
        self,
        *,
        now: float = 0.0,
        seed: int = 1,
        contact: Address | Local = HERE,
        sieve: Sieve | None = None,
        **options: Any,
    ) -> None:
        self.options = SipOptions(**options)
        self.sieve = sieve
        self.agent = Agent(self.options, contact=contact, dice=random.Random(seed), now=now, sieve=sieve)
        self.now = now
        self.sent: list[Sent] = []
        self.closed: list[Flow] = []
        self.events: list[SipEvent] = []
        self.seen: list[sip.MessageSeen] = []

    def collect(self) -> None:
        for out in self.agent.take_output():
            match out:
                case Send(octets, to):
                    self.sent.append(Sent(self.now, parse_datagram(octets, self.options), to))
                case Close(flow):
                    self.closed.append(flow)
        for event in self.agent.take_events():
            if isinstance(event, sip.MessageSeen):
                self.seen.append(event)
            else:
                self.events.append(event)

    def wait_until(self, time: float) -> None:
        """Run every deadline up to and including `time`."""
        while (due := self.agent.next_timeout()) <= time:
            self.now = max(self.now, due)
            self.agent.handle_timeout(self.now)
            self.collect()
        self.now = time

    def drain(self) -> None:
        """Run until nothing is pending."""
        while (due := self.agent.next_timeout()) < math.inf:
            self.wait_until(due)

    def receive(self, data: bytes, source: Address | Flow = PEER) -> list[Sent]:
        """Give the agent a message, by UDP from an address; what it sent at once."""
        before = len(self.sent)
        flow = source if isinstance(source, Flow) else Flow(Transport.UDP, source, HERE)
        sieve = None if flow.transport.reliable else self.sieve
        if sieve is None or sieve.admit(data, flow.remote, self.agent.knows, self.now):
            self.agent.receive(data, flow, self.now)
        self.collect()
        return self.sent[before:]

    def order(self, name: str, *args: Any, **more: Any) -> Any:
        result = getattr(self.agent, name)(*args, now=self.now, **more)
        self.collect()
        return result

    def dial(self, uri: str = "sip:9@192.0.2.9", destination: Address = PEER, **more: Any) -> CallKey:
        more = {"sdp": SDP, "from_user": "100", "targets": [Hop(Transport.UDP, *destination)]} | more
        key = self.order("invite", uri, **more)
        assert isinstance(key, int)
        return key

    def times_of(self, word: str) -> list[float]:
        return [round(sent.at, 6) for sent in self.sent if sent.word == word]

    def last(self, word: str) -> Any:
        return next(sent for sent in reversed(self.sent) if sent.word == word)

    def told(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


class Peer:
    """A scripted other side: writes requests and responses by hand."""

    def __init__(self, address: Address = PEER) -> None:
        self.address = address
        self.call_id = "call-1"
        self.tag = "theirs"
        self.our_tag = ""
        self.target = "sip:fax@192.0.2.1"

    def request(
        self,
        method: str,
        *,
        cseq: int = 1,
        branch: str = "",
        uri: str = "",
        via: str = "",
        body: bytes = b"",
        fields: Iterable[str] = (),
        contact: str = "<sip:9@192.0.2.9>",
        to_tag: str | None = None,
    ) -> bytes:
        branch = branch or f"z9hG4bK-{method}-{cseq}"
        to_tag = self.our_tag if to_tag is None else to_tag
        lines = [
            f"{method} {uri or self.target} SIP/2.0",
            via or f"Via: SIP/2.0/UDP {self.address[0]}:{self.address[1]};branch={branch}",
            "Max-Forwards: 70",
            f"From: <sip:9@example.org>;tag={self.tag}",
            "To: <sip:fax@example.com>" + (f";tag={to_tag}" if to_tag else ""),
            f"Call-ID: {self.call_id}",
            f"CSeq: {cseq} {method}",
            *([f"Contact: {contact}"] if contact else []),
            *fields,
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + body

    def response(
        self,
        request: Message,
        status: int,
        *,
        tag: str | None = None,
        body: bytes = b"",
        fields: Iterable[str] = (),
        contact: str = "<sip:9@192.0.2.9>",
    ) -> bytes:
        headers = request.headers
        to = headers.first("to") or ""
        tag = self.tag if tag is None else tag
        lines = [
            f"SIP/2.0 {status} Whatever",
            f"Via: {headers.first('via')}",
            f"From: {headers.first('from')}",
            f"To: {to}" + (f";tag={tag}" if tag and status > 100 and ";tag=" not in to else ""),
            f"Call-ID: {headers.first('call-id')}",
            f"CSeq: {headers.first('cseq')}",
            *([f"Contact: {contact}"] if contact and status > 100 else []),
            *fields,
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + body


class Network:
    """Two agents and a channel between them that loses, doubles, delays and reorders by seeded dice."""

    NAMES = ("caller", "callee")

    def __init__(self, seed: int, *, loss: float = 0.0, twice: float = 0.0, delay: float = 0.2) -> None:
        self.dice = random.Random(seed)
        self.loss, self.twice, self.delay = loss, twice, delay
        self.addresses: tuple[Address, Address] = (("198.51.100.1", 5060), ("198.51.100.2", 5060))
        self.agents = [
            Agent(SipOptions(), contact=address, dice=random.Random(seed * 10 + i), now=0.0)
            for i, address in enumerate(self.addresses)
        ]
        self.keys: list[CallKey] = [0, 0]
        self.now = 0.0
        self.events: list[list[SipEvent]] = [[], []]
        self.react: Callable[[int, SipEvent], None] = lambda side, event: None
        self._air: list[tuple[float, int, int, bytes]] = []
        self._plans: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = 0

    def at(self, time: float, act: Callable[[], None]) -> None:
        """Do something at a time."""
        self._serial += 1
        heapq.heappush(self._plans, (time, self._serial, act))

    def dial(self) -> None:
        self.keys[0] = self.agents[0].invite(
            "sip:fax@198.51.100.2",
            sdp=SDP,
            from_user="100",
            targets=[Hop(Transport.UDP, *self.addresses[1])],
            now=self.now,
        )

    def order(self, side: int, name: str, *args: Any) -> None:
        getattr(self.agents[side], name)(self.keys[side], *args, now=self.now)

    def run(self, until: float = 1e6) -> None:
        """Run until nothing is pending, or `until`."""
        while True:
            self._carry()
            dues = [self._air[0][0] if self._air else math.inf, self._plans[0][0] if self._plans else math.inf]
            due = min(*dues, *(agent.next_timeout() for agent in self.agents))
            if due == math.inf or due > until:
                return
            self.now = max(self.now, due)
            self._step()

    def _step(self) -> None:
        if self._plans and self._plans[0][0] <= self.now:
            heapq.heappop(self._plans)[2]()
        elif self._air and self._air[0][0] <= self.now:
            _, _, side, octets = heapq.heappop(self._air)
            flow = Flow(Transport.UDP, self.addresses[1 - side], self.addresses[side])
            self.agents[side].receive(octets, flow, self.now)
        else:
            for agent in self.agents:
                if agent.next_timeout() <= self.now:
                    agent.handle_timeout(self.now)

    def _carry(self) -> None:
        busy = True
        while busy:
            busy = False
            for side, agent in enumerate(self.agents):
                for out in agent.take_output():
                    assert isinstance(out, Send)
                    self._launch(1 - side, out.octets, out.to.address)
                for event in agent.take_events():
                    busy = True
                    self._note(side, event)

    def _launch(self, side: int, octets: bytes, to: Address) -> None:
        assert to == self.addresses[side]
        copies = 0 if self.dice.random() < self.loss else 2 if self.dice.random() < self.twice else 1
        for _ in range(copies):
            self._serial += 1
            due = self.now + 0.005 + self.dice.random() * self.delay
            heapq.heappush(self._air, (due, self._serial, side, octets))

    def _note(self, side: int, event: SipEvent) -> None:
        if isinstance(event, sip.MessageSeen):
            return
        self.events[side].append(event)
        if isinstance(event, sip.IncomingCall):
            self.keys[side] = event.call
        self.react(side, event)

    def told(self, side: int, kind: type[Any]) -> list[Any]:
        return [event for event in self.events[side] if isinstance(event, kind)]


@pytest.fixture
def sdp() -> bytes:
    return SDP


@pytest.fixture
def make_desk() -> type[Desk]:
    """`make_desk(**options)` gives an agent at 192.0.2.1 with its clock."""
    return Desk


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def peer() -> Peer:
    """The scripted other side at 192.0.2.9."""
    return Peer()


@pytest.fixture
def make_network() -> type[Network]:
    """`make_network(seed, loss=0.25, twice=0.1, delay=0.5)`."""
    return Network


@pytest.fixture
def incoming(desk: Desk, peer: Peer) -> Callable[..., CallKey]:
    """Bring an INVITE of the peer to the desk; gives the call."""

    def come(*, body: bytes = SDP, **more: Any) -> CallKey:
        desk.receive(peer.request("INVITE", body=body, **more))
        key = desk.told(sip.IncomingCall)[-1].call
        assert isinstance(key, int)
        return key

    return come


@pytest.fixture
def answered(desk: Desk, peer: Peer, incoming: Callable[..., CallKey]) -> Callable[..., CallKey]:
    """As `incoming`, answered and acknowledged."""

    def come(**more: Any) -> CallKey:
        key = incoming(**more)
        desk.order("answer", key, SDP)
        peer.our_tag = desk.last("200 INVITE").message.to.tag
        peer.target = desk.last("200 INVITE").message.contacts[0].uri.text
        desk.receive(peer.request("ACK", branch="z9hG4bK-ack-1"))
        return key

    return come


@pytest.fixture
def connected(desk: Desk, peer: Peer) -> Callable[..., CallKey]:
    """Dial the peer, who answers at once; gives the call."""

    def call(**more: Any) -> CallKey:
        key = desk.dial(**more)
        invite = desk.last("INVITE").message
        peer.call_id, peer.our_tag, peer.target = invite.call_id, invite.from_.tag, invite.contacts[0].uri.text
        desk.receive(peer.response(invite, 200, body=SDP))
        return key

    return call
