"""Typed views of header field values: URI, name-addr, Via, CSeq and their kin.

Owns      reading one value that was kept as it came; nothing here is ever written back (copy, never re-render).
Not here  which header fields a message needs (message.py), SDP (sdp.py).
Source    RFC 3261 (June 2002) 19.1, 20, 25.1; RFC 3966 (tel); RFC 5118 (IPv6 in SIP); RFC 3581 (rport).

Every parser raises DecodeError, and nothing else, for any text.
"""

import ipaddress
import re
from dataclasses import dataclass, replace
from typing import Final, Self

from vfax.errors import DecodeError
from vfax.transports.sip.syntax import (
    LWS,
    MAX_PARTS,
    end_of_quoted,
    is_token,
    parse_number,
    split_outside,
    unescape,
    unquote,
)
from vfax.transports.sip.values import Address

SIP_PORT: Final = 5060
SIPS_PORT: Final = 5061
MAX_CSEQ: Final = 2**32 - 1  # RFC 3261 20.16; we ourselves stay below 2**31 (8.1.1.5)

_HOST: Final = re.compile(r"[A-Za-z0-9_.-]+")
_IPV6: Final = re.compile(r"[0-9A-Fa-f:.]+")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_PLAIN_TAIL: Final = re.compile(r"(?:;[A-Za-z0-9.!%*_+`'~-]++(?:=[^;\s\"<]*+)?+)++")
_NOT_IN_URI: Final = re.compile(r"[\x00-\x20\x7f<>\"]")
_NOT_IN_NAME: Final = re.compile(r'[\x00-\x08\x0a-\x1f\x7f",;:<>@\\]')


@dataclass(frozen=True, slots=True)
class Parameters:
    """`;name=value` pairs in their order, as received; a flag has the value None. Names compare without case."""

    items: tuple[tuple[str, str | None], ...] = ()

    @classmethod
    def parse(cls, parts: list[str], source: str) -> Self:
        """Read the parts between semicolons. An empty part or a name that is no token is an error."""
        return cls(tuple(_parse_parameter(part, source) for part in parts))

    @classmethod
    def parse_tail(cls, text: str, source: str) -> Self:
        """Read `;name=value;...`, all that follows a value; nothing at all is well, too."""
        text = text.strip(LWS)
        if not text:
            return cls()
        if text[0] != ";":
            raise DecodeError("text after the value", source=source)
        if _PLAIN_TAIL.fullmatch(text) is None or text.count(";") > MAX_PARTS:
            return cls.parse(split_outside(text[1:], ";"), source)
        pairs = (part.partition("=") for part in text[1:].split(";"))  # as above, in a third of the time
        return cls(tuple((name, value if equals else None) for name, equals, value in pairs))

    def __contains__(self, name: str) -> bool:
        return any(key.lower() == name for key, _ in self.items)

    def get(self, name: str) -> str | None:
        """The value of the first parameter `name` (lower case), unquoted; "" for a flag, None when it is not there."""
        for key, value in self.items:
            if key.lower() == name:
                return unquote(value) if value is not None else ""
        return None


def _parse_parameter(part: str, source: str) -> tuple[str, str | None]:
    name, equals, value = part.partition("=")
    name, value = name.rstrip(LWS), value.lstrip(LWS)
    if not is_token(name):
        raise DecodeError("parameter without a name", source=source)
    if not equals:
        return name, None
    if value.startswith('"') and end_of_quoted(value, 0) != len(value):
        raise DecodeError(f"text after the quoted value of {name}", source=source)
    return name, value


