"""How the C interface says it, for hosts and tests that count octets or want a Boolean and a last error.

Owns      sizes of the structures on 64-bit Windows, FaxDevReportStatus in its two steps, FALSE with a last error.
Not here  the structures and their limits (structures.py), the exports as Python has them (provider.py).
Source    FAX_DEV_STATUS, FAX_RECEIVE, LINEMESSAGE and FAX_EVENT (sizes follow from the member types with natural
          alignment); FaxDevReportStatus; Setting the Last Error Code; Handling Exceptions.

Nothing in vfax needs it: a status is one value, limits are checked when it is made, and an error is an exception.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, ParamSpec, TypeVar

from vfax.fsp.constants import FAXDEVREPORTSTATUS_SIZE, Win32
from vfax.fsp.errors import FaxServiceError, InsufficientBuffer
from vfax.fsp.structures import FaxDevStatus, FaxReceive, check_dword, utf16_size

P = ParamSpec("P")
T = TypeVar("T")

SIZEOF_FAX_DEV_STATUS: Final = 56
SIZEOF_FAX_RECEIVE: Final = 48
SIZEOF_LINEMESSAGE: Final = 40
SIZEOF_FAX_EVENT: Final = 24
MAX_STATUS: Final = SIZEOF_FAX_DEV_STATUS + FAXDEVREPORTSTATUS_SIZE
"""Octets of the largest block that FaxDevReportStatus may ask for."""


def status_size(status: FaxDevStatus) -> int:
    """Octets of FAX_DEV_STATUS with its strings behind it; an empty string is a NULL pointer and takes none."""
    texts = (status.csi, status.caller_id, status.routing_info)
    return SIZEOF_FAX_DEV_STATUS + sum(utf16_size(text) for text in texts if text)


def receive_size(slot: FaxReceive) -> int:
    """Octets of FAX_RECEIVE with its three strings behind it."""
    texts = (slot.file_name, slot.receiver_number, slot.receiver_name)
    return SIZEOF_FAX_RECEIVE + sum(utf16_size(text) for text in texts)


@dataclass(frozen=True, slots=True)
class Reported:
    """One step of FaxDevReportStatus: the octets it takes, and the status unless only these were asked for."""

    size_required: int
    status: FaxDevStatus | None = None


def report_status(report: Callable[[object], FaxDevStatus], FaxHandle: object, FaxStatusSize: int) -> Reported:
    """One of the two steps: with size 0 the octets needed, with room enough the status.

    Between two steps a string may have grown, as in C: ask again. Raises what `report` raises, InvalidField for a size
    outside DWORD, InsufficientBuffer, which says the octets needed, when the room is too small.
    """
    check_dword("FaxDevReportStatus", "FaxStatusSize", FaxStatusSize)
    status = report(FaxHandle)
    required = status_size(status)
    if FaxStatusSize == 0:
        return Reported(required)
    if FaxStatusSize < required:
        raise InsufficientBuffer(f"FaxStatusSize: {FaxStatusSize} octets, and {required} are needed", required)
    return Reported(required, status)


@dataclass(frozen=True, slots=True)
class Called(Generic[T]):
    """What a C function leaves behind: TRUE with the out parameters, or FALSE and why (for people)."""

    ok: bool
    value: T | None = None
    why: str = ""


class _LastError(threading.local):
    code: int = Win32.NO_ERROR


_last_error: Final = _LastError()


def get_last_error() -> int:
    """The last-error code of this thread. As in C it is stale after a call that succeeded."""
    return _last_error.code


def call(export: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Called[T]:
    """Call a plain export under the guard of the service: an exception, whichever, is FALSE with a last error."""
    try:
        return Called(True, export(*args, **kwargs))
    except FaxServiceError as why:
        _last_error.code = int(why.winerror)
        return Called(False, why=str(why))
    except Exception as why:
        _last_error.code = Win32.ERROR_INTERNAL_ERROR
        return Called(False, why=f"{type(why).__name__}: {why}")
