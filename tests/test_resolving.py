"""Asking for names: against dnsmasq, against servers that misbehave, on this machine alone."""

import random
from collections.abc import Iterator
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
import trio
from trio.testing import MockClock

from tests.dns_servers import MANY, dnsmasq, scripted
from vfax import resolving
from vfax.errors import LinkError
from vfax.resolving import DnsOptions, DnsResolver, Finder, HostsFile, LayeredResolver, SystemResolver, Way
from vfax.transports.sip.headers import Uri
from vfax.transports.sip.locate import Roads
from vfax.transports.sip.records import Alias, Host, Naptr, Question, RecordType, Reply, Srv, Status, settle
from vfax.transports.sip.values import Address, Hop, Transport

A, AAAA, SRV, NAPTR = RecordType.A, RecordType.AAAA, RecordType.SRV, RecordType.NAPTR
ROADS = Roads(((Transport.UDP, 4), (Transport.UDP, 6)))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    with dnsmasq(tmp_path_factory.mktemp("dns")) as address:
        yield address


def options(*servers: Address, timeout: float = 5.0, attempts: int = 1, hosts: Path | None = None) -> DnsOptions:
    return DnsOptions(
        servers=servers, timeout=timeout, attempts=attempts, hosts_file=hosts is not None, hosts_path=hosts
    )


async def ask(server: Address, name: str, kind: RecordType, **more: float) -> Reply:
    with trio.fail_after(20):
        return await DnsResolver(options(server, timeout=more.get("timeout", 5.0))).ask(Question(name, kind))


async def find(given: DnsOptions, *uris: str, roads: Roads = ROADS, finder: Finder | None = None) -> Way:
    finder = finder or Finder(given, resolving.make_resolver(given), random.Random(1))
    with trio.fail_after(60):
        return await finder.find([Uri.parse(uri) for uri in uris], roads)


def places(way: Way) -> list[str]:
    return [f"{hop.transport} {hop.host} {hop.port}" for hop in way.targets]


# --- a foreign server --------------------------------------------------------------------------------


async def test_each_kind_of_record_is_read(server: Address) -> None:
    (naptr,) = {record.value for record in (await ask(server, "trunk.example", NAPTR)).records if "U" in str(record)}
    assert naptr == Naptr(20, 50, "s", "SIP+D2U", "", "_sip._udp.trunk.example")
    services = {record.value for record in (await ask(server, "_sip._udp.trunk.example", SRV)).records}
    assert services == {Srv(10, 0, 5061, "edge1.example"), Srv(20, 0, 5062, "edge2.example")}
    assert [one.value for one in (await ask(server, "edge1.example", A)).records] == [Host("192.0.2.1")]
    assert [one.value for one in (await ask(server, "edge1.example", AAAA)).records] == [Host("2001:db8::1")]


async def test_an_alias_comes_with_what_it_leads_to(server: Address) -> None:
    reply = await ask(server, "www.example", A)
    assert {record.value for record in reply.records} == {Alias("pbx.example"), Host("192.0.2.3")}
    assert settle(reply, 64).values == (Host("192.0.2.3"),)


async def test_a_name_that_is_not_there_and_a_name_without_such_records_differ(server: Address) -> None:
    assert (await ask(server, "gone.example", A)).status is Status.NO_SUCH_NAME
    nothing = await ask(server, "pbx.example", AAAA)
    assert (nothing.status, nothing.records) == (Status.ANSWERED, ())


async def test_an_answer_too_long_for_a_datagram_comes_over_tcp(server: Address) -> None:
    reply = await ask(server, "many.example", A)
    assert {record.value for record in reply.records} == {Host(address) for address in MANY}


async def test_a_trunk_is_found_by_naptr_and_srv(server: Address) -> None:
    assert places(await find(options(server), "sip:trunk.example")) == [
        "UDP 192.0.2.1 5061",
        "UDP 2001:db8::1 5061",
        "UDP 192.0.2.2 5062",
    ]


async def test_a_host_without_any_service_is_found_by_its_address(server: Address) -> None:
    way = await find(options(server), "sip:www.example")
    assert places(way) == ["UDP 192.0.2.3 5060"]


async def test_a_tcp_service_is_found_by_srv_alone(server: Address) -> None:
    assert places(await find(options(server), "sip:pbx.example", roads=Roads(((Transport.TCP, 4),)))) == [
        "TCP 192.0.2.3 5070"
    ]


async def test_an_unknown_name_is_one_sentence(server: Address) -> None:
    with pytest.raises(LinkError) as caught:
        await find(options(server), "sip:gone.example")
    assert str(caught.value) == "no address is known for gone.example: there is no such name as gone.example"


