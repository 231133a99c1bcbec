"""SDP: octets to `Description` and back, and the T.38 attributes.

Owns      the lossless line model, typed views of m= and c=, limits, the spelling of every T.38 attribute.
Not here  who may answer what to which offer (negotiation.py); what the values mean on the wire (udptl.py, t38.py).
Source    RFC 8866 (grammar); T.38 (09/2010) Annex D and RFC 5347 (attributes); field variants as deployed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final, TypeVar

from vfax.errors import DecodeError, MisuseError
from vfax.transports.parameters import ErrorCorrection, RateManagement, T38Parameters, Transport

Line = tuple[str, str]
"""One line: its type letter and everything behind the equals sign, untouched."""

_V = TypeVar("_V")

RFC: Final = "RFC 8866"
BIT_RATES: Final = (2400, 4800, 7200, 9600, 12000, 14400, 33600)
MAX_NUMBER_DIGITS: Final = 5
LARGEST_NUMBER: Final = 65535
LARGEST_DATAGRAM: Final = 1400
EMPTY_LINES: Final = 4
"""Limit: line breaks for each line that may be there; some peers end each line twice."""
MAX_FORMATS: Final = 32
"""Limit: formats of one m= line that are looked at; the line itself is kept whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SdpLimits:
    """What we refuse to read.

    Limit: 8192 octets, 300 lines, 16 media lines; a T.38 offer has about 400 octets, 16 lines and 2 media lines.
    """

    octets: int = 8192
    lines: int = 300
    media: int = 16


DEFAULT_LIMITS: Final = SdpLimits()


class Setup(StrEnum):
    """a=setup: which end opens the connection (RFC 4145 4)."""

    ACTIVE = "active"
    PASSIVE = "passive"
    ACTPASS = "actpass"
    HOLDCONN = "holdconn"


SETUPS: Final = {one.value: one for one in Setup}


@dataclass(frozen=True, slots=True)
class Media:
    """One media description: its lines (the m= line first) and that line's fields as they were written.

    `port` is 0 for a declined stream and for a port that is no number up to 65535: such a line is unusable, but
    spoils no other. `count` is the number behind the port (`4000/2`), 1 when absent.
    """

    lines: tuple[Line, ...]
    kind: str
    port: int
    count: int
    proto: str
    formats: tuple[str, ...]

    @classmethod
    def of(cls, lines: Sequence[Line], *, offset: int = 0) -> "Media":
        """Read the m= line, split on any blanks. Raises DecodeError when media, port or protocol is missing."""
        fields = lines[0][1].split(None, 3 + MAX_FORMATS)
        if len(fields) < 3:
            raise DecodeError("m= line without media, port and protocol", offset=offset, source=f"{RFC} 5.14")
        port, _, count = fields[1].partition("/")
        return cls(
            tuple(lines),
            fields[0],
            number(port) or 0,
            (number(count) or 1) if count else 1,
            fields[2],
            tuple(fields[3 : 3 + MAX_FORMATS]),
        )

    @property
    def is_audio(self) -> bool:
        """True for audio over plain RTP (AVP or AVPF)."""
        return self.kind.lower() == "audio" and self.proto.upper() in ("RTP/AVP", "RTP/AVPF")

    @property
    def is_udptl(self) -> bool:
        """True for T.38 over UDPTL as it should be written; a missing format is overlooked."""
        return self.kind.lower() == "image" and self.proto.lower() == "udptl" and (self._has_t38 or not self.formats)

    @property
    def is_odd_t38(self) -> bool:
        """True for T.38 over UDPTL as it should not be written: `image ... RTP/AVP t38`, `application ... udptl t38`.

        Quirk: seen from a media proxy and from multifunction machines; they mean UDPTL.
        """
        if not self._has_t38 or self.is_udptl:
            return False
        kind, proto = self.kind.lower(), self.proto.lower()
        return (kind == "image" and proto == "rtp/avp") or (kind == "application" and proto in ("udptl", "rtp/avp"))

    @property
    def is_tcp_t38(self) -> bool:
        """True for T.38 in TPKT over TCP; a missing format is overlooked."""
        return self.kind.lower() == "image" and self.proto.lower() == "tcp" and (self._has_t38 or not self.formats)

    @property
    def is_dtls_t38(self) -> bool:
        """True for T.38 in UDPTL over DTLS (RFC 7345); a missing format is overlooked."""
        proto = self.proto.upper()
        return self.kind.lower() == "image" and proto == "UDP/TLS/UDPTL" and (self._has_t38 or not self.formats)

    @property
    def setup(self) -> Setup | None:
        """Who connects (a=setup, RFC 4145 4); None when it does not say, or says what nobody knows."""
        return _setup(self.lines)

    @property
    def _has_t38(self) -> bool:
        return any(one.lower() == "t38" for one in self.formats)


