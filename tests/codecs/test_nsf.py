"""Makers of machines by their non-standard facilities."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfax.codecs.frames import Fcf, Frame, describe
from vfax.codecs.nsf import COUNTRIES, MAKERS, Maker, maker_of


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        ("000011", "Canon (Japan)"),
        ("000056", "Brother (Japan)"),
        ("b5006c", "HP (United States)"),
        ("ad0036", "HP (United States)"),  # the country the other way round
        ("86008c", "Samsung (Korea)"),
        ("b5ffff", "an unlisted maker (United States)"),
        ("00", "an unlisted maker (Japan)"),
        ("fe0011", "an unlisted maker"),
        ("", "an unlisted maker"),
    ],
)
def test_maker_and_country_are_named_as_far_as_they_are_listed(octets: str, said: str) -> None:
    assert str(maker_of(bytes.fromhex(octets))) == said


def test_frame_of_the_line_is_read_in_the_order_of_the_list() -> None:
    frame = Frame(Fcf.NSF, bytes.fromhex("00008880"), final=False)  # 00 00 11 01 with its bits as T.38 carries them
    assert describe(frame) == "non-standard facilities of Canon (Japan), ignored"


@given(st.binary(max_size=40))
def test_any_octets_have_a_maker_in_words(octets: bytes) -> None:
    assert str(maker_of(octets))
    assert "ignored" in describe(Frame(Fcf.NSF, octets))


def test_every_listed_maker_has_a_country() -> None:
    for code, name in MAKERS.items():
        maker = maker_of(bytes(code))
        assert (maker.name, maker.country in COUNTRIES.values()) == (name, True)
    assert str(Maker(name="x")) == "x"
