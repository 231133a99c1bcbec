"""examples/threaded_host.py, a host that is not ours in shape: it takes faxes from libspandsp and sends to it.

In real time, in processes of its own; everything runs at once, and the tests look at what came of it.
"""

import re
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import pytest
import trio
from PIL import Image

from tests.interop import documents, spandsp
from tests.interop.peer import CallResult, Ending, Habits, SpandspPeer, open_peer
from tests.interop.serving import environment
from tests.interop.spandsp import Abilities

EXAMPLE: Final = Path(__file__).parents[2] / "examples" / "threaded_host.py"
PEER_ID: Final = "+44 20 7946 0018"
PATIENCE: Final = 120
HABITS: Final = Habits(abilities=Abilities(ident=PEER_ID))
pytestmark = pytest.mark.realtime


@dataclass(slots=True)
class Hosted:
    """A running example."""

    folder: Path
    process: trio.Process
    printed: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.printed)

    async def read(self) -> None:
        assert self.process.stdout is not None
        async for chunk in self.process.stdout:
            self.printed.append(chunk.decode())

    async def wait_for(self, pattern: str) -> re.Match[str]:
        with trio.fail_after(PATIENCE):
            while (found := re.search(pattern, self.text)) is None:
                assert self.process.poll() is None, self.text
                await trio.sleep(0.02)
        return found

    async def end(self) -> int:
        """SIGTERM, and its exit status."""
        self.process.send_signal(signal.SIGTERM)
        with trio.fail_after(PATIENCE):
            return await self.process.wait()


@dataclass(slots=True)
class Day:
    """What came of everything."""

    folder: Path
    document: Path
    pages: list[Image.Image]
    results: list[CallResult] = field(default_factory=list)
    aborted: list[CallResult] = field(default_factory=list)
    received: Hosted | None = None
    cut_off: Hosted | None = None
    statuses: dict[str, int] = field(default_factory=dict)
    sent: str = ""

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._receive)
            nursery.start_soon(self._cut_off)
            nursery.start_soon(self._send)

    async def _host(self, nursery: trio.Nursery, name: str, *arguments: str) -> Hosted:
        folder = self.folder / name
        command = [sys.executable, str(EXAMPLE), "--listen", "127.0.0.1:0", "--folder", str(folder), *arguments]
        start = partial(
            trio.run_process,
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            env=environment(self.folder),
        )
        hosted = Hosted(folder, await nursery.start(start))
        nursery.start_soon(hosted.read)
        return hosted

    @staticmethod
    async def _uri(hosted: Hosted) -> str:
        found = await hosted.wait_for(r"listening on (\S+)")
        return f"sip:fax@{found.group(1)}"

    async def _receive(self) -> None:
        """Two callers at once, then an end in peace."""
        async with open_peer() as peer, trio.open_nursery() as nursery:
            hosted = self.received = await self._host(nursery, "received")
            uri = await self._uri(hosted)
            async with trio.open_nursery() as calling:
                for _ in range(2):
                    calling.start_soon(self._call, peer, uri, self.results)
            await hosted.wait_for(r"(?s)(?:TRUE|FALSE).*(?:TRUE|FALSE)")
            self.statuses["received"] = await hosted.end()

    async def _cut_off(self) -> None:
        """A caller whose page is on the line when the host is told to end."""
        async with open_peer() as peer, trio.open_nursery() as nursery:
            hosted = self.cut_off = await self._host(nursery, "cut-off")
            uri = await self._uri(hosted)
            nursery.start_soon(self._call, peer, uri, self.aborted)
            await hosted.wait_for("FS_RECEIVING page 1")
            self.statuses["cut-off"] = await hosted.end()

    async def _send(self) -> None:
        async with open_peer() as peer, trio.open_nursery() as nursery:
            nursery.start_soon(peer.listen, self.folder / "taken.tif", HABITS)
            hosted = await self._host(nursery, "sending", "--send", str(self.document), peer.uri)
            with trio.fail_after(PATIENCE):
                self.statuses["sent"] = await hosted.process.wait()
            self.sent = hosted.text

    async def _call(self, peer: SpandspPeer, uri: str, results: list[CallResult]) -> None:
        results.append(await peer.call(uri, self.document, HABITS))


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    """The one run that all tests of this module look at."""
    try:
        spandsp.load()
    except spandsp.MissingLibraryError as why:
        pytest.fail(str(why), pytrace=False)
    folder = tmp_path_factory.mktemp("threads")
    pages = documents.draw_pages(2, lines=2)
    one = Day(folder, documents.write_fax(folder / "sent.tif", pages), pages)
    trio.run(one.run)
    return one


def test_it_takes_two_faxes_of_libspandsp_at_once(day: Day) -> None:
    assert day.received is not None
    assert [(result.ok, result.complaints) for result in day.results] == [(True, [])] * 2, day.received.text
    received = sorted(day.received.folder.iterdir())
    assert len(received) == 2
    for path in received:
        documents.assert_same_pages(path, day.pages)
    for line in (f"FS_RECEIVING page 2 '{re.escape(PEER_ID)}'", "TRUE FS_COMPLETED"):
        assert len(re.findall(line, day.received.text)) == 2, day.received.text


def test_it_ends_in_peace(day: Day) -> None:
    assert day.received is not None
    assert day.statuses["received"] == 0
    assert day.received.text.splitlines()[-1] == "FaxDevShutdown: S_OK"


def test_told_to_end_in_mid_fax_it_aborts_hangs_up_and_leaves_nothing(day: Day) -> None:
    assert day.cut_off is not None
    assert day.statuses["cut-off"] == 0, day.cut_off.text
    assert "FALSE FS_USER_ABORT" in day.cut_off.text
    assert "Traceback" not in day.cut_off.text
    assert list(day.cut_off.folder.iterdir()) == []
    assert [(result.ok, result.ending) for result in day.aborted] == [(False, Ending.THEM)]


def test_it_sends_to_libspandsp(day: Day) -> None:
    assert day.statuses["sent"] == 0, day.sent
    assert "TRUE FS_COMPLETED" in day.sent
    documents.assert_same_pages(day.folder / "taken.tif", day.pages)


def test_it_is_small() -> None:
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) < 150
