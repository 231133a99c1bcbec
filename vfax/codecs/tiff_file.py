"""The TIFF container: directories of fields, and strips.

Owns      reading the directories of a file that may be hostile, and writing directories with their strips.
Not here  pixels (tiff.py), what a fax wants in the fields (tiff.py).
Source    TIFF 6.0 section 2 (header, IFD, field types); tag numbers from TIFF 6.0 and RFC 2306 (Class F).

Pillow keeps the tags of a page it loads and saves only in part, appends pages in quadratic time, and turns the pixels
of a white-is-zero page over one by one in Python; the container is small enough to write it here.
"""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction
from typing import BinaryIO, Final, Protocol

from vfax.errors import DecodeError


class Tag(IntEnum):
    """The fields a fax page has."""

    NEW_SUBFILE_TYPE = 254
    IMAGE_WIDTH = 256
    IMAGE_LENGTH = 257
    BITS_PER_SAMPLE = 258
    COMPRESSION = 259
    PHOTOMETRIC = 262
    FILL_ORDER = 266
    IMAGE_DESCRIPTION = 270
    MAKE = 271
    MODEL = 272
    STRIP_OFFSETS = 273
    ORIENTATION = 274
    SAMPLES_PER_PIXEL = 277
    ROWS_PER_STRIP = 278
    STRIP_BYTE_COUNTS = 279
    X_RESOLUTION = 282
    Y_RESOLUTION = 283
    T4_OPTIONS = 292
    T6_OPTIONS = 293
    RESOLUTION_UNIT = 296
    PAGE_NUMBER = 297
    SOFTWARE = 305
    DATE_TIME = 306
    TILE_WIDTH = 322
    SUB_IFDS = 330
    BAD_FAX_LINES = 326
    CLEAN_FAX_DATA = 327
    CONSECUTIVE_BAD_FAX_LINES = 328
    EXIF_IFD = 34665
    GPS_IFD = 34853


class FieldType(IntEnum):
    """How a field's values are stored (TIFF 6.0 section 2)."""

    BYTE = 1
    ASCII = 2
    SHORT = 3
    LONG = 4
    RATIONAL = 5
    SBYTE = 6
    UNDEFINED = 7
    SSHORT = 8
    SLONG = 9
    SRATIONAL = 10
    FLOAT = 11
    DOUBLE = 12


# Type: (struct letter, how many of them make a value).
_LETTERS: Final = {
    FieldType.BYTE: ("B", 1),
    FieldType.ASCII: ("B", 1),
    FieldType.SHORT: ("H", 1),
    FieldType.LONG: ("I", 1),
    FieldType.RATIONAL: ("I", 2),
    FieldType.SBYTE: ("b", 1),
    FieldType.UNDEFINED: ("B", 1),
    FieldType.SSHORT: ("h", 1),
    FieldType.SLONG: ("i", 1),
    FieldType.SRATIONAL: ("i", 2),
    FieldType.FLOAT: ("f", 1),
    FieldType.DOUBLE: ("d", 1),
}
_SOURCE: Final = "TIFF 6.0 section 2"
_POINTERS: Final = frozenset({Tag.SUB_IFDS, Tag.EXIF_IFD, Tag.GPS_IFD})


@dataclass(frozen=True, slots=True)
class Field:
    """One field's values; a RATIONAL is two values (numerator, denominator), text is its octets with the final NUL."""

    type: FieldType
    values: tuple[float, ...]

    @classmethod
    def short(cls, *values: int) -> "Field":
        """16-bit values."""
        return cls(FieldType.SHORT, values)

    @classmethod
    def long(cls, *values: int) -> "Field":
        """32-bit values."""
        return cls(FieldType.LONG, values)

    @classmethod
    def rational(cls, value: float) -> "Field":
        """One positive value as a fraction."""
        fraction = Fraction(value).limit_denominator(10_000)
        return cls(FieldType.RATIONAL, (fraction.numerator, fraction.denominator))

    @classmethod
    def text(cls, text: str) -> "Field":
        """Text; what is not ASCII becomes `?`, a NUL a space."""
        return cls(FieldType.ASCII, tuple(text.replace("\0", " ").encode("ascii", "replace") + b"\0"))


