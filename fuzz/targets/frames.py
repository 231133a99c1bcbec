"""T.30 frames and their small information fields.

Oracle    DecodeError or a value; frames and fields encode to octets that decode to the same; words for every frame.
"""

from contextlib import suppress
from typing import Final

from vfax.codecs.dis import Capabilities
from vfax.codecs.frames import (
    Fcf,
    Frame,
    PartialPage,
    decode_identity,
    decode_request,
    decode_rest,
    describe,
    encode_block,
    encode_identity,
    encode_request,
    encode_rest,
)
from vfax.errors import DecodeError

RECORDS: Final = False
TOKENS: Final = (b"\xff\xc8", b"\xff\xc0", b"\x00" * 20)


def seeds() -> list[bytes]:
    """A frame of every kind."""
    fields = {
        Fcf.DIS: Capabilities(ecm=True).encode(),
        Fcf.CSI: encode_identity("+1 555 0100"),
        Fcf.TSI: encode_identity("vfax"),
        Fcf.PPS: PartialPage(Fcf.EOP, 0, 0, 256).encode(),
        Fcf.PPR: encode_request([1, 5, 200], 256),
        Fcf.EOR: encode_rest(Fcf.MPS),
        Fcf.CTC: b"\x00\x20",
    }
    frames = [Frame(fcf, fields.get(fcf, b""), x=x).encode() for fcf in Fcf for x in (False, True)]
    return frames + encode_block(bytes(range(100)), 64)


def run(data: bytes) -> None:
    """One frame."""
    try:
        frame = Frame.decode(data)
    except DecodeError:
        return
    again = Frame.decode(frame.encode())
    assert (again.fcf, again.info, again.final) == (frame.fcf, frame.info, frame.final)  # X means nothing in some
    assert describe(frame).isprintable()
    text = decode_identity(frame.info)
    assert len(text) <= 20
    assert decode_identity(encode_identity(text)) == text
    _try_fields(frame.info)


def _try_fields(info: bytes) -> None:
    try:
        pps = PartialPage.decode(info)
        assert PartialPage.decode(pps.encode()) == pps
    except DecodeError:
        pass
    with suppress(DecodeError):
        assert decode_rest(encode_rest(decode_rest(info))) == decode_rest(info)
    try:
        missing = decode_request(info, 200)
        assert decode_request(encode_request(missing, 200), 200) == missing
    except DecodeError:
        pass
