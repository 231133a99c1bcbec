"""Which rules hold for a fax, what they make of it, and what of them is never stored."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.host.delivery.conftest import record
from vfax.host.document import Format
from vfax.host.routing import (
    Body,
    CommandTarget,
    FolderTarget,
    MailTarget,
    Rule,
    Target,
    WebhookTarget,
    fits,
    origin,
    route,
)

FOLDER = FolderTarget(folder="copies")


def rule(name: str, target: Target = FOLDER, *, stop: bool = False, **patterns: tuple[str, ...]) -> Rule:
    return replace(Rule(name=name, target=target, stop=stop), **patterns)  # type: ignore[arg-type]


def asking(patterns: dict[str, tuple[str, ...]]) -> Rule:
    return replace(rule("a"), **patterns)  # type: ignore[arg-type]


def names(*rules: Rule, **fax: object) -> list[str]:
    return [delivery.rule for delivery in route(rules, record(**fax))]


@pytest.mark.parametrize(
    ("pattern", "said", "held"),
    [
        ("*", "", True),
        ("*", "anything", True),
        ("+4930*", "+49 (30) 12-34", True),
        ("+49 30*", "+493012", True),
        ("+4930*", "+4989", False),
        ("+4930", "+49 30", True),
        ("+4930", "+493012", False),
        ("", "", True),
        ("", "1", False),
        ("ACME*", "acme fax", True),
        ("+4930*", "", False),
    ],
)
def test_a_pattern_is_everything_a_beginning_or_the_whole(pattern: str, said: str, held: bool) -> None:
    assert fits((pattern,), said) is held


@given(st.text(max_size=50), st.lists(st.text(max_size=20), max_size=4))
def test_whatever_a_caller_says_a_question_has_an_answer(said: str, patterns: list[str]) -> None:
    assert fits((*patterns, said), said)
    assert fits(("*",), said)


@pytest.mark.parametrize(
    "patterns",
    [
        {"dialled": ("+49 89*",)},
        {"caller": ("+4930123456",)},
        {"remote_id": ("+493099",)},
        {"subaddress": ("77",)},
        {"device": ("vfax 2",)},
        {"device": ("2",)},
        {"device": ("9", "2"), "caller": ("*",)},
    ],
)
def test_each_question_is_asked_of_its_own_fact(patterns: dict[str, tuple[str, ...]]) -> None:
    assert names(asking(patterns)) == ["a"]
    key = next(iter(patterns))
    assert names(asking({**patterns, key: ("nothing like it",)})) == []


def test_all_questions_of_a_rule_must_hold() -> None:
    assert names(rule("a", caller=("+4930*",), subaddress=("78",))) == []


def test_every_rule_that_holds_delivers_in_their_order() -> None:
    assert names(rule("a"), rule("b", caller=("+1*",)), rule("c")) == ["a", "c"]


def test_a_rule_that_stops_is_the_last_one_if_it_holds() -> None:
    assert names(rule("a", stop=True), rule("b")) == ["a"]
    assert names(rule("a", stop=True, caller=("+1*",)), rule("b")) == ["b"]


def test_without_rules_a_fax_stays_in_the_inbox_alone() -> None:
    assert names() == []


def test_each_recipient_of_a_mail_has_a_delivery_of_its_own() -> None:
    mail = MailTarget(to=("a@example.org", "b@example.org"), subject="s", body="b")
    made = route([rule("a", mail)], record())
    assert [(delivery.kind, delivery.target["to"]) for delivery in made] == [
        ("mail", "a@example.org"),
        ("mail", "b@example.org"),
    ]


@pytest.mark.parametrize(
    ("target", "stored"),
    [
        (FolderTarget(folder="copies", form=Format.PDF), {"folder": "copies", "format": "pdf"}),
        (
            WebhookTarget(url="https://example.org:8443/TOKEN?key=TOKEN#TOKEN", secret="TOKEN", body=Body.JSON),
            {"url": "https://example.org:8443", "body": "json", "format": "pdf"},
        ),
        (CommandTarget(command=("/bin/take", "--token=TOKEN")), {"program": "/bin/take", "format": "tiff"}),
    ],
)
def test_what_is_stored_says_where_to_and_holds_no_secret(target: Target, stored: dict[str, object]) -> None:
    (made,) = route([rule("a", target)], record())
    assert dict(made.target) == stored
    assert "TOKEN" not in json.dumps(dict(made.target))


@pytest.mark.parametrize(
    "shown",
    [WebhookTarget(url="https://example.org", secret="TOKEN"), rule("a", WebhookTarget(url="x", secret="TOKEN"))],
)
def test_a_secret_is_not_shown_with_its_rule(shown: object) -> None:
    assert "TOKEN" not in repr(shown)


@pytest.mark.parametrize(
    ("url", "shown"),
    [("http://[::1]:8/x", "http://[::1]:8"), ("https://a?b", "https://a"), ("https://a#b", "https://a")],
)
def test_of_a_url_only_its_origin_is_shown(url: str, shown: str) -> None:
    assert origin(url) == shown
