"""A SIP endpoint without any manners: sends exactly the octets a test wants, and keeps what comes with its time.

Owns      `RawSip`.
Not here  transactions. What sipp cannot do is done here: it repeats itself when the same answer comes twice.
Source    RFC 3261 sections 13 and 17.
"""

import itertools
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import trio

from tests.interop.peer import drain, open_socket
from tests.interop.sip_plain import Message, compose, image_line, write_sdp
from tests.interop.transcript import Address
from tests.interop.udptl_plain import Protection

CALL_ID = "raw-1@interop"


@dataclass(slots=True)
class RawSip:
    """One socket towards `target`; `heard` has everything that came, with its time."""

    sock: socket.socket
    target: Address = ("", 0)
    heard: list[tuple[float, Message]] = field(default_factory=list)
    _branches: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def address(self) -> Address:
        """Our own host and port."""
        host, port = self.sock.getsockname()
        return str(host), int(port)

    def request(self, method: str, cseq: int, *, sdp: str = "", to_tag: str = "", branch: str = "") -> bytes:
        """The octets of a request of our one call; a new branch unless one is given."""
        host, port = self.address
        to = f"<sip:fax@{self.target[0]}:{self.target[1]}>" + (f";tag={to_tag}" if to_tag else "")
        headers = [
            ("Via", f"SIP/2.0/UDP {host}:{port};rport;branch={branch or f'z9hG4bKraw{next(self._branches)}'}"),
            ("Max-Forwards", "70"),
            ("From", f"<sip:raw@{host}:{port}>;tag=raw"),
            ("To", to),
            ("Call-ID", CALL_ID),
            ("CSeq", f"{cseq} {method}"),
            ("Contact", f"<sip:raw@{host}:{port}>"),
        ]
        return compose(f"{method} sip:fax@{self.target[0]}:{self.target[1]} SIP/2.0", headers, sdp)

    def t38_offer(self) -> str:
        """An SDP offer of T.38 at a port where nobody listens."""
        return write_sdp(
            self.address[0], 1, [image_line(9, version=0, max_bit_rate_bps=14400, protection=Protection.REDUNDANCY)]
        )

    def send(self, octets: bytes) -> None:
        """Send to the target."""
        self.sock.sendto(octets, self.target)

    async def receive(self) -> Message:
        """The next message."""
        while True:
            got = drain(self.sock)
            for octets, source in got:
                self.target = self.target if self.target[1] else source
                self.heard.append((trio.current_time(), Message.parse(octets)))
            if got:
                return self.heard[-1][1]
            await trio.lowlevel.wait_readable(self.sock)

    async def receive_status(self, status: int) -> Message:
        """Wait for a response with that status (others are kept and passed over)."""
        while (message := await self.receive()).status != status:
            pass
        return message

    async def listen_for(self, seconds: float) -> None:
        """Keep what comes for a while."""
        with trio.move_on_after(seconds):
            while True:
                await self.receive()

    def statuses(self, method: str) -> list[int]:
        """Statuses heard in answer to one method."""
        return [message.status for _, message in self.heard if message.status and message.method == method]

    def times(self, first_word: str) -> list[float]:
        """When messages came whose first line starts so."""
        return [at for at, message in self.heard if message.first.startswith(first_word)]


@contextmanager
def open_raw(target: Address = ("", 0)) -> Iterator[RawSip]:
    """A raw endpoint on 127.0.0.1."""
    sock = open_socket("127.0.0.1")
    try:
        yield RawSip(sock, target)
    finally:
        sock.close()
