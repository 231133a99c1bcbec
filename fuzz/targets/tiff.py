"""TIFF files: headers, pages, inspection, and their way into a fax.

Oracle    DocumentError or a value; a page that loads is whole, and written again loads the same.
"""

import io
import random
import struct
from pathlib import Path
from typing import Final

from PIL import Image

from fuzz import scratch
from fuzz.pages import rows_like_a_scan
from vfax.codecs import tiff
from vfax.errors import DocumentError

RECORDS: Final = False
TOKENS: Final = (b"II*\0", b"MM\0*", b"\x03\x01\x03\x00\x01\x00\x00\x00", b"\x11\x01", b"\x17\x01", b"\xff\xff\xff\xff")
LIMITS: Final = tiff.DocumentLimits(max_pages=50, max_pixels=2_000_000, max_octets=1 << 20)
RAW: Final = 1


def seeds() -> list[bytes]:
    """Our own pages, and those of libtiff in every coding that fax pages come in."""
    dice = random.Random(6)
    raster = rows_like_a_scan(dice, 1728, 20)
    files = [tiff.write_page(raster, 1728, 20, x_dpi=204, y_dpi=98, description="vfax")]
    image = Image.frombytes("1", (100, 20), rows_like_a_scan(dice, 100, 20))
    for coding in ("raw", "group3", "group4", "tiff_ccitt", "packbits", "tiff_lzw"):
        file = io.BytesIO()
        image.save(file, "TIFF", compression=coding)
        files.append(file.getvalue())
    files.append(_many_claims(20))
    file = io.BytesIO()
    image.save(file, "TIFF", compression="group4", save_all=True, append_images=[image, image.rotate(90, expand=True)])
    return [*files, file.getvalue()]


def _many_claims(fields: int) -> bytes:
    """A directory whose fields all claim the same octets."""
    claims = b"".join(struct.pack("<HHII", 1000 + number, 1, 20_000, 8) for number in range(fields))
    return (b"II*\0" + struct.pack("<IH", 8, fields) + claims + bytes(4)).ljust(20_008, b"x")


def run(data: bytes) -> None:
    """One file."""
    path = scratch.holding(data, ".tif")
    try:
        headers = tiff.read_headers(path)
    except DocumentError:
        headers = ()
    try:
        report = tiff.inspect(path, LIMITS)
        assert len(report.pages) == len(headers)
        assert all(sentence.isprintable() for sentence in report.findings)
    except DocumentError:
        pass
    for index in range(len(headers[:3])):
        _try_page(path, index)


def _try_page(path: Path, index: int) -> None:
    try:
        page = tiff.load_page(path, index, LIMITS)
    except DocumentError:
        return
    assert len(page.raster) == page.rows * ((page.width_px + 7) // 8), "a page that is not whole"
    assert page.width_px * page.rows <= LIMITS.max_pixels, "a page beyond the limit"
    written = tiff.write_page(page.raster, page.width_px, page.rows, x_dpi=page.x_dpi or 204, y_dpi=page.y_dpi or 98)
    again = tiff.load_page(scratch.holding(written, ".again.tif"), 0)
    assert again.raster == page.raster
