"""The small change of SIP syntax: tokens, quoted strings, lists, escapes.

Owns      splitting at separators outside quotes and angle brackets, quoting, percent escapes, bounded integers.
Not here  what a header field means (headers.py), lines and framing (message.py).
Source    RFC 3261 (June 2002) 25.1.

Every function is linear in its input. Text is UTF-8 with surrogate escapes, so that any octet survives.
"""

import re
from typing import Final

from vfax.errors import DecodeError

LWS: Final = " \t"
MAX_PARTS: Final = 128  # Limit: values of one list, parameters of one value
MAX_ESCAPES: Final = 1024  # Limit: escapes of one text that are resolved; those behind them stay

_TOKEN: Final = re.compile(r"[A-Za-z0-9.!%*_+`'~-]+")
# Possessive: a failing match never backtracks.
_QUOTED: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_STOP: Final = {",": re.compile(r'[",<]'), ";": re.compile(r'[";<]')}
_UNSAFE_IN_USER: Final = re.compile(r"[^A-Za-z0-9_.!~*'()&=+$,;?/-]")
_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_CONTROLS: Final = frozenset(map(chr, (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)))


def is_token(text: str) -> bool:
    """Whether `text` is a token of RFC 3261 25.1 (never empty)."""
    return _TOKEN.fullmatch(text) is not None


def end_of_quoted(text: str, at: int) -> int:
    """Index after the closing quote of the quoted string that opens at `at`. Raises DecodeError if it never closes."""
    found = _QUOTED.match(text, at)
    if found is None:
        raise DecodeError("quoted string without end", offset=at, source="RFC 3261 25.1")
    return found.end()


def split_outside(text: str, separator: str) -> list[str]:
    """Split at `separator` ("," or ";") outside quotes and <>, and trim each part.

    Raises DecodeError for an open quote or bracket and for more than MAX_PARTS parts.
    """
    careful = '"' in text or "<" in text
    parts = _split_carefully(text, separator) if careful else text.split(separator, MAX_PARTS)
    if len(parts) > MAX_PARTS:
        raise DecodeError(f"more than {MAX_PARTS} values", source="our limit")
    return [part.strip(LWS) for part in parts]


def _split_carefully(text: str, separator: str) -> list[str]:
    parts: list[str] = []
    begin = at = quotes = 0
    stop = _STOP[separator]
    while (found := stop.search(text, at)) is not None and len(parts) <= MAX_PARTS:
        at = found.start()
        if text[at] == separator:
            parts.append(text[begin:at])
            at = begin = at + 1
            continue
        quotes += 1
        if quotes > 2 * MAX_PARTS:
            raise DecodeError("too many quoted strings", offset=at, source="our limit")
        at = end_of_quoted(text, at) if text[at] == '"' else _end_of_angle(text, at)
    parts.append(text[begin:])
    return parts


def _end_of_angle(text: str, at: int) -> int:
    end = text.find(">", at)
    if end < 0:
        raise DecodeError("'<' without '>'", offset=at, source="RFC 3261 25.1")
    return end + 1


def quote(text: str) -> str:
    """`text` as a quoted string. Control characters become spaces."""
    return '"' + sayable(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def unquote(text: str) -> str:
    """The content of a quoted string; other text as it is."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    # Pairs of backslashes first: what is left of one stands before the character that it escapes.
    *parts, last = text[1:-1].split("\\\\")
    end = "\\" if last.endswith("\\") else ""
    return "\\".join(part.replace("\\", "") for part in (*parts, last)) + end


def printable(text: str) -> str:
    """`text` on one line: runs of control characters become one space."""
    for control in _CONTROLS.intersection(text):
        text = text.replace(control, "\0")
    while "\0\0" in text:
        text = text.replace("\0\0", "\0")
    return text.replace("\0", " ")


def sayable(text: str) -> str:
    """Text of our owner on one line, and such that UTF-8 can carry it."""
    return printable(text.encode("utf-8", "replace").decode())


def legible(text: str) -> str:
    """`text` without surrogates: octets that were no UTF-8 become replacement characters."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def unescape(text: str) -> str:
    """Resolve %XX once; a % that starts no escape stays. The octets are read as UTF-8."""
    if "%" not in text:
        return legible(text)
    octets = text.encode("utf-8", "surrogateescape")
    resolved = _ESCAPE.sub(lambda found: bytes((int(found[1], 16),)), octets, MAX_ESCAPES)
    return resolved.decode("utf-8", "replace")


def escape_user(text: str) -> str:
    """`text` as the user part of a SIP URI."""
    return _UNSAFE_IN_USER.sub(_percent, text)


def _percent(found: re.Match[str]) -> str:
    return "".join(f"%{octet:02X}" for octet in found.group().encode("utf-8", "replace"))


def parse_number(text: str, largest: int, what: str, source: str) -> int:
    """A decimal number of ASCII digits up to `largest`. Raises DecodeError; a long row of digits costs nothing."""
    digits = text.strip(LWS)
    if not (digits.isascii() and digits.isdigit()):
        raise DecodeError(f"{what} is not a number", source=source)
    significant = digits.lstrip("0") or "0"
    if len(significant) > 20 or int(significant) > largest:
        raise DecodeError(f"{what} above {largest}", source=source)
    return int(significant)
