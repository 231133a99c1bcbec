"""Conversion in a process of its own: what comes out, and that no document can take more than its share."""

import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from tests.interop.documents import draw_page
from vfax.codecs import tiff
from vfax.errors import DocumentError, StoreError
from vfax.host.convert import ConvertLimits, convert

FINE = {"resolution": "fine", "limits": ConvertLimits()}


async def test_files_become_one_fax_document(tmp_path: Path) -> None:
    draw_page(1).save(tmp_path / "one.png")
    draw_page(2).convert("L").save(tmp_path / "two.jpg")
    target = tmp_path / "out.tif"
    pages = await convert([tmp_path / "one.png", tmp_path / "two.jpg"], target, **FINE)  # type: ignore[arg-type]
    headers = tiff.read_headers(target)
    assert pages == len(headers) == 2
    assert {header.compression for header in headers} == {"MMR"}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"),
        (b"not an image", "cannot be read|not an image"),
        (b"%PDF-1.7\n", "PDF"),
        (b"II*\0\x08\0\0\0\xff\xff", "TIFF|directory|read"),
    ],
)
async def test_what_is_no_document_says_why_and_leaves_nothing(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "odd").write_bytes(content)
    with pytest.raises(DocumentError, match=why):
        await convert([tmp_path / "odd"], tmp_path / "out.tif", **FINE)  # type: ignore[arg-type]
    assert not (tmp_path / "out.tif").exists()


async def test_an_unknown_resolution_names_the_known_ones(tmp_path: Path) -> None:
    draw_page(1).save(tmp_path / "one.png")
    with pytest.raises(DocumentError, match="none of standard, fine"):
        await convert([tmp_path / "one.png"], tmp_path / "out.tif", resolution="best", limits=ConvertLimits())


def bomb(path: Path, side: int) -> None:
    """A PNG of few octets that unpacks to `side` squared grey pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\0" * (side + 1)
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))


async def test_a_small_file_of_many_pixels_is_refused(tmp_path: Path) -> None:
    bomb(tmp_path / "bomb.png", 20_000)
    with pytest.raises(DocumentError, match="pixels"):
        await convert([tmp_path / "bomb.png"], tmp_path / "out.tif", **FINE)  # type: ignore[arg-type]


async def test_memory_and_time_are_limited(tmp_path: Path) -> None:
    Image.effect_noise((6000, 6000), 80).save(tmp_path / "large.png", compress_level=0)
    for limits, why in (
        (ConvertLimits(memory=150 << 20), "limits|memory"),
        (ConvertLimits(octets=20_000), "has more than 20000 octets as a fax"),
    ):
        with pytest.raises(DocumentError, match=why):
            await convert([tmp_path / "large.png"], tmp_path / "out.tif", resolution="600x600", limits=limits)
        assert not (tmp_path / "out.tif").exists()


async def test_a_disk_that_does_not_take_it_is_not_the_fault_of_the_document(tmp_path: Path) -> None:
    draw_page(1).save(tmp_path / "one.png")
    with pytest.raises(StoreError, match="No such file or directory"):
        await convert([tmp_path / "one.png"], tmp_path / "gone" / "out.tif", **FINE)  # type: ignore[arg-type]
