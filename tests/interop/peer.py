"""A small SIP/UDPTL endpoint around libspandsp: the other side of a call, with nothing of vfax in it.

Owns      `SpandspPeer` (one SIP address, calls made and taken, a registration), its transactions.
Not here  a call (peer_call.py), how messages travel (peer_wires.py), credentials (digest_plain.py), the fax engine
          (spandsp.py), packet and text forms (udptl_plain.py, sip_plain.py), captures (transcript.py).
Source    RFC 3261 and T.38 Annex D, as little of them as a fax call needs.

All times come from trio's clock, so that a MockClock scales both sides of a call alike.
"""

import itertools
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import trio

from tests.certs import Credentials
from tests.interop.digest_plain import Guard, Login
from tests.interop.peer_call import ALLOW, GIVE_UP, T1, T2, PeerCall
from tests.interop.peer_values import CallResult, Ending, Fault, Habits, Way
from tests.interop.peer_wires import Hop, Wires, drain, open_socket
from tests.interop.sip_plain import Message, NotSipError, compose, parameter, respond
from tests.interop.spandsp import FrameSeen
from tests.interop.transcript import Address, Transcript

__all__ = [
    "CallResult",
    "Ending",
    "Fault",
    "Guard",
    "Habits",
    "Hop",
    "Login",
    "SpandspPeer",
    "Way",
    "drain",
    "open_peer",
    "open_socket",
]

RETRY_STATUSES: Final = (401, 407)


