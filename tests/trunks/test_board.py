"""How trunks are shown: one word, and a sentence where something is wrong."""

import json

import pytest

from vfax.errors import DecodeError
from vfax.transports.sip.headers import Uri
from vfax.trunks.board import (
    MAX_SENTENCE,
    FaxSeen,
    ProbeSeen,
    Registered,
    RegistrationSeen,
    TrunkBoard,
    TrunkRow,
    TrunkState,
)
from vfax.trunks.options import LimitOptions, RegisterOptions, TrunkOptions

PLAIN = TrunkOptions(
    name="plain", gateways=(Uri.parse("sip:192.0.2.1"), Uri.parse("sip:b:5070")), limits=LimitOptions(max_calls=5)
)
CLOUD = TrunkOptions(
    name="cloud",
    gateways=(Uri.parse("sip:cloud.example"),),
    register=RegisterOptions(registrar=Uri.parse("sip:cloud.example"), user="7", domain="d", contact_user="7"),
)
OFF = TrunkOptions(name="off", enabled=False)


def board() -> TrunkBoard:
    return TrunkBoard((PLAIN, CLOUD, OFF))


def row(one: TrunkBoard, name: str, now: float = 100.0) -> TrunkRow:
    return next(row for row in one.rows(now) if row.name == name)


def test_a_new_board_knows_nothing_yet() -> None:
    one = board()
    assert [(r.name, r.state) for r in one.rows(0.0)] == [
        ("plain", TrunkState.UNTESTED),
        ("cloud", TrunkState.TROUBLE),
        ("off", TrunkState.DISABLED),
    ]
    assert row(one, "cloud").reason == "The trunk cloud is not registered yet."
    assert row(one, "off").reason == "The trunk off has enabled = false in the settings."
    assert (row(one, "plain").gateways, row(one, "plain").max_calls) == ("192.0.2.1, b:5070", 5)


def test_a_registration_is_shown_with_what_is_left_of_it() -> None:
    one = board()
    one.registration("cloud", RegistrationSeen(state=Registered.REGISTERED, until=160.0), 100.0)
    shown = row(one, "cloud", 110.0)
    assert (shown.state, shown.registration, shown.registration_left) == ("ready", "registered", 50.0)


def test_a_failed_registration_says_why_and_when_it_is_tried_again() -> None:
    one = board()
    why = "The registrar cloud.example refused our password: check password of [[trunk]] cloud."
    one.registration("cloud", RegistrationSeen(state=Registered.FAILED, why=why, next_try=130.0, status=403), 100.0)
    shown = row(one, "cloud", 110.0)
    assert (shown.state, shown.reason) == ("down", f"{why} The next try is in 20 s.")


def test_the_worst_is_said_first() -> None:
    one = board()
    one.ended("plain", "out", FaxSeen(ok=False, t38=True, sentence="T.38 failed."), 1.0)
    assert (row(one, "plain").state, row(one, "plain").reason) == ("trouble", "T.38 failed.")
    one.probe("plain", ProbeSeen(ok=False, why="No answer to OPTIONS."), 2.0)
    assert (row(one, "plain").state, row(one, "plain").reason) == ("down", "No answer to OPTIONS.")
    one.reachable("plain", False, "The name cannot be resolved.", 3.0)
    assert row(one, "plain").reason == "The name cannot be resolved."
    one.reachable("plain", True, "", 4.0)
    one.probe("plain", ProbeSeen(ok=True, rtt=0.02, status=200), 5.0)
    one.ended("plain", "out", FaxSeen(ok=True, t38=True, sentence="Sent."), 6.0)
    shown = row(one, "plain")
    assert (shown.state, shown.reason, shown.probe_age, shown.probe_rtt) == ("ready", "", 95.0, 0.02)


def test_calls_and_their_t38_results_are_counted_by_direction() -> None:
    one = board()
    one.began("plain", "in", 1.0)
    one.began("plain", "in", 1.0)
    one.began("plain", "out", 1.0)
    one.ended("plain", "in", FaxSeen(ok=True, t38=True, sentence="Received."), 90.0)
    one.ended("plain", "out", FaxSeen(ok=False, t38=None, sentence="Busy."), 95.0)
    shown = row(one, "plain")
    assert (shown.calls_in, shown.calls_out) == (1, 0)
    assert (shown.t38_in, shown.t38_in_age, shown.t38_in_why) == (True, 10.0, "Received.")
    assert (shown.t38_out, shown.t38_out_age) == (None, None)  # no T.38 was tried


def test_what_was_refused_is_counted_with_the_last_reason() -> None:
    one = board()
    one.refused("plain", "the trunk plain has 5 calls", 40.0)
    one.refused("plain", "x" * 1_000, 60.0)
    shown = row(one, "plain")
    assert (shown.refused, shown.refused_age, len(shown.refused_why)) == (2, 40.0, MAX_SENTENCE)


def test_strangers_are_not_listened_to() -> None:
    one = board()
    before = one.rows(0.0)
    one.began("nobody", "in", 0.0)
    one.ended("nobody", "in", FaxSeen(ok=True, t38=True, sentence=""), 0.0)
    one.probe("nobody", ProbeSeen(ok=False), 0.0)
    one.registration("nobody", RegistrationSeen(state=Registered.FAILED), 0.0)
    one.reachable("nobody", False, "", 0.0)
    one.refused("nobody", "", 0.0)
    one.address("nobody", "")
    assert one.rows(0.0) == before


def test_rows_travel_as_json() -> None:
    one = board()
    one.address("plain", "203.0.113.5:5060")
    for shown in one.rows(7.0):
        assert TrunkRow.of_json(json.loads(json.dumps(shown.to_json()))) == shown


@pytest.mark.parametrize("told", [None, [], {"name": "x"}, "x"])
def test_what_is_no_row_is_refused(told: object) -> None:
    with pytest.raises(DecodeError):
        TrunkRow.of_json(told)
