"""Documents: received pages to TIFF Class F, files of any kind to pages that can be sent.

Owns      writing, joining, reading, converting and inspecting documents.
Not here  the container (tiff_file.py), what a fax page's fields mean (tiff_page.py), when a page is stored (pages.py),
          reading images and what of them is black (pictures.py), drawing PDF pages (pdf_reading.py).
Source    RFC 2306 (TIFF Class F); the traps of Pillow and libtiff were measured and have their tests.

All functions block; call them from a worker thread. They raise DocumentError, whose sentence names the file, what is
wrong and what would be right.

What becomes of a file that is to be sent:
- A TIFF page of a fax resolution (5 % either way) and of one of its widths (1728, 2048 or 2432 pixels at 204 dpi)
  that is bilevel, upright and undamaged goes pixel for pixel, whatever resolution was asked for.
- A PDF page is drawn at its own size on paper, reduced as a whole where it is wider than A4, and centred. Text and
  lines are cut, photographs and shades dithered. It is not turned by us, for its reader would have to turn it back.
- Everything else is an image: turned as its EXIF data says, laid on white, scaled to the width of A4 (never more than
  `MAX_ENLARGEMENT` times, then centred), its height following its physical shape. Line art is cut at half grey,
  anything with real greys is dithered (Floyd-Steinberg). Images longer than A4 stay one page: receivers announce
  unlimited length as a rule. Of animations the first picture counts; only TIFF and PDF files have pages.
"""

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from PIL import Image, ImageOps

from vfax.codecs.dis import Resolution
from vfax.codecs.libtiff import BAND_OCTETS, BAND_PX, code_mmr
from vfax.codecs.pictures import ink_of, open_image, pixel_shape, rasterize
from vfax.codecs.scaling import centre
from vfax.codecs.t4 import MAX_WIDTH_PX
from vfax.codecs.tiff_file import (
    Directory,
    Field,
    FileLimits,
    Sink,
    Tag,
    is_tiff,
    read_directories,
    read_strips,
    write_file,
)
from vfax.codecs.tiff_page import (
    PageHeader,
    PageImage,
    PageReport,
    Reading,
    class_f_fields,
    header_of,
    inverted,
    is_sealed,
    may_be_sealed,
    read_rows,
    readable,
    report_on,
    sealed_software,
)
from vfax.errors import DecodeError, DocumentError, StoreError

if TYPE_CHECKING:
    from vfax.codecs.pdf_reading import PdfFile

__all__ = [
    "DocumentLimits",
    "DocumentReport",
    "PageHeader",
    "PageImage",
    "PageReport",
    "inspect",
    "join_pages",
    "load_code",
    "load_page",
    "prepare_document",
    "read_headers",
    "write_page",
]

MAX_ENLARGEMENT: Final = 4
STRIP_OCTETS: Final = 1 << 17
"""Deviation: a page to be sent whose code is longer is stored in several strips; RFC 2306 would rather have one. A
page of fine text has 80 KB. Of a longer strip nothing but our own decoder could be used, for many seconds."""
HEAD_OCTETS: Final = 1024
"""So much of a file is looked at to tell what it is; readers take that much before the mark of a PDF."""
PDF_MARK: Final = b"%PDF-"
Opener = Callable[[Path], BinaryIO]
"""How a file is opened for reading; an OSError it raises is the cause of the DocumentError that follows."""


def open_binary(path: Path) -> BinaryIO:
    """Open a file for reading."""
    return path.open("rb")


Observer = Callable[[Path, int, int, int], None]
"""Is told which page comes next: its file, its index there, its index in the document, and of how many."""


@dataclass(frozen=True, slots=True)
class DocumentLimits:
    """Limit: what a document may be. `max_length_mm` bounds one page, `max_octets` its coded data."""

    max_pages: int = 1_000
    max_pixels: int = 100_000_000
    max_length_mm: int = 1_200
    max_octets: int = 64 * 1024 * 1024


DEFAULT_LIMITS: Final = DocumentLimits()


@dataclass(frozen=True, slots=True)
class DocumentReport:
    """A TIFF file page by page; `findings` are sentences, each naming its page."""

    path: Path
    octets: int
    pages: tuple[PageReport, ...]

    @property
    def findings(self) -> tuple[str, ...]:
        """All that is not Class F, in page order."""
        return tuple(
            f"Page {index}: {sentence}" for index, page in enumerate(self.pages, 1) for sentence in page.findings
        )

    @property
    def class_f(self) -> bool:
        """True when nothing was found."""
        return not self.findings


# --- received pages -----------------------------------------------------------------------------------


