"""The rim of finding and of NAT: failover and what is remembered of it, STUN for both sockets, keep-alives."""

import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import trio
from trio.testing import MockClock

from tests.dns_servers import dnsmasq
from tests.endpoint_peer import ANY_PORT, Peer, field, fields, make_page, request
from tests.virtual import hold_for_threads
from vfax.endpoint import Endpoint, EndpointOptions
from vfax.leg import CallerOffer, LegOptions
from vfax.nat import NatOptions
from vfax.outcome import Cause, Outcome
from vfax.resolving import DnsOptions, SystemResolver
from vfax.transports.sip.account import NO_ACCOUNT
from vfax.transports.sip.headers import Uri
from vfax.transports.sip.keepalive import PING, KeepAliveMode, KeepAliveOptions
from vfax.transports.sip.options import SipOptions
from vfax.transports.sip.probing import ProbeOptions
from vfax.transports.sip.values import Address, Flow, Hop, Transport
from vfax.transports.stun import Attribute, MessageClass, StunMessage, is_stun, xor_address
from vfax.transports.stun_client import StunOptions
from vfax.transports.udp import UdpSocket
from vfax.trunks.options import OWN_ADDRESS, RegisterOptions, TrunkOptions


@asynccontextmanager
async def endpoint(**options: Any) -> AsyncIterator[tuple[Endpoint, trio.Nursery]]:
    """An endpoint, and a nursery for what goes on beside it."""
    resolver = None if "dns" in options else SystemResolver()
    one = Endpoint(EndpointOptions(**{"listen": ANY_PORT} | options), resolver=resolver)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold_for_threads)
        await nursery.start(one.run, lambda arrived: arrived.refuse(486))
        yield one, nursery
        nursery.cancel_scope.cancel()


async def send(one: Endpoint, document: Path, towards: Address, uri: str = "") -> Outcome:
    return await one.outbound().send(request(document, towards, uri), publish=lambda event: None)


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "document.tif"
    make_page(path)
    return path


# --- failover ------------------------------------------------------------------------------------


async def refuse_calls(peer: Peer, invites: list[str], status: int = 486) -> None:
    while True:
        invite = await peer.hear("INVITE")
        invites.append(invite)
        peer.say(f"SIP/2.0 {status} No\r\n" + fields(invite, "Via", "From", "To", "Call-ID", "CSeq"))


def found(folder: Path) -> list[dict[str, Any]]:
    """What the journals say of where to call, in the order of the calls."""
    lines = [json.loads(line) for path in folder.glob("*.jsonl") for line in path.read_text("utf-8").splitlines()]
    return sorted((line for line in lines if line["kind"] == "found"), key=lambda line: str(line["at"]))


async def test_a_silent_gateway_is_left_and_then_passed_over(tmp_path: Path, document: Path) -> None:
    silent = UdpSocket.bind("127.0.0.1", 0)
    async with Peer().open() as peer:
        there = peer.address[1]
        zone = f"""
        no-resolv\nno-hosts\nbind-interfaces\nlisten-address=127.0.0.1\nlocal=/example/
        srv-host=_sip._udp.trunk.example,edge.example,{silent.address[1]},10
        srv-host=_sip._udp.trunk.example,edge.example,{there},20
        host-record=edge.example,127.0.0.1
        """.replace("        ", "")
        with dnsmasq(tmp_path, zone) as server:
            options = {
                "dns": DnsOptions(servers=(server,), hosts_file=False),
                "sip": SipOptions(failover_after=0.5),
                "journal": tmp_path / "journal",
            }
            options["journal"].mkdir()  # type: ignore[attr-defined]
            invites: list[str] = []
            async with endpoint(**options) as (one, nursery):
                nursery.start_soon(refuse_calls, peer, invites)
                for _ in range(2):
                    with trio.fail_after(20):
                        outcome = await send(one, document, ANY_PORT, "sip:1@trunk.example")
                    assert outcome.cause is Cause.BUSY
    first, second = found(tmp_path / "journal")
    assert first["targets"] == [f"UDP 127.0.0.1:{silent.address[1]}", f"UDP 127.0.0.1:{there}"]
    assert second["targets"] == [f"UDP 127.0.0.1:{there}"]
    (passed_over,) = second["passed_over"]
    assert passed_over.endswith("no answer at all")
    assert len(invites) == 2
    silent.close()


