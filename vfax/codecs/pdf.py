"""PDF of fax pages: each page is its MMR code, octet for octet, on paper of its own size.

Owns      the PDF file: objects, cross-reference table, page sizes, the few words in its properties.
Not here  where the code comes from (tiff.py), which document becomes a PDF (vfax/host/document.py).
Source    ISO 32000-1 (PDF 1.7): 7.3 objects, 7.4.6 CCITTFaxDecode, 7.5 file structure, 7.7.3 pages, 8.9.5 images,
          14.3.3 document information.

Pillow writes PDF as well, but (11.2 to 13.0, measured) decodes and codes again, holds all pages at once and gives all
of them the resolution of the first one: a fax that changes from standard to fine comes out with pages of double length.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from vfax.errors import MisuseError

Write = Callable[[bytes], object]
"""Takes the octets of the file in order; what it raises ends the writing."""

POINTS_PER_INCH: Final = 72
LONGEST_SIDE: Final = 14_400
"""Points of a page that every reader takes (ISO 32000-1 annex C); longer paper counts in larger units (UserUnit)."""
MAX_TEXT: Final = 200
"""Limit: characters of one property."""

_CATALOG, _PAGES, _INFO, _FIRST = 1, 2, 3, 4  # object numbers; each page has three from _FIRST on
_PAGE_OBJECTS: Final = 3
_DATE_LETTERS: Final = frozenset("D:0123456789Z")


@dataclass(frozen=True, slots=True)
class PdfPage:
    """One page: MMR `code` of `rows` rows; `x_dpi`, `y_dpi` are pixels per inch. `black_is_zero`: its runs are inverted
    (a TIFF with PhotometricInterpretation 1)."""

    code: bytes
    width_px: int
    rows: int
    x_dpi: float
    y_dpi: float
    black_is_zero: bool = False


def write_pdf(
    write: Write, pages: Iterable[PdfPage], *, title: str = "", created: str = "", producer: str = "vfax"
) -> int:
    """Write the pages as one PDF, holding one at a time; returns how many there were.

    `created` is a PDF date (D:20250131120000Z) or "". The same pages and words give the same octets. Raises
    MisuseError for a page without size, or no page at all.
    """
    writer = _Writer(write)
    count = 0
    for page in pages:
        writer.page(_FIRST + count * _PAGE_OBJECTS, page)
        count += 1
    if not count:
        raise MisuseError("a PDF of no pages cannot be written: give at least one page")
    kids = " ".join(f"{_FIRST + at * _PAGE_OBJECTS} 0 R" for at in range(count))
    writer.value(_CATALOG, f"<< /Type /Catalog /Pages {_PAGES} 0 R >>")
    writer.value(_PAGES, f"<< /Type /Pages /Count {count} /Kids [{kids}] >>")
    writer.value(_INFO, _properties(title, created, producer))
    writer.end(_FIRST + count * _PAGE_OBJECTS)
    return count


def _properties(title: str, created: str, producer: str) -> str:
    words = {"Title": title, "Producer": producer}
    entries = [f"/{name} {_text(text)}" for name, text in words.items() if text]
    if created:
        entries.append(f"/CreationDate ({''.join(letter for letter in created if letter in _DATE_LETTERS)})")
    return f"<< {' '.join(entries)} >>"


def _text(text: str) -> str:
    """A text string in hexadecimal (7.9.2.2: UTF-16 with its mark): nothing in it can end it."""
    return f"<feff{text[:MAX_TEXT].encode('utf-16-be', 'replace').hex()}>"


def _number(value: float) -> str:
    """A length as PDF wants it: no exponent, no zeros that say nothing. Rounded down: readers round paper up to whole
    pixels, and a little too much would be a pixel more than the fax has."""
    return f"{math.floor(value * 10_000) / 10_000:.4f}".rstrip("0").rstrip(".")


class _Writer:
    """Objects in the order they come, and where each of them begins."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._at = 0
        self._begins: dict[int, int] = {}
        self._put(b"%PDF-1.6\n%\xe2\xe3\xcf\xd3\n")

    def _put(self, octets: bytes) -> None:
        self._write(octets)
        self._at += len(octets)

    def value(self, number: int, text: str) -> None:
        """An object that is no stream."""
        self._begins[number] = self._at
        self._put(f"{number} 0 obj\n{text}\nendobj\n".encode("ascii"))

    def stream(self, number: int, entries: str, octets: bytes) -> None:
        """A stream; `entries` are those of its dictionary beside its length."""
        self._begins[number] = self._at
        self._put(f"{number} 0 obj\n<< {entries} /Length {len(octets)} >>\nstream\n".encode("ascii"))
        self._put(octets)
        self._put(b"\nendstream\nendobj\n")

    def page(self, number: int, page: PdfPage) -> None:
        """Three objects: the page, what it draws, its image."""
        if min(page.width_px, page.rows) < 1 or min(page.x_dpi, page.y_dpi) <= 0:
            size = f"{page.width_px} x {page.rows} pixels at {page.x_dpi} x {page.y_dpi} dpi"
            raise MisuseError(f"a page of {size} cannot be written: it has no size")
        width = page.width_px / page.x_dpi * POINTS_PER_INCH
        height = page.rows / page.y_dpi * POINTS_PER_INCH
        unit = int(max(width, height) // LONGEST_SIDE) + 1
        across, down = _number(width / unit), _number(height / unit)
        larger = f" /UserUnit {unit}" if unit > 1 else ""
        self.value(
            number,
            f"<< /Type /Page /Parent {_PAGES} 0 R /MediaBox [0 0 {across} {down}]{larger} /Contents {number + 1} 0 R "
            f"/Resources << /XObject << /Fax {number + 2} 0 R >> >> >>",
        )
        self.stream(number + 1, "", f"{across} 0 0 {down} 0 0 cm /Fax Do".encode("ascii"))
        # Runs of black are zeros once decoded (BlackIs1 false), and zero is black in DeviceGray.
        black = " /BlackIs1 true" if page.black_is_zero else ""
        self.stream(
            number + 2,
            f"/Type /XObject /Subtype /Image /Width {page.width_px} /Height {page.rows} /ColorSpace /DeviceGray "
            f"/BitsPerComponent 1 /Filter /CCITTFaxDecode "
            f"/DecodeParms << /K -1 /Columns {page.width_px} /Rows {page.rows}{black} >>",
            page.code,
        )

    def end(self, size: int) -> None:
        """The cross-reference table and the trailer, for objects 0 to `size` - 1."""
        start = self._at
        rows = [f"{self._begins[number]:010d} 00000 n \n" for number in range(1, size)]
        self._put(f"xref\n0 {size}\n0000000000 65535 f \n{''.join(rows)}".encode("ascii"))
        self._put(
            f"trailer\n<< /Size {size} /Root {_CATALOG} 0 R /Info {_INFO} 0 R >>\nstartxref\n{start}\n%%EOF\n".encode()
        )
