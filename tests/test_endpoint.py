"""The rim of the endpoint: one bad call, peer or host must not end it, and a call that is cut off leaves nothing."""

import gc
import json
import os
import re
import resource
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from tests.virtual import hold_for_threads
from vfax import call
from vfax.endpoint import Endpoint, EndpointOptions
from vfax.errors import DocumentError, LinkError
from vfax.leg import CallerOffer, LegOptions
from vfax.outcome import Cause, Outcome
from vfax.resolving import SystemResolver
from vfax.transports.parameters import T38Parameters
from vfax.transports.sip import values as sip
from vfax.transports.sip.account import NO_ACCOUNT
from vfax.transports.sip.agent import Agent
from vfax.transports.sip.negotiation import MediaSession
from vfax.transports.sip.options import SipOptions
from vfax.transports.sip.outside import Asking
from vfax.transports.sip.policy import DialogPolicy, Reliable
from vfax.transports.sip.values import Address, Flow, Hop, Transport
from vfax.transports.udp import UdpSocket, address_towards

ANY_PORT: Final = ("127.0.0.1", 0)


class Broken(Exception):
    """A fault of the device, in a test."""


class Peer:
    """A SIP peer by hand: it says what it is told to, and shows what it hears."""

    def __init__(self, host: str = "127.0.0.1", *, towards: Address = ("127.0.0.1", 9)) -> None:
        self.raw = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.raw.bind((host, 0))
        self.sock = trio.socket.from_stdlib_socket(self.raw)
        self.towards = towards
        self.heard: list[str] = []
        self.call_id, self.cseq, self.to = "call-1", 1, "<sip:1@127.0.0.1>"
        self.contact = ""  # the usual one
        self.media = MediaSession(host="127.0.0.1", port=40000, parameters=T38Parameters(), session_id=1)

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Peer"]:
        with self.sock:
            yield self

    @property
    def address(self) -> Address:
        name = self.sock.getsockname()
        return str(name[0]), int(name[1])

    def say(self, text: str, body: bytes = b"") -> None:
        head = text + (f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n" if body else "\r\n")
        self.raw.sendto(head.encode() + body, self.towards)

    def request(self, method: str, body: bytes = b"", *, branch: str = "", cseq: int = 0) -> None:
        if method not in ("ACK", "CANCEL"):
            self.cseq += 1
        number, (host, port) = cseq or self.cseq, self.address
        self.say(
            f"{method} sip:1@127.0.0.1 SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{branch or f'{method}{number}'}\r\n"
            f"From: <sip:2@127.0.0.1>;tag=them\r\nTo: {self.to}\r\nCall-ID: {self.call_id}\r\n"
            f"CSeq: {number} {method}\r\nContact: {self.contact or f'<sip:2@{host}:{port}>'}\r\nMax-Forwards: 70\r\n",
            body,
        )

    async def hear(self, *starts: str) -> str:
        """The next message that begins with one of `starts`; others are noted and passed over."""
        with trio.fail_after(100):
            while True:
                octets, source = await self.sock.recvfrom(65535)
                text = octets.decode()
                self.towards = source
                self.heard.append(text.splitlines()[0])
                if text.startswith(starts):
                    return text

    async def ring_and_answer(self, offer: bytes) -> None:
        """Call, and acknowledge the answer."""
        self.request("INVITE", offer)
        answer = await self.hear("SIP/2.0 200")
        self.to = field(answer, "To")
        self.request("ACK", cseq=self.cseq)


def field(message: str, name: str) -> str:
    return next(line.partition(": ")[2] for line in message.splitlines() if line.startswith(f"{name}: "))


def fields(message: str, *names: str) -> str:
    return "".join(f"{name}: {field(message, name)}\r\n" for name in names)


class Host:
    """What a device does with calls: takes each into a file, and notes how it ended."""

    def __init__(self, folder: Path, nursery: trio.Nursery, publish: call.Publish = lambda event: None) -> None:
        self.folder, self.nursery, self.publish = folder, nursery, publish
        self.outcomes: list[Outcome] = []
        self.calls: list[call.InboundCall] = []
        self.scope = trio.CancelScope()
        self.ended = trio.Event()

    def on_call(self, arrived: call.InboundCall) -> None:
        self.calls.append(arrived)
        self.nursery.start_soon(self._take, arrived)

    async def _take(self, arrived: call.InboundCall) -> None:
        target = self.folder / "received.tif"
        target.touch()
        with self.scope:
            self.outcomes.append(await arrived.receive(target, local_id="1", publish=self.publish))
        self.ended.set()


@asynccontextmanager
async def endpoint(
    on_call: Callable[[call.InboundCall], None] = lambda arrived: arrived.refuse(486), **options: Any
) -> AsyncIterator[Endpoint]:
    one = Endpoint(EndpointOptions(**{"listen": ANY_PORT} | options), resolver=SystemResolver())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold_for_threads)
        await nursery.start(one.run, on_call)
        yield one
        nursery.cancel_scope.cancel()


