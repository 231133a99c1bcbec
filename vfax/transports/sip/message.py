"""SIP messages: octets to `Request` or `Response` and back, without losing an octet of a header field.

Owns      start line, ordered header fields kept as received (only unfolded), compact names, Content-Length rules of
          datagrams, typed views parsed on demand, the checks of a whole message, the error that a 400 is built from.
Not here  the grammar of a value (headers.py), which answer a request gets (reception.py), stream framing (framer.py).
Source    RFC 3261 (June 2002) 7, 8.1.1, 18.3, 20; RFC 4475 for what to refuse.
"""

import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Final

from vfax.errors import DecodeError, MisuseError
from vfax.transports.sip.headers import CSeq, MediaType, NameAddr, Uri, Via
from vfax.transports.sip.options import SipOptions
from vfax.transports.sip.syntax import LWS, MAX_PARTS, is_token, parse_number, split_outside

COMPACT: Final = {
    "i": "call-id",
    "m": "contact",
    "e": "content-encoding",
    "l": "content-length",
    "c": "content-type",
    "f": "from",
    "s": "subject",
    "k": "supported",
    "t": "to",
    "v": "via",
    "o": "event",
    "u": "allow-events",
    "r": "refer-to",
    "b": "referred-by",
    "x": "session-expires",
}
"""Compact forms: RFC 3261 7.3.3 and the extensions a fax device may meet."""

KNOWN_METHODS: Final = frozenset(
    {"INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER", "PRACK", "UPDATE", "INFO", "SUBSCRIBE", "NOTIFY"}
    | {"REFER", "MESSAGE", "PUBLISH"}
)
"""Methods that a published RFC defines: those we do not serve get 405, all others 501 (RFC 3261 8.2.1, 21.5.2)."""

_ONCE: Final = ("to", "from", "call-id", "cseq", "max-forwards", "content-length", "content-type")
_LISTS: Final = ("via", "contact", "record-route", "accept")  # whose values are all read
_NEEDED: Final = ("via", "to", "from", "call-id", "cseq")
_VIEWS: Final = ("call_id", "cseq", "from_", "to", "vias", "contacts", "content_type", "options", "target")
# Line breaks, and surrogates that do not stand for an octet that came (those are U+DC80 to U+DCFF).
_UNSENDABLE: Final = re.compile("[\r\n\ud800-\udc7f\udd00-\udfff]")
_BLANK: Final = re.compile(r"[\x00-\x20]")
_VERSION: Final = re.compile(r"SIP/\d{1,3}\.\d{1,3}", re.IGNORECASE)


class MessageError(DecodeError):
    """Octets that are no acceptable SIP message.

    `status` is what a request of this kind is answered with; `request` is as much of it as could be read, or None
    when there is nothing to answer (a response, or no SIP at all).
    """

    def __init__(self, what: str, status: int = 400, *, request: "Request | None" = None, source: str = "") -> None:
        super().__init__(what, source=source)
        self.status = status
        self.request = request


def canonical(name: str) -> str:
    """A header name in lower case, compact forms spelt out."""
    lower = name.lower()
    return COMPACT.get(lower, lower)


class Headers:
    """Header fields in order: names and values as received, found by canonical name."""

    __slots__ = ("_index", "_items")

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        self._items: list[tuple[str, str]] = []
        self._index: dict[str, list[str]] | None = {}
        for name, value in items:
            self.add(name, value)

    def fold(self) -> None:
        """Keep the fields alone; they are found as before, a little later."""
        self._index = None

    @property
    def _named(self) -> dict[str, list[str]]:
        if self._index is None:
            self._index = {}
            for name, value in self._items:
                self._index.setdefault(canonical(name), []).append(value)
        return self._index

    def add(self, name: str, value: str) -> None:
        """Append one field. Raises MisuseError for a line break or a name that is no token: nothing is injected."""
        if not is_token(name) or _UNSENDABLE.search(value):
            raise MisuseError(f"header field {name!r} with value {value!r} cannot be sent")
        self.keep(name, value)

    def keep(self, name: str, value: str) -> None:
        """Append one field that was read from a line, hence cannot hold a line break."""
        self._named.setdefault(canonical(name), []).append(value)
        self._items.append((name, value))

    def replace_first(self, name: str, values: list[str]) -> None:
        """Put `values` in the place of the first field `name`."""
        self._named[name][:1] = values
        at = next(i for i, (key, _) in enumerate(self._items) if canonical(key) == name)
        self._items[at : at + 1] = [(self._items[at][0], value) for value in values]

    def first(self, name: str) -> str | None:
        """The value of the first field `name` (canonical), None when there is none."""
        found = self._named.get(name)
        return found[0] if found else None

    def all(self, name: str) -> list[str]:
        """The values of all fields `name`, as received: one may hold a list."""
        return list(self._named.get(name, ()))

    def parts(self, name: str) -> list[str]:
        """The values of all fields `name` with lists taken apart. Raises DecodeError for more than MAX_PARTS."""
        parts: list[str] = []
        for field in self._named.get(name, ()):
            parts += split_outside(field, ",")
            if len(parts) > MAX_PARTS:  # Limit: in one field or in many
                raise DecodeError(f"more than {MAX_PARTS} values of {name}", source="our limit")
        return parts

    def values(self, name: str) -> list[str]:
        """The same with empty places dropped."""
        return [part for part in self.parts(name) if part]

    def __contains__(self, name: str) -> bool:
        return name in self._named

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)


