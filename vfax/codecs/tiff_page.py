"""A fax page in a TIFF file: its facts, its rows, and what is not Class F about it.

Owns      what the fields of a fax page mean, in both directions; reading fax-coded and uncompressed bilevel pages.
Not here  the container (tiff_file.py); files by path, other images, writing documents (tiff.py).
Source    RFC 2306 (TIFF Class F), TIFF 6.0 sections 3, 10, 11.

Fax-coded pages are read with our own decoder: libtiff makes up rows for damaged data and says so on standard error
only.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final

from vfax import __version__
from vfax.codecs.dis import Coding, Resolution
from vfax.codecs.libtiff import read_mmr
from vfax.codecs.t4 import MAX_WIDTH_PX, DecodeLimits, RowDecoder
from vfax.codecs.tiff_file import Directory, Field, Tag, number, ratio, read_strips, text
from vfax.errors import DecodeError

FAX_WIDTHS_PX: Final = sorted({width for resolution in Resolution for width in resolution.widths_px})
TOLERANCE: Final = 0.05  # by which a file's resolution may differ from the fax resolution it stands for

UNCOMPRESSED: Final = 1
T4_CODED: Final = 3
T6_CODED: Final = 4
OURS: Final = "vfax "
"""How the Software field of our own files begins."""

COMPRESSIONS: Final = {
    1: "uncompressed",
    2: "CCITT modified Huffman RLE",
    3: "T.4",
    4: "MMR",
    5: "LZW",
    6: "old JPEG",
    7: "JPEG",
    8: "Deflate",
    32771: "CCITT RLE, word-aligned",
    32773: "PackBits",
    32946: "Deflate",
    34661: "JBIG",
}
CM_PER_INCH: Final = 2.54

FEED_OCTETS: Final = 1 << 14  # the decoder splits what it is given into words first: of a large page, for 400 ms

_REVERSED: Final = bytes(int(f"{octet:08b}"[::-1], 2) for octet in range(256))
_INVERTED: Final = bytes(octet ^ 0xFF for octet in range(256))


@dataclass(frozen=True, slots=True, kw_only=True)
class PageHeader:
    """The facts of one page, from its fields alone.

    `x_dpi`, `y_dpi` are whole pixels per inch, 0 when the file does not say; `compression` is "MH", "MR", "MMR" or
    what TIFF calls it; `photometric` 0 means white is zero; `fill_order` 1 means the first pixel is the most
    significant bit; `page` is the number from 0, -1 when the file does not say; `total` 0 means unknown. `clean` is
    CleanFaxData: 0 clean, 1 bad rows were repaired, 2 bad rows were left, -1 not said.
    """

    width_px: int
    rows: int
    x_dpi: int
    y_dpi: int
    compression: str
    bits: int = 1
    samples: int = 1
    photometric: int = 0
    fill_order: int = 1
    orientation: int = 1
    strips: int = 1
    subfile: int = 0
    page: int = -1
    total: int = 0
    bad_rows: int = 0
    longest_bad_run: int = 0
    clean: int = -1
    description: str = ""
    software: str = ""

    @property
    def resolution(self) -> Resolution | None:
        """The fax resolution this is, within 5 %; None when it is none."""
        return fax_resolution(self.x_dpi, self.y_dpi)

    @property
    def bilevel(self) -> bool:
        """True for one bit a pixel."""
        return self.bits == 1 and self.samples == 1


@dataclass(frozen=True, slots=True)
class PageImage:
    """One page as pixels: `rows` packed rows of `(width_px + 7) // 8` octets, 1 = black, most significant bit left."""

    raster: bytes
    width_px: int
    rows: int
    x_dpi: int
    y_dpi: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What came out of a page's strips: `raster` may be short of rows when the data is `cut`."""

    raster: bytes
    rows: int
    bad_rows: int
    cut: bool


@dataclass(frozen=True, slots=True)
class PageReport:
    """One page: its header, what decoding it gave (None: not a kind we decode here), and what is not Class F."""

    header: PageHeader
    decoded_rows: int | None
    decoded_bad_rows: int
    findings: tuple[str, ...]


