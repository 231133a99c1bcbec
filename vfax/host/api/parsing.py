"""What clients send, checked before anything is done with it: numbers, words, times, JSON objects.

Owns      `Refused`, which is a status, a Win32 code and a sentence; the checks, each naming what it expected.
Not here  bodies and their limits in time (bodies.py), documents (multipart.py).

Limit: every text has a length, every number a range; nothing here ever raises anything but Refused.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, TypeVar

from vfax.errors import DecodeError, DocumentError, FaxError, MisuseError, StoreError
from vfax.fsp.constants import DWORD_MAX, JobStatusEnum, Win32
from vfax.fsp.errors import FaxServiceError

T = TypeVar("T")

LONGEST_TEXT: Final = 256
"""Limit: characters of one text that a client gives."""
DEEPEST_JSON: Final = 8
"""Limit: brackets within brackets of a JSON body."""

_HEXADECIMAL: Final = frozenset("0123456789abcdefABCDEF")

STATUS_OF_WINERROR: Final = {
    Win32.ERROR_FILE_NOT_FOUND: 404,
    Win32.ERROR_ACCESS_DENIED: 403,
    Win32.ERROR_INVALID_HANDLE: 404,
    Win32.ERROR_NOT_ENOUGH_MEMORY: 503,
    Win32.ERROR_INVALID_DATA: 409,
    Win32.ERROR_NOT_READY: 503,
    Win32.ERROR_NOT_SUPPORTED: 501,
    Win32.ERROR_INVALID_PARAMETER: 400,
    Win32.ERROR_TIMEOUT: 408,
}
"""HTTP status of what the host refuses; all others are 500."""


class Refused(FaxError):
    """A request that is answered with an error: HTTP status, Win32 code, and a sentence for the client."""

    def __init__(self, status: int, winerror: Win32, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.winerror = winerror


def invalid(sentence: str, status: int = 400) -> Refused:
    """ERROR_INVALID_PARAMETER."""
    return Refused(status, Win32.ERROR_INVALID_PARAMETER, sentence)


def denied(sentence: str) -> Refused:
    """ERROR_ACCESS_DENIED."""
    return Refused(403, Win32.ERROR_ACCESS_DENIED, sentence)


def refusal_of(why: FaxError) -> Refused:
    """How an error of the host is told to a client."""
    sentence = str(why) or "The host refused this."
    if isinstance(why, Refused):
        return why
    if isinstance(why, FaxServiceError):
        return Refused(STATUS_OF_WINERROR.get(why.winerror, 500), why.winerror, sentence)
    if isinstance(why, DocumentError):
        return Refused(422, Win32.ERROR_INVALID_DATA, sentence)
    if isinstance(why, DecodeError):
        return Refused(400, Win32.ERROR_INVALID_PARAMETER, sentence)
    if isinstance(why, StoreError):
        return Refused(503, Win32.ERROR_WRITE_FAULT, sentence)
    if isinstance(why, MisuseError):
        return Refused(503, Win32.ERROR_NOT_READY, sentence)
    return Refused(500, Win32.ERROR_INTERNAL_ERROR, "A fault inside vfax; the host's log has it.")


def parse_job(text: str) -> int:
    """A job number: one to eight hexadecimal digits, within 1..0xFFFFFFFE."""
    number = _hexadecimal(text)
    if number is None or not 0 < number < DWORD_MAX:
        raise invalid(f"job {shown(text)}: expected eight hexadecimal digits, within 00000001..fffffffe")
    return number


def _hexadecimal(text: str) -> int | None:
    return int(text, 16) if 0 < len(text) <= 8 and set(text) <= _HEXADECIMAL else None


def parse_number(text: str, name: str, *, low: int = 0, high: int = DWORD_MAX) -> int:
    """A decimal number within bounds."""
    if not (text.isascii() and text.isdigit() and len(text) <= 20 and low <= int(text) <= high):
        raise invalid(f"{name} {shown(text)}: expected a number within {low}..{high}")
    return int(text)


def parse_flag(text: str, name: str) -> bool:
    """true or false."""
    if text not in ("true", "false"):
        raise invalid(f"{name} {shown(text)}: expected true or false")
    return text == "true"


def parse_status(text: str) -> JobStatusEnum:
    """A job status by its name, with or without fjs."""
    wanted = text.lower().removeprefix("fjs").replace("-", "_")
    for status in JobStatusEnum:
        if status.name is not None and status.name.removeprefix("fjs").lower() == wanted:
            return status
    names = ", ".join(str(status.name) for status in JobStatusEnum)
    raise invalid(f"status {shown(text)}: expected one of {names}")


def parse_time(text: str, name: str) -> datetime:
    """A time with its zone, as in 2025-01-31T12:00:00Z; the answer is in UTC."""
    try:
        at = datetime.fromisoformat(text) if len(text) <= 40 else None
        if at is not None and at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise invalid(f"{name} {shown(text)}: expected a time with its zone, as in 2025-01-31T12:00:00Z")


def parse_text(text: str, name: str, *, longest: int = LONGEST_TEXT) -> str:
    """One line of text."""
    if len(text) > longest or not text.isprintable():
        raise invalid(f"{name}: expected one line of at most {longest} printable characters")
    return text


def parse_word(text: str, name: str, words: Mapping[str, T]) -> T:
    """One of some words."""
    try:
        return words[text]
    except KeyError:
        raise invalid(f"{name} {shown(text)}: expected one of {', '.join(words)}") from None


def shown(value: object) -> str:
    """A client's value as an error may repeat it: short, printable."""
    text = "".join(char if char.isprintable() else "?" for char in str(value)[:60])
    return f'"{text}"'


