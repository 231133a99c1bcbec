"""A small SIP/UDPTL endpoint around libspandsp: the other side of a call, with nothing of vfax in it.

Owns      `SpandspPeer` (one SIP address, calls made and taken), the habits and faults that a test can ask for.
Not here  the fax engine (spandsp.py), packet and text forms (udptl_plain.py, sip_plain.py), captures (transcript.py).
Source    RFC 3261 and T.38 Annex D, as little of them as a fax call needs.

All times come from trio's clock, so that a MockClock scales both sides of a call alike.
"""

import itertools
import math
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Final

import trio

from tests.interop.sip_plain import (
    Media,
    Message,
    NotSipError,
    address_uri,
    audio_line,
    compose,
    declined_line,
    host_port,
    image_line,
    parameter,
    parse_sdp,
    respond,
    write_sdp,
)
from tests.interop.spandsp import Abilities, FrameSeen, SpandspTerminal, Verdict
from tests.interop.transcript import Address, Transcript
from tests.interop.udptl_plain import BadDatagramError, Packer, Protection, Unpacker, is_image

T1: Final = 0.5
T2: Final = 4.0
GIVE_UP: Final = 64 * T1
TICK: Final = 0.02
MAX_DATAGRAM: Final = 400  # what image_line announces
ALLOW: Final = ("Allow", "INVITE, ACK, BYE, CANCEL, OPTIONS")
SOCKET_BUFFER: Final = 1 << 20


class Way(Enum):
    """How the call gets into T.38."""

    DIRECT = auto()  # calling: offer T.38 in the INVITE. Called: accept T.38, refuse audio
    AUDIO_THEN_ASK = auto()  # audio first, then we send the re-INVITE
    AUDIO_THEN_WAIT = auto()  # audio first, then we wait for theirs
    REFUSE_T38 = auto()  # audio first; every T.38 offer hears 488


class Fault(Enum):
    """What goes wrong in the middle of page `fault_page`."""

    NONE = auto()
    VANISH = auto()  # no packet and no SIP message any more
    HANG_UP = auto()  # BYE


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How the peer behaves in one call."""

    way: Way = Way.DIRECT
    abilities: Abilities = field(default_factory=Abilities)
    fault: Fault = Fault.NONE
    fault_page: int = 1
    fault_after_packets: int = 20
    ask_after: float = 0.2  # from ACK to our re-INVITE
    ring_for: float = 0.0  # from 180 to our final answer
    refuse_with: int = 0  # a status for every call instead of an answer
    glare: int = 0  # so many of their re-INVITEs hear 491
    protection: Protection = Protection.REDUNDANCY
    depth: int = 3
    lose: Callable[[int], bool] = lambda index: False  # which of our UDPTL datagrams (counted from 0) never leave
    patience: float = 600.0
    watch_frames: bool = True
    sends: bool | None = None  # None: the caller sends; else polling
    user: str = "spandsp"


class Ending(Enum):
    """Who said BYE."""

    US = auto()
    THEM = auto()
    NOBODY = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class CallResult:
    """How a call went for the peer. `status` is the final answer to the first INVITE, 0 if there was none."""

    status: int
    verdict: Verdict | None
    ending: Ending
    frames: list[FrameSeen]
    complaints: list[str]  # what the other side did wrong on the wire
    asked_them: int  # final answer to our re-INVITE, 0 if there was none
    asked_us: int  # how many re-INVITEs they sent
    audio: bytes  # G.711 octets heard
    recovered: int  # packets that came back from redundancy

    @property
    def ok(self) -> bool:
        """Did libspandsp say OK?"""
        return self.verdict is not None and self.verdict.ok

    def heard(self) -> list[str]:
        """Names of T.30 frames received, without page data."""
        return [f.name for f in self.frames if f.incoming and f.name not in ("FCD", "RCP")]

    def said(self) -> list[str]:
        """Names of T.30 frames sent, without page data."""
        return [f.name for f in self.frames if not f.incoming and f.name not in ("FCD", "RCP")]


def open_socket(host: str, port: int = 0) -> socket.socket:
    """A bound UDP socket that never blocks."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER)
    sock.bind((host, port))
    return sock


def drain(sock: socket.socket) -> list[tuple[bytes, Address]]:
    """All datagrams that wait."""
    got = []
    while True:
        try:
            got.append(sock.recvfrom(65535))
        except (BlockingIOError, ConnectionRefusedError):
            return got


