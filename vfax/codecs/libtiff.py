"""Our own pages coded by libtiff: several times as fast as in Python.

Owns      getting the code out of what Pillow writes; bands, so that large pages do not hold up the rest of the process;
          reading code back where libtiff would have written the very same.
Not here  what a peer sends: only our own decoder (t4.py, t6.py) reads that; fill to a minimum scan-line time
          (encode.py); containers (tiff_file.py).
Source    T.4 4.1, 4.2, T.6 2.2; the traps of Pillow and libtiff were measured and have their tests.
"""

import io
from functools import cache
from typing import BinaryIO, Final

from PIL import Image, TiffImagePlugin

from vfax.codecs.dis import Coding
from vfax.codecs.t4_tables import EOFB, EOL, RTC_EOLS
from vfax.codecs.tiff_file import Field, Tag, read_directories, read_strips, write_file
from vfax.errors import DecodeError, MisuseError

# Known by name, TIFF needs no search through all of Pillow's formats, which would hold the first page for 100 ms.
assert TiffImagePlugin.TiffImageFile.format == "TIFF"
Image.preinit()

EOFB_CODE: Final = int(EOFB, 2)
EOFB_BITS: Final = len(EOFB)
BAND_PX: Final = 1 << 20
"""Most pixels that Pillow and libtiff code in one go: no other thread runs meanwhile, for some two milliseconds."""
BAND_OCTETS: Final = 1 << 15
"""Octets that the code of a band should take, for some three milliseconds: of a dithered page a band is a few rows."""
FIRST_BAND_PX: Final = 1 << 18
CHUNK_OCTETS: Final = 1 << 16


