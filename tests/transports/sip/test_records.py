"""Answers of the DNS that are kept for a while."""

import pytest

from vfax.transports.sip.records import (
    Answers,
    CacheOptions,
    Host,
    Question,
    Record,
    RecordType,
    Reply,
    Status,
    is_name,
    normal,
)

WHERE = Question("pbx.example", RecordType.A)


def reply(*ttls: float, status: Status = Status.ANSWERED, negative: float | None = None, number: int = 0) -> Reply:
    question = Question(f"h{number}.example", RecordType.A)
    return Reply(question, status, tuple(Record("x", Host("192.0.2.1"), ttl) for ttl in ttls), negative_ttl=negative)


@pytest.mark.parametrize(
    ("kept", "good_for"),
    [
        (reply(60, 300), 60),  # the shortest decides
        (reply(0), 5),  # Limit: min_ttl
        (reply(1e9), 3600),  # Limit: max_ttl
        (reply(), 30),  # nothing of this kind, and the zone does not say for how long
        (reply(negative=7), 7),
        (reply(negative=1e6), 30),
        (reply(status=Status.NO_SUCH_NAME, negative=12), 12),
        (reply(status=Status.FAILED), 5),
    ],
)
def test_an_answer_is_good_for_as_long_as_it_says_within_bounds(kept: Reply, good_for: float) -> None:
    answers = Answers(CacheOptions())
    answers.keep(kept, 100.0)
    assert answers.find(kept.question, 100.0 + good_for - 0.001) is kept
    assert answers.find(kept.question, 100.0 + good_for) is None


def test_the_answer_that_would_go_first_makes_room() -> None:
    answers = Answers(CacheOptions(max_cached=3))
    for number, ttl in enumerate((100, 50, 200, 300)):
        answers.keep(reply(ttl, number=number), 0.0)
    assert len(answers) == 3
    assert answers.find(reply(number=1).question, 1.0) is None
    answers.keep(reply(10, number=9), 150.0)  # what is stale goes all at once
    assert len(answers) == 3


def test_forgetting_asks_anew() -> None:
    answers = Answers(CacheOptions())
    answers.keep(reply(60), 0.0)
    answers.forget()
    assert answers.find(reply().question, 1.0) is None


@pytest.mark.parametrize("name", ["", ".", "a..b", "x" * 64, ".".join(["x" * 60] * 5), "bücher.example"])
def test_what_is_no_name_is_not_asked_for(name: str) -> None:
    assert not is_name(name)


def test_names_compare_without_case_and_last_dot() -> None:
    assert normal("PBX.Example.") == "pbx.example"
    assert is_name("_sip._udp.pbx.example")
