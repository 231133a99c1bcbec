"""SIP and SDP text for the test peer, written apart from vfax so that a mistake there is not mirrored here.

Owns      `Message` (as little SIP as a fax call needs) and `Media` (one SDP m-line).
Not here  transactions, dialogs and sockets (peer.py).
Source    RFC 3261; RFC 8866; T.38 Annex D for the attributes.
"""

import re
from dataclasses import dataclass, field
from typing import Final, Self

from tests.interop.udptl_plain import Protection

COMPACT: Final = {
    "i": "call-id",
    "m": "contact",
    "v": "via",
    "f": "from",
    "t": "to",
    "c": "content-type",
    "l": "content-length",
}
REASONS: Final = {
    100: "Trying",
    180: "Ringing",
    200: "OK",
    401: "Unauthorized",
    405: "Method Not Allowed",
    407: "Proxy Authentication Required",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    491: "Request Pending",
    603: "Decline",
}


class NotSipError(Exception):
    """The octets are no SIP message."""


@dataclass(frozen=True, slots=True)
class Message:
    """A request or response: its first line, headers in order with lower-case long names, body."""

    first: str
    headers: list[tuple[str, str]]
    body: str = ""

    @classmethod
    def parse(cls, octets: bytes) -> Self:
        """Read one datagram; raises NotSipError."""
        head, blank, body = octets.decode("utf-8", "replace").partition("\r\n\r\n")
        first, *lines = head.split("\r\n")
        if not blank or "SIP/2.0" not in first:
            raise NotSipError(first[:60])
        headers = []
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon:
                raise NotSipError(line[:60])
            name = name.strip().lower()
            headers.append((COMPACT.get(name, name), value.strip()))
        return cls(first, headers, body)

    def get(self, name: str) -> str:
        """The first header of that (lower-case) name, or an empty text."""
        return next((value for key, value in self.headers if key == name), "")

    def all(self, name: str) -> list[str]:
        """All headers of that name."""
        return [value for key, value in self.headers if key == name]

    def listed(self, name: str) -> list[str]:
        """All values of a header that may hold several, one each."""
        return [part.strip() for value in self.all(name) for part in value.split(",")]

    @property
    def status(self) -> int:
        """Status of a response, 0 for a request."""
        return int(self.first.split(" ")[1]) if self.first.startswith("SIP/2.0 ") else 0

    @property
    def method(self) -> str:
        """Method: of the request itself, or of the request that a response answers."""
        return self.get("cseq").split()[-1] if self.status else self.first.split(" ")[0]

    @property
    def cseq(self) -> int:
        """The CSeq number."""
        return int(self.get("cseq").split()[0])

    @property
    def branch(self) -> str:
        """Branch of the topmost Via."""
        return parameter(self.get("via").split(",")[0], "branch")


def parameter(value: str, name: str) -> str:
    """A ;name=value parameter behind the address, or an empty text."""
    found = re.search(rf";\s*{name}\s*=\s*([^;,\s>]+)", value.rpartition(">")[2] or value, re.IGNORECASE)
    return found.group(1) if found else ""


def address_uri(value: str) -> str:
    """The URI inside a From, To, Contact or Record-Route value."""
    inside = re.search(r"<([^>]*)>", value)
    return inside.group(1) if inside else value.split(";")[0].strip()


def uri_parameter(uri: str, name: str) -> str:
    """A ;name=value parameter of a URI, or an empty text."""
    found = re.search(rf";{name}=([^;?>\s]+)", uri, re.IGNORECASE)
    return found.group(1) if found else ""


def host_port(uri: str) -> tuple[str, int]:
    """Host and port of a SIP URI (IPv4 or name)."""
    place = uri.split(":", 1)[1].rpartition("@")[2].split(";")[0].split("?")[0]
    host, _, port = place.partition(":")
    return host, int(port or 5060)


def compose(first: str, headers: list[tuple[str, str]], body: str = "") -> bytes:
    """The octets of a message; content headers are added."""
    lines = [first, *(f"{name}: {value}" for name, value in headers)]
    if body:
        lines.append("Content-Type: application/sdp")
    lines.append(f"Content-Length: {len(body.encode())}")
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def respond(request: Message, status: int, extra: list[tuple[str, str]], body: str = "", *, tag: str = "") -> bytes:
    """A response to `request`; `tag` goes into To where there is none yet."""
    to = request.get("to")
    if tag and status > 100 and not parameter(to, "tag"):
        to += f";tag={tag}"
    headers = [("Via", via) for via in request.all("via")]
    headers += [("Record-Route", route) for route in request.all("record-route")]
    headers += [("From", request.get("from")), ("To", to)]
    headers += [("Call-ID", request.get("call-id")), ("CSeq", request.get("cseq")), *extra]
    return compose(f"SIP/2.0 {status} {REASONS.get(status, 'Unknown')}", headers, body)


@dataclass(frozen=True, slots=True)
class Media:
    """One m-line: where to send, what it is, its attributes (lower-case names)."""

    kind: str
    host: str
    port: int
    protocol: str
    formats: str
    attributes: dict[str, str] = field(default_factory=dict)

    @property
    def live_image(self) -> bool:
        """Is this fax over UDPTL that can be used?"""
        return self.kind == "image" and self.port > 0 and self.protocol.lower() == "udptl"

    @property
    def live_audio(self) -> bool:
        """Is this audio that can be used?"""
        return self.kind == "audio" and self.port > 0


def parse_sdp(text: str) -> list[Media]:
    """All m-lines of a session description."""
    session_host = ""
    media: list[Media] = []
    for line in text.replace("\r\n", "\n").split("\n"):
        key, _, value = line.partition("=")
        if key == "m":
            kind, port, protocol, formats = value.split(" ", 3)
            media.append(Media(kind.lower(), session_host, int(port.split("/")[0]), protocol, formats))
        elif key == "c":
            host = value.split()[-1]
            if media:
                last = media.pop()
                media.append(Media(last.kind, host, last.port, last.protocol, last.formats, last.attributes))
            else:
                session_host = host
        elif key == "a" and media:
            name, _, setting = value.partition(":")
            media[-1].attributes[name.strip().lower()] = setting.strip()
    return media


def write_sdp(host: str, version: int, media: list[str]) -> str:
    """A session description around m-lines (each with its attributes)."""
    return f"v=0\r\no=- 4711 {version} IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n" + "".join(media)


def audio_line(port: int) -> str:
    """G.711, both laws."""
    return f"m=audio {port} RTP/AVP 0 8\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=ptime:20\r\n"


def image_line(port: int, *, version: int, max_bit_rate_bps: int, protection: Protection) -> str:
    """T.38 over UDPTL."""
    lines = [
        f"m=image {port} udptl t38",
        f"a=T38FaxVersion:{version}",
        f"a=T38MaxBitRate:{max_bit_rate_bps}",
        "a=T38FaxRateManagement:transferredTCF",
        "a=T38FaxMaxBuffer:1800",
        "a=T38FaxMaxDatagram:400",
        f"a=T38FaxUdpEC:{protection.value}",
    ]
    return "\r\n".join(lines) + "\r\n"


def declined_line(media: Media) -> str:
    """The same m-line with port 0."""
    return f"m={media.kind} 0 {media.protocol} {media.formats}\r\n"
