"""Documents: received pages to TIFF Class F, files of any kind to pages that can be sent.

Owns      writing, joining, reading, converting and inspecting documents; reading images with Pillow.
Not here  the container (tiff_file.py), what a fax page's fields mean (tiff_page.py), when a page is stored (pages.py).
Source    RFC 2306 (TIFF Class F); the traps of Pillow and libtiff were measured and have their tests.

All functions block; call them from a worker thread. They raise DocumentError, whose sentence names the file, what is
wrong and what would be right.

What becomes of a file that is to be sent:
- A TIFF page of a fax resolution (5 % either way) and of one of its widths (1728, 2048 or 2432 pixels at 204 dpi)
  that is bilevel, upright and undamaged goes pixel for pixel, whatever resolution was asked for.
- Everything else is an image: turned as its EXIF data says, laid on white, scaled to the width of A4 (never more than
  `MAX_ENLARGEMENT` times, then centred), its height following its physical shape. Line art is cut at half grey,
  anything with real greys is dithered (Floyd-Steinberg). Images longer than A4 stay one page: receivers announce
  unlimited length as a rule. Of animations the first picture counts; only TIFF files have pages.
"""

import io
import struct
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from PIL import Image, ImageChops, ImageFilter, ImageOps, UnidentifiedImageError

from vfax.codecs.dis import Resolution
from vfax.codecs.libtiff import BAND_OCTETS, BAND_PX, code_mmr
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
# Share of pixels inside grey areas, above which an image has real greys.
GREY_SHARE: Final = 0.01
NOISE_SHARE: Final = 0.4
DARK, LIGHT = 64, 192
# EPS and WMF are programs, not pictures: reading them runs a program on this machine.
REFUSED_FORMATS: Final = frozenset({"EPS", "WMF"})

# Everything Pillow's readers are known to raise for broken files.
_PILLOW_FAULTS: Final = (
    *(OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError),
    *(AssertionError, RuntimeError, MemoryError, Warning, struct.error, zlib.error),
)

Opener = Callable[[Path], BinaryIO]
"""How a file is opened for reading; an OSError it raises is the cause of the DocumentError that follows."""


def open_binary(path: Path) -> BinaryIO:
    """Open a file for reading."""
    return path.open("rb")


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
    code = code_mmr(raster, width_px, rows)
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
    with _image(path, index) as image:
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


def prepare_document(
    sources: Sequence[Path],
    target: Path,
    *,
    resolution: Resolution = Resolution.FINE,
    limits: DocumentLimits = DEFAULT_LIMITS,
) -> tuple[PageHeader, ...]:
    """Turn files into one TIFF Class F document at `target`: all of them are one fax, in the given order.

    Pages of fax geometry are kept pixel for pixel; other images are scaled to `resolution`; see the module's docstring.
    Returns the headers of the pages written. When a file cannot be used, or `target` cannot be written (StoreError),
    nothing is left at `target`. It is not synced: what must survive a power cut is a copy (host/outgoing.py).
    """
    parts = [part for source in sources for part in _parts(source)]
    if not parts:
        raise DocumentError("there is no file to send; name at least one")
    if len(parts) > limits.max_pages:
        raise DocumentError(f"the document has {len(parts)} pages, at most {limits.max_pages} can be sent as one fax")
    try:
        with _tiff_faults(target, StoreError), target.open("w+b") as file:
            write_file(file, _coded_pages(parts, resolution, limits))
    except (DocumentError, StoreError):
        target.unlink(missing_ok=True)
        raise
    return read_headers(target)


def _parts(source: Path) -> list[tuple[Path, int, Directory | None]]:
    """The pages of a file: a TIFF file has directories, anything else is one image."""
    with _tiff_faults(source), source.open("rb") as file:
        head = file.read(8)
    if not head:
        raise DocumentError(f"{source}: the file is empty")
    if head.startswith(b"%PDF"):
        raise DocumentError(f"{source}: PDF files cannot be sent yet; store the document as TIFF or as images")
    if not is_tiff(head):
        return [(source, 0, None)]
    return [(source, index, directory) for index, directory in enumerate(_directories(source))]


def _coded_pages(
    parts: list[tuple[Path, int, Directory | None]], resolution: Resolution, limits: DocumentLimits
) -> Iterator[tuple[Directory, list[bytes]]]:
    for number, (path, index, directory) in enumerate(parts):
        page = _page(path, index, directory, resolution, limits)
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


def _page(
    path: Path, index: int, directory: Directory | None, resolution: Resolution, limits: DocumentLimits
) -> PageImage:
    if directory is not None:
        header = header_of(directory)
        _check_size(path, index, header.width_px, header.rows, limits)
        kept = _kept_resolution(header)
        if kept is not None:
            page = load_page(path, index, limits)
            return PageImage(page.raster, page.width_px, page.rows, kept.x_dpi, kept.y_dpi)
    with _image(path, index) as image:
        return _fax_page(path, index, image, resolution, limits)


