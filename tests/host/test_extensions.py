"""FaxExtInitializeConfig and what it gives: when it is called, what survives, who is told, what a fault costs."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.host.conftest import Ear, Hosting
from tests.host.scripted import Script, ScriptedProvider
from vfax.fsp.constants import DevIdSource, Hresult, ProviderStatus, Win32
from vfax.fsp.errors import (
    AccessDenied,
    AlreadyAssigned,
    DataNotFound,
    FaxServiceError,
    InvalidParameter,
    OutOfResources,
    RegistrationNotFound,
    ShuttingDown,
    WouldDeadlock,
)
from vfax.fsp.extension import ExtensionCallbacks, data_key
from vfax.fsp.provider import register
from vfax.host.events import FaxEnded, ProviderFaulted
from vfax.host.extension_book import ExtensionBook, ExtensionLimits
from vfax.host.extensions import Extension, Extensions, Notification
from vfax.host.guard import CallTimeouts, Guard
from vfax.host.loading import LoadOptions
from vfax.host.roster import look

IMAGE = "tests.host.test_extensions:create"
DATA = "{b8959fc9-4e77-4ee9-8411-009acb1bbf3e}"
FAX, TAPI = DevIdSource.DEV_ID_SRC_FAX, DevIdSource.DEV_ID_SRC_TAPI


@dataclass(slots=True)
class Configured(Script):
    """A script that is configured: `answers` is what FaxExtInitializeConfig answers, or raises."""

    answers: object = Hresult.S_OK
    given: ExtensionCallbacks | None = None
    at_start: list[object] = field(default_factory=list)
    told: list[tuple[int, str, bytes]] = field(default_factory=list)
    hears: object = Hresult.S_OK
    heard: trio.Event = field(default_factory=trio.Event)
    stores: bytes | None = None  # in FaxExtInitializeConfig

    @property
    def callbacks(self) -> ExtensionCallbacks:
        assert self.given is not None
        return self.given

    async def store(self, data: bytes, device_id: int = 0, guid: str = DATA) -> None:
        """FaxExtSetData, as a task must call it."""
        await trio.to_thread.run_sync(self.callbacks.set_data, None, device_id, FAX, guid, data)

    def watch(self, device_id: int = 0) -> object:
        token = trio.lowlevel.current_trio_token()

        def changed(device: int, guid: str, data: bytes) -> object:
            self.told.append((device, guid, data))
            token.run_sync_soon(self.heard.set)
            return self.hears() if callable(self.hears) else self.hears

        return self.callbacks.register(None, device_id, FAX, DATA, changed)  # type: ignore[arg-type]


class ConfiguredProvider(ScriptedProvider):
    """The scripted provider with FaxExtInitializeConfig."""

    async def FaxExtInitializeConfig(self, *given: object) -> object:
        script = self.script
        assert isinstance(script, Configured)
        await script.note("FaxExtInitializeConfig")
        script.given = ExtensionCallbacks(*given)  # type: ignore[arg-type]
        try:
            script.at_start.append(script.given.get_data(0, FAX, DATA))
        except FaxServiceError as why:
            script.at_start.append(why.winerror)
        if script.stores is not None:
            await script.store(script.stores)
        if isinstance(script.answers, Exception):
            raise script.answers
        return script.answers


def create(configuration: Mapping[str, object]) -> ScriptedProvider:
    script = configuration["script"]
    assert isinstance(script, Script)
    script.note_now("create")
    script.provider = ConfiguredProvider(script) if isinstance(script, Configured) else ScriptedProvider(script)
    return script.provider


# --- when it is called, and what is made of the answer -----------------------------------------------


async def test_it_comes_behind_the_devices_and_before_every_other_initializer(hosting: Hosting) -> None:
    script = Configured()
    async with hosting(script, image=IMAGE):
        assert script.calls == [
            "create",
            "FaxDevVirtualDeviceCreation",
            "FaxExtInitializeConfig",
            "FaxDevInitialize",
        ]
        assert script.at_start == [Win32.ERROR_FILE_NOT_FOUND]


REFUSED: list[tuple[object, int, str]] = [
    (Hresult.E_FAIL, 31, "it answered 0x80004005, where success is NOERROR (0)"),
    (1, 31, "it answered 0x00000001, where success is NOERROR (0)"),  # S_FALSE is no NOERROR
    (None, 31, "it answered None, where success is NOERROR (0)"),
    (False, 31, "it answered False, where success is NOERROR (0)"),
    (AccessDenied("the key is not ours"), 5, "the key is not ours"),
    (RuntimeError("a bug"), 31, "RuntimeError: a bug"),
]


@pytest.mark.parametrize(("answers", "last_error", "words"), REFUSED, ids=[words for _, _, words in REFUSED])
async def test_anything_but_noerror_puts_the_whole_provider_into_an_error_state(
    hosting: Hosting, script: Script, ear: Ear, answers: object, last_error: int, words: str
) -> None:
    wrong = Configured(answers=answers, first_id=10)
    async with hosting(wrong, script, image=IMAGE) as service:
        refused = service.providers[0]
        assert (refused.status, refused.last_error) == (ProviderStatus.fpsCANT_INIT, last_error)
        assert "FaxExtInitializeConfig" in str(refused.failure)
        assert words in str(refused.failure)
        assert "FaxDevInitialize" not in wrong.calls
        with pytest.raises(ShuttingDown):
            wrong.callbacks.get_data(0, FAX, DATA)
        script.ring()
        assert (await ear.ended()).record.ok


@pytest.mark.parametrize("fault", ["raise", "quit", "hang"])
async def test_whatever_goes_wrong_in_it_costs_the_others_nothing(
    hosting: Hosting, script: Script, ear: Ear, fault: str
) -> None:
    wrong = Configured(first_id=10, fault={"FaxExtInitializeConfig": fault})
    async with hosting(wrong, script, image=IMAGE, timeouts=CallTimeouts(config_timeout=0.2)) as service:
        assert service.providers[0].status is ProviderStatus.fpsCANT_INIT
        (reported,) = ear.of(ProviderFaulted)
        assert reported.call == "FaxExtInitializeConfig"
        script.ring()
        assert (await ear.ended()).record.ok


async def test_people_are_shown_the_error_state_without_anything_being_initialized_or_stored(tmp_path: Path) -> None:
    book = ExtensionBook(tmp_path)
    await trio.to_thread.run_sync(partial(Extension(Extensions(book), guard()).set_data, None, 0, FAX, DATA, b"ours"))
    script = Configured(answers=Hresult.E_FAIL)
    record = register(guid=DATA, friendly_name="it", image_name=IMAGE, configuration={"script": script})
    (row,) = await look([record], LoadOptions(initialize=False), book)
    assert (row.state, row.devices, row.initialized) == ("fpsCANT_INIT", (), False)
    assert row.reason == "fpsCANT_INIT: FaxExtInitializeConfig: it answered 0x80004005, where success is NOERROR (0)"
    assert script.at_start == [b"ours"]

    script = Configured(stores=b"theirs")
    record = register(guid=DATA, friendly_name="it", image_name=IMAGE, configuration={"script": script})
    (row,) = await look([record], LoadOptions(initialize=False), book)
    assert (row.state, "FaxDevInitialize" in script.calls) == ("fpsSUCCESS", False)
    again = ExtensionBook(tmp_path)
    again.load()
    assert again.get(data_key(0, FAX, DATA)) == b"ours"


# --- data -----------------------------------------------------------------------------------------------


async def test_data_survive_the_end_of_the_service(hosting: Hosting) -> None:
    first, second = Configured(), Configured()
    async with hosting(first, image=IMAGE):
        await first.store(b"\0\xff global")
        await first.store(b"of device 2", 2)
    async with hosting(second, image=IMAGE):
        assert second.at_start == [b"\0\xff global"]
        assert second.callbacks.get_data(2, FAX, DATA.upper().strip("{}")) == b"of device 2"
        with pytest.raises(DataNotFound):
            second.callbacks.get_data(1, FAX, DATA)
        second.callbacks.free_buffer(second.at_start[0])


def guard(heard: Callable[[object], None] = lambda event: None) -> Guard:
    return Guard("it", heard, timeout=5.0)


@pytest.fixture
def extension() -> Extension:
    return Extensions(ExtensionBook(None, ExtensionLimits(max_registrations=2))).extension(guard())


@pytest.mark.parametrize(
    ("device_id", "source", "guid", "error"),
    [
        (-1, FAX, DATA, InvalidParameter),
        (1 << 32, FAX, DATA, InvalidParameter),
        (True, FAX, DATA, InvalidParameter),
        ("1", FAX, DATA, InvalidParameter),
        (0, 2, DATA, InvalidParameter),
        (0, FAX, "data", InvalidParameter),
        (0, FAX, None, InvalidParameter),
        (1, TAPI, DATA, DataNotFound),
    ],
)
def test_what_names_no_data_is_refused(
    extension: Extension, device_id: int, source: int, guid: str, error: type[FaxServiceError]
) -> None:
    with pytest.raises(error):
        extension.get_data(device_id, source, guid)
    with pytest.raises(error):
        extension.set_data(None, device_id, source, guid, b"")
    with pytest.raises(error):
        extension.register(None, device_id, source, guid, lambda *change: 0)


def test_data_of_no_device_are_the_same_whatever_the_source(extension: Extension) -> None:
    extension.set_data(None, 0, TAPI, DATA, bytearray(b"global"))  # type: ignore[arg-type]
    assert extension.get_data(0, FAX, DATA) == b"global"


def test_data_that_are_no_octets_are_refused(extension: Extension) -> None:
    with pytest.raises(InvalidParameter, match="Data: str, where octets are expected"):
        extension.set_data(None, 0, FAX, DATA, "text")  # type: ignore[arg-type]


async def test_a_task_must_not_wait_for_the_disk(extension: Extension) -> None:
    with pytest.raises(WouldDeadlock, match="call it in a worker thread"):
        extension.set_data(None, 0, FAX, DATA, b"")
    with pytest.raises(DataNotFound):
        extension.get_data(0, FAX, DATA)


def test_registrations_are_one_for_each_data_and_limited_in_all(extension: Extension) -> None:
    handle = extension.register(None, 1, FAX, DATA, lambda *change: 0)
    with pytest.raises(AlreadyAssigned):
        extension.register(None, 1, FAX, DATA.upper(), lambda *change: 0)
    extension.register(None, 2, FAX, DATA, lambda *change: 0)
    with pytest.raises(OutOfResources, match="2 registrations"):
        extension.register(None, 3, FAX, DATA, lambda *change: 0)
    with pytest.raises(InvalidParameter):
        extension.unregister("handle")
    with pytest.raises(RegistrationNotFound):
        extension.host.extension(guard()).unregister(handle)
    extension.unregister(handle)
    with pytest.raises(RegistrationNotFound):
        extension.unregister(handle)
    extension.register(None, 1, FAX, DATA, lambda *change: 0)


# --- changes --------------------------------------------------------------------------------------------


async def test_a_change_is_told_to_others_and_not_to_the_one_who_made_it(hosting: Hosting) -> None:
    one, other = Configured(), Configured(first_id=10)
    async with hosting(one, other, image=IMAGE):
        one.watch(2)
        other.watch(2)
        await one.store(b"new", 2)
        await other.heard.wait()
        await one.store(b"elsewhere", 3)
        await other.store(b"newer", 2)
        await one.heard.wait()
        assert other.told == [(2, DATA.upper(), b"new")]
        assert one.told == [(2, DATA.upper(), b"newer")]


async def test_nothing_is_told_behind_unregister(hosting: Hosting) -> None:
    one, other, third = Configured(), Configured(first_id=10), Configured(first_id=20)
    async with hosting(one, other, third, image=IMAGE):
        other.callbacks.unregister(other.watch())
        third.watch()
        await one.store(b"new")
        await third.heard.wait()
        assert other.told == []


def hang() -> object:
    released.wait(30)
    return 0


def crash() -> object:
    raise RuntimeError("a bug")


def refuse() -> object:
    raise AccessDenied("no")


released = threading.Event()


@pytest.mark.parametrize(
    ("hears", "words", "again"),
    [
        (hang, "no answer within 0.2 seconds", False),
        (crash, "RuntimeError: a bug", False),
        (refuse, "no", True),
        (Hresult.E_FAIL, "answered 0x80004005, where NOERROR (0) is expected", True),
    ],
    ids=["hangs", "raises", "refuses", "answers E_FAIL"],
)
async def test_one_who_cannot_be_told_costs_nobody_anything(
    hosting: Hosting, ear: Ear, hears: object, words: str, again: bool
) -> None:
    one, other, third = Configured(), Configured(first_id=10, hears=hears), Configured(first_id=20)
    released.clear()
    try:
        async with hosting(one, other, third, image=IMAGE, timeouts=CallTimeouts(config_timeout=0.2)):
            other.watch()
            third.watch()
            await one.store(b"new")
            (fault,) = await ear.wait_for(ProviderFaulted)
            assert (fault.call, fault.why) == ("FaxExtConfigChange", words)
            await third.heard.wait()
            one.ring()
            await ear.wait_for(FaxEnded)
            third.heard = trio.Event()
            await one.store(b"newer")
            await third.heard.wait()
            if again:
                await ear.wait_for(ProviderFaulted, 2)
            assert [data for _, _, data in third.told] == [b"new", b"newer"]
            assert [data for _, _, data in other.told] == ([b"new", b"newer"] if again else [b"new"])
    finally:
        released.set()


async def test_of_changes_that_come_while_one_is_told_the_last_is_told(hosting: Hosting) -> None:
    gate = threading.Event()
    one, slow = Configured(), Configured(first_id=10, hears=lambda: int(not gate.wait(10)))
    async with hosting(one, slow, image=IMAGE):
        slow.watch()
        await one.store(b"1")
        await slow.heard.wait()
        for data in (b"2", b"3", b"4"):
            await one.store(data)
        slow.heard = trio.Event()
        gate.set()
        await slow.heard.wait()
    assert [data for _, _, data in slow.told] == [b"1", b"4"]


async def test_what_waits_to_be_told_is_not_told_behind_unregister(hosting: Hosting) -> None:
    gate = threading.Event()
    one, slow = Configured(), Configured(first_id=10, hears=lambda: int(not gate.wait(10)))
    async with hosting(one, slow, image=IMAGE) as service:
        handle = slow.watch()
        assert isinstance(handle, Notification)
        await one.store(b"1")
        await slow.heard.wait()
        await one.store(b"2")
        assert handle.news == b"2"
        slow.callbacks.unregister(handle)
        gate.set()
        while handle.telling:  # noqa: ASYNC110  # a thread's end rings no bell here
            await trio.sleep(0.01)
        assert service.providers[1].usable
    assert [data for _, _, data in slow.told] == [b"1"]


async def test_behind_its_shutdown_an_extension_is_told_nothing_and_can_ask_nothing(hosting: Hosting) -> None:
    script = Configured()
    async with hosting(script, image=IMAGE):
        handle = script.watch()
        assert "FaxDevShutdown" not in script.calls
    for ask in (
        partial(script.callbacks.get_data, 0, FAX, DATA),
        partial(script.callbacks.set_data, None, 0, FAX, DATA, b""),
        partial(script.callbacks.register, None, 0, FAX, DATA, lambda *change: 0),
    ):
        with pytest.raises(ShuttingDown):
            ask()
    with pytest.raises(RegistrationNotFound):
        script.callbacks.unregister(handle)


# --- the blocking surface --------------------------------------------------------------------------------


class Blocking:
    """A provider of plain functions, which stores what it finds with one more in FaxExtInitializeConfig itself."""

    def __init__(self) -> None:
        self.found: list[bytes] = []

    def FaxExtInitializeConfig(self, *given: object) -> Hresult:
        callbacks = ExtensionCallbacks(*given)  # type: ignore[arg-type]
        try:
            self.found.append(callbacks.get_data(0, FAX, DATA))
        except DataNotFound:
            self.found.append(b"")
        callbacks.set_data(None, 0, FAX, DATA, self.found[-1] + b"+")
        return Hresult.S_OK


async def test_a_blocking_provider_may_store_at_once(hosting: Hosting) -> None:
    made: list[Blocking] = []
    for expected in (b"", b"+", b"++"):
        script = Script()
        script.provider = None
        async with hosting(script, image="tests.host.test_extensions:create_blocking") as service:
            assert service.providers[0].usable, service.providers[0].failure
            made.append(blocking[-1])
        assert made[-1].found == [expected]


blocking: list[Blocking] = []


def create_blocking(configuration: Mapping[str, object]) -> object:
    from tests.fsp.toy import Toy

    class BlockingToy(Blocking, Toy):
        def __init__(self) -> None:
            Toy.__init__(self)
            Blocking.__init__(self)

    blocking.append(BlockingToy())
    return blocking[-1]
