"""The makers of non-standard facilities beside libspandsp's list."""

import ctypes as c

import pytest

from tests.interop.spandsp import load
from vfax.codecs.nsf import MAKERS

pytestmark = pytest.mark.usefixtures("libspandsp")


@pytest.mark.parametrize("code", MAKERS, ids=lambda code: bytes(code).hex())
def test_libspandsp_knows_the_same_maker(code: tuple[int, int, int]) -> None:
    ask = load().t35_vendor_to_str
    ask.restype, ask.argtypes = c.c_char_p, [c.c_char_p, c.c_int]
    theirs = ask(bytes(code) + b"\0", 4).decode("utf-8")
    assert MAKERS[code].lower().split()[0] in theirs.lower().replace("/", " ").split()
