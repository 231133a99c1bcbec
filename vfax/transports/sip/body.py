"""Finding the SDP in a message.

Owns      Content-Type, Content-Encoding and Content-Disposition as far as they decide whether a body is ours to read;
          the one level of multipart that carriers send (SDP beside ISUP).
Not here  what the SDP says (sdp.py).
Source    RFC 3261 (June 2002) 8.2.3, 20.11; RFC 2046 5.1 (multipart).
"""

from typing import Final

from vfax.errors import DecodeError
from vfax.transports.sip.headers import MediaType
from vfax.transports.sip.message import Message

SDP: Final = "application/sdp"
MAX_BODY_PARTS: Final = 8  # Limit: parts of a multipart body that are looked at


def sdp_of(message: Message) -> bytes | None:
    """The session description: b"" when there is no body, None when there is a body we cannot read.

    A body marked `handling=optional` that we cannot read counts as none (RFC 3261 20.11). Raises DecodeError when the
    Content-Type is missing or malformed.
    """
    if not message.body:
        return b""
    kind = message.content_type
    if kind is None:
        raise DecodeError("a body without Content-Type", source="RFC 3261 20.15")
    encoding = message.headers.first("content-encoding")
    found = None
    if encoding is None or encoding.lower() == "identity":
        found = message.body if kind.name == SDP else _sdp_part(message.body, kind)
    return b"" if found is None and _is_optional(message) else found


def _is_optional(message: Message) -> bool:
    disposition = message.headers.first("content-disposition") or ""
    return "handling=optional" in disposition.replace(" ", "").lower()


def _sdp_part(body: bytes, kind: MediaType) -> bytes | None:
    boundary = kind.parameters.get("boundary")
    if kind.type != "multipart" or not boundary:
        return None
    delimiter = b"--" + boundary.encode("utf-8", "surrogateescape")
    for part in (b"\r\n" + body).split(b"\r\n" + delimiter, MAX_BODY_PARTS)[1:]:
        head, blank, content = part.partition(b"\r\n\r\n")
        if blank and SDP.encode() in head.lower():
            return content
    return None
