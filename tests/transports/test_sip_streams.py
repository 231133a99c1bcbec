"""SIP over TCP and TLS with real sockets: reuse, limits, deadlines, certificates."""

import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
import trio
import trio.lowlevel

from tests.certs import Authority, join
from vfax.errors import LinkError
from vfax.transports import sip_streams
from vfax.transports.certificates import Certificates, Checks, TlsOptions, explain
from vfax.transports.sip.message import MessageError
from vfax.transports.sip.options import SipOptions
from vfax.transports.sip.values import Address, Destination, Flow, Hop, Transport
from vfax.transports.sip_connection import PING, PONG, StreamOptions
from vfax.transports.sip_streams import StreamHooks, StreamListener, Streams

TCP, TLS = Transport.TCP, Transport.TLS
OPTIONS: Final = b"OPTIONS sip:h SIP/2.0\r\nContent-Length: 0\r\n\r\n"


def message(number: int) -> bytes:
    return b"OPTIONS sip:%d SIP/2.0\r\nContent-Length: 0\r\n\r\n" % number


@dataclass
class House:
    """The owner of streams: keeps what it is told."""

    heard: list[tuple[bytes, Flow]] = field(default_factory=list)
    faults: list[MessageError] = field(default_factory=list)
    lost: list[tuple[Flow, str]] = field(default_factory=list)
    unreachable: list[tuple[Destination, str]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    needed: bool = False
    welcome: bool = True
    news: trio.Event = field(default_factory=trio.Event)
    streams: Any = None
    addresses: dict[Transport, Address] = field(default_factory=dict)

    def hear(self, message: bytes, flow: Flow) -> float:
        self.note(self.heard, (message, flow))
        return 0.0

    def hear_fault(self, fault: MessageError, flow: Flow) -> None:
        self.note(self.faults, fault)

    def is_needed(self, flow: Flow) -> bool:
        return self.needed

    def note(self, where: list[Any], what: Any) -> None:
        where.append(what)
        self.news.set()

    async def until(self, ready: Callable[[], object]) -> None:
        with trio.fail_after(8):
            while not ready():
                self.news = trio.Event()
                with trio.move_on_after(0.05):
                    await self.news.wait()

    def hop(self, transport: Transport = TCP, name: str = "", **more: Any) -> Hop:
        return Hop(transport, *self.addresses[transport], name=name, **more)


@asynccontextmanager
async def house(
    *transports: Transport, host: str = "127.0.0.1", tls: TlsOptions | None = None, **options: Any
) -> AsyncIterator[House]:
    """Streams that listen on `transports`."""
    one = House()
    listeners = [StreamListener.bind(transport, host, 0) for transport in transports]
    one.addresses = {listener.transport: listener.address for listener in listeners}
    hooks = StreamHooks(
        owner=one,
        lost=lambda flow, why: one.note(one.lost, (flow, why)),
        unreachable=lambda to, why, octets: one.note(one.unreachable, (to, why)),
        may_talk=lambda host: one.welcome,
        say=lambda text: one.note(one.said, text),
    )
    certificates = Certificates(tls or TlsOptions())
    one.streams = Streams(StreamOptions(**options), SipOptions(), listeners, certificates, hooks)
    try:
        async with trio.open_nursery() as nursery:
            await one.streams.check()
            nursery.start_soon(one.streams.run)
            await one.streams.started.wait()
            yield one
            one.streams.finish()
    finally:
        for listener in listeners:
            listener.close()


async def connect(address: Address) -> trio.SocketStream:
    return await trio.open_tcp_stream(*address)


async def read_to_end(stream: trio.abc.ReceiveStream) -> bytes:
    with trio.fail_after(8):
        try:
            return b"".join([bytes(octets) async for octets in stream])
        except trio.BrokenResourceError:
            return b""


# --- carrying ----------------------------------------------------------------------------------------


async def test_messages_travel_both_ways_on_one_connection() -> None:
    async with house(TCP) as one, house() as two:
        for number in (1, 2):
            two.streams.send(message(number), one.hop())
        await one.until(lambda: len(one.heard) == 2)
        assert [octets for octets, _ in one.heard] == [message(1), message(2)]
        assert len({flow.connection for _, flow in one.heard}) == 1
        one.streams.send(message(3), one.heard[0][1])
        await two.until(lambda: two.heard)
        assert two.heard[0][0] == message(3)
        two.streams.send(message(4), two.heard[0][1])  # an answer: the flow of a connection of ours
        await one.until(lambda: len(one.heard) == 3)
        assert len(one.streams) == len(two.streams) == 1


async def test_hop_that_differs_in_nothing_that_matters_uses_the_same_connection() -> None:
    async with house(TCP) as one, house() as two:
        two.streams.send(message(1), one.hop())
        two.streams.send(message(2), one.hop(name="h", fixed=False))
        await one.until(lambda: len(one.heard) == 2)
        assert len(two.streams) == 1


async def test_message_cut_anywhere_arrives_whole() -> None:
    async with house(TCP) as one, await connect(one.addresses[TCP]) as stream:
        for octet in message(1) + message(2):
            await stream.send_all(bytes((octet,)))
        await one.until(lambda: len(one.heard) == 2)
    assert [octets for octets, _ in one.heard] == [message(1), message(2)]


async def test_ping_is_answered() -> None:
    async with house(TCP) as one, await connect(one.addresses[TCP]) as stream:
        await stream.send_all(PING)
        with trio.fail_after(5):
            assert await stream.receive_some() == PONG


async def test_octets_that_cannot_be_framed_end_the_connection() -> None:
    async with house(TCP) as one:
        async with await connect(one.addresses[TCP]) as stream:
            await stream.send_all(message(1) + b"OPTIONS sip:h SIP/2.0\r\nContent-Length: -1\r\n\r\n")
            await read_to_end(stream)
        await one.until(lambda: one.lost)
        assert [octets for octets, _ in one.heard] == [message(1)]
        assert one.faults[0].request is not None
        assert "not SIP that can be read" in one.lost[0][1]
        assert len(one.streams) == 0


async def test_what_is_written_before_the_end_leaves() -> None:
    async with house(TCP) as one, await connect(one.addresses[TCP]) as stream:
        await stream.send_all(message(1))
        await one.until(lambda: one.heard)
        flow = one.heard[0][1]
        one.streams.send(OPTIONS * 1000, flow)
        one.streams.close(flow)
        assert await read_to_end(stream) == OPTIONS * 1000


async def test_last_words_leave_when_all_ends() -> None:
    async with house(TCP) as one:
        async with house() as two:
            two.streams.send(message(1), one.hop())
            await one.until(lambda: one.heard)
            two.streams.send(message(2), one.hop())
        await one.until(lambda: len(one.heard) == 2)


async def test_flow_that_has_gone_is_unreachable() -> None:
    async with house(TCP) as one:
        async with await connect(one.addresses[TCP]) as stream:
            await stream.send_all(message(1))
            await one.until(lambda: one.heard)
        await one.until(lambda: one.lost)
        flow = one.heard[0][1]
        assert one.lost[0][0] == flow
        assert "closed the connection" in one.lost[0][1]
        one.streams.send(message(2), flow)
        assert one.unreachable[0][0] == flow


async def test_connection_that_broke_is_made_anew() -> None:
    async with house() as two:
        async with house(TCP) as one:
            two.streams.send(message(1), one.hop())
            await one.until(lambda: one.heard)
            hop = one.hop()
        await two.until(lambda: two.lost)
        two.streams.send(message(2), hop)
        await two.until(lambda: two.unreachable)
        assert two.unreachable[0][0] == hop
        assert two.unreachable[0][1] == f"the connection with 127.0.0.1:{hop.port} failed: Connection refused"
        assert len(two.streams) == 0


async def test_ipv6_alone() -> None:
    async with house(TCP, host="::1") as one, house() as two:
        two.streams.send(message(1), one.hop())
        await one.until(lambda: one.heard)
        assert one.heard[0][1].remote[0] == "::1"


async def test_port_in_use_is_said() -> None:
    taken = StreamListener.bind(TCP, "127.0.0.1", 0)
    with pytest.raises(LinkError) as caught:
        StreamListener.bind(TCP, *taken.address)
    taken.close()
    assert str(caught.value) == f"cannot listen on TCP 127.0.0.1:{taken.address[1]}: Address already in use"


async def test_held_port_refuses_connections() -> None:
    held = StreamListener.bind(TLS, "127.0.0.1", 0, listens=False)
    with pytest.raises(OSError, match="all attempts to connect"):
        await connect(held.address)
    held.close()


# --- limits ------------------------------------------------------------------------------------------


async def test_strangers_are_not_let_in() -> None:
    async with house(TCP) as one:
        one.welcome = False
        async with await connect(one.addresses[TCP]) as stream:
            assert await read_to_end(stream) == b""
        assert one.streams.counters.not_allowed == 1


@pytest.mark.parametrize("limit", ["max_connections", "max_connections_per_source"])
async def test_connections_beyond_the_limit_are_closed(limit: str) -> None:
    two: dict[str, Any] = {limit: 2}
    async with house(TCP, **two) as one:
        kept = [await connect(one.addresses[TCP]) for _ in range(2)]
        for number, stream in enumerate(kept):
            await stream.send_all(message(number))
        await one.until(lambda: len(one.heard) == 2)
        async with await connect(one.addresses[TCP]) as third:
            assert await read_to_end(third) == b""
        assert one.streams.counters.crowded == 1
        await kept[0].aclose()
        await one.until(lambda: len(one.streams) == 1)
        async with await connect(one.addresses[TCP]) as fourth:
            await fourth.send_all(message(4))
            await one.until(lambda: len(one.heard) == 3)
        await kept[1].aclose()


async def test_own_connection_beyond_the_limit_is_unreachable() -> None:
    async with house(TCP) as one, house(max_connections=1) as two:
        two.streams.send(message(1), one.hop())
        other = Hop(TCP, "127.0.0.1", 9)
        two.streams.send(message(2), other)
        assert two.unreachable[0][0] == other
        assert "no more are allowed" in two.unreachable[0][1]


@pytest.mark.parametrize("begun", [b"", b"OPTIONS sip:h SIP/2.0\r\n"])
async def test_slow_sender_is_cut_off_however_it_trickles(begun: bytes) -> None:
    async with house(TCP, message_limit=0.4) as one:
        async with await connect(one.addresses[TCP]) as stream, trio.open_nursery() as nursery:

            async def trickle() -> None:
                with trio.CancelScope() as scope:
                    scopes.append(scope)
                    await stream.send_all(begun)
                    while begun:
                        await trio.sleep(0.05)
                        await stream.send_all(b"X")

            scopes: list[trio.CancelScope] = []
            nursery.start_soon(trickle)
            await one.until(lambda: one.lost)
            nursery.cancel_scope.cancel()
        assert "did not finish a message within" in one.lost[0][1]


async def test_silent_connection_ends_unless_a_call_needs_it() -> None:
    async with house(TCP, idle_limit=0.3) as one:
        async with await connect(one.addresses[TCP]) as stream:
            await stream.send_all(message(1))
            await one.until(lambda: one.heard)
            one.needed = True
            await trio.sleep(0.6)
            assert not one.lost
            one.needed = False
            await one.until(lambda: one.lost)
        assert "nothing was said" in one.lost[0][1]


async def test_connection_of_ours_is_pinged_in_silence() -> None:
    async with house(TCP) as one, house(ping_interval=0.2) as two:
        two.streams.send(message(1), one.hop())
        await trio.sleep(0.8)
        (connection,) = two.streams._connections.values()
        assert connection._answers_pings
        assert not two.lost


async def test_idle_connection_of_ours_gives_way_when_all_places_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its peer answers every keep-alive, so that it is never idle for long enough to end by itself."""
    monkeypatch.setattr(sip_streams, "SETTLED", 0.1)
    async with house(TCP) as one, house(TCP) as other, house(ping_interval=0.05, max_connections=1) as two:
        two.streams.send(message(1), one.hop())
        await trio.sleep(0.3)
        two.needed = True
        two.streams.send(message(2), other.hop())
        assert "no more are allowed" in two.unreachable[0][1]
        two.needed = False
        two.streams.send(message(3), other.hop())
        await other.until(lambda: other.heard)
        await two.until(lambda: two.lost)
    assert [heard for heard, _ in other.heard] == [message(3)]
    assert "needed its place" in two.lost[0][1]


async def test_peer_who_does_not_read_loses_its_connection() -> None:
    async with house(TCP, max_unsent=65_536) as one:
        async with await connect(one.addresses[TCP]) as stream:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await stream.send_all(message(1))
            await one.until(lambda: one.heard)
            for _ in range(2000):
                one.streams.send(b"x" * 8192, one.heard[0][1])
                await trio.lowlevel.checkpoint()
            await one.until(lambda: one.lost)
        assert "does not read" in one.lost[0][1]


# --- TLS ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def leaf(authority: Authority) -> Path:
    return authority.issue("server")


def calling(authority: Authority, **more: Any) -> TlsOptions:
    return TlsOptions(authorities=authority.certificate, **more)


async def test_messages_travel_over_tls(authority: Authority, leaf: Path) -> None:
    async with house(TLS, tls=TlsOptions(certificate=leaf)) as one, house(tls=calling(authority)) as two:
        two.streams.send(message(1), one.hop(TLS, name="sip.test"))
        await one.until(lambda: one.heard)
        one.streams.send(message(2), one.heard[0][1])
        await two.until(lambda: two.heard)
    assert two.heard[0][0] == message(2)


async def test_message_cut_into_records_arrives_whole(authority: Authority, leaf: Path) -> None:
    """Each octet in a TLS record of its own, and then two messages in one."""
    async with house(TLS, tls=TlsOptions(certificate=leaf)) as one:
        context = ssl.create_default_context(cafile=str(authority.certificate))
        async with trio.SSLStream(await connect(one.addresses[TLS]), context, server_hostname="sip.test") as stream:
            for octet in message(1):
                await stream.send_all(bytes((octet,)))
            await stream.send_all(message(2) + message(3))
            await one.until(lambda: len(one.heard) == 3)
            assert stream.version() == "TLSv1.3"
    assert [octets for octets, _ in one.heard] == [message(number) for number in (1, 2, 3)]


@pytest.mark.parametrize(("called", "said"), [("sip.test", "sip.test"), ("", None)])
async def test_name_that_was_called_is_said_in_the_handshake(
    called: str, said: str | None, authority: Authority, leaf: Path
) -> None:
    """SNI (RFC 6066 3), by which a server with several names chooses its certificate; numbers are never said."""
    heard: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(leaf)
    context.sni_callback = lambda _socket, name, _context: heard.append(name)
    async with house(tls=calling(authority)) as two, trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")

        async def shake_hands(stream: trio.SocketStream) -> None:
            await trio.SSLStream(stream, context, server_side=True).do_handshake()

        nursery.start_soon(trio.serve_listeners, shake_hands, [listener])
        two.streams.send(message(1), Hop(TLS, "127.0.0.1", listener.socket.getsockname()[1], name=called))
        await two.until(lambda: heard)
        nursery.cancel_scope.cancel()
    assert heard == [said]


@pytest.mark.parametrize(
    ("make", "name", "words"),
    [
        (lambda authority: authority.issue("old", days=-1), "sip.test", "has expired"),
        (lambda authority: authority.self_signed("self"), "sip.test", "signed by nobody we believe but itself"),
        (lambda authority: authority.issue("other", names="DNS:other.test"), "sip.test", "is for another name"),
        (lambda authority: authority.issue("named", names="DNS:sip.test"), "", "is for another name"),
    ],
)
async def test_certificate_that_is_not_believed_is_explained(
    make: Callable[[Authority], Path], name: str, words: str, authority: Authority
) -> None:
    tls = TlsOptions(certificate=make(authority))
    async with house(TLS, tls=tls) as one, house(tls=calling(authority)) as two:
        hop = one.hop(TLS, name=name)
        two.streams.send(message(1), hop)
        await two.until(lambda: two.unreachable)
        await one.until(lambda: one.said)
    to, why = two.unreachable[0]
    assert to == hop
    assert words in why
    assert f"127.0.0.1:{hop.port}" in why
    assert "\n" not in why
    assert not one.heard


async def test_unknown_issuer_is_explained_and_can_be_believed_by_name_of_file(
    authority: Authority, leaf: Path, tmp_path: Path
) -> None:
    stranger = Authority.make(tmp_path)
    async with house(TLS, tls=TlsOptions(certificate=leaf)) as one, house(tls=calling(stranger)) as two:
        two.streams.send(message(1), one.hop(TLS, name="sip.test"))
        await two.until(lambda: two.unreachable)
    assert "an issuer we do not know" in two.unreachable[0][1]


@pytest.mark.parametrize(
    ("checks", "name", "heard"),
    [(Checks.CHAIN, "other.test", True), (Checks.NONE, "other.test", True), (Checks.FULL, "other.test", False)],
)
async def test_checks_can_be_less(checks: Checks, name: str, heard: bool, authority: Authority, leaf: Path) -> None:
    tls = calling(authority, checks=checks)
    async with house(TLS, tls=TlsOptions(certificate=leaf)) as one, house(tls=tls) as two:
        two.streams.send(message(1), one.hop(TLS, name=name))
        await trio.lowlevel.checkpoint()
        await two.until(lambda: two.unreachable or one.heard)
    assert bool(one.heard) is heard


async def test_caller_must_show_a_certificate_where_that_is_asked(authority: Authority, leaf: Path) -> None:
    tls = TlsOptions(certificate=leaf, client_authorities=authority.certificate)
    async with house(TLS, tls=tls) as one:
        async with house(tls=calling(authority)) as two:
            two.streams.send(message(1), one.hop(TLS, name="sip.test"))
            await two.until(lambda: two.lost)
            await one.until(lambda: one.said)
        assert "wants to see a certificate of ours" in two.lost[0][1]
        assert "shows no certificate" in one.said[0]
        async with house(tls=calling(authority, certificate=authority.issue("client"))) as three:
            three.streams.send(message(2), one.hop(TLS, name="sip.test"))
            await one.until(lambda: one.heard)
    assert one.heard[0][0] == message(2)


async def test_tls_older_than_1_2_is_refused(leaf: Path) -> None:
    async with house(TLS, tls=TlsOptions(certificate=leaf)) as one:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        stream = trio.SSLStream(await connect(one.addresses[TLS]), context)
        with pytest.raises(trio.BrokenResourceError):
            await stream.do_handshake()
        await trio.aclose_forcefully(stream)
        await one.until(lambda: one.said)
    assert "no TLS that is new enough" in one.said[0]


@pytest.mark.parametrize("said", [b"", message(1)])
async def test_who_does_not_speak_tls_is_cut_off(said: bytes, leaf: Path) -> None:
    async with house(TLS, tls=TlsOptions(certificate=leaf), handshake_limit=0.3) as one:
        async with await connect(one.addresses[TLS]) as stream:
            await stream.send_all(said)
            await one.until(lambda: one.said)
            await read_to_end(stream)
        assert one.streams.counters.failed_handshakes == 1
        assert len(one.streams) == 0
    assert ("did not finish TLS" in one.said[0]) if not said else ("does not speak TLS" in one.said[0])


async def test_who_goes_on_failing_at_tls_is_counted_each_time_and_spoken_of_once(leaf: Path) -> None:
    async with house(TLS, tls=TlsOptions(certificate=leaf)) as one:
        for _ in range(5):
            async with await connect(one.addresses[TLS]) as stream:
                await stream.send_all(message(1))
                await read_to_end(stream)
        await one.until(lambda: one.streams.counters.failed_handshakes == 5)
    assert len(one.said) == 1


async def test_half_open_handshakes_are_limited_and_leave_room_for_tcp(leaf: Path) -> None:
    async with house(TLS, TCP, tls=TlsOptions(certificate=leaf), max_handshakes=3) as one:
        waiting = [await connect(one.addresses[TLS]) for _ in range(3)]
        await one.until(lambda: one.streams._handshakes == 3)
        async with await connect(one.addresses[TLS]) as fourth:
            assert await read_to_end(fourth) == b""
        async with await connect(one.addresses[TCP]) as plain:
            await plain.send_all(message(1))
            await one.until(lambda: one.heard)
        for stream in waiting:
            await stream.aclose()
        await one.until(lambda: one.streams._handshakes == 0)
    assert one.streams.counters.crowded == 1


async def test_caller_to_a_port_without_tls_says_so(authority: Authority) -> None:
    async with house(TCP) as one, house(tls=calling(authority)) as two:
        hop = Hop(TLS, *one.addresses[TCP], name="sip.test")
        two.streams.send(message(1), hop)
        await two.until(lambda: two.unreachable)
    assert two.unreachable[0] == (hop, f"127.0.0.1:{hop.port} closed the connection before TLS was agreed")


@pytest.mark.parametrize("fault", [ssl.SSLZeroReturnError, ssl.SSLEOFError])
def test_an_end_that_openssl_gives_no_reason_for_is_told_as_one(fault: type[ssl.SSLError]) -> None:
    said = fault(6, "TLS/SSL connection has been closed (EOF)")
    assert explain(said, "192.0.2.1:5061") == "192.0.2.1:5061 closed the connection before TLS was agreed"


async def test_peer_that_never_answers_is_given_up(authority: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        async with house(tls=calling(authority), connect_limit=0.3) as two:
            hop = Hop(TLS, "127.0.0.1", mute.getsockname()[1], name="sip.test")
            two.streams.send(message(1), hop)
            await two.until(lambda: two.unreachable)
    assert "no connection with 127.0.0.1" in two.unreachable[0][1]


@pytest.mark.parametrize("name", ["", ".a", "a..b", "x" * 64 + ".test", "sip.test\u2028"])
async def test_name_that_is_none_is_unreachable_and_nothing_breaks(name: str, authority: Authority, leaf: Path) -> None:
    async with house(TLS, tls=TlsOptions(certificate=leaf)) as one, house(tls=calling(authority)) as two:
        two.streams.send(message(1), one.hop(TLS, name=name))
        await two.until(lambda: two.unreachable or one.heard)
    assert bool(one.heard) is (name == "")  # 127.0.0.1 stands in the certificate


async def test_certificate_is_read_anew_when_its_file_changes(authority: Authority, tmp_path: Path) -> None:
    served = join(tmp_path / "served.pem", authority.issue("first", days=-1))
    async with house(TLS, tls=TlsOptions(certificate=served)) as one, house(tls=calling(authority)) as two:
        two.streams.send(message(1), one.hop(TLS, name="sip.test"))
        await two.until(lambda: two.unreachable)
        join(served, authority.issue("second"))
        two.streams.send(message(2), one.hop(TLS, name="sip.test"))
        await one.until(lambda: one.heard)
        join(tmp_path / "served.pem", authority.certificate)  # without a key: not usable
        async with house(tls=calling(authority)) as three:
            three.streams.send(message(3), one.hop(TLS, name="sip.test"))
            await one.until(lambda: len(one.heard) == 2)
    assert one.said[-1].endswith("the certificate from before stays in use")
    assert str(served) in one.said[-1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "give [sip] tls_certificate"),
        ({"certificate": Path(__file__).with_name("none.pem")}, "none.pem: No such file or directory"),
        ({"certificate": Path(__file__)}, "no certificate can be read from"),
    ],
)
async def test_listening_without_a_usable_certificate_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(LinkError) as caught:
        await Streams(
            StreamOptions(),
            SipOptions(),
            [listener := StreamListener.bind(TLS, "127.0.0.1", 0)],
            Certificates(TlsOptions(**options)),
            StreamHooks(
                owner=House(),
                lost=lambda flow, why: None,
                unreachable=lambda to, why, octets: None,
                may_talk=lambda host: True,
                say=lambda text: None,
            ),
        ).check()
    listener.close()
    assert words in str(caught.value)
