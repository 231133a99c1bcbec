"""PDF of fax pages, read back by poppler (Debian's poppler-utils): pixels, code and paper sizes."""

import io
import random
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from vfax.codecs import tiff
from vfax.codecs.dis import Coding, Resolution
from vfax.codecs.encode import encode_page
from vfax.codecs.libtiff import code_mmr
from vfax.codecs.pdf import PdfPage, write_pdf
from vfax.codecs.tiff_file import Field, Tag, read_directories, read_strips, write_file
from vfax.codecs.tiff_page import PageImage, class_f_fields, inverted
from vfax.errors import DocumentError, MisuseError
from vfax.host.document import Format, load_document

RandomPage = Callable[[random.Random, int, int], PageImage]
LIMIT = 1 << 26
CASES = [
    (Resolution.STANDARD, 1728, 1143),
    (Resolution.FINE, 1728, 500),
    (Resolution.SUPERFINE, 1728, 400),
    (Resolution.INCH_300X300, 2592, 400),
    (Resolution.FINE, 2432, 700),  # A3
    (Resolution.INCH_400X400, 3456, 200),
]


@dataclass(frozen=True)
class Sheet:
    raster: bytes
    width_px: int
    rows: int
    resolution: Resolution

    def tiff(self) -> bytes:
        return tiff.write_page(
            self.raster, self.width_px, self.rows, x_dpi=self.resolution.x_dpi, y_dpi=self.resolution.y_dpi
        )