async def test_a_name_that_is_not_known_is_a_sentence(tmp_path: Path, document: Path) -> None:
    with dnsmasq(tmp_path) as server:
        dns = DnsOptions(servers=(server,), hosts_file=False)
        async with endpoint(dns=dns) as (one, _):
            outcome = await send(one, document, ANY_PORT, "sip:1@gone.example")
    assert outcome.cause is Cause.BAD_ADDRESS
    assert outcome.evidence == "no address is known for gone.example: there is no such name as gone.example"


# --- STUN ----------------------------------------------------------------------------------------


@asynccontextmanager
async def stun_server(*, answers: bool = True) -> AsyncIterator[tuple[Address, list[Address]]]:
    """Sees every socket at 203.0.113.5, its port a thousand higher; and whom it heard."""
    heard: list[Address] = []
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as sock:
        await sock.bind(ANY_PORT)

        async def serve() -> None:
            while True:
                octets, source = await sock.recvfrom(2000)
                assert is_stun(octets)
                heard.append(source)
                if answers:
                    transaction = StunMessage.decode(octets).transaction
                    value = xor_address(("203.0.113.5", source[1] + 1000), transaction)
                    attributes = ((int(Attribute.XOR_MAPPED_ADDRESS), value),)
                    await sock.sendto(StunMessage(MessageClass.SUCCESS, transaction, attributes).encode(), source)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            yield sock.getsockname()[:2], heard
            nursery.cancel_scope.cancel()


async def invitation(peer: Peer, one: Endpoint, document: Path, nursery: trio.Nursery) -> str:
    """The INVITE of a call of `one`."""
    nursery.start_soon(send, one, document, peer.address)
    with trio.fail_after(20):
        return await peer.hear("INVITE")


async def test_stun_tells_contact_and_sdp_the_public_address_and_port(document: Path) -> None:
    async with stun_server() as (server, heard), Peer().open() as peer:
        nat = NatOptions(stun_server=server)
        async with endpoint(nat=nat) as (one, nursery):
            with trio.fail_after(10):
                while not one.notices:  # noqa: ASYNC110 - a list has no event
                    await trio.sleep(0.01)
            invite = await invitation(peer, one, document, nursery)
            port = one.address[1]
    assert one.notices[0].endswith(f"sees our SIP socket 127.0.0.1:{port} as 203.0.113.5:{port + 1000}")
    assert f"@203.0.113.5:{port + 1000}>" in field(invite, "Contact")
    assert "c=IN IP4 203.0.113.5" in invite
    media = heard[-1][1]
    assert f"m=image {media + 1000} " in invite


async def test_a_silent_stun_server_costs_a_call_two_seconds_and_a_sentence(
    document: Path, fax_clock: MockClock
) -> None:
    async with (
        stun_server(answers=False) as (server, heard),
        Peer().open() as peer,
        endpoint(nat=NatOptions(stun_server=server, stun=StunOptions(interval=100))) as (one, nursery),
    ):
        await trio.sleep(60.0)
        (notice,) = one.notices
        assert notice.endswith("does not say how others see us: it did not answer 7 requests")
        before = trio.current_time()
        invite = await invitation(peer, one, document, nursery)
        assert trio.current_time() - before == pytest.approx(2.0, abs=0.1)
        assert "c=IN IP4 127.0.0.1" in invite
        await trio.sleep(100.0)
        assert len(heard) >= 14  # it is asked again


