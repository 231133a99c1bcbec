"""Stored configuration: what a service gives an extension in FaxExtInitializeConfig, and what both must keep to.

Owns      the types of the five callbacks and of FaxExtConfigChange, their keys.
Not here  where data are kept and who is told of changes (host/), the export among the others (provider.py).
Source    faxext.h: FaxExtInitializeConfig, FaxExtGetData, FaxExtSetData, FaxExtRegisterForEvents,
          FaxExtUnregisterForEvents, FaxExtFreeBuffer, FaxExtConfigChange; Storing Global Configuration Data.

Data are octets that the service stores and never looks into, under a device id (0: of no device, global) and a GUID;
all extensions of a service share them. Devices need not exist yet. In Python:
  * ERROR_SUCCESS is returning, a handle or data are the result; any other code is raising FaxServiceError.
  * The callbacks are plain functions for both surfaces and any thread. FaxExtGetData and the rest never wait;
    FaxExtSetData waits until the data are on the medium, so a task must call it in a worker thread, and is refused
    with ERROR_POSSIBLE_DEADLOCK otherwise.
  * The service knows who calls, because each extension has callbacks of its own: hInst is for the letter of the
    contract, and not looked at.
  * A buffer needs no release: FaxExtFreeBuffer takes anything and does nothing.
"""

import uuid
from collections.abc import Callable
from typing import NamedTuple

from vfax.fsp.constants import DevIdSource
from vfax.fsp.errors import DataNotFound, InvalidParameter
from vfax.fsp.structures import check_dword

FaxExtConfigChange = Callable[[int, str, bytes], int]
"""PFAX_EXT_CONFIG_CHANGE(DeviceId, DataGUID, Data): the extension is told new data, and answers NOERROR (0).

Plain, called in a thread of its own; never for what the extension itself has set.
"""

FaxExtGetData = Callable[[int, int, str], bytes]
"""PFAX_EXT_GET_DATA(DeviceId, DevIdSrc, DataGUID): the data. Raises DataNotFound, DataCorrupt, InvalidParameter."""

FaxExtSetData = Callable[[object, int, int, str, bytes], None]
"""PFAX_EXT_SET_DATA(hInst, DeviceId, DevIdSrc, DataGUID, Data): stored when it returns.

Raises InvalidParameter, OutOfResources beyond a limit of the service, DataNotFound for a device of telephony,
WouldDeadlock in a task, ShuttingDown, FaxServiceError (ERROR_GEN_FAILURE) when the disk refuses.
"""

FaxExtRegisterForEvents = Callable[[object, int, int, str, FaxExtConfigChange], object]
"""PFAX_EXT_REGISTER_FOR_EVENTS(hInst, DeviceId, DevIdSrc, DataGUID, ConfigChangeCallback): a handle.

Raises InvalidParameter, AlreadyAssigned, OutOfResources, ShuttingDown.
"""

FaxExtUnregisterForEvents = Callable[[object], None]
"""PFAX_EXT_UNREGISTER_FOR_EVENTS(hNotification). Raises InvalidParameter, RegistrationNotFound."""

FaxExtFreeBuffer = Callable[[object], None]
"""PFAX_EXT_FREE_BUFFER(Buffer): nothing needs to be released here."""


class ExtensionCallbacks(NamedTuple):
    """The arguments of FaxExtInitializeConfig, in their order."""

    get_data: FaxExtGetData
    set_data: FaxExtSetData
    register: FaxExtRegisterForEvents
    unregister: FaxExtUnregisterForEvents
    free_buffer: FaxExtFreeBuffer


class DataKey(NamedTuple):
    """Where data are: `device_id` 0 is of no device; `guid` in its one spelling, braces and capitals."""

    device_id: int
    guid: str


def data_key(device_id: object, source: object, guid: object) -> DataKey:
    """The key behind the arguments of a callback.

    Raises InvalidParameter (no DWORD, no known source, no GUID), DataNotFound for a device id of telephony: there are
    no such devices here. A global key has no device, so its source may be either.
    """
    if isinstance(device_id, bool) or not isinstance(device_id, int):
        raise InvalidParameter(f"DeviceId: {device_id!r} is no device id")
    check_dword("FaxExt", "DeviceId", device_id)
    if source not in tuple(DevIdSource):
        raise InvalidParameter(f"DevIdSrc: {source!r} is neither DEV_ID_SRC_FAX nor DEV_ID_SRC_TAPI")
    if not isinstance(guid, str):
        raise InvalidParameter(f"DataGUID: {type(guid).__name__}, where text is expected")
    try:
        spelled = f"{{{uuid.UUID(guid)}}}".upper()
    except ValueError:
        raise InvalidParameter(f"DataGUID: {guid!r:.60} is not a GUID") from None
    if source == DevIdSource.DEV_ID_SRC_TAPI and device_id:
        raise DataNotFound(f"DeviceId: {device_id} of a telephony provider is no device here")
    return DataKey(device_id, spelled)
