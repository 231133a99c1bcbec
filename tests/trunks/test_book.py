"""Which trunk a call belongs to: out by name, domain or gateway; in by digest user, network and domain."""

import ipaddress
import time

import pytest

from vfax.transports.sip.headers import Uri
from vfax.trunks.book import MAX_HOSTS, TrunkBook
from vfax.trunks.options import Accept, InboundOptions, NumberOptions, RegisterOptions, TrunkOptions


def inbound(*networks: str, **more: object) -> InboundOptions:
    return InboundOptions(networks=tuple(ipaddress.ip_network(one) for one in networks), **more)  # type: ignore[arg-type]


def uris(*texts: str) -> tuple[Uri, ...]:
    return tuple(Uri.parse(text) for text in texts)


CARRIER = TrunkOptions(
    name="carrier",
    gateways=uris("sip:198.51.100.1", "sip:198.51.100.2:5070"),
    numbers=NumberOptions(dial_format="{digits}"),
    inbound=inbound("203.0.113.0/24"),
)
CLOUD = TrunkOptions(
    name="cloud",
    gateways=uris("sip:sbc.example.com;transport=tls"),
    domain="pbx.example.com",
    register=RegisterOptions(registrar=Uri.parse("sip:pbx.example.com"), user="7", domain="d", contact_user="7"),
)
OPEN = TrunkOptions(name="road", inbound=inbound("0.0.0.0/0", accept=Accept.DIGEST, users={"pbx": "p"}))
BOOK = TrunkBook((CARRIER, CLOUD, OPEN))


@pytest.mark.parametrize(
    ("destination", "name", "dialled"),
    [
        ("sip:+49301@carrier", "carrier", "sip:49301@198.51.100.1"),
        ("sip:+49301@CARRIER", "carrier", "sip:49301@198.51.100.1"),
        ("sip:4711@carrier", "carrier", "sip:4711@198.51.100.1"),
        ("sip:+49301;npdi@carrier;user=phone", "carrier", "sip:49301;npdi@198.51.100.1;user=phone"),
        ("sip:+49301@cloud", "cloud", "sip:+49301@pbx.example.com"),
        ("sip:+49301@pbx.example.com", "cloud", "sip:+49301@pbx.example.com"),
        ("sip:+49301@sbc.example.com", "cloud", "sip:+49301@pbx.example.com"),
        ("sip:+49301@198.51.100.2:5070", "carrier", "sip:49301@198.51.100.1"),
    ],
)
def test_a_destination_names_its_trunk(destination: str, name: str, dialled: str) -> None:
    passage = BOOK.of_destination(destination)
    assert passage is not None
    assert passage.trunk.name == name
    assert passage.uri_for(passage.trunk.goals[0]) == dialled


def test_each_gateway_is_dialled_by_its_own_name_where_the_trunk_has_no_domain() -> None:
    passage = BOOK.of_destination("sip:+49301@carrier")
    assert passage is not None
    assert passage.uri_for(CARRIER.gateways[1]) == "sip:49301@198.51.100.2:5070"
    assert passage.uri_for(Uri.parse("sip:proxy.example.com")) == "sip:49301@198.51.100.1"


@pytest.mark.parametrize(
    "destination",
    ["sip:1@carrier:5060", "sip:1@192.0.2.1", "sip:1@198.51.100.2", "tel:+49", "mailto:a@carrier", "junk", ""],
)
def test_other_destinations_go_as_they_went_before_there_were_trunks(destination: str) -> None:
    assert BOOK.of_destination(destination) is None


def test_a_disabled_trunk_is_found_by_its_name_alone() -> None:
    off = TrunkOptions(name="off", gateways=uris("sip:192.0.2.9"), enabled=False, inbound=inbound("192.0.2.0/24"))
    book = TrunkBook((off,))
    passage = book.of_destination("sip:1@off")
    assert passage is not None
    assert not passage.trunk.enabled
    assert book.of_destination("sip:1@192.0.2.9") is None
    assert book.of_incoming("192.0.2.9") is None
    assert not book.may_talk("192.0.2.9")


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("198.51.100.2", "carrier"),
        ("203.0.113.77", "carrier"),
        ("192.0.2.1", "road"),
        ("2001:db8::1", None),
        ("no address", None),
    ],
)
def test_a_call_belongs_to_the_trunk_its_host_is_nearest_to(host: str, name: str | None) -> None:
    found = BOOK.of_incoming(host)
    assert (found.name if found is not None else None) == name
    assert BOOK.may_talk(host) is (name is not None)


def test_a_user_who_answered_our_challenge_belongs_to_his_trunk_wherever_he_is() -> None:
    assert BOOK.of_incoming("198.51.100.1", digest_user="pbx") is OPEN
    assert BOOK.of_incoming("198.51.100.1", digest_user="stranger") is None