async def test_a_stun_server_without_an_address_is_a_sentence_and_is_looked_up_again(
    document: Path, fax_clock: MockClock
) -> None:
    nat = NatOptions(stun_server=("stun.invalid", 3478))
    async with endpoint(nat=nat, dns=DnsOptions()) as (one, _):
        await trio.sleep(130.0)
        assert len(one.notices) == 3
        assert "the STUN server stun.invalid:3478 is not asked: no address is known for stun.invalid" in one.notices[0]


async def test_the_settings_win_over_stun_and_over_what_peers_say(document: Path) -> None:
    async with stun_server() as (server, heard), Peer().open() as peer:
        options = {"public_address": "198.51.100.7", "public_port": 5070, "nat": NatOptions(stun_server=server)}
        async with endpoint(**options) as (one, nursery):
            invite = await invitation(peer, one, document, nursery)
            via = field(invite, "Via").replace(";rport", ";rport=9999;received=192.0.2.99")
            lines = fields(invite, "From", "To", "Call-ID", "CSeq")
            peer.say(f"SIP/2.0 486 Busy\r\nVia: {via}\r\n{lines}")
            await peer.hear("ACK")
            again = await invitation(peer, one, document, nursery)
    assert heard == []
    for one_invite in (invite, again):
        assert "@198.51.100.7:5070>" in field(one_invite, "Contact")
        assert "c=IN IP4 198.51.100.7" in one_invite


async def test_what_a_peer_sees_stands_in_contact_and_sdp_of_the_next_call(document: Path) -> None:
    async with Peer().open() as peer, endpoint() as (one, nursery):
        invite = await invitation(peer, one, document, nursery)
        assert "c=IN IP4 127.0.0.1" in invite
        via = field(invite, "Via").replace(";rport", ";rport=9999;received=192.0.2.99")
        peer.say(f"SIP/2.0 486 Busy\r\nVia: {via}\r\n" + fields(invite, "From", "To", "Call-ID", "CSeq"))
        await peer.hear("ACK")
        again = await invitation(peer, one, document, nursery)
        (host, port), there = one.address, peer.address[1]
    assert "@192.0.2.99:9999>" in field(again, "Contact")
    assert "c=IN IP4 192.0.2.99" in again
    assert list(one.notices) == [f"127.0.0.1:{there} sees our address {host}:{port} as 192.0.2.99:9999"]


# --- keep-alives ---------------------------------------------------------------------------------


async def pings(peer: Peer, wanted: int) -> int:
    """How many keep-alives come until `wanted` have, or nothing more is to be expected."""
    count = 0
    with trio.move_on_after(100):
        while count < wanted:
            octets, _ = await peer.sock.recvfrom(2000)
            count += octets == PING
    return count


@pytest.mark.parametrize(
    ("mode", "reflected", "wanted"),
    [
        (KeepAliveMode.CRLF, False, 2),
        (KeepAliveMode.AUTO, True, 2),
        (KeepAliveMode.AUTO, False, 0),
        (KeepAliveMode.OFF, True, 0),
    ],
)
async def test_the_way_of_a_call_is_kept_open(
    mode: KeepAliveMode, reflected: bool, wanted: int, document: Path, fax_clock: MockClock
) -> None:
    options = {
        "nat": NatOptions(keep_alive=KeepAliveOptions(mode=mode)),
        "leg": LegOptions(caller_offer=CallerOffer.AUDIO, caller_switch_after=1000.0, audio_limit=1000.0),
    }
    async with Peer().open() as peer, endpoint(**options) as (one, nursery):
        invite = await invitation(peer, one, document, nursery)
        via = field(invite, "Via").replace(";rport", ";rport=9999;received=192.0.2.99" if reflected else ";rport")
        body = peer.media.offer_audio()
        contact = f"<sip:1@127.0.0.1:{peer.address[1]}>"
        head = f"SIP/2.0 200 OK\r\nVia: {via}\r\n" + fields(invite, "From", "Call-ID", "CSeq")
        peer.say(f"{head}To: {field(invite, 'To')};tag=t\r\nContact: {contact}\r\n", body)
        await peer.hear("ACK")
        assert await pings(peer, wanted or 1) == wanted


