"""Rules by source network: who is asked for a password."""

import random
from ipaddress import ip_network
from typing import Final

import pytest

from vfax.transports.sip.admission import Admission, Rule
from vfax.transports.sip.keyring import Attempt, Credentials, Keyring
from vfax.transports.sip.message import Headers, Request, Response
from vfax.transports.sip.warden import WardenOptions

URI: Final = "sip:fax@192.0.2.1"
ANYWHERE: Final = ip_network("0.0.0.0/0")


def digest(*networks: str, user: str = "alice", realm: str = "fax") -> Rule:
    return Rule(
        networks=tuple(ip_network(one) for one in networks), digest=WardenOptions(realm=realm, users={user: "s3cret"})
    )


def free(*networks: str) -> Rule:
    return Rule(networks=tuple(ip_network(one) for one in networks))


def admission(*rules: Rule) -> Admission:
    return Admission(rules, random.Random(1))


def ask(method: str = "INVITE", *fields: tuple[str, str]) -> Request:
    return Request(method, URI, Headers(fields))


def test_without_rules_everybody_comes_in() -> None:
    assert admission().judge(ask(), "203.0.113.1", 0.0).admitted


@pytest.mark.parametrize(
    ("host", "admitted"),
    [
        ("192.0.2.5", True),  # free, the longer network
        ("192.0.3.5", False),
        ("198.51.100.7", True),  # free and asked alike: no password
        ("2001:db8::1", True),  # in no rule
        ("fe80::1%eth0", True),
        ("no host", True),
    ],
)
def test_the_longest_network_decides(host: str, admitted: bool) -> None:
    one = admission(digest("0.0.0.0/0", "198.51.100.0/24"), free("192.0.2.0/24", "198.51.100.0/24"))
    assert one.judge(ask(), host, 0.0).admitted is admitted


@pytest.mark.parametrize("method", ["ACK", "CANCEL", "BYE", "UPDATE", "REGISTER"])
def test_only_what_can_be_sent_again_and_would_be_served_is_challenged(method: str) -> None:
    assert admission(digest("0.0.0.0/0")).judge(ask(method), "192.0.2.5", 0.0).admitted
    assert not admission(digest("0.0.0.0/0")).judge(ask("OPTIONS"), "192.0.2.5", 0.0).admitted


def test_users_of_one_realm_share_its_challenges_and_each_realm_has_its_own() -> None:
    one = admission(digest("0.0.0.0/0", user="alice"), digest("0.0.0.0/0", user="bob"), digest("0.0.0.0/0", realm="x"))
    entry = one.judge(ask(), "192.0.2.5", 0.0)
    assert [value.partition(",")[0] for _, value in entry.fields] == ['Digest realm="fax"'] * 2 + [
        'Digest realm="x"'
    ] * 2
    for user in ("alice", "bob"):
        ring = Keyring((Credentials(user, "s3cret", "fax"),), random.Random(2))
        entry = one.judge(ask(), "192.0.2.5", 0.0)
        assert ring.learn(Response(401, "", Headers(entry.fields)), Attempt()) == ""
        admitted = one.judge(ask("INVITE", *ring.fields("INVITE", URI)), "192.0.2.5", 0.0)
        assert (admitted.admitted, admitted.user) == (True, user)


def test_a_wrong_password_is_told_and_no_answer_yet_is_not() -> None:
    one = admission(digest("0.0.0.0/0"))
    entry = one.judge(ask(), "192.0.2.5", 0.0)
    assert entry.refused == ""
    ring = Keyring((Credentials("alice", "guess"),), random.Random(2))
    ring.learn(Response(401, "", Headers(entry.fields)), Attempt())
    refused = one.judge(ask("INVITE", *ring.fields("INVITE", URI)), "192.0.2.5", 0.0)
    assert (refused.admitted, refused.refused) == (False, "user 'alice': the password is wrong")
    assert len(refused.fields) == 2
