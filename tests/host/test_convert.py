"""Conversion in a process of its own: what comes out, and that no document can take more than its share."""

import struct
import sys
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from PIL import Image

from tests.interop.documents import draw_page
from tests.written_pdf import pages as pdf
from tests.written_pdf import stream, text
from vfax.codecs import tiff
from vfax.codecs.dis import Resolution
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
        (b"not an image", "cannot be read|neither a PDF nor an image"),
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
    for limits in (ConvertLimits(memory=150 << 20), ConvertLimits(octets=20_000)):
        with pytest.raises(DocumentError, match=r"limits|memory|\[queue\] convert_octets"):
            await convert([tmp_path / "large.png"], tmp_path / "out.tif", resolution="600x600", limits=limits)
        assert not (tmp_path / "out.tif").exists()


async def test_a_disk_that_does_not_take_it_is_not_the_fault_of_the_document(tmp_path: Path) -> None:
    draw_page(1).save(tmp_path / "one.png")
    with pytest.raises(StoreError, match="No such file or directory"):
        await convert([tmp_path / "one.png"], tmp_path / "gone" / "out.tif", **FINE)  # type: ignore[arg-type]


async def test_how_far_it_is_is_told_page_by_page(tmp_path: Path) -> None:
    draw_page(1).save(tmp_path / "one.png")
    (tmp_path / "two.pdf").write_bytes(pdf([text(60, 700, 12, "Hello")] * 3))
    said: list[tuple[int, int]] = []
    sources = [tmp_path / "one.png", tmp_path / "two.pdf"]
    pages = await convert(
        sources, tmp_path / "out.tif", resolution="fine", limits=ConvertLimits(), observe=lambda *at: said.append(at)
    )
    assert pages == len(tiff.read_headers(tmp_path / "out.tif")) == 4
    assert said == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        (ConvertLimits(pages=2), "the PDF has 3 pages, at most 2 can be sent as one fax; send it in parts"),
        (ConvertLimits(pixels=1 << 20), "page 1 is 1687 x 2292 pixels"),
        (ConvertLimits(length_mm=200), "page 1 would be 29. mm long on paper, at most 200 mm"),
    ],
)
async def test_limits_of_pages_are_those_of_the_settings(tmp_path: Path, limits: ConvertLimits, why: str) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf([text(60, 700, 12, "Hello")] * 3))
    with pytest.raises(DocumentError, match=why):
        await convert([tmp_path / "a.pdf"], tmp_path / "out.tif", resolution="fine", limits=limits)


def nested(times: int) -> bytes:
    """A PDF of few octets that draws 10 ** `times` boxes, all over its second page."""
    entries = "/Type /XObject /Subtype /Form /BBox [0 0 600 800] /Resources << /XObject << /X %d 0 R >> >>"
    forms = {100 + at: stream(b"/X Do " * 10, (entries % (101 + at)).encode()) for at in range(times)}
    forms[100 + times] = stream(b"0 0 600 800 re f", (entries % 100).encode())
    return pdf([b"", b"/X Do"], resources="/XObject << /X 100 0 R >>", more=forms)


async def test_a_page_that_takes_too_long_is_named_with_the_setting_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(nested(8))
    with pytest.raises(DocumentError) as caught:
        await convert([tmp_path / "a.pdf"], tmp_path / "out.tif", resolution="fine", limits=ConvertLimits(seconds=2))
    assert str(caught.value).startswith(f"{tmp_path / 'a.pdf'}: page 2 ")
    assert "[queue] convert_seconds" in str(caught.value)
    assert not (tmp_path / "out.tif").exists()


async def test_a_converter_that_dies_is_no_more_than_a_sentence_about_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As PDFium does where it can have no memory."""
    program = f"""
import json, os, signal
print(json.dumps({{"source": {str(tmp_path / "a.pdf")!r}, "page": 7, "number": 9, "total": 12}}), flush=True)
os.kill(os.getpid(), signal.SIGSEGV)
"""
    (tmp_path / "python").write_text(f"#!{sys.executable}\n{program}")
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(
        DocumentError, match=r"a.pdf: page 7 cannot be converted within the limits \(signal 11\); print"
    ):
        await convert([tmp_path / "a.pdf"], tmp_path / "out.tif", resolution="fine", limits=ConvertLimits())


async def test_a_conversion_that_is_cancelled_leaves_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.pdf").write_bytes(nested(8))
    started: list[trio.Process] = []
    open_process = trio.lowlevel.open_process

    async def remembered(*args: Any, **options: Any) -> trio.Process:
        started.append(await open_process(*args, **options))
        return started[-1]

    monkeypatch.setattr(trio.lowlevel, "open_process", remembered)
    begun = trio.Event()
    source, target, fine = [tmp_path / "a.pdf"], tmp_path / "out.tif", Resolution.FINE.title
    async with trio.open_nursery() as nursery:
        go = partial(convert, source, target, resolution=fine, limits=ConvertLimits(), observe=lambda *at: begun.set())
        nursery.start_soon(go)
        await begun.wait()
        nursery.cancel_scope.cancel()
    assert [process.returncode for process in started] == [-9]
