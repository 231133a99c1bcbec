"""PDF files as fax pages: where the ink is (poppler is the second opinion), what is cut, what dithered, hostile files.

The files are written here (tests/written_pdf.py), by Pillow, and by vfax itself.
"""

import io
import math
import random
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pypdfium2.raw as pdfium
import pytest
from PIL import Image, ImageChops, ImageFilter

from tests.interop.documents import class_f, draw_pages
from tests.written_pdf import box, line, pages, pdf_file, photo, stream, text
from vfax.codecs import pdf_reading, tiff
from vfax.codecs.dis import Resolution
from vfax.errors import DocumentError
from vfax.host.document import Format, load_document

PDFTOPPM: Final = shutil.which("pdftoppm")
LETTER: Final = b"".join(
    (
        *(text(60, 760 - 16 * row, 11, f"Line {row} of a letter, with a number: {row * 4711}") for row in range(20)),
        *(line(60, 400 - 10 * row, 500, 400 - 10 * row, 0.4) for row in range(5)),
        box(60, 200, 120, 80),
    )
)
SQUARE: Final = "/Type /XObject /Subtype /Form /BBox [0 0 100 20]"


def faxed(
    path: Path, content: bytes, resolution: Resolution = Resolution.FINE, limits: tiff.DocumentLimits | None = None
) -> list[Image.Image]:
    """The pages of a PDF as they would be sent, black on white."""
    path.write_bytes(content)
    out = path.with_suffix(".out.tif")
    headers = tiff.prepare_document([path], out, resolution=resolution, limits=limits or tiff.DocumentLimits())
    found = [tiff.load_page(out, index) for index in range(len(headers))]
    assert {(page.x_dpi, page.y_dpi) for page in found} == {(resolution.x_dpi, resolution.y_dpi)}
    return [
        ImageChops.invert(Image.frombytes("1", (page.width_px, page.rows), page.raster).convert("L")) for page in found
    ]


def ink_box(page: Image.Image) -> tuple[int, int, int, int]:
    found = ImageChops.invert(page).getbbox()
    assert found is not None, "a page without ink"
    return found


def ink(page: Image.Image, area: tuple[int, int, int, int] | None = None) -> float:
    """The share of black."""
    part = page.crop(area) if area else page
    return part.histogram()[0] / (part.width * part.height)


