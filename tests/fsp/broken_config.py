"""Providers that break one rule of stored configuration each; importing this adds them to BROKEN (broken.py)."""

import threading
from contextlib import suppress
from typing import Any

from tests.fsp.broken import breaks
from tests.fsp.toy import NUMBERS, Toy
from vfax.fsp.constants import DevIdSource, Hresult
from vfax.fsp.errors import DataNotFound, FaxServiceError, OperationFailed


@breaks("configuring-answers-noerror")
class NeedsItsData(Toy):
    def FaxExtInitializeConfig(self, *callbacks: Any) -> Any:
        try:
            callbacks[0](0, 0, NUMBERS)
        except FaxServiceError:
            return Hresult.E_FAIL
        return super().FaxExtInitializeConfig(*callbacks)


@breaks("configuring-may-come-first")
class ConfiguresItsDevices(Toy):
    def FaxExtInitializeConfig(self, *callbacks: Any) -> Any:
        if self.ring_port is None:
            raise OperationFailed("FaxDevVirtualDeviceCreation first")
        return super().FaxExtInitializeConfig(*callbacks)


@breaks("corrupt-configuration-is-no-crash")
class TrustsItsData(Toy):
    def FaxExtInitializeConfig(self, *callbacks: Any) -> Any:
        try:
            return super().FaxExtInitializeConfig(*callbacks) if callbacks[0](0, 0, NUMBERS) else None
        except DataNotFound:
            return super().FaxExtInitializeConfig(*callbacks)
        except FaxServiceError as why:
            raise KeyError(NUMBERS) from why


@breaks("configuration-is-kept-under-fax-device-ids")
class AsksAsTelephony(Toy):
    def FaxExtInitializeConfig(self, *callbacks: Any) -> Any:
        with suppress(FaxServiceError):
            callbacks[0](1, DevIdSource.DEV_ID_SRC_TAPI, NUMBERS)
        return super().FaxExtInitializeConfig(*callbacks)


@breaks("changes-are-answered-with-an-hresult")
class SilentAboutChanges(Toy):
    def read_number(self, *change: Any) -> Any:
        super().read_number(*change)


@breaks("configuration-is-left-alone-after-shutdown")
class SavesLate(Toy):
    def FaxDevShutdown(self) -> Any:
        threading.Timer(0.05, self.save).start()
        return super().FaxDevShutdown()

    def save(self) -> None:
        assert self.config is not None
        with suppress(FaxServiceError):
            self.config.set_data(None, 0, 0, NUMBERS, b"late")
