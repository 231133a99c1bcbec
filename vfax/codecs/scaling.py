"""Pages made to fit what was agreed: another resolution, narrower or shorter paper.

Owns      how large a page becomes, and its pixels after that: lines kept, greys dithered, narrow pages centred.
Not here  which mode is chosen (dis.py), coding (encode.py), the header line (header_line.py).
Source    The resolutions of T.30 (09/2005) Table 2; how pixels are chosen is ours.

A metric resolution and its inch-based counterpart have the same grid: their pages are exchanged pixel for pixel, as
deployed machines do (libspandsp). Between grids a page keeps its pixels' proportions.

A page that is longer than the peer's paper by more than `LENGTH_SLACK` is scaled down as a whole until it fits. It is
neither cut (people would miss what is below) nor sent as several pages (nobody would know how they belong together).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import Final

from PIL import Image, ImageChops, ImageFilter

from vfax.codecs.dis import Agreement, Resolution

LENGTH_SLACK: Final = 0.05
"""Deviation: share by which a page may be longer than the paper that was announced (a header line adds 4 mm to A4 of
297 mm). Machines reduce such pages or have that much paper; scaling all of its pixels would cost more than it saves."""

BAND_PX: Final = 1 << 20  # pixels that are worked on in one go: other threads get their turn, memory stays small

TILE: Final = 16
DITHERED_SHARE: Final = (
    0.4  # pixels of a tile that differ from their neighbour: text has a quarter, a dithered grey half
)
DARK_INK: Final = 0.6  # share of a tile that is black: more than text ever has
DARK_SHARE: Final = 0.1  # then so few will do, for what is lost there is the white of a dark grey


@dataclass(frozen=True, slots=True)
class Bitmap:
    """A page's pixels: `rows` packed rows of `(width_px + 7) // 8` octets, 1 = black, most significant bit left."""

    raster: bytes
    width_px: int
    rows: int
    resolution: Resolution


def fitted_size(page: Bitmap, agreement: Agreement, *, rows_above: int = 0) -> tuple[int, int]:
    """Width and rows that the picture of `page` takes under `agreement`; `rows_above` are taken by something else.

    Never more than `agreement.width_px` wide; at least one pixel and one row.
    """
    width, rows = resampled_size(page, agreement.resolution)
    shrink = min(1.0, agreement.width_px / width)
    longest = agreement.max_rows
    if longest and rows * shrink + rows_above > longest * (1 + LENGTH_SLACK):
        shrink = max(1, longest - rows_above) / rows
    return max(1, round(width * shrink)), max(1, round(rows * shrink))


def resampled_size(page: Bitmap, resolution: Resolution) -> tuple[int, int]:
    """Width and rows of the same page on another grid; part pixels count whole."""
    (across, down), (from_across, from_down) = resolution.grid, page.resolution.grid
    return -(-page.width_px * across // from_across), -(-page.rows * down // from_down)


def fit_page(page: Bitmap, agreement: Agreement, *, rows_above: int = 0) -> Bitmap:
    """The page as it goes out under `agreement`, exactly `width_px` wide; the same pixels when they fit."""
    width, rows = fitted_size(page, agreement, rows_above=rows_above)
    raster = page.raster
    if (width, rows) != (page.width_px, page.rows):
        raster = scale(raster, page.width_px, page.rows, width, rows)
    raster = centre(raster, width, rows, agreement.width_px)
    return Bitmap(raster, agreement.width_px, rows, agreement.resolution)


def scale(raster: bytes, width_px: int, rows: int, new_width: int, new_rows: int) -> bytes:
    """Packed rows scaled to another size; takes some milliseconds a megapixel.

    Each new pixel gets the share of black of the area it covers. That is then cut so low that a line of one pixel
    stays a line, wherever it lies; but where the page is dithered, it is dithered anew.
    """
    level = _line_level(new_width / width_px, new_rows / rows)
    table = [255 if ink >= level else 0 for ink in range(256)]
    scaled = []
    for source, size, area in _bands(raster, width_px, rows, new_width, new_rows):
        grey = source.resize(size, Image.Resampling.BOX, area)
        band = grey.point(table, "1")
        pictures = _dithered_parts(source)
        if pictures.getbbox():
            parts = pictures.resize(size, Image.Resampling.NEAREST)
            band = Image.composite(grey.convert("1"), band, parts)
        scaled.append(band.tobytes())
    return b"".join(scaled)


_Band = tuple[Image.Image, tuple[int, int], tuple[float, float, float, float]]


def _bands(raster: bytes, width_px: int, rows: int, new_width: int, new_rows: int) -> Iterator[_Band]:
    """The page from top to bottom: pixels (255 is black), the size they become, and the part of them that does."""
    stride = (width_px + 7) // 8
    step = max(1, BAND_PX * new_rows // (rows * max(width_px, new_width)))
    for top in range(0, new_rows, step):
        bottom = min(top + step, new_rows)
        above, below = top * rows / new_rows, bottom * rows / new_rows
        first, last = int(above), min(rows, ceil(below))
        pixels = Image.frombytes("1", (width_px, last - first), raster[first * stride : last * stride])
        area = (0, above - first, width_px, min(below, last) - first)
        yield pixels.convert("L"), (new_width, bottom - top), area


def _dithered_parts(pixels: Image.Image) -> Image.Image:
    """Where pixels change all the time, across and down, or some do and most are black: one pixel for each tile.

    Smaller spots are small print.
    """
    changes = [ImageChops.difference(pixels, ImageChops.offset(pixels, *step)) for step in ((1, 0), (0, 1))]
    across, down = (each.reduce(TILE) for each in changes)
    changing = ImageChops.darker(across, down)
    dark = ImageChops.darker(_from(changing, DARK_SHARE), _from(pixels.reduce(TILE), DARK_INK))
    dithered = ImageChops.lighter(_from(changing, DITHERED_SHARE), dark)
    return dithered.filter(ImageFilter.MinFilter(3)).filter(ImageFilter.MaxFilter(3)).convert("1")


def _from(grey: Image.Image, share: float) -> Image.Image:
    """White where the picture has that share of white at least, black elsewhere."""
    level = int(255 * share)
    return grey.point([0] * level + [255] * (256 - level))


def _line_level(across: float, down: float) -> int:
    """From how much ink (of 255) a pixel is black, for factors up to 1 in both directions.

    A line of one pixel gives a pixel the share `factor` where it meets it whole, and half of that at least where it
    lies between two. Half a pixel's ink is enough anyway.
    """
    shares = [factor if (1 / factor).is_integer() else factor / 2 for factor in (across, down) if factor < 1]
    return int(255 * min([0.5, *shares])) - 2


def centre(raster: bytes, width_px: int, rows: int, page_width: int) -> bytes:
    """White columns on both sides, as many as make rows of `page_width` pixels; the left margin is whole octets."""
    stride, page_stride = (width_px + 7) // 8, (page_width + 7) // 8
    if width_px == page_width:
        return raster
    left = bytes((page_width - width_px) // 16)
    right = bytes(page_stride - stride - len(left))
    return b"".join(left + raster[at : at + stride] + right for at in range(0, stride * rows, stride))
