"""vfax's signalling against peers that nobody here wrote: sipp in real time, and bare messages in virtual time."""

import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import trio
from PIL import Image
from trio.testing import MockClock

from tests.interop.raw_sip import RawSip, open_raw
from tests.interop.side import Fax, VfaxSide, open_vfax
from tests.interop.sip_plain import Message, parameter, respond
from tests.interop.sipp_runner import Sipp, SippReport, run_sipp
from vfax.endpoint import EndpointOptions
from vfax.leg_values import LegOptions
from vfax.outcome import Cause

MakeFax = Callable[..., tuple[Path, list[Image.Image]]]
TORTURE = Path(__file__).parents[1] / "data" / "rfc4475"
OPTIONS = EndpointOptions(listen=("127.0.0.1", 0), leg=LegOptions(caller_retries_audio=False))


@pytest.fixture
async def vfax() -> AsyncIterator[VfaxSide]:
    async with open_vfax(OPTIONS) as side:
        yield side


@pytest.fixture
def scenario(sipp: str, vfax: VfaxSide, tmp_path: Path) -> Callable[..., Awaitable[SippReport]]:
    """Runs a calling sipp scenario against vfax in a thread."""

    async def run(name: str, *, calls: int = 1) -> SippReport:
        return await trio.to_thread.run_sync(partial(run_sipp, sipp, name, tmp_path, vfax.address, calls=calls))

    return run


Run = Callable[..., Awaitable[SippReport]]


async def receive_into(vfax: VfaxSide, target: Path, faxes: list[Fax]) -> None:
    faxes.append(await vfax.receive(target))


@pytest.mark.realtime
@pytest.mark.parametrize("name", ["direct_t38", "audio_then_t38", "glare"])
async def test_sipp_calls_and_hangs_up(name: str, scenario: Run, vfax: VfaxSide, tmp_path: Path) -> None:
    faxes: list[Fax] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive_into, vfax, tmp_path / "got.tif", faxes)
        report = await scenario(name)
        assert report.ok, str(report)
    assert faxes[0].ended.cause is Cause.PEER_HUNG_UP


@pytest.mark.realtime
async def test_sipp_cancels_while_it_rings(scenario: Run, vfax: VfaxSide) -> None:
    reports: list[SippReport] = []

    async def run() -> None:
        reports.append(await scenario("cancel"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        incoming = await vfax.next_call()
        with trio.fail_after(5):
            await incoming.ended_early.wait()
    assert reports[0].ok, str(reports[0])


@pytest.mark.realtime
async def test_sipp_asks_for_options(scenario: Run) -> None:
    report = await scenario("options", calls=5)
    assert report.ok, str(report)


@pytest.mark.realtime
async def test_calls_go_on_while_garbage_arrives_on_the_sip_port(scenario: Run, vfax: VfaxSide, tmp_path: Path) -> None:
    torture = [path.read_bytes() for path in sorted(TORTURE.glob("*.dat"))]
    dice = random.Random(4475)
    faxes: list[Fax] = []
    reports: list[SippReport] = []

    async def call() -> None:
        reports.append(await scenario("direct_t38", calls=5))
        nursery.cancel_scope.cancel()

    async def throw(sock: socket.socket) -> None:
        while True:
            for octets in (dice.choice(torture), dice.randbytes(dice.randrange(1, 600))):
                sock.sendto(octets, vfax.address)
            await trio.sleep(0.002)

    assert len(torture) > 40
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        async with trio.open_nursery() as nursery:
            for number in range(60):  # torture messages ring as well: they take some of these
                nursery.start_soon(receive_into, vfax, tmp_path / f"{number}.tif", faxes)
            nursery.start_soon(throw, sock)
            nursery.start_soon(call)
    assert reports[0].ok, str(reports[0])
    assert vfax.endpoint.counters.bugs == 0
    assert vfax.endpoint.counters.not_sip > 0


@pytest.mark.realtime
@pytest.mark.parametrize(
    ("name", "cause", "status"),
    [
        ("uas_busy", Cause.BUSY, 486),
        ("uas_no_t38", Cause.T38_REFUSED, 488),
        ("uas_hangs_up", Cause.PEER_HUNG_UP, None),
    ],
)
async def test_vfax_calls_a_sipp_that_refuses_or_hangs_up(
    name: str, cause: Cause, status: int | None, sipp: str, vfax: VfaxSide, make_fax: MakeFax, tmp_path: Path
) -> None:
    with Sipp(sipp, name, tmp_path) as run:
        await trio.to_thread.run_sync(run.wait_until_listening)
        fax = await vfax.send(make_fax()[0], f"sip:fax@127.0.0.1:{run.port}")
        report = await trio.to_thread.run_sync(run.report)
    assert report.ok, str(report)
    assert (fax.ended.cause, fax.ended.sip_status) == (cause, status)
    assert fax.ended.sentence


async def test_repeated_invite_and_bye_get_the_same_answers_and_no_second_call(
    fax_clock: MockClock, vfax: VfaxSide, tmp_path: Path
) -> None:
    faxes: list[Fax] = []
    with open_raw(vfax.address) as raw:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive_into, vfax, tmp_path / "got.tif", faxes)
            invite = raw.request("INVITE", 1, sdp=raw.t38_offer())
            raw.send(invite)
            tag = parameter((await raw.receive_status(200)).get("to"), "tag")
            raw.send(invite)
            assert parameter((await raw.receive_status(200)).get("to"), "tag") == tag
            raw.send(raw.request("ACK", 1, to_tag=tag))
            raw.send(invite)
            await raw.listen_for(2.0)
            bye = raw.request("BYE", 2, to_tag=tag)
            for _ in range(3):
                raw.send(bye)
                await raw.listen_for(0.2)
    assert raw.statuses("BYE") == [200, 200, 200]
    assert {parameter(m.get("to"), "tag") for _, m in raw.heard if m.status > 100} == {tag}
    assert [fax.ended.cause for fax in faxes] == [Cause.PEER_HUNG_UP]


async def test_answer_is_repeated_until_its_ack_and_given_up_after_64_t1(
    fax_clock: MockClock, vfax: VfaxSide, tmp_path: Path
) -> None:
    faxes: list[Fax] = []
    with open_raw(vfax.address) as raw:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive_into, vfax, tmp_path / "got.tif", faxes)
            raw.send(raw.request("INVITE", 1, sdp=raw.t38_offer()))
            await raw.listen_for(40)
            tag = parameter(next(m for _, m in raw.heard if m.status == 200).get("to"), "tag")
            raw.send(raw.request("BYE", 2, to_tag=tag))  # a polite end, should it still be up
            await raw.listen_for(1)
    answers = raw.times("SIP/2.0 200")
    assert [round(at - answers[0], 1) for at in answers[:6]] == [0, 0.5, 1.5, 3.5, 7.5, 11.5]
    assert raw.times("BYE"), "RFC 3261 13.3.1.4: a 2xx without ACK ends in BYE"
    assert faxes[0].ended.cause is not Cause.COMPLETE


