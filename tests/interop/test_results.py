"""The numbers of our results mean what libspandsp means by them: asked of the installed library."""

import ctypes
import re
from pathlib import Path

import pytest

from vfax.outcome import T30Result

MANUAL = (Path(__file__).parents[2] / "docs" / "outcomes.md").read_text(encoding="utf-8")
SHARED = [result for result in T30Result if result < 1000]


@pytest.fixture(scope="module")
def library() -> ctypes.CDLL:
    found = ctypes.CDLL("libspandsp.so.2")
    found.t30_completion_code_to_str.restype = ctypes.c_char_p
    return found


@pytest.mark.parametrize("result", SHARED)
def test_a_shared_number_is_described_in_the_librarys_own_words(library: ctypes.CDLL, result: T30Result) -> None:
    said = library.t30_completion_code_to_str(int(result)).decode()
    assert said != "???"
    assert re.search(rf"^\| {int(result)} \| `{result.name}` \| {re.escape(said)} \|$", MANUAL, re.MULTILINE)


def test_our_own_numbers_are_none_of_the_librarys(library: ctypes.CDLL) -> None:
    ours = [result for result in T30Result if result not in SHARED]
    assert all(library.t30_completion_code_to_str(int(result)) == b"???" for result in ours)