async def test_a_target_that_failed_is_passed_over_until_all_have(server: Address) -> None:
    given = options(server)
    finder = Finder(given, resolving.make_resolver(given), random.Random(1))
    first = await find(given, "sip:trunk.example", finder=finder)
    finder.blacklist.put(first.targets[0], "it did not answer", trio.current_time())
    second = await find(given, "sip:trunk.example", finder=finder)
    assert second.targets == first.targets[1:]
    assert second.passed_over[0].why == "it did not answer"


# --- servers that misbehave --------------------------------------------------------------------------


def answered(question: bytes, address: str = "192.0.2.9", *, rcode: int = 0, records: bool = True) -> bytes:
    response = dns.message.make_response(dns.message.from_wire(question))
    response.set_rcode(dns.rcode.Rcode(rcode))
    if records:
        response.answer.append(dns.rrset.from_text(response.question[0].name, 60, "IN", "A", address))
    return response.to_wire()


@pytest.mark.parametrize(
    ("rcode", "said"), [(2, "says SERVFAIL"), (5, "says REFUSED"), (4, "says NOTIMP"), (1, "says FORMERR")]
)
async def test_a_server_that_does_not_know_leaves_it_to_the_next(rcode: int, said: str) -> None:
    async with (
        scripted(lambda question: [answered(question, rcode=rcode, records=False)]) as (lame, _),
        scripted(lambda question: [answered(question)]) as (good, _),
    ):
        reply = await DnsResolver(options(lame, good)).ask(Question("x.example", A))
        assert [one.value for one in reply.records] == [Host("192.0.2.9")]
        alone = await DnsResolver(options(lame)).ask(Question("x.example", A))
        assert alone.status is Status.FAILED
        assert alone.why == f"the DNS server 127.0.0.1:{lame[1]} {said}"


async def test_a_server_that_only_names_others_is_lame() -> None:
    def refer(question: bytes) -> list[bytes]:
        response = dns.message.make_response(dns.message.from_wire(question))
        response.authority.append(dns.rrset.from_text("example.", 60, "IN", "NS", "ns.example."))
        return [response.to_wire()]

    async with scripted(refer) as (lame, _):
        reply = await DnsResolver(options(lame)).ask(Question("x.example", A))
    assert reply.status is Status.FAILED
    assert reply.why.endswith("knows nothing of it and names other servers")


async def test_the_zone_says_how_long_there_is_nothing() -> None:
    def nothing(question: bytes) -> list[bytes]:
        response = dns.message.make_response(dns.message.from_wire(question))
        response.set_rcode(dns.rcode.NXDOMAIN)
        response.authority.append(
            dns.rrset.from_text("example.", 900, "IN", "SOA", "ns.example. a.example. 1 2 3 4 17")
        )
        return [response.to_wire()]

    async with scripted(nothing) as (server, _):
        reply = await DnsResolver(options(server)).ask(Question("x.example", A))
    assert (reply.status, reply.negative_ttl) == (Status.NO_SUCH_NAME, 17)


async def test_octets_that_are_no_answer_are_passed_over_until_the_answer_comes() -> None:
    def noise(question: bytes) -> list[bytes]:
        spoofed = bytes([question[0] ^ 1]) + answered(question, "192.0.2.66")[1:]
        other = dns.message.make_response(dns.message.make_query("other.example", "A", id=int.from_bytes(question[:2])))
        truth = answered(question)
        cut = truth[: len(truth) - 3]
        return [
            b"",
            b"\x00",
            b"\xff" * 300,
            question,
            spoofed,
            other.to_wire(),
            question[:2] + b"junk" * 30,
            cut,
            truth,
        ]

    async with scripted(noise) as (server, _):
        reply = await DnsResolver(options(server)).ask(Question("x.example", A))
    assert [one.value for one in reply.records] == [Host("192.0.2.9")]


async def test_rubbish_alone_ends_as_silence(autojump_clock: MockClock) -> None:
    dice = random.Random(77)
    async with scripted(lambda question: [question[:2] + dice.randbytes(dice.randrange(0, 200))]) as (server, had):
        resolver = DnsResolver(options(server, timeout=2.0, attempts=3))
        reply = await resolver.ask(Question("x.example", A))
        assert reply.why == f"the DNS server 127.0.0.1:{server[1]} did not answer within 2 s"
    assert len(had) == 3
    assert trio.current_time() == 6.0


async def test_silent_servers_are_asked_in_turn_and_given_up_in_time(autojump_clock: MockClock) -> None:
    """The trap: dnspython alone would measure with the wall clock and ask on and on (902 times were seen)."""
    async with scripted(lambda question: []) as (first, one), scripted(lambda question: []) as (second, two):
        given = options(first, second, timeout=2.0, attempts=2)
        with pytest.raises(LinkError, match=r"no address is known for pbx\.example: no answer came within 8 s"):
            await Finder(given, DnsResolver(given), random.Random(1)).find([Uri.parse("sip:pbx.example")], ROADS)
        assert trio.current_time() == 8.0
        assert (len(one), len(two)) == (2, 2)


