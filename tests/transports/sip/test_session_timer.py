"""Session timers (RFC 4028): what both sides say, who refreshes, when; the table of the RFC row by row."""

import math
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfax.transports.sip.message import Headers, Request, Response
from vfax.transports.sip.policy import DialogPolicy, Refreshes, SessionTimers
from vfax.transports.sip.session_timer import (
    SHORTEST,
    SessionExpires,
    SessionTimer,
    Side,
    longer,
    min_se_in,
    session_expires_in,
)

ASK = DialogPolicy(session_timer=SessionTimers.ASK)
OFF = DialogPolicy(session_timer=SessionTimers.OFF)
ACCEPT = DialogPolicy()
Fields = Iterable[tuple[str, str]]


def invite(*fields: tuple[str, str]) -> Request:
    return Request("INVITE", "sip:a@b", Headers(fields))


def ok(*fields: tuple[str, str], status: int = 200) -> Response:
    return Response(status, "OK", Headers(fields))


def said(fields: Fields) -> dict[str, str]:
    return dict(fields)


def deadlines(timer: SessionTimer) -> tuple[float, float]:
    return timer.refresh_at, timer.expires_at


# --- reading ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("4000", SessionExpires(4000)),
        ("1800;refresher=uac", SessionExpires(1800, "uac")),
        (" 90 ; refresher = UAS ", SessionExpires(90, "uas")),
        ("90;refresher=me", SessionExpires(90)),
        ("90;x=y;refresher=uas", SessionExpires(90, "uas")),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("90;=;", None),
        ("9" * 30, None),
    ],
)
@pytest.mark.parametrize("name", ["Session-Expires", "x"])
def test_session_expires_is_read(name: str, value: str, expected: SessionExpires | None) -> None:
    assert session_expires_in(invite((name, value))) == expected


@pytest.mark.parametrize(("value", "expected"), [("120", 120), ("120;x=y", 120), ("", 0), ("a", 0)])
def test_min_se_is_read(value: str, expected: int) -> None:
    assert min_se_in(ok(("Min-SE", value))) == expected


@given(st.text(st.sampled_from('0159;refsh=uacs" ,\t'), max_size=30))
def test_any_text_is_read_as_something(text: str) -> None:
    session_expires_in(invite(("Session-Expires", text)))
    min_se_in(invite(("Min-SE", text)))
    SessionTimer(ASK).answer(invite(("Session-Expires", text), ("Min-SE", text)), 0.0)


# --- the UAC --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("policy", "fields"), [(OFF, {}), (ACCEPT, {}), (ASK, {"Session-Expires": "1800"})])
def test_what_our_first_invite_says(policy: DialogPolicy, fields: dict[str, str]) -> None:
    assert said(SessionTimer(policy).request_fields()) == fields


@pytest.mark.parametrize(("wish", "word"), [(Refreshes.US, "uac"), (Refreshes.PEER, "uas")])
def test_whom_we_want_to_refresh_is_said(wish: Refreshes, word: str) -> None:
    policy = DialogPolicy(session_timer=SessionTimers.ASK, refresher=wish, session_expires=600, min_se=300)
    expected = {"Session-Expires": f"600;refresher={word}", "Min-SE": "300"}
    assert said(SessionTimer(policy).request_fields()) == expected


@pytest.mark.parametrize(
    ("answer", "side", "due"),
    [
        ("600;refresher=uac", Side.US, (400.0, 700.0)),  # half of it, and the whole
        ("600;refresher=uas", Side.PEER, (math.inf, 668.0)),  # 32 s before the end
        ("90;refresher=uas", Side.PEER, (math.inf, 160.0)),  # a third before the end
        ("600", Side.US, (400.0, 700.0)),
    ],
)
@pytest.mark.parametrize("policy", [ACCEPT, ASK])
def test_a_2xx_decides_who_refreshes_and_starts_the_interval(
    policy: DialogPolicy, answer: str, side: Side, due: tuple[float, float]
) -> None:
    timer = SessionTimer(policy)
    timer.on_success(invite(*timer.request_fields()), ok(("Session-Expires", answer)), 100.0)
    assert timer.refresher is side
    assert deadlines(timer) == due