async def test_a_registration_keeps_its_way_open(fax_clock: MockClock) -> None:
    async with Peer().open() as peer, endpoint() as (one, _):
        one.keep_open("trunk", [Hop(Transport.UDP, *peer.address)])
        assert await pings(peer, 3) == 3
        one.keep_open("trunk", [])
        assert await pings(peer, 1) == 0


# --- trunks ----------------------------------------------------------------------------------------


def a_trunk(name: str, port: int, **more: Any) -> TrunkOptions:
    """A trunk at a port of this machine; what tells it from others of one host is that port."""
    return TrunkOptions(name=name, gateways=(Uri.parse(f"sip:127.0.0.1:{port}"),), **more)


async def told_of(one: Endpoint, peer: Peer, document: Path, nursery: trio.Nursery) -> tuple[str, str]:
    """The hosts that stand in Contact and SDP of a call to a trunk."""
    nursery.start_soon(send, one, document, peer.address)
    with trio.fail_after(20):
        invite = await peer.hear("INVITE")
    contact = field(invite, "Contact").partition("@")[2].partition(":")[0]
    return contact, next(line.split()[-1] for line in invite.splitlines() if line.startswith("c="))


async def test_a_registrar_that_sees_us_elsewhere_is_told_so_at_once(fax_clock: MockClock) -> None:
    """By its own answer first, then by that to OPTIONS, as after a NAT was started again."""
    async with Peer().open() as peer:
        registrar = Uri.parse(f"sip:127.0.0.1:{peer.address[1]}")
        register = RegisterOptions(
            registrar=registrar, goals=(registrar,), user="7", domain="x.example", contact_user="7"
        )
        trunk = a_trunk("far", peer.address[1], register=register, probe=ProbeOptions(interval=100.0))
        seen = [(OUTER, 1000)]
        registered: list[list[str]] = []

        async def answer() -> None:
            while True:
                request = await peer.hear("REGISTER", "OPTIONS")
                shown = f";rport={seen[-1][1]};received={seen[-1][0]}"
                via = field(request, "Via").replace(";rport", shown)
                if request.startswith("REGISTER"):
                    lines = request.splitlines()
                    registered.append([line.partition("@")[2] for line in lines if line.startswith("Contact")])
                kept = fields(request, "From", "To", "Call-ID", "CSeq")
                peer.say(f"SIP/2.0 200 OK\r\nVia: {via}\r\n{kept}")

        async with endpoint(trunks=(trunk,)) as (one, nursery):
            nursery.start_soon(answer)
            await trio.sleep(50.0)
            here = f"127.0.0.1:{one.address[1]}"
            assert registered == [[f"{here}>;expires=3600"], [f"{OUTER}:1000>;expires=3600", f"{here}>;expires=0"]]
            seen.append((OUTER, 2000))
            await trio.sleep(150.0)
            assert registered[2:] == [[f"{OUTER}:2000>;expires=3600", f"{OUTER}:1000>;expires=0"]]


async def test_what_a_connection_has_shown_of_us_stands_in_sdp() -> None:
    """A NAT is told by the answers to SIP over TCP; T.38 goes over UDP all the same."""
    async with endpoint() as (one, _):
        peer = ("127.0.0.9", 5060)
        flow = Flow(Transport.TCP, peer, one.address, 1)
        one.agent.shown.learn(flow, (OUTER, 40_000), one.address)
        socket, session = await one.open_media(peer, NO_ACCOUNT, LegOptions())
        socket.close()
        assert b"c=IN IP4 203.0.113.5\r\n" in session.offer_t38()


OUTER: Final = "203.0.113.5"
PUBLIC: Final = "198.51.100.7"
HOME: Final = "127.0.0.1"


