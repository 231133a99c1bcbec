"""Pages in MR.

Oracle    see fuzz/coded.py.
"""

from typing import Final

from fuzz import coded
from vfax.codecs.dis import Coding

RECORDS: Final = False
TOKENS: Final = (coded.EOL,)


def seeds() -> list[bytes]:
    """Pages of many widths."""
    return coded.seeds(Coding.MR)


def run(data: bytes) -> None:
    """One page."""
    coded.run(Coding.MR, data)