def tool(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def pixels(portable: bytes) -> tuple[int, int, bytes]:
    """Width, height and raster (1 = black) of a PBM file."""
    match = re.match(rb"P4\s+(\d+)\s+(\d+)\s", portable)
    assert match is not None
    return int(match[1]), int(match[2]), portable[match.end() :]


def images_in(pdf: Path) -> list[tuple[int, int, bytes]]:
    tool("pdfimages", str(pdf), str(pdf.with_suffix("")))
    return [pixels(path.read_bytes()) for path in sorted(pdf.parent.glob(f"{pdf.stem}-*.pbm"))]


def sizes_of(pdf: Path, pages: int) -> list[tuple[float, float]]:
    said = tool("pdfinfo", "-l", str(pages), str(pdf))
    return [(float(across), float(down)) for across, down in re.findall(r"size:\s+([\d.]+) x ([\d.]+) pts", said)]


def stored(folder: Path, *sheets: Sheet) -> Path:
    parts = []
    for at, sheet in enumerate(sheets):
        parts.append(folder / f"part{at}.tif")
        parts[-1].write_bytes(sheet.tiff())
    tiff.join_pages(parts, folder / "fax.tif")
    return folder / "fax.tif"


def as_pdf(document: Path) -> Path:
    pdf = document.with_name("made.pdf")
    pdf.write_bytes(load_document(document, Format.PDF, limit=LIMIT, title="Fax (1)\n☎", created="D:20250131120000Z"))
    return pdf


def sheet(random_page: RandomPage, resolution: Resolution, width_px: int, rows: int) -> Sheet:
    return Sheet(random_page(random.Random(rows), width_px, rows).raster, width_px, rows, resolution)


@pytest.mark.parametrize(("resolution", "width_px", "rows"), CASES)
def test_poppler_reads_every_pixel_and_the_paper_has_its_size(
    resolution: Resolution, width_px: int, rows: int, random_page: RandomPage, tmp_path: Path
) -> None:
    page = sheet(random_page, resolution, width_px, rows)
    pdf = as_pdf(stored(tmp_path, page))
    assert images_in(pdf) == [(width_px, rows, page.raster)]
    size = (width_px * 72 / resolution.x_dpi, rows * 72 / resolution.y_dpi)
    assert sizes_of(pdf, 1)[0] == pytest.approx(size, rel=1e-4)


def test_a_page_drawn_by_poppler_at_its_own_resolution_is_the_fax(random_page: RandomPage, tmp_path: Path) -> None:
    page = sheet(random_page, Resolution.STANDARD, 1728, 300)
    pdf = as_pdf(stored(tmp_path, page))
    tool("pdftoppm", "-mono", "-rx", "204", "-ry", "98", str(pdf), str(tmp_path / "drawn"))
    (drawn,) = tmp_path.glob("drawn*.pbm")
    assert pixels(drawn.read_bytes()) == (1728, 300, page.raster)


def test_pages_of_one_fax_keep_their_own_sizes_and_resolutions(random_page: RandomPage, tmp_path: Path) -> None:
    pages = [sheet(random_page, *case) for case in CASES]
    pdf = as_pdf(stored(tmp_path, *pages))
    assert images_in(pdf) == [(page.width_px, page.rows, page.raster) for page in pages]
    expected = [(page.width_px * 72 / page.resolution.x_dpi, page.rows * 72 / page.resolution.y_dpi) for page in pages]
    assert [size == pytest.approx(wanted, rel=1e-4) for size, wanted in zip(sizes_of(pdf, 9), expected, strict=True)]
    listed = tool("pdfimages", "-list", str(pdf)).splitlines()[2:]
    dots = [tuple(int(word) for word in line.split()[12:14]) for line in listed]
    assert dots == [(page.resolution.x_dpi, page.resolution.y_dpi) for page in pages]


def test_the_code_in_the_pdf_is_that_of_the_tiff_octet_for_octet(random_page: RandomPage, tmp_path: Path) -> None:
    document = stored(tmp_path, sheet(random_page, *CASES[0]), sheet(random_page, *CASES[1]))
    tool("pdfimages", "-ccitt", str(as_pdf(document)), str(tmp_path / "code"))
    with document.open("rb") as file:
        strips = [read_strips(file, directory, LIMIT)[0] for directory in read_directories(file)]
    assert [path.read_bytes() for path in sorted(tmp_path.glob("code-*.ccitt"))] == strips


def test_nothing_a_caller_says_can_leave_the_properties(tmp_path: Path, random_page: RandomPage) -> None:
    said = tool("pdfinfo", "-isodates", str(as_pdf(stored(tmp_path, sheet(random_page, *CASES[1])))))
    assert "2025-01-31T12:00:00Z" in said
    assert "Fax (1)" in said


def foreign(path: Path, page: PageImage, **changed: Field) -> Path:
    """A document of another provider: fields changed, its code to match."""
    fields = class_f_fields(page.width_px, page.rows, x_dpi=204, y_dpi=98)
    fields.update({Tag[name.upper()]: field for name, field in changed.items()})
    strips = [code_mmr(page.raster, page.width_px, page.rows)]
    if fields[Tag.COMPRESSION] == Field.short(3):
        strips = [encode_page(page.raster, page.width_px, page.rows, Coding.MH)]
    if fields[Tag.FILL_ORDER] == Field.short(2):
        strips = [bytes(int(f"{octet:08b}"[::-1], 2) for octet in strips[0])]
    if (per_strip := int(fields[Tag.ROWS_PER_STRIP].values[0])) < page.rows:
        stride = (page.width_px + 7) // 8
        parts = [page.raster[at : at + per_strip * stride] for at in range(0, len(page.raster), per_strip * stride)]
        strips = [code_mmr(part, page.width_px, len(part) // stride) for part in parts]
    with path.open("w+b") as file:
        write_file(file, [(fields, strips)])
    return path


@pytest.mark.parametrize(
    "changed",
    [
        {"compression": Field.short(3), "t4_options": Field.long(0)},
        {"fill_order": Field.short(2)},
        {"rows_per_strip": Field.long(40)},
        {"software": Field.text("another")},
    ],
    ids=["MH", "bits reversed", "strips", "not ours"],
)
def test_documents_of_other_providers_have_the_same_pixels(
    changed: dict[str, Field], random_page: RandomPage, tmp_path: Path
) -> None:
    page = random_page(random.Random(3), 1728, 100)
    assert images_in(as_pdf(foreign(tmp_path / "fax.tif", page, **changed))) == [(1728, 100, page.raster)]


def test_a_document_whose_zeros_are_black_is_shown_as_it_is(random_page: RandomPage, tmp_path: Path) -> None:
    page = random_page(random.Random(3), 1728, 100)
    pdf = as_pdf(foreign(tmp_path / "fax.tif", page, photometric=Field.short(1)))
    tool("pdftoppm", "-mono", "-rx", "204", "-ry", "98", str(pdf), str(tmp_path / "drawn"))
    (drawn,) = tmp_path.glob("drawn*.pbm")
    assert pixels(drawn.read_bytes())[2] == inverted(page.raster, 1728)


def test_paper_longer_than_a_pdf_allows_counts_in_larger_units(tmp_path: Path) -> None:
    octets = io.BytesIO()
    rows = 20_000  # 204 inches at 98 to the inch
    write_pdf(octets.write, [PdfPage(code_mmr(bytes(216 * rows), 1728, rows), 1728, rows, 204, 98)])
    pdf = tmp_path / "long.pdf"
    pdf.write_bytes(octets.getvalue())
    assert b"/UserUnit 2" in octets.getvalue()
    assert images_in(pdf) == [(1728, rows, bytes(216 * rows))]
    assert sizes_of(pdf, 1)[0][1] * 2 == pytest.approx(rows * 72 / 98, rel=1e-4)


def test_the_same_fax_gives_the_same_octets(random_page: RandomPage, tmp_path: Path) -> None:
    document = stored(tmp_path, sheet(random_page, *CASES[0]))
    assert load_document(document, Format.PDF, limit=LIMIT) == load_document(document, Format.PDF, limit=LIMIT)


@pytest.mark.parametrize("content", [b"", b"II*\0", b"%PDF-", b"II*\0\x08\0\0\0\0\0\0\0\0\0", b"II*\0\xff\xff\xff\xff"])
def test_what_is_no_fax_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "fax.tif").write_bytes(content)
    with pytest.raises(DocumentError, match=r"fax\.tif"):
        load_document(tmp_path / "fax.tif", Format.PDF, limit=LIMIT)


@pytest.mark.parametrize("form", list(Format))
def test_a_document_that_is_not_there_or_too_large_is_refused(
    form: Format, random_page: RandomPage, tmp_path: Path
) -> None:
    with pytest.raises(DocumentError, match="cannot be opened: No such file"):
        load_document(tmp_path / "fax.tif", form, limit=LIMIT)
    document = stored(tmp_path, sheet(random_page, *CASES[0]))
    with pytest.raises(DocumentError, match="more than 1000 octets"):
        load_document(document, form, limit=1_000)


def test_a_tiff_is_delivered_as_it_lies(random_page: RandomPage, tmp_path: Path) -> None:
    document = stored(tmp_path, sheet(random_page, *CASES[0]))
    assert load_document(document, Format.TIFF, limit=LIMIT) == document.read_bytes()


@pytest.mark.parametrize("page", [PdfPage(b"", 0, 1, 204, 98), PdfPage(b"", 1, 1, 0, 98), PdfPage(b"", 1, 0, 1, 1)])
def test_a_page_without_size_is_our_own_mistake(page: PdfPage) -> None:
    with pytest.raises(MisuseError, match="it has no size"):
        write_pdf(bytearray().extend, [page])


def test_a_pdf_has_a_page() -> None:
    with pytest.raises(MisuseError, match="no pages"):
        write_pdf(bytearray().extend, [])