class Message:
    """What requests and responses share. Views raise DecodeError; after `check` the ones it names never do."""

    def __init__(self, headers: Headers, body: bytes = b"") -> None:
        self.headers = headers
        self.body = body

    def _start_line(self) -> str:
        raise NotImplementedError

    def encode(self) -> bytes:
        """The message as octets, with a Content-Length that is right."""
        lines = [self._start_line()]
        lines += [f"{name}: {value}" for name, value in self.headers if canonical(name) != "content-length"]
        lines.append(f"Content-Length: {len(self.body)}\r\n\r\n")
        return "\r\n".join(lines).encode("utf-8", "surrogateescape") + self.body

    def fold(self) -> None:
        """Forget what was read out of it, as far as it can be read again: what only waits shall be few objects.

        Not the topmost Via, which we may have written longer than we would read it.
        """
        for name in _VIEWS:
            self.__dict__.pop(name, None)
        self.headers.fold()

    def _one(self, name: str) -> str:
        value = self.headers.first(name)
        if value is None:
            raise DecodeError(f"no {name}", source="RFC 3261 8.1.1")
        return value

    @cached_property
    def call_id(self) -> str:
        """Call-ID as received."""
        return self._one("call-id").strip(LWS)

    @cached_property
    def cseq(self) -> CSeq:
        """CSeq."""
        return CSeq.parse(self._one("cseq"))

    @cached_property
    def from_(self) -> NameAddr:
        """From."""
        return NameAddr.parse(self._one("from"))

    @cached_property
    def to(self) -> NameAddr:
        """To."""
        return NameAddr.parse(self._one("to"))

    @cached_property
    def via(self) -> Via:
        """The topmost Via."""
        return Via.parse(split_outside(self._one("via"), ",")[0])

    @cached_property
    def vias(self) -> list[Via]:
        """All Via values, topmost first."""
        return [Via.parse(value) for value in self.headers.parts("via")]

    @cached_property
    def contacts(self) -> list[NameAddr]:
        """Contact values; empty for none and for `*` (see `contact_is_star`)."""
        if self.contact_is_star:
            return []
        return [NameAddr.parse(value) for value in self.headers.parts("contact")]

    @property
    def contact_is_star(self) -> bool:
        """Whether Contact is `*` (REGISTER, RFC 3261 10.2.2)."""
        return self.headers.all("contact") == ["*"]

    @property
    def record_routes(self) -> list[str]:
        """Record-Route values as received, topmost first."""
        return self.headers.values("record-route")

    @cached_property
    def content_type(self) -> MediaType | None:
        """Content-Type, None when there is none."""
        value = self.headers.first("content-type")
        return MediaType.parse(value) if value is not None else None

    @property
    def max_forwards(self) -> int | None:
        """Max-Forwards; None when absent or absurd (an endpoint does not forward, so neither matters)."""
        return self._small("max-forwards", 255)

    @property
    def retry_after(self) -> int | None:
        """Retry-After in seconds without its comment; None when absent or absurd."""
        return self._small("retry-after", 2**31)

    def _small(self, name: str, largest: int) -> int | None:
        value = self.headers.first(name)
        if value is None:
            return None
        try:
            return parse_number(re.split(r"[;(]", value, maxsplit=1)[0], largest, name, "RFC 3261 20")
        except DecodeError:
            return None

    @cached_property
    def options(self) -> frozenset[str]:
        """Option tags of Supported and Require, in lower case; none where they cannot be read."""
        try:
            values = (*self.headers.values("supported"), *self.headers.values("require"))
        except DecodeError:
            return frozenset()
        return frozenset(value.lower() for value in values)

    def allows(self, method: str) -> bool | None:
        """Whether Allow names `method`; None when there is no Allow, or none that can be read."""
        try:
            named = self.headers.values("allow") if "allow" in self.headers else None
        except DecodeError:
            return None
        return None if named is None else method in named

    @property
    def accept(self) -> list[MediaType] | None:
        """Accept; None when the field is absent, which is not the same as empty (RFC 3261 20.1)."""
        if "accept" not in self.headers:
            return None
        return [MediaType.parse(value) for value in self.headers.values("accept")]


