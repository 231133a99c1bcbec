"""PDF files to send: opened, measured and drawn.

Oracle    DocumentError that names the file, or pages that load: as many as were announced, within the limits.
          Not that a file is drawn alike twice: what PDFium takes for a font that is none depends on those before.

PDFium is a library of others: what makes it crash ends the session, and its input is the newest of the corpus.
"""

import random
from pathlib import Path
from typing import Final

from fuzz import scratch
from tests.written_pdf import box, line, pages, photo, stream, text
from vfax.codecs import tiff
from vfax.codecs.dis import Resolution
from vfax.errors import DocumentError

RECORDS: Final = False
TOKENS: Final = (
    *(b"/MediaBox [0 0 612 792]", b"/CropBox", b"/Rotate 90", b"/UserUnit 10", b"/Count 100000", b"endstream"),
    *(b"/Filter /FlateDecode", b"/Filter /CCITTFaxDecode", b"/Filter /JBIG2Decode", b"/Filter /DCTDecode", b"xref"),
    *(b" 0 R ", b" cm ", b" Do ", b" re f ", b" W n ", b" sh ", b" Tj ", b"endobj", b"/Encrypt", b"/XFA", b"/ObjStm"),
    *(b"-1", b"1e38"),
)
LIMITS: Final = tiff.DocumentLimits(max_pages=5, max_pixels=4_000_000, max_length_mm=400)


def seeds() -> list[bytes]:
    """Text, lines, boxes, a photograph, turned pages, a form with a field."""
    greys = random.Random(8).randbytes(40 * 30)
    drawn = {100: photo(40, 30, greys), 101: stream(b"0 0 9 9 re f", b"/Type /XObject /Subtype /Form /BBox [0 0 9 9]")}
    field = b"<< /Type /Annot /Subtype /Widget /FT /Tx /T (a) /V (b) /F 4 /Rect [9 9 90 20] /AP << /N 101 0 R >> >>"
    return [
        pages([text(20, 100, 12, "Hello") + line(0, 0, 99, 99, 0.2)], box="0 0 144 144"),
        pages([box(10, 10, 50, 50, grey=0.5), b""], box="0 0 100 200", page="/Rotate 90 /CropBox [5 5 80 180]"),
        pages(
            [b"q 100 0 0 80 9 9 cm /P Do Q /X Do"],
            box="0 0 144 144",
            page="/Annots [102 0 R]",
            resources="/XObject << /P 100 0 R /X 101 0 R >>",
            more=drawn | {102: field},
            catalog="/AcroForm << /Fields [102 0 R] >>",
        ),
    ]


def run(data: bytes) -> None:
    """One file, at a coarse resolution."""
    path = scratch.holding(data, ".pdf")
    target = scratch.path(".out.tif")
    said: list[int] = []

    def observe(path: Path, index: int, number: int, total: int) -> None:
        said.append(total)

    try:
        headers = tiff.prepare_document([path], target, resolution=Resolution.STANDARD, limits=LIMITS, observe=observe)
    except DocumentError as why:
        if not str(why).startswith(f"{path}: "):
            raise AssertionError("an error that does not name the file") from why
        return
    assert len(headers) == len(said) <= LIMITS.max_pages
    for index in range(len(headers)):
        page = tiff.load_page(target, index)
        assert page.width_px == Resolution.STANDARD.widths_px[0]
        assert page.width_px * page.rows <= 2 * LIMITS.max_pixels, "a page beyond the limit, margins aside"
