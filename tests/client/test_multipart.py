"""multipart/form-data in any pieces: the same parts come out, and nothing but DecodeError for anything else."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfax.errors import DecodeError
from vfax.host.api.multipart import Multipart, PartBegun, PartData, PartEnded, boundary_of

B = b"limit"
BODY = (
    b'--limit\r\nContent-Disposition: form-data; name="recipient"\r\n\r\n+49 30 1\r\n'
    b'--limit  \r\nContent-Disposition: form-data; name="document"; filename="a \\"b\\".tif"\r\n'
    b"Content-Type: image/tiff\r\n\r\nII*\0\r\n--limi\r\n--limit\r\n"
    b"content-disposition: FORM-DATA; name=empty\r\n\r\n\r\n--limit--\r\nepilogue"
)
PARTS = [
    (PartBegun("recipient", None, ""), b"+49 30 1"),
    (PartBegun("document", 'a "b".tif', "image/tiff"), b"II*\0\r\n--limi"),
    (PartBegun("empty", None, ""), b""),
]


def parts(parser: Multipart, pieces: list[bytes]) -> list[tuple[PartBegun, bytes]]:
    found: list[tuple[PartBegun, bytes]] = []
    ended = 0
    for piece in pieces:
        for event in parser.feed(piece):
            match event:
                case PartBegun():
                    assert ended == len(found)
                    found.append((event, b""))
                case PartData(octets):
                    assert octets
                    found[-1] = (found[-1][0], found[-1][1] + octets)
                case PartEnded():
                    ended += 1
    parser.finish()
    assert ended == len(found)
    return found


def test_a_body_in_one_piece() -> None:
    assert parts(Multipart(B), [BODY]) == PARTS


def test_a_body_octet_by_octet() -> None:
    assert parts(Multipart(B), [bytes([octet]) for octet in BODY]) == PARTS


@given(st.lists(st.integers(0, len(BODY)), max_size=12))
def test_a_body_in_any_pieces(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(BODY)]
    assert parts(Multipart(B), [BODY[a:b] for a, b in itertools.pairwise(edges)]) == PARTS


@given(st.lists(st.binary(max_size=60), max_size=8), st.data())
def test_whatever_is_in_a_part_comes_out_of_it(contents: list[bytes], data: st.DataObject) -> None:
    wanted = [content for content in contents if b"\r\n--limit" not in b"\r\n" + content]
    head = b'Content-Disposition: form-data; name="x"\r\n\r\n'
    body = b"".join(b"--limit\r\n" + head + content + b"\r\n" for content in wanted) + b"--limit--"
    cut = data.draw(st.integers(0, len(body)))
    assert [content for _, content in parts(Multipart(B), [body[:cut], body[cut:]])] == wanted


@given(
    st.lists(st.one_of(st.binary(max_size=40), st.sampled_from([b"\r\n", b"--limit", b"--", BODY[:60]])), max_size=20)
)
def test_any_octets_raise_only_decode_error(pieces: list[bytes]) -> None:
    parser = Multipart(B, max_parts=3, max_head=200)
    try:
        for piece in pieces:
            parser.feed(piece)
        parser.finish()
    except DecodeError:
        pass


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--limit--"[:-1],
        b"--limit\r\n\r\n\r\n--limit--",  # no headers
        b'--limit\r\nContent-Disposition: attachment; name="a"\r\n\r\n\r\n--limit--',
        b"--limit\r\nContent-Disposition: form-data\r\n\r\n\r\n--limit--",
        b'--limit\r\nContent-Disposition form-data; name="a"\r\n\r\n\r\n--limit--',
        b"--limitless\r\n",
        b'--limit\r\nContent-Disposition: form-data; name="a"\r\n\r\nnever ends',
        b"x" * 9_000,
        b"--limit\r\n" + b"A: " + b"x" * 9_000,
        b"--limit" + b" " * 9_000,
        b'--limit\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' * 4 + b"--limit--",
    ],
)
def test_what_is_no_form_is_refused_with_its_offset_and_source(body: bytes) -> None:
    with pytest.raises(DecodeError, match=r"at octet \d+ \(RFC 7578\)"):
        parts(Multipart(B, max_parts=3), [body])


def test_what_may_be_a_boundary_is_all_that_is_held() -> None:
    parser = Multipart(B)
    parser.feed(BODY[: BODY.index(b"II*")])
    for _ in range(100):
        parser.feed(b"x" * 10_000)
        assert len(parser._buffer) <= len(b"\r\n--limit")


def test_the_boundary_of_a_content_type() -> None:
    assert boundary_of('multipart/form-data; boundary="a b"') == b"a b"
    assert boundary_of("Multipart/Form-Data;boundary=abc") == b"abc"


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "application/json",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + "x" * 71,
        'multipart/form-data; boundary="a\u20acb"',
        'multipart/form-data; boundary="ends in a blank "',
    ],
)
def test_a_content_type_without_a_boundary_is_refused(wrong: str) -> None:
    with pytest.raises(DecodeError):
        boundary_of(wrong)
