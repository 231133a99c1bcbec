"""Whole questions to the tables: they print as documentation, so they must be true as a whole."""

from collections.abc import Iterable

import pytest

from vfax.codecs.frames import Fcf
from vfax.outcome import Cause
from vfax.t30.options import T30Options, Timers
from vfax.t30.polling import Offering, Poller
from vfax.t30.receiver import Receiver
from vfax.t30.sender import Sender
from vfax.t30.tables import (
    AWAITED,
    EXPIRY,
    OFFER,
    PHASES,
    POLL,
    POLLED,
    RECEIVE,
    RECEIVING,
    SEND,
    SENDING,
    Do,
    Line,
    S,
    Step,
    Table,
)
from vfax.t30.terminal import Terminal

ALL: dict[str, tuple[Table, tuple[S, ...]]] = {
    "receive": (RECEIVE, RECEIVING),
    "offer": (OFFER, RECEIVING),
    "poll": (POLL, (S.AWAIT_DIS, *RECEIVING)),
    "send": (SEND, SENDING),
    "polled": (POLLED, SENDING),
}
tables = pytest.mark.parametrize(("table", "live"), ALL.values(), ids=ALL)

CLOCK = set(EXPIRY.values()) | {Line.NO_PROGRESS}
VERDICTS = (
    set(Line)
    - CLOCK
    - {
        Line.LINE_UP,
        Line.LINE_DOWN,
        Line.CARRIER,
        Line.BURST_END,
        Line.SENT,
        Line.PAGE_KEPT,
        Line.PAGE_LOST,
        Line.PAGE_CODED,
        Line.PAGE_UNAVAILABLE,
    }
)


def reached(table: Table, start: S) -> set[S]:
    found = {start}
    while True:
        more = {step.to for (state, _), step in table.items() if state in found and step.to} - found
        if not more:
            return found
        found |= more


def rows_of(table: Table, state: S) -> Iterable[Step]:
    return (step for (at, _), step in table.items() if at is state)


@tables
def test_every_state_is_reached_from_idle(table: Table, live: tuple[S, ...]) -> None:
    handed_over = {S.ENDED} if table is OFFER else set()
    assert reached(table, S.IDLE) == {S.IDLE, S.CLOSING, *live} | handed_over


def test_a_terminal_ends_without_an_end_only_when_another_goes_on() -> None:
    silent = {(state, trigger) for table, _ in ALL.values() for (state, trigger), s in table.items() if s.to is S.ENDED}
    assert silent == {(S.AWAIT_DCS, Line.POLLED)}
    assert OFFER[S.AWAIT_DCS, Line.POLLED].do is Do.HAND_OVER


def test_polling_changes_nothing_of_what_a_sender_or_receiver_does_once_pages_go() -> None:
    begins = {S.IDLE, S.AWAIT_DIS, S.AWAIT_DCS, S.AWAIT_TCF, S.AWAIT_CFR}
    for table, plain in ((OFFER, RECEIVE), (POLL, RECEIVE), (POLLED, SEND)):
        assert {key for key, step in table.items() if plain.get(key) != step and key[0] not in begins} == set()


def test_a_document_goes_only_after_dtc_was_checked() -> None:
    assert {key for key, step in OFFER.items() if step.do is Do.CHECK_POLL} == {(S.AWAIT_DCS, Fcf.DTC)}
    assert OFFER[S.AWAIT_DCS, Line.UNAUTHORISED].dcn


@tables
def test_every_live_state_can_end(table: Table, live: tuple[S, ...]) -> None:
    for state in live:
        assert S.CLOSING in reached(table, state), state


@tables
def test_every_live_state_ends_by_the_clock_alone(table: Table, live: tuple[S, ...]) -> None:
    for state in live:
        step = table[state, Line.NO_PROGRESS]
        assert step.end is not None, state
        assert table[state, Line.CALL_LATE].end is not None, state


@tables
def test_every_live_state_ends_when_the_line_is_gone(table: Table, live: tuple[S, ...]) -> None:
    for state in live:
        step = table[state, Line.LINE_DOWN]
        assert (step.end is not None, step.dcn) == (True, False), state


