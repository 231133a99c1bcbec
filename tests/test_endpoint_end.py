"""A call that is cut off, or whose endpoint ends, says goodbye and leaves nothing."""

import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from tests.endpoint_peer import (
    Host,
    Peer,
    endpoint,
    fields,
    lines,
    make_page,
    open_files,
    open_sockets,
    request,
    still_serves,
)
from vfax import call
from vfax.endpoint import Endpoint, EndpointOptions
from vfax.errors import LinkError
from vfax.outcome import Cause, Outcome
from vfax.transports.sip import values as sip
from vfax.transports.sip.outside import Asking
from vfax.transports.sip.values import Hop, Transport


@pytest.mark.parametrize("offer", ["audio", "t38"])
async def test_cancelled_receive_says_bye_and_leaves_nothing(offer: str, tmp_path: Path, fax_clock: MockClock) -> None:
    sockets = open_sockets()
    async with trio.open_nursery() as nursery:
        host = Host(tmp_path, nursery)
        async with endpoint(host.on_call, journal=tmp_path) as one, Peer(towards=one.address).open() as peer:
            await peer.ring_and_answer(peer.media.offer_audio() if offer == "audio" else peer.media.offer_t38())
            await trio.sleep(0.2)
            host.scope.cancel()
            bye = await peer.hear("BYE")
            peer.say("SIP/2.0 200 OK\r\n" + fields(bye, "Via", "From", "To", "Call-ID", "CSeq"))
            await host.ended.wait()
            await trio.sleep(0.5)
            assert not open_files(tmp_path)
    assert open_sockets() == sockets
    assert [line["cause"] for line in lines(tmp_path) if line["kind"] == "outcome"] == ["aborted"]


async def test_cancelled_receive_in_the_middle_of_a_page_says_bye(
    make_document: Callable[..., Path], tmp_path: Path, fax_clock: MockClock
) -> None:
    moving, target, journals = trio.Event(), tmp_path / "target.tif", tmp_path / "journal"
    target.touch()
    journals.mkdir()

    def publish(event: call.CallEvent) -> None:
        if isinstance(event, call.PageMoving):
            moving.set()

    scope = trio.CancelScope()

    async def take(arrived: call.InboundCall) -> None:
        with scope:
            await arrived.receive(target, local_id="2", publish=publish)

    sent: list[Outcome] = []
    async with (
        trio.open_nursery() as nursery,
        endpoint(lambda arrived: nursery.start_soon(take, arrived), journal=journals) as called,
        endpoint() as caller,
    ):

        async def send() -> None:
            one = request(make_document(rows=1000), called.address)
            sent.append(await caller.outbound().send(one, publish=lambda event: None))

        nursery.start_soon(send)
        await moving.wait()
        scope.cancel()
        with trio.fail_after(5):
            while not sent:  # noqa: ASYNC110  # the sender hears BYE
                await trio.sleep(0.05)
        assert called.counters.bugs == 0
    assert sent[0].cause is Cause.PEER_HUNG_UP
    (outcome,) = [line for line in lines(journals) if line["kind"] == "outcome"]
    assert (outcome["cause"], outcome["phase"], outcome["verdict"]) == ("aborted", "message", "receiving-aborted")


async def test_cancelled_send_cancels_the_invite(tmp_path: Path, fax_clock: MockClock) -> None:
    document = tmp_path / "document.tif"
    make_page(document)
    async with endpoint() as one, Peer().open() as peer, trio.open_nursery() as nursery:
        sending = trio.CancelScope()

        async def send() -> None:
            with sending:
                await one.outbound().send(request(document, peer.address), publish=lambda event: None)

        nursery.start_soon(send)
        invite = await peer.hear("INVITE")
        peer.say("SIP/2.0 180 Ringing\r\n" + fields(invite, "Via", "From", "To", "Call-ID", "CSeq"))
        await trio.sleep(0.2)
        sending.cancel()
        await peer.hear("CANCEL")


@pytest.mark.parametrize(("rings_after", "cancelled"), [(0.3, True), (None, False)])
async def test_call_that_has_not_rung_yet_is_cancelled_when_it_rings_while_the_endpoint_ends(
    rings_after: float | None, cancelled: bool, tmp_path: Path, fax_clock: MockClock
) -> None:
    document = tmp_path / "document.tif"
    make_page(document)
    heard = False
    async with Peer().open() as peer, trio.open_nursery() as nursery:

        async def ring(invite: str) -> None:
            if rings_after is not None:
                await trio.sleep(rings_after)
                peer.say("SIP/2.0 180 Ringing\r\n" + fields(invite, "Via", "From", "To", "Call-ID", "CSeq"))

        async with endpoint() as one:
            nursery.start_soon(
                partial(one.outbound().send, request(document, peer.address), publish=lambda event: None)
            )
            nursery.start_soon(ring, await peer.hear("INVITE"))
            ends = trio.current_time()
        took = trio.current_time() - ends
        with trio.move_on_after(3.0):
            await peer.hear("CANCEL")
            heard = True
        nursery.cancel_scope.cancel()
    assert heard is cancelled
    assert took < 1.5