@dataclass(frozen=True, slots=True)
class Description:
    """One session description, line for line: `session` stands before the first m= line."""

    session: tuple[Line, ...]
    media: tuple[Media, ...]

    @classmethod
    def decode(cls, octets: bytes, limits: SdpLimits = DEFAULT_LIMITS) -> "Description":
        """Parse; bare LF, a missing last line end and empty lines are tolerated, unknown lines are kept.

        Octets that are no UTF-8 survive as lone surrogates. Raises DecodeError, and nothing else, for any input.
        """
        blocks = _blocks(octets, limits)
        session, *media = blocks
        return cls(tuple(session.lines), tuple(Media.of(block.lines, offset=block.offset) for block in media))

    def encode(self) -> bytes:
        """Every line in its order, ended by CRLF. Raises MisuseError for a value that would break out of its line."""
        text = [f"{kind}={value}" for lines in (self.session, *(m.lines for m in self.media)) for kind, value in lines]
        if any(_breaks_out(line) for line in text):
            raise MisuseError("an SDP value holds a line end or NUL")
        return ("\r\n".join(text) + "\r\n").encode("utf-8", "surrogateescape")

    def host(self, media: Media) -> str | None:
        """The numeric address of `media`: its own c= line, else the session's; None when there is none we can use.

        Limit: of several c= lines at one level the first counts; host names are not resolved, zone identifiers and
        multicast are refused. An IPv4-mapped IPv6 address comes back as IPv4. The unspecified address (0.0.0.0 or
        ::), which means "on hold", is returned as it is.
        """
        for lines in (media.lines, self.session):
            for kind, value in lines:
                if kind == "c":
                    return parse_connection(value)
        return None

    def direction(self, media: Media) -> str:
        """`sendrecv`, `sendonly`, `recvonly` or `inactive`: of the media, else of the session, else sendrecv."""
        for lines in (media.lines, self.session):
            for name, value in attributes(lines):
                if value is None and name in ("sendrecv", "sendonly", "recvonly", "inactive"):
                    return name
        return "sendrecv"

    def t38(self, media: Media) -> T38Parameters:
        """The T.38 attributes of `media`; what it does not say may stand at session level."""
        transport = Transport.DTLS if media.is_dtls_t38 else Transport.UDPTL
        return parse_t38((*media.lines, *self.session), Transport.TCP if media.is_tcp_t38 else transport)


@dataclass(slots=True)
class _Block:
    offset: int
    lines: list[Line]


def _blocks(octets: bytes, limits: SdpLimits) -> list[_Block]:
    """Split into the session's lines and those of each media; bounds are checked before anything is kept."""
    if len(octets) > limits.octets:
        raise DecodeError(f"SDP of {len(octets)} octets, at most {limits.octets}", offset=limits.octets)
    if octets.count(b"\n") > EMPTY_LINES * limits.lines:  # before each of them is looked at
        raise DecodeError(f"more than {limits.lines} SDP lines")
    blocks = [_Block(0, [])]
    count = 0
    for offset, raw in _raw_lines(octets):
        count += 1
        if count > limits.lines:
            raise DecodeError(f"more than {limits.lines} SDP lines", offset=offset)
        line = _line(raw, offset)
        if count == 1 and line[0] != "v":
            raise DecodeError("SDP does not begin with v=", offset=offset, source=f"{RFC} 5.1")
        if line[0] == "m":
            if len(blocks) > limits.media:
                raise DecodeError(f"more than {limits.media} m= lines", offset=offset)
            blocks.append(_Block(offset, []))
        blocks[-1].lines.append(line)
    if count == 0:
        raise DecodeError("empty SDP", source=f"{RFC} 5")
    return blocks


