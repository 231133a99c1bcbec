"""Junk while faxes run, in virtual time; `script/interop flood` does so in earnest."""

import contextlib
import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from PIL import Image
from trio.testing import MockClock

from tests.certs import Authority
from tests.interop import documents
from tests.interop.flood import running_calls
from tests.interop.junk import ALLOWED, CallSeen, Junk, Sources
from tests.interop.peer import CallResult, Habits, SpandspPeer, Way, open_peer
from tests.interop.side import Fax, VfaxSide, open_vfax
from vfax.endpoint import EndpointOptions
from vfax.sockets import Listen
from vfax.transports.certificates import TlsOptions
from vfax.transports.sip.sieve import Nuisance, SieveOptions
from vfax.transports.sip.values import Transport
from vfax.transports.sip_connection import StreamOptions

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
        counts, counters = side.endpoint.gate.sieve.counts, side.endpoint.counters
        assert len(side.endpoint.gate.sieve) <= 5 * 64
        flood.cancel_scope.cancel()
    sources.close()
    assert [result.ok for result in results] == [True, True], (SEED, peer.transcript.text())
    for got in ("in.tif", "out.tif"):
        documents.assert_same_pages(tmp_path / got, pages)
    assert [fax.ended.ok for fax in faxes] == [True, True]
    assert counters.bugs == 0
    assert min(counts.refused[r] for r in (Nuisance.NOT_SIP, Nuisance.STRAY, Nuisance.FLOOD, Nuisance.DIALOG)) > 0
    assert (counts.refused[Nuisance.NETWORK] > 0) is (allow == ALLOWED)
    assert sources.heard.total() < sources.sent.total() - sources.sent["messages"]
    assert 5 < len((tmp_path / "abuse.log").read_text().splitlines()) < 500


# Connections


OTHERS = tuple(f"127.0.0.{n}" for n in range(2, 6))
SIEGE = 60  # connections of each host


async def trickle(host: str, address: tuple[str, int]) -> None:
    """A message that never becomes whole, an octet now and then."""
    with trio.socket.socket() as sock:
        await sock.bind((host, 0))
        await sock.connect(address)
        try:
            for octet in itertools.cycle(b"OPTIONS sip:x"):
                await sock.send(bytes((octet,)))
                await trio.sleep(2)
        except OSError:
            return


async def say_nothing(host: str, address: tuple[str, int]) -> None:
    """A connection that never begins its handshake."""
    with trio.socket.socket() as sock:
        await sock.bind((host, 0))
        await sock.connect(address)
        with contextlib.suppress(OSError):
            await sock.recv(1)


async def test_a_fax_over_tcp_arrives_while_slow_and_silent_connections_are_made(
    fax_clock: MockClock, make_fax: MakeFax, tmp_path: Path, libspandsp: None
) -> None:
    leaf = Authority.make(tmp_path).issue("vfax")
    document, pages = make_fax(lines=4)
    options = EndpointOptions(
        listen=Listen("127.0.0.1", 0, Transport.TCP),
        listen_also=(Listen("127.0.0.1", 0, Transport.TLS),),
        tls=TlsOptions(certificate=leaf),
        streams=StreamOptions(max_connections_per_source=20, max_handshakes=30),
        abuse_log=tmp_path / "abuse.log",
    )
    results: list[CallResult] = []

    async def besiege(host: str) -> None:
        for _ in range(SIEGE):
            nursery.start_soon(trickle, host, places[0])
            nursery.start_soon(say_nothing, host, places[1])
            await trio.sleep(0.2)

    async with open_vfax(options) as side, open_peer(tcp=True) as peer, trio.open_nursery() as nursery:
        places = [(one.host, one.port) for one in side.endpoint.addresses]
        for host in OTHERS:
            nursery.start_soon(besiege, host)
        await trio.sleep(3)
        nursery.start_soon(side.receive, tmp_path / "in.tif")
        uri = f"sip:fax@127.0.0.1:{places[0][1]};transport=tcp"
        results.append(await peer.call(uri, document, Habits(way=Way.AUDIO_THEN_WAIT, transport="tcp")))
        nursery.cancel_scope.cancel()
    assert results[0].ok, peer.transcript.text()
    documents.assert_same_pages(tmp_path / "in.tif", pages)
    lines = (tmp_path / "abuse.log").read_text()
    assert all(f"by {host} reason=connection" in lines for host in OTHERS)


async def test_a_connection_that_says_too_much_is_read_more_slowly(fax_clock: MockClock) -> None:
    sieve = SieveOptions(source_rate=20.0)
    options = EndpointOptions(listen=Listen("127.0.0.1", 0, Transport.TCP), sieve=sieve)
    junk = Junk(("127.0.0.1", 5060), SEED)
    heard = 0
    async with open_vfax(options) as side:
        stream = await trio.open_tcp_stream(*side.endpoint.address)
        async with stream, trio.open_nursery() as nursery:

            async def talk() -> None:
                for _ in range(1000):
                    junk.next(("127.0.0.1", 5060))  # another number
                    await stream.send_all(junk.options(("127.0.0.1", 5060)).replace(b"/UDP", b"/TCP"))

            nursery.start_soon(talk)
            with trio.move_on_after(10):
                while True:
                    heard += (await stream.receive_some(65536)).count(b"SIP/2.0 200")
            nursery.cancel_scope.cancel()
    assert 200 < heard < 20 * (2 + 10 + 2)  # what it had saved, what it earned, and what it owes
