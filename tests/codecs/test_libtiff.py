"""What libtiff does for us: the same octets as our own coder, and reading that believes nothing."""

import random
from collections.abc import Callable

import pytest
from PIL import Image

from vfax.codecs import libtiff
from vfax.codecs.dis import Coding
from vfax.codecs.encode import encode_page
from vfax.codecs.libtiff import READ_PX, code_mmr, code_whole, read_mmr, stacked_mmr
from vfax.codecs.t4 import RowDecoder
from vfax.errors import MisuseError


def picture(width_px: int, rows: int, seed: int) -> bytes:
    """Runs of chance, some rows like the one above, some blank; the unused bits of each row are zero."""
    dice = random.Random(seed)
    stride = (width_px + 7) // 8
    row, raster = bytes(stride), b""
    for _ in range(rows):
        if dice.random() < 0.5:
            bits = "".join(dice.choice("01") * dice.randrange(1, 60) for _ in range(width_px // 20 + 2))[:width_px]
            row = int(bits.ljust(stride * 8, "0"), 2).to_bytes(stride, "big")
        elif dice.random() < 0.2:
            row = bytes(stride)
        raster += row
    return raster


@pytest.mark.parametrize(
    ("width_px", "rows"), [(1728, 300), (2432, 90), (1, 7), (9, 40), (3456, 20), (7296, 9), (1728, 2600)]
)
def test_libtiff_and_our_coder_write_the_same_mmr(width_px: int, rows: int) -> None:
    raster = picture(width_px, rows, width_px + rows)
    code = code_mmr(raster, width_px, rows)
    assert code == encode_page(raster, width_px, rows, Coding.MMR)


@pytest.mark.parametrize(("width_px", "rows"), [(1728, 900), (2432, 400), (19_999, 60), (64, 9000)])
def test_bands_of_any_height_join_without_a_seam(width_px: int, rows: int) -> None:
    noise = random.Random(rows).randbytes((width_px + 7) // 8 * rows // 2)
    raster = noise + bytes((width_px + 7) // 8 * rows - len(noise))
    raster = cleared(raster, width_px)
    assert code_mmr(raster, width_px, rows) == encode_page(raster, width_px, rows, Coding.MMR)


@pytest.mark.parametrize("coding", Coding)
@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize(("width_px", "rows"), [(1728, 1300), (2432, 90), (1, 7), (9, 40), (7296, 150), (1728, 4)])
def test_libtiff_and_our_coder_say_the_same_in_every_coding(width_px: int, rows: int, k: int, coding: Coding) -> None:
    raster = picture(width_px, rows, width_px + rows)
    code = code_whole(raster, width_px, rows, coding, k=k)
    ours = encode_page(raster, width_px, rows, coding, k=k, ecm=True)
    assert abs(len(code) - len(ours)) <= 20
    decoder = RowDecoder(coding, width_px)
    decoder.feed(code)
    decoder.finish()
    assert (decoder.take_raster(), decoder.bad_rows, decoder.ended) == (raster, 0, True)


@pytest.mark.parametrize("coding", [Coding.MH, Coding.MR])
def test_but_for_fill_the_bits_of_one_band_are_ours(coding: Coding) -> None:
    raster = picture(1728, 100, 6)
    code = code_whole(raster, 1728, 100, coding, k=4)
    ours = encode_page(raster, 1728, 100, coding, k=4, ecm=True)
    before_end = len(ours) - 11
    assert code[:before_end] == ours[:before_end]


def test_k_that_libtiff_does_not_know_is_refused() -> None:
    with pytest.raises(MisuseError, match="K is 8"):
        code_whole(bytes(216), 1728, 1, Coding.MR, k=8)


def cleared(raster: bytes, width_px: int) -> bytes:
    """The raster with zeros for the unused bits of each row."""
    stride = (width_px + 7) // 8
    octets = bytearray(raster)
    for at in range(stride - 1, len(octets), stride):
        octets[at] &= 0xFF << (-width_px % 8) & 0xFF
    return bytes(octets)


def test_no_band_of_a_dithered_page_holds_up_other_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def counted(raster: bytes, width_px: int, rows: int) -> bytes:
        code = uncounted(raster, width_px, rows)
        sizes.append(len(code))
        return code

    uncounted = libtiff._libtiff_mmr
    monkeypatch.setattr(libtiff, "_libtiff_mmr", counted)
    rows = 1500
    code_mmr(random.Random(4).randbytes(304 * rows), 2432, rows)
    assert sum(sizes) > 1_000_000
    assert max(sizes[2:]) < 2 * libtiff.BAND_OCTETS


@pytest.mark.parametrize(("width_px", "rows"), [(1728, 300), (2432, 90), (9, 40), (1728, READ_PX // 1728)])
def test_what_was_coded_is_read_back(width_px: int, rows: int) -> None:
    raster = picture(width_px, rows, 5)
    assert read_mmr(code_mmr(raster, width_px, rows), width_px, rows) == raster


def test_a_page_above_the_limit_is_left_to_our_decoder() -> None:
    rows = READ_PX // 1728 + 1
    assert read_mmr(code_mmr(bytes(216 * rows), 1728, rows), 1728, rows) is None


def test_a_page_of_much_code_is_left_to_our_decoder() -> None:
    noise = random.Random(2).randbytes(216 * 300)
    code = code_mmr(noise, 1728, 300)
    assert len(code) > libtiff.READ_OCTETS
    assert read_mmr(code, 1728, 300) is None


@pytest.mark.parametrize("rows", range(1, 12))
def test_a_page_below_another_that_ends_in_a_white_row(rows: int) -> None:
    above = picture(1728, rows, rows) + bytes(216)
    below = random.Random(rows).randbytes(216 * 500)
    stacked = stacked_mmr(code_mmr(above, 1728, rows + 1), code_mmr(below, 1728, 500))
    assert stacked == code_mmr(above + below, 1728, rows + 1 + 500)


Spoil = Callable[[bytes], bytes]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda code: code[:-40],
        lambda code: code[:200] + b"\0" + code[201:],
        lambda code: code + b"\0",
        lambda code: b"",
    ],
    ids=["cut", "damaged", "longer", "empty"],
)
def test_code_that_is_not_exactly_libtiffs_is_not_believed(spoil: Spoil, capfd: pytest.CaptureFixture[str]) -> None:
    code = code_mmr(picture(1728, 200, 1), 1728, 200)
    assert read_mmr(spoil(code), 1728, 200) is None


@pytest.mark.parametrize("seed", range(30))
def test_random_octets_are_never_read_as_something_they_are_not(seed: int) -> None:
    dice = random.Random(seed)
    code = dice.randbytes(dice.randrange(1, 400))
    raster = read_mmr(code, 64, 20)
    assert raster is None or code_mmr(raster, 64, 20) == code


@pytest.mark.parametrize(("width_px", "rows"), [(1728, 300), (1725, 60), (1, 7), (9, 40)])
def test_a_pillow_that_takes_no_packed_rows_gives_the_same_code(
    width_px: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    raster = picture(width_px, rows, 3)
    code = code_mmr(raster, width_px, rows)
    monkeypatch.setattr(libtiff, "_takes_packed", lambda: False)
    assert code_mmr(raster, width_px, rows) == code


def test_a_pillow_without_that_encoder_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert libtiff._takes_packed()
    libtiff._takes_packed.cache_clear()
    try:
        with monkeypatch.context() as patch:
            patch.setattr(Image, "_getencoder", None)
            assert not libtiff._takes_packed()
    finally:
        libtiff._takes_packed.cache_clear()
