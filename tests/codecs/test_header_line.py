"""The header line: its words, what is cut, and that it can be read at every resolution."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFont

from vfax.codecs.dis import Resolution
from vfax.codecs.header_line import HeaderLine, draw_header, header_rows, printable

LINE = HeaderLine(when="2026-11-20 13:45 CET", sender="Example Ltd +49 30 123456", recipient="+49 89 765", pages=12)
FONT = ImageFont.load_default(25)


def drawn(line: HeaderLine, number: int = 1, resolution: Resolution = Resolution.FINE) -> Image.Image:
    width_px = resolution.widths_px[0]
    raster = draw_header(line, number, width_px, resolution)
    assert len(raster) == header_rows(resolution) * width_px // 8
    return Image.frombytes("1", (width_px, header_rows(resolution)), raster)


def printable_ascii() -> str:
    return "".join(chr(code) for code in range(33, 127) if chr(code) != "?")


@pytest.mark.parametrize(
    ("resolution", "rows"),
    [
        (Resolution.STANDARD, 16),
        (Resolution.FINE, 32),
        (Resolution.SUPERFINE, 65),
        (Resolution.INCH_200X100, 17),
        (Resolution.INCH_300X300, 50),
        (Resolution.INCH_600X600, 99),
    ],
)
def test_the_line_is_four_millimetres_high_everywhere(resolution: Resolution, rows: int) -> None:
    assert header_rows(resolution) == rows


@pytest.mark.parametrize("resolution", Resolution)
def test_the_line_stays_within_the_margins_and_leaves_a_row_free(resolution: Resolution) -> None:
    image = drawn(LINE, 3, resolution)
    left, top, right, bottom = image.getbbox() or (0, 0, 0, 0)
    dots_mm = resolution.x_dpi / 25.4
    assert 7.5 * dots_mm < left < 9 * dots_mm
    assert 7.5 * dots_mm < image.width - right < 10 * dots_mm
    assert top >= 0
    assert bottom < image.height


@pytest.mark.parametrize("resolution", Resolution)
def test_the_strokes_are_as_thick_at_every_resolution(resolution: Resolution) -> None:
    """A line that was made flat neither fades away nor clogs up."""
    shares = []
    for one in (resolution, Resolution.INCH_600X600):
        image = drawn(LINE, 3, one)
        shares.append(image.convert("L").histogram()[255] / (image.width * image.height))
    assert 0.9 < shares[0] / shares[1] < 1.25


@pytest.mark.parametrize("letter", "ABEGHKMRSWaegmswx23568")
def test_letters_differ_at_98_rows_an_inch(letter: str) -> None:
    others = {other: drawn(HeaderLine(when=other), 1, Resolution.STANDARD).tobytes() for other in printable_ascii()}
    assert [other for other, pixels in others.items() if pixels == others[letter]] == [letter]


def test_each_page_has_its_number() -> None:
    first, second = drawn(LINE, 1), drawn(LINE, 2)
    half = (0, 0, 1200, 32)
    assert first.crop(half).tobytes() == second.crop(half).tobytes()
    assert first.tobytes() != second.tobytes()


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("Example Ltd", "Example Ltd"),
        ("Ärzte für Łódź, Žluťoučký kůň", "Arzte fur Lodz, Zlutoucky kun"),
        ("Straße Ærø", "Strasse AEro"),
        ("two\nlines\tand\0more\x1b[31m", "two lines and more [31m"),
        ("\u202egnp.exe", "gnp.exe"),
        ("株式会社 Tokyo", "Tokyo"),
        ("Иванов", ""),
        ("a" * 500, "a" * 120),
        ("", ""),
    ],
)
def test_names_are_written_with_the_letters_there_are(given: str, shown: str) -> None:
    assert printable(given, FONT) == shown


@pytest.mark.parametrize(("long", "short"), [("sender", "recipient"), ("recipient", "sender")])
def test_the_longer_name_is_cut_and_the_shorter_one_kept(long: str, short: str) -> None:
    names = {long: "W" * 300, short: "+49 30 123456"}
    image = drawn(HeaderLine(when="2026-11-20 13:45 CET", pages=9, **names))
    page = image.crop((1480, 0, 1728, 32))
    assert page.tobytes() == drawn(HeaderLine(when="", pages=9)).crop((1480, 0, 1728, 32)).tobytes()


def test_nothing_is_known_and_there_is_a_line_all_the_same() -> None:
    assert drawn(HeaderLine(when="")).getbbox() is not None


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=200), st.text(max_size=200), st.integers(1, 10**6), st.sampled_from(list(Resolution)[:3]))
def test_no_name_makes_a_fax_fail(sender: str, recipient: str, number: int, resolution: Resolution) -> None:
    image = drawn(HeaderLine(when="2026-11-20 13:45 CET", sender=sender, recipient=recipient), number, resolution)
    assert image.getbbox() is not None