def test_a_2xx_without_session_expires_ends_all_expiry() -> None:
    timer = SessionTimer(ASK)
    timer.on_success(invite(), ok(("Session-Expires", "90;refresher=uac")), 0.0)
    timer.on_success(invite(), ok(), 10.0)
    assert (timer.interval, timer.refresher, *deadlines(timer)) == (0, None, math.inf, math.inf)


def test_a_later_request_names_the_interval_and_the_refresher_as_they_are() -> None:
    timer = SessionTimer(ACCEPT)
    timer.on_success(invite(), ok(("Session-Expires", "400;refresher=uac")), 0.0)
    assert said(timer.request_fields()) == {"Session-Expires": "400;refresher=uac"}
    timer.on_success(invite(), ok(("Session-Expires", "400;refresher=uas")), 0.0)
    assert said(timer.request_fields()) == {"Session-Expires": "400;refresher=uas"}


def test_session_timers_that_are_off_heed_nothing() -> None:
    timer = SessionTimer(OFF)
    timer.on_success(invite(), ok(("Session-Expires", "90;refresher=uac")), 0.0)
    assert timer.answer(invite(("Session-Expires", "90"), ("Supported", "timer")), 0.0) == ()
    assert timer.objection(invite(("Session-Expires", "1"), ("Supported", "timer"))) is None
    assert deadlines(timer) == (math.inf, math.inf)


@pytest.mark.parametrize("seconds", [0, 1, 5])
def test_an_interval_that_is_absurdly_short_has_nobody_refresh_without_end(seconds: int) -> None:
    timer = SessionTimer(ACCEPT)
    timer.on_success(invite(), ok(("Session-Expires", f"{seconds};refresher=uac")), 0.0)
    assert deadlines(timer) == (SHORTEST / 2, SHORTEST)


# --- 422 ------------------------------------------------------------------------------------------


def test_a_422_lengthens_the_interval_and_is_remembered() -> None:
    request = invite(("Session-Expires", "90;refresher=uac"))
    fields = longer(request, ok(("Min-SE", "600"), status=422))
    assert fields == (("Session-Expires", "600;refresher=uac"), ("Min-SE", "600"))
    again = invite(*fields)
    timer = SessionTimer(DialogPolicy(session_timer=SessionTimers.ASK, session_expires=90))
    timer.on_success(again, ok(("Session-Expires", "700;refresher=uac")), 0.0)
    assert said(timer.request_fields()) == {"Session-Expires": "700;refresher=uac", "Min-SE": "600"}


def test_a_second_422_from_further_along_counts_with_the_first() -> None:
    fields = longer(invite(("Session-Expires", "600"), ("Min-SE", "600")), ok(("Min-SE", "900"), status=422))
    assert fields == (("Session-Expires", "900"), ("Min-SE", "900"))


@pytest.mark.parametrize(
    ("request_", "response"),
    [
        (invite(("Session-Expires", "90")), ok(status=422)),
        (invite(), ok(("Min-SE", "600"), status=422)),
        (invite(("Session-Expires", "900")), ok(("Min-SE", "600"), status=422)),
    ],
)
def test_a_422_that_cannot_be_met_is_final(request_: Request, response: Response) -> None:
    assert longer(request_, response) is None


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ((("Session-Expires", "90"), ("Supported", "timer")), 422),
        ((("Session-Expires", "90"), ("Require", "timer")), 422),
        ((("Session-Expires", "299"), ("k", "100rel, Timer")), 422),
        ((("Session-Expires", "300"), ("Supported", "timer")), None),
        ((("Session-Expires", "90"),), None),  # it was a proxy's wish: the caller could not read our answer
        ((("Supported", "timer"),), None),
    ],
)
def test_intervals_below_ours_are_refused_where_that_is_understood(fields: Fields, status: int | None) -> None:
    objection = SessionTimer(DialogPolicy(min_se=300)).objection(invite(*fields))
    assert objection == (None if status is None else (422, (("Min-SE", "300"),)))


