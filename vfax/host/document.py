"""A received document in the form it is delivered in: the TIFF as it lies in the spool, or a PDF of the same code.

Owns      the choice of what of a TIFF goes into a PDF as it is, names and media types of what is delivered.
Not here  the PDF file (codecs/pdf.py), where documents go (delivery.py).

Everything here blocks on the disk: call it from a worker thread.
"""

from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Final

from vfax.codecs import tiff
from vfax.codecs.libtiff import code_mmr
from vfax.codecs.pdf import PdfPage, write_pdf
from vfax.codecs.tiff_file import Directory, read_directories, read_strips
from vfax.codecs.tiff_page import PageHeader, header_of, readable
from vfax.errors import DecodeError, DocumentError

CHUNK_OCTETS: Final = 1 << 20
MAX_PAGE_OCTETS: Final = 64 * 1024 * 1024
"""Limit: coded octets of one page."""
UNKNOWN_DPI: Final = (204.0, 196.0)
"""What a page is taken for whose TIFF does not say its resolution."""


class Format(StrEnum):
    """In which form a document is delivered."""

    TIFF = "tiff"
    PDF = "pdf"

    @property
    def suffix(self) -> str:
        """How the name of such a file ends."""
        return ".tif" if self is Format.TIFF else ".pdf"

    @property
    def media_type(self) -> str:
        """Its name in MIME."""
        return "image/tiff" if self is Format.TIFF else "application/pdf"


class DocumentTooLarge(DocumentError):
    """The document has more octets than may be sent; it will have them the next time, too."""


def write_document(
    source: Path, form: Format, write: Callable[[bytes], object], *, title: str = "", created: str = ""
) -> None:
    """Hand the document to `write`, piece by piece; `title` and `created` are for the properties of a PDF.

    Raises DocumentError when it is not there or cannot be read; what `write` raises passes.
    """
    if form is Format.PDF:
        write_pdf(write, _pages(source), title=title, created=created)
        return
    with _opened(source) as file:
        while octets := _read(source, file):
            write(octets)


def load_document(source: Path, form: Format, *, limit: int, title: str = "", created: str = "") -> bytes:
    """The whole document in memory, at most `limit` octets. Raises DocumentTooLarge when it has more."""
    parts: list[bytes] = []
    room = limit

    def take(octets: bytes) -> None:
        nonlocal room
        room -= len(octets)
        if room < 0:
            raise DocumentTooLarge(
                f"{source.name} has more than {limit} octets as {form.value}: too large to be delivered this way"
            )
        parts.append(octets)

    write_document(source, form, take, title=title, created=created)
    return b"".join(parts)


def _opened(source: Path) -> BinaryIO:
    try:
        return source.open("rb")
    except OSError as why:
        raise DocumentError(f"{source}: the document cannot be opened: {why.strerror or why}") from why


def _read(source: Path, file: BinaryIO) -> bytes:
    try:
        return file.read(CHUNK_OCTETS)
    except OSError as why:
        raise DocumentError(f"{source}: the document cannot be read: {why.strerror or why}") from why


def _pages(source: Path) -> Iterator[PdfPage]:
    try:
        with _opened(source) as file:
            for index, directory in enumerate(read_directories(file)):
                yield _stored(file, directory) or _coded_again(source, index, header_of(directory))
    except DecodeError as why:
        raise DocumentError(f"{source}: {why.what}; the document is damaged") from why
    except OSError as why:
        raise DocumentError(f"{source}: the document cannot be read: {why.strerror or why}") from why


def _stored(file: BinaryIO, directory: Directory) -> PdfPage | None:
    """The page with the code it is stored with; None where a PDF cannot hold that."""
    header = header_of(directory)
    as_it_is = header.compression == "MMR" and header.strips == 1 and header.fill_order == 1 and readable(directory)
    if not as_it_is or header.width_px < 1 or header.rows < 1:
        return None
    (code,) = read_strips(file, directory, MAX_PAGE_OCTETS)
    x_dpi, y_dpi = _resolution(header)
    return PdfPage(code, header.width_px, header.rows, x_dpi, y_dpi, black_is_zero=header.photometric == 1)


def _coded_again(source: Path, index: int, header: PageHeader) -> PdfPage:
    """The same pixels coded as MMR: pages of several strips, MH, MR, or uncompressed."""
    page = tiff.load_page(source, index)
    x_dpi, y_dpi = _resolution(header)
    return PdfPage(code_mmr(page.raster, page.width_px, page.rows), page.width_px, page.rows, x_dpi, y_dpi)


def _resolution(header: PageHeader) -> tuple[float, float]:
    return (header.x_dpi, header.y_dpi) if header.x_dpi and header.y_dpi else UNKNOWN_DPI