def write_page(
    raster: bytes,
    width_px: int,
    rows: int,
    *,
    x_dpi: float,
    y_dpi: float,
    number: int = 0,
    total: int = 0,
    bad_rows: int = 0,
    longest_bad_run: int = 0,
    clean: int | None = None,
    description: str = "",
    make: str = "",
    model: str = "",
    received: str = "",
) -> bytes:
    """One page as a TIFF Class F file of its own.

    `raster` is packed, 1 = black; `number` counts from 0 and `total` 0 means unknown. `clean` is CleanFaxData; None
    says 0 without bad rows and 1 (repaired by the row above) with them. `received` is a TIFF DateTime. Raises
    MisuseError when the raster is not `rows` rows.
    """
    texts = {Tag.IMAGE_DESCRIPTION: description, Tag.MAKE: make, Tag.MODEL: model, Tag.DATE_TIME: received}
    fields = class_f_fields(
        width_px,
        rows,
        x_dpi=x_dpi,
        y_dpi=y_dpi,
        number=number,
        total=total,
        bad_rows=bad_rows,
        longest_bad_run=longest_bad_run,
        clean=(1 if bad_rows else 0) if clean is None else clean,
        texts=texts,
    )
    return _sealed(fields, code_mmr(raster, width_px, rows), width_px, rows)


def _sealed(fields: dict[int, Field], code: bytes, width_px: int, rows: int) -> bytes:
    """The file of one page, whose Software field tells that its code is ours."""
    fields[Tag.SOFTWARE] = sealed_software(width_px, rows, code)
    file = io.BytesIO()
    write_file(file, [(fields, [code])])
    return file.getvalue()


def join_pages(pages: Sequence[Path], target: Sink | Path, *, open_file: Opener = open_binary) -> None:
    """Join TIFF files into one document in the given order; every page keeps its fields but gets its PageNumber.

    Coded data is copied, one page at a time. `target` is created anew, or an empty open file whose OSError passes.
    """
    total = sum(len(_directories(path, open_file)) for path in pages)
    if not total:
        raise DocumentError("a document of no pages cannot be written; give at least one page")
    if isinstance(target, Path):
        with _tiff_faults(target), target.open("w+b") as file:
            write_file(file, _numbered(pages, total, open_file))
    else:
        write_file(target, _numbered(pages, total, open_file))


def _numbered(pages: Iterable[Path], total: int, open_file: Opener) -> Iterator[tuple[Directory, list[bytes]]]:
    index = 0
    for path in pages:
        with _tiff_faults(path), open_file(path) as file:
            for directory in read_directories(file):
                strips = read_strips(file, directory, DEFAULT_LIMITS.max_octets)
                directory[Tag.PAGE_NUMBER] = Field.short(min(index, 0xFFFF), min(total, 0xFFFF))
                yield directory, strips
                index += 1


# --- reading ------------------------------------------------------------------------------------------


def read_headers(path: Path, *, open_file: Opener = open_binary) -> tuple[PageHeader, ...]:
    """The facts of every page of a TIFF file, in order."""
    return tuple(header_of(directory) for directory in _directories(path, open_file))


def load_page(path: Path, index: int, limits: DocumentLimits = DEFAULT_LIMITS) -> PageImage:
    """Page `index` (from 0) of a TIFF file as pixels, 1 = black, whatever the file has; it must be bilevel."""
    directories = _directories(path)
    if not 0 <= index < len(directories):
        raise DocumentError(f"{path}: there is no page {index + 1}, the file has {len(directories)}")
    directory = directories[index]
    header = header_of(directory)
    if not header.bilevel:
        raise DocumentError(
            f"{path}: page {index + 1} has {header.bits * header.samples} bits a pixel and a fax page has 1; "
            "prepare the document first"
        )
    _check_size(path, index, header.width_px, header.rows, limits)
    if not readable(directory):
        return _bilevel_page(path, index, header)
    raster = _sound_rows(path, index, directory, header, limits)
    return PageImage(raster, header.width_px, header.rows, header.x_dpi, header.y_dpi)


def load_code(path: Path, index: int, limits: DocumentLimits = DEFAULT_LIMITS) -> tuple[PageHeader, bytes] | None:
    """Page `index` (from 0) as the MMR that we stored it as; None if we did not, or it has changed since."""
    directory = dict(enumerate(_directories(path))).get(index, {})
    header = header_of(directory)
    if not may_be_sealed(header):
        return None
    _check_size(path, index, header.width_px, header.rows, limits)
    with _tiff_faults(path), path.open("rb") as file:
        code = read_strips(file, directory, limits.max_octets)[0]
    return (header, code) if is_sealed(header, code) else None


def _sound_rows(path: Path, index: int, directory: Directory, header: PageHeader, limits: DocumentLimits) -> bytes:
    reading = _read(path, directory, limits)
    if reading.cut:
        rows = f"{reading.rows} of its {header.rows} rows can be read"
        raise DocumentError(f"{path}: page {index + 1} is damaged, {rows}; store the document again")
    return reading.raster