class Request(Message):
    """A request. `uri` is the Request-URI as received."""

    def __init__(self, method: str, uri: str, headers: Headers, body: bytes = b"") -> None:
        super().__init__(headers, body)
        self.method = method
        self.uri = uri

    def _start_line(self) -> str:
        if not is_token(self.method) or not self.uri or _BLANK.search(self.uri) or _UNSENDABLE.search(self.uri):
            raise MisuseError(f"a request {self.method!r} to {self.uri!r} cannot be sent")
        return f"{self.method} {self.uri} SIP/2.0"

    @cached_property
    def target(self) -> Uri:
        """The Request-URI, parsed."""
        return Uri.parse(self.uri)

    @property
    def require(self) -> list[str]:
        """Option tags of Require."""
        return self.headers.values("require")


class Response(Message):
    """A response."""

    def __init__(self, status: int, reason: str, headers: Headers, body: bytes = b"") -> None:
        super().__init__(headers, body)
        self.status = status
        self.reason = reason

    def _start_line(self) -> str:
        if not 100 <= self.status <= 699 or _UNSENDABLE.search(self.reason):
            raise MisuseError(f"a response {self.status} {self.reason!r} cannot be sent")
        return f"SIP/2.0 {self.status} {self.reason}"


def parse_datagram(data: bytes, options: SipOptions) -> Request | Response:
    """Read the one message a datagram holds; octets after its Content-Length are noise.

    Raises MessageError, and nothing else. Costs time linear in the limits of `options`, whatever comes.
    """
    text, whole, body = _split(data, options)
    lines = text.split("\r\n", options.max_headers + 1)
    message, fault = _parse_start_line(lines[0])
    request = message if isinstance(message, Request) else None
    try:
        _read_fields(message.headers, lines[1:], options)
    except DecodeError as why:
        fault = fault or MessageError(why.what, source=why.source)
    if fault is None and not whole:
        fault = MessageError("no blank line after the header fields", source="RFC 3261 7")
    if fault is None and len(lines[0]) > options.max_header_line:  # Limit: 8 KiB
        status = 414 if request is not None else 400
        fault = MessageError("the first line is too long", status, source="RFC 3261 21.4.12")
    if fault is None and len(data) > options.max_message:  # Limit: 64 KiB
        fault = MessageError("message too large", 513, source="RFC 3261 21.5.7")
    if fault is not None:
        fault.request = request
        raise fault
    message.body = _cut_body(message, body)
    return message


def _split(data: bytes, options: SipOptions) -> tuple[str, bool, bytes]:
    """Head as text with unfolded lines, whether its end was found, and the octets after it."""
    start = len(data) - len(data.lstrip(b"\r\n"))  # RFC 3261 7.5: empty lines before the start line are skipped
    limit = start + options.max_head
    end = data.find(b"\r\n\r\n", start, limit)
    head = data[start:end] if end >= 0 else data[start:limit].removesuffix(b"\r\n")
    if b"\r\n " in head or b"\r\n\t" in head:
        head = head.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ")
    if not head.count(b"\r\n") == head.count(b"\n") == head.count(b"\r"):
        raise MessageError("a line break that is not CR LF", source="RFC 3261 7")
    return head.decode("utf-8", "surrogateescape"), end >= 0, data[end + 4 :] if end >= 0 else b""


