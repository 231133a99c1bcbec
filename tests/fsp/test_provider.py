"""Probing, registration, loading, the arena."""

import sys
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from vfax.errors import SettingsError
from vfax.fsp.constants import ProviderStatus
from vfax.fsp.errors import FaxServiceError, InvalidHandle, NotSupported, OutOfResources, ProviderLoadError
from vfax.fsp.provider import (
    NEVER_WAITS,
    OPTIONAL,
    REQUIRED,
    TAKES_TIME,
    Arena,
    BlockingExports,
    Exports,
    RegistrationRecord,
    check_registrations,
    load_provider,
    probe_exports,
)

GUID = "{0a1b2c3d-1111-2222-3333-444455556666}"


def exports(*names: str) -> SimpleNamespace:
    return SimpleNamespace(**dict.fromkeys(names, lambda *args: None))


def record(**changes: Any) -> RegistrationRecord:
    fields: dict[str, Any] = {"guid": GUID, "friendly_name": "test", "image_name": "vfax_test_image:make"}
    return RegistrationRecord(**(fields | changes))


@pytest.fixture
def image(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("vfax_test_image")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def test_exports_cover_both_lists() -> None:
    assert set(Exports.__dataclass_fields__) == set(BlockingExports.__dataclass_fields__) == {*REQUIRED, *OPTIONAL}


def test_presence_is_meaning() -> None:
    plain = probe_exports(exports(*REQUIRED))
    assert (plain.virtual, plain.FaxDevShutdown, plain.VfaxDevReportFacts) == (False, None, None)
    assert probe_exports(exports(*REQUIRED, "FaxDevVirtualDeviceCreation")).virtual


def test_a_module_is_a_provider_too() -> None:
    module = ModuleType("provider")
    vars(module).update(vars(exports(*REQUIRED, *OPTIONAL)))
    assert probe_exports(module).FaxDevShutdown is not None


@pytest.mark.parametrize("missing", REQUIRED)
def test_a_missing_required_export_is_named(missing: str) -> None:
    with pytest.raises(ProviderLoadError, match=missing) as caught:
        probe_exports(exports(*(name for name in REQUIRED if name != missing)))
    assert (caught.value.status, caught.value.winerror) == (ProviderStatus.fpsCANT_LINK, 127)


@pytest.mark.parametrize("name", [*REQUIRED, *OPTIONAL])
def test_an_export_that_is_no_function_is_named(name: str) -> None:
    provider = exports(*REQUIRED)
    setattr(provider, name, 7)
    with pytest.raises(ProviderLoadError, match=f"{name} is not a function"):
        probe_exports(provider)


WRONG_RECORDS: list[tuple[dict[str, Any], ProviderStatus]] = [
    ({"guid": "no guid"}, ProviderStatus.fpsBAD_GUID),
    ({"guid": "{00000000-0000-0000-0000-000000000000}"}, ProviderStatus.fpsBAD_GUID),
    ({"guid": None}, ProviderStatus.fpsBAD_GUID),
    ({"fspi_version": 0x00020000}, ProviderStatus.fpsBAD_VERSION),
    ({"image_name": "module"}, ProviderStatus.fpsCANT_LOAD),
    ({"image_name": "mo/dule:make"}, ProviderStatus.fpsCANT_LOAD),
    ({"image_name": 7}, ProviderStatus.fpsCANT_LOAD),
    ({"friendly_name": " "}, ProviderStatus.fpsSERVER_ERROR),
    ({"tsp_name": None}, ProviderStatus.fpsSERVER_ERROR),
    ({"capabilities": 1}, ProviderStatus.fpsSERVER_ERROR),
    ({"configuration": None}, ProviderStatus.fpsSERVER_ERROR),
]


@pytest.mark.parametrize(("change", "status"), WRONG_RECORDS, ids=[str(change) for change, _ in WRONG_RECORDS])
def test_a_wrong_record_names_its_field_and_state(change: dict[str, Any], status: ProviderStatus) -> None:
    with pytest.raises(ProviderLoadError, match=next(iter(change))) as caught:
        record(**change)
    assert caught.value.status is status


def test_one_guid_registers_once_however_it_is_spelled() -> None:
    first, second = record(), record(guid=GUID.strip("{}").upper(), friendly_name="other")
    with pytest.raises(ProviderLoadError, match="other") as caught:
        check_registrations([first, second])
    assert caught.value.status is ProviderStatus.fpsBAD_GUID
    check_registrations([first, record(guid=GUID.replace("0a", "0b"))])


def test_the_entry_point_gets_the_configuration(image: ModuleType) -> None:
    seen: list[Mapping[str, object]] = []
    provider = exports(*REQUIRED)

    def make(configuration: Mapping[str, object]) -> object:
        seen.append(configuration)
        return provider

    vars(image)["make"] = make
    assert load_provider(record(configuration={"lines": 3})) is provider
    assert seen == [{"lines": 3}]


@pytest.mark.parametrize("name", ["vfax_test_nowhere:make", "vfax_test_image:absent", "vfax_test_image:__name__"])
def test_an_image_that_cannot_be_had_cannot_be_loaded(name: str, image: ModuleType) -> None:
    with pytest.raises(ProviderLoadError, match=name) as caught:
        load_provider(record(image_name=name))
    assert caught.value.status is ProviderStatus.fpsCANT_LOAD


def test_a_factory_that_refuses_its_configuration_says_why(image: ModuleType) -> None:
    def make(configuration: Mapping[str, object]) -> object:
        raise SettingsError("lines = 0: at least 1 is expected")

    vars(image)["make"] = make
    with pytest.raises(ProviderLoadError, match="lines = 0") as caught:
        load_provider(record())
    assert isinstance(caught.value.__cause__, SettingsError)


def test_a_provider_without_an_export_cannot_be_linked(image: ModuleType) -> None:
    vars(image)["make"] = lambda configuration: exports(*REQUIRED[:-1])
    with pytest.raises(ProviderLoadError, match="FaxDevEndJob") as caught:
        load_provider(record())
    assert caught.value.status is ProviderStatus.fpsCANT_LINK


class NoNursery:
    """An arena that starts nothing needs none."""

    def start_soon(self, async_fn: Callable[..., Awaitable[object]], /, *args: object, name: object = None) -> None:
        raise AssertionError

    async def start(self, async_fn: Callable[..., Awaitable[object]], /, *args: object, name: object = None) -> object:
        raise AssertionError


def test_a_closed_arena_removes_files_and_tells_what_was_left() -> None:
    removed: list[str] = []
    arena = Arena(NoNursery(), remove_file=removed.append)
    job: list[int] = []  # a handle need not be hashable
    arena.adopt_job(job)
    arena.adopt_file("a")
    arena.adopt_file("b")
    arena.release_file("a")
    left = arena.close()
    assert (left.jobs, left.files, removed) == ((job,), ("b",), ["b"])
    assert arena.close().files == ()
    with pytest.raises(InvalidHandle):
        arena.adopt_file("c")


def test_the_arena_has_a_quota_of_jobs() -> None:
    arena = Arena(NoNursery(), remove_file=lambda path: None, max_jobs=1)
    job = object()
    arena.adopt_job(job)
    with pytest.raises(OutOfResources):
        arena.adopt_job(object())
    arena.release_job(job)
    arena.adopt_job(object())
    assert arena.live_jobs == 1


def test_every_contract_error_has_a_win32_code() -> None:
    def all_of(kind: type[FaxServiceError]) -> list[type[FaxServiceError]]:
        return [kind, *(deeper for below in kind.__subclasses__() for deeper in all_of(below))]

    assert all(kind.winerror != 0 for kind in all_of(FaxServiceError))


class Async:
    """Every export, as coroutine functions where they may wait."""

    def __init__(self) -> None:
        for name in (*REQUIRED, *OPTIONAL):
            setattr(self, name, self.waits if name in TAKES_TIME else self.answers)

    async def waits(self, *arguments: object) -> None:
        pass

    def answers(self, *arguments: object) -> None:
        pass


class Awaited:
    async def __call__(self, *arguments: object) -> None:
        pass


def test_the_surface_is_told_by_coroutine_functions() -> None:
    assert isinstance(probe_exports(Async()), Exports)
    assert isinstance(probe_exports(exports(*REQUIRED, *OPTIONAL)), BlockingExports)


@pytest.mark.parametrize("odd", [partial(Async().waits), Awaited()], ids=["partial", "object"])
def test_what_is_awaited_may_also_be_a_partial_or_an_object(odd: object) -> None:
    provider = Async()
    provider.FaxDevSend = odd  # type: ignore[attr-defined]
    assert isinstance(probe_exports(provider), Exports)


@pytest.mark.parametrize("name", TAKES_TIME)
def test_a_mixture_of_surfaces_cannot_be_linked(name: str) -> None:
    provider = Async()
    setattr(provider, name, provider.answers)
    with pytest.raises(ProviderLoadError, match=f"{name} is not") as caught:
        probe_exports(provider)
    assert caught.value.status is ProviderStatus.fpsCANT_LINK


@pytest.mark.parametrize("name", NEVER_WAITS)
def test_what_must_answer_at_once_is_no_coroutine_function(name: str) -> None:
    provider = Async()
    setattr(provider, name, provider.waits)
    with pytest.raises(ProviderLoadError, match=name):
        probe_exports(provider)


def test_an_arena_without_a_nursery_says_what_to_do() -> None:
    arena = Arena(None, remove_file=lambda path: None)
    with pytest.raises(NotSupported, match="blocking"):
        _ = arena.nursery


def test_an_arena_within_another_nursery_has_the_same_books() -> None:
    outer = Arena(None, remove_file=lambda path: None)
    nursery = NoNursery()
    inner = outer.within(nursery)
    inner.adopt_job("job")
    assert (inner.nursery, outer.live_jobs) == (nursery, 1)
    assert outer.close().jobs == ("job",)
    with pytest.raises(InvalidHandle):
        inner.adopt_file("late")
