"""The other sides of deliveries: a mail server, servers that misbehave, certificates made by openssl."""

import base64
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import trio

Stream = trio.abc.Stream
Handler = Callable[[trio.SocketStream], Awaitable[None]]


@dataclass(frozen=True)
class Authority:
    """A certificate authority of one test run; `ca` is its certificate."""

    ca: Path
    key: Path

    @classmethod
    def make(cls, folder: Path) -> "Authority":
        ca, key = folder / "ca.pem", folder / "ca.key"
        openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"),
            *("-keyout", str(key), "-out", str(ca), "-subj", "/CN=test authority"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        )
        return cls(ca, key)

    def certify(self, name: str, folder: Path) -> tuple[Path, Path]:
        """Certificate and key for a host name or IP address."""
        cert, key, request, more = (folder / f"host.{suffix}" for suffix in ("pem", "key", "csr", "ext"))
        kind = "IP" if name.replace(".", "").isdigit() else "DNS"
        more.write_text(f"subjectAltName={kind}:{name}\nbasicConstraints=CA:FALSE\n")
        openssl(
            *("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-keyout", str(key), "-out", str(request), "-subj", f"/CN={name}"),
        )
        openssl(
            *("x509", "-req", "-in", str(request), "-CA", str(self.ca), "-CAkey", str(self.key), "-CAcreateserial"),
            *("-out", str(cert), "-days", "2", "-extfile", str(more)),
        )
        return cert, key


def openssl(*command: str) -> None:
    subprocess.run(["openssl", *command], check=True, capture_output=True, timeout=60)


def server_context(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


@asynccontextmanager
async def listening(handler: Handler) -> AsyncIterator[int]:
    """A TCP server on a free port; a handler that fails ends its connection and nothing else."""

    async def guarded(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError, ssl.SSLError, OSError):
            async with stream:
                await handler(stream)

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(lambda task_status=trio.TASK_STATUS_IGNORED: _serve(guarded, task_status))
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def _serve(handler: Handler, task_status: trio.TaskStatus[list[trio.SocketListener]]) -> None:
    await trio.serve_tcp(handler, 0, host="127.0.0.1", task_status=task_status)


async def drip(stream: Stream, octet: bytes = b"2") -> None:
    """One octet now and then, for ever: no time limit of a single read ever ends it."""
    while True:
        await stream.send_all(octet)
        await trio.sleep(0.02)


@dataclass
class Mail:
    sender: str
    recipient: str
    octets: bytes


@dataclass
class SmtpPeer:
    """A mail server. `answers` replaces what it says to a command; "" closes the connection there, "..." drips."""

    tls: ssl.SSLContext | None = None
    implicit: bool = False
    user: str = ""
    password: str = ""
    answers: Mapping[str, str] = field(default_factory=dict)
    mails: list[Mail] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    secure: bool = False

    async def handle(self, stream: trio.SocketStream) -> None:
        await _Session(self, stream).run()


class _Closed(Exception):
    pass


class _Session:
    def __init__(self, peer: SmtpPeer, stream: Stream) -> None:
        self.peer, self.stream, self.rest = peer, stream, b""
        self.sender = self.recipient = ""

    async def run(self) -> None:
        if self.peer.implicit:
            await self.secure()
        with suppress(_Closed):
            await self.say("CONNECT", "220 peer")
            while True:
                await self.obey((await self.line()).decode())

    async def secure(self) -> None:
        assert self.peer.tls is not None
        self.stream = trio.SSLStream(self.stream, self.peer.tls, server_side=True)
        await self.stream.do_handshake()
        self.peer.secure = True

    async def line(self) -> bytes:
        while b"\r\n" not in self.rest:
            octets = await self.stream.receive_some(65_536)
            if not octets:
                raise _Closed
            self.rest += octets
        line, _, self.rest = self.rest.partition(b"\r\n")
        return line

    async def say(self, verb: str, usual: str) -> None:
        answer = self.peer.answers.get(verb, usual)
        if not answer:
            raise _Closed
        if answer == "...":
            await drip(self.stream)
        await self.stream.send_all(f"{answer}\r\n".encode())

    async def obey(self, line: str) -> None:
        verb = line.split(" ")[0].upper()
        self.peer.said.append(line)
        match verb:
            case "EHLO" | "HELO":
                await self.say(verb, "\r\n".join(self.greeting()))
            case "STARTTLS":
                await self.say(verb, "220 go ahead")
                await self.secure()
            case "AUTH":
                await self.log_in(line)
            case "MAIL":
                self.sender = line.partition("<")[2].partition(">")[0]
                await self.say(verb, "250 fine")
            case "RCPT":
                self.recipient = line.partition("<")[2].partition(">")[0]
                await self.say(verb, "250 fine")
            case "DATA":
                await self.take()
            case "QUIT":
                await self.say(verb, "221 bye")
                raise _Closed
            case _:
                await self.say(verb, "250 fine")

    def greeting(self) -> list[str]:
        words = ["peer", "SIZE 100000000"]
        if self.peer.tls is not None and not self.peer.secure:
            words.append("STARTTLS")
        if self.peer.user:
            words.append("AUTH PLAIN")
        return [f"250-{word}" for word in words] + ["250 HELP"]

    async def log_in(self, line: str) -> None:
        user, password = base64.b64decode(line.split(" ")[2]).decode().split("\0")[1:]
        right = (user, password) == (self.peer.user, self.peer.password)
        await self.say("AUTH", "235 welcome" if right else "535 5.7.8 wrong")

    async def take(self) -> None:
        await self.say("DATA", "354 send it")
        if "DATA" in self.peer.answers:
            return
        octets = b""
        while (line := await self.line()) != b".":
            octets += line.removeprefix(b".") + b"\r\n"
            if self.peer.answers.get("BODY") == "":
                raise _Closed
        if self.peer.answers.get("TAKEN", "250").startswith("250"):
            self.peer.mails.append(Mail(self.sender, self.recipient, octets))
        await self.say("TAKEN", "250 taken")