@dataclass(frozen=True, slots=True)
class Uri:
    """A URI. `text` is what came. sip, sips and tel are taken apart, every other scheme stays opaque.

    `user` is still escaped and without the password, None when there is none; for tel it is the number.
    `host` has no brackets and is empty for other schemes. `headers` is what follows the question mark.
    """

    text: str
    scheme: str
    user: str | None = None
    host: str = ""
    port: int | None = None
    parameters: Parameters = Parameters()
    headers: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an absolute URI; no blanks, no brackets around it."""
        scheme, colon, rest = text.partition(":")
        if not colon or not rest or _SCHEME.fullmatch(scheme) is None or _NOT_IN_URI.search(text):
            raise DecodeError("not a URI", source="RFC 3261 19.1.1")
        scheme = scheme.lower()
        if scheme == "tel":
            number, *parts = split_outside(rest, ";")
            return cls(text, scheme, number, parameters=_uri_parameters(parts))
        if scheme in ("sip", "sips"):
            return cls._parse_sip(text, scheme, rest)
        return cls(text, scheme)

    @classmethod
    def _parse_sip(cls, text: str, scheme: str, rest: str) -> Self:
        userinfo, at, place = rest.rpartition("@")
        if "@" in userinfo or (at and not userinfo):
            raise DecodeError("a SIP URI has one '@', after a user part", source="RFC 3261 19.1.1")
        place, _, headers = place.partition("?")
        hostport, *parts = split_outside(place, ";")
        host, port = parse_hostport(hostport)
        user = userinfo.partition(":")[0] if at else None
        return cls(text, scheme, user, host, port, _uri_parameters(parts), headers)

    @property
    def user_text(self) -> str:
        """The user part with its escapes resolved once, "" when there is none."""
        return unescape(self.user) if self.user else ""

    @property
    def loose(self) -> bool:
        """Whether the lr parameter is there (RFC 3261 19.1.1)."""
        return any(unescape(name).lower() == "lr" for name, _ in self.parameters.items)

    def numeric_address(self) -> Address | None:
        """Where to send without asking the DNS: maddr or host if numeric, with the port or its default."""
        host = (self.parameters.get("maddr") or self.host).strip("[]")
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return None
        named = (self.parameters.get("transport") or "").lower()
        return host, self.port or (SIPS_PORT if self.scheme == "sips" or named == "tls" else SIP_PORT)


def _uri_parameters(parts: list[str]) -> Parameters:
    pairs = (part.partition("=") for part in parts)
    # Deviation: empty parts (`;;`) are skipped; equipment writes `sip:1@host;` with nothing after it.
    return Parameters(tuple((name, value if equals else None) for name, equals, value in pairs if name))


def parse_hostport(text: str) -> tuple[str, int | None]:
    """`host[:port]`, blanks round the colon allowed. An IPv6 address needs its brackets; they are taken off.

    The address inside brackets is only checked for its characters: three colons are taken (RFC 5118 4.5).
    """
    text = text.strip(LWS)
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        known = bool(bracket) and _IPV6.fullmatch(host) is not None
    else:
        host, colon, port = text.partition(":")
        host, rest = host.rstrip(LWS), colon + port
        known = _HOST.fullmatch(host) is not None
    rest = rest.strip(LWS)
    if not known or (rest and rest[0] != ":"):
        raise DecodeError("bad host", source="RFC 3261 25.1 hostport")
    return host, parse_number(rest[1:], 65535, "port", "RFC 3261 25.1 hostport") if rest else None


def bracketed(host: str) -> str:
    """A host as it stands in a URI: IPv6 in brackets, which it may have already."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


@dataclass(frozen=True, slots=True)
class NameAddr:
    """From, To, Contact, Route ...: a display name (unquoted), a URI and the parameters of the header field."""

    name: str
    uri: Uri
    parameters: Parameters

    @classmethod
    def parse(cls, value: str) -> Self:
        """Read name-addr or addr-spec. In the second form `;` begins header parameters and `?`, `,` are refused."""
        value = value.strip(LWS)
        source = "RFC 3261 20.10"
        if value.startswith('"'):
            end = end_of_quoted(value, 0)
            name, rest = unquote(value[:end]), value[end:].lstrip(LWS)
            if not rest.startswith("<"):
                raise DecodeError("a display name without <URI>", source=source)
        else:
            name, angle, rest = value.partition("<")
            rest = angle + rest
            if not angle:
                return cls._parse_bare(value, source)
            if _NOT_IN_NAME.search(name):
                raise DecodeError("a display name that needs quotes", source=source)
        inside, closed, after = rest[1:].partition(">")
        if not closed:
            raise DecodeError("'<' without '>'", source=source)
        return cls(name.strip(LWS), Uri.parse(inside), Parameters.parse_tail(after, source))

    @classmethod
    def _parse_bare(cls, value: str, source: str) -> Self:
        spec, semicolon, tail = value.partition(";")
        if "?" in spec or "," in spec:
            raise DecodeError("a URI that needs <>", source=source)
        return cls("", Uri.parse(spec.rstrip(LWS)), Parameters.parse_tail(semicolon + tail, source))

    @property
    def tag(self) -> str:
        """The tag, "" when there is none (RFC 2543 peers)."""
        return self.parameters.get("tag") or ""