Directory = Mapping[int, Field]


@dataclass(frozen=True, slots=True)
class FileLimits:
    """Limit: what a file may claim before we stop believing it."""

    max_pages: int = 5_000
    max_fields: int = 512
    max_values: int = 100_000  # of one field
    max_all_values: int = 2_000_000  # of all fields: many may claim the same octets of a small file


def number(directory: Directory, tag: Tag, default: int = 0, *, index: int = 0) -> int:
    """One value of a field as an int; `default` when it is not there or no finite number."""
    field = directory.get(tag)
    if field is None or len(field.values) <= index:
        return default
    value = field.values[index]
    return int(value) if abs(value) < 2**53 else default


def ratio(directory: Directory, tag: Tag) -> float:
    """A RATIONAL's value; 0.0 when it is not there or has no value."""
    field = directory.get(tag)
    if field is None or not field.values:
        return 0.0
    if len(field.values) > 1 and field.type in (FieldType.RATIONAL, FieldType.SRATIONAL):
        return field.values[0] / field.values[1] if field.values[1] else 0.0
    return float(field.values[0])


def text(directory: Directory, tag: Tag) -> str:
    """A text field up to its first NUL, printable characters only; empty when it is not there."""
    field = directory.get(tag)
    if field is None or field.type is not FieldType.ASCII:
        return ""
    octets = bytes(int(value) for value in field.values).split(b"\0")[0]
    return "".join(letter if letter.isprintable() else " " for letter in octets.decode("latin-1")).strip()


# --- reading ------------------------------------------------------------------------------------------


def is_tiff(head: bytes) -> bool:
    """True for the first octets of a classic TIFF file."""
    return head[:4] in (b"II*\0", b"MM\0*")


def read_directories(file: BinaryIO, limits: FileLimits | None = None) -> list[dict[int, Field]]:
    """All directories of a TIFF file in order; fields that make no sense are left out.

    Raises DecodeError when the file is no TIFF, its chain of directories loops or leaves the file, or a limit is
    reached.
    """
    limits = limits or FileLimits()
    head = _read(file, 0, 8)
    if not is_tiff(head):
        raise DecodeError("not a TIFF file", source=_SOURCE)
    order = "<" if head[:2] == b"II" else ">"
    (offset,) = struct.unpack(order + "I", head[4:])
    directories: list[dict[int, Field]] = []
    seen: set[int] = set()
    room = limits.max_all_values
    while offset:
        if offset in seen:
            raise DecodeError("the chain of directories loops", offset=offset, source=_SOURCE)
        if len(directories) >= limits.max_pages:
            raise DecodeError(f"more than {limits.max_pages} pages", offset=offset)
        seen.add(offset)
        directory, offset = _read_directory(file, offset, order, limits, room)
        room -= sum(len(field.values) for field in directory.values())
        directories.append(directory)
    return directories


def _read_directory(
    file: BinaryIO, offset: int, order: str, limits: FileLimits, room: int
) -> tuple[dict[int, Field], int]:
    (count,) = struct.unpack(order + "H", _read(file, offset, 2))
    if count > limits.max_fields:
        raise DecodeError(f"{count} fields in a directory, at most {limits.max_fields} are read", offset=offset)
    table = _read(file, offset + 2, count * 12 + 4)
    directory: dict[int, Field] = {}
    for tag, kind, values, place in struct.iter_unpack(order + "HHI4s", table[:-4]):
        field = _read_field(file, order, kind, values, place, limits)
        if field is not None:
            room -= len(field.values)
            if room < 0:
                raise DecodeError(f"more than {limits.max_all_values} values in all fields", offset=offset)
            directory[tag] = field
    (following,) = struct.unpack(order + "I", table[-4:])
    return directory, following