async def test_endpoint_that_ends_says_bye_and_its_calls_have_an_outcome(tmp_path: Path, fax_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        host = Host(tmp_path, nursery)
        async with Peer().open() as peer:
            async with endpoint(host.on_call, journal=tmp_path) as one:
                peer.towards = one.address
                await peer.ring_and_answer(peer.media.offer_t38())
                await trio.sleep(0.2)
            await peer.hear("BYE")
            await host.ended.wait()
    assert host.outcomes[0].cause is Cause.NETWORK  # an abort would let a host throw confirmed pages away
    assert "shut down" in host.outcomes[0].sentence
    assert [line["cause"] for line in lines(tmp_path) if line["kind"] == "outcome"] == ["network"]
    assert not open_files(tmp_path)


async def test_a_question_that_outlasts_the_endpoint_has_an_end() -> None:
    endpoint = Endpoint(EndpointOptions(listen=("127.0.0.1", 0)))
    serving = trio.CancelScope()
    said: list[str] = []

    async def serve(*, task_status: trio.TaskStatus[None]) -> None:
        with serving:
            await endpoint.run(lambda arrived: None, task_status=task_status)

    async def ask(silent: Hop) -> None:
        try:
            await endpoint.ask(Asking(method="OPTIONS", uri="sip:127.0.0.1", targets=[silent], from_user="vfax"))
        except LinkError as why:
            said.append(str(why))

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody, trio.fail_after(5):
        nobody.bind(("127.0.0.1", 0))
        async with trio.open_nursery() as nursery:
            await nursery.start(serve)
            nursery.start_soon(ask, Hop(Transport.UDP, *nobody.getsockname()))
            await trio.testing.wait_all_tasks_blocked(0.05)
            serving.cancel()
    assert said == ["the endpoint has been shut down"]


async def test_a_name_that_was_wanted_when_the_endpoint_ended_does_not_trouble_the_next_run() -> None:
    endpoint = Endpoint(EndpointOptions(listen=("127.0.0.1", 0)))

    async def serve(scope: trio.CancelScope, *, task_status: trio.TaskStatus[None]) -> None:
        with scope:
            await endpoint.run(lambda arrived: None, task_status=task_status)

    for _ in range(2):
        scope = trio.CancelScope()
        async with trio.open_nursery() as nursery:
            await nursery.start(serve, scope)
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert await still_serves(endpoint)
            scope.cancel()
        endpoint._dispatch(sip.WayWanted(57, "sip:9@127.0.0.1"))  # by the last goodbyes


async def test_endpoint_that_ends_refuses_who_rings(tmp_path: Path) -> None:
    rang: list[call.InboundCall] = []
    async with Peer().open() as peer:
        async with endpoint(rang.append, journal=tmp_path) as one:
            peer.towards = one.address
            peer.request("INVITE", peer.media.offer_t38())
            await peer.hear("SIP/2.0 100")
        await peer.hear("SIP/2.0 603")
        assert rang[0].ended_early.is_set()
        rang[0].ring()
        rang[0].refuse(486)
        target = tmp_path / "target.tif"
        outcome = await rang[0].receive(target, local_id="1", publish=lambda event: None)
    assert not outcome.ok
    assert not open_files(tmp_path)


async def test_caller_who_gives_up_leaves_an_outcome_and_no_open_journal(tmp_path: Path) -> None:
    rang: list[call.InboundCall] = []
    async with endpoint(rang.append, journal=tmp_path) as one, Peer(towards=one.address).open() as peer:
        peer.request("INVITE", peer.media.offer_t38(), branch="x")
        await peer.hear("SIP/2.0 100")
        peer.request("CANCEL", branch="x")
        await peer.hear("SIP/2.0 487")
        peer.request("ACK", branch="x")
        assert await still_serves(one)
        assert not open_files(tmp_path)
    (outcome,) = [line for line in lines(tmp_path) if line["kind"] == "outcome"]
    assert outcome["cause"] == "peer-hung-up"
