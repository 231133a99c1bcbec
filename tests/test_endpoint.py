"""The rim of the endpoint: one bad call, peer or host must not end it."""

import re
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from tests.endpoint_peer import (
    Host,
    Peer,
    endpoint,
    field,
    fields,
    lines,
    make_page,
    open_files,
    request,
    still_serves,
)
from vfax import call
from vfax.outcome import Cause, Outcome
from vfax.transports.seldom import MAX_TOLD, TOLD_EVERY
from vfax.transports.sip.agent import Agent
from vfax.transports.sip.options import SipOptions
from vfax.transports.sip.policy import DialogPolicy, Reliable
from vfax.transports.sip.values import Flow


class Broken(Exception):
    """A fault of the device, in a test."""


@pytest.mark.parametrize("offer", [b"hello", b"v=0\r\nm=audio x RTP/AVP 0\r\n", b"\xff" * 500])
async def test_invite_without_a_readable_offer_is_refused_and_nothing_else(offer: bytes, tmp_path: Path) -> None:
    async with endpoint(journal=tmp_path) as one, Peer(towards=one.address).open() as peer:
        peer.request("INVITE", offer)
        assert (await peer.hear("SIP/2.0 4")).startswith(("SIP/2.0 400", "SIP/2.0 488"))
        assert await still_serves(one)
    (outcome,) = [line for line in lines(tmp_path) if line["kind"] == "outcome"]
    assert "offer" in outcome["sentence"]


async def test_caller_without_a_required_extension_is_refused_before_it_rings(tmp_path: Path) -> None:
    rung: list[call.InboundCall] = []
    needs = SipOptions(dialogs=DialogPolicy(reliable=Reliable.REQUIRE))
    async with endpoint(rung.append, sip=needs, journal=tmp_path) as one, Peer(towards=one.address).open() as peer:
        peer.request("INVITE", peer.media.offer_audio())
        assert field(await peer.hear("SIP/2.0 421"), "Require") == "100rel"
    assert rung == []
    (outcome,) = [line for line in lines(tmp_path) if line["kind"] == "outcome"]
    assert "the caller does not know 100rel" in outcome["sentence"]


@pytest.mark.faults
async def test_message_that_meets_a_fault_of_ours_is_lost_alone_and_the_operator_hears_of_it_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken = Agent.receive

    def receive(self: Agent, data: bytes, flow: Flow, now: float) -> None:
        if b"sip:fault@" in data:
            raise KeyError("nobody thought of this")
        taken(self, data, flow, now)

    monkeypatch.setattr(Agent, "receive", receive)
    async with endpoint() as one, Peer(towards=one.address).open() as peer:
        for _ in range(2):
            peer.say("OPTIONS sip:fault@127.0.0.1 SIP/2.0\r\n")
        assert await still_serves(one)
        assert one.counters.bugs == 2
    (sentence,) = one.notices
    assert re.fullmatch(
        r"A message of 127\.0\.0\.1 met a fault of vfax and was dropped "
        r"\(KeyError in test_endpoint\.py:\d+, receive\): please report it\.",
        sentence,
    )


@pytest.mark.faults
async def test_timer_that_meets_a_fault_of_ours_is_lost_alone(
    monkeypatch: pytest.MonkeyPatch, fax_clock: MockClock
) -> None:
    heeded = Agent.handle_timeout

    def handle_timeout(self: Agent, now: float) -> None:
        heeded(self, now)
        if one.counters.bugs < 2:
            raise KeyError("nobody thought of this")

    async with endpoint() as one, Peer(towards=one.address).open() as peer:
        monkeypatch.setattr(Agent, "handle_timeout", handle_timeout)
        peer.request("INVITE", peer.media.offer_audio())
        await peer.hear("SIP/2.0 486")
        await peer.hear("SIP/2.0 486")  # it is repeated, for nobody acknowledges it
        await peer.hear("SIP/2.0 486")
        assert one.counters.bugs == 2
        assert await still_serves(one)
    (sentence,) = one.notices
    assert sentence.startswith("A timer of SIP met a fault of vfax and was dropped (KeyError in test_endpoint.py:")