def fax_resolution(x_dpi: float, y_dpi: float) -> Resolution | None:
    """The fax resolution nearest to the given one, if it is within `TOLERANCE`."""

    def distance(resolution: Resolution) -> float:
        return max(abs(x_dpi / resolution.x_dpi - 1), abs(y_dpi / resolution.y_dpi - 1))

    nearest = min(Resolution, key=distance)
    return nearest if distance(nearest) <= TOLERANCE else None


# --- fields -------------------------------------------------------------------------------------------


def header_of(directory: Directory) -> PageHeader:
    """The facts of a page; fields that are missing take the defaults of TIFF 6.0."""
    unit = number(directory, Tag.RESOLUTION_UNIT, 2)
    scale = {2: 1.0, 3: CM_PER_INCH}.get(unit, 0.0)
    offsets = directory.get(Tag.STRIP_OFFSETS)
    return PageHeader(
        width_px=number(directory, Tag.IMAGE_WIDTH),
        rows=number(directory, Tag.IMAGE_LENGTH),
        x_dpi=_whole(ratio(directory, Tag.X_RESOLUTION) * scale),
        y_dpi=_whole(ratio(directory, Tag.Y_RESOLUTION) * scale),
        compression=_compression(directory),
        bits=number(directory, Tag.BITS_PER_SAMPLE, 1),
        samples=number(directory, Tag.SAMPLES_PER_PIXEL, 1),
        photometric=number(directory, Tag.PHOTOMETRIC),
        fill_order=number(directory, Tag.FILL_ORDER, 1),
        orientation=number(directory, Tag.ORIENTATION, 1),
        strips=len(offsets.values) if offsets else 0,
        subfile=number(directory, Tag.NEW_SUBFILE_TYPE),
        page=number(directory, Tag.PAGE_NUMBER, -1),
        total=number(directory, Tag.PAGE_NUMBER, index=1),
        bad_rows=number(directory, Tag.BAD_FAX_LINES),
        longest_bad_run=number(directory, Tag.CONSECUTIVE_BAD_FAX_LINES),
        clean=number(directory, Tag.CLEAN_FAX_DATA, -1),
        description=text(directory, Tag.IMAGE_DESCRIPTION),
        software=text(directory, Tag.SOFTWARE),
    )


def _whole(dpi: float) -> int:
    return round(dpi) if 0 < dpi < 100_000 else 0


def _compression(directory: Directory) -> str:
    value = number(directory, Tag.COMPRESSION, 1)
    if value == T4_CODED:
        return "MR" if number(directory, Tag.T4_OPTIONS) & 1 else "MH"
    return COMPRESSIONS.get(value, f"compression {value}")


def class_f_fields(
    width_px: int,
    rows: int,
    *,
    x_dpi: float,
    y_dpi: float,
    number: int = 0,
    total: int = 0,
    bad_rows: int = 0,
    longest_bad_run: int = 0,
    clean: int = 0,
    texts: Mapping[Tag, str] | None = None,
) -> dict[int, Field]:
    """All fields of a Class F page of one MMR strip, none left to a reader's defaults; strips are the writer's."""
    fields: dict[int, Field] = {
        Tag.NEW_SUBFILE_TYPE: Field.long(2),
        Tag.IMAGE_WIDTH: Field.long(width_px),
        Tag.IMAGE_LENGTH: Field.long(rows),
        Tag.BITS_PER_SAMPLE: Field.short(1),
        Tag.COMPRESSION: Field.short(T6_CODED),
        Tag.PHOTOMETRIC: Field.short(0),
        Tag.FILL_ORDER: Field.short(1),
        Tag.ORIENTATION: Field.short(1),
        Tag.SAMPLES_PER_PIXEL: Field.short(1),
        Tag.ROWS_PER_STRIP: Field.long(rows),
        Tag.X_RESOLUTION: Field.rational(x_dpi),
        Tag.Y_RESOLUTION: Field.rational(y_dpi),
        Tag.T6_OPTIONS: Field.long(0),
        Tag.RESOLUTION_UNIT: Field.short(2),
        Tag.PAGE_NUMBER: Field.short(number, total),
        Tag.SOFTWARE: Field.text(f"{OURS}{__version__}"),
        Tag.BAD_FAX_LINES: Field.long(bad_rows),
        Tag.CLEAN_FAX_DATA: Field.short(clean),
        Tag.CONSECUTIVE_BAD_FAX_LINES: Field.long(longest_bad_run),
    }
    fields.update({tag: Field.text(words) for tag, words in (texts or {}).items() if words})
    return fields


