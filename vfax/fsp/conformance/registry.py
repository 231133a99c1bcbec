"""What a service keeps for an extension, for the time of one check: data, registrations, and every call that was made.

Owns      the callbacks that a check gives in FaxExtInitializeConfig. Not here: what must hold of them (configuring.py).
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import trio

from vfax.fsp.errors import DataNotFound, FaxServiceError, RegistrationNotFound, WouldDeadlock
from vfax.fsp.extension import DataKey, ExtensionCallbacks, FaxExtConfigChange, data_key

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Use:
    """One call of the provider's: `wrong` says what about its arguments is not as documented."""

    callback: str
    device_id: object
    source: object
    wrong: str = ""


@dataclass
class Registry:
    """The service's side of stored configuration. `failing` is raised by FaxExtGetData where it is set."""

    data: dict[DataKey, bytes] = field(default_factory=dict)
    registered: dict[object, tuple[DataKey, FaxExtConfigChange]] = field(default_factory=dict)
    uses: list[Use] = field(default_factory=list)
    failing: FaxServiceError | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def callbacks(self) -> ExtensionCallbacks:
        """What FaxExtInitializeConfig is called with."""
        return ExtensionCallbacks(self._get, self._set, self._register, self._unregister, lambda buffer: None)

    def _use(self, name: str, device_id: int, source: int, guid: str, work: Callable[[DataKey], T]) -> T:
        with self._lock:
            try:
                key = data_key(device_id, source, guid)
            except FaxServiceError as why:
                self.uses.append(Use(name, device_id, source, str(why)))
                raise
            self.uses.append(Use(name, device_id, source))
            return work(key)

    def _get(self, device_id: int, source: int, guid: str, /) -> bytes:
        def work(key: DataKey) -> bytes:
            if self.failing is not None:
                raise self.failing
            if key not in self.data:
                raise DataNotFound(f"there are no data {key.guid} for device {key.device_id}")
            return self.data[key]

        return self._use("FaxExtGetData", device_id, source, guid, work)

    def _set(self, instance: object, device_id: int, source: int, guid: str, data: bytes, /) -> None:
        if trio.lowlevel.in_trio_run():
            why = "it was called in a task, and waits for the disk: a worker thread is the place"
            self.uses.append(Use("FaxExtSetData", device_id, source, why))
            raise WouldDeadlock(why)
        self._use("FaxExtSetData", device_id, source, guid, lambda key: self.data.update({key: bytes(data)}))

    def _register(
        self, instance: object, device_id: int, source: int, guid: str, callback: FaxExtConfigChange, /
    ) -> object:
        def work(key: DataKey) -> object:
            handle = object()
            self.registered[handle] = key, callback
            return handle

        return self._use("FaxExtRegisterForEvents", device_id, source, guid, work)

    def _unregister(self, handle: object, /) -> None:
        with self._lock:
            self.uses.append(Use("FaxExtUnregisterForEvents", 0, 0))
            if self.registered.pop(handle, None) is None:
                raise RegistrationNotFound("hNotification: there is no such registration")