def post(sock: socket.socket, octets: bytes, target: Address) -> None:
    """Send one datagram; a full or refused socket loses it, as UDP may."""
    try:
        sock.sendto(octets, target)
    except (BlockingIOError, ConnectionRefusedError):
        return


class SpandspPeer:
    """One SIP address. `call` makes a call, `listen` takes the next one; several may run at once."""

    def __init__(self, host: str, port: int, nursery: trio.Nursery, *, keep: bool = True) -> None:
        self._sock = open_socket(host, port)
        self.address: Address = self._sock.getsockname()
        self.transcript = Transcript()
        self._keep = keep
        self._nursery = nursery
        self._ids = itertools.count(1)
        self._waiting: dict[tuple[str, str], trio.MemorySendChannel[Message]] = {}
        self._acks: dict[tuple[str, int], tuple[bytes, Address]] = {}
        self._answers: dict[tuple[str, str, int], tuple[bytes, Address]] = {}
        self._calls: dict[str, _Call] = {}
        self._invitations, self._inbox = trio.open_memory_channel[tuple["_Call", Message]](64)
        self.silent = False
        self.on_sip: Callable[[Message], None] = lambda message: None

    @property
    def uri(self) -> str:
        """Where this peer can be called."""
        return f"sip:spandsp@{self.address[0]}:{self.address[1]}"

    # Calls

    async def call(self, uri: str, document: Path, habits: Habits | None = None) -> CallResult:
        """Call `uri` and send the TIFF `document`."""
        call = _Call(self, habits or Habits(), document, caller=True, call_id=f"{self.unique()}@{self.address[0]}")
        return await self._own(call, lambda: call.dial(uri))

    async def listen(self, document: Path, habits: Habits | None = None) -> CallResult:
        """Take the next call (which may be waiting already) and receive into the TIFF `document`."""
        call, invite = await self._inbox.receive()
        call.adopt(habits or Habits(), document)
        return await self._own(call, lambda: call.take(invite))

    def frames(self) -> list[FrameSeen]:
        """T.30 frames of the calls that run, so far."""
        return [frame for call in self._calls.values() for frame in call.frames()]

    async def _own(self, call: "_Call", work: Callable[[], Awaitable[None]]) -> CallResult:
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

    def forget(self, call: "_Call") -> None:
        """The call is over; its BYE is still answered from memory."""
        self._calls.pop(call.call_id, None)

    def unique(self) -> str:
        """A token that no other message of this peer has."""
        return f"{self.address[1]}x{next(self._ids)}"

    # Wire

    def send(self, octets: bytes, target: Address) -> None:
        """Send one SIP message."""
        if self.silent:
            return
        if self._keep:
            self.transcript.keep(trio.current_time(), "sip", self.address, target, octets)
        post(self._sock, octets, target)

    def kept(self, kind: str, source: Address, target: Address, octets: bytes) -> None:
        """Remember a media datagram."""
        if self._keep:
            self.transcript.keep(trio.current_time(), kind, source, target, octets)

    async def run(self) -> None:
        """Read the SIP socket until cancelled."""
        while True:
            await trio.lowlevel.wait_readable(self._sock)
            for octets, source in drain(self._sock):
                if not self.silent:
                    self._receive(octets, source)

    def _receive(self, octets: bytes, source: Address) -> None:
        if self._keep:
            self.transcript.keep(trio.current_time(), "sip", source, self.address, octets)
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

    def _receive_request(self, message: Message, source: Address) -> None:
        key = (message.get("call-id"), message.method, message.cseq)
        call = self._calls.get(message.get("call-id"))
        if message.method == "ACK":
            if call is not None:
                call.receive_ack(message)
        elif key in self._answers:
            self.send(*self._answers[key])
        elif message.method == "OPTIONS":
            self.answer(message, source, 200, [ALLOW, ("Accept", "application/sdp")])
        elif message.method == "INVITE" and call is None and not parameter(message.get("to"), "tag"):
            self._receive_invite(message, source)
        elif call is None:
            self.answer(message, source, 481, [])
        else:
            call.receive_request(message, source)

    def _receive_invite(self, message: Message, source: Address) -> None:
        call = _Call(self, Habits(), Path(), caller=False, call_id=message.get("call-id"))
        call.source = source
        self._calls[call.call_id] = call
        self.answer(message, source, 100, [])
        self._invitations.send_nowait((call, message))

    def answer(
        self,
        request: Message,
        target: Address,
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

    # Client transactions

    async def transact(self, octets: bytes, target: Address, *, invite: bool) -> Message | None:
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
        self, octets: bytes, target: Address, answers: trio.MemoryReceiveChannel[Message], *, invite: bool
    ) -> Message | None:
        interval, give_up = T1, trio.current_time() + GIVE_UP
        self.send(octets, target)
        while trio.current_time() < give_up:
            with trio.move_on_at(min(give_up, trio.current_time() + interval)):
                answer = await answers.receive()
                if answer.status >= 200:
                    return answer
                interval, give_up = (math.inf, math.inf) if invite else (T2, give_up)
                continue
            self.send(octets, target)
            interval = interval * 2 if invite else min(interval * 2, T2)
        return None

    def acknowledge(self, octets: bytes, target: Address, call_id: str, cseq: int) -> None:
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
async def open_peer(host: str = "127.0.0.1", port: int = 0, *, keep: bool = True) -> AsyncIterator[SpandspPeer]:
    """A peer that listens at host:port (0: any free port) while the block runs; `keep`: with a transcript."""
    async with trio.open_nursery() as nursery:
        peer = SpandspPeer(host, port, nursery, keep=keep)
        try:
            nursery.start_soon(peer.run)
            yield peer
            nursery.cancel_scope.cancel()
        finally:
            peer.close()


