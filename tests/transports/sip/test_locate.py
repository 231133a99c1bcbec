"""RFC 3263: from a URI to targets, with a zone written down here; no DNS, no clock."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfax.transports.sip.headers import Uri
from vfax.transports.sip.locate import Found, LocateOptions, Roads, Search, in_order
from vfax.transports.sip.records import (
    Alias,
    Answers,
    Host,
    Naptr,
    Question,
    Record,
    RecordType,
    Reply,
    Srv,
    Status,
    Value,
)
from vfax.transports.sip.values import Hop, Transport

UDP, TCP, TLS = Transport.UDP, Transport.TCP, Transport.TLS
UDP4 = Roads(((UDP, 4),))
ALL = Roads(((UDP, 4), (UDP, 6), (TCP, 4), (TCP, 6), (TLS, 4), (TLS, 6)))

Zone = Mapping[str, Sequence[Value]]
"""`NAME KIND` to values; a name with none of any kind does not exist."""


class World:
    """Answers questions from a zone and remembers them. `alias` records answer every kind, as a server does."""

    def __init__(self, zone: Zone, *, failing: Mapping[str, str] | None = None) -> None:
        self.zone = {key.lower(): tuple(values) for key, values in zone.items()}
        self.failing = failing or {}
        self.asked: list[str] = []

    def answer(self, question: Question) -> Reply:
        self.asked.append(f"{question.name} {question.kind}")
        key = f"{question.name} {question.kind}".lower()
        if key in self.failing or question.name in self.failing:
            return Reply(question, Status.FAILED, why=self.failing.get(key) or self.failing[question.name])
        values = self.zone.get(f"{question.name} cname") or self.zone.get(key, ())
        if not values and not any(known.startswith(f"{question.name} ") for known in self.zone):
            return Reply(question, Status.NO_SUCH_NAME)
        return Reply(question, records=tuple(Record(question.name, value, 60) for value in values))


def look(
    zone: Zone | World,
    *uris: str,
    roads: Roads = UDP4,
    options: LocateOptions | None = None,
    answers: Answers | None = None,
    now: float = 0.0,
    seed: int = 1,
) -> Found:
    world = zone if isinstance(zone, World) else World(zone)
    options = options or LocateOptions()
    dice = random.Random(seed)
    goals = [Uri.parse(uri) for uri in uris]
    answers = Answers(options.cache) if answers is None else answers
    search = Search(goals, roads, options, answers, dice, now)
    while questions := search.take_questions():
        dice.shuffle(questions)  # answers come in any order
        for question in questions:
            search.receive(world.answer(question), now)
    assert search.done
    return search.found


def words(found: Found) -> list[str]:
    return [f"{hop.transport} {hop.host} {hop.port}" for hop in found.targets]


EXAMPLE: Zone = {  # RFC 3263 4.1 and 4.2, with addresses
    "example.com NAPTR": [
        Naptr(50, 50, "s", "SIPS+D2T", "", "_sips._tcp.example.com"),
        Naptr(90, 50, "s", "SIP+D2T", "", "_sip._tcp.example.com"),
        Naptr(100, 50, "s", "SIP+D2U", "", "_sip._udp.example.com"),
    ],
    "_sip._tcp.example.com SRV": [Srv(0, 1, 5060, "server1.example.com"), Srv(0, 2, 5060, "server2.example.com")],
    "_sip._udp.example.com SRV": [Srv(1, 0, 5070, "server1.example.com")],
    "_sips._tcp.example.com SRV": [Srv(0, 0, 5061, "server2.example.com")],
    "server1.example.com A": [Host("192.0.2.1")],
    "server2.example.com A": [Host("192.0.2.2")],
    "server2.example.com AAAA": [Host("2001:db8::2")],
}


# --- what needs no question ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "target"),
    [
        ("sip:1@192.0.2.7", "UDP 192.0.2.7 5060"),
        ("sip:1@192.0.2.7:5080", "UDP 192.0.2.7 5080"),
        ("sip:1@192.0.2.7;transport=tcp", "TCP 192.0.2.7 5060"),
        ("sip:1@192.0.2.7;transport=TLS", "TLS 192.0.2.7 5061"),
        ("sips:1@192.0.2.7", "TLS 192.0.2.7 5061"),
        ("sips:1@192.0.2.7:5080;transport=tcp", "TLS 192.0.2.7 5080"),
        ("sip:1@[2001:db8::7]", "UDP 2001:db8::7 5060"),
        ("sip:1@pbx.example;maddr=192.0.2.8", "UDP 192.0.2.8 5060"),
    ],
)
def test_a_numeric_host_is_its_own_target(uri: str, target: str) -> None:
    world = World({})
    assert words(look(world, uri, roads=ALL)) == [target]
    assert world.asked == []


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("sip:1@192.0.2.7;transport=sctp", "over sctp is not spoken here"),
        ("sips:1@192.0.2.7;transport=udp", "sips: over udp is not spoken here"),
        ("sip:1@192.0.2.7;transport=tcp", "SIP over TCP is not set up here"),
        ("sips:1@pbx.example", "SIP over TLS is not set up here"),
        (
            "sip:1@[2001:db8::7]",
            "2001:db8::7 is IPv6, and there is no IPv6 socket for SIP over UDP ([sip] listen_also adds one)",
        ),
        ("tel:+4930123456", "tel:+4930123456 is no SIP address"),
        (f"sip:1@{'a' * 64}.example", "is no name of a host"),
        ("sip:1@a..example", "is no name of a host"),
    ],
)
def test_what_cannot_be_called_is_said_in_a_sentence(uri: str, said: str) -> None:
    found = look({}, uri)
    assert found.targets == ()
    assert found.why.startswith("no address is known for ")
    assert said in found.why


def test_a_search_without_goals_finds_nothing_and_says_so() -> None:
    assert look({}).targets == ()


# --- NAPTR and SRV -------------------------------------------------------------------------------


def test_naptr_decides_among_what_we_can_do() -> None:
    assert words(look(EXAMPLE, "sip:user@example.com", roads=UDP4)) == ["UDP 192.0.2.1 5070"]


def test_naptr_is_followed_in_its_order_and_further_services_are_for_failover() -> None:
    found = words(look(EXAMPLE, "sip:user@example.com", roads=Roads(((UDP, 4), (TLS, 4)))))
    assert found == ["TLS 192.0.2.2 5061", "UDP 192.0.2.1 5070"]


def test_sips_follows_sips_services_alone() -> None:
    assert words(look(EXAMPLE, "sips:user@example.com", roads=Roads(((UDP, 4), (TLS, 4))))) == ["TLS 192.0.2.2 5061"]


def test_naptr_for_nothing_we_speak_ends_the_search_with_the_reason() -> None:
    zone = {"pbx.example NAPTR": [Naptr(1, 1, "s", "SIP+D2S", "", "_sip._sctp.pbx.example")]}
    assert "its NAPTR records offer SIP+D2S alone, which is not spoken here" in look(zone, "sip:1@pbx.example").why


def test_naptr_of_other_services_does_not_count() -> None:
    zone: Zone = {
        "pbx.example NAPTR": [
            Naptr(1, 1, "u", "E2U+sip", "!^.*$!sip:x@y!", ""),
            Naptr(1, 1, "s", "SIP+D2U", "!a!b!", ""),
        ],
        "pbx.example A": [Host("192.0.2.3")],
    }
    assert words(look(zone, "sip:1@pbx.example")) == ["UDP 192.0.2.3 5060"]


def test_without_naptr_the_services_of_each_transport_are_asked_for() -> None:
    zone = {key: values for key, values in EXAMPLE.items() if "NAPTR" not in key}
    world = World(zone)
    roads = Roads(((UDP, 4), (TCP, 4), (TLS, 4)))
    found = words(look(world, "sip:user@example.com", roads=roads))
    assert found[0] == "UDP 192.0.2.1 5070"
    assert set(found[1:3]) == {"TCP 192.0.2.1 5060", "TCP 192.0.2.2 5060"}
    assert found[3:] == ["TLS 192.0.2.2 5061"]
    assert {f"_{x}.example.com SRV" for x in ("sip._udp", "sip._tcp", "sips._tcp")} < set(world.asked)


def test_a_named_transport_asks_for_its_service_alone() -> None:
    world = World(EXAMPLE)
    assert words(look(world, "sip:user@example.com;transport=udp", roads=ALL)) == ["UDP 192.0.2.1 5070"]
    assert not any("NAPTR" in asked or "_tcp" in asked for asked in world.asked)


def test_a_named_port_asks_for_addresses_alone() -> None:
    world = World(EXAMPLE)
    assert words(look(world, "sip:user@server2.example.com:5099", roads=ALL)) == [
        "UDP 192.0.2.2 5099",
        "UDP 2001:db8::2 5099",
    ]
    assert {asked.split()[1] for asked in world.asked} == {"A", "AAAA"}


def test_without_services_the_address_with_the_usual_port_is_the_target() -> None:
    zone: Zone = {"pbx.example A": [Host("192.0.2.3")]}
    assert words(look(zone, "sip:1@PBX.example.", roads=ALL)) == ["UDP 192.0.2.3 5060"]
    assert words(look(zone, "sips:1@pbx.example", roads=ALL)) == ["TLS 192.0.2.3 5061"]
    assert words(look(zone, "sip:1@pbx.example;transport=tcp", roads=ALL)) == ["TCP 192.0.2.3 5060"]


def test_the_address_is_no_fallback_where_there_are_services() -> None:
    zone: Zone = {
        "_sip._udp.pbx.example SRV": [Srv(0, 0, 5060, "gone.example")],
        "pbx.example A": [Host("192.0.2.3")],
    }
    found = look(zone, "sip:1@pbx.example")
    assert found.targets == ()
    assert found.why == "no address is known for pbx.example: there is no such name as gone.example"


def test_a_service_that_is_decidedly_not_there_is_not_looked_for_elsewhere() -> None:
    zone: Zone = {"_sip._udp.pbx.example SRV": [Srv(0, 0, 0, "")], "pbx.example A": [Host("192.0.2.3")]}
    assert "says that SIP over UDP is not there" in look(zone, "sip:1@pbx.example").why


def test_an_srv_record_that_names_an_address_is_taken_as_meant() -> None:
    zone: Zone = {"_sip._udp.pbx.example SRV": [Srv(0, 0, 5062, "192.0.2.44")]}
    assert words(look(zone, "sip:1@pbx.example")) == ["UDP 192.0.2.44 5062"]


def test_naptr_and_srv_can_be_switched_off() -> None:
    world = World({**EXAMPLE, "example.com A": [Host("192.0.2.9")]})
    found = look(world, "sip:1@example.com", options=LocateOptions(naptr=False, srv=False))
    assert (words(found), world.asked) == (["UDP 192.0.2.9 5060"], ["example.com A"])


def test_the_certificate_is_to_be_for_the_name_that_was_asked_for() -> None:
    (hop,) = look(EXAMPLE, "sips:1@example.com", roads=Roads(((TLS, 4),))).targets
    assert hop == Hop(TLS, "192.0.2.2", 5061, name="example.com", fixed=True)


def test_nobody_asked_for_udp_where_only_the_default_chose_it() -> None:
    zone: Zone = {"pbx.example A": [Host("192.0.2.3")]}
    fixed = {uri: look(zone, uri).targets[0].fixed for uri in ("sip:1@pbx.example", "sip:1@pbx.example;transport=udp")}
    assert list(fixed.values()) == [False, True]


# --- addresses -----------------------------------------------------------------------------------


TWO_FAMILIES: Zone = {
    "pbx.example A": [Host("192.0.2.1"), Host("192.0.2.2"), Host("192.0.2.3")],
    "pbx.example AAAA": [Host("2001:db8::1"), Host("2001:db8::2")],
}


def test_families_take_turns_in_the_order_of_the_sockets() -> None:
    found = look(TWO_FAMILIES, "sip:1@pbx.example:5060", roads=Roads(((UDP, 6), (UDP, 4))))
    hosts = [hop.host for hop in found.targets]
    assert hosts == ["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2", "192.0.2.3"]


def test_a_family_without_a_socket_is_not_asked_for() -> None:
    world = World(TWO_FAMILIES)
    look(world, "sip:1@pbx.example:5060", roads=Roads(((UDP, 6),)))
    assert world.asked == ["pbx.example AAAA"]


def test_only_the_other_family_is_there() -> None:
    zone: Zone = {"pbx.example AAAA": [Host("2001:db8::1")]}
    why = look(zone, "sip:1@pbx.example:5060").why
    assert why == "no address is known for pbx.example: pbx.example has no IPv4 address"


# --- aliases, bounds, failures -------------------------------------------------------------------


def test_an_alias_is_followed_within_one_answer_and_across_answers() -> None:
    zone: Zone = {"pbx.example CNAME": [Alias("edge.example")], "edge.example A": [Host("192.0.2.6")]}
    assert words(look(zone, "sip:1@pbx.example")) == ["UDP 192.0.2.6 5060"]

    class OneAnswer(World):
        def answer(self, question: Question) -> Reply:
            self.asked.append("")
            chain = (Record(question.name, Alias("B.example."), 9), Record("b.EXAMPLE", Host("192.0.2.6"), 9))
            return Reply(question, records=chain if question.kind is RecordType.A else ())

    world = OneAnswer({})
    assert words(look(world, "sip:1@pbx.example:5060")) == ["UDP 192.0.2.6 5060"]
    assert len(world.asked) == 1


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_circle_of_aliases_ends(length: int) -> None:
    zone: Zone = {f"n{n}.example CNAME": [Alias(f"n{(n + 1) % length}.example")] for n in range(length)}
    world = World(zone)
    found = look(world, "sip:1@n0.example")
    assert found.targets == ()
    assert len(world.asked) < 60


def test_a_long_chain_of_aliases_ends_at_the_limit() -> None:
    zone: Zone = {f"n{n}.example CNAME": [Alias(f"n{n + 1}.example")] for n in range(100)}
    world = World({**zone, "n100.example A": [Host("192.0.2.1")]})
    found = look(world, "sip:1@n0.example:5060")
    assert len(world.asked) == 9
    assert "its aliases (CNAME) lead round in a circle" in found.why


def test_counts_are_bounded() -> None:
    services = [Srv(n, 0, 5060, f"s{n}.example") for n in range(500)]
    hosts: Zone = {f"s{n}.example A": [Host(f"10.{n // 256}.{n % 256}.{k}") for k in range(50)] for n in range(500)}
    world = World({"_sip._udp.pbx.example SRV": services, **hosts})
    found = look(world, "sip:1@pbx.example")
    assert len(found.targets) == LocateOptions().max_targets
    assert len(world.asked) <= LocateOptions().max_questions


def test_a_search_that_needs_too_many_questions_uses_what_it_has() -> None:
    services = [Srv(n, 0, 5060, f"s{n}.example") for n in range(10)]
    world = World({"_sip._udp.pbx.example SRV": services, "s9.example A": [Host("192.0.2.9")]})
    found = look(world, "sip:1@pbx.example", options=LocateOptions(max_questions=5))
    assert len(world.asked) == 5
    assert "more than 5 questions were needed" in found.why


def test_failed_questions_are_named_once_with_their_reason() -> None:
    world = World(
        {}, failing={"pbx.example": "no DNS server answered", "_sip._udp.pbx.example": "no DNS server answered"}
    )
    assert look(world, "sip:1@pbx.example").why == (
        "no address is known for pbx.example: no DNS server answered "
        "(asked for NAPTR of pbx.example, SRV of _sip._udp.pbx.example, A of pbx.example)"
    )


def test_a_failed_naptr_does_not_keep_from_going_on() -> None:
    zone: Zone = {"pbx.example A": [Host("192.0.2.3")]}
    found = look(World(zone, failing={"pbx.example naptr": "SERVFAIL"}), "sip:1@pbx.example")
    assert words(found) == ["UDP 192.0.2.3 5060"]
    assert found.notes == ("SERVFAIL (asked for NAPTR of pbx.example)",)


def test_giving_up_keeps_what_is_known() -> None:
    search = Search(
        [Uri.parse("sip:1@pbx.example:5060"), Uri.parse("sip:1@192.0.2.5")], UDP4, LocateOptions(),
        Answers(LocateOptions().cache), random.Random(1), 0.0,
    )  # fmt: skip
    assert len(search.take_questions()) == 1
    search.give_up(8.0, "no answer came within 8 s")
    assert search.done
    assert words(search.found) == ["UDP 192.0.2.5 5060"]
    assert search.found.notes == ("no answer came within 8 s (asked for A of pbx.example)",)
    assert search.take_questions() == []


def test_an_answer_to_another_question_is_not_looked_at() -> None:
    answers = Answers(LocateOptions().cache)
    search = Search([Uri.parse("sip:1@pbx.example:5060")], UDP4, LocateOptions(), answers, random.Random(1), 0.0)
    strange = Question("bank.example", RecordType.A)
    search.receive(Reply(strange, records=(Record("bank.example", Host("192.0.2.66"), 9),)), 0.0)
    assert (search.done, len(answers)) == (False, 0)


def test_records_of_other_names_and_kinds_in_an_answer_do_not_count() -> None:
    class Liar(World):
        def answer(self, question: Question) -> Reply:
            spoilt = (
                Record("other.example", Host("192.0.2.66"), 9),
                Record(question.name, Host("2001:db8::66"), 9),
                Record(question.name, Srv(0, 0, 1, "x"), 9),
            )
            return Reply(question, records=spoilt if question.kind is RecordType.A else ())

    assert look(Liar({}), "sip:1@pbx.example:5060").targets == ()


# --- several gateways ----------------------------------------------------------------------------


def test_the_targets_of_the_second_gateway_follow_those_of_the_first() -> None:
    zone: Zone = {"a.example A": [Host("192.0.2.1"), Host("192.0.2.2")], "b.example A": [Host("192.0.2.3")]}
    found = look(zone, "sip:a.example:5060", "sip:b.example:5070")
    assert words(found) == ["UDP 192.0.2.1 5060", "UDP 192.0.2.2 5060", "UDP 192.0.2.3 5070"]


def test_a_gateway_that_is_not_known_does_not_keep_the_next_from_being_used() -> None:
    found = look({"b.example A": [Host("192.0.2.3")]}, "sip:a.example", "sip:b.example")
    assert words(found) == ["UDP 192.0.2.3 5060"]
    assert found.notes == ("there is no such name as a.example",)


def test_of_gateways_that_are_all_unknown_each_is_named() -> None:
    why = look({}, "sip:a.example", "sip:b.example").why
    assert why.startswith("no address is known for a.example or b.example: there is no such name as a.example; ")


# --- the cache -----------------------------------------------------------------------------------


def test_what_is_known_is_not_asked_again() -> None:
    world, options = World(EXAMPLE), LocateOptions()
    answers = Answers(options.cache)
    first = look(world, "sip:1@example.com", answers=answers)
    count = len(world.asked)
    assert look(world, "sip:1@example.com", answers=answers, now=59.0) == first
    assert len(world.asked) == count
    look(world, "sip:1@example.com", answers=answers, now=60.0)
    assert len(world.asked) > count


# --- the order of SRV records --------------------------------------------------------------------


def test_priorities_come_before_weights() -> None:
    records = [Srv(20, 65535, 1, "c"), Srv(10, 0, 1, "a"), Srv(15, 1, 1, "b")]
    assert [one.target for one in in_order(records, random.Random(1))] == ["a", "b", "c"]


def test_weights_decide_how_often_a_record_is_first() -> None:
    records = [Srv(0, 60, 1, "a"), Srv(0, 20, 1, "b"), Srv(0, 20, 1, "c"), Srv(0, 0, 1, "d")]
    seed = 20261201
    dice = random.Random(seed)
    firsts = Counter(next(iter(in_order(records, dice))).target for _ in range(10_000))
    assert 5_800 < firsts["a"] < 6_200, f"seed {seed}: {firsts}"
    assert 1_800 < firsts["b"] < 2_200
    assert 1_800 < firsts["c"] < 2_200
    assert 0 < firsts["d"] < 200  # a small chance, RFC 2782 says


def test_records_without_weight_are_all_tried_in_any_order() -> None:
    records = [Srv(0, 0, 1, target) for target in "abc"]
    assert sorted(one.target for one in in_order(records, random.Random(3))) == ["a", "b", "c"]


names = st.sampled_from(
    ["pbx.example", "a.example", "b.example", "_sip._udp.pbx.example", "_sip._udp.a.example", "", "x" * 70]
)
hosts = st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1", "not an address", ""])
numbers = st.integers(0, 65535)
values: st.SearchStrategy[Value] = st.one_of(
    st.builds(Host, hosts),
    st.builds(Alias, names),
    st.builds(Srv, numbers, numbers, numbers, names),
    st.builds(Naptr, numbers, numbers, st.sampled_from(["s", "S", "a", ""]),
              st.sampled_from(["SIP+D2U", "SIPS+D2T", "sip+d2t", "", "SIP+D2S"]), st.just(""), names),
)  # fmt: skip
replies = st.tuples(st.sampled_from(Status), st.lists(st.builds(Record, names, values, st.floats(0, 1e9)), max_size=12))


@settings(max_examples=300, deadline=None)
@given(st.lists(replies, min_size=1, max_size=8), st.sampled_from([UDP4, ALL]), st.integers(0, 99))
def test_whatever_answers_say_a_search_ends_within_its_bounds(
    said: list[tuple[Status, list[Record]]], roads: Roads, seed: int
) -> None:
    class Anything(World):
        def answer(self, question: Question) -> Reply:
            status, records = said[len(self.asked) % len(said)]
            self.asked.append("")
            return Reply(question, status, tuple(records), "why")

    world = Anything({})
    found = look(world, "sip:1@pbx.example", "sip:2@a.example", roads=roads, seed=seed)
    assert len(world.asked) <= LocateOptions().max_questions
    assert len(found.targets) <= 2 * LocateOptions().max_targets
    assert bool(found.targets) != bool(found.why)
