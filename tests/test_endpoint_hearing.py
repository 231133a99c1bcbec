"""Who is heard beyond the allowed networks: the hosts of calls of ours, as long as those last."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest
import trio

from tests.endpoint_peer import ANY_PORT, Peer, endpoint, field, fields, make_page, request
from vfax.endpoint import Endpoint
from vfax.leg import CallerOffer, LegOptions
from vfax.outcome import Cause, Outcome

STRANGERS: Final = ("192.0.2.0/24",)


async def heard_from_loopback(one: Endpoint) -> bool:
    """Whether a request from 127.0.0.1 gets an answer; if not, it must have been counted."""
    before = one.counters.not_allowed
    async with Peer(towards=one.address).open() as peer, trio.open_nursery() as nursery:
        heard = trio.Event()

        async def hear() -> None:
            await peer.hear("SIP/2.0")
            heard.set()

        nursery.start_soon(hear)
        peer.request("OPTIONS")
        with trio.fail_after(30):
            while not heard.is_set() and one.counters.not_allowed == before:  # noqa: ASYNC110  # a counter has no event
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    return heard.is_set()


async def test_host_is_heard_while_we_call_it_and_not_longer(tmp_path: Path) -> None:
    document = tmp_path / "document.tif"
    make_page(document)
    async with endpoint(allow=STRANGERS) as one, Peer().open() as peer, trio.open_nursery() as nursery:
        assert not await heard_from_loopback(one)

        async def send() -> None:
            await one.outbound().send(request(document, peer.address), publish=lambda event: None)

        nursery.start_soon(send)
        invite = await peer.hear("INVITE")
        assert await heard_from_loopback(one)
        peer.say("SIP/2.0 488 No\r\n" + fields(invite, "Via", "From", "To", "Call-ID", "CSeq"))
        second = await peer.hear("INVITE")
        while field(second, "Call-ID") == field(invite, "Call-ID"):
            second = await peer.hear("INVITE")
        assert await heard_from_loopback(one)
        peer.say("SIP/2.0 486 Busy\r\n" + fields(second, "Via", "From", "To", "Call-ID", "CSeq"))
        await peer.hear("ACK")
    assert not await heard_again(one)


async def heard_again(one: Endpoint) -> bool:
    """Whether any host is still heard beyond the allowed networks, once the endpoint runs again."""
    async with trio.open_nursery() as nursery:
        await nursery.start(one.run, lambda arrived: arrived.refuse(486))
        heard = await heard_from_loopback(one)
        nursery.cancel_scope.cancel()
    return heard


async def never_dialled(one: Endpoint, document: Path) -> None:
    outgoing = one.outbound()
    outgoing.abort()
    outcome = await outgoing.send(request(document, ANY_PORT, "sip:1@127.0.0.1:9"), publish=lambda event: None)
    assert outcome.cause is Cause.ABORTED


async def undiallable(one: Endpoint, document: Path) -> None:
    wanted = request(document, ANY_PORT, "sip:1@127.0.0.1:9?Subject=x")
    await one.outbound().send(wanted, publish=lambda event: None)


@pytest.mark.parametrize("attempt", [never_dialled, undiallable])
async def test_call_that_never_left_lets_nobody_in(
    attempt: Callable[[Endpoint, Path], Awaitable[None]], tmp_path: Path
) -> None:
    document = tmp_path / "document.tif"
    make_page(document)
    async with endpoint(allow=STRANGERS) as one:
        await attempt(one, document)
        assert not await heard_from_loopback(one)


async def test_host_that_the_called_side_names_is_heard_too(tmp_path: Path) -> None:
    document = tmp_path / "document.tif"
    make_page(document)
    options = LegOptions(caller_offer=CallerOffer.AUDIO)
    outcomes: list[Outcome] = []
    async with (
        endpoint(allow=STRANGERS, leg=options) as one,
        Peer().open() as peer,
        Peer("127.0.0.2").open() as other,
        trio.open_nursery() as nursery,
    ):

        async def send() -> None:
            outcomes.append(await one.outbound().send(request(document, peer.address), publish=lambda event: None))

        nursery.start_soon(send)
        invite = await peer.hear("INVITE")
        host, port = other.address
        answer = peer.media.offer_audio()
        head = fields(invite, "Via", "From", "Call-ID", "CSeq") + f"To: {field(invite, 'To')};tag=them\r\n"
        peer.say(f"SIP/2.0 200 OK\r\n{head}Contact: <sip:1@{host}:{port}>\r\n", answer)
        ack = await other.hear("ACK")
        other.call_id, other.to = field(ack, "Call-ID"), field(ack, "From")
        other.say(
            f"BYE sip:1@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {host}:{port};branch=z9hG4bKbye\r\n"
            f"From: {field(ack, 'To')}\r\nTo: {field(ack, 'From')}\r\nCall-ID: {field(ack, 'Call-ID')}\r\n"
            "CSeq: 1 BYE\r\nMax-Forwards: 70\r\n"
        )
        await other.hear("SIP/2.0 200")
    assert outcomes[0].cause is Cause.PEER_HUNG_UP
