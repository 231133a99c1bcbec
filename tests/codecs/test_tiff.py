"""Documents: what Pillow reads in ours, what we read in others', and what becomes of a file that is to be sent."""

import contextlib
import io
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from vfax.codecs import tiff
from vfax.codecs.dis import Coding, Resolution
from vfax.codecs.encode import encode_page
from vfax.codecs.libtiff import BAND_OCTETS, BAND_PX, code_mmr
from vfax.codecs.tiff_file import Field, FieldType, FileLimits, Tag, read_directories, read_strips, write_file
from vfax.codecs.tiff_page import PageImage, class_f_fields
from vfax.errors import DecodeError, DocumentError, MisuseError

RandomPage = Callable[[random.Random, int, int], PageImage]


def store(path: Path, page: PageImage, *, x_dpi: float = 204, y_dpi: float = 98, number: int = 0) -> Path:
    path.write_bytes(tiff.write_page(page.raster, page.width_px, page.rows, x_dpi=x_dpi, y_dpi=y_dpi, number=number))
    return path


def fax_file(path: Path, page: PageImage, coding: Coding, **changed: Field) -> Path:
    """A one-page file coded by us, with fields changed: `photometric=Field.short(1)`."""
    fields = class_f_fields(page.width_px, page.rows, x_dpi=204, y_dpi=196)
    fields[Tag.COMPRESSION] = Field.short(4 if coding is Coding.MMR else 3)
    fields[Tag.T4_OPTIONS] = Field.long(1 if coding is Coding.MR else 0)
    fields.update({Tag[name.upper()]: field for name, field in changed.items()})
    strip = encode_page(page.raster, page.width_px, page.rows, coding)
    if fields[Tag.FILL_ORDER] == Field.short(2):
        strip = bytes(int(f"{octet:08b}"[::-1], 2) for octet in strip)
    with path.open("w+b") as file:
        write_file(file, [(fields, [strip])])
    return path


def black(image: Image.Image) -> bytes:
    """Packed pixels of a bilevel image whose width is a multiple of 8, 1 = black."""
    assert image.mode == "1"
    assert image.width % 8 == 0
    return bytes(octet ^ 0xFF for octet in image.tobytes())


@pytest.fixture(scope="session")
def page(random_page: RandomPage) -> PageImage:
    return random_page(random.Random(11), 1728, 120)


# --- received pages -----------------------------------------------------------------------------------


def test_a_page_is_read_back_by_pillow_pixel_for_pixel(page: PageImage) -> None:
    octets = tiff.write_page(page.raster, 1728, 120, x_dpi=204, y_dpi=98)
    with Image.open(io.BytesIO(octets)) as image:
        assert image.size == (1728, 120)
        assert black(image) == page.raster


@pytest.mark.parametrize("width_px", [1, 5, 1000, 1727, 2048, 2432, 4864])
def test_pages_of_any_width_are_read_back(width_px: int, random_page: RandomPage, tmp_path: Path) -> None:
    drawn = random_page(random.Random(width_px), width_px, 30)
    path = store(tmp_path / "p.tif", drawn)
    assert tiff.load_page(path, 0).raster == drawn.raster


def test_a_mostly_white_page_is_white_by_field_and_by_pixel() -> None:
    raster = bytes(216 * 10) + b"\xff" * 216
    octets = tiff.write_page(raster, 1728, 11, x_dpi=204, y_dpi=98)
    with Image.open(io.BytesIO(octets)) as image:
        assert isinstance(image, Image.Image)
        assert image.getpixel((0, 0)) == 255
        assert image.getpixel((0, 10)) == 0
        assert image.tag_v2[Tag.PHOTOMETRIC] == 0  # type: ignore[attr-defined]


