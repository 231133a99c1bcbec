"""Pages on their way out: fitted, with a header line, coded; and what the journal is told of it."""

import random
import struct
from datetime import UTC, datetime
from pathlib import Path

import pytest

from vfax import sheets
from vfax.call import SendRequest
from vfax.codecs import tiff
from vfax.codecs.dis import Agreement, Coding, Resolution
from vfax.codecs.header_line import HeaderLine, draw_header, header_rows
from vfax.codecs.libtiff import code_mmr
from vfax.codecs.t4 import RowDecoder
from vfax.codecs.tiff_file import FieldType, Tag
from vfax.errors import DocumentError
from vfax.sheets import Scaled, code_sheet, header_line, header_of
from vfax.signals import Modem

NOON = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
LINE = HeaderLine(when="2026-07-01 12:00 UTC", sender="us", recipient="them", pages=2)
RASTER = random.Random(3).randbytes(216 * 40)


def agreed(resolution: Resolution, coding: Coding = Coding.MMR, paper: int = 0) -> Agreement:
    return Agreement(
        modem=Modem.V17_14400,
        coding=coding,
        ecm=True,
        frame_octets=256,
        resolution=resolution,
        width_px=resolution.widths_px[paper],
        min_scan_ms=0,
    )


def decoded(data: bytes, mode: Agreement) -> bytes:
    decoder = RowDecoder(mode.coding, mode.width_px)
    decoder.feed(data)
    decoder.finish()
    assert decoder.bad_rows == 0
    return decoder.take_raster()


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "document.tif"
    path.write_bytes(tiff.write_page(RASTER, 1728, 40, x_dpi=204, y_dpi=196))
    return path


# --- pages ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("coding", Coding)
def test_a_page_that_fits_goes_as_it_is(document: Path, coding: Coding) -> None:
    mode = agreed(Resolution.FINE, coding)
    sheet = code_sheet(document, 1, mode)
    assert decoded(sheet.data, mode) == RASTER
    assert (sheet.scaled, sheet.bare) == (None, "")


def test_the_header_is_rows_on_top_of_an_untouched_page(document: Path) -> None:
    mode = agreed(Resolution.FINE)
    sheet = code_sheet(document, 1, mode, LINE)
    assert decoded(sheet.data, mode) == draw_header(LINE, 1, 1728, Resolution.FINE) + RASTER
    assert sheet.scaled is None


def test_a_document_of_ours_goes_out_octet_for_octet(document: Path) -> None:
    stored = tiff.load_code(document, 0)
    assert stored is not None
    assert code_sheet(document, 1, agreed(Resolution.FINE)).data == stored[1]
    assert stored[1] in document.read_bytes()


@pytest.mark.parametrize("resolution", [Resolution.STANDARD, Resolution.FINE, Resolution.SUPERFINE])
def test_below_its_header_a_stored_page_is_what_coding_both_gives(tmp_path: Path, resolution: Resolution) -> None:
    mode = agreed(resolution)
    path = tmp_path / "page.tif"
    path.write_bytes(tiff.write_page(RASTER, 1728, 40, x_dpi=resolution.x_dpi, y_dpi=resolution.y_dpi))
    raster = draw_header(LINE, 1, 1728, resolution) + RASTER
    sheet = code_sheet(path, 1, mode, LINE)
    assert sheet.data == code_mmr(raster, 1728, header_rows(resolution) + 40)
    assert (sheet.scaled, sheet.bare) == (None, "")


