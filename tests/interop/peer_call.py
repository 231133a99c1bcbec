"""One call of the test peer: its dialog, its sockets and its terminal.

Owns      `PeerCall`: offers and answers, the way into T.38, the fax, the end.
Not here  transactions and who else calls (peer.py), the fax engine (spandsp.py).
Source    RFC 3261 12, 13, 14; T.38 Annex D.
"""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from tests.interop.peer_values import CallResult, Ending, Fault, Habits, Way
from tests.interop.peer_wires import Hop, drain, open_socket, post
from tests.interop.sip_plain import (
    Media,
    Message,
    address_uri,
    audio_line,
    compose,
    declined_line,
    image_line,
    parse_sdp,
    write_sdp,
)
from tests.interop.spandsp import FrameSeen, SpandspTerminal, Verdict
from tests.interop.transcript import Address
from tests.interop.udptl_plain import BadDatagramError, Packer, Unpacker, is_image

if TYPE_CHECKING:
    from tests.interop.peer import SpandspPeer

T1: Final = 0.5
T2: Final = 4.0
GIVE_UP: Final = 64 * T1
TICK: Final = 0.02
MAX_DATAGRAM: Final = 400  # what image_line announces
ALLOW: Final = ("Allow", "INVITE, ACK, BYE, CANCEL, OPTIONS")


class PeerCall:
    """One call: its dialog, its sockets and its terminal."""

    def __init__(self, peer: "SpandspPeer", habits: Habits, document: Path, *, caller: bool, call_id: str) -> None:
        self.peer = peer
        self.habits = habits
        self.document = document
        self.caller = caller
        self.call_id = call_id
        self.source = Hop("", 0)
        self.tag = peer.unique()
        # dialog
        self._local = peer.contact(habits.user, habits.transport)
        self._remote = ""
        self._from = f"{peer.contact(habits.user)};tag={self.tag}"  # where we are called: To of the INVITE
        self._target = ""
        self._routes: list[str] = []
        self._proxied = False  # the routes are those of the outbound proxy, the dialog has none of its own yet
        self._credentials: list[tuple[str, str]] = []
        self.challenged = 0
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
        self._local = self.peer.contact(habits.user, habits.transport)

    # Calling

    async def dial(self, uri: str) -> None:
        """Make the call, have the fax, end it."""
        self._remote, self._target = f"<{uri}>", uri
        if self.habits.proxy:
            self._routes, self._proxied = [f"<{self.habits.proxy};lr>"], True
        answer = await self._invite(self._offer(image=self.habits.way is Way.DIRECT))
        self.status = answer.status if answer else 0
        if answer is None or answer.status >= 300:
            return
        self._take_answer(answer.body)
        await self._fax()

    async def _invite(self, sdp: str) -> Message | None:
        """INVITE or re-INVITE, with its ACK; a challenge is answered once."""
        octets, hop = self._request("INVITE", sdp)
        answer = await self.peer.transact(octets, hop, invite=True)
        if answer is None:
            return None
        if answer.status >= 300:
            self.peer.acknowledge(self._ack_to_failure(octets, answer), hop, self.call_id, answer.cseq)
            return await self._invite(sdp) if self._has_answer_for(answer, "INVITE") else answer
        self._remote = answer.get("to")
        self._target = address_uri(answer.get("contact")) or self._target
        if self._proxied or not self._routes:
            self._routes, self._proxied = answer.listed("record-route")[::-1], False
        ack, hop = self._request("ACK", cseq=answer.cseq)
        self._credentials = []
        self.peer.acknowledge(ack, hop, self.call_id, answer.cseq)
        return answer

    def _has_answer_for(self, refusal: Message, method: str) -> bool:
        """Whether a challenge can be answered that the last request had no credentials for."""
        login = self.habits.login
        if refusal.status not in (401, 407) or login is None or self._credentials:
            self._credentials = []
            return False
        self._credentials = login.credentials(refusal, method, self._target)
        self.challenged += bool(self._credentials)
        return bool(self._credentials)

    def _ack_to_failure(self, octets: bytes, answer: Message) -> bytes:
        request = Message.parse(octets)
        headers = [("Via", request.get("via")), ("Max-Forwards", "70")]
        headers += [("Route", route) for route in request.all("route")]
        headers += [("From", request.get("from")), ("To", answer.get("to"))]
        headers += [("Call-ID", self.call_id), ("CSeq", f"{answer.cseq} ACK")]
        return compose(request.first.replace("INVITE", "ACK", 1), headers)

    def _request(self, method: str, sdp: str = "", cseq: int | None = None) -> tuple[bytes, Hop]:
        """A request of this call and where it goes; it bears the credentials that wait for it."""
        if cseq is None:
            self._cseq += 1
            cseq = self._cseq
        hop = Hop.of(address_uri(self._routes[0]) if self._routes else self._target)
        headers = [
            ("Via", self.peer.via(hop)),
            ("Max-Forwards", "70"),
            *[("Route", route) for route in self._routes],
            ("From", self._from),
            ("To", self._remote),
            ("Call-ID", self.call_id),
            ("CSeq", f"{cseq} {method}"),
            *self._credentials,
            ("Contact", self._local),
            ALLOW,
        ]
        return compose(f"{method} {self._target} SIP/2.0", headers, sdp), hop

    # Being called

    async def take(self, invite: Message) -> None:
        """Ring, answer, have the fax, end it."""
        self._remote = invite.get("from")
        self._from = f"{invite.get('to')};tag={self.tag}"
        self._target = address_uri(invite.get("contact"))
        self._routes = invite.listed("record-route")
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

    async def _insist(self, request: Message, target: Hop, status: int, sdp: str) -> None:
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

    def receive_request(self, message: Message, source: Hop) -> None:
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

    def _receive_reinvite(self, message: Message, source: Hop) -> None:
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
        octets, hop = self._request("BYE")
        answer = await self.peer.transact(octets, hop, invite=False)
        if answer is not None and self._has_answer_for(answer, "BYE"):
            octets, hop = self._request("BYE")
            answer = await self.peer.transact(octets, hop, invite=False)
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
            challenged=self.challenged,
        )

    def close(self) -> None:
        """Close the sockets and the TIFF."""
        self.peer.forget(self)
        if self._terminal is not None:
            self._terminal.close()
            self._terminal = None
        self._audio_sock.close()
        self._image_sock.close()