def test_every_field_of_class_f_is_explicit(page: PageImage) -> None:
    octets = tiff.write_page(
        page.raster,
        1728,
        120,
        x_dpi=204,
        y_dpi=196,
        number=2,
        total=7,
        bad_rows=5,
        longest_bad_run=3,
        description="+49 30 1234",
        make="Someone",
        model="Märchen\0x",
        received="2026:11:20 10:00:00",
    )
    assert octets[:4] == b"II*\0"
    (fields,) = read_directories(io.BytesIO(octets))
    plain = {Tag(tag): field.values for tag, field in fields.items() if tag not in (273, 279)}
    assert plain == {
        Tag.NEW_SUBFILE_TYPE: (2,),
        Tag.IMAGE_WIDTH: (1728,),
        Tag.IMAGE_LENGTH: (120,),
        Tag.BITS_PER_SAMPLE: (1,),
        Tag.COMPRESSION: (4,),
        Tag.PHOTOMETRIC: (0,),
        Tag.FILL_ORDER: (1,),
        Tag.IMAGE_DESCRIPTION: tuple(b"+49 30 1234\0"),
        Tag.MAKE: tuple(b"Someone\0"),
        Tag.MODEL: tuple(b"M?rchen x\0"),
        Tag.ORIENTATION: (1,),
        Tag.SAMPLES_PER_PIXEL: (1,),
        Tag.ROWS_PER_STRIP: (120,),
        Tag.X_RESOLUTION: (204, 1),
        Tag.Y_RESOLUTION: (196, 1),
        Tag.T6_OPTIONS: (0,),
        Tag.RESOLUTION_UNIT: (2,),
        Tag.PAGE_NUMBER: (2, 7),
        Tag.SOFTWARE: plain[Tag.SOFTWARE],
        Tag.DATE_TIME: tuple(b"2026:11:20 10:00:00\0"),
        Tag.BAD_FAX_LINES: (5,),
        Tag.CLEAN_FAX_DATA: (1,),
        Tag.CONSECUTIVE_BAD_FAX_LINES: (3,),
    }
    assert bytes(int(value) for value in plain[Tag.SOFTWARE]).startswith(b"vfax ")
    assert len(fields[Tag.STRIP_OFFSETS].values) == 1


def test_a_clean_page_says_so(page: PageImage, tmp_path: Path) -> None:
    (header,) = tiff.read_headers(store(tmp_path / "p.tif", page))
    assert (header.clean, header.bad_rows, header.longest_bad_run) == (0, 0, 0)
    assert header.resolution is Resolution.STANDARD


@pytest.mark.parametrize(("octets", "rows"), [(0, 0), (216, 2), (217, 1)])
def test_a_raster_of_another_size_is_misuse(octets: int, rows: int) -> None:
    with pytest.raises(MisuseError):
        tiff.write_page(bytes(octets), 1728, rows, x_dpi=204, y_dpi=98)


# --- joining ------------------------------------------------------------------------------------------


def test_joined_pages_keep_their_fields_and_get_their_numbers(random_page: RandomPage, tmp_path: Path) -> None:
    pages = [random_page(random.Random(seed), 1728, 20 + seed) for seed in range(4)]
    paths = []
    for index, drawn in enumerate(pages):
        paths.append(tmp_path / f"{index}.tif")
        paths[-1].write_bytes(
            tiff.write_page(
                drawn.raster,
                1728,
                drawn.rows,
                x_dpi=204,
                y_dpi=(98, 196)[index % 2],
                bad_rows=index,
                description="x" * index,
            )
        )
    target = tmp_path / "all.tif"
    tiff.join_pages(paths, target)
    headers = tiff.read_headers(target)
    assert [(h.page, h.total) for h in headers] == [(0, 4), (1, 4), (2, 4), (3, 4)]
    assert [(h.y_dpi, h.bad_rows, h.description) for h in headers] == [
        (98, 0, ""),
        (196, 1, "x"),
        (98, 2, "xx"),
        (196, 3, "xxx"),
    ]
    assert [tiff.load_page(target, index).raster for index in range(4)] == [drawn.raster for drawn in pages]
    with Image.open(target) as image:
        assert image.n_frames == 4  # type: ignore[attr-defined]
        for index, drawn in enumerate(pages):
            image.seek(index)
            assert black(image) == drawn.raster


def test_pages_join_into_an_open_file(page: PageImage, tmp_path: Path) -> None:
    path = store(tmp_path / "p.tif", page)
    file = io.BytesIO()
    tiff.join_pages([path, path], file)
    assert len(read_directories(file)) == 2