def of_poppler(path: Path, resolution: Resolution, size: tuple[int, int]) -> Image.Image:
    """The first page as poppler draws it, where it would lie on fax paper of that size.

    Quirk: pdftoppm 22.12 takes -rx for -ry and -ry for -rx on pages that lie on their side, so it draws square pixels.
    """
    assert PDFTOPPM is not None, "script/test installs poppler-utils"
    command = [PDFTOPPM, "-r", "600", "-gray", "-singlefile", str(path)]
    drawn = Image.open(io.BytesIO(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout))
    width = min(size[0], round(drawn.width / 600 * resolution.x_dpi))
    placed = Image.new("L", size, 255)
    placed.paste(drawn.resize((width, size[1]), Image.Resampling.BOX), ((size[0] - width) // 16 * 8, 0))
    return placed.point([0] * 180 + [255] * 76)


def strays(page: Image.Image, other: Image.Image) -> float:
    """The share of the ink of `page` that lies further from any of `other` than a quarter of a millimetre."""
    blurred = other.filter(ImageFilter.BoxBlur(2 if page.width <= 2000 else 4))
    near = blurred.point([0] * 255 + [255])  # as a minimum filter has it, in a tenth of the time
    missed = ImageChops.subtract(near, page)  # white there, black here
    return missed.histogram()[255] / max(1, page.histogram()[0])


# --- where the ink is -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("turn", "resolution"),
    [
        *((turn, resolution) for turn in (0, 90, 180, 270) for resolution in (Resolution.STANDARD, Resolution.FINE)),
        (0, Resolution.SUPERFINE),
        (90, Resolution.R16),
    ],
)
def test_a_page_has_its_ink_where_poppler_has_it(turn: int, resolution: Resolution, tmp_path: Path) -> None:
    path = tmp_path / "letter.pdf"
    (page,) = faxed(path, pages([LETTER], box="0 0 500 800", page=f"/Rotate {turn}"), resolution)
    placed = of_poppler(path, resolution, page.size)
    assert ink_box(page) == pytest.approx(ink_box(placed), abs=3)
    assert strays(page, placed) < 0.01
    assert strays(placed, page) < 0.01


def test_a_page_has_its_own_size_and_is_centred(tmp_path: Path) -> None:
    (page,) = faxed(tmp_path / "a.pdf", pages([box(72, 144, 72, 72)], box="0 0 288 288"))
    assert page.size == (1728, 784)  # 4 inches of 196 rows
    left = (1728 - 816) // 16 * 8
    assert ink_box(page) == pytest.approx((left + 204, 196, left + 408, 392), abs=1)


def test_a_wider_page_is_reduced_as_a_whole(tmp_path: Path) -> None:
    content = box(0, 0, 1190.55, 10) + box(0, 831.89, 10, 10)
    (page,) = faxed(tmp_path / "a3.pdf", pages([content], box="0 0 1190.55 841.89"))
    assert page.size == (1728, round(841.89 / 72 * 196 * 1728 / (1190.55 / 72 * 204)))
    assert ink_box(page) == (0, 0, 1728, page.height)


def test_the_crop_box_is_the_page(tmp_path: Path) -> None:
    content = box(0, 0, 595, 842) + box(110, 110, 180, 80, grey=1)
    (page,) = faxed(tmp_path / "cut.pdf", pages([content], page="/CropBox [100 100 300 200]"))
    width = round(200 / 72 * 204)
    left = (1728 - width) // 16 * 8
    assert page.height == round(100 / 72 * 196)
    assert ink(page, (left, 0, left + width, page.height)) == pytest.approx(1 - 180 * 80 / 20_000, abs=0.02)


def test_pages_keep_their_order_and_sizes(tmp_path: Path) -> None:
    contents = [box(10, 10, 20 * number, 20) for number in range(1, 6)]
    widths = [ink_box(page)[2] - ink_box(page)[0] for page in faxed(tmp_path / "five.pdf", pages(contents))]
    assert widths == pytest.approx([20 * number / 72 * 204 for number in range(1, 6)], abs=1.5)


@pytest.mark.parametrize("resolution", [Resolution.STANDARD, Resolution.FINE])
def test_a_fax_that_became_a_pdf_goes_out_pixel_for_pixel(resolution: Resolution, tmp_path: Path) -> None:
    received = tmp_path / "received.tif"
    fine = resolution is Resolution.FINE
    received.write_bytes(class_f(draw_pages(2, fine=fine), dpi=(resolution.x_dpi, resolution.y_dpi)))
    content = load_document(received, Format.PDF, limit=1 << 20)
    for index, page in enumerate(faxed(tmp_path / "again.pdf", content, resolution)):
        assert page.convert("1").tobytes() == bytes(255 ^ octet for octet in tiff.load_page(received, index).raster)


def test_what_pillow_writes_is_read(tmp_path: Path) -> None:
    drawn = draw_pages(3, fine=True)
    file = io.BytesIO()
    drawn[0].save(file, "PDF", save_all=True, append_images=drawn[1:], resolution=204)
    for page, original in zip(faxed(tmp_path / "scan.pdf", file.getvalue()), drawn, strict=True):
        assert page.size == (1728, round(2286 / 204 * 196))
        assert ink(page) == pytest.approx(original.histogram()[0] / (1728 * 2286), rel=0.15)


# --- what becomes ink -------------------------------------------------------------------------------------


@pytest.mark.parametrize("resolution", [Resolution.STANDARD, Resolution.FINE, Resolution.SUPERFINE])
def test_no_line_is_lost_however_thin_and_wherever_it_lies(resolution: Resolution, tmp_path: Path) -> None:
    flat = b"".join(line(50, 50 + 10.37 * at, 250, 50 + 10.37 * at, 0.05 * at) for at in range(40))
    steep = b"".join(line(300 + 6.43 * at, 50, 300 + 6.43 * at, 450, 0.05 * at) for at in range(40))
    (page,) = faxed(tmp_path / "lines.pdf", pages([flat + steep]), resolution)
    x, y = resolution.x_dpi / 72, resolution.y_dpi / 72
    left, bottom = (1728 - round(595.276 * x)) // 16 * 8, page.height
    across = page.crop((round(left + 150 * x), 0, round(left + 150 * x) + 1, bottom))
    down = page.crop((0, round(bottom - 250 * y), 1728, round(bottom - 250 * y) + 1)).transpose(
        Image.Transpose.ROTATE_90
    )
    for cut in (across, down.crop((0, 0, 1, 1728 - round(left + 290 * x)))):
        column = cut.tobytes()
        assert sum(above > 0 and here == 0 for above, here in pairwise(column)) == 40


@pytest.mark.parametrize("colour", ["0.53 0.53 0.53", "0.7 0.7 0.7", "1 0 0", "0 0.8 0", "0.29 0.56 0.89", "1 0.65 0"])
def test_coloured_text_is_as_crisp_as_black_text(colour: str, tmp_path: Path) -> None:
    words = "Invoice number 4711, to be paid"
    coloured = f"BT {colour} rg /F 11 Tf 60 700 Td ({words}) Tj ET".encode()
    (black,), (page,) = (
        faxed(tmp_path / "a.pdf", pages([text(60, 700, 11, words)])),
        faxed(tmp_path / "b.pdf", pages([coloured])),
    )
    assert ink_box(page) == pytest.approx(ink_box(black), abs=1)
    assert page.histogram()[0] == pytest.approx(black.histogram()[0], rel=0.1)
    assert strays(page, black) == strays(black, page) == 0


def test_text_is_cut_and_a_photograph_on_the_same_page_is_dithered(tmp_path: Path) -> None:
    dice = random.Random(1)
    greys = bytes(
        min(255, max(0, int(128 + 100 * math.sin(x / 37) * math.cos(y / 29) + dice.gauss(0, 10))))
        for y in range(300)
        for x in range(400)
    )
    content = text(60, 700, 11, "A word on paper") + b"q 200 0 0 150 60 400 cm /P Do Q"
    more = {100: photo(400, 300, greys)}
    (page,) = faxed(tmp_path / "a.pdf", pages([content], resources="/XObject << /P 100 0 R >>", more=more))
    (alone,) = faxed(tmp_path / "b.pdf", pages([text(60, 700, 11, "A word on paper")]))
    text_only = page.copy()
    top, left = round((841.89 - 550) / 72 * 196), 20
    picture = (left + round(60 / 72 * 204), top, left + round(260 / 72 * 204), top + round(150 / 72 * 196))
    assert page.crop((0, 0, 1728, top - 20)).tobytes() == alone.crop((0, 0, 1728, top - 20)).tobytes()
    assert ink(page, picture) == pytest.approx(1 - sum(greys) / len(greys) / 255, abs=0.03)
    for at in range(4):  # everywhere, not only as a whole
        part = (picture[0] + 130 * at, picture[1], picture[0] + 130 * (at + 1), picture[3])
        assert 0.2 < ink(page, part) < 0.8
    assert ink(text_only, (0, picture[3] + 40, 1728, page.height)) == 0


def test_the_darkest_and_lightest_parts_of_a_photograph_are_dithered_too(tmp_path: Path) -> None:
    greys = bytes(x * 255 // 399 for _ in range(300) for x in range(400))
    content, more = b"q 400 0 0 100 60 400 cm /P Do Q", {100: photo(400, 300, greys)}
    (page,) = faxed(tmp_path / "a.pdf", pages([content], resources="/XObject << /P 100 0 R >>", more=more))
    left, top, right, bottom = ink_box(page)
    for grey in (30, 225):  # both beyond what counts as a grey by itself
        x = left + grey * (right - left) // 255
        assert ink(page, (x - 40, top + 20, x + 40, bottom - 20)) == pytest.approx(1 - grey / 255, abs=0.05)


def test_text_near_a_large_grey_word_is_as_crisp_as_without_it(tmp_path: Path) -> None:
    small = b"".join(text(60, 690 - 9 * at, 7, "small print below a heading, as letters have it") for at in range(6))
    (page,), (alone,) = (
        faxed(tmp_path / "a.pdf", pages([small + text(60, 704, 40, "Heading", grey=0.5)])),
        faxed(tmp_path / "b.pdf", pages([small])),
    )
    left, top, right, bottom = ink_box(alone)
    assert page.crop((left, top + 4, right, bottom)).tobytes() == alone.crop((left, top + 4, right, bottom)).tobytes()


def test_grey_areas_are_dithered_in_their_grey_and_pale_ones_are_paper(tmp_path: Path) -> None:
    content = b"".join(box(60, 100 + 100 * at, 300, 80, grey=grey) for at, grey in enumerate((0.3, 0.5, 0.7, 0.9)))
    (page,) = faxed(tmp_path / "a.pdf", pages([content]))
    shares = []
    for at in range(4):
        bottom = page.height - (110 + 100 * at) / 72 * 196
        shares.append(ink(page, (200, round(bottom - 60 / 72 * 196), 900, round(bottom))))
    assert shares == pytest.approx([0.7, 0.5, 0.3, 0], abs=0.02)


# --- forms, notes and programs ------------------------------------------------------------------------------


def note(kind: str, flags: int, catalog: str = "") -> bytes:
    drawn = {
        100: f"<< /Type /Annot /Subtype /{kind} /FT /Tx /T (a) /F {flags} /Rect [100 100 300 140] "
        "/AP << /N 101 0 R >> >>".encode(),
        101: stream(b"0 0 100 20 re f", SQUARE.encode()),
    }
    return pages([text(60, 700, 12, "Name:")], page="/Annots [100 0 R]", more=drawn, catalog=catalog)


FIELDS: Final = "/AcroForm << /Fields [100 0 R] >>"
PRINT, HIDDEN = 4, 2


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        (note("Square", PRINT), True),
        (note("Square", 0), False),
        (note("Square", PRINT | HIDDEN), False),
        (note("Widget", PRINT, FIELDS), True),
        (note("Widget", PRINT | HIDDEN, FIELDS), False),
    ],
)
def test_notes_and_form_fields_are_seen_as_on_a_print(content: bytes, seen: bool, tmp_path: Path) -> None:
    (page,) = faxed(tmp_path / "form.pdf", content)
    area = (20 + round(110 / 72 * 204), page.height - round(135 / 72 * 196), 850, page.height - round(105 / 72 * 196))
    assert ink(page, area) == (1 if seen else 0)


