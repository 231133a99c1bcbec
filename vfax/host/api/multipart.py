"""multipart/form-data as it arrives: octets in any pieces, parts out, nothing held but what may be a boundary.

Owns      boundaries, part headers and their limits. Not here: where parts go (uploads.py), what they mean (jobs.py).
Source    RFC 2046 §5.1 (multipart), RFC 7578 (form-data).

Limit: `max_parts` parts, `max_head` octets of headers before each and of anything before the first; the octets of the
parts themselves are counted by whoever keeps them.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from vfax.errors import DecodeError

_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
_PARAMETER: Final = re.compile(r';\s*([!#$%&\'*+\-.^_`|~0-9A-Za-z]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))')
LONGEST_PADDING: Final = 64
"""Limit: white space behind a boundary."""


@dataclass(frozen=True, slots=True)
class PartBegun:
    """A part begins. `file_name` is None for what is no file; all three are what the client says."""

    name: str
    file_name: str | None
    media_type: str


@dataclass(frozen=True, slots=True)
class PartData:
    """Some octets of the part that began last."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class PartEnded:
    """The part that began last is whole."""


PartEvent = PartBegun | PartData | PartEnded


class _At(Enum):
    PREAMBLE = auto()
    BOUNDARY = auto()  # behind a delimiter: CRLF, or -- for the last one
    HEAD = auto()
    DATA = auto()
    END = auto()


def boundary_of(content_type: str) -> bytes:
    """The boundary that a Content-Type names. Raises DecodeError when it is no multipart/form-data, or names none."""
    kind, _, _ = content_type.partition(";")
    if kind.strip().lower() != "multipart/form-data":
        raise _wrong("expected a body of multipart/form-data")
    boundary = _parameters(content_type).get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        raise _wrong("the Content-Type names no boundary of 1 to 70 characters")
    return boundary.encode("ascii")


class Multipart:
    """One body. `feed` takes octets and gives what they completed; `finish` says that no more come."""

    def __init__(self, boundary: bytes, *, max_parts: int = 2_000, max_head: int = 8_192) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._max_parts = max_parts
        self._max_head = max_head
        self._buffer = bytearray(b"\r\n")  # the first delimiter may stand at the very start
        self._at = _At.PREAMBLE
        self._parts = 0
        self._taken = 0

    def feed(self, octets: bytes) -> list[PartEvent]:
        """Take octets. Raises DecodeError, and nothing else, for any input."""
        self._taken += len(octets)
        if self._at is _At.END:
            return []  # an epilogue, which means nothing
        self._buffer += octets
        events: list[PartEvent] = []
        while self._step(events):
            pass
        return events

    def finish(self) -> None:
        """Raise DecodeError unless the last boundary has come."""
        if self._at is not _At.END:
            raise self._broken("the body ends before its last boundary")

    def _step(self, events: list[PartEvent]) -> bool:
        match self._at:
            case _At.PREAMBLE:
                return self._preamble()
            case _At.BOUNDARY:
                return self._boundary()
            case _At.HEAD:
                return self._head(events)
            case _At.DATA:
                return self._data(events)
            case _At.END:
                self._buffer.clear()
                return False

    def _preamble(self) -> bool:
        found = self._buffer.find(self._delimiter)
        if found < 0:
            self._limit(len(self._buffer), "before the first boundary")
            return False
        self._limit(found, "before the first boundary")
        self._leave(found + len(self._delimiter), _At.BOUNDARY)
        return True

    def _boundary(self) -> bool:
        if self._buffer[:2] == b"--":
            self._leave(2, _At.END)
            return True
        line_end = self._buffer.find(b"\r\n", 0, LONGEST_PADDING + 2)
        if line_end >= 0 and not self._buffer[:line_end].strip(b" \t"):
            self._parts += 1
            if self._parts > self._max_parts:
                raise self._broken(f"more than {self._max_parts} parts")
            self._leave(line_end, _At.HEAD)  # the line end stays: a head may be empty
            return True
        if line_end >= 0 or self._buffer[:LONGEST_PADDING].strip(b" \t\r-"):
            raise self._broken("something stands behind a boundary")
        self._limit(len(self._buffer), "behind a boundary")
        return False

    def _head(self, events: list[PartEvent]) -> bool:
        found = self._buffer.find(b"\r\n\r\n")
        self._limit(len(self._buffer) if found < 0 else found, "of headers before a part")
        if found < 0:
            return False
        events.append(self._begun(bytes(self._buffer[:found])))
        self._leave(found + 4, _At.DATA)
        return True

    def _data(self, events: list[PartEvent]) -> bool:
        found = self._buffer.find(self._delimiter)
        whole = found if found >= 0 else len(self._buffer) - len(self._delimiter) + 1
        if whole > 0:
            events.append(PartData(bytes(self._buffer[:whole])))
            del self._buffer[:whole]
        if found < 0:
            return False
        events.append(PartEnded())
        self._leave(len(self._delimiter), _At.BOUNDARY)
        return True

    def _begun(self, head: bytes) -> PartBegun:
        fields: dict[str, str] = {}
        for line in head.decode("utf-8", "replace").split("\r\n"):
            name, colon, value = line.partition(":")
            if line.strip() and not colon:
                raise self._broken("a line before a part is no header field")
            fields[name.strip().lower()] = value.strip()
        disposition = fields.get("content-disposition", "")
        if disposition.partition(";")[0].strip().lower() != "form-data":
            raise self._broken("a part has no Content-Disposition of form-data")
        parameters = _parameters(disposition)
        if "name" not in parameters:
            raise self._broken("a part has no name")
        return PartBegun(parameters["name"], parameters.get("filename"), fields.get("content-type", ""))

    def _leave(self, octets: int, at: _At) -> None:
        del self._buffer[:octets]
        self._at = at

    def _limit(self, octets: int, where: str) -> None:
        if octets > self._max_head:
            raise self._broken(f"more than {self._max_head} octets {where}")

    def _broken(self, what: str) -> DecodeError:
        return DecodeError(what, offset=max(0, self._taken - len(self._buffer)), source="RFC 7578")


def _parameters(field: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, quoted, plain in _PARAMETER.findall(field):
        found.setdefault(name.lower(), re.sub(r"\\(.)", r"\1", quoted) or plain)
    return found


def _wrong(what: str) -> DecodeError:
    return DecodeError(what, source="RFC 7578")
