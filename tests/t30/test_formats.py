"""A receiver whose sender takes more than was offered: what can be understood is taken, the rest politely declined."""

from dataclasses import replace
from typing import Any

import pytest

from vfax.codecs.dis import FALL_BACK, Agreement, Capabilities, Coding, Resolution, encode_dcs
from vfax.codecs.encode import encode_page
from vfax.codecs.frames import Fcf
from vfax.outcome import Cause
from vfax.signals import DataReceived, Modem
from vfax.t30.options import T30Options
from vfax.t30.values import PageReceived

MODEM = Modem.V29_9600
ROWS = 24


def agreed(resolution: Resolution, paper: int) -> Agreement:
    return Agreement(
        modem=MODEM,
        coding=Coding.MH,
        ecm=False,
        frame_octets=0,
        resolution=resolution,
        width_px=resolution.widths_px[paper],
        min_scan_ms=0,
    )


@pytest.mark.parametrize("resolution", Resolution, ids=lambda resolution: resolution.title)
@pytest.mark.parametrize("paper", [0, 1, 2], ids=["A4", "B4", "A3"])
def test_a_page_nobody_offered_to_take_is_taken(bench: Any, resolution: Resolution, paper: int) -> None:
    mode = agreed(resolution, paper)
    stride = mode.width_px // 8
    raster = b"".join(bytes([0] * row) + b"\xf0" + bytes(stride - row - 1) for row in range(ROWS))
    script = bench.script(sending=False, resolutions=frozenset({Resolution.STANDARD}), max_width_px=1728)
    data = encode_page(raster, mode.width_px, ROWS, Coding.MH)
    script.left().trains(mode).burst(MODEM, DataReceived(MODEM, data)).says(Fcf.EOP).keeps()
    (page,) = script.of(PageReceived)
    assert (page.agreement.resolution, page.width_px, page.rows, page.raster) == (
        resolution,
        mode.width_px,
        ROWS,
        raster,
    )
    assert script.said[-1] == "MCF"


@pytest.mark.parametrize(("bit", "name"), [(68, "JPEG"), (69, "colour"), (78, "JBIG"), (79, "JBIG")])
def test_colour_and_jbig_are_declined_after_the_training(bench: Any, bit: int, name: str) -> None:
    fif = bytearray(encode_dcs(replace(agreed(Resolution.FINE, 0), ecm=True, frame_octets=256)).ljust(10, b"\0"))
    fif[2:9] = bytes(octet | 0x01 for octet in fif[2:9])  # another octet follows
    fif[(bit - 1) // 8] |= 0x80 >> (bit - 1) % 8
    script = bench.script(sending=False).left()
    script.says(Fcf.DCS, bytes(fif)).burst(MODEM, DataReceived(MODEM, bytes(1800))).left().wait(5)
    assert script.said[-1] == "DCN"
    assert (script.outcome.cause, name in script.outcome.sentence) == (Cause.INCOMPATIBLE, True)


def test_colour_and_jbig_are_never_offered() -> None:
    said = T30Options(resolutions=frozenset(Resolution), internet_aware=True).capabilities().encode()
    bits = {number for number in range(1, len(said) * 8 + 1) if said[(number - 1) // 8] & 0x80 >> (number - 1) % 8}
    assert not bits & {36, 37, 38, 68, 69, 71, 73, 78, 79, 92, 93, 94, 97, 98, 110, 111, 115, 116, 124, 125, 126, 127}


def test_what_is_offered_unless_told_otherwise_fits_into_seven_octets() -> None:
    said = T30Options().capabilities()
    assert len(said.encode()) <= 7  # bit 49, that SUB is taken, is in the seventh
    assert said.resolutions == frozenset(Resolution) - {Resolution.INCH_600X600}
    assert said.max_width_px == 2432
    assert said.max_length_mm == 0
    assert Capabilities.decode(said.encode()).modems == frozenset(FALL_BACK)