# --- JSON --------------------------------------------------------------------------------------------

JsonKind = type | tuple[type, ...]


def parse_object(octets: bytes, kinds: Mapping[str, JsonKind]) -> dict[str, object]:
    """A JSON object with keys among `kinds`, each of its kind (a bool is no int). An empty body is an empty object."""
    if not octets.strip():
        return {}
    found = _loads(octets)
    if not isinstance(found, dict):
        raise invalid(f"the body: expected a JSON object, not {_kind_of(found)}")
    for key, value in found.items():
        if key not in kinds:
            raise invalid(f"key {shown(key)}: unknown; expected {', '.join(kinds) or 'none'}")
        expected = kinds[key]
        named = expected if isinstance(expected, tuple) else (expected,)
        if not isinstance(value, named) or (isinstance(value, bool) and bool not in named):
            words = " or ".join(_WORD_OF_KIND[one] for one in named)
            raise invalid(f"key {shown(key)}: expected {words}, not {_kind_of(value)}")
    return found


def _loads(octets: bytes) -> object:
    _refuse_deep(octets)
    try:
        found: object = json.loads(octets.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as why:
        raise invalid(f"the body is not JSON: {str(why)[:120]}") from None
    return found


def _refuse_deep(octets: bytes) -> None:
    depth = 0
    for octet in octets:
        if octet in b"[{":
            depth += 1
            if depth > DEEPEST_JSON:
                raise invalid(f"the body has more than {DEEPEST_JSON} brackets within brackets")
        elif octet in b"]}":
            depth -= 1


def _no_constant(word: str) -> object:
    raise ValueError(f"{word} is no JSON")


_WORD_OF_KIND: Final[dict[type, str]] = {
    str: "a string",
    int: "an integer",
    bool: "true or false",
    float: "a number",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


def _kind_of(value: object) -> str:
    return _WORD_OF_KIND.get(type(value), "something else")


def take(found: Mapping[str, object], key: str, kind: Callable[[str, str], T]) -> T | None:
    """The value of a text key, parsed; None where it is missing or null."""
    value = found.get(key)
    return None if value is None else kind(str(value), key)
