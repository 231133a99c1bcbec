"""DIS, DTC, DCS and CTC.

Oracle    DecodeError or a value; what was understood encodes to bits that are understood the same; every DIS leads to
          an agreement whose DCS says that agreement.
"""

from contextlib import suppress
from typing import Final

from vfax.codecs.dis import (
    FALL_BACK,
    Agreement,
    Capabilities,
    Coding,
    Resolution,
    decode_ctc,
    decode_dcs,
    describe_dcs,
    encode_ctc,
    encode_dcs,
)
from vfax.errors import DecodeError

RECORDS: Final = False
TOKENS: Final = (b"\x01", b"\x80", b"\xff")


def seeds() -> list[bytes]:
    """DIS of several machines, DCS of every modem, coding and resolution."""
    stations = [
        Capabilities(),
        Capabilities(ecm=True, codings=frozenset(Coding), modems=frozenset(FALL_BACK)),
        Capabilities(ecm=True, resolutions=frozenset(Resolution), max_width_px=2432, max_length_mm=0),
        Capabilities(has_document=True, subaddress=True, password=True, selective_polling=True, internet_aware=True),
    ]
    chosen = [
        Agreement(
            modem=modem,
            coding=coding,
            ecm=coding is Coding.MMR,
            frame_octets=256 if coding is Coding.MMR else 0,
            resolution=resolution,
            width_px=resolution.widths_px[0],
            min_scan_ms=0,
        )
        for modem, coding, resolution in zip(FALL_BACK, [*Coding] * 5, [*Resolution] * 3, strict=False)
    ]
    return [one.encode() for one in stations] + [encode_dcs(one) for one in chosen] + [encode_ctc(FALL_BACK[0])]


def run(data: bytes) -> None:
    """The same octets as DIS, as DCS and as CTC."""
    try:
        heard = Capabilities.decode(data)
        said = Capabilities.decode(heard.encode())
        assert said == heard, f"{heard} was said as {said}"
        assert heard.describe().isprintable()
    except DecodeError:
        assert len(data) < 2
    try:
        agreement = decode_dcs(data)
        said_dcs = decode_dcs(encode_dcs(agreement))
        assert said_dcs == agreement, f"{agreement} was said as {said_dcs}"
        assert describe_dcs(data).isprintable()
    except DecodeError:
        pass
    with suppress(DecodeError):
        assert decode_ctc(encode_ctc(decode_ctc(data))) is decode_ctc(data)