@pytest.mark.parametrize(
    ("everybody", "lan", "carrier"),
    [
        ("", {}, {"stun_server": "here"}),
        ("stun", {"stun_server": None}, {"stun_server": "here"}),
        ("stun", {"public_address": OWN_ADDRESS}, {"stun_server": "here"}),
        ("address", {"public_address": OWN_ADDRESS}, {"stun_server": "here"}),
        ("stun", {"stun_server": None, "learn_address": False}, {"stun_server": "here", "learn_address": False}),
    ],
)
async def test_a_pbx_of_the_lan_is_told_the_inner_address_and_a_carrier_the_outer_one(
    everybody: str, lan: dict[str, Any], carrier: dict[str, Any], document: Path
) -> None:
    async with stun_server() as (server, _), Peer().open() as pbx, Peer().open() as far:
        carrier = carrier | {"stun_server": server}
        options: dict[str, Any] = {
            "trunks": (a_trunk("pbx", pbx.address[1], **lan), a_trunk("carrier", far.address[1], **carrier)),
            "nat": NatOptions(stun_server=server if everybody == "stun" else None),
            "public_address": PUBLIC if everybody == "address" else None,
            "resident": False,
        }
        async with endpoint(**options) as (one, nursery):
            with trio.fail_after(10):
                while not one.notices:  # noqa: ASYNC110 - a list has no event
                    await trio.sleep(0.01)
            assert await told_of(one, pbx, document, nursery) == (HOME, HOME)
            assert await told_of(one, far, document, nursery) == (OUTER, OUTER)
            shown = [str(row["public_address"]).partition(":")[0] for row in one.trunk_rows()]
            assert shown == [HOME if everybody else "", OUTER]


async def test_trunks_have_public_addresses_of_their_own(document: Path) -> None:
    async with Peer().open() as pbx, Peer().open() as far:
        carrier = a_trunk("carrier", far.address[1], public_address=(OUTER, 0))
        options = {"trunks": (a_trunk("pbx", pbx.address[1]), carrier), "public_address": PUBLIC, "resident": False}
        async with endpoint(**options) as (one, nursery):
            assert await told_of(one, pbx, document, nursery) == (PUBLIC, PUBLIC)
            assert await told_of(one, far, document, nursery) == (OUTER, OUTER)


async def test_what_trunk_is_kept_open_is_up_to_the_trunk(fax_clock: MockClock) -> None:
    """One every ten seconds, one as everybody, one never, though others' ways are not kept open at all."""
    async with Peer().open() as often, Peer().open() as usual, Peer().open() as never:
        peers = {"often": often, "usual": usual, "never": never}
        options = {
            "often": KeepAliveOptions(mode=KeepAliveMode.CRLF, interval=10.0),
            "usual": KeepAliveOptions(),
            "never": KeepAliveOptions(mode=KeepAliveMode.OFF),
        }
        trunks = tuple(a_trunk(name, peer.address[1], keep_alive=options[name]) for name, peer in peers.items())
        off = NatOptions(keep_alive=KeepAliveOptions(mode=KeepAliveMode.OFF))
        async with endpoint(trunks=trunks, nat=off, resident=False) as (one, _):
            for name, peer in peers.items():
                one.keep_open(name, [Hop(Transport.UDP, *peer.address)])
            await trio.sleep(100.0)
        assert [await pings_so_far(peer) for peer in (often, usual, never)] == [
            pytest.approx(11, abs=1),
            pytest.approx(4, abs=1),
            0,
        ]


async def pings_so_far(peer: Peer) -> int:
    """How many keep-alives have come."""
    count = 0
    with trio.move_on_after(0.5):
        while True:
            octets, _ = await peer.sock.recvfrom(2000)
            count += octets == PING
    return count


def test_dice_of_the_rim_are_those_of_the_endpoint() -> None:
    one = Endpoint(EndpointOptions(), seed=3, resolver=SystemResolver())
    assert one.finder._dice.getrandbits(32) == random.Random(3).getrandbits(32)
