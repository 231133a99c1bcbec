import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfax.codecs import per
from vfax.errors import DecodeError, MisuseError


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16383, 16384, 16385, 65535, 65536, 81920, 100_000])
def test_octet_strings_of_every_form_come_back(size: int) -> None:
    octets = bytes(size)
    written = per.write_octets(octets)
    assert per.read_octets(b"\xaa" + written + b"\xbb", 1) == (octets, len(written) + 1)


@pytest.mark.parametrize(("size", "head"), [(127, "7f"), (128, "8080"), (16383, "bfff"), (16384, "c1"), (65536, "c4")])
def test_lengths_take_the_shortest_form(size: int, head: str) -> None:
    assert per.write_octets(bytes(size)).hex().startswith(head)


@given(st.binary(max_size=12), st.integers(0, 12))
def test_any_octets_raise_only_decode_error(octets: bytes, at: int) -> None:
    try:
        read, end = per.read_octets(octets, at)
    except DecodeError:
        return
    assert at + len(read) < end <= len(octets)


@pytest.mark.parametrize("octets", ["c0", "c5", "c1", "c100", "80", "85", "05ff", "ff"])
def test_cut_or_illegal_lengths_are_refused(octets: str) -> None:
    with pytest.raises(DecodeError):
        per.read_octets(bytes.fromhex(octets), 0)


def test_fragments_must_be_closed_by_a_short_form() -> None:
    body = b"\xc1" + bytes(16384)
    assert per.read_octets(body + b"\0", 0) == (bytes(16384), 16386)
    for cut in (body, body + b"\x05ab"):
        with pytest.raises(DecodeError):
            per.read_octets(cut, 0)


@pytest.mark.parametrize("size", [-1, 16384])
def test_a_plain_length_cannot_say_more_than_16383(size: int) -> None:
    with pytest.raises(MisuseError):
        per.write_length(size)


@given(st.lists(st.integers(1, 9).flatmap(lambda n: st.tuples(st.integers(0, (1 << n) - 1), st.just(n))), max_size=20))
def test_bit_fields_come_back(fields: list[tuple[int, int]]) -> None:
    writer = per.BitWriter()
    for value, count in fields:
        writer.put(value, count)
    reader = per.BitReader(b"\x55" + writer.octets(), 1)
    assert [(reader.take(count), count) for _, count in fields] == fields
    assert reader.align() == 0
    assert reader.at == len(writer.octets()) + 1