def test_a_joined_file_joins_again(page: PageImage, tmp_path: Path) -> None:
    path, twice, six = store(tmp_path / "p.tif", page), tmp_path / "2.tif", tmp_path / "6.tif"
    tiff.join_pages([path, path], twice)
    tiff.join_pages([twice, twice, twice], six)
    assert [header.page for header in tiff.read_headers(six)] == list(range(6))
    assert tiff.load_page(six, 5).raster == page.raster


def test_a_thousand_pages_join(page: PageImage, tmp_path: Path) -> None:
    path, target = store(tmp_path / "p.tif", page), tmp_path / "all.tif"
    tiff.join_pages([path] * 1000, target)
    assert len(tiff.read_headers(target)) == 1000
    assert tiff.load_page(target, 999).raster == page.raster


def test_no_pages_are_no_document(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="no pages"):
        tiff.join_pages([], tmp_path / "all.tif")
    assert not (tmp_path / "all.tif").exists()


# --- reading ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coding", list(Coding))
@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("fill_order", [1, 2])
def test_pages_are_black_on_white_whatever_the_file_says_about_bits(
    coding: Coding, photometric: int, fill_order: int, random_page: RandomPage, tmp_path: Path
) -> None:
    drawn = random_page(random.Random(5), 1001, 40)
    path = fax_file(
        tmp_path / "p.tif", drawn, coding, photometric=Field.short(photometric), fill_order=Field.short(fill_order)
    )
    raster = tiff.load_page(path, 0).raster
    with Image.open(path) as image:
        assert bytes(octet ^ 0xFF for octet in image.tobytes())[0::126] == raster[0::126]
    assert (raster == drawn.raster) is (photometric == 0)


@pytest.mark.parametrize(
    "compression", [None, "group3", "group4", "packbits", "tiff_lzw", "tiff_adobe_deflate", "tiff_ccitt"]
)
@pytest.mark.parametrize("strip_octets", [216 * 7, 216 * 1000])
def test_bilevel_tiff_files_written_by_pillow_are_read(
    compression: str | None, strip_octets: int, page: PageImage, tmp_path: Path
) -> None:
    path = tmp_path / "p.tif"
    image = Image.frombytes("1", (1728, 120), bytes(octet ^ 0xFF for octet in page.raster))
    image.save(path, compression=compression, strip_size=strip_octets)
    assert tiff.load_page(path, 0).raster == page.raster


def test_a_damaged_page_is_refused_with_the_rows_it_has(page: PageImage, tmp_path: Path) -> None:
    path = store(tmp_path / "p.tif", page)
    octets = bytearray(path.read_bytes())
    octets[400:440] = bytes(40)
    path.write_bytes(octets)
    with pytest.raises(DocumentError, match=r"p\.tif: page 1 is damaged, \d+ of its 120 rows"):
        tiff.load_page(path, 0)
    (report,) = tiff.inspect(path).pages
    assert report.decoded_rows is not None
    assert report.decoded_rows < 120
    assert any("damaged after" in finding for finding in report.findings)


def test_a_page_that_is_not_there_is_named(page: PageImage, tmp_path: Path) -> None:
    path = store(tmp_path / "p.tif", page)
    for index in (-1, 1):
        with pytest.raises(DocumentError, match="there is no page"):
            tiff.load_page(path, index)