def test_gateways_need_no_password_unless_their_trunk_wants_one() -> None:
    assert BOOK.is_known_gateway("198.51.100.1")
    assert not BOOK.is_known_gateway("203.0.113.77")  # a network is no gateway
    assert not BOOK.is_known_gateway("2001:db8::1")
    book = TrunkBook((TrunkOptions(name="d", gateways=uris("sip:192.0.2.1"), inbound=OPEN.inbound),))
    assert not book.is_known_gateway("192.0.2.1")


def test_what_a_gateways_name_stands_for_is_its_trunks() -> None:
    book = TrunkBook((CARRIER, CLOUD))
    assert not book.may_talk("192.0.2.50")
    book.learn_hosts("cloud", ["192.0.2.50", "2001:db8::50"])
    assert book.of_incoming("192.0.2.50") is CLOUD
    assert book.of_incoming("2001:db8::50") is CLOUD
    book.learn_hosts("cloud", ["192.0.2.51"])
    assert book.of_incoming("192.0.2.50") is None
    book.learn_hosts("nobody", ["192.0.2.50"])


def test_only_so_many_hosts_are_remembered() -> None:
    book = TrunkBook((CLOUD,))
    book.learn_hosts("cloud", [f"10.0.0.{one}" for one in range(200)])
    assert sum(book.may_talk(f"10.0.0.{one}") for one in range(200)) == MAX_HOSTS


def test_trunks_of_one_host_are_told_apart_by_domain_then_by_our_account_then_by_order() -> None:
    def one(name: str, user: str, **more: object) -> TrunkOptions:
        register = RegisterOptions(registrar=Uri.parse("sip:h"), user=user, domain="h", contact_user=user)
        return TrunkOptions(name=name, gateways=uris("sip:192.0.2.1"), register=register, **more)  # type: ignore[arg-type]

    first, second, third = one("a", "7"), one("b", "8"), one("c", "9", domain="c.example")
    book = TrunkBook((first, second, third))
    assert book.of_incoming("192.0.2.1") is first
    assert book.of_incoming("192.0.2.1", contact_user="8") is second
    assert book.of_incoming("192.0.2.1", contact_user="8", domains=("C.example",)) is third


def test_trunks_of_one_host_may_be_told_apart_by_the_port_they_send_from() -> None:
    first, second = (TrunkOptions(name=f"t{port}", gateways=uris(f"sip:192.0.2.1:{port}")) for port in (5060, 5070))
    book = TrunkBook((first, second))
    assert book.of_incoming("192.0.2.1", port=5070) is second
    assert book.of_incoming("192.0.2.1", port=40000) is first


@pytest.mark.parametrize(
    ("host", "other", "one"),
    [
        ("203.0.113.1", "203.0.113.2", True),
        ("203.0.113.1", "198.51.100.2", True),  # a network and a gateway of one trunk
        ("198.51.100.1", "192.0.2.1", False),
        ("192.0.2.1", "192.0.2.2", False),  # in no network but that of everybody
        ("sbc.example.com", "203.0.113.1", False),
    ],
)
def test_hosts_of_one_trunk_speak_for_each_other(host: str, other: str, one: bool) -> None:
    assert BOOK.are_one(host, other) is one


def test_a_learned_host_speaks_for_its_trunk() -> None:
    book = TrunkBook((CARRIER, CLOUD))
    assert not book.are_one("192.0.2.5", "192.0.2.6")
    book.learn_hosts("cloud", ["192.0.2.5", "192.0.2.6"])
    assert book.are_one("192.0.2.5", "192.0.2.6")


def test_whose_a_host_is_costs_next_to_nothing_once_it_is_known_and_follows_the_names() -> None:
    trunks = [
        TrunkOptions(
            name=f"t{number}", gateways=uris(f"sip:gw{number}.example"), inbound=inbound(f"10.{number}.0.0/16")
        )
        for number in range(100)
    ]
    book = TrunkBook(trunks)
    best = 1.0
    for _ in range(5):
        begin = time.thread_time()
        for _ in range(100):
            assert book.of_incoming("10.50.1.1", port=5060) is trunks[50]
            assert book.are_one("10.50.1.1", "10.50.2.2")
        best = min(best, (time.thread_time() - begin) / 100)
    assert best < 50e-6
    assert book.of_incoming("192.0.2.1") is None
    assert not book.are_one("192.0.2.1", "10.50.1.1")
    book.learn_hosts("t50", ["192.0.2.1"])
    assert book.of_incoming("192.0.2.1") is trunks[50]
    assert book.are_one("192.0.2.1", "10.50.1.1")
    book.learn_hosts("t50", [])
    assert book.of_incoming("192.0.2.1") is None