def lines(folder: Path) -> list[dict[str, Any]]:
    (journal,) = folder.glob("*.jsonl")
    return [json.loads(line) for line in journal.read_text("utf-8").splitlines()]


def open_files(folder: Path) -> list[str]:
    """What is open below `folder`; forgotten files are not helped by the garbage collector."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            link = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if link.startswith(str(folder)):
            found.append(link)
    return found


def open_sockets() -> int:
    gc.collect()
    links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    return sum(os.path.lexists(link) and os.readlink(link).startswith("socket:") for link in links)


async def still_serves(one: Endpoint) -> bool:
    async with Peer(towards=one.address).open() as peer:
        peer.call_id = "another"
        peer.request("OPTIONS")
        return (await peer.hear("SIP/2.0")).startswith("SIP/2.0 200")


# --- one bad call --------------------------------------------------------------------------------


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


# --- cut off -------------------------------------------------------------------------------------


def request(document: Path, address: Address, uri: str = "") -> call.SendRequest:
    destination = uri or f"sip:1@{address[0]}:{address[1]}"
    return call.SendRequest(document=document, destination=destination, local_id="1", caller_name="")


def make_page(path: Path) -> None:
    from PIL import Image

    Image.new("1", (1728, 300), 1).save(path, compression="group4", dpi=(204, 98))


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


# --- before the call -----------------------------------------------------------------------------


async def test_call_without_a_free_media_port_is_refused_with_a_reason(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        host = Host(tmp_path, nursery)
        blocker = UdpSocket.bind_even("127.0.0.1", [0] * 64)
        port = blocker.address[1]
        async with (
            endpoint(host.on_call, media_ports=(port, port), journal=tmp_path) as one,
            Peer(towards=one.address).open() as peer,
        ):
            peer.request("INVITE", peer.media.offer_t38())
            await peer.hear("SIP/2.0 503")
            await host.ended.wait()
            assert await still_serves(one)
        blocker.close()
    assert host.outcomes[0].cause is Cause.LINE_UNAVAILABLE
    assert "no free media port" in host.outcomes[0].sentence


async def test_media_port_is_not_used_again_at_once() -> None:
    low = UdpSocket.bind_even("127.0.0.1", [0] * 64)
    port = low.address[1]
    low.close()
    async with endpoint(media_ports=(port, port + 40)) as one:
        first, _ = await one.open_media(("127.0.0.1", 5060), NO_ACCOUNT, LegOptions())
        first.close()
        second, _ = await one.open_media(("127.0.0.1", 5060), NO_ACCOUNT, LegOptions())
        second.close()
    assert first.address != second.address


async def test_peer_that_no_route_leads_to_costs_no_socket() -> None:
    async with endpoint(listen=("0.0.0.0", 0)) as one:
        sockets = open_sockets()
        with pytest.raises(LinkError):
            await one.open_media(("255.255.255.255", 9), NO_ACCOUNT, LegOptions())
        assert open_sockets() == sockets


async def test_running_out_of_files_is_a_link_error() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    first = os.open(os.devnull, os.O_RDONLY)
    os.close(first)
    resource.setrlimit(resource.RLIMIT_NOFILE, (first, hard))
    try:
        with pytest.raises(LinkError, match="cannot listen"):
            UdpSocket.bind("127.0.0.1", 0)
        with pytest.raises(LinkError, match="Too many open files"):
            address_towards(("127.0.0.1", 9))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    "uri",
    [
        "sip:1@127.0.0.1?Subject=x",
        "sip:1@127.0.0.1;transport=sctp",
        "not a uri",
        "sip:1@a..b",
        "sip:1@no-such-host.invalid",
        "sip:",
    ],
)
async def test_destination_that_cannot_be_called_is_an_outcome(uri: str, tmp_path: Path) -> None:
    document = tmp_path / "document.tif"
    make_page(document)
    trio.socket.set_custom_hostname_resolver(Nowhere())
    async with endpoint(journal=tmp_path) as one:
        outcome = await one.outbound().send(request(document, ANY_PORT, uri), publish=lambda event: None)
        assert one.counters.bugs == 0
    assert outcome.cause is Cause.BAD_ADDRESS
    assert not open_files(tmp_path)


class Nowhere(trio.abc.HostnameResolver):
    """A resolver that knows no name."""

    async def getaddrinfo(self, host: Any, port: Any, family: int = 0, *rest: Any) -> Any:
        bytes(host) if isinstance(host, bytes) else host.encode("idna")
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def getnameinfo(self, sockaddr: Any, flags: int) -> Any:
        raise AssertionError("nobody asks")


class Slow(Nowhere):
    """A resolver that never answers."""

    async def getaddrinfo(self, host: Any, port: Any, family: int = 0, *rest: Any) -> Any:
        await trio.sleep_forever()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of ICMP")
async def test_call_to_where_nobody_listens_ends_at_once_and_the_operator_hears_of_it_once(tmp_path: Path) -> None:
    document = tmp_path / "document.tif"
    make_page(document)
    async with Peer().open() as peer:
        host, port = peer.address
    async with endpoint() as one:
        with trio.fail_after(5):  # nobody who says nothing takes 32 s
            for _ in range(3):
                wanted = request(document, ANY_PORT, f"sip:1@{host}:{port}")
                outcome = await one.outbound().send(wanted, publish=lambda event: None)
                assert f"{host}:{port} cannot be reached over UDP: nobody listens there" in outcome.sentence
        assert list(one.notices) == [f"{host}:{port} cannot be reached over UDP: nobody listens there"]


async def test_abort_does_not_wait_for_a_slow_resolver(tmp_path: Path, fax_clock: MockClock) -> None:
    document = tmp_path / "document.tif"
    make_page(document)
    trio.socket.set_custom_hostname_resolver(Slow())
    async with endpoint(journal=tmp_path) as one, trio.open_nursery() as nursery:
        outgoing, outcomes = one.outbound(), list[Outcome]()

        async def send() -> None:
            wanted = request(document, ANY_PORT, "sip:1@slow.example")
            outcomes.append(await outgoing.send(wanted, publish=lambda event: None))

        nursery.start_soon(send)
        await trio.sleep(1.0)
        outgoing.abort()
        with trio.fail_after(1.0):
            while not outcomes:  # noqa: ASYNC110  # an abort is over within a second
                await trio.sleep(0.05)
    assert outcomes[0].cause is Cause.ABORTED
    assert not open_files(tmp_path)


async def test_name_is_resolved_to_an_address_that_our_socket_reaches(tmp_path: Path) -> None:
    class Both(Nowhere):
        async def getaddrinfo(self, host: Any, port: Any, family: int = 0, *rest: Any) -> Any:
            found = [(socket.AF_INET6, ("::1", port, 0, 0)), (socket.AF_INET, ("127.0.0.1", port))]
            return [(kind, socket.SOCK_DGRAM, 17, "", name) for kind, name in found if family in (0, kind)]

    document = tmp_path / "document.tif"
    make_page(document)
    trio.socket.set_custom_hostname_resolver(Both())
    async with endpoint() as one, Peer().open() as peer, trio.open_nursery() as nursery:
        wanted = request(document, ANY_PORT, f"sip:1@both.example:{peer.address[1]}")
        outgoing = one.outbound()

        async def send() -> None:
            await outgoing.send(wanted, publish=lambda event: None)

        nursery.start_soon(send)
        with trio.fail_after(5):
            await peer.hear("INVITE")
        nursery.cancel_scope.cancel()


class Here(Nowhere):
    """A resolver that finds every name on this machine."""

    async def getaddrinfo(self, host: Any, port: Any, family: int = 0, *rest: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("127.0.0.1", port))]


@pytest.mark.parametrize("resolver", [Here(), Slow(), Nowhere()], ids=["found", "silent", "unknown"])
async def test_goodbye_goes_where_the_name_of_a_contact_leads_and_is_never_lost(
    resolver: Nowhere, tmp_path: Path
) -> None:
    trio.socket.set_custom_hostname_resolver(resolver)
    async with trio.open_nursery() as nursery:
        host = Host(tmp_path, nursery)
        async with (
            endpoint(host.on_call, journal=tmp_path, goodbye=0.05) as one,
            Peer(towards=one.address).open() as peer,
            Peer().open() as elsewhere,
        ):
            peer.contact = f"<sip:2@pbx.example:{elsewhere.address[1]}>"
            await peer.ring_and_answer(peer.media.offer_audio())
            await still_serves(one)
            await trio.sleep(0.1)
            host.calls[0].abort()
            await (elsewhere if isinstance(resolver, Here) else peer).hear("BYE")
            nursery.cancel_scope.cancel()


async def test_document_that_cannot_be_sent_leaves_no_open_journal(tmp_path: Path) -> None:
    async with endpoint(journal=tmp_path) as one:
        with pytest.raises(DocumentError):
            await one.outbound().send(request(tmp_path / "none.tif", ANY_PORT), publish=lambda event: None)
        one.outbound()  # and never sent: nothing is opened
        assert not open_files(tmp_path)
    assert lines(tmp_path)[-1]["cause"] == "document"


# --- who is heard --------------------------------------------------------------------------------

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