def _raw_lines(octets: bytes) -> Iterator[tuple[int, bytes]]:
    """Each line that is not empty, with its offset and without its line end."""
    offset = 0
    for raw in octets.split(b"\n"):
        line = raw[:-1] if raw.endswith(b"\r") else raw
        if line.strip():
            yield offset, line
        offset += len(raw) + 1


def _line(raw: bytes, offset: int) -> Line:
    if len(raw) < 2 or raw[1] != 0x3D or not 0x61 <= raw[0] | 0x20 <= 0x7A:
        raise DecodeError("not an SDP line", offset=offset, source=f"{RFC} 5")
    text = raw.decode("utf-8", "surrogateescape")
    if _breaks_out(text):
        raise DecodeError("CR or NUL inside an SDP line", offset=offset, source=f"{RFC} 9")
    return text[0], text[2:]


def _breaks_out(text: str) -> bool:
    return "\r" in text or "\n" in text or "\0" in text


# --- views of single values ----------------------------------------------------------------------


def number(text: str) -> int | None:
    """A plain decimal number from 0 to 65535, or None: signs, other digits and absurd sizes are no number."""
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit()):
        return None
    digits = digits.lstrip("0") or "0"
    if len(digits) > MAX_NUMBER_DIGITS or int(digits) > LARGEST_NUMBER:
        return None
    return int(digits)


def parse_connection(value: str) -> str | None:
    """The host of `IN IP4 192.0.2.1` or `IN IP6 2001:db8::1`; the address itself decides the family."""
    fields = value.split()
    if len(fields) < 3 or fields[0].upper() != "IN":
        return None
    return parse_host(fields[2].partition("/")[0])


def parse_host(text: str) -> str | None:
    """A usable unicast (or unspecified) address in its canonical spelling, else None."""
    try:
        if ":" not in text:
            v4 = IPv4Address(text)
            return None if v4.is_multicast or v4 == IPv4Address("255.255.255.255") else str(v4)
        v6 = IPv6Address(text.removeprefix("[").removesuffix("]"))
    except AddressValueError:
        return None
    if v6.ipv4_mapped is not None:
        return parse_host(str(v6.ipv4_mapped))
    return None if v6.is_multicast or v6.scope_id is not None else str(v6)


def format_connection(host: str) -> str:
    """`IN IP4 host` or `IN IP6 host`."""
    return f"IN IP{6 if ':' in host else 4} {host}"


def attributes(lines: Sequence[Line]) -> Iterator[tuple[str, str | None]]:
    """Every a= line as (lower-case name, trimmed value or None)."""
    for kind, text in lines:
        if kind == "a":
            name, colon, value = text.partition(":")
            yield name.strip().lower(), value.strip() if colon else None


def setup_of(sdp: Description, media: Media) -> Setup | None:
    """Who begins (a=setup): of the media, else of the session."""
    return media.setup or _setup(sdp.session)


def _setup(lines: Sequence[Line]) -> Setup | None:
    for name, value in attributes(lines):
        if name == "setup" and value is not None:
            return SETUPS.get(value.lower())
    return None


# --- T.38 attributes -----------------------------------------------------------------------------

NAMES: Final[dict[str, str]] = {
    "t38faxversion": "version",
    "t38maxbitrate": "rate",
    "t38faxmaxbitrate": "rate",  # Quirk: both this and the next are older spellings that gateways still use
    "t38faxmaxrate": "rate",
    "t38faxratemanagement": "management",
    "t38faxfillbitremoval": "fill",
    "t38faxtranscodingmmr": "mmr",
    "t38faxtranscodingjbig": "jbig",
    "t38faxmaxbuffer": "buffer",
    "t38faxmaxdatagram": "datagram",
    "t38maxdatagram": "datagram",
    "t38faxudpec": "correction",
}
"""Attribute names as read (lower case) and what each one tells (RFC 5347 2.5.2: case does not matter)."""

