"""The conformance checks: they pass for vfax's device on both surfaces, and each of them can fail."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.fsp import broken_config, broken_own
from tests.fsp.broken import BROKEN
from tests.fsp.memory import Exchange, MemoryNetwork
from tests.fsp.toy import Toy, Wire
from vfax import device
from vfax.device import exports
from vfax.fsp.conformance import RULES, Mark, Need, NotChecked, Patience, Rule, Subject, Verdict, check_all, check_one
from vfax.fsp.conformance.paper import read_document, write_document
from vfax.fsp.conformance.rules import Broken
from vfax.fsp.provider import BlockingExports, probe_exports
from vfax.host.blocking import in_threads

ALL = pytest.mark.parametrize("rule", RULES, ids=[rule.name for rule in RULES])
LOADED = Patience(quick=2.0)  # other tests may be running beside
SHORT = Patience(fax=0.6, call=0.6, quick=0.4, quiet=0.15)


NOT_OFFERED = "the provider does not offer FaxExtInitializeConfig"
"""Our device keeps nothing with its service: its settings are the service's."""
OWN = {rule.name for rule in RULES if rule.check.__module__.endswith(".own")}
CONFIGURING = {rule.name for rule in RULES if rule.check.__module__.endswith(".configuring")}


def expected_of_the_device(rule: Rule) -> tuple[Verdict, str]:
    return (Verdict.NOT_CHECKED, NOT_OFFERED) if rule.name in CONFIGURING else (Verdict.PASSED, "")


def as_async(provider: type[Toy]) -> Callable[[Mapping[str, object]], object]:
    """A toy whose exports have been put into threads, as a host does it; what it makes is async."""

    def make(configuration: Mapping[str, object]) -> object:
        toy = provider(configuration)
        found = probe_exports(toy)
        assert isinstance(found, BlockingExports)
        asynchronous = in_threads(found)
        made.append((asynchronous, toy))
        return asynchronous

    made: list[tuple[object, Toy]] = []
    return make


def behind(provider: object, configuration: Mapping[str, object]) -> Wire:
    """The other side of a toy that may have been put into threads."""
    inner = getattr(getattr(provider, "FaxDevReportStatus", None), "__self__", provider)
    return Wire(inner, configuration)


@ALL
@pytest.mark.parametrize("make", [device.create_provider, exports.create_provider], ids=["async", "blocking"])
def test_the_device_keeps_every_rule(make: Callable[..., object], rule: Rule) -> None:
    configuration = {"network": MemoryNetwork(), "local_id": "+1 555 0100"}
    result = check_one(Subject(provider=make, stimulus=Exchange, configuration=configuration, patience=LOADED), rule)
    assert (result.verdict, result.why) == expected_of_the_device(rule)


@ALL
@pytest.mark.parametrize("surface", ["async", "blocking"])
def test_a_provider_that_breaks_one_rule_is_caught(rule: Rule, surface: str) -> None:
    broken = BROKEN[rule.name]
    make: Callable[..., object] = broken if surface == "blocking" else as_async(broken)
    result = check_one(Subject(provider=make, stimulus=behind, patience=SHORT), rule)
    assert result.verdict is Verdict.FAILED, f"{broken.__name__} breaks it and is not caught: {result.why}"
    assert result.why


@ALL
def test_the_provider_that_the_broken_ones_are_made_of_keeps_every_rule(rule: Rule) -> None:
    result = check_one(Subject(provider=Toy, stimulus=Wire, patience=LOADED), rule)
    assert (result.verdict, result.why) == (Verdict.PASSED, "")


def test_every_rule_has_a_provider_that_breaks_it_and_no_other_is_kept() -> None:
    assert set(BROKEN) == {rule.name for rule in RULES}
    assert {BROKEN[name].__module__ for name in CONFIGURING} == {broken_config.__name__}
    assert {BROKEN[name].__module__ for name in OWN} == {broken_own.__name__}


def test_every_rule_says_what_must_hold_and_where_it_is_printed() -> None:
    for rule in RULES:
        assert rule.sentence.endswith("."), rule.name
        assert rule.source, rule.name
    assert len({rule.sentence for rule in RULES}) == len(RULES)
    assert {rule.mark for rule in RULES} == set(Mark)