class _Call:
    """One call: its dialog, its sockets and its terminal."""

    def __init__(self, peer: SpandspPeer, habits: Habits, document: Path, *, caller: bool, call_id: str) -> None:
        self.peer = peer
        self.habits = habits
        self.document = document
        self.caller = caller
        self.call_id = call_id
        self.source: Address = ("", 0)
        self.tag = peer.unique()
        # dialog
        self._local = f"<sip:{habits.user}@{peer.address[0]}:{peer.address[1]}>"
        self._remote = ""
        self._target = ""
        self._routes: list[str] = []
        self._cseq = 0
        self._sdp_version = 0
        self._asking = False
        self._glares = 0
        self.acked = trio.Event()
        self._acked_cseq = 0
        self.over = trio.Event()  # BYE either way, or CANCEL
        self.cancelled = False
        self.ending = Ending.NOBODY
        self.status = 0
        self.asked_them = 0
        self.asked_us = 0
        # media
        host = peer.address[0]
        self._audio_sock = open_socket(host)
        self._image_sock = open_socket(host)
        self._audio_target: Address | None = None
        self._image_target: Address | None = None
        self._terminal: SpandspTerminal | None = None
        self._packer = Packer()
        self._unpacker = Unpacker()
        self._early: list[bytes] = []
        self._sent = 0
        self._page_packets = 0
        self._page = 0
        self._rtp_number = 0
        self._frames: list[FrameSeen] = []
        self._verdict: Verdict | None = None
        self.audio = bytearray()
        self.complaints: list[str] = []

    def adopt(self, habits: Habits, document: Path) -> None:
        """Take over what `listen` was asked for."""
        self.habits, self.document = habits, document
        self._local = f"<sip:{habits.user}@{self.peer.address[0]}:{self.peer.address[1]}>"

    # Calling

    async def dial(self, uri: str) -> None:
        """Make the call, have the fax, end it."""
        self._remote, self._target = f"<{uri}>", uri
        answer = await self._invite(self._offer(image=self.habits.way is Way.DIRECT))
        self.status = answer.status if answer else 0
        if answer is None or answer.status >= 300:
            return
        self._take_answer(answer.body)
        await self._fax()

    async def _invite(self, sdp: str) -> Message | None:
        """INVITE or re-INVITE, with its ACK."""
        octets, where = self._request("INVITE", sdp)
        answer = await self.peer.transact(octets, where, invite=True)
        if answer is None:
            return None
        if answer.status < 300:
            self._remote = answer.get("to")
            self._target = address_uri(answer.get("contact")) or self._target
            if not self._routes:
                self._routes = [r.strip() for v in answer.all("record-route") for r in v.split(",")][::-1]
            ack, where = self._request("ACK", cseq=answer.cseq)
        else:
            request = Message.parse(octets)
            ack = compose(
                request.first.replace("INVITE", "ACK", 1),
                [
                    ("Via", request.get("via")),
                    ("Max-Forwards", "70"),
                    ("From", request.get("from")),
                    ("To", answer.get("to")),
                    ("Call-ID", self.call_id),
                    ("CSeq", f"{answer.cseq} ACK"),
                ],
            )
        self.peer.acknowledge(ack, where, self.call_id, answer.cseq)
        return answer

    def _request(self, method: str, sdp: str = "", cseq: int | None = None) -> tuple[bytes, Address]:
        if cseq is None:
            self._cseq += 1
            cseq = self._cseq
        host, port = self.peer.address
        headers = [
            ("Via", f"SIP/2.0/UDP {host}:{port};rport;branch=z9hG4bK{self.peer.unique()}"),
            ("Max-Forwards", "70"),
            *[("Route", route) for route in self._routes],
            ("From", f"{self._local};tag={self.tag}"),
            ("To", self._remote),
            ("Call-ID", self.call_id),
            ("CSeq", f"{cseq} {method}"),
            ("Contact", self._local),
            ALLOW,
        ]
        where = host_port(address_uri(self._routes[0]) if self._routes else self._target)
        return compose(f"{method} {self._target} SIP/2.0", headers, sdp), where

    # Being called

    async def take(self, invite: Message) -> None:
        """Ring, answer, have the fax, end it."""
        self._remote = invite.get("from")
        self._target = address_uri(invite.get("contact"))
        self._routes = [r.strip() for v in invite.all("record-route") for r in v.split(",")]
        self.peer.answer(invite, self.source, 180, [("Contact", self._local)], tag=self.tag)
        with trio.move_on_after(self.habits.ring_for):
            await self.over.wait()
        if self.cancelled:
            self.status = 487
            await self._insist(invite, self.source, 487, "")
            return
        self.status, sdp = self._choose(parse_sdp(invite.body))
        await self._insist(invite, self.source, self.status, sdp)
        if self.status == 200:
            await self._fax()

    def _choose(self, offer: list[Media]) -> tuple[int, str]:
        """Status and body of our answer to an offer; starts what was agreed."""
        if self.habits.refuse_with and not self.status:
            return self.habits.refuse_with, ""
        image = next((m for m in offer if m.live_image), None)
        audio = next((m for m in offer if m.live_audio), None)
        first = not self.status
        wants_image = self.habits.way is Way.DIRECT if first else self.habits.way is not Way.REFUSE_T38
        chosen = image if image and wants_image else audio if audio and self.habits.way is not Way.DIRECT else None
        if chosen is None:
            return 488, ""
        self._use(chosen)
        return 200, self._describe([self._line(chosen.kind) if m is chosen else declined_line(m) for m in offer])

    async def _insist(self, request: Message, target: Address, status: int, sdp: str) -> None:
        """Answer an INVITE until its ACK comes."""
        contact = [("Contact", self._local), ALLOW]
        self.acked = trio.Event()
        self._acked_cseq = request.cseq
        octets = self.peer.answer(request, target, status, contact, sdp, tag=self.tag)
        interval, give_up = T1, trio.current_time() + GIVE_UP
        while trio.current_time() < give_up:
            with trio.move_on_after(interval):
                await self.acked.wait()
                return
            self.peer.send(octets, target)
            interval = min(interval * 2, T2)
        self.complaints.append(f"no ACK for our {status}")

    def receive_ack(self, message: Message) -> None:
        """An ACK of this dialog."""
        if message.cseq == self._acked_cseq:
            self.acked.set()

    def receive_request(self, message: Message, source: Address) -> None:
        """A request inside the dialog (or the CANCEL of its INVITE)."""
        if message.method == "BYE":
            self.peer.answer(message, source, 200, [], tag=self.tag)
            self._end(Ending.THEM)
        elif message.method == "CANCEL":
            self.peer.answer(message, source, 200, [], tag=self.tag)
            if not self.status:
                self.cancelled = True
                self.over.set()
        elif message.method == "INVITE":
            self._receive_reinvite(message, source)
        else:
            self.peer.answer(message, source, 405, [ALLOW], tag=self.tag)

    def _receive_reinvite(self, message: Message, source: Address) -> None:
        self.asked_us += 1
        self.peer.transcript.note(trio.current_time(), "re-INVITE received")
        if self._asking or self._glares < self.habits.glare:
            self._glares += 1
            status, sdp = 491, ""
        else:
            status, sdp = self._choose(parse_sdp(message.body))
        self.peer.start(lambda: self._insist(message, source, status, sdp))

    # Into T.38

    def _offer(self, *, image: bool) -> str:
        if not image:
            return self._describe([self._line("audio")])
        first = self._audio_target is None
        return self._describe([self._line("image")] if first else ["m=audio 0 RTP/AVP 0\r\n", self._line("image")])

    def _line(self, kind: str) -> str:
        if kind == "audio":
            return audio_line(self._audio_sock.getsockname()[1])
        able = self.habits.abilities
        return image_line(
            self._image_sock.getsockname()[1],
            version=able.t38_version,
            max_bit_rate_bps=able.max_bit_rate_bps,
            protection=self.habits.protection,
        )

    def _describe(self, lines: list[str]) -> str:
        self._sdp_version += 1
        return write_sdp(self.peer.address[0], self._sdp_version, lines)

    def _take_answer(self, sdp: str) -> bool:
        """Use what the answer to our offer accepts; False when it accepts nothing."""
        media = parse_sdp(sdp)
        live = next((m for m in media if m.live_image), None) or next((m for m in media if m.live_audio), None)
        if live is not None:
            self._use(live)
        return live is not None

    def _use(self, media: Media) -> None:
        if media.kind == "audio":
            self._audio_target = (media.host, media.port)
            self._image_target = None
            return
        self._image_target = (media.host, media.port)
        if self._terminal is None:
            self._start_fax()

    def _start_fax(self) -> None:
        self._packer = Packer(self.habits.protection, self.habits.depth)
        self._terminal = SpandspTerminal(
            self.document,
            caller=self.caller,
            sends=self.habits.sends,
            abilities=self.habits.abilities,
            watch_frames=self.habits.watch_frames,
        )
        self._terminal.advance(trio.current_time())
        self.peer.transcript.note(trio.current_time(), "T.38 starts")
        for octets in self._early:
            self._receive_udptl(octets)
        self._early.clear()

    async def _ask(self) -> None:
        """Send the re-INVITE to T.38, again after each 491, unless theirs came first."""
        for _ in range(4):
            await trio.sleep(self.habits.ask_after)
            if self._terminal is not None or self.over.is_set():
                return
            self._asking = True
            answer = await self._invite(self._offer(image=True))
            self._asking = False
            self.asked_them = answer.status if answer else 0
            if answer is not None and answer.status == 200:
                self._take_answer(answer.body)
                return
            if self.asked_them != 491:
                await self.hang_up()
                return
            await trio.sleep(3.0 if self.caller else 1.0)

    # The fax

    async def _fax(self) -> None:
        """From the answered call to its end."""
        async with trio.open_nursery() as nursery:
            if self.habits.way is Way.AUDIO_THEN_ASK:
                nursery.start_soon(self._ask)
            await self._tick_until_done()
            nursery.cancel_scope.cancel()
        if self.over.is_set() or self.peer.silent:
            return
        # The sender of the fax hangs up after its DCN; the receiver leaves that to it for a while.
        with trio.move_on_after(0.3 if self.caller else 5.0):
            await self.over.wait()
        await self.hang_up()

    async def _tick_until_done(self) -> None:
        due = trio.current_time()
        while not self.over.is_set():
            due += TICK
            with trio.move_on_at(due):
                await self.over.wait()
            if self._tick(trio.current_time()):
                return
            if self._mid_page():
                await self._fail()
                return

    def _tick(self, now: float) -> bool:
        """One beat of the media clock; True when the terminal is done."""
        if self._terminal is None:
            self._send_silence()
            return False
        self._terminal.advance(now)
        self._flush()
        return self._terminal.completion is not None

    def _flush(self) -> None:
        terminal = self._terminal
        if terminal is None or self._image_target is None or self.peer.silent:
            return
        for ifp, copies in terminal.take_output():
            self._count(ifp, sent=True)
            for _ in range(copies):
                self._send_udptl(self._packer.pack(ifp), self._image_target)

    def _send_udptl(self, octets: bytes, target: Address) -> None:
        index, self._sent = self._sent, self._sent + 1
        if self.habits.lose(index):
            return
        self.peer.kept("udptl", self._image_sock.getsockname(), target, octets)
        post(self._image_sock, octets, target)

    def _send_silence(self) -> None:
        """20 ms of G.711 silence, so that the other side has what a gateway would send."""
        if self._audio_target is None or self.peer.silent:
            return
        n = self._rtp_number = self._rtp_number + 1
        head = b"\x80\x00" + (n & 0xFFFF).to_bytes(2, "big") + (n * 160).to_bytes(4, "big") + b"fax1"
        post(self._audio_sock, head + b"\xff" * 160, self._audio_target)

    def _count(self, ifp: bytes, *, sent: bool) -> None:
        """Count the page packets of the current page (TCF comes before CFR and does not count)."""
        terminal = self._terminal
        if terminal is None or not terminal.trained or sent is not self.caller or not is_image(ifp):
            return
        if terminal.pages_done != self._page:
            self._page, self._page_packets = terminal.pages_done, 0
        self._page_packets += 1

    def _mid_page(self) -> bool:
        return (
            self.habits.fault is not Fault.NONE
            and self._page == self.habits.fault_page - 1
            and self._page_packets >= self.habits.fault_after_packets
        )

    async def _fail(self) -> None:
        self.peer.transcript.note(trio.current_time(), f"fault: {self.habits.fault.name}")
        if self.habits.fault is Fault.VANISH:
            self.peer.silent = True
        else:
            await self.hang_up()

    async def watch_sockets(self) -> None:
        """Read both media sockets until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, self._image_sock, self._receive_image)
            nursery.start_soon(self._watch, self._audio_sock, self._receive_audio)

    async def _watch(self, sock: socket.socket, receive: Callable[[bytes, Address], None]) -> None:
        while True:
            await trio.lowlevel.wait_readable(sock)
            for octets, source in drain(sock):
                if not self.peer.silent:
                    receive(octets, source)

    def _receive_audio(self, octets: bytes, source: Address) -> None:
        self.peer.kept("rtp", source, self._audio_sock.getsockname(), octets)
        self.audio += octets[12:]

    def _receive_image(self, octets: bytes, source: Address) -> None:
        self.peer.kept("udptl", source, self._image_sock.getsockname(), octets)
        if len(octets) > MAX_DATAGRAM:
            self.complaints.append(f"datagram of {len(octets)} octets, {MAX_DATAGRAM} announced")
        if self._terminal is None:
            self._early.append(octets)
        else:
            self._receive_udptl(octets)

    def _receive_udptl(self, octets: bytes) -> None:
        terminal = self._terminal
        assert terminal is not None
        try:
            packets = self._unpacker.unpack(octets)
        except BadDatagramError as why:
            self.complaints.append(f"not UDPTL: {why}: {octets[:40].hex()}")
            return
        terminal.advance(trio.current_time())
        for number, ifp in packets:
            self._count(ifp, sent=False)
            terminal.receive_ifp(ifp, number)
        self._flush()

    # The end

    async def hang_up(self) -> None:
        """Say BYE (unless they have) and wait for its answer."""
        if self.over.is_set() or self.peer.silent:
            return
        self._end(Ending.US)
        octets, where = self._request("BYE")
        answer = await self.peer.transact(octets, where, invite=False)
        if answer is None or answer.status != 200:
            self.complaints.append(f"our BYE was answered with {answer.status if answer else 'nothing'}")

    def _end(self, ending: Ending) -> None:
        if self.over.is_set():
            return
        self.ending = ending
        self.over.set()
        if self._terminal is not None and self._terminal.completion is None:
            self._terminal.terminate()

    def frames(self) -> list[FrameSeen]:
        """T.30 frames so far."""
        return self._frames if self._terminal is None else self._terminal.frames

    def result(self) -> CallResult:
        """What there is to say of the call now."""
        if self._terminal is not None:
            self._verdict, self._frames = self._terminal.verdict(), self._terminal.frames
        return CallResult(
            status=self.status,
            verdict=self._verdict,
            ending=self.ending,
            frames=self._frames,
            complaints=self.complaints,
            asked_them=self.asked_them,
            asked_us=self.asked_us,
            audio=bytes(self.audio),
            recovered=self._unpacker.recovered,
        )

    def close(self) -> None:
        """Close the sockets and the TIFF."""
        self.peer.forget(self)
        if self._terminal is not None:
            self._terminal.close()
            self._terminal = None
        self._audio_sock.close()
        self._image_sock.close()