def _read(path: Path, directory: Directory, limits: DocumentLimits) -> Reading:
    with _tiff_faults(path), path.open("rb") as file:
        return read_rows(file, directory, limits.max_octets)


def _bilevel_page(path: Path, index: int, header: PageHeader) -> PageImage:
    with open_image(path, index) as image:
        raster = inverted(image.convert("1").tobytes(), image.width)
        return PageImage(raster, image.width, image.height, header.x_dpi, header.y_dpi)


def _directories(path: Path, open_file: Opener = open_binary) -> list[dict[int, Field]]:
    with _tiff_faults(path), open_file(path) as file:
        if not file.read(1):
            raise DocumentError(f"{path}: the file is empty")
        directories = read_directories(file, FileLimits())
    if not directories:
        raise DocumentError(f"{path}: the TIFF file has no page")
    return directories


def _check_size(path: Path, index: int, width_px: int, rows: int, limits: DocumentLimits) -> None:
    where = f"{path}: page {index + 1}"
    if width_px < 1 or rows < 1:
        raise DocumentError(f"{where} is {width_px} pixels by {rows} rows: there is nothing to send")
    if width_px > MAX_WIDTH_PX or width_px * rows > limits.max_pixels:
        most = f"{MAX_WIDTH_PX} wide or {limits.max_pixels} in all"
        raise DocumentError(f"{where} is {width_px} x {rows} pixels, more than {most}; store it smaller")


# --- documents to send --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Part:
    """One page of what is to be sent: of a TIFF file (`directory`), of a PDF file (`pdf`), or an image."""

    path: Path
    index: int
    directory: Directory | None = None
    pdf: "PdfFile | None" = None


def prepare_document(
    sources: Sequence[Path],
    target: Path,
    *,
    resolution: Resolution = Resolution.FINE,
    limits: DocumentLimits = DEFAULT_LIMITS,
    observe: Observer = lambda path, index, number, total: None,
) -> tuple[PageHeader, ...]:
    """Turn files into one TIFF Class F document at `target`: all of them are one fax, in the given order.

    Pages of fax geometry are kept pixel for pixel; others are drawn at `resolution`; see the module's docstring.
    `observe` is told of each page before it is made. Returns the headers of the pages written. When a file cannot be
    used, or `target` cannot be written (StoreError), nothing is left at `target`. It is not synced: what must survive a
    power cut is a copy (host/outgoing.py).
    """
    with ExitStack() as opened:
        parts = [part for source in sources for part in _parts(source, limits, opened)]
        if not parts:
            raise DocumentError("there is no file to send; name at least one")
        if len(parts) > limits.max_pages:
            raise _too_long("the document", len(parts), limits)
        try:
            with _tiff_faults(target, StoreError), target.open("w+b") as file:
                write_file(file, _coded_pages(parts, resolution, limits, observe))
        except (DocumentError, StoreError):
            target.unlink(missing_ok=True)
            raise
    return read_headers(target)


def _too_long(what: str, pages: int, limits: DocumentLimits) -> DocumentError:
    most = f"at most {limits.max_pages} can be sent as one fax"
    return DocumentError(f"{what} has {pages} pages, {most}; send it in parts")


def _parts(source: Path, limits: DocumentLimits, opened: ExitStack) -> list[_Part]:
    """The pages of a file: TIFF and PDF files have any number, anything else is one image. `opened` closes files."""
    with _tiff_faults(source), source.open("rb") as file:
        head = file.read(HEAD_OCTETS)
    if not head:
        raise DocumentError(f"{source}: the file is empty; send one that has a page")
    if is_tiff(head):
        return [_Part(source, index, directory=directory) for index, directory in enumerate(_directories(source))]
    if not head.startswith(PDF_MARK) and b"\n" + PDF_MARK not in head:
        return [_Part(source, 0)]
    from vfax.codecs.pdf_reading import PdfFile  # PDFium is loaded where there is a PDF

    pdf = PdfFile(source)
    opened.callback(pdf.close)
    if pdf.pages > limits.max_pages:
        raise _too_long(f"{source}: the PDF", pdf.pages, limits)
    return [_Part(source, index, pdf=pdf) for index in range(pdf.pages)]


def _coded_pages(
    parts: Sequence[_Part], resolution: Resolution, limits: DocumentLimits, observe: Observer
) -> Iterator[tuple[Directory, list[bytes]]]:
    for number, part in enumerate(parts):
        observe(part.path, part.index, number, len(parts))
        page = _page(part, resolution, limits)
        fields = class_f_fields(
            page.width_px, page.rows, x_dpi=page.x_dpi, y_dpi=page.y_dpi, number=number, total=len(parts)
        )
        strips, fields[Tag.ROWS_PER_STRIP] = _strips(page)
        if len(strips) == 1:
            fields[Tag.SOFTWARE] = sealed_software(page.width_px, page.rows, strips[0])
        yield fields, strips