async def test_failures_are_remembered_so_that_nothing_asks_in_a_tight_loop(autojump_clock: MockClock) -> None:
    async with scripted(lambda question: [answered(question, rcode=5, records=False)]) as (server, had):
        given = options(server)
        finder = Finder(given, DnsResolver(given), random.Random(1))
        for _ in range(50):
            with pytest.raises(LinkError):
                await finder.find([Uri.parse("sip:pbx.example:5060")], Roads(((Transport.UDP, 4),)))
    assert len(had) == 1


async def test_a_call_that_is_given_up_stops_asking(autojump_clock: MockClock) -> None:
    async with scripted(lambda question: []) as (server, had):
        given = options(server, attempts=9)
        with trio.move_on_after(1):
            await Finder(given, DnsResolver(given), random.Random(1)).find([Uri.parse("sip:pbx.example")], ROADS)
        assert trio.current_time() == 1.0
        await trio.sleep(100)
    assert len(had) == 1


async def test_a_server_nobody_listens_on_is_named() -> None:
    reply = await DnsResolver(options(("::ffff:0:1", 9), timeout=0.2)).ask(Question("x.example", A))
    assert reply.status is Status.FAILED
    assert "the DNS server [::ffff:0:1]:9" in reply.why


# --- this machine ------------------------------------------------------------------------------------


@pytest.fixture
def hosts(tmp_path: Path) -> Path:
    path = tmp_path / "hosts"
    path.write_text(
        "127.0.0.1 localhost # comment gone.example\n"
        "192.0.2.50\tPBX.example pbx\n2001:db8::50 pbx.example\nfe80::1%lo0 pbx.example\nrubbish x.example\n\n#\n",
        "utf-8",
    )
    return path


async def test_the_hosts_file_comes_before_the_dns(server: Address, hosts: Path) -> None:
    way = await find(options(server, hosts=hosts), "sip:pbx.example", roads=Roads(((Transport.UDP, 4),)))
    assert places(way) == ["UDP 192.0.2.50 5060"]
    way = await find(options(server, hosts=hosts), "sip:edge1.example", roads=Roads(((Transport.UDP, 4),)))
    assert places(way) == ["UDP 192.0.2.1 5060"]


def test_the_hosts_file_is_read_again_when_it_changes(hosts: Path) -> None:
    file = HostsFile(hosts)
    assert file.find("pbx.example") == ("192.0.2.50", "2001:db8::50", "fe80::1%lo0")
    assert file.find("gone.example") is None
    assert file.find("x.example") is None
    hosts.write_text("192.0.2.51 pbx.example\n", "utf-8")
    assert file.find("pbx.example") == ("192.0.2.51",)
    hosts.unlink()
    assert file.find("pbx.example") is None


class Refusing(DnsResolver):
    async def ask(self, question: Question) -> Reply:
        raise AssertionError(f"the DNS was asked for {question}")


@pytest.mark.parametrize("name", ["localhost", "ip6-localhost", "any.localhost", "printer.local", "pbx"])
async def test_names_of_this_machine_and_its_neighbours_are_not_asked_of_the_dns(name: str) -> None:
    asked: list[Question] = []

    class System(SystemResolver):
        async def ask(self, question: Question) -> Reply:
            asked.append(question)
            return Reply(question)

    layered = LayeredResolver(None, Refusing(options(("127.0.0.1", 9))), System())
    await layered.ask(Question(name, A))
    assert [one.name for one in asked] == [name]


async def test_a_name_that_is_invalid_by_definition_is_asked_of_nobody() -> None:
    layered = LayeredResolver(None, Refusing(options(("127.0.0.1", 9))), SystemResolver())
    assert (await layered.ask(Question("pbx.invalid", SRV))).status is Status.NO_SUCH_NAME


async def test_the_system_knows_localhost() -> None:
    reply = await SystemResolver().ask(Question("localhost", A))
    assert [one.value for one in reply.records] == [Host("127.0.0.1")]
    assert (await SystemResolver().ask(Question("localhost", SRV))).records == ()


async def test_without_any_dns_server_the_system_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolving, "system_servers", lambda: ())
    given = DnsOptions(hosts_file=False)
    way = await find(given, "sip:localhost:5080", roads=Roads(((Transport.UDP, 4),)))
    assert way.targets == (Hop(Transport.UDP, "127.0.0.1", 5080, name="localhost", fixed=False),)


def test_the_servers_of_the_settings_come_before_the_system_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolving, "system_servers", lambda: (("192.0.2.53", 53),))
    assert DnsResolver(options(("192.0.2.1", 53))).servers() == (("192.0.2.1", 53),)
    assert DnsResolver(options()).servers() == (("192.0.2.53", 53),)