@pytest.mark.faults
@pytest.mark.parametrize("place", ["vfax.calls.IncomingFax._open_journal", "vfax.calls.objection_to"])
async def test_new_call_that_meets_a_fault_of_ours_hears_500_and_holds_no_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fax_clock: MockClock, place: str
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("nobody thought of this")

    async with endpoint(journal=tmp_path) as one, Peer(towards=one.address).open() as peer:
        with monkeypatch.context() as patch:
            patch.setattr(place, broken)
            peer.request("INVITE", peer.media.offer_audio())
            await peer.hear("SIP/2.0 500")
        assert one.counters.bugs == 1
        assert await still_serves(one)
        await trio.sleep(40)  # nobody has acknowledged anything
        assert one.agent.calls == 0
        assert open_files(tmp_path) == []


async def test_answers_that_come_back_from_many_forged_senders_fill_no_log(fax_clock: MockClock) -> None:
    answer = b"SIP/2.0 404 Not Found\r\n"
    async with endpoint() as one:
        for _ in range(2):
            for host in range(1, 200):
                one.sockets._undelivered(answer, (f"192.0.2.{host}", 5060), "No route to host")
        assert [said.partition(" ")[0] for said in one.notices] == [f"192.0.2.{n}:5060" for n in range(1, MAX_TOLD + 1)]
        await trio.sleep(TOLD_EVERY)
        one.sockets._undelivered(answer, ("192.0.2.9", 5060), "No route to host")
        assert one.notices[-1] == "192.0.2.9:5060 cannot be reached over UDP: No route to host"
        assert len(one.notices) == MAX_TOLD + 1


async def test_host_that_raises_on_a_call_loses_that_call_only(tmp_path: Path) -> None:
    def on_call(arrived: call.InboundCall) -> None:
        raise ValueError("a fault of the host")

    async with endpoint(on_call, journal=tmp_path) as one, Peer(towards=one.address).open() as peer:
        peer.request("INVITE", peer.media.offer_audio())
        await peer.hear("SIP/2.0 500")
        assert one.counters.bugs == 1
        assert await still_serves(one)
    assert "fault" in [line["kind"] for line in lines(tmp_path)]


async def test_reoffers_that_come_and_go_in_one_breath_end_nothing(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        host = Host(tmp_path, nursery)
        async with endpoint(host.on_call) as one, Peer(towards=one.address).open() as peer:
            await peer.ring_and_answer(peer.media.offer_audio())
            offer = peer.media.offer_audio()
            for _ in range(3):  # all of it lies in the socket before the endpoint looks
                peer.request("INVITE", offer, branch=f"b{peer.cseq}")
                peer.request("CANCEL", branch=f"b{peer.cseq - 1}")
            assert await still_serves(one)
            peer.request("BYE")
            await host.ended.wait()
            assert one.counters.bugs == 0
    assert host.outcomes[0].cause is Cause.PEER_HUNG_UP


async def test_fault_of_the_listener_ends_its_call_alone(tmp_path: Path, fax_clock: MockClock) -> None:
    def publish(event: call.CallEvent) -> None:
        if isinstance(event, call.Answered):
            raise Broken

    async with trio.open_nursery() as nursery:
        host = Host(tmp_path, nursery, publish)
        async with endpoint(host.on_call) as one, Peer(towards=one.address).open() as peer:
            peer.request("INVITE", peer.media.offer_audio())
            await peer.hear("SIP/2.0 603")
            await host.ended.wait()
            assert await still_serves(one)
    assert host.outcomes[0].cause is Cause.INTERNAL


async def test_fault_while_an_event_of_the_dialog_is_told_ends_its_call_alone(
    tmp_path: Path, fax_clock: MockClock
) -> None:
    def publish(event: call.CallEvent) -> None:
        if isinstance(event, call.Ringing):
            raise Broken

    document = tmp_path / "document.tif"
    make_page(document)
    async with endpoint() as one, Peer().open() as peer, trio.open_nursery() as nursery:
        outcomes: list[Outcome] = []

        async def send() -> None:
            outcomes.append(await one.outbound().send(request(document, peer.address), publish=publish))

        nursery.start_soon(send)
        invite = await peer.hear("INVITE")
        peer.say("SIP/2.0 180 Ringing\r\n" + fields(invite, "Via", "From", "To", "Call-ID", "CSeq"))
        await peer.hear("CANCEL")
        assert await still_serves(one)
    assert outcomes[0].cause is Cause.INTERNAL
