"""Pages made to fit: sizes, lines that stay, greys that stay grey, and everything else pixel for pixel."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from vfax.codecs.dis import Agreement, Coding, Resolution
from vfax.codecs.scaling import LENGTH_SLACK, Bitmap, centre, fit_page, fitted_size, scale
from vfax.signals import Modem

MODE = Agreement(
    modem=Modem.V17_14400,
    coding=Coding.MMR,
    ecm=True,
    frame_octets=256,
    resolution=Resolution.FINE,
    width_px=1728,
    min_scan_ms=0,
)


def agreed(resolution: Resolution, paper: int = 0, max_rows: int = 0) -> Agreement:
    return replace(MODE, resolution=resolution, width_px=resolution.widths_px[paper], max_rows=max_rows)


def ink(image: Image.Image) -> bytes:
    return image.convert("1").tobytes()


def picture(raster: bytes, width_px: int, rows: int) -> Image.Image:
    return Image.frombytes("1", (width_px, rows), raster).convert("L")


def canvas(width_px: int, rows: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("L", (width_px, rows), 0)
    return image, ImageDraw.Draw(image)


# --- sizes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("have", "want", "rows", "size"),
    [
        (Resolution.FINE, Resolution.STANDARD, 2287, (1728, 1144)),
        (Resolution.FINE, Resolution.INCH_200X200, 2287, (1728, 2287)),
        (Resolution.SUPERFINE, Resolution.FINE, 4573, (1728, 2287)),
        (Resolution.R16, Resolution.SUPERFINE, 4573, (1728, 4573)),
        (Resolution.INCH_300X300, Resolution.INCH_200X200, 3507, (1728, 2338)),
        (Resolution.INCH_300X300, Resolution.STANDARD, 3507, (1728, 1169)),
        (Resolution.INCH_400X400, Resolution.INCH_300X300, 4677, (2592, 3508)),
        (Resolution.INCH_600X600, Resolution.FINE, 7015, (1728, 2339)),
        (Resolution.INCH_600X600, Resolution.R16, 7015, (3456, 4677)),
    ],
)
def test_another_resolution_keeps_the_proportions_of_the_grid(
    have: Resolution, want: Resolution, rows: int, size: tuple[int, int]
) -> None:
    page = Bitmap(b"", have.widths_px[0], rows, have)
    assert fitted_size(page, agreed(want)) == size


def test_paper_too_narrow_shrinks_the_page_as_a_whole() -> None:
    a3 = Bitmap(b"", 2432, 3242, Resolution.FINE)
    assert fitted_size(a3, agreed(Resolution.FINE)) == (1728, 2304)
    assert fitted_size(a3, agreed(Resolution.STANDARD, 1)) == (2048, 1365)


def test_paper_a_little_too_short_is_put_up_with() -> None:
    a4 = agreed(Resolution.FINE, max_rows=2286)
    longest = int(2286 * (1 + LENGTH_SLACK))
    assert fitted_size(Bitmap(b"", 1728, longest, Resolution.FINE), a4) == (1728, longest)
    width, rows = fitted_size(Bitmap(b"", 1728, longest + 1, Resolution.FINE), a4)
    assert (width < 1728, rows) == (True, 2286)


def test_rows_of_a_header_count_against_the_paper() -> None:
    page = Bitmap(b"", 1728, 2390, Resolution.FINE)
    a4 = agreed(Resolution.FINE, max_rows=2286)
    assert fitted_size(page, a4) == (1728, 2390)
    assert fitted_size(page, a4, rows_above=32)[1] == 2286 - 32


def test_a_page_far_too_long_is_shrunk_until_it_fits_and_centred() -> None:
    page = Bitmap(b"\xff" * 216 * 9000, 1728, 9000, Resolution.FINE)
    fitted = fit_page(page, agreed(Resolution.FINE, max_rows=2286))
    assert (fitted.width_px, fitted.rows) == (1728, 2286)
    left, _, right, bottom = picture(fitted.raster, 1728, 2286).getbbox() or (0, 0, 0, 0)
    assert (right - left, bottom) == (439, 2286)
    assert abs(left - (1728 - right)) <= 16


@settings(max_examples=60, deadline=None)
@given(
    have=st.sampled_from(list(Resolution)),
    want=st.sampled_from(list(Resolution)),
    width_px=st.integers(1, 8000),
    rows=st.integers(1, 60),
    paper=st.integers(0, 2),
    max_rows=st.sampled_from([0, 1, 40]),
    seed=st.integers(0, 9),
)
def test_every_page_fits_every_mode(
    have: Resolution, want: Resolution, width_px: int, rows: int, paper: int, max_rows: int, seed: int
) -> None:
    page = Bitmap(random.Random(seed).randbytes((width_px + 7) // 8 * rows), width_px, rows, have)
    mode = agreed(want, paper, max_rows)
    fitted = fit_page(page, mode)
    assert fitted.width_px == mode.width_px
    assert len(fitted.raster) == mode.width_px // 8 * fitted.rows
    assert fitted.rows >= 1
    assert not max_rows or fitted.rows <= max_rows * (1 + LENGTH_SLACK) + 1


# --- pixels --------------------------------------------------------------------------------------


def test_a_page_that_fits_keeps_every_pixel() -> None:
    raster = random.Random(1).randbytes(216 * 30)
    page = Bitmap(raster, 1728, 30, Resolution.INCH_200X200)
    assert fit_page(page, MODE).raster is raster


def test_a_narrow_page_is_centred_by_whole_octets() -> None:
    assert centre(b"\xff\xc0" * 2, 10, 2, 64) == (b"\0\0\0\xff\xc0\0\0\0") * 2
    assert centre(b"\xff", 8, 1, 8) == b"\xff"
    assert centre(b"\xff", 8, 1, 9) == b"\xff\0"


FACTORS = [(1, 2), (1, 3), (2, 3), (3, 4), (1, 4), (1, 6), (1728, 2432), (1900, 2000)]


@pytest.mark.parametrize(("new", "old"), FACTORS)
def test_lines_of_one_pixel_stay_lines_wherever_they_lie(new: int, old: int) -> None:
    size = 1200
    small = size * new // old
    for at in range(600, 612):
        image, draw = canvas(size, size)
        draw.line((at, 0, at, size), fill=255)
        draw.line((0, at, size, at), fill=255)
        result = picture(scale(ink(image), size, size, small, small), small, small)
        assert all(result.crop((0, row, small, row + 1)).getbbox() for row in range(small))
        assert all(result.crop((column, 0, column + 1, small)).getbbox() for column in range(small))
        assert result.histogram()[255] <= small * 4  # and do not become broad


def test_text_stays_where_and_as_black_as_it_was() -> None:
    image, draw = canvas(2592, 400)
    draw.text((40, 40), "Text stays text 0123456789", fill=255, font=ImageFont.load_default(60))
    before = image.point([0] * 128 + [255] * 128)
    after = picture(scale(ink(before), 2592, 400, 1728, 267), 1728, 267)
    small = before.resize((1728, 267), Image.Resampling.BOX)
    blackness = sum(level * count for level, count in enumerate(small.histogram())) / 255
    assert 0.95 < after.histogram()[255] / blackness < 1.3
    assert after.getbbox() == pytest.approx(small.point([0] * 60 + [255] * 196).getbbox(), abs=1)


@pytest.mark.parametrize("grey", [0.06, 0.35, 0.5, 0.65, 0.8, 0.9])
@pytest.mark.parametrize(("new", "old"), [(1, 2), (2, 3), (3, 4), (1, 3)])
def test_a_dithered_grey_stays_as_grey(grey: float, new: int, old: int) -> None:
    size = 768
    dithered = ink(Image.new("L", (size, size), round(255 * grey)).convert("1"))
    small = size * new // old
    result = picture(scale(dithered, size, size, small, small), small, small)
    middle = result.crop((32, 32, small - 32, small - 32))
    assert middle.histogram()[255] / (middle.width * middle.height) == pytest.approx(grey, abs=0.06)


def test_a_large_page_scales_in_bands_without_a_seam() -> None:
    image, draw = canvas(2592, 3000)
    for at in range(0, 2592, 48):
        draw.line((at, 0, at + 400, 3000), fill=255, width=3)
    small = picture(scale(ink(image), 2592, 3000, 1728, 2000), 1728, 2000)
    level = int(255 / 3) - 2
    whole = image.resize((1728, 2000), Image.Resampling.BOX).point([0] * level + [255] * (256 - level))
    assert small.tobytes() == whole.tobytes()


def test_one_row_and_one_pixel_scale_to_something() -> None:
    assert scale(b"\x80", 1, 1, 5, 3) == b"\xf8" * 3
    assert scale(b"\xff" * 2, 16, 1, 1, 1) == b"\x80"
