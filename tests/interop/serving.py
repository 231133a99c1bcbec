"""`vfax serve` and `vfax send` as child processes, the way people run them.

Owns      starting, waiting for the address, watching the inbox, ending.
Not here  who calls (peer.py, sipp_runner.py), what is expected (test_real_time.py).
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import trio

import vfax
from tests.interop import documents

START_SECONDS: Final = 60
STOP_SECONDS: Final = 15


def environment(state: Path) -> dict[str, str]:
    """The environment in which `python -m vfax` is the vfax that these tests import; it keeps its state in `state`."""
    ours = {"PYTHONPATH": str(Path(vfax.__file__).parents[1]), "XDG_STATE_HOME": str(state)}
    return {**os.environ, **ours, "NO_COLOR": "1", "COLUMNS": "200"}


@dataclass(slots=True)
class Served:
    """A `vfax serve`. `status` is its exit status once it has ended; `half` names files seen before they were whole."""

    inbox: Path
    process: trio.Process
    port: int = 0
    printed: list[str] = field(default_factory=list)
    half: list[str] = field(default_factory=list)
    status: int | None = None

    @property
    def uri(self) -> str:
        """The SIP URI to call."""
        return f"sip:fax@127.0.0.1:{self.port}"

    @property
    def text(self) -> str:
        """All that it printed."""
        return "".join(self.printed)

    def records(self) -> list[tuple[Path, dict[str, object]]]:
        """Documents with their records, as they lie in the inbox."""
        return [
            (path.with_suffix(".tif"), json.loads(path.read_text())) for path in sorted(self.inbox.glob("[!.]*.json"))
        ]

    async def read(self) -> None:
        """Keep what it prints."""
        assert self.process.stdout is not None
        async for chunk in self.process.stdout:
            self.printed.append(chunk.decode("utf-8", "replace"))

    async def wait_for(self, pattern: str) -> re.Match[str]:
        """Return when it has printed `pattern`; fail when it ends before or says nothing."""
        with trio.move_on_after(START_SECONDS):
            while (found := re.search(pattern, self.text)) is None:
                assert self.process.poll() is None, self.text
                await trio.sleep(0.02)
            return found
        raise AssertionError(f"vfax serve did not print {pattern!r}: {self.text}")

    async def wait_for_records(self, count: int) -> None:
        """Return when the inbox holds so many documents: the last move comes after the call."""
        with trio.move_on_after(STOP_SECONDS):
            while len(self.records()) < count:  # noqa: ASYNC110  # a folder tells nobody
                await trio.sleep(0.05)
            return
        raise AssertionError(f"not {count} documents in {self.inbox}: {self.text}")

    async def watch_inbox(self) -> None:
        """Name every document that is seen unreadable or without its record."""
        while True:
            for tiff in self.inbox.glob("*.tif"):
                try:
                    documents.read_pages(tiff)
                    json.loads(tiff.with_suffix(".json").read_text())
                except (OSError, ValueError) as why:
                    self.half.append(f"{tiff.name}: {why}")
            await trio.sleep(0.05)


@asynccontextmanager
async def serve(folder: Path, *arguments: str) -> AsyncIterator[Served]:
    """`vfax serve` on a free port with a spool in `folder`; ended by SIGTERM with the block."""
    spool = folder / "spool"
    command = [sys.executable, "-m", "vfax", "serve", "--listen", "127.0.0.1:0", "--spool", str(spool)]
    start = partial(
        trio.run_process,
        [*command, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        env=environment(folder),
    )
    async with trio.open_nursery() as nursery:
        served = Served(spool / "inbox", await nursery.start(start))
        nursery.start_soon(served.read)
        served.port = int((await served.wait_for(r"UDP 127\.0\.0\.1:(\d+)")).group(1))
        nursery.start_soon(served.watch_inbox)
        yield served
        served.process.send_signal(signal.SIGTERM)
        with trio.move_on_after(STOP_SECONDS):
            served.status = await served.process.wait()
        nursery.cancel_scope.cancel()


@dataclass(frozen=True, slots=True)
class Sent:
    """A finished `vfax send --json`."""

    status: int
    report: dict[str, object]
    errors: str


async def send(document: Path, uri: str) -> Sent:
    """Run `vfax send --json` to its end."""
    command = [sys.executable, "-m", "vfax", "send", "--json", "--no-header", str(document), uri]
    done = await trio.run_process(
        command, capture_stdout=True, capture_stderr=True, check=False, env=environment(document.parent)
    )
    return Sent(done.returncode, json.loads(done.stdout or b"{}"), done.stderr.decode("utf-8", "replace"))
