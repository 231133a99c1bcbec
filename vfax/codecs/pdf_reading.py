"""PDF files to send: their pages as grey pixels, drawn by PDFium.

Owns      opening PDF files and what is wrong with them, how large a page is on fax paper, drawing it.
Not here  what becomes ink (pictures.py), writing PDF (pdf.py), limits of memory and time (vfax/host/convert.py).
Source    PDFium's public headers (fpdfview.h); ISO 32000-1: 7.7.3.3 page boxes and rotation, 12.6.4.16 JavaScript,
          12.7.8 XFA, annex C limits.

A page is drawn as a printer would print it: its crop box, turned as /Rotate says, with those annotations that are to be
printed and with what was filled into its forms. No action of a document is ever triggered, and JavaScript and XFA are
switched off even for builds of PDFium that could run them (the one in the wheels cannot).

PDFium is not thread safe: one lock holds every call. It is called with handles instead of pypdfium2's objects, whose
finalizers would call it from whichever thread collects garbage.
"""

import ctypes
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pypdfium2.raw as pdfium
from PIL import Image

from vfax.codecs.dis import Resolution
from vfax.codecs.pictures import Box
from vfax.errors import DocumentError

POINTS_PER_INCH: Final = 72
MM_PER_INCH: Final = 25.4
LONGEST_SIDE: Final = 14_400
"""Limit: points of a side of a page, 200 inches (ISO 32000-1 annex C); PDFium itself takes any number."""

MAX_OBJECTS: Final = 10_000
"""Limit: objects of a page among which its images are looked for."""

_LOCK: Final = threading.Lock()
_CHANNELS: Final = 4
_WHITE: Final = 0xFFFFFFFF
_LOOKS: Final = pdfium.FPDF_ANNOT | pdfium.FPDF_PRINTING
_AGAIN: Final = "open it in a reader and print it to a new PDF"
_FAULTS: Final = {
    pdfium.FPDF_ERR_PASSWORD: (
        "the PDF is protected by a password",
        "print it to a new PDF without one and send that",
    ),
    pdfium.FPDF_ERR_SECURITY: ("the PDF is encrypted in a way that is not known here", _AGAIN),
}