def test_a_header_without_a_white_row_below_is_coded_with_the_page(
    document: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    black = b"\xff" * 216 * header_rows(Resolution.FINE)
    monkeypatch.setattr(sheets, "draw_header", lambda *_: black)
    mode = agreed(Resolution.FINE)
    assert decoded(code_sheet(document, 1, mode, LINE).data, mode) == black + RASTER


def test_a_stored_page_with_one_octet_changed_is_not_sent(document: Path) -> None:
    stored = tiff.load_code(document, 0)
    assert stored is not None
    octets = bytearray(document.read_bytes())
    octets[octets.index(stored[1]) + 100] ^= 0x40
    document.write_bytes(octets)
    assert tiff.load_code(document, 0) is None
    with pytest.raises(DocumentError, match="damaged"):
        code_sheet(document, 1, agreed(Resolution.FINE))


def test_stored_code_of_another_shape_than_its_fields_say_is_not_used(document: Path) -> None:
    octets = document.read_bytes()
    width = struct.pack("<HHI", Tag.IMAGE_WIDTH, FieldType.LONG, 1)
    assert octets.count(width + struct.pack("<I", 1728)) == 1
    document.write_bytes(octets.replace(width + struct.pack("<I", 1728), width + struct.pack("<I", 2048)))
    assert tiff.load_code(document, 0) is None


def test_a_scaled_page_says_from_what_to_what(document: Path) -> None:
    mode = agreed(Resolution.STANDARD)
    sheet = code_sheet(document, 1, mode, LINE)
    assert sheet.scaled == Scaled("1728 x 40 fine", "1728 x 20 standard")
    assert len(decoded(sheet.data, mode)) == 216 * (20 + header_rows(Resolution.STANDARD))


def test_a_page_of_the_same_grid_is_not_called_scaled(document: Path) -> None:
    assert code_sheet(document, 1, agreed(Resolution.INCH_200X200)).scaled is None


def test_a_narrow_page_is_centred_on_wider_paper(document: Path) -> None:
    mode = agreed(Resolution.FINE, paper=1)
    raster = decoded(code_sheet(document, 1, mode).data, mode)
    assert raster[20 : 20 + 216] == RASTER[:216]
    assert not any(raster[:20])


def test_a_font_that_cannot_be_had_stops_no_fax(document: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_freetype(*_: object) -> bytes:
        raise ImportError("The _imagingft C module is not installed")

    monkeypatch.setattr(sheets, "draw_header", without_freetype)
    mode = agreed(Resolution.FINE)
    sheet = code_sheet(document, 1, mode, LINE)
    assert decoded(sheet.data, mode) == RASTER
    assert "_imagingft" in sheet.bare


def test_a_page_that_is_not_there_or_no_fax_page_is_named(document: Path, tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="no page 2"):
        code_sheet(document, 2, agreed(Resolution.FINE))
    odd = tmp_path / "odd.tif"
    odd.write_bytes(tiff.write_page(RASTER, 1728, 40, x_dpi=72, y_dpi=72))
    with pytest.raises(DocumentError, match="no longer a fax page"):
        code_sheet(odd, 1, agreed(Resolution.FINE))
    with pytest.raises(DocumentError, match=r"page 1 \(72 x 72 dpi, MMR\) is not a fax page"):
        sheets.page_infos(tiff.read_headers(odd), odd)


# --- the header's words --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "words"),
    [
        ("UTC", "2026-07-01 12:00 UTC"),
        ("Europe/Berlin", "2026-07-01 14:00 CEST"),
        ("Asia/Kolkata", "2026-07-01 17:30 IST"),
        ("No/Such_Zone", "2026-07-01 12:00 UTC"),
        ("../../etc/passwd", "2026-07-01 12:00 UTC"),
    ],
)
def test_the_time_is_that_of_the_zone(zone: str, words: str) -> None:
    assert header_line(NOON, zone).when == words


def test_without_a_zone_the_time_is_this_machines() -> None:
    assert header_line(NOON, "").when == f"{NOON.astimezone():%Y-%m-%d %H:%M %Z}"


@pytest.mark.parametrize(
    ("destination", "number"),
    [
        ("sip:+4930123@gateway.example", "+4930123"),
        ("sip:%2B4930123@gateway.example;user=phone", "+4930123"),
        ("sip:192.0.2.1:5060", "192.0.2.1"),
        ("nonsense", ""),
    ],
)
def test_the_other_side_is_called_by_its_number(destination: str, number: str) -> None:
    request = SendRequest(
        document=Path("d.tif"),
        destination=destination,
        local_id="+49 30 1",
        caller_name="Example Ltd",
        header=True,
        header_timezone="UTC",
    )
    wanted = HeaderLine(when="2026-07-01 12:00 UTC", sender="Example Ltd +49 30 1", recipient=number, pages=3)
    assert header_of(request, NOON, 3) == wanted


def test_no_header_is_drawn_unless_asked_for() -> None:
    request = SendRequest(document=Path("d.tif"), destination="sip:1@192.0.2.1", local_id="", caller_name="")
    assert header_of(request, NOON, 1) is None
