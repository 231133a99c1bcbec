"""A whole fax whose peer is octets: T.38 line and T.30 engine, sending.

Oracle    see fuzz/fax.py.
"""

from typing import Final

from fuzz import fax
from fuzz.mutate import record

RECORDS: Final = True
TOKENS: Final = (record(255, 0), record(254, 0), record(253, 0), record(0, 255))
HEADS: Final = (0x00, 0x01, 0x02, 0x09, 0x33, 0x04, 0x41)
"""Ways to make the fax: see fax.options."""


def seeds() -> list[bytes]:
    """What a sound peer says, in several ways to make the fax."""
    return [fax.dialogue(head)[1] for head in HEADS]


def run(data: bytes) -> None:
    """One fax."""
    fax.run(data, sending=True)
