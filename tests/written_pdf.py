"""Small PDF files written by hand: text, lines, boxes, rotation, and what hostile ones have.

Owns      PDF syntax for tests. Not here: vfax's own writer (codecs/pdf.py), on purpose.
Source    ISO 32000-1: 7.3 objects, 7.5 file structure, 7.7.3 pages.
"""

import zlib
from collections.abc import Mapping, Sequence
from typing import Final

CATALOG, PAGES, FONT = 1, 2, 3
FIRST: Final = 4


def pdf_file(objects: Mapping[int, bytes], *, trailer: bytes = b"") -> bytes:
    """Objects as a file with its cross-reference table; object 1 is the catalog."""
    file, begins = b"%PDF-1.7\n", {}
    for number, content in sorted(objects.items()):
        begins[number] = len(file)
        file += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    size = max(objects) + 1
    rows = [b"%010d 00000 n \n" % begins[n] if n in begins else b"0000000000 65535 f \n" for n in range(size)]
    return file + b"xref\n0 %d\n%btrailer\n<< /Size %d /Root 1 0 R %b >>\nstartxref\n%d\n%%%%EOF\n" % (
        *(size, b"".join(rows), size, trailer, len(file)),
    )


def stream(content: bytes, entries: bytes = b"") -> bytes:
    return b"<< /Length %d %b >>\nstream\n%b\nendstream" % (len(content), entries, content)


def pages(
    contents: Sequence[bytes],
    *,
    box: str = "0 0 595.276 841.89",
    page: str = "",
    resources: str = "",
    more: Mapping[int, bytes] | None = None,
    catalog: str = "",
    trailer: bytes = b"",
) -> bytes:
    """A file with a page for each content stream; `page` are more entries of each, `more` objects from 100 on."""
    objects = {
        CATALOG: f"<< /Type /Catalog /Pages {PAGES} 0 R {catalog} >>".encode(),
        FONT: b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        **(more or {}),
    }
    numbers = [FIRST + 2 * at if FIRST + 2 * at < 100 else 1000 + 2 * at for at in range(len(contents))]
    for number, content in zip(numbers, contents, strict=True):
        objects[number] = (
            f"<< /Type /Page /Parent {PAGES} 0 R /MediaBox [{box}] {page} /Contents {number + 1} 0 R "
            f"/Resources << /Font << /F {FONT} 0 R >> {resources} >> >>"
        ).encode()
        objects[number + 1] = stream(content)
    kids = " ".join(f"{number} 0 R" for number in numbers)
    objects[PAGES] = f"<< /Type /Pages /Count {len(numbers)} /Kids [{kids}] >>".encode()
    return pdf_file(objects, trailer=trailer)


def text(x: float, y: float, size: float, words: str, *, grey: float = 0) -> bytes:
    """One line of Helvetica; points from the lower left corner."""
    return f"BT {grey} g /F {size} Tf {x} {y} Td ({words}) Tj ET\n".encode()


def line(x: float, y: float, to_x: float, to_y: float, width: float) -> bytes:
    return f"0 G {width} w {x} {y} m {to_x} {to_y} l S\n".encode()


def box(x: float, y: float, width: float, height: float, *, grey: float = 0) -> bytes:
    return f"{grey} g {x} {y} {width} {height} re f\n".encode()


def photo(width: int, rows: int, grey: bytes) -> bytes:
    """An image object of 8-bit grey."""
    entries = (
        f"/Type /XObject /Subtype /Image /Width {width} /Height {rows} /ColorSpace /DeviceGray /BitsPerComponent 8 "
        "/Filter /FlateDecode"
    )
    return stream(zlib.compress(grey), entries.encode())
