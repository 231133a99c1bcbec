"""What the host and a provider in a process of its own say to each other: JSON objects, each behind its length.

Owns      frames, their limits, errors as data. Not here: the structures (fsp/encoding.py), who says what
          (process.py, process_child.py).

    host to child   {"do": WORD, ...}           an order; with "id" it is answered, without it is not
    child to host   {"answer": ID, ...}         "value", or "error"
                    {"ring": LINEMESSAGE}       posted on the ring port
                    {"job": N, "status": FAX_DEV_STATUS, "reports": FAX_DEV_STATUS or null, "facts": CallFacts or null}
                                                "status" was posted on the job's port, "reports" and "facts" are what
                                                FaxDevReportStatus and VfaxDevReportFacts say as it is written
                    {"extension": WORD, "number": N, ...}   a callback of FaxExtInitializeConfig, answered by
                                                {"do": "told", "number": N, "value": ... or "error": ...}
                    {"called": N}               FaxSendCallback
                    {"broken": WORDS}           the provider's own task has failed; the child ends

A frame is four octets, the length in network order, and that many octets of JSON in ASCII.
"""

import json
import struct
from collections.abc import Iterator, Mapping
from typing import Final, NoReturn, TypeVar

from vfax.errors import DecodeError, DocumentError, FaxError, LinkError, SettingsError, StoreError
from vfax.fsp import errors
from vfax.fsp.constants import ProviderStatus, Win32
from vfax.fsp.errors import FaxServiceError, ProviderLoadError
from vfax.host.guard import ForeignFault, words_of

MAX_FRAME: Final = 1 << 20
"""Limit: octets of one message; the largest there is holds the settings."""
MAX_WORDS: Final = 4_096
"""Limit: characters of one sentence about an error."""
LENGTH: Final = struct.Struct(">I")

Message = dict[str, object]
E = TypeVar("E", Win32, ProviderStatus)


def frame(message: Mapping[str, object]) -> bytes:
    """A message as it travels. Raises TypeError or ValueError for what JSON cannot say, or not within the limit."""
    octets = json.dumps(message, allow_nan=False, separators=(",", ":")).encode("ascii")
    if len(octets) > MAX_FRAME:
        raise ValueError(f"{len(octets)} octets in one message, at most {MAX_FRAME} may be")
    return LENGTH.pack(len(octets)) + octets


class Unframer:
    """Cuts a stream into messages. What is no message raises DecodeError, and the stream is useless from there on."""

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self._limit = limit
        self._held = bytearray()

    def feed(self, octets: bytes) -> Iterator[Message]:
        """Take octets; gives the messages that are whole by now."""
        self._held += octets
        while len(self._held) >= LENGTH.size:
            (length,) = LENGTH.unpack_from(self._held)
            if length > self._limit:
                raise DecodeError(f"a message of {length} octets, at most {self._limit} may be")
            if len(self._held) < LENGTH.size + length:
                return
            body = bytes(self._held[LENGTH.size : LENGTH.size + length])
            del self._held[: LENGTH.size + length]
            yield _read(body)


def _read(body: bytes) -> Message:
    try:
        message = json.loads(body.decode("ascii"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as why:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise DecodeError(f"a message that is no JSON: {type(why).__name__}") from None
    if not isinstance(message, dict):
        raise DecodeError(f"a message that is no object but {type(message).__name__}")
    return message


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


# --- errors ------------------------------------------------------------------------------------------

KINDS: Final[dict[str, type[FaxServiceError]]] = {
    kind.__name__: kind
    for kind in (
        errors.FaxServiceError,
        errors.InvalidParameter,
        errors.InvalidHandle,
        errors.AccessDenied,
        errors.InvalidData,
        errors.OutOfResources,
        errors.NotSupported,
        errors.NotReady,
        errors.InitializationFailed,
        errors.OperationFailed,
        errors.OperationAborted,
        errors.LineUnavailable,
        errors.DataNotFound,
        errors.DataCorrupt,
        errors.AlreadyAssigned,
        errors.RegistrationNotFound,
        errors.ServerBusy,
        errors.ShuttingDown,
        errors.WouldDeadlock,
    )
}
CAUSES: Final[dict[str, type[FaxError]]] = {
    kind.__name__: kind for kind in (LinkError, SettingsError, StoreError, DocumentError)
}
"""Errors behind an error that callers of the host tell apart."""


def encode_error(why: BaseException) -> Message:
    """An exception as data: one of the contract with its kind and last error, any other as a fault in words."""
    if not isinstance(why, FaxServiceError):
        return {"kind": "", "words": words_of(why)[:MAX_WORDS]}
    kind = next((kind.__name__ for kind in type(why).__mro__ if kind.__name__ in KINDS), "FaxServiceError")
    status = int(why.status) if isinstance(why, ProviderLoadError) else None
    cause = type(why.__cause__).__name__ if type(why.__cause__).__name__ in CAUSES else ""
    return {
        "kind": kind,
        "words": str(why)[:MAX_WORDS],
        "winerror": int(why.winerror),
        "status": status,
        "cause": cause,
    }


def decode_error(value: object) -> Exception:
    """The exception to raise for what `encode_error` wrote. Raises DecodeError for what it never writes."""
    if not isinstance(value, dict) or not isinstance(value.get("words"), str):
        raise DecodeError("an error that is none")
    words, kind, status = value["words"][:MAX_WORDS], value.get("kind"), value.get("status")
    if not isinstance(kind, str) or kind not in KINDS:
        return ForeignFault(words)
    winerror = _known(Win32, value.get("winerror"), Win32.ERROR_GEN_FAILURE)
    error: FaxServiceError
    if status is not None:
        state = _known(ProviderStatus, status, ProviderStatus.fpsSERVER_ERROR)
        error = ProviderLoadError(state, words.removeprefix(f"{state.name}: "), winerror)
    else:
        error = KINDS[kind](words)
        error.winerror = winerror
    cause = CAUSES.get(str(value.get("cause")))
    error.__cause__ = cause(words) if cause is not None else None
    return error


def _known(kind: type[E], value: object, otherwise: E) -> E:
    return next((member for member in kind if type(value) is int and member == value), otherwise)