@tables
def test_every_live_state_hears_dcn_and_does_not_answer_it(table: Table, live: tuple[S, ...]) -> None:
    for state in live:
        step = table[state, Fcf.DCN]
        assert step.end in (Cause.PEER_DISCONNECTED, Cause.COMPLETE), state
        assert not step.dcn


@tables
def test_closing_and_ended_are_final(table: Table, live: tuple[S, ...]) -> None:
    assert not [key for key in table if key[0] in (S.CLOSING, S.ENDED)]


@tables
def test_an_end_goes_to_closing_and_nothing_else_does(table: Table, live: tuple[S, ...]) -> None:
    for key, step in table.items():
        assert (step.to is S.CLOSING) == (step.end is not None), key
        assert not step.dcn or step.end is not None, key


@tables
def test_what_a_peer_does_never_ends_complete_before_the_last_confirmation(table: Table, live: tuple[S, ...]) -> None:
    complete = {state for (state, _), step in table.items() if step.end is Cause.COMPLETE}
    assert complete <= {S.AWAIT_DCN, S.AWAIT_ANSWER}
    assert {
        trigger for (state, trigger), step in table.items() if state is S.AWAIT_ANSWER and step.end is Cause.COMPLETE
    } <= {Line.LAST_PAGE}


def test_only_confirm_and_a_whole_block_may_say_mcf() -> None:
    said = {trigger for (_, trigger), step in RECEIVE.items() if step.say is Fcf.MCF}
    assert said == {Line.BLOCK_WHOLE}
    confirming = {(state, trigger) for (state, trigger), step in RECEIVE.items() if step.do is Do.CONFIRM}
    assert {state for state, _ in confirming} == {S.READY}
    weighing = {(state, trigger) for (state, trigger), step in RECEIVE.items() if step.do is Do.WEIGH_ANSWER}
    assert weighing == {(S.HOLDING, Line.PAGE_KEPT)}


def test_dcs_is_heard_wherever_a_command_is_due() -> None:
    deaf = {state for state in RECEIVING if (state, Fcf.DCS) not in RECEIVE}
    assert deaf == {S.HOLDING, S.BUSY}


def test_every_action_is_used_and_done() -> None:
    used = {step.do for table, _ in ALL.values() for step in table.values() if step.do is not None}
    assert used == set(Do)
    options = T30Options()
    terminals: dict[str, Terminal] = {
        "receive": Receiver(options, now=0.0),
        "offer": Offering(options, receives=True, now=0.0),
        "poll": Poller(options, now=0.0),
        "send": Sender(options, now=0.0),
        "polled": Sender(options, now=0.0, table=POLLED),
    }
    for name, (table, _) in ALL.items():
        for step in table.values():
            assert step.do is None or callable(terminals[name]._action(step.do)), (name, step)


def test_every_happening_and_verdict_leads_somewhere() -> None:
    known = {trigger for table, _ in ALL.values() for _, trigger in table}
    assert set(Line) - known == set()


def test_every_state_has_a_phase_and_words() -> None:
    assert set(PHASES) == set(AWAITED) == set(S)


TOLERANCES = {
    "t1": (30.0, 40.0),
    "t2": (5.0, 7.0),
    "t4": (2.55, 3.45 + 1.0),  # and a second of transit
    "t5": (55.0, 65.0),
    "repeat_dis": (2.55, 3.45),
}


@pytest.mark.parametrize("name", TOLERANCES)
def test_timers_are_within_their_tolerance(name: str) -> None:
    low, high = TOLERANCES[name]
    assert low <= getattr(Timers(), name) <= high


def test_timers_fit_each_other() -> None:
    timers = Timers()
    assert timers.t4 < timers.t2, "a repeated command arrives before the receiver gives up"
    assert timers.ready + timers.ask_ready < timers.t2
    assert timers.abort < 0.9
    assert timers.t5 < 2 * timers.t1
