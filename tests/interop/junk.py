"""Junk for a SIP port: what scanners, broken devices and people of ill will send, from many addresses of loopback.

    python -m tests.interop.junk HOST:PORT [--rate 5000] [--seconds 30] [--seed N] [--calls FILE]

Owns      the kinds of junk with their shares (`Junk`), the sockets it leaves by, a process that sends so much a second.
Not here  what it is sent at, and what is expected of that (flood.py, test_flood.py).
Source    what sipvicious sends (svmap, svwar, svcrack) for the scanners; RFC 3261 for what is forged.

Ends with one JSON object: messages and octets sent and octets heard in answer, by the kind of source.
"""

import argparse
import json
import random
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

Address = tuple[str, int]
ALLOWED: Final = "127.0.0.0/16"
"""The network that a target should allow: some of the junk comes from within."""
INSIDE: Final = ("127.0.0.1", "127.0.0.1", *(f"127.0.0.{n}" for n in range(2, 10)))
OUTSIDE: Final = tuple(f"127.1.0.{n}" for n in range(1, 9))
BATCH: Final = 0.002  # seconds between two bursts


@dataclass(frozen=True, slots=True)
class CallSeen:
    """A call that runs, as somebody on the way may have read it: what a forged BYE or CANCEL needs."""

    call_id: str
    from_tag: str
    to_tag: str
    branch: str


