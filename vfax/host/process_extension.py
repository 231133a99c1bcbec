"""Stored configuration of a provider in a process of its own: its callbacks reach the host over the road.

Owns      `FarExtension`, the callbacks in the child, and `NearExtension`, which carries them out in the host.
Not here  the data and who is told of them (extensions.py), the road (process_link.py, process_child.py).
Source    faxext.h, as of fsp/extension.py.

Quirk of a road: in the child FaxExtGetData, FaxExtRegisterForEvents and FaxExtUnregisterForEvents wait for the host's
answer, which is on its way at once, since the host has data in memory; FaxExtSetData waits for the host's disk. A
child that was started again is configured again and registers again.
"""

import base64
import binascii
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Final

import trio

from vfax.errors import DecodeError
from vfax.fsp.constants import Hresult
from vfax.fsp.errors import FaxServiceError, InvalidParameter, RegistrationNotFound, ServerBusy, WouldDeadlock
from vfax.fsp.extension import ExtensionCallbacks, FaxExtConfigChange, data_key
from vfax.host.process_link import Link, ProcessLost
from vfax.host.process_wire import Message, decode_error, encode_error

PATIENCE: Final = 30.0
"""Seconds that a callback in the child waits for the host."""
MAX_SETS: Final = 100
"""Limit: data of one child that wait to be stored."""

Tell = Callable[[Message], None]


def encode_octets(octets: bytes) -> str:
    """Octets as text that JSON can say."""
    return base64.b64encode(octets).decode("ascii")


def decode_octets(text: object) -> bytes:
    """The octets that encode_octets was given. Raises DecodeError."""
    if not isinstance(text, str):
        raise DecodeError("octets that are no text")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise DecodeError("octets that are no base64") from None


# --- in the child ----------------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class _Asked:
    """A question that waits for the host."""

    answered: threading.Event = field(default_factory=threading.Event)
    value: object = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FarRegistration:
    """The handle of FaxExtRegisterForEvents in the child."""

    number: int


class FarExtension:
    """The callbacks of FaxExtInitializeConfig in the child; `tell` sends to the host. From any thread."""

    def __init__(self, tell: Tell, *, patience: float = PATIENCE) -> None:
        self._tell = tell
        self._patience = patience
        self._numbers = count(1)
        self._asked: dict[int, _Asked] = {}
        self._registered: dict[int, FaxExtConfigChange] = {}

    @property
    def callbacks(self) -> ExtensionCallbacks:
        """What FaxExtInitializeConfig is called with."""
        return ExtensionCallbacks(self.get_data, self.set_data, self.register, self.unregister, self.free_buffer)

    def take(self, message: Message) -> None:
        """An answer of the host; in the thread that reads, because the one that asked may be the trio run's."""
        number = message.get("number")
        asked = self._asked.pop(number, None) if isinstance(number, int) else None
        if asked is not None:
            asked.value = message.get("value")
            asked.error = decode_error(message["error"]) if message.get("error") is not None else None
            asked.answered.set()

    async def changed(self, message: Message) -> object:
        """The host tells a change: ask the extension's own function, in a thread, and give its answer."""
        number = message.get("registration")
        callback = self._registered.get(number) if isinstance(number, int) else None
        if callback is None:  # it has just unregistered
            return int(Hresult.S_OK)
        key = data_key(message.get("device"), 0, message.get("guid"))
        call = partial(callback, key.device_id, key.guid, decode_octets(message.get("data")))
        answer: object = await trio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=trio.CapacityLimiter(1))
        return answer if isinstance(answer, int) else repr(answer)[:60]

    def get_data(self, device_id: int, source: int, guid: str, /) -> bytes:
        """FaxExtGetData."""
        return decode_octets(self._ask("get", **_key(device_id, source, guid)))

    def set_data(self, instance: object, device_id: int, source: int, guid: str, data: bytes, /) -> None:
        """FaxExtSetData."""
        if not isinstance(data, bytes | bytearray | memoryview):
            raise InvalidParameter(f"Data: {type(data).__name__}, where octets are expected")
        if trio.lowlevel.in_trio_run():
            raise WouldDeadlock("FaxExtSetData waits for the disk: call it in a worker thread, not in a task")
        self._ask("set", **_key(device_id, source, guid), data=encode_octets(bytes(data)))

    def register(
        self, instance: object, device_id: int, source: int, guid: str, callback: FaxExtConfigChange, /
    ) -> FarRegistration:
        """FaxExtRegisterForEvents."""
        if not callable(callback):
            raise InvalidParameter(f"ConfigChangeCallback: {type(callback).__name__}, where a function is expected")
        made = FarRegistration(next(self._numbers))
        self._registered[made.number] = callback  # before the host can tell anything
        try:
            self._ask("register", **_key(device_id, source, guid), registration=made.number)
        except BaseException:
            del self._registered[made.number]
            raise
        return made

    def unregister(self, handle: object, /) -> None:
        """FaxExtUnregisterForEvents."""
        if not isinstance(handle, FarRegistration):
            raise InvalidParameter(f"hNotification: {type(handle).__name__} is no handle of a registration")
        if self._registered.pop(handle.number, None) is None:
            raise RegistrationNotFound("hNotification: there is no such registration (any more)")
        self._ask("unregister", registration=handle.number)

    def free_buffer(self, buffer: object, /) -> None:
        """FaxExtFreeBuffer: nothing is to be done."""

    def _ask(self, word: str, **members: object) -> object:
        number, asked = next(self._numbers), _Asked()
        self._asked[number] = asked
        self._tell({"extension": word, "number": number, **members})
        if not asked.answered.wait(self._patience):
            self._asked.pop(number, None)
            raise ServerBusy(f"the service did not answer within {self._patience:g} seconds")
        if asked.error is not None:
            raise asked.error
        return asked.value


