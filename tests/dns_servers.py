"""DNS servers on loopback for tests: dnsmasq, which is foreign, and one that misbehaves as it is told."""

import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import trio

from vfax.transports.sip.values import Address

ZONE = """
no-resolv
no-hosts
bind-interfaces
listen-address=127.0.0.1
local=/example/
naptr-record=trunk.example,10,50,s,SIPS+D2T,,_sips._tcp.trunk.example
naptr-record=trunk.example,20,50,s,SIP+D2U,,_sip._udp.trunk.example
srv-host=_sip._udp.trunk.example,edge2.example,5062,20,0
srv-host=_sip._udp.trunk.example,edge1.example,5061,10,0
srv-host=_sips._tcp.trunk.example,edge1.example,5061,10,0
srv-host=_sip._tcp.pbx.example,pbx.example,5070,0,0
srv-host=_sip._udp.closed.example
host-record=edge1.example,192.0.2.1,2001:db8::1
host-record=edge2.example,192.0.2.2
host-record=pbx.example,192.0.2.3
cname=www.example,pbx.example
"""
MANY = [f"198.51.100.{n}" for n in range(1, 200)]
"""The addresses of many.example: more than one datagram carries."""


def free_port() -> int:
    """A port that is free for UDP and TCP on 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream:
        stream.bind(("127.0.0.1", 0))
        return int(stream.getsockname()[1])


@contextmanager
def dnsmasq(folder: Path, zone: str = ZONE) -> Iterator[Address]:
    """A dnsmasq with `zone` while the block lasts."""
    program = shutil.which("dnsmasq", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if program is None:
        pytest.fail("dnsmasq is missing: apt-get install dnsmasq-base (script/test does so)")
    many = "".join(f"host-record=many.example,{address}\n" for address in MANY)
    for _ in range(5):  # another program may take the port first
        port = free_port()
        config = folder / "dnsmasq.conf"
        config.write_text(f"{zone}\n{many}port={port}\n", "utf-8")
        command = [
            program,
            "--keep-in-foreground",
            f"--conf-file={config}",
            "--log-facility=-",
            "--user=",
            "--pid-file=",
        ]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        try:
            assert process.stderr is not None
            if any(b"started, version" in line for line in process.stderr):  # ends at the latest with the process
                yield "127.0.0.1", port
                return
        finally:
            process.terminate()
            process.wait()
            assert process.stderr is not None
            process.stderr.close()
    pytest.fail(f"dnsmasq did not start: {config.read_text()}")


@asynccontextmanager
async def scripted(answers: Callable[[bytes], Sequence[bytes]]) -> AsyncIterator[tuple[Address, list[bytes]]]:
    """A UDP server that answers each question with what `answers` makes of its octets; and the questions it had."""
    questions: list[bytes] = []
    with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        await sock.bind(("127.0.0.1", 0))

        async def serve() -> None:
            while True:
                question, source = await sock.recvfrom(4096)
                questions.append(question)
                for answer in answers(question):
                    await sock.sendto(answer, source)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            yield ("127.0.0.1", sock.getsockname()[1]), questions
            nursery.cancel_scope.cancel()