@dataclass(slots=True)
class Junk:
    """An endless row of messages, the same for the same seed. `calls` are the calls that it interferes with."""

    target: Address
    seed: int
    calls: list[CallSeen] = field(default_factory=list)
    calls_of: str = "127.0.0.1"  # the host that they come from
    _dice: random.Random = field(init=False)
    _number: int = 0

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)

    def next(self, source: Address) -> bytes:
        """The next message, as if from `source`."""
        self._number += 1
        (kind,) = self._dice.choices(tuple(KINDS), weights=tuple(KINDS.values()))
        return kind(self, source)

    def garbage(self, source: Address) -> bytes:
        """Octets without any sense, some like SIP."""
        octets = self._dice.randbytes(self._dice.choice((1, 4, 40, 300, 1300)))
        return octets if self._dice.random() < 0.8 else b"INVITE " + octets

    def options(self, source: Address) -> bytes:
        """As svmap asks."""
        return self._scan("OPTIONS", source)

    def register(self, source: Address) -> bytes:
        """As svwar and svcrack try extensions and passwords."""
        user = self._number % 9999
        guess = f'Authorization: Digest username="{user}",realm="asterisk",nonce="1",uri="sip:x",response="0"'
        return self._scan("REGISTER", source, guess)

    def invite(self, source: Address) -> bytes:
        """As svwar tries extensions; some with an offer, that a fax could be."""
        if self._dice.random() < 0.5:
            return self._scan("INVITE", source)
        media = f"m={self._dice.choice(('audio 4000 RTP/AVP 0', 'image 4000 udptl t38'))}\r\n"
        host = source[0]
        return self._scan(
            "INVITE", source, body=f"v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n{media}"
        )

    def truncated(self, source: Address) -> bytes:
        """A message that ends somewhere."""
        whole = self.invite(source)
        return whole[: self._dice.randrange(1, len(whole))]

    def bye(self, source: Address) -> bytes:
        """A BYE of somebody else's call; with its true tags, as far as somebody has read them."""
        return self._forged("BYE", source)

    def cancel(self, source: Address) -> bytes:
        """A CANCEL of somebody else's INVITE."""
        return self._forged("CANCEL", source)

    def response(self, source: Address) -> bytes:
        """An answer to nothing."""
        return self._scan("OPTIONS", source).replace(b"OPTIONS sip:100@", b"SIP/2.0 200 OK ", 1)

    def _scan(self, method: str, source: Address, *more: str, body: str = "") -> bytes:
        host, port = source
        n, mark = self._number, f"{self.seed}x{self._number}"
        lines = [
            f"{method} sip:{100 if method == 'OPTIONS' else n % 9999}@{self.target[0]}:{self.target[1]} SIP/2.0",
            f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK-{mark};rport",
            "Max-Forwards: 70",
            f'From: "sipvicious"<sip:100@1.1.1.1>;tag={mark}',
            'To: "sipvicious"<sip:100@1.1.1.1>',
            f"Call-ID: {mark}",
            f"CSeq: 1 {method}",
            f"Contact: <sip:100@{host}:{port}>",
            "Accept: application/sdp",
            "User-Agent: friendly-scanner",
            *more,
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()

    def _forged(self, method: str, source: Address) -> bytes:
        if not self.calls:
            return self._scan(method, source)
        call = self._dice.choice(self.calls)
        if (
            source[0] == self.calls_of
        ):  # whoever reads tags on the wire and forges the host of the peer has won: TLS helps
            call = replace(call, from_tag="guessed", to_tag="guessed", branch="z9hG4bKguessed")
        branch = call.branch if method == "CANCEL" else f"z9hG4bK-{self.seed}x{self._number}"
        to = "<sip:fax@x>" + (f";tag={call.to_tag}" if method == "BYE" else "")
        cseq = 1 if method == "CANCEL" else 99
        lines = [
            f"{method} sip:fax@{self.target[0]}:{self.target[1]} SIP/2.0",
            f"Via: SIP/2.0/UDP {source[0]}:{source[1]};branch={branch};rport",
            "Max-Forwards: 70",
            f"From: <sip:a@x>;tag={call.from_tag}",
            f"To: {to}",
            f"Call-ID: {call.call_id}",
            f"CSeq: {cseq} {method}",
            "Content-Length: 0",
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


Kind = Callable[[Junk, Address], bytes]
KINDS: Final[dict[Kind, int]] = {
    Junk.garbage: 25,
    Junk.options: 14,
    Junk.register: 14,
    Junk.invite: 14,
    Junk.truncated: 14,
    Junk.bye: 8,
    Junk.cancel: 6,
    Junk.response: 5,
}


class Sources:
    """Sockets inside and outside of the allowed network, in turn."""

    def __init__(self, hosts: Sequence[str] = (*INSIDE, *OUTSIDE)) -> None:
        self._sockets = [_open(host) for host in hosts]
        self.addresses: list[Address] = [one.getsockname() for one in self._sockets]
        self.sent: Counter[str] = Counter()
        self.heard: Counter[str] = Counter()
        self._turn = 0

    def send(self, junk: Junk) -> None:
        """Send one message from the next socket."""
        self._turn = (self._turn + 1) % len(self._sockets)
        source = self.addresses[self._turn]
        octets = junk.next(source)
        try:
            self._sockets[self._turn].sendto(octets, junk.target)
        except (BlockingIOError, ConnectionRefusedError):
            return
        self.sent["messages"] += 1
        self.sent[_place(source)] += len(octets)

    def listen(self) -> None:
        """Count what came back."""
        for one, address in zip(self._sockets, self.addresses, strict=True):
            while True:
                try:
                    self.heard[_place(address)] += len(one.recv(65535))
                except (BlockingIOError, ConnectionRefusedError):
                    break

    def close(self) -> None:
        """Close all."""
        for one in self._sockets:
            one.close()


def _open(host: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind((host, 0))
    return sock


def _place(address: Address) -> str:
    return "inside" if address[0].startswith("127.0.") else "outside"


def pour(junk: Junk, rate: int, seconds: float, calls: Path | None) -> dict[str, object]:
    """Send `rate` messages a second for so long; `calls` may name running calls (JSON), and is read now and then."""
    sources, began = Sources(), time.monotonic()
    done, looked = 0, 0.0
    while (gone := time.monotonic() - began) < seconds:
        if calls is not None and gone >= looked:
            junk.calls = [CallSeen(*row) for row in json.loads(calls.read_text())]
            looked = gone + 1.0
        while done < gone * rate:
            sources.send(junk)
            done += 1
        sources.listen()
        time.sleep(BATCH)
    sources.close()
    return {"seconds": round(seconds, 1), "sent": dict(sources.sent), "heard": dict(sources.heard)}


def main() -> int:
    """Pour as the command line says."""
    parser = argparse.ArgumentParser(description="junk for a SIP port")
    parser.add_argument("target", help="HOST:PORT")
    parser.add_argument("--rate", type=int, default=5000, help="messages a second")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--calls", type=Path, help="file with the calls to interfere with, rows of JSON")
    options = parser.parse_args()
    host, _, port = options.target.rpartition(":")
    junk = Junk((host, int(port)), options.seed)
    print(json.dumps(pour(junk, options.rate, options.seconds, options.calls)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