def code_mmr(raster: bytes, width_px: int, rows: int) -> bytes:
    """MMR of a raster by libtiff.

    Pillow writes mode "1" as black-is-zero and, asked for white-is-zero, turns every pixel over in a Python loop (a
    second for a page). libtiff codes ones as black runs whatever the field says: so the raster goes in as it is
    and only the strip is taken out.
    """
    _check(raster, width_px, rows)
    stride = (width_px + 7) // 8
    octets = []
    rest = bits = first = 0  # bits: the last ones of the band above, fewer than eight
    step = max(1, FIRST_BAND_PX // width_px)
    while first < rows:
        # A band is coded below the last row of the band above it, and the code of that row is cut off again.
        top, last = max(0, first - 1), min(first + step, rows)
        band, length = _without_eofb(_libtiff_mmr(raster[top * stride : last * stride], width_px, last - top))
        if first:
            length -= _without_eofb(_libtiff_mmr(raster[top * stride : first * stride], width_px, 1))[1]
        whole, rest, bits = _in_octets(rest << length | band & ((1 << length) - 1), bits + length)
        octets.append(whole)
        first = last
        step = _next_step(step, width_px, len(whole))
    octets.append(_in_octets((rest << EOFB_BITS | EOFB_CODE) << 7, bits + EOFB_BITS + 7)[0])
    return b"".join(octets)


def stacked_mmr(above: bytes, below: bytes) -> bytes:
    """One page of two: MMR of rows that end in a white one, so that the rows of `below` find above them what they were
    coded with."""
    whole, rest, bits = _in_octets(*_without_eofb(above))
    octets = [whole]
    for at in range(0, len(below), CHUNK_OCTETS):  # a number of all of it would hold up every other thread
        part = below[at : at + CHUNK_OCTETS]
        whole, rest, bits = _in_octets(rest << len(part) * 8 | int.from_bytes(part, "big"), bits + len(part) * 8)
        octets.append(whole)
    octets.append(bytes([rest << 8 - bits & 0xFF]))
    return b"".join(octets).rstrip(b"\0")  # an EOFB ends in a one


def code_whole(raster: bytes, width_px: int, rows: int, coding: Coding, *, k: int = 2) -> bytes:
    """What `encode.encode_page` gives for the same page without fill to a minimum scan-line time.

    MH and MR may have up to seven bits of fill where two bands meet and before the RTC. MR needs a `k` of 2 or 4.
    """
    if coding is Coding.MMR:
        return code_mmr(raster, width_px, rows)
    _check(raster, width_px, rows)
    if coding is Coding.MR and k not in (2, 4):
        raise MisuseError(f"K is {k}, libtiff knows 2 and 4")
    stride = (width_px + 7) // 8
    octets = []
    first, step = 0, max(k, FIRST_BAND_PX // width_px // k * k)
    while first < rows:
        last = min(first + step, rows)
        octets.append(_libtiff_group3(raster[first * stride : last * stride], width_px, last - first, coding, k))
        first = last
        step = max(k, _next_step(step, width_px, len(octets[-1])) // k * k)  # a band of MR begins with a row on its own
    end = (EOL if coding is Coding.MH else EOL + "1") * RTC_EOLS
    end += "0" * (-len(end) % 8)
    return b"".join((*octets, int(end, 2).to_bytes(len(end) // 8, "big")))


def _libtiff_group3(raster: bytes, width_px: int, rows: int, coding: Coding, k: int) -> bytes:
    """EOL and code of each row. libtiff takes 4 for K where there are more than 150 rows to the inch, else 2."""
    fields = {int(Tag.ROWS_PER_STRIP): rows, int(Tag.T4_OPTIONS): int(coding is Coding.MR)}
    file = io.BytesIO()
    Image.frombytes("1", (width_px, rows), raster).save(
        file, "TIFF", compression="group3", tiffinfo=fields, dpi=(204, 196 if k == 4 else 98)
    )
    return _only_strip(file)


def _check(raster: bytes, width_px: int, rows: int) -> None:
    stride = (width_px + 7) // 8
    if rows < 1 or len(raster) != rows * stride:
        raise MisuseError(f"raster has {len(raster)} octets, expected {rows} rows of {stride}")


def _next_step(rows: int, width_px: int, octets: int) -> int:
    """Rows of the next band after one of `rows` whose code took `octets`."""
    wanted = min(rows * 4, rows * BAND_OCTETS // max(1, octets))
    return max(1, min(wanted, BAND_PX // width_px))


def _in_octets(code: int, bits: int) -> tuple[bytes, int, int]:
    """The first octets of a code, as many as are full; what is left and how many bits that are."""
    left = bits % 8
    return (code >> left).to_bytes(bits // 8, "big"), code & ((1 << left) - 1), left


READ_PX: Final = 1 << 22
READ_OCTETS: Final = 1 << 17
"""The same for reading, which is faster: a page of fine text takes five milliseconds, a dithered one would take twenty.
What is larger is left to our own decoder."""


def read_mmr(code: bytes, width_px: int, rows: int) -> bytes | None:
    """The raster (1 = black) that `code_mmr` makes exactly this code of; None when there is none, or it is too large.

    libtiff says nothing of damage, so what it reads counts only if coding it again gives the same octets.
    """
    if width_px * rows > READ_PX or len(code) > READ_OCTETS:
        return None
    file = io.BytesIO()
    try:
        write_file(file, [(_bare_page(width_px, rows), [code])])
        with Image.open(file) as image:
            raster = image.tobytes()
    except (OSError, ValueError, SyntaxError):  # what Pillow raises for files it dislikes
        return None
    return raster if code_mmr(raster, width_px, rows) == code else None


def _bare_page(width_px: int, rows: int) -> dict[int, Field]:
    """The fields without which MMR cannot be read. With 0 as black Pillow leaves the bits as libtiff gives them."""
    values = {
        Tag.IMAGE_WIDTH: width_px,
        Tag.IMAGE_LENGTH: rows,
        Tag.BITS_PER_SAMPLE: 1,
        Tag.COMPRESSION: 4,
        Tag.PHOTOMETRIC: 1,
        Tag.FILL_ORDER: 1,
        Tag.SAMPLES_PER_PIXEL: 1,
        Tag.ROWS_PER_STRIP: rows,
    }
    return {int(tag): Field.long(value) if value > 0xFFFF else Field.short(value) for tag, value in values.items()}


def _libtiff_mmr(raster: bytes, width_px: int, rows: int) -> bytes:
    return _packed_mmr(raster, width_px, rows) if _takes_packed() else _unpacked_mmr(raster, width_px, rows)


def _unpacked_mmr(raster: bytes, width_px: int, rows: int) -> bytes:
    file = io.BytesIO()
    Image.frombytes("1", (width_px, rows), raster).save(
        file, "TIFF", compression="group4", tiffinfo={int(Tag.ROWS_PER_STRIP): rows}
    )
    return _only_strip(file)


def _packed_mmr(raster: bytes, width_px: int, rows: int) -> bytes:
    """The same without an octet for each pixel in between, which takes longer than coding does.

    Pillow's encoder hands rows of octets to libtiff, which takes them for what the fields say: rows of bits.
    """
    stride = (width_px + 7) // 8
    fields = [(int(tag), int(field.values[0])) for tag, field in sorted(_bare_page(width_px, rows).items())]
    encoder = Image._getencoder("L", "libtiff", ("L", 0, "", fields, {}))
    file = io.BytesIO()
    try:
        encoder.setimage(Image.frombytes("L", (stride, rows), raster).im, (0, 0, stride, rows))
        status = 0
        while not status:
            _, status, octets = encoder.encode(CHUNK_OCTETS)
            file.write(octets)
    finally:
        encoder.cleanup()
    if status < 0:
        raise OSError(f"libtiff cannot code a page of {width_px} x {rows} pixels: {status}")
    return _only_strip(file)


@cache
def _takes_packed() -> bool:
    """Whether this Pillow has that encoder, which is not part of what it promises, and codes a sample the same."""
    sample = bytes(range(1, 217)) * 2
    try:
        return _packed_mmr(sample, 213, 16) == _unpacked_mmr(sample, 213, 16)
    except (AttributeError, TypeError, ValueError, OSError, DecodeError):
        return False


def _only_strip(file: BinaryIO) -> bytes:
    (directory,) = read_directories(file)
    return b"".join(read_strips(file, directory, 2**32))


def _without_eofb(octets: bytes) -> tuple[int, int]:
    """The rows' code as a number, and its bits: an EOFB ends in a one, what follows is padding."""
    code = int.from_bytes(octets, "big")
    behind = (code & -code).bit_length() - 1 + EOFB_BITS
    return code >> behind, len(octets) * 8 - behind