# --- the UAS: RFC 4028 Table 2 -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("knows", "param", "wish", "answer", "side"),
    [
        (False, "", Refreshes.AUTO, "uas", Side.US),
        (False, "", Refreshes.PEER, "uas", Side.US),
        (True, "", Refreshes.AUTO, "uac", Side.PEER),
        (True, "", Refreshes.PEER, "uac", Side.PEER),
        (True, "", Refreshes.US, "uas", Side.US),
        (True, "uac", Refreshes.US, "uac", Side.PEER),
        (True, "uas", Refreshes.PEER, "uas", Side.US),
    ],
)
def test_who_refreshes_follows_table_2(knows: bool, param: str, wish: Refreshes, answer: str, side: Side) -> None:
    fields = [("Session-Expires", f"400;refresher={param}" if param else "400")]
    fields += [("Supported", "timer")] if knows else []
    timer = SessionTimer(DialogPolicy(refresher=wish))
    ours = said(timer.answer(invite(*fields), 0.0))
    assert ours == {"Session-Expires": f"400;refresher={answer}"} | ({"Require": "timer"} if knows else {})
    assert timer.refresher is side


def test_nothing_is_said_to_whom_nothing_wants_unless_we_ask() -> None:
    request = invite(("Supported", "timer"))
    assert SessionTimer(ACCEPT).answer(request, 0.0) == ()
    assert said(SessionTimer(ASK).answer(request, 0.0)) == {
        "Session-Expires": "1800;refresher=uac",
        "Require": "timer",
    }
    assert said(SessionTimer(ASK).answer(invite(), 0.0)) == {"Session-Expires": "1800;refresher=uas"}


@pytest.mark.parametrize(("least", "seconds"), [("", 600), ("1200", 1200), ("5000", 4000)])
def test_we_may_shorten_but_not_below_what_the_peer_bears(least: str, seconds: int) -> None:
    policy = DialogPolicy(session_timer=SessionTimers.ASK, session_expires=600)
    fields = [("Session-Expires", "4000;refresher=uac"), ("Supported", "timer")]
    fields += [("Min-SE", least)] if least else []
    assert session_expires_in(ok(*SessionTimer(policy).answer(invite(*fields), 0.0))) == SessionExpires(seconds, "uac")


def test_a_refresh_that_says_nothing_leaves_the_interval_and_the_refresher() -> None:
    timer = SessionTimer(ACCEPT)
    timer.answer(invite(("Session-Expires", "400;refresher=uas"), ("Supported", "timer")), 0.0)
    assert said(timer.answer(invite(("Supported", "timer")), 50.0))["Session-Expires"] == "400;refresher=uas"
    assert deadlines(timer) == (250.0, 450.0)


@given(
    st.integers(0, 10_000),
    st.integers(0, 10_000),
    st.sampled_from(["", ";refresher=uac", ";refresher=uas"]),
    st.booleans(),
    st.sampled_from(list(SessionTimers)),
    st.sampled_from(list(Refreshes)),
)
def test_both_sides_agree_on_the_interval_and_on_exactly_one_refresher(
    seconds: int, least: int, param: str, knows: bool, mode: SessionTimers, wish: Refreshes
) -> None:
    fields = [("Session-Expires", f"{seconds}{param}"), ("Min-SE", str(least))]
    fields += [("Supported", "timer")] if knows else []
    request = invite(*fields)
    uas = SessionTimer(DialogPolicy(session_timer=mode, refresher=wish))
    if uas.objection(request) is not None:
        assert seconds < 90
        return
    answer = ok(*uas.answer(request, 0.0))
    uac = SessionTimer(ACCEPT)
    uac.on_success(request, answer, 0.0)
    assert uac.interval == uas.interval
    if uac.interval:
        assert {uac.refresher, uas.refresher} == {Side.US, Side.PEER}
        refreshing, waiting = sorted((uac, uas), key=lambda one: one.refresh_at)
        assert refreshing.refresh_at < waiting.expires_at <= refreshing.expires_at
