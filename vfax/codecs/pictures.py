"""Pictures and rendered pages to black and white.

Owns      reading images with Pillow; what of greys and colours becomes ink: line art and text cut, greys dithered.
Not here  how large they become (tiff.py), drawing PDF pages (pdf_reading.py), scaling black and white (scaling.py).
Source    Floyd and Steinberg's dithering as Pillow has it; everything else is ours, judged by eye.

A picture (`rasterize`) is one or the other as a whole. A rendered page (`ink_of`) is decided place by place, for text
and photographs share it.
"""

import struct
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from PIL import Image, ImageChops, ImageFilter, UnidentifiedImageError

from vfax.codecs.tiff_page import inverted
from vfax.errors import DocumentError

# Share of pixels inside grey areas, above which an image has real greys.
GREY_SHARE: Final = 0.01
NOISE_SHARE: Final = 0.4
DARK, LIGHT = 64, 192

TILE: Final = 16
AREA_SHARE: Final = 0.15  # of a tile inside grey areas: more than the insides of letters have
MIDDLE_SHARE: Final = 0.5  # of a tile neither dark nor light: small grey print has less
PHOTO_SHARE: Final = 0.4  # of an image that has real greys: then all of it is a photograph, its blacks and whites too
CONTRAST: Final = 64  # between a stroke and what is around it; less is paper that is not quite white

# EPS and WMF are programs, not pictures: reading them runs a program on this machine.
REFUSED_FORMATS: Final = frozenset({"EPS", "WMF"})

# Everything Pillow's readers are known to raise for broken files.
_PILLOW_FAULTS: Final = (
    *(OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError),
    *(AssertionError, RuntimeError, MemoryError, Warning, struct.error, zlib.error),
)

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels."""
Pick = Callable[[Image.Image, Image.Image], Image.Image]


@contextmanager
def open_image(path: Path, index: int) -> Iterator[Image.Image]:
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
        raise DocumentError(
            f"{path}: this is neither a PDF nor an image; save or print it as PDF, TIFF or PNG"
        ) from why
    except Image.DecompressionBombError as why:
        raise DocumentError(f"{path}: the image has too many pixels; store it smaller") from why
    except _PILLOW_FAULTS as why:
        raise DocumentError(f"{path}: the image cannot be read ({why}); store it again") from why


def pixel_shape(image: Image.Image) -> float:
    """Height of a pixel over its width; 1.0 when the file says nothing sensible."""
    dpi = image.info.get("dpi")
    if not isinstance(dpi, tuple) or len(dpi) != 2 or min(dpi) <= 0:
        return 1.0
    shape = float(dpi[0]) / float(dpi[1])
    return shape if 0.2 <= shape <= 5 else 1.0


def rasterize(image: Image.Image, width: int, rows: int, paper: int) -> bytes:
    """The image at `width` x `rows` pixels, centred on rows of `paper` pixels: packed, 1 = black."""
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


# --- rendered pages -----------------------------------------------------------------------------------


def ink_of(grey: Image.Image, images: Sequence[Box] = ()) -> bytes:
    """A rendered page (8-bit grey) as packed rows, 1 = black.

    Strokes stay strokes, however thin and however light, cut half-way between their own grey and that around them.
    Photographs, shades and the insides of large grey shapes are dithered; of `images`, where the page is known to have
    one, all or nothing.
    """
    ink, shaded = _strokes(grey), _shaded(grey)
    for box in images:
        if _share(shaded.crop(box)) >= PHOTO_SHARE:
            shaded.paste(255, box)
    if shaded.getbbox():
        dithered = ImageChops.invert(grey.convert("1").convert("L"))
        ink = Image.composite(dithered, ink, shaded)
    return ink.convert("1", dither=Image.Dither.NONE).tobytes()


def _strokes(grey: Image.Image) -> Image.Image:
    """Ink (255) where a pixel is darker than the middle of its surroundings, or than half grey where those are flat."""
    darkest = _around(grey, ImageChops.darker)
    lightest = _around(_around(grey, ImageChops.lighter), ImageChops.lighter)
    middle = ImageChops.add(darkest, lightest, scale=2)
    drawn = ImageChops.darker(_from(ImageChops.subtract(lightest, darkest), CONTRAST), _below(darkest, LIGHT))
    level = Image.composite(middle, Image.new("L", grey.size, 128), drawn)
    return _from(ImageChops.subtract(level, grey), 1)


def _shaded(grey: Image.Image) -> Image.Image:
    """White (255) where a page has real greys: inside areas of them, and all over the tiles that are full of them."""
    darkest, lightest = (_around(_around(grey, pick), pick) for pick in (ImageChops.darker, ImageChops.lighter))
    area = ImageChops.darker(_from(darkest, DARK), _below(lightest, LIGHT))
    middle = ImageChops.darker(_from(grey, DARK), _below(grey, LIGHT))
    tiles = ImageChops.lighter(
        _from(area.reduce(TILE), int(255 * AREA_SHARE)), _from(middle.reduce(TILE), int(255 * MIDDLE_SHARE))
    )
    tiles = tiles.filter(ImageFilter.MinFilter(3)).filter(ImageFilter.MaxFilter(3))  # smaller spots are small print
    tiles = tiles.filter(ImageFilter.MaxFilter(7)).filter(ImageFilter.MinFilter(5))  # with holes filled, and a rim
    whole = tiles.resize((tiles.width * TILE, tiles.height * TILE), Image.Resampling.NEAREST)
    return ImageChops.lighter(area, whole.crop((0, 0, *grey.size)))


def _share(mask: Image.Image) -> float:
    """How much of a mask of 0 and 255 is white."""
    return mask.histogram()[255] / max(1, mask.width * mask.height)


def _around(grey: Image.Image, pick: Pick) -> Image.Image:
    """For each pixel the one that `pick` prefers of it and its eight neighbours; some ten times as fast as a filter.

    Beyond the edge lies the opposite one: both are margin.
    """
    across = pick(grey, pick(ImageChops.offset(grey, 1, 0), ImageChops.offset(grey, -1, 0)))
    return pick(across, pick(ImageChops.offset(across, 0, 1), ImageChops.offset(across, 0, -1)))


def _from(grey: Image.Image, level: int) -> Image.Image:
    """255 where the picture is `level` or lighter, 0 elsewhere."""
    return grey.point([0] * level + [255] * (256 - level))


def _below(grey: Image.Image, level: int) -> Image.Image:
    """255 where the picture is darker than `level`, 0 elsewhere."""
    return grey.point([255] * level + [0] * (256 - level))
