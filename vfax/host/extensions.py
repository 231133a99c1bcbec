"""Extensions and their stored configuration: the callbacks each is given, and who is told of which change.

Owns      registrations for changes, telling them under the guard, the end of an extension.
Not here  the data on disk (extension_book.py), when FaxExtInitializeConfig is called (loading.py).
Source    faxext.h: FaxExtRegisterForEvents (a change is not told to the extension that made it; one registration for
          a device and GUID), FaxExtUnregisterForEvents, FaxExtConfigChange.

A callback of an extension runs in a thread of its own and under a time limit, one at a time for each registration; of
changes that come meanwhile the last is told. One that hangs or raises what the contract does not know is told no more.
"""

import math
import threading
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import trio

from vfax.fsp.constants import Hresult
from vfax.fsp.errors import (
    AlreadyAssigned,
    FaxServiceError,
    InvalidParameter,
    OutOfResources,
    RegistrationNotFound,
    ShuttingDown,
    WouldDeadlock,
)
from vfax.fsp.extension import DataKey, ExtensionCallbacks, FaxExtConfigChange, data_key
from vfax.host.extension_book import ExtensionBook
from vfax.host.guard import Guard, ProviderFault

CHANGE: Final = "FaxExtConfigChange"


@dataclass(slots=True, eq=False)
class Notification:
    """A registration for changes; the handle of FaxExtRegisterForEvents. `news` are data that it has not been told."""

    owner: "Extension"
    key: DataKey
    callback: FaxExtConfigChange
    news: bytes | None = None
    telling: bool = False
    over: bool = False