def _key(*arguments: object) -> Message:
    """Device id, source and GUID as they were given, for the host to judge; what JSON cannot say, in words."""
    said = [value if isinstance(value, int | str | None) else repr(value)[:60] for value in arguments]
    return dict(zip(("device", "source", "guid"), said, strict=True))


# --- in the host -----------------------------------------------------------------------------------------


class NearExtension:
    """Carries out in the host what the child asks. `begin` first; `lost` when the child is gone."""

    def __init__(self) -> None:
        self.callbacks: ExtensionCallbacks | None = None
        self._handles: dict[int, object] = {}
        self._waiting = 0
        self._disk = trio.CapacityLimiter(1)

    def begin(self, callbacks: ExtensionCallbacks) -> None:
        """Take what the host gives in FaxExtInitializeConfig, for this child and those that come back."""
        self.callbacks = callbacks

    def lost(self) -> None:
        """The child is gone: nobody is left to be told."""
        handles, self._handles = self._handles, {}
        for handle in handles.values():
            self._unregister(handle)

    def take(self, link: Link, nursery: trio.Nursery, word: str, number: int, message: Message) -> None:
        """Take one question. Raises DecodeError for what is none."""
        if self.callbacks is None:
            raise DecodeError("a question about configuration before there is any")
        if word == "set":
            self._begin_set(link, nursery, number, message)
            return
        work = {"get": self._get, "register": self._register, "unregister": self._end}.get(word)
        if work is None:
            raise DecodeError(f"a question about configuration that is none: {word!r:.40}")
        self._answer(link, number, partial(work, link, message))

    def _answer(self, link: Link, number: int, work: Callable[[], object]) -> None:
        try:
            link.tell("told", number=number, value=work())
        except FaxServiceError as why:
            link.tell("told", number=number, error=encode_error(why))

    def _begin_set(self, link: Link, nursery: trio.Nursery, number: int, message: Message) -> None:
        if self._waiting >= MAX_SETS:
            busy = ServerBusy(f"{MAX_SETS} data wait to be stored, which is the limit here")
            link.tell("told", number=number, error=encode_error(busy))
            return
        data = decode_octets(message.get("data"))
        self._waiting += 1
        nursery.start_soon(self._set, link, number, message, data)

    async def _set(self, link: Link, number: int, message: Message, data: bytes) -> None:
        assert self.callbacks is not None
        store = partial(self.callbacks.set_data, None, *_given(message), data)
        try:
            await trio.to_thread.run_sync(store, limiter=self._disk)
        except FaxServiceError as why:
            link.tell("told", number=number, error=encode_error(why))
        else:
            link.tell("told", number=number, value=None)
        finally:
            self._waiting -= 1

    def _get(self, link: Link, message: Message) -> object:
        assert self.callbacks is not None
        return encode_octets(self.callbacks.get_data(*_given(message)))

    def _register(self, link: Link, message: Message) -> object:
        assert self.callbacks is not None
        number = message.get("registration")
        if not isinstance(number, int) or number in self._handles:
            raise DecodeError("a registration without a number of its own")
        token = trio.lowlevel.current_trio_token()

        def changed(device: int, guid: str, data: bytes) -> int:
            """In any thread but the host's own: ask the child and wait for its answer."""
            about = {"registration": number, "device": device, "guid": guid, "data": encode_octets(data)}
            try:
                answer: object = trio.from_thread.run(partial(link.ask, "changed", **about), trio_token=token)
            except (ProcessLost, trio.RunFinishedError):
                return Hresult.S_OK
            return answer  # type: ignore[return-value]  # the host looks at it

        handle = self.callbacks.register(None, *_given(message), changed)
        self._handles[number] = handle
        return None

    def _end(self, link: Link, message: Message) -> object:
        number = message.get("registration")
        handle = self._handles.pop(number, None) if isinstance(number, int) else None
        if handle is not None:
            self._unregister(handle)
        return None

    def _unregister(self, handle: object) -> None:
        assert self.callbacks is not None
        with suppress(FaxServiceError):  # one that was told no more has been struck off
            self.callbacks.unregister(handle)


def _given(message: Message) -> tuple[int, int, str]:
    """Device id, source and GUID as the child gives them: the callbacks check what they are."""
    return message.get("device"), message.get("source"), message.get("guid")  # type: ignore[return-value]