def test_what_was_typed_into_a_form_is_seen_though_nobody_drew_it(tmp_path: Path) -> None:
    field = (
        b"<< /Type /Annot /Subtype /Widget /FT /Tx /T (a) /F 4 /DA (/F 12 Tf 0 g) /V (4711) /Rect [99 99 300 120] >>"
    )
    form = "/AcroForm << /NeedAppearances true /DR << /Font << /F 3 0 R >> >> /Fields [100 0 R] >>"
    (page,) = faxed(tmp_path / "form.pdf", pages([b""], page="/Annots [100 0 R]", more={100: field}, catalog=form))
    left, top, right, bottom = ink_box(page)
    assert (right - left, bottom - top) == pytest.approx((4 * 6.67 / 72 * 204, 12 * 0.72 / 72 * 196), abs=12)


def test_programs_in_a_document_change_nothing(tmp_path: Path) -> None:
    plain = pages([text(60, 700, 12, "Hello")])
    script = "/OpenAction << /S /JavaScript /JS (while \\(true\\) {}) >> /AA << /WC << /S /JavaScript /JS (x) >> >>"
    (page,) = faxed(tmp_path / "b.pdf", pages([text(60, 700, 12, "Hello")], catalog=script))
    assert page.tobytes() == faxed(tmp_path / "a.pdf", plain)[0].tobytes()


