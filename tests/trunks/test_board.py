"""How trunks are shown: one word, and a sentence where something is wrong."""

import json

from vfax.plain import plain_of, value_of
from vfax.transports.sip.headers import Uri
from vfax.transports.sip.probing import Health, Probed
from vfax.transports.sip.registration import Registration, Standing
from vfax.trunks.board import MAX_SENTENCE, Direction, FaxSeen, TrunkBoard, TrunkRow, TrunkState, sentence_of
from vfax.trunks.options import LimitOptions, RegisterOptions, TrunkOptions

A, B = Uri.parse("sip:192.0.2.1"), Uri.parse("sip:b:5070")
PLAIN = TrunkOptions(name="plain", gateways=(A, B), limits=LimitOptions(max_calls=5))
CLOUD = TrunkOptions(
    name="cloud",
    gateways=(Uri.parse("sip:cloud.example"),),
    register=RegisterOptions(registrar=Uri.parse("sip:cloud.example"), user="7", domain="d", contact_user="7"),
)
OFF = TrunkOptions(name="off", enabled=False)
IN, OUT = Direction.IN, Direction.OUT


def board() -> TrunkBoard:
    return TrunkBoard((PLAIN, CLOUD, OFF))


def row(one: TrunkBoard, name: str, now: float = 100.0) -> TrunkRow:
    return next(row for row in one.rows(now) if row.name == name)


def probed(health: Health, why: str = "", rtt: float | None = None) -> Probed:
    ok = health is Health.UP
    return Probed(key="k", health=health, ok=ok, why=why, status=None, rtt=rtt, since=0.0, changed=False)


def fax(ok: bool, sentence: str, *, t38: bool | None = True, reached: bool | None = True) -> FaxSeen:
    return FaxSeen(ok=ok, t38=t38, reached=reached, sentence=sentence)


def test_a_new_board_knows_nothing_yet() -> None:
    one = board()
    assert [(r.name, r.state) for r in one.rows(0.0)] == [
        ("plain", TrunkState.UNTESTED),
        ("cloud", TrunkState.TROUBLE),
        ("off", TrunkState.DISABLED),
    ]
    assert row(one, "cloud").reason == "The trunk cloud is not registered yet."
    assert row(one, "off").reason == "The trunk off has enabled = false in the settings."
    assert [gateway.name for gateway in row(one, "plain").gateways] == ["192.0.2.1", "b:5070"]
    assert row(one, "plain").max_calls == 5


def test_a_registration_is_shown_with_what_is_left_of_it() -> None:
    one = board()
    one.registration("cloud", Registration(standing=Standing.REGISTERED, why="", until=160.0))
    shown = row(one, "cloud", 110.0)
    assert shown.state == "ready"
    assert shown.registration is not None
    assert (shown.registration.standing, shown.registration.left) == ("registered", 50.0)


def test_a_failed_registration_says_why_and_when_it_is_tried_again() -> None:
    one = board()
    one.registration("cloud", Registration(standing=Standing.FAILED, why="the password is wrong", next_try=130.0))
    shown = row(one, "cloud", 110.0)
    assert (shown.state, shown.reason) == ("down", "The password is wrong. The next try is in 20 s.")


def test_the_worst_is_said_first() -> None:
    one = board()
    one.began("plain", OUT)
    one.ended("plain", OUT, fax(False, "T.38 failed."), 1.0)
    assert (row(one, "plain").state, row(one, "plain").reason) == ("trouble", "T.38 failed.")
    one.probe("plain", A, probed(Health.DOWN, "192.0.2.1 does not answer"), 2.0)
    assert (row(one, "plain").state, row(one, "plain").reason) == ("trouble", "192.0.2.1 does not answer.")
    one.probe("plain", B, probed(Health.DOWN, "b is silent"), 2.0)
    assert row(one, "plain").state == "down"
    one.reachable("plain", False, "the name cannot be resolved", 3.0)
    assert row(one, "plain").reason == "The name cannot be resolved."


def test_a_trunk_that_is_well_again_is_ready() -> None:
    one = board()
    one.began("plain", OUT)
    one.ended("plain", OUT, fax(False, "Nobody is there", t38=None, reached=False), 1.0)
    assert (row(one, "plain").state, row(one, "plain").reason) == ("down", "Nobody is there.")
    one.probe("plain", A, probed(Health.UP, rtt=0.02), 5.0)
    one.ended("plain", OUT, fax(True, "Sent."), 6.0)
    shown = row(one, "plain")
    assert (shown.state, shown.reason) == ("ready", "")
    assert (shown.gateways[0].health, shown.gateways[0].age, shown.gateways[0].rtt) == ("up", 95.0, 0.02)


def test_calls_and_their_t38_results_are_counted_by_direction() -> None:
    one = board()
    one.began("plain", IN)
    one.began("plain", IN)
    one.began("plain", OUT)
    one.ended("plain", IN, fax(True, "Received."), 90.0)
    one.ended("plain", OUT, fax(False, "Busy.", t38=None), 95.0)
    shown = row(one, "plain")
    assert (shown.calls_in, shown.calls_out) == (1, 0)
    assert shown.t38_in is not None
    assert (shown.t38_in.ok, shown.t38_in.age, shown.t38_in.sentence) == (True, 10.0, "Received.")
    assert shown.t38_out is None  # no T.38 was tried


def test_what_was_refused_is_counted_with_the_last_reason() -> None:
    one = board()
    one.refused("plain", "the trunk plain has 5 calls", 40.0)
    one.refused("plain", "x" * 1_000, 60.0)
    shown = row(one, "plain")
    assert shown.refused == 2
    assert shown.last_refused is not None
    assert (shown.last_refused.age, len(shown.last_refused.sentence)) == (40.0, MAX_SENTENCE)


def test_strangers_are_not_listened_to() -> None:
    one = board()
    before = one.rows(0.0)
    one.began("nobody", IN)
    one.ended("nobody", IN, fax(True, ""), 0.0)
    one.probe("nobody", A, probed(Health.DOWN), 0.0)
    one.probe("plain", Uri.parse("sip:stranger"), probed(Health.DOWN), 0.0)
    one.registration("nobody", Registration(standing=Standing.FAILED, why=""))
    one.reachable("nobody", False, "", 0.0)
    one.refused("nobody", "", 0.0)
    assert one.rows(0.0) == before


def test_rows_travel_as_json() -> None:
    one = board()
    one.probe("plain", A, probed(Health.UP, rtt=0.5), 5.0)
    one.registration("cloud", Registration(standing=Standing.REGISTERED, why="w", until=160.0))
    for shown in one.rows(7.0):
        assert value_of(TrunkRow, json.loads(json.dumps(plain_of(shown))))[0] == shown


def test_texts_become_sentences() -> None:
    assert sentence_of("no answer") == "No answer."
    assert sentence_of("sip:7@host is registered") == "sip:7@host is registered."
    assert sentence_of("Done!") == "Done!"
    assert sentence_of("") == ""