class PdfFile:
    """An open PDF file. Any thread may use it. Raises DocumentError for what is wrong with the file.

    `pages` is what the file says; whether they are there is seen when one is drawn.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with _LOCK:
            self._document = pdfium.FPDF_LoadDocument(str(path).encode("utf-8", "surrogateescape"), None)
            if not self._document:
                what, remedy = _FAULTS.get(
                    pdfium.FPDF_GetLastError(), ("the PDF is damaged and cannot be opened", _AGAIN)
                )
                raise DocumentError(f"{path}: {what}; {remedy}")
            self.pages: int = pdfium.FPDF_GetPageCount(self._document)
            form = pdfium.FPDF_GetFormType(self._document)
            # Without m_pJsPlatform "JavaScript will be prevented from executing" (fpdf_formfill.h).
            self._form_info = pdfium.FPDF_FORMFILLINFO(version=2, xfa_disabled=True)
            self._form = pdfium.FPDFDOC_InitFormFillEnvironment(self._document, self._form_info)
            pdfium.FPDF_SetFormFieldHighlightAlpha(self._form, 0)
        if form == pdfium.FORMTYPE_XFA_FULL:
            self.close()
            raise DocumentError(f"{path}: the PDF is an XFA form, whose pages are made by a program in it; {_AGAIN}")
        if self.pages < 1:
            self.close()
            raise DocumentError(f"{path}: the PDF has no page; {_AGAIN}")

    def close(self) -> None:
        """Let go of the file."""
        with _LOCK:
            if self._document:
                pdfium.FPDFDOC_ExitFormFillEnvironment(self._form)
                pdfium.FPDF_CloseDocument(self._document)
            self._document = None

    def fitted_size(self, index: int, resolution: Resolution) -> tuple[int, int]:
        """Pixels across and rows that page `index` (from 0) takes at `resolution`: its own size on paper, reduced as a
        whole where it is wider than A4."""
        with _LOCK, self._page(index) as page:
            across = pdfium.FPDF_GetPageWidthF(page)
            down = pdfium.FPDF_GetPageHeightF(page)
        if not (0 < across <= LONGEST_SIDE and 0 < down <= LONGEST_SIDE):
            mm = MM_PER_INCH / POINTS_PER_INCH
            raise DocumentError(
                f"{self._path}: page {index + 1} is {_round(across * mm)} x {_round(down * mm)} mm, and a PDF page may "
                f"be {LONGEST_SIDE * mm:.0f} mm long and wide at most; print it to a new PDF on real paper"
            )
        width = across / POINTS_PER_INCH * resolution.x_dpi
        rows = down / POINTS_PER_INCH * resolution.y_dpi
        shrink = min(1.0, resolution.widths_px[0] / width)
        return max(1, round(width * shrink)), max(1, round(rows * shrink))

    def draw(self, index: int, width: int, rows: int) -> tuple[Image.Image, list[Box]]:
        """Page `index` (from 0) in 8-bit grey, its edges at those of `width` x `rows` pixels, and where it has images.

        Images within forms are not found.
        """
        pixels = bytearray(width * rows * _CHANNELS)
        target = (ctypes.c_ubyte * len(pixels)).from_buffer(pixels)
        with _LOCK, self._page(index) as page:
            bitmap = pdfium.FPDFBitmap_CreateEx(width, rows, pdfium.FPDFBitmap_BGRx, target, width * _CHANNELS)
            try:
                pdfium.FPDFBitmap_FillRect(bitmap, 0, 0, width, rows, _WHITE)
                pdfium.FPDF_RenderPageBitmap(bitmap, page, 0, 0, width, rows, 0, _LOOKS)
                pdfium.FPDF_FFLDraw(self._form, bitmap, page, 0, 0, width, rows, 0, _LOOKS)
            finally:
                pdfium.FPDFBitmap_Destroy(bitmap)
            images = list(_images(page, width, rows))
        return Image.frombuffer("RGB", (width, rows), pixels, "raw", "BGRX", 0, 1).convert("L"), images

    @contextmanager
    def _page(self, index: int) -> Iterator[pdfium.FPDF_PAGE]:
        page = pdfium.FPDF_LoadPage(self._document, index) if self._document else None
        if not page:
            raise DocumentError(f"{self._path}: page {index + 1} of the PDF is damaged and cannot be drawn; {_AGAIN}")
        pdfium.FORM_OnAfterLoadPage(page, self._form)
        try:
            yield page
        finally:
            pdfium.FORM_OnBeforeClosePage(page, self._form)
            pdfium.FPDF_ClosePage(page)


def _images(page: pdfium.FPDF_PAGE, width: int, rows: int) -> Iterator[Box]:
    """Where the images of a page are, in pixels."""
    for number in range(min(pdfium.FPDFPage_CountObjects(page), MAX_OBJECTS)):
        item = pdfium.FPDFPage_GetObject(page, number)
        if pdfium.FPDFPageObj_GetType(item) != pdfium.FPDF_PAGEOBJ_IMAGE:
            continue
        left, bottom, right, top = (ctypes.c_float() for _ in range(4))
        if not pdfium.FPDFPageObj_GetBounds(item, left, bottom, right, top):
            continue
        corners = [_pixel(page, width, rows, x.value, y.value) for x, y in ((left, bottom), (right, top))]
        (x, to_x), (y, to_y) = (sorted(pair) for pair in zip(*corners, strict=True))
        if x < to_x and y < to_y:
            yield x, y, to_x, to_y


def _pixel(page: pdfium.FPDF_PAGE, width: int, rows: int, x: float, y: float) -> tuple[int, int]:
    """The pixel at a point of the page's own coordinates, on the page."""
    across, down = ctypes.c_int(), ctypes.c_int()
    pdfium.FPDF_PageToDevice(page, 0, 0, width, rows, 0, x, y, across, down)
    return min(max(across.value, 0), width), min(max(down.value, 0), rows)


def _round(length: float) -> str:
    return f"{length:.0f}" if math.isfinite(length) else "countless"