def test_a_grey_page_must_be_prepared(tmp_path: Path) -> None:
    path = tmp_path / "grey.tif"
    Image.new("L", (1728, 50), 255).save(path)
    with pytest.raises(DocumentError, match="prepare"):
        tiff.load_page(path, 0)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"II*\0", "ends too early"),
        (b"hello, world", "not a TIFF"),
        (b"II*\0\x08\0\0\0" + b"\x01\0" + bytes(12) + b"\x08\0\0\0", "loops"),
        (b"II*\0\x00\0\0\0", "no page"),
        (b"II*\0\x08\0\0\0" + b"\xff\xff" + bytes(12 * 65535 + 4), "65535 fields"),
        (b"II*\0\xf0\xff\xff\xff", "ends too early"),
    ],
)
def test_broken_containers_are_named(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    path.write_bytes(content)
    with pytest.raises(DocumentError, match=words) as caught:
        tiff.read_headers(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.tif", tmp_path):
        with pytest.raises(DocumentError, match=str(path)):
            tiff.read_headers(path)
        with pytest.raises(DocumentError, match=str(path)):
            tiff.prepare_document([path], tmp_path / "out.tif")


def test_more_pages_than_the_limit_are_refused(page: PageImage, tmp_path: Path) -> None:
    path = store(tmp_path / "p.tif", page)
    file = io.BytesIO()
    tiff.join_pages([path] * 5, file)
    with pytest.raises(DecodeError, match="more than 4"):
        read_directories(file, FileLimits(max_pages=4))


@settings(max_examples=80, deadline=None)
@given(
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8),
    cut=st.floats(0, 1),
)
def test_a_damaged_file_is_read_or_refused_and_nothing_else(
    changes: list[tuple[float, int]], cut: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    raster = (b"\x0f" * 216 + bytes(216)) * 8
    octets = bytearray(tiff.write_page(raster, 1728, 16, x_dpi=204, y_dpi=98, description="somebody"))
    for place, value in changes:
        octets[int(place * len(octets))] = value
    path = tmp_path_factory.mktemp("damaged") / "x.tif"
    path.write_bytes(octets[: len(octets) - int(cut * cut * cut * len(octets))])
    limits = tiff.DocumentLimits(max_pixels=1728 * 1000)
    with contextlib.suppress(DocumentError):
        header = tiff.read_headers(path)[0]
        loaded = tiff.load_page(path, 0, limits)
        assert len(loaded.raster) == (loaded.width_px + 7) // 8 * loaded.rows
        assert loaded.width_px in (header.width_px, header.rows)
    with contextlib.suppress(DocumentError):
        tiff.inspect(path, limits)


@st.composite
def odd_fields(draw: st.DrawFn) -> Field:
    kind = draw(st.sampled_from(FieldType))
    value: st.SearchStrategy[float] = {
        FieldType.FLOAT: st.floats(width=32),
        FieldType.DOUBLE: st.floats(),
        FieldType.SHORT: st.integers(0, 0xFFFF) | st.integers(0, 4),
        FieldType.LONG: st.integers(0, 0xFFFFFFFF) | st.integers(0, 4),
        FieldType.RATIONAL: st.integers(0, 300),
        FieldType.SRATIONAL: st.integers(-300, 300),
        FieldType.SLONG: st.integers(-(2**31), 2**31 - 1),
        FieldType.SSHORT: st.integers(-(2**15), 2**15 - 1),
        FieldType.SBYTE: st.integers(-128, 127),
    }.get(kind, st.integers(0, 255))
    return Field(kind, tuple(draw(st.lists(value, min_size=2, max_size=2))))


@settings(max_examples=120, deadline=None)
@given(changes=st.dictionaries(st.sampled_from(Tag), odd_fields(), max_size=4), strips=st.integers(0, 2))
def test_fields_of_any_kind_are_read_or_refused_and_nothing_else(
    changes: dict[int, Field], strips: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    fields = class_f_fields(1728, 4, x_dpi=204, y_dpi=98) | changes
    path = tmp_path_factory.mktemp("odd") / "x.tif"
    with path.open("w+b") as file:
        write_file(file, [(fields, [b"\xff\x00\x10\x01"] * strips)])
    limits = tiff.DocumentLimits(max_pixels=100_000)
    tiff.read_headers(path)
    for work in (tiff.load_page, lambda path, _, limits: tiff.inspect(path, limits)):
        with contextlib.suppress(DocumentError):
            work(path, 0, limits)
    with contextlib.suppress(DocumentError):
        tiff.prepare_document([path], path.with_name("out.tif"), limits=limits)


# --- documents to send --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dpi", "resolution"),
    [
        ((203, 97), Resolution.STANDARD),
        ((208, 200), Resolution.FINE),
        ((201, 199), Resolution.INCH_200X200),
        ((204, 390), Resolution.SUPERFINE),
        *(((one.x_dpi, one.y_dpi), one) for one in Resolution),
    ],
)
def test_a_fax_page_is_kept_pixel_for_pixel_and_gets_the_exact_resolution(
    dpi: tuple[int, int], resolution: Resolution, random_page: RandomPage, tmp_path: Path
) -> None:
    for width_px in resolution.widths_px:
        page = random_page(random.Random(7), width_px, 20)
        path = store(tmp_path / "p.tif", page, x_dpi=dpi[0], y_dpi=dpi[1])
        (header,) = tiff.prepare_document([path], tmp_path / "out.tif")
        assert (header.x_dpi, header.y_dpi) == (resolution.x_dpi, resolution.y_dpi)
        assert tiff.load_page(tmp_path / "out.tif", 0).raster == page.raster
        assert header.resolution is resolution
        with Image.open(tmp_path / "out.tif") as image:
            assert image.info["dpi"] == (resolution.x_dpi, resolution.y_dpi)
            assert black(image) == page.raster
        assert tiff.inspect(tmp_path / "out.tif").class_f


def test_a_large_page_is_coded_in_bands_that_join_without_a_seam(random_page: RandomPage) -> None:
    for width_px, rows in ((1728, 3000), (7296, 600), (5184, 405)):
        page = random_page(random.Random(rows), width_px, rows)
        assert rows > BAND_PX // width_px
        assert code_mmr(page.raster, width_px, rows) == encode_page(page.raster, width_px, rows, Coding.MMR)


def test_a_dense_page_is_stored_in_strips_that_can_be_read_in_no_time(random_page: RandomPage, tmp_path: Path) -> None:
    dice = random.Random(8)
    page = random_page(dice, 1728, 1203)
    page = PageImage(dice.randbytes(216 * 1000) + page.raster[216 * 1000 :], 1728, 1203, 204, 196)
    (header,) = tiff.prepare_document([store(tmp_path / "p.tif", page)], tmp_path / "out.tif")
    assert header.strips > 4
    assert tiff.load_page(tmp_path / "out.tif", 0).raster == page.raster
    with (tmp_path / "out.tif").open("rb") as file:
        (directory,) = read_directories(file)
        assert max(map(len, read_strips(file, directory, 10**7))) <= 2 * BAND_OCTETS
    assert [finding for finding in tiff.inspect(tmp_path / "out.tif").findings if "strips" not in finding] == []


def test_fax_pages_by_cm_and_big_endian_are_kept(page: PageImage, tmp_path: Path) -> None:
    path = tmp_path / "mm.tif"
    image = Image.frombytes("1", (1728, 120), bytes(octet ^ 0xFF for octet in page.raster))
    image.save(path, resolution_unit=3, x_resolution=80.3, y_resolution=77.2)
    (header,) = tiff.prepare_document([path], tmp_path / "out.tif")
    assert (header.x_dpi, header.y_dpi, header.rows) == (204, 196, 120)
    assert tiff.load_page(tmp_path / "out.tif", 0).raster == page.raster


def test_several_files_are_one_fax_in_the_given_order(page: PageImage, random_page: RandomPage, tmp_path: Path) -> None:
    other = random_page(random.Random(3), 1728, 33)
    first, second, joined = tmp_path / "1.tif", tmp_path / "2.tif", tmp_path / "3.tif"
    tiff.join_pages([store(first, page), store(second, other)], joined)
    picture = tmp_path / "4.png"
    Image.new("RGB", (864, 100), "white").save(picture)
    headers = tiff.prepare_document([second, joined, picture, first], tmp_path / "out.tif")
    assert [header.rows for header in headers] == [33, 120, 33, headers[3].rows, 120]
    assert [(header.page, header.total) for header in headers] == [(index, 5) for index in range(5)]
    assert tiff.inspect(tmp_path / "out.tif").class_f


def test_a_picture_is_scaled_to_a4_width_and_keeps_its_shape(tmp_path: Path) -> None:
    path, out = tmp_path / "circle.png", tmp_path / "out.tif"
    image = Image.new("L", (1000, 1000), 255)
    ImageDraw.Draw(image).ellipse((100, 100, 899, 899), fill=0)
    image.save(path)
    for resolution in (Resolution.STANDARD, Resolution.FINE):
        (header,) = tiff.prepare_document([path], out, resolution=resolution)
        assert header.width_px == 1728
        assert header.rows / header.y_dpi == pytest.approx(header.width_px / header.x_dpi, rel=0.01)
        with Image.open(out) as fax:
            left, top, right, bottom = fax.convert("L").point([255] * 128 + [0] * 128).getbbox() or (0, 0, 0, 0)
        assert (right - left) / 204 == pytest.approx((bottom - top) / header.y_dpi, rel=0.01)
        assert (right - left) / 1728 == pytest.approx(0.8, abs=0.01)


def test_every_page_of_a_tiff_of_pictures_is_a_page(tmp_path: Path) -> None:
    path, out = tmp_path / "album.tif", tmp_path / "out.tif"
    white, dark = Image.new("RGB", (432, 100), "white"), Image.new("RGB", (432, 200), "black")
    white.save(path, save_all=True, append_images=[dark])
    headers = tiff.prepare_document([path], out)
    assert [header.rows for header in headers] == [384, 769]
    assert not any(tiff.load_page(out, 0).raster)
    assert set(tiff.load_page(out, 1).raster) == {0xFF}


def test_unequal_resolutions_of_a_picture_are_respected(tmp_path: Path) -> None:
    path = tmp_path / "low.png"
    Image.new("L", (1000, 500), 255).save(path, dpi=(200, 100))
    (header,) = tiff.prepare_document([path], tmp_path / "out.tif")
    assert header.rows / header.y_dpi == pytest.approx(header.width_px / header.x_dpi, rel=0.01)


def test_pages_of_no_fax_width_are_scaled(random_page: RandomPage, tmp_path: Path) -> None:
    for width_px in (1700, 2480, 5000):
        path = store(tmp_path / "b4.tif", random_page(random.Random(1), width_px, 200), y_dpi=196)
        (header,) = tiff.prepare_document([path], tmp_path / "out.tif")
        assert header.width_px == 1728
        assert header.rows == pytest.approx(200 * 1728 / width_px, abs=1)


@pytest.mark.parametrize("resolution", Resolution)
def test_a_picture_takes_the_resolution_that_was_asked_for(resolution: Resolution, tmp_path: Path) -> None:
    path, out = tmp_path / "a4.png", tmp_path / "out.tif"
    Image.new("L", (1654, 2339), 255).save(path, dpi=(200, 200))
    (header,) = tiff.prepare_document([path], out, resolution=resolution)
    assert (header.resolution, header.width_px) == (resolution, resolution.widths_px[0])
    assert header.rows / header.y_dpi == pytest.approx(header.width_px / header.x_dpi * 2339 / 1654, rel=0.01)


def test_a_small_picture_is_enlarged_four_times_at_most_and_centred(tmp_path: Path) -> None:
    path, out = tmp_path / "dot.png", tmp_path / "out.tif"
    Image.new("1", (20, 20), 0).save(path)
    tiff.prepare_document([path], out)
    with Image.open(out) as fax:
        box = fax.convert("L").point([255] * 128 + [0] * 128).getbbox()
    assert box == (824, 0, 904, 77)


def test_a_photograph_is_dithered_and_a_drawing_is_not(tmp_path: Path) -> None:
    photo, drawing, out = tmp_path / "photo.png", tmp_path / "drawing.png", tmp_path / "out.tif"
    Image.new("L", (1728, 400), 191).save(photo)
    image = Image.new("L", (1728, 400), 235)  # a greyish scan of something black
    ImageDraw.Draw(image).rectangle((200, 100, 900, 200), fill=20)
    image.save(drawing)
    tiff.prepare_document([photo], out)
    loaded = tiff.load_page(out, 0)
    share = int.from_bytes(loaded.raster, "big").bit_count() / (1728 * loaded.rows)
    assert share == pytest.approx(0.25, abs=0.01)
    tiff.prepare_document([drawing], out)
    with Image.open(out) as fax:
        box = fax.convert("L").point([255] * 128 + [0] * 128).getbbox()
    assert box == pytest.approx((200, 96, 901, 193), abs=1)


def test_grey_strokes_are_not_dithered(tmp_path: Path) -> None:
    path, out = tmp_path / "strokes.png", tmp_path / "out.tif"
    image = Image.new("L", (1728, 300), 255)
    draw = ImageDraw.Draw(image)
    for x in range(8, 1700, 8):
        draw.line((x, 0, x, 299), fill=110, width=2)
    image.save(path)
    tiff.prepare_document([path], out)
    raster = tiff.load_page(out, 0).raster
    assert any(raster[:216])
    assert raster == raster[:216] * (len(raster) // 216)


def test_transparent_is_white(tmp_path: Path) -> None:
    for name, image in {
        "rgba.png": Image.new("RGBA", (400, 100), (0, 0, 0, 0)),
        "la.png": Image.new("LA", (400, 100), (0, 0)),
        "palette.png": Image.new("P", (400, 100), 0),
    }.items():
        if image.mode == "P":
            image.info["transparency"] = 0
        image.save(tmp_path / name)
        tiff.prepare_document([tmp_path / name], tmp_path / "out.tif")
        assert not any(tiff.load_page(tmp_path / "out.tif", 0).raster)


def test_exif_turns_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "turned.jpg"
    image = Image.new("L", (600, 300), 255)
    ImageDraw.Draw(image).rectangle((0, 0, 99, 299), fill=0)  # the left edge, which is the top once turned
    exif = Image.Exif()
    exif[Tag.ORIENTATION] = 6
    image.save(path, exif=exif)
    (header,) = tiff.prepare_document([path], tmp_path / "out.tif")
    assert header.rows > header.width_px
    rows = tiff.load_page(tmp_path / "out.tif", 0).raster
    assert rows[33:183] == b"\xff" * 150  # 300 pixels enlarged four times, centred
    assert not any(rows[-216 * 100 :])


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [
        *(("tif", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "F", "I")),
        *(("png", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
        *(("jpg", mode) for mode in ("L", "RGB", "CMYK", "YCbCr")),
        *(("bmp", mode) for mode in ("1", "L", "P", "RGB", "RGBA")),
        *(("gif", mode) for mode in ("1", "L", "P", "RGB", "RGBA")),
        *(("webp", mode) for mode in ("L", "RGB", "RGBA")),
    ],
)
def test_pictures_of_every_mode_and_kind_become_pages(suffix: str, mode: str, tmp_path: Path) -> None:
    path = tmp_path / f"picture.{suffix}"
    Image.new(mode, (300, 200)).save(path)
    (header,) = tiff.prepare_document([path], tmp_path / "out.tif")
    assert (header.width_px, header.rows, header.compression, header.photometric) == (1728, 769, "MMR", 0)


def test_sixteen_bit_grey_is_scaled_not_cut(tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    Image.new("I;16", (1728, 200), 49_151).save(path)
    tiff.prepare_document([path], tmp_path / "out.tif")
    loaded = tiff.load_page(tmp_path / "out.tif", 0)
    share = int.from_bytes(loaded.raster, "big").bit_count() / (1728 * loaded.rows)
    assert share == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.tif", b"", "empty"),
        ("letter.txt", b"Dear Sirs,\n", "neither a PDF nor an image; save or print it as PDF"),
        ("letter.pdf", b"%PDF-1.7\n", "PDF is damaged"),
        ("cut.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x01\0", "image"),
        (
            "program.eps",
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n",
            "neither a PDF nor an image; save or print it as PDF",
        ),
    ],
)
def test_what_cannot_be_sent_is_named_and_nothing_is_left(
    name: str, content: bytes, words: str, tmp_path: Path
) -> None:
    path, out = tmp_path / name, tmp_path / "out.tif"
    path.write_bytes(content)
    with pytest.raises(DocumentError, match=words) as caught:
        tiff.prepare_document([path], out)
    assert name in str(caught.value)
    assert not out.exists()


def test_a_tiff_page_of_no_rows_is_named(page: PageImage, tmp_path: Path) -> None:
    path = fax_file(tmp_path / "p.tif", page, Coding.MMR, image_length=Field.long(0))
    with pytest.raises(DocumentError, match="nothing to send"):
        tiff.prepare_document([path], tmp_path / "out.tif")


def test_a_picture_of_too_many_pixels_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, out = tmp_path / "bomb.png", tmp_path / "out.tif"
    Image.new("1", (200, 200)).save(path)
    with pytest.raises(DocumentError, match="store it smaller"):
        tiff.prepare_document([path], out, limits=tiff.DocumentLimits(max_pixels=39_999))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30_000)  # Pillow warns from here on: that must not be seen
    tiff.prepare_document([path], out)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)  # and refuses at twice its limit
    with pytest.raises(DocumentError, match="store it smaller"):
        tiff.prepare_document([path], out)


def test_a_page_of_many_metres_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "banner.png"
    Image.new("1", (500, 6_000)).save(path)
    with pytest.raises(DocumentError, match=r"page 1 would be 25\d\d mm long on paper, at most 1200"):
        tiff.prepare_document([path], tmp_path / "out.tif")


def test_no_file_and_too_many_pages_are_refused(page: PageImage, tmp_path: Path) -> None:
    path = store(tmp_path / "p.tif", page)
    with pytest.raises(DocumentError, match="no file"):
        tiff.prepare_document([], tmp_path / "out.tif")
    with pytest.raises(DocumentError, match="at most 2"):
        tiff.prepare_document([path] * 3, tmp_path / "out.tif", limits=tiff.DocumentLimits(max_pages=2))


# --- inspection ---------------------------------------------------------------------------------------


def test_a_page_of_ours_is_class_f(page: PageImage, tmp_path: Path) -> None:
    report = tiff.inspect(store(tmp_path / "p.tif", page))
    assert report.class_f
    assert report.pages[0].decoded_rows == 120


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"photometric": Field.short(1)}, "white is zero"),
        ({"image_width": Field.long(1700)}, "1700 pixels wide"),
        ({"x_resolution": Field.rational(300)}, "300 x 196 dpi"),
        ({"resolution_unit": Field.short(1)}, "does not state its resolution"),
        ({"new_subfile_type": Field.long(0)}, "NewSubfileType"),
        ({"page_number": Field.short(4, 9)}, "PageNumber says 5 of 9; it is 1 of 1"),
        ({"orientation": Field.short(3)}, "Orientation is 3"),
        ({"image_length": Field.long(200)}, "after 120 of 200 rows"),
    ],
)
def test_what_is_not_class_f_is_said_in_a_sentence(
    changed: dict[str, Field], words: str, page: PageImage, tmp_path: Path
) -> None:
    report = tiff.inspect(fax_file(tmp_path / "p.tif", page, Coding.MMR, **changed))
    assert not report.class_f
    assert [finding for finding in report.findings if words in finding and finding.startswith("Page 1: ")]