MANAGEMENTS: Final[dict[str, RateManagement]] = {
    "transferredtcf": RateManagement.TRANSFERRED_TCF,
    "localtcf": RateManagement.LOCAL_TCF,
    "localtfc": RateManagement.LOCAL_TCF,  # Quirk: a slip of one media proxy
}
CORRECTIONS: Final[dict[str, ErrorCorrection]] = {one.value.lower(): one for one in ErrorCorrection}
DEFAULTS: Final = T38Parameters()


def parse_t38(lines: Sequence[Line], transport: Transport = Transport.UDPTL) -> T38Parameters:
    """Read the T.38 attributes among `lines`; of an attribute said twice, the first value we understand counts.

    What is missing, absurd or unknown leaves the default of `T38Parameters`, and local TCF over TCP. Never raises.
    """
    management = RateManagement.LOCAL_TCF if transport is Transport.TCP else DEFAULTS.rate_management
    heard: dict[str, list[str | None]] = {}
    for name, value in attributes(lines):
        meaning = NAMES.get(name)
        if meaning is not None:
            heard.setdefault(meaning, []).append(value)
    return T38Parameters(
        version=_first_number(heard, "version") or 0,
        max_bit_rate_bps=_bit_rate(_first_number(heard, "rate")),
        rate_management=_first_known(heard, "management", MANAGEMENTS, management),
        fill_bit_removal=_flag(heard, "fill"),
        transcoding_mmr=_flag(heard, "mmr"),
        transcoding_jbig=_flag(heard, "jbig"),
        max_buffer=_first_number(heard, "buffer") or None,
        max_datagram=_datagram(_first_number(heard, "datagram")),
        error_correction=_first_known(heard, "correction", CORRECTIONS, DEFAULTS.error_correction),
        transport=transport,
    )


def format_t38(parameters: T38Parameters, *, explicit_flags: bool = False) -> tuple[Line, ...]:
    """The a= lines of one end. Flags that are on have no value, flags that are off do not appear.

    With `explicit_flags` each flag is written `:1` or `:0` instead, for the few peers that insist.
    """
    p = parameters
    lines = [f"T38FaxVersion:{p.version}", f"T38MaxBitRate:{p.max_bit_rate_bps}"]
    for name, value in (
        ("T38FaxFillBitRemoval", p.fill_bit_removal),
        ("T38FaxTranscodingMMR", p.transcoding_mmr),
        ("T38FaxTranscodingJBIG", p.transcoding_jbig),
    ):
        if explicit_flags:
            lines.append(f"{name}:{int(value)}")
        elif value:
            lines.append(name)
    lines.append(f"T38FaxRateManagement:{p.rate_management.value}")
    if p.max_buffer is not None:
        lines.append(f"T38FaxMaxBuffer:{p.max_buffer}")
    if p.transport is Transport.TCP:  # no datagrams, and nothing is lost
        return tuple(("a", line) for line in lines)
    if p.max_datagram is not None:
        lines.append(f"T38FaxMaxDatagram:{p.max_datagram}")
    lines.append(f"T38FaxUdpEC:{p.error_correction.value}")
    return tuple(("a", line) for line in lines)


def _first_number(heard: dict[str, list[str | None]], meaning: str) -> int | None:
    values = (number(value) for value in heard.get(meaning, ()) if value is not None)
    return next((value for value in values if value is not None), None)


def _first_known(heard: dict[str, list[str | None]], meaning: str, known: dict[str, _V], default: _V) -> _V:
    values = (known.get(value.lower()) for value in heard.get(meaning, ()) if value is not None)
    return next((value for value in values if value is not None), default)


def _flag(heard: dict[str, list[str | None]], meaning: str) -> bool:
    """On when named without a value or with 1. Deviation: later T.38 texts read `:0` as on; off is always harmless."""
    if meaning not in heard:
        return False
    value = heard[meaning][0]
    return value is None or value.lower() in ("", "1", "true", "yes", "on")


def _bit_rate(value: int | None) -> int:
    """The rate of the table not above `value`; what is absent or 0 counts as 14400."""
    if not value:
        return DEFAULTS.max_bit_rate_bps
    return max((rate for rate in BIT_RATES if rate <= value), default=BIT_RATES[0])


def _datagram(value: int | None) -> int | None:
    """Limit: 0 and anything above 1400 octets says nothing (AST-2010-001 was a crash on such values)."""
    return value if value and value <= LARGEST_DATAGRAM else None