def _kept_resolution(header: PageHeader) -> Resolution | None:
    """The resolution under which a page goes pixel for pixel; None when it must be scaled."""
    resolution = header.resolution
    if resolution is None or not header.bilevel or header.orientation != 1:
        return None
    return resolution if header.width_px in resolution.widths_px else None


def _fax_page(path: Path, index: int, image: Image.Image, resolution: Resolution, limits: DocumentLimits) -> PageImage:
    _check_size(path, index, image.width, image.height, limits)
    image.load()
    shape = _pixel_shape(image)
    upright = ImageOps.exif_transpose(image)
    if (upright.width, upright.height) != (image.width, image.height):
        shape = 1 / shape
    paper = resolution.widths_px[0]
    width = min(paper, upright.width * MAX_ENLARGEMENT)
    rows = max(1, round(upright.height * width / upright.width * shape * resolution.y_dpi / resolution.x_dpi))
    longest = limits.max_length_mm * resolution.rows_per_100_mm // 100
    if rows > longest:
        raise DocumentError(
            f"{path}: page {index + 1} would be {rows * 100 // resolution.rows_per_100_mm} mm long on paper, "
            f"at most {limits.max_length_mm} mm can be sent; split it"
        )
    raster = _rasterize(upright, width, rows, paper)
    return PageImage(raster, paper, rows, resolution.x_dpi, resolution.y_dpi)


def _pixel_shape(image: Image.Image) -> float:
    """Height of a pixel over its width; 1.0 when the file says nothing sensible."""
    dpi = image.info.get("dpi")
    if not isinstance(dpi, tuple) or len(dpi) != 2 or min(dpi) <= 0:
        return 1.0
    shape = float(dpi[0]) / float(dpi[1])
    return shape if 0.2 <= shape <= 5 else 1.0


def _rasterize(image: Image.Image, width: int, rows: int, paper: int) -> bytes:
    grey = _on_white(image)
    scaled = grey.resize((width, rows), Image.Resampling.LANCZOS)
    # Enlarging makes broad grey edges, shrinking makes pictures small enough to look at: judge the smaller one.
    line_art = image.mode == "1" or _is_line_art(grey if width > image.width else scaled)
    if width < paper:
        page = Image.new("L", (paper, rows), 255)
        page.paste(scaled, ((paper - width) // 2, 0))
        scaled = page
    if line_art:
        scaled = scaled.point([0] * 128 + [255] * 128)
    return inverted(scaled.convert("1").tobytes(), paper)


def _on_white(image: Image.Image) -> Image.Image:
    """The image as 8-bit grey, transparent parts white, 16-bit samples scaled down."""
    if image.mode.startswith("I;16"):
        return image.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        white = Image.new("RGBA", coloured.size, (255, 255, 255, 255))
        white.alpha_composite(coloured)
        return white.convert("L")
    return (image if image.mode in ("1", "L", "RGB", "I", "F") else image.convert("RGB")).convert("L")


def _is_line_art(grey: Image.Image) -> bool:
    """True when greys are but edges: a pixel of a real grey area has no dark and no light neighbour.

    Noise hides grey areas from that test, but then greys are everywhere.
    """
    if sum(grey.histogram()[DARK:LIGHT]) > NOISE_SHARE * grey.width * grey.height:
        return False
    above_dark = grey.filter(ImageFilter.MinFilter(3)).point([0] * DARK + [255] * (256 - DARK))
    below_light = grey.filter(ImageFilter.MaxFilter(3)).point([255] * LIGHT + [0] * (256 - LIGHT))
    area = ImageChops.darker(above_dark, below_light).histogram()[255]
    return area <= GREY_SHARE * grey.width * grey.height


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
        raise kind(f"{path}: {why.strerror or why}") from why


@contextmanager
def _tiff_faults(path: Path, kind: type[DocumentError | StoreError] = DocumentError) -> Iterator[None]:
    with _system_faults(path, kind):
        try:
            yield
        except DecodeError as why:
            raise DocumentError(f"{path}: {why.what}; store the document as TIFF again") from why


@contextmanager
def _image(path: Path, index: int) -> Iterator[Image.Image]:
    """Frame `index` of an image; whatever Pillow raises or warns about becomes one DocumentError or nothing."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")
            Image.init()
            with Image.open(path, formats=[name for name in Image.OPEN if name not in REFUSED_FORMATS]) as image:
                if index:
                    image.seek(index)
                yield image
    except UnidentifiedImageError as why:
        raise DocumentError(f"{path}: this is not an image; send TIFF, PNG, JPEG or another image file") from why
    except Image.DecompressionBombError as why:
        raise DocumentError(f"{path}: the image has too many pixels; store it smaller") from why
    except _PILLOW_FAULTS as why:
        raise DocumentError(f"{path}: the image cannot be read ({why}); store it again") from why