def sealed_software(width_px: int, rows: int, code: bytes) -> Field:
    """The Software field of a page of ours whose only strip is `code`: with a checksum, so that the code can go out as
    it is stored. Readers take it for part of a version."""
    return Field.text(f"{OURS}{__version__} {_seal(width_px, rows, code)}")


def may_be_sealed(header: PageHeader) -> bool:
    """Whether this looks like a page that `sealed_software` was said of."""
    as_written = (header.compression, header.strips, header.photometric, header.fill_order) == (Coding.MMR, 1, 0, 1)
    return as_written and header.software.startswith(OURS)


def is_sealed(header: PageHeader, code: bytes) -> bool:
    """Whether `code` is what we stored as the MMR of this page, octet for octet."""
    return may_be_sealed(header) and header.software.endswith(f" {_seal(header.width_px, header.rows, code)}")


def _seal(width_px: int, rows: int, code: bytes) -> str:
    return f"{zlib.crc32(code, zlib.crc32(b'%d %d' % (width_px, rows))):08x}"


# --- rows ---------------------------------------------------------------------------------------------


def readable(directory: Directory) -> bool:
    """True for bilevel pages in strips that are fax-coded or uncompressed: `read_rows` reads those."""
    header = header_of(directory)
    uncompressed_mode = number(directory, Tag.T4_OPTIONS) & 2 or number(directory, Tag.T6_OPTIONS) & 2
    return (
        header.bilevel
        and header.photometric in (0, 1)
        and header.fill_order in (1, 2)
        and header.strips > 0
        and number(directory, Tag.COMPRESSION, 1) in (UNCOMPRESSED, T4_CODED, T6_CODED)
        and not uncompressed_mode
    )


def read_rows(file: BinaryIO, directory: Directory, max_octets: int) -> Reading:
    """The rows of a `readable` page, 1 = black. The caller has checked width and rows against its limits.

    Raises DecodeError when the strips are not there.
    """
    header = header_of(directory)
    per_strip = number(directory, Tag.ROWS_PER_STRIP) or header.rows
    strips = read_strips(file, directory, max_octets)
    rasters: list[bytes] = []
    rows = bad_rows = 0
    cut = False
    stride = (header.width_px + 7) // 8
    for strip in strips:
        octets = strip.translate(_REVERSED) if header.fill_order == 2 else strip
        wanted = min(per_strip, header.rows - rows)
        if wanted <= 0:
            break
        raster, bad = _strip_rows(octets, header, wanted)
        rasters.append(raster)
        rows += len(raster) // stride
        bad_rows += bad
        cut = cut or len(raster) < wanted * stride
    raster = b"".join(rasters)
    if header.photometric == 1:
        raster = inverted(raster, header.width_px)
    return Reading(raster, rows, bad_rows, cut or rows < header.rows)


