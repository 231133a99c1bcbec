"""`vfax serve` killed in mid fax: whatever it had confirmed is in the inbox after the next start.

The sender is an endpoint of this process that writes down each confirmation it hears, so what the killed side owes is
known from outside. Real time on purpose: what is tested is a process that gets no chance to tidy up.
"""

import random
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
import trio

from tests.interop import serving
from vfax import call
from vfax.codecs import tiff
from vfax.endpoint import Endpoint, EndpointOptions
from vfax.leg import InternetAware, LegOptions
from vfax.transports.t38 import T38Options

PAGES: Final = 5
PACE: Final = 0.1
"""Line time by this factor; nothing here is a modem."""
HEARD: Final = 0.2
"""Seconds after the kill in which the sender reads what had already left."""
LIMIT: Final = 240.0
SEEDS: Final = (1, 3, 5)

pytestmark = pytest.mark.realtime


@dataclass(frozen=True, slots=True)
class Killing:
    """What came of one killed service: pages the sender knows to be confirmed, and the inbox after the next start."""

    confirmed: int
    inbox: list[tuple[Path, dict[str, object]]]
    said: str


class Sender:
    """Sends one document and counts the confirmations; `reached` is set when as many as asked for have come."""

    def __init__(self, document: Path, *, until: int) -> None:
        self.reached = trio.Event()
        self.confirmed = 0
        self._until = until
        self._document = document

    async def send(self, uri: str) -> None:
        paced = LegOptions(line=T38Options(pace=PACE), internet_aware=InternetAware.NEVER)
        options = EndpointOptions(listen=("127.0.0.1", 0), leg=paced)
        endpoint = Endpoint(options)
        async with trio.open_nursery() as nursery:
            await nursery.start(endpoint.run, lambda arrived: arrived.refuse(486))
            request = call.SendRequest(document=self._document, destination=uri, local_id="", caller_name="")
            await endpoint.outbound().send(request, publish=self._hear)
            nursery.cancel_scope.cancel()

    def _hear(self, event: call.CallEvent) -> None:
        if isinstance(event, call.PageDone):
            self.confirmed += 1
        if isinstance(event, call.PageBegun | call.PageDone) and self.confirmed >= self._until:
            self.reached.set()


async def kill_in_mid_fax(folder: Path, document: Path, seed: int) -> Killing:
    """Serve, send, kill at a moment the seed chooses, start again, look."""
    dice = random.Random(seed)
    sender = Sender(document, until=dice.randrange(PAGES - 1))
    await trio.Path(folder).mkdir()
    async with serving.serve(folder) as served, trio.open_nursery() as nursery:
        nursery.start_soon(sender.send, served.uri)
        await sender.reached.wait()
        await trio.sleep(dice.uniform(0.0, 0.5))
        served.process.send_signal(signal.SIGKILL)
        await served.process.wait()
        await trio.sleep(HEARD)
        nursery.cancel_scope.cancel()
    async with serving.serve(folder) as again:
        inbox = again.records()
    return Killing(sender.confirmed, inbox, again.text)


@pytest.fixture
def killings(
    tmp_path: Path, make_document: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[[], dict[int, Killing]]:
    """Kills one service for each seed, all at once: most of the time is waiting."""
    monkeypatch.setenv("VFAX_T38__PACE", str(PACE))
    document = make_document(pages=PAGES, rows=400)
    found: dict[int, Killing] = {}

    async def one(seed: int) -> None:
        found[seed] = await kill_in_mid_fax(tmp_path / str(seed), document, seed)

    async def every() -> None:
        with trio.fail_after(LIMIT):
            async with trio.open_nursery() as nursery:
                for seed in SEEDS:
                    nursery.start_soon(one, seed)

    def kill() -> dict[int, Killing]:
        trio.run(every)
        return found

    return kill


def test_every_page_confirmed_before_a_kill_is_delivered_marked_incomplete(
    killings: Callable[[], dict[int, Killing]], tmp_path: Path
) -> None:
    sent = tmp_path / "document.tif"
    for seed, killing in killings().items():
        assert killing.confirmed < PAGES, f"seed {seed} came after the end"
        if not killing.inbox:  # the kill came before the first page was kept
            assert killing.confirmed == 0, f"seed {seed}: {killing}"
            continue
        ((document, record),) = killing.inbox
        pages = len(tiff.read_headers(document))
        assert (record["incomplete"], record["pages"]) == (True, pages), f"seed {seed}"
        assert pages >= killing.confirmed, f"seed {seed}: {killing}"
        assert f"Recovered {pages} page" in killing.said
        for at in range(killing.confirmed):
            assert tiff.load_page(document, at).raster == tiff.load_page(sent, at).raster, f"seed {seed}, page {at + 1}"
