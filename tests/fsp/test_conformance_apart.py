"""The conformance checks against providers in processes of their own: which rules hold there, and which can be seen.

A process for each check is dear. All rules are checked against our device in the process of the test
(test_conformance.py); in one of its own, here, every third of them, and all with `script/interop providers`.
"""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.fsp.apart import Apart, ConfiguredApart, Remote
from tests.fsp.test_conformance import CONFIGURING, LOADED, expected_of_the_device
from vfax.fsp.conformance import RULES, Rule, Subject, Verdict, check_one

pytestmark = pytest.mark.realtime

SHIELDED: Final = {
    "exports-can-be-linked",
    "line-callback-is-supplied",
    "line-callback-takes-any-message",
    "wrong-ring-port-is-refused",
    "wrong-arguments-are-refused",
    "unknown-handles-are-refused",
    "every-member-of-a-status-is-filled-in",
    "abort-returns-at-once",
    "abort-after-the-end-changes-nothing",
    "handle-is-dead-after-endjob",
    "nothing-is-posted-after-endjob",
    "closed-port-costs-no-fax",
    "status-can-be-asked-while-pages-come-in",
    "nothing-begins-after-shutdown",
    "peers-are-named-by-texts",
    "facts-and-hints-need-a-live-job",
    "hints-are-send-hints",
    "notices-are-sentences",
    "notices-want-a-function",
}
"""Rules that hold of any provider in a process of its own, because the two ends of the road keep them for it."""

SEEN: Final = {
    "devices-may-come-first": "FaxDevInitialize first",
    "incoming-call-rings": "it rang twice",
    "switched-off-devices-do-not-ring": "a device rang although",
    "configuring-answers-noerror": "FaxExtInitializeConfig answered 2147500037",
    "configuration-is-kept-under-fax-device-ids": "is no device here",
    "changes-are-answered-with-an-hresult": "FaxExtConfigChange answered 'None'",
    "startjob-gives-a-handle": "answered None for a handle",
    "status-can-be-asked-from-startjob-on": "reports FS_COMPLETED",
    "abort-before-send-is-latched": "returned TRUE",
    "final-status-is-the-last-one": "FS_COMPLETED, FS_TRANSMITTING",
    "facts-are-of-the-jobs-device": "names device 2 for 1",
    "trunks-are-told-in-rows": "a trunk is told as {'name': 'office'}",
    "unknown-peers-are-nothing-to-forget": "for what nobody is called",
    "nothing-is-told-before-initialize": "VfaxDevReportPeers before FaxDevInitialize is taken",
    "address-is-host-and-port": "VfaxDevReportAddress answered '2001:db8::1'",
    "sent-fax-is-true-and-completed": "FS_TRANSMITTING is reported",
    "received-fax-is-true-and-completed": "FS_RECEIVING is reported",
    "nothing-rings-after-shutdown": "after FaxDevShutdown had returned",
    "nothing-is-left-in-the-arena": "FaxDevEndJob left 1 jobs in the arena",
}
"""A sample of the others, whose broken providers are caught there in little time, and the words that catch them."""

EVERY_RULE: Final = bool(os.environ.get("VFAX_TESTS_EVERY_RULE"))
SAMPLE: Final = RULES if EVERY_RULE else RULES[::3]
"""Some of each part of a provider's life, in which order RULES are."""
BY_NAME: Final = {rule.name: rule for rule in RULES}


def check(make: Callable[[], Apart], rule: Rule) -> tuple[Verdict, str]:
    result = check_one(Subject(provider=lambda configuration: make(), stimulus=Remote, patience=LOADED), rule)
    return result.verdict, result.why


def toy(rule: Rule, **more: object) -> Apart:
    return (ConfiguredApart if rule.name in CONFIGURING else Apart)("create_toy", **more)


@pytest.mark.parametrize("rule", SAMPLE, ids=[rule.name for rule in SAMPLE])
def test_the_device_keeps_every_rule_in_a_process_of_its_own(rule: Rule) -> None:
    assert check(lambda: Apart("create_device"), rule) == expected_of_the_device(rule)


@pytest.mark.parametrize(
    "name",
    [
        "abort-ends-a-running-operation",
        "devices-work-at-the-same-time",
        "pages-received-are-posted",
        "shutdown-ends-what-runs",
    ],
)
def test_so_does_its_blocking_surface_where_threads_matter(name: str) -> None:
    assert check(lambda: Apart("create_blocking_device"), BY_NAME[name]) == (Verdict.PASSED, "")


@pytest.mark.parametrize("name", sorted(CONFIGURING))
def test_stored_configuration_reaches_a_process_of_its_own(name: str) -> None:
    assert check(lambda: toy(BY_NAME[name]), BY_NAME[name]) == (Verdict.PASSED, "")


@pytest.mark.parametrize("name", SEEN)
def test_a_broken_provider_is_caught_there_too(name: str) -> None:
    verdict, why = check(lambda: toy(BY_NAME[name], breaks=name), BY_NAME[name])
    assert verdict is Verdict.FAILED
    assert SEEN[name] in why


@pytest.mark.parametrize("name", sorted(SHIELDED - {"exports-can-be-linked"}))
def test_what_a_process_keeps_from_the_host_is_not_seen_there(name: str) -> None:
    """Should one be seen after all, it is to leave the list, and the manual."""
    assert check(lambda: toy(BY_NAME[name], breaks=name), BY_NAME[name]) == (Verdict.PASSED, "")


def named(text: str) -> Iterator[str]:
    yield from re.findall(r"^\| `([a-z-]+)` \|", text, re.MULTILINE)


def test_the_manual_names_what_is_not_seen() -> None:
    text = (Path(__file__).parents[2] / "docs" / "providers.md").read_text(encoding="utf-8")
    assert set(named(text)) == SHIELDED
    assert not SHIELDED & set(SEEN)
