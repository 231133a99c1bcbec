"""T.30 frames against vectors of another implementation, and against anything at all."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfax.codecs.frames import (
    IDENT_LENGTH,
    POST_MESSAGE,
    PREFACES,
    RCP,
    REVERSED,
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

VECTORS = [
    (each["t30"], bytes.fromhex(each["decoded"]["data_field"][0]["field_data"]))
    for each in json.loads((Path(__file__).parents[1] / "data" / "t38_vectors.json").read_text())
    if "t30" in each
]


@pytest.mark.parametrize(("name", "octets"), VECTORS, ids=[name for name, _ in VECTORS])
def test_vectors_decode_as_named_and_encode_back(name: str, octets: bytes) -> None:
    frame = Frame.decode(octets)
    title = frame.fcf.title
    assert name.startswith(title)
    assert frame.encode() == octets
    if "-X" in name:
        assert frame.x == ("-X1" in name)


WORDS = {
    "CSI": "+1 555 123 4567",
    "TSI-X1": "555987",
    "SUB-X1": "1234#",
    "SID-X1": "99",
    "PWD": "0000",
    "SEP": "42",
    "DCS-X1-14400-ECM-MMR": "V.17 14400, MMR, ECM 256, fine, 1728 px, scan line 0 ms",
    "DCS-X1-9600-V29-MH": "V.29 9600, MH, no ECM, standard, 1728 px, scan line 0 ms",
    "DTC": "receives, V.17+V.27ter+V.29, MH+MR, no ECM, standard+fine, up to 1728 px, 297 mm, scan line 20/20 ms",
    "PPS-NULL-X1-page0-block0-256frames": "NULL, page 0, block 0, 256 frames",
    "PPS-MPS-X1-page1-block2-10frames": "MPS, page 1, block 2, 10 frames",
    "PPS-EOP-X1-page3-block0-1frame": "EOP, page 3, block 0, 1 frames",
    "PPR-frames-0-9-255": "frames missing: 0, 9, 255",
    "CTC-X1-12000": "continue to correct at V.17 12000",
    "EOR-MPS-X1": "block given up, then MPS",
}


@pytest.mark.parametrize("name", WORDS)
def test_words_say_what_the_vectors_are_named(name: str) -> None:
    octets = dict(VECTORS)[name]
    assert describe(Frame.decode(octets)) == WORDS[name]


@given(st.binary(max_size=300))
def test_any_octets_decode_or_raise_decode_error(octets: bytes) -> None:
    try:
        frame = Frame.decode(octets)
    except DecodeError:
        return
    assert frame.encode()[2:] == octets[2:]
    assert isinstance(describe(frame), str)


@given(st.sampled_from(list(Fcf)), st.binary(max_size=40), st.booleans())
def test_frames_go_there_and_back(fcf: Fcf, info: bytes, final: bool) -> None:
    frame = Frame(fcf, info, final)
    again = Frame.decode(frame.encode())
    assert (again.fcf, again.info, again.final) == (fcf, info, final)
    assert isinstance(describe(frame), str)


@pytest.mark.parametrize(
    ("octets", "what"),
    [
        (b"", "truncated"),
        (b"\xff\xc8", "truncated"),
        (b"\xfe\xc8\x31", "address"),
        (b"\xff\x03\x31", "control"),
        (b"\xff\xc8\x00", "unknown"),
        (b"\xff\xc8\x80", "unknown"),
        (b"\xff\xc8\x7f", "unknown"),
    ],
)
def test_what_is_no_frame_is_named(octets: bytes, what: str) -> None:
    with pytest.raises(DecodeError, match=what):
        Frame.decode(octets)


def test_x_is_masked_except_where_it_tells_dtc_from_dis() -> None:
    assert Fcf.of(0xF4) is Fcf.of(0x74) is Fcf.EOP
    assert (Fcf.of(0x01), Fcf.of(0x81)) == (Fcf.DIS, Fcf.DTC)
    assert (Fcf.of(0x02), Fcf.of(0x82), Fcf.of(0x04), Fcf.of(0x84)) == (Fcf.CSI, Fcf.CIG, Fcf.NSF, Fcf.NSC)


@pytest.mark.parametrize("fcf", list(Fcf))
def test_x_never_turns_a_frame_into_another(fcf: Fcf) -> None:
    for x in (False, True):
        assert Frame.decode(Frame(fcf, x=x).encode()).fcf is fcf


def test_no_mandatory_frame_is_a_preface() -> None:
    assert not PREFACES & {*POST_MESSAGE, Fcf.DIS, Fcf.DCS, Fcf.CFR, Fcf.MCF, Fcf.PPS, Fcf.DCN}


# --- identities ----------------------------------------------------------------------------------


@given(st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=IDENT_LENGTH))
def test_identities_go_there_and_back(text: str) -> None:
    field = encode_identity(text)
    assert len(field) == IDENT_LENGTH
    plain = text.strip()
    if not (plain.endswith("+") and not plain.startswith("+")):
        assert decode_identity(field) == plain


@given(st.binary(max_size=300))
def test_any_identity_is_short_and_printable(info: bytes) -> None:
    text = decode_identity(info)
    assert len(text) <= IDENT_LENGTH
    assert text.isprintable()
    assert text.isascii()


def test_an_identity_sent_forwards_is_turned() -> None:
    assert decode_identity(b"+49 30 123".ljust(20).translate(REVERSED)) == "+49 30 123"


def test_what_is_not_ascii_is_not_sent() -> None:
    assert decode_identity(encode_identity("Büro\n7")) == "B ro 7"


# --- small fields --------------------------------------------------------------------------------


@given(st.sampled_from([None, *POST_MESSAGE]), st.integers(0, 255), st.integers(0, 255), st.integers(1, 256))
def test_partial_pages_go_there_and_back(post: Fcf | None, page: int, block: int, frames: int) -> None:
    pps = PartialPage(post, page, block, frames)
    assert PartialPage.decode(pps.encode()) == pps
    assert PartialPage.decode(pps.encode() + b"more") == pps


@pytest.mark.parametrize("info", [b"", b"\xf4\x00\x00", b"\x31\x00\x00\x00", b"\x7f\x00\x00\x00"])
def test_a_partial_page_that_is_none_is_refused(info: bytes) -> None:
    with pytest.raises(DecodeError):
        PartialPage.decode(info)


def test_x_of_the_second_fcf_does_not_matter() -> None:
    assert PartialPage.decode(b"\x74\0\0\0") == PartialPage.decode(b"\xf4\0\0\0")
    assert decode_rest(b"\x72") is decode_rest(b"\xf2") is Fcf.MPS
    assert decode_rest(b"\x00") is None


@pytest.mark.parametrize("post", [None, *sorted(POST_MESSAGE, key=lambda fcf: fcf.value)])
def test_the_rest_goes_there_and_back(post: Fcf | None) -> None:
    assert decode_rest(encode_rest(post)) is post


@given(st.integers(1, 256), st.data())
def test_requests_go_there_and_back_and_ask_for_the_tail(frames: int, data: st.DataObject) -> None:
    missing = sorted(data.draw(st.sets(st.integers(0, frames - 1))))
    field = encode_request(missing, frames)
    assert len(field) == 32
    assert decode_request(field, frames) == missing
    assert decode_request(field, 256) == [*missing, *range(frames, 256)]


def test_a_short_request_is_refused() -> None:
    with pytest.raises(DecodeError, match="PPR"):
        decode_request(bytes(31), 256)


@given(st.binary(min_size=1, max_size=3000), st.sampled_from([64, 256]))
def test_blocks_hold_all_data_in_order(data: bytes, size: int) -> None:
    frames = encode_block(data, size)
    assert [REVERSED[frame[3]] for frame in frames] == list(range(len(frames)))
    assert {len(frame) for frame in frames} == {4 + size}
    whole = b"".join(frame[4:] for frame in frames)
    assert whole[: len(data)] == data
    assert not any(whole[len(data) :])


def test_fast_frames_never_carry_x() -> None:
    assert Frame(Fcf.RCP, final=False, x=True).encode() == RCP