@dataclass(frozen=True, slots=True)
class Via:
    """One Via value. `parts` are the parameters as received, so that the value can be stamped without re-rendering."""

    transport: str  # upper case
    host: str
    port: int | None
    parameters: Parameters
    head: str
    parts: tuple[str, ...]

    @classmethod
    def parse(cls, value: str) -> Self:
        """Read `SIP/2.0/UDP host:port;branch=...`; blanks may stand round every separator."""
        source = "RFC 3261 20.42"
        head, *parts = split_outside(value, ";")
        name, _, rest = head.partition("/")
        version, _, rest = rest.partition("/")
        transport, _, sent_by = rest.strip(LWS).replace("\t", " ").partition(" ")
        if name.strip(LWS).upper() != "SIP" or version.strip(LWS) != "2.0" or not is_token(transport):
            raise DecodeError("bad Via", source=source)
        host, port = parse_hostport(sent_by)
        return cls(transport.upper(), host, port, Parameters.parse(parts, source), head, tuple(parts))

    @property
    def branch(self) -> str:
        """The branch, "" when there is none."""
        return self.parameters.get("branch") or ""

    @property
    def received(self) -> str:
        """The received address without brackets, "" when there is none (RFC 5118 4.5 shows both spellings)."""
        return (self.parameters.get("received") or "").strip("[]")

    @property
    def sent_by(self) -> tuple[str, int]:
        """Host in lower case and port with its default: the part of the transaction key."""
        return self.host.lower(), self.port or SIP_PORT

    def stamped(self, source: Address) -> Self:
        """This with received (and rport where asked for) set to `source` (RFC 3261 18.2.1, RFC 3581 4).

        What the peer wrote has been counted; what we add may go beyond that limit.
        """
        asked = "rport" in self.parameters
        kept = [part for part in self.parts if _name_of(part) not in ("received", "rport")]
        if asked or self.host.lower() != source[0].lower():
            kept.append(f"received={source[0]}")
        if asked:
            kept.append(f"rport={source[1]}")
        return replace(self, parameters=Parameters.parse(kept, "RFC 3261 20.42"), parts=tuple(kept))

    @property
    def value(self) -> str:
        """As it stands in a message."""
        return ";".join([self.head, *self.parts])


def _name_of(part: str) -> str:
    return part.partition("=")[0].rstrip(LWS).lower()


@dataclass(frozen=True, slots=True)
class CSeq:
    """Sequence number and method."""

    number: int
    method: str

    @classmethod
    def parse(cls, value: str) -> Self:
        """Read `4711 INVITE`; the number is at most 2**32 - 1."""
        number, *method = value.split(None, 1)[:2] or [""]
        if not method or not is_token(method[0].strip(LWS)):
            raise DecodeError("CSeq without a method", source="RFC 3261 20.16")
        return cls(parse_number(number, MAX_CSEQ, "CSeq", "RFC 3261 20.16"), method[0].strip(LWS))


@dataclass(frozen=True, slots=True)
class MediaType:
    """Content-Type, or one value of Accept. Lower case; `*` where anything goes."""

    type: str
    subtype: str
    parameters: Parameters

    @classmethod
    def parse(cls, value: str) -> Self:
        """Read `application/sdp;charset=...`."""
        source = "RFC 3261 20.15"
        head, *parts = split_outside(value, ";")
        kind, slash, subtype = head.partition("/")
        kind, subtype = kind.strip(LWS).lower(), subtype.strip(LWS).lower()
        if not slash or not is_token(kind) or not is_token(subtype):
            raise DecodeError("bad media type", source=source)
        return cls(kind, subtype, Parameters.parse(parts, source))

    @property
    def name(self) -> str:
        """`type/subtype`."""
        return f"{self.type}/{self.subtype}"

    def admits(self, name: str) -> bool:
        """Whether this range of Accept covers the media type `name`."""
        return self.name in (name, "*/*", name.partition("/")[0] + "/*")