def _read_field(file: BinaryIO, order: str, kind: int, count: int, place: bytes, limits: FileLimits) -> Field | None:
    try:
        field_type = FieldType(kind)
    except ValueError:
        return None
    letter, parts = _LETTERS[field_type]
    if not 0 < count <= limits.max_values:
        return None
    layout = f"{order}{count * parts}{letter}"
    size = struct.calcsize(layout)
    if size > 4:
        (offset,) = struct.unpack(order + "I", place)
        try:
            place = _read(file, offset, size)
        except DecodeError:
            return None
    return Field(field_type, struct.unpack(layout, place[:size]))


def _read(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    octets = file.read(size)
    if len(octets) < size:
        raise DecodeError("the file ends too early", offset=offset, source=_SOURCE)
    return octets


def read_strips(file: BinaryIO, directory: Directory, max_octets: int) -> list[bytes]:
    """The strips of one page as they stand in the file. Raises DecodeError when they are not there."""
    offsets, counts = directory.get(Tag.STRIP_OFFSETS), directory.get(Tag.STRIP_BYTE_COUNTS)
    if offsets is None or counts is None or len(offsets.values) != len(counts.values):
        raise DecodeError("the page has no strips", source=_SOURCE)
    if not {offsets.type, counts.type} <= {FieldType.SHORT, FieldType.LONG}:
        raise DecodeError("the strips' places are no whole numbers", source=_SOURCE)
    if sum(counts.values) > max_octets:
        raise DecodeError(f"the page's strips exceed {max_octets} octets")
    return [_read(file, int(offset), int(count)) for offset, count in zip(offsets.values, counts.values, strict=True)]


# --- writing ------------------------------------------------------------------------------------------


class Sink(Protocol):
    """What a document is written to: a file whose `write` takes all it is given."""

    def write(self, octets: bytes, /) -> int:
        """Write all octets and tell how many they are."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to `offset`; returns where that is from the start."""


def write_file(file: Sink, pages: Iterable[tuple[Directory, list[bytes]]]) -> int:
    """Write a little-endian TIFF file page by page (one page is held at a time); return the number of pages.

    `file` must be empty and able to seek. Offsets and byte counts of strips are filled in; pointers to other
    directories are left out. Raises DecodeError when the file would pass 4 GiB.
    """
    file.write(b"II*\0\0\0\0\0")
    link, at, written = 4, 8, 0
    for directory, strips in pages:
        offsets = []
        for strip in strips:
            offsets.append(at)
            at += _write_even(file, strip)
        fields = {tag: field for tag, field in directory.items() if tag not in _POINTERS}
        fields[Tag.STRIP_OFFSETS] = Field.long(*offsets)
        fields[Tag.STRIP_BYTE_COUNTS] = Field.long(*(len(strip) for strip in strips))
        table, values = _layout(fields, at)
        if at + len(table) + len(values) >= 2**32:
            raise DecodeError("a TIFF file cannot be larger than 4 GiB", source=_SOURCE)
        _write_even(file, table + values)
        file.seek(link)
        file.write(struct.pack("<I", at))
        link = at + len(table) - 4
        at = file.seek(0, 2)
        written += 1
    return written


def _layout(fields: Directory, at: int) -> tuple[bytes, bytes]:
    """A directory that stands at offset `at`, and the values that follow it."""
    table = [struct.pack("<H", len(fields))]
    values = bytearray()
    behind = at + 2 + 12 * len(fields) + 4
    for tag, field in sorted(fields.items()):
        letter, parts = _LETTERS[field.type]
        octets = struct.pack(f"<{len(field.values)}{letter}", *field.values)
        if len(octets) > 4:
            place = struct.pack("<I", behind + len(values))
            values += octets + bytes(len(octets) & 1)
        else:
            place = octets.ljust(4, b"\0")
        table.append(struct.pack("<HHI", tag, field.type, len(field.values) // parts) + place)
    table.append(bytes(4))
    return b"".join(table), bytes(values)


def _write_even(file: Sink, octets: bytes) -> int:
    padded = octets + bytes(len(octets) & 1)
    file.write(padded)
    return len(padded)
