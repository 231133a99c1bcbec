"""What the service refuses, as the exceptions of the documented functions.

Owns      from an answer on the wire to an exception. Not here: the exceptions of the contract (fsp/errors.py).
"""

from collections.abc import Mapping
from typing import Final

from vfax.fsp.constants import Win32
from vfax.fsp.errors import (
    AccessDenied,
    FaxServiceError,
    InvalidData,
    InvalidHandle,
    InvalidParameter,
    NotReady,
    NotSupported,
    OutOfResources,
)

LONGEST_SENTENCE: Final = 1_000


class ServiceUnavailable(FaxServiceError):
    """The service cannot be reached, or the connection to it broke: nothing is known of what it did."""

    winerror = Win32.ERROR_NOT_READY


class RequestRefused(FaxServiceError):
    """The service refused for a reason that the documented functions do not know; `winerror` says which."""

    def __init__(self, sentence: str, winerror: Win32 = Win32.ERROR_GEN_FAILURE) -> None:
        super().__init__(sentence)
        self.winerror = winerror


BY_WINERROR: Final[Mapping[int, type[FaxServiceError]]] = {
    Win32.ERROR_ACCESS_DENIED: AccessDenied,
    Win32.ERROR_INVALID_HANDLE: InvalidHandle,
    Win32.ERROR_NOT_ENOUGH_MEMORY: OutOfResources,
    Win32.ERROR_INVALID_DATA: InvalidData,
    Win32.ERROR_NOT_READY: NotReady,
    Win32.ERROR_NOT_SUPPORTED: NotSupported,
    Win32.ERROR_INVALID_PARAMETER: InvalidParameter,
}


def refused(status: int, answer: object) -> FaxServiceError:
    """The exception of an answer that is an error, whatever its body holds."""
    error = answer.get("error") if isinstance(answer, dict) else None
    if not isinstance(error, dict):
        return RequestRefused(f"the service answered {status} and said no more")
    sentence = str(error.get("sentence", ""))[:LONGEST_SENTENCE] or f"the service answered {status}"
    winerror = error.get("winerror")
    kind = BY_WINERROR.get(winerror) if isinstance(winerror, int) else None
    if kind is not None:
        return kind(sentence)
    known = {int(one): one for one in Win32}
    return RequestRefused(sentence, known.get(winerror if isinstance(winerror, int) else -1, Win32.ERROR_GEN_FAILURE))
