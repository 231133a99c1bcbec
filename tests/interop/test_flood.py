"""Junk while faxes run, in virtual time; `script/interop flood` does so in earnest."""

from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from PIL import Image
from trio.testing import MockClock

from tests.interop import documents
from tests.interop.flood import running_calls
from tests.interop.junk import ALLOWED, CallSeen, Junk, Sources
from tests.interop.peer import CallResult, Habits, SpandspPeer
from tests.interop.side import Fax, VfaxSide, open_vfax
from vfax.endpoint import EndpointOptions
from vfax.transports.sip.sieve import Reason, SieveOptions

MakeFax = Callable[..., tuple[Path, list[Image.Image]]]
RATE = 250  # a second of virtual time, which is as much as the processor has to do
SEED = 5


async def pour(side: VfaxSide, peer: SpandspPeer, sources: Sources) -> None:
    """Junk until cancelled."""
    junk = Junk(side.address, SEED)
    while True:
        junk.calls = [CallSeen(*row) for row in running_calls(peer)]
        for _ in range(RATE // 10):
            sources.send(junk)
        sources.listen()
        await trio.sleep(0.1)


async def refuse_others(side: VfaxSide) -> None:
    """What rings behind the call of the test is junk."""
    while True:
        (await side.next_call()).refuse(486)


@pytest.mark.parametrize("allow", [ALLOWED, "0.0.0.0/0"], ids=["some-allowed", "all-strangers"])
async def test_faxes_arrive_both_ways_while_junk_pours_in(
    allow: str, fax_clock: MockClock, peer: SpandspPeer, make_fax: MakeFax, tmp_path: Path
) -> None:
    document, pages = make_fax(lines=4)
    faxes: list[Fax] = []
    results: list[CallResult] = []

    async def receive() -> None:
        faxes.append(await side.receive(tmp_path / "in.tif"))

    async def send() -> None:
        faxes.append(await side.send(document, peer.uri))

    async def call() -> None:
        results.append(await peer.call(side.uri, document, Habits()))

    async def listen() -> None:
        results.append(await peer.listen(tmp_path / "out.tif", Habits()))

    sieve = SieveOptions(max_unproven_calls=4, max_sources=64, strangers_rate=50.0)
    options = EndpointOptions(listen=("127.0.0.1", 0), allow=(allow,), sieve=sieve, abuse_log=tmp_path / "abuse.log")
    sources = Sources()
    async with open_vfax(options) as side, trio.open_nursery() as flood:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            await trio.sleep(0.01)  # the first call that rings is the one to take
            nursery.start_soon(call)
            await trio.sleep(0.5)
            flood.start_soon(refuse_others, side)
            flood.start_soon(pour, side, peer, sources)
            nursery.start_soon(send)
            nursery.start_soon(listen)
        counts, counters = side.endpoint.sieve.counts, side.endpoint.counters
        assert len(side.endpoint.sieve) <= 5 * 64
        flood.cancel_scope.cancel()
    sources.close()
    assert [result.ok for result in results] == [True, True], (SEED, peer.transcript.text())
    for got in ("in.tif", "out.tif"):
        documents.assert_same_pages(tmp_path / got, pages)
    assert [fax.ended.ok for fax in faxes] == [True, True]
    assert counters.bugs == 0
    assert min(counts.refused[r] for r in (Reason.NOT_SIP, Reason.STRAY, Reason.FLOOD, Reason.DIALOG)) > 0
    assert (counts.refused[Reason.NETWORK] > 0) is (allow == ALLOWED)
    assert sources.heard.total() < sources.sent.total() - sources.sent["messages"]
    assert 5 < len((tmp_path / "abuse.log").read_text().splitlines()) < 500
