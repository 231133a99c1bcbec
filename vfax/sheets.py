"""One page of a document as it goes over the line: made to fit, with its header line, coded.

Owns      the order of these steps, what became of the page's size, when and between whom the header says it is.
Not here  the steps themselves (codecs/tiff.py, scaling.py, header_line.py, t30/coding.py); who wants them (runner.py).

All functions may block; call them from a worker thread.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from vfax.call import SendRequest
from vfax.codecs import tiff
from vfax.codecs.dis import Agreement, Coding
from vfax.codecs.header_line import HeaderLine, draw_header, header_rows
from vfax.codecs.libtiff import code_mmr, code_whole, stacked_mmr
from vfax.codecs.scaling import Bitmap, fit_page, fitted_size
from vfax.codecs.tiff_page import fax_resolution
from vfax.errors import DecodeError, DocumentError
from vfax.t30.coding import K, code_page, least_row_octets
from vfax.t30.values import PageInfo
from vfax.transports.sip.headers import Uri


@dataclass(frozen=True, slots=True)
class Scaled:
    """A page that went out with other pixels than it has: width, rows and resolution before and after, in words."""

    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Sheet:
    """A coded page; `scaled` when its pixels are not the document's, `bare` says why a header line is missing."""

    data: bytes
    scaled: Scaled | None = None
    bare: str = ""


def header_line(
    started: datetime, zone: str, *, name: str = "", local_id: str = "", recipient: str = "", pages: int = 1
) -> HeaderLine:
    """The line of a fax that was begun at `started` (aware), in the time of `zone`.

    `zone` is an IANA name or "" for this machine's; one that is not known here gives UTC.
    """
    there = started.astimezone(_zone(zone))
    words = f"{there:%Y-%m-%d %H:%M %Z}"
    sender = " ".join(part for part in (name, local_id) if part)
    return HeaderLine(when=words, sender=sender, recipient=recipient, pages=pages)


def header_of(request: SendRequest, started: datetime, pages: int) -> HeaderLine | None:
    """The header line that a request asks for, if it does."""
    if not request.header:
        return None
    return header_line(
        started,
        request.header_timezone,
        name=request.caller_name,
        local_id=request.local_id,
        recipient=_called_number(request.destination),
        pages=pages,
    )


def _called_number(destination: str) -> str:
    """What people call the other side: the user part of a SIP URI, else its host."""
    try:
        parsed = Uri.parse(destination)
    except DecodeError:
        return ""
    return unquote(parsed.user or parsed.host)


def _zone(name: str) -> tzinfo | None:
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # not known here, no name at all, a folder
        return UTC


def page_infos(headers: Sequence[tiff.PageHeader], document: Path) -> tuple[PageInfo, ...]:
    """What the T.30 engine must know of the pages. Raises DocumentError for one that is no fax page."""
    infos = []
    for number, header in enumerate(headers, 1):
        resolution = header.resolution
        if resolution is None or not header.bilevel:
            raise DocumentError(
                f"{document}: page {number} ({header.x_dpi} x {header.y_dpi} dpi, {header.compression}) is not a fax "
                "page; prepare the document first"
            )
        infos.append(PageInfo(header.width_px, header.rows, resolution))
    return tuple(infos)


def code_sheet(document: Path, number: int, agreement: Agreement, header: HeaderLine | None = None) -> Sheet:
    """Page `number` (from 1) of `document`, coded as `agreement` says. Raises DocumentError."""
    strip, bare = _strip(header, number, agreement)
    stored = _as_stored(document, number, agreement, strip)
    if stored is not None:
        return Sheet(stored, None, bare)
    page = load_sheet(document, number)
    rows_above = header_rows(agreement.resolution) if strip else 0
    fitted = fit_page(page, agreement, rows_above=rows_above)
    data = _coded(strip + fitted.raster, fitted, rows_above + fitted.rows, agreement)
    return Sheet(data, _scaled(page, fitted, fitted_size(page, agreement, rows_above=rows_above)), bare)


def _as_stored(document: Path, number: int, agreement: Agreement, strip: bytes) -> bytes | None:
    """The page as it is stored, below the rows of `strip`, where that is just what goes out; else None.

    Our own documents are stored as most machines want them: then no pixel needs to be looked at.
    """
    stored = tiff.load_code(document, number - 1) if agreement.coding is Coding.MMR else None
    if stored is None:
        return None
    header, code = stored
    resolution = header.resolution
    if resolution is None or header.width_px != agreement.width_px:
        return None
    size = header.width_px, header.rows
    rows_above = header_rows(agreement.resolution) if strip else 0
    if fitted_size(Bitmap(b"", *size, resolution), agreement, rows_above=rows_above) != size:
        return None
    if not strip:
        return code
    if any(strip[-((header.width_px + 7) // 8) :]):
        return None
    return stacked_mmr(code_mmr(strip, header.width_px, rows_above), code)


def _coded(raster: bytes, fitted: Bitmap, rows: int, agreement: Agreement) -> bytes:
    """By libtiff in a fraction of the time, but for pages whose rows are filled up for a slow printer."""
    if least_row_octets(agreement):
        return code_page(raster, fitted.width_px, rows, fitted.resolution, agreement)
    return code_whole(raster, fitted.width_px, rows, agreement.coding, k=K[agreement.resolution])


def load_sheet(document: Path, number: int) -> Bitmap:
    """Page `number` (from 1) as pixels of its fax resolution. Raises DocumentError."""
    page = tiff.load_page(document, number - 1)
    resolution = fax_resolution(page.x_dpi, page.y_dpi)
    if resolution is None:
        raise DocumentError(f"{document}: page {number} is no longer a fax page")
    return Bitmap(page.raster, page.width_px, page.rows, resolution)


def _strip(header: HeaderLine | None, number: int, agreement: Agreement) -> tuple[bytes, str]:
    """Rows of the header line, or why there are none: a fax does not fail for want of a font."""
    if header is None:
        return b"", ""
    try:
        return draw_header(header, number, agreement.width_px, agreement.resolution), ""
    except (ImportError, OSError) as why:
        return b"", f"the header line cannot be drawn, {why}"


def _scaled(page: Bitmap, fitted: Bitmap, size: tuple[int, int]) -> Scaled | None:
    if size == (page.width_px, page.rows):
        return None
    return Scaled(
        f"{page.width_px} x {page.rows} {page.resolution.title}", f"{size[0]} x {size[1]} {fitted.resolution.title}"
    )
