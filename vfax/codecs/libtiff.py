"""MMR of a page by libtiff: ten times as fast as our own, for what is written to files.

Owns      getting the code out of what Pillow writes; bands, so that large pages do not hold up the rest of the process.
Not here  what goes over the line (encode.py), the container (tiff_file.py).
Source    T.6 2.2; the traps of Pillow and libtiff were measured and have their tests.
"""

import io
from typing import Final

from PIL import Image, TiffImagePlugin

from vfax.codecs.t4_tables import EOFB
from vfax.codecs.tiff_file import Tag, read_directories, read_strips
from vfax.errors import MisuseError

# Known by name, TIFF needs no search through all of Pillow's formats, which would hold the first page for 100 ms.
assert TiffImagePlugin.TiffImageFile.format == "TIFF"
Image.preinit()

EOFB_CODE: Final = int(EOFB, 2)
EOFB_BITS: Final = len(EOFB)
BAND_PX: Final = 1 << 21
"""Pixels that Pillow and libtiff code in one go: no other thread runs meanwhile, for some two milliseconds."""


def code_mmr(raster: bytes, width_px: int, rows: int) -> bytes:
    """MMR of a raster by libtiff.

    Pillow writes mode "1" as black-is-zero and, asked for white-is-zero, turns every pixel over in a Python loop (a
    second for a page). libtiff codes ones as black runs whatever the field says: so the raster goes in as it is
    and only the strip is taken out.
    """
    stride = (width_px + 7) // 8
    if rows < 1 or len(raster) != rows * stride:
        raise MisuseError(f"raster has {len(raster)} octets, expected {rows} rows of {stride}")
    step = max(1, BAND_PX // width_px)
    if rows <= step:
        return _libtiff_mmr(raster, width_px, rows)
    code = bits = 0
    for first in range(0, rows, step):
        # A band is coded below the last row of the band above it, and the code of that row is cut off again.
        top, last = max(0, first - 1), min(first + step, rows)
        band, length = _without_eofb(_libtiff_mmr(raster[top * stride : last * stride], width_px, last - top))
        if first:
            length -= _without_eofb(_libtiff_mmr(raster[top * stride : first * stride], width_px, 1))[1]
        code = code << length | band & ((1 << length) - 1)
        bits += length
    padding = -(bits + EOFB_BITS) % 8
    return (((code << EOFB_BITS) | EOFB_CODE) << padding).to_bytes((bits + EOFB_BITS + padding) // 8, "big")


def _libtiff_mmr(raster: bytes, width_px: int, rows: int) -> bytes:
    file = io.BytesIO()
    Image.frombytes("1", (width_px, rows), raster).save(
        file, "TIFF", compression="group4", tiffinfo={int(Tag.ROWS_PER_STRIP): rows}
    )
    (directory,) = read_directories(file)
    return b"".join(read_strips(file, directory, 2**32))


def _without_eofb(octets: bytes) -> tuple[int, int]:
    """The rows' code as a number, and its bits: an EOFB ends in a one, what follows is padding."""
    code = int.from_bytes(octets, "big")
    behind = (code & -code).bit_length() - 1 + EOFB_BITS
    return code >> behind, len(octets) * 8 - behind
