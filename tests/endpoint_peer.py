"""An endpoint under test: a SIP peer by hand, a host that takes its calls, and what it has open."""

import gc
import json
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import trio

from tests.virtual import hold_for_threads
from vfax import call
from vfax.endpoint import Endpoint, EndpointOptions
from vfax.outcome import Outcome
from vfax.resolving import SystemResolver
from vfax.transports.parameters import T38Parameters
from vfax.transports.sip.negotiation import MediaSession
from vfax.transports.sip.values import Address

ANY_PORT: Final = ("127.0.0.1", 0)


class Peer:
    """A SIP peer by hand: it says what it is told to, and shows what it hears."""

    def __init__(self, host: str = "127.0.0.1", *, towards: Address = ("127.0.0.1", 9)) -> None:
        self.raw = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.raw.bind((host, 0))
        self.sock = trio.socket.from_stdlib_socket(self.raw)
        self.towards = towards
        self.heard: list[str] = []
        self.call_id, self.cseq, self.to = "call-1", 1, "<sip:1@127.0.0.1>"
        self.contact = ""  # the usual one
        self.media = MediaSession(host="127.0.0.1", port=40000, parameters=T38Parameters(), session_id=1)

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Peer"]:
        with self.sock:
            yield self

    @property
    def address(self) -> Address:
        name = self.sock.getsockname()
        return str(name[0]), int(name[1])

    def say(self, text: str, body: bytes = b"") -> None:
        head = text + (f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n" if body else "\r\n")
        self.raw.sendto(head.encode() + body, self.towards)

    def request(self, method: str, body: bytes = b"", *, branch: str = "", cseq: int = 0) -> None:
        if method not in ("ACK", "CANCEL"):
            self.cseq += 1
        number, (host, port) = cseq or self.cseq, self.address
        self.say(
            f"{method} sip:1@127.0.0.1 SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{branch or f'{method}{number}'}\r\n"
            f"From: <sip:2@127.0.0.1>;tag=them\r\nTo: {self.to}\r\nCall-ID: {self.call_id}\r\n"
            f"CSeq: {number} {method}\r\nContact: {self.contact or f'<sip:2@{host}:{port}>'}\r\nMax-Forwards: 70\r\n",
            body,
        )

    async def hear(self, *starts: str) -> str:
        """The next message that begins with one of `starts`; others are noted and passed over."""
        with trio.fail_after(100):
            while True:
                octets, source = await self.sock.recvfrom(65535)
                text = octets.decode()
                self.towards = source
                self.heard.append(text.splitlines()[0])
                if text.startswith(starts):
                    return text

    async def ring_and_answer(self, offer: bytes) -> None:
        """Call, and acknowledge the answer."""
        self.request("INVITE", offer)
        answer = await self.hear("SIP/2.0 200")
        self.to = field(answer, "To")
        self.request("ACK", cseq=self.cseq)


def field(message: str, name: str) -> str:
    return next(line.partition(": ")[2] for line in message.splitlines() if line.startswith(f"{name}: "))


def fields(message: str, *names: str) -> str:
    return "".join(f"{name}: {field(message, name)}\r\n" for name in names)


class Host:
    """What a device does with calls: takes each into a file, and notes how it ended."""

    def __init__(self, folder: Path, nursery: trio.Nursery, publish: call.Publish = lambda event: None) -> None:
        self.folder, self.nursery, self.publish = folder, nursery, publish
        self.outcomes: list[Outcome] = []
        self.calls: list[call.InboundCall] = []
        self.scope = trio.CancelScope()
        self.ended = trio.Event()

    def on_call(self, arrived: call.InboundCall) -> None:
        self.calls.append(arrived)
        self.nursery.start_soon(self._take, arrived)

    async def _take(self, arrived: call.InboundCall) -> None:
        target = self.folder / "received.tif"
        target.touch()
        with self.scope:
            self.outcomes.append(await arrived.receive(target, local_id="1", publish=self.publish))
        self.ended.set()


@asynccontextmanager
async def endpoint(
    on_call: Callable[[call.InboundCall], None] = lambda arrived: arrived.refuse(486), **options: Any
) -> AsyncIterator[Endpoint]:
    one = Endpoint(EndpointOptions(**{"listen": ANY_PORT} | options), resolver=SystemResolver())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold_for_threads)
        await nursery.start(one.run, on_call)
        yield one
        nursery.cancel_scope.cancel()


def lines(folder: Path) -> list[dict[str, Any]]:
    (journal,) = folder.glob("*.jsonl")
    return [json.loads(line) for line in journal.read_text("utf-8").splitlines()]


def open_files(folder: Path) -> list[str]:
    """What is open below `folder`; forgotten files are not helped by the garbage collector."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            link = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if link.startswith(str(folder)):
            found.append(link)
    return found


def open_sockets() -> int:
    gc.collect()
    links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    return sum(os.path.lexists(link) and os.readlink(link).startswith("socket:") for link in links)


async def still_serves(one: Endpoint) -> bool:
    async with Peer(towards=one.address).open() as peer:
        peer.call_id = "another"
        peer.request("OPTIONS")
        return (await peer.hear("SIP/2.0")).startswith("SIP/2.0 200")


def request(document: Path, address: Address, uri: str = "") -> call.SendRequest:
    destination = uri or f"sip:1@{address[0]}:{address[1]}"
    return call.SendRequest(document=document, destination=destination, local_id="1", caller_name="")


def make_page(path: Path) -> None:
    from PIL import Image

    Image.new("1", (1728, 300), 1).save(path, compression="group4", dpi=(204, 98))