def _parse_start_line(line: str) -> tuple[Request | Response, MessageError | None]:
    """The message with no header fields yet, and what is wrong with the line if it can still be answered."""
    if line[:4].upper() == "SIP/":
        return _parse_status_line(line), None
    rest, _, version = line.rstrip(" ").rpartition(" ")
    method, _, uri = rest.partition(" ")
    if not is_token(method) or _VERSION.fullmatch(version) is None:
        raise MessageError("not a SIP message", source="RFC 3261 7.1")
    fault = None
    if version.upper() != "SIP/2.0":
        fault = MessageError(f"unknown version {version}", 505, source="RFC 3261 21.5.6")
    elif not uri or " " in uri or line.endswith(" "):
        fault = MessageError("blanks in the request line", source="RFC 3261 7.1")
    return Request(method, uri, Headers()), fault


def _parse_status_line(line: str) -> Response:
    version, _, rest = line.partition(" ")
    code, _, reason = rest.partition(" ")
    if version.upper() != "SIP/2.0" or len(code) != 3 or not (code.isascii() and code.isdigit()):
        raise MessageError("bad status line", source="RFC 3261 7.2")
    if not 100 <= int(code) <= 699:
        raise MessageError("status out of range", source="RFC 3261 7.2")
    return Response(int(code), reason, Headers())


def _read_fields(headers: Headers, lines: list[str], options: SipOptions) -> None:
    """Fill `headers` until the lines end or one is wrong."""
    for line in lines[: options.max_headers]:
        name, colon, value = line[: options.max_header_line].partition(":")
        name = name.rstrip(LWS)
        if not colon or not is_token(name):
            raise DecodeError("a line that is no header field", source="RFC 3261 7.3.1")
        if len(line) > options.max_header_line:  # Limit: 8 KiB
            raise DecodeError(f"header field {name} above {options.max_header_line} octets", source="our limit")
        headers.keep(name, value.strip(LWS))
    if len(lines) > options.max_headers:  # Limit: 256 fields
        raise DecodeError(f"more than {options.max_headers} header fields", source="our limit")
    for name in _LISTS:  # Limit: many fields are one long one (RFC 3261 7.3.1)
        if sum(map(len, headers.all(name))) > options.max_header_line:
            raise DecodeError(f"header fields {name} above {options.max_header_line} octets", source="our limit")


def _cut_body(message: Request | Response, rest: bytes) -> bytes:
    """The body by Content-Length; all that is left when there is none (RFC 3261 18.3)."""
    request = message if isinstance(message, Request) else None
    lengths = message.headers.all("content-length")
    if not lengths:
        return rest
    if len(lengths) > 1:
        raise MessageError("several Content-Length fields", request=request, source="RFC 4475 3.3.9")
    try:
        length = parse_number(lengths[0], 2**32, "Content-Length", "RFC 3261 20.14")
    except DecodeError as why:
        raise MessageError(why.what, request=request, source=why.source) from why
    if length > len(rest):
        raise MessageError("body shorter than Content-Length", request=request, source="RFC 3261 18.3")
    return rest[:length]


def check(message: Request | Response) -> None:
    """Hold a message against the rules that do not depend on who reads it. Raises MessageError.

    Afterwards via, to, from_, call_id, cseq, contacts, record_routes and content_type can be read without fear.
    """
    request = message if isinstance(message, Request) else None
    try:
        _check_fields(message)
    except DecodeError as why:
        raise MessageError(why.what, request=request, source=why.source) from why
    if request is not None and request.cseq.method != request.method:
        # RFC 4475 3.1.2.18: an unknown method is the better reason to refuse.
        status = 400 if request.method in KNOWN_METHODS else 501
        raise MessageError("CSeq names another method", status, request=request, source="RFC 3261 8.1.1.5")


def _check_fields(message: Request | Response) -> None:
    for name in _NEEDED:
        if name not in message.headers:
            raise DecodeError(f"no {name}", source="RFC 3261 8.1.1")
    for name in _ONCE:
        if len(message.headers.all(name)) > 1:
            raise DecodeError(f"several {name} fields", source="RFC 3261 7.3.1")
    _ = (message.via, message.to, message.from_, message.cseq, message.contacts, message.content_type)
    if not message.call_id:
        raise DecodeError("empty Call-ID", source="RFC 3261 20.8")
    for route in message.record_routes:
        NameAddr.parse(route)
    if isinstance(message, Request):
        _ = message.target
        if message.contact_is_star and message.method != "REGISTER":
            raise DecodeError("Contact: * outside REGISTER", source="RFC 3261 10.2.2")
