"""IFP: the packets of T.38, octets to values and back, in all versions (0 to 3).

Owns      indicators, data types and field types with their numbers and printed names; strict aligned PER, the
          octet-aligned dialect of deployed encoders, packets with the padding that FEC leaves, TPKT framing.
Not here  sequence numbers and redundancy (transports/udptl.py), what a burst is made of (transports/t38.py).
Source    T.38 (09/2010) Annex A (ASN.1); version 0 is the syntax of T.38 (06/1998). Encodings checked against vectors
          that two independent implementations agree on (tests/data/t38_vectors.json).

Two layers: `decode`/`encode` speak in values; `read_indicator`, `read_data`, `pack_field` and their kin speak in plain
numbers and are what the packet path uses.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from vfax.codecs import per
from vfax.errors import DecodeError, MisuseError

_SOURCE: Final = "T.38 (09/2010) Annex A"
LATEST_VERSION: Final = 3
MAX_FIELD_OCTETS: Final = 65535


class Indicator(IntEnum):
    """t30-indicator; 16 and up are extensions of version 3."""

    NO_SIGNAL = 0
    CNG = 1
    CED = 2
    V21_PREAMBLE = 3
    V27_2400_TRAINING = 4
    V27_4800_TRAINING = 5
    V29_7200_TRAINING = 6
    V29_9600_TRAINING = 7
    V17_7200_SHORT_TRAINING = 8
    V17_7200_LONG_TRAINING = 9
    V17_9600_SHORT_TRAINING = 10
    V17_9600_LONG_TRAINING = 11
    V17_12000_SHORT_TRAINING = 12
    V17_12000_LONG_TRAINING = 13
    V17_14400_SHORT_TRAINING = 14
    V17_14400_LONG_TRAINING = 15
    V8_ANSAM = 16
    V8_SIGNAL = 17
    V34_CNTL_CHANNEL_1200 = 18
    V34_PRI_CHANNEL = 19
    V34_CC_RETRAIN = 20
    V33_12000_TRAINING = 21
    V33_14400_TRAINING = 22

    @property
    def title(self) -> str:
        """The name as printed in the ASN.1."""
        return "v34-CC-retrain" if self is Indicator.V34_CC_RETRAIN else self.name.lower().replace("_", "-")


class DataType(IntEnum):
    """t30-data; 9 and up are extensions of version 3."""

    V21 = 0
    V27_2400 = 1
    V27_4800 = 2
    V29_7200 = 3
    V29_9600 = 4
    V17_7200 = 5
    V17_9600 = 6
    V17_12000 = 7
    V17_14400 = 8
    V8 = 9
    V34_PRI_RATE = 10
    V34_CC_1200 = 11
    V34_PRI_CH = 12
    V33_12000 = 13
    V33_14400 = 14

    @property
    def title(self) -> str:
        """The name as printed in the ASN.1."""
        return "v34-CC-1200" if self is DataType.V34_CC_1200 else self.name.lower().replace("_", "-")


class FieldType(IntEnum):
    """field-type; 8 and up are extensions of version 3."""

    HDLC_DATA = 0
    HDLC_SIG_END = 1
    HDLC_FCS_OK = 2
    HDLC_FCS_BAD = 3
    HDLC_FCS_OK_SIG_END = 4
    HDLC_FCS_BAD_SIG_END = 5
    T4_NON_ECM_DATA = 6
    T4_NON_ECM_SIG_END = 7
    CM_MESSAGE = 8
    JM_MESSAGE = 9
    CI_MESSAGE = 10
    V34RATE = 11

    @property
    def title(self) -> str:
        """The name as printed in the ASN.1."""
        return self.name.lower().replace("_", "-").replace("-ok", "-OK").replace("-bad", "-BAD")


@dataclass(frozen=True, slots=True)
class Indication:
    """One t30-indicator."""

    indicator: Indicator


@dataclass(frozen=True, slots=True)
class Field:
    """One element of a data-field. Empty `octets` mean "no field-data": the syntax has no empty field-data."""

    type: FieldType
    octets: bytes = b""


@dataclass(frozen=True, slots=True)
class Data:
    """One t30-data. `fields` None means that the optional data-field is not there: legal, and carries nothing."""

    type: DataType
    fields: tuple[Field, ...] | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """A well-formed packet whose indicator or data type has a number nobody has defined yet: to be ignored."""

    kind: str  # "t30-indicator" or "t30-data"
    number: int


Ifp = Indication | Data | Unknown

_ROOT_INDICATORS: Final = 16
_ROOT_DATA: Final = 9
_ROOT_FIELDS: Final = 8
_INDICATORS: Final = tuple(Indicator)
_DATA_TYPES: Final = tuple(DataType)
_FIELD_TYPES: Final = tuple(FieldType)

# Whole-octet field headers of root types, by syntax (0: version 0, 1: the others): number, or -1 for any other octet.
_WITH_DATA: Final = tuple(
    tuple(octet >> shift & 7 if octet & 0x80 and not octet & waste else -1 for octet in range(256))
    for shift, waste in ((4, 0x0F), (3, 0x47))
)
# The same of fields without data, with zeros for padding: both dialects write the same octet.
_WITHOUT_DATA: Final = tuple(
    tuple(octet >> shift & 7 if not octet & waste else -1 for octet in range(256))
    for shift, waste in ((4, 0x8F), (3, 0xC7))
)


# --- values ------------------------------------------------------------------------------------------


def decode(ifp: bytes, version: int, *, padded: bool = False) -> Ifp:
    """One IFP packet of T38FaxVersion `version` (0 to 3); must be exactly one packet.

    `padded` allows zero octets behind it, which is what FEC repair leaves. Fields of unknown types are skipped.
    Raises DecodeError, and nothing else, for any octets.
    """
    if ifp and ifp[0] & 0x40:
        number, fields = read_data(ifp, version, padded=padded)
        if number >= len(_DATA_TYPES):
            return Unknown("t30-data", number)
        if not ifp[0] & 0x80:
            return Data(_DATA_TYPES[number])
        known = tuple(Field(_FIELD_TYPES[kind], octets) for kind, octets in fields if kind < len(_FIELD_TYPES))
        return Data(_DATA_TYPES[number], known)
    number = read_indicator(ifp, padded=padded)
    return Indication(_INDICATORS[number]) if number < len(_INDICATORS) else Unknown("t30-indicator", number)


def encode(value: Indication | Data, version: int) -> bytes:
    """The strict PER octets of one packet.

    Raises MisuseError for what the agreed `version` cannot carry.
    """
    if isinstance(value, Indication):
        return pack_indicator(value.indicator, version)
    head = _data_head(value.type, version, present=value.fields is not None)
    if value.fields is None:
        return head
    writer = per.BitWriter()
    writer.put_octets(head + per.write_length(len(value.fields)))
    for field in value.fields:
        _put_field(writer, field, version)
    return writer.octets()


def _put_field(writer: per.BitWriter, field: Field, version: int) -> None:
    _refuse_extension(field.type >= _ROOT_FIELDS, version, field.type.title)
    present = 1 if field.octets else 0
    if version == 0:
        writer.put(present << 3 | field.type, 4)
    elif field.type < _ROOT_FIELDS:
        writer.put(present << 4 | field.type, 5)
    else:
        writer.put(present << 8 | 0x80 | field.type - _ROOT_FIELDS, 9)
    if present:
        writer.put_octets(_size(field.octets) + field.octets)


def _refuse_extension(extended: bool, version: int, what: str) -> None:
    if extended and version < LATEST_VERSION:
        raise MisuseError(f"{what} belongs to T.38 version {LATEST_VERSION}, not {version}")


def _size(octets: bytes) -> bytes:
    if not 1 <= len(octets) <= MAX_FIELD_OCTETS:
        raise MisuseError(f"field-data of {len(octets)} octets")
    return (len(octets) - 1).to_bytes(2, "big")


def _data_head(data: DataType, version: int, *, present: bool) -> bytes:
    _refuse_extension(data >= _ROOT_DATA, version, data.title)
    flag = 0x80 if present else 0
    if data < _ROOT_DATA:
        return bytes((flag | 0x40 | data << 1,))
    return (flag << 8 | 0x6000 | data - _ROOT_DATA << 6).to_bytes(2, "big")


# --- numbers: reading ----------------------------------------------------------------------------------


def read_indicator(ifp: bytes, *, padded: bool = False) -> int:
    """The number of an indicator packet (first octet below 0x40), defined or not. Raises DecodeError."""
    number, at = _read_head(ifp)
    if ifp[0] & 0xC0:
        raise DecodeError("not a plain indicator", source=_SOURCE)  # an indicator never has a data-field
    _expect_end(ifp, at, padded)
    return number


def read_data(ifp: bytes, version: int, *, padded: bool = False) -> tuple[int, list[tuple[int, bytes]]]:
    """A t30-data packet as numbers: its data type, and (field type, field-data or b"") of every field.

    Unknown types keep their numbers. An absent data-field gives no fields. Raises DecodeError.
    """
    size = len(ifp)
    if size > 5 and ifp[0] & 0xE1 == 0xC0 and ifp[0] <= 0xD0:
        # Nearly every packet of a fax: one field with data, of a root type, of a root data type; and the last one of a
        # frame, with a second field that has none.
        kind = _WITH_DATA[1 if version else 0][ifp[2]]
        end = (ifp[3] << 8 | ifp[4]) + 6
        if kind >= 0 and ifp[1] == 1 and end == size:
            return ifp[0] >> 1 & 15, [(kind, ifp[5:])]
        if kind >= 0 and ifp[1] == 2 and end + 1 == size:
            closing = _WITHOUT_DATA[1 if version else 0][ifp[end]]
            if closing >= 0:
                return ifp[0] >> 1 & 15, [(kind, ifp[5:end]), (closing, b"")]
    number, at = _read_head(ifp)
    if not ifp[0] & 0x40:
        raise DecodeError("not t30-data", source=_SOURCE)
    if not ifp[0] & 0x80:
        _expect_end(ifp, at, padded)
        return number, []
    count, at = per.read_length(ifp, at)
    return number, _read_fields(ifp, at, count, version, padded)


def _read_head(ifp: bytes) -> tuple[int, int]:
    """Number of the indicator or data type, and the offset behind it."""
    if not ifp:
        raise DecodeError("empty packet", source=_SOURCE)
    first = ifp[0]
    root = _ROOT_DATA if first & 0x40 else _ROOT_INDICATORS
    if not first & 0x20:
        number = first >> 1 & 15
        if number >= root:
            raise DecodeError("data type without meaning", source=_SOURCE)
        return number, 1
    if len(ifp) < 2:
        raise DecodeError("extended type is cut", offset=1, source=_SOURCE)
    if first & 0x10:
        raise DecodeError("extended type beyond all versions", source=_SOURCE)
    return root + ((first & 15) << 2 | ifp[1] >> 6), 2


def _expect_end(ifp: bytes, at: int, padded: bool) -> None:
    if at < len(ifp) and not (padded and not any(ifp[at:])):
        raise DecodeError("octets left over", offset=at, source=_SOURCE)


def _read_fields(ifp: bytes, at: int, count: int, version: int, padded: bool) -> list[tuple[int, bytes]]:
    """All fields, in the reading that consumes the packet exactly.

    Quirk: libspandsp, and all that is built on it, aligns every field header to an octet, which strict PER does not;
    a few packets can be read both ways, and then zero padding tells which. Nonzero padding is accepted last.
    """
    for aligned, strict in ((False, True), (True, True), (False, False)):
        try:
            fields, end = _try_fields(per.BitReader(ifp, at), count, version, aligned=aligned, strict=strict)
            _expect_end(ifp, end, padded)
        except DecodeError:
            if not strict:
                raise
        else:
            return fields
    raise AssertionError  # the last reading returned or raised


def _try_fields(
    bits: per.BitReader, count: int, version: int, *, aligned: bool, strict: bool
) -> tuple[list[tuple[int, bytes]], int]:
    fields: list[tuple[int, bytes]] = []
    ifp = bits.octets
    whole = _WITH_DATA[1 if version else 0]
    for _ in range(count):  # every turn takes four bits at least, so a claimed count costs nothing
        if not bits.bit & 7 and bits.at < len(ifp) and (kind := whole[ifp[bits.at]]) >= 0:
            bits.bit += 8
            fields.append((kind, _read_field_data(bits)))
            continue
        present, kind = _read_field_type(bits, version, aligned)
        if not present:
            fields.append((kind, b""))
            if aligned:
                _align(bits, strict)
            continue
        # An extension number in the dialect leaves its last bit where strict PER has padding: see _extension.
        _align(bits, strict and kind < _ROOT_FIELDS)
        octets = _read_field_data(bits)
        fields.append((_extension(kind, octets) if kind < 0 else kind, octets))
    _align(bits, strict)
    return fields, bits.at


def _align(bits: per.BitReader, strict: bool) -> None:
    if bits.align() and strict:
        raise DecodeError("padding is not zero", offset=bits.at, source=_SOURCE)


def _read_field_type(bits: per.BitReader, version: int, aligned: bool) -> tuple[int, int]:
    """Presence flag and number of the next field; -1-n for an extension read as the seven bits n of both dialects."""
    if version == 0:
        header = bits.take(4)
        return header >> 3, header & 7
    header = bits.take(2)
    if header & 1 == 0:
        return header >> 1, bits.take(3)
    if bits.take(1):
        raise DecodeError("field type beyond all versions", offset=bits.at, source=_SOURCE)
    if bits.bit & 7 == 3 and (header >> 1 or aligned):  # the header began on an octet: a padding bit follows
        return header >> 1, -1 - bits.take(7) if header >> 1 else _ROOT_FIELDS + (bits.take(7) >> 1)
    return header >> 1, _ROOT_FIELDS + bits.take(6)


def _extension(kind: int, octets: bytes) -> int:
    """Field number of an extension header that was read as seven bits.

    Quirk: libspandsp puts the six-bit number one place lower than strict PER. Odd values can only be that dialect;
    2 is jm-message (two characters) in strict PER, ci-message (one octet) there.
    """
    seven = -1 - kind
    if seven == 2:
        return FieldType.CI_MESSAGE if len(octets) == 1 else FieldType.JM_MESSAGE
    return _ROOT_FIELDS + (seven if seven & 1 else seven >> 1)


def _read_field_data(bits: per.BitReader) -> bytes:
    at = bits.at
    ifp = bits.octets
    if at + 2 > len(ifp):
        raise DecodeError("field length is cut", offset=len(ifp), source=_SOURCE)
    size = (ifp[at] << 8 | ifp[at + 1]) + 1
    end = at + 2 + size
    if size > MAX_FIELD_OCTETS or end > len(ifp):
        raise DecodeError("field-data is cut", offset=len(ifp), source=_SOURCE)
    bits.bit = end * 8
    return ifp[at + 2 : end]


# --- numbers: writing ----------------------------------------------------------------------------------


def pack_indicator(indicator: Indicator, version: int = 0) -> bytes:
    """An indicator packet. Raises MisuseError for an indicator the version does not have."""
    _refuse_extension(indicator >= _ROOT_INDICATORS, version, indicator.title)
    if indicator < _ROOT_INDICATORS:
        return bytes((indicator << 1,))
    return (0x2000 | indicator - _ROOT_INDICATORS << 6).to_bytes(2, "big")


def pack_field(data: int, field: int, octets: bytes, version: int) -> bytes:
    """A packet of one field with data (1 to 65535 octets), root types only (`data` <= 8, `field` <= 7)."""
    header = 0x80 | field << (3 if version else 4)
    return bytes((0xC0 | data << 1, 1, header)) + (len(octets) - 1).to_bytes(2, "big") + octets


def pack_field_and_end(data: int, field: int, octets: bytes, end: int, version: int) -> bytes:
    """As `pack_field`, and a second field `end` without data: the same octets in both dialects."""
    shift = 3 if version else 4
    header = bytes((0xC0 | data << 1, 2, 0x80 | field << shift))
    return header + (len(octets) - 1).to_bytes(2, "big") + octets + bytes((end << shift,))


def pack_end(data: int, end: int, version: int) -> bytes:
    """A packet of one field without data."""
    return bytes((0xC0 | data << 1, 1, end << (3 if version else 4)))


# --- TPKT, for T.38 over TCP -----------------------------------------------------------------------------

_TPKT_HEADER: Final = 4


def wrap_tpkt(ifp: bytes) -> bytes:
    """One IFP in TPKT: version 3, reserved octet, 16-bit length that counts these four octets too (RFC 1006 6)."""
    return b"\x03\x00" + (len(ifp) + _TPKT_HEADER).to_bytes(2, "big") + ifp


def unwrap_tpkt(stream: bytes, *, limit: int = 1500) -> tuple[bytes, int] | None:
    """The first IFP of a TCP stream and how many octets it took; None while more octets are needed.

    Raises DecodeError when the stream has no TPKT here, or one of more than `limit` octets of IFP: the stream
    cannot be delimited any more, so the connection has to be closed.
    """
    if stream[:2] != b"\x03\x00"[: len(stream)]:
        raise DecodeError("not a TPKT", source="RFC 1006 6")
    if len(stream) < _TPKT_HEADER:
        return None
    size = int.from_bytes(stream[2:4], "big")
    if not _TPKT_HEADER < size <= _TPKT_HEADER + limit:
        raise DecodeError(f"TPKT of {size} octets", offset=2, source="RFC 1006 6")
    return (stream[_TPKT_HEADER:size], size) if len(stream) >= size else None