def _strips(page: PageImage) -> tuple[list[bytes], Field]:
    """The page as one strip, or as many as let libtiff read each of them in a few milliseconds; rows of a strip."""
    code = code_mmr(page.raster, page.width_px, page.rows)
    if len(code) <= STRIP_OCTETS:
        return [code], Field.long(page.rows)
    stride = (page.width_px + 7) // 8
    rows = max(1, min(BAND_PX // page.width_px, page.rows * BAND_OCTETS // len(code)))
    parts = [page.raster[at : at + rows * stride] for at in range(0, len(page.raster), rows * stride)]
    return [code_mmr(part, page.width_px, len(part) // stride) for part in parts], Field.long(rows)


def _page(part: _Part, resolution: Resolution, limits: DocumentLimits) -> PageImage:
    path, index = part.path, part.index
    if part.pdf is not None:
        return _pdf_page(part.pdf, part, resolution, limits)
    if part.directory is not None:
        header = header_of(part.directory)
        _check_size(path, index, header.width_px, header.rows, limits)
        kept = _kept_resolution(header)
        if kept is not None:
            page = load_page(path, index, limits)
            return PageImage(page.raster, page.width_px, page.rows, kept.x_dpi, kept.y_dpi)
    with open_image(path, index) as image:
        return _fax_page(path, index, image, resolution, limits)


def _pdf_page(pdf: "PdfFile", part: _Part, resolution: Resolution, limits: DocumentLimits) -> PageImage:
    width, rows = pdf.fitted_size(part.index, resolution)
    _check_length(part.path, part.index, rows, resolution, limits)
    _check_size(part.path, part.index, width, rows, limits)
    grey, images = pdf.draw(part.index, width, rows)
    raster = ink_of(grey, images)
    paper = resolution.widths_px[0]
    return PageImage(centre(raster, width, rows, paper), paper, rows, resolution.x_dpi, resolution.y_dpi)


def _kept_resolution(header: PageHeader) -> Resolution | None:
    """The resolution under which a page goes pixel for pixel; None when it must be scaled."""
    resolution = header.resolution
    if resolution is None or not header.bilevel or header.orientation != 1:
        return None
    return resolution if header.width_px in resolution.widths_px else None


def _fax_page(path: Path, index: int, image: Image.Image, resolution: Resolution, limits: DocumentLimits) -> PageImage:
    _check_size(path, index, image.width, image.height, limits)
    image.load()
    shape = pixel_shape(image)
    upright = ImageOps.exif_transpose(image)
    if (upright.width, upright.height) != (image.width, image.height):
        shape = 1 / shape
    paper = resolution.widths_px[0]
    width = min(paper, upright.width * MAX_ENLARGEMENT)
    rows = max(1, round(upright.height * width / upright.width * shape * resolution.y_dpi / resolution.x_dpi))
    _check_length(path, index, rows, resolution, limits)
    raster = rasterize(upright, width, rows, paper)
    return PageImage(raster, paper, rows, resolution.x_dpi, resolution.y_dpi)


def _check_length(path: Path, index: int, rows: int, resolution: Resolution, limits: DocumentLimits) -> None:
    if rows > limits.max_length_mm * resolution.rows_per_100_mm // 100:
        raise DocumentError(
            f"{path}: page {index + 1} would be {rows * 100 // resolution.rows_per_100_mm} mm long on paper, "
            f"at most {limits.max_length_mm} mm can be sent; split it"
        )


# --- inspection ---------------------------------------------------------------------------------------


def inspect(path: Path, limits: DocumentLimits = DEFAULT_LIMITS) -> DocumentReport:
    """The facts of a TIFF file and what about it is not Class F; fax-coded pages are decoded to see that they hold."""
    directories = _directories(path)
    with _tiff_faults(path), path.open("rb") as file:
        pages = tuple(
            report_on(file, directory, index, len(directories), limits.max_pixels, limits.max_octets)
            for index, directory in enumerate(directories)
        )
    return DocumentReport(path, path.stat().st_size, pages)


# --- faults -------------------------------------------------------------------------------------------


@contextmanager
def _system_faults(path: Path, kind: type[DocumentError | StoreError] = DocumentError) -> Iterator[None]:
    try:
        yield
    except OSError as why:
        if kind is DocumentError:
            raise DocumentError.of_system(path, why) from why
        raise kind(f"{path}: {why.strerror or why}") from why


@contextmanager
def _tiff_faults(path: Path, kind: type[DocumentError | StoreError] = DocumentError) -> Iterator[None]:
    with _system_faults(path, kind):
        try:
            yield
        except DecodeError as why:
            raise DocumentError(f"{path}: {why.what}; store the document as TIFF again") from why