async def test_invite_is_repeated_with_the_same_branch_until_somebody_answers(
    fax_clock: MockClock, vfax: VfaxSide, make_fax: MakeFax
) -> None:
    document, _ = make_fax()
    with open_raw() as raw:
        fax = await vfax.send(document, f"sip:nobody@127.0.0.1:{raw.address[1]}")
        await raw.listen_for(0.1)
    invites = [message for _, message in raw.heard if message.first.startswith("INVITE")]
    assert len(invites) == 7  # 0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5 s
    assert len({message.branch for message in invites}) == 1
    assert fax.ended.cause is Cause.NETWORK


async def test_an_invite_repeated_while_it_rings_hears_the_last_provisional_answer_again(
    fax_clock: MockClock, vfax: VfaxSide
) -> None:
    with open_raw(vfax.address) as raw:
        invite = raw.request("INVITE", 1, sdp=raw.t38_offer())
        raw.send(invite)
        incoming = await vfax.next_call()
        for _ in range(3):
            await raw.listen_for(1)
            raw.send(invite)
        await raw.listen_for(1)
        incoming.refuse(486)
        await raw.receive_status(486)
    assert raw.statuses("INVITE")[:5] == [100, 180, 180, 180, 180]
    assert vfax.ringing.statistics().current_buffer_used == 0


def answer_to(invite: Message, raw: RawSip, status: int) -> bytes:
    host, port = raw.address
    contact = [("Contact", f"<sip:raw@{host}:{port}>")]
    return respond(invite, status, contact, raw.t38_offer() if status == 200 else "", tag="raw")


async def test_a_call_that_rings_longer_than_64_t1_is_waited_for_and_a_repeated_200_is_acknowledged_again(
    fax_clock: MockClock, vfax: VfaxSide, make_fax: MakeFax
) -> None:
    with open_raw() as raw:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(vfax.send, make_fax()[0], f"sip:nobody@127.0.0.1:{raw.address[1]}")
            invite = await raw.receive()
            raw.send(answer_to(invite, raw, 180))
            await raw.listen_for(50)
            for _ in range(3):
                raw.send(answer_to(invite, raw, 200))
                await raw.listen_for(0.5)
            nursery.cancel_scope.cancel()
    requests = [message.first.split(" ")[0] for _, message in raw.heard if not message.status]
    assert requests[:4] == ["INVITE", "ACK", "ACK", "ACK"]


@pytest.mark.parametrize("status", [486, 480])
async def test_refusal_is_repeated_until_its_ack(status: int, fax_clock: MockClock, vfax: VfaxSide) -> None:
    with open_raw(vfax.address) as raw:
        raw.send(raw.request("INVITE", 1, sdp=raw.t38_offer(), branch="z9hG4bKonce"))
        incoming = await vfax.next_call()
        incoming.refuse(status)
        tag = parameter((await raw.receive_status(status)).get("to"), "tag")
        await raw.listen_for(4)
        count = raw.statuses("INVITE").count(status)
        raw.send(raw.request("ACK", 1, to_tag=tag, branch="z9hG4bKonce"))
        await raw.listen_for(30)
    assert count >= 4
    assert raw.statuses("INVITE").count(status) == count


async def test_an_unknown_method_and_a_stray_bye_get_answers(fax_clock: MockClock, vfax: VfaxSide) -> None:
    with open_raw(vfax.address) as raw:
        raw.send(raw.request("DANCE", 7))
        await raw.listen_for(0.1)
        raw.send(raw.request("BYE", 8, to_tag="nobody"))
        await raw.listen_for(0.1)
    assert raw.statuses("DANCE")[0] in (405, 501)
    assert raw.statuses("BYE") == [481]


async def test_a_call_without_fax_hears_488(fax_clock: MockClock, vfax: VfaxSide) -> None:
    video = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=video 9 RTP/AVP 96\r\n"
    with open_raw(vfax.address) as raw:
        raw.send(raw.request("INVITE", 1, sdp=video))
        await raw.receive_status(488)
    assert vfax.ringing.statistics().current_buffer_used == 0


async def test_strangers_get_no_answer_and_are_counted(fax_clock: MockClock) -> None:
    closed = replace(OPTIONS, allow=("192.0.2.0/24",))
    async with open_vfax(closed) as side:
        with open_raw(side.address) as raw:
            raw.send(raw.request("OPTIONS", 1))
            await raw.listen_for(1)
        assert raw.heard == []
        assert side.endpoint.counters.not_allowed == 1