def _strip_rows(octets: bytes, header: PageHeader, rows: int) -> tuple[bytes, int]:
    stride = (header.width_px + 7) // 8
    if header.compression == COMPRESSIONS[UNCOMPRESSED]:
        whole = min(rows, len(octets) // stride)
        return _without_padding(octets[: whole * stride], header.width_px), 0
    if header.compression == Coding.MMR and header.software.startswith(OURS):  # of others libtiff may complain aloud
        raster = read_mmr(octets, header.width_px, rows)
        if raster is not None:
            return raster, 0
    decoder = RowDecoder(Coding(header.compression), header.width_px, DecodeLimits(max_rows=rows, max_octets=2**31))
    for at in range(0, len(octets), FEED_OCTETS):
        decoder.feed(octets[at : at + FEED_OCTETS])
    decoder.finish()
    return decoder.take_raster(), decoder.bad_rows


def inverted(raster: bytes, width_px: int) -> bytes:
    """Black for white; the unused bits at the end of each row stay zero."""
    return _without_padding(raster.translate(_INVERTED), width_px)


def _without_padding(raster: bytes, width_px: int) -> bytes:
    spare = -width_px % 8
    if not spare:
        return raster
    stride = (width_px + 7) // 8
    cleared = bytes(octet >> spare << spare for octet in range(256))
    rows = bytearray(raster)
    rows[stride - 1 :: stride] = rows[stride - 1 :: stride].translate(cleared)
    return bytes(rows)


# --- inspection ---------------------------------------------------------------------------------------


def faults_of(header: PageHeader) -> list[str]:
    """What about a page is not TIFF Class F, one plain sentence each."""
    checks = [
        (header.bilevel, f"It has {header.bits * header.samples} bits a pixel; a fax page has 1."),
        (
            header.compression in ("MH", "MR", "MMR"),
            f"It is stored as {header.compression}; a fax page is MH, MR or MMR.",
        ),
        (
            header.photometric == 0,
            f"Photometric interpretation is {header.photometric}; Class F says 0, white is zero.",
        ),
        (header.width_px in _widths_for(header), _width_fault(header)),
        (header.rows > 0, "It has no rows."),
        (header.resolution is not None, _resolution_fault(header)),
        (header.fill_order in (1, 2), f"Fill order is {header.fill_order}; it is 1 or 2."),
        (header.orientation == 1, f"Orientation is {header.orientation}; a fax page is stored upright, 1."),
        (header.strips == 1, f"It is stored in {header.strips} strips; a fax page is one strip."),
        (bool(header.subfile & 2), "NewSubfileType does not say that it is a page of a document (2)."),
        (header.page >= 0, "It has no PageNumber."),
    ]
    return [sentence for fine, sentence in checks if not fine]


def _widths_for(header: PageHeader) -> Sequence[int]:
    return header.resolution.widths_px if header.resolution else FAX_WIDTHS_PX


def _width_fault(header: PageHeader) -> str:
    at = f" at {header.resolution.x_dpi} dpi" if header.resolution else ""
    return f"It is {header.width_px} pixels wide; fax pages{at} are {', '.join(map(str, _widths_for(header)))}."


def _resolution_fault(header: PageHeader) -> str:
    if not header.x_dpi or not header.y_dpi:
        return "It does not state its resolution in pixels per inch or cm."
    known = ", ".join(f"{resolution.x_dpi} x {resolution.y_dpi}" for resolution in Resolution)
    return f"Its resolution is {header.x_dpi} x {header.y_dpi} dpi; fax pages have one of {known}."


def report_on(
    file: BinaryIO, directory: Directory, index: int, total: int, max_pixels: int, max_octets: int
) -> PageReport:
    """Inspect page `index` (from 0) of `total`; pages within the limits that are `readable` are decoded."""
    header = header_of(directory)
    findings = faults_of(header)
    if header.page >= 0 and (header.page != index or header.total not in (0, total)):
        findings.append(f"PageNumber says {header.page + 1} of {header.total or '?'}; it is {index + 1} of {total}.")
    reading = None
    if 0 < header.width_px <= MAX_WIDTH_PX and 0 < header.width_px * header.rows <= max_pixels and readable(directory):
        try:
            reading = read_rows(file, directory, max_octets)
        except DecodeError as why:
            findings.append(f"Its data cannot be read: {why.what}.")
    if reading is None:
        return PageReport(header, None, 0, tuple(findings))
    if reading.cut:
        findings.append(f"Its data ends or is damaged after {reading.rows} of {header.rows} rows.")
    if reading.bad_rows:
        findings.append(f"{reading.bad_rows} of its rows are coded wrongly.")
    return PageReport(header, reading.rows, reading.bad_rows, tuple(findings))
