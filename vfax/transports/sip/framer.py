"""Streams: octets as they come to whole messages and keep-alives.

Owns      where a message of a stream ends, the rules of Content-Length there, what a stream may hold back.
Not here  what a message says (message.py), connections and their deadlines (vfax/transports/sip_streams.py).
Source    RFC 3261 (June 2002) 7.5, 18.3, 20.14; RFC 5626 3.5.1, 4.4.1 (CRLF keep-alive).

A stream that cannot be framed is over: where its next message begins is anybody's guess.
"""

import re
from enum import Enum, auto
from typing import Final

from vfax.errors import DecodeError
from vfax.transports.sip.message import MessageError, Request, parse_datagram
from vfax.transports.sip.options import SipOptions
from vfax.transports.sip.syntax import is_token, parse_number

_BREAK: Final = b"\r\n"
_END: Final = b"\r\n\r\n"
_SOURCE: Final = "RFC 3261 18.3"
_BREAKS: Final = re.compile(rb"(?:\r\n)++")
_LENGTH: Final = re.compile(rb"\n(?:content-length|l)[ \t]*:([^\r\n]*)", re.IGNORECASE)


class KeepAlive(Enum):
    """Line breaks between messages (RFC 5626 4.4.1)."""

    PING = auto()  # two of them: one is the answer
    PONG = auto()  # one


class Framer:
    """One stream. Holds at most one message of `SipOptions.max_message` octets and what came with its end."""

    def __init__(self, options: SipOptions) -> None:
        self._options = options
        self._held = bytearray()
        self._seen = 0  # octets of it without the end of a head
        self._total = 0  # octets of the message, once its head is whole
        self._breaks = 0  # line breaks in a row
        self.fault: MessageError | None = None  # why nothing more can be read; its `request` is to be answered

    @property
    def pending(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._held)

    def receive(self, octets: bytes) -> list[bytes | KeepAlive]:
        """Take octets; what is whole now, in order. After a `fault` nothing is taken any more.

        Costs time linear in `octets`, whatever comes.
        """
        found: list[bytes | KeepAlive] = []
        if self.fault is not None:
            return found
        self._held += octets
        try:
            while (item := self._next()) is not None:
                found.append(item)
        except MessageError as why:
            self.fault = why
            self._held.clear()
        return found

    def _next(self) -> bytes | KeepAlive | None:
        if self._held.startswith(_BREAK):
            return self._skip_breaks()
        if not self._held or self._held == b"\r":
            return None
        self._breaks = 0
        if not self._total and not self._find_head():
            return None
        if len(self._held) < self._total:
            return None
        message = bytes(self._held[: self._total])
        del self._held[: self._total]
        self._total = self._seen = 0
        return message

    def _skip_breaks(self) -> KeepAlive:
        """All line breaks that are there: as many pings as they may be, one pong answers them."""
        found = _BREAKS.match(self._held)
        end = found.end() if found is not None else 0
        del found  # a bytearray that is looked at cannot shrink
        del self._held[:end]
        self._breaks += end // len(_BREAK)
        if self._breaks < 2:
            return KeepAlive.PONG
        self._breaks = 0
        return KeepAlive.PING

    def _find_head(self) -> bool:
        """Whether the head is whole; then the length of the message is known."""
        held, limit = self._held, self._options.max_head
        if not is_token(chr(held[0])):
            raise MessageError("not a SIP message", source="RFC 3261 7.1")
        end = held.find(_END, max(0, self._seen - 3), limit + len(_END))
        if end < 0:
            self._seen = len(held)
            if self._seen > limit:  # Limit: 32 KiB
                raise MessageError(f"a head above {limit} octets", 513, source="our limit")
            return False
        head = bytes(held[: end + len(_END)])
        try:
            length = content_length(head, self._options.max_message)
        except DecodeError as why:
            raise MessageError(why.what, request=self._request_of(head), source=why.source) from why
        self._total = len(head) + length
        if self._total > self._options.max_message:  # Limit: 64 KiB
            raise MessageError("message too large", 513, request=self._request_of(head), source="RFC 3261 21.5.7")
        return True

    def _request_of(self, head: bytes) -> Request | None:
        try:
            message = parse_datagram(head, self._options)
        except MessageError as why:
            return why.request
        return message if isinstance(message, Request) else None


def content_length(head: bytes, largest: int) -> int:
    """The Content-Length of a head with its blank line. Raises DecodeError when there is none, or several that differ.

    Deviation: two that agree are taken here, for the end of the message is plain; check() refuses the message.
    """
    unfolded = head.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ")
    found = {value.strip() for value in _LENGTH.findall(unfolded)}
    values = {parse_number(one.decode("latin-1"), max(largest, 2**31), "Content-Length", _SOURCE) for one in found}
    if len(values) != 1:
        what = "no Content-Length on a stream" if not values else "several Content-Length fields that differ"
        raise DecodeError(what, source=_SOURCE)
    return values.pop()