class SpandspPeer:
    """One SIP address. `call` makes a call, `listen` takes the next one; several may run at once."""

    def __init__(
        self,
        host: str,
        port: int,
        nursery: trio.Nursery,
        *,
        keep: bool = True,
        guard: Guard | None = None,
        keys: Credentials | None = None,
    ) -> None:
        self._sock = open_socket(host, port)
        self._wires = Wires(self._sock, nursery, self._receive, keys)
        self.guard = guard
        self.address: Address = self._sock.getsockname()
        self.transcript = Transcript()
        self._keep = keep
        self._nursery = nursery
        self._ids = itertools.count(1)
        self._waiting: dict[tuple[str, str], trio.MemorySendChannel[Message]] = {}
        self._acks: dict[tuple[str, int], tuple[bytes, Hop]] = {}
        self._answers: dict[tuple[str, str, int], tuple[bytes, Hop]] = {}
        self._calls: dict[str, PeerCall] = {}
        self._invitations, self._inbox = trio.open_memory_channel[tuple[PeerCall, Message]](64)
        self.silent = False
        self.on_sip: Callable[[Message], None] = lambda message: None

    @property
    def uri(self) -> str:
        """Where this peer can be called."""
        return f"sip:spandsp@{self.address[0]}:{self.address[1]}"

    # Calls

    async def call(self, uri: str, document: Path, habits: Habits | None = None) -> CallResult:
        """Call `uri` and send the TIFF `document`."""
        call = PeerCall(self, habits or Habits(), document, caller=True, call_id=f"{self.unique()}@{self.address[0]}")
        return await self._own(call, lambda: call.dial(uri))

    async def listen(self, document: Path, habits: Habits | None = None) -> CallResult:
        """Take the next call (which may be waiting already) and receive into the TIFF `document`."""
        call, invite = await self._inbox.receive()
        call.adopt(habits or Habits(), document)
        return await self._own(call, lambda: call.take(invite))

    def frames(self) -> list[FrameSeen]:
        """T.30 frames of the calls that run, so far."""
        return [frame for call in self._calls.values() for frame in call.frames()]

    async def _own(self, call: PeerCall, work: Callable[[], Awaitable[None]]) -> CallResult:
        self._calls[call.call_id] = call
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(call.watch_sockets)
                with trio.move_on_after(call.habits.patience):
                    await work()
                nursery.cancel_scope.cancel()
            return call.result()
        finally:
            call.close()

    def forget(self, call: PeerCall) -> None:
        """The call is over; its BYE is still answered from memory."""
        self._calls.pop(call.call_id, None)

    def unique(self) -> str:
        """A token that no other message of this peer has."""
        return f"{self.address[1]}x{next(self._ids)}"

    # Wire

    def via(self, hop: Hop) -> str:
        """A Via value with a fresh branch for a message to `hop`."""
        host, port = self.address
        return f"SIP/2.0/{hop.transport.upper()} {host}:{port};rport;branch=z9hG4bK{self.unique()}"

    def contact(self, user: str, transport: str = "udp") -> str:
        """A Contact value of ours."""
        host, port = self.address
        return f"<sip:{user}@{host}:{port}{'' if transport == 'udp' else f';transport={transport}'}>"

    def send(self, octets: bytes, hop: Hop) -> None:
        """Send one SIP message."""
        if self.silent:
            return
        if self._keep:
            self.transcript.keep(trio.current_time(), "sip", self.address, hop.address, octets)
        self._wires.send(octets, hop)

    def kept(self, kind: str, source: Address, target: Address, octets: bytes) -> None:
        """Remember a media datagram."""
        if self._keep:
            self.transcript.keep(trio.current_time(), kind, source, target, octets)

    @property
    def connections(self) -> int:
        """How many connections this peer opened."""
        return self._wires.connections

    async def run(self) -> None:
        """Read the SIP socket until cancelled."""
        await self._wires.run()

    async def listen_tcp(self) -> None:
        """Take SIP over TCP, too, at the same port, until cancelled."""
        await self._wires.listen()

    def _receive(self, octets: bytes, source: Hop) -> None:
        if self.silent:
            return
        if self._keep:
            self.transcript.keep(trio.current_time(), "sip", source.address, self.address, octets)
        try:
            message = Message.parse(octets)
        except NotSipError:
            return
        self.on_sip(message)
        if message.status:
            self._receive_response(message)
        else:
            self._receive_request(message, source)

    def _receive_response(self, message: Message) -> None:
        final_invite = message.status >= 200 and message.method == "INVITE"
        known = self._acks.get((message.get("call-id"), message.cseq))
        if final_invite and known:
            self.send(*known)
        waiting = self._waiting.get((message.branch, message.method))
        if waiting is not None:
            waiting.send_nowait(message)

    def _receive_request(self, message: Message, source: Hop) -> None:
        key = (message.get("call-id"), message.method, message.cseq)
        call = self._calls.get(message.get("call-id"))
        if message.method == "ACK":
            if call is not None:
                call.receive_ack(message)
        elif key in self._answers:
            self.send(*self._answers[key])
        elif self.guard is not None and (challenges := self.guard.check(message)) is not None:
            self.answer(message, source, self.guard.status, challenges)
        elif message.method == "OPTIONS":
            self.answer(message, source, 200, [ALLOW, ("Accept", "application/sdp")])
        elif message.method == "INVITE" and call is None and not parameter(message.get("to"), "tag"):
            self._receive_invite(message, source)
        elif call is None:
            self.answer(message, source, 481, [])
        else:
            call.receive_request(message, source)

    def _receive_invite(self, message: Message, source: Hop) -> None:
        call = PeerCall(self, Habits(), Path(), caller=False, call_id=message.get("call-id"))
        call.source = source
        self._calls[call.call_id] = call
        self.answer(message, source, 100, [])
        self._invitations.send_nowait((call, message))

    def answer(
        self,
        request: Message,
        target: Hop,
        status: int,
        extra: list[tuple[str, str]],
        body: str = "",
        tag: str = "",
    ) -> bytes:
        """Answer a request, and its repeats with the same octets."""
        octets = respond(request, status, extra, body, tag=tag or "peer")
        self._answers[request.get("call-id"), request.method, request.cseq] = (octets, target)
        self.send(octets, target)
        return octets

    # Registration

    async def register(
        self, registrar: str, login: Login, *, expires: int = 60, transport: str = "udp"
    ) -> Message | None:
        """Register `login.user` at a registrar (a numeric URI), with digest if it asks; gives the last answer."""
        hop, call_id, fields = Hop.of(registrar), f"register-{self.unique()}", [("Expires", str(expires))]
        answer = None
        for cseq in (1, 2):
            to = f"<sip:{login.user}@{hop.host}:{hop.port}>"
            headers = [
                ("Via", self.via(hop)),
                ("Max-Forwards", "70"),
                ("From", f"{to};tag={self.unique()}"),
                ("To", to),
            ]
            headers += [("Call-ID", call_id), ("CSeq", f"{cseq} REGISTER")]
            headers += [("Contact", self.contact(login.user, transport)), *fields]
            answer = await self.transact(compose(f"REGISTER {registrar} SIP/2.0", headers), hop, invite=False)
            if answer is None or answer.status not in RETRY_STATUSES:
                break
            fields += login.credentials(answer, "REGISTER", registrar)
        return answer

    # Client transactions

    async def transact(self, octets: bytes, target: Hop, *, invite: bool) -> Message | None:
        """Send a request until a final answer comes; None when nothing comes for 64*T1."""
        request = Message.parse(octets)
        to_us, answers = trio.open_memory_channel[Message](100)
        key = (request.branch, request.method)
        self._waiting[key] = to_us
        try:
            return await self._await_final(octets, target, answers, invite=invite)
        finally:
            del self._waiting[key]

    async def _await_final(
        self, octets: bytes, target: Hop, answers: trio.MemoryReceiveChannel[Message], *, invite: bool
    ) -> Message | None:
        interval, give_up = T1, trio.current_time() + GIVE_UP
        self.send(octets, target)
        repeats = target.transport == "udp"
        while trio.current_time() < give_up:
            with trio.move_on_at(min(give_up, trio.current_time() + interval)):
                answer = await answers.receive()
                if answer.status >= 200:
                    return answer
                interval, give_up = (math.inf, math.inf) if invite else (T2, give_up)
                continue
            if repeats:
                self.send(octets, target)
            interval = interval * 2 if invite else min(interval * 2, T2)
        return None

    def acknowledge(self, octets: bytes, target: Hop, call_id: str, cseq: int) -> None:
        """Send an ACK, and again for every repeat of the final answer."""
        self._acks[call_id, cseq] = (octets, target)
        self.send(octets, target)

    def start(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run a coroutine function beside the calls."""
        self._nursery.start_soon(work)

    def close(self) -> None:
        """Close the SIP socket."""
        self._sock.close()


@asynccontextmanager
async def open_peer(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    keep: bool = True,
    guard: Guard | None = None,
    tcp: bool = False,
    keys: Credentials | None = None,
) -> AsyncIterator[SpandspPeer]:
    """A peer that listens at host:port (0: any free port) while the block runs.

    `keep`: with a transcript. `guard` challenges what others ask. `tcp`: it listens on TCP, too. `keys`: for TLS.
    """
    async with trio.open_nursery() as nursery:
        peer = SpandspPeer(host, port, nursery, keep=keep, guard=guard, keys=keys)
        try:
            nursery.start_soon(peer.run)
            if tcp:
                nursery.start_soon(peer.listen_tcp)
            yield peer
            nursery.cancel_scope.cancel()
        finally:
            peer.close()