# --- hostile and broken files -------------------------------------------------------------------------------

GOOD: Final = pages([text(60, 700, 12, "Hello")])
FORM: Final = b"/Type /XObject /Subtype /Form /BBox [0 0 600 800] /Resources << /XObject << /X %d 0 R >> >>"
XFA: Final = "/NeedsRendering true /AcroForm << /Fields [] /XFA 100 0 R >>"
KEYS: Final = b"28" * 32
LOCKED: Final = b"/ID [<00> <00>] /Encrypt << /Filter /Standard /V 1 /R 2 /P -44 /O <%b> /U <%b> >>" % (KEYS, KEYS)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"%PDF-1.7\n", "damaged and cannot be opened; open it in a reader"),
        (GOOD[:300], "damaged"),
        (pages([]), "has no page"),
        (pages([b""], trailer=LOCKED), "protected by a password; print it to a new PDF without one"),
        (pages([b""], trailer=LOCKED.replace(b"/Standard", b"/Unknown")), "encrypted in a way that is not known"),
        (pages([b""], catalog=XFA, more={100: stream(b"<xdp/>")}), "an XFA form"),
        (pages([b""], box="0 0 15000 500"), r"page 1 is 5292 x 176 mm.* 5080 mm .*print it"),
        (pages([b""], box="0 0 1000000 1000000"), "page 1 is 352778 x 352778 mm"),
        (
            pages([b""], box="0 0 100 14000"),
            "page 1 would be 49.. mm long on paper, at most 1200 mm can be sent; split",
        ),
        (pages([b""] * 5), "the PDF has 5 pages, at most 4 can be sent as one fax; send it in parts"),
        (
            pdf_file({1: b"<< /Type /Catalog /Pages 2 0 R >>", 2: b"<< /Type /Pages /Count 9999999 /Kids [2 0 R] >>"}),
            "has no page|pages, at most 4",
        ),
        (
            pdf_file({1: b"<< /Type /Catalog /Pages 2 0 R >>", 2: b"<< /Type /Pages /Count 2 /Kids [8 0 R 9 0 R] >>"}),
            "page 1 of the PDF is damaged and cannot be drawn",
        ),
    ],
)
def test_what_cannot_be_sent_says_why_and_what_to_do_and_leaves_nothing(
    content: bytes, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "letter.pdf"
    with pytest.raises(DocumentError, match=words) as caught:
        faxed(path, content, limits=tiff.DocumentLimits(max_pages=4))
    assert str(caught.value).startswith(f"{path}: ")
    assert not path.with_suffix(".out.tif").exists()


def test_pixels_are_bounded_before_a_page_is_drawn(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"page 1 is 1687 x 2292 pixels, more than .*store it smaller"):
        faxed(tmp_path / "a.pdf", GOOD, limits=tiff.DocumentLimits(max_pixels=1_000_000))


@pytest.mark.parametrize("size", ["0 0 0 0", "0 0 1e30 1e30", "0 0 nan inf", "612 792 0 0", "(a) (b) (c) (d)"])
def test_a_page_box_that_is_none_is_some_paper(size: str, tmp_path: Path) -> None:
    (page,) = faxed(tmp_path / "a.pdf", pages([text(60, 700, 12, "Hello")], box=size))
    assert page.height == 2149  # PDFium takes Letter, reduced to the width of A4
    assert ink(page) > 0


def test_forms_that_draw_themselves_end(tmp_path: Path) -> None:
    itself = {100: stream(b"0 0 100 100 re f /X Do", FORM % 100)}
    (page,) = faxed(tmp_path / "a.pdf", pages([b"/X Do"], resources="/XObject << /X 100 0 R >>", more=itself))
    assert ink(page) > 0.01


def test_a_page_tree_that_holds_itself_ends(tmp_path: Path) -> None:
    tree = {1: b"<< /Type /Catalog /Pages 2 0 R >>", 2: b"<< /Type /Pages /Count 3 /Kids [2 0 R 2 0 R 2 0 R] >>"}
    with pytest.raises(DocumentError):
        faxed(tmp_path / "a.pdf", pdf_file(tree))


def test_octets_before_the_mark_are_passed_over(tmp_path: Path) -> None:
    (page,) = faxed(tmp_path / "a.pdf", b"HTTP/1.1 200 OK\n\n" + GOOD)
    assert ink(page) > 0


@pytest.mark.parametrize("name", ["größe 日本.pdf", "a b%20c.pdf", "-o.pdf"])
def test_any_name_is_opened(name: str, tmp_path: Path) -> None:
    assert len(faxed(tmp_path / name, GOOD)) == 1


def test_no_call_of_pdfium_is_made_without_its_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called = set()

    class Watched:
        """PDFium, with a look at the lock for each function."""

        def __getattr__(self, name: str) -> Any:
            found = getattr(pdfium, name)
            if name.startswith(("FPDF", "FORM")) and callable(found) and not isinstance(found, type):
                assert pdf_reading._LOCK.locked(), f"{name} without the lock"
                called.add(name)
            return found

    monkeypatch.setattr(pdf_reading, "pdfium", Watched())
    faxed(tmp_path / "a.pdf", pages([LETTER] * 2))
    assert {"FPDF_LoadDocument", "FPDF_RenderPageBitmap", "FPDF_CloseDocument"} <= called
    assert not pdf_reading._LOCK.locked()


def test_threads_may_convert_at_once(tmp_path: Path) -> None:
    contents = [pages([text(60, 700, 12, f"Page {at}"), LETTER]) for at in range(4)]
    alone = [[page.tobytes() for page in faxed(tmp_path / f"{at}.pdf", one)] for at, one in enumerate(contents)]

    def convert(at: int) -> list[bytes]:
        return [page.tobytes() for page in faxed(tmp_path / f"{at}.pdf", contents[at])]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(convert, range(4))) == alone