class Extensions:
    """The extensions of one host over one book. `run` must run beside them for changes to be told."""

    def __init__(self, book: ExtensionBook) -> None:
        self.book = book
        self._lock = threading.Lock()
        self._registrations: dict[tuple[Extension, DataKey], Notification] = {}
        self._token: trio.lowlevel.TrioToken | None = None
        self._bell = trio.Event()
        self._threads = trio.CapacityLimiter(math.inf)  # one a registration, which have a limit themselves

    def extension(self, guard: Guard) -> "Extension":
        """What a provider is to the others here; `guard` is the one its calls are made under."""
        return Extension(self, guard)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Tell changes until cancelled."""
        self._token = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as nursery:
            task_status.started()
            while True:
                self._bell = trio.Event()
                for notification in self._untold():
                    nursery.start_soon(self._tell, notification)
                await self._bell.wait()

    def _untold(self) -> list[Notification]:
        with self._lock:
            found = [one for one in self._registrations.values() if one.news is not None and not one.telling]
            for notification in found:
                notification.telling = True
            return found

    async def _tell(self, notification: Notification) -> None:
        while (data := self._take_news(notification)) is not None:
            key, guard = notification.key, notification.owner.guard
            callback = partial(notification.callback, key.device_id, key.guid, data)
            call = partial(trio.to_thread.run_sync, callback, abandon_on_cancel=True, limiter=self._threads)
            try:
                answer: object = await guard.within(CHANGE, call)
            except ProviderFault:  # reported; it may have left a thread behind, and must not leave more
                self.forget(notification)
            except FaxServiceError as why:
                guard.fault(CHANGE, str(why))
            else:
                if not is_noerror(answer):
                    guard.fault(CHANGE, f"answered {shown(answer)}, where NOERROR (0) is expected")

    def _take_news(self, notification: Notification) -> bytes | None:
        with self._lock:
            data, notification.news = notification.news, None
            if data is None or notification.over:
                notification.telling = False
                return None
            return data

    def changed(self, by: "Extension", key: DataKey, data: bytes) -> None:
        """Have all others told; from any thread."""
        with self._lock:
            for notification in self._registrations.values():
                if notification.key == key and notification.owner is not by:
                    notification.news = data
        if self._token is not None:
            try:
                self._token.run_sync_soon(self._ring)
            except trio.RunFinishedError:
                return

    def _ring(self) -> None:
        self._bell.set()

    def register(self, owner: "Extension", key: DataKey, callback: FaxExtConfigChange) -> Notification:
        """Note who wants to be told. Raises AlreadyAssigned, OutOfResources."""
        with self._lock:
            if (owner, key) in self._registrations:
                raise AlreadyAssigned(f"changes of {key.guid} for device {key.device_id} are told to it already")
            limit = self.book.limits.max_registrations
            if len(self._registrations) >= limit:
                raise OutOfResources(f"{limit} registrations for changes are the limit here")
            made = self._registrations[owner, key] = Notification(owner, key, callback)
            return made

    def forget(self, notification: Notification) -> bool:
        """Strike a registration off. False: it was not there (any more)."""
        with self._lock:
            notification.over = True
            here = (notification.owner, notification.key)
            if self._registrations.get(here) is not notification:
                return False
            del self._registrations[here]
            return True

    def forget_all(self, owner: "Extension") -> None:
        """Strike off all that an extension had."""
        with self._lock:
            mine = [one for one in self._registrations.values() if one.owner is owner]
        for notification in mine:
            self.forget(notification)


@dataclass(slots=True, eq=False)
class Extension:
    """One extension's callbacks. They may be called from any thread until `leave`."""

    host: Extensions
    guard: Guard
    left: bool = field(default=False)

    @property
    def callbacks(self) -> ExtensionCallbacks:
        """What FaxExtInitializeConfig is called with."""
        return ExtensionCallbacks(self.get_data, self.set_data, self.register, self.unregister, self.free_buffer)

    def leave(self) -> None:
        """The extension is done with: its registrations end, and its callbacks answer ERROR_SHUTDOWN_IN_PROGRESS."""
        self.left = True
        self.host.forget_all(self)

    def get_data(self, device_id: int, source: int, guid: str, /) -> bytes:
        """FaxExtGetData."""
        self._check_here()
        return self.host.book.get(data_key(device_id, source, guid))

    def set_data(self, instance: object, device_id: int, source: int, guid: str, data: bytes, /) -> None:
        """FaxExtSetData: waits for the disk, and then has the others told."""
        self._check_here()
        key = data_key(device_id, source, guid)
        if not isinstance(data, bytes | bytearray | memoryview):
            raise InvalidParameter(f"Data: {type(data).__name__}, where octets are expected")
        if trio.lowlevel.in_trio_run():
            raise WouldDeadlock("FaxExtSetData waits for the disk: call it in a worker thread, not in a task")
        octets = bytes(data)
        if self.host.book.set(key, octets):
            self.host.changed(self, key, octets)

    def register(
        self, instance: object, device_id: int, source: int, guid: str, callback: FaxExtConfigChange, /
    ) -> Notification:
        """FaxExtRegisterForEvents."""
        self._check_here()
        key = data_key(device_id, source, guid)
        if not callable(callback):
            raise InvalidParameter(f"ConfigChangeCallback: {type(callback).__name__}, where a function is expected")
        return self.host.register(self, key, callback)

    def unregister(self, handle: object, /) -> None:
        """FaxExtUnregisterForEvents: once it returns nothing more begins to be told."""
        if not isinstance(handle, Notification):
            raise InvalidParameter(f"hNotification: {type(handle).__name__} is no handle of a registration")
        if handle.owner is not self or not self.host.forget(handle):
            raise RegistrationNotFound("hNotification: there is no such registration (any more)")

    def free_buffer(self, buffer: object, /) -> None:
        """FaxExtFreeBuffer: nothing is to be done."""

    def _check_here(self) -> None:
        if self.left:
            raise ShuttingDown("the service is shutting down, or has refused this extension")


def is_noerror(answer: object) -> bool:
    """Tell whether an HRESULT says success: NOERROR is 0, and nothing else is."""
    return isinstance(answer, int) and not isinstance(answer, bool) and answer == Hresult.S_OK


def shown(answer: object) -> str:
    """An answer where an HRESULT is expected, for a sentence."""
    number = isinstance(answer, int) and not isinstance(answer, bool)
    return f"0x{answer & 0xFFFFFFFF:08X}" if number and isinstance(answer, int) else f"{answer!r:.60}"
