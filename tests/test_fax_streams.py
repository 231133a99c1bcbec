"""Whole faxes between two endpoints of ours whose SIP goes over TCP, TLS and IPv6, in virtual time."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
import trio
from trio.testing import MockClock

from tests.certs import Authority
from tests.virtual import hold_for_threads
from vfax import call
from vfax.endpoint import Endpoint, EndpointOptions
from vfax.errors import LinkError
from vfax.leg import CallerOffer, LegOptions
from vfax.outcome import Cause, Outcome
from vfax.sockets import Listen
from vfax.transports.certificates import TlsOptions
from vfax.transports.sip.headers import Uri
from vfax.transports.sip.probing import ProbeOptions
from vfax.transports.sip.values import Transport
from vfax.trunks.options import TrunkOptions, TrunkTls

TCP, TLS, UDP = Transport.TCP, Transport.TLS, Transport.UDP
HERE: Final = "127.0.0.1"


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("certificates"))


class Called:
    """An endpoint that takes every call."""

    def __init__(self, folder: Path, options: EndpointOptions) -> None:
        self.endpoint = Endpoint(options)
        self.folder = folder
        self.outcomes: list[Outcome] = []
        self.calls: list[call.InboundCall] = []
        self.answered = trio.Event()
        self.done = trio.Event()
        self.nursery: trio.Nursery

    def on_call(self, arrived: call.InboundCall) -> None:
        arrived.ring()
        self.calls.append(arrived)
        self.nursery.start_soon(self.take, arrived)

    async def take(self, arrived: call.InboundCall) -> None:
        target = self.folder / f"received-{len(self.calls)}.tif"
        target.touch()
        self.outcomes.append(await arrived.receive(target, local_id="1", publish=self.hear))
        self.done.set()

    def hear(self, event: call.CallEvent) -> None:
        if isinstance(event, call.PageBegun):
            self.answered.set()

    def uri(self, place: Listen, *, scheme: str = "sip", parameters: str = "") -> str:
        host = f"[{place.host}]" if ":" in place.host else place.host
        return f"{scheme}:5551234@{host}:{place.port}{parameters}"


@asynccontextmanager
async def two(folder: Path, called: EndpointOptions, caller: EndpointOptions) -> AsyncIterator[tuple[Called, Endpoint]]:
    """Both running."""
    folder.joinpath("journal").mkdir()
    one = Called(folder, replace(called, journal=folder / "journal"))
    other = Endpoint(caller)
    async with trio.open_nursery() as nursery:
        one.nursery = nursery
        nursery.start_soon(hold_for_threads)
        await nursery.start(one.endpoint.run, one.on_call)
        await nursery.start(other.run, lambda arrived: arrived.refuse(486))
        yield one, other
        nursery.cancel_scope.cancel()


async def send(caller: Endpoint, document: Path, uri: str) -> Outcome:
    request = call.SendRequest(document=document, destination=uri, local_id="+1 555 0001", caller_name="Test")
    return await caller.outbound().send(request, publish=lambda event: None)


def summaries(folder: Path) -> str:
    """The journals of the calls that came in."""
    return "".join(path.read_text() for path in sorted(folder.joinpath("journal").glob("*.jsonl")))


OFFERS: Final = [CallerOffer.T38, CallerOffer.AUDIO]


@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("host", [HERE, "::1"])
async def test_fax_over_tcp(
    host: str, offer: CallerOffer, tmp_path: Path, make_document: Callable[..., Path], fax_clock: MockClock
) -> None:
    options = EndpointOptions(listen=Listen(host, 0, TCP))
    calling = EndpointOptions(listen=Listen(host, 0), leg=LegOptions(caller_offer=offer))
    async with two(tmp_path, options, calling) as (called, caller):
        uri = called.uri(called.endpoint.addresses[0], parameters=";transport=tcp")
        sent = await send(caller, make_document(), uri)
        await called.done.wait()
        assert len(caller.sockets.streams) == len(called.endpoint.sockets.streams) == 1
    assert [sent.cause, called.outcomes[0].cause] == [Cause.COMPLETE, Cause.COMPLETE], sent.sentence


@pytest.mark.parametrize("offer", OFFERS)
async def test_fax_over_tls(
    offer: CallerOffer,
    authority: Authority,
    tmp_path: Path,
    make_document: Callable[..., Path],
    fax_clock: MockClock,
) -> None:
    options = EndpointOptions(listen=Listen(HERE, 0, TLS), tls=TlsOptions(certificate=authority.issue("server")))
    believing = TlsOptions(authorities=authority.certificate)
    calling = EndpointOptions(listen=Listen(HERE, 0), tls=believing, leg=LegOptions(caller_offer=offer))
    async with two(tmp_path, options, calling) as (called, caller):
        sent = await send(caller, make_document(), called.uri(called.endpoint.addresses[0], scheme="sips"))
        await called.done.wait()
    assert [sent.cause, called.outcomes[0].cause] == [Cause.COMPLETE, Cause.COMPLETE], sent.sentence


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda authority: authority.issue("old", days=-1), "has expired"),
        (lambda authority: authority.self_signed("self"), "is signed by nobody we believe but itself"),
        (lambda authority: authority.issue("other", names="DNS:other.test"), "is for another name"),
    ],
)
async def test_certificate_that_is_not_believed_ends_the_call_in_one_sentence(
    make: Callable[[Authority], Path],
    words: str,
    authority: Authority,
    tmp_path: Path,
    make_document: Callable[..., Path],
    fax_clock: MockClock,
) -> None:
    options = EndpointOptions(listen=Listen(HERE, 0, TLS), tls=TlsOptions(certificate=make(authority)))
    calling = EndpointOptions(listen=Listen(HERE, 0), tls=TlsOptions(authorities=authority.certificate))
    async with two(tmp_path, options, calling) as (called, caller):
        sent = await send(caller, make_document(), called.uri(called.endpoint.addresses[0], scheme="sips"))
        assert called.endpoint.notices
    assert sent.cause is Cause.NETWORK
    assert words in sent.evidence
    assert not called.calls


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, "Busy Here"),
        ({"certificate": ""}, "wants to see a certificate of ours"),
        ({"server_name": ""}, "is for another name"),
        ({"server_name": "", "checks": "chain"}, "Busy Here"),
        ({"authorities": ""}, "comes from an issuer we do not know"),
    ],
    ids=str,
)
async def test_a_trunk_has_certificates_and_a_name_of_its_own(
    more: dict[str, str],
    words: str,
    authority: Authority,
    tmp_path: Path,
    make_document: Callable[..., Path],
    fax_clock: MockClock,
) -> None:
    """Towards its gateways alone: what everybody else is shown, and whom everybody else is believed by, is nothing."""
    theirs = TlsOptions(
        certificate=authority.issue("sbc", names="DNS:sbc.test"), client_authorities=authority.certificate
    )
    sbc = Endpoint(EndpointOptions(listen=Listen(HERE, 0, TLS), tls=theirs))
    own = {
        "certificate": str(authority.issue("trunk")),
        "authorities": str(authority.certificate),
        "server_name": "sbc.test",
    }
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold_for_threads)
        await nursery.start(sbc.run, lambda arrived: arrived.refuse(486))
        gateway = Uri.parse(f"sip:{HERE}:{sbc.addresses[0].port};transport=tls")
        trunk = TrunkOptions(
            name="office", gateways=(gateway,), tls=TrunkTls(**own | more), probe=ProbeOptions(interval=0.0)
        )
        caller = Endpoint(EndpointOptions(listen=Listen(HERE, 0), trunks=(trunk,)))
        await nursery.start(caller.run, lambda arrived: arrived.refuse(486))
        sent = await send(caller, make_document(), "sip:1@office")
        nursery.cancel_scope.cancel()
    assert sent.cause is (Cause.BUSY if words == "Busy Here" else Cause.NETWORK), sent.sentence
    assert words in sent.evidence


async def test_every_transport_and_family_at_once(
    authority: Authority, tmp_path: Path, make_document: Callable[..., Path], fax_clock: MockClock
) -> None:
    places = [Listen(host, 0, transport) for host in (HERE, "::1") for transport in (UDP, TCP, TLS)]
    options = EndpointOptions(
        listen=places[0], listen_also=tuple(places[1:]), tls=TlsOptions(certificate=authority.issue("all"))
    )
    believing = TlsOptions(authorities=authority.certificate)
    calling = EndpointOptions(listen=Listen(HERE, 0), listen_also=(Listen("::1", 0),), tls=believing)
    document = make_document(rows=200)
    async with two(tmp_path, options, calling) as (called, caller):
        for place in called.endpoint.addresses:
            uri = called.uri(place, parameters=f";transport={place.transport.lower()}")
            sent = await send(caller, document, uri)
            assert sent.cause is Cause.COMPLETE, (uri, sent.sentence)
    assert len(called.calls) == 6


@pytest.mark.parametrize("which", ["called", "caller"])
async def test_fax_outlives_the_connection_of_its_dialog(
    which: str, tmp_path: Path, make_document: Callable[..., Path], fax_clock: MockClock
) -> None:
    options = EndpointOptions(listen=Listen(HERE, 0, TCP))
    calling = EndpointOptions(listen=Listen(HERE, 0), listen_also=(Listen(HERE, 0, TCP),))
    outcomes: list[Outcome] = []
    async with two(tmp_path, options, calling) as (called, caller):
        uri = called.uri(called.endpoint.addresses[0], parameters=";transport=tcp")

        async def call_it() -> None:
            outcomes.append(await send(caller, make_document(), uri))
            over.set()

        over = trio.Event()
        called.nursery.start_soon(call_it)
        await called.answered.wait()
        streams = (called.endpoint if which == "called" else caller).sockets.streams
        for connection in list(streams._connections.values()):
            connection.end_now("cut by the test")
        await called.done.wait()
        await over.wait()
    assert [outcomes[0].cause, called.outcomes[0].cause] == [Cause.COMPLETE, Cause.COMPLETE]


async def test_calls_that_are_up_hear_bye_over_their_connection_when_all_ends(
    tmp_path: Path, make_document: Callable[..., Path], fax_clock: MockClock
) -> None:
    options = EndpointOptions(listen=Listen(HERE, 0, TCP))
    outcomes: list[Outcome] = []
    async with two(tmp_path, options, EndpointOptions(listen=Listen(HERE, 0))) as (called, _):
        uri = called.uri(called.endpoint.addresses[0], parameters=";transport=tcp")
        third = Endpoint(EndpointOptions(listen=Listen(HERE, 0)))

        async def call_it() -> None:
            outcomes.append(await send(third, make_document(), uri))

        async with trio.open_nursery() as nursery:
            await nursery.start(third.run, lambda arrived: arrived.refuse(486))
            nursery.start_soon(call_it)
            await called.answered.wait()
            nursery.cancel_scope.cancel()
        await called.done.wait()
    assert called.outcomes[0].cause is Cause.PEER_HUNG_UP
    assert "BYE" in summaries(tmp_path)
    assert '"by":"TCP"' in summaries(tmp_path)


OFFER: Final = (
    "v=0\r\no=- 1 1 IN IP{0} {1}\r\ns=-\r\nc=IN IP{0} {1}\r\nt=0 0\r\nm=image 9 udptl t38\r\na=T38FaxVersion:0\r\n"
)


@pytest.mark.parametrize(
    ("family", "host", "answer"), [(4, "127.0.0.1", "c=IN IP4 127.0.0.1"), (6, "::1", "c=IN IP6 ::1")]
)
@pytest.mark.parametrize("signalling", ["127.0.0.1", "::1"])
async def test_media_is_of_the_family_that_the_offer_names(
    signalling: str, family: int, host: str, answer: str, tmp_path: Path, fax_clock: MockClock
) -> None:
    options = EndpointOptions(listen=Listen(HERE, 0, TCP), listen_also=(Listen("::1", 0, TCP),))
    sdp = OFFER.format(family, host)
    invite = (
        "INVITE sip:1@h SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bKf\r\nFrom: <sip:2@h>;tag=f\r\nTo: <sip:1@h>\r\n"
        "Call-ID: f\r\nCSeq: 1 INVITE\r\nContact: <sip:2@h>\r\nContent-Type: application/sdp\r\n"
        f"Content-Length: {len(sdp)}\r\n\r\n{sdp}"
    )
    async with two(tmp_path, options, EndpointOptions(listen=Listen(HERE, 0))) as (called, _):
        place = next(place for place in called.endpoint.addresses if place.host == signalling)
        heard = ""
        async with await trio.open_tcp_stream(place.host, place.port) as stream:
            await stream.send_all(invite.encode())
            while "m=image" not in heard:
                heard += (await stream.receive_some()).decode()
    assert answer in heard


async def test_refused_connection_is_an_outcome(
    tmp_path: Path, make_document: Callable[..., Path], fax_clock: MockClock
) -> None:
    async with two(tmp_path, EndpointOptions(listen=Listen(HERE, 0)), EndpointOptions(listen=Listen(HERE, 0))) as (
        _,
        caller,
    ):
        sent = await send(caller, make_document(), "sip:1@127.0.0.1:9;transport=tcp")
    assert sent.cause is Cause.NETWORK
    assert "the connection with 127.0.0.1:9 failed: Connection refused" in sent.evidence


async def test_strangers_are_not_heard_on_streams(tmp_path: Path, fax_clock: MockClock) -> None:
    options = EndpointOptions(listen=Listen(HERE, 0, TCP), allow=("192.0.2.0/24",))
    async with two(tmp_path, options, EndpointOptions(listen=Listen(HERE, 0))) as (called, _):
        place = called.endpoint.addresses[0]
        async with await trio.open_tcp_stream(place.host, place.port) as stream:
            assert await stream.receive_some() == b""
        assert called.endpoint.sockets.streams.counters.not_allowed == 1


@pytest.mark.parametrize("transport", [UDP, TCP])
async def test_port_in_use_names_place_and_reason(transport: Transport, tmp_path: Path) -> None:
    async with two(tmp_path, EndpointOptions(listen=Listen(HERE, 0, transport)), EndpointOptions(listen=(HERE, 0))) as (
        called,
        _,
    ):
        port = called.endpoint.addresses[0].port
        with pytest.raises(LinkError, match=rf"cannot listen on .*127\.0\.0\.1:{port}: Address already in use"):
            await Endpoint(EndpointOptions(listen=Listen(HERE, port, transport))).run(lambda arrived: None)


async def test_tls_without_a_certificate_is_refused_at_the_start() -> None:
    with pytest.raises(LinkError, match=r"give \[sip\] tls_certificate"):
        await Endpoint(EndpointOptions(listen=Listen(HERE, 0, TLS))).run(lambda arrived: None)


async def test_other_family_cannot_be_called_and_is_told(
    tmp_path: Path, make_document: Callable[..., Path], fax_clock: MockClock
) -> None:
    async with two(tmp_path, EndpointOptions(listen=Listen("::1", 0)), EndpointOptions(listen=Listen("::1", 0))) as (
        called,
        caller,
    ):
        sent = await send(caller, make_document(), "sip:1@127.0.0.1")
        fine = await send(caller, make_document(), called.uri(called.endpoint.addresses[0]))
    assert sent.cause is Cause.BAD_ADDRESS
    assert "there is no IPv4 socket" in sent.evidence
    assert fine.cause is Cause.COMPLETE
