"""baresip as a telephone that knows no T.38: a SIP client that nobody here wrote.

Owns      one baresip in a private folder on loopback, without a sound card; the orders it gets and what it tells.
Not here  what is tried with it (all_baresip.py), certificates (tests/certs.py).
Source    baresip 1.0: module ctrl_tcp (JSON in netstrings); its verbose status lines.

It plays a tone, writes down nothing, answers by itself, and ends with the process that started it.
"""

import json
import math
import os
import re
import shutil
import struct
import subprocess
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import trio

from tests.certs import Credentials
from tests.interop.kamailio import _end_with_parent, free_port

HOST: Final = "127.0.0.1"
RATE: Final = 8_000
REMEDY: Final = "as root: apt-get install baresip-core (script/interop baresip does it)"
MODULES: Final = "/usr/lib/baresip/modules"
START_LIMIT: Final = 15.0
CONFIG: Final = """
poll_method epoll
net_interface {host}
sip_listen {host}:{port}
sip_certificate {certificate}
sip_cafile {authority}
call_local_timeout 60
call_max_calls 4
audio_source aufile,{folder}/tone.wav
audio_player aufile,/dev/null
audio_alert aufile,/dev/null
ausrc_srate {rate}
auplay_srate {rate}
rtcp_mux no
jitter_buffer_delay 5-10
module_path {modules}
module g711.so
module aufile.so
module_app account.so
module_app menu.so
module ctrl_tcp.so
ctrl_tcp_listen {host}:{control}
"""


def find_program() -> str:
    """The path of baresip. Raises RuntimeError when it is missing."""
    found = shutil.which("baresip")
    if found is None:
        raise RuntimeError(f"baresip is missing; {REMEDY}")
    return found


@dataclass
class Baresip:
    """One telephone, `bare`. Events are those of ctrl_tcp, oldest first."""

    folder: Path
    port: int
    stream: trio.SocketStream
    events: list[dict[str, Any]] = field(default_factory=list)
    _news: trio.Event = field(default_factory=trio.Event)

    def uri(self, transport: str) -> str:
        """Where it is called."""
        port = self.port + (transport == "tls")  # it has TLS on the next port
        return f"sip:bare@{HOST}:{port}" + ("" if transport == "udp" else f";transport={transport}")

    async def order(self, command: str, parameters: str = "") -> None:
        """Have it do something: dial, hangup."""
        text = json.dumps({"command": command, "params": parameters, "token": command}).encode()
        await self.stream.send_all(b"%d:%s," % (len(text), text))

    async def wait_for(self, kind: str, seconds: float = 30.0) -> dict[str, Any]:
        """Its next event of that kind that nobody has waited for yet."""
        with trio.move_on_after(seconds):
            while True:
                for at, event in enumerate(self.events):
                    if event.get("type") == kind:
                        return self.events.pop(at)
                self._news = trio.Event()
                await self._news.wait()
        raise AssertionError(f"baresip did not tell {kind}: {self.events}\n{self.log()[-2000:]}")

    async def listen(self) -> None:
        """Keep what it tells, until it ends."""
        rest = b""
        async for chunk in self.stream:
            rest += chunk
            while (found := re.match(rb"(\d+):", rest)) and len(rest) > found.end() + int(found[1]):
                end = found.end() + int(found[1])
                self.events.append(json.loads(rest[found.end() : end]))
                rest = rest[end + 1 :]
                self._news.set()

    def log(self) -> str:
        """All that it said, SIP messages included."""
        return (self.folder / "log").read_text("utf-8", "replace")

    def bit_rates(self) -> tuple[int, int]:
        """The highest rates of audio, sent and heard, that its status lines show; bit/s."""
        found = [(int(sent), int(heard)) for sent, heard in re.findall(r"audio=(\d+)/(\d+)", self.log())]
        return max((sent for sent, _ in found), default=0), max((heard for _, heard in found), default=0)


def _prepare(folder: Path, port: int, control: int, keys: Credentials) -> None:
    folder.mkdir()
    with wave.open(str(folder / "tone.wav"), "wb") as tone:
        tone.setnchannels(1)
        tone.setsampwidth(2)
        tone.setframerate(RATE)
        wave_of = (int(8_000 * math.sin(math.tau * 440 * at / RATE)) for at in range(60 * RATE))
        tone.writeframes(b"".join(struct.pack("<h", sample) for sample in wave_of))
    values = {"host": HOST, "port": port, "control": control, "folder": folder, "rate": RATE, "modules": MODULES}
    text = CONFIG.format(**values, certificate=keys.certificate, authority=keys.authority)
    (folder / "config").write_text(text)
    account = f"<sip:bare@{HOST}:{port}>;regint=0;answermode=auto;audio_codecs=PCMU/8000/1\n"
    (folder / "accounts").write_text(account)
    (folder / "contacts").write_text("")


def _start(folder: Path) -> "subprocess.Popen[bytes]":
    """In the thread that lives on: it ends with the thread that started it."""
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [find_program(), "-f", str(folder), "-s", "-v"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=_end_with_parent,
            env=os.environ | {"HOME": str(folder)},
        )


@asynccontextmanager
async def open_baresip(folder: Path, keys: Credentials) -> AsyncIterator[Baresip]:
    """A baresip while the block lasts."""
    port, control = free_port(), free_port()
    await trio.to_thread.run_sync(_prepare, folder, port, control, keys)
    process = _start(folder)
    try:
        one = Baresip(folder, port, await _connected(control, process))
        async with one.stream, trio.open_nursery() as nursery:
            nursery.start_soon(one.listen)
            yield one
            nursery.cancel_scope.cancel()
    finally:
        process.terminate()
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(process.wait)


async def _connected(control: int, process: "subprocess.Popen[bytes]") -> trio.SocketStream:
    with trio.fail_after(START_LIMIT):
        while process.poll() is None:
            with suppress(OSError):
                return await trio.open_tcp_stream(HOST, control)
            await trio.sleep(0.05)
    raise RuntimeError(f"baresip ended with status {process.returncode}")