def test_without_a_stimulus_what_needs_one_is_not_checked_and_never_passed() -> None:
    results = list(check_all(Subject(provider=Toy)))
    assert {result.rule for result in results if result.verdict is Verdict.NOT_CHECKED} == {
        rule for rule in RULES if rule.needs
    }
    assert all("needs a stimulus" in result.why for result in results if result.verdict is Verdict.NOT_CHECKED)
    assert all(result.verdict is Verdict.PASSED for result in results if not result.rule.needs)


class HalfAWire:
    """A stimulus that can ring, and does not want to today."""

    def __init__(self, provider: object, configuration: Mapping[str, object]) -> None:
        self.closed = False

    def ring(self, pages: int) -> None:
        raise NotChecked("the line is being repaired")


def test_a_stimulus_may_be_partial_and_say_why_it_cannot() -> None:
    results = {result.rule.needs: result for result in check_all(Subject(provider=Toy, stimulus=HalfAWire))}
    assert results[(Need.BUSY,)].why == "the stimulus has no busy"
    assert results[(Need.RING,)].why == "the line is being repaired"
    assert {results[needs].verdict for needs in results if needs} == {Verdict.NOT_CHECKED}


def test_a_provider_that_cannot_be_made_fails_every_check_with_the_reason() -> None:
    def make(configuration: Mapping[str, object]) -> object:
        raise ValueError("lines = 0")

    results = list(check_all(Subject(provider=make), RULES[:3]))
    assert {(result.verdict, result.why) for result in results} == {
        (Verdict.FAILED, "the provider cannot be made: ValueError: lines = 0")
    }


class NoVirtualDevices(Toy):
    FaxDevVirtualDeviceCreation = None  # type: ignore[assignment]


class NothingOptional(Toy):
    FaxExtInitializeConfig = None  # type: ignore[assignment]
    FaxDevShutdown = None  # type: ignore[assignment]
    VfaxDevReportFacts = None  # type: ignore[assignment]
    VfaxDevSendHints = None  # type: ignore[assignment]
    VfaxDevReportAddress = None  # type: ignore[assignment]
    VfaxDevReportTrunks = None  # type: ignore[assignment]
    VfaxDevReportPeers = None  # type: ignore[assignment]
    VfaxDevForgetPeers = None  # type: ignore[assignment]
    VfaxDevWatchNotices = None  # type: ignore[assignment]


def test_what_a_provider_does_not_offer_is_not_checked() -> None:
    without = list(check_all(Subject(provider=NothingOptional, stimulus=Wire)))
    assert {result.verdict for result in without} == {Verdict.PASSED, Verdict.NOT_CHECKED}
    assert {result.why for result in without if result.why} == {
        "the provider does not offer FaxExtInitializeConfig",
        "the provider does not offer FaxDevShutdown",
        "the provider does not offer VfaxDevReportFacts",
        "the provider does not offer VfaxDevReportTrunks",
        "the provider does not offer VfaxDevReportPeers",
        "the provider does not offer VfaxDevForgetPeers",
        "the provider does not offer VfaxDevSendHints",
        "the provider does not offer VfaxDevReportAddress",
        "the provider does not offer VfaxDevWatchNotices",
        "the provider offers no export about trunks and peers",
        "the provider offers neither VfaxDevReportFacts nor VfaxDevSendHints",
    }
    none = list(check_all(Subject(provider=NoVirtualDevices, stimulus=Wire), RULES[1:8]))
    assert {result.verdict for result in none} == {Verdict.NOT_CHECKED}


def test_the_papers_of_the_checks_are_faxes_that_others_can_read(tmp_path: Path) -> None:
    from vfax.codecs import tiff

    path = tmp_path / "white.tif"
    write_document(path, 3)
    assert len(read_document(path)) == 3
    assert len(tiff.read_headers(path)) == 3
    assert set(tiff.load_page(path, 2).raster) == {0}


@pytest.mark.parametrize("octets", [b"", b"MM\0*", b"II*\0", b"II*\0\x08\0\0\0", b"II*\0\x08\0\0\0\0\0\x08\0\0\0"])
def test_what_is_no_document_is_said_to_be_none(tmp_path: Path, octets: bytes) -> None:
    path = tmp_path / "odd.tif"
    path.write_bytes(octets)
    with pytest.raises(Broken):
        read_document(path)