def test_rows_coded_wrongly_are_counted(page: PageImage, tmp_path: Path) -> None:
    path = fax_file(tmp_path / "p.tif", page, Coding.MH)
    octets = bytearray(path.read_bytes())
    octets[300:303] = b"\xff\xff\xff"
    path.write_bytes(octets)
    (report,) = tiff.inspect(path).pages
    assert report.decoded_rows == 120
    assert 0 < report.decoded_bad_rows < 6
    assert f"{report.decoded_bad_rows} of its rows are coded wrongly." in report.findings


@pytest.mark.parametrize(
    ("strips", "words"),
    [
        ({}, "no strips"),
        ({Tag.STRIP_OFFSETS: Field.long(8), Tag.STRIP_BYTE_COUNTS: Field.long(9, 9)}, "no strips"),
        ({Tag.STRIP_OFFSETS: Field.rational(8), Tag.STRIP_BYTE_COUNTS: Field.rational(9)}, "no whole numbers"),
        ({Tag.STRIP_OFFSETS: Field.long(8), Tag.STRIP_BYTE_COUNTS: Field.long(2**31)}, "exceed 100 octets"),
        ({Tag.STRIP_OFFSETS: Field.long(8), Tag.STRIP_BYTE_COUNTS: Field.long(99)}, "ends too early"),
    ],
)
def test_strips_that_are_not_there_are_named(strips: dict[int, Field], words: str) -> None:
    with pytest.raises(DecodeError, match=words):
        read_strips(io.BytesIO(b"II*\0" + bytes(50)), strips, 100)


def test_a_page_whose_data_lies_outside_the_file_is_reported(page: PageImage, tmp_path: Path) -> None:
    path = store(tmp_path / "p.tif", page)
    report = tiff.inspect(path, tiff.DocumentLimits(max_octets=100))
    assert report.findings == ("Page 1: Its data cannot be read: the page's strips exceed 100 octets.",)


def test_a_photograph_is_far_from_class_f(tmp_path: Path) -> None:
    path = tmp_path / "photo.tif"
    Image.new("RGB", (640, 480)).save(path)
    report = tiff.inspect(path)
    assert any("24 bits" in finding or "bits a pixel" in finding for finding in report.findings)
    assert report.pages[0].decoded_rows is None
